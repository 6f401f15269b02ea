//! All that the index has of a record, for readers. Nothing here changes the index.

use std::collections::HashMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row};

use super::change::TIME;
use super::query::{Known, known_at, parsed, provenance_in};
use super::schema::table_of;
use super::{Error, Index, elsewhere, framework, resolves};
use crate::model::{
    Amended, ExperimentResult, Kind, Origin, OtherHome, PROVENANCE, Provenance, RecordId, Request, Severity,
};

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
    /// The home that recorded it, if that is another one.
    pub from: Option<OtherHome>,
    /// Whether a person promoted it to a golden rule.
    pub is_golden: bool,
    /// Whether the row may have less than the record: only its file has everything.
    pub is_cut: bool,
}

/// A record's entry in `records`.
struct Entry {
    known: Known,
    key: Option<String>,
    provenance: Provenance,
    headline: Option<String>,
    domain: Option<String>,
    resolves: Option<String>,
    amended: Option<Amended>,
    from: Option<OtherHome>,
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

    /// Whether a row of `kind` holds less than its record.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn holds_less(&self, kind: Kind) -> Result<bool, Error> {
        self.is_less(kind).map_err(self.error("read the index"))
    }

    fn is_less(&self, kind: Kind) -> Result<bool, rusqlite::Error> {
        Ok(kind == Kind::Experiment || self.columns.is_framework(&self.connection)?)
    }

    /// The record `id`, if it has a row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn stored(&self, id: RecordId) -> Result<Option<Stored>, Error> {
        let read = || {
            let Some(entry) = self.entry(id)? else { return Ok(None) };
            let Some(record) = self.read_record(&entry.known)? else { return Ok(None) };
            let Entry { known, key, provenance, headline, domain, resolves, amended, from } = entry;
            let record = resolves::restored(framework::restored(record, headline, domain), resolves);
            let table = table_of(known.kind).name;
            let columns = self.columns_or_null(table, &["updated_at", "is_golden"])?;
            let sql = format!("SELECT {columns} FROM {table} WHERE id = ?1");
            let columns = |row: &Row<'_>| Ok((row.get::<_, Value>(0)?, row.get::<_, Value>(1)?));
            let row = self.connection.prepare_cached(&sql)?.query_row([known.row_id], columns).optional()?;
            let (updated, golden) = row.unwrap_or((Value::Null, Value::Null));
            let updated_at = if let Value::Text(updated) = updated { time(&updated) } else { None };
            let is_cut = self.is_less(known.kind)?;
            let request = Request { record, key, provenance };
            let is_golden = is_true(&golden);
            Ok(Some(Stored { known, request, amended, updated_at, from, is_golden, is_cut }))
        };
        read().map_err(self.error("read a record from the index"))
    }

    /// All that `records` has of `id`, if it has a row.
    fn entry(&self, id: RecordId) -> Result<Option<Entry>, rusqlite::Error> {
        let provenance: Vec<&str> = PROVENANCE.iter().map(|spec| spec.name).collect();
        let provenance = self.columns_or_null("records", &provenance)?;
        let [headline, domain] = framework::EXACT;
        let others = [headline, domain, resolves::COLUMN, "revision", "amended", elsewhere::COLUMN];
        let others = self.columns_or_null("records", &others)?;
        let sql = format!(
            "SELECT key, {provenance}, {others}, id, kind, path, row_id, created_at FROM records WHERE id = ?1 AND row_id > 0"
        );
        let read = |row: &Row<'_>| {
            let others = PROVENANCE.len() + 1;
            let text = |at: usize| row.get::<_, Option<String>>(others + at);
            let revision = text(3)?.and_then(|revision| revision.parse().ok());
            let fields = text(4)?.unwrap_or_default();
            Ok(Entry {
                known: known_at(row, others + 6)?,
                key: row.get(0)?,
                provenance: provenance_in(row)?,
                headline: text(0)?,
                domain: text(1)?,
                resolves: text(2)?,
                amended: revision.map(|revision| Amended { revision, fields: Amended::fields_of_line(&fields) }),
                from: text(5)?.as_deref().map(elsewhere::of_text),
            })
        };
        self.connection.prepare_cached(&sql)?.query_row([id.to_string()], read).optional()
    }

    /// A record that has `key`, of whichever home. All entries are looked at: keys have no index, as each record would pay for it.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn of_key(&self, key: &str) -> Result<Option<RecordId>, Error> {
        let sql = "SELECT id FROM records WHERE key = ?1 AND row_id > 0 ORDER BY id LIMIT 1";
        let read = || self.connection.prepare(sql)?.query_row([key], |row| parsed(row, 0)).optional();
        read().map_err(self.error("read the index"))
    }

    /// Calls `visit` with each record that has a key: the key, the record, and its path.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn each_key(&self, visit: &mut dyn FnMut(&str, RecordId, &str)) -> Result<(), Error> {
        let mut read = || {
            let sql = "SELECT key, id, path FROM records WHERE key IS NOT NULL AND row_id > 0";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (key, path): (String, String) = (row.get(0)?, row.get(2)?);
                visit(&key, parsed(row, 1)?, &path);
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
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

    /// The experiments that have ended, as far as their rows say, and how.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn ended(&self) -> Result<Vec<(RecordId, ExperimentResult)>, Error> {
        let read = || {
            let status = self.columns_or_null("experiments", &["status"])?;
            let mut statement = self.connection.prepare(&format!("SELECT id, {status} FROM experiments"))?;
            let mut rows = statement.query([])?;
            let mut ended = HashMap::new();
            while let Some(row) = rows.next()? {
                if let Some(result) =
                    row.get_ref(1)?.as_str().ok().and_then(|status| status.parse::<ExperimentResult>().ok())
                {
                    ended.insert(row.get::<_, i64>(0)?, result);
                }
            }
            // Mostly none has, and a walk of all records is spared.
            if ended.is_empty() {
                return Ok(Vec::new());
            }
            let sql = "SELECT id, row_id FROM records WHERE kind = 'experiment' AND row_id > 0";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if let Some(result) = ended.get(&row.get::<_, i64>(1)?) {
                    found.push((parsed(row, 0)?, *result));
                }
            }
            Ok(found)
        };
        read().map_err(self.error("read the experiments of the index"))
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
            let sql = self.facts_of_rows("")?;
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

    /// The query for the facts of all rows ([`facts`]), with more columns behind them.
    pub(super) fn facts_of_rows(&self, more: &str) -> Result<String, rusqlite::Error> {
        let columns = |table, columns: &[&str]| self.columns_or_null(table, columns);
        let learning = columns("learnings", &["domain", "tags", "severity"])?;
        let heuristic = columns("heuristics", &["domain", "is_golden"])?;
        let ours = columns("records", &["exact_domain", "project", "origin", "session", "agent"])?;
        let comma = if more.is_empty() { "" } else { "," };
        Ok(format!(
            "SELECT records.id, records.kind, records.created_at, {learning}, {heuristic}, {ours},
                 records.kind = 'verdict' OR coalesce(learnings.id, heuristics.id, experiments.id) IS NOT NULL{comma} {more}
             FROM records
             LEFT JOIN learnings ON records.kind IN ('failure', 'success', 'observation')
                 AND learnings.id = records.row_id
             LEFT JOIN heuristics ON records.kind = 'heuristic' AND heuristics.id = records.row_id
             LEFT JOIN experiments ON records.kind = 'experiment' AND experiments.id = records.row_id
             WHERE records.row_id > 0"
        ))
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

    /// About how many records have a row, at the cost of three look-ups: to count them takes seconds in a large home. Numbers of
    /// rows only grow, so that it is too many where rows were taken out.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_about(&self) -> Result<u64, Error> {
        let newest = |table: &str| format!("coalesce((SELECT max(id) FROM {table}), 0)");
        let sql = format!("SELECT {}", ["learnings", "heuristics", "experiments"].map(newest).join(" + "));
        let count = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        count.map(|count| count.try_into().unwrap_or(0)).map_err(self.error("count the records of the index"))
    }
}

/// The columns that facts are made of.
pub(super) const FACTS: usize = 14;

pub(super) fn facts(row: &Row<'_>) -> Result<Facts, rusqlite::Error> {
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
