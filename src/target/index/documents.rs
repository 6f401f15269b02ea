//! Whole records, one by one, for those that follow the change feed. Nothing here changes the index.
//!
//! 1. A row holds less than a record's file where the tables are the framework's (a summary is one line there), and where
//!    the record is an experiment (its criteria are in the file alone). [`Document::is_whole`] says so.
//! 2. A verdict is no document: nothing searches for one.
//! 3. An entry that does not make sense, in a damaged or foreign table, stands for no record.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Statement};

use super::query::{ReadError, field_text, parsed, provenance_in};
use super::schema::{column_of, columns_or_null, table_of};
use super::{Error, Index, elsewhere, framework, resolves};
use crate::model::{FieldSpec, Kind, OtherHome, PROVENANCE, Provenance, Record, RecordId, Revision, fields_of};

/// A record, as its row holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The record.
    pub id: RecordId,
    /// Its revision; `None` if it is as first recorded.
    pub revision: Option<Revision>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: String,
    /// Its fields, as far as the row holds them.
    pub record: Record,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The home that recorded it, if that is another one.
    pub from: Option<OtherHome>,
    /// Whether it is a golden rule.
    pub golden: bool,
    /// Whether the row holds all of it. Otherwise the rest is in its file.
    pub is_whole: bool,
}

/// Reads documents. What columns the tables have is looked up once.
#[derive(Debug)]
pub struct Documents<'i> {
    index: &'i Index,
    is_framework: bool,
    entry: Statement<'i>,
    /// One query for each kind, in the order of [`Kind::LEARNED`].
    rows: Vec<Statement<'i>>,
}

/// The columns of `records` after the provenance, in a document's query.
const BESIDE: [&str; 8] = [
    "path",
    "row_id",
    "created_at",
    "revision",
    framework::EXACT[0],
    framework::EXACT[1],
    resolves::COLUMN,
    elsewhere::COLUMN,
];

impl Index {
    /// A reader of documents, for as long as the tables stay as they are.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn documents(&self) -> Result<Documents<'_>, Error> {
        let prepare = || {
            let provenance: Vec<&str> = PROVENANCE.iter().map(|spec| spec.name).collect();
            let provenance = columns_or_null(&self.connection, "records", &provenance)?;
            let beside = columns_or_null(&self.connection, "records", &BESIDE)?;
            let row = |kind: &Kind| {
                let table = table_of(*kind).name;
                let names: Vec<&str> = columns(*kind).map(|(_, column)| column).chain(["is_golden"]).collect();
                let columns = columns_or_null(&self.connection, table, &names)?;
                self.connection.prepare(&format!("SELECT {columns} FROM {table} WHERE id = ?1"))
            };
            let (_, is_framework) = framework::layout(&self.connection)?;
            Ok(Documents {
                index: self,
                is_framework,
                entry: self
                    .connection
                    .prepare(&format!("SELECT kind, {provenance}, {beside} FROM records WHERE id = ?1"))?,
                rows: Kind::LEARNED.iter().map(row).collect::<Result<_, rusqlite::Error>>()?,
            })
        };
        prepare().map_err(self.error("read the index"))
    }

    /// The ids of the records that have rows, ordered, from the first after `after` on, `limit` at most. What cannot be an
    /// id is left out, so that each is greater than the one before.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn ids_after(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let read = || {
            let sql = "SELECT id FROM records WHERE id > ?1 AND row_id > 0 AND typeof(id) = 'text' ORDER BY id";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([after])?;
            let mut ids = Vec::new();
            while ids.len() < limit
                && let Some(row) = rows.next()?
            {
                let id = row.get_ref(0)?.as_bytes()?;
                let is_like_an_id = id.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f' | b'-'));
                if is_like_an_id && let Ok(id) = std::str::from_utf8(id) {
                    ids.push(id.to_owned());
                }
            }
            Ok(ids)
        };
        read().map_err(self.error("read the index"))
    }

    /// The records that have rows, the oldest first, of one moment by id, from the first behind `after` on, `limit` at most: when
    /// each was recorded, as its row has it, and its id; and whether these are all. Reads all of `records`.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn oldest_after(&self, after: (&str, &str), limit: usize) -> Result<(Vec<(String, RecordId)>, bool), Error> {
        let read = || {
            let sql = "SELECT created_at, id FROM records
                WHERE (created_at, id) > (?1, ?2) AND row_id > 0 AND typeof(id) = 'text' AND typeof(created_at) = 'text'
                ORDER BY created_at, id LIMIT ?3";
            let mut statement = self.connection.prepare(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(rusqlite::params![after.0, after.1, limit])?;
            let (mut found, mut count) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                count += 1;
                // What is no id is no record.
                if let (Ok(created_at), Ok(id)) = (row.get(0), parsed(row, 1)) {
                    found.push((created_at, id));
                }
            }
            Ok((found, count < limit))
        };
        read().map_err(self.error("read the index"))
    }

    /// How many records have rows. Reads all of `records`.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_records(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM records WHERE row_id > 0";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(count.map_err(self.error("read the index"))?).unwrap_or(0))
    }

    /// Begins to read the index as it is now: what others change meanwhile is not seen, until this is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub(crate) fn snapshot(&self) -> Result<rusqlite::Transaction<'_>, Error> {
        self.connection.unchecked_transaction().map_err(self.error("read the index"))
    }
}

impl Documents<'_> {
    /// The document of the record `id`; `None` if it has no row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn find(&mut self, id: RecordId) -> Result<Option<Document>, Error> {
        let mut read = || {
            let entry = self.entry.query_row([id.to_string()], |row| Ok(Entry::of(row))).optional()?;
            let Some(entry) = entry.flatten() else { return Ok(None) };
            let Some(at) = Kind::LEARNED.iter().position(|kind| *kind == entry.kind) else { return Ok(None) };
            let row = self.rows[at].query_row([entry.number], |row| content(entry.kind, row)).optional()?;
            let Some((Some(record), golden)) = row else { return Ok(None) };
            Ok(Some(Document {
                id,
                revision: entry.revision,
                created_at: entry.created_at,
                path: entry.path,
                record: resolves::restored(framework::restored(record, entry.headline, entry.domain), entry.resolves),
                provenance: entry.provenance,
                from: entry.home.as_deref().map(elsewhere::of_text),
                golden,
                is_whole: !self.is_framework && entry.kind != Kind::Experiment,
            }))
        };
        read().map_err(self.index.error("read a record from the index"))
    }
}

/// A record's entry in `records`.
struct Entry {
    kind: Kind,
    provenance: Provenance,
    path: String,
    number: i64,
    created_at: Timestamp,
    revision: Option<Revision>,
    headline: Option<String>,
    domain: Option<String>,
    resolves: Option<String>,
    home: Option<String>,
}

impl Entry {
    /// `None` if it makes no sense, or the record is hidden.
    fn of(row: &Row<'_>) -> Option<Entry> {
        let text = |at: usize| row.get::<_, String>(at).ok();
        let beside = PROVENANCE.len() + 1;
        Some(Entry {
            kind: text(0)?.parse().ok()?,
            provenance: provenance_in(row).unwrap_or_default(),
            path: text(beside)?,
            number: row.get(beside + 1).ok().filter(|number| *number > 0)?,
            created_at: text(beside + 2)?.parse().ok()?,
            revision: text(beside + 3).and_then(|text| text.parse().ok()),
            headline: text(beside + 4),
            domain: text(beside + 5),
            resolves: text(beside + 6),
            home: text(beside + 7),
        })
    }
}

/// The fields of `kind` that its table has columns for.
fn columns(kind: Kind) -> impl Iterator<Item = (&'static FieldSpec, &'static str)> {
    fields_of(kind).filter_map(|spec| Some((spec, column_of(spec.field)?)))
}

/// The record in a row, unless it makes no sense, and whether it is golden.
fn content(kind: Kind, row: &Row<'_>) -> Result<(Option<Record>, bool), rusqlite::Error> {
    let record = Record::build(kind, |spec| {
        let Some(at) = columns(kind).position(|(its, _)| its.field == spec.field) else { return Ok(None) };
        Ok::<_, ReadError>(field_text(spec, row.get_ref(at)?))
    });
    let golden = row.get_ref(columns(kind).count())?.as_i64().is_ok_and(|golden| golden != 0);
    Ok((record.ok(), golden))
}
