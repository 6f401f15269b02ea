//! `search`: words to records, in all that a home has.
//!
//! What search.db has and what it does not have yet are two sources of one search. The second one is made in memory: rows
//! above search.db's watermark, and what the journal has and the index lacks. Where search.db cannot be used, the second
//! source holds the newest records, as many as fit into the time, and the answer says so.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use crate::model::text::{counted, number};
use crate::model::{Kind, RecordId, Revision};
use crate::search::{self, BestLine, Doc, Filter, Parts, Query, State, Writer, best_line};

use super::{Error, Recorded, Seen, View, files};

/// How long records are read where there is no search.db.
const RECORDS_FOR: Duration = Duration::from_millis(1_200);
/// The same where there is no index either.
const FILES_FOR: Duration = Duration::from_millis(600);
/// The most rows above search.db's watermark that are read.
pub(super) const ROWS_MAX: usize = 10_000;
/// So many rows are read however long it takes: that is not noticed, but where the machine is overloaded.
pub(super) const ROWS_QUICK: usize = 1_000;
/// So many hits more are looked for, since some may turn out to be of an older revision.
const SPARE: usize = 50;

/// How a search is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The words.
    pub query: &'a Query,
    /// What is left out, beside what the query says.
    pub filter: &'a Filter,
    /// The most hits; 0 is as many as are looked for at all.
    pub limit: usize,
    /// The project whose records come a little earlier.
    pub project: Option<&'a str>,
    /// The time that ages are counted from.
    pub now: Timestamp,
}

/// What search.db could contribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// It had every row, or what it lacked was read beside it.
    #[serde(rename = "up to date")]
    UpToDate,
    /// It lacks more than was read beside it.
    #[serde(rename = "behind")]
    Behind,
    /// It could not be used.
    #[serde(rename = "none")]
    Missing,
}

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Looked {
    /// What search.db could contribute.
    pub search: Standing,
    /// How many rows were read beside it.
    pub rows_beside: usize,
    /// How many records were read from the journal.
    pub pending: usize,
    /// Whether every record was looked at.
    pub complete: bool,
    /// The words of the query, as they were looked for.
    pub words: Vec<String>,
    /// Those of them that too many records have: they count in the scores alone.
    pub frequent: Vec<String>,
    /// How many records were scored.
    pub candidates: usize,
}

/// A record that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The record.
    pub recorded: Recorded,
    /// The greater, the better.
    pub score: f64,
    /// How the score came about.
    pub parts: Parts,
    /// The words that it has, the most telling first.
    pub matched: Vec<String>,
    /// The line that says best why it was found.
    pub line: BestLine,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best first.
    pub hits: Vec<Hit>,
    /// What was looked at.
    pub looked: Looked,
    /// What could not be looked at, beside the view's own notes.
    pub notes: Vec<String>,
}

/// Searches the home.
///
/// # Errors
/// [`Error::Index`], [`Error::Search`].
pub fn search(view: &View<'_>, ask: &Ask<'_>) -> Result<Found, Error> {
    view.even_without_search(|| search_in(view, ask))
}

fn search_in(view: &View<'_>, ask: &Ask<'_>) -> Result<Found, Error> {
    let mut beside = Beside::default();
    let mut notes = Vec::new();
    let database = view.search();
    let (standing, complete) = match (&database, &view.index) {
        (Some(database), Some(_)) => {
            let mut behind = view.rows_beside(ROWS_MAX)?;
            if ask.query.asks_for_states() || !ask.filter.states.is_empty() {
                behind.extend(view.states_beside()?);
            }
            let is_all = behind.len() <= ROWS_MAX;
            beside.put_rows(view, behind)?;
            // While it is being built, records with ids after the cursor are not in it.
            let is_whole = match database.cursor() {
                None => is_all,
                Some(cursor) => beside.put_newest(view, Some(cursor), &mut notes)? && is_all,
            };
            if !is_all {
                notes.push(
                    "search.db is far behind: until a worker has brought it up to date (`indelible worker --detach` starts \
                     one), some records are not found"
                        .into(),
                );
            }
            (if is_all && database.is_complete() { Standing::UpToDate } else { Standing::Behind }, is_whole)
        }
        (Some(database), None) => (if database.is_complete() { Standing::UpToDate } else { Standing::Behind }, false),
        (None, _) => (Standing::Missing, beside.put_newest(view, None, &mut notes)?),
    };
    beside.put_pending(view)?;
    let (rows_beside, pending) = (beside.rows, beside.pending);
    let memory = if beside.records.is_empty() && database.is_some() { None } else { Some(beside.source()?) };
    let Beside { records, gone, .. } = beside;
    let sources: Vec<&Connection> = database.iter().map(|it| it.connection()).chain(&memory).collect();
    let gone = database.is_some().then_some(&gone);
    let limit = if ask.limit == 0 { usize::MAX } else { ask.limit };
    let options = search::Options { limit: limit.saturating_add(SPARE), project: ask.project, now: ask.now, gone };
    let found = search::find(&sources, ask.query, ask.filter, &options)?;
    let mut hits = Vec::new();
    for hit in found.hits {
        if hits.len() >= limit {
            break;
        }
        let Some(recorded) = recorded_of(view, &records, &hit)? else { continue };
        let line = best_line(ask.query, recorded.record(), &hit.parts);
        hits.push(Hit { recorded, score: hit.score, parts: hit.parts, matched: hit.matched, line });
    }
    let search::Looked { words, frequent, candidates, .. } = found.looked;
    let looked = Looked { search: standing, rows_beside, pending, complete, words, frequent, candidates };
    Ok(Found { hits, looked, notes })
}

/// The record of a hit; `None` if the stores have another revision than was searched, or the record is hidden.
fn recorded_of(
    view: &View<'_>,
    records: &HashMap<RecordId, Recorded>,
    hit: &search::Hit,
) -> Result<Option<Recorded>, Error> {
    if let Some(recorded) = records.get(&hit.id) {
        return Ok(Some(recorded.clone()));
    }
    let recorded = view.get(hit.id, Some(&hit.path))?.visible();
    let revision = hit.revision.unwrap_or(Revision::first(hit.id));
    Ok(recorded.filter(|recorded| recorded.revision() == revision))
}

/// What search.db does not have.
#[derive(Default)]
struct Beside {
    records: HashMap<RecordId, Recorded>,
    /// Records that search.db has in an older form, or that do not exist any more.
    gone: HashSet<RecordId>,
    rows: usize,
    pending: usize,
}

impl Beside {
    /// Adds the rows of `ids`, which search.db has in an older form, or not.
    fn put_rows(&mut self, view: &View<'_>, ids: Vec<RecordId>) -> Result<(), Error> {
        for id in ids.into_iter().take(ROWS_MAX) {
            if self.gone.insert(id)
                && let Seen::Visible(recorded) = view.get(id, None)?
            {
                self.rows += self.put(*recorded);
            }
        }
        Ok(())
    }

    /// Adds the newest records, as many as can be read in time; with `after`, those with greater ids. Returns whether these
    /// were all.
    fn put_newest(&mut self, view: &View<'_>, after: Option<&str>, notes: &mut Vec<String>) -> Result<bool, Error> {
        let Some(index) = &view.index else { return Ok(self.put_files(view, notes)) };
        let deadline = Instant::now() + RECORDS_FOR;
        let mut ids = Vec::new();
        index.for_each_newest(|id, _| {
            if after.is_none_or(|after| id.to_string().as_str() > after) {
                ids.push(id);
            }
            // One more than is read in any case, so that the rest is known to be missing.
            let goes_on = ids.len() <= ROWS_QUICK || Instant::now() < deadline;
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut is_whole = true;
        for (at, id) in ids.into_iter().enumerate() {
            if at >= ROWS_QUICK && Instant::now() >= deadline {
                is_whole = false;
                let (newest, all) = (number(at as u64), counted(index.count()?, "record", "records"));
                notes.push(format!(
                    "{}: beside it, the newest {newest} of {all} were looked at",
                    view.without_search().says()
                ));
                break;
            }
            if let Seen::Visible(recorded) = view.get(id, None)? {
                self.rows += self.put(*recorded);
            }
        }
        if is_whole {
            notes.extend(view.without_search().note(self.rows));
        }
        Ok(is_whole)
    }

    /// Adds what files have, the newest first.
    fn put_files(&mut self, view: &View<'_>, notes: &mut Vec<String>) -> bool {
        let deadline = Instant::now() + FILES_FOR;
        let mut read = 0_u64;
        let is_whole = files::for_each(view.home, |path| {
            read += 1;
            if let Some(recorded) = files::at(view.home, path).filter(|it| !view.pending.has(it.id)) {
                self.rows += self.put(recorded);
            }
            if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let files = counted(read, "file", "files");
        let why = view.without_search().says();
        notes.push(match is_whole {
            true => format!("{why}: all {files} were read"),
            false => format!("{why}: only the newest {files} were read"),
        });
        is_whole
    }

    /// Adds what the journal has and the index lacks.
    fn put_pending(&mut self, view: &View<'_>) -> Result<(), Error> {
        for id in view.pending.ids() {
            let has_row = match &view.index {
                Some(index) if !view.pending.changes(id) => index.find(id)?.is_some_and(|known| known.row_id.is_some()),
                _ => false,
            };
            if has_row {
                continue;
            }
            self.gone.insert(id);
            self.records.remove(&id);
            if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
                self.pending += self.put(*recorded);
            }
        }
        Ok(())
    }

    /// Adds a record, unless it is a verdict. Returns how many were added.
    fn put(&mut self, recorded: Recorded) -> usize {
        let is_searched = recorded.kind() != Kind::Verdict;
        if is_searched {
            self.records.insert(recorded.id, recorded);
        }
        usize::from(is_searched)
    }

    /// A source of it, in memory.
    fn source(&self) -> Result<Connection, Error> {
        let mut memory = Connection::open_in_memory()?;
        search::create(&memory)?;
        let transaction = memory.transaction()?;
        let mut writer = Writer::open(&transaction)?;
        for recorded in self.records.values() {
            writer.put(&doc_of(recorded))?;
        }
        writer.finish()?;
        transaction.commit()?;
        Ok(memory)
    }
}

/// `recorded` as it is searched.
fn doc_of(recorded: &Recorded) -> Doc<'_> {
    Doc {
        id: recorded.id,
        revision: recorded.amended.as_ref().map(|amended| amended.revision),
        created_at: recorded.created_at,
        path: &recorded.path,
        record: recorded.record(),
        provenance: recorded.provenance(),
        golden: recorded.state == State::Golden,
    }
}
