//! `export` and `import`: a home comes back with the same ids, rows and pages; a file from elsewhere is data; and whatever is killed
//! can be run again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::changes::assert_agree;
use crate::support::{Receipt, TestHome, Worker, in_parallel};

/// A home with every kind of record, and everything that can become of one.
pub fn full() -> (TestHome, Vec<Receipt>) {
    let home = TestHome::new();
    let receipts = home.record_each("kept");
    let of = |kind: &str| &receipts.iter().find(|it| it.kind == kind).expect("one of each").id;
    let keyed =
        home.cmd(["record", "success", "--title", "keyed", "--domain", "d", "--key", "k", "--json"]).ok().receipt();
    let gone = home.record("failure", "gone");
    home.flush();
    let _ = home.cmd(["validate", of("heuristic"), "--because", "it held\u{1b}[0m"]).ok();
    let _ = home.cmd(["amend", of("failure"), "--title", "amended \u{202e}twice\n", "--domain", "elsewhere"]).ok();
    let _ =
        home.cmd(["amend", of("failure"), "--summary", "Two\r\nlines \"quoted\" \u{0}".trim_end_matches('\0')]).ok();
    let _ = home.cmd(["record", "outcome", of("experiment"), "--result", "failed", "--summary", "no change"]).ok();
    let _ = home.cmd(["retract", &gone.id, "--because", "a mistake"]).ok();
    let log = home.join(&receipts.iter().find(|it| it.kind == "experiment").expect("one").path).join("log.md");
    fs::write(&log, fs::read_to_string(&log).expect("it is there") + "- a line of its owner's\n").expect("writable");
    // An owner's own comment in a page stays when the edit is taken.
    let page = home.join(&receipts.iter().find(|it| it.kind == "observation").expect("one").path);
    let text = fs::read_to_string(&page).expect("it is there");
    let text = text.replacen("---\n", "---\nmine: a note\n", 1).replace("title: \"", "title: \"by hand ");
    fs::write(&page, text).expect("writable");
    let _ = home.cmd(["amend", "--from-files"]).ok();
    home.flush();
    (home, [receipts, vec![keyed, gone]].concat())
}

fn export(home: &TestHome) -> String {
    home.cmd(["export"]).ok().stdout
}

/// Writes `text` beside `home`.
fn file(home: &TestHome, text: &str) -> String {
    let path = home.user().join("lines.jsonl");
    fs::write(&path, text).expect("writable");
    path.to_str().expect("UTF-8").to_owned()
}

/// Every file of records in `home`, by its path.
pub fn files(home: &TestHome) -> BTreeMap<PathBuf, Vec<u8>> {
    fn add(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => add(root, &path, found),
                false if path.extension().is_some_and(|it| it == "md") => {
                    let bytes = fs::read(&path).expect("readable");
                    found.insert(path.strip_prefix(root).expect("beneath it").to_owned(), bytes);
                }
                false => {}
            }
        }
    }
    let mut found = BTreeMap::new();
    for root in ["memory", "experiments"] {
        add(home.path(), &home.join(root), &mut found);
    }
    found
}

/// Every row of every record, by id, without the numbers of rows.
pub fn rows(home: &TestHome) -> BTreeMap<String, Value> {
    let index = home.index();
    let mut found = BTreeMap::new();
    for (table, kinds) in [
        ("learnings", "'failure', 'success', 'observation'"),
        ("heuristics", "'heuristic'"),
        ("experiments", "'experiment'"),
        ("verdicts", "'verdict'"),
    ] {
        let sql = format!("SELECT r.*, t.* FROM records r JOIN {table} t ON t.id = r.row_id WHERE r.kind IN ({kinds})");
        let mut statement = index.prepare(&sql).expect("it is SQL");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).expect("readable");
        while let Some(row) = rows.next().expect("readable") {
            let mut cells = Vec::new();
            for (at, name) in names.iter().enumerate() {
                if name != "row_id" && (at == 0 || name != "id") {
                    cells.push(json!([name, format!("{:?}", row.get_ref(at).expect("a cell"))]));
                }
            }
            found.insert(row.get(0).expect("an id"), Value::Array(cells));
        }
    }
    found
}

#[track_caller]
fn assert_same(one: &TestHome, other: &TestHome) {
    let (rows_of_one, rows_of_other) = (rows(one), rows(other));
    assert_eq!(rows_of_one.keys().collect::<Vec<_>>(), rows_of_other.keys().collect::<Vec<_>>());
    for (id, row) in &rows_of_one {
        assert_eq!(Some(row), rows_of_other.get(id), "{id}");
    }
    let (files_of_one, files_of_other) = (files(one), files(other));
    let is_state = |path: &&PathBuf| path.starts_with("memory/retracted");
    let names =
        |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().filter(|it| !is_state(it)).cloned().collect::<Vec<_>>();
    assert_eq!(names(&files_of_one), names(&files_of_other));
    for (path, bytes) in files_of_one.iter().filter(|(path, _)| !is_state(path)) {
        let other = files_of_other.get(path).expect("it is there");
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(other), "{}", path.display());
    }
}

fn import(home: &TestHome, path: &str) -> Value {
    home.cmd(["import", "--json", path]).ok().json()
}

#[test]
fn an_empty_home_gets_the_same_ids_rows_and_pages_and_again_changes_nothing() {
    let (home, receipts) = full();
    let text = export(&home);
    let copy = TestHome::new();
    let path = file(&copy, &text);
    let dry = copy.cmd(["import", "--json", "--dry-run", &path]).ok().json();
    assert_eq!((&dry["imported"], &dry["dry_run"]), (&7.into(), &true.into()), "{dry}");
    assert_eq!(rows(&copy).len(), 0, "a dry run changes nothing");
    let answer = import(&copy, &path);
    for (name, count) in [("imported", 7), ("retracted", 1), ("known", 0), ("refused", 0), ("of_persons", 0)] {
        assert_eq!(answer[name], count, "{name}: {answer}");
    }
    assert_same(&home, &copy);
    assert_agree(&copy);
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&export(&copy)), lines(&text), "what comes out of the copy is what went in");
    let gone = &receipts.last().expect("the retracted one").id;
    let hidden = copy.cmd(["list", "--json", "--state", "retracted"]).ok().json();
    assert_eq!(
        (&hidden["records"][0]["id"], &hidden["records"][0]["because"]),
        (&gone.as_str().into(), &"a mistake".into())
    );
    // Again, in both: nothing changes.
    for home in [&home, &copy] {
        let (before, tip) = (home.journal_bytes(), home.git(["rev-parse", home.branch()]).ok().stdout);
        let answer = import(home, &path);
        assert_eq!((&answer["imported"], &answer["known"]), (&0.into(), &8.into()), "{answer}");
        assert_eq!((home.journal_bytes(), home.git(["rev-parse", home.branch()]).ok().stdout), (before, tip));
    }
    // The verdict counts, and every store can be rebuilt.
    let _ = fs::remove_file(copy.join("memory/index.db"));
    copy.recover();
    assert_same(&home, &copy);
}

#[test]
fn a_line_that_is_wrong_is_named_and_the_others_are_kept() {
    let home = TestHome::new();
    let receipt = home.record("failure", "the good one");
    home.flush();
    let text = export(&home);
    let good: Value = serde_json::from_str(text.lines().nth(1).expect("a record")).expect("JSON");
    let id = |n: u32| format!("0198f3a2-7c1e-7b3d-9a4f-5566778{n:05}");
    let with = |n: u32, change: &dyn Fn(&mut Value)| {
        let mut line = good.clone();
        line["id"] = id(n).into();
        line["path"] = format!("memory/failures/2026/01/01/x-78{n:05}").into();
        change(&mut line);
        line.to_string()
    };
    let amended = |line: &mut Value, revision: &str, field: &str| {
        line["amended"] = json!({ "revision": revision, "fields": { field: revision } });
    };
    let bad: Vec<(String, &str)> = vec![
        ("{".into(), "EOF"),
        ("[]".into(), ""),
        (with(1, &|it| it["id"] = "x".into()), ""),
        (with(2, &|it| it["kind"] = "wish".into()), "unknown variant"),
        (with(3, &|it| it["title"] = "".into()), "title: must not be empty"),
        (with(4, &|it| it["title"] = "x".repeat(501).into()), "at most 500 characters"),
        (with(5, &|it| it["summary"] = "a\u{0}b".into()), "must not contain NUL"),
        (with(6, &|it| it["severity"] = 9.into()), ""),
        (with(7, &|it| it["created_at"] = "-009000-01-01T00:00:00Z".into()), "from 1970 to 9999"),
        (with(8, &|it| amended(it, &format!("1:{}", id(8)), "title")), "not after the record's first"),
        (with(9, &|it| amended(it, &format!("2:{}", id(8)), "rule")), "has no field"),
        (with(10, &|it| it["page"] = "---\nid: x\n---\n".into()), "page: "),
        (with(11, &|it| it["page"] = fs::read_to_string(home.join(&receipt.path)).expect("a page").into()), "page: it does not"),
        (with(12, &|it| it["origin"] = "queen".into()), ""),
        (with(13, &|it| it["key"] = " ".into()), "key: must not be blank"),
        ("{\"export\":{\"version\":9,\"home\":\"0198f3a2-7c1e-7b3d-9a4f-556677800000\",\"at\":\"2026-01-01T00:00:00Z\"}}".into(), "of version 9"),
    ];
    let copy = TestHome::new();
    let mut lines: Vec<String> = bad.iter().map(|(line, _)| line.clone()).collect();
    lines.insert(3, good.to_string());
    lines.push(with(40, &|it| it["title"] = "another".into()));
    lines.push(String::new());
    let answer = copy.cmd(["import", "--json", &file(&copy, &lines.join("\n"))]).run().exits(65).json();
    assert_eq!((&answer["imported"], &answer["refused"]), (&2.into(), &bad.len().into()), "{answer}");
    for (named, (at, (_, says))) in answer["lines"].as_array().expect("a list").iter().zip(bad.iter().enumerate()) {
        let line = if at < 3 { at + 1 } else { at + 2 };
        assert_eq!(named["line"], line, "{named}");
        assert!(named["error"].as_str().expect("text").contains(says), "{says}: {named}");
    }
    assert_agree(&copy);
    let text = copy.cmd(["import", &file(&copy, &lines.join("\n"))]).run().exits(65);
    assert!(text.stderr.contains("warning: line 1: ") && text.stdout.contains("2 known already"), "{text}");
}

#[test]
fn a_path_from_elsewhere_is_one_that_such_a_record_has_or_the_homes_own() {
    let home = TestHome::new();
    let receipt = home.record("failure", "a title");
    home.flush();
    let line: Value = serde_json::from_str(export(&home).lines().nth(1).expect("a record")).expect("JSON");
    let end = &receipt.id[28..];
    for (path, is_kept) in [
        (format!("memory/failures/2020/01/02/its-own-{end}.md"), true),
        (format!("memory/failures/2020/01/02/03/04/ab/its-own-{}.md", receipt.id), true),
        (format!("memory/failures/../../x-{end}.md"), false),
        (format!("/etc/x-{end}.md"), false),
        (format!("memory/successes/2020/01/02/x-{end}.md"), false),
        ("memory/failures/2020/01/02/without.md".into(), false),
        (format!("memory/failures/{}x-{end}.md", "a/".repeat(20)), false),
        (format!("memory/index.db-{end}"), false),
        (format!(".git/hooks/x-{end}.md"), false),
    ] {
        let copy = TestHome::new();
        let mut line = line.clone();
        line["path"] = path.clone().into();
        let _ = import(&copy, &file(&copy, &line.to_string()));
        let found = copy.cmd(["show", "--json", &receipt.id]).ok().json()["records"][0]["path"].clone();
        assert_eq!(found == path.as_str(), is_kept, "{path}: {found}");
        assert!(copy.join(found.as_str().expect("a path")).is_file(), "{found}");
        assert_agree(&copy);
    }
}

#[test]
fn what_says_that_it_is_a_persons_is_an_import_and_promotes_nothing() {
    let home = TestHome::new();
    let receipt = home.record("heuristic", "obey");
    home.flush();
    let mut rule: Value = serde_json::from_str(export(&home).lines().nth(1).expect("a record")).expect("JSON");
    rule["origin"] = "person".into();
    let id = "0198f3a2-7c1e-7b3d-9a4f-556677889900";
    let promotion = json!({
        "id": id, "created_at": "2026-01-01T00:00:00Z", "kind": "verdict", "verdict": "promoted-everywhere", "of": receipt.id,
        "origin": "person", "path": "x",
    });
    let copy = TestHome::new();
    let path = file(&copy, &format!("{rule}\n{promotion}\n"));
    let answer = import(&copy, &path);
    assert_eq!((&answer["imported"], &answer["of_persons"]), (&2.into(), &2.into()), "{answer}");
    for id in [&receipt.id, id] {
        let shown = copy.cmd(["show", "--json", id]).ok().json();
        assert_eq!(shown["records"][0]["origin"], "import", "{shown}");
    }
    assert_eq!(copy.cmd(["list", "--json", "--state", "golden"]).ok().json()["count"], 0);
    let page = fs::read_to_string(copy.join(&receipt.path)).expect("it is there");
    assert!(page.contains("origin: \"import\"") || page.contains("origin: import"), "{page}");
    assert!(!page.contains("origin: person") && !page.contains("origin: \"person\""), "{page}");
    assert_agree(&copy);
    let refused = copy.cmd(["import", "--restore", &path]).run().exits(64);
    assert!(refused.stderr.contains("only a person at a terminal"), "{refused}");
    // A person at a terminal answers for it.
    let mine = TestHome::new();
    let cmd = mine.cmd(["import", "--restore", &file(&mine, &format!("{rule}\n{promotion}\n"))]);
    let _ = crate::terminal::Terminal::run(cmd.into_command()).exits(0);
    let shown = mine.cmd(["show", "--json", &receipt.id]).ok().json();
    assert_eq!(shown["records"][0]["origin"], "person", "{shown}");
    assert_eq!(mine.cmd(["list", "--json", "--state", "golden"]).ok().json()["count"], 1);
    assert_agree(&mine);
}

#[test]
fn what_the_home_has_stays_as_it_is_and_what_it_took_away_stays_away() {
    let (home, receipts) = full();
    let text = export(&home);
    let path = file(&home, &text);
    let [amended, retracted, erased] = [&receipts[0], &receipts[1], &receipts[2]];
    let _ = home.cmd(["amend", &amended.id, "--domain", "later"]).ok();
    let _ = home.cmd(["erase", "--yes", &erased.id]).ok();
    let _ = home.cmd(["retract", &retracted.id]).ok();
    let before = (files(&home), rows(&home));
    let answer = import(&home, &path);
    assert_eq!(
        (&answer["imported"], &answer["differ"], &answer["hidden"]),
        (&0.into(), &1.into(), &2.into()),
        "{answer}"
    );
    assert_eq!(answer["differing"], json!([amended.id]));
    assert_eq!((files(&home), rows(&home)), before);
    // A retraction of a record that another home still has changes nothing there.
    let copy = TestHome::new();
    let _ = import(&copy, &file(&copy, &text));
    let answer = import(&copy, &file(&copy, &export(&home)));
    assert_eq!((&answer["not_retracted"], &answer["retracted"]), (&1.into(), &0.into()), "{answer}");
    assert!(!export(&home).contains(&erased.id), "an export says nothing of what was erased");
    assert_agree(&copy);
}

#[test]
fn a_killed_import_is_run_again_and_a_cut_file_is_noticed() {
    let (home, _) = full();
    let text = export(&home);
    for point in [
        "AppendBeforeWrite",
        "AppendShortWrite",
        "AppendBeforeSync",
        "AppendAfterSync",
        "PlaceBeforeRename",
        "RowBeforeCommit",
        "CommitBeforeBranch",
        "CommitAfterBranch",
    ] {
        let copy = TestHome::new();
        let path = file(&copy, &text);
        let _ = copy.cmd(["import", &path]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        let _ = import(&copy, &path);
        assert_same(&home, &copy);
        assert_agree(&copy);
    }
    let copy = TestHome::new();
    let cut: Vec<&str> = text.lines().collect();
    let refused = copy.cmd(["import", &file(&copy, &cut[..4].join("\n"))]).run().exits(65);
    assert!(refused.stderr.contains("cut off") && refused.stdout.contains("3 records: imported"), "{refused}");
    let half = &text[..text.len() - 300];
    let _ = copy.cmd(["import", &file(&copy, half)]).run().exits(65);
    let without: Vec<&str> = cut.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| *line).collect();
    let missing = copy.cmd(["import", &file(&copy, &without.join("\n"))]).run().exits(65);
    assert!(missing.stderr.contains("came before its end"), "{missing}");
    let _ = import(&copy, &file(&copy, &text));
    assert_same(&home, &copy);
}

#[test]
fn an_export_beside_a_worker_and_recorders_has_all_that_was_acknowledged_before() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    let before: Vec<Receipt> = (0..20).map(|n| home.record("success", &format!("before {n}"))).collect();
    let text = std::sync::Mutex::new(String::new());
    in_parallel(5, 5, |n| match n {
        0 => *text.lock().expect("not poisoned") = export(&home),
        n => (0..10).for_each(|more| drop(home.record("failure", &format!("beside {n} {more}")))),
    });
    let text = text.into_inner().expect("not poisoned");
    for receipt in &before {
        assert_eq!(text.matches(&format!("\"id\":\"{}\"", receipt.id)).count(), 1, "{text}");
    }
    let _ = worker.stop(rustix::process::Signal::TERM);
    let copy = TestHome::new();
    let answer = import(&copy, &file(&copy, &text));
    assert_eq!(answer["imported"], text.lines().count() - 2, "{answer}");
    assert_agree(&copy);
}

#[test]
fn an_import_beside_a_worker_and_recorders_is_applied_by_the_worker() {
    let (home, _) = full();
    let copy = TestHome::new();
    let path = file(&copy, &export(&home));
    let worker = Worker::quick(&copy);
    in_parallel(3, 3, |n| match n {
        0 => drop(import(&copy, &path)),
        n => (0..5).for_each(|more| drop(copy.record("failure", &format!("beside {n} {more}")))),
    });
    let _ = worker.stop(rustix::process::Signal::TERM);
    assert_eq!(rows(&copy).len(), 7 + 10);
    assert_agree(&copy);
}

#[test]
fn a_filter_takes_verdicts_along_and_a_file_appears_whole() {
    let (home, receipts) = full();
    let of = |kind: &str| receipts.iter().find(|it| it.kind == kind).expect("one").id.clone();
    let text = home.cmd(["export", "heuristics"]).ok().stdout;
    let ids: Vec<String> = text
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["id"].as_str()?.to_owned()))
        .collect();
    assert_eq!((ids.len(), ids[0].as_str()), (2, of("heuristic").as_str()), "the rule, and the verdict on it: {text}");
    assert!(!text.contains("retracted"), "{text}");
    let failed = home.cmd(["export", "experiments", "--state", "failed"]).ok().stdout;
    assert!(failed.lines().count() == 3 && failed.contains(&of("experiment")), "{failed}");
    let active = home.cmd(["export", "--state", "active"]).ok().stdout;
    assert!(active.contains(&of("heuristic")) && !active.contains(&of("experiment")), "{active}");
    let _ = home.cmd(["export", "--state", "gone"]).run().exits(65);
    let path = home.user().join("out.jsonl");
    let answer = home.cmd(["export", "--json", "--out", path.to_str().expect("UTF-8")]).ok().json();
    assert_eq!((&answer["records"], &answer["retracted"]), (&7.into(), &1.into()), "{answer}");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("it is there").permissions()) & 0o777,
        0o600
    );
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&fs::read_to_string(&path).expect("readable")), lines(&export(&home)));
    let link = home.user().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let text = link.to_str().expect("UTF-8");
    let refused = home.cmd(["export", "--out", text]).run().exits(74);
    assert!(refused.stderr.contains("is no file") && link.is_symlink(), "{refused}");
    let shell = format!("{} --home {} export > /dev/full", env!("CARGO_BIN_EXE_indelible"), home.path().display());
    let full = crate::support::Cmd::new("sh", home.user()).args(["-c", &shell]).run().exits(74);
    assert!(full.stderr.contains("is not a whole export"), "{full}");
    let left = fs::read_dir(home.user())
        .expect("a folder")
        .filter(|it| it.as_ref().expect("an entry").file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(left.count(), 0);
    for (path, says) in [("/dev/zero", "is no file"), ("/no/such/file", "No such file"), ("/tmp", "is no file")] {
        let refused = home.cmd(["import", path]).run().exits(65);
        assert!(refused.stderr.contains(says), "{path}: {refused}");
    }
}

#[test]
fn a_secret_in_a_line_is_replaced_where_that_is_asked_for() {
    let home = TestHome::new();
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let line = ["record", "failure", "--title", "t", "--domain", "d", "--summary", &format!("the key {secret}")];
    let _ = home.cmd(line).ok();
    home.flush();
    let copy = TestHome::new();
    let _ = copy.cmd(["import", "--redact", &file(&copy, &export(&home))]).ok();
    let text = export(&copy);
    assert!(!text.contains(&secret) && text.contains("[redacted:github-token]"), "{text}");
    crate::erase::assert_nowhere(&copy, &[&secret.to_lowercase()]);
    assert_agree(&copy);
}

#[test]
fn the_day_of_an_amendment_is_the_same_after_a_rebuild_and_an_import() {
    let (made, receipts) = full();
    // As if it had all been recorded long ago, and was amended today.
    let lines: Vec<Value> = export(&made).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let long_ago = lines.into_iter().map(|mut line| {
        if line.get("created_at").is_some() {
            line["created_at"] = json!("2020-02-02T02:02:02.020Z");
        }
        // What its owner added to the page is tied to the page's own time.
        let _ = line.as_object_mut().map(|it| it.remove("page"));
        format!("{line}\n")
    });
    let home = TestHome::new();
    let _ = home.cmd(["import", &file(&home, &long_ago.collect::<String>())]).ok();
    let _ = home.cmd(["amend", &receipts[0].id, "--severity", "low"]).ok();
    home.flush();
    let amended = ["failure", "observation", "experiment"];
    for receipt in receipts.iter().filter(|it| it.kind != "failure" || it.id == receipts[0].id) {
        let shown = home.cmd(["show", &receipt.id, "--json"]).ok().json()["records"][0].take();
        let time = shown["updated_at"].as_str().expect("a time");
        assert_eq!(time.starts_with("2020"), !amended.contains(&receipt.kind.as_str()), "{shown}");
    }
    let before = rows(&home);
    for file in ["index.db", "index.db-wal", "index.db-shm", "search.db"] {
        let _ = fs::remove_file(home.join("memory").join(file));
    }
    let _ = home.cmd(["repair"]).ok();
    assert_eq!(rows(&home), before, "a rebuild has moved something");
    let other = TestHome::new();
    let _ = other.cmd(["import", &file(&other, &export(&home))]).ok();
    other.flush();
    assert_eq!(rows(&other), before, "an import has moved something");
    assert_agree(&other);
}

#[test]
fn a_line_without_a_path_gets_the_homes_own() {
    let home = TestHome::new();
    let receipt = home.record("failure", "a title");
    home.flush();
    let mut line: Value = serde_json::from_str(export(&home).lines().nth(1).expect("a record")).expect("JSON");
    line.as_object_mut().expect("an object").remove("path");
    let copy = TestHome::new();
    assert_eq!(import(&copy, &file(&copy, &line.to_string()))["imported"], 1);
    assert_eq!(files(&copy).keys().collect::<Vec<_>>(), files(&home).keys().collect::<Vec<_>>());
    assert_agree(&copy);
    assert!(copy.join(&receipt.page()).is_file());
}

#[test]
fn folders_stay_small_however_many_lines_bring_no_path() {
    let home = TestHome::new();
    let line = |number: u64| {
        let id = format!("0198f3a2-{:04x}-7b3d-9a4f-{number:012x}", number / 100);
        let (title, summary) = (format!("number {number}"), "as it was said. ".repeat(100));
        let at = format!("2026-03-04T05:06:{:02}.000Z", number % 60);
        let record = json!({ "id": id, "created_at": at, "kind": "failure", "title": title, "domain": "d", "severity": 3,
            "summary": summary, "path": "" });
        format!("{record}\n")
    };
    let path = file(&home, &(0..1_400).map(line).collect::<String>());
    let dry = home.cmd(["import", "--dry-run", "--json", &path]).ok();
    assert_eq!(dry.json()["imported"], 1_400);
    assert!(!home.join("memory/failures/2026").exists(), "a dry run makes no folders");
    let imported = home.cmd(["import", "--json", &path]).ok();
    assert_eq!(imported.json()["imported"], 1_400);
    let mut names = BTreeMap::new();
    files(&home).keys().for_each(|path| *names.entry(path.parent().map(Path::to_owned)).or_insert(0) += 1);
    assert_eq!(names.values().sum::<usize>(), 1_400);
    assert!(names.len() > 1 && names.values().all(|count| *count < 1_350), "{names:?}");
    let again = home.cmd(["import", "--json", &path]).ok();
    assert_eq!((&again.json()["imported"], &again.json()["known"]), (&json!(0), &json!(1_400)));
    assert_eq!(files(&home).len(), 1_400);
}
