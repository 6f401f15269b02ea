//! A failure that comes again: one record, one verdict a day, and counts, through the built binary, whatever died in between.

use std::fs;

use indelible::fs::Point;
use serde_json::{Value, json};

use crate::clock::Shim;
use crate::known::{counts, explained, failed, fixture, moved_value, project, push, solve, telling, told};
use crate::support::{Cmd, Stores, TestHome, assert_exactly_once, has_strace, in_parallel};

/// How many records there are of `kind`.
#[track_caller]
fn count(home: &TestHome, kind: &str) -> usize {
    home.cmd(["list", kind, "--json"]).ok().json()["records"].as_array().expect("a list").len()
}

/// The id of the only failure.
#[track_caller]
fn failure(home: &TestHome) -> String {
    assert_eq!(count(home, "failure"), 1);
    home.cmd(["list", "failure", "--json"]).ok().json()["records"][0]["id"].as_str().expect("an id").to_owned()
}

/// How often the only failure came again, and what the only verdict says.
#[track_caller]
fn again(home: &TestHome) -> (Value, String) {
    let shown = home.cmd(["show", &failure(home), "--json"]).ok().json();
    let verdicts = shown["records"][0]["verdicts"].as_array().expect("a list").clone();
    assert_eq!(verdicts.len(), 1, "{verdicts:#?}");
    assert_eq!(verdicts[0]["verdict"], "again");
    (shown["records"][0]["again"].clone(), verdicts[0]["because"].as_str().expect("a text").to_owned())
}

fn tallies(home: &TestHome) -> usize {
    let entries = fs::read_dir(home.join(".indelible")).expect("it is there").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("again-")).count()
}

fn remove_index(home: &TestHome) {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(home.join("memory").join(file));
    }
}

/// `event`, whose output has this line besides.
fn with_line(mut event: Value, line: &str) -> Value {
    event["error"] = json!(format!("{}\nhint: {line}", event["error"].as_str().expect("a text")));
    event
}

#[test]
fn it_is_one_record_a_verdict_a_day_and_counts() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let shim = Shim::new();
    let hook = |days: i64, event: &Value| {
        let _ = shim.on(&format!("-{}", days * 86_400), home.cmd(["hook"]).stdin(event.to_string())).ok();
    };
    let flush = |days: i64| drop(shim.on(&format!("-{}", days * 86_400), home.cmd(["flush"])).ok());
    let first = push("first", &folder);
    for _ in 0..2 {
        // As two copies of one hook send it: it did not come again.
        hook(3, &first);
    }
    // Before any worker has seen it, the session knows its own failure.
    hook(3, &push("first", &folder));
    flush(3);
    assert_eq!((count(&home, "failure"), count(&home, "verdict")), (1, 0), "in one session it is only counted");
    let second = with_line(push("second", &folder), "the second one");
    for _ in 0..2 {
        hook(3, &second);
    }
    flush(3);
    assert_eq!((count(&home, "failure"), count(&home, "verdict")), (1, 1));
    let (times, because) = again(&home);
    assert_eq!(times, 1);
    assert!(because.starts_with("git push: ") && because.contains("\nhint: the second one\n"), "{because}");
    for session in 0..30 {
        hook(3, &with_line(push(&format!("later {session}"), &folder), &format!("number {session}")));
    }
    flush(3);
    assert_eq!((again(&home), tallies(&home)), ((json!(1), because.clone()), 1), "the day is not over");
    home.flush();
    let (times, counted) = again(&home);
    // The second time of the first session, the second session, and thirty more.
    assert_eq!((times, tallies(&home)), (json!(32), 0));
    assert!(counted.starts_with(&format!("Recorded 32 times on this day.\n\n{}", because.trim_end())), "{counted}");
    let last = counted.split("\n\nThe last of these times:\n\n").nth(1).expect("it came with another text");
    assert!(last.starts_with("git push: ") && last.contains("\nhint: number 29\n"), "{last}");
    assert_eq!(counted.matches("hint: number").count(), 1, "{counted}");

    let said = |home: &TestHome| {
        let recalled = home.cmd(["recall", "--command", "git push", "--json"]).ok().json();
        let pack = home.cmd(["context"]).folder(&folder).ok().stdout;
        (explained(home, &push("another", &folder)), recalled, pack, again(home))
    };
    let before = said(&home);
    assert!(before.0.contains("33 times, in at least 2 other sessions ("), "{}", before.0);
    assert!(before.0.contains("as a verdict that "), "{}", before.0);
    assert_eq!((&before.1["count"], &before.1["sessions"]), (&json!(33), &json!(2)), "{:#}", before.1);
    assert_eq!(before.1["times"][0]["again"]["session"], "second", "{:#}", before.1);
    assert!(before.2.contains(" (33 times in 2 sessions, "), "{}", before.2);
    // From the files alone it is the same.
    remove_index(&home);
    home.recover_fully();
    home.flush();
    assert_eq!(said(&home), before);
    assert_exactly_once(&home, &[]);
}

#[test]
fn what_a_session_alone_saw_again_gets_a_verdict_when_the_day_is_over_and_once() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let shim = Shim::new();
    let on_that_day = |command: Cmd| shim.on(&format!("-{}", 2 * 86_400), command).ok();
    for number in 0..4 {
        let event = with_line(push("only", &folder), &format!("number {number}"));
        let _ = on_that_day(home.cmd(["hook"]).stdin(event.to_string()));
        if number == 1 {
            let _ = on_that_day(home.cmd(["flush"]));
        }
    }
    let _ = on_that_day(home.cmd(["flush"]));
    let tally = fs::read_dir(home.join(".indelible")).expect("it is there").flatten();
    let tally = tally.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("again-")).expect("one");
    let counted = fs::read(&tally).expect("it is there");
    assert_eq!((count(&home, "failure"), count(&home, "verdict")), (1, 0));
    home.flush();
    let before = again(&home);
    assert_eq!(before.0, 3);
    assert!(before.1.starts_with("Recorded 3 times on this day.\n\ngit push: "), "{}", before.1);
    assert!(before.1.contains("hint: number 3\n"), "{}", before.1);
    // Killed between the append and the removal, the tally is there still.
    let commits = || home.git(["rev-list", "--count", "--all"]).ok().stdout;
    let commits_before = commits();
    fs::write(&tally, &counted).expect("written");
    home.flush();
    assert_eq!((again(&home), tallies(&home), commits()), (before.clone(), 0, commits_before));
    remove_index(&home);
    home.recover_fully();
    assert_eq!(again(&home), before);
    // One session has seen it: nothing to tell to others but that.
    home.flush();
    let text = explained(&home, &push("other", &folder));
    assert!(text.contains("4 times, in at least 1 other session (only), all on "), "{text}");
}

#[test]
fn garbage_in_a_tally_makes_no_verdict() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    let (failure, none) = (failure(&home), "01980000-0000-7000-8000-000000000000");
    let rule = home.record("heuristic", "rule").id;
    home.flush();
    let said = |of: &str, key: &str| json!({ "key": key, "of": of, "at": "2026-01-02T03:04:05Z", "because": "b" });
    let line = |said: Value| format!("\n{none} {none} {said}\n");
    let key = format!("again {failure} x 2026-01-02");
    let lines = [line(said(&failure, &key)), line(said(none, "k")), line(said(&rule, "k")), line(json!([1]))];
    fs::write(home.join(".indelible/again-2026-01-02.tally"), lines.concat()).expect("written");
    home.flush();
    assert_eq!((count(&home, "verdict"), tallies(&home)), (0, 0), "no key has that id");
    home.assert_settled();
}

#[test]
fn a_success_names_the_record_each_time() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &moved_value(&folder, "first")), "");
    home.flush();
    for number in 1..=2 {
        let _ = told(&home, &moved_value(&folder, "second"));
        solve(&home, &folder, "second");
        assert_eq!((count(&home, "failure"), count(&home, "success")), (1, number));
    }
    let listed = home.cmd(["list", "success", "--json"]).ok().json();
    let failure = failure(&home);
    assert!(listed["records"].as_array().expect("a list").iter().all(|it| it["resolves"] == *failure), "{listed:#}");
    let text = explained(&home, &moved_value(&folder, "third"));
    assert!(text.contains("worked later in that session, after 1 step: edited `src/cart.rs`."), "{text}");
    assert_eq!(counts(&home)["skipped_by"]["came-again"], 1, "the second time in a session");
}

#[test]
fn without_its_first_record_it_is_a_new_one() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    assert_ne!(told(&home, &push("second", &folder)), "");
    home.flush();
    let _ = home.cmd(["retract", &failure(&home)]).ok();
    home.flush();
    assert!(explained(&home, &push("third", &folder)).contains("nothing is known of it"));
    assert_eq!(told(&home, &push("third", &folder)), "");
    home.flush();
    assert_eq!(count(&home, "failure"), 1);
    let text = explained(&home, &push("fourth", &folder));
    assert!(text.contains("have this failure once, in another session (third)"), "{text}");
    home.recover_fully();
}

#[test]
fn many_sessions_at_once_make_one_verdict() {
    let home = telling();
    let folder = project(&home, "o/shop");
    assert_eq!(told(&home, &push("first", &folder)), "");
    home.flush();
    in_parallel(40, 8, |number| {
        // Each session's hook is installed twice.
        let event = push(&format!("session {}", number / 2), &folder);
        let mut event = event;
        event["tool_use_id"] = json!(format!("toolu_{}", number / 2));
        let _ = home.cmd(["hook"]).stdin(event.to_string()).run().exits(0);
    });
    home.flush();
    assert_eq!((count(&home, "failure"), again(&home).0), (1, json!(1)));
    let tally = fs::read_dir(home.join(".indelible")).expect("it is there").flatten();
    let tally = tally.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("again-")).expect("one");
    let day = tally.with_file_name("again-2026-01-02.tally");
    fs::rename(tally, day).expect("it can be renamed");
    home.flush();
    assert_eq!(again(&home).0, 20, "both copies of a hook count once");
    assert_exactly_once(&home, &[]);
}

#[test]
fn a_hook_that_died_anywhere_leaves_one_verdict_or_none() {
    for (point, is_kept) in [
        (Point::AppendBeforeWrite, Some(false)),
        (Point::AppendShortWrite, Some(false)),
        (Point::AppendBeforeSync, None),
        (Point::AppendAfterSync, Some(true)),
    ] {
        let home = telling();
        let folder = project(&home, "o/shop");
        assert_eq!(told(&home, &push("first", &folder)), "");
        home.flush();
        let event = push("second", &folder).to_string();
        let _ = home.cmd(["hook"]).stdin(event.as_str()).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        home.recover_fully();
        let kept = Stores::read(&home).named("again").len();
        assert!(kept <= 1 && is_kept.is_none_or(|is_kept| kept == usize::from(is_kept)), "{point:?}: {kept}");
        // The host sends it once more.
        let _ = home.cmd(["hook"]).stdin(event).run().exits(0);
        home.recover_fully();
        assert_eq!((count(&home, "failure"), count(&home, "verdict")), (1, 1), "{point:?}");
        assert_exactly_once(&home, &[]);
    }
}

#[test]
fn it_costs_one_sync_or_none_and_no_index() {
    if !has_strace() {
        return;
    }
    let home = telling();
    let folder = project(&home, "o/shop");
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("UTF-8");
    let calls = "trace=open,openat,openat2,fsync,fdatasync,sync_file_range,msync,syncfs";
    let traced = |event: &Value| {
        let _ = home.under(&["strace", "-f", "-o", name, "-e", calls], &["hook"]).stdin(event.to_string()).ok();
        let text = fs::read_to_string(&trace).expect("it was written");
        assert!(!text.contains("index.db"), "a hook opens no index: {text}");
        (text.matches("sync(").count(), text.matches("known.bin").count())
    };
    assert_eq!(traced(&push("first", &folder)), (1, 1));
    assert_eq!(traced(&push("first", &folder)), (0, 1), "counted: its session has it");
    home.flush();
    assert_eq!(traced(&push("second", &folder)), (1, 1), "the day's verdict");
    home.flush();
    assert_eq!(traced(&push("third", &folder)), (0, 1), "counted: the day has its verdict");
    assert_eq!(traced(&fixture("claude/PostToolUse-quiet")), (0, 0));
}

#[test]
fn what_is_erased_is_in_no_tally() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let secret = "the word is xylophone-4711-quince";
    assert_eq!(told(&home, &with_line(push("first", &folder), secret)), "");
    home.flush();
    let _ = told(&home, &with_line(push("first", &folder), secret));
    assert_eq!((count(&home, "failure"), tallies(&home)), (1, 1));
    let _ = home.cmd(["erase", &failure(&home), "--yes"]).ok();
    assert_eq!((count(&home, "failure"), tallies(&home)), (0, 0));
    crate::erase::assert_nowhere(&home, &[secret]);
}

#[test]
fn what_has_no_signature_joins_only_if_it_says_nothing() {
    let home = telling();
    let folder = project(&home, "o/shop");
    let check = |session: &str, output: &str| told(&home, &failed(session, &folder, "./check --all", output));
    assert_eq!(check("first", "Exit code 1"), "");
    home.flush();
    assert_ne!(check("second", "Exit code 1\n"), "");
    home.flush();
    assert_eq!((count(&home, "failure"), count(&home, "verdict")), (1, 1));
    assert_ne!(check("third", "Exit code 1\na\nb\nc\nd\n./one.txt differs"), "");
    assert_eq!(check("third", "Exit code 1\na\nb\nc\nd\n./two.txt differs"), "");
    home.flush();
    assert_eq!((count(&home, "failure"), count(&home, "verdict")), (3, 1), "each has an output of its own");
}
