//! What an agent is told of its failure, through the built binary: what the hosts send, a real worker or `flush`, and whatever
//! lies in the file's place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::changes::{Subject, put, retract};
use crate::support::{Cmd, Receipt, TestHome, Worker, has, has_strace, in_parallel, wait_for};

/// The file, in the private folder.
const KNOWN: &str = ".indelible/known.bin";
/// Your own settings with which agents are told.
const TOLD: &str = "[hook]\ncontext = [\"failure\"]\n";

/// A home whose user has agents told of their failures.
pub fn telling() -> TestHome {
    let home = TestHome::new();
    home.configure_user(TOLD);
    home
}

/// A folder of a repository with the origin `origin`, in the user's own folder.
pub fn project(home: &TestHome, origin: &str) -> PathBuf {
    let folder = home.user().join(origin);
    fs::create_dir_all(folder.join(".git")).expect("it can be made");
    fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").expect("it can be written");
    let config = format!("[remote \"origin\"]\n\turl = https://example.org/{origin}.git\n");
    fs::write(folder.join(".git/config"), config).expect("it can be written");
    folder
}

pub fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/hooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs::read(path).expect("it is there")).expect("a fixture is JSON")
}

/// An event of Claude Code: `command` failed in `folder` with `output`, in `session`.
pub fn failed(session: &str, folder: &Path, command: &str, output: &str) -> Value {
    let mut event = fixture("claude/PostToolUseFailure");
    event["session_id"] = json!(session);
    event["cwd"] = json!(folder);
    event["tool_input"]["command"] = json!(command);
    event["tool_use_id"] = json!(format!("toolu_{}", jiff::Timestamp::now().as_nanosecond()));
    event["error"] = json!(output);
    event
}

/// The failure that most tests are about.
pub fn push(session: &str, folder: &Path) -> Value {
    failed(session, folder, "git push", "Exit code 128\nfatal: unable to access 'https://example.org/x/': timed out")
}

/// What a hook answers.
#[track_caller]
fn answer(home: &TestHome, event: &Value) -> Value {
    let outcome = home.cmd(["hook"]).stdin(event.to_string()).run().exits(0);
    assert_eq!(outcome.stderr, "", "a host sees something: {outcome}");
    outcome.json()
}

/// What the agent of `event` is told; empty if nothing.
#[track_caller]
pub fn told(home: &TestHome, event: &Value) -> String {
    let answer = answer(home, event);
    let text = [&answer["hookSpecificOutput"]["additionalContext"], &answer["additional_context"]];
    let text = text.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned();
    assert!(!text.is_empty() || answer == json!({}), "{answer}");
    assert!(text.chars().count() <= 600 && text.lines().all(|line| line.starts_with("indelible: ")), "{text}");
    text
}

pub fn counts(home: &TestHome) -> Value {
    home.status()["hooks"].clone()
}

#[test]
fn the_second_session_is_told_once() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("0198aaaa-first", &folder)), "");
    home.flush();
    let text = told(&home, &push("0198bbbb-second", &folder));
    let today = jiff::Timestamp::now().to_string();
    let start = "indelible: this project's own records have this failure once, in another session (0198aaaa), on ";
    assert!(text.strip_prefix(start).is_some_and(|it| it.trim_end_matches('.') == &today[..10]), "{text}");
    assert!(!text.contains("timed out"), "what a tool put out is repeated: {text}");
    assert_eq!(told(&home, &push("0198bbbb-second", &folder)), "", "once a session");
    home.flush();
    assert_eq!(told(&home, &push("0198bbbb-second", &folder)), "", "once a session");
    let text = told(&home, &push("0198cccc-third", &folder));
    // Within one second, either is the newer one.
    let sessions = ["0198bbbb, 0198aaaa", "0198aaaa, 0198bbbb"];
    // What the second one saw again is only counted, until the day is over.
    let names = |it: &&str| text.contains(&format!("at least 2 times, in at least 2 other sessions ({it}), all on "));
    assert!(sessions.iter().any(names), "{text}");
    let counts = counts(&home);
    assert_eq!((&counts["told"], &counts["odd_known"]), (&json!(2), &json!(0)), "{counts}");
    let line = home.cmd(["hooks", "status"]).ok().stdout;
    assert!(line.contains("0 failed, 2 told of a known failure"), "{line}");
}

/// Anybody can write another project's origin into a clone.
#[test]
fn a_session_that_began_in_a_new_place_is_told_nothing() {
    let home = telling();
    home.configure_user("[hook]\ncontext = [\"start\", \"failure\"]\n");
    let start = |session: &str, folder: &Path| {
        let mut event = fixture("claude/SessionStart");
        (event["session_id"], event["cwd"]) = (json!(session), json!(folder));
        let _ = answer(&home, &event);
    };
    let folder = project(&home, "o/shop");
    start("first", &folder);
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    let clone = home.user().join("clone");
    let copied = Cmd::new("cp", home.user()).args(["-r"]).args([&folder, &clone]);
    let _ = copied.ok();
    start("elsewhere", &clone);
    assert_eq!(told(&home, &push("elsewhere", &clone)), "");
    let mut compacted = push("elsewhere", &clone);
    compacted["hook_event_name"] = json!("PostCompact");
    let _ = answer(&home, &compacted);
    assert_eq!(told(&home, &push("elsewhere", &clone)), "", "it is as new as before");
    start("second", &folder);
    assert_ne!(told(&home, &push("second", &folder)), "");
}

#[test]
fn another_sub_agent_of_a_session_is_told_by_itself() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    let by_agent = |agent: &str| {
        let mut event = push("second", &folder);
        (event["agent_id"], event["agent_type"]) = (json!(agent), json!("general-purpose"));
        told(&home, &event)
    };
    assert_ne!(by_agent("one"), "");
    assert_eq!(by_agent("one"), "");
    assert_ne!(by_agent("two"), "", "the other one did not see it");
    assert_ne!(told(&home, &push("second", &folder)), "", "nor did their parent");
}

#[test]
fn a_running_worker_makes_it_known() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let _worker = Worker::quick(&home);
    assert_eq!(told(&home, &push("first", &folder)), "");
    wait_for("the failure is known", || {
        explained(&home, &push("second", &folder)).contains("would be told").then_some(())
    });
    assert_ne!(told(&home, &push("second", &folder)), "");
    // The tail has what came since.
    assert_eq!(told(&home, &failed("first", &folder, "git pull", "fatal: Need to specify how to reconcile")), "");
    let pull = failed("second", &folder, "git pull", "fatal: Need to specify how to reconcile");
    wait_for("it is known as well", || explained(&home, &pull).contains("would be told").then_some(()));
    assert_ne!(told(&home, &pull), "");
}

/// What `hook --explain` says of `event`.
pub fn explained(home: &TestHome, event: &Value) -> String {
    let outcome = home.cmd(["hook", "--explain"]).stdin(event.to_string()).run().exits(0);
    assert_eq!(outcome.stdout, "{}\n", "{outcome}");
    outcome.stderr
}

#[test]
fn explain_says_what_would_be_told_and_tells_nothing() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert!(explained(&home, &push("first", &folder)).contains("nothing is known of it to tell"));
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    for _ in 0..2 {
        let said = explained(&home, &push("second", &folder));
        assert!(said.contains("the agent would be told:\nindelible: this project's own records"), "{said}");
    }
    assert_ne!(told(&home, &push("second", &folder)), "");
    assert!(explained(&home, &push("second", &folder)).contains("the agent was told of it before"));
    assert_eq!(counts(&home)["seen"], 2, "what is explained is not counted");
}

/// A test that fails because a value was moved, in `session`.
pub fn moved_value(folder: &Path, session: &str) -> Value {
    failed(session, folder, "cargo test --locked", "Exit code 101\nerror[E0382]: use of moved value: `cart`")
}

/// In `session`, a file is edited, and the test that failed works. All of it is committed.
pub fn solve(home: &TestHome, folder: &Path, session: &str) {
    let in_session = |tool: &str, input: Value| {
        let mut event = fixture("claude/PostToolUse-quiet");
        (event["session_id"], event["cwd"]) = (json!(session), json!(folder));
        (event["tool_name"], event["tool_input"]) = (json!(tool), input);
        event["tool_use_id"] = json!(format!("toolu_{}", jiff::Timestamp::now().as_nanosecond()));
        event
    };
    fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("src/cart.rs"), ""))
        .expect("it can be made");
    let edit = json!({"file_path": folder.join("src/cart.rs"), "old_string": "a", "new_string": "b"});
    assert_eq!(told(home, &in_session("Edit", edit)), "");
    assert_eq!(told(home, &in_session("Bash", json!({"command": "cargo test --locked"}))), "");
    home.flush();
}

#[test]
fn what_followed_stays_with_a_failure_that_is_amended_or_restored() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &moved_value(&folder, "first")), "");
    solve(&home, &folder, "first");
    let listed = home.cmd(["list", "failure", "--json"]).ok().json()["records"][0].clone();
    let text = |name: &str| listed[name].as_str().expect("a text").to_owned();
    let failure =
        Receipt { id: text("id"), kind: "failure".into(), path: text("path"), row_id: None, duplicate: false };
    let line = "indelible: the same command worked later in that session, after 1 step: edited `src/cart.rs`.";
    let is_told = |event: &Value| explained(&home, event).contains(line);
    let other = failed("second", &folder, "cargo test --locked", "Exit code 101\nerror[E0499]: borrowed twice: `cart`");
    assert!(is_told(&moved_value(&folder, "second")) && !is_told(&other));
    put(&home, &[Subject::of(&home, &failure).amend(2, "title", "another title")]);
    home.flush();
    assert!(is_told(&moved_value(&folder, "second")), "the title is not what it is known by");
    let subject = Subject::of(&home, &failure);
    let summary = text("summary").replace("error[E0382]: use of moved value", "error[E0499]: borrowed twice");
    put(&home, &[subject.amend(3, "summary", &summary)]);
    home.flush();
    assert!(is_told(&other) && !is_told(&moved_value(&folder, "second")), "it is another failure now");
    let subject = Subject::of(&home, &failure);
    put(&home, &[subject.retract(4)]);
    home.flush();
    assert!(!is_told(&other));
    put(&home, &[subject.restore(5)]);
    home.flush();
    assert!(is_told(&other), "what followed comes back with it");
}

#[test]
fn what_followed_is_told_with_it() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let failure = |session: &str| moved_value(&folder, session);
    let solved = |session: &str| solve(&home, &folder, session);
    assert_eq!(told(&home, &failure("first")), "");
    solved("first");
    let text = told(&home, &failure("second"));
    let line = "indelible: the same command worked later in that session, after 1 step: edited `src/cart.rs`.";
    assert_eq!(text.lines().nth(1), Some(line), "{text}");
    solved("second");
    let text = told(&home, &failure("third"));
    assert!(text.contains("steps that they share: edited `src/cart.rs` (2 of 2 times)"), "{text}");
    assert!(!text.contains("fix"), "{text}");
    // The same after everything was walked.
    home.flush();
    let before = explained(&home, &failure("fourth"));
    fs::remove_file(home.join(KNOWN)).expect("it is there");
    home.flush();
    assert_eq!(explained(&home, &failure("fourth")), before);
}

#[test]
fn each_host_gets_it_where_it_shows_it() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let transcript = home.user().join("rollout.jsonl");
    let item = json!({"type": "CommandExecution", "id": "call_7Yd", "status": "failed", "exit_code": 1});
    let line = json!({"type": "event_msg", "payload": {"type": "item_completed", "item": item}});
    fs::write(&transcript, format!("{line}\n")).expect("it is ours");
    let mut cursor = fixture("cursor/postToolUse");
    cursor["tool_input"]["command"] = json!("make bench");
    cursor["tool_output"] =
        json!(json!({"exitCode": 2, "stdout": "make: *** No rule to make target 'bench'."}).to_string());
    let mut codex = fixture("codex/PostToolUse-failed");
    codex["transcript_path"] = json!(transcript);
    let specific = "/hookSpecificOutput/additionalContext";
    let cases = [
        (fixture("claude/PostToolUseFailure"), specific),
        (codex, specific),
        (fixture("gemini/AfterTool-failed"), specific),
        (fixture("opencode/tool.execute.after-failed"), specific),
        (cursor, "/additional_context"),
        (fixture("cursor/postToolUseFailure"), ""),
        (fixture("opencode/tool.error"), ""),
    ];
    for (mut event, place) in cases {
        let name = event["hook_event_name"].as_str().expect("a name").to_owned();
        let session = if event.get("session_id").is_some() { "session_id" } else { "conversation_id" };
        event["cwd"] = json!(folder);
        event[session] = json!(format!("first {name}"));
        assert_eq!(answer(&home, &event), json!({}), "{name}");
        home.flush();
        event[session] = json!(format!("second {name}"));
        let answer = answer(&home, &event);
        match place {
            "" => assert_eq!(answer, json!({}), "{name}"),
            _ => {
                let text = answer.pointer(place).and_then(Value::as_str).unwrap_or_default();
                assert!(text.starts_with("indelible: this project's own records"), "{name}: {answer}");
                let event_name = &answer["hookSpecificOutput"]["hookEventName"];
                assert!(event_name.is_null() || *event_name == name, "{answer}");
            }
        }
    }
}

/// Runs the plugin of OpenCode in node: a command fails in a session. Prints the output that the model gets.
const DRIVER: &str = r#"
import { Indelible } from "PLUGIN";
const hooks = await Indelible({ client: {}, directory: "FOLDER" });
const output = { title: "t", output: "zig: error: no such step 'tset'\n", metadata: { exit: 2 } };
await hooks["tool.execute.after"]({ tool: "bash", sessionID: "SESSION", callID: "c", args: { command: "zig build tset" } }, output);
process.stdout.write(output.output);
"#;

#[test]
fn the_plugin_of_opencode_appends_it_to_the_output() {
    if !has("node", "the plugin of OpenCode is not run") {
        return;
    }
    let home = telling();
    let folder = project(&home, "o/shop");
    let _ = home.cmd(["hooks", "install", "opencode", "--yes"]).ok();
    let module = home.user().join("plugin.mjs");
    fs::copy(home.user().join(".config/opencode/plugins/indelible.js"), &module).expect("it was installed");
    let driver = home.user().join("driver.mjs");
    let run = |session: &str| {
        let text = DRIVER.replace("PLUGIN", &module.display().to_string());
        let text = text.replace("FOLDER", &folder.display().to_string()).replace("SESSION", session);
        fs::write(&driver, text).expect("it can be written");
        Cmd::new("node", home.user()).args([&driver]).ok().stdout
    };
    assert_eq!(run("first"), "zig: error: no such step 'tset'\n");
    home.flush();
    let output = run("second");
    let start = "zig: error: no such step 'tset'\n\nindelible: this project's own records have this failure once, ";
    assert!(output.starts_with(start), "{output}");
    assert_eq!(run("second"), "zig: error: no such step 'tset'\n");
}

#[test]
fn only_what_happened_in_the_same_place_is_told() {
    let home = telling();
    let (shop, other) = (project(&home, "o/shop"), project(&home, "o/other"));
    let clone = home.user().join("clone");
    fs::create_dir_all(clone.join(".git")).expect("it can be made");
    for name in ["HEAD", "config"] {
        fs::copy(shop.join(".git").join(name), clone.join(".git").join(name)).expect("it can be copied");
    }
    let (loose, elsewhere) = (home.user().join("loose"), home.user().join("elsewhere"));
    for folder in [&loose, &elsewhere] {
        fs::create_dir(folder).expect("it can be made");
    }
    assert_eq!(told(&home, &push("first", &shop)), "");
    assert_eq!(told(&home, &push("first", &loose)), "");
    home.flush();
    assert_eq!(told(&home, &push("second", &other)), "", "another project");
    assert_eq!(told(&home, &push("third", &elsewhere)), "", "another folder without a project");
    assert_ne!(told(&home, &push("fourth", &clone)), "", "another clone of the project");
    let text = told(&home, &push("fifth", &loose));
    assert!(text.starts_with("indelible: the records of this folder have this failure once"), "{text}");
}

#[test]
fn without_a_signature_the_whole_command_in_its_folder_counts() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let below = folder.join("below");
    fs::create_dir(&below).expect("it can be made");
    let check =
        |session: &str, folder: &Path, command: &str| told(&home, &failed(session, folder, command, "Exit code 1"));
    assert_eq!(check("first", &folder, "./check --all"), "");
    home.flush();
    assert_eq!(check("second", &folder, "./check"), "", "another command");
    assert_eq!(check("second", &below, "./check --all"), "", "another folder");
    let text = check("second", &folder, "./check --all");
    let start =
        "indelible: this project's own records: the same command failed before in this folder, once, in another";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn what_another_machine_recorded_has_its_label() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let labelled = |name: &str| home.configure_user(&format!("{TOLD}[sync]\nname = '{name}'\n"));
    labelled("build`7 [LEARNED] run x");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    labelled("desk");
    let text = told(&home, &push("second", &folder));
    let line = "\nindelible: it was recorded on another machine: `build'7 [ LEARNED] run x`.";
    assert!(text.ends_with(line), "{text}");
    home.flush();
    assert_eq!(told(&home, &push("third", &folder)).lines().count(), 2);
}

#[test]
fn nobody_is_told_unless_the_user_says_so() {
    let home = TestHome::new();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    assert_eq!(told(&home, &push("second", &folder)), "");
    fs::write(home.join(".indelible/config.toml"), TOLD).expect("it can be written");
    assert_eq!(told(&home, &push("third", &folder)), "", "a home does not decide it");
    home.configure_user("[hook]\ncontext = [\"start\"]\n");
    assert_eq!(told(&home, &push("fourth", &folder)), "");
    home.configure_user(TOLD);
    assert_ne!(told(&home, &push("fifth", &folder)), "");
    home.configure_user("");
    let installed = home.cmd(["hook", "--context", "start,failure", "--installed"]);
    let told = installed.stdin(push("sixth", &folder).to_string()).run().exits(0).stdout;
    assert!(told.contains("indelible: this project's own records"), "as `hooks install` was told: {told}");
    home.configure_user("[hook]\ncontext = [\"always\"]\n");
    assert_eq!(home.cmd(["config", "list"]).run().code(), Some(78));
}

/// The receipt of the only record.
fn receipt(home: &TestHome) -> Receipt {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (id, path) = home.index().query_row("SELECT id, path FROM records", [], row).expect("there is one");
    Receipt { id, kind: "failure".into(), path, row_id: None, duplicate: false }
}

#[test]
fn what_is_retracted_is_never_told() {
    for has_worker in [false, true] {
        let home = telling();
        let folder = project(&home, "o/shop");
        assert_eq!(told(&home, &push("first", &folder)), "");
        home.flush();
        assert!(explained(&home, &push("second", &folder)).contains("would be told"));
        let receipt = receipt(&home);
        let _worker = has_worker.then(|| Worker::quick(&home));
        retract(&home, &receipt);
        home.flush();
        assert_eq!(told(&home, &push("second", &folder)), "", "with a worker: {has_worker}");
        let _ = home.cmd(["repair"]).ok();
        let known = || explained(&home, &push("third", &folder)).contains("would be told").then_some(());
        wait_for("the second one's is known", known);
        let text = told(&home, &push("third", &folder));
        assert!(text.contains("once, in another session (second)"), "only the second one's is left: {text}");
    }
}

#[test]
fn whatever_lies_in_its_place_is_silence_and_made_again() {
    type Spoil = (&'static str, fn(&TestHome), u64);
    let spoils: [Spoil; 9] = [
        ("gone", |_| {}, 0),
        ("empty", |home| fs::write(home.join(KNOWN), b"").expect("it can be written"), 1),
        ("garbage", |home| fs::write(home.join(KNOWN), [7; 40_000]).expect("it can be written"), 1),
        (
            "huge",
            |home| fs::File::create(home.join(KNOWN)).and_then(|it| it.set_len(8 << 30)).expect("it can be made"),
            1,
        ),
        ("a link", |home| std::os::unix::fs::symlink("/dev/zero", home.join(KNOWN)).expect("it can be made"), 1),
        (
            "a pipe",
            |home| {
                let made = std::process::Command::new("mkfifo").arg(home.join(KNOWN)).status().expect("mkfifo runs");
                assert!(made.success());
            },
            1,
        ),
        (
            "unreadable",
            |home| {
                fs::write(home.join(KNOWN), b"x").expect("it can be written");
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
                fs::set_permissions(home.join(KNOWN), mode).expect("it is ours");
            },
            1,
        ),
        (
            "with another name elsewhere",
            |home| {
                fs::write(home.user().join("theirs"), b"theirs").expect("it can be written");
                fs::hard_link(home.user().join("theirs"), home.join(KNOWN)).expect("it can be made");
            },
            1,
        ),
        ("a folder", |home| fs::create_dir(home.join(KNOWN)).expect("it can be made"), 1),
    ];
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    for (number, (what, spoil, odd)) in spoils.into_iter().enumerate() {
        eprintln!("{what}");
        fs::remove_file(home.join(KNOWN)).expect("it is there");
        spoil(&home);
        let before = counts(&home)["odd_known"].as_u64().expect("a number");
        assert_eq!(told(&home, &push(&format!("silent {number}"), &folder)), "", "{what}");
        assert_eq!(counts(&home)["odd_known"], before + odd, "{what}");
        if what == "a folder" {
            home.flush();
            fs::remove_dir(home.join(KNOWN)).expect("it stayed");
        }
        home.flush();
        assert_ne!(told(&home, &push(&format!("told {number}"), &folder)), "", "{what}");
    }
    assert_eq!(fs::read(home.user().join("theirs")).expect("it is there"), b"theirs");
    home.flush();
    home.assert_settled();
}

#[test]
fn a_damaged_case_is_silence_until_repair() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    let mut bytes = fs::read(home.join(KNOWN)).expect("it is there");
    let at = bytes.windows(5).position(|it| it == b"first").expect("the only case names its session");
    bytes[at] ^= 1;
    fs::write(home.join(KNOWN), &bytes).expect("it can be written");
    assert_eq!(told(&home, &push("second", &folder)), "");
    let _ = home.cmd(["repair"]).ok();
    assert_ne!(told(&home, &push("third", &folder)), "");
}

#[test]
fn a_rebuilt_index_has_the_same_known_failures() {
    let home = telling();
    let folder = project(&home, "o/shop");
    for session in ["first", "second", "third"] {
        let _ = told(&home, &push(session, &folder));
        home.flush();
    }
    let before = explained(&home, &push("fourth", &folder));
    for name in ["memory/index.db", "memory/index.db-wal", "memory/index.db-shm"] {
        let _ = fs::remove_file(home.join(name));
    }
    let _ = home.recover();
    assert_eq!(explained(&home, &push("fourth", &folder)), before);
    assert!(before.contains("at least 2 times, in at least 2 other sessions"), "{before}");
}

/// The outputs of the fixture `name`, by failure.
fn outputs(name: &str) -> Vec<Vec<Value>> {
    let mut outputs = BTreeMap::<String, Vec<Value>>::new();
    let path = format!("{}/tests/fixtures/signature/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    for line in fs::read_to_string(path).expect("it is there").lines() {
        let output: Value = serde_json::from_str(line).expect("a line is JSON");
        outputs.entry(output["group"].as_str().expect("a group").to_owned()).or_default().push(output);
    }
    outputs.into_values().collect()
}

/// `output` as it failed in `folder`, in `session`.
fn output_in(folder: &Path, session: &str, output: &Value) -> Value {
    let text = |name: &str| output[name].as_str().expect("a text").to_owned();
    let error = text("output").replace(&text("cwd"), &folder.display().to_string());
    failed(session, folder, &text("command"), &format!("Exit code {}\n{error}", output["exit"]))
}

#[test]
fn failures_are_told_if_they_are_the_same_and_not_if_they_are_others() {
    let home = telling();
    let (mut wrongly, mut others, mut rightly, mut equal) = (0, 0, 0, 0);
    for name in ["errors", "own"] {
        // Each file says which of its own failures are the same.
        let folder = project(&home, name);
        let groups = outputs(name);
        let (known, unknown): (Vec<_>, Vec<_>) = groups.iter().enumerate().partition(|(number, _)| number % 2 == 0);
        let known: Vec<&Vec<Value>> = known.into_iter().map(|(_, group)| group).collect();
        let unknown: Vec<&Value> = unknown.into_iter().flat_map(|(_, group)| group).collect();
        in_parallel(known.len(), 4, |number| {
            let _ = answer(&home, &output_in(&folder, "memory", &known[number][0]));
        });
        home.flush();
        let tell = |session: &str, outputs: &[&Value]| {
            let count = AtomicUsize::new(0);
            in_parallel(outputs.len(), 4, |number| {
                let event = output_in(&folder, &format!("{session} {number}"), outputs[number]);
                count.fetch_add(usize::from(!told(&home, &event).is_empty()), Ordering::Relaxed);
            });
            count.into_inner()
        };
        let again: Vec<&Value> = known.iter().filter_map(|group| group.get(1)).collect();
        (wrongly, others) = (wrongly + tell("other", &unknown), others + unknown.len());
        (rightly, equal) = (rightly + tell("again", &again), equal + again.len());
    }
    eprintln!("{wrongly} of {others} other failures got a text, {rightly} of {equal} equal ones");
    assert!(others >= 490 && wrongly * 50 <= others, "{wrongly} of {others}");
    assert!(rightly * 10 >= equal * 9, "{rightly} of {equal}");
}

#[test]
fn a_hook_without_a_failure_opens_nothing_for_it() {
    if !has_strace() {
        return;
    }
    let home = telling();
    let folder = project(&home, "o/shop");
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("UTF-8");
    let strace = ["strace", "-f", "-o", name, "-e", "trace=open,openat,openat2,statx,newfstatat"];
    let looked = |event: &Value| {
        let _ = home.under(&strace, &["hook"]).stdin(event.to_string()).run().exits(0);
        let text = fs::read_to_string(&trace).expect("it was written");
        (text.matches("known.bin").count(), text.matches("shop/.git/config").count())
    };
    assert_eq!(looked(&fixture("claude/PostToolUse-quiet")), (0, 0));
    assert_eq!(looked(&fixture("claude/Stop")).0, 0);
    let (first, second) = (push("first", &folder), push("second", &folder));
    let without = looked(&first);
    assert_eq!(without.0, 1, "one look");
    home.flush();
    let with = looked(&second);
    assert_eq!(with.0, 1);
    assert!(with.1 == without.1 + 1, "only then the project is looked up once more: {with:?}, {without:?}");
}
