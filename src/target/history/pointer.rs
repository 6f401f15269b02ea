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

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{Delta, ErrorCode, Oid, Reference, Repository};
use serde::{Deserialize, Serialize};

use super::refs::{self, Expected};
use super::{Doing as _, Error, History, message, plain};
use crate::fs::crash::Point;
use crate::fs::os;
use crate::fs::{Dir, Durability};
use crate::model::HomeId;
use crate::model::layout::{GUEST_BRANCH, IDENTITY, OWNED_BRANCH, POINTER, PRIVATE, PRIVATE_IN_GIT, ROOTS, TEMPORARY};
use crate::private::private_of;

/// The limit on names to try.
const NAMES_MAX: usize = 100;
/// The limit on commits to search for one that names a home.
const COMMITS_MAX: usize = 10_000;

/// The note about the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The branch's full name.
    name: String,
    /// Where it was before the last move; `None` if it did not exist yet.
    at: Option<String>,
    /// The destination of that move; `None` if there was no move yet.
    next: Option<String>,
}

impl Note {
    fn of(name: impl Into<String>, at: Option<Oid>, next: Option<Oid>) -> Note {
        let text = |id: Option<Oid>| id.map(|id| id.to_string());
        Note { name: name.into(), at: text(at), next: text(next) }
    }

    fn has_left_it_at(&self, id: Oid) -> bool {
        let id = id.to_string();
        [&self.at, &self.next].into_iter().flatten().any(|it| *it == id)
    }

    /// Where the branch was last left, as far as is known.
    fn last(&self) -> Option<Oid> {
        self.next.as_ref().or(self.at.as_ref()).and_then(|id| Oid::from_str(id).ok())
    }
}

/// The name of the branch of `home`: the noted one, or the first that is free.
pub(super) fn name(repository: &Repository, home: &Path, id: Option<HomeId>) -> Result<String, Error> {
    match read(home).or_else(|| id.and_then(|id| made_before(repository, id))) {
        Some(note) => Ok(note.name),
        None => free(repository),
    }
}

/// Whether another work tree has a home, as far as this user can tell.
pub(super) fn has_other_homes(repository: &Repository) -> bool {
    let own = real(repository.path());
    // A private folder stays in the work tree until `init` or a worker moves it to the git folder.
    let is_home =
        |folder: PathBuf| folder.is_dir() && (folder.join(IDENTITY).is_file() || fs::read_dir(&folder).is_err());
    work_trees(repository).filter(|git| real(git) != own).any(|git| {
        let places = places_of(repository, &git);
        // Git keeps the folder of a removed work tree for a while.
        let is_there = places.iter().any(|place| !matches!(place.try_exists(), Ok(false)));
        let beside = places.iter().map(|place| place.join(PRIVATE));
        is_there && beside.chain([git.join(PRIVATE_IN_GIT)]).any(is_home)
    })
}

/// The candidate work trees of the git folder `git`.
fn places_of(repository: &Repository, git: &Path) -> Vec<PathBuf> {
    let above = |path: &Path| path.parent().map(Path::to_owned);
    if git != repository.commondir() {
        let named = plain::text(&git.join("gitdir"));
        return above(&git.join(named.trim())).into_iter().collect();
    }
    // Beside a bare repository, or within one that another folder's `.git` names.
    let named = repository.config().and_then(|it| it.get_string("core.worktree")).ok().map(|it| git.join(it));
    above(git).into_iter().chain(named).collect()
}

fn real(path: &Path) -> PathBuf {
    os::real_path(path).unwrap_or_else(|_| path.to_owned())
}

/// The tip of the branch on which a home of an older version kept its history, if its commits name this home.
pub(super) fn legacy(repository: &Repository, id: HomeId) -> Result<Option<Oid>, Error> {
    match refs::target(repository, GUEST_BRANCH) {
        Ok(Some(tip)) if repository.find_commit(tip).is_ok() && is_of(repository, tip, id)? => Ok(Some(tip)),
        Ok(_) | Err(Error::Reference { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the repository is a bare clone of a home's own one, as `clone --mirror` makes it: its branch `main` has the
/// history of the home whose private folder has the id `noted`. While the home is being made there is no such id; then
/// the history may be any home's, but must hold nothing else.
pub(super) fn is_mirror(repository: &Repository, noted: Option<HomeId>) -> Result<bool, Error> {
    if !repository.is_bare() || repository.is_worktree() {
        return Ok(false);
    }
    let Ok(Some(tip)) = refs::target(repository, OWNED_BRANCH) else { return Ok(false) };
    let Ok(commit) = repository.find_commit(tip) else { return Ok(false) };
    match noted {
        Some(id) => is_of(repository, tip, id),
        None => {
            let names_a_home = message::parse(commit.message_bytes()).is_some_and(|trailer| trailer.home.is_some());
            let is_root = |name: &[u8]| ROOTS.iter().any(|root| root.as_bytes() == name);
            Ok(names_a_home && commit.tree().is_ok_and(|tree| tree.iter().all(|entry| is_root(entry.name_bytes()))))
        }
    }
}

/// Whether the newest commit with a trailer that `tip` reaches names the home `id`. An older commit, whose trailer
/// does not name the home, counts if an anchor of its journal exists here.
fn is_of(repository: &Repository, tip: Oid, id: HomeId) -> Result<bool, Error> {
    let mut walk = repository.revwalk().doing("walking the history")?;
    walk.push(tip).doing("walking the history")?;
    for commit in walk.take(COMMITS_MAX) {
        let commit = commit.and_then(|commit| repository.find_commit(commit)).doing("walking the history")?;
        if let Some(trailer) = message::parse(commit.message_bytes()) {
            let anchored = || repository.refname_to_id(&refs::anchor(trailer.journal)).is_ok();
            match trailer.home {
                Some(home) if home == id => return Ok(true),
                Some(_) => {}
                None => return Ok(anchored()),
            }
        }
    }
    Ok(false)
}

/// The paths that commits of homes other than `id` added to the branch, when homes still shared one.
fn recorded_by_others(repository: &Repository, tip: Oid, id: HomeId) -> Result<BTreeSet<PathBuf>, Error> {
    let doing = "looking for what other homes recorded";
    let mut walk = repository.revwalk().doing(doing)?;
    walk.push(tip).doing(doing)?;
    let mut paths = BTreeSet::new();
    for commit in walk.take(COMMITS_MAX) {
        let commit = commit.and_then(|commit| repository.find_commit(commit)).doing(doing)?;
        let trailer = message::parse(commit.message_bytes());
        if trailer.and_then(|trailer| trailer.home).is_none_or(|home| home == id) {
            continue;
        }
        let before = commit.parent(0).and_then(|parent| parent.tree()).ok();
        let now = commit.tree().doing(doing)?;
        let changes = repository.diff_tree_to_tree(before.as_ref(), Some(&now), None).doing(doing)?;
        let added = changes.deltas().filter(|change| change.status() == Delta::Added);
        paths.extend(added.filter_map(|change| change.new_file().path().map(Path::to_owned)));
    }
    Ok(paths)
}

/// A note for our branch if the note was lost: the branch's tip is a commit of this home.
fn made_before(repository: &Repository, id: HomeId) -> Option<Note> {
    let is_ours = |tip: Oid| {
        let trailer = repository.find_commit(tip).ok().and_then(|it| message::parse(it.message_bytes()));
        trailer.is_some_and(|trailer| trailer.home == Some(id))
    };
    let tips = names().map(|name| (refs::target(repository, &name).ok().flatten(), name));
    let found = tips.take_while(|(tip, _)| tip.is_some()).find(|(tip, _)| tip.is_some_and(is_ours));
    found.map(|(tip, name)| Note::of(name, tip, tip))
}

fn names() -> impl Iterator<Item = String> {
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

/// The git folder of every work tree.
fn work_trees(repository: &Repository) -> impl Iterator<Item = PathBuf> {
    let linked = fs::read_dir(repository.commondir().join("worktrees")).into_iter().flatten().flatten();
    std::iter::once(repository.commondir().to_owned()).chain(linked.map(|it| it.path()))
}

/// Whether the HEAD of any work tree, or a rebase or bisect in it, names the branch `name`. Git itself would not move
/// such a branch either.
fn is_named(repository: &Repository, name: &str) -> bool {
    let short = name.trim_start_matches("refs/heads/");
    let is_it = |named: &str| {
        let named = named.trim();
        named == name || named == short || leads_to(repository, named, name)
    };
    work_trees(repository).any(|git| {
        let text = |path: &str| plain::text(&git.join(path));
        let head = text("HEAD");
        let updated = text("rebase-merge/update-refs");
        head.strip_prefix("ref:").is_some_and(is_it)
            || ["rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"].iter().any(|it| is_it(&text(it)))
            || updated.lines().any(|line| line.trim() == name)
    })
}

/// Whether the symbolic reference `from` resolves to `to`.
fn leads_to(repository: &Repository, from: &str, to: &str) -> bool {
    let mut at = from.to_owned();
    for _ in 0..5 {
        let found = repository.find_reference(&at).ok();
        let Some(next) = found.and_then(|it| it.symbolic_target().ok().flatten().map(str::to_owned)) else { break };
        if next == to {
            return true;
        }
        at = next;
    }
    false
}

fn private(home: &Path) -> Option<Dir> {
    Dir::open(home).and_then(|home| private_of(&home)).ok().flatten()
}

fn read(home: &Path) -> Option<Note> {
    let text = private(home)?.content(POINTER, 4096).ok().flatten()?;
    serde_json::from_slice(&text).ok()
}

/// The full name of the branch that shows the history of the home at `home`, if there is one.
pub(super) fn noted(home: &Path) -> Option<String> {
    let is_a_branch = |name: &String| name.starts_with("refs/heads/") && Reference::is_valid_name(name);
    read(home).map(|note| note.name).filter(is_a_branch)
}

fn write(home: &Path, note: &Note) -> bool {
    let Some(private) = private(home) else { return false };
    let text = serde_json::to_vec(note).expect("it is made of strings");
    let written =
        private.folder(TEMPORARY).and_then(|temporary| private.replace(POINTER, &text, &temporary, Durability::None));
    written.inspect_err(|error| tracing::debug!(%error, "the branch's place cannot be noted")).is_ok()
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
    fn point_to(&self, repository: &Repository, name: &str, from: Option<Oid>, to: Oid) -> Result<(), Error> {
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
