//! What one home erases leaves the remote's references, every home and every `sync.git`: also if another home merged it, was offline or is
//! gone, and if any of them is killed meanwhile.
//!
//! The remote is a bare folder. What its references reach is read by the git program, object by object, and so is `sync.git`.

use std::path::Path;

use indelible::fs::Point;
use serde_json::Value;

use crate::erase::assert_nowhere;
use crate::hosts::{Remote, TRUNK, assert_same, home_of, sync};
use crate::support::{Receipt, TestHome, write_program};
use crate::trunk::listed;

const NEEDLE: &str = "hunter2";

/// Whether anything that the references of the repository at `path` reach has the needle, in bytes or in names.
fn reaches(home: &TestHome, path: &Path) -> bool {
    let list = home.git_in(path, ["rev-list", "--objects", "--all"]).ok().stdout;
    let names: String =
        list.lines().filter_map(|line| line.split(' ').next()).fold(String::new(), |all, name| all + name + "\n");
    let file = home.path().join("objects.txt");
    std::fs::write(&file, names).expect("it can be written");
    let mut git = home.git_in(path, ["cat-file", "--batch"]).into_command();
    let shown = git.stdin(std::fs::File::open(&file).expect("it is there")).output().expect("git runs").stdout;
    std::fs::remove_file(&file).expect("it is there");
    has(&shown) || has(list.as_bytes())
}

/// Whether any object of `sync.git`, reachable or not, or any file of it has the needle.
fn cache_has(home: &TestHome) -> bool {
    let path = home.private().join("sync.git");
    if !path.exists() {
        return false;
    }
    let args = ["cat-file", "--batch-all-objects", "--batch", "--unordered"];
    has(&home.git_in(&path, args).into_command().output().expect("git runs").stdout)
}

fn has(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).to_lowercase().contains(NEEDLE)
}

fn erase(home: &TestHome, receipt: &Receipt) -> Value {
    home.cmd(["erase", "--yes", "--json", &receipt.id]).run().json()
}

/// Holds that neither the remote's references nor any home nor its cache has the needle, and that all homes are the same.
#[track_caller]
fn assert_purged(remote: &Remote, homes: &[&TestHome]) {
    assert_none(remote, homes);
    assert_same(homes);
}

#[track_caller]
fn assert_none(remote: &Remote, homes: &[&TestHome]) {
    assert!(!reaches(homes[0], &remote.path()), "a reference of the remote reaches it");
    for home in homes {
        assert_nowhere(home, &[NEEDLE]);
        assert!(!cache_has(home), "sync.git of {} has it", home.path().display());
        let cache = home.private().join("sync.git");
        if cache.exists() {
            let _ = home.git_in(&cache, ["fsck", "--strict"]).ok();
        }
    }
    let _ = remote.git(["fsck", "--strict"]).ok();
}

/// Three homes that have a secret of the first: the second has amended it, so it is on two lanes.
fn three(remote: &Remote) -> ([TestHome; 3], Receipt, Vec<Receipt>) {
    let homes = [home_of(remote), home_of(remote), home_of(remote)];
    let mut others = homes[0].record_each("fine");
    let secret = homes[0].record("heuristic", "hunter2 zebra");
    sync(&homes[0]);
    others.push(homes[1].record("failure", "of the second"));
    sync(&homes[1]);
    let _ = homes[1].cmd(["amend", &secret.id, "--explanation", "as hunter2 says"]).ok();
    others.push(homes[2].record("success", "of the third"));
    for home in [&homes[1], &homes[2], &homes[0]] {
        sync(home);
    }
    assert!(reaches(&homes[0], &remote.path()) && homes.iter().all(cache_has), "there is something to erase");
    (homes, secret, others)
}

fn pages(receipts: &[Receipt]) -> Vec<String> {
    receipts.iter().map(Receipt::page).collect()
}

/// The pages and the state file of what was erased.
fn with_state(others: &[Receipt], erased: &Receipt) -> Vec<String> {
    let state = format!("memory/retracted/{}/{}.md", &erased.id[34..], erased.id);
    pages(others).into_iter().chain([state]).collect()
}

#[test]
fn what_one_home_erases_is_gone_from_the_remote_and_from_every_home() {
    let remote = Remote::new();
    let ([one, two, three], secret, others) = three(&remote);
    let lanes = remote.lanes();
    let said = erase(&one, &secret);
    assert_eq!(said["remote"]["done"], true, "{said}");
    assert!(said["out_of_reach"].to_string().contains("server"), "{said}");
    assert!(!reaches(&one, &remote.path()) && !cache_has(&one));
    assert_eq!(remote.lanes(), lanes, "the lanes are the same");
    // A record that was made meanwhile is pushed on top of what its home had.
    let later = three.record("failure", "later");
    for home in [&two, &three, &one, &two, &three, &one] {
        sync(home);
    }
    assert_eq!(remote.lanes(), lanes);
    assert_purged(&remote, &[&one, &two, &three]);
    remote.assert_has(&with_state(&[others, vec![later]].concat(), &secret));
    let log = remote.git(["log", "--format=%B", TRUNK]).ok().stdout;
    assert_eq!(log.matches(&format!("Indelible-Purged: {}", secret.id)).count(), 1, "{log}");
    assert!(listed(&two).values().all(|it| it["id"] != secret.id.as_str()));
    let again = erase(&one, &secret);
    assert_eq!((&again["already"][0], &again["remote"]), (&secret.id.as_str().into(), &Value::Null));
}

#[test]
fn whoever_merges_takes_out_what_another_home_erased() {
    let remote = Remote::new();
    let ([one, two, three], secret, _) = three(&remote);
    // The eraser pushes its lane alone.
    let _ = one.cmd(["config", "set", "sync.merge", "false"]).ok();
    let said = one.cmd(["erase", "--yes", &secret.id]).run().exits(75);
    assert!(said.stdout.contains("rotate") && said.stderr.contains("not on the remote yet"), "{said}");
    assert!(reaches(&one, &remote.path()), "the trunk has it");
    assert!(one.status()["sync"]["to_purge"] == 1);
    for home in [&three, &two, &one, &three, &two, &one] {
        sync(home);
    }
    assert_eq!(one.status()["sync"]["to_purge"], 0);
    assert_purged(&remote, &[&one, &two, &three]);
}

#[test]
fn a_remote_that_is_not_reached_is_purged_by_the_next_sync() {
    let remote = Remote::new();
    let ([one, two, three], secret, _) = three(&remote);
    let away = remote.path().with_extension("away");
    std::fs::rename(remote.path(), &away).expect("it can be moved");
    let _ = one.cmd(["erase", "--yes", &secret.id]).run().exits(75);
    assert_nowhere(&one, &[NEEDLE]);
    assert!(!cache_has(&one), "sync.git has nothing of it at once");
    std::fs::rename(&away, remote.path()).expect("it can be moved");
    let _ = one.cmd(["erase", "--yes", &secret.id]).ok();
    for home in [&two, &three, &one] {
        sync(home);
    }
    assert_purged(&remote, &[&one, &two, &three]);
}

#[test]
fn a_home_that_was_offline_brings_nothing_back() {
    let remote = Remote::new();
    let ([one, two, three], secret, others) = three(&remote);
    let own = two.record("failure", "offline");
    let _ = two.cmd(["amend", &secret.id, "--explanation", "hunter2 again"]).ok();
    let _ = erase(&one, &secret);
    sync(&one);
    // It pushes before it knows: its lane was rewritten, and it has an amendment of what was erased.
    let _ = two.cmd(["sync", "--push-only"]).ok();
    sync(&three);
    assert!(!reaches(&one, &remote.path()));
    for home in [&two, &three, &one, &two] {
        sync(home);
    }
    assert_purged(&remote, &[&one, &two, &three]);
    remote.assert_has(&with_state(&[others, vec![own]].concat(), &secret));
}

#[test]
fn the_lane_of_a_container_that_is_gone_is_rewritten_by_the_others() {
    let remote = Remote::new();
    let ([one, two, three], secret, _) = three(&remote);
    let container = home_of(&remote);
    let (gone, kept) = (container.record("failure", "hunter2 in a container"), container.record("success", "kept"));
    let _ = container.cmd(["drain"]).ok();
    sync(&one);
    drop(container);
    for id in [&gone, &secret] {
        assert_eq!(erase(&one, id)["remote"]["done"], true);
    }
    for home in [&two, &three, &one] {
        sync(home);
    }
    // Homes that never had what was in the container know nothing of it.
    assert_none(&remote, &[&one, &two, &three]);
    assert!(remote.trunk().contains_key(&kept.page()));
    // One whose lane was never merged.
    let container = home_of(&remote);
    let (late, also) = (container.record("failure", "hunter2 once more"), container.record("success", "also kept"));
    let _ = container.cmd(["drain", "--close"]).ok();
    sync(&one);
    assert_eq!(erase(&one, &late)["remote"]["done"], true);
    drop(container);
    for home in [&two, &three, &one, &two] {
        sync(home);
    }
    assert_none(&remote, &[&one, &two, &three]);
    assert!(remote.trunk().contains_key(&also.page()));
}

#[test]
fn an_erasure_that_is_killed_anywhere_on_its_way_to_the_remote_is_finished() {
    for point in [
        Point::SyncAfterPush,
        Point::SyncAfterAcked,
        Point::SyncBeforeTip,
        Point::SyncAfterTip,
        Point::TrunkBeforePush,
        Point::TrunkAfterPush,
        Point::SyncBeforePack,
    ] {
        let remote = Remote::new();
        let ([one, two, three], secret, others) = three(&remote);
        let _ = one.cmd(["erase", "--yes", &secret.id]).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        let _ = one.cmd(["erase", "--yes", &secret.id]).ok();
        assert!(!reaches(&one, &remote.path()) && !cache_has(&one), "{}", point.name());
        for home in [&two, &three, &one] {
            sync(home);
        }
        assert_purged(&remote, &[&one, &two, &three]);
        remote.assert_has(&with_state(&others, &secret));
    }
}

#[test]
fn a_home_that_is_killed_while_it_takes_out_what_another_erased_is_finished() {
    for point in [
        Point::SyncAfterPush,
        Point::TrunkBeforePush,
        Point::TrunkAfterPush,
        Point::ImportBeforeAppend,
        Point::ImportBeforeMark,
        Point::EraseBeforeRows,
        Point::EraseBeforeDone,
        Point::SyncBeforePack,
    ] {
        let remote = Remote::new();
        let ([one, two, three], secret, others) = three(&remote);
        let _ = one.cmd(["config", "set", "sync.merge", "false"]).ok();
        let _ = one.cmd(["erase", "--yes", &secret.id]).run().exits(75);
        let own = two.record("failure", "own");
        // It merges and imports; what it imports, it erases here, and after that its cache is another.
        let killed = |_: u32| two.cmd(["sync"]).env("INDELIBLE_CRASH_AT", point.name()).run().code() != Some(0);
        assert!((0..3).any(killed), "{}: it came that far", point.name());
        for home in [&two, &three, &one, &two, &three, &one] {
            sync(home);
        }
        assert_purged(&remote, &[&one, &two, &three]);
        remote.assert_has(&with_state(&[others, vec![own]].concat(), &secret));
    }
}

#[test]
fn a_remote_without_atomic_pushes_and_one_that_protects_its_trunk() {
    let remote = Remote::new();
    let _ = remote.git(["config", "receive.advertiseAtomic", "false"]).ok();
    let ([one, two, three], secret, _) = three(&remote);
    assert_eq!(erase(&one, &secret)["remote"]["done"], true);
    for home in [&two, &three, &one] {
        sync(home);
    }
    assert_purged(&remote, &[&one, &two, &three]);

    let remote = Remote::new();
    let ([one, two, three], secret, _) = self::three(&remote);
    let hook = remote.path().join("hooks/update");
    write_program(&hook, b"#!/bin/sh\n[ \"$1\" = refs/heads/main ] && exit 1\nexit 0\n");
    let said = one.cmd(["erase", "--yes", "--json", &secret.id]).run().exits(75);
    assert_eq!(said.json()["remote"]["done"], false);
    let _ = one.git_in(&remote.path(), ["update-ref", "refs/heads/aside", TRUNK]).ok();
    std::fs::remove_file(hook).expect("it is there");
    sync(&one);
    let _ = one.git_in(&remote.path(), ["update-ref", "-d", "refs/heads/aside"]).ok();
    for home in [&two, &three, &one] {
        sync(home);
    }
    assert_purged(&remote, &[&one, &two, &three]);
}

/// A forge that takes no forced push of a branch: erased records stay in the trunk's history, which is said; everything else travels.
#[test]
fn a_trunk_that_takes_no_rewriting_is_merged_on_and_that_is_said() {
    for is_a_rule in [true, false] {
        let remote = Remote::new();
        if is_a_rule {
            let _ = remote.git(["config", "receive.denyNonFastForwards", "true"]).ok();
        } else {
            let hook = "#!/bin/sh\n[ \"$1\" = refs/heads/main ] || exit 0\ncase $2 in 0000*) exit 0;; esac\ngit merge-base --is-ancestor $2 $3\n";
            write_program(&remote.path().join("hooks/update"), hook.as_bytes());
        }
        let ([one, two, three], secret, others) = three(&remote);
        let said = one.cmd(["erase", "--yes", "--json", &secret.id]).run().exits(75).json();
        assert!(said["remote"]["error"].as_str().expect("text").contains(TRUNK), "{said}");
        let new = two.record("failure", "new");
        for home in [&two, &one, &three] {
            let done = sync(home);
            assert!(done["erased_kept"].as_str().expect("text").contains(TRUNK), "{done}");
        }
        let receipts = [others, vec![new]].concat();
        for home in [&one, &two, &three] {
            assert_eq!(listed(home).len(), receipts.len(), "what is new is everywhere");
            assert_nowhere_but_in_cache(home);
            assert_eq!(home.status()["sync"]["lanes_unmerged"], 0);
            let check = home.cmd(["status", "--check"]).run().exits(1);
            assert!(check.stdout.contains("without erased records"), "{check}");
        }
        let trunk: Vec<String> = remote.trunk().into_keys().filter(|path| !path.ends_with("README.md")).collect();
        let mut wanted = with_state(&receipts, &secret);
        wanted.sort();
        assert_eq!(trunk, wanted);
        let shown = three.cmd(["sync"]).ok().stdout;
        assert!(shown.contains("without erased records"), "{shown}");
        // As soon as it takes it, nothing of the record is left.
        let _ = remote.git(["config", "receive.denyNonFastForwards", "false"]).ok();
        let _ = std::fs::remove_file(remote.path().join("hooks/update"));
        for home in [&two, &one, &three] {
            sync(home);
        }
        assert_purged(&remote, &[&one, &two, &three]);
        assert_eq!(sync(&two)["erased_kept"], Value::Null);
    }
}

/// A lane that takes no rewriting still has the record, so nothing says that it is gone, and the eraser goes on trying.
#[test]
fn a_lane_that_takes_no_rewriting_keeps_the_erasure_open() {
    let remote = Remote::new();
    let hook = "#!/bin/sh\ncase $2 in 0000*) exit 0;; esac\ngit merge-base --is-ancestor $2 $3\n";
    write_program(&remote.path().join("hooks/update"), hook.as_bytes());
    let (one, two) = (home_of(&remote), home_of(&remote));
    sync(&two);
    let secret = one.record("failure", "hunter2 zebra");
    let _ = one.cmd(["sync", "--push-only"]).ok();
    for _ in 0..2 {
        let said = one.cmd(["erase", "--yes", "--json", &secret.id]).run().exits(75).json();
        assert_eq!(said["remote"]["done"], false, "{said}");
        assert!(reaches(&one, &remote.path()), "its lane has it");
        sync(&two);
        assert_eq!(one.status()["sync"]["to_purge"], 1);
    }
    std::fs::remove_file(remote.path().join("hooks/update")).expect("it is there");
    let _ = one.cmd(["erase", "--yes", &secret.id]).ok();
    for home in [&two, &one] {
        sync(home);
    }
    // The second never had the record, and fetched the lane that did.
    assert_none(&remote, &[&one, &two]);
}

/// The home has the needle in no store of its own; `sync.git` is a copy of what the remote still has.
fn assert_nowhere_but_in_cache(home: &TestHome) {
    let shown = home.cmd(["search", NEEDLE, "--json"]).run();
    assert!(!shown.stdout.contains("zebra"), "{shown}");
    assert!(!has(home.cmd(["export"]).ok().stdout.as_bytes()));
}

#[test]
fn a_copy_that_a_person_made_on_the_trunk_goes_and_an_old_trunk_that_is_pushed_again_heals_nothing() {
    let remote = Remote::new();
    let ([one, two, three], secret, others) = three(&remote);
    remote.commit_by_hand(|clone| {
        std::fs::copy(clone.join(&secret.path), clone.join("notes.md")).expect("it is there");
        std::fs::write(clone.join("README.md"), "ours").expect("it can be written");
    });
    sync(&one);
    let old = remote.refs()[TRUNK].clone();
    let _ = remote.git(["update-ref", "refs/keep/old", &old]).ok();
    assert_eq!(erase(&one, &secret)["remote"]["done"], true);
    let trunk = remote.trunk();
    assert!(trunk["README.md"] == "ours" && !trunk.contains_key("notes.md"), "{trunk:?}");
    let domain = trunk.iter().find(|(name, _)| name.starts_with("memory/heuristics/") && name.ends_with("README.md"));
    assert!(domain.is_some_and(|(_, text)| text.contains("fine heuristic")), "{trunk:?}");
    sync(&two);
    // Someone pushes what they had.
    let _ = remote.git(["update-ref", TRUNK, &old]).ok();
    let _ = remote.git(["update-ref", "-d", "refs/keep/old"]).ok();
    let later = three.record("failure", "later");
    for home in [&two, &one, &three, &two, &one, &three] {
        sync(home);
    }
    assert!(!reaches(&one, &remote.path()), "it is back");
    for home in [&one, &two, &three] {
        assert_nowhere(home, &[NEEDLE]);
    }
    let trunk = remote.trunk();
    assert!(pages(&others).iter().chain([&later.page()]).all(|page| trunk.contains_key(page)), "{trunk:?}");
    assert_same(&[&one, &two, &three]);
}
