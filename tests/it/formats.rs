//! Formats: what a program makes of newer and older formats. What was acknowledged is never lost for it, and
//! recorders go on.

use std::fs;

use indelible::fs::Dir;
use indelible::journal::{Appender, Journal};

use crate::support::{Cmd, TestHome, assert_exactly_once};

/// The first lines of the segments of the home's journal.
fn headers(home: &TestHome) -> Vec<String> {
    let line = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
    home.journal().into_iter().map(|(_, bytes)| line(bytes)).collect()
}

/// Puts `entries` into the journal, in a segment for operations.
pub fn append(home: &TestHome, entries: &[Vec<u8>]) {
    let journal = Journal::new(Dir::open(&home.join(".indelible/journal")).expect("it opens"));
    let mut appender = Appender::open_for_operations(&journal).expect("there is a segment");
    let written = appender.append(entries).expect("it can be written");
    let _ = written.sync().expect("it can be synced");
}

#[test]
fn a_home_without_operations_stays_one_that_older_programs_can_use() {
    let home = TestHome::new();
    let _ = home.record_each("the old format");
    home.flush();
    let _ = home.recover();
    let _ = home.record("failure", "still the old format");
    let headers = headers(&home);
    assert!(headers.iter().all(|line| line.starts_with("indelible-journal 1 ")), "{headers:?}");
}

#[test]
fn behind_a_segment_of_a_newer_program_records_are_kept_until_one_comes_that_reads_it() {
    let home = TestHome::new();
    let mut receipts = vec![home.record("failure", "before the newer program")];
    let segment = |number: u32| home.join(&format!(".indelible/journal/{number:010}.log"));
    // A newer program went on with the journal: its segment holds a record as ours do, so that it can be read later.
    let other = TestHome::new();
    receipts.push(other.record("failure", "the newer program itself"));
    let (_, theirs) = other.journal().swap_remove(0);
    let entry = &theirs[theirs.iter().position(|byte| *byte == b'\n').expect("a header") + 1..];
    let header = format!("indelible-journal 3 {}\n", uuid::Uuid::from_u128(3));
    fs::write(segment(2), [header.as_bytes(), entry].concat()).expect("it can be written");
    let before = fs::read(segment(2)).expect("it is there");

    receipts.extend(home.record_each("behind it"));
    assert_eq!(fs::read(segment(2)).expect("it is there"), before, "a segment of a newer program was written to");
    assert!(headers(&home)[2].starts_with("indelible-journal 2 "), "{:?}", headers(&home));
    // What lies before it is committed; it is named, and not passed.
    let flush = home.cmd(["flush"]).run().exits(78);
    assert!(flush.stderr.contains("segment 2 has format 3"), "{flush}");
    let log = home.git(["log", "--format=%B"]).ok();
    assert!(log.stdout.contains("before the newer program") && !log.stdout.contains("behind it"), "{log}");
    // What lies behind it is counted alike.
    assert_eq!(home.status()["pending"]["records"], 5);
    let verify = home.verify().exits(78);
    assert!(verify.stdout.contains("segment 2 has format 3") && !verify.stdout.contains("repair"), "{verify}");
    assert_eq!(home.cmd(["verify", "--json"]).run().json()["pending"], 5);
    let worker = home.cmd(["worker"]).run().exits(78);
    assert!(worker.stderr.contains("segment 2 has format 3"), "{worker}");
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("segment 2 has format 3"), "{status}");
    let _ = home.cmd(["recover"]).run().exits(78);
    receipts.push(home.record("success", "still recording"));

    // The newer program reads all three.
    fs::write(segment(2), String::from_utf8(before).expect("it is text").replacen("journal 3", "journal 2", 1))
        .expect("it can be written");
    home.flush();
    home.recover_fully();
    assert_exactly_once(&home, &receipts);
    let log = home.git(["log", "--format=%B"]).ok();
    assert!(log.stdout.contains("the newer program itself"), "{log}");
}

#[test]
fn an_operation_that_is_not_known_is_parked_by_name_and_everything_else_goes_on() {
    let home = TestHome::new();
    let before = home.record("failure", "before it");
    let unknown = br#"{"op":"frobnicate","of":"00000000-0000-0000-0000-000000000001"}"#.to_vec();
    append(&home, std::slice::from_ref(&unknown));
    let behind = home.record("failure", "behind it");
    home.flush();
    assert_exactly_once(&home, &[before, behind]);
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("quarantine"), "{status}");
    let quarantine = home.join(".indelible/quarantine");
    let kept = |end: &str| {
        let names = fs::read_dir(&quarantine).expect("it is there").map(|it| it.expect("it can be listed").path());
        let found: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        fs::read(&found[0]).expect("it can be read")
    };
    assert_eq!(kept(".bin"), unknown, "its bytes are kept");
    assert!(String::from_utf8_lossy(&kept(".json")).contains("`frobnicate`"), "the reason names the operation");
    let _ = home.recover();
    assert_eq!(kept(".bin"), unknown, "it waits for a program that knows it");
}

/// A copy of the home that version 0.1.0 left before there were operations.
pub fn v1() -> TestHome {
    let home = TestHome::absent();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1/home.tar.gz");
    let _ = Cmd::new("tar", home.user()).args(["xzf", archive, "-C"]).args([home.user()]).ok();
    home
}

/// The titles of everything that the fixture holds, and how many wait to be committed.
const V1: [&str; 10] = [
    "disk full at commit",
    "retry with backoff",
    "hidden \u{1b}[31m characters",
    "Sync the folder after the rename",
    "Batch the commits",
    "keyed and committed",
    "pending failure",
    "Pending rule",
    "Pending experiment",
    "keyed and pending",
];

#[test]
fn a_home_of_the_program_before_operations_opens_upgrades_in_place_and_loses_nothing() {
    let home = v1();
    assert_eq!(home.status()["pending"]["records"], 4, "what was pending is still pending");
    let new = home.record("failure", "recorded by the new program");
    // The same keys are the same records.
    for key in ["one", "two"] {
        let again = home.recorder("failure", "another content").args(["--key", key]).ok().receipt();
        assert!(key == "two" || again.duplicate, "a key of before is known: {again:?}");
    }
    home.flush();
    let stores = assert_exactly_once(&home, &[new]);
    for title in V1 {
        assert_eq!(stores.named(title).len(), 1, "{title:?}");
    }
    assert_eq!(stores.ids().len(), V1.len() + 1, "nothing else is there");
    home.recover_fully();
    assert!(headers(&home).iter().all(|line| line.starts_with("indelible-journal 1 ")), "no operation, no new format");
    // Its pages stay as they are, without a revision.
    let page = fs::read_to_string(home.join(&stores.rows[&stores.named(V1[0])[0]].path)).expect("it is there");
    assert!(!page.contains("\nrevision:"), "{page}");
}

#[test]
fn a_home_of_the_program_before_operations_is_rebuilt_from_its_files() {
    for lost in ["memory/index.db", ".git", ".indelible/state.json"] {
        let home = v1();
        let path = home.join(lost);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        home.recover_fully();
        let stores = assert_exactly_once(&home, &[]);
        for title in V1 {
            assert_eq!(stores.named(title).len(), 1, "without {lost}: {title:?}");
        }
    }
}
