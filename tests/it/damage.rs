//! Things that no crash does: bits that flip, segments that go missing, histories that are rewritten, homes that are
//! copied or restored. What still exists anywhere comes back everywhere, or is named; nothing is passed over in silence.

use std::fs;
use std::path::{Path, PathBuf};

use indelible::fs::Dir;
use indelible::journal::{Item, Journal, Reader};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Dice, Outcome, Receipt, Stores, TestHome, Worker, assert_exactly_once};

/// The segments of a journal as bytes.
type Segments = Vec<(String, Vec<u8>)>;

/// Entries of every sort, whole ones, torn ones and voided ones, in two segments, as real processes leave them.
fn realistic() -> Segments {
    let home = TestHome::new();
    let _ = home.record_each("first");
    let _ = home.recorder("failure", "torn").env("INDELIBLE_CRASH_AT", "AppendShortWrite").run().aborted();
    let long = "A long story. ".repeat(60);
    let story = ["record", "observation", "--title", "long", "--domain", "ci", "--summary", &long];
    let _ = home.cmd(story).ok();
    let _ = home.recorder("failure", "voided").env("INDELIBLE_FAIL_AT", "AppendBeforeSync=5").run().exits(74);
    next_segment(&home);
    let _ = home.recorder("heuristic", "keyed").args(["--key", "JOKER * 2"]).ok();
    let _ = home.record("experiment", "JJJ **** \u{4a}\u{8a}");
    home.journal()
}

/// Makes the next segment as a worker does that dies before its header, which the next recorder writes.
fn next_segment(home: &TestHome) -> PathBuf {
    let newest = home.journal().last().expect("there is one").0.clone();
    let number: u64 = newest.trim_end_matches(".log").parse().expect("segments are numbered");
    let path = home.join(&format!(".indelible/journal/{:010}.log", number + 1));
    fs::write(&path, "").expect("it can be made");
    path
}

/// What a reader gives of a journal.
#[derive(Debug, Default)]
struct Read {
    entries: Vec<Vec<u8>>,
    torn: usize,
    damaged: usize,
    refused: Option<String>,
}

/// A journal of `segments` that no process uses; a newer segment seals them all.
struct Bench {
    root: tempfile::TempDir,
    journal: Journal,
}

impl Bench {
    fn of(segments: &Segments) -> Bench {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in segments {
            fs::write(root.path().join(name), bytes).expect("it can be written");
        }
        let journal = Journal::new(Dir::open(root.path()).expect("it opens"));
        let next = journal.newest().expect("there is one").next().file_name();
        fs::write(root.path().join(next), "indelible-journal 1 00000000-0000-0000-0000-00000000000e\n")
            .expect("sealed");
        Bench { root, journal }
    }

    /// Puts `bytes` in the place of the segment `name`.
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.path().join(name), bytes).expect("it can be written");
    }

    fn read(&self) -> Read {
        let mut read = Read::default();
        let mut all = || {
            let Some(mut reader) = Reader::from_start(&self.journal)? else { return Ok(()) };
            while let Some(item) = reader.next()? {
                match item {
                    Item::Entry { json } => read.entries.push(json),
                    Item::Torn => read.torn += 1,
                    Item::Damaged { .. } => read.damaged += 1,
                    Item::Voided => {}
                }
            }
            Ok::<_, indelible::journal::Error>(())
        };
        if let Err(error) = all() {
            read.refused = Some(error.to_string());
        }
        read
    }
}

/// A whole entry of a segment: its JSON, and where it begins (its own line feed included) and ends.
struct Span {
    segment: usize,
    start: usize,
    end: usize,
    json: Vec<u8>,
    behind_torn: bool,
}

/// Finds whole entries by their own length, without the code that is tested.
fn spans(segments: &Segments) -> Vec<Span> {
    let mut spans = Vec::new();
    for (segment, (_, bytes)) in segments.iter().enumerate() {
        let mut offset = 0;
        let mut torn_before = false;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let mut parts = text.splitn(3, |byte| *byte == b' ');
            let (checksum, length, json) = (parts.next(), parts.next(), parts.next());
            let length = length.and_then(|it| std::str::from_utf8(it).ok()?.parse::<usize>().ok());
            let whole = json.filter(|json| Some(json.len()) == length && checksum != Some(b"--------"));
            if let Some(json) = whole {
                let (start, end) = (offset - 1, offset + line.len());
                spans.push(Span { segment, start, end, json: json.to_vec(), behind_torn: torn_before });
            }
            torn_before = whole.is_none() && length.is_some() && !text.is_empty();
            offset += line.len();
        }
    }
    spans
}

/// Reads the journal with one bit after the other flipped, every `step`-th of them.
fn flips(step: usize) {
    let segments = realistic();
    let spans = spans(&segments);
    let bench = Bench::of(&segments);
    let whole = bench.read();
    assert_eq!(whole.entries.len(), spans.len(), "the entries are not where they should be");
    assert_eq!((spans.len(), whole.torn, whole.damaged), (8, 1, 0), "the journal is not the one that is wanted");
    let (mut cases, mut silent) = (0, Vec::new());
    for (segment, (name, bytes)) in segments.iter().enumerate() {
        for bit in (0..bytes.len() * 8).step_by(step) {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            let mut flipped = bytes.clone();
            flipped[byte] ^= mask;
            bench.put(name, &flipped);
            let read = bench.read();
            cases += 1;
            let at = format!("{name}, byte {byte} ({:?}), mask {mask:02x}", char::from(bytes[byte]));
            // Another version of the format is refused by name, and nothing is touched.
            if let Some(why) = read.refused {
                assert!(byte < 60 && why.contains("format"), "{at}: {why}");
                continue;
            }
            let hit = |span: &Span| span.segment == segment && (span.start..span.end).contains(&byte);
            let spared: Vec<_> = spans.iter().filter(|span| !hit(span)).collect();
            let given = |span: &Span| read.entries.iter().filter(|json| **json == span.json).count();
            for span in &spared {
                if given(span) != 1 {
                    silent.push(format!("{at}: an entry that was not hit was given {} times", given(span)));
                }
            }
            let struck: Vec<_> = spans.iter().filter(|span| hit(span) && given(span) == 0).collect();
            let strange = read.entries.iter().filter(|json| !spans.iter().any(|span| span.json == **json)).count();
            assert_eq!(strange, 0, "{at}: something was read that was never written");
            // What ends a torn line is the next entry's, and joins the two.
            let joined = struck.iter().any(|span| span.behind_torn && span.start == byte) && read.torn > 0;
            if !struck.is_empty() && read.damaged == 0 && !joined {
                silent.push(format!("{at}: an entry that was hit passes for one that was never finished"));
            }
        }
        bench.put(name, bytes);
    }
    assert!(silent.is_empty(), "{} of {cases}: {:#?}", silent.len(), &silent[..silent.len().min(12)]);
    eprintln!("{cases} bits flipped");
}

#[test]
fn bits_of_a_journal_flip() {
    flips(23);
}

#[test]
#[ignore = "takes a minute: every bit of a journal"]
fn every_bit_of_a_journal_flips() {
    flips(1);
}

/// Reads the journal with one segment after the other cut off after each `step`-th byte.
fn cuts(step: usize) {
    let segments = realistic();
    let spans = spans(&segments);
    let bench = Bench::of(&segments);
    let torn = bench.read().torn;
    let mut cases = 0;
    for (segment, (name, bytes)) in segments.iter().enumerate() {
        for length in (0..bytes.len()).step_by(step) {
            bench.put(name, &bytes[..length]);
            let read = bench.read();
            cases += 1;
            let at = format!("{name}, cut after {length} of {} bytes", bytes.len());
            assert_eq!(read.refused, None, "{at}");
            // The final line feed may be missing.
            let kept = |span: &&Span| span.segment != segment || span.end - 1 <= length;
            let expected: Vec<_> = spans.iter().filter(kept).map(|span| span.json.clone()).collect();
            assert!(read.entries == expected, "{at}: {} entries instead of {}", read.entries.len(), expected.len());
            assert_eq!(read.damaged, 0, "{at}: what was never finished is no damage");
            let begun = |span: &Span| span.segment == segment && (span.start + 2..span.end - 1).contains(&length);
            let said = read.torn >= usize::from(spans.iter().any(begun)) && read.torn <= torn + 1;
            assert!(said, "{at}: {} torn entries", read.torn);
        }
        bench.put(name, bytes);
    }
    eprintln!("{cases} cuts");
}

#[test]
fn a_journal_is_cut() {
    cuts(7);
}

#[test]
#[ignore = "takes a while: every byte of a journal"]
fn a_journal_is_cut_at_every_byte() {
    cuts(1);
}

/// Zeros are what a power cut can leave of what was never finished, at the end of a line. What a disk loses of what was
/// finished almost always ends in the middle of a line, and is reported.
#[test]
fn ranges_of_a_journal_are_zeroed() {
    let segments = realistic();
    let spans = spans(&segments);
    let bench = Bench::of(&segments);
    let (mut cases, mut silent) = (0, 0);
    for (segment, (name, bytes)) in segments.iter().enumerate() {
        let ranges =
            [1, 40, 512].into_iter().flat_map(|length| (57..bytes.len()).step_by(17).map(move |at| (at, length)));
        for (start, length) in ranges {
            let end = bytes.len().min(start + length);
            let mut zeroed = bytes.clone();
            zeroed[start..end].fill(0);
            bench.put(name, &zeroed);
            let read = bench.read();
            cases += 1;
            let at = format!("{name}, zeros from byte {start} to {end}");
            assert_eq!(read.refused, None, "{at}");
            let given = |span: &Span| read.entries.contains(&span.json);
            let hit = |span: &Span| span.segment == segment && span.start < end && start < span.end;
            assert!(spans.iter().all(|span| given(span) || hit(span)), "{at}: an entry that was not hit is gone");
            assert!(
                read.entries.iter().all(|it| spans.iter().any(|span| span.json == *it)),
                "{at}: it was never written"
            );
            let gone = spans.iter().any(|span| !given(span));
            // With all that came before its line feed, or up to the end of all, a line looks like one never finished.
            let unfinished = zeroed.get(end).is_none_or(|byte| *byte == b'\n') || bytes[end - 1] == b'\n';
            assert!(!gone || read.damaged > 0 || unfinished, "{at}: an entry is gone, and nothing is said");
            silent += usize::from(gone && read.damaged == 0);
        }
        bench.put(name, bytes);
    }
    assert!(silent * 10 < cases, "{silent} of {cases} ranges of zeros pass for what was never finished");
    eprintln!("{cases} ranges of zeros, {silent} of them like what was never finished");
}

/// Records in every state: those that the journal has let go of, committed ones that it has, and pending ones in two
/// segments, some of which nothing but the journal has.
struct Lived {
    home: TestHome,
    committed: Vec<Receipt>,
    /// Pending in the older segment, with file and row.
    older: Vec<Receipt>,
    /// Pending in the older segment, and nowhere else.
    older_keyed: Vec<Receipt>,
    newer: Vec<Receipt>,
    newer_keyed: Vec<Receipt>,
}

const TINY: [&str; 4] = ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];

impl Lived {
    fn new() -> Lived {
        let home = TestHome::new();
        let mut committed = home.record_each(&"fills the segment ".repeat(20));
        let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
        committed.extend(home.record_each("committed"));
        let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
        committed.extend(home.record_each("committed later"));
        home.flush();
        let older = home.record_each("older");
        let keyed = |key: &str, kind| home.recorder(kind, key).args(["--key", key]).ok().receipt();
        let older_keyed = vec![keyed("older one", "failure"), keyed("older two", "experiment")];
        next_segment(&home);
        let newer = home.record_each("newer");
        let newer_keyed = vec![keyed("newer one", "heuristic"), keyed("newer two", "success")];
        Lived { home, committed, older, older_keyed, newer, newer_keyed }
    }

    fn settled() -> Lived {
        let lived = Lived::new();
        lived.home.flush();
        lived
    }

    /// Everything that a file was placed of.
    fn with_file(&self) -> Vec<Receipt> {
        [&self.committed[..], &self.older, &self.newer].concat()
    }

    fn all(&self) -> Vec<Receipt> {
        [&self.with_file()[..], &self.older_keyed, &self.newer_keyed].concat()
    }

    /// The two segments that pending records are in.
    fn segments(&self) -> [PathBuf; 2] {
        let names = self.home.journal();
        assert_eq!(names.len(), 2, "there should be two segments");
        [0, 1].map(|at| self.home.join(&format!(".indelible/journal/{}", names[at].0)))
    }
}

/// Holds that `outcome` ended in a way that is promised, and suggests nothing that destroys.
#[track_caller]
fn sane(outcome: &Outcome) {
    let code = outcome.code().unwrap_or_else(|| panic!("it was ended by a signal: {outcome}"));
    assert!([0, 1, 74, 75, 77, 78].contains(&code), "an exit code that is not promised: {outcome}");
    let text = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
    for bad in ["panicked", "rm -", "delete the", "git reset", "git init", "start over"] {
        assert!(!text.contains(bad), "{bad:?} is no good advice: {outcome}");
    }
    assert!(code == 0 || outcome.stderr.len() > 20 || outcome.stdout.len() > 20, "nothing is said: {outcome}");
}

/// Holds that recovery brings back `receipts`, finds nothing to do the second time, and that life goes on with a worker.
/// Returns what recovery reported.
#[track_caller]
fn comes_back(home: &TestHome, receipts: &[Receipt], what: &str) -> Value {
    eprintln!("{what}");
    let outcome = home.cmd(["recover", "--json"]).run();
    sane(&outcome);
    let report = outcome.exits(0).json();
    assert_eq!(report["lost"].as_array().map(Vec::len), Some(0), "{what}: {report}");
    goes_on(home, receipts, what);
    report
}

/// Holds that nothing is left to do, and that a worker takes new records.
#[track_caller]
fn goes_on(home: &TestHome, receipts: &[Receipt], what: &str) {
    eprintln!("{what}: and after that");
    home.assert_settled();
    assert_exactly_once(home, receipts);
    let mut more = home.record_each("after the damage");
    let worker = Worker::quick(home);
    more.extend(home.record_each("beside a worker after the damage"));
    worker.wait_until_committed(home);
    assert!(worker.stop(Signal::TERM).success(), "{what}: the worker does not stop");
    home.assert_settled();
    assert_exactly_once(home, &[receipts, &more].concat());
}

/// Real homes with a bit flipped in the journal: what only the journal had is back or named, all else is back.
#[test]
fn recovery_from_flipped_bits() {
    let mut dice = Dice(0x1ce);
    for round in 0..10 {
        let lived = Lived::new();
        let segment = &lived.segments()[round % 2];
        let mut bytes = fs::read(segment).expect("it can be read");
        // Behind the header: a flip in that is another test's.
        let byte = 60 + dice.below(bytes.len() as u64 - 60) as usize;
        bytes[byte] ^= 1 << dice.below(8);
        fs::write(segment, &bytes).expect("it can be written");
        eprintln!("round {round}: byte {byte} of {}", segment.display());
        let outcome = lived.home.cmd(["recover", "--json"]).run();
        sane(&outcome);
        let _ = outcome.exits(0);
        let stores = Stores::read(&lived.home);
        let gone: Vec<_> = lived.all().into_iter().filter(|it| !stores.problems_of(&it.id).is_empty()).collect();
        assert!(gone.len() <= 1, "one bit cost {gone:?}");
        assert!(
            gone.iter().all(|it| lived.with_file().iter().all(|other| other.id != it.id)),
            "a file was left: {gone:?}"
        );
        let check = lived.home.cmd(["status", "--check"]).run();
        sane(&check);
        assert!(gone.is_empty() || check.code() == Some(1), "a record is gone, and `verify` does not say so: {check}");
        let _ = lived.home.cmd(["repair", "--dismiss"]).ok();
        let rest: Vec<_> = lived.all().into_iter().filter(|it| !gone.contains(it)).collect();
        goes_on(&lived.home, &rest, "a flipped bit");
    }
}

#[test]
fn segments_that_are_missing_or_moved() {
    let lived = Lived::new();
    fs::remove_file(&lived.segments()[0]).expect("it can be removed");
    comes_back(&lived.home, &[&lived.with_file()[..], &lived.newer_keyed].concat(), "the older segment is missing");

    let lived = Lived::new();
    fs::remove_file(&lived.segments()[1]).expect("it can be removed");
    comes_back(&lived.home, &[&lived.with_file()[..], &lived.older_keyed].concat(), "the newer segment is missing");

    let lived = Lived::new();
    let [older, newer] = lived.segments();
    let aside = lived.home.user().join("aside");
    fs::rename(&older, &aside).expect("it can be moved");
    fs::rename(&newer, &older).expect("it can be moved");
    fs::rename(&aside, &newer).expect("it can be moved");
    comes_back(&lived.home, &lived.all(), "the segments are swapped");

    for which in [0, 1] {
        let lived = Lived::new();
        let copy = next_segment(&lived.home);
        let from = lived.home.journal()[which].0.clone();
        fs::copy(lived.home.join(&format!(".indelible/journal/{from}")), copy).expect("it can be copied");
        comes_back(&lived.home, &lived.all(), "a segment is there twice");
    }

    let lived = Lived::new();
    let far = lived.home.join(".indelible/journal/0000000777.log");
    fs::rename(&lived.segments()[1], far).expect("it can be moved");
    comes_back(&lived.home, &lived.all(), "there is a gap between segments");
}

#[test]
fn segments_whose_header_is_damaged() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("zeros", |bytes| bytes[..56].fill(0)),
        ("garbage", |bytes| bytes[..56].fill(b'x')),
        ("a flipped bit in its word", |bytes| bytes[3] ^= 1),
        ("a flipped bit in its id", |bytes| bytes[30] ^= 0x40),
        ("no line feed", |bytes| bytes[56] = b' '),
        ("none at all", |bytes| drop(bytes.drain(..57))),
    ];
    for (name, damage) in damages {
        for which in [0, 1] {
            let lived = Lived::new();
            let path = &lived.segments()[which];
            let mut bytes = fs::read(path).expect("it can be read");
            assert_eq!(bytes[56], b'\n', "the header is not where it should be");
            damage(&mut bytes);
            fs::write(path, bytes).expect("it can be written");
            // A recorder finds it like that, and what it acknowledges is kept as well.
            let late = lived.home.recorder("failure", "late").args(["--key", "late"]).ok().receipt();
            let what = format!("the header of segment {which} is {name}");
            let outcome = lived.home.cmd(["recover"]).run();
            sane(&outcome);
            let _ = outcome.exits(0);
            let _ = lived.home.cmd(["repair", "--dismiss"]).ok();
            goes_on(&lived.home, &[&lived.all()[..], &[late]].concat(), &what);
        }
    }
}

#[test]
fn a_segment_of_another_format_is_refused_by_name() {
    for which in [0, 1] {
        let lived = Lived::new();
        let path = &lived.segments()[which];
        let bytes = fs::read(path).expect("it can be read");
        let mut foreign = bytes.clone();
        foreign[18] = b'3';
        fs::write(path, &foreign).expect("it can be written");
        for command in ["recover", "flush", "worker", "verify"] {
            let outcome = lived.home.cmd([command]).run();
            sane(&outcome);
            let outcome = outcome.exits(78);
            assert!(outcome.stderr.contains("format"), "{command} does not say what is wrong: {outcome}");
        }
        assert!(fs::read(path).expect("it is there") == foreign, "what could not be understood was changed");
        fs::write(path, &bytes).expect("it can be written");
        comes_back(&lived.home, &lived.all(), "a segment was of another format for a while");
    }
}

/// What SQLite says, of everything in the index that is not ours.
fn validated(home: &TestHome) -> i64 {
    let count = "SELECT coalesce(sum(times_validated), 0) FROM heuristics";
    home.index().query_row(count, [], |row| row.get(0)).expect("it can be read")
}

#[test]
fn an_index_of_a_newer_schema_is_refused_by_name() {
    let lived = Lived::new();
    let home = &lived.home;
    let index = home.index();
    index.execute("UPDATE heuristics SET times_validated = 7", []).expect("it can be written to");
    index.execute("UPDATE indelible SET value = 99 WHERE name = 'schema'", []).expect("it can be written to");
    let rows = || -> i64 {
        let count = "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM learnings)";
        home.index().query_row(count, [], |row| row.get(0)).expect("it can be read")
    };
    let (before, marks) = (rows(), validated(home));
    for command in ["recover", "repair", "flush", "worker", "verify", "init"] {
        let outcome = home.cmd([command]).run();
        sane(&outcome);
        let outcome = outcome.exits(78);
        assert!(outcome.stderr.contains("schema version 99"), "{command} does not say what is wrong: {outcome}");
    }
    // A recorder needs no index: it keeps the record, and leaves the row to a program that knows that schema.
    let late = home.record("failure", "beside a newer index");
    assert_eq!(late.row_id, None, "a row was put into an index that this program does not know");
    assert_eq!((rows(), validated(home)), (before, marks), "an index of a newer schema was changed");
    index.execute("UPDATE indelible SET value = 1 WHERE name = 'schema'", []).expect("it can be written to");
    drop(index);
    comes_back(home, &[&lived.all()[..], &[late]].concat(), "the index was of a newer schema for a while");
    assert_eq!(validated(home), marks, "the index was rebuilt although nothing was wrong with it");
}

#[test]
fn an_index_without_its_log() {
    for suffix in ["-wal", "-shm"] {
        for settled in [false, true] {
            let lived = if settled { Lived::settled() } else { Lived::new() };
            fs::remove_file(lived.home.join(&format!("memory/index.db{suffix}"))).expect("it is there");
            comes_back(&lived.home, &lived.all(), &format!("index.db{suffix} is missing"));
        }
    }
    let lived = Lived::settled();
    let wal = lived.home.join("memory/index.db-wal");
    let mut bytes = fs::read(&wal).expect("it is there");
    let from = bytes.len() / 3;
    bytes[from..].fill(0x5a);
    fs::write(&wal, bytes).expect("it can be written");
    comes_back(&lived.home, &lived.all(), "two thirds of index.db-wal are garbage");
}

#[test]
fn an_index_that_is_replaced_under_a_worker() {
    type Replace = fn(&TestHome, &Path);
    let ways: [(&str, Replace); 4] = [
        ("removed", |_, _| {}),
        ("an empty file", |_, path| fs::write(path, "").expect("it can be written")),
        ("garbage", |_, path| fs::write(path, [0xa5; 8192]).expect("it can be written")),
        ("an older one", |home, path| {
            fs::copy(home.user().join("old.db"), path).expect("it can be copied");
        }),
    ];
    for (name, replace) in ways {
        eprintln!("index.db becomes {name} under a worker");
        let lived = Lived::settled();
        let home = &lived.home;
        let path = home.join("memory/index.db");
        let index = home.index();
        index.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("no other process uses it");
        drop(index);
        fs::copy(&path, home.user().join("old.db")).expect("it can be copied");
        let mut receipts = lived.all();
        receipts.extend(home.record_each("since the copy"));
        let mut worker = Worker::quick(home);
        worker.wait_until_all_committed(home, name);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
        }
        replace(home, &path);
        for number in 0..3 {
            receipts.push(home.record("heuristic", &format!("since it is {name}, {number}")));
            worker.wait_until_all_committed(home, name);
        }
        assert!(worker.is_running(), "the worker ended: {}", worker.said());
        let asked = home.cmd(["recover"]).run();
        sane(&asked);
        let _ = asked.exits(0);
        assert!(worker.stop(Signal::TERM).success(), "it stops when it is asked to");
        goes_on(home, &receipts, name);
    }
}

fn branch_of(home: &TestHome) -> String {
    format!("refs/heads/{}", home.branch())
}

/// Runs git, and returns its only line.
fn git_line(home: &TestHome, args: &[&str]) -> String {
    let owner = ["-c", "user.name=Owner", "-c", "user.email=owner@example.org"];
    home.git(owner.iter().chain(args)).ok().stdout.trim().to_owned()
}

fn drop_anchors(home: &TestHome) {
    for name in git_line(home, &["for-each-ref", "--format=%(refname)", "refs/indelible"]).lines() {
        let _ = home.git(["update-ref", "-d", name]).ok();
    }
}

/// Only the files have what the branch has lost, since its segments are gone: a worker's start audits everything.
#[test]
fn a_branch_that_is_moved_back_is_seen_by_a_worker() {
    let home = TestHome::new();
    let records: Vec<Receipt> = (0..3)
        .map(|number| {
            let receipt = home.record("failure", &format!("record {number}"));
            let _ = home.cmd(["flush", "--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"]).ok();
            receipt
        })
        .collect();
    git_line(&home, &["update-ref", &branch_of(&home), "HEAD~2"]);
    let worker = Worker::start(&home, &[]);
    home.flush();
    assert!(worker.stop(Signal::TERM).success());
    let tree = git_line(&home, &["ls-tree", "-r", "--name-only", "HEAD"]);
    for receipt in &records {
        assert!(tree.contains(&receipt.path), "{} is not in {tree}", receipt.path);
    }
}

#[test]
fn a_branch_that_is_moved_deleted_or_rewritten() {
    type Change = fn(&TestHome);
    let changes: [(&str, Change); 8] = [
        ("moved back by one", |home| drop(git_line(home, &["update-ref", &branch_of(home), "HEAD~1"]))),
        ("moved back to its first", |home| {
            let first = git_line(home, &["rev-list", "--max-parents=0", "HEAD"]);
            git_line(home, &["update-ref", &branch_of(home), &first]);
        }),
        ("deleted", |home| drop(git_line(home, &["update-ref", "-d", &branch_of(home)]))),
        ("deleted with everything that says so", |home| {
            drop_anchors(home);
            git_line(home, &["update-ref", "-d", &branch_of(home)]);
        }),
        ("amended", |home| {
            let commit = git_line(home, &["commit-tree", "HEAD^{tree}", "-p", "HEAD~1", "-m", "amended"]);
            git_line(home, &["update-ref", &branch_of(home), &commit]);
        }),
        ("squashed into one", |home| {
            let commit = git_line(home, &["commit-tree", "HEAD^{tree}", "-m", "all in one"]);
            git_line(home, &["update-ref", &branch_of(home), &commit]);
        }),
        ("moved back without an anchor", |home| {
            drop_anchors(home);
            git_line(home, &["update-ref", &branch_of(home), "HEAD~1"]);
        }),
        ("amended, and what was before is gone", |home| {
            let commit = git_line(home, &["commit-tree", "HEAD^{tree}", "-p", "HEAD~1", "-m", "amended"]);
            git_line(home, &["update-ref", &branch_of(home), &commit]);
            drop_anchors(home);
            git_line(home, &["reflog", "expire", "--expire=now", "--all"]);
            git_line(home, &["gc", "--quiet", "--prune=now"]);
        }),
    ];
    for (name, change) in changes {
        for settled in [false, true] {
            let lived = if settled { Lived::settled() } else { Lived::new() };
            change(&lived.home);
            comes_back(&lived.home, &lived.all(), &format!("the branch is {name} (all was committed: {settled})"));
        }
    }
}

#[test]
fn anchors_and_trailers_that_are_gone() {
    for settled in [false, true] {
        let lived = if settled { Lived::settled() } else { Lived::new() };
        drop_anchors(&lived.home);
        comes_back(&lived.home, &lived.all(), "the anchor is gone");

        let lived = if settled { Lived::settled() } else { Lived::new() };
        let home = &lived.home;
        let commit = git_line(home, &["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "a word of its owner's"]);
        git_line(home, &["update-ref", &branch_of(home), &commit]);
        comes_back(home, &lived.all(), "a commit without a trailer is on top");
    }
}

/// The packs of `home`, oldest first.
fn packs(home: &TestHome) -> Vec<PathBuf> {
    let folder = home.join(".git/objects/pack");
    let mut packs: Vec<_> = fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|it| it == "pack"))
        .collect();
    packs.sort_by_key(|path| fs::metadata(path).expect("it is there").modified().expect("files have a time"));
    packs
}

/// Holds that a history that lacks objects is named, that nothing is changed or lost by trying, that records are taken
/// meanwhile, and that all is well once the history is there again, or out of the way.
fn history_is_damaged(what: &str, damage: impl Fn(&TestHome)) {
    for given_back in [true, false] {
        eprintln!("{what}, and it is given back: {given_back}");
        let lived = Lived::new();
        let home = &lived.home;
        let backup = home.user().join("backup.git");
        copy(&home.join(".git"), &backup);
        damage(home);
        let mut receipts = lived.all();
        for command in ["verify", "recover", "flush", "recover"] {
            let outcome = home.cmd([command]).run();
            sane(&outcome);
            let named = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(
                outcome.code() == Some(0) || ["git", "refs/"].iter().any(|it| named.contains(it)),
                "{command} does not say what is wrong: {outcome}"
            );
        }
        receipts.push(home.record("failure", "beside a damaged history"));
        let damaged = home.join(".git");
        if given_back {
            fs::remove_dir_all(&damaged).expect("it can be removed");
            copy(&backup, &damaged);
        } else {
            fs::rename(&damaged, home.user().join("damaged.git")).expect("it can be moved");
        }
        comes_back(home, &receipts, what);
    }
}

#[test]
fn packs_and_objects_that_are_missing() {
    history_is_damaged("the newest pack is missing", |home| {
        let pack = packs(home).pop().expect("there is one");
        fs::remove_file(pack.with_extension("idx")).expect("it can be removed");
        fs::remove_file(pack).expect("it can be removed");
    });
    history_is_damaged("the oldest pack is missing", |home| {
        let pack = packs(home).remove(0);
        fs::remove_file(pack.with_extension("idx")).expect("it can be removed");
        fs::remove_file(pack).expect("it can be removed");
    });
    history_is_damaged("all packs are missing", |home| {
        fs::remove_dir_all(home.join(".git/objects/pack")).expect("it can be removed");
    });
    history_is_damaged("the newest pack is cut in half", |home| {
        let pack = packs(home).pop().expect("there is one");
        let bytes = fs::read(&pack).expect("it can be read");
        fs::remove_file(&pack).expect("it can be removed");
        fs::write(&pack, &bytes[..bytes.len() / 2]).expect("it can be written");
    });
    history_is_damaged("an index of a pack is garbage", |home| {
        let index = packs(home).pop().expect("there is one").with_extension("idx");
        fs::remove_file(&index).expect("it can be removed");
        fs::write(&index, [0x5a; 2000]).expect("it can be written");
    });
    history_is_damaged("its HEAD is missing", |home| {
        fs::remove_file(home.join(".git/HEAD")).expect("it can be removed");
    });
    history_is_damaged("its branch is garbage", |home| {
        fs::write(home.join(".git/refs/heads/main"), "garbage\n").expect("it can be written");
    });
    history_is_damaged("its branch is empty", |home| {
        fs::write(home.join(".git/refs/heads/main"), "").expect("it can be written");
    });
    history_is_damaged("its configuration is garbage", |home| {
        fs::write(home.join(".git/config"), "[[[[").expect("it can be written");
    });
}

#[test]
fn a_repository_that_its_owner_recreates() {
    for settled in [false, true] {
        for how in [&["init", "-q"][..], &["init", "-q", "--bare", ".git"]] {
            let lived = if settled { Lived::settled() } else { Lived::new() };
            fs::remove_dir_all(lived.home.join(".git")).expect("it can be removed");
            let _ = lived.home.git(how).ok();
            comes_back(&lived.home, &lived.all(), &format!("{how:?} in the place of the history"));
        }
    }
}

#[test]
fn private_files_that_are_gone_or_garbage() {
    for name in ["home.json", "journal.json", "state.json", "status.json", "worker.lock", "config.toml"] {
        for garbage in [false, true] {
            let lived = Lived::new();
            let path = lived.home.join(&format!(".indelible/{name}"));
            let what = format!(".indelible/{name} is {}", if garbage { "garbage" } else { "gone" });
            let before = fs::read(&path).unwrap_or_default();
            match garbage {
                true => fs::write(&path, "\0garbage").expect("it can be written"),
                false => drop(fs::remove_file(&path)),
            }
            if garbage && matches!(name, "home.json" | "config.toml") {
                // The user wrote it, so it is not replaced.
                let outcome = lived.home.cmd(["recover"]).run();
                sane(&outcome);
                let outcome = outcome.exits(78);
                assert!(outcome.stderr.contains(name), "it does not say what is wrong: {outcome}");
                fs::write(&path, before).expect("it can be written");
            }
            comes_back(&lived.home, &lived.all(), &what);
        }
    }
    for name in ["journal", "tmp", "quarantine", "requests", "logs"] {
        let lived = Lived::new();
        let _ = fs::remove_dir_all(lived.home.join(&format!(".indelible/{name}")));
        let left = if name == "journal" { lived.with_file() } else { lived.all() };
        comes_back(&lived.home, &left, &format!(".indelible/{name} is gone"));
    }
}

#[test]
fn a_private_folder_that_is_gone() {
    for settled in [false, true] {
        let lived = if settled { Lived::settled() } else { Lived::new() };
        fs::remove_dir_all(lived.home.join(".indelible")).expect("it can be removed");
        let left = if settled { lived.all() } else { lived.with_file() };
        comes_back(&lived.home, &left, ".indelible is gone");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("there is cp").success(), "{} cannot be copied", from.display());
}

/// Puts `from` in the place of what is at `to`.
fn restore(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("it can be removed");
    copy(from, to);
}

#[test]
fn a_home_that_is_restored_from_a_backup() {
    for settled in [false, true] {
        let lived = if settled { Lived::settled() } else { Lived::new() };
        let home = &lived.home;
        let backup = home.user().join("backup");
        copy(home.path(), &backup);
        // What was recorded since is gone with the home, and nothing that is left knows of it.
        let _ = home.record_each("since the backup");
        home.flush();
        let _ = home.record_each("since the backup, too");
        restore(&backup, home.path());
        comes_back(home, &lived.all(), "the whole home is restored");
    }
}

#[test]
fn one_store_that_is_restored_from_a_backup() {
    for name in [".git", ".indelible", "memory", "experiments"] {
        for settled in [false, true] {
            let lived = if settled { Lived::settled() } else { Lived::new() };
            let home = &lived.home;
            let backup = home.user().join("backup");
            copy(&home.join(name), &backup);
            let mut receipts = lived.all();
            receipts.extend(home.record_each("since the backup"));
            home.flush();
            receipts.extend(home.record_each("pending since the backup"));
            let late = home.recorder("failure", "keyed since").args(["--key", "since"]).ok().receipt();
            restore(&backup, &home.join(name));
            // Only the journal had it.
            if name != ".indelible" {
                receipts.push(late);
            }
            comes_back(home, &receipts, &format!("{name} is older than the rest (all was committed: {settled})"));
        }
    }
}

/// A copy is killed when it draws an id of its own.
#[test]
fn a_copied_home_that_is_killed_before_it_has_an_id() {
    for point in ["PlaceHalfWritten", "ReplaceBeforeRename", "ReplaceAfterRename"] {
        let lived = Lived::new();
        let copied = TestHome::absent();
        copy(lived.home.path(), copied.path());
        let id = |home: &TestHome| fs::read(home.join(".indelible/journal.json")).expect("it is there");
        let before = id(&copied);
        let _ = copied.cmd(["flush"]).env("INDELIBLE_CRASH_AT", format!("{point}:1")).run().aborted();
        assert_eq!(id(&copied) == before, point != "ReplaceAfterRename", "it did not die where it draws an id");
        comes_back(&copied, &lived.all(), "it is a copy");
        assert!(id(&copied) != before, "a copy has the id of what it was copied from");
        assert!(id(&lived.home) == before, "what was copied has another id");
    }
}

#[test]
fn a_home_that_is_copied_and_both_are_used() {
    for settled in [false, true] {
        let lived = if settled { Lived::settled() } else { Lived::new() };
        let home = &lived.home;
        let copied = TestHome::absent();
        copy(home.path(), copied.path());
        let mut own = [lived.all(), lived.all()];
        for round in 0..2 {
            for (at, home) in [home, &copied].into_iter().enumerate() {
                own[at].extend(home.record_each(&format!("round {round} in home {at}")));
                let keyed = home.recorder("success", &format!("keyed {round} in home {at}"));
                own[at].push(keyed.args(["--key", &format!("{round}")]).ok().receipt());
                home.flush();
            }
        }
        comes_back(home, &own[0], "it was copied from");
        comes_back(&copied, &own[1], "it is a copy");
    }
}

/// What is in quarantine is no disagreement: the advice is the one that ends it.
#[test]
fn damage_that_waits_in_quarantine_is_told_how_to_end() {
    let home = TestHome::new();
    let _ = home.record("failure", "the first");
    let _ = home.record("failure", "the second");
    let segment = home.private().join("journal/0000000001.log");
    let mut bytes = fs::read(&segment).expect("it is there");
    let at = bytes.windows(10).position(|window| window == b"the second").expect("it has it");
    bytes[at] = b'T';
    fs::write(&segment, &bytes).expect("it can be written");
    home.flush();
    for command in ["verify", "repair"] {
        let said = home.cmd([command]).run().exits(1);
        assert!(said.stdout.contains("the stores agree, and what is in quarantine waits"), "{command}: {said}");
        assert!(said.stdout.contains("repair --dismiss"), "{command}: {said}");
    }
    let _ = home.cmd(["repair", "--dismiss"]).ok();
    let _ = home.verify().exits(0);
}
