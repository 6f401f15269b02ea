//! One database that is searched: its statements, prepared once for each search.

use std::cmp::Reverse;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Statement, params};
use uuid::Uuid;

use super::age::Age;
use super::dictionary::Dictionary;
use super::filter::{Filter, Name};
use super::listing::Located;
use super::narrow::{Narrow, names};
use super::query::{Query, Word};
use super::schema::{LATE, SAMPLE, fact, meta};
use super::score::{TITLE, Totals};
use super::sequence::Sequence;
use super::write::numbers;
use crate::model::{RecordId, Revision};

/// One source, with what is known of it, and the search's filters in its numbers.
pub(super) struct Source<'c> {
    /// How much there is in it.
    pub totals: Totals,
    connection: &'c Connection,
    sampled: Statement<'c>,
    matching: Statement<'c>,
    row: Statement<'c>,
    sequence: Statement<'c>,
    has: Statement<'c>,
    age: Statement<'c>,
    dictionary: Dictionary,
    /// Each has to take a row.
    with: Vec<Narrow>,
    /// None may take it.
    without: Vec<Narrow>,
    /// What the full-text index is asked for the filters.
    filter: Option<String>,
    /// The numbers of the project whose records come earlier.
    projects: Vec<i64>,
    /// How many records have a greater number than a newer one, at most [`LATE_MAX`].
    late: usize,
}

/// So many records may come late, as those of other homes do, and the newest are found all the same. Of more, some that
/// came late are taken for new: until the database is built again, which puts them in by age.
const LATE_MAX: usize = 2_000;

const ROW: &str = "
SELECT id, created, docs.words, kind, severity, origin, golden, domain, project, session, agent, tags, sequences.words
FROM docs JOIN sequences ON sequences.doc = docs.doc WHERE docs.doc = ?1";

fn limit_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<'c> Source<'c> {
    pub fn open(
        c: &'c Connection,
        query: &Query,
        filter: &Filter,
        project: Option<&str>,
    ) -> rusqlite::Result<Source<'c>> {
        let number = |name| Ok::<_, rusqlite::Error>(meta::<f64>(c, name)?.unwrap_or(0.0));
        let filters = [filter, &query.filter].into_iter().filter(|it| !it.is_empty());
        let with = filters.map(|it| Narrow::resolve(c, it)).collect::<rusqlite::Result<Vec<_>>>()?;
        let without = query.without_filters.iter().map(|it| Narrow::resolve(c, it)).collect::<rusqlite::Result<_>>()?;
        let projects = project.map_or(Ok(None), |it| names(c, Name::Project, &[it.to_owned()]))?;
        Ok(Source {
            totals: Totals { docs: number("docs")?, words: number("words")? },
            connection: c,
            sampled: c.prepare("SELECT docs FROM sampled WHERE hash = ?1")?,
            matching: c.prepare("SELECT rowid FROM text WHERE text MATCH ?1 ORDER BY rowid DESC LIMIT ?2")?,
            row: c.prepare(ROW)?,
            sequence: c.prepare("SELECT words FROM sequences WHERE doc = ?1")?,
            has: c.prepare("SELECT doc FROM docs WHERE substr(id, 13) = substr(?1, 13) AND id = ?1")?,
            age: c.prepare("SELECT created, id FROM docs WHERE doc = ?1")?,
            dictionary: Dictionary::read(c)?,
            filter: expression(c, &with)?,
            with,
            without,
            projects: projects.unwrap_or_default(),
            late: usize::try_from(meta::<Option<i64>>(c, LATE)?.flatten().unwrap_or(0)).unwrap_or(0).min(LATE_MAX),
        })
    }

    /// Whether there is a filter that the full-text index knows of.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// About how many records have the word, if they are many.
    pub fn frequency(&mut self, word: &Word) -> rusqlite::Result<f64> {
        let docs: Option<i64> = self.sampled.query_row([word.hash], |row| row.get(0)).optional()?;
        Ok(docs.map_or(0.0, |docs| (docs.saturating_mul(SAMPLE)) as f64))
    }

    /// Reads which records have `word`, up to `limit` of them, the newest first, and which have it in their title: for each
    /// record, how much, as if it had the word once.
    pub fn having(&mut self, word: &Word, limit: usize) -> rusqlite::Result<Vec<(i64, f64)>> {
        // The full-text index stems what it is asked for.
        let token = &word.token;
        let mut read = |expression: String| -> rusqlite::Result<Vec<i64>> {
            self.matching.query_map(params![expression, limit_of(limit)], |row| row.get(0))?.collect()
        };
        let in_title = read(format!("\"{}\"", fact::title(token)))?;
        let docs = read(format!("\"{token}\""))?;
        // The newest come first in both.
        let mut in_title = in_title.into_iter().peekable();
        let weight = |doc: i64| {
            while in_title.next_if(|titled| *titled > doc).is_some() {}
            if in_title.peek() == Some(&doc) { TITLE } else { 1.0 }
        };
        let weights: Vec<f64> = docs.iter().copied().map(weight).collect();
        Ok(docs.into_iter().zip(weights).collect())
    }

    /// The records with the greatest numbers that have `words` (in the full-text index's own syntax; `None`: any) and that the filters take, as
    /// far as the index knows them.
    pub fn matching(&mut self, words: Option<&str>, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let expression = match (words, &self.filter) {
            (None, None) => return self.newest(limit),
            (Some(words), Some(filter)) => format!("({words}) AND {filter}"),
            (Some(one), None) => one.to_owned(),
            (None, Some(one)) => one.clone(),
        };
        self.matching.query_map(params![expression, limit_of(limit)], |row| row.get(0))?.collect()
    }

    /// The newest `limit` of those that [`matching`](Source::matching) finds, the newest first.
    pub fn newest_matching(&mut self, words: Option<&str>, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let mut docs = self.matching(words, limit.saturating_add(self.late))?;
        if self.late > 0 {
            let aged = docs.iter().map(|doc| Ok((self.age(*doc)?, *doc)));
            let mut aged = aged.collect::<rusqlite::Result<Vec<_>>>()?;
            aged.sort_unstable_by_key(|it| Reverse(*it));
            docs = aged.into_iter().map(|(_, doc)| doc).collect();
        }
        docs.truncate(limit);
        Ok(docs)
    }

    /// Whether a record with a greater number is a newer one.
    pub fn is_by_age(&self) -> bool {
        self.late == 0
    }

    /// The newest records of all.
    fn newest(&mut self, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.connection.prepare("SELECT doc FROM docs ORDER BY created DESC, id DESC LIMIT ?1")?;
        statement.query_map([limit_of(limit)], |row| row.get(0))?.collect()
    }

    /// The number of a record; `None` if there is no such record.
    pub fn doc_of(&mut self, id: RecordId) -> rusqlite::Result<Option<i64>> {
        self.has.query_row([id.0.as_bytes()], |row| row.get(0)).optional()
    }

    /// How new a record is; `None` if there is no such record.
    pub fn age(&mut self, doc: i64) -> rusqlite::Result<Option<Age>> {
        self.age.query_row([doc], Age::of_row).optional()
    }

    /// What `read` makes of a record's row and its words in order; `None` if there is no such record, or the filters do not
    /// take it.
    pub fn read<T>(&mut self, doc: i64, read: impl FnOnce(&Row, Sequence<'_>) -> T) -> rusqlite::Result<Option<T>> {
        let Source { row, with, without, dictionary, .. } = self;
        let mut rows = row.query([doc])?;
        let Some(found) = rows.next()? else { return Ok(None) };
        let row = Row::of(found)?;
        let sequence = Sequence { bytes: found.get_ref(12)?.as_blob().unwrap_or_default(), dictionary };
        let is_taken = with.iter().all(|it| it.accepts(&row)) && !without.iter().any(|it| it.accepts(&row));
        Ok(is_taken.then(|| read(&row, sequence)))
    }

    /// What `read` makes of a record's words in order; `None` if there is no such record.
    pub fn sequence<T>(&mut self, doc: i64, read: impl FnOnce(Sequence<'_>) -> T) -> rusqlite::Result<Option<T>> {
        let dictionary = &self.dictionary;
        let mut rows = self.sequence.query([doc])?;
        let Some(found) = rows.next()? else { return Ok(None) };
        Ok(Some(read(Sequence { bytes: found.get_ref(0)?.as_blob().unwrap_or_default(), dictionary })))
    }

    /// Whether it has the record.
    pub fn has(&mut self, id: RecordId) -> rusqlite::Result<bool> {
        self.has.exists([id.0.as_bytes()])
    }

    /// Whether the record is of the project whose records come earlier.
    pub fn is_of_project(&self, project: Option<i64>) -> bool {
        project.is_some_and(|it| self.projects.contains(&it))
    }

    /// Where the record's page lies, and the revision that was indexed.
    pub fn page(&self, doc: i64) -> rusqlite::Result<(Located, Option<Revision>)> {
        self.connection.query_row("SELECT path, kind, created, revision FROM docs WHERE doc = ?1", [doc], |row| {
            let revision: Option<String> = row.get(3)?;
            Ok((Located::of(row, 0)?, revision.and_then(|it| it.parse().ok())))
        })
    }
}

/// What the full-text index is asked for all of `filters`.
fn expression(c: &Connection, filters: &[Narrow]) -> rusqlite::Result<Option<String>> {
    if filters.is_empty() {
        return Ok(None);
    }
    let created = c.query_row(
        "SELECT coalesce((SELECT min(created) FROM docs), 0), coalesce((SELECT max(created) FROM docs), 0)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let all: Vec<_> = filters.iter().flat_map(|it| it.expressions(created)).collect();
    Ok((!all.is_empty()).then(|| all.join(" AND ")))
}

/// A row of `docs`.
pub(super) struct Row {
    pub id: RecordId,
    pub created: i64,
    pub words: i64,
    pub kind: i64,
    pub severity: Option<u8>,
    pub origin: Option<i64>,
    pub golden: bool,
    pub domain: Option<i64>,
    pub project: Option<i64>,
    pub session: Option<i64>,
    pub agent: Option<i64>,
    pub tags: Vec<i64>,
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let id = Uuid::from_slice(row.get_ref(0)?.as_blob().unwrap_or_default());
        let tags = row.get_ref(11)?.as_str_or_null().unwrap_or_default();
        Ok(Row {
            id: RecordId(id.unwrap_or_default()),
            created: row.get(1)?,
            words: row.get(2)?,
            kind: row.get(3)?,
            severity: row.get(4)?,
            origin: row.get(5)?,
            golden: row.get(6)?,
            domain: row.get(7)?,
            project: row.get(8)?,
            session: row.get(9)?,
            agent: row.get(10)?,
            tags: numbers(tags.unwrap_or_default()).collect(),
        })
    }

    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.created).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
