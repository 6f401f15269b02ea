//! Error lines of any program, from the most certain kind to the least.

use super::consequence::{behind_npm, is_never_the_error};
use super::program::{Programs, program_name};
use super::view::{Found, View};
use super::{account, languages, telling, words};

/// How many messages of programs are looked at, from the last.
const MESSAGES_MAX: usize = 500;
/// How many messages of a run are tried.
const TRIES_MAX: usize = 16;
/// An output with more lines says nothing by its last line alone.
const LAST_LINES_MAX: usize = 3;
/// How many lines behind an error belong to it.
const DETAIL_LINES: usize = 12;
/// The longest name that a message begins with, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// How a line begins that says that it is the error.
const FATAL: [&str; 20] = [
    "error:",
    "fatal:",
    "ERROR:",
    "Error:",
    "Fatal:",
    "FATAL:",
    "E:",
    "[ERROR] ",
    "ERROR  ",
    "error -",
    "Error response from ",
    "Error from server",
    "Fehler:",
    "fehler:",
    "Schwerwiegend:",
    "schwerwiegend:",
    "erreur :",
    "エラー:",
    "错误：",
    "致命错误：",
];

/// The first conflict of a merge.
pub(super) fn conflict(view: &View<'_>) -> Option<Found> {
    let (_, line) = view.numbered().find(|(_, line)| line.starts_with("CONFLICT (") && line.contains(')'))?;
    Some(Found::new([view.normal(line)]))
}

/// The first reference that a push did not update.
pub(super) fn rejected(view: &View<'_>) -> Option<Found> {
    let is_rejected = |line: &str| ["! [rejected]", "! [remote rejected]"].iter().any(|it| line.starts_with(it));
    let (_, line) = view.numbered().find(|(_, line)| is_rejected(line.trim_start()))?;
    Some(Found::new([view.normal(line)]))
}

/// The first line that says that it is the error, and tells something.
pub(super) fn fatal(view: &View<'_>) -> Option<Found> {
    let is_error = |(number, line): &(usize, &str)| {
        is_fatal(line)
            || is_of_perl(line)
            || is_diagnostic(view, *number)
            || is_named_error(line) && !is_echoed(view, line)
    };
    // Where Perl has looked for a module differs between machines.
    let lines =
        view.numbered().filter(is_error).map(|(number, line)| (number, line.split(" (@INC").next().unwrap_or(line)));
    let (number, text) = view.first_that_tells(lines)?;
    let detail = detail(view, number).map(|detail| view.normal(detail)).unwrap_or_default();
    Some(Found { goes_on: true, ..Found::at(number, [text, detail]) })
}

fn is_fatal(line: &str) -> bool {
    if behind_npm(line).is_some() || words::begins_with(line, &FATAL) {
        return true;
    }
    // `==123==ERROR: AddressSanitizer: ...`
    let sanitizer = line.strip_prefix("==").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    sanitizer.is_some_and(|rest| rest.starts_with("==ERROR:"))
}

/// Whether the line is a message of Perl, which names the place behind it: `no tickets at a.pl line 3.`
fn is_of_perl(line: &str) -> bool {
    let place = line.strip_suffix('.').and_then(|line| line.rsplit_once(" line "));
    place.is_some_and(|(before, number)| before.contains(" at ") && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a place in the source follows the line, as rustc and its like show it.
fn is_diagnostic(view: &View<'_>, number: usize) -> bool {
    view.next(number + 1, 1).any(is_place) && !view.lines[number].starts_with(' ')
}

fn is_place(line: &str) -> bool {
    line.trim_start().starts_with("--> ")
}

/// Whether the line begins with up to three words of which the last is "error", as in `Parse error: ...`.
fn is_named_error(line: &str) -> bool {
    let Some(at) = line.bytes().take(40).position(|byte| byte == b':') else { return false };
    let name = &line[..at];
    let is_words = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') && !name.starts_with(' ');
    let name = name.split(" near ").next().unwrap_or(name);
    is_words && name.split(' ').count() <= 3 && name.to_ascii_lowercase().ends_with(" error")
}

/// The line that says more of the error at `number`: what a colon leads to, the label at the source, the last cause.
fn detail<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let line = view.lines[number].trim_end();
    let mut following = view.next(number + 1, DETAIL_LINES);
    if line.ends_with(':') {
        return following.find(|next| !is_never_the_error(next));
    }
    let next = following.next()?;
    if behind_npm(line).is_some() && line.contains("://") {
        // The package is not in the address, as far as that counts.
        return view.next(number + 1, DETAIL_LINES).find(|next| next.contains('\''));
    }
    if line.starts_with("==") {
        // Where it happened, for a sanitizer.
        return view.next(number + 1, DETAIL_LINES).find(|next| next.trim_start().starts_with("#0 "));
    }
    if is_place(next) {
        return languages::label(view, number);
    }
    if is_place_of_terraform(next) {
        // What is wrong with it is said in a sentence behind the place.
        return following.find(|line| !line.starts_with(' ') && !is_fatal(line));
    }
    let causes = view.next(number + 1, DETAIL_LINES).collect::<Vec<_>>();
    let last = causes.iter().rposition(|line| line.trim() == "Caused by:")?;
    causes.get(last + 1).copied()
}

fn is_place_of_terraform(line: &str) -> bool {
    line.starts_with("  on ") && line.contains(" line ")
}

/// The first line that tells something of the last messages that begin with the name of one program.
pub(super) fn program(view: &View<'_>) -> Option<Found> {
    let mut left = MESSAGES_MAX;
    let lines = view.numbered().rev().map(|(number, line)| Message::of(number, line, view.programs));
    let lines = lines.take_while(move |message| {
        left -= usize::from(message.is_some());
        left > 0
    });
    // The last run first, and in it the last line.
    let mut run: Vec<Message<'_>> = Vec::new();
    for message in lines.chain([None]) {
        let goes_on = message.as_ref().is_some_and(|it| run.last().is_none_or(|last| last.name == it.name));
        if !goes_on && let Some(text) = told_of_run(view, &run) {
            return Some(text);
        }
        if !goes_on {
            run.clear();
        }
        run.extend(message);
    }
    None
}

/// The first of the messages, which begin with the last, that tells something: one with a bad word, if there is one.
fn told_of_run(view: &View<'_>, run: &[Message<'_>]) -> Option<Found> {
    let errors = || run.iter().rev().filter(|message| !is_never_the_error(message.text)).take(TRIES_MAX);
    let bad = errors().filter(|message| words::has_bad(message.text)).find_map(|message| message.told(view));
    bad.or_else(|| Some(Found { is_doubtful: true, ..errors().find_map(|message| message.told(view))? }))
}

/// A line that begins with the name of a program.
struct Message<'l> {
    number: usize,
    name: String,
    /// The text behind the name, and behind the line of a script.
    text: &'l str,
}

impl<'l> Message<'l> {
    /// The message on `line`, if it begins with the name of one of `programs` or of a shell.
    fn of(number: usize, line: &'l str, programs: &Programs) -> Option<Message<'l>> {
        // Most lines have a space before the colon.
        let end = line.bytes().take(NAME_BYTES_MAX).position(|byte| byte == b':' || byte == b' ')?;
        if line.as_bytes()[end] == b' ' && !line[end..].starts_with(" (child)") {
            return None;
        }
        let colon = line.bytes().take(NAME_BYTES_MAX).position(|byte| byte == b':')?;
        let (before, rest) = (line[..colon].trim_end_matches(" (child)"), &line[colon + 1..]);
        if before.contains(' ') || before.is_empty() || rest.starts_with(':') {
            return None;
        }
        let bare = before.split('[').next().unwrap_or(before).trim_start_matches('-');
        let name = program_name(bare);
        let text = rest.trim_start();
        // Only shells say `line 3:` behind the name of a script; some say `3:`.
        let behind_line = behind_line(text, programs.has(&name));
        let is_known = programs.has(&name) || behind_line.is_some();
        is_known.then(|| Message { number, name, text: behind_line.unwrap_or(text) })
    }

    /// Its text with the name, normalised, if it tells something.
    fn told(&self, view: &View<'_>) -> Option<Found> {
        let text = view.normal(self.text);
        telling::tells(&text).then(|| Found::at(self.number, [format!("{}: {text}", self.name)]))
    }
}

/// The text behind `line 3: ` and `-c: line 3: `, and where the name is known behind `3: `.
fn behind_line(text: &str, is_known: bool) -> Option<&str> {
    let numbered = text.strip_prefix("-c: ").unwrap_or(text);
    let numbered = match numbered.strip_prefix("line ") {
        Some(numbered) => numbered,
        None if is_known => numbered,
        None => return None,
    };
    let behind = numbered.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.strip_prefix(": ").filter(|_| behind.len() < numbered.len()).map(str::trim_start)
}

/// All lines that have a word of an error and tell something: none is known to be the cause.
pub(super) fn generic(view: &View<'_>) -> Option<Found> {
    let parts = account::all(view, None);
    (!parts.is_empty()).then(|| Found::new(parts))
}

/// Whether the line is a command, as `make` shows those that it runs, or a part of the one that was given.
pub(super) fn is_echoed(view: &View<'_>, line: &str) -> bool {
    let line = line.trim();
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    view.command.contains(line) || line.len() > first.len() && words::ECHOED.contains(&first)
}

/// The last line of a short output, if it tells something.
pub(super) fn last(view: &View<'_>) -> Option<Found> {
    if view.lines.len() > LAST_LINES_MAX {
        return None;
    }
    let lines = view.numbered().rev().filter(|(_, line)| !is_echoed(view, line));
    let mut lines = lines.filter(|(_, line)| !is_never_the_error(line)).map(|(_, line)| view.normal(line));
    let last = lines.next()?;
    let before = lines.next();
    Some(Found::new(before.into_iter().chain([last])))
}
