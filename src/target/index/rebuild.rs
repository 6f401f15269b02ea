//! Emptying the index and building it again, in place, under processes that have it open.
//!
//! 1. An index that was emptied counts as unfinished until [`Index::finish`].
//! 2. SQLite empties and fills it, in one transaction each, and writes and syncs its files itself. They keep their
//!    identity, but for a log that SQLite cannot read, which is removed.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the index is emptied | it, as it was | nothing to do |
//! | before its tables are made, or a copy is in it | an index without tables, which counts as lost | `recover::rebuild` |
//! | while a copy is put into it | the same: SQLite rolls back | the same |
//! | before it is finished | an index that says that it is unfinished | the same |

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::copy::{copy, temporary_copy};
use super::open::{beside, connection, flags};
use super::schema::value_of;
use super::{Error, Index, PATIENCE};
use crate::fs::order::{self, Lock};
use crate::fs::{Dir, Point, crash};
use crate::model::HomeId;

impl Index {
    /// Empties the index, in place, under whoever has it open, and makes its tables anew. What was in it is gone.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody uses it for too long, [`Error::Sqlite`].
    pub fn reset(path: &Path, home: HomeId) -> Result<Index, Error> {
        drop(Index::empty(path)?);
        let mut index = Index::connect(path, flags() | OpenFlags::SQLITE_OPEN_CREATE, PATIENCE)?;
        index.prepare_tables(home, true)?;
        Ok(index)
    }

    /// Makes of the index at `path`, in place, under whoever has it open, what the database `base` holds and our tables. It
    /// counts as unfinished until [`Index::finish`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `base` is damaged, and as [`Index::reset`]. What `path` holds then is empty, or as it was.
    pub fn reset_to(path: &Path, home: HomeId, base: &Path) -> Result<Index, Error> {
        let base = Index::open(base, PATIENCE)?;
        base.check_integrity()?;
        // That it is unfinished comes in with the rest: nobody may take it for whole.
        let mut prepared = temporary_copy(&base)?;
        prepared.prepare_tables(home, true)?;
        let mut emptied = Index::empty(path)?;
        let named = |source: std::io::Error| rusqlite::Error::ToSqlConversionFailure(source.into());
        crash::at(Point::RebuildBeforeCopy).map_err(|source| prepared.error("fill the index")(named(source)))?;
        copy(&prepared, &mut emptied)?;
        let mut index = Index::connect(path, flags(), PATIENCE)?;
        index.prepare_tables(home, true)?;
        Ok(index)
    }

    /// Empties the database at `path`, whatever is in it.
    fn empty(path: &Path) -> Result<Connection, Error> {
        let is_malformed = |error: &Error| matches!(error, Error::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt));
        match Index::empty_in_place(path) {
            // The log has no first page, and the database a damaged one. What the log holds is in files and the journal; a
            // copy of it is in quarantine by now.
            Err(error) if is_malformed(&error) => {
                for end in ["-wal", "-shm"] {
                    let file = beside(path, end);
                    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    let _ = Dir::open(path.parent().unwrap_or(path)).and_then(|folder| folder.remove(name));
                }
                Index::empty_in_place(path)
            }
            emptied => emptied,
        }
    }

    fn empty_in_place(path: &Path) -> Result<Connection, Error> {
        let failed = |source| Error::Sqlite { doing: "empty the index", source };
        let connection = connection(path, flags() | OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
        let empty = || {
            let _held = order::take(Lock::Index);
            connection.busy_timeout(PATIENCE)?;
            // SQLite has to have come upon the log before: otherwise it keeps to what is left of the header, and refuses.
            let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
            let vacuum = connection.execute_batch("VACUUM");
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
            vacuum
        };
        empty().map_err(failed)?;
        Ok(connection)
    }

    /// Says that an index that was emptied is full again.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn finish(&self) -> Result<(), Error> {
        let _held = order::take(Lock::Index);
        let finish = self.connection.execute("DELETE FROM indelible WHERE name = 'rebuilding'", []);
        finish.map(|_| ()).map_err(self.error("finish building the index"))
    }

    /// Whether the index holds all it should: it is not one that was emptied and not filled again.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn is_finished(&self) -> Result<bool, Error> {
        let rebuilding = value_of::<u32>(&self.connection, "rebuilding").map_err(self.error("read the index"))?;
        Ok(rebuilding.is_none())
    }
}
