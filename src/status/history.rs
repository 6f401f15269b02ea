//! Where the history is, and its newest commit.

use jiff::Timestamp;
use serde::Serialize;

use crate::target::history::{History, TipCommit};

/// Where the history is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryStatus {
    /// The branch's full name.
    pub branch: String,
    /// Its newest commit.
    pub commit: Option<String>,
    /// When that was made.
    pub committed_at: Option<Timestamp>,
    /// Who made it: a worker, or a user who committed to the branch.
    pub author: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// The reference that has the history. In a user's repository the branch only shows it.
    pub reference: String,
    /// What the user can do if the branch does not show the newest commit, or if a repository around the home has taken it in.
    pub advice: Option<String>,
}

impl HistoryStatus {
    /// The status of `history`, whose newest commit is `tip`.
    pub(super) fn of(history: &History, tip: Option<TipCommit>) -> HistoryStatus {
        let tip = tip.as_ref();
        HistoryStatus {
            branch: history.branch().to_owned(),
            commit: tip.map(|tip| tip.commit.to_string()),
            committed_at: tip.map(|tip| tip.at),
            author: tip.map(|tip| tip.author.clone()),
            subject: tip.map(|tip| tip.subject.clone()),
            reference: history.reference().to_owned(),
            advice: history.advice().unwrap_or_default(),
        }
    }
}
