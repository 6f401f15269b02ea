//! Everybody in everybody's way: one domain, one index, one journal, two homes, and processes that are stopped in the
//! middle of what they do. No other process waits for them, and nothing is lost or doubled.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rusqlite::TransactionBehavior;
use rustix::process::Signal;

use crate::support::{
    Dice, KINDS, OWN_ROW, Receipt, Running, TestHome, Worker, assert_exactly_once, beside, in_parallel,
    recorders_at_once, wait_for,
};

/// Receipts that many threads collect.
#[derive(Default)]
struct Receipts(Mutex<Vec<Receipt>>);

impl Receipts {
    fn push(&self, receipt: Receipt) {
        self.0.lock().expect("no recorder panicked").push(receipt);
    }

    fn count(&self) -> usize {
        self.0.lock().expect("no recorder panicked").len()
    }

    fn all(self) -> Vec<Receipt> {
        self.0.into_inner().expect("no recorder panicked")
    }
}

#[test]
fn five_hundred_heuristics_of_one_domain_at_once() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &["worker.age_ms=1"]);
    let receipts = recorders_at_once(&home, &["heuristic"], 500);
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), 500, "there is a rule that was never recorded");
    let page =
        std::fs::read_to_string(home.join("memory/heuristics/rules-of-thumb/README.md")).expect("it is rendered");
    for number in 0..500 {
        let shown = page.lines().filter(|line| line.ends_with(&format!("number {number}"))).count();
        assert_eq!(shown, 1, "the page shows number {number} {shown} times");
    }
    home.recover_fully();
}

/// A reader that never ends its transaction keeps the log from being cut, but does not keep others from writing.
#[test]
fn a_reader_that_holds_its_transaction_open() {
    let home = TestHome::new();
    let before = home.record_each("before");
    home.flush();
    let worker = Worker::start(&home, &["worker.age_ms=1", "journal.segment_bytes_max=4096", "journal.keep_s=0"]);
    let mut reader = home.index();
    let transaction = reader.transaction().expect("a reader is never refused");
    let count = || transaction.query_row("SELECT count(*) FROM records", [], |row| row.get::<_, i64>(0));
    assert_eq!(count(), Ok(5));
    let receipts = Receipts::default();
    in_parallel(60, 6, |number| {
        let kind = KINDS[number % KINDS.len()];
        let recorder = home.recorder(kind, &format!("beside a reader {number}"));
        let receipt = recorder.args(OWN_ROW).ok().receipt();
        assert!(receipt.row_id.is_some(), "a reader kept a recorder from its row: {receipt:?}");
        receipts.push(receipt);
    });
    home.flush();
    worker.wait_until_committed(&home);
    assert_eq!(count(), Ok(5), "a transaction sees what it saw first");
    drop(transaction);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &[before, receipts.all()].concat());
}

/// Recorders leave their rows to the worker then, and the worker commits without them: they follow once it is free.
#[test]
fn a_writer_that_locks_the_index() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &["worker.age_ms=1", "worker.index_wait_ms=50"]);
    for (name, behavior) in
        [("exclusive", TransactionBehavior::Exclusive), ("immediate", TransactionBehavior::Immediate)]
    {
        let mut writer = home.index();
        let lock = writer.transaction_with_behavior(behavior).expect("no other process writes for long");
        let receipts = Receipts::default();
        in_parallel(30, 6, |number| {
            let recorder = home.recorder(KINDS[number % KINDS.len()], &format!("{name} {number}"));
            let receipt = if number % 2 == 0 { recorder.args(OWN_ROW).ok() } else { recorder.ok() }.receipt();
            assert_eq!(receipt.row_id, None, "it cannot have a row yet: {receipt:?}");
            receipts.push(receipt);
        });
        worker.wait_until_committed(&home);
        assert_eq!(rows_behind(&home), 30, "the lock was held, and rows are there");
        lock.rollback().expect("it can be let go");
        wait_for_rows(&home);
        let stores = assert_exactly_once(&home, &receipts.all());
        assert!(stores.ids().len() >= 30, "rows are missing");
    }
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
}

fn rows_behind(home: &TestHome) -> u64 {
    home.status()["rows_owed"]["records"].as_u64().expect("it is a number")
}

fn wait_for_rows(home: &TestHome) {
    wait_for("the rows that lag", || (rows_behind(home) == 0).then_some(()));
}

fn keyed(home: &TestHome, kind: &str, headline: &str, key: &str) -> Receipt {
    home.recorder(kind, headline).args(["--key", key]).ok().receipt()
}

/// A process that does not let go of SQLite's lock, as one that was stopped: no other process waits for it, whatever is killed
/// meanwhile.
#[test]
fn rows_lag_across_workers_that_are_killed() {
    let home = TestHome::new();
    let settings = ["worker.age_ms=1", "worker.index_wait_ms=50", "journal.segment_bytes_max=4096", "journal.keep_s=0"];
    let worker = Worker::start(&home, &settings);
    let mut receipts = home.record_each("before");
    home.flush();
    let mut writer = home.index();
    let lock =
        writer.transaction_with_behavior(TransactionBehavior::Immediate).expect("no other process writes for long");
    let oldest = home.journal()[0].0.clone();
    let first = keyed(&home, "failure", "keyed, the first", "one");
    receipts.extend(home.record_each("while it is locked"));
    worker.wait_until_committed(&home);
    worker.kill();
    // Two that know nothing of each other: the index has no row of the first's, and its batch is over.
    let second = keyed(&home, "failure", "keyed, a repeat", "one");
    assert_eq!(second.id, first.id, "a key names one record");
    let worker = Worker::start(&home, &settings);
    let third = keyed(&home, "failure", "keyed, another repeat", "one");
    assert_eq!(third.id, first.id, "a key names one record");
    for round in 0..3 {
        receipts.extend(home.record_each(&format!("behind a killed worker, {round}")));
        worker.wait_until_committed(&home);
    }
    let behind = rows_behind(&home);
    assert!(behind > 20, "only {behind} rows lag");
    assert_eq!(home.journal()[0].0, oldest, "a segment went whose rows lag");
    assert!(home.journal().len() > 1, "there was no second segment, so nothing was held back");
    let _ = home.verify().exits(0);
    worker.kill();
    lock.rollback().expect("it can be let go");
    let worker = Worker::start(&home, &settings);
    wait_for_rows(&home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    receipts.push(first);
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), receipts.len(), "there is a record that was never recorded");
    let _ = home.verify().exits(0);
    home.recover_fully();
    assert!(home.journal()[0].0 > oldest, "the segments stay for ever");
}

/// `flush` does what its name says, and the next one inserts the rows; `recover` says that it is not done.
#[test]
fn commands_beside_a_locked_index() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    home.flush();
    let mut writer = home.index();
    let lock =
        writer.transaction_with_behavior(TransactionBehavior::Immediate).expect("no other process writes for long");
    receipts.push(keyed(&home, "heuristic", "keyed", "one"));
    receipts.extend(home.record_each("while it is locked"));
    let flush = || home.cmd(["flush", "--set", "worker.index_wait_ms=50"]).ok();
    let _ = flush();
    let status = home.status();
    assert_eq!(status["pending"]["records"], 0, "it was not committed: {status}");
    assert_eq!(status["rows_owed"]["records"], 6, "rows are there: {status}");
    let _ = keyed(&home, "heuristic", "a repeat", "one");
    let _ = flush();
    let _ = home.cmd(["recover", "--set", "worker.index_wait_ms=50"]).run().exits(75);
    lock.rollback().expect("it can be let go");
    let _ = flush();
    assert_eq!(rows_behind(&home), 0);
    assert_exactly_once(&home, &receipts);
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

/// The lock in its oldest form: another program's connection that lets no other connection in at all, not even readers.
#[test]
fn a_program_that_keeps_the_index_to_itself() {
    let home = TestHome::new();
    // The worker holds it open, so it has to come later.
    let mut writer = home.index();
    let mode = writer.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |row| row.get::<_, String>(0));
    assert_eq!(mode.as_deref(), Ok("exclusive"));
    let taken = writer.transaction_with_behavior(TransactionBehavior::Exclusive).expect("no other process has it open");
    taken.commit().expect("there is nothing to commit");
    let mut receipts = Vec::new();
    for kind in KINDS {
        let receipt = home.record(kind, "kept out");
        assert_eq!(receipt.row_id, None, "it cannot have a row yet: {receipt:?}");
        receipts.push(receipt);
    }
    let keyed = home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt();
    drop(writer);
    home.recover_fully();
    receipts.push(keyed);
    assert_exactly_once(&home, &receipts);
}

#[test]
fn two_homes_side_by_side() {
    let homes = [TestHome::new(), TestHome::new()];
    let workers = [Worker::quick(&homes[0]), Worker::quick(&homes[1])];
    let receipts = [Receipts::default(), Receipts::default()];
    in_parallel(120, 8, |number| {
        let here = number % 2;
        let recorder = homes[here].recorder(KINDS[number / 2 % KINDS.len()], &format!("home {here}, {number}"));
        // The same keys in both: a record's name is its home's.
        let recorder = if number % 3 == 0 { recorder.args(["--key", &format!("{}", number / 2)]) } else { recorder };
        receipts[here].push(recorder.ok().receipt());
    });
    let mut seen = BTreeSet::new();
    for ((home, worker), receipts) in homes.iter().zip(workers).zip(receipts) {
        home.flush();
        assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
        let receipts = receipts.all();
        let stores = assert_exactly_once(home, &receipts);
        assert_eq!(stores.ids().len(), 60, "a record of the other home is here");
        assert!(stores.ids().into_iter().all(|id| seen.insert(id)), "two homes have records of one name");
        home.recover_fully();
    }
}

/// Where a recorder is stopped with nothing of SQLite's in its hands: around its append, and around its file.
const STOPS: [&str; 6] = [
    "AppendBeforeWrite",
    "AppendBeforeSync",
    "AppendAfterSync",
    "PlaceBeforeWrite",
    "PlaceBeforeRename",
    "PlaceAfterRename",
];

/// A recorder that has stopped itself at `stop`. The worker can have placed a recorder's file before it came to that,
/// and then it ends without.
fn stopped_at(home: &TestHome, stop: &str, number: usize, receipts: &Receipts) -> Running {
    loop {
        let recorder = home.recorder(KINDS[number], &format!("stopped {stop}, {number}"));
        let mut running = recorder.env("INDELIBLE_STOP_AT", format!("{stop}:1")).spawn();
        if running.stops() {
            return running;
        }
        assert!(stop.starts_with("Place"), "it did not stop at {stop}, to which every recorder comes");
        let outcome = running.wait();
        assert_eq!(outcome.code(), Some(0), "a recorder whose file was placed by the worker fails: {outcome}");
        receipts.push(outcome.receipt());
    }
}

/// Recorders stopped in the middle of what they do, while segments come and go; continued long after the segment that
/// they wrote to, or were about to, is gone.
#[test]
fn recorders_stopped_while_segments_rotate() {
    let home = TestHome::new();
    let settings = [
        "worker.age_ms=1",
        "worker.index_wait_ms=50",
        "journal.segment_bytes_max=4096",
        "journal.keep_s=0",
        "history.packs_max=6",
    ];
    let worker = Worker::start(&home, &settings);
    let receipts = Receipts::default();
    let oldest = |home: &TestHome| home.journal().first().map(|(name, _)| name.clone());
    for stop in STOPS {
        let mut stopped: Vec<_> = (0..5).map(|number| stopped_at(&home, stop, number, &receipts)).collect();
        let newest = home.journal().last().map(|(name, _)| name.clone());
        wait_for("the segments that there were to be gone", || {
            // No process waits for the stopped ones.
            in_parallel(4, 4, |number| {
                receipts.push(home.record(KINDS[number % KINDS.len()], &format!("beside the stopped, {stop}")));
            });
            (oldest(&home) > newest).then_some(())
        });
        worker.wait_until_committed(&home);
        for running in &mut stopped {
            running.signal(Signal::CONT);
        }
        for running in stopped {
            let outcome = running.wait();
            assert_eq!(outcome.code(), Some(0), "a recorder that was stopped for a while fails: {outcome}");
            receipts.push(outcome.receipt());
        }
        home.flush();
    }
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let count = receipts.count();
    // Before anything is recovered, which would find a file that the journal lost.
    let stores = assert_exactly_once(&home, &receipts.all());
    assert_eq!(stores.ids().len(), count, "there is a record that was never recorded");
    home.recover_fully();
}

/// A recorder that is stopped with SQLite's lock in its hands keeps others from their rows, never from recording, and
/// never the worker from committing.
#[test]
fn a_recorder_stopped_while_it_writes_its_row() {
    let home = TestHome::new();
    let receipts = Receipts::default();
    let mut worker = Worker::start(&home, &["worker.age_ms=1", "worker.index_wait_ms=50"]);
    let mut dice = Dice(99);
    let mut held = 0;
    for round in 0..40 {
        let stopped = home.recorder("failure", &format!("stopped {round}")).args(OWN_ROW);
        let mut running = if round % 4 == 0 {
            let mut running = stopped.env("INDELIBLE_STOP_AT", "RowBeforeCommit").spawn();
            assert!(running.stops(), "its row is about to be committed");
            running
        } else {
            let mut running = stopped.spawn();
            // Not a wait for something: the moment at which it is stopped is drawn by lot.
            std::thread::sleep(std::time::Duration::from_micros(1000 + dice.below(5000)));
            running.signal(Signal::STOP);
            running
        };
        let beside = home.recorder("success", &format!("beside it {round}"));
        let receipt = beside.args(OWN_ROW).ok().receipt();
        held += usize::from(receipt.row_id.is_none());
        receipts.push(receipt);
        worker.wait_until_committed(&home);
        running.signal(Signal::CONT);
        receipts.push(running.wait().exits(0).receipt());
    }
    println!("{held} of 40 times SQLite's lock was held");
    assert!(held >= 10, "those that stopped themselves held it: {held}");
    home.flush();
    wait_for_rows(&home);
    assert!(worker.is_running());
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_exactly_once(&home, &receipts.all());
}

/// A worker that is stopped holds up no other process: its lock is not waited for.
#[test]
fn a_worker_stopped_at_random() {
    let home = TestHome::new();
    let settings = ["worker.age_ms=1", "journal.segment_bytes_max=4096", "journal.keep_s=0"];
    let worker = Worker::start(&home, &settings);
    let receipts = Receipts::default();
    let mut dice = Dice(1234);
    let record = |number: usize| receipts.push(home.record(KINDS[number % KINDS.len()], &format!("record {number}")));
    for round in 0..20 {
        let work = || {
            // Not a wait for something: the moment at which it is stopped is drawn by lot.
            std::thread::sleep(std::time::Duration::from_micros(dice.below(20_000)));
            worker.signal(Signal::STOP);
        };
        let _ = beside(work, || record(round));
        in_parallel(6, 3, record);
        worker.signal(Signal::CONT);
    }
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    let count = receipts.count();
    let stores = assert_exactly_once(&home, &receipts.all());
    assert_eq!(stores.ids().len(), count, "there is a record that was never recorded");
}

/// A batch of many, stopped again and again, beside a journal that goes on to new segments all the time.
#[test]
fn a_batch_stopped_again_and_again() {
    let home = TestHome::new();
    let settings = ["worker.age_ms=1", "journal.segment_bytes_max=4096", "journal.keep_s=0"];
    let worker = Worker::start(&home, &settings);
    let lines: String = (0..3000)
        .map(|number| format!("{{\"kind\":\"failure\",\"title\":\"line {number}\",\"domain\":\"ci\"}}\n"))
        .collect();
    let mut batch = home.cmd(["record", "batch", "--json"]).stdin(lines).spawn();
    let receipts = Receipts::default();
    let mut dice = Dice(77);
    let mut stops = 0;
    while batch.child().try_wait().expect("it is our child").is_none() && stops < 30 {
        batch.signal(Signal::STOP);
        receipts.push(home.record("success", &format!("beside a batch {stops}")));
        batch.signal(Signal::CONT);
        // Not a wait for something: how far it gets is drawn by lot.
        std::thread::sleep(std::time::Duration::from_micros(dice.below(8000)));
        stops += 1;
    }
    assert!(stops > 3, "the batch was over too soon");
    let outcome = batch.wait().exits(0);
    for line in outcome.stdout.lines() {
        receipts.push(Receipt::of(&serde_json::from_str(line).expect("a line of JSON")));
    }
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert_eq!(receipts.count(), 3000 + stops);
    assert_exactly_once(&home, &receipts.all());
}
