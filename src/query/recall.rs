//! `recall`: what happened the last times, and what followed.
//!
//! A failure is recalled if its command or its error line is the one that is asked for, not because some words are alike:
//! a false memory is worse than none. Search only finds the candidates.
//!
//! - A command is the same if the words that are asked for are its first ones, or the first ones of one of its parts
//!   (`cargo test` is in `cd x && cargo test -p y`).
//! - An error is the same if the line that says what went wrong is equal, numbers and folders apart.

use std::cmp::Reverse;
use std::collections::HashSet;

use jiff::Timestamp;

use crate::model::{Field, Kind};
use crate::search::{Filter, Query};

use super::search::{Ask as SearchAsk, search};
use super::{Error, Recorded, Selection, Sort, View, list};

/// The candidates that are compared with what is asked for.
const CANDIDATES_MAX: usize = 400;
/// The records that followed, of each time.
const FOLLOWED_MAX: usize = 3;
/// The records after a failure that are looked at.
const LATER_MAX: usize = 50;
/// The lines of an error that are compared.
const LINES_MAX: usize = 200;
/// The characters that are searched for.
const CHARS_MAX: usize = 2_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// A command that failed.
    Command(String),
    /// The output of what failed, or its error line.
    Error(String),
}

/// One of the times.
#[derive(Clone, Debug)]
pub struct Time {
    /// The failure.
    pub recorded: Recorded,
    /// What the same session recorded afterwards, successes first, at most three.
    pub followed: Vec<Recorded>,
}

/// What happened the last times.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// How often it failed, as far as records say.
    pub count: usize,
    /// In how many sessions.
    pub sessions: usize,
    /// When it failed first, and last.
    pub between: Option<(Timestamp, Timestamp)>,
    /// Whether it may have failed more often than was counted.
    pub at_least: bool,
    /// The newest times first.
    pub times: Vec<Time>,
    /// What could not be looked at, beside the view's own notes.
    pub notes: Vec<String>,
}

/// What happened the last times, at most `limit` of them, for a caller in `project` at `now`.
///
/// # Errors
/// [`Error::Index`], [`Error::Search`].
pub fn recall(view: &View<'_>, asked: &Recall, limit: usize, now: Timestamp) -> Result<Recalled, Error> {
    let wanted = Wanted::of(asked);
    let filter = Filter { kinds: vec![Kind::Failure], ..Filter::default() };
    // No filter can be typed here, and no exclusion: every sign that could begin one is a blank.
    let Ok(query) = Query::parse(&wanted.words(), &jiff::Zoned::new(now, jiff::tz::TimeZone::UTC)) else {
        return Ok(Recalled::default());
    };
    if query.is_empty() {
        return Ok(Recalled::default());
    }
    let ask = SearchAsk { query: &query, filter: &filter, limit: CANDIDATES_MAX, project: None, now };
    let found = search(view, &ask)?;
    let at_least = found.hits.len() >= CANDIDATES_MAX || !found.looked.complete;
    let mut times: Vec<Recorded> = found.hits.into_iter().map(|hit| hit.recorded).filter(|it| wanted.is(it)).collect();
    times.sort_by_key(|it| Reverse((it.created_at, it.id)));
    let sessions: HashSet<&str> = times.iter().filter_map(|it| it.provenance().session.as_deref()).collect();
    let (count, sessions) = (times.len(), sessions.len());
    let between = times.last().map(|it| it.created_at).zip(times.first().map(|it| it.created_at));
    let mut shown = Vec::new();
    for recorded in times.into_iter().take(limit) {
        let followed = followed(view, &recorded)?;
        shown.push(Time { recorded, followed });
    }
    Ok(Recalled { count, sessions, between, at_least, times: shown, notes: found.notes })
}

/// What the session of `failure` recorded after it.
fn followed(view: &View<'_>, failure: &Recorded) -> Result<Vec<Recorded>, Error> {
    let Some(session) = &failure.provenance().session else { return Ok(Vec::new()) };
    let filter = Filter { sessions: vec![session.clone()], since: Some(failure.created_at), ..Filter::default() };
    let mut later =
        list(view, Selection { filter: &filter, sort: Sort::Oldest, limit: LATER_MAX, count_max: Some(0) })?
            .records(view)?;
    let is_later = |it: &Recorded| {
        (it.created_at, it.id) > (failure.created_at, failure.id) && it.provenance().session.as_ref() == Some(session)
    };
    later.retain(is_later);
    later.sort_by_key(|it| it.kind() != Kind::Success);
    later.truncate(FOLLOWED_MAX);
    Ok(later)
}

/// What is asked for, to be compared with.
enum Wanted {
    Command(Vec<String>),
    Lines { all: Vec<String>, is_one: bool, text: String },
}

impl Wanted {
    fn of(asked: &Recall) -> Wanted {
        match asked {
            Recall::Command(text) => Wanted::Command(words(text)),
            Recall::Error(text) => {
                let text: String = plain(text).chars().take(CHARS_MAX * 10).collect();
                let key = key_lines(&text);
                let is_one = text.lines().filter(|line| !line.trim().is_empty()).count() == 1;
                let words = text.lines().filter(|line| key.contains(&equalised(line))).collect::<Vec<_>>().join(" ");
                Wanted::Lines { all: key, is_one, text: words }
            }
        }
    }

    /// The words to find candidates by.
    fn words(&self) -> String {
        let text = match self {
            Wanted::Command(words) => words.join(" "),
            Wanted::Lines { text, .. } => text.clone(),
        };
        let text: String = text.chars().take(CHARS_MAX).map(|c| if ":\"'".contains(c) { ' ' } else { c }).collect();
        let words = text.split_whitespace().map(|word| word.trim_start_matches('-'));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn is(&self, recorded: &Recorded) -> bool {
        let summary = recorded.field(Field::Summary).unwrap_or_default();
        match self {
            Wanted::Command(wanted) => {
                let command = block(&summary, "Command").unwrap_or_else(|| without_ending(recorded.title()).to_owned());
                begins_a_part(&words(&command), wanted)
            }
            Wanted::Lines { all, is_one, .. } => {
                let error = block(&summary, "Error").unwrap_or_else(|| format!("{}\n{summary}", recorded.title()));
                let lines: Vec<String> = plain(&error).lines().take(LINES_MAX).map(equalised).collect();
                let has = |wanted: &String| {
                    lines.iter().any(|line| line == wanted || *is_one && line.contains(wanted.as_str()))
                };
                all.iter().any(has)
            }
        }
    }
}

/// The words of a command.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

/// Whether `wanted` are the first words of the command `words`, or of one of its parts.
fn begins_a_part(words: &[String], wanted: &[String]) -> bool {
    let is_between = |word: &String| ["&&", "||", ";", "|", "&"].contains(&word.as_str()) || word.ends_with(';');
    let begins = |at: usize| at == 0 || words.get(at - 1).is_some_and(is_between);
    // The last word of a part can have its end on it.
    let same = |(word, wanted): (&String, &String)| word == wanted || word.strip_suffix(';') == Some(wanted.as_str());
    !wanted.is_empty()
        && (0..words.len())
            .any(|at| begins(at) && words.len() - at >= wanted.len() && words[at..].iter().zip(wanted).all(same))
}

/// A failure's title without how it ended, as hooks put it: `cargo test: exit code 101`.
fn without_ending(title: &str) -> &str {
    match title.rsplit_once(": ") {
        Some((command, ending)) if ending.starts_with("exit code ") || ending == "failed" => command,
        _ => title,
    }
}

/// The text under the heading `heading` of a hook's summary.
fn block(summary: &str, heading: &str) -> Option<String> {
    let (_, rest) = summary.split_once(&format!("**{heading}**\n\n"))?;
    let (fence, rest) = rest.split_once('\n')?;
    (fence.len() >= 3 && fence.bytes().all(|byte| byte == b'`')).then_some(())?;
    let (text, _) = rest.split_once(&format!("\n{fence}\n"))?;
    Some(text.to_owned())
}

/// `text` without what colours it on a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Words that an error line has.
const SIGNS: [&str; 14] = [
    "error",
    "fail",
    "panic",
    "exception",
    "fatal",
    "denied",
    "not found",
    "no such",
    "cannot",
    "can't",
    "undefined",
    "unexpected",
    "invalid",
    "refused",
];

/// The lines that say what went wrong, made equal: the first one that looks like an error and says more than that there was
/// one; of a text without such a line, its first line.
fn key_lines(text: &str) -> Vec<String> {
    let lines: Vec<String> = text.lines().take(LINES_MAX).map(equalised).filter(|line| !line.is_empty()).collect();
    let has_sign = |line: &&String| SIGNS.iter().any(|sign| line.contains(sign));
    let says_much = |line: &&String| line.split(|c: char| !c.is_alphabetic()).filter(|it| it.len() > 1).count() >= 3;
    let key = lines.iter().find(|line| has_sign(line) && says_much(line));
    let key = key.or_else(|| lines.iter().find(has_sign)).or_else(|| lines.first());
    key.into_iter().cloned().collect()
}

/// `line` in lower case, each number as one sign, each absolute path as its last part, one blank between words.
fn equalised(line: &str) -> String {
    let word = |word: &str| {
        let word = match word.starts_with('/') {
            true => word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word),
            false => word,
        };
        let mut out = String::with_capacity(word.len());
        for c in word.chars().flat_map(char::to_lowercase) {
            match c.is_numeric() {
                true if out.ends_with('#') => {}
                true => out.push('#'),
                false => out.push(c),
            }
        }
        out
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_same_if_it_begins_alike() {
        for (recorded, asked, is) in [
            ("cargo test -p x", "cargo test", true),
            ("cd /x && cargo test", "cargo test", true),
            ("RUST_LOG=1; cargo test; ls", "cargo test", true),
            ("cargo test", "cargo  test", true),
            ("cargo testing", "cargo test", false),
            ("echo cargo test", "cargo test", false),
            ("cargo", "cargo test", false),
            ("cargo test", "", false),
        ] {
            assert_eq!(begins_a_part(&words(recorded), &words(asked)), is, "{recorded}: {asked}");
        }
        assert_eq!(without_ending("a: b: exit code 1"), "a: b");
        assert_eq!(without_ending("a: b"), "a: b");
    }

    #[test]
    fn an_error_is_the_same_line_apart_from_numbers_and_folders() {
        let asked = "   Compiling x v0.1\n\u{1b}[31merror[E0502]\u{1b}[0m: cannot borrow `a` at /home/a/src/x.rs:12:5\nerror: aborting";
        let key = key_lines(&plain(asked));
        assert_eq!(key, ["error[e#]: cannot borrow `a` at x.rs:#:#"]);
        assert_eq!(equalised("error[E0499]: cannot borrow `a` at /other/x.rs:7:1"), key[0]);
        assert_ne!(equalised("error[E0502]: cannot borrow `b` at x.rs:12:5"), key[0]);
        assert_eq!(key_lines("a\nb"), ["a"]);
        assert!(key_lines("\n \n").is_empty());
    }

    #[test]
    fn a_hooks_block_is_read_whatever_is_in_it() {
        let summary = "**Tool**: Bash\n\n**Command**\n\n````\ncat <<E\n```\nE\n````\n\n**Error**\n\n```\nno\n```\n\n";
        assert_eq!(block(summary, "Command").as_deref(), Some("cat <<E\n```\nE"));
        assert_eq!(block(summary, "Error").as_deref(), Some("no"));
        assert_eq!(block("**Error** no", "Error"), None);
    }
}
