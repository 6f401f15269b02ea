//! What search costs the worker: building its database, and following what is committed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::reading::by_hand;
use super::worker::Worker;
use crate::homes;
use crate::lab::{Lab, indelible, output};
use crate::process::{MIB, cpu, told};
use crate::report::Report;
use crate::samples::{Contender, Samples, Spread, grouped, interleave, number};

/// How many records are committed with search and without it.
const RECORDS: usize = 10_000;

/// What it took a worker until nothing was left to do.
pub struct Took {
    seconds: f64,
    cpu: Duration,
    /// Peak memory in MiB.
    memory: f64,
}

/// Builds the search database of each home, and the table beside it: records, home, table.
pub fn built(lab: &Lab, report: &mut Report, places: &[(usize, &Path, &Path)]) {
    let mut rows = Vec::new();
    for &(records, home, table) in places {
        let (seconds, text) = by_hand(lab, table, records);
        let rounds = if records > 10_000 { 1 } else { lab.scale.long_rounds };
        let all: Vec<Took> = (0..rounds).map(|_| build(home)).collect();
        let spread = |of: &dyn Fn(&Took) -> f64| Samples::new(all.iter().map(of).collect()).spread();
        let rate = spread(&|it| records as f64 / it.seconds);
        let memory = spread(&|it| it.memory);
        let size = size(&home.join("memory/search.db"));
        let pages: u64 = ["memory", "experiments"].iter().map(|folder| pages(&home.join(folder))).sum();
        let each = |bytes: u64| number(bytes as f64 / records as f64);
        let name = grouped(records as i64);
        rows.push(vec![
            name.clone(),
            "**worker**".into(),
            format!("{}", rate.show()),
            format!("{} µs", number(spread(&|it| it.cpu.as_secs_f64() * 1e6 / records as f64).median)),
            format!("{} MiB", memory.show()),
            each(size),
            number(size as f64 / text as f64),
            number(size as f64 / pages as f64),
        ]);
        let by_hand = size_of(table);
        rows.push(vec![
            name.clone(),
            "FTS5 by hand".into(),
            number(records as f64 / seconds),
            "-".into(),
            "-".into(),
            each(by_hand),
            number(by_hand as f64 / text as f64),
            number(by_hand as f64 / pages as f64),
        ]);
        report.figure(format!("search.db of {name}, records/s"), rate);
        report.figure(format!("search.db of {name}, memory"), memory);
        report.figure(format!("search.db of {name} / text"), Spread::exactly(size as f64 / text as f64));
    }
    report.heading("Building the search database");
    report.text(
        "search.db is removed and a worker started: from there until it is up to date, with the worker's other work. By hand, \
         10,000 rows a transaction go into a table of FTS5 that has the text as well. The text is titles, domains and bodies; the pages \
         are the files of all records.",
    );
    let head = [
        "records",
        "by",
        "records/s",
        "CPU per record",
        "peak memory",
        "bytes per record",
        "size / text",
        "size / pages",
    ];
    report.table(&head, rows);
    beside_commits(lab, report);
}

fn size(database: &Path) -> u64 {
    size_of(database) + size_of(&database.with_extension("db-wal"))
}

/// How many bytes the pages beneath `folder` have.
fn pages(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let size = |path: &Path| if path.extension().is_some_and(|end| end == "md") { size_of(path) } else { 0 };
    entries.map(|path| if path.is_dir() { pages(&path) } else { size(&path) }).sum()
}

fn size_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

/// Removes the search database of `home`, and has a worker build it.
fn build(home: &Path) -> Took {
    remove(home);
    until_current(home)
}

/// Runs a worker until nothing is left for it to do.
pub fn until_current(home: &Path) -> Took {
    until_idle(home, &|home| search_state(home) == "current")
}

fn remove(home: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(format!("memory/search.db{end}")));
    }
}

/// Runs a worker until `is_done`.
fn until_idle(home: &Path, is_done: &dyn Fn(&Path) -> bool) -> Took {
    let start = Instant::now();
    let worker = Worker::start(home, &[]);
    while !is_done(home) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = format!("/proc/{}/status", worker.id());
    let took = Took {
        seconds,
        cpu: cpu(worker.id()),
        memory: told(Path::new(&status), "VmHWM").unwrap_or(0.0) * 1024.0 / MIB,
    };
    worker.stop();
    took
}

fn search_state(home: &Path) -> String {
    status(home)["search"]["state"].as_str().unwrap_or_default().to_owned()
}

fn status(home: &Path) -> serde_json::Value {
    serde_json::from_str(&output(&mut indelible(home, &["--json", "status"]))).expect("a status is JSON")
}

/// The CPU time of a worker that commits, with search and without. Without: a folder is in the place of search.db, which
/// the worker leaves there.
fn beside_commits(lab: &Lab, report: &mut Report) {
    let records = RECORDS.min(*lab.scale.homes.last().expect("there are sizes"));
    let commit = |has_search: bool| {
        let home = homes::new(&lab.scratch("commits-home"));
        homes::append_text(lab, &home, records);
        remove(&home);
        if !has_search {
            std::fs::create_dir_all(home.join("memory/search.db/in-its-place")).expect("folders can be made");
        }
        let is_done = |home: &Path| {
            let status = status(home);
            status["pending"]["records"] == 0 && (!has_search || status["search"]["state"] == "current")
        };
        until_idle(&home, &is_done).cpu.as_secs_f64() * 1e6 / records as f64
    };
    let mut contenders =
        [Contender::new("with search", 1, |_| commit(true)), Contender::new("without search", 1, |_| commit(false))];
    let turns = interleave(lab.scale.long_rounds.max(3), 0, &mut contenders);
    report.heading("What search adds to a commit");
    report.text(format!(
        "{} records in the journal, which a worker places, inserts and commits. Without search: something else is in the \
         place of search.db.",
        grouped(records as i64)
    ));
    let rows = [0, 1].map(|at| {
        let cpu = format!("{} µs", turns.of(at).spread().show());
        vec![turns.names[at].clone(), cpu, turns.ratio(at, 1).spread().show()]
    });
    report.table(&["a worker that commits", "CPU per record", "/ without search"], rows.to_vec());
}
