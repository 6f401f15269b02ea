//! Where a committer begins, and what it makes sure of first.
//!
//! The newest commit that names our journal carries a position. It is trusted if the journal's bytes bear it out, the
//! branch still reaches the anchor, and the journal is the one that was there before. Otherwise everything in the
//! journal is looked up in the history, and whoever opened the committer is told to look at the files as well.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use super::{Committer, Counts, Error, Options, Pending};
use crate::fs::lock::WorkerLock;
use crate::fs::{Durable, os};
use crate::home::Home;
use crate::intent::Intent;
use crate::journal::{self, Item, Reader, SegmentNumber};
use crate::state::State;
use crate::store::apply::Applier;
use crate::store::history::{Anchor, History};
use crate::store::quarantine::Quarantine;

/// How much of the journal is applied again at a time.
const REAPPLY_RECORDS: usize = 1000;

/// What is told to whoever waits.
pub trait Progress {
    /// A step begins that goes through `total` things; 0 if nobody knows how many.
    fn begin(&mut self, step: &'static str, total: u64);
    /// So many things have been gone through.
    fn at(&mut self, done: u64);
    /// The step is done.
    fn end(&mut self) {}
}

impl Progress for () {
    fn begin(&mut self, _: &'static str, _: u64) {}
    fn at(&mut self, _: u64) {}
}

/// Why a position could not be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidReason {
    /// The home's history was made anew, or has lost its commits.
    HistoryLost,
    /// The branch no longer reaches what was last finished, or that is not known.
    BranchRewound,
    /// No commit of the branch names this journal.
    JournalUnknown,
    /// The journal's bytes do not bear the position out.
    PositionVoid,
}

impl VoidReason {
    /// The reason, for logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            VoidReason::HistoryLost => "the history was lost",
            VoidReason::BranchRewound => "the branch was moved back or rewritten",
            VoidReason::JournalUnknown => "the history does not know this journal",
            VoidReason::PositionVoid => "the journal does not bear out the history's position",
        }
    }
}

struct Start<'h> {
    reader: Reader<'h>,
    void: Option<VoidReason>,
}

impl<'h> Committer<'h> {
    /// A committer for `home`, whose worker's lock is `lock`. Makes what the journal and the history lack to go on.
    ///
    /// # Errors
    /// Every [`Error`]; what was recorded is still in the journal.
    pub fn open(home: &'h Home, lock: &'h WorkerLock, options: Options) -> Result<Committer<'h>, Error> {
        let (private, journal) = (home.private(), home.journal());
        let temporary = home.private_folder("tmp")?;
        journal.ensure_first()?;
        journal.ensure_header()?;
        let journal_id = journal.own(private, &temporary)?;
        let (history, made) = History::init(home.path(), temporary.path(), options.history.clone())?;
        let known = State::read(private)?.filter(|state| state.journal == journal_id);
        let start = start(home, &history, journal_id, made, known.as_ref())?;
        let state = known.unwrap_or_else(|| State { boot: String::new(), ..State::of_new(journal_id) });
        let mut committer = Committer {
            home,
            applier: Applier::new(home)?,
            quarantine: Quarantine::new(home)?,
            index: None,
            history,
            journal_id,
            state,
            committed: start.reader.position(),
            committed_segment: start.reader.segment(),
            reader: start.reader,
            removed: HashSet::new(),
            void: start.void,
            pending: Vec::new(),
            pending_bytes: 0,
            last_commit: Instant::now(),
            counts: Counts::default(),
            options,
            _lock: lock,
        };
        if let Some(reason) = committer.void {
            tracing::warn!(reason = reason.name(), "everything in the journal is looked up in the history");
            committer.removed = committer.find_removed()?;
        }
        Ok(committer)
    }

    /// Why the files have to be held against the history, if they have to.
    pub fn void(&self) -> Option<VoidReason> {
        self.void
    }

    /// Whether files and rows of the journal may be missing, since the machine was started anew.
    pub fn is_after_boot(&self) -> bool {
        self.state.boot != os::boot_id() || self.state.boot.is_empty()
    }

    /// Everything has been looked at: from now on, positions are trusted.
    ///
    /// # Errors
    /// [`Error::Fs`] if it cannot be remembered; then it is all looked at again next time.
    pub fn settled(&mut self) -> Result<(), Error> {
        let state = State { boot: os::boot_id(), ..self.state.clone() };
        if state != self.state || self.void.is_some() {
            state.write(self.home.private(), &self.home.private_folder("tmp")?)?;
        }
        (self.state, self.void) = (state, None);
        Ok(())
    }

    /// Of all records in the journal, the paths that the history had once and has no longer.
    fn find_removed(&self) -> Result<HashSet<String>, Error> {
        if self.history.tip()?.is_none() {
            return Ok(HashSet::new());
        }
        let mut candidates = BTreeSet::new();
        let mut reader = Reader::from_start(self.home.journal())?;
        while let Some(item) = reader.as_mut().map(Reader::next).transpose()?.flatten() {
            candidates.extend(first_path(&item));
        }
        let paths: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let missing: Vec<String> = self.history.missing(&paths)?.into_iter().map(str::to_owned).collect();
        let mut candidates: BTreeSet<String> = missing.into_iter().collect();
        Ok(self.history.introduced(&mut candidates, |_| ())?.into_iter().collect())
    }

    /// Applies again what is in the journal and committed: after a power cut, files can be empty and rows missing that
    /// were there before. What is committed and no longer in the branch's tree was removed by its owner and stays so.
    /// Returns how many records were looked at.
    ///
    /// # Errors
    /// Every [`Error`]; doing it again goes through all of it again.
    pub fn reapply(&mut self, progress: &mut dyn Progress) -> Result<usize, Error> {
        progress.begin("applying the journal", 0);
        let waiting = (std::mem::take(&mut self.pending), std::mem::take(&mut self.pending_bytes));
        let result = self.reapply_committed(progress);
        (self.pending, self.pending_bytes) = waiting;
        progress.end();
        result
    }

    fn reapply_committed(&mut self, progress: &mut dyn Progress) -> Result<usize, Error> {
        let (mut looked_at, end) = (0, self.committed);
        let Some(proof) = self.sync_through(self.committed_segment)? else { return Ok(0) };
        let mut reader = Reader::from_start(self.home.journal())?;
        let mut more = reader.as_ref().is_some_and(|reader| reader.position() != end);
        while let Some(reader) = reader.as_mut()
            && more
        {
            while more && self.pending.len() < REAPPLY_RECORDS {
                let item = reader.next()?;
                more = item.is_some() && reader.position() != end;
                if let Some(Item::Entry { json }) = item
                    && let Ok(intent) = serde_json::from_slice::<Intent>(&json)
                {
                    self.pending.push(Pending { intent, end: reader.position(), segment: reader.segment() });
                }
            }
            looked_at += self.pending.len();
            self.reapply_pending(&proof)?;
            progress.at(looked_at as u64);
        }
        Ok(looked_at)
    }

    /// Makes durable every segment up to `last`.
    fn sync_through(&self, last: SegmentNumber) -> Result<Option<Durable<()>>, Error> {
        let journal = self.home.journal();
        let mut proof = None;
        for number in journal.segments()?.into_iter().filter(|number| *number <= last) {
            proof = Some(journal.sync(number)?);
        }
        Ok(proof)
    }

    fn reapply_pending(&mut self, proof: &Durable<()>) -> Result<(), Error> {
        let paths: Vec<&str> =
            self.pending.iter().filter_map(|pending| Some(pending.intent.files.first()?.path.as_str())).collect();
        let missing: HashSet<String> = self.history.missing(&paths)?.into_iter().map(str::to_owned).collect();
        let in_tree = |pending: &Pending| pending.intent.files.first().is_some_and(|it| !missing.contains(&it.path));
        self.pending.retain(in_tree);
        if !self.pending.is_empty() {
            self.apply_pending(proof)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Applies the journal again if the machine was started anew since.
    ///
    /// # Errors
    /// As [`Committer::reapply`].
    pub fn reapply_after_boot(&mut self, progress: &mut dyn Progress) -> Result<usize, Error> {
        match self.is_after_boot() {
            true => self.reapply(progress),
            false => Ok(0),
        }
    }
}

fn first_path(item: &Item) -> Option<String> {
    let Item::Entry { json } = item else { return None };
    let intent = serde_json::from_slice::<Intent>(json).ok()?;
    intent.files.into_iter().next().map(|file| file.path)
}

/// Decides where to begin.
fn start<'h>(
    home: &'h Home,
    history: &History,
    journal_id: uuid::Uuid,
    made: bool,
    known: Option<&State>,
) -> Result<Start<'h>, Error> {
    let journal = home.journal();
    let from_start = |void| {
        let reader = Reader::from_start(journal)?;
        let reader = reader.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?;
        Ok(Start { reader, void })
    };
    if history.tip()?.is_none() {
        // A home without a commit is a new one, unless it is known to have had some, or not known at all.
        let new = known.is_some_and(|state| !state.committed) && !made;
        return from_start((!new).then_some(VoidReason::HistoryLost));
    }
    if known.is_none() {
        return from_start(Some(VoidReason::JournalUnknown));
    }
    if !matches!(history.anchor(journal_id)?, Anchor::Current { .. }) {
        return from_start(Some(VoidReason::BranchRewound));
    }
    match history.newest_position(journal_id)? {
        None => from_start(Some(VoidReason::JournalUnknown)),
        Some(position) => match Reader::from_position(journal, position)? {
            Some(reader) => Ok(Start { reader, void: None }),
            None => from_start(Some(VoidReason::PositionVoid)),
        },
    }
}
