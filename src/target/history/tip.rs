//! The newest commit of the history: as people read it, and its files; and the size of the packs.

use std::fs::read_dir;

use git2::{ObjectType, Oid, Repository};
use jiff::Timestamp;

use super::query::find_file;
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
        let objects = self.repository.odb().doing("opening the objects")?;
        let id = Oid::hash_object(ObjectType::Blob, bytes).doing("hashing a file")?;
        Ok(find_file(&objects, tree, path)? == Some(id))
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
        Ok(TipFiles { repository, tree })
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
