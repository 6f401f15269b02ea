//! A home in a user's repository: in the middle of any git operation, nothing of the user's is touched.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Cmd, Receipt, TestHome, Worker, assert_exactly_once, repository, theirs, write_program};

/// From here on every commit that git itself would make fails.
fn forbid_commits(home: &TestHome) {
    for (name, value) in [("commit.gpgsign", "true"), ("gpg.program", "/bin/false"), ("user.useConfigOnly", "true")] {
        let _ = home.git(["config", name, value]).ok();
    }
    for hook in ["pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-auto-gc", "post-checkout"] {
        let path = home.join(".git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        write_program(&path, b"#!/bin/sh\nexit 1\n");
    }
}

/// Every byte of theirs: of their repository but for its objects and what is ours in it, and of their work tree.
fn snapshot(home: &TestHome) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(home.path(), "", &mut files);
    let status = home.git(["--no-optional-locks", "status", "--porcelain"]).ok();
    files.insert("git status".into(), status.stdout.into_bytes());
    files
}

const OURS: [&str; 10] = [
    "memory",
    "experiments",
    ".indelible",
    ".git/indelible",
    ".git/info",
    ".git/logs/refs/heads/indelible",
    ".git/objects",
    ".git/refs/heads/indelible",
    ".git/refs/indelible",
    ".git/indelible-lock",
];

fn collect(root: &Path, folder: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder can be read") {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if OURS.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type().expect("it is there").is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path, std::fs::read(entry.path()).expect("it can be read"));
        }
    }
}

#[track_caller]
fn assert_untouched(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
    let names = |of: &BTreeMap<String, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "a file of theirs has come or gone");
    for (path, bytes) in before {
        let (was, is) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&after[path]));
        assert_eq!(was, is, "{path} has changed");
    }
}

/// Makes a home in the repository, records, commits by all means there are, and holds that all of it is on our branch,
/// which starts at their HEAD, and nothing of theirs has changed.
fn assert_apart(home: &TestHome) -> Vec<Receipt> {
    let head = home.git(["rev-parse", "HEAD"]).ok().stdout;
    let before = snapshot(home);
    let made = home.cmd(["init", "--json"]).ok().json();
    assert_eq!(made["guest"], true, "the repository is theirs: {made}");
    let mut receipts = home.record_each("first");
    home.flush();
    let worker = Worker::quick(home);
    receipts.extend(home.record_each("second"));
    worker.wait_until_committed(home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    receipts.extend(home.record_each("third"));
    home.recover_fully();
    assert_exactly_once(home, &receipts);
    assert_untouched(&before, &snapshot(home));
    let commits = home.git(["rev-list", "--first-parent", "indelible"]).ok().stdout;
    let ours = home.git(["rev-list", "--first-parent", &format!("{}..indelible", head.trim())]).ok().stdout;
    let parent = commits.lines().nth(ours.lines().count());
    assert_eq!(parent, Some(head.trim()), "our branch does not start at the commit that their HEAD was at");
    receipts
}

#[test]
fn with_staged_changes_and_hooks_that_fail() {
    let home = repository();
    std::fs::write(home.join("theirs.txt"), "staged").expect("it can be written");
    std::fs::write(home.join("new.txt"), "new").expect("it can be written");
    let _ = home.git(["add", "theirs.txt", "new.txt"]).ok();
    std::fs::write(home.join("theirs.txt"), "and changed since").expect("it can be written");
    std::fs::write(home.join("untracked.txt"), "untracked").expect("it can be written");
    forbid_commits(&home);
    let receipts = assert_apart(&home);
    // They go on with their own work, and take ours when they like.
    let _ = theirs(&home, ["commit", "-q", "-m", "what was staged"]).ok();
    let more = home.record_each("after their commit");
    home.flush();
    for receipt in &more {
        let aside = home.user().join(receipt.id.clone());
        std::fs::rename(home.join(&receipt.path), aside).expect("it can be moved");
    }
    let _ = home.recover();
    assert_exactly_once(&home, &[receipts, more].concat());
}

#[test]
fn in_the_middle_of_a_rebase() {
    let home = repository();
    let editor = "sed -i s/^pick/edit/";
    let _ = theirs(&home, ["rebase", "-q", "-i", "HEAD~2"]).env("GIT_SEQUENCE_EDITOR", editor).ok();
    assert!(home.join(".git/rebase-merge").is_dir(), "the rebase is not half done");
    std::fs::write(home.join("theirs.txt"), "amended").expect("it can be written");
    let _ = home.git(["add", "theirs.txt"]).ok();
    forbid_commits(&home);
    let receipts = assert_apart(&home);
    let _ = theirs(&home, ["commit", "-q", "--amend", "--no-edit"]).ok();
    let rebase = theirs(&home, ["rebase", "--abort"]).run();
    assert_eq!(rebase.code(), Some(0), "their rebase cannot be ended any more: {rebase}");
    assert_exactly_once(&home, &receipts);
}

#[test]
fn in_the_middle_of_a_conflict() {
    let home = repository();
    let _ = theirs(&home, ["checkout", "-q", "-b", "side", "HEAD~1"]).ok();
    std::fs::write(home.join("theirs.txt"), "side").expect("it can be written");
    let _ = theirs(&home, ["commit", "-q", "-a", "-m", "side"]).ok();
    let _ = theirs(&home, ["merge", "-q", "trunk"]).run().exits(1);
    assert!(home.join(".git/MERGE_HEAD").exists(), "the merge is not half done");
    forbid_commits(&home);
    let _ = assert_apart(&home);
}

#[test]
fn before_their_first_commit() {
    let home = TestHome::absent();
    std::fs::create_dir(home.path()).expect("it can be made");
    let _ = home.git(["init", "-q", "-b", "trunk"]).ok();
    std::fs::write(home.join("theirs.txt"), "staged").expect("it can be written");
    let _ = home.git(["add", "theirs.txt"]).ok();
    forbid_commits(&home);
    let before = snapshot(&home);
    let _ = home.cmd(["init"]).ok();
    let receipts = home.record_each("first");
    home.flush();
    home.assert_settled();
    assert_exactly_once(&home, &receipts);
    assert_untouched(&before, &snapshot(&home));
}

#[test]
fn in_a_linked_worktree() {
    let main = repository();
    let linked = main.user().join("linked");
    let path = linked.to_str().expect("the temporary folder's name is UTF-8");
    let _ = theirs(&main, ["worktree", "add", "-q", "-b", "beside", path]).ok();
    let status = |home: &TestHome| home.git_in(&linked, ["--no-optional-locks", "status", "--porcelain"]).ok().stdout;
    let before = (snapshot(&main), status(&main));
    let product = |args: &[&str]| main.homeless(["--home", path].into_iter().chain(args.iter().copied()));
    let _ = product(&["init"]).ok();
    let receipt = product(&["record", "failure", "--title", "t", "--domain", "d", "--json"]).ok().receipt();
    let _ = product(&["flush"]).ok();
    let _ = product(&["verify"]).ok();
    let shown = main.git(["show", &format!("indelible:{}", receipt.path)]).ok();
    assert!(shown.stdout.contains(&receipt.id), "the record is not on our branch: {shown}");
    let mut after = snapshot(&main);
    assert_eq!(status(&main), before.1, "the worktree shows what is ours");
    after.retain(|path, _| before.0.contains_key(path));
    assert_untouched(&before.0, &after);
}

/// Neither an identity nor a git program is needed, for a home of our own or for one in theirs.
#[test]
fn without_any_git_program() {
    for home in [TestHome::absent(), repository()] {
        let product = |args: &[&str]| home.cmd(args).env("PATH", "/nonexistent").ok();
        let _ = product(&["init"]);
        let mut receipts = Vec::new();
        for round in 0..4 {
            let title = format!("round {round}");
            receipts.push(product(&["record", "failure", "--json", "--domain", "ci", "--title", &title]).receipt());
            let _ = product(&["flush"]);
        }
        let _ = product(&["recover", "--set", "history.packs_max=3"]);
        let packs = std::fs::read_dir(home.join(".git/objects/pack")).expect("it is there");
        let packs = packs.filter(|it| it.as_ref().expect("listed").path().extension().is_some_and(|it| it == "pack"));
        assert!(packs.count() < 4, "the packs were not rolled together");
        let _ = product(&["verify"]);
        assert_exactly_once(&home, &receipts);
        home.assert_sound();
        let author = home.git(["log", "-1", "--format=%an <%ae>", home.branch()]).ok();
        assert_eq!(author.stdout.trim(), "indelible <indelible@localhost>", "commits are made in our own name");
    }
}

/// A day of a user's commands, in order. `REMOTE`, `CLONE`, `TREE` and `MODULE` are folders beside the repository.
const DAY: [&str; 62] = [
    "status",
    "status --porcelain=v2 --branch -uall",
    "add -A",
    "status --short",
    "commit -q -m second",
    "diff HEAD~1 --stat",
    "log --oneline",
    "show --stat HEAD",
    "branch --show-current",
    "checkout -q -b feature",
    "EDIT memory/note.md",
    "add memory/note.md",
    "commit -q -m note",
    "EDIT theirs.txt",
    "commit -q -am feature",
    "checkout -q trunk",
    "merge -q --no-ff --no-edit feature",
    "log --graph --oneline trunk",
    "rebase -q --onto HEAD~1 HEAD~1 feature",
    "checkout -q trunk",
    "EDIT theirs.txt",
    "stash",
    "stash list",
    "stash show",
    "stash pop",
    "EDIT fresh.txt",
    "stash push -u",
    "stash apply",
    "diff --stat",
    "reset -q --hard",
    "clean -n",
    "clean -f -d",
    "tag v1",
    "describe --tags",
    "init -q --bare -b trunk REMOTE",
    "remote add origin REMOTE",
    "push -q origin trunk feature",
    "fetch origin",
    "ls-remote origin",
    "pull -q origin trunk",
    "clone -q . CLONE",
    "-C CLONE log --oneline",
    "-C CLONE status --short",
    "worktree add -q TREE feature",
    "-C TREE status",
    "-C TREE log -1 --format=%s",
    "worktree list --porcelain",
    "worktree remove TREE",
    "-c protocol.file.allow=always submodule add -q ../REMOTE MODULE",
    "submodule status",
    "commit -q -m module",
    "bisect start HEAD HEAD~2",
    "bisect run true",
    "bisect reset",
    "cherry-pick --quit",
    "revert --no-edit -m 1 HEAD~1",
    "grep -c one",
    "blame -s theirs.txt",
    "ls-files -o --exclude-standard",
    "reflog -3",
    "gc -q",
    "fsck --no-dangling",
];

/// Where a home is, as seen from a repository.
#[derive(Clone, Copy, Debug)]
enum Twin {
    None,
    In,
    Beneath,
    Above,
}

/// What all of [`DAY`] says, in a repository with a home where `twin` says, in which something is recorded meanwhile.
fn day(twin: Twin) -> Vec<String> {
    let root = TestHome::absent();
    let folder = root.user().canonicalize().expect("it is there").join("around");
    let place = folder.join("project");
    std::fs::create_dir_all(&place).expect("it can be made");
    let git = |args: &[&str]| {
        let git = Cmd::new("git", root.user()).env("GIT_CONFIG_NOSYSTEM", "1").folder(&place);
        let date = "2026-01-02T03:04:05Z";
        let git = git.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date).env("GIT_EDITOR", "true");
        git.args(["-c", "user.name=Owner", "-c", "user.email=o@example.org"]).args(args).run()
    };
    let _ = git(&["init", "-q", "-b", "trunk"]).exits(0);
    std::fs::write(place.join("theirs.txt"), "one\n").expect("it can be written");
    let _ = git(&["add", "."]).exits(0);
    let _ = git(&["commit", "-q", "-m", "first"]).exits(0);
    let home = match twin {
        Twin::None => None,
        Twin::In => Some(place.clone()),
        Twin::Beneath => Some(place.join("knowledge")),
        Twin::Above => Some(folder.clone()),
    };
    let home = home.map(TestHome::at);
    home.iter().for_each(|home| drop(home.cmd(["init"]).ok()));
    std::fs::write(place.join("new.txt"), "new\n").expect("it can be written");
    let beside = |name: &str| root.user().join(name).to_str().expect("UTF-8").to_owned();
    let mut said = Vec::new();
    for (number, line) in DAY.iter().enumerate() {
        if let Some(home) = &home {
            let _ = home.record(crate::support::KINDS[number % 5], &format!("{number}"));
            if number % 4 == 3 {
                home.flush();
            }
        }
        if let Some(path) = line.strip_prefix("EDIT ") {
            std::fs::create_dir_all(place.join(path).parent().expect("it is in a folder")).expect("it can be made");
            std::fs::write(place.join(path), format!("edited {number}\n")).expect("it can be written");
            continue;
        }
        let args: Vec<String> = line
            .split(' ')
            .map(|arg| match arg {
                "REMOTE" | "CLONE" | "TREE" => beside(arg),
                arg => arg.to_owned(),
            })
            .collect();
        let outcome = git(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let text = format!("git {line}: {:?}\n{}\n{}", outcome.code(), outcome.stdout, outcome.stderr);
        let own = root.user().canonicalize().expect("it is there").display().to_string();
        said.push(text.replace(&own, "ROOT").replace(&root.user().display().to_string(), "ROOT"));
    }
    if let Some(home) = &home {
        home.recover_fully();
    }
    said
}

#[test]
fn every_command_of_theirs_says_what_it_says_without_a_home() {
    let none = day(Twin::None);
    let failed = none.iter().filter(|said| !said.lines().next().is_some_and(|line| line.ends_with("Some(0)")));
    assert!(failed.count() <= 2, "the day does not go as it should: {none:#?}");
    for twin in [Twin::In, Twin::Beneath, Twin::Above] {
        for (with, without) in day(twin).iter().zip(&none) {
            assert_eq!(with, without, "with a home: {twin:?}");
        }
    }
}
