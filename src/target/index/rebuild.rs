//! Emptying the index and refilling it, in place, while other processes have it open.
//!
//! 1. An emptied index counts as unfinished until [`Index::finish`].
//! 2. SQLite empties and fills it, in one transaction each, and writes and syncs its files itself. The files keep
//!    their identity, except a log that SQLite cannot read, which is removed.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the index is emptied | the old index | nothing to do |
//! | before its tables are made, or a copy is in it | no tables: the index counts as lost | `recover::rebuild` |
//! | while a copy is put into it | the same: SQLite rolls back | the same |
//! | before it is finished | an index marked as unfinished | the same |

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
use crate::model::layout::DATABASE_SUFFIXES;

impl Index {
    /// Empties the index, in place, while other processes may have it open, and recreates its tables. Its old content
    /// is gone.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process uses it for too long, [`Error::Sqlite`].
    pub fn reset(path: &Path, home: HomeId) -> Result<Index, Error> {
        drop(Index::empty(path)?);
        let mut index = Index::connect(path, flags() | OpenFlags::SQLITE_OPEN_CREATE, PATIENCE)?;
        index.prepare_tables(home, true)?;
        Ok(index)
    }

    /// Replaces the content of the index at `path`, in place, while other processes may have it open, by that of the
    /// database `base` and our tables. It counts as unfinished until [`Index::finish`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `base` is damaged, and as [`Index::reset`]. The index at `path` is then empty, or
    /// unchanged.
    pub fn reset_to(path: &Path, home: HomeId, base: &Path) -> Result<Index, Error> {
        let base = Index::open(base, PATIENCE)?;
        base.check_integrity()?;
        // The copy already has the marker for unfinished: no process may take the index for whole.
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

    /// Empties the database at `path`, whatever its content.
    fn empty(path: &Path) -> Result<Connection, Error> {
        let is_malformed = |error: &Error| matches!(error, Error::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt));
        match Index::empty_in_place(path) {
            // The log lacks the first page, and the database has a damaged one. The log's content is also in files and
            // the journal; a copy of it is in quarantine by now.
            Err(error) if is_malformed(&error) => {
                for end in &DATABASE_SUFFIXES[1..] {
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
            // SQLite has to have found the log before: otherwise it uses the damaged header, and refuses.
            let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
            let vacuum = connection.execute_batch("VACUUM");
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
            vacuum
        };
        empty().map_err(failed)?;
        Ok(connection)
    }

    /// Marks an emptied index as full again.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn finish(&self) -> Result<(), Error> {
        let _held = order::take(Lock::Index);
        let finish = self.connection.execute("DELETE FROM indelible WHERE name = 'rebuilding'", []);
        finish.map(|_| ()).map_err(self.error("finish building the index"))
    }

    /// Whether the index is complete: it was not emptied without being refilled.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn is_finished(&self) -> Result<bool, Error> {
        let rebuilding = value_of::<u32>(&self.connection, "rebuilding").map_err(self.error("read the index"))?;
        Ok(rebuilding.is_none())
    }
}
