//! Keeps the folders of a day small: git rewrites a folder's whole tree for each commit that adds to it.
//!
//! A folder with [`NAMES_MAX`] names or more gets all folders of the next [`Level`]; records whose paths are chosen
//! from then on go there. The worker checks after each commit, a recorder of many records after each group. The names that
//! the worker will place for that recorder ([`Planned`]) count as well.
//!
//! A crash in between leaves some of the folders: records go to those, and the rest are made after the next commit.
//! The folders are not synced. If a power cut loses them, or they are removed because they are empty, they are made
//! again.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::fs::{Dir, Error};
use crate::model::layout::split;
use crate::model::{Level, RecordId};

/// The number of names from which on a folder is spread over the next level.
pub const NAMES_MAX: usize = 1000;

/// The deepest existing level for a record of this time and id, beneath the folder of its day.
///
/// # Errors
/// [`Error::Refused`] if something other than a folder is in the way, [`Error::Io`] if that cannot be read.
pub fn level_in(day: &Dir, created_at: Timestamp, id: RecordId) -> Result<Level, Error> {
    let (mut level, mut path) = (Level::Day, String::new());
    while let Some(next) = level.next() {
        let name = next.name(created_at, id).unwrap_or_default();
        path = if path.is_empty() { name } else { format!("{path}/{name}") };
        match day.find(&path)? {
            Some(found) if found.is_folder => level = next,
            _ => break,
        }
    }
    Ok(level)
}

/// How many names each folder will get from records that are in the journal and whose files the worker places.
#[derive(Debug, Default)]
pub struct Planned(HashMap<String, usize>);

impl Planned {
    /// Counts the file at `path`, relative to the home.
    pub fn add(&mut self, path: &str) {
        *self.0.entry(split(path).0.to_owned()).or_default() += 1;
    }

    fn in_folder(&self, folder: &str) -> usize {
        self.0.get(folder).copied().unwrap_or(0)
    }
}

/// Makes the folders of the next level within `folder`, relative to the home, if it has too many names, `planned` ones
/// included. Returns whether it did. If a file has one folder's name, the other folders are still made.
///
/// # Errors
/// [`Error::Io`] and [`Error::Refused`] if it cannot be listed, or lacks a folder of the next level; nothing depends
/// on it.
pub fn spread_if_full(home: &Dir, folder: &str, planned: usize) -> Result<bool, Error> {
    let Some(level) = Level::of_folder(folder).and_then(Level::next) else { return Ok(false) };
    let folder = match home.folder(folder) {
        // The names that it will get are enough.
        Err(error) if error.is_not_found() && planned >= NAMES_MAX => home.make_folder(folder)?,
        Err(error) if error.is_not_found() => return Ok(false),
        folder => folder?,
    };
    if folder.names()?.len() + planned < NAMES_MAX {
        return Ok(false);
    }
    let made = level.names().iter().map(|name| folder.make_folder(name).map(drop)).fold(Ok(()), Result::and);
    made.map(|()| true)
}

/// Does this for the folders of all `paths`. Failures are left for the next time.
pub fn spread_full<'p>(home: &Dir, paths: impl Iterator<Item = &'p str>, planned: &Planned) {
    let mut folders: Vec<&str> = paths.map(|path| split(path).0).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        match spread_if_full(home, folder, planned.in_folder(folder)) {
            Ok(true) => tracing::debug!(folder, "a folder with many records is spread over folders of its own"),
            Ok(false) => {}
            Err(error) => tracing::debug!(folder, %error, "a folder with many records could not be spread"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_folder_is_spread_level_by_level() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Dir::open(folder.path()).expect("it was just made");
        let (at, id) = ("2026-03-04T05:06:07Z".parse().expect("a time"), RecordId(uuid::Uuid::from_u128(0xab)));
        let mut path = "memory/failures/2026/03/04".to_owned();
        assert!(!spread_if_full(&home, &path, 0).expect("nothing is there"));
        let day = home.make_folder(&path).expect("it can be made");
        for wanted in Level::ALL {
            assert_eq!(level_in(&day, at, id).expect("it can be told"), wanted);
            let within = home.make_folder(&path).expect("it can be made");
            for number in 0..NAMES_MAX - 1 {
                let _ = within.create_empty(&format!("x{number}.md")).expect("it can be made");
            }
            assert!(!spread_if_full(&home, &path, 0).expect("it can be told"), "{path} is not full");
            let _ = within.create_empty("y.md").expect("it can be made");
            assert_eq!(spread_if_full(&home, &path, 0).expect("it can be told"), wanted.next().is_some());
            if let Some(name) = wanted.next().and_then(|next| next.name(at, id)) {
                path = format!("{path}/{name}");
            }
        }
    }

    #[test]
    fn a_file_with_the_name_of_an_hour_keeps_no_other_hour_away() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Dir::open(folder.path()).expect("it was just made");
        let path = "memory/failures/2026/03/04";
        let day = home.make_folder(path).expect("it can be made");
        for number in 1..NAMES_MAX {
            let _ = day.create_empty(&format!("x{number}.md")).expect("it can be made");
        }
        let _ = day.create_empty("00").expect("it can be made");
        assert!(spread_if_full(&home, path, 0).is_err(), "an hour is missing");
        for (at, wanted) in [("2026-03-04T00:06:07Z", Level::Day), ("2026-03-04T05:06:07Z", Level::Hour)] {
            let level = level_in(&day, at.parse().expect("a time"), RecordId(uuid::Uuid::nil()));
            assert_eq!(level.expect("it can be told"), wanted, "{at}");
        }
    }
}
