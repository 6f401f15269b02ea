//! `mcp install`: settings that belong to the user, in which what indelible did not write keeps its bytes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Outcome, TestHome};

const HOSTS: [&str; 5] = ["claude", "codex", "gemini", "cursor", "opencode"];

fn settings(folder: &Path, host: &str, is_project: bool) -> PathBuf {
    folder.join(match (host, is_project) {
        ("claude", false) => ".claude.json",
        ("claude", true) => ".mcp.json",
        ("codex", _) => ".codex/config.toml",
        ("gemini", _) => ".gemini/settings.json",
        ("cursor", _) => ".cursor/mcp.json",
        (_, false) => ".config/opencode/opencode.json",
        (_, true) => "opencode.json",
    })
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn mcp(home: &TestHome, args: &[&str]) -> Outcome {
    home.homeless(["mcp"].iter().chain(args)).run()
}

/// Settings as people have them.
fn files(host: &str) -> &'static [&'static str] {
    if host == "codex" {
        &[
            "",
            "model = \"x\"",
            "model = \"x\" # mine\r\n\r\n[mcp_servers.other]\r\ncommand = 'o'\r\nenv = { GITHUB_TOKEN = \"ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2\" }\r\n",
            "[mcp_servers]\n\n[projects.\"/a\"]\ntrust_level = \"trusted\"\n\n\n",
        ]
    } else {
        &[
            "{}",
            "{ }\n",
            "{\n  \"a\": 1, // mine\n  \"mcpServers\": {\n    \"other\": { \"command\": \"o\", \"env\": { \"GITHUB_TOKEN\": \"ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2\" } }\n  },\n  \"mcp\": { \"x\": { \"enabled\": false } }\n}\n",
            "\u{feff}{\r\n\t\"mcpServers\": {},\r\n\t\"z\": [1,2 ,3],\r\n}\r\n",
        ]
    }
}

#[test]
fn settings_survive_byte_for_byte() {
    let home = TestHome::new();
    for host in HOSTS {
        let path = settings(home.user(), host, false);
        for before in files(host) {
            put(&path, before);
            let shown = mcp(&home, &["install", host, "--dry-run"]).exits(0);
            assert!(shown.stdout.contains("+") && text(&path) == *before, "{shown}");
            let said = mcp(&home, &["install", host, "--yes"]).exits(0);
            assert!(!said.stdout.contains("ghp_"), "no other server's secret is shown: {said}");
            let with = text(&path);
            assert!(with.contains("--installed") && with != *before, "{with}");
            let again = mcp(&home, &["install", host, "--yes"]).exits(0);
            assert!(again.stdout.contains("nothing to change") && text(&path) == with, "{again}");
            let state = mcp(&home, &["status", "--json"]).exits(0).json();
            let of_host = |it: &&Value| it["host"] == host;
            let state = state["hosts"].as_array().expect("a list").iter().find(of_host).expect("it is listed").clone();
            assert_eq!(state["state"], "installed", "{state}");
            let _ = mcp(&home, &["remove", host, "--yes"]).exits(0);
            assert_eq!(text(&path), *before, "{host}, by way of\n{with}");
            let beside = fs::read_dir(path.parent().expect("a folder")).expect("it is there").flatten();
            let ours: Vec<_> = beside.filter(|it| it.file_name().to_string_lossy().contains("indelible-")).collect();
            assert!(ours.is_empty(), "nothing is left beside it: {ours:?}");
        }
        fs::remove_file(&path).expect("it is ours");
        let _ = mcp(&home, &["install", host, "--yes"]).exits(0);
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let _ = mcp(&home, &["remove", host, "--yes"]).exits(0);
        assert!(!path.exists(), "{host}: where nothing was, nothing is");
        let none = mcp(&home, &["remove", host, "--yes"]).exits(0);
        assert!(none.stdout.contains("nothing to remove"), "{none}");
    }
}

#[test]
fn what_was_changed_since_stays_changed() {
    let home = TestHome::new();
    for host in HOSTS {
        let path = settings(home.user(), host, false);
        put(&path, files(host)[2]);
        let _ = mcp(&home, &["install", host, "--yes"]).exits(0);
        let edit = |text: &str| match host {
            "codex" => format!("theirs = 1\n{text}"),
            _ => text.replacen('{', "{\"theirs\": 1, ", 1),
        };
        put(&path, &edit(&text(&path)));
        let said = mcp(&home, &["remove", host, "--yes"]).exits(0);
        assert_eq!(text(&path), edit(files(host)[2]), "{host}");
        let kept = format!("{}.before-indelible-mcp", path.display());
        assert!(said.stdout.contains(&kept) && text(Path::new(&kept)) == files(host)[2], "{said}");
    }
}

#[test]
fn what_the_host_runs_is_this_program_and_the_home_that_was_named() {
    let home = TestHome::new();
    for host in HOSTS {
        let _ = home.cmd(["mcp", "install", host, "--yes"]).ok();
        let path = settings(home.user(), host, false);
        let words: Vec<String> = match host {
            "codex" => {
                let text = text(&path);
                let of =
                    |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("it is there").to_owned();
                let command: String = serde_json::from_str(&of("command = ")).expect("a plain string");
                let args: Vec<String> = serde_json::from_str(&of("args = ")).expect("plain strings");
                [vec![command], args].concat()
            }
            _ => {
                let json: Value = serde_json::from_str(&text(&path)).expect("JSON");
                let entry =
                    if host == "opencode" { &json["mcp"]["indelible"] } else { &json["mcpServers"]["indelible"] };
                assert_eq!(
                    entry["type"].as_str(),
                    match host {
                        "claude" => Some("stdio"),
                        "opencode" => Some("local"),
                        _ => None,
                    }
                );
                let texts = |value: &Value| {
                    value
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|it| it.as_str().expect("text").to_owned())
                        .collect::<Vec<_>>()
                };
                [
                    entry["command"].as_str().map(str::to_owned).into_iter().collect(),
                    texts(&entry["command"]),
                    texts(&entry["args"]),
                ]
                .concat()
            }
        };
        let place = home.path().to_str().expect("it is text");
        assert_eq!(words[1..], ["--home", place, "mcp", "--installed"], "{host}");
        let (program, args) = words.split_first().expect("it has one");
        let ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
        let said = crate::support::Cmd::new(program, home.user()).args(args).stdin(ping).ok();
        assert_eq!(said.stdout, "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{}}\n", "{said}");
    }
}

#[test]
fn a_project_has_settings_of_its_own() {
    let home = TestHome::new();
    let project = home.user().join("project");
    fs::create_dir(&project).expect("it can be made");
    let dir = project.to_str().expect("it is text");
    for host in HOSTS {
        let _ = mcp(&home, &["install", host, "--scope", "project", "--dir", dir, "--yes"]).exits(0);
        assert!(settings(&project, host, true).exists() && !settings(home.user(), host, false).exists(), "{host}");
    }
    let state = mcp(&home, &["status", "--dir", dir]).exits(0);
    assert_eq!(
        state.stdout.lines().filter(|line| line.contains(" installed, ") && !line.contains("not installed")).count(),
        5,
        "{state}"
    );
    let _ = mcp(&home, &["install", "claude", "--dir", dir, "--yes"]).exits(64);
}

#[test]
fn what_is_not_ours_is_refused_and_unchanged() {
    let home = TestHome::new();
    let path = settings(home.user(), "claude", false);
    for (before, why) in [
        ("{\"mcpServers\": {\"indelible\": {\"command\": \"indelible\", \"args\": [\"mcp\"]}}}", "did not write"),
        ("{\"mcpServers\": []}", "`mcpServers` is not an object"),
        ("{\"mcpServers\": {}", "not JSON"),
        ("", "not an object"),
    ] {
        put(&path, before);
        let said = mcp(&home, &["install", "claude", "--yes"]).exits(65);
        assert!(said.stderr.contains(why) && text(&path) == before, "{said}");
    }
    put(&path, "{\"mcpServers\": {\"indelible\": {\"command\": \"x\"}}}");
    let said = mcp(&home, &["remove", "claude", "--yes"]).exits(65);
    assert!(said.stderr.contains("did not write"), "{said}");
    let codex = settings(home.user(), "codex", false);
    put(&codex, "mcp_servers = { x = { command = 'x' } }\n");
    let said = mcp(&home, &["install", "codex", "--yes"]).exits(65);
    assert!(said.stderr.contains("change it by hand"), "{said}");
    // Without a terminal, a change needs --yes.
    put(&path, "{}");
    let _ = mcp(&home, &["install", "claude"]).exits(64);
    assert_eq!(text(&path), "{}");
}

#[test]
fn a_link_stays_one_and_hooks_in_the_same_file_stay() {
    let home = TestHome::new();
    let (path, real) = (settings(home.user(), "gemini", false), home.user().join("dotfiles.json"));
    put(&real, "{\n  \"a\": 1\n}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("it is ours");
    fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    symlink(&real, &path).expect("it can be made");
    let hooks = |what: &str| {
        let _ = home.homeless(["hooks", what, "gemini", "--yes"]).ok();
    };
    hooks("install");
    let with_hooks = text(&real);
    let _ = mcp(&home, &["install", "gemini", "--yes"]).exits(0);
    assert!(text(&real).contains("mcpServers") && text(&real).contains("\"hooks\""));
    assert!(path.is_symlink());
    assert_eq!(fs::metadata(&real).expect("it is there").permissions().mode() & 0o777, 0o640);
    let _ = mcp(&home, &["remove", "gemini", "--yes"]).exits(0);
    assert_eq!(text(&real), with_hooks);
    hooks("uninstall");
    assert_eq!(text(&real), "{\n  \"a\": 1\n}\n");
}

/// Hooks and a server can be in one file. In whatever order they come and go, nothing is left that was not there before.
#[test]
fn hooks_and_a_server_in_one_file_leave_it_as_it_was() {
    let home = TestHome::new();
    let path = settings(home.user(), "gemini", false);
    let run = |what: &str| {
        let words: Vec<&str> = what.split(' ').collect();
        let _ = home.homeless([words[0], words[1], "gemini", "--yes"]).ok();
    };
    let there = || {
        let folder =
            fs::read_dir(path.parent().expect("a folder")).map(|it| it.flatten().collect()).unwrap_or_default();
        let folder: Vec<fs::DirEntry> = folder;
        let mut names: Vec<String> = folder.iter().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    for before in
        [None, Some("{}"), Some("{\n  \"a\": 1\n}\n"), Some("// mine\n{ \"mcpServers\": {\"x\": {}}, \"b\": [1 ,2] }")]
    {
        for begin in [["hooks install", "mcp install"], ["mcp install", "hooks install"]] {
            for end in [["hooks uninstall", "mcp remove"], ["mcp remove", "hooks uninstall"]] {
                let _ = fs::remove_file(&path);
                before.into_iter().for_each(|text| put(&path, text));
                begin.into_iter().chain(end).for_each(run);
                let names: &[&str] = if before.is_some() { &["settings.json"] } else { &[] };
                assert_eq!(there(), names, "{before:?}, {begin:?}, {end:?}");
                assert_eq!(fs::read_to_string(&path).ok().as_deref(), before, "{begin:?}, {end:?}");
            }
        }
    }
    // What was changed meanwhile stays.
    let _ = fs::remove_file(&path);
    ["hooks install", "mcp install"].into_iter().for_each(run);
    put(&path, &text(&path).replacen('{', "{ \"mine\": 1,", 1));
    ["hooks uninstall", "mcp remove"].into_iter().for_each(run);
    let left: Value = serde_json::from_str(&text(&path)).expect("it is JSON");
    assert_eq!(left, serde_json::json!({ "mine": 1 }));
}
