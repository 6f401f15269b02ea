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
//! | a log in which SQLite reads nothing, as if a writer was killed before its first page: its header alone, or an invalid header | as by a writer; as immutable if this user may not write it |
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
use crate::fs::os;
use crate::model::layout::{SHM, WAL};

/// The offset of the journal mode in a database's header: 2 and 2 in WAL mode.
const VERSIONS_AT: usize = 18;
/// The length of a log's header, and what it begins with; the last bit is the order of bytes in its checksums.
const LOG_HEADER: usize = 32;
const LOG_MAGIC: u32 = 0x377f_0682;

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
        let log = beside(path, WAL);
        let has_nothing = size(WAL).is_some_and(|bytes| bytes > 0) && has_nothing(&log);
        match (size(WAL), has_shared) {
            (None, _) | (Some(0), false) => read_only(path, wait, "immutable=1"),
            (Some(_), true) if cfg!(windows) => Index::open(path, wait),
            // With a `-shm` that it may not write, SQLite reads such a log again and again, for ten seconds.
            (Some(_), _) if has_nothing && os::refusal_to_open(&log, true).is_some() => {
                read_only(path, wait, "immutable=1")
            }
            (Some(_), true) if !has_nothing => read_only(path, wait, "readonly_shm=1"),
            (Some(_), _) if others == Others::KeptOut => alone(path, wait),
            (Some(_), _) => Index::open(path, wait),
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

/// Whether SQLite reads nothing in `log`: it has a header and no more, or none that is valid
/// (<https://www.sqlite.org/fileformat.html#the_wal_header>).
fn has_nothing(log: &Path) -> bool {
    let mut header = [0; LOG_HEADER];
    // Less than a header is as good as empty.
    let Ok(mut file) = File::open(log).and_then(|mut file| file.read_exact(&mut header).map(|()| file)) else {
        return false;
    };
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let is_valid = number(0) & !1 == LOG_MAGIC && number(8).is_power_of_two() && (512..=65_536).contains(&number(8));
    !is_valid || file.read(&mut [0]).is_ok_and(|more| more == 0)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    /// What is left of a log.
    type Cut = fn(Vec<u8>) -> Vec<u8>;

    /// A database that a killed process left: its row is in it, and `cut` is what is left of its log.
    fn left_by_a_killed_process(folder: &Path, cut: Cut) -> PathBuf {
        let (alive, left) = (folder.join("alive.db"), folder.join("left.db"));
        let connection = Connection::open(&alive).expect("it opens");
        let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).expect("a mode");
        let sql = "CREATE TABLE rows (n); INSERT INTO rows VALUES (7); PRAGMA wal_checkpoint(FULL);
                   CREATE TABLE more (n); INSERT INTO more VALUES (1)";
        connection.execute_batch(sql).expect("written");
        for end in ["", SHM] {
            let _ = fs::copy(beside(&alive, end), beside(&left, end)).expect("copied");
        }
        let bytes = fs::read(beside(&alive, WAL)).expect("a log");
        fs::write(beside(&left, WAL), cut(bytes)).expect("written");
        left
    }

    #[test]
    fn a_log_in_which_sqlite_reads_nothing_keeps_no_reader_waiting() {
        let logs: [(&str, Cut); 6] = [
            ("a header alone", |bytes| bytes[..LOG_HEADER].to_vec()),
            ("zeros", |bytes| vec![0; bytes.len()]),
            ("a wrong checksum", |mut bytes| {
                bytes[LOG_HEADER - 1] ^= 1;
                bytes
            }),
            ("a wrong checksum, and no more", |mut bytes| {
                bytes[LOG_HEADER - 1] ^= 1;
                bytes[..LOG_HEADER].to_vec()
            }),
            ("half a header", |bytes| bytes[..LOG_HEADER / 2].to_vec()),
            ("half a frame", |bytes| bytes[..LOG_HEADER + 100].to_vec()),
        ];
        for (what, cut) in logs {
            for others in [Others::MayWrite, Others::KeptOut] {
                let folder = tempfile::tempdir().expect("a folder");
                let path = left_by_a_killed_process(folder.path(), cut);
                let index = Index::open_to_read(&path, Duration::ZERO, others).expect("it opens");
                let row = index.connection().query_row("SELECT n FROM rows", [], |row| row.get::<_, i64>(0));
                assert_eq!(row.map_err(|error| error.to_string()), Ok(7), "{what}, {others:?}");
            }
        }
    }
}
