//! The lines of a session log. Pure.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::RecordId;

/// What a line begins with.
const BEGIN: &str = "{\"at\":";

/// What a session log notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// The agent was told something.
    Told(Told),
    /// A command failed; the failure is open until its command succeeds.
    Opened(Opened),
    /// A call while a failure was open.
    Step(Step),
    /// The agent ended a turn while a failure was open: a person speaks next.
    Turn {},
    /// A failure is no longer open.
    Closed(Closed),
}

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it was, by a name that the teller chooses.
    pub key: String,
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The failure: its record's id, or the one that it would have if it were not the same as `again_of`.
    pub failure: RecordId,
    /// The record of the same failure that was there already, if this one was only counted, or became a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_of: Option<RecordId>,
    /// The command, redacted.
    pub command: String,
    /// The folder that it ran in.
    pub folder: String,
    /// The project's folder: the root of the git checkout, or the same as `folder`.
    #[serde(default)]
    pub root: String,
    /// The branch that was checked out there, or the commit; empty outside of a git repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// A digest of the failure's signature; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// A digest of the host's id of the prompt or turn; empty if it names none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
}

/// A call while a failure was open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it did, as it may be told. Empty if it is counted only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub does: String,
    /// The project's files that it edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// Which call it was, so that a second copy of a hook adds no step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
}

/// A failure that is no longer open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// As it was opened.
    pub failure: RecordId,
}

impl Opened {
    /// The failure's record.
    pub fn record(&self) -> RecordId {
        self.again_of.unwrap_or(self.failure)
    }
}

/// An entry, and when it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// What.
    pub entry: Entry,
}

impl Noted {
    /// The line for it, with a line break before and after it.
    pub(super) fn line(&self) -> String {
        let entry = serde_json::to_string(&self.entry).expect("it is made of strings");
        format!("\n{BEGIN}{},{}\n", self.at.as_millisecond(), &entry[1..])
    }

    fn of_line(line: &str) -> Option<Noted> {
        let (at, entry) = parts(line)?;
        let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
        Some(Noted { at, entry: serde_json::from_str(&format!("{{{entry}")).ok()? })
    }
}

/// The time in a line, and the rest.
fn parts(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix(BEGIN)?.split_once(',')
}

/// The name of a line's entry, without parsing it.
fn name_of(line: &str) -> Option<&str> {
    parts(line)?.1.strip_prefix('"')?.split_once('"').map(|(name, _)| name)
}

/// Whether a line says that it was appended after `since`, without parsing the rest of it.
fn is_after(line: &str, since: Timestamp) -> bool {
    parts(line).and_then(|(at, _)| at.parse::<i64>().ok()).is_some_and(|at| at > since.as_millisecond())
}

fn lines(content: &[u8]) -> impl DoubleEndedIterator<Item = &str> {
    content.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok())
}

#[cfg(test)]
pub(super) fn all_in(content: &[u8]) -> Vec<Noted> {
    lines(content).filter_map(Noted::of_line).collect()
}

/// The entries of `content` from the first failure on that is open: opened after `since`, not closed, and with less than `calls`
/// calls after it. A failure that is opened is a call, and so is a step. Empty if none is open.
///
/// It reads backwards, and ends with the last call that counts: what it parses depends on `calls`, and not on the log's size.
pub(super) fn open_in(content: &[u8], since: Timestamp, calls: usize) -> Vec<Noted> {
    let (mut noted, mut first_open) = (Vec::new(), 0);
    let (mut closed, mut opened, mut steps) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut unnamed = 0;
    for line in lines(content).rev() {
        if opened.len() + steps.len() + unnamed >= calls {
            break;
        }
        let concerns = matches!(name_of(line), Some("opened" | "closed" | "step" | "turn")) && is_after(line, since);
        let Some(found) = concerns.then(|| Noted::of_line(line)).flatten() else { continue };
        let mut is_open = false;
        match &found.entry {
            Entry::Opened(it) => {
                is_open = !closed.contains(&it.failure);
                opened.insert(it.failure);
            }
            Entry::Closed(it) => {
                closed.insert(it.failure);
            }
            // Two copies of a hook note one call twice.
            Entry::Step(it) if !it.call.is_empty() => {
                steps.insert((it.call.clone(), it.does.clone()));
            }
            Entry::Step(_) => unnamed += 1,
            Entry::Turn {} | Entry::Told(_) => {}
        }
        noted.push(found);
        if is_open {
            first_open = noted.len();
        }
    }
    noted.truncate(first_open);
    noted.reverse();
    noted
}

/// The entries of `content` that open a failure or tell something, in order.
pub(super) fn failures_in(content: &[u8]) -> impl Iterator<Item = Noted> {
    lines(content).filter(|line| matches!(name_of(line), Some("opened" | "told"))).filter_map(Noted::of_line)
}

/// All keys that are told in `content`.
pub(super) fn told_in(content: &[u8]) -> impl Iterator<Item = String> {
    lines(content).filter(|line| name_of(line) == Some("told")).filter_map(key_of)
}

/// Whether `key` is told in `content`. Only lines that have its bytes are parsed.
pub(super) fn is_told_in(content: &[u8], key: &str) -> bool {
    let quoted = serde_json::to_string(key).expect("it is a string");
    let is_break = |byte: &u8| *byte == b'\n';
    memchr::memmem::find_iter(content, quoted.as_bytes()).any(|at| {
        let begin = content[..at].iter().rposition(is_break).map_or(0, |before| before + 1);
        let end = content[at..].iter().position(is_break).map_or(content.len(), |length| at + length);
        std::str::from_utf8(&content[begin..end]).ok().and_then(key_of).is_some_and(|told| told == key)
    })
}

/// The key that a line says was told.
fn key_of(line: &str) -> Option<String> {
    match Noted::of_line(line)?.entry {
        Entry::Told(told) => Some(told.key),
        _ => None,
    }
}
