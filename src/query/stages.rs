//! Where records are by now: in the journal, their file, their row, a commit, search.
//!
//! What is missing is read once for all records: the operations that git does not have, and the rows that search.db has in an older
//! form. A record that neither names has arrived.

use std::collections::HashSet;

use super::{Error, Recorded, View};
use crate::model::{RecordId, RecordPath};
use crate::pipeline::{reached, waiting};

/// The most changed rows that are looked at; if there are more, search has none of the records that are asked about.
const BESIDE_MAX: usize = 10_000;

/// A place that a record reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The journal: it was acknowledged.
    Journal,
    /// Its file.
    File,
    /// Its row.
    Row,
    /// A commit.
    Commit,
    /// The search database.
    Search,
}

impl Stage {
    /// All of them, in the order in which a record mostly reaches them.
    pub const ALL: [Stage; 5] = [Stage::Journal, Stage::File, Stage::Row, Stage::Commit, Stage::Search];
}

/// What has not arrived everywhere.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    uncommitted: HashSet<RecordId>,
    /// Whether it is known what is committed.
    knows_history: bool,
    unsearched: HashSet<RecordId>,
    /// Whether search.db has all but these.
    has_search: bool,
}

impl Stages {
    /// What of `view` has not arrived everywhere.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn of(view: &View<'_>) -> Result<Stages, Error> {
        let mut stages = Stages::default();
        if let Some(history) = view.history()
            && let Ok(reached) = reached(view.home, history, view.index.as_ref())
        {
            let uncommitted = &mut stages.uncommitted;
            let take = |op: &crate::model::Op| {
                uncommitted.insert(op.of());
                true
            };
            stages.knows_history = waiting(view.home.journal(), reached.committed, None, take).is_ok();
        }
        if view.search().is_some_and(|search| search.is_complete()) {
            let beside = view.rows_beside(BESIDE_MAX)?;
            stages.has_search = beside.len() <= BESIDE_MAX;
            stages.unsearched = beside.into_iter().collect();
        }
        Ok(stages)
    }

    /// Whether `recorded` has reached `stage`.
    pub fn has(&self, view: &View<'_>, recorded: &Recorded, stage: Stage) -> bool {
        let id = recorded.id;
        match stage {
            Stage::Journal => true,
            Stage::File => {
                let page = RecordPath(&recorded.path).page();
                view.home.dir().find(&page).is_ok_and(|found| found.is_some_and(|found| found.is_file))
            }
            Stage::Row => recorded.row_id.is_some(),
            Stage::Commit => self.knows_history && !self.uncommitted.contains(&id),
            Stage::Search => self.has_search && recorded.row_id.is_some() && !self.unsearched.contains(&id),
        }
    }
}
