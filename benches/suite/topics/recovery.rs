//! Recovery: what was journalled and applied nowhere, an index that is gone, and a check of everything.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::batch::{once, ratio};
use crate::homes::{self, Layout, ONE_DAY_MAX};
use crate::lab::{Lab, has, indelible, output};
use crate::process::{MIB, Usage, measured};
use crate::report::Report;
use crate::samples::{Samples, grouped, number};

pub fn run(lab: &Lab, report: &mut Report) {
    report.text(
        "Unapplied intents: a journal full of records whose recorders died right after the sync; `recover` places the \
         files, inserts the rows, commits, and checks all of it. Beside it, `record batch` and `flush` of as many. A lost \
         index: `recover` rebuilds it from the files; beside it, `sqlite3` dumping the old one into a new one. `verify`: \
         beside it, `git fsck` of the same history.",
    );
    let rows = lab.scale.bulk.iter().flat_map(|&records| of_size(lab, report, records)).collect();
    report.table(&["records", "", "records/s", "time / this", "peak memory"], rows);
    report.text(once(lab));
}

/// A measured thing and its partner.
#[derive(Default)]
struct Pair {
    ours: Vec<Usage>,
    partner: Vec<Usage>,
}

fn of_size(lab: &Lab, report: &mut Report, records: usize) -> Vec<Vec<String>> {
    let (mut unapplied, mut index, mut verify) = (Pair::default(), Pair::default(), Pair::default());
    for _ in 0..lab.scale.long_rounds_of(records) {
        if records <= ONE_DAY_MAX {
            unapplied.partner.push(first_time(lab, records));
        }
        let home = homes::new(&lab.scratch("recovery-home"));
        homes::append(&home, Layout::Dated, records);
        unapplied.ours.push(measured(lab, &long(&home, "recover"), None));
        verify.ours.push(measured(lab, &indelible(&home, &["verify"]), None));
        if has("git", "--version") {
            let mut fsck = Command::new("git");
            fsck.arg("-C").arg(&home).args(["fsck", "--no-progress", "--no-dangling"]);
            verify.partner.push(measured(lab, &fsck, None));
        }
        if has("sqlite3", "--version") {
            index.partner.push(measured(lab, &copied(lab, &home), None));
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(home.join(format!("memory/index.db{end}")));
        }
        index.ours.push(measured(lab, &long(&home, "recover"), None));
        let known = output(Command::new("sh").args(["-c", "find memory -name '*.md' | wc -l"]).current_dir(&home));
        assert_eq!(known.trim(), records.to_string(), "recovery left another number of files");
    }
    let _ = lab.scratch("recovery-home");
    let at = grouped(records as i64);
    let mut rows = Vec::new();
    let kinds = [
        ("**`recover` of unapplied intents**", "`record batch`, `flush`", "recover", &unapplied),
        ("**`recover` of a lost index**", "`sqlite3`, dump and restore", "lost index", &index),
        ("**`verify`**", "`git fsck`", "verify", &verify),
    ];
    for (name, partner, figure, pair) in kinds {
        report.figure(format!("{figure} of {at}, records/s"), rate(&pair.ours, records));
        report.figure(format!("{figure} of {at}, memory"), memory(&pair.ours));
        rows.push(row(name, &pair.ours, &pair.ours, records));
        if !pair.partner.is_empty() {
            rows.push(row(partner, &pair.partner, &pair.ours, records));
        } else if records <= ONE_DAY_MAX {
            report.skip(format!("{partner} (not installed)"));
        }
    }
    rows
}

fn rate(runs: &[Usage], records: usize) -> crate::samples::Spread {
    Samples::new(runs.iter().map(|run| records as f64 / run.wall_ms * 1e3).collect()).spread()
}

fn memory(runs: &[Usage]) -> crate::samples::Spread {
    Samples::new(runs.iter().map(|run| run.memory / MIB).collect()).spread()
}

fn row(name: &str, runs: &[Usage], ours: &[Usage], records: usize) -> Vec<String> {
    let (per_second, memory) = (rate(runs, records), memory(runs));
    vec![
        grouped(records as i64),
        name.into(),
        per_second.show(),
        ratio(ours, runs).show(),
        format!("{} MiB", number(memory.median)),
    ]
}

fn long(home: &Path, command: &str) -> Command {
    indelible(home, &[command, "--timeout", "3600"])
}

/// Recording and committing as many, as it goes without a crash.
fn first_time(lab: &Lab, records: usize) -> Usage {
    let home = homes::new(&lab.scratch("recovery-first"));
    let recorded = measured(lab, &indelible(&home, &["record", "batch"]), Some(&homes::lines(lab, records)));
    let flushed = measured(lab, &long(&home, "flush"), None);
    let _ = lab.scratch("recovery-first");
    Usage {
        wall_ms: recorded.wall_ms + flushed.wall_ms,
        memory: recorded.memory.max(flushed.memory),
        written: recorded.written + flushed.written,
        passed: recorded.passed + flushed.passed,
        ..flushed
    }
}

fn copied(lab: &Lab, home: &Path) -> Command {
    let copy: PathBuf = lab.scratch("recovery-copy.db");
    let mut command = Command::new("sh");
    command.args(["-c", "sqlite3 \"$0\" .dump | sqlite3 \"$1\""]).arg(home.join("memory/index.db")).arg(copy);
    command
}
