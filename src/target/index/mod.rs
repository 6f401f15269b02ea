//! The index: one row for each record, in SQLite, for tools to query.
//!
//! 1. A record's row in its table and its entry in `records` appear in one transaction, or neither does.
//! 2. However often a record is inserted, it has one row: `records.id` is the record's id.
//! 3. A recorder's transaction does not sync; if a power cut loses rows, the journal's replay inserts them again.
//!    [`Index::sync`] makes rows durable before the journal is pruned.
//! 4. The index is derived: it can be rebuilt from the files, in place, under open connections. In an adopted home its
//!    owner's rows exist nowhere else: there the rebuild starts from the copy that was made of them (`copy`).
//!
//! The tables `learnings`, `heuristics` and `experiments` have the columns that the Emergent Learning Framework's
//! readers use. In an adopted home the tables are the framework's, and rows fit its readers (`framework`). `records`
//! and `indelible` are ours.
//!
//! `schema` has the tables and their migrations, `open` the connections and their errors, `insert` and `query` the
//! rows, `entries` the layout of `records`, `alike` which rules are the same one, `again` which failures came again, `rebuild` empties the index and refills it, `look` has the read-only connections,
//! `verdicts` what verdicts add to the rows of rules, `read` all of a record for readers, `copy` whole copies,
//! `revive` restores rows that another program has deleted, `home` has the home's id, `watermark` how far the rows
//! follow the journal, `changes` the feed of what changed, `documents` whole records for those who follow it,
//! `texts` what is written in all rows, `counts` how many rows there are, `erase` leaves no byte of a record. Each says what a crash leaves.

mod again;
mod alike;
mod change;
mod changes;
mod copy;
mod counts;
mod documents;
mod elsewhere;
mod entries;
mod erase;
mod framework;
mod home;
mod insert;
mod look;
mod marks;
mod open;
mod query;
mod read;
mod rebuild;
mod resolves;
mod revive;
mod rules;
mod schema;
mod texts;
mod verdicts;
mod watermark;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

pub use again::Again;
pub use changes::{Change, FeedMark};
pub(crate) use copy::{copy_to, temporary_copy};
pub use documents::{Document, Documents};
pub use insert::{Inserted, RowImage, Taken};
pub use look::Others;
pub(crate) use look::is_in_wal_mode;
pub(crate) use open::{connection, flags};
pub use query::Known;
pub use read::{Facts, Stored};
pub(crate) use revive::Revived;
pub use rules::RuleRow;
pub use schema::SCHEMA;
pub(crate) use schema::{RECORD_TABLES, Table, column_of, columns_of, columns_or_null};
pub use texts::{RowText, Text};
pub use verdicts::Judged;

use crate::fs::os::Identity;
use crate::model::{Kind, RecordId};

/// How long a caller that cannot continue without it waits for another process's lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index does not exist.
    #[error("there is no index at {}", .0.display())]
    Missing(PathBuf),
    /// Another process held SQLite's lock for longer than the wait.
    #[error("the index was locked by another process for longer than {} ms", crate::model::text::number(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)))]
    Busy {
        /// How long the wait was.
        waited: Duration,
    },
    /// The file is not a database, or is damaged.
    #[error("the index at {} is damaged", path.display())]
    Corrupt {
        /// The index.
        path: PathBuf,
        /// The error from SQLite.
        source: rusqlite::Error,
    },
    /// This user cannot open one of its files, or it is not a file at all.
    #[error("the index cannot be used: {} {why}", path.display())]
    Unopenable {
        /// The file: the database, its `-wal` or its `-shm`.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The error from SQLite.
        source: Box<rusqlite::Error>,
    },
    /// A table rejects the row: by a UNIQUE, a CHECK or a trigger that is not ours.
    #[error("the index refuses the row of {kind} {id}")]
    RowRefused {
        /// The record.
        id: RecordId,
        /// Its kind.
        kind: Kind,
        /// The error from SQLite.
        source: rusqlite::Error,
    },
    /// A newer version of the program made the index.
    #[error("the index has schema version {found}; this program knows versions up to {SCHEMA}")]
    Newer {
        /// The index's version.
        found: u32,
    },
    /// Any other error of SQLite.
    #[error("could not {doing}")]
    Sqlite {
        /// The step, as a verb.
        doing: &'static str,
        /// The error from SQLite.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether a retry can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Busy { .. } | Error::Unopenable { .. } | Error::Sqlite { .. } => true,
            Error::Missing(_) | Error::Corrupt { .. } | Error::RowRefused { .. } | Error::Newer { .. } => false,
        }
    }

    /// Whether another process holds SQLite's lock, and nothing else is wrong.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy { .. })
    }

    /// Whether one of the index's files cannot be opened.
    pub fn is_unopenable(&self) -> bool {
        matches!(self, Error::Unopenable { .. })
    }

    /// Whether rebuilding the index repairs this.
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
    columns: schema::Columns,
}

impl Index {
    /// The connection, for the queries of an adoption.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `columns` of `table` for a SELECT, in this order; NULL for each that an adopted table lacks.
    fn columns_or_null(&self, table: &str, columns: &[&str]) -> Result<String, rusqlite::Error> {
        self.columns.or_null(&self.connection, table, columns)
    }
}
