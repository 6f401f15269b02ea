//! Connections: how the index is opened, how SQLite's errors are mapped, and when rows are durable.
//!
//! 1. Every connection comes from [`connection`], so that our system calls are installed before SQLite opens a file.
//! 2. No symbolic link is followed, and each file of the index is a plain file with one name.
//! 3. A connection syncs only in [`Index::sync`], and makes no checkpoint when it is closed.
//! 4. SQLite opens its files itself, by path. The file layer neither sees nor simulates its writes and syncs.
//! 5. An error is mapped by SQLite's result code, never by its text.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::schema::Columns;
use super::{Error, Index, PATIENCE};
use crate::fs::order::{self, Lock};
use crate::fs::os::{self, Identity, Stamp};
use crate::model::HomeId;
use crate::model::layout::{DATABASE_SUFFIXES, ROLLBACK_JOURNAL, SHM};

/// SQLite stores milliseconds in 31 bits.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadAndWrite,
}

impl Index {
    /// Makes the index at `path`, or the tables that it lacks. Returns the home's id in it: `home` if it had none.
    ///
    /// # Errors
    /// Every [`Error`] but `Missing` and `RowRefused`.
    pub fn create(path: &Path, home: HomeId) -> Result<HomeId, Error> {
        let flags = flags() | OpenFlags::SQLITE_OPEN_CREATE;
        let mut index = Index::connect(path, flags, PATIENCE)?;
        index.prepare_tables(home, false)
    }

    /// Opens the index at `path`. The caller waits no longer than `wait` for another process's lock.
    ///
    /// # Errors
    /// [`Error::Missing`] if it does not exist; nothing is made then.
    pub fn open(path: &Path, wait: Duration) -> Result<Index, Error> {
        Index::connect(path, flags(), wait)
    }

    pub(super) fn connect(path: &Path, flags: OpenFlags, wait: Duration) -> Result<Index, Error> {
        Index::connect_by(path, path, flags, wait)
    }

    /// Opens the index at `path` under the name `name`: its path, or a URI with parameters.
    pub(super) fn connect_by(name: &Path, path: &Path, flags: OpenFlags, wait: Duration) -> Result<Index, Error> {
        let wait = wait.min(WAIT_MAX);
        let access = match flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
            true => Access::Read,
            false => Access::ReadAndWrite,
        };
        let connection = match connection(name, flags) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !path.exists() => {
                return Err(Error::Missing(path.into()));
            }
            connection => connection.map_err(|source| failed_to("open the index", path, access, source))?,
        };
        let identity = check_files(path)?;
        let index = Index { connection, path: path.into(), wait, identity, access, columns: Columns::default() };
        spare_memory(&index.connection);
        // The worker makes the checkpoints; by default the last connection to close would make one, with four syncs.
        let set = || {
            index.connection.busy_timeout(wait)?;
            index.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            index.connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;")
        };
        set().map_err(index.error("set up the index"))?;
        Ok(index)
    }

    pub(crate) fn error(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let (path, waited, access) = (self.path.clone(), self.wait, self.access);
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { waited },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt { path: path.clone(), source },
            _ => failed_to(doing, &path, access, source),
        }
    }

    /// Whether the file that is open is no longer the one at its path: moved away, removed or replaced.
    pub fn has_moved(&self) -> bool {
        identity_of(&self.path) != self.identity
    }

    /// Whether a row could be inserted now: no process holds SQLite's lock for longer than `wait`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn is_free(&self, wait: Duration) -> Result<bool, Error> {
        let _held = order::take(Lock::Index);
        let try_lock = || {
            self.connection.busy_timeout(wait.min(WAIT_MAX))?;
            let locked = self.connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;");
            self.connection.busy_timeout(self.wait)?;
            locked
        };
        match try_lock().map_err(self.error("lock the index")) {
            Err(error) if error.is_busy() => Ok(false),
            locked => locked.map(|()| true),
        }
    }

    /// Copies the write-ahead log into the database, as far as readers allow. Returns whether all of it was copied.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    fn checkpoint(&self) -> Result<bool, Error> {
        let pages = |row: &Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages);
        let (in_log, copied) = checkpoint.map_err(self.error("checkpoint the index"))?;
        Ok(in_log == copied)
    }

    /// Makes all inserted rows durable, including other processes' rows. Returns whether all of them are in the
    /// database's own file; they are unless a reader was in the way.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`]; nothing counts as durable then.
    pub fn sync(&self) -> Result<bool, Error> {
        let _held = order::take(Lock::Index);
        // On macOS a plain sync stops at the drive's cache; elsewhere this has no effect.
        let whole = self.connection.execute_batch("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;");
        whole.map_err(self.error("make the index durable"))?;
        let is_whole = self.checkpoint()?;
        // A commit that changes no byte does not sync, hence the counter. It is also the first write after the
        // checkpoint, so that no recorder has to sync the write-ahead log's new header. It truncates the log to the
        // size that it needs, too.
        let sync = self.connection.execute_batch(
            "PRAGMA journal_size_limit = 65536;
             PRAGMA synchronous = FULL;
             UPDATE indelible SET value = value + 1 WHERE name = 'syncs';
             PRAGMA synchronous = NORMAL;",
        );
        sync.map(|()| is_whole).map_err(|source| {
            let _ = self.connection.execute_batch("PRAGMA synchronous = NORMAL;");
            self.error("make the index durable")(source)
        })
    }

    /// Moves the `-shm` of the index at `path` to `aside`, if that file keeps the index from being opened: SQLite can
    /// recreate all of it. If another process had the database open meanwhile, there would be two of them, so it is
    /// done under a lock that excludes other processes. Returns whether it was moved.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has the database open, and whatever keeps the database or its log from being
    /// opened.
    pub(crate) fn clear_shared_memory(
        path: &Path,
        aside: impl FnOnce(&str) -> Result<(), crate::fs::Error>,
    ) -> Result<bool, Error> {
        let shared = beside(path, SHM);
        let Some(why) = obstacle(&shared, Access::ReadAndWrite) else { return Ok(false) };
        let doing = "lock the index";
        let connection = connection(path, flags()).map_err(|it| failed_to(doing, path, Access::ReadAndWrite, it))?;
        let alone = || {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // In this mode SQLite needs no shared memory, and locks out all other processes until it is closed.
            connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK;")
        };
        let _held = order::take(Lock::Index);
        alone().map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { waited: Duration::ZERO },
            _ => failed_to(doing, path, Access::ReadAndWrite, source),
        })?;
        let name = shared.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match aside(&name) {
            Ok(()) => {
                tracing::warn!(file = %shared.display(), why, "what SQLite shares between processes was set aside");
                Ok(true)
            }
            Err(error) => {
                let source = Box::new(rusqlite::Error::ToSqlConversionFailure(error.into()));
                Err(Error::Unopenable { path: shared, why, source })
            }
        }
    }
}

/// Checks that each file of the index at `path` is a plain file with one name: SQLite misreads a folder or a pipe, and
/// its writes to a file with another name elsewhere appear there too. Returns the identity of the database.
pub(super) fn check_files(path: &Path) -> Result<Option<Identity>, Error> {
    let mut database = None;
    for end in DATABASE_SUFFIXES {
        let file = beside(path, end);
        match os::found_at(&file) {
            Some((_, Some(why))) => {
                let source = Box::new(rusqlite::Error::InvalidPath(file.clone()));
                return Err(Error::Unopenable { path: file, why: why.to_owned(), source });
            }
            Some((identity, None)) if end.is_empty() => database = Some(identity),
            _ => {}
        }
    }
    Ok(database)
}

/// Maps `source`, an error of SQLite for the index at `path`: it does not say which file failed.
fn failed_to(doing: &'static str, path: &Path, access: Access, source: rusqlite::Error) -> Error {
    use ErrorCode::{CannotOpen, PermissionDenied, ReadOnly, SystemIoFailure};
    let about_a_file =
        matches!(source.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly | SystemIoFailure));
    let mut files = DATABASE_SUFFIXES.iter().chain([&ROLLBACK_JOURNAL]).map(|end| beside(path, end));
    let obstacle = || files.find_map(|it| Some((obstacle(&it, access)?, it)));
    match about_a_file.then(obstacle).flatten() {
        Some((why, path)) => Error::Unopenable { path, why, source: Box::new(source) },
        None => Error::Sqlite { doing, source },
    }
}

/// What keeps this user from opening the file at `path`, checked without opening it: SQLite's locks on a file are
/// released when the process closes any handle to it.
fn obstacle(path: &Path, access: Access) -> Option<String> {
    path.symlink_metadata().ok()?;
    os::oddity(path).map(str::to_owned).or_else(|| os::refusal_to_open(path, access == Access::ReadAndWrite))
}

pub(crate) fn flags() -> OpenFlags {
    // No symbolic link on the way to the index: the home's path has none, and links beneath it are not followed.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

/// The only source of connections, so that none is opened before our system calls are installed.
pub(crate) fn connection(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    set_calls();
    Connection::open_with_flags(path, flags)
}

/// Limits SQLite's preallocation for small allocations: it touches every page of it, 48 KB by default, and a recorder
/// needs a few.
pub(super) fn spare_memory(connection: &Connection) {
    const SLOT_BYTES: std::ffi::c_int = 512;
    const SLOTS: std::ffi::c_int = 16;
    // SAFETY: the connection is open, nothing has been prepared with it, and these are the arguments of this setting.
    // If SQLite refuses, it continues with its default.
    unsafe {
        let own = std::ptr::null_mut::<std::ffi::c_void>();
        rusqlite::ffi::sqlite3_db_config(
            connection.handle(),
            rusqlite::ffi::SQLITE_DBCONFIG_LOOKASIDE,
            own,
            SLOT_BYTES,
            SLOTS,
        );
    }
}

/// Replaces some of SQLite's system calls by ours, where the system allows that (`os::sqlite_calls`): `open` refuses
/// symbolic links anywhere in a path, and mapped files have no holes. The home's path has no link. But SQLite opens by
/// path, its log only when it first needs it: by then a folder on the way may have become a link. Only SQLite's own
/// table of system calls can change that; there is one for the whole process, and no safe access to it.
///
/// A program that uses SQLite beside this library shares the setting, and must not use it in another thread while the
/// first index is being opened: SQLite reads the table without a lock.
fn set_calls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        spare_allocations();
        for (name, call) in os::sqlite_calls() {
            // SAFETY:
            // - The default VFS is null or lives as long as the process, and `xSetSystemCall` is one of its functions;
            //   its arguments are the VFS that it belongs to and a name that ends with a NUL. It refuses unknown
            //   names.
            // - It takes every call as a pointer to a function without arguments. Before it calls one, it casts the
            //   pointer back to the type that ours has (`osOpen`, `osPwrite`, `osPwrite64`, `osMmap` in os_unix.c),
            //   none variadic.
            // - It writes the pointer without a lock. `Once` makes all others that open an index wait, and none of our
            //   connections exists yet.
            unsafe {
                let vfs = rusqlite::ffi::sqlite3_vfs_find(std::ptr::null());
                if let Some(set) = vfs.as_ref().and_then(|vfs| vfs.xSetSystemCall) {
                    set(vfs, name.as_ptr(), Some(call));
                }
            }
        }
    });
}

/// Sets how SQLite allocates, for the whole process: it does not count its memory, which takes a lock each time and serves
/// statistics alone, and prepares no pages of its cache in advance. An open reads the whole schema, in some thousand small
/// allocations. If SQLite runs already, it refuses, and continues with its defaults.
fn spare_allocations() {
    use rusqlite::ffi::{SQLITE_CONFIG_MEMSTATUS, SQLITE_CONFIG_PAGECACHE, sqlite3_config};
    let off: std::ffi::c_int = 0;
    let own = std::ptr::null_mut::<std::ffi::c_void>();
    // SAFETY: these are the arguments of these settings. SQLite checks whether it runs already, and `Once` makes all others
    // that open an index wait; for other users of SQLite in the process, see `set_calls`.
    unsafe {
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, off);
        sqlite3_config(SQLITE_CONFIG_PAGECACHE, own, off, off);
    }
}

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

pub(super) fn identity_of(path: &Path) -> Option<Identity> {
    Stamp::of_itself(path).ok().map(|found| found.identity)
}
