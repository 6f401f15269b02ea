//! What people ask for on the command line: the log, a setting that is to go, a file of settings in an editor, and what they
//! mistype.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{TestHome, wait_for};

const FILE: &str = ".indelible/config.toml";

fn file(home: &TestHome) -> String {
    std::fs::read_to_string(home.join(FILE)).expect("it is there")
}

#[test]
fn a_typo_is_answered_by_what_was_meant_and_by_nothing_that_takes_away() {
    let home = TestHome::new();
    let said = |args: &[&str]| home.homeless(args).run().exits(64).stderr;
    for (typed, meant) in [
        ("recrod", "'record'"),
        ("serach", "'search'"),
        ("statsu", "'status'"),
        ("find", "'search'"),
        ("ls", "'list'"),
        ("log", "'logs'"),
        ("undo", "'restore'"),
        ("doctor", "'verify'"),
    ] {
        assert!(said(&[typed]).contains(meant), "{typed}: {}", said(&[typed]));
    }
    // What is meant, and not the opposite; the likeliest first, and no command that is not for people.
    for (typed, meant) in [
        (&["LIST"][..], "'list'"),
        (&["csot"], "'cost', 'context'"),
        (&["restor"], "'restore', 'record', 'retire'"),
        (&["service", "instal"], "exists: 'install'"),
        (&["hooks", "instll"], "exists: 'install'"),
        (&["hooks", "uninstal"], "exists: 'uninstall'"),
    ] {
        assert!(said(typed).contains(meant), "{typed:?}: {}", said(typed));
    }
    for typed in [&["mcp", "uninstall"][..], &["remote", "rm"], &["untrust"]] {
        assert!(!said(typed).contains("similar"), "{typed:?}: {}", said(typed));
    }
    for typed in ["retrac", "erse", "releas"] {
        assert!(said(&[typed]).contains("indelible help erase"), "{typed}: {}", said(&[typed]));
    }
    for typed in ["delete", "erse", "eraze", "relase", "releas", "remove", "rm", "retrac", "delet", "rease"] {
        let said = said(&[typed]);
        let tip = said.lines().find(|line| line.contains("similar")).unwrap_or_default();
        let is_dangerous = ["'erase'", "'release'", "'retract'"].iter().any(|it| tip.contains(it));
        assert!(!is_dangerous, "{typed}: {said}");
    }
    assert!(said(&["delete"]).contains("indelible help erase"), "{}", said(&["delete"]));
    assert!(!said(&["release", "--yess"]).contains("'--yes'"), "{}", said(&["release", "--yess"]));
    assert!(said(&["list", "--domian", "x"]).contains("'--domain'"));
    // As JSON, the same.
    let error: Value = serde_json::from_str(&said(&["delete", "--json"])).expect("it is JSON");
    assert_eq!(error["exit"], 64, "{error}");
    assert!(!error.to_string().contains("release"), "{error}");
    let error: Value = serde_json::from_str(&said(&["--json"])).expect("it is JSON");
    assert_eq!((&error["causes"], &error["hint"]), (&json!([]), &json!("see `indelible --help`")), "{error}");
    let error: Value = serde_json::from_str(&said(&["mcp", "x", "--json"])).expect("it is JSON");
    assert_eq!(error["causes"], json!([]), "{error}");
    // Within another command a word means something else.
    assert!(!said(&["config", "rm"]).contains("help erase"), "{}", said(&["config", "rm"]));
}

#[test]
fn quiet_leaves_out_notes_and_keeps_answers_and_errors() {
    let home = TestHome::new();
    let receipt = home.record("failure", "t");
    let amend = |quiet: &[&str]| {
        let args = ["amend", receipt.id.as_str(), "--title", "other", "--dry-run"];
        home.homeless(args).args(quiet).env("INDELIBLE_HOME", home.path()).ok()
    };
    assert!(amend(&[]).stderr.contains("home: "), "{}", amend(&[]));
    assert_eq!(amend(&["--quiet"]).stderr, "");
    // A program that asks for JSON reads errors alone on stderr.
    assert_eq!(amend(&["--json"]).stderr, "");
    assert_eq!(amend(&["--quiet"]).stdout, amend(&[]).stdout);
    let refused = home.cmd(["show", "--quiet", "00000000"]).run().exits(1);
    assert!(refused.stderr.starts_with("error: "), "{refused}");
}

#[test]
fn a_setting_is_unset_where_it_was_set() {
    let home = TestHome::new();
    let before = file(&home);
    let _ = home.cmd(["config", "set", "worker.age_ms", "200"]).ok();
    let unset = home.cmd(["config", "unset", "worker.age_ms"]).ok();
    assert_eq!(unset.stdout, "worker.age_ms = 1000, from the default\n");
    assert_eq!(file(&home), before);
    let again = home.cmd(["config", "unset", "worker.age_ms", "--json"]).ok().json();
    assert_eq!((&again["was_set"], &again["file"]), (&json!(false), &Value::Null), "{again}");
    // The user's own: of this home alone.
    home.configure_user("# mine\n[log]\nlevel = \"info\"\n");
    let _ = home.cmd(["config", "set", "log.level", "debug"]).ok();
    let unset = home.cmd(["config", "unset", "log.level"]).ok();
    assert_eq!(unset.stdout, "log.level = \"info\", from your own settings of every home\n");
    let own = std::fs::read_to_string(home.user_config()).expect("it is there");
    assert!(own.starts_with("# mine\n[log]\nlevel = \"info\"\n") && !own.contains("debug"), "{own}");
    let _ = home.cmd(["config", "unset", "worker.nonsense"]).run().exits(64);
}

#[test]
fn the_files_of_settings_are_named() {
    let home = TestHome::new();
    assert_eq!(home.cmd(["config", "path"]).ok().stdout, format!("{}\n", home.join(FILE).display()));
    home.configure_user("");
    let own = home.user_config().canonicalize().expect("it is there");
    assert_eq!(home.cmd(["config", "path", "--user"]).ok().stdout, format!("{}\n", own.display()));
    let both = home.cmd(["config", "path", "--json"]).ok().json();
    assert_eq!((&both["file"], &both["user_file"]), (&json!(home.join(FILE)), &json!(own)), "{both}");
}

#[test]
fn settings_are_edited_checked_and_kept_if_they_are_invalid() {
    let home = TestHome::new();
    let before = file(&home);
    let edit = |script: &str, args: &[&str]| {
        home.cmd(["config", "edit"]).args(args).env("EDITOR", format!("sh -c '{script}' sh"))
    };
    let draft = home.join(".indelible/edits/config.toml");
    assert_eq!(edit("true", &[]).ok().stdout, "nothing was changed\n");
    let replace = "sed -i \"s/^# age_ms = .*/age_ms = 7/\" \"$1\"";
    let changed = edit(replace, &[]).ok();
    assert!(changed.stdout.starts_with("changed: "), "{changed}");
    assert_eq!(file(&home), before.replace("# age_ms = 1000", "age_ms = 7"));
    assert!(!draft.exists(), "the draft is left");
    // Invalid: nothing changes, and the text is kept for the next time.
    let valid = file(&home);
    let refused = edit("echo \"[worker]\nage_ms = true\" > \"$1\"", &[]).run().exits(65);
    assert!(refused.stderr.contains("worker.age_ms") && refused.stderr.contains("your text is kept in"), "{refused}");
    assert_eq!(file(&home), valid);
    let continued = edit("sed -i s/true/9/ \"$1\"", &[]).ok();
    assert!(continued.stderr.contains("going on with an edit"), "{continued}");
    assert_eq!(file(&home), "[worker]\nage_ms = 9\n");
    // Someone else's change is not undone.
    let other = format!("echo \"# other\" > {0}; echo \"# mine\" > \"$1\"", home.join(FILE).display());
    let raced = edit(&other, &[]).run().exits(75);
    assert!(raced.stderr.contains("changed meanwhile"), "{raced}");
    assert_eq!(
        (file(&home).as_str(), std::fs::read_to_string(&draft).expect("kept").as_str()),
        ("# other\n", "# mine\n")
    );
    // An editor that fails changes nothing.
    let _ = edit("exit 3", &[]).run().exits(74);
    // The user's own file, which is made if there is none.
    let own = edit("echo \"[log]\nlevel = \\\"debug\\\"\" > \"$1\"", &["--user", "--json"]).ok().json();
    assert_eq!(own["changed"], true, "{own}");
    assert_eq!(home.cmd(["config", "get", "log.level"]).ok().stdout, "debug\n");
    let refused = edit("echo \"[log]\nlevel = \\\"loud\\\"\" > \"$1\"", &["--user"]).run().exits(65);
    assert!(refused.stderr.contains("loud"), "{refused}");
}

/// Writes the worker's log of `day`.
fn log(home: &TestHome, day: &str, text: &str) {
    std::fs::create_dir_all(home.join(".indelible/logs")).expect("it can be made");
    std::fs::write(home.join(&format!(".indelible/logs/worker.{day}.log")), text).expect("it can be written");
}

#[test]
fn the_log_is_shown_from_its_end_and_followed() {
    let home = TestHome::new();
    let none = home.cmd(["logs"]).ok();
    assert!(none.stdout.is_empty() && none.stderr.contains("journalctl"), "{none}");
    let line = |number: u64| format!("2026-11-30T10:00:00.{number:03}Z  INFO n={number}\n");
    log(&home, "2026-11-29", &(0..3).map(line).collect::<String>());
    log(&home, "2026-11-30", &format!("{}{}half", line(3), line(4)));
    let shown = |args: &[&str]| home.cmd(["logs"]).args(args).ok().stdout;
    assert_eq!(shown(&[]), (0..5).map(line).collect::<String>());
    assert_eq!(shown(&["-n", "3"]), (2..5).map(line).collect::<String>());
    assert_eq!(shown(&["--lines", "0"]), "");
    let json: Value = serde_json::from_str(&shown(&["-n1", "--json"])).expect("a line is JSON");
    assert_eq!(json, json!({ "at": "2026-11-30T10:00:00.004Z", "level": "info", "text": "n=4" }));
    // What steers a terminal is shown.
    log(&home, "2026-11-30", "\u{1b}[31mred\n");
    assert_eq!(shown(&["-n1"]), "\u{241b}[31mred\n");
    // Followed: the rest of a line, the next lines, and the next day's file.
    log(&home, "2026-11-30", "whole\nha");
    let mut command = home.cmd(["logs", "-f", "-n", "1"]).into_command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut next = || lines.next().expect("a line comes").expect("it is UTF-8");
    assert_eq!(next(), "whole");
    log(&home, "2026-11-30", "whole\nhalf\nmore\n");
    assert_eq!((next(), next()), ("half".to_owned(), "more".to_owned()));
    log(&home, "2026-12-01", "the next day\n");
    assert_eq!(next(), "the next day");
    child.kill().and_then(|()| child.wait()).expect("it is our child");
}

#[test]
fn a_workers_own_log_is_shown() {
    let home = TestHome::new();
    let _ = home.cmd(["worker", "--detach"]).ok();
    wait_for("the worker to run", || home.status()["worker"].is_string().then_some(()));
    let _ = home.cmd(["worker", "--stop"]).ok();
    let shown = home.cmd(["logs"]).ok();
    assert!(shown.stdout.contains("worker started") && shown.stdout.contains("worker stopped"), "{shown}");
}
