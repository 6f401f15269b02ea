//! `query`, which answers as the framework's `query.py` does.
//!
//! `query_py/expected.txt` has the answers about the home that `query_py/home.sql` describes. They were compared with the
//! framework's own program, as docs/testing.md says.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::adopt::{adopt, every_byte};
use crate::support::{Git, Outcome, Tables, TestHome, framework};

const HOME: &str = include_str!("query_py/home.sql");
const RULES: &str = include_str!("query_py/golden-rules.md");
const EXPECTED: &str = include_str!("query_py/expected.txt");

/// Every question there is, as flags.
const QUESTIONS: [&[&str]; 17] = [
    &["--validate"],
    &["--health-check"],
    &["--context"],
    &["--context", "--depth", "deep", "--domain", "ci", "--tags", "a", "--task", "speed up the build"],
    &["--golden-rules"],
    &["--decisions"],
    &["--spikes"],
    &["--assumptions"],
    &["--invariants"],
    &["--domain", "ci"],
    &["--tags", "a"],
    &["--recent", "5"],
    &["--experiments"],
    &["--ceo-reviews"],
    &["--stats"],
    &["--violations"],
    &["--accountability-banner"],
];

/// An adopted home whose tables hold what `sql` says.
fn adopted(sql: &str) -> TestHome {
    let home = TestHome::absent();
    fs::create_dir_all(home.join("memory")).expect("it can be made");
    fs::create_dir_all(home.join("custom")).expect("it can be made");
    fs::write(home.join("memory/golden-rules.md"), RULES).expect("it can be written");
    database(&home).execute_batch(sql).expect("the tables can be made");
    let _ = adopt(&home, &["--yes"]).ok();
    home
}

fn database(home: &TestHome) -> Connection {
    Connection::open(home.join("memory/index.db")).expect("it opens")
}

fn query(home: &TestHome, flags: &[&str]) -> Outcome {
    home.cmd(["query"].iter().chain(flags)).run()
}

#[test]
fn every_answer_is_the_frameworks() {
    let home = adopted(HOME);
    let before = every_byte(&home);
    let mut asked = 0;
    for section in EXPECTED.split("$ ").skip(1) {
        let (flags, answer) = section.split_once('\n').expect("the flags have a line");
        let flags: Vec<String> = flags.split(' ').map(|flag| flag.replace('␣', " ")).collect();
        let outcome = home
            .homeless(
                ["query", "--base-path", &home.path().to_string_lossy()]
                    .map(str::to_owned)
                    .into_iter()
                    .chain(flags.clone()),
            )
            .run();
        let errors: String = outcome.stderr.lines().map(|line| format!("stderr: {line}\n")).collect();
        let code = outcome.status.code().expect("it ended by itself");
        let found = format!("= {code}\n{}{errors}", outcome.stdout.replace('\r', "␍"));
        assert_eq!(found, answer, "query {}", flags.join(" "));
        asked += 1;
    }
    assert!(asked > 100, "only {asked} questions were asked");
    assert_eq!(every_byte(&home), before, "a question changed a file");
}

#[test]
fn what_a_home_lacks_counts_as_empty() {
    let homes = Tables::ALL.map(|tables| {
        let home = framework(tables, Git::None, 20);
        let _ = adopt(&home, &["--yes"]).ok();
        home
    });
    for home in homes.iter().chain([&TestHome::new()]) {
        for flags in QUESTIONS {
            let outcome = query(home, flags).exits(0);
            assert!(!outcome.stdout.is_empty() && outcome.stderr.is_empty(), "{flags:?}: {outcome}");
        }
    }
    let home = TestHome::new();
    let shown = |flags: &[&str]| query(&home, flags).exits(0).stdout;
    assert_eq!(shown(&["--golden-rules"]), "# Golden Rules\n\nNo golden rules have been established yet.\n");
    assert_eq!(shown(&["--spikes", "--format", "json"]), "[]\n");
    let report = shown(&["--validate"]);
    assert!(report.contains("Table 'ceo_reviews' is missing and counts as empty"), "{report}");
}

#[test]
fn a_record_is_in_every_answer_that_it_belongs_to() {
    let home = TestHome::new();
    let record = |args: &[&str]| drop(home.cmd(["record"].iter().chain(args)).ok());
    record(&[
        "failure",
        "--title",
        "Bell \x07 and \x1b[31mred",
        "--domain",
        "ci",
        "--tags",
        "cache",
        "--summary",
        "So",
    ]);
    record(&["heuristic", "--domain", "ci", "--rule", "Cache the index", "--confidence", "0.7"]);
    record(&["experiment", "--name", "Try it", "--hypothesis", "It helps"]);
    for (flags, text) in [
        (&["--domain", "ci"][..], "rule: Cache the index\n"),
        (&["--tags", "CACHE"], "title: Bell ␇ and ␛[31mred\n"),
        (&["--recent", "1"], "title: Bell ␇ and ␛[31mred\n"),
        (&["--experiments"], "name: Try it\n"),
        (&["--stats"], "total_learnings: 1\n"),
        (&["--context"], "- **Cache the index** (domain: ci, confidence: 0.70)\n"),
    ] {
        let outcome = query(&home, flags).exits(0);
        assert!(outcome.stdout.contains(text), "{flags:?}: {outcome}");
    }
    let exact = query(&home, &["--recent", "1", "--format", "json"]).exits(0).stdout;
    let exact: Value = serde_json::from_str(&exact).expect("it is JSON");
    assert_eq!(exact[0]["title"], "Bell \x07 and \x1b[31mred");
    let csv = query(&home, &["--recent", "1", "--format", "csv"]).exits(0).stdout;
    assert!(csv.contains("Bell \x07 and \x1b[31mred"), "for a program, CSV is exact: {csv:?}");
}

#[test]
fn a_context_keeps_to_its_budget() {
    let home = adopted(HOME);
    let insert = "INSERT INTO learnings (type, filepath, title, summary, domain) VALUES ('failure', 'x', ?1, ?2, 'ci')";
    for number in 0..30 {
        let title = format!("The build broke again, number {number}");
        database(&home).execute(insert, [title, "ä".repeat(400)]).expect("it can be inserted");
    }
    let chars = |tokens: &str| {
        let outcome =
            query(&home, &["--context", "--domain", "ci", "--depth", "deep", "--max-tokens", tokens]).exits(0);
        (outcome.stdout.chars().count(), outcome.stdout)
    };
    let (whole, text) = chars("50000");
    assert!(whole > 4 * 3000 && !text.contains("left out"), "{whole} characters: {text}");
    for tokens in [60usize, 100, 200, 300, 500, 1000, 2000, 3000] {
        let (count, text) = chars(&tokens.to_string());
        assert!(count <= 4 * tokens, "{tokens} tokens, {count} characters: {text}");
        let note = format!("entries left out to keep to {tokens} tokens]*");
        assert!(text.trim_end().ends_with(&note), "{text}");
        assert!(tokens < 200 || text.contains("## 2. Tag Every Release"), "rules come first: {text}");
        assert!(
            tokens < 300 || 4 * tokens - count < 600,
            "an entry would have fitted: {tokens} tokens, {count}: {text}"
        );
    }
    // Not even the head fits, and what is left is the head.
    let (_, least) = chars("-5");
    assert!(least.contains("# Task Context") && least.contains("entries left out"), "{least}");
}

#[test]
fn a_context_fits_its_task() {
    let home = adopted(HOME);
    let context = |flags: &[&str]| query(&home, &[&["--context"], flags].concat()).exits(0).stdout;
    let place = |text: &str, what: &str| text.find(what).unwrap_or_else(|| panic!("{what:?} is not in {text}"));
    let (timeout, clippy) = ("**Always set a timeout**", "**Run clippy before you push**");
    let usual = context(&[]);
    assert!(place(&usual, clippy) < place(&usual, timeout), "the newer one comes first: {usual}");
    assert!(usual.contains("\nAgent task context generation\n") && !usual.contains("Similar Failures"), "{usual}");
    let fitting = context(&["--task", "which timeout should a network call have?"]);
    assert!(place(&fitting, timeout) < place(&fitting, clippy), "the one that fits comes first: {fitting}");
    assert!(fitting.contains("\nwhich timeout should a network call have?\n"), "{fitting}");
    let similar = context(&["--task", "quoted titles: find the quoted title"]);
    assert!(similar.contains("## Similar Failures Detected\n\n- **[50% match] It's a \"quoted\" title**"), "{similar}");
    assert!(similar.contains("  Matching keywords: quoted, title\n  Lesson: One, two\n"), "{similar}");
    let refused = query(&home, &["--context", "--task", &"x".repeat(10_001)]).exits(1);
    assert!(refused.stderr.starts_with("VALIDATION ERROR: Query exceeds"), "{refused}");
}

#[test]
fn golden_rules_come_from_the_home_and_its_custom_folder() {
    let home = adopted(HOME);
    let minimal = || query(&home, &["--context", "--depth", "minimal"]).exits(0).stdout;
    assert!(minimal().contains("Query Before Acting") && !minimal().contains("Tag Every Release"), "{}", minimal());
    fs::write(home.join("custom/config.yaml"), "always_load_categories: [git]\nmy_domains: []\n")
        .expect("it can be written");
    fs::write(home.join("custom/golden-rules.md"), "My own rule.\r\n").expect("it can be written");
    let text = minimal();
    assert!(!text.contains("Query Before Acting") && text.contains("Tag Every Release"), "{text}");
    assert!(
        text.contains("# TIER 1: Golden Rules (git)\n\n# Custom Golden Rules\nMy own rule.\n\n# Golden Rules\n"),
        "{text}"
    );
    for junk in [&b"\xff\xfe: [\n"[..], b"always_load_categories: 7", b"- x", &[b'['; 4096]] {
        fs::write(home.join("custom/config.yaml"), junk).expect("it can be written");
        assert!(minimal().contains("# TIER 1: Golden Rules (core)"), "{}", minimal());
    }
}

#[test]
fn errors_have_the_frameworks_exit_codes_and_bad_flags_have_ours() {
    let home = adopted(HOME);
    for flags in
        [&["--recent", "x"][..], &["--depth", "x", "--context"], &["word"], &["--assum"], &["--limit"], &["--nosuch"]]
    {
        let _ = query(&home, flags).exits(64);
    }
    let help = query(&home, &[]).exits(0);
    assert!(help.stdout.contains("--accountability-banner") && help.stderr.is_empty(), "{help}");
    let _ = query(&home, &["--stats", "--base-path", "/nosuch"]).exits(78);
    let holder = database(&home);
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;").expect("no other has it open");
    let locked = query(&home, &["--stats", "--timeout", "1"]).exits(2);
    assert!(
        locked.stderr.starts_with("DATABASE ERROR: the index was locked") && locked.stderr.ends_with("[QS002]\n"),
        "{locked}"
    );
    drop(holder);
    let endless = "DROP TABLE ceo_reviews; CREATE VIEW ceo_reviews (id, status) AS
        WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, 'other' || x FROM n;";
    database(&home).execute_batch(endless).expect("it can be changed");
    let late = query(&home, &["--ceo-reviews", "--timeout", "1"]).exits(3);
    let said =
        "TIMEOUT ERROR: Query timed out after 1 seconds. Try reducing --limit or increasing --timeout. [QS003]\n";
    assert_eq!(late.stderr, said);
    let json = query(&home, &["--ceo-reviews", "--timeout", "1", "--json"]).exits(3);
    let json: Value = serde_json::from_str(&json.stderr).expect("an error is JSON where answers are");
    assert_eq!((&json["exit"], &json["error"]), (&Value::from(3), &Value::from(said.trim_end())));
    fs::write(home.join("memory/index.db"), vec![b'x'; 8192]).expect("it can be damaged");
    let damaged = query(&home, &["--stats"]).exits(2);
    assert!(damaged.stderr.starts_with("DATABASE ERROR: ") && damaged.stderr.contains(" [QS002]\n"), "{damaged}");
    let hint = format!("hint: `indelible --home {} recover` brings it back\n", home.path().display());
    assert!(damaged.stderr.ends_with(&hint), "{damaged}");
    let _ = home.cmd(["recover"]).ok();
    let _ = query(&home, &["--stats"]).exits(0);
}

#[test]
fn a_home_that_was_not_adopted_is_refused_with_the_way_out() {
    let home = TestHome::absent();
    fs::create_dir_all(home.join("memory")).expect("it can be made");
    database(&home).execute_batch(HOME).expect("the tables can be made");
    let refused = query(&home, &["--stats"]).exits(78);
    assert!(refused.stderr.contains("`indelible adopt "), "{refused}");
}

#[test]
fn the_frameworks_own_measurements_are_shown() {
    let home = adopted(HOME);
    let shown = || query(&home, &["--health-check"]).exits(0).stdout;
    assert!(
        shown().contains("✓ No active alerts\n") && shown().contains("no such table: metric_observations"),
        "{}",
        shown()
    );
    database(&home)
        .execute_batch(
            "CREATE TABLE metric_observations (id INTEGER PRIMARY KEY, metric_name TEXT, value REAL, observed_at DATETIME,
                domain TEXT, metadata TEXT);
             CREATE TABLE meta_alerts (id INTEGER PRIMARY KEY, alert_type TEXT, severity TEXT, metric_name TEXT, message TEXT,
                state TEXT, first_seen DATETIME);
             WITH RECURSIVE n (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < 11)
                INSERT INTO metric_observations (metric_name, value, observed_at)
                SELECT 'avg_confidence', 0.5 + x / 100.0, datetime('2999-01-01', '+' || (x * 2) || ' hours') FROM n;
             INSERT INTO metric_observations (metric_name, value, observed_at) VALUES
                ('validation_velocity', 1, '2999-01-01 00:00:00');",
        )
        .expect("they can be made");
    let text = shown();
    assert!(text.contains("⏳ Bootstrap mode: Collecting baseline data (13/30 samples)\n"), "{text}");
    assert!(text.contains("   Progress: 13/30 samples (~4 more queries needed)\n"), "{text}");
    assert!(text.contains("  avg_confidence: ↑ increasing (confidence: high, 22.0h spread)\n"), "{text}");
    assert!(text.contains("  validation_velocity: (insufficient data - 1/10 samples)\n"), "{text}");
    database(&home)
        .execute_batch(
            "INSERT INTO meta_alerts (alert_type, severity, message, state) VALUES
                ('confidence_decline', 'warning', 'It falls', 'new'), ('old', 'info', 'x', 'resolved');",
        )
        .expect("it can be inserted");
    let text = shown();
    assert!(text.contains("🟡 [WARNING] confidence_decline\n   It falls\n"), "{text}");
    assert!(text.ends_with("\n⚠️  1 active alert(s) in database\n") && !text.contains("[INFO]"), "{text}");
}

#[test]
fn later_versions_of_the_framework_add_plans_and_heuristics_of_a_folder() {
    let home = adopted(HOME);
    let folder = home.user().canonicalize().expect("it is there");
    database(&home)
        .execute_batch(
            "CREATE TABLE plans (id INTEGER PRIMARY KEY, task_id TEXT, title TEXT, description TEXT, approach TEXT, risks TEXT,
                expected_outcome TEXT, domain TEXT, status TEXT, created_at DATETIME);
             CREATE TABLE postmortems (id INTEGER PRIMARY KEY, plan_id INTEGER, title TEXT, actual_outcome TEXT,
                divergences TEXT, went_well TEXT, went_wrong TEXT, lessons TEXT, domain TEXT, created_at DATETIME);
             INSERT INTO plans (id, task_id, title, approach, domain, status) VALUES
                (1, 'T1', 'Move to WAL', 'One table at a time', 'ci', 'active'), (2, NULL, 'Done', NULL, 'ci', 'completed');
             INSERT INTO postmortems (plan_id, title, actual_outcome, lessons) VALUES (2, 'It went well', 'Faster', 'Measure');
             ALTER TABLE heuristics ADD COLUMN project_path TEXT;",
        )
        .expect("they can be made");
    let insert =
        "INSERT INTO heuristics (domain, rule, project_path, created_at) VALUES ('ci', ?1, ?2, '2025-12-01 00:00:00')";
    for (rule, path) in [("Kept here", folder.to_str()), ("Kept elsewhere", Some("/elsewhere"))] {
        database(&home).execute(insert, rusqlite::params![rule, path]).expect("it can be inserted");
    }
    let text = query(&home, &["--context"]).exits(0).stdout;
    let plan = "\n## Active Plans\n\n- **Move to WAL** (task: T1)\n  Domain: ci\n  Approach: One table at a time\n";
    let postmortem =
        "\n## Recent Postmortems\n\n- **It went well** [Plan: Done]\n  Outcome: Faster\n  Lessons: Measure\n";
    assert!(text.contains(plan) && text.contains(postmortem), "{text}");
    let here = |flags: &[&str]| home.cmd(["query"].iter().chain(flags)).folder(&folder).run().exits(0).stdout;
    for text in [here(&["--context"]), here(&["--domain", "ci"])] {
        assert!(text.contains("Kept here") && !text.contains("Kept elsewhere"), "{text}");
    }
}
