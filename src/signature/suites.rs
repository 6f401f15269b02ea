//! Error lines of test suites. A test's name tells enough: another test is another failure.

use super::consequence::is_never_the_error;
use super::view::{Found, View};
use super::{marks, words};

/// How many lines behind a failed test its message is searched for.
const MESSAGE_LINES: usize = 40;
/// How many lines behind a failed test the line is that says what went wrong.
const NEAR_LINES: usize = 8;

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
    let certain = || {
        let (number, name) = view.numbered().find_map(|(number, line)| Some((number, failed_test(line)?)))?;
        let suite = view.lines[number].starts_with("  ").then(|| marks::suite(view, number)).flatten();
        let suite = suite.filter(|_| view.lines[number].trim_start().starts_with("not ok "));
        Some((number, suite.into_iter().chain([name.to_owned()]).collect::<Vec<_>>()))
    };
    let (number, names) = certain().or_else(|| marks::failed(view))?;
    let line = view.lines[number].trim_start();
    let message = match line {
        _ if line.starts_with("--- FAIL") => view.next(number + 1, 1).find(|next| next.starts_with("    ")),
        _ if line.ends_with(')') && (line.starts_with("FAIL: ") || line.starts_with("ERROR: ")) => {
            unittest(view, number)
        }
        _ => message(view, number),
    };
    let message = message.map(|message| view.normal(message)).unwrap_or_default();
    let mut parts: Vec<String> = names.iter().map(|name| view.normal(name)).collect();
    parts.push(message);
    parts.dedup();
    Some(Found { names_test: true, ..Found::new(parts) })
}

/// The name of the test that the line says has failed, in a form that only suites have.
pub(super) fn failed_test(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = match line.split(' ').next()? {
        "not" => {
            let rest = line.strip_prefix("not ok ")?.trim_start_matches(|c: char| c.is_ascii_digit());
            let rest = rest.trim_start_matches([' ', '-']);
            // What is skipped or still to be done is no failure.
            rest.split(" # ").next().filter(|_| !rest.contains("# TODO") && !rest.contains("# SKIP"))?
        }
        "---" => line.strip_prefix("--- FAIL: ")?.split(" (").next()?,
        "----" => line.strip_prefix("---- ")?.strip_suffix(" ----")?.strip_suffix(" stdout")?,
        "FAIL:" => &line["FAIL: ".len().min(line.len())..],
        "FAIL" => of_file(line.strip_prefix("FAIL ")?.trim_start())?,
        // Only unittest puts the class behind it.
        "ERROR:" => line.strip_prefix("ERROR: ").filter(|rest| {
            let class = rest.strip_suffix(')').and_then(|rest| rest.split_once(" ("));
            class.is_some_and(|(name, class)| !name.contains(' ') && class.contains('.') && !class.contains(' '))
        })?,
        "test" => line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?,
        "Test" => line.strip_prefix("Test Case '")?.split_once("' failed (")?.0,
        // Some suites put a time behind it: `Failed a.b [5 ms]`.
        "Failed" => line.strip_prefix("Failed ")?.strip_suffix("s]")?.rsplit_once(" [")?.0,
        "[" => line.strip_prefix("[  FAILED  ] ").filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))?,
        "#" => line.strip_prefix("#   Failed test '")?.rsplit_once('\'')?.0,
        "●" => line.strip_prefix("● ").filter(|rest| rest.contains(" › "))?,
        _ => of_table(line)?,
    };
    let name = without_time(name).trim();
    (!name.is_empty()).then_some(name)
}

/// The test behind `FAIL `: `a.test.ts > name`, `[ 0.01s] name`.
fn of_file(rest: &str) -> Option<&str> {
    let behind_time = rest.strip_prefix('[').and_then(|rest| rest.split_once("s] ")).map(|(_, name)| name);
    behind_time.or_else(|| rest.contains(" > ").then_some(rest))
}

/// The test of a line that ends in how it went: `a.b -- Time elapsed: 1 s <<< FAILURE!`, `#2: name ....***Failed  1 sec`.
fn of_table(line: &str) -> Option<&str> {
    // Most lines have none of these.
    memchr::memchr3(b'<', b'*', b'F', line.as_bytes())?;
    if let Some((before, _)) = line.split_once("<<< FAILURE!").or_else(|| line.split_once("<<< ERROR!")) {
        let name = before.trim_start_matches("[ERROR]").split_whitespace().next()?;
        return (!before.contains("Tests run:")).then_some(name);
    }
    if let Some((before, _)) = line.split_once("***").filter(|(before, _)| before.contains(" Test ")) {
        return Some(before.split_once(": ")?.1.trim_end_matches('.'));
    }
    if let Some((before, _)) = line.split_once(" | FAIL |") {
        return Some(before);
    }
    line.strip_suffix(" FAILED").filter(|name| name.contains(" > ") && !name.starts_with('>'))
}

/// `name` without the time that stands behind it in brackets.
pub(super) fn without_time(name: &str) -> &str {
    name.rsplit_once(" (").filter(|(_, time)| time.ends_with("s)")).map_or(name, |(name, _)| name)
}

/// The first line behind the failed test at `number` that says what went wrong.
fn message<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let following = view.next(number + 1, NEAR_LINES).take_while(|line| failed_test(line).is_none());
    following
        // YAML leads to the message so.
        .filter(|line| !is_never_the_error(line) && !line.ends_with("|-"))
        .find(|line| words::has_bad(line) || words::has_name_of_error(line))
}

/// The exception of the test of unittest at the line `number`.
fn unittest<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let mut lines = view.next(number + 1, MESSAGE_LINES).skip_while(|line| !line.starts_with("Traceback"));
    lines.next();
    lines.find(|line| !line.starts_with(' '))
}
