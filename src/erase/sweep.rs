//! Takes what is erased out of everything that is neither journal, index nor history: the private folder, copies of the record's
//! file, copies of the database, and what is made from the index.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | anywhere | fewer files that have it | the next run |

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::words::Words;
use crate::fs::{self as files, Dir, Point, crash};
use crate::home::Home;
use crate::model::layout::{
    ADOPTED, AUTOSTART, CONFIG, DATABASE, DATABASE_SUFFIXES, ERASING, IDENTITY, JOURNAL, JOURNAL_ID, KNOWN, LOGS,
    MEMORY, POINTER, QUARANTINE, RELEASED, REQUESTS, ROLLBACK_JOURNAL, ROOTS, SEARCH, STATE, SYNC, TRUST_TOKEN,
    WORKER_LOCK, split,
};
use crate::model::{RecordId, limits};
use crate::page;
use crate::target::index::{self, Index};

/// What says nothing of any record, or is erased by others.
const APART: [&str; 11] =
    [AUTOSTART, CONFIG, ERASING, IDENTITY, JOURNAL, JOURNAL_ID, POINTER, RELEASED, STATE, TRUST_TOKEN, WORKER_LOCK];
/// A larger file is read in no one's memory: it goes as a whole.
const BYTES_MAX: u64 = 64 << 20;
/// The depth of folders that is looked at.
const DEPTH_MAX: usize = 12;

/// Removes search.db and the file of known failures. Both are made again from the index.
pub(super) fn remove_derived(home: &Home) -> Result<(), Error> {
    let (_, name) = split(SEARCH);
    let memory = home.dir().folder(MEMORY)?;
    let step = |at: &Dir| crash::at(Point::EraseBeforeFile).map_err(files::Error::io("erase in", at.path()));
    for suffix in DATABASE_SUFFIXES.into_iter().rev().chain([ROLLBACK_JOURNAL]) {
        step(&memory)?;
        memory.remove(&format!("{name}{suffix}"))?;
    }
    memory.sync()?;
    step(home.private())?;
    home.private().remove(KNOWN)?;
    Ok(home.private().sync()?)
}

/// Takes what has `words` or `ids` out of the private folder.
pub(super) fn sweep_private(home: &Home, words: &Words, ids: &BTreeSet<RecordId>, wait: Duration) -> Result<(), Error> {
    let sweep = Sweep { words, ids, wait };
    for name in home.private().names()?.iter().filter(|name| !APART.contains(&name.as_str())) {
        sweep.entry(home.private(), name, name, 0)?;
    }
    Ok(())
}

struct Sweep<'s> {
    words: &'s Words,
    ids: &'s BTreeSet<RecordId>,
    wait: Duration,
}

impl Sweep<'_> {
    /// Sweeps the file or folder `name` in `dir`, which is in `part` of the private folder.
    fn entry(&self, dir: &Dir, name: &str, part: &str, depth: usize) -> Result<(), Error> {
        let Some(found) = dir.find(name)? else { return Ok(()) };
        if found.is_folder && depth < DEPTH_MAX {
            let folder = dir.folder(name)?;
            for inner in folder.names()? {
                self.entry(&folder, &inner, part, depth + 1)?;
            }
            return Ok(());
        }
        if !found.is_file {
            return Ok(());
        }
        if name.ends_with(DATABASE) && [ADOPTED, QUARANTINE].contains(&part) {
            return self.database(dir, name);
        }
        // The rest of what a home had before its adoption has nothing of a record.
        if part == ADOPTED {
            return Ok(());
        }
        let content = dir.content(name, BYTES_MAX);
        let is_in = match &content {
            // A request to erase a record names its id, and waits for its answer; the notes of syncs name what leaves the remote.
            Ok(content) if [REQUESTS, SYNC].contains(&part) => {
                content.as_deref().is_some_and(|bytes| self.words.has_word(bytes))
            }
            Ok(content) => content.as_deref().is_some_and(|bytes| self.words.is_in(bytes)),
            // It is larger than anything of ours.
            Err(_) => part != LOGS,
        };
        if !is_in && !self.is_named(name) {
            return Ok(());
        }
        crash::at(Point::EraseBeforeFile).map_err(files::Error::io("erase in", dir.path()))?;
        match (part, content) {
            (LOGS, Ok(Some(bytes))) => self.blank(dir, name, &bytes)?,
            _ => {
                dir.remove(name)?;
                // The bytes of a parked entry, and why it was parked, are two files.
                let stem = name.trim_end_matches(".json").trim_end_matches(".bin");
                for other in [format!("{stem}.json"), format!("{stem}.bin")].iter().filter(|_| part == QUARANTINE) {
                    dir.remove(other)?;
                }
                dir.sync()?;
            }
        }
        Ok(())
    }

    /// Whether a file's name has an id of the records, or their title.
    fn is_named(&self, name: &str) -> bool {
        self.words.is_in(name.as_bytes()) || self.ids.iter().any(|id| name.contains(&id.short()))
    }

    /// A copy of an index: its rows go. One that is damaged goes as a whole, and one that has none of it is not touched.
    fn database(&self, dir: &Dir, name: &str) -> Result<(), Error> {
        let path = dir.path().join(name);
        let mut has_any = false;
        for suffix in DATABASE_SUFFIXES {
            let file = dir.path().join(format!("{name}{suffix}"));
            let is_in = self.words.is_in_file(&file);
            has_any |= is_in.map_err(|source| Error::Unreadable { path: file, source })?;
        }
        if !has_any {
            return Ok(());
        }
        let ids: Vec<RecordId> = self.ids.iter().copied().collect();
        match Index::erase_in(&path, &ids, self.wait) {
            Ok(()) => Ok(()),
            Err(error @ index::Error::Busy { .. }) => Err(error.into()),
            Err(_) => {
                for suffix in DATABASE_SUFFIXES.into_iter().rev().chain([ROLLBACK_JOURNAL]) {
                    dir.remove(&format!("{name}{suffix}"))?;
                }
                Ok(dir.sync()?)
            }
        }
    }

    /// Puts blanks over the lines of a log, which is `bytes`, that have it. In place: a worker has the file open, and appends to it.
    fn blank(&self, dir: &Dir, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = dir.overwrite(name)?;
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.words.is_in(line) {
                file.write_at(&vec![b' '; line.trim_ascii_end().len()], at)?;
            }
            at += line.len() as u64;
        }
        Ok(file.sync_now()?)
    }
}

/// Removes every file of the records and every copy of one, wherever it is beneath our folders, and the folders that are empty
/// then.
pub(super) fn remove_copies(home: &Home, ids: &BTreeSet<RecordId>) -> Result<(), Error> {
    each_copy(home, ids, &mut |path| remove_copy(home, path))
}

/// Calls `visit` with the path of every file of the records, and of every copy of one, beneath our folders.
pub(super) fn each_copy(
    home: &Home,
    ids: &BTreeSet<RecordId>,
    visit: &mut dyn FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    for root in ROOTS {
        let mut open = vec![PathBuf::from(root)];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(home.path().join(&folder)).into_iter().flatten().flatten() {
                let path = folder.join(entry.file_name());
                match (entry.file_type(), path.to_str()) {
                    (Ok(kind), _) if kind.is_dir() => open.push(path),
                    (Ok(kind), Some(path)) if kind.is_file() && is_copy(home, path, ids) => visit(path)?,
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

fn is_copy(home: &Home, path: &str, ids: &BTreeSet<RecordId>) -> bool {
    let bytes = home.dir().content(path, limits::FILE_BYTES_MAX as u64).ok().flatten();
    bytes.and_then(|bytes| page::id_of(&bytes)).is_some_and(|id| ids.contains(&id))
}

fn remove_copy(home: &Home, path: &str) -> Result<(), Error> {
    let (folder, name) = split(path);
    let dir = home.dir().folder(folder)?;
    crash::at(Point::EraseBeforeFile).map_err(files::Error::io("erase in", dir.path()))?;
    dir.remove(name)?;
    dir.sync()?;
    Ok(())
}

/// Removes the folders beneath `memory/` and `experiments/` that are of the records' domains or whose names have their words, and
/// that have no file.
pub(super) fn remove_folders(home: &Home, words: &Words) {
    for root in ROOTS {
        remove_empty(&home.path().join(root), words, false, 0);
    }
}

/// Removes the empty folders beneath `folder`, if it `is_named` after a record, or they are. A folder that has files stays: they
/// are other records', or a user's.
fn remove_empty(folder: &Path, words: &Words, is_named: bool, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|_| depth < DEPTH_MAX) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_named = is_named || words.is_folder(&name);
        remove_empty(&path, words, is_named, depth + 1);
        if is_named {
            let _ = fs::remove_dir(&path);
        }
    }
}
