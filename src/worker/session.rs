//! The worker's access to the pipeline and to recovery: every call that it makes to either is here.

use std::time::Instant;

use super::{Error, Options};
use crate::erase;
use crate::erasing::Erasing;
use crate::exclusive::Exclusive;
use crate::fs;
use crate::journal::SegmentNumber;
use crate::model::Op;
use crate::model::text::chain;
use crate::pipeline::{Backlog, Counts, Judged, Outcome, Pipeline};
use crate::recover::{self, Report, Scope};
use crate::state::Edits;
use crate::target::search::{Bound, SEARCH_MAX};

/// Everything opened, from one failure to the next.
#[derive(Debug)]
pub(super) struct Session<'h> {
    exclusive: &'h Exclusive<'h>,
    pipeline: Pipeline<'h>,
}

impl<'h> Session<'h> {
    /// Opens everything, and continues counting from `counts`.
    pub(super) fn open(exclusive: &'h Exclusive<'h>, options: &Options, counts: Counts) -> Result<Session<'h>, Error> {
        if let Err(error) = erase::finish(exclusive, &options.batch, &mut ()) {
            tracing::error!(error = chain(&error), "an erasure has begun and is not finished");
        }
        let mut pipeline = Pipeline::open(exclusive, options.batch.clone())?;
        pipeline.keep_packs_few();
        pipeline.count_from(counts);
        Ok(Session { exclusive, pipeline })
    }

    /// Recovers the home, and commits the backlog.
    pub(super) fn recover(&mut self, scope: Scope) -> Result<Report, Error> {
        let report = recover::recover(&mut self.pipeline, scope, &mut ())?;
        if scope == Scope::Everything {
            self.pipeline.check_search();
        }
        Ok(report)
    }

    /// Holds the index open. If no process has it open, the next one to open it has to recover its log, and locks all
    /// others out meanwhile.
    pub(super) fn hold_index(&mut self) -> Result<(), Error> {
        match self.pipeline.reach_index() {
            Err(error) if error.is_index_unopenable() => Ok(()),
            reached => Ok(reached?),
        }
    }

    /// Reads what was appended to the journal. Returns whether something was found that needs recovery.
    pub(super) fn look(&mut self) -> Result<bool, Error> {
        self.pipeline.look()?;
        Ok(self.pipeline.wants_audit())
    }

    /// Commits one batch, if there is one. It may be too small for everything.
    pub(super) fn commit(&mut self) -> Result<Option<Outcome>, Error> {
        Ok(self.pipeline.commit()?)
    }

    /// Commits everything that the journal holds now.
    pub(super) fn commit_everything(&mut self) -> Result<Outcome, Error> {
        Ok(self.pipeline.commit_everything(&mut ())?)
    }

    /// Inserts the rows that lag, unless SQLite's lock is held. `None` if they still lag.
    pub(super) fn insert_rows(&mut self) -> Result<Option<Outcome>, Error> {
        let outcome = self.pipeline.catch_up()?;
        Ok((!self.rows_lag()).then_some(outcome))
    }

    /// Checkpoints, rotates and prunes, if due.
    pub(super) fn maintain(&mut self) -> Result<(), Error> {
        Ok(self.pipeline.maintain()?)
    }

    /// Begins to erase again what was erased and is back. Returns whether there is something. A failure ends nothing.
    pub(super) fn erase_again(&self, options: &Options) -> bool {
        let begun = erase::begin_again(self.exclusive, &options.batch);
        begun.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "whether something is left of what was erased is not known");
            false
        })
    }

    /// Whether an erasure has begun and is not finished.
    pub(super) fn is_erasing(&self) -> bool {
        Erasing::read(self.pipeline.home().private()).is_ok_and(|note| note.is_some())
    }

    /// Applies what was parked and can be applied now. An erasure that has begun ends the session: the next one begins with it.
    pub(super) fn retry_parked(&mut self) -> Result<(), Error> {
        if Erasing::read(self.pipeline.home().private())?.is_some() {
            return Err(erase::Error::Unfinished("it goes on when the worker begins again".to_owned()).into());
        }
        Ok(recover::retry_parked(&mut self.pipeline, &mut Report::default(), &mut ())?)
    }

    /// Judges the file at `path`, which changed.
    pub(super) fn judge_edit(&self, path: &str) -> Result<Judged, Error> {
        Ok(self.pipeline.judge_edit(path, fs::now())?)
    }

    /// Appends edits by hand to the journal.
    pub(super) fn append_edits(&mut self, edits: &[Op]) -> Result<(), Error> {
        Ok(self.pipeline.append_edits(edits)?)
    }

    /// Counts how often rules came again on days that are over, with the next batch.
    pub(super) fn count_repeats(&mut self) -> Result<(), Error> {
        let verdicts = self.pipeline.count_repeats()?;
        if verdicts > 0 {
            tracing::info!(verdicts, "counted how often rules came again");
        }
        Ok(())
    }

    /// What is known of edits by hand.
    pub(super) fn edits(&self) -> Edits {
        self.pipeline.edits()
    }

    /// Notes what is known of edits by hand.
    pub(super) fn note_edits(&mut self, edits: Edits) -> Result<(), Error> {
        Ok(self.pipeline.note_edits(edits)?)
    }

    /// Does the due upkeep of an adopted home's database.
    pub(super) fn upkeep(&mut self) {
        self.pipeline.upkeep();
    }

    /// The last step before the process ends normally.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.pipeline.catch_up()?;
        self.pipeline.follow_search(Bound::Time(SEARCH_MAX), &mut ());
        self.pipeline.end_search();
        self.pipeline.end_upkeep();
        Ok(())
    }

    /// Brings search a slice further.
    pub(super) fn follow_search(&mut self) {
        self.pipeline.follow_search(Bound::Slice, &mut ());
    }

    /// When search has to be brought up to date; `None` if it is, until a new event.
    pub(super) fn search_due(&self) -> Option<Instant> {
        self.pipeline.search_due()
    }

    /// Why search cannot be brought up to date, if it cannot.
    pub(super) fn search_error(&self) -> Option<&str> {
        self.pipeline.search_error()
    }

    pub(super) fn backlog(&self) -> Backlog {
        self.pipeline.backlog()
    }

    /// Whether nothing has to be committed, inserted or maintained until a new event.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pipeline.is_at_rest()
    }

    /// Whether records are committed whose rows are not in the index.
    pub(super) fn rows_lag(&self) -> bool {
        self.pipeline.is_lagging()
    }

    /// Whether the journal is committed up to `end`.
    pub(super) fn has_committed(&self, end: (SegmentNumber, u64)) -> bool {
        self.pipeline.has_committed(end)
    }

    /// When [`Session::upkeep`] is due; `None` if it is not, until a new event.
    pub(super) fn upkeep_due(&self) -> Option<Instant> {
        self.pipeline.upkeep_due()
    }

    /// The newest segment that has been read.
    pub(super) fn segment(&self) -> SegmentNumber {
        self.pipeline.segment()
    }

    pub(super) fn counts(&self) -> Counts {
        self.pipeline.counts()
    }
}
