//! Reading what was recorded: found from the moment `record` returns, with any store out of reach, and without a trace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use indelible::model::{Op, Revision};
use serde_json::Value;

use crate::changes::{Subject, put};
use crate::hook::with_mounts;
use crate::support::{Outcome, Receipt, TestHome, Worker, opened_search};

/// The titles that `list` shows, in its order.
#[track_caller]
fn titles(home: &TestHome, args: &[&str]) -> Vec<String> {
    titles_in(&listed(home, args))
}

#[track_caller]
fn listed(home: &TestHome, args: &[&str]) -> Value {
    home.cmd(["list", "--json"].iter().chain(args)).ok().json()
}

fn titles_in(listed: &Value) -> Vec<String> {
    let records = listed["records"].as_array().or_else(|| listed["hits"].as_array()).expect("a list");
    records.iter().map(|it| it["title"].as_str().expect("each has a title").to_owned()).collect()
}

#[track_caller]
fn found(home: &TestHome, words: &str) -> Vec<String> {
    let outcome = home.cmd(["search", "--json"].iter().copied().chain(words.split(' '))).run();
    titles_in(&outcome.json())
}

#[track_caller]
fn shown(home: &TestHome, id: &str) -> Value {
    home.cmd(["show", id, "--json"]).ok().json()["records"][0].clone()
}

/// Records something that gets no row, since another program holds SQLite's lock meanwhile.
fn record_without_row(home: &TestHome, title: &str) -> Receipt {
    let index = home.index();
    index.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let receipt = home.recorder("failure", title).args(["--set", "record.index_wait_ms=1"]).ok().receipt();
    assert_eq!(receipt.row_id, None);
    index.execute_batch("ROLLBACK").expect("it is ours");
    receipt
}

/// All of a record is found at once, by each command.
#[track_caller]
fn assert_found(home: &TestHome, receipt: &Receipt, title: &str) {
    assert_eq!(titles(home, &["--limit", "1"]), [title]);
    assert_eq!(found(home, title)[0], title);
    for name in [receipt.id.as_str(), &receipt.id[28..], &receipt.id[30..], &receipt.path] {
        assert_eq!(shown(home, name)["id"], receipt.id.as_str(), "{name}");
    }
}

#[test]
fn a_record_is_found_the_moment_it_is_made_whatever_the_worker_does() {
    let home = TestHome::new();
    let mut number = 0;
    let mut check = |when: &str| {
        for has_row in [true, false] {
            number += 1;
            let title = format!("{when} number{number}");
            let receipt = if has_row { home.record("failure", &title) } else { record_without_row(&home, &title) };
            assert_found(&home, &receipt, &title);
        }
    };
    check("without any worker");
    home.flush();
    check("after a flush");
    let worker = Worker::quick(&home);
    check("beside a worker");
    worker.signal(rustix::process::Signal::STOP);
    check("beside a stopped worker");
    worker.signal(rustix::process::Signal::KILL);
    check("after a killed worker");
    drop(worker);
    check("after that");
    home.flush();
    assert_eq!(listed(&home, &["--limit", "0"])["count"], number);
}

#[test]
fn an_index_that_another_program_keeps_to_itself_is_named_and_the_others_answer() {
    let home = TestHome::new();
    let receipt = home.record("failure", "placed before");
    home.flush();
    let pending = record_without_row(&home, "only in the journal");
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE theirs (x)").expect("it is free");
    for args in [&["list"][..], &["search", "placed"], &["show", &receipt.id], &["show", &pending.id]] {
        let outcome = home.cmd(args).ok();
        assert!(outcome.stderr.contains("another program has locked the index"), "{outcome}");
    }
    assert_eq!(titles(&home, &[]), ["only in the journal", "placed before"]);
    assert_eq!(found(&home, "placed journal").len(), 2);
    let looked = &home.cmd(["search", "--json", "placed journal"]).ok().json()["looked"];
    assert_eq!(looked["pending"], 1, "search.db says which of the journal's records it has: {looked}");
    assert_eq!(shown(&home, &receipt.id[28..])["row_id"], Value::Null);
    assert!(listed(&home, &[])["notes"][0].as_str().expect("a note").contains("locked"));
    drop(index);
    assert_eq!(titles(&home, &[]), ["only in the journal", "placed before"]);
}

#[test]
fn without_an_index_files_and_journal_answer() {
    let home = TestHome::new();
    let receipts = home.record_each("here");
    home.flush();
    let pending = record_without_row(&home, "pending");
    fs::remove_file(home.join(&pending.path)).expect("it was placed");
    let all = titles(&home, &[]);
    assert_eq!(all.len(), 6);
    let whole = fs::read(home.join("memory/index.db")).expect("it is there");
    for broken in [None, Some(b"garbage".repeat(1000))] {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
        }
        if let Some(bytes) = broken {
            fs::write(home.join("memory/index.db"), bytes).expect("it can be written");
        }
        let listed = listed(&home, &[]);
        assert_eq!(titles_in(&listed), all);
        assert!(listed["notes"][0].as_str().expect("a note").contains("repair"), "{listed}");
        assert_eq!(found(&home, "here experiment")[0], "here experiment");
        for receipt in &receipts {
            assert_eq!(shown(&home, &receipt.id[28..])["path"], receipt.path.as_str());
            assert_eq!(shown(&home, &receipt.id)["id"], receipt.id.as_str());
        }
    }
    fs::write(home.join("memory/index.db"), whole).expect("it can be written");
}

#[test]
fn what_search_db_lacks_is_read_beside_it_and_it_is_never_needed() {
    let home = TestHome::new();
    let looked = |words: &str| home.cmd(["search", "--json", words]).run().json()["looked"].clone();
    let first = home.record("failure", "needle one");
    assert_eq!(looked("needle")["search"], "none");
    home.flush();
    let it = looked("needle");
    assert_eq!((&it["search"], &it["rows_beside"], &it["pending"]), (&"up to date".into(), &0.into(), &0.into()));
    assert_eq!(listed(&home, &[])["notes"], serde_json::json!([]));
    let second = home.record("success", "needle two");
    let _ = record_without_row(&home, "needle three");
    let it = looked("needle");
    assert_eq!((&it["search"], &it["rows_beside"], &it["pending"]), (&"up to date".into(), &1.into(), &1.into()));
    assert_eq!(it["complete"], true);
    let all = ["needle three", "needle two", "needle one"];
    let check = |when: &str| {
        let mut found = found(&home, "needle");
        found.sort_by_key(|title| all.iter().position(|it| it == title));
        assert_eq!(found, all, "{when}");
        assert_eq!(titles(&home, &[]), all, "{when}");
        assert_eq!(listed(&home, &["failure", "--limit", "1"])["count"], 2, "{when}");
        assert_eq!(titles(&home, &["failure", "--sort", "oldest"]), ["needle one", "needle three"], "{when}");
        for receipt in [&first, &second] {
            assert_eq!(shown(&home, &receipt.id[28..])["id"], receipt.id.as_str(), "{when}");
        }
    };
    check("beside search.db");
    let subject = Subject::of(&home, &first);
    put(&home, &[subject.retract(2)]);
    assert!(!found(&home, "needle").contains(&"needle one".to_owned()));
    assert_eq!(listed(&home, &[])["count"], 2, "what search.db has and waits to be retracted is not counted");
    put(&home, &[subject.restore(3)]);
    check("restored, and both are pending");
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE theirs (x)").expect("it is free");
    check("the index is locked");
    drop(index);
    fs::write(home.join("memory/search.db"), b"garbage".repeat(1000)).expect("it can be written");
    check("search.db is damaged");
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/search.db{end}")));
    }
    check("search.db is gone");
    home.flush();
    check("it is there again");
    assert_eq!(looked("needle")["rows_beside"], 0);
}

#[test]
fn what_another_program_does_to_rows_is_seen_and_loses_no_record() {
    let home = TestHome::new();
    for rule in ["one", "two"] {
        let _ = home.cmd(["record", "heuristic", "--domain", "ci", "--rule", rule]).ok();
    }
    let _ = home.record("failure", "three");
    let four = home.record("failure", "four");
    home.flush();
    let change = |sql: &str| home.index().execute_batch(sql).expect("it can be changed");
    let sorted = |words: &str| {
        let mut titles = found(&home, words);
        titles.sort();
        titles.join(" ")
    };
    for has_search in [true, false] {
        if !has_search {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(home.join(&format!("memory/search.db{end}")));
            }
        }
        change("UPDATE heuristics SET is_golden = 1 WHERE rule = 'one'");
        assert_eq!(titles(&home, &["--state", "golden"]), ["one"], "with search.db: {has_search}");
        assert_eq!(titles(&home, &["--state", "active"]), ["four", "three", "two"], "with search.db: {has_search}");
        assert_eq!(listed(&home, &["--state", "active", "--limit", "1"])["count"], 3);
        assert_eq!(sorted("state:golden domain:ci"), "one", "with search.db: {has_search}");
        assert_eq!(sorted("-state:golden since:1h"), "four three two", "with search.db: {has_search}");
        change("UPDATE heuristics SET is_golden = 0");
        assert_eq!(titles(&home, &["--state", "golden"]), [""; 0], "with search.db: {has_search}");
        change("DELETE FROM learnings WHERE title = 'four'");
        assert_eq!(titles(&home, &["--limit", "1"]), ["four"], "with search.db: {has_search}");
        assert_eq!(listed(&home, &["failure"])["count"], 2);
        assert_eq!(sorted("four"), "four", "with search.db: {has_search}");
        let it = shown(&home, &four.id[28..]);
        assert_eq!((&it["title"], &it["row_id"]), (&"four".into(), &Value::Null));
    }
    put(&home, &[Subject::of(&home, &four).retract(2)]);
    assert_now_and_later(&home, || {
        assert_eq!(listed(&home, &["failure"])["count"], 1, "it was retracted, row or none");
        assert_eq!(sorted("four"), "");
    });
}

#[test]
fn an_older_index_that_was_restored_hides_nothing_and_shows_nothing_retracted() {
    let tiny = ["flush", "--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];
    for with_search in [false, true] {
        let home = TestHome::new();
        let gone = home.record("failure", "retracted since");
        let _ = home.record("failure", "as it was");
        home.flush();
        let ends = ["", "-wal", "-shm"];
        let paths = |store: &str| ends.map(|end| home.join(&format!("memory/{store}.db{end}")));
        let stores: &[&str] = if with_search { &["index", "search"] } else { &["index"] };
        let paths: Vec<PathBuf> = stores.iter().flat_map(|store| paths(store)).collect();
        let older: Vec<Option<Vec<u8>>> = paths.iter().map(|path| fs::read(path).ok()).collect();
        put(&home, &[Subject::of(&home, &gone).retract(2)]);
        let since = home.record("failure", "recorded since");
        let _ = home.cmd(tiny).ok();
        // What is pruned is a segment that was left.
        let long = "word ".repeat(1_000);
        for _ in 0..3 {
            let _ = home.cmd(["record", "failure", "--title", "more", "--domain", "ci", "--summary", &long]).ok();
            let _ = home.cmd(tiny).ok();
        }
        for (path, bytes) in paths.iter().zip(&older) {
            match bytes {
                Some(bytes) if !path.ends_with("-shm") => fs::write(path, bytes).expect("it can be written"),
                _ => fs::remove_file(path).unwrap_or_default(),
            }
        }
        let titles_now = titles(&home, &["--limit", "0"]);
        assert!(!titles_now.contains(&"retracted since".to_owned()), "search.db too: {with_search}: {titles_now:?}");
        assert!(titles_now.contains(&"recorded since".to_owned()), "search.db too: {with_search}: {titles_now:?}");
        assert_eq!(found(&home, "retracted"), [""; 0], "search.db too: {with_search}");
        assert_eq!(found(&home, "recorded"), ["recorded since"], "search.db too: {with_search}");
        let _ = home.cmd(["show", &gone.id]).run().exits(1);
        assert_eq!(shown(&home, &since.id[28..])["title"], "recorded since");
        let noted = listed(&home, &[])["notes"].to_string();
        assert!(noted.contains("the index is older"), "{noted}");
        home.flush();
        assert_eq!(listed(&home, &[])["notes"], serde_json::json!([]), "a worker brings it up to date");
        assert_eq!(titles(&home, &["--limit", "0"]), titles_now);
    }
}

#[test]
fn damage_within_search_db_is_no_failure_wherever_it_is() {
    let home = TestHome::new();
    let line = |n: usize| {
        let (domain, summary) = (["ci", "ops"][n % 2], "several words of a summary ".repeat(30));
        let fields = serde_json::json!({
            "kind": "failure", "title": format!("needle {n}"), "domain": domain, "tags": ["one", "two"], "summary": summary,
        });
        fields.to_string()
    };
    let _ = home.cmd(["record", "batch", "--quiet"]).stdin((0..40).map(line).collect::<Vec<_>>().join("\n")).ok();
    home.flush();
    let id = listed(&home, &["--limit", "1"])["records"][0]["id"].as_str().expect("text").to_owned();
    let commands: [(&[&str], usize); 7] = [
        (&["list", "--limit", "0"], 40),
        (&["list", "--domain", "ci"], 20),
        (&["list", "--tag", "one", "--limit", "0"], 40),
        (&["search", "needle", "--limit", "0"], 40),
        (&["search", "summary", "domain:ops", "--limit", "0"], 20),
        (&["show", &id[28..]], 1),
        (&["recall", "--error", "needle 1", "--limit", "40"], 40),
    ];
    let file = home.join("memory/search.db");
    let sound = fs::read(&file).expect("it is there");
    let mut noted = 0;
    // The first page has the schema: without it the file is not opened at all.
    for at in (16_384..sound.len()).step_by(16_384) {
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.join(&format!("memory/search.db{end}")));
        }
        let mut bytes = sound.clone();
        bytes[at..at + 16_384].fill(0);
        fs::write(&file, bytes).expect("it can be written");
        for (args, wanted) in commands {
            let answer = home.cmd(args.iter().chain(&["--json"])).ok().json();
            let found = ["records", "hits", "times"].iter().find_map(|name| answer[name].as_array()).expect("a list");
            assert_eq!(found.len(), wanted, "{args:?}, damage at {at}: {}", answer["notes"]);
            noted += usize::from(answer["notes"].to_string().contains("search.db is damaged"));
        }
    }
    assert!(noted > 10, "damage was met {noted} times");
    let _ = home.cmd(["repair"]).ok();
    assert_eq!(listed(&home, &["--domain", "ci"])["notes"], serde_json::json!([]));
}

/// Every file below the home, with its bytes and when it was changed.
fn everything(home: &TestHome) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    fn add(folder: PathBuf, found: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime)>) {
        for entry in fs::read_dir(&folder).expect("it can be listed") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            if metadata.is_dir() {
                found.insert(path.clone(), (Vec::new(), metadata.modified().expect("a time")));
                add(path, found);
            } else {
                let bytes = fs::read(&path).expect("it can be read");
                found.insert(path, (bytes, metadata.modified().expect("a time")));
            }
        }
    }
    let mut found = BTreeMap::new();
    add(home.user().to_owned(), &mut found);
    found
}

#[test]
fn reading_changes_nothing_not_even_where_it_cannot() {
    let home = TestHome::new();
    let receipt = home.record("failure", "read only");
    home.flush();
    let pending = record_without_row(&home, "pending");
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--here", "--json"],
        &["list", "--state", "retracted"],
        &["show", &receipt.id, "--history"],
        &["show", &pending.id, "--raw"],
        &["search", "only"],
        &["recall", "--command", "read"],
        &["complete", "--", "indelible", "show", ""],
        &["complete", "--", "indelible", "list", "--domain", ""],
    ];
    let before = everything(&home);
    let run = |args: &[&str]| {
        let outcome = home.cmd(args).run();
        assert!([0, 1, 65].contains(&outcome.code().expect("it ends")), "{outcome}");
    };
    commands.iter().for_each(|args| run(args));
    assert!(everything(&home) == before, "a reader has changed something");
    let path = home.path().display();
    let Some(wrapper) = with_mounts(&format!("mount --bind {path} {path} && mount -o remount,bind,ro {path}")) else {
        return;
    };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let outcome = home.under(&wrapper, &["list", "--json"]).ok();
    assert_eq!(titles_in(&outcome.json()), ["pending", "read only"]);
    assert_eq!(titles_in(&home.under(&wrapper, &["search", "--json", "pending"]).ok().json()), ["pending"]);
    assert!(home.under(&wrapper, &["show", &receipt.id]).ok().stdout.contains("read only"));
}

#[test]
fn a_segment_of_a_newer_program_is_named_and_what_is_before_it_is_shown() {
    let home = TestHome::new();
    let _ = record_without_row(&home, "before the newer one");
    let header = format!("indelible-journal 3 {}\n", uuid::Uuid::from_u128(3));
    fs::write(home.join(".indelible/journal/0000000002.log"), header).expect("it can be written");
    let listed = listed(&home, &[]);
    assert_eq!(titles_in(&listed), ["before the newer one"]);
    let note = listed["notes"][0].as_str().expect("a note");
    assert!(note.contains("segment 2 has format 3"), "{note}");
}

/// What each command says of a record, now and once the worker has done its part.
#[track_caller]
fn assert_now_and_later(home: &TestHome, check: impl Fn()) {
    check();
    home.flush();
    check();
}

#[test]
fn pending_operations_are_shown_as_the_worker_will_apply_them() {
    let home = TestHome::new();
    let kept = home.record("success", "another one");
    for has_row in [true, false] {
        let title = "the word before";
        let receipt = if has_row { home.record("failure", title) } else { record_without_row(&home, title) };
        let mut subject = Subject::of(&home, &receipt);
        put(&home, &[subject.amend(2, "title", "the word afterwards")]);
        assert_now_and_later(&home, || {
            assert_eq!(titles(&home, &["failure"]), ["the word afterwards"]);
            assert_eq!(found(&home, "afterwards"), ["the word afterwards"]);
            assert!(!found(&home, "before").contains(&"the word before".to_owned()));
            let shown = shown(&home, &receipt.id);
            assert_eq!((&shown["title"], &shown["domain"]), (&"the word afterwards".into(), &"ci".into()));
            assert_eq!(shown["amendments"][0]["field"], "title");
            assert!(shown["revision"].as_str().expect("text").starts_with("2:"), "{shown}");
        });
        subject = Subject::of(&home, &receipt);
        let retract = subject.retract(3);
        put(&home, std::slice::from_ref(&retract));
        assert_now_and_later(&home, || {
            assert_eq!(titles(&home, &[]), ["another one"]);
            assert_eq!(found(&home, "afterwards"), [""; 0]);
            let outcome = home.cmd(["show", &receipt.id]).run().exits(1);
            assert!(outcome.stderr.contains("was retracted at"), "{outcome}");
            assert!(outcome.stderr.contains("it was wrong") && !outcome.stderr.contains("afterwards"), "{outcome}");
            let retracted = listed(&home, &["--state", "retracted"]);
            let records = retracted["records"].as_array().expect("a list");
            let it = records.iter().find(|it| it["id"] == receipt.id.as_str()).expect("it is there");
            assert_eq!(it["kind"], "failure");
            assert_eq!((&it["because"], &it["state"]), (&"it was wrong".into(), &"retracted".into()));
            assert!(!retracted.to_string().contains("afterwards"), "{retracted}");
        });
        put(&home, &[subject.restore(4)]);
        assert_now_and_later(&home, || {
            assert_eq!(titles(&home, &["failure"]), ["the word afterwards"]);
            let retracted = listed(&home, &["--state", "retracted"]).to_string();
            assert!(!retracted.contains(&receipt.id), "{retracted}");
        });
        let Op::Retract(change) = retract else { panic!("it retracts") };
        put(&home, &[Op::Erase { of: subject.id, revision: Revision { n: 9, ..change.revision } }]);
        assert_eq!(titles(&home, &[]), ["another one"], "what is to be erased is not shown any more");
        let _ = home.cmd(["show", &receipt.id]).run().exits(1);
        home.flush();
        assert_eq!(titles(&home, &[]), ["another one"], "what was erased is not shown any more");
    }
    assert_eq!(shown(&home, &kept.id)["title"], "another one");
}

#[test]
fn two_amendments_that_knew_nothing_of_each_other_are_merged_as_the_worker_merges_them() {
    let home = TestHome::new();
    let receipt = home.record("failure", "t");
    let subject = Subject::of(&home, &receipt);
    put(&home, &[subject.amend(2, "title", "new title"), subject.amend(2, "domain", "new domain")]);
    assert_now_and_later(&home, || {
        let shown = shown(&home, &receipt.id);
        assert_eq!((&shown["title"], &shown["domain"]), (&"new title".into(), &"new domain".into()));
    });
}

#[test]
fn an_amendment_from_before_a_restoration_counts_if_it_knew_of_the_retraction() {
    let home = TestHome::new();
    let receipt = home.record("failure", "t");
    let subject = Subject::of(&home, &receipt);
    put(&home, &[subject.retract(2), subject.restore(5)]);
    home.flush();
    let mut amendments = Vec::new();
    for (n, base, field) in [(4, 3, "title"), (3, 1, "domain")] {
        let Op::Amend(mut it) = subject.amend(n, field, "new text") else { panic!("it amends") };
        it.change.base.n = base;
        amendments.push(Op::Amend(it));
    }
    put(&home, &amendments);
    assert_now_and_later(&home, || {
        let shown = shown(&home, &receipt.id);
        assert_eq!((&shown["title"], &shown["domain"]), (&"new text".into(), &"ci".into()));
    });
}

#[test]
fn a_record_is_named_by_its_id_the_end_of_it_or_a_path() {
    let home = TestHome::new();
    let receipts = home.record_each("named");
    for receipt in &receipts {
        let page = receipt.page();
        let absolute = home.join(&page);
        let folder = absolute.parent().expect("it has one");
        let name = absolute.file_name().expect("it has one").to_str().expect("text");
        for text in [&page, absolute.to_str().expect("text"), &receipt.id.to_uppercase(), &receipt.id.replace('-', "")]
        {
            assert_eq!(shown(&home, text)["id"], receipt.id.as_str(), "{text}");
        }
        let beside = home.cmd(["show", "--json", name]).folder(folder).ok().json();
        assert_eq!(beside["records"][0]["id"], receipt.id.as_str(), "{name}");
    }
    // The last digits of ids are random, so among 40 of them some end alike.
    let more: Vec<Receipt> = (0..40).map(|n| home.record("success", &format!("number {n}"))).collect();
    let ends: Vec<&str> = more.iter().map(|it| &it.id[35..]).collect();
    let twice = ends.iter().find(|end| ends.iter().filter(|it| it == end).count() > 1).expect("40 ids, 16 digits");
    let outcome = home.cmd(["show", twice]).run().exits(65);
    let mut lines = outcome.stderr.lines();
    assert_eq!(
        lines.next(),
        Some(&*format!("error: {twice} is the end of several ids; name more of one")),
        "{outcome}"
    );
    assert!(outcome.stderr.lines().count() > 2, "one line for each: {outcome}");
    let ends_so = |line: &str| line.split_whitespace().next().is_some_and(|id| id.ends_with(*twice));
    assert!(lines.all(|line| line.starts_with("  ") && ends_so(line)), "{outcome}");
    let json = home.cmd(["show", "--json", twice]).run().exits(65);
    let failure: Value = serde_json::from_str(&json.stderr).expect("an error is JSON");
    assert!(failure["causes"].as_array().expect("a list").len() > 1, "{failure}");
    for unknown in [
        "ffffffff",
        "nothing like it",
        "memory/failures/2026/01/01/x-12345678.md",
        &uuid::Uuid::from_u128(7).to_string(),
    ] {
        let outcome = home.cmd(["show", unknown]).run().exits(1);
        assert!(outcome.stderr.contains("list` shows the newest records"), "{outcome}");
    }
    let both = home.cmd(["show", &more[0].id, "ffffffff"]).run().exits(1);
    assert!(both.stdout.contains("number 0"), "what is there is shown: {both}");
    for args in [&["show", &more[0].id, twice][..], &["show", twice, &more[0].id, "ffffffff"]] {
        let both = home.cmd(args).run().exits(65);
        assert!(both.stdout.contains("number 0") && both.stderr.contains("end of several ids"), "{both}");
    }
    // Not all of very many are named, which is said.
    let _ = (0..200).map(|n| home.record("success", &format!("{n}"))).count();
    let outcome = home.cmd(["show", "7"]).run().exits(65);
    assert!(outcome.stderr.ends_with("  and more\n"), "{outcome}");
    assert_eq!(outcome.stderr.lines().count(), 12, "{outcome}");
}

#[test]
fn the_commits_of_a_record_are_those_that_git_names() {
    let home = TestHome::new();
    let receipt = home.record("failure", "committed");
    assert_eq!(shown(&home, &receipt.id)["commit"], Value::Null);
    home.flush();
    let _ = home.record("failure", "a later one");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    put(&home, &[subject.amend(2, "title", "amended")]);
    home.flush();
    let log = home.git(["log", "--format=%H %s", &home.history(), "--", &receipt.path]).ok().stdout;
    let by_git: Vec<&str> = log.lines().collect();
    let shown = home.cmd(["show", &receipt.id, "--history", "--json"]).ok().json()["records"][0].clone();
    let history = shown["history"].as_array().expect("a list");
    let line =
        |it: &Value| format!("{} {}", it["commit"].as_str().expect("text"), it["subject"].as_str().expect("text"));
    assert_eq!(history.iter().map(line).collect::<Vec<_>>(), by_git);
    assert_eq!((&history[0]["change"], &history[1]["change"]), (&"changed".into(), &"added".into()));
    assert_eq!(line(&shown["commit"]), by_git[1]);
    assert_eq!(line(&self::shown(&home, &receipt.id)["commit"]), by_git[1], "found without all of the history");
    let text = home.cmd(["show", &receipt.id, "--history"]).ok().stdout;
    assert!(text.contains("Amend failure: amended") && text.contains("amended     title"), "{text}");
}

/// A commit that search.db has noted wrongly is found in the history, and the record is shown even where that is damaged.
#[test]
fn a_record_is_shown_where_its_commit_cannot_be_found() {
    let home = TestHome::new();
    let receipt = home.record("failure", "committed");
    home.flush();
    let _ = home.record("failure", "a later one");
    home.flush();
    let commit = shown(&home, &receipt.id)["commit"].clone();
    opened_search(&home).execute_batch("UPDATE commits SET tree = zeroblob(20)").expect("it can be written");
    assert_eq!(shown(&home, &receipt.id)["commit"], commit);
    let verified = home.cmd(["verify"]).run().exits(0).stdout;
    assert!(verified.contains("is not what the history has"), "{verified}");
    let _ = home.cmd(["repair"]).ok();
    let verified = home.cmd(["verify"]).run().exits(0).stdout;
    assert!(!verified.contains("is not what the history has"), "{verified}");
    assert_eq!(shown(&home, &receipt.id)["commit"], commit);
    // Every object of the history, damaged.
    let objects = everything(&home)
        .into_iter()
        .filter(|(path, _)| path.is_file() && path.to_string_lossy().contains(".git/objects/"));
    for (path, (bytes, _)) in objects {
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, vec![7; bytes.len()]).expect("it can be written");
    }
    for args in [&["show"][..], &["show", "--history"]] {
        let answer = home.cmd(args.iter().chain(&["--json", &receipt.id])).ok().json();
        assert_eq!((&answer["records"][0]["title"], &answer["count"]), (&"committed".into(), &1.into()));
        assert!(answer["notes"].to_string().contains("commits are not shown"), "{answer}");
    }
    let outcome = home.cmd(["show", &receipt.id]).ok();
    assert!(outcome.stdout.contains("the history cannot be read"), "{outcome}");
    let page = fs::read(home.join(&receipt.page())).expect("it was placed");
    assert_eq!(home.cmd(["show", "--raw", &receipt.id]).ok().stdout.into_bytes(), page);
}

#[test]
fn raw_is_every_byte_of_the_page() {
    let home = TestHome::new();
    for (receipt, is_committed) in
        home.record_each("\u{1b}[31mraw\u{202e}").iter().zip([true, false].into_iter().cycle())
    {
        if is_committed {
            home.flush();
        }
        let page = fs::read(home.join(&receipt.page())).expect("it was placed");
        assert_eq!(home.cmd(["show", "--raw", &receipt.id]).ok().stdout.into_bytes(), page);
        fs::remove_file(home.join(&receipt.page())).expect("it was placed");
        assert_eq!(home.cmd(["show", "--raw", &receipt.id]).ok().stdout.into_bytes(), page, "as it will be placed");
    }
}

#[test]
fn filters_join_values_by_or_and_each_other_by_and() {
    let home = TestHome::new();
    let record = |kind: &str, title: &str, more: &[&str]| {
        let headline = if kind == "heuristic" { "--rule" } else { "--title" };
        let _ = home.cmd(["record", kind, headline, title].iter().chain(more)).ok();
    };
    record("failure", "a", &["--domain", "ci", "--severity", "high", "--tags", "x,y", "--session", "s-1"]);
    record("failure", "b", &["--domain", "Ops", "--severity", "low", "--tags", "y", "--agent", "Claude Code"]);
    record("success", "c", &["--domain", "ci", "--project", "github.com/me/one", "--origin", "hook"]);
    record("heuristic", "d", &["--domain", "web"]);
    for pass in ["from the index", "from search.db"] {
        for (args, wanted) in [
            (&["failure"][..], "b a"),
            (&["failure,success"], "c b a"),
            (&["failure", "heuristic"], "d b a"),
            (&["--domain", "CI"], "c a"),
            (&["--domain", "ci,ops"], "c b a"),
            (&["--domain", "ci", "--domain", "web"], "d c a"),
            (&["--domain", "ci", "failure"], "a"),
            (&["--tag", "y"], "b a"),
            (&["--tag", "x,z"], "a"),
            (&["--severity", "high"], "a"),
            (&["--severity", "3+"], "c a"),
            (&["--session", "s-1"], "a"),
            (&["--agent", "claude-code"], "b"),
            (&["--origin", "hook"], "c"),
            (&["--project", "one"], "c"),
            (&["--project", "ne"], ""),
            (&["--since", "1h"], "d c b a"),
            (&["--until", "2001"], ""),
            (&["--since", "today", "--until", "2001-01-01"], ""),
            (&["--sort", "oldest"], "a b c d"),
            (&["--sort", "severity"], "a c b d"),
            (&["--limit", "2"], "d c"),
            (&["--limit", "0"], "d c b a"),
            (&["--state", "active"], "d c b a"),
            (&["--state", "golden"], ""),
        ] {
            assert_eq!(titles(&home, args).join(" "), wanted, "{args:?} {pass}");
        }
        home.flush();
    }
    assert_eq!(listed(&home, &["--limit", "1", "failure"])["count"], 2);
    for (words, wanted) in [
        ("kind:failure,success domain:ci", "c a"),
        ("domain:ops,web", "d b"),
        ("domain:\"ops,web\"", "d b"),
        ("-kind:failure,success since:1h", "d"),
        ("since:1h severity:low,high", "b a"),
    ] {
        let mut titles = found(&home, words);
        titles.sort_by(|one, other| other.cmp(one));
        assert_eq!(titles.join(" "), wanted, "{words}");
    }
    let all = home.cmd(["search", "since:1h", "--limit", "0", "--json"]).ok().json();
    assert_eq!(titles_in(&all).len(), 4, "0 is no limit for `search` either");
}

#[test]
fn an_unknown_value_is_named_with_the_known_ones_and_bad_usage_stays_bad_usage() {
    let home = TestHome::new();
    for (args, said) in [
        (&["list", "falure"][..], "did you mean failure?"),
        (&["list", "--severity", "hihg"], "did you mean high?"),
        (&["list", "--origin", "robot"], "person, agent, hook, import"),
        (&["list", "--state", "gilded"], "did you mean golden?"),
        (&["list", "--sort", "new"], "did you mean newest?"),
        (&["list", "--since", "last week"], "7d"),
        (&["search", "kind:heuristcs", "x"], "did you mean heuristic?"),
        (&["search", "x", "--kind", "rule"], "heuristic"),
        (&["list", "--here"], "--here"),
    ] {
        let outcome = home.cmd(args).run().exits(65);
        assert!(outcome.stderr.contains(said) && outcome.stdout.is_empty(), "{outcome}");
        let json = home.cmd(args.iter().chain(&["--json"])).run().exits(65);
        assert_eq!(serde_json::from_str::<Value>(&json.stderr).expect("JSON")["exit"], 65);
    }
    for args in [
        &["list", "--limit", "x"][..],
        &["list", "--csv", "--jsonl"],
        &["list", "--state", "retracted", "--domain", "ci"],
        &["show"],
        &["search"],
        &["search", "x", "--no-such-flag"],
        &["recall"],
        &["recall", "--error", "x", "--command", "y"],
    ] {
        let _ = home.cmd(args).run().exits(64);
    }
}

#[test]
fn data_is_exact_and_text_is_safe() {
    let home = TestHome::new();
    let title = "=cmd|'/C calc'!A0 \u{1b}]0;x\u{7}, \"quoted\" \u{202e}txt\u{200b}";
    let summary = "line one\r\nline two\t\u{0}".replace('\u{0}', "");
    let receipt = home
        .cmd(["record", "failure", "--json", "--domain", "ci", "--title", title, "--summary", &summary])
        .ok()
        .receipt();
    let it = &listed(&home, &[])["records"][0];
    assert_eq!((&it["title"], &it["summary"]), (&title.into(), &summary.as_str().into()));
    let lines = home.cmd(["list", "--jsonl"]).ok().stdout;
    assert_eq!(serde_json::from_str::<Value>(&lines).expect("one object a line"), *it);
    assert!(!lines.contains(['\u{1b}', '\u{202e}']), "JSON steers no terminal: {lines:?}");
    let csv = home.cmd(["list", "--csv"]).ok().stdout;
    let quoted = format!("\"'{}\"", title.replace('"', "\"\""));
    assert!(csv.starts_with("id,kind,title,") && csv.contains(&quoted) && csv.ends_with("\r\n"), "{csv:?}");
    for args in [&["list"][..], &["show", &receipt.id], &["search", "quoted"], &["search", "quoted", "--explain"]] {
        let text = home.cmd(args).ok().stdout;
        assert!(text.contains("␛]0;x␇") && text.contains("⟨U+202E⟩txt"), "{text:?}");
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
    let found = home.cmd(["search", "quoted", "--json", "--explain"]).ok().json();
    let hit = &found["hits"][0];
    let (line, mark) = (hit["line"].as_str().expect("text"), &hit["marks"][0]);
    let mark = |at: usize| usize::try_from(mark[at].as_u64().expect("a number")).expect("it is small");
    assert_eq!(&line[mark(0)..mark(1)], "quoted");
    assert!(hit["score"].is_f64() && hit["explain"]["words"][0]["word"] == "quoted", "{hit}");
    assert_eq!(found["looked"]["complete"], true, "{found}");
}

#[test]
fn what_is_excluded_is_a_word_and_nothing_found_is_exit_1() {
    let home = TestHome::new();
    let _ = home.record("failure", "flaky upload on linux");
    let _ = home.record("failure", "flaky upload on windows");
    let found = |words: &[&str]| titles_in(&home.cmd(["search", "--json"].iter().chain(words)).run().json());
    assert_eq!(found(&["upload", "-windows"]), ["flaky upload on linux"]);
    assert_eq!(found(&["-windows", "upload", "--limit", "5"]), ["flaky upload on linux"]);
    assert_eq!(found(&["--", "upload", "-windows"]), ["flaky upload on linux"]);
    assert_eq!(found(&["\"upload on windows\""])[0], "flaky upload on windows");
    let none = home.cmd(["search", "nosuchword"]).run().exits(1);
    assert!(none.stdout.contains("nothing was found"), "{none}");
    for words in ["\"", "-", "AND OR NOT", "*", "NEAR(", "kind:", "a\u{0301}\u{1f600}", "' OR 1=1 --x"] {
        let outcome = home.cmd(["search", "--", words]).run();
        assert!([0, 1].contains(&outcome.code().expect("it ends")), "{outcome}");
    }
    let _ = home.record("failure", "`--no-verify` hid it from src/fs/mod.rs");
    let matched = |words: &[&str]| {
        let shown = home.cmd(["search", "--limit", "1", "--"].iter().chain(words)).ok().stdout;
        shown.lines().find_map(|line| Some(line.trim().strip_prefix("matched: ")?.to_owned()))
    };
    assert_eq!(matched(&["src/fs/mod.rs", "--no-verify", "hid"]).as_deref(), Some("src/fs/mod.rs, --no-verify, hid"));
    assert_eq!(matched(&["lib/fs/other.rs"]).as_deref(), Some("fs, rs"), "the parts that it has");
    let long = "word ".repeat(20_000);
    let outcome = home.cmd(["search", &long]).run().exits(1);
    assert!(outcome.stdout.len() < 1_000, "{}", outcome.stdout.len());
}

/// A failing tool call as Claude Code tells it.
fn failed(home: &TestHome, session: &str, call: &str, command: &str, error: &str) {
    let event = serde_json::json!({
        "hook_event_name": "PostToolUseFailure",
        "session_id": session,
        "tool_use_id": call,
        "tool_name": "Bash",
        "tool_input": { "command": command },
        "error": error,
        "cwd": "/tmp",
    });
    let _ = home.cmd(["hook"]).stdin(event.to_string()).ok();
}

#[test]
fn what_happened_the_last_times_is_recalled_with_what_followed() {
    let home = TestHome::new();
    let error = "Exit code 101\nerror[E0502]: cannot borrow `a` as mutable at /home/me/x/src/lib.rs:12:5\n";
    failed(&home, "one", "1", "cargo test -p x", error);
    let _ = home.cmd(["record", "success", "--title", "cloned it", "--domain", "rust", "--session", "one"]).ok();
    failed(&home, "two", "2", "cd /x && cargo test", &error.replace("12:5", "99:1").replace("/home/me/x", "/srv/y"));
    failed(&home, "two", "3", "cargo build", "error[E0382]: use of moved value: `b` here");
    for flushed in [false, true] {
        if flushed {
            home.flush();
        }
        let recall = |args: &[&str]| home.cmd(["recall", "--json"].iter().chain(args)).run();
        let by_command = recall(&["--command", "cargo test"]).exits(0).json();
        assert_eq!((&by_command["count"], &by_command["sessions"]), (&2.into(), &2.into()), "{by_command}");
        let times = by_command["times"].as_array().expect("a list");
        assert_eq!((&times[0]["session"], &times[0]["same"]), (&"two".into(), &"command".into()), "the newest first");
        assert_eq!(times[1]["followed"][0]["title"], "cloned it");
        let by_error = recall(&["--error", &format!("   Compiling x\n{error}\nsome more")]).exits(0).json();
        assert_eq!(by_error["count"], 2, "numbers and folders do not count: {by_error}");
        assert_eq!(by_error["times"][0]["same"], "failure", "{by_error}");
        let by_stdin = home.cmd(["recall", "--error", "-", "--json"]).stdin(error).ok().json();
        assert_eq!(by_stdin["count"], 2);
        assert_eq!(recall(&["--error", "use of moved value: `b`"]).exits(0).json()["count"], 1, "a part of the line");
        assert_eq!(recall(&["--command", "cargo"]).exits(0).json()["count"], 3);
        assert_eq!(recall(&["--command", "cargo testing"]).exits(1).json()["count"], 0);
        let _ = recall(&["--error", "error[E0502]: cannot borrow `b` as mutable"]).exits(1);
        let _ = recall(&["--error", "severity:x -y \" kind:none"]).exits(1);
        let text = home.cmd(["recall", "--error", error]).ok().stdout;
        assert!(text.contains("the same failure came 2 times in 2 sessions"), "{text}");
        let text = home.cmd(["recall", "--error", "use of moved value: `b`"]).ok().stdout;
        assert!(text.contains("the same error line came 1 time in 1 session, on "), "{text}");
        let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe use of moved value: `b` here");
        let by_bytes = home.cmd(["recall", "--json", "--error"]).args([bytes]).run();
        assert_ne!(by_bytes.exits(1).json()["count"], serde_json::Value::Null, "what a program said may be no UTF-8");
        let text = home.cmd(["recall", "--command", "cargo test"]).ok().stdout;
        assert!(text.contains("the same command failed 2 times in 2 sessions") && text.contains("then "), "{text}");
    }
}

#[test]
fn a_failure_that_came_again_and_again_is_recalled_once_a_session() {
    let home = TestHome::new();
    let error = "Exit code 101\nerror[E0502]: cannot borrow `a` as mutable at /home/me/x/src/lib.rs:12:5\n";
    for session in ["one", "two"] {
        for call in ["1", "2", "3", "4"] {
            failed(&home, session, &format!("{session} {call}"), "cargo test -p x", error);
        }
        failed(&home, session, &format!("{session} 5"), "cargo test -q", &error.replace("E0502", "E0499"));
        let _ = home.cmd(["record", "success", "--title", session, "--domain", "rust", "--session", session]).ok();
    }
    home.flush();
    // The day is over: what a session saw again is counted.
    let tally = std::fs::read_dir(home.join(".indelible")).expect("it is there").flatten().map(|it| it.path());
    let tally = tally.into_iter().find(|path| path.to_string_lossy().contains("again-")).expect("there is one");
    std::fs::rename(&tally, tally.with_file_name("again-2026-01-02.tally")).expect("it can be renamed");
    home.flush();
    let recalled = |args: &[&str]| home.cmd(["recall", "--json"].iter().chain(args)).run().exits(0).json();
    let by_error = recalled(&["--error", error]);
    assert_eq!((&by_error["count"], &by_error["sessions"]), (&8.into(), &2.into()), "{by_error}");
    let times = by_error["times"].as_array().expect("a list");
    let followed = |time: &Value| {
        let records = time["followed"].as_array().expect("a list");
        records.iter().map(|it| it["title"].as_str().expect("a title").to_owned()).collect::<Vec<_>>()
    };
    let wanted = ["two", "one"].map(|session| vec![session.to_owned(), "cargo test -q: exit code 101".to_owned()]);
    assert_eq!(times.iter().map(followed).collect::<Vec<_>>(), wanted);
    let by_command = recalled(&["--command", "cargo test"]);
    assert_eq!((&by_command["count"], by_command["times"].as_array().map(Vec::len)), (&10.into(), Some(4)));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let home = TestHome::new();
    let _ = home.record("failure", "seen");
    for args in [&["list"][..], &["list", "--jsonl"], &["show", "--raw", "memory"], &["search", "seen"]] {
        let mut command = home.cmd(args).into_command();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).output().expect("it starts");
        let outcome = Outcome::of(output.status, String::new(), String::from_utf8(output.stderr).expect("text"));
        assert!([0, 1].contains(&outcome.code().expect("it ends")), "{args:?} {outcome}");
        assert!(!outcome.stderr.contains("could not be written"), "{outcome}");
    }
}

#[test]
fn shells_complete_ids_names_and_settings() {
    let home = TestHome::new();
    let receipt = home.record("failure", "complete\tme");
    let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "two words", "--tags", "x:y,z"]).ok();
    let offered = |words: &[&str]| {
        let home_flag = home.path().to_str().expect("text");
        let line = ["complete", "--with-help", "--", "indelible", "--home", home_flag];
        let outcome = home.homeless(line.iter().chain(words)).ok();
        assert_eq!(outcome.stderr, "", "{words:?}");
        let values = outcome.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        values.collect::<Vec<_>>()
    };
    let has = |words: &[&str], value: &str| {
        let all = offered(words);
        assert!(all.iter().any(|it| it == value), "{value} is not offered for {words:?}: {all:?}");
    };
    has(&["show", ""], &receipt.id[28..]);
    has(&["show", &receipt.id[28..30]], &receipt.id[28..]);
    let rule = home.cmd(["record", "heuristic", "--rule", "r", "--domain", "ci", "--json"]).ok().receipt().id;
    for verdict in ["validate", "violate", "promote", "demote", "retire", "revive"] {
        assert_eq!(offered(&[verdict, ""]).iter().filter(|it| !it.starts_with('-')).collect::<Vec<_>>(), [&rule[28..]]);
    }
    has(&["list", "--domain", ""], "ci");
    has(&["list", "--domain", "t"], "two words");
    has(&["list", "--domain", "ci,two"], "ci,two words");
    has(&["list", "--tag", ""], "x:y");
    has(&["list", "f"], "failure");
    has(&["list", "--severity", "h"], "high");
    has(&["list", "--state", ""], "retracted");
    has(&["list", "--sort", "o"], "oldest");
    has(&["search", "x", "--kind", ""], "heuristic");
    has(&["record", "failure", "--domain", ""], "ci");
    has(&["record", "success", "--severity", ""], "critical");
    has(&["config", "get", "worker.age"], "worker.age_ms");
    has(&["config", "set", "worker.autostart", ""], "true");
    has(&["config", "set", "log.level", ""], "debug");
    has(&["config", "set", "record.row", "r"], "recorder");
    has(&["hooks", "install", "cl"], "claude");
    let home_flag = format!("--home={}", home.path().display());
    let outcome = home.homeless(["complete", "--", "indelible", &home_flag, "list", "--domain", "t"]).ok();
    assert_eq!(outcome.stdout, "'two words'\n");
    // What search.db does not have yet is offered as well.
    home.flush();
    let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "quokka", "--tags", "wombat"]).ok();
    assert_eq!(home.status()["search"]["state"], "behind");
    has(&["list", "--domain", "q"], "quokka");
    has(&["list", "--tag", "w"], "wombat");
    has(&["list", "--domain", "c"], "ci");
    // Silent, whatever is wrong.
    for words in
        [&["complete", "--", "indelible", "--home", "/nowhere", "show", ""][..], &["complete"], &["complete", "--"]]
    {
        assert_eq!(home.homeless(words).ok().stderr, "");
    }
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE theirs (x)").expect("it is free");
    let _ = offered(&["show", ""]);
}
