//! A pack, written object by object.
//!
//! The number of objects stands at a pack's beginning, and its SHA-1 at its end. Where the number is not known from the start, it is
//! filled in at the end, and the file is read once more for the sum.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use git2::{ObjectType, Oid};
use sha1_smol::{Digest, Sha1};

use super::index::{self, Entry};
use super::{DoingAt as _, Error, Object};
use crate::fs::{Dir, File};

/// What every pack begins with; the number of objects follows.
const MAGIC: &[u8; 8] = b"PACK\0\0\0\x02";
/// The size of one write, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// A pack that is being written into the folder `D`. What is not finished is removed when it is dropped.
pub struct Pack<D: Borrow<Dir>> {
    folder: D,
    prefix: String,
    /// `None` once it is closed.
    file: Option<File>,
    is_finished: bool,
    /// Bytes not yet written.
    buffer: Vec<u8>,
    /// How many bytes it has, with those.
    length: u64,
    /// The sum of these; `None` if the number of objects is not known yet.
    sum: Option<Sha1>,
    objects: HashMap<Oid, Place>,
    deflate: Compress,
}

/// Where an object is.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    /// How many bytes it takes there.
    stored: u32,
    /// The CRC of these.
    crc: u32,
}

/// Writes `objects`, which are distinct, into `folder`: `<name>.pack` and `<name>.idx`, synced. Returns the name, `pack-<hash>`.
///
/// # Errors
/// [`Error::Io`].
pub fn write(folder: &Dir, objects: &[Object<'_>]) -> Result<String, Error> {
    let mut pack = Pack::begin(folder, "", Some(objects.len()))?;
    objects.iter().try_for_each(|object| pack.add(object))?;
    pack.finish()
}

impl<D: Borrow<Dir>> Pack<D> {
    /// Begins a pack in `folder`, of `count` objects if that is known. Until it is finished, the names of its files begin with `prefix`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(folder: D, prefix: &str, count: Option<usize>) -> Result<Pack<D>, Error> {
        let name = format!("{prefix}pack");
        let path = folder.borrow().path().join(&name);
        let number = u32::try_from(count.unwrap_or_default()).map_err(io::Error::other);
        let number = number.doing_at("writing a pack", &path)?;
        let file = folder.borrow().create_unchanging(&name).doing_at("writing a pack", &path)?;
        let mut pack = Pack {
            folder,
            prefix: prefix.to_owned(),
            file: Some(file),
            is_finished: false,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            length: 0,
            sum: count.map(|_| Sha1::new()),
            objects: HashMap::with_capacity(count.unwrap_or_default()),
            deflate: Compress::new(Compression::fast(), true),
        };
        pack.put(&header(number)).doing_at("writing a pack", &path)?;
        Ok(pack)
    }

    /// Whether it has the object `id`.
    pub fn has(&self, id: Oid) -> bool {
        self.objects.contains_key(&id)
    }

    /// Adds an object, unless it is there.
    ///
    /// # Errors
    /// [`Error::Io`]; the pack cannot be finished then.
    pub fn add(&mut self, object: &Object<'_>) -> Result<(), Error> {
        if self.has(object.id) {
            return Ok(());
        }
        let added = self.try_add(object);
        added.doing_at("writing a pack", &self.at(&self.unfinished("pack")))
    }

    fn try_add(&mut self, object: &Object<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        put_header(object, &mut bytes);
        compress(&mut self.deflate, &object.bytes, &mut bytes)?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        let stored = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.objects.insert(object.id, Place { offset: self.length, stored, crc: crc.sum() });
        self.put(&bytes)
    }

    /// The kind and the bytes of the object `id`; `None` if it has none of that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&mut self, id: Oid) -> Result<Option<(ObjectType, Vec<u8>)>, Error> {
        let Some(place) = self.objects.get(&id).copied() else { return Ok(None) };
        let read = self.try_read(place).map(Some);
        read.doing_at("reading a new object", &self.at(&self.unfinished("pack")))
    }

    fn try_read(&mut self, place: Place) -> io::Result<(ObjectType, Vec<u8>)> {
        if place.offset + u64::from(place.stored) > self.length - self.buffer.len() as u64 {
            self.flush()?;
        }
        let mut stored = vec![0; usize::try_from(place.stored).map_err(io::Error::other)?];
        let read = self.file()?.read_at(&mut stored, place.offset)?;
        let end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (kind, size, rest) = split_header(&stored[..read]).ok_or_else(end)?;
        let mut bytes = Vec::with_capacity(size);
        let status = Decompress::new(true).decompress_vec(rest, &mut bytes, FlushDecompress::Finish)?;
        (status == Status::StreamEnd && bytes.len() == size).then_some((kind, bytes)).ok_or_else(end)
    }

    /// Finishes it: `<name>.pack` and `<name>.idx` are in the folder, synced, and the folder is not. Returns the name, `pack-<hash>`.
    ///
    /// # Errors
    /// [`Error::Io`]; neither of them is there then, or the pack alone.
    pub fn finish(mut self) -> Result<String, Error> {
        self.try_finish()
    }

    /// As [`Pack::finish`], and syncs the folder.
    ///
    /// # Errors
    /// [`Error::Io`]; what is there of it may be gone after a power cut.
    pub fn finish_in_place(mut self) -> Result<String, Error> {
        let name = self.try_finish()?;
        let folder = self.folder.borrow();
        folder.sync().doing_at("syncing the folder of a pack", folder.path())?;
        Ok(name)
    }

    fn try_finish(&mut self) -> Result<String, Error> {
        let (pack, index) = (self.unfinished("pack"), self.unfinished("idx"));
        let (pack_path, index_path) = (self.at(&pack), self.at(&index));
        let sum = self.close().doing_at("writing a pack", &pack_path)?;
        let entry = |(id, place): (&Oid, &Place)| Entry { id: *id, crc: place.crc, offset: place.offset };
        let entries = self.objects.iter().map(entry).collect();
        index::write(self.folder.borrow(), &index, entries, sum).doing_at("writing a pack's index", &index_path)?;
        // Windows renames no file that is open.
        self.file = None;
        let name = format!("pack-{sum}");
        for (from, extension) in [(&pack, "pack"), (&index, "idx")] {
            let to = format!("{name}.{extension}");
            let folder = self.folder.borrow();
            folder.place_unchanging(from, folder, &to).doing_at("naming a pack", &self.at(&to))?;
        }
        self.is_finished = true;
        Ok(name)
    }

    /// Writes the number of objects, if it was not known, and the sum; syncs the file.
    fn close(&mut self) -> io::Result<Digest> {
        let number = u32::try_from(self.objects.len()).map_err(io::Error::other)?;
        self.flush()?;
        let sum = match &self.sum {
            Some(sum) => sum.digest(),
            None => {
                self.file()?.write_at(&header(number), 0)?;
                self.sum_of_file()?
            }
        };
        self.file()?.write_at(&sum.bytes(), self.length)?;
        self.file()?.sync_now()?;
        Ok(sum)
    }

    fn sum_of_file(&self) -> io::Result<Digest> {
        let (mut sum, mut offset, mut bytes) = (Sha1::new(), 0, vec![0; BUFFER_BYTES]);
        loop {
            match self.file()?.read_at(&mut bytes, offset)? {
                0 => break,
                read => {
                    sum.update(&bytes[..read]);
                    offset += read as u64;
                }
            }
        }
        (offset == self.length).then(|| sum.digest()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // By its offset: on Windows, reading moves the place of the next write.
        self.file()?.write_at(&self.buffer, self.length - self.buffer.len() as u64)?;
        self.buffer.clear();
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.borrow().path().join(name)
    }

    fn unfinished(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }
}

impl<D: Borrow<Dir>> Drop for Pack<D> {
    fn drop(&mut self) {
        drop(self.file.take());
        if !self.is_finished {
            for what in ["pack", "idx"] {
                let _ = self.folder.borrow().remove(&self.unfinished(what));
            }
        }
    }
}

fn header(count: u32) -> [u8; 12] {
    let mut header = [0; 12];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&count.to_be_bytes());
    header
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

/// The kind and the size that [`put_header`] has written, and what follows.
fn split_header(bytes: &[u8]) -> Option<(ObjectType, usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let kind = match first >> 4 & 7 {
        1 => ObjectType::Commit,
        2 => ObjectType::Tree,
        3 => ObjectType::Blob,
        4 => ObjectType::Tag,
        _ => return None,
    };
    let (mut size, mut shift, mut byte) = (usize::from(first & 0x0f), 4, *first);
    while byte & 0x80 != 0 {
        let next;
        (next, rest) = rest.split_first()?;
        byte = *next;
        size |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
    }
    Some((kind, size, rest))
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
    fn objects() -> Vec<Object<'static>> {
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
        objects
    }

    #[test]
    fn git_reads_what_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let objects = objects();
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
    fn a_pack_whose_objects_are_not_counted_before_is_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(folder.path()).expect("it opens");
        let objects = objects();
        let mut pack = Pack::begin(&dir, "tmp_1_", None).expect("it begins");
        for (number, object) in objects.iter().enumerate() {
            pack.add(object).expect("it is added");
            pack.add(object).expect("once more changes nothing");
            for back in [0, number / 2, number] {
                let (kind, bytes) = pack.read(objects[back].id).expect("it can be read").expect("it is there");
                assert!(kind == objects[back].kind && bytes == *objects[back].bytes, "object {back} of {number}");
            }
        }
        assert!(pack.read(Oid::ZERO_SHA1).expect("it can be looked for").is_none());
        let name = pack.finish().expect("it is finished");
        assert_eq!(write(&dir, &objects).expect("it is written"), name, "the name is the sum of it");
        let _ = git(folder.path(), &format!("git verify-pack {name}.idx"));
        let mut names = dir.names().expect("it can be listed");
        names.sort();
        assert_eq!(names, [format!("{name}.idx"), format!("{name}.pack")]);
    }

    #[test]
    fn what_is_not_finished_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(folder.path()).expect("it opens");
        let mut pack = Pack::begin(&dir, "tmp_1_", None).expect("it begins");
        pack.add(&objects()[0]).expect("it is added");
        assert_eq!(dir.names().expect("it can be listed"), ["tmp_1_pack"]);
        drop(pack);
        assert!(dir.names().expect("it can be listed").is_empty());
    }

    /// After a power cut at any call a file that has its name is whole, and both are there once the folder is synced.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pack_that_has_its_name_is_whole_after_every_power_cut() {
        use crate::fs::simulated::{Dice, Disk, Machine, root};

        const BYTES_MAX: u64 = 1 << 20;
        let blobs: Vec<Object<'_>> =
            (0..20_u8).map(|n| Object::new(ObjectType::Blob, vec![n; 4000]).expect("named")).collect();
        let finished = |synced: bool| {
            let machine = Machine::new(Disk::new(512), Dice::of(1));
            let folder = root(&machine);
            let mut pack = Pack::begin(&folder, "tmp_1_", None).expect("it begins");
            blobs.iter().for_each(|blob| pack.add(blob).expect("it is added"));
            let name = pack.finish().expect("it is finished");
            if synced {
                folder.sync().expect("it is synced");
            }
            (machine, name)
        };
        let content = |folder: &Dir, name: &str| folder.content(name, BYTES_MAX).expect("readable");
        let (machine, name) = finished(true);
        let names = ["pack", "idx"].map(|extension| format!("{name}.{extension}"));
        let whole = names.clone().map(|name| content(&root(&machine), &name).expect("it is there"));
        for seed in 0..200 {
            let after = root(&machine.after_power_cut(&mut Dice::of(seed)));
            let unsynced = root(&finished(false).0.after_power_cut(&mut Dice::of(seed)));
            for (name, whole) in names.iter().zip(&whole) {
                assert_eq!(content(&after, name).as_ref(), Some(whole), "seed {seed}, {name}");
                assert!(content(&unsynced, name).is_none_or(|it| it == *whole), "seed {seed}, {name} is torn");
            }
        }
    }
}
