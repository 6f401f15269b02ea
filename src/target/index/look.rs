//! Opening a database only to read it: works on read-only storage and on a full disk.
//!
//! 1. No file of the database changes, appears or disappears, with one exception: a log without a `-shm`, if others
//!    may write ([`Others::MayWrite`]).
//! 2. Only committed data is read, with one exception: a database without a log is read as an immutable file, and a
//!    process may open it in the meantime. The caller reads again if it finds damage.
//!
//! | found, in WAL mode | opened |
//! | --- | --- |
//! | no log; or an empty one, and no `-shm` | as immutable: no process has the database open |
//! | a log and a `-shm` | with the `-shm` as it is; if no process has it open, SQLite keeps one in memory |
//! | a log and no `-shm`, as after a crash | others may write: as by a writer, which makes a `-shm`; kept out: locked |
//!
//! In another mode SQLite needs no file to read, unless a crash left a journal to roll back: then it is opened as by a
//! writer.

use std::fs::{File, symlink_metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::open::{Access, beside, check_files, connection, flags, spare_memory};
use super::schema::Columns;
use super::{Error, Index};
use crate::model::layout::{SHM, WAL};

/// The offset of the journal mode in a database's header: 2 and 2 in WAL mode.
const VERSIONS_AT: usize = 18;

/// What other processes may do while a database with a crash's log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Write to it. SQLite makes a `-shm` beside it.
    MayWrite,
    /// Nothing, until it is closed. No file appears.
    KeptOut,
}

impl Index {
    /// Opens the database at `path` to read it.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_to_read(path: &Path, wait: Duration, others: Others) -> Result<Index, Error> {
        if !is_in_wal_mode(path) {
            return Index::open(path, wait);
        }
        let size = |end| symlink_metadata(beside(path, end)).ok().map(|found| found.len());
        let has_shared = size(SHM).is_some_and(|bytes| bytes > 0);
        match (size(WAL), has_shared) {
            (None, _) | (Some(0), false) => read_only(path, wait, "immutable=1"),
            (Some(_), true) if cfg!(windows) => Index::open(path, wait),
            (Some(_), true) => read_only(path, wait, "readonly_shm=1"),
            (Some(_), false) if others == Others::KeptOut => alone(path, wait),
            (Some(_), false) => Index::open(path, wait),
        }
    }
}

/// Whether the database is in WAL mode, according to its header.
pub(crate) fn is_in_wal_mode(path: &Path) -> bool {
    let mut header = [0; VERSIONS_AT + 2];
    let is_file = symlink_metadata(path).is_ok_and(|it| it.is_file());
    is_file
        && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header[VERSIONS_AT..] == [2, 2]
}

/// Opens a database with a parameter that only a URI can carry.
fn read_only(path: &Path, wait: Duration, parameter: &str) -> Result<Index, Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str(&format!("?{parameter}"));
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let flags = read | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_URI;
    Index::connect_by(&PathBuf::from(uri), path, flags, wait)
}

/// Opens a database with a crash's log. It locks out other processes until it is closed, and so needs no shared
/// memory.
fn alone(path: &Path, wait: Duration) -> Result<Index, Error> {
    let failed = |source| Error::Sqlite { doing: "open the database", source };
    let connection = connection(path, flags()).map_err(failed)?;
    let identity = check_files(path)?;
    spare_memory(&connection);
    let set = || {
        connection.busy_timeout(wait)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Before the first read.
        connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
    };
    set().map_err(failed)?;
    Ok(Index { connection, path: path.into(), wait, identity, access: Access::Read, columns: Columns::default() })
}
