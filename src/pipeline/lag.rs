//! Rows that lag: records are committed, and the index does not have their rows yet.
//!
//! The pipeline does not wait for a process that is stopped while it holds SQLite's lock. Once the wait for the lock
//! has timed out, the batch is committed without its rows. The same happens if a file of the index cannot be opened;
//! then the history is asked which keyed records exist. After a power cut rows lag as well: the index has lost its last
//! transactions, and their watermark with them.
//!
//! 1. The rows' watermark says from where on they lag. It needs no marker before the commit that goes without them.
//! 2. Catching up inserts the rows and moves the watermark in one transaction. Then the pages that show them are
//!    rendered and committed. Until that is done, the watermark names where the pages lag from.
//! 3. Until then the index does not know the keys of those records; the pipeline does.
//! 4. Files go with the rows: after a boot, those of the whole journal are checked once.
//! 5. A recorder whose sync failed voids its entry, and the worker may have committed that record by then. Where rows or
//!    files of a voided entry may be missing, everything is audited, and until then keys are looked up in the history.
//!    A later record of its key is not passed before the voided one is durable (see `superseded`).
//! 6. What an operation changes in a row lags like a row. Catching up applies it once all rows before it are there.
//! 7. Rows that are ahead of the history, after a failed attempt, do not lag: nothing but the next batch renders their
//!    pages. So it is not committed without them.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit without rows | a batch that is not committed | the next batch, with its rows or without |
//! | between rows and their commit | a watermark ahead of the history | the next batch, which renders their pages |
//! | after it | a commit, and a watermark before it | the next process with the lock catches up |
//! | while it catches up | some rows, and the watermark that names them | the same |
//! | before the pages' commit | rows, perhaps pages, and where pages lag from | pages are rendered and committed |
//! | before that is cleared | where pages lag from | the same, and no page has changed |

use std::collections::HashMap;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::log::Pending;
use super::{Error, Pipeline, VoidReason};
use crate::fs::os;
use crate::journal::{Reader, SegmentNumber};
use crate::model::path::up_to_id;
use crate::model::position::Position;
use crate::model::{Intent, JournalId, RecordId, RecordPath};
use crate::page;
use crate::target::rows::RowsMark;
use crate::target::{Mark, Watermark};

/// How far the rows are, and the files, which go with them.
#[derive(Debug)]
pub(super) struct Lag {
    pub(super) rows: RowsAt,
    /// The boot since which the files of the journal were seen in place; empty if unknown.
    pub(super) boot: String,
    /// The identity of the `memory/` folder in which they were seen.
    pub(super) memory: Option<String>,
    /// Keyed records that are committed and whose rows may be missing, and the place of each.
    pub(super) keys: HashMap<RecordId, Place>,
    /// Whether an entry of the journal was voided that may be of a committed keyed record; then neither the journal nor
    /// the index may know its key, until everything was audited.
    pub(super) has_voided: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsAt {
    /// The index is out of reach.
    Unknown,
    /// The watermark is lost: after an audit the rows have reached the history.
    Lost {
        /// Whether rows may be missing that no later audit has looked for.
        missed: bool,
    },
    /// They have applied the journal up to `mark`.
    At {
        mark: Mark,
        /// The watermark, as stored in the index.
        stored: Mark,
        /// The point from which pages may be stale.
        pages: Option<Mark>,
    },
}

/// The place of the record of an id.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The path of its page, or of its folder if it is an experiment; relative to the home.
    pub(super) path: String,
    /// The time of its recording, which distinguishes it from a repeat at the same path.
    pub(super) created_at: Timestamp,
}

impl Lag {
    /// Nothing is known.
    pub(super) fn unknown() -> Lag {
        Lag { rows: RowsAt::Unknown, boot: String::new(), memory: None, keys: HashMap::new(), has_voided: false }
    }

    /// Whether the rows of the batch that begins at `at` can be inserted.
    pub(super) fn follows(&self, at: Mark) -> bool {
        match self.rows {
            RowsAt::Unknown => false,
            RowsAt::Lost { .. } => true,
            RowsAt::At { mark, .. } => !mark.is_before(&at),
        }
    }

    /// Whether the rows of the batch that ends at `end` are there.
    pub(super) fn has(&self, end: Mark) -> bool {
        matches!(self.rows, RowsAt::At { mark, .. } if !mark.is_before(&end))
    }

    /// Whether rows of what comes behind `at` are there.
    pub(super) fn is_ahead(&self, at: Mark) -> bool {
        matches!(self.rows, RowsAt::At { mark, .. } if at.is_before(&mark))
    }

    /// The rows' watermark at `position`; `None` if it may not move.
    pub(super) fn mark(&self, journal: JournalId, position: Position) -> Option<RowsMark> {
        let RowsAt::At { pages, .. } = self.rows else { return None };
        let pages = pages.map(|mark| mark.position);
        Some(RowsMark { journal, position, pages, boot: self.boot.clone(), memory: self.memory.clone() })
    }

    /// The watermark has moved to `to`.
    pub(super) fn moved(&mut self, to: Mark) {
        if let RowsAt::At { mark, stored, .. } = &mut self.rows {
            (*mark, *stored) = (to, to);
        }
    }

    /// A batch was applied without its rows.
    pub(super) fn missed(&mut self) {
        if let RowsAt::Lost { missed } = &mut self.rows {
            *missed = true;
        }
    }

    /// Whether the index is within reach.
    pub(super) fn is_known(&self) -> bool {
        self.rows != RowsAt::Unknown
    }

    /// Whether the watermark is lost, and rows may be missing that no later audit has looked for.
    pub(super) fn has_missed(&self) -> bool {
        self.rows == RowsAt::Lost { missed: true }
    }

    /// An audit begins. It finds every row that is missing now.
    pub(super) fn begin_audit(&mut self) {
        if self.has_missed() {
            self.rows = RowsAt::Lost { missed: false };
        }
    }

    /// Nothing that is committed lies between `from` and `to`.
    pub(super) fn skip(&mut self, from: Mark, to: Mark) {
        if let RowsAt::At { mark, .. } = &mut self.rows
            && !mark.is_before(&from)
        {
            *mark = to;
        }
    }

    /// The segment of the watermark; `None` if unknown.
    pub(super) fn segment(&self) -> Option<SegmentNumber> {
        self.slowest().map(|mark| mark.segment)
    }

    /// The watermark, as stored in the index; `None` if unknown.
    pub(super) fn position(&self) -> Option<Position> {
        self.slowest().map(|mark| mark.position)
    }

    fn slowest(&self) -> Option<Mark> {
        let RowsAt::At { stored, pages, .. } = self.rows else { return None };
        Some(pages.filter(|pages| pages.is_before(&stored)).unwrap_or(stored))
    }

    fn is_behind(&self, at: Mark) -> bool {
        match self.rows {
            RowsAt::Unknown => true,
            RowsAt::Lost { .. } => false,
            RowsAt::At { mark, pages, .. } => mark.is_before(&at) || pages.is_some(),
        }
    }

    /// The rows of `intents`, which are about to be committed, may be missing.
    pub(super) fn remember(&mut self, intents: &[Intent]) {
        for intent in intents.iter().filter(|intent| intent.key.is_some()) {
            let place = || Place { path: intent.path().to_owned(), created_at: intent.created_at };
            self.keys.entry(intent.id).or_insert_with(place);
        }
    }
}

impl Pipeline<'_> {
    /// Whether files may be missing: they were not checked in this boot, or an audit is due. Their content may be in
    /// the journal alone.
    pub(super) fn may_lack_files(&self) -> bool {
        self.void.is_some() || self.lag.boot.is_empty() || self.lag.boot != os::boot_id()
    }

    /// Whether the index lacks rows of committed records, or that is unknown.
    pub fn is_lagging(&self) -> bool {
        self.lag.is_behind(self.at)
    }

    /// The position up to which the journal is in git and in the index.
    pub(super) fn settled_position(&self) -> Position {
        let behind = self.lag.is_behind(self.at).then(|| self.lag.position()).flatten();
        behind.unwrap_or(self.at.position)
    }

    /// Reads the rows' watermark if the index is not open, or was replaced. Returns whether the index can be used.
    pub(super) fn see_rows(&mut self) -> Result<bool, Error> {
        if self.rows.is_open() && self.lag.rows != RowsAt::Unknown {
            return Ok(true);
        }
        match self.rows.reach() {
            Err(error) if error.is_index_out_of_reach() => self.lag.rows = RowsAt::Unknown,
            reached => {
                reached?;
                self.find_rows()?;
            }
        }
        Ok(self.lag.rows != RowsAt::Unknown)
    }

    /// As [`Pipeline::see_rows`], for a batch, which continues without rows if the index cannot be used.
    pub(super) fn see_rows_or_go_on(&mut self) -> Result<(), Error> {
        self.see_rows().map(|_| ())
    }

    /// Reads the rows' watermark, and judges it.
    pub(super) fn find_rows(&mut self) -> Result<(), Error> {
        self.lag.rows = match self.upgraded_rows()? {
            Some(watermark) => self.judge_rows(watermark)?,
            None => RowsAt::Unknown,
        };
        if self.lag.is_behind(self.at) && self.lag.rows != RowsAt::Unknown {
            self.find_lagging_keys()?;
        }
        Ok(())
    }

    /// The rows' watermark. One that an older program kept in the state file moves to the index. `None` if the index is
    /// out of reach.
    fn upgraded_rows(&mut self) -> Result<Option<Watermark>, Error> {
        if let Some(before) = self.state.rows_before.clone() {
            let position = before.lag.unwrap_or(self.at.position);
            let memory = self.memory_identity();
            let mark = RowsMark { journal: self.journal_id, position, pages: None, boot: before.boot, memory };
            match self.rows.reach().and_then(|()| self.rows.set_mark(&mark)) {
                Err(error) if error.is_index_out_of_reach() => return Ok(None),
                Err(error) if error.is_index_lost() => return Ok(Some(Watermark::StoreLost)),
                noted => noted?,
            }
            self.state.rows_before = None;
            self.write_state()?;
        }
        let log = crate::target::Log { journal: self.home.journal(), id: self.journal_id, state: Some(&self.state) };
        let watermark = self.rows.watermark(&log)?;
        Ok((watermark != Watermark::OutOfReach).then_some(watermark))
    }

    fn judge_rows(&mut self, watermark: Watermark) -> Result<RowsAt, Error> {
        let memory = self.memory_identity();
        let known = match &watermark {
            Watermark::At(_) => self.rows.mark()?,
            _ => None,
        };
        let pages = known.as_ref().and_then(|known| known.pages);
        (self.lag.boot, self.lag.memory) = match known {
            Some(known) => (known.boot, known.memory),
            None => (String::new(), memory.clone()),
        };
        if self.lag.memory.is_some() && self.lag.memory != memory {
            self.distrust(VoidReason::FilesReplaced)?;
        }
        let mark = match watermark {
            Watermark::At(mark) => mark,
            Watermark::Beginning => match Reader::from_start(self.home.journal())? {
                Some(reader) => Mark::of(&reader),
                None => return Ok(RowsAt::Unknown),
            },
            Watermark::Lost(reason) => {
                self.distrust(reason)?;
                return Ok(RowsAt::Lost { missed: true });
            }
            // The recovery that follows rebuilds the index, and audits everything.
            Watermark::StoreLost | Watermark::With(_) | Watermark::OutOfReach => {
                return Ok(RowsAt::Lost { missed: true });
            }
        };
        let pages = pages.map(|pages| self.log().find(pages)).transpose()?.flatten();
        Ok(RowsAt::At { mark, stored: mark, pages })
    }

    pub(super) fn memory_identity(&self) -> Option<String> {
        os::lasting_identity(&self.home.path().join("memory"))
    }

    /// The place of the record `id`, if known.
    pub(super) fn place_of(&self, id: RecordId) -> Result<Option<Place>, Error> {
        if let Some(place) = self.lag.keys.get(&id) {
            return Ok(Some(place.clone()));
        }
        if !self.rows.is_open() {
            // The history was asked for all keys of the batch.
            return Ok(None);
        }
        let known = self.rows.find(id)?;
        Ok(known.map(|it| Place { path: it.path, created_at: it.created_at }))
    }

    /// If the index cannot be used, or may lack the row of a voided entry, learns from the history which of the pending
    /// keyed records are committed.
    pub(super) fn find_keys_in_history(&mut self) -> Result<(), Error> {
        if matches!(self.lag.rows, RowsAt::At { .. }) && !self.lag.has_voided {
            return Ok(());
        }
        let pending = self.reading.pending().iter().map(|Pending { intent, .. }| intent);
        let wanted = pending.filter(|it| it.key.is_some() && !self.lag.keys.contains_key(&it.id));
        let wanted: HashMap<String, RecordId> = wanted.map(|it| (it.id.short(), it.id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (mut found, mut failed) = (Vec::new(), None);
        self.commits.each_file(&mut |file| {
            // The name of its page, or of an experiment's folder, ends in the short id, and so does the full id.
            let stem = up_to_id(file.path());
            let short = stem.and_then(|stem| stem.get(stem.len().checked_sub(8)?..));
            let Some(id) = short.and_then(|short| wanted.get(short)) else { return ControlFlow::Continue(()) };
            match file.read() {
                Ok(bytes) if page::id_of(&bytes) == Some(*id) => {
                    // A page that no longer says when it was recorded is still the record.
                    let created_at = page::parse(&bytes).map_or(Timestamp::UNIX_EPOCH, |parsed| parsed.created_at);
                    found.push((*id, Place { path: RecordPath(file.path()).shown().to_owned(), created_at }));
                    ControlFlow::Continue(())
                }
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        self.lag.keys.extend(found);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Learns from the journal which keyed records are committed and may lack their rows.
    fn find_lagging_keys(&mut self) -> Result<(), Error> {
        let walked = self.each_committed(self.lag.position(), |pipeline, mut intents, _, _| {
            intents.retain(|intent| intent.key.is_some());
            for intent in &mut intents {
                *intent = pipeline.applied(intent)?.unwrap_or_else(|| intent.clone());
            }
            pipeline.lag.remember(&intents);
            Ok(())
        })?;
        self.lag.has_voided |= walked.has_voided;
        Ok(())
    }
}
