//! The targets: the stores that follow the journal, each behind the trait [`Target`].
//!
//! The journal is a log. Files, rows, pages and history apply it, each at its own pace. Each reports how far it is by
//! a **watermark**: the position up to which it has applied the journal.
//!
//! 1. A watermark lies in its own store and moves in the transaction that moves the store. One that must lie elsewhere
//!    names something in its store that validates it.
//! 2. `apply` is idempotent, and takes the proof that the journal is synced up to the end of what is applied.
//! 3. A target may lag. No segment is pruned while a required target's watermark lies in it.
//! 4. So a watermark in a missing segment is a loss, never a beginning: everything is audited then.
//!
//! | target | its watermark |
//! | --- | --- |
//! | files | none of their own: they go with the rows, for the boot that the rows' watermark names |
//! | rows | in the index, in the transaction that inserts the rows |
//! | pages | beside the rows': from where on pages in the history may be stale, if any are |
//! | history | the trailer of its newest commit for this journal; a note in the state file for a batch without one |
//! | search | a line of the index's change feed, in search.db. It follows the index, not the journal, and is never required |
//! | known | as search, in the file of known failures |
//!
//! A remote ([`crate::sync`]) follows the history, not the journal, and is never required either: its watermark is the lane's commit
//! that it acknowledged, which every push validates.

pub mod changed_files;
pub mod commits;
pub mod files;
pub mod history;
pub mod index;
pub mod known;
pub mod pages;
pub mod rows;
pub mod search;
pub mod spread;

use crate::fs;
use crate::home;
use crate::journal::{self, Journal, Reader, SegmentNumber, Synced};
use crate::model::position::Position;
use crate::model::{FileImage, Intent, JournalId, RecordId};
use crate::quarantine::Quarantine;
use crate::state::State;

use history::{Changes, Committed};
use rows::RowsMark;

/// A store that follows the journal.
pub trait Target {
    /// Its name in logs and errors.
    fn name(&self) -> &'static str;

    /// How far it has applied the journal, according to its store.
    ///
    /// # Errors
    /// Every [`Error`], except that an unreachable store is a [`Watermark`].
    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error>;

    /// Applies `batch`, which `synced` shows to be durable in the journal, and moves the watermark with it. What
    /// cannot be applied is first parked, durably.
    ///
    /// # Errors
    /// Every [`Error`]; part of the batch may be applied, and a retry continues from there.
    fn apply(&mut self, batch: &mut Batch<'_>, synced: &Synced<Position>) -> Result<(), Error>;

    /// Makes everything applied durable, with the watermark. Returns false if that is impossible now.
    ///
    /// # Errors
    /// Every [`Error`]; nothing counts as durable then.
    fn sync(&mut self) -> Result<bool, Error>;
}

/// The journal that watermarks refer to, and the remembered state of it.
#[derive(Clone, Copy, Debug)]
pub struct Log<'l> {
    /// The journal.
    pub journal: &'l Journal,
    /// Its id.
    pub id: JournalId,
    /// The remembered state; `None` if there is no such state.
    pub state: Option<&'l State>,
}

/// How far a target has applied the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// Nothing has been applied, and the journal is complete from its beginning.
    Beginning,
    /// Up to here.
    At(Mark),
    /// As far as the target that it follows.
    With(&'static str),
    /// Unknown for now: the store is locked, or cannot be opened.
    OutOfReach,
    /// The store itself is lost, and has to be rebuilt.
    StoreLost,
    /// Unknown for good: everything has to be audited.
    Lost(VoidReason),
}

/// A position in the journal, and its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The segment.
    pub segment: SegmentNumber,
    /// The position.
    pub position: Position,
}

impl Mark {
    /// The position of `reader`.
    pub fn of(reader: &Reader<'_>) -> Mark {
        Mark { segment: reader.segment(), position: reader.position() }
    }

    /// Whether this lies before `other`.
    pub fn is_before(&self, other: &Mark) -> bool {
        (self.segment, self.position.offset) < (other.segment, other.position.offset)
    }
}

impl Log<'_> {
    /// Finds `position` in the journal; `None` if the journal's bytes do not validate it.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn find(&self, position: Position) -> Result<Option<Mark>, Error> {
        Ok(Reader::from_position(self.journal, position)?.as_ref().map(Mark::of))
    }

    /// Whether the entry that ends at `newest`, the position of the newest commit, is gone from a segment that is still
    /// there: its recorder voided it after it was committed. What a power cut took of its file, the journal does not
    /// bring back, so an older position is no place to begin. A note made at `tip` says that it was audited since.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn was_voided(&self, newest: Position, tip: Option<&str>) -> Result<bool, Error> {
        let is_noted =
            self.state.and_then(|state| state.noted.as_ref()).is_some_and(|noted| Some(&*noted.commit) == tip);
        let has_segment = self.journal.ids()?.iter().any(|(_, id)| *id == newest.segment);
        Ok(!is_noted && has_segment && self.find(newest)?.is_none())
    }

    /// Whether the journal still has its first segment: then no part of it is missing.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn is_whole(&self) -> Result<bool, Error> {
        Ok(self.journal.segments()?.first() == Some(&SegmentNumber(1)))
    }
}

/// Why a watermark could not be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidReason {
    /// The home's history was recreated, or has lost its commits.
    HistoryLost,
    /// The record of where the branch was last is lost, so the branch may have been rewound.
    AnchorLost,
    /// The branch no longer reaches the last finished batch.
    BranchRewound,
    /// No state of this journal is remembered.
    JournalUnknown,
    /// No commit names the journal, or its bytes do not validate the position.
    PositionVoid,
    /// The journal has damage.
    JournalDamaged,
    /// The index names a missing part of the journal, or has no watermark though parts are missing.
    RowsLost,
    /// Files of committed records are missing, as after a power cut, or rows that the watermark promises.
    FilesLost,
    /// `memory/` is another folder than the one that the index was filled for.
    FilesReplaced,
    /// Files have operations that neither git nor the journal has: those are from a backup.
    FilesAhead,
    /// Files or rows have, or may have, a record or an operation that neither a commit nor the journal has: its writer voided it.
    Voided,
    /// An audit was started for one of these reasons, and not finished.
    Unfinished,
}

impl VoidReason {
    /// The reason, for logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            VoidReason::HistoryLost => "the history was lost",
            VoidReason::AnchorLost => "what says where the branch was last is gone",
            VoidReason::BranchRewound => "the branch was moved back or rewritten",
            VoidReason::JournalUnknown => "nothing is remembered of this journal: it is new, restored or a copy",
            VoidReason::JournalDamaged => "something in the journal is damaged",
            VoidReason::RowsLost => {
                "the index follows a part of the journal that is gone: it is restored or was given up"
            }
            VoidReason::FilesLost => "files or rows of committed records are gone",
            VoidReason::FilesReplaced => "memory/ is not the folder that the index was filled for",
            VoidReason::FilesAhead => "files are newer than the journal and git, which are from a backup",
            VoidReason::Voided => "files or rows have a record that neither git nor the journal has",
            VoidReason::Unfinished => "an audit of everything was begun and not finished",
            VoidReason::PositionVoid => "the journal does not have the position that the history names",
        }
    }
}

/// A prefix of the pending journal, on its way through the targets.
#[derive(Debug)]
pub struct Batch<'b> {
    /// Its records, in the journal's order. A target removes those that it parks.
    pub intents: Vec<Intent>,
    /// The pages that show them, once rendered.
    pub pages: Vec<FileImage>,
    /// The changes of an operation other than `record`, which is a batch of its own.
    pub change: Option<Changes<'b>>,
    /// Its end in the journal.
    pub end: Position,
    /// The rows' next watermark; `None` if rows lag and this batch is not their next one.
    pub rows_to: Option<RowsMark>,
    /// What was done.
    pub done: Done,
    quarantine: &'b Quarantine,
}

/// What the targets did with a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Files that were missing or torn.
    pub files_written: u64,
    /// Rows that were missing.
    pub rows_inserted: u64,
    /// Records parked.
    pub parked: u64,
    /// How often a lock on a reference was waited for.
    pub waits: u64,
    /// The result of the commit.
    pub committed: Option<Committed>,
}

impl<'b> Batch<'b> {
    /// A batch without records that ends at `end`.
    pub fn new(end: Position, quarantine: &'b Quarantine) -> Batch<'b> {
        let (intents, pages) = (Vec::new(), Vec::new());
        Batch { intents, pages, change: None, end, rows_to: None, done: Done::default(), quarantine }
    }

    /// Parks `intent`, whose `part` cannot be applied. Durable on return.
    ///
    /// # Errors
    /// [`Error::Fs`]; the watermark must not pass the batch then.
    pub fn park(&mut self, intent: &Intent, part: &str, error: &dyn std::error::Error) -> Result<(), Error> {
        let why = crate::model::text::chain(error);
        if self.quarantine.park(intent, part, &why)? {
            self.done.parked += 1;
            tracing::error!(id = %intent.id, part, why, "a record cannot be applied: parked");
        }
        Ok(())
    }
}

/// Why a target failed. What was recorded is still in the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not be read or synced.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A record could not be applied for now.
    #[error("the record {id} could not be applied")]
    Apply {
        /// The record.
        id: RecordId,
        /// Why.
        source: files::Error,
    },
    /// A domain's page could not be rendered.
    #[error("the page in {folder} could not be rendered")]
    Page {
        /// The domain's folder.
        folder: String,
        /// Why.
        source: files::Error,
    },
    /// A record has to be restored, and no store has its bytes.
    #[error("nothing is left that the record {id} could be brought back from")]
    Nowhere {
        /// The record.
        id: RecordId,
    },
    /// The index could not be used.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The history could not be used.
    #[error(transparent)]
    History(#[from] history::Error),
}

impl Error {
    /// Whether a file of the index cannot be opened.
    pub fn is_index_unopenable(&self) -> bool {
        matches!(self, Error::Index(error) if error.is_unopenable())
    }

    /// Whether the index is locked, and nothing else is wrong.
    pub fn is_index_busy(&self) -> bool {
        matches!(self, Error::Index(error) if error.is_busy())
    }

    /// Whether rows cannot be read or inserted for now, without a sign that the index is lost.
    pub fn is_index_out_of_reach(&self) -> bool {
        self.is_index_busy() || self.is_index_unopenable()
    }

    /// Whether an operation with this error can never be applied, and has to be parked.
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Error::Nowhere { .. } | Error::Index(index::Error::RowRefused { .. }) => true,
            Error::Apply { source, .. } => !source.is_transient(),
            Error::Fs(error) => !error.is_transient(),
            _ => false,
        }
    }

    /// Whether rebuilding the index repairs this.
    pub fn is_index_lost(&self) -> bool {
        match self {
            Error::Index(error) => error.is_lost(),
            Error::Apply { source: files::Error::Index(error), .. }
            | Error::Page { source: files::Error::Index(error), .. } => error.is_lost(),
            _ => false,
        }
    }

    /// Whether a person has to change something before a retry can succeed.
    pub fn needs_attention(&self) -> bool {
        match self {
            Error::History(error) => error.is_unsupported(),
            Error::Home(home::Error::Fs(error)) | Error::Fs(error) | Error::Journal(journal::Error::Fs(error)) => {
                matches!(error, fs::Error::Refused { .. })
            }
            Error::Home(_) => true,
            Error::Index(index::Error::Newer { .. })
            | Error::Journal(journal::Error::Newer { .. } | journal::Error::Format { .. }) => true,
            _ => false,
        }
    }
}
