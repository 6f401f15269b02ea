//! A user works in their own repository while recorders and a worker work in it too. What they do there has
//! the same outcome as in a twin of the repository without recorders, and every record is committed exactly once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::process::Signal;

use crate::support::{
    Cmd, Dice, KINDS, Outcome, Receipt, Running, TestHome, Worker, assert_exactly_once, beside, in_parallel,
    repository, skipped, wait_for, write_program,
};

/// The owner of a repository, who does the same things at the same time of day in each of them.
struct Owner<'h> {
    home: &'h TestHome,
    /// Every command of theirs, and how it ended.
    ended: Vec<String>,
}

impl<'h> Owner<'h> {
    fn of(home: &'h TestHome) -> Owner<'h> {
        Owner { home, ended: Vec::new() }
    }

    fn command(&self, args: &[&str]) -> Cmd {
        let date = "2026-01-02T03:04:05Z";
        let command = self.home.git(args).env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        let names = [("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"), ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")];
        names
            .into_iter()
            .fold(command, |command, (name, address)| command.env(name, "Owner").env(address, "owner@example.org"))
    }

    /// Runs git; how it ends is compared with the twin's.
    fn git(&mut self, args: &[&str]) -> Outcome {
        let command = self.command(args);
        self.run(command, args)
    }

    fn run(&mut self, command: Cmd, args: &[&str]) -> Outcome {
        let outcome = command.run();
        let code = outcome.code();
        self.ended.push(format!("git {} exits {code:?}", args.join(" ")));
        outcome
    }

    /// Runs git, which has to succeed in either repository.
    #[track_caller]
    fn ok(&mut self, args: &[&str]) {
        let _ = self.git(args).exits(0);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    fn commit(&mut self, path: &str, text: &str) {
        self.write(path, text);
        self.ok(&["add", path]);
        self.ok(&["commit", "-q", "-m", text]);
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.home.join(".git/hooks").join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        write_program(&path, format!("#!/bin/sh\n{script}\n").as_bytes());
    }

    /// Everything that is theirs, as git sees it, and every byte of their work tree.
    fn state(&self) -> BTreeMap<String, String> {
        let questions: [&[&str]; 9] = [
            &["for-each-ref", "--format=%(refname) %(objectname) %(symref)"],
            &["rev-parse", "HEAD"],
            &["ls-files", "--stage", "-v", "-t"],
            &["--no-optional-locks", "status", "--porcelain=v2", "--branch", "--show-stash"],
            &["diff", "--no-ext-diff", "--cached"],
            &["reflog", "--format=%H %gs"],
            &["stash", "list", "--format=%H %gs"],
            &["config", "--local", "--list"],
            &["worktree", "list", "--porcelain"],
        ];
        let mut state = BTreeMap::new();
        for question in questions {
            let outcome = self.home.git(question).run();
            let ours = |line: &&str| !line.contains(" refs/heads/indelible") && !line.contains("refs/indelible/");
            let ours = |line: &&str| ours(line) && !line.starts_with("refs/heads/indelible ");
            let here = self.home.user().to_string_lossy().into_owned();
            let text = outcome.stdout.lines().filter(ours).collect::<Vec<_>>().join("\n").replace(&here, "~");
            state.insert(question.join(" "), text);
        }
        files(self.home.path(), "", &mut state);
        state
    }
}

fn files(root: &Path, folder: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder can be read") {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if [".git", ".indelible", "memory", "experiments"].contains(&path.as_str()) {
            continue;
        }
        if entry.file_type().expect("it is there").is_dir() {
            files(root, &path, found);
        } else if entry.file_type().expect("it is there").is_file() {
            let bytes = std::fs::read(entry.path()).expect("it can be read");
            found.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// Records things for as long as `work` takes, and checks that something was recorded meanwhile.
fn beside_recorders(home: &TestHome, work: impl FnOnce()) -> Vec<Receipt> {
    let receipts = Mutex::new(Vec::new());
    let times = beside(work, || {
        in_parallel(KINDS.len(), 2, |number| {
            let receipt = home.record(KINDS[number], "beside its owner");
            receipts.lock().expect("no recorder panicked").push(receipt);
        });
    });
    assert!(times > 0, "nothing was recorded meanwhile");
    receipts.into_inner().expect("no recorder panicked")
}

/// Lets the owner do `script` in a repository alone, and in its twin beside recorders and a worker; holds that nothing of
/// theirs differs, and that every record is committed once. The worker serves while things are as the script leaves them.
fn same_with_and_without(
    prepare: impl Fn(&mut Owner<'_>),
    script: impl Fn(&mut Owner<'_>),
) -> (TestHome, Vec<Receipt>) {
    let (alone, home) = (repository_of_a_day(), repository_of_a_day());
    let mut without = Owner::of(&alone);
    prepare(&mut without);
    script(&mut without);
    let mut with = Owner::of(&home);
    prepare(&mut with);
    let _ = home.cmd(["init"]).ok();
    let worker = Worker::start(&home, &["worker.age_ms=1", "history.packs_max=6"]);
    let mut receipts = beside_recorders(&home, || script(&mut with));
    receipts.extend(home.record_each("as they left it"));
    home.flush();
    assert_eq!(with.ended, without.ended, "a command of theirs ended otherwise than without us");
    let (with, without) = (with.state(), without.state());
    for (what, expected) in &without {
        assert_eq!(with.get(what), Some(expected), "{what} is not what it is without us");
    }
    assert_eq!(with.len(), without.len(), "there is something of theirs that is not there without us");
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
    (home, receipts)
}

/// A repository whose commits have the same names each time.
fn repository_of_a_day() -> TestHome {
    let home = TestHome::absent();
    std::fs::create_dir(home.path()).expect("it can be made");
    let _ = home.git(["init", "-q", "-b", "trunk"]).ok();
    let mut owner = Owner::of(&home);
    for number in 0..4 {
        owner.commit(&format!("file-{number}.txt"), &format!("text {number}\n"));
    }
    owner.ok(&["branch", "side", "HEAD~2"]);
    home
}

fn nothing(_: &mut Owner<'_>) {}

#[test]
fn a_days_work() {
    let _ = same_with_and_without(nothing, |owner| {
        for round in 0..6 {
            let text = format!("round {round}\n");
            owner.write("a.txt", &text);
            owner.write("b.txt", &text);
            owner.ok(&["add", "."]);
            owner.ok(&["commit", "-q", "-m", "added"]);
            owner.write("a.txt", "changed\n");
            owner.ok(&["commit", "-q", "-a", "-m", "all"]);
            owner.write("a.txt", "one path\n");
            owner.write("b.txt", "staged, and left\n");
            owner.ok(&["add", "b.txt"]);
            owner.ok(&["commit", "-q", "-m", "one path", "a.txt"]);
            owner.write("c.txt", "new\n");
            owner.ok(&["stash", "push", "-q", "--include-untracked"]);
            owner.ok(&["stash", "pop", "-q"]);
            owner.ok(&["stash", "push", "-q", "--include-untracked"]);
            owner.ok(&["checkout", "-q", "side"]);
            owner.commit("side.txt", &text);
            owner.ok(&["checkout", "-q", "--detach", "trunk"]);
            owner.commit("detached.txt", &text);
            owner.ok(&["switch", "-q", "trunk"]);
            owner.ok(&["reset", "-q", "--hard", "HEAD~1"]);
            owner.ok(&["clean", "-q", "-f", "-d"]);
            owner.ok(&["branch", "-f", "moved", "HEAD"]);
            owner.ok(&["tag", "-f", "mark"]);
        }
        owner.write("a.txt", "staged\n");
        owner.ok(&["add", "a.txt"]);
        owner.write("a.txt", "and changed since\n");
    });
}

/// What they clean away with `-x` is ours as well, and that is theirs to do: it is in git.
#[test]
fn every_command_that_moves_a_work_tree_about() {
    let _ = same_with_and_without(nothing, |owner| {
        owner.ok(&["checkout", "-q", "side"]);
        owner.commit("side.txt", "side\n");
        owner.ok(&["checkout", "-q", "trunk"]);
        owner.ok(&["merge", "-q", "--no-edit", "side"]);
        owner.ok(&["revert", "--no-edit", "HEAD~1"]);
        owner.ok(&["cherry-pick", "--keep-redundant-commits", "side"]);
        owner.ok(&["mv", "file-2.txt", "moved.txt"]);
        owner.ok(&["rm", "-q", "file-1.txt"]);
        owner.ok(&["restore", "--staged", "file-1.txt"]);
        owner.ok(&["restore", "file-1.txt"]);
        owner.ok(&["update-index", "--assume-unchanged", "file-0.txt"]);
        owner.ok(&["read-tree", "HEAD"]);
        owner.ok(&["bisect", "start", "HEAD", "HEAD~2"]);
    });
}

#[test]
fn a_rebase_left_open() {
    let (home, receipts) = same_with_and_without(nothing, |owner| {
        let args = ["rebase", "-q", "-i", "HEAD~2"];
        let command = owner.command(&args).env("GIT_SEQUENCE_EDITOR", "sed -i s/^pick/edit/");
        let _ = owner.run(command, &args).exits(0);
        owner.write("file-0.txt", "amended\n");
        owner.ok(&["add", "file-0.txt"]);
    });
    let mut owner = Owner::of(&home);
    owner.ok(&["commit", "-q", "--amend", "--no-edit"]);
    let args = ["rebase", "--continue"];
    let command = owner.command(&args).env("GIT_EDITOR", "true");
    let _ = owner.run(command, &args).exits(0);
    assert_exactly_once(&home, &receipts);
}

#[test]
fn a_conflict_left_open() {
    let (home, receipts) = same_with_and_without(nothing, |owner| {
        owner.commit("file-0.txt", "trunk\n");
        owner.ok(&["checkout", "-q", "side"]);
        owner.commit("file-0.txt", "side\n");
        let _ = owner.git(&["merge", "-q", "trunk"]).exits(1);
    });
    Owner::of(&home).ok(&["merge", "--abort"]);
    assert_exactly_once(&home, &receipts);
}

#[test]
fn housekeeping_of_every_kind() {
    let (home, _) = same_with_and_without(nothing, |owner| {
        for round in 0..2 {
            owner.commit("a.txt", &format!("round {round}\n"));
            owner.ok(&["gc", "-q", "--prune=now"]);
            owner.ok(&["repack", "-q", "-a", "-d", "-f"]);
            owner.ok(&["pack-refs", "--all", "--prune"]);
            owner.ok(&["maintenance", "run", "--quiet", "--task=gc", "--task=commit-graph", "--task=loose-objects"]);
            owner.ok(&["maintenance", "run", "--quiet", "--task=incremental-repack"]);
            owner.ok(&["prune", "--expire=now"]);
            owner.ok(&["multi-pack-index", "write"]);
            owner.ok(&["commit-graph", "write", "--reachable"]);
        }
    });
    home.assert_sound();
}

#[test]
fn worktrees_beside() {
    let _ = same_with_and_without(nothing, |owner| {
        for round in 0..3 {
            owner.ok(&["worktree", "add", "-q", "-b", &format!("beside-{round}"), "../beside"]);
            owner.ok(&["-C", "../beside", "commit", "-q", "--allow-empty", "-m", "beside"]);
            owner.ok(&["worktree", "remove", "../beside"]);
        }
        owner.ok(&["worktree", "add", "-q", "--detach", "../left"]);
    });
}

/// Another program's lock, held for however long: none of our commits waits for it.
#[test]
fn an_index_lock_held_and_one_left_behind() {
    let (home, _) = same_with_and_without(nothing, |owner| {
        owner.write(".git/index.lock", "");
        owner.write("a.txt", "text\n");
        let _ = owner.git(&["add", "a.txt"]).exits(128);
        std::fs::remove_file(owner.home.join(".git/index.lock")).expect("it was not removed");
        owner.ok(&["add", "a.txt"]);
        owner.write(".git/index.lock", "left by the dead");
    });
    let left = std::fs::read(home.join(".git/index.lock")).expect("it was not removed");
    assert_eq!(left, b"left by the dead", "the lock is theirs");
}

const HOOKS: [&str; 12] = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "reference-transaction",
    "pre-auto-gc",
    "post-checkout",
    "post-rewrite",
    "post-index-change",
    "post-merge",
    "pre-push",
    "fsmonitor-watchman",
];

#[test]
fn hooks_that_fail() {
    let prepare = |owner: &mut Owner<'_>| HOOKS.iter().for_each(|hook| owner.hook(hook, "exit 1"));
    let _ = same_with_and_without(prepare, |owner| {
        owner.write("a.txt", "text\n");
        owner.ok(&["add", "a.txt"]);
        let _ = owner.git(&["commit", "-q", "-m", "refused"]).exits(1);
        let _ = owner.git(&["branch", "refused"]).exits(128);
    });
}

/// A hook that does not end: the commit that it is of hangs, and our commits do not.
#[test]
fn hooks_that_hang() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let gate = home.user().join("gate");
    let _ = Cmd::new("mkfifo", home.user()).args([gate.as_os_str()]).ok();
    let owner = Owner::of(&home);
    for hook in HOOKS {
        owner.hook(
            hook,
            &format!("echo {hook} >> '{}/called'; read line < '{}'", home.user().display(), gate.display()),
        );
    }
    owner.write("theirs.txt", "changed");
    let theirs = owner.command(&["commit", "-q", "-a", "-m", "it hangs"]).spawn();
    let called = home.user().join("called");
    wait_for("their hook to be called", || called.exists().then_some(()));
    let worker = Worker::start(&home, &["worker.age_ms=1", "history.packs_max=2"]);
    let mut receipts = Vec::new();
    for round in 0..10 {
        receipts.extend(home.record_each(&format!("beside a hook, {round}")));
        home.flush();
    }
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    assert_exactly_once(&home, &receipts);
    let calls = std::fs::read_to_string(&called).expect("it was written");
    assert_eq!(calls.lines().count(), 1, "a hook of theirs was called for our commit: {calls}");
    end_hanging(theirs, &gate);
}

/// Lets every hook of `running` go on until it ends.
fn end_hanging(mut running: Running, gate: &Path) {
    let open = std::fs::OpenOptions::new().read(true).write(true).open(gate).expect("the gate opens");
    let mut ended = || {
        rustix::io::write(&open, b"\n").expect("the gate takes a line");
        running.child().try_wait().expect("it is our child").map(|_| ())
    };
    wait_for("their commit to end", &mut ended);
}

#[test]
fn commits_that_have_to_be_signed() {
    let prepare = |owner: &mut Owner<'_>| {
        for (name, value) in [
            ("commit.gpgSign", "true"),
            ("tag.gpgSign", "true"),
            ("gpg.program", "/bin/false"),
            ("gpg.format", "openpgp"),
            ("user.signingKey", "0000"),
        ] {
            owner.ok(&["config", name, value]);
        }
    };
    let _ = same_with_and_without(prepare, |owner| {
        owner.write("a.txt", "text\n");
        owner.ok(&["add", "a.txt"]);
        let _ = owner.git(&["commit", "-q", "-m", "cannot be signed"]).exits(128);
    });
}

#[test]
fn no_identity_and_none_may_be_guessed() {
    let prepare = |owner: &mut Owner<'_>| {
        owner.ok(&["config", "user.useConfigOnly", "true"]);
        owner.ok(&["config", "author.name", ""]);
    };
    let _ = same_with_and_without(prepare, |owner| {
        owner.write("a.txt", "text\n");
        owner.ok(&["add", "a.txt"]);
        let args = ["commit", "-q", "-m", "by nobody"];
        let command = owner.home.git(args);
        let _ = owner.run(command, &args).exits(128);
    });
}

#[test]
fn attributes_filters_and_line_ends() {
    let prepare = |owner: &mut Owner<'_>| {
        for (name, value) in [
            ("core.autocrlf", "true"),
            ("core.safecrlf", "true"),
            ("core.eol", "crlf"),
            ("filter.broken.clean", "false"),
            ("filter.broken.smudge", "false"),
            ("filter.broken.required", "true"),
            ("diff.broken.textconv", "false"),
            ("merge.broken.driver", "false"),
        ] {
            owner.ok(&["config", name, value]);
        }
        owner.commit(".gitattributes", "*.md text eol=crlf filter=broken diff=broken merge=broken ident\r\n");
        owner.write(".git/info/attributes", "* ident working-tree-encoding=UTF-16\n*.txt !working-tree-encoding\n");
    };
    let _ = same_with_and_without(prepare, |owner| {
        owner.write("theirs.md", "$Id$\r\n");
        let _ = owner.git(&["add", "theirs.md"]).exits(128);
        owner.write("a.txt", "text\r\n");
        owner.ok(&["add", "a.txt"]);
        owner.ok(&["commit", "-q", "-m", "text"]);
    });
}

#[test]
fn a_monitor_that_fails_a_split_index_and_a_sparse_checkout() {
    let prepare = |owner: &mut Owner<'_>| {
        owner.ok(&["config", "core.fsmonitor", "/bin/false"]);
        owner.ok(&["config", "core.untrackedCache", "true"]);
        owner.ok(&["config", "index.version", "4"]);
        owner.ok(&["update-index", "--split-index"]);
        owner.commit("kept/a.txt", "kept\n");
        owner.commit("away/a.txt", "away\n");
        owner.ok(&["sparse-checkout", "set", "kept"]);
    };
    let (home, _) = same_with_and_without(prepare, |owner| {
        for round in 0..3 {
            owner.commit("kept/a.txt", &format!("round {round}\n"));
            owner.ok(&["update-index", "--split-index"]);
        }
        owner.ok(&["sparse-checkout", "reapply"]);
    });
    assert!(!home.join("away").exists(), "what their checkout leaves out was brought back");
}

/// A clone of a repository with some commits, made with `flags`.
fn clone(flags: &[&str]) -> TestHome {
    let home = TestHome::absent();
    let upstream = home.user().join("upstream");
    std::fs::create_dir(&upstream).expect("it can be made");
    let git = |args: &[&str]| drop(home.git_in(&upstream, args).ok());
    git(&["init", "-q", "-b", "trunk"]);
    git(&["config", "uploadpack.allowFilter", "true"]);
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    for number in 0..4 {
        for folder in ["", "folder/"] {
            let path = upstream.join(format!("{folder}file-{number}.txt"));
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            std::fs::write(path, format!("text {number}")).expect("it can be written");
        }
        git(&["add", "."]);
        git(&["-c", "user.name=Owner", "-c", "user.email=owner@example.org", "commit", "-q", "-m", "one"]);
    }
    let url = format!("file://{}", upstream.display());
    let arguments = ["clone", "-q"].iter().chain(flags).copied().chain([url.as_str(), "home"]);
    let _ = home.git_in(home.user(), arguments).ok();
    home
}

/// That objects are missing in a clone is as it should be, so `fsck` is asked only where none is.
fn assert_recorded_in_a_clone(home: &TestHome) {
    let mut owner = Owner::of(home);
    let objects = |home: &TestHome| {
        home.git(["rev-list", "--objects", "--all", "--missing=print", "--quiet"]).ok().stdout.lines().count()
    };
    let missing = objects(home);
    let _ = home.cmd(["init"]).ok();
    let worker = Worker::quick(home);
    let receipts = beside_recorders(home, || {
        owner.ok(&["fetch", "-q"]);
        owner.commit("file-0.txt", "changed");
        owner.ok(&["log", "-1", "-p", "--format="]);
        owner.ok(&["gc", "-q"]);
    });
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let _ = home.recover();
    let _ = home.verify().exits(0);
    assert_exactly_once(home, &receipts);
    assert!(objects(home) <= missing, "objects are missing that were not before");
    let _ = home.git(["fsck", "--connectivity-only"]).ok();
}

#[test]
fn a_shallow_clone() {
    let home = clone(&["--depth", "1"]);
    assert!(home.join(".git/shallow").exists(), "the clone is not shallow");
    assert_recorded_in_a_clone(&home);
    let _ = home.git(["fetch", "-q", "--unshallow"]).ok();
    assert_eq!(home.branch(), "indelible");
    home.recover_fully();
}

#[test]
fn a_partial_clone() {
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        let home = clone(&[filter, "--no-checkout"]);
        let config = home.git(["config", "remote.origin.promisor"]).ok();
        assert_eq!(config.stdout.trim(), "true", "the clone is not partial");
        let _ = home.git(["checkout", "-q", "trunk"]).ok();
        assert_recorded_in_a_clone(&home);
    }
}

/// A file that no user can change, not even root; `None` where the system has no such thing.
struct Immutable(PathBuf);

impl Immutable {
    fn make(home: &TestHome, path: &str) -> Option<Immutable> {
        let path = home.join(path);
        let made = Cmd::new("chattr", home.user()).args(["-R".as_ref(), "+i".as_ref(), path.as_os_str()]).run();
        let probe = path.join("probe");
        let refused = std::fs::write(&probe, "").is_err();
        let immutable = Immutable(path);
        if made.code() == Some(0) && refused {
            return Some(immutable);
        }
        let _ = std::fs::remove_file(probe);
        None
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = std::process::Command::new("chattr").arg("-R").arg("-i").arg(&self.0).output();
    }
}

#[test]
fn a_repository_that_cannot_be_written_to_fills_the_journal() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let mut receipts = home.record_each("before");
    home.flush();
    let mut worker = Worker::quick(&home);
    let immutable = [".git/objects", ".git/refs"].map(|folder| Immutable::make(&home, folder));
    if immutable.iter().any(Option::is_none) {
        skipped("this file system has no immutable files, or this user may not make any");
        return;
    }
    let bytes = home.journal_bytes();
    receipts.extend(home.record_each("meanwhile"));
    for _ in 0..3 {
        worker.wait_for_line("trying again");
    }
    receipts.extend(home.record_each("later"));
    assert!(home.journal_bytes() > bytes, "the journal takes what is recorded");
    assert!(home.status()["pending"]["records"].as_u64() >= Some(10), "they are pending");
    drop(immutable);
    worker.wait_until_committed(&home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// A home in a user's repository, with records committed to its branch.
fn with_a_branch() -> (TestHome, Vec<Receipt>) {
    let home = repository_of_a_day();
    let _ = home.cmd(["init"]).ok();
    let receipts = home.record_each("before");
    home.flush();
    (home, receipts)
}

#[test]
fn our_branch_checked_out_in_a_worktree() {
    let (home, mut receipts) = with_a_branch();
    let mut owner = Owner::of(&home);
    owner.ok(&["worktree", "add", "-q", "../ours", "indelible"]);
    let ours = home.user().join("ours");
    let worker = Worker::quick(&home);
    receipts.extend(beside_recorders(&home, || {
        owner.ok(&["-C", "../ours", "status", "--porcelain"]);
        owner.ok(&["-C", "../ours", "reset", "-q", "--hard"]);
    }));
    home.flush();
    assert_exactly_once(&home, &receipts);
    // It has not been moved under them: what they see is what they checked out.
    let seen = home.git_in(&ours, ["status", "--porcelain"]).ok();
    assert_eq!(seen.stdout, "", "our branch was moved while it was checked out");
    // A commit of theirs on our branch is theirs to make, and stays.
    std::fs::write(ours.join("theirs.txt"), "on our branch").expect("it can be written");
    owner.ok(&["-C", "../ours", "add", "theirs.txt"]);
    owner.ok(&["-C", "../ours", "commit", "-q", "-m", "on our branch"]);
    owner.ok(&["-C", "../ours", "checkout", "-q", "--detach"]);
    receipts.extend(home.record_each("on top of it"));
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    for receipt in &receipts {
        let _ = home.git(["cat-file", "-e", &format!("indelible:{}", receipt.page())]).ok();
    }
    let _ = home.git(["cat-file", "-e", "indelible:theirs.txt"]).ok();
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn our_branch_merged_and_pushed() {
    let (home, mut receipts) = with_a_branch();
    let mut owner = Owner::of(&home);
    owner.ok(&["init", "-q", "--bare", "-b", "trunk", "../remote.git"]);
    owner.ok(&["remote", "add", "origin", "../remote.git"]);
    // Merged in a worktree of their own, since in this one the records' files lie about untracked.
    owner.ok(&["worktree", "add", "-q", "-b", "merged", "../merged", "trunk"]);
    let worker = Worker::quick(&home);
    receipts.extend(beside_recorders(&home, || {
        for _ in 0..5 {
            owner.ok(&["-C", "../merged", "merge", "-q", "--no-edit", "--no-ff", "indelible"]);
            owner.ok(&["push", "-q", "origin", "indelible", "merged", "trunk"]);
            owner.ok(&["fetch", "-q", "--all"]);
        }
    }));
    home.flush();
    owner.ok(&["-C", "../merged", "merge", "-q", "--no-edit", "indelible"]);
    owner.ok(&["push", "-q", "--all", "origin"]);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let heads = |folder: &str| home.git(["-C", folder, "rev-parse", "refs/heads/indelible"]).ok().stdout;
    assert_eq!(heads("."), heads("../remote.git"), "the remote has another branch than we");
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
    for receipt in &receipts {
        let _ = home.git(["cat-file", "-e", &format!("merged:{}", receipt.page())]).ok();
    }
    let sound = home.git(["-C", "../remote.git", "fsck", "--strict"]).ok();
    assert!(!sound.stderr.contains("error"), "what was pushed is not sound: {sound}");
}

/// Another user's clone of our branch goes on, and comes back by a fetch, while records are committed here.
#[test]
fn our_branch_fetched_over() {
    for diverged in [false, true] {
        let (home, mut receipts) = with_a_branch();
        let mut owner = Owner::of(&home);
        let worker = Worker::quick(&home);
        receipts.extend(beside_recorders(&home, || {
            for round in 0..4 {
                let _ = std::fs::remove_dir_all(home.user().join("clone"));
                owner.ok(&["clone", "-q", "--no-local", "-b", "indelible", ".", "../clone"]);
                std::fs::write(home.user().join("clone/elsewhere.txt"), format!("{round}")).expect("it can be written");
                owner.ok(&["-C", "../clone", "add", "elsewhere.txt"]);
                owner.ok(&["-C", "../clone", "commit", "-q", "-m", "elsewhere"]);
                if diverged {
                    // Made here by the time it is fetched are commits that the other does not have.
                    let _ = owner.git(&["fetch", "-q", "../clone", "+indelible:indelible"]);
                } else {
                    let _ = owner.git(&["fetch", "-q", "../clone", "indelible:indelible"]);
                }
            }
        }));
        assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
        if !diverged {
            // At rest it can be taken as it is, and is added to.
            owner.ok(&["-C", "../clone", "pull", "-q", "--no-rebase", "--no-edit", "origin", "indelible"]);
            owner.ok(&["fetch", "-q", "../clone", "indelible:indelible"]);
            let _ = home.git(["cat-file", "-e", "indelible:elsewhere.txt"]).ok();
        }
        receipts.extend(home.record_each("after it"));
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
    }
}

/// Their own commands, drawn by lot, and killed where they are: what git leaves of them, locks included, is no concern of
/// ours.
#[test]
fn git_commands_killed_anywhere() {
    let home = repository_of_a_day();
    let _ = home.cmd(["init"]).ok();
    let worker = Worker::start(&home, &["worker.age_ms=1", "history.packs_max=4"]);
    let owner = Owner::of(&home);
    let commands: [&[&str]; 7] = [
        &["gc", "-q", "--prune=now"],
        &["repack", "-q", "-a", "-d", "-f"],
        &["pack-refs", "--all"],
        &["add", "-A"],
        &["commit", "-q", "-a", "-m", "killed", "--allow-empty"],
        &["checkout", "-q", "side"],
        &["stash", "push", "-q", "-u"],
    ];
    let mut dice = Dice(20_260_102);
    let receipts = beside_recorders(&home, || {
        for round in 0..60 {
            owner.write("a.txt", &format!("round {round}"));
            let command = commands[dice.below(commands.len() as u64) as usize];
            let mut running = owner.command(command).spawn();
            // Not a wait for something: the moment of its death is drawn by lot.
            std::thread::sleep(std::time::Duration::from_micros(dice.below(12_000)));
            let _ = running.child().kill();
            let _ = running.wait();
        }
    });
    let _ = home.cmd(["flush", "--timeout", "60"]).ok();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}
