//! Writes a pack: every object whole, compressed fast, without deltas.
//!
//! The formats are those of gitformat-pack(5): a pack of version 2 and an index of version 2. A commit's pack is small
//! and soon rolled into another, by programs that find deltas and compress better (`repack`).
//!
//! The files are synced, and lie in a folder of their maker's. [`super::History::sweep`] removes what a kill leaves
//! there.

use std::borrow::Cow;
use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use git2::{ObjectType, Oid};
use sha1_smol::{Digest, Sha1};

use super::{Doing as _, DoingAt as _, Error};
use crate::fs::{Dir, File};

/// From this offset in a pack on, the index stores offsets in a separate table.
const LARGE_OFFSET: u64 = 1 << 31;

/// An object to be written.
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
    /// The CRC of the object's bytes in the pack.
    crc: u32,
    offset: u64,
}

/// Writes `objects`, which are distinct, into `folder`: `<name>.pack` and `<name>.idx`, synced. Returns the name,
/// `pack-<hash>`.
pub(super) fn write(folder: &Dir, objects: &[Object<'_>]) -> Result<String, Error> {
    const UNNAMED: &str = "pack";
    let (sum, mut entries) =
        write_pack(folder, UNNAMED, objects).doing_at("writing a pack", &folder.path().join(UNNAMED))?;
    let name = format!("pack-{sum}");
    let pack = format!("{name}.pack");
    folder.rename_over(UNNAMED, folder, &pack).doing_at("naming a pack", &folder.path().join(&pack))?;
    entries.sort_unstable_by_key(|entry| entry.id);
    let index = format!("{name}.idx");
    write_index(folder, &index, &entries, sum).doing_at("writing a pack's index", &folder.path().join(&index))?;
    Ok(name)
}

fn write_pack(folder: &Dir, name: &str, objects: &[Object<'_>]) -> io::Result<(Digest, Vec<Entry>)> {
    let mut file = Summed::create(folder, name)?;
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

/// The kind, and the uncompressed size: four bits of it beside the kind, then seven at a time.
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

fn write_index(folder: &Dir, name: &str, entries: &[Entry], pack: Digest) -> io::Result<()> {
    let mut file = Summed::create(folder, name)?;
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

/// A new file that ends with the SHA-1 of its content.
struct Summed {
    file: File,
    /// Bytes not yet written.
    buffer: Vec<u8>,
    sum: Sha1,
    length: u64,
}

/// The size of one write, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

impl Summed {
    fn create(folder: &Dir, name: &str) -> io::Result<Summed> {
        let file = folder.create_unchanging(name)?;
        Ok(Summed { file, buffer: Vec::with_capacity(BUFFER_BYTES), sum: Sha1::new(), length: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.length += bytes.len() as u64;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_BYTES {
            self.file.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Digest> {
        let sum = self.sum.digest();
        self.write(&sum.bytes())?;
        self.file.write_all(&self.buffer)?;
        self.file.sync_now()?;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("there is git");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Objects of every length at which the header or the compression changes behaviour, compressible or not.
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
        let name = write(&Dir::open(folder.path()).expect("it opens"), &objects).expect("written");
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
        let dir = Dir::open(folder.path()).expect("it opens");
        write_index(&dir, "large.idx", &entries, Sha1::new().digest()).expect("written");
        let shown = git(folder.path(), "git init -q repository; cd repository; git show-index < ../large.idx");
        let offsets: Vec<_> = shown.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).collect();
        assert_eq!(offsets, entries.map(|entry| entry.offset));
    }
}
