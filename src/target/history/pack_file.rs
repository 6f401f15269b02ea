//! Packs as files: their names, the files beside them, and the objects in an index.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use git2::Oid;

use super::{DoingAt as _, Error, sync};
use crate::fs::Dir;

/// Extensions of files beside a pack that exclude it from rolling.
pub(super) const HELD: [&str; 4] = ["keep", "promisor", "mtimes", "bitmap"];

/// Whether `name` is that of a pack: `pack-<hash>`.
pub(super) fn is_pack(name: &str) -> bool {
    name.strip_prefix("pack-").is_some_and(|hash| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The approximate number of objects in the index (version 2) at `path`, from its length: 28 bytes for each, 8 of
/// magic, 256 running totals of 4 and two checksums of 20. (8 more for each object beyond 2 GB in its pack.)
pub(super) fn objects(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len().saturating_sub(8 + 256 * 4 + 2 * 20) / 28)
}

/// Removes the file `name`; returns whether it existed.
pub(super) fn remove(folder: &Dir, name: &str) -> Result<bool, Error> {
    folder.remove(name).doing_at("removing a file", &folder.path().join(name))
}

/// Whether the folder has an entry of that name.
pub(super) fn is_there(folder: &Dir, name: &str) -> Result<bool, Error> {
    folder.find(name).map(|found| found.is_some()).doing_at("looking for a file", &folder.path().join(name))
}

/// Removes those of the packs `replaced` whose every object is also in the pack `new`; returns how many. The index is
/// removed last: while it exists, a retry can make the same check.
pub(super) fn remove_replaced(packs: &Dir, new: &str, replaced: &[String]) -> Result<usize, Error> {
    let mut removed = 0;
    for name in replaced.iter().filter(|it| is_pack(it) && *it != new) {
        let file = |extension: &str| format!("{name}.{extension}");
        let mut is_held = false;
        for extension in HELD {
            is_held |= is_there(packs, &file(extension))?;
        }
        let index = |name: &str| packs.path().join(format!("{name}.idx"));
        if is_held || !covers(&index(new), &index(name)).unwrap_or(false) {
            continue;
        }
        // A multi-pack index may cover this pack: its readers would look for missing packs, after a power cut too.
        if remove(packs, "multi-pack-index")? {
            sync(packs)?;
        }
        for extension in ["pack", "rev", "idx"] {
            remove(packs, &file(extension))?;
        }
        removed += 1;
    }
    if removed > 0 {
        sync(packs)?;
    }
    Ok(removed)
}

/// Whether the index `large` names every object that the index `small` names. Both are sorted.
fn covers(large: &Path, small: &Path) -> io::Result<bool> {
    let mut large = Ids::open(large)?;
    for id in Ids::open(small)? {
        let id = id?;
        let found = large.find(|it| it.as_ref().map_or(true, |it| *it >= id)).transpose()?;
        if found != Some(id) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The objects that a pack's index (version 2) names, sorted: after 8 bytes of magic and 256 running totals come the
/// names, 20 bytes each.
pub(super) struct Ids {
    from: BufReader<File>,
    left: u32,
}

impl Ids {
    pub(super) fn open(path: &Path) -> io::Result<Ids> {
        let mut from = BufReader::new(File::open(path)?);
        let mut magic = [0; 8];
        from.read_exact(&mut magic)?;
        if magic != *b"\xfftOc\0\0\0\x02" {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a pack index of version 2"));
        }
        from.seek(SeekFrom::Start(8 + 255 * 4))?;
        let mut total = [0; 4];
        from.read_exact(&mut total)?;
        Ok(Ids { from, left: u32::from_be_bytes(total) })
    }
}

impl Iterator for Ids {
    type Item = io::Result<Oid>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut id = [0; 20];
        let read = self.from.read_exact(&mut id).and_then(|()| Oid::from_bytes(&id).map_err(io::Error::other));
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}
