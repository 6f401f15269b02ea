//! The database of a home that is to be adopted: what is in it, what it would refuse, and a copy of it.
//!
//! Looking changes nothing: everything that has to be tried is tried on a copy that goes when it is closed.

use std::error::Error as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;
use uuid::Uuid;

use crate::intent::{Experiment, Heuristic, Kind, Learning, Record, RecordId};
use crate::store::index::{self, Index, PATIENCE, RowImage, columns_of, temporary_copy};
use crate::text::{chain, visible_line};

/// What is in a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its journal mode: `delete`, `wal`, ...
    pub journal_mode: String,
    /// The tables that records go to.
    pub tables: Vec<Table>,
    /// What SQLite finds wrong with it; nothing can be adopted then.
    pub damage: Vec<String>,
    /// Why our tables cannot be added, if they cannot.
    pub conflict: Option<String>,
    /// Records that it would not take, by kind: they would go to quarantine.
    pub refusals: Vec<Refusal>,
    /// Whether it knows records of ours, from an adoption that was undone.
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
    /// How many rows it has; `None` where there is no such table.
    pub rows: Option<i64>,
    /// Columns of ours that it lacks: they are left out.
    pub lacking: Vec<String>,
}

/// A kind of record whose rows a table does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The kind.
    pub kind: Kind,
    /// What SQLite said.
    pub why: String,
}

/// Looks at the database at `path`. Returns what is in it, and a copy of it to read from.
///
/// # Errors
/// [`index::Error::Busy`] if somebody writes to it for too long, and what [`Index::open`] says.
pub(super) fn inspect(path: &Path) -> Result<(Inspection, Index), index::Error> {
    let index = Index::open(path, PATIENCE)?;
    let copy = temporary_copy(&index)?;
    let error = index.error("look at the database");
    let mut found = Inspection {
        journal_mode: journal_mode(&index)?,
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
pub(super) fn journal_mode(index: &Index) -> Result<String, index::Error> {
    let mode = index.connection().query_row("PRAGMA journal_mode", [], |row| row.get(0));
    mode.map_err(index.error("look at the database"))
}

/// What our tables and one row of each kind come to, tried on a copy: why our tables cannot be added, or which rows are
/// refused.
fn probe(index: &Index) -> Result<(Option<String>, Vec<Refusal>), index::Error> {
    let mut copy = temporary_copy(index)?;
    if let Err(error) = copy.prepare_tables(Uuid::nil(), false) {
        return Ok((Some(said(&error)), Vec::new()));
    }
    let mut refusals = Vec::new();
    for kind in Kind::ALL {
        let record = sample(kind);
        let id = RecordId::new();
        let row = RowImage { id, created_at: Timestamp::UNIX_EPOCH, key: None, record: &record, path: "memory/x.md" };
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
    let name = format!("indelible looks whether this can be inserted: {}", crate::random::id());
    let domain = "indelible".to_owned();
    let learning = Learning { title: name.clone(), domain: domain.clone(), severity: 3, ..empty_learning() };
    match kind {
        Kind::Failure => Record::Failure(learning),
        Kind::Success => Record::Success(learning),
        Kind::Observation => Record::Observation(learning),
        Kind::Heuristic => {
            let (explanation, source) = (String::new(), "observation".to_owned());
            Record::Heuristic(Heuristic { domain, rule: name, explanation, source, confidence: 0.5 })
        }
        Kind::Experiment => {
            let (success_criteria, failure_criteria) = Default::default();
            Record::Experiment(Experiment { name, hypothesis: domain, success_criteria, failure_criteria })
        }
    }
}

fn empty_learning() -> Learning {
    let (title, domain, tags, summary) = Default::default();
    Learning { title, domain, severity: 3, tags, summary }
}

/// Copies the database to the new file `to` and checks the copy. It is one file, and synced.
///
/// # Errors
/// [`index::Error::Corrupt`] if the copy is not sound; nothing else has been changed then.
pub(super) fn back_up(path: &Path, to: &Path) -> Result<(), index::Error> {
    let index = Index::open(path, PATIENCE)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let error = |source| index::Error::Sqlite { doing: "write a copy of the database", source };
    let mut copy = Connection::open_with_flags(to, flags).map_err(error)?;
    index::copy(&index, &mut copy)?;
    // Whatever mode it is copied in, the copy is to be one file.
    let single = copy.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0));
    single.map_err(error)?;
    copy.close().map_err(|(_, source)| error(source))?;
    Index::open(to, PATIENCE)?.check_integrity()
}

/// Puts the database into the journal mode `mode`. Leaving `wal` takes in all that its write-ahead log holds.
///
/// # Errors
/// [`index::Error::Busy`] if somebody has it open all the time; it is then as it was.
pub(super) fn set_journal_mode(path: &Path, mode: &str) -> Result<(), index::Error> {
    let index = Index::open(path, PATIENCE)?;
    let until = Instant::now() + PATIENCE;
    loop {
        // A name from a file is not put into SQL.
        let sql = if mode == "wal" { "PRAGMA journal_mode = WAL" } else { "PRAGMA journal_mode = DELETE" };
        match index.connection().query_row(sql, [], |row| row.get::<_, String>(0)) {
            Ok(now) if (now == "wal") == (mode == "wal") => return Ok(()),
            Err(source) if source.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => {
                return Err(index.error("change the journal mode of the database")(source));
            }
            _ if Instant::now() >= until => return Err(index::Error::Busy { waited: PATIENCE }),
            // SQLite waits for no lock here.
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
