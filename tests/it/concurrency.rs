//! Many processes at once, and some of them ended at random: every acknowledged record is there exactly once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;

use crate::support::{
    Dice, KINDS, Outcome, Receipt, Stores, TestHome, Worker, assert_exactly_once, beside, in_parallel,
    recorders_at_once, wait_for,
};

#[test]
fn a_thousand_recorders_at_once_beside_a_worker_and_readers() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    let mut receipts = Vec::new();
    let reads = beside(
        || receipts = recorders_at_once(&home, &["failure", "success", "observation", "heuristic"], 1000),
        || {
            // As a foreign tool would: without a timeout.
            let path = home.join("memory/index.db");
            let index = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the index opens");
            index.busy_timeout(std::time::Duration::ZERO).expect("SQLite takes a timeout");
            let read = index.query_row("SELECT count(*) FROM learnings", [], |row| row.get::<_, i64>(0));
            read.expect("a reader is never refused");
        },
    );
    assert!(reads > 0, "nothing was read meanwhile");
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(receipts.len(), 1000);
    assert_eq!(stores.ids().len(), 1000, "there is a record that was never recorded");
    home.assert_settled();
}

#[test]
fn one_key_is_one_record_however_many_record_it() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    let receipts = Mutex::new(Vec::new());
    in_parallel(200, 50, |number| {
        let kind = if number % 2 == 0 { "failure" } else { "success" };
        let receipt = home.recorder(kind, &format!("attempt {number}")).args(["--key", "the one"]).ok().receipt();
        receipts.lock().expect("no recorder panicked").push(receipt);
    });
    home.flush();
    let receipts = receipts.into_inner().expect("no recorder panicked");
    let mut ids: Vec<_> = receipts.iter().map(|receipt| receipt.id.as_str()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "all of one key have one id: {ids:?}");
    // Which of those that raced is the record, the journal's order says; by now the index knows it.
    let repeat = home.recorder("failure", "much later").args(["--key", "the one"]).ok().receipt();
    assert!(repeat.duplicate, "a repeat says that it is one: {repeat:?}");
    let stores = assert_exactly_once(&home, &[repeat]);
    assert_eq!(stores.ids().len(), 1, "one key made more than one record");
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_eq!(Stores::read(&home).ids().len(), 1, "recovery made more than one record of one key");
}

#[test]
fn flushes_recoveries_and_workers_started_at_once_get_out_of_each_others_way() {
    let home = TestHome::new();
    let receipts: Vec<_> = (0..4).flat_map(|round| home.record_each(&format!("round {round}"))).collect();
    let mut running = Vec::new();
    for number in 0..20 {
        if number % 4 == 0 {
            running.push(("recover", home.cmd(["recover", "--timeout", "60"]).spawn()));
        }
        if number % 7 == 0 {
            let worker = home.cmd(["worker", "--log", "stderr", "--set", "worker.age_ms=10"]).spawn();
            running.push(("worker", worker));
        }
        running.push(("flush", home.cmd(["flush", "--timeout", "60"]).spawn()));
    }
    let (workers, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|(name, _)| *name == "worker");
    assert_eq!((workers.len(), others.len()), (3, 25));
    for (name, other) in others {
        let outcome = other.wait();
        assert_eq!(outcome.code(), Some(0), "{name} waits its turn, and its work is done: {outcome}");
    }
    // Of three workers two give up by themselves; the one that is left serves until it is asked to stop.
    let (mut serving, mut ended): (Vec<_>, Vec<Outcome>) = (workers, Vec::new());
    while serving.len() > 1 {
        let index = wait_for("a worker that is not needed ends", || {
            serving.iter_mut().position(|(_, it)| it.child().try_wait().expect("it is our child").is_some())
        });
        ended.push(serving.swap_remove(index).1.wait());
    }
    for outcome in &ended {
        assert_eq!(outcome.code(), Some(75), "a second worker says that another one serves: {outcome}");
    }
    let (_, mut worker) = serving.pop().expect("one of three");
    let process_id = worker.child().id();
    wait_for("the worker that is left says that it serves", || {
        let published = std::fs::read_to_string(home.join(".indelible/status.json")).ok()?;
        let published: serde_json::Value = serde_json::from_str(&published).ok()?;
        (published["process"] == process_id && published["state"] == "idle").then_some(())
    });
    let process = rustix::process::Pid::from_child(worker.child());
    rustix::process::kill_process(process, Signal::TERM).expect("it was not waited for yet");
    let outcome = worker.wait();
    assert_eq!(outcome.code(), Some(0), "the worker that served ends in good order: {outcome}");
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// A recovery sweeps temporary files away: those of a recorder at work, and those of a flush that asks the worker.
#[test]
fn flushes_and_recorders_beside_recoveries_are_not_swept_away() {
    let home = TestHome::new();
    let _worker = Worker::quick(&home);
    let receipts = Mutex::new(Vec::new());
    let work = || {
        in_parallel(300, 6, |number| {
            let outcome = home.cmd(["flush", "--timeout", "60"]).run();
            assert_eq!(outcome.code(), Some(0), "a recovery got in the way of a flush: {outcome}");
            let receipt = home.record(KINDS[number % KINDS.len()], &format!("beside recoveries {number}"));
            receipts.lock().expect("no recorder panicked").push(receipt);
        });
    };
    let times = beside(work, || drop(home.recover()));
    assert!(times > 0, "no recovery ran meanwhile");
    home.flush();
    assert_exactly_once(&home, &receipts.into_inner().expect("no recorder panicked"));
}

#[test]
fn gits_own_gc_beside_a_worker_loses_nothing() {
    let home = TestHome::new();
    let receipts = Mutex::new(home.record_each("before"));
    home.flush();
    let worker = Worker::start(&home, &["worker.age_ms=1", "history.packs_max=4"]);
    let work = || {
        in_parallel(120, 3, |number| {
            let receipt = home.record(KINDS[number % KINDS.len()], &format!("beside gc {number}"));
            receipts.lock().expect("no recorder panicked").push(receipt);
        });
    };
    let times = beside(work, || {
        // It may well fail where the worker is in its way; it may not harm.
        let _ = home.git(["gc", "--prune=now", "-q"]).run();
    });
    assert!(times > 0, "gc never ran");
    let _ = home.git(["gc", "--prune=now", "-q"]).run();
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.assert_sound();
    assert_exactly_once(&home, &receipts.into_inner().expect("no recorder panicked"));
    home.recover_fully();
}

#[test]
fn workers_and_recorders_killed_at_random_lose_and_double_nothing() {
    let home = TestHome::new();
    let acknowledged = Mutex::new(Vec::<Receipt>::new());
    let killed = AtomicUsize::new(0);
    let settings = ["worker.age_ms=1", "journal.segment_bytes_max=4096", "journal.keep_s=0", "history.packs_max=6"];
    for round in 0..12_u64 {
        let mut dice = Dice(round * 7919 + 17);
        let worker = Worker::start(&home, &settings);
        let pauses: Vec<u64> = (0..16).map(|_| dice.below(3000)).collect();
        in_parallel(16, 4, |number| {
            let mut recorder = home.recorder(KINDS[number % KINDS.len()], &format!("round {round}, {number}")).spawn();
            if number % 4 == 0 {
                // Not a wait for something: the moment of its death is drawn by lot.
                std::thread::sleep(std::time::Duration::from_micros(pauses[number]));
                let _ = recorder.child().kill();
            }
            let outcome = recorder.wait();
            if outcome.code() == Some(0) {
                acknowledged.lock().expect("no recorder panicked").push(outcome.receipt());
            } else {
                assert_eq!(number % 4, 0, "only what was killed may fail: {outcome}");
                killed.fetch_add(1, Ordering::Relaxed);
            }
        });
        worker.kill();
    }
    home.recover_fully();
    let acknowledged = acknowledged.into_inner().expect("no recorder panicked");
    let stores = assert_exactly_once(&home, &acknowledged);
    let unpromised = stores.ids().len() - acknowledged.len();
    let killed = killed.into_inner();
    assert!(killed > 0, "no recorder was killed in time, so nothing was tested");
    assert!(unpromised <= killed, "{unpromised} records are there that were never recorded");
}
