//! Erased records leave what was pushed: the trunk, every lane, and `sync.git`.
//!
//! 1. A record is erased if its state file says so, on the trunk, on any lane, or here. Its erasure counts before its lane is merged.
//! 2. The trunk and all lanes are rewritten without it (`rewrite.rs`), and pushed in one atomic push, each by the lease of what it
//!    was. The trunk's commit names the record in a trailer: from then on only what is not merged yet is looked at for it.
//! 3. A lane that has it and is not merged yet is merged as rewritten, never as it is, and is pushed as that.
//! 4. A home whose lane was rewritten rewrites its own in the same way, and finds that they are the same.
//! 5. `sync.git` is made again without it (`cache.rs`) when a home erases the record from its own stores, and by the eraser once the
//!    remote has nothing of it.
//!
//! | killed | is where | and then |
//! | --- | --- | --- |
//! | before the atomic push | objects that nothing names | made again, to the same commits |
//! | after it, nothing noted | the remote has none of it; `sync.git` has | recognised, and made again: `sync.json` names the record until then |
//! | where a remote knows no atomic push, between two references | some of them rewritten | the next sync of any home does the rest |

mod cache;
mod rewrite;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;

#[cfg(test)]
pub(crate) use cache::copy;
pub use rewrite::{Looks, Rewriter};

use super::fold::Lanes;
use super::merge::FILE_BYTES_MAX;
use super::tree::{Difference, Doing as _, Error, Trees};
use crate::model::RecordId;
use crate::model::layout::RETRACTED;
use crate::model::path::{of_state_file, state_file};
use crate::page::{Presence, StateFile};

/// What was pushed, without what is erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// The trunk.
    pub trunk: Option<Oid>,
    /// The lanes.
    pub lanes: Lanes,
    /// Trunks of before that are merged again.
    pub kept: Vec<Oid>,
    /// The erased records of which the trunk does not say yet that its history has none of them.
    pub new: BTreeSet<RecordId>,
}

/// What a home knows of a remote.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    /// The trunk.
    pub trunk: Option<Oid>,
    /// The lanes, as they are on the remote.
    pub lanes: &'s Lanes,
    /// Trunks of before that are to be merged again.
    pub kept: &'s [Oid],
    /// What the trunk has merged of each lane.
    pub merged: &'s Lanes,
    /// A trunk whose erased records its history has no more: state files that are on it are not read again.
    pub clean: Option<Oid>,
    /// The erased records that the trunk says its history has no more.
    pub purged: &'s BTreeSet<RecordId>,
    /// The records that this home has erased.
    pub erased: &'s BTreeSet<RecordId>,
}

/// Takes what is erased out of `seen`. Objects are added to those of `trees`, and placed; nothing else changes.
///
/// # Errors
/// Every [`Error`].
pub fn purge(trees: &Trees<'_>, seen: &Seen<'_>) -> Result<Purge, Error> {
    let objects = trees.objects();
    let repository = objects.repository;
    let tree_of = |commit: Oid| Ok::<_, Error>(repository.find_commit(commit).doing("reading a commit")?.tree_id());
    let unmerged: Lanes =
        seen.lanes.iter().filter(|(lane, tip)| seen.merged.get(*lane) != Some(*tip)).map(|(l, t)| (*l, *t)).collect();
    let of_trunk = seen.trunk.iter().map(|trunk| (seen.clean, *trunk));
    let of_lanes = unmerged.iter().map(|(lane, tip)| (seen.merged.get(lane).copied(), *tip));
    let mut erased = seen.erased.clone();
    for (before, tip) in of_trunk.chain(of_lanes).chain(seen.kept.iter().map(|kept| (None, *kept))) {
        erased.extend(erased_in(trees, before.map(tree_of).transpose()?, tree_of(tip)?)?);
    }
    let new: BTreeSet<RecordId> = erased.difference(seen.purged).copied().collect();
    let all = erased.union(seen.purged).copied().collect();
    let mut everywhere = Rewriter::of(objects, &new, Looks::Everywhere);
    // Of what is not merged, each erased record goes: a home that was offline pushes what was purged long ago.
    let mut by_name = Rewriter::of(objects, &all, Looks::ByName);
    let mut of_kept = Rewriter::of(objects, &all, Looks::Everywhere);
    let mut purge = Purge { new, ..Purge::default() };
    purge.trunk = seen.trunk.map(|trunk| everywhere.commit(trunk, None)).transpose()?;
    for (lane, tip) in seen.lanes {
        let mut now = everywhere.commit(*tip, None)?;
        if unmerged.contains_key(lane) {
            let since = seen.merged.get(lane).map(|since| everywhere.commit(*since, None)).transpose()?;
            // It walks over what the other has made.
            objects.place()?;
            now = by_name.commit(now, since)?;
        }
        purge.lanes.insert(*lane, now);
    }
    purge.kept = seen.kept.iter().map(|kept| of_kept.commit(*kept, None)).collect::<Result<_, _>>()?;
    objects.place()?;
    Ok(purge)
}

/// The records that state files say are erased which `tree` has and `before` lacks. What does not parse says nothing.
///
/// # Errors
/// Every [`Error`].
pub fn erased_in(trees: &Trees<'_>, before: Option<Oid>, tree: Oid) -> Result<BTreeSet<RecordId>, Error> {
    let mut erased = BTreeSet::new();
    let (before, tree) = (trees.folder_at(before, RETRACTED)?, trees.folder_at(Some(tree), RETRACTED)?);
    for Difference { path, new, .. } in trees.differences(before, tree)? {
        let id = of_state_file(&format!("{RETRACTED}/{path}"));
        if let (Some(id), Some(found)) = (id, new.filter(|found| found.is_plain))
            && says_erased(trees, id, found.id)?
        {
            erased.insert(id);
        }
    }
    Ok(erased)
}

/// Those of the records `ids` of which the state files in `tree` say that they are erased.
///
/// # Errors
/// Every [`Error`].
pub fn erased_among<'i>(
    trees: &Trees<'_>,
    tree: Option<Oid>,
    ids: impl IntoIterator<Item = &'i RecordId>,
) -> Result<BTreeSet<RecordId>, Error> {
    let paths: BTreeMap<RecordId, String> = ids.into_iter().map(|id| (*id, state_file(*id))).collect();
    if paths.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found = trees.find(tree, paths.values().map(String::as_str))?;
    let mut erased = BTreeSet::new();
    for (id, path) in paths {
        if let Some(found) = found.get(&path).filter(|found| found.is_plain)
            && says_erased(trees, id, found.id)?
        {
            erased.insert(id);
        }
    }
    Ok(erased)
}

/// Whether the state file `file` says that the record `id` is erased. What does not parse says nothing.
fn says_erased(trees: &Trees<'_>, id: RecordId, file: Oid) -> Result<bool, Error> {
    let state = trees.file(file, FILE_BYTES_MAX)?.and_then(|bytes| StateFile::parse(id, &bytes));
    Ok(state.is_some_and(|state| state.state == Presence::Erased))
}
