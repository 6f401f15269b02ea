//! `search`: words to records, in all that a home has.
//!
//! What search.db has and what it does not have yet ([`super::beside`]) are two sources of one search. Where search.db cannot
//! be used, the second source has what was sifted out of the newest rows, as many as fit into the time, and the answer says so.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use crate::model::text::number;
use crate::model::{Kind, RecordId, Revision};
use crate::search::{self, BestLine, Filter, Parts, Query, best_line};

use super::beside::Beside;
use super::judged::retired_among;
use super::states::InStates;
use super::{Error, Recorded, State, View};

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
    /// The states that are looked for, beside what the query says; any if there are none.
    pub states: &'a [State],
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
    /// Whether it is a rule that was retired. These come last, whatever their score.
    pub is_retired: bool,
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
    view.even_without_search(|| search_in(view, ask, true))
}

/// As [`search`], but the lines of the hits are empty: to find them costs as much as to read the records.
///
/// # Errors
/// As [`search`].
pub(super) fn without_lines(view: &View<'_>, ask: &Ask<'_>) -> Result<Found, Error> {
    view.even_without_search(|| search_in(view, ask, false))
}

fn search_in(view: &View<'_>, ask: &Ask<'_>, with_lines: bool) -> Result<Found, Error> {
    let states = InStates::of(view, ask)?;
    let mut beside = Beside::default();
    let mut notes: Vec<String> = states.note().into_iter().collect();
    let database = view.search();
    // What is sifted is sifted by the words, so these are chosen before.
    let is_sifted = view.index.is_none() || database.is_none_or(|it| it.cursor().is_some());
    let known: Vec<&Connection> = database.iter().map(|it| it.connection()).collect();
    let rarest = if is_sifted { ask.query.of_rarest(&known, false)? } else { None };
    let ask = &Ask { query: rarest.as_ref().unwrap_or(ask.query), ..*ask };
    let (standing, is_whole) = put_beside(view, (ask, &states), &mut beside, &mut notes)?;
    let mut complete = beside.put_pending(view, ask, &mut notes)? && is_whole;
    let (rows_beside, pending) = (beside.rows, beside.pending);
    let memory = if beside.records.is_empty() && database.is_some() { None } else { Some(beside.source()?) };
    let Beside { records, gone, left_out, .. } = beside;
    let sources: Vec<&Connection> = known.into_iter().chain(&memory).collect();
    let rarest = ask.query.of_rarest(&sources, complete)?;
    let ask = &Ask { query: rarest.as_ref().unwrap_or(ask.query), ..*ask };
    notes.extend(ask.query.note());
    let limit = if ask.limit == 0 { usize::MAX } else { ask.limit };
    let accepts = |id, is_golden| states.accepts(id, is_golden);
    let chosen = (!states.is_empty()).then_some(search::Chosen { accepts: &accepts, ids: states.ids() });
    let gone = database.is_some().then_some(&gone);
    let options =
        search::Options { limit: limit.saturating_add(SPARE), project: ask.project, now: ask.now, gone, chosen };
    let mut found = search::find_beside(&sources, &left_out, ask.query, ask.filter, &options)?;
    let search::Looked { words, frequent, candidates, left_over, .. } = found.looked;
    if left_over > 0 && states.ids().is_some() {
        let all = number((candidates + left_over) as u64);
        notes.push(format!(
            "of about {all} records in these states, the likeliest {} were looked at",
            number(candidates as u64)
        ));
        complete = false;
    }
    let retired = put_retired_last(view, &mut found.hits)?;
    let mut hits = Vec::new();
    for hit in found.hits {
        if hits.len() >= limit {
            break;
        }
        let Some(recorded) = recorded_of(view, &records, &hit)? else { continue };
        let line = if with_lines { best_line(ask.query, recorded.record(), &hit.parts) } else { BestLine::default() };
        let is_retired = retired.contains(&recorded.id);
        hits.push(Hit { recorded, is_retired, score: hit.score, parts: hit.parts, matched: hit.matched, line });
    }
    let looked = Looked { search: standing, rows_beside, pending, complete, words, frequent, candidates };
    Ok(Found { hits, looked, notes })
}

/// Puts the rows that search.db lacks into `beside`. Returns what search.db can contribute, and whether all rows were looked at.
fn put_beside(
    view: &View<'_>,
    (ask, states): (&Ask<'_>, &InStates),
    beside: &mut Beside,
    notes: &mut Vec<String>,
) -> Result<(Standing, bool), Error> {
    let Some(database) = view.search() else {
        return Ok((Standing::Missing, beside.put_newest(view, (ask, states), None, notes)?));
    };
    if view.index.is_none() {
        return Ok((if database.is_complete() { Standing::UpToDate } else { Standing::Behind }, false));
    }
    let mut behind = view.rows_beside(ROWS_MAX)?;
    if !states.is_empty() {
        behind.extend(view.states_beside()?);
    }
    let is_all = behind.len() <= ROWS_MAX;
    beside.put_rows(view, behind)?;
    // While it is being built, records behind the cursor are not in it.
    let is_whole = match database.cursor() {
        None => is_all,
        Some(cursor) => beside.put_newest(view, (ask, states), Some(cursor), notes)? && is_all,
    };
    if !is_all {
        notes.push(
            "search.db is far behind: until a worker has brought it up to date (`indelible worker --detach` starts one), some \
             records are not found"
                .into(),
        );
    }
    Ok((if is_all && database.is_complete() { Standing::UpToDate } else { Standing::Behind }, is_whole))
}

/// Puts the rules among `hits` that are retired behind all others, and returns them. No other hits are looked at than these: a
/// retired rule may still come before one that was not among them.
fn put_retired_last(view: &View<'_>, hits: &mut [search::Hit]) -> Result<HashSet<RecordId>, Error> {
    let rules = hits.iter().filter(|hit| hit.located.kind == Some(Kind::Heuristic)).map(|hit| hit.id);
    let retired = retired_among(view, &rules.collect::<Vec<_>>())?;
    if !retired.is_empty() {
        hits.sort_by_key(|hit| retired.contains(&hit.id));
    }
    Ok(retired)
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
    let recorded = view.get_located(hit.id, &hit.located)?.visible();
    let revision = hit.revision.unwrap_or(Revision::first(hit.id));
    Ok(recorded.filter(|recorded| recorded.revision() == revision))
}
