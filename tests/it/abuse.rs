//! A home that another program tampers with: links that lead out of it, files that are no files, a planted journal, planted
//! settings, planted hooks. Nothing outside is written, nothing hangs, and every report is true.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Cmd, KINDS, Outcome, Receipt, Stores, TestHome, Worker, assert_exactly_once, beside, in_parallel, wait_for,
    write_program,
};

/// How a path of the home is made to lead elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    /// What is there is moved out of the home, and a symbolic link put in its place.
    Link,
    /// A symbolic link to nothing.
    Dangling,
    /// The file gets a second name outside.
    HardLink,
    /// A pipe, without a writer.
    Pipe,
    /// A folder in the place of a file, a file in the place of a folder.
    Other,
}

use Trick::{Dangling, HardLink, Link, Other, Pipe};

/// Every byte and every link beneath `root`.
fn everything(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("it is there"));
            let bytes = match (kind.is_dir(), kind.is_file()) {
                (true, _) => {
                    left.push(path.clone());
                    b"a folder".to_vec()
                }
                (_, true) => std::fs::read(&path).expect("it can be read"),
                _ => b"something else".to_vec(),
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// Plays `trick` at `path` of the home; what is moved away goes to `outside`. Whether there was anything to play it on.
fn play(home: &TestHome, trick: Trick, path: &str, outside: &Path) -> bool {
    let (here, there) = (home.join(path), outside.join("target"));
    let Ok(found) = std::fs::symlink_metadata(&here) else { return false };
    let moved = || std::fs::rename(&here, &there).expect("it can be moved");
    match trick {
        HardLink if found.is_dir() => return false,
        HardLink => std::fs::hard_link(&here, &there).expect("it can have two names"),
        Link => {
            moved();
            symlink(&there, &here).expect("the place is free");
        }
        Dangling => {
            moved();
            symlink(outside.join("nothing"), &here).expect("the place is free");
        }
        Pipe => {
            moved();
            let _ = Cmd::new("mkfifo", home.user()).args([here.as_os_str()]).ok();
        }
        Other => {
            moved();
            match found.is_dir() {
                true => std::fs::write(&here, "").expect("the place is free"),
                false => std::fs::create_dir(&here).expect("the place is free"),
            }
        }
    }
    true
}

/// Puts back what was moved away, unless the product has put something sound in its place.
fn undo(home: &TestHome, trick: Trick, path: &str, outside: &Path) {
    let (here, there) = (home.join(path), outside.join("target"));
    if trick == HardLink {
        return std::fs::remove_file(there).expect("it is there");
    }
    let moved = std::fs::symlink_metadata(&there).expect("it is there");
    let sound = std::fs::symlink_metadata(&here)
        .is_ok_and(|found| (found.is_dir(), found.is_file()) == (moved.is_dir(), moved.is_file()));
    if sound {
        return;
    }
    let _ = std::fs::remove_file(&here);
    let _ = std::fs::remove_dir(&here);
    std::fs::rename(there, here).expect("the place is free");
}

/// Runs a command to its end, which has to come.
#[track_caller]
fn ends(command: Cmd) -> Outcome {
    let mut running = command.spawn();
    wait_for("a command to end", || running.child().try_wait().expect("it is our child").map(|_| ()));
    let outcome = running.wait();
    let allowed = [0, 1, 64, 65, 74, 75, 77, 78];
    assert!(outcome.code().is_some_and(|code| allowed.contains(&code)), "an exit code that is not ours: {outcome}");
    assert!(!outcome.stderr.contains("panicked"), "it panicked: {outcome}");
    outcome
}

/// Records one of each kind; each is kept, or refused for safety and nothing of it is anywhere.
#[track_caller]
fn record_or_refuse(home: &TestHome, title: &str, what: &str) -> Vec<Receipt> {
    let mut kept = Vec::new();
    for kind in KINDS {
        let before = readable_journal(home);
        let outcome = ends(home.recorder(kind, title));
        match outcome.code() {
            Some(0) => kept.push(outcome.receipt()),
            Some(74 | 77 | 78) => {
                assert_eq!(readable_journal(home), before, "{what}: refused, and recorded: {outcome}")
            }
            _ => panic!("{what}: neither kept nor refused: {outcome}"),
        }
    }
    kept
}

fn readable_journal(home: &TestHome) -> BTreeMap<PathBuf, Vec<u8>> {
    everything(&home.join(".indelible/journal"))
}

/// Plays `trick` on each of `paths`, lets every command at it, and holds that nothing outside has changed, and that all
/// that was acknowledged is there once it is undone, and nothing else.
fn withstands(trick: Trick, paths: &[&str]) {
    for path in paths {
        let home = TestHome::new();
        let mut receipts = home.record_each("before");
        home.flush();
        let worker = Worker::start(&home, &["worker.age_ms=1"]);
        assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
        let outside = home.user().join("outside");
        std::fs::create_dir(&outside).expect("it can be made");
        let path = &resolved(&home, path);
        let what = format!("{trick:?} at {path}");
        assert!(play(&home, trick, path, &outside), "{what}: there is nothing to play it on");
        let before = everything(&outside);
        receipts.extend(record_or_refuse(&home, "while it is tampered with", &what));
        for args in [&["flush", "--timeout", "5"][..], &["status"], &["verify"], &["recover", "--timeout", "5"]] {
            let _ = ends(home.cmd(args));
        }
        receipts.extend(record_or_refuse(&home, "after every command", &what));
        // A worker that can go on serves until it is stopped, and tries for a second then.
        let mut worker = Worker::launch(&home, &["worker.age_ms=1", "worker.stop_s=1"], &[]);
        wait_for("the worker to serve, to fail or to end", || {
            let file = home.join(".indelible/status.json");
            // Reading a pipe would wait for ever.
            let published = match std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()) {
                true => std::fs::read_to_string(file).unwrap_or_default(),
                false => String::new(),
            };
            let mine = published.contains(&format!("\"process\":{}", worker.id())) && !published.contains("starting");
            (mine || !worker.is_running() || trick != HardLink && path.ends_with("status.json")).then_some(())
        });
        if worker.is_running() {
            worker.signal(Signal::TERM);
        }
        let _ = worker.wait();
        assert_eq!(everything(&outside), before, "{what}: something outside has changed");
        undo(&home, trick, path, &outside);
        let _ = ends(home.cmd(["init"]));
        let _ = home.recover();
        // What could not be applied meanwhile was parked, and named; by now a person has looked.
        let _ = home.cmd(["repair", "--dismiss"]).run();
        home.recover_fully();
        let stores = assert_exactly_once(&home, &receipts);
        assert_eq!(stores.ids().len(), receipts.len(), "{what}: there is a record without a receipt");
    }
}

/// `DAY` is the day's folder of failures, `RECORD` a file in it.
fn resolved(home: &TestHome, path: &str) -> String {
    let Some(row) = Stores::read(home).rows.into_values().find(|row| row.kind == "failure") else {
        panic!("there is a failure");
    };
    let parts: Vec<_> = row.path.split('/').collect();
    let up_to = |count: usize| parts[..count].join("/");
    match path {
        "YEAR" => up_to(3),
        "MONTH" => up_to(4),
        "DAY" => up_to(5),
        "RECORD" => row.path,
        "SEGMENT" => {
            let newest = home.journal().pop().expect("there is a segment").0;
            format!(".indelible/journal/{newest}")
        }
        _ => path.to_owned(),
    }
}

const MEMORY: [&str; 10] = [
    "memory",
    "memory/failures",
    "memory/successes",
    "memory/observations",
    "memory/heuristics",
    "memory/heuristics/rules-of-thumb",
    "experiments",
    "experiments/active",
    "MONTH",
    "DAY",
];

const PRIVATE: [&str; 6] = [
    ".indelible",
    ".indelible/journal",
    ".indelible/tmp",
    ".indelible/quarantine",
    ".indelible/logs",
    ".indelible/requests",
];

const FILES: [&str; 13] = [
    "SEGMENT",
    "RECORD",
    "memory/heuristics/rules-of-thumb/README.md",
    "memory/index.db",
    "memory/index.db-wal",
    "memory/index.db-shm",
    ".indelible/home.json",
    ".indelible/journal.json",
    ".indelible/state.json",
    ".indelible/status.json",
    ".indelible/worker.lock",
    ".indelible/config.toml",
    ".git/indelible-lock",
];

#[test]
fn links_in_the_place_of_folders_of_records() {
    withstands(Link, &MEMORY);
}

#[test]
fn links_in_the_place_of_private_folders() {
    withstands(Link, &PRIVATE);
}

#[test]
fn links_in_the_place_of_files() {
    withstands(Link, &FILES);
}

#[test]
fn links_to_nothing() {
    withstands(Dangling, &["memory/failures", "DAY", ".indelible/tmp", ".git"]);
    withstands(Dangling, &FILES);
}

#[test]
fn a_link_in_the_place_of_the_history() {
    withstands(Link, &[".git"]);
}

#[test]
fn files_with_a_second_name_outside() {
    withstands(HardLink, &FILES);
}

#[test]
fn pipes_in_the_place_of_files() {
    withstands(Pipe, &FILES);
}

#[test]
fn folders_in_the_place_of_files_and_files_in_the_place_of_folders() {
    withstands(Other, &FILES);
    withstands(Other, &["memory/failures", "DAY", ".indelible/tmp", ".indelible/journal", ".git"]);
}

/// The worker's log, which a library opens by its path.
#[test]
fn a_link_in_the_place_of_a_log() {
    for trick in [Link, HardLink, Dangling] {
        let home = TestHome::new();
        let launch = || home.cmd(["worker", "--log", "file"]).spawn();
        let logs = || std::fs::read_dir(home.join(".indelible/logs")).expect("it is there").flatten().next();
        let mut worker = launch();
        let log = wait_for("the worker to have a log", || logs().map(|entry| entry.path()));
        worker.child().kill().expect("it runs");
        let _ = worker.wait();
        let outside = home.user().join("outside");
        std::fs::create_dir(&outside).expect("it can be made");
        let path = log.strip_prefix(home.path()).expect("it is in the home").to_str().expect("it is ASCII").to_owned();
        assert!(play(&home, trick, &path, &outside));
        let before = everything(&outside);
        let outcome = ends(home.cmd(["worker", "--log", "file"])).exits(77);
        assert!(outcome.stderr.contains("worker."), "it does not say what it refused: {outcome}");
        assert_eq!(everything(&outside), before, "{trick:?}: something outside has changed");
    }
}

/// A process that swaps folders for links as fast as it can, while recorders run.
#[test]
fn folders_swapped_for_links_in_a_race() {
    for path in ["memory/failures", "memory", "DAY", ".indelible/journal", ".indelible/tmp", ".indelible"] {
        let home = TestHome::new();
        let mut receipts = home.record_each("before");
        home.flush();
        let path = resolved(&home, path);
        let (here, outside) = (home.join(&path), home.user().join("outside"));
        std::fs::create_dir(&outside).expect("it can be made");
        // A decoy that has everything, so that a program that follows the link finds what it looks for.
        let decoy = outside.join("decoy");
        let _ = Cmd::new("cp", home.user()).args(["-a".as_ref(), here.as_os_str(), decoy.as_os_str()]).ok();
        let before = everything(&outside);
        let link = home.user().join("link");
        symlink(&decoy, &link).expect("the place is free");
        let kept = Mutex::new(Vec::new());
        let work = || {
            in_parallel(160, 4, |number| {
                let outcome = ends(home.recorder(KINDS[number % KINDS.len()], &format!("in a race {number}")));
                match outcome.code() {
                    Some(0) => kept.lock().expect("no thread panicked").push(outcome.receipt()),
                    Some(74 | 75 | 77 | 78) => {}
                    _ => panic!("neither kept nor refused: {outcome}"),
                }
            });
        };
        let swaps = beside(work, || {
            for _ in 0..2 {
                let swap = renameat_with(CWD, &here, CWD, &link, RenameFlags::EXCHANGE);
                swap.expect("a folder and a link can change places");
            }
        });
        assert!(swaps > 50, "hardly a swap, so nothing was tested");
        let after = everything(&outside);
        let changed: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes)).collect();
        assert!(changed.is_empty(), "{path}: written outside: {:?}", changed.iter().map(|it| it.0).collect::<Vec<_>>());
        receipts.extend(kept.into_inner().expect("no thread panicked"));
        home.recover_fully();
        let stores = assert_exactly_once(&home, &receipts);
        assert_eq!(stores.ids().len(), receipts.len(), "{path}: there is a record without a receipt");
    }
}

/// An entry as a journal holds it.
fn entry(json: &str) -> Vec<u8> {
    let body = format!("{} {json}", json.len());
    format!("\n{:08x} {body}\n", crc32c::crc32c(body.as_bytes())).into_bytes()
}

fn plant(home: &TestHome, bytes: &[u8]) {
    let (name, _) = home.journal().pop().expect("there is a segment");
    let path = home.join(".indelible/journal").join(name);
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("it opens");
    std::io::Write::write_all(&mut file, bytes).expect("it can be written");
}

fn planted(id: &str, path: &str, created_at: &str) -> Value {
    let text = format!("---\nid: {id}\n---\nplanted\n");
    json!({
        "id": id, "created_at": created_at, "kind": "failure", "title": "planted", "domain": "d", "severity": 3,
        "files": [{ "path": path, "text": text }],
    })
}

fn id(number: u32) -> String {
    format!("01900000-0000-7000-8000-{number:012x}")
}

#[test]
fn planted_entries_are_parked_and_named() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    let escape = home.user().join("escaped.md");
    let long = format!("memory/{}.md", "x".repeat(300));
    let deep = format!("memory/{}x.md", "d/".repeat(600));
    let paths = [
        "../escaped.md",
        "memory/../../escaped.md",
        "memory/./x.md",
        escape.to_str().expect("it is UTF-8"),
        "memory/a\0b.md",
        "memory/..\\escaped.md",
        ".git/hooks/post-commit.md",
        ".indelible/config.md",
        "memory/index.db",
        "",
        "memory//x.md",
        &long,
        &deep,
    ];
    for (number, path) in (0..).zip(paths) {
        plant(&home, &entry(&planted(&id(number), path, "2026-01-02T03:04:05Z").to_string()));
    }
    // Entries that are whole, and no intents.
    let others = ["{}", "[]", "null", "\"text\"", "{\"id\":1}", &"[".repeat(100_000), "{\"files\":[]}"];
    others.iter().for_each(|json| plant(&home, &entry(json)));
    // A second file that leads out, behind one that does not.
    let mut two = planted(&id(90), "memory/failures/two.md", "2026-01-02T03:04:05Z");
    let escaped = json!({ "path": "../escaped.md", "text": "escaped" });
    two["files"].as_array_mut().expect("it is a list").push(escaped);
    plant(&home, &entry(&two.to_string()));
    receipts.extend(home.record_each("after"));
    let before = everything(home.user()).into_keys().filter(|path| !path.starts_with(home.path())).count();
    home.flush();
    let expected = paths.len() + others.len() + 1;
    let status = home.status();
    let parked = status["quarantine"]["parked"].as_array().expect("it is a list").len();
    assert_eq!(parked, expected, "each is parked once, and named: {status}");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    let after = everything(home.user()).into_keys().filter(|path| !path.starts_with(home.path())).count();
    assert_eq!(before, after, "something came to be outside of the home");
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), receipts.len(), "something planted was applied");
    let _ = home.cmd(["repair", "--dismiss"]).run();
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn planted_damage_is_kept_and_what_is_behind_it_read() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    plant(&home, &vec![b'x'; 40 << 20]);
    receipts.extend(home.record_each("behind a line longer than any entry"));
    let mut wrong = entry(&planted(&id(1), "memory/failures/wrong.md", "2026-01-02T03:04:05Z").to_string());
    wrong[1] = if wrong[1] == b'0' { b'1' } else { b'0' };
    plant(&home, &wrong);
    plant(&home, b"\n00000000 99999999999999999999 {}\n\n00000000 -1 {}\n\n\xff\xfe\n\0\0\0\0\n");
    receipts.extend(home.record_each("behind damage"));
    let limited = home.under(&["prlimit", "--as=400000000"], &["flush"]).run();
    assert_eq!(limited.code(), Some(0), "it takes more memory than there is: {limited}");
    let status = home.status();
    assert!(status["quarantine"]["damaged"].as_array().is_some_and(|it| it.len() >= 3), "it is named: {status}");
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), receipts.len(), "something planted was applied");
}

/// Numbers that our journals never reach, and invalid names.
#[test]
fn planted_segments() {
    for name in ["18446744073709551615.log", "99999999999999999999.log", "0000000000.log", "-000000001.log", "x.log"] {
        let home = TestHome::new();
        let mut receipts = home.record_each("before");
        std::fs::write(home.join(".indelible/journal").join(name), "").expect("it can be written");
        for kind in KINDS {
            receipts.push(ends(home.recorder(kind, "beside a planted segment")).exits(0).receipt());
        }
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
    }
}

#[test]
fn planted_requests_and_temporary_files() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    let requests = home.join(".indelible/requests");
    std::fs::write(requests.join(format!("{}.json", id(1))), "{\"want\":\"everything\"}").expect("it can be written");
    std::fs::write(requests.join(format!("{}.json", id(2))), [0xff; 9000]).expect("it can be written");
    std::fs::create_dir(requests.join(format!("{}.json", id(3)))).expect("it can be made");
    symlink("/etc/passwd", requests.join(format!("{}.json", id(4)))).expect("the place is free");
    let pipe = requests.join(format!("{}.json", id(5)));
    let _ = Cmd::new("mkfifo", home.user()).args([pipe.as_os_str()]).ok();
    std::fs::write(requests.join("../x.done"), "").expect("it can be written");
    symlink("/etc/passwd", requests.join("x.done")).expect("the place is free");
    let temporary = home.join(".indelible/tmp");
    std::fs::create_dir_all(temporary.join("a/b/c")).expect("it can be made");
    let keep = home.user().join("keep");
    std::fs::create_dir(&keep).expect("it can be made");
    std::fs::write(keep.join("kept"), "").expect("it can be written");
    symlink(&keep, temporary.join("a/link")).expect("the place is free");
    let worker = Worker::quick(&home);
    receipts.extend(home.record_each("beside them"));
    home.flush();
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    home.recover_fully();
    assert!(keep.join("kept").exists(), "what a link leads to was swept");
    assert_exactly_once(&home, &receipts);
}

#[test]
fn planted_settings() {
    for text in [
        "[worker]\nunknown = 1\n",
        "[unknown]\n",
        "worker = 1\n",
        "[worker]\nage_ms = \"soon\"\n",
        "[worker]\nage_ms = -1\n",
        "[worker]\nage_ms = 99999999999999999999\n",
        "[journal]\nsegment_bytes_max = 0.5\n",
        "not toml",
        "[worker]\n[worker]\n",
        "\0",
        &format!("[worker]\n{} = 1\n", "x".repeat(5000)),
        &"[".repeat(5000),
        &format!("a = {}", "[".repeat(5000)),
        &"a.".repeat(5000),
    ] {
        let home = TestHome::new();
        std::fs::write(home.join(".indelible/config.toml"), text).expect("it can be written");
        // A setting that makes no sense is the worker's to complain about; it is no reason to lose a record.
        let receipt = ends(home.recorder("failure", "with planted settings")).exits(0).receipt();
        let worker = ends(home.cmd(["worker", "--log", "file"]));
        assert!(matches!(worker.code(), Some(64 | 77 | 78)), "it serves with {:.60?}: {worker}", text);
        std::fs::write(home.join(".indelible/config.toml"), "").expect("it can be written");
        home.recover_fully();
        assert_exactly_once(&home, &[receipt]);
    }
}

/// What is in a repository's configuration is run by git programs, not by us.
#[test]
fn planted_hooks_attributes_and_configuration_do_nothing() {
    let home = TestHome::new();
    let ran = home.user().join("ran");
    let touch = format!("touch '{}'", ran.display());
    let script = home.user().join("script");
    write_program(&script, format!("#!/bin/sh\n{touch}\n").as_bytes());
    let shown = script.to_str().expect("it is UTF-8");
    for name in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "gpg.program",
        "filter.x.clean",
        "diff.x.textconv",
        "core.gitProxy",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "filter.x.process",
    ] {
        let _ = home.git(["config", name, shown]).ok();
    }
    for (name, value) in [("commit.gpgSign", "true"), ("gc.auto", "1"), ("core.hooksPath", "../hooks")] {
        let _ = home.git(["config", name, value]).ok();
    }
    for folder in ["hooks", ".git/hooks"] {
        std::fs::create_dir_all(home.join(folder)).expect("it can be made");
        for hook in ["pre-commit", "post-commit", "reference-transaction", "pre-auto-gc", "post-index-change"] {
            std::fs::copy(&script, home.join(folder).join(hook)).expect("it can be copied");
        }
    }
    let attributes = "* filter=x diff=x text eol=crlf\n";
    std::fs::create_dir_all(home.join(".git/info")).expect("it can be made");
    for path in [".gitattributes", ".git/info/attributes", "memory/.gitattributes"] {
        std::fs::write(home.join(path), attributes).expect("it can be written");
    }
    let worker = Worker::start(&home, &["worker.age_ms=1", "history.packs_max=2"]);
    let mut receipts = Vec::new();
    for round in 0..6 {
        receipts.extend(home.record_each(&format!("round {round}")));
        home.flush();
    }
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let _ = home.recover();
    let _ = home.verify().exits(0);
    assert!(!ran.exists(), "something planted was run");
    assert_exactly_once(&home, &receipts);
}

/// Whatever the clock said when it was recorded, the journal's order is the order.
#[test]
fn records_of_the_past_and_of_the_future() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    let times = [
        "9999-12-30T22:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "2038-01-19T03:14:08Z",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "-009999-01-02T01:59:59Z",
    ];
    for (number, time) in (0..).zip(times) {
        let path = format!("memory/failures/2026/01/02/planted-{number:08x}.md");
        plant(&home, &entry(&planted(&id(number), &path, time).to_string()));
    }
    // The same id again, at another time and place: the first in the journal is the record.
    plant(&home, &entry(&planted(&id(0), "memory/failures/2026/01/02/again.md", "2000-01-01T00:00:00Z").to_string()));
    receipts.extend(home.record_each("after"));
    home.flush();
    home.recover_fully();
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), receipts.len() + times.len(), "a time made a difference");
    assert!(!home.join("memory/failures/2026/01/02/again.md").exists(), "the second of one id is there");
    assert_eq!(stores.rows[&id(0)].path, "memory/failures/2026/01/02/planted-00000000.md");
}
