//! Hooks as their hosts call them: what each host sends, through the built binary, into files and rows; and what a host
//! must never see, whatever it sends.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Outcome, TestHome, Worker, assert_exactly_once, has_strace, in_parallel, wait_for};

/// Runs a hook with `event` on its stdin, and holds that a host sees nothing but `{}`.
#[track_caller]
fn quiet(home: &TestHome, event: impl Into<Vec<u8>>) {
    let outcome = hook(home, event);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("{}\n", ""), "a host sees something: {outcome}");
}

#[track_caller]
fn hook(home: &TestHome, event: impl Into<Vec<u8>>) -> Outcome {
    home.cmd(["hook"]).stdin(event).run().exits(0)
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/hooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut event = serde_json::from_slice(&fixture(name)).expect("a fixture is JSON");
    edit(&mut event);
    event.to_string().into_bytes()
}

/// The failure of one of many calls of a tool.
fn call(number: usize) -> Vec<u8> {
    edited("claude/PostToolUseFailure", |it| it["tool_use_id"] = json!(format!("toolu_{number}")))
}

/// What was counted.
fn counts(home: &TestHome) -> Value {
    home.status()["hooks"].clone()
}

/// Kind, headline and domain of every row.
fn rows(home: &TestHome) -> Vec<(String, String, String)> {
    let index = home.index();
    let sql = "SELECT type, title, domain FROM learnings UNION ALL SELECT 'heuristic', rule, domain FROM heuristics";
    let mut query = index.prepare(sql).expect("the tables are there");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let mut rows: Vec<_> = query.query_map([], row).expect("they can be read").map(|row| row.expect("a row")).collect();
    rows.sort();
    rows
}

/// Commits what is pending, and holds that every record is in all stores once. Returns how many there are.
#[track_caller]
fn settled(home: &TestHome) -> usize {
    home.flush();
    let stores = assert_exactly_once(home, &[]);
    let ids = stores.ids();
    for id in &ids {
        assert_eq!(stores.problems_of(id), Vec::<String>::new());
    }
    home.assert_settled();
    ids.len()
}

#[test]
fn what_each_host_sends_becomes_what_it_means() {
    type Wanted<'a> = &'a [(&'a str, &'a str, &'a str)];
    let cases: [(&str, Wanted<'_>); 36] = [
        ("claude/PostToolUseFailure", &[("failure", "cargo test --locked: exit code 101", "cargo")]),
        (
            "claude/PostToolUseFailure-write",
            &[("failure", "Write: EACCES: permission denied, open '/home/ada/shop/dist/cart.js'", "write")],
        ),
        (
            "claude/PostToolUseFailure-agent",
            &[("failure", "Agent: Agent terminated early due to an API error: overloaded", "agent")],
        ),
        ("claude/PostToolUseFailure-interrupt", &[]),
        ("claude/PostToolUseFailure-read", &[]),
        ("claude/PostToolUse", &[("observation", "the cache is cold after a deploy", "performance")]),
        ("claude/PostToolUse-quiet", &[]),
        (
            "claude/Stop",
            &[
                ("heuristic", "Always seed the random generator in tests.", "testing"),
                ("observation", "the nightly job takes an hour", "general"),
            ],
        ),
        ("claude/SubagentStop", &[("heuristic", "Never round before summing.", "cart")]),
        ("claude/StopFailure", &[]),
        ("claude/SessionStart", &[]),
        ("claude/SessionEnd", &[]),
        ("claude/PreToolUse", &[]),
        ("codex/PostToolUse-failed", &[]), // without its transcript; with it: below
        ("codex/PostToolUse", &[("heuristic", "prefer streams to buffers", "node")]),
        ("codex/Stop", &[("heuristic", "You must tag before you publish.", "release")]),
        ("codex/SubagentStop", &[("observation", "the diff was twice as long as needed", "review")]),
        ("codex/SessionStart", &[]),
        ("gemini/AfterTool-failed", &[("failure", "go test ./...: exit code 1", "go")]),
        (
            "gemini/AfterTool-error",
            &[(
                "failure",
                "replace: Could not find an exact match for 'old_string' in '/home/ada/shop/cart.go'.",
                "replace",
            )],
        ),
        ("gemini/AfterTool", &[("heuristic", "avoid defer in hot loops", "go")]),
        ("gemini/AfterAgent", &[("observation", "the race detector needs cgo", "go")]),
        ("gemini/SessionStart", &[]),
        ("cursor/postToolUseFailure", &[("failure", "pytest -q: failed", "pytest")]),
        ("cursor/postToolUseFailure-denied", &[]),
        ("cursor/postToolUse", &[("heuristic", "prefer tuples for keys", "python")]),
        ("cursor/afterAgentResponse", &[("observation", "the linter runs twice", "python")]),
        ("cursor/subagentStop-failed", &[("failure", "generalPurpose: The subagent ran out of context", "agent")]),
        ("cursor/sessionStart", &[]),
        ("cursor/stop", &[]),
        ("opencode/tool.execute.after-failed", &[("failure", "zig build test: exit code 2", "zig")]),
        ("opencode/tool.execute.after", &[("heuristic", "don't allocate per frame", "zig")]),
        ("opencode/tool.error", &[("failure", "edit: oldString not found in content", "edit")]),
        ("opencode/session.idle", &[("observation", "comptime code is slow to debug", "zig")]),
        ("opencode/session.created", &[]),
        ("claude/PostToolUseFailure", &[]),
    ];
    let home = TestHome::new();
    let mut wanted = Vec::new();
    for (name, records) in cases {
        quiet(&home, fixture(name));
        home.flush();
        wanted.extend(
            records.iter().map(|(kind, title, domain)| (kind.to_string(), title.to_string(), domain.to_string())),
        );
        wanted.sort();
        assert_eq!(rows(&home), wanted, "after {name}");
    }
    assert_eq!(settled(&home), wanted.len());
    let counts = counts(&home);
    assert_eq!(counts["seen"], cases.len(), "{counts}");
    let recorded = cases.iter().filter(|(_, records)| !records.is_empty()).count();
    assert_eq!(counts["recorded"], recorded + 1, "the first was sent again at the end: {counts}");
    let hosts = json!({"claude": 14, "codex": 5, "gemini": 5, "cursor": 7, "opencode": 5});
    assert_eq!(counts["by_host"], hosts, "each host is told by what it sends: {counts}");
}

#[test]
fn every_fixture_is_tried() {
    let source = include_str!("hook.rs");
    let folder = format!("{}/tests/fixtures/hooks", env!("CARGO_MANIFEST_DIR"));
    for host in std::fs::read_dir(folder).expect("it is there") {
        let host = host.expect("it can be listed");
        for event in std::fs::read_dir(host.path()).expect("a folder for each host") {
            let name = event.expect("it can be listed").file_name().into_string().expect("names are ASCII");
            let name = format!("\"{}/{}\"", host.file_name().display(), name.trim_end_matches(".json"));
            assert!(source.contains(&name), "no test sends {name}");
        }
    }
}

#[test]
fn a_record_says_what_failed_where_and_in_whose_session() {
    let home = TestHome::new();
    quiet(&home, fixture("claude/PostToolUseFailure"));
    home.flush();
    let summary: String =
        home.index().query_row("SELECT summary FROM learnings", [], |row| row.get(0)).expect("it is there");
    for part in ["cargo test --locked", "src/cart.rs:12:5", "/home/ada/shop", "5f0c7c4e-2f6b", "Claude Code", "Bash"] {
        assert!(summary.contains(part), "{part:?} is missing in:\n{summary}");
    }
}

/// The record of the one failure, where Codex's transcript says `lines`.
fn codex_failure(home: &TestHome, lines: &[Value]) -> Vec<(String, String, String)> {
    let transcript = home.user().join("rollout.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&transcript, text).expect("it is ours");
    quiet(home, edited("codex/PostToolUse-failed", |it| it["transcript_path"] = json!(transcript)));
    home.flush();
    rows(home)
}

/// A line of Codex's transcript: that `call` has ended with `exit_code`.
fn ended(call: &str, exit_code: i64) -> Value {
    let item = json!({"type": "CommandExecution", "id": call, "command": ["/bin/bash", "-lc", "npm test"],
        "status": "failed", "aggregated_output": "1 failing\n", "exit_code": exit_code});
    json!({"timestamp": "2026-11-21T04:00:00.000Z", "type": "event_msg",
        "payload": {"type": "item_completed", "turn_id": "turn-3", "item": item}})
}

#[test]
fn how_a_command_of_codex_ended_is_read_from_its_transcript() {
    let home = TestHome::new();
    let asked = json!({"type": "response_item", "payload": {"type": "function_call", "call_id": "call_7Yd"}});
    assert_eq!(codex_failure(&home, &[ended("call_7Yd", 0), asked.clone()]), []);
    let mut another = ended("call_6Xc", 2);
    another["payload"]["item"]["aggregated_output"] = json!("call_7Yd");
    assert_eq!(codex_failure(&home, &[another.clone(), asked.clone(), json!("call_7Yd")]), []);
    let long = json!("x".repeat(3 << 20));
    let failure = ("failure".to_owned(), "npm test: exit code 1".to_owned(), "npm".to_owned());
    assert_eq!(codex_failure(&home, &[long, asked, ended("call_7Yd", 1), another, ended("call_8Ze", 3)]), [failure]);
    let body: String =
        home.index().query_row("SELECT summary FROM learnings", [], |row| row.get(0)).expect("it is there");
    assert!(body.contains("1 failing"), "the error is what the command printed: {body}");
}

#[test]
fn a_transcript_that_is_none_is_no_error() {
    let home = TestHome::new();
    let fifo = home.user().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    for transcript in
        [json!(fifo), json!(home.user()), json!("/proc/self/mem"), json!("no\u{0}file"), json!(7), json!(null)]
    {
        quiet(&home, edited("codex/PostToolUse-failed", |it| it["transcript_path"] = transcript));
    }
    let counts = counts(&home);
    assert_eq!((&counts["seen"], &counts["skipped"]), (&json!(6), &json!(6)), "{counts}");
}

#[test]
fn what_gemini_says_to_agent_and_person_is_recorded_once() {
    let home = TestHome::new();
    quiet(&home, fixture("gemini/AfterTool-failed"));
    home.flush();
    let body: String =
        home.index().query_row("SELECT summary FROM learnings", [], |row| row.get(0)).expect("it is there");
    assert_eq!(body.matches("cart_test.go:14").count(), 1, "{body}");
    assert!(!body.contains("untrusted_context"), "{body}");
}

#[test]
fn two_copies_of_a_hook_at_once_make_one_record() {
    let home = TestHome::new();
    let names = ["claude/PostToolUseFailure", "claude/Stop", "gemini/AfterTool-failed", "cursor/postToolUseFailure"];
    in_parallel(4 * names.len(), 16, |number| quiet(&home, fixture(names[number % names.len()])));
    assert_eq!(settled(&home), 5, "three failures and the two things that were learned");
    assert_eq!(counts(&home)["seen"], 16);
}

#[test]
fn a_marker_repeated_by_tool_agent_and_sub_agent_is_one_record() {
    let home = TestHome::new();
    let text = "[LEARNED:ci] Always pin the toolchain";
    quiet(&home, edited("claude/PostToolUse", |it| it["tool_response"]["stdout"] = json!(text)));
    quiet(&home, edited("claude/SubagentStop", |it| it["last_assistant_message"] = json!(format!("**{text}.**"))));
    home.flush();
    quiet(&home, edited("claude/Stop", |it| it["last_assistant_message"] = json!(format!("- {text}\n- {text}"))));
    assert_eq!(settled(&home), 1);
    assert_eq!(counts(&home)["recorded"], 3);
    quiet(&home, edited("codex/Stop", |it| it["last_assistant_message"] = json!(text)));
    assert_eq!(settled(&home), 2, "another session has learned it by itself");
}

#[test]
fn what_is_no_event_is_counted_and_never_seen() {
    let home = TestHome::new();
    let cases: [(&[u8], &str); 12] = [
        (b"", "unreadable"),
        (b" \n\t", "unreadable"),
        (b"{", "unreadable"),
        (b"{}}", "unreadable"),
        (b"[1]", "unreadable"),
        (b"\"Stop\"", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b"{\"hook_event_name\": \"Stop\", \"session_id\": \"\xff\"}", "unreadable"),
        (b"{}", "skipped"),
        (br#"{"hook_event_name": "Tomorrow", "x": [{"y": 1e999}]}"#, "unreadable"),
        (br#"{"hook_event_name": "Tomorrow", "x": [{"y": 1}]}"#, "skipped"),
        (
            br#"{"hook_event_name": "PostToolUseFailure", "error": {"a": []}, "tool_name": null, "tool_input": 3}"#,
            "recorded",
        ),
    ];
    for (number, (event, class)) in cases.iter().enumerate() {
        let before = home.status()["hooks"][class].as_u64().unwrap_or(0);
        quiet(&home, *event);
        let after = counts(&home);
        assert_eq!(
            (&after["seen"], &after[class]),
            (&json!(number + 1), &json!(before + 1)),
            "{:?}: {after}",
            event.escape_ascii().to_string()
        );
    }
    quiet(&home, [b"{\"a\":".repeat(200_000), b"1".to_vec(), b"}".repeat(200_000)].concat());
    assert_eq!(counts(&home)["unreadable_by"]["no-json"], 8, "nesting without end is no event, and no crash");
    assert_eq!(counts(&home)["failed"], 0);
}

#[test]
fn fifty_megabytes_are_counted_in_little_memory() {
    let home = TestHome::new();
    let text = "x".repeat(50 << 20);
    let event = json!({"hook_event_name": "Stop", "last_assistant_message": text}).to_string();
    let limit = ["sh", "-c", "ulimit -v 600000; exec \"$@\"", "sh"];
    let outcome = home.under(&limit, &["hook"]).stdin(event).run().exits(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("{}\n", ""), "{outcome}");
    assert_eq!(counts(&home)["unreadable_by"], json!({"too-large": 1}));
    let event =
        json!({"hook_event_name": "Stop", "last_assistant_message": format!("{}\n[LEARNED] x", "x".repeat(3 << 20))});
    quiet(&home, event.to_string());
    assert_eq!(settled(&home), 1, "what is below the limit is read");
}

#[test]
fn a_host_that_leaves_stdin_open_is_not_waited_for() {
    let home = TestHome::new();
    let start = || {
        let mut command = home.cmd(["hook"]).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    for (event, class) in [(fixture("claude/Stop"), "recorded"), (b"{\"hook_event_name\":".to_vec(), "unreadable")] {
        let mut child = start();
        let mut input = child.stdin.take().expect("it was asked for");
        input.write_all(&event).expect("it reads");
        let status = wait_for("the hook to end by itself", || child.try_wait().expect("it is our child"));
        assert_eq!(status.code(), Some(0));
        let mut said = String::new();
        let _ = child.stdout.take().expect("it was asked for").read_to_string(&mut said).expect("UTF-8");
        assert_eq!(said, "{}\n");
        assert_eq!(counts(&home)[class], 1);
        drop(input);
    }
}

#[test]
fn flags_that_make_no_sense_are_no_error_for_a_host() {
    let home = TestHome::new();
    let attempts: [&[&str]; 6] = [
        &["hook", "--bogus"],
        &["hook", "Stop"],
        &["--set", "x", "hook", "--host"],
        &["--set", "worker.age_ms=x", "hook"],
        &["hook", "--host", "emacs"],
        &["--json", "hook", "--explain=7"],
    ];
    for args in attempts {
        let outcome = home.cmd(args).stdin(fixture("claude/Stop")).run().exits(0);
        assert_eq!(outcome.stderr, "", "{outcome}");
        assert!(matches!(outcome.stdout.as_str(), "" | "{}\n"), "{outcome}");
    }
    let _ = home.cmd(["record", "failure", "--title", "hook", "--bogus"]).run().exits(64);
    assert_eq!(counts(&home)["failed"], 1, "the setting that makes no sense is named: {}", counts(&home));
}

#[test]
fn where_no_home_is_none_is_made() {
    let home = TestHome::absent();
    quiet(&home, fixture("claude/Stop"));
    assert!(!home.path().exists());
    assert!(home.cmd(["hook", "--explain"]).stdin(fixture("claude/Stop")).ok().stderr.contains("there is no home"));
}

#[test]
fn a_broken_home_is_no_error_for_a_host() {
    let home = TestHome::new();
    std::fs::remove_dir_all(home.join(".indelible/journal")).expect("it was there");
    quiet(&home, fixture("claude/Stop"));
    std::fs::remove_dir_all(home.join(".indelible/tmp")).expect("it was there");
    quiet(&home, fixture("claude/PostToolUse-quiet"));
}

#[test]
fn what_could_not_be_recorded_is_counted_with_the_reason() {
    let home = TestHome::new();
    std::fs::write(home.join(".indelible/config.toml"), "[hook\n").expect("it is ours");
    quiet(&home, fixture("claude/Stop"));
    std::fs::write(home.join(".indelible/config.toml"), "[redact.patterns]\nours = \"(\"\n").expect("it is ours");
    quiet(&home, fixture("claude/Stop"));
    let counts = counts(&home);
    assert_eq!((&counts["seen"], &counts["failed"]), (&json!(2), &json!(2)));
    let error = counts["last_error"]["error"].as_str().expect("there is one");
    assert!(error.contains("\"ours\""), "{error}");
    std::fs::write(home.join(".indelible/config.toml"), "").expect("it is ours");
    assert_eq!(settled(&home), 0, "what might have held a secret was not recorded");
}

#[test]
fn settings_decide_what_is_recorded() {
    let home = TestHome::new();
    let configure = |text: &str| home.configure_user(text);
    configure("[hook]\nrecord = false\n");
    quiet(&home, fixture("claude/Stop"));
    assert_eq!(counts(&home)["skipped_by"]["switched-off"], 1);
    configure("[hook.events]\nStop = [\"failure\"]\n[hook.tools]\nWrite = []\nRead = [\"failure\"]\n");
    for name in ["claude/Stop", "claude/PostToolUseFailure-write", "claude/PostToolUseFailure-read"] {
        quiet(&home, fixture(name));
    }
    assert_eq!(counts(&home)["skipped_by"]["unwanted"], 2);
    assert_eq!(settled(&home), 1);
    assert_eq!(rows(&home)[0].1, "Read: File does not exist.");
}

#[test]
fn the_template_shows_the_defaults() {
    let home = TestHome::new();
    let path = home.join(".indelible/config.toml");
    let text = std::fs::read_to_string(&path).expect("init wrote it");
    let lines = text.lines().map(|line| line.strip_prefix("# ").filter(|it| it.contains(" = ")).unwrap_or(line));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).expect("it is ours");
    quiet(&home, fixture("claude/Stop"));
    assert_eq!(counts(&home)["failed"], 0, "every line of it can be switched on: {}", counts(&home));
    assert_eq!(settled(&home), 2);
}

#[test]
fn no_store_ever_holds_a_secret() {
    let home = TestHome::new();
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let with_it = format!("push https://x:{secret}@h/r {secret}");
    for name in ["claude/PostToolUseFailure", "claude/Stop", "claude/PostToolUseFailure-write"] {
        quiet(
            &home,
            edited(name, |it| {
                it["session_id"] = json!(secret);
                it["cwd"] = json!(format!("/home/{secret}"));
                it["tool_use_id"] = json!(secret);
                it["tool_input"]["command"] = json!(with_it);
                it["tool_input"]["file_path"] = json!(with_it);
                it["error"] = json!(with_it);
                it["last_assistant_message"] =
                    json!(format!("[LEARNED:{secret}] never {with_it}\n[LEARNED] {with_it}"));
            }),
        );
    }
    let args = [
        "record",
        "failure",
        "--title",
        &with_it,
        "--domain",
        &secret,
        "--tags",
        &secret,
        "--summary",
        &with_it,
        "--key",
        &secret,
        "--redact",
    ];
    let _ = home.cmd(args).ok();
    let batch = json!({"kind": "heuristic", "rule": with_it, "domain": secret, "key": with_it}).to_string();
    let _ = home.cmd(["record", "--redact", "batch"]).stdin(batch).ok();
    assert_eq!(settled(&home), 5);
    let found = home.cmd(["status"]).ok().stdout;
    assert!(!found.contains(&secret));
    let history = home.git(["log", "-p", "--all"]).ok().stdout;
    assert!(!history.contains(&secret) && history.contains("[redacted:github-token]"), "{history}");
    let _ = crate::support::Cmd::new("grep", home.user()).args(["-rlaF", &secret]).args([home.path()]).run().exits(1);
}

#[test]
fn own_patterns_and_redaction_can_be_set() {
    let home = TestHome::new();
    let configure = |text: &str| home.configure_user(text);
    configure("[redact]\nrecords = true\n[redact.patterns]\nticket = \"T-[0-9]+\"\n");
    let _ = home.cmd(["record", "success", "--title", "closed T-42", "--domain", "d"]).ok();
    quiet(&home, edited("claude/Stop", |it| it["last_assistant_message"] = json!("[LEARNED] T-43 was hard")));
    configure("[redact]\nhooks = false\n");
    quiet(&home, edited("claude/Stop", |it| it["last_assistant_message"] = json!("[LEARNED] T-44 was hard")));
    home.flush();
    let titles: Vec<_> = rows(&home).into_iter().map(|row| row.1).collect();
    assert_eq!(titles, ["T-44 was hard", "[redacted:ticket] was hard", "closed [redacted:ticket]"]);
}

#[test]
fn with_every_lock_taken_a_hook_records_all_the_same() {
    let home = TestHome::new();
    quiet(&home, fixture("claude/Stop"));
    let worker =
        std::fs::File::options().write(true).create(true).truncate(false).open(home.join(".indelible/worker.lock"));
    let worker = worker.expect("it can be opened");
    worker.lock().expect("no worker runs");
    for lock in [".git/index.lock", ".git/HEAD.lock", ".git/refs/heads/main.lock", ".git/packed-refs.lock"] {
        std::fs::write(home.join(lock), "").expect("nobody has it");
    }
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("nobody else has it open");
    in_parallel(50, 50, |number| quiet(&home, call(number)));
    drop((index, worker));
    for lock in [".git/index.lock", ".git/HEAD.lock", ".git/refs/heads/main.lock", ".git/packed-refs.lock"] {
        std::fs::remove_file(home.join(lock)).expect("nobody took it");
    }
    assert_eq!(counts(&home)["recorded"], 51, "{}", counts(&home));
    assert_eq!(settled(&home), 52);
}

#[test]
fn what_has_nothing_to_record_opens_no_index_and_syncs_nothing() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    let calls = "trace=openat,openat2,open,fsync,fdatasync,fork,vfork,clone,clone3,execve";
    let traced = |event: &str| {
        let outcome = home.under(&["strace", "-f", "-o", name, "-e", calls], &["hook"]).stdin(fixture(event)).ok();
        assert_eq!(outcome.stdout, "{}\n");
        std::fs::read_to_string(&trace).expect("strace has written what it saw")
    };
    let nothing = traced("claude/PostToolUse-quiet");
    assert!(!nothing.contains("index.db") && !nothing.contains("sync("), "{nothing}");
    let something = traced("claude/PostToolUse");
    assert_eq!(something.matches("sync(").count(), 1, "a record costs one sync: {something}");
    for trace in [nothing, something] {
        let starts = trace
            .lines()
            .filter(|line| ["fork(", "clone(", "clone3(", "execve("].iter().any(|call| line.contains(call)));
        assert_eq!(starts.count(), 1, "a hook starts nothing but itself: {trace}");
    }
}

#[test]
fn a_session_is_told_when_a_person_is_needed_and_only_then() {
    let home = TestHome::new();
    quiet(&home, fixture("claude/SessionStart"));
    std::fs::write(home.join(".indelible/quarantine/parked-01a1fbd1-96f4-735e-9444-a3c84ac5c8c8.json"), "x")
        .expect("it is ours");
    let said = |name: &str| hook(&home, fixture(name)).json();
    if home.status()["needs_a_person"].as_array().is_none_or(Vec::is_empty) {
        panic!("the home was to need a person: {}", home.status());
    }
    for name in ["claude/SessionStart", "codex/SessionStart", "gemini/SessionStart"] {
        let told = said(name);
        assert_eq!(told["hookSpecificOutput"]["hookEventName"], "SessionStart", "{told}");
        let text = told["hookSpecificOutput"]["additionalContext"].as_str().expect("a text");
        assert!(text.contains("quarantine") && text.lines().count() == 1, "{text}");
    }
    assert!(said("cursor/sessionStart")["additional_context"].is_string());
    quiet(&home, fixture("claude/PostToolUse-quiet"));
    let off = home.cmd(["--set", "hook.warn=false", "hook"]).stdin(fixture("claude/SessionStart")).ok();
    assert_eq!(off.stdout, "{}\n");
}

#[test]
fn a_session_is_told_when_records_wait_for_a_worker() {
    let home = TestHome::new();
    quiet(&home, fixture("claude/SubagentStop"));
    quiet(&home, fixture("claude/SessionStart"));
    // As if it had been recorded a year ago.
    let segment = home.join(".indelible/journal/0000000001.log");
    let text = std::fs::read_to_string(&segment).expect("the journal is text");
    let (before, entry) = text.trim_end().rsplit_once('\n').expect("a header, and an entry");
    let json = &entry[entry.find('{').expect("an intent is an object")..];
    let at = json.find("\"created_at\":\"").expect("it says when") + 14;
    let year: u32 = json[at..at + 4].parse().expect("a year");
    let old = format!("{} {}{}{}", json.len(), &json[..at], year - 1, &json[at + 4..]);
    std::fs::write(&segment, format!("{before}\n{:08x} {old}\n", crc32c::crc32c(old.as_bytes()))).expect("it is ours");
    let told = hook(&home, fixture("claude/SessionStart")).json();
    let text = told["hookSpecificOutput"]["additionalContext"].as_str().expect("a text");
    assert!(text.contains("no worker runs"), "{text}");
    let _worker = Worker::start(&home, &[]);
    quiet(&home, fixture("claude/SessionStart"));
}

#[test]
fn hooks_at_once_beside_a_worker_are_all_recorded_and_counted() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    in_parallel(100, 50, |number| quiet(&home, call(number)));
    worker.wait_until_committed(&home);
    drop(worker);
    assert_eq!(settled(&home), 100);
    let counts = counts(&home);
    assert_eq!((&counts["seen"], &counts["recorded"], &counts["failed"]), (&json!(100), &json!(100), &json!(0)));
}
