//! The note of erasures that have begun: which records, and where indelible's references were before the history was rewritten.
//!
//! It is written before anything is erased and removed once all of it is proved to be gone. The next holder of the worker's lock
//! meanwhile finishes what it names ([`crate::erase`]).
//!
//! It holds ids, and of each line that is looked for a [`Trace`]: a later run has to find these lines in a file when journal, index
//! and history have them no more. A trace is no text, but a guess can be tested against it, with the key that is beside it. So it
//! is there no longer than the note.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | everything | nothing was begun |
//! | before its traces | the note without them; journal, index and history have the lines | the next holder of the lock reads them there |
//! | after it | the note, and less and less | the next holder of the lock finishes it |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::exclusive::Exclusive;
use crate::fs::{self, Dir, Durability, Point, crash};
use crate::home;
use crate::model::layout::{ERASING, TEMPORARY};
use crate::model::{RecordId, Revision};
use crate::random;

/// A larger file is not one of ours.
const BYTES_MAX: u64 = 16 << 20;
const VERSION: u32 = 1;

/// The content of `.indelible/erasing.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasing {
    version: u32,
    /// The records, each with the revision of its erasure.
    pub ids: BTreeMap<RecordId, Revision>,
    /// The commits that indelible's references were at before.
    #[serde(default)]
    pub tips: BTreeSet<String>,
    /// What the traces are made with; at random for each note.
    #[serde(default)]
    pub key: u64,
    /// What is kept of the lines that are looked for.
    #[serde(default)]
    pub traces: BTreeSet<Trace>,
}

/// What is kept of a line of an erased record: it is found by this, and not told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trace {
    /// Its length, in bytes.
    pub bytes: usize,
    /// 16 bits of a sum of its first bytes.
    pub start: u16,
    /// A checksum of key and line.
    pub sum: String,
}

impl Erasing {
    fn of(ids: BTreeMap<RecordId, Revision>) -> Erasing {
        let key = random::id().as_u64_pair().1;
        Erasing { version: VERSION, ids, tips: BTreeSet::new(), key, traces: BTreeSet::new() }
    }

    /// Adds the records `ids` to the note, all of them or none. Those that are in it keep their revision.
    ///
    /// # Errors
    /// As [`Erasing::read`] and [`Erasing::write`].
    pub fn add(exclusive: &Exclusive<'_>, ids: BTreeMap<RecordId, Revision>) -> Result<(), home::Error> {
        let known = Erasing::read(exclusive.home().private())?;
        let mut note = known.clone().unwrap_or_else(|| Erasing::of(BTreeMap::new()));
        for (id, revision) in ids {
            note.ids.entry(id).or_insert(revision);
        }
        if known.as_ref() == Some(&note) { Ok(()) } else { note.write(exclusive) }
    }

    /// Reads the note; `None` if no erasure has begun, or if the note is a newer program's.
    ///
    /// # Errors
    /// [`fs::Error::Io`] if it cannot be read.
    pub fn read(private: &Dir) -> Result<Option<Erasing>, fs::Error> {
        let text = private.content(ERASING, BYTES_MAX)?;
        let note = text.and_then(|text| serde_json::from_slice::<Erasing>(&text).ok());
        Ok(note.filter(|note| note.version == VERSION))
    }

    /// Writes the note, durably.
    ///
    /// # Errors
    /// [`home::Error::Fs`] if it cannot be written; the old note is still there then.
    pub fn write(&self, exclusive: &Exclusive<'_>) -> Result<(), home::Error> {
        let home = exclusive.home();
        let named = fs::Error::io("note an erasure in", home.private().path());
        crash::at(Point::EraseBeforeNote).map_err(named)?;
        let text = serde_json::to_vec(self).expect("it is made of strings and numbers");
        Ok(home.private().replace(ERASING, &text, &home.private_folder(TEMPORARY)?, Durability::Full)?)
    }

    /// Keeps `traces`, made with the key of the note, durably. Writes nothing if it has all of them.
    ///
    /// # Errors
    /// As [`Erasing::write`].
    pub fn keep(&mut self, exclusive: &Exclusive<'_>, traces: BTreeSet<Trace>) -> Result<(), home::Error> {
        let before = self.traces.len();
        self.traces.extend(traces);
        if self.traces.len() == before { Ok(()) } else { self.write(exclusive) }
    }

    /// Removes the note, durably: all of it is done.
    ///
    /// # Errors
    /// [`fs::Error::Io`]; the next holder of the lock checks again then.
    pub fn remove(exclusive: &Exclusive<'_>) -> Result<(), fs::Error> {
        let private = exclusive.home().private();
        crash::at(Point::EraseBeforeDone).map_err(fs::Error::io("end an erasure in", private.path()))?;
        private.remove(ERASING)?;
        private.sync()
    }
}
