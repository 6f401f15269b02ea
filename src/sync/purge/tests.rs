//! Rewriting, on real objects.

use std::collections::BTreeSet;

use git2::{Oid, Repository, Signature, Time};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Looks, Rewriter};
use crate::model::path::state_file;
use crate::model::{Learning, Level, Record, RecordId, Request, Revision};
use crate::page::{self, Presence, StateFile};
use crate::sync::message::{self, Merge};
use crate::sync::objects::Objects;
use crate::sync::tree::{Changes, Trees};

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

    /// A commit after `parents` with `files` beside those of the first of them.
    fn commit(&self, parents: &[Oid], files: &[(String, String)], message: &str) -> Oid {
        let trees = Trees::of(&self.repository).expect("its objects");
        let changes: Changes = files
            .iter()
            .map(|(path, text)| (path.clone(), Some(trees.write(text.as_bytes()).expect("written"))))
            .collect();
        let parents: Vec<_> = parents.iter().map(|id| self.repository.find_commit(*id).expect("there")).collect();
        let base = parents.first().map(git2::Commit::tree_id);
        let tree = trees.with(base, &changes).expect("a tree");
        trees.objects().place().expect("it can be placed");
        let tree = self.repository.find_tree(tree).expect("the tree");
        let who = Signature::new("a", "a@b", &Time::new(7, 0)).expect("a signature");
        let parents: Vec<_> = parents.iter().collect();
        self.repository.commit(None, &who, &who, message, &tree, &parents).expect("a commit")
    }

    fn without(&self, tip: Oid, ids: &[RecordId], looks: Looks) -> Oid {
        let ids = ids.iter().copied().collect();
        let objects = Objects::of(&self.repository).expect("its objects");
        let now = Rewriter::of(&objects, &ids, looks).commit(tip, None).expect("rewritten");
        objects.place().expect("it can be placed");
        now
    }

    fn files(&self, tip: Oid) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let tree = self.repository.find_commit(tip).expect("there").tree_id();
        let trees = Trees::of(&self.repository).expect("its objects");
        let mut add = |path: &str, _| {
            files.insert(path.to_owned());
            Ok(())
        };
        trees.each(Some(tree), "", &mut add).expect("it can be read");
        files
    }
}

fn id(number: u128) -> RecordId {
    RecordId(Uuid::from_u128(number))
}

fn page_of(number: u128) -> (String, String) {
    let learning = Learning { title: format!("t{number}"), domain: "ci".into(), ..Learning::default() };
    let request = Request::new(Record::Failure(learning));
    let file = page::files(id(number), Timestamp::UNIX_EPOCH, &request, Level::Day).remove(0);
    (file.path, file.text)
}

fn state(number: u128, state: Presence) -> (String, String) {
    let revision = Revision { n: 2, op: Uuid::from_u128(99) };
    let because = (state == Presence::Retracted).then(|| "why".to_owned());
    let file = StateFile { of: id(number), state, revision, at: Timestamp::UNIX_EPOCH, because };
    (state_file(id(number)), file.text())
}

#[test]
fn what_has_the_record_is_rewritten_and_what_is_before_it_keeps_its_name() {
    let lab = Lab::new();
    let first = lab.commit(&[], &[page_of(1)], "Record 1 failure");
    let second = lab.commit(&[first], &[page_of(2)], "Record 1 failure");
    let third = lab.commit(&[second], &[page_of(3), state(2, Presence::Retracted)], "x");
    let last = lab.commit(&[third], &[state(2, Presence::Erased)], "Erase 1 record");
    for looks in [Looks::ByName, Looks::Everywhere] {
        let now = lab.without(last, &[id(2)], looks);
        assert_ne!(now, last);
        let wanted: BTreeSet<String> = [page_of(1).0, page_of(3).0, state_file(id(2))].into();
        assert_eq!(lab.files(now), wanted, "its state file stays");
        let commit = lab.repository.find_commit(now).expect("there");
        let before: Vec<Oid> = std::iter::successors(Some(commit), |it| it.parent(0).ok()).map(|it| it.id()).collect();
        assert_eq!((before.len(), before[3]), (4, first), "as many commits; the first has nothing of it");
        assert!(!lab.files(before[1]).contains(&state_file(id(2))), "why it was retracted is gone");
        assert_eq!(lab.without(now, &[id(2)], looks), now, "once more changes nothing");
    }
    assert_eq!(lab.without(last, &[id(7)], Looks::Everywhere), last);
}

#[test]
fn one_after_the_other_is_the_same_as_both_at_once() {
    let lab = Lab::new();
    let first = lab.commit(&[], &[page_of(1), page_of(2)], "a");
    let last = lab.commit(&[first], &[page_of(3)], "b");
    let both = lab.without(last, &[id(1), id(2)], Looks::Everywhere);
    for order in [[1, 2], [2, 1]] {
        let one = lab.without(last, &[id(order[0])], Looks::Everywhere);
        assert_eq!(lab.without(one, &[id(order[1])], Looks::Everywhere), both);
    }
}

#[test]
fn a_copy_under_another_name_is_found_where_every_file_is_looked_at() {
    let lab = Lab::new();
    let (_, text) = page_of(2);
    let tip = lab.commit(&[], &[("notes.md".to_owned(), text), page_of(1)], "by hand");
    assert_eq!(lab.without(tip, &[id(2)], Looks::ByName), tip);
    assert_eq!(lab.files(lab.without(tip, &[id(2)], Looks::Everywhere)), BTreeSet::from([page_of(1).0]));
}

#[test]
fn trailers_name_what_the_merged_tips_become() {
    let lab = Lab::new();
    let (lane, group) = (Uuid::from_u128(5), Uuid::from_u128(6));
    let tip = lab.commit(&[], &[page_of(1), page_of(2)], "Record 2 failures");
    let (homes, purged) = (BTreeSet::new(), BTreeSet::new());
    let merge =
        Merge { records: 2, homes: &homes, group, merged: &[(lane, tip)], purged: &purged, skips_checks: false };
    let trunk = lab.commit(&[tip], &[], &message::of_merge(&merge));
    let now = lab.without(trunk, &[id(2)], Looks::Everywhere);
    let commit = lab.repository.find_commit(now).expect("there");
    let merged = message::parse(commit.message_bytes()).merged;
    assert_eq!(merged, [(lane, commit.parent_id(0).expect("one"))]);
    assert_eq!(merged[0].1, lab.without(tip, &[id(2)], Looks::ByName), "the lane becomes the same by itself");
}

/// What a commit of the trunk says is gone is believed beside the state file in its own tree, and nowhere else.
#[test]
fn a_record_is_gone_by_a_commit_that_has_its_erasure() {
    let lab = Lab::new();
    let id = id(7);
    let message = format!("x\n\nIndelible-Format: 1\nIndelible-Purged: {id}\n");
    let (live, erased) = ([("memory/x.md".to_owned(), "x".to_owned())], [state(7, Presence::Erased)]);
    let gone = |tip: Oid| {
        crate::sync::fold::purged(&lab.repository, Some(tip), (None, &BTreeSet::new())).expect("it can be walked")
    };
    let forged = lab.commit(&[], &live, &message);
    assert_eq!(gone(forged), BTreeSet::new());
    assert_eq!(gone(lab.commit(&[forged], &erased, "x")), BTreeSet::new(), "it was said before the erasure");
    assert_eq!(gone(lab.commit(&[forged], &[state(7, Presence::Retracted)], &message)), BTreeSet::new());
    assert_eq!(gone(lab.commit(&[], &[(state_file(id), "garbage".to_owned())], &message)), BTreeSet::new());
    let said = lab.commit(&[forged], &erased, &message);
    assert_eq!(gone(said), BTreeSet::from([id]));
    assert_eq!(gone(lab.commit(&[said], &live, "later")), BTreeSet::from([id]));
}
