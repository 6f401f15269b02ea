//! Many hosts: what they push at once, what a container's end costs, and what a trunk costs to merge, to fold and to import.
//!
//! The remotes are bare repositories on the disk of the homes, and `git http-backend` on 127.0.0.1 where requests and bytes are
//! counted. Every home belongs to a user of the benchmark's own, so that nothing of the caller's settings is read or written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indelible::model::{Learning, Level, Record, RecordId, Request};
use indelible::page;
use jiff::Timestamp;
use serde_json::Value;

use crate::homes::{self, Layout};
use crate::http::{Answer, HttpGit};
use crate::lab::{Lab, has, indelible, output};
use crate::process::{MIB, measured};
use crate::report::Report;
use crate::samples::{Contender, Samples, Spread, grouped, interleave, number};

/// How many there are of everything.
struct Size {
    hosts: usize,
    /// What the large remote has.
    records: usize,
    lanes: usize,
    records_per_lane: usize,
    folded: usize,
    rounds: usize,
}

/// How many records a container has at its end.
const OF_CONTAINER: usize = 20;

/// Remotes and homes of one user.
struct Fleet<'l> {
    lab: &'l Lab,
    folder: PathBuf,
}

pub fn run(lab: &Lab, report: &mut Report) {
    if !has("git", "--version") {
        report.skip("many hosts (git is not installed)");
        return;
    }
    let (small, rounds) = (lab.scale.is_trial, lab.scale.slow_rounds);
    let size = match small {
        true => Size { hosts: 4, records: 500, lanes: 3, records_per_lane: 50, folded: 20, rounds },
        false => Size { hosts: 50, records: 100_000, lanes: 20, records_per_lane: 5_000, folded: 1_000, rounds: 10 },
    };
    let folder = lab.scratch("fleet");
    std::fs::create_dir_all(folder.join("user")).expect("a folder beneath target can be made");
    let fleet = Fleet { lab, folder };
    at_once(&fleet, report, &size);
    large(&fleet, report, &size);
    merged(&fleet, report, &size);
    folded(&fleet, report, &size);
    recorded(&fleet, report, &size);
    let _ = lab.scratch("fleet");
}

impl Fleet<'_> {
    /// A bare repository.
    fn remote(&self, name: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.git"));
        output(self.git().args(["init", "-q", "--bare", "-b", "main"]).arg(&path));
        output(self.git().arg("-C").arg(&path).args(["config", "http.receivepack", "true"]));
        path
    }

    fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.env("HOME", self.folder.join("user")).env("GIT_CONFIG_NOSYSTEM", "1");
        git
    }

    /// The program on the home `name`, which syncs with `remote`.
    fn on(&self, name: &str, remote: &str, args: &[&str]) -> Command {
        let mut command = indelible(&self.folder.join(name), args);
        command.env("HOME", self.folder.join("user")).env("INDELIBLE_SYNC_PUBLIC", "true");
        if !remote.is_empty() {
            command.env("INDELIBLE_REMOTE", remote);
        }
        command
    }

    /// A new home with so many records in its journal alone.
    fn home(&self, name: &str, records: usize) {
        output(&mut self.on(name, "", &["init"]));
        if records > 0 {
            homes::append(&self.folder.join(name), Layout::Dated, records);
        }
    }

    fn answer(&self, name: &str, remote: &str, args: &[&str]) -> Value {
        serde_json::from_str(&output(&mut self.on(name, remote, args))).expect("it answers in JSON")
    }

    fn count(&self, remote: &Path, args: &[&str]) -> f64 {
        let said = output(self.git().arg("-C").arg(remote).args(args));
        said.trim().parse().expect("git counts")
    }
}

/// Runs all of `commands` at the same time. Returns what they print, and how many seconds it took until the last had ended.
fn together(commands: Vec<Command>) -> (Vec<Value>, f64) {
    let start = Instant::now();
    let running: Vec<_> = commands
        .into_iter()
        .map(|mut command| {
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program can be started")
        })
        .collect();
    let said: Vec<_> = running.into_iter().map(|it| it.wait_with_output().expect("it was started")).collect();
    let seconds = start.elapsed().as_secs_f64();
    (said.iter().map(|it| serde_json::from_slice(&it.stdout).expect("it answers in JSON")).collect(), seconds)
}

/// When the file at `path` had other bytes for the last time, until `is_over`.
fn last_change(path: &Path, is_over: &AtomicBool) -> Instant {
    let (mut bytes, mut changed) = (std::fs::read(path).ok(), Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        let now = std::fs::read(path).ok();
        if now != bytes {
            (bytes, changed) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    changed
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// All hosts push at once, then all of them sync at once.
fn at_once(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let remote = fleet.remote("at-once");
    let names: Vec<String> = (0..size.hosts).map(|host| format!("host-{host}")).collect();
    names.iter().for_each(|name| fleet.home(name, OF_CONTAINER));
    names.iter().for_each(|name| drop(output(&mut fleet.on(name, "", &["flush"]))));
    let all = |args: &[&str]| names.iter().map(|name| fleet.on(name, text(&remote), args)).collect::<Vec<_>>();
    let (drained, pushed_s) = together(all(&["drain", "--json", "--timeout", "300"]));
    let first = drained.iter().filter(|it| it["reached"] == true && it["attempts"] == 1).count();
    let begin = Instant::now();
    let trunk = remote.join("refs/heads/main");
    let is_over = AtomicBool::new(false);
    let ((synced, ended_s), moved) = std::thread::scope(|scope| {
        let moved = scope.spawn(|| last_change(&trunk, &is_over));
        let ended = together(all(&["sync", "--json", "--timeout", "300"]));
        is_over.store(true, Ordering::Relaxed);
        (ended, moved.join().expect("it only looks"))
    });
    let whole_s = (moved - begin).as_secs_f64();
    // Who came before the last lane was merged imports it the next time.
    let merged: u64 = synced.iter().filter_map(|it| it["merged"].as_u64()).sum();
    let merges = fleet.count(&remote, &["rev-list", "--count", "--merges", "main"]);
    let records = output(fleet.git().arg("-C").arg(&remote).args(["ls-tree", "-r", "--name-only", "main"]));
    let records = records.lines().filter(|path| !path.ends_with("README.md")).count();
    report.heading(format!("{} hosts at once", size.hosts));
    report.text(format!(
        "Each has {OF_CONTAINER} records that are committed. All push their lanes at the same moment (`drain`), and then all merge at the same \
         moment (`sync`), which no workers do: they are spread. {first} of {} lanes were there at the first attempt. The trunk has {} records, \
         {merged} counted by those who merged them.",
        size.hosts,
        grouped(records as i64)
    ));
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let rows = vec![
        row("all lanes on the remote", format!("{} s", number(pushed_s))),
        row("the trunk whole", format!("{} s", number(whole_s))),
        row("everywhere imported what was on it by then", format!("{} s", number(ended_s))),
        row("merge commits", number(merges)),
    ];
    report.table(&["", "until the last has ended"], rows);
    report.figure(
        "hosts at once, lanes at the first attempt, in 100",
        Spread::exactly(100.0 * first as f64 / size.hosts as f64),
    );
    report.figure("hosts at once, merge commits", Spread::exactly(merges));
    report.figure("hosts at once, trunk whole, s", Spread::exactly(whole_s));
}

/// A large remote: the first push, the first import, a sync with nothing new, a container's end.
fn large(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let remote = fleet.remote("large");
    fleet.home("source", size.records);
    output(&mut fleet.on("source", "", &["flush", "--timeout", "3600"]));
    let sync = ["sync", "--json", "--timeout", "3600"];
    let run = |name: &str| measured(fleet.lab, &fleet.on(name, text(&remote), &sync), None);
    let first_push = run("source");
    fleet.home("importer", 0);
    let import = run("importer");
    let nothing = Samples::new((0..size.rounds).map(|_| run("importer").wall_ms).collect());
    let rate = |ms: f64| grouped((size.records as f64 / ms * 1e3) as i64);
    report.heading(format!("A remote of {} records", grouped(size.records as i64)));
    let row = |what: &str, ms: f64, rate: String, memory: f64| {
        vec![what.to_owned(), format!("{} ms", number(ms)), rate, format!("{} MiB", number(memory / MIB))]
    };
    let rows = vec![
        row(
            "the first push of all, and the first merge",
            first_push.wall_ms,
            rate(first_push.wall_ms),
            first_push.memory,
        ),
        row(
            "the first import, into files, rows and the search database",
            import.wall_ms,
            rate(import.wall_ms),
            import.memory,
        ),
        row("`sync` with nothing new", nothing.median(), String::new(), run("importer").memory),
    ];
    report.table(&["", "time", "records/s", "peak memory"], rows);
    report.figure("first import, records/s", Spread::exactly(size.records as f64 / import.wall_ms * 1e3));
    report.figure("sync with nothing new, ms", nothing.spread());
    container(fleet, report, size);
}

/// A container's end: 20 records into the large remote, over HTTP.
fn container(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let server = HttpGit::serve(&fleet.folder, Answer::Serve);
    let url = server.url("large.git");
    let (mut requests, mut bytes, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds {
        let name = format!("container-{round}");
        fleet.home(&name, OF_CONTAINER);
        output(&mut fleet.on(&name, "", &["flush"]));
        let _ = server.traffic();
        wall.push(measured(fleet.lab, &fleet.on(&name, &url, &["drain", "--close"]), None).wall_ms);
        let (asked, sent) = server.traffic();
        requests.push(asked as f64);
        bytes.push(sent as f64 / 1e3);
    }
    let [requests, bytes, wall] = [requests, bytes, wall].map(|values| Samples::new(values).spread());
    report.text(format!(
        "The end of a container that recorded {OF_CONTAINER} times: `drain --close`, over HTTP on this machine, by `git http-backend`. The remote \
         is said to be public; else there is one more request, which asks as a stranger would."
    ));
    let row = vec![requests.show(), format!("{} kB", bytes.show()), format!("{} ms", wall.show())];
    report.table(&["requests", "sent and received", "time"], vec![row]);
    report.figure("container's drain, requests", requests);
    report.figure("container's drain, kB", bytes);
    report.figure("container's drain, ms", wall);
}

/// Many lanes of many records, merged by one home that imports nothing.
fn merged(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let remote = fleet.remote("merged");
    for lane in 0..size.lanes {
        let name = format!("lane-{lane}");
        fleet.home(&name, size.records_per_lane);
        output(&mut fleet.on(&name, text(&remote), &["drain", "--timeout", "3600"]));
    }
    fleet.home("merger", 0);
    let mut command = fleet.on("merger", text(&remote), &["sync", "--timeout", "3600"]);
    let usage = measured(fleet.lab, command.env("INDELIBLE_SYNC_IMPORT", "none"), None);
    let all = size.lanes * size.records_per_lane;
    report.heading(format!("{} lanes of {} records merged", size.lanes, grouped(size.records_per_lane as i64)));
    report.text("By a home that has none of them and imports none: the fetch, the merge and the push of the trunk.");
    let row = vec![
        format!("{} s", number(usage.wall_ms / 1e3)),
        grouped((all as f64 / usage.wall_ms * 1e3) as i64),
        format!("{} MiB", number(usage.memory / MIB)),
        number(fleet.count(&remote, &["rev-list", "--count", "--merges", "main"])),
    ];
    report.table(&["time", "records/s", "peak memory", "merge commits"], vec![row]);
    report.figure("lanes merged, records/s", Spread::exactly(all as f64 / usage.wall_ms * 1e3));
}

/// Lanes of one record each, which their homes have closed, merged and folded by one sync.
fn folded(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let remote = fleet.remote("folded");
    let stream = fleet.folder.join("lanes.stream");
    std::fs::write(&stream, closed_lanes(size.folded)).expect("a file beneath target can be made");
    let input = std::fs::File::open(&stream).expect("it was just written");
    output(fleet.git().arg("-C").arg(&remote).args(["fast-import", "--quiet"]).stdin(input));
    fleet.home("folder", 0);
    let answer = fleet.answer("folder", text(&remote), &["sync", "--json", "--timeout", "3600"]);
    let left = output(fleet.git().arg("-C").arg(&remote).args(["for-each-ref", "--format=%(refname)"]));
    report.heading(format!("{} lanes folded", grouped(size.folded as i64)));
    report.text("Each has one record, and is closed. One `sync` fetches and merges them, imports the records, and deletes the lanes.");
    let count = |name: &str| grouped(answer[name].as_i64().unwrap_or_default());
    let ms = answer["ms"].as_f64().unwrap_or_default();
    let row =
        vec![format!("{} s", number(ms / 1e3)), count("merged"), count("folded"), left.lines().count().to_string()];
    report.table(&["time", "records merged", "lanes folded", "references left"], vec![row]);
    report.figure("lanes folded, references left", Spread::exactly(left.lines().count() as f64));
}

/// What `git fast-import` makes so many lanes of.
fn closed_lanes(count: usize) -> String {
    let at: Timestamp = "2026-03-04T05:06:07Z".parse().expect("a time");
    let mut stream = String::new();
    for lane in 1..=count {
        let id: RecordId = format!("01980000-0000-7000-8000-{lane:012x}").parse().expect("an id");
        let title = format!("of container {lane}");
        let learning = Learning { title, domain: "ci".into(), ..Learning::default() };
        let file = page::files(id, at, &Request::new(Record::Failure(learning)), Level::Day).remove(0);
        let name = format!("00000000-0000-4000-8000-{lane:012x}");
        let message = format!(
            "Record 1 failure\n\nIndelible-Format: 1\nIndelible-Home: {name}\nIndelible-Lane: {name}\nIndelible-Records: 1 1\n\
             Indelible-Closed: true\n"
        );
        let (date, path) = (at.as_second() + lane as i64, &file.path);
        let _ = write!(
            stream,
            "commit refs/indelible/hosts/{name}\ncommitter indelible <indelible@localhost> {date} +0000\ndata {}\n{message}\n\
             M 100644 inline {path}\ndata {}\n{}\n",
            message.len(),
            file.text.len(),
            file.text
        );
    }
    stream
}

/// What a recorder takes with a remote, with one out of reach, and without.
fn recorded(fleet: &Fleet<'_>, report: &mut Report, size: &Size) {
    let remote = fleet.remote("recorded");
    let ways = [("no remote", ""), ("a remote", text(&remote)), ("a remote out of reach", "http://127.0.0.1:9/x.git")];
    let flags = ["record", "failure", "--title", "the disk is full", "--domain", "ci"];
    let mut contenders = Vec::new();
    for (at, (name, remote)) in ways.into_iter().enumerate() {
        let home = format!("recorder-{at}");
        fleet.home(&home, 0);
        let command = fleet.on(&home, remote, &flags);
        contenders.push(Contender::new(name, 1, move |_| measured(fleet.lab, &command, None).wall_ms));
    }
    let turns = interleave(fleet.lab.scale.rounds, size.rounds.min(5), &mut contenders);
    report.heading("Recording");
    report.text("`record failure`, without a worker. A recorder knows nothing of remotes.");
    let row = |at: usize| {
        let against = turns.ratio(at, 0).spread();
        vec![turns.names[at].clone(), format!("{} ms", turns.of(at).spread().show()), against.show()]
    };
    report.table(&["", "time", "against no remote"], (0..ways.len()).map(row).collect());
    report.figure("record with a remote / without", turns.ratio(1, 0).spread());
    report.figure("record with a remote out of reach / without", turns.ratio(2, 0).spread());
}
