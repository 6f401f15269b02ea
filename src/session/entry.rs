//! The lines of a session log. Pure.

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
    /// The failure's record.
    pub failure: RecordId,
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
    /// Its record.
    pub failure: RecordId,
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

fn lines(content: &[u8]) -> impl Iterator<Item = &str> {
    content.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok())
}

pub(super) fn all_in(content: &[u8]) -> Vec<Noted> {
    lines(content).filter_map(Noted::of_line).collect()
}

/// Whether a failure is open in `content` that was opened after `since`.
pub(super) fn has_open(content: &[u8], since: Timestamp) -> bool {
    let mut open: Vec<RecordId> = Vec::new();
    for line in lines(content).filter(|line| matches!(name_of(line), Some("opened" | "closed"))) {
        match Noted::of_line(line) {
            Some(Noted { at, entry: Entry::Opened(opened) }) if at > since => open.push(opened.failure),
            Some(Noted { entry: Entry::Closed(closed), .. }) => open.retain(|failure| *failure != closed.failure),
            _ => {}
        }
    }
    !open.is_empty()
}

/// Whether `key` is told in `content`.
pub(super) fn is_told_in(content: &[u8], key: &str) -> bool {
    lines(content).filter(|line| name_of(line) == Some("told")).any(|line| {
        Noted::of_line(line).is_some_and(|noted| matches!(noted.entry, Entry::Told(told) if told.key == key))
    })
}
