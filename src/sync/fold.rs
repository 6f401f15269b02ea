//! Which lanes a trunk has merged, which are left to merge, and which can go: folded into it, their references are deleted.
//!
//! A lane goes only by a lease, and only if the trunk has its tip: a home that pushes at that moment makes the lease fail. One that
//! pushes later creates its lane again, on top of what the trunk has.
//!
//! Who may push to the trunk can write any message, so what a commit says of itself is believed where it can lose no record:
//!
//! - `Indelible-Merged` counts for the commit's own parents. A forged one needs the lane's tip as a parent, and can leave the lane's records
//!   out of the trunk's tree, as who removes them there by hand. They stay in its history.
//! - `Indelible-Purged` counts if the same commit's tree has the state file that says that the record is erased. A forged one can keep an
//!   erased record in the history of the remote at most: homes that did not take it out themselves think that it is gone. Of a record
//!   that is not erased it says nothing, also if that is erased later.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use git2::{ErrorCode, Oid, Repository};
use jiff::Timestamp;
use uuid::Uuid;

use super::merge::Side;
use super::message::{self, Trailers};
use super::purge::erased_among;
use super::tree::{Doing as _, Error, Trees};
use crate::model::RecordId;

/// A lane whose home has not closed it goes when its tip has not changed for so long, as this home saw it. In seconds.
pub const IDLE_S: i64 = 7 * 24 * 3600;

/// The lanes of a remote: each with its newest commit.
pub type Lanes = BTreeMap<Uuid, Oid>;

/// Since when this home has seen each lane at the same commit.
pub type Seen = BTreeMap<Uuid, (Oid, Timestamp)>;

/// The newest commit of each lane that `trunk` has merged, as far as its commits say: what is `known` of the commit `at` of it, and
/// what was merged since. A person may have made merges of their own on it. A commit is believed about its own parents alone: who
/// may push to the trunk can write any message.
///
/// # Errors
/// [`Error::Git`].
pub fn merged(repository: &Repository, trunk: Option<Oid>, (at, known): (Option<Oid>, &Lanes)) -> Result<Lanes, Error> {
    let mut tips = Lanes::new();
    let is_whole = told(repository, trunk, at, &mut |_, trailers| {
        trailers.merged.iter().try_for_each(|(lane, tip)| newer(repository, &mut tips, *lane, *tip))
    })?;
    if !is_whole {
        known.iter().try_for_each(|(lane, tip)| newer(repository, &mut tips, *lane, *tip))?;
    }
    Ok(tips)
}

/// The erased records that neither `trunk` nor what it merged has in any commit, as its commits say: what is `known` of the commit
/// `at` of it, and what was said since, where the commit's own tree says that they are erased.
///
/// # Errors
/// [`Error::Git`].
pub fn purged(
    repository: &Repository,
    trunk: Option<Oid>,
    (at, known): (Option<Oid>, &BTreeSet<RecordId>),
) -> Result<BTreeSet<RecordId>, Error> {
    let mut purged = BTreeSet::new();
    let trees = Trees::of(repository)?;
    let is_whole = told(repository, trunk, at, &mut |tree, trailers| {
        purged.extend(erased_among(&trees, Some(tree), &trailers.purged)?);
        Ok(())
    })?;
    if !is_whole {
        purged.extend(known);
    }
    Ok(purged)
}

/// Calls `tell` with the tree of each commit of the trunk, and with what the commit says, as far as the commit `at`, and not with what it merged: of merged tips it is
/// believed about its own parents. Returns whether that was the whole of it: `at` is not in it.
fn told(
    repository: &Repository,
    trunk: Option<Oid>,
    at: Option<Oid>,
    tell: &mut dyn FnMut(Oid, &Trailers) -> Result<(), Error>,
) -> Result<bool, Error> {
    let (mut left, mut visited) = (trunk.into_iter().collect::<Vec<_>>(), HashSet::new());
    let mut is_whole = true;
    while let Some(id) = left.pop() {
        if !visited.insert(id) {
            continue;
        }
        if Some(id) == at {
            is_whole = false;
            continue;
        }
        let commit = repository.find_commit(id).doing("walking the trunk")?;
        let mut trailers = message::parse(commit.message_bytes());
        let parents: Vec<Oid> = commit.parent_ids().collect();
        trailers.merged.retain(|(_, tip)| parents.contains(tip));
        tell(commit.tree_id(), &trailers)?;
        // The last one is taken first: commits come newest first along the first parents.
        let merged = &trailers.merged;
        let parents: Vec<Oid> = parents.into_iter().filter(|id| !merged.iter().any(|(_, tip)| tip == id)).collect();
        left.extend(parents.into_iter().rev());
    }
    Ok(is_whole)
}

/// Notes that `tip` of `lane` was merged, unless a later one was.
fn newer(repository: &Repository, tips: &mut Lanes, lane: Uuid, tip: Oid) -> Result<(), Error> {
    // What is known can be of a repository that is gone.
    if repository.find_commit(tip).is_err() {
        return Ok(());
    }
    let is_newer = match tips.get(&lane) {
        None => true,
        Some(known) if *known == tip => false,
        Some(known) => repository.graph_descendant_of(tip, *known).doing("comparing what was merged of a lane")?,
    };
    if is_newer {
        tips.insert(lane, tip);
    }
    Ok(())
}

/// What of `lanes` the trunk lacks, where `merged` says what it has.
///
/// # Errors
/// [`Error::Git`].
pub fn sides(repository: &Repository, trunk: Option<Oid>, lanes: &Lanes, merged: &Lanes) -> Result<Vec<Side>, Error> {
    let mut sides = Vec::new();
    for (lane, tip) in lanes {
        let base = match (merged.get(lane), trunk) {
            (Some(base), _) => Some(*base),
            // A trunk on which a person made a merge does not say.
            (None, Some(trunk)) => common(repository, trunk, *tip)?,
            (None, None) => None,
        };
        let is_merged = match base {
            Some(base) if base == *tip => true,
            // A person set it back.
            Some(base) => repository.graph_descendant_of(base, *tip).doing("comparing a lane with the trunk")?,
            None => false,
        };
        if !is_merged {
            sides.push(Side { lane: Some(*lane), base, tip: *tip });
        }
    }
    Ok(sides)
}

/// The newest commit that two others have both in their history.
///
/// # Errors
/// [`Error::Git`].
pub fn common(repository: &Repository, one: Oid, other: Oid) -> Result<Option<Oid>, Error> {
    match repository.merge_base(one, other) {
        Ok(base) => Ok(Some(base)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error).doing("comparing a lane with the trunk"),
    }
}

/// `seen`, after a look at `lanes` at the time `now`.
pub fn look(seen: &Seen, lanes: &Lanes, now: Timestamp) -> Seen {
    let since = |lane: &Uuid, tip: &Oid| match seen.get(lane) {
        // A clock that was set back has not seen it for longer.
        Some((before, since)) if before == tip => (*since).min(now),
        _ => now,
    };
    lanes.iter().map(|(lane, tip)| (*lane, (*tip, since(lane, tip)))).collect()
}

/// The lanes that can go, each with the commit that its reference must have: the trunk has merged it, and its home has closed it, or
/// it has been idle. The lane `own` stays.
///
/// # Errors
/// [`Error::Git`].
pub fn foldable(
    repository: &Repository,
    (lanes, merged): (&Lanes, &Lanes),
    seen: &Seen,
    own: Option<Uuid>,
    now: Timestamp,
) -> Result<Vec<(Uuid, Oid)>, Error> {
    let mut foldable = Vec::new();
    for (lane, tip) in lanes.iter().filter(|(lane, tip)| merged.get(*lane) == Some(*tip) && Some(**lane) != own) {
        let is_idle = seen
            .get(lane)
            .is_some_and(|(at, since)| at == tip && now.as_second().saturating_sub(since.as_second()) >= IDLE_S);
        let commit = repository.find_commit(*tip).doing("reading a lane")?;
        if is_idle || message::parse(commit.message_bytes()).is_closed {
            foldable.push((*lane, *tip));
        }
    }
    Ok(foldable)
}

#[cfg(test)]
mod tests {
    use git2::{Signature, Time};

    use super::*;

    struct Lab {
        repository: Repository,
        _folder: tempfile::TempDir,
    }

    impl Lab {
        fn new() -> Lab {
            let folder = tempfile::tempdir().expect("a folder");
            let repository = Repository::init_bare(folder.path()).expect("a repository");
            Lab { repository, _folder: folder }
        }

        fn commit(&self, parents: &[Oid], message: &str) -> Oid {
            let tree = self.repository.treebuilder(None).and_then(|it| it.write()).expect("a tree");
            let tree = self.repository.find_tree(tree).expect("the tree");
            let who = Signature::new("a", "a@b", &Time::new(1, 0)).expect("a signature");
            let parents: Vec<_> =
                parents.iter().map(|id| self.repository.find_commit(*id).expect("it is there")).collect();
            let parents: Vec<_> = parents.iter().collect();
            self.repository.commit(None, &who, &who, message, &tree, &parents).expect("a commit")
        }

        /// A commit of a trunk that merges `tip` of `lane`.
        fn merge(&self, trunk: &[Oid], lane: Uuid, tip: Oid) -> Oid {
            let parents: Vec<Oid> = trunk.iter().copied().chain([tip]).collect();
            self.commit(&parents, &format!("Merge\n\nIndelible-Format: 1\nIndelible-Merged: {lane} {tip}\n"))
        }

        fn merged(&self, trunk: Oid) -> Lanes {
            merged(&self.repository, Some(trunk), (None, &Lanes::new())).expect("it can be walked")
        }
    }

    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    #[test]
    fn what_was_merged_is_found_behind_a_persons_own_merges_too() {
        let lab = Lab::new();
        let (first, other) = (lab.commit(&[], "1"), lab.commit(&[], "2"));
        let second = lab.commit(&[first], "3");
        let trunk = lab.merge(&[], ONE, first);
        let theirs = lab.commit(&[trunk], "a person's");
        let ours = lab.merge(&[trunk], ONE, second);
        let both = lab.commit(&[theirs, ours], "a merge of a person's");
        let trunk = lab.merge(&[both], OTHER, other);
        assert_eq!(lab.merged(trunk), Lanes::from([(ONE, second), (OTHER, other)]));
        let known = lab.merged(both);
        let since = merged(&lab.repository, Some(trunk), (Some(both), &known)).expect("it can be walked");
        assert_eq!(since, lab.merged(trunk), "from a known commit on it is the same");
        let lanes = Lanes::from([(ONE, first), (OTHER, other)]);
        assert_eq!(
            sides(&lab.repository, Some(trunk), &lanes, &since).expect("compared"),
            [],
            "a lane that was set back is merged"
        );
    }

    #[test]
    fn a_trailer_that_names_what_is_not_there_is_not_believed() {
        let lab = Lab::new();
        let tip = lab.commit(&[], "1");
        let forged = format!("x\n\nIndelible-Format: 1\nIndelible-Merged: {ONE} {}\n", "1".repeat(40));
        let trunk = lab.commit(&[], &forged);
        assert_eq!(lab.merged(trunk), Lanes::new());
        let found = sides(&lab.repository, Some(trunk), &Lanes::from([(ONE, tip)]), &Lanes::new()).expect("compared");
        assert_eq!(found, [Side { lane: Some(ONE), base: None, tip }]);
    }

    #[test]
    fn a_trailer_that_names_what_the_trunk_does_not_have_is_not_believed() {
        let lab = Lab::new();
        let (tip, other) = (lab.commit(&[], "1"), lab.commit(&[], "2"));
        let first = lab.merge(&[], OTHER, other);
        let forged = format!("x\n\nIndelible-Format: 1\nIndelible-Merged: {ONE} {tip}\n");
        let trunk = lab.commit(&[first], &forged);
        assert_eq!(lab.merged(trunk), Lanes::from([(OTHER, other)]));
        let lanes = Lanes::from([(ONE, tip), (OTHER, other)]);
        let found = sides(&lab.repository, Some(trunk), &lanes, &lab.merged(trunk)).expect("compared");
        assert_eq!(found, [Side { lane: Some(ONE), base: None, tip }]);
    }

    #[test]
    fn a_lane_goes_once_it_is_merged_and_closed_or_idle() {
        let lab = Lab::new();
        let closed = lab.commit(&[], "x\n\nIndelible-Format: 1\nIndelible-Closed: true\n");
        let open = lab.commit(&[], "x");
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let (lanes, own) = (Lanes::from([(ONE, closed), (OTHER, open)]), Uuid::from_u128(3));
        let seen = look(&Seen::new(), &lanes, at(100));
        let go = |lanes: &Lanes, merged: &Lanes, own, now| {
            foldable(&lab.repository, (lanes, merged), &look(&seen, lanes, at(now)), Some(own), at(now))
                .expect("compared")
        };
        assert_eq!(go(&lanes, &Lanes::new(), own, 200), [], "nothing is merged");
        assert_eq!(go(&lanes, &lanes, own, 200), [(ONE, closed)]);
        assert_eq!(go(&lanes, &lanes, ONE, 200), [], "not this home's own");
        let later = 100 + IDLE_S;
        assert_eq!(go(&lanes, &lanes, own, later - 1), [(ONE, closed)]);
        assert_eq!(go(&lanes, &lanes, own, later), [(ONE, closed), (OTHER, open)]);
        let moved = Lanes::from([(OTHER, closed)]);
        assert_eq!(go(&moved, &lanes, own, later), [], "it moved since it was merged");
        let before = Seen::from([(OTHER, (open, at(500)))]);
        assert_eq!(
            look(&before, &lanes, at(300))[&OTHER],
            (open, at(300)),
            "a clock that was set back shows no idleness"
        );
    }
}
