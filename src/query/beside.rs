//! What search.db does not have, as a source of a search, made in memory: rows above its watermark, and what the journal has
//! and the index lacks. Where search.db cannot be used, that is all there is.
//!
//! To read a record and to expand its text costs some fifty microseconds. So rows are sifted first: their texts are looked at
//! as they lie in the tables ([`Sieve`]), and of those that may have a word, and that the filters accept, the best
//! [`SIFTED_MAX`] are read. Those that are left out count in how rare words are, so that scores are about what they will be
//! with search.db. Time and memory are bounded: beyond [`ROWS_FOR`] the answer says how many rows were looked at.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::model::text::{counted, number};
use crate::model::{Kind, Record, RecordId, fields_of};
use crate::search::{self, Age, Doc, LeftOut, Query, Sieve, State, Words, Writer};
use crate::target::index::{Index, RowText, Text};
use crate::target::search::Cursor;

use super::files::{FILES_FOR, PENDING_FOR};
use super::list::accepts;
use super::search::{Ask, ROWS_MAX, ROWS_QUICK};
use super::states::InStates;
use super::{Error, Recorded, Seen, View, files};

/// How long rows are looked at where there is no search.db.
const ROWS_FOR: Duration = Duration::from_millis(1_200);
/// The most of the rows that were looked at whose records are read.
const SIFTED_MAX: usize = 1_000;
/// The same for a query with more than words: a sieve does not see whether words stand side by side, or are to be left out.
const SIFTED_FOR_MORE_MAX: usize = 4_000;
/// How often the clock is looked at, in rows.
const ROWS_A_LOOK: usize = 64;

/// What search.db does not have.
#[derive(Default)]
pub(super) struct Beside {
    /// The records that can be found.
    pub records: HashMap<RecordId, Recorded>,
    /// Records that search.db has in an older form, or that do not exist any more.
    pub gone: HashSet<RecordId>,
    /// Rows that were looked at, and sifted out.
    pub left_out: LeftOut,
    /// How many rows were looked at.
    pub rows: usize,
    /// How many records were read from the journal.
    pub pending: usize,
}

impl Beside {
    /// Adds the rows of `ids`, which search.db has in an older form, or not.
    pub fn put_rows(&mut self, view: &View<'_>, ids: Vec<RecordId>) -> Result<(), Error> {
        for id in ids.into_iter().take(ROWS_MAX) {
            if self.gone.insert(id)
                && let Seen::Visible(recorded) = view.get(id, None)?
            {
                self.rows += self.put(*recorded);
            }
        }
        Ok(())
    }

    /// Adds those of the newest records that may be what is asked for, as far as they can be looked at in time; with `after`,
    /// of those behind it. Returns whether all were looked at.
    pub fn put_newest(
        &mut self,
        view: &View<'_>,
        (ask, states): (&Ask<'_>, &InStates),
        after: Option<&Cursor>,
        notes: &mut Vec<String>,
    ) -> Result<bool, Error> {
        let Some(index) = &view.index else { return Ok(self.put_files(view, ask, notes)) };
        let mut sifted = Sifted::default();
        let is_whole = sifted.sift(index, (ask, states), after)?;
        self.rows += sifted.rows;
        if is_whole {
            notes.extend(view.without_search().note(sifted.rows));
        } else {
            let (newest, all) = (number(sifted.rows as u64), number(index.count_about()?));
            let why = view.without_search().says();
            notes.push(format!("{why}: beside it, the newest {newest} of about {all} records were looked at"));
        }
        let may_have = sifted.found.len();
        let (best, left_out) = sifted.best(ask.query);
        if best.len() < may_have {
            let (best, may_have) = (number(best.len() as u64), number(may_have as u64));
            notes.push(format!("of {may_have} records that may have these words, the likeliest {best} were compared"));
        }
        self.left_out = left_out;
        for id in best {
            if let Seen::Visible(recorded) = view.get(id, None)? {
                self.put(*recorded);
            }
        }
        Ok(is_whole)
    }

    /// Adds what files have of the words that are asked for, the newest first, as far as they can be read in time. Returns
    /// whether all were read.
    fn put_files(&mut self, view: &View<'_>, ask: &Ask<'_>, notes: &mut Vec<String>) -> bool {
        let deadline = Instant::now() + FILES_FOR;
        let (mut sieve, mut read) = (Sieve::of(ask.query), 0_u64);
        let is_whole = files::for_each(view.home, |path| {
            read += 1;
            let words = files::text(view.home, path).map(|text| sieve.words(&text));
            if words.is_some_and(|words| words != 0 || ask.query.is_empty()) {
                if let Some(recorded) = files::at(view.home, path).filter(|it| !view.pending.has(it.id)) {
                    self.rows += self.put(recorded);
                }
            } else if words.is_some() {
                self.left_out.docs += 1;
            }
            let is_time = self.records.len() < SIFTED_MAX && Instant::now() < deadline;
            if is_time { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let files = counted(read, "file", "files");
        let why = view.without_search().says();
        notes.push(match is_whole {
            true => format!("{why}: all {files} were read"),
            false => format!("{why}: only the newest {files} were read"),
        });
        is_whole
    }

    /// Adds what the journal has and the index lacks. Returns whether all of it was looked at.
    pub fn put_pending(&mut self, view: &View<'_>, ask: &Ask<'_>, notes: &mut Vec<String>) -> Result<bool, Error> {
        let Some(index) = &view.index else { return self.put_newest_pending(view, ask, notes) };
        for id in view.pending.ids() {
            let has_row = !view.pending.changes(id) && index.find(id)?.is_some_and(|known| known.row_id.is_some());
            if !has_row {
                self.put_one_pending(view, id)?;
            }
        }
        Ok(true)
    }

    /// Where there is no index: adds what the journal has of the words that are asked for, the newest first, as far as it can
    /// be read in time. Without an index and without search.db that can be all of the journal.
    fn put_newest_pending(&mut self, view: &View<'_>, ask: &Ask<'_>, notes: &mut Vec<String>) -> Result<bool, Error> {
        let deadline = Instant::now() + PENDING_FOR;
        let mut sieve = Sieve::of(ask.query);
        let (all, mut looked_at) = (view.pending.ids().count(), 0);
        for id in view.pending.newest_first() {
            if looked_at >= ROWS_QUICK && (self.pending >= SIFTED_MAX || Instant::now() >= deadline) {
                let (newest, all) = (number(looked_at as u64), number(all as u64));
                notes.push(format!("of {all} records in the journal, the newest {newest} were looked at"));
                return Ok(false);
            }
            looked_at += 1;
            let record = view.pending.record_of(id).filter(|_| !view.pending.changes(id));
            match record {
                Some(record) if !may_be_asked_for(record, &mut sieve, ask.query) => {
                    self.gone.insert(id);
                    self.left_out.docs += 1;
                }
                _ => self.put_one_pending(view, id)?,
            }
        }
        Ok(true)
    }

    fn put_one_pending(&mut self, view: &View<'_>, id: RecordId) -> Result<(), Error> {
        self.gone.insert(id);
        self.records.remove(&id);
        if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
            self.pending += self.put(*recorded);
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
    pub fn source(&self) -> Result<Connection, Error> {
        let mut memory = Connection::open_in_memory()?;
        search::create(&memory)?;
        let transaction = memory.transaction()?;
        let mut writer = Writer::open(&transaction)?;
        // As search.db has them: of records that are worth the same, the newest are taken, which were put in last.
        let mut records: Vec<_> = self.records.values().collect();
        records.sort_unstable_by_key(|recorded| recorded.age());
        for recorded in records {
            writer.put(&doc_of(recorded))?;
        }
        writer.finish()?;
        transaction.commit()?;
        Ok(memory)
    }
}

/// Rows that may be what is asked for.
#[derive(Default)]
struct Sifted {
    rows: usize,
    found: Vec<MayHave>,
}

/// What a row may have of the query.
struct MayHave {
    id: RecordId,
    age: Age,
    headline: Words,
    body: Words,
}

impl Sifted {
    /// Looks at the rows behind `after`, about the newest first, for as long as it may. Returns whether it saw all.
    fn sift(
        &mut self,
        index: &Index,
        (ask, states): (&Ask<'_>, &InStates),
        after: Option<&Cursor>,
    ) -> Result<bool, Error> {
        let deadline = Instant::now() + ROWS_FOR;
        let mut sieve = Sieve::of(ask.query);
        let is_filtered = !states.is_empty() || !ask.filter.is_empty() || ask.query.filters().next().is_some();
        let mut failed = None;
        let after = after.map(|it| (it.created_at.as_str(), it.id.as_str()));
        let is_over = || Instant::now() >= deadline;
        let is_whole = index.for_each_text(after, is_over, |row| {
            if self.rows >= ROWS_QUICK && self.rows.is_multiple_of(ROWS_A_LOOK) && is_over() {
                return ControlFlow::Break(());
            }
            if row.is_verdict() {
                return ControlFlow::Continue(());
            }
            self.rows += 1;
            let found = may_have(&row, &mut sieve, ask.query);
            if let Some((headline, body)) = found.filter(|_| !is_filtered || is_accepted(&row, ask, states)) {
                match row.id() {
                    Ok(id) => {
                        let age = Age::new(row.created_at(), id);
                        self.found.push(MayHave { id, age, headline, body });
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(is_whole),
        }
    }

    /// The records that most likely are the best, and what is left out.
    fn best(mut self, query: &Query) -> (Vec<RecordId>, LeftOut) {
        let most = if query.has_more_than_words() { SIFTED_FOR_MORE_MAX } else { SIFTED_MAX };
        let words = query.len();
        let mut with_word = vec![0_u64; words];
        let has = |words: Words, at: usize| words >> at & 1 == 1;
        for it in &self.found {
            (0..words).filter(|at| has(it.headline | it.body, *at)).for_each(|at| with_word[at] += 1);
        }
        if self.found.len() > most {
            let worth = query.worth(self.rows as u64, &with_word);
            let value = |it: &MayHave| -> f64 {
                worth.iter().enumerate().map(|(at, worth)| worth(has(it.headline, at), has(it.body, at))).sum()
            };
            let mut valued: Vec<(f64, MayHave)> = self.found.into_iter().map(|it| (value(&it), it)).collect();
            valued.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(other.1.age.cmp(&one.1.age)));
            self.found = valued.into_iter().take(most).map(|(_, it)| it).collect();
        }
        let read = self.found.len();
        for it in &self.found {
            (0..words).filter(|at| has(it.headline | it.body, *at)).for_each(|at| with_word[at] -= 1);
        }
        let left_out = LeftOut { docs: (self.rows - read) as u64, with_word };
        (self.found.into_iter().map(|it| it.id).collect(), left_out)
    }
}

/// Whether `record` may have a word of `query`.
fn may_be_asked_for(record: &Record, sieve: &mut Sieve, query: &Query) -> bool {
    let texts = fields_of(record.kind()).filter_map(|spec| record.text(spec.field));
    query.is_empty() || texts.into_iter().any(|text| sieve.words(&text) != 0)
}

/// The words of `query` that the headline and the other texts of a row may have; `None` if it has none of them.
fn may_have(row: &RowText<'_>, sieve: &mut Sieve, query: &Query) -> Option<(Words, Words)> {
    if query.is_empty() {
        return Some((0, 0));
    }
    let (mut headline, mut body) = (0, 0);
    let is_all = row.for_each(|text| match text {
        Text::Headline(text) => headline |= sieve.words(text),
        Text::Body(text) => body |= sieve.words(text),
    });
    match is_all {
        true => (headline | body != 0).then_some((headline, body)),
        // Its file may have all of them.
        false => Some((headline, Words::MAX)),
    }
}

/// Whether the filters accept a row. One that makes no sense is looked at as a record.
fn is_accepted(row: &RowText<'_>, ask: &Ask<'_>, states: &InStates) -> bool {
    let Ok(facts) = row.facts() else { return true };
    // Without its row, only its file says what it is.
    !facts.has_row
        || ask.query.filters().all(|(filter, takes)| accepts(filter, &facts) == takes)
            && accepts(ask.filter, &facts)
            && states.accepts(facts.id, facts.is_golden)
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
