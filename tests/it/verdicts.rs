//! What became of rules: verdicts are records like any other, and what they add to the rows of rules is there once, whatever
//! died in between, was said again, taken back, or rebuilt.

use std::fs;

use indelible::fs::Point;
use indelible::home::Home;
use indelible::hook::told_key;
use indelible::model::{Change, Level, Op, Origin, Provenance, Record, RecordId, Request, Revision, Ruling, Verdict};
use indelible::page;
use indelible::session::SessionLog;
use serde_json::{Value, json};

use crate::changes::put;
use crate::clock::Shim;
use crate::rebuild::commit_of_another_home;
use crate::support::{Receipt, Stores, TestHome, assert_exactly_once};
use crate::terminal::{Terminal, by_person};

/// A home with one rule, which is committed.
fn with_rule() -> (TestHome, Receipt) {
    let home = TestHome::new();
    let rule = home.record("heuristic", "Sync the folder");
    home.flush();
    (home, rule)
}

/// Notes that the session was told of the rule, as a hook does at its start.
fn tell(home: &TestHome, session: &str, rule: &str) {
    let private = Home::open(home.path()).expect("it is a home");
    assert!(SessionLog::of(&private, session, None).tell_once(&told_key(rule)));
}

/// Gives a verdict, and returns the answer.
#[track_caller]
fn judge(home: &TestHome, command: &str, rule: &str, args: &[&str]) -> Value {
    let line = [command, rule, "--json"];
    home.cmd(line.iter().chain(args)).ok().json()
}

/// The counts in the row of `rule`: validated, violated, golden.
fn counts(home: &TestHome, rule: &str) -> (i64, i64, i64) {
    let sql = "SELECT times_validated, times_violated, is_golden FROM heuristics
               WHERE id = (SELECT row_id FROM records WHERE id = ?1)";
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    home.index().query_row(sql, [rule], counts).expect("the rule has a row")
}

/// Retracts (2) or restores (3) the verdict `id`, as a command would.
fn change(home: &TestHome, id: &str, n: u64, path: &str) {
    let of: RecordId = id.parse().expect("an id");
    let revision = Revision { n, ..Revision::first(of).next() };
    let change = Change {
        of,
        revision,
        base: Revision::first(of),
        at: jiff::Timestamp::UNIX_EPOCH,
        path: Some(path.to_owned()),
        because: None,
    };
    put(home, &[if n == 2 { Op::Retract(change) } else { Op::Restore(change) }]);
    home.flush();
}

fn page(home: &TestHome) -> String {
    fs::read_to_string(home.join("memory/heuristics/rules-of-thumb/README.md")).expect("it is rendered")
}

fn promote_at_a_terminal(home: &TestHome, rule: &str) -> String {
    Terminal::run(home.cmd(["promote", rule]).into_command()).exits(0)
}

#[test]
fn a_verdict_is_in_every_store_once_and_in_the_row_of_its_rule() {
    let (home, rule) = with_rule();
    tell(&home, "s-1", "Sync the folder");
    let answer = judge(&home, "validate", &rule.id, &["--because", "the build\npassed", "--session", "s-1"]);
    assert_eq!(
        (&answer["kind"], &answer["verdict"], &answer["of"]),
        (&json!("verdict"), &json!("validated"), &json!(rule.id))
    );
    assert_eq!(
        (&answer["counts"], &answer["validated"], &answer["state"]),
        (&json!(true), &json!(1), &json!("active"))
    );
    assert_eq!(counts(&home, &rule.id), (1, 0, 0), "before any worker");
    home.flush();
    let stores = assert_exactly_once(&home, std::slice::from_ref(&rule));
    assert_eq!(stores.named("validated").len(), 1);
    let path = answer["path"].as_str().expect("it has a page");
    assert!(path.starts_with("memory/verdicts/20") && path.ends_with(".md"), "{path}");
    let text = fs::read_to_string(home.join(path)).expect("it is there");
    for line in
        [&format!("\nof: {}\n", rule.id), "\nverdict: validated\n", "\nsession: \"s-1\"\n", "\nthe build\npassed\n"]
    {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let page = page(&home);
    assert!(page.contains("- **Confidence**: 0.67, 0.5 when recorded\n- **Verdicts**: validated 1 time\n"), "{page}");
    let log = home.git(["log", "--format=%s"]).ok();
    assert!(log.stdout.contains("Record verdict: validated"), "{log}");
    home.recover_fully();
    assert_eq!(counts(&home, &rule.id), (1, 0, 0));
}

#[test]
fn a_verdict_counts_once_a_session_and_beside_what_other_programs_count() {
    let (home, rule) = with_rule();
    home.index()
        .execute_batch("UPDATE heuristics SET times_validated = 4, confidence = 0.54, is_golden = 0")
        .expect("it can be changed");
    let first = judge(&home, "violate", &rule.id, &["--session", "s"]);
    let again = judge(&home, "violate", &rule.id, &["--session", "s"]);
    assert_eq!((&first["counts"], &again["counts"]), (&json!(true), &json!(false)));
    let _ = judge(&home, "violate", &rule.id, &["--session", "t"]);
    home.index().execute_batch("UPDATE heuristics SET times_violated = times_violated + 1").expect("it can be changed");
    let _ = judge(&home, "validate", &rule.id, &[]);
    assert_eq!(counts(&home, &rule.id), (5, 3, 0));
    home.flush();
    home.recover_fully();
    assert_eq!(counts(&home, &rule.id), (5, 3, 0), "once, however often it is looked at");
    let shown = home.cmd(["show", &rule.id, "--json"]).ok().json();
    let standing = &shown["records"][0]["standing"];
    assert_eq!((&standing["validated"], &standing["violated"]), (&json!(1), &json!(2)));
    assert_eq!((&standing["validated_elsewhere"], &standing["violated_elsewhere"]), (&json!(4), &json!(1)));
    assert_eq!(shown["records"][0]["verdicts"].as_array().map(Vec::len), Some(4), "all that were given");
    assert_eq!(standing["state"], "doubtful", "2.25 of 4.25");
}

#[test]
fn a_retracted_verdict_does_not_count_and_a_restored_one_does() {
    let (home, rule) = with_rule();
    tell(&home, "one", "Sync the folder");
    let one = judge(&home, "validate", &rule.id, &["--session", "one"]);
    let two = judge(&home, "violate", &rule.id, &["--session", "two"]);
    home.flush();
    assert_eq!(counts(&home, &rule.id), (1, 1, 0));
    let of = |answer: &Value, name: &str| answer[name].as_str().expect("a text").to_owned();
    let (id, path) = (of(&two, "id"), of(&two, "path"));
    change(&home, &id, 2, &path);
    assert_eq!(counts(&home, &rule.id), (1, 0, 0));
    assert!(!page(&home).contains("violated"), "{}", page(&home));
    home.recover_fully();
    change(&home, &id, 3, &path);
    assert_eq!(counts(&home, &rule.id), (1, 1, 0));
    assert!(page(&home).contains("violated 1 time"), "{}", page(&home));
    // The rule itself goes and comes back, and a verdict comes in between.
    change(&home, &rule.id, 2, &rule.path);
    let refused = home.cmd(["validate", &rule.id]).run().exits(65);
    assert!(refused.stderr.contains("retracted"), "{refused}");
    change(&home, &of(&one, "id"), 2, &of(&one, "path"));
    change(&home, &rule.id, 3, &rule.path);
    assert_eq!(counts(&home, &rule.id), (0, 1, 0));
    home.recover_fully();
}

#[test]
fn a_promotion_that_came_with_anothers_commit_is_no_persons_here() {
    for (is_on_disk, is_committed) in [(true, false), (false, true), (true, true)] {
        let (home, rule) = with_rule();
        let of = rule.id.parse().expect("an id");
        let record = Record::Verdict(Verdict { verdict: Ruling::Promoted, of, because: String::new() });
        let provenance = Provenance { origin: Some(Origin::Person), ..Provenance::default() };
        let (id, request) = (RecordId::default(), Request { record, key: None, provenance });
        let page = page::files(id, jiff::Timestamp::now(), &request, Level::Day).remove(0);
        if is_committed {
            commit_of_another_home(&home, &page.path, &page.text);
        }
        if is_on_disk {
            let path = home.join(&page.path);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            fs::write(path, &page.text).expect("it can be written");
        }
        let _ = home.cmd(["recover"]).ok();
        for when in ["at first", "from a rebuilt index", "from one rebuilt again"] {
            let shown = home.cmd(["show", &id.to_string(), "--json"]).ok().json()["records"][0].clone();
            let what = format!("{when}, on disk: {is_on_disk}, committed: {is_committed}: {shown}");
            assert_eq!((&shown["origin"], &shown["verdict"]), (&json!("import"), &json!("promoted")), "{what}");
            assert_eq!(counts(&home, &rule.id), (0, 0, 0), "{what}");
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
            }
            let _ = home.cmd(["recover"]).ok();
        }
        // What a person promotes here stays so, beside it.
        let _ = promote_at_a_terminal(&home, &rule.id);
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
        }
        let _ = home.cmd(["recover"]).ok();
        assert_eq!(counts(&home, &rule.id), (0, 0, 1), "it was only in the journal");
    }
}

#[test]
fn a_session_that_was_not_told_of_a_rule_can_violate_it_and_not_validate_it() {
    let (home, rule) = with_rule();
    let before = home.journal_bytes();
    let validate = || home.cmd(["validate", &rule.id, "--session", "s-1"]);
    let refused = validate().run().exits(65);
    assert!(refused.stderr.contains("can violate it, not validate it"), "{refused}");
    let _ = home.cmd(["validate", &rule.id]).env("INDELIBLE_SESSION", "s-2").run().exits(65);
    tell(&home, "s-1", "another rule");
    let _ = validate().run().exits(65);
    assert_eq!(home.journal_bytes(), before, "nothing was recorded");
    let _ = judge(&home, "violate", &rule.id, &["--session", "s-1"]);
    tell(&home, "s-1", "Sync the folder");
    let _ = validate().ok();
    // Without a session, the day counts; a person was there.
    let _ = judge(&home, "validate", &rule.id, &[]);
    let by_person = by_person(home.cmd(["validate", &rule.id, "--session", "s-3", "--json"])).exits(0);
    assert_eq!(by_person.json()["counts"], json!(true), "{by_person}");
    assert_eq!(counts(&home, &rule.id), (2, 1, 0), "the agents' count once a project and day");
}

#[test]
fn a_rebuilt_index_has_the_same_counts() {
    let (home, rule) = with_rule();
    for session in ["a", "b", "c"] {
        let _ = judge(&home, "violate", &rule.id, &["--session", session]);
    }
    tell(&home, "a", "Sync the folder");
    let _ = judge(&home, "validate", &rule.id, &["--session", "a"]);
    let _ = promote_at_a_terminal(&home, &rule.id);
    let taken_back = judge(&home, "violate", &rule.id, &["--session", "d"]);
    home.flush();
    let of = |name: &str| taken_back[name].as_str().expect("a text").to_owned();
    change(&home, &of("id"), 2, &of("path"));
    let before = counts(&home, &rule.id);
    assert_eq!(before, (1, 3, 1));
    let shown = page(&home);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
    home.recover_fully();
    assert_eq!((counts(&home, &rule.id), page(&home)), (before, shown));
    let schema: i64 = home
        .index()
        .query_row("SELECT value FROM indelible WHERE name = 'schema'", [], |row| row.get(0))
        .expect("it says");
    assert_eq!(schema, 2);
}

#[test]
fn only_a_person_at_a_terminal_promotes() {
    let (home, rule) = with_rule();
    let refused = home.cmd(["promote", &rule.id]).run().exits(77);
    assert!(refused.stderr.contains("only a person can promote it, at a terminal"), "{refused}");
    let refused = home.cmd(["promote", &rule.id, "--json"]).run().exits(77);
    assert!(refused.stdout.is_empty() || refused.json().get("id").is_none(), "{refused}");
    // At a terminal that an agent opened.
    let agents = home.cmd(["promote", &rule.id]).env("CLAUDECODE", "1");
    let screen = Terminal::run(agents.into_command()).exits(77);
    assert!(screen.contains("only a person"), "{screen}");
    let line = json!({"kind": "verdict", "verdict": "promoted", "of": rule.id});
    let batch = home.cmd(["record", "batch"]).stdin(format!("{line}\n")).run().exits(65);
    assert!(batch.stdout.contains("a verdict is given by"), "{batch}");
    let _ = home.cmd(["record", "verdict", "--verdict", "promoted", "--of", &rule.id]).run().exits(64);
    assert_eq!((counts(&home, &rule.id), home.status()["pending"]["records"].clone()), ((0, 0, 0), json!(0)));

    let screen = promote_at_a_terminal(&home, &rule.id);
    assert!(screen.contains("promoted: ") && screen.contains("Sync the folder"), "{screen}");
    assert_eq!(counts(&home, &rule.id), (0, 0, 1));
    let again = promote_at_a_terminal(&home, &rule.id);
    assert!(again.contains("already golden"), "{again}");
    home.flush();
    assert_eq!(home.cmd(["list", "--state", "golden", "--json"]).ok().json()["count"], 1);
    let answer = judge(&home, "demote", &rule.id, &["--because", "too broad"]);
    assert_eq!((&answer["state"], counts(&home, &rule.id)), (&json!("active"), (0, 0, 0)));
    home.flush();
    let stores = assert_exactly_once(&home, &[rule]);
    assert_eq!((stores.named("promoted").len(), stores.named("demoted").len()), (1, 1));
    home.recover_fully();
}

#[test]
fn a_verdict_is_about_a_rule_that_is_there() {
    let home = TestHome::new();
    let failure = home.record("failure", "It broke");
    for (id, said) in [
        (failure.id.as_str(), "is of kind failure"),
        ("ffffffff", "no rule here"),
        ("00000000-0000-7000-8000-000000000001", "not known here"),
    ] {
        let refused = home.cmd(["validate", id]).run().exits(65);
        assert!(refused.stderr.contains(said), "{refused}");
    }
    assert_eq!(home.status()["pending"]["records"], 1);
}

#[test]
fn verdicts_are_listed_where_they_are_asked_for_and_never_searched() {
    let (home, rule) = with_rule();
    let answer = judge(&home, "retire", &rule.id, &["--because", "the zanzibar tool is gone"]);
    for step in ["pending", "committed", "without search.db"] {
        let count = |args: &[&str]| home.cmd(["list", "--json"].iter().chain(args)).ok().json()["count"].clone();
        assert_eq!(
            (count(&[]), count(&["verdict"]), count(&["verdict,heuristic"])),
            (json!(1), json!(1), json!(2)),
            "{step}"
        );
        let _ = home.cmd(["search", "zanzibar"]).run().exits(1);
        let end = &answer["id"].as_str().expect("an id")[28..];
        let shown = home.cmd(["show", end, "--json"]).ok().json();
        assert_eq!(shown["records"][0]["because"], "the zanzibar tool is gone", "{step}");
        home.flush();
        if step == "committed" {
            let _ = fs::remove_file(home.join("memory/search.db"));
        }
    }
    assert!(page(&home).contains("- **State**: retired\n"), "{}", page(&home));
    let revived = judge(&home, "revive", &rule.id, &[]);
    assert_eq!(revived["state"], "active");
    let again = judge(&home, "revive", &rule.id, &[]);
    assert_eq!((&again["changed"], &again["id"]), (&json!(false), &Value::Null));
}

#[test]
fn rules_are_listed_and_searched_by_the_state_that_their_verdicts_leave() {
    let home = TestHome::new();
    let shim = Shim::new();
    let old = ["record", "heuristic", "--domain", "d", "--json", "--rule"];
    let old = |rule: &str| shim.on("-17280000", home.cmd(old.iter().chain(&[rule]))).ok().receipt();
    let (dormant, woken) = (old("a dormant rule"), old("a rule that woke"));
    let [active, golden, doubtful, both, retired] =
        ["active", "golden", "doubtful", "golden and doubtful", "retired"].map(|it| home.record("heuristic", it));
    let failure = home.record("failure", "a failure is in no other state");
    let list = |args: &[&str]| -> Vec<String> {
        let outcome = home.cmd(["list", "--json", "--sort", "oldest"].iter().chain(args)).ok();
        assert_eq!(outcome.json()["notes"], json!([]), "{args:?}");
        let records = outcome.json()["records"].as_array().expect("a list").clone();
        assert_eq!(outcome.json()["count"], records.len(), "{args:?}");
        records.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
    };
    let ids = |receipts: &[&Receipt]| receipts.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    for rule in [&golden, &both, &retired] {
        let _ = promote_at_a_terminal(&home, &rule.id);
    }
    for (rule, session) in
        [(&doubtful, "a"), (&doubtful, "b"), (&doubtful, "c"), (&both, "a"), (&both, "b"), (&both, "c")]
    {
        let _ = judge(&home, "violate", &rule.id, &["--session", session]);
    }
    let _ = judge(&home, "retire", &retired.id, &[]);
    let _ = judge(&home, "validate", &woken.id, &[]);
    for step in ["pending", "committed", "without search.db"] {
        let held =
            |state: &str, wanted: &[&Receipt]| assert_eq!(list(&["--state", state]), ids(wanted), "{step}: {state}");
        held("active", &[&woken, &active, &failure]);
        held("golden", &[&golden, &both]);
        held("doubtful", &[&doubtful, &both]);
        held("dormant", &[&dormant]);
        held("retired", &[&retired]);
        held("retired,Golden", &[&golden, &both, &retired]);
        held(
            "active,golden,doubtful,dormant,retired",
            &[&dormant, &woken, &active, &golden, &doubtful, &both, &retired, &failure],
        );
        assert_eq!(list(&["--state", "doubtful", "--domain", "elsewhere"]), [""; 0], "{step}");
        assert_eq!(list(&["failure", "--state", "active"]), ids(&[&failure]), "{step}");
        let first = home.cmd(["list", "--json", "--state", "doubtful", "--limit", "1"]).ok().json();
        assert_eq!((&first["count"], &first["records"][0]["id"]), (&json!(2), &json!(both.id)), "{step}");
        // As data, a record is in the state that it was asked for.
        let lines = home.cmd(["list", "--jsonl", "--state", "doubtful,dormant,retired"]).ok().stdout;
        let states: Vec<String> =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["state"].to_string()).collect();
        assert_eq!(states, ["\"retired\"", "\"golden\"", "\"doubtful\"", "\"dormant\""], "{step}");
        let csv = home.cmd(["list", "--csv", "--state", "retired"]).ok().stdout;
        assert!(csv.contains(",retired,"), "{csv}");
        let found = home.cmd(["search", "rule", "--json", "--state", "dormant"]).ok().json();
        assert_eq!((found["hits"].as_array().map(Vec::len), &found["hits"][0]["id"]), (Some(1), &json!(dormant.id)));
        let _ = home.cmd(["search", "dormant", "--state", "retired"]).run().exits(1);
        let review = home.cmd(["review", "--json"]).ok().json();
        let doubted: Vec<_> =
            review["doubtful"].as_array().expect("a list").iter().map(|it| it["id"].clone()).collect();
        assert_eq!(doubted.len(), 2, "{step}: {review}");
        home.flush();
        if step == "committed" {
            let _ = fs::remove_file(home.join("memory/search.db"));
        }
    }
    let refused = home.cmd(["list", "--state", "doubtfull"]).run().exits(65);
    assert!(
        refused.stderr.contains("retired, success, failed, inconclusive, retracted; did you mean doubtful?"),
        "{refused}"
    );
    let _ = home.cmd(["list", "--state", "retracted,retired"]).run().exits(64);
}

#[test]
fn a_rule_is_promoted_everywhere_by_a_person_and_for_its_project_alone_again() {
    let (home, rule) = with_rule();
    let everywhere = |home: &TestHome| home.cmd(["promote", &rule.id, "--everywhere"]);
    let refused = everywhere(&home).run().exits(77);
    assert!(refused.stderr.contains("only a person can promote it"), "{refused}");
    let agents = everywhere(&home).env("CLAUDECODE", "1");
    assert!(Terminal::run(agents.into_command()).exits(77).contains("only a person"));
    let line = json!({"kind": "verdict", "verdict": "promoted-everywhere", "of": rule.id});
    let _ = home.cmd(["record", "batch"]).stdin(format!("{line}\n")).run().exits(65);
    let standing = |home: &TestHome| {
        let shown = home.cmd(["show", &rule.id, "--json"]).ok().json();
        let standing = &shown["records"][0]["standing"];
        (standing["state"].clone(), standing["everywhere"].clone())
    };
    assert_eq!(standing(&home), (json!("active"), json!(false)));
    let screen = Terminal::run(everywhere(&home).into_command()).exits(0);
    assert!(screen.contains("promoted-everywhere: "), "{screen}");
    assert!(Terminal::run(everywhere(&home).into_command()).exits(0).contains("already golden everywhere"));
    home.flush();
    assert_eq!((standing(&home), counts(&home, &rule.id)), ((json!("golden"), json!(true)), (0, 0, 1)));
    let _ = promote_at_a_terminal(&home, &rule.id);
    assert_eq!((standing(&home), counts(&home, &rule.id)), ((json!("golden"), json!(false)), (0, 0, 1)));
    home.flush();
    let stores = assert_exactly_once(&home, std::slice::from_ref(&rule));
    assert_eq!((stores.named("promoted-everywhere").len(), stores.named("promoted").len()), (1, 1));
    fs::remove_file(home.join("memory/index.db")).expect("it is there");
    home.recover_fully();
    assert_eq!(standing(&home), (json!("golden"), json!(false)), "a rebuilt index has the same");
}

#[test]
fn a_page_shows_golden_rules_first_and_then_the_surer_ones() {
    let home = TestHome::new();
    let rules = ["one", "two", "three", "four"].map(|name| home.record("heuristic", name));
    home.flush();
    let _ = judge(&home, "validate", &rules[1].id, &[]);
    let _ = promote_at_a_terminal(&home, &rules[3].id);
    for session in ["a", "b", "c"] {
        let _ = judge(&home, "violate", &rules[0].id, &["--session", session]);
    }
    home.flush();
    let page = page(&home);
    let order: Vec<_> = page.lines().filter(|it| it.starts_with("## ")).map(|it| it.rsplit(' ').next()).collect();
    assert_eq!(order, ["four", "two", "three", "one"].map(Some), "{page}");
    let review = home.cmd(["review", "--json"]).ok().json();
    assert_eq!(review["doubtful"].as_array().map(Vec::len), Some(1), "{review}");
    assert_eq!(review["doubtful"][0]["id"], rules[0].id);
    home.recover_fully();
}

#[test]
fn a_verdict_that_died_anywhere_is_counted_once_or_not_at_all() {
    for (point, is_kept) in [
        (Point::AppendBeforeWrite, Some(false)),
        (Point::AppendShortWrite, Some(false)),
        (Point::AppendBeforeSync, None),
        (Point::AppendAfterSync, Some(true)),
        (Point::PlaceBeforeWrite, Some(true)),
        (Point::PlaceHalfWritten, Some(true)),
        (Point::PlaceAfterRename, Some(true)),
        (Point::RowBeforeCommit, Some(true)),
        (Point::RowAfterCommit, Some(true)),
    ] {
        let (home, rule) = with_rule();
        let _ = home.cmd(["violate", &rule.id]).env("INDELIBLE_CRASH_AT", point.name()).run().aborted();
        home.recover_fully();
        let stores = assert_exactly_once(&home, std::slice::from_ref(&rule));
        let kept = stores.named("violated").len();
        assert!(kept <= 1 && is_kept.is_none_or(|is_kept| kept == usize::from(is_kept)), "{point:?}: {kept}");
        assert_eq!(counts(&home, &rule.id).1, kept as i64, "{point:?}");
        assert_eq!(page(&home).contains("violated 1 time"), kept == 1, "{point:?}");
    }
}

#[test]
fn a_verdict_on_a_rule_whose_row_lags_is_counted_when_the_row_comes() {
    let home = TestHome::new();
    let rule = home.record("heuristic", "Sync the folder");
    // The index is gone: the verdict is in the journal alone, and what comes first is not known.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
    let _ = judge(&home, "violate", &rule.id, &[]);
    home.recover_fully();
    assert_eq!(counts(&home, &rule.id), (0, 1, 0));
    assert!(page(&home).contains("violated 1 time"), "{}", page(&home));
}

#[test]
fn an_index_without_verdicts_stays_one_that_older_programs_use() {
    let (home, rule) = with_rule();
    let schema = || -> i64 {
        let sql = "SELECT value FROM indelible WHERE name = 'schema'";
        home.index().query_row(sql, [], |row| row.get(0)).expect("it says")
    };
    home.recover_fully();
    assert_eq!(schema(), 1);
    let _ = judge(&home, "validate", &rule.id, &[]);
    assert_eq!(schema(), 2);
    let headers = home.journal();
    assert!(headers.iter().all(|(_, bytes)| bytes.starts_with(b"indelible-journal 1 ")), "a verdict is a record");
    let stores = Stores::read(&home);
    assert_eq!(stores.named("validated").len(), 1);
}

/// What a recorder of `rule` answers that does not ask for a new one.
fn recorded(home: &TestHome, rule: &str) -> Value {
    home.cmd(["record", "heuristic", "--json", "--domain", "Rules of thumb", "--rule", rule]).ok().json()
}

/// The rows of rules, and of verdicts that a rule came again.
fn rules_and_again(home: &TestHome) -> (i64, i64) {
    let count = |sql: &str| home.index().query_row(sql, [], |row| row.get(0)).expect("readable");
    (
        count("SELECT count(*) FROM heuristics"),
        count(
            "SELECT count(*) FROM verdicts JOIN records ON records.id = given WHERE verdict = 'again' AND row_id > 0",
        ),
    )
}

/// Of several in one call the first is the rule, as it would be in calls of their own.
#[test]
fn the_same_rule_twice_in_one_batch_is_one_rule() {
    let home = TestHome::new();
    let line = |rule: &str| json!({ "kind": "heuristic", "domain": "d", "rule": rule }).to_string();
    let lines = ["Sync the folder", "sync the Folder.", "Sync  the folder!", "Sync another"].map(line).join("\n");
    let said = home.cmd(["record", "batch", "--json"]).stdin(lines).ok().stdout;
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let first = &said[0]["id"];
    assert_eq!((&said[1]["kind"], &said[1]["again_of"]), (&json!("verdict"), first), "{said:?}");
    assert_eq!((&said[2]["duplicate"], &said[2]["id"], &said[2]["again_of"]), (&json!(true), &said[1]["id"], first));
    assert_eq!((&said[3]["kind"], said[3].get("again_of")), (&json!("heuristic"), None));
    home.flush();
    assert_eq!(rules_and_again(&home), (2, 1));
    home.assert_settled();
}

#[test]
fn the_same_rule_again_is_a_verdict_once_a_day_and_never_a_validation() {
    let (home, rule) = with_rule();
    let again = recorded(&home, "sync  the Folder.");
    assert_eq!((&again["kind"], &again["again_of"]), (&json!("verdict"), &json!(rule.id)));
    assert_eq!(again["duplicate"], false);
    home.flush();
    let third = recorded(&home, "Sync the folder!");
    assert_eq!((&third["id"], &third["duplicate"], &third["again_of"]), (&again["id"], &json!(true), &json!(rule.id)));
    let said = home.cmd(["record", "heuristic", "--domain", "Rules of thumb", "--rule", "Sync the folder"]).ok();
    assert!(said.stdout.starts_with(&format!("recorded again: heuristic {}", rule.id)), "{said}");
    // Case that means something, another domain, and another kind are others.
    for (domain, text) in [("Rules of thumb", "Sync the `Folder`"), ("other", "Sync the folder")] {
        let other = home.cmd(["record", "heuristic", "--json", "--domain", domain, "--rule", text]).ok().json();
        assert_eq!((&other["kind"], other.get("again_of")), (&json!("heuristic"), None), "{text:?}");
    }
    home.flush();
    assert_eq!(rules_and_again(&home), (3, 1));
    assert_eq!(counts(&home, &rule.id), (0, 0, 0));
    let page_text = fs::read_to_string(home.join(again["path"].as_str().expect("a page"))).expect("it is there");
    assert!(page_text.contains("\nsync  the Folder.\n"), "the text as it came: {page_text}");
    let page = page(&home);
    assert!(page.contains("- **Verdicts**: recorded again 1 time\n"), "{page}");

    // Said otherwise, it is a record of its own, and shown with the first.
    let new = home.record("heuristic", "Sync the folder");
    assert_eq!(new.kind, "heuristic");
    home.flush();
    assert_exactly_once(&home, &[rule.clone(), new.clone()]);
    let page = self::page(&home);
    assert_eq!(page.matches("\n## H-").count(), 2, "{page}");
    assert!(page.contains("and recorded again: [2]("), "{page}");
    let review = home.cmd(["review", "--json"]).ok().json();
    assert_eq!(review["twice"][0][0]["id"], rule.id);
    // Without the first, the next one is the first.
    change(&home, &rule.id, 2, &rule.path);
    let again = recorded(&home, "Sync the folder");
    assert_eq!(again["again_of"], json!(new.id));
    home.flush();
    home.recover_fully();
}

#[test]
fn many_sessions_that_learn_one_rule_make_one_rule() {
    let home = TestHome::new();
    let learned = |session: usize| {
        json!({
            "hook_event_name": "Stop", "session_id": format!("session {session}"), "cwd": home.user(),
            "last_assistant_message": "Done.\n[LEARNED:ci] Never skip the tests",
        })
        .to_string()
    };
    for session in 0..34 {
        // The same event twice, as two copies of one hook send it.
        for _ in 0..2 {
            let _ = home.cmd(["hook"]).stdin(learned(session)).run().exits(0);
        }
        if session == 0 {
            home.flush();
        }
    }
    home.flush();
    // A copy that comes late is the record that it was.
    let _ = home.cmd(["hook"]).stdin(learned(0)).run().exits(0);
    home.flush();
    assert_eq!(rules_and_again(&home), (1, 1));
    let page = fs::read_to_string(home.join("memory/heuristics/ci/README.md")).expect("it is rendered");
    assert_eq!(page.matches("\n## H-").count(), 1, "{page}");
    assert_exactly_once(&home, &[]);
    home.recover_fully();
}

/// What `show` says of the rule, and the text of its verdict `again`.
fn again_of(home: &TestHome, rule: &str) -> (Value, String) {
    let shown = home.cmd(["show", rule, "--json"]).ok().json();
    let sql = "SELECT because FROM verdicts WHERE verdict = 'again'";
    (shown["records"][0]["standing"]["again"].clone(), home.index().query_row(sql, [], |row| row.get(0)).expect("one"))
}

#[test]
fn how_often_a_rule_came_again_is_counted_when_the_day_is_over() {
    let home = TestHome::new();
    let shim = Shim::new();
    let hook = |days: i64, session: usize| {
        let event = json!({
            "hook_event_name": "Stop", "session_id": format!("session {session}"), "cwd": home.user(),
            "last_assistant_message": "Done.\n[LEARNED:ci] Never skip the tests",
        });
        let _ = shim.on(&format!("-{}", days * 86_400), home.cmd(["hook"]).stdin(event.to_string())).ok();
    };
    let on_a_day = |days: i64, commands: &[&str]| shim.on(&format!("-{}", days * 86_400), home.cmd(commands)).ok();
    hook(3, 0);
    let _ = on_a_day(3, &["flush"]);
    let rule =
        home.cmd(["list", "heuristic", "--json"]).ok().json()["records"][0]["id"].as_str().expect("an id").to_owned();
    for session in 1..34 {
        // As two copies of one hook send it; some after the first is committed.
        hook(3, session);
        hook(3, session);
        if session == 20 {
            let _ = on_a_day(3, &["flush"]);
        }
    }
    let _ = on_a_day(3, &["flush"]);
    assert_eq!(
        again_of(&home, &rule),
        (json!(1), "Never skip the tests\n\n- event: Stop\n".into()),
        "the day is not over"
    );
    home.flush();
    let counted = (json!(33), "Recorded 33 times on this day.\n\nNever skip the tests\n\n- event: Stop\n".to_owned());
    assert_eq!(again_of(&home, &rule), counted);
    let page = fs::read_to_string(home.join("memory/heuristics/ci/README.md")).expect("it is rendered");
    assert!(page.contains("- **Verdicts**: recorded again 33 times\n"), "{page}");
    let tallies = || fs::read_dir(home.join(".indelible")).expect("it is there").flatten();
    let is_tally = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("again-");
    assert_eq!(tallies().filter(is_tally).count(), 0);
    // Killed between the amendment and the removal, the tally is there still; a time that is too late adds nothing.
    let verdict =
        home.cmd(["list", "verdict", "--json"]).ok().json()["records"][0]["id"].as_str().expect("an id").to_owned();
    let left: String = (0..33).map(|number| format!("\n{verdict} {number:032x}\n")).collect();
    let commits = || home.git(["rev-list", "--count", "--all"]).ok().stdout;
    let before = commits();
    fs::write(home.join(".indelible/again-2026-01-02.tally"), left).expect("written");
    home.flush();
    assert_eq!((again_of(&home, &rule), commits(), tallies().filter(is_tally).count()), (counted.clone(), before, 0));
    // What is in the files alone says the same.
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(home.join("memory").join(file));
    }
    home.recover_fully();
    assert_eq!(again_of(&home, &rule), counted);
    assert_exactly_once(&home, &[]);
}

#[test]
fn rules_of_an_older_index_are_known_again_after_a_workers_start() {
    let (home, rule) = with_rule();
    home.index().execute_batch("DELETE FROM alike").expect("it can be changed");
    let second = recorded(&home, "Sync the folder");
    assert_eq!(second["kind"], "heuristic", "an index that does not know yet loses nothing");
    home.index().execute_batch("DELETE FROM alike").expect("it can be changed");
    let _ = home.recover();
    let again = recorded(&home, "Sync the folder");
    assert_eq!(again["again_of"], json!(rule.id));
    home.recover_fully();
}

#[test]
fn a_home_of_before_takes_verdicts_in_place() {
    let home = crate::formats::v1();
    let list = home.cmd(["list", "heuristic", "--jsonl"]).ok();
    let rules: Vec<Value> = list.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let rule = rules.iter().find(|it| it["title"] == "Sync the folder after the rename").expect("it is there");
    let id = rule["id"].as_str().expect("an id");
    let _ = judge(&home, "validate", id, &[]);
    home.flush();
    assert_eq!(counts(&home, id), (1, 0, 0));
    let domain = rule["domain"].as_str().expect("a domain");
    let again = ["record", "heuristic", "--json", "--domain", domain, "--rule", "sync the folder after the rename"];
    let again = home.cmd(again).ok().json();
    assert_eq!(again["again_of"], json!(id));
    home.flush();
    home.recover_fully();
    assert_exactly_once(&home, &[]);
}
