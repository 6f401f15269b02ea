//! In an adopted home, and after it is given back, what the framework's own programs do works as it did: its readers, its
//! recorders, its scripts' callers, its backups.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::process::Signal;

use crate::adopt::{adopt, assert_whole, commands_of, every_byte, pasted, release, script};
use crate::support::{Cmd, Git, Outcome, Tables, TestHome, Worker, framework, theirs, wait_for};

fn adopted(tables: Tables, git: Git, records: u64) -> TestHome {
    let home = framework(tables, git, records);
    let _ = adopt(&home, &["--yes"]).ok();
    home
}

fn value<T: rusqlite::types::FromSql>(home: &TestHome, sql: &str) -> T {
    home.index().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn heuristic(home: &TestHome, domain: &str, rule: &str) -> Cmd {
    home.cmd(["record", "heuristic", "--json", "--domain", domain, "--rule", rule])
}

const DOMAINS: [(&str, &str); 6] = [
    ("Code Review", "code-review"),
    ("../../../../escaped", "escaped"),
    ("C++", "c"),
    ("/etc/passwd", "etcpasswd"),
    ("a|b;c", "abc"),
    ("plain", "plain"),
];

/// A heuristic's domain is a file name for the framework's tools: a row has one that is, the record has the exact text.
#[test]
fn a_domain_is_one_that_the_frameworks_tools_can_take() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    for (domain, _) in DOMAINS {
        let _ = heuristic(&home, domain, &format!("In {domain}")).ok();
    }
    let _ = heuristic(&home, "日本", "In Japan").ok();
    home.flush();
    let held = |home: &TestHome| {
        for (domain, spelt) in DOMAINS {
            let sql = format!("SELECT domain FROM heuristics WHERE rule = 'In {domain}'");
            assert_eq!(value::<String>(home, &sql), spelt);
        }
        let japan: String = value(home, "SELECT domain FROM heuristics WHERE rule = 'In Japan'");
        assert!(japan.starts_with("domain-"), "{japan}");
        let odd =
            "SELECT count(*) FROM heuristics WHERE rule LIKE 'In %' AND (domain = '' OR domain GLOB '*[^a-z0-9-]*')";
        assert_eq!(value::<i64>(home, odd), 0);
    };
    held(&home);
    home.assert_settled();
    let page: String = value(&home, "SELECT path FROM records WHERE exact_domain = 'Code Review'");
    let text = std::fs::read_to_string(home.join(&page)).expect("it has its file");
    assert!(text.contains("domain: Code Review") || text.contains("domain: \"Code Review\""), "{text}");
    let page = page.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let page = std::fs::read_to_string(home.join(&format!("{page}/README.md"))).expect("the domain has its page");
    assert!(page.contains("# Heuristics: Code Review"), "{page}");
    // Rebuilt, the rows are the same.
    std::fs::write(home.join("memory/index.db"), [7; 9000]).expect("it can be overwritten");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
    let _ = home.cmd(["recover"]).ok();
    held(&home);
    home.assert_settled();
    // A row that is all that is left of a record gives the exact text back.
    let path: String = value(&home, "SELECT path FROM records WHERE exact_domain = '../../../../escaped'");
    std::fs::remove_file(home.join(&path)).expect("it is there");
    let _ = home.cmd(["repair"]).ok();
    assert!(std::fs::read_to_string(home.join(&path)).expect("it is back").contains("../../../../escaped"));
}

/// The framework's tools read rows line by line: no text of a record can pass for another row of theirs.
#[test]
fn a_row_is_one_line() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let title = "Two lines\n9|../../../../escaped.md|t|d|3";
    let line = serde_json::json!({ "kind": "failure", "title": title, "domain": "a\nb" }).to_string();
    let said = home.cmd(["record", "batch", "--json"]).stdin(format!("{line}\n")).run();
    if said.code() == Some(0) {
        home.flush();
        let sql = "SELECT count(*) FROM learnings WHERE title LIKE '%' || char(10) || '%' OR domain LIKE '%' || char(10) || '%'";
        assert_eq!(value::<i64>(&home, sql), 0);
        home.assert_settled();
    }
}

/// The framework shows every summary whole: a row has the line that it would put there, the record's file has all of it.
#[test]
fn a_summary_is_one_line_in_the_row_and_whole_in_the_file() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let first = "ä".repeat(600);
    let summary = format!("\n \n{first}\n{}", "the rest\n".repeat(10_000));
    let receipt = home
        .cmd(["record", "failure", "--json", "--title", "long", "--domain", "d", "--summary", "-"])
        .stdin(summary.clone())
        .ok()
        .receipt();
    home.flush();
    let in_row = || value::<String>(&home, "SELECT summary FROM learnings WHERE title = 'long'");
    assert_eq!(in_row(), "ä".repeat(500));
    let text = std::fs::read_to_string(home.join(&receipt.page())).expect("it has its file");
    assert!(text.matches("the rest").count() >= 10_000, "the file lacks part of it");
    home.assert_settled();
    std::fs::remove_file(home.join("memory/index.db")).expect("it is there");
    let _ = home.cmd(["recover"]).ok();
    assert_eq!(in_row(), "ä".repeat(500));
    home.assert_settled();
}

/// `experiments` that adopting makes has what the framework's readers select, and one that a version before made gets it.
#[test]
fn experiments_have_every_column_that_is_read() {
    let read = "SELECT id, name, hypothesis, status, cycles_run, folder_path, created_at, updated_at FROM experiments";
    let home = framework(Tables::Usual, Git::Clean, 5);
    let drop = Connection::open(home.join("memory/index.db")).expect("it opens");
    drop.execute_batch("DROP TABLE experiments").expect("it can be dropped");
    std::mem::drop(drop);
    let _ = adopt(&home, &["--yes"]).ok();
    let _ = home.record("experiment", "First");
    let times = format!("SELECT updated_at = created_at FROM ({read}) WHERE name = 'First'");
    assert!(value::<bool>(&home, &times));
    // As the version before had it.
    for update in ["init", "adopt", "flush", "worker"] {
        home.index()
            .execute_batch(
                "ALTER TABLE experiments RENAME TO now;
                 CREATE TABLE experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hypothesis TEXT,
    status TEXT DEFAULT 'active',
    outcome TEXT,
    cycles_run INTEGER DEFAULT 0,
    folder_path TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    completed_at DATETIME
);
                 INSERT INTO experiments SELECT id, name, hypothesis, status, outcome, cycles_run, folder_path, created_at,
                    completed_at FROM now;
                 DROP TABLE now;",
            )
            .expect("the table can be made");
        let _ = match update {
            "adopt" => adopt(&home, &["--yes"]).ok(),
            "worker" => {
                let _worker = Worker::quick(&home);
                home.flush();
                home.cmd(["status"]).ok()
            }
            command => home.cmd([command]).ok(),
        };
        assert!(value::<bool>(&home, &times), "after {update}");
        let _ = home.record("experiment", &format!("After {update}"));
        assert!(value::<bool>(&home, &times.replace("First", &format!("After {update}"))), "after {update}");
    }
    home.flush();
    home.assert_settled();
}

/// Rows that a version before inserted get what the framework's readers can take, when the home is next brought up to date.
#[test]
fn rows_of_a_version_before_are_fitted() {
    for update in ["init", "adopt", "flush"] {
        let home = adopted(Tables::Usual, Git::Clean, 10);
        let _ = heuristic(&home, "Code Review", "r").ok();
        let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d", "--summary", "one\ntwo"]).ok();
        home.flush();
        home.index()
            .execute_batch(
                "DELETE FROM indelible WHERE name = 'framework';
                 ALTER TABLE records DROP COLUMN exact_headline;
                 ALTER TABLE records DROP COLUMN exact_domain;
                 UPDATE heuristics SET domain = '../../Code Review' WHERE rule = 'r';
                 UPDATE learnings SET summary = 'one' || char(10) || 'two' WHERE title = 't';",
            )
            .expect("it can be made as it was");
        let before: i64 = value(&home, "SELECT count(*) FROM heuristics WHERE domain = 'error handling'");
        let _ = if update == "adopt" { adopt(&home, &["--yes"]).ok() } else { home.cmd([update]).ok() };
        assert_eq!(value::<String>(&home, "SELECT domain FROM heuristics WHERE rule = 'r'"), "code-review");
        assert_eq!(value::<String>(&home, "SELECT summary FROM learnings WHERE title = 't'"), "one");
        let exact = "SELECT exact_domain FROM records WHERE kind = 'heuristic'";
        assert_eq!(value::<String>(&home, exact), "../../Code Review");
        let after: i64 = value(&home, "SELECT count(*) FROM heuristics WHERE domain = 'error handling'");
        assert_eq!(after, before, "rows of theirs were changed");
        home.assert_settled();
    }
}

/// A home that was not adopted keeps exact texts in its rows.
#[test]
fn a_home_of_its_own_has_exact_rows() {
    let home = TestHome::new();
    let _ = heuristic(&home, "Code Review", "r").ok();
    let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d", "--summary", "one\ntwo"]).ok();
    home.flush();
    assert_eq!(value::<String>(&home, "SELECT domain FROM heuristics"), "Code Review");
    assert_eq!(value::<String>(&home, "SELECT summary FROM learnings"), "one\ntwo");
}

/// What its owner moves away when it is finished is neither missing nor torn.
#[test]
fn a_finished_experiment_that_was_moved_is_fine() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let experiment = home.record("experiment", "Finished");
    let other = home.record("experiment", "Goes on");
    let _ = heuristic(&home, "done", "Old rule").ok();
    home.flush();
    let name = experiment.path.rsplit('/').next().expect("it has a name").to_owned();
    let to = format!("experiments/completed/{name}");
    std::fs::rename(home.join(&experiment.path), home.join(&to)).expect("it can be moved");
    std::fs::rename(home.join("memory/heuristics/done"), home.join("memory/heuristics-done")).expect("it can be moved");
    let _ = home.verify().exits(0);
    let _ = home.cmd(["repair"]).ok();
    assert!(!home.join(&experiment.path).exists(), "something was put back to where it was");
    assert!(!home.join("memory/heuristics/done").exists(), "a page was put back to where it was");
    assert!(home.join(&to).join("log.md").is_file() && home.join(&to).join("hypothesis.md").is_file());
    home.assert_settled();
    // A log that is gone where its experiment still is comes back.
    std::fs::remove_file(home.join(&format!("{}/log.md", other.path))).expect("it is there");
    let _ = home.verify().exits(1);
    let _ = home.cmd(["repair"]).ok();
    assert!(home.join(&format!("{}/log.md", other.path)).is_file());
    // And so does all of one that was removed.
    std::fs::remove_dir_all(home.join(&other.path)).expect("it is there");
    let _ = home.cmd(["repair"]).ok();
    assert!(home.join(&format!("{}/log.md", other.path)).is_file());
    assert!(home.join(&format!("{}/hypothesis.md", other.path)).is_file());
    let said = release(&home, &["--yes"]).ok();
    // What was moved cannot be brought to their branch, so ours stays.
    let done = pasted(&home, &commands_of(&said)).run();
    assert_ne!(done.code(), Some(0), "{done}");
    assert!(done.stdout.contains(&format!("HEAD:{}/hypothesis.md missing", experiment.path)), "{done}");
    let _ = theirs(&home, ["rev-parse", "-q", "--verify", "refs/heads/indelible"]).ok();
    let _ = theirs(&home, ["cat-file", "-e", &format!("HEAD:{}/hypothesis.md", other.path)]).ok();
}

/// The commands that a release prints, where one of them fails: nothing is deleted then.
#[test]
fn nothing_pasted_deletes_what_a_step_before_was_to_keep() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let receipts = home.record_each("first");
    let said = release(&home, &["--yes"]).ok();
    let hook = home.join(".git/hooks/pre-commit");
    std::fs::create_dir_all(hook.parent().expect("it is in a folder")).expect("it can be made");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").expect("it can be written");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let done = pasted(&home, &commands_of(&said)).run();
    assert_ne!(done.code(), Some(0), "{done}");
    let _ = theirs(&home, ["rev-parse", "-q", "--verify", "refs/heads/indelible"]).ok();
    std::fs::remove_file(&hook).expect("it is there");
    let _ = pasted(&home, &commands_of(&said)).ok();
    for receipt in &receipts {
        let _ = theirs(&home, ["cat-file", "-e", &format!("HEAD:{}", receipt.page())]).ok();
    }
    assert!(theirs(&home, ["branch", "--list", "indelible"]).ok().stdout.is_empty(), "the branch is still there");
}

/// If no branch of this program has the newest record, because it is missing or another is in its way, the pasted text brings the
/// records to theirs all the same, and ends well.
#[test]
fn records_on_no_branch_come_to_theirs() {
    let arrange: [(&str, &[&str]); 3] = [
        ("removed", &["branch", "-q", "-D", "indelible"]),
        ("renamed", &["branch", "-m", "indelible", "mine"]),
        ("checked out", &["checkout", "-q", "indelible"]),
    ];
    for (how, command) in arrange {
        let home = adopted(Tables::Usual, Git::Clean, 20);
        let mut receipts = home.record_each("first");
        home.flush();
        let _ = theirs(&home, command.iter().copied()).ok();
        receipts.extend(home.record_each("second"));
        let said = release(&home, &["--yes"]).ok();
        assert!(!said.stdout.contains("the branch refs/"), "{how}: {said}");
        let _ = pasted(&home, &commands_of(&said)).ok();
        for receipt in &receipts {
            let _ = theirs(&home, ["cat-file", "-e", &format!("HEAD:{}", receipt.page())]).ok();
        }
    }
}

/// Work trees share the list of ignored files: a home that is given back leaves what another one needs, and the last one
/// leaves the list as it was before the first.
#[test]
fn a_home_given_back_leaves_the_lines_of_another() {
    let main = framework(Tables::Usual, Git::Clean, 20);
    let list = main.join(".git/info/exclude");
    let before = std::fs::read(&list).ok();
    let path = main.path().with_file_name("tree");
    let _ = theirs(&main, ["worktree", "add", "-q", path.to_str().expect("UTF-8")]).ok();
    let tree = TestHome::at(path);
    for home in [&main, &tree] {
        let _ = adopt(home, &["--yes"]).ok();
        let _ = home.record_each("mine");
        home.flush();
    }
    let shown = || theirs(&tree, ["status", "--porcelain", "-uall"]).ok().stdout;
    let said = shown();
    let _ = release(&main, &["--yes"]).ok();
    assert_eq!(shown(), said, "the other home's files are shown");
    let _ = release(&tree, &["--yes"]).ok();
    assert_eq!(std::fs::read(&list).ok(), before, "the list is not as it was");
}

/// What they have staged never goes into the commit of the records, not even where that has nothing to commit.
#[test]
fn what_is_staged_is_no_record() {
    for merged in [true, false] {
        let home = adopted(Tables::Usual, Git::Clean, 20);
        let receipt = home.record("failure", "first");
        home.flush();
        if merged {
            let identity = ["-c", "user.name=Owner", "-c", "user.email=o@example.org"];
            std::fs::remove_file(home.join(&receipt.path)).expect("it is there");
            let _ =
                theirs(&home, [&identity[..], &["merge", "-q", "--no-ff", "-m", "Merged", "indelible"]].concat()).ok();
        }
        std::fs::write(home.join("theirs.md"), "theirs").expect("it can be written");
        let _ = theirs(&home, ["add", "theirs.md"]).ok();
        let said = release(&home, &["--yes"]).ok();
        if !merged {
            std::fs::remove_file(home.join(&receipt.path)).expect("it is there");
        }
        let _ = pasted(&home, &commands_of(&said)).run();
        let log = theirs(&home, ["log", "-1", "--name-only", "--format=%s", "HEAD"]).ok().stdout;
        assert!(!log.contains("theirs.md"), "merged: {merged}: {log}");
        let staged = theirs(&home, ["diff", "--cached", "--name-only"]).ok().stdout;
        assert!(staged.contains("theirs.md"), "merged: {merged}: {staged}");
        assert!(merged != said.stdout.contains("branch -D"), "{said}");
    }
}

/// Whatever becomes of what a script prints, what it recorded is recorded: its caller must not repeat it.
#[test]
fn a_script_whose_output_is_lost_has_recorded() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    std::fs::write(home.join("scripts/record-heuristic.py"), "print('old')\n").expect("it can be written");
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let scripts = [
        ("record-failure.sh", "--title N --domain d"),
        ("record-heuristic.sh", "--rule N --domain d"),
        ("record-heuristic.py", "--rule N --domain d"),
    ];
    let ways = [
        ("closed", ">&-"),
        ("full", ">/dev/full"),
        ("both full", ">/dev/full 2>&1"),
        ("all closed", "<&- >&- 2>&-"),
        ("no reader", "| (exec <&-; sleep 0.1)"),
    ];
    let mut recorded = 0;
    for (name, flags) in scripts {
        for (way, redirection) in ways {
            let path = home.join(&format!("scripts/{name}"));
            let flags = flags.replace('N', &format!("'{name} {way}'"));
            let command = format!(
                "{{ sleep 0.05; '{}' {flags}; echo $? >'{}'; }}",
                path.display(),
                home.user().join("rc").display()
            );
            let command = if way == "no reader" {
                format!("{command} {redirection}")
            } else {
                format!("'{}' {flags} {redirection}; echo $? >'{}'", path.display(), home.user().join("rc").display())
            };
            let _ = Cmd::new("bash", home.user()).args(["-c", &command]).run();
            let code = std::fs::read_to_string(home.user().join("rc")).expect("the shell wrote it");
            assert_eq!(code.trim(), "0", "{name}, {way}");
            recorded += 1;
        }
    }
    home.flush();
    assert_eq!(value::<i64>(&home, "SELECT count(*) FROM records"), recorded);
    home.assert_settled();
}

/// The sync script reports missing rows of records too, and does not call in sync what it cannot mend.
#[test]
fn the_sync_script_speaks_of_our_records() {
    let home = framework(Tables::Usual, Git::Clean, 0);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let sync = |flags: &[&str]| script(&home, "sync-db-markdown.sh", flags);
    let said = sync(&[]).ok();
    assert!(said.stdout.contains("Status: SYNCHRONIZED"), "{said}");
    let said = sync(&["--fix"]).ok();
    assert!(said.stdout.contains("Status: NO CHANGES NEEDED"), "{said}");
    let receipts = home.record_each("first");
    home.flush();
    home.index()
        .execute_batch(
            "DELETE FROM learnings WHERE title = 'first failure';
             DELETE FROM heuristics WHERE rule = 'first heuristic';
             CREATE TRIGGER never BEFORE INSERT ON learnings BEGIN SELECT RAISE(ABORT, 'never'); END;",
        )
        .expect("they can be deleted");
    let said = sync(&[]).ok();
    let failure = receipts.iter().find(|it| it.kind == "failure").expect("there is one").page();
    assert!(said.stdout.contains(&format!("ORPHANED FILE: {failure}")), "{said}");
    assert!(said.stdout.contains("Status: OUT OF SYNC (2 issues)"), "{said}");
    let said = sync(&["--fix"]).run().exits(2);
    assert!(said.stdout.contains("-> FIXED: ") && said.stdout.contains("-> FAILED: "), "{said}");
    assert!(said.stdout.contains("Status: OUT OF SYNC (1 issues)"), "{said}");
    home.index().execute_batch("DROP TRIGGER never").expect("it is there");
    let said = sync(&["--fix", "-v"]).ok();
    assert!(said.stdout.contains("Status: SYNCHRONIZED"), "{said}");
    home.assert_settled();
}

/// Answers come by pipe as they come from a terminal.
#[test]
fn a_script_takes_answers_by_pipe() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let _ = script(&home, "record-failure.sh", &[]).stdin("T\nD\n4\na,b\nOne\nTwo\n\nrest").ok();
    let _ = script(&home, "record-success.sh", &[]).stdin("S\nD\n\n\n\n").ok();
    let _ = script(&home, "record-heuristic.sh", &[]).stdin("Dom\nRule\nWhy\nfailure\nhigh\n").ok();
    let _ = script(&home, "record-heuristic.sh", &[]).stdin("Dom\nAnother\n\n\n").ok();
    let _ = script(&home, "start-experiment.sh", &[]).stdin("E\nH\nYes\nNo\n").ok();
    let _ = script(&home, "record-failure.sh", &[]).stdin("T\n").run().exits(1);
    let _ = script(&home, "record-heuristic.sh", &[]).stdin("").run().exits(1);
    let learning = "SELECT title || '/' || domain || '/' || severity || '/' || tags || '/' || summary FROM learnings";
    assert_eq!(value::<String>(&home, &format!("{learning} WHERE title = 'T'")), "T/D/4/a,b/One");
    assert_eq!(value::<String>(&home, &format!("{learning} WHERE title = 'S'")), "S/D/3//");
    let heuristic = "SELECT domain || '/' || source_type || '/' || confidence FROM heuristics";
    assert_eq!(value::<String>(&home, &format!("{heuristic} WHERE rule = 'Rule'")), "dom/failure/0.85");
    assert_eq!(value::<String>(&home, &format!("{heuristic} WHERE rule = 'Another'")), "dom/observation/0.5");
    let path: String = value(&home, "SELECT filepath FROM learnings WHERE title = 'T'");
    assert!(std::fs::read_to_string(home.join(&path)).expect("it has its file").contains("One\nTwo"));
}

/// Values that the framework takes for none are its defaults; ours are strict.
#[test]
fn a_scripts_odd_values_are_the_frameworks_defaults() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    std::fs::write(home.join("scripts/record-heuristic.py"), "print('old')\n").expect("it can be written");
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    for (given, severity) in
        [("7", 3), ("urgent", 3), ("", 3), ("0", 3), ("high", 4), ("critical", 5), ("1", 1), ("3.5", 3)]
    {
        let title = format!("severity {given}");
        let _ = script(&home, "record-failure.sh", &["--title", &title, "--domain", "d", "--severity", given]).ok();
        let sql = format!("SELECT severity FROM learnings WHERE title = '{title}'");
        assert_eq!(value::<i64>(&home, &sql), severity, "{given:?}");
    }
    let odd = [
        ("85%", 0.7),
        ("", 0.7),
        ("2", 0.7),
        ("-1", 0.7),
        ("high", 0.85),
        ("0.25", 0.25),
        ("1.0", 1.0),
        ("1.5", 0.7),
        ("sure", 0.7),
    ];
    for name in ["record-heuristic.sh", "record-heuristic.py"] {
        for (given, confidence) in odd {
            let rule = format!("{name} {given}");
            let given_flag = format!("--confidence={given}");
            let _ = script(&home, name, &["--rule", &rule, "--domain", "d", &given_flag]).ok();
            let sql = format!("SELECT confidence FROM heuristics WHERE rule = '{rule}'");
            assert_eq!(value::<f64>(&home, &sql), confidence, "{name} {given:?}");
        }
        let _ = script(&home, name, &["--rule", &format!("{name} none"), "--domain", "d"]).ok();
        let sql = format!("SELECT confidence FROM heuristics WHERE rule = '{name} none'");
        assert_eq!(value::<f64>(&home, &sql), 0.7, "{name}");
    }
    // The framework passes over what it does not know.
    let said = script(&home, "record-failure.sh", &["--quiet", "--title", "t", "--domain", "d", "extra"]).ok();
    assert!(said.stderr.contains("--quiet is unknown"), "{said}");
    let _ = home.cmd(["record", "failure", "--title", "t", "--domain", "d", "--severity", "7"]).run().exits(65);
}

/// A drop-in that an update replaced, left in conflict or removed is noticed, until its owner says that it may stay.
#[test]
fn a_replaced_script_is_noticed() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    std::fs::write(home.join("scripts/record-decision.sh"), "#!/bin/sh\n").expect("it can be written");
    let said = adopt(&home, &["--scripts"]).ok();
    assert!(said.stdout.contains("record-decision.sh"), "a script without a drop-in is not named: {said}");
    let _ = adopt(&home, &["--yes", "--scripts"]).ok();
    let _ = home.cmd(["status", "--check"]).ok();
    let path = home.join("scripts/record-failure.sh");
    let ours = std::fs::read_to_string(&path).expect("it is there");
    let conflict = format!("<<<<<<< HEAD\n{ours}=======\necho theirs\n>>>>>>> update\n");
    let states: [(&str, Option<&str>); 3] =
        [("replaced it", Some("#!/bin/sh\necho new\n")), ("conflicts", Some(&conflict)), ("is gone", None)];
    for (what, text) in states {
        match text {
            Some(text) => std::fs::write(&path, text).expect("it can be written"),
            None => std::fs::remove_file(&path).expect("it is there"),
        }
        let noticed = |said: &Outcome| said.stdout.contains("record-failure.sh") && said.stdout.contains(what);
        let status = home.cmd(["status", "--check"]).run().exits(1);
        assert!(noticed(&status) && status.stdout.contains("--scripts --yes"), "{status}");
        let verify = home.verify().exits(0);
        assert!(noticed(&verify), "{verify}");
        // Put back, or said to be seen.
        let _ = adopt(&home, &["--yes", "--scripts"]).ok();
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), ours);
        let _ = home.cmd(["status", "--check"]).ok();
        match text {
            Some(text) => std::fs::write(&path, text).expect("it can be written"),
            None => std::fs::remove_file(&path).expect("it is there"),
        }
        let _ = home.cmd(["repair", "--dismiss"]).ok();
        let _ = home.cmd(["status", "--check"]).ok();
        assert!(!home.verify().exits(0).stdout.contains("record-failure.sh"));
    }
    // What replaces it after that is news.
    std::fs::write(&path, "#!/bin/sh\necho newer\n").expect("it can be written");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    let _ = release(&home, &["--yes"]).ok();
}

/// Rows of a home in WAL mode are in the database's own file once it is given back, and looking makes no file beside it.
#[test]
fn a_home_in_wal_mode_is_given_back_in_one_file() {
    let home = framework(Tables::Usual, Git::Clean, 50);
    let mode = |home: &TestHome| -> String {
        let database = Connection::open(home.join("memory/index.db")).expect("it opens");
        database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("it can be asked")
    };
    let database = Connection::open(home.join("memory/index.db")).expect("it opens");
    database.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("it can be set");
    drop(database);
    let before = every_byte(&home);
    let plan = adopt(&home, &["--json"]).ok().json();
    assert_eq!(plan["plan"]["database"]["journal_mode"], "wal");
    assert!(before == every_byte(&home), "a look at the home has changed it");
    let _ = adopt(&home, &["--yes"]).ok();
    let receipts: Vec<_> = (0..50).map(|number| home.record("failure", &format!("Record {number}"))).collect();
    let _ = release(&home, &["--yes"]).ok();
    assert_eq!(copied(&home), 50, "rows are not in the file itself");
    for end in ["-wal", "-shm"] {
        assert!(!home.join(&format!("memory/index.db{end}")).exists(), "{end} is left");
    }
    assert_eq!(mode(&home), "wal");
    let _ = adopt(&home, &["--yes"]).ok();
    home.recover_fully();
    assert_whole(&home, &receipts);
}

/// A log that a crash of theirs left is looked into, and stays as it is.
#[test]
fn looking_at_what_a_crash_left_changes_nothing() {
    let home = framework(Tables::Usual, Git::Clean, 20);
    let path = home.join("memory/index.db");
    let database = Connection::open(&path).expect("it opens");
    database.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("it can be set");
    database.execute_batch("INSERT INTO heuristics (domain, rule) VALUES ('d', 'in the log')").expect("a row");
    let keep = home.user().join("crashed");
    std::fs::create_dir(&keep).expect("it can be made");
    for end in ["", "-wal"] {
        std::fs::copy(home.join(&format!("memory/index.db{end}")), keep.join(format!("index.db{end}")))
            .expect("it is there");
    }
    drop(database);
    for end in ["", "-wal"] {
        std::fs::copy(keep.join(format!("index.db{end}")), home.join(&format!("memory/index.db{end}")))
            .expect("it is there");
    }
    std::fs::remove_dir_all(&keep).expect("it is ours");
    let before = every_byte(&home);
    let plan = adopt(&home, &["--json"]).ok().json();
    let rows = plan["plan"]["database"]["tables"][1]["rows"].as_i64();
    assert_eq!(rows, Some(3), "the row in the log was not seen: {plan}");
    assert!(before == every_byte(&home), "a look at the home has changed it");
}

/// Programs of theirs copy the database's file alone: while a worker runs, and after it or a flush, rows get into that.
#[test]
fn rows_reach_the_databases_own_file() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let _ = home.record_each("without a worker");
    home.flush();
    assert_eq!(copied(&home), 5, "after a flush");
    let worker = Worker::quick(&home);
    let _ = home.record_each("with a worker");
    wait_for("rows to reach the database's file", || (copied(&home) == 10).then_some(()));
    // What the framework's own programs wrote to the log as well.
    home.index().execute_batch("UPDATE heuristics SET times_validated = 7").expect("it can be written");
    let _ = home.record_each("the last");
    let _ = worker.stop(Signal::TERM);
    assert_eq!(copied(&home), 15, "after the worker");
    let copy = home.user().join("copy.db");
    std::fs::copy(home.join("memory/index.db"), &copy).expect("it can be copied");
    let counts: i64 = Connection::open(&copy)
        .and_then(|it| it.query_row("SELECT min(times_validated) FROM heuristics WHERE id = 1", [], |row| row.get(0)))
        .expect("it can be read");
    assert_eq!(counts, 7);
    home.assert_settled();
}

/// The private folder, which lies in the git folder or in the home.
fn private(home: &TestHome) -> PathBuf {
    let inside = home.join(".git/indelible");
    if inside.join("home.json").is_file() { inside } else { home.join(".indelible") }
}

fn daily(home: &TestHome) -> PathBuf {
    private(home).join("adopted/daily.db")
}

fn worker_once(home: &TestHome) {
    let worker = Worker::quick(home);
    wait_for("the copy to be made", || daily(home).exists().then_some(()));
    home.flush();
    let _ = worker.stop(Signal::TERM);
}

fn age(home: &TestHome, hours: u64) {
    let file = std::fs::File::options().write(true).open(daily(home)).expect("the copy is there");
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
    file.set_modified(then).expect("it is ours");
}

fn in_copy(home: &TestHome, sql: &str) -> i64 {
    let copy = Connection::open(daily(home)).expect("the copy opens");
    let check: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(check, "ok");
    copy.query_row(sql, [], |row| row.get(0)).expect("the copy can be read")
}

/// A worker renews the copy of the database when it is a day old, whole or not at all.
#[test]
fn the_database_is_copied_every_day() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let count = "SELECT count(*) FROM records";
    let _ = home.record_each("first");
    worker_once(&home);
    assert_eq!(in_copy(&home, count), 5);
    let _ = home.record_each("second");
    worker_once(&home);
    assert_eq!(in_copy(&home, count), 5, "it was renewed before its time");
    for point in ["CopyBefore", "CopyBeforeRename"] {
        age(&home, 25);
        let _ = home.cmd(["worker"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        assert_eq!(in_copy(&home, count), 5, "killed at {point}");
    }
    let worker = Worker::quick(&home);
    wait_for("the copy to be renewed", || (in_copy(&home, count) == 10).then_some(()));
    let _ = worker.stop(Signal::TERM);
    let left: Vec<_> = std::fs::read_dir(private(&home).join("tmp")).expect("it is there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    home.assert_settled();
}

/// A copy that cannot be made stops nothing.
#[test]
fn a_copy_that_cannot_be_made_stops_no_worker() {
    let home = adopted(Tables::Usual, Git::Clean, 10);
    std::fs::create_dir(daily(&home)).expect("it can be made");
    let worker = Worker::quick(&home);
    let receipts = home.record_each("first");
    home.flush();
    let _ = worker.stop(Signal::TERM);
    std::fs::remove_dir(daily(&home)).expect("it is there");
    assert_whole(&home, &receipts);
}

fn damage(home: &TestHome) {
    std::fs::write(home.join("memory/index.db"), [7; 9000]).expect("it can be overwritten");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
}

/// A database that is lost has what the copy knows of it again, and it is said from when that is.
#[test]
fn a_lost_database_begins_with_the_newest_copy() {
    let home = adopted(Tables::Usual, Git::Clean, 50);
    let mut receipts = home.record_each("first");
    home.index()
        .execute_batch("UPDATE heuristics SET times_validated = id + 3; INSERT INTO metrics VALUES (2, 'theirs', 1)")
        .expect("it can be written");
    worker_once(&home);
    let rows = "SELECT group_concat(id || '/' || rule || '/' || times_validated) FROM heuristics";
    let (before, _) = (value::<String>(&home, rows), receipts.extend(home.record_each("second")));
    home.flush();
    damage(&home);
    let said = home.cmd(["recover"]).ok();
    assert!(said.stdout.contains("began with the copy of 20") && said.stdout.contains("daily.db"), "{said}");
    assert!(said.stdout.contains("/quarantine/index-"), "{said}");
    assert!(value::<String>(&home, rows).starts_with(&before), "counts are lost");
    assert_eq!(value::<i64>(&home, "SELECT count(*) FROM metrics"), 2);
    assert_whole(&home, &receipts);
    home.assert_settled();
    // One that is damaged itself is passed over.
    std::fs::write(daily(&home), [9; 9000]).expect("it can be overwritten");
    damage(&home);
    let said = home.cmd(["recover"]).ok();
    assert!(said.stdout.contains("adopted/index-"), "{said}");
    assert_whole(&home, &receipts);
    home.assert_settled();
}

/// A record's row that another program deletes comes back under its number, with the values in a copy.
#[test]
fn a_deleted_row_comes_back_as_it_was() {
    let home = adopted(Tables::Usual, Git::Clean, 20);
    let receipts = home.record_each("first");
    home.index().execute_batch("UPDATE heuristics SET times_validated = 12, is_golden = 1").expect("it can be written");
    home.flush();
    let row = "SELECT id || '/' || times_validated || '/' || is_golden || '/' || rule FROM heuristics
               WHERE rule = 'first heuristic'";
    let before: String = value(&home, row);
    let delete = || {
        home.index()
            .execute_batch("DELETE FROM heuristics WHERE rule = 'first heuristic'; DELETE FROM learnings WHERE title = 'first failure'")
            .expect("they can be deleted");
    };
    // Without a copy it is said that counts are gone.
    delete();
    let _ = home.verify().exits(1);
    let said = home.cmd(["repair"]).ok();
    assert!(said.stdout.contains("2 rows that were deleted are back, and no copy knows"), "{said}");
    let number = before.split('/').next().expect("it has a number");
    assert_eq!(value::<String>(&home, row), format!("{number}/0/0/first heuristic"));
    home.assert_settled();
    home.index().execute_batch("UPDATE heuristics SET times_validated = 12, is_golden = 1").expect("it can be written");
    worker_once(&home);
    delete();
    // With its file gone as well.
    let failure = receipts.iter().find(|it| it.kind == "failure").expect("there is one");
    std::fs::remove_file(home.join(&failure.page())).expect("it is there");
    let said = home.cmd(["repair"]).ok();
    assert!(said.stdout.contains("2 rows that were deleted are back, with the counts of the copy of 20"), "{said}");
    assert_eq!(value::<String>(&home, row), before);
    assert_whole(&home, &receipts);
    home.assert_settled();
}

/// What the framework's own recorder does: a page, a row, and both added and committed to their branch.
fn record_as_the_framework_does(home: &TestHome, title: &str) {
    let page = format!("memory/failures/20251201_{title}.md");
    std::fs::write(home.join(&page), format!("# {title}\n")).expect("it can be written");
    let sql = "INSERT INTO learnings (type, filepath, title) VALUES ('failure', ?1, ?2)";
    home.index().execute(sql, [page.as_str(), title]).expect("the row can be inserted");
    let _ = theirs(home, ["add", &page]).ok();
    let _ = theirs(home, ["add", "memory/index.db"]).ok();
    let _ = theirs(home, ["commit", "-q", "-m", title]).ok();
    let _ = theirs(home, ["cat-file", "-e", &format!("HEAD:{page}")]).ok();
}

/// A recorder of the framework's that has no drop-in, or whose drop-in an update replaced, goes on as before.
#[test]
fn the_frameworks_own_recorder_goes_on() {
    for tracked in [true, false] {
        let home = framework(Tables::Usual, Git::Clean, 20);
        std::fs::write(home.join(".gitignore"), "logs/\n").expect("it can be written");
        if tracked {
            record_as_the_framework_does(&home, "before");
        }
        let _ = adopt(&home, &["--yes"]).ok();
        record_as_the_framework_does(&home, "adopted");
        let worker = Worker::quick(&home);
        let receipt = home.record("failure", "ours");
        record_as_the_framework_does(&home, "beside-a-worker");
        // A page that they track and change.
        std::fs::write(home.join("memory/failures/20251201_adopted.md"), "# Changed\n").expect("it can be written");
        let _ = theirs(&home, ["add", "memory/failures/20251201_adopted.md"]).ok();
        home.flush();
        let _ = worker.stop(Signal::TERM);
        assert_whole(&home, &[receipt]);
        home.assert_settled();
        let _ = release(&home, &["--yes"]).ok();
        record_as_the_framework_does(&home, "released");
    }
}

/// How many of the home's records a copy of only the database's file has.
fn copied(home: &TestHome) -> i64 {
    let copy = home.user().join("copy.db");
    std::fs::copy(home.join("memory/index.db"), &copy).expect("it can be copied");
    let database = Connection::open(&copy).expect("it opens");
    let count = database.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).expect("it can be read");
    drop(database);
    std::fs::remove_file(&copy).expect("it is there");
    count
}

/// What is printed to be pasted survives any path.
#[test]
fn printed_commands_can_be_pasted_whatever_the_path() {
    for name in ["it's here", "$(touch RAN) `x`", "-dash"] {
        let made = framework(Tables::Usual, Git::Dirty, 20);
        let path = made.user().join(name);
        std::fs::rename(made.path(), &path).expect("it can be moved");
        let home = TestHome::at(path);
        let say = adopt(&home, &[]).ok();
        let untrack: String =
            say.stdout.lines().filter(|line| line.contains("git -C ")).map(|it| format!("{it}\n")).collect();
        let _ = pasted(&home, &untrack).ok();
        let _ = adopt(&home, &["--yes"]).ok();
        let receipt = home.record("failure", "first");
        let said = release(&home, &["--yes"]).ok();
        let _ = pasted(&home, &commands_of(&said)).ok();
        let _ = theirs(&home, ["cat-file", "-e", &format!("HEAD:{}", receipt.page())]).ok();
        assert!(!home.user().join("RAN").exists() && !Path::new("RAN").exists());
    }
}

/// A home whose owner keeps records out of git gets a notice that the branch has them.
#[test]
fn ignored_records_are_spoken_of() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let quiet = adopt(&home, &[]).ok();
    assert!(!quiet.stdout.contains(".gitignore"), "{quiet}");
    std::fs::write(home.join(".gitignore"), "memory/\n").expect("it can be written");
    let said = adopt(&home, &[]).ok();
    for part in ["its .gitignore keeps memory/ out", "push --all", "history.pointer"] {
        assert!(said.stdout.contains(part), "{part} is not in {said}");
    }
    let _ = adopt(&home, &["--yes"]).ok();
    let _ = home.record("failure", "first");
    let said = release(&home, &["--yes"]).ok();
    assert!(said.stdout.contains(".gitignore keeps them out") && !said.stdout.contains("git add"), "{said}");
}

/// Where the framework's own hook runs, adopting says that ours beside it records twice.
#[test]
fn a_learning_hook_of_theirs_is_spoken_of() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let settings = home.path().parent().expect("it is in a folder").join("settings.json");
    let said = adopt(&home, &[]).ok();
    assert!(!said.stdout.contains("recorded twice"), "{said}");
    let text =
        r#"{"hooks":{"PostToolUse":[{"hooks":[{"command":"python3 hooks/learning-loop/post_tool_learning.py"}]}]}}"#;
    std::fs::write(settings, text).expect("it can be written");
    let said = adopt(&home, &[]).ok();
    assert!(said.stdout.contains("recorded twice") && said.stdout.contains("post_tool_learning.py"), "{said}");
}
