//! `status` as people and programs read it: counts, sizes, what is said of a worker that is gone, and the fields that are
//! promised.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::hook::fixture;
use crate::support::{KINDS, TestHome, Worker, wait_for};

const DOCS: &str = include_str!("../../docs/status.md");

fn line(home: &TestHome, name: &str) -> String {
    let said = home.cmd(["status"]).ok().stdout;
    let found = said.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
    found.unwrap_or_else(|| panic!("{name}: {said}"))
}

/// The counts by kind, as `[all, today]`.
fn counts(home: &TestHome) -> Vec<(String, [u64; 2])> {
    let status = home.status();
    let by_kind = status["records"]["by_kind"].as_object().expect("it is an object");
    let number = |value: &Value| value.as_u64().expect("a number");
    by_kind.iter().map(|(kind, it)| (kind.clone(), [number(&it["all"]), number(&it["today"])])).collect()
}

#[test]
fn records_are_counted_wherever_they_are() {
    let home = TestHome::new();
    assert_eq!((line(&home, "records"), line(&home, "today")), ("nothing".to_owned(), "nothing".to_owned()));
    let of = |kind: &str| counts(&home).into_iter().find(|(it, _)| it == kind).expect("each kind is there").1;
    let _ = home.record_each("one");
    // In journal, file and row; not in git and search.
    KINDS.iter().for_each(|kind| assert_eq!(of(kind), [1, 1], "{kind}"));
    home.flush();
    KINDS.iter().for_each(|kind| assert_eq!(of(kind), [1, 1], "{kind}, in git and search"));
    // A row that is missing: its record is in the journal alone.
    let second = home.record("failure", "two");
    let _ = home.index().execute("DELETE FROM records WHERE id = ?1", [&second.id]).expect("it can be deleted");
    assert_eq!(of("failure"), [2, 2], "the journal has it");
    let _ = home.recover();
    // Retracted: search lacks the news until it has followed.
    let _ = home.cmd(["retract", second.id.as_str()]).ok();
    assert_eq!(of("failure"), [1, 1]);
    let _ = home.cmd(["record", "heuristic", "--domain", "Rules of thumb", "--rule", "one heuristic"]).ok();
    assert_eq!(of("verdict"), [1, 1], "the rule came again");
    // Of a record that search has in an older form, only one counts.
    let with = counts(&home);
    let _ = home.index().execute("UPDATE records SET key = key", []).expect("it can be changed");
    assert!(home.status()["search"]["behind"].as_u64() > Some(0), "{}", home.status());
    assert_eq!(counts(&home), with);
    // Without search.db they are counted from the rows.
    std::fs::remove_file(home.join("memory/search.db")).expect("it is there");
    assert_eq!(counts(&home), with);
    assert_eq!(line(&home, "records").split(':').next(), Some("6"));
    assert!(line(&home, "today").starts_with("6: 1 failure, 1 success, "), "{}", line(&home, "today"));
}

#[test]
fn what_was_recorded_before_today_is_not_todays() {
    let home = TestHome::new();
    let _ = home.record("failure", "old");
    let _ = home.record("failure", "new");
    home.flush();
    let shift = "UPDATE records SET created_at = '2020-01-01T00:00:00.000Z'
                 WHERE id = (SELECT id FROM records ORDER BY created_at LIMIT 1)";
    let _ = home.index().execute(shift, []).expect("it can be changed");
    std::fs::remove_file(home.join("memory/search.db")).expect("it is there");
    let status = home.status();
    assert_eq!(status["records"]["by_kind"]["failure"], json!({ "all": 2, "today": 1 }), "{status}");
    assert_eq!((&status["records"]["all"], &status["records"]["today"]), (&json!(2), &json!(1)));
}

#[test]
fn a_locked_or_missing_index_leaves_the_counts_out() {
    let home = TestHome::new();
    let _ = home.record("failure", "t");
    home.flush();
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(home.join(&format!("memory/index.db{end}"))).expect("it is there");
    }
    std::fs::write(home.join("memory/index.db"), "nonsense").expect("it can be written");
    let status = home.status();
    assert!(status["records"].is_null() && status["size"]["all_bytes"].is_u64(), "{status}");
    let said = home.cmd(["status"]).ok().stdout;
    assert!(!said.contains("\nrecords") && said.contains(" repair"), "{said}");
    // No lock is in the way, and none is named.
    assert!(!said.contains("locked") && !said.contains("holds the lock"), "{said}");
}

#[test]
fn the_newest_commit_is_shown_whoever_made_it() {
    let home = TestHome::new();
    assert!(line(&home, "history").ends_with("at no commit yet"), "{}", line(&home, "history"));
    let _ = home.record("failure", "by a worker");
    home.flush();
    assert!(line(&home, "history").contains(", by indelible: Record failure"), "{}", line(&home, "history"));
    let tree = home.git(["rev-parse", "main^{tree}"]).ok().stdout.trim().to_owned();
    let commit = home
        .git(["commit-tree", "-p", "main", "-m", "Mine \u{1b}[31m", tree.as_str()])
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .ok();
    let commit = commit.stdout.trim().to_owned();
    let _ = home.git(["update-ref", "refs/heads/main", commit.as_str()]).ok();
    let status = home.status();
    assert_eq!((&status["history"]["author"], &status["history"]["commit"]), (&json!("Ada"), &json!(commit)));
    let shown = line(&home, "history");
    assert!(shown.contains(", by Ada: Mine \u{241b}[31m"), "{shown}");
    assert!(status["size"]["history_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{status}");
}

#[test]
fn nothing_of_a_worker_that_is_gone_is_shown_as_if_it_ran() {
    let home = TestHome::new();
    let mut worker = Worker::quick(&home);
    let process = worker.id();
    let _ = home.record("failure", "t");
    worker.wait_until_committed(&home);
    let has_said =
        |status: &Value| status["published_by"] == "running" && !status["published"]["last_commit"].is_null();
    wait_for("it to say so", || has_said(&home.status()).then_some(()));
    assert!(!line(&home, "committed").contains("process"), "{}", line(&home, "committed"));
    worker.signal(Signal::KILL);
    let _ = worker.wait();
    assert_eq!(home.status()["published_by"], "gone");
    let committed = line(&home, "committed");
    assert!(committed.ends_with(&format!("; by process {process}, which is gone")), "{committed}");
    let metrics = home.cmd(["status", "--metrics"]).ok().stdout;
    assert!(!metrics.contains("indelible_worker_failures_in_a_row"), "{metrics}");
    let _ = home.record("failure", "t");
    home.flush();
    assert_eq!(home.status()["published_by"], "ended");
    assert!(line(&home, "committed").ends_with(", which has ended"), "{}", line(&home, "committed"));
}

/// The paths of all fields of `value`; names that are data are in capitals, as in the documentation.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        let name = match path {
            "records.by_kind" => "KIND",
            "hooks.by_host" => "HOST",
            "hooks.skipped_by" | "hooks.unreadable_by" => "REASON",
            _ => name,
        };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        paths(value, &path, found);
        found.insert(path);
    }
}

/// The names in backquotes in the first column of the tables of the section `heading`.
fn documented(heading: &str) -> BTreeSet<String> {
    let section = DOCS.split(&format!("\n## {heading}\n")).nth(1).expect("there is one");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// A home in which every field has a value.
fn lived_in() -> TestHome {
    let home = TestHome::new();
    let _ = home.record_each("one");
    home.flush();
    let event = |json: &str| home.cmd(["hook", "--host", "claude"]).stdin(json.to_owned()).ok();
    let _ = event("{\"hook_event_name\":\"Stop\",\"session_id\":\"s\",\"last_assistant_message\":\"nothing\"}");
    let _ = event("no event");
    home
}

#[test]
fn every_field_is_documented_and_no_other_is() {
    let home = lived_in();
    let mut found = BTreeSet::new();
    paths(&home.status(), "", &mut found);
    let documented = documented("As data");
    let is_above = |path: &str| documented.iter().any(|it| it.starts_with(&format!("{path}.")));
    let unknown: Vec<_> = found.iter().filter(|path| !documented.contains(*path) && !is_above(path)).collect();
    assert!(unknown.is_empty(), "docs/status.md lacks {unknown:?}");
    let is_known = |path: &str| found.contains(path) || path.chars().all(|c| c.is_lowercase());
    let missing: Vec<_> = documented
        .iter()
        .filter(|it| it.contains(['.', '_']) && !is_known(it))
        .filter(|it| !it.ends_with("bytes`"))
        .collect();
    assert!(missing.is_empty(), "docs/status.md names {missing:?}, which no status has");
}

#[test]
fn metrics_are_open_metrics_and_documented() {
    let home = lived_in();
    let text = home.cmd(["status", "--metrics"]).ok().stdout;
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    let (mut family, mut names) = (String::new(), BTreeSet::new());
    let mut samples = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            assert!(["gauge", "counter", "summary"].contains(&kind), "{line}");
            assert!(names.insert(name.to_owned()), "a family comes twice: {line}");
            family = name.to_owned();
        } else if line.starts_with("# ") {
            let word = line.split(' ').nth(2);
            assert_eq!(word, Some(family.as_str()), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
            let name = sample.split('{').next().expect("a name");
            let is_of = ["", "_total", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}"));
            assert!(is_of, "{line} is no sample of {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(sample.contains(&format!("{{home=\"{}\"", home.path().display())), "{line}");
            assert!(samples.insert(sample.to_owned()), "a sample comes twice: {line}");
            names.insert(name.to_owned());
        }
    }
    let of = |sample: &str| text.lines().find_map(|line| line.split_once(sample)).map(|(_, value)| value.trim());
    let records = format!("indelible_records{{home=\"{}\",kind=\"failure\"}}", home.path().display());
    assert_eq!(of(&records), Some("1"), "{text}");
    let documented = documented("As metrics");
    let samples = samples.iter().map(|it| it.split('{').next().unwrap_or_default().to_owned());
    // Of a summary.
    let samples = samples.filter(|it| !it.ends_with("_sum") && !it.ends_with("_count")).collect::<BTreeSet<_>>();
    let running = BTreeSet::from(["indelible_worker_failures_in_a_row".to_owned()]);
    assert_eq!(samples.union(&running).cloned().collect::<BTreeSet<_>>(), documented);
    let _ = home.cmd(["status", "--metrics", "--json"]).run().exits(64);
}

#[test]
fn a_worker_that_hangs_is_named() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    wait_for("it to be idle", || (home.status()["published"]["state"] == "idle").then_some(()));
    worker.signal(Signal::STOP);
    let _ = home.record("failure", "beside a worker that does nothing");
    let _ = home.cmd(["status", "--check"]).ok();
    // As if both had been four years ago.
    home.age_last_entry();
    let path = home.join(".indelible/status.json");
    let mut published: Value = serde_json::from_slice(&std::fs::read(&path).expect("it is there")).expect("it is JSON");
    let at = published["at"].as_str().expect("a time");
    let year: u32 = at[..4].parse().expect("a year");
    published["at"] = json!(format!("{}{}", year - 4, &at[4..]));
    std::fs::write(&path, published.to_string()).expect("it can be written");
    let checked = home.cmd(["status", "--check", "--json"]).run().exits(1);
    let said = checked.json()["needs_attention"].to_string();
    let process = worker.id();
    assert!(said.contains(&format!("the worker, process {process}, does nothing")), "{said}");
    let told = home.cmd(["hook"]).stdin(fixture("claude/SessionStart")).ok().json();
    let told = told["hookSpecificOutput"]["additionalContext"].as_str().expect("a text");
    assert!(told.contains("does nothing"), "{told}");
    worker.signal(Signal::CONT);
    worker.wait_until_committed(&home);
    let _ = home.cmd(["status", "--check"]).ok();
}
