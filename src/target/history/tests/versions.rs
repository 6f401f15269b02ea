//! What the pipeline asks of the versions of a file, through the trait that its simulated power cuts have a fake of.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;
use crate::model::path::state_file;
use crate::model::{Level, Request};
use crate::page::{self, Presence, StateFile};
use crate::target::commits::ReadCommits;

const GONE: &str = "memory/failures/2026/01/02/gone-00000003.md";

/// A record with a page of its own, as a recorder makes it.
pub(super) fn recorded(title: &str) -> Intent {
    let (id, at) = (RecordId::new(), Timestamp::UNIX_EPOCH);
    let record = Record::Failure(Learning { title: title.into(), domain: "d".into(), ..Learning::default() });
    let files = page::files(id, at, &Request::new(record.clone()), Level::Day);
    Intent {
        id,
        created_at: at,
        key: None,
        provenance: Provenance::default(),
        record,
        amended: None,
        files,
        from: None,
    }
}

fn change_of(of: RecordId, n: u64) -> Change {
    let revision = Revision { n, op: Uuid::from_u128(n.into()) };
    Change { of, revision, base: Revision::first(of), at: Timestamp::UNIX_EPOCH, path: None, because: None }
}

/// Commits what an operation changes, and returns the commit's name.
fn commit_change(history: &History, op: &Op, files: &[FileImage], removed: &[&str]) -> String {
    let removed = removed.iter().map(|path| (*path).to_owned()).collect();
    let changes = Changes { op, files: files.to_vec(), removed };
    let position = position(op.revision().n);
    let (records, change) = (&[][..], Some(&changes));
    let batch = NewCommit { records, pages: &[], change, begins: false, home: HOME, journal: JOURNAL, position };
    match history.commit(&batch).expect("it can be committed") {
        Committed::New { commit, .. } => commit.to_string(),
        Committed::Nothing => panic!("there was something to commit"),
    }
}

fn versions(history: &dyn ReadCommits, path: &str, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let visit = &mut |bytes: &[u8]| {
        found.push(String::from_utf8(bytes.to_vec()).expect("it is text"));
        if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    history.each_version(path, visit).expect("readable");
    found
}

/// A history in which [`ONE`] was recorded, changed, removed, brought back and changed again; [`TWO`] stayed. Returns
/// the record, and the commits that removed a file.
fn changed(history: &History, texts: &[&str; 3]) -> (RecordId, Vec<String>) {
    let one = record(ONE, texts[0]);
    let of = one.id;
    keep(history, &[one, record(TWO, "two\n"), record(GONE, "gone\n")]);
    let state = |text: &str| page(&state_file(of), text);
    let retract = |n| Op::Retract(change_of(of, n));
    let amend = |text: &str, n| commit_change(history, &Op::Restore(change_of(of, n)), &[page(ONE, text)], &[]);
    amend(texts[1], 2);
    let first = commit_change(history, &retract(3), &[state("retracted")], &[ONE]);
    let back = [page(ONE, texts[1]), state("restored")];
    commit_change(history, &Op::Restore(change_of(of, 4)), &back, &[]);
    amend(texts[2], 5);
    let second = commit_change(history, &retract(6), &[state("retracted again")], &[ONE, GONE]);
    (of, vec![first, second])
}

#[test]
fn each_version_of_a_file_is_visited_newest_first() {
    let (_home, history) = Home::ours();
    changed(&history, &["first", "second", "third"]);
    let history: &dyn ReadCommits = &history;
    assert_eq!(versions(history, ONE, usize::MAX), ["third", "second", "second", "first"]);
    assert_eq!(versions(history, ONE, 2), ["third", "second"], "it breaks off");
    assert_eq!(versions(history, TWO, usize::MAX), ["two\n"], "one that no commit changed is one version");
    assert_eq!(versions(history, "memory/failures/none.md", usize::MAX), [""; 0]);
    assert_eq!(history.last_of(ONE).expect("readable").as_deref(), Some(&b"third"[..]));
    assert_eq!(history.read(ONE).expect("readable"), None);
    let present = history.present(&[ONE, TWO, GONE, "memory/none.md"]).expect("readable");
    assert_eq!(present, std::iter::once(TWO.to_owned()).collect(), "not what is gone");
    let introduced = history.introduced([ONE, GONE, "memory/none.md"].map(str::to_owned).into()).expect("readable");
    assert_eq!(introduced, [ONE, GONE].map(str::to_owned).into());
    let mut seen = 0;
    let visit = &mut |_: &dyn crate::target::commits::CommittedFile| {
        seen += 1;
        ControlFlow::Break(())
    };
    history.each_file(visit).expect("readable");
    assert_eq!(seen, 1, "it breaks off");
}

#[test]
fn what_a_power_cut_leaves_of_any_version_was_written() {
    let (_home, history) = Home::ours();
    let texts = ["1", "2", "3"].map(|text| text.repeat(1300));
    changed(&history, &[&texts[0], &texts[1], &texts[2]]);
    let history: &dyn ReadCommits = &history;
    let wrote = |path: &str, bytes: &str| history.wrote(path, bytes.as_bytes()).expect("readable");
    for text in &texts {
        assert!(wrote(ONE, text), "a version");
        for bytes in [0, 512, 1024] {
            assert!(wrote(ONE, &text[..bytes]), "{bytes} bytes of a version");
        }
        for bytes in [1, 511, 513, 1299] {
            assert!(!wrote(ONE, &text[..bytes]), "a power cut does not leave {bytes} bytes");
        }
        assert!(!wrote(TWO, text) && !wrote(TWO, &text[..512]), "another file's");
    }
    let mixed = format!("{}{}", &texts[0][..256], &texts[1][..256]);
    assert!(!wrote(ONE, &mixed), "of no single version");
    assert!(!wrote("memory/failures/none.md", ""), "nothing was ever there");
}

#[test]
fn the_newest_commit_that_removed_a_file_is_named() {
    let (_home, history) = Home::ours();
    let (_, removals) = changed(&history, &["first", "second", "third"]);
    let asked = [ONE, TWO, GONE, "memory/failures/none.md"].map(str::to_owned).into();
    let removed = ReadCommits::removed_by(&history, asked).expect("readable");
    let newest = removals.last().expect("there are two");
    let expected: BTreeMap<String, String> = [ONE, GONE].map(|path| (path.to_owned(), newest.clone())).into();
    assert_eq!(removed, expected);
    let back = [page(ONE, "third")];
    commit_change(&history, &Op::Restore(change_of(RecordId::new(), 7)), &back, &[]);
    let removed = ReadCommits::removed_by(&history, std::iter::once(ONE.to_owned()).collect()).expect("readable");
    assert_eq!(removed.get(ONE), Some(newest), "also where it is back");
}

#[test]
fn the_page_of_a_retracted_record_is_found_where_it_was() {
    let (_home, history) = Home::ours();
    let (one, other) = (recorded("one"), recorded("other"));
    let path = one.files[0].path.clone();
    keep(&history, &[one.clone(), other.clone()]);
    let before = |of| ReadCommits::page_before_retraction(&history, of).expect("readable");
    assert_eq!(before(one.id), None, "it is not retracted");
    let real = |of, n, state| {
        let state = StateFile::of_change(&change_of(of, n), state);
        FileImage { path: state.path(), text: state.text() }
    };
    let retract = |of, n| {
        let state = real(of, n, Presence::Retracted);
        commit_change(&history, &Op::Retract(change_of(of, n)), &[state], &[&path])
    };
    retract(one.id, 2);
    assert_eq!(before(one.id).as_deref(), Some(&*path));
    assert_eq!(before(other.id), None, "the other is not retracted");
    let back = [one.files[0].clone(), real(one.id, 3, Presence::Restored)];
    commit_change(&history, &Op::Restore(change_of(one.id, 3)), &back, &[]);
    retract(one.id, 4);
    assert_eq!(before(one.id).as_deref(), Some(&*path), "a second retraction changes nothing");
    let unknown = RecordId::new();
    retract(unknown, 5);
    assert_eq!(before(unknown), None, "a record that the history never had");
}

#[test]
fn a_home_has_operations_once_one_is_committed() {
    let (home, history) = Home::ours();
    let one = record(ONE, "one\n");
    keep(&history, std::slice::from_ref(&one));
    assert!(!history.has_operations().expect("readable"));
    let theirs = home.git(&["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Amend 1 record by hand"]);
    home.git(&["update-ref", "HEAD", theirs.trim()]);
    assert!(!history.has_operations().expect("readable"), "a commit of the repository's owner");
    commit_change(&history, &Op::Retract(change_of(one.id, 2)), &[page(&state_file(one.id), "state")], &[ONE]);
    assert!(history.has_operations().expect("readable"));
}
