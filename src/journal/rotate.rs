//! New segments, the removal of finished ones, and the closing of the journal. Everything but the first segment is for
//! the owner of the worker's lock, so it is on [`ExclusiveJournal`], with one exception: a writer creates a new segment
//! if the newest has a format that does not allow its entries. Creating one takes no lock, and the table below holds
//! for it too.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while a segment is made | none, or one without a header | the next appender or rotation writes its header |
//! | after it is made | the segment | nothing to do |
//! | before a segment is removed | a segment too many | it is removed next time, to no effect |
//! | before its marker is | a marker of no segment, which means nothing | nothing to do |
//! | while the journal is closed | the end segment or not, a temporary file | `reopen`; recovery empties that folder |
//! | while it is reopened | the end segment or not | `reopen` again: its caller is not done before it returns |

use super::segment::{END, FORMAT_OF_RECORDS, Journal, SegmentNumber, find_header, write_header};
use super::{Error, Reader, Synced};
use crate::fs::lock::WorkerLock;
use crate::fs::{self, Dir, Durability, File, Point, crash};
use crate::model::position::Position;

/// The journal of a home, for the owner of its worker's lock: [`crate::exclusive::Exclusive::journal`] hands it out.
#[derive(Clone, Copy, Debug)]
pub struct ExclusiveJournal<'j> {
    pub(super) journal: &'j Journal,
}

/// Segments all of whose records are in git. They may be removed once those are durable in files and rows as well.
#[derive(Debug)]
pub struct Finished<'j> {
    journal: &'j Journal,
    /// The oldest first.
    numbers: Vec<SegmentNumber>,
}

impl Journal {
    /// Creates the first segment if the journal has none. Safe to repeat, and to race.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses.
    pub fn ensure_first(&self) -> Result<bool, Error> {
        match self.newest() {
            Ok(_) => Ok(false),
            Err(Error::Empty(_)) => self.create(SegmentNumber(1), FORMAT_OF_RECORDS).map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Creates segment `number`, in format `least` or that of the segment before it, whichever is newer.
    pub(super) fn create(&self, number: SegmentNumber, least: u32) -> Result<(), Error> {
        let name = number.file_name();
        let named = |source| fs::Error::io("create", self.dir.path().join(&name))(source);
        crash::at(Point::RotateBeforeCreate).map_err(named)?;
        let file = match self.dir.create_empty(&name) {
            Err(error) if error.is_already_there() => self.dir.append(&name)?,
            file => file?,
        };
        crash::at(Point::RotateBeforeHeader).map_err(named)?;
        match find_header(&file, number) {
            Ok(None) => write_header(&self.dir, &file, self.format_for(number, least)?)?,
            // A newer program created it first.
            Ok(Some(_)) | Err(Error::Newer { .. }) => {}
            Err(error) => return Err(error),
        }
        crash::at(Point::RotateAfterHeader).map_err(named)?;
        Ok(())
    }

    /// Writes the header of the newest segment if its creator died before that.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses.
    pub fn ensure_header(&self) -> Result<(), Error> {
        let number = self.newest()?;
        match self.beginning(number) {
            Ok(Some(_)) | Err(Error::Newer { .. }) => Ok(()),
            Ok(None) => super::Appender::open(self).map(|_| ()),
            Err(error) => Err(error),
        }
    }
}

impl<'j> ExclusiveJournal<'j> {
    /// The `journal` of the home whose worker's lock is `lock`. A caller that has a home asks the home for both.
    pub(crate) fn of(journal: &'j Journal, lock: &'j WorkerLock) -> ExclusiveJournal<'j> {
        let WorkerLock { .. } = lock;
        ExclusiveJournal { journal }
    }

    /// Creates the segment after the newest. From then on, a writer that appends to the old one without seeing the new
    /// one appends again.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses. Recorders then continue in the old segment, or in a new one without a
    /// header, which they write themselves.
    pub fn rotate(&self) -> Result<SegmentNumber, Error> {
        let number = self.journal.newest()?.next();
        self.journal.create(number, FORMAT_OF_RECORDS)?;
        Ok(number)
    }

    /// Closes the journal: from then on, no new entry can be acknowledged. A recorder at work finds a newer segment,
    /// which it cannot write to, and voids what it has appended. The segment appears whole, by way of `temporary`, so
    /// that no appender writes a header to it.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses; the journal then stays open.
    pub fn close(&self, temporary: &Dir) -> Result<(), Error> {
        let number = self.journal.newest()?.next();
        self.journal.dir.create(&number.file_name(), END.as_bytes(), temporary, Durability::Whole)?;
        self.journal.dir.sync()?;
        Ok(())
    }

    /// Reopens a closed journal, durably; safe to repeat.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses.
    pub fn reopen(&self) -> Result<(), Error> {
        let name = self.journal.newest()?.file_name();
        if self.journal.dir.find(&name)?.is_some_and(|found| found.size == END.len() as u64)
            && self.journal.dir.content(&name, END.len() as u64)?.as_deref() == Some(END.as_bytes())
        {
            self.journal.dir.remove(&name)?;
        }
        // Also if the segment is already gone: the process that removed it may have died before this step.
        self.journal.dir.sync()?;
        Ok(())
    }

    /// Makes the journal durable up to where `reader` is, including what other processes wrote: each segment from
    /// `from` on. Everything before `from` is known to be durable.
    ///
    /// After a failed sync the system may treat unwritten pages as written, and then the next sync succeeds. So a
    /// marker beside the segment records the failure for all later processes. The marker need not survive a reboot:
    /// what can be read after one is what the disk has.
    ///
    /// # Errors
    /// [`Error::Unsynced`] if the sync of a segment fails or has failed before. That segment is never synced again, and
    /// its entries have to be copied. [`Error::Fs`] if one cannot be opened, [`Error::Empty`] if there is no segment.
    pub fn sync(&self, from: SegmentNumber, reader: &Reader<'_>) -> Result<Synced<Position>, Error> {
        let range = from..=reader.segment();
        let mut numbers = self.journal.segments()?;
        numbers.retain(|number| range.contains(number));
        if numbers.is_empty() {
            return Err(Error::Empty(self.journal.dir.path().into()));
        }
        numbers.into_iter().try_for_each(|number| self.sync_segment(number))?;
        Ok(Synced(reader.position()))
    }

    fn sync_segment(&self, number: SegmentNumber) -> Result<(), Error> {
        let dir = &self.journal.dir;
        let file: File = dir.read(&number.file_name())?;
        if dir.find(&number.mark_name())?.is_some() {
            return Err(Error::Unsynced { number: number.0, source: None });
        }
        file.sync(Point::BatchBeforeSync).map_err(|source| {
            if let Err(error) = dir.create_empty(&number.mark_name()) {
                tracing::error!(segment = %number, %error, "it could not be noted that a sync failed");
            }
            Error::Unsynced { number: number.0, source: Some(source) }
        })
    }

    /// The segments before `committed`, up to which the journal is in git.
    ///
    /// # Errors
    /// [`Error::Fs`] if they cannot be listed.
    pub fn finished(&self, committed: SegmentNumber) -> Result<Finished<'j>, Error> {
        let mut numbers = self.journal.segments()?;
        numbers.retain(|number| *number < committed);
        Ok(Finished { journal: self.journal, numbers })
    }
}

impl<'j> Finished<'j> {
    /// Whether there are no segments.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Makes durable what was applied from the segments: every file system of `folders`, then, by `sync_rows`,
    /// the rows. `None` if `sync_rows` returns false.
    ///
    /// # Errors
    /// What the system or `sync_rows` refuses; the segments are still there then.
    pub fn sync<'d, E: From<fs::Error>>(
        self,
        folders: impl IntoIterator<Item = &'d Dir>,
        sync_rows: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Synced<Finished<'j>>>, E> {
        let named = |source| fs::Error::io("make durable what was applied from", self.journal.dir.path())(source);
        crash::at(Point::PruneBeforeSync).map_err(named)?;
        for folder in folders {
            folder.sync_file_system()?;
        }
        Ok(sync_rows()?.then_some(Synced(self)))
    }
}

impl Synced<Finished<'_>> {
    /// Removes the segments, oldest first. Returns how many.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses. Segments that are left over have no effect.
    pub fn prune(self) -> Result<u64, Error> {
        let Synced(Finished { journal, numbers }) = self;
        numbers.iter().try_for_each(|number| remove(journal, *number))?;
        Ok(numbers.len() as u64)
    }
}

fn remove(journal: &Journal, number: SegmentNumber) -> Result<(), Error> {
    let named = |source| fs::Error::io("remove", journal.dir.path().join(number.file_name()))(source);
    crash::at(Point::PruneBeforeUnlink).map_err(named)?;
    journal.dir.remove(&number.file_name())?;
    crash::at(Point::PruneAfterUnlink).map_err(named)?;
    journal.dir.remove(&number.mark_name())?;
    Ok(())
}
