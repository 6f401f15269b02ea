//! Which home's history a branch holds, by the trailers of its commits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use git2::{Delta, Oid, Repository};

use super::note::Note;
use super::{Doing as _, Error, message, pointer, refs};
use crate::model::HomeId;
use crate::model::layout::{GUEST_BRANCH, OWNED_BRANCH, ROOTS};

/// The limit on commits to search for one that names a home.
const COMMITS_MAX: usize = 10_000;

/// The tip of the branch on which a home of an older version kept its history, if its commits name this home.
pub(super) fn legacy(repository: &Repository, id: HomeId) -> Result<Option<Oid>, Error> {
    match refs::target(repository, GUEST_BRANCH) {
        Ok(Some(tip)) if repository.find_commit(tip).is_ok() && is_of(repository, tip, id)? => Ok(Some(tip)),
        Ok(_) | Err(Error::Reference { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the repository is a bare clone of a home's own one, as `clone --mirror` makes it: its branch `main` has the
/// history of the home whose private folder has the id `noted`, or that of any home and nothing else. The latter is how a
/// backup is put in place: before the home is made, or in one that was made for it.
pub(super) fn is_mirror(repository: &Repository, noted: Option<HomeId>) -> Result<bool, Error> {
    if !repository.is_bare() || repository.is_worktree() {
        return Ok(false);
    }
    let Ok(Some(tip)) = refs::target(repository, OWNED_BRANCH) else { return Ok(false) };
    let Ok(commit) = repository.find_commit(tip) else { return Ok(false) };
    if let Some(id) = noted
        && is_of(repository, tip, id)?
    {
        return Ok(true);
    }
    let names_a_home = message::parse(commit.message_bytes()).is_some_and(|trailer| trailer.home.is_some());
    let is_root = |name: &[u8]| ROOTS.iter().any(|root| root.as_bytes() == name);
    Ok(names_a_home && commit.tree().is_ok_and(|tree| tree.iter().all(|entry| is_root(entry.name_bytes()))))
}

/// The references of other homes' histories in the repository: each one's newest commit names another home than `id`.
pub(super) fn others(repository: &Repository, id: Option<HomeId>) -> Result<Vec<(String, HomeId)>, Error> {
    let doing = "looking for other homes' histories";
    let mut found = Vec::new();
    for reference in repository.references_glob(&format!("{}*", refs::OURS)).doing(doing)? {
        let Ok(reference) = reference else { continue };
        let (Ok(name), Ok(commit)) = (reference.name(), reference.peel_to_commit()) else { continue };
        let home = message::parse(commit.message_bytes()).and_then(|trailer| trailer.home);
        // An anchor of a journal is at the same commit as the history.
        if let Some(home) = home.filter(|home| Some(*home) != id)
            && name == refs::own(home)
        {
            found.push((name.to_owned(), home));
        }
    }
    Ok(found)
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
pub(super) fn recorded_by_others(repository: &Repository, tip: Oid, id: HomeId) -> Result<BTreeSet<PathBuf>, Error> {
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
pub(super) fn made_before(repository: &Repository, id: HomeId) -> Option<Note> {
    let is_ours = |tip: Oid| {
        let trailer = repository.find_commit(tip).ok().and_then(|it| message::parse(it.message_bytes()));
        trailer.is_some_and(|trailer| trailer.home == Some(id))
    };
    let tips = pointer::names().map(|name| (refs::target(repository, &name).ok().flatten(), name));
    let found = tips.take_while(|(tip, _)| tip.is_some()).find(|(tip, _)| tip.is_some_and(is_ours));
    found.map(|(tip, name)| Note::of(name, tip, tip))
}
