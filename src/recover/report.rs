//! What a recovery did, for logs, reports and JSON.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why everything in the journal had to be looked up in the history, if it had to.
    pub distrusted: Option<String>,
    /// Temporary files and staging packs removed.
    pub swept: u64,
    /// Whether the index was rebuilt.
    pub index_rebuilt: bool,
    /// The copy that the index began with, in an adopted home. It lacks later changes by other programs.
    #[serde(default)]
    pub index_base: Option<Base>,
    /// Where the damaged index is kept, if there was one.
    #[serde(default)]
    pub index_kept: Option<String>,
    /// Rows that another program had deleted, put back from a copy of the index.
    #[serde(default)]
    pub rows_revived: u64,
    /// Rows that another program had deleted and that no copy has: what others counted in them starts over.
    #[serde(default)]
    pub rows_anew: u64,
    /// The copy that rows came back from.
    #[serde(default)]
    pub rows_base: Option<Base>,
    /// Records that were pending and are now committed.
    pub committed: u64,
    /// Operations on records that took effect.
    #[serde(default)]
    pub operations: u64,
    /// Files that were missing or torn and are restored.
    pub files_restored: u64,
    /// Rows that were missing and are added.
    pub rows_added: u64,
    /// Records that history lacked, committed from their files or rows.
    pub recommitted: u64,
    /// Operations that were repeated, so that a store that was at an earlier revision has the latest one.
    #[serde(default)]
    pub reconciled: u64,
    /// The paths of what a person has to look at, and is left as it is.
    #[serde(default)]
    pub named: Vec<String>,
    /// Records that commits removed from git and whose files are gone, if they are too many to be retracted unasked.
    #[serde(default)]
    pub removed: u64,
    /// Records of which no store has anything left, with their paths.
    pub lost: Vec<Lost>,
    /// Commits made.
    pub commits: u64,
    /// The last of them.
    pub last_commit: Option<String>,
    /// Entries whose writer died before they were acknowledged.
    pub torn: u64,
    /// Damaged ranges of the journal that went to quarantine.
    pub damaged: u64,
    /// Records that could not be applied and went to quarantine.
    pub parked: u64,
    /// Records that were in quarantine and could be applied now.
    pub released: u64,
}

impl Report {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        let told = Report { distrusted: None, named: Vec::new(), removed: 0, ..self.clone() };
        told == Report::default()
    }
}

/// A copy of an adopted home's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The copy.
    pub path: String,
    /// When it was made, if known.
    pub at: Option<Timestamp>,
}

impl Base {
    /// The copy at `path`.
    pub(super) fn of(path: &Path) -> Base {
        let at = std::fs::metadata(path).and_then(|it| it.modified()).ok();
        Base { path: path.display().to_string(), at: at.and_then(|at| Timestamp::try_from(at).ok()) }
    }
}

/// A record that could not be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Its path, relative to the home.
    pub path: String,
    /// Its id, if known.
    pub id: Option<String>,
    /// Why it could not be brought back.
    pub why: String,
}
