//! Attacks on many hosts that no other module has: races at the two points of a fold, a fold that is cut in half, a thousand lanes, a clock in
//! 2099, and what a folder as a remote runs. The table in docs/testing.md names the test of every attack.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indelible::fs::Point;
use rustix::process::Signal;

use crate::clock::Shim;
use crate::hosts::{Remote, TRUNK, assert_same, home_of, sync};
use crate::support::{Cmd, Receipt, TestHome, in_parallel, write_program};
use crate::trunk::listed;

fn pages(receipts: &[Receipt]) -> Vec<String> {
    receipts.iter().map(Receipt::page).collect()
}

/// A lane is deleted by a lease: one that moved meanwhile stays, and its home's push is what counts.
#[test]
fn a_home_that_pushes_just_before_its_lane_is_deleted_keeps_it() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let mut receipts = vec![one.record("failure", "first")];
    let _ = one.cmd(["drain", "--close"]).ok();
    let mut folding = other.cmd(["sync", "--json"]).env("INDELIBLE_STOP_AT", Point::FoldBeforePush.name()).spawn();
    assert!(folding.stops(), "it has merged the lane, and is about to delete it");
    receipts.push(one.record("failure", "second"));
    let _ = one.cmd(["drain"]).ok();
    let lanes = remote.lanes();
    folding.signal(Signal::CONT);
    let done = folding.wait().exits(0).json();
    assert_eq!(done["folded"], 0, "{done}");
    assert_eq!(remote.lanes(), lanes, "what was pushed meanwhile is on the remote");
    sync(&other);
    sync(&one);
    remote.assert_has(&pages(&receipts));
    assert_same(&[&one, &other]);
}

/// A lane that is gone when its home pushes is made again, on top of what the trunk has.
#[test]
fn a_home_whose_lane_is_deleted_just_before_it_pushes_makes_it_again() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let mut receipts = vec![one.record("failure", "first")];
    let _ = one.cmd(["drain", "--close"]).ok();
    receipts.push(one.record("failure", "second"));
    let mut pushing = one.cmd(["drain"]).env("INDELIBLE_STOP_AT", Point::SyncAfterTip.name()).spawn();
    assert!(pushing.stops(), "its next commit is made, and not pushed");
    assert_eq!(sync(&other)["folded"], 1);
    assert_eq!(remote.lanes(), Vec::<String>::new());
    pushing.signal(Signal::CONT);
    let _ = pushing.wait().exits(0);
    assert_eq!(remote.lanes().len(), 1);
    sync(&other);
    sync(&one);
    remote.assert_has(&pages(&receipts));
    assert_same(&[&one, &other]);
}

/// Lanes of containers that have closed them and are gone, written as `drain --close` writes them: the page of `like`, a record of
/// `home`, with other ids. Returns the pages.
fn lanes_of_containers(remote: &Remote, home: &TestHome, like: &Receipt, count: u64) -> Vec<String> {
    let text = std::fs::read_to_string(home.join(&like.path)).expect("it is there");
    let (mut stream, mut pages) = (String::new(), Vec::new());
    for number in 1..=count {
        let id = format!("01980000-0000-7000-8000-{number:012x}");
        let page = like.path.replace(&like.id[28..], &id[28..]);
        let text = text.replace(&like.id, &id);
        let lane = format!("00000000-0000-4000-8000-{number:012x}");
        let message = format!(
            "Record 1 failure\n\nIndelible-Format: 1\nIndelible-Home: {lane}\nIndelible-Lane: {lane}\nIndelible-Records: 1 1\n\
             Indelible-Closed: true\n"
        );
        write!(
            stream,
            "commit refs/indelible/hosts/{lane}\ncommitter indelible <indelible@localhost> {} +0000\ndata {}\n{message}\n\
             M 100644 inline {page}\ndata {}\n{text}\n",
            1_790_000_000 + number,
            message.len(),
            text.len()
        )
        .expect("a string takes all");
        pages.push(page);
    }
    let _ = remote.git(["fast-import", "--quiet"]).stdin(stream).ok();
    pages
}

#[test]
fn a_fold_that_is_cut_in_half_is_finished_by_the_next() {
    for (point, left) in [(Point::FoldBeforePush, 6), (Point::FoldHalfDone, 3)] {
        let remote = Remote::new();
        let one = home_of(&remote);
        let own = one.record("failure", "own");
        one.flush();
        let mut all = lanes_of_containers(&remote, &one, &own, 6);
        all.push(own.page());
        let _ = one.cmd(["sync"]).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        let lane = one.status()["sync"]["lane"].as_str().expect("it has one").to_owned();
        assert_eq!(remote.lanes().iter().filter(|it| **it != lane).count(), left, "{}", point.name());
        remote.assert_has(&all);
        let done = sync(&one);
        assert_eq!((&done["folded"], &done["merged"]), (&left.into(), &0.into()), "{done}");
        assert_eq!(remote.lanes(), [lane]);
        remote.assert_has(&all);
        assert_eq!(listed(&one).len(), 7);
        one.assert_settled();
    }
}

#[test]
fn a_thousand_lanes_are_merged_and_folded_by_one_sync() {
    let remote = Remote::new();
    let donor = TestHome::new();
    let like = donor.record("failure", "of a container");
    donor.flush();
    let all = lanes_of_containers(&remote, &donor, &like, 1000);
    assert_eq!(remote.lanes().len(), 1000);
    let one = home_of(&remote);
    let done = sync(&one);
    assert_eq!((&done["merged"], &done["folded"]), (&1000.into(), &1000.into()), "{done}");
    assert_eq!(done["imported"]["records"], 1000, "{done}");
    assert_eq!(remote.refs().into_keys().collect::<Vec<_>>(), [TRUNK], "one reference is left");
    let trunk: BTreeSet<String> = remote.trunk_names().into_iter().collect();
    assert_eq!(trunk, all.into_iter().collect());
    let merges = remote.git(["rev-list", "--count", "--first-parent", "--merges", TRUNK]).ok().stdout;
    assert_eq!(merges.trim(), "3", "a commit has at most 500 parents");
}

/// The same with real homes: `FLEET_DRAINS` containers, a thousand by default.
#[test]
#[ignore = "a thousand homes are made"]
fn a_thousand_drains_leave_one_reference() {
    let count = std::env::var("FLEET_DRAINS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let remote = Remote::new();
    in_parallel(2, count, |number| {
        let container = home_of(&remote);
        let _ = container.record("failure", &format!("of container {number}"));
        let _ = container.cmd(["drain", "--close"]).ok();
    });
    assert_eq!(remote.lanes().len(), count);
    let one = home_of(&remote);
    let done = sync(&one);
    assert_eq!(done["folded"].as_u64(), Some(count as u64), "{done}");
    assert_eq!(remote.refs().into_keys().collect::<Vec<_>>(), [TRUNK]);
    assert_eq!(remote.trunk_names().len(), count);
}

#[test]
fn a_clock_in_2099_decides_nothing() {
    let shim = Shim::new();
    let remote = Remote::new();
    let (skewed, sane) = (home_of(&remote), home_of(&remote));
    let of_skewed = |args: &[&str]| shim.on("=4080000000", skewed.cmd(args)).ok();
    let theirs = of_skewed(&["record", "failure", "--title", "from 2099", "--domain", "ci", "--json"]).receipt();
    let own = sane.record("failure", "from today");
    let _ = of_skewed(&["sync"]);
    sync(&sane);
    let _ = of_skewed(&["sync"]);
    assert_eq!(listed(&sane).len(), 2);
    // Of two amendments the one that saw the other stands, whatever the clocks said.
    let _ = of_skewed(&["amend", &own.id, "--title", "amended in 2099"]);
    let _ = of_skewed(&["sync"]);
    sync(&sane);
    let _ = sane.cmd(["amend", &own.id, "--title", "amended after that"]).ok();
    let third = sane.record("failure", "a third one");
    sync(&sane);
    let _ = of_skewed(&["sync"]);
    let _ = of_skewed(&["sync"]);
    assert_same(&[&skewed, &sane]);
    assert_eq!(listed(&skewed)[&own.id]["title"], "amended after that");
    let trunk = remote.trunk();
    assert!(
        [theirs.page(), own.page(), third.page()].iter().all(|page| trunk.contains_key(page)),
        "{:?}",
        trunk.keys()
    );
    let date = remote.git(["log", "-1", "--first-parent", "--format=%cI", TRUNK]).ok().stdout;
    assert!(!date.starts_with("2099"), "a merge has the date of what it merges: {date}");
    let _ = sane.cmd(["retract", &theirs.id, "--because", "wrong"]).ok();
    sync(&sane);
    sync(&sane);
    let _ = of_skewed(&["sync"]);
    assert!(!listed(&skewed).contains_key(&theirs.id) && !remote.trunk().contains_key(&theirs.page()));
}

/// Hooks of every name, in a folder, that say in `log` that they ran.
fn hooks(folder: &Path, log: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("it can be made");
    for hook in [
        "pre-push",
        "pre-receive",
        "update",
        "post-receive",
        "post-update",
        "reference-transaction",
        "proc-receive",
        "push-to-checkout",
        "pre-auto-gc",
    ] {
        write_program(&folder.join(hook), format!("#!/bin/sh\necho {hook} >>'{}'\n", log.display()).as_bytes());
    }
    folder.to_owned()
}

/// A folder as a remote has no other side: git starts `receive-pack` with the configuration of the one who pushes.
#[test]
fn a_folder_as_a_remote_runs_its_own_hooks_and_none_of_the_users() {
    for own_path in [false, true] {
        let remote = Remote::new();
        let (one, other) = (home_of(&remote), home_of(&remote));
        let (users, remotes) = (one.user().join("users.log"), one.user().join("remotes.log"));
        let folder = hooks(&one.user().join("the user's hooks"), &users);
        for home in [&one, &other] {
            let text = format!("[core]\n\thooksPath = {}\n", folder.display());
            std::fs::write(home.user().join(".gitconfig"), text).expect("it can be written");
        }
        let its = if own_path { remote.path().join("other hooks") } else { remote.path().join("hooks") };
        let _ = hooks(&its, &remotes);
        if own_path {
            let _ = remote.git(["config", "core.hooksPath", its.to_str().expect("text")]).ok();
        }
        let receipts = [one.record("failure", "one"), other.record("failure", "other")];
        let _ = one.cmd(["drain", "--close"]).ok();
        for home in [&other, &one, &other] {
            sync(home);
        }
        assert!(!users.exists(), "{:?}", std::fs::read_to_string(&users));
        let ran = std::fs::read_to_string(&remotes).expect("the remote's own ran");
        assert!(ran.contains("pre-receive") && ran.contains("post-receive"), "{ran}");
        remote.assert_has(&pages(&receipts));
    }
}

/// The lane's commits have the signature of the user's key, and without that nothing is pushed.
#[test]
fn a_lane_is_signed_with_the_users_key_or_not_pushed() {
    let remote = Remote::new();
    let (one, other) = (home_of(&remote), home_of(&remote));
    let key = one.user().join("key");
    let made = Cmd::new("ssh-keygen", one.user()).args(["-q", "-t", "ed25519", "-N", "", "-f"]).args([&key]);
    if made.into_command().status().is_err() {
        return;
    }
    let signers = remote.path().with_extension("signers");
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("it was made");
    std::fs::write(&signers, format!("indelible@localhost {public}")).expect("it can be written");
    let with_key = |key: &Path| {
        let text = format!("[gpg]\n\tformat = ssh\n[user]\n\tsigningKey = {}\n", key.display());
        std::fs::write(one.user().join(".gitconfig"), text).expect("it can be written");
    };
    let _ = one.cmd(["config", "set", "sync.sign", "true"]).ok();
    let mut receipts = vec![one.record("failure", "first")];
    with_key(&one.user().join("no-such-key"));
    let refused = one.cmd(["drain", "--json"]).run().exits(77).json();
    let why = refused["error"].as_str().expect("it says why");
    assert!(refused["class"] == "person" && why.contains("sync.sign") && why.contains("no-such-key"), "{refused}");
    assert_eq!(remote.lanes(), Vec::<String>::new());
    with_key(&key);
    let _ = one.cmd(["drain"]).env("INDELIBLE_CRASH_AT", Point::SyncBeforeTip.name()).run().aborted();
    let _ = one.cmd(["drain"]).ok();
    receipts.push(one.record("success", "second"));
    let _ = one.cmd(["drain", "--close"]).ok();
    let lane = remote.lanes().remove(0);
    let commits = remote.git(["rev-list", &lane]).ok().stdout;
    assert!(commits.lines().count() >= 2, "{commits}");
    let setting = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    for commit in commits.lines() {
        let _ = remote.git(["-c", "gpg.format=ssh", "-c", &setting, "verify-commit", commit]).ok();
    }
    // One kind of key makes one signature of the same bytes.
    let all = Cmd::new("git", one.user()).args(["--git-dir"]).args([one.private().join("sync.git")]);
    let all = all.args(["cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]).ok().stdout;
    let made = all.lines().filter(|line| *line == "commit").count();
    assert!(made <= 2 * commits.lines().count(), "each with and without its signature: {made}");
    sync(&other);
    sync(&one);
    remote.assert_has(&pages(&receipts));
    assert_same(&[&one, &other]);
}
