//! Appending: what a recorder does, without a lock.

use super::entry::{ENTRY_BYTES_MAX, VOID, encode};
use super::segment::{FORMAT_OF_OPERATIONS, FORMAT_OF_RECORDS, Journal, SegmentNumber, find_header, write_header};
use super::{Error, Synced};
use crate::fs::{self, File, Point, crash};
use crate::model::position::Position;

/// The most often one entry follows the journal to a newer segment before its writer gives up. More than one move is
/// rare. More than a few means a test that rotates without pause, but the loop needs an end.
const SEGMENTS_MAX: u32 = 1000;

/// Writes entries to the newest segment.
#[derive(Debug)]
pub struct Appender<'j> {
    journal: &'j Journal,
    segment: Segment,
}

/// The segment being written.
#[derive(Debug)]
struct Segment {
    /// The lowest format the segment may have.
    least: u32,
    number: SegmentNumber,
    /// The end of its header.
    beginning: Position,
    file: File,
}

/// Entries that are written but not yet synced. It borrows the appender, so nothing is appended after them until
/// [`Written::sync`] has consumed it.
#[derive(Debug)]
#[must_use = "what is written is not kept until it is synced"]
pub struct Written<'a> {
    journal: &'a Journal,
    segment: &'a mut Segment,
    entries: Entries,
    segments: u32,
}

#[derive(Clone, Debug)]
struct Entries {
    bytes: Vec<u8>,
    /// The start of each entry within `bytes`.
    starts: Vec<usize>,
    /// The start of the entries in the segment, if the system reported it.
    offset: Option<u64>,
}

impl<'j> Appender<'j> {
    /// Opens the newest segment of `journal`, and writes its header if its creator died before that. If a newer program
    /// wrote that segment, the journal continues in a new segment behind it, in a format that this program knows.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Format`], [`Error::Fs`]; nothing is written then.
    pub fn open(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Ok(Appender { journal, segment: Segment::newest(journal, FORMAT_OF_RECORDS)? })
    }

    /// As [`Appender::open`], for operations other than `record`. If the newest segment's format does not allow them,
    /// the journal continues in a new segment that does.
    ///
    /// # Errors
    /// As [`Appender::open`].
    pub fn open_for_operations(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Ok(Appender { journal, segment: Segment::newest(journal, FORMAT_OF_OPERATIONS)? })
    }

    /// Writes one entry for each of `jsons`, all with a single call.
    ///
    /// # Errors
    /// [`Error::TooLarge`]: nothing is written. [`Error::Short`] and [`Error::Fs`]: what was written is never read as
    /// an entry, unless [`Error::Sync`] says so.
    pub fn append<J: AsRef<[u8]>>(&mut self, jsons: &[J]) -> Result<Written<'_>, Error> {
        let mut entries = Entries { bytes: Vec::new(), starts: Vec::new(), offset: None };
        for json in jsons {
            let entry = encode(json.as_ref());
            if entry.len() > ENTRY_BYTES_MAX {
                return Err(Error::TooLarge { bytes: entry.len() });
            }
            entries.starts.push(entries.bytes.len());
            entries.bytes.extend_from_slice(&entry);
        }
        self.segment.write(self.journal, &mut entries)?;
        Ok(Written { journal: self.journal, segment: &mut self.segment, entries, segments: 1 })
    }
}

impl Segment {
    /// The newest segment, or a new one behind it if its format is below `least` or a newer program's.
    fn newest(journal: &Journal, least: u32) -> Result<Segment, Error> {
        loop {
            let number = journal.newest()?;
            let file = match journal.dir.append(&number.file_name()) {
                // Removed since the listing: a newer one exists.
                Err(error) if error.is_not_found() => continue,
                file => file?,
            };
            match find_header(&file, number) {
                Ok(Some(header)) if header.format >= least => {
                    let beginning = Position { segment: header.id, offset: header.end, checksum: 0 };
                    return Ok(Segment { number, least, beginning, file });
                }
                Ok(Some(_)) | Err(Error::Newer { .. }) => journal.create(number.next(), least)?,
                // Read the header back: the first header line counts, and another writer's may come before this one.
                Ok(None) => write_header(&journal.dir, &file, journal.format_for(number, least)?)?,
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&self, journal: &Journal, entries: &mut Entries) -> Result<(), Error> {
        let named = |source| fs::Error::io("write to", self.file.path())(source);
        crash::at(Point::AppendBeforeWrite).map_err(named)?;
        if crash::wanted(Point::AppendShortWrite) {
            self.file.write_once(&entries.bytes[..entries.bytes.len() / 2])?;
        }
        crash::at(Point::AppendShortWrite).map_err(named)?;
        let bytes = entries.bytes.len();
        let taken = self.file.write_once(&entries.bytes)?;
        // Needed only to void the entries. A write does not fail because the system does not report its offset.
        entries.offset = self.file.end_of_write().ok().map(|end| end.saturating_sub(taken as u64));
        // If the final line feed is missing, the next entry supplies it: its first byte is one.
        if taken + 1 < bytes {
            let short = Error::Short { number: self.number.0, written: taken, bytes };
            // The entries before the cut are whole and would be read as records. Only they are voided: behind the cut
            // there may already be another writer's bytes.
            let whole = entries.starts.iter().skip(1).take_while(|start| **start <= taken + 1).count();
            entries.starts.truncate(whole);
            return match whole {
                0 => Err(short),
                _ => Err(self.disown(journal, entries, short)),
            };
        }
        Ok(())
    }

    fn is_newest(&self, journal: &Journal) -> Result<bool, fs::Error> {
        let next = journal.dir.find(&self.number.next().file_name())?;
        Ok(next.is_none() && self.file.stat()?.links > 0)
    }

    /// The end of the last of `entries`, or the segment's beginning if the system did not report it.
    fn end_of(&self, entries: &Entries) -> Position {
        let offset = entries.offset.map(|offset| offset + entries.bytes.len() as u64);
        let checksum = entries.starts.last().and_then(|start| {
            let digits = entries.bytes.get(start + 1..start + 1 + VOID.len())?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        });
        match (offset, checksum) {
            (Some(offset), Some(checksum)) => Position { offset, checksum, ..self.beginning },
            _ => self.beginning,
        }
    }

    /// Voids entries that were never acknowledged, because of `error`, and returns the error to report.
    fn disown(&self, journal: &Journal, entries: &Entries, error: Error) -> Error {
        match self.void(journal, entries) {
            Ok(()) => error,
            Err(_) => Error::NotVoided { number: self.number.0, source: Box::new(error) },
        }
    }

    /// Overwrites the checksums of entries that were never acknowledged.
    fn void(&self, journal: &Journal, entries: &Entries) -> Result<(), fs::Error> {
        crash::at(Point::AppendVoid).map_err(|source| fs::Error::io("void", self.file.path())(source))?;
        let file = journal.dir.overwrite(&self.number.file_name())?;
        // The name can belong to another file only if the journal was replaced. Leave that file alone.
        if file.stat()?.inode != self.file.stat()?.inode {
            return Err(fs::Error::Refused { path: file.path().into(), why: "it is another file by now" });
        }
        let unknown = || fs::Error::Refused { path: file.path().into(), why: "it was not said where its entries lie" };
        let offset = entries.offset.ok_or_else(unknown)?;
        for start in &entries.starts {
            file.write_at(VOID, offset + *start as u64 + 1)?;
        }
        Ok(())
    }
}

impl Written<'_> {
    /// Makes the entries durable, and makes sure that the worker will find them. Returns the position up to which their
    /// segment is durable.
    ///
    /// After the sync, before anything is acknowledged, two things are checked in this order: there is no newer
    /// segment, and this segment still has a name. A rotation creates the newer segment first and takes this one's
    /// final size after that; a removal comes later still. So if both checks pass, the entry lies within that size. If
    /// not, the entry is appended again to the newest segment. The duplicate is harmless because records have ids.
    ///
    /// # Errors
    /// [`Error::Sync`] if a sync failed: the entry is voided in place, and the error says whether that worked. Any
    /// other [`Error`] if the entry had to be appended again and could not be.
    pub fn sync(mut self) -> Result<Synced<Position>, Error> {
        loop {
            let Written { journal, segment, entries, .. } = &mut self;
            let synced = segment.file.sync(Point::AppendBeforeSync).and_then(|()| {
                let _ = crash::at(Point::AppendAfterSync);
                segment.is_newest(journal)
            });
            match synced {
                Ok(true) => return Ok(Synced(segment.end_of(entries))),
                Ok(false) => self.again()?,
                Err(source) => {
                    let error = Error::Sync { number: segment.number.0, source };
                    return Err(segment.disown(journal, entries, error));
                }
            }
        }
    }

    /// Writes the same entries to the segment that is now the newest. If that fails, the entries in the old one are
    /// voided, since they are not acknowledged.
    fn again(&mut self) -> Result<(), Error> {
        let Written { journal, segment, entries, segments } = self;
        let retry = || {
            if *segments == SEGMENTS_MAX {
                return Err(Error::Restless(SEGMENTS_MAX));
            }
            let named = |source| fs::Error::io("append to", segment.file.path())(source);
            crash::at(Point::AppendAgain).map_err(named)?;
            let next = Segment::newest(journal, segment.least)?;
            let mut copy = entries.clone();
            next.write(journal, &mut copy)?;
            Ok((next, copy))
        };
        match retry() {
            Ok((next, copy)) => {
                (**segment, *entries) = (next, copy);
                *segments += 1;
                Ok(())
            }
            Err(error) => Err(segment.disown(journal, entries, error)),
        }
    }
}
