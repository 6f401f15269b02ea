//! How every command speaks: usage errors as JSON, progress of long work, and terminals that are dumb, narrow or none.

use std::collections::VecDeque;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{TestHome, Worker, wait_for};
use crate::terminal::Terminal;

/// The commands that the help of `path` lists.
fn commands_below(home: &TestHome, path: &[String]) -> Vec<String> {
    let help = home.homeless(path.iter().map(String::as_str).chain(["--help"])).ok().stdout;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let lines = list.lines().take_while(|line| line.is_empty() || line.starts_with(' ')).filter(is_name);
    lines.filter_map(|line| line.split_whitespace().next()).filter(|it| *it != "help").map(str::to_owned).collect()
}

/// Every command, by its words.
pub fn commands(home: &TestHome) -> Vec<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), VecDeque::from([Vec::new()]));
    while let Some(path) = open.pop_front() {
        for name in commands_below(home, &path) {
            open.push_back(path.iter().cloned().chain([name]).collect());
        }
        found.push(path);
    }
    found
}

#[test]
fn bad_usage_of_every_command_is_one_object_of_json() {
    let home = TestHome::absent();
    let all = commands(&home);
    assert!(all.len() > 60, "the help was not understood: {all:?}");
    for path in all {
        let words = |more: [&'static str; 2]| path.iter().map(String::as_str).chain(more).collect::<Vec<_>>();
        for args in [words(["--no-such-flag", "--json"]), words(["--json", "--no-such-flag"])] {
            let outcome = home.homeless(&args).run();
            // A host would show it to people who cannot do anything about it.
            if path == ["hook"] {
                assert!(outcome.code() == Some(0) && outcome.stderr.is_empty(), "{args:?}: {outcome}");
                continue;
            }
            let said: Value = serde_json::from_str(&outcome.stderr).unwrap_or_else(|_| panic!("{args:?}: {outcome}"));
            assert_eq!((outcome.code(), &said["exit"]), (Some(64), &64.into()), "{args:?}: {outcome}");
            assert!(said["error"].as_str().is_some_and(|it| it.contains("--no-such-flag")), "{args:?}: {outcome}");
            assert_eq!(outcome.stdout, "", "{args:?}");
        }
    }
}

#[test]
fn a_home_that_is_not_there_is_one_object_of_json() {
    let home = TestHome::absent();
    for args in [
        &["status"][..],
        &["list"],
        &["search", "x"],
        &["show", "00000000"],
        &["recall", "--error", "x"],
        &["verify"],
        &["recover"],
        &["repair"],
        &["flush"],
        &["export"],
        &["import", "/dev/null"],
        &["logs"],
        &["cost"],
        &["config", "list"],
        &["page", "--out", "x.html"],
        &["record", "failure", "--title", "t", "--domain", "d"],
        &["record", "batch"],
        &["amend", "00000000", "--title", "t"],
        &["retract", "00000000"],
        &["erase", "00000000", "--yes"],
        &["validate", "00000000"],
        &["review"],
        &["sync"],
        &["drain"],
        &["where", "00000000"],
        &["worker"],
    ] {
        let outcome = home.cmd(args.iter().chain(&["--json"])).run();
        let said: Value = serde_json::from_str(&outcome.stderr).unwrap_or_else(|_| panic!("{args:?}: {outcome}"));
        assert_eq!((outcome.code(), &said["exit"]), (Some(78), &78.into()), "{args:?}: {outcome}");
        assert_eq!(outcome.stdout, "", "{args:?}");
    }
}

/// A home with enough records for its work to be seen.
fn home_of_many() -> TestHome {
    let home = TestHome::new();
    let line = "{\"kind\":\"failure\",\"title\":\"t\",\"domain\":\"d\"}\n";
    let _ = home.cmd(["record", "batch"]).stdin(line.repeat(1000)).ok();
    home
}

/// What `args` shows at a terminal of `columns`, which `but` changes.
fn shown(home: &TestHome, args: &[&str], columns: u16, but: impl FnOnce(&mut Command)) -> String {
    let mut command = home.cmd(args).into_command();
    but(&mut command);
    Terminal::run_sized(command, 24, columns).exits(0)
}

#[test]
fn long_work_shows_how_far_it_is() {
    let home = home_of_many();
    let file = home.user().join("exported");
    let file = file.to_str().expect("it is text");
    for (args, step) in [
        (&["flush"][..], "committing"),
        (&["verify"], "reading files"),
        (&["recover"], "reading the history"),
        (&["repair"], "building search"),
        (&["export", "--out", file], "exporting"),
        (&["import", file], "importing"),
    ] {
        let screen = shown(&home, args, 100, |_| ());
        assert!(screen.contains(step) && screen.contains(" of 1,000") || screen.contains("KiB"), "{args:?}: {screen}");
        assert_eq!(shown(&home, &[args, &["--quiet"]].concat(), 100, |_| ()).matches('\x1b').count(), 0, "{args:?}");
        let json = shown(&home, &[args, &["--json"]].concat(), 100, |_| ());
        let said = json.replace('\r', "");
        let noted = said.lines().filter(|line| !line.starts_with("home: "));
        assert!(noted.clone().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{args:?}: {json}");
    }
    // A line that were longer than the terminal would leave parts of itself behind.
    let screen = shown(&home, &["verify"], 40, |_| ());
    let lines = screen.split(['\r', '\n']).filter(|line| line.contains('%'));
    let longest = lines.map(|line| line.trim_start_matches("\x1b[2K").trim_end().len()).max();
    assert!(longest.is_some_and(|longest| longest < 40), "{screen}");
}

#[test]
fn a_worker_that_does_the_work_is_waited_for_in_sight() {
    let home = TestHome::new();
    let worker = Worker::start(&home, &["worker.age_ms=60000"]);
    let line = "{\"kind\":\"failure\",\"title\":\"t\",\"domain\":\"d\"}\n";
    let _ = home.cmd(["record", "batch"]).stdin(line.repeat(900)).ok();
    let screen = shown(&home, &["flush"], 100, |_| ());
    assert!(screen.contains("the worker commits") && screen.contains("KiB"), "{screen}");
    let _ = worker.stop(Signal::TERM);
}

/// Commands that show something, each of which leaves the home as it is.
const SHOWING: [&[&str]; 11] = [
    &["status"],
    &["list"],
    &["search", "t"],
    &["verify"],
    &["recover"],
    &["repair"],
    &["flush"],
    &["cost"],
    &["config", "list"],
    &["--help"],
    &["help", "record"],
];

#[test]
fn terminals_that_can_only_show_text_get_text() {
    let home = TestHome::new();
    let _ = home.record("failure", "t");
    home.flush();
    for args in SHOWING {
        let dumb = shown(&home, args, 80, |command| {
            let _ = command.env("TERM", "dumb");
        });
        assert!(!dumb.contains('\x1b'), "{args:?}: {dumb:?}");
        let empty = shown(&home, args, 80, |command| {
            let _ = command.env("TERM", "");
        });
        assert!(!empty.contains('\x1b'), "{args:?}: {empty:?}");
        let plain = shown(&home, args, 80, |command| {
            let _ = command.env("NO_COLOR", "1");
        });
        let coloured = plain
            .split("\x1b[")
            .skip(1)
            .find(|it| it.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'));
        assert_eq!(coloured, None, "{args:?}: {plain:?}");
        let piped = home.cmd(args).env("TERM", "xterm-256color").ok();
        assert!(!piped.stdout.contains('\x1b') && !piped.stderr.contains('\x1b'), "{args:?}: {piped}");
        // As narrow as a terminal gets.
        let _ = shown(&home, args, 1, |_| ());
    }
}

#[test]
fn the_log_of_a_worker_in_a_file_has_no_colours() {
    let home = TestHome::new();
    let mut command = home.cmd(["worker", "--log", "file"]).env("CLICOLOR_FORCE", "1").into_command();
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let is_there = || home.cmd(["logs"]).run().stdout.contains("worker started").then_some(());
    wait_for("the worker to say that it has started", is_there);
    let _ = home.cmd(["worker", "--stop"]).ok();
    let _ = worker.wait().expect("it is our child");
    let log = home.cmd(["logs"]).ok().stdout;
    assert!(log.contains("worker started") && !log.contains('\x1b'), "{log:?}");
}

#[test]
fn a_dash_is_stdout_as_it_is_stdin() {
    let home = TestHome::new();
    let _ = home.record("failure", "it broke");
    home.flush();
    for (command, begin) in [("export", "{"), ("page", "<!doctype html>")] {
        let said = home.cmd([command, "--out", "-"]).folder(home.user()).ok();
        assert!(said.stdout.to_lowercase().starts_with(begin), "{said}");
        assert!(!home.user().join("-").exists(), "{command} has written a file of that name");
    }
}

/// What matched is seen on a narrow terminal, wherever it stands, and a line beside the title does not take its place.
#[test]
fn a_hit_shows_what_matched() {
    let home = TestHome::new();
    let long = format!("{}stops after the quokka", "the nightly run of everything ".repeat(4));
    let record = |title: &str, summary: &str| {
        let args = ["record", "failure", "--title", title, "--domain", "ci", "--summary", summary];
        let _ = home.cmd(args).ok();
    };
    record(&long, "It broke.");
    record("Testingframework is broken on CI since Monday", "Testing");
    home.flush();
    for columns in [40, 80] {
        let said = shown(&home, &["search", "quokka"], columns, |_| {});
        assert!(said.contains("quokka"), "{columns}: {said}");
    }
    let said = shown(&home, &["search", "testing"], 80, |_| {});
    assert!(said.contains("Testingframework is broken"), "{said}");
}
