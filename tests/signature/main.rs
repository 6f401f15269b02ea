//! The signature of a failure, held against real outputs: `tests/fixtures/signature` has them, grouped by failure.
//!
//! Two outputs of one failure have one signature, outputs of two failures never. A signature stays under what differs between
//! two runs ([`disturb`]), and is another one if what failed is another thing.

mod differ;
mod disturb;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indelible::signature::{Signature, error_line, signature};
use serde::Deserialize;

/// One output of a failure.
#[derive(Clone, Debug, Deserialize)]
struct Row {
    command: String,
    exit: i32,
    output: String,
    /// The failure that it is an output of.
    group: String,
    cwd: String,
}

impl Row {
    fn signature(&self) -> Option<Signature> {
        signature(&self.command, &self.cwd, Some(self.exit), self.output.as_bytes(), false)
    }
}

/// The rows of a file.
fn rows(name: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signature").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// The rows of all files.
fn all_rows() -> Vec<Row> {
    let mut all = rows("errors.jsonl");
    // Groups of two files are not compared: they can be of one failure.
    all.extend(rows("own.jsonl").into_iter().map(|row| Row { group: format!("own {}", row.group), ..row }));
    all
}

/// Of the pairs of one group, how many there are, and which have not one signature.
fn pairs(rows: &[Row]) -> (usize, Vec<String>) {
    let mut groups = BTreeMap::<&str, Vec<&Row>>::new();
    for row in rows {
        groups.entry(&row.group).or_default().push(row);
    }
    let (mut count, mut missed) = (0, Vec::new());
    for (name, group) in groups {
        for (at, one) in group.iter().enumerate() {
            for other in &group[at + 1..] {
                count += 1;
                let (one, other) = (one.signature(), other.signature());
                if one.is_none() || one != other {
                    missed.push(format!("{name}: {one:?}\n    {other:?}\n"));
                }
            }
        }
    }
    (count, missed)
}

/// The signatures that outputs of several groups have.
fn joined(rows: &[Row]) -> Vec<String> {
    let mut groups = BTreeMap::<String, BTreeSet<&str>>::new();
    for row in rows {
        if let Some(signature) = row.signature() {
            groups.entry(format!("{signature:?}")).or_default().insert(&row.group);
        }
    }
    groups.into_iter().filter(|(_, of)| of.len() > 1).map(|(signature, of)| format!("{signature}: {of:?}\n")).collect()
}

#[track_caller]
fn one_signature_each(name: &str, pairs_min: usize, share: f64) {
    let rows = rows(name);
    let (count, missed) = pairs(&rows);
    let found = (count - missed.len()) as f64 / count as f64;
    println!("{name}: {found:.3} of {count} pairs have one signature; these have not:\n{}", missed.concat());
    assert!(count >= pairs_min && found >= share, "{found:.3} of {count} pairs have one signature");
    let joined = joined(&rows);
    assert!(joined.is_empty(), "failures that are taken for one:\n{}", joined.concat());
}

#[test]
fn outputs_of_one_failure_have_one_signature_and_of_two_never() {
    one_signature_each("errors.jsonl", 111, 0.94);
}

#[test]
fn so_it_is_for_the_tools_of_another_machine() {
    one_signature_each("own.jsonl", 300, 0.97);
}

#[test]
fn an_exit_code_alone_is_no_signature() {
    for (command, exit, output) in [
        ("false", 1, ""),
        ("timeout 1 sleep 9", 124, "\n\n"),
        ("./a", 137, "Killed\n"),
        ("./a", 139, "Segmentation fault (core dumped)\n"),
        ("bash a.sh", 139, "a.sh: line 3: 4711 Segmentation fault      (core dumped) ./a\n"),
        ("bash a.sh", 137, "a.sh: line 3: 4711 Killed                  python3 train.py --epochs 3\n"),
        ("python3 a.py", 1, "AssertionError\n"),
        ("python3 a.py", 1, "Traceback (most recent call last):\nAssertionError\n"),
        ("npm run build", 1, "Build failed\n"),
        ("make check", 2, "make: *** [Makefile:2: check] Error 3\n"),
        ("./a", 3, "Error: process exited with code 3\n"),
        ("ls", 0, "error.log\nnotes.txt\n"),
        ("cat a.log", 0, "error: the cache is stale\n"),
        ("python3 a.py", 0, "the file could not be found, made a new one\n"),
    ] {
        assert_eq!(signature(command, "/srv/a", Some(exit), output.as_bytes(), false), None, "{command}: {output}");
    }
}

#[test]
fn an_exit_code_that_lies_hides_nothing() {
    let output = b"config: region is missing\n";
    let of = |command: &str, exit: i32| signature(command, "/srv/a", Some(exit), output, false);
    let plain = of("./run", 1);
    assert!(plain.is_some());
    for command in ["./run | tail -3", "./run || true", "./run; echo", "bash -lc './run 2>&1 | tee log'"] {
        assert_eq!(of(command, 0), plain, "{command}");
    }
}

#[test]
fn what_a_host_has_cut_counts_only_if_it_is_certain() {
    let of = |output: &str, was_cut: bool| signature("./run", "/srv/a", Some(1), output.as_bytes(), was_cut);
    let certain = "src/a.c:3:5: error: 'x' undeclared\n";
    assert_eq!(of(certain, true), of(certain, false));
    for output in ["no stash to be had\n", "a region could not be found\n"] {
        assert!(of(output, false).is_some() && of(output, true).is_none(), "{output}");
        let marked = format!("... [120 lines truncated] ...\n{output}");
        assert_eq!(of(&marked, false), None, "{output}");
    }
}

/// Of a short output that nothing marks as an error, the last line is the one that a person is shown.
#[test]
fn the_error_line_is_the_one_that_says_what_went_wrong() {
    for (command, output, class, line) in [
        ("ship it", "Sending parcel 7 to the depot\nthe depot is closed today", "last", "the depot is closed today"),
        ("ship it", "the depot is closed today", "last", "the depot is closed today"),
        (
            "ship it",
            "error: cannot reach host db1, see the log for details.\nbye for now\nand more\nlines",
            "fatal",
            "error: cannot reach host db1, see the log for details.",
        ),
    ] {
        let found = signature(command, "/w", Some(1), output.as_bytes(), false).expect(output);
        assert_eq!(found.class, class, "{output}");
        assert_eq!(error_line(&found, "/w", output.as_bytes()).as_deref(), Some(line));
    }
}
