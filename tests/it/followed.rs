//! What followed a failure: the hooks of one session after another, through the built binary, into the records.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{TestHome, has_strace, in_parallel};

/// A project of an agent, and the home that its hooks record into.
struct Project {
    home: TestHome,
    root: std::path::PathBuf,
}

impl Project {
    fn new() -> Project {
        let home = TestHome::new();
        let root = home.user().join("shop");
        std::fs::create_dir_all(root.join("src")).expect("a folder");
        std::fs::create_dir_all(root.join(".git")).expect("a folder");
        let project = Project { home, root };
        for file in ["src/cart.rs", "Cargo.toml"] {
            std::fs::write(project.root.join(file), "").expect("written");
        }
        project.checkout("main");
        project
    }

    fn checkout(&self, branch: &str) {
        let head = format!("ref: refs/heads/{branch}\n");
        std::fs::write(self.root.join(".git/HEAD"), head).expect("written");
    }

    /// An event of Claude Code, as `tests/fixtures/hooks/claude` has it.
    fn event(&self, fixture: &str, call: &str, edit: impl FnOnce(&mut Value)) -> Value {
        let path = format!("{}/tests/fixtures/hooks/{fixture}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut event: Value = serde_json::from_slice(&text).expect("a fixture is JSON");
        event["cwd"] = json!(self.root);
        event["tool_use_id"] = json!(call);
        edit(&mut event);
        event
    }

    fn failed(&self, call: &str, command: &str) -> Value {
        self.event("claude/PostToolUseFailure", call, |it| it["tool_input"] = json!({"command": command}))
    }

    fn ran(&self, call: &str, command: &str) -> Value {
        self.event("claude/PostToolUse-quiet", call, |it| it["tool_input"] = json!({"command": command}))
    }

    fn edited(&self, call: &str, file: &str) -> Value {
        self.event("claude/PostToolUse-quiet", call, |it| {
            it["tool_name"] = json!("Edit");
            it["tool_input"] = json!({"file_path": self.root.join(file), "old_string": "a", "new_string": "b"});
            it["tool_response"] = json!({"filePath": self.root.join(file), "oldString": "a", "newString": "b"});
        })
    }

    #[track_caller]
    fn hook(&self, event: &Value) {
        let outcome = self.home.cmd(["hook"]).stdin(event.to_string()).run().exits(0);
        assert_eq!(outcome.stderr, "", "{outcome}");
    }

    #[track_caller]
    fn hooks(&self, events: &[Value]) {
        events.iter().for_each(|event| self.hook(event));
    }

    /// Every success, oldest first, as data.
    fn successes(&self) -> Vec<Value> {
        let listed = self.home.cmd(["list", "success", "--sort", "oldest", "--jsonl"]).ok();
        listed.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// The id of the only failure.
    fn failure(&self) -> String {
        let listed = self.home.cmd(["list", "failure", "--sort", "oldest", "--jsonl"]).ok();
        let first: Value = serde_json::from_str(listed.stdout.lines().next().expect("there is one")).expect("JSON");
        first["id"].as_str().expect("it has an id").to_owned()
    }
}

const TEST: &str = "cargo test --locked";

#[test]
fn the_same_command_works_after_steps_and_the_success_names_the_failure() {
    let project = Project::new();
    project.hooks(&[
        project.failed("1", TEST),
        project.ran("2", "cat src/cart.rs | head -50"),
        project.edited("3", "src/cart.rs"),
        project.ran("4", "cargo add serde --features derive"),
        project.ran("5", "sudo systemctl restart postgresql"),
        project.failed("6", "cargo build && cargo clippy -- -D warnings"),
        project.ran("7", &format!("RUST_BACKTRACE=1 {TEST}")),
        project.ran("8", TEST),
    ]);
    let successes = project.successes();
    let [success] = successes.as_slice() else { panic!("one success, not {successes:#?}") };
    assert_eq!(success["resolves"], json!(project.failure()), "{success:#}");
    assert_eq!(success["title"], json!(format!("RUST_BACKTRACE=1 {TEST}: worked after 4 steps")));
    let summary = success["summary"].as_str().expect("it has one");
    for step in
        ["- edited `src/cart.rs`\n", "- ran `cargo add serde --features`\n", "- ran `cargo build`\n", "after 4 steps"]
    {
        assert!(summary.contains(step), "{step:?} is missing in:\n{summary}");
    }
    for never in ["derive", "sudo", "postgresql", "fix"] {
        assert!(!summary.contains(never), "{never:?} is in:\n{summary}");
    }
    assert_eq!((&success["domain"], &success["origin"]), (&json!("cargo"), &json!("hook")));
    // The same from the file, once it is in git, from a rebuilt index, and by its id.
    project.home.flush();
    let index = project.home.join("memory/index.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", index.display()));
    }
    let _ = project.home.cmd(["recover"]).ok();
    let again = project.successes();
    assert_eq!(again[0]["resolves"], success["resolves"], "{again:#?}");
    let page =
        std::fs::read_to_string(project.home.join(success["path"].as_str().expect("a path"))).expect("it is there");
    assert!(page.contains(&format!("\nresolves: {}\n", project.failure())), "{page}");
    project.home.assert_settled();
}

#[test]
fn a_failure_that_goes_without_a_change_is_told_so() {
    let project = Project::new();
    project.hooks(&[project.failed("1", TEST), project.ran("2", "git status"), project.ran("3", TEST)]);
    let successes = project.successes();
    assert_eq!(successes[0]["title"], json!(format!("{TEST}: worked later, without a change")));
}

#[test]
fn what_is_before_the_command_in_its_line_is_a_step() {
    let project = Project::new();
    project.hooks(&[project.failed("1", TEST), project.ran("2", &format!("cargo clean && {TEST}"))]);
    let successes = project.successes();
    assert!(successes[0]["summary"].as_str().is_some_and(|it| it.contains("- ran `cargo clean`")), "{successes:#?}");
}

#[test]
fn what_is_new_in_its_line_or_written_to_a_file_is_a_step() {
    for (between, worked, step) in [
        (None, "cargo add serde; cargo test --locked", "- ran `cargo add serde`\n"),
        (None, "export SKIP=1\ncargo test --locked", "- ran `export`\n"),
        (Some("cat > Cargo.toml <<'EOF'\n[package]\nEOF\n"), TEST, "- edited `Cargo.toml`\n"),
        (Some("git remote add origin https://git.example.org/shop"), TEST, "- ran `git remote`\n"),
    ] {
        let project = Project::new();
        project.hook(&project.failed("1", TEST));
        between.into_iter().for_each(|command| project.hook(&project.ran("2", command)));
        project.hook(&project.ran("3", worked));
        let summary = project.successes()[0]["summary"].as_str().map(str::to_owned).expect("it has one");
        assert!(summary.contains(step) && summary.contains("after 1 step."), "{between:?}, {worked}: {summary}");
    }
    // In a line that failed again, too, and not once more when the same line works.
    let project = Project::new();
    let line = "cargo add serde; cargo test --locked";
    project.hooks(&[project.failed("1", TEST), project.failed("2", line), project.ran("3", TEST)]);
    assert_eq!(project.successes()[0]["title"], json!(format!("{TEST}: worked after 1 step")));
    let project = Project::new();
    project.hooks(&[project.failed("1", line), project.ran("2", line)]);
    assert_eq!(project.successes()[0]["title"], json!(format!("{line}: worked later, without a change")));
}

#[test]
fn what_is_not_the_same_makes_no_success() {
    let project = Project::new();
    project.hook(&project.failed("1", TEST));
    let elsewhere = |edit: fn(&mut Value)| {
        let mut event = project.ran("2", TEST);
        edit(&mut event);
        event
    };
    project.hooks(&[
        project.ran("2", &format!("{TEST} || true")),
        project.ran("3", &format!("{TEST} 2>&1 | tail -5")),
        project.ran("4", "cargo test --locked --no-fail-fast"),
        project.ran("5", &format!("cd src && {TEST}")),
        elsewhere(|it| it["session_id"] = json!("another")),
        elsewhere(|it| it["agent_id"] = json!("a sub-agent")),
        elsewhere(|it| it["cwd"] = json!("/")),
    ]);
    project.checkout("topic");
    project.hook(&project.ran("6", TEST));
    assert_eq!(project.successes(), Vec::<Value>::new());
    project.checkout("main");
    project.hook(&project.ran("7", TEST));
    assert_eq!(project.successes().len(), 1, "on the branch of the failure it is the same");
}

#[test]
fn a_person_that_spoke_and_tests_alone_are_named() {
    let project = Project::new();
    std::fs::create_dir(project.root.join("tests")).expect("a folder");
    project.hooks(&[project.failed("1", TEST), project.edited("2", "tests/cart.rs")]);
    let mut next = project.ran("3", TEST);
    next["prompt_id"] = json!("another prompt");
    project.hook(&next);
    let summary = project.successes()[0]["summary"].as_str().expect("it has one").to_owned();
    for note in ["- of files, only tests were edited\n", "- a person spoke in between\n"] {
        assert!(summary.contains(note), "{summary}");
    }
    // A host without ids of prompts: the turn ends.
    let without = |mut event: Value| {
        event["session_id"] = json!("without");
        event.as_object_mut().expect("an object").remove("prompt_id");
        event
    };
    project.hook(&without(project.failed("4", TEST)));
    project.hook(&without(project.event("claude/Stop", "", |it| it["last_assistant_message"] = json!("What now?"))));
    project.hook(&without(project.ran("5", TEST)));
    // A person stops a call.
    project.hook(&without(project.failed("6", TEST)));
    project.hook(&without(project.event("claude/PostToolUseFailure-interrupt", "7", |_| ())));
    project.hook(&without(project.ran("8", TEST)));
    let successes = project.successes();
    assert_eq!(successes.len(), 3, "{successes:#?}");
    for success in &successes[1..] {
        assert!(success["summary"].as_str().is_some_and(|it| it.contains("a person spoke")), "{success:#?}");
    }
}

#[test]
fn an_open_failure_ends_by_steps_by_a_reset_and_by_the_setting() {
    let project = Project::new();
    project.home.configure_user("[hook]\nfix_calls = 3\n");
    project.hook(&project.failed("1", TEST));
    for step in 2..5 {
        project.hook(&project.ran(&step.to_string(), "cargo update"));
    }
    project.hook(&project.ran("5", TEST));
    assert!(project.successes().is_empty(), "three steps were too many");
    for source in ["clear", "compact"] {
        project.hook(&project.failed(source, TEST));
        project.hook(&project.event("claude/SessionStart", "", |it| it["source"] = json!(source)));
        project.hook(&project.ran("6", TEST));
        assert!(project.successes().is_empty(), "{source}");
    }
    project.hook(&project.failed("resume", TEST));
    project.hook(&project.event("claude/SessionStart", "", |it| it["source"] = json!("resume")));
    project.hook(&project.ran("7", TEST));
    assert_eq!(project.successes().len(), 1);
    project.hook(&project.failed("end", TEST));
    project.hook(&project.event("claude/SessionEnd", "", |_| ()));
    project.hook(&project.ran("7b", TEST));
    assert_eq!(project.successes().len(), 1, "the session has ended, and was resumed");
    project.home.configure_user("[hook]\nfix_calls = 0\n");
    project.hooks(&[project.failed("8", TEST), project.ran("9", TEST)]);
    assert_eq!(project.successes().len(), 1, "switched off");
}

#[test]
fn each_signature_that_the_command_failed_with_has_its_success() {
    let project = Project::new();
    let failed = |call: &str, error: &str| {
        project.event("claude/PostToolUseFailure", call, |it| {
            it["tool_input"] = json!({"command": TEST});
            it["error"] = json!(format!("Exit code 101\n{error}"));
        })
    };
    let (types, name) = ("error[E0308]: mismatched types\n", "error[E0425]: cannot find value `x` in this scope\n");
    project.hooks(&[
        failed("1", types),
        project.edited("2", "src/cart.rs"),
        failed("3", types),
        failed("4", name),
        project.edited("5", "Cargo.toml"),
        project.ran("6", TEST),
    ]);
    let successes = project.successes();
    // Both can be of one millisecond: then either comes first.
    let titles: BTreeSet<_> = successes.iter().map(|it| it["title"].as_str().unwrap_or_default().to_owned()).collect();
    let wanted = ["1 step", "2 steps"].map(|steps| format!("{TEST}: worked after {steps}"));
    assert_eq!((titles, successes.len()), (wanted.into(), 2), "{successes:#?}");
    let second = successes.iter().find(|it| it["title"].as_str().is_some_and(|title| title.ends_with("2 steps")));
    let resolves = second.map(|it| &it["resolves"]);
    assert_eq!(resolves, Some(&json!(project.failure())), "the first of the same signature");
}

#[test]
fn two_copies_of_each_hook_at_once_make_one_success_and_each_step_once() {
    let project = Project::new();
    for event in [project.failed("1", TEST), project.edited("2", "src/cart.rs"), project.ran("3", TEST)] {
        in_parallel(2, 2, |_| project.hook(&event));
    }
    project.home.flush();
    let successes = project.successes();
    assert_eq!(successes.len(), 1, "{successes:#?}");
    assert_eq!(successes[0]["title"], json!(format!("{TEST}: worked after 1 step")));
}

#[test]
fn other_hosts_have_the_same_trail() {
    let project = Project::new();
    let gemini = |fixture: &str, call: &str, tool: &str, input: Value| {
        project.event(fixture, call, |it| (it["tool_name"], it["tool_input"]) = (json!(tool), input))
    };
    let go = json!({"command": "go test ./..."});
    project.hooks(&[
        gemini("gemini/AfterTool-failed", "1", "run_shell_command", go.clone()),
        gemini("gemini/AfterTool", "2", "read_file", json!({"absolute_path": project.root.join("src/cart.rs")})),
        gemini("gemini/AfterTool", "3", "replace", json!({"file_path": project.root.join("src/cart.rs")})),
        gemini("gemini/AfterTool", "4", "run_shell_command", go),
    ]);
    let zig = |fixture: &str, call: &str, tool: &str, input: Value| {
        project.event(fixture, call, |it| (it["tool_name"], it["tool_input"]) = (json!(tool), input))
    };
    let build = json!({"command": "zig build test"});
    project.hooks(&[
        zig("opencode/tool.execute.after-failed", "1", "bash", build.clone()),
        zig("opencode/tool.execute.after", "2", "edit", json!({"filePath": project.root.join("src/cart.rs")})),
        zig("opencode/tool.execute.after", "3", "bash", build),
    ]);
    let titles: Vec<_> = project.successes().iter().map(|it| it["title"].clone()).collect();
    assert_eq!(titles, [json!("go test ./...: worked after 1 step"), json!("zig build test: worked after 1 step")]);
}

#[test]
fn of_codex_only_an_exit_code_in_its_transcript_is_believed() {
    let project = Project::new();
    let transcript = project.home.user().join("rollout.jsonl");
    let ran = |call: &str, exit_code: Option<i64>| {
        let item = json!({"type": "CommandExecution", "id": call, "exit_code": exit_code});
        let line = json!({"type": "event_msg", "payload": {"type": "item_completed", "item": item}});
        std::fs::write(&transcript, format!("{line}\n")).expect("written");
        project.hook(&project.event("codex/PostToolUse-failed", call, |it| it["transcript_path"] = json!(transcript)));
    };
    ran("1", Some(1));
    ran("2", None);
    assert!(project.successes().is_empty(), "nothing says how it ended");
    ran("3", Some(0));
    assert_eq!(project.successes()[0]["title"], json!("npm test: worked later, without a change"));
}

#[test]
fn no_log_and_no_success_ever_holds_a_secret() {
    let project = Project::new();
    let secret = "hunter2horse";
    let github = format!("ghp_{}", "a1B2".repeat(9));
    project.hook(&project.failed("1", TEST));
    for (number, command) in [
        "mysql -phunter2horse shop",
        "sshpass -p hunter2horse ssh h",
        "openssl enc -k hunter2horse -in a",
        "ansible-playbook --vault-password hunter2horse site.yml",
        "timeout 5 sudo env A=1 mysql -phunter2horse shop",
        "gh auth login --with-token <<< hunter2horse",
        "npm config set //registry/:_authToken hunter2horse",
    ]
    .into_iter()
    .enumerate()
    {
        project.hook(&project.ran(&format!("a{number}"), command));
        project.hook(&project.failed(&format!("b{number}"), command));
        project.hook(&project.ran(&format!("c{number}"), command));
    }
    project.hook(&project.ran("1b", "./ship 'hunter2horse' --key hunter2horse hunter2horse"));
    project.hook(&project.edited("2", &format!("src/{github}.rs")));
    project.hook(&project.ran("3", &format!("cargo add {github}")));
    project.hook(&project.ran("4", TEST));
    project.home.flush();
    for secret in [secret, &github] {
        let sessions = project.home.join(".indelible/sessions");
        let _ = crate::support::Cmd::new("grep", project.home.user())
            .args(["-raF", secret])
            .args([sessions])
            .run()
            .exits(1);
        let successes = project.successes();
        assert!(successes.len() == 1 && !successes[0].to_string().contains(secret), "{successes:#?}");
    }
}

#[test]
fn a_call_without_an_open_failure_costs_one_look() {
    if !has_strace() {
        return;
    }
    let project = Project::new();
    let trace = project.home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    let traced = |event: &Value| {
        let outcome = project.home.under(&["strace", "-f", "-y", "-o", name], &["hook"]).stdin(event.to_string()).ok();
        assert_eq!(outcome.stdout, "{}\n");
        let seen = std::fs::read_to_string(&trace).expect("strace has written what it saw");
        // Debug builds check a descriptor before they close it.
        let of_log = seen.lines().filter(|line| line.contains("sessions") && !line.contains("F_GETFD"));
        let of_log: Vec<String> = of_log.map(str::to_owned).collect();
        assert!(!seen.contains(".git/HEAD\"") || event["hook_event_name"] == "PostToolUseFailure", "{of_log:#?}");
        of_log
    };
    let nothing = traced(&project.ran("1", TEST));
    assert!(nothing.len() == 1 && nothing[0].contains("ENOENT"), "one look: {nothing:#?}");
    project.hooks(&[project.failed("2", TEST), project.ran("3", TEST)]);
    let closed = traced(&project.ran("4", "cargo update"));
    assert!(
        closed.len() <= 4 && !closed.iter().any(|call| call.contains("write(")),
        "open, look, read, close: {closed:#?}"
    );
    let prompt = traced(&project.event("claude/PreToolUse", "5", |_| ()));
    assert!(prompt.is_empty(), "{prompt:#?}");
    assert_eq!(project.successes().len(), 1);
}
