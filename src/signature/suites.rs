//! Error lines of test suites. A test's name tells enough: another test is another failure.

use super::view::{Found, View};

/// How many lines behind a failed test its message is searched for.
const MESSAGE_LINES: usize = 40;

/// The first test that pytest says has failed, or else the first line that it marks as the error.
pub(super) fn pytest(view: &View<'_>) -> Option<Found> {
    let (_, line) = match view.numbered().find_map(|(number, line)| Some((number, failed_of_pytest(line)?))) {
        Some(found) => found,
        None => {
            let text = marked(view)?;
            return Some(Found::new([view.normal(text)]));
        }
    };
    let (test, message) = line.split_once(" - ").unwrap_or((line, ""));
    let name = without_parameters(view, test);
    let message = if message.is_empty() { marked(view).unwrap_or_default() } else { message };
    Some(Found { names_test: true, ..Found::new([name, view.normal(message)]) })
}

/// The rest of `FAILED path.py::test - message`.
fn failed_of_pytest(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR "))?;
    let file = rest.split(" - ").next().unwrap_or(rest).split("::").next().unwrap_or(rest).trim_end();
    file.ends_with(".py").then_some(rest)
}

/// The first line that pytest marks with `E`, but for what it quotes of a file.
fn marked<'v>(view: &View<'v>) -> Option<&'v str> {
    let marked = |line: &'v str| line.strip_prefix("E  ").map(str::trim);
    // Such a line can also be the progress of tests.
    let marked = |line: &'v str| marked(line).filter(|text| !text.is_empty() && !text.ends_with("%]"));
    let lines = || view.numbered().map(|(_, line)| line);
    let is_message = |line: &&str| line.starts_with("E   ") && !line.starts_with("E    ");
    let is_source = |text: &&str| text.starts_with("File \"") || text.bytes().all(|byte| b"^~ ".contains(&byte));
    lines().filter(is_message).find_map(marked).or_else(|| lines().filter_map(marked).find(|text| !is_source(text)))
}

/// The file and the name of a test, without the parameters behind it.
fn without_parameters(view: &View<'_>, test: &str) -> String {
    let (file, name) = test.split_once("::").unwrap_or((test, ""));
    let name = name.split('[').next().unwrap_or(name).trim_end();
    let file = view.normal(file);
    if name.is_empty() { file } else { format!("{file}::{name}") }
}

/// The first test that another suite says has failed, with its message where it follows.
pub(super) fn test(view: &View<'_>) -> Option<Found> {
    let (number, name) = view.numbered().find_map(|(number, line)| Some((number, failed_test(line)?)))?;
    let line = view.lines[number].trim_start();
    let message = match line {
        _ if line.starts_with("--- FAIL") => view.next(number + 1, 1).find(|next| next.starts_with("    ")),
        _ if line.ends_with(')') && (line.starts_with("FAIL: ") || line.starts_with("ERROR: ")) => {
            unittest(view, number)
        }
        _ => None,
    };
    let message = message.map(|message| view.normal(message)).unwrap_or_default();
    Some(Found { names_test: true, ..Found::new([view.normal(name), message]) })
}

/// The name of the test that the line says has failed.
fn failed_test(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = match line.split(' ').next()? {
        "not" => {
            let rest = line.strip_prefix("not ok ")?.trim_start_matches(|c: char| c.is_ascii_digit());
            let rest = rest.trim_start_matches([' ', '-']);
            // What is skipped or still to be done is no failure.
            rest.split(" # ").next().filter(|_| !rest.contains("# TODO") && !rest.contains("# SKIP"))?
        }
        "---" => line.strip_prefix("--- FAIL: ")?.split(" (").next()?,
        "FAIL:" => &line["FAIL: ".len().min(line.len())..],
        // Only unittest puts the class behind it.
        "ERROR:" => line.strip_prefix("ERROR: ").filter(|rest| {
            let class = rest.strip_suffix(')').and_then(|rest| rest.split_once(" ("));
            class.is_some_and(|(name, class)| !name.contains(' ') && class.contains('.') && !class.contains(' '))
        })?,
        "test" => line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?,
        "●" => line.strip_prefix("● ").filter(|rest| rest.contains(" › "))?,
        "✕" | "✗" | "×" => without_time(line.split_once(' ')?.1),
        _ => return None,
    };
    let name = name.trim();
    (!name.is_empty()).then_some(name)
}

/// `name` without the time that stands behind it in brackets.
fn without_time(name: &str) -> &str {
    name.rsplit_once(" (").filter(|(_, time)| time.ends_with("s)")).map_or(name, |(name, _)| name)
}

/// The exception of the test of unittest at the line `number`.
fn unittest<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let mut lines = view.next(number + 1, MESSAGE_LINES).skip_while(|line| !line.starts_with("Traceback"));
    lines.next();
    lines.find(|line| !line.starts_with(' '))
}
