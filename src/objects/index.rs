//! A pack's index: which objects it has, and where.

use std::io;

use git2::Oid;
use sha1_smol::{Digest, Sha1};

use crate::fs::{Dir, File};

/// From this offset in a pack on, the index stores offsets in a separate table.
const LARGE_OFFSET: u64 = 1 << 31;
/// The size of one write, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Where an object is in a pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) id: Oid,
    /// The CRC of the object's bytes in the pack.
    pub(super) crc: u32,
    pub(super) offset: u64,
}

/// Writes the index of the pack whose sum is `pack` into the new file `name` of `folder`, and syncs it.
pub(super) fn write(folder: &Dir, name: &str, mut entries: Vec<Entry>, pack: Digest) -> io::Result<()> {
    entries.sort_unstable_by_key(|entry| entry.id);
    let mut file = Summed::create(folder, name)?;
    file.put(b"\xfftOc\0\0\0\x02")?;
    for first in 0..=u8::MAX {
        let until = entries.partition_point(|entry| entry.id.as_bytes()[0] <= first);
        file.put(&u32::try_from(until).map_err(io::Error::other)?.to_be_bytes())?;
    }
    entries.iter().try_for_each(|entry| file.put(entry.id.as_bytes()))?;
    entries.iter().try_for_each(|entry| file.put(&entry.crc.to_be_bytes()))?;
    let mut large = Vec::new();
    for entry in &entries {
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
    file.finish()
}

/// A new file that ends with the SHA-1 of its content.
struct Summed {
    file: File,
    /// Bytes not yet written.
    buffer: Vec<u8>,
    sum: Sha1,
}

impl Summed {
    fn create(folder: &Dir, name: &str) -> io::Result<Summed> {
        let file = folder.create_unchanging(name)?;
        Ok(Summed { file, buffer: Vec::with_capacity(BUFFER_BYTES), sum: Sha1::new() })
    }

    /// Adds fewer bytes than the buffer has.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let sum = self.sum.digest();
        self.buffer.extend_from_slice(&sum.bytes());
        self.file.write_all(&self.buffer)?;
        Ok(self.file.sync_now()?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn offsets_beyond_two_gigabytes_have_a_table() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let entry = |number: u8, offset| Entry { id: Oid::from_bytes(&[number; 20]).expect("an id"), crc: 1, offset };
        let entries = [entry(1, 12), entry(2, 1 << 31), entry(3, (1 << 31) - 1), entry(4, 1 << 40)];
        let dir = Dir::open(folder.path()).expect("it opens");
        write(&dir, "large.idx", entries.to_vec(), Sha1::new().digest()).expect("written");
        let script = "git init -q repository; cd repository; git show-index < ../large.idx";
        let shown = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().expect("there is git");
        let shown = String::from_utf8(shown.stdout).expect("text");
        let offsets: Vec<_> = shown.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).collect();
        assert_eq!(offsets, entries.map(|entry| entry.offset));
    }
}
