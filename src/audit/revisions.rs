//! What the stores say about revisions and state files, and what follows for the evidence.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::classify::{Evidence, File, History, Row, State};
use crate::model::{RecordId, Revision};
use crate::page::{Presence, StateFile};

/// The collected revisions. Even a large home has few records that were ever amended or retracted, so the others take
/// no room here.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether the journal ever had another operation than `record`: then any record can be of an earlier revision in two stores
    /// at once, as after a power cut.
    pub(super) had_operations: bool,
    /// The revisions of rows that are not the first.
    pub(super) revisions: HashMap<RecordId, Revision>,
    /// The revisions of the files at these paths, and in the tree. Most records were never amended.
    pub(super) file_revisions: HashMap<Rc<str>, Revision>,
    pub(super) tree_revisions: HashMap<Rc<str>, Revision>,
    /// The index's markers.
    pub(super) marks: HashMap<RecordId, StateFile>,
    /// The state files on disk; `None` for a torn one.
    pub(super) states: HashMap<RecordId, Option<StateFile>>,
    /// The state files in the tree.
    pub(super) committed_states: HashMap<RecordId, StateFile>,
}

impl Known {
    /// Whether the tree can have another revision of the record `id` than its file at `path` and its row.
    pub(super) fn may_differ(&self, id: RecordId, path: &str) -> bool {
        self.had_operations || self.revisions.contains_key(&id) || self.file_revisions.contains_key(path)
    }

    /// Whether any store knows of another operation than `record`.
    pub(super) fn has_operations(&self) -> bool {
        self.had_operations
            || !(self.revisions.is_empty() && self.file_revisions.is_empty() && self.tree_revisions.is_empty())
            || self.has_state_files()
    }

    /// Whether any store says that a record was retracted, restored or erased.
    pub(super) fn has_state_files(&self) -> bool {
        !(self.marks.is_empty() && self.states.is_empty() && self.committed_states.is_empty())
    }

    /// Records that were retracted, restored or erased, and are not among `named`.
    pub(super) fn unnamed(&self, named: impl Iterator<Item = RecordId>) -> HashSet<RecordId> {
        let known = self.marks.keys().chain(self.states.keys()).chain(self.committed_states.keys());
        let mut unnamed: HashSet<RecordId> = known.copied().collect();
        if !unnamed.is_empty() {
            for id in named {
                unnamed.remove(&id);
            }
        }
        unnamed
    }

    /// Whether the latest state file of `id` says that it was restored.
    pub(super) fn is_restored(&self, id: RecordId) -> bool {
        self.presence(id) == Some(Presence::Restored)
    }

    /// Whether the latest state file of `id` says that it was retracted.
    pub(super) fn is_retracted(&self, id: RecordId) -> bool {
        self.presence(id) == Some(Presence::Retracted)
    }

    /// Whether the latest state file of `id` says that it was retracted or erased.
    pub(super) fn is_hidden(&self, id: RecordId) -> bool {
        self.presence(id).is_some_and(Presence::is_hidden)
    }

    /// What the latest state file of `id` says, if a store has one.
    fn presence(&self, id: RecordId) -> Option<Presence> {
        let (mark, on_disk) = (self.marks.get(&id), self.states.get(&id).and_then(Option::as_ref));
        let states = [mark, on_disk, self.committed_states.get(&id)].into_iter().flatten();
        states.max_by_key(|state| state.rank()).map(|state| state.state)
    }

    /// Whether the tree lacks `state`, or has an earlier one.
    pub(super) fn is_later(&self, state: &StateFile) -> bool {
        self.committed_states.get(&state.of).is_none_or(|it| it.rank() < state.rank())
    }

    /// `evidence`, completed with the stores' revisions and the known state file.
    pub(super) fn with_revisions(
        &self,
        mut evidence: Evidence,
        path: &str,
        id: Option<RecordId>,
    ) -> (Evidence, Option<StateFile>) {
        let Some(id) = id else { return (evidence, None) };
        let row = self.revisions.get(&id).copied();
        let file = self.file_revisions.get(path).copied();
        let tree = self.tree_revisions.get(path).copied();
        let latest = row.max(file).max(tree);
        if evidence.file == File::Current && file < latest {
            evidence.file = File::Stale;
        }
        if evidence.row == Row::Present && row < latest {
            evidence.row = Row::Stale;
        }
        if evidence.history == History::InTree && tree < latest {
            evidence.history = History::Older;
        }
        let mark = self.marks.get(&id);
        let on_disk = self.states.get(&id);
        let committed = self.committed_states.get(&id);
        // If ranks are equal, the tree's counts.
        let states = [mark, on_disk.and_then(Option::as_ref), committed].into_iter().flatten();
        let state = states.max_by_key(|state| state.rank()).cloned();
        if mark.is_some_and(|mark| mark.state.is_hidden()) && matches!(evidence.row, Row::Missing | Row::Dangling) {
            evidence.row = Row::Marked;
        }
        evidence.state = match (&state, on_disk) {
            (None, Some(None)) => State::Torn,
            (None, _) => State::None,
            // A mark alone: the row tells that it was retracted, and a restoration is repeated.
            (Some(state), None) if committed.is_none() && state.state.is_hidden() => State::None,
            (Some(state), _) => match state.state {
                Presence::Restored => State::Restored,
                Presence::Retracted => State::Retracted,
                Presence::Erased => State::Erased,
            },
        };
        let is_later = state.as_ref().is_some_and(|state| self.is_later(state));
        let is_restored = evidence.state == State::Restored && evidence.history == History::Never;
        if is_later && evidence.state != State::None && !is_restored {
            evidence.history = History::Older;
        }
        // A marker of another revision is brought to this one.
        let is_hidden = matches!(evidence.state, State::Retracted | State::Erased);
        if is_hidden && mark.map(StateFile::rank) != state.as_ref().map(StateFile::rank) {
            evidence.row = Row::Dangling;
        }
        // So is one that does not know of a restoration: it counts as the mark of before.
        if evidence.state == State::Restored
            && evidence.history != History::Never
            && mark.is_none_or(|mark| state.as_ref().is_some_and(|state| mark.revision < state.revision))
        {
            evidence.row = Row::Marked;
        }
        (evidence, state)
    }
}
