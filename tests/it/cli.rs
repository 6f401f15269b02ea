//! The command line as a contract: exit codes, what is refused and how, what is kept exactly, and what other users cannot see.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    KINDS, Outcome, Receipt, TestHome, Worker, assert_exactly_once, has_strace, skipped, write_program,
};

const BODY_BYTES_MAX: usize = 1 << 20;

/// Everything in the home but what SQLite touches when it is read.
fn everything(home: &TestHome) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            let size = path.symlink_metadata().map_or(0, |it| if it.is_dir() { 0 } else { it.len() });
            found.push(format!("{} {size}", path.display()));
            if path.is_dir() && !path.is_symlink() {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(home.path(), &mut found);
    found.retain(|path| !path.contains("index.db-"));
    found.sort();
    found
}

/// Holds that `attempt` is refused with `exit`, says so in one line that has all of `words`, and leaves nothing behind.
#[track_caller]
fn assert_refused(home: &TestHome, attempt: impl FnOnce() -> Outcome, exit: i32, words: &[&str]) {
    let (journal, files) = (home.journal(), everything(home));
    let outcome = attempt().exits(exit);
    assert_eq!(outcome.stdout, "", "nothing was recorded, and something was said on stdout: {outcome}");
    let one_line = if exit == 65 { "error: " } else { "cause: " };
    let mut causes = outcome.stderr.lines().filter(|line| line.starts_with(one_line));
    let cause = causes.next().unwrap_or_else(|| panic!("no line says why: {outcome}"));
    assert_eq!(causes.count(), 0, "one line says why: {outcome}");
    assert!(exit != 65 || outcome.stderr.lines().count() == 1, "bad input gets one line: {outcome}");
    for word in words {
        assert!(cause.contains(word), "the cause does not name {word:?}: {outcome}");
    }
    assert_eq!(home.journal(), journal, "what was refused is in the journal");
    assert_eq!(everything(home), files, "what was refused has left something behind");
}

/// A recorder of a failure with these flags beside the ones that it needs.
fn failure(home: &TestHome, flags: &[(&str, &str)]) -> Outcome {
    let mut args = vec!["record", "failure"];
    for (flag, value) in [("--title", "t"), ("--domain", "d")] {
        if !flags.iter().any(|(given, _)| *given == flag) {
            args.extend([flag, value]);
        }
    }
    args.extend(flags.iter().flat_map(|(flag, value)| [*flag, *value]));
    home.cmd(args).run()
}

#[test]
fn a_field_that_is_not_as_it_must_be_is_refused() {
    let home = TestHome::new();
    let long = "x".repeat(501);
    type Flags<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Flags<'_>, &[&str])] = &[
        (&[("--title", "")], &["title", "empty"]),
        (&[("--title", " \t\n")], &["title", "blank", "3"]),
        (&[("--title", &long)], &["title", "500", "501"]),
        (&[("--domain", &long[..101])], &["domain", "100", "101"]),
        (&[("--tags", &long)], &["tags", "500", "501"]),
        (&[("--severity", "9")], &["severity", "1 to 5", "9"]),
        (&[("--severity", "fatal")], &["severity", "1 to 5", "fatal"]),
        (&[("--severity", "-1")], &["severity", "1 to 5", "-1"]),
        (&[("--key", "")], &["key", "empty"]),
        (&[("--key", &long)], &["key", "500", "501"]),
    ];
    for (flags, words) in cases {
        assert_refused(&home, || failure(&home, flags), 65, words);
    }
    for (confidence, words) in [("1.2", ["confidence", "0 to 1", "1.2"]), ("nan", ["confidence", "0 to 1", "nan"])] {
        let args = ["record", "heuristic", "--domain", "d", "--rule", "r", "--confidence", confidence];
        assert_refused(&home, || home.cmd(args).run(), 65, &words);
    }
    let experiment = ["record", "experiment", "--name", "n", "--hypothesis", "  "];
    assert_refused(&home, || home.cmd(experiment).run(), 65, &["hypothesis", "blank"]);
    home.assert_settled();
}

#[test]
fn a_body_that_is_too_long_or_no_text_is_refused() {
    let home = TestHome::new();
    let summary = |bytes: Vec<u8>| {
        let args = ["record", "failure", "--title", "t", "--domain", "d", "--summary", "-"];
        home.cmd(args).stdin(bytes).run()
    };
    let limit = BODY_BYTES_MAX.to_string();
    assert_refused(&home, || summary(vec![b'x'; BODY_BYTES_MAX + 1]), 65, &["summary", &limit]);
    assert_refused(&home, || summary(b"ab\xff".to_vec()), 65, &["summary", "UTF-8", "2"]);
    assert_refused(&home, || summary(b"ab\0c".to_vec()), 65, &["summary", "NUL", "2"]);
    let _ = summary(vec![b'x'; BODY_BYTES_MAX]).exits(0);
    home.flush();
    home.assert_settled();
}

#[test]
fn a_flag_that_is_no_utf8_is_refused() {
    let home = TestHome::new();
    let wrong = OsStr::from_bytes(b"a\xff");
    for field in ["title", "domain", "severity", "tags", "summary", "key"] {
        let mut args = vec!["record", "failure"];
        for needed in ["title", "domain"].into_iter().filter(|needed| *needed != field) {
            args.extend([if needed == "title" { "--title" } else { "--domain" }, "x"]);
        }
        let attempt = || home.cmd(args).args([OsStr::new(&format!("--{field}")), wrong]).run();
        assert_refused(&home, attempt, 65, &[field, "UTF-8"]);
    }
}

#[test]
fn a_line_with_a_field_of_another_kind_is_refused_and_not_recorded_without_it() {
    let home = TestHome::new();
    for (line, field, known) in [
        (r#"{"kind":"heuristic","rule":"r","domain":"d","summary":"the whole story"}"#, "summary", "explanation"),
        (r#"{"kind":"success","title":"t","domain":"d","rule":"r"}"#, "rule", "title"),
        (r#"{"kind":"experiment","name":"n","hypothesis":"h","domain":"d"}"#, "domain", "hypothesis"),
    ] {
        let outcome = home.cmd(["record", "batch"]).stdin(line).run().exits(65);
        let answer: Value = serde_json::from_str(outcome.stdout.trim()).expect("an answer is JSON");
        let error = answer["error"].as_str().expect("an error is text");
        assert!(error.starts_with(field) && error.contains(known), "{answer}");
    }
    let null = r#"{"kind":"heuristic","rule":"r","domain":"d","summary":null}"#;
    let _ = home.cmd(["record", "batch"]).stdin(null).ok();
}

#[test]
fn bad_lines_of_a_batch_are_answered_and_the_others_recorded() {
    let home = TestHome::new();
    let lines: [(&[u8], Option<&[&str]>); 18] = [
        (br#"{"kind":"failure","title":"one","domain":"d"}"#, None),
        (b"[1, 2]", Some(&["object"])),
        (b"\"failure\"", Some(&["object"])),
        (b"{", Some(&["object"])),
        (br#"{"kind":"failure","title":"x","domain":"d","sevrity":3}"#, Some(&["sevrity"])),
        (br#"{"kind":"disaster","title":"x","domain":"d"}"#, Some(&["disaster"])),
        (br#"{"kind":"failure","title":"a\u0000b","domain":"d"}"#, Some(&["title", "NUL"])),
        (br#"{"kind":"failure","domain":"d"}"#, Some(&["title", "required"])),
        (br#"{"kind":"failure","title":"x","domain":"d","severity":9}"#, Some(&["severity", "9"])),
        (br#"{"kind":"heuristic","rule":"x","domain":"d","confidence":1.2}"#, Some(&["confidence", "1.2"])),
        (b"{\"kind\":\"failure\",\"title\":\"a\xff\",\"domain\":\"d\"}", Some(&["line"])),
        (br#"{"kind":"heuristic","rule":"two","domain":"d","confidence":"high"}"#, None),
        (br#"{"kind":"experiment","name":"three","hypothesis":"h","key":"k"}"#, None),
        (br#"{"kind":"success","title":"four","domain":"d","severity":"low"}"#, None),
        (br#"{"kind":"success","title":"five","domain":"d","tags":["a","b"]}"#, None),
        (br#"{"kind":"failure","title":"x","domain":"d","tags":["a",2]}"#, Some(&["`tags`", "array of texts"])),
        (br#"{"kind":"failure","title":5,"domain":"d"}"#, Some(&["`title`", "5", "string"])),
        (br#"{"kind":"failure","title":"x","domain":"d"} {}"#, Some(&["line", "trailing"])),
    ];
    let input = lines.iter().map(|(line, _)| *line).collect::<Vec<_>>().join(&b'\n');
    let outcome = home.cmd(["record", "batch"]).stdin(input).run().exits(65);
    let answers: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(answers.len(), lines.len(), "each line has one answer: {outcome}");
    let mut receipts = Vec::new();
    for (number, ((_, words), answer)) in lines.iter().zip(answers).enumerate() {
        let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
        let Some(words) = words else {
            receipts.push(Receipt::of(&answer));
            continue;
        };
        assert_eq!((&answer["line"], &answer["exit"]), (&json!(number + 1), &json!(65)), "{answer}");
        let error = answer["error"].as_str().expect("an error is text");
        assert!(words.iter().all(|word| error.contains(word)), "it does not name {words:?}: {answer}");
    }
    home.flush();
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.ids().len(), 5, "a line that was refused is recorded, or a good one is not");
    assert_refused_batch(&home);
}

/// A batch of nothing but bad lines writes nothing.
fn assert_refused_batch(home: &TestHome) {
    let before = home.journal();
    let _ = home.cmd(["record", "batch"]).stdin("[]\n{}\n").run().exits(65);
    assert_eq!(home.journal(), before, "what was refused is in the journal");
    let empty = home.cmd(["record", "batch"]).stdin("").ok();
    assert_eq!(empty.stdout, "", "no line is no answer: {empty}");
    let blank = home.cmd(["record", "batch"]).stdin("\n  \n").ok();
    assert_eq!(blank.stdout, "", "a blank line is no line: {blank}");
    assert_eq!(home.journal(), before, "nothing is in the journal");
}

#[test]
fn a_batch_whose_index_is_replaced_goes_on_in_the_new_one() {
    use std::io::{BufRead as _, Write as _};
    let home = TestHome::new();
    let mut command = home.cmd(["record", "batch"]).into_command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let mut answers = std::io::BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut record = |title: &str| {
        let line = json!({ "kind": "failure", "title": title, "domain": "d" });
        writeln!(stdin, "{line}").expect("it reads");
        let answer = answers.next().expect("it answers").expect("its answer is UTF-8");
        Receipt::of(&serde_json::from_str(&answer).expect("its answer is JSON"))
    };
    let before = record("before");
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{end}")));
    }
    let _ = home.cmd(["repair"]).run();
    let after = record("after");
    let count = "SELECT count(*) FROM records WHERE id = ?1";
    let rows: u32 = home.index().query_row(count, [&after.id], |row| row.get(0)).expect("the index answers");
    assert_eq!(rows, 1, "its row went to an index that no program will find");
    drop(stdin);
    assert!(child.wait().expect("it is our child").success(), "the batch failed");
    home.flush();
    assert_exactly_once(&home, &[before, after]);
}

#[test]
fn repeats_of_a_key_within_a_batch_are_one_record() {
    let home = TestHome::new();
    let line = |title: &str| format!(r#"{{"kind":"failure","title":"{title}","domain":"d","key":"k"}}"#);
    let outcome = home.cmd(["record", "batch"]).stdin(format!("{}\n{}\n", line("one"), line("two"))).ok();
    let receipts: Vec<_> = outcome
        .stdout
        .lines()
        .map(|line| Receipt::of(&serde_json::from_str(line).expect("an answer is JSON")))
        .collect();
    assert_eq!(receipts.iter().map(|it| it.duplicate).collect::<Vec<_>>(), [false, true]);
    assert_eq!(receipts[0].id, receipts[1].id, "one key is one record");
    home.flush();
    assert_eq!(assert_exactly_once(&home, &receipts).ids().len(), 1, "one key made two records");
}

#[test]
fn bad_usage_is_64_and_no_home_is_78() {
    let home = TestHome::new();
    let usages: [&[&str]; 10] = [
        &[],
        &["recrod"],
        &["record"],
        &["record", "disaster"],
        &["record", "failure", "--titel", "t"],
        &["record", "failure", "--title", "t"],
        &["record", "heuristic", "--domain", "d"],
        &["flush", "--timeout", "soon"],
        &["worker", "--log", "nowhere"],
        &["record", "failure", "--title", "t", "--domain", "d", "--set", "nonsense"],
    ];
    for args in usages {
        let outcome = home.cmd(args).run().exits(64);
        assert_eq!(outcome.stdout, "", "usage goes to stderr: {outcome}");
        assert!(!outcome.stderr.is_empty(), "it does not say what is wrong: {outcome}");
    }
    let absent = TestHome::absent();
    let record = ["record", "failure", "--title", "t", "--domain", "d"];
    for args in [&["flush"][..], &["recover"], &["verify"], &["repair"], &["status"], &["worker"], &record] {
        let outcome = absent.cmd(args).run().exits(78);
        assert!(outcome.stderr.contains("indelible init"), "it does not say how to make a home: {outcome}");
        let _ = absent.homeless(args).run().exits(78);
    }
    assert!(!absent.path().exists(), "a home was made by something other than init");
}

#[test]
fn a_home_is_found_by_flag_variable_folder_or_in_the_data_folder() {
    let home = TestHome::new();
    let record = ["record", "failure", "--title", "t", "--domain", "d", "--json"];
    let path = home.path().to_str().expect("the temporary folder's name is UTF-8");
    let by_variable = home.homeless(record).env("INDELIBLE_HOME", path).ok().receipt();
    let by_folder = home.homeless(record).folder(&home.join("memory")).ok().receipt();
    home.flush();
    assert_exactly_once(&home, &[by_variable, by_folder]);
    let _ = home.homeless(["init"]).ok();
    let _ = home.homeless(record).ok();
    assert!(home.user().join(".local/share/indelible/.indelible/home.json").exists(), "not in the data folder");
    let again = home.cmd(["init", "--json"]).ok().json();
    assert_eq!(again["added"], json!([]), "a home that is whole needs nothing: {again}");
}

#[test]
fn json_has_the_shape_that_is_promised() {
    let home = TestHome::new();
    for kind in KINDS {
        let receipt = home.record(kind, "shape");
        assert_eq!((receipt.kind.as_str(), receipt.duplicate), (kind, false));
        assert!(receipt.row_id.is_some(), "nothing was in the way of its row: {receipt:?}");
        assert!(home.join(&receipt.path).exists(), "its path is relative to the home: {receipt:?}");
        assert_eq!(home.join(&receipt.path).is_dir(), kind == "experiment", "{receipt:?}");
    }
    let keyed = home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt();
    assert_eq!(keyed.row_id, None, "a keyed record's row is the worker's: {keyed:?}");
    let has = |value: &Value, names: &[&str]| {
        let lacking: Vec<_> = names.iter().filter(|name| value.get(name).is_none()).collect();
        assert!(lacking.is_empty(), "{lacking:?} are not in {value}");
    };
    has(
        &home.status(),
        &["pending", "worker", "published", "journal", "index_wal_bytes", "quarantine", "needs_attention"],
    );
    assert_eq!(home.status()["pending"]["records"], 6);
    let flushed = home.cmd(["flush", "--json"]).ok().json();
    assert_eq!((&flushed["flushed"], &flushed["committed"]), (&json!(true), &json!(6)), "{flushed}");
    let repeat = home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt();
    assert!(repeat.duplicate && repeat.row_id.is_some() && repeat.id == keyed.id, "{repeat:?}");
    has(&home.recover(), &["swept", "index_rebuilt", "committed", "files_restored", "rows_added", "lost", "damaged"]);
    let verified = home.cmd(["verify", "--json"]).ok().json();
    has(&verified, &["records", "pending", "disagreements", "index", "history", "journal", "quarantine"]);
    assert_eq!(verified["records"], 6);
    has(&home.cmd(["repair", "--json"]).ok().json(), &["mended", "dismissed", "left"]);
    let refused = home.cmd(["record", "failure", "--json", "--title", "", "--domain", "d"]).run().exits(65);
    let error: Value = serde_json::from_str(&refused.stderr).expect("an error is JSON as well");
    has(&error, &["error", "causes", "hint", "exit"]);
    assert_eq!(error["exit"], 65);
}

/// Whatever is wrong, the exit code is one of those that are promised: never 2, which agents' hook runners read as "block
/// the tool call", and never 101.
#[test]
fn exit_codes_are_those_that_are_promised() {
    let home = TestHome::new();
    type Damage = fn(&TestHome);
    let damages: [(&str, Damage); 7] = [
        ("nothing", |_| {}),
        ("no journal folder", |home| fs::remove_dir_all(home.join(".indelible/journal")).expect("it is there")),
        ("an identity of garbage", |home| fs::write(home.join(".indelible/home.json"), "{").expect("it is there")),
        ("a newer identity", |home| {
            let text = r#"{"version":99,"id":"00000000-0000-0000-0000-000000000000"}"#;
            fs::write(home.join(".indelible/home.json"), text).expect("it is there");
        }),
        ("settings of garbage", |home| fs::write(home.join(".indelible/config.toml"), "[[[").expect("it is there")),
        ("a journal of another version", |home| {
            fs::create_dir_all(home.join(".indelible/journal")).expect("it can be made");
            let header = "indelible-journal 9 00000000-0000-0000-0000-000000000000\n";
            fs::write(home.join(".indelible/journal/0000000001.log"), header).expect("it is there");
        }),
        ("a history that is a file", |home| {
            fs::remove_dir_all(home.join(".git")).expect("it is there");
            fs::write(home.join(".git"), "nonsense").expect("it can be written");
        }),
    ];
    for (name, damage) in damages {
        damage(&home);
        for args in [
            &["record", "failure", "--title", "t", "--domain", "d"][..],
            &["record", "batch"],
            &["flush"],
            &["recover"],
            &["verify"],
            &["repair"],
            &["status"],
            &["init"],
            &["demo", "--nonsense"],
        ] {
            let line = r#"{"kind":"failure","title":"x","domain":"d"}"#;
            let outcome = home.cmd(args).stdin(line).run();
            let promised = [0, 1, 64, 65, 74, 75, 77, 78];
            assert!(outcome.code().is_some_and(|code| promised.contains(&code)), "with {name}: {outcome}");
            assert!(!outcome.stderr.contains("panicked"), "with {name}: {outcome}");
        }
    }
}

/// Longer than a clock can show, and than SQLite can count.
#[test]
fn a_time_beyond_all_measure_is_a_long_time() {
    let home = TestHome::new();
    let (never, longest) = (u64::MAX.to_string(), i64::MAX);
    let keyed = home.recorder("failure", "kept").args(["--key", "k", "--set"]);
    let _ = keyed.args([format!("record.index_wait_ms={longest}")]).ok();
    for command in ["flush", "recover", "repair"] {
        let _ = home.cmd([command, "--timeout", &never]).ok();
    }
    let times = ["worker.age_ms", "worker.index_wait_ms", "worker.poll_s", "worker.stop_s", "journal.keep_s"];
    let settings = times.map(|name| format!("{name}={longest}"));
    let worker = Worker::start(&home, &settings.each_ref().map(String::as_str));
    let _ = home.record("failure", "beside it");
    assert!(worker.stop(Signal::TERM).success(), "it commits what is pending and ends");
    home.assert_settled();
}

#[test]
fn a_reader_that_has_gone_costs_no_record() {
    let home = TestHome::new();
    let close = |args: &[&str], stdin: &str| {
        let mut command = home.cmd(args).into_command();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        use std::io::Write as _;
        let _ = child.stdin.take().expect("it was asked for").write_all(stdin.as_bytes());
        child.wait().expect("it is our child").code()
    };
    let record = ["record", "failure", "--title", "t", "--domain", "d", "--json"];
    assert_eq!(close(&record, ""), Some(0), "the record is kept, even if the receipt is not read");
    let line = "{\"kind\":\"failure\",\"title\":\"t\",\"domain\":\"d\"}\n";
    assert_eq!(close(&["record", "batch"], &line.repeat(300)), Some(0), "so are those of a batch");
    for args in [&["flush"][..], &["status"], &["verify"], &["recover"], &["completions", "bash"], &["--help"]] {
        assert_eq!(close(args, ""), Some(0), "{args:?} has done what it was asked");
    }
    home.assert_settled();
    let stores = assert_exactly_once(&home, &[]);
    assert_eq!(stores.ids().len(), 301, "a record is missing, or one too many");
}

#[test]
fn a_stream_that_is_closed_becomes_no_file_of_the_home() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let trace = home.user().join("opened");
    let name = trace.to_str().expect("our own name");
    let closed = ["strace", "-y", "-o", name, "-e", "trace=/^open", "sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    let _ = home.under(&closed, &["record", "failure", "--title", "t", "--domain", "d"]).ok();
    let text = fs::read_to_string(&trace).expect("strace has written what it saw");
    let opened: Vec<_> = text.lines().filter_map(|line| line.rsplit_once(" = ")).map(|(_, result)| result).collect();
    for stream in 0..3 {
        let ours = format!("{stream}<{}", home.path().display());
        assert!(!opened.iter().any(|result| result.starts_with(&ours)), "what is said goes to a file:\n{text}");
    }
    home.flush();
    assert_eq!(assert_exactly_once(&home, &[]).ids().len(), 1, "it was recorded");
}

#[test]
fn a_file_size_limit_refuses_or_keeps_but_nothing_between() {
    let body = "x".repeat(3000);
    // Multiples of 512 bytes or of 1024, as shells differ: from less than an entry to more than the index needs.
    let mut codes = HashSet::new();
    for blocks in [0, 1, 2, 4, 8, 16, 24, 32, 48, 64, 100, 200] {
        let home = TestHome::new();
        let before = home.record_each("before");
        let script = format!("ulimit -f {blocks}; exec \"$@\"");
        let args = ["record", "failure", "--json", "--title", "limited", "--domain", "d", "--summary", &body];
        let outcome = home.under(&["sh", "-c", &script, "sh"], &args).run();
        let _ = home.recover();
        let stores = assert_exactly_once(&home, &before);
        let there = stores.named("limited").len();
        match outcome.code() {
            Some(0) => assert_eq!(there, 1, "with {blocks} blocks it said that it keeps the record: {outcome}"),
            Some(74) => assert_eq!(there, 0, "with {blocks} blocks it said that it keeps nothing: {outcome}"),
            _ => panic!("with {blocks} blocks it ended with neither 0 nor 74: {outcome}"),
        }
        codes.insert(outcome.code());
        home.assert_settled();
        let _ = home.record("failure", "afterwards");
    }
    assert_eq!(codes.len(), 2, "no limit was tight enough, or none was wide enough");
}

#[test]
fn a_link_where_a_folder_should_be_is_refused() {
    let home = TestHome::new();
    let elsewhere = home.user().join("elsewhere");
    fs::create_dir(&elsewhere).expect("it can be made");
    for (kind, link) in [
        ("failure", "memory/failures"),
        ("heuristic", "memory/heuristics"),
        ("experiment", "experiments/active"),
        ("success", "memory/successes"),
    ] {
        let _ = fs::remove_dir_all(home.join(link));
        std::os::unix::fs::symlink(&elsewhere, home.join(link)).expect("a link can be made");
        assert_refused(&home, || home.cmd(plain(kind)).run(), 77, &[link]);
    }
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0, "something went through the link");
    let observation = home.record("observation", "where nothing is wrong");
    fs::remove_dir_all(home.join(".indelible/journal")).expect("it can be removed");
    std::os::unix::fs::symlink(&elsewhere, home.join(".indelible/journal")).expect("a link can be made");
    let _ = home.cmd(plain("observation")).run().exits(77);
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0, "something went through the link");
    assert!(home.join(&observation.path).exists());
}

/// A recorder of `kind` that says what it does in words.
fn plain(kind: &str) -> Vec<String> {
    crate::support::record_args(kind, "a headline").into_iter().filter(|arg| arg != "--json").collect()
}

#[test]
fn a_home_of_another_user_is_refused() {
    let home = TestHome::new();
    if !rustix::process::geteuid().is_root() {
        skipped("only root can give a folder to another user");
        return;
    }
    let journal = home.journal();
    std::os::unix::fs::chown(home.path(), Some(12345), None).expect("root can");
    for args in [&["record", "failure", "--title", "t", "--domain", "d"][..], &["flush"], &["worker"], &["recover"]] {
        let outcome = home.cmd(args).run().exits(77);
        assert!(outcome.stderr.contains("12345"), "it does not say whose home it is: {outcome}");
    }
    assert_eq!(home.journal(), journal, "what was refused is in the journal");

    // The same where it cannot even be looked into.
    let parent = home.path().parent().expect("it lies in a folder of the test");
    let program = parent.join("indelible");
    write_program(&program, &fs::read(env!("CARGO_BIN_EXE_indelible")).expect("it is there"));
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).expect("root can");
    let mut recorder = std::process::Command::new(&program);
    recorder.args(["record", "failure", "--title", "t", "--domain", "d", "--home"]).arg(home.path()).uid(12346);
    let outcome = recorder.output().expect("the recorder runs");
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(77), "{stderr}");
    assert!(stderr.contains("belongs to user 12345"), "it does not say whose home it is: {stderr}");
}

/// A title is one line by its nature, and yet data: nothing of it is lost, and its author is warned.
#[test]
fn a_title_of_several_lines_is_kept_and_warned_of() {
    let home = TestHome::new();
    for (title, is_told) in [("two\nlines", true), ("one line\n", false), ("one", false)] {
        let outcome = home.cmd(["record", "failure", "--domain", "d", "--title", title]).ok();
        assert_eq!(outcome.stderr.contains("several lines"), is_told, "{title:?}: {outcome}");
    }
}

#[test]
fn strange_titles_are_kept_exactly_and_name_safe_files() {
    let home = TestHome::new();
    let long = "日本語 ünïcödé 🦀".chars().cycle().take(500).collect::<String>();
    let titles = [
        "\u{1b}[31mred\u{1b}[0m \u{7}bell",
        "two\nlines\r\nand three",
        "---",
        "--- \nid: 00000000-0000-0000-0000-000000000000\n---",
        "<!-- comment --> <script>alert(1)</script>",
        "`rm -rf /` $(reboot) ${HOME} %s",
        "'; DROP TABLE learnings; --",
        "../../../etc/passwd",
        "/absolute",
        "--title",
        "-",
        "CON",
        "nul.txt",
        ".git",
        "# heading",
        "\"quoted\" \\ and 'quoted'",
        "{\"json\": true}",
        "\u{202e}reversed \u{200b}zero \u{feff}width",
        "  spaces around  ",
        "null",
        "~",
        "Indelible-Position: 1",
        &long,
    ];
    let mut receipts = Vec::new();
    for title in titles {
        for kind in KINDS {
            let args = match kind {
                "heuristic" => vec!["record", kind, "--json", "--domain", "odd", "--rule", title],
                "experiment" => vec!["record", kind, "--json", "--hypothesis", "h", "--name", title],
                _ => vec!["record", kind, "--json", "--domain", "odd", "--summary", "x", "--title", title],
            };
            receipts.push((title, home.cmd(args).ok().receipt()));
        }
    }
    home.flush();
    let stores = assert_exactly_once(&home, &receipts.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>());
    let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '/' | '-' | '_' | '.');
    for (title, receipt) in &receipts {
        let row = &stores.rows[&receipt.id];
        assert_eq!(row.headline.as_deref(), Some(*title), "the row has another title");
        assert!(receipt.path.chars().all(is_safe), "{title:?} names {:?}", receipt.path);
        let name = receipt.path.rsplit('/').next().expect("a path has a last part");
        assert!(!name.starts_with(['-', '.']) && name.len() < 100, "{title:?} names {name:?}");
        let text = fs::read_to_string(home.join(&receipt.page())).expect("a page is UTF-8");
        assert_eq!(
            front_matter_headline(&text).as_deref(),
            Some(*title),
            "the front matter has another title:\n{text}"
        );
        let hidden = text.chars().find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202e}' | '\u{feff}'));
        assert_eq!(hidden, None, "something that acts on a terminal is in the page of {title:?}");
    }
    let log = home.git(["log", "--format=%B"]).ok().stdout;
    assert!(!log.contains(['\u{1b}', '\u{7}', '\u{202e}']), "something that acts on a terminal is in the log");
    let trailers = log.lines().filter(|line| line.starts_with("Indelible-Position:")).count();
    assert_eq!(trailers, 1, "a title passes for a trailer:\n{log}");
    let said = home.cmd(["record", "failure", "--domain", "odd", "--title", titles[0]]).ok();
    assert!(!said.stdout.contains('\u{1b}'), "something that acts on a terminal is said: {said}");
    // An index that is built from the files has the same titles.
    let before: Vec<_> = stores.rows.values().map(|row| row.headline.clone()).collect();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
    }
    home.recover_fully();
    let rebuilt = crate::support::Stores::read(&home);
    let after: Vec<_> = stores.rows.keys().map(|id| rebuilt.rows[id].headline.clone()).collect();
    assert_eq!(before, after, "a title did not survive the way through its file");
}

/// The title in a page's front matter, read by nothing but the rules of YAML's double quotes.
fn front_matter_headline(page: &str) -> Option<String> {
    let front = page.strip_prefix("---\n")?.split_once("\n---\n")?.0;
    let quoted = front
        .lines()
        .find_map(|line| ["title: ", "rule: ", "name: "].into_iter().find_map(|name| line.strip_prefix(name)))?;
    let mut chars = quoted.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        let digits = match c {
            '\\' => match chars.next()? {
                'n' => Err('\n'),
                'r' => Err('\r'),
                't' => Err('\t'),
                'x' => Ok(2),
                'u' => Ok(4),
                'U' => Ok(8),
                other => Err(other),
            },
            other => Err(other),
        };
        text.push(match digits {
            Err(c) => c,
            Ok(digits) => {
                let code: String = chars.by_ref().take(digits).collect();
                char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
            }
        });
    }
    Some(text)
}

#[test]
fn hundreds_of_one_title_in_one_second_are_as_many_records() {
    let home = TestHome::new();
    // One rule twice in a domain would be one record.
    let line = |kind: &str, number: usize| match kind {
        "heuristic" => format!(r#"{{"kind":"heuristic","rule":"the same","domain":"d{number}"}}"#),
        "experiment" => r#"{"kind":"experiment","name":"the same","hypothesis":"h"}"#.to_owned(),
        kind => format!(r#"{{"kind":"{kind}","title":"the same","domain":"d"}}"#),
    };
    let lines: Vec<_> = (0..500).map(|number| line(KINDS[number % KINDS.len()], number)).collect();
    let outcome = home.cmd(["record", "batch"]).stdin(lines.join("\n")).ok();
    let receipts: Vec<_> = outcome
        .stdout
        .lines()
        .map(|line| Receipt::of(&serde_json::from_str(line).expect("an answer is JSON")))
        .collect();
    let ids: HashSet<_> = receipts.iter().map(|receipt| &receipt.id).collect();
    let paths: HashSet<_> = receipts.iter().map(|receipt| &receipt.path).collect();
    assert_eq!((ids.len(), paths.len()), (500, 500), "two records share an id or a path");
    home.flush();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn no_other_user_can_read_anything() {
    let home = TestHome::absent();
    let run = |args: &[&str]| home.under(&["sh", "-c", "umask 000; exec \"$@\"", "sh"], args).ok();
    let _ = run(&["init"]);
    for kind in KINDS {
        let args = crate::support::record_args(kind, "private");
        let _ = run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let _ = run(&["flush"]);
    let _ = run(&["record", "failure", "--title", "t", "--domain", "d", "--key", "k"]);
    let _ = run(&["flush", "--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"]);
    fs::write(home.join("memory/index.db"), "garbage").expect("it can be written");
    let _ = run(&["repair"]);
    let mut worker = run_worker_once(&home);
    worker.push_str("\nand all that a repair leaves behind");
    let mut seen = 0;
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is ours").map(|it| it.expect("it can be listed")) {
            let mode = entry.metadata().expect("it is ours").mode();
            assert_eq!(mode & 0o077, 0, "{} has mode {:o}: {worker}", entry.path().display(), mode & 0o7777);
            seen += 1;
            if entry.file_type().expect("it is ours").is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(seen > 30, "hardly anything was looked at");
    let mode = home.path().metadata().expect("it is ours").permissions().mode();
    assert_eq!(mode & 0o077, 0, "the home itself has mode {mode:o}");
}

/// Has a worker with its log in a file start and stop, and returns the log's name.
fn run_worker_once(home: &TestHome) -> String {
    let script = "umask 000; exec \"$@\"";
    let mut worker = home.under(&["sh", "-c", script, "sh"], &["worker", "--log", "file"]).spawn();
    let name = crate::support::wait_for("the worker to serve", || {
        let text = fs::read(home.join(".indelible/status.json")).ok()?;
        let published: Value = serde_json::from_slice(&text).ok()?;
        (published["state"] == "idle").then_some(())?;
        let logs = fs::read_dir(home.join(".indelible/logs")).ok()?;
        logs.filter_map(Result::ok).next()?.file_name().into_string().ok()
    });
    let process = rustix::process::Pid::from_child(worker.child());
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it was not waited for yet");
    let _ = worker.child().wait().expect("it is our child");
    name
}

#[test]
fn the_frameworks_variables_stand_in_for_flags() {
    let home = TestHome::new();
    let variables: [(&str, &[(&str, &str)]); 5] = [
        (
            "failure",
            &[
                ("FAILURE_TITLE", "from the environment"),
                ("FAILURE_DOMAIN", "ops"),
                ("FAILURE_SEVERITY", "high"),
                ("FAILURE_TAGS", "a,b"),
                ("FAILURE_SUMMARY", "the story"),
            ],
        ),
        ("success", &[("SUCCESS_TITLE", "t"), ("SUCCESS_DOMAIN", "ops")]),
        ("observation", &[("OBSERVATION_TITLE", "t"), ("OBSERVATION_DOMAIN", "ops")]),
        (
            "heuristic",
            &[
                ("HEURISTIC_DOMAIN", "ops"),
                ("HEURISTIC_RULE", "a rule"),
                ("HEURISTIC_CONFIDENCE", "0.75"),
                ("HEURISTIC_EXPLANATION", "why"),
                ("HEURISTIC_SOURCE", "failure"),
            ],
        ),
        ("experiment", &[("EXPERIMENT_NAME", "n"), ("EXPERIMENT_HYPOTHESIS", "h")]),
    ];
    let mut receipts = Vec::new();
    for (kind, variables) in variables {
        let mut command = home.cmd(["record", kind, "--json"]);
        for (name, value) in variables {
            command = command.env(name, value);
        }
        receipts.push(command.ok().receipt());
    }
    let index = home.index();
    let learning: (String, String, i64, String, String) = index
        .query_row("SELECT title, domain, severity, tags, summary FROM learnings WHERE type = 'failure'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .expect("it has a row");
    let text = |it: &str| it.to_owned();
    assert_eq!(learning, (text("from the environment"), text("ops"), 4, text("a,b"), text("the story")));
    let heuristic: (String, String, f64, String) = index
        .query_row("SELECT rule, explanation, confidence, source_type FROM heuristics", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .expect("it has a row");
    assert_eq!(heuristic, (text("a rule"), text("why"), 0.75, text("failure")));
    drop(index);
    let flagged = home.recorder("failure", "from the flag").env("FAILURE_TITLE", "from the environment").ok().receipt();
    receipts.push(flagged.clone());
    home.flush();
    let stores = assert_exactly_once(&home, &receipts);
    assert_eq!(stores.rows[&flagged.id].headline.as_deref(), Some("from the flag"), "a flag goes before a variable");
}

#[test]
fn a_dash_reads_the_body_from_stdin() {
    let home = TestHome::new();
    let body = "first\n\n```sh\nexit 1\n```\n";
    let bodies = [
        (vec!["failure", "--title", "t", "--domain", "d", "--summary", "-"], "SELECT summary FROM learnings"),
        (vec!["heuristic", "--rule", "r", "--domain", "d", "--explanation", "-"], "SELECT explanation FROM heuristics"),
        (vec!["experiment", "--name", "n", "--hypothesis", "-"], "SELECT hypothesis FROM experiments"),
    ];
    for (args, sql) in bodies {
        let receipt = home.cmd(["record", "--json"].into_iter().chain(args)).stdin(body).ok().receipt();
        let kept: String = home.index().query_row(sql, [], |row| row.get(0)).expect("it has a row");
        assert_eq!(kept, body, "the row does not have exactly what was given");
        let page = fs::read_to_string(home.join(&receipt.page())).expect("it can be read");
        assert!(page.contains(body), "the page does not have exactly what was given:\n{page}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let home = TestHome::absent();
    let commands: [&[&str]; 32] = [
        &[],
        &["init"],
        &["adopt"],
        &["release"],
        &["hook"],
        &["hooks", "install"],
        &["hooks", "uninstall"],
        &["hooks", "status"],
        &["record"],
        &["record", "failure"],
        &["record", "success"],
        &["record", "observation"],
        &["record", "heuristic"],
        &["record", "experiment"],
        &["record", "batch"],
        &["worker"],
        &["flush"],
        &["recover"],
        &["verify"],
        &["repair"],
        &["status"],
        &["demo"],
        &["service"],
        &["service", "install"],
        &["service", "uninstall"],
        &["service", "status"],
        &["config"],
        &["config", "list"],
        &["config", "get"],
        &["config", "set"],
        &["completions"],
        &["man"],
    ];
    for command in commands {
        for asked in [[command, &["--help"]].concat(), [command, &["-h"]].concat(), [&["help"], command].concat()] {
            let help = home.homeless(&asked).ok();
            let example = format!("indelible {}", command.join(" "));
            let mut examples = help.stdout.split_once("Example").unwrap_or_default().1.lines();
            assert!(examples.any(|line| line.contains(example.trim())), "{asked:?} has no example: {help}");
        }
    }
    let _ = home.homeless(["help", "nonsense"]).run().exits(64);
    let version = home.homeless(["--version"]).ok();
    assert_eq!(version.stdout.trim(), concat!("indelible ", env!("CARGO_PKG_VERSION")));
}
