//! Which references are ours to move when records are erased, and what their logs keep.
//!
//! In a repository that we made, all of ours and every anchor are. In a user's, they are the home's reference, the anchors whose
//! commits name the home, and the branch that shows the history ([`super::super::pointer`]): if it is where we left it, and no
//! work tree uses it. A branch that its owner moved or checked out stays where it is, and is named as what keeps the records.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while a log is replaced | the old log or the new one; a temporary file in the private folder | the next run; recovery |

use std::collections::{BTreeSet, HashSet};
use std::fs;

use git2::{Oid, Repository};

use super::super::message;
use super::super::query::files_of;
use super::super::refs::{self, OURS};
use super::super::work_trees::is_named;
use super::super::{Doing as _, DoingAt as _, Error, History, folder, sync};
use crate::fs::{Dir, Durability};
use crate::model::layout::{TEMPORARY, split};
use crate::model::path::of_state_file;
use crate::page::{Presence, StateFile};
use crate::private::private_of;

impl History {
    /// Our references, with where they are.
    pub(super) fn own_references(&self, repository: &Repository) -> Result<Vec<(String, Oid)>, Error> {
        let mut names = vec![self.reference.clone()];
        let all = repository.references_glob(&format!("{OURS}*")).doing("listing references")?;
        for reference in all {
            let reference = reference.doing("listing references")?;
            let name = std::str::from_utf8(reference.name_bytes()).ok().map(str::to_owned);
            let is_ours = self.owned || reference.target().is_some_and(|at| self.is_of_this_home(repository, at));
            names.extend(name.filter(|name| is_ours && *name != self.reference));
        }
        let mut found = Vec::new();
        for name in names {
            found.extend(refs::target(repository, &name)?.map(|at| (name, at)));
        }
        found.extend(self.own_branch(repository)?);
        Ok(found)
    }

    /// Whether this home made the commit `id`.
    pub(super) fn is_of_this_home(&self, repository: &Repository, id: Oid) -> bool {
        let trailer = repository.find_commit(id).ok().and_then(|it| message::parse(it.message_bytes()));
        trailer.is_some_and(|trailer| trailer.home.is_some() && trailer.home == self.id)
    }

    /// The branch that shows the history in a user's repository, if we may move it.
    fn own_branch(&self, repository: &Repository) -> Result<Option<(String, Oid)>, Error> {
        let Some((name, at)) = self.left_branch(repository)? else { return Ok(None) };
        Ok((!is_named(repository, &name)).then_some((name, at)))
    }

    /// Moves the reference `name`, which is at `at`, to `new`. False if it was moved meanwhile.
    pub(super) fn move_own(&self, repository: &Repository, name: &str, at: Oid, new: Oid) -> Result<bool, Error> {
        if self.owned || name.starts_with(OURS) {
            return refs::move_to(self, repository, name, refs::Expected::Exactly(Some(at)), new);
        }
        // A branch that was checked out just now stays, and is named later.
        self.point_to(repository, name, Some(at), new)?;
        Ok(true)
    }

    /// Whether to take `theirs` into our history, which is at `ours`, would bring back commits that were rewritten: it has commits
    /// of this home that our history lacks, and records were erased.
    pub(in super::super) fn would_bring_back(
        &self,
        repository: &Repository,
        ours: Oid,
        theirs: Oid,
    ) -> Result<bool, Error> {
        let doing = "walking what is to be taken in";
        let mut walk = repository.revwalk().doing(doing)?;
        walk.push(theirs).and_then(|()| walk.hide(ours)).doing(doing)?;
        for id in walk {
            if self.is_of_this_home(repository, id.doing(doing)?) {
                return self.has_erased(repository, ours);
            }
        }
        Ok(false)
    }

    /// Whether the tree of the commit `id` has the state file of an erased record.
    fn has_erased(&self, repository: &Repository, id: Oid) -> Result<bool, Error> {
        let objects = repository.odb().doing("opening the objects")?;
        let root = refs::commit(repository, &self.reference, id)?.tree_id();
        let mut has_one = false;
        files_of(&objects, root, |file| {
            if let Some(of) = of_state_file(file.path()).filter(|_| !has_one) {
                has_one = StateFile::parse(of, &file.read()?).is_some_and(|it| it.state == Presence::Erased);
            }
            Ok::<_, Error>(())
        })?;
        Ok(has_one)
    }

    /// Whether the root `name` of the objects is one of `ours`, which moves, or the HEAD of a repository that we made.
    pub(super) fn is_own(&self, name: &str, ours: &BTreeSet<&str>) -> bool {
        let name = name.strip_prefix("the reflog of ").unwrap_or(name);
        ours.contains(name) || (self.owned && name == "HEAD")
    }

    /// The logs of our references name the old commits, and git would keep those for them. The log of a branch in a user's
    /// repository loses the lines that name one of `affected`.
    pub(super) fn forget_reflogs(
        &self,
        repository: &Repository,
        of: &[(String, Oid)],
        affected: &HashSet<Oid>,
    ) -> Result<(), Error> {
        let head = self.owned.then_some("HEAD");
        for name in of.iter().map(|(name, _)| name.as_str()).chain(head) {
            if !self.common.join("logs").join(name).is_file() {
                continue;
            }
            match self.owned || name.starts_with(OURS) {
                true => repository.reflog_delete(name).doing("removing a log of ours")?,
                false => self.shorten_reflog(repository, name, affected)?,
            }
        }
        Ok(())
    }

    /// Takes the lines that name one of `affected` out of the log of the branch `name`, under its lock. If the lock is held, the
    /// log stays, and is named as what keeps them.
    fn shorten_reflog(&self, repository: &Repository, name: &str, affected: &HashSet<Oid>) -> Result<(), Error> {
        let path = self.common.join("logs").join(name);
        let doing = "shortening the log of our branch";
        let mut transaction = repository.transaction().doing(doing)?;
        if self.modes.apply(|| transaction.lock_ref(name)).is_err() {
            return Ok(());
        }
        let log = fs::read(&path).doing_at(doing, &path)?;
        let is_gone = |word: &[u8]| {
            let id = std::str::from_utf8(word).ok().and_then(|word| Oid::from_str(word).ok());
            id.is_some_and(|id| affected.contains(&id))
        };
        let is_left = |line: &&[u8]| !line.split(|byte| *byte == b' ').take(2).any(is_gone);
        let left: Vec<u8> = log.split_inclusive(|byte| *byte == b'\n').filter(is_left).flatten().copied().collect();
        if left.len() == log.len() {
            return Ok(());
        }
        let (above, base) = split(name);
        let above = folder(&self.common.join("logs").join(above))?;
        if left.is_empty() {
            above.remove(base).doing_at(doing, &path)?;
        } else {
            let home = Dir::open(&self.home).and_then(|home| private_of(&home)).doing_at(doing, &self.home)?;
            let Some(private) = home else { return Ok(()) };
            let temporary = private.make_folder(TEMPORARY).doing_at(doing, private.path())?;
            above.replace(base, &left, &temporary, Durability::Full).doing_at(doing, &path)?;
            self.mend_reference(name);
        }
        sync(&above)
    }
}
