//! One key that several homes used: with `sync.keys = "group"` it is one record everywhere, without each home has its own, and copies of a
//! home, which have its id, have one record with one content in any case.

use std::collections::BTreeSet;

use indelible::fs::Point;
use serde_json::Value;

use crate::hosts::{Remote, assert_same, home_of, sync};
use crate::lanes::copy_of;
use crate::support::TestHome;
use crate::trunk::listed;

fn of_group(remote: &Remote) -> TestHome {
    let home = home_of(remote);
    let _ = home.cmd(["config", "set", "sync.keys", "group"]).ok();
    home
}

fn keyed(home: &TestHome, title: &str) -> Value {
    home.cmd(["record", "failure", "--json", "--key", "job 7", "--title", title, "--domain", "ci"]).ok().json()
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

/// Holds that all of `homes` have the one record `id`, and the trunk its page alone.
#[track_caller]
fn assert_one(remote: &Remote, homes: &[&TestHome], first: &Value) {
    for home in homes {
        assert_eq!(listed(home).into_keys().collect::<Vec<_>>(), [id(first)]);
        home.assert_settled();
    }
    assert_same(homes);
    let pages: Vec<String> = remote.trunk().into_keys().filter(|path| path.contains("failures/")).collect();
    assert_eq!(pages, [first["path"].as_str().expect("a path")]);
    let _ = remote.git(["fsck", "--strict"]).ok();
}

#[test]
fn the_first_record_of_a_key_in_the_trunk_is_that_of_every_home() {
    let remote = Remote::new();
    let (one, other, third) = (of_group(&remote), of_group(&remote), of_group(&remote));
    let first = keyed(&one, "of one");
    let second = keyed(&other, "of the other");
    assert_ne!(id(&first), id(&second));
    for home in [&one, &other, &third, &one, &other, &third] {
        sync(home);
    }
    assert_one(&remote, &[&one, &other, &third], &first);
    // What gave way is kept, and says why.
    let shown = other.cmd(["show", &id(&second)]).run().exits(1);
    assert!(shown.stderr.contains(&format!("same key first: {}", id(&first))), "{shown}");
    let log = remote.git(["log", "--all", "--format=", "--name-only"]).ok().stdout;
    assert!(log.contains(second["path"].as_str().expect("a path")), "{log}");
    // A recorder that uses the key from now on is told of the first.
    for home in [&one, &other, &third] {
        let again = keyed(home, "again");
        assert_eq!((id(&again), &again["duplicate"]), (id(&first), &true.into()), "{again}");
        home.flush();
    }
    assert_one(&remote, &[&one, &other, &third], &first);
    // A person's word counts: what is brought back stays.
    let _ = other.cmd(["restore", &id(&second)]).ok();
    for home in [&other, &one, &third, &other, &one] {
        sync(home);
    }
    let both = BTreeSet::from([id(&first), id(&second)]);
    for home in [&one, &other, &third] {
        assert_eq!(listed(home).into_keys().collect::<BTreeSet<_>>(), both);
    }
}

#[test]
fn of_keys_that_come_with_one_merge_the_smallest_id_stays_whichever_home_merges() {
    let remote = Remote::new();
    let (one, other, third) = (of_group(&remote), of_group(&remote), of_group(&remote));
    let mut kept = BTreeSet::new();
    for key in 0..6 {
        let record = |home: &TestHome| {
            let key = format!("job {key}");
            id(&home.cmd(["record", "failure", "--json", "--key", &key, "--title", "t", "--domain", "ci"]).ok().json())
        };
        kept.extend([record(&one), record(&other)].into_iter().min());
    }
    let _ = one.cmd(["drain", "--close"]).ok();
    let _ = other.cmd(["drain"]).ok();
    for home in [&third, &other, &one, &third, &other, &one] {
        sync(home);
    }
    for home in [&one, &other, &third] {
        assert_eq!(listed(home).into_keys().collect::<BTreeSet<_>>(), kept);
        home.assert_settled();
    }
    assert_same(&[&one, &other, &third]);
    assert_eq!(remote.trunk_names().iter().filter(|path| path.contains("failures/")).count(), kept.len());
}

#[test]
fn a_home_that_begins_to_share_keys_settles_what_there_is_and_a_kill_changes_nothing() {
    for point in [Point::ImportBeforeAppend, Point::ImportBeforeMark, Point::AppendBeforeSync] {
        let remote = Remote::new();
        let (one, other) = (home_of(&remote), home_of(&remote));
        let first = keyed(&one, "of one");
        let second = keyed(&other, "of the other");
        for home in [&one, &other, &one] {
            sync(home);
        }
        let both = BTreeSet::from([id(&first), id(&second)]);
        for home in [&one, &other] {
            let ids: BTreeSet<String> = listed(home).into_keys().collect();
            assert_eq!(ids, both, "each home's keys are its own, if not said otherwise");
        }
        let _ = other.cmd(["config", "set", "sync.keys", "group"]).ok();
        let _ = other.cmd(["sync"]).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        for home in [&other, &other, &one] {
            sync(home);
        }
        assert_one(&remote, &[&one, &other], &first);
    }
}

/// What every home has of the record `id`, but for its time, its source and its path.
fn content(homes: &[&TestHome], id: &str) -> BTreeSet<String> {
    let of = |home: &&TestHome| {
        let record = listed(home)[id].clone();
        ["kind", "title", "summary", "tags", "severity", "revision", "state"]
            .map(|name| record[name].to_string())
            .join(" ")
    };
    homes.iter().map(of).collect()
}

/// A copy has the home's id, so one key gives one record's id in both, whatever the settings say.
#[test]
fn one_key_on_copies_of_a_home_is_one_record_with_one_content() {
    for title in ["of the copy", "of one"] {
        let remote = Remote::new();
        let one = home_of(&remote);
        let _ = one.record("success", "before");
        sync(&one);
        let copy = copy_of(&one);
        let first = keyed(&one, "of one");
        let answer = copy.cmd(["record", "failure", "--json", "--key", "job 7", "--title", title, "--domain", "ci"]);
        let second = answer.args(["--summary", "the copy's text"]).ok().json();
        assert_eq!(id(&first), id(&second));
        let fresh = home_of(&remote);
        for home in [&one, &copy, &copy, &one, &fresh] {
            sync(home);
        }
        let homes = [&one, &copy, &fresh];
        assert_eq!(content(&homes, &id(&first)).len(), 1, "{:?}", content(&homes, &id(&first)));
        let page = first["path"].as_str().expect("a path").to_owned();
        let trunk = remote.trunk();
        let pages: Vec<&String> = trunk.keys().filter(|path| path.contains("failures/")).collect();
        assert_eq!(pages, [&page]);
        assert!(trunk[&page].contains("# of one") && !trunk[&page].contains("the copy's text"), "{}", trunk[&page]);
        // What was recorded second is in its lane's history.
        let log = remote.git(["log", "--all", "-p", "--format="]).ok().stdout;
        assert!(log.contains("the copy's text"));
        // From now on it is a record as any other.
        let _ = copy.cmd(["amend", &id(&first), "--tags", "by-the-copy"]).ok();
        for home in [&copy, &one, &fresh, &copy] {
            sync(home);
        }
        let _ = one.cmd(["amend", &id(&first), "--summary", "by the first"]).ok();
        for home in [&one, &copy, &fresh, &one, &copy] {
            sync(home);
        }
        let found = content(&homes, &id(&first));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.iter().all(|it| it.contains("by-the-copy") && it.contains("by the first")), "{found:?}");
        for home in homes {
            let list = home.cmd(["list", "failure", "--json"]).ok().json();
            assert_eq!(list["count"], 1, "one row: {list}");
            let _ = home.verify().exits(0);
            home.assert_settled();
            assert_eq!(home.recover()["reconciled"], 0);
            std::fs::remove_file(home.join("memory/index.db")).expect("it was there");
            let _ = home.cmd(["repair"]).ok();
            let _ = home.verify().exits(0);
        }
        assert_eq!(content(&homes, &id(&first)), found, "and so it is when the index is made again");
        let _ = copy.cmd(["verify", "--remote"]).ok();
    }
}

#[test]
fn one_key_of_two_kinds_on_copies_is_named() {
    let remote = Remote::new();
    let one = home_of(&remote);
    sync(&one);
    let copy = copy_of(&one);
    let _ = keyed(&one, "a failure");
    let _ = copy.cmd(["record", "success", "--key", "job 7", "--title", "a success", "--domain", "ci"]).ok();
    sync(&one);
    let done = sync(&copy);
    assert!(done["imported"]["named"].to_string().contains("another kind"), "{done}");
    assert_eq!(remote.trunk().len(), 1, "the trunk has the first");
    let _ = copy.verify().exits(0);
}
