//! Appending: what a recorder does, without a lock.

use super::Error;
use super::entry::{ENTRY_BYTES_MAX, VOID, encode};
use super::segment::{FORMAT_OF_OPERATIONS, FORMAT_OF_RECORDS, Journal, SegmentNumber, find_header, write_header};
use crate::fs::{self, Durable, File, Point, crash};

/// How often one entry follows the journal to a newer segment before its writer gives up. More than once is rare, more
/// than a few times is a test that rotates without a pause; there has to be an end all the same.
const SEGMENTS_MAX: u32 = 1000;

/// Writes entries to the newest segment.
#[derive(Debug)]
pub struct Appender<'j> {
    journal: &'j Journal,
    /// The format that a segment has to have at the least.
    least: u32,
    number: SegmentNumber,
    file: File,
}

/// Entries that are written and not yet synced.
#[derive(Debug)]
#[must_use = "what is written is not kept until it is synced"]
pub struct Written {
    bytes: Vec<u8>,
    /// Where each entry begins within `bytes`.
    starts: Vec<usize>,
    /// Where they begin in the segment, as far as the system said so.
    offset: Option<u64>,
    segments: u32,
}

impl<'j> Appender<'j> {
    /// Opens the newest segment of `journal`, and gives it its header if whoever created it died before that. Where a newer
    /// program wrote that segment, the journal goes on in a new one behind it, of a format that this program knows.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Format`], [`Error::Fs`]; nothing is written then.
    pub fn open(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Appender::open_at_least(journal, FORMAT_OF_RECORDS)
    }

    /// As [`Appender::open`], for entries that are other operations than `record`: the journal goes on in a segment that can
    /// have them, if the newest cannot.
    ///
    /// # Errors
    /// As [`Appender::open`].
    pub fn open_for_operations(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Appender::open_at_least(journal, FORMAT_OF_OPERATIONS)
    }

    fn open_at_least(journal: &'j Journal, least: u32) -> Result<Appender<'j>, Error> {
        loop {
            let number = journal.newest()?;
            let file = match journal.dir.append(&number.file_name()) {
                // Removed since it was listed: there is a newer one by now.
                Err(error) if error.is_not_found() => continue,
                file => file?,
            };
            match find_header(&file, number) {
                Ok(Some(header)) if header.format >= least => return Ok(Appender { journal, least, number, file }),
                Ok(Some(_)) | Err(Error::Newer { .. }) => journal.create(number.next(), least)?,
                Ok(None) => {
                    write_header(&journal.dir, &file, journal.format_for(number, least)?)?;
                    if least == FORMAT_OF_RECORDS {
                        return Ok(Appender { journal, least, number, file });
                    }
                    // Another one's header may have come first, of a format that will not do.
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes one entry for each of `jsons`, all with a single call.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and nothing is written; [`Error::Short`] and [`Error::Fs`], and what was written of it is
    /// never taken for an entry, unless [`Error::Sync`] says so.
    pub fn append<J: AsRef<[u8]>>(&mut self, jsons: &[J]) -> Result<Written, Error> {
        let mut written = Written { bytes: Vec::new(), starts: Vec::new(), offset: None, segments: 1 };
        for json in jsons {
            let entry = encode(json.as_ref());
            if entry.len() > ENTRY_BYTES_MAX {
                return Err(Error::TooLarge { bytes: entry.len() });
            }
            written.starts.push(written.bytes.len());
            written.bytes.extend_from_slice(&entry);
        }
        self.write(&mut written)?;
        Ok(written)
    }

    fn write(&self, written: &mut Written) -> Result<(), Error> {
        let named = |source| fs::Error::io("write to", self.file.path())(source);
        crash::at(Point::AppendBeforeWrite).map_err(named)?;
        if crash::wanted(Point::AppendShortWrite) {
            self.file.write_once(&written.bytes[..written.bytes.len() / 2])?;
        }
        crash::at(Point::AppendShortWrite).map_err(named)?;
        let bytes = written.bytes.len();
        let taken = self.file.write_once(&written.bytes)?;
        // Needed to void them alone. What is written is no failure because the system does not say where.
        written.offset = self.file.end_of_write().ok().map(|end| end.saturating_sub(taken as u64));
        // A missing final line feed is written by the next entry, whose first byte is one.
        if taken + 1 < bytes {
            let short = Error::Short { number: self.number.0, written: taken, bytes };
            // Of several entries, those before the cut are whole and would be taken for records. Only they are voided:
            // behind the cut there may be somebody else's by now.
            let whole = written.starts.iter().skip(1).take_while(|start| **start <= taken + 1).count();
            written.starts.truncate(whole);
            return match whole {
                0 => Err(short),
                _ => Err(self.disown(written, short)),
            };
        }
        Ok(())
    }

    /// Makes what was written durable, and sees to it that it lies where the worker will find it.
    ///
    /// After the sync and before anything counts as acknowledged, two things are checked in this order: that there is
    /// no newer segment, and that this one still has a name. Whoever rotates creates the newer one first and takes this
    /// one's final size after that; whoever removes does so later still. So if both hold, the entry lies within that
    /// size. If not, it is appended again to the newest; records have ids, which makes the double harmless.
    ///
    /// # Errors
    /// [`Error::Sync`] if a sync failed: the entry is voided in place, and says whether that could be done.
    /// Every other [`Error`] if it had to be appended again and could not be.
    pub fn sync(&mut self, mut written: Written) -> Result<Durable<()>, Error> {
        loop {
            let synced = self.file.sync(Point::AppendBeforeSync, ()).and_then(|durable| {
                let _ = crash::at(Point::AppendAfterSync);
                Ok((durable, self.is_newest()?))
            });
            match synced {
                Ok((durable, true)) => return Ok(durable),
                Ok((_, false)) => self.again(&mut written)?,
                Err(source) => return Err(self.disown(&written, Error::Sync { number: self.number.0, source })),
            }
        }
    }

    fn is_newest(&self) -> Result<bool, fs::Error> {
        let next = self.journal.dir.find(&self.number.next().file_name())?;
        Ok(next.is_none() && self.file.stat()?.links > 0)
    }

    /// Writes the same entries to the segment that is the newest by now. What lies in the old one is voided if that
    /// cannot be done, since nobody is told that it is kept.
    fn again(&mut self, written: &mut Written) -> Result<(), Error> {
        let retry = || {
            if written.segments == SEGMENTS_MAX {
                return Err(Error::Restless(SEGMENTS_MAX));
            }
            crash::at(Point::AppendAgain).map_err(|source| fs::Error::io("append to", self.file.path())(source))?;
            let next = Appender::open_at_least(self.journal, self.least)?;
            let mut copy = Written { bytes: written.bytes.clone(), starts: written.starts.clone(), ..*written };
            next.write(&mut copy)?;
            Ok((next, copy))
        };
        match retry() {
            Ok((next, copy)) => {
                *self = next;
                *written = Written { segments: copy.segments + 1, ..copy };
                Ok(())
            }
            Err(error) => Err(self.disown(written, error)),
        }
    }

    /// Voids entries that nobody is told are kept, because of `error`, and returns what to tell.
    fn disown(&self, written: &Written, error: Error) -> Error {
        match self.void(written) {
            Ok(()) => error,
            Err(_) => Error::NotVoided { number: self.number.0, source: Box::new(error) },
        }
    }

    /// Overwrites the checksums of entries that nobody was promised.
    fn void(&self, written: &Written) -> Result<(), fs::Error> {
        crash::at(Point::AppendVoid).map_err(|source| fs::Error::io("void", self.file.path())(source))?;
        let file = self.journal.dir.overwrite(&self.number.file_name())?;
        // The name can be another file's by now only if somebody replaced the journal; leave that one alone.
        if file.stat()?.inode != self.file.stat()?.inode {
            return Err(fs::Error::Refused { path: file.path().into(), why: "it is another file by now" });
        }
        let unknown = || fs::Error::Refused { path: file.path().into(), why: "it was not said where its entries lie" };
        let offset = written.offset.ok_or_else(unknown)?;
        for start in &written.starts {
            file.write_at(VOID, offset + *start as u64 + 1)?;
        }
        Ok(())
    }
}
