//! One record as a whole process, against what it cannot be faster than and against what people do otherwise.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::corpus::word;
use crate::homes::{self, HeldOpen, Layout};
use crate::lab::{Lab, indelible};
use crate::peers::{self, Peer};
use crate::process::{MIB, Usage, measured, syncs, system_calls};
use crate::report::Report;
use crate::samples::{Contender, Orders, Samples, Spread, Turns, grouped, interleave, number};

/// How often indexes are checkpointed meanwhile, in rounds: as often as keeps them below the 1 MB at which a recorder
/// that finds no worker would do it itself.
const ROUNDS_PER_CHECKPOINT: usize = 20;
/// How often everybody who is alone moves to a new place: disks and file systems are not equally fast everywhere, and a
/// program would be judged by where its files happen to lie.
const PLACES: usize = 4;
/// The smallest number of processes in a burst.
const BURST_MIN: usize = 200;

pub fn run(lab: &Lab, report: &mut Report) {
    alone(lab, report);
    cold(lab, report);
    for processes in [10, 50, 200] {
        at_once(lab, report, processes);
    }
    hooks_at_once(lab, report);
    beside_a_busy_worker(lab, report);
    costs(lab, report);
}

/// `record failure` in `home`, as one of the contenders.
fn recorder(name: impl Into<String>, home: PathBuf) -> (String, Peer) {
    let index = Some(HeldOpen::index_of(&home));
    let command = move |number| record_in(&home, number);
    (name.into(), Peer { name: "indelible", every: 1, command: Box::new(command), index })
}

fn record_in(home: &Path, number: usize) -> Command {
    indelible(home, &["record", "failure", "--domain", "bench", "--title", &format!("record {number}")])
}

fn homes_of_all_sizes(lab: &Lab, place: &str) -> Vec<(String, Peer)> {
    let empty = homes::new(&lab.scratch(&format!("{place}-empty")));
    let mut recorders = vec![recorder("**`indelible record`, empty home**", empty)];
    for &records in lab.scale.homes.iter().filter(|records| **records >= lab.scale.homes[1]) {
        let name = format!("`indelible record`, home of {}", grouped(records as i64));
        recorders.push(recorder(name, homes::of(lab, Layout::Dated, records)));
    }
    recorders
}

/// The floors first, then recorders, then the others, at `place`.
fn everybody(lab: &Lab, report: &mut Report, place: &str) -> Vec<(String, Peer)> {
    let mut peers = vec![peers::bare(lab, &format!("{place}-bare"))];
    peers.extend(peers::full(lab, &format!("{place}-full"), report));
    let mut named: Vec<_> = peers.into_iter().map(|peer| (peer.name.to_owned(), peer)).collect();
    named.extend(homes_of_all_sizes(lab, place));
    named.extend(peers::others(lab, report).into_iter().map(|peer| (peer.name.to_owned(), peer)));
    named
}

fn turn<'c>(lab: &'c Lab, name: &str, peer: &'c Peer) -> Contender<'c> {
    Contender::new(name, peer.every, move |round| {
        if let Some(index) = peer.index.as_ref().filter(|_| round % ROUNDS_PER_CHECKPOINT == 0) {
            index.checkpoint();
        }
        measured(lab, &(peer.command)(round), None).wall_ms
    })
}

fn alone(lab: &Lab, report: &mut Report) {
    report.heading("Alone, with warm caches");
    let at_place = |place: usize| {
        let peers = everybody(lab, report, &format!("alone-{place}"));
        let mut contenders: Vec<_> = peers.iter().map(|(name, peer)| turn(lab, name, peer)).collect();
        interleave(lab.scale.rounds / PLACES, 10, &mut contenders)
    };
    let turns = (0..PLACES).map(at_place).reduce(Turns::and).expect("there are places");
    table(report, &turns);
    let place = |part: &str| turns.names.iter().position(|name| name.contains(part));
    let empty = place("empty home").expect("it takes part");
    report.figure("record / bare floor", turns.ratio(empty, 0).spread());
    if let Some(full) = place("full floor") {
        report.figure("record / full floor", turns.ratio(empty, full).spread());
    }
    let largest = *lab.scale.homes.last().expect("there are sizes");
    let name = grouped(largest as i64);
    if let Some(large) = place(&format!("home of {name}")) {
        report.figure(format!("record in a home of {name} / empty"), turns.ratio(large, empty).spread());
    }
}

/// p50, p95 and p99, and the ratios to both floors where they took part.
fn table(report: &mut Report, turns: &Turns) {
    let full = turns.names.iter().position(|name| name.contains("full floor"));
    let row = |place: usize| {
        let samples = turns.of(place);
        let ms = |percent| format!("{} ms", number(samples.at(percent)));
        let to_full = full.map_or_else(|| "-".into(), |full| turns.ratio(place, full).spread().show());
        let to_bare = turns.ratio(place, 0).spread().show();
        vec![turns.names[place].clone(), ms(50.0), ms(95.0), ms(99.0), to_bare, to_full, samples.len().to_string()]
    };
    let rows = (0..turns.names.len()).map(row).collect();
    report.table(&["one record", "p50", "p95", "p99", "/ bare floor", "/ full floor", "runs"], rows);
}

/// Drops the caches: everything is read from the disk again.
fn cold(lab: &Lab, report: &mut Report) {
    if !drop_caches() {
        report.skip("cold caches (only root may drop the system's)");
        return;
    }
    report.heading("Alone, with cold caches");
    report.text("The system's page cache, names and inodes are dropped before each process.");
    let peers = everybody(lab, report, "cold");
    let mut contenders: Vec<_> = peers
        .iter()
        .filter(|(_, peer)| peer.every <= 4)
        .map(|(name, peer)| {
            Contender::new(name.clone(), 1, move |round| {
                // Its number is another than in any round that was warm.
                let command = (peer.command)(1_000_000 + round);
                drop_caches();
                measured(lab, &command, None).wall_ms
            })
        })
        .collect();
    let turns = interleave(lab.scale.slow_rounds, 0, &mut contenders);
    table(report, &turns);
    let place = |part: &str| turns.names.iter().position(|name| name.contains(part));
    if let Some((empty, full)) = place("empty home").zip(place("full floor")) {
        report.figure("record, cold caches / full floor", turns.ratio(empty, full).spread());
    }
}

fn drop_caches() -> bool {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Bursts of processes, so many of which run at any time.
fn at_once(lab: &Lab, report: &mut Report, processes: usize) {
    report.heading(format!("{processes} at once"));
    let mut peers = vec![peers::bare(lab, "burst-bare")];
    peers.extend(peers::full(lab, "burst-full", report));
    let mut peers: Vec<_> = peers.into_iter().map(|peer| (peer.name.to_owned(), peer)).collect();
    peers.push(recorder("**`indelible record`**", homes::new(&lab.scratch("burst-home"))));
    let bursts = lab.scale.slow_rounds;
    let mut latencies: Vec<Vec<Samples>> = peers.iter().map(|_| Vec::new()).collect();
    let mut orders = Orders::of(peers.len());
    for _ in 0..bursts {
        for place in orders.next() {
            let (_, peer) = &peers[place];
            if let Some(index) = &peer.index {
                index.checkpoint();
            }
            let command = &peer.command;
            latencies[place].push(burst(processes, &|number| without_input(command(number))));
        }
    }
    let ratios = |place: usize, partner: usize, percent: f64| {
        let pairs = latencies[place].iter().zip(&latencies[partner]);
        Samples::new(pairs.map(|(one, other)| one.at(percent) / other.at(percent)).collect()).spread()
    };
    let partner = peers.iter().position(|(name, _)| name.contains("full floor")).unwrap_or(0);
    let row = |place: usize| {
        let at = |percent| {
            let all = Samples::new(latencies[place].iter().map(|burst| burst.at(percent)).collect());
            format!("{} ms", number(all.median()))
        };
        let shown = |percent| ratios(place, partner, percent).show();
        vec![peers[place].0.clone(), at(50.0), at(95.0), at(99.0), shown(50.0), shown(99.0)]
    };
    let name = if partner == 0 { "bare" } else { "full" };
    let (p50, p99) = (format!("p50 / {name} floor"), format!("p99 / {name} floor"));
    report.table(&["one record", "p50", "p95", "p99", &p50, &p99], (0..peers.len()).map(row).collect());
    report.text(format!("{bursts} bursts of {} processes each, in turns.", BURST_MIN.max(processes)));
    if processes == 50 && partner > 0 {
        report.figure("p50 with 50 at once / full floor", ratios(peers.len() - 1, partner, 50.0));
        report.figure("p99 with 50 at once / full floor", ratios(peers.len() - 1, partner, 99.0));
    }
}

fn without_input(mut command: Command) -> Command {
    command.stdin(Stdio::null());
    command
}

/// How many hooks a host starts in one moment, where it starts many.
pub const HOOKS: usize = 50;
/// Ranks from here on name what failed in no record.
pub const UNKNOWN: usize = 20_000_000;

/// Hooks of an agent's host in bursts: of tools that failed, which are recorded, and of tools that did not.
fn hooks_at_once(lab: &Lab, report: &mut Report) {
    report.heading(format!("Hooks, {HOOKS} at once"));
    let home = homes::new(&lab.scratch("hooks-home"));
    let index = HeldOpen::index_of(&home);
    // A host hands them over through a pipe: they are on no disk.
    let events = lab.memory("hooks-events").unwrap_or_else(|| lab.scratch("hooks-events"));
    std::fs::create_dir_all(&events).expect("a folder beneath target can be made");
    let mut rows = Vec::new();
    for (name, event) in [("a tool failed", "PostToolUseFailure"), ("nothing to record", "PostToolUse")] {
        let write = |round: usize, number: usize| {
            if number == 0 {
                index.checkpoint();
            }
            let id = format!("call-{event}-{round}-{number}");
            let path = events.join(format!("{id}.json"));
            std::fs::write(&path, hook_event(event, &id)).expect("it can be written");
            path
        };
        rows.push(hook_bursts(lab, report, name, &|| indelible(&home, &["hook"]), &write));
    }
    hook_table(lab, report, rows);
}

/// Bursts of hooks, [`HOOKS`] at once, each a `hook` that gets what `write` writes before for its round and number. Returns the row of
/// a table.
pub fn hook_bursts(
    lab: &Lab,
    report: &mut Report,
    name: &str,
    hook: &(dyn Fn() -> Command + Sync),
    write: &dyn Fn(usize, usize) -> PathBuf,
) -> Vec<String> {
    let mut bursts = Vec::new();
    for round in 0..lab.scale.slow_rounds {
        // Written before: where they are on a disk all the same, hooks that sync would wait for their bytes.
        let paths: Vec<PathBuf> = (0..BURST_MIN.max(HOOKS)).map(|number| write(round, number)).collect();
        let started = |number: usize| {
            let mut command = hook();
            command.stdin(std::fs::File::open(&paths[number]).expect("it was just written"));
            command
        };
        bursts.push(burst(HOOKS, &started));
    }
    let at = |percent| Samples::new(bursts.iter().map(|burst| burst.at(percent)).collect()).spread();
    let ms = |percent| format!("{} ms", at(percent).show());
    report.figure(format!("hook p99, {HOOKS} at once, {name}"), at(99.0));
    vec![name.into(), ms(50.0), ms(95.0), ms(99.0)]
}

/// The table of such rows.
pub fn hook_table(lab: &Lab, report: &mut Report, rows: Vec<Vec<String>>) {
    report.table(&["a hook", "p50", "p95", "p99"], rows);
    report.text(format!("{} bursts of {BURST_MIN} processes each.", lab.scale.slow_rounds));
}

/// What Claude Code tells of the call `id`, as far as a hook reads it. Each fails otherwise: the same failure again would be counted.
fn hook_event(event: &str, id: &str) -> String {
    let module = word(UNKNOWN + crc32c::crc32c(id.as_bytes()) as usize);
    serde_json::json!({
        "session_id": "5f0c7c4e-2f6b-4f0e-9b0a-2f4d2d1b7a11",
        "cwd": "/home/ada/shop",
        "hook_event_name": event,
        "tool_name": "Bash",
        "tool_input": { "command": "cargo test --locked" },
        "tool_response": { "stdout": "src\n", "stderr": "", "interrupted": false },
        "tool_use_id": id,
        "error": format!("Exit code 101\nthread '{module}::adds' panicked at src/{module}.rs:12:5:\nassertion failed"),
    })
    .to_string()
}

/// The time of each of a burst's processes.
fn burst(processes: usize, command: &(dyn Fn(usize) -> Command + Sync)) -> Samples {
    let all = BURST_MIN.max(processes);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= all {
                return times;
            }
            let mut command = command(number);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            let status = command.status().expect("it can be started");
            times.push(start.elapsed().as_secs_f64() * 1e3);
            assert!(status.success(), "{command:?} failed: {status}");
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processes).map(|_| scope.spawn(work)).collect();
        Samples::new(threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect())
    })
}

/// Other recorders and a worker run all the time.
fn beside_a_busy_worker(lab: &Lab, report: &mut Report) {
    report.heading("Beside a busy worker");
    let home = homes::new(&lab.scratch("busy-home"));
    let mut peers = vec![peers::bare(lab, "busy-bare")];
    peers.extend(peers::full(lab, "busy-full", report));
    let worker = Worker::start(&home, &["worker.age_ms=1"]);
    let mut peers: Vec<_> = peers.into_iter().map(|peer| (peer.name.to_owned(), peer)).collect();
    peers.push(recorder("**`indelible record`**", home.clone()));
    let stop = AtomicBool::new(false);
    let commits = worker.commits();
    let turns = std::thread::scope(|scope| {
        scope.spawn(|| feed(&home, &stop));
        let mut contenders: Vec<_> = peers.iter().map(|(name, peer)| turn(lab, name, peer)).collect();
        let turns = interleave(lab.scale.rounds, 0, &mut contenders);
        drop(contenders);
        stop.store(true, Ordering::Relaxed);
        turns
    });
    let commits = worker.commits() - commits;
    worker.stop();
    table(report, &turns);
    report.text(format!(
        "Meanwhile the worker made {} commits of what another process recorded.",
        grouped(commits as i64)
    ));
}

/// Records 20 things every 5 ms through one process, until `stop`.
fn feed(home: &Path, stop: &AtomicBool) {
    let mut command = indelible(home, &["record", "batch"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut batch = command.spawn().expect("it can be started");
    let mut input = batch.stdin.take().expect("it was asked for");
    let lines: String = (0..20).map(|number| homes::line(number) + "\n").collect();
    while !stop.load(Ordering::Relaxed) {
        input.write_all(lines.as_bytes()).expect("it reads until the end");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(input);
    assert!(batch.wait().expect("it is our child").success(), "the feeding batch failed");
}

/// Syncs, memory and bytes of one recorder, counted.
fn costs(lab: &Lab, report: &mut Report) {
    report.heading("What one recorder costs besides time");
    let home = homes::new(&lab.scratch("record-costs"));
    let _open = HeldOpen::index_of(&home);
    let runs: Vec<Usage> = (0..20).map(|number| measured(lab, &record_in(&home, number), None)).collect();
    let memory = Samples::new(runs.iter().map(|run| run.memory / MIB).collect()).spread();
    let written = Samples::new(runs.iter().map(|run| run.written / 1e3).collect()).spread();
    let mut rows = vec![
        vec!["peak memory".into(), format!("{} MiB", memory.show())],
        vec!["bytes written, in the system's pages of 4 kB".into(), format!("{} kB", written.show())],
    ];
    report.figure("recorder memory", memory);
    match system_calls(lab, &record_in(&home, 100), None) {
        Some(calls) => {
            let number = syncs(&calls);
            rows.push(vec!["syncs".into(), number.to_string()]);
            report.figure("syncs per record", Spread::exactly(number as f64));
            let all: u64 = calls.iter().map(|(_, count)| count).sum();
            rows.push(vec!["system calls".into(), all.to_string()]);
            report.figure("system calls of a record", Spread::exactly(all as f64));
        }
        None => report.skip("syncs of a record (strace is not installed)"),
    }
    report.table(&["one `indelible record`", ""], rows);
}
