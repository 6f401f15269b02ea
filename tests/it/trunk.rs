//! What other homes recorded, merged into a trunk and imported: in files and rows with the home that it came from, and in no commit of
//! the home that imports it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use git2::{Oid, Repository};
use indelible::home::Home;
use indelible::sync::fold::{self, Lanes};
use indelible::sync::import::{self, Imported, Options, What};
use indelible::sync::merge::{self, Merged};
use serde_json::Value;
use uuid::Uuid;

use crate::backup::files;
use crate::changes::assert_agree;
use crate::support::TestHome;

const TRUNK: &str = "refs/r/trunk";
const IMPORTED: &str = "refs/indelible/imported";

/// The private repository of `home`, in which its syncs take place.
pub struct Cache<'h> {
    home: &'h TestHome,
    path: PathBuf,
}

impl<'h> Cache<'h> {
    pub fn new(home: &'h TestHome) -> Cache<'h> {
        let path = home.private().join("sync.git");
        if !path.exists() {
            Repository::init_bare(&path).expect("it can be made");
            std::fs::write(home.private().join("sync.json"), "{}").expect("it can be written");
        }
        Cache { home, path }
    }

    fn repository(&self) -> Repository {
        Repository::open_bare(&self.path).expect("it was made")
    }

    fn target(&self, name: &str) -> Option<Oid> {
        self.repository().refname_to_id(name).ok()
    }

    fn set(&self, name: &str, to: Oid) {
        self.repository().reference(name, to, true, "test").expect("it can be set");
    }

    /// Fetches the history of `other` as its lane.
    fn fetch_lane(&self, other: &TestHome, lane: u128) {
        let spec = format!("+{}:refs/r/lanes/{}", other.history(), Uuid::from_u128(lane));
        let from = other.join(".git").to_str().expect("UTF-8").to_owned();
        let _ = self.home.git_in(&self.path, ["fetch", "--quiet", &from, &spec]).ok();
    }

    /// Merges all lanes into the trunk.
    pub fn merge(&self) -> Option<Merged> {
        let repository = self.repository();
        let mut lanes = Lanes::new();
        for reference in repository.references_glob("refs/r/lanes/*").expect("they can be listed") {
            let reference = reference.expect("one of them");
            let lane = reference.name().expect("UTF-8").rsplit('/').next().expect("a name").parse().expect("an id");
            lanes.insert(lane, reference.target().expect("it is at a commit"));
        }
        let trunk = self.target(TRUNK);
        let merged = fold::merged(&repository, trunk, (None, &Lanes::new())).expect("it can be walked");
        let sides = fold::sides(&repository, trunk, &lanes, &merged).expect("they can be compared");
        let options = merge::Options { group: Uuid::from_u128(9), skips_checks: false };
        let made = merge::merge(&repository, trunk, &sides, &options).expect("it merges");
        if let Some(made) = &made {
            self.set(TRUNK, made.commit);
        }
        made
    }

    /// Imports what the trunk has, without a worker applying it.
    pub fn import(&self, options: &Options) -> Imported {
        let home = Home::open(self.home.path()).expect("it is a home");
        let (from, to) = (self.target(IMPORTED), self.target(TRUNK).expect("there is a trunk"));
        let repository = self.repository();
        let wait = Duration::from_secs(5);
        let imported = import::import(&home, &repository, (from, to), options, wait).expect("it can be imported");
        self.set(IMPORTED, to);
        imported
    }

    /// Fetches, merges and imports, and applies what came.
    pub fn sync(&self, others: &[(&TestHome, u128)]) -> Imported {
        others.iter().for_each(|(other, lane)| self.fetch_lane(other, *lane));
        let _ = self.merge();
        let imported = self.import(&Options::default());
        self.home.flush();
        imported
    }
}

/// What `list` says of every record, by id.
pub fn listed(home: &TestHome) -> BTreeMap<String, Value> {
    let list = home.cmd(["list", "--limit", "0", "--json"]).ok().json();
    let records = list["records"].as_array().expect("an array").clone();
    records.into_iter().map(|it| (it["id"].as_str().expect("an id").to_owned(), it)).collect()
}

fn commits(home: &TestHome) -> String {
    home.git(["log", "--format=%H %s", "--name-only", &home.history()]).run().stdout
}

#[test]
fn what_another_home_recorded_is_here_with_its_origin_and_in_no_commit() {
    let (one, other) = (TestHome::new(), TestHome::new());
    let theirs = one.record_each("theirs");
    let rule = theirs.iter().find(|it| it.kind == "heuristic").expect("one of each");
    one.flush();
    let _ = one.cmd(["validate", &rule.id, "--because", "it held"]).ok();
    one.flush();
    let own = other.record("failure", "own");
    other.flush();
    let before = commits(&other);
    let cache = Cache::new(&other);
    let imported = cache.sync(&[(&one, 1)]);
    assert_eq!((imported.records, imported.changes, imported.left_out), (6, 0, 0), "{imported:?}");
    assert_eq!(commits(&other), before, "none of it is committed here");
    let records = listed(&other);
    for receipt in &theirs {
        assert_eq!(records[&receipt.id]["from"], one.id().as_str(), "{}", receipt.kind);
        assert!(other.join(&receipt.path).exists(), "{}", receipt.path);
    }
    assert_eq!(records[&own.id].get("from"), None, "what was recorded here is from no other home");
    for (path, bytes) in files(&one) {
        assert_eq!(files(&other).get(&path), Some(&bytes), "{}", path.display());
    }
    assert_agree(&other);
    other.assert_settled();
    assert_eq!(cache.import(&Options::default()), Imported::default(), "nothing is new");
    let shown = other.cmd(["show", &rule.id, "--json"]).ok().json();
    assert_eq!(shown["records"][0]["verdicts"][0]["from"], one.id().as_str(), "who gave a verdict is named: {shown}");
    let text = other.cmd(["show", &rule.id]).ok().stdout;
    let verdict = text.lines().find(|line| line.contains("it held"));
    assert!(verdict.is_some_and(|line| line.contains("from home ")), "{text}");
    let found = other.cmd(["search", "theirs", "--json"]).ok().json();
    assert_eq!(found["hits"][0]["from"], one.id().as_str());
    let says = format!("from home {:08x}", one.id().parse::<Uuid>().expect("an id").as_u128() as u32);
    for args in [vec!["list"], vec!["search", "theirs"], vec!["show", &rule.id]] {
        let text = other.cmd(&args).ok().stdout;
        assert!(text.contains(says.trim_start_matches("from ")), "{args:?} has to name the home: {text}");
    }
    assert_eq!(commits(&other), before);
}

#[test]
fn operations_of_two_homes_on_each_others_records_meet() {
    let (one, other) = (TestHome::new(), TestHome::new());
    let (kept, gone) = (one.record("failure", "kept"), one.record("failure", "gone"));
    let _ = other.record("failure", "other");
    one.flush();
    other.flush();
    let cache = Cache::new(&other);
    let back = Cache::new(&one);
    cache.sync(&[(&one, 1), (&other, 2)]);
    // Each amends another field, before either knows of the other.
    let _ = one.cmd(["amend", &kept.id, "--title", "their title"]).ok();
    let _ = other.cmd(["amend", &kept.id, "--summary", "my summary"]).ok();
    let _ = other.cmd(["retract", &gone.id, "--because", "wrong"]).ok();
    one.flush();
    other.flush();
    assert_agree(&other);
    cache.sync(&[(&one, 1), (&other, 2)]);
    back.sync(&[(&one, 1), (&other, 2)]);
    for home in [&one, &other] {
        let record = listed(home)[&kept.id].clone();
        assert_eq!((&record["title"], &record["summary"]), (&"their title".into(), &"my summary".into()));
        assert!(!listed(home).contains_key(&gone.id) && !home.join(&gone.path).exists());
        assert_agree(home);
        home.assert_settled();
    }
    assert_eq!(
        std::fs::read(one.join(&kept.path)).expect("there"),
        std::fs::read(other.join(&kept.path)).expect("there")
    );
    assert!(commits(&other).contains(&kept.path), "what this home amends is committed here, whole");
    // Restored by its own home, it is back everywhere.
    let _ = one.cmd(["restore", &gone.id]).ok();
    one.flush();
    cache.sync(&[(&one, 1), (&other, 2)]);
    assert!(other.join(&gone.path).exists());
    assert_agree(&other);
    other.assert_settled();
}

#[test]
fn what_is_lost_here_comes_back_from_the_trunk_and_is_still_another_homes() {
    let (one, other) = (TestHome::new(), TestHome::new());
    let theirs = one.record_each("theirs");
    one.flush();
    let own = other.record("failure", "own");
    other.flush();
    let before = commits(&other);
    let cache = Cache::new(&other);
    cache.sync(&[(&one, 1)]);
    for receipt in &theirs {
        let path = other.join(&receipt.path);
        if path.is_file() { std::fs::remove_file(path) } else { std::fs::remove_file(path.join("hypothesis.md")) }
            .expect("it was there");
    }
    other.recover_fully();
    for receipt in &theirs {
        assert!(other.join(&receipt.path).exists(), "{}", receipt.path);
        assert_eq!(listed(&other)[&receipt.id]["from"], one.id().as_str());
    }
    std::fs::remove_file(other.join("memory/index.db")).expect("it was there");
    let _ = std::fs::remove_file(other.join("memory/index.db-wal"));
    let _ = std::fs::remove_file(other.join("memory/index.db-shm"));
    let _ = other.cmd(["repair"]).ok();
    let records = listed(&other);
    assert!(theirs.iter().all(|it| records[&it.id]["from"] == one.id().as_str()), "{records:?}");
    assert_eq!(records[&own.id].get("from"), None);
    assert_agree(&other);
    assert_eq!(commits(&other), before, "nothing of it was committed here in all of this");
    // Without the cache the rows still say whose they are.
    std::fs::remove_dir_all(&cache.path).expect("it was there");
    let _ = other.cmd(["recover"]).run();
    assert_eq!(commits(&other), before, "a lost cache makes nobody commit what others recorded");
}

#[test]
fn only_what_is_wanted_is_imported() {
    let (one, other) = (TestHome::new(), TestHome::new());
    let theirs = one.record_each("theirs");
    one.flush();
    let cache = Cache::new(&other);
    cache.fetch_lane(&one, 1);
    let _ = cache.merge();
    let none = Options { what: What::None, ..Options::default() };
    assert_eq!(cache.import(&none), Imported::default());
    cache.repository().find_reference(IMPORTED).expect("it was set").delete().expect("it can be deleted");
    let rules = cache.import(&Options { what: What::Heuristics, ..Options::default() });
    assert_eq!((rules.records, rules.unwanted), (1, 4));
    other.flush();
    let rule = theirs.iter().find(|it| it.kind == "heuristic").expect("one of each");
    assert!(listed(&other).into_keys().eq([rule.id.clone()]));
    cache.repository().find_reference(IMPORTED).expect("it was set").delete().expect("it can be deleted");
    let since = Options { since: Some("2999-01-01T00:00:00Z".parse().expect("a time")), ..Options::default() };
    assert_eq!(cache.import(&since).unwanted, 4);
    assert_agree(&other);
}
