//! Keys of a group: of several records with one key that homes made apart, the first in the trunk stays, and the others are retracted.
//!
//! 1. It is a function of the trunk: the record stays that the trunk had while it lacked the others, and of those that came with one
//!    commit the one with the smallest id. No clock decides.
//! 2. The retraction is a function of the trunk, too: its operation's id is made of the two records, its time is that of the later one.
//!    Every home makes the same one, or one that differs in the number of its revision alone, and the greater number stands.
//! 3. A record that has a state file already is left alone: a person restored it.
//! 4. Nothing is lost: histories keep what is retracted, and `restore` brings it back.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository};
use jiff::Timestamp;
use uuid::Uuid;

use super::merge::FILE_BYTES_MAX;
use super::message;
use super::tree::{Doing as _, Error, Trees};
use crate::model::path::state_file;
use crate::model::{Change, RecordId, RecordPath, Revision};
use crate::page;

/// The records that have a key, each with the path of its page.
pub(super) type Keyed = BTreeMap<String, BTreeSet<(RecordId, String)>>;

/// A record as the trunk has it.
struct Candidate {
    id: RecordId,
    path: String,
    created_at: Timestamp,
    revision: Revision,
}

/// The retractions of those records of `keyed` in the commit `trunk` whose key another record had first.
///
/// # Errors
/// Every [`Error`].
pub(super) fn repeats(repository: &Repository, trunk: Oid, keyed: Keyed) -> Result<Vec<Change>, Error> {
    let trees = Trees::of(repository)?;
    let mut changes = Vec::new();
    for (key, records) in keyed {
        let ids: BTreeSet<RecordId> = records.iter().map(|(id, _)| *id).collect();
        if ids.len() < 2 {
            continue;
        }
        let tree = tree_of(repository, trunk)?;
        let mut candidates = Vec::new();
        for (id, path) in records {
            candidates.extend(on_trunk(&trees, tree, &key, id, &path)?);
        }
        candidates.sort_by_key(|it| it.id);
        candidates.dedup_by_key(|it| it.id);
        let Some(first) = first_of(repository, &trees, trunk, &candidates)? else { continue };
        let first = &candidates[first];
        for repeat in candidates.iter().filter(|it| it.id != first.id) {
            if trees.find(Some(tree), [state_file(repeat.id).as_str()])?.is_empty() {
                changes.push(retraction(repeat, first));
            }
        }
    }
    Ok(changes)
}

fn tree_of(repository: &Repository, commit: Oid) -> Result<Oid, Error> {
    Ok(repository.find_commit(commit).doing("reading a commit")?.tree_id())
}

/// The record `id` in `tree`, at `path` or under its full id, if it has `key` there.
fn on_trunk(trees: &Trees<'_>, tree: Oid, key: &str, id: RecordId, path: &str) -> Result<Option<Candidate>, Error> {
    let page = RecordPath(path).page().into_owned();
    let full = RecordPath(&page).with_full_id(id);
    for path in [page, full] {
        let Some(found) = trees.find(Some(tree), [path.as_str()])?.remove(&path).filter(|it| it.is_plain) else {
            continue;
        };
        let bytes = trees.file(found.id, FILE_BYTES_MAX)?.unwrap_or_default();
        let Some(parsed) = page::parse(&bytes).ok().filter(|parsed| parsed.id == id) else { continue };
        if parsed.request.as_ref().and_then(|request| request.key.as_deref()) == Some(key) {
            let revision = page::later_revision_of(id, &bytes).unwrap_or(Revision::first(id));
            return Ok(Some(Candidate { id, path, created_at: parsed.created_at, revision }));
        }
    }
    Ok(None)
}

/// Which of `candidates` the trunk had first; `None` if it has fewer than two of them. They are in the order of their ids.
fn first_of(
    repository: &Repository,
    trees: &Trees<'_>,
    trunk: Oid,
    candidates: &[Candidate],
) -> Result<Option<usize>, Error> {
    if candidates.len() < 2 {
        return Ok(None);
    }
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut commit = repository.find_commit(trunk).doing("reading a commit")?;
    while left.len() > 1 && commit.parent_count() > 0 {
        commit = commit.parent(0).doing("reading a commit")?;
        // The first commit of a trunk has the tips of lanes alone before it.
        if message::parse(commit.message_bytes()).lane.is_some() {
            break;
        }
        let paths = left.iter().map(|at| candidates[*at].path.as_str());
        let found = trees.find(Some(commit.tree_id()), paths)?;
        let before: Vec<usize> = left.iter().copied().filter(|at| found.contains_key(&candidates[*at].path)).collect();
        if before.is_empty() {
            break;
        }
        left = before;
    }
    Ok(left.first().copied())
}

fn retraction(repeat: &Candidate, first: &Candidate) -> Change {
    let op = Uuid::new_v5(&repeat.id.0, format!("repeat of {}", first.id).as_bytes());
    Change {
        of: repeat.id,
        revision: Revision { n: repeat.revision.n + 1, op },
        base: repeat.revision,
        at: repeat.created_at.max(first.created_at),
        path: Some(repeat.path.clone()),
        because: Some(format!("another home recorded the same key first: {}", first.id)),
    }
}
