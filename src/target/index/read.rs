//! All that the index has of a record, for readers. Nothing here changes the index.

use std::ops::ControlFlow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row};

use super::change::TIME;
use super::query::{Known, parsed};
use super::schema::table_of;
use super::{Error, Index, framework};
use crate::model::{Amended, Kind, Origin, RecordId, Request, Severity};

/// A record, as far as the index has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its row.
    pub known: Known,
    /// Its fields, key and provenance.
    pub request: Request,
    /// How its content came about; `None` if it is as first recorded.
    pub amended: Option<Amended>,
    /// When its row was last changed, to the second; `None` if the row does not say.
    pub updated_at: Option<Timestamp>,
    /// Whether a person promoted it to a golden rule.
    pub is_golden: bool,
    /// Whether the row may have less than the record: only its file has everything.
    pub is_cut: bool,
}

/// What readers filter records by.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// What it is about.
    pub domain: Option<String>,
    /// Its tags, between commas.
    pub tags: String,
    /// Its severity, if its kind has one.
    pub severity: Option<Severity>,
    /// Its project.
    pub project: Option<String>,
    /// Who it is by.
    pub origin: Option<Origin>,
    /// The agent's session.
    pub session: Option<String>,
    /// The agent's program.
    pub agent: Option<String>,
    /// Whether a person promoted it to a golden rule.
    pub is_golden: bool,
    /// Whether its row is there. If another program has deleted it, only the record's file has its fields.
    pub has_row: bool,
}

impl Index {
    /// Begins a transaction that reads: everything read until the index is closed is from one moment.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn begin_to_read(&self) -> Result<(), Error> {
        self.connection.execute_batch("BEGIN").map_err(self.error("read the index"))?;
        self.columns.remember();
        Ok(())
    }

    /// The record `id`, if it has a row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn stored(&self, id: RecordId) -> Result<Option<Stored>, Error> {
        let Some(known) = self.find(id)?.filter(|known| known.row_id.is_some_and(|number| number > 0)) else {
            return Ok(None);
        };
        let Some(request) = self.record_of(&known)? else { return Ok(None) };
        let amended = self.amended(id)?;
        let read = || {
            let table = table_of(known.kind).name;
            let columns = self.columns_or_null(table, &["updated_at", "is_golden"])?;
            let sql = format!("SELECT {columns} FROM {table} WHERE id = ?1");
            let columns = |row: &Row<'_>| Ok((row.get::<_, Value>(0)?, row.get::<_, Value>(1)?));
            let row = self.connection.prepare_cached(&sql)?.query_row([known.row_id], columns).optional()?;
            Ok((row.unwrap_or((Value::Null, Value::Null)), framework::layout(&self.connection)?.1))
        };
        let ((updated, golden), is_framework) = read().map_err(self.error("read a record from the index"))?;
        let updated_at = if let Value::Text(updated) = updated { time(&updated) } else { None };
        let (is_golden, is_cut) = (is_true(&golden), is_framework || known.kind == Kind::Experiment);
        Ok(Some(Stored { known, request, amended, updated_at, is_golden, is_cut }))
    }

    /// The golden rules. Other programs promote rules too, and no line of the feed says so.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn golden(&self) -> Result<Vec<RecordId>, Error> {
        let read = || {
            let golden = self.columns_or_null("heuristics", &["is_golden"])?;
            let sql = format!(
                "SELECT records.id, {golden} FROM records CROSS JOIN heuristics ON heuristics.id = records.row_id
                 WHERE records.kind = 'heuristic' AND {golden} <> 0"
            );
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if is_true(&row.get(1)?) {
                    found.push(parsed(row, 0)?);
                }
            }
            Ok(found)
        };
        read().map_err(self.error("read the index"))
    }

    /// Whether the experiment `id` is under way, as far as its row says.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn is_open(&self, id: RecordId) -> Result<bool, Error> {
        let read = || {
            let status = self.columns_or_null("experiments", &["status"])?;
            let sql = format!(
                "SELECT coalesce({status}, 'active') = 'active' FROM records
                 JOIN experiments ON experiments.id = records.row_id WHERE records.id = ?1"
            );
            self.connection.prepare_cached(&sql)?.query_row([id.to_string()], |row| row.get(0)).optional()
        };
        // One that has no row yet was just begun.
        Ok(read().map_err(self.error("read an experiment from the index"))?.unwrap_or(true))
    }

    /// Calls `take` with the facts of each record that has or had a row, in no order, until it breaks.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_facts(&self, mut take: impl FnMut(Facts) -> ControlFlow<()>) -> Result<(), Error> {
        let mut read = || {
            let columns = |table, columns: &[&str]| self.columns_or_null(table, columns);
            let learning = columns("learnings", &["domain", "tags", "severity"])?;
            let heuristic = columns("heuristics", &["domain", "is_golden"])?;
            let ours = columns("records", &["exact_domain", "project", "origin", "session", "agent"])?;
            let sql = format!(
                "SELECT records.id, records.kind, records.created_at, {learning}, {heuristic}, {ours},
                     records.kind = 'verdict' OR coalesce(learnings.id, heuristics.id, experiments.id) IS NOT NULL
                 FROM records
                 LEFT JOIN learnings ON records.kind IN ('failure', 'success', 'observation')
                     AND learnings.id = records.row_id
                 LEFT JOIN heuristics ON records.kind = 'heuristic' AND heuristics.id = records.row_id
                 LEFT JOIN experiments ON records.kind = 'experiment' AND experiments.id = records.row_id
                 WHERE records.row_id > 0"
            );
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if take(facts(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// Calls `take` for each record with a row, newest first, until it breaks.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_newest(&self, mut take: impl FnMut(RecordId, Timestamp) -> ControlFlow<()>) -> Result<(), Error> {
        let mut read = || {
            let sql = "SELECT id, created_at FROM records WHERE row_id > 0 ORDER BY created_at DESC, id DESC";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let Some((id, created_at)) = id_and_time(row) else { continue };
                if take(id, created_at).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// The records whose id ends with `end` (hex digits and dashes), at most `limit` of them.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn ids_ending(&self, end: &str, limit: usize) -> Result<Vec<RecordId>, Error> {
        let read = || {
            let sql = "SELECT id FROM records WHERE substr(id, -?2) = ?1 LIMIT ?3";
            let mut statement = self.connection.prepare(sql)?;
            let values = rusqlite::params![end, end.len() as i64, limit as i64];
            statement.query_map(values, |row| parsed(row, 0))?.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(self.error("look up a record in the index"))
    }

    /// How many records have a row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM records WHERE row_id > 0";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        count.map(|count| count.try_into().unwrap_or(0)).map_err(self.error("count the records of the index"))
    }
}

fn facts(row: &Row<'_>) -> Result<Facts, rusqlite::Error> {
    let kind: Kind = parsed(row, 1)?;
    let severity = row.get::<_, Value>(5)?;
    let severity = match severity {
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let domain = row.get::<_, Option<String>>(8)?.or(row.get(3)?).or(row.get(6)?);
    Ok(Facts {
        id: parsed(row, 0)?,
        kind,
        created_at: parsed(row, 2)?,
        domain,
        tags: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        severity: Kind::LEARNINGS.contains(&kind).then(|| severity.unwrap_or_default()),
        project: row.get(9)?,
        origin: row.get::<_, Option<String>>(10)?.and_then(|text| text.parse().ok()),
        session: row.get(11)?,
        agent: row.get(12)?,
        is_golden: is_true(&row.get(7)?),
        has_row: row.get(13)?,
    })
}

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Integer(number) if *number != 0)
}

fn id_and_time(row: &Row<'_>) -> Option<(RecordId, Timestamp)> {
    Some((parsed(row, 0).ok()?, parsed(row, 1).ok()?))
}

/// A time in a row, which is UTC.
fn time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(TIME, text).or_else(|_| text.trim_end_matches('Z').parse());
    time.ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
