//! `erase`: afterwards no byte of a record is in any file of the home, decoded or not; all else is as it was, whatever was killed on
//! the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use indelible::model::{Op, Record};

use crate::changes::{Subject, put};
use crate::support::{Receipt, Stores, TestHome, Worker, assert_search_agrees, everything, wait_for};
use crate::terminal::{Terminal, at_terminal};

/// What every secret text of these tests has. The first ones are as slugs and paths spell it.
pub const NEEDLES: [&str; 5] = ["hunter2", "zebra", "akia7zz", "sekretdomain9", "tagsecret77"];

/// Every place of the home that has one of `needles`, in any case: files' names and bytes, and git's objects as they are decoded.
pub fn places(home: &TestHome, needles: &[&str]) -> BTreeSet<String> {
    let has = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        needles.iter().any(|needle| text.contains(needle))
    };
    let mut places = BTreeSet::new();
    let mut open = vec![home.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(home.path()).expect("beneath the home").to_string_lossy().into_owned();
            if has(name.as_bytes()) || (path.is_file() && has(&fs::read(&path).expect("readable"))) {
                places.insert(name);
            }
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    let all = home.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"]).ok();
    for line in all.stdout.lines() {
        let (id, kind) = line.split_once(' ').expect("two words");
        let how = if kind == "tree" { "-p" } else { kind };
        // A user's files are not always text.
        let shown = home.git(["cat-file", how, id]).into_command().output().expect("there is git");
        if has(&shown.stdout) {
            places.insert(format!("{kind} {id}"));
        }
    }
    places
}

#[track_caller]
pub fn assert_gone(home: &TestHome) {
    assert_nowhere(home, &NEEDLES);
}

/// Holds that no place of the home has one of `needles`, which are in lower case.
#[track_caller]
pub fn assert_nowhere(home: &TestHome, needles: &[&str]) {
    assert_eq!(places(home, needles), BTreeSet::new(), "something is left");
}

#[track_caller]
pub fn assert_agree(home: &TestHome) {
    let _ = home.verify().exits(0);
    home.assert_sound();
    assert_search_agrees(home, false);
    let fsck = home.git(["fsck", "--full", "--strict", "--no-dangling"]).ok();
    assert!(!fsck.stdout.contains("missing") && !fsck.stderr.contains("error"), "{fsck}");
}

/// Holds that each record is in every store. (State files are files without a row.)
#[track_caller]
pub fn assert_whole(home: &TestHome, receipts: &[Receipt]) {
    let stores = Stores::read(home);
    for receipt in receipts {
        assert_eq!(stores.problems_of(&receipt.id), Vec::<String>::new());
    }
}

pub fn recorded(home: &TestHome, args: &[&str]) -> Receipt {
    home.cmd(["record"].iter().chain(args).chain(&["--json"])).ok().receipt()
}

/// A record of each kind with a secret in each of its fields.
pub fn secrets(home: &TestHome) -> Vec<Receipt> {
    let learning = |kind: &str| {
        let title = format!("Hunter2 zebra {kind} \"quoted\"");
        recorded(
            home,
            &[
                kind,
                "--title",
                &title,
                "--domain",
                "sekretdomain9",
                "--tags",
                "tagsecret77,y",
                "--summary",
                "a zebra line\nAKIA7ZZ: \u{e9}x",
            ],
        )
    };
    let mut receipts = ["failure", "success", "observation"].map(learning).to_vec();
    let rule = [
        "heuristic",
        "--domain",
        "sekretdomain9",
        "--rule",
        "never zebra hunter2",
        "--explanation",
        "akia7zz\nzebra",
        "--source",
        "zebra hunter2",
    ];
    receipts.push(recorded(home, &rule));
    let experiment = [
        "experiment",
        "--name",
        "hunter2 zebra run",
        "--hypothesis",
        "zebra holds",
        "--success-criteria",
        "akia7zz zebra",
        "--failure-criteria",
        "hunter2 no zebra",
    ];
    receipts.push(recorded(home, &experiment));
    receipts
        .push(recorded(home, &["failure", "--title", "keyed hunter2", "--domain", "ci", "--key", "zebra-key-akia7zz"]));
    receipts
}

/// Runs `erase` on `receipts`.
pub fn erase(home: &TestHome, receipts: &[Receipt], flags: &[&str]) -> crate::support::Cmd {
    let ids = receipts.iter().map(|receipt| receipt.id.as_str());
    home.cmd(["erase"].into_iter().chain(ids).chain(flags.iter().copied()))
}

/// A home with secrets in every place that this program writes, and records beside them.
fn planted() -> (TestHome, Vec<Receipt>, Vec<Receipt>) {
    planted_in(TestHome::new(), true)
}

/// As [`planted`], in `home`. In a repository that is not `ours`, an object that nothing refers to is the user's.
pub fn planted_in(home: TestHome, ours: bool) -> (TestHome, Vec<Receipt>, Vec<Receipt>) {
    let mut others = vec![home.record("failure", "before")];
    home.flush();
    let mut secrets = secrets(&home);
    others.push(home.record("heuristic", "beside"));
    home.flush();
    // A verdict, the end of an experiment, a heading in other words.
    let said = home.cmd(["validate", &secrets[3].id, "--because", "because hunter2 zebra holds", "--json"]).ok().json();
    let mut verdict = serde_json::json!({});
    for name in ["created_at", "duplicate", "id", "kind", "path", "row_id"] {
        verdict[name] = said[name].clone();
    }
    secrets.push(Receipt::of(&verdict));
    let ended = ["record", "outcome", &secrets[4].id, "--result", "failed", "--summary", "akia7zz zebra came of it"];
    let _ = home.cmd(ended).ok();
    // Amended, parked, retracted and edited.
    let subject = Subject::of(&home, &secrets[0]);
    let Op::Amend(mut parked) = subject.amend(9, "summary", "parked hunter2 zebra") else { panic!("it amends") };
    parked.change.base = subject.restore(8).revision();
    put(&home, &[subject.amend(2, "title", "amended hunter2 zebra"), subject.retract(3)]);
    home.flush();
    put(&home, &[Op::Amend(parked), subject.retract(3)]);
    home.flush();
    let second = Subject::of(&home, &secrets[1]);
    let page = home.join(&second.path);
    let text = fs::read_to_string(&page).expect("a page");
    fs::write(&page, text + "\nedited hunter2 zebra\n").expect("edited");
    put(&home, &[second.retract(2), second.restore(3)]);
    home.flush();
    fs::copy(home.join(&secrets[2].page()), home.join("memory/observations/copy-of-zebra.md")).expect("copied");
    // Bytes in free pages, in a pack with deltas, in an object that nothing reaches.
    home.index().execute_batch("UPDATE learnings SET summary = 'x' WHERE title LIKE '%zebra%'").expect("changed");
    let _ = home.git(["gc", "-q"]).ok();
    if ours {
        let _ = home.git(["hash-object", "-w", &home.join(&secrets[3].page()).display().to_string()]).ok();
    }
    for (name, text) in [
        ("logs/worker.log", "one\nabout hunter2 zebra run\nit waits: parked hunter2 zebra\nthree\n"),
        ("hooks.error", "never zebra hunter2\n"),
        ("requests/left.json", "{\"x\":\"hunter2 zebra run\"}"),
        ("tmp/left", "never zebra hunter2"),
        ("sessions/abc", "{\"at\":1,\"opened\":{\"command\":\"never zebra hunter2\"}}\n"),
        ("quarantine/unknown-x.md", "never zebra hunter2"),
    ] {
        let path = home.private().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    others.push(home.record("success", "after"));
    home.flush();
    (home, secrets, others)
}

/// The words that only a retracted record has as well prove nothing about the erased one: the erasure would never be finished.
#[test]
fn a_retracted_record_with_the_same_words_is_in_no_ones_way() {
    let home = TestHome::new();
    let summary = "The very same words, in one line.";
    let record = |title: &str| recorded(&home, &["failure", "--title", title, "--domain", "d", "--summary", summary]);
    let (kept, gone) = (record("the retracted one"), record("the erased one"));
    home.flush();
    let _ = home.cmd(["retract", &kept.id]).ok();
    let said = erase(&home, &[gone], &["--yes"]).ok();
    assert!(said.stdout.contains("says the same words, and stays: memory/index.db"), "{said}");
    assert_nowhere(&home, &["the erased one"]);
    let _ = home.cmd(["restore", &kept.id]).ok();
    assert_agree(&home);
}

/// A private folder from a backup brings the journal's entries back, and nothing of them stays.
#[test]
fn what_a_backup_brings_back_is_erased_again() {
    for command in [&["recover"][..], &["erase"], &["flush"]] {
        let home = TestHome::new();
        let receipt = recorded(&home, &["failure", "--title", "hunter2 zebra", "--domain", "ci"]);
        let other = home.record("success", "beside");
        home.flush();
        let (private, backup) = (home.private().to_owned(), home.user().join("backup"));
        let copy = |from: &Path, to: &Path| {
            assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs").success());
        };
        copy(&private, &backup);
        let _ = erase(&home, std::slice::from_ref(&receipt), &["--yes"]).ok();
        assert_gone(&home);
        fs::remove_dir_all(&private).expect("it is there");
        copy(&backup, &private);
        assert!(!places(&home, &NEEDLES).is_empty(), "the backup has it");
        let _ = match command {
            ["erase"] => erase(&home, std::slice::from_ref(&receipt), &["--yes"]).ok(),
            command => home.cmd(command).ok(),
        };
        fs::remove_dir_all(&backup).expect("it is there");
        assert_gone(&home);
        assert_whole(&home, &[other]);
        assert_agree(&home);
        let again = erase(&home, &[receipt], &["--yes"]).ok();
        assert!(again.stdout.contains("already erased"), "{again}");
    }
}

/// Nothing brings it back, so a line that was meant for something else is no yes.
#[test]
fn a_person_is_asked_and_what_was_typed_before_is_no_answer() {
    let home = TestHome::new();
    let receipt = recorded(&home, &["failure", "--title", "hunter2 zebra", "--domain", "ci"]);
    home.flush();
    let inner = home.cmd(["erase", &receipt.id]).into_command();
    // The shell takes the first line. The second one waits in the terminal before the program starts.
    let mut outer = Command::new("/bin/sh");
    outer.args(["-c", "read go; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    outer.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal = Terminal::run(outer);
    terminal.press("go\ny\n");
    terminal.answer("Erase for good?", "n");
    let screen = terminal.exits(0);
    assert!(screen.contains("nothing was erased"), "{screen}");
    let _ = home.cmd(["show", &receipt.id]).ok();
    let mut terminal = at_terminal(&home, &["erase", &receipt.id]);
    terminal.answer("Erase for good?", "y");
    let screen = terminal.exits(0);
    assert!(screen.contains("erased: ") && screen.contains("rotate it"), "{screen}");
    assert_gone(&home);
}

/// Why a record was retracted can say what it said.
#[test]
fn the_reasons_of_retractions_go_as_well() {
    let home = TestHome::new();
    let receipt = recorded(&home, &["failure", "--title", "a plain one", "--domain", "ci"]);
    home.flush();
    let _ = home.cmd(["retract", &receipt.id, "--because", "hunter2 zebra was in it"]).ok();
    let _ = home.cmd(["restore", &receipt.id]).ok();
    let _ = home.cmd(["retract", &receipt.id, "--because", "akia7zz as well"]).ok();
    let other = home.record("success", "beside");
    home.flush();
    assert!(!places(&home, &NEEDLES).is_empty());
    let _ = erase(&home, std::slice::from_ref(&receipt), &["--yes"]).ok();
    assert_gone(&home);
    assert_whole(&home, &[other]);
    assert_agree(&home);
    let again = home.cmd(["retract", &receipt.id]).ok();
    assert!(again.stdout.contains("already erased"), "{again}");
    let shown = home.cmd(["show", &receipt.id]).run().exits(1);
    assert!(shown.stderr.contains("nothing brings it back"), "{shown}");
}

#[test]
fn no_file_of_the_home_has_a_byte_of_what_was_erased() {
    let (home, secrets, others) = planted();
    let first = home.git(["rev-list", "--max-parents=0", "main"]).ok().stdout;
    let dropped =
        home.git(["-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "main~1^{tree}", "-m", "dropped"]).run();
    assert_eq!(dropped.code(), Some(0), "{dropped}");
    let before = everything(&home);
    let dry = erase(&home, &secrets, &["--dry-run", "--json"]).ok().json();
    assert_eq!(dry["would_erase"].as_array().map(Vec::len), Some(secrets.len()));
    assert!(dry["git"]["kept_by"].to_string().contains(dropped.stdout.trim()), "{dry}");
    assert_eq!(everything(&home), before, "a dry run changes nothing");
    let refused = erase(&home, &secrets, &[]).run().exits(64);
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(everything(&home), before, "without a terminal and --yes nothing changes");
    let said = erase(&home, &secrets, &["--yes"]).ok();
    assert!(said.stdout.contains("rotate") && said.stdout.contains(dropped.stdout.trim()), "{said}");
    // What a commit of theirs that nothing reaches has is theirs.
    let _ = home.git(["cat-file", "-e", dropped.stdout.trim()]).ok();
    assert!(
        places(&home, &NEEDLES).iter().all(|place| place.contains(' ')),
        "only git's objects: {:?}",
        places(&home, &NEEDLES)
    );
    let _ = home.git(["gc", "-q", "--prune=now"]).ok();
    assert_gone(&home);
    let log = fs::read_to_string(home.private().join("logs/worker.log")).expect("a log");
    assert_eq!(log.split_whitespace().collect::<Vec<_>>(), ["one", "three"]);
    assert_eq!(
        home.git(["rev-list", "--max-parents=0", "main"]).ok().stdout,
        first,
        "a commit before it keeps its name"
    );
    assert_whole(&home, &others);
    assert_agree(&home);
    home.recover_fully();
    assert_gone(&home);
    for receipt in &secrets {
        let _ = home.cmd(["show", &receipt.id]).run().exits(1);
        let _ = home.cmd(["restore", &receipt.id]).run().exits(65);
    }
    let again = erase(&home, &secrets, &["--yes"]).ok();
    assert_eq!(again.stdout.matches("already erased").count(), secrets.len(), "{again}");
    // A repeat of an erased key is a duplicate, and stays away.
    let keyed = ["record", "failure", "--title", "again", "--domain", "ci", "--key", "zebra-key-akia7zz", "--json"];
    let repeat = home.cmd(keyed).ok().json();
    assert_eq!((&repeat["id"], &repeat["state"]), (&secrets[5].id.as_str().into(), &"erased".into()), "{repeat}");
    assert!(repeat["duplicate"] == true && repeat["path"].is_null(), "{repeat}");
    home.flush();
    assert_agree(&home);
    // A lost index is rebuilt without it.
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(home.join("memory").join(name));
    }
    home.recover_fully();
    assert_gone(&home);
}

#[test]
fn an_erasure_is_not_begun_or_finished_by_the_next_wherever_it_is_killed() {
    let points = [
        "EraseBeforeNote",
        "EraseBeforeNote:2",
        "EraseBeforeNote:3",
        "EraseBeforeAppend",
        "RotateBeforeHeader",
        "AppendAfterSync",
        "HideBeforeRemove",
        "RowAfterCommit",
        "CommitBeforeBranch",
        "CommitAfterBranch",
        "CommitBeforeAnchor",
        "PruneBeforeUnlink",
        "PruneAfterUnlink",
        "EraseBeforeRows",
        "EraseBeforeVacuum",
        "EraseBeforeFile",
        "EraseBeforeFile:5",
        "EraseBeforeReference",
        "EraseBeforeReference:2",
        "EraseAfterReferences",
        "EraseBeforePack",
        "EraseBeforeOldPack",
        "EraseBeforeDone",
    ];
    for point in points {
        let home = TestHome::new();
        let other = home.record("failure", "before");
        home.flush();
        let secrets = secrets(&home);
        home.flush();
        let _ = home.git(["gc", "-q"]).ok();
        let killed = erase(&home, &secrets, &["--yes"]).env("INDELIBLE_CRASH_AT", point).run();
        assert_ne!(killed.code(), Some(0), "{point}: {killed}");
        let has_begun = home.private().join("erasing.json").exists();
        assert_eq!(has_begun, point != "EraseBeforeNote", "{point}");
        if !has_begun {
            assert_whole(&home, &secrets);
        }
        for again in ["EraseBeforeReference", "EraseBeforeFile"] {
            let outcome = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", again).run();
            assert!(has_begun || outcome.code() == Some(0), "{point}: {outcome}");
        }
        home.flush();
        if has_begun {
            assert!(!home.private().join("erasing.json").exists(), "{point}: it is finished");
            assert_gone(&home);
        }
        assert_whole(&home, &[other]);
        assert_agree(&home);
        home.recover_fully();
    }
}

#[test]
fn a_locked_index_is_in_the_way_and_a_reader_holds_up_success_alone() {
    let home = TestHome::new();
    let secrets = secrets(&home);
    home.flush();
    let other = home.index();
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let quick = ["--yes", "--set", "worker.index_wait_ms=50"];
    let refused = erase(&home, &secrets, &quick).run().exits(75);
    assert!(refused.stderr.contains("nothing was erased"), "{refused}");
    other.execute_batch("ROLLBACK").expect("released");
    assert_whole(&home, &secrets);
    other.execute_batch("BEGIN; SELECT count(*) FROM learnings;").expect("read");
    let begun = erase(&home, &secrets, &quick).run().exits(75);
    assert!(begun.stderr.contains("begun; still: the index"), "{begun}");
    assert!(!home.join(&secrets[0].page()).exists(), "it is kept away at once");
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("being erased"), "{status}");
    other.execute_batch("COMMIT").expect("ended");
    drop(other);
    // A worker finishes it, too.
    let worker = Worker::quick(&home);
    wait_for("the worker to finish it", || (!home.private().join("erasing.json").exists()).then_some(()));
    let refused = erase(&home, &secrets[..1], &["--yes"]).ok();
    assert!(refused.stdout.contains("already erased"), "{refused}");
    let last = home.record("failure", "hunter2 at work");
    worker.wait_until_committed(&home);
    let _ = erase(&home, &[last], &["--yes"]).ok();
    assert!(worker.stop(rustix::process::Signal::TERM).success());
    assert_gone(&home);
    assert_agree(&home);
}

#[test]
fn unknown_ids_change_nothing() {
    let home = TestHome::new();
    let receipt = home.record("failure", "kept");
    home.flush();
    for text in ["0198f3a2-7c1e-7b3d-9a4f-5566778899aa", "zzz", "no/such.md"] {
        let _ = home.cmd(["erase", &receipt.id, text, "--yes"]).run().exits(65);
    }
    assert_whole(&home, &[receipt]);
}

#[test]
fn another_record_with_the_same_words_stays_and_is_named() {
    let home = TestHome::new();
    let one = recorded(&home, &["failure", "--title", "the very same words here", "--domain", "ci"]);
    let two = recorded(&home, &["failure", "--title", "the very same words here", "--domain", "ci"]);
    home.flush();
    let said = erase(&home, &[one], &["--yes"]).ok();
    assert!(said.stdout.contains(&two.page()), "{said}");
    assert_whole(&home, &[two]);
    assert_agree(&home);
    assert!(Path::new(&home.join("memory")).exists());
}

/// The record of a subject, so that a change of its kinds shows here.
#[test]
fn every_kind_has_its_secrets() {
    let home = TestHome::new();
    let receipts = secrets(&home);
    home.flush();
    let kinds: BTreeSet<String> = receipts
        .iter()
        .map(|receipt| match Subject::of(&home, receipt).request.record {
            Record::Verdict(_) => "verdict".to_owned(),
            record => record.kind().to_string(),
        })
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}
