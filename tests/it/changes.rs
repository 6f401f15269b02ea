//! Operations that change a record, put into the journal as a command would, and applied by the real binary: each store ends as
//! the revisions say, whatever was repeated, came in another order, or died in between.

use std::collections::BTreeMap;
use std::fs;

use indelible::model::{
    Amended, Amendment, Change, FileImage, Intent, Op, Record, RecordId, RecordPath, Request, Revision,
};
use indelible::page::{self, Presence, StateFile};
use proptest::prelude::*;

use crate::formats::append;
use crate::rebuild::remove_from_branch;
use crate::support::{Receipt, TestHome, Worker, assert_exactly_once, wait_for};

/// Where operations on a record begin.
pub struct Subject {
    pub id: RecordId,
    /// Its page, relative to the home.
    pub path: String,
    created_at: jiff::Timestamp,
    pub request: Request,
    amended: Option<Amended>,
}

impl Subject {
    /// The record of `receipt`, as its page says.
    pub fn of(home: &TestHome, receipt: &Receipt) -> Subject {
        let path = RecordPath(&receipt.path).page().into_owned();
        let parsed = page::parse(&fs::read(home.join(&path)).expect("it is there")).expect("it is a page");
        let amended = parsed.amended();
        let request = parsed.request.expect("it is a record's");
        Subject { id: parsed.id, path, created_at: parsed.created_at, request, amended }
    }

    fn base(&self) -> Revision {
        self.amended.as_ref().map_or(Revision::first(self.id), |amended| amended.revision)
    }

    fn change(&self, n: u64) -> Change {
        let revision = Revision { n, ..self.base().next() };
        let because = Some("it was wrong".to_owned());
        Change {
            of: self.id,
            revision,
            base: self.base(),
            at: jiff::Timestamp::UNIX_EPOCH,
            path: Some(self.path.clone()),
            because,
        }
    }

    pub fn retract(&self, n: u64) -> Op {
        Op::Retract(self.change(n))
    }

    pub fn restore(&self, n: u64) -> Op {
        Op::Restore(self.change(n))
    }

    /// An amendment that changes `field` to `text`.
    pub fn amend(&self, n: u64, field: &str, text: &str) -> Op {
        let change = self.change(n);
        let mut fields = self.amended.as_ref().map(|amended| amended.fields.clone()).unwrap_or_default();
        fields.insert(field.to_owned(), change.revision);
        let amended = Amended { revision: change.revision, fields };
        let mut request = self.request.clone();
        let spec = indelible::model::FIELDS.iter().find(|spec| spec.name == field).expect("it is a field");
        *request.record.text_mut(spec.field).expect("it is a text") = text.to_owned();
        let text = page::amended_page(self.id, self.created_at, &request, &amended);
        let files = vec![FileImage { path: self.path.clone(), text }];
        let Request { record, key, provenance } = request;
        let (id, created_at) = (self.id, self.created_at);
        let record = Intent { id, created_at, key, record, provenance, amended: Some(amended), files, from: None };
        Op::Amend(Box::new(Amendment { change, record }))
    }
}

pub fn put(home: &TestHome, ops: &[Op]) {
    append(home, &ops.iter().map(Op::to_json).collect::<Vec<_>>());
}

/// What the stores have of a record: each has to say the same.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub presence: Option<Presence>,
    /// Its record, if it is there.
    pub record: Option<Record>,
}

#[track_caller]
pub fn seen(home: &TestHome, subject: &Subject) -> Seen {
    let in_tree = |path: &str| {
        let shown = home.git(["show", &format!("{}:{path}", home.history())]).run();
        (shown.code() == Some(0)).then(|| shown.stdout.into_bytes())
    };
    let on_disk = |path: &str| fs::read(home.join(path)).ok();
    let state_path = indelible::model::path::state_file(subject.id);
    let state = |bytes: Option<Vec<u8>>| bytes.map(|bytes| StateFile::parse(subject.id, &bytes).expect("it is whole"));
    let (state, committed) = (state(on_disk(&state_path)), state(in_tree(&state_path)));
    assert_eq!(state, committed, "the state file on disk is not the one in git");
    let page = on_disk(&subject.path);
    assert_eq!(page, in_tree(&subject.path), "the page on disk is not the one in git");
    let presence = state.as_ref().map(|state| state.state);
    assert_eq!(page.is_none(), presence.is_some_and(Presence::is_hidden), "{presence:?}");
    let index = home.index();
    let sql = "SELECT state, revision FROM marks WHERE id = ?1";
    let mark = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let mark =
        rusqlite::OptionalExtension::optional(index.query_row(sql, [subject.id.to_string()], mark)).expect("readable");
    let expected = state.map(|state| (state.state.name().to_owned(), state.revision.to_string()));
    assert_eq!(mark, expected, "the index's mark is not what the state file says");
    let parsed = page.map(|bytes| page::parse(&bytes).expect("it is a page"));
    let (table, headline) = match &subject.request.record {
        Record::Heuristic(_) => ("heuristics", "rule"),
        Record::Experiment(_) => ("experiments", "name"),
        _ => ("learnings", "title"),
    };
    let sql = format!("SELECT {headline}, revision FROM records JOIN {table} t ON t.id = row_id WHERE records.id = ?1");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
    let row =
        rusqlite::OptionalExtension::optional(index.query_row(&sql, [subject.id.to_string()], row)).expect("readable");
    let expected = parsed.as_ref().map(|parsed| {
        let request = parsed.request.as_ref().expect("a record's");
        (request.record.headline().to_owned(), parsed.amended().map(|amended| amended.revision.to_string()))
    });
    assert_eq!(row, expected, "the row is not what the page says");
    Seen { presence, record: parsed.and_then(|parsed| parsed.request).map(|request| request.record) }
}

/// Retracts the record of `receipt`, as a command would.
pub fn retract(home: &TestHome, receipt: &Receipt) {
    put(home, &[Subject::of(home, receipt).retract(2)]);
}

#[track_caller]
pub fn assert_agree(home: &TestHome) {
    let _ = home.verify().exits(0);
    home.assert_sound();
    crate::support::assert_search_agrees(home, false);
}

#[test]
fn an_amendment_changes_file_row_page_and_history_at_the_same_path() {
    let home = TestHome::new();
    for receipt in home.record_each("before") {
        home.flush();
        let subject = Subject::of(&home, &receipt);
        let field = match subject.request.record {
            Record::Heuristic(_) => "rule",
            Record::Experiment(_) => "name",
            _ => "title",
        };
        put(&home, &[subject.amend(2, field, "the amended one")]);
        home.flush();
        let after = seen(&home, &subject);
        assert_eq!((after.presence, after.record.expect("it is there").headline()), (None, "the amended one"));
        // A second one, based on the first, and the first again.
        let next = Subject::of(&home, &receipt);
        let second = next.amend(3, field, "amended again");
        put(&home, &[second.clone(), subject.amend(2, field, "never"), second]);
        home.flush();
        assert_eq!(seen(&home, &subject).record.expect("it is there").headline(), "amended again");
        assert_exactly_once(&home, &[receipt]);
    }
    let rules = fs::read_to_string(home.join("memory/heuristics/rules-of-thumb/README.md")).expect("it is rendered");
    assert!(rules.contains("amended again") && !rules.contains("before heuristic"), "{rules}");
    let log = home.git(["log", "--format=%s"]).ok();
    assert!(log.stdout.contains("Amend heuristic: amended again"), "{log}");
    assert_agree(&home);
    home.recover_fully();
}

/// Two amendments that did not know each other are joined. The process that retracted the record then had seen both.
#[test]
fn a_retraction_behind_two_amendments_loses_neither() {
    let home = TestHome::new();
    let receipt = home.record("failure", "before");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    let (title, summary) =
        (subject.amend(2, "title", "another title"), subject.amend(2, "summary", "Another summary."));
    put(&home, &[title, summary, subject.retract(4), subject.restore(5)]);
    home.flush();
    let Some(Record::Failure(failure)) = seen(&home, &subject).record else { panic!("it is a failure, and there") };
    assert_eq!((failure.title.as_str(), failure.summary.trim()), ("another title", "Another summary."));
    assert_agree(&home);
    home.recover_fully();
}

#[test]
fn a_retracted_record_is_nowhere_but_in_history_and_comes_back_with_its_row() {
    let home = TestHome::new();
    let receipts = home.record_each("here");
    home.flush();
    let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
    home.index().execute_batch("UPDATE heuristics SET times_validated = 7").expect("it can be changed");
    put(&home, &subjects.iter().map(|subject| subject.retract(2)).collect::<Vec<_>>());
    home.flush();
    for subject in &subjects {
        assert_eq!(seen(&home, subject), Seen { presence: Some(Presence::Retracted), record: None });
    }
    let aside = &home.status()["quarantine"]["set_aside"];
    assert_eq!(aside.as_array().map(Vec::len), Some(0), "one of our files was taken for an edit: {aside}");
    assert!(!home.join("memory/heuristics/rules-of-thumb/README.md").exists(), "a page without a record is gone");
    assert_agree(&home);
    home.recover_fully();
    // The records again, as a copied journal would bring them.
    let again: Vec<_> = home.journal().into_iter().next().map(|(_, bytes)| entries(&bytes)).expect("a segment");
    append(&home, &again);
    home.flush();
    for subject in &subjects {
        assert_eq!(seen(&home, subject), Seen { presence: Some(Presence::Retracted), record: None });
    }
    put(&home, &subjects.iter().map(|subject| subject.restore(3)).collect::<Vec<_>>());
    put(&home, &subjects.iter().map(|subject| subject.retract(2)).collect::<Vec<_>>());
    home.flush();
    for subject in &subjects {
        let record = Some(subject.request.record.clone());
        assert_eq!(seen(&home, subject), Seen { presence: Some(Presence::Restored), record });
    }
    let counted: i64 =
        home.index().query_row("SELECT times_validated FROM heuristics", [], |row| row.get(0)).expect("one row");
    assert_eq!(counted, 7, "what others counted came back");
    assert_agree(&home);
    home.recover_fully();
}

/// The JSON of the entries in a segment.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.iter().position(|byte| *byte == b'{').map(|at| line[at..].to_vec())).collect()
}

#[test]
fn two_amendments_of_one_revision_are_merged_and_an_edit_by_hand_is_left() {
    let home = TestHome::new();
    let receipt = home.record("failure", "the title");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    put(&home, &[subject.amend(2, "title", "the new title"), subject.amend(2, "domain", "elsewhere")]);
    home.flush();
    let Some(Record::Failure(it)) = seen(&home, &subject).record else { panic!("it is there") };
    assert_eq!((it.title.as_str(), it.domain.as_str()), ("the new title", "elsewhere"));
    let log = home.git(["log", "--format=%s", "--", &subject.path]).ok();
    assert_eq!(log.stdout.lines().count(), 3, "the history has each revision: {log}");
    // Bytes of no revision are an edit: row and history go on without them.
    let path = home.join(&subject.path);
    let edited = fs::read_to_string(&path).expect("it is there").replace("What happened.", "What really happened.");
    fs::write(&path, &edited).expect("it can be edited");
    let next = Subject { amended: Subject::of(&home, &receipt).amended, ..subject };
    put(&home, &[next.amend(4, "title", "the third title")]);
    home.flush();
    assert_eq!(fs::read_to_string(&path).expect("it is there"), edited, "an edit by hand was overwritten");
    let verified = home.verify().exits(1);
    assert!(verified.stdout.contains("its file was edited by hand"), "{verified}");
    // Bytes of an earlier revision are stale.
    let old = home.git(["log", "--format=%H", "--reverse", "--", &next.path]).ok();
    let first = old.stdout.lines().next().expect("a commit").to_owned();
    let stale = home.git(["show", &format!("{first}:{}", next.path)]).ok().stdout;
    fs::write(&path, &stale).expect("it can be put back");
    put(&home, &[Subject { amended: None, ..next }.amend(5, "title", "the fourth title")]);
    home.flush();
    assert!(fs::read_to_string(&path).expect("it is there").contains("the fourth title"), "a stale file was left");
}

/// After a failed sync the journal is read in another order. So an attempt that failed before its commit can have written a page
/// whose operation then comes second.
#[test]
fn a_page_that_only_the_journal_has_is_no_edit_by_hand() {
    for before in [None, Some(512)] {
        let home = TestHome::new();
        let receipts = [home.record("failure", "amended"), home.record("failure", "retracted")];
        home.flush();
        let [amended, retracted] = receipts.each_ref().map(|receipt| Subject::of(&home, receipt));
        let firsts = [amended.amend(2, "title", "another title"), retracted.retract(2)];
        for (subject, first) in [&amended, &retracted].into_iter().zip(firsts) {
            let long = "Another summary. ".repeat(100);
            let second = subject.amend(2, "summary", &long);
            let Op::Amend(amendment) = &second else { unreachable!("it is an amendment") };
            let page = amendment.record.files[0].text.as_bytes();
            fs::write(home.join(&subject.path), &page[..before.unwrap_or(page.len())]).expect("it can be written");
            put(&home, &[first, second]);
        }
        home.flush();
        let Some(Record::Failure(it)) = seen(&home, &amended).record else { panic!("it is there") };
        assert_eq!((it.title.as_str(), it.summary.starts_with("Another summary.")), ("another title", true));
        assert_eq!(seen(&home, &retracted), Seen { presence: Some(Presence::Retracted), record: None });
        let aside = &home.status()["quarantine"]["set_aside"];
        assert_eq!(aside.as_array().map(Vec::len), Some(0), "one of our files was taken for an edit: {aside}");
        assert_agree(&home);
        home.recover_fully();
    }
}

#[test]
fn a_retraction_of_an_unknown_record_keeps_it_away() {
    let (home, other) = (TestHome::new(), TestHome::new());
    let receipt = other.record("failure", "never to be seen");
    let subject = Subject::of(&other, &receipt);
    let change = Change { path: None, ..subject.change(2) };
    put(&home, &[Op::Retract(change.clone())]);
    home.flush();
    append(&home, &entries(&other.journal()[0].1));
    home.flush();
    assert_eq!(seen(&home, &subject), Seen { presence: Some(Presence::Retracted), record: None });
    let unknown = Op::Restore(Change { of: RecordId::new(), path: None, ..change });
    put(&home, &[unknown]);
    home.flush();
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("quarantine"), "a restoration from nothing is parked: {status}");
}

#[test]
fn operations_survive_a_crash_at_each_of_their_steps() {
    let points = [
        "ReplaceBeforeRename",
        "HideBeforeRemove",
        "HideBeforeRemove:2",
        "RowBeforeCommit",
        "RowAfterCommit",
        "CommitBeforePack",
        "CommitStaged",
        "CommitBeforeBranch",
        "CommitAfterBranch",
        "CommitAfterAnchor",
        "ChangeBeforeAppend",
        "AppendAfterSync",
        "PlaceBeforeRename",
        "BatchBeforeSync",
    ];
    for point in points {
        let home = TestHome::new();
        let receipts = home.record_each("crash");
        home.flush();
        let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
        let [amended, merged, gone, rule, experiment] = &subjects[..] else { panic!("one of each kind") };
        put(
            &home,
            &[
                amended.amend(2, "title", "amended"),
                merged.amend(2, "title", "merged"),
                merged.amend(2, "domain", "merged too"),
                gone.retract(2),
                rule.retract(2),
                experiment.retract(2),
                rule.restore(3),
                experiment.restore(3),
            ],
        );
        let _ = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        for again in ["CommitBeforeBranch", "RowBeforeCommit"] {
            // Not every recovery has something to do there.
            let outcome = home.cmd(["recover"]).env("INDELIBLE_CRASH_AT", again).run();
            if outcome.code() != Some(0) {
                let _ = outcome.aborted();
            }
        }
        home.recover_fully();
        let headline = |subject| seen(&home, subject).record.expect("it is there").headline().to_owned();
        assert_eq!(headline(amended), "amended", "{point}");
        let Some(Record::Success(it)) = seen(&home, merged).record else { panic!("it is there") };
        assert_eq!((it.title.as_str(), it.domain.as_str()), ("merged", "merged too"), "{point}");
        assert_eq!(seen(&home, gone), Seen { presence: Some(Presence::Retracted), record: None }, "{point}");
        for restored in [rule, experiment] {
            let record = Some(restored.request.record.clone());
            assert_eq!(seen(&home, restored), Seen { presence: Some(Presence::Restored), record }, "{point}");
        }
        assert_agree(&home);
    }
}

#[test]
fn a_lost_index_is_rebuilt_with_every_revision_and_mark() {
    let home = TestHome::new();
    let receipts = home.record_each("kept");
    home.flush();
    let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
    let ops = [
        subjects[0].amend(2, "title", "amended"),
        subjects[1].retract(2),
        subjects[3].retract(2),
        subjects[3].restore(3),
    ];
    put(&home, &ops);
    home.flush();
    let before: BTreeMap<_, _> = subjects.iter().map(|subject| (subject.id, seen(&home, subject))).collect();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
    home.recover_fully();
    for subject in &subjects {
        assert_eq!(Some(&seen(&home, subject)), before.get(&subject.id));
    }
}

/// A key whose record was retracted names that record, for ever: nothing is recorded under it again.
#[test]
fn a_repeat_of_a_retracted_key_is_a_duplicate_without_a_path() {
    for index_lost in [false, true] {
        let home = TestHome::new();
        let keyed = |headline: &str| home.recorder("failure", headline).args(["--key", "the key"]).ok();
        let first = keyed("the first").receipt();
        home.flush();
        let subject = Subject::of(&home, &first);
        put(&home, &[subject.retract(2)]);
        home.flush();
        if index_lost {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
            }
            let _ = home.recover();
        }
        let line = r#"{"kind": "failure", "title": "the third", "domain": "d", "key": "the key"}"#;
        let batch = home.cmd(["record", "batch", "--json"]).stdin(format!("{line}\n")).ok();
        let batch = serde_json::from_str(batch.stdout.lines().next().expect("an answer")).expect("JSON");
        for receipt in [keyed("the second").json(), batch] {
            assert_eq!(receipt["id"], first.id.as_str());
            assert_eq!((&receipt["duplicate"], &receipt["state"]), (&true.into(), &"retracted".into()), "{receipt}");
            assert_eq!((&receipt["path"], &receipt["row_id"]), (&().into(), &().into()), "{receipt}");
        }
        let status = home.status();
        assert_eq!(status["pending"]["records"], 0, "nothing of it went into the journal: {status}");
        let text = home.cmd(["record", "failure", "--title", "t", "--domain", "d", "--key", "the key"]).ok();
        assert!(text.stdout.contains("already recorded, and retracted since"), "{text}");
        home.flush();
        assert_eq!(seen(&home, &subject), Seen { presence: Some(Presence::Retracted), record: None });
        put(&home, &[subject.restore(3)]);
        home.flush();
        let again = keyed("the fourth").receipt();
        assert_eq!((again.path, again.duplicate), (first.path, true), "it is there again");
    }
}

#[test]
fn what_a_commit_removed_and_whose_file_is_gone_is_retracted_and_names_the_commit() {
    let home = TestHome::new();
    let receipts = home.record_each("removed");
    home.flush();
    let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
    let paths: Vec<_> = receipts[..4].iter().map(|receipt| receipt.path.clone()).collect();
    remove_from_branch(&home, &paths);
    let commit = home.git(["rev-parse", home.branch()]).ok().stdout.trim().to_owned();
    for receipt in &receipts[..3] {
        fs::remove_file(home.join(&receipt.path)).expect("it is there");
    }
    // Too many to do it unasked.
    let few = ["--set", "history.removals_max=2"];
    let asked = home.cmd(["recover"].into_iter().chain(few)).ok();
    assert!(asked.stdout.contains("3 records were removed from git"), "{asked}");
    let verify = home.verify().exits(1);
    assert!(verify.stdout.contains("a commit removed it from git"), "{verify}");
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("config set history.removals_max 3"), "{status}");
    let state = |subject: &Subject| {
        let bytes = fs::read(home.join(&indelible::model::path::state_file(subject.id))).ok()?;
        StateFile::parse(subject.id, &bytes)
    };
    assert!(subjects.iter().all(|subject| state(subject).is_none()), "nobody was asked");
    home.recover_fully();
    for subject in &subjects[..3] {
        assert_eq!(seen(&home, subject), Seen { presence: Some(Presence::Retracted), record: None });
        let because = state(subject).and_then(|state| state.because).unwrap_or_default();
        assert!(because.contains(&commit), "{because:?} does not name {commit}");
    }
    assert_eq!(state(&subjects[3]), None, "its file is there: it is its owner's");
    assert_eq!(home.index().query_row("SELECT count(*) FROM heuristics", [], |row| row.get(0)), Ok(1), "its row stays");
    let _ = home.cmd(["status", "--check"]).ok();
    put(&home, &[subjects[0].restore(9)]);
    home.flush();
    assert_eq!(seen(&home, &subjects[0]).record, Some(subjects[0].request.record.clone()));
}

/// What is not the record's, or cannot be read, is named and left as it is.
#[test]
fn a_file_that_is_not_the_records_is_named_and_left() {
    let home = TestHome::new();
    let [overwritten, other, broken] = ["overwritten", "other", "broken"].map(|title| home.record("failure", title));
    home.flush();
    fs::copy(home.join(&other.path), home.join(&overwritten.path)).expect("it can be overwritten");
    let index = home.index();
    index.execute("DELETE FROM learnings WHERE title = 'broken'", []).expect("removed");
    index.execute("DELETE FROM records WHERE id = ?1", [&broken.id]).expect("removed");
    let text = fs::read_to_string(home.join(&broken.path)).expect("it is there");
    let bytes = text.replacen("kind: failure", "kind: [", 1);
    fs::write(home.join(&broken.path), &bytes).expect("it can be edited");
    let named = |outcome: &crate::support::Outcome| {
        for receipt in [&overwritten, &broken] {
            let line = outcome.stdout.lines().find(|line| line.contains(&receipt.path));
            assert!(line.is_some_and(|line| line.contains("left as it is")), "{outcome}");
        }
        assert!(!outcome.stdout.contains(&format!("{}:", other.path)), "{outcome}");
    };
    named(&home.verify().exits(1));
    for _ in 0..2 {
        named(&home.cmd(["recover"]).ok());
        assert_eq!(fs::read_to_string(home.join(&broken.path)).expect("there"), bytes);
        assert_eq!(fs::read(home.join(&overwritten.path)).ok(), fs::read(home.join(&other.path)).ok());
    }
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains("2 files are not the records'"), "{status}");
    // Removed, they come back from git, and nothing is named any more.
    for receipt in [&overwritten, &broken] {
        fs::remove_file(home.join(&receipt.path)).expect("it is there");
    }
    home.recover_fully();
    assert_exactly_once(&home, &[overwritten, other, broken]);
    let _ = home.cmd(["status", "--check"]).ok();
}

#[test]
fn pending_operations_are_counted_alike_everywhere() {
    let home = TestHome::new();
    let receipt = home.record("failure", "counted");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    let retract = Op::Retract(Change { at: jiff::Timestamp::now(), ..subject.change(2) });
    put(&home, &[retract, subject.amend(2, "title", "raced")]);
    assert_eq!(home.status()["pending"]["records"], 2);
    let status = home.cmd(["status"]).ok();
    assert!(status.stdout.contains("pending     2 records, the oldest"), "{status}");
    assert_eq!(home.cmd(["verify", "--json"]).run().exits(0).json()["pending"], 2);
    let flush = home.cmd(["flush"]).ok();
    assert!(flush.stdout.contains("0 records were committed, 1 operation was applied"), "{flush}");
    let status = home.cmd(["status"]).ok();
    assert!(status.stdout.contains("pending     nothing") && status.stdout.contains("1 void"), "{status}");
    // What recovery did to the stores, it says.
    let state = home.join(&indelible::model::path::state_file(subject.id));
    fs::write(&state, "").expect("torn");
    let verify = home.verify().exits(1);
    assert!(verify.stdout.contains("the state file of a record is missing, torn"), "{verify}");
    home.index().execute("DELETE FROM marks", []).expect("removed");
    let recover = home.cmd(["recover"]).ok();
    assert!(!recover.stdout.contains("nothing to do"), "{recover}");
    assert_agree(&home);
}

/// A parked operation is named, and applied once what it needs is there.
#[test]
fn parked_operations_are_named_and_retried() {
    let (home, other) = (TestHome::new(), TestHome::new());
    let receipt = other.record("failure", "comes later");
    let subject = Subject::of(&other, &receipt);
    let restore = subject.restore(3);
    let of = subject.id;
    put(&home, &[restore]);
    home.flush();
    let parked = |home: &TestHome| {
        let status = home.status();
        let operations = status["quarantine"]["operations"].as_array().cloned().expect("a list");
        operations.iter().map(|it| it["op"].as_str().expect("named").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(parked(&home), ["restore".to_owned()]);
    let status = home.cmd(["status", "--check"]).run().exits(1);
    assert!(status.stdout.contains(&format!("`restore` of {of}")), "{status}");
    let named = home.verify().exits(1);
    assert!(named.stdout.contains("`restore`"), "{named}");
    let _ = home.recover();
    assert_eq!(parked(&home), ["restore".to_owned()], "nothing that it needs has come");
    // The record comes, and is retracted: then it can be brought back.
    append(&home, &entries(&other.journal()[0].1));
    put(&home, &[subject.retract(2)]);
    home.flush();
    assert_eq!(parked(&home), Vec::<String>::new(), "it was applied once its record was there");
    let record = Some(subject.request.record.clone());
    assert_eq!(seen(&home, &subject), Seen { presence: Some(Presence::Restored), record });
}

/// An amendment that is based on a restoration waits for it: it neither brings the record back nor gets lost.
#[test]
fn an_amendment_of_a_restored_record_survives_coming_first() {
    let home = TestHome::new();
    let receipt = home.record("failure", "before");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    let (retract, restore) = (subject.retract(2), subject.restore(3));
    let Op::Amend(mut amend) = subject.amend(4, "title", "after the restoration") else { panic!("it amends") };
    amend.change.base = restore.revision();
    put(&home, &[retract, Op::Amend(amend)]);
    home.flush();
    assert_eq!(seen(&home, &subject), Seen { presence: Some(Presence::Retracted), record: None });
    put(&home, &[restore]);
    home.flush();
    home.flush();
    assert_eq!(seen(&home, &subject).record.expect("it is there").headline(), "after the restoration");
    assert_agree(&home);
}

/// The old page, put back, has no claim against the history, also where no row says which is the later one.
#[test]
fn an_old_page_and_a_lost_index_end_with_the_amended_text_everywhere() {
    for journal_has_it in [true, false] {
        let home = TestHome::new();
        let receipts = home.record_each("before");
        home.flush();
        let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
        let old: Vec<_> = subjects.iter().map(|subject| fs::read(home.join(&subject.path)).expect("there")).collect();
        let field = |subject: &Subject| match subject.request.record {
            Record::Heuristic(_) => "rule",
            Record::Experiment(_) => "name",
            _ => "title",
        };
        put(&home, &subjects.iter().map(|it| it.amend(2, field(it), "the amended one")).collect::<Vec<_>>());
        home.flush();
        if !journal_has_it {
            fs::remove_dir_all(home.join(".indelible")).expect("removed");
        }
        for (subject, old) in subjects.iter().zip(&old) {
            fs::write(home.join(&subject.path), old).expect("it can be put back");
        }
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
        }
        home.recover_fully();
        for subject in &subjects {
            let record = seen(&home, subject).record.expect("it is there");
            assert_eq!(record.headline(), "the amended one", "the journal has it: {journal_has_it}");
        }
        // A new journal of a home with operations is for them as well: an older program must not go on with it.
        let (_, newest) = home.journal().pop().expect("a segment");
        assert!(newest.starts_with(b"indelible-journal 2 "), "{:?}", String::from_utf8_lossy(&newest));
    }
}

/// Each way in which the stores can be at different revisions: `verify` names it, and `recover` brings them together.
#[test]
fn stores_at_different_revisions_are_named_and_brought_together() {
    type Harm = fn(&TestHome, &Subject, &str);
    let harms: [(&str, Harm, &str); 6] = [
        ("amend", |home, subject, old| fs::write(home.join(&subject.path), old).expect("written"), "earlier revision"),
        ("amend", |home, subject, _| fs::remove_file(home.join(&subject.path)).expect("removed"), "git has it"),
        (
            "amend",
            |home, subject, _| {
                let sql = "UPDATE records SET revision = NULL, amended = NULL WHERE id = ?1";
                home.index().execute(sql, [subject.id.to_string()]).expect("changed");
            },
            "earlier revision",
        ),
        ("retract", |home, subject, old| fs::write(home.join(&subject.path), old).expect("written"), "retracted"),
        (
            "retract",
            |home, subject, _| {
                fs::write(home.join(&indelible::model::path::state_file(subject.id)), "").expect("torn");
            },
            "git has it",
        ),
        (
            "retract",
            |home, subject, _| {
                home.index().execute("DELETE FROM marks WHERE id = ?1", [subject.id.to_string()]).expect("removed");
            },
            "retracted",
        ),
    ];
    for (number, (what, harm, named)) in harms.into_iter().enumerate() {
        let home = TestHome::new();
        let receipt = home.record("failure", "before");
        home.flush();
        let subject = Subject::of(&home, &receipt);
        let old = fs::read_to_string(home.join(&subject.path)).expect("it is there");
        let ops = match what {
            "amend" => vec![subject.amend(2, "title", "after")],
            _ => vec![subject.retract(2)],
        };
        put(&home, &ops);
        home.flush();
        let before = seen(&home, &subject);
        harm(&home, &subject, &old);
        let verify = home.verify().exits(1);
        assert!(verify.stdout.contains(named), "{number} {what}: {verify}");
        home.recover_fully();
        assert_eq!(seen(&home, &subject), before, "{number} {what}");
    }
}

/// Where a process can die between the stores.
const POINTS: [&str; 9] = [
    "ReplaceBeforeRename",
    "HideBeforeRemove",
    "RowBeforeCommit",
    "RowAfterCommit",
    "CommitBeforePack",
    "CommitBeforeBranch",
    "CommitAfterBranch",
    "ChangeBeforeAppend",
    "BatchBeforeSync",
];

/// One step of a schedule: an operation of one of two records, whose writer has not seen the last `missed` ones of it, and where
/// the process dies that applies it, if it does.
#[derive(Clone, Debug)]
struct Step {
    subject: usize,
    what: u8,
    missed: u64,
    again: bool,
    dies: Option<usize>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let dies = proptest::option::of(0..POINTS.len());
    let step = (0..2_usize, 0..4_u8, 0..3_u64, any::<bool>(), dies);
    let step = step.prop_map(|(subject, what, missed, again, dies)| Step { subject, what, missed, again, dies });
    proptest::collection::vec(step, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, however often, and wherever processes die: all stores say the same in the end, and all
    /// of it once more changes nothing.
    #[test]
    fn every_schedule_ends_the_same_in_all_stores(steps in steps(), rule in any::<bool>()) {
        let home = TestHome::new();
        let kinds = if rule { ["heuristic", "experiment"] } else { ["failure", "heuristic"] };
        let receipts = kinds.map(|kind| home.record(kind, "the first"));
        home.flush();
        let subjects = receipts.map(|receipt| Subject::of(&home, &receipt));
        let mut made: Vec<Vec<u8>> = Vec::new();
        let mut counts = [0; 2];
        for Step { subject: which, what, missed, again, dies } in steps {
            let subject = &subjects[which];
            // Who restores a record has seen that it was retracted.
            let missed = if what == 3 { 0 } else { missed.min(counts[which]) };
            let n = 2 + counts[which] - missed;
            counts[which] += 1;
            let headline = match subject.request.record {
                Record::Heuristic(_) => "rule",
                Record::Experiment(_) => "name",
                _ => "title",
            };
            let body = match subject.request.record {
                Record::Heuristic(_) => "explanation",
                Record::Experiment(_) => "hypothesis",
                _ => "summary",
            };
            let op = match what {
                0 => subject.amend(n, headline, &format!("headline {n}")),
                1 => subject.amend(n, body, &format!("body {n}")),
                2 => subject.retract(n),
                _ => subject.restore(n),
            };
            let mut entries = vec![op.to_json()];
            if again {
                entries.extend(made.iter().rev().take(2).cloned());
            }
            append(&home, &entries);
            made.extend(entries);
            if let Some(point) = dies {
                let outcome = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", POINTS[point]).run();
                if outcome.code() != Some(0) {
                    let _ = outcome.aborted();
                }
            }
        }
        let _ = home.cmd(["recover"]).ok();
        let ends: Vec<_> = subjects.iter().map(|subject| seen(&home, subject)).collect();
        assert_agree(&home);
        // All of it once more, the records as well.
        let all: Vec<_> = home.journal().into_iter().flat_map(|(_, bytes)| entries(&bytes)).collect();
        append(&home, &all);
        let _ = home.cmd(["recover"]).ok();
        let again: Vec<_> = subjects.iter().map(|subject| seen(&home, subject)).collect();
        prop_assert_eq!(again, ends);
        assert_agree(&home);
    }
}

#[test]
fn a_running_worker_applies_operations_as_they_come_and_waits_for_no_lock_of_the_index() {
    let home = TestHome::new();
    let receipt = home.record("failure", "before the worker");
    home.flush();
    let subject = Subject::of(&home, &receipt);
    let worker = Worker::quick(&home);
    put(&home, &[subject.amend(2, "title", "amended"), subject.amend(2, "domain", "elsewhere")]);
    let page = || fs::read_to_string(home.join(&subject.path)).unwrap_or_default();
    wait_for("both amendments to be merged", || {
        (page().contains("amended") && page().contains("elsewhere")).then_some(())
    });
    worker.wait_until_committed(&home);
    // What comes while the index is locked goes to files and git, and so does what was recorded behind it.
    let mut writer = home.index();
    let lock = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("free");
    put(&home, &[subject.retract(9)]);
    let late = home.record("success", "recorded meanwhile");
    wait_for("the retraction", || (!home.join(&subject.path).exists()).then_some(()));
    worker.wait_until_committed(&home);
    assert!(!in_git(&home, &subject.path) && in_git(&home, &late.path));
    lock.rollback().expect("it can be let go");
    drop(writer);
    assert_eq!(worker.stop(rustix::process::Signal::TERM).code(), Some(0));
    assert_eq!(seen(&home, &subject), Seen { presence: Some(Presence::Retracted), record: None });
    let _ = Subject::of(&home, &late);
    assert_agree(&home);
}

fn in_git(home: &TestHome, path: &str) -> bool {
    home.git(["cat-file", "-e", &format!("{}:{path}", home.history())]).run().code() == Some(0)
}

/// A locked index delays rows and domains' pages, never commits: of operations as little as of records.
#[test]
fn operations_are_committed_beside_a_locked_index_and_their_rows_follow() {
    for restarted in [false, true] {
        let home = TestHome::new();
        let receipts = home.record_each("before the lock");
        let rules = ["first", "second"].map(|rule| home.record("heuristic", rule));
        home.flush();
        let kinds: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
        let rules = rules.each_ref().map(|receipt| Subject::of(&home, receipt));
        put(&home, &[kinds[0].retract(2)]);
        home.flush();
        let page = "memory/heuristics/rules-of-thumb/README.md";
        let page_before = fs::read(home.join(page)).expect("it is rendered");
        let mut writer = home.index();
        let lock = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("free");
        put(&home, &[kinds[0].restore(3), kinds[1].amend(2, "title", "amended"), kinds[2].retract(2)]);
        put(&home, &[rules[0].amend(2, "rule", "amended rule"), rules[1].retract(2), kinds[3].retract(2)]);
        put(&home, &[kinds[1].amend(2, "domain", "elsewhere"), kinds[2].amend(3, "title", "void")]);
        let late = home.record("success", "recorded behind them");
        let impatient = ["flush", "--set", "worker.index_wait_ms=1"];
        let _ = home.cmd(impatient).ok();
        assert_eq!(home.status()["pending"]["records"], 0, "all of it is in git");
        assert_ne!(home.status()["rows_lag"]["records"], 0, "their rows lag");
        assert!(in_git(&home, &late.path) && in_git(&home, &kinds[0].path) && !in_git(&home, &kinds[2].path));
        assert_eq!(fs::read(home.join(page)).expect("it is there"), page_before, "a page shows rows: it follows them");
        if restarted {
            let _ = home.record("success", "a second batch");
            let _ = home.cmd(impatient).ok();
        }
        lock.rollback().expect("it can be let go");
        drop(writer);
        match restarted {
            false => home.flush(),
            true => drop(home.recover()),
        }
        let shown = |subject: &Subject| seen(&home, subject).record.map(|record| record.headline().to_owned());
        assert_eq!(shown(&kinds[0]).as_deref(), Some(kinds[0].request.record.headline()));
        assert_eq!(shown(&kinds[1]).as_deref(), Some("amended"));
        assert_eq!((shown(&kinds[2]), shown(&kinds[3]), shown(&rules[1])), (None, None, None));
        assert_eq!(shown(&rules[0]).as_deref(), Some("amended rule"));
        let text = fs::read_to_string(home.join(page)).expect("it is rendered");
        assert!(text.contains("amended rule") && !text.contains("second"), "{text}");
        let committed = home.git(["show", &format!("{}:{page}", home.history())]).ok();
        assert_eq!(committed.stdout, text, "the page in git");
        assert_agree(&home);
        // The last rule goes, and with it the page, in git too.
        let mut writer = home.index();
        let lock = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("free");
        put(&home, &[rules[0].retract(9)]);
        let _ = home.cmd(impatient).ok();
        assert!(in_git(&home, page) && !in_git(&home, &rules[0].path));
        lock.rollback().expect("it can be let go");
        drop(writer);
        home.flush();
        assert!(!in_git(&home, page) && !home.join(page).exists(), "a page without a record");
        assert_agree(&home);
        home.recover_fully();
    }
}

/// A power cut leaves the index of a while ago, stale and empty files, and the history as it is: the journal, or the audit where
/// its segments are gone, brings all of it to the latest revision.
#[test]
fn what_a_power_cut_left_behind_comes_to_the_latest_revision() {
    for journal_has_it in [true, false] {
        let home = TestHome::new();
        let receipts = home.record_each("before the power cut");
        home.flush();
        let subjects: Vec<_> = receipts.iter().map(|receipt| Subject::of(&home, receipt)).collect();
        let index = ["", "-wal"].map(|end| home.join(&format!("memory/index.db{end}")));
        let old_index = index.each_ref().map(|path| fs::read(path).unwrap_or_default());
        let old = fs::read(home.join(&subjects[0].path)).expect("it is there");
        let gone = fs::read(home.join(&subjects[1].path)).expect("it is there");
        put(&home, &[subjects[0].amend(2, "title", "amended"), subjects[1].retract(2), subjects[2].retract(2)]);
        put(&home, &[subjects[2].restore(3), subjects[3].amend(2, "rule", "amended rule")]);
        home.flush();
        let before: Vec<_> = subjects.iter().map(|subject| seen(&home, subject)).collect();
        if !journal_has_it {
            let tiny = ["flush", "--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];
            let _ = home.record("failure", "ends the segment");
            let _ = home.cmd(tiny).ok();
            let _ = home.cmd(tiny).ok();
        }
        for (path, bytes) in index.iter().zip(&old_index) {
            fs::write(path, bytes).expect("it can be put back");
        }
        let _ = fs::remove_file(home.join("memory/index.db-shm"));
        fs::write(home.join(&subjects[0].path), &old).expect("stale");
        fs::write(home.join(&subjects[1].path), &gone).expect("it is back");
        fs::write(home.join(&subjects[3].path), "").expect("empty");
        fs::write(home.join(&indelible::model::path::state_file(subjects[1].id)), "").expect("torn");
        home.recover_fully();
        let after: Vec<_> = subjects.iter().map(|subject| seen(&home, subject)).collect();
        assert_eq!(after, before, "the journal has it: {journal_has_it}");
        assert_agree(&home);
    }
}
