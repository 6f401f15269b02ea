//! A batch: a prefix of the journal that becomes one commit.
//!
//! 1. Nothing reaches git before its part of the journal is synced, by whomever it was written.
//! 2. A batch is applied (files, rows, pages) before it is committed, and its position passes after that.
//! 3. What cannot be applied is parked, durably, before its position passes. What can be later is never parked.
//! 4. Of several intents with one id, the first in the journal's order is the record.
//! 5. A segment goes only when its files and rows are durable and all of it is in git.
//! 6. Whoever holds SQLite's lock holds up rows, never commits: rows can be owed, see `owed`. So can they where a file of
//!    the index cannot be opened.
//!
//! Whoever has the worker's lock does this: the worker, or `flush` and `recover` where none runs.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | intents, and part of their files and rows | the next batch does the same again |
//! | within the commit | see `target::history` | the branch's tree says which records it has |
//! | after it | the batch, committed | nothing to do: its position is in git |
//! | between making durable and removing a segment | a segment too many | it is removed next time |

mod adopted;
mod change;
mod owed;
mod repacking;
mod schedule;
#[cfg(all(test, target_os = "linux"))]
mod simulated;
mod start;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use schedule::{Backlog, Schedule};
pub use start::{Progress, Reached, VoidReason, reached};

use crate::exclusive::Exclusive;
use crate::fs;
use crate::home::{self, Home};
use crate::journal::{self, Appender, Found, Item, Logged, Reader, Records, SegmentNumber, Synced};
use crate::model::position::{Position, SegmentId};
use crate::model::{FileImage, Intent, JournalId, Op, RecordId, RecordPath};
use crate::quarantine::Quarantine;
use crate::state::{Passed, State};
use crate::target::files::{self, Applier, Expect};
use crate::target::history::{self, Committed, History, HistoryOptions};
use crate::target::index::{self, Index, RowImage, Taken};
use crate::target::spread;

use repacking::Repacking;

/// How far the index's write-ahead log may grow before it is checkpointed, in bytes.
const WAL_BYTES_MAX: u64 = 1 << 20;
/// How long SQLite's lock is waited for by what can as well be done another time.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// How batches are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many pending records make a batch due.
    pub records_due: usize,
    /// The most records in one commit: what is pending beyond those that made it due goes along, since many small
    /// commits of one folder cost more than a large one.
    pub records_max: usize,
    /// The most bytes of intents held in memory.
    pub bytes_max: usize,
    /// The size in bytes from which on the journal goes on in a new segment.
    pub segment_bytes_max: u64,
    /// How long a segment stays after its last record was committed.
    pub keep: Duration,
    /// How long to wait for SQLite's lock, before rows are owed.
    pub index_wait: Duration,
    /// How the history is kept.
    pub history: HistoryOptions,
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
            history: HistoryOptions::default(),
        }
    }
}

/// What has been counted since the counting began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Commits made.
    pub commits: u64,
    /// Records committed.
    pub records: u64,
    /// Files that a recorder had not placed, or that were torn.
    pub files_written: u64,
    /// Rows that a recorder had not inserted.
    pub rows_inserted: u64,
    /// Entries whose writer died.
    pub torn: u64,
    /// Entries that their writers voided.
    pub voided: u64,
    /// Damaged stretches of the journal, each counted once.
    pub damaged: u64,
    /// Records parked, each counted once.
    pub parked: u64,
    /// Records that were parked and could be applied later.
    pub released: u64,
    /// Amendments that were void, since their record had been retracted before they came.
    pub raced: u64,
    /// Segments removed.
    pub segments_removed: u64,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// Times that somebody else's lock on a reference was waited for.
    pub waits: u64,
}

/// Why a batch could not be made. What was recorded is still in the journal.
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
    /// A record is to be brought back, and no store has its bytes.
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
    /// Whether somebody else holds the index's lock, and nothing else is wrong.
    pub fn is_index_busy(&self) -> bool {
        matches!(self, Error::Index(error) if error.is_busy())
    }

    /// Whether the index has a file that cannot be opened.
    pub fn is_index_unopenable(&self) -> bool {
        matches!(self, Error::Index(error) if error.is_unopenable())
    }

    /// Whether rows cannot be inserted for now, and nothing says that the index is lost.
    fn is_index_out_of_reach(&self) -> bool {
        self.is_index_busy() || self.is_index_unopenable()
    }

    /// Whether an operation that fails so is one that can never be applied, and has to be parked.
    fn is_for_good(&self) -> bool {
        match self {
            Error::Nowhere { .. } | Error::Index(index::Error::RowRefused { .. }) => true,
            Error::Apply { source, .. } => !source.is_transient(),
            Error::Fs(error) => !error.is_transient(),
            _ => false,
        }
    }

    /// Whether building the index anew is what helps.
    pub fn is_index_lost(&self) -> bool {
        match self {
            Error::Index(error) => error.is_lost(),
            Error::Apply { source: files::Error::Index(error), .. }
            | Error::Page { source: files::Error::Index(error), .. } => error.is_lost(),
            _ => false,
        }
    }

    /// Whether a person has to change something before trying again can help.
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

/// Whether this program applies `op`. Others are parked until one comes that does.
pub(crate) fn applies(op: &Op) -> bool {
    match op {
        Op::Record(_) | Op::Amend(_) | Op::Retract(_) | Op::Restore(_) => true,
        Op::Erase { .. } => false,
    }
}

/// A record that waits to be committed.
#[derive(Debug)]
struct Pending {
    intent: Intent,
    /// Where its entry ends.
    end: Position,
    /// The segment that this is in.
    segment: SegmentNumber,
    /// What lay before it.
    before: PassedOver,
}

/// Entries that are no records. They are counted when the record behind them is committed, and so exactly once.
#[derive(Clone, Copy, Debug, Default)]
struct PassedOver {
    torn: u64,
    voided: u64,
}

/// What one commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The commit, or `None` if the branch had everything already.
    pub commit: Option<String>,
    /// How many records it introduced.
    pub records: usize,
}

/// Makes batches of one home's journal, for whoever has the worker's lock.
#[derive(Debug)]
pub struct Committer<'h> {
    home: &'h Home,
    options: Options,
    applier: Applier<'h>,
    quarantine: Quarantine,
    index: Option<Index>,
    history: History,
    journal_id: JournalId,
    state: State,
    records: Records<'h>,
    /// The journal up to here is committed.
    committed: Position,
    committed_segment: SegmentNumber,
    /// Paths that history had once and its owner removed: they stay removed.
    removed: HashSet<String>,
    /// Keyed records that are committed and whose rows are owed, and where each is: the index cannot tell that they are there.
    owed_keys: HashMap<RecordId, Place>,
    void: Option<VoidReason>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// An operation that changes a record: it comes when all before it is committed, and nothing is read before that.
    change: Option<Box<Logged>>,
    /// Whether an operation that joins others was put into the journal, behind what was to be committed.
    has_joined: bool,
    passed_over: PassedOver,
    last_commit: Instant,
    counts: Counts,
    repacking: Option<Repacking>,
    adopted: Option<adopted::Adopted>,
    exclusive: &'h Exclusive<'h>,
}

impl<'h> Committer<'h> {
    /// The home that batches are made in.
    pub fn home(&self) -> &'h Home {
        self.home
    }

    /// The home's history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Rolls packs together beside the commits from now on, until this is dropped. A commit that finds as many as may
    /// be waits for it, though not for long.
    pub fn keep_packs_few(&mut self) {
        self.repacking = Some(Repacking::of(&self.history));
    }

    /// How batches are made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Up to where the journal is committed.
    pub fn committed(&self) -> Position {
        self.committed
    }

    /// Whether the journal is committed up to `offset` in the segment `number`.
    pub fn has_committed(&self, (number, offset): (SegmentNumber, u64)) -> bool {
        (self.committed_segment, self.committed.offset) >= (number, offset)
    }

    /// What has been counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What has been counted, to count something that happens elsewhere.
    pub fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// What waits to be committed, as far as it has been read.
    pub fn backlog(&self) -> Backlog {
        Backlog {
            records: self.pending.len() + usize::from(self.change.is_some()),
            full: self.change.is_some() || self.is_full() || self.pending.len() >= self.options.records_due,
            severity_max: self.pending.iter().map(|pending| pending.intent.record.severity().get()).max().unwrap_or(0),
        }
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= self.options.records_max || self.pending_bytes >= self.options.bytes_max
    }

    /// Reads what was appended since, until a batch is full. What is damaged goes to quarantine. What lies before a segment
    /// of a newer program is committed first; that segment is not passed.
    ///
    /// # Errors
    /// [`Error::Journal`], and [`Error::Fs`] if quarantine cannot take it.
    pub fn look(&mut self) -> Result<(), Error> {
        while !self.is_full() && self.change.is_none() {
            let found = match self.records.next() {
                Err(journal::Error::Newer { .. }) if !self.pending.is_empty() || self.change.is_some() => break,
                found => found?,
            };
            let Some(found) = found else { break };
            self.take(found)?;
        }
        Ok(())
    }

    fn take(&mut self, found: Found) -> Result<(), Error> {
        match found {
            Found::Voided => self.passed_over.voided += 1,
            Found::Torn => self.passed_over.torn += 1,
            Found::Damaged { segment, offset, bytes, why } => self.take_damage(segment, offset, &bytes, why)?,
            Found::Op(logged) => self.take_op(*logged)?,
            Found::Unknown { position, json, why } => self.park_entry(position, &json, &why.to_string())?,
        }
        Ok(())
    }

    fn take_damage(&mut self, segment: SegmentId, offset: u64, bytes: &[u8], why: &'static str) -> Result<(), Error> {
        if self.quarantine.damage(segment, offset, bytes, why)? {
            self.counts.damaged += 1;
            tracing::error!(%segment, offset, bytes = bytes.len(), why, "a damaged entry is in quarantine");
            // What the journal has lost may be in its file or its row.
            self.distrust(VoidReason::JournalDamaged)?;
        }
        Ok(())
    }

    fn take_op(&mut self, logged: Logged) -> Result<(), Error> {
        match logged {
            Logged { op: Op::Record(intent), position: end, segment, bytes } => {
                self.pending_bytes += bytes;
                let before = std::mem::take(&mut self.passed_over);
                self.pending.push(Pending { intent: *intent, end, segment, before });
                Ok(())
            }
            logged if applies(&logged.op) => {
                self.change = Some(Box::new(logged));
                Ok(())
            }
            Logged { op, position, .. } => {
                let why = format!("this version does not apply the operation `{}`", op.name());
                self.park_entry(position, &op.to_json(), &why)
            }
        }
    }

    fn park_entry(&mut self, end: Position, json: &[u8], why: &str) -> Result<(), Error> {
        if self.quarantine.park_entry(end.segment, end.offset, json, why)? {
            self.counts.parked += 1;
            tracing::error!(position = %end, why, "an entry cannot be understood: parked");
        }
        Ok(())
    }

    /// Applies and commits what has been read. `None` if there is nothing.
    ///
    /// # Errors
    /// Every [`Error`]. What was read is still pending then, and trying again does what is left of it.
    pub fn commit(&mut self) -> Result<Option<Outcome>, Error> {
        let Some(last) = self.pending.last() else { return self.commit_waiting() };
        let (position, segment) = (last.end, last.segment);
        let Some(proof) = self.sync_journal()? else { return self.commit() };
        let applied = self.apply_pending(&proof)?;
        let outcome = self.commit_applied(applied, position)?;
        let files = self.pending.iter().flat_map(|pending| &pending.intent.files);
        spread::spread_full(self.home.dir(), files.map(|file| file.path.as_str()));
        for PassedOver { torn, voided } in self.pending.drain(..).map(|pending| pending.before) {
            self.counts.torn += torn;
            self.counts.voided += voided;
        }
        self.pending_bytes = 0;
        (self.committed, self.committed_segment) = (position, segment);
        self.last_commit = Instant::now();
        Ok(Some(outcome))
    }

    /// Applies and commits the operation that waits for everything before it to be committed. `None` if none does.
    fn commit_waiting(&mut self) -> Result<Option<Outcome>, Error> {
        let Some(logged) = self.change.take() else { return Ok(None) };
        self.change = Some(logged.clone());
        let Some(proof) = self.sync_journal()? else { return self.commit() };
        let outcome = self.commit_change(&logged, &proof)?;
        self.change = None;
        let PassedOver { torn, voided } = std::mem::take(&mut self.passed_over);
        self.counts.torn += torn;
        self.counts.voided += voided;
        (self.committed, self.committed_segment) = (logged.position, logged.segment);
        self.last_commit = Instant::now();
        Ok(Some(outcome))
    }

    /// Makes durable all that has been read and is not committed. `None` if a sync failed, and everything has been
    /// copied to a new segment instead and read from there.
    fn sync_journal(&mut self) -> Result<Option<Synced<Position>>, Error> {
        match self.exclusive.journal().sync(self.committed_segment, self.records.reader()) {
            Ok(synced) => Ok(Some(synced)),
            Err(error @ journal::Error::Unsynced { number, .. }) => {
                let why = crate::model::text::chain(&error);
                tracing::error!(segment = number, why, "a segment cannot be synced: copying it to a new one");
                self.copy_to_new_segment()?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// After a failed sync nothing on that file is trusted again: what is not committed is copied to a new segment, and
    /// the old ones are read no more.
    fn copy_to_new_segment(&mut self) -> Result<(), Error> {
        let journal = self.home.journal();
        let fresh = self.exclusive.journal().rotate()?;
        let mut appender = Appender::open(journal)?;
        let mut copied = 0_usize;
        let from = Reader::from_position(journal, self.committed)?;
        let mut reader = from.map_or_else(|| Reader::from_start(journal), |reader| Ok(Some(reader)))?;
        let mut group = Vec::new();
        while let Some(reader) = reader.as_mut()
            && reader.segment() < fresh
        {
            match reader.next()? {
                Some(Item::Entry { json }) if reader.segment() < fresh => group.push(json),
                // The segment goes, and with it what may not have been read before.
                Some(Item::Damaged { segment, offset, bytes, why }) => {
                    self.take_damage(segment, offset, &bytes, why)?;
                }
                Some(_) => {}
                None => break,
            }
            if group.len() == 256 || group.iter().map(Vec::len).sum::<usize>() > self.options.bytes_max {
                copied += copy(&mut appender, &mut group)?;
            }
        }
        copied += copy(&mut appender, &mut group)?;
        let start = journal.beginning(fresh)?.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?;
        let records = Records::from_position(journal, start)?;
        self.records = records.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?;
        (self.committed, self.committed_segment) = (start, fresh);
        self.pending.clear();
        self.change = None;
        (self.pending_bytes, self.passed_over) = (0, PassedOver::default());
        tracing::warn!(entries = copied, segment = %fresh, "copied what was not committed to a new segment");
        self.look()
    }

    /// Ensures files, rows and pages of everything pending.
    fn apply_pending(&mut self, proof: &Synced<Position>) -> Result<Applied<'static>, Error> {
        let mut seen = HashSet::new();
        let pending = std::mem::take(&mut self.pending);
        match self.ensure_index() {
            Ok(()) => {}
            Err(error) if error.is_index_unopenable() => {
                let found = self.find_keys_in_history(&pending);
                if let Err(error) = found {
                    self.pending = pending;
                    return Err(error);
                }
            }
            Err(error) => {
                self.pending = pending;
                return Err(error);
            }
        }
        let result = self.apply_all(&pending, proof, &mut seen);
        self.pending = pending;
        result
    }

    fn apply_all(
        &mut self,
        pending: &[Pending],
        proof: &Synced<Position>,
        seen: &mut HashSet<RecordId>,
    ) -> Result<Applied<'static>, Error> {
        let mut records = Vec::with_capacity(pending.len());
        for Pending { intent, .. } in pending {
            let removed = intent.files.first().is_some_and(|file| self.removed.contains(&file.path));
            if !removed && seen.insert(intent.id) && !self.is_superseded(intent)? {
                records.push(intent.clone());
            }
        }
        let mut intents = Vec::with_capacity(records.len());
        for intent in self.without_hidden(records, proof)? {
            intents.extend(self.apply_files(&intent, proof)?);
        }
        if self.rows_owed().is_some() {
            self.owe_rows(&intents)?;
            return Ok(Applied { intents, ..Applied::default() });
        }
        match self.insert_rows(&intents) {
            Ok(()) => {
                let pages = self.render_pages(&intents)?;
                Ok(Applied { intents, pages, change: None })
            }
            Err(error) if error.is_index_out_of_reach() => {
                self.owe_rows(&intents)?;
                Ok(Applied { intents, ..Applied::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an intent of the same id came before it and is the record. Then it must not be applied even where the
    /// record's file is gone: a power cut can take that, and the history has the bytes that belong there.
    fn is_superseded(&self, intent: &Intent) -> Result<bool, Error> {
        if intent.key.is_none() {
            return Ok(false);
        }
        let owed = self.owed_keys.get(&intent.id).cloned();
        let place = match owed {
            Some(place) => Some(place),
            // Without an index, the history has been asked for all keys of the batch.
            None => match &self.index {
                Some(index) => index.find(intent.id)?.map(|it| Place { path: it.path, created_at: it.created_at }),
                None => None,
            },
        };
        Ok(place.is_some_and(|Place { path, created_at }| {
            if created_at != intent.created_at {
                return true;
            }
            let full = RecordPath(&RecordPath(intent.path()).page()).with_full_id(intent.id);
            path != intent.path() && path != RecordPath(&full).shown()
        }))
    }

    /// Ensures the files of `intent`, and returns it with the paths that they came to have; `None` if it is parked.
    fn apply_files(&mut self, intent: &Intent, proof: &Synced<Position>) -> Result<Option<Intent>, Error> {
        match self.applier.files(intent, Expect::Itself, proof) {
            Ok(place) => {
                self.counts.files_written += place.written as u64;
                let paths = place.files.into_iter();
                let files =
                    intent.files.iter().zip(paths).map(|(file, path)| FileImage { path, text: file.text.clone() });
                Ok(Some(Intent { files: files.collect(), ..intent.clone() }))
            }
            Err(error) if error.is_transient() => Err(Error::Apply { id: intent.id, source: error }),
            Err(error) => {
                self.park(intent, "file", &error)?;
                Ok(None)
            }
        }
    }

    fn park(&mut self, intent: &Intent, part: &str, error: &dyn std::error::Error) -> Result<(), Error> {
        let why = crate::model::text::chain(error);
        if self.quarantine.park(intent, part, &why)? {
            self.counts.parked += 1;
            tracing::error!(id = %intent.id, part, why, "a record cannot be applied: parked");
        }
        Ok(())
    }

    fn insert_rows(&mut self, intents: &[Intent]) -> Result<(), Error> {
        let rows: Vec<_> = intents.iter().map(|intent| RowImage::of(intent, intent.path())).collect();
        let Taken { inserted, refused } = self.index()?.insert_what_is_taken(&rows)?;
        self.counts.rows_inserted += inserted.iter().filter(|inserted| inserted.is_new).count() as u64;
        let refused: HashMap<RecordId, index::Error> = refused.into_iter().collect();
        for intent in intents {
            if let Some(error) = refused.get(&intent.id) {
                self.park(intent, "row", error)?;
            }
        }
        Ok(())
    }

    fn render_pages(&mut self, intents: &[Intent]) -> Result<Vec<FileImage>, Error> {
        let mut folders: Vec<_> = domain_folders(intents).map(str::to_owned).collect();
        folders.sort_unstable();
        folders.dedup();
        self.render_folders(folders)
    }

    pub(crate) fn render_folders(&mut self, folders: Vec<String>) -> Result<Vec<FileImage>, Error> {
        self.ensure_index()?;
        let mut pages = Vec::new();
        for folder in folders {
            match self.applier.domain_page(self.opened()?, &folder) {
                Ok(page) => pages.extend(page),
                Err(error) if error.is_transient() => return Err(Error::Page { folder, source: error }),
                Err(error) => {
                    tracing::error!(folder, error = crate::model::text::chain(&error), "a page cannot be rendered")
                }
            }
        }
        Ok(pages)
    }

    /// Commits what is applied. What has no room in the branch's tree is parked, and the rest committed.
    fn commit_applied(&mut self, applied: Applied<'_>, position: Position) -> Result<Outcome, Error> {
        let Applied { mut intents, mut pages, change } = applied;
        self.repacking.iter().for_each(Repacking::before_commit);
        let committed = loop {
            let records: Vec<&Intent> = intents.iter().collect();
            let (home, journal) = (self.home.id(), self.journal_id);
            let batch =
                history::Batch { records: &records, pages: &pages, change: change.as_ref(), home, journal, position };
            let result = self.history.commit(&batch);
            self.counts.waits += self.history.take_waits();
            match result {
                Err(history::Error::Obstructed { obstacles }) if change.is_none() => {
                    let blocked: HashSet<_> = obstacles.iter().map(|obstacle| obstacle.path.as_str()).collect();
                    let is_blocked = |intent: &Intent| intent.files.iter().any(|it| blocked.contains(it.path.as_str()));
                    let error = history::Error::Obstructed { obstacles: obstacles.clone() };
                    for intent in intents.iter().filter(|intent| is_blocked(intent)) {
                        self.park(intent, "commit", &error)?;
                    }
                    intents.retain(|intent| !is_blocked(intent));
                    pages.retain(|page| !blocked.contains(page.path.as_str()));
                }
                result => break result?,
            }
        };
        self.remember(&committed, position)?;
        Ok(match committed {
            Committed::Nothing => Outcome { commit: None, records: 0 },
            Committed::New { commit, records, .. } => {
                self.repacking.iter_mut().for_each(Repacking::after_commit);
                self.counts.commits += 1;
                self.counts.records += records as u64;
                tracing::info!(%commit, records, "committed");
                Outcome { commit: Some(commit.to_string()), records }
            }
        })
    }

    /// Remembers what no commit of ours says: that there is one at all, and how far the journal needed none.
    fn remember(&mut self, committed: &Committed, position: Position) -> Result<(), Error> {
        let passed = match committed {
            Committed::New { .. } => None,
            Committed::Nothing => self.history.tip()?.map(|tip| Passed { position, commit: tip.commit.to_string() }),
        };
        if !self.state.committed || passed.is_some() {
            self.state = State { committed: true, passed: passed.or(self.state.passed.take()), ..self.state.clone() };
            self.state.write(self.exclusive)?;
        }
        Ok(())
    }

    /// Reads and commits everything that is in the journal by now, and inserts the rows that are owed, if it can. What is
    /// recorded meanwhile need not be among it. Returns the last commit, and how many records all of them introduced.
    ///
    /// # Errors
    /// Every [`Error`]; what is left is still in the journal.
    pub fn commit_everything(&mut self, mut progress: impl FnMut(usize)) -> Result<Outcome, Error> {
        let mut all = Outcome { commit: None, records: 0 };
        // Where records keep coming there would always be more.
        let mut end = self.home.journal().sizes()?.last().copied();
        loop {
            self.look()?;
            let Some(outcome) = self.commit()? else { break };
            all = Outcome { commit: outcome.commit.or(all.commit), records: all.records + outcome.records };
            progress(all.records);
            self.maintain()?;
            if std::mem::take(&mut self.has_joined) {
                end = self.home.journal().sizes()?.last().copied();
            }
            if end.is_some_and(|end| self.has_committed(end)) {
                break;
            }
        }
        let pages = self.insert_owed()?;
        Ok(Outcome { commit: pages.commit.or(all.commit), ..all })
    }

    /// Opens the index if it is not open, or no longer the one at its path.
    fn ensure_index(&mut self) -> Result<(), Error> {
        if self.index.as_ref().is_none_or(Index::has_moved) {
            self.index = None;
            let index = Index::open(&self.home.index_path(), self.options.index_wait)?;
            index.check_schema()?;
            self.index = Some(index);
        }
        Ok(())
    }

    /// The index, open and of a version that this program knows.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn index(&mut self) -> Result<&mut Index, Error> {
        self.ensure_index()?;
        let path = self.home.index_path();
        self.index.as_mut().ok_or_else(|| index::Error::Missing(path).into())
    }

    /// Brings an index of an older version up to date. If another process holds SQLite's lock, the next recovery does
    /// it.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    pub fn update_index(&mut self) -> Result<(), Error> {
        let is_adopted = home::is_adopted(self.home.private())?;
        match self.index().and_then(|index| Ok(index.update_layout(is_adopted)?)) {
            Err(error) if error.is_index_busy() => Ok(()),
            updated => updated,
        }
    }

    /// The index, which has been opened.
    fn opened(&self) -> Result<&Index, Error> {
        self.index.as_ref().ok_or_else(|| index::Error::Missing(self.home.index_path()).into())
    }

    /// Closes the index, so that it can be built anew.
    pub fn close_index(&mut self) {
        self.index = None;
    }

    /// Whether there is nothing to commit, to insert or to maintain up, unless something happens.
    pub fn is_at_rest(&self) -> bool {
        let holds_nothing = self.committed.checksum == 0 || self.committed_segment != self.records.segment();
        self.pending.is_empty()
            && self.change.is_none()
            && self.rows_owed().is_none()
            && (holds_nothing || self.last_commit.elapsed() < self.options.keep)
    }

    /// The newest segment that has been read.
    pub fn segment(&self) -> SegmentNumber {
        self.records.segment()
    }

    /// Housekeeping between batches: checkpoints the index, goes on to a new segment, removes those that are finished.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Index`], [`Error::Fs`]; nothing is lost by that, and it is tried again next time.
    pub fn maintain(&mut self) -> Result<(), Error> {
        let wal = self.home.dir().find(&format!("{}-wal", home::INDEX))?;
        if wal.is_some_and(|wal| wal.size > WAL_BYTES_MAX) && self.index.is_some() {
            self.sync_index()?;
        }
        if self.wants_rotation()? {
            let number = self.exclusive.journal().rotate()?;
            self.state.segments = self.home.journal().ids()?;
            self.state.write(self.exclusive)?;
            tracing::debug!(segment = %number, "the journal goes on in a new segment");
        }
        self.prune()
    }

    fn wants_rotation(&self) -> Result<bool, Error> {
        let sizes = self.home.journal().sizes()?;
        let Some((newest, size)) = sizes.last() else { return Ok(false) };
        let holds_something = *newest == self.committed_segment && self.committed.checksum != 0;
        let finished = self.pending.is_empty()
            && self.change.is_none()
            && holds_something
            && self.last_commit.elapsed() >= self.options.keep;
        Ok(*size >= self.options.segment_bytes_max || finished)
    }

    /// Removes the segments before the one that the committed position is in.
    fn prune(&mut self) -> Result<(), Error> {
        if self.rows_owed().is_some() {
            return Ok(());
        }
        let (exclusive, committed) = (self.exclusive, self.committed_segment);
        self.counts.segments_removed += remove_finished(exclusive, committed, || self.sync_index())?;
        Ok(())
    }

    /// Makes rows durable. False where somebody holds SQLite's lock: another time will do.
    fn sync_index(&mut self) -> Result<bool, Error> {
        let index = self.index()?;
        match index.is_free(LOCK_WAIT)?.then(|| index.sync()).transpose() {
            Err(error) if error.is_busy() => Ok(false),
            synced => Ok(synced?.is_some()),
        }
    }
}

/// Where the record of an id is.
#[derive(Clone, Debug)]
struct Place {
    /// Its page, or its folder if it is an experiment; relative to the home.
    path: String,
    /// When it was recorded, which tells it from a repeat at the same path.
    created_at: Timestamp,
}

/// The folders of the domains whose pages show some of `intents`.
fn domain_folders(intents: &[Intent]) -> impl Iterator<Item = &str> {
    intents.iter().filter_map(|intent| RecordPath(intent.path()).domain_folder())
}

/// Removes the segments before `committed`, oldest first, after everything that was written from them is durable: the
/// files and, by `sync_rows`, the rows; none where that says no. Returns how many.
fn remove_finished(
    exclusive: &Exclusive<'_>,
    committed: SegmentNumber,
    sync_rows: impl FnOnce() -> Result<bool, Error>,
) -> Result<u64, Error> {
    let (home, finished) = (exclusive.home(), exclusive.journal().finished(committed)?);
    if finished.is_empty() {
        return Ok(0);
    }
    // What lies on other file systems goes first.
    let elsewhere = fs::place::elsewhere(&home.private_folder("tmp")?, [home.dir(), home.private()])?;
    match finished.sync(elsewhere.iter().chain([home.dir()]), sync_rows)? {
        Some(synced) => Ok(synced.prune()?),
        None => Ok(0),
    }
}

/// What a batch came to on disk.
#[derive(Default)]
struct Applied<'o> {
    intents: Vec<Intent>,
    pages: Vec<FileImage>,
    /// What an operation changes.
    change: Option<history::Changes<'o>>,
}

impl<'o> Applied<'o> {
    fn of(change: Option<history::Changes<'o>>) -> Applied<'o> {
        Applied { change, ..Applied::default() }
    }
}

fn copy(appender: &mut Appender<'_>, group: &mut Vec<Vec<u8>>) -> Result<usize, Error> {
    if group.is_empty() {
        return Ok(0);
    }
    let _ = appender.append(group)?.sync()?;
    Ok(std::mem::take(group).len())
}
