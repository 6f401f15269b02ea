//! Erasing records from the history: the commits of indelible's references are rewritten without them, and every old object goes.
//!
//! 1. What is erased is found by what objects say ([`survey`]), in the whole repository.
//! 2. The new commits are a pure function of the old ones and of the records' ids ([`words`]), so every host that does the
//!    same arrives at the same names. Commits before the first that has a record keep their names. A domain's page that shows
//!    an erased record is left out of the commits; the next batch renders it.
//! 3. Objects go by surgery on packs ([`objects`]), never by `gc --prune`, which would take a user's dropped stash along.
//! 4. What a branch, a tag, a reflog or a stash of the user's still reaches stays, and is named.
//!
//! Each step is idempotent, and finds what is left to do from the repository itself. The one thing that it needs from before is
//! where our references were: a caller notes that before they move.

mod objects;
mod rewrite;
mod survey;
mod words;

use std::collections::BTreeSet;

use git2::{Oid, Repository};

use super::{Doing as _, Error, History, refs};
use crate::model::RecordId;
use crate::page;

/// Attempts to move our references while others move them.
const ATTEMPTS_MAX: usize = 10;

/// What of a repository has records that are to be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traces {
    /// How many of indelible's commits are rewritten.
    pub commits: usize,
    /// How many objects go.
    pub objects: usize,
    /// How many packs are written again.
    pub packs: usize,
    /// What of the user's keeps objects with the records: branches, tags, reflogs, stashes, indexes, commits.
    pub kept_by: BTreeSet<String>,
}

impl History {
    /// What of the repository has the records `ids`. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Damaged`], [`Error::Io`].
    pub fn traces_of(&self, ids: &BTreeSet<RecordId>) -> Result<Traces, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut survey = survey::Survey::of(&objects, ids)?;
        let of = self.own_references(&repository)?;
        let tips: Vec<Oid> = of.iter().map(|(_, at)| *at).collect();
        let ours: BTreeSet<&str> = of.iter().map(|(name, _)| name.as_str()).collect();
        let commits = survey.affected_commits()?.len();
        let (_, kept) = objects::doomed(self, &repository, &mut survey, &tips)?;
        let kept_by = kept.into_iter().filter(|name| !self.is_own(name, &ours)).collect();
        let mut all: std::collections::HashSet<Oid> = survey.blobs.iter().copied().collect();
        all.extend(survey.affected_commits()?);
        let packs = objects::affected_packs(self, &all)?.len();
        Ok(Traces { commits, objects: all.len(), packs, kept_by })
    }

    /// Whether the root `name` of the objects is one of ours, which moves, or the HEAD of a repository that we made.
    fn is_own(&self, name: &str, ours: &BTreeSet<&str>) -> bool {
        let name = name.strip_prefix("the reflog of ").unwrap_or(name);
        ours.contains(name) || (self.owned && name == "HEAD")
    }

    /// Where our references are: a caller notes it durably before [`History::rewrite_without`].
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::Git`].
    pub fn own_tips(&self) -> Result<Vec<String>, Error> {
        let repository = self.repository()?;
        Ok(self.own_references(&repository)?.into_iter().map(|(_, at)| at.to_string()).collect())
    }

    /// Rewrites the commits of indelible's references without the records `ids`, and moves the references. Returns how many
    /// commits were rewritten.
    ///
    /// # Errors
    /// [`Error::Contended`] and [`Error::Locked`] if others were in the way for the whole time; every other [`Error`].
    pub fn rewrite_without(&self, ids: &BTreeSet<RecordId>) -> Result<usize, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let repository = self.repository()?;
            let objects = repository.odb().doing("opening the objects")?;
            let mut survey = survey::Survey::of(&objects, ids)?;
            let of = self.own_references(&repository)?;
            let tips: Vec<Oid> = of.iter().map(|(_, at)| *at).collect();
            let (renamed, placed) = rewrite::rewritten(self, &repository, &objects, &mut survey, &tips)?;
            if !rewrite::move_references(self, &repository, &of, &renamed)? {
                continue;
            }
            placed.into_iter().try_for_each(super::pack::Placed::release)?;
            self.forget_reflogs(&repository, &of)?;
            return Ok(renamed.len());
        }
        Err(Error::Contended { branch: self.reference.clone(), attempts: ATTEMPTS_MAX })
    }

    /// Takes every object with the records `ids` out of the repository, unless something of the user's needs it; `old` is
    /// where our references were. Returns what of the user's keeps some of them.
    ///
    /// # Errors
    /// [`Error::Damaged`] if an object is still there afterwards; every other [`Error`].
    pub fn remove_objects_of(&self, ids: &BTreeSet<RecordId>, old: &[String]) -> Result<BTreeSet<String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut survey = survey::Survey::of(&objects, ids)?;
        let old: Vec<Oid> = old.iter().filter_map(|id| Oid::from_str(id).ok()).collect();
        let (doomed, kept) = objects::doomed(self, &repository, &mut survey, &old)?;
        objects::remove_objects(self, &doomed)?;
        let fresh = self.repository()?;
        let left = objects::left(&fresh.odb().doing("opening the objects")?, &doomed);
        match left.into_iter().next() {
            None => Ok(kept),
            Some(object) => {
                Err(Error::Damaged { object, what: "an object that was erased and is there".into(), source: None })
            }
        }
    }

    /// Every version of the pages of the records `ids` that the repository has, and of copies of them.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn pages_of(&self, ids: &BTreeSet<RecordId>) -> Result<Vec<Vec<u8>>, Error> {
        let mut pages = Vec::new();
        self.each_object(&mut |_, kind, bytes| {
            if kind == "blob" && page::id_of(bytes).is_some_and(|id| ids.contains(&id)) {
                pages.push(bytes.to_vec());
            }
        })?;
        Ok(pages)
    }

    /// Calls `visit` with name, kind and content of every object of the repository, whether or not anything reaches it.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn each_object(&self, visit: &mut dyn FnMut(&str, &str, &[u8])) -> Result<(), Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        for id in survey::listed(&objects)? {
            if let Some(object) = survey::found(objects.read(id))? {
                visit(&id.to_string(), object.kind().str(), object.data());
            }
        }
        Ok(())
    }

    /// Our references, with where they are. In a repository that we made, every anchor is ours.
    fn own_references(&self, repository: &Repository) -> Result<Vec<(String, Oid)>, Error> {
        let mut names = vec![self.reference.clone()];
        if self.owned {
            let all = repository.references_glob("refs/indelible/*").doing("listing references")?;
            for reference in all {
                let reference = reference.doing("listing references")?;
                names.extend(std::str::from_utf8(reference.name_bytes()).ok().map(str::to_owned));
            }
        }
        let mut found = Vec::new();
        for name in names {
            found.extend(refs::target(repository, &name)?.map(|at| (name, at)));
        }
        Ok(found)
    }

    /// Our references' logs name the old commits, and git would keep those for them.
    fn forget_reflogs(&self, repository: &Repository, of: &[(String, Oid)]) -> Result<(), Error> {
        let head = self.owned.then_some("HEAD");
        for name in of.iter().map(|(name, _)| name.as_str()).chain(head) {
            if self.common.join("logs").join(name).is_file() {
                repository.reflog_delete(name).doing("removing a log of ours")?;
            }
        }
        Ok(())
    }
}
