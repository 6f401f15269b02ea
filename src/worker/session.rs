//! The worker's way to the pipeline and to recovery: every call that it makes to either is here.

use std::time::Instant;

use super::{Error, Options};
use crate::exclusive::Exclusive;
use crate::journal::SegmentNumber;
use crate::pipeline::{Backlog, Committer, Counts, Outcome};
use crate::recover::{self, Report, Scope};

/// Everything opened, from one failure to the next.
#[derive(Debug)]
pub(super) struct Session<'h> {
    committer: Committer<'h>,
}

impl<'h> Session<'h> {
    /// Opens everything, and goes on counting from `counts`.
    pub(super) fn open(exclusive: &'h Exclusive<'h>, options: &Options, counts: Counts) -> Result<Session<'h>, Error> {
        let mut committer = Committer::open(exclusive, options.batch.clone())?;
        committer.keep_packs_few();
        *committer.counts_mut() = counts;
        Ok(Session { committer })
    }

    /// Brings the home in order, and commits what is pending.
    pub(super) fn recover(&mut self, scope: Scope) -> Result<Report, Error> {
        Ok(recover::recover(&mut self.committer, scope, &mut ())?)
    }

    /// Holds the index open: where no process has it open, the next to open it has to recover its log, and refuses all
    /// others meanwhile.
    pub(super) fn hold_index(&mut self) -> Result<(), Error> {
        match self.committer.index() {
            Err(error) if error.is_index_unopenable() => Ok(()),
            index => Ok(index.map(|_| ())?),
        }
    }

    /// Reads what was appended to the journal. Returns whether something was found that only recovery can put right.
    pub(super) fn look(&mut self) -> Result<bool, Error> {
        self.committer.look()?;
        Ok(self.committer.void().is_some())
    }

    /// Commits one batch, if there is one. It may be too small for everything.
    pub(super) fn commit(&mut self) -> Result<Option<Outcome>, Error> {
        Ok(self.committer.commit()?)
    }

    /// Commits everything that is in the journal by now.
    pub(super) fn commit_everything(&mut self) -> Result<Outcome, Error> {
        Ok(self.committer.commit_everything(|_| ())?)
    }

    /// Inserts the rows that lag, unless SQLite's lock is held. `None` if they lag still.
    pub(super) fn insert_rows(&mut self) -> Result<Option<Outcome>, Error> {
        let outcome = self.committer.insert_owed()?;
        Ok((!self.rows_lag()).then_some(outcome))
    }

    /// Checkpoints, rotates and prunes, where it is time.
    pub(super) fn maintain(&mut self) -> Result<(), Error> {
        Ok(self.committer.maintain()?)
    }

    /// Applies what was parked and can be applied by now.
    pub(super) fn retry_parked(&mut self) -> Result<(), Error> {
        Ok(recover::retry_parked(&mut self.committer, &mut Report::default(), &mut ())?)
    }

    /// Does what is due for the database of an adopted home.
    pub(super) fn upkeep(&mut self) {
        self.committer.keep();
    }

    /// The last thing before the process ends in good order.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.committer.insert_owed()?;
        self.committer.fold_everything();
        Ok(())
    }

    pub(super) fn backlog(&self) -> Backlog {
        self.committer.backlog()
    }

    /// Whether nothing has to be committed, inserted or maintained until something happens.
    pub(super) fn is_at_rest(&self) -> bool {
        self.committer.is_at_rest()
    }

    /// Whether records are committed whose rows are not in the index.
    pub(super) fn rows_lag(&self) -> bool {
        self.committer.rows_owed().is_some()
    }

    /// Whether the journal is committed up to `end`.
    pub(super) fn has_committed(&self, end: (SegmentNumber, u64)) -> bool {
        self.committer.has_committed(end)
    }

    /// When [`Session::upkeep`] is due; `None` if it is not, unless something happens.
    pub(super) fn upkeep_due(&self) -> Option<Instant> {
        self.committer.keep_due()
    }

    /// The newest segment that has been read.
    pub(super) fn segment(&self) -> SegmentNumber {
        self.committer.segment()
    }

    pub(super) fn counts(&self) -> Counts {
        *self.committer.counts()
    }
}
