//! What is to be made of the evidence. Pure.
//!
//! Each of the three stores is asked about each path, and the answers are a row of one table. There is no `_` that could
//! swallow a combination: a new state of a store does not compile until every row has an answer for it.

use serde::Serialize;

/// What lies at a record's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum File {
    /// Nothing.
    Missing,
    /// The record's file, edited by its owner or not.
    Whole,
    /// What a power cut left of it, or bytes that are not a record's.
    Torn,
    /// Nothing, but the record's file is at another path: its owner moved it.
    Moved,
}

/// What the index says of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Row {
    /// Nothing.
    Missing,
    /// It has a row.
    Present,
    /// It is known, and its table lacks the row.
    Dangling,
}

/// What the history says of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// No commit ever had it.
    Never,
    /// It is in the branch's tree.
    InTree,
    /// It was, and its owner removed it.
    Removed,
}

/// Everything that was found out about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Whether the journal holds it and it is not committed yet.
    pub pending: bool,
    /// The file.
    pub file: File,
    /// The row.
    pub row: Row,
    /// The history.
    pub history: History,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: the stores agree, or differ as their owner wants.
    Nothing,
    /// Nothing: the worker will apply and commit it.
    Wait,
    /// The file is there and the row is not: insert it.
    AddRow,
    /// The file is there and no commit ever had it: write its intent anew.
    CommitFile,
    /// The history has it and the file is missing or torn: bring it back.
    RestoreFile,
    /// Only the row is left: write its intent anew from that.
    CommitRow,
    /// Nothing is left to bring it back from.
    Lost,
}

impl Action {
    /// Whether the stores disagree.
    pub fn is_disagreement(self) -> bool {
        !matches!(self, Action::Nothing | Action::Wait)
    }

    /// What is wrong, for a person.
    pub fn what(self) -> &'static str {
        match self {
            Action::Nothing => "all three stores agree",
            Action::Wait => "it waits for the worker",
            Action::AddRow => "the file has no row",
            Action::CommitFile => "the file is not in git",
            Action::RestoreFile => "the file is missing or torn, and git has it",
            Action::CommitRow => "only the row is left",
            Action::Lost => "nothing is left to bring it back from",
        }
    }
}

/// What has to be done about `evidence`.
pub fn classify(evidence: Evidence) -> Action {
    use File::{Missing, Moved, Torn, Whole};
    use History::{InTree, Never, Removed};
    let Evidence { pending, file, row, history } = evidence;
    if pending {
        return Action::Wait;
    }
    match (file, row, history) {
        (Whole, Row::Present, InTree | Removed) => Action::Nothing,
        (Whole, Row::Missing | Row::Dangling, InTree | Removed) => Action::AddRow,
        (Whole, Row::Present | Row::Missing | Row::Dangling, Never) => Action::CommitFile,
        (Missing | Torn, Row::Present | Row::Missing | Row::Dangling, InTree) => Action::RestoreFile,
        (Missing | Torn, Row::Present, Never) => Action::CommitRow,
        (Missing | Torn, Row::Dangling, Never) => Action::Lost,
        // Whoever removed it from the history knows that the file is gone; a torn rest of it is named all the same.
        (Missing, Row::Present | Row::Missing | Row::Dangling, Removed) => Action::Nothing,
        (Torn, Row::Present, Removed) => Action::CommitRow,
        (Torn, Row::Missing | Row::Dangling, Removed) => Action::Lost,
        (Torn, Row::Missing, Never) => Action::Lost,
        // No store names it: nothing asks about it.
        (Missing, Row::Missing, Never) => Action::Nothing,
        (Moved, Row::Present | Row::Missing | Row::Dangling, Never | InTree | Removed) => Action::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [File; 4] = [File::Missing, File::Whole, File::Torn, File::Moved];
    const ROWS: [Row; 3] = [Row::Missing, Row::Present, Row::Dangling];
    const HISTORIES: [History; 3] = [History::Never, History::InTree, History::Removed];

    fn all() -> impl Iterator<Item = Evidence> {
        FILES.into_iter().flat_map(|file| {
            ROWS.into_iter().flat_map(move |row| {
                HISTORIES.into_iter().map(move |history| Evidence { pending: false, file, row, history })
            })
        })
    }

    #[test]
    fn what_is_pending_waits() {
        for evidence in all() {
            assert_eq!(classify(Evidence { pending: true, ..evidence }), Action::Wait);
        }
    }

    #[test]
    fn a_record_is_lost_only_where_no_store_has_it() {
        for evidence in all().filter(|evidence| classify(*evidence) == Action::Lost) {
            assert_ne!(evidence.file, File::Whole, "{evidence:?}");
            assert_ne!(evidence.row, Row::Present, "{evidence:?}");
            assert_ne!(evidence.history, History::InTree, "{evidence:?}");
        }
    }

    #[test]
    fn what_was_done_needs_no_doing_again() {
        for evidence in all() {
            let after = match classify(evidence) {
                Action::AddRow => Evidence { row: Row::Present, ..evidence },
                Action::CommitFile => Evidence { row: Row::Present, history: History::InTree, ..evidence },
                Action::RestoreFile | Action::CommitRow => {
                    Evidence { file: File::Whole, row: Row::Present, history: History::InTree, ..evidence }
                }
                Action::Nothing | Action::Wait | Action::Lost => continue,
            };
            assert_eq!(classify(after), Action::Nothing, "{evidence:?} became {after:?}");
        }
    }

    #[test]
    fn what_its_owner_removed_stays_removed() {
        for row in ROWS {
            let evidence = Evidence { pending: false, file: File::Missing, row, history: History::Removed };
            assert_eq!(classify(evidence), Action::Nothing, "{evidence:?}");
        }
    }
}
