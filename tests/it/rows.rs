//! Who inserts a record's row: the worker if one runs, else the recorder.

use rustix::process::Signal;

use crate::support::{TestHome, Worker, assert_exactly_once};

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
    let own = home.recorder("failure", "its own row").args(["--set", "record.row=recorder"]).ok().receipt();
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
