//! The commits of a file: which one introduced it, and which ones changed it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use git2::{Commit, ErrorCode, Oid};
use jiff::Timestamp;

use super::query::{find_file, read_blob};
use super::{CommitId, Doing as _, Error, History, Standing, bytes};

/// A record is committed after it was made, but the clocks of two machines may differ.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// What a commit did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    /// The file was not there before.
    Added,
    /// It has other bytes than before.
    Changed,
    /// It was taken out of the tree.
    Removed,
}

/// One commit that changed a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCommit {
    /// The commit.
    pub commit: CommitId,
    /// When it was made.
    pub at: Timestamp,
    /// The first line of its message.
    pub subject: String,
    /// What it did to the file.
    pub change: FileChange,
}

impl History {
    /// The commit that introduced the file `path`, which is of a record made at `created_at`; `None` if the branch has no
    /// such commit, or the search took longer than `within`.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn introduced_by(
        &self,
        path: &str,
        created_at: Timestamp,
        within: Duration,
    ) -> Result<Option<FileCommit>, Error> {
        let deadline = Instant::now() + within;
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let before = created_at.as_second() - i64::try_from(CLOCKS_DIFFER_BY.as_secs()).unwrap_or(0);
        let mut after: Vec<Commit<'_>> = Vec::new();
        for commit in self.commits(&repository)? {
            let commit = commit?;
            if commit.time().seconds() < before || Instant::now() > deadline {
                break;
            }
            after.push(commit);
        }
        for commit in after.iter().rev() {
            if Instant::now() > deadline {
                break;
            }
            if find_file(&objects, commit.tree_id(), path)?.is_some() {
                return Ok(Some(file_commit(commit, FileChange::Added)));
            }
        }
        Ok(None)
    }

    /// The commit that introduced the file `path`, found in a chain of commits: `at` has the name and the tree of each by its
    /// place. It is looked for from the place `from` on, up to `last`, by as few looks as possible. `None` if it is not
    /// there for sure: then [`History::introduced_by`] tells.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn introduced_among(
        &self,
        path: &str,
        (from, last): (i64, i64),
        at: impl Fn(i64) -> Option<([u8; 20], [u8; 20])>,
    ) -> Result<Option<FileCommit>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let has = |place: i64| -> Result<Option<bool>, Error> {
            let Some(tree) = at(place).and_then(|(_, tree)| Oid::from_bytes(&tree).ok()) else { return Ok(None) };
            find_file(&objects, tree, path).map(|found| Some(found.is_some()))
        };
        let named = |place| at(place).and_then(|(id, _)| Oid::from_bytes(&id).ok());
        let before = from - 1;
        let is_first =
            || named(from).is_some_and(|id| repository.find_commit(id).is_ok_and(|it| it.parent_count() == 0));
        if has(before)?.unwrap_or_else(|| !is_first()) {
            return Ok(None);
        }
        // `lacks` lacks the file; from it on in steps of growing length, until a commit has it.
        let (mut lacks, mut step, mut found) = (before, 1, None);
        while found.is_none() && lacks < last {
            let place = (lacks + step).min(last);
            match has(place)? {
                Some(true) => found = Some(place),
                Some(false) => (lacks, step) = (place, step * 2),
                None => return Ok(None),
            }
        }
        let Some(mut first) = found else { return Ok(None) };
        while first - lacks > 1 {
            let middle = lacks + (first - lacks) / 2;
            match has(middle)? {
                Some(true) => first = middle,
                Some(false) => lacks = middle,
                None => return Ok(None),
            }
        }
        let Some(id) = named(first) else { return Ok(None) };
        let commit = repository.find_commit(id).doing("reading a commit")?;
        Ok(Some(file_commit(&commit, FileChange::Added)))
    }

    /// Calls `take` with the commit `from` and the commits before it, newest first, until it breaks. Ends after the first
    /// commit, after a merge, and before a commit that is not there: what is beyond these is no chain.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn each_back_from(
        &self,
        from: [u8; 20],
        mut take: impl FnMut(CommitId, Standing) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let repository = self.repository()?;
        let mut next = Oid::from_bytes(&from).ok();
        while let Some(id) = next.take() {
            let commit = match repository.find_commit(id) {
                Err(error) if error.code() == ErrorCode::NotFound => break,
                found => found.doing("reading a commit")?,
            };
            let parent = commit.parent_id(0).ok();
            let at = Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
            let stands = Standing { parent: parent.map(bytes), tree: bytes(commit.tree_id()), at };
            if take(CommitId(id), stands).is_break() {
                break;
            }
            next = parent.filter(|_| commit.parent_count() == 1);
        }
        Ok(())
    }

    /// Every commit that changed the file `path`, newest first.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn commits_of(&self, path: &str) -> Result<Vec<FileCommit>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut found = Vec::new();
        // What a commit did is known once the one before it was read.
        let mut newer: Option<(Commit<'_>, Option<Oid>)> = None;
        for commit in self.commits(&repository)? {
            let commit = commit?;
            let version = find_file(&objects, commit.tree_id(), path)?;
            if let Some((newer, its)) = newer.take() {
                found.extend(change_of(its, version).map(|change| file_commit(&newer, change)));
            }
            newer = Some((commit, version));
        }
        if let Some((first, its)) = newer {
            found.extend(change_of(its, None).map(|change| file_commit(&first, change)));
        }
        Ok(found)
    }

    /// The bytes that the file `path` had first, among the commits of the branch that are not older than `since`.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn first_of(&self, path: &str, since: Timestamp) -> Result<Option<Vec<u8>>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut first = None;
        for commit in self.commits(&repository)? {
            let commit = commit?;
            if first.is_some() && commit.time().seconds() < since.as_second() {
                break;
            }
            first = find_file(&objects, commit.tree_id(), path)?.or(first);
        }
        first.map(|id| read_blob(&objects, id, path)).transpose()
    }
}

fn change_of(now: Option<Oid>, before: Option<Oid>) -> Option<FileChange> {
    match (now, before) {
        (Some(_), None) => Some(FileChange::Added),
        (Some(now), Some(before)) if now != before => Some(FileChange::Changed),
        (None, Some(_)) => Some(FileChange::Removed),
        _ => None,
    }
}

fn file_commit(commit: &Commit<'_>, change: FileChange) -> FileCommit {
    let message = String::from_utf8_lossy(commit.message_bytes());
    FileCommit {
        commit: CommitId(commit.id()),
        at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        change,
    }
}
