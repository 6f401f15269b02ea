//! New segments, the removal of finished ones, and the journal's end: for whoever has the worker's lock, and for `init`. A
//! writer makes a new segment as well where the newest is of a format that will not do: creating one takes no lock, and what
//! is said below holds for it too.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while a segment is made | none, or one without a header | the next appender or rotation gives it one |
//! | after it is made | the segment | nothing to do |
//! | before a segment is removed | a segment too many | it is removed next time, to no effect |
//! | before its mark is | a mark of no segment, which means nothing | nobody |
//! | while the journal is ended | no end, or all of it; a temporary file besides | `go_on`; recovery empties that folder |
//! | while it goes on | the end, or none | `go_on` again: who asks for it is not done before it has returned |

use super::Error;
use super::segment::{END, FORMAT_OF_RECORDS, Journal, SegmentNumber, find_header, write_header};
use crate::fs::{self, Dir, Durable, File, Point, crash};

impl Journal {
    /// Makes the first segment if there is none. Safe to repeat, and to race.
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

    /// Creates the segment after the newest. From then on, what is appended to the old one without its writer having
    /// seen that is appended again.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses; recorders then go on in the old one, or in a new one without a header,
    /// which they give it themselves.
    pub fn rotate(&self) -> Result<SegmentNumber, Error> {
        let number = self.newest()?.next();
        self.create(number, FORMAT_OF_RECORDS)?;
        Ok(number)
    }

    /// Creates segment `number`, of the format `least` or that of the segment before it, whichever is newer.
    pub(super) fn create(&self, number: SegmentNumber, least: u32) -> Result<(), Error> {
        let name = number.file_name();
        let named = |source| fs::Error::io("create", self.dir.path().join(&name))(source);
        crash::at(Point::RotateBeforeCreate).map_err(named)?;
        let file = match self.dir.create(&name) {
            Err(error) if error.is_already_there() => self.dir.append(&name)?,
            file => file?,
        };
        crash::at(Point::RotateBeforeHeader).map_err(named)?;
        match find_header(&file, number) {
            Ok(None) => write_header(&self.dir, &file, self.format_for(number, least)?)?,
            // A newer program was quicker.
            Ok(Some(_)) | Err(Error::Newer { .. }) => {}
            Err(error) => return Err(error),
        }
        crash::at(Point::RotateAfterHeader).map_err(named)?;
        Ok(())
    }

    /// Ends the journal: nothing that is not in it yet can be acknowledged from then on. A recorder that has begun finds a
    /// newer segment than its own, which it cannot write to, and voids what it has appended. The segment appears whole,
    /// by way of `temporary`, so that nobody gives it a header.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses; the journal then goes on.
    pub fn close(&self, temporary: &Dir) -> Result<(), Error> {
        let number = self.newest()?.next();
        self.dir.place_whole(&number.file_name(), END.as_bytes(), temporary)?;
        let _ = self.dir.sync()?;
        Ok(())
    }

    /// Lets a journal go on that was ended, durably; safe to repeat.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses.
    pub fn reopen(&self) -> Result<(), Error> {
        let name = self.newest()?.file_name();
        if self.dir.find(&name)?.is_some_and(|found| found.size == END.len() as u64)
            && self.dir.content(&name, END.len() as u64)?.as_deref() == Some(END.as_bytes())
        {
            self.dir.remove(&name)?;
        }
        // Also where it is gone already: whoever removed it may not have come to this.
        let _ = self.dir.sync()?;
        Ok(())
    }

    /// Gives the newest segment its header if whoever created it died before that.
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

    /// Makes durable what is in segment `number` so far, by whomever it was written.
    ///
    /// After a sync that failed the system may take what it could not write for written, and the next one succeeds. So a
    /// mark beside the segment says to all who come later that it failed. The mark need not outlive the system: what can
    /// be read after it was started anew is what the disk has.
    ///
    /// # Errors
    /// [`Error::Unsynced`] if the sync fails or has failed before; the segment is never synced again, and what it holds
    /// has to be copied. [`Error::Fs`] if the segment cannot be opened.
    pub fn sync(&self, number: SegmentNumber) -> Result<Durable<()>, Error> {
        let file: File = self.dir.read(&number.file_name())?;
        if self.dir.find(&number.mark_name())?.is_some() {
            return Err(Error::Unsynced { number: number.0, source: None });
        }
        file.sync(Point::BatchBeforeSync, ()).map_err(|source| {
            if let Err(error) = self.dir.create(&number.mark_name()) {
                tracing::error!(segment = %number, %error, "it could not be noted that a sync failed");
            }
            Error::Unsynced { number: number.0, source: Some(source) }
        })
    }

    /// Removes segment `number`, all of which is durable elsewhere, as `proof` shows. The oldest has to go first.
    ///
    /// # Errors
    /// [`Error::Fs`] if the system refuses; it is then still there, to no effect.
    pub fn remove(&self, number: SegmentNumber, proof: &Durable<()>) -> Result<(), Error> {
        let Durable { .. } = proof;
        let named = |source| fs::Error::io("remove", self.dir.path().join(number.file_name()))(source);
        crash::at(Point::PruneBeforeUnlink).map_err(named)?;
        self.dir.remove(&number.file_name())?;
        crash::at(Point::PruneAfterUnlink).map_err(named)?;
        self.dir.remove(&number.mark_name())?;
        Ok(())
    }
}
