//! Who inserts a record's row: the worker if one runs, else the recorder.

use rustix::process::Signal;

use crate::support::{OWN_ROW, TestHome, Worker, assert_exactly_once};

/// A recorder beside a worker does not open the index, and readers know the record before it has a row.
#[test]
fn a_worker_that_runs_inserts_the_rows() {
    let home = TestHome::new();
    let before = home.record("failure", "before the worker");
    assert!(before.row_id.is_some(), "no worker runs: {before:?}");
    let worker = Worker::start(&home, &["worker.age_ms=3600000", "worker.records_due=1000"]);
    let beside = home.record("failure", "beside the worker");
    assert_eq!(beside.row_id, None, "the worker inserts it: {beside:?}");
    assert!(home.join(&beside.path).exists(), "its file is there: {beside:?}");
    let listed = home.cmd(["list", "--json"]).ok().stdout;
    assert!(listed.contains(&beside.id), "a reader knows it: {listed}");
    let own = home.recorder("failure", "its own row").args(OWN_ROW).ok().receipt();
    assert!(own.row_id.is_some(), "the setting asks for it: {own:?}");
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let after = home.record("failure", "after the worker");
    assert!(after.row_id.is_some(), "no worker runs any more: {after:?}");
    home.flush();
    assert_exactly_once(&home, &[before, beside, own, after]);
}

/// The text of a killed worker stays in the lock's file, and says nothing.
#[test]
fn a_killed_worker_gets_no_rows() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &["worker.age_ms=3600000"]);
    let beside = home.record("failure", "beside the worker");
    assert_eq!(worker.stop(Signal::KILL).code(), None);
    let after = home.record("failure", "after the worker");
    assert_eq!((beside.row_id, after.row_id.is_some()), (None, true), "{beside:?} {after:?}");
    home.recover_fully();
    assert_exactly_once(&home, &[beside, after]);
}

/// A worker can end between a recorder's look at its lock and its next batch: with everything committed that it found, or killed.
/// Then the record has no row until the next worker, `flush` or `recover`, and readers know it all the same.
#[test]
fn a_worker_ends_just_after_a_recorder_has_left_it_a_row() {
    for (signal, recorder_too) in
        [(Signal::TERM, false), (Signal::KILL, false), (Signal::TERM, true), (Signal::KILL, true)]
    {
        let home = TestHome::new();
        let worker = Worker::start(&home, &["worker.age_ms=3600000", "worker.records_due=1000"]);
        let mut left = home.recorder("failure", "left to the worker").env("INDELIBLE_STOP_AT", "RowLeft").spawn();
        assert!(left.stops(), "it sees that a worker runs");
        let ended = worker.stop(signal);
        assert_eq!(ended.code(), (signal == Signal::TERM).then_some(0));
        let mut receipts = Vec::new();
        if recorder_too {
            left.signal(Signal::KILL);
            assert_eq!(left.wait().code(), None);
        } else {
            left.signal(Signal::CONT);
            receipts.push(left.wait().exits(0).receipt());
            assert_eq!(receipts[0].row_id, None);
        }
        let listed = home.cmd(["list", "--json"]).ok().stdout;
        assert!(listed.contains("left to the worker"), "{signal:?}: a reader knows it: {listed}");
        receipts.push(home.record("failure", "after the worker"));
        home.flush();
        let stores = assert_exactly_once(&home, &receipts);
        assert_eq!(stores.ids().len(), 2, "{signal:?}: the record of the killed recorder is whole as well");
        home.recover_fully();
    }
}
