//! What is found, where many records have the words: the newest of equals, whatever store has them.

use serde_json::Value;

use crate::support::{TestHome, Worker};

/// Records `lines` at once.
fn batch(home: &TestHome, lines: impl Iterator<Item = String>) {
    let _ = home.cmd(["record", "batch", "--quiet"]).stdin(lines.collect::<String>()).ok();
}

/// The titles that a search finds, the best first.
fn found(home: &TestHome, args: &[&str]) -> Vec<String> {
    let outcome = home.cmd([&["search", "--limit", "0", "--jsonl"], args].concat()).run();
    let hits = outcome.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    hits.map(|hit| hit["title"].as_str().expect("it has one").to_owned()).collect()
}

/// Each of `titles` ends in a number, and none is less than `least`: of one millisecond there are many.
fn assert_newest(titles: &[String], least: u32) {
    let number = |title: &String| title.rsplit(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0_u32);
    let first = titles.iter().map(number).min();
    assert!(first.is_some_and(|first| first >= least), "{first:?} is found");
}

#[test]
fn of_many_equals_the_newest_are_found_at_once() {
    let home = TestHome::new();
    let line = |n: u32| {
        format!("{{\"kind\":\"failure\",\"title\":\"widget broke {n}\",\"domain\":\"ci\",\"key\":\"k{n}\"}}\n")
    };
    batch(&home, (0..2_300).map(line));
    let _ = home.record("failure", "widget broke 9999");
    let assert_newest_found = || {
        let found = found(&home, &["widget"]);
        assert!(found.contains(&"widget broke 9999".to_owned()));
        assert_eq!(found.len(), 400);
        assert_newest(&found, 1_800);
    };
    assert_newest_found();
    // While search.db is being built, the rest is read beside it. The ids of records with keys say nothing of their age.
    let mut worker = Worker::launch(&home, &["worker.age_ms=0"], &[("INDELIBLE_CRASH_AT", "SearchAfterCommit:1")]);
    let _ = worker.wait();
    assert_eq!(home.status()["search"]["state"], "building");
    assert_newest_found();
    // All records are looked at, and each once.
    assert_eq!(found(&home, &["\"broke 7\""])[0], "widget broke 7");
    assert_eq!(found(&home, &["\"broke 2299\""])[0], "widget broke 2299");
    while home.status()["search"]["state"] != "current" {
        home.flush();
    }
    assert_newest_found();
}

/// A state is looked for: what is in it is found however many other records have the words.
#[test]
fn records_in_a_state_are_found_among_many_with_the_words() {
    let home = TestHome::new();
    let ended = home.record("experiment", "widget experiment");
    let _ = home.cmd(["record", "outcome", &ended.id, "--result", "success", "--summary", "it held"]).ok();
    let retired = home.record("heuristic", "widget pinned");
    let _ = home.cmd(["retire", &retired.id]).ok();
    let _ = home.record("heuristic", "widget loose");
    let _ = home.record("heuristic", "widget golden");
    home.flush();
    let golden = "UPDATE heuristics SET is_golden = 1 WHERE rule = 'widget golden'";
    home.index().execute_batch(golden).expect("it is taken");
    batch(
        &home,
        (0..1_500).map(|n| format!("{{\"kind\":\"failure\",\"title\":\"widget broke {n}\",\"domain\":\"ci\"}}\n")),
    );
    let assert_found = || {
        for (state, title) in
            [("success", "widget experiment"), ("retired", "widget pinned"), ("golden", "widget golden")]
        {
            assert_eq!(found(&home, &["--state", state, "widget"]), [title]);
            let typed = format!("state:{state}");
            assert_eq!(found(&home, &[&typed, "widget"]), [title]);
            assert_eq!(found(&home, &[&typed, "nothing"]), [""; 0]);
        }
        assert_eq!(found(&home, &["state:retired,success", "widget"]).len(), 2);
        assert_eq!(found(&home, &["--state", "retired", "state:success", "widget"]), [""; 0]);
        assert_eq!(found(&home, &["-state:active", "widget"]).len(), 3);
        assert_eq!(found(&home, &["-state:retired", "kind:heuristic", "widget"]).len(), 2);
        let active = found(&home, &["state:active", "widget"]);
        assert!(active.len() >= 400 && !active.contains(&"widget pinned".to_owned()));
    };
    assert_found();
    while home.status()["search"]["state"] != "current" {
        home.flush();
    }
    assert_found();
    let outcome = home.cmd(["search", "state:retracted", "widget"]).run().exits(65);
    assert!(
        outcome.stderr.contains("\"retracted\" is unknown") && !outcome.stderr.contains("mean retracted"),
        "{outcome}"
    );
    // Without the index no verdict is known, which is said.
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE theirs (x)").expect("it is free");
    for args in [["--state", "retired"], ["--", "state:retired"]] {
        let outcome = home.cmd([&["search"], &args[..], &["widget"]].concat()).run().exits(1);
        assert!(outcome.stderr.contains("hardly a rule is known to be"), "{outcome}");
    }
}

/// What is typed counts, or it is said that it does not.
#[test]
fn nothing_that_is_typed_is_dropped_in_silence() {
    let home = TestHome::new();
    for title in ["alpha", "alpha gamma", "alpha delta"] {
        let _ = home.record("failure", title);
    }
    let domain = home.cmd(["list", "--limit", "1", "--json"]).ok().json()["records"][0]["domain"].clone();
    let domain = domain.as_str().expect("it has one");
    let many = |count: usize| -> String { (0..count).map(|n| format!("x{n},")).collect::<String>() + domain };
    assert_eq!(home.cmd(["list", "--json", "--domain", &many(70)]).ok().json()["count"], 3);
    assert_eq!(found(&home, &[&format!("domain:{}", many(70)), "alpha"]).len(), 3);
    for args in [&["list", "--domain", &many(500)][..], &["search", &format!("domain:{}", many(500)), "alpha"]] {
        let outcome = home.cmd(args).run().exits(65);
        assert!(outcome.stderr.contains("is one too many: a filter takes 500 values"), "{outcome}");
    }
    let words = |count: usize, sign: &str| -> String { (0..count).map(|n| format!("{sign}zzz{n} ")).collect() };
    assert_eq!(found(&home, &["--", &format!("alpha {} -gamma", words(20, "-"))]).len(), 2);
    let filters: String = (0..20).map(|n| format!("-domain:y{n} ")).collect();
    assert_eq!(found(&home, &["--", &format!("alpha {filters} -kind:failure")]), [""; 0]);
    // A filter is not cut in its middle.
    assert_ne!(home.cmd(["search", &("a ".repeat(32_763) + "kind:failure")]).run().code(), Some(65));
    let many = format!("{}alpha", words(80, ""));
    for query in [&many, &format!("alpha {}", words(70, "-"))] {
        let outcome = home.cmd(["search", "--", query]).run();
        assert!(outcome.stderr.contains("some of it was not looked at"), "{outcome}");
    }
    // search.db knows which words there are: the others take no room from them.
    while home.status()["search"]["state"] != "current" {
        home.flush();
    }
    assert_eq!(found(&home, &[&many]).len(), 3);
    assert_eq!(home.cmd(["search", &many]).ok().stderr, "");
    // So do records that it has not yet.
    let _ = home.record("failure", "quokka");
    assert_eq!(found(&home, &[&format!("{}quokka", words(80, ""))]), ["quokka"]);
    for query in ["???", "*", "''", ""] {
        let outcome = home.cmd(["search", query]).run().exits(1);
        assert!(outcome.stderr.contains("no word in it to look for"), "{outcome}");
    }
    assert_eq!(found(&home, &["kind:failure", "???"]).len(), 4);
}

/// All that is known is said, also beside data.
#[test]
fn notes_are_beside_the_data_or_in_it() {
    let home = TestHome::new();
    let _ = home.record("failure", "alpha");
    let index = home.index();
    index.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE theirs (x)").expect("it is free");
    for args in [&["list", "--csv"][..], &["list", "--jsonl"], &["search", "alpha", "--jsonl"]] {
        for args in [args.to_vec(), [args, &["--json"]].concat()] {
            let outcome = home.cmd(args).ok();
            assert!(outcome.stderr.contains("another program has locked the index"), "{outcome}");
        }
    }
    for args in [&["list", "--json"][..], &["search", "alpha", "--json"]] {
        let outcome = home.cmd(args).ok();
        assert_eq!(outcome.stderr, "");
        assert!(outcome.stdout.contains("another program has locked the index"), "{outcome}");
    }
}

/// Of so many golden rules not all are looked at, which is said.
#[test]
fn a_state_of_very_many_records_is_said_to_be_too_large() {
    let home = TestHome::new();
    let line = |n| format!("{{\"kind\":\"heuristic\",\"rule\":\"widget {n}\",\"domain\":\"ci\"}}\n");
    batch(&home, (0..5_100).map(line));
    home.index().execute_batch("UPDATE heuristics SET is_golden = 1").expect("it is taken");
    while home.status()["search"]["state"] != "current" {
        home.flush();
    }
    // Nothing is faster with search.db.
    assert_eq!(home.cmd(["list", "verdict", "--json"]).ok().json()["notes"], serde_json::json!([]));
    let found = home.cmd(["search", "--state", "golden", "widget", "--json"]).ok().json();
    assert_eq!(found["looked"]["complete"], false, "{}", found["notes"]);
    let note = found["notes"][0].as_str().expect("there is one");
    assert!(note.contains("5,100 records in these states") && note.contains("likeliest 5,000"), "{note}");
    let found = home.cmd(["search", "--state", "retired", "widget", "--json"]).run().exits(1).json();
    assert_eq!((&found["looked"]["complete"], &found["notes"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_retired_rule_comes_last_and_is_named_so() {
    let home = TestHome::new();
    let old = home.record("heuristic", "Always pin the frobnicator version frobnicator");
    let _ = home.record("heuristic", "Pin frobnicator loosely in the manifest");
    assert_eq!(found(&home, &["frobnicator"])[0], "Always pin the frobnicator version frobnicator");
    let assert_last = || {
        let hits = home.cmd(["search", "frobnicator", "--json"]).ok().json()["hits"].clone();
        let states: Vec<_> = hits.as_array().expect("a list").iter().map(|hit| hit["state"].clone()).collect();
        assert_eq!(states, ["active", "retired"]);
        assert_eq!(hits[1]["id"], old.id.as_str());
        assert!(home.cmd(["search", "frobnicator"]).ok().stdout.contains("  retired\n"));
        assert_eq!(found(&home, &["frobnicator", "--state", "retired"]).len(), 1);
    };
    let _ = home.cmd(["retire", &old.id]).ok();
    assert_last();
    home.flush();
    assert_last();
    let _ = home.cmd(["revive", &old.id]).ok();
    assert_eq!(found(&home, &["frobnicator"])[0], "Always pin the frobnicator version frobnicator");
}
