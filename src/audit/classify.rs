//! Turning evidence into an action. Pure.
//!
//! Each store is asked about each record, and the answers are a row of one table. No `_` arm can swallow a combination:
//! a new state of a store does not compile until every row has an answer for it.
//!
//! Whether a record is hidden takes precedence over everything else, so the table has two halves. In each, the stores
//! are brought to the greatest revision, and changes that an owner made by hand are reported and left alone.

use serde::Serialize;

/// What is at a record's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum File {
    /// Nothing.
    Missing,
    /// The record's file, at the greatest known revision.
    Current,
    /// The same, edited by its owner.
    Edited,
    /// The record's file at an earlier revision, which a power cut or a copy put back.
    Stale,
    /// What a power cut left of it, or bytes that are not a record's.
    Torn,
    /// Nothing, but the record's file is at another path: its owner moved it.
    Moved,
    /// Another record's file.
    Another,
    /// The record's file, which no longer says what it records.
    Unreadable,
}

/// What the index has of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Row {
    /// Nothing.
    Missing,
    /// A row at the greatest known revision.
    Present,
    /// A row at an earlier revision.
    Stale,
    /// The index knows the record, but its table lacks the row.
    Dangling,
    /// The record is marked as retracted or erased, and has no row.
    Marked,
}

/// What the history has of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// No commit ever had it.
    Never,
    /// The branch's tree has it, and the record's state file if there is one, at the greatest known revision.
    InTree,
    /// The branch's tree has it, or its state file, at an earlier revision; or lacks a state file that another store
    /// has.
    Older,
    /// It was in the tree, and its owner or a retraction removed it.
    Removed,
}

/// The state file of the record: of those in the tree, on disk and in the index's marker, the one with the greatest
/// revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No state file. At most the index has a marker.
    None,
    /// The record was restored.
    Restored,
    /// It was retracted.
    Retracted,
    /// It was erased.
    Erased,
    /// A state file that cannot be read: its name counts.
    Torn,
}

/// Everything that the stores say about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Whether the journal holds it, or an operation on it, that is not committed yet.
    pub pending: bool,
    /// The file.
    pub file: File,
    /// The row.
    pub row: Row,
    /// The history.
    pub history: History,
    /// The state file.
    pub state: State,
}

/// What recovery will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: the stores agree, or differ as their owner wants.
    Nothing,
    /// Nothing: the worker will apply and commit it.
    Wait,
    /// The file is there and the row is not: insert it.
    AddRow,
    /// The row is of an earlier revision: update it to the page's.
    UpdateRow,
    /// The file exists and no commit ever had it: append its intent again.
    CommitFile,
    /// The file, or the state file, is of a later revision than the history's: append its operation again.
    CommitRevision,
    /// The history has it and the file is missing or torn: restore it.
    RestoreFile,
    /// The file is of an earlier revision than the history's: replace it.
    ReplaceFile,
    /// Only the row is left, or it alone has the latest revision: append an intent made from it.
    CommitRow,
    /// The index says that it was retracted, and no state file does: append the retraction again.
    WriteState,
    /// It was retracted, and a store still has it: append the retraction again.
    Hide,
    /// A commit of its owner's removed it from the history, and its file is gone, too: append a retraction.
    Retract,
    /// Nothing is done: a person has to look.
    Name,
    /// No store has anything to restore it from.
    Lost,
}

impl Action {
    /// Whether the stores disagree.
    pub fn is_disagreement(self) -> bool {
        !matches!(self, Action::Nothing | Action::Wait)
    }

    /// Whether recovery makes something of the record's file.
    pub fn takes_the_file(self) -> bool {
        matches!(self, Action::AddRow | Action::UpdateRow | Action::CommitFile | Action::CommitRevision)
    }

    /// Whether recovery does something about it.
    pub fn is_repaired(self) -> bool {
        !matches!(self, Action::Nothing | Action::Wait | Action::Name | Action::Lost)
    }

    /// What is wrong, in words for people.
    pub fn what(self) -> &'static str {
        match self {
            Action::Nothing => "all three stores agree",
            Action::Wait => "it waits for the worker",
            Action::AddRow => "the file has no row",
            Action::UpdateRow => "the row is of an earlier revision than the file",
            Action::CommitFile => "the file is not in git",
            Action::CommitRevision => "git has an earlier revision",
            Action::RestoreFile => "the file is missing or torn, and git has it",
            Action::ReplaceFile => "the file is of an earlier revision than git has",
            Action::CommitRow => "only the row is left",
            Action::WriteState => "the index says that it was retracted, and no state file does",
            Action::Hide => "it was retracted, and something of it is still there",
            Action::Retract => "a commit removed it from git, and its file is gone, too",
            Action::Name => "it is not the record's file, or it was retracted and moved: it is left as it is",
            Action::Lost => "nothing is left to bring it back from",
        }
    }
}

/// The action for `evidence`.
pub fn classify(evidence: Evidence) -> Action {
    if evidence.pending {
        return Action::Wait;
    }
    match evidence.state {
        State::Retracted | State::Erased => hidden(evidence),
        // It is written again, whatever else exists.
        State::Torn => Action::Hide,
        State::None if evidence.row == Row::Marked => Action::WriteState,
        State::None | State::Restored => shown(evidence),
    }
}

/// A record that was retracted or erased.
fn hidden(Evidence { file, row, history, .. }: Evidence) -> Action {
    match (file, row, history) {
        (File::Missing | File::Another, Row::Marked, History::Never | History::Removed) => Action::Nothing,
        (File::Moved | File::Unreadable, Row::Marked, History::Never | History::Removed) => Action::Name,
        (File::Current | File::Edited | File::Stale | File::Torn, Row::Marked, History::Never | History::Removed)
        | (
            File::Missing
            | File::Current
            | File::Edited
            | File::Stale
            | File::Torn
            | File::Moved
            | File::Another
            | File::Unreadable,
            Row::Marked,
            History::InTree | History::Older,
        )
        | (
            File::Missing
            | File::Current
            | File::Edited
            | File::Stale
            | File::Torn
            | File::Moved
            | File::Another
            | File::Unreadable,
            Row::Missing | Row::Present | Row::Stale | Row::Dangling,
            History::Never | History::InTree | History::Older | History::Removed,
        ) => Action::Hide,
    }
}

/// A record that is not hidden.
fn shown(Evidence { file, row, history, state, .. }: Evidence) -> Action {
    use History::{InTree, Never, Older, Removed};
    use Row::{Dangling, Marked, Missing, Present, Stale};
    match (file, row, history) {
        (
            File::Another | File::Unreadable,
            Missing | Present | Stale | Dangling | Marked,
            Never | InTree | Older | Removed,
        ) => Action::Name,
        (File::Moved, Missing | Present | Dangling | Marked, Never | InTree | Older | Removed) => Action::Nothing,
        (File::Moved, Stale, Never | InTree | Older | Removed) => Action::UpdateRow,
        (File::Current | File::Edited, Present, InTree | Removed) => Action::Nothing,
        (File::Current | File::Edited, Missing | Dangling | Marked, InTree | Removed) => Action::AddRow,
        (File::Current | File::Edited, Stale, InTree | Removed) => Action::UpdateRow,
        (File::Current, Missing | Present | Stale | Dangling | Marked, Older) => Action::CommitRevision,
        // The edit has no revision: the row has the latest, or gets it first.
        (File::Edited | File::Stale, Present, Older) => Action::CommitRow,
        (File::Edited, Missing | Dangling | Marked, Older) => Action::AddRow,
        (File::Edited, Stale, Older) => Action::UpdateRow,
        (File::Stale, Missing | Stale | Dangling | Marked, Older) => Action::ReplaceFile,
        (File::Current | File::Edited, Missing | Present | Stale | Dangling | Marked, Never) => Action::CommitFile,
        (File::Stale, Missing | Stale | Dangling | Marked, Never) => Action::CommitFile,
        (File::Stale, Present, Never) => Action::CommitRow,
        (File::Stale, Missing | Present | Stale | Dangling | Marked, InTree) => Action::ReplaceFile,
        // The owner took it out of the history, where it stays out: it has a row, and that is all.
        (File::Stale, Present | Stale, Removed) => Action::Nothing,
        (File::Stale, Missing | Dangling | Marked, Removed) => Action::AddRow,
        (File::Missing | File::Torn, Present, Older) => Action::CommitRow,
        (File::Missing | File::Torn, Missing | Stale | Dangling | Marked, Older) => Action::RestoreFile,
        (File::Missing | File::Torn, Missing | Present | Stale | Dangling | Marked, InTree) => Action::RestoreFile,
        (File::Missing | File::Torn, Present | Stale, Never) => Action::CommitRow,
        // No store names it, so it is never asked about.
        (File::Missing, Missing, Never) if state == State::None => Action::Nothing,
        (File::Missing | File::Torn, Missing | Dangling | Marked, Never) => Action::Lost,
        (File::Missing, Missing, Removed) => Action::Nothing,
        // The owner who removed it from the history knows that the file is gone; a torn rest of it is reported all the
        // same.
        (File::Missing, Present | Stale | Dangling | Marked, Removed) => Action::Retract,
        (File::Torn, Present | Stale, Removed) => Action::CommitRow,
        (File::Torn, Missing | Dangling | Marked, Removed) => Action::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [File; 8] = [
        File::Missing,
        File::Current,
        File::Edited,
        File::Stale,
        File::Torn,
        File::Moved,
        File::Another,
        File::Unreadable,
    ];
    const ROWS: [Row; 5] = [Row::Missing, Row::Present, Row::Stale, Row::Dangling, Row::Marked];
    const HISTORIES: [History; 4] = [History::Never, History::InTree, History::Older, History::Removed];
    const STATES: [State; 5] = [State::None, State::Restored, State::Retracted, State::Erased, State::Torn];

    fn all() -> Vec<Evidence> {
        let mut all = Vec::new();
        for (file, row) in FILES.into_iter().flat_map(|file| ROWS.map(|row| (file, row))) {
            for (history, state) in HISTORIES.into_iter().flat_map(|history| STATES.map(|state| (history, state))) {
                all.push(Evidence { pending: false, file, row, history, state });
            }
        }
        assert_eq!(all.len(), 800);
        all
    }

    /// What the stores have after `action`; `None` if it is final.
    fn after(evidence: Evidence, action: Action) -> Option<Evidence> {
        let everywhere = Evidence { file: File::Current, row: Row::Present, history: History::InTree, ..evidence };
        Some(match action {
            Action::Nothing | Action::Wait | Action::Name | Action::Lost => return None,
            Action::AddRow | Action::UpdateRow => Evidence { row: Row::Present, ..evidence },
            // The file stays as its owner has it.
            Action::CommitFile if evidence.file == File::Edited => Evidence { file: File::Edited, ..everywhere },
            Action::CommitRow if evidence.file == File::Edited => Evidence { file: File::Edited, ..everywhere },
            Action::CommitFile | Action::CommitRevision | Action::RestoreFile | Action::CommitRow => everywhere,
            Action::ReplaceFile => Evidence { file: File::Current, row: Row::Present, ..evidence },
            Action::WriteState => Evidence { state: State::Retracted, ..evidence },
            Action::Retract => Evidence { state: State::Retracted, row: Row::Marked, ..evidence },
            Action::Hide => Evidence {
                file: match evidence.file {
                    File::Moved | File::Another | File::Unreadable => evidence.file,
                    _ => File::Missing,
                },
                row: Row::Marked,
                history: match evidence.history {
                    History::Never => History::Never,
                    _ => History::Removed,
                },
                state: if evidence.state == State::Torn { State::Retracted } else { evidence.state },
                ..evidence
            },
        })
    }

    /// The final state of `evidence`, and the number of steps to it.
    fn end(evidence: Evidence) -> (Evidence, Action, usize) {
        let (mut now, mut steps) = (evidence, 0);
        loop {
            let action = classify(now);
            match after(now, action) {
                None => return (now, action, steps),
                Some(next) => (now, steps) = (next, steps + 1),
            }
            assert!(steps <= 5, "{evidence:?} never ends: {now:?}");
        }
    }

    #[test]
    fn what_is_pending_waits() {
        for evidence in all() {
            assert_eq!(classify(Evidence { pending: true, ..evidence }), Action::Wait);
        }
    }

    #[test]
    fn each_combination_ends_in_agreement_named_or_lost() {
        for evidence in all() {
            let (end, action, _) = end(evidence);
            assert!(matches!(action, Action::Nothing | Action::Name | Action::Lost), "{evidence:?}: {action:?}");
            if action == Action::Lost {
                // No store has it at its current revision, and no state file explains that.
                assert!(matches!(evidence.file, File::Missing | File::Torn), "{evidence:?}");
                assert!(!matches!(evidence.row, Row::Present | Row::Stale), "{evidence:?}");
                assert!(!matches!(evidence.history, History::InTree | History::Older), "{evidence:?}");
            }
            if action == Action::Nothing && end.file != File::Moved {
                assert!(!matches!(end.history, History::Older), "{evidence:?} ends in {end:?}");
                assert!(!(end.file == File::Torn), "{evidence:?} ends in {end:?}");
            }
        }
    }

    #[test]
    fn each_action_has_what_it_takes() {
        for evidence in all() {
            let Evidence { file, row, history, state, .. } = evidence;
            let has_file = matches!(file, File::Current | File::Edited | File::Stale);
            let is_there = match classify(evidence) {
                Action::RestoreFile | Action::ReplaceFile => matches!(history, History::InTree | History::Older),
                Action::CommitRow => matches!(row, Row::Present | Row::Stale),
                Action::CommitFile => has_file && history == History::Never,
                Action::CommitRevision => has_file && history == History::Older,
                Action::AddRow => has_file && !matches!(row, Row::Present | Row::Stale),
                Action::UpdateRow => row == Row::Stale,
                Action::WriteState => row == Row::Marked && state == State::None,
                Action::Hide => !matches!(state, State::None | State::Restored),
                Action::Retract => file == File::Missing && history == History::Removed,
                Action::Nothing | Action::Wait | Action::Name | Action::Lost => true,
            };
            assert!(is_there, "{evidence:?}: {:?}", classify(evidence));
        }
    }

    #[test]
    fn what_was_retracted_or_erased_is_never_brought_back() {
        for evidence in all() {
            let hidden = matches!(evidence.state, State::Retracted | State::Erased | State::Torn);
            let (end, ..) = end(evidence);
            if hidden {
                assert!(!matches!(end.file, File::Current | File::Edited | File::Stale | File::Torn), "{evidence:?}");
                assert_eq!(end.row, Row::Marked, "{evidence:?}");
                assert!(!matches!(end.history, History::InTree | History::Older), "{evidence:?}");
            }
            let kept = if evidence.state == State::Torn { State::Retracted } else { evidence.state };
            let is_later = end.state == State::Retracted;
            assert!(end.state == kept || is_later, "{evidence:?}: a state file never goes back");
        }
    }

    #[test]
    fn what_its_owner_removed_or_edited_stays_so() {
        for evidence in all().into_iter().filter(|it| matches!(it.state, State::None | State::Restored)) {
            if evidence.file == File::Missing && evidence.history == History::Removed && evidence.row != Row::Marked {
                let (end, action, _) = end(evidence);
                assert_eq!((action, end.file, end.history), (Action::Nothing, File::Missing, History::Removed));
                assert_eq!(end.state == State::Retracted, evidence.row != Row::Missing, "{evidence:?}");
            }
            if matches!(evidence.file, File::Edited | File::Another | File::Unreadable) && evidence.row != Row::Marked {
                assert_eq!(end(evidence).0.file, evidence.file, "{evidence:?}");
            }
        }
    }
}
