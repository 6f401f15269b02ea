//! Failed tests that suites mark by a sign or a number alone: `✖ name`, `● name`, `1) name`. Other programs mark other lines so;
//! in an output that counts tests, they are tests.

use super::closing::is_only_counts;
use super::consequence::is_never_the_error;
use super::suites::without_time;
use super::view::View;
use super::{telling, words};

/// How many lines before a test its suite is searched for.
const SUITE_LINES: usize = 200;
/// How many lines the name of a test can have.
const NAME_LINES: usize = 4;

/// The first test that is marked as failed, by the number of its line and its name, with the suite's before it.
pub(super) fn failed(view: &View<'_>) -> Option<(usize, Vec<String>)> {
    if !counts_tests(view) {
        return None;
    }
    // The details stand behind the list, and name the suite as well.
    if let Some((number, line)) = view.numbered().rev().find(|(_, line)| line.trim_start().starts_with("1) ")) {
        return Some((number, numbered(view, number, &line.trim_start()["1) ".len()..])));
    }
    let (number, name) = view.numbered().find_map(|(number, line)| Some((number, marked(line)?)))?;
    let mut names: Vec<String> = suite(view, number).into_iter().collect();
    names.push(name.to_owned());
    if !telling::tells(name) {
        let next = view.next(number + 1, NAME_LINES).find(|line| !is_never_the_error(line));
        names.extend(next.map(str::to_owned));
    }
    Some((number, names))
}

/// Whether a line counts tests that failed.
fn counts_tests(view: &View<'_>) -> bool {
    let counts = |line: &str| line.contains("fail") || line.contains("Fail") || line.contains("FAIL");
    view.numbered().rev().any(|(_, line)| {
        let line = line.trim();
        counts(line) && line.bytes().any(|byte| byte.is_ascii_digit()) && is_only_counts(line)
    })
}

/// The name behind a mark of a failed test.
fn marked(line: &str) -> Option<&str> {
    let (mark, name) = line.trim_start().split_once(' ')?;
    let name = without_time(name).trim();
    let name = name.rsplit_once(' ').filter(|(_, time)| is_time(time)).map_or(name, |(name, _)| name.trim_end());
    let is_mark = matches!(mark, "✕" | "✗" | "×" | "✖" | "✘" | "●");
    let is_error = !name.contains(' ') && words::has_name_of_error(name);
    (is_mark && !is_error && !name.is_empty() && !is_only_counts(name) && name != "failing tests:").then_some(name)
}

fn is_time(word: &str) -> bool {
    word.strip_suffix("ms")
        .or_else(|| word.strip_suffix('s'))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// What a mark stands below: the line before it that is indented less.
pub(super) fn suite(view: &View<'_>, number: usize) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(&view.lines[number]);
    let before = view.next(number.saturating_sub(SUITE_LINES), number.min(SUITE_LINES)).rev();
    let line = before.into_iter().find(|line| indent(line) < depth)?.trim();
    // How many tests it has, and how long they took, stands behind it.
    Some(line.split("  (").next().unwrap_or(line).split(" (").next().unwrap_or(line).to_owned())
}

/// The name behind `1) `, which can go on below, further indented, to a line that ends with a colon.
fn numbered(view: &View<'_>, number: usize, name: &str) -> Vec<String> {
    let mut names = vec![without_time(name.trim_end_matches(['─', ' '])).to_owned()];
    let following: Vec<&str> = view.next(number + 1, NAME_LINES).collect();
    if let Some(end) = following.iter().position(|line| line.trim_end().ends_with(':'))
        && (name.trim_end().ends_with(':') || following[..=end].iter().all(|line| line.starts_with("     ")))
    {
        names.extend(following[..=end].iter().map(|line| line.trim().to_owned()));
    }
    names
}
