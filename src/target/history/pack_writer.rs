//! Writing a pack: every object whole, compressed fast, compared with none.
//!
//! The formats are those of gitformat-pack(5): a pack of version 2 and an index of version 2. What a commit writes is
//! small and soon rolled together, by programs that compare and compress better (`repack`).
//!
//! The files are synced, and lie in a folder of their maker's: what a kill leaves there is cleared away by
//! [`super::History::sweep`].

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use git2::{ObjectType, Oid};
use sha1_smol::{Digest, Sha1};

use super::{Doing as _, DoingAt as _, Error};
use crate::fs::os;

/// From this offset on in a pack, its index keeps offsets in a table of their own.
const LARGE_OFFSET: u64 = 1 << 31;

/// An object that is to be written.
pub(super) struct Object<'a> {
    pub(super) id: Oid,
    kind: ObjectType,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Object<'a> {
    pub(super) fn new(kind: ObjectType, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Object<'a>, Error> {
        let bytes = bytes.into();
        Ok(Object { id: Oid::hash_object(kind, &bytes).doing("naming an object")?, kind, bytes })
    }
}

/// Where an object is in a pack.
#[derive(Clone, Copy)]
struct Entry {
    id: Oid,
    /// Of the bytes that it takes there.
    crc: u32,
    offset: u64,
}

/// Writes `objects`, each of which is another, into `folder`: `<name>.pack` and `<name>.idx`, synced. Returns the name,
/// `pack-<hash>`.
pub(super) fn write(folder: &Path, objects: &[Object<'_>]) -> Result<String, Error> {
    let unnamed = folder.join("pack");
    let (sum, mut entries) = write_pack(&unnamed, objects).doing_at("writing a pack", &unnamed)?;
    let name = format!("pack-{sum}");
    let pack = folder.join(format!("{name}.pack"));
    fs::rename(&unnamed, &pack).doing_at("naming a pack", &pack)?;
    entries.sort_unstable_by_key(|entry| entry.id);
    let index = folder.join(format!("{name}.idx"));
    write_index(&index, &entries, sum).doing_at("writing a pack's index", &index)?;
    Ok(name)
}

fn write_pack(path: &Path, objects: &[Object<'_>]) -> io::Result<(Digest, Vec<Entry>)> {
    let mut file = Summed::create(path)?;
    let count = u32::try_from(objects.len()).map_err(io::Error::other)?;
    file.put(b"PACK\0\0\0\x02")?;
    file.put(&count.to_be_bytes())?;
    let mut deflate = Compress::new(Compression::fast(), true);
    let (mut entries, mut bytes) = (Vec::with_capacity(objects.len()), Vec::new());
    for object in objects {
        bytes.clear();
        put_header(object, &mut bytes);
        compress(&mut deflate, &object.bytes, &mut bytes)?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        entries.push(Entry { id: object.id, crc: crc.sum(), offset: file.length });
        file.put(&bytes)?;
    }
    Ok((file.finish()?, entries))
}

/// The kind, and the size before it is compressed: four bits of it beside the kind, then seven at a time.
fn put_header(object: &Object<'_>, to: &mut Vec<u8>) {
    let kind = match object.kind {
        ObjectType::Commit => 1,
        ObjectType::Tree => 2,
        ObjectType::Tag => 4,
        ObjectType::Blob | ObjectType::Any => 3,
    };
    let mut size = object.bytes.len();
    let mut byte = kind << 4 | (size & 0x0f) as u8;
    size >>= 4;
    while size > 0 {
        to.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    to.push(byte);
}

/// Adds `bytes` to `to`, as one zlib stream.
fn compress(deflate: &mut Compress, bytes: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
    deflate.reset();
    loop {
        to.reserve(bytes.len() / 2 + 64);
        let taken = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        if deflate.compress_vec(&bytes[taken..], to, FlushCompress::Finish)? == Status::StreamEnd {
            return Ok(());
        }
    }
}

fn write_index(path: &Path, entries: &[Entry], pack: Digest) -> io::Result<()> {
    let mut file = Summed::create(path)?;
    file.put(b"\xfftOc\0\0\0\x02")?;
    for first in 0..=u8::MAX {
        let until = entries.partition_point(|entry| entry.id.as_bytes()[0] <= first);
        file.put(&u32::try_from(until).map_err(io::Error::other)?.to_be_bytes())?;
    }
    entries.iter().try_for_each(|entry| file.put(entry.id.as_bytes()))?;
    entries.iter().try_for_each(|entry| file.put(&entry.crc.to_be_bytes()))?;
    let mut large = Vec::new();
    for entry in entries {
        let place = if entry.offset < LARGE_OFFSET {
            entry.offset
        } else {
            large.push(entry.offset);
            LARGE_OFFSET | (large.len() as u64 - 1)
        };
        file.put(&u32::try_from(place).map_err(io::Error::other)?.to_be_bytes())?;
    }
    large.iter().try_for_each(|offset| file.put(&offset.to_be_bytes()))?;
    file.put(&pack.bytes())?;
    file.finish().map(drop)
}

/// A new file that ends with the SHA-1 of what was put into it.
struct Summed {
    file: BufWriter<File>,
    sum: Sha1,
    length: u64,
}

impl Summed {
    fn create(path: &Path) -> io::Result<Summed> {
        let file = os::unchanging_files().write(true).create_new(true).open(path)?;
        Ok(Summed { file: BufWriter::with_capacity(64 << 10, file), sum: Sha1::new(), length: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<Digest> {
        let sum = self.sum.digest();
        self.file.write_all(&sum.bytes())?;
        self.file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("there is git");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Of every length at which the header or the compression does something else, compressible or not.
    #[test]
    fn git_reads_what_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lengths = (0..40).chain([127, 128, 2047, 2048, 65_535, 65_536, 300_000, 5_000_000]);
        let mut state = 7_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let texts = lengths.flat_map(|length| [vec![b'x'; length], (0..length).map(|_| noise()).collect()]);
        let mut objects: Vec<Object<'_>> =
            texts.map(|text| Object::new(ObjectType::Blob, text).expect("named")).collect();
        objects.push(Object::new(ObjectType::Tree, &b""[..]).expect("named"));
        objects.sort_by_key(|object| object.id);
        objects.dedup_by_key(|object| object.id);
        let name = write(folder.path(), &objects).expect("written");
        let verified = git(folder.path(), &format!("git verify-pack -v {name}.idx"));
        for object in &objects {
            let line = format!("{} {} {} ", object.id, object.kind, object.bytes.len());
            assert!(verified.replace("   ", " ").contains(&line.replace("   ", " ")), "{line} in\n{verified}");
        }
        let ours = fs::read(folder.path().join(format!("{name}.idx"))).expect("an index");
        let _ = git(folder.path(), &format!("git index-pack -o theirs.idx {name}.pack"));
        assert!(ours == fs::read(folder.path().join("theirs.idx")).expect("an index"), "git makes another index");
    }

    #[test]
    fn offsets_beyond_two_gigabytes_have_a_table() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let entry = |number: u8, offset| Entry { id: Oid::from_bytes(&[number; 20]).expect("an id"), crc: 1, offset };
        let entries = [entry(1, 12), entry(2, 1 << 31), entry(3, (1 << 31) - 1), entry(4, 1 << 40)];
        let path = folder.path().join("large.idx");
        write_index(&path, &entries, Sha1::new().digest()).expect("written");
        let shown = git(folder.path(), "git init -q repository; cd repository; git show-index < ../large.idx");
        let offsets: Vec<_> = shown.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).collect();
        assert_eq!(offsets, entries.map(|entry| entry.offset));
    }
}
