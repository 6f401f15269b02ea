//! The disk says no: at every call that a recorder, `flush`, `recover` or a worker makes, one error after the other. What
//! was acknowledged is everywhere once afterwards, what was refused is nowhere, every refusal says why, and a
//! worker goes on by itself once the disk does.
//!
//! A run under strace counts the calls that there are; in each run after that, one of them fails. The tests that are
//! always run take a sample of that; `--ignored` takes all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::{
    Cmd, Outcome, Receipt, Stores, TestHome, Worker, assert_exactly_once, has_strace, skipped, wait_for,
};

const FULL: &[&str] = &["ENOSPC", "EIO", "EDQUOT", "EROFS"];
const OPEN: &[&str] = &["EMFILE", "EIO", "ENOSPC", "EROFS", "ENFILE", "EACCES"];
const SYNC: &[&str] = &["EIO", "ENOSPC", "EDQUOT"];
const REMOVE: &[&str] = &["EIO", "EROFS", "EACCES"];
const READ: &[&str] = &["EIO"];

/// The calls that are made to fail, and what with. Not `close`: nothing rests on it, since what counts is synced before,
/// and a descriptor whose closing is made to fail stays open, and its lock held, as no disk would have it.
const CALLS: &[(&str, &[&str])] = &[
    ("open", OPEN),
    ("openat", OPEN),
    ("openat2", OPEN),
    ("write", FULL),
    ("pwrite64", FULL),
    ("fdatasync", SYNC),
    ("fsync", SYNC),
    ("syncfs", SYNC),
    ("rename", FULL),
    ("renameat", FULL),
    ("renameat2", FULL),
    ("mkdir", FULL),
    ("mkdirat", FULL),
    ("link", FULL),
    ("linkat", FULL),
    ("unlink", REMOVE),
    ("unlinkat", REMOVE),
    ("rmdir", REMOVE),
    ("ftruncate", FULL),
    ("fallocate", FULL),
    ("read", READ),
    ("pread64", READ),
    ("getdents64", READ),
    ("lseek", READ),
    ("fstat", READ),
    ("newfstatat", READ),
    ("statx", READ),
    ("lstat", READ),
    ("stat", READ),
    ("access", READ),
    ("flock", &["ENOLCK", "EIO"]),
    ("fcntl", &["ENOLCK", "EIO"]),
    ("mmap", &["ENOMEM", "EIO"]),
];
/// Everything that an exit code may be when the disk refuses.
const CODES: &[i32] = &[0, 74, 75, 77, 78];
const FEW_PACKS: [&str; 2] = ["--set", "history.packs_max=2"];
const TINY: [&str; 4] = ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];

/// One call of a process: which, how manieth of its name, and what it was about.
#[derive(Clone, Debug)]
struct Site {
    call: &'static str,
    errno: &'static str,
    nth: usize,
    shown: String,
}

impl Site {
    fn inject(&self, times: usize) -> String {
        let Site { call, errno, nth, .. } = self;
        let until = if times > 1 { format!("..{}", nth + times - 1) } else { String::new() };
        format!("inject={call}:error={errno}:when={nth}{until}")
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} no. {}: {}", self.errno, self.call, self.nth, self.shown)
    }
}

/// How much of what could be tried is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// About so many sites of all, with one error each.
    Sample(usize),
    /// All sites, with each error; or each n-th of that, where `INDELIBLE_FAULTS_STEP` is n, without the first m, where
    /// `INDELIBLE_FAULTS_FROM` is m.
    All,
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("the temporary folder's name is UTF-8")
}

/// The flags with which strace stops at all the calls that may fail, or lets one of them fail as `inject` says and stops at
/// no other: each stop takes longer than most calls.
fn strace_flags(inject: Option<&str>) -> Vec<String> {
    let calls: Vec<_> = CALLS.iter().map(|(call, _)| format!("?{call}")).collect();
    let trace = match inject {
        Some(inject) => inject.split(['=', ':']).nth(1).expect("it names the call").to_owned(),
        None => calls.join(","),
    };
    let flags = ["-f", "--seccomp-bpf", "-y", "-s", "8", "-e", &format!("trace={trace}")].map(str::to_owned);
    flags.into_iter().chain(inject.iter().flat_map(|inject| ["-e".to_owned(), (*inject).to_owned()])).collect()
}

/// `args` on `home` under strace, with the calls that it stops at in `trace`.
fn under_strace(home: &TestHome, trace: &Path, inject: Option<&str>, args: &[String]) -> Cmd {
    let flags = strace_flags(inject);
    let strace = ["strace", "-o", text_of(trace)].into_iter().chain(flags.iter().map(String::as_str));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    home.under(&strace.collect::<Vec<_>>(), &args)
}

/// The calls in `trace` that its first process made since it first named `from`: what comes before is the loader's.
fn sites(trace: &Path, from: &str, home: &TestHome, depth: Depth) -> Vec<Site> {
    let text = std::fs::read_to_string(trace).expect("strace has written what it saw");
    let process = text.split(' ').next().expect("strace names the process").to_owned();
    let mut counted = BTreeMap::<&str, usize>::new();
    let (mut found, mut begun) = (Vec::new(), false);
    for line in text.lines().filter(|line| line.starts_with(&process)) {
        begun |= line.contains(from);
        let line = line[process.len()..].trim_start();
        let Some((name, about)) = line.split_once('(') else { continue };
        let Some((call, errnos)) = CALLS.iter().find(|(call, _)| *call == name) else { continue };
        let nth = counted.entry(call).or_default();
        *nth += 1;
        // A failing read of what is not in the home, or memory that the program has not, is not the disk's doing.
        let about_home = about.contains(text_of(home.path()));
        let reads = *errnos == READ || matches!(name, "mmap" | "fcntl");
        if begun && (about_home || !reads) {
            let shown = about.chars().take(160).collect::<String>();
            found.extend(errnos.iter().map(|&errno| Site { call, errno, nth: *nth, shown: shown.clone() }));
        }
    }
    let Depth::Sample(wanted) = depth else {
        let given = |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"));
        let (from, step) = (given("INDELIBLE_FAULTS_FROM", 0), given("INDELIBLE_FAULTS_STEP", 1));
        return found.into_iter().skip(from).step_by(step).collect();
    };
    // Of what changes the disk more than of what only looks, and of every call something.
    let mut by_call = BTreeMap::<&str, Vec<Site>>::new();
    for site in found {
        by_call.entry(site.call).or_default().push(site);
    }
    let weight = |call: &str| if CALLS.iter().any(|(it, errnos)| *it == call && *errnos == READ) { 1 } else { 3 };
    let whole: usize = by_call.iter().map(|(call, sites)| weight(call) * sites.len().min(12)).sum();
    let take = |(call, sites): (&str, Vec<Site>)| {
        let share = (wanted * weight(call) * sites.len().min(12)).div_ceil(whole.max(1)).clamp(1, sites.len());
        let step = sites.len() as f64 / share as f64;
        (0..share).map(|at| sites[((at as f64 + 0.5) * step) as usize].clone()).collect::<Vec<_>>()
    };
    by_call.into_iter().flat_map(take).collect()
}

/// Holds that `outcome` ends in a promised way and says why. Returns whether it did what was asked.
#[track_caller]
fn told(outcome: &Outcome, site: &str) -> bool {
    let code = outcome.code().unwrap_or_else(|| panic!("{site}\nended by a signal: {outcome}"));
    assert!(CODES.contains(&code), "{site}\nan exit code that is not promised: {outcome}");
    let says = outcome.stderr.lines().any(|line| line.len() > 20) || outcome.stdout.contains("\"error\"");
    assert!(code == 0 || says, "{site}\nno message says why: {outcome}");
    assert!(!outcome.stderr.contains("panicked"), "{site}\nit panicked: {outcome}");
    code == 0
}

/// What a recorder is asked for in a home where the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorder {
    /// Something in a folder that is not there yet.
    NewFolder,
    /// An experiment, which has two files.
    Experiment,
    /// A keyed record.
    Keyed,
    /// Three records with one sync.
    Batch,
    /// A record in a segment whose creator died before it had a header.
    NewSegment,
}

impl Recorder {
    /// Its arguments, its input, and the headlines it records.
    fn asked(self, number: usize) -> (Vec<String>, Option<String>, Vec<String>) {
        let headline = format!("{self:?} number {number} of the day");
        let own = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).chain([headline.clone()]).collect::<Vec<_>>();
        let domain = format!("domain-{number}");
        let key = format!("key-{number}");
        let args = match self {
            Recorder::NewFolder => own(&["record", "heuristic", "--json", "--domain", &domain, "--rule"]),
            Recorder::Experiment => own(&["record", "experiment", "--json", "--hypothesis", "It is.", "--name"]),
            Recorder::Keyed => own(&["record", "observation", "--json", "--domain", "ci", "--key", &key, "--title"]),
            Recorder::NewSegment => own(&["record", "success", "--json", "--domain", "ci", "--title"]),
            Recorder::Batch => {
                let headlines: Vec<_> = ["a", "b", "c"].iter().map(|it| format!("{headline} {it}")).collect();
                let line = |it: &String| format!("{{\"kind\":\"failure\",\"domain\":\"ci\",\"title\":\"{it}\"}}\n");
                let lines = headlines.iter().map(line).collect();
                return (["record", "batch", "--json"].map(str::to_owned).to_vec(), Some(lines), headlines);
            }
        };
        (args, None, vec![headline])
    }

    /// Runs it as the `number`-th of its home, with `inject`.
    fn run(self, home: &TestHome, number: usize, inject: Option<&str>) -> (Outcome, Vec<String>) {
        if self == Recorder::NewSegment {
            let newest = home.journal().last().expect("there is one").0.clone();
            let next: u64 = newest.trim_end_matches(".log").parse().expect("segments are numbered");
            let name = format!(".indelible/journal/{:010}.log", next + 1);
            std::fs::write(home.join(&name), "").expect("it can be made");
        }
        let (args, stdin, headlines) = self.asked(number);
        let mut command = under_strace(home, &trace_of(home), inject, &args);
        if let Some(stdin) = stdin {
            command = command.stdin(stdin);
        }
        (command.run(), headlines)
    }
}

fn trace_of(home: &TestHome) -> PathBuf {
    home.user().join("trace")
}

fn was_injected(home: &TestHome) -> bool {
    std::fs::read_to_string(trace_of(home)).expect("strace has written what it saw").contains("(INJECTED)")
}

/// What became of what was recorded while the disk failed.
#[derive(Default)]
struct Ledger {
    kept: Vec<(String, String)>,
    refused: Vec<(String, String, bool)>,
}

impl Ledger {
    /// Holds that `home` has what the callers were told, and nothing else.
    fn settle(&mut self, home: &TestHome) {
        let sites = || self.kept.iter().map(|(_, site)| site).chain(self.refused.iter().map(|(_, site, _)| site));
        eprintln!("settling {} sites, the last: {}", sites().count(), sites().next_back().map_or("none", |it| it));
        home.recover_fully();
        let stores = Stores::read(home);
        let wrong = stores.problems();
        assert!(wrong.is_empty(), "after these: {:#?}\n{}", sites().collect::<Vec<_>>(), wrong.join("\n"));
        for (headline, site) in self.kept.drain(..) {
            assert_eq!(stores.named(&headline).len(), 1, "acknowledged, and not there once: {headline:?}, {site}");
        }
        for (headline, site, may_appear) in self.refused.drain(..) {
            let there = stores.named(&headline).len();
            assert!(there <= usize::from(may_appear), "refused, and there: {headline:?}, {site}");
            if there == 0 {
                let mentioned = home.git(["grep", "-F", "-l", "-e", &headline, home.branch()]).run();
                assert_eq!(mentioned.stdout, "", "refused, and git has it: {headline:?}, {site}");
            }
        }
    }
}

/// Lets every site of a recorder fail.
fn of_recorder(recorder: Recorder, depth: Depth) {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let _ = home.record_each("before");
    home.flush();
    let (clean, _) = recorder.run(&home, 0, None);
    let _ = clean.exits(0);
    let sites = sites(&trace_of(&home), text_of(home.path()), &home, depth);
    let traced = std::fs::read_to_string(trace_of(&home)).expect("strace has written what it saw");
    assert!(traced.contains("fdatasync("), "a recorder that syncs nothing was traced");
    let (mut ledger, mut injected) = (Ledger::default(), 0);
    for (number, site) in sites.iter().enumerate() {
        let (outcome, headlines) = recorder.run(&home, number + 1, Some(&site.inject(1)));
        injected += usize::from(was_injected(&home));
        let named = format!("{recorder:?}: {site}");
        let done = told(&outcome, &named);
        let may_appear = format!("{}{}", outcome.stdout, outcome.stderr).contains("appear");
        assert!(!done || site.call != "fdatasync", "{named}\nacknowledged without a sync: {outcome}");
        for (number, headline) in headlines.into_iter().enumerate() {
            // Of a batch, each line has its own answer.
            let answered = outcome.stdout.lines().nth(number).is_some_and(|line| line.contains("\"id\""));
            match done || recorder == Recorder::Batch && answered {
                true => ledger.kept.push((headline, named.clone())),
                false => ledger.refused.push((headline, named.clone(), may_appear)),
            }
        }
        if depth == Depth::All || number % 40 == 39 {
            ledger.settle(&home);
        }
    }
    ledger.settle(&home);
    assert!(injected * 10 >= sites.len() * 9, "only {injected} of {} faults happened", sites.len());
    eprintln!("{recorder:?}: {} faults", sites.len());
}

#[test]
fn of_a_recorder_in_a_new_folder() {
    of_recorder(Recorder::NewFolder, Depth::Sample(70));
}

#[test]
fn of_a_recorder_of_an_experiment() {
    of_recorder(Recorder::Experiment, Depth::Sample(50));
}

#[test]
fn of_a_keyed_recorder() {
    of_recorder(Recorder::Keyed, Depth::Sample(40));
}

#[test]
fn of_a_batch_recorder() {
    of_recorder(Recorder::Batch, Depth::Sample(50));
}

#[test]
fn of_a_recorder_in_a_new_segment() {
    of_recorder(Recorder::NewSegment, Depth::Sample(50));
}

#[test]
#[ignore = "takes minutes: every call of every recorder, with every error"]
fn of_every_recorder_everywhere() {
    for recorder in [Recorder::NewFolder, Recorder::Experiment, Recorder::Keyed, Recorder::Batch, Recorder::NewSegment]
    {
        of_recorder(recorder, Depth::All);
    }
}

/// Who works in a home where the disk fails, other than a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// `flush` of pending records.
    Flush,
    /// `flush` that goes on to a new segment and lets go of the old one.
    Rotation,
    /// `recover` of a home with pending records.
    Recover,
    /// `recover` without an index.
    NoIndex,
    /// `recover` without a history.
    NoHistory,
    /// `init` of a home that is there.
    Init,
    /// `repair` of a home that lacks a file and a row.
    Repair,
    /// `verify`.
    Verify,
    /// `recover` that rolls packs together by the library.
    Repack,
    /// `recover` that rolls packs together by the git program.
    GitRepack,
}

impl Work {
    fn args(self) -> Vec<String> {
        let args: &[&str] = match self {
            Work::Flush => &["flush"],
            Work::Rotation => &["flush", TINY[0], TINY[1], TINY[2], TINY[3]],
            Work::Recover | Work::NoIndex | Work::NoHistory => &["recover"],
            Work::Init => &["init"],
            Work::Repair => &["repair"],
            Work::Verify => &["verify"],
            Work::Repack => &["recover", FEW_PACKS[0], FEW_PACKS[1], "--set", "history.git_program="],
            Work::GitRepack => &["recover", FEW_PACKS[0], FEW_PACKS[1]],
        };
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    /// Gets a home ready for the `number`-th time.
    fn prepare(self, home: &TestHome, number: usize) -> Vec<Receipt> {
        let filler = if self == Work::Rotation { "fills the segment ".repeat(20) } else { String::new() };
        let mut receipts = vec![
            home.record("failure", &format!("pending {number} {filler}")),
            home.record("heuristic", &format!("pending rule {number} {filler}")),
            home.record("experiment", &format!("pending experiment {number} {filler}")),
        ];
        let keyed = home.recorder("success", &format!("keyed {number}")).args(["--key", &format!("key {number}")]);
        receipts.push(keyed.ok().receipt());
        match self {
            Work::NoIndex => {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
                }
            }
            Work::NoHistory => std::fs::remove_dir_all(home.join(".git")).expect("it can be removed"),
            Work::Repair => {
                let lost = home.record("observation", &format!("without a file {number}"));
                let rowless = home.record("observation", &format!("without a row {number}"));
                home.flush();
                std::fs::remove_file(home.join(&lost.path)).expect("it is there");
                let index = home.index();
                index.execute("DELETE FROM records WHERE id = ?1", [&rowless.id]).expect("it is there");
                index.execute("DELETE FROM learnings WHERE filepath = ?1", [&rowless.path]).expect("it is there");
                receipts.extend([lost, rowless]);
            }
            Work::Repack | Work::GitRepack => home.flush(),
            Work::Flush | Work::Rotation | Work::Recover | Work::Init | Work::Verify => {}
        }
        receipts
    }

    /// Whether a home where it has done its work has nothing pending.
    fn commits(self) -> bool {
        !matches!(self, Work::Init | Work::Verify)
    }
}

/// A mark of another program in the index, which only an index that is rebuilt loses.
fn mark(home: &TestHome) {
    let marked = home.index().execute("UPDATE heuristics SET times_validated = 7", []).expect("it can be written to");
    assert!(marked > 0, "there is no heuristic to mark");
}

fn is_marked(home: &TestHome) -> bool {
    let count = "SELECT count(*) FROM heuristics WHERE times_validated = 7";
    home.index().query_row(count, [], |row| row.get::<_, i64>(0)).expect("it can be read") > 0
}

/// So many faults happen in one home: in one that grew, each would take longer than the last.
const FAULTS_PER_HOME: usize = 40;

/// Lets every site of a command fail.
fn of_work(work: Work, depth: Depth) {
    if !has_strace() {
        return;
    }
    let (home, _) = worked(work);
    let sites = sites(&trace_of(&home), text_of(home.path()), &home, depth);
    eprintln!("{work:?}: {} faults to come", sites.len());
    let (mut injected, mut refused) = (0, 0);
    for some in sites.chunks(FAULTS_PER_HOME) {
        let (home, mut kept) = worked(work);
        for (number, site) in some.iter().enumerate() {
            let named = format!("{work:?}: {site}");
            eprintln!("{named}");
            kept.extend(work.prepare(&home, number + 1));
            let outcome = under_strace(&home, &trace_of(&home), Some(&site.inject(1)), &work.args()).run();
            injected += usize::from(was_injected(&home));
            let done = told(&outcome, &named);
            refused += usize::from(!done);
            if done && work.commits() {
                // It says that all is done: then it is, but for a page, a row or a pack that the next one sees to.
                let pending = home.status()["pending"]["records"].clone();
                assert_eq!(pending, 0, "{named}\nit is said to be done, and something is pending: {outcome}");
            }
            if number % 10 == 9 || number + 1 == some.len() {
                home.recover_fully();
                assert_exactly_once(&home, &kept);
                let rebuilt = work == Work::NoIndex;
                assert!(
                    rebuilt || is_marked(&home),
                    "{named}\nthe index was rebuilt although nothing was wrong with it"
                );
            } else {
                let _ = home.cmd(["recover"]).ok();
            }
            if work == Work::NoIndex {
                mark(&home);
            }
        }
    }
    eprintln!("{work:?}: {} faults, {refused} of them refused", sites.len());
    assert!(injected * 4 >= sites.len() * 3, "only {injected} of {} faults happened", sites.len());
    assert!(refused > 0, "no fault had any effect");
}

/// A home in which `work` was done once without a fault, and traced; with its records.
fn worked(work: Work) -> (TestHome, Vec<Receipt>) {
    let home = TestHome::new();
    let mut kept = home.record_each("before");
    home.flush();
    mark(&home);
    kept.extend(work.prepare(&home, 0));
    let _ = under_strace(&home, &trace_of(&home), None, &work.args()).ok();
    if work == Work::NoIndex {
        mark(&home);
    }
    (home, kept)
}

#[test]
fn of_flush() {
    of_work(Work::Flush, Depth::Sample(60));
}

/// libgit2 looks at the configuration again and again, and once dereferenced null where it could not twice in a row. Of the
/// calls that look, with each of their errors, each `step`-th fails.
fn of_looks_at_a_configuration(step: usize) {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let mut kept = Work::Flush.prepare(&home, 0);
    let _ = under_strace(&home, &trace_of(&home), None, &Work::Flush.args()).ok();
    let mut sites = sites(&trace_of(&home), text_of(home.path()), &home, Depth::All);
    sites.retain(|site| site.shown.contains("/.git/config\""));
    assert!(sites.len() > 4, "nothing looked at the configuration");
    for (number, site) in sites.iter().enumerate().step_by(step) {
        for times in [1, 2, 4] {
            kept.push(home.record("failure", &format!("number {number}, {times} times")));
            let outcome = under_strace(&home, &trace_of(&home), Some(&site.inject(times)), &Work::Flush.args()).run();
            let _ = told(&outcome, &format!("{times} times {site}"));
        }
    }
    home.recover_fully();
    assert_exactly_once(&home, &kept);
}

#[test]
fn of_a_configuration_that_cannot_be_looked_at() {
    of_looks_at_a_configuration(5);
}

#[test]
#[ignore = "takes a minute: every look at the configuration, with every error"]
fn of_every_look_at_a_configuration() {
    of_looks_at_a_configuration(1);
}

#[test]
fn of_a_rotation() {
    of_work(Work::Rotation, Depth::Sample(45));
}

#[test]
fn of_recovery() {
    of_work(Work::Recover, Depth::Sample(40));
}

/// SQLite says the same of a page that it could not read once as of a damaged one, and what other programs wrote into an
/// index is gone once it is rebuilt. Of the reads, each `step`-th fails.
fn of_reads(step: usize) {
    if !has_strace() {
        return;
    }
    let (home, mut kept) = worked(Work::Recover);
    let line = |at| format!("{{\"kind\":\"failure\",\"title\":\"line {at}\",\"domain\":\"ci\"}}\n");
    let _ = home.cmd(["record", "batch"]).stdin((0..500).map(line).collect::<String>()).ok();
    home.flush();
    kept.push(home.record("failure", "pending"));
    let _ = under_strace(&home, &trace_of(&home), None, &Work::Recover.args()).ok();
    let mut sites = sites(&trace_of(&home), text_of(home.path()), &home, Depth::All);
    sites.retain(|site| {
        site.call == "pread64" && site.shown.contains("memory/index.db") && site.shown.contains(" 1024, ")
    });
    assert!(sites.len() > 20, "hardly anything reads the index");
    for site in sites.iter().step_by(step) {
        let outcome = under_strace(&home, &trace_of(&home), Some(&site.inject(1)), &Work::Recover.args()).run();
        let _ = told(&outcome, &site.to_string());
        assert!(is_marked(&home), "{site}\nthe index was rebuilt although nothing was wrong with it");
    }
    home.recover_fully();
    assert_exactly_once(&home, &kept);
}

#[test]
fn of_reads_of_a_whole_index() {
    of_reads(4);
}

#[test]
#[ignore = "takes a minute: every read of an index"]
fn of_every_read_of_a_whole_index() {
    of_reads(1);
}

#[test]
fn of_a_recovery_without_an_index() {
    of_work(Work::NoIndex, Depth::Sample(30));
}

#[test]
fn of_a_recovery_without_a_history() {
    of_work(Work::NoHistory, Depth::Sample(30));
}

#[test]
fn of_a_repeated_init() {
    of_work(Work::Init, Depth::Sample(20));
}

#[test]
fn of_a_repair() {
    of_work(Work::Repair, Depth::Sample(30));
}

#[test]
fn of_a_look_at_everything() {
    of_work(Work::Verify, Depth::Sample(25));
}

#[test]
fn of_a_repack() {
    of_work(Work::Repack, Depth::Sample(25));
    of_work(Work::GitRepack, Depth::Sample(15));
}

/// Every call of every command, with every error.
mod everywhere {
    use super::{Depth, Work, of_work};

    macro_rules! everywhere {
        ($($name:ident: $work:ident,)*) => { $(
            #[test]
            #[ignore = "takes many minutes: every call, with every error"]
            fn $name() {
                of_work(Work::$work, Depth::All);
            }
        )* };
    }

    everywhere! {
        of_flush: Flush,
        of_a_rotation: Rotation,
        of_recovery: Recover,
        of_a_recovery_without_an_index: NoIndex,
        of_a_recovery_without_a_history: NoHistory,
        of_a_repeated_init: Init,
        of_a_repair: Repair,
        of_a_look_at_everything: Verify,
        of_a_repack: Repack,
        of_a_repack_by_git: GitRepack,
    }
}

/// Whether the fault hit something that is no disk's, such as the counter by which one thread wakes another: which call of
/// a running worker is the n-th differs from run to run.
fn hit_no_disk(trace: &Path, home: &str) -> bool {
    let text = std::fs::read_to_string(trace).expect("strace has written what it saw");
    text.lines().any(|line| line.contains("(INJECTED)") && !line.contains(home))
}

/// Lets each of `sites` fail `times` times in a running worker, which has to get over it by itself.
fn of_worker(depth: Depth, times: usize) {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let mut kept = home.record_each("before");
    home.flush();
    mark(&home);
    let (trace, settings) = (trace_of(&home), ["worker.age_ms=20"]);
    let launch = |inject: Option<&str>| {
        let flags = strace_flags(inject);
        // With -D the process that is started is the worker itself, not strace.
        let strace = ["strace", "-D", "-o", text_of(&trace)].into_iter().chain(flags.iter().map(String::as_str));
        Worker::launch_under(&home, &strace.collect::<Vec<_>>(), &settings)
    };
    let mut worker = launch(None);
    worker.wait_for_line("worker started");
    kept.extend(home.record_each("traced"));
    worker.wait_until_committed(&home);
    assert!(worker.stop(Signal::TERM).success(), "a worker without a fault stops when it is asked to");
    let ended = || std::fs::read_to_string(&trace).ok().filter(|text| text.contains("+++ exited")).map(drop);
    wait_for("strace to write what it saw", ended);
    // From its first word on it has a home to work in, and a failure is no reason to end.
    let sites = sites(&trace, "status.json", &home, depth);
    eprintln!("worker: {} faults to come", sites.len());
    for (number, site) in sites.iter().enumerate() {
        eprintln!("worker: {site}, {times} times");
        let mut worker = launch(Some(&site.inject(times)));
        kept.push(home.record("failure", &format!("while it fails, {number}")));
        kept.push(home.record("heuristic", &format!("while it fails, too, {number}")));
        worker.wait_until_all_committed(&home, &format!("{site}"));
        assert!(worker.is_running(), "{site}\nthe worker ended: {}", worker.said());
        worker.signal(Signal::TERM);
        let status = worker.wait();
        wait_for("strace to write what it saw", ended);
        let no_disks = || hit_no_disk(&trace, text_of(home.path()));
        assert!(status.success() || no_disks(), "{site}\nthe worker did not end well: {status}\n{}", worker.said());
        if number % 12 == 11 {
            home.recover_fully();
            assert_exactly_once(&home, &kept);
        }
    }
    assert!(is_marked(&home), "the index was rebuilt although nothing was wrong with it");
    home.recover_fully();
    assert_exactly_once(&home, &kept);
    eprintln!("worker: {} faults", sites.len());
}

#[test]
fn of_a_worker() {
    of_worker(Depth::Sample(36), 2);
}

#[test]
#[ignore = "takes many minutes: every call of a worker, with every error"]
fn of_a_worker_everywhere() {
    of_worker(Depth::All, 3);
}

/// `command` with no file allowed to grow beyond `bytes`, so that a write there is a short one.
fn no_larger_than(home: &TestHome, bytes: usize, args: &[String]) -> Outcome {
    let limit = format!("--fsize={bytes}");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    home.under(&["prlimit", &limit], &args).run()
}

/// Lets the journal take only so much of an entry, for each of `kept` bytes that it takes.
fn short_writes(recorder: Recorder, step: usize) {
    let home = TestHome::new();
    let _ = home.record_each("before");
    home.flush();
    let (args, stdin, _) = recorder.asked(0);
    assert!(stdin.is_none(), "a limit is set for a recorder that reads nothing");
    let before = home.journal_bytes();
    let _ = no_larger_than(&home, before + 100_000, &args).exits(0);
    let entry = home.journal_bytes() - before;
    let (mut ledger, mut number, mut refused) = (Ledger::default(), 0, 0);
    // The last two: all but the final line feed, which is a whole entry, and all of it.
    for taken in (0..entry - 2).step_by(step).chain(entry - 4..entry + 8) {
        number += 1;
        // As long as the first one's number, so that the entry is as long.
        let (args, _, headlines) = recorder.asked(number % 10);
        let named = format!("{recorder:?}: {taken} of {entry} bytes, number {number}");
        let headline = format!("{} {number:04}", headlines[0]);
        let args: Vec<_> =
            args.into_iter().map(|arg| if arg == headlines[0] { headline.clone() } else { arg }).collect();
        let before = home.journal_bytes();
        let outcome = no_larger_than(&home, before + taken, &args);
        let done = told(&outcome, &named);
        refused += usize::from(!done);
        assert!(done || outcome.code() == Some(74), "{named}\na full disk is an I/O error: {outcome}");
        assert!(done || home.journal_bytes() <= before + taken, "{named}\nthe limit was none: {outcome}");
        match done {
            true => ledger.kept.push((headline, named)),
            false => ledger.refused.push((headline, named, false)),
        }
        if number % 50 == 49 {
            ledger.settle(&home);
        }
    }
    ledger.settle(&home);
    assert!(refused * step > entry / 2, "only {refused} writes of {number} were short");
    eprintln!("{recorder:?}: {number} sizes, {refused} of them refused");
}

#[test]
fn short_writes_to_the_journal() {
    short_writes(Recorder::NewFolder, 11);
    short_writes(Recorder::Experiment, 13);
}

#[test]
#[ignore = "takes a minute: a short write at every byte of an entry"]
fn short_writes_to_the_journal_at_every_byte() {
    short_writes(Recorder::NewFolder, 1);
    short_writes(Recorder::Experiment, 1);
}

/// Of several entries with one sync, those before the cut are whole, and yet none of them was acknowledged.
#[test]
fn a_short_write_of_a_batch_keeps_none_of_it() {
    let home = TestHome::new();
    let _ = home.record_each("before");
    home.flush();
    let mut ledger = Ledger::default();
    let limited = |number: usize, taken: usize| {
        let (args, stdin, headlines) = Recorder::Batch.asked(number);
        let limit = format!("--fsize={}", home.journal_bytes() + taken);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let command = home.under(&["prlimit", &limit], &args).stdin(stdin.expect("a batch has lines"));
        (command.run(), headlines)
    };
    let before = home.journal_bytes();
    let _ = limited(100, 100_000).0.exits(0);
    let entries = home.journal_bytes() - before;
    for (number, taken) in (0..entries + 40).step_by(entries / 24).enumerate() {
        let (outcome, headlines) = limited(number + 101, taken);
        let named = format!("{taken} of {entries} bytes of a batch");
        let done = told(&outcome, &named);
        assert_eq!(done, taken + 1 >= entries, "{named}: {outcome}");
        for headline in headlines {
            match done {
                true => ledger.kept.push((headline, named.clone())),
                false => ledger.refused.push((headline, named.clone(), false)),
            }
        }
    }
    ledger.settle(&home);
}

/// `flush` where no file can grow beyond a size: it says so, and goes on where it was once it can.
#[test]
fn short_writes_of_flush() {
    let home = TestHome::new();
    let mut kept = home.record_each("before");
    home.flush();
    let flush = ["flush".to_owned()];
    let mut refused = 0;
    for (number, bytes) in [0, 1, 40, 57, 100, 300, 900, 1800, 2500, 4000, 4096, 9000, 50_000].into_iter().enumerate() {
        kept.push(
            home.recorder("heuristic", &format!("limited {number}"))
                .args(["--key", &number.to_string()])
                .ok()
                .receipt(),
        );
        kept.push(home.record("experiment", &format!("limited {number}")));
        let named = format!("no file larger than {bytes}");
        refused += usize::from(!told(&no_larger_than(&home, bytes, &flush), &named));
        home.recover_fully();
        assert_exactly_once(&home, &kept);
    }
    assert!(refused > 4, "a limit of nothing refused nothing");
}

/// A small file system of its own, in memory, which goes with it.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// `None`, loudly, where the system lets no user mount one.
    fn of(root: &Path, kilobytes: usize) -> Option<Disk> {
        let folder = root.join("disk");
        std::fs::create_dir(&folder).expect("it can be made");
        let size = format!("size={kilobytes}k,mode=0700");
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Disk { folder }),
            refused => {
                skipped(format!("nothing can be mounted here, so no disk can be full: {refused:?}"));
                None
            }
        }
    }

    /// Fills it up, but for about `left` bytes.
    fn fill(&self, left: usize) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.folder.join("filler")).expect("it can be made");
        while file.write_all(&[0; 1024]).is_ok() {}
        let size = file.metadata().expect("it is open").len();
        file.set_len(size.saturating_sub(left as u64)).expect("it can be cut");
    }

    fn free(&self) {
        std::fs::remove_file(self.folder.join("filler")).expect("it was made");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

#[test]
fn a_full_disk() {
    let root = tempfile::Builder::new().prefix("indelible-it-").tempdir().expect("a temporary folder");
    let Some(disk) = Disk::of(root.path(), 2048) else { return };
    let home = TestHome::within(&disk.folder);
    let mut ledger = Ledger::default();
    let mut kept = home.record_each("before");
    home.flush();
    let (mut taken, mut refused) = (0, 0);
    for (round, left) in [0, 0, 4096, 8192, 12_288, 20_480, 40_960, 65_536, 131_072].into_iter().enumerate() {
        disk.fill(left);
        for number in 0..6 {
            let number = round * 10 + number;
            let kind = [Recorder::NewFolder, Recorder::Experiment, Recorder::Keyed][number % 3];
            let (args, _, headlines) = kind.asked(number);
            let outcome = home.cmd(&args).run();
            let named = format!("{kind:?} with {left} bytes left");
            match told(&outcome, &named) {
                true => ledger.kept.push((headlines[0].clone(), named)),
                false => ledger.refused.push((headlines[0].clone(), named, false)),
            }
        }
        for command in ["flush", "recover"] {
            let outcome = home.cmd([command]).run();
            let _ = told(&outcome, &format!("{command} with {left} bytes left"));
        }
        taken += ledger.kept.len();
        refused += ledger.refused.len();
        disk.free();
        ledger.settle(&home);
        kept.push(home.record("success", &format!("after round {round}")));
    }
    home.recover_fully();
    let stores = Stores::read(&home);
    assert!(kept.iter().all(|receipt| stores.problems_of(&receipt.id).is_empty()), "a full disk cost a record");
    assert!(
        taken > 0 && refused > 0,
        "{taken} records taken and {refused} refused: the disk was never full, or always"
    );
}

#[test]
fn a_worker_on_a_full_disk_goes_on_once_there_is_room() {
    let root = tempfile::Builder::new().prefix("indelible-it-").tempdir().expect("a temporary folder");
    let Some(disk) = Disk::of(root.path(), 2048) else { return };
    let home = TestHome::within(&disk.folder);
    let mut kept = home.record_each("before");
    let mut worker = Worker::start(&home, &["worker.age_ms=20"]);
    worker.wait_until_all_committed(&home, "nothing");
    for round in 0..3 {
        if round == 0 {
            // It finds what is pending once the disk is full.
            worker.signal(Signal::STOP);
            kept.extend(home.record_each("before the disk is full"));
        }
        disk.fill(16_384 * round);
        worker.signal(Signal::CONT);
        // As many as there is room for, whose files or rows may be left to the worker.
        for number in 0..40 {
            let outcome = home.recorder("heuristic", &format!("round {round}, {number}: {}", "long ".repeat(40))).run();
            match told(&outcome, "on a full disk") {
                true => kept.push(outcome.receipt()),
                false => break,
            }
        }
        if round == 0 {
            worker.wait_for_line("trying again");
        }
        assert!(worker.is_running(), "a full disk ended the worker: {}", worker.said());
        disk.free();
        kept.push(home.record("failure", &format!("with room again, {round}")));
        worker.wait_until_all_committed(&home, "the disk was full for a while");
    }
    assert!(worker.stop(Signal::TERM).success(), "it stops when it is asked to");
    home.recover_fully();
    assert_exactly_once(&home, &kept);
}

/// Records of every sort in a journal that also has what dead writers left.
fn lived_journal() -> (TestHome, Vec<Receipt>) {
    let home = TestHome::new();
    let mut kept = home.record_each("committed");
    home.flush();
    kept.extend(home.record_each("pending"));
    let _ = home.recorder("failure", "torn").env("INDELIBLE_CRASH_AT", "AppendShortWrite").run().aborted();
    let _ = home.recorder("failure", "voided").env("INDELIBLE_FAIL_AT", "AppendBeforeSync=5").run().exits(74);
    kept.push(home.recorder("heuristic", "keyed").args(["--key", "one"]).ok().receipt());
    let _ = home.recorder("heuristic", "keyed again").args(["--key", "one"]).ok();
    (home, kept)
}

fn names(segments: &[(String, Vec<u8>)]) -> Vec<&str> {
    segments.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_segment_whose_sync_failed_is_copied_by_flush() {
    for errno in ["5", "28", "122"] {
        let (home, kept) = lived_journal();
        let fail = format!("BatchBeforeSync:1={errno}");
        let _ = home.cmd(["flush"]).env("INDELIBLE_FAIL_AT", &fail).ok();
        assert_exactly_once(&home, &kept);
        let segments = home.journal();
        assert_eq!(names(&segments), ["0000000002.log"], "what was not committed should be in a new segment");
        let new = String::from_utf8_lossy(&segments[0].1);
        assert!(!new.contains("committed failure"), "what was committed has been copied as well");
        assert!(new.contains("pending failure") && new.contains("\"keyed\""), "what was pending was not copied");
        home.assert_settled();
        assert_exactly_once(&home, &kept);
    }
}

#[test]
fn a_segment_whose_sync_failed_is_copied_by_a_worker() {
    let (home, mut kept) = lived_journal();
    let mut worker = Worker::launch(&home, &["worker.age_ms=20"], &[("INDELIBLE_FAIL_AT", "BatchBeforeSync:1=5")]);
    worker.wait_for_line("copied what was not committed to a new segment");
    kept.extend(home.record_each("afterwards"));
    worker.wait_until_all_committed(&home, "a sync of the journal failed");
    assert!(worker.stop(Signal::TERM).success(), "it stops when it is asked to");
    assert_eq!(names(&home.journal()), ["0000000002.log"], "what was not committed should be in a new segment");
    home.recover_fully();
    assert_exactly_once(&home, &kept);
}

/// The copy fails as well, again and again: nothing is committed, no entry goes, and in the end all of it is there.
#[test]
fn a_copy_that_fails_is_made_again() {
    if !has_strace() {
        return;
    }
    let (home, kept) = lived_journal();
    let trace = trace_of(&home);
    // Of the journal alone: other syncs would fail before it comes to that.
    let segments: Vec<_> = (1..9).map(|number| home.join(&format!(".indelible/journal/{number:010}.log"))).collect();
    let mut strace = vec!["strace", "-f", "-y", "-o", text_of(&trace), "-e", "inject=fdatasync:error=EIO"];
    strace.extend(segments.iter().flat_map(|path| ["-P", text_of(path)]));
    let tip = || home.git(["rev-parse", home.branch()]).ok().stdout;
    let (before, oldest) = (tip(), home.journal().remove(0));
    for round in 0..3 {
        let outcome = home.under(&strace, &["flush"]).run();
        assert!(!told(&outcome, "no sync works"), "it says that it committed what it could not sync: {outcome}");
        let seen = std::fs::read_to_string(&trace).expect("strace has written what it saw");
        let failed = |path: &PathBuf| seen.lines().any(|it| it.contains(text_of(path)) && it.contains("(INJECTED)"));
        // The old one once, and never again: by now the system takes it for written, and would say so.
        assert_eq!(failed(&segments[0]), round == 0, "round {round}:\n{seen}");
        assert!(failed(&segments[round + 1]), "no copy failed in round {round}:\n{seen}");
        assert_eq!(tip(), before, "what could not be synced is in git");
        assert_eq!(home.journal()[0], oldest, "what could not be copied was let go of");
    }
    // Not recovered: that would bring back from its file what the journal lost.
    home.flush();
    let left = home.journal();
    assert!(
        !names(&left).iter().any(|name| name.starts_with("0000000001.")),
        "it was synced again: {:?}",
        names(&left)
    );
    assert_exactly_once(&home, &kept);
    home.assert_settled();
    assert_exactly_once(&home, &kept);
}

/// Damage behind what one batch holds is named as well, wherever the rest of the segment goes.
#[test]
fn damage_in_a_segment_that_is_copied_is_named() {
    let home = TestHome::new();
    let mut kept = Vec::new();
    for number in 0..6 {
        kept.push(
            home.recorder("failure", &format!("number {number}")).args(["--key", &number.to_string()]).ok().receipt(),
        );
    }
    let segment = home.join(".indelible/journal/0000000001.log");
    let text = std::fs::read_to_string(&segment).expect("a journal is text");
    let damaged = text.replacen("number 4", "number 9", 1);
    assert_ne!(text, damaged, "nothing was damaged");
    std::fs::write(&segment, damaged).expect("it can be overwritten");
    let flush = home.cmd(["flush", "--set", "worker.records_max=2"]).env("INDELIBLE_FAIL_AT", "BatchBeforeSync:1=5");
    let _ = flush.ok();
    let status = home.status();
    assert_eq!(status["quarantine"]["damaged"].as_array().map(Vec::len), Some(1), "damage was passed over: {status}");
    kept.remove(4);
    assert_exactly_once(&home, &kept);
}
