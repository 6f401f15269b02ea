//! `record outcome` as its users meet it: the experiment ends in every store at once, once, and by the journal; it can be corrected,
//! taken back and erased; and a crash leaves it ended or not.

use std::fs;

use indelible::model::{Experiment, ExperimentResult, Record};
use serde_json::Value;

use crate::amend::traces;
use crate::changes::{Subject, assert_agree, seen};
use crate::support::{Receipt, TestHome, Worker, framework};

fn begun(home: &TestHome, name: &str) -> (Receipt, Subject) {
    let receipt = home.record("experiment", name);
    home.flush();
    let subject = Subject::of(home, &receipt);
    (receipt, subject)
}

/// The status, outcome and time of the end in the row of the experiment `id`.
fn row(home: &TestHome, id: &str) -> (String, Option<String>, Option<String>) {
    let sql =
        "SELECT status, outcome, completed_at FROM experiments e JOIN records r ON r.row_id = e.id WHERE r.id = ?1";
    home.index().query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("there is a row")
}

fn outcome_path(subject: &Subject) -> String {
    subject.path.replace("hypothesis.md", "outcome.md")
}

/// The bytes of `outcome.md`, which are the same on disk and in git.
#[track_caller]
fn said(home: &TestHome, subject: &Subject) -> Option<String> {
    let path = outcome_path(subject);
    let on_disk = fs::read_to_string(home.join(&path)).ok();
    let shown = home.git(["show", &format!("{}:{path}", home.history())]).run();
    let in_tree = (shown.code() == Some(0)).then_some(shown.stdout);
    assert_eq!(on_disk, in_tree, "{path} on disk is not the one in git");
    on_disk
}

fn experiment(home: &TestHome, subject: &Subject) -> Experiment {
    let Some(Record::Experiment(it)) = seen(home, subject).record else { panic!("it is an experiment") };
    it
}

fn names(home: &TestHome, state: &str) -> Vec<String> {
    let answer = home.cmd(["list", "experiments", "--json", "--state", state]).ok().json();
    let records = answer["records"].as_array().expect("a list").iter();
    records.map(|it| it["title"].as_str().expect("a title").to_owned()).collect()
}

#[test]
fn an_experiment_ends_in_every_store_when_the_command_returns() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "smaller batches");
    let (_, other) = begun(&home, "greater batches");
    let line =
        ["record", "outcome", &receipt.id[28..], "--json", "--result", "Failed", "--summary", "no\nchange at all"];
    let answer = home.cmd(line).ok().json();
    let expect = [
        ("id", Value::from(receipt.id.as_str())),
        ("kind", "experiment".into()),
        ("path", receipt.path.as_str().into()),
        ("duplicate", false.into()),
        ("result", "failed".into()),
        ("applied", true.into()),
    ];
    for (name, value) in expect {
        assert_eq!(answer[name], value, "{answer}");
    }
    let it = experiment(&home, &subject);
    assert_eq!((it.result, it.outcome.as_str()), (Some(ExperimentResult::Failed), "no\nchange at all"));
    let text = said(&home, &subject).expect("there is one");
    assert!(text.contains("# Outcome: failed\n\nno\nchange at all\n") && text.contains(&receipt.id), "{text}");
    let (status, outcome, completed) = row(&home, &receipt.id);
    assert_eq!((status.as_str(), outcome.as_deref()), ("failed", Some("no\nchange at all")));
    let day = jiff::Timestamp::now().strftime("%Y-%m-").to_string();
    assert!(completed.as_ref().is_some_and(|at| at.len() == 19 && at.starts_with(&day)), "{completed:?}");
    let log = home.git(["log", "-1", "--format=%B", "--", &outcome_path(&subject)]).ok().stdout;
    assert!(log.contains("Amend experiment: ") && log.contains("changed: outcome, result"), "{log}");
    // The other one is as it was.
    assert_eq!((experiment(&home, &other).result, said(&home, &other)), (None, None));
    let found = home.cmd(["search", "--json", "change", "at", "all"]).ok().json();
    assert_eq!(found["hits"][0]["id"], receipt.id.as_str(), "what came of it is found: {found}");
    let shown = home.cmd(["show", "--json", &receipt.id]).ok().json();
    assert_eq!((&shown["records"][0]["state"], &shown["records"][0]["result"]), (&"failed".into(), &"failed".into()));
    assert_agree(&home);
    home.recover_fully();
}

#[test]
fn lists_know_which_experiments_have_ended_even_before_that_is_applied() {
    let home = TestHome::new();
    let all: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| begun(&home, name)).collect();
    let title = |at: usize| all[at].1.request.record.headline().to_owned();
    for (at, result) in [(0, "success"), (1, "failed"), (2, "inconclusive")] {
        let _ = home.cmd(["record", "outcome", &all[at].0.id, "--result", result]).ok();
    }
    for (at, state) in [(0, "success"), (1, "failed"), (2, "inconclusive"), (3, "active")] {
        assert_eq!(names(&home, state), [title(at)], "{state}");
    }
    assert_eq!(names(&home, "failed,inconclusive"), [title(2), title(1)]);
    let opened = indelible::home::Home::open(home.path()).expect("it is a home");
    let lock = opened.exclusive("a test").expect("a lock").expect("it is free");
    let line = ["record", "outcome", &all[3].0.id, "--result", "failed", "--set", "record.apply_wait_ms=1"];
    let answer = home.cmd(line).ok();
    assert!(answer.stdout.contains("ended: ") && answer.stderr.contains("it is kept"), "{answer}");
    assert_eq!(names(&home, "failed"), [title(3), title(1)]);
    assert_eq!(names(&home, "active"), Vec::<String>::new());
    drop(lock);
    home.flush();
    assert_eq!(names(&home, "failed"), [title(3), title(1)]);
    let unknown = home.cmd(["list", "experiments", "--state", "inconclusiv"]).run().exits(65);
    assert!(unknown.stderr.contains("did you mean inconclusive?"), "{unknown}");
}

#[test]
fn repeated_it_changes_nothing_and_another_result_corrects_the_first() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "corrected");
    let end = |more: &[&str]| home.cmd(["record", "outcome", &receipt.id].iter().chain(more)).ok();
    let _ = end(&["--result", "success", "--summary", "it held"]);
    let (first, before) = (row(&home, &receipt.id), traces(&home));
    for again in [&["--result", "success"][..], &["--result", "SUCCESS", "--summary", "it held"]] {
        let answer = end(again);
        assert!(answer.stdout.starts_with("unchanged: "), "{answer}");
        let json = end(&[again, &["--json"]].concat()).json();
        assert_eq!(json["duplicate"], true, "{json}");
    }
    assert_eq!(traces(&home), before, "a repeat leaves no trace");
    let answer = end(&["--result", "failed"]);
    assert!(answer.stdout.contains("was success, and is failed now") && answer.stdout.contains("stays"), "{answer}");
    assert_eq!(row(&home, &receipt.id).1, first.1, "what was said stays");
    let answer = end(&["--result", "failed", "--summary", "it did not hold"]);
    assert!(answer.stdout.starts_with("amended: "), "{answer}");
    assert!(said(&home, &subject).expect("there is one").contains("it did not hold"));
    // Opened again, it is as it was before it ended.
    let _ = home.cmd(["amend", &receipt.id, "--result", "", "--outcome", ""]).ok();
    assert_eq!(row(&home, &receipt.id), ("active".into(), None, None));
    assert_eq!((said(&home, &subject), names(&home, "active").len()), (None, 1));
    assert_agree(&home);
    home.recover_fully();
    assert_eq!(said(&home, &subject), None);
}

#[test]
fn what_is_no_experiment_or_not_there_is_refused_and_open_ones_are_named() {
    let home = TestHome::new();
    let (open, _) = begun(&home, "under way");
    let (gone, _) = begun(&home, "gone");
    let _ = home.cmd(["retract", &gone.id, "--because", "a mistake"]).ok();
    let rule = home.record("heuristic", "a rule");
    home.flush();
    let before = traces(&home);
    let unknown = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa";
    for (id, result, says, names_open) in [
        (rule.id.as_str(), "failed", "is no experiment: heuristic", true),
        ("zzzz", "failed", "of no record here", true),
        (unknown, "failed", "is not known here", false),
        (&gone.id, "failed", "was retracted: a mistake", false),
        (&open.id, "perhaps", "result: one of success, failed, inconclusive", false),
    ] {
        let refused = home.cmd(["record", "outcome", id, "--result", result]).run().exits(65);
        assert!(refused.stderr.contains(says), "{id}: {refused}");
        assert_eq!(refused.stderr.contains(&open.id), names_open, "{id}: {refused}");
        assert_eq!(traces(&home), before, "{id}");
    }
    let _ = home.cmd(["record", "outcome", &open.id]).run().exits(64);
    let help = home.cmd(["record", "outcome", "--help"]).ok().stdout;
    assert!(help.contains("End an experiment") && help.contains("exit 65"), "{help}");
    let long = "x".repeat((1 << 20) + 1);
    let refused = home.cmd(["record", "outcome", &open.id, "--result", "failed", "--summary", "-"]).stdin(long);
    assert!(refused.run().exits(65).stderr.contains("at most 1048576 bytes"));
    assert_eq!(traces(&home), before);
}

#[test]
fn an_ended_experiment_is_retracted_restored_and_erased_with_its_outcome() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "taken back");
    let secret = "Hunter2 zebra came of it";
    let _ = home.cmd(["record", "outcome", &receipt.id, "--result", "success", "--summary", secret]).ok();
    let text = said(&home, &subject);
    let before = row(&home, &receipt.id);
    let _ = home.cmd(["retract", &receipt.id]).ok();
    assert_eq!((said(&home, &subject), names(&home, "success").len()), (None, 0));
    assert!(!home.join(&subject.path).exists());
    assert_agree(&home);
    home.recover_fully();
    let _ = home.cmd(["restore", &receipt.id]).ok();
    assert_eq!((said(&home, &subject), row(&home, &receipt.id)), (text, before));
    assert_agree(&home);
    let _ = home.cmd(["erase", &receipt.id, "--yes"]).ok();
    crate::erase::assert_nowhere(&home, &["hunter2", "zebra", "taken back", "taken-back"]);
    assert_agree(&home);
}

#[test]
fn every_store_brings_the_end_back() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "brought back");
    let _ = home.cmd(["record", "outcome", &receipt.id, "--result", "inconclusive", "--summary", "who knows"]).ok();
    let (text, before) = (said(&home, &subject), row(&home, &receipt.id));
    assert!(text.is_some());
    let whole = |what: &str| {
        let _ = home.cmd(["recover"]).ok();
        assert_eq!((said(&home, &subject), row(&home, &receipt.id)), (text.clone(), before.clone()), "{what}");
        assert_agree(&home);
    };
    fs::remove_file(home.join(&outcome_path(&subject))).expect("it is there");
    let listed = home.verify().exits(1);
    assert!(listed.stdout.contains("outcome.md"), "{listed}");
    whole("its file is gone");
    fs::remove_dir_all(home.join(&receipt.path)).expect("it is there");
    whole("its folder is gone");
    for name in ["index.db", "index.db-wal", "index.db-shm", "search.db"] {
        let _ = fs::remove_file(home.join("memory").join(name));
    }
    whole("the index is gone");
    fs::remove_dir_all(home.join(".git")).expect("it is there");
    let _ = home.cmd(["init"]).ok();
    whole("the history is gone");
    fs::remove_dir_all(home.join(".git")).expect("it is there");
    fs::remove_dir_all(home.join(&receipt.path)).expect("it is there");
    let _ = home.cmd(["init"]).ok();
    let _ = home.cmd(["recover"]).run();
    assert_eq!(
        (said(&home, &subject), row(&home, &receipt.id)),
        (text.clone(), before.clone()),
        "only the row is left"
    );
}

#[test]
fn an_end_survives_a_crash_or_did_not_happen() {
    for (point, happened) in [
        ("AppendBeforeWrite", false),
        ("AppendAfterSync", true),
        ("ReplaceBeforeRename", true),
        ("PlaceBeforeRename", true),
        ("RowBeforeCommit", true),
        ("CommitBeforePack", true),
        ("CommitBeforeBranch", true),
        ("CommitAfterBranch", true),
    ] {
        let home = TestHome::new();
        let (receipt, subject) = begun(&home, "interrupted");
        let line = ["record", "outcome", &receipt.id, "--result", "failed", "--summary", "killed"];
        let _ = home.cmd(line).env("INDELIBLE_CRASH_AT", point).run().aborted();
        home.recover_fully();
        let it = experiment(&home, &subject);
        assert_eq!(it.result.is_some(), happened, "{point}");
        assert_eq!(said(&home, &subject).is_some(), happened, "{point}");
        assert_eq!(row(&home, &receipt.id).2.is_some(), happened, "{point}");
        assert_agree(&home);
    }
}

#[test]
fn an_owners_own_file_of_the_name_is_set_aside_and_an_edit_of_the_outcome_stays() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "by hand");
    let path = home.join(&outcome_path(&subject));
    fs::write(&path, "my notes\n").expect("it can be written");
    let _ = home.cmd(["retract", &receipt.id]).ok();
    assert_eq!(fs::read_to_string(&path).expect("it stays"), "my notes\n");
    let _ = home.cmd(["restore", &receipt.id]).ok();
    let _ = home.cmd(["record", "outcome", &receipt.id, "--result", "failed"]).ok();
    assert!(said(&home, &subject).expect("ours").contains("Outcome: failed"));
    let aside = home.status()["quarantine"]["set_aside"].to_string();
    assert!(aside.contains("outcome.md"), "the owner's notes are kept: {aside}");
    let edited = fs::read_to_string(&path).expect("it is there") + "\nand more\n";
    fs::write(&path, &edited).expect("it can be edited");
    let _ = home.cmd(["record", "outcome", &receipt.id, "--result", "failed", "--summary", "again"]).ok();
    assert_eq!(fs::read_to_string(&path).expect("it is there"), edited, "an edit by hand is left as it is");
    assert_eq!(experiment(&home, &subject).outcome, "again");
}

#[test]
fn a_worker_applies_it_and_a_hand_edit_of_the_page_ends_it_too() {
    let home = TestHome::new();
    let (receipt, subject) = begun(&home, "in the page");
    let worker = Worker::quick(&home);
    let page = home.join(&subject.path);
    let text = fs::read_to_string(&page).expect("it is there");
    fs::write(&page, text.replacen("name: ", "result: failed\nname: ", 1)).expect("it can be edited");
    let _ = home.cmd(["amend", "--from-files", &receipt.id]).ok();
    assert_eq!(row(&home, &receipt.id).0, "failed");
    assert!(said(&home, &subject).expect("there is one").contains("Outcome: failed"));
    let _ = worker.stop(rustix::process::Signal::TERM);
    assert_agree(&home);
}

#[test]
fn an_adopted_homes_experiment_ends_in_the_frameworks_columns() {
    let home = framework(crate::support::Tables::Usual, crate::support::Git::Clean, 3);
    let _ = home.cmd(["adopt", "--yes"]).ok();
    let (receipt, subject) = begun(&home, "in the framework's table");
    let _ = home.cmd(["record", "outcome", &receipt.id, "--result", "success", "--summary", "it held\nand more"]).ok();
    let (status, outcome, _) = row(&home, &receipt.id);
    assert_eq!((status.as_str(), outcome.as_deref()), ("success", Some("it held\nand more")));
    assert!(said(&home, &subject).is_some());
    let open = home.cmd(["query", "--experiments"]).ok();
    assert!(!open.stdout.contains("in the framework's table"), "{open}");
    let _ = home.verify().exits(0);
}
