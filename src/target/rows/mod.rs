//! The rows, as a target: the index follows the journal.
//!
//! 1. The watermark lies in the index and moves in the transaction that inserts the rows. A power cut loses both or
//!    neither.
//! 2. Rows that a table rejects are parked, durably, before the watermark passes them.
//! 3. A recorder inserts rows ahead of the watermark; inserting is idempotent: `records.id` is the record's id.
//!
//! SQLite lets one process write at a time. That process may be stopped while it holds the lock, or a file of the
//! index may be impossible to open. Then rows lag: the pipeline commits without them and catches up later.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the transaction's commit | neither rows nor watermark | the next batch, which applies the same again |
//! | after it, and before the history's | rows and watermark ahead of the history | the next batch, which finds them |
//! | after a power cut | an older watermark, with the rows that it names | catching up from there |

mod adopted;
mod mark;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::home::{self, Home};
use crate::journal::Synced;
use crate::model::layout::{INDEX_WAL, MEMORY, QUARANTINE};
use crate::model::position::Position;
use crate::model::text::chain;
use crate::model::{Amended, Amendment, RecordId, Request, Revision};
use crate::page::{PageEntry, StateFile};
use crate::target::index::{self, Index, Known, Others, Revived, RowImage};
use crate::target::{Batch, Error, Log, Target, Watermark};

use adopted::Adopted;
pub use mark::{RowsMark, mark_in, text_of};

/// The size of the index's write-ahead log that triggers a checkpoint, in bytes.
const WAL_BYTES_MAX: u64 = 1 << 20;
/// How long tasks that can be postponed wait for SQLite's lock.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// The rows, as an audit reads them.
pub trait ReadRows {
    /// How many records have rows.
    ///
    /// # Errors
    /// [`index::Error`].
    fn count(&self) -> Result<u64, index::Error>;

    /// Calls `take` for every record that the index knows.
    ///
    /// # Errors
    /// [`index::Error`].
    fn each(&self, take: &mut dyn FnMut(Known)) -> Result<(), index::Error>;

    /// Calls `take` for every amended record, with its revision.
    ///
    /// # Errors
    /// [`index::Error`].
    fn each_amended(&self, take: &mut dyn FnMut(RecordId, Revision)) -> Result<(), index::Error>;

    /// Calls `take` for the mark of every record that was ever retracted, restored or erased.
    ///
    /// # Errors
    /// [`index::Error`].
    fn each_mark(&self, take: &mut dyn FnMut(StateFile)) -> Result<(), index::Error>;
}

impl ReadRows for Index {
    fn count(&self) -> Result<u64, index::Error> {
        self.count_records()
    }

    fn each(&self, take: &mut dyn FnMut(Known)) -> Result<(), index::Error> {
        self.for_each(take)
    }

    fn each_amended(&self, take: &mut dyn FnMut(RecordId, Revision)) -> Result<(), index::Error> {
        self.for_each_amended(take)
    }

    fn each_mark(&self, take: &mut dyn FnMut(StateFile)) -> Result<(), index::Error> {
        self.for_each_mark(take)
    }
}

/// The rows, for the pipeline and for recovery.
pub trait Rows: Target + ReadRows + Debug {
    /// These rows, as an audit reads them.
    fn as_read(&self) -> &dyn ReadRows;

    /// Opens the index unless it is open and still the one at its path.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn reach(&mut self) -> Result<(), Error>;

    /// Whether the index is open.
    fn is_open(&self) -> bool;

    /// Closes the index, so that it can be rebuilt.
    fn close(&mut self);

    /// Whether a row could be inserted now, without waiting. The index must be open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn is_free(&mut self) -> Result<bool, Error>;

    /// The watermark in the index. The index must be open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn mark(&self) -> Result<Option<RowsMark>, Error>;

    /// Sets the watermark, in a transaction of its own.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn set_mark(&mut self, mark: &RowsMark) -> Result<(), Error>;

    /// The record `id`, if the index knows it. The index must be open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn find(&self, id: RecordId) -> Result<Option<Known>, Error>;

    /// The records of the domain page in `folder`. The index must be open.
    ///
    /// # Errors
    /// [`index::Error`].
    fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, index::Error>;

    /// The record in a row, as far as a row holds it. The index must be open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn record_of(&self, known: &Known) -> Result<Option<Request>, Error>;

    /// The last change of the record `id`, if the index knows one. The index must be open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn amended(&self, id: RecordId) -> Result<Option<Amended>, Error>;

    /// Whether another home recorded `id`, as far as its row says. False if the index is not open.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn is_of_others(&self, id: RecordId) -> Result<bool, index::Error> {
        let _ = id;
        Ok(false)
    }

    /// Inserts the row of one record, outside of any batch.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn insert(&mut self, row: &RowImage<'_>) -> Result<(), Error>;

    /// Changes a row, unless the index has a later revision.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn amend(&mut self, amendment: &Amendment) -> Result<(), Error>;

    /// Hides a retracted record, unless the index has a later revision.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn hide(&mut self, state: &StateFile) -> Result<(), Error>;

    /// Shows a record again, with its `row`, unless the index has a later revision.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn unhide(&mut self, state: &StateFile, row: &RowImage<'_>) -> Result<(), Error>;

    /// Removes an entry whose table lacks the row, so that the record can be inserted again.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn forget(&mut self, id: RecordId) -> Result<(), Error>;

    /// Restores a row that another program has deleted, under its old number. Returns the source: the copy of the
    /// index that has the row, if one does. `None` if that is impossible.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    fn revive(&mut self, row: &RowImage<'_>) -> Result<Option<Option<PathBuf>>, Error>;

    /// Removes what keeps the index from being opened, if that is safe. Returns the remaining error, if any.
    ///
    /// # Errors
    /// [`Error::Home`].
    fn unblock(&mut self) -> Result<Option<index::Error>, Error>;

    /// Migrates an index of an older version; with `everything`, also what takes long in a large home. If the index is
    /// locked, the next recovery does it.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    fn update(&mut self, everything: bool) -> Result<(), Error>;

    /// Whether the index has to be rebuilt. Only a `thorough` check reads all of it. Closes the index.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn is_lost(&mut self, thorough: bool) -> Result<bool, Error>;

    /// Checkpoints the index if its write-ahead log has grown.
    ///
    /// # Errors
    /// [`Error::Fs`], [`Error::Index`].
    fn maintain(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// When maintenance of an adopted home's database is due; `None` if nothing is due until something changes.
    fn upkeep_due(&self) -> Option<Instant> {
        None
    }

    /// Does the maintenance that is due for an adopted home's database. Failures are retried later.
    fn upkeep(&mut self) {}

    /// Does the final maintenance, for a process that ends.
    fn end_upkeep(&mut self) {}
}

/// The rows of a home's index.
#[derive(Debug)]
pub struct IndexRows<'h> {
    home: &'h Home,
    /// How long to wait for SQLite's lock before rows lag.
    wait: Duration,
    index: Option<Index>,
    /// The state of an adopted home's database.
    adopted: Option<Adopted>,
}

impl<'h> IndexRows<'h> {
    /// The rows of `home`. Nothing is opened yet.
    ///
    /// # Errors
    /// [`Error::Fs`] if it is unknown whether the home was adopted.
    pub fn new(home: &'h Home, wait: Duration) -> Result<IndexRows<'h>, Error> {
        Ok(IndexRows { home, wait, index: None, adopted: Adopted::of(home.private())? })
    }

    /// The index, opened on demand.
    fn index(&mut self) -> Result<&mut Index, Error> {
        self.reach()?;
        let path = self.home.index_path();
        self.index.as_mut().ok_or_else(|| index::Error::Missing(path).into())
    }

    /// The index, which must be open.
    fn opened(&self) -> Result<&Index, index::Error> {
        self.index.as_ref().ok_or_else(|| index::Error::Missing(self.home.index_path()))
    }
}

impl Target for IndexRows<'_> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error> {
        match self.reach().and_then(|()| self.mark()) {
            Ok(mark) => RowsMark::watermark(mark.as_ref(), log),
            Err(error) if error.is_index_out_of_reach() => Ok(Watermark::OutOfReach),
            Err(error) if error.is_index_lost() => Ok(Watermark::StoreLost),
            Err(error) => Err(error),
        }
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _synced: &Synced<Position>) -> Result<(), Error> {
        let mark = batch.rows_to.as_ref().map(text_of);
        let rows: Vec<_> = batch.intents.iter().map(|intent| RowImage::of(intent, intent.path())).collect();
        let index = self.index()?;
        let (inserted, refused) = match index.insert_to(&rows, mark.as_deref()) {
            Ok(inserted) => (inserted, Vec::new()),
            Err(index::Error::RowRefused { .. }) => {
                let taken = index.insert_what_is_taken(&rows)?;
                (taken.inserted, taken.refused)
            }
            Err(error) => return Err(error.into()),
        };
        batch.done.rows_inserted += inserted.iter().filter(|inserted| inserted.is_new).count() as u64;
        if refused.is_empty() {
            return Ok(());
        }
        for (id, error) in &refused {
            if let Some(intent) = batch.intents.iter().find(|intent| intent.id == *id).cloned() {
                batch.park(&intent, "row", error)?;
            }
        }
        match &batch.rows_to {
            Some(mark) => self.set_mark(mark),
            None => Ok(()),
        }
    }

    /// False if another process holds SQLite's lock.
    fn sync(&mut self) -> Result<bool, Error> {
        let index = self.index()?;
        match index.is_free(LOCK_WAIT)?.then(|| index.sync()).transpose() {
            Err(error) if error.is_busy() => Ok(false),
            synced => Ok(synced?.is_some()),
        }
    }
}

impl ReadRows for IndexRows<'_> {
    fn count(&self) -> Result<u64, index::Error> {
        self.opened()?.count_records()
    }

    fn each(&self, take: &mut dyn FnMut(Known)) -> Result<(), index::Error> {
        self.opened()?.for_each(take)
    }

    fn each_amended(&self, take: &mut dyn FnMut(RecordId, Revision)) -> Result<(), index::Error> {
        self.opened()?.for_each_amended(take)
    }

    fn each_mark(&self, take: &mut dyn FnMut(StateFile)) -> Result<(), index::Error> {
        self.opened()?.for_each_mark(take)
    }
}

impl Rows for IndexRows<'_> {
    fn as_read(&self) -> &dyn ReadRows {
        self
    }

    fn reach(&mut self) -> Result<(), Error> {
        if self.index.as_ref().is_none_or(Index::has_moved) {
            self.index = None;
            let index = Index::open(&self.home.index_path(), self.wait)?;
            index.check_schema()?;
            self.index = Some(index);
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.index.as_ref().is_some_and(|index| !index.has_moved())
    }

    fn close(&mut self) {
        self.index = None;
    }

    fn is_free(&mut self) -> Result<bool, Error> {
        Ok(self.index()?.is_free(LOCK_WAIT)?)
    }

    fn mark(&self) -> Result<Option<RowsMark>, Error> {
        Ok(mark_in(self.opened()?)?)
    }

    fn set_mark(&mut self, mark: &RowsMark) -> Result<(), Error> {
        Ok(self.index()?.set_watermark(&text_of(mark))?)
    }

    fn find(&self, id: RecordId) -> Result<Option<Known>, Error> {
        Ok(self.opened()?.find(id)?)
    }

    fn is_of_others(&self, id: RecordId) -> Result<bool, index::Error> {
        self.opened().map_or(Ok(false), |index| Ok(index.other_home(id)?.is_some()))
    }

    fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, index::Error> {
        self.opened()?.page_entries(folder)
    }

    fn record_of(&self, known: &Known) -> Result<Option<Request>, Error> {
        Ok(self.opened()?.record_of(known)?)
    }

    fn amended(&self, id: RecordId) -> Result<Option<Amended>, Error> {
        Ok(self.opened()?.amended(id)?)
    }

    fn insert(&mut self, row: &RowImage<'_>) -> Result<(), Error> {
        Ok(self.index()?.insert(std::slice::from_ref(row)).map(|_| ())?)
    }

    fn amend(&mut self, amendment: &Amendment) -> Result<(), Error> {
        Ok(self.index()?.amend(amendment).map(|_| ())?)
    }

    fn hide(&mut self, state: &StateFile) -> Result<(), Error> {
        Ok(self.index()?.hide(state).map(|_| ())?)
    }

    fn unhide(&mut self, state: &StateFile, row: &RowImage<'_>) -> Result<(), Error> {
        Ok(self.index()?.unhide(state, Some(row)).map(|_| ())?)
    }

    fn forget(&mut self, id: RecordId) -> Result<(), Error> {
        Ok(self.index()?.forget(id)?)
    }

    fn revive(&mut self, row: &RowImage<'_>) -> Result<Option<Option<PathBuf>>, Error> {
        let newest = self.home.index_copies()?.into_iter().next();
        let copy = newest.as_ref().and_then(|path| Index::open_to_read(path, index::PATIENCE, Others::KeptOut).ok());
        Ok(self.index()?.revive(row, copy.as_ref())?.map(|revived| match revived {
            Revived::AsCopied => newest,
            Revived::Reinserted => None,
        }))
    }

    fn unblock(&mut self) -> Result<Option<index::Error>, Error> {
        let unopenable = |rows: &mut Self| match rows.reach() {
            Err(Error::Index(error)) if error.is_unopenable() => Some(error),
            // The next step reports any other error.
            _ => None,
        };
        if unopenable(self).is_none() {
            return Ok(None);
        }
        let home = self.home;
        let quarantine = home.private_folder(QUARANTINE)?;
        let aside = |name: &str| home.dir().folder(MEMORY)?.set_aside(name, &quarantine, name).map(|_| ());
        match Index::clear_shared_memory(&home.index_path(), aside) {
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "the index is left as it is"),
        }
        Ok(unopenable(self))
    }

    fn update(&mut self, everything: bool) -> Result<(), Error> {
        let is_adopted = home::is_adopted(self.home.private())?;
        let update = |index: &mut Index| {
            index.update_layout(is_adopted)?;
            index.renew_entries(everything)
        };
        match self.index().and_then(|index| Ok(update(index)?)) {
            Err(error) if error.is_index_busy() => Ok(()),
            updated => updated,
        }
    }

    fn is_lost(&mut self, thorough: bool) -> Result<bool, Error> {
        self.close();
        let look = || is_lost(Index::open(&self.home.index_path(), self.wait), thorough);
        // SQLite reports a page that it failed to read once like a damaged one: check twice.
        Ok(look()? && look()?)
    }

    fn maintain(&mut self) -> Result<(), Error> {
        let wal = self.home.dir().find(INDEX_WAL)?;
        if wal.is_some_and(|wal| wal.size > WAL_BYTES_MAX) && self.index.is_some() {
            self.sync()?;
        }
        Ok(())
    }

    fn upkeep_due(&self) -> Option<Instant> {
        self.keep_due()
    }

    fn upkeep(&mut self) {
        self.keep();
    }

    fn end_upkeep(&mut self) {
        self.fold_everything();
    }
}

/// Whether the opened index is unusable and has to be rebuilt.
fn is_lost(opened: Result<Index, index::Error>, thorough: bool) -> Result<bool, index::Error> {
    let checked = opened.and_then(|index| {
        index.check_schema()?;
        Ok(!index.is_finished()? || thorough && !index.integrity()?.is_empty())
    });
    match checked {
        Err(error) if error.is_lost() => Ok(true),
        checked => checked,
    }
}
