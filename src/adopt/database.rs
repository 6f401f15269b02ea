//! Inspects the database of a home that is to be adopted, tries what it would refuse, and copies it.
//!
//! An inspection changes nothing: trials run on a temporary copy.

use std::error::Error as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use crate::model::text::{chain, visible_line};
use crate::model::{FieldSpec, HomeId, Invalid, Kind, Provenance, Record, RecordId};
use crate::target::index::{self, Index, Others, PATIENCE, RowImage, columns_of, temporary_copy};

/// What is in a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its journal mode: `delete`, `wal`, ...
    pub journal_mode: String,
    /// The tables that records go to.
    pub tables: Vec<Table>,
    /// The damage that SQLite finds. With any, the home cannot be adopted.
    pub damage: Vec<String>,
    /// Why our tables cannot be added, if they cannot.
    pub conflict: Option<String>,
    /// The kinds of record whose rows it refuses. Such records would go to quarantine.
    pub refusals: Vec<Refusal>,
    /// Whether it has our rows, from an adoption that was released.
    pub has_records: bool,
}

impl Inspection {
    /// Whether it can be adopted.
    pub fn is_usable(&self) -> bool {
        self.damage.is_empty() && self.conflict.is_none()
    }
}

/// A table that records go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has; `None` if the table is missing.
    pub rows: Option<i64>,
    /// Our columns that it lacks. Rows are inserted without them.
    pub lacking: Vec<String>,
}

/// A kind of record whose rows a table refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The kind.
    pub kind: Kind,
    /// What SQLite said.
    pub why: String,
}

/// Inspects the database at `path`. Returns what is in it, and a copy to read from.
///
/// # Errors
/// [`index::Error::Busy`] if another process writes to it for too long, and the errors of [`Index::open`].
pub(super) fn inspect(path: &Path) -> Result<(Inspection, Index), index::Error> {
    let found = look(path);
    // Another process may have begun to write while the database was read as one that no process has open.
    match &found {
        Ok((inspection, _)) if inspection.damage.is_empty() => found,
        _ => look(path),
    }
}

fn look(path: &Path) -> Result<(Inspection, Index), index::Error> {
    let index = Index::open_to_read(path, PATIENCE, Others::KeptOut)?;
    let copy = temporary_copy(&index)?;
    let error = index.error("look at the database");
    let mut found = Inspection {
        journal_mode: journal_mode(&index, path)?,
        tables: Vec::new(),
        damage: copy.integrity()?.iter().map(|line| visible_line(line).into_owned()).collect(),
        conflict: None,
        refusals: Vec::new(),
        has_records: false,
    };
    if found.damage.is_empty() {
        let tables = index::RECORD_TABLES.iter().map(|table| look_at(copy.connection(), table));
        found.tables = tables.collect::<Result<Vec<_>, _>>().map_err(&error)?;
        found.has_records = !columns_of(copy.connection(), "records").map_err(&error)?.is_empty();
        (found.conflict, found.refusals) = probe(&index)?;
    }
    Ok((found, copy))
}

fn look_at(connection: &Connection, table: &index::Table) -> Result<Table, rusqlite::Error> {
    let name = table.name;
    let there = columns_of(connection, name)?;
    if there.is_empty() {
        return Ok(Table { name, rows: None, lacking: Vec::new() });
    }
    let rows = connection.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))?;
    Ok(Table { name, rows: Some(rows), lacking: table.columns(false, &there).map(str::to_owned).collect() })
}

/// The mode in which the database keeps its journal.
fn journal_mode(index: &Index, path: &Path) -> Result<String, index::Error> {
    if index::is_in_wal_mode(path) {
        return Ok("wal".to_owned());
    }
    let mode = index.connection().query_row("PRAGMA journal_mode", [], |row| row.get(0));
    mode.map_err(index.error("look at the database"))
}

/// Adds our tables and one row of each kind to a copy. Returns why our tables cannot be added, or which rows are refused.
fn probe(index: &Index) -> Result<(Option<String>, Vec<Refusal>), index::Error> {
    let mut copy = temporary_copy(index)?;
    if let Err(error) = copy.prepare_tables(HomeId::default(), false) {
        return Ok((Some(said(&error)), Vec::new()));
    }
    let mut refusals = Vec::new();
    for kind in Kind::LEARNED {
        let record = sample(kind);
        let id = RecordId::new();
        let (created_at, provenance) = (Timestamp::UNIX_EPOCH, &Provenance::default());
        let row = RowImage {
            id,
            created_at,
            key: None,
            record: &record,
            provenance,
            amended: None,
            path: "memory/x.md",
            from: None,
        };
        if let Err(error) = copy.insert(&[row]) {
            refusals.push(Refusal { kind, why: error.source().map_or_else(|| said(&error), said) });
        }
    }
    Ok((None, refusals))
}

fn said(error: &dyn std::error::Error) -> String {
    visible_line(&chain(error)).into_owned()
}

fn sample(kind: Kind) -> Record {
    // A name that nothing has: what is tried is the table, not one row.
    let name = format!("indelible tries an insertion: {}", crate::random::id());
    let named = |spec: &FieldSpec| Ok::<_, Invalid>(spec.required.then(|| name.clone()));
    Record::build(kind, named).expect("every required field is there, and the rest are the defaults")
}

/// Copies the database to the new file `to` and checks the copy. It is one file, and synced.
///
/// # Errors
/// [`index::Error::Corrupt`] if the copy is not sound; nothing else has been changed then.
pub(super) fn back_up(path: &Path, to: &Path) -> Result<(), index::Error> {
    index::copy_to(&Index::open(path, PATIENCE)?, to)
}

/// Sets the database's journal mode. Leaving `wal` checkpoints its write-ahead log.
///
/// # Errors
/// [`index::Error::Busy`] if another process has it open the whole time. It has its old mode then.
pub(super) fn set_journal_mode(path: &Path, mode: &str) -> Result<(), index::Error> {
    let index = Index::open(path, PATIENCE)?;
    // A name from a file is not put into SQL.
    let sql = if mode == "wal" { "PRAGMA journal_mode = WAL" } else { "PRAGMA journal_mode = DELETE" };
    patiently(&index, "change the journal mode of the database", || {
        let now = index.connection().query_row(sql, [], |row| row.get::<_, String>(0))?;
        Ok((now == "wal") == (mode == "wal"))
    })
}

/// As [`set_journal_mode`], and checkpoints, also in WAL mode: a program that copies only the database's file gets all rows.
///
/// # Errors
/// As [`set_journal_mode`]; no row is lost.
pub(super) fn settle(path: &Path, mode: &str) -> Result<(), index::Error> {
    set_journal_mode(path, mode)?;
    if mode != "wal" {
        return Ok(());
    }
    let index = Index::open(path, PATIENCE)?;
    patiently(&index, "checkpoint the database", || index.fold())?;
    index.close_last()
}

/// Retries `step` until it is done or the index's wait is over, since SQLite does not wait for a lock there.
fn patiently(
    index: &Index,
    doing: &'static str,
    mut step: impl FnMut() -> Result<bool, rusqlite::Error>,
) -> Result<(), index::Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match step() {
            Ok(true) => return Ok(()),
            Err(source) if source.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => {
                return Err(index.error(doing)(source));
            }
            _ if Instant::now() >= until => return Err(index::Error::Busy { waited: PATIENCE }),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
