//! Where a recorder's time goes: the same program, stopped by its input ever later on its way.

use std::path::Path;
use std::process::Command;

use crate::homes::{self, HeldOpen};
use crate::lab::{Lab, indelible};
use crate::process::{instructions, measure, system_calls};
use crate::report::Report;
use crate::samples::{Contender, grouped, interleave, number};

/// One way to run a process that does a little more than the one before it.
struct Step {
    /// What it does more.
    does: &'static str,
    command: Box<dyn Fn(usize) -> Command>,
    /// The exit code that it has to have, for it to have come as far as it should.
    exit: i32,
}

impl Step {
    fn new(does: &'static str, exit: i32, command: impl Fn(usize) -> Command + 'static) -> Step {
        Step { does, exit, command: Box::new(command) }
    }
}

pub fn run(lab: &Lab, report: &mut Report) {
    let (steps, _open) = steps(lab, report);
    let mut contenders: Vec<_> = steps
        .iter()
        .map(|step| {
            Contender::new(step.does, 1, move |round| {
                let usage = measure(lab, &(step.command)(round), None);
                assert_eq!(usage.exit, step.exit, "{} ended elsewhere", step.does);
                usage.wall_ms
            })
        })
        .collect();
    let turns = interleave(lab.scale.rounds, 10, &mut contenders);
    let whole = steps.len() - 1;
    let counts: Vec<_> = steps.iter().map(|step| instructions(&(step.command)(1_000_001))).collect();
    let calls: Vec<_> = steps.iter().map(|step| system_calls(lab, &(step.command)(1_000_002), None)).collect();
    if counts.iter().all(Option::is_none) {
        report.skip("instructions (valgrind is not installed)");
    }
    if calls.iter().all(Option::is_none) {
        report.skip("system calls (strace is not installed)");
    }
    report.text(
        "Each line is a process that does what the line above it does, and one thing more; so the increase is what that \
         costs. They are run in turns. The last line is a whole `indelible record failure`. Instructions are counted by \
         callgrind, system calls by strace.",
    );
    let number_of = |place: usize| calls[place].as_ref().map(|calls| calls.iter().map(|(_, count)| count).sum::<u64>());
    let increase = |value: Option<u64>, before: Option<Option<u64>>| match (value, before.unwrap_or(Some(0))) {
        (Some(value), Some(before)) => (value as i64 - before as i64).to_string(),
        _ => "-".into(),
    };
    let mut rows = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let before = place.checked_sub(1);
        let (share, share_before) =
            (turns.ratio(place, whole).median(), before.map_or(0.0, |it| turns.ratio(it, whole).median()));
        let thousands = |count: Option<u64>| count.map(|count| count / 1000);
        rows.push(vec![
            step.does.into(),
            format!("{} ms", number(turns.of(place).median())),
            turns.ratio(place, whole).spread().show(),
            format!("{:+.0} %", (share - share_before) * 100.0),
            increase(thousands(counts[place]), before.map(|before| thousands(counts[before]))),
            increase(number_of(place), before.map(number_of)),
        ]);
    }
    let head = ["does", "p50", "/ whole", "time, increase", "1,000 instructions, increase", "system calls, increase"];
    report.table(&head, rows);
    if let Some(calls) = &calls[whole] {
        let all: u64 = calls.iter().map(|(_, count)| count).sum();
        let list: Vec<_> = calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
        report.text(format!("The {} system calls of a whole record: {}.", grouped(all as i64), list.join(", ")));
    }
}

fn steps(lab: &Lab, report: &mut Report) -> (Vec<Step>, HeldOpen) {
    let program = lab.program("nothing");
    let mut steps = vec![Step::new("start and end a static C program", 0, move |_| Command::new(&program))];
    let home = homes::new(&lab.scratch("anatomy-home"));
    let open = HeldOpen::index_of(&home);
    let indexless = without_index(homes::new(&lab.scratch("anatomy-indexless")).as_path());
    let nowhere = lab.scratch("anatomy-nowhere");
    steps.push(Step::new("load indelible, read the command line (there is no such home)", 78, move |_| {
        record(&nowhere, &["--title", "a record"])
    }));
    let refused = home.clone();
    steps.push(Step::new(
        "open the home, read the settings, validate (a title that is too long is refused)",
        65,
        move |_| record(&refused, &["--title", &"x".repeat(501)]),
    ));
    // Without an index a keyed record ends with its intent: file and row are the worker's.
    let keyed = |home: std::path::PathBuf| {
        move |number: usize| record(&home, &["--title", "a record", "--key", &format!("key {number}")])
    };
    match lab.memory("anatomy-memory") {
        Some(path) => {
            let home = without_index(homes::new(&path).as_path());
            steps.push(Step::new("name it, append its intent (in memory, where a sync costs nothing)", 0, keyed(home)));
        }
        None => report.skip("the append without its sync (there is no /dev/shm)"),
    }
    steps.push(Step::new("sync the intent, and be on a disk", 0, keyed(indexless.clone())));
    steps.push(Step::new("place the file", 0, move |number| {
        record(&indexless, &["--title", &format!("record {number}")])
    }));
    steps.push(Step::new("open SQLite, insert the row", 0, move |number| {
        record(&home, &["--title", &format!("record {number}")])
    }));
    (steps, open)
}

fn record(home: &Path, fields: &[&str]) -> Command {
    let mut command = indelible(home, &["record", "failure", "--domain", "bench"]);
    command.args(fields);
    command
}

fn without_index(home: &Path) -> std::path::PathBuf {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(format!("memory/index.db{end}")));
    }
    home.to_owned()
}
