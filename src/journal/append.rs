//! Appending: what a recorder does, without a lock.

use super::entry::{ENTRY_BYTES_MAX, VOID, encode};
use super::segment::{FORMAT_OF_OPERATIONS, FORMAT_OF_RECORDS, Journal, SegmentNumber, find_header, write_header};
use super::{Error, Synced};
use crate::fs::{self, File, Point, crash};
use crate::model::position::Position;

/// How often one entry follows the journal to a newer segment before its writer gives up. More than once is rare, more
/// than a few times is a test that rotates without a pause; there has to be an end all the same.
const SEGMENTS_MAX: u32 = 1000;

/// Writes entries to the newest segment.
#[derive(Debug)]
pub struct Appender<'j> {
    journal: &'j Journal,
    segment: Segment,
}

/// The segment that is written to.
#[derive(Debug)]
struct Segment {
    /// The format that it has to have at the least.
    least: u32,
    number: SegmentNumber,
    /// The end of its header.
    beginning: Position,
    file: File,
}

/// Entries that are written and not yet synced. It borrows the appender: nothing is appended behind them before
/// [`Written::sync`] has used it up.
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
    /// Where each entry begins within `bytes`.
    starts: Vec<usize>,
    /// Where they begin in the segment, as far as the system said so.
    offset: Option<u64>,
}

impl<'j> Appender<'j> {
    /// Opens the newest segment of `journal`, and gives it its header if whoever created it died before that. If a newer
    /// program wrote that segment, the journal goes on in a new one behind it, of a format that this program knows.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Format`], [`Error::Fs`]; nothing is written then.
    pub fn open(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Ok(Appender { journal, segment: Segment::newest(journal, FORMAT_OF_RECORDS)? })
    }

    /// As [`Appender::open`], for entries that are other operations than `record`: the journal goes on in a segment that can
    /// have them, if the newest cannot.
    ///
    /// # Errors
    /// As [`Appender::open`].
    pub fn open_for_operations(journal: &'j Journal) -> Result<Appender<'j>, Error> {
        Ok(Appender { journal, segment: Segment::newest(journal, FORMAT_OF_OPERATIONS)? })
    }

    /// Writes one entry for each of `jsons`, all with a single call.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and nothing is written; [`Error::Short`] and [`Error::Fs`], and what was written of it is
    /// never taken for an entry, unless [`Error::Sync`] says so.
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
    /// The newest segment, or a new one behind it if that has a format below `least` or a newer program's.
    fn newest(journal: &Journal, least: u32) -> Result<Segment, Error> {
        loop {
            let number = journal.newest()?;
            let file = match journal.dir.append(&number.file_name()) {
                // Removed since it was listed: there is a newer one by now.
                Err(error) if error.is_not_found() => continue,
                file => file?,
            };
            match find_header(&file, number) {
                Ok(Some(header)) if header.format >= least => {
                    let beginning = Position { segment: header.id, offset: header.end, checksum: 0 };
                    return Ok(Segment { number, least, beginning, file });
                }
                Ok(Some(_)) | Err(Error::Newer { .. }) => journal.create(number.next(), least)?,
                // Read back, since the first one counts, and another writer's may come before this one's.
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
        // Needed to void them alone. What is written is no failure because the system does not say where.
        entries.offset = self.file.end_of_write().ok().map(|end| end.saturating_sub(taken as u64));
        // A missing final line feed is written by the next entry, whose first byte is one.
        if taken + 1 < bytes {
            let short = Error::Short { number: self.number.0, written: taken, bytes };
            // Of several entries, those before the cut are whole and would be taken for records. Only they are voided:
            // behind the cut there may be somebody else's by now.
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

    /// Where the last of `entries` ends; where the segment begins if the system did not say.
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

    /// Voids entries that nobody is told are kept, because of `error`, and returns what to tell.
    fn disown(&self, journal: &Journal, entries: &Entries, error: Error) -> Error {
        match self.void(journal, entries) {
            Ok(()) => error,
            Err(_) => Error::NotVoided { number: self.number.0, source: Box::new(error) },
        }
    }

    /// Overwrites the checksums of entries that nobody was promised.
    fn void(&self, journal: &Journal, entries: &Entries) -> Result<(), fs::Error> {
        crash::at(Point::AppendVoid).map_err(|source| fs::Error::io("void", self.file.path())(source))?;
        let file = journal.dir.overwrite(&self.number.file_name())?;
        // The name can be another file's by now only if somebody replaced the journal; leave that one alone.
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
    /// Makes the entries durable, and sees to it that they lie where the worker will find them. Returns up to where their
    /// segment is durable.
    ///
    /// After the sync and before anything counts as acknowledged, two things are checked in this order: that there is
    /// no newer segment, and that this one still has a name. Whoever rotates creates the newer one first and takes this
    /// one's final size after that; whoever removes does so later still. So if both hold, the entry lies within that
    /// size. If not, it is appended again to the newest; records have ids, which makes the double harmless.
    ///
    /// # Errors
    /// [`Error::Sync`] if a sync failed: the entry is voided in place, and says whether that could be done.
    /// Every other [`Error`] if it had to be appended again and could not be.
    pub fn sync(mut self) -> Result<Synced<Position>, Error> {
        loop {
            let Written { journal, segment, entries, .. } = &mut self;
            let synced = segment.file.sync(Point::AppendBeforeSync, ()).and_then(|_| {
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

    /// Writes the same entries to the segment that is the newest by now. What lies in the old one is voided if that
    /// cannot be done, since nobody is told that it is kept.
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
