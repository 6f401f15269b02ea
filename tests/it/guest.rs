//! A home in somebody's repository, from where its private folder lies to what its branch is to them.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::{Receipt, TestHome, Worker, assert_exactly_once, repository, theirs};

/// A home in somebody's repository, with records, of which half are pending.
fn guest() -> (TestHome, Vec<Receipt>) {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let mut receipts = home.record_each("committed");
    home.flush();
    receipts.extend(home.record_each("pending"));
    (home, receipts)
}

/// Puts the private folder where it lay before it lay in the git folder, with the line that hid it.
fn as_before(home: &TestHome) {
    let exclude = home.join(".git/info/exclude");
    let list = std::fs::read_to_string(&exclude).expect("it is there");
    std::fs::rename(home.path().join(".git/indelible"), home.path().join(".indelible")).expect("it can be moved");
    std::fs::write(&exclude, format!("{list}/memory/\n/experiments/\n/.indelible/\n")).expect("it can be written");
}

fn assert_moved(home: &TestHome) {
    assert!(!home.path().join(".indelible").exists(), "it is where it was before");
    assert!(home.path().join(".git/indelible/home.json").is_file(), "it is nowhere");
    let list = std::fs::read_to_string(home.join(".git/info/exclude")).expect("it is there");
    assert!(!list.contains("/.indelible/") && !list.contains("/memory/\n"), "{list}");
}

#[test]
fn a_private_folder_of_before_moves_with_all_that_is_in_it() {
    let (home, mut receipts) = guest();
    as_before(&home);
    // Until somebody moves it, it is used where it is.
    receipts.extend(home.record_each("before the move"));
    let _ = home.cmd(["status"]).ok();
    assert!(home.path().join(".indelible").is_dir());
    let _ = home.cmd(["init"]).ok();
    assert_moved(&home);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);

    as_before(&home);
    receipts.extend(home.record_each("before a worker"));
    let worker = Worker::quick(&home);
    worker.wait_until_committed(&home);
    assert_moved(&home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn killed_while_the_private_folder_moves() {
    for point in ["MoveBeforeRename", "MoveAfterRename"] {
        for command in ["init", "worker"] {
            let (home, mut receipts) = guest();
            as_before(&home);
            let _ = home.cmd([command]).env("INDELIBLE_CRASH_AT", point).run().aborted();
            receipts.extend(home.record_each("after the crash"));
            let _ = home.cmd(["init"]).ok();
            assert_moved(&home);
            home.recover_fully();
            assert_exactly_once(&home, &receipts);
        }
    }
}

/// Nobody moves it under a worker of before.
#[test]
fn a_private_folder_that_a_worker_works_in_stays() {
    let (home, mut receipts) = guest();
    let worker = Worker::quick(&home);
    worker.wait_until_committed(&home);
    as_before(&home);
    let _ = home.cmd(["init"]).ok();
    assert!(home.path().join(".indelible/home.json").is_file(), "it was moved under a worker");
    receipts.extend(home.record_each("meanwhile"));
    drop(worker);
    let _ = home.cmd(["init"]).ok();
    assert_moved(&home);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// However often it moves, every recorder finds it, and what was acknowledged is kept.
#[test]
fn recorders_never_miss_a_folder_that_moves() {
    let (home, mut receipts) = guest();
    as_before(&home);
    let mut recorders = Vec::new();
    for round in 0..12 {
        let running = (0..4).map(|number| home.recorder("failure", &format!("{round} {number}")).spawn());
        let running: Vec<_> = running.collect();
        let _ = home.cmd(["init"]).ok();
        recorders.extend(running);
        if round % 3 == 2 {
            for recorder in recorders.drain(..) {
                let outcome = recorder.wait();
                assert_eq!(outcome.code(), Some(0), "a recorder found no home: {outcome}");
                receipts.push(outcome.receipt());
            }
            as_before(&home);
        }
    }
    let _ = home.cmd(["init"]).ok();
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// What a repository contains is never a journal, a setting or an identity: not in a clone, and not when it is pulled
/// over a home that is there.
#[test]
fn a_private_folder_that_a_repository_contains_is_none() {
    let evil = repository();
    let other = TestHome::new();
    let _ = other.record("failure", "planted");
    copy(&other.path().join(".indelible"), &evil.path().join(".indelible"));
    std::fs::write(evil.path().join(".indelible/config.toml"), "[worker]\nautostart = true\n").expect("written");
    let _ = theirs(&evil, ["add", "-A", "-f", "."]).ok();
    let _ = theirs(&evil, ["commit", "-q", "-m", "with a home of theirs"]).ok();

    let clone = TestHome::absent();
    let from = evil.path().to_str().expect("UTF-8");
    let to = clone.path().to_str().expect("UTF-8");
    let _ = evil.git(["clone", "-q", from, to]).ok();
    let none = clone.cmd(["record", "failure", "--title", "t", "--domain", "d"]).run().exits(78);
    assert!(none.stderr.contains("no home"), "{none}");
    let _ = clone.cmd(["init"]).ok();
    assert_ne!(id(&clone), id(&other), "the identity is the one that was cloned");
    let receipts = clone.record_each("mine");
    clone.recover_fully();
    assert_exactly_once(&clone, &receipts);
    assert_eq!(clone.git(["status", "--porcelain"]).ok().stdout, "", "what they track has changed");

    let (home, receipts) = guest();
    let before = id(&home);
    let _ =
        theirs(&home, ["pull", "-q", "--no-rebase", "--allow-unrelated-histories", "-X", "theirs", from, "trunk"]).ok();
    assert!(home.path().join(".indelible/config.toml").is_file(), "nothing was pulled");
    assert_eq!(id(&home), before);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn no_command_of_theirs_takes_the_journal_along() {
    for command in [&["stash", "--all"][..], &["clean", "-q", "-xfdf"], &["checkout", "-q", "-f", "HEAD~1"]] {
        let (home, mut receipts) = guest();
        let _ = home.cmd(["config", "set", "history.author_name", "Mine"]).ok();
        std::fs::write(home.join("theirs.txt"), "changed").expect("it can be written");
        let _ = theirs(&home, command.iter().copied()).ok();
        let set = home.cmd(["config", "get", "history.author_name"]).ok();
        assert_eq!(set.stdout.trim(), "Mine", "{command:?} took the settings along");
        receipts.extend(home.record_each("afterwards"));
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
    }
}

/// In a linked work tree and in a submodule, the git folder is the one that their `.git` file names.
#[test]
fn a_git_file_leads_to_the_private_folder() {
    let main = repository();
    let _ = theirs(&main, ["worktree", "add", "-q", "-b", "beside", "../linked"]).ok();
    let _ = theirs(&main, ["-c", "protocol.file.allow=always", "submodule", "add", "-q", "./", "sub"]).run();
    let linked = TestHome::at(main.path().with_file_name("linked"));
    let mut places = vec![(linked, main.path().join(".git/worktrees/linked/indelible"))];
    if main.path().join("sub/.git").is_file() {
        places.push((TestHome::at(main.path().join("sub")), main.path().join(".git/modules/sub/indelible")));
    }
    for (home, private) in places {
        let _ = home.cmd(["init"]).ok();
        assert!(private.join("home.json").is_file() && !home.path().join(".indelible").exists(), "{private:?}");
        let receipt = home.record("failure", "t");
        let inside = home.join("memory/failures");
        let found = home.homeless(["status", "--json"]).folder(&inside).ok().json();
        assert_eq!(found["home"].as_str(), home.path().to_str(), "it is not found from within");
        home.flush();
        let _ = home.verify().exits(0);
        assert!(private.join("journal/0000000001.log").is_file());
        assert!(home.path().join(&receipt.path).is_file());
        std::fs::rename(&private, home.path().join(".indelible")).expect("it can be moved");
        let exclude =
            main.path().join(".git").join(if private.ends_with("modules/sub/indelible") { "modules/sub" } else { "" });
        let exclude = exclude.join("info/exclude");
        let list = std::fs::read_to_string(&exclude).unwrap_or_default();
        std::fs::write(&exclude, format!("{list}/.indelible/\n")).expect("it can be written");
        let _ = home.record("failure", "before the move");
        let _ = home.cmd(["init"]).ok();
        assert!(private.join("home.json").is_file() && !home.path().join(".indelible").exists(), "it did not move");
        home.flush();
        let _ = home.verify().exits(0);
    }
}

fn id(home: &TestHome) -> String {
    let text = std::fs::read_to_string(home.join(".indelible/home.json")).expect("it is a home");
    serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON")["id"]
        .as_str()
        .expect("it has an id")
        .to_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it can be read") {
        let entry: PathBuf = entry.expect("it can be listed").path();
        let to = to.join(entry.file_name().expect("it has a name"));
        match entry.is_dir() {
            true => copy(&entry, &to),
            false => assert!(std::fs::copy(&entry, &to).is_ok(), "{entry:?} cannot be copied"),
        }
    }
}
