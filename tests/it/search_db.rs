//! The search database as a target: whatever is done to it, or found in its place, no command fails, and it is never
//! wrong for longer than until the next one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use rusqlite::TransactionBehavior;
use serde_json::Value;

use crate::support::{
    Git, Receipt, SEARCH, SearchDb, Tables, TestHome, Worker, assert_exactly_once, assert_search_agrees, framework,
    has_strace, in_parallel, opened_search, wait_for,
};

/// A home with records that are committed and searched, and one that is not.
fn lived() -> (TestHome, Vec<Receipt>) {
    let home = TestHome::new();
    let mut receipts = home.record_each("settled");
    home.flush();
    assert_search_agrees(&home, true);
    receipts.push(home.record("failure", "pending"));
    (home, receipts)
}

fn search_files(home: &TestHome) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| home.join(&format!("{SEARCH}{end}")))
}

fn without_search(home: &TestHome) {
    for file in search_files(home) {
        let _ = fs::remove_file(file);
    }
}

fn change(home: &TestHome, sql: &str) {
    opened_search(home).execute_batch(sql).expect("it can be changed");
}

/// What `status` says of search.
fn status(home: &TestHome) -> Value {
    home.status()["search"].clone()
}

/// Writes `bytes` in place of the search database.
fn replace(home: &TestHome, bytes: &[u8]) {
    without_search(home);
    fs::write(home.join(SEARCH), bytes).expect("it can be written");
}

#[test]
fn after_many_commits_search_is_left_to_the_next_run() {
    let home = TestHome::new();
    let lines: String =
        (0..2_001).map(|n| format!("{{\"kind\":\"success\",\"title\":\"t {n}\",\"domain\":\"d\"}}\n")).collect();
    let _ = home.cmd(["record", "batch"]).stdin(lines).ok();
    let outcome = home.cmd(["flush"]).ok();
    assert!(outcome.stdout.contains("search is not up to date yet"), "{outcome}");
    assert_eq!(home.status()["search"]["state"], "none");
    let outcome = home.cmd(["flush"]).ok();
    assert!(!outcome.stdout.contains("search"), "{outcome}");
    assert_search_agrees(&home, true);
}

#[test]
fn whatever_becomes_of_it_the_next_command_makes_it_right() {
    type Spoil = (&'static str, fn(&TestHome));
    let spoils: [Spoil; 15] = [
        ("gone", without_search),
        ("only its log gone", |home| fs::remove_file(&search_files(home)[1]).expect("it is there")),
        ("empty", |home| replace(home, b"")),
        ("garbage", |home| replace(home, &[7; 40_000])),
        ("cut", |home| {
            let bytes = fs::read(home.join(SEARCH)).expect("it is there");
            replace(home, &bytes[..bytes.len() / 2]);
        }),
        ("of another version", |home| change(home, "UPDATE meta SET value = 999 WHERE name = 'schema'")),
        ("of the version before", |home| change(home, "UPDATE meta SET value = value - 1 WHERE name = 'schema'")),
        ("of another index", |home| change(home, "UPDATE meta SET value = 'another' WHERE name = 'index'")),
        ("ahead of the index", |home| change(home, "UPDATE meta SET value = value + 1000 WHERE name = 'seq'")),
        ("of another line", |home| change(home, "UPDATE meta SET value = 'x' WHERE name = 'seq_of'")),
        ("without a watermark", |home| change(home, "DELETE FROM meta WHERE name = 'seq'")),
        ("with a strange watermark", |home| change(home, "UPDATE meta SET value = x'00ff' WHERE name = 'seq'")),
        ("without a table", |home| change(home, "DROP TABLE docs")),
        ("a link", |home| {
            let there = home.user().join("theirs");
            fs::rename(home.join(SEARCH), &there).expect("it can be moved");
            without_search(home);
            symlink(&there, home.join(SEARCH)).expect("a link can be made");
        }),
        ("with another name elsewhere", |home| {
            fs::hard_link(home.join(SEARCH), home.user().join("theirs")).expect("a link can be made");
        }),
    ];
    for command in ["flush", "recover", "repair"] {
        let (home, mut receipts) = lived();
        for (what, spoil) in spoils {
            eprintln!("{what}, then {command}");
            spoil(&home);
            let theirs = fs::read(home.user().join("theirs")).ok();
            let _ = home.verify().exits(0);
            let _ = home.cmd([command]).ok();
            assert_search_agrees(&home, true);
            assert_eq!(status(&home)["state"], "current");
            assert_eq!(fs::read(home.user().join("theirs")).ok(), theirs, "what is not ours was changed");
            let _ = fs::remove_file(home.user().join("theirs"));
            receipts.push(home.record("failure", what));
        }
        home.flush();
        assert_exactly_once(&home, &receipts);
    }
}

#[test]
fn damage_within_it_is_found_by_repair() {
    let (home, _receipts) = lived();
    home.flush();
    without_logs(&home);
    let mut bytes = fs::read(home.join(SEARCH)).expect("it is there");
    // Every page but the first, which has the schema.
    bytes[16_384..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(home.join(SEARCH), &bytes).expect("it can be written");
    let verified = home.cmd(["verify", "--json"]).run().exits(0).json();
    assert_eq!(verified["search"]["state"], "none", "{verified}");
    let said = home.cmd(["verify"]).run().exits(0).stdout;
    assert!(said.lines().last().is_some_and(|line| line.starts_with("notice: search: ")), "{said}");
    let _ = home.cmd(["repair"]).ok();
    assert_search_agrees(&home, true);
}

/// Removes the empty log and the shared memory, as if nothing had ever had the database open.
fn without_logs(home: &TestHome) {
    let [_, log, shared] = search_files(home);
    assert_eq!(fs::metadata(&log).map_or(0, |it| it.len()), 0, "a command leaves an empty log");
    for file in [log, shared] {
        let _ = fs::remove_file(file);
    }
}

#[test]
fn an_older_one_is_made_right() {
    let (home, _receipts) = lived();
    let older = fs::read(home.join(SEARCH)).expect("it is there");
    let _ = home.record_each("since then");
    home.flush();
    replace(&home, &older);
    assert_search_agrees(&home, false);
    home.flush();
    assert_search_agrees(&home, true);
    // Beside a worker, which trims the feed now and then: its line is still there.
    let _worker = Worker::quick(&home);
    let receipt = home.record("failure", "beside a worker");
    wait_for("search to have it", || SearchDb::read(&home)?.docs.contains_key(&receipt.id).then_some(()));
    assert_search_agrees(&home, false);
}

#[test]
fn a_restored_index_voids_it() {
    let (home, _receipts) = lived();
    home.flush();
    let paths = ["memory/index.db", "memory/index.db-wal"].map(|path| home.join(path));
    let older = paths.clone().map(|path| fs::read(path).expect("it is there"));
    let receipts = home.record_each("since then");
    home.flush();
    let _ = fs::remove_file(home.join("memory/index.db-shm"));
    for (path, bytes) in paths.iter().zip(older) {
        fs::write(path, bytes).expect("it can be written");
    }
    home.recover_fully();
    let search = SearchDb::read(&home).expect("it is there");
    for receipt in &receipts {
        assert!(search.docs.contains_key(&receipt.id), "{receipt:?} is not found");
    }
}

#[test]
fn a_folder_in_its_place_is_no_failure_and_is_told() {
    for name in [SEARCH.to_owned(), format!("{SEARCH}-wal")] {
        eprintln!("{name}");
        let (home, mut receipts) = lived();
        without_search(&home);
        let place = home.join(&name);
        fs::create_dir(&place).expect("it can be made");
        fs::write(place.join("theirs"), "x").expect("it can be written");
        home.flush();
        let _ = home.recover();
        let told = status(&home);
        assert!(told["error"].as_str().is_some_and(|error| error.contains("folder")), "{told}");
        let _ = home.verify().exits(0);
        let _ = home.cmd(["status", "--check"]).run().exits(0);
        // A worker goes on as well, and notices when the place is free.
        let mut worker = Worker::quick(&home);
        receipts.push(home.record("failure", "beside a folder"));
        worker.wait_until_committed(&home);
        wait_for("the worker to tell", || {
            let published = home.status()["published"].clone();
            (published["counts"]["search_failures"].as_u64()? > 0 && !published["search_error"].is_null()).then_some(())
        });
        assert!(worker.is_running(), "{}", worker.said());
        fs::remove_dir_all(&place).expect("it can be removed");
        wait_for("search to be up to date", || (status(&home)["state"] == "current").then_some(()));
        wait_for("the worker to say so", || home.status()["published"]["search_error"].is_null().then_some(()));
        drop(worker);
        assert_search_agrees(&home, true);
        assert_exactly_once(&home, &receipts);
    }
}

#[test]
fn a_lock_on_it_and_a_full_disk_are_no_failures() {
    let (home, _receipts) = lived();
    {
        let mut search = opened_search(&home);
        let _lock = search.transaction_with_behavior(TransactionBehavior::Immediate).expect("nobody else writes");
        home.flush();
        let told = status(&home);
        assert!(told["error"].as_str().is_some_and(|error| error.contains("locked")), "{told}");
        assert_eq!(told["behind"], 1);
    }
    home.flush();
    assert_search_agrees(&home, true);
    assert!(status(&home)["error"].is_null());
    // No room, no descriptor, a disk that fails.
    for errno in [28, 24, 5] {
        for point in ["SearchBeforeCommit", "SearchBeforeMake"] {
            let _ = home.record("failure", "not searched yet");
            if point == "SearchBeforeMake" {
                without_search(&home);
            }
            let flush = home.cmd(["flush"]).env("INDELIBLE_FAIL_AT", format!("{point}={errno}"));
            assert_eq!(flush.ok().stdout, "1 record was committed\n");
            assert_ne!(status(&home)["state"], "current");
            if point == "SearchBeforeCommit" {
                assert_search_agrees(&home, false);
            }
            home.flush();
            assert_search_agrees(&home, true);
        }
    }
}

#[test]
fn what_is_retracted_leaves_it_in_the_same_batch() {
    let (home, receipts) = lived();
    home.flush();
    let retracted = &receipts[0];
    crate::changes::retract(&home, retracted);
    let _ = home.record("failure", "at the same time");
    assert!(SearchDb::read(&home).expect("it is there").docs.contains_key(&retracted.id));
    // The second thing that happens to it is that it follows.
    let _ = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", "SearchBeforeCommit:2").run().aborted();
    let search = SearchDb::read(&home).expect("it is there");
    assert!(!search.docs.contains_key(&retracted.id), "it is still found");
    assert_search_agrees(&home, false);
    home.recover_fully();
}

/// Fills a home with `count` records, without searching them.
fn filled(count: usize) -> TestHome {
    let home = TestHome::new();
    let line = |n: usize| {
        format!("{{\"kind\":\"failure\",\"title\":\"number {n}\",\"domain\":\"ci\",\"summary\":\"s{n}\"}}\n")
    };
    let lines: String = (0..count).map(line).collect();
    let _ = home.cmd(["record", "batch"]).stdin(lines).ok();
    home
}

#[test]
fn a_build_that_is_killed_goes_on_and_holds_up_no_commit() {
    let home = filled(4000);
    let mut worker = Worker::launch(&home, &["worker.age_ms=0"], &[("INDELIBLE_CRASH_AT", "SearchAfterCommit:2")]);
    let _ = worker.wait();
    let (inode, search) = (inode(&home), SearchDb::read(&home).expect("it is being built"));
    assert!(!search.is_complete && !search.docs.is_empty() && search.docs.len() < 4000, "{}", search.docs.len());
    assert_search_agrees(&home, false);
    assert_eq!(status(&home)["state"], "building");
    let worker = Worker::start(&home, &[]);
    // Commits and answers come in between.
    let record = home.record("failure", "while it is built");
    home.flush();
    assert_exactly_once(&home, &[record]);
    wait_for("search to be built", || (status(&home)["state"] == "current").then_some(()));
    drop(worker);
    assert_search_agrees(&home, true);
    assert_eq!(self::inode(&home), inode, "it was begun again");
}

/// A word of a text that is the same in every run: some of them very often, many of them hardly ever.
fn word(random: &mut u64) -> String {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let share = (*random >> 40) as f64 / (1_u64 << 24) as f64;
    let mut rank = (20_000_f64.powf(share) as u64).max(1);
    let mut word = String::new();
    while rank > 0 {
        word.push_str(["ba", "cor", "de", "fin", "gu", "hol", "ki"][rank as usize % 7]);
        rank /= 7;
    }
    word
}

#[test]
fn it_stays_small_beside_the_text() {
    let home = TestHome::new();
    let (mut random, mut text) = (1, 0);
    let mut fill = |records: usize| {
        let line = |_| {
            let mut words = |count| (0..count).map(|_| word(&mut random)).collect::<Vec<_>>().join(" ");
            let (title, summary) = (words(8), words(90));
            text += title.len() + summary.len();
            serde_json::json!({"kind": "failure", "title": title, "domain": "ci", "tags": "a,b", "summary": summary})
                .to_string()
                + "\n"
        };
        let lines: String = (0..records).map(line).collect();
        let _ = home.cmd(["record", "batch"]).stdin(lines).ok();
        let _ = home.cmd(["recover"]).ok();
        assert_eq!(status(&home)["state"], "current");
        let bytes = fs::metadata(home.join(SEARCH)).expect("it is there").len();
        assert!(bytes as f64 <= 1.2 * text as f64, "{bytes} bytes for {text} bytes of text");
        let number = |sql: &str| opened_search(&home).query_row(sql, [], |row| row.get::<_, i64>(0)).expect("readable");
        let (pages, free) = (number("PRAGMA page_count"), number("PRAGMA freelist_count"));
        assert!(free <= 4 + pages / 32, "{free} of {pages} pages are free");
        assert_eq!(number("SELECT value FROM meta WHERE name = 'merging'"), 0, "it is not merged to the end");
        assert!(number("SELECT count(DISTINCT segid) FROM text_idx") <= 2, "it is not merged");
    };
    fill(2_000);
    fill(2_000);
    // A merge that was cut off goes on.
    change(&home, "INSERT OR REPLACE INTO meta VALUES ('merging', 1)");
    fill(1);
    assert_search_agrees(&home, true);
}

/// Without search.db rows are sifted, and the rest is as with it: the same records, the best first, also where nearly all rows have
/// some of the words.
#[test]
fn without_it_the_same_is_found() {
    let home = TestHome::new();
    let line = |title: &str, domain: &str, summary: &str| {
        serde_json::json!({"kind": "failure", "title": title, "domain": domain, "summary": summary}).to_string() + "\n"
    };
    let special = [
        line("The oldest one", "ops", "parseConfigFile fails on the common databases"),
        line("Caf\u{e9} closed", "ops", "na\u{ad}ive, C++ and 1.23; don't, the user's"),
        line("\u{4e2d}\u{6587}\u{9519}\u{8bef}", "ci", "a common thing"),
        line("vanished", "ci", "the common databases vanish"),
    ];
    let many =
        (0..1_500).map(|n| line(&format!("common number {n}"), if n % 2 == 0 { "ops" } else { "ci" }, "all common"));
    let lines: String = special.into_iter().chain(many).collect();
    let _ = home.cmd(["record", "batch"]).stdin(lines).ok();
    home.flush();
    let queries = [
        "parse_config_file",
        "parseconfigfile",
        "config",
        "database",
        "cafe",
        "naive",
        "C++",
        "1.23",
        "dont",
        "users",
        "\u{6587}\u{9519}",
        "common databases",
        "common oldest",
        "\"common databases\" -vanish",
        "common -number",
        "common kind:failure -domain:ops closed",
        "vanished",
        "nowhere",
    ];
    let found = |query: &str| -> (Vec<String>, Value) {
        let found = home.cmd(["search", "--json", "--limit", "3", query]).run().json();
        let hits = found["hits"].as_array().expect("a list").iter();
        (hits.map(|hit| hit["title"].as_str().expect("a title").to_owned()).collect(), found["looked"].clone())
    };
    let with: Vec<_> = queries.iter().map(|query| found(query).0).collect();
    assert_eq!(with.iter().filter(|titles| titles.is_empty()).count(), 1, "{with:?}");
    without_search(&home);
    for (query, with) in queries.iter().zip(with) {
        let (titles, looked) = found(query);
        // Those that have only what all have are of equal worth.
        let telling =
            |titles: &[String]| titles.iter().filter(|it| !it.starts_with("common number")).cloned().collect();
        let (titles, with): (Vec<String>, Vec<String>) = (telling(&titles), telling(&with));
        assert_eq!(titles, with, "{query}");
        assert_eq!((&looked["search"], &looked["complete"]), (&"none".into(), &true.into()), "{query}");
        assert_eq!(looked["rows_beside"], 1_504, "{query}");
    }
}

/// The commits that search.db has noted, in their order.
fn noted(home: &TestHome) -> Vec<String> {
    let search = opened_search(home);
    let mut statement = search.prepare("SELECT lower(hex(id)) FROM commits ORDER BY place").expect("it has the table");
    let names = statement.query_map([], |row| row.get(0)).expect("readable");
    names.collect::<Result<_, _>>().expect("readable")
}

/// What search.db lacks of the commits is noted, whatever it lacks: all of them, the first ones (as after a kill between two
/// slices), the last one (as after a kill between a commit and its note), or where it has others.
#[test]
fn every_commit_is_noted_also_where_search_was_made_later() {
    let home = TestHome::new();
    let receipts: Vec<Receipt> = (0..5)
        .map(|number| {
            let receipt = home.record("failure", &format!("number {number}"));
            home.flush();
            receipt
        })
        .collect();
    let history = home.git(["rev-list", "--reverse", &home.history()]).ok().stdout;
    let history: Vec<&str> = history.lines().collect();
    assert_eq!(history.len(), 5);
    type Spoil = (&'static str, fn(&TestHome));
    let spoils: [Spoil; 6] = [
        ("nothing", |_| {}),
        ("all of it", without_search),
        ("all commits", |home| change(home, "DELETE FROM commits")),
        ("the first ones", |home| {
            change(home, "DELETE FROM commits WHERE place < (SELECT max(place) - 1 FROM commits)")
        }),
        ("the last one", |home| change(home, "DELETE FROM commits WHERE place = (SELECT max(place) FROM commits)")),
        ("where it has others", |home| change(home, "UPDATE commits SET id = randomblob(20)")),
    ];
    for (what, spoil) in spoils {
        spoil(&home);
        home.flush();
        assert_eq!(noted(&home), history, "without {what}");
        for (receipt, commit) in receipts.iter().zip(&history) {
            let shown = home.cmd(["show", &receipt.id, "--json"]).ok().json();
            assert_eq!(shown["records"][0]["commit"]["commit"], *commit, "without {what}");
        }
    }
    // A worker does it as well, and a later commit goes behind them.
    change(&home, "DELETE FROM commits WHERE place < (SELECT max(place) FROM commits)");
    let worker = Worker::start(&home, &[]);
    let _ = home.record("failure", "one more");
    home.flush();
    wait_for("the commits to be noted", || (noted(&home).len() == 6).then_some(()));
    drop(worker);
    assert_eq!(noted(&home)[..5], history);
}

fn inode(home: &TestHome) -> u64 {
    fs::metadata(home.join(SEARCH)).expect("it is there").ino()
}

#[test]
fn the_feed_is_trimmed_and_does_not_grow() {
    let home = filled(1500);
    home.flush();
    let lines = || home.index().query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0));
    assert_eq!(lines().expect("readable"), 1, "a command that ends trims all but the newest line");
    assert_search_agrees(&home, true);
}

#[test]
fn it_is_private_and_no_recorder_opens_it() {
    let (home, _receipts) = lived();
    for file in search_files(&home) {
        let mode = fs::metadata(&file).expect("it is there").mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    if !has_strace() {
        return;
    }
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    for kind in crate::support::KINDS {
        let args = crate::support::record_args(kind, "traced");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let _ = home.under(&["strace", "-f", "-o", name], &args).ok();
        let text = fs::read_to_string(&trace).expect("strace has written it");
        assert!(text.contains("index.db") && !text.contains("search.db"), "a recorder looks at search: {text}");
    }
}

#[test]
fn release_removes_it() {
    let home = framework(Tables::Usual, Git::Clean, 3);
    let path = home.path().to_str().expect("the temporary folder's name is UTF-8");
    let _ = home.homeless(["adopt", path, "--yes"]).ok();
    let _ = home.record("failure", "adopted");
    home.flush();
    assert!(home.join(SEARCH).exists());
    let _ = home.homeless(["release", path, "--yes"]).ok();
    let left: Vec<_> = search_files(&home).into_iter().filter(|file| file.exists()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Twenty searches at once, beside two hundred recorders and a worker that commits and follows: each finds what was
/// recorded before it began.
#[test]
fn searches_beside_recorders_and_a_worker() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    let known = home.record("failure", "zanzibar cache");
    in_parallel(220, 40, |number| {
        if number % 11 != 0 {
            let _ = home.record("failure", &format!("beside number {number}"));
            return;
        }
        let own = home.record("failure", &format!("searched word{number}x"));
        for (words, receipt) in [("zanzibar", &known), (&*format!("word{number}x"), &own)] {
            let found = home.cmd(["search", words, "--json"]).ok().json();
            let ids: Vec<_> = found["hits"].as_array().expect("hits").iter().map(|hit| hit["id"].clone()).collect();
            assert!(ids.contains(&receipt.id.clone().into()), "{words} is not found: {found}");
        }
    });
    worker.wait_until_committed(&home);
    wait_for("search to be up to date", || (status(&home)["state"] == "current").then_some(()));
    drop(worker);
    assert_search_agrees(&home, true);
}
