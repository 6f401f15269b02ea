//! The pipeline: the journal goes to the targets in order, their watermarks move, and finished segments are removed.
//!
//! ```text
//! journal ──look──▶ pending ──sync──▶ files ─▶ rows ─▶ pages ─▶ history      (search and known follow the rows, later)
//!    ▲                                         │                   │
//!    └──────── prune: no segment goes that a watermark lies in ────┘
//! ```
//!
//! 1. Nothing reaches a target before its part of the journal is synced: `apply` takes the proof.
//! 2. A batch is a prefix of what is pending, and becomes one commit. It is applied to files, rows and pages before
//!    that.
//! 3. What cannot be applied is parked, durably, before its position is passed. What can be applied later is never
//!    parked.
//! 4. If several intents share an id, the first in the journal's order is the record.
//! 5. A target may lag. No segment is removed before the slowest required target has passed it: its files and rows must
//!    be durable, and all of it must be in git (`prune`).
//! 6. A process that holds SQLite's lock delays rows, never commits: rows lag then (`lag`). The same happens if a file
//!    of the index cannot be opened.
//! 7. A watermark that the journal does not validate is a loss, never a beginning: everything is audited (`open`).
//!
//! The holder of the worker's lock runs it: the worker, or `flush` and `recover` if no worker runs. The stores are
//! behind the traits of `target`, and are not handed out: what recovery needs of them is in `mend`.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | intents, and part of their files and rows | the next batch does the same again |
//! | within the commit | see `target::history` | the branch's tree says which records it has |
//! | after it | the batch, committed | nothing to do: its position is in git |
//! | between making durable and removing a segment | a segment too many | it is removed next time |

mod batch;
mod catch_up;
mod change;
mod current;
mod edits;
mod hidden;
mod lag;
mod log;
mod mend;
mod moved;
mod open;
mod order;
mod ours;
mod outcome;
mod prune;
mod reached;
mod repeats;
mod schedule;
mod search;
#[cfg(all(test, target_os = "linux"))]
mod simulated;
mod stale_pages;
mod superseded;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::progress::Progress;
pub use crate::target::{Error, VoidReason};
pub use edits::Judged;
pub(crate) use edits::{QUIET, nanoseconds};
pub use reached::{Reached, Waiting, bytes_pending, reached, waiting};
pub use schedule::{Backlog, Schedule};
pub use stale_pages::stale_pages;

use crate::exclusive::Exclusive;
use crate::home::Home;
use crate::journal::SegmentNumber;
use crate::model::JournalId;
use crate::model::position::Position;
use crate::quarantine::Quarantine;
use crate::redact::Redactor;
use crate::state::State;
use crate::target::commits::Commits;
use crate::target::files::Applier;
use crate::target::history::HistoryOptions;
use crate::target::rows::Rows;
use crate::target::{Log, Mark};

use lag::Lag;
use log::Reading;
use search::Followers;

/// How batches are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of pending records that makes a batch due.
    pub records_due: usize,
    /// The most records in one commit. What is pending beyond `records_due` goes along, since many small commits of one
    /// folder cost more than a large one.
    pub records_max: usize,
    /// The most bytes of intents held in memory.
    pub bytes_max: usize,
    /// The segment size in bytes at which the journal rotates.
    pub segment_bytes_max: u64,
    /// How long a segment stays after its last record was committed.
    pub keep: Duration,
    /// How long to wait for SQLite's lock before rows lag.
    pub index_wait: Duration,
    /// How many bytes of the journal rows may hold back. Beyond that they are given up, and added from the files later.
    pub rows_bytes_max: u64,
    /// How long rows may hold back segments.
    pub rows_age_max: Duration,
    /// How many records that commits of their owner's removed are retracted at once without being asked.
    pub removals_max: usize,
    /// What happens to edits by hand that say secrets.
    pub secrets: Secrets,
    /// How the history is kept.
    pub history: HistoryOptions,
}

/// What happens to edits by hand that say secrets.
#[derive(Clone, Debug, Default)]
pub enum Secrets {
    /// They are taken like any other.
    #[default]
    Taken,
    /// They are left to their owner.
    Left(Arc<Redactor>),
    /// It is not known what a secret is: all edits are left.
    Unknown,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            records_due: 1000,
            records_max: 10_000,
            bytes_max: 8 << 20,
            segment_bytes_max: 8 << 20,
            keep: Duration::from_secs(600),
            index_wait: Duration::from_secs(5),
            rows_bytes_max: 256 << 20,
            rows_age_max: Duration::from_secs(7 * 24 * 3600),
            removals_max: 50,
            secrets: Secrets::default(),
            history: HistoryOptions::default(),
        }
    }
}

/// Counters since the counting began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Commits made.
    pub commits: u64,
    /// Records committed.
    pub records: u64,
    /// Operations on records that took effect.
    pub operations: u64,
    /// Files that a recorder had not placed, or that were torn.
    pub files_written: u64,
    /// Rows that a recorder had not inserted.
    pub rows_inserted: u64,
    /// Entries whose writer died.
    pub torn: u64,
    /// Entries that their writers voided.
    pub voided: u64,
    /// Damaged ranges of the journal, each counted once.
    pub damaged: u64,
    /// Records parked, each counted once.
    pub parked: u64,
    /// Records that were parked and could be applied later.
    pub released: u64,
    /// Amendments without effect, since their record had been retracted before them.
    pub raced: u64,
    /// Segments removed.
    pub segments_removed: u64,
    /// Failed attempts that were retried.
    pub retries: u64,
    /// Waits for a lock on a reference.
    pub waits: u64,
    /// Failed attempts to bring search up to date.
    pub search_failures: u64,
}

/// What one commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The commit, or `None` if the branch had everything already.
    pub commit: Option<String>,
    /// How many records it introduced.
    pub records: usize,
}

impl Outcome {
    const NOTHING: Outcome = Outcome { commit: None, records: 0 };
}

/// Takes one home's journal to its targets, for the holder of the worker's lock.
#[derive(Debug)]
pub struct Pipeline<'h> {
    home: &'h Home,
    options: Options,
    journal_id: JournalId,
    state: State,
    quarantine: Quarantine,
    reading: Reading<'h>,
    files: Applier<'h>,
    rows: Box<dyn Rows + 'h>,
    commits: Box<dyn Commits + 'h>,
    /// What follows the rows; `None` in a simulation.
    followers: Option<Followers<'h>>,
    /// The journal is committed up to here.
    at: Mark,
    /// The history's watermark, as stored.
    stored: Mark,
    /// How far the rows lag behind that.
    lag: Lag,
    /// Why an audit of everything is due, if one is.
    void: Option<VoidReason>,
    /// Paths that the history once had and their owner removed: they stay removed.
    removed: HashSet<String>,
    /// Whether entries were appended to the journal behind what was to be committed: an operation that joins others or
    /// waits, or copies.
    has_joined: bool,
    /// The records' files that were found where their owner moved them.
    moved: Option<moved::Moved>,
    last_commit: Instant,
    counts: Counts,
    exclusive: &'h Exclusive<'h>,
}

impl<'h> Pipeline<'h> {
    /// The home whose journal this is.
    pub fn home(&self) -> &'h Home {
        self.home
    }

    /// Repacks alongside the commits from now on, until this is dropped. A commit that finds the maximum number of
    /// packs waits for that, for a short time.
    pub fn keep_packs_few(&mut self) {
        self.commits.keep_packs_few();
    }

    /// Repacks now if there are more than `packs_max` packs.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn repack_from(&self, packs_max: usize) -> Result<(), Error> {
        self.commits.repack_from(packs_max)
    }

    /// How batches are made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The position up to which the journal is committed.
    pub fn committed(&self) -> Position {
        self.at.position
    }

    /// Whether the journal is committed up to `offset` in the segment `number`.
    pub fn has_committed(&self, (number, offset): (SegmentNumber, u64)) -> bool {
        (self.at.segment, self.at.position.offset) >= (number, offset)
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Continues counting from `counts`.
    pub fn count_from(&mut self, counts: Counts) {
        self.counts = counts;
    }

    /// The backlog, as far as it has been read.
    pub fn backlog(&self) -> Backlog {
        self.reading.backlog(&self.options)
    }

    /// Whether there is nothing to commit, to catch up with or to maintain until a new event.
    pub fn is_at_rest(&self) -> bool {
        let holds_nothing = self.at.position.checksum == 0 || self.at.segment != self.reading.segment();
        self.reading.is_empty()
            && !self.is_lagging()
            && (holds_nothing || self.last_commit.elapsed() < self.options.keep)
    }

    /// The newest segment that has been read.
    pub fn segment(&self) -> SegmentNumber {
        self.reading.segment()
    }

    /// When upkeep of an adopted home's database is due; `None` if none will be until a new event.
    pub fn upkeep_due(&self) -> Option<Instant> {
        self.rows.upkeep_due()
    }

    /// Does the due upkeep of an adopted home's database. What cannot be done now is done later.
    pub fn upkeep(&mut self) {
        self.rows.upkeep();
    }

    /// Does the final upkeep, for a process that ends.
    pub fn end_upkeep(&mut self) {
        self.rows.end_upkeep();
    }

    /// The journal, by which watermarks are judged.
    fn log(&self) -> Log<'_> {
        Log { journal: self.home.journal(), id: self.journal_id, state: Some(&self.state) }
    }

    fn write_state(&self) -> Result<(), Error> {
        Ok(self.state.write(self.exclusive)?)
    }
}
