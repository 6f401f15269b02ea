//! Records that were retracted or erased, found by the ends of names: a state file does not say where a record's page was.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::Oid;

use super::shape::{self, Shape, Tail};
use super::{Error, FILE_BYTES_MAX};
use crate::model::RecordId;
use crate::model::layout::{RETRACTED, ROOTS};
use crate::model::path::of_state_file;
use crate::page;
use crate::sync::tree::{Doing as _, Trees};

/// How many commits of the trunk are looked through for a page that is to come back.
const COMMITS_MAX: usize = 10_000;

/// The records that have state files.
pub(super) struct Hidden {
    by_end: HashMap<u32, BTreeSet<RecordId>>,
}

impl Hidden {
    /// Those in `tree`, and `also`.
    pub(super) fn of(
        trees: &Trees<'_>,
        tree: Option<Oid>,
        also: impl Iterator<Item = RecordId>,
    ) -> Result<Hidden, Error> {
        let mut by_end: HashMap<u32, BTreeSet<RecordId>> = HashMap::new();
        let mut ids: Vec<RecordId> = also.collect();
        trees.each(tree, RETRACTED, &mut |path, _| {
            ids.extend(of_state_file(path));
            Ok(())
        })?;
        for id in ids {
            by_end.entry(id.0.as_u128() as u32).or_default().insert(id);
        }
        Ok(Hidden { by_end })
    }

    /// Those whose pages can have a name with this end.
    pub(super) fn named(&self, tail: Tail) -> Vec<RecordId> {
        self.by_end.get(&tail.end()).into_iter().flatten().copied().filter(|id| tail.is_of(*id)).collect()
    }
}

/// The pages of `ids` in `tree`, each with its path and the name of its bytes.
pub(crate) fn pages_of(
    trees: &Trees<'_>,
    tree: Option<Oid>,
    ids: &BTreeSet<RecordId>,
) -> Result<Vec<(RecordId, String, Oid)>, Error> {
    let mut found = Vec::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let ends: BTreeMap<u32, ()> = ids.iter().map(|id| (id.0.as_u128() as u32, ())).collect();
    for root in ROOTS {
        trees.each(tree, root, &mut |path, file| {
            let Shape::Page(tail) = shape::of(path) else { return Ok(()) };
            let is_named = match tail {
                Tail::Short(digits) => ends.contains_key(&digits),
                Tail::Full(id) => ids.contains(&id),
            };
            if is_named
                && let Some(bytes) = trees.file(file.id, FILE_BYTES_MAX)?
                && let Some(id) = page::id_of(&bytes).filter(|id| ids.contains(id))
            {
                found.push((id, path.to_owned(), file.id));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// What lanes had at `path` that the trunk merged while it had nothing there, and then what it had there last, along its first parents.
pub(super) fn merged_since(trees: &Trees<'_>, trunk: Option<Oid>, path: &str) -> Result<Vec<Oid>, Error> {
    let (mut at, mut merged) = (trunk, Vec::new());
    for _ in 0..COMMITS_MAX {
        let Some(id) = at else { break };
        let commit = trees.objects().repository.find_commit(id).doing("reading a commit")?;
        let found = |tree: Oid| Ok::<_, Error>(trees.find(Some(tree), [path])?.get(path).copied());
        if let Some(found) = found(commit.tree_id())?.filter(|found| found.is_plain) {
            merged.push(found.id);
            break;
        }
        for parent in commit.parents().skip(1) {
            merged.extend(found(parent.tree_id())?.filter(|found| found.is_plain).map(|found| found.id));
        }
        at = commit.parent_ids().next();
    }
    Ok(merged)
}

/// Where the trunk had the pages of `ids` when it had them last, along its first parents.
pub(super) fn removed_last(
    trees: &Trees<'_>,
    trunk: Option<Oid>,
    mut ids: BTreeSet<RecordId>,
) -> Result<BTreeMap<RecordId, String>, Error> {
    let (mut at, mut removed) = (trunk, BTreeMap::new());
    for _ in 0..COMMITS_MAX {
        let Some(id) = at.filter(|_| !ids.is_empty()) else { break };
        let commit = trees.objects().repository.find_commit(id).doing("reading a commit")?;
        let Some(before) = commit.parents().next() else { break };
        for it in trees.differences(Some(before.tree_id()), Some(commit.tree_id()))? {
            let (Shape::Page(tail), Some(old), None) = (shape::of(&it.path), it.old, it.new) else { continue };
            if ids.iter().any(|id| tail.is_of(*id))
                && let Some(bytes) = trees.file(old.id, FILE_BYTES_MAX)?
                && let Some(id) = page::id_of(&bytes).filter(|id| ids.remove(id))
            {
                removed.insert(id, it.path);
            }
        }
        at = Some(before.id());
    }
    Ok(removed)
}
