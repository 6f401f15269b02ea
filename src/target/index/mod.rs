//! The index: one row for each record, in SQLite, for tools to query.
//!
//! 1. A record's row in its table and its entry in `records` appear in one transaction, or neither does.
//! 2. However often a record is inserted, it has one row: `records.id` is the record's id.
//! 3. A recorder's transaction syncs nothing; what is lost with the power, the journal inserts again. [`Index::sync`]
//!    makes rows durable, before the journal lets go of them.
//! 4. The index is derived: it can be built anew from the files, in place, under open connections. In an adopted home its
//!    owner's rows are nowhere else: there it begins with the copy that was made of them (`copy`).
//!
//! The tables `learnings`, `heuristics` and `experiments` have the columns that the Emergent Learning Framework's
//! readers use; in an adopted home they are the framework's, and rows are as its readers take them (`framework`).
//! `records` and `indelible` are ours.
//!
//! `schema` has the tables and their migrations, `open` the connections and their errors, `insert` and `query` the rows,
//! `rebuild` what empties the index and begins again, `look` the connections that only read, `copy` whole copies,
//! `revive` rows that another program has deleted, `home` the home's id, `watermark` how far the rows follow the journal. Each
//! says what a crash leaves.

mod change;
mod copy;
mod framework;
mod home;
mod insert;
mod look;
mod marks;
mod open;
mod query;
mod rebuild;
mod revive;
mod schema;
mod watermark;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

pub(crate) use copy::{copy_to, temporary_copy};
pub use insert::{Inserted, RowImage, Taken};
pub use look::Others;
pub(crate) use look::is_in_wal_mode;
pub use query::Known;
pub(crate) use revive::Revived;
pub use schema::SCHEMA;
pub(crate) use schema::{RECORD_TABLES, Table, columns_of, columns_or_null};

use crate::fs::os::Identity;
use crate::model::{Kind, RecordId};

/// How long whoever cannot go on without it waits for somebody else's lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no index.
    #[error("there is no index at {}", .0.display())]
    Missing(PathBuf),
    /// Somebody else held SQLite's lock for longer than was to be waited.
    #[error("the index was locked by another process for longer than {} ms", crate::model::text::number(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)))]
    Busy {
        /// How long was waited.
        waited: Duration,
    },
    /// It is not a database, or a damaged one.
    #[error("the index at {} is damaged", path.display())]
    Corrupt {
        /// The index.
        path: PathBuf,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
    /// A file of it is not one that this user can open, or no file at all.
    #[error("the index cannot be used: {} {why}", path.display())]
    Unopenable {
        /// The file: the database, its `-wal` or its `-shm`.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What SQLite says of it.
        source: Box<rusqlite::Error>,
    },
    /// A table refuses the row: a UNIQUE, a CHECK or a trigger that is not ours.
    #[error("the index refuses the row of {kind} {id}")]
    RowRefused {
        /// The record.
        id: RecordId,
        /// Its kind.
        kind: Kind,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
    /// A newer version of the program made it.
    #[error("the index has schema version {found}; this program knows versions up to {SCHEMA}")]
    Newer {
        /// The version it has.
        found: u32,
    },
    /// Anything else that SQLite says.
    #[error("could not {doing}")]
    Sqlite {
        /// The step, as a verb.
        doing: &'static str,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Busy { .. } | Error::Unopenable { .. } | Error::Sqlite { .. } => true,
            Error::Missing(_) | Error::Corrupt { .. } | Error::RowRefused { .. } | Error::Newer { .. } => false,
        }
    }

    /// Whether somebody else holds SQLite's lock, and nothing else is wrong.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy { .. })
    }

    /// Whether one of its files is what cannot be opened.
    pub fn is_unopenable(&self) -> bool {
        matches!(self, Error::Unopenable { .. })
    }

    /// Whether building the index anew mends it.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Missing(_) | Error::Corrupt { .. })
    }
}

/// An open index.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    path: PathBuf,
    wait: Duration,
    identity: Option<Identity>,
    access: open::Access,
}

impl Index {
    /// The connection, for what only an adoption asks of a database.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}
