//! The history of a home of its own whose branch is gone: renamed, or its file lost. The anchors of its journals keep what the
//! branch had (invariant 7 of [`super`]), so the branch is made again there, and the history goes on. A new root commit
//! would take the anchor with it, and leave all that was committed before to gc.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the branch is made | the anchors | the next start, or the next batch |
//! | after it | the branch at its last finished batch | nothing to do |

use git2::{Oid, Repository};

use super::{CommitId, Doing as _, Error, History, message, refs};
use crate::model::JournalId;
use crate::target::history::refs::Expected;

impl History {
    /// Where the history of a home of its own goes on if its branch is gone: at the anchor of `journal`, or at the newest of
    /// all journals. `None` if the branch is there, or nothing has been committed.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn lost_at(&self, journal: Option<JournalId>) -> Result<Option<CommitId>, Error> {
        Ok(self.find_lost(&self.repository()?, journal)?.map(CommitId))
    }

    /// Makes the branch of a home of its own again if it is [gone](History::lost_at). Returns where it is then.
    ///
    /// # Errors
    /// As [`History::tip`], and [`Error::Locked`].
    pub fn regain(&self, journal: JournalId) -> Result<Option<CommitId>, Error> {
        let repository = self.repository()?;
        let Some(at) = self.find_lost(&repository, Some(journal))? else { return Ok(None) };
        refs::move_to(self, &repository, &self.reference, Expected::Exactly(None), at)?;
        tracing::warn!(branch = self.reference, commit = %at, "the branch was gone: the history goes on at its last batch");
        Ok(Some(CommitId(at)))
    }

    fn find_lost(&self, repository: &Repository, journal: Option<JournalId>) -> Result<Option<Oid>, Error> {
        if !self.owned || self.is_beside || refs::target(repository, &self.reference)?.is_some() {
            return Ok(None);
        }
        // A commit that cannot be read is nothing to go on from.
        let time_of = |id: Oid| {
            let commit = repository.find_commit(id).ok().filter(|it| it.tree().is_ok())?;
            message::parse(commit.message_bytes()).map(|_| commit.time().seconds())
        };
        let own = journal.map(|journal| refs::target(repository, &refs::anchor(journal))).transpose()?.flatten();
        if let Some(own) = own.filter(|own| time_of(*own).is_some()) {
            return Ok(Some(own));
        }
        let doing = "looking for the anchors of journals";
        let anchors = repository.references_glob(&format!("{}*", refs::OURS)).doing(doing)?;
        let targets = anchors.filter_map(|anchor| anchor.ok()?.target());
        Ok(targets.filter_map(|id| Some((time_of(id)?, id))).max().map(|(_, id)| id))
    }
}
