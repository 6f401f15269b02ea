//! What the program says and where: slow, full and closed outputs, names that act on a terminal or mean something to a
//! shell, and batches that are stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Cmd, Outcome, TestHome, Worker, wait_for};

const BINARY: &str = env!("CARGO_BIN_EXE_indelible");

fn line(title: &str) -> String {
    json!({ "kind": "failure", "title": title, "domain": "d" }).to_string() + "\n"
}

fn pending(home: &TestHome) -> Value {
    home.status()["pending"]["records"].clone()
}

/// Runs `command` with its output going to `output`.
fn run_to(command: Cmd, input: &str, output: impl Into<Stdio>) -> Outcome {
    let mut process = command.into_command();
    let mut child = process.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().expect("it starts");
    // The writing end of a pipe must not outlive the child.
    drop(process);
    let mut stdin = child.stdin.take().expect("it was asked for");
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let done = child.wait_with_output().expect("it is our child");
    feeder.join().expect("it does not panic");
    let text = |bytes| String::from_utf8(bytes).expect("what it says is UTF-8");
    Outcome::of(done.status, text(done.stdout), text(done.stderr))
}

#[test]
fn a_pipe_that_does_not_block_gets_every_answer() {
    const LINES: usize = 4000;
    let home = TestHome::new();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("it has flags");
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("it takes them");
    let full = writer.try_clone().expect("it can be shared");
    let batch = home.cmd(["record", "batch"]);
    let input: String = (0..LINES).map(|number| line(&format!("t{number}"))).collect();
    let running = std::thread::spawn(move || run_to(batch, &input, writer));
    wait_for("the pipe to be full", || {
        let room = poll(&mut [PollFd::new(&full, PollFlags::OUT)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        room.is_ok_and(|ready| ready == 0).then_some(())
    });
    drop(full);
    let mut answers = String::new();
    reader.read_to_string(&mut answers).expect("answers are UTF-8");
    let _ = running.join().expect("it does not panic").exits(0);
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect();
    assert_eq!(answers.len(), LINES, "an answer is missing");
    assert!(answers.iter().all(|answer| answer["id"].is_string()), "not every answer is a receipt");
    assert_eq!(pending(&home), LINES);
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let home = TestHome::new();
    let full = || File::options().write(true).open("/dev/full").expect("every Linux has it");
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["--version"],
        &["status"],
        &["status", "--json"],
        &["verify"],
        &["config", "list"],
        &["config", "get", "worker.age_ms"],
        &["service", "status"],
        &["hooks", "status"],
        &["init"],
        &["flush"],
    ] {
        let outcome = run_to(home.cmd(args), "", full()).exits(74);
        assert!(outcome.stderr.contains("output could not be written"), "{args:?}: {outcome}");
        assert!(outcome.stderr.contains("No space left"), "{args:?} does not say why: {outcome}");
    }
    let outcome = run_to(home.cmd(["verify", "--json"]), "", full()).exits(74);
    let said: Value = serde_json::from_str(&outcome.stderr).expect("an error is JSON where that is asked for");
    assert_eq!(said["exit"], 74, "{said}");
    // What is durable is not to be recorded again.
    let record = ["record", "failure", "--title", "t", "--domain", "d"];
    let outcome = run_to(home.cmd(record), "", full()).exits(0);
    assert!(outcome.stderr.contains("the record is kept"), "{outcome}");
    let outcome = run_to(home.cmd(["record", "batch"]), &line("t").repeat(3000), full()).exits(0);
    assert!(outcome.stderr.contains("line 1 and") && outcome.stderr.contains("3,000 records recorded"), "{outcome}");
    let outcome = run_to(home.cmd(["record", "batch"]), "{\n", full()).exits(65);
    assert!(outcome.stderr.contains("could not be written"), "{outcome}");
    assert_eq!(pending(&home), 3001);
}

/// The command that `outcome` advises in a hint.
fn advised(outcome: &Outcome) -> String {
    let hint = outcome.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("there is no hint: {outcome}"));
    hint.split('`').nth(1).unwrap_or_else(|| panic!("it names no command: {outcome}")).to_owned()
}

/// Names that mean something to a shell, to a terminal, or to a command line.
const ODD_NAMES: [&[u8]; 11] = [
    b"a b",
    b"it's",
    b"\"q\" \\ $HOME `id` !x",
    b"-rf",
    b"--json",
    b"~",
    b"~root",
    b"*;&|<>()",
    b"line\nbreak\t",
    b"\x1b[31mred\x1b]0;title\x07",
    "ü\u{202e}x".as_bytes(),
];

#[test]
fn what_is_advised_can_be_pasted() {
    for name in ODD_NAMES {
        let user = TestHome::absent();
        // As the user may write it, where the shell has taken its quotes away already.
        let own = Path::new(".").join(OsStr::from_bytes(name));
        let status = Cmd::new(BINARY, user.user()).args([OsStr::new("--home"), own.as_os_str(), OsStr::new("status")]);
        let command = advised(&status.run().exits(78));
        let folder = Path::new(BINARY).parent().expect("it lies in a folder");
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is one"));
        let _ = Cmd::new("bash", user.user()).args(["-c", &command]).env("PATH", path).ok();
        assert!(
            user.user().join(OsStr::from_bytes(name)).join(".indelible").exists(),
            "{command} has made another home"
        );
    }
}

#[test]
fn no_name_acts_on_a_terminal() {
    for name in ODD_NAMES {
        let home = TestHome::named(OsStr::from_bytes(name));
        let mut said = Vec::new();
        for args in [
            &["init"][..],
            &["status"],
            &["verify"],
            &["flush"],
            &["recover"],
            &["repair"],
            &["config", "list"],
            &["service", "status"],
            &["hooks", "status"],
            &["record", "failure", "--title", "\u{1b}[31mt\nu", "--domain", "\u{1b}[1m\nd"],
            &["record", "failure", "--title", "t", "--domain", "d", "--severity", "\u{1b}[31m\n"],
            &["status", "\u{1b}[31m"],
            &["--set", "\u{1b}[31m", "status"],
            &["--set", "a.b=\u{1b}[31m", "status"],
            &["config", "get", "\u{1b}[31m"],
            &["config", "set", "\u{1b}[31m", "1"],
            &["init", "--json"],
            &["status", "--json"],
        ] {
            said.push(home.cmd(args).run());
        }
        std::fs::remove_dir_all(home.join(".indelible")).expect("it is there");
        said.extend([["status"], ["verify"], ["worker"]].map(|args| home.cmd(args).run()));
        std::fs::remove_dir_all(home.path()).expect("it is there");
        said.extend([["status"], ["verify"], ["worker"]].map(|args| home.cmd(args).run()));
        for outcome in said {
            let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!outcome.stdout.contains(acts) && !outcome.stderr.contains(acts), "{outcome}");
            let is_split = outcome.stdout.lines().chain(outcome.stderr.lines()).any(|line| line.starts_with("break"));
            assert!(!is_split, "a name makes a line of its own: {outcome}");
        }
    }
}

#[test]
fn json_keeps_a_name_exactly() {
    for name in ODD_NAMES {
        let home = TestHome::named(OsStr::from_bytes(name));
        let status = home.status();
        assert_eq!(status["home"].as_str().map(Path::new), Some(home.path()));
    }
    let home = TestHome::named(OsStr::from_bytes(b"\xff\xfe"));
    let status = home.status();
    assert!(status["home"].as_str().is_some_and(|path| path.contains('\u{fffd}')), "{status}");
}

#[test]
fn a_tilde_is_the_users_own_folder() {
    let user = TestHome::absent();
    let home = user.user().join("notes");
    let record = ["record", "failure", "--title", "t", "--domain", "d"];
    let _ = user.homeless(["init", "~/notes"]).ok();
    let _ = user.homeless(["--home=~/notes"]).args(record).ok();
    let _ = user.homeless(["--home", "~/notes"]).args(record).ok();
    let _ = user.homeless(["--home", "~//notes/"]).args(record).ok();
    let _ = user.homeless(record).env("INDELIBLE_HOME", "~/notes").ok();
    let status = user.homeless(["status", "--json"]).env("INDELIBLE_HOME", &home).ok().json();
    assert_eq!(status["pending"]["records"], 4, "{status}");
    let _ = user.homeless(["init"]).env("INDELIBLE_HOME", "~").ok();
    assert!(user.user().join(".indelible").exists(), "the user's own folder is not the home");
    let _ = user.homeless(["man", "--dir=~/pages"]).ok();
    assert!(user.user().join("pages/indelible.1").exists(), "the manual is elsewhere");
    // Another user's is not looked up, and no folder of that name is made.
    for outcome in [
        user.homeless(["--home", "~root/x", "status"]).run(),
        user.homeless(["init", "~root"]).run(),
        user.homeless(["status"]).env("INDELIBLE_HOME", "~root").run(),
        user.homeless(["init"]).env("INDELIBLE_HOME", "~root").run(),
    ] {
        let outcome = outcome.exits(64);
        assert!(outcome.stderr.contains("~root is not expanded"), "{outcome}");
    }
    // One that is named so is reached by a path that says so.
    let _ = user.homeless(["init", "./~"]).ok();
    let _ = user.homeless(["init", "./~root"]).ok();
    let made = |name: &str| user.user().join(name).join(".indelible").exists();
    assert!(made("~") && made("~root"), "a folder of that name is not reached");
}

#[test]
fn a_byte_order_mark_is_no_part_of_what_is_recorded() {
    let home = TestHome::new();
    let mark = "\u{feff}";
    let input = format!("{mark}{}\r\n{mark}\r\n\r\n{mark}{}", line("one").trim_end(), line("two"));
    let outcome = home.cmd(["record", "batch"]).stdin(input).ok();
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome}");
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    for little in [true, false] {
        for mark in ["", mark] {
            let input = utf16(&format!("{mark}{}{}", line("x"), line("y")), little);
            let outcome = home.cmd(["record", "batch"]).stdin(input).run().exits(65);
            assert!(outcome.stdout.lines().all(|line| line.contains("iconv -f UTF-16")), "{outcome}");
        }
    }
    let record = ["record", "failure", "--title", "three", "--domain", "d", "--summary", "-", "--json"];
    let receipt = home.cmd(record).stdin(format!("{mark}the story")).ok().receipt();
    let page = std::fs::read_to_string(home.join(&receipt.page())).expect("it was placed");
    assert!(page.contains("\nthe story") && !page.contains(['\u{feff}', '\u{27e8}']), "{page}");
    let outcome = home.cmd(record).stdin(utf16(&format!("{mark}ä"), true)).run().exits(65);
    assert!(outcome.stderr.contains("UTF-16"), "{outcome}");
    assert_eq!(pending(&home), 3);
    std::fs::write(home.join(".indelible/config.toml"), format!("{mark}[worker]\nage_ms = 7\n")).expect("it is ours");
    assert_eq!(home.cmd(["config", "get", "worker.age_ms"]).ok().stdout, "7\n");
}

#[test]
fn bad_usage_is_reported_as_json_with_json() {
    let home = TestHome::new();
    for args in [
        &["--json", "recrod"][..],
        &["record", "failure", "--titel", "t", "--json"],
        &["--json"],
        &["record", "--json"],
        &["verify", "--json", "x\u{1b}[31m"],
        &["--json", "flush", "--timeout", "soon"],
        &["--json", "worker", "--log", "nowhere"],
        &["--json", "--home", "~root", "status"],
        &["--json", "record", "failure", "--title", "t"],
        &["--json", "--set", "nonsense", "status"],
    ] {
        let outcome = home.homeless(args).env("INDELIBLE_HOME", home.path()).run().exits(64);
        let said: Value = serde_json::from_str(&outcome.stderr).unwrap_or_else(|_| panic!("no JSON: {outcome}"));
        assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}");
        assert_eq!(said["exit"], 64, "{said}");
    }
    let outcome = home.homeless(["record", "failure", "--titel", "t"]).run().exits(64);
    assert!(outcome.stderr.starts_with("error: "), "people get words: {outcome}");
}

#[test]
fn a_batch_that_is_stopped_says_where_to_go_on() {
    for (signal, sent) in [(Signal::TERM, 3), (Signal::INT, 1), (Signal::HUP, 2000)] {
        let home = TestHome::new();
        // A shell that starts the tests in the background may have them ignore what Ctrl-C sends.
        let batch = home.under(&["env", "--default-signal=INT,HUP"], &["record", "batch"]);
        let mut command = batch.into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it was asked for");
        let mut answers = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let lines: String = (0..sent).map(|number| line(&format!("t{number}"))).collect();
        let half = "{\"kind\":\"failure\",\"title\":\"half";
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(lines.as_bytes()).and_then(|()| stdin.write_all(half.as_bytes()));
            stdin
        });
        for _ in 0..sent {
            let _ = answers.next().expect("each line is answered").expect("an answer is UTF-8");
        }
        let stdin = feeder.join().expect("it does not panic");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("it is our child");
        assert!(answers.next().is_none(), "something else is answered");
        let done = child.wait_with_output().expect("it is our child");
        drop(stdin);
        let said = String::from_utf8(done.stderr).expect("it is UTF-8");
        assert_eq!(done.status.code(), Some(75), "{signal:?}: {said}");
        assert!(said.contains(&format!("tail -n +{} FILE", sent + 1)), "{said}");
        assert_eq!(pending(&home), sent, "{said}");
    }
}

#[test]
fn a_batch_whose_input_fails_says_where_to_go_on() {
    let home = TestHome::new();
    let mut command = home.cmd(["record", "batch"]).into_command();
    let folder = File::open(home.path()).expect("it is there");
    let outcome = command.stdin(folder).output().expect("it runs");
    let said = String::from_utf8(outcome.stderr).expect("it is UTF-8");
    assert_eq!(outcome.status.code(), Some(74), "{said}");
    assert!(said.contains("0 records recorded") && said.contains("tail -n +1 FILE"), "{said}");
}

#[test]
fn a_quiet_batch_answers_what_it_refuses() {
    let home = TestHome::new();
    let input = format!("{}[]\n{}", line("one"), line("two"));
    let outcome = home.cmd(["record", "batch", "--quiet"]).stdin(input).run().exits(65);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    let answer: Value = serde_json::from_str(outcome.stdout.trim()).expect("an answer is JSON");
    assert_eq!((&answer["line"], &answer["exit"]), (&json!(2), &json!(65)));
    assert_eq!(outcome.stderr, "", "no person sits at a terminal: {outcome}");
    assert_eq!(pending(&home), 2);
}

#[test]
fn status_says_what_is_no_news() {
    let home = TestHome::new();
    let said = || home.cmd(["status"]).ok().stdout;
    let line = |name: &str| {
        let said = said();
        let found = said.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
        found.unwrap_or_else(|| panic!("{name}: {said}"))
    };
    assert_eq!(line("worker"), "not running");
    let mut worker = Worker::quick(&home);
    let process = worker.id();
    let _ = home.record("failure", "by the worker");
    worker.wait_until_committed(&home);
    wait_for("it to say so", || line("worker").contains("idle").then_some(()));
    assert!(line("worker").starts_with(&format!("a worker, process {process}")), "{}", said());
    worker.signal(Signal::KILL);
    let _ = worker.wait();
    let killed = line("worker");
    assert!(killed.starts_with(&format!("not running; the last was process {process}, idle at")), "{killed}");
    assert!(killed.ends_with("did not say that it ended"), "{killed}");
    let _ = home.record("failure", "by a flush");
    let _ = home.record("failure", "by a flush too");
    home.flush();
    let status = home.status();
    let published = &status["published"];
    assert_eq!((&published["counts"]["commits"], &published["counts"]["records"]), (&json!(2), &json!(3)), "{status}");
    assert_eq!(published["last_commit"]["commit"], status["history"]["commit"], "{status}");
    assert_eq!(published["last_commit"]["records"], 2, "{status}");
    assert!(line("worker").contains(", ended "), "{}", said());
    // What did nothing is not the last to have done something.
    home.flush();
    assert_eq!(home.status()["published"], *published);
    assert!(line("counted").starts_with("2 commits, 3 records, 0 retries"), "{}", said());
}

#[test]
fn status_says_what_lies_in_quarantine_and_where() {
    let home = TestHome::named("a b");
    let folder = home.join(".indelible/quarantine");
    std::fs::write(folder.join("memory-x\u{1b}[31m.md"), "mine").expect("it can be written");
    let said = home.cmd(["status"]).ok().stdout;
    assert!(said.contains(&format!("1 set aside, in {}", folder.display())), "{said}");
    assert!(said.contains("memory-x\u{241b}[31m.md"), "{said}");
    let repair = format!("`indelible --home '{}' repair --dismiss`", home.path().display());
    assert!(said.contains(&repair), "it does not say what to do: {said}");
    let _ = home.cmd(["repair", "--dismiss"]).ok();
    assert!(!home.cmd(["status"]).ok().stdout.contains("memory-x"), "it is still there");
}

#[test]
fn a_path_is_one_word_for_every_shell() {
    use indelible::model::text::{shell_path, shell_word};
    let words = ["", "~", "~x", "-n", "a'b'", "$(id)", "a\\", "!!", "#x", "a\u{a0}b", "{a,b}", "[x]", "=x", "a\r\n"];
    for word in ODD_NAMES.into_iter().chain(words.iter().map(|word| word.as_bytes())) {
        let said = |spelled: &str| {
            let script = format!("printf '%s.' {spelled}");
            let mut shell = std::process::Command::new("bash");
            shell.args(["-c", &script]).output().expect("it runs").stdout
        };
        let word = OsStr::from_bytes(word);
        assert_eq!(said(&shell_word(word)), [word.as_bytes(), b"."].concat(), "{}", shell_word(word));
        let path = PathBuf::from(OsStr::from_bytes(&said(&shell_path(Path::new(word)))));
        assert!(path.as_os_str().as_bytes().first().is_none_or(|first| !b"~-".contains(first)), "{}", path.display());
    }
}

#[test]
fn people_count_in_one_way() {
    let home = TestHome::new();
    let said = |args: &[&str]| home.cmd(args).run().stdout;
    assert_eq!(said(&["flush"]), "nothing was pending\n");
    let _ = home.record("failure", "one");
    assert!(said(&["status"]).contains("pending     1 record, "), "{}", said(&["status"]));
    assert_eq!(said(&["flush"]), "1 record was committed\n");
    let _ = home.cmd(["record", "batch"]).stdin((0..1500).map(|_| line("many")).collect::<String>()).ok();
    assert!(said(&["status"]).contains("pending     1,500 records, "), "{}", said(&["status"]));
    let verified = said(&["verify"]);
    assert!(verified.starts_with("1,501 records: ") && verified.contains("(1,500 pending)"), "{verified}");
    assert!(!verified.contains("search"), "it lags as long as records are pending: {verified}");
    assert_eq!(said(&["flush"]), "1,500 records were committed\n");
    assert!(home.git(["log", "-1", "--format=%s"]).ok().stdout.starts_with("Record 1,500 failures"));
    assert!(said(&["status"]).contains("counted     2 commits, 1,501 records, 0 retries"), "{}", said(&["status"]));
    assert_eq!(said(&["recover"]), "nothing to do\n");
    assert_eq!(home.cmd(["flush", "--json"]).ok().json()["committed"], 0, "JSON has numbers");
}

#[test]
fn input_that_does_not_block_is_read_to_its_end() {
    let home = TestHome::new();
    for (args, input) in [
        (&["record", "batch"][..], line("one") + &line("two")),
        (&["record", "failure", "--title", "t", "--domain", "d", "--summary", "-"], "the whole story\n".repeat(2)),
    ] {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let flags = rustix::fs::fcntl_getfl(&reader).expect("it has flags");
        rustix::fs::fcntl_setfl(&reader, flags | OFlags::NONBLOCK).expect("it takes them");
        let mut process = home.cmd(args).into_command();
        process.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = process.spawn().expect("it starts");
        drop(process);
        let waits = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['S', 'Z'])).then_some(())
        };
        let (first, second) = input.split_at(input.len() / 2 + 3);
        for part in [first, second] {
            wait_for("it to wait for more", waits);
            let _ = writer.write_all(part.as_bytes());
        }
        drop(writer);
        let done = child.wait_with_output().expect("it is our child");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!(pending(&home), 3);
}
