//! Settings: what they are, where they come from, and changing them.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{TestHome, Worker, assert_exactly_once, in_parallel};

const FILE: &str = ".indelible/config.toml";

fn file(home: &TestHome) -> String {
    std::fs::read_to_string(home.join(FILE)).expect("it is there")
}

fn setting(home: &TestHome, key: &str) -> Value {
    home.cmd(["config", "get", key, "--json"]).ok().json()
}

#[test]
fn each_value_says_where_it_comes_from() {
    let home = TestHome::new();
    let list = || {
        let list = home.cmd(["config", "list", "--json", "--set", "worker.age_ms=3"]);
        list.env("INDELIBLE_WORKER_AGE_MS", "2").env("INDELIBLE_WORKER_STOP_S", "2").ok().json()
    };
    let _ = home.cmd(["config", "set", "worker.stop_s", "1"]).ok();
    let _ = home.cmd(["config", "set", "worker.poll_s", "1"]).ok();
    let list = list();
    assert_eq!(list["file"], home.join(FILE).to_str().expect("it is text"));
    let of = |key: &str| {
        let all = list["settings"].as_array().expect("it is a list");
        let one = all.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("{key} is not listed: {list}"));
        (one["value"].clone(), one["origin"].as_str().expect("it is text").to_owned(), one["default"].clone())
    };
    assert_eq!(of("worker.age_ms"), (3.into(), "flag".into(), 1000.into()));
    assert_eq!(of("worker.stop_s"), (2.into(), "environment".into(), 20.into()));
    assert_eq!(of("worker.poll_s"), (1.into(), "file".into(), 30.into()));
    assert_eq!(of("worker.autostart"), (false.into(), "default".into(), false.into()));
    assert_eq!(of("history.author_name"), ("indelible".into(), "default".into(), "indelible".into()));
    assert_eq!(of("hook.tools").1, "default", "an empty table says nothing");
    let shown = home.cmd(["config", "list"]).ok();
    assert!(shown.stdout.contains("worker.poll_s") && shown.stdout.contains("file, instead of 30"), "{shown}");
}

#[test]
fn one_value_can_be_asked_for() {
    let home = TestHome::new();
    assert_eq!(home.cmd(["config", "get", "worker.age_ms"]).ok().stdout, "1000\n");
    assert_eq!(home.cmd(["config", "get", "history.author_name"]).ok().stdout, "indelible\n");
    assert_eq!(setting(&home, "worker.age_ms")["variable"], "INDELIBLE_WORKER_AGE_MS");
    for key in ["worker.age", "age_ms", "worker", ""] {
        let refused = home.cmd(["config", "get", key]).run().exits(64);
        assert!(refused.stderr.contains("no setting"), "{refused}");
    }
    let refused = home.cmd(["config", "get", "worker.age"]).run().exits(64);
    assert!(refused.stderr.contains("worker.age_ms"), "it does not say which there are: {refused}");
}

#[test]
fn a_change_keeps_everything_else_in_the_file() {
    let home = TestHome::new();
    let before = file(&home);
    let _ = home.cmd(["config", "set", "worker.age_ms", "200"]).ok();
    assert_eq!(file(&home), before.replace("# age_ms = 1000", "age_ms = 200"));
    let _ = home.cmd(["config", "set", "worker.age_ms", "300"]).ok();
    let _ = home.cmd(["config", "set", "hook.severity", "4"]).ok();
    let _ = home.cmd(["config", "set", "hook.warn", "false"]).ok();
    assert_eq!(setting(&home, "hook.severity")["value"], 4);
    assert_eq!(setting(&home, "hook.warn")["value"], false);
    let comments = |text: &str| text.lines().filter(|line| line.ends_with('.')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(comments(&file(&home)), comments(&before), "a comment is gone or has moved");
    assert_eq!(file(&home).lines().count(), before.lines().count());

    // A file by hand, and none at all.
    std::fs::write(home.join(FILE), "# my own\n[log]\nlevel = \"warn\" # calm\n").expect("it can be written");
    let _ = home.cmd(["config", "set", "worker.age_ms", "7"]).ok();
    assert_eq!(file(&home), "# my own\n[log]\nlevel = \"warn\" # calm\n\n[worker]\nage_ms = 7\n");
    std::fs::remove_file(home.join(FILE)).expect("it is there");
    let _ = home.cmd(["config", "set", "worker.age_ms", "200"]).ok();
    assert_eq!(file(&home), before.replace("# age_ms = 1000", "age_ms = 200"));
    let left = std::fs::read_dir(home.join(".indelible/tmp")).expect("it is there").count();
    assert_eq!(left, 0, "something was left behind");
}

/// What could do harm is decided by the user, in a file that no home brings along.
#[test]
fn what_a_home_does_not_decide_goes_into_the_users_own_file() {
    let home = TestHome::new();
    let before = file(&home);
    let id = std::fs::read_to_string(home.join(".indelible/home.json")).expect("it is there");
    let id: Value = serde_json::from_str(&id).expect("it is JSON");
    let id = id["id"].as_str().expect("it has one");
    home.configure_user("# mine\n[worker]\nstop_s = 7 # calm\n");
    let values = [
        ("history.author_name", "Ä \"quoted\" # name"),
        ("history.author_email", "me@example.org"),
        ("history.git_program", ""),
        ("history.packs_max", "8"),
        ("worker.autostart", "false"),
        ("log.level", "debug"),
        ("log.files_max", "3"),
        ("hook.record", "false"),
        ("hook.answers", "[\"ack\"]"),
        ("hook.events", "{ Stop = [] }"),
        ("hook.tools", "{ Read = [\"failure\"] }"),
        ("redact.hooks", "false"),
        ("redact.records", "true"),
        ("redact.patterns", "{ ticket = \"T-[0-9]+\" }"),
    ];
    for (key, value) in values {
        let set = home.cmd(["config", "set", key, value, "--json"]).ok().json();
        assert_eq!(set["file"], home.user_config().canonicalize().expect("it is there").to_str().expect("it is text"));
        assert_eq!(setting(&home, key)["origin"], "user-home", "{key}");
    }
    assert_eq!(file(&home), before, "the home's own file has changed");
    assert_eq!(setting(&home, "history.author_name")["value"], "Ä \"quoted\" # name");
    assert_eq!(setting(&home, "worker.stop_s")["origin"], "user");
    let own = std::fs::read_to_string(home.user_config()).expect("it is there");
    assert!(own.starts_with("# mine\n[worker]\nstop_s = 7 # calm\n"), "{own}");
    assert!(own.contains(&format!("[home.\"{id}\".history]")), "{own}");
    // Another home has its own.
    let other = TestHome::at(home.user().join("other"));
    let _ = other.cmd(["init"]).env("HOME", home.user()).ok();
    let of_other = other.cmd(["config", "get", "history.packs_max"]).env("HOME", home.user()).ok();
    assert_eq!(of_other.stdout, "32\n");
}

/// Many processes that change the user's own file at once undo nothing of each other's.
#[test]
fn changes_of_the_users_own_file_at_once_are_all_kept() {
    let home = TestHome::new();
    let keys =
        ["history.author_name", "history.author_email", "log.level", "hook.record", "redact.hooks", "redact.records"];
    let value = |key: &str| match key {
        "log.level" => "debug".to_owned(),
        "hook.record" | "redact.hooks" | "redact.records" => "true".to_owned(),
        key => format!("value of {key}"),
    };
    in_parallel(keys.len(), 6, |number| {
        let key = keys[number];
        let _ = home.cmd(["config", "set", key, &value(key)]).ok();
    });
    for key in keys {
        assert_eq!(setting(&home, key)["origin"], "user-home", "the change of {key} was undone");
    }
}

#[test]
fn what_a_setting_cannot_be_is_refused_and_nothing_changes() {
    let home = TestHome::new();
    let before = file(&home);
    for (key, value) in [
        ("worker.age_ms", "soon"),
        ("worker.age_ms", "-1"),
        ("worker.age_ms", "1\nstop_s = 2"),
        ("worker.urgent_severity", "1000"),
        ("worker.autostart", "maybe"),
        ("log.level", "loud"),
        ("log.level", ""),
        ("hook.events", r#"{ Stop = ["everything"] }"#),
        ("redact.patterns", r#"{ mine = "(" }"#),
        ("history.git_program", "../tool"),
        ("history.git_program", "./git"),
        ("history.git_program", "tools/git"),
        ("worker.age_ms", "99999999999"),
    ] {
        let refused = home.cmd(["config", "set", key, value]).run().exits(65);
        assert!(refused.stderr.contains(key), "it does not say which: {refused}");
        assert_eq!(file(&home), before, "{key} {value:?}");
    }
    let _ = home.cmd(["config", "set", "worker.no_such", "1"]).run().exits(64);
    assert_eq!(file(&home), before);
    assert!(!home.user_config().exists(), "something was changed");
    // What is broken is not made worse.
    std::fs::write(home.join(FILE), "[worker\nage_ms = 1\n").expect("it can be written");
    let _ = home.cmd(["config", "set", "worker.age_ms", "200"]).run().exits(78);
    assert_eq!(file(&home), "[worker\nage_ms = 1\n");
}

#[test]
fn a_number_out_of_its_range_is_refused_with_the_range() {
    let home = TestHome::new();
    let before = file(&home);
    let cases = [
        ("worker.records_due", "0", "at least 1"),
        ("worker.records_max", "0", "at least 1"),
        ("worker.urgent_severity", "0", "1 to 6"),
        ("worker.urgent_severity", "7", "1 to 6"),
        ("worker.poll_s", "0", "at least 1"),
        ("journal.segment_bytes_max", "4095", "at least 4096"),
        ("history.packs_max", "1", "at least 2"),
        ("log.files_max", "0", "at least 1"),
        ("hook.severity", "0", "1 to 5"),
        ("hook.severity", "9", "1 to 5"),
    ];
    for (key, value, range) in cases {
        let refused = home.cmd(["config", "set", key, value]).run().exits(65);
        assert!(refused.stderr.contains(key) && refused.stderr.contains(range), "{refused}");
        assert_eq!(file(&home), before, "{key} {value:?}");
        assert!(!home.user_config().exists(), "{key} {value:?}");
    }
    for (key, value) in [("worker.urgent_severity", "6"), ("worker.stop_s", "0"), ("journal.keep_s", "0")] {
        let _ = home.cmd(["config", "set", key, value]).ok();
    }

    // In the file, by hand: no reason to lose a record, and none to guess.
    std::fs::write(home.join(FILE), "[worker]\nrecords_max = 0\n").expect("it can be written");
    let recorded = home.recorder("failure", "no reason to lose it").ok();
    assert!(recorded.stderr.contains("worker.records_max"), "it is not named: {recorded}");
    let refused = home.cmd(["worker"]).run().exits(78);
    assert!(refused.stderr.contains("at least 1") && refused.stderr.contains("worker.records_max"), "{refused}");
}

/// Where every record is to be without secrets, a slip elsewhere in either file does not let one through.
#[test]
fn a_slip_in_the_settings_does_not_switch_redaction_off() {
    let home = TestHome::new();
    let of_home = file(&home);
    let _ = home.cmd(["config", "set", "redact.records", "true"]).ok();
    assert_eq!(file(&home), of_home, "a home does not decide that");
    let before = home.journal();
    let refuses = |slip: &str| {
        let refused = home.recorder("failure", "with a password").run().exits(78);
        assert!(refused.stderr.contains("the settings") || refused.stderr.contains("invalid setting"), "{refused}");
        assert_eq!(home.journal(), before, "{slip:?}");
    };
    let slips = ["\n[no_such]\n", "\n[worker\n", "\n[record]\nindex_wait_ms = \"x\"\n"];
    for slip in slips {
        std::fs::write(home.join(FILE), format!("{of_home}{slip}")).expect("it can be written");
        refuses(slip);
    }
    std::fs::write(home.join(FILE), &of_home).expect("it can be written");
    let asked = std::fs::read_to_string(home.user_config()).expect("it was made");
    for slip in slips {
        home.configure_user(&format!("{asked}{slip}"));
        refuses(slip);
    }
    home.configure_user(&asked.replace("\nrecords = true", "\n# records = true"));
    std::fs::write(home.join(FILE), "[no_such]\n").expect("it can be written");
    let _ = home.record("failure", "no reason to lose it");
}

#[test]
fn a_running_worker_gets_the_change() {
    let home = TestHome::new();
    let _ = home.cmd(["config", "set", "worker.age_ms", "3600000"]).ok();
    let mut worker = Worker::start(&home, &[]);
    let receipt = home.record("failure", "waits for an hour");
    let told = home.cmd(["config", "set", "worker.age_ms", "1", "--json"]).ok().json();
    assert_eq!(told["worker_told"], true, "{told}");
    worker.wait_for_line("the settings were read again");
    worker.wait_until_committed(&home);
    let later = home.record("failure", "waits for a moment");
    worker.wait_until_committed(&home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let told = home.cmd(["config", "set", "worker.age_ms", "2", "--json"]).ok().json();
    assert_eq!(told["worker_told"], Value::Null, "{told}");
    assert_exactly_once(&home, &[receipt, later]);
}

/// The last writer wins; no reader ever sees half a file.
#[test]
fn changes_at_once_leave_a_whole_file() {
    let home = TestHome::new();
    in_parallel(40, 8, |number| {
        let _ = home.cmd(["config", "set", "worker.age_ms", &number.to_string()]).ok();
        let _ = home.cmd(["config", "get", "worker.age_ms"]).ok();
    });
    assert_eq!(setting(&home, "worker.age_ms")["origin"], "file");
}

/// What is wrong can be mended by the command for it, and is named by where it was said.
#[test]
fn an_invalid_setting_is_named_and_can_be_taken_out() {
    let home = TestHome::new();
    let write = || {
        std::fs::write(home.join(".indelible/config.toml"), "[worker]\nage_ms = \"x\"\n").expect("it can be written");
    };
    write();
    let refused = home.cmd(["list"]).run().exits(78);
    assert!(refused.stderr.contains("config unset KEY"), "{refused}");
    let _ = home.cmd(["config", "unset", "worker.age_ms"]).ok();
    assert!(home.cmd(["config", "get", "worker.age_ms"]).ok().stdout.starts_with("1000\n"));
    write();
    let _ = home.cmd(["config", "set", "worker.age_ms", "5"]).ok();
    assert!(home.cmd(["config", "get", "worker.age_ms"]).ok().stdout.starts_with("5\n"));
    let refused = home.cmd(["list"]).env("INDELIBLE_WORKER_AGE_MS", "soon").run().exits(78);
    assert!(refused.stderr.contains("INDELIBLE_WORKER_AGE_MS"), "{refused}");
    let refused = home.cmd(["--set", "worker.age_ms=soon", "list"]).run().exits(64);
    assert!(refused.stderr.contains("--set worker.age_ms"), "{refused}");
    // A list of variables that leaves one empty does not set it.
    let got = home.cmd(["config", "get", "worker.age_ms"]).env("INDELIBLE_WORKER_AGE_MS", "").ok();
    assert!(got.stdout.starts_with("5\n"), "{got}");
}
