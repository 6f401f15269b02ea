//! Reads what can be read of a file that lies among git's objects and that git does not read: a pack that was never finished or has
//! no index, an object that was being written, a copy.
//!
//! Such a file can end anywhere, and can lack what its differences start from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use flate2::bufread::ZlibDecoder;
use git2::{ObjectType, Oid};

/// What a pack begins with; its version and the number of its objects follow.
const MAGIC: &[u8; 4] = b"PACK";
const HEADER_BYTES: u64 = 12;
/// The checksum at a pack's end.
const SUM_BYTES: u64 = 20;
/// How much of a file that is no pack and no object is read at once, and how much of it is read again with the next part.
const PART_BYTES: usize = 1 << 20;
const OVERLAP_BYTES: usize = 4 << 10;
/// How many bytes of objects are kept, since others are differences from them.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// The longest chain of differences. Git makes none that is longer.
const CHAIN_MAX: usize = 4096;

type Content = (ObjectType, Vec<u8>);

/// Calls `visit` with the content of each object in the file at `path`; with the file's bytes, if it has none. `base` reads an object
/// of the repository. Returns whether that was all of it: false if a part could not be read.
///
/// # Errors
/// Errors of reading the file. One that is not there has nothing.
pub fn search(path: &Path, base: &dyn Fn(Oid) -> Option<Content>, visit: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        file => BufReader::new(file?),
    };
    let begin = file.fill_buf()?;
    if begin.starts_with(MAGIC) {
        let length = file.get_ref().metadata()?.len();
        return Pack { file, length, base, offsets: HashMap::new(), kept: HashMap::new(), kept_bytes: 0 }.search(visit);
    }
    if is_deflated(begin) {
        let mut bytes = Vec::new();
        let is_whole = ZlibDecoder::new(&mut file).read_to_end(&mut bytes).is_ok();
        if !bytes.is_empty() {
            // An object's kind and length come before it.
            let start = bytes.iter().take(32).position(|byte| *byte == 0).map_or(0, |at| at + 1);
            visit(&bytes[start..]);
            return Ok(is_whole);
        }
        file.seek(SeekFrom::Start(0))?;
    }
    search_plain(file, visit)
}

/// Whether the bytes begin as what zlib wrote.
fn is_deflated(begin: &[u8]) -> bool {
    matches!(begin, [first, second, ..] if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

fn search_plain(mut file: BufReader<File>, visit: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    let mut part = Vec::new();
    loop {
        let read = file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)?;
        if read == 0 {
            return Ok(true);
        }
        visit(&part);
        part.drain(..part.len().saturating_sub(OVERLAP_BYTES));
    }
}

/// What an object in a pack starts from.
enum Start {
    Nothing(ObjectType),
    At(u64),
    Object(Oid),
}

struct Entry {
    start: Start,
    bytes: Vec<u8>,
    /// Where the next one begins.
    end: u64,
}

struct Pack<'b> {
    file: BufReader<File>,
    length: u64,
    base: &'b dyn Fn(Oid) -> Option<Content>,
    /// Where the objects are that were read.
    offsets: HashMap<Oid, u64>,
    /// Contents of some, by where they are.
    kept: HashMap<u64, Content>,
    kept_bytes: usize,
}

impl Pack<'_> {
    fn search(&mut self, visit: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut count = [0; 4];
        self.file.seek(SeekFrom::Start(HEADER_BYTES - 4))?;
        if self.file.read_exact(&mut count).is_err() {
            return Ok(self.length <= HEADER_BYTES);
        }
        let (mut at, mut seen, mut waiting) = (HEADER_BYTES, 0, Vec::new());
        while at + SUM_BYTES < self.length {
            let Some(entry) = readable(self.entry(at))? else { break };
            let end = entry.end;
            match self.content(at, Some(entry))? {
                Some((kind, bytes)) => self.found(at, kind, bytes, visit)?,
                None => waiting.push(at),
            }
            (at, seen) = (end, seen + 1);
        }
        // What some start from can come after them.
        loop {
            let before = waiting.len();
            for at in std::mem::take(&mut waiting) {
                match self.content(at, None)? {
                    Some((kind, bytes)) => self.found(at, kind, bytes, visit)?,
                    None => waiting.push(at),
                }
            }
            if waiting.is_empty() || waiting.len() == before {
                return Ok(waiting.is_empty() && seen == u32::from_be_bytes(count));
            }
        }
    }

    fn found(&mut self, at: u64, kind: ObjectType, bytes: Vec<u8>, visit: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        visit(&bytes);
        self.offsets.insert(Oid::hash_object(kind, &bytes).map_err(io::Error::other)?, at);
        if self.kept_bytes > KEPT_BYTES_MAX {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += bytes.len();
        self.kept.insert(at, (kind, bytes));
        Ok(())
    }

    /// The content of the object at `at`, whose entry can be known; `None` if what it starts from is not there.
    fn content(&mut self, mut at: u64, mut entry: Option<Entry>) -> io::Result<Option<Content>> {
        let mut changes = Vec::new();
        let (kind, mut bytes) = loop {
            if let Some(kept) = self.kept.get(&at) {
                break kept.clone();
            }
            let Some(it) = (match entry.take() {
                Some(entry) => Some(entry),
                None => readable(self.entry(at))?,
            }) else {
                return Ok(None);
            };
            match it.start {
                Start::Nothing(kind) => break (kind, it.bytes),
                _ if changes.len() == CHAIN_MAX => return Ok(None),
                Start::At(before) => at = before,
                Start::Object(id) => match self.offsets.get(&id) {
                    Some(before) => at = *before,
                    None => match (self.base)(id) {
                        Some(base) => {
                            changes.push(it.bytes);
                            break base;
                        }
                        None => return Ok(None),
                    },
                },
            }
            changes.push(it.bytes);
        };
        for change in changes.iter().rev() {
            let Some(changed) = changed(&bytes, change) else { return Ok(None) };
            bytes = changed;
        }
        Ok(Some((kind, bytes)))
    }

    fn entry(&mut self, at: u64) -> io::Result<Entry> {
        self.file.seek(SeekFrom::Start(at))?;
        let first = self.byte()?;
        let (mut byte, mut size, mut shift) = (first, u64::from(first & 15), 4_u32);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            size |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(ErrorKind::InvalidData)?;
            shift += 7;
        }
        let start = match first >> 4 & 7 {
            1 => Start::Nothing(ObjectType::Commit),
            2 => Start::Nothing(ObjectType::Tree),
            3 => Start::Nothing(ObjectType::Blob),
            4 => Start::Nothing(ObjectType::Tag),
            6 => Start::At(at.checked_sub(self.distance()?).filter(|it| *it < at).ok_or(ErrorKind::InvalidData)?),
            7 => {
                let mut id = [0; 20];
                self.file.read_exact(&mut id)?;
                Start::Object(Oid::from_bytes(&id).map_err(io::Error::other)?)
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        let mut bytes = Vec::new();
        ZlibDecoder::new(&mut self.file).take(size.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Entry { start, bytes, end: self.file.stream_position()? })
    }

    /// How far before an object that is which it starts from.
    fn distance(&mut self) -> io::Result<u64> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let more = distance.checked_add(1).filter(|it| it.leading_zeros() >= 7).ok_or(ErrorKind::InvalidData)?;
            distance = more << 7 | u64::from(byte & 0x7f);
        }
        Ok(distance)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// `read`, or `None` if the bytes are no object, or end.
fn readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.raw_os_error().is_none() => Ok(None),
        read => read.map(Some),
    }
}

/// `base`, changed as `change` says: parts of it, and new bytes. `None` if that makes no sense.
fn changed(base: &[u8], change: &[u8]) -> Option<Vec<u8>> {
    let mut change = change.iter().copied();
    let mut length = || -> Option<usize> {
        let (mut number, mut shift) = (0_usize, 0_u32);
        loop {
            let byte = change.next()?;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    };
    let (from, to) = (length()?, length()?);
    if from != base.len() {
        return None;
    }
    let mut made = Vec::new();
    while let Some(what) = change.next() {
        if what & 0x80 == 0 {
            let before = made.len();
            made.extend(change.by_ref().take(usize::from(what)));
            if what == 0 || made.len() - before != usize::from(what) {
                return None;
            }
            continue;
        }
        let mut number = |bits: std::ops::Range<u32>| -> Option<usize> {
            let start = bits.start;
            bits.filter(|bit| what >> bit & 1 == 1)
                .try_fold(0, |number, bit| Some(number | usize::from(change.next()?) << (8 * (bit - start))))
        };
        let (start, length) = (number(0..4)?, number(4..7)?);
        let length = if length == 0 { 0x10000 } else { length };
        made.extend_from_slice(base.get(start..start.checked_add(length)?)?);
    }
    (made.len() == to).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> (Vec<Vec<u8>>, bool) {
        let mut contents = Vec::new();
        let is_whole = search(path, &|_| None, &mut |bytes| contents.push(bytes.to_vec())).expect("readable");
        contents.sort();
        (contents, is_whole)
    }

    /// Versions of one text in a pack, as the library packs them: as differences from each other.
    fn packed(folder: &Path) -> (Vec<Vec<u8>>, Vec<u8>) {
        let repository = git2::Repository::init_bare(folder).expect("a repository");
        let mut builder = repository.packbuilder().expect("a pack");
        let mut all = Vec::new();
        for n in 0..20 {
            let text = format!("version {n}\n{}\nend {n}", "a line that stays as it is\n".repeat(200)).into_bytes();
            builder.insert_object(repository.blob(&text).expect("written"), Some("x")).expect("inserted");
            all.push(text);
        }
        all.sort();
        let mut pack = git2::Buf::new();
        builder.write_buf(&mut pack).expect("packed");
        (all, pack.to_vec())
    }

    #[test]
    fn every_object_of_a_pack_is_read_and_of_a_torn_one_those_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let (all, pack) = packed(folder.path());
        assert!(pack.len() < 5000, "it has differences: {}", pack.len());
        let path = folder.path().join("tmp_pack_x");
        std::fs::write(&path, &pack).expect("written");
        assert_eq!(contents(&path), (all.clone(), true));
        for length in 0..pack.len() {
            std::fs::write(&path, &pack[..length]).expect("written");
            let (found, is_whole) = contents(&path);
            // The sum at the end is no object.
            assert!(!is_whole || length <= 12 || length >= pack.len() - 20, "{length}");
            assert!(length < 4 || found.iter().all(|it| all.contains(it)), "{length}");
        }
        let mut broken = pack.clone();
        broken[15] ^= 0xff;
        std::fs::write(&path, &broken).expect("written");
        assert!(!contents(&path).1);
    }

    #[test]
    fn an_object_and_a_plain_file_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tmp_obj_x");
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, b"blob 5\0hello").expect("deflated");
        let object = encoder.finish().expect("deflated");
        std::fs::write(&path, &object).expect("written");
        assert_eq!(contents(&path), (vec![b"hello".to_vec()], true));
        std::fs::write(&path, &object[..object.len() - 5]).expect("written");
        assert!(!contents(&path).1);
        std::fs::write(&path, b"x\x5e is no object").expect("written");
        assert_eq!(contents(&path), (vec![b"x\x5e is no object".to_vec()], true));
        assert_eq!(contents(&folder.path().join("gone")), (vec![], true));
    }
}
