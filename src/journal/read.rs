//! Reading: what the worker, recovery, `verify` and `status` do. A reader never writes.

use std::ops::Range;

use super::Error;
use super::entry::{ENTRY_BYTES_MAX, Line};
use super::segment::{Journal, SegmentNumber, find_header, is_header_like};
use crate::fs::File;
use crate::model::position::{Position, SegmentId};

const CHUNK_BYTES: usize = 256 << 10;

/// One item of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole entry.
    Entry {
        /// Its JSON.
        json: Vec<u8>,
    },
    /// An entry that its own writer voided.
    Voided,
    /// The start of an entry whose writer died.
    Torn,
    /// Damage: bytes that no writer leaves.
    Damaged {
        /// The segment that holds them.
        segment: SegmentId,
        /// Their offset in it.
        offset: u64,
        /// The bytes; for a line longer than any entry, its start.
        bytes: Vec<u8>,
        /// What is wrong with them.
        why: &'static str,
    },
}

/// Yields what the journal holds, in order, from a position on.
///
/// A reader stops at the end of the journal and can continue later. It moves to the next segment only when that exists
/// and has a header, and takes the size of the one it leaves after that. An entry appended beyond that size is appended
/// again by its writer.
///
/// ```
/// use indelible::home::Home;
/// use indelible::journal::{Item, Reader};
/// # use indelible::model::{Heuristic, Record, Request};
/// # use indelible::record::{Policy, Recorder, Redaction};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("home");
/// # indelible::init::init(&path, Default::default(), "")?;
/// # let heuristic = |rule: &str| {
/// #     let (domain, source) = ("ci".into(), "failure".into());
/// #     Request::new(Record::Heuristic(Heuristic { rule: rule.into(), domain, source, ..Heuristic::default() }))
/// # };
/// let home = Home::open(&path)?;
/// let mut reader = Reader::from_start(home.journal())?.expect("a home has a journal");
/// assert_eq!(reader.next()?, None);
///
/// // More can come after the end: a reader continues.
/// let mut recorder = Recorder::new(&home, Policy::new(Redaction::off()))?;
/// recorder.record(heuristic("pin the toolchain"))?;
/// let Some(Item::Entry { json }) = reader.next()? else { panic!("it is in the journal") };
/// assert!(String::from_utf8(json)?.contains("pin the toolchain"));
///
/// // A position is a place to start from later.
/// let position = reader.position();
/// recorder.record(heuristic("cache by lockfile"))?;
/// let mut later = Reader::from_position(home.journal(), position)?.expect("the journal has the position");
/// let Some(Item::Entry { json }) = later.next()? else { panic!("it is in the journal") };
/// assert!(String::from_utf8(json)?.contains("cache by lockfile"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<'j> {
    journal: &'j Journal,
    number: SegmentNumber,
    file: File,
    position: Position,
    /// The offset up to which the segment may be read; `None` until the size is taken.
    limit: u64,
    sealed: bool,
    buffer: Vec<u8>,
    /// The offset of `buffer` in the segment.
    buffer_offset: u64,
    /// How much of `buffer` has been read.
    head: usize,
    /// The part of `buffer` that was there before the last load and has no line feed.
    searched_before_load: usize,
}

impl<'j> Reader<'j> {
    /// A reader that begins after the oldest segment's header, or `None` if no segment has one.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn from_start(journal: &'j Journal) -> Result<Option<Reader<'j>>, Error> {
        Reader::behind(journal, None)
    }

    /// A reader that begins after the header of the oldest segment behind `number`, or `None` if none behind it has one.
    ///
    /// A worker can remove all segments of a listing before they are opened. Then what it still needs is in newer ones, so
    /// they are listed again.
    fn behind(journal: &'j Journal, number: Option<SegmentNumber>) -> Result<Option<Reader<'j>>, Error> {
        let mut before = None;
        loop {
            let mut listed = journal.segments()?;
            listed.retain(|segment| Some(*segment) > number);
            for segment in &listed {
                // The oldest segments are removed first, so the first that still exists comes next.
                if let Some(reader) = Reader::at_segment(journal, *segment)? {
                    return Ok(Some(reader));
                }
            }
            if before.as_ref() == Some(&listed) {
                return Ok(None);
            }
            before = Some(listed);
        }
    }

    /// A reader that begins at `position`, or `None` if the journal's bytes do not match the position.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn from_position(journal: &'j Journal, position: Position) -> Result<Option<Reader<'j>>, Error> {
        let mut newer = None;
        for number in journal.segments()? {
            let mut reader = match Reader::at_segment(journal, number) {
                Ok(Some(reader)) => reader,
                Ok(None) => continue,
                // A later segment can still hold the position. If none does, this position cannot be judged.
                Err(error @ Error::Newer { .. }) => {
                    newer = newer.or(Some(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A segment that was copied by hand exists twice, under one id.
            if reader.position.segment == position.segment && reader.skip_to(position)? {
                return Ok(Some(reader));
            }
        }
        newer.map_or(Ok(None), Err)
    }

    fn at_segment(journal: &'j Journal, number: SegmentNumber) -> Result<Option<Reader<'j>>, Error> {
        let file = match journal.dir.read(&number.file_name()) {
            Err(error) if error.is_not_found() => return Ok(None),
            file => file?,
        };
        let Some(header) = find_header(&file, number)? else { return Ok(None) };
        let position = Position { segment: header.id, offset: header.end, checksum: 0 };
        Ok(Some(Reader {
            journal,
            number,
            file,
            position,
            limit: header.end,
            sealed: false,
            buffer: Vec::new(),
            buffer_offset: header.end,
            head: 0,
            searched_before_load: 0,
        }))
    }

    /// Moves to `position` if the entry that ends there has its checksum.
    fn skip_to(&mut self, position: Position) -> Result<bool, Error> {
        if position == self.position {
            return Ok(true);
        }
        let size = self.file.stat()?.size;
        if position.offset <= self.position.offset || position.offset > size + 1 {
            return Ok(false);
        }
        // An entry without its line feed ends one byte beyond the file's end. Every other one ends with it.
        let end = position.offset.min(size);
        let mut last = [0];
        self.file.read_at(&mut last, end - 1)?;
        if (last == *b"\n") != (end == position.offset) {
            return Ok(false);
        }
        let Some(line) = self.line_ending_at(end)? else { return Ok(false) };
        let borne_out = matches!(Line::of(&line), Line::Whole { checksum, .. } if checksum == position.checksum);
        if borne_out {
            (self.position, self.buffer_offset) = (position, position.offset);
        }
        Ok(borne_out)
    }

    /// The line that ends at `end`, without its line feed; `None` if it is longer than an entry.
    fn line_ending_at(&self, end: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = 512;
        loop {
            let start = end.saturating_sub(bytes).max(self.position.offset.saturating_sub(1));
            let mut buffer = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
            let read = self.file.read_at(&mut buffer, start)?;
            buffer.truncate(read);
            if buffer.last() == Some(&b'\n') {
                buffer.pop();
            }
            if let Some(feed) = buffer.iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(buffer.split_off(feed + 1)));
            }
            if end - start < bytes || bytes > ENTRY_BYTES_MAX as u64 {
                return Ok(None);
            }
            bytes *= 4;
        }
    }

    /// The end of the last entry that was read, which is the end of a batch that holds everything so far.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The segment being read.
    pub fn segment(&self) -> SegmentNumber {
        self.number
    }

    /// The bytes of the segment read so far.
    pub fn offset(&self) -> u64 {
        self.buffer_offset + self.head as u64
    }

    /// The next item of the journal, or `None` at its end.
    ///
    /// # Errors
    /// [`Error::Newer`] if what comes next is a newer program's, [`Error::Format`] and [`Error::Fs`]; the reader does
    /// not move then.
    #[allow(clippy::should_implement_trait, reason = "an end is not the end: more may come")]
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some(line) = self.take_line()? {
                match self.judge(&line) {
                    None => {}
                    item => return Ok(item),
                }
            } else if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Takes notice of what was appended since, and seals the segment once a newer one has its header. Returns whether
    /// there may be more to read.
    fn advance(&mut self) -> Result<bool, Error> {
        if self.sealed {
            let Some(next) = Reader::behind(self.journal, Some(self.number))? else { return Ok(false) };
            *self = next;
            return Ok(true);
        }
        let mut sealed = false;
        for number in self.journal.segments()?.into_iter().filter(|number| *number > self.number) {
            // A segment of a newer format has a header, too. It is not read; what lies before it is.
            sealed |= match self.journal.beginning(number) {
                Err(Error::Newer { .. }) => true,
                // Removed since: only segments before one with a header are.
                Err(Error::Fs(error)) if error.is_not_found() => true,
                beginning => beginning?.is_some(),
            };
        }
        let size = self.file.stat()?.size;
        let grown = size > self.limit;
        (self.limit, self.sealed) = (size.max(self.limit), sealed);
        Ok(grown || sealed)
    }

    /// Finds the next line of the segment, within the limit, and moves past it. A line without an end is taken only if
    /// a dead writer left it in a sealed segment, or if it is whole without its line feed.
    fn take_line(&mut self) -> Result<Option<Found>, Error> {
        let start = self.offset();
        let mut searched = self.head;
        loop {
            if let Some(feed) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.head..searched + feed;
                self.head = line.end + 1;
                return Ok(Some(Found { start, line, endless: false }));
            }
            if self.buffer.len() - self.head > ENTRY_BYTES_MAX {
                return self.skip_endless_line(start).map(Some);
            }
            if !self.load()? {
                return Ok(self.take_unfinished(start));
            }
            // Loading moves the rest to the front, and what was there has no line feed.
            searched = self.searched_before_load;
        }
    }

    /// Loads more of the segment after the rest of the buffer. Returns whether there was more.
    fn load(&mut self) -> Result<bool, Error> {
        self.buffer.drain(..self.head);
        self.buffer_offset += self.head as u64;
        self.head = 0;
        let left = self.buffer.len();
        self.searched_before_load = left;
        let loaded = self.buffer_offset + left as u64;
        let wanted =
            usize::try_from(self.limit.saturating_sub(loaded)).unwrap_or(usize::MAX).min(CHUNK_BYTES.max(left));
        self.buffer.resize(left + wanted, 0);
        let read = self.file.read_at(&mut self.buffer[left..], loaded)?;
        self.buffer.truncate(left + read);
        Ok(read > 0)
    }

    /// A line at the end of the readable part. In the newest segment its writer may still be at work.
    fn take_unfinished(&mut self, start: u64) -> Option<Found> {
        let line = self.head..self.buffer.len();
        let whole = matches!(Line::of(&self.buffer[line.clone()]), Line::Whole { .. } | Line::Voided);
        if line.is_empty() || !(whole || self.sealed) {
            return None;
        }
        self.head = line.end;
        Some(Found { start, line, endless: false })
    }

    /// Skips the rest of a line longer than any entry, and keeps its start.
    fn skip_endless_line(&mut self, start: u64) -> Result<Found, Error> {
        let mut offset = self.buffer_offset + self.buffer.len() as u64;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            offset = self.file.data_from(offset);
            let read = self.file.read_at(&mut chunk, offset)?;
            let feed = chunk[..read].iter().position(|byte| *byte == b'\n');
            offset += feed.map_or(read, |feed| feed + 1) as u64;
            if feed.is_some() || read == 0 {
                break;
            }
        }
        self.buffer.drain(..self.head);
        self.buffer.truncate(CHUNK_BYTES);
        self.buffer.shrink_to_fit();
        self.head = self.buffer.len();
        self.buffer_offset = offset - self.head as u64;
        self.limit = self.limit.max(offset);
        Ok(Found { start, line: 0..self.head, endless: true })
    }

    /// Turns a line into an item; `None` for a line that means nothing.
    fn judge(&mut self, found: &Found) -> Option<Item> {
        let line = &self.buffer[found.line.clone()];
        match found.judge(line) {
            Line::Blank => None,
            Line::Whole { json, checksum } => {
                // An entry without its line feed ends where the next entry's first byte will be that line feed.
                let end = found.start + line.len() as u64 + 1;
                self.position = Position { offset: end, checksum, ..self.position };
                Some(Item::Entry { json: json.to_vec() })
            }
            Line::Voided => Some(Item::Voided),
            Line::Torn => Some(Item::Torn),
            Line::Damaged(_) if is_header_like(line) => None,
            Line::Damaged(why) => {
                let (segment, bytes) = (self.position.segment, line.to_vec());
                Some(Item::Damaged { segment, offset: found.start, why, bytes })
            }
        }
    }
}

/// A line in the buffer.
struct Found {
    /// Its offset in the segment.
    start: u64,
    /// Its range in the buffer, without its line feed.
    line: Range<usize>,
    /// Whether it is longer than any entry, so that only its start is in the buffer.
    endless: bool,
}

impl Found {
    /// Classifies the line by its bytes in the buffer. A start that could be a torn entry's proves nothing if the line
    /// is longer than any entry.
    fn judge<'a>(&self, line: &'a [u8]) -> Line<'a> {
        match self.endless {
            true => Line::Damaged("it is longer than any entry"),
            false => Line::of(line),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::fs::simulated::{Dice, Disk, Machine, interrupted, root};
    use crate::journal::tests::{drain, exclusive, prune};
    use crate::journal::{Appender, Journal, Reader};

    /// A reader without the worker's lock: a worker copies what is pending to a new segment, and removes the others.
    #[test]
    fn wherever_a_reader_stands_still_it_reads_what_is_pending() {
        // More than a reader makes if nothing overtakes it.
        let calls = 16;
        for (first, second) in (0..calls).flat_map(|first| (first..calls).map(move |second| (first, second))) {
            let machine = Machine::new(Disk::new(512), Dice::of(1));
            let journal = Journal::new(root(&machine));
            journal.ensure_first().expect("it can be made");
            let append = |journal: &Journal| {
                let mut appender = Appender::open(journal).expect("there is a segment");
                let written = appender.append(&[r#"{"t":"kept"}"#]).expect("it can be written");
                let _ = written.sync().expect("it can be synced");
            };
            append(&journal);
            exclusive(&journal).rotate().expect("it can be rotated");
            let worker = |call: u64| -> (u64, Box<dyn FnOnce()>) {
                let machine = machine.clone();
                let work = move || {
                    let journal = Journal::new(root(&machine));
                    let fresh = exclusive(&journal).rotate().expect("it can be rotated");
                    append(&journal);
                    prune(&journal, fresh);
                };
                (call, Box::new(work))
            };
            let found = interrupted(vec![worker(first), worker(second)], || {
                drain(&mut Reader::from_start(&journal).expect("readable").expect("there is a segment"))
            });
            assert!(found.contains(&"kept".to_owned()), "not read, copied before calls {first} and {second}");
        }
    }
}
