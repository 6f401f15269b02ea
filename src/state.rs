//! What the holder of the worker's lock remembers between runs.
//!
//! A cache, with notes that let its reader check less. If it is missing or stale, everything is audited. The rows'
//! watermark is in the index instead, and the history's in its commits (`target`).

use serde::{Deserialize, Serialize};

use crate::exclusive::Exclusive;
use crate::fs::{Dir, Durability, Error};
use crate::home;
use crate::model::JournalId;
use crate::model::layout::{STATE, TEMPORARY};
use crate::model::position::{Position, SegmentId};

/// It names every segment, and few segments are removed while rows lag.
const BYTES_MAX: u64 = 1 << 20;
/// The version of the content. A file without one is version 1.
const VERSION: u32 = 2;

/// The content of `.indelible/state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The version of this content.
    version: u32,
    /// The journal that all of this is about.
    pub journal: JournalId,
    /// Whether a batch has been committed: then a history without a commit has lost something.
    pub committed: bool,
    /// How far the history was found to have the journal already, so that no trailer says so.
    #[serde(default)]
    pub noted: Option<Noted>,
    /// Segments of the journal, by their numbers. If one has another number by now, what lies before a position may not
    /// be what came before it.
    #[serde(default)]
    pub segments: Vec<(u64, SegmentId)>,
    /// An audit of everything is due and not finished. Meanwhile commits are trusted again, so nothing else would show
    /// it.
    #[serde(default)]
    pub audit_due: bool,
    /// What the last audit left to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// What is known of edits by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits: Option<Edits>,
    /// What version 1 said about the rows, which the index says now.
    #[serde(skip)]
    pub rows_before: Option<RowsBefore>,
}

/// What an audit left to a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// How many files are not the records' that belong there, or cannot be read.
    pub named: u64,
    /// The first of them.
    pub first: Option<String>,
    /// How many records commits removed from git, with their files gone: too many to be retracted unasked.
    pub removed: u64,
}

/// What the worker knows of edits by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edits {
    /// Files that changed since then have not been judged: nanoseconds since 1970, as files' times are.
    pub since: i64,
    /// Files whose edits cannot be taken, and why.
    pub left: Vec<(String, String)>,
    /// How many more of them there are.
    pub more: u64,
    /// How many edits were found at once, if they were too many to be taken unasked.
    pub too_many: u64,
}

/// A watermark of the history that is not in a trailer. The commit validates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The history has the journal up to here.
    pub position: Position,
    /// The commit that has all of it. If the branch does not reach that commit, this means nothing.
    pub commit: String,
}

/// What version 1 of this file said about files and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsBefore {
    /// The boot since which every file and row of the journal was seen in place.
    pub boot: String,
    /// The position from which rows were missing in the index; `None` if it had all that the history had.
    pub lag: Option<Position>,
}

/// Version 1 of the content.
#[derive(Deserialize)]
struct First {
    boot: String,
    journal: JournalId,
    committed: bool,
    #[serde(default)]
    passed: Option<Noted>,
    #[serde(default)]
    segments: Vec<(u64, SegmentId)>,
    #[serde(default)]
    distrusted: bool,
    #[serde(default)]
    rows_owed: Option<Position>,
}

impl From<First> for State {
    fn from(first: First) -> State {
        State {
            version: VERSION,
            journal: first.journal,
            committed: first.committed,
            noted: first.passed,
            segments: first.segments,
            audit_due: first.distrusted,
            left: None,
            edits: None,
            rows_before: Some(RowsBefore { boot: first.boot, lag: first.rows_owed }),
        }
    }
}

impl State {
    /// The state of a home that is being created.
    pub fn of_new(journal: JournalId) -> State {
        State {
            version: VERSION,
            journal,
            committed: false,
            noted: None,
            segments: Vec::new(),
            audit_due: false,
            left: None,
            edits: None,
            rows_before: None,
        }
    }

    /// Reads the state; `None` if it is missing or cannot be parsed.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn read(private: &Dir) -> Result<Option<State>, Error> {
        let text = private.content(STATE, BYTES_MAX)?;
        Ok(text.and_then(|text| {
            let state = serde_json::from_slice::<State>(&text).ok().filter(|state| state.version == VERSION);
            state.or_else(|| serde_json::from_slice::<First>(&text).ok().map(State::from))
        }))
    }

    /// Writes the state, durably.
    ///
    /// # Errors
    /// [`home::Error::Fs`] if it cannot be written; the old state is still there then.
    pub fn write(&self, home: &Exclusive<'_>) -> Result<(), home::Error> {
        let home = home.home();
        Ok(self.create(home.private(), &home.private_folder(TEMPORARY)?)?)
    }

    /// Writes the state, durably, of a home that is being created, in its folders `private` and `temporary`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn create(&self, private: &Dir, temporary: &Dir) -> Result<(), Error> {
        let text = serde_json::to_string(self).expect("it is made of strings");
        private.replace(STATE, text.as_bytes(), temporary, Durability::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::SegmentId;

    /// What the program wrote before there were watermarks.
    #[test]
    fn version_1_is_understood() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        let (journal, segment) = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002");
        let text = format!(
            r#"{{"boot":"a boot","journal":"{journal}","committed":true,"passed":null,"segments":[[1,"{segment}"]],"distrusted":true,"rows_owed":"{segment}:57:00000000"}}"#
        );
        std::fs::write(root.path().join(STATE), text).expect("it can be written");
        let state = State::read(&dir).expect("readable").expect("understood");
        let segment = SegmentId(segment.parse().expect("an id"));
        let lag = Some(Position { segment, offset: 57, checksum: 0 });
        assert_eq!(state.rows_before, Some(RowsBefore { boot: "a boot".to_owned(), lag }));
        assert!(state.committed && state.audit_due && state.segments == [(1, segment)]);
        state.create(&dir, &dir).expect("it can be written");
        let again = State::read(&dir).expect("readable").expect("understood");
        assert_eq!(again, State { rows_before: None, ..state }, "version 2 says nothing of rows");
    }
}
