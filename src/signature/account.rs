//! What an output tells besides its error line. A line that names nothing can be of any failure of its kind, so it takes along
//! what stands around it, until something is named: the lines behind it, those before it, at last all that tell. So a line that
//! only closes an output joins no two failures, however it is worded.

use super::consequence::{self, behind_npm, is_never_the_error};
use super::names::names;
use super::plain::is_echoed;
use super::view::{Found, View};
use super::{languages, path, telling, words};

/// How many lines behind an error line can belong to it.
const FOLLOWING_LINES: usize = 6;
/// How many of them are taken.
const FOLLOWING_MAX: usize = 3;
/// How many lines behind an error line its place is shown.
const PLACE_LINES: usize = 12;
/// How many lines before an error line can belong to it.
const PRECEDING_LINES: usize = 6;
/// How many of them are taken.
const PRECEDING_MAX: usize = 3;
/// How many lines from the end are looked at for those that tell.
const ACCOUNT_LINES: usize = 500;
/// How many lines that tell are taken, with what belongs to them.
const ACCOUNT_MAX: usize = 8;
/// How many lines before a stop are taken.
const BEFORE_STOP: usize = 2;
/// What is said of a path at a host, in lower case.
const OF_PATHS: [&str; 7] = ["not found", "404", "not exist", "no such", "denied", "forbidden", "403"];
/// How a line begins that is marked as bad.
const MARKS: [&str; 8] = ["✖ ", "✘ ", "✗ ", "✕ ", "× ", "❌", "[!] ", "[-] "];

/// `found`, with what stands around its line `number` until something is named.
pub(super) fn completed(view: &View<'_>, mut found: Found, number: usize) -> Found {
    let is_named = |found: &Found| are_named(&found.parts);
    if !found.is_doubtful && is_named(&found) {
        if found.goes_on {
            let end = view.lines.len().min(number + 1 + FOLLOWING_MAX);
            let bad = (number + 1..end).filter(|next| is_bad(&view.lines[*next]));
            bad.filter_map(|next| part_of(view, next)).for_each(|part| push(&mut found.parts, part));
        }
        return found;
    }
    let line = view.lines[number].as_ref();
    if let Some(last) = path_of_address(view, line) {
        push(&mut found.parts, last);
        return found;
    }
    following(view, number).into_iter().for_each(|part| push(&mut found.parts, part));
    if !is_named(&found) {
        preceding(view, number).into_iter().for_each(|part| push(&mut found.parts, part));
    }
    if !is_named(&found) {
        all(view, Some(number)).into_iter().for_each(|part| push(&mut found.parts, part));
    }
    found
}

/// The last part of the path of an address in `line`, if the line says that what lies there is missing or denied. That a host does not
/// answer is one failure for all of its paths.
fn path_of_address(view: &View<'_>, line: &str) -> Option<String> {
    let at = line.find("://")?;
    let said = line.to_ascii_lowercase();
    if !OF_PATHS.iter().any(|it| said.contains(it)) {
        return None;
    }
    let path = line[at + "://".len()..].split(|c: char| c.is_whitespace() || "'\"<>?#".contains(c)).next()?;
    let (_, last) = path.trim_end_matches(['/', ':', ',', '.', ')']).rsplit_once('/')?;
    let last = view.normal(last);
    last.contains(char::is_alphabetic).then_some(last)
}

/// Whether the line can say what failed.
fn can_tell(view: &View<'_>, line: &str) -> bool {
    !is_never_the_error(line) && (behind_npm(line).is_some() || !is_echoed(view, line))
}

/// The lines behind the line `number` that belong to it; of the source that is quoted and of the stack the first one.
fn following(view: &View<'_>, number: usize) -> Vec<String> {
    let end = view.lines.len().min(number + 1 + FOLLOWING_LINES);
    let mut parts: Vec<String> =
        (number + 1..end).filter_map(|number| part_of(view, number)).take(FOLLOWING_MAX).collect();
    let place = view.next(number + 1, PLACE_LINES).find_map(|line| consequence::quoted(line));
    place.into_iter().for_each(|place| push(&mut parts, view.normal(place)));
    parts
}

/// The lines before the line `number`, in order.
fn preceding(view: &View<'_>, number: usize) -> Vec<String> {
    let before = (number.saturating_sub(PRECEDING_LINES)..number).rev();
    let mut parts: Vec<String> = before.filter_map(|number| part_of(view, number)).take(PRECEDING_MAX).collect();
    parts.reverse();
    parts
}

/// The line `number`, normalised, if it can tell something. Lines that are alike but for numbers show how far something is.
fn part_of(view: &View<'_>, number: usize) -> Option<String> {
    let line = view.lines[number].as_ref();
    let is_alike = |other: Option<usize>| {
        let letters = |line: &str| line.bytes().filter(|byte| !byte.is_ascii_digit()).collect::<Vec<_>>();
        let other = other.and_then(|number| view.lines.get(number));
        other
            .is_some_and(|other| line.as_bytes().first() == other.as_bytes().first() && letters(line) == letters(other))
    };
    if !can_tell(view, line) || is_alike(number.checked_sub(1)) || is_alike(Some(number + 1)) {
        return None;
    }
    Some(view.normal(line)).filter(|text| text.contains(char::is_alphabetic))
}

/// All lines with a bad word that tell something, each with what belongs to it if it names nothing; the line `but` is not taken.
/// If nothing is named at all, also what stands before.
pub(super) fn all(view: &View<'_>, but: Option<usize>) -> Vec<String> {
    let mut parts = Vec::new();
    let mut first = None;
    for (number, line) in window(view) {
        if but == Some(number) || !is_bad(line) || !can_tell(view, line) {
            continue;
        }
        first = first.or(Some(number));
        let text = view.normal(line);
        let is_named = names(&text) && !line.trim_end().ends_with(':');
        if telling::tells(&text) {
            push(&mut parts, text);
        }
        if !is_named {
            path_of_address(view, line).into_iter().for_each(|part| push(&mut parts, part));
            following(view, number).into_iter().for_each(|part| push(&mut parts, part));
        }
        if parts.len() >= ACCOUNT_MAX {
            break;
        }
    }
    if !are_named(&parts) {
        if !parts.is_empty() && parts.len() < FOLLOWING_MAX {
            // Some take warnings for errors.
            let warnings = window(view).filter(|(_, line)| consequence::is_warning(line)).take(FOLLOWING_MAX);
            warnings.for_each(|(_, line)| push(&mut parts, view.normal(line)));
        }
        first.map(|number| preceding(view, number)).into_iter().flatten().for_each(|part| push(&mut parts, part));
        before_stop(view).into_iter().for_each(|part| push(&mut parts, part));
    }
    parts
}

/// The last lines with their numbers.
fn window<'v>(view: &View<'v>) -> impl Iterator<Item = (usize, &'v str)> + use<'v> {
    view.numbered().skip(view.lines.len().saturating_sub(ACCOUNT_LINES))
}

/// What stands before the line in which a tool says that it stops, in order.
fn before_stop(view: &View<'_>) -> Vec<String> {
    let is_stop = |line: &str| line.contains(": *** [") || line.contains("build stopped: ");
    let Some((number, _)) = window(view).find(|(_, line)| is_stop(line)) else { return Vec::new() };
    let before = view.next(number.saturating_sub(BEFORE_STOP), number.min(BEFORE_STOP));
    before.filter(|line| can_tell(view, line)).map(|line| view.normal(line)).collect()
}

/// Whether the line says that something is wrong: by a word, by the name of an error, by a mark, or by a place in a source.
fn is_bad(line: &str) -> bool {
    let text = line.trim_start();
    words::has_bad(line)
        || words::has_name_of_error(line)
        || words::begins_with(text, &MARKS)
        || languages::behind_place(text).is_some_and(|(file, _)| path::is_source_file(file))
}

/// Whether one of `parts` names what failed. A frame of a stack says where it was noticed.
fn are_named(parts: &[String]) -> bool {
    parts.iter().any(|part| !part.starts_with("at ") && names(part))
}

/// Appends `part`, if it is no part yet.
fn push(parts: &mut Vec<String>, part: String) {
    if !parts.contains(&part) {
        parts.push(part);
    }
}
