//! `erase` in an adopted home: our records go from the framework's tables, from every copy of the database and from all that is
//! ours; what the framework has stays to the byte, and is named where it says the same words.

use std::collections::BTreeMap;
use std::fs;

use rusqlite::types::Value;
use rustix::process::Signal;

use crate::adopt::{adopt, release};
use crate::erase::{NEEDLES, assert_gone, erase, places, secrets};
use crate::support::{Git, Receipt, Tables, TestHome, Worker, framework, wait_for};

/// An adopted home, with what is erased later: secrets of each kind, in the daily copy as well.
fn adopted(tables: Tables, git: Git) -> (TestHome, Before, Vec<Receipt>) {
    let home = framework(tables, git, 60);
    let _ = adopt(&home, &["--yes"]).ok();
    let before = Before::of(&home);
    let receipts = secrets(&home);
    home.record("failure", "beside");
    home.flush();
    let worker = Worker::quick(&home);
    let daily = home.private().join("adopted/daily.db");
    wait_for("the worker to make the daily copy", || daily.exists().then_some(()));
    assert!(worker.stop(Signal::TERM).success());
    (home, before, receipts)
}

/// What the framework's home has: rows of its tables, and its own files.
struct Before {
    rows: BTreeMap<String, Vec<Vec<Value>>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Before {
    fn of(home: &TestHome) -> Before {
        let mut files = BTreeMap::new();
        let mut open = vec![home.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                let name = path.strip_prefix(home.path()).expect("beneath").to_string_lossy().into_owned();
                let is_apart = name == ".git" || name == ".indelible" || name.starts_with("memory/index.db");
                match path.is_dir() {
                    _ if is_apart => {}
                    true => open.push(path),
                    false => drop(files.insert(name, fs::read(&path).expect("readable"))),
                }
            }
        }
        Before { rows: rows(home), files }
    }

    #[track_caller]
    fn assert_there(&self, home: &TestHome) {
        let now = rows(home);
        for (table, rows) in &self.rows {
            let there = now.get(table).unwrap_or_else(|| panic!("{table} is gone"));
            assert!(rows.iter().all(|row| there.contains(row)), "rows of {table} are gone or changed");
        }
        for (name, bytes) in &self.files {
            assert_eq!(fs::read(home.join(name)).ok().as_ref(), Some(bytes), "{name} is gone or changed");
        }
    }
}

/// Every row of every table of the framework's.
fn rows(home: &TestHome) -> BTreeMap<String, Vec<Vec<Value>>> {
    let index = home.index();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut statement = index.prepare(sql).expect("sound");
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).expect("sound").flatten().collect();
    let ours = ["alike", "changes", "counted", "indelible", "marks", "records", "verdicts"];
    let mut found = BTreeMap::new();
    for name in names.into_iter().filter(|name| !ours.contains(&name.as_str())) {
        let mut statement = index.prepare(&format!("SELECT * FROM \"{name}\"")).expect("sound");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>();
        let rows = statement.query_map([], row).expect("sound").map(|row| row.expect("sound")).collect();
        found.insert(name, rows);
    }
    found
}

fn copies(home: &TestHome) -> BTreeMap<String, Vec<u8>> {
    let listed = fs::read_dir(home.private().join("adopted")).expect("copies").flatten();
    let named = listed.filter(|it| it.path().is_file()).map(|it| it.file_name().to_string_lossy().into_owned());
    named.map(|name| (name.clone(), fs::read(home.private().join("adopted").join(name)).expect("readable"))).collect()
}

#[test]
fn the_frameworks_tables_copies_and_pages_have_nothing_of_it_and_stay_otherwise() {
    for (tables, git) in [(Tables::Usual, Git::Dirty), (Tables::Usual, Git::None), (Tables::Strict, Git::Unborn)] {
        let (home, before, receipts) = adopted(tables, git);
        // Their tools made a second row of a page, and statistics that quote titles.
        let sql = format!(
            "INSERT INTO learnings (type, filepath, title) VALUES ('failure', '{}', 'hunter2 zebra found by theirs');
             CREATE INDEX titles ON learnings (title); ANALYZE; UPDATE learnings SET summary = 'x' WHERE title LIKE '%zebra%';",
            receipts[0].page()
        );
        home.index().execute_batch(&sql).expect("theirs");
        let was = copies(&home);
        assert!(was.contains_key("daily.db"), "{:?}", was.keys());
        let _ = erase(&home, &receipts, &["--dry-run"]).ok();
        let said = erase(&home, &receipts, &["--yes"]).ok();
        assert!(said.stdout.contains("rotate"), "{said}");
        assert_gone(&home);
        before.assert_there(&home);
        let now = copies(&home);
        for (name, bytes) in was {
            assert!(now.get(&name) == Some(&bytes) || name == "daily.db", "{name} had nothing of it, and has changed");
        }
        let daily = rusqlite::Connection::open(home.private().join("adopted/daily.db")).expect("a copy");
        let count = |sql: &str| daily.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("sound");
        assert!(count("SELECT count(*) FROM learnings") > 40, "the copy keeps what is theirs");
        assert_eq!(count("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
        drop(daily);
        let _ = home.verify().exits(0);
        home.recover_fully();
        assert_gone(&home);
        let _ = release(&home, &["--yes"]).ok();
        assert_gone(&home);
        before.assert_there(&home);
    }
}

#[test]
fn what_the_framework_says_in_the_same_words_stays_and_is_named() {
    let (home, before, receipts) = adopted(Tables::Usual, Git::Clean);
    fs::write(home.join("golden-rules.md"), "# Golden rules\n\n## 1. never zebra hunter2\n").expect("theirs");
    let theirs = "CREATE TABLE violations (id INTEGER PRIMARY KEY, rule_name TEXT, description TEXT);
                  INSERT INTO violations VALUES (1, 'never zebra hunter2', 'was violated');
                  CREATE TABLE audit (was TEXT);
                  CREATE TRIGGER audited AFTER DELETE ON learnings BEGIN INSERT INTO audit VALUES (OLD.title); END;";
    home.index().execute_batch(theirs).expect("theirs");
    let said = erase(&home, &receipts, &["--yes", "--json"]).ok().json();
    let others = said["others"].to_string();
    for name in ["golden-rules.md", "memory/index.db, table violations", "memory/index.db, table audit"] {
        assert!(others.contains(name), "{name} in {others}");
    }
    let left = places(&home, &NEEDLES);
    assert!(left.iter().all(|name| name == "golden-rules.md" || name == "memory/index.db"), "{left:?}");
    assert_eq!(rows(&home)["violations"].len(), 1);
    let mut before = before;
    before.files.remove("golden-rules.md");
    before.assert_there(&home);
}

#[test]
fn a_database_that_does_not_let_go_is_refused_by_name_and_nothing_changes() {
    let (home, before, receipts) = adopted(Tables::Usual, Git::Clean);
    let theirs =
        "CREATE TRIGGER never BEFORE DELETE ON learnings BEGIN SELECT RAISE(ABORT, 'nothing is deleted here'); END;";
    home.index().execute_batch(theirs).expect("theirs");
    let refused = erase(&home, &receipts, &["--yes"]).run().exits(65);
    assert!(refused.stderr.contains("nothing is deleted here") && refused.stderr.contains("retract"), "{refused}");
    assert!(!home.private().join("erasing.json").exists());
    for receipt in &receipts {
        let _ = home.cmd(["show", &receipt.id]).ok();
    }
    before.assert_there(&home);
    home.index().execute_batch("DROP TRIGGER never").expect("theirs");
    let _ = erase(&home, &receipts, &["--yes"]).ok();
    assert_gone(&home);
    before.assert_there(&home);
}

/// Tables of every age; some refuse our rows, and the records are parked.
#[test]
fn records_that_a_table_refused_are_erased_where_they_wait() {
    for tables in [Tables::Old, Tables::Alien, Tables::Broken] {
        let (home, before, receipts) = adopted(tables, Git::Clean);
        let _ = erase(&home, &receipts, &["--yes"]).ok();
        assert_gone(&home);
        before.assert_there(&home);
        // The record beside them has no row for good.
        let _ = home.cmd(["recover"]).run();
        assert_gone(&home);
    }
}

/// A parked record is named as any other.
#[test]
fn a_parked_record_is_erased_by_the_end_of_its_id() {
    let home = framework(Tables::Strict, Git::Clean, 3);
    let _ = adopt(&home, &["--yes"]).ok();
    let first = home.record("experiment", "Twice");
    let second = home.record("experiment", "Twice");
    home.flush();
    let end = &second.id[28..];
    let dry = home.cmd(["erase", end, "--dry-run"]).ok();
    assert!(dry.stdout.contains(&second.id), "{dry}");
    let _ = home.cmd(["erase", end, "--yes"]).ok();
    let shown = home.cmd(["show", &second.id]).run().exits(1);
    assert!(shown.stderr.contains("was erased"), "{shown}");
    assert_eq!(home.status()["quarantine"]["parked"].as_array().map(Vec::len), Some(0));
    let _ = home.cmd(["show", &first.id]).ok();
    let unknown = home.cmd(["erase", "00000000", "--yes"]).run().exits(65);
    assert!(unknown.stderr.contains("no record here"), "{unknown}");
}

#[test]
fn killed_beside_a_worker_it_is_finished_in_an_adopted_home_too() {
    for point in ["EraseBeforeRows", "EraseBeforeRows:2", "EraseBeforeVacuum:2", "EraseBeforeFile:2", "EraseBeforeDone"]
    {
        let (home, before, receipts) = adopted(Tables::Usual, Git::Dirty);
        let mut worker = Worker::launch(&home, &["worker.age_ms=50"], &[("INDELIBLE_CRASH_AT", point)]);
        worker.wait_for_line("worker started");
        let _ = erase(&home, &receipts, &["--yes"]).ok();
        assert!(!worker.is_running(), "{point}: it crashed");
        let next = Worker::quick(&home);
        let receipt = home.record("failure", "later");
        next.wait_until_committed(&home);
        wait_for("its file", || home.join(&receipt.page()).exists().then_some(()));
        assert!(next.stop(Signal::TERM).success());
        assert_gone(&home);
        before.assert_there(&home);
        let _ = home.verify().exits(0);
    }
}
