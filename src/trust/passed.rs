//! The homes that were passed by: how many records were made within them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, text_of};
use crate::fs::{Dir, Durability};
use crate::own;

/// The counts of records that were made within homes that were passed by.
const PASSED: &str = "passed";
/// The counts are folded from this size on, in bytes.
const BYTES_FOLDED: u64 = 64 << 10;
/// The most homes that are counted.
const PASSED_MAX: usize = 1000;

/// The homes that were passed by, and how many records were made within each of them and went elsewhere.
///
/// A recorder appends one line, `COUNT PATH`, without a lock or a sync; the path is a JSON string. A file that has grown is
/// folded: lines with equal paths become one, in a new file that replaces the old one. Counts can be too low after a power
/// cut, or if a line is appended during a fold. No record depends on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed(BTreeMap<PathBuf, u64>);

impl Passed {
    /// The counts in the folder `state`. Unreadable ones are skipped.
    pub fn read(state: &Path) -> Passed {
        let text = own::read(&state.join(PASSED)).ok().flatten().unwrap_or_default();
        let mut passed = Passed::default();
        let text = String::from_utf8_lossy(&text);
        // A line without its end is being written, or its writer was killed.
        for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).split('\n') {
            let parsed = line.split_once(' ').and_then(|(count, path)| {
                Some((count.parse::<u64>().ok()?, serde_json::from_str::<PathBuf>(path).ok()?))
            });
            if let Some((count, path)) = parsed.filter(|(_, path)| passed.0.len() < PASSED_MAX && path.is_absolute()) {
                let sum = passed.0.entry(path).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        passed
    }

    /// Each home that was passed by, and how many records came from within it.
    pub fn all(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.0.iter().map(|(path, count)| (path.as_path(), *count)).filter(|(_, count)| *count > 0)
    }

    /// How many records came from within the home at `path`, which was passed by.
    pub fn of(&self, path: &Path) -> u64 {
        self.0.get(path).copied().unwrap_or_default()
    }

    /// Counts `records` that were made within the home at `path`.
    ///
    /// # Errors
    /// [`Error`] if they could not be counted. Callers go on as if they had been.
    pub fn add(state: &Path, path: &Path, records: u64) -> Result<(), Error> {
        let line = format!("{records} {}\n", serde_json::Value::from(text_of(path)?));
        let folder = own::notes_folder(state)?;
        let file = match folder.append(PASSED) {
            Err(error) if error.is_not_found() => match folder.create_empty(PASSED) {
                Err(error) if error.is_already_there() => folder.append(PASSED)?,
                created => created?,
            },
            opened => opened?,
        };
        file.write_once(line.as_bytes())?;
        if file.stat()?.size > BYTES_FOLDED {
            Passed::read(state).write(&folder)?;
        }
        Ok(())
    }

    /// Forgets the count of the home at `path`.
    ///
    /// # Errors
    /// As [`Passed::add`].
    pub fn forget(state: &Path, path: &Path) -> Result<(), Error> {
        let mut passed = Passed::read(state);
        if passed.0.remove(path).is_some() {
            passed.write(&own::notes_folder(state)?)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Dir) -> Result<(), Error> {
        let line = |(path, count): (&PathBuf, &u64)| {
            let path = serde_json::to_string(path).ok()?;
            Some(format!("{count} {path}\n"))
        };
        let text: String = self.0.iter().filter_map(line).collect();
        Ok(folder.replace(PASSED, text.as_bytes(), folder, Durability::None)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stay_small_and_right() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = folder.path().join("state");
        let path = Path::new("/a/home with \"quotes\"\nand lines");
        for _ in 0..3000 {
            Passed::add(&state, path, 2).expect("it is counted");
        }
        let size = std::fs::metadata(state.join(PASSED)).expect("it is there").len();
        assert!(size <= BYTES_FOLDED, "{size} bytes");
        assert_eq!(Passed::read(&state).of(path), 6000);
        Passed::forget(&state, path).expect("it is forgotten");
        assert_eq!(Passed::read(&state).all().count(), 0);
    }
}
