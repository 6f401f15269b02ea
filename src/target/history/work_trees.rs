//! The work trees of a repository: which have a home, and which name a branch.

use std::fs;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::plain;
use crate::fs::os;
use crate::model::layout::{IDENTITY, PRIVATE, PRIVATE_IN_GIT};

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

/// The git folder of every work tree.
fn work_trees(repository: &Repository) -> impl Iterator<Item = PathBuf> {
    let linked = fs::read_dir(repository.commondir().join("worktrees")).into_iter().flatten().flatten();
    std::iter::once(repository.commondir().to_owned()).chain(linked.map(|it| it.path()))
}

/// Whether the HEAD of any work tree, or a rebase or bisect in it, names the branch `name`. Git itself would not move
/// such a branch either.
pub(super) fn is_named(repository: &Repository, name: &str) -> bool {
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
