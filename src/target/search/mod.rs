//! Search, as a target: the file `memory/search.db` follows the index.
//!
//! ```text
//! index.db: records ──walk, by age─▶ ┐
//!           changes ──follow───────▶ ┴─ documents (rows, and files where a row is not whole) ──▶ search.db
//! ```
//!
//! 1. It is derived, lags, and is never required: no batch waits for it, no error of it is a batch's. Losing it loses
//!    nothing.
//! 2. Only the holder of the worker's lock writes it. All others open it to read ([`open_to_read`]).
//! 3. Its watermark is a line of the index's change feed ([`FeedMark`]). It lies in search.db and moves in the transaction
//!    that moves the documents. A watermark that does not match the index, another version, or damage: the file is
//!    thrown away, and everything is walked.
//! 4. The walk goes by age, the oldest first, with a cursor in search.db: what was put in last is the newest, as the feed has it
//!    too, so that the newest of many records are found without a look at the others ([`crate::search::Writer`]). What changes meanwhile is in the feed, behind the line at which the
//!    walk began, and is followed afterwards.
//! 5. Work is cut into slices, each one transaction with bounded time and memory.
//! 6. A record that is retracted is taken out at once, before its batch is reported as done ([`Search::take_out`]).
//! 7. The feed is trimmed once the watermark is durable: after a checkpoint.
//! 8. Once it is up to date, the file is made small again (`compact`).
//! 9. The commits of the history are noted beside the documents (`noted`). A chain of them proves itself
//!    (`search::commits`), so one that is not noted yet costs a reader time, and nothing else.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the file is made | a file without tables | the next slice throws it away |
//! | before a slice is committed | search.db as before (SQLite rolls back) | the next slice does it again |
//! | after it, before the feed is trimmed | lines that are not needed | the next trim |
//! | while it is thrown away | an older search.db without its log, or none | its watermark tells; else the next slice |
//! | after a power cut | an older search.db, with its watermark | the next slice follows from there |

mod compact;
pub(in crate::target) mod documents;
mod file;
mod follow;
mod look;
mod noted;
mod status;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use look::{Commits, SearchDb, open_to_read};
pub use status::{SearchState, SearchStatus, status};

use crate::exclusive::Exclusive;
use crate::fs;
use crate::model::RecordId;
use crate::model::layout::SEARCH;
use crate::model::text::chain;
use crate::target::index::{self, FeedMark};

use file::SearchFile;
use follow::Ahead;
use noted::Noting;

/// Removes the search database of the home of `exclusive`, which is derived.
///
/// # Errors
/// [`Error::Fs`], [`Error::InItsPlace`]; it is still there then.
pub fn remove(exclusive: &Exclusive<'_>) -> Result<(), Error> {
    file::remove(exclusive.home())
}

/// How long a process that brings it up to date before it ends does so.
pub const SEARCH_MAX: Duration = Duration::from_secs(2);
/// The records that it does in any case.
const RECORDS_ENOUGH: u64 = 5000;
/// How long a writer or a reader waits for another process's lock.
const WAIT: Duration = Duration::from_millis(100);
/// The first wait after a failure, and the longest.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Why search could not be brought up to date or read. It is never a batch's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has locked it.
    #[error("{SEARCH} is locked by another process")]
    Busy,
    /// It cannot be used for searching, and has to be rebuilt.
    #[error("{SEARCH} is not usable: {0}")]
    Unusable(String),
    /// Something else than a file is in its place.
    #[error("{} {why}", path.display())]
    InItsPlace {
        /// The file.
        path: PathBuf,
        /// What is in its place.
        why: &'static str,
    },
    /// SQLite could not write or read it.
    #[error("could not {doing} {SEARCH}")]
    Sqlite {
        /// The step, as a verb.
        doing: &'static str,
        /// The error from SQLite.
        source: rusqlite::Error,
    },
    /// The index could not be read.
    #[error("the index could not be followed")]
    Index(#[from] index::Error),
    /// The index is being rebuilt, or has no feed.
    #[error("the index is not complete")]
    IndexUnfinished,
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

impl Error {
    /// Whether what is in the file's place has to be thrown away, and the file rebuilt.
    fn is_unusable(&self) -> bool {
        matches!(self, Error::Unusable(_) | Error::InItsPlace { .. })
    }
}

/// How far search follows the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to this line of the feed is in search.db.
    pub feed: FeedMark,
    /// While it is being built: records up to this one have been walked.
    pub cursor: Option<Cursor>,
}

/// A place in the walk over all records, by age: the last one that was walked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When it was recorded, as its row has it; empty before the first.
    pub created_at: String,
    /// Its id.
    pub id: String,
}

/// What became of an attempt to bring search up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// It has everything that the index has.
    UpToDate,
    /// There is more to do.
    Behind,
    /// It failed, and is tried again later.
    Failed,
}

/// How much of it is done before it returns.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// One slice.
    Slice,
    /// As many slices as fit into this time. A small home is brought up to date whole, however slow the machine is.
    Time(Duration),
    /// All of it.
    Everything,
}

impl Bound {
    /// When it ends, if it began `now`.
    pub(in crate::target) fn until(self, now: Instant) -> Option<Instant> {
        match self {
            Bound::Slice => Some(now),
            Bound::Time(time) => Some(now + time),
            Bound::Everything => None,
        }
    }

    /// How many records are done even if the time is over.
    pub(in crate::target) fn at_least(self) -> u64 {
        match self {
            Bound::Slice => 0,
            Bound::Time(_) | Bound::Everything => RECORDS_ENOUGH,
        }
    }
}

/// Brings search up to date, for the holder of the worker's lock.
#[derive(Debug)]
pub struct Search<'h> {
    exclusive: &'h Exclusive<'h>,
    file: Option<SearchFile>,
    /// Whether the index may have changed since search was last up to date.
    is_behind: bool,
    failures: u64,
    failures_in_a_row: u32,
    retry: Option<Instant>,
    error: Option<String>,
    /// How far the commits of the history are noted in it.
    noting: Noting,
    /// The first line of the feed that another follower needs.
    kept: Option<u64>,
    /// The next records of the walk, while it is being built.
    ahead: Ahead,
}

impl<'h> Search<'h> {
    /// Search in the home of `exclusive`. Nothing is opened yet.
    pub fn new(exclusive: &'h Exclusive<'h>) -> Search<'h> {
        Search {
            exclusive,
            file: None,
            is_behind: true,
            failures: 0,
            failures_in_a_row: 0,
            retry: None,
            error: None,
            noting: Noting::default(),
            kept: None,
            ahead: Ahead::default(),
        }
    }

    /// The index may have changed.
    pub fn changed(&mut self) {
        self.is_behind = true;
    }

    /// Trims no line of the index's feed from `seq` on: another follower needs it.
    pub fn keep_feed_from(&mut self, seq: Option<u64>) {
        self.kept = seq;
    }

    /// When there is something to do; `None` if there is nothing until the index changes.
    pub fn due(&self) -> Option<Instant> {
        self.is_behind.then(|| self.retry.unwrap_or_else(Instant::now))
    }

    /// How often it failed.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Why it cannot be brought up to date, if it cannot.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Takes the records `ids` out, which are retracted or erased. If that is impossible now, readers find them changed in
    /// the feed, and do not show them.
    pub fn take_out(&mut self, ids: &[RecordId]) {
        self.is_behind = true;
        let taken = self.reach().and_then(|file| file.map_or(Ok(()), |file| file.take_out(ids)));
        match taken {
            Err(error) if error.is_unusable() => self.throw_away(&error),
            Err(error) => self.failed(&error),
            Ok(()) => {}
        }
    }

    /// Removes the file with all that was ever written to it: for text that was erased. What is left is walked again.
    ///
    /// # Errors
    /// [`Error::Fs`] if it is still there.
    pub fn forget_all(&mut self) -> Result<(), Error> {
        (self.file, self.is_behind) = (None, true);
        self.noting.forget();
        file::remove(self.exclusive.home())
    }

    fn throw_away(&mut self, why: &Error) {
        tracing::warn!(why = chain(why), "rebuilding the search database");
        if let Err(error) = self.forget_all() {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &Error) {
        let wait = RETRY_MIN.saturating_mul(1 << self.failures_in_a_row.min(8)).min(RETRY_MAX);
        self.retry = Some(Instant::now() + wait);
        self.failures += 1;
        self.failures_in_a_row += 1;
        // What was opened is opened and judged again.
        self.file = None;
        let why = chain(error);
        if self.error.as_ref() != Some(&why) {
            tracing::warn!(error = why, "search cannot be brought up to date: trying again later");
        }
        self.error = Some(why);
    }

    fn succeeded(&mut self) {
        (self.failures_in_a_row, self.retry, self.error) = (0, None, None);
    }
}
