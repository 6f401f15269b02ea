//! Tools by the dozen: one output for each failure, from which runs of it are made. `tests/fixtures/signature/tools*.txt` say how.

use std::path::Path;

use indelible::signature::{Signature, signature};

/// What differs between two runs of one failure: a count or a line, a time, a folder.
const RUNS: [[(&str, &str); 3]; 2] = [
    [("##", "3"), ("%%", "0.01"), ("~~", "/home/ada/shop")],
    [("##", "17"), ("%%", "2.35"), ("~~", "/srv/ci/build_7/shop")],
];

/// Two failures of one tool.
struct Case {
    tool: String,
    command: String,
    outputs: [String; 2],
}

impl Case {
    /// The signature of the failure `which` in the run `run`.
    fn signature(&self, which: usize, run: usize) -> Option<Signature> {
        let output =
            RUNS[run].iter().fold(self.outputs[which].clone(), |text, (mark, value)| text.replace(mark, value));
        signature(&self.command, RUNS[run][2].1, Some(1), output.as_bytes(), false)
    }
}

fn cases(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signature").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let case = |block: &str| {
        let (head, body) = block.split_once('\n').expect("a head");
        let (tool, command) = head.split_once(" $ ").expect("a command");
        let outputs = match body.strip_prefix("@ ") {
            Some(rest) => {
                let (names, output) = rest.split_once('\n').expect("an output");
                let (one, other) = names.split_once(" | ").expect("two names");
                [one, other].map(|name| output.replace("@@", name))
            }
            None => {
                let (one, other) = body.split_once("---- other\n").expect("two outputs");
                [one.to_owned(), other.to_owned()]
            }
        };
        Case { tool: tool.to_owned(), command: command.to_owned(), outputs }
    };
    format!("\n{text}").split("\n#### ").skip(1).map(case).collect()
}

/// Holds the tools of a file to it: two failures are never one, and two runs of a failure are, but for `missed_max` failures.
#[track_caller]
fn told_apart(name: &str, tools_min: usize, missed_max: usize) {
    let cases = cases(name);
    assert!(cases.len() >= tools_min, "{} tools", cases.len());
    let (mut joined, mut missed) = (Vec::new(), Vec::new());
    for case in &cases {
        let [one, other] = [0, 1].map(|which| case.signature(which, 0));
        if one.is_some() && one == other {
            joined.push(format!("{}: {one:?}\n", case.tool));
        }
        for (which, first) in [one, other].into_iter().enumerate() {
            let again = case.signature(which, 1);
            if first.is_none() || first != again {
                missed.push(format!("{}: {first:?}\n    {again:?}\n", case.tool));
            }
        }
    }
    println!(
        "{name}: {} of {} failures have no signature, or several:\n{}",
        missed.len(),
        2 * cases.len(),
        missed.concat()
    );
    assert!(joined.is_empty(), "failures that are taken for one:\n{}", joined.concat());
    assert!(missed.len() <= missed_max, "{} are missed:\n{}", missed.len(), missed.concat());
}

#[test]
fn failures_of_many_tools_are_told_apart() {
    told_apart("tools.txt", 50, 0);
}

#[test]
fn so_they_are_for_tools_that_no_rule_was_made_for() {
    told_apart("tools-held.txt", 45, 6);
    told_apart("tools-held2.txt", 45, 3);
    told_apart("tools-held3.txt", 22, 3);
}
