//! The merge over real objects: each rule of its table, and any number of lanes in any order.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository, Signature, Time};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::{
    Amended, Experiment, ExperimentResult, Heuristic, Learning, Level, Record, RecordId, Request, Revision, Ruling,
    Verdict,
};
use crate::page::{self, Presence, StateFile};
use crate::sync::tree::Changes;

/// A repository of its own, and what makes commits in it.
struct Lab {
    repository: Repository,
    _folder: tempfile::TempDir,
}

const OPTIONS: Options = Options { group: Uuid::from_u128(0xabc), skips_checks: false };

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = Repository::init_bare(folder.path()).expect("a repository");
        Lab { repository, _folder: folder }
    }

    fn trees(&self) -> Trees<'_> {
        Trees::of(&self.repository).expect("its objects")
    }

    fn tree_of(&self, commit: Oid) -> Oid {
        self.repository.find_commit(commit).expect("the commit").tree_id()
    }

    /// A commit on top of `parent` with `files` put in place, those without a text removed.
    fn commit(&self, parent: Option<Oid>, files: &[(&str, Option<&str>)], seconds: i64) -> Oid {
        let trees = self.trees();
        let write = |text: &str| trees.write(text.as_bytes()).expect("it is written");
        let changes: Changes = files.iter().map(|(path, text)| ((*path).to_owned(), text.map(write))).collect();
        let tree = trees.with(parent.map(|it| self.tree_of(it)), &changes).expect("a tree");
        trees.objects().place().expect("it can be placed");
        self.commit_tree(parent, tree, seconds)
    }

    fn commit_tree(&self, parent: Option<Oid>, tree: Oid, seconds: i64) -> Oid {
        let who = Signature::new("a", "a@b", &Time::new(seconds, 0)).expect("a signature");
        let tree = self.repository.find_tree(tree).expect("the tree");
        let parents: Vec<_> =
            parent.into_iter().map(|it| self.repository.find_commit(it).expect("the parent")).collect();
        let parents: Vec<_> = parents.iter().collect();
        let message = format!("Record\n\nIndelible-Format: 1\nIndelible-Home: {}\n", Uuid::from_u128(seconds as u128));
        self.repository.commit(None, &who, &who, &message, &tree, &parents).expect("a commit")
    }

    /// A lane of one commit.
    fn lane(&self, lane: u128, files: &[(&str, &str)]) -> Side {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(*text))).collect();
        Side { lane: Some(Uuid::from_u128(lane)), base: None, tip: self.commit(None, &files, 1000 + lane as i64) }
    }

    /// The lane `side`, which was merged, with more in it.
    fn more(&self, side: Side, files: &[(&str, &str)]) -> Side {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(*text))).collect();
        Side { base: Some(side.tip), tip: self.commit(Some(side.tip), &files, 5000), ..side }
    }

    fn merge(&self, trunk: Option<Oid>, sides: &[Side]) -> Merged {
        merge(&self.repository, trunk, sides, &OPTIONS).expect("it merges").expect("there is something to merge")
    }

    fn files(&self, commit: Oid) -> BTreeMap<String, String> {
        let (trees, mut files) = (self.trees(), BTreeMap::new());
        trees
            .each(Some(self.tree_of(commit)), "", &mut |path, file| {
                let bytes = trees.file(file.id, usize::MAX)?.expect("it is of any size");
                files.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
                Ok(())
            })
            .expect("it can be read");
        files
    }
}

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

fn revision(n: u64, op: u128) -> Revision {
    Revision { n, op: Uuid::from_u128(op) }
}

fn failure(title: &str, domain: &str) -> Record {
    Record::Failure(Learning { title: title.into(), domain: domain.into(), ..Learning::default() })
}

fn file_of(id: RecordId, record: Record) -> (String, String) {
    let file = page::files(id, Timestamp::UNIX_EPOCH, &Request::new(record), Level::Day).remove(0);
    (file.path, file.text)
}

fn amended(id: RecordId, record: Record, revision: Revision, fields: &[(&str, Revision)]) -> String {
    let fields = fields.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect();
    page::amended_page(id, Timestamp::UNIX_EPOCH, &Request::new(record), &Amended { revision, fields })
}

fn state(of: RecordId, state: Presence, revision: Revision) -> (String, String) {
    let state = StateFile { of, state, revision, at: Timestamp::UNIX_EPOCH, because: None };
    (state.path(), state.text())
}

fn title_and_domain(text: &str) -> (String, String) {
    match page::parse(text.as_bytes()).expect("a page").request.expect("a record's").record {
        Record::Failure(it) => (it.title, it.domain),
        other => panic!("{other:?}"),
    }
}

#[test]
fn amendments_of_two_hosts_meet_by_field_whichever_is_merged_first() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let (one, other) = (revision(2, 1), revision(2, 2));
    let title = amended(id(7), failure("new title", "d"), one, &[("title", one)]);
    let domain = amended(id(7), failure("t", "new domain"), other, &[("domain", other)]);
    let trunk = lab.merge(None, &[lab.lane(1, &[(&path, &text)])]).commit;
    let (title, domain) = (lab.lane(2, &[(&path, &title)]), lab.lane(3, &[(&path, &domain)]));
    let at_once = lab.merge(Some(trunk), &[title, domain]).commit;
    let one_way = lab.merge(Some(lab.merge(Some(trunk), &[title]).commit), &[domain]).commit;
    let other_way = lab.merge(Some(lab.merge(Some(trunk), &[domain]).commit), &[title]).commit;
    for commit in [at_once, one_way, other_way] {
        assert_eq!(title_and_domain(&lab.files(commit)[&path]), ("new title".into(), "new domain".into()));
        assert_eq!(lab.files(commit), lab.files(at_once), "the same bytes, in whichever order");
    }
    let late = lab.merge(Some(at_once), &[lab.lane(4, &[(&path, &text)])]).commit;
    assert_eq!(lab.files(late), lab.files(at_once), "the first revision comes late and changes nothing");
}

#[test]
fn what_is_hidden_leaves_the_trunk_and_stays_away_until_it_is_restored() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let (other, its) = file_of(id(8), failure("other", "d"));
    let own = lab.lane(1, &[(&path, &text), (&other, &its)]);
    let trunk = lab.merge(None, &[own]).commit;
    let (at, tombstone) = state(id(7), Presence::Retracted, revision(2, 1));
    let hidden = lab.merge(Some(trunk), &[lab.lane(2, &[(&at, &tombstone)])]).commit;
    assert_eq!(lab.files(hidden).into_keys().collect::<Vec<_>>(), [other.clone(), at.clone()]);
    let later = revision(3, 5);
    let late = amended(id(7), failure("late", "d"), later, &[("title", later)]);
    let stays = lab.merge(Some(hidden), &[lab.lane(3, &[(&path, &late)])]).commit;
    assert!(!lab.files(stays).contains_key(&path), "an amendment of a hidden record brings nothing back");
    let (_, restored) = state(id(7), Presence::Restored, revision(4, 2));
    let back = lab.merge(Some(stays), &[lab.more(own, &[(&at, &restored)])]).commit;
    assert_eq!(
        lab.files(back).get(&path),
        Some(&late),
        "its own lane has had it all along, and what was amended comes too"
    );
    let (_, stale) = state(id(7), Presence::Retracted, revision(3, 9));
    let still = lab.merge(Some(back), &[lab.lane(4, &[(&at, &stale)])]).commit;
    assert_eq!(lab.files(still), lab.files(back), "an earlier retraction is late");
    let (_, erased) = state(id(7), Presence::Erased, revision(2, 3));
    let gone = lab.merge(Some(still), &[lab.lane(5, &[(&at, &erased)])]).commit;
    assert!(!lab.files(gone).contains_key(&path), "erased is above every revision");
    let (_, again) = state(id(7), Presence::Restored, revision(9, 9));
    let ever = lab.merge(Some(gone), &[lab.lane(6, &[(&at, &again), (&path, &text)])]).commit;
    assert_eq!(lab.files(ever), lab.files(gone));
}

#[test]
fn a_record_and_its_tombstone_in_one_merge_come_to_the_tombstone() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let (at, tombstone) = state(id(7), Presence::Retracted, revision(2, 1));
    let merged = lab.merge(None, &[lab.lane(1, &[(&path, &text)]), lab.lane(2, &[(&at, &tombstone)])]);
    assert_eq!(lab.files(merged.commit).into_keys().collect::<Vec<_>>(), [at]);
}

#[test]
fn what_a_person_removes_or_changes_on_the_trunk_stays_so() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let (edited, its) = file_of(id(8), failure("edited", "d"));
    let own = lab.lane(1, &[(&path, &text), (&edited, &its)]);
    let trunk = lab.merge(None, &[own]).commit;
    let by_hand = its.replace("edited", "by hand");
    let trunk =
        lab.commit(Some(trunk), &[(&path, None), (&edited, Some(&by_hand)), ("README.md", Some("hello"))], 2000);
    let later = revision(2, 5);
    let new_title = amended(id(7), failure("new", "d"), later, &[("title", later)]);
    let new_edited = amended(id(8), failure("new", "d"), later, &[("title", later)]);
    let (third, more) = file_of(id(9), failure("third", "d"));
    let own = lab.more(own, &[(&path, &new_title), (&edited, &new_edited), (&third, &more)]);
    let merged = lab.merge(Some(trunk), &[own]);
    let files = lab.files(merged.commit);
    assert_eq!(files.get(&edited), Some(&by_hand));
    assert!(!files.contains_key(&path) && files.contains_key(&third) && files.contains_key("README.md"));
    assert_eq!((merged.kept, merged.records), (1, 1));
}

#[test]
fn two_records_of_one_path_both_stay_and_each_is_amended_in_its_place() {
    let lab = Lab::new();
    let (first, second) = (id(0x1_0000_0007), id(0x2_0000_0007));
    let ((path, text), (_, its)) = (file_of(first, failure("t", "d")), file_of(second, failure("t", "e")));
    let (one, other) = (lab.lane(1, &[(&path, &text)]), lab.lane(2, &[(&path, &its)]));
    let full = crate::model::RecordPath(&path).with_full_id(second);
    let trunk = lab.merge(Some(lab.merge(None, &[one]).commit), &[other]).commit;
    let both = BTreeMap::from([(path.clone(), text.clone()), (full.clone(), its.clone())]);
    assert_eq!(lab.files(trunk), both);
    let later = revision(2, 5);
    let new = amended(second, failure("new", "e"), later, &[("title", later)]);
    let trunk = lab.merge(Some(trunk), &[lab.more(other, &[(&path, &new)])]).commit;
    assert_eq!(lab.files(trunk), BTreeMap::from([(path, text), (full, new)]));
}

#[test]
fn one_id_with_other_bytes_is_a_repeat_and_the_first_stays() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let (_, repeat) = file_of(id(7), failure("t", "other"));
    let trunk = lab.merge(None, &[lab.lane(1, &[(&path, &text)])]).commit;
    let trunk = lab.merge(Some(trunk), &[lab.lane(2, &[(&path, &repeat)])]).commit;
    assert_eq!(lab.files(trunk), BTreeMap::from([(path, text)]));
}

#[test]
fn nothing_of_a_hostile_lane_lands_but_its_records() {
    let lab = Lab::new();
    let (path, text) = file_of(id(7), failure("t", "d"));
    let huge = "x".repeat(FILE_BYTES_MAX + 1);
    let (_, torn) = ("", "---\nof: x\n");
    let state_path = state(id(9), Presence::Retracted, revision(2, 1)).0;
    let files = [
        ("README.md", "theirs"),
        ("memory/index.db", "a database"),
        (".gitattributes", "* filter=x"),
        ("memory/failures/2026/01/01/huge-00000009.md", huge.as_str()),
        ("memory/heuristics/git/README.md", "a page"),
        (state_path.as_str(), torn),
        (path.as_str(), text.as_str()),
    ];
    let side = lab.lane(1, &files);
    let trees = lab.trees();
    let link = trees.write(b"/etc/passwd").expect("it is written");
    trees.objects().place().expect("it can be placed");
    let mut raw = Vec::new();
    for (mode, name) in
        [("120000", "link-00000008.md"), ("160000", "module-00000008.md"), ("100755", "run-00000008.md")]
    {
        raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        raw.extend_from_slice(link.as_bytes());
    }
    let odb = lab.repository.odb().expect("its objects");
    let folder = odb.write(git2::ObjectType::Tree, &raw).expect("it is written");
    let mut outer = b"40000 memory\0".to_vec();
    let mut failures = b"40000 failures\0".to_vec();
    failures.extend_from_slice(folder.as_bytes());
    outer.extend_from_slice(odb.write(git2::ObjectType::Tree, &failures).expect("it is written").as_bytes());
    let odd = odb.write(git2::ObjectType::Tree, &outer).expect("it is written");
    let odd = Side { lane: Some(Uuid::from_u128(2)), base: None, tip: lab.commit_tree(None, odd, 3000) };
    let merged = lab.merge(None, &[side, odd]);
    assert_eq!(lab.files(merged.commit), BTreeMap::from([(path, text)]));
    assert_eq!(merged.left_out, 5 + 3, "each is counted; a page is expected, and rendered here");
}

#[test]
fn pages_and_outcomes_are_rendered_by_the_merger() {
    let lab = Lab::new();
    let rule =
        Record::Heuristic(Heuristic { rule: "Run it twice".into(), domain: "ci".into(), ..Heuristic::default() });
    let (path, text) = file_of(id(7), rule);
    let verdict = Verdict { verdict: Ruling::Validated, of: id(7), because: "it held".into() };
    let (of_verdict, its) = file_of(id(8), Record::Verdict(verdict));
    let experiment = Experiment { name: "try".into(), result: Some(ExperimentResult::ALL[0]), ..Experiment::default() };
    let (of_experiment, hypothesis) = file_of(id(9), Record::Experiment(experiment));
    let own = lab.lane(1, &[(&path, &text), (&of_experiment, &hypothesis)]);
    let trunk = lab.merge(None, &[own]).commit;
    let page = "memory/heuristics/ci/README.md";
    let before = lab.files(trunk)[page].clone();
    assert!(page::is_unedited(&before) && before.contains("Run it twice") && !before.contains("validated"));
    let outcome = crate::model::path::outcome_beside(&of_experiment).expect("it is an experiment's");
    assert!(lab.files(trunk)[&outcome].contains("Outcome:"));
    let trunk = lab.merge(Some(trunk), &[lab.lane(2, &[(&of_verdict, &its)])]).commit;
    assert!(lab.files(trunk)[page].contains("validated 1 time"), "a verdict shows on the page of its rule");
    let (at, tombstone) = state(id(8), Presence::Retracted, revision(2, 1));
    let without = lab.merge(Some(trunk), &[lab.lane(3, &[(&at, &tombstone)])]).commit;
    assert_eq!(lab.files(without)[page], before, "without the verdict it is the page of before");
    let (at, tombstone) = state(id(7), Presence::Retracted, revision(2, 1));
    let gone = lab.merge(Some(without), &[lab.lane(4, &[(&at, &tombstone)])]).commit;
    assert!(!lab.files(gone).contains_key(page), "a domain without rules has no page");
    let theirs = lab.commit(Some(trunk), &[(page, Some("a page of my own"))], 4000);
    let stays = lab.merge(Some(theirs), &[lab.lane(5, &[(&at, &tombstone)])]).commit;
    assert_eq!(lab.files(stays)[page], "a page of my own");
}

#[test]
fn a_trunk_of_before_is_merged_again() {
    let lab = Lab::new();
    let (one, text) = file_of(id(7), failure("one", "d"));
    let (two, its) = file_of(id(8), failure("two", "d"));
    let first = lab.merge(None, &[lab.lane(1, &[(&one, &text)])]).commit;
    let second = lab.merge(Some(first), &[lab.lane(2, &[(&two, &its)])]).commit;
    let removed = lab.commit(Some(second), &[(&one, None)], 6000);
    let (three, more) = file_of(id(9), failure("three", "d"));
    let rewound = lab.merge(Some(first), &[lab.lane(3, &[(&three, &more)])]).commit;
    let again = lab.merge(Some(rewound), &[Side { lane: None, base: Some(first), tip: removed }]).commit;
    assert_eq!(lab.files(again), BTreeMap::from([(two, its), (three, more)]), "and so is what a person removed there");
}

#[test]
fn more_lanes_than_a_commit_has_parents_become_several() {
    let lab = Lab::new();
    let sides: Vec<Side> = (0..1001)
        .map(|n| {
            let (path, text) = file_of(id(n + 1), failure("t", "d"));
            lab.lane(n, &[(&path, &text)])
        })
        .collect();
    let merged = lab.merge(None, &sides);
    assert_eq!((lab.files(merged.commit).len(), merged.records), (1001, 1001));
    let (mut parents, mut at, mut trailers) = (Vec::new(), Some(merged.commit), BTreeSet::new());
    while let Some(id) = at {
        let commit = lab.repository.find_commit(id).expect("the commit");
        trailers.extend(message::parse(commit.message_bytes()).merged);
        parents.push(commit.parent_count());
        at = commit.parent_ids().next().filter(|_| commit.parent_count() > 1 && parents.len() < 3);
    }
    assert_eq!((parents, trailers.len()), (vec![4, 500, 499], 1001));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Which home merges, in which order, at once or one after the other: the trunk's tree is the same, and so is the commit of homes
    /// that merge the same.
    #[test]
    fn the_order_of_merging_does_not_matter(
        made in proptest::collection::vec((0u128..6, 1u128..12, any::<bool>()), 1..24),
        order in any::<u64>(),
    ) {
        let lab = Lab::new();
        let mut files: BTreeMap<u128, BTreeMap<String, String>> = BTreeMap::new();
        for (lane, record, is_rule) in made {
            let record = match is_rule {
                true => (record + 100, Record::Heuristic(Heuristic { rule: format!("r{record}"), domain: "ci".into(), ..Heuristic::default() })),
                false => (record, failure("t", "d")),
            };
            files.entry(lane).or_default().extend([file_of(id(record.0), record.1)]);
        }
        let mut sides: Vec<Side> = files.iter().map(|(lane, files)| {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            lab.lane(*lane, &files)
        }).collect();
        let at_once = lab.merge(None, &sides).commit;
        let turn = order as usize % sides.len();
        sides.rotate_left(turn);
        if order & 1 == 0 { sides.reverse() }
        prop_assert_eq!(lab.merge(None, &sides).commit, at_once, "the same commit on every host");
        let mut trunk = None;
        for side in &sides {
            trunk = Some(lab.merge(trunk, std::slice::from_ref(side)).commit);
        }
        prop_assert_eq!(lab.tree_of(trunk.expect("there is a lane")), lab.tree_of(at_once));
        prop_assert_eq!(merge(&lab.repository, Some(at_once), &[Side { base: Some(sides[0].tip), ..sides[0] }], &OPTIONS).expect("it merges"), None);
    }
}

/// A page of the record `id`, recorded at `seconds` on a copy of its home.
fn copy_of(id: RecordId, record: Record, seconds: i64) -> (String, String) {
    let at = Timestamp::from_second(seconds).expect("a time");
    let file = page::files(id, at, &Request::new(record), Level::Day).remove(0);
    (file.path, file.text)
}

#[test]
fn two_paths_of_one_record_are_one_file_and_later_revisions_reach_it() {
    let lab = Lab::new();
    let (path, text) = copy_of(id(7), failure("first", "d"), 10);
    let (other_path, other_text) = copy_of(id(7), failure("second", "d"), 20);
    assert_ne!(path, other_path);
    let (one, other) = (lab.lane(1, &[(&path, &text)]), lab.lane(2, &[(&other_path, &other_text)]));
    let at_once = lab.files(lab.merge(None, &[one, other]).commit);
    assert_eq!(at_once.len(), 1);
    assert_eq!(at_once, lab.files(lab.merge(None, &[other, one]).commit));
    let trunk = lab.merge(None, &[one]).commit;
    let trunk = lab.merge(Some(trunk), &[other]).commit;
    assert_eq!(lab.files(trunk), BTreeMap::from([(path.clone(), text.clone())]), "the first in the trunk stays");
    let later = revision(2, 9);
    let at = |seconds| Timestamp::from_second(seconds).expect("a time");
    let how = Amended { revision: later, fields: [("domain".to_owned(), later)].into() };
    let amended = page::amended_page(id(7), at(20), &Request::new(failure("second", "e")), &how);
    let other = lab.more(other, &[(&other_path, &amended)]);
    let files = lab.files(lab.merge(Some(trunk), &[other]).commit);
    let wanted = page::amended_page(id(7), at(10), &Request::new(failure("second", "e")), &how);
    assert_eq!(files, BTreeMap::from([(path.clone(), wanted)]), "its content, at the first one's path and time");
    // A page where no such record lies keeps none away.
    let odd = lab.merge(None, &[lab.lane(4, &[("memory/successes/2026/01/01/odd-00000007.md", &text)])]).commit;
    assert!(lab.files(lab.merge(Some(odd), &[one]).commit).contains_key(&path));
    // A record whose name ends alike is another one.
    let (twin, of_twin) = copy_of(id(7 + (1 << 64)), failure("third", "d"), 30);
    let files = lab.files(lab.merge(Some(trunk), &[lab.lane(3, &[(&twin, &of_twin)])]).commit);
    assert_eq!(files, BTreeMap::from([(path, text), (twin, of_twin)]));
}
