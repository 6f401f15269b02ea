//! What grows with the home: the same command in homes of ever more records, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::worker::Worker;
use crate::curve::{Curve, Line};
use crate::homes::{self, HeldOpen, Layout};
use crate::lab::{Lab, indelible};
use crate::process::{MIB, Usage, measured, system_calls};
use crate::report::Report;
use crate::samples::{Contender, Samples, grouped, interleave, number};

const LAYOUTS: [Layout; 2] = [Layout::Dated, Layout::Flat];
/// From this size on what looks at every record takes seconds.
const LARGE: usize = 100_000;

/// Something that is done in a home.
struct Task {
    name: &'static str,
    /// What has to be done before it, and is not measured.
    before: fn(&Lab, &Path),
    command: fn(&Path) -> Command,
    /// Whether it looks at every record.
    reads_all: bool,
}

const TASKS: [Task; 5] = [
    Task { name: "a batch of 10 committed", before: record_ten, command: flush, reads_all: false },
    Task { name: "record", before: nothing, command: record, reads_all: false },
    Task { name: "status", before: nothing, command: |home| indelible(home, &["status"]), reads_all: false },
    Task { name: "verify", before: nothing, command: |home| indelible(home, &["verify"]), reads_all: true },
    Task {
        name: "recover with nothing to do",
        before: nothing,
        command: |home| indelible(home, &["recover"]),
        reads_all: true,
    },
];

fn nothing(_: &Lab, _: &Path) {}

fn flush(home: &Path) -> Command {
    indelible(home, &["flush"])
}

fn tidy(home: &Path) -> Command {
    indelible(home, &["flush", "--set", "history.packs_max=2"])
}

fn record(home: &Path) -> Command {
    indelible(home, &["record", "failure", "--domain", "bench", "--title", "one more"])
}

fn record_ten(lab: &Lab, home: &Path) {
    measured(lab, &indelible(home, &["record", "batch"]), Some(&homes::lines(lab, 10)));
}

/// A home, with what it is.
struct Place {
    layout: Layout,
    records: usize,
    path: PathBuf,
    /// As a worker holds it open.
    index: HeldOpen,
}

pub fn run(lab: &Lab, report: &mut Report) {
    let of = |layout| {
        move |&records: &usize| {
            let path = homes::of(lab, layout, records);
            Place { layout, records, index: HeldOpen::index_of(&path), path }
        }
    };
    let places: Vec<Place> = LAYOUTS.iter().flat_map(|&layout| lab.scale.homes.iter().map(of(layout))).collect();
    report.text(
        "Dated: a folder for each day and kind, 1,000 records a day, as recorders place them. Flat: 10,000 records to a \
         folder, as an adopted home can have, and the new ones beside them: of \
         the three folders that a batch adds to, one is full in a home of 10,000 and all are in larger ones. Ratios are to the smallest home of \
         the same layout.",
    );
    for task in &TASKS {
        // Everything begins with nothing pending, and few packs.
        for place in &places {
            measured(lab, &tidy(&place.path), None);
            place.index.checkpoint();
        }
        measure_task(lab, report, task, &places);
    }
    measure_start(lab, report, &places);
}

fn measure_task(lab: &Lab, report: &mut Report, task: &Task, places: &[Place]) {
    let mut usages: Vec<Vec<Usage>> = places.iter().map(|_| Vec::new()).collect();
    let mut contenders: Vec<_> = places
        .iter()
        .zip(&mut usages)
        .map(|(place, usages)| {
            let every = if task.reads_all && place.records >= LARGE {
                lab.scale.slow_rounds / lab.scale.long_rounds
            } else {
                1
            };
            Contender::new("", every.max(1), move |_| {
                (task.before)(lab, &place.path);
                let usage = measured(lab, &(task.command)(&place.path), None);
                usages.push(usage);
                usage.wall_ms
            })
        })
        .collect();
    let turns = interleave(lab.scale.slow_rounds, 1, &mut contenders);
    drop(contenders);
    let calls: Vec<_> = places.iter().map(|place| calls(lab, task, place)).collect();
    let median = |place: usize, of: fn(&Usage) -> f64| Samples::new(usages[place].iter().map(of).collect()).median();
    let smallest = |place: usize| place / lab.scale.homes.len() * lab.scale.homes.len();
    let rows = places.iter().enumerate().map(|(place, it)| {
        vec![
            it.layout.name().into(),
            grouped(it.records as i64),
            format!("{} ms", number(turns.of(place).median())),
            turns.ratio(place, smallest(place)).spread().show(),
            format!("{} kB", number(median(place, |usage| usage.written) / 1e3)),
            calls[place].map_or_else(|| "-".into(), |calls| grouped(calls as i64)),
            format!("{} MiB", number(median(place, |usage| usage.memory) / MIB)),
        ]
    });
    report.heading(title(task.name));
    let head = ["layout", "records", "time", "/ the smallest home", "written", "system calls", "peak memory"];
    report.table(&head, rows.collect());
    let time = |place| turns.of(place).median();
    report.curve(curve(lab, task.name, places, &time));
    for (place, it) in places.iter().enumerate() {
        let name = format!("{}, {}, {}", task.name, it.layout.name(), grouped(it.records as i64));
        report.figure(name, turns.ratio(place, smallest(place)).spread());
    }
    if calls[0].is_none() {
        report.skip("system calls (strace is not installed)");
    } else if calls.iter().any(Option::is_none) {
        report.text("System calls are not counted in the largest homes, where that would take minutes.");
    }
}

/// Under strace what looks at every record takes minutes in a large home.
fn calls(lab: &Lab, task: &Task, place: &Place) -> Option<u64> {
    if task.reads_all && place.records > LARGE {
        return None;
    }
    (task.before)(lab, &place.path);
    let calls = system_calls(lab, &(task.command)(&place.path), None)?;
    Some(calls.iter().map(|(_, count)| count).sum())
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn curve(lab: &Lab, name: &str, places: &[Place], value: &dyn Fn(usize) -> f64) -> Curve {
    let sizes = lab.scale.homes.len();
    let line = |(number, layout): (usize, &Layout)| {
        let points = (number * sizes..(number + 1) * sizes).map(|place| (places[place].records as f64, value(place)));
        Line { name: layout.name().into(), points: points.collect() }
    };
    let lines = LAYOUTS.iter().enumerate().map(line).collect();
    Curve { title: title(name), unit: "milliseconds, median".into(), lines }
}

/// From a worker's start to where it serves.
fn measure_start(lab: &Lab, report: &mut Report, places: &[Place]) {
    let mut contenders: Vec<_> = places
        .iter()
        .map(|place| {
            Contender::new("", 1, move |_| {
                let start = Instant::now();
                let worker = Worker::start(&place.path, &[]);
                let time = start.elapsed().as_secs_f64() * 1e3;
                worker.stop();
                time
            })
        })
        .collect();
    let turns = interleave(lab.scale.slow_rounds, 1, &mut contenders);
    let smallest = |place: usize| place / lab.scale.homes.len() * lab.scale.homes.len();
    let rows = places.iter().enumerate().map(|(place, it)| {
        vec![
            it.layout.name().into(),
            grouped(it.records as i64),
            format!("{} ms", number(turns.of(place).median())),
            turns.ratio(place, smallest(place)).spread().show(),
        ]
    });
    report.heading("A worker's start, until it serves");
    report.table(&["layout", "records", "time", "/ the smallest home"], rows.collect());
    report.curve(curve(lab, "a worker's start", places, &|place| turns.of(place).median()));
}
