//! The index: one row for each record, in SQLite, for tools to query.
//!
//! 1. A record's row in its table and its entry in `records` appear in one transaction, or neither does.
//! 2. However often a record is inserted, it has one row: `records.id` is the record's id.
//! 3. A recorder's transaction syncs nothing; what is lost with the power, the journal inserts again. [`Index::sync`]
//!    makes rows durable, before the journal lets go of them.
//! 4. The index is derived: it can be built anew from the files, in place, under open connections. In an adopted home its
//!    owner's rows are nowhere else: there it begins with the copy that was made of them (`copy`).
//!
//! The tables `learnings`, `heuristics` and `experiments` have the columns that the Emergent Learning Framework's
//! readers use; in an adopted home they are the framework's, and rows are as its readers take them (`framework`).
//! `records` and `indelible` are ours.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | no row (SQLite rolls back) | replay of the journal inserts it |
//! | after it | the row; after a power cut perhaps not | replay of the journal inserts it |

mod copy;
mod framework;
mod look;
mod revive;

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

pub(crate) use copy::{copy_to, temporary_copy};
pub(crate) use look::is_in_wal_mode;
pub(crate) use revive::Revived;

use crate::fs::order::{self, Lock};
use crate::fs::os::{self, Identity, Stamp};
use crate::fs::{Point, crash};
use crate::model::{
    Field, FieldSpec, HomeId, Intent, Invalid, Kind, Origin, PROVENANCE, Provenance, Record, RecordId, Request, Shape,
    fields_of,
};
use crate::page::PageEntry;

/// How long whoever cannot go on without it waits for somebody else's lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// SQLite counts milliseconds in 31 bits.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// What the names of the index's files have behind the database's.
const FILES: [&str; 3] = ["", "-wal", "-shm"];
/// What SQLite looks for as well, though with a log it makes none: a journal that is to be rolled back.
const JOURNAL: &str = "-journal";

/// The version of the schema.
pub const SCHEMA: u32 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS learnings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    filepath TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT,
    tags TEXT,
    domain TEXT,
    severity INTEGER DEFAULT 3,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS heuristics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    rule TEXT NOT NULL,
    explanation TEXT,
    source_type TEXT,
    source_id INTEGER,
    confidence REAL DEFAULT 0.5,
    times_validated INTEGER DEFAULT 0,
    times_violated INTEGER DEFAULT 0,
    is_golden BOOLEAN DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hypothesis TEXT,
    status TEXT DEFAULT 'active',
    outcome TEXT,
    cycles_run INTEGER DEFAULT 0,
    folder_path TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    completed_at DATETIME,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS records (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    row_id INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    key TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_of_pages ON records (path) WHERE kind = 'heuristic';
CREATE TABLE IF NOT EXISTS indelible (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
";

/// What was added to the tables since the first version of the schema, in order; the index counts those that it has. A
/// program that does not know of one goes on working beside it: none takes anything away.
const MIGRATIONS: [&str; 1] = [
    // Where a record comes from.
    "ALTER TABLE records ADD COLUMN project TEXT;
     ALTER TABLE records ADD COLUMN origin TEXT;
     ALTER TABLE records ADD COLUMN session TEXT;
     ALTER TABLE records ADD COLUMN agent TEXT;
     ALTER TABLE records ADD COLUMN host TEXT;
     ALTER TABLE records ADD COLUMN cwd TEXT;",
];

/// Brings the tables up to this program's, within a transaction that holds the write lock.
fn migrate(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let had = value_of::<u32>(transaction, "migration")?.unwrap_or(0) as usize;
    let Some(lacking) = MIGRATIONS.get(had..).filter(|lacking| !lacking.is_empty()) else { return Ok(()) };
    for migration in lacking {
        transaction.execute_batch(migration)?;
    }
    let put = "INSERT INTO indelible VALUES ('migration', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
    transaction.execute(put, [MIGRATIONS.len() as u32])?;
    Ok(())
}

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no index.
    #[error("there is no index at {}", .0.display())]
    Missing(PathBuf),
    /// Somebody else held SQLite's lock for longer than was to be waited.
    #[error("the index was locked by another process for longer than {} ms", crate::model::text::number(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)))]
    Busy {
        /// How long was waited.
        waited: Duration,
    },
    /// It is not a database, or a damaged one.
    #[error("the index at {} is damaged", path.display())]
    Corrupt {
        /// The index.
        path: PathBuf,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
    /// A file of it is not one that this user can open, or no file at all.
    #[error("the index cannot be used: {} {why}", path.display())]
    Unopenable {
        /// The file: the database, its `-wal` or its `-shm`.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What SQLite says of it.
        source: Box<rusqlite::Error>,
    },
    /// A table refuses the row: a UNIQUE, a CHECK or a trigger that is not ours.
    #[error("the index refuses the row of {kind} {id}")]
    RowRefused {
        /// The record.
        id: RecordId,
        /// Its kind.
        kind: Kind,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
    /// A newer version of the program made it.
    #[error("the index has schema version {found}; this program knows versions up to {SCHEMA}")]
    Newer {
        /// The version it has.
        found: u32,
    },
    /// Anything else that SQLite says.
    #[error("could not {doing}")]
    Sqlite {
        /// The step, as a verb.
        doing: &'static str,
        /// What SQLite says of it.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Busy { .. } | Error::Unopenable { .. } | Error::Sqlite { .. } => true,
            Error::Missing(_) | Error::Corrupt { .. } | Error::RowRefused { .. } | Error::Newer { .. } => false,
        }
    }

    /// Whether somebody else holds SQLite's lock, and nothing else is wrong.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy { .. })
    }

    /// Whether one of its files is what cannot be opened.
    pub fn is_unopenable(&self) -> bool {
        matches!(self, Error::Unopenable { .. })
    }

    /// Whether building the index anew mends it.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Missing(_) | Error::Corrupt { .. })
    }
}

/// Where a record's row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: String,
    /// The row in its table, or `None` if `records` knows the record and its table lacks the row.
    pub row_id: Option<i64>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// What a row is made from.
#[derive(Clone, Copy, Debug)]
pub struct RowImage<'a> {
    /// The record.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Under which key.
    pub key: Option<&'a str>,
    /// Its fields.
    pub record: &'a Record,
    /// Where it comes from.
    pub provenance: &'a Provenance,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: &'a str,
}

impl<'a> RowImage<'a> {
    /// The row of `intent`, whose files came to lie at `path`.
    pub fn of(intent: &'a Intent, path: &'a str) -> RowImage<'a> {
        let key = intent.key.as_deref();
        RowImage {
            id: intent.id,
            created_at: intent.created_at,
            key,
            record: &intent.record,
            provenance: &intent.provenance,
            path,
        }
    }
}

/// An open index.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    path: PathBuf,
    wait: Duration,
    identity: Option<Identity>,
    access: Access,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    ReadAndWrite,
}

impl Index {
    /// Makes the index at `path`, or the tables that it lacks, and returns the home's id that it carries: `home` if it
    /// carried none.
    ///
    /// # Errors
    /// Every [`Error`] but `Missing` and `RowRefused`.
    pub fn create(path: &Path, home: HomeId) -> Result<HomeId, Error> {
        let flags = flags() | OpenFlags::SQLITE_OPEN_CREATE;
        let mut index = Index::connect(path, flags, PATIENCE)?;
        index.prepare_tables(home, false)
    }

    /// Opens the index at `path`. Whoever uses it waits no longer than `wait` for another process's lock.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none; nothing is made then.
    pub fn open(path: &Path, wait: Duration) -> Result<Index, Error> {
        Index::connect(path, flags(), wait)
    }

    /// Opens the index at `path` to read it alone, and changes nothing, as far as that can be: it works where nothing can be
    /// written, and on a full disk.
    ///
    /// SQLite reads the log of a database by way of its `-shm`, which other processes have open as well; where none has, it
    /// makes its own in memory. Where there is no `-shm`, nobody has the database open; if there is no log either, it is
    /// read as a file that does not change. With a log and without a `-shm` it has to be opened as by a writer.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_to_read(path: &Path, wait: Duration) -> Result<Index, Error> {
        if cfg!(windows) || !path.exists() {
            return Index::open(path, wait);
        }
        let has = |end| beside(path, end).symlink_metadata().is_ok_and(|found| found.len() > 0);
        let parameter = match (has("-shm"), has("-wal")) {
            (true, _) => "readonly_shm=1",
            (false, false) => "immutable=1",
            (false, true) => return Index::open(path, wait),
        };
        let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let flags = read | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_URI;
        Index::connect_by(&uri(path, parameter), path, flags, wait)
    }

    fn connect(path: &Path, flags: OpenFlags, wait: Duration) -> Result<Index, Error> {
        Index::connect_by(path, path, flags, wait)
    }

    /// Opens the index at `path` under the name `name`, which is its path or says more than that.
    fn connect_by(name: &Path, path: &Path, flags: OpenFlags, wait: Duration) -> Result<Index, Error> {
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
        check_files(path)?;
        let index = Index { connection, path: path.into(), wait, identity: identity_of(path), access };
        spare_memory(&index.connection);
        // Checkpoints are the worker's; by default the last one to close would make one, with four syncs.
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

    pub(crate) fn prepare_tables(&mut self, home: HomeId, rebuilding: bool) -> Result<HomeId, Error> {
        let error = self.error("make the index");
        let _held = order::take(Lock::Index);
        // A record's transaction writes three pages or four, however little of each it changes: they are small.
        let make = |index: &mut Index| {
            index
                .connection
                .execute_batch("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
            let transaction = index.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(TABLES)?;
            let put = "INSERT INTO indelible VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
            transaction.execute(put, params!["home", home.to_string()])?;
            transaction.execute(put, params!["schema", SCHEMA])?;
            transaction.execute(put, params!["syncs", 0])?;
            if rebuilding {
                transaction.execute(put, params!["rebuilding", 1])?;
            }
            migrate(&transaction)?;
            let found = value_of::<String>(&transaction, "home")?;
            let schema = value_of::<u32>(&transaction, "schema")?;
            transaction.commit()?;
            index.connection.execute_batch("PRAGMA synchronous = NORMAL;")?;
            Ok((found.and_then(|text| text.parse().ok()), schema.unwrap_or(SCHEMA)))
        };
        match make(self).map_err(error)? {
            (_, found) if found > SCHEMA => Err(Error::Newer { found }),
            (found, _) => Ok(found.unwrap_or(home)),
        }
    }

    /// The connection, for what only an adoption asks of a database.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Checks that this program can work with the index: that its tables are there, and of a version it knows.
    ///
    /// # Errors
    /// [`Error::Newer`], and [`Error::Corrupt`] if a table is missing.
    pub fn check_schema(&self) -> Result<(), Error> {
        let error = self.error("read the index");
        match value_of::<u32>(&self.connection, "schema") {
            Ok(Some(found)) if found > SCHEMA => Err(Error::Newer { found }),
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.lacking("its schema version")),
            Err(source) if is_no_such_table(&source) => Err(Error::Corrupt { path: self.path.clone(), source }),
            Err(source) => Err(error(source)),
        }
    }

    fn lacking(&self, what: &str) -> Error {
        let source = rusqlite::Error::InvalidColumnName(what.into());
        Error::Corrupt { path: self.path.clone(), source }
    }

    /// Everything that SQLite finds wrong with the database, one line each; empty if nothing is. It says the same of a page
    /// that it could not read as of a damaged one, so what looks wrong has to be looked at again.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is too damaged to be checked.
    pub fn integrity(&self) -> Result<Vec<String>, Error> {
        let error = self.error("check the index");
        let check = || {
            let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<Result<Vec<_>, _>>()
        };
        let lines = check().map_err(error)?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Checks that SQLite finds nothing wrong with the database.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the first thing that it finds.
    pub(crate) fn check_integrity(&self) -> Result<(), Error> {
        match self.integrity()?.into_iter().next() {
            None => Ok(()),
            Some(line) => {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                let source = rusqlite::Error::SqliteFailure(code, Some(line));
                Err(Error::Corrupt { path: self.path.clone(), source })
            }
        }
    }

    /// Whether the file that is open is no longer the one at its path: moved away, removed or replaced.
    pub fn has_moved(&self) -> bool {
        identity_of(&self.path) != self.identity
    }

    /// Whether a row could be inserted now: whether nobody holds SQLite's lock for longer than `wait`.
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

    /// The row of the record `id`, if it has one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn find(&self, id: RecordId) -> Result<Option<Known>, Error> {
        let sql = "SELECT id, kind, path, row_id, created_at FROM records WHERE id = ?1";
        let find = || self.connection.query_row(sql, [id.to_string()], known).optional();
        find().map_err(self.error("look up a record in the index"))
    }

    /// Inserts rows in one transaction, and returns for each the row that its record has now and whether it is new.
    ///
    /// # Errors
    /// [`Error::RowRefused`] for a row that its table does not take, [`Error::Newer`] for an index that this program does
    /// not know; nothing is inserted then. Every other [`Error`].
    pub fn insert(&mut self, rows: &[RowImage<'_>]) -> Result<Vec<Inserted>, Error> {
        let error = self.error("insert into the index");
        let _held = order::take(Lock::Index);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        let (schema, is_framework) = framework::layout(&transaction).unwrap_or_default();
        match schema {
            Some(found) if found > SCHEMA => return Err(Error::Newer { found }),
            _ => migrate(&transaction).map_err(&error)?,
        }
        let inserted = {
            let mut statements = Statements::prepare(&transaction, is_framework).map_err(&error)?;
            rows.iter().map(|row| statements.insert(row, &error)).collect::<Result<Vec<_>, _>>()?
        };
        let named = |source: std::io::Error| error(rusqlite::Error::ToSqlConversionFailure(source.into()));
        crash::at(Point::RowBeforeCommit).map_err(named)?;
        transaction.commit().map_err(&error)?;
        crash::at(Point::RowAfterCommit).map_err(named)?;
        Ok(inserted)
    }

    /// As [`Index::insert`], but for rows that their tables do not take: these come back, each with why. Where there are
    /// any, each of the others has a transaction of its own.
    ///
    /// # Errors
    /// As [`Index::insert`], without [`Error::RowRefused`]; some rows may be inserted then.
    pub fn insert_what_is_taken(&mut self, rows: &[RowImage<'_>]) -> Result<Taken, Error> {
        match self.insert(rows) {
            Ok(inserted) => return Ok(Taken { inserted, refused: Vec::new() }),
            Err(Error::RowRefused { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut taken = Taken::default();
        for row in rows {
            match self.insert(std::slice::from_ref(row)) {
                Ok(inserted) => taken.inserted.extend(inserted),
                Err(error @ Error::RowRefused { .. }) => taken.refused.push((row.id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// The records of the domain page whose folder is `folder`, oldest first.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, Error> {
        let fields = ["rule", "explanation", "source_type", "confidence", "domain"];
        let entry = |row: &Row<'_>| {
            let page_entry = PageEntry {
                id: parsed(row, 0)?,
                created_at: parsed(row, 1)?,
                path: row.get(2)?,
                rule: row.get(3)?,
                explanation: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                source: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                confidence: row.get::<_, Option<f64>>(6)?.unwrap_or_default(),
            };
            Ok::<_, rusqlite::Error>((row.get(7)?, page_entry))
        };
        let exact = |row: &Row<'_>| {
            let (domain, mut page_entry): (String, PageEntry) = entry(row)?;
            page_entry.rule = row.get::<_, Option<String>>(8)?.unwrap_or(page_entry.rule);
            Ok((row.get::<_, Option<String>>(9)?.unwrap_or(domain), page_entry))
        };
        let read = || {
            let fields = columns_or_null(&self.connection, "heuristics", &fields)?;
            let exactly = columns_or_null(&self.connection, "records", &framework::EXACT)?;
            let mut statement = self.connection.prepare(&format!(
                "SELECT records.id, records.created_at, records.path, {fields}, {exactly}
                 FROM records JOIN heuristics ON heuristics.id = records.row_id
                 WHERE records.kind = 'heuristic' AND records.path >= ?1 || '/' AND records.path < ?1 || '0'
                 ORDER BY records.created_at, records.id"
            ))?;
            statement.query_map([folder], exact)?.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(self.error("read a domain's heuristics from the index"))
    }

    /// Hands every record that the index knows to `take`, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each(&self, mut take: impl FnMut(Known)) -> Result<(), Error> {
        let sql = "SELECT r.id, r.kind, r.path, coalesce(l.id, h.id, e.id), r.created_at FROM records r
             LEFT JOIN learnings l ON r.kind IN ('failure', 'success', 'observation') AND l.id = r.row_id
             LEFT JOIN heuristics h ON r.kind = 'heuristic' AND h.id = r.row_id
             LEFT JOIN experiments e ON r.kind = 'experiment' AND e.id = r.row_id
             ORDER BY r.id";
        let mut read = || {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(known(row)?);
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// The record that a row holds, as far as a row holds it, with its key and where it comes from.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn record_of(&self, known: &Known) -> Result<Option<Request>, Error> {
        let names: Vec<&str> = PROVENANCE.iter().map(|spec| spec.name).collect();
        let read = || {
            let Some(record) = read_record(&self.connection, known)? else { return Ok(None) };
            let record = framework::exactly(&self.connection, known.id, record)?;
            // An index that an older program made, and that nothing was inserted into since, lacks these columns.
            let columns = columns_or_null(&self.connection, "records", &names)?;
            let sql = format!("SELECT key, {columns} FROM records WHERE id = ?1");
            let read = |row: &Row<'_>| Ok((row.get(0)?, provenance_in(row)?));
            let found = self.connection.query_row(&sql, [known.id.to_string()], read).optional()?;
            Ok(found.map(|(key, provenance)| Request { record, key, provenance }))
        };
        read().map_err(self.error("read a record from the index"))
    }

    /// Forgets what `records` knows of `id`, so that the record can be inserted again; for an entry whose table lacks
    /// the row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn forget(&mut self, id: RecordId) -> Result<(), Error> {
        let _held = order::take(Lock::Index);
        let forget = self.connection.execute("DELETE FROM records WHERE id = ?1", [id.to_string()]);
        forget.map(|_| ()).map_err(self.error("remove a record without a row from the index"))
    }

    /// Copies what the write-ahead log holds into the database, as far as no reader is in the way. Returns whether that
    /// was all of it.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    fn checkpoint(&self) -> Result<bool, Error> {
        let pages = |row: &Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages);
        let (in_log, copied) = checkpoint.map_err(self.error("checkpoint the index"))?;
        Ok(in_log == copied)
    }

    /// Makes every row durable that has been inserted, by whomever. Returns whether all of them are in the database's own
    /// file, which they are unless a reader was in the way.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`]; nothing may be taken for durable then.
    pub fn sync(&self) -> Result<bool, Error> {
        let _held = order::take(Lock::Index);
        // On macOS a plain sync ends at the drive's own memory; elsewhere this is nothing.
        let whole = self.connection.execute_batch("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;");
        whole.map_err(self.error("make the index durable"))?;
        let is_whole = self.checkpoint()?;
        // A commit that changes no byte syncs nothing, hence the counter. It is also the first write after the
        // checkpoint, so that no recorder has to sync the write-ahead log's new header.
        // That write also cuts the log to what it needs.
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

    /// Moves the `-shm` of the index at `path` to `aside`, if it is what keeps the index from being opened: it holds nothing
    /// that SQLite does not make again. Nobody else may have the database open meanwhile, or there would be two of them, so
    /// it is done under a lock that says so. Returns whether it was moved.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody has the database open, and what keeps the database or its log from being opened.
    pub(crate) fn clear_shared_memory(
        path: &Path,
        aside: impl FnOnce(&str) -> Result<(), crate::fs::Error>,
    ) -> Result<bool, Error> {
        let shared = beside(path, "-shm");
        let Some(why) = obstacle(&shared, Access::ReadAndWrite) else { return Ok(false) };
        let doing = "lock the index";
        let connection = connection(path, flags()).map_err(|it| failed_to(doing, path, Access::ReadAndWrite, it))?;
        let alone = || {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // In this mode SQLite needs no shared memory, and keeps everybody else out until it is closed.
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

    /// Empties the database at `path`, whatever is in it.
    fn empty(path: &Path) -> Result<Connection, Error> {
        let is_malformed = |error: &Error| matches!(error, Error::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt));
        match Index::empty_in_place(path) {
            // The log has no first page, and the database a damaged one. What the log holds is in files and the journal; a
            // copy of it is in quarantine by now.
            Err(error) if is_malformed(&error) => {
                for end in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(beside(path, end));
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

/// The row that a record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The row in its table.
    pub row_id: i64,
    /// Where the record's page or folder is, which is what an earlier insertion said.
    pub path: String,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// What became of rows that were to be inserted.
#[derive(Debug, Default)]
pub struct Taken {
    /// Those that are there.
    pub inserted: Vec<Inserted>,
    /// The records whose rows their tables do not take, and why.
    pub refused: Vec<(RecordId, Error)>,
}

/// Checks that each file of the index at `path` is a plain one with one name: SQLite takes a folder or a pipe for what it is
/// not, and what it writes to a file with a name elsewhere is written there too.
fn check_files(path: &Path) -> Result<(), Error> {
    let odd = FILES.iter().map(|end| beside(path, end)).find_map(|it| Some((os::oddity(&it)?, it)));
    match odd {
        None => Ok(()),
        Some((why, path)) => {
            let source = Box::new(rusqlite::Error::InvalidPath(path.clone()));
            Err(Error::Unopenable { path, why: why.to_owned(), source })
        }
    }
}

/// The error that `source` is, which SQLite gave for the index at `path`: it does not say which of its files it means.
fn failed_to(doing: &'static str, path: &Path, access: Access, source: rusqlite::Error) -> Error {
    use ErrorCode::{CannotOpen, PermissionDenied, ReadOnly, SystemIoFailure};
    let about_a_file =
        matches!(source.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly | SystemIoFailure));
    let mut files = FILES.iter().chain([&JOURNAL]).map(|end| beside(path, end));
    let obstacle = || files.find_map(|it| Some((obstacle(&it, access)?, it)));
    match about_a_file.then(obstacle).flatten() {
        Some((why, path)) => Error::Unopenable { path, why, source: Box::new(source) },
        None => Error::Sqlite { doing, source },
    }
}

/// What keeps this user from opening the file at `path`, as far as can be told without opening it: SQLite's locks on a file
/// go when the process closes it, however it came to have it open.
fn obstacle(path: &Path, access: Access) -> Option<String> {
    path.symlink_metadata().ok()?;
    os::oddity(path).map(str::to_owned).or_else(|| os::refusal_to_open(path, access == Access::ReadAndWrite))
}

/// How SQLite is given a path together with a parameter.
fn uri(path: &Path, parameter: &str) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            _ => uri.push(*byte),
        }
    }
    uri.extend(format!("?{parameter}").bytes());
    // SAFETY: the bytes of a path, with ASCII put between whole characters and in the place of some.
    unsafe { std::ffi::OsString::from_encoded_bytes_unchecked(uri) }.into()
}

fn flags() -> OpenFlags {
    // No symbolic link on the way to the index: the home's path has none, and beneath it none is followed.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

/// Every connection there is comes from here, so that none is opened before SQLite opens files as it should.
fn connection(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    set_calls();
    Connection::open_with_flags(path, flags)
}

/// Has SQLite set aside little memory for small allocations: it writes to every page of what it sets aside, by default of
/// 48 KB, and a recorder uses a few.
fn spare_memory(connection: &Connection) {
    const SLOT_BYTES: std::ffi::c_int = 512;
    const SLOTS: std::ffi::c_int = 16;
    // SAFETY: the connection is open, nothing has been prepared with it, and these are the arguments that this setting
    // takes. Where SQLite refuses, it goes on with its default.
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

/// Has SQLite make some of its system calls our way, where the system allows that (`os::sqlite_calls`): `open` refuses
/// symbolic links anywhere in a path, and what is mapped has no holes. The home's path has no link. SQLite opens by path, its
/// log when it first needs it: by then a folder on the way may have become one. Nothing but its own table of system calls
/// can change that; it is one for the whole process, and there is no safe way to it.
///
/// A program that uses SQLite beside this library shares the setting, and must not use it in another thread while the
/// first index is being opened: SQLite reads the table without a lock.
fn set_calls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (name, call) in os::sqlite_calls() {
            // SAFETY:
            // - The default VFS is null or there for as long as the process, and `xSetSystemCall` is one of its functions,
            //   given the VFS that it belongs to and a name that ends with a NUL. A name that it does not have is refused.
            // - It takes every call as a pointer to a function without arguments. Before it calls one, it casts the pointer
            //   back to the type that ours has (`osOpen`, `osPwrite`, `osPwrite64`, `osMmap` in os_unix.c), none variadic.
            // - It writes the pointer without a lock. `Once` has all others that open an index wait, and no connection of
            //   ours exists yet.
            unsafe {
                let vfs = rusqlite::ffi::sqlite3_vfs_find(std::ptr::null());
                if let Some(set) = vfs.as_ref().and_then(|vfs| vfs.xSetSystemCall) {
                    set(vfs, name.as_ptr(), Some(call));
                }
            }
        }
    });
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn identity_of(path: &Path) -> Option<Identity> {
    Stamp::of_itself(path).ok().map(|found| found.identity)
}

fn is_no_such_table(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. }) || error.to_string().contains("no such table")
}

fn value_of<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<Option<T>, rusqlite::Error> {
    connection.query_row("SELECT value FROM indelible WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error>
where
    T::Err: std::fmt::Display,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        let error = format!("{text:?}: {error}");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

fn known(row: &Row<'_>) -> Result<Known, rusqlite::Error> {
    Ok(Known {
        id: parsed(row, 0)?,
        kind: parsed(row, 1)?,
        path: row.get(2)?,
        row_id: row.get(3)?,
        created_at: parsed(row, 4)?,
    })
}

fn read_record(connection: &Connection, known: &Known) -> Result<Option<Record>, rusqlite::Error> {
    let Some(row_id) = known.row_id else { return Ok(None) };
    let columns: Vec<(Field, &str)> =
        fields_of(known.kind).filter_map(|spec| Some((spec.field, column_of(spec.field)?))).collect();
    let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    let table = table_of(known.kind).name;
    let sql = format!("SELECT {} FROM {table} WHERE id = ?1", columns_or_null(connection, table, &names)?);
    let read = |row: &Row<'_>| {
        Record::build(known.kind, |spec| {
            let Some(at) = columns.iter().position(|(field, _)| *field == spec.field) else { return Ok(None) };
            Ok::<_, ReadError>(field_text(spec, row.get_ref(at)?))
        })
        .map_err(|ReadError(error)| error)
    };
    connection.query_row(&sql, [row_id], read).optional()
}

/// Where a record comes from, in a row of `records`, after its key.
fn provenance_in(row: &Row<'_>) -> Result<Provenance, rusqlite::Error> {
    let mut provenance = Provenance::default();
    for (at, spec) in PROVENANCE.iter().enumerate() {
        if let Some(text) = row.get::<_, Option<String>>(at + 1)?.filter(|text| spec.check(text).is_ok()) {
            let _ = provenance.set(spec.field, text);
        }
    }
    Ok(provenance)
}

/// A row's value as the text of its field; `None` stands for the default. Adopted tables take values that no record can
/// have, such as a severity of 7.
fn field_text(spec: &FieldSpec, value: ValueRef<'_>) -> Option<String> {
    let text = match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Null => String::new(),
    };
    match spec.shape {
        Shape::Severity | Shape::Confidence | Shape::Origin => Some(text).filter(|text| spec.check(text).is_ok()),
        _ => Some(text),
    }
}

/// Why a row could not be read: SQLite refused, for every value that is there is taken.
struct ReadError(rusqlite::Error);

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError(error)
    }
}

impl From<Invalid> for ReadError {
    fn from(invalid: Invalid) -> Self {
        ReadError(rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, invalid.into()))
    }
}

/// The column that holds a field; `None` for one that is in the record's file alone.
fn column_of(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::Title => "title",
        Field::Domain => "domain",
        Field::Severity => "severity",
        Field::Tags => "tags",
        Field::Summary => "summary",
        Field::Rule => "rule",
        Field::Explanation => "explanation",
        Field::Source => "source_type",
        Field::Confidence => "confidence",
        Field::Name => "name",
        Field::Hypothesis => "hypothesis",
        _ => return None,
    })
}

/// The table of the rows of `kind`.
fn table_of(kind: Kind) -> Table {
    match kind {
        Kind::Failure | Kind::Success | Kind::Observation => LEARNINGS,
        Kind::Heuristic => HEURISTICS,
        Kind::Experiment => EXPERIMENTS,
    }
}

/// The statements that insert a record, prepared when they are first wanted.
struct Statements<'t> {
    transaction: &'t Transaction<'t>,
    /// Whether the tables are the framework's.
    is_framework: bool,
    find: rusqlite::Statement<'t>,
    remember: rusqlite::Statement<'t>,
    tables: [Option<rusqlite::Statement<'t>>; 3],
}

/// Where the rows of a kind go: the columns that we fill, and with what.
pub(crate) struct Table {
    slot: usize,
    pub(crate) name: &'static str,
    columns: &'static str,
    values: &'static str,
}

/// The tables that records go to.
pub(crate) const RECORD_TABLES: [Table; 3] = [LEARNINGS, HEURISTICS, EXPERIMENTS];

const LEARNINGS: Table = Table {
    slot: 0,
    name: "learnings",
    columns: "type, filepath, title, summary, tags, domain, severity, created_at, updated_at",
    values: "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8",
};
const HEURISTICS: Table = Table {
    slot: 1,
    name: "heuristics",
    columns: "domain, rule, explanation, source_type, confidence, created_at, updated_at",
    values: "?1, ?2, ?3, ?4, ?5, ?6, ?6",
};
const EXPERIMENTS: Table = Table {
    slot: 2,
    name: "experiments",
    columns: "name, hypothesis, status, folder_path, created_at, updated_at",
    values: "?1, ?2, 'active', ?3, ?4, ?4",
};

impl Table {
    /// The columns that we fill of those that are `there`, or that are not.
    pub(crate) fn columns<'a>(
        &self,
        are_there: bool,
        there: &'a [String],
    ) -> impl Iterator<Item = &'static str> + use<'a> {
        self.columns.split(", ").filter(move |column| there.iter().any(|it| it == column) == are_there)
    }

    /// Prepares the insertion of a row. An adopted table may be older than some of our columns: it gets the others.
    fn prepare<'t>(&self, transaction: &'t Transaction<'t>) -> Result<rusqlite::Statement<'t>, rusqlite::Error> {
        let Table { name, columns, values, .. } = self;
        match transaction.prepare(&format!("INSERT INTO {name} ({columns}) VALUES ({values})")) {
            Err(error) if error.to_string().contains("has no column named") => {
                let there = columns_of(transaction, name)?;
                let kept = self.columns(true, &there).collect::<Vec<_>>().join(", ");
                // Named values, so that it takes the same arguments however many of them it uses.
                transaction.prepare(&format!(
                    "WITH given ({columns}) AS (VALUES ({values})) INSERT INTO {name} ({kept}) SELECT {kept} FROM given"
                ))
            }
            prepared => prepared,
        }
    }
}

/// The names of the columns that `table` has; none where there is no such table.
pub(crate) fn columns_of(connection: &Connection, table: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// `columns` of `table` for a SELECT, in this order; NULL for one that an adopted table lacks.
pub(crate) fn columns_or_null(
    connection: &Connection,
    table: &str,
    columns: &[&str],
) -> Result<String, rusqlite::Error> {
    let there = columns_of(connection, table)?;
    let one = |column: &&str| match there.iter().any(|it| it == column) {
        true => format!("{table}.{column}"),
        false => "NULL".to_owned(),
    };
    Ok(columns.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Whether it is the table that does not take the row, with its constraints and triggers, and so never will.
fn is_refusal(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    let code = error.sqlite_error_code();
    matches!(error, rusqlite::Error::SqlInputError { .. })
        || matches!(code, Some(ConstraintViolation | TypeMismatch | TooBig | Unknown))
}

impl<'t> Statements<'t> {
    fn prepare(transaction: &'t Transaction<'t>, is_framework: bool) -> Result<Statements<'t>, rusqlite::Error> {
        let (exact, places) = if is_framework { (framework::COLUMNS, ", ?13, ?14") } else { ("", "") };
        Ok(Statements {
            transaction,
            is_framework,
            find: transaction.prepare("SELECT row_id, path FROM records WHERE id = ?1")?,
            remember: transaction.prepare(&format!(
                "INSERT INTO records
                 (id, kind, path, row_id, created_at, key, project, origin, session, agent, host, cwd{exact})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12{places})"
            ))?,
            tables: [None, None, None],
        })
    }

    /// Inserts `row` unless its record has one. The transaction holds the write lock, so looking first is enough; and
    /// an `INSERT OR IGNORE` would swallow what an adopted table refuses.
    fn insert(&mut self, row: &RowImage<'_>, error: &impl Fn(rusqlite::Error) -> Error) -> Result<Inserted, Error> {
        let id = row.id.to_string();
        let found = self.find.query_row([&id], |found| Ok((found.get(0)?, found.get(1)?))).optional();
        if let Some((row_id, path)) = found.map_err(error)? {
            return Ok(Inserted { row_id, path, is_new: false });
        }
        let refused = |source| match is_refusal(&source) {
            true => Error::RowRefused { id: row.id, kind: row.record.kind(), source },
            false => error(source),
        };
        let created_at = format!("{:.3}", row.created_at);
        let Provenance { project, origin, session, agent, host, cwd } = row.provenance;
        let (kind, origin) = (row.record.kind().name(), origin.map(Origin::name));
        let row_id = if self.is_framework {
            let (record, exact) = framework::fitted(row.record);
            let row_id = self.insert_into_table(&RowImage { record: &record, ..*row }).map_err(refused)?;
            let (headline, domain) = (exact.headline, exact.domain);
            let values = params![
                id, kind, row.path, row_id, created_at, row.key, project, origin, session, agent, host, cwd, headline,
                domain
            ];
            self.remember.execute(values).map_err(error)?;
            row_id
        } else {
            let row_id = self.insert_into_table(row).map_err(refused)?;
            let values =
                params![id, kind, row.path, row_id, created_at, row.key, project, origin, session, agent, host, cwd];
            self.remember.execute(values).map_err(error)?;
            row_id
        };
        Ok(Inserted { row_id, path: row.path.into(), is_new: true })
    }

    fn insert_into_table(&mut self, row: &RowImage<'_>) -> Result<i64, rusqlite::Error> {
        let at = row.created_at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let kind = row.record.kind().name();
        match row.record {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => self
                .table(LEARNINGS)?
                .insert(params![kind, row.path, it.title, it.summary, it.tags, it.domain, it.severity.get(), at]),
            Record::Heuristic(it) => self.table(HEURISTICS)?.insert(params![
                it.domain,
                it.rule,
                it.explanation,
                it.source,
                it.confidence.get(),
                at
            ]),
            Record::Experiment(it) => self.table(EXPERIMENTS)?.insert(params![it.name, it.hypothesis, row.path, at]),
        }
    }

    fn table(&mut self, table: Table) -> Result<&mut rusqlite::Statement<'t>, rusqlite::Error> {
        match &mut self.tables[table.slot] {
            Some(statement) => Ok(statement),
            empty => Ok(empty.insert(table.prepare(self.transaction)?)),
        }
    }
}
