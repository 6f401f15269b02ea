//! Every combination of what file, row, history and state file can have of a record: one recovery ends in agreement, or names
//! what a person has to look at. A second one does nothing.

use std::collections::BTreeMap;
use std::fs;

use indelible::model::Op;
use indelible::model::path::state_file;
use indelible::page::{Presence, StateFile};

use crate::changes::{Subject, put};
use crate::support::{Receipt, TestHome, in_parallel};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Current,
    Old,
    Absent,
    Torn,
    Edited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Current,
    Old,
    Absent,
    Hidden,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum History {
    Has,
    Older,
    Lacks,
}

/// The last operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Amended,
    Retracted,
    Restored,
}

/// The state file on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDisk {
    Intact,
    Removed,
    Torn,
    Older,
}

const FILES: [File; 5] = [File::Current, File::Old, File::Absent, File::Torn, File::Edited];
const ROWS: [Row; 4] = [Row::Current, Row::Old, Row::Absent, Row::Hidden];
const HISTORIES: [History; 3] = [History::Has, History::Older, History::Lacks];

/// One record, and what the stores will have of it.
struct Case {
    file: File,
    row: Row,
    history: History,
    subject: Subject,
    /// Its page as first recorded, as amended, and as its owner edited it.
    old: String,
    current: String,
    edited: String,
    ops: Vec<Op>,
}

impl Case {
    fn new(home: &TestHome, receipt: &Receipt, state: State, (file, row, history): (File, Row, History)) -> Case {
        let subject = Subject::of(home, receipt);
        let field = match receipt.kind.as_str() {
            "heuristic" => "rule",
            "experiment" => "name",
            _ => "title",
        };
        let amend = subject.amend(2, field, &format!("amended {}", receipt.id));
        let Op::Amend(amendment) = &amend else { panic!("it amends") };
        let current = amendment.record.files[0].text.clone();
        let old = fs::read_to_string(home.join(&subject.path)).expect("it is there");
        let edited = format!("{current}\nA line by hand.\n");
        let mut ops = vec![amend];
        if state != State::Amended {
            ops.push(subject.retract(3));
        }
        if state == State::Restored {
            ops.push(subject.restore(4));
        }
        Case { file, row, history, subject, old, current, edited, ops }
    }

    fn shown(&self) -> String {
        let Case { file, row, history, subject, .. } = self;
        format!("file {file:?}, row {row:?}, history {history:?}: {}", subject.path)
    }
}

fn record(home: &TestHome, count: usize) -> Vec<Receipt> {
    let line = |number: usize| {
        let line = match number % 3 {
            0 => {
                serde_json::json!({"kind": "failure", "title": format!("failure {number}"), "domain": "ci", "summary": "S."})
            }
            1 => serde_json::json!({"kind": "heuristic", "rule": format!("rule {number}"), "domain": "Rules of thumb"}),
            _ => serde_json::json!({"kind": "experiment", "name": format!("experiment {number}"), "hypothesis": "H."}),
        };
        format!("{line}\n")
    };
    let lines: String = (0..count).map(line).collect();
    let said = home.cmd(["record", "batch", "--json"]).stdin(lines).ok().stdout;
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    said.lines().map(json).filter(|json| json.get("id").is_some()).map(|json| Receipt::of(&json)).collect()
}

/// A home in which each record is another combination.
fn home_with(state: State) -> (TestHome, Vec<Case>, Vec<String>) {
    let home = TestHome::new();
    let mut combinations: Vec<_> = HISTORIES
        .into_iter()
        .flat_map(|history| FILES.into_iter().flat_map(move |file| ROWS.map(|row| (file, row, history))))
        .collect();
    combinations.sort_by_key(|(_, _, history)| *history);
    let (committed, lacking) = combinations.split_at(2 * FILES.len() * ROWS.len());
    let cases = |home: &TestHome, combinations: &[(File, Row, History)]| -> Vec<Case> {
        let receipts = record(home, combinations.len());
        home.flush();
        receipts.iter().zip(combinations).map(|(receipt, it)| Case::new(home, receipt, state, *it)).collect()
    };
    let mut snapshots = Vec::new();
    let mut snapshot = |home: &TestHome| {
        let path = home.user().join(format!("rows-{}.db", snapshots.len())).display().to_string();
        home.index().execute("VACUUM INTO ?1", [&path]).expect("it can be copied");
        snapshots.push(path);
    };
    let mut all = cases(&home, committed);
    snapshot(&home);
    let ops = |cases: &[Case], which: fn(&Case) -> &[Op]| -> Vec<Op> {
        cases.iter().flat_map(|case| which(case).to_vec()).collect()
    };
    put(&home, &ops(&all, |case| &case.ops[..case.ops.len() - 1]));
    put(&home, &ops(&all, |case| if case.history == History::Has { &case.ops[case.ops.len() - 1..] } else { &[] }));
    home.flush();
    let tip = home.git(["rev-parse", &home.history()]).ok().stdout.trim().to_owned();
    let others = cases(&home, lacking);
    snapshot(&home);
    put(&home, &ops(&all, |case| if case.history == History::Older { &case.ops[case.ops.len() - 1..] } else { &[] }));
    put(&home, &ops(&others, |case| &case.ops));
    home.flush();
    all.extend(others);
    let _ = home.git(["update-ref", &home.history(), &tip]).ok();
    (home, all, snapshots)
}

fn harm(home: &TestHome, case: &Case, on_disk: OnDisk, state: State, number: usize) {
    let path = home.join(&case.subject.path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
    match case.file {
        File::Current if state == State::Retracted => fs::write(&path, &case.current),
        File::Current => Ok(()),
        File::Old => fs::write(&path, &case.old),
        File::Absent => {
            let _ = fs::remove_file(&path);
            Ok(())
        }
        File::Torn => {
            fs::write(&path, if number.is_multiple_of(2) { String::new() } else { "\0".repeat(case.current.len()) })
        }
        File::Edited => fs::write(&path, &case.edited),
    }
    .expect("the file can be changed");
    let state_path = home.join(&state_file(case.subject.id));
    match on_disk {
        OnDisk::Intact => {}
        OnDisk::Removed => {
            let _ = fs::remove_file(&state_path);
        }
        OnDisk::Torn => fs::write(&state_path, "").expect("it can be torn"),
        OnDisk::Older => {
            let Op::Retract(change) = case.subject.retract(3) else { panic!("it retracts") };
            fs::write(&state_path, StateFile::of_change(&change, Presence::Retracted).text()).expect("written");
        }
    }
}

fn harm_rows(home: &TestHome, cases: &[Case], snapshots: &[String]) {
    let index = home.index();
    for (number, path) in snapshots.iter().enumerate() {
        index.execute(&format!("ATTACH ?1 AS old{number}"), [path]).expect("it can be attached");
    }
    let tables = ["learnings", "heuristics", "experiments"];
    for case in cases.iter().filter(|case| case.row != Row::Current) {
        let id = case.subject.id.to_string();
        let number: Option<i64> =
            index.query_row("SELECT row_id FROM records WHERE id = ?1", [&id], |row| row.get(0)).ok();
        let kind = case.subject.request.record.kind().name();
        let table = match kind {
            "heuristic" => tables[1],
            "experiment" => tables[2],
            _ => tables[0],
        };
        if let Some(number) = number {
            index.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [number]).expect("removed");
        }
        index.execute("DELETE FROM records WHERE id = ?1", [&id]).expect("removed");
        index.execute("DELETE FROM marks WHERE id = ?1", [&id]).expect("removed");
        let old = if case.history == History::Lacks { "old1" } else { "old0" };
        if case.row == Row::Old {
            let sql = format!(
                "INSERT INTO {table} SELECT * FROM {old}.{table} WHERE id = (SELECT row_id FROM {old}.records WHERE id = ?1)"
            );
            index.execute(&sql, [&id]).expect("put back");
            index
                .execute(&format!("INSERT INTO records SELECT * FROM {old}.records WHERE id = ?1"), [&id])
                .expect("back");
        }
        if case.row == Row::Hidden {
            let Op::Retract(change) = case.subject.retract(3) else { panic!("it retracts") };
            index
                .execute(&format!("INSERT INTO records SELECT * FROM {old}.records WHERE id = ?1"), [&id])
                .expect("back");
            index.execute("UPDATE records SET row_id = -row_id WHERE id = ?1", [&id]).expect("hidden");
            let sql =
                "INSERT INTO marks (id, state, revision, at) VALUES (?1, 'retracted', ?2, '1970-01-01T00:00:00.000Z')";
            index.execute(sql, [&id, &change.revision.to_string()]).expect("marked");
        }
    }
}

/// All that the stores have, to be compared.
fn content(home: &TestHome) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    for folder in ["memory", "experiments"] {
        files(home, folder, &mut content);
    }
    content.insert("tree".into(), home.git(["rev-parse", &format!("{}^{{tree}}", home.history())]).ok().stdout);
    let index = home.index();
    for table in ["records", "marks", "learnings", "heuristics", "experiments"] {
        let mut statement = index.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("it is there");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cells = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            Ok(format!("{:?}", cells.collect::<Result<Vec<_>, _>>()?))
        };
        let rows: Vec<String> = statement.query_map([], row).and_then(Iterator::collect).expect("the rows can be read");
        content.insert(table.into(), rows.join("\n"));
    }
    content
}

fn files(home: &TestHome, folder: &str, content: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(home.join(folder)).into_iter().flatten() {
        let entry = entry.expect("it can be listed");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("it is there").is_dir() {
            true => files(home, &path, content),
            false if path.ends_with(".md") => {
                let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("readable")).into_owned();
                content.insert(path, text);
            }
            false => {}
        }
    }
}

/// What `verify` names: each path, with what is wrong.
fn named(home: &TestHome) -> Vec<(String, String)> {
    let report = home.cmd(["verify", "--json"]).run().json();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let found = report["disagreements"].as_array().expect("a list").iter();
    found.map(|it| (text(&it["path"]), text(&it["what"]))).collect()
}

fn check(state: State, on_disk: OnDisk, journal_has_it: bool) {
    let what = format!("{state:?}, its state file {on_disk:?}, the journal has it: {journal_has_it}");
    let (home, cases, snapshots) = home_with(state);
    if !journal_has_it {
        for (name, _) in home.journal() {
            fs::remove_file(home.join(&format!(".indelible/journal/{name}"))).expect("removed");
        }
        let _ = fs::remove_file(home.join(".indelible/state.json"));
    }
    for (number, case) in cases.iter().enumerate() {
        harm(&home, case, on_disk, state, number);
    }
    harm_rows(&home, &cases, &snapshots);
    let first = home.cmd(["recover", "--json"]).run();
    let first = first.json();
    let (after, left) = (content(&home), named(&home));
    let shown =
        |path: &str| cases.iter().find(|case| case.subject.path == path).map_or_else(|| path.to_owned(), Case::shown);
    // What no store has any more is lost, and named.
    let is_lost = |path: &str| {
        let Some(case) =
            cases.iter().find(|case| path.contains(&case.subject.id.to_string()) || case.subject.path == path)
        else {
            return false;
        };
        let nowhere = matches!(case.file, File::Absent | File::Torn) && matches!(case.row, Row::Absent | Row::Hidden);
        state != State::Retracted && case.history == History::Lacks && nowhere && !journal_has_it
    };
    let is_edited = |path: &str| cases.iter().any(|case| case.subject.path == path && case.file == File::Edited);
    let is_named = |path: &str, what: &str| {
        what.contains("left as it is")
            || what.contains("nothing is left") && is_lost(path)
            || what.contains("edited by hand") && is_edited(path)
    };
    let not_named: Vec<_> = left.iter().filter(|(path, what)| !is_named(path, what)).collect();
    let not_named: Vec<_> = not_named.iter().map(|(path, what)| format!("{what}: {}", shown(path))).collect();
    assert!(not_named.is_empty(), "{what}\n{first}\n{}", not_named.join("\n"));
    // The latest content that any store has is in all of them.
    for case in cases.iter().filter(|case| case.file != File::Edited && state != State::Retracted) {
        let amended = state == State::Restored && case.history != History::Lacks
            || [case.file == File::Current, case.row == Row::Current, case.history == History::Has].contains(&true);
        // Empty bytes at a path that no other store names are not known to be a record's.
        let is_nameless = state == State::Restored && (case.file, case.row) == (File::Torn, Row::Absent);
        if let Ok(page) = fs::read_to_string(home.join(&case.subject.path))
            && amended
            && !(is_nameless && case.history != History::Has)
        {
            // A repeated amendment may have got a later revision.
            let amended = format!("\n# amended {}\n", case.subject.id);
            assert!(page.contains(&amended), "{what}: {}\n{page}", case.shown());
        }
    }
    let second = home.cmd(["recover", "--json"]).run().json();
    let again = content(&home);
    let changed: Vec<_> = again
        .iter()
        .filter(|(path, text)| after.get(*path) != Some(text))
        .map(|(path, text)| match path.contains('/') {
            true => shown(path),
            false => format!("{path}: {:?}", differing(after.get(path).map_or("", String::as_str), text)),
        })
        .collect();
    assert!(changed.is_empty(), "{what}: a second recovery changed\n{}\n{second}", changed.join("\n"));
    for (name, value) in second.as_object().expect("a report is an object") {
        let nothing = name == "lost" && *value == first["lost"]
            || value.is_null()
            || *value == 0
            || *value == false
            || value.as_array().is_some_and(Vec::is_empty);
        assert!(nothing, "{what}: a second recovery still found something to do: {second}");
    }
    home.assert_sound();
}

fn differing(before: &str, after: &str) -> Vec<String> {
    let before: Vec<&str> = before.lines().collect();
    let new = after.lines().filter(|line| !before.contains(line)).map(|line| format!("+{line}"));
    let gone = before.iter().filter(|line| !after.lines().any(|it| it == **line)).map(|line| format!("-{line}"));
    new.chain(gone).take(6).collect()
}

#[test]
fn one_recovery_brings_every_combination_to_agreement_and_a_second_does_nothing() {
    let states = [
        (State::Amended, OnDisk::Intact),
        (State::Retracted, OnDisk::Intact),
        (State::Retracted, OnDisk::Removed),
        (State::Retracted, OnDisk::Torn),
        (State::Restored, OnDisk::Intact),
        (State::Restored, OnDisk::Removed),
        (State::Restored, OnDisk::Torn),
        (State::Restored, OnDisk::Older),
    ];
    // With the journal there, all of it is applied again: one home shows that.
    let with_journal = [((State::Restored, OnDisk::Intact), true)];
    let cases: Vec<_> = states.into_iter().map(|it| (it, false)).chain(with_journal).collect();
    in_parallel(cases.len(), 2, |number| {
        let ((state, on_disk), kept) = cases[number];
        check(state, on_disk, kept);
    });
}
