//! Reading rows. Nothing here changes the index.
//!
//! 1. A column that the table lacks reads as NULL: tables may be older than this program, or another program's.
//! 2. A value that is invalid in a record, such as a severity of 7 in an adopted table, reads as the field's default.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row};

use super::schema::{column_of, table_of};
use super::{Error, Index, framework, resolves};
use crate::model::{
    Field, FieldSpec, Invalid, Kind, PROVENANCE, Provenance, Record, RecordId, Request, Shape, fields_of,
};

/// The location of a record's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: String,
    /// The row in its table, or `None` if `records` knows the record and its table lacks the row.
    pub row_id: Option<i64>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

impl Index {
    /// The row of the record `id`, if it has one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn find(&self, id: RecordId) -> Result<Option<Known>, Error> {
        let sql = "SELECT id, kind, path, row_id, created_at FROM records WHERE id = ?1";
        let find = || self.connection.prepare_cached(sql)?.query_row([id.to_string()], known).optional();
        find().map_err(self.error("look up a record in the index"))
    }

    /// Calls `take` for every record that the index knows, ordered by id.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each(&self, mut take: impl FnMut(Known)) -> Result<(), Error> {
        let sql = "SELECT r.id, r.kind, r.path, coalesce(l.id, h.id, e.id, iif(r.kind = 'verdict', r.row_id, NULL)), r.created_at
             FROM records r
             LEFT JOIN learnings l ON r.kind IN ('failure', 'success', 'observation') AND l.id = r.row_id
             LEFT JOIN heuristics h ON r.kind = 'heuristic' AND h.id = r.row_id
             LEFT JOIN experiments e ON r.kind = 'experiment' AND e.id = r.row_id
             ORDER BY r.id";
        let mut read = || {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(known(row)?);
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// The record in a row, as far as a row holds it, with its key and provenance.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn record_of(&self, known: &Known) -> Result<Option<Request>, Error> {
        let names: Vec<&str> = PROVENANCE.iter().map(|spec| spec.name).chain([resolves::COLUMN]).collect();
        let read = || {
            let Some(record) = self.read_record(known)? else { return Ok(None) };
            let record = self.exactly(known.id, record)?;
            // An older program's index lacks these columns until the next insertion.
            let columns = self.columns_or_null("records", &names)?;
            let sql = format!("SELECT key, {columns} FROM records WHERE id = ?1");
            let read = |row: &Row<'_>| Ok((row.get(0)?, provenance_in(row)?, row.get(names.len())?));
            let found = self.connection.prepare_cached(&sql)?.query_row([known.id.to_string()], read).optional()?;
            Ok(found.map(|(key, provenance, resolves)| {
                let record = resolves::restored(record, resolves);
                Request { record, key, provenance }
            }))
        };
        read().map_err(self.error("read a record from the index"))
    }
}

fn known(row: &Row<'_>) -> Result<Known, rusqlite::Error> {
    known_at(row, 0)
}

/// Where a record's row is, in the columns from `at` on.
pub(super) fn known_at(row: &Row<'_>, at: usize) -> Result<Known, rusqlite::Error> {
    Ok(Known {
        id: parsed(row, at)?,
        kind: parsed(row, at + 1)?,
        path: row.get(at + 2)?,
        // A hidden record's row number is negative: there is no such row.
        row_id: row.get::<_, Option<i64>>(at + 3)?.filter(|number| *number > 0),
        created_at: parsed(row, at + 4)?,
    })
}

pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error>
where
    T::Err: std::fmt::Display,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        let error = format!("{text:?}: {error}");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

impl Index {
    pub(super) fn read_record(&self, known: &Known) -> Result<Option<Record>, rusqlite::Error> {
        let Some(row_id) = known.row_id else { return Ok(None) };
        let columns: Vec<(Field, &str)> =
            fields_of(known.kind).filter_map(|spec| Some((spec.field, column_of(spec.field)?))).collect();
        let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
        let table = table_of(known.kind).name;
        let sql = format!("SELECT {} FROM {table} WHERE id = ?1", self.columns_or_null(table, &names)?);
        let read = |row: &Row<'_>| {
            Record::build(known.kind, |spec| {
                let Some(at) = columns.iter().position(|(field, _)| *field == spec.field) else { return Ok(None) };
                Ok::<_, ReadError>(field_text(spec, row.get_ref(at)?))
            })
            .map_err(|ReadError(error)| error)
        };
        self.connection.prepare_cached(&sql)?.query_row([row_id], read).optional()
    }

    /// `record`, read from the row of `id`, with the exact texts restored.
    fn exactly(&self, id: RecordId, record: Record) -> Result<Record, rusqlite::Error> {
        let exactly = self.columns_or_null("records", &framework::EXACT)?;
        let sql = format!("SELECT {exactly} FROM records WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (headline, domain): (Option<String>, Option<String>) =
            statement.query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(framework::restored(record, headline, domain))
    }
}

/// A record's provenance, in a row of `records`, after its key.
pub(super) fn provenance_in(row: &Row<'_>) -> Result<Provenance, rusqlite::Error> {
    let mut provenance = Provenance::default();
    for (at, spec) in PROVENANCE.iter().enumerate() {
        if let Some(text) = row.get::<_, Option<String>>(at + 1)?.filter(|text| spec.check(text).is_ok()) {
            let _ = provenance.set(spec.field, text);
        }
    }
    Ok(provenance)
}

/// A row's value as its field's text; `None` stands for the default. Adopted tables accept values that are invalid in
/// a record, such as a severity of 7.
pub(super) fn field_text(spec: &FieldSpec, value: ValueRef<'_>) -> Option<String> {
    let text = match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Null => String::new(),
    };
    match spec.shape {
        // A status beyond the results, as `active` or `paused`, is of an experiment under way.
        Shape::Severity | Shape::Confidence | Shape::Origin | Shape::Ruling | Shape::Result | Shape::Id => {
            Some(text).filter(|text| spec.check(text).is_ok())
        }
        _ => Some(text),
    }
}

/// Why a row could not be read: always an error of SQLite, since every stored value is accepted.
pub(super) struct ReadError(rusqlite::Error);

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError(error)
    }
}

impl From<Invalid> for ReadError {
    fn from(invalid: Invalid) -> Self {
        ReadError(rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, invalid.into()))
    }
}
