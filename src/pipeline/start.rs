//! Where a committer begins, and what it makes sure of first.
//!
//! The newest commit that names our journal carries a position. It is trusted if the journal's bytes bear it out, the
//! branch still reaches the anchor, and the journal is the one that was there before. Otherwise everything in the
//! journal is looked up in the history, and whoever opened the committer is told to look at the files as well.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use super::adopted::Adopted;
use super::{Committer, Counts, Error, Options, PassedOver};
use crate::exclusive::Exclusive;
use crate::fs::{self, Point, crash, os};
use crate::home::Home;
use crate::journal::{self, Reader, Records};
use crate::model::JournalId;
use crate::model::position::{Position, SegmentId};
use crate::quarantine::Quarantine;
use crate::state::{Passed, State};
use crate::target::files::Applier;
use crate::target::history::{Anchor, History};

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
    /// What says where the branch was last is gone, so it may have been moved back.
    AnchorLost,
    /// The branch no longer reaches what was last finished.
    BranchRewound,
    /// Nothing is remembered of this journal.
    JournalUnknown,
    /// No commit names the journal, or its bytes do not bear the position out.
    PositionVoid,
    /// Something in the journal is damaged.
    JournalDamaged,
    /// It was one of these before, and whoever looked at everything then did not come to the end.
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
            VoidReason::Unfinished => "a look at everything was begun and not finished",
            VoidReason::PositionVoid => "the journal does not bear out the history's position",
        }
    }
}

struct Start<'h> {
    reader: Reader<'h>,
    void: Option<VoidReason>,
}

impl<'h> Committer<'h> {
    /// A committer for the home of `exclusive`. Makes what the journal and the history lack to go on.
    ///
    /// # Errors
    /// Every [`Error`]; what was recorded is still in the journal.
    pub fn open(exclusive: &'h Exclusive<'h>, options: Options) -> Result<Committer<'h>, Error> {
        let home = exclusive.home();
        let (private, journal) = (home.private(), home.journal());
        let temporary = home.private_folder("tmp")?;
        journal.ensure_first()?;
        journal.ensure_header()?;
        let journal_id = journal.ensure_id(private, &temporary)?;
        let (history, made) = History::init(home.path(), temporary.path(), home.id(), options.history.clone())?;
        let known = State::read(private)?.filter(|state| state.journal == journal_id);
        let start = start(home, &history, journal_id, made, known.as_ref())?;
        let mut state = known.unwrap_or_else(|| State { boot: String::new(), ..State::of_new(journal_id) });
        if start.void.is_some() {
            // What lies before the mark is committed anew, and its rows may be owed as well.
            state.rows_owed = state.rows_owed.map(|_| start.reader.position());
            state.distrusted = true;
            state.write(exclusive)?;
        }
        let unfinished = state.distrusted.then_some(VoidReason::Unfinished);
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
            records: Records::of(start.reader),
            removed: HashSet::new(),
            owed_keys: HashMap::new(),
            void: start.void.or(unfinished),
            pending: Vec::new(),
            pending_bytes: 0,
            change: None,
            has_joined: false,
            passed_over: PassedOver::default(),
            last_commit: Instant::now(),
            counts: Counts::default(),
            options,
            repacking: None,
            adopted: Adopted::of(private)?,
            exclusive,
        };
        if let Some(reason) = committer.void {
            tracing::warn!(reason = reason.name(), "everything in the journal is looked up in the history");
            committer.removed = committer.find_removed()?;
        }
        committer.find_owed_keys()?;
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

    /// Everything has to be looked at; should whoever does so be killed, by the next.
    pub(super) fn distrust(&mut self, why: VoidReason) -> Result<(), Error> {
        self.void = self.void.or(Some(why));
        if !self.state.distrusted {
            self.state.distrusted = true;
            self.state.write(self.exclusive)?;
        }
        Ok(())
    }

    /// Everything has been looked at: from now on, positions are trusted.
    ///
    /// # Errors
    /// [`Error::Fs`] if it cannot be remembered; then it is all looked at again next time.
    pub fn settled(&mut self) -> Result<(), Error> {
        // What was looked up and found need not be looked up again.
        let looked_up = self.void.map(|_| self.history.tip()).transpose()?.flatten();
        let passed = looked_up.map(|tip| Passed { position: self.committed, commit: tip.commit.to_string() });
        let passed = passed.or(self.state.passed.clone());
        let segments = self.home.journal().ids()?;
        let state = State { boot: os::boot_id(), passed, segments, distrusted: false, ..self.state.clone() };
        if state != self.state || self.void.is_some() {
            state.write(self.exclusive)?;
        }
        (self.state, self.void) = (state, None);
        if let Err(error) = self.forget_replaced() {
            tracing::debug!(error = crate::model::text::chain(&error), "anchors of earlier journals stay for now");
        }
        Ok(())
    }

    /// Removes what this journal's earlier ids have left in git.
    fn forget_replaced(&self) -> Result<(), Error> {
        let private = self.home.private();
        let replaced = journal::replaced(private)?;
        if replaced.is_empty() {
            return Ok(());
        }
        let left = self.history.forget_anchors(self.journal_id, &replaced)?;
        crash::at(Point::AnchorsRemoved).map_err(fs::Error::io("forget earlier ids in", private.path()))?;
        if left != replaced {
            journal::keep_replaced(private, &self.home.private_folder("tmp")?, left)?;
        }
        Ok(())
    }

    /// Of all records in the journal, the paths that the history had once and has no longer.
    fn find_removed(&self) -> Result<HashSet<String>, Error> {
        if self.history.tip()?.is_none() {
            return Ok(HashSet::new());
        }
        let mut candidates = BTreeSet::new();
        let mut records = Records::from_start(self.home.journal())?;
        while let Some(intent) = records.as_mut().map(Records::next_intent).transpose()?.flatten() {
            candidates.extend(intent.files.into_iter().next().map(|file| file.path));
        }
        let paths: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let missing: Vec<String> = self.history.missing(&paths)?.into_iter().map(str::to_owned).collect();
        let mut candidates: BTreeSet<String> = missing.into_iter().collect();
        Ok(self.history.introduced(&mut candidates, |_| ())?.into_iter().collect())
    }
}

/// Decides where to begin.
fn start<'h>(
    home: &'h Home,
    history: &History,
    journal_id: JournalId,
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
    match history.anchor(journal_id)? {
        Anchor::Current { .. } => {}
        // The first batch died between its branch and its anchor.
        Anchor::Absent if known.is_some_and(|state| !state.committed) => {}
        Anchor::Absent => return from_start(Some(VoidReason::AnchorLost)),
        Anchor::Rewound { .. } => return from_start(Some(VoidReason::BranchRewound)),
    }
    match committed(home, history, journal_id, known)? {
        Some(reader) => Ok(Start { reader, void: None }),
        None => from_start(Some(VoidReason::PositionVoid)),
    }
}

/// A reader at the end of what is in git, as far as the newest commit that names the journal says, or what is remembered
/// of a batch that needed no commit; whichever is later. `None` if the journal bears out neither.
pub(crate) fn committed<'h>(
    home: &'h Home,
    history: &History,
    journal_id: JournalId,
    known: Option<&State>,
) -> Result<Option<Reader<'h>>, Error> {
    if let Some(known) = known
        && are_reordered(&known.segments, &home.journal().ids()?)
    {
        return Ok(None);
    }
    let mut positions: Vec<Position> = history.newest_position(journal_id)?.into_iter().collect();
    if let Some(passed) = known.and_then(|state| state.passed.as_ref())
        && history.reaches(&passed.commit)?
    {
        positions.push(passed.position);
    }
    let mut latest: Option<Reader<'h>> = None;
    for position in positions {
        let reader = Reader::from_position(home.journal(), position)?;
        let place = |reader: &Reader<'_>| (reader.segment(), reader.offset());
        latest = latest.into_iter().chain(reader).max_by_key(place);
    }
    Ok(latest)
}

/// Whether another segment is where a known one was: somebody moved them.
fn are_reordered(known: &[(u64, SegmentId)], found: &[(u64, SegmentId)]) -> bool {
    known.iter().any(|(number, id)| found.iter().any(|(other, it)| number == other && id != it))
}

/// How far the journal of a home has got, for those who only look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Up to where it is in git; `None` if that is not known.
    pub committed: Option<Position>,
    /// From where on rows are owed of what is in git, if any are.
    pub rows_owed: Option<Position>,
}

impl Reached {
    /// Up to where everything is in git and in the index; `None` if that is not known.
    pub fn settled(self) -> Option<Position> {
        self.rows_owed.or(self.committed)
    }
}

/// How far the journal of `home` has got.
///
/// # Errors
/// [`Error::Journal`], [`Error::History`], [`Error::Fs`].
pub fn reached(home: &Home, history: &History) -> Result<Reached, Error> {
    let Some(id) = journal::id(home.private())? else { return Ok(Reached::default()) };
    let known = State::read(home.private())?.filter(|state| state.journal == id);
    let Some(known) = known else { return Ok(Reached::default()) };
    let committed = committed(home, history, id, Some(&known))?.map(|reader| reader.position());
    Ok(Reached { committed, rows_owed: known.rows_owed })
}
