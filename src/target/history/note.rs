//! The note about the branch that shows the history: its name, and where we left it (`pointer.rs`).

use std::path::Path;

use git2::{Oid, Reference};
use serde::{Deserialize, Serialize};

use crate::fs::{Dir, Durability};
use crate::model::layout::{POINTER, TEMPORARY};
use crate::private::private_of;

/// The note about the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The branch's full name.
    pub(super) name: String,
    /// Where it was before the last move; `None` if it did not exist yet.
    pub(super) at: Option<String>,
    /// The destination of that move; `None` if there was no move yet.
    next: Option<String>,
}

impl Note {
    pub(super) fn of(name: impl Into<String>, at: Option<Oid>, next: Option<Oid>) -> Note {
        let text = |id: Option<Oid>| id.map(|id| id.to_string());
        Note { name: name.into(), at: text(at), next: text(next) }
    }

    pub(super) fn has_left_it_at(&self, id: Oid) -> bool {
        let id = id.to_string();
        [&self.at, &self.next].into_iter().flatten().any(|it| *it == id)
    }

    /// Where the branch was last left, as far as is known.
    pub(super) fn last(&self) -> Option<Oid> {
        self.next.as_ref().or(self.at.as_ref()).and_then(|id| Oid::from_str(id).ok())
    }
}

fn private(home: &Path) -> Option<Dir> {
    Dir::open(home).and_then(|home| private_of(&home)).ok().flatten()
}

pub(super) fn read(home: &Path) -> Option<Note> {
    let text = private(home)?.content(POINTER, 4096).ok().flatten()?;
    serde_json::from_slice(&text).ok()
}

/// The full name of the branch that shows the history of the home at `home`, if there is one.
pub(super) fn noted(home: &Path) -> Option<String> {
    let is_a_branch = |name: &String| name.starts_with("refs/heads/") && Reference::is_valid_name(name);
    read(home).map(|note| note.name).filter(is_a_branch)
}

/// Writes the note. Returns whether that worked.
pub(super) fn write(home: &Path, note: &Note) -> bool {
    let Some(private) = private(home) else { return false };
    let text = serde_json::to_vec(note).expect("it is made of strings");
    let written =
        private.folder(TEMPORARY).and_then(|temporary| private.replace(POINTER, &text, &temporary, Durability::None));
    written.inspect_err(|error| tracing::debug!(%error, "the branch's place cannot be noted")).is_ok()
}
