//! Keys of a group: one key that homes used apart is one record everywhere, with `sync.keys = "group"`; without, each home has its own.

use std::collections::BTreeSet;

use indelible::fs::Point;
use serde_json::Value;

use crate::hosts::{Remote, assert_same, home_of, sync};
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
    // Whoever uses the key from now on is told of the first.
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
fn of_keys_that_come_with_one_merge_the_smallest_id_stays_whoever_merges() {
    let remote = Remote::new();
    let (one, other, third) = (of_group(&remote), of_group(&remote), of_group(&remote));
    let answers = [keyed(&one, "of one"), keyed(&other, "of the other")];
    let _ = one.cmd(["drain", "--close"]).ok();
    let _ = other.cmd(["drain"]).ok();
    for home in [&third, &other, &one, &third, &other, &one] {
        sync(home);
    }
    let first = answers.iter().min_by_key(|answer| id(answer)).expect("there are two");
    assert_one(&remote, &[&one, &other, &third], first);
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
