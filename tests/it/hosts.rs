//! Many hosts: homes that sync with one plain git remote have the same records, whoever merges, whatever is killed, and whatever a
//! person or another program does on the remote.
//!
//! The remote is a bare folder; what is on it is read by the git program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use indelible::fs::Point;
use serde_json::{Value, json};

use crate::backup::files;
use crate::changes::assert_agree;
use crate::support::{Cmd, TestHome, in_parallel};
use crate::trunk::listed;

/// A bare repository in a folder, as a remote.
pub struct Remote {
    folder: tempfile::TempDir,
}

pub const TRUNK: &str = "refs/heads/main";

impl Remote {
    pub fn new() -> Remote {
        let remote = Remote { folder: tempfile::tempdir().expect("a folder") };
        let _ = remote.outside(["init", "--quiet", "--bare", "-b", "main", "memory.git"]).ok();
        remote
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("memory.git")
    }

    pub fn outside<const N: usize>(&self, args: [&str; N]) -> Cmd {
        let who = ["-c", "user.name=a person", "-c", "user.email=a@b"];
        let git = Cmd::new("git", self.folder.path()).env("GIT_CONFIG_NOSYSTEM", "1").folder(self.folder.path());
        git.args(who).args(args)
    }

    pub fn git<const N: usize>(&self, args: [&str; N]) -> Cmd {
        self.outside(args).folder(&self.path())
    }

    pub fn refs(&self) -> BTreeMap<String, String> {
        let text = self.git(["for-each-ref", "--format=%(refname) %(objectname)"]).ok().stdout;
        let pair = |line: &str| line.split_once(' ').map(|(name, at)| (name.to_owned(), at.to_owned()));
        text.lines().filter_map(pair).collect()
    }

    pub fn lanes(&self) -> Vec<String> {
        self.refs().into_keys().filter(|name| name.starts_with("refs/indelible/hosts/")).collect()
    }

    /// The names of the trunk's files.
    pub fn trunk_names(&self) -> Vec<String> {
        let names = self.git(["ls-tree", "-r", "--name-only", TRUNK]).ok().stdout;
        names.lines().map(str::to_owned).collect()
    }

    /// The trunk's files.
    pub fn trunk(&self) -> BTreeMap<String, String> {
        let names = self.git(["ls-tree", "-r", "--name-only", TRUNK]).run().stdout;
        let text = |name: &str| self.git(["show", &format!("{TRUNK}:{name}")]).ok().stdout;
        names.lines().map(|name| (name.to_owned(), text(name))).collect()
    }

    /// Holds that the trunk has these records and no others, each introduced by one commit.
    #[track_caller]
    pub fn assert_has(&self, pages: &[String]) {
        let is_page = |name: &String| !name.ends_with("README.md") && !name.ends_with("outcome.md");
        let found: BTreeSet<String> = self.trunk().into_keys().filter(is_page).collect();
        assert_eq!(found, pages.iter().cloned().collect(), "what the trunk has");
        let log = self.git(["log", "--all", "--diff-filter=A", "--name-only", "--format="]).ok().stdout;
        for page in pages {
            assert_eq!(log.lines().filter(|line| line == page).count(), 1, "{page} is introduced once: {log}");
        }
        let _ = self.git(["fsck", "--strict"]).ok();
    }

    /// What a person commits on the trunk.
    pub fn commit_by_hand(&self, change: impl FnOnce(&std::path::Path)) {
        let clone = self.folder.path().join("clone");
        let _ = std::fs::remove_dir_all(&clone);
        let _ = self.outside(["clone", "--quiet", "memory.git", "clone"]).ok();
        change(&clone);
        let _ = self.outside(["add", "-A"]).folder(&clone).ok();
        let _ = self.outside(["commit", "--quiet", "-m", "by hand"]).folder(&clone).ok();
        let _ = self.outside(["push", "--quiet", "origin", "HEAD:main"]).folder(&clone).ok();
    }
}

pub fn home_of(remote: &Remote) -> TestHome {
    let home = TestHome::new();
    let _ = home.cmd(["remote", "add", remote.path().to_str().expect("UTF-8"), "--yes"]).ok();
    home
}

pub fn sync(home: &TestHome) -> Value {
    home.cmd(["sync", "--json"]).ok().json()
}

/// The pages of every record of `homes`, as they are.
fn pages(homes: &[&TestHome]) -> BTreeSet<PathBuf> {
    homes.iter().flat_map(|home| files(home).into_keys()).collect()
}

/// Holds that all homes have the same files of records, and that their stores agree.
#[track_caller]
pub fn assert_same(homes: &[&TestHome]) {
    let of = |home: &TestHome| {
        let mut files = files(home);
        // A domain's page shows what is here; an experiment's log is begun by each home.
        files.retain(|path, _| !path.ends_with("README.md") && !path.ends_with("log.md"));
        files
    };
    for home in homes {
        let (here, there) = (of(home), of(homes[0]));
        let differ = here.keys().chain(there.keys()).filter(|path| here.get(*path) != there.get(*path));
        assert_eq!(differ.collect::<BTreeSet<_>>(), BTreeSet::new(), "these files differ");
        assert_agree(home);
    }
}

#[test]
fn what_one_home_records_is_found_in_another_and_shown_on_the_trunk() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let theirs = one.record_each("needle");
    let own = other.record("failure", "own");
    let done = sync(&one);
    assert_eq!((done["records"].as_u64(), done["merged"].as_u64()), (Some(5), Some(5)), "{done}");
    let done = sync(&other);
    assert_eq!((done["merged"].as_u64(), done["imported"]["records"].as_u64()), (Some(1), Some(5)), "{done}");
    let found = other.cmd(["search", "needle", "--json"]).ok().json();
    let hits = found["hits"].as_array().expect("an array");
    assert_eq!(hits.len(), 5);
    assert!(hits.iter().all(|hit| hit["from"] == one.id().as_str()), "{found}");
    sync(&one);
    assert_same(&[&one, &other]);
    let all: Vec<String> = theirs.iter().chain([&own]).map(|it| it.page()).collect();
    remote.assert_has(&all);
    let trunk = remote.trunk();
    let (page, text) =
        trunk.iter().find(|(name, _)| name.ends_with("README.md")).expect("the rule's domain has a page");
    assert!(text.contains("needle heuristic"), "{page}: {text}");
    for home in [&one, &other] {
        let done = sync(home);
        let nothing =
            ["records", "merged", "folded"].iter().all(|name| done[name] == 0) && done["imported"]["records"] == 0;
        assert!(nothing, "nothing is new: {done}");
        home.assert_settled();
        let own = home.git(["ls-tree", "-r", "--name-only", "main"]).ok().stdout;
        assert_eq!(
            own.lines().filter(|name| name.ends_with("README.md")).count(),
            0,
            "no page is committed here: {own}"
        );
    }
    assert_eq!(remote.refs().get(TRUNK).map(String::len), Some(40));
}

#[test]
fn a_home_that_only_reads_has_nothing_pending() {
    let remote = Remote::new();
    let (writer, reader) = (home_of(&remote), home_of(&remote));
    let receipt = writer.record("failure", "the disk is full");
    sync(&writer);
    sync(&reader);
    reader.flush();
    let status = reader.status();
    assert_eq!((&status["pending"]["records"], &status["needs_attention"]), (&json!(0), &json!([])), "{status}");
    let log = reader.git(["log", "--format=%s", "--stat"]).ok();
    assert_eq!(log.stdout.trim(), "Begin: what other homes recorded is in files and rows");
    let _ = writer.cmd(["amend", &receipt.id, "--title", "the disk was full"]).ok();
    sync(&writer);
    sync(&reader);
    reader.flush();
    assert_eq!(reader.status()["pending"]["records"], json!(0));
    let _ = reader.verify().exits(0);
    assert_same(&[&writer, &reader]);
}

#[test]
fn homes_that_sync_at_once_come_to_the_same_and_nothing_is_rejected_for_good() {
    let remote = Remote::new();
    let homes: Vec<TestHome> = (0..4).map(|_| home_of(&remote)).collect();
    let all: Vec<String> =
        homes.iter().flat_map(|home| home.record_each("at once").into_iter().map(|it| it.page())).collect();
    in_parallel(4, 4, |at| drop(sync(&homes[at])));
    homes.iter().for_each(|home| drop(sync(home)));
    homes.iter().for_each(|home| drop(sync(home)));
    assert_same(&homes.iter().collect::<Vec<_>>());
    remote.assert_has(&all);
}

#[test]
fn a_container_that_is_drained_and_gone_is_folded_into_the_trunk() {
    let remote = Remote::new();
    let one = home_of(&remote);
    let receipt = {
        let container = home_of(&remote);
        let receipt = container.record("failure", "of a container");
        let _ = container.cmd(["drain", "--close"]).ok();
        receipt
    };
    assert_eq!(remote.lanes().len(), 1);
    let done = sync(&one);
    assert_eq!((&done["merged"], &done["folded"]), (&1.into(), &1.into()), "{done}");
    assert_eq!(remote.lanes(), Vec::<String>::new());
    assert!(one.join(&receipt.path).exists());
    remote.assert_has(&[receipt.page()]);
}

#[test]
fn a_home_whose_lane_was_folded_and_whose_cache_is_gone_goes_on() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let first = one.record("failure", "first");
    sync(&one);
    let _ = one.cmd(["drain", "--close"]).ok();
    let _ = other.record("failure", "other's");
    let done = sync(&other);
    assert_eq!(done["folded"], 1, "{done}");
    let _ = other.cmd(["drain", "--close"]).ok();
    let own = remote.lanes().into_iter().next().expect("the other's lane");
    let _ = remote.git(["update-ref", "-d", &own]).ok();
    std::fs::remove_dir_all(one.private().join("sync.git")).expect("it was there");
    let second = one.record("failure", "second");
    sync(&one);
    let trunk = remote.trunk();
    assert!(trunk.contains_key(&first.page()) && trunk.contains_key(&second.page()), "{:?}", trunk.keys());
    let log = remote.git(["log", "--all", "--diff-filter=A", "--name-only", "--format="]).ok().stdout;
    assert_eq!(log.lines().filter(|line| **line == first.page()).count(), 1, "introduced once: {log}");
    assert_agree(&one);
}

#[test]
fn amendments_and_retractions_cross_over_in_both_directions() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let (kept, gone) = (one.record("failure", "kept"), one.record("failure", "gone"));
    sync(&one);
    sync(&other);
    let _ = one.cmd(["amend", &kept.id, "--title", "their title"]).ok();
    let _ = other.cmd(["amend", &kept.id, "--summary", "my summary"]).ok();
    let _ = other.cmd(["retract", &gone.id, "--because", "wrong"]).ok();
    for home in [&one, &other, &one, &other] {
        sync(home);
    }
    for home in [&one, &other] {
        let shown = listed(home)[&kept.id].clone();
        assert_eq!((&shown["title"], &shown["summary"]), (&"their title".into(), &"my summary".into()));
        assert!(!home.join(&gone.path).exists());
        home.assert_settled();
    }
    assert_same(&[&one, &other]);
    let trunk = remote.trunk();
    assert!(!trunk.contains_key(&gone.page()) && trunk[&kept.page()].contains("their title"), "{trunk:?}");
    // What the other home amended is not what this home's lane has, and that is as it should be.
    let _ = one.cmd(["verify", "--remote"]).ok();
}

#[test]
fn a_sync_that_is_killed_anywhere_is_made_up_for_by_the_next() {
    for point in [
        Point::TrunkBeforePush,
        Point::TrunkAfterPush,
        Point::ImportBeforeAppend,
        Point::ImportBeforeMark,
        Point::AppendShortWrite,
        Point::AppendBeforeSync,
    ] {
        let remote = Remote::new();
        let (one, other) = (home_of(&remote), home_of(&remote));
        let theirs = one.record_each("theirs");
        let own = other.record("success", "own");
        sync(&one);
        let _ = other.cmd(["flush"]).ok();
        let _ = other.cmd(["sync"]).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        sync(&other);
        sync(&one);
        let all: Vec<String> = theirs.iter().chain([&own]).map(|it| it.page()).collect();
        remote.assert_has(&all);
        assert_same(&[&one, &other]);
        other.assert_settled();
        let list = other.cmd(["list", "--limit", "0", "--json"]).ok().json();
        assert_eq!(list["count"], 6, "{}: each once", point.name());
    }
}

#[test]
fn a_change_of_another_homes_record_is_applied_though_the_cache_is_gone() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let receipts = one.record_each("the frist title");
    sync(&one);
    sync(&other);
    for receipt in receipts.iter().filter(|it| it.kind != "heuristic") {
        let field = if receipt.kind == "experiment" { "--hypothesis" } else { "--title" };
        let _ = one.cmd(["amend", &receipt.id, field, "the first title"]).ok();
    }
    sync(&one);
    let _ = other.cmd(["sync"]).env("INDELIBLE_CRASH_AT", Point::ImportBeforeMark.name()).run().aborted();
    std::fs::remove_dir_all(other.private().join("sync.git")).expect("it is there");
    let _ = other.cmd(["flush"]).ok();
    sync(&other);
    assert_same(&[&one, &other]);
    assert_eq!(other.status()["quarantine"]["set_aside"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_a_person_removes_from_the_trunk_stays_removed_there_and_a_trunk_set_back_comes_again() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let (first, second) = (one.record("failure", "first"), one.record("failure", "second"));
    sync(&one);
    sync(&other);
    remote.commit_by_hand(|clone| std::fs::remove_file(clone.join(first.page())).expect("it is there"));
    let third = other.record("failure", "third");
    sync(&other);
    sync(&one);
    let trunk = remote.trunk();
    assert!(!trunk.contains_key(&first.page()) && trunk.contains_key(&third.page()));
    assert!(other.join(&first.path).exists(), "what was imported stays");
    other.assert_settled();
    let before = remote.refs()[TRUNK].clone();
    let _ = remote.git(["update-ref", TRUNK, &format!("{before}~1")]).ok();
    let fourth = other.record("failure", "fourth");
    sync(&other);
    sync(&one);
    let trunk = remote.trunk();
    for receipt in [&second, &third, &fourth] {
        assert!(trunk.contains_key(&receipt.page()), "{}", receipt.path);
    }
    assert_eq!(pages(&[&one]), pages(&[&other]));
}

#[test]
fn another_groups_trunk_and_an_emptied_remote_are_refused_and_named() {
    let (remote, elsewhere) = (Remote::new(), Remote::new());
    let (one, stranger) = (home_of(&remote), home_of(&elsewhere));
    let receipt = one.record("failure", "mine");
    let _ = stranger.record("failure", "theirs");
    sync(&one);
    sync(&stranger);
    let url = elsewhere.path().to_str().expect("UTF-8").to_owned();
    let _ = remote.git(["fetch", "--quiet", &url, &format!("+{TRUNK}:{TRUNK}")]).ok();
    let refused = one.cmd(["sync"]).run().exits(78);
    assert!(refused.stderr.contains("another group") || refused.stderr.contains("rewritten"), "{refused}");
    assert!(one.join(&receipt.path).exists());
    let _ = remote.git(["update-ref", "-d", TRUNK]).ok();
    for lane in remote.lanes() {
        let _ = remote.git(["update-ref", "-d", &lane]).ok();
    }
    let refused = one.cmd(["sync"]).run().exits(78);
    assert!(refused.stderr.contains("--refill"), "{refused}");
    assert_eq!(remote.refs(), BTreeMap::new(), "nothing is filled again without being asked for");
    let _ = one.cmd(["sync", "--refill"]).ok();
    remote.assert_has(&[receipt.page()]);
}

/// Two records whose ids end alike, at one path: each home keeps its own there, and the other's under its full id.
#[test]
fn two_records_of_one_path_are_both_in_every_home() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let receipt = one.record("failure", "twin");
    one.flush();
    let text = std::fs::read_to_string(one.join(&receipt.path)).expect("it is there");
    let first = if receipt.id.starts_with('0') { '1' } else { '0' };
    let twin = format!("{first}{}", &receipt.id[1..]);
    // An export of that home, with another beginning of the id.
    let line = one.cmd(["export"]).ok().stdout.replace(&receipt.id, &twin);
    let lines = other.user().join("lines.jsonl");
    std::fs::write(&lines, line).expect("writable");
    let _ = other.cmd(["import", lines.to_str().expect("UTF-8")]).ok();
    for home in [&one, &other, &one, &other] {
        sync(home);
    }
    for home in [&one, &other] {
        let ids: BTreeSet<String> = listed(home).into_keys().collect();
        assert_eq!(ids, BTreeSet::from([receipt.id.clone(), twin.clone()]));
        let paths = files(home);
        assert_eq!(paths.len(), 2, "{paths:?}");
        let _ = home.verify().exits(0);
        assert_eq!(home.recover()["reconciled"], 0);
        home.assert_sound();
    }
    assert!(text.contains(&receipt.id));
    assert_eq!(remote.trunk().len(), 2);
}

#[test]
fn nothing_of_what_another_program_pushes_as_a_lane_lands() {
    let remote = Remote::new();
    let one = home_of(&remote);
    let receipt = one.record("failure", "mine");
    sync(&one);
    let seed = remote.folder.path().join("seed");
    let _ = remote.outside(["init", "--quiet", "-b", "main", "seed"]).ok();
    let page = std::fs::read_to_string(one.join(&receipt.path)).expect("it is there");
    let forged =
        page.replace(&receipt.id, "01980000-0000-7000-8000-0000000000ab").replace("severity: 3", "severity: 3\nkey: x");
    for (path, text) in [
        ("README.md", "theirs"),
        ("memory/index.db", "a database"),
        ("memory/failures/2026/01/01/not-a-page-000000aa.md", "no front matter"),
        ("memory/successes/2026/01/01/of-another-kind-000000ab.md", forged.as_str()),
        ("memory/failures/2026/01/01/huge-000000ac.md", &"x".repeat(17 << 20)),
        ("memory/retracted/ad/01980000-0000-7000-8000-0000000000ad.md", "garbage"),
        ("memory/failures/2026/01/01/whole-000000ab.md", forged.as_str()),
    ] {
        let path = seed.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        std::fs::write(path, text).expect("writable");
    }
    std::os::unix::fs::symlink("/etc/passwd", seed.join("memory/failures/2026/01/01/link-000000ae.md"))
        .expect("a link");
    let _ = remote.outside(["add", "-A"]).folder(&seed).ok();
    let _ = remote.outside(["commit", "--quiet", "-m", "x"]).folder(&seed).ok();
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let lane = "main:refs/indelible/hosts/00000000-0000-4000-8000-0000000000ff";
    let _ = remote.outside(["push", "--quiet", &url, lane]).folder(&seed).ok();
    let done = sync(&one);
    assert_eq!((&done["imported"]["records"], &done["imported"]["left_out"]), (&1.into(), &1.into()), "{done}");
    assert_eq!(listed(&one).len(), 2);
    assert!(!one.join("README.md").exists());
    assert_agree(&one);
    let trunk = remote.trunk();
    assert!(!trunk.contains_key("README.md") && !trunk.contains_key("memory/index.db"), "{:?}", trunk.keys());
    assert!(!trunk.keys().any(|path| path.contains("another-kind")), "a second page of one record: {:?}", trunk.keys());
    assert!(sync(&one)["imported"]["left_out"] == 0, "it is looked at once");
}

#[test]
fn the_frameworks_reader_names_the_home_of_what_another_home_recorded() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let theirs = one.record_each("needle");
    let _ = one.cmd(["record", "heuristic", "--domain", "ci", "--rule", "Look for the needle"]).ok();
    sync(&one);
    let _ = other.record_each("own thing");
    let alone: Vec<Value> = asked(&other, &["--recent", "9"]).as_array().expect("a list").clone();
    sync(&other);
    let home = one.id();
    let named = format!("from home {}", &home[home.len() - 8..]);
    for flags in [&["--recent", "9"][..], &["--tags", "a"], &["--experiments"]] {
        let rows = asked(&other, flags);
        for row in rows.as_array().expect("a list") {
            let is_theirs = row["title"].as_str().or(row["name"].as_str()).expect("it has one").contains("needle");
            assert_eq!(row.get("from"), is_theirs.then_some(&home.clone().into()), "{flags:?}: {row}");
        }
        assert!(rows.as_array().is_some_and(|rows| rows.iter().any(|row| row.get("from").is_some())), "{rows}");
    }
    for list in ["learnings", "heuristics"] {
        let found = asked(&other, &["--domain", "ci"]);
        let rows = found[list].as_array().expect("a list");
        assert!(rows.iter().any(|row| row["from"] == home), "{found}");
    }
    let rows = asked(&other, &["--recent", "9"]);
    assert!(alone.iter().all(|row| rows.as_array().is_some_and(|rows| rows.contains(row))), "own rows are as before");
    let text = |flags: &[&str]| other.cmd(["query"].iter().chain(flags)).ok().stdout;
    let csv = text(&["--recent", "9", "--format", "csv"]);
    let cells = |line: &str| line.trim_end().split(',').next_back().unwrap_or_default().to_owned();
    assert_eq!(cells(csv.lines().next().expect("a head")), "from", "{csv}");
    assert_eq!(csv.matches(&format!(",{home}")).count(), 3, "{csv}");
    for flags in [
        &["--context", "--depth", "deep"][..],
        &["--context", "--domain", "ci", "--tags", "a"],
        &["--context", "--task", "needle failure"],
    ] {
        let context = text(flags);
        for line in context.lines().filter(|line| line.starts_with("- **")) {
            assert_eq!(line.contains(&named), line.contains("needle"), "{flags:?}: {line}");
        }
        assert!(context.contains(&named), "{flags:?}: {context}");
    }
    let context = text(&["--context"]);
    assert!(theirs.len() == 5 && context.matches(&named).count() >= 5, "{context}");
}

fn asked(home: &TestHome, flags: &[&str]) -> Value {
    let answer = home.cmd(["query"].iter().chain(flags)).args(["--format", "json"]).ok().stdout;
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn a_projects_own_remote_keeps_its_branches() {
    let remote = Remote::new();
    let seed = remote.folder.path().join("seed");
    let _ = remote.outside(["init", "--quiet", "-b", "main", "seed"]).ok();
    std::fs::write(seed.join("code.txt"), "code").expect("writable");
    let _ = remote.outside(["add", "-A"]).folder(&seed).ok();
    let _ = remote.outside(["commit", "--quiet", "-m", "code"]).folder(&seed).ok();
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let _ = remote.outside(["push", "--quiet", &url, "main"]).folder(&seed).ok();
    let before = remote.refs()[TRUNK].clone();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let receipt = one.record("failure", "mine");
    sync(&one);
    sync(&other);
    assert_eq!(remote.refs()[TRUNK], before, "the project's branch is the project's");
    assert!(remote.refs().contains_key("refs/indelible/trunk"));
    assert!(other.join(&receipt.path).exists());
}

#[test]
fn a_new_home_imports_what_a_remote_has_and_fetching_alone_changes_nothing_there() {
    let remote = Remote::new();
    let one = home_of(&remote);
    let theirs = one.record_each("theirs");
    sync(&one);
    let other = TestHome::new();
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let made = other.cmd(["init", "--from", &url, "--json"]).ok().json();
    assert_eq!(made["imported"], 5, "{made}");
    assert!(theirs.iter().all(|it| listed(&other)[&it.id]["from"] == one.id().as_str()));
    let status = other.status()["sync"].clone();
    let trunk = remote.refs()[TRUNK].clone();
    assert_eq!((&status["trunk"]["commit"], &status["imported"]["commit"]), (&trunk.clone().into(), &trunk.into()));
    assert_eq!((&status["imported"]["records"], &status["lanes_unmerged"]), (&5.into(), &0.into()), "{status}");
    // What is on a lane and not on the trunk is counted.
    let later = one.record("failure", "later");
    let _ = one.cmd(["sync", "--push-only"]).ok();
    let own = other.record("success", "own");
    let before = remote.refs();
    let done = other.cmd(["sync", "--fetch-only", "--json"]).ok().json();
    assert_eq!((remote.refs(), &done["imported"]["records"]), (before, &0.into()), "{done}");
    let status = other.status()["sync"].clone();
    assert_eq!((&status["lanes_unmerged"], &status["unpushed"]), (&1.into(), &1.into()), "{status}");
    sync(&one);
    let _ = other.cmd(["sync", "--fetch-only"]).ok();
    assert!(listed(&other).contains_key(&later.id) && !remote.trunk().contains_key(&own.page()));
    sync(&other);
    sync(&one);
    assert_same(&[&one, &other]);
    let gone = TestHome::new();
    let said = gone.cmd(["init", "--from", "/nowhere/x.git"]).run().exits(78);
    assert!(said.stderr.contains("not imported"), "{said}");
    assert!(gone.status()["sync"].is_null(), "a remote that cannot be used is not kept");
}

#[test]
fn a_new_home_imports_from_the_remote_that_a_variable_names_and_is_made_without_it_too() {
    let remote = Remote::new();
    let one = home_of(&remote);
    let _ = one.record_each("theirs");
    sync(&one);
    let trunk = remote.refs()[TRUNK].clone();
    let (folder, other) = (tempfile::tempdir().expect("a folder"), TestHome::new());
    let make = |name: &str, url: &str| {
        let dir = folder.path().join(name);
        other.cmd(["init", "--json", dir.to_str().expect("UTF-8")]).env("INDELIBLE_REMOTE", url)
    };
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    assert_eq!(make("new", &url).ok().json()["imported"], 5);
    assert!(make("new", &url).ok().json()["imported"].is_null(), "it is not new");
    assert_eq!(remote.refs()[TRUNK], trunk, "nothing is pushed");
    let none = make("none", &url).env("INDELIBLE_SYNC_IMPORT", "none").ok().json();
    assert!(none["imported"].is_null(), "{none}");
    let offline = make("offline", "/nowhere/x.git").ok();
    let again = format!("indelible --home {} sync", folder.path().join("offline").display());
    assert!(offline.stderr.contains("not imported") && offline.stderr.contains(&again), "{offline}");
    assert!(folder.path().join("offline/.indelible").is_dir());
}

#[test]
fn the_lane_on_the_remote_is_compared_with_what_was_recorded() {
    let remote = Remote::new();
    let home = home_of(&remote);
    let receipts = home.record_each("one");
    let unpushed = home.cmd(["verify", "--remote", "--json"]).run().exits(1).json();
    assert!(unpushed["remote"].to_string().contains("pushed yet"), "{unpushed}");
    sync(&home);
    let _ = home.cmd(["verify", "--remote"]).ok();
    let lane = remote.lanes().remove(0);
    let old = remote.refs()[&lane].clone();
    // Another program adds a page to the lane, and changes one.
    let clone = remote.path().with_extension("clone");
    let path = clone.to_str().expect("UTF-8");
    let _ = remote.outside(["init", "--quiet", path]).ok();
    let _ = remote.outside(["pull", "--quiet", "../memory.git", &lane]).folder(&clone).ok();
    std::fs::write(clone.join(&receipts[0].path), "forged").expect("it can be written");
    std::fs::write(clone.join("memory/failures/forged-00000001.md"), "forged").expect("it can be written");
    let _ = remote.outside(["add", "-A"]).folder(&clone).ok();
    let _ = remote.outside(["commit", "--quiet", "-m", "forged"]).folder(&clone).ok();
    let _ = remote.outside(["push", "--quiet", "../memory.git", &format!("HEAD:{lane}")]).folder(&clone).ok();
    let said = home.cmd(["verify", "--remote"]).run().exits(1).stdout;
    assert!(said.contains("forged-00000001.md is on the remote and not here"), "{said}");
    assert!(said.contains(&format!("{} is another on the remote", receipts[0].path)), "{said}");
    let _ = remote.git(["update-ref", &lane, &old]).ok();
    let _ = home.cmd(["verify", "--remote"]).ok();
    let _ = home.cmd(["verify"]).ok();
}

#[test]
fn the_trunk_has_the_name_that_was_chosen_and_a_backup_merges_nothing() {
    let remote = Remote::new();
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let (one, backup) = (TestHome::new(), TestHome::new());
    let _ = one.cmd(["remote", "add", &url, "--yes", "--trunk", "memory"]).run().exits(64);
    let _ = one.cmd(["remote", "add", &url, "--yes", "--trunk", "refs/heads/memory"]).ok();
    let _ = backup.cmd(["remote", "add", &url, "--yes", "--push-only"]).ok();
    let receipts = [one.record("failure", "one"), backup.record("failure", "backup")];
    sync(&backup);
    sync(&one);
    let files = remote.git(["ls-tree", "-r", "--name-only", "refs/heads/memory"]).ok().stdout;
    assert!(receipts.iter().all(|it| files.contains(&it.page())), "{files}");
    assert!(!remote.refs().contains_key(TRUNK));
    sync(&backup);
    assert_eq!(listed(&backup).len(), 1, "a backup imports nothing");
}

#[test]
fn records_of_the_last_days_alone_are_imported() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let new = one.record("failure", "new");
    sync(&one);
    let _ = other.cmd(["config", "set", "sync.import_since", "no days"]).run().exits(65);
    let _ = other.cmd(["config", "set", "sync.import_since", "90d"]).ok();
    let done = sync(&other);
    let here = listed(&other);
    assert!(here.contains_key(&new.id), "{done}");
    let again = sync(&other);
    assert_eq!((&again["imported"]["records"], &again["imported"]["unwanted"]), (&0.into(), &0.into()), "{again}");
}

/// Whatever two homes do to one record before they hear of each other, both end with the same, and nothing that either wrote is lost.
#[test]
fn a_record_that_one_home_retracts_and_restores_while_another_amends_it_is_the_same_in_both() {
    for order in [[0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]] {
        for is_restored_at_once in [false, true] {
            let remote = Remote::new();
            let homes = [home_of(&remote), home_of(&remote)];
            let receipt = homes[0].record("failure", "original");
            sync(&homes[0]);
            sync(&homes[1]);
            let _ = homes[0].cmd(["retract", &receipt.id]).ok();
            let _ = homes[1].cmd(["amend", &receipt.id, "--title", "by the other"]).ok();
            if is_restored_at_once {
                sync(&homes[1]);
                let _ = homes[0].cmd(["sync", "--fetch-only"]).ok();
            } else {
                order.iter().for_each(|home| drop(sync(&homes[*home])));
            }
            let _ = homes[0].cmd(["restore", &receipt.id]).ok();
            for home in [&homes[0], &homes[1], &homes[0], &homes[1]] {
                sync(home);
            }
            for home in &homes {
                let title = listed(home)[&receipt.id]["title"].clone();
                assert_eq!(title, "by the other", "{order:?} {is_restored_at_once}");
            }
            assert_same(&[&homes[0], &homes[1]]);
            assert!(remote.trunk()[&receipt.page()].contains("by the other"));
        }
    }
}

#[test]
fn a_remote_of_another_group_gets_nothing_until_it_is_joined() {
    let (remote, elsewhere) = (Remote::new(), Remote::new());
    let (one, stranger) = (home_of(&remote), home_of(&elsewhere));
    let (mine, theirs) = (one.record("failure", "mine"), stranger.record("failure", "theirs"));
    sync(&one);
    sync(&stranger);
    let before = elsewhere.refs();
    let url = elsewhere.path().to_str().expect("UTF-8").to_owned();
    for command in [["sync", "--json"], ["sync", "--push-only"], ["drain", "--json"]] {
        let refused = one.cmd(command).env("INDELIBLE_REMOTE", &url).run().exits(78);
        assert!(format!("{refused}").contains("another group"), "{refused}");
    }
    assert_eq!(elsewhere.refs(), before, "nothing was published");
    assert_eq!(listed(&one).len(), 1, "nothing was imported");
    sync(&one);
    let _ = one.cmd(["verify"]).ok();
    let _ = one.cmd(["remote", "remove"]).ok();
    let refused = one.cmd(["remote", "add", &url, "--yes"]).run().exits(78);
    assert!(refused.stderr.contains("--join"), "{refused}");
    assert_eq!(elsewhere.refs(), before);
    let _ = one.cmd(["remote", "add", &url, "--yes", "--join"]).ok();
    sync(&one);
    elsewhere.assert_has(&[mine.page(), theirs.page()]);
    // An empty remote is this group's, as soon as one of its homes comes.
    let third = Remote::new();
    let _ = one.cmd(["sync"]).env("INDELIBLE_REMOTE", third.path().to_str().expect("UTF-8")).ok();
    assert!(third.refs().contains_key(TRUNK));
}

/// The remote at the same address becomes another group's, or something that is no trunk of any: only the first can be joined.
#[test]
fn a_trunk_that_another_groups_has_replaced_is_joined_by_its_word_and_nothing_else_is() {
    let (remote, elsewhere) = (Remote::new(), Remote::new());
    let (one, other, stranger) = (home_of(&remote), home_of(&remote), home_of(&elsewhere));
    let (mine, _) = (one.record("failure", "mine"), other.record("failure", "of the group that was"));
    let theirs = stranger.record("failure", "theirs");
    sync(&other);
    sync(&one);
    sync(&stranger);
    // Back by a person, so that what it had is kept here to be merged again.
    let _ = remote.git(["update-ref", TRUNK, &format!("{TRUNK}^1")]).ok();
    let _ = one.cmd(["sync", "--fetch-only"]).ok();
    std::fs::remove_dir_all(remote.path()).expect("it was there");
    std::fs::rename(elsewhere.path(), remote.path()).expect("it can be moved");
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let _ = one.cmd(["sync"]).run().exits(78);
    let refused = one.cmd(["remote", "add", &url, "--yes"]).run().exits(78);
    assert!(refused.stderr.contains("another group") && refused.stderr.contains("--join"), "{refused}");
    // A trunk of a later program is no other group's.
    let tip = remote.refs()[TRUNK].clone();
    let message = "x\n\nIndelible-Format: 99\n";
    let later = remote.git(["commit-tree", "-p", TRUNK, "-m", message, &format!("{TRUNK}^{{tree}}")]).ok().stdout;
    let _ = remote.git(["update-ref", TRUNK, later.trim()]).ok();
    let refused = one.cmd(["remote", "add", &url, "--yes", "--join"]).run().exits(78);
    assert!(refused.stderr.contains("newer indelible"), "{refused}");
    let _ = remote.git(["update-ref", TRUNK, &tip]).ok();
    let added = one.cmd(["remote", "add", &url, "--yes", "--join"]).ok();
    assert!(format!("{added}").contains("they become one"), "{added}");
    sync(&one);
    remote.assert_has(&[mine.page(), theirs.page()]);
    assert_eq!(listed(&one).len(), 3, "what it had imported stays");
    let _ = one.cmd(["status", "--check"]).ok();
    let added = one.cmd(["remote", "add", &url, "--yes", "--join"]).ok();
    assert!(!format!("{added}").contains("they become one"), "{added}");
}

/// A home that may push can put anything where a lane lies, and can say anything on the trunk: the records of others travel all the
/// same.
#[test]
fn a_bad_lane_is_left_out_by_its_name_and_a_forged_trailer_folds_nothing() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let receipt = one.record("failure", "mine");
    sync(&one);
    let at = |args: &[&str]| {
        let mut git = remote.outside([]).into_command();
        let output = git.arg("-C").arg(remote.path()).args(args).output().expect("git runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let blob = at(&["hash-object", "-w", "--stdin"]);
    let tag = at(&["-c", "user.name=x", "-c", "user.email=x@y", "tag", "-a", "-m", "x", "t", TRUNK]);
    assert_eq!(tag, "");
    let tag = at(&["rev-parse", "t"]);
    let _ = at(&["tag", "-d", "t"]);
    let tree = at(&["rev-parse", &format!("{TRUNK}^{{tree}}")]);
    let odd = remote.folder.path().join("tree");
    let raw: Vec<u8> = [&b"40000 .git\0"[..], git2::Oid::from_str(&tree).expect("a name").as_bytes()].concat();
    std::fs::write(&odd, raw).expect("writable");
    let odd = at(&["hash-object", "-w", "-t", "tree", "--literally", odd.to_str().expect("UTF-8")]);
    let commit = at(&["-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "x", &odd]);
    let lanes: Vec<String> =
        (0..4).map(|it| format!("refs/indelible/hosts/00000000-0000-4000-8000-00000000000{it}")).collect();
    for (lane, what) in lanes.iter().zip([&blob, &tag, &tree, &commit]) {
        let _ = at(&["update-ref", lane, what]);
    }
    let second = other.record("failure", "theirs");
    // As if a sync had been killed when git had fetched it.
    let cached = format!("+{}:refs/r/lanes/{}", lanes[2], &lanes[2][lanes[2].len() - 36..]);
    let _ = one
        .git_in(&one.private().join("sync.git"), ["fetch", "-q", remote.path().to_str().expect("UTF-8"), &cached])
        .ok();
    for home in [&other, &one] {
        let done = sync(home);
        let named: BTreeSet<&str> =
            done["lanes_left_out"].as_array().expect("a list").iter().filter_map(|it| it["lane"].as_str()).collect();
        assert_eq!(named, lanes.iter().map(String::as_str).collect(), "{done}");
        assert_eq!(listed(home).len(), 2);
        assert_eq!(home.status()["sync"]["lanes_unmerged"], 4);
        let check = home.cmd(["status", "--check"]).run().exits(1);
        assert!(check.stdout.contains(&lanes[0]), "{check}");
    }
    for lane in &lanes {
        let _ = at(&["update-ref", "-d", lane]);
    }
    let _ = at(&["prune", "--expire=now"]);
    remote.assert_has(&[receipt.page(), second.page()]);
    assert_eq!(sync(&one)["lanes_left_out"], Value::Array(Vec::new()));
    let _ = one.cmd(["status", "--check"]).ok();
    // A commit on the trunk says that it has merged what it has not.
    let container = home_of(&remote);
    let last = container.record("failure", "of a container");
    let drained = container.cmd(["drain", "--close", "--json"]).ok().json();
    let (lane, tip) = (drained["lane"].as_str().expect("text"), drained["commit"].as_str().expect("text"));
    let id = lane.rsplit('/').next().expect("a name");
    let message = format!("x\n\nIndelible-Format: 1\nIndelible-Merged: {id} {tip}\n");
    let tree = at(&["rev-parse", &format!("{TRUNK}^{{tree}}")]);
    let forged = at(&["-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", TRUNK, "-m", &message, &tree]);
    let _ = at(&["update-ref", TRUNK, &forged]);
    sync(&one);
    remote.assert_has(&[receipt.page(), second.page(), last.page()]);
    assert_eq!(listed(&one).len(), 3);
    // The trunk that the container knows does not say that its lane was folded.
    sync(&one);
    assert!(!remote.refs().contains_key(lane), "it is folded");
    let _ = container.cmd(["drain"]).ok();
    assert!(!remote.refs().contains_key(lane), "it was pushed again");
}

/// A trunk that cannot be seen for what it is at once: no second one is begun beside it.
#[test]
fn a_trunk_beneath_many_commits_one_that_was_set_back_and_one_that_is_cut_off_are_no_reason_for_another() {
    let remote = Remote::new();
    let one = home_of(&remote);
    let receipt = one.record("failure", "first");
    sync(&one);
    let merged = remote.refs()[TRUNK].clone();
    let at = |args: [&str; 8]| remote.git(args).ok().stdout.trim().to_owned();
    // Back to before its first merge, which a home that comes then cannot know.
    let _ = remote.git(["update-ref", TRUNK, &format!("{merged}^1")]).ok();
    let other = home_of(&remote);
    let second = other.record("failure", "second");
    let waits = other.cmd(["sync"]).run().exits(75);
    assert!(waits.stderr.contains("set it back"), "{waits}");
    assert!(!remote.refs().contains_key("refs/indelible/trunk"));
    sync(&one);
    sync(&other);
    remote.assert_has(&[receipt.page(), second.page()]);
    let mut tip = remote.refs()[TRUNK].clone();
    let tree = format!("{tip}^{{tree}}");
    for _ in 0..101 {
        tip = at(["-c", "user.name=x", "commit-tree", "-p", &tip, "-m", "by hand", &tree]);
    }
    let _ = remote.git(["update-ref", TRUNK, &tip]).ok();
    let third = home_of(&remote);
    let last = third.record("failure", "third");
    sync(&third);
    assert!(!remote.refs().contains_key("refs/indelible/trunk"));
    assert_eq!(listed(&third).len(), 3);
    remote.assert_has(&[receipt.page(), second.page(), last.page()]);
    let from = format!("file://{}", remote.path().display());
    for _ in 0..2 {
        tip = at(["-c", "user.name=x", "commit-tree", "-p", &tip, "-m", "by hand", &tree]);
    }
    let _ = remote.git(["update-ref", TRUNK, &tip]).ok();
    let _ = remote.outside(["clone", "--quiet", "--bare", "--depth=2", &from, "shallow.git"]).ok();
    let shallow = remote.folder.path().join("shallow.git");
    let fourth = TestHome::new();
    let _ = fourth.record("failure", "fourth");
    let refused = fourth.cmd(["sync"]).env("INDELIBLE_REMOTE", shallow.to_str().expect("UTF-8")).run().exits(78);
    assert!(refused.stderr.contains("shallow"), "{refused}");
}
