//! The versions of a file: every content that it has had in the branch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use git2::{ObjectType, Odb, Oid};

use super::query::{files_of, find_file, read_blob};
use super::{Doing as _, Error, History, message};
use crate::model::RecordId;
use crate::model::path::{RecordPath, is_companion, state_file};
use crate::page;

impl History {
    /// The last bytes that the file `path` had in the branch, whether or not the tree still has it: from the newest
    /// commit that has it.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        self.each_version(path, |objects, id| {
            found = Some(read_blob(objects, id, path)?);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Whether the branch has, or had, exactly `bytes` at `path`: then they are a revision that we wrote, not an edit.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, Error> {
        let wanted = Oid::hash_object(ObjectType::Blob, bytes).doing("hashing a file")?;
        let mut found = false;
        self.each_version(path, |_, id| {
            found = id == wanted;
            Ok(!found)
        })?;
        Ok(found)
    }

    /// The newest commit that removed each of `paths`, by its name, as far as there is one.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn removed_by(&self, mut paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut found = BTreeMap::new();
        for commit in self.commits(&repository)? {
            if paths.is_empty() {
                break;
            }
            let commit = commit?;
            // The end of a shallow clone has no parent here.
            let Some(before) = commit.parent_ids().next().and_then(|id| repository.find_commit(id).ok()) else {
                continue;
            };
            let (before, now) = (before.tree_id(), commit.tree_id());
            let mut removed = Vec::new();
            for path in paths.iter().filter(|_| before != now) {
                if find_file(&objects, now, path)?.is_none() && find_file(&objects, before, path)?.is_some() {
                    removed.push(path.clone());
                }
            }
            for path in removed {
                paths.remove(&path);
                found.insert(path, commit.id().to_string());
            }
        }
        Ok(found)
    }

    /// Whether a record was ever amended, retracted, restored or erased, according to the commits for that.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn has_operations(&self) -> Result<bool, Error> {
        let repository = self.repository()?;
        for commit in self.commits(&repository)? {
            if message::is_of_change(commit?.message_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `visit` with the bytes of every version of the file `path`, newest first, until it breaks off.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn each_version_of(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        self.each_version(path, |objects, id| Ok(visit(&read_blob(objects, id, path)?).is_continue()))
    }

    /// The page of the record `of` before it was retracted: its path in the newest commit without its state file.
    /// `None` if that commit lacks the record, too.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let state = state_file(of);
        let mut was_there = false;
        for commit in self.commits(&repository)? {
            let tree = commit?.tree_id();
            let is_there = find_file(&objects, tree, &state)?.is_some();
            if is_there {
                was_there = true;
                continue;
            }
            if !was_there {
                return Ok(None);
            }
            let mut found = None;
            files_of(&objects, tree, |file| {
                let path = file.path();
                // The name of a page, or of an experiment's folder, ends in the id or its short form.
                let is_named = RecordPath(path).shown().trim_end_matches(".md").ends_with(&of.short());
                if found.is_none() && is_named && !is_companion(path) && page::id_of(&file.read()?) == Some(of) {
                    found = Some(path.to_owned());
                }
                Ok::<_, Error>(())
            })?;
            return Ok(found);
        }
        Ok(None)
    }

    /// Calls `visit` for every version of the file `path`, newest first, until it returns that it has seen enough.
    fn each_version(
        &self,
        path: &str,
        mut visit: impl FnMut(&Odb<'_>, Oid) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut last = None;
        for commit in self.commits(&repository)? {
            let version = find_file(&objects, commit?.tree_id(), path)?;
            if let Some(id) = version.filter(|_| version != last)
                && !visit(&objects, id)?
            {
                break;
            }
            last = version;
        }
        Ok(())
    }
}
