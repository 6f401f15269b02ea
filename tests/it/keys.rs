//! A key names one record: who comes later is told which, and in what it differs, wherever the first one is by then.

use serde_json::{Value, json};

use crate::support::{Outcome, TestHome, in_parallel};

fn keyed(home: &TestHome, title: &str, domain: &str) -> Outcome {
    home.cmd(["record", "failure", "--json", "--key", "the key", "--title", title, "--domain", domain]).ok()
}

#[track_caller]
fn assert_repeat(repeat: &Outcome, first: &Value, differs: &Value) {
    let answer = repeat.json();
    for name in ["id", "path", "created_at"] {
        assert_eq!(answer[name], first[name], "{name}: {repeat}");
    }
    assert_eq!((&answer["duplicate"], &answer["differs"]), (&true.into(), differs), "{repeat}");
    assert_eq!(repeat.stderr.contains(" amend "), differs.is_array(), "{repeat}");
}

#[test]
fn a_known_key_with_other_content_names_the_fields_and_the_record_that_there_is() {
    let home = TestHome::new();
    let first = keyed(&home, "the first", "ci").json();
    // The first is in the journal alone, then in a file and a row.
    for is_in_index in [false, true] {
        let journal = home.journal_bytes();
        assert_repeat(&keyed(&home, "the first", "ci"), &first, &Value::Null);
        let repeat = keyed(&home, "the second", "elsewhere");
        assert_repeat(&repeat, &first, &json!(["title", "domain"]));
        assert!(repeat.stderr.contains("title, domain"), "{repeat}");
        assert_eq!(home.journal_bytes() == journal, is_in_index, "only what the index has is durable without a sync");
        home.flush();
        assert!(home.join(first["path"].as_str().expect("a path")).exists());
    }
    let other = home.cmd(["record", "success", "--json", "--key", "the key", "--title", "x", "--domain", "d"]).ok();
    assert_eq!((&other.json()["kind"], &other.json()["differs"]), (&"failure".into(), &json!(["kind"])), "{other}");
    let id = first["id"].as_str().expect("an id");
    let _ = home.cmd(["amend", id, "--title", "amended"]).ok();
    assert_repeat(&keyed(&home, "the first", "ci"), &first, &Value::Null);
    home.recover_fully();
}

#[test]
fn the_lines_of_a_batch_are_told_so_too() {
    let home = TestHome::new();
    let first = keyed(&home, "the first", "ci").json();
    let line =
        |key: &str, title: &str| json!({"kind": "failure", "title": title, "domain": "ci", "key": key}).to_string();
    let lines = [line("the key", "another"), line("new", "one"), line("new", "two"), line("new", "one")].join("\n");
    let answers = home.cmd(["record", "batch", "--json"]).stdin(lines).ok();
    let answers: Vec<Value> = answers
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|it: &Value| it["id"].is_string())
        .collect();
    assert_eq!((&answers[0]["path"], &answers[0]["differs"]), (&first["path"], &json!(["title"])));
    assert_eq!(answers[1]["duplicate"], false);
    assert_eq!((&answers[2]["path"], &answers[2]["differs"]), (&answers[1]["path"], &json!(["title"])));
    assert_eq!((&answers[3]["duplicate"], &answers[3]["differs"]), (&true.into(), &Value::Null));
    home.recover_fully();
}

#[test]
fn of_many_with_one_key_at_once_each_is_told_a_path_that_comes() {
    let home = TestHome::new();
    let answers = std::sync::Mutex::new(Vec::new());
    in_parallel(8, 8, |n| {
        let answer = keyed(&home, &format!("number {n}"), "ci").json();
        answers.lock().expect("no test panicked").push(answer);
    });
    let answers = answers.into_inner().expect("no test panicked");
    home.flush();
    let told: std::collections::BTreeSet<&str> = answers.iter().filter_map(|answer| answer["path"].as_str()).collect();
    assert_eq!(told.len(), 1, "{answers:?}");
    assert!(told.iter().all(|path| home.join(path).exists()), "{told:?}");
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == false).count(), 1, "{answers:?}");
}
