//! The merge: a trunk and the lanes of any number of homes become one commit of the trunk.
//!
//! 1. It is a function of the trunk, of the lanes' tips, and of what the trunk has merged of each lane. Hosts that merge the same
//!    make the same commit: its parents are sorted, its date is that of the newest tip, its author is fixed.
//! 2. It is a merge by path of three trees: what a lane was when it was merged last, what it is now, and the trunk. So what a
//!    person removes from the trunk stays removed there, and their commits stay.
//! 3. Revisions come first (`join.rs`): of two files of one record the trunk has the later one, or both by field. Where they say
//!    nothing, the trunk's file is the record's.
//! 4. A record that a state file hides is in no tree of the trunk from then on; its history keeps it.
//! 5. Two records of one path: the first in the trunk keeps it, the other gets its full id in its name.
//!    Two paths of one record, which copies of a home make that use one key: the first in the trunk is the record's.
//! 6. Pages are never taken from lanes. They are rendered from the merged tree.
//! 7. Lanes are from outside. Whatever cannot be a record's is left out and counted; the rest of its lane is merged.
//!
//! It only adds objects to the repository. It is no durable step: killed anywhere, it leaves objects that nothing reaches.

mod draft;
mod hidden;
mod join;
mod pages;
mod shape;
mod twins;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use git2::{Commit, Oid, Repository};
use uuid::Uuid;

pub(crate) use hidden::pages_of;
#[cfg(test)]
pub(crate) use join::{Joined, pages as join_pages, states as join_states};
pub(crate) use join::{amendment, page_of};
pub(crate) use shape::{Shape, of as shape_of};

use super::message::{self, Trailers};
use super::purge::erased_among;
use super::tree::{Doing as _, Error, Trees};
use crate::model::RecordId;
use draft::Draft;

/// The most parents of a commit. More lanes become several commits.
const PARENTS_MAX: usize = 500;
/// The largest file that is taken from a lane, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// A line of commits that is merged into the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The lane; `None` for a trunk of before that is merged again.
    pub lane: Option<Uuid>,
    /// The commit of it that the trunk has merged last; `None` if it has none of it.
    pub base: Option<Oid>,
    /// Its newest commit.
    pub tip: Oid,
}

/// What is the same for every commit of a trunk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The group of homes that the trunk is of.
    pub group: Uuid,
    /// Whether a forge is asked to run no checks for it.
    pub skips_checks: bool,
}

/// What a merge made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The trunk's new tip.
    pub commit: Oid,
    /// How many pages of records are new in it, or of a later revision.
    pub records: usize,
    /// How many files of lanes were left out.
    pub left_out: u64,
    /// How many files that a person changed by hand on the trunk stayed as they are.
    pub kept: u64,
}

/// Merges `sides` into `trunk`. `None` if the trunk has all of them.
///
/// # Errors
/// Every [`Error`]. The trunk and the lanes are as they were.
pub fn merge(
    repository: &Repository,
    trunk: Option<Oid>,
    sides: &[Side],
    options: &Options,
) -> Result<Option<Merged>, Error> {
    let trees = Trees::of(repository)?;
    let merged = merge_into(&trees, &Trunk { at: trunk, was: trunk, purged: BTreeSet::new() }, sides, options)?;
    trees.objects().place()?;
    Ok(merged)
}

/// A trunk, of which erased records may have been taken out.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its commit, without them.
    pub at: Option<Oid>,
    /// What it was with them.
    pub was: Option<Oid>,
    /// The erased records that no commit of it and of what is merged now has any more, and of which it does not say so yet.
    pub purged: BTreeSet<RecordId>,
}

/// As [`merge`], into a trunk of which erased records were taken out: what shows them is rendered, and the commit says which they are.
///
/// # Errors
/// Every [`Error`]. The trunk and the lanes are as they were.
pub fn merge_into(
    trees: &Trees<'_>,
    trunk: &Trunk,
    sides: &[Side],
    options: &Options,
) -> Result<Option<Merged>, Error> {
    let mut sides: Vec<Side> = sides.iter().copied().filter(|it| it.base != Some(it.tip)).collect();
    sides.sort_by_key(|side| (side.tip, side.lane));
    sides.dedup_by_key(|side| side.tip);
    sides.retain(|side| Some(side.tip) != trunk.at);
    let mut merged: Option<Merged> = None;
    let (mut trunk, purged) = (Trunk { purged: BTreeSet::new(), ..trunk.clone() }, &trunk.purged);
    let mut chunks: Vec<&[Side]> = sides.chunks(PARENTS_MAX - 1).collect();
    if chunks.is_empty() && (trunk.at != trunk.was || !said_purged(trees, trunk.at, purged)?.is_empty()) {
        chunks.push(&[]);
    }
    let last = chunks.len().saturating_sub(1);
    for (number, sides) in chunks.into_iter().enumerate() {
        if number == last {
            // With all that is merged, so with what says that they are erased.
            trunk.purged.clone_from(purged);
        }
        if merged.is_some() {
            // The next commit is made on top of it.
            trees.objects().place()?;
        }
        let one = merge_some(trees, &trunk, sides, options)?;
        let at = Some(one.commit);
        trunk = Trunk { at, was: at, purged: BTreeSet::new() };
        let (records, left_out, kept) = merged.map_or((0, 0, 0), |it| (it.records, it.left_out, it.kept));
        merged = Some(Merged {
            commit: one.commit,
            records: one.records + records,
            left_out: one.left_out + left_out,
            kept: one.kept + kept,
        });
    }
    Ok(merged)
}

/// Those of `purged` that a commit on top of `trunk`, with nothing else in it, may say are gone.
fn said_purged(
    trees: &Trees<'_>,
    trunk: Option<Oid>,
    purged: &BTreeSet<RecordId>,
) -> Result<BTreeSet<RecordId>, Error> {
    let repository = trees.objects().repository;
    let tree = trunk.map(|trunk| repository.find_commit(trunk).doing("reading a commit")).transpose()?;
    erased_among(trees, tree.map(|commit| commit.tree_id()), purged)
}

/// Merges as many sides as one commit can have.
fn merge_some(
    trees: &Trees<'_>,
    Trunk { at: trunk, was, purged }: &Trunk,
    sides: &[Side],
    options: &Options,
) -> Result<Merged, Error> {
    let (trunk, was) = (*trunk, *was);
    let repository = trees.objects().repository;
    let tree_of = |commit: Oid| Ok::<_, Error>(repository.find_commit(commit).doing("reading a commit")?.tree_id());
    let trunk_tree = trunk.map(tree_of).transpose()?;
    let mut draft = Draft::of(trees, trunk, trunk_tree);
    for side in sides {
        let base = side.base.map(tree_of).transpose()?;
        draft.add(side.lane.is_none(), base, tree_of(side.tip)?)?;
    }
    draft.settle()?;
    let records = draft.records();
    let tree = trees.with(trunk_tree, draft.staged())?;
    let was = was.map(tree_of).transpose()?;
    let mut changed = draft.staged().clone();
    for lost in trees.differences(was, trunk_tree)?.into_iter().filter(|it| it.new.is_none()) {
        changed.entry(lost.path).or_insert(None);
    }
    let tree = pages::rendered(trees, was, tree, &changed)?;
    // It is believed of no other ([`fold`](super::fold)).
    let purged = erased_among(trees, Some(tree), purged)?;
    let commit = commit(trees, trunk, tree, sides, (records, &purged), options)?;
    Ok(Merged { commit, records, left_out: draft.left_out, kept: draft.kept })
}

/// Makes the commit of `tree` that merges `sides`.
fn commit(
    trees: &Trees<'_>,
    trunk: Option<Oid>,
    tree: Oid,
    sides: &[Side],
    (records, purged): (usize, &BTreeSet<RecordId>),
    options: &Options,
) -> Result<Oid, Error> {
    let (mut homes, mut merged, mut newest) = (BTreeSet::new(), Vec::new(), 0);
    let mut parents: Vec<Commit<'_>> = Vec::new();
    for id in trunk.into_iter().chain(sides.iter().map(|side| side.tip)) {
        parents.push(trees.objects().repository.find_commit(id).doing("reading a commit")?);
    }
    for (side, tip) in sides.iter().zip(parents.iter().skip(usize::from(trunk.is_some()))) {
        let Trailers { home, .. } = message::parse(tip.message_bytes());
        homes.extend(home);
        merged.extend(side.lane.map(|lane| (lane, side.tip)));
        newest = newest.max(tip.time().seconds());
    }
    if let (true, Some(trunk)) = (sides.is_empty(), parents.first()) {
        newest = trunk.time().seconds();
    }
    merged.sort_unstable();
    let message = message::of_merge(&message::Merge {
        records,
        homes: &homes,
        group: options.group,
        merged: &merged,
        purged,
        skips_checks: options.skips_checks,
    });
    let parents: Vec<Oid> = parents.iter().map(Commit::id).collect();
    trees.objects().commit(tree, &parents, newest, &message)
}
