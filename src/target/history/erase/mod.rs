//! Erasing records from the history: the commits of indelible's references are rewritten without them, and every old object goes.
//!
//! 1. What is erased is found by what objects say ([`survey`]), in the whole repository.
//! 2. The new commits are a pure function of the old ones and of the records' ids ([`words`]), so every host that does the
//!    same arrives at the same names. Commits before the first that has a record keep their names. A domain's page that shows
//!    an erased record is left out of the commits; the next batch renders it.
//! 3. Objects go by surgery on packs ([`objects`]), never by `gc --prune`, which would take a user's dropped stash along.
//! 4. What a branch, a tag, a reflog or a stash of the user's still reaches stays, and is named.
//! 5. In a user's repository ([`own`]), ours are the home's reference, the anchors of its journals, and the branch that shows the
//!    history while it is where we left it and no work tree uses it. No object goes that our commits do not reach.
//!
//! Each step is idempotent, and finds what is left to do from the repository itself. The one thing that it needs from before is
//! where our references were: a caller notes that before they move.

mod objects;
mod own;
mod rewrite;
mod scan;
mod strays;
mod survey;
mod words;

pub use strays::{Holds, Stray};
pub(crate) use survey::has as shows;
pub(crate) use words::commit_without;

use std::collections::BTreeSet;

use git2::Oid;

use super::{Doing as _, Error, History};
use crate::model::RecordId;
use crate::page::{self, StateFile};

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
        let mut survey = survey::Survey::of(self, &objects, ids)?;
        let of = self.own_references(&repository)?;
        let tips: Vec<Oid> = of.iter().map(|(_, at)| *at).collect();
        let commits = objects::rewritten_commits(&mut survey, &tips)?;
        let ours: BTreeSet<&str> = of.iter().map(|(name, _)| name.as_str()).collect();
        let (doomed, kept_by) =
            objects::doomed(self, &repository, &mut survey, &tips, &|name| self.is_own(name, &ours))?;
        let packs = objects::affected_packs(self, &doomed)?.len();
        Ok(Traces { commits, objects: doomed.len(), packs, kept_by })
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
            let mut survey = survey::Survey::of(self, &objects, ids)?;
            let of = self.own_references(&repository)?;
            let tips: Vec<Oid> = of.iter().map(|(_, at)| *at).collect();
            let (renamed, placed) = rewrite::rewritten(self, &repository, &objects, &mut survey, &tips)?;
            if !rewrite::move_references(self, &repository, &of, &renamed)? {
                continue;
            }
            placed.into_iter().try_for_each(super::pack::Placed::release)?;
            self.forget_reflogs(&repository, &of, &survey.affected_commits()?)?;
            return Ok(renamed.len());
        }
        Err(Error::Contended { branch: self.reference.clone(), attempts: ATTEMPTS_MAX })
    }

    /// Takes every object with the records `ids` out of the repository, unless something of the user's needs it; `old` is
    /// where our references were. Returns what of the user's keeps some of them.
    ///
    /// # Errors
    /// [`Error::Damaged`] if an object is still there afterwards, though its removal was repeated; every other [`Error`].
    pub fn remove_objects_of(&self, ids: &BTreeSet<RecordId>, old: &[String]) -> Result<BTreeSet<String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut survey = survey::Survey::of(self, &objects, ids)?;
        let old: Vec<Oid> = old.iter().filter_map(|id| Oid::from_str(id).ok()).collect();
        let (doomed, kept) = objects::doomed(self, &repository, &mut survey, &old, &|_| false)?;
        // A program that packs objects meanwhile puts them into other packs.
        for _ in 0..ATTEMPTS_MAX {
            objects::remove_objects(self, &doomed)?;
            if objects::in_own_store(self, &doomed)?.is_empty() {
                return Ok(kept);
            }
        }
        let left = objects::in_own_store(self, &doomed)?.iter().min().map(Oid::to_string);
        let (object, what) = (left.unwrap_or_default(), "an object that was erased and is there".into());
        Err(Error::Damaged { object, what, source: None })
    }

    /// Every version of the pages and the state files of the records `ids` that the repository has, and of copies of them.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn pages_of(&self, ids: &BTreeSet<RecordId>) -> Result<Vec<Vec<u8>>, Error> {
        let mut pages = Vec::new();
        self.each_object(&mut |_, kind, bytes| {
            let of = || page::id_of(bytes).or_else(|| StateFile::read(bytes).map(|state| state.of));
            if kind == "blob" && of().is_some_and(|id| ids.contains(&id)) {
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
}
