//! `recall`: what happened the last times, and what followed.
//!
//! A failure is recalled if its command or its error line is the one that is asked for, not because some words are alike:
//! a false memory is worse than none. Search only finds the candidates.
//!
//! - A command is the same if the words that are asked for are its first ones, or the first ones of one of its parts
//!   (`cargo test` is in `cd x && cargo test -p y`).
//! - A failure is the same if its signature is the one that the text would have, had the recorded command put it out.
//!   Records have no signature: it is computed from what a hook stored. The signatures decide if both sides have one.
//! - If one side has none, or the text is a single line, an error is the same if the line that says what went wrong is
//!   equal, numbers and folders apart.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::known::Stored;
use crate::model::{Field, Kind, RecordId};
use crate::search::{Filter, Query};
use crate::shell;
use crate::signature::{Signature, signature};

use super::search::{Ask as SearchAsk, without_lines};
use super::{Error, Recorded, Selection, Sort, View, came_again, list};
use crate::target::index::Again;

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
    /// What failed.
    Error {
        /// Its output, or its error line.
        text: String,
        /// The folder that it ran in.
        cwd: String,
    },
}

/// What is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Same {
    /// The command.
    #[serde(rename = "command")]
    Command,
    /// The failure, by its signature.
    #[serde(rename = "failure")]
    Failure,
    /// The error line.
    #[serde(rename = "error line")]
    ErrorLine,
}

/// One of the times.
#[derive(Clone, Debug)]
pub struct Time {
    /// What it has in common with what was asked for.
    pub same: Same,
    /// The failure.
    pub recorded: Recorded,
    /// The verdict that it came again, if it is that time.
    pub again: Option<Again>,
    /// What the same session recorded afterwards, successes first, at most three.
    pub followed: Vec<Recorded>,
}

impl Time {
    /// When it was.
    pub fn at(&self) -> Timestamp {
        self.again.as_ref().map_or(self.recorded.created_at, |it| it.at)
    }

    /// What says so: the failure, or the verdict.
    pub fn id(&self) -> RecordId {
        self.again.as_ref().map_or(self.recorded.id, |it| it.id)
    }

    /// In which session it was.
    pub fn session(&self) -> Option<&str> {
        let provenance = self.again.as_ref().map_or(self.recorded.provenance(), |it| &it.provenance);
        provenance.session.as_deref()
    }

    fn count(&self) -> u64 {
        self.again.as_ref().map_or(1, |it| it.times)
    }
}

/// What happened the last times.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// How often it failed, as far as records say.
    pub count: u64,
    /// What these times have in common with what was asked for, each once.
    pub same: Vec<Same>,
    /// In how many sessions.
    pub sessions: usize,
    /// When it failed first, and last.
    pub between: Option<(Timestamp, Timestamp)>,
    /// Whether it may have failed more often than was counted.
    pub at_least: bool,
    /// The newest times first, of each session the last one of a failure.
    pub times: Vec<Time>,
    /// What could not be looked at, beside the view's own notes.
    pub notes: Vec<String>,
}

/// What happened the last times, at most `limit` of them, for a caller in `project` at `now`.
///
/// # Errors
/// [`Error::Index`], [`Error::Search`].
pub fn recall(view: &View<'_>, asked: &Recall, limit: usize, now: Timestamp) -> Result<Recalled, Error> {
    let mut wanted = Wanted::of(asked);
    let filter = Filter { kinds: vec![Kind::Failure], ..Filter::default() };
    // No filter can be typed here, and no exclusion: every sign that could begin one is a blank.
    let Ok(query) = Query::parse(&wanted.words(), &jiff::Zoned::new(now, jiff::tz::TimeZone::UTC)) else {
        return Ok(Recalled::default());
    };
    if query.is_empty() {
        return Ok(Recalled::default());
    }
    let ask = SearchAsk { query: &query, filter: &filter, states: &[], limit: CANDIDATES_MAX, project: None, now };
    let found = without_lines(view, &ask)?;
    let at_least = found.hits.len() >= CANDIDATES_MAX || !found.looked.complete;
    let recorded = found.hits.into_iter().map(|hit| hit.recorded);
    let same_ones = recorded.filter_map(|it| wanted.same(&it).map(|same| (same, it))).collect();
    let mut times = with_again(view, same_ones)?;
    times.sort_by_key(|it| Reverse((it.at(), it.id())));
    let sessions: HashSet<&str> = times.iter().filter_map(Time::session).collect();
    let (count, sessions) = (times.iter().map(Time::count).sum(), sessions.len());
    let between = times.last().map(Time::at).zip(times.first().map(Time::at));
    let is_there = |same: &Same| times.iter().any(|it| it.same == *same);
    let same = [Same::Command, Same::Failure, Same::ErrorLine].into_iter().filter(is_there).collect();
    let all: HashSet<RecordId> = times.iter().map(|it| it.recorded.id).collect();
    let mut seen = HashSet::new();
    times.retain(|it| in_session(it).is_none_or(|failure| seen.insert(failure)));
    times.truncate(limit);
    for time in &mut times {
        time.followed = followed(view, time, &all)?;
    }
    Ok(Recalled { count, same, sessions, between, at_least, times, notes: found.notes })
}

/// The times of the `failures`: when each was recorded, and when it came again.
fn with_again(view: &View<'_>, failures: Vec<(Same, Recorded)>) -> Result<Vec<Time>, Error> {
    let ids: Vec<RecordId> = failures.iter().map(|(_, it)| it.id).collect();
    let mut again = came_again(view, &ids)?;
    let mut times = Vec::with_capacity(failures.len());
    for (same, recorded) in failures {
        for again in again.remove(&recorded.id).unwrap_or_default() {
            times.push(Time { same, recorded: recorded.clone(), again: Some(again), followed: Vec::new() });
        }
        times.push(Time { same, recorded, again: None, followed: Vec::new() });
    }
    Ok(times)
}

/// What is equal for the times that one failure came in one session, of which the last is shown: what followed is the same.
fn in_session(time: &Time) -> Option<(String, Result<Signature, String>)> {
    let (session, failure) = (time.session()?.to_owned(), &time.recorded);
    let signature = stored(failure).signature(failure.provenance().cwd.as_deref().unwrap_or_default());
    Some((session, signature.ok_or_else(|| failure.title().to_owned())))
}

/// What the session of `time` recorded after it, and is none of the `same` failures.
fn followed(view: &View<'_>, time: &Time, same: &HashSet<RecordId>) -> Result<Vec<Recorded>, Error> {
    let Some(session) = time.session().map(str::to_owned) else { return Ok(Vec::new()) };
    let filter = Filter { sessions: vec![session.clone()], since: Some(time.at()), ..Filter::default() };
    let mut later = list(
        view,
        Selection { filter: &filter, states: None, sort: Sort::Oldest, limit: LATER_MAX, count_max: Some(0) },
    )?
    .records(view)?;
    let is_later = |it: &Recorded| {
        // The id of a verdict has no clock in it.
        let is_after = match time.again {
            None => (it.created_at, it.id) > (time.at(), time.id()),
            Some(_) => it.created_at >= time.at(),
        };
        is_after && it.provenance().session.as_ref() == Some(&session) && !same.contains(&it.id)
    };
    later.retain(is_later);
    later.sort_by_key(|it| it.kind() != Kind::Success);
    later.truncate(FOLLOWED_MAX);
    Ok(later)
}

/// What is asked for, to be compared with.
enum Wanted<'a> {
    /// The calls of a line.
    Command(Vec<Vec<String>>),
    Error(WantedError<'a>),
}

/// An error that is asked for.
struct WantedError<'a> {
    text: &'a str,
    cwd: &'a str,
    /// Its error line, made equal.
    key: Vec<String>,
    /// Whether it is a single line: perhaps only a part of one.
    is_one: bool,
    /// The words to find candidates by.
    words: String,
    /// The text's signature, had it been put out by a command.
    signatures: HashMap<String, Option<Signature>>,
}

impl Wanted<'_> {
    fn of(asked: &Recall) -> Wanted<'_> {
        match asked {
            Recall::Command(text) => Wanted::Command(calls(text)),
            Recall::Error { text, cwd } => Wanted::Error(WantedError::of(text, cwd)),
        }
    }

    /// The words to find candidates by.
    fn words(&self) -> String {
        let text = match self {
            Wanted::Command(calls) => calls.concat().join(" "),
            Wanted::Error(error) => error.words.clone(),
        };
        let text: String = text.chars().take(CHARS_MAX).map(|c| if ":\"'".contains(c) { ' ' } else { c }).collect();
        let words = text.split_whitespace().map(|word| word.trim_start_matches('-'));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What `recorded` has in common with it, if it is the same.
    fn same(&mut self, recorded: &Recorded) -> Option<Same> {
        match self {
            Wanted::Command(wanted) => {
                let command = stored(recorded).command.unwrap_or_else(|| without_ending(recorded.title()).to_owned());
                begins_a_part(&calls(&command), wanted).then_some(Same::Command)
            }
            Wanted::Error(error) => error.same(recorded),
        }
    }
}

impl WantedError<'_> {
    fn of<'a>(text: &'a str, cwd: &'a str) -> WantedError<'a> {
        let start: String = plain(text).chars().take(CHARS_MAX * 10).collect();
        let key = key_lines(&start);
        let mut words: Vec<&str> = start.lines().filter(|line| key.contains(&equalised(line))).collect();
        // The signature's line can be another one.
        let signature = signature("", cwd, None, text.as_bytes(), false);
        words.extend(signature.iter().flat_map(|it| it.text.split(' ')).filter(|word| !word.contains(['<', '>'])));
        let words = words.join(" ");
        let is_one = text.lines().filter(|line| !line.trim().is_empty()).count() == 1;
        WantedError { text, cwd, key, is_one, words, signatures: HashMap::new() }
    }

    fn same(&mut self, recorded: &Recorded) -> Option<Same> {
        let stored = stored(recorded);
        let command = stored.command.as_deref().unwrap_or_default();
        let (text, cwd) = (self.text.as_bytes(), self.cwd);
        let made = || signature(command, cwd, None, text, false);
        let ours = self.signatures.entry(command.to_owned()).or_insert_with(made);
        match (ours, stored.signature(recorded.provenance().cwd.as_deref().unwrap_or_default())) {
            (Some(ours), Some(theirs)) if *ours == theirs => return Some(Same::Failure),
            (Some(ours), Some(theirs)) if !self.is_one || is_certain(ours) && ours.class == theirs.class => {
                // A single line lacks what belongs to it.
                let begins = |it: &str| it.strip_prefix(&ours.text).is_some_and(|rest| rest.starts_with(" | "));
                return (self.is_one && begins(&theirs.text)).then_some(Same::ErrorLine);
            }
            _ => {}
        }
        let summary = || recorded.field(Field::Summary).unwrap_or_default();
        let error = stored.error.unwrap_or_else(|| format!("{}\n{}", recorded.title(), summary()));
        let lines: Vec<String> = plain(&error).lines().take(LINES_MAX).map(equalised).collect();
        let has =
            |wanted: &String| lines.iter().any(|line| line == wanted || self.is_one && line.contains(wanted.as_str()));
        self.key.iter().any(has).then_some(Same::ErrorLine)
    }
}

/// Whether the class says what the line is: then a single line has the class that it has in the whole output.
fn is_certain(signature: &Signature) -> bool {
    !["generic", "last"].contains(&signature.class)
}

/// What a hook stored of the failure `recorded`.
fn stored(recorded: &Recorded) -> Stored {
    let text = |field| recorded.field(field).unwrap_or_default();
    Stored::of(&text(Field::Summary), &text(Field::Tags))
}

/// The words of each call in a command line, as they are written there, without what stands before the program.
fn calls(command: &str) -> Vec<Vec<String>> {
    let words = |call: &shell::Call| match call.program() {
        [] => Vec::new(),
        words => words.iter().map(|word| command[word.range.clone()].to_owned()).collect(),
    };
    shell::calls(command).iter().map(words).filter(|words| !words.is_empty()).collect()
}

/// Whether `wanted` are calls of a line, one behind the other, of which the last begins with the last one's words.
fn begins_a_part(line: &[Vec<String>], wanted: &[Vec<String>]) -> bool {
    let Some((last, before)) = wanted.split_last() else { return false };
    line.windows(wanted.len()).any(|part| part[..before.len()] == *before && part[before.len()].starts_with(last))
}

/// A failure's title without how it ended, as hooks put it: `cargo test: exit code 101`.
fn without_ending(title: &str) -> &str {
    match title.rsplit_once(": ") {
        Some((command, ending)) if ending.starts_with("exit code ") || ending == "failed" => command,
        _ => title,
    }
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
    use crate::model::{Learning, Record, Request};
    use crate::search::State;

    #[test]
    fn a_command_is_the_same_if_it_begins_alike() {
        for (recorded, asked, is) in [
            ("cargo test -p x", "cargo test", true),
            ("cd /x && cargo test", "cargo test", true),
            ("RUST_LOG=1; cargo test; ls", "cargo test", true),
            ("RUST_LOG=debug cargo test", "cargo test", true),
            ("cd shop;cargo test -p y", "cargo test", true),
            ("cd web&&cargo test --doc", "cargo test", true),
            ("(cd web; cargo test)", "cargo test", true),
            ("cd web\ncargo test", "cargo test", true),
            ("cd web && cargo test -q", "cd web && cargo test", true),
            ("cd api && cargo test -q", "cd web && cargo test", false),
            ("echo \"; cargo test\"", "cargo test", false),
            ("cargo test", "cargo  test", true),
            ("cargo testing", "cargo test", false),
            ("echo cargo test", "cargo test", false),
            ("cargo", "cargo test", false),
            ("cargo test", "", false),
        ] {
            assert_eq!(begins_a_part(&calls(recorded), &calls(asked)), is, "{recorded}: {asked}");
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

    /// What a failure that a hook stored has in common with `text`.
    fn same(stored: (&str, &str, &str), text: &str) -> Option<Same> {
        let (command, tags, output) = stored;
        let summary =
            format!("**Tool**: Bash\n\n**Command**\n\n```\n{command}\n```\n\n**Error**\n\n```\n{output}\n```\n\n");
        let learning = Learning {
            title: "t".into(),
            domain: "d".into(),
            tags: tags.into(),
            summary: if command.is_empty() { output.into() } else { summary },
            ..Learning::default()
        };
        let (id, at) = (RecordId(uuid::Uuid::from_u128(1)), Timestamp::UNIX_EPOCH);
        let mut request = Request::new(Record::Failure(learning));
        request.provenance.cwd = Some("/home/me/x".into());
        let recorded = Recorded {
            id,
            created_at: at,
            updated_at: at,
            amended: None,
            from: None,
            state: State::Active,
            path: "p.md".into(),
            row_id: None,
            request,
        };
        WantedError::of(text, "/srv/y").same(&recorded)
    }

    #[test]
    fn signatures_decide_where_both_sides_have_one() {
        let pytest = "ERROR: the suite has failed tests\ntest_a.py F\n=== FAILURES ===\nE   assert 1 == 2\nFAILED tests/test_a.py::test_sum - assert 1 == 2\n=== 1 failed in 0.12s ===";
        let stored = ("cd app && pytest -q", "hook,exit-1", pytest);
        let again = pytest.replace("0.12", "3.40").replace("E   assert", ">   x\nE   assert");
        assert_eq!(same(stored, &again), Some(Same::Failure));
        let other = again.replace("test_sum", "test_product");
        assert_eq!(
            same(stored, &other),
            None,
            "the line that looks like an error first is the same, the failure is not"
        );
        // The program's name tells which line it is, and the recorded command knows the program.
        let git = ("git push", "exit-1", "hint: x\nfatal: unable to access 'https://a.b/c': timed out");
        assert_eq!(same(git, "fatal: unable to access 'https://a.b/d': timed out"), Some(Same::Failure));
        assert_eq!(same(git, "fatal: unable to access 'https://other.b/c': timed out"), None);
    }

    #[test]
    fn error_lines_decide_where_a_side_has_no_signature() {
        let error = "error: the lock file is missing at /a/b.lock";
        let by_hand = ("", "", "It said:\nerror: the lock file is missing at /c/b.lock\nand stopped.");
        assert_eq!(same(by_hand, error), Some(Same::ErrorLine));
        assert_eq!(same(by_hand, "error: the lock file is stale"), None);
        // What a hook had cut has no certain signature.
        let cut = ("make x", "exit-2", "a\n… 70000 bytes are left out …\nthe disk was denied to us");
        assert_eq!(same(cut, "b\nc\nd\nthe disk was denied to us"), Some(Same::ErrorLine));
        // A single line can be a part of one, or lack what belongs to it.
        let rust =
            "error[E0382]: use of moved value: `b`\n --> src/a.rs:1:2\n  |\n1 | b\n  | ^ value used here after move";
        let stored = ("cargo check", "exit-101", rust);
        assert_eq!(same(stored, rust), Some(Same::Failure));
        assert_eq!(same(stored, "error[E0382]: use of moved value: `b`"), Some(Same::ErrorLine));
        assert_eq!(same(stored, "use of moved value"), Some(Same::ErrorLine));
        assert_eq!(same(stored, "error[E0383]: use of moved value: `b`"), None, "another code");
    }
}
