//! A batch: a prefix of the backlog goes through the targets, in order, and becomes one commit.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | after an attempt at an entry, which its writer, refused by its disk, voids | files and rows ahead of the history | an audit, noted before the next batch passes the entry |

use std::time::Instant;

use super::change::RowsNow;
use super::reached::bytes_after;
use super::{Error, Outcome, Pipeline};
use crate::journal::{SegmentNumber, Synced};
use crate::model::position::Position;
use crate::model::{FileImage, Intent, Op};
use crate::progress::Progress;
use crate::state::Noted;
use crate::target::history::{Changes, Committed};
use crate::target::pages::Pages;
use crate::target::{Batch, Done, Mark, Target, VoidReason, spread};

impl Pipeline<'_> {
    /// Applies and commits what has been read. `None` if nothing is pending.
    ///
    /// # Errors
    /// Every [`Error`]. What was read is still pending then, and a retry does what is left of it.
    pub fn commit(&mut self) -> Result<Option<Outcome>, Error> {
        let Some(end) = self.reading.end() else { return self.commit_waiting() };
        let Some(synced) = self.sync_journal()? else { return self.commit() };
        self.doubt_voided()?;
        self.see_rows_or_go_on()?;
        self.find_keys_in_history()?;
        let intents = self.records()?;
        let intents = self.without_hidden(intents, &synced)?;
        let done = self.apply(intents, end, &synced)?;
        let outcome = self.committed_batch(&done, end)?;
        let files = self.reading.pending().iter().flat_map(|pending| &pending.intent.files);
        spread::spread_full(self.home.dir(), files.map(|file| file.path.as_str()), &spread::Planned::default());
        let skipped = self.reading.passed();
        self.counts.torn += skipped.torn;
        self.counts.voided += skipped.voided;
        self.at = end;
        self.last_commit = Instant::now();
        Ok(Some(outcome))
    }

    /// Applies and commits the operation that waits for everything before it to be committed. `None` if no operation
    /// waits.
    fn commit_waiting(&mut self) -> Result<Option<Outcome>, Error> {
        if self.reading.change().is_none() {
            return Ok(None);
        }
        // First: a failed sync in there replaces what was read, and something else can wait then.
        self.catch_up()?;
        let waiting = self.reading.change().filter(|_| self.reading.end().is_none());
        let Some(logged) = waiting.cloned() else { return self.commit() };
        let Some(synced) = self.sync_journal()? else { return self.commit() };
        self.doubt_voided()?;
        let outcome = self.commit_change(&logged, &synced)?;
        if matches!(logged.op, Op::Retract(_) | Op::Erase { .. }) {
            self.take_out_of_search(logged.op.of());
        }
        debug_assert_eq!(
            self.reading.change().map(|it| it.position),
            Some(logged.position),
            "another operation is passed"
        );
        let skipped = self.reading.change_passed();
        self.counts.torn += skipped.torn;
        self.counts.voided += skipped.voided;
        self.at = Mark { segment: logged.segment, position: logged.position };
        self.last_commit = Instant::now();
        Ok(Some(outcome))
    }

    /// An entry that its writer voided, since its sync failed, may have been applied to files and rows before: an attempt that did
    /// not come to its commit. An audit has to bring the stores together. Noted before the entry is passed.
    fn doubt_voided(&mut self) -> Result<(), Error> {
        match self.reading.has_voided() {
            true => self.distrust(VoidReason::Voided),
            false => Ok(()),
        }
    }

    /// Commits what an operation changes, up to `end`, which the rows have reached by now unless they lag.
    pub(super) fn commit_op(
        &mut self,
        change: Option<Changes<'_>>,
        end: Mark,
        rows: RowsNow,
        synced: &Synced<Position>,
    ) -> Result<Outcome, Error> {
        if rows == RowsNow::Lag {
            self.lag.missed();
        } else if self.lag.follows(self.at)
            && let Some(mark) = self.lag.mark(self.journal_id, end.position)
        {
            match self.rows.set_mark(&mark) {
                // They lag from here.
                Err(error) if error.is_index_out_of_reach() => {}
                set => set.map(|()| self.lag.moved(end))?,
            }
        }
        let mut batch = Batch::new(end.position, &self.quarantine);
        batch.change = change;
        let committed = self.commits.apply(&mut batch, synced);
        self.counts.waits += batch.done.waits;
        let done = committed.map(|()| batch.done)?;
        self.committed_batch(&done, end)
    }

    /// Takes `intents` through the targets, up to `end`. Rows that cannot follow lag, and the pages with them.
    fn apply(&mut self, intents: Vec<Intent>, end: Mark, synced: &Synced<Position>) -> Result<Done, Error> {
        let mut batch = Batch::new(end.position, &self.quarantine);
        batch.intents = intents;
        let applied = self.files.apply(&mut batch, synced);
        self.counts.files_written += batch.done.files_written;
        let has_rows = self.lag.has(end);
        let applied = applied.and_then(|()| match self.lag.follows(self.at) {
            false => Ok(false),
            // An attempt before this one inserted them.
            true if has_rows => Ok(true),
            true => {
                batch.rows_to = self.lag.mark(self.journal_id, end.position);
                match self.rows.apply(&mut batch, synced) {
                    Err(error) if error.is_index_out_of_reach() => {
                        tracing::warn!(
                            "the index is locked or cannot be opened: committing without rows, which follow later"
                        );
                        self.lag.missed();
                        Ok(false)
                    }
                    applied => applied.map(|()| true),
                }
            }
        });
        self.counts.parked += batch.done.parked;
        self.counts.rows_inserted += batch.done.rows_inserted;
        match applied? {
            true => {
                if !has_rows {
                    self.lag.moved(end);
                }
                Pages { files: &self.files, rows: &*self.rows }.apply(&mut batch, synced)?;
            }
            false => {
                self.lag.remember(&batch.intents);
                // Rows that an attempt before this one inserted do not lag, so nothing else renders their pages later.
                if self.lag.is_ahead(self.at) {
                    Pages { files: &self.files, rows: &*self.rows }.apply(&mut batch, synced)?;
                }
            }
        }
        let parked = batch.done.parked;
        let committed = self.commits.apply(&mut batch, synced);
        self.counts.waits += batch.done.waits;
        self.counts.parked += batch.done.parked - parked;
        committed.map(|()| batch.done)
    }

    /// Counts a batch that is committed up to `end`, and notes the watermark if no trailer has it.
    pub(super) fn committed_batch(&mut self, done: &Done, end: Mark) -> Result<Outcome, Error> {
        self.search_is_behind();
        match done.committed {
            None | Some(Committed::Nothing) => {
                if let Some(commit) = self.commits.tip()? {
                    self.note(Some(Noted { position: end.position, commit }))?;
                    self.stored = end;
                }
                Ok(Outcome::NOTHING)
            }
            Some(Committed::New { commit, records, stands, .. }) => {
                self.stored = end;
                self.note_for_search(commit, stands);
                if !self.state.committed {
                    self.note(None)?;
                }
                self.counts.commits += 1;
                self.counts.records += records as u64;
                tracing::info!(%commit, records, "committed");
                Ok(Outcome { commit: Some(commit.to_string()), records })
            }
        }
    }

    fn note(&mut self, noted: Option<Noted>) -> Result<(), Error> {
        self.state.committed = true;
        self.state.noted = noted.or(self.state.noted.take());
        self.write_state()
    }

    /// Commits `pages` alone, which show rows that lagged.
    pub(super) fn commit_pages(&mut self, pages: Vec<FileImage>, synced: &Synced<Position>) -> Result<Outcome, Error> {
        if pages.is_empty() {
            return Ok(Outcome::NOTHING);
        }
        let mut batch = Batch::new(self.at.position, &self.quarantine);
        batch.pages = pages;
        let committed = self.commits.apply(&mut batch, synced);
        self.counts.waits += batch.done.waits;
        let done = committed.map(|()| batch.done)?;
        self.committed_batch(&done, self.at)
    }

    /// How many bytes of the segments `sizes` are not committed.
    fn bytes_left(&self, sizes: &[(SegmentNumber, u64)]) -> u64 {
        bytes_after(self.at.segment, self.at.position.offset, sizes)
    }

    /// Reads and commits everything that the journal holds at the moment, and catches up with lagging rows if it can.
    /// Records that arrive meanwhile may be left for later. Returns the last commit, and how many records all of them
    /// introduced.
    ///
    /// # Errors
    /// Every [`Error`]; what is left is still in the journal.
    pub fn commit_everything(&mut self, progress: &mut dyn Progress) -> Result<Outcome, Error> {
        let mut all = Outcome::NOTHING;
        // While records keep arriving there would always be more.
        let sizes = self.home.journal().sizes()?;
        let mut end = sizes.last().copied();
        let bytes = self.bytes_left(&sizes);
        if bytes > 0 {
            progress.begin_bytes("committing", bytes);
        }
        loop {
            self.look()?;
            let Some(outcome) = self.commit()? else { break };
            all = Outcome { commit: outcome.commit.or(all.commit), records: all.records + outcome.records };
            progress.at(bytes.saturating_sub(self.bytes_left(&sizes)));
            self.maintain()?;
            if std::mem::take(&mut self.has_joined) {
                end = self.home.journal().sizes()?.last().copied();
            }
            if end.is_some_and(|end| self.has_committed(end)) {
                break;
            }
        }
        let pages = self.catch_up()?;
        progress.end();
        Ok(Outcome { commit: pages.commit.or(all.commit), ..all })
    }
}
