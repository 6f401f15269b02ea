//! Homes of the Emergent Learning Framework, of every age, made without the product.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};

use super::{Dice, TestHome, theirs};

/// How old the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Without the columns that came later.
    Old,
    /// As most have them.
    Usual,
    /// With more columns, CHECKs, triggers and names that are UNIQUE.
    Strict,
    /// With a required column that no program but the owner's knows.
    Alien,
    /// In which a trigger writes to a table that is gone.
    Broken,
}

impl Tables {
    pub const ALL: [Tables; 5] = [Tables::Old, Tables::Usual, Tables::Strict, Tables::Alien, Tables::Broken];

    fn sql(self) -> &'static str {
        match self {
            Tables::Old => {
                "CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, filepath TEXT NOT NULL,
                    title TEXT NOT NULL, summary TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL,
                    created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 CREATE TABLE experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hypothesis TEXT);"
            }
            Tables::Usual => USUAL,
            Tables::Strict => {
                "CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT,
                    type TEXT NOT NULL CHECK (type IN ('failure', 'success', 'heuristic', 'experiment')),
                    filepath TEXT NOT NULL, title TEXT NOT NULL, summary TEXT, tags TEXT, domain TEXT,
                    severity INTEGER DEFAULT 3 CHECK (severity BETWEEN 1 AND 5), reviewed INTEGER NOT NULL DEFAULT 0,
                    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL,
                    explanation TEXT, source_type TEXT, source_id INTEGER, confidence REAL DEFAULT 0.5,
                    times_validated INTEGER DEFAULT 0, times_violated INTEGER DEFAULT 0, is_golden BOOLEAN DEFAULT 0,
                    project TEXT DEFAULT 'all', created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
                    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 CREATE TABLE experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
                    hypothesis TEXT, status TEXT DEFAULT 'active', cycles_run INTEGER DEFAULT 0, folder_path TEXT,
                    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 CREATE TRIGGER sure BEFORE INSERT ON heuristics WHEN NEW.confidence < 0 OR NEW.confidence > 1
                    BEGIN SELECT RAISE(ABORT, 'confidence must be between 0 and 1'); END;
                 CREATE TRIGGER dated AFTER INSERT ON learnings
                    BEGIN UPDATE learnings SET reviewed = 0 WHERE id = NEW.id; END;"
            }
            Tables::Alien => {
                "CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, filepath TEXT NOT NULL,
                    title TEXT NOT NULL, summary TEXT, tags TEXT, domain TEXT, severity INTEGER DEFAULT 1,
                    tenant TEXT NOT NULL, created_at DATETIME, updated_at DATETIME);
                 CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL,
                    explanation TEXT, source_type TEXT, confidence REAL, created_at DATETIME, updated_at DATETIME);"
            }
            Tables::Broken => {
                "CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, filepath TEXT NOT NULL,
                    title TEXT NOT NULL, summary TEXT, tags TEXT, domain TEXT, severity INTEGER DEFAULT 1,
                    created_at DATETIME, updated_at DATETIME);
                 CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL,
                    explanation TEXT, source_type TEXT, confidence REAL, created_at DATETIME, updated_at DATETIME);
                 CREATE TABLE experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hypothesis TEXT,
                    status TEXT, folder_path TEXT, created_at DATETIME);
                 CREATE TRIGGER counted AFTER INSERT ON heuristics BEGIN INSERT INTO gone VALUES (NEW.id); END;"
            }
        }
    }
}

const USUAL: &str = "
    CREATE TABLE learnings (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, filepath TEXT NOT NULL,
        title TEXT NOT NULL, summary TEXT, tags TEXT, domain TEXT, severity INTEGER DEFAULT 3,
        created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
    CREATE INDEX idx_learnings_domain ON learnings (domain);
    CREATE TABLE heuristics (id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, rule TEXT NOT NULL,
        explanation TEXT, source_type TEXT, source_id INTEGER, confidence REAL DEFAULT 0.5,
        times_validated INTEGER DEFAULT 0, times_violated INTEGER DEFAULT 0, is_golden BOOLEAN DEFAULT 0,
        created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hypothesis TEXT,
        status TEXT DEFAULT 'active', outcome TEXT, cycles_run INTEGER DEFAULT 0, folder_path TEXT,
        created_at DATETIME DEFAULT CURRENT_TIMESTAMP, completed_at DATETIME);
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, metric_name TEXT, metric_value REAL);
    INSERT INTO metrics VALUES (1, 'records', 12.5);
    CREATE VIEW severe AS SELECT * FROM learnings WHERE severity >= 4;";

/// What the home's repository is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Git {
    None,
    Clean,
    /// With staged, changed and untracked files, and the database tracked.
    Dirty,
    Detached,
    Unborn,
}

/// The old scripts: what they do is of no interest, that they come back is.
const SCRIPTS: [&str; 3] = ["record-failure.sh", "record-success.sh", "record-heuristic.sh"];

/// A home of the framework with `records` records of all ages.
pub fn framework(tables: Tables, git: Git, records: u64) -> TestHome {
    let home = TestHome::absent();
    for folder in ["memory", "scripts", "query", "golden", "logs", "memory/heuristics", "experiments/completed"] {
        std::fs::create_dir_all(home.join(folder)).expect("it can be made");
    }
    write(&home, "golden-rules.md", "# Golden rules\n\n1. Test first\n");
    write(&home, "memory/failures/README.md", "About this folder.\n");
    for name in SCRIPTS {
        write(&home, &format!("scripts/{name}"), &format!("#!/bin/bash\necho the old {name}\n"));
        set_mode(&home.join(&format!("scripts/{name}")), 0o755);
    }
    let database = Connection::open(home.join("memory/index.db")).expect("it can be made");
    database.execute_batch(tables.sql()).expect("the tables can be made");
    let mut making = Making { home: &home, database: &database, tables, dice: Dice(0x9e37 + records) };
    let transaction = database.unchecked_transaction().expect("the database has no other user");
    for number in 0..records {
        making.record(number);
    }
    transaction.commit().expect("the database has no other user");
    drop(database);
    make_repository(&home, git);
    home
}

fn make_repository(home: &TestHome, git: Git) {
    if git == Git::None {
        return;
    }
    let _ = home.git(["init", "-q", "-b", "trunk"]).ok();
    if git == Git::Unborn {
        let _ = home.git(["add", "golden-rules.md"]).ok();
        return;
    }
    write(home, ".gitignore", if git == Git::Dirty { "logs/\n" } else { "logs/\nmemory/index.db*\n" });
    let _ = home.git(["add", "-A"]).ok();
    let _ = theirs(home, ["commit", "-q", "-m", "the home"]).ok();
    if git == Git::Dirty {
        write(home, "golden-rules.md", "# Golden rules\n\n1. Staged\n");
        let _ = home.git(["add", "golden-rules.md"]).ok();
        write(home, "golden-rules.md", "# Golden rules\n\n1. Changed since\n");
        write(home, "query/new.py", "# untracked\n");
        let page = std::fs::read_dir(home.join("memory/failures")).expect("it is there").flatten().next();
        std::fs::remove_file(page.expect("there is a page").path()).expect("it can be removed");
        let log = "experiments/completed/removed/log.md";
        write(home, log, "# Log\n");
        let _ = home.git(["add", "-f", log]).ok();
        let _ = theirs(home, ["commit", "-q", "-m", "a log", "--", log]).ok();
        std::fs::remove_dir_all(home.join("experiments/completed/removed")).expect("it can be removed");
    }
    if git == Git::Detached {
        let _ = theirs(home, ["checkout", "-q", "--detach"]).ok();
    }
}

struct Making<'m> {
    home: &'m TestHome,
    database: &'m Connection,
    tables: Tables,
    dice: Dice,
}

impl Making<'_> {
    fn record(&mut self, number: u64) {
        match number % 10 {
            7 => self.heuristic(number),
            8 => self.experiment(number),
            _ => self.learning(number),
        }
    }

    fn learning(&mut self, number: u64) {
        let kind = if number.is_multiple_of(2) { "failure" } else { "success" };
        // Now and then a title comes twice, and the second overwrites the first's file.
        let title = if number % 50 == 25 { "The same again".to_owned() } else { format!("Learning {number}") };
        let stem = title.to_lowercase().replace(' ', "-");
        let path = format!("memory/{kind}s/20251{:03}_{stem}.md", 200 + number / 100).replace("successs", "successes");
        let path = if number % 50 == 25 { "memory/failures/20251201_the-same-again.md".to_owned() } else { path };
        let age = self.dice.below(7);
        let text = page(age, &title, number);
        // Some have only a file, some only a row.
        if number % 40 != 11 {
            write_bytes(self.home, &path, &text);
        }
        if number % 40 != 21 {
            self.learning_row(kind, &path, &title, number);
        }
    }

    fn learning_row(&self, kind: &str, path: &str, title: &str, number: u64) {
        let at = "2025-12-01 10:11:12";
        let summary = format!("Summary of {number}");
        let sql = match self.tables {
            Tables::Old => {
                "INSERT INTO learnings (type, filepath, title, summary, created_at) VALUES (?1, ?2, ?3, ?4, ?5)"
            }
            Tables::Alien => {
                "INSERT INTO learnings (type, filepath, title, summary, created_at, tenant) VALUES (?1, ?2, ?3, ?4, ?5, 'x')"
            }
            _ => {
                "INSERT INTO learnings (type, filepath, title, summary, created_at, tags, domain, severity)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'a,b', 'ci', 4)"
            }
        };
        self.database.execute(sql, params![kind, path, title, summary, at]).expect("the row can be inserted");
    }

    fn heuristic(&mut self, number: u64) {
        let rule = format!("Rule {number}");
        let domain = ["git", "error handling", "old", "yaml"][self.dice.below(4) as usize];
        if self.tables != Tables::Broken {
            let sql = "INSERT INTO heuristics (domain, rule) VALUES (?1, ?2)";
            self.database.execute(sql, [domain, &rule]).expect("the row can be inserted");
        }
        let id = self.database.last_insert_rowid();
        let path = self.home.join(&format!("memory/heuristics/{}.md", domain.replace(' ', "-")));
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|_| format!("# Heuristics: {domain}\n"));
        match domain {
            // On no page at all.
            "old" if number % 4 == 1 => return,
            "old" => text.push_str(&format!("\n## {number}. {rule}\n\nConfidence: high\n\n---\n")),
            "yaml" => {
                text = format!("---\nrule: \"{rule}\"\ndomain: yaml\nconfidence: 0.9\nsource_type: auto\n---\n");
                write(self.home, &format!("memory/heuristics/yaml-{number}.md"), &text);
                return;
            }
            _ => text.push_str(&format!(
                "\n## H-{id}: {rule}\n\n**Confidence**: 0.7\n**Source**: failure\n**Created**: 2025-12-01\n\nSince.\n\n---\n"
            )),
        }
        std::fs::write(path, text).expect("it can be written");
    }

    fn experiment(&mut self, number: u64) {
        let name = format!("Experiment {number}");
        let folder = format!("experiments/active/20251201-101112_experiment-{number}");
        if !matches!(self.tables, Tables::Alien) && number % 40 != 18 {
            let sql = match self.tables {
                Tables::Old => "INSERT INTO experiments (name, hypothesis) VALUES (?1, coalesce(?2, ''))",
                _ => "INSERT INTO experiments (name, hypothesis, folder_path) VALUES (?1, 'It is so.', ?2)",
            };
            self.database.execute(sql, [&name, &folder]).expect("the row can be inserted");
        }
        if number % 40 != 28 {
            write(self.home, &format!("{folder}/hypothesis.md"), &format!("# {name}\n\n## Hypothesis\n\nIt is so.\n"));
            write(self.home, &format!("{folder}/log.md"), &format!("# Log: {name}\n"));
        }
    }
}

/// A page as it was written at some time.
fn page(age: u64, title: &str, number: u64) -> Vec<u8> {
    let text = match age {
        0 => format!(
            "# {title}\n\n**Domain**: ci\n**Severity**: 4\n**Tags**: a,b\n**Date**: 2025-12-01 10:11:12\n\n## Summary\n\n\
             Summary of {number}\n\n## What Happened\n\nIt broke.\n\n## Root Cause\n\n## Impact\n\n## Prevention\n\n## Related\n"
        ),
        1 => format!("# {title}\n\nDomain: ci\nSeverity: high\nTags: a,b\nDate: 20251201\n\nSummary of {number}\n"),
        2 => format!("# {title}\r\n\r\n**Domain**: ci\r\n**Severity**: critical\r\n\r\n## Summary\r\n\r\nWindows\r\n"),
        3 => format!("# {title}\n\n- **Domain:** ci\n- **Severity:** 2/5\n"),
        4 => format!("Nothing but text {number}.\n"),
        5 => return [b"# \xff\xfe latin ".as_slice(), title.as_bytes(), b"\n\n**Domain**: caf\xe9\n\x00"].concat(),
        _ => String::new(),
    };
    text.into_bytes()
}

fn write(home: &TestHome, path: &str, text: &str) {
    write_bytes(home, path, text.as_bytes());
}

fn write_bytes(home: &TestHome, path: &str, bytes: &[u8]) {
    let path = home.join(path);
    std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
    std::fs::write(path, bytes).expect("it can be written");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Everything in the home that is not a database, git's objects or ours, by path, with its mode; git's own files among it.
pub fn everything(home: &TestHome) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    collect(home.path(), "", &mut files);
    files
}

fn collect(root: &Path, folder: &str, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder can be read") {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let ours = path.starts_with(".indelible") || path.starts_with(".git/objects") || path.contains("/indelible");
        if ours || path.starts_with("memory/index.db") {
            continue;
        }
        if entry.file_type().expect("it is there").is_dir() {
            collect(root, &path, files);
        } else {
            let mode = entry.metadata().expect("it is there").permissions().mode();
            files.insert(path, (mode, std::fs::read(entry.path()).expect("it can be read")));
        }
    }
}

/// Every row of every table and view, as text; without what is ours.
pub fn rows(home: &TestHome) -> BTreeMap<String, Vec<String>> {
    let database = Connection::open(home.join("memory/index.db")).expect("it opens");
    let mut names = database
        .prepare(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
             AND name NOT IN ('records', 'indelible', 'marks', 'changes')",
        )
        .expect("it can be read");
    let names = names.query_map([], |row| row.get::<_, String>(0)).expect("it can be read");
    let names: Vec<String> =
        names.map(|name| name.expect("it can be read")).filter(|name| name != "sqlite_sequence").collect();
    names.into_iter().map(|name| (name.clone(), rows_of(&database, &name))).collect()
}

fn rows_of(database: &Connection, table: &str) -> Vec<String> {
    let mut statement = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("it can be read");
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("it is there")));
        Ok(values.collect::<Vec<_>>().join(" | "))
    };
    let rows = statement.query_map([], row).expect("it can be read");
    rows.map(|row| row.expect("it can be read")).collect()
}

/// Holds that everything in `before` is in `now` as well, in the same order.
#[track_caller]
pub fn assert_rows_kept(before: &BTreeMap<String, Vec<String>>, now: &BTreeMap<String, Vec<String>>) {
    for (table, rows) in before {
        let now = &now[table];
        assert!(now.len() >= rows.len(), "{table} has lost rows");
        assert_eq!(&now[..rows.len()], &rows[..], "rows of {table} have changed");
    }
}

/// Holds that every file in `before` is in `now`, byte for byte and with its mode, but for those that `but` names.
#[track_caller]
pub fn assert_files_kept(
    before: &BTreeMap<String, (u32, Vec<u8>)>,
    now: &BTreeMap<String, (u32, Vec<u8>)>,
    but: &[&str],
) {
    for (path, file) in before.iter().filter(|(path, _)| !but.contains(&path.as_str())) {
        let found = now.get(path).unwrap_or_else(|| panic!("{path} is gone"));
        assert!(file == found, "{path} has changed");
    }
}
