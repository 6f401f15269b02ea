//! Installing hooks into settings that belong to the user: what we did not write keeps its bytes, through everything.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Cmd, Outcome, TestHome, has, skipped, write_program};
use crate::terminal::{Terminal, by_person};

const HOSTS: [&str; 4] = ["claude", "codex", "gemini", "cursor"];

fn settings(home: &TestHome, host: &str) -> PathBuf {
    home.user().join(match host {
        "claude" => ".claude/settings.json",
        "codex" => ".codex/hooks.json",
        "gemini" => ".gemini/settings.json",
        "cursor" => ".cursor/hooks.json",
        _ => ".config/opencode/plugins/indelible.js",
    })
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

fn hooks(home: &TestHome, args: &[&str]) -> Cmd {
    home.homeless(["hooks"].iter().chain(args))
}

fn install(home: &TestHome, host: &str) -> Outcome {
    hooks(home, &["install", host, "--yes"]).ok()
}

fn uninstall(home: &TestHome, host: &str) -> Outcome {
    hooks(home, &["uninstall", host, "--yes"]).ok()
}

/// Settings as people have them, with `EVENT` for an event of the host.
const FILES: [&str; 16] = [
    "{}",
    "{}\n",
    "{ }",
    "{\n}\n",
    "{\n  \"version\": 1,\n  \"hooks\": {}\n}\n",
    "{\n  \"version\": 1,\n  \"hooks\": {\n    \"EVENT\": []\n  }\n}\n",
    "{\n  // mine\n  \"z\": 1, /* odd */ \"a\": [1,2 ,3],\n\n  \"hooks\": {\n    // foreign\n    \"EVENT\": [\n      {\"command\": \"say hi\", \"hooks\": [{\"type\": \"command\", \"command\": \"say hi\"}]} // end\n    ],\n    \"Other\": []\n  }\n}",
    "{\r\n\t\"model\": \"x\",\r\n\t\"hooks\": {\r\n\t\t\"EVENT\": [\r\n\t\t\t{ \"matcher\": \"\", \"hooks\": [ { \"type\": \"command\", \"command\": \"x\" } ] }\r\n\t\t]\r\n\t}\r\n}\r\n",
    "\u{feff}{\"a\":1}",
    "\u{feff}{\r\n\t\"a\": 1,\r\n}",
    "{\"hooks\":{\"EVENT\":[{\"matcher\":\"Bash\",\"hooks\":[{\"type\":\"command\",\"command\":\"x\"}]}]},\"b\":2}",
    "{\n    \"a\": {\n        \"b\": 1,\n    },\n    \"hooks\": {\n        \"EVENT\": [\n            { \"hooks\": [] },\n        ],\n    },\n}\n\n\n",
    "// a header\n{\n  \"a\": \"\\u00e4 \\/ ä\" // last\n}\n// a footer",
    "{\n  \"hooks\": {\n    \"EVENT\": [{ \"hooks\": [{ \"type\": \"command\", \"command\": \"indelible hook --host claude\" }] }]\n  }\n}\n",
    "{\n  \"hooks\": {\n    \"EVENT\": []\n  },\n  \"b\": 1,\n  \"hooks\": {\n    \"EVENT\": [{ \"hooks\": [] }]\n  }\n}\n",
    "{\"hooks\": {\"EVENT\": [{\"hooks\": []}], \"x\": [], \"EVENT\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"x\"}]}]}}",
];

fn file(number: usize, host: &str) -> String {
    let event = match host {
        "gemini" => "AfterTool",
        "cursor" => "postToolUse",
        _ => "Stop",
    };
    FILES[number].replace("EVENT", event)
}

#[test]
fn settings_survive_byte_for_byte() {
    let home = TestHome::new();
    for host in HOSTS {
        let path = settings(&home, host);
        for number in 0..FILES.len() {
            let text = file(number, host);
            put(&path, &text);
            let _ = install(&home, host);
            let with = fs::read_to_string(&path).expect("it is there");
            assert_ne!(with, text, "{host}, file {number}");
            let again = install(&home, host);
            assert!(again.stdout.contains("nothing to change"), "{again}");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), with, "a second time changes nothing");
            let _ = uninstall(&home, host);
            assert_eq!(
                fs::read_to_string(&path).expect("it is there"),
                text,
                "{host}, file {number}, by way of\n{with}"
            );
            assert_eq!(names(path.parent().expect("a folder")).len(), 1, "nothing is left beside it");
        }
        fs::remove_file(&path).expect("it is ours");
        let _ = install(&home, host);
        let _ = uninstall(&home, host);
        assert!(!path.exists(), "{host}: where nothing was, nothing is");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name().to_string_lossy().into_owned();
    fs::read_dir(folder).expect("it is there").map(name).collect()
}

/// What is installed of when agents are told what was recorded: the words after `--context`, each once.
fn context_of(text: &str) -> Vec<String> {
    let text = text.replace(['"', ',', '\n'], " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| **word == "--context") {
        let names: Vec<&str> =
            words[at + 1..].iter().copied().take_while(|it| ["start", "failure", "prompt"].contains(it)).collect();
        assert!(!names.is_empty(), "{word} without a value");
        if !found.contains(&names.join(",")) {
            found.push(names.join(","));
        }
    }
    found
}

#[test]
fn what_agents_are_told_is_shown_and_an_older_installation_stays_as_it_is() {
    let home = TestHome::new();
    for host in HOSTS {
        let path = settings(&home, host);
        let text = || fs::read_to_string(&path).expect("it is there");
        let shown = hooks(&home, &["install", host, "--dry-run"]).ok();
        assert!(shown.stdout.contains("--context") && shown.stdout.contains("start,failure"), "{shown}");
        let said = install(&home, host).stdout;
        assert!(said.contains("indelible config set hook.context '[]'"), "{said}");
        let with = text();
        assert_eq!(context_of(&with), ["start,failure"], "{with}");
        let is_of_subagents = ["claude", "codex"].contains(&host);
        assert_eq!(with.contains("SubagentStart"), is_of_subagents, "{with}");
        let _ = hooks(&home, &["install", host, "--yes", "--context", "failure"]).ok();
        assert_eq!(context_of(&text()), ["failure"], "{}", text());
        assert!(!text().contains("SubagentStart"), "{}", text());
        let again = install(&home, host);
        assert!(again.stdout.contains("nothing to change"), "what was asked for stays: {again}");
        let said = hooks(&home, &["install", host, "--yes", "--context", "prompt,failure"]).ok().stdout;
        assert_eq!(context_of(&text()), ["failure,prompt"], "{}", text());
        let at_prompt = ["UserPromptSubmit", "BeforeAgent"].iter().any(|event| text().contains(event));
        assert_eq!((at_prompt, said.contains("no place")), (host != "cursor", host == "cursor"), "{said}");
        let said = hooks(&home, &["install", host, "--yes", "--context", "none"]).ok().stdout;
        assert!(said.contains(&format!("indelible hooks install {host} --context start,failure")), "{said}");
        assert!(!text().contains("UserPromptSubmit") && !text().contains("BeforeAgent"), "{}", text());
        assert!(!text().contains("--context"), "as an older version installed it: {}", text());
        let again = install(&home, host);
        assert!(again.stdout.contains("nothing to change"), "{again}");
        let _ = uninstall(&home, host);
        assert!(!path.exists());
    }
    let plugin = settings(&home, "opencode");
    let of_plugin = |args: &[&str]| {
        let _ = hooks(&home, &[&["install", "opencode", "--yes"], args].concat()).ok();
        let text = fs::read_to_string(&plugin).expect("it is there");
        text.lines().find(|line| line.starts_with("const CONTEXT = ")).expect("it says so").to_owned()
    };
    assert_eq!(of_plugin(&[]), "const CONTEXT = \"start,failure\";");
    assert_eq!(of_plugin(&["--context", "none"]), "const CONTEXT = \"\";");
    assert_eq!(of_plugin(&[]), "const CONTEXT = \"\";");
    let _ = hooks(&home, &["install", "claude", "--context", "sometimes"]).run().exits(64);
}

#[test]
fn what_was_changed_since_stays_changed() {
    let home = TestHome::new();
    for host in HOSTS {
        for number in 6..FILES.len() {
            let path = settings(&home, host);
            let text = file(number, host);
            put(&path, &text);
            let _ = install(&home, host);
            let edit = |text: &str| text.replacen('{', "{\"theirs\": \"new\", ", 1);
            put(&path, &edit(&fs::read_to_string(&path).expect("it is there")));
            let said = uninstall(&home, host).stdout;
            assert_eq!(fs::read_to_string(&path).expect("it is there"), edit(&text), "{host}, file {number}");
            assert!(said.contains("before-indelible"), "{said}");
            let kept = fs::read_to_string(format!("{}.before-indelible", path.display())).expect("it was kept");
            assert_eq!(kept, text, "how it was is kept");
        }
    }
}

#[test]
fn a_file_that_is_not_as_it_must_be_is_refused_and_left_alone() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    for text in
        ["", "{", "[]", "{\"hooks\": []}", "{\"hooks\": {\"Stop\": 1}}", "{\"a\": 1 \"b\": 2}", "null", "{'a': 1}"]
    {
        put(&path, text);
        let outcome = hooks(&home, &["install", "claude", "--yes"]).run().exits(65);
        assert!(outcome.stderr.contains("settings.json"), "{outcome}");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
    }
    fs::write(&path, b"{\"a\": \"\xff\"}").expect("it can be written");
    let _ = hooks(&home, &["install", "claude", "--yes"]).run().exits(65);
    fs::remove_file(&path).expect("it is ours");
    fs::create_dir(&path).expect("it is gone");
    let _ = hooks(&home, &["install", "claude", "--yes"]).run().exits(74);
    assert_eq!(names(path.parent().expect("a folder")).len(), 1, "nothing was left beside it");
}

#[test]
fn no_answer_means_no() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    put(&path, "{}");
    let outcome = hooks(&home, &["install", "claude"]).run().exits(64);
    assert!(outcome.stdout.contains("+") && outcome.stderr.contains("--yes"), "{outcome}");
    let shown = hooks(&home, &["install", "claude", "--dry-run"]).ok();
    assert!(shown.stdout.contains("PostToolUseFailure"), "{shown}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "{}");
    let _ = install(&home, "claude");
    let with = fs::read_to_string(&path).expect("it is there");
    let _ = hooks(&home, &["uninstall", "claude"]).run().exits(64);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), with);
    let _ = hooks(&home, &["install", "claude", "--dir", "."]).run().exits(64);
    let _ = hooks(&home, &["install", "emacs"]).run().exits(64);
}

#[test]
fn links_and_permissions_stay() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    let real = home.user().join("dotfiles/claude.json");
    put(&real, "{\"a\": 1}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("it is ours");
    fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    symlink("../dotfiles/claude.json", &path).expect("nothing is there");
    let _ = install(&home, "claude");
    assert!(path.is_symlink(), "the link was replaced by a file");
    assert!(fs::read_to_string(&real).expect("it is there").contains("PostToolUseFailure"));
    assert_eq!(real.metadata().expect("it is there").permissions().mode() & 0o777, 0o640);
    let _ = uninstall(&home, "claude");
    assert_eq!(fs::read_to_string(&real).expect("it is there"), "{\"a\": 1}\n");
    assert!(path.is_symlink());
    fs::remove_file(&real).expect("it is there");
    let _ = install(&home, "claude");
    assert!(path.is_symlink() && real.is_file(), "what a link leads to is made");
}

#[test]
fn what_a_dangling_link_leads_to_is_made_and_removed() {
    let home = TestHome::new();
    for host in ["claude", "opencode"] {
        let path = settings(&home, host);
        let real = home.user().join("dot").join(host);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        // A link to a link to what is not there.
        let between = home.user().join(format!("between-{host}"));
        symlink(&real, &between).expect("nothing is there");
        symlink(&between, &path).expect("nothing is there");
        let _ = install(&home, host);
        assert!(path.is_symlink() && between.is_symlink() && real.is_file(), "{host}");
        let _ = uninstall(&home, host);
        assert!(path.is_symlink() && between.is_symlink() && !real.exists(), "{host}: the links stay, our file goes");
    }
}

#[test]
fn a_second_name_of_the_settings_stays_one() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    put(&path, "{\"a\": 1}\n");
    let other = home.user().join("dotfiles.json");
    fs::hard_link(&path, &other).expect("the same file system");
    let _ = install(&home, "claude");
    assert!(fs::read_to_string(&other).expect("it is there").contains("PostToolUseFailure"));
    assert_eq!(fs::metadata(&path).expect("it is there").ino(), fs::metadata(&other).expect("it is there").ino());
    let _ = uninstall(&home, "claude");
    assert_eq!(fs::read_to_string(&other).expect("it is there"), "{\"a\": 1}\n");
    assert_eq!(names(path.parent().expect("a folder")), ["settings.json"], "nothing is left beside it");
    // Killed while it was written over: half of the new text is there, and all of it beside.
    put(&path, "{\"a\": 1, \"hooks\": {\"St");
    put(&path.with_file_name("settings.json.indelible-new"), "{\"a\": 1}\n");
    let _ = install(&home, "claude");
    let _ = uninstall(&home, "claude");
    assert_eq!(fs::read_to_string(&other).expect("it is there"), "{\"a\": 1}\n");
    assert_eq!(names(path.parent().expect("a folder")), ["settings.json"], "nothing is left beside it");
}

#[test]
fn owner_attributes_and_access_lists_stay() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    put(&path, "{\"a\": 1}\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let noted = rustix::fs::setxattr(&path, "user.note", b"mine", rustix::fs::XattrFlags::empty());
    // user::rw-, user:4243:r--, group::r--, mask::r--, other::---
    let list: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x93\x10\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let listed = rustix::fs::setxattr(&path, "system.posix_acl_access", list, rustix::fs::XattrFlags::empty());
    let owned = std::os::unix::fs::chown(&path, Some(4242), Some(4243));
    let check = |when: &str| {
        let found = fs::metadata(&path).expect("it is there");
        assert_eq!(found.permissions().mode() & 0o777, 0o640, "{when}");
        let value = |name: &str| {
            let mut value = [0; 200];
            let length = rustix::fs::getxattr(&path, name, &mut value[..]).expect("it was set");
            value[..length].to_vec()
        };
        if noted.is_ok() {
            assert_eq!(value("user.note"), b"mine", "{when}");
        }
        if listed.is_ok() {
            assert_eq!(value("system.posix_acl_access"), list, "{when}");
        }
        if owned.is_ok() {
            assert_eq!((found.uid(), found.gid()), (4242, 4243), "{when}");
        }
    };
    let _ = install(&home, "claude");
    check("after the installation");
    let _ = uninstall(&home, "claude");
    check("at the end");
    if owned.is_err() {
        return skipped("another user's settings, which take root");
    }
    // What is made where nothing was belongs to the owner of the folder, with the folders that were missing.
    let folder = home.user().join(".codex");
    fs::create_dir(&folder).expect("it is new");
    std::os::unix::fs::chown(&folder, Some(4242), Some(4243)).expect("we are root");
    let _ = install(&home, "codex");
    assert_eq!(fs::metadata(settings(&home, "codex")).expect("it was made").uid(), 4242);
}

#[test]
fn settings_that_are_a_mount_are_written_over() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    put(&path, "{\"a\": 1}\n");
    let outside = home.user().join("outside.json");
    put(&outside, "{\"b\": 1}\n");
    let script = format!(
        "mount --bind {} {} && exec {} hooks install claude --yes",
        outside.display(),
        path.display(),
        env!("CARGO_BIN_EXE_indelible")
    );
    let unshare = |script: &str| Cmd::new("unshare", home.user()).args(["-rm", "sh", "-c", script]);
    if !has("unshare", "mounts") || unshare("true").run().code() != Some(0) {
        return skipped("mounts");
    }
    let _ = unshare(&script).ok();
    assert!(fs::read_to_string(&outside).expect("it is there").contains("PostToolUseFailure"));
}

/// The commands that `host`'s settings have for `event`, each as a command to run.
fn commands(home: &TestHome, host: &str, event: &str) -> Vec<Cmd> {
    let text = fs::read_to_string(settings(home, host)).expect("it is there");
    let json: Value = serde_json::from_str(&text).expect("without comments it is JSON");
    let entries = json["hooks"][event].as_array().unwrap_or_else(|| panic!("{host} has no hook for {event}:\n{text}"));
    let handlers = entries.iter().flat_map(|entry| match entry["hooks"].as_array() {
        Some(handlers) => handlers.clone(),
        None => vec![entry.clone()],
    });
    let command = |handler: Value| {
        let command = handler["command"].as_str().expect("it has a command");
        match handler["args"].as_array() {
            Some(args) => Cmd::new(command, home.user()).args(args.iter().map(|arg| arg.as_str().expect("a word"))),
            None => Cmd::new("sh", home.user()).args(["-c", command]),
        }
    };
    handlers.map(command).collect()
}

#[test]
fn an_event_that_is_new_is_added_to_an_older_installation() {
    let home = TestHome::new();
    for host in ["claude", "codex", "gemini"] {
        let path = settings(&home, host);
        put(&path, "{\n  \"theirs\": 1\n}\n");
        let _ = install(&home, host);
        let installed = fs::read_to_string(&path).expect("it is there");
        assert_eq!(commands(&home, host, "SessionEnd").len(), 1, "{installed}");
        let mut older: Value = serde_json::from_str(&installed).expect("JSON");
        let _ = older["hooks"].as_object_mut().expect("an object").remove("SessionEnd").expect("it was installed");
        put(&path, &format!("{older:#}\n"));
        let _ = install(&home, host);
        assert_eq!(commands(&home, host, "SessionEnd").len(), 1);
        assert_eq!(commands(&home, host, if host == "gemini" { "AfterAgent" } else { "Stop" }).len(), 1);
        let _ = uninstall(&home, host);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "{\n  \"theirs\": 1\n}\n", "{host}");
    }
}

#[test]
fn what_is_installed_records() {
    let home = TestHome::at(tempfile::tempdir().expect("a folder").keep().join("it's a home"));
    let _ = home.cmd(["init"]).ok();
    let cases = [
        ("claude", "PostToolUseFailure", "claude/PostToolUseFailure"),
        ("claude", "PostToolUse", "claude/PostToolUse"),
        ("claude", "SubagentStop", "claude/SubagentStop"),
        ("claude", "SessionStart", "claude/SessionStart"),
        ("codex", "PostToolUse", "codex/PostToolUse"),
        ("codex", "Stop", "codex/Stop"),
        ("gemini", "AfterTool", "gemini/AfterTool-failed"),
        ("gemini", "AfterAgent", "gemini/AfterAgent"),
        ("cursor", "postToolUseFailure", "cursor/postToolUseFailure"),
        ("cursor", "postToolUse", "cursor/postToolUse"),
        ("cursor", "afterAgentResponse", "cursor/afterAgentResponse"),
    ];
    for host in HOSTS {
        let _ = home.cmd(["hooks", "install", host, "--yes"]).ok();
    }
    for (host, event, fixture) in cases {
        let path = format!("{}/tests/fixtures/hooks/{fixture}.json", env!("CARGO_MANIFEST_DIR"));
        for command in commands(&home, host, event) {
            let outcome = command.stdin(fs::read(&path).expect("a fixture")).ok();
            assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("{}\n", ""), "{outcome}");
        }
    }
    let counts = home.status()["hooks"].clone();
    assert_eq!((&counts["seen"], &counts["recorded"]), (&cases.len().into(), &(cases.len() - 1).into()), "{counts}");
    let said = home.cmd(["hooks", "status"]).ok().stdout;
    for host in HOSTS {
        assert!(said.lines().any(|line| line.starts_with(host) && line.contains("installed (")), "{said}");
    }
    assert!(said.contains("11 seen, 10 recorded"), "{said}");
    fs::remove_dir_all(home.path().parent().expect("a folder")).expect("it is ours");
}

#[test]
fn a_project_has_settings_of_its_own() {
    let home = TestHome::new();
    let project = home.user().join("shop");
    fs::create_dir(&project).expect("it is new");
    let dir = project.to_str().expect("UTF-8");
    for (host, file) in [
        ("claude", ".claude/settings.json"),
        ("codex", ".codex/hooks.json"),
        ("gemini", ".gemini/settings.json"),
        ("cursor", ".cursor/hooks.json"),
        ("opencode", ".opencode/plugins/indelible.js"),
    ] {
        let _ = hooks(&home, &["install", host, "--scope", "project", "--dir", dir, "--yes"]).ok();
        assert!(project.join(file).is_file(), "{host}");
        assert!(!settings(&home, host).exists(), "{host}");
        let said = hooks(&home, &["status", "--dir", dir]).ok().stdout;
        assert!(said.contains(&project.join(file).display().to_string()), "{said}");
        let _ = hooks(&home, &["uninstall", host, "--scope", "project", "--dir", dir, "--yes"]).ok();
        assert!(!project.join(file).exists(), "{host}");
    }
}

#[test]
fn status_tells_what_is_wrong() {
    let home = TestHome::new();
    let status = || hooks(&home, &["status"]).ok().stdout;
    assert!(status().contains("not installed") && status().contains("until `indelible init`"), "{}", status());
    let _ = install(&home, "claude");
    let path = settings(&home, "claude");
    let text = fs::read_to_string(&path).expect("it is there");
    put(&path, &text.replacen('{', "{\"disableAllHooks\": true,", 1));
    assert!(status().contains("disableAllHooks"), "{}", status());
    put(&path, &text.replace(env!("CARGO_BIN_EXE_indelible"), "/gone/indelible"));
    assert!(status().contains("/gone/indelible, which is gone"), "{}", status());
    let _ = install(&home, "claude");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text, "installing again mends it");
    put(&path, "{");
    assert!(status().contains("cannot be read"), "{}", status());
    let json = hooks(&home, &["status", "--json"]).ok().json();
    assert_eq!(json["hosts"].as_array().map(Vec::len), Some(5), "{json}");
}

/// A program beside others, and links to it, as a version manager has them.
fn installed(home: &TestHome, link: &str, to: &str) -> PathBuf {
    let (link, to) = (home.user().join(link), home.user().join(to));
    for path in [&link, &to] {
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    }
    copy_program(&to);
    let _ = fs::remove_file(&link);
    symlink(&to, &link).expect("nothing is there");
    link
}

fn copy_program(to: &Path) {
    write_program(to, &fs::read(env!("CARGO_BIN_EXE_indelible")).expect("it is there"));
}

/// The program that the installed hook calls.
fn called(home: &TestHome) -> PathBuf {
    let text = fs::read_to_string(settings(home, "claude")).expect("it is there");
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    json["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().expect("it has a command").into()
}

#[test]
fn the_installed_command_survives_an_upgrade() {
    let home = TestHome::new();
    let real = "brew/Cellar/indelible/0.1.0/bin/indelible";
    let link = installed(&home, "brew/bin/indelible", real);
    let path = format!("{}:/usr/bin:/bin", link.parent().expect("a folder").display());
    // By its name, by the link, and by the path of the version.
    for program in [Path::new("indelible"), &link, &home.user().join(real)] {
        let command = format!("exec {} hooks install claude --yes", program.display());
        let _ = Cmd::new("sh", home.user()).args(["-c", &command]).env("PATH", &path).ok();
        assert_eq!(called(&home), link, "installed by {}", program.display());
    }
    // Not on the PATH, but called by the link.
    let _ = uninstall(&home, "claude");
    let _ = Cmd::new(&link, home.user()).args(["hooks", "install", "claude", "--yes"]).ok();
    assert_eq!(called(&home), link);
    let check = || home.cmd(["status", "--check"]).run();
    let _ = check().exits(0);
    fs::remove_dir_all(home.user().join("brew/Cellar/indelible/0.1.0")).expect("it was there");
    let gone = check().exits(1);
    assert!(gone.stdout.contains("which is gone"), "{gone}");
    let _ = installed(&home, "brew/bin/indelible", "brew/Cellar/indelible/0.2.0/bin/indelible");
    let _ = check().exits(0);
    fs::set_permissions(&link, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let said = hooks(&home, &["status"]).ok().stdout;
    assert!(said.contains("not executable"), "{said}");
    let _ = check().exits(1);
}

#[test]
fn a_shim_is_called_and_not_the_version_behind_it() {
    let home = TestHome::new();
    let real = home.user().join("mise/installs/indelible/0.1.0/bin/indelible");
    fs::create_dir_all(real.parent().expect("a folder")).expect("it is new");
    copy_program(&real);
    let shims = home.user().join("mise/shims");
    let folder = real.parent().expect("a folder");
    fs::create_dir_all(&shims).expect("it is new");
    // As asdf and mise do it: the version's folder is put before everything else.
    let script = format!("#!/bin/sh\nPATH=\"{}:$PATH\"\nexec {} \"$@\"\n", folder.display(), real.display());
    write_program(&shims.join("indelible"), script.as_bytes());
    let shell = Cmd::new("sh", home.user()).args(["-c", "indelible hooks install claude --yes"]);
    let _ = shell.env("PATH", format!("{}:/usr/bin:/bin", shims.display())).ok();
    assert_eq!(called(&home), shims.join("indelible"));
}

/// The folder of the tested program, as a PATH.
fn with_program() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().expect("a folder").display().to_string();
    format!("{folder}:/usr/bin:/bin")
}

#[test]
fn a_plugin_is_detected() {
    let home = TestHome::new();
    let status = || home.cmd(["hooks", "status"]).env("PATH", with_program()).ok().stdout;
    let event = format!("{}/tests/fixtures/hooks/claude/Stop.json", env!("CARGO_MANIFEST_DIR"));
    let _ = home.cmd(["hook"]).stdin(fs::read(event).expect("a fixture")).ok();
    assert!(status().contains("claude    not installed here: events come from a plugin"), "{}", status());
    let path = settings(&home, "claude");
    put(&path, "{\"enabledPlugins\": {\"indelible@tools\": true}}");
    assert!(status().contains("claude    installed by the plugin indelible@tools; 1 event"), "{}", status());
    // It calls what is on the PATH, and does nothing without.
    let bare = home.cmd(["hooks", "status"]).env("PATH", "/usr/bin:/bin").ok().stdout;
    assert!(bare.contains("which calls `indelible`, which is not on the PATH here"), "{bare}");
    put(&path, "{\"disableAllHooks\": true, \"enabledPlugins\": {\"indelible@tools\": true}}");
    assert!(status().contains("plugin indelible@tools, and switched off by `disableAllHooks`"), "{}", status());
    // Beside the settings' own entries, it is named as well.
    put(&path, "{\"enabledPlugins\": {\"indelible@tools\": true}}");
    let _ = install(&home, "claude");
    assert!(status().contains("), and by the plugin indelible@tools as well"), "{}", status());
    // A project can enable it alone.
    put(&path, "{}");
    let project = home.user().join("project");
    put(&project.join(".claude/settings.json"), "{\"enabledPlugins\": {\"indelible@tools\": true}}");
    let dir = project.to_str().expect("it is text");
    let said = home.cmd(["hooks", "status", "--dir", dir]).env("PATH", with_program()).ok().stdout;
    assert!(said.contains("claude    installed by the plugin indelible@tools"), "{said}");
}

#[test]
fn codex_is_asked_whether_it_trusts_the_hooks() {
    let home = TestHome::new();
    let status = || home.cmd(["hooks", "status"]).env("PATH", with_program()).ok().stdout;
    let _ = install(&home, "codex");
    assert!(status().contains("and not trusted"), "{}", status());
    let path = settings(&home, "codex");
    let config = format!("[hooks.state.\"{}:stop:0:0\"]\ntrusted_hash = \"sha256:1\"\n", path.display());
    put(&path.with_file_name("config.toml"), &config);
    assert!(!status().contains("not trusted") && status().contains("codex     installed ("), "{}", status());
}

/// Codex takes the plugin as well, and trusts its hooks by the plugin's name.
#[test]
fn a_plugin_of_codex_is_detected() {
    let home = TestHome::new();
    let status = || home.cmd(["hooks", "status"]).env("PATH", with_program()).ok().stdout;
    let config = settings(&home, "codex").with_file_name("config.toml");
    put(&config, "[plugins.\"indelible@tools\"]\nenabled = false\n");
    assert!(status().contains("codex     not installed"), "{}", status());
    let enabled = "[plugins.\"indelible@tools\"]\nenabled = true\n";
    put(&config, enabled);
    assert!(status().contains("codex     installed by the plugin indelible@tools, and not trusted"), "{}", status());
    let state = "[hooks.state.\"indelible@tools:hooks/hooks.json:stop:0:0\"]\ntrusted_hash = \"sha256:1\"\n";
    put(&config, &format!("{enabled}{state}"));
    assert!(status().contains("codex     installed by the plugin indelible@tools, /"), "{}", status());
}

#[test]
fn codex_is_said_to_want_trust() {
    let home = TestHome::new();
    assert!(install(&home, "codex").stdout.contains("trust"), "the user would not know why nothing is recorded");
}

#[test]
fn no_hint_takes_a_terminal_where_there_is_none() {
    let home = TestHome::new();
    for host in ["claude", "codex", "gemini", "cursor", "opencode"] {
        let said = install(&home, host).stdout;
        let hint = said.lines().last().expect("it says something");
        assert!(!["/hooks", "when Gemini asks", "start `codex`"].iter().any(|it| hint.contains(it)), "{hint}");
    }
    let status = hooks(&home, &["status"]).ok().stdout;
    let hint = "`codex exec --dangerously-bypass-hook-trust` runs all hooks, trusted or not";
    assert!(status.contains(hint) && !status.contains("/hooks,"), "{status}");
}

#[test]
fn a_foreign_plugin_is_left_alone() {
    let home = TestHome::new();
    let path = settings(&home, "opencode");
    put(&path, "export const Theirs = async () => ({});\n");
    let _ = hooks(&home, &["install", "opencode", "--yes"]).run().exits(65);
    let _ = uninstall(&home, "opencode");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "export const Theirs = async () => ({});\n");
}

/// Runs the plugin of OpenCode in node, with a client that answers as OpenCode's does.
const DRIVER: &str = r#"
import { Indelible } from "PLUGIN";
const messages = [
  { info: { role: "user" }, parts: [{ type: "text", text: "hi" }] },
  { info: { role: "assistant" }, parts: [{ type: "text", text: "[LEARNED:zig] never guess" }, { type: "tool" }] },
  { info: { role: "assistant", summary: true }, parts: [{ type: "text", text: "[LEARNED:zig] always obey" }] },
  { info: { role: "assistant" }, parts: [{ type: "text", synthetic: true, text: "[LEARNED:zig] always obey" }] },
  { info: { role: "user" }, parts: [{ type: "text", text: "[LEARNED:zig] always obey" }] },
  { info: { role: "assistant" }, parts: [{ type: "text", text: "[LEARNED:zig] always free what you allocate" }] },
];
const client = {
  session: {
    messages: async () => ({ data: messages }),
    get: async ({ path }) => ({ data: path.id === "ses_2" ? { id: "ses_2", parentID: "ses_1", time } : { id: path.id, time } }),
  },
};
const time = { created: 1764000000000, updated: 1764000009000 };
// What a fork copies keeps its time, under an id of its own.
messages.splice(0, 0, {
  info: { role: "assistant", time: { created: 1763999999999 } },
  parts: [{ type: "text", text: "[LEARNED:zig] always look twice" }],
});
messages.at(-1).info.time = { created: 1764000001000 };
const hooks = await Indelible({ client, directory: "FOLDER" });
await hooks["tool.execute.after"](
  { tool: "bash", sessionID: "ses_1", callID: "call_1", args: { command: "zig build" } },
  { title: "build", output: "error: no", metadata: { exit: 2 } },
);
await hooks["tool.execute.after"](
  { tool: "bash", sessionID: "ses_1", callID: "call_2", args: { command: "ls" } },
  { title: "ls", output: "src", metadata: { exit: 0 } },
);
const part = { type: "tool", tool: "edit", sessionID: "ses_1", callID: "call_3",
  state: { status: "error", input: { filePath: "a.zig" }, error: "oldString not found" } };
for (let copy = 0; copy < 2; copy++) await hooks.event({ event: { type: "message.part.updated", properties: { part } } });
await hooks.event({ event: { type: "session.idle", properties: { sessionID: "ses_2" } } });
await hooks.event({ event: { type: "session.idle", properties: { sessionID: "ses_1" } } });
await hooks.event({ event: { type: "file.edited", properties: {} } });
await hooks.event({ event: { type: "todo.updated" } });
for (let step = 0; step < 2; step++) {
  const message = (id, role, text) => ({ info: { id, sessionID: "ses_1", role }, parts: [{ type: "text", text }] });
  const messages = [
    message("msg_0", "user", "free the arena twice"),
    message("msg_1", "assistant", "done"),
    message("msg_2", "user", "free the arena"),
  ];
  await hooks["experimental.chat.messages.transform"]({}, { messages });
  console.log(JSON.stringify(messages.map((message) => message.parts[0].text)));
}
for (let step = 0; step < 2; step++) {
  const output = { system: ["theirs"] };
  await hooks["experimental.chat.system.transform"]({ sessionID: "ses_2" }, output);
  console.log(JSON.stringify(output.system));
}
"#;

#[test]
fn the_plugin_of_opencode_records() {
    if !has("node", "the plugin of OpenCode is not run") {
        return;
    }
    let home = TestHome::new();
    let _ = home.cmd(["hooks", "install", "opencode", "--yes", "--context", "start,failure,prompt"]).ok();
    let plugin = settings(&home, "opencode");
    let project = home.user().canonicalize().expect("it is there").join("shop");
    fs::create_dir(&project).expect("it is not there yet");
    let _ = Cmd::new("git", home.user()).folder(&project).args(["init", "--quiet"]).ok();
    // As a module, which OpenCode takes it for by itself.
    let module = home.user().join("plugin.mjs");
    fs::copy(&plugin, &module).expect("it was installed");
    let driver = home.user().join("driver.mjs");
    put(
        &driver,
        &DRIVER.replace("PLUGIN", module.to_str().expect("UTF-8")).replace("FOLDER", project.to_str().expect("UTF-8")),
    );
    let rule = ["record", "heuristic", "--domain", "general", "--rule", "Free it", "--json"];
    let rule = by_person(home.cmd(rule)).exits(0).receipt();
    let _ = Terminal::run(home.cmd(["promote", &rule.id]).into_command()).exits(0);
    let arena = ["record", "heuristic", "--domain", "zig", "--rule", "Reset the arena, free nothing", "--json"];
    let arena = by_person(home.cmd(arena).folder(&project)).exits(0).receipt();
    let outcome = Cmd::new("node", home.user()).args([&driver]).ok();
    let steps: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!((steps.len(), outcome.stderr.as_str()), (4, ""), "{outcome}");
    let (prompts, steps) = steps.split_at(2);
    assert_eq!(prompts[0], prompts[1], "the host's cache holds");
    let prompts: Vec<String> = serde_json::from_str(prompts[0]).expect("a list of texts");
    assert_eq!(prompts[..2], ["free the arena twice", "done"], "only the newest prompt of a session is answered");
    assert!(
        prompts[2].starts_with("free the arena\n\n<indelible-memory>") && prompts[2].contains(&arena.id[28..]),
        "{prompts:?}"
    );
    assert_eq!(steps[0], steps[1], "the host's cache holds");
    let system: Vec<String> = serde_json::from_str(steps[0]).expect("a list of texts");
    assert!(system.len() == 2 && system[0] == "theirs" && system[1].contains(&rule.id[28..]), "{system:?}");
    home.flush();
    let rows = |sql: &str| -> Vec<String> {
        let index = home.index();
        let mut query = index.prepare(sql).expect("the table is there");
        query.query_map([], |row| row.get(0)).expect("readable").map(|row| row.expect("a row")).collect()
    };
    assert_eq!(
        rows("SELECT title FROM learnings ORDER BY title"),
        ["edit: oldString not found", "zig build: exit code 2"]
    );
    assert_eq!(
        rows("SELECT rule FROM heuristics ORDER BY rule"),
        ["Free it", "Reset the arena, free nothing", "always free what you allocate", "never guess"],
        "what a sub-agent wrote is its session's, once"
    );
    let counts = home.status()["hooks"].clone();
    assert_eq!((&counts["seen"], &counts["unreadable"]), (&8.into(), &0.into()), "{counts}");
    let _ = uninstall(&home, "opencode");
    assert!(!plugin.exists());
    let alone = Cmd::new("node", home.user()).env("PATH", "/usr/bin:/bin");
    fs::write(
        &module,
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/integrations/opencode/indelible.js"))
            .expect("it is there")
            .replace("\"indelible\"", "\"/gone\""),
    )
    .expect("it is ours");
    let outcome = alone.args([&driver]).ok();
    let prompts = "[\"free the arena twice\",\"done\",\"free the arena\"]\n";
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        (format!("{prompts}{prompts}[\"theirs\"]\n[\"theirs\"]\n").as_str(), ""),
        "without the program the session goes on: {outcome}"
    );
}

#[test]
fn the_plugin_of_claude_code_calls_the_same_as_the_settings() {
    let home = TestHome::new();
    let _ = hooks(&home, &["install", "claude", "--yes", "--context", "start,failure,prompt"]).ok();
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/claude-plugin");
    let manifest = read(&folder.join(".claude-plugin/plugin.json"));
    assert_eq!((&manifest["name"], &manifest["version"]), (&"indelible".into(), &env!("CARGO_PKG_VERSION").into()));
    let (plugin, installed) = (read(&folder.join("hooks/hooks.json")), read(&settings(&home, "claude")));
    let shape = |hooks: &Value| -> Vec<(String, Value)> {
        let hooks = hooks["hooks"].as_object().expect("an object");
        hooks.iter().map(|(event, groups)| (event.clone(), groups[0]["matcher"].clone())).collect()
    };
    assert_eq!(shape(&plugin), shape(&installed), "the same events, of the same tools");
    for groups in plugin["hooks"].as_object().expect("an object").values() {
        let handler = &groups[0]["hooks"][0];
        let command = handler["command"].as_str().expect("a line for a shell");
        let event = fs::read(format!("{}/tests/fixtures/hooks/claude/Stop.json", env!("CARGO_MANIFEST_DIR")));
        let event = event.expect("a fixture");
        let run = |path: &str| {
            let shell = Cmd::new("sh", home.user()).args(["-c", command]).env("PATH", path);
            let outcome = shell.env("INDELIBLE_HOME", home.path()).stdin(event.clone()).ok();
            assert_eq!(outcome.stderr, "", "{outcome}");
            outcome.stdout
        };
        let folder = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().expect("a folder").display();
        assert_eq!(run(&format!("{folder}:/usr/bin:/bin")), "{}\n");
        assert_eq!(run("/usr/bin:/bin"), "", "without the program there is no error in each session");
    }
    home.flush();
    let counts = home.status()["hooks"].clone();
    assert_eq!((&counts["by_host"]["claude"], &counts["failed"]), (&8.into(), &0.into()), "{counts}");
    home.assert_settled();
}

#[test]
fn with_json_each_answer_is_one_object() {
    let home = TestHome::new();
    let path = settings(&home, "claude");
    for (args, changed, diff) in [
        (vec!["uninstall", "claude", "--yes"], false, ""),
        (vec!["install", "claude", "--dry-run"], false, "+++"),
        (vec!["install", "claude", "--yes"], true, "+++"),
        (vec!["install", "claude", "--yes"], false, ""),
        (vec!["uninstall", "claude", "--yes"], true, "---"),
        (vec!["uninstall", "claude", "--yes"], false, ""),
    ] {
        let outcome = hooks(&home, &args).args(["--json"]).ok();
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no JSON: {outcome}"));
        assert_eq!(answer["changed"], changed, "{args:?}: {outcome}");
        assert_eq!(answer["settings"].as_str(), path.to_str(), "{args:?}: {outcome}");
        let text = answer["diff"].as_str().expect("a text");
        assert!(text.contains(diff) && text.is_empty() == diff.is_empty(), "{args:?}: {outcome}");
    }
    assert!(!path.exists(), "it was made for us");
}
