//! The database of an adopted home, in which other programs keep data that exists nowhere else.
//!
//! 1. The content of its log is soon copied into the database's own file, and also when the worker stops: the owner's
//!    programs copy only that file.
//! 2. A copy of it is renewed once a day, whole and checked, since git no longer has it. The copy lies in the folder
//!    of the adoption; `recover` starts from it if the database is lost.
//!
//! Both are best effort: a failure is logged and retried later, and stops nothing.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | within a checkpoint | the log, and part of it in the database | SQLite |
//! | before the copy is in place | the copy of the day before; a temporary file | the next copy, which removes that |
//! | after it | the new copy | nothing to do |

use std::time::{Duration, Instant, SystemTime};

use super::{IndexRows, LOCK_WAIT};
use crate::fs::os::Stamp;
use crate::fs::{self, Point, crash};
use crate::home;
use crate::model::layout::{ADOPTED, DAILY, INDEX, TEMPORARY};
use crate::model::text::chain;
use crate::target::Error;
use crate::target::index::{self, Index};

/// How long rows may stay only in the log, unless a process reads all the time.
const FOLD_PAUSE: Duration = Duration::from_secs(10);
/// The maximum age of the copy.
const COPY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The interval between checks of the copy's age.
const COPY_LOOK: Duration = Duration::from_secs(3600);

/// The state of an adopted home's database.
#[derive(Debug)]
pub(super) struct Adopted {
    /// The log, at the time when all of it was in the database.
    folded: Option<Stamp>,
    /// When to try next to copy the log into the database.
    fold_at: Instant,
    /// When to check the copy's age next.
    copy_at: Instant,
}

impl Adopted {
    /// That of the home with the private folder `private`; `None` if the home was not adopted.
    pub(super) fn of(private: &fs::Dir) -> Result<Option<Adopted>, fs::Error> {
        let now = Instant::now();
        Ok(home::is_adopted(private)?.then_some(Adopted { folded: None, fold_at: now, copy_at: now }))
    }
}

impl IndexRows<'_> {
    /// When maintenance of an adopted home's database is due; `None` if nothing is due until something changes.
    pub(super) fn keep_due(&self) -> Option<Instant> {
        let adopted = self.adopted.as_ref()?;
        let is_folded = self.log().is_none_or(|log| log.size == 0 || adopted.folded == Some(log));
        Some(if is_folded { adopted.copy_at } else { adopted.copy_at.min(adopted.fold_at) })
    }

    /// Does the maintenance that is due for an adopted home's database. Failures are retried later.
    pub(super) fn keep(&mut self) {
        let now = Instant::now();
        let Some(due) = self.keep_due().filter(|due| *due <= now) else { return };
        tracing::debug!(late_ms = now.duration_since(due).as_millis(), "seeing to the database of an adopted home");
        if let Err(error) = self.fold_log().and_then(|()| self.copy_daily()) {
            tracing::warn!(error = chain(&error), "the database of an adopted home is seen to later");
        }
        if let Some(adopted) = &mut self.adopted {
            adopted.fold_at = now + FOLD_PAUSE;
            if adopted.copy_at <= now {
                adopted.copy_at = now + COPY_LOOK;
            }
        }
    }

    /// Copies all of an adopted home's log into its database and empties the log, unless a reader is in the way: for a
    /// process that ends.
    pub(super) fn fold_everything(&mut self) {
        if self.adopted.is_none() || self.log().is_none_or(|log| log.size == 0) {
            return;
        }
        // The write afterwards makes the log's new header, which the next recorder would have to sync otherwise.
        let fold = |index: &mut Index| Ok(index.fold().map_err(index.error("checkpoint the index"))? && index.sync()?);
        match self.index().and_then(fold) {
            Ok(true) => {}
            Ok(false) => tracing::info!("a process reads the database: its last rows are in its log"),
            Err(error) => tracing::warn!(error = chain(&error), "the database's log could not be emptied"),
        }
    }

    fn log(&self) -> Option<Stamp> {
        Stamp::of_itself(&self.home.path().join(format!("{INDEX}-wal"))).ok()
    }

    fn fold_log(&mut self) -> Result<(), Error> {
        let index = self.index()?;
        let is_whole = index.is_free(LOCK_WAIT)? && index.sync()?;
        let log = self.log();
        if let Some(adopted) = self.adopted.as_mut().filter(|_| is_whole) {
            adopted.folded = log;
        }
        Ok(())
    }

    /// Renews the copy if it is a day old and the database has changed since.
    fn copy_daily(&mut self) -> Result<(), Error> {
        let is_due = self.adopted.as_ref().is_some_and(|adopted| adopted.copy_at <= Instant::now());
        if !is_due || !self.is_copy_old() {
            return Ok(());
        }
        let temporary = self.home.private_folder(TEMPORARY)?;
        let error = || fs::Error::io("copy the database to", temporary.path().join(DAILY));
        crash::at(Point::CopyBefore).map_err(error())?;
        temporary.remove(DAILY)?;
        index::copy_to(self.index()?, &temporary.path().join(DAILY))?;
        crash::at(Point::CopyBeforeRename).map_err(error())?;
        let adopted = self.home.private().folder(ADOPTED)?;
        temporary.put_back(DAILY, &adopted)?;
        let _ = adopted.sync()?;
        tracing::info!(copy = %adopted.path().join(DAILY).display(), "renewed the copy of the database");
        Ok(())
    }

    fn is_copy_old(&self) -> bool {
        let private = self.home.private().path();
        let changed = |path: std::path::PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        let Some(copied) = changed(private.join(ADOPTED).join(DAILY)) else { return true };
        // If the clock was set back, the copy is from the future.
        let is_old = SystemTime::now().duration_since(copied).map_or(true, |age| age >= COPY_AGE_MAX);
        let database = [INDEX.to_owned(), format!("{INDEX}-wal")].map(|name| changed(self.home.path().join(name)));
        is_old && database.into_iter().flatten().any(|changed| changed > copied)
    }
}
