//! `amend` as its users meet it: every store follows, at the same path; what is refused changes nothing; and a crash leaves the
//! old record or the new one.

use std::fs;

use indelible::home::Home;
use serde_json::Value;

use crate::changes::{Subject, assert_agree, put, seen};
use crate::support::{Receipt, TestHome, Worker, wait_for};

/// The flag of the field that names a record of `kind`.
fn flag_of(kind: &str) -> &'static str {
    match kind {
        "heuristic" => "--rule",
        "experiment" => "--name",
        _ => "--title",
    }
}

/// What readers see of the record `id`.
fn shown(home: &TestHome, id: &str) -> Value {
    home.cmd(["show", "--json", id]).ok().json()["records"][0].clone()
}

/// All bytes of the journal, and the tip of the history: whatever changes anything changes one of them.
pub fn traces(home: &TestHome) -> (usize, String) {
    (home.journal_bytes(), home.git(["rev-parse", home.branch()]).ok().stdout)
}

pub fn titled(home: &TestHome, title: &str) -> (Receipt, Subject) {
    let receipt = home.record("failure", title);
    home.flush();
    let subject = Subject::of(home, &receipt);
    (receipt, subject)
}

#[test]
fn an_amendment_is_in_every_store_when_the_command_returns_and_git_says_what_and_why() {
    let home = TestHome::new();
    for receipt in home.record_each("before") {
        let line = ["amend", "--json", &receipt.id, flag_of(&receipt.kind), "after", "--reason", "it was\nwrong"];
        let answer = home.cmd(line).ok().json();
        assert_eq!((&answer["changed"], &answer["applied"]), (&true.into(), &true.into()), "{answer}");
        assert_eq!(answer["fields"].as_array().map(Vec::len), Some(1), "{answer}");
        assert_eq!(answer["path"], receipt.path.as_str(), "the path stays");
        let subject = Subject::of(&home, &receipt);
        let record = seen(&home, &subject).record.expect("it is there");
        assert_eq!(record.headline(), "after");
        let log = home.git(["log", "--format=%B", "--", &subject.path]).ok().stdout;
        let name = flag_of(&receipt.kind).trim_start_matches('-');
        assert!(log.contains(&format!("changed: {name}\n  because: it was␊wrong\n")), "{log}");
        assert_eq!(
            log.matches("Indelible-Journal").count(),
            2,
            "a commit that adds the file, and one that changes it: {log}"
        );
        let shown = shown(&home, &receipt.id);
        assert!(shown["updated_at"].as_str() > shown["created_at"].as_str(), "{shown}");
    }
    let found = home.cmd(["search", "--json", "after"]).ok().json();
    assert_eq!(found["hits"].as_array().map(Vec::len), Some(5), "search follows: {found}");
    let rules = fs::read_to_string(home.join("memory/heuristics/rules-of-thumb/README.md")).expect("it is rendered");
    assert!(rules.contains("after") && !rules.contains("before heuristic"), "{rules}");
    assert_agree(&home);
}

#[test]
fn what_changes_nothing_says_so_and_leaves_no_trace() {
    let home = TestHome::new();
    let (receipt, _) = titled(&home, "as it is");
    let before = traces(&home);
    let answer = home.cmd(["amend", "--json", &receipt.id, "--title", "as it is"]).ok().json();
    assert_eq!((&answer["changed"], &answer["fields"]), (&false.into(), &Value::Array(Vec::new())), "{answer}");
    let answer = home.cmd(["amend", &receipt.id, "--title", "as it is"]).ok();
    assert!(answer.stdout.contains("unchanged") && answer.stdout.contains("says that already"), "{answer}");
    let dry = home.cmd(["amend", &receipt.id, "--title", "another", "--dry-run"]).ok();
    assert!(dry.stdout.contains("would be amended") && dry.stdout.contains("as it is -> another"), "{dry}");
    // Where the words of a title stay is said, since they may be a secret.
    assert!(dry.stderr.contains(&format!("erase {}` takes them out", &receipt.id[28..])), "{dry}");
    let dry = home.cmd(["amend", &receipt.id, "--domain", "another", "--dry-run"]).ok();
    assert!(!dry.stderr.contains("takes them out"), "{dry}");
    let empty = home.cmd(["amend", "", "--title", "x"]).run().exits(65);
    assert!(empty.stderr.contains("an empty text"), "{empty}");
    assert_eq!(traces(&home), before);
}

#[test]
fn what_is_refused_changes_nothing_and_several_are_all_or_none() {
    let home = TestHome::new();
    let (one, two) = (titled(&home, "one"), titled(&home, "two"));
    let gone = titled(&home, "gone");
    put(&home, &[gone.1.retract(2)]);
    let rule = home.record("heuristic", "a rule");
    let verdict = home.cmd(["validate", "--json", &rule.id]).ok().json();
    let verdict = verdict["id"].as_str().expect("an id").to_owned();
    home.flush();
    let before = traces(&home);
    let unknown = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa";
    let long = "x".repeat(501);
    for (args, says) in [
        (&[unknown, "--title", "x"][..], "is not known here"),
        (&["no/such.md", "--title", "x"], "of no record here"),
        (&[&gone.0.id, "--title", "x"], "was retracted: it was wrong"),
        (&[&one.0.id, "--rule", "x"], "has no such field"),
        (&[&one.0.id, "--title", ""], "title: must not be empty"),
        (&[&one.0.id, "--title", &long], "at most 500 characters"),
        (&[&one.0.id, "--severity", "9"], "severity"),
        (&[&verdict, "--domain", "x"], "is a verdict"),
        (&[&one.0.id, &two.0.id, &gone.0.id, "--title", "x"], "was retracted"),
        (&[&one.0.id, unknown, &gone.0.id, "--title", "x"], "is not known here"),
    ] {
        let refused = home.cmd(["amend"].iter().chain(args)).run().exits(65);
        assert!(refused.stderr.contains(says), "{args:?}: {refused}");
        assert_eq!(traces(&home), before, "{args:?}");
    }
    let nothing = home.cmd(["amend", &one.0.id]).run().exits(64);
    assert!(nothing.stderr.contains("no field"), "{nothing}");
    // All of them.
    let line = ["amend", "--json", &one.0.id, &two.0.id, &one.0.id[28..], "--domain", "elsewhere"];
    let answers = home.cmd(line).ok();
    assert_eq!(answers.stdout.lines().count(), 2, "each once: {answers}");
    for subject in [&one.1, &two.1] {
        let record = seen(&home, subject).record.expect("it is there");
        assert_eq!(record.text(indelible::model::Field::Domain).as_deref(), Some("elsewhere"));
    }
    assert_agree(&home);
}

#[test]
fn an_ambiguous_end_of_an_id_names_the_candidates() {
    let home = TestHome::new();
    let receipts: Vec<Receipt> = (0..17).map(|n| home.record("failure", &format!("number {n}"))).collect();
    let last = |receipt: &Receipt| receipt.id[35..].to_owned();
    let (first, other) = receipts
        .iter()
        .enumerate()
        .find_map(|(at, one)| Some((one, receipts[at + 1..].iter().find(|it| last(it) == last(one))?)))
        .expect("there are 16 digits");
    home.flush();
    let before = traces(&home);
    let refused = home.cmd(["amend", &last(first), "--title", "x"]).run().exits(65);
    for receipt in [first, other] {
        assert!(refused.stderr.contains(&receipt.id), "{refused}");
    }
    assert_eq!(traces(&home), before);
}

#[test]
fn a_worker_applies_it_and_without_one_in_reach_it_is_kept_and_seen() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the first");
    let worker = Worker::quick(&home);
    let answer = home.cmd(["amend", "--json", &receipt.id, "--title", "the second"]).ok().json();
    assert_eq!(answer["applied"], true, "{answer}");
    assert_eq!(seen(&home, &subject).record.expect("it is there").headline(), "the second");
    let _ = worker.stop(rustix::process::Signal::TERM);
    let opened = Home::open(home.path()).expect("it is a home");
    let lock = opened.exclusive("a test").expect("a lock").expect("it is free");
    let quick = ["--set", "record.apply_wait_ms=1"];
    let line = ["amend", "--json", &receipt.id, "--title", "the third"];
    let answer = home.cmd(line.iter().chain(&quick)).ok().json();
    assert_eq!((&answer["changed"], &answer["applied"]), (&true.into(), &false.into()), "{answer}");
    assert_eq!(shown(&home, &receipt.id)["title"], "the third", "readers see it");
    // Based on what is pending.
    let line = ["amend", &receipt.id, "--title", "the fourth"];
    let answer = home.cmd(line.iter().chain(&quick)).ok();
    assert!(answer.stdout.contains("the third -> the fourth") && answer.stderr.contains("it is kept"), "{answer}");
    drop(lock);
    home.flush();
    assert_eq!(seen(&home, &subject).record.expect("it is there").headline(), "the fourth");
    assert_agree(&home);
}

#[test]
fn two_who_amend_at_once_both_have_their_fields() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "contended");
    let _worker = Worker::quick(&home);
    let one = home.cmd(["amend", &receipt.id, "--title", "by the one"]).spawn();
    let other = home.cmd(["amend", &receipt.id, "--domain", "by the other"]).spawn();
    for amending in [one, other] {
        let _ = amending.wait().exits(0);
    }
    wait_for("both are applied", || (home.status()["pending"]["records"] == 0).then_some(()));
    home.flush();
    let record = seen(&home, &subject).record.expect("it is there");
    assert_eq!(record.headline(), "by the one");
    assert_eq!(record.text(indelible::model::Field::Domain).as_deref(), Some("by the other"));
}

#[test]
fn an_amendment_survives_a_crash_or_did_not_happen() {
    for (point, happened) in [
        ("AppendBeforeWrite", false),
        ("AppendBeforeSync", true),
        ("AppendAfterSync", true),
        ("ReplaceBeforeRename", true),
        ("RowBeforeCommit", true),
        ("CommitBeforePack", true),
        ("CommitBeforeBranch", true),
        ("CommitAfterBranch", true),
    ] {
        let home = TestHome::new();
        let (one, two) = (titled(&home, "one"), titled(&home, "two"));
        let line = ["amend", &one.0.id, &two.0.id, "--domain", "amended"];
        let _ = home.cmd(line).env("INDELIBLE_CRASH_AT", point).run().aborted();
        home.recover_fully();
        for subject in [&one.1, &two.1] {
            let record = seen(&home, subject).record.expect("it is there");
            let domain = record.text(indelible::model::Field::Domain).map(|domain| domain.into_owned());
            assert_eq!(domain.as_deref() == Some("amended"), happened, "{point}: {domain:?}");
        }
        assert_agree(&home);
    }
}

/// The process dies after a part of the write reached the disk: which of several happened, nothing has said.
#[test]
fn of_several_that_a_short_write_cut_each_is_whole_or_did_not_happen() {
    let home = TestHome::new();
    let (one, two) = (titled(&home, "one"), titled(&home, "two"));
    let line = ["amend", &one.0.id, &two.0.id, "--domain", "amended"];
    let _ = home.cmd(line).env("INDELIBLE_CRASH_AT", "AppendShortWrite").run().aborted();
    home.recover_fully();
    let is_amended = [&one.1, &two.1].map(|subject| {
        let record = seen(&home, subject).record.expect("it is there");
        record.text(indelible::model::Field::Domain).is_some_and(|domain| domain == "amended")
    });
    assert!(!is_amended[1], "the last one was cut");
    assert_agree(&home);
}

#[test]
fn a_secret_in_a_new_text_is_replaced_where_that_is_asked_for() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "a title");
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let line = ["amend", "--redact", &receipt.id, "--title", &format!("key {secret}"), "--because", &secret];
    let _ = home.cmd(line).ok();
    let record = seen(&home, &subject).record.expect("it is there");
    assert_eq!(record.headline(), "key [redacted:github-token]");
    let log = home.git(["log", "--format=%B"]).ok().stdout;
    assert!(!log.contains(&secret), "{log}");
}

/// A file in the place of a record's page, made of the page.
type Spoilt = (&'static str, fn(Vec<u8>) -> Vec<u8>);

#[test]
fn a_file_that_an_amendment_leaves_as_it_is_is_named_and_counts_as_not_applied() {
    let home = TestHome::new();
    let spoilt: [Spoilt; 4] = [
        ("not UTF-8", |mut bytes| {
            bytes.push(0xff);
            bytes
        }),
        ("front matter", |bytes| String::from_utf8(bytes).expect("UTF-8").replacen("kind: ", "kind: [", 1).into()),
        ("too large", |mut bytes| {
            bytes.resize(indelible::model::limits::FILE_BYTES_MAX + 1, b'x');
            bytes
        }),
        ("edited by hand", |mut bytes| {
            bytes.extend(b"and this\n");
            bytes
        }),
    ];
    for (what, spoil) in spoilt {
        let (receipt, _) = titled(&home, "before");
        let path = home.join(&receipt.path);
        let bytes = spoil(fs::read(&path).expect("it is there"));
        fs::write(&path, &bytes).expect("writable");
        let said = home.cmd(["amend", &receipt.id, "--title", "after"]).ok();
        assert!(said.stdout.starts_with("amended: "), "{said}");
        let named = said.stderr.contains(&receipt.path) && said.stderr.contains("left as it is");
        assert!(named && said.stderr.contains(what), "{what}: {said}");
        let answer = home.cmd(["amend", "--json", &receipt.id, "--title", "again"]).ok().json();
        assert_eq!((&answer["changed"], &answer["applied"]), (&true.into(), &false.into()), "{what}: {answer}");
        assert!(answer["obstacle"].as_str().is_some_and(|why| why.contains(what)), "{what}: {answer}");
        assert_eq!(fs::read(&path).expect("it is there"), bytes, "{what}");
        assert_eq!(shown(&home, &receipt.id)["title"], "again", "{what}: the row has it");
        fs::remove_file(&path).expect("it is there");
        let _ = home.cmd(["recover"]).ok();
        assert!(fs::read_to_string(&path).expect("it is back").contains("again"), "{what}");
    }
    assert_agree(&home);
}

#[test]
fn an_amendment_that_something_is_in_the_way_of_is_not_called_done() {
    let home = TestHome::new();
    type Block = fn(&std::path::Path);
    let blocks: [(&str, Block); 2] = [
        ("link", |path| std::os::unix::fs::symlink("/dev/null", path).expect("a link")),
        ("folder", |path| fs::create_dir(path).expect("a folder")),
    ];
    for (what, block) in blocks {
        let (receipt, subject) = titled(&home, "before");
        let path = home.join(&receipt.path);
        fs::remove_file(&path).expect("it is there");
        block(&path);
        let said = home.cmd(["amend", &receipt.id, "--title", "after"]).run().exits(1);
        assert!(said.stdout.starts_with("not amended: "), "{what}: {said}");
        assert!(said.stderr.contains("waits in quarantine") && said.stderr.contains(&receipt.id), "{what}: {said}");
        let again = home.cmd(["amend", "--json", &receipt.id, "--title", "again"]).run().exits(1);
        let answer: Value = serde_json::from_str(again.stdout.lines().next().expect("a line")).expect("JSON");
        assert_eq!((&answer["changed"], &answer["applied"]), (&false.into(), &false.into()), "{what}: {answer}");
        assert_eq!(shown(&home, &receipt.id)["title"], "before", "{what}");
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).expect("it is there");
        let _ = home.cmd(["recover"]).ok();
        assert_eq!(seen(&home, &subject).record.expect("it is there").headline(), "again", "{what}");
    }
    assert_agree(&home);
}

#[test]
fn a_record_whose_file_was_moved_is_amended_and_retracted_where_it_is() {
    let home = TestHome::new();
    let (receipt, _) = titled(&home, "moved");
    let (own, place) = (home.join(&receipt.path), home.join("memory/failures/mine/two.md"));
    fs::create_dir(place.parent().expect("a folder")).expect("it can be made");
    fs::rename(&own, &place).expect("it can be moved");
    let _ = home.verify().exits(0);
    let _ = home.cmd(["amend", &receipt.id, "--title", "amended"]).ok();
    assert!(!own.exists(), "there is one file");
    let page = fs::read_to_string(&place).expect("it is there");
    assert!(page.contains("amended"), "{page}");
    let verified = home.verify().exits(0);
    assert!(!verified.stdout.contains("copy"), "{verified}");
    // An edit of it is seen, and can be taken.
    fs::write(&place, page + "words by hand\n").expect("writable");
    let verified = home.verify().exits(1);
    assert!(verified.stdout.contains("mine/two.md"), "{verified}");
    let from_files = ["amend", "--from-files", place.to_str().expect("UTF-8")];
    let taken = home.cmd(from_files).ok();
    assert!(taken.stdout.starts_with("amended: "), "{taken}");
    assert!(shown(&home, &receipt.id).to_string().contains("words by hand"));
    assert!(!own.exists(), "there is one file");
    let _ = home.verify().exits(0);
    let _ = home.cmd(["retract", &receipt.id]).ok();
    assert!(!own.exists() && !place.exists(), "nothing of it is readable");
    assert_agree(&home);
    let _ = home.cmd(["restore", &receipt.id]).ok();
    assert!(fs::read_to_string(&own).expect("it is back").contains("words by hand"));
    assert_agree(&home);
}
