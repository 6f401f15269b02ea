//! Maintenance between batches: rotation, and the removal of segments.
//!
//! The rule: **no segment is removed that holds a required target's watermark**, as its store has it, or that comes
//! after it. Before a segment is removed, its records are durable in files, rows and git.
//!
//! Files go with the rows, for the boot that the rows' watermark names. So no segment is removed until the files have
//! been checked in this boot, or while an audit is due.
//!
//! Only rows can be given up: if they hold back too much of the journal, or for too long, segments are removed without
//! them, and without that check of the files. Git has all of their records. The rows' watermark then points into a removed
//! part, which is a loss: an audit is due. Once the index can be used, that audit takes from git what files lack, and adds
//! rows from the files. Until then stale files are no edits: git had their bytes.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | between making durable and removing a segment | a segment too many | it is removed next time |
//! | between giving rows up and adding them | a watermark into a removed part | the next user of the index audits all |
//! | the same, after a power cut | stale or empty files as well | the same audit, from git |

use super::{Error, Pipeline, VoidReason};
use crate::fs;
use crate::journal::{Records, SegmentNumber};
use crate::model::Intent;

impl Pipeline<'_> {
    /// Checkpoints the index, rotates to a new segment, and removes finished ones.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Index`], [`Error::Fs`]; nothing is lost then, and the next call retries.
    pub fn maintain(&mut self) -> Result<(), Error> {
        self.rows.maintain()?;
        if self.wants_rotation()? {
            let number = self.exclusive.journal().rotate()?;
            self.state.segments = self.home.journal().ids()?;
            self.write_state()?;
            tracing::debug!(segment = %number, "the journal goes on in a new segment");
        }
        self.prune()
    }

    /// Begins a new segment, whatever the last one holds: once everything is committed that comes next, [`Pipeline::maintain`]
    /// removes the segments before it.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Fs`].
    pub fn begin_segment(&mut self) -> Result<(), Error> {
        self.exclusive.journal().rotate()?;
        self.state.segments = self.home.journal().ids()?;
        self.write_state()
    }

    /// Whether segments are left before the one that the journal is committed up to.
    ///
    /// # Errors
    /// [`Error::Fs`].
    pub fn has_finished_segments(&self) -> Result<bool, Error> {
        Ok(!self.exclusive.journal().finished(self.at.segment)?.is_empty())
    }

    fn wants_rotation(&self) -> Result<bool, Error> {
        let sizes = self.home.journal().sizes()?;
        let Some((newest, size)) = sizes.last() else { return Ok(false) };
        let holds_something = *newest == self.at.segment && self.at.position.checksum != 0;
        let finished = self.reading.is_empty() && holds_something && self.last_commit.elapsed() >= self.options.keep;
        Ok(*size >= self.options.segment_bytes_max || finished)
    }

    /// Removes the segments before the one that holds the slowest required target's watermark.
    ///
    /// # Errors
    /// As [`Pipeline::maintain`].
    pub fn prune(&mut self) -> Result<(), Error> {
        if self.exclusive.journal().finished(self.stored.segment)?.is_empty() {
            return Ok(());
        }
        // If the rows' watermark is unknown, it can be anywhere.
        let rows = self.lag.segment().unwrap_or(SegmentNumber(0));
        let given_up = rows < self.stored.segment && self.is_too_much(rows)?;
        if given_up {
            // If this process is killed, the next one to use the index knows.
            self.distrust(VoidReason::RowsLost)?;
        } else if self.may_lack_files() {
            return Ok(());
        }
        let slowest = if given_up { self.stored.segment } else { rows.min(self.stored.segment) };
        self.remove(slowest, given_up)
    }

    /// Removes the segments before `slowest`, oldest first, after everything that was written from them is durable.
    fn remove(&mut self, slowest: SegmentNumber, without_rows: bool) -> Result<(), Error> {
        let finished = self.exclusive.journal().finished(slowest)?;
        if finished.is_empty() {
            return Ok(());
        }
        // Other file systems come first: the proof covers all of them.
        let folders = self.files.elsewhere()?;
        let (rows, commits) = (&mut self.rows, &mut self.commits);
        let sync = || Ok::<_, Error>(commits.sync()? && (without_rows || rows.sync()?));
        if let Some(synced) = finished.sync(folders.iter().chain([self.home.dir()]), sync)? {
            self.counts.segments_removed += synced.prune()?;
        }
        Ok(())
    }

    /// Whether rows, whose watermark is in `segment`, hold back more than they may.
    fn is_too_much(&self, segment: SegmentNumber) -> Result<bool, Error> {
        let held = segment..self.stored.segment;
        let sizes = self.home.journal().sizes()?;
        let bytes: u64 = sizes.iter().filter(|(number, _)| held.contains(number)).map(|(_, bytes)| bytes).sum();
        let is_old = self.oldest_lagging()?.is_some_and(|intent| {
            let age = fs::now().duration_since(intent.created_at);
            age.as_secs() > i64::try_from(self.options.rows_age_max.as_secs()).unwrap_or(i64::MAX)
        });
        let given_up = bytes > self.options.rows_bytes_max || is_old;
        if given_up {
            tracing::error!(
                bytes,
                "rows hold back more of the journal than they may: they are given up, and added from the files once the index \
                 can be used"
            );
        }
        Ok(given_up)
    }

    /// The first record of the journal whose row may be missing.
    fn oldest_lagging(&self) -> Result<Option<Intent>, Error> {
        let records = Records::from_position_or_start(self.home.journal(), self.lag.position())?;
        Ok(records.map(|mut records| records.next_intent()).transpose()?.flatten())
    }
}
