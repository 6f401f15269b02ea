//! What whoever has the worker's lock remembers from one time to the next.
//!
//! It is only ever an excuse to do less: where it is missing or says something else, everything is looked at anew. (That
//! rows are owed is no excuse, but says how much less: without a state, all rows are looked for.)

use serde::{Deserialize, Serialize};

use crate::exclusive::Exclusive;
use crate::fs::{Dir, Durability, Error, os};
use crate::home;
use crate::model::JournalId;
use crate::model::position::{Position, SegmentId};

const NAME: &str = "state.json";
/// It names every segment, and while rows are owed no segment goes.
const BYTES_MAX: u64 = 1 << 20;

/// The content of `.indelible/state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Since this boot, every file and row of the journal has been seen in place.
    pub boot: String,
    /// The journal that all of this is said about.
    pub journal: JournalId,
    /// Whether a batch has been committed, so that a history without one has lost something.
    pub committed: bool,
    /// How far the journal was found to be in git already, so that no commit of ours says so.
    #[serde(default)]
    pub passed: Option<Passed>,
    /// Segments of the journal, by their numbers. Where one has another number by now, what lies before a position need
    /// not be what came before it.
    #[serde(default)]
    pub segments: Vec<(u64, SegmentId)>,
    /// Whether everything has to be looked at since a position could not be trusted, and has not been to the end. What is
    /// committed meanwhile can be trusted again, so nothing else would say so.
    #[serde(default)]
    pub distrusted: bool,
    /// From where on records may be committed whose rows are not in the index yet, if there are any.
    #[serde(default)]
    pub rows_owed: Option<Position>,
}

/// A part of the journal that needed no commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Where it ends.
    pub position: Position,
    /// The commit whose history had all of it. Where the branch does not reach that, this means nothing.
    pub commit: String,
}

impl State {
    /// The state of a home that is being made.
    pub fn of_new(journal: JournalId) -> State {
        State {
            boot: os::boot_id(),
            journal,
            committed: false,
            passed: None,
            segments: Vec::new(),
            distrusted: false,
            rows_owed: None,
        }
    }

    /// What is remembered; `None` if nothing is, or nothing that can be understood.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn read(private: &Dir) -> Result<Option<State>, Error> {
        let text = private.content(NAME, BYTES_MAX)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Remembers this, durably.
    ///
    /// # Errors
    /// [`home::Error::Fs`] if it cannot be written; what was remembered before is then still there.
    pub fn write(&self, home: &Exclusive<'_>) -> Result<(), home::Error> {
        let home = home.home();
        Ok(self.create(home.private(), &home.private_folder("tmp")?)?)
    }

    /// Remembers this, durably, of a home that is being made, in its folders `private` and `temporary`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn create(&self, private: &Dir, temporary: &Dir) -> Result<(), Error> {
        let text = serde_json::to_string(self).expect("it is made of strings");
        private.replace(NAME, text.as_bytes(), temporary, Durability::Full)
    }
}
