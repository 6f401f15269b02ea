//! Committing what is pending, against `git fast-import` making the same commits of the same objects.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::batch::ratio;
use crate::homes::{self, Content, Layout, ONE_DAY_MAX, objects};
use crate::lab::{Lab, has, indelible, output, program};
use crate::process::{MIB, Usage, measured};
use crate::report::Report;
use crate::samples::{Samples, grouped, number};

/// What git has to sync: everything that our commits sync, or nothing.
const SYNCED: [&str; 4] = ["-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync"];
const UNSYNCED: [&str; 2] = ["-c", "core.fsync=none"];
/// Where a sync costs nothing, this many records are enough to see what is left.
const RECORDS_IN_MEMORY: usize = 10_000;

pub fn run(lab: &Lab, report: &mut Report) {
    if !has("git", "--version") {
        report.skip("git fast-import (git is not installed)");
    }
    report.text(
        "The records have their files and rows already, and are committed: by `flush`, and by a `worker` that is told to \
         stop as soon as it runs. `git fast-import` gets the same commits, exported from a home that was flushed. It places \
         no files and no rows, but neither do the others here, which only check them. Its packs have deltas, ours have none.",
    );
    if lab.scale.drain.iter().any(|records| *records > ONE_DAY_MAX) {
        report.text(format!(
            "More than {} records are of many days, 1,000 of each, and are in the journal only: there `flush` and `worker` \
             place the files and insert the rows as well.",
            grouped(ONE_DAY_MAX as i64)
        ));
    }
    let on_disk = |name: &str| Some(lab.scratch(name));
    let rows = lab.scale.drain.iter().flat_map(|&records| drain(lab, report, records, &on_disk)).collect();
    table(report, rows);
    if lab.memory("drain").is_some() {
        report.heading("Without syncs");
        report.text("The same in memory (/dev/shm), where a sync costs nothing.");
        let records = RECORDS_IN_MEMORY.min(*lab.scale.drain.last().expect("there are sizes"));
        let in_memory = |name: &str| lab.memory(name);
        let rows = drain(lab, &mut Report::new(&super::ALL[3], "none"), records, &in_memory);
        table(report, rows);
    } else {
        report.skip("the same without syncs (there is no /dev/shm)");
    }
}

fn table(report: &mut Report, rows: Vec<Vec<String>>) {
    let head = [
        "pending",
        "",
        "records/s",
        "time of `flush` / this",
        "peak memory",
        "bytes written per record",
        "packs",
        "loose objects",
    ];
    report.table(&head, rows);
}

/// One way to commit.
struct Way {
    name: &'static str,
    runs: Vec<Usage>,
    left: Content,
}

fn drain(lab: &Lab, report: &mut Report, records: usize, place: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<Vec<String>> {
    let mut flush = Way { name: "**`flush`**", runs: Vec::new(), left: Content::default() };
    let mut worker = Way { name: "**`worker`**", ..Way::empty() };
    let mut synced = Way { name: "`git fast-import`, synced", ..Way::empty() };
    let mut unsynced = Way { name: "`git fast-import`, not synced", ..Way::empty() };
    let mut stream = None;
    // Ten records are soon committed, and more of such runs say more.
    let rounds = if records <= 1_000 { lab.scale.slow_rounds } else { lab.scale.long_rounds_of(records) };
    for _ in 0..rounds {
        let home = pending(lab, place("drain-home").expect("it was there before"), records);
        flush.take(measured(lab, &indelible(&home, &["flush", "--timeout", "3600"]), None), &home.join(".git"));
        if stream.is_none() && has("git", "--version") {
            stream = Some(export(lab, &home));
        }
        let home = pending(lab, place("drain-home").expect("it was there before"), records);
        worker.take(measured(lab, &started_and_stopped(&home), None), &home.join(".git"));
        let Some(stream) = &stream else { continue };
        for (way, settings) in [(&mut synced, &SYNCED[..]), (&mut unsynced, &UNSYNCED[..])] {
            let git = place("drain-git").expect("it was there before");
            output(Command::new("git").args(["init", "-q", "--bare"]).arg(&git));
            // However few there are, in a pack, as ours are.
            let mut import = Command::new("git");
            import.arg("-C").arg(&git).args(settings).args([
                "-c",
                "fastimport.unpackLimit=0",
                "fast-import",
                "--quiet",
            ]);
            way.take(measured(lab, &import, Some(stream)), &git);
        }
    }
    let _ = (place("drain-home"), place("drain-git"));
    let at = grouped(records as i64);
    if !synced.runs.is_empty() {
        report.figure(format!("flush of {at} / fast-import"), ratio(&flush.runs, &synced.runs));
        report.figure(format!("worker draining {at} / fast-import"), ratio(&worker.runs, &synced.runs));
    }
    let memory = Samples::new(worker.runs.iter().map(|run| run.memory / MIB).collect()).spread();
    report.figure(format!("worker draining {at}, memory"), memory);
    let ways = [&flush, &worker, &synced, &unsynced];
    ways.iter().filter(|way| !way.runs.is_empty()).map(|way| way.row(&flush, records)).collect()
}

impl Way {
    fn empty() -> Way {
        Way { name: "", runs: Vec::new(), left: Content::default() }
    }

    fn take(&mut self, usage: Usage, git: &Path) {
        self.runs.push(usage);
        self.left = objects(git);
    }

    fn row(&self, partner: &Way, records: usize) -> Vec<String> {
        let median = |of: fn(&Usage) -> f64| Samples::new(self.runs.iter().map(of).collect()).median();
        vec![
            grouped(records as i64),
            self.name.into(),
            grouped((records as f64 / median(|run| run.wall_ms) * 1e3) as i64),
            ratio(&partner.runs, &self.runs).show(),
            format!("{} MiB", number(median(|run| run.memory) / MIB)),
            number(median(|run| run.written) / records as f64),
            self.left.packs.to_string(),
            self.left.loose.to_string(),
        ]
    }
}

/// A new home at `path` with so many records that wait to be committed.
fn pending(lab: &Lab, path: PathBuf, records: usize) -> PathBuf {
    let home = homes::new(&path);
    if records > ONE_DAY_MAX {
        homes::append(&home, Layout::Dated, records);
    } else {
        measured(lab, &indelible(&home, &["record", "batch"]), Some(&homes::lines(lab, records)));
    }
    // What the recorder left to be written later is not the committer's to wait for.
    rustix::fs::sync();
    home
}

/// A worker that is asked to stop as soon as it listens: it commits what is pending, and ends.
fn started_and_stopped(home: &Path) -> Command {
    // The first line of its log says that it listens.
    let script = r#""$0" --home "$1" worker --log stderr --set worker.stop_s=3600 2>"$1/.indelible/bench.log" & worker=$!
        until grep -q 'worker started' "$1/.indelible/bench.log"; do :; done; kill -TERM $worker; wait $worker"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program()).arg(home);
    command
}

fn export(lab: &Lab, home: &Path) -> PathBuf {
    let stream = lab.scratch("drain-stream");
    let mut export = Command::new("git");
    export.arg("-C").arg(home).args(["fast-export", "--all"]).stdin(Stdio::null());
    let status = export.stdout(File::create(&stream).expect("it can be made")).status();
    assert!(status.is_ok_and(|status| status.success()), "git fast-export failed");
    stream
}
