//! The newest commit of the history: as people read it, and its files; and the size of the packs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::read_dir;

use git2::{ObjectType, Oid, Repository};
use jiff::Timestamp;

use crate::model::layout;

use super::query::find;
use super::tree::{self, Shape};
use super::{CommitId, Doing as _, Error, History, refs};

/// The newest commit of the history, made by a worker or by a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TipCommit {
    /// The commit.
    pub commit: CommitId,
    /// When it was made, by its committer's clock.
    pub at: Timestamp,
    /// The name of its author.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// The files of the history's newest commit, for many questions.
pub struct TipFiles {
    repository: Repository,
    /// `None` before the first commit.
    tree: Option<Oid>,
    /// The folder that was asked about last: who asks goes through one after the other.
    last: RefCell<Folder>,
}

/// A folder's files, by name.
#[derive(Default)]
struct Folder {
    path: String,
    files: HashMap<Vec<u8>, Oid>,
}

impl std::fmt::Debug for TipFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TipFiles").field("tree", &self.tree).finish_non_exhaustive()
    }
}

impl TipFiles {
    /// Whether the commit has exactly `bytes` at `path`.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Damaged`].
    pub fn has(&self, path: &str, bytes: &[u8]) -> Result<bool, Error> {
        let Some(tree) = self.tree else { return Ok(false) };
        let id = Oid::hash_object(ObjectType::Blob, bytes).doing("hashing a file")?;
        let (folder, name) = layout::split(path);
        let mut last = self.last.borrow_mut();
        if last.path != folder {
            *last = self.folder(tree, folder)?;
        }
        Ok(last.files.get(name.as_bytes()) == Some(&id))
    }

    fn folder(&self, root: Oid, path: &str) -> Result<Folder, Error> {
        let objects = self.repository.odb().doing("opening the objects")?;
        let mut files = HashMap::new();
        if let Some((id, Shape::Folder)) = find(&objects, root, path)? {
            for entry in tree::entries(tree::read(&objects, id, path)?.data()) {
                let entry = entry.map_err(|_| tree::malformed(id, path))?;
                if entry.shape() == Shape::File {
                    files.insert(entry.name.to_vec(), entry.id);
                }
            }
        }
        Ok(Folder { path: path.to_owned(), files })
    }
}

impl History {
    /// The files of the newest commit, as it is now.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn tip_files(&self) -> Result<TipFiles, Error> {
        let repository = self.repository()?;
        let tip = self.tip_id(&repository)?;
        let tree =
            tip.map(|tip| refs::commit(&repository, self.reference(), tip).map(|it| it.tree_id())).transpose()?;
        Ok(TipFiles { repository, tree, last: RefCell::default() })
    }

    /// The newest commit of the history; `None` before the first.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn tip_commit(&self) -> Result<Option<TipCommit>, Error> {
        let repository = self.repository()?;
        let Some(id) = self.tip_id(&repository)? else { return Ok(None) };
        let commit = refs::commit(&repository, self.reference(), id)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Some(TipCommit {
            commit: CommitId(id),
            at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
            author: text(commit.author().name_bytes()),
            subject: text(commit.summary_bytes().unwrap_or_default()),
        }))
    }

    /// The size of the repository's packs in bytes. What cannot be read counts as nothing.
    pub fn pack_bytes(&self) -> u64 {
        let Ok(packs) = read_dir(self.packs()) else { return 0 };
        packs.flatten().filter_map(|entry| entry.metadata().ok()).filter(|it| it.is_file()).map(|it| it.len()).sum()
    }
}
