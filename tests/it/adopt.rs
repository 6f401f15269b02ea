//! A home of the Emergent Learning Framework is taken over and let go again, whatever its age and whatever its owner is in
//! the middle of: nothing of theirs changes.

use indelible::fs::Point;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    Cmd, Git, Outcome, Receipt, Running, Stores, Tables, TestHome, Worker, assert_files_kept, assert_rows_kept,
    everything, framework, has_strace, in_parallel, record_args, rows, theirs, wait_for,
};

/// What adopting changes of files that are not in `.indelible`.
const EXCLUDE: &str = ".git/info/exclude";

pub fn adopt(home: &TestHome, flags: &[&str]) -> Cmd {
    let path = home.path().to_str().expect("the temporary folder's name is UTF-8");
    home.homeless(["adopt", path].iter().chain(flags).copied())
}

pub fn release(home: &TestHome, flags: &[&str]) -> Cmd {
    let path = home.path().to_str().expect("the temporary folder's name is UTF-8");
    home.homeless(["release", path].iter().chain(flags).copied())
}

fn status(home: &TestHome) -> String {
    let tracked = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"];
    home.git(tracked).ok().stdout.lines().filter(|line| !line.ends_with("memory/index.db")).collect()
}

/// What docs/adopting.md tells a newcomer to type works as it stands there.
#[test]
fn the_whole_way_is_as_documented() {
    let home = framework(Tables::Usual, Git::Dirty, 50);
    let theirs = home.user().join(".claude/emergent-learning");
    std::fs::create_dir(home.user().join(".claude")).expect("it can be made");
    std::fs::rename(home.path(), &theirs).expect("it can be moved");
    let told = include_str!("../../docs/adopting.md").split("## The whole way").nth(1).expect("it is told");
    let told: Vec<&str> = told.trim_start_matches('\n').lines().map_while(|line| line.strip_prefix("    ")).collect();
    assert!(told.len() >= 4, "{told:?}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_indelible")).parent().expect("it is in a folder");
    let commands = format!("PATH={}:$PATH\n{}", program.display(), told.join("\n"));
    let said = Cmd::new("sh", home.user()).args(["-ec", &commands]).ok();
    assert!(said.stdout.contains("5 scripts put in their places"), "{said}");
    assert!(said.stdout.ends_with("0 records: journal, files, rows and history agree (0 pending)\n"), "{said}");
    assert!(theirs.join(".git/indelible/home.json").exists(), "another home was adopted: {said}");
}

/// The names and bytes of everything in a home, the database's and the repository's among them.
pub fn every_byte(home: &TestHome) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path.clone());
                found.push((path, Vec::new()));
            } else {
                let bytes = std::fs::read(&path).expect("it can be read");
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

/// Holds that each record is in all three stores once.
#[track_caller]
pub fn assert_whole(home: &TestHome, receipts: &[Receipt]) {
    let stores = Stores::read(home);
    let wrong: Vec<_> = receipts.iter().flat_map(|receipt| stores.problems_of(&receipt.id)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stores.rows.len(), receipts.len(), "records knows others than were recorded");
}

#[test]
fn looking_changes_no_byte() {
    for git in [Git::None, Git::Dirty] {
        let home = framework(Tables::Usual, git, 100);
        let before = every_byte(&home);
        for flags in [&[][..], &["--dry-run", "--scripts", "--repair"]] {
            let said = adopt(&home, flags).ok();
            assert!(said.stdout.contains("Nothing was changed"), "{said}");
            assert_eq!(said.stdout.contains("rm --cached memory/index.db"), git == Git::Dirty, "{said}");
        }
        let plan = adopt(&home, &["--json"]).ok().json();
        assert!(plan["done"].is_null());
        assert!(before == every_byte(&home), "a look at the home has changed it");
    }
}

/// 500 records of all ages: what was there is there as it was, and records go on.
#[test]
fn a_home_of_all_ages_goes_on() {
    for git in [Git::None, Git::Clean, Git::Dirty, Git::Detached, Git::Unborn] {
        eprintln!("a repository that is {git:?}");
        let home = framework(Tables::Usual, git, 500);
        let (files, rows_before) = (everything(&home), rows(&home));
        let (status_before, head) = (status_unless_none(&home, git), head(&home));
        let done = adopt(&home, &["--yes", "--json"]).ok().json();
        let backup = done["done"]["backup"].as_str().expect("the database was copied");
        assert_backup(&home, backup, &rows_before);
        let mut receipts = home.record_each("first");
        home.flush();
        receipts.extend(home.record_each("second"));
        home.flush();
        home.assert_settled();
        assert_files_kept(&files, &everything(&home), &[EXCLUDE, ".git/packed-refs"]);
        assert_rows_kept(&rows_before, &rows(&home));
        assert_whole(&home, &receipts);
        if git != Git::None {
            assert_eq!(status(&home), status_before, "their status has changed");
            assert_eq!(self::head(&home), head, "their HEAD has moved");
            assert_eq!(home.branch(), "indelible");
        }
        let again = adopt(&home, &["--yes"]).ok();
        assert!(again.stdout.contains("was adopted on"), "{again}");
        home.assert_settled();
    }
}

fn status_unless_none(home: &TestHome, git: Git) -> String {
    if git == Git::None { String::new() } else { status(home) }
}

fn head(home: &TestHome) -> Option<Vec<u8>> {
    std::fs::read(home.join(".git/HEAD")).ok()
}

fn assert_backup(home: &TestHome, backup: &str, before: &std::collections::BTreeMap<String, Vec<String>>) {
    let copy = home.user().join("copy/memory");
    std::fs::create_dir_all(&copy).expect("it can be made");
    std::fs::copy(home.join(backup), copy.join("index.db")).expect("the copy is there");
    let copied = TestHome::at(home.user().join("copy"));
    assert_eq!(&rows(&copied), before, "the copy of the database is not what it was");
    std::fs::remove_dir_all(home.user().join("copy")).expect("it is ours");
}

/// What a table does not take is kept in its file and in git, and named; the other kinds go on.
#[test]
fn what_a_table_refuses_is_parked_and_recording_goes_on() {
    let refused: [(Tables, &[&str]); 5] = [
        (Tables::Old, &[]),
        (Tables::Usual, &[]),
        (Tables::Strict, &["observation"]),
        (Tables::Alien, &["failure", "success", "observation"]),
        (Tables::Broken, &["heuristic"]),
    ];
    assert_eq!(refused.map(|(tables, _)| tables), Tables::ALL);
    for (tables, refused) in refused {
        eprintln!("tables that are {tables:?}");
        let home = framework(tables, Git::Clean, 100);
        let rows_before = rows(&home);
        let plan = adopt(&home, &["--json"]).ok().json();
        let told: Vec<_> = plan["plan"]["database"]["refusals"].as_array().expect("a list").iter().collect();
        let told: Vec<_> = told.iter().map(|it| it["kind"].as_str().expect("a kind")).collect();
        assert_eq!(told, refused, "{plan}");
        let _ = adopt(&home, &["--yes"]).ok();
        let receipts = home.record_each("after");
        home.flush();
        assert_rows_kept(&rows_before, &rows(&home));
        if tables == Tables::Old {
            // Its rows do not say where an experiment is; the product's own look does without.
            home.assert_settled();
            continue;
        }
        let stores = Stores::read(&home);
        for receipt in &receipts {
            let problems = stores.problems_of(&receipt.id);
            match refused.contains(&receipt.kind.as_str()) {
                false => assert!(problems.is_empty(), "{}: {problems:?}", receipt.kind),
                true => assert!(stores.tree.contains_key(&receipt.page()), "{} is not in git", receipt.kind),
            }
        }
        let parked = home.status()["quarantine"]["parked"].as_array().map_or(0, Vec::len);
        assert_eq!(parked, refused.len(), "as many are parked as are refused");
    }
}

#[test]
fn a_second_experiment_of_one_name_is_parked() {
    let home = framework(Tables::Strict, Git::Clean, 50);
    let _ = adopt(&home, &["--yes"]).ok();
    let first = home.record("experiment", "Twice");
    let second = home.record("experiment", "Twice");
    let third = home.record("experiment", "Once");
    home.flush();
    let stores = Stores::read(&home);
    for receipt in [&first, &third] {
        assert!(stores.problems_of(&receipt.id).is_empty(), "{:?}", stores.problems_of(&receipt.id));
    }
    assert!(stores.tree.contains_key(&second.page()) && home.join(&second.page()).is_file());
    let status = home.status();
    assert!(status["quarantine"]["parked"][0].as_str().expect("it is named").contains(&second.id), "{status}");
}

/// Of a batch, a table takes what it takes and refuses the rest, each once.
#[test]
fn rows_that_are_refused_among_many_keep_none_back() {
    let home = framework(Tables::Strict, Git::Clean, 50);
    let _ = adopt(&home, &["--yes"]).ok();
    let line = |number| {
        let kind = if number % 3 == 0 { "observation" } else { "failure" };
        format!(r#"{{"kind":"{kind}","title":"Number {number}","domain":"ci","key":"{number}"}}"#)
    };
    let lines: Vec<String> = (0..90).map(line).collect();
    let _ = home.cmd(["record", "batch"]).stdin(lines.join("\n")).ok();
    home.flush();
    let stores = Stores::read(&home);
    assert_eq!(stores.rows.len(), 60, "not every row is there that is taken");
    let wrong: Vec<_> = stores.rows.keys().flat_map(|id| stores.problems_of(id)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let status = home.status();
    assert_eq!(status["quarantine"]["parked"].as_array().map(Vec::len), Some(30), "{status}");
}

/// Once a person has seen that a row is refused, the stores agree on it, and the home can be given back.
#[test]
fn a_refused_row_that_was_dismissed_is_no_disagreement() {
    let home = framework(Tables::Strict, Git::Clean, 50);
    let _ = adopt(&home, &["--yes"]).ok();
    let receipts = [home.record("failure", "taken"), home.record("observation", "refused")];
    home.flush();
    let _ = home.verify().exits(1);
    let _ = home.cmd(["repair"]).run().exits(1);
    let _ = home.cmd(["repair", "--dismiss"]).ok();
    home.assert_settled();
    let _ = home.cmd(["status", "--check"]).ok();
    let _ = release(&home, &["--yes"]).ok();
    assert!(receipts.iter().all(|receipt| home.join(&receipt.page()).is_file()), "a file is gone");
}

/// A lost index is rebuilt with the framework's rows too, which no record's file has.
#[test]
fn a_lost_index_has_its_owners_rows_again() {
    for tables in [Tables::Usual, Tables::Strict] {
        let home = framework(tables, Git::Clean, 100);
        let rows_before = rows(&home);
        let _ = adopt(&home, &["--yes"]).ok();
        let mut receipts = home.record_each("first");
        receipts.push(home.record("failure", "once more"));
        home.flush();
        let _ = home.cmd(["repair", "--dismiss"]).run();
        std::fs::write(home.join("memory/index.db"), [7; 9000]).expect("it can be overwritten");
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(home.join(&format!("memory/index.db{end}")));
        }
        // Killed where it is damaged, where it is empty, and where only ours are not in it yet.
        for point in ["RebuildBeforeReset", "RebuildBeforeCopy", "RebuildBeforeFill"] {
            let _ = home.cmd(["recover"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        }
        let _ = home.cmd(["recover"]).ok();
        assert_rows_kept(&rows_before, &rows(&home));
        let _ = home.cmd(["repair", "--dismiss"]).run();
        home.assert_settled();
        let taken: Vec<_> =
            receipts.into_iter().filter(|it| tables == Tables::Usual || it.kind != "observation").collect();
        assert_whole(&home, &taken);
    }
}

#[test]
fn a_home_without_a_database_gets_one() {
    let home = framework(Tables::Usual, Git::Clean, 50);
    std::fs::remove_file(home.join("memory/index.db")).expect("it is there");
    let files = everything(&home);
    let said = adopt(&home, &["--yes", "--repair"]).ok();
    assert!(said.stdout.contains("no database"), "{said}");
    let receipts = home.record_each("first");
    home.flush();
    home.assert_settled();
    assert_whole(&home, &receipts);
    assert_files_kept(&files, &everything(&home), &[EXCLUDE]);
    assert!(rows(&home)["learnings"].len() > 30, "the files got no rows");
}

/// A reader keeps the database from going into WAL mode: nothing is lost by that, and it can be tried again.
#[test]
fn a_database_that_is_being_read_is_waited_for_and_then_left_alone() {
    let home = framework(Tables::Usual, Git::Clean, 50);
    let (files, rows_before) = (everything(&home), rows(&home));
    let reader = Connection::open(home.join("memory/index.db")).expect("it opens");
    reader.execute_batch("BEGIN; SELECT * FROM learnings").expect("it can be read");
    let _ = adopt(&home, &[]).ok();
    let refused = adopt(&home, &["--yes"]).run().exits(75);
    assert!(refused.stderr.contains("has the database open"), "{refused}");
    assert_files_kept(&files, &everything(&home), &[]);
    let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d"]).run().exits(78);
    reader.execute_batch("COMMIT").expect("it was begun");
    assert_eq!(rows(&home), rows_before);
    let _ = adopt(&home, &["--yes"]).ok();
    let _ = home.record_each("first");
    home.flush();
    home.assert_settled();
}

#[test]
fn what_cannot_be_adopted_is_left_as_it_is() {
    let home = framework(Tables::Usual, Git::Clean, 300);
    let path = home.join("memory/index.db");
    let mut bytes = std::fs::read(&path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0xa5);
    std::fs::write(&path, bytes).expect("it can be written");
    let before = every_byte(&home);
    let refused = adopt(&home, &["--yes"]).run().exits(78);
    assert!(refused.stderr.contains("damaged"), "{refused}");
    assert!(before == every_byte(&home), "a damaged home was changed");

    let home = framework(Tables::Usual, Git::Clean, 10);
    let database = Connection::open(home.join("memory/index.db")).expect("it opens");
    database.execute_batch("CREATE TABLE records (name TEXT)").expect("it can be made");
    drop(database);
    let before = every_byte(&home);
    let refused = adopt(&home, &["--yes"]).run().exits(78);
    assert!(refused.stderr.contains("tables cannot be added"), "{refused}");
    assert!(before == every_byte(&home), "a home with a table of our name was changed");

    let home = TestHome::absent();
    let refused = adopt(&home, &["--yes"]).run().exits(78);
    assert!(refused.stderr.contains("hint: name the framework's home"), "{refused}");
    std::fs::create_dir(home.path()).expect("it can be made");
    let _ = adopt(&home, &["--yes"]).run().exits(78);
    assert!(every_byte(&home).is_empty());
}

/// A home that went on from Windows: its rows name the same files, and go on naming them as they do.
#[test]
fn a_row_with_backslashes_has_its_file() {
    let home = framework(Tables::Usual, Git::Clean, 500);
    let orphans = || adopt(&home, &["--json"]).ok().json()["plan"]["orphans"].clone();
    let numbers = |orphans: &Value| ["files", "rows", "shared"].map(|sort| orphans[sort].as_array().map(Vec::len));
    let before = numbers(&orphans());
    let database = Connection::open(home.join("memory/index.db")).expect("it opens");
    database
        .execute_batch(
            r"UPDATE learnings SET filepath = replace(filepath, '/', '\');
              UPDATE experiments SET folder_path = replace(folder_path, '/', '\');",
        )
        .expect("they can be changed");
    drop(database);
    let rows_before = rows(&home);
    assert_eq!(numbers(&orphans()), before, "a row with a file counts as one without");
    let _ = adopt(&home, &["--yes", "--repair"]).ok();
    assert_rows_kept(&rows_before, &rows(&home));
}

/// Files get rows and rows get files; what is there stays.
#[test]
fn orphans_are_mended_once() {
    for tables in [Tables::Old, Tables::Usual, Tables::Strict] {
        let home = framework(tables, Git::Clean, 500);
        let (files, rows_before) = (everything(&home), rows(&home));
        let plan = adopt(&home, &["--json"]).ok().json();
        let found = |plan: &Value, sort: &str| plan["plan"]["orphans"][sort].as_array().expect("a list").clone();
        assert!(!found(&plan, "files").is_empty() && !found(&plan, "rows").is_empty(), "{plan}");
        assert!(!found(&plan, "shared").is_empty(), "two titles have one file: {plan}");
        let _ = adopt(&home, &["--yes", "--repair"]).ok();
        assert_files_kept(&files, &everything(&home), &[EXCLUDE]);
        assert_rows_kept(&rows_before, &rows(&home));
        let after = adopt(&home, &["--json"]).ok().json();
        let left: Vec<_> = ["files", "rows"].iter().flat_map(|sort| found(&after, sort)).collect();
        let left: Vec<_> = left.iter().filter(|orphan| orphan["left"].is_null()).collect();
        assert!(left.is_empty(), "{tables:?}: {left:?}");
        let (files, rows_before) = (everything(&home), rows(&home));
        let _ = adopt(&home, &["--yes", "--repair"]).ok();
        assert_eq!(rows(&home), rows_before, "a row was added twice");
        assert!(everything(&home) == files, "a file was added twice");
        let _ = home.record("failure", "first");
        home.flush();
        home.assert_settled();
    }
}

pub fn script(home: &TestHome, name: &str, args: &[&str]) -> Cmd {
    Cmd::new(home.join(&format!("scripts/{name}")), home.user()).args(args)
}

/// The id of the row that a script said it made.
fn row_of(said: &Outcome) -> i64 {
    let line = said.stdout.lines().find_map(|line| line.strip_prefix("Database record created (ID: "));
    line.and_then(|line| line.strip_suffix(')')?.parse().ok()).unwrap_or_else(|| panic!("no row was named: {said}"))
}

/// A worker leaves no caller without the number of its row, and `query` sees what was just recorded.
#[test]
fn rows_are_there_at_once_beside_a_worker_as_well() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let worker = Worker::start(&home, &["worker.age_ms=3600000"]);
    let failure = script(&home, "record-failure.sh", &["--title", "By a script", "--domain", "ci"]).ok();
    let rule = script(&home, "record-heuristic.sh", &["--rule", "Look first", "--domain", "ci"]).ok();
    assert!(row_of(&failure) > 0 && row_of(&rule) > 0);
    let _ = home.record("success", "By a recorder");
    // It waits for a second at most, which a busy machine can take.
    wait_for("its row", || {
        let recent = home.cmd(["query", "--recent", "1", "--format", "json"]).ok().stdout;
        recent.contains("By a recorder").then_some(())
    });
    worker.signal(Signal::STOP);
    let _ = home.record("success", "Beside one that hangs");
    let asked = home.cmd(["query", "--recent", "1"]).ok();
    assert!(asked.stderr.contains("may be missing"), "{asked}");
    worker.signal(Signal::CONT);
}

/// 50 of each at once: every one succeeds, with one file, one row and one commit each, and their branch stays.
#[test]
fn the_scripts_work_fifty_at_once() {
    let home = framework(Tables::Usual, Git::Dirty, 100);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let (before, status_before, rows_before) = (everything(&home), status(&home), rows(&home));
    in_parallel(200, 50, |number| {
        let title = format!("By script {number}");
        let said = match number % 4 {
            0 => script(&home, "record-failure.sh", &["--title", &title, "--domain", "ci", "--severity", "high"]).ok(),
            1 => script(&home, "record-success.sh", &[])
                .env("SUCCESS_TITLE", &title)
                .env("SUCCESS_DOMAIN", "ci")
                .env("SUCCESS_SUMMARY", "Line one\nline \"two\" $HOME `id`")
                .ok(),
            2 => {
                script(&home, "record-heuristic.sh", &["--domain", "git hub", "--rule", &title, "--confidence", "low"])
                    .ok()
            }
            _ => script(&home, "start-experiment.sh", &[]).stdin(format!("{title}\nIt is so\nHalf\nTwice\n")).ok(),
        };
        assert!(said.stdout.contains("successfully!"), "{said}");
        let path = said
            .stdout
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(name, _)| matches!(*name, "Created" | "Appended to")));
        assert!(std::path::Path::new(path.expect("a path is named").1).exists(), "{said}");
    });
    home.flush();
    home.assert_settled();
    let stores = Stores::read(&home);
    assert_eq!(stores.rows.len(), 200, "not every script made one row");
    let wrong: Vec<_> = stores.rows.keys().flat_map(|id| stores.problems_of(id)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(status(&home), status_before, "their status has changed");
    assert_files_kept(&before, &everything(&home), &[]);
    assert_rows_kept(&rows_before, &rows(&home));
    let said = script(&home, "record-failure.sh", &["--title=Last", "--domain=ci"]).ok();
    let title: String = home
        .index()
        .query_row("SELECT title FROM learnings WHERE id = ?1", [row_of(&said)], |row| row.get(0))
        .expect("the row is there");
    assert_eq!(title, "Last");
    let summary: String = home
        .index()
        .query_row("SELECT summary FROM learnings WHERE title = 'By script 1'", [], |row| row.get(0))
        .expect("the row is there");
    assert_eq!(summary, "Line one", "the framework keeps one line of it in the row");
    let page: String = home
        .index()
        .query_row("SELECT filepath FROM learnings WHERE title = 'By script 1'", [], |row| row.get(0))
        .expect("the row is there");
    let page = std::fs::read_to_string(home.join(&page)).expect("it has its file");
    assert!(page.contains("Line one\nline \"two\" $HOME `id`"), "{page}");
}

#[test]
fn the_scripts_exit_as_theirs_did() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let failure = |args: &[&str]| script(&home, "record-failure.sh", args);
    let _ = failure(&["--title", "t"]).run().exits(1);
    let _ = failure(&["--colour", "red"]).run().exits(1);
    for name in ["record-failure.sh", "record-heuristic.sh", "start-experiment.sh", "sync-db-markdown.sh"] {
        let help = script(&home, name, &["--help"]).ok().stdout;
        assert!(help.starts_with(name) && !help.contains("indelible"), "{help}");
    }
    let _ = failure(&["--title"]).run().exits(1);
    let _ = failure(&["--title", &"x".repeat(501), "--domain", "d"]).run().exits(7);
    let said = failure(&["--title", "t", "--domain", &"d\\".repeat(51)]).run().exits(7);
    let told = "ERROR: domain: at most 100 characters; 102 given, beginning \"d\\d\\";
    assert!(said.stderr.starts_with(told) && said.stderr.ends_with("\"\n"), "{said}");
    let _ = script(&home, "start-experiment.sh", &[]).stdin("\n").run().exits(1);
    let long = "y".repeat(100_000);
    let _ = failure(&["--title", "long", "--domain", "d", "--summary", &long]).ok();
    let hostile = ["--title", "'; rm -rf \"$HOME\" #\\", "--domain", "--title", "--tags", "-x", "--summary", "-"];
    let _ = failure(&hostile).ok();
    let found = |sql: &str| home.index().query_row(sql, [], |row| row.get::<_, String>(0)).expect("the row is there");
    assert_eq!(found("SELECT title FROM learnings WHERE domain = '--title'"), hostile[1]);
    assert_eq!(found("SELECT summary FROM learnings WHERE domain = '--title'"), "-");
    assert_eq!(found("SELECT summary FROM learnings WHERE title = 'long'"), long[..500]);
    let page = found("SELECT filepath FROM learnings WHERE title = 'long'");
    assert!(std::fs::read_to_string(home.join(&page)).expect("it has its file").contains(&long));

    std::fs::remove_dir_all(home.join("memory/failures")).expect("it is there");
    std::os::unix::fs::symlink("/tmp", home.join("memory/failures")).expect("it can be made");
    let _ = failure(&["--title", "t", "--domain", "d"]).run().exits(6);
    std::fs::remove_file(home.join("memory/failures")).expect("it is there");
    let journal = home.join(".indelible/journal");
    std::fs::rename(&journal, home.user().join("journal")).expect("it can be moved");
    let said = failure(&["--title", "t", "--domain", "d"]).run().exits(4);
    assert!(said.stderr.starts_with("ERROR: ") && said.stderr.contains("; `indelible init"), "{said}");
    assert!(!said.stderr.contains(['{', '"']), "{said}");
    std::fs::rename(home.user().join("journal"), &journal).expect("it can be moved back");

    let path = home.join("scripts/record-failure.sh");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let binary = env!("CARGO_BIN_EXE_indelible");
    assert!(text.contains(binary), "the script does not name the program");
    std::fs::write(&path, text.replace(binary, "/nonexistent/indelible")).expect("it can be written");
    let _ = failure(&["--title", "t", "--domain", "d"]).env("PATH", "/usr/bin:/bin").run().exits(5);
}

/// The record is kept as far as the tables allow, and no caller sees a success.
#[test]
fn a_row_that_is_refused_is_no_success_of_a_script() {
    let home = framework(Tables::Strict, Git::Clean, 10);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let refuse = "SELECT RAISE(ABORT, 'not \"here\\there\"')";
    let triggers = format!(
        "CREATE TRIGGER no_learning BEFORE INSERT ON learnings BEGIN {refuse}; END;
         CREATE TRIGGER no_heuristic BEFORE INSERT ON heuristics BEGIN {refuse}; END;"
    );
    let database = rusqlite::Connection::open(home.join("memory/index.db")).expect("it can be opened");
    database.execute_batch(&triggers).expect("triggers can be made");
    let experiment = || script(&home, "start-experiment.sh", &[]).stdin("Twice\nIt is so\n\n\n");
    let _ = experiment().ok();
    let refused = [
        (script(&home, "record-failure.sh", &["--title", "t", "--domain", "d"]), "not \"here\\there\""),
        (script(&home, "record-heuristic.sh", &["--domain", "d", "--rule", "r"]), "not \"here\\there\""),
        (experiment(), "UNIQUE constraint failed: experiments.name"),
    ];
    for (script, why) in refused {
        let said = script.run().exits(2);
        let told = said.stderr.lines().find_map(|line| line.split_once("refused the row: ")).expect("it is told").1;
        let (reason, rest) = told.split_once("; ").expect("where the record is follows");
        assert_eq!(reason, why, "{said}");
        let path = rest.split_once(" and the journal").expect("a path is named").0;
        assert!(std::path::Path::new(path).exists(), "{said}");
        assert!(!said.stdout.contains("success") && !said.stdout.contains("Database record"), "{said}");
    }
    drop(database);
    home.flush();
    let parked = home.status()["quarantine"]["parked"].as_array().map(Vec::len);
    assert_eq!(parked, Some(3), "as many are parked as were refused");
}

#[test]
fn the_sync_script_reports_and_mends() {
    let home = framework(Tables::Usual, Git::Clean, 200);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let _ = home.record_each("first");
    home.flush();
    let before = rows(&home);
    let report = script(&home, "sync-db-markdown.sh", &["--verbose"]).ok();
    assert!(report.stdout.contains("ORPHANED FILE: memory/"), "{report}");
    assert!(report.stdout.contains("ORPHANED DB RECORD: memory/"), "{report}");
    assert!(report.stdout.contains("Status: OUT OF SYNC (") && report.stdout.contains("Run with --fix"), "{report}");
    let total = |said: &Outcome, what: &str| {
        let line = said.stdout.lines().find_map(|line| line.trim().strip_prefix(what)).map(str::trim);
        line.and_then(|number| number.parse::<usize>().ok()).unwrap_or_else(|| panic!("no total of {what}: {said}"))
    };
    let lines = |said: &Outcome, what: &str| said.stdout.lines().filter(|line| line.starts_with(what)).count();
    let (files, orphaned) = ("Orphaned markdown files (not in DB):", "Orphaned database records (no file):");
    assert_eq!(total(&report, files), lines(&report, "ORPHANED FILE: "), "{report}");
    assert_eq!(total(&report, orphaned), lines(&report, "ORPHANED DB RECORD: "), "{report}");
    assert_eq!(rows(&home), before, "a report changed something");
    let _ = script(&home, "sync-db-markdown.sh", &["-v"]).ok();
    let fixed = script(&home, "sync-db-markdown.sh", &["--fix"]).ok();
    let (mended, skipped) = (lines(&fixed, "  -> FIXED: "), lines(&fixed, "  -> SKIPPED: "));
    assert_eq!(total(&fixed, "Fixed markdown files:") + total(&fixed, "Fixed database records:"), mended, "{fixed}");
    assert_eq!(mended + skipped, total(&report, files) + total(&report, orphaned), "{fixed}");
    // Rows on a page that is there and does not show them stay, and it says so.
    assert!(skipped > 0 && fixed.stdout.contains(&format!("Status: OUT OF SYNC ({skipped} issues)")), "{fixed}");
    assert_rows_kept(&before, &rows(&home));
    assert!(rows(&home)["learnings"].len() > before["learnings"].len(), "no row was added");
    home.assert_settled();
    for flag in ["--what", "--yes"] {
        let _ = script(&home, "sync-db-markdown.sh", &[flag]).run().exits(1);
    }
}

/// After a release the home is what it was, and the records that came to it.
#[test]
fn released_it_is_theirs_as_it_was() {
    for git in [Git::None, Git::Clean, Git::Dirty, Git::Detached, Git::Unborn] {
        eprintln!("a repository that is {git:?}");
        let home = framework(Tables::Usual, git, 200);
        let (files, rows_before, status_before) = (everything(&home), rows(&home), status_unless_none(&home, git));
        let _ = adopt(&home, &["--yes", "--scripts"]).ok();
        let mut worker = Worker::quick(&home);
        let mut receipts = home.record_each("first");
        let said = release(&home, &[]).ok();
        assert!(said.stdout.contains("Nothing was changed"), "{said}");
        receipts.extend(home.record_each("second"));
        let done = release(&home, &["--yes", "--json"]).ok().json();
        assert_eq!(worker.wait().code(), Some(0), "the worker was not asked to stop");
        assert!(!home.join(".indelible").exists() && !home.join("memory/index.db-wal").exists());
        assert_files_kept(&files, &everything(&home), &[]);
        assert_rows_kept(&rows_before, &rows(&home));
        for receipt in &receipts {
            assert!(home.join(&receipt.page()).is_file(), "a record lost its file");
        }
        let mode: String = Connection::open(home.join("memory/index.db"))
            .and_then(|it| it.query_row("PRAGMA journal_mode", [], |row| row.get(0)))
            .expect("it can be asked");
        assert_eq!(mode, "delete");
        let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d"]).run().exits(78);
        if git != Git::None {
            assert_eq!(status(&home), status_before, "their status has changed");
            let shown = home.git(["--no-optional-locks", "status", "--porcelain"]).ok();
            assert!(!shown.stdout.contains("indelible"), "git shows what is ours: {shown}");
            let branch = home.git(["show", &format!("{}:{}", "indelible", receipts[0].page())]).ok();
            assert!(branch.stdout.contains(&receipts[0].id));
        }
        let aside = done["done"]["aside"].as_str().expect("the private folder is aside");
        assert!(home.join(aside).join("journal").is_dir());
        // Adopted again, it goes on from there.
        let _ = adopt(&home, &["--yes"]).ok();
        receipts.extend(home.record_each("third"));
        home.flush();
        home.assert_settled();
        assert_whole(&home, &receipts);
        let _ = release(&home, &["--yes", "--remove"]).ok();
        assert_files_kept(&files, &everything(&home), &[]);
        let _ = release(&home, &["--yes"]).run().exits(78);
    }
}

/// What `release` says brings the records to their branch does so.
#[test]
fn released_records_come_to_their_branch_as_it_says() {
    for (git, commits_meanwhile) in
        [(Git::Clean, false), (Git::Dirty, false), (Git::Unborn, false), (Git::Unborn, true)]
    {
        eprintln!("a repository that is {git:?}, with a commit meanwhile: {commits_meanwhile}");
        let home = framework(Tables::Usual, git, 50);
        let _ = adopt(&home, &["--yes"]).ok();
        let receipts = home.record_each("first");
        if commits_meanwhile {
            let _ = theirs(&home, ["commit", "-q", "-m", "the first"]).ok();
        }
        let staged_before = staged(&home);
        let said = release(&home, &["--yes"]).ok();
        let _ = pasted(&home, &commands_of(&said)).ok();
        for receipt in &receipts {
            let _ = theirs(&home, ["cat-file", "-e", &format!("trunk:{}", receipt.page())]).ok();
        }
        let branches = home.git(["branch", "--list", "indelible"]).ok();
        assert_eq!(branches.stdout.trim(), "", "the branch is still there");
        let changed = home.git(["show", "--name-only", "--format=", "HEAD"]).ok();
        assert!(!changed.stdout.contains("index.db"), "the database went along: {changed}");
        assert_eq!(staged(&home), staged_before, "what they had staged went along: {changed}");
    }
}

/// The commands that `release` printed, as they stand there.
pub fn commands_of(said: &Outcome) -> String {
    let is_command = |line: &&str| line.contains("git -C ");
    said.stdout.lines().filter(is_command).map(|line| format!("{line}\n")).collect()
}

/// Runs pasted text in a shell.
pub fn pasted(home: &TestHome, commands: &str) -> Cmd {
    let identity = ["-c", "user.name=Owner", "-c", "user.email=o@example.org", "-c", "commit.gpgsign=false"];
    let commands = commands.replace("git -C", &format!("git {} -C", identity.join(" ")));
    Cmd::new("sh", home.user()).args(["-c", commands.as_str()])
}

fn staged(home: &TestHome) -> String {
    theirs(home, ["diff", "--cached"]).ok().stdout
}

#[test]
fn where_nothing_was_recorded_there_is_nothing_to_merge() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let _ = adopt(&home, &["--yes"]).ok();
    let said = release(&home, &["--yes"]).ok();
    assert!(said.stdout.contains("nothing was recorded") && !said.stdout.contains("branch -D"), "{said}");
}

#[test]
fn a_script_that_its_owner_replaced_stays() {
    let home = framework(Tables::Usual, Git::Clean, 20);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let theirs = home.join("scripts/record-success.sh");
    std::fs::write(&theirs, "#!/bin/sh\necho new\n").expect("it can be written");
    let said = release(&home, &["--yes"]).ok();
    assert!(said.stdout.contains("record-success.sh"), "{said}");
    assert_eq!(std::fs::read_to_string(&theirs).expect("it is there"), "#!/bin/sh\necho new\n");
}

/// A list of ignored files that was changed meanwhile loses our lines and nothing else.
#[test]
fn lines_that_were_ignored_before_stay_ignored() {
    let home = framework(Tables::Usual, Git::Clean, 20);
    std::fs::write(home.join(EXCLUDE), "*.bak\n/memory/").expect("it can be written");
    let _ = adopt(&home, &["--yes"]).ok();
    let with_ours = std::fs::read_to_string(home.join(EXCLUDE)).expect("it is there");
    std::fs::write(home.join(EXCLUDE), format!("{with_ours}*.new\n")).expect("it can be written");
    let _ = release(&home, &["--yes"]).ok();
    assert_eq!(std::fs::read_to_string(home.join(EXCLUDE)).expect("it is there"), "*.bak\n/memory/\n*.new\n");
}

#[test]
fn what_disagrees_is_not_released() {
    let home = framework(Tables::Strict, Git::Clean, 20);
    let _ = adopt(&home, &["--yes"]).ok();
    let _ = home.record("observation", "refused");
    let refused = release(&home, &["--yes"]).run().exits(1);
    assert!(refused.stderr.contains("verify"), "{refused}");
    let _ = home.record("failure", "still a home");
}

/// Killed at any step and run again, adopting and releasing end as if nothing had happened.
#[test]
fn killed_at_any_point_it_is_finished_by_doing_it_again() {
    let points =
        Point::ALL.iter().filter(|point| ["Init", "Adopt", "Release"].iter().any(|it| point.name().starts_with(it)));
    let missed: Vec<_> = points
        .filter(|point| finished_after(point.name(), 100).is_empty() && !point.name().starts_with("Init"))
        .collect();
    assert!(missed.is_empty(), "nothing got to {missed:?}");
}

/// The same at each file that is put somewhere: the note, the lists of ignored files, scripts, the journal's end, and so on.
#[test]
fn killed_at_any_file_it_is_finished_by_doing_it_again() {
    let both = &["adopt", "release"][..];
    let steps = [
        ("PlaceHalfWritten", both),
        ("PlaceAfterRename", &["release"]),
        ("ReplaceBeforeRename", both),
        ("ReplaceAfterRename", both),
        ("SetAsideBefore", both),
    ];
    for (step, come) in steps {
        let mut died = Vec::new();
        for nth in 1.. {
            match &finished_after(&format!("{step}:{nth}"), 10)[..] {
                [] => break,
                killed => died.extend_from_slice(killed),
            }
        }
        assert!(come.iter().all(|command| died.contains(command)), "only {died:?} came to {step}");
    }
}

/// Adopts a home of `records` and releases it, killed at `point` in each, and does both again. Returns what was killed.
fn finished_after(point: &str, records: u64) -> Vec<&'static str> {
    eprintln!("killed at {point}");
    let home = framework(Tables::Usual, Git::Clean, records);
    let (files, rows_before, status_before) = (everything(&home), rows(&home), status(&home));
    let flags = ["--yes", "--scripts", "--repair"];
    let mut killed = Vec::new();
    let mut kill = |name, command: Cmd| {
        let outcome = command.env("INDELIBLE_CRASH_AT", point).run();
        match outcome.code() {
            Some(0) => {}
            Some(code) => panic!("it neither died nor finished ({code}): {outcome}"),
            None => killed.push(name),
        }
    };
    kill("adopt", adopt(&home, &flags));
    let but = [EXCLUDE, "scripts/record-failure.sh", "scripts/record-success.sh", "scripts/record-heuristic.sh"];
    assert_files_kept(&files, &everything(&home), &but);
    let _ = adopt(&home, &flags).ok();
    assert_files_kept(&files, &everything(&home), &but);
    let receipts = home.record_each("first");
    let mended = rows(&home);
    kill("release", release(&home, &["--yes"]));
    if home.join(".indelible").exists() {
        let _ = release(&home, &["--yes"]).ok();
    }
    assert_files_kept(&files, &everything(&home), &[]);
    assert_rows_kept(&rows_before, &mended);
    assert_rows_kept(&mended, &rows(&home));
    assert_eq!(status(&home), status_before, "their status has changed");
    let _ = adopt(&home, &["--yes"]).ok();
    home.recover_fully();
    assert_whole(&home, &receipts);
    killed
}

/// Killed before a new list of ignored files takes the place of the old one, both commands leave nothing beside it.
#[test]
fn killed_with_a_list_of_ignored_files_beside_the_list() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let files = everything(&home);
    let lists = || std::fs::read_dir(home.join(".git/info")).expect("it is there").count();
    let before = lists();
    for command in [adopt, release] {
        let _ = command(&home, &["--yes"]).env("INDELIBLE_CRASH_AT", "InitIgnored").run().aborted();
        assert_eq!(lists(), before + 1, "no list is left beside the list");
        let _ = command(&home, &["--yes"]).ok();
        if home.join(".indelible").exists() {
            let _ = home.cmd(["recover"]).ok();
        }
        assert_eq!(lists(), before, "a list is left beside the list");
    }
    assert_files_kept(&files, &everything(&home), &[]);
}

/// The old script is durable under its second name before ours replaces it, also if an earlier adoption gave it that name.
#[test]
fn a_script_is_kept_before_it_is_replaced() {
    if !has_strace() {
        return;
    }
    for killed in [false, true] {
        let home = framework(Tables::Usual, Git::Clean, 10);
        let path = home.path().to_str().expect("the temporary folder's name is UTF-8");
        if killed {
            let _ = adopt(&home, &["--yes", "--scripts"]).env("INDELIBLE_CRASH_AT", "AdoptScriptKept").run().aborted();
        }
        let trace = home.user().join("trace");
        let name = trace.to_str().expect("the temporary folder's name is UTF-8");
        let strace = ["-f", "-y", "-o", name, "-e", "trace=syncfs,renameat,renameat2"];
        let ours = [env!("CARGO_BIN_EXE_indelible"), "adopt", path, "--yes", "--scripts"];
        let _ = Cmd::new("strace", home.user()).args(strace).args(ours).ok();
        let text = std::fs::read_to_string(&trace).expect("strace has written it");
        let first = |call: &str, what: &str| text.lines().position(|line| line.contains(call) && line.contains(what));
        let (kept, replaced) = (first("syncfs(", "/adopted/scripts>"), first("renameat", "\"record-failure.sh\""));
        assert!(kept.is_some() && kept < replaced, "{kept:?}, {replaced:?}:\n{text}");
    }
}

/// Recorders that are at work while the home is released are in it, or were told that they are not.
#[test]
fn recorders_at_work_meanwhile_lose_nothing() {
    let home = framework(Tables::Usual, Git::Clean, 50);
    let _ = adopt(&home, &["--yes"]).ok();
    let recorders: Vec<Running> =
        (0..40).map(|number| home.recorder("failure", &format!("Meanwhile {number}")).spawn()).collect();
    let _ = release(&home, &["--yes"]).ok();
    let outcomes: Vec<_> = recorders.into_iter().map(Running::wait).collect();
    let kept: Vec<Receipt> = outcomes.iter().filter(|it| it.code() == Some(0)).map(Outcome::receipt).collect();
    for refused in outcomes.iter().filter(|it| it.code() != Some(0)) {
        assert_eq!(refused.code(), Some(78), "{refused}");
    }
    for receipt in &kept {
        let shown = home.git(["show", &format!("indelible:{}", receipt.page())]).ok();
        assert!(shown.stdout.contains(&receipt.id), "an acknowledged record is not in git");
        assert!(home.join(&receipt.page()).is_file(), "an acknowledged record has no file");
    }
    let _ = adopt(&home, &["--yes"]).ok();
    home.recover_fully();
    assert_whole(&home, &kept);
}

/// A recorder that is stopped while the home is released goes on when it is no home any more: what it then acknowledges is
/// in every store, and what it does not acknowledge is in none in part.
#[test]
fn a_recorder_that_goes_on_after_a_release_acknowledges_nothing_that_is_lost() {
    if !has_strace() {
        return;
    }
    // Before it appends, and between its sync and its last look.
    for call in ["mkdirat", "fdatasync"] {
        let home = framework(Tables::Usual, Git::Clean, 20);
        let _ = adopt(&home, &["--yes"]).ok();
        let trace = home.user().join("trace");
        let name = trace.to_str().expect("the temporary folder's name is UTF-8");
        let (traced, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGSTOP:when=1"));
        let strace = ["strace", "-f", "-o", name, "-e", &traced, "-e", &inject];
        let args = record_args("failure", "stopped");
        let recorder = home.under(&strace, &args.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
        let process = wait_for("the recorder to stop", || {
            let text = std::fs::read_to_string(&trace).ok()?;
            let line = text.lines().find(|line| line.contains("stopped by SIGSTOP"))?;
            line.split(' ').next()?.parse().ok()
        });
        let _ = release(&home, &["--yes"]).ok();
        kill_process(Pid::from_raw(process).expect("a process has an id"), Signal::CONT).expect("it is stopped");
        let outcome = recorder.wait();
        assert_eq!(outcome.code(), Some(78), "stopped at {call}: {outcome}");
        let _ = adopt(&home, &["--yes"]).ok();
        home.recover_fully();
        let stores = Stores::read(&home);
        let kept = stores.named("stopped");
        assert_eq!(kept.len(), usize::from(call == "fdatasync"), "stopped at {call}");
        let wrong: Vec<_> = kept.iter().flat_map(|id| stores.problems_of(id)).collect();
        assert!(wrong.is_empty(), "stopped at {call}: {wrong:?}");
    }
}

/// No command takes back a release that is running: a journal that was reopened beside it would acknowledge records that are
/// never committed.
#[test]
fn a_release_that_is_under_way_is_not_taken_back() {
    for point in ["ReleaseBeforeDatabase", "ReleaseBeforeAside"] {
        let home = framework(Tables::Usual, Git::Clean, 20);
        let _ = adopt(&home, &["--yes"]).ok();
        let receipts = home.record_each("first");
        let mut running = release(&home, &["--yes"]).env("INDELIBLE_STOP_AT", point).spawn();
        assert!(running.stops(), "the release did not get to {point}");
        let others = [adopt(&home, &["--yes"]), release(&home, &["--yes"]), home.cmd(["init"]), home.cmd(["recover"])];
        for command in others {
            let refused = command.run().exits(75);
            assert!(refused.stderr.contains("a release, process"), "at {point}: {refused}");
        }
        let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d"]).run().exits(78);
        running.signal(Signal::CONT);
        let released = running.wait();
        assert_eq!(released.code(), Some(0), "{released}");
        assert!(!home.join(".indelible").exists(), "at {point}: the home is one again");
        let _ = adopt(&home, &["--yes"]).ok();
        home.recover_fully();
        assert_whole(&home, &receipts);
    }
}

/// The next `init`, `adopt` or `recover` takes back a release that was killed: also if the journal was closed by then,
/// in which nothing could be acknowledged any more.
#[test]
fn a_release_that_was_killed_is_taken_back_by_the_next_command() {
    for point in ["ReleaseBeforeDatabase", "ReleaseBeforeExclude", "ReleaseBeforeEnd", "ReleaseBeforeAside"] {
        for comes in ["init", "recover", "adopt"] {
            eprintln!("{comes} after a release that was killed at {point}");
            let home = framework(Tables::Usual, Git::Clean, 20);
            let _ = adopt(&home, &["--yes"]).ok();
            let mut receipts = home.record_each("first");
            let _ = release(&home, &["--yes"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
            let _ = match comes {
                "adopt" => adopt(&home, &["--yes"]).ok(),
                command => home.cmd([command]).ok(),
            };
            receipts.extend(home.record_each("second"));
            home.recover_fully();
            assert_whole(&home, &receipts);
            let _ = release(&home, &["--yes"]).ok();
            assert!(!home.join(".indelible").exists());
        }
    }
}
