//! Opening a database that is only to be looked at: no file appears beside it, and none goes.
//!
//! In WAL mode SQLite makes `-wal` and `-shm` for every reader, unless it is told that the database is immutable. It is
//! told so only if there is no log, and so no process has the database open. One may open it all the same: what is read
//! then can look damaged, and the caller looks again.

use std::fs::{File, symlink_metadata};
use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::open::{Access, beside, connection, flags, identity_of, spare_memory};
use super::{Error, Index, PATIENCE};

/// Where a database's header says how its journal is kept: 2 and 2 in WAL mode.
const VERSIONS_AT: usize = 18;

impl Index {
    /// Opens the database at `path` to look at it.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub(crate) fn open_to_look(path: &Path) -> Result<Index, Error> {
        let has = |end| symlink_metadata(beside(path, end)).is_ok();
        let failed = |source| Error::Sqlite { doing: "open the database", source };
        let opened = match (is_in_wal_mode(path), has("-wal"), has("-shm")) {
            (true, false, _) => unchanging(path),
            (true, true, false) => alone(path),
            _ => return Index::open(path, PATIENCE),
        };
        let connection = opened.map_err(failed)?;
        Ok(Index { connection, path: path.into(), wait: PATIENCE, identity: identity_of(path), access: Access::Read })
    }
}

/// Whether the database is in WAL mode, as far as its header says so.
pub(crate) fn is_in_wal_mode(path: &Path) -> bool {
    let mut header = [0; VERSIONS_AT + 2];
    let is_file = symlink_metadata(path).is_ok_and(|it| it.is_file());
    is_file
        && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header[VERSIONS_AT..] == [2, 2]
}

/// A connection to a database without a log, which no process has open.
fn unchanging(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    connection(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI)
}

/// A connection to a database whose log a crash has left: it keeps others out for as long, and so needs no shared memory.
fn alone(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = connection(path, flags())?;
    spare_memory(&connection);
    connection.busy_timeout(PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Before anything is read.
    connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
    Ok(connection)
}
