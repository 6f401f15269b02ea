//! Segments: the files that the journal is made of.
//!
//! A segment is named by its number, ten digits and `.log`, so that names sort. It opens with its header line:
//!
//! ```text
//! "indelible-journal " format " " segment id "\n"
//! ```
//!
//! This program reads formats 1 and 2. In format 2 an entry can be any operation, in format 1 only a record. A journal
//! stays in format 1 until it has to hold an operation, so that a program that knows only format 1 can use a home
//! without operations. Every segment after one of format 2 has that format too. A segment of a newer format is never
//! read and never written: recorders continue in a new segment behind it, in a format that they know.
//!
//! The first header line in a segment is its header. Before it there can be only empty lines, the starts of header
//! lines whose writers died, and zeros that a power cut left. A later header line (two appenders found no header and
//! each wrote one) means nothing. Anything else before a header shows that the first one was damaged. Then reading
//! begins there, so that one damaged line cannot hide the segment.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use super::Error;
use crate::fs::{self, Dir, File};
use crate::model::position::{Position, SegmentId};

/// The newest format that this program knows. Every header line names its segment's.
pub const FORMAT: u32 = 2;
/// The format in which every entry is a record.
pub const FORMAT_OF_RECORDS: u32 = 1;
/// The lowest format in which an entry can be any operation.
pub const FORMAT_OF_OPERATIONS: u32 = 2;

const MAGIC: &str = "indelible-journal ";
/// The whole segment that closes a journal: a header line of a version that no program writes to.
pub(super) const END: &str = "indelible-journal ended with-its-home\n";
/// How far the search for a header goes: far beyond what dead writers of header lines can leave.
const HEADER_SEARCH_BYTES_MAX: usize = 4096;
/// The longest header line.
const HEADER_BYTES_MAX: usize = 80;

/// Retries before an empty listing is trusted.
const LISTINGS_MAX: u32 = 4;

/// A segment's place in the journal, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The name of the segment's file.
    pub fn file_name(self) -> String {
        format!("{:010}.log", self.0)
    }

    /// The number of the segment that comes after it.
    pub fn next(self) -> SegmentNumber {
        SegmentNumber(self.0 + 1)
    }

    /// The name of the marker that records a failed sync of the segment.
    pub(super) fn mark_name(self) -> String {
        format!("{:010}.unsynced", self.0)
    }

    fn of_file_name(name: &str) -> Option<SegmentNumber> {
        let digits = name.strip_suffix(".log")?;
        let plain = (10..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = SegmentNumber(plain.then(|| digits.parse().ok()).flatten()?);
        (number.0 > 0 && number.file_name() == name).then_some(number)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The folder of segments.
#[derive(Debug)]
pub struct Journal {
    pub(super) dir: Dir,
}

/// A segment's header, as found.
pub(super) struct Header {
    pub(super) id: SegmentId,
    /// The format that it names; [`FORMAT_OF_RECORDS`] if it is damaged.
    pub(super) format: u32,
    /// The end of the header line.
    pub(super) end: u64,
}

impl Journal {
    /// The journal in the folder `dir`.
    pub fn new(dir: Dir) -> Journal {
        Journal { dir }
    }

    /// The folder that holds the segments.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The numbers of the existing segments, in order.
    ///
    /// # Errors
    /// [`Error::Fs`] if the folder cannot be read.
    pub fn segments(&self) -> Result<Vec<SegmentNumber>, Error> {
        let mut numbers: Vec<_> =
            self.dir.names()?.iter().filter_map(|name| SegmentNumber::of_file_name(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest segment's number.
    ///
    /// # Errors
    /// [`Error::Empty`] if there is no segment.
    pub fn newest(&self) -> Result<SegmentNumber, Error> {
        // A listing may miss names that were added or removed while it was read: between a rotation and a removal it
        // can be empty.
        for _ in 0..LISTINGS_MAX {
            let names = self.dir.names()?;
            if let Some(newest) = names.iter().filter_map(|name| SegmentNumber::of_file_name(name)).max() {
                return Ok(newest);
            }
        }
        Err(Error::Empty(self.dir.path().into()))
    }

    /// When the newest segment was last written to; `None` if that is not known.
    pub fn written_at(&self) -> Option<Timestamp> {
        let found = self.dir.find(&self.newest().ok()?.file_name()).ok()??;
        Timestamp::from_nanosecond(found.changed.into()).ok()
    }

    /// The size in bytes of each segment, in order.
    ///
    /// # Errors
    /// [`Error::Fs`] if one cannot be read.
    pub fn sizes(&self) -> Result<Vec<(SegmentNumber, u64)>, Error> {
        let mut sizes = Vec::new();
        for number in self.segments()? {
            if let Some(found) = self.dir.find(&number.file_name())? {
                sizes.push((number, found.size));
            }
        }
        Ok(sizes)
    }

    /// The numbers of the segments that have a header, with their ids. The id of one in a newer format is not known.
    ///
    /// # Errors
    /// [`Error::Format`] if a header has an unknown version, [`Error::Fs`] if one cannot be read.
    pub fn ids(&self) -> Result<Vec<(u64, SegmentId)>, Error> {
        let mut ids = Vec::new();
        for number in self.segments()? {
            match self.beginning(number) {
                Ok(Some(position)) => ids.push((number.0, position.segment)),
                Ok(None) => {}
                Err(Error::Fs(error)) if error.is_not_found() => {}
                Err(Error::Newer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    /// The end of the header of segment `number`, which is the position before its first entry. `None` if it has no
    /// header yet.
    ///
    /// # Errors
    /// [`Error::Newer`] if its header has a newer version, [`Error::Format`] if it has an unknown one, [`Error::Fs`] if
    /// it cannot be read.
    pub fn beginning(&self, number: SegmentNumber) -> Result<Option<Position>, Error> {
        let file = self.dir.read(&number.file_name())?;
        let header = find_header(&file, number)?;
        Ok(header.map(|header| Position { segment: header.id, offset: header.end, checksum: 0 }))
    }

    /// Whether an operation other than `record` ever went into the journal: from then on all of its segments are for them.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Fs`].
    pub fn takes_operations(&self) -> Result<bool, Error> {
        let Some(number) = self.segments()?.pop() else { return Ok(false) };
        let file = match self.dir.read(&number.file_name()) {
            // Removed since: there is a newer one of the same format.
            Err(error) if error.is_not_found() => return self.takes_operations(),
            file => file?,
        };
        match find_header(&file, number) {
            Ok(header) => Ok(header.is_some_and(|header| header.format >= FORMAT_OF_OPERATIONS)),
            Err(Error::Newer { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The format of segment `number`, which is to be made or to be given a header: `least`, or that of the segment before it
    /// where that is newer and known. So no segment behind one with operations can be read by a program that does not know
    /// them.
    pub(super) fn format_for(&self, number: SegmentNumber, least: u32) -> Result<u32, Error> {
        let before = match number.0.checked_sub(1).map(|before| SegmentNumber(before).file_name()) {
            None => return Ok(least),
            Some(name) => self.dir.read(&name),
        };
        match before {
            Err(error) if error.is_not_found() => Ok(least),
            before => match find_header(&before?, number) {
                Ok(header) => Ok(header.map_or(least, |header| header.format.max(least))),
                Err(Error::Newer { .. }) => Ok(FORMAT),
                Err(error) => Err(error),
            },
        }
    }
}

/// Finds the header of the segment in `file`. If it is damaged, the segment begins with the first line that no writer
/// puts before a header, and its id is derived from that line.
pub(super) fn find_header(file: &File, number: SegmentNumber) -> Result<Option<Header>, Error> {
    let mut start = 0;
    // The header is the first line unless a writer of one died, so a small read almost always finds it.
    for bytes_max in [64, HEADER_SEARCH_BYTES_MAX] {
        let mut buffer = vec![0; bytes_max];
        let mut read = file.read_at(&mut buffer, start)?;
        if buffer[..read].starts_with(b"\0") {
            start = end_of_zeros(file)?;
            read = file.read_at(&mut buffer, start)?;
        }
        let (mut offset, mut stray) = (start, None);
        for line in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let begin = offset;
            offset += line.len() as u64;
            if let Some((format, id)) = parse_header(line, number)? {
                return Ok(Some(Header { id, format, end: stray.map_or(offset, |stray: Header| stray.end) }));
            }
            if is_stray(line) {
                stray = stray
                    .or_else(|| Some(Header { id: id_without_header(line), format: FORMAT_OF_RECORDS, end: begin }));
            }
        }
        if read == HEADER_SEARCH_BYTES_MAX || read < bytes_max {
            return Ok(stray);
        }
    }
    Ok(None)
}

/// The end of the zeros at the start of the segment in `file`. A power cut can leave any number of them if neither a
/// large entry nor the header was synced. What was written after them still counts.
fn end_of_zeros(file: &File) -> Result<u64, fs::Error> {
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    loop {
        offset = file.data_from(offset);
        let read = file.read_at(&mut buffer, offset)?;
        let zeros = buffer[..read].iter().take_while(|byte| **byte == 0).count();
        offset += zeros as u64;
        if zeros < read || read == 0 {
            return Ok(offset);
        }
    }
}

/// Whether a line before any header is one that neither a writer nor a power cut leaves there. A line without a line
/// feed may be unfinished.
fn is_stray(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\n");
    let ended = text.is_some() || line.len() > HEADER_BYTES_MAX;
    let text = text.unwrap_or(line);
    ended && text.iter().any(|byte| *byte != 0) && !is_header_like(text)
}

/// The id of a segment without a header. It is derived from the first line that shows that the header is missing, so it
/// does not change when more is written.
fn id_without_header(line: &[u8]) -> SegmentId {
    SegmentId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &line[..line.len().min(HEADER_BYTES_MAX)]))
}

/// The format and the segment's id in a header line, including its line feed; `None` if the line is not a header.
fn parse_header(line: &[u8], number: SegmentNumber) -> Result<Option<(u32, SegmentId)>, Error> {
    let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    let Some(rest) = text.and_then(|text| text.strip_prefix(MAGIC)) else { return Ok(None) };
    let Some((format, id)) = rest.split_once(' ') else { return Ok(None) };
    match format.parse() {
        Ok(format @ FORMAT_OF_RECORDS..=FORMAT) => {
            Ok(Uuid::try_parse(id).ok().filter(|_| id.len() == 36).map(|id| (format, SegmentId(id))))
        }
        Ok(found) if found > FORMAT => Err(Error::Newer { number: number.0, found }),
        _ => Err(Error::Format { number: number.0, found: rest.chars().take(80).collect() }),
    }
}

/// Whether a line could be a header line or the start of one.
pub(super) fn is_header_like(line: &[u8]) -> bool {
    let magic = MAGIC.as_bytes();
    !line.is_empty()
        && line.len() <= HEADER_BYTES_MAX
        && line.iter().zip(magic).all(|(byte, expected)| byte == expected)
}

/// Writes a header of `format` to the segment in `file`, which has none. Syncs the folder first, so that no entry in it
/// can be durable before its name is.
pub(super) fn write_header(dir: &Dir, file: &File, format: u32) -> Result<(), fs::Error> {
    dir.sync()?;
    let isolation = if file.stat()?.size == 0 { "" } else { "\n" };
    let header = format!("{isolation}{MAGIC}{format} {}\n", crate::random::id());
    file.write_all(header.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_sort_as_their_numbers_do() {
        let names: Vec<_> = [1, 9, 10, 99_999].map(|number| SegmentNumber(number).file_name()).to_vec();
        assert!(names.is_sorted(), "{names:?}");
        for (name, number) in [("0000000001.log", Some(1)), ("1.log", None), ("0000000000.log", None), ("x.log", None)]
        {
            assert_eq!(SegmentNumber::of_file_name(name), number.map(SegmentNumber), "{name}");
        }
    }

    #[test]
    fn a_header_is_found_behind_what_dead_writers_left() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        let zeros = [512, 4060, 4096, 200_000].map(|bytes| "\0".repeat(bytes));
        let beginnings = ["", "indelible-jour", "\nindelible-journal 1 0", "indelible-journal 1 \n\n"];
        for left in zeros.iter().map(String::as_str).chain(beginnings) {
            let file = dir.create_empty("0000000001.log").expect("it is new");
            file.write_all(left.as_bytes()).expect("it can be written");
            assert!(find_header(&file, SegmentNumber(1)).expect("readable").is_none(), "{left:?}");
            write_header(&dir, &file, FORMAT).expect("it can be written");
            let header = find_header(&file, SegmentNumber(1)).expect("readable").expect("it is there now");
            assert_eq!(header.end, file.stat().expect("it is open").size, "{left:?}");
            dir.remove("0000000001.log").expect("it can be removed");
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let parse =
            |format: &str| parse_header(format!("{MAGIC}{format} {}\n", Uuid::nil()).as_bytes(), SegmentNumber(7));
        for (format, known) in [("1", 1), ("2", 2)] {
            assert_eq!(parse(format).expect("it is known"), Some((known, SegmentId(Uuid::nil()))), "format {format}");
        }
        let Err(error @ Error::Newer { number: 7, found: 3 }) = parse("3") else { panic!("version 3 was taken") };
        assert!(error.to_string().contains("segment 7") && error.to_string().contains("format 3"), "{error}");
        for none in ["0", "-1", "x", "ended", "99999999999"] {
            assert!(matches!(parse(none), Err(Error::Format { .. })), "{none}: {:?}", parse(none));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        for format in [FORMAT_OF_RECORDS, FORMAT_OF_OPERATIONS] {
            let file = dir.create_empty("0000000001.log").expect("it is new");
            write_header(&dir, &file, format).expect("it can be written");
            let line = std::fs::read_to_string(root.path().join("0000000001.log")).expect("it was written");
            let (start, id) = line.split_at(20);
            assert_eq!(start, format!("indelible-journal {format} "), "docs/journal-format.md shows this header");
            assert!(Uuid::try_parse(id.trim_end()).is_ok() && id.len() == 37, "{line:?}");
            dir.remove("0000000001.log").expect("it can be removed");
        }
    }
}
