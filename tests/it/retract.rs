//! `retract` and `restore`, as a user calls them: every store follows, all of the records or none, and nothing brings a retracted
//! record back but `restore`.

use std::fs;

use rusqlite::types::Value;

use crate::support::{Receipt, TestHome, Worker, assert_search_agrees, wait_for};

fn short(receipt: &Receipt) -> String {
    receipt.id[receipt.id.len() - 8..].to_owned()
}

/// How many rows the tables of records have.
fn rows(home: &TestHome) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM learnings) + (SELECT count(*) FROM heuristics) + (SELECT count(*) FROM experiments)";
    home.index().query_row(sql, [], |row| row.get(0)).expect("readable")
}

/// The whole row of a rule.
fn rule_row(home: &TestHome, receipt: &Receipt) -> Option<Vec<Value>> {
    let sql = "SELECT heuristics.* FROM heuristics JOIN records ON row_id = heuristics.id WHERE records.id = ?1";
    let cells = |row: &rusqlite::Row<'_>| (0..row.as_ref().column_count()).map(|at| row.get(at)).collect();
    rusqlite::OptionalExtension::optional(home.index().query_row(sql, [&receipt.id], cells)).expect("readable")
}

/// What the readers have of the records: `list`, `search`, and their files.
#[track_caller]
fn assert_visible(home: &TestHome, receipts: &[Receipt], word: &str, visible: bool) {
    let list = home.cmd(["list", "--limit", "0", "--json"]).ok().json();
    let found = home.cmd(["search", word, "--limit", "0", "--json"]).run();
    let found = if found.stdout.is_empty() { serde_json::Value::Null } else { found.json() };
    for receipt in receipts {
        assert_eq!(list.to_string().contains(&receipt.id), visible, "list: {}", receipt.id);
        assert_eq!(found.to_string().contains(&receipt.id), visible, "search: {}: {found}", receipt.id);
        assert_eq!(home.join(&receipt.page()).exists(), visible, "{}", receipt.page());
        let shown = home.git(["cat-file", "-e", &format!("{}:{}", home.history(), receipt.page())]).run();
        assert_eq!(shown.code() == Some(0), visible, "git: {}", receipt.page());
        let _ = home.cmd(["show", &receipt.id]).run().exits(if visible { 0 } else { 1 });
    }
}

#[track_caller]
fn assert_agree(home: &TestHome) {
    let _ = home.verify().exits(0);
    home.assert_sound();
    assert_search_agrees(home, false);
}

#[test]
fn every_kind_leaves_every_store_and_comes_back() {
    let home = TestHome::new();
    let receipts = home.record_each("zebra");
    home.flush();
    let before = rows(&home);
    assert_visible(&home, &receipts, "zebra", true);
    let mut args = vec!["retract", "--because", "it was wrong"];
    args.extend(receipts.iter().map(|receipt| receipt.id.as_str()));
    let said = home.cmd(&args).ok();
    assert!(said.stdout.starts_with("retracted: "), "{said}");
    assert!(said.stderr.contains(" restore ") && said.stderr.contains("brings them back"), "{said}");
    assert_eq!(rows(&home), 0);
    assert_visible(&home, &receipts, "zebra", false);
    let listed = home.cmd(["list", "--state", "retracted", "--json"]).ok().json();
    assert_eq!(listed["count"].as_u64(), Some(receipts.len() as u64));
    assert_eq!(listed["records"][0]["because"], "it was wrong");
    assert_agree(&home);
    // Once more: nothing changes, and it says so.
    let commits = home.git(["rev-list", "--count", &home.history()]).ok().stdout;
    let again = home.cmd(&args).ok();
    assert_eq!(again.stdout.lines().filter(|line| line.starts_with("already retracted: ")).count(), receipts.len());
    assert_eq!(home.git(["rev-list", "--count", &home.history()]).ok().stdout, commits);
    let mut args = vec!["restore", "--json"];
    args.extend(receipts.iter().map(|receipt| receipt.id.as_str()));
    let restored = home.cmd(&args).ok().json();
    assert_eq!(restored["restored"].as_u64(), Some(receipts.len() as u64));
    assert!(
        restored["records"]
            .as_array()
            .expect("records")
            .iter()
            .all(|it| it["changed"] == true && it["path"].is_string())
    );
    assert_eq!(rows(&home), before);
    assert_visible(&home, &receipts, "zebra", true);
    let again = home.cmd(&args).ok().json();
    assert!(again["records"].as_array().expect("records").iter().all(|it| it["changed"] == false), "{again}");
    assert_agree(&home);
    home.recover_fully();
}

#[test]
fn all_of_the_records_change_or_none() {
    let home = TestHome::new();
    let receipts = home.record_each("zebra");
    home.flush();
    let (one, two) = (&receipts[0], &receipts[1]);
    let unknown = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa";
    let before = home.journal_bytes();
    for command in ["retract", "restore"] {
        for text in [unknown, "no/such/path.md", "zzz"] {
            let refused = home.cmd([command, &one.id, text]).run().exits(65);
            assert!(refused.stderr.contains("nothing was changed"), "{refused}");
        }
    }
    // The ends of ids that several records share.
    let digit = one.id[one.id.len() - 1..].to_owned();
    let same: Vec<&Receipt> = receipts.iter().filter(|it| it.id.ends_with(&digit)).collect();
    if same.len() > 1 {
        let refused = home.cmd(["retract", &digit]).run().exits(65);
        assert!(same.iter().all(|it| refused.stderr.contains(&it.id)), "{refused}");
    }
    assert_eq!(home.journal_bytes(), before, "nothing is in the journal");
    assert_visible(&home, &receipts, "zebra", true);
    // By the end of an id, by path, and one of them twice; one is retracted already.
    let _ = home.cmd(["retract", &short(one)]).ok();
    let said = home.cmd(["retract", &one.id, &two.page(), &two.id]).ok();
    assert_eq!(said.stdout.lines().count(), 2, "{said}");
    assert!(said.stdout.contains("already retracted: ") && said.stdout.contains("\nretracted: "), "{said}");
    assert_visible(&home, &receipts[..2], "zebra", false);
    assert_visible(&home, &receipts[2..], "zebra", true);
    // A retracted record is found by its former path, too.
    let _ = home.cmd(["restore", &two.page(), &one.id]).ok();
    assert_visible(&home, &receipts, "zebra", true);
    let _ = home.cmd(["retract"]).run().exits(64);
    assert_agree(&home);
}

#[test]
fn a_retracted_rule_keeps_its_row_and_its_verdicts_for_restore() {
    let home = TestHome::new();
    let rule = home.record("heuristic", "zebra rule");
    let _ = home.cmd(["validate", &rule.id, "--because", "it held"]).ok();
    let _ = home.cmd(["violate", &rule.id, "--session", "two"]).ok();
    home.flush();
    home.index()
        .execute_batch("UPDATE heuristics SET times_violated = times_violated + 4, is_golden = 1")
        .expect("it can be changed");
    let before = rule_row(&home, &rule).expect("it has a row");
    let page = home.join("memory/heuristics/rules-of-thumb/README.md");
    assert!(fs::read_to_string(&page).expect("a page").contains("zebra rule"));
    let _ = home.cmd(["retract", &rule.id]).ok();
    assert_eq!(rule_row(&home, &rule), None);
    assert!(!page.exists(), "a page without a rule is gone");
    let _ = home.cmd(["validate", &rule.id]).run().exits(65);
    home.recover_fully();
    let _ = home.cmd(["restore", &rule.id]).ok();
    assert_eq!(rule_row(&home, &rule), Some(before));
    let shown = home.cmd(["show", &rule.id, "--json"]).ok().json();
    assert_eq!(shown["records"][0]["verdicts"].as_array().map(Vec::len), Some(2), "{shown}");
    assert!(fs::read_to_string(&page).expect("a page").contains("zebra rule"));
    // A verdict that is retracted does not count.
    let verdict = shown["records"][0]["verdicts"][0]["id"].as_str().expect("an id").to_owned();
    let _ = home.cmd(["retract", &verdict]).ok();
    let validated = |home: &TestHome| -> i64 {
        home.index().query_row("SELECT times_validated FROM heuristics", [], |row| row.get(0)).expect("readable")
    };
    assert_eq!(validated(&home), 0);
    let _ = home.cmd(["restore", &verdict]).ok();
    assert_eq!(validated(&home), 1);
    assert_agree(&home);
}

#[test]
fn what_is_retracted_stays_so_through_recovery_a_lost_store_and_a_restored_one() {
    let home = TestHome::new();
    let receipts = home.record_each("zebra");
    home.flush();
    let copy = |from: &str, to: &str| {
        let copied = crate::support::Cmd::new("cp", home.user()).args(["-a", from, to]).run();
        assert_eq!(copied.code(), Some(0), "{copied}");
    };
    let kept = home.user().join("kept");
    fs::create_dir(&kept).expect("a folder");
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    for store in ["memory", "experiments", ".indelible", ".git"] {
        copy(&text(&home.join(store)), &text(&kept.join(store)));
    }
    let ids: Vec<&str> = receipts.iter().map(|receipt| receipt.id.as_str()).collect();
    let _ = home.cmd(["retract"].iter().chain(&ids)).ok();
    let _ = home.cmd(["recover"]).ok();
    let _ = home.cmd(["repair"]).ok();
    assert_visible(&home, &receipts, "zebra", false);
    // The index is lost.
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(home.join("memory").join(name));
    }
    let _ = home.cmd(["recover"]).ok();
    assert_visible(&home, &receipts, "zebra", false);
    // A backup of one store comes back.
    for store in ["memory", ".indelible", ".git"] {
        let aside = home.user().join("aside");
        fs::rename(home.join(store), &aside).expect("it can be moved");
        copy(&text(&kept.join(store)), &text(&home.join(store)));
        let _ = home.cmd(["recover"]).run();
        let _ = home.cmd(["repair"]).run();
        assert_visible(&home, &receipts, "zebra", false);
        fs::remove_dir_all(&aside).expect("it can be removed");
    }
    let _ = home.cmd(["restore"].iter().chain(&ids)).ok();
    assert_visible(&home, &receipts, "zebra", true);
    home.recover_fully();
    assert_agree(&home);
}

#[test]
fn a_running_worker_applies_it_and_a_locked_index_delays_rows_alone() {
    let home = TestHome::new();
    let receipts = home.record_each("zebra");
    let worker = Worker::quick(&home);
    worker.wait_until_committed(&home);
    let _ = home.cmd(["retract", &receipts[0].id]).ok();
    assert_visible(&home, &receipts[..1], "zebra", false);
    let _ = home.cmd(["restore", &receipts[0].id]).ok();
    assert_visible(&home, &receipts[..1], "zebra", true);
    let _ = worker.stop(rustix::process::Signal::TERM);
    let other = home.index();
    other.execute_batch("BEGIN IMMEDIATE").expect("it can be locked");
    let said = home.cmd(["retract", &receipts[0].id, "--set", "worker.index_wait_ms=50"]).ok();
    assert!(said.stdout.starts_with("retracted: "), "{said}");
    assert!(!home.join(&receipts[0].page()).exists(), "files follow at once");
    other.execute_batch("ROLLBACK").expect("it can be released");
    home.flush();
    wait_for("the row to go", || {
        let found = home
            .index()
            .query_row("SELECT row_id FROM records WHERE id = ?1", [&receipts[0].id], |row| row.get::<_, i64>(0));
        found.is_ok_and(|number| number < 0).then_some(())
    });
    assert_agree(&home);
}

/// A power cut can lose the removal of an experiment's log alone, or of its page, also with an index that does not know where it was.
#[test]
fn a_file_that_is_left_of_a_retracted_experiment_goes() {
    for (rebuilt, torn) in [(false, false), (false, true), (true, false), (true, true)] {
        let home = TestHome::new();
        let (one, other) = (home.record("experiment", "zebra"), home.record("experiment", "quagga"));
        home.flush();
        let log = home.join(&format!("{}/log.md", one.path));
        let bytes = fs::read(&log).expect("it is there");
        let _ = home.cmd(["retract", &one.id]).ok();
        assert!(!log.exists());
        fs::create_dir_all(log.parent().expect("it has one")).expect("it can be made");
        fs::write(&log, if torn { Vec::new() } else { bytes.clone() }).expect("it can be written");
        // An emptied page is known by its place.
        let page = home.join(&one.page());
        if torn {
            fs::write(&page, [0; 100]).expect("it can be written");
        }
        // The owner's own copy of it is left alone.
        let copy = home.join("experiments/active/copy/log.md");
        fs::create_dir_all(copy.parent().expect("it has one")).expect("it can be made");
        fs::write(&copy, &bytes).expect("it can be written");
        if rebuilt {
            fs::remove_file(home.join("memory/index.db")).expect("it can be removed");
        }
        let _ = home.verify().exits(1);
        let _ = home.recover();
        assert!(!log.exists() && !page.exists(), "rebuilt: {rebuilt}, torn: {torn}");
        assert!(copy.is_file() && home.join(&format!("{}/log.md", other.path)).is_file());
        home.assert_settled();
        let _ = home.cmd(["restore", &one.id]).ok();
        assert_eq!(fs::read(&log).expect("it is back"), bytes);
        assert_agree(&home);
    }
}

/// A power cut can lose the removal of a page, and part of its bytes with that, while journal and index have nothing of it any more.
#[test]
fn a_torn_page_of_a_retracted_record_goes_and_an_own_file_does_not() {
    let home = TestHome::new();
    let receipt = home.record("failure", "zebra");
    let _ = home.cmd(["amend", &receipt.id, "--summary", &"again and ".repeat(120)]).ok();
    home.flush();
    let page = home.join(&receipt.page());
    let bytes = fs::read(&page).expect("it is there");
    assert!(bytes.len() > 1024, "it has more than one sector");
    let _ = home.cmd(["retract", &receipt.id, "--because", "it was wrong"]).ok();
    home.flush();
    let own = home.join("memory/failures/own.md");
    let _ = fs::create_dir_all(own.parent().expect("it has one"));
    fs::write(&own, "# What I think\n").expect("it can be written");
    let mut holed = bytes.clone();
    holed[512..].fill(0);
    for left in [holed, vec![0; bytes.len()], Vec::new()] {
        for name in ["index.db", "index.db-wal", "index.db-shm"] {
            let _ = fs::remove_file(home.join("memory").join(name));
        }
        fs::create_dir_all(page.parent().expect("it has one")).expect("it can be made");
        fs::write(&page, &left).expect("it can be written");
        let _ = home.verify().exits(1);
        home.recover_fully();
        assert!(!page.exists(), "{} bytes are left", left.len());
        assert!(own.exists(), "its owner's file is not touched");
        assert_agree(&home);
    }
}

#[test]
fn whether_a_record_is_there_is_not_guessed_if_its_state_cannot_be_looked_at() {
    let home = TestHome::new();
    let (rule, gone) = (home.record("heuristic", "a rule"), home.record("failure", "retracted"));
    let _ = home.cmd(["retract", &gone.id]).ok();
    let away = home.user().join("away");
    for folder in ["memory", "memory/retracted"] {
        fs::rename(home.join(folder), &away).expect("renamed");
        std::os::unix::fs::symlink(&away, home.join(folder)).expect("a link");
        let entries = home.journal_bytes();
        let mut lines = vec![vec!["retract", &rule.id], vec!["amend", &rule.id, "--rule", "x"]];
        if folder == "memory" {
            lines.extend([vec!["restore", &gone.id], vec!["validate", &rule.id], vec!["show", &rule.id]]);
        }
        for line in lines {
            let refused = home.cmd(&line).run().exits(77);
            assert!(refused.stderr.contains("symbolic link"), "{folder}: {line:?}: {refused}");
        }
        assert_eq!(home.journal_bytes(), entries, "{folder}: nothing was kept");
        fs::remove_file(home.join(folder)).expect("the link");
        fs::rename(&away, home.join(folder)).expect("renamed");
    }
    assert_visible(&home, &[rule], "rule", true);
    assert_agree(&home);
}

#[test]
fn a_retraction_that_a_link_is_in_the_way_of_is_not_called_done() {
    let home = TestHome::new();
    let receipt = home.record("failure", "stays");
    home.flush();
    let (path, away) = (home.join(&receipt.path), home.user().join("away.md"));
    fs::rename(&path, &away).expect("renamed");
    std::os::unix::fs::symlink(&away, &path).expect("a link");
    let said = home.cmd(["retract", &receipt.id]).run().exits(1);
    assert!(!said.stdout.contains("retracted:") && said.stderr.contains("waits in quarantine"), "{said}");
    assert!(home.cmd(["list"]).ok().stdout.contains("stays"), "it is there");
    fs::remove_file(&path).expect("the link");
    let _ = home.cmd(["recover"]).ok();
    assert_visible(&home, &[receipt], "stays", false);
    assert_agree(&home);
}
