//! A home in a user's repository: where its private folder lies, and what its branch is to the user.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::{Cmd, Receipt, TestHome, Worker, assert_exactly_once, repository, theirs};

/// A home in a user's repository, with committed and pending records.
fn guest() -> (TestHome, Vec<Receipt>) {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let mut receipts = home.record_each("committed");
    home.flush();
    receipts.extend(home.record_each("pending"));
    (home, receipts)
}

/// Puts the private folder where it lay before it lay in the git folder, with the line that hid it.
fn as_of_an_earlier_version(home: &TestHome) {
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
fn a_private_folder_of_an_earlier_version_moves_with_all_that_is_in_it() {
    let (home, mut receipts) = guest();
    as_of_an_earlier_version(&home);
    // Until it is moved, it is used where it is.
    receipts.extend(home.record_each("before the move"));
    let _ = home.cmd(["status"]).ok();
    assert!(home.path().join(".indelible").is_dir());
    let _ = home.cmd(["init"]).ok();
    assert_moved(&home);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);

    as_of_an_earlier_version(&home);
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
            as_of_an_earlier_version(&home);
            let _ = home.cmd([command]).env("INDELIBLE_CRASH_AT", point).run().aborted();
            receipts.extend(home.record_each("after the crash"));
            let _ = home.cmd(["init"]).ok();
            assert_moved(&home);
            home.recover_fully();
            assert_exactly_once(&home, &receipts);
        }
    }
}

/// It is not moved while a worker of an earlier version runs.
#[test]
fn a_private_folder_that_a_worker_works_in_stays() {
    let (home, mut receipts) = guest();
    as_of_an_earlier_version(&home);
    // A current worker moves it when it starts. An earlier one shows only by its lock.
    let worker = std::fs::File::open(home.path().join(".indelible/worker.lock")).expect("it is there");
    worker.lock().expect("the lock is free");
    let _ = home.cmd(["init"]).ok();
    assert!(home.path().join(".indelible/home.json").is_file(), "it was moved under a worker");
    receipts.extend(home.record_each("meanwhile"));
    // Not by closing it alone: a process that another test is starting may have it for a moment.
    worker.unlock().expect("it is locked");
    let _ = home.cmd(["init"]).ok();
    assert_moved(&home);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// However often it moves, every recorder finds it, and what was acknowledged is kept.
#[test]
fn recorders_never_miss_a_folder_that_moves() {
    let (home, mut receipts) = guest();
    as_of_an_earlier_version(&home);
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
            as_of_an_earlier_version(&home);
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
    assert_ne!(clone.id(), other.id(), "the identity is the one that was cloned");
    let receipts = clone.record_each("mine");
    clone.recover_fully();
    assert_exactly_once(&clone, &receipts);
    assert_eq!(clone.git(["status", "--porcelain"]).ok().stdout, "", "what they track has changed");

    let (home, receipts) = guest();
    let before = home.id();
    let _ =
        theirs(&home, ["pull", "-q", "--no-rebase", "--allow-unrelated-histories", "-X", "theirs", from, "trunk"]).ok();
    assert!(home.path().join(".indelible/config.toml").is_file(), "nothing was pulled");
    assert_eq!(home.id(), before);
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

/// The commit at `name`; empty if the name is missing.
fn at(home: &TestHome, name: &str) -> String {
    home.git(["rev-parse", "-q", "--verify", name]).run().stdout.trim().to_owned()
}

/// The reference that has the history of `home`.
fn own(home: &TestHome) -> String {
    format!("refs/indelible/{}", home.id())
}

fn has(home: &TestHome, tree: &str, receipt: &Receipt) -> bool {
    home.git(["cat-file", "-e", &format!("{tree}:{}", receipt.page())]).run().code() == Some(0)
}

#[track_caller]
fn assert_agrees(home: &TestHome, receipts: &[Receipt]) {
    home.recover_fully();
    for receipt in receipts {
        assert!(has(home, &own(home), receipt), "{} is not in the history", receipt.path);
    }
}

#[test]
fn a_branch_that_is_checked_out_is_not_moved() {
    let (home, mut receipts) = guest();
    home.flush();
    let before = at(&home, "refs/heads/indelible");
    assert_eq!(before, at(&home, &own(&home)));
    let _ = theirs(&home, ["checkout", "-q", "-f", "indelible"]).ok();
    receipts.extend(home.record_each("meanwhile"));
    home.flush();
    assert_eq!(at(&home, "refs/heads/indelible"), before, "it was moved while it was checked out");
    assert_agrees(&home, &receipts);
    std::fs::write(home.join("theirs.txt"), "on the branch").expect("it can be written");
    let _ = theirs(&home, ["commit", "-q", "-a", "-m", "x"]).ok();
    assert_agrees(&home, &receipts);
    receipts.extend(home.record_each("after their commit"));
    home.flush();
    assert_agrees(&home, &receipts);
    let kept = home.git(["show", &format!("{}:theirs.txt", own(&home))]).ok();
    assert_eq!(kept.stdout, "on the branch", "their commit was not taken in");
    let status = home.cmd(["status"]).ok();
    assert!(status.stdout.contains("checked out"), "{status}");
    // Once it is let go of, it moves on, forward.
    let _ = theirs(&home, ["checkout", "-q", "-f", "trunk"]).ok();
    receipts.extend(home.record_each("at last"));
    home.flush();
    assert_eq!(at(&home, "refs/heads/indelible"), at(&home, &own(&home)));
    let _ = home.git(["merge-base", "--is-ancestor", &before, "indelible"]).ok();
    assert_agrees(&home, &receipts);
}

/// One that is checked out in the moment in which it moves is put back.
#[test]
fn a_branch_that_is_checked_out_while_it_moves_is_put_back() {
    let (home, mut receipts) = guest();
    home.flush();
    let before = at(&home, "refs/heads/indelible");
    receipts.extend(home.record_each("meanwhile"));
    let mut running = home.cmd(["flush"]).env("INDELIBLE_STOP_AT", "PointerAfterMove").spawn();
    assert!(running.stops(), "it did not get there");
    assert_ne!(at(&home, "refs/heads/indelible"), before);
    let _ = home.git(["symbolic-ref", "HEAD", "refs/heads/indelible"]).ok();
    running.signal(Signal::CONT);
    assert_eq!(running.wait().code(), Some(0));
    assert_eq!(at(&home, "refs/heads/indelible"), before, "it was moved while it was checked out");
    assert_agrees(&home, &receipts);
    let _ = home.git(["symbolic-ref", "HEAD", "refs/heads/trunk"]).ok();
    receipts.extend(home.record_each("at last"));
    home.flush();
    assert_eq!(at(&home, "refs/heads/indelible"), at(&home, &own(&home)));
}

/// In whatever way a work tree has the branch in use.
#[test]
fn a_branch_that_is_in_use_anywhere_is_not_moved() {
    let use_it: [&[&str]; 4] = [
        &["worktree", "add", "-q", "-f", "../beside", "indelible"],
        &["bisect", "start", "indelible", "indelible~1"],
        &["rebase", "-q", "-i", "trunk~1", "indelible"],
        &["symbolic-ref", "refs/heads/alias", "refs/heads/indelible"],
    ];
    for command in use_it {
        let (home, mut receipts) = guest();
        home.flush();
        let _ = theirs(&home, ["checkout", "-q", "-f", "indelible"]).ok();
        if command[0] != "rebase" {
            let _ = theirs(&home, ["checkout", "-q", "-f", if command[0] == "bisect" { "indelible" } else { "trunk" }])
                .ok();
        }
        let _ = theirs(&home, command.iter().copied()).env("GIT_SEQUENCE_EDITOR", "sed -i s/^pick/edit/").run();
        if command[0] == "symbolic-ref" {
            let _ = theirs(&home, ["checkout", "-q", "-f", "alias"]).ok();
        }
        let before = at(&home, "refs/heads/indelible");
        receipts.extend(home.record_each("meanwhile"));
        home.flush();
        assert_eq!(at(&home, "refs/heads/indelible"), before, "{command:?}: it was moved");
        for receipt in &receipts {
            assert!(has(&home, &own(&home), receipt), "{command:?}: {} waits", receipt.path);
        }
        home.recover_fully();
    }
}

/// Names that are taken, before `init` or between that and the first commit.
#[test]
fn a_branch_of_theirs_is_never_taken() {
    let take: [&[&str]; 4] = [
        &["branch", "indelible"],
        &["branch", "indelible/x"],
        &["checkout", "-q", "--orphan", "indelible"],
        &["symbolic-ref", "refs/heads/indelible", "refs/heads/trunk"],
    ];
    for command in take {
        for before in [true, false] {
            let home = repository();
            if !before {
                let _ = home.cmd(["init"]).ok();
            }
            let _ = theirs(&home, command.iter().copied()).ok();
            let (heads, head) = (home.git(["for-each-ref", "refs/heads"]).ok(), at(&home, "HEAD"));
            if before {
                let made = home.cmd(["init"]).ok();
                assert!(made.stdout.contains("indelible-2") && made.stdout.contains("taken"), "{command:?}: {made}");
            }
            let receipts = home.record_each("mine");
            home.flush();
            assert_agrees(&home, &receipts);
            let now = home.git(["for-each-ref", "refs/heads"]).ok().stdout;
            let others: Vec<_> = now.lines().filter(|line| !line.ends_with("refs/heads/indelible-2")).collect();
            assert_eq!(others, heads.stdout.lines().collect::<Vec<_>>(), "{command:?}: a branch of theirs has moved");
            assert_eq!(at(&home, "HEAD"), head);
            assert_eq!(at(&home, "refs/heads/indelible-2"), at(&home, &own(&home)), "{command:?}");
            let status = home.cmd(["status", "--check"]).ok();
            assert!(status.stdout.contains("indelible-2 at"), "{status}");
        }
    }
}

#[test]
fn a_branch_that_was_removed_renamed_or_moved_back_stays_so() {
    let change: [&[&str]; 4] = [
        &["branch", "-q", "-D", "indelible"],
        &["branch", "-q", "-m", "indelible", "mine"],
        &["branch", "-q", "-f", "indelible", "indelible~1"],
        &["branch", "-q", "-f", "indelible", "trunk"],
    ];
    for command in change {
        let (home, mut receipts) = guest();
        home.flush();
        let _ = theirs(&home, command.iter().copied()).ok();
        let heads = home.git(["for-each-ref", "refs/heads"]).ok().stdout;
        receipts.extend(home.record_each("afterwards"));
        home.flush();
        assert_agrees(&home, &receipts);
        assert_eq!(home.git(["for-each-ref", "refs/heads"]).ok().stdout, heads, "{command:?}");
        let status = home.cmd(["status"]).ok();
        let again = status.stdout.split("to have it again: git ").nth(1).expect("status says how to have it again");
        let again: Vec<&str> = again.lines().next().expect("a command").split(' ').collect();
        let _ = theirs(&home, again).ok();
        receipts.extend(home.record_each("again"));
        home.flush();
        assert_eq!(at(&home, "refs/heads/indelible"), at(&home, &own(&home)), "{command:?}: it does not move on");
        assert_agrees(&home, &receipts);
    }
}

/// What they change on the branch wins, by path, and what came here meanwhile stays.
#[test]
fn commits_of_theirs_on_the_branch_are_taken_in() {
    for point in [None, Some("TakeInBefore"), Some("PointerBeforeMove"), Some("PointerAfterMove")] {
        let (home, mut receipts) = guest();
        home.flush();
        let removed = receipts.remove(0);
        let _ = theirs(&home, ["worktree", "add", "-q", "../tree", "indelible"]).ok();
        let tree = home.user().join("tree");
        std::fs::write(tree.join("memory/note.md"), "theirs").expect("it can be written");
        receipts.extend(home.record_each("meanwhile"));
        home.flush();
        let inside = |args: &[&str]| theirs(&home, args.iter().copied()).folder(&tree).ok();
        let _ = inside(&["rm", "-q", &removed.page()]);
        let _ = inside(&["add", "-f", "memory/note.md"]);
        let _ = inside(&["commit", "-q", "-m", "theirs"]);
        let _ = inside(&["checkout", "-q", "--detach"]);
        std::fs::remove_file(home.join(&removed.path)).expect("it is there");
        receipts.extend(home.record_each("afterwards"));
        if let Some(point) = point {
            let _ = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        }
        home.flush();
        for receipt in &receipts {
            assert!(has(&home, "indelible", receipt), "{} is gone from the branch", receipt.path);
        }
        assert!(!has(&home, "indelible", &removed), "what they removed is back");
        assert_eq!(home.git(["show", "indelible:memory/note.md"]).ok().stdout, "theirs");
        assert_eq!(at(&home, "refs/heads/indelible"), at(&home, &own(&home)));
        assert_agrees(&home, &receipts);
        assert!(!home.join(&removed.path).exists(), "what they removed is back");
    }
}

#[test]
fn without_a_branch_the_history_is_the_same() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let _ = home.cmd(["config", "set", "history.pointer", "false"]).ok();
    let receipts = home.record_each("mine");
    home.flush();
    assert_eq!(at(&home, "refs/heads/indelible"), "");
    assert_agrees(&home, &receipts);
    let _ = home.cmd(["config", "set", "history.pointer", "true"]).ok();
    let _ = home.record("failure", "later");
    home.flush();
    assert_eq!(at(&home, "refs/heads/indelible"), at(&home, &own(&home)));
}

/// A home whose history is a branch, as it was before it had a reference of its own, goes on without a record lost or
/// committed again.
#[test]
fn a_history_of_an_earlier_version_gets_its_own_reference() {
    for packed in [false, true] {
        let (home, mut receipts) = guest();
        home.flush();
        let (own, tip) = (own(&home), at(&home, "indelible"));
        let _ = home.git(["update-ref", "-d", &own]).ok();
        std::fs::remove_file(home.join(".indelible/pointer.json")).expect("it is there");
        as_of_an_earlier_version(&home);
        if packed {
            let _ = home.git(["pack-refs", "--all"]).ok();
        }
        let _ = home.verify().exits(0);
        assert_eq!(at(&home, &own), "", "looking has changed something");
        receipts.extend(home.record_each("afterwards"));
        home.flush();
        assert_exactly_once(&home, &receipts);
        assert_eq!(at(&home, "indelible"), at(&home, &own));
        let _ = home.git(["merge-base", "--is-ancestor", &tip, &own]).ok();
        assert_agrees(&home, &receipts);
    }
}

/// Two homes that shared a branch before: neither keeps the other's records.
#[test]
fn a_branch_that_two_homes_shared_is_divided() {
    let main = repository();
    let _ = theirs(&main, ["worktree", "add", "-q", "-b", "one", "../one"]).ok();
    let one = TestHome::at(main.path().with_file_name("one"));
    let mut receipts = Vec::new();
    for home in [&main, &one] {
        let _ = home.cmd(["init"]).ok();
        receipts.push(home.record_each("mine"));
        home.flush();
    }
    // The second one's commit on top of the first one's, as both made them on one branch.
    let (first, second) = (own(&main), own(&one));
    let _ = theirs(&main, ["checkout", "-q", "-f", "--detach", &first]).ok();
    let _ = theirs(&main, ["cherry-pick", "-X", "theirs", &second]).run();
    let _ = theirs(&main, ["checkout", "-q", "--theirs", "."]).run();
    let _ = theirs(&main, ["add", "-f", "memory/heuristics"]).ok();
    let _ = theirs(&main, ["-c", "core.editor=true", "cherry-pick", "--continue"]).run();
    let shared = at(&main, "HEAD");
    assert!(has(&main, "HEAD", &receipts[0][0]) && has(&main, "HEAD", &receipts[1][0]), "it is not as it was before");
    let _ = theirs(&main, ["checkout", "-q", "-f", "trunk"]).ok();
    for name in ["refs/heads/indelible-2", &first, &second] {
        let _ = main.git(["update-ref", "-d", name]).ok();
    }
    let _ = main.git(["update-ref", "refs/heads/indelible", &shared]).ok();
    for home in [&main, &one] {
        std::fs::remove_file(home.join(".indelible/pointer.json")).expect("it is there");
    }
    for (home, (mine, others)) in [&main, &one].iter().zip([(0, 1), (1, 0)]) {
        let _ = home.cmd(["recover"]).ok();
        assert_agrees(home, &receipts[mine]);
        for receipt in &receipts[others] {
            assert!(!home.path().join(&receipt.path).exists(), "{} was brought here", receipt.path);
            assert!(!has(home, &own(home), receipt), "{} is in another's history", receipt.path);
        }
    }
    assert_eq!(at(&main, "refs/heads/indelible"), shared, "the shared branch belongs to neither home, and was moved");
}

/// Two homes in one repository differ by their ids: neither counts, checks or brings back what is the other's.
#[test]
fn two_homes_in_one_repository_keep_apart() {
    let main = repository();
    let _ = theirs(&main, ["worktree", "add", "-q", "-b", "one", "../one"]).ok();
    let _ = theirs(&main, ["worktree", "add", "-q", "-b", "two", "../two"]).ok();
    let other = |name: &str| TestHome::at(main.path().with_file_name(name));
    let homes = [main.path().to_owned()].map(TestHome::at).into_iter().chain([other("one"), other("two")]);
    let homes: Vec<TestHome> = homes.collect();
    let mut receipts = Vec::new();
    for home in &homes {
        let _ = home.cmd(["init"]).ok();
        receipts.push(home.record_each("mine"));
    }
    for round in 0..2 {
        for (home, receipts) in homes.iter().zip(&mut receipts) {
            home.flush();
            receipts.extend(home.record_each(&format!("round {round}")));
        }
    }
    for (home, receipts) in homes.iter().zip(&receipts) {
        home.recover_fully();
        let said = home.verify().exits(0);
        assert!(said.stdout.contains(&format!("{} records", receipts.len())), "it counts another's records: {said}");
        let tree = home.git(["ls-tree", "-r", "--name-only", &own(home), "memory/failures"]).ok().stdout;
        assert_eq!(tree.lines().count(), 3, "it has another's records: {tree}");
        let page = home.git(["show", &format!("{}:memory/heuristics/rules-of-thumb/README.md", own(home))]).ok().stdout;
        let rules = page.matches("mine heuristic").count();
        assert_eq!(rules, 1, "a page has another's rules: {page}");
    }
}

/// The modes of everything in the git folder but for the private folder, by path.
fn modes(home: &TestHome) -> Vec<(String, u32, bool)> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = home.path().join(".git");
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it can be read") {
            let path = entry.expect("it can be listed").path();
            let shown = path.strip_prefix(&root).expect("it is in it").display().to_string();
            if shown.starts_with("indelible") || shown.ends_with(".sample") || shown == "COMMIT_EDITMSG" {
                continue;
            }
            let metadata = std::fs::symlink_metadata(&path).expect("it is there");
            found.push((shown, metadata.permissions().mode() & 0o7777, metadata.is_dir()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// What is written into their repository has the modes that git would give it: by the umask, and by its settings.
#[test]
fn what_is_written_into_their_repository_has_the_modes_of_git() {
    for (umask, shared, file, folder) in [
        ("022", "false", 0o444, 0o755),
        ("077", "false", 0o400, 0o700),
        ("077", "group", 0o440, 0o2770),
        ("022", "0640", 0o440, 0o2750),
    ] {
        let home = TestHome::absent();
        let shell = format!("umask {umask}; exec \"$@\"");
        let with = |command: &[&str]| {
            Cmd::new("sh", home.user()).env("GIT_CONFIG_NOSYSTEM", "1").args(["-c", &shell, "sh"]).args(command)
        };
        let path = home.path().to_str().expect("UTF-8");
        let _ = with(&["git", "init", "-q", "-b", "trunk", &format!("--shared={shared}"), path]).ok();
        let who = ["-c", "user.name=o", "-c", "user.email=o@x"];
        let _ = with(&[&["git"], &who[..], &["-C", path, "commit", "-q", "--allow-empty", "-m", "x"]].concat()).ok();
        let product = |args: &[&str]| home.under(&["sh", "-c", &shell, "sh"], args).ok();
        let _ = product(&["init"]);
        for round in 0..4 {
            let _ = product(&["record", "failure", "--title", "t", "--domain", "d"]);
            let _ = product(&["flush", "--set", "history.packs_max=3"]);
            if round == 2 {
                // Something to take in, by path.
                let tree = home.user().join("tree");
                let tree = tree.to_str().expect("UTF-8");
                let _ = with(&["git", "-C", path, "worktree", "add", "-q", tree, "indelible"]).ok();
                let _ = product(&["record", "failure", "--title", "between", "--domain", "d"]);
                let _ = product(&["flush"]);
                let commit = ["-C", tree, "commit", "-q", "--allow-empty", "-m", "theirs"];
                let _ = with(&[&["git"], &who[..], &commit[..]].concat()).ok();
                let _ = with(&["git", "-C", tree, "checkout", "-q", "--detach"]).ok();
                let _ = with(&["git", "-C", path, "worktree", "remove", "-f", tree]).ok();
            }
        }
        let lacking: Vec<_> = modes(&home)
            .into_iter()
            .filter(|(path, mode, is_folder)| match (*is_folder, path.ends_with(".keep")) {
                (_, true) => false,
                (true, _) => mode & folder != folder,
                (false, _) => mode & file != file,
            })
            .collect();
        assert!(lacking.is_empty(), "umask {umask}, shared {shared}: {lacking:?} (modes in decimal)");
        let more = if umask == "077" && shared == "false" { 0o077 } else { 0o002 };
        let open: Vec<_> = modes(&home).into_iter().filter(|(_, mode, _)| mode & more != 0).collect();
        assert!(open.is_empty(), "umask {umask}, shared {shared}: {open:?} (modes in decimal)");
    }
}

/// Another user clones, fetches and looks at a repository with a home in it.
#[test]
fn another_user_can_clone_and_fetch() {
    if !rustix::process::geteuid().is_root() || !crate::support::has("setpriv", "another user") {
        crate::support::skipped("only root can be two users");
        return;
    }
    let home = TestHome::absent();
    std::os::unix::fs::chown(home.user(), Some(1000), Some(1000)).expect("it is ours");
    std::fs::set_permissions(home.user(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let other = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::chown(other.path(), Some(1001), Some(1001)).expect("it is ours");
    let as_user = |user: &'static str| ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
    let path = home.path().to_str().expect("UTF-8").to_owned();
    let owner = |command: &[&str]| Cmd::new("setpriv", home.user()).args(&as_user("1000")[1..]).args(command).ok();
    let product = |args: &[&str]| home.under(&as_user("1000"), args).ok();
    let _ = owner(&["git", "init", "-q", "-b", "trunk", &path]);
    let who = ["git", "-c", "user.name=o", "-c", "user.email=o@x", "-C", &path];
    let _ = owner(&[&who[..], &["commit", "-q", "--allow-empty", "-m", "x"]].concat());
    let _ = product(&["init"]);
    let _ = product(&["record", "failure", "--title", "t", "--domain", "d"]);
    let _ = product(&["flush"]);
    let clone = other.path().join("clone").to_str().expect("UTF-8").to_owned();
    let git = |args: &[&str]| {
        Cmd::new("setpriv", other.path())
            .args(&as_user("1001")[1..])
            .args(["git", "-c", &format!("safe.directory={path}")])
            .args(args)
    };
    let _ = git(&["clone", "-q", "-u", "git -c safe.directory=* upload-pack", &format!("file://{path}"), &clone]).ok();
    let _ = git(&["-C", &clone, "cat-file", "-e", "origin/indelible:memory/failures"]).ok();
    for args in [&["log", "--all", "-p"][..], &["fsck"], &["for-each-ref"], &["count-objects", "-v"]] {
        let inside =
            Cmd::new("setpriv", other.path()).args(&as_user("1001")[1..]).args(["git", "-C", &path]).args(args);
        let _ = inside
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .ok();
    }
    let listed = Cmd::new("setpriv", other.path())
        .args(&as_user("1001")[1..])
        .args(["ls", &format!("{path}/.git/indelible")])
        .run();
    assert_ne!(listed.code(), Some(0), "the private folder is open to others: {listed}");
}

/// Two users share a repository, each with a work tree and a home in it: each commits, and neither takes the other's id.
#[test]
fn two_users_of_one_repository() {
    if !rustix::process::geteuid().is_root() || !crate::support::has("setpriv", "another user") {
        crate::support::skipped("only root can be two users");
        return;
    }
    let as_user = |user: &'static str| ["setpriv", "--reuid", user, "--regid", user, "--groups", "7777"];
    let main = TestHome::absent();
    std::os::unix::fs::chown(main.user(), Some(1000), Some(7777)).expect("it is ours");
    std::fs::set_permissions(main.user(), std::os::unix::fs::PermissionsExt::from_mode(0o2775)).expect("it is ours");
    let git = |user: &'static str, args: &[&str]| {
        let settings = ["safe.directory=*", "user.name=u", "user.email=u@x"].map(|it| ["-c", it]);
        Cmd::new("setpriv", main.user())
            .folder(main.user())
            .args(&as_user(user)[1..])
            .args([&["git"], settings.as_flattened(), args].concat())
            .ok()
    };
    let path = main.path().to_str().expect("UTF-8");
    let _ = git("1000", &["init", "-q", "--shared=group", path]);
    let _ = git("1000", &["-C", path, "commit", "-q", "--allow-empty", "-m", "x"]);
    let homes = ["1000", "1001"].map(|user| {
        let tree = main.user().join(user);
        let _ = git(user, &["-C", path, "worktree", "add", "-q", tree.to_str().expect("UTF-8")]);
        (user, TestHome::at(tree))
    });
    for (user, home) in &homes {
        std::os::unix::fs::chown(home.user(), Some(user.parse().expect("a number")), None).expect("it is ours");
        let _ = home.under(&as_user(user), &["init"]).ok();
    }
    for round in 0..2 {
        for (user, home) in &homes {
            let title = format!("{user} {round}");
            let _ = home.under(&as_user(user), &["record", "failure", "--title", &title, "--domain", "d"]).ok();
            let _ = home.under(&as_user(user), &["flush"]).ok();
        }
    }
    let third = ("1000", TestHome::at(main.path().to_owned()));
    std::os::unix::fs::chown(third.1.user(), Some(1000), None).expect("it is ours");
    let _ = third.1.under(&as_user("1000"), &["init"]).ok();
    let said = third.1.under(&as_user("1000"), &["verify"]).ok();
    assert!(said.stdout.contains("0 records"), "it counts another user's records: {said}");
    let said = homes[1].1.under(&as_user("1001"), &["verify"]).ok();
    assert!(said.stdout.contains("2 records") && said.stdout.contains("0 pending"), "{said}");
}

/// A home in a folder of a user's repository: each git command prints what it prints without the home.
#[test]
fn a_home_inside_a_repository_changes_no_command_of_it() {
    let commands: [&[&str]; 14] = [
        &["status", "--porcelain", "-uall"],
        &["add", "-A", "-n"],
        &["diff", "--stat"],
        &["add", "-A"],
        &["diff", "--cached", "--stat"],
        &["commit", "-q", "-a", "-m", "one"],
        &["stash", "-q", "-u"],
        &["clean", "-n", "-x", "-f", "-d"],
        &["ls-files", "-o", "--exclude-standard"],
        &["submodule", "status"],
        &["gc", "-q"],
        &["worktree", "add", "-q", "--detach", "../beside"],
        &["checkout", "-q", "HEAD~1"],
        &["fsck"],
    ];
    let run = |home: &TestHome, at: Option<&str>, before: bool| {
        if let Some(at) = at {
            let inner = TestHome::at(home.join(at));
            let _ = inner.cmd(["init"]).ok();
            if !before {
                let _ = inner.record_each("mine");
                inner.flush();
            }
        }
        std::fs::write(home.join("theirs.txt"), "changed").expect("it can be written");
        std::fs::write(home.join("new.txt"), "new").expect("it can be written");
        let said = commands.map(|command| {
            let said = theirs(home, command.iter().copied()).run();
            // Of a repository in a folder that has nothing else, it says that it would not remove it.
            let stdout = said.stdout.lines().filter(|line| !line.starts_with("Would skip repository "));
            format!("{command:?} {:?} {:?} {}", said.code(), stdout.collect::<Vec<_>>(), said.stderr)
        });
        if let Some(at) = at {
            let _ = TestHome::at(home.join(at)).verify().exits(0);
        }
        said
    };
    let none = run(&repository(), None, true);
    for at in ["knowledge", "a/b [c]/know*ledge"] {
        for before in [true, false] {
            assert_eq!(run(&repository(), Some(at), before), none, "{at}, before the first record: {before}");
        }
    }
    // One that was there before the repository is taken out of it when its worker starts.
    let home = TestHome::absent();
    let inner = TestHome::at(home.join("knowledge"));
    let _ = inner.cmd(["init"]).ok();
    let _ = home.git(["init", "-q"]).ok();
    let worker = Worker::quick(&inner);
    let _ = inner.record("failure", "t");
    worker.wait_until_committed(&inner);
    assert_eq!(home.git(["status", "--porcelain"]).ok().stdout, "");
}

/// What is done to a repository before.
type Arrange<'a> = &'a dyn Fn(&TestHome);

/// A home that would break the commands of the repository around it is refused, and nothing changes.
#[test]
fn a_home_that_would_break_the_repository_around_it_is_refused() {
    let arrange: [(&str, Arrange<'_>); 3] = [
        ("tracks files", &|home| {
            std::fs::create_dir(home.join("knowledge")).expect("made");
            std::fs::write(home.join("knowledge/notes.md"), "theirs").expect("written");
            let _ = theirs(home, ["add", "knowledge"]).ok();
        }),
        (".gitignore", &|home| std::fs::write(home.join(".gitignore"), "!/knowledge/\n").expect("written")),
        ("tracks files", &|home| {
            let _ = theirs(home, ["worktree", "add", "-q", "-b", "side", "../side"]).ok();
            let side = home.user().join("side");
            std::fs::create_dir(side.join("knowledge")).expect("made");
            std::fs::write(side.join("knowledge/notes.md"), "theirs").expect("written");
            let _ = theirs(home, ["add", "knowledge"]).folder(&side).ok();
        }),
    ];
    for (why, arrange) in arrange {
        let home = repository();
        arrange(&home);
        let exclude = std::fs::read(home.join(".git/info/exclude")).ok();
        let inner = TestHome::at(home.join("knowledge"));
        let refused = inner.cmd(["init"]).run().exits(77);
        assert!(refused.stderr.contains(why), "{refused}");
        assert_eq!(std::fs::read(home.join(".git/info/exclude")).ok(), exclude, "{why}");
        assert!(!inner.path().join(".git").exists() && !inner.path().join(".indelible").exists(), "{why}");
    }
}

/// A repository that was made around a home, and took it in, gets the commands to let go of it, and does not take it in again.
#[test]
fn a_repository_that_took_a_home_in_lets_go_of_it() {
    let home = TestHome::named("around/knowledge");
    let _ = home.record_each("mine");
    home.flush();
    let around = home.path().parent().expect("it is in a folder").to_owned();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=o", "-c", "user.email=o@x"];
        Cmd::new("git", home.user()).folder(&around).args([&who[..], args].concat())
    };
    let _ = git(&["init", "-q"]).ok();
    let _ = git(&["add", "-A"]).ok();
    let advice = |said: &crate::support::Outcome| {
        let command = said.stdout.split("to mend that: ").nth(1).expect("it is told").lines().next();
        command.expect("a line").to_owned()
    };
    let status = home.cmd(["status"]).ok();
    let said = home.cmd(["init"]).ok();
    assert_eq!(advice(&status), advice(&said));
    let _ = Cmd::new("sh", home.user()).args(["-c", advice(&said).as_str()]).ok();
    for command in [&["add", "-A"][..], &["status", "--porcelain"]] {
        assert_eq!(git(command).ok().stdout, "");
    }
    assert!(!home.cmd(["status"]).ok().stdout.contains("to mend that"));
    let _ = home.verify().exits(0);
}

/// Of the repository that is the user's own folder, only the home's is left out.
#[test]
fn the_default_home_in_a_repository_of_the_users_folder() {
    let home = TestHome::absent();
    let user = |args: &[&str]| Cmd::new("git", home.user()).folder(home.user()).args(args).ok();
    let _ = user(&["init", "-q"]);
    std::fs::write(home.user().join(".profile"), "theirs").expect("it can be written");
    let _ = user(&["add", ".profile"]);
    let _ = home.homeless(["init"]).ok();
    let _ = home.homeless(["record", "failure", "--title", "t", "--domain", "d"]).ok();
    let _ = home.homeless(["flush"]).ok();
    let said = user(&["status", "--porcelain", "-uall"]).stdout;
    assert_eq!(said, "A  .profile\n");
    let list = std::fs::read_to_string(home.user().join(".git/info/exclude")).expect("it is there");
    assert!(list.lines().filter(|line| line.starts_with('/')).all(|line| line.ends_with("/indelible/")), "{list}");
}

/// A copy of our own repository that git made, put in its place, goes on as the history that it is.
#[test]
fn a_clone_of_our_repository_in_its_place_is_taken_on() {
    for kind in ["--mirror", "--bare", "--no-checkout"] {
        let home = TestHome::new();
        let mut receipts = home.record_each("before");
        home.flush();
        let copy = home.user().join("copy");
        let (from, to) = (home.path().to_str().expect("UTF-8"), copy.to_str().expect("UTF-8"));
        let _ = home.git(["clone", "-q", kind, from, to]).ok();
        std::fs::remove_dir_all(home.path().join(".git")).expect("it can be removed");
        let copied = if kind == "--no-checkout" { copy.join(".git") } else { copy };
        std::fs::rename(copied, home.path().join(".git")).expect("it can be moved");
        if kind == "--no-checkout" {
            // With a work tree it is one of theirs, and the home a guest.
            receipts.push(home.record("failure", "before it is one"));
            let _ = home.cmd(["init"]).ok();
            assert!(home.path().join(".git/indelible/home.json").is_file());
        } else {
            let said = home.verify().exits(0);
            assert!(said.stdout.contains("5 records"), "{kind}: {said}");
        }
        receipts.extend(home.record_each("after"));
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
        let said = home.verify().exits(0);
        assert!(said.stdout.contains(&format!("{} records", receipts.len())), "{kind}: {said}");
        if kind != "--no-checkout" {
            let log = home.git(["log", "--format=%s", "main"]).ok().stdout;
            assert_eq!(log.lines().count(), 2, "{kind}: committed again: {log}");
            assert_eq!(home.git(["config", "indelible.owned"]).ok().stdout, "true\n");
        }
    }
}

#[test]
fn a_clone_of_our_repository_alone_becomes_a_home_with_all_its_records() {
    for kind in ["--mirror", "--bare"] {
        let home = TestHome::new();
        let receipts = home.record_each("before");
        home.flush();
        let copy = TestHome::absent();
        std::fs::create_dir(copy.path()).expect("it can be made");
        let (from, to) = (home.path().to_str().expect("UTF-8"), copy.path().join(".git"));
        let _ = home.git(["clone", "-q", kind, from, to.to_str().expect("UTF-8")]).ok();
        let hint = copy.cmd(["verify"]).run().exits(78);
        assert!(hint.stderr.contains("indelible init"), "{hint}");
        let _ = copy.cmd(["init"]).ok();
        assert!(copy.path().join(".indelible/home.json").is_file(), "{kind}: it passes for a user's repository");
        let _ = copy.recover();
        let _ = assert_exactly_once(&copy, &receipts);
        copy.recover_fully();
        let log = copy.git(["log", "--format=%s", "main"]).ok().stdout;
        assert_eq!(log.lines().count(), 1, "{kind}: committed again: {log}");
    }
}

/// A user's bare repository whose branch main has records among other files is not taken for a home's own.
#[test]
fn a_bare_clone_of_a_users_repository_is_not_taken_for_ours() {
    let source = repository();
    let _ = source.cmd(["init"]).ok();
    let _ = source.record("failure", "theirs");
    source.flush();
    let _ = source.git(["branch", "-f", "main", "indelible"]).run();
    let copy = TestHome::absent();
    std::fs::create_dir(copy.path()).expect("it can be made");
    let (from, to) = (source.path().to_str().expect("UTF-8"), copy.path().join(".git"));
    let _ = source.git(["clone", "-q", "--bare", from, to.to_str().expect("UTF-8")]).ok();
    let before = copy.git(["for-each-ref", "refs/heads/main"]).ok().stdout;
    let _ = copy.cmd(["init"]).run();
    let _ = copy.recorder("failure", "mine").run();
    let _ = copy.cmd(["flush"]).run();
    assert_eq!(copy.git(["for-each-ref", "refs/heads/main"]).ok().stdout, before);
}

/// The layout of a bare repository with its work trees beside it: a work tree there is one like any other.
#[test]
fn a_work_tree_of_a_bare_repository() {
    let source = repository();
    let root = source.user().join("project");
    let (from, to) = (source.path().to_str().expect("UTF-8"), root.join(".git"));
    let _ = source.git(["clone", "-q", "--bare", from, to.to_str().expect("UTF-8")]).ok();
    let _ = source.git_in(&root, ["worktree", "add", "-q", "tree"]).ok();
    let home = TestHome::at(root.join("tree"));
    let _ = home.cmd(["init"]).ok();
    assert!(to.join("worktrees/tree/indelible/home.json").is_file());
    let receipts = home.record_each("mine");
    assert_agrees(&home, &receipts);
    assert_eq!(home.git(["status", "--porcelain"]).ok().stdout, "");
}

/// A new home takes no id that another home of the repository has, wherever that one's private folder lies.
#[test]
fn a_new_home_never_takes_the_id_of_another() {
    type Arrange<'a> = &'a dyn Fn(&TestHome);
    let arrange: [(&str, Arrange<'_>); 4] = [
        ("beside an unmoved private folder", &as_of_an_earlier_version),
        ("after a release", &|home| {
            let _ = home.cmd(["release", "--yes"]).ok();
        }),
        ("after a release without a trace", &|home| {
            let _ = home.cmd(["release", "--yes", "--remove"]).ok();
        }),
        ("beside it", &|_| {}),
    ];
    for (when, arrange) in arrange {
        let main = repository();
        if when.starts_with("after") {
            std::fs::create_dir(main.join("memory")).expect("it can be made");
            let _ = main.cmd(["adopt", "--yes"]).ok();
        } else {
            let _ = main.cmd(["init"]).ok();
        }
        let _ = main.record("failure", "mine");
        main.flush();
        arrange(&main);
        assert_new_id(&main, when);
    }
}

/// A home beside a bare repository, whose `.git` file names that, has an id of its own as well, wherever that repository is.
#[test]
fn a_home_beside_a_bare_repository_keeps_its_id() {
    for named in ["./.bare", "../elsewhere.git"] {
        let source = repository();
        let root = source.user().join("project");
        let (from, to) = (source.path().to_str().expect("UTF-8"), root.join(named));
        std::fs::create_dir(&root).expect("it can be made");
        let _ = source.git(["clone", "-q", "--bare", from, to.to_str().expect("UTF-8")]).ok();
        std::fs::write(root.join(".git"), format!("gitdir: {named}\n")).expect("it can be written");
        let main = TestHome::at(root);
        let _ = main.cmd(["init"]).ok();
        let _ = main.record("failure", "mine");
        main.flush();
        assert_new_id(&main, named);
    }
}

/// A new home in a work tree of the repository of `main` has a history of its own.
fn assert_new_id(main: &TestHome, when: &str) {
    let path = main.path().with_file_name("tree");
    let _ = main.git(["worktree", "add", "-q", "-b", "tree", path.to_str().expect("UTF-8")]).ok();
    let tree = TestHome::at(path);
    let _ = tree.cmd(["init"]).ok();
    let receipt = tree.record("failure", "of the work tree");
    tree.recover_fully();
    let said = tree.verify().exits(0);
    assert!(said.stdout.contains("1 record:"), "{when}: it counts another's records: {said}");
    assert!(!main.path().join(&receipt.path).exists(), "{when}");
    let histories = main.git(["for-each-ref", "--format=%(objectname)", "refs/indelible"]).ok().stdout;
    let histories: std::collections::BTreeSet<&str> = histories.lines().collect();
    assert_eq!(histories.len(), 2, "{when}: both homes have one history");
}

/// A folder that is a repository itself is no place for a home: git would take the home's own for it.
#[test]
fn a_bare_repository_is_no_home() {
    let source = repository();
    let bare = source.user().join("bare.git");
    let (from, to) = (source.path().to_str().expect("UTF-8"), bare.to_str().expect("UTF-8"));
    let _ = source.git(["clone", "-q", "--bare", from, to]).ok();
    for folder in [bare, source.join(".git")] {
        let refused = TestHome::at(folder.clone()).cmd(["init"]).run().exits(77);
        assert!(refused.stderr.contains("choose another folder"), "{refused}");
        assert!(!folder.join(".git").exists() && !folder.join("memory").exists(), "{refused}");
    }
}
