//! A clock that was set back or ahead, that stands still, or that jumps: what it says is written down and decides
//! nothing. Ids are of one record each, order is the journal's, and a batch is due when it is due.
//!
//! The real binary, with a library before the system's own that tells it the wrong time ([`clock.c`]).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Cmd, KINDS, Receipt, Stores, TestHome, Worker, assert_exactly_once};

const YEAR: i64 = 365 * 24 * 3600;

/// What is wrong with a clock.
struct Clock {
    name: &'static str,
    /// As `clock.c` takes it.
    shift: String,
}

fn clocks() -> Vec<Clock> {
    let clock = |name, shift: String| Clock { name, shift };
    vec![
        clock("a year ahead", format!("{YEAR}")),
        clock("a year back", format!("{}", -YEAR)),
        clock("at the epoch, standing still", "=0".to_owned()),
        clock("standing still in 2050", "=2540000000".to_owned()),
        clock("jumping by a year", format!("~{YEAR}")),
        clock("jumping by a second", "~1".to_owned()),
    ]
}

/// The library that makes clocks wrong, in a folder of its own.
pub(crate) struct Shim {
    _folder: tempfile::TempDir,
    library: PathBuf,
}

impl Shim {
    pub(crate) fn new() -> Shim {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, library) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
        std::fs::write(&source, include_str!("clock.c")).expect("it can be written");
        let mut cc = Command::new("cc");
        let built = cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source).output();
        let built = built.expect("there is a C compiler: SQLite was built with it");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Shim { _folder: folder, library }
    }

    /// The environment of a process whose clock is wrong.
    fn environment<'e>(&'e self, shift: &'e str) -> [(&'e str, &'e str); 2] {
        let library = self.library.to_str().expect("the temporary folder's name is UTF-8");
        [("LD_PRELOAD", library), ("SHIFT", shift)]
    }

    /// `command` with a clock that is wrong.
    pub(crate) fn on(&self, shift: &str, command: Cmd) -> Cmd {
        self.environment(shift).into_iter().fold(command, |command, (name, value)| command.env(name, value))
    }
}

/// Twenty lines of a batch.
fn lines(name: &str) -> String {
    let line = |number| json!({ "kind": "failure", "domain": "ci", "title": format!("{name}, line {number:02}") });
    (0..20).map(|number| line(number).to_string() + "\n").collect()
}

/// When a record says that it was made, in seconds since 1970.
fn created_at(outcome: &Value) -> i64 {
    let text = outcome["created_at"].as_str().expect("a receipt has its time");
    text.parse::<jiff::Timestamp>().expect("it is one").as_second()
}

/// What the records in the commits of the branch are called, in the order of the commits and of their messages.
fn committed_order(home: &TestHome) -> Vec<String> {
    let log = home.git(["log", "--reverse", "--format=%B", home.branch()]).ok().stdout;
    let named = |line: &str| Some(line.strip_prefix("- ")?.split_once(": ")?.1.rsplit_once(" (")?.0.to_owned());
    log.lines().filter_map(named).collect()
}

#[test]
fn records_of_any_time_are_each_there_once_and_in_the_journals_order() {
    let (home, shim) = (TestHome::new(), Shim::new());
    let (mut receipts, mut order) = (Vec::new(), Vec::new());
    let now = jiff::Timestamp::now().as_second();
    for round in 0..2 {
        for Clock { name, shift } in clocks() {
            let name = format!("{name}, round {round}");
            for kind in KINDS {
                let headline = format!("{name} {kind}");
                let outcome = shim.on(&shift, home.recorder(kind, &headline)).ok();
                receipts.push(outcome.receipt());
                order.push(headline);
                let told = created_at(&outcome.json());
                match shift.strip_prefix('=') {
                    Some(frozen) => assert_eq!(told, frozen.parse::<i64>().expect("a number"), "{name}"),
                    None => assert!((now - told).abs() < 2 * YEAR, "{name}: {told}"),
                }
                if shift.parse() == Ok(YEAR) {
                    assert!(told > now + YEAR - 60, "the clock is not wrong: {told}");
                }
            }
            let batch = home.cmd(["record", "batch", "--json"]).stdin(lines(&name));
            let outcome = shim.on(&shift, batch).ok();
            let of_line = |line| Receipt::of(&serde_json::from_str(line).expect("a line of JSON"));
            receipts.extend(outcome.stdout.lines().map(of_line));
            order.extend((0..20).map(|number| format!("{name}, line {number:02}")));
            if round == 0 {
                let _ = shim.on(&shift, home.cmd(["flush"])).ok();
            }
        }
    }
    home.flush();
    let ids: BTreeSet<_> = receipts.iter().map(|receipt| &receipt.id).collect();
    assert_eq!(ids.len(), receipts.len(), "two records have one id");
    assert_eq!(ids.len(), 2 * 6 * (5 + 20));
    assert_exactly_once(&home, &receipts);
    assert_eq!(committed_order(&home), order, "the order of the journal is another");
    // The index knows the times alone, and the same page comes of it.
    let page = home.join("memory/heuristics/rules-of-thumb/README.md");
    let before = std::fs::read(&page).expect("it is rendered");
    std::fs::remove_file(home.join("memory/index.db")).expect("it is there");
    let _ = shim.on(&format!("{}", -YEAR), home.cmd(["recover"])).ok();
    assert_exactly_once(&home, &receipts);
    assert_eq!(std::fs::read(&page).expect("it is there"), before, "the page has another order now");
    home.recover_fully();
}

/// By their times the last would be the first.
#[test]
fn the_first_of_a_key_is_the_journals_first() {
    let (home, shim) = (TestHome::new(), Shim::new());
    let _ = home.record("success", "before");
    let mut receipts = Vec::new();
    for (number, years) in [3, 2, 1, 0, -1, -2].into_iter().enumerate() {
        let recorder = home.recorder("failure", &format!("attempt {number}")).args(["--key", "the one"]);
        receipts.push(shim.on(&format!("{}", years * YEAR), recorder).ok().receipt());
    }
    home.flush();
    assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id), "a key has one id: {receipts:?}");
    let stores = assert_exactly_once(&home, &receipts[..1]);
    assert_eq!(stores.named("attempt 0"), [receipts[0].id.clone()]);
    assert_eq!(stores.ids().len(), 2);
    home.recover_fully();
    assert_eq!(Stores::read(&home).named("attempt 0").len(), 1, "recovery took another for the first");
}

/// What is committed is not pending, be the newest commit dated before all others.
#[test]
fn the_newest_commit_is_the_branchs_last() {
    let (home, shim) = (TestHome::new(), Shim::new());
    let mut receipts = Vec::new();
    for years in [1, 0, -1, -2] {
        let shift = format!("{}", years * YEAR);
        receipts.extend(home.record_each(&shift));
        let _ = shim.on(&shift, home.cmd(["flush"])).ok();
        assert_eq!(home.status()["pending"]["records"], 0, "it takes another commit for the newest");
    }
    let dates = home.git(["log", "--format=%ct", home.branch()]).ok().stdout;
    assert!(
        dates.lines().map(|date| date.parse::<i64>().expect("a number")).is_sorted(),
        "the clock was right: {dates}"
    );
    assert_exactly_once(&home, &receipts);
}

/// How old a record is, is what the worker has seen of it, by the clock that only goes on.
#[test]
fn batches_become_due_whatever_the_workers_clock_says() {
    let shim = Shim::new();
    for Clock { name, shift } in clocks() {
        let home = TestHome::new();
        let settings = ["worker.age_ms=300", "journal.segment_bytes_max=4096", "journal.keep_s=0"];
        let mut worker = Worker::launch(&home, &settings, &shim.environment(&shift));
        worker.wait_for_line("worker started");
        let mut receipts = Vec::new();
        for (round, others) in ["0", "31536000", "-31536000"].into_iter().enumerate() {
            for kind in KINDS {
                let recorder = home.recorder(kind, &format!("round {round} {kind}"));
                receipts.push(shim.on(others, recorder).ok().receipt());
            }
            worker.wait_until_all_committed(&home, name);
        }
        assert!(worker.stop(Signal::TERM).success(), "{name}: it stops when it is asked to");
        let removed = home.status()["published"]["counts"]["segments_removed"].as_u64();
        assert!(removed >= Some(1), "{name}: no segment was ever old enough: {removed:?}");
        assert_exactly_once(&home, &receipts);
        home.recover_fully();
    }
}
