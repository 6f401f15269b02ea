//! A steady load: how long a record waits for its commit, and what that costs the worker; and a worker without any.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::homes;
use crate::lab::{Lab, indelible, output};
use crate::process::{MIB, cpu, told, wakeups};
use crate::report::Report;
use crate::samples::{Samples, Spread, grouped, number};

/// Records per second.
const RATES: [usize; 4] = [1, 10, 100, 1_000];
/// The most recorders at once.
const RECORDERS: usize = 32;
/// What a worker makes of a record's age by default, in milliseconds.
const AGE_MS: f64 = 1_000.0;

pub fn run(lab: &Lab, report: &mut Report) {
    report.heading("From a record to its commit");
    report.text(format!(
        "One `indelible record` process for each record, started when its time has come, for {} s; from its start until \
         the branch holds it. The worker has its default settings: it commits what is {AGE_MS} ms old.",
        lab.scale.steady.as_secs()
    ));
    let rows = RATES.iter().map(|&rate| steady(lab, report, rate)).collect();
    let head = [
        "records/s",
        "recorded",
        "late starts",
        "p50",
        "p99",
        "p99 / the age it waits for",
        "commits",
        "worker's CPU",
        "its peak memory",
    ];
    report.table(&head, rows);
    idle(lab, report);
}

fn steady(lab: &Lab, report: &mut Report, rate: usize) -> Vec<String> {
    let home = homes::new(&lab.scratch("steady-home"));
    let worker = Worker::start(&home, &[]);
    let (commits, before) = (worker.commits(), cpu(worker.id()));
    let all = rate * lab.scale.steady.as_secs() as usize;
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (recorded, late, tips) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&home, &stop));
        let (recorded, late) = fire(&home, all, rate, start);
        while (worker.committed() as usize) < all {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        (recorded, late, watching.join().expect("it does not panic"))
    });
    let share = (cpu(worker.id()) - before).as_secs_f64() / start.elapsed().as_secs_f64();
    let commits = worker.commits() - commits;
    let memory = told(Path::new(&format!("/proc/{}/status", worker.id())), "VmHWM").unwrap_or(0.0) * 1024.0 / MIB;
    worker.stop();
    let committed = commit_times(&home, &tips);
    let waits = recorded.iter().map(|(path, at)| {
        let seen = committed.get(path).unwrap_or_else(|| panic!("{path} was never committed"));
        seen.duration_since(*at).as_secs_f64() * 1e3
    });
    let waits = Samples::new(waits.collect());
    let ms = |percent| format!("{} ms", number(waits.at(percent)));
    report.figure(format!("p99 to commit at {rate}/s, s"), Spread::exactly(waits.at(99.0) / 1e3));
    report.figure(format!("worker CPU at {rate}/s, %"), Spread::exactly(share * 100.0));
    vec![
        rate.to_string(),
        grouped(all as i64),
        grouped(late as i64),
        ms(50.0),
        ms(99.0),
        number(waits.at(99.0) / AGE_MS),
        grouped(commits as i64),
        format!("{} % of a core", number(share * 100.0)),
        format!("{} MiB", number(memory)),
    ]
}

/// Starts `all` recorders, `rate` a second. Returns each record's path with when it was started, and how many were
/// started more than 50 ms later than they should have been.
fn fire(home: &Path, all: usize, rate: usize, start: Instant) -> (Vec<(String, Instant)>, usize) {
    let (next, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let recorded = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= all {
                return;
            }
            let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let at = Instant::now();
            late.fetch_add(usize::from(at - due > Duration::from_millis(50)), Ordering::Relaxed);
            let title = format!("record {number}");
            let said =
                output(&mut indelible(home, &["--json", "record", "failure", "--domain", "bench", "--title", &title]));
            let receipt: serde_json::Value = serde_json::from_str(&said).expect("a receipt is JSON");
            let path = receipt["path"].as_str().expect("a receipt has a path").to_owned();
            recorded.lock().expect("no thread panicked").push((path, at));
        }
    };
    std::thread::scope(|scope| (0..RECORDERS.min(all)).for_each(|_| drop(scope.spawn(work))));
    (recorded.into_inner().expect("no thread panicked"), late.into_inner())
}

/// Notes each commit that the branch comes to hold, with when that was seen.
fn watch(home: &Path, stop: &AtomicBool) -> Vec<(String, Instant)> {
    let branch = branch(home);
    let mut tips: Vec<(String, Instant)> = Vec::new();
    loop {
        let last = stop.load(Ordering::Relaxed);
        if let Ok(tip) = std::fs::read_to_string(&branch)
            && tips.last().is_none_or(|(before, _)| *before != tip.trim())
        {
            tips.push((tip.trim().to_owned(), Instant::now()));
        }
        if last {
            return tips;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn branch(home: &Path) -> PathBuf {
    home.join(".git/refs/heads/main")
}

/// When each path was seen to be committed. A tip that was never seen came with the one after it.
fn commit_times(home: &Path, tips: &[(String, Instant)]) -> HashMap<String, Instant> {
    let mut log = Command::new("git");
    log.arg("-C").arg(home).args(["log", "--reverse", "--format=commit %H", "--name-only", "main"]);
    let text = output(&mut log);
    let seen: HashMap<&str, Instant> = tips.iter().map(|(tip, at)| (tip.as_str(), *at)).collect();
    let (mut times, mut waiting) = (HashMap::new(), Vec::new());
    let mut at = None;
    for line in text.lines().chain(["commit end"]).filter(|line| !line.is_empty()) {
        match line.strip_prefix("commit ") {
            Some(commit) => {
                if let Some(at) = at {
                    times.extend(waiting.drain(..).map(|path| (path, at)));
                }
                at = seen.get(commit).copied();
            }
            None => waiting.push(line.to_owned()),
        }
    }
    times
}

/// A worker with nothing to do.
fn idle(lab: &Lab, report: &mut Report) {
    report.heading("An idle worker");
    let home = homes::new(&lab.scratch("idle-home"));
    output(&mut indelible(&home, &["record", "failure", "--domain", "bench", "--title", "one"]));
    let worker = Worker::start(&home, &[]);
    // What it does after its start is not idleness.
    std::thread::sleep(Duration::from_secs(2));
    let (before, busy) = (wakeups(worker.id()), cpu(worker.id()));
    std::thread::sleep(lab.scale.idle);
    let minutes = lab.scale.idle.as_secs_f64() / 60.0;
    let after = wakeups(worker.id());
    let (first, all) = ((after.0 - before.0) / minutes, (after.1 - before.1) / minutes);
    let cpu = (cpu(worker.id()) - busy).as_secs_f64() * 1e3 / minutes;
    let memory = told(Path::new(&format!("/proc/{}/status", worker.id())), "VmHWM").unwrap_or(0.0) * 1024.0 / MIB;
    worker.stop();
    report.figure("idle worker, wake-ups per minute", Spread::exactly(all));
    report.figure("idle worker memory", Spread::exactly(memory));
    let rows = vec![
        vec!["wake-ups per minute, of its first thread".into(), number(first)],
        vec!["wake-ups per minute, of all its threads together".into(), number(all)],
        vec!["CPU time per minute".into(), format!("{} ms", number(cpu))],
        vec!["peak memory".into(), format!("{} MiB", number(memory))],
    ];
    report.table(&[&format!("watched for {} s", lab.scale.idle.as_secs()), ""], rows);
}
