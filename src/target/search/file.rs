//! The file itself: opened, made, and thrown away.
//!
//! It is thrown away only as a whole: its log first. A log of an earlier file must never meet a new one.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::{Cursor, Error, WAIT, Watermark};
use crate::fs::order::{self, Lock};
use crate::fs::os::{self, Identity};
use crate::fs::{self, Point, crash};
use crate::home::Home;
use crate::model::RecordId;
use crate::model::layout::{ROLLBACK_JOURNAL, SEARCH, SHM, WAL, split};
use crate::search::{self, Writer, meta, set_meta};
use crate::target::index::{FeedMark, connection, flags};

/// The names of its files after the database's, in the order in which they are removed.
const FILES: [&str; 4] = [WAL, SHM, ROLLBACK_JOURNAL, ""];
/// The size of its write-ahead log that triggers a checkpoint, in bytes.
const WAL_BYTES_MAX: u64 = 4 << 20;

/// The file, open for its one writer.
#[derive(Debug)]
pub(super) struct SearchFile {
    pub(super) connection: Connection,
    identity: Option<Identity>,
    path: std::path::PathBuf,
}

impl SearchFile {
    /// Opens the file; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Unusable`] if it has to be rebuilt, and every other [`Error`].
    pub(super) fn open(home: &Home) -> Result<Option<SearchFile>, Error> {
        let file = match SearchFile::connect(home, flags())? {
            Some(file) => file,
            None => return Ok(None),
        };
        match search::check(&file.connection).map_err(error("read"))? {
            true => Ok(Some(file)),
            false => Err(Error::Unusable("it is of another version, or was not finished".to_owned())),
        }
    }

    /// Makes the file, which does not exist, to follow the index from `feed` on.
    ///
    /// # Errors
    /// Every [`Error`]; a file without tables may be there then.
    pub(super) fn make(home: &Home, feed: &FeedMark) -> Result<SearchFile, Error> {
        remove(home)?;
        let mut file = SearchFile::connect(home, flags() | OpenFlags::SQLITE_OPEN_CREATE)?
            .ok_or_else(|| Error::Unusable("it vanished".to_owned()))?;
        let mut make = || {
            file.connection.execute_batch(search::PRAGMAS)?;
            file.connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
            step(Point::SearchBeforeMake)?;
            let transaction = file.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            search::create(&transaction)?;
            search::merge_as_they_come(&transaction, false)?;
            put(&transaction, &Watermark { feed: feed.clone(), cursor: Some(Cursor::default()) })?;
            transaction.commit()
        };
        let _held = order::take(Lock::Search);
        make().map_err(error("make"))?;
        Ok(file)
    }

    fn connect(home: &Home, flags: OpenFlags) -> Result<Option<SearchFile>, Error> {
        let path = home.path().join(SEARCH);
        let found = look_at(home)?;
        if found.is_none() && !flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
            return Ok(None);
        }
        let connection = connection(&path, flags).map_err(error("open"))?;
        let identity = look_at(home)?;
        let set = || {
            connection.busy_timeout(WAIT)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // What is removed from it must not stay in its free pages.
            connection.execute_batch(
                "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON;
                 PRAGMA cache_size = -16000;",
            )
        };
        set().map_err(error("set up"))?;
        Ok(Some(SearchFile { connection, identity, path }))
    }

    /// Whether the file that is open is no longer the one in its place.
    pub(super) fn has_moved(&self) -> bool {
        os::found_at(&self.path).map(|(identity, _)| identity) != self.identity
    }

    /// How far it follows the index; `None` if it does not say.
    ///
    /// # Errors
    /// Every [`Error`].
    pub(super) fn watermark(&self) -> Result<Option<Watermark>, Error> {
        watermark(&self.connection).map_err(error("read"))
    }

    /// Takes records out.
    ///
    /// # Errors
    /// Every [`Error`]; it is unchanged then.
    pub(super) fn take_out(&mut self, ids: &[RecordId]) -> Result<(), Error> {
        self.write(|transaction| {
            let mut writer = Writer::open(transaction)?;
            for id in ids {
                writer.remove(*id)?;
            }
            writer.finish()
        })
    }

    /// Changes the file in one transaction.
    ///
    /// # Errors
    /// Every [`Error`]; it is unchanged then.
    pub(super) fn write(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), Error> {
        let _held = order::take(Lock::Search);
        let write = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change(&transaction)?;
            step(Point::SearchBeforeCommit)?;
            transaction.commit()?;
            step(Point::SearchAfterCommit)
        };
        write().map_err(error("write"))
    }

    /// Makes everything committed durable, if the log is larger than it may be, or whatever its size with `now`. Returns
    /// whether all of it is durable.
    ///
    /// # Errors
    /// Every [`Error`]; nothing counts as durable then.
    pub(super) fn checkpoint(&self, home: &Home, now: bool) -> Result<bool, Error> {
        let log = home.dir().find(&format!("{SEARCH}-wal"))?.map_or(0, |log| log.size);
        if log == 0 || !now && log <= WAL_BYTES_MAX {
            return Ok(false);
        }
        let whole = "PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;";
        self.connection.execute_batch(whole).map_err(error("make durable"))?;
        let pages = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], pages);
        let (in_log, copied) = checkpoint.map_err(error("make durable"))?;
        Ok(in_log == copied)
    }

    /// Everything that SQLite finds wrong with it, in one line; `None` if it is sound. Reads all of it.
    ///
    /// # Errors
    /// Every [`Error`].
    pub(super) fn damage(&self) -> Result<Option<String>, Error> {
        let first = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
        Ok(Some(first.map_err(error("check"))?).filter(|line| line != "ok"))
    }
}

/// What is in the file's place: its identity, if it is a file that may be used. `None` if nothing is there. A link, or a
/// file with a second name, is never opened.
fn look_at(home: &Home) -> Result<Option<Identity>, Error> {
    let mut database = None;
    for end in FILES {
        let path = home.path().join(format!("{SEARCH}{end}"));
        match os::found_at(&path) {
            Some((_, Some(why))) => return Err(Error::InItsPlace { path, why }),
            Some((identity, None)) if end.is_empty() => database = Some(identity),
            _ => {}
        }
    }
    Ok(database)
}

/// Removes the file and what SQLite keeps beside it. A link is removed, not what it leads to; a folder stays.
///
/// # Errors
/// [`Error::Fs`], [`Error::InItsPlace`] if something is there that cannot be removed like a file.
pub(super) fn remove(home: &Home) -> Result<(), Error> {
    let (folder, name) = split(SEARCH);
    let folder = match home.dir().folder(folder) {
        Err(error) if error.is_not_found() => return Ok(()),
        folder => folder?,
    };
    for end in FILES {
        let path = home.path().join(format!("{SEARCH}{end}"));
        let Some((_, oddity)) = os::found_at(&path) else { continue };
        if end.is_empty() {
            crash::at(Point::SearchBeforeRemove).map_err(fs::Error::io("remove", &path))?;
        }
        match (folder.remove(&format!("{name}{end}")), oddity) {
            (Err(_), Some(why)) => return Err(Error::InItsPlace { path, why }),
            (removed, _) => removed?,
        };
    }
    Ok(())
}

/// How far the search database of `connection` follows the index; `None` if it does not say.
pub(super) fn watermark(connection: &Connection) -> Result<Option<Watermark>, rusqlite::Error> {
    let text = |name: &str| Ok::<_, rusqlite::Error>(meta::<Option<String>>(connection, name)?.flatten());
    let (index, line) = (text("index")?, text("seq_of")?);
    // An id has no space.
    let cursor = text("cursor")?.map(|text| {
        let (created_at, id) = text.rsplit_once(' ').unwrap_or_default();
        Cursor { created_at: created_at.to_owned(), id: id.to_owned() }
    });
    let seq = meta::<Option<i64>>(connection, "seq")?.flatten().and_then(|seq| u64::try_from(seq).ok());
    let (Some(index), Some(seq), Some(line)) = (index, seq, line) else { return Ok(None) };
    Ok(Some(Watermark { feed: FeedMark { index, seq, line }, cursor }))
}

/// The name of the rows' watermark in `meta`, as the index had it when this file had all of its rows.
pub(super) const ROWS: &str = "rows";

/// The rows' watermark that `connection` has.
pub(super) fn rows_mark(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    Ok(meta::<Option<String>>(connection, ROWS)?.flatten())
}

/// Sets the watermark, within the transaction that `connection` has open.
pub(super) fn put(connection: &Connection, watermark: &Watermark) -> Result<(), rusqlite::Error> {
    let Watermark { feed, cursor } = watermark;
    set_meta(connection, "index", &feed.index)?;
    set_meta(connection, "seq", i64::try_from(feed.seq).unwrap_or(i64::MAX))?;
    set_meta(connection, "seq_of", &feed.line)?;
    set_meta(connection, "cursor", cursor.as_ref().map(|it| format!("{} {}", it.created_at, it.id)))
}

fn step(point: Point) -> Result<(), rusqlite::Error> {
    crash::at(point).map_err(|source| rusqlite::Error::ToSqlConversionFailure(source.into()))
}

/// Maps an error of SQLite for the file. What is not about locks, room or access shows that the file is not as we made it.
pub(super) fn error(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OperationInterrupted, OutOfMemory, PermissionDenied,
        ReadOnly, SystemIoFailure,
    };
    move |source| match source.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => Error::Busy,
        Some(
            CannotOpen | DiskFull | OperationInterrupted | OutOfMemory | PermissionDenied | ReadOnly | SystemIoFailure,
        ) => Error::Sqlite { doing, source },
        None if matches!(source, rusqlite::Error::ToSqlConversionFailure(_)) => Error::Sqlite { doing, source },
        _ => Error::Unusable(crate::model::text::chain(&source)),
    }
}
