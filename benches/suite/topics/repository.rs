//! The repository that many small batches leave behind, against the same one after `git gc`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::homes::{self, Content, Layout, objects};
use crate::lab::{Lab, has, indelible, output};
use crate::process::{Usage, measured};
use crate::report::Report;
use crate::samples::{Contender, Samples, Spread, grouped, interleave, number};

/// Records to a commit.
const BATCH: usize = 10;
/// How often a batch is recorded where that has a pace.
const PACE: Duration = Duration::from_millis(10);
/// The most records that are recorded at a pace. All of them are of one day, and a folder gets no more in one.
const PACED_MAX: usize = 10_000;
/// Records in the batches whose bytes are counted.
const COUNTED: usize = 100;

pub fn run(lab: &Lab, report: &mut Report) {
    let records = lab.scale.repository;
    let paced = records.min(PACED_MAX);
    report.text(format!(
        "Committed by a worker {BATCH} at a time, while packs were counted: {} records, {BATCH} of them recorded every {} \
         ms, and {} at once, so that it commits as fast as it can.",
        grouped(paced as i64),
        PACE.as_millis(),
        grouped(records as i64)
    ));
    let paced = packs(&homes::new(&lab.scratch("repository-paced")), paced, feed);
    let home = homes::new(&lab.scratch("repository-home"));
    let rushed = packs(&home, records, |home, records| homes::append(home, Layout::Dated, records));
    report.figure("peak number of packs, paced", Spread::exactly(paced.peak as f64));
    report.figure("peak number of packs, at full speed", Spread::exactly(rushed.peak as f64));
    let row =
        |name: &str, of: &dyn Fn(&Packs) -> usize| vec![name.into(), of(&paced).to_string(), of(&rushed).to_string()];
    let rows = vec![
        row("commits", &|it| it.commits),
        row("packs, at the most", &|it| it.peak),
        row("packs in the end", &|it| it.left.packs),
        row("loose objects in the end", &|it| it.left.loose),
    ];
    report.table(&["", "paced", "at full speed"], rows);
    let git = home.join(".git");
    if has("git", "--version") {
        against_gc(lab, report, &git);
    } else {
        report.skip("git gc, log and fsck (git is not installed)");
    }
    bytes(lab, report);
}

/// What became of the packs.
struct Packs {
    commits: usize,
    peak: usize,
    left: Content,
}

/// Has a worker commit so many records, which `record` records, and counts packs meanwhile.
fn packs(home: &Path, records: usize, record: fn(&Path, usize)) -> Packs {
    let sizes = [format!("worker.records_due={BATCH}"), format!("worker.records_max={BATCH}")];
    let worker = Worker::start(home, &[&sizes[0], &sizes[1]]);
    let folder = home.join(".git/objects/pack");
    let peak = std::thread::scope(|scope| {
        scope.spawn(|| record(home, records));
        let mut peak = 0;
        while (worker.committed() as usize) < records {
            let names = std::fs::read_dir(&folder).expect("a repository has packs").flatten();
            let now = names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".pack")).count();
            peak = peak.max(now);
            std::thread::sleep(Duration::from_millis(2));
        }
        peak
    });
    let commits = worker.commits() as usize;
    worker.stop();
    Packs { commits, peak, left: objects(&home.join(".git")) }
}

/// Records a batch every so often, through one process.
fn feed(home: &Path, records: usize) {
    let mut command = indelible(home, &["record", "batch"]);
    let mut batch = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it can be started");
    let mut input = batch.stdin.take().expect("it was asked for");
    let start = Instant::now();
    for first in (0..records).step_by(BATCH) {
        let lines: String = (first..(first + BATCH).min(records)).map(|number| homes::line(number) + "\n").collect();
        input.write_all(lines.as_bytes()).expect("it reads until the end");
        let next = PACE * u32::try_from(first / BATCH + 1).expect("there are not so many");
        std::thread::sleep(next.saturating_sub(start.elapsed()));
    }
    drop(input);
    assert!(batch.wait().expect("it is our child").success(), "recording failed");
}

/// `git log` and `git fsck` in the repository and in a copy that was collected.
fn against_gc(lab: &Lab, report: &mut Report, git: &Path) {
    let collected = lab.scratch("repository-gc");
    output(Command::new("cp").arg("-a").arg(git).arg(&collected));
    let gc = measured(lab, Command::new("git").arg("--git-dir").arg(&collected).args(["gc", "-q"]), None);
    let commands = [("git log -1 --stat", vec!["log", "-1", "--stat"]), ("git fsck", vec!["fsck", "--no-progress"])];
    let mut rows = Vec::new();
    for (name, args) in &commands {
        let at = |path: &Path| {
            let mut command = Command::new("git");
            command.arg("--git-dir").arg(path).args(args);
            command
        };
        let (ours, theirs) = (at(git), at(&collected));
        let mut contenders = vec![
            Contender::new("ours", 1, |_| measured(lab, &ours, None).wall_ms),
            Contender::new("collected", 1, |_| measured(lab, &theirs, None).wall_ms),
        ];
        let turns = interleave(lab.scale.slow_rounds, 1, &mut contenders);
        let ratio = turns.ratio(0, 1).spread();
        report.figure(format!("{name} / after gc"), ratio);
        let ms = |contender: usize| format!("{} ms", number(turns.of(contender).median()));
        rows.push(vec![format!("`{name}`"), ms(0), ms(1), ratio.show()]);
    }
    let [ours, theirs] = [git, &collected].map(|path| objects(path).bytes as f64 / 1e6);
    let mb = |size: f64| format!("{} MB", number(size));
    rows.push(vec!["size of the objects".into(), mb(ours), mb(theirs), number(ours / theirs)]);
    report.figure("size / after gc", Spread::exactly(ours / theirs));
    report.table(&["", "as the worker leaves it", "after `git gc`", "ratio"], rows);
    report.text(format!("`git gc` itself took {} s.", number(gc.wall_ms / 1e3)));
}

/// What one small record makes a disk write, in batches.
fn bytes(lab: &Lab, report: &mut Report) {
    let home = homes::new(&lab.scratch("repository-bytes"));
    let lines = homes::lines(lab, COUNTED);
    let (mut recorded, mut committed) = (Vec::new(), Vec::new());
    for _ in 0..lab.scale.slow_rounds {
        recorded.push(measured(lab, &indelible(&home, &["record", "batch"]), Some(&lines)));
        committed.push(measured(lab, &indelible(&home, &["flush"]), None));
    }
    let per_record = |of: &dyn Fn(usize) -> f64| {
        Samples::new((0..recorded.len()).map(|round| of(round) / COUNTED as f64).collect()).spread()
    };
    let row = |name: &str, [passed, written]: [Spread; 2]| vec![name.into(), passed.show(), written.show()];
    let both = [
        per_record(&|round| recorded[round].passed + committed[round].passed),
        per_record(&|round| recorded[round].written + committed[round].written),
    ];
    let of = |runs: &[Usage]| [per_record(&|round| runs[round].passed), per_record(&|round| runs[round].written)];
    report.heading(format!("Bytes written per record, in batches of {COUNTED}"));
    report.text(
        "As the programs write them, and as the system counts the dirty pages of 4 kB: a record's own file is one of them, \
         however small it is.",
    );
    let rows = vec![
        row("`record batch`: journal, files, rows", of(&recorded)),
        row("`flush`: the commit", of(&committed)),
        row("both", both),
    ];
    report.table(&["", "bytes written", "in pages"], rows);
    report.figure("bytes written per record", both[0]);
    report.figure("bytes written per record, in pages", both[1]);
}
