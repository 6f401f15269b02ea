//! Copies of a whole database: to try things on, and to begin again from.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the index is emptied | it, as it was; a temporary copy has no name, and goes with the process | nothing to do |
//! | before the copy is in it | an index without tables, which counts as lost | recovery builds it anew (`recover::rebuild`) |
//! | while it is copied in | the same: SQLite rolls back | the same |
//! | after it | a copy that says that it is unfinished | the same |

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use uuid::Uuid;

use super::{Error, Index, PATIENCE};
use crate::fs::order::{self, Lock};
use crate::fs::{Point, point};

/// Copies all of `from` into `to`, as it is at one moment: `to` has all of it afterwards, or is as it was.
///
/// # Errors
/// [`Error::Busy`] if somebody has a lock on either, and what reading and writing them says.
pub(crate) fn copy(from: &Index, to: &mut Connection) -> Result<(), Error> {
    let error = from.error("copy the database");
    let _held = order::take(Lock::Index);
    let step = Backup::new(from.connection(), to).and_then(|backup| backup.step(-1));
    match step.map_err(&error)? {
        StepResult::Done => Ok(()),
        _ => Err(Error::Busy { waited: from.wait }),
    }
}

/// A copy of `index` that nobody else sees, in a file without a name, which goes when it is closed.
///
/// # Errors
/// As [`copy`].
pub(crate) fn temporary_copy(index: &Index) -> Result<Index, Error> {
    let failed = |source| Error::Sqlite { doing: "make a temporary database", source };
    let mut connection = Connection::open("").map_err(failed)?;
    copy(index, &mut connection)?;
    // By the path of the original, which is what is wrong if the copy is.
    Ok(Index { connection, path: index.path.clone(), wait: Duration::ZERO, identity: None, access: index.access })
}

impl Index {
    /// Makes of the index at `path`, in place, under whoever has it open, what the database `base` holds and our tables. It
    /// counts as unfinished until [`Index::finish`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `base` is damaged, and as [`Index::reset`]. What `path` holds then is empty, or as it was.
    pub fn reset_to(path: &Path, home: Uuid, base: &Path) -> Result<Index, Error> {
        let base = Index::open(base, PATIENCE)?;
        base.check_integrity()?;
        // That it is unfinished comes in with the rest: nobody may take it for whole.
        let mut prepared = temporary_copy(&base)?;
        prepared.prepare_tables(home, true)?;
        let mut emptied = Index::empty(path)?;
        let named = |source: std::io::Error| rusqlite::Error::ToSqlConversionFailure(source.into());
        point::at(Point::RebuildBeforeCopy).map_err(|source| prepared.error("fill the index")(named(source)))?;
        copy(&prepared, &mut emptied)?;
        let mut index = Index::connect(path, super::flags(), PATIENCE)?;
        index.prepare_tables(home, true)?;
        Ok(index)
    }
}
