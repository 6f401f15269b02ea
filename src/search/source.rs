//! One database that is searched: its statements, prepared once for each search.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Statement, params};
use uuid::Uuid;

use super::filter::{Facts, Filter};
use super::query::Word;
use super::schema::{SAMPLE, kind_of, meta, origin_of};
use super::score::{TITLE, Totals};
use crate::model::{RecordId, Revision, Severity};

/// One source, with what is known of it.
pub(super) struct Source<'c> {
    connection: &'c Connection,
    /// How much there is in it.
    pub totals: Totals,
    sampled: Statement<'c>,
    postings: Statement<'c>,
    matching: Statement<'c>,
    row: Statement<'c>,
    tags: Statement<'c>,
    sequence: Statement<'c>,
}

const ROW: &str = "
SELECT id, revision, path, created, words, kind, severity, origin, golden,
    (SELECT name FROM names WHERE n = domain),
    (SELECT name FROM names WHERE n = project),
    (SELECT name FROM names WHERE n = session),
    (SELECT name FROM names WHERE n = agent)
FROM docs WHERE doc = ?1";

fn limit_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<'c> Source<'c> {
    pub fn open(c: &'c Connection) -> rusqlite::Result<Source<'c>> {
        let number = |name| Ok::<_, rusqlite::Error>(meta::<f64>(c, name)?.unwrap_or(0.0));
        Ok(Source {
            connection: c,
            totals: Totals { docs: number("docs")?, words: number("words")? },
            sampled: c.prepare("SELECT docs FROM sampled WHERE word = ?1")?,
            postings: c.prepare("SELECT doc, col FROM postings WHERE term = ?1 LIMIT ?2")?,
            matching: c.prepare("SELECT rowid FROM text WHERE text MATCH ?1 ORDER BY rowid DESC LIMIT ?2")?,
            row: c.prepare(ROW)?,
            tags: c.prepare("SELECT name FROM tags JOIN names ON n = tag WHERE doc = ?1")?,
            sequence: c.prepare("SELECT words FROM sequences WHERE doc = ?1")?,
        })
    }

    /// About how many records have the word, if they are many.
    pub fn frequency(&mut self, word: &Word) -> rusqlite::Result<f64> {
        let docs: Option<i64> = self.sampled.query_row([&word.stem], |row| row.get(0)).optional()?;
        Ok(docs.map_or(0.0, |docs| (docs.saturating_mul(SAMPLE)) as f64))
    }

    /// Reads where `word` stands, up to `limit` places: for each record, how much (a place in the title counts more). Also
    /// how many places were read.
    pub fn postings(&mut self, word: &Word, limit: usize) -> rusqlite::Result<(Vec<(i64, f64)>, usize)> {
        let mut rows = self.postings.query(params![word.stem, limit_of(limit)])?;
        let (mut found, mut read) = (Vec::<(i64, f64)>::new(), 0);
        while let Some(row) = rows.next()? {
            read += 1;
            let weight = match row.get_ref(1)?.as_bytes().unwrap_or_default() {
                b"title" => TITLE,
                _ => 1.0,
            };
            let doc = row.get(0)?;
            match found.last_mut() {
                Some((last, frequency)) if *last == doc => *frequency += weight,
                _ => found.push((doc, weight)),
            }
        }
        Ok((found, read))
    }

    /// The newest records that `expression`, in the full-text index's own syntax, finds.
    pub fn matching(&mut self, expression: &str, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let rows = self.matching.query_map(params![expression, limit_of(limit)], |row| row.get(0))?;
        rows.collect()
    }

    /// The newest records, with when they were recorded.
    pub fn newest(&mut self, limit: usize) -> rusqlite::Result<Vec<(i64, f64)>> {
        let mut statement = self.connection.prepare("SELECT doc, created FROM docs ORDER BY created DESC LIMIT ?1")?;
        let rows = statement.query_map([limit_of(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// What `read` makes of the record's words in order; `None` if there is no such record.
    pub fn sequence<T>(&mut self, doc: i64, read: impl FnOnce(&[u8]) -> T) -> rusqlite::Result<Option<T>> {
        let found = |row: &rusqlite::Row<'_>| Ok(read(row.get_ref(0)?.as_blob().unwrap_or_default()));
        self.sequence.query_row([doc], found).optional()
    }

    /// The row of a record.
    pub fn row(&mut self, doc: i64) -> rusqlite::Result<Option<Row>> {
        let Some(mut row) = self.row.query_row([doc], Row::of).optional()? else { return Ok(None) };
        row.tags = self.tags.query_map([doc], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Some(row))
    }
}

/// A row of `docs`, with its names.
pub(super) struct Row {
    pub id: RecordId,
    pub revision: Option<Revision>,
    pub path: String,
    pub created: i64,
    pub words: i64,
    kind: i64,
    severity: Option<u8>,
    origin: Option<i64>,
    golden: bool,
    domain: Option<String>,
    pub project: Option<String>,
    session: Option<String>,
    agent: Option<String>,
    tags: Vec<String>,
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let id: Vec<u8> = row.get(0)?;
        let revision: Option<String> = row.get(1)?;
        Ok(Row {
            id: RecordId(Uuid::from_slice(&id).unwrap_or_default()),
            revision: revision.and_then(|it| it.parse().ok()),
            path: row.get(2)?,
            created: row.get(3)?,
            words: row.get(4)?,
            kind: row.get(5)?,
            severity: row.get(6)?,
            origin: row.get(7)?,
            golden: row.get(8)?,
            domain: row.get(9)?,
            project: row.get(10)?,
            session: row.get(11)?,
            agent: row.get(12)?,
            tags: Vec::new(),
        })
    }

    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.created).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub fn is_accepted(&self, filter: &Filter) -> bool {
        let Some(kind) = kind_of(self.kind) else { return false };
        filter.accepts(&Facts {
            kind,
            severity: self.severity.and_then(|it| Severity::new(it).ok()),
            origin: self.origin.and_then(origin_of),
            golden: self.golden,
            created_at: self.created_at(),
            domain: self.domain.as_deref(),
            tags: &self.tags,
            project: self.project.as_deref(),
            session: self.session.as_deref(),
            agent: self.agent.as_deref(),
        })
    }
}
