//! `erase` beside a running worker: the worker does it, whatever else goes on, and whichever of the two is killed on the way.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indelible::home::Home;
use rustix::process::Signal;

use crate::changes::Subject;
use crate::erase::{assert_agree, assert_gone, assert_whole, erase, recorded, secrets};
use crate::support::{Receipt, TestHome, Worker, wait_for};

/// A home with secrets of each kind, all committed, and a record beside them.
fn planted() -> (TestHome, Vec<Receipt>, Receipt) {
    let home = TestHome::new();
    let other = home.record("failure", "before");
    home.flush();
    let secrets = secrets(&home);
    home.flush();
    (home, secrets, other)
}

fn is_noted(home: &TestHome) -> bool {
    home.private().join("erasing.json").exists()
}

/// Waits until the worker has published that it serves.
fn wait_until_idle(home: &TestHome) {
    wait_for("the worker to serve", || {
        let text = fs::read_to_string(home.private().join("status.json")).ok()?;
        text.contains("\"idle\"").then_some(())
    });
}

#[test]
fn a_running_worker_erases_and_goes_on() {
    let (home, secrets, other) = planted();
    let mut worker =
        home.cmd(["worker", "--log", "file", "--set", "worker.age_ms=20", "--set", "log.level=debug"]).spawn();
    wait_until_idle(&home);
    // What the worker writes into its log while it has the file open.
    let late = recorded(
        &home,
        &["failure", "--title", "late hunter2 zebra", "--domain", "sekretdomain9", "--summary", "akia7zz in it"],
    );
    let page = home.join(&late.page());
    wait_for("the file", || page.exists().then_some(()));
    let text = fs::read_to_string(&page).expect("a page");
    fs::write(&page, text.replace("akia7zz in it", "akia7zz edited by hand")).expect("edited");
    let logs =
        || fs::read_dir(home.private().join("logs")).expect("logs").flatten().map(|it| it.path()).collect::<Vec<_>>();
    let log = wait_for("a log", || logs().pop());
    let mut file = fs::OpenOptions::new().append(true).open(&log).expect("a log");
    std::io::Write::write_all(&mut file, b"it said: late hunter2 zebra\n").expect("written");
    let stop = AtomicBool::new(false);
    let others = std::thread::scope(|scope| {
        let recorders: Vec<_> = (0..2)
            .map(|n| {
                let (home, stop) = (&home, &stop);
                scope.spawn(move || {
                    let mut receipts = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        receipts.push(home.record("failure", &format!("beside {n} {}", receipts.len())));
                    }
                    receipts
                })
            })
            .collect();
        let all: Vec<Receipt> = secrets.iter().chain([&late]).cloned().collect();
        let said = erase(&home, &all, &["--yes", "--json"]).run();
        stop.store(true, Ordering::Relaxed);
        let said = said.exits(0).json();
        assert_eq!(said["erased"].as_array().map(Vec::len), Some(all.len()), "{said}");
        recorders.into_iter().flat_map(|it| it.join().expect("it recorded")).collect::<Vec<_>>()
    });
    assert!(!others.is_empty() && worker.child().try_wait().expect("ours").is_none(), "the worker goes on");
    assert_gone(&home);
    let after = home.record("success", "after");
    wait_for("the worker to commit", || (home.status()["pending"]["records"] == 0).then_some(()));
    let lines = fs::read_to_string(&log).expect("a log");
    assert!(
        lines.contains("erased") && !lines.contains("hunter2"),
        "it still writes to the log that is there: {lines}"
    );
    worker.signal(Signal::TERM);
    let _ = worker.wait().exits(0);
    assert_gone(&home);
    assert_whole(&home, &others);
    assert_whole(&home, &[other, after]);
    assert_agree(&home);
}

/// The worker dies at each step; the command, or the next worker if the command dies as well, finishes it.
#[test]
fn whichever_is_killed_the_other_one_finishes() {
    let points = [
        "EraseBeforeNote",
        "EraseBeforeNote:2",
        "EraseBeforeAppend",
        "HideBeforeRemove:3",
        "PruneBeforeUnlink",
        "EraseBeforeVacuum",
        "EraseBeforeFile",
        "EraseBeforeReference",
        "EraseBeforeReference:2",
        "EraseAfterReferences",
        "EraseBeforeOldPack",
        "EraseBeforeDone",
    ];
    for (number, point) in points.into_iter().enumerate() {
        let (home, secrets, other) = planted();
        let _ = home.git(["gc", "-q"]).ok();
        let mut worker = Worker::launch(&home, &["worker.age_ms=50"], &[("INDELIBLE_CRASH_AT", point)]);
        worker.wait_for_line("worker started");
        wait_until_idle(&home);
        if number % 2 == 0 {
            let said = erase(&home, &secrets, &["--yes"]).run();
            assert_eq!(said.code(), Some(0), "{point}: {said}");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&worker.wait()), Some(6), "{point}: it crashed");
        } else {
            let killed = erase(&home, &secrets, &["--yes"]).env("INDELIBLE_CRASH_AT", "EraseBeforeDone").run();
            assert_ne!(killed.code(), Some(0), "{point}: {killed}");
            assert!(is_noted(&home), "{point}: it has begun");
            assert!(!worker.is_running(), "{point}: it crashed");
            let next = Worker::quick(&home);
            wait_for("the next worker to finish it", || (!is_noted(&home)).then_some(()));
            assert!(next.stop(Signal::TERM).success());
        }
        assert!(!is_noted(&home), "{point}: it is finished");
        assert_gone(&home);
        assert_whole(&home, &[other]);
        assert_agree(&home);
    }
}

#[test]
fn a_worker_that_starts_half_way_waits_for_the_command() {
    let (home, secrets, other) = planted();
    let mut command = erase(&home, &secrets, &["--yes"]).spawn();
    wait_for("the erasure to begin", || is_noted(&home).then_some(()));
    command.signal(Signal::STOP);
    assert!(command.stops());
    let mut worker = Worker::launch(&home, &["worker.age_ms=50"], &[]);
    let later = home.record("failure", "later");
    assert!(worker.is_running(), "it waits for the lock");
    command.signal(Signal::CONT);
    let _ = command.wait().exits(0);
    assert_gone(&home);
    worker.wait_until_committed(&home);
    assert!(worker.stop(Signal::TERM).success());
    assert_gone(&home);
    assert_whole(&home, &[other, later]);
    assert_agree(&home);
}

/// A reader of the index holds up the end alone: the worker goes on, says so, and finishes by itself.
#[test]
fn a_worker_finishes_by_itself_once_nothing_is_in_the_way() {
    let (home, secrets, other) = planted();
    let worker = Worker::start(&home, &["worker.age_ms=20", "worker.index_wait_ms=50"]);
    let reader = home.index();
    reader.execute_batch("BEGIN; SELECT count(*) FROM learnings;").expect("read");
    let begun = erase(&home, &secrets, &["--yes"]).run().exits(75);
    assert!(begun.stderr.contains("begun; still: the index"), "{begun}");
    let meanwhile = home.record("failure", "meanwhile");
    assert!(!home.join(&secrets[0].page()).exists(), "it is kept away at once");
    wait_for("the worker to commit what comes meanwhile", || (home.status()["pending"]["records"] == 0).then_some(()));
    reader.execute_batch("COMMIT").expect("ended");
    drop(reader);
    wait_for("the worker to finish it", || (!is_noted(&home)).then_some(()));
    assert!(worker.stop(Signal::TERM).success());
    assert_gone(&home);
    assert_whole(&home, &[other, meanwhile]);
    assert_agree(&home);
    // A lock on the index: nothing has begun.
    let worker = Worker::start(&home, &["worker.age_ms=20", "worker.index_wait_ms=50"]);
    let more = recorded(&home, &["failure", "--title", "hunter2 at work", "--domain", "d"]);
    worker.wait_until_committed(&home);
    let writer = home.index();
    writer.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let refused = erase(&home, std::slice::from_ref(&more), &["--yes"]).run().exits(75);
    assert!(refused.stderr.contains("nothing was erased") && !is_noted(&home), "{refused}");
    writer.execute_batch("ROLLBACK").expect("released");
    let _ = Subject::of(&home, &more);
    let _ = erase(&home, &[more], &["--yes"]).ok();
    assert_gone(&home);
}

/// A worker of an older program takes requests away that it cannot read.
#[test]
fn a_worker_that_does_not_know_the_request_is_named() {
    let (home, secrets, _) = planted();
    let lib = Home::open(home.path()).expect("a home");
    let held = lib.exclusive("a worker").expect("a lock").expect("it is free");
    let requests = home.private().join("requests");
    let command = erase(&home, &secrets, &["--yes"]).spawn();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let mut command = command;
    while command.child().try_wait().expect("ours").is_none() && std::time::Instant::now() < end {
        for entry in fs::read_dir(&requests).expect("a folder").flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }
    let refused = command.wait().exits(75);
    assert!(refused.stderr.contains("nothing was erased") && refused.stderr.contains("worker --stop"), "{refused}");
    assert!(!is_noted(&home));
    drop(held);
    assert_whole(&home, &secrets);
}

/// A recorder that was stopped just after its sync goes on when its record is erased: it brings nothing back.
#[test]
fn a_recorder_that_was_stopped_brings_nothing_back() {
    for kind in ["failure", "experiment"] {
        for (point, lock) in [
            ("PlaceBeforeWrite", false),
            ("PlaceBeforeWrite", true),
            ("PlaceBeforeRename", false),
            ("PlaceAfterRename", false),
        ] {
            let home = TestHome::new();
            let other = home.record("failure", "before");
            home.flush();
            let mut running = home.recorder(kind, "hunter2 zebra, stopped").env("INDELIBLE_STOP_AT", point).spawn();
            assert!(running.stops(), "{point}");
            let (_, bytes) = home.journal().pop().expect("a segment");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let entry = text.lines().find(|line| line.contains("hunter2")).expect("it is synced");
            let json = entry.split_once('{').map(|(_, rest)| format!("{{{rest}")).expect("JSON");
            let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let id = json["id"].as_str().expect("an id").to_owned();
            let _ = home.cmd(["erase", &id, "--yes"]).ok();
            assert_gone(&home);
            let held = lock.then(|| home.index());
            held.iter().for_each(|held| held.execute_batch("BEGIN IMMEDIATE").expect("locked"));
            running.signal(Signal::CONT);
            let _ = running.wait().exits(0);
            drop(held);
            assert_gone(&home);
            home.recover_fully();
            assert_gone(&home);
            assert_whole(&home, &[other]);
            assert_agree(&home);
        }
    }
}
