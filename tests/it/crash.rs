//! A crash at every named point, in every process that can get there: what was acknowledged is in all three stores once
//! afterwards, what was not is there whole or not at all, and recovery can itself be killed anywhere.
//!
//! Killing a process loses nothing that it wrote, synced or not; what a power cut loses is another matter and tested
//! elsewhere.

use std::path::PathBuf;

use indelible::fs::Point;
use rusqlite::TransactionBehavior;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Cmd, Outcome, Receipt, Stores, TestHome, Worker, assert_absent_or_whole, assert_exactly_once, assert_search_agrees,
    has_strace, record_args, wait_for,
};

/// Which process gets to the point, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// `init` of a new folder.
    Init,
    /// A recorder of this kind.
    Recorder(&'static str),
    /// A recorder of two records at once.
    Batch,
    /// A recorder whose sync fails.
    FailingSync,
    /// A recorder that is overtaken by a rotation between its sync and its last look.
    Overtaken,
    /// `flush` of pending records, at the n-th time it gets there.
    Flush(u32),
    /// A worker that commits pending records.
    Worker,
    /// `flush` while another process holds the index's lock.
    LockedIndex,
    /// `flush` when the index is free again and rows lag.
    FreedIndex,
    /// A worker when the index is free again and rows lag.
    WorkerFreedIndex,
    /// `flush` where something else is in a record's place.
    TakenPlace,
    /// `flush` of a record that cannot be applied.
    Unapplicable,
    /// `flush` with a full segment.
    FullSegment,
    /// `flush` with a finished segment.
    FinishedSegment,
    /// A worker with a finished segment.
    WorkerFinishedSegment,
    /// `recover` with too many packs, and no git program.
    ManyPacks,
    /// `flush` after the machine's id has changed.
    OtherMachine,
    /// `recover` of a home with everything in order.
    Recover,
    /// `recover` without a history.
    NoHistory,
    /// `recover` without an index.
    NoIndex,
    /// `repair` of a damaged index.
    Repair,
    /// `flush` without a search database.
    NoSearch,
    /// A worker without a search database.
    WorkerNoSearch,
    /// `flush` with a search database that is garbage.
    GarbledSearch,
    /// `adopt` and `release` of another user's home, operations that change a record, and syncing, which have tests of their own,
    /// in `adopt.rs`, `changes.rs`, `erase.rs`, `hosts.rs`, `lanes.rs`, `red_team.rs` and `rows.rs`.
    Elsewhere,
}

/// What must hold after recovery of what was recorded in the process that crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Nothing of it is anywhere.
    Absent,
    /// It is everywhere once, or nowhere.
    AbsentOrWhole,
    /// It is everywhere once.
    WholeOnce,
    /// It is in quarantine, and it is reported.
    Parked,
}

/// What the caller saw of the record in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    /// No success.
    NoPromise,
    /// Exit 0, before the crash.
    Acknowledged,
}

struct Row {
    point: Point,
    scenarios: &'static [Scenario],
    saw: Saw,
    after: After,
}

const fn row(point: Point, scenarios: &'static [Scenario], saw: Saw, after: After) -> Row {
    Row { point, scenarios, saw, after }
}

use After::{Absent, AbsentOrWhole, Parked, WholeOnce};
use Saw::{Acknowledged, NoPromise};
use Scenario::{
    Batch, Elsewhere, FailingSync, FinishedSegment, Flush, FreedIndex, FullSegment, GarbledSearch, Init, LockedIndex,
    ManyPacks, NoHistory, NoIndex, NoSearch, OtherMachine, Overtaken, Recorder, Recover, Repair, TakenPlace,
    Unapplicable, WorkerFinishedSegment, WorkerFreedIndex, WorkerNoSearch,
};

const FAILURE: Scenario = Recorder("failure");
const HEURISTIC: Scenario = Recorder("heuristic");
const EXPERIMENT: Scenario = Recorder("experiment");
const FLUSH: Scenario = Flush(1);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //  crash at                    in                                       caller saw    after recovery
    row(Point::MoveBeforeRename,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::MoveAfterRename,     &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::TakeInBefore,        &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::PointerBeforeMove,   &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::PointerAfterMove,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::InitFolders,         &[Init],                                 NoPromise,    Absent),
    row(Point::InitIdentity,        &[Init],                                 NoPromise,    Absent),
    row(Point::InitJournal,         &[Init],                                 NoPromise,    Absent),
    row(Point::InitIndex,           &[Init],                                 NoPromise,    Absent),
    row(Point::InitHistory,         &[Init, NoHistory],                      Acknowledged, WholeOnce),
    row(Point::InitIgnored,         &[Elsewhere],                            NoPromise,    Absent),
    row(Point::TrustBeforeToken,    &[Init],                                 NoPromise,    Absent),
    row(Point::TrustBeforeNote,     &[Init],                                 NoPromise,    Absent),
    row(Point::AppendBeforeWrite,   &[FAILURE, Batch],                       NoPromise,    Absent),
    row(Point::AppendShortWrite,    &[HEURISTIC],                            NoPromise,    Absent),
    row(Point::AppendBeforeSync,    &[FAILURE, Batch],                       NoPromise,    AbsentOrWhole),
    row(Point::AppendAfterSync,     &[EXPERIMENT, HEURISTIC, Batch],         NoPromise,    WholeOnce),
    row(Point::AppendAgain,         &[Overtaken],                            NoPromise,    WholeOnce),
    row(Point::AppendVoid,          &[FailingSync],                          NoPromise,    AbsentOrWhole),
    row(Point::PlaceBeforeWrite,    &[FAILURE, EXPERIMENT],                  NoPromise,    WholeOnce),
    row(Point::PlaceHalfWritten,    &[EXPERIMENT, HEURISTIC],                NoPromise,    WholeOnce),
    row(Point::PlaceBeforeRename,   &[HEURISTIC, Batch],                     NoPromise,    WholeOnce),
    row(Point::PlaceAfterRename,    &[EXPERIMENT, FAILURE, Batch],           NoPromise,    WholeOnce),
    row(Point::ReplaceBeforeRename, &[Init, FLUSH, Flush(2), Scenario::Worker], Acknowledged, WholeOnce),
    row(Point::ReplaceAfterRename,  &[Init, FLUSH, Scenario::Worker],        Acknowledged, WholeOnce),
    row(Point::SetAsideBefore,      &[TakenPlace],                           NoPromise,    WholeOnce),
    row(Point::HideBeforeRemove,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ChangeBeforeAppend,  &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::RowLeft,             &[Elsewhere],                            NoPromise,    WholeOnce),
    row(Point::RowBeforeCommit,     &[HEURISTIC, Batch, FLUSH],              NoPromise,    WholeOnce),
    row(Point::RowAfterCommit,      &[EXPERIMENT, FLUSH, FreedIndex],        NoPromise,    WholeOnce),
    row(Point::RotateBeforeCreate,  &[FullSegment],                          Acknowledged, WholeOnce),
    row(Point::RotateBeforeHeader,  &[FullSegment],                          Acknowledged, WholeOnce),
    row(Point::RotateAfterHeader,   &[FullSegment],                          Acknowledged, WholeOnce),
    row(Point::BatchBeforeSync,     &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::ParkBefore,          &[Unapplicable],                         Acknowledged, Parked),
    row(Point::CatchUpBeforePages,  &[FreedIndex, WorkerFreedIndex],         Acknowledged, WholeOnce),
    row(Point::CatchUpBeforeMark,   &[FreedIndex, WorkerFreedIndex],         Acknowledged, WholeOnce),
    row(Point::CommitBeforePack,    &[FLUSH, Scenario::Worker, LockedIndex, FreedIndex], Acknowledged, WholeOnce),
    row(Point::CommitStaged,        &[FLUSH],                                Acknowledged, WholeOnce),
    row(Point::CommitKept,          &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::CommitBeforeIndex,   &[FLUSH],                                Acknowledged, WholeOnce),
    row(Point::CommitBeforeBranch,  &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::CommitLocked,        &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::CommitAfterBranch,   &[FLUSH, Scenario::Worker, LockedIndex], Acknowledged, WholeOnce),
    row(Point::CommitBeforeAnchor,  &[FLUSH],                                Acknowledged, WholeOnce),
    row(Point::CommitAfterAnchor,   &[FLUSH, Scenario::Worker, LockedIndex, FreedIndex], Acknowledged, WholeOnce),
    row(Point::AnchorsRemoved,      &[OtherMachine],                         Acknowledged, WholeOnce),
    row(Point::RepackBefore,        &[ManyPacks],                            Acknowledged, WholeOnce),
    row(Point::RepackBeforeRemoval, &[ManyPacks],                            Acknowledged, WholeOnce),
    row(Point::RepackAfterRemoval,  &[ManyPacks],                            Acknowledged, WholeOnce),
    row(Point::EraseBeforeNote,       &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeAppend,     &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeRows,       &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeVacuum,     &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeFile,       &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeReference,  &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseAfterReferences,  &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforePack,       &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeOldPack,    &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeLoose,      &[Elsewhere],                            NoPromise,    Absent),
    row(Point::EraseBeforeDone,       &[Elsewhere],                            NoPromise,    Absent),
    row(Point::PruneBeforeSync,     &[FinishedSegment, WorkerFinishedSegment], Acknowledged, WholeOnce),
    row(Point::PruneBeforeUnlink,   &[FinishedSegment],                      Acknowledged, WholeOnce),
    row(Point::PruneAfterUnlink,    &[FinishedSegment, WorkerFinishedSegment], Acknowledged, WholeOnce),
    row(Point::SearchBeforeMake,    &[NoSearch, WorkerNoSearch],             Acknowledged, WholeOnce),
    row(Point::SearchBeforeCommit,  &[FLUSH, Scenario::Worker, NoSearch, WorkerNoSearch], Acknowledged, WholeOnce),
    row(Point::SearchAfterCommit,   &[FLUSH, Scenario::Worker, NoSearch],    Acknowledged, WholeOnce),
    row(Point::SearchBeforeRemove,  &[GarbledSearch],                        Acknowledged, WholeOnce),
    row(Point::KnownBeforeAppend,   &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::KnownHalfAppended,   &[FLUSH, Scenario::Worker],              Acknowledged, WholeOnce),
    row(Point::TrunkBeforePush,     &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::TrunkAfterPush,      &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::FoldBeforePush,      &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::FoldHalfDone,        &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::SyncBeforePack,      &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ImportBeforeAppend,  &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ImportBeforeMark,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::SyncBeforeTip,       &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::SyncAfterTip,        &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::SyncAfterPush,       &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::SyncAfterAcked,      &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::RecoverBeforeSweep,  &[Recover, Scenario::Worker],            Acknowledged, WholeOnce),
    row(Point::RecoverBeforeReappend, &[NoHistory],                          Acknowledged, WholeOnce),
    row(Point::RebuildBeforeReset,  &[NoIndex, Repair],                      Acknowledged, WholeOnce),
    row(Point::RebuildBeforeCopy,   &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::RebuildBeforeFill,   &[NoIndex, Repair],                      Acknowledged, WholeOnce),
    row(Point::CopyBefore,          &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::CopyBeforeRename,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::AdoptBeforeBackup,   &[Elsewhere],                            NoPromise,    Absent),
    row(Point::AdoptBeforeNote,     &[Elsewhere],                            NoPromise,    Absent),
    row(Point::AdoptBeforeDatabase, &[Elsewhere],                            NoPromise,    Absent),
    row(Point::AdoptBeforeScript,   &[Elsewhere],                            NoPromise,    Absent),
    row(Point::AdoptScriptKept,     &[Elsewhere],                            NoPromise,    Absent),
    row(Point::AdoptBeforeMend,     &[Elsewhere],                            NoPromise,    Absent),
    row(Point::ReleaseBeforeScript, &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ReleaseBeforeIdentity, &[Elsewhere],                          Acknowledged, WholeOnce),
    row(Point::ReleaseBeforeDatabase, &[Elsewhere],                          Acknowledged, WholeOnce),
    row(Point::ReleaseBeforeExclude, &[Elsewhere],                           Acknowledged, WholeOnce),
    row(Point::ReleaseBeforeEnd,    &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ReleaseBeforeAside,  &[Elsewhere],                            Acknowledged, WholeOnce),
    row(Point::ReleaseAfterAside,   &[Elsewhere],                            Acknowledged, WholeOnce),
];

/// The points that recovery gets to itself, for the second crash.
const IN_RECOVERY: &[&str] = &[
    "RecoverBeforeSweep",
    "BatchBeforeSync",
    "CommitBeforePack",
    "CommitStaged",
    "CommitKept",
    "CommitBeforeIndex",
    "CommitBeforeBranch",
    "CommitLocked",
    "CommitAfterBranch",
    "CommitBeforeAnchor",
    "CommitAfterAnchor",
    "RowBeforeCommit",
    "RowAfterCommit",
    "PlaceBeforeWrite",
    "PlaceHalfWritten",
    "PlaceAfterRename",
    "ReplaceBeforeRename",
    "ReplaceAfterRename",
    "RecoverBeforeReappend",
    "AppendBeforeWrite",
    "AppendShortWrite",
    "AppendBeforeSync",
    "AppendAfterSync",
    "RebuildBeforeReset",
    "RebuildBeforeFill",
    "InitHistory",
    "SearchBeforeRemove",
    "SearchBeforeMake",
    "SearchBeforeCommit",
    "SearchAfterCommit",
];

/// The points that `init` gets to, for the second crash.
const IN_INIT: &[&str] = &[
    "RotateBeforeHeader",
    "PlaceHalfWritten",
    "ReplaceBeforeRename",
    "InitJournal",
    "InitIdentity",
    "RotateBeforeCreate",
    "TrustBeforeToken",
    "TrustBeforeNote",
];

const TINY: [&str; 4] = ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];
const IMPATIENT: [&str; 2] = ["--set", "worker.index_wait_ms=1"];
const FEW_PACKS: [&str; 4] = ["--set", "history.packs_max=2", "--set", "history.git_program="];
/// The headline of what the process that crashes records itself.
const CRASHED: &str = "recorded in the crash";

#[test]
fn every_crash_point_has_a_row() {
    assert_eq!(TABLE.len(), Point::ALL.len(), "a new crash point needs a row");
    for point in Point::ALL {
        assert_eq!(TABLE.iter().filter(|row| row.point == *point).count(), 1, "{point:?} has not one row");
    }
    for row in TABLE {
        let promised = row.saw == Acknowledged;
        let forgotten = matches!(row.after, Absent | AbsentOrWhole);
        assert!(!(promised && forgotten), "{:?}: what was acknowledged may not be absent", row.point);
    }
}

#[test]
fn of_init() {
    run(|scenario| scenario == Init);
}

#[test]
fn of_a_recorder() {
    run(|scenario| matches!(scenario, Recorder(_)));
}

#[test]
fn of_an_unlucky_recorder() {
    let stoppable = has_strace();
    run(|scenario| matches!(scenario, Batch | FailingSync) || stoppable && scenario == Overtaken);
}

#[test]
fn of_flush() {
    run(|scenario| matches!(scenario, Flush(_) | TakenPlace | Unapplicable));
}

#[test]
fn of_a_worker() {
    run(|scenario| matches!(scenario, Scenario::Worker | WorkerFinishedSegment));
}

#[test]
fn of_a_locked_index() {
    run(|scenario| matches!(scenario, LockedIndex | FreedIndex | WorkerFreedIndex));
}

#[test]
fn of_housekeeping() {
    run(|scenario| matches!(scenario, FullSegment | FinishedSegment | ManyPacks | OtherMachine));
}

#[test]
fn of_recovery() {
    run(|scenario| matches!(scenario, Recover | NoHistory | NoIndex | Repair));
}

#[test]
fn of_search() {
    run(|scenario| matches!(scenario, NoSearch | WorkerNoSearch | GarbledSearch));
}

/// Takes every row through those of its scenarios that are `wanted`: once with a recovery that is left in peace, once
/// with one that crashes as well.
fn run(wanted: impl Fn(Scenario) -> bool) {
    for (number, row) in TABLE.iter().enumerate() {
        for scenario in row.scenarios.iter().copied().filter(|scenario| wanted(*scenario)) {
            Case::new(row, scenario).crash().recovered(row);
            let case = Case::new(row, scenario).crash();
            let (command, points) = if scenario == Init { ("init", IN_INIT) } else { ("recover", IN_RECOVERY) };
            let second = points[number % points.len()];
            // Not every recovery has something to do there.
            let outcome = case.home.cmd([command]).env("INDELIBLE_CRASH_AT", second).run();
            if outcome.code() != Some(0) {
                let _ = outcome.aborted();
            }
            case.recovered(row);
        }
    }
}

/// One home in which something crashes.
struct Case {
    home: TestHome,
    point: Point,
    scenario: Scenario,
    acknowledged: Vec<Receipt>,
}

impl Case {
    fn new(row: &Row, scenario: Scenario) -> Case {
        eprintln!("crash at {:?} in {scenario:?}", row.point);
        let home = if scenario == Init { TestHome::absent() } else { TestHome::new() };
        Case { home, point: row.point, scenario, acknowledged: Vec::new() }
    }

    /// Runs `command` so that it dies at the point.
    fn dies(&self, command: Cmd) -> Outcome {
        self.dies_at(command, self.point.name())
    }

    fn dies_at(&self, command: Cmd, point: &str) -> Outcome {
        command.env("INDELIBLE_CRASH_AT", point).run().aborted()
    }

    /// Records one of each kind, which are acknowledged.
    fn acknowledge(&mut self, headline: &str) {
        self.acknowledged.extend(self.home.record_each(headline));
    }

    /// Gets everything ready and crashes.
    fn crash(mut self) -> Case {
        if self.scenario != Init {
            self.acknowledge("settled");
            self.home.flush();
        }
        match self.scenario {
            Init => drop(self.dies(self.home.cmd(["init"]))),
            Recorder(kind) => self.recorder(kind),
            Batch => self.batch(),
            FailingSync => {
                let recorder = self.home.recorder("failure", CRASHED);
                let _ = self.dies(recorder.env("INDELIBLE_FAIL_AT", "AppendBeforeSync=5"));
            }
            Overtaken => self.overtaken(),
            Flush(nth) => {
                self.pending();
                let point = format!("{}:{nth}", self.point.name());
                let _ = self.dies_at(self.home.cmd(["flush"]), &point);
            }
            Scenario::Worker => {
                self.pending();
                self.worker_dies(&["worker.age_ms=0"]);
            }
            LockedIndex | FreedIndex | WorkerFreedIndex => self.locked_index(),
            TakenPlace => self.taken_place(),
            Unapplicable => self.unapplicable(),
            FullSegment => {
                self.fill_segment();
                let _ = self.dies(self.home.cmd(["flush"].iter().chain(&TINY)));
            }
            FinishedSegment | WorkerFinishedSegment => self.finished_segment(),
            ManyPacks => {
                self.acknowledge("second pack");
                let _ = self.dies(self.home.cmd(["recover"].iter().chain(&FEW_PACKS)));
            }
            OtherMachine => {
                self.home.change_machine();
                self.pending();
                let _ = self.dies(self.home.cmd(["flush"]));
            }
            Recover => {
                self.pending();
                let _ = self.dies(self.home.cmd(["recover"]));
            }
            NoHistory => {
                self.prune();
                self.pending();
                remove(self.home.join(".git"));
                let _ = self.dies(self.home.cmd(["recover"]));
            }
            NoIndex => {
                self.pending();
                remove_index(&self.home);
                let _ = self.dies(self.home.cmd(["recover"]));
            }
            Repair => {
                self.pending();
                remove_index(&self.home);
                std::fs::write(self.home.join("memory/index.db"), [7; 9000]).expect("the index can be overwritten");
                let _ = self.dies(self.home.cmd(["repair"]));
            }
            NoSearch | WorkerNoSearch => {
                self.pending();
                remove_search(&self.home);
                match self.scenario {
                    WorkerNoSearch => self.worker_dies(&["worker.age_ms=0"]),
                    _ => drop(self.dies(self.home.cmd(["flush"]))),
                }
            }
            GarbledSearch => {
                self.pending();
                remove_search(&self.home);
                std::fs::write(self.home.join("memory/search.db"), [7; 9000]).expect("it can be written");
                let _ = self.dies(self.home.cmd(["flush"]));
            }
            Elsewhere => unreachable!("no test here asks for it"),
        }
        self
    }

    /// Two records of each sort of incompleteness: with file and row, and with the intent alone.
    fn pending(&mut self) {
        self.acknowledge("pending");
        for key in ["one", "two"] {
            let keyed = self.home.recorder("observation", &format!("keyed {key}")).args(["--key", key]).ok();
            self.acknowledged.push(keyed.receipt());
        }
        let rule = ["record", "heuristic", "--json", "--rule", "keyed rule", "--domain", "git", "--key", "rule"];
        self.acknowledged.push(self.home.cmd(rule).ok().receipt());
    }

    fn recorder(&self, kind: &str) {
        let outcome = self.dies(self.home.recorder(kind, CRASHED));
        assert_eq!(outcome.stdout, "", "it said that it keeps the record before it crashed");
    }

    fn batch(&self) {
        let lines = [CRASHED, "also recorded in the crash"]
            .map(|title| format!(r#"{{"kind":"failure","title":"{title}","domain":"ci"}}"#));
        let _ = self.dies(self.home.cmd(["record", "batch"]).stdin(lines.join("\n")));
    }

    /// Stops a recorder just after its sync, rotates, and lets it go on.
    fn overtaken(&mut self) {
        let trace = self.home.user().join("trace");
        let name = trace.to_str().expect("the temporary folder's name is UTF-8");
        let strace = ["strace", "-f", "-o", name, "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIGSTOP"];
        let args = record_args("failure", CRASHED);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let recorder = self.home.under(&strace, &args).env("INDELIBLE_CRASH_AT", self.point.name()).spawn();
        let process = wait_for("the recorder to stop after its sync", || {
            let text = std::fs::read_to_string(&trace).ok()?;
            let line = text.lines().find(|line| line.contains("stopped by SIGSTOP"))?;
            line.split(' ').next()?.parse().ok()
        });
        self.acknowledge(&"fills the segment ".repeat(20));
        let _ = self.home.cmd(["flush"].iter().chain(&TINY)).ok();
        let segments = self.home.journal().len();
        assert!(segments > 1, "the journal did not go on in a new segment, so nothing is overtaken");
        kill_process(Pid::from_raw(process).expect("a process has an id"), Signal::CONT).expect("it is stopped");
        let _ = recorder.wait().aborted();
    }

    /// Another process holds the index's lock throughout: a batch is committed without its rows.
    fn locked_index(&mut self) {
        let mut writer = self.home.index();
        let lock = writer.transaction_with_behavior(TransactionBehavior::Immediate).expect("no other process writes");
        self.pending();
        if self.scenario == LockedIndex {
            let _ = self.dies(self.home.cmd(["flush"].iter().chain(&IMPATIENT)));
            return;
        }
        let _ = self.home.cmd(["flush"].iter().chain(&IMPATIENT)).ok();
        lock.rollback().expect("it can be let go");
        match self.scenario {
            WorkerFreedIndex => self.worker_dies(&["worker.age_ms=0"]),
            _ => drop(self.dies(self.home.cmd(["flush"]))),
        }
    }

    /// The journal has the record, and at its path lies something that belongs to no record.
    fn taken_place(&self) {
        let _ = self.dies_at(self.home.recorder("failure", CRASHED), "AppendAfterSync");
        let path = self.home.join(&pending_path(&self.home));
        std::fs::write(path, "not a record").expect("the recorder has made the folder");
        let _ = self.dies(self.home.cmd(["flush"]));
    }

    /// The journal has the record, and a link is where its folder was.
    fn unapplicable(&mut self) {
        let keyed = ["record", "heuristic", "--rule", CRASHED, "--domain", "elsewhere", "--key", "k"];
        let _ = self.home.cmd(keyed).ok();
        let elsewhere = self.home.join("memory/heuristics/elsewhere");
        remove(elsewhere.clone());
        std::os::unix::fs::symlink(self.home.user(), elsewhere).expect("a link can be made");
        let _ = self.dies(self.home.cmd(["flush"]));
    }

    fn fill_segment(&mut self) {
        self.acknowledge(&"fills the segment ".repeat(20));
        assert!(self.home.journal_bytes() > 4096, "the segment is not full yet");
    }

    /// A finished segment, and records behind it.
    fn finished_segment(&mut self) {
        self.fill_segment();
        let _ = self.home.cmd(["flush"].iter().chain(&TINY)).ok();
        self.acknowledge("in the next segment");
        match self.scenario {
            WorkerFinishedSegment => {
                self.worker_dies(&["worker.age_ms=0", "journal.segment_bytes_max=4096", "journal.keep_s=0"]);
            }
            _ => drop(self.dies(self.home.cmd(["flush"].iter().chain(&TINY)))),
        }
    }

    /// Lets go of all segments but the last, so that the journal alone cannot bring everything back.
    fn prune(&mut self) {
        self.fill_segment();
        let _ = self.home.cmd(["flush"].iter().chain(&TINY)).ok();
        self.acknowledge("in the next segment");
        let _ = self.home.cmd(["flush"].iter().chain(&TINY)).ok();
        assert!(self.home.journal()[0].0.as_str() > "0000000001.log", "the first segment is still there");
    }

    fn worker_dies(&self, settings: &[&str]) {
        let mut worker = Worker::launch(&self.home, settings, &[("INDELIBLE_CRASH_AT", self.point.name())]);
        let status = worker.wait();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(status.signal(), Some(6), "the worker did not die at its crash point: {}", worker.said());
    }

    /// Recovers and holds what was promised.
    fn recovered(self, row: &Row) {
        let Case { home, point, scenario, mut acknowledged } = self;
        if matches!(scenario, Flush(_) | Scenario::Worker) {
            assert_search_agrees(&home, false);
        }
        let at = format!("after a crash at {point:?} in {scenario:?}");
        if scenario == Init {
            let _ = home.cmd(["init"]).ok();
            let ignored = std::fs::read_to_string(home.join(".indelible/.gitignore"));
            assert_eq!(ignored.expect("it is there"), "*\n", "{at}");
            acknowledged.extend(home.record_each("after the crash"));
        }
        if row.after == Parked {
            return parked(&home, &acknowledged, &at);
        }
        home.recover_fully();
        assert_exactly_once(&home, &acknowledged);
        let crashed = assert_absent_or_whole(&home, CRASHED);
        let recorded_in_the_crash = matches!(scenario, Recorder(_) | Batch | FailingSync | Overtaken | TakenPlace);
        match (recorded_in_the_crash, row.after) {
            (false, _) => assert_eq!(crashed, 0, "{at}: it was never recorded"),
            (true, Absent) => assert_eq!(crashed, 0, "{at}: nothing of it was whole in the journal"),
            (true, WholeOnce) => assert_eq!(crashed, 1, "{at}: the journal had it, synced"),
            (true, AbsentOrWhole | Parked) => {}
        }
        let leftovers: Vec<_> = std::fs::read_dir(home.join(".indelible/tmp")).expect("it is there").collect();
        assert!(leftovers.is_empty(), "{at}: temporary files are left: {leftovers:?}");
        let packs = std::fs::read_dir(home.join(".git/objects/pack")).expect("it is there");
        let names: Vec<_> = packs.map(|it| it.expect("it can be listed").file_name()).collect();
        let kept = names.iter().filter(|name| !matches!(extension(name), "pack" | "idx" | "rev")).count();
        assert_eq!(kept, 0, "{at}: something is left beside the packs: {names:?}");
    }
}

fn extension(name: &std::ffi::OsString) -> &str {
    name.to_str().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension)
}

/// What cannot be applied is kept aside once, everything else is whole, and it is reported until a person dismisses it.
fn parked(home: &TestHome, acknowledged: &[Receipt], at: &str) {
    let _ = home.recover();
    let status = home.status();
    let parked = status["quarantine"]["parked"].as_array().map_or(0, Vec::len);
    assert_eq!(parked, 1, "{at}: it is in quarantine once: {status}");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    assert_exactly_once(home, acknowledged);
    let _ = home.verify().exits(1);
    let _ = home.cmd(["repair", "--dismiss"]).ok();
    home.assert_settled();
}

/// The path of the first record in the journal that has no file.
fn pending_path(home: &TestHome) -> String {
    let journal = home.journal().into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
    let text = String::from_utf8(journal).expect("a journal is text");
    let line = text.lines().find(|line| line.contains(CRASHED)).expect("the journal has it");
    let json = line.splitn(3, ' ').nth(2).expect("an entry has a checksum and a length before it");
    let intent: serde_json::Value = serde_json::from_str(json).expect("an entry carries JSON");
    intent["files"][0]["path"].as_str().expect("a file has a path").to_owned()
}

fn remove(path: PathBuf) {
    std::fs::remove_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn remove_search(home: &TestHome) {
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(home.join(&format!("memory/search.db{suffix}"))).expect("it was flushed before");
    }
}

fn remove_index(home: &TestHome) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
    }
}

/// A home that needs all of recovery: no history, no index, a record that is only in the journal, files that only
/// the index knew where to find.
fn wreck() -> (TestHome, Vec<Receipt>) {
    let home = TestHome::new();
    let mut acknowledged = home.record_each(&"fills the segment ".repeat(20));
    let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
    acknowledged.extend(home.record_each("in the next segment"));
    let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
    acknowledged.extend(home.record_each("pending"));
    acknowledged.push(home.recorder("experiment", "keyed").args(["--key", "k"]).ok().receipt());
    let _ = home.recorder("heuristic", CRASHED).env("INDELIBLE_CRASH_AT", "AppendAfterSync").run().aborted();
    remove(home.join(".git"));
    remove_index(&home);
    (home, acknowledged)
}

#[test]
fn of_recovery_at_each_of_its_points() {
    for point in IN_RECOVERY {
        eprintln!("crash at {point} in the recovery of a wreck");
        let (home, acknowledged) = wreck();
        let _ = home.cmd(["recover"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        home.recover_fully();
        assert_exactly_once(&home, &acknowledged);
        assert_eq!(assert_absent_or_whole(&home, CRASHED), 1, "the journal had it, synced");
    }
}

/// Recovery that is killed again and again, each time a step later, gets there in the end.
#[test]
fn of_recovery_time_and_again() {
    let (home, acknowledged) = wreck();
    for point in IN_RECOVERY.iter().cycle().take(2 * IN_RECOVERY.len()) {
        let outcome = home.cmd(["recover"]).env("INDELIBLE_CRASH_AT", point).run();
        if outcome.code() != Some(0) {
            let _ = outcome.aborted();
        }
    }
    home.recover_fully();
    let stores = assert_exactly_once(&home, &acknowledged);
    assert_eq!(stores.named(CRASHED).len(), 1, "the journal had it, synced");
    assert_eq!(Stores::read(&home).ids().len(), acknowledged.len() + 1, "something is there that was never recorded");
}
