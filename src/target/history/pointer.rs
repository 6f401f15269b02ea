//! The branch that shows the history of a home in a user's repository, and what its owner does with the branch.
//!
//! The history itself is a reference of our own, `refs/indelible/<home id>`. The branch is a pointer to it.
//!
//! 1. Only this program makes it, under a name that is free: `indelible`, `indelible-2` and so on.
//! 2. It only moves forward, by compare-and-swap with where we left it, and only while no HEAD, rebase or bisect of
//!    any work tree names it. It is rechecked after the move, and moved back if it was checked out meanwhile.
//! 3. If its owner deletes, renames or rewinds it, it stays as they left it ([`History::advice`] says how to restore
//!    it).
//! 4. Commits that the owner makes on it are merged by the next batch: as a fast-forward, or by path, where theirs
//!    win.
//!    Not if the branch has commits of ours that were rewritten since: it would bring back what was erased.
//! 5. No batch waits for it, and none fails because of it.
//!
//! Its name and where we left it are written to a note in the private folder before it moves. The note is not synced:
//! if a power cut loses one, it is restored from what the commits say of their home.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | the branch one batch behind | the next batch |
//! | after the note, or after the branch moved | a note of both places; the branch is at one of them | the next batch |
//! | while commits are merged | unreachable objects | git's gc; the next batch merges again |

use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{Delta, ErrorCode, Oid, Repository};

use super::attribution::{legacy, made_before, recorded_by_others};
use super::note::{Note, read, write};
use super::refs::{self, Expected};
use super::work_trees::is_named;
use super::{Doing as _, Error, History, message};
use crate::fs::crash::Point;
use crate::model::HomeId;
use crate::model::layout::GUEST_BRANCH;

/// The limit on names to try.
const NAMES_MAX: usize = 100;

/// The name of the branch of `home`: the noted one, or the first that is free.
pub(super) fn name(repository: &Repository, home: &Path, id: Option<HomeId>) -> Result<String, Error> {
    match read(home).or_else(|| id.and_then(|id| made_before(repository, id))) {
        Some(note) => Ok(note.name),
        None => free(repository),
    }
}

/// The names to try, in order.
pub(super) fn names() -> impl Iterator<Item = String> {
    (1..=NAMES_MAX).map(|number| if number == 1 { GUEST_BRANCH.to_owned() } else { format!("{GUEST_BRANCH}-{number}") })
}

/// The first free name: no reference has it or is in its way, and no HEAD names it.
fn free(repository: &Repository) -> Result<String, Error> {
    for name in names() {
        if is_free(repository, &name) {
            return Ok(name);
        }
    }
    Err(Error::Reference {
        reference: GUEST_BRANCH.to_owned(),
        what: format!("it and {NAMES_MAX} names like it are taken"),
    })
}

fn is_free(repository: &Repository, name: &str) -> bool {
    let is_absent = repository.find_reference(name).is_err_and(|error| error.code() == ErrorCode::NotFound);
    is_absent && refs::has_room(repository, name).is_ok() && !is_named(repository, name)
}

/// Why the branch does not show the newest commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    /// Its owner deleted or renamed it.
    Gone,
    /// Its owner moved it elsewhere.
    Elsewhere,
    /// It is checked out, or being rebased or bisected.
    InUse,
}

impl History {
    /// Gives a home without a reference its own one, at its history of an older version. Then merges what was
    /// committed on the branch, and moves the branch.
    pub(super) fn settle_pointer(&self) -> Result<(), Error> {
        let Some(id) = self.guest() else { return Ok(()) };
        let repository = self.repository()?;
        if refs::target(&repository, &self.reference)?.is_none()
            && let Some(tip) = legacy(&repository, id)?
        {
            let foreign = recorded_by_others(&repository, tip, id)?;
            let start = if foreign.is_empty() { tip } else { self.without(&repository, tip, foreign.iter())? };
            refs::move_to(self, &repository, &self.reference, Expected::Exactly(None), start)?;
            // A branch that several homes committed to belongs to none of them any more.
            let note = match foreign.is_empty() {
                true => Note::of(GUEST_BRANCH, Some(tip), Some(tip)),
                false => Note::of(free(&repository)?, None, None),
            };
            write(&self.home, &note);
        }
        if self.options.pointer && self.note(&repository).is_none() {
            write(&self.home, &Note::of(free(&repository)?, None, None));
        }
        self.take_in();
        self.move_pointer();
        Ok(())
    }

    /// A commit on top of `tip` without `paths`.
    fn without<'p>(
        &self,
        repository: &Repository,
        tip: Oid,
        paths: impl Iterator<Item = &'p PathBuf>,
    ) -> Result<Oid, Error> {
        let doing = "leaving out what other homes recorded";
        let tip = repository.find_commit(tip).doing(doing)?;
        let tree = tip.tree().doing(doing)?;
        let mut update = TreeUpdateBuilder::new();
        for path in paths.filter(|path| tree.get_path(path).is_ok()) {
            update.remove(path.as_path());
        }
        let tree = self.modes.apply(|| update.create_updated(repository, &tree)).doing(doing)?;
        let tree = repository.find_tree(tree).doing(doing)?;
        let who = super::signature(&self.options)?;
        let text = "Leave out what other homes recorded on this branch\n";
        let commit = self.modes.apply(|| repository.commit(None, &who, &who, text, &tree, &[&tip])).doing(doing);
        self.mend_loose_objects();
        commit
    }

    /// The home's id, if it is in a user's repository.
    fn guest(&self) -> Option<HomeId> {
        self.id.filter(|_| !self.owned)
    }

    fn note(&self, repository: &Repository) -> Option<Note> {
        read(&self.home).or_else(|| made_before(repository, self.guest()?))
    }

    /// Merges what was committed on the branch and the history lacks. On failure, the next batch retries.
    pub(super) fn take_in(&self) {
        if self.guest().is_some()
            && let Err(error) = self.repository().and_then(|repository| self.try_take_in(&repository))
        {
            tracing::warn!(%error, "what was committed on the branch is not taken in yet");
        }
    }

    fn try_take_in(&self, repository: &Repository) -> Result<(), Error> {
        let Some(note) = self.note(repository) else { return Ok(()) };
        let (Ok(Some(theirs)), Some(_)) = (refs::target(repository, &note.name), note.last()) else { return Ok(()) };
        let Some(ours) = refs::target(repository, &self.reference)? else { return Ok(()) };
        let doing = "comparing the branch with our history";
        let reaches = |tip, commit| repository.graph_descendant_of(tip, commit).doing(doing);
        if theirs == ours || note.has_left_it_at(theirs) || reaches(ours, theirs)? {
            return Ok(());
        }
        if self.would_bring_back(repository, ours, theirs)? {
            tracing::debug!(branch = note.name, "the branch has commits from before an erasure, and is not taken in");
            return Ok(());
        }
        let new = match reaches(theirs, ours)? {
            true => theirs,
            false => self.merge(repository, ours, theirs)?,
        };
        self.step(Point::TakeInBefore)?;
        if refs::move_to(self, repository, &self.reference, Expected::Exactly(Some(ours)), new)? {
            tracing::info!(branch = note.name, "took in what was committed on the branch");
            // From here on the branch may move.
            write(&self.home, &Note::of(note.name, Some(theirs), Some(theirs)));
        }
        Ok(())
    }

    /// A merge of `ours` and `theirs`, with all changes on their side since the fork. The fork may be older than where
    /// the branch was left: what was recorded since is then not missing on their side, but unknown to it.
    fn merge(&self, repository: &Repository, ours: Oid, theirs: Oid) -> Result<Oid, Error> {
        let doing = "taking in what was committed on the branch";
        let commit = |id| repository.find_commit(id).doing(doing);
        let from = match repository.merge_base(ours, theirs) {
            Ok(base) => Some(commit(base)?.tree().doing(doing)?),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error).doing(doing),
        };
        let (ours, theirs) = (commit(ours)?, commit(theirs)?);
        let (tree, to) = (ours.tree().doing(doing)?, theirs.tree().doing(doing)?);
        let changes = repository.diff_tree_to_tree(from.as_ref(), Some(&to), None).doing(doing)?;
        let mut update = TreeUpdateBuilder::new();
        for change in changes.deltas() {
            let new = change.new_file();
            let Some(path) = new.path_bytes().or_else(|| change.old_file().path_bytes()) else { continue };
            match change.status() {
                Delta::Deleted if tree.get_path(&bytes_path(path)).is_ok() => {
                    update.remove(path);
                }
                Delta::Deleted => {}
                _ => {
                    let mode = new.mode();
                    update.upsert(path, new.id(), mode);
                }
            }
        }
        let tree = self.modes.apply(|| update.create_updated(repository, &tree)).doing(doing)?;
        let tree = repository.find_tree(tree).doing(doing)?;
        let who = super::signature(&self.options)?;
        let text = "Take in what was committed on the branch\n";
        let commit =
            self.modes.apply(|| repository.commit(None, &who, &who, text, &tree, &[&ours, &theirs])).doing(doing);
        self.mend_loose_objects();
        commit
    }

    /// Moves the branch to the newest commit, if allowed. A failure does not affect the batch.
    pub(super) fn move_pointer(&self) {
        if self.guest().is_some()
            && self.options.pointer
            && let Err(error) = self.repository().and_then(|repository| self.try_move_pointer(&repository))
        {
            tracing::debug!(%error, "the branch stays where it is");
        }
    }

    fn try_move_pointer(&self, repository: &Repository) -> Result<(), Error> {
        let Some(tip) = refs::target(repository, &self.reference)? else { return Ok(()) };
        let note = match self.note(repository) {
            Some(note) => note,
            None => Note::of(free(repository)?, None, None),
        };
        match refs::target(repository, &note.name) {
            Ok(Some(there)) if there == tip => match note.has_left_it_at(tip) && note.at.is_some() {
                true => Ok(()),
                false => {
                    write(&self.home, &Note::of(note.name, Some(tip), Some(tip)));
                    Ok(())
                }
            },
            Ok(Some(there)) if self.may_move(repository, &note, there, tip)? => {
                self.point_to(repository, &note.name, Some(there), tip)
            }
            Err(error) if !matches!(error, Error::Reference { .. }) => Err(error),
            _ if note.at.is_some() => Ok(()),
            // The branch was never made: if another has the name by now, that one stays.
            _ => {
                let name = if is_free(repository, &note.name) { note.name } else { free(repository)? };
                self.point_to(repository, &name, None, tip)
            }
        }
    }

    /// The branch and where it is, if it is where we left it; `None` in a repository that we made.
    pub(super) fn left_branch(&self, repository: &Repository) -> Result<Option<(String, Oid)>, Error> {
        let (Some(_), Some(note)) = (self.guest(), self.note(repository)) else { return Ok(None) };
        let Ok(Some(there)) = refs::target(repository, &note.name) else { return Ok(None) };
        let tip = refs::target(repository, &self.reference)?;
        let is_left = note.has_left_it_at(there)
            || tip.map(|tip| self.may_move(repository, &note, there, tip)).transpose()?.unwrap_or(false);
        Ok(is_left.then_some((note.name, there)))
    }

    /// Whether the branch, which is at `there`, is where we left it and an ancestor of `tip`.
    fn may_move(&self, repository: &Repository, note: &Note, there: Oid, tip: Oid) -> Result<bool, Error> {
        let doing = "comparing the branch with our history";
        let reaches = |tip, commit| repository.graph_descendant_of(tip, commit).doing(doing);
        if !reaches(tip, there)? {
            return Ok(false);
        }
        if note.has_left_it_at(there) {
            return Ok(true);
        }
        // After a power cut the note can be older than the branch.
        let trailer = message::parse(refs::commit(repository, &note.name, there)?.message_bytes());
        let is_ours = trailer.is_some_and(|it| it.home.is_some() && it.home == self.id);
        match note.last() {
            Some(last) if is_ours => reaches(there, last),
            _ => Ok(false),
        }
    }

    /// Moves the branch `name` from `from` to `to`, if nothing prevents it.
    pub(super) fn point_to(
        &self,
        repository: &Repository,
        name: &str,
        from: Option<Oid>,
        to: Oid,
    ) -> Result<(), Error> {
        if is_named(repository, name) || !write(&self.home, &Note::of(name, from, Some(to))) {
            return Ok(());
        }
        self.step(Point::PointerBeforeMove)?;
        if !refs::try_move(self, repository, name, from, Some(to))? {
            return Ok(());
        }
        self.step(Point::PointerAfterMove)?;
        if is_named(repository, name) {
            tracing::info!(branch = name, "the branch was checked out just now, and is put back");
            refs::try_move(self, repository, name, Some(to), from)?;
            return Ok(());
        }
        write(&self.home, &Note::of(name, Some(to), Some(to)));
        Ok(())
    }

    /// Advice for the owner if the branch does not show the newest commit, or if a repository around the home has
    /// added it; `None` if nothing is to be done.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn advice(&self) -> Result<Option<String>, Error> {
        if self.owned {
            return Ok(super::outer::advice(&self.home));
        }
        let repository = self.repository()?;
        if self.guest().is_none() || !self.options.pointer {
            return Ok(None);
        }
        let (Some(note), Some(tip)) = (self.note(&repository), self.tip_id(&repository)?) else { return Ok(None) };
        let short = note.name.trim_start_matches("refs/heads/");
        let apart = match refs::target(&repository, &note.name) {
            Ok(Some(there)) if there == tip => return Ok(None),
            _ if is_named(&repository, &note.name) => Apart::InUse,
            Ok(None) if note.at.is_none() => return Ok(None),
            Ok(None) => Apart::Gone,
            Ok(Some(there)) if self.may_move(&repository, &note, there, tip)? => return Ok(None),
            _ => Apart::Elsewhere,
        };
        let again = format!("to have it again: git branch --force {short} {}", self.reference);
        Ok(Some(match apart {
            Apart::Gone => format!("the branch {short} was removed, and is not made again; {again}"),
            Apart::Elsewhere => format!("the branch {short} was moved, and is left alone; {again}"),
            Apart::InUse => format!("the branch {short} is checked out or in use, and moves on when it is not"),
        }))
    }
}

fn bytes_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
