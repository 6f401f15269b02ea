//! Copies of a whole database: to try things on, and to begin again from.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use uuid::Uuid;

use super::{Error, Index};
use crate::fs::order::{self, Lock};

/// How long somebody else's lock is waited for.
const WAIT: Duration = Duration::from_secs(10);

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
pub(crate) fn temporary_copy(index: &Index) -> Result<Connection, Error> {
    let failed = |source| Error::Sqlite { doing: "make a temporary database", source };
    let mut connection = Connection::open("").map_err(failed)?;
    copy(index, &mut connection)?;
    Ok(connection)
}

impl Index {
    /// Makes of the index at `path`, in place, under whoever has it open, what the database `base` holds and our tables. It
    /// counts as unfinished until [`Index::finish`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `base` is damaged, and as [`Index::reset`]. What `path` holds then is empty, or as it was.
    pub fn reset_to(path: &Path, home: Uuid, base: &Path) -> Result<Index, Error> {
        // That it is unfinished comes in with the rest: nobody may take it for whole.
        let mut prepared = Index::over(temporary_copy(&Index::open(base, WAIT)?)?);
        if let Some(line) = prepared.integrity()?.into_iter().next() {
            let source = rusqlite::Error::InvalidPath(line.into());
            return Err(Error::Corrupt { path: base.into(), source });
        }
        prepared.prepare_tables(home, true)?;
        copy(&prepared, &mut Index::empty(path)?)?;
        let mut index = Index::connect(path, super::flags(), WAIT)?;
        index.prepare_tables(home, true)?;
        Ok(index)
    }
}
