//! What a record costs: exactly one sync, whatever its kind and whatever other processes do.

use crate::support::{KINDS, TestHome, Worker, assert_exactly_once, has_strace, record_args};

const SYNCS: &str = "trace=fsync,fdatasync,sync_file_range,syncfs,msync,sync";

/// Runs the product with `args` under strace, and returns what it said and each of its syncs.
fn traced(home: &TestHome, args: &[String], stdin: Option<String>) -> (String, Vec<String>) {
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = home.under(&["strace", "-f", "-o", name, "-e", SYNCS], &args);
    if let Some(stdin) = stdin {
        command = command.stdin(stdin);
    }
    let outcome = command.ok();
    let text = std::fs::read_to_string(&trace).expect("strace has written what it saw");
    assert!(text.contains("+++ exited with 0 +++"), "strace did not see the end of it:\n{text}");
    let syncs = text.lines().filter(|line| line.contains("sync") && line.contains('(') && !line.contains("resumed"));
    (outcome.stdout, syncs.map(str::to_owned).collect())
}

/// A home where records have been recorded and committed before.
fn steady() -> TestHome {
    let home = TestHome::new();
    let _ = home.record_each("before");
    home.flush();
    let _ = home.record_each("before, too");
    home
}

fn assert_one_sync_each(home: &TestHome) {
    let mut receipts = Vec::new();
    for kind in KINDS {
        for key in [None, Some(format!("key of {kind}"))] {
            let mut args = record_args(kind, &format!("traced {kind}, key {key:?}"));
            args.extend(key.iter().flat_map(|key| ["--key".to_owned(), key.clone()]));
            let (stdout, syncs) = traced(home, &args, None);
            assert_eq!(syncs.len(), 1, "a record of kind {kind} costs one sync, with key {key:?}: {syncs:#?}");
            let json = serde_json::from_str(&stdout).expect("a receipt is JSON");
            receipts.push(crate::support::Receipt::of(&json));
        }
    }
    home.flush();
    let all = assert_exactly_once(home, &receipts);
    assert_eq!(all.ids().len(), receipts.len() + 2 * KINDS.len(), "a record is missing, or one too many");
}

#[test]
fn a_record_costs_one_sync() {
    if !has_strace() {
        return;
    }
    assert_one_sync_each(&steady());
}

#[test]
fn a_record_costs_one_sync_beside_a_worker() {
    if !has_strace() {
        return;
    }
    let home = steady();
    let _worker = Worker::quick(&home);
    assert_one_sync_each(&home);
}

#[test]
fn a_repeat_of_a_key_costs_no_sync() {
    if !has_strace() {
        return;
    }
    let home = steady();
    let mut args = record_args("failure", "keyed");
    args.extend(["--key".to_owned(), "k".to_owned()]);
    let (first, syncs) = traced(&home, &args, None);
    assert_eq!(syncs.len(), 1, "the first of a key is a record like any other: {syncs:#?}");
    home.flush();
    let (second, syncs) = traced(&home, &args, None);
    assert_eq!(syncs.len(), 0, "a repeat that the index knows writes nothing: {syncs:#?}");
    let id = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("a receipt is JSON")["id"].clone();
    assert_eq!(id(&first), id(&second), "a repeat is the same record");
}

/// The first entry of a key can be one whose recorder never synced it.
#[test]
fn a_repeat_of_a_key_that_only_the_journal_has_is_synced() {
    if !has_strace() {
        return;
    }
    let home = steady();
    let mut args = record_args("failure", "keyed");
    args.extend(["--key".to_owned(), "k".to_owned()]);
    let _ = home.cmd(&args).env("INDELIBLE_CRASH_AT", "AppendBeforeSync").run().aborted();
    let (answer, syncs) = traced(&home, &args, None);
    assert_eq!(syncs.len(), 1, "what is acknowledged is synced: {syncs:#?}");
    home.flush();
    let receipt = crate::support::Receipt::of(&serde_json::from_str(&answer).expect("a receipt is JSON"));
    assert!(receipt.duplicate, "the first entry is the record: {answer}");
    assert_exactly_once(&home, &[receipt]);
}

#[test]
fn a_batch_of_a_thousand_costs_a_handful() {
    if !has_strace() {
        return;
    }
    let home = steady();
    let line = |number| format!("{{\"kind\":\"failure\",\"title\":\"line {number}\",\"domain\":\"ci\"}}\n");
    let lines: String = (0..1000).map(line).collect();
    let args = ["record", "batch", "--json"].map(str::to_owned);
    let (stdout, syncs) = traced(&home, &args, Some(lines));
    assert_eq!(stdout.lines().count(), 1000, "each line is answered");
    assert!(syncs.len() <= 10, "a batch shares its syncs: {} for 1000 lines", syncs.len());
    assert!(!syncs.is_empty(), "nothing is durable without a sync");
    home.flush();
    let receipts: Vec<_> = stdout
        .lines()
        .map(|line| crate::support::Receipt::of(&serde_json::from_str(line).expect("an answer is JSON")))
        .collect();
    assert_exactly_once(&home, &receipts);
}
