//! Finds names of objects in a file that holds them as they are, whatever its format: an index of git's, a split one, its
//! extensions, a commit graph.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use git2::Oid;

use super::super::{DoingAt as _, Error};

/// The length of a name.
const NAME_BYTES: usize = 20;
const PART_BYTES: usize = 1 << 20;

/// Names that are looked for.
pub(super) struct Wanted<'w> {
    names: &'w HashSet<Oid>,
    /// Whether any of them begins with the two bytes.
    begins: Vec<bool>,
}

impl Wanted<'_> {
    pub(super) fn of(names: &HashSet<Oid>) -> Wanted<'_> {
        let mut begins = vec![false; 1 << 16];
        for name in names {
            begins[start(name.as_bytes())] = true;
        }
        Wanted { names, begins }
    }

    /// Those of the names that the file at `path` holds; none if there is no such file.
    pub(super) fn in_file(&self, path: &Path) -> Result<BTreeSet<Oid>, Error> {
        let doing = "looking for objects in a file";
        let mut found = BTreeSet::new();
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            file => file.doing_at(doing, path)?,
        };
        let (mut buffer, mut part) = (vec![0; PART_BYTES], Vec::new());
        loop {
            let read = file.read(&mut buffer).doing_at(doing, path)?;
            if read == 0 {
                return Ok(found);
            }
            part.extend_from_slice(&buffer[..read]);
            for name in part.windows(NAME_BYTES).filter(|name| self.begins[start(name)]) {
                found.extend(Oid::from_bytes(name).ok().filter(|name| self.names.contains(name)));
            }
            // A name can begin in one part and end in the next.
            part.drain(..part.len().saturating_sub(NAME_BYTES - 1));
        }
    }
}

fn start(name: &[u8]) -> usize {
    usize::from(name[0]) << 8 | usize::from(name[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_it_is_in_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        let name = Oid::from_bytes(&[7; NAME_BYTES]).expect("a name");
        let other = Oid::from_bytes(&[9; NAME_BYTES]).expect("a name");
        let names = HashSet::from([name, other]);
        let wanted = Wanted::of(&names);
        assert!(wanted.in_file(&path).expect("readable").is_empty());
        for at in [0, 5, PART_BYTES - 3, PART_BYTES, 2 * PART_BYTES - NAME_BYTES] {
            let mut bytes = vec![1; 2 * PART_BYTES];
            bytes[at..at + NAME_BYTES].copy_from_slice(&[7; NAME_BYTES]);
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(wanted.in_file(&path).expect("readable"), BTreeSet::from([name]), "{at}");
        }
    }
}
