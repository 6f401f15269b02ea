//! The worker as a daemon: signals, a second one, and everything that can be taken away from under it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::TransactionBehavior;
use rustix::process::Signal;

use crate::support::{Receipt, TestHome, Worker, assert_exactly_once, has_strace, skipped, wait_for};

/// Nothing is committed because of its age alone.
const PATIENT: &str = "worker.age_ms=3600000";

fn urgent(home: &TestHome, title: &str) -> Receipt {
    let args = ["record", "failure", "--json", "--domain", "ops", "--severity", "critical", "--title", title];
    home.cmd(args).ok().receipt()
}

fn pending(home: &TestHome) -> u64 {
    home.status()["pending"]["records"].as_u64().expect("it is a number")
}

#[test]
fn a_second_worker_names_the_first() {
    let home = TestHome::new();
    let mut first = Worker::quick(&home);
    let second = home.cmd(["worker", "--log", "stderr"]).run().exits(75);
    let name = format!("process {}", first.id());
    assert!(second.stderr.contains(&name), "it does not say who has the lock ({name}): {second}");
    assert!(first.is_running(), "a second worker ended the first");
    first.kill();
    // The lock goes with the process.
    assert_eq!(Worker::quick(&home).stop(Signal::TERM).code(), Some(0));
}

#[test]
fn asked_to_stop_it_commits_what_is_pending() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = TestHome::new();
        let worker = Worker::start(&home, &[PATIENT]);
        let receipts = home.record_each("pending");
        let keyed = home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt();
        let status = worker.stop(signal);
        assert_eq!(status.code(), Some(0), "a worker asked to stop by {signal:?} ends well");
        assert_exactly_once(&home, &[receipts, vec![keyed]].concat());
        assert_eq!(home.status()["published"]["state"], "stopped");
        home.assert_settled();
    }
}

/// Its log lines are lost then, and nothing else.
#[test]
fn a_log_that_cannot_be_written_stops_no_command() {
    let (reader, closed_pipe) = std::io::pipe().expect("a pipe can be had");
    drop(reader);
    let full_disk = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has one");
    for stderr in [Stdio::from(closed_pipe), Stdio::from(full_disk)] {
        let home = TestHome::new();
        let mut command = home.cmd(["worker", "--log", "stderr", "--set", PATIENT]).into_command();
        let mut worker = command.stdin(Stdio::null()).stderr(stderr).spawn().expect("the worker starts");
        wait_for("it serves", || (home.status()["published"]["state"] == "idle").then_some(()));
        let receipts = home.record_each("unlogged");
        home.flush();
        let pid = rustix::process::Pid::from_child(&worker);
        rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
        assert_eq!(worker.wait().expect("it ends").code(), Some(0), "its log is no reason to end badly");
        assert_exactly_once(&home, &receipts);
    }
}

/// More than one batch can hold was recorded before it came to see it. Which it sees first, the records or the signal, is
/// up to the system, so it is tried more than once.
#[test]
fn asked_to_stop_it_commits_more_than_a_batch() {
    let home = TestHome::new();
    for round in 0..12 {
        let mut worker = Worker::start(&home, &[PATIENT, "worker.records_max=2"]);
        worker.signal(Signal::STOP);
        let _ = home.record_each(&format!("round {round}"));
        worker.signal(Signal::TERM);
        worker.signal(Signal::CONT);
        assert_eq!(worker.wait().code(), Some(0), "a worker asked to stop ends well: {}", worker.said());
        assert_eq!(pending(&home), 0, "it ended before everything was committed");
    }
    home.assert_settled();
}

/// Takes away the folder that packs are put into, so that no commit can be made, until it is put back.
fn no_commits(home: &TestHome) -> impl FnOnce() {
    let (packs, away) = (home.join(".git/objects/pack"), home.user().join("packs"));
    std::fs::rename(&packs, &away).expect("it can be moved");
    move || std::fs::rename(away, packs).expect("it can be moved back")
}

#[test]
fn asked_to_stop_it_goes_on_trying() {
    let home = TestHome::new();
    let receipts = home.record_each("pending");
    let mut worker = Worker::start(&home, &[PATIENT]);
    let put_back = no_commits(&home);
    let late = home.record("failure", "while nothing can be committed");
    worker.signal(Signal::TERM);
    worker.wait_for_line("asked to stop");
    worker.wait_for_line("trying again");
    put_back();
    assert_eq!(worker.wait().code(), Some(0), "it did not try again: {}", worker.said());
    assert_exactly_once(&home, &[receipts, vec![late]].concat());
}

/// They may be what has to change before it can go on.
#[test]
fn sighup_reads_the_settings_again_while_it_waits_to_try_again() {
    let home = TestHome::new();
    let mut worker = Worker::start(&home, &["worker.age_ms=1"]);
    let put_back = no_commits(&home);
    // It would make the folder again.
    let packs = home.join(".git/objects/pack");
    std::fs::write(&packs, "in the way").expect("it is free");
    let receipt = home.record("failure", "while nothing can be committed");
    // By then it waits for far longer than it tries.
    for _ in 0..3 {
        worker.wait_for_line("trying again");
    }
    worker.signal(Signal::HUP);
    worker.wait_for_line("the settings were read again");
    std::fs::remove_file(&packs).expect("it is there");
    put_back();
    worker.wait_until_committed(&home);
    assert_exactly_once(&home, &[receipt]);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
}

/// But not for ever: what it could not commit stays in the journal.
#[test]
fn asked_to_stop_it_does_not_try_for_ever() {
    let home = TestHome::new();
    let mut worker = Worker::start(&home, &[PATIENT, "worker.stop_s=0"]);
    let put_back = no_commits(&home);
    let receipt = home.record("failure", "while nothing can be committed");
    worker.signal(Signal::TERM);
    let code = worker.wait().code();
    assert!(matches!(code, Some(74 | 75)), "it says that something is left: {code:?} {}", worker.said());
    assert_eq!(pending(&home), 1, "what was not committed is still pending");
    put_back();
    home.recover_fully();
    assert_exactly_once(&home, &[receipt]);
}

/// The rows follow with the next one.
#[test]
fn asked_to_stop_it_does_not_wait_for_the_index() {
    let home = TestHome::new();
    let mut worker = Worker::start(&home, &[PATIENT, "worker.index_wait_ms=1"]);
    let mut holder = home.index();
    let lock = holder.transaction_with_behavior(TransactionBehavior::Exclusive).expect("no other process writes");
    let receipt = home.record("failure", "while the index is locked");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code(), Some(0), "it waited for a row: {}", worker.said());
    assert_eq!(pending(&home), 0, "it was not committed");
    lock.rollback().expect("it can be let go");
    home.flush();
    assert_exactly_once(&home, &[receipt]);
    home.assert_settled();
}

/// What is recorded after it was asked to stop is for the next one; everything before that is committed.
#[test]
fn asked_to_stop_while_records_keep_coming() {
    let home = TestHome::new();
    let mut worker = Worker::start(&home, &[PATIENT, "worker.stop_s=3600", "worker.records_max=20"]);
    let receipts: Mutex<Vec<Receipt>> = Mutex::default();
    let record = |from: usize| {
        let line = |at| format!("{{\"kind\":\"failure\",\"title\":\"line {at}\",\"domain\":\"ci\"}}\n");
        let lines: String = (from..from + 200).map(line).collect();
        let outcome = home.cmd(["record", "batch", "--json"]).stdin(lines).ok();
        let read = |line: &str| Receipt::of(&serde_json::from_str(line).expect("a line of JSON"));
        receipts.lock().expect("no recorder panicked").extend(outcome.stdout.lines().map(read));
    };
    record(0);
    let before = receipts.lock().expect("no recorder panicked").clone();
    let ended = AtomicBool::new(false);
    // Faster than it can commit, and longer than it should take; but not for ever.
    let go_on = || (1..400).take_while(|_| !ended.load(Ordering::Relaxed)).for_each(|round| record(round * 200));
    let (code, kept_coming) = std::thread::scope(|scope| {
        let recorder = scope.spawn(go_on);
        worker.signal(Signal::TERM);
        let code = worker.wait().code();
        let kept_coming = !recorder.is_finished();
        ended.store(true, Ordering::Relaxed);
        (code, kept_coming)
    });
    assert_eq!(code, Some(0), "asked to stop it ends well: {}", worker.said());
    assert!(kept_coming, "it ended only when nothing more was recorded");
    let tree = home.git(["ls-tree", "-r", "--name-only", home.branch()]).ok().stdout;
    let tree: BTreeSet<&str> = tree.lines().collect();
    let missing = before.iter().filter(|receipt| !tree.contains(receipt.path.as_str())).count();
    assert_eq!(missing, 0, "of {} records from before it was asked to stop", before.len());
    // On a slow machine there are so many that one process brings search up to date with a part of them.
    let is_behind = || home.status()["search"]["state"] != "current";
    let _ = home.recover();
    assert!((0..100).take_while(|_| is_behind()).all(|_| home.cmd(["flush"]).ok().stdout.len() < 1000));
    home.recover_fully();
    assert_exactly_once(&home, &receipts.into_inner().expect("no recorder panicked"));
}

/// If no process has the index open, the next one to open it recovers its log, and all others are refused meanwhile.
#[test]
fn it_holds_the_index_open_from_the_start() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &[PATIENT]);
    let open = std::fs::read_dir(format!("/proc/{}/fd", worker.id())).expect("it runs");
    let index = home.join("memory/index.db");
    let held = open.filter_map(Result::ok).any(|it| std::fs::read_link(it.path()).is_ok_and(|path| path == index));
    assert!(held, "an idle worker does not have the index open");
}

/// What is watched tells the watcher of each time that it is opened, and that wakes the processor.
#[test]
fn with_nothing_to_do_it_looks_and_opens_nothing() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    // With -D the process that is started is the worker itself, not strace.
    let strace = ["strace", "-D", "-f", "-o", name, "-e", "trace=?open,?openat,?openat2,?getdents64,statx"];
    let mut worker = Worker::launch_under(&home, &strace, &["worker.poll_s=1", "worker.age_ms=20"]);
    worker.wait_for_line("worker started");
    let receipts = [home.record("failure", "the last for now")];
    worker.wait_until_committed(&home);
    let looks = |text: &str| text.matches("/.indelible/requests\"").count();
    let before = looks(&std::fs::read_to_string(&trace).expect("strace writes it"));
    let text = wait_for("some more looks", || {
        let text = std::fs::read_to_string(&trace).ok()?;
        (looks(&text) >= before + 9).then_some(text)
    });
    // The first of them may still be to see what the worker itself has done, with search in between; the last three are not.
    let lines: Vec<_> = text.lines().rev().collect();
    let third = lines.iter().enumerate().filter(|(_, line)| looks(line) > 0).nth(2).expect("it has looked").0;
    let last = &lines[..third];
    assert!(
        !last.iter().any(|line| line.contains("open") || line.contains("getdents")),
        "it opens something: {last:#?}"
    );
    assert!(worker.stop(Signal::TERM).success());
    assert_exactly_once(&home, &receipts);
}

/// Watches are given, and nothing ever comes of them.
#[test]
fn a_worker_notices_changes_without_an_event() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let silent = ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=inotify_add_watch"];
    let wrapper = [&silent[..], &["-e", "inject=inotify_add_watch:retval=1"]].concat();
    let mut worker = Worker::launch_under(&home, &wrapper, &["worker.poll_s=1", "worker.age_ms=20"]);
    worker.wait_for_line("worker started");
    let mut receipts = Vec::new();
    for title in ["unheard", "also unheard"] {
        receipts.push(home.record("failure", title));
        worker.wait_until_committed(&home);
    }
    let _ = home.cmd(["flush"]).ok();
    assert!(worker.stop(Signal::TERM).success());
    assert_exactly_once(&home, &receipts);
}

/// One batch for each record, and no event that says that there is more to do.
#[test]
fn a_backlog_is_committed_batch_after_batch() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &["worker.age_ms=20", "worker.records_max=1"]);
    worker.signal(Signal::STOP);
    let receipts: Vec<Receipt> = (0..4).flat_map(|round| home.record_each(&format!("round {round}"))).collect();
    worker.signal(Signal::CONT);
    worker.wait_until_committed(&home);
    assert_exactly_once(&home, &receipts);
}

#[test]
fn what_is_critical_is_committed_at_once() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &[PATIENT]);
    let patient = home.record("failure", "it can wait");
    assert_eq!(pending(&home), 1, "it was committed although it may wait for an hour");
    let urgent = urgent(&home, "it cannot wait");
    worker.wait_until_committed(&home);
    assert_exactly_once(&home, &[patient, urgent]);
}

#[test]
fn sighup_reads_the_settings_again() {
    let home = TestHome::new();
    let config = home.join(".indelible/config.toml");
    std::fs::write(&config, "[worker]\nage_ms = 3600000\n").expect("it can be written");
    let mut worker = Worker::start(&home, &[]);
    let first = home.record("failure", "under the old settings");
    assert_eq!(pending(&home), 1, "the settings in the file were not read at all");
    std::fs::write(&config, "[worker]\nage_ms = 1\n").expect("it can be written");
    worker.signal(Signal::HUP);
    worker.wait_for_line("the settings were read again");
    worker.wait_until_committed(&home);
    let second = home.record("failure", "under the new settings");
    worker.wait_until_committed(&home);
    std::fs::write(&config, "[worker]\nage_ms = \"soon\"\n").expect("it can be written");
    worker.signal(Signal::HUP);
    worker.wait_for_line("the old ones stay");
    let third = home.record("failure", "under settings that make no sense");
    // `status` would rather complain about the file than answer.
    std::fs::remove_file(&config).expect("it can be removed");
    worker.wait_until_committed(&home);
    assert_exactly_once(&home, &[first, second, third]);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_locked_index_does_not_stop_recorders() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    home.flush();
    // After so many commits, the next one brings search up to date.
    home.flush();
    let mut worker = Worker::start(&home, &["worker.age_ms=50", "worker.index_wait_ms=50"]);
    let mut holder = home.index();
    let lock = holder.transaction_with_behavior(TransactionBehavior::Exclusive).expect("no other process writes");
    let meanwhile = home.record_each("while it is locked");
    for receipt in &meanwhile {
        assert_eq!(receipt.row_id, None, "the index was locked, so the row is left to the worker: {receipt:?}");
        assert!(home.join(&receipt.path).exists(), "the file needs no index: {receipt:?}");
    }
    receipts.extend(meanwhile);
    worker.wait_for_line("committing without rows");
    worker.wait_until_committed(&home);
    receipts.push(urgent(&home, "while rows lag"));
    worker.wait_until_committed(&home);
    lock.rollback().expect("it can be let go");
    worker.wait_for_line("the rows that lagged are in the index");
    assert_exactly_once(&home, &receipts);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
}

fn worker_state(home: &TestHome) -> String {
    home.status()["published"]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_locked_branch_is_waited_for() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    home.flush();
    let worker = Worker::quick(&home);
    let lock = home.join(".git/refs/heads/main.lock");
    std::fs::write(&lock, "").expect("the lock is free");
    receipts.push(home.record("failure", "while the branch is locked"));
    wait_for("the worker to come to the lock", || (worker_state(&home) == "committing").then_some(()));
    assert_eq!(pending(&home), 1, "it was committed in spite of the lock");
    std::fs::remove_file(&lock).expect("the lock is still ours");
    worker.wait_until_committed(&home);
    assert_exactly_once(&home, &receipts);
}

#[test]
fn a_lock_without_a_holder_is_moved_aside() {
    if !indelible::fs::os::shows_every_process() {
        skipped("no lock is found stale where not every process is seen");
        return;
    }
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    home.flush();
    let mut worker = Worker::quick(&home);
    let lock = home.join(".git/refs/heads/main.lock");
    std::fs::write(&lock, "left by the dead").expect("the lock is free");
    receipts.push(home.record("failure", "while the branch is locked"));
    worker.wait_for_line("moved a stale lock aside");
    worker.wait_until_committed(&home);
    let aside = std::fs::read_dir(home.join(".git"))
        .expect("it is there")
        .filter_map(Result::ok)
        .find(|entry| std::fs::read(entry.path()).is_ok_and(|bytes| bytes == b"left by the dead"));
    assert!(aside.is_some(), "a lock that is not ours is never deleted");
    assert_exactly_once(&home, &receipts);
}

/// Takes `path` away from under a worker, and holds that nothing is missing in the end.
fn survives_the_loss_of(path: &str, remove: fn(&Path)) {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    let mut worker = Worker::quick(&home);
    receipts.extend(home.record_each("beside it"));
    worker.wait_until_committed(&home);
    remove(&home.join(path));
    receipts.extend(home.record_each("after the loss"));
    let outcome = home.cmd(["flush", "--timeout", "60"]).run();
    assert_eq!(outcome.code(), Some(0), "the worker makes {path} again and goes on: {outcome}");
    assert!(worker.is_running(), "the worker did not survive the loss of {path}");
    assert_exactly_once(&home, &receipts);
    home.assert_sound();
    let _ = home.verify().exits(0);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.assert_settled();
}

#[test]
fn the_index_may_be_deleted_under_it() {
    survives_the_loss_of("memory/index.db", |index| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", index.display()));
        }
        assert!(!index.exists());
    });
}

#[test]
fn the_index_may_be_deleted_under_it_without_its_log() {
    survives_the_loss_of("memory/index.db", |index| std::fs::remove_file(index).expect("it can be removed"));
}

#[test]
fn the_history_may_be_deleted_under_it() {
    // In one step: the worker goes on writing to it, so that removing it piece by piece need never come to an end.
    survives_the_loss_of(".git", |git| {
        std::fs::rename(git, git.with_file_name("deleted")).expect("it can be moved away");
    });
}

#[test]
fn a_repository_of_an_unknown_kind_is_refused_while_the_journal_fills() {
    let home = TestHome::new();
    let before = home.record_each("before");
    home.flush();
    std::fs::rename(home.join(".git"), home.user().join("set-aside")).expect("it can be moved");
    let _ = home.git(["init", "-q", "--object-format=sha256"]).ok();
    let mut worker = Worker::launch(&home, &[], &[]);
    assert_eq!(worker.wait().code(), Some(78), "a worker has nothing to do here: {}", worker.said());
    let bytes = home.journal_bytes();
    let meanwhile = home.record_each("meanwhile");
    assert!(home.journal_bytes() > bytes, "the journal takes what is recorded");
    let flush = home.cmd(["flush"]).run().exits(78);
    assert!(flush.stderr.contains("sha256") || flush.stderr.contains("SHA-256"), "it does not say why: {flush}");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    std::fs::remove_dir_all(home.join(".git")).expect("it can be removed");
    std::fs::rename(home.user().join("set-aside"), home.join(".git")).expect("it can be moved back");
    home.recover_fully();
    assert_exactly_once(&home, &[before, meanwhile].concat());
}

#[test]
fn a_home_is_not_made_in_a_repository_of_an_unknown_kind() {
    let home = TestHome::absent();
    std::fs::create_dir(home.path()).expect("it can be made");
    let _ = home.git(["init", "-q", "--object-format=sha256"]).ok();
    let refused = home.cmd(["init"]).run().exits(78);
    assert!(refused.stderr.contains("nothing was changed"), "{refused}");
    assert_eq!(home.git(["status", "--porcelain"]).ok().stdout, "", "something was left there");
    assert!(!home.join(".git/indelible").exists() && !home.join("memory").exists(), "something was left there");
    std::fs::remove_dir_all(home.join(".git")).expect("it can be removed");
    std::fs::write(home.join(".git"), "no repository\n").expect("it can be written");
    assert_ne!(home.cmd(["init"]).run().code(), Some(0));
    assert!(!home.join(".indelible").exists() && !home.join("memory").exists(), "something was left there");
}
