//! Copies of a whole database: to try changes on, and to restart from (`rebuild`).
//!
//! 1. A copy is the database as it was at one moment, or there is no copy.
//! 2. SQLite writes a copy and syncs it, by its path. The caller moves it into place and syncs the name.
//! 3. A temporary copy has no name, and disappears with the process.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while a copy is written to its own file | part of that temporary file | its owner: `adopt`, `pipeline::adopted` |

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::Columns;
use super::{Error, Index, PATIENCE};
use crate::fs::order::{self, Lock};

/// Copies all of `from` into `to`, as of one moment: afterwards `to` has all of it, or is unchanged.
///
/// # Errors
/// [`Error::Busy`] if another process has locked either, and errors of reading and writing them.
pub(super) fn copy(from: &Index, to: &mut Connection) -> Result<(), Error> {
    let error = from.error("copy the database");
    let _held = order::take(Lock::Index);
    let step = Backup::new(from.connection(), to).and_then(|backup| backup.step(-1));
    match step.map_err(&error)? {
        StepResult::Done => Ok(()),
        _ => Err(Error::Busy { waited: from.wait }),
    }
}

/// Copies `index` to the new file `to` and checks the copy. The copy is a single file, and synced.
///
/// # Errors
/// [`Error::Corrupt`] if the copy is damaged, and as [`copy`].
pub(crate) fn copy_to(index: &Index, to: &Path) -> Result<(), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let error = |source| Error::Sqlite { doing: "write a copy of the database", source };
    let mut copied = Connection::open_with_flags(to, flags).map_err(error)?;
    copy(index, &mut copied)?;
    // The copy has to be a single file, whatever the original's journal mode.
    let single = copied.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0));
    single.map_err(error)?;
    copied.close().map_err(|(_, source)| error(source))?;
    Index::open(to, PATIENCE)?.check_integrity()
}

/// A private copy of `index`, in a file without a name that disappears when it is closed.
///
/// # Errors
/// As [`copy`].
pub(crate) fn temporary_copy(index: &Index) -> Result<Index, Error> {
    let failed = |source| Error::Sqlite { doing: "make a temporary database", source };
    let mut connection = Connection::open("").map_err(failed)?;
    copy(index, &mut connection)?;
    // Errors name the original's path: if the copy is damaged, so is the original.
    Ok(Index {
        connection,
        path: index.path.clone(),
        wait: Duration::ZERO,
        identity: None,
        access: index.access,
        columns: Columns::default(),
    })
}

impl Index {
    /// Copies all of the write-ahead log into the database and empties the log. Returns false if another process reads
    /// or writes meanwhile; nothing is lost then.
    pub(crate) fn fold(&self) -> Result<bool, rusqlite::Error> {
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
        Ok(busy == 0)
    }

    /// Closes the index as other programs do: the last one to close it removes the log.
    pub(crate) fn close_last(self) -> Result<(), Error> {
        let error = self.error("close the database");
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(&error)?;
        self.connection.close().map_err(|(_, source)| error(source))
    }
}
