//! Lines by their form that close an output: counts, times, advice. They say that something failed, and not what.

use super::telling;
use super::words::{EMPTY, begins_with};

/// How advice begins.
const ADVICE: &[&str] = &[
    "Use ",
    "Run ",
    "Re-run ",
    "Rerun ",
    "See ",
    "Try ",
    "* Try",
    "Visit ",
    "Consult ",
    "Please ",
    "If you ",
    "You can ",
    "You may ",
    "Did you ",
    "Learn more",
    "More info",
    "A full log",
    "Full log",
    "Output from ",
    "Transcript written",
    "Get more help",
    "To see ",
    "To fix ",
    "(Run ",
    "(See ",
    "(Use ",
];
/// What advice has in it.
const OF_ADVICE: &[&str] = &["See above for", "Run with --", "See log for", "for more details", "for details."];

/// What parts of a line end with.
const PARTS: [&str; 7] = [". ", "! ", "; ", ": ", ", ", " (", " - "];

/// Words that a count or a time is made of, beside those of `EMPTY`.
const OF_COUNTS: &[&str] = &[
    "actual",
    "actionable",
    "am",
    "apr",
    "assertion",
    "assertions",
    "aug",
    "cancelled",
    "case",
    "cases",
    "checked",
    "checks",
    "collected",
    "compiled",
    "configuring",
    "dec",
    "deselected",
    "disabled",
    "duration",
    "elapsed",
    "example",
    "examples",
    "executed",
    "fails",
    "feature",
    "features",
    "feb",
    "file",
    "files",
    "filtered",
    "fixable",
    "found",
    "generated",
    "hint",
    "hints",
    "ignored",
    "incomplete",
    "issue",
    "issues",
    "item",
    "items",
    "jan",
    "job",
    "jobs",
    "jul",
    "jun",
    "mar",
    "may",
    "measured",
    "min",
    "minutes",
    "ms",
    "notrun",
    "nov",
    "oct",
    "ok",
    "out",
    "package",
    "packages",
    "passed",
    "passes",
    "passing",
    "pending",
    "pm",
    "problems",
    "ran",
    "real",
    "remaining",
    "runs",
    "s",
    "scenario",
    "scenarios",
    "sec",
    "second",
    "seconds",
    "sep",
    "skip",
    "skipped",
    "skips",
    "snapshots",
    "source",
    "sources",
    "spec",
    "specs",
    "start",
    "steps",
    "success",
    "successes",
    "suite",
    "suites",
    "tasks",
    "time",
    "todo",
    "total",
    "undefined",
    "unexpected",
    "up-to-date",
    "warn",
    "warning",
    "warnings",
    "would",
    "left",
    "unchanged",
    "reformatted",
    "pass",
    "in",
];
/// What ends that takes time, besides a count of errors.
const ENDED: &[&str] = &["compiled", "error", "failed", "FAILED", "done", "Done", "finished", "completed", "built"];
/// The longest line of counts, in bytes.
const COUNTS_BYTES_MAX: usize = 160;
const UNITS: &[&str] = &["ms", "s", "sec", "secs", "seconds", "min", "minutes", "m"];

/// Whether `line` closes an output.
pub(super) fn closes(line: &str) -> bool {
    begins_with(line, ADVICE) || is_only_advice(line) || is_only_counts(line) || ends_in_time(line)
}

/// Whether the line has advice in it, and tells nothing besides: `Compilation error. See log for more details`.
fn is_only_advice(line: &str) -> bool {
    let advises = |part: &str| OF_ADVICE.iter().any(|it| part.contains(it));
    if !advises(line) {
        return false;
    }
    // A stop that ends the line is a part of some advice.
    let mut rest = line;
    let mut told = String::new();
    while !rest.is_empty() {
        let end = PARTS.iter().filter_map(|it| rest.find(it).map(|at| at + it.len())).min().unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        if !advises(part) && !begins_with(part, ADVICE) {
            told.push_str(part);
        }
        rest = behind;
    }
    !telling::tells(&told)
}

/// Whether the line has a number, and no word but those of counts and times: `Tests: 1 failed, 2 total`, `Total time: 3 s`. So is
/// what has no number, and not a single telling word: `-- Configuring incomplete, errors occurred!`.
pub(super) fn is_only_counts(line: &str) -> bool {
    let has_number = line.bytes().any(|byte| byte.is_ascii_digit());
    if line.len() > COUNTS_BYTES_MAX || !has_number && !line.contains("ncomplete") {
        return false;
    }
    if line.contains(['\'', '"', '`', '/']) || line.starts_with("FAILED:") || is_value(line) {
        return false;
    }
    let is_of_word = |c: char| c.is_alphanumeric() && c != 'ℹ' || c == '-';
    line.split(|c| !is_of_word(c)).all(|word| {
        let bare = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        let is_bare = |it: &&str| it.len() == bare.len() && it.eq_ignore_ascii_case(bare);
        bare.is_empty() || OF_COUNTS.iter().any(is_bare) || EMPTY.iter().any(is_bare)
    })
}

/// Whether the line is a value that a test compares: `left: 1`.
fn is_value(line: &str) -> bool {
    ["left:", "right:"].iter().any(|begin| line.starts_with(begin))
}

/// Whether the line says what ended, and in what time: `webpack 5.1 compiled with 1 error in 301 ms`.
fn ends_in_time(line: &str) -> bool {
    let Some((before, time)) = line.trim_end_matches('.').rsplit_once(" in ") else { return false };
    let unit = time.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    unit.len() < time.len()
        && UNITS.contains(&unit)
        && !before.contains([':', '\'', '"', '`'])
        && ENDED.iter().any(|it| before.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_closes_an_output_by_its_form() {
        for line in [
            "Use \"--rerun-failed\" to run the failed cases again.",
            "-- Configuring incomplete, errors occurred!",
            "webpack 5.113.0 compiled with 1 error in 301 ms",
            "BUILD FAILED in 3s",
            "[error] Total time: 1 s, completed Nov 30, 2026, 11:59:00 PM",
            "Failed: 1, Passed: 0, Skipped: 0, Total: 1, Duration: 5 ms",
            "0% tests passed, 1 tests failed out of 1",
            "1 runs, 1 assertions, 1 failures, 0 errors, 0 skips",
            "1 file would be reformatted, 3 files would be left unchanged.",
            "> Compilation error. See log for more details",
            "> Run with --stacktrace option to get the stack trace. Run with --scan to get full insights.",
            "Consult the log (tax.log) for more details",
        ] {
            assert!(closes(line), "{line}");
        }
        for line in [
            "the lock was not released in 30 s",
            "2 tests failed: tax, cart",
            "Cannot connect to port 5432",
            "1 file is locked by tax.lock",
            "expected 7, got 8 at tax_rate",
            "failed",
            "error: cannot reach host db1, see the log for details.",
            "cannot open tax.lock. See log for more details",
        ] {
            assert!(!closes(line), "{line}");
        }
    }
}
