//! How far the targets are, for read-only callers.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::home::Home;
use crate::journal::{self, Found, Journal, Reader, Records, SegmentNumber};
use crate::model::Op;
use crate::model::position::Position;
use crate::state::State;
use crate::target::history::{History, HistoryOptions};
use crate::target::index::Index;
use crate::target::rows::{RowsMark, mark_in};
use crate::target::{Error, Log, Mark, Watermark, commits};

/// How far the journal of a home has been applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The position up to which it is in git; `None` if unknown.
    pub committed: Option<Position>,
    /// The position from which rows of what is in git may be missing, if any may.
    pub rows_lag: Option<Position>,
    /// Whether the journal no longer has all of those records, so that their rows have to be added from the files.
    pub rows_lost: bool,
}

impl Reached {
    /// The position up to which everything is in git and in the index; `None` if unknown.
    pub fn settled(self) -> Option<Position> {
        self.rows_lag.or(self.committed)
    }
}

/// How far the journal of `home` has been applied. Without its `index`, rows of everything in the journal may be
/// missing.
///
/// # Errors
/// [`Error::Journal`], [`Error::History`], [`Error::Fs`].
pub fn reached(home: &Home, history: &History, index: Option<&Index>) -> Result<Reached, Error> {
    let Some(id) = journal::id(home.private())? else { return Ok(Reached::default()) };
    let known = State::read(home.private())?.filter(|state| state.journal == id);
    let Some(known) = known else { return Ok(Reached::default()) };
    let log = Log { journal: home.journal(), id, state: Some(&known) };
    let committed = commits::reached(history, &log)?;
    let mut reached = Reached { committed: committed.map(|mark| mark.position), ..Reached::default() };
    if let Some(before) = known.rows_before {
        reached.rows_lag = before.lag;
        return Ok(reached);
    }
    let mark = index.and_then(|index| mark_in(index).ok().flatten());
    let rows = match RowsMark::watermark(mark.as_ref(), &log)? {
        Watermark::At(rows) => Some(rows),
        watermark => {
            reached.rows_lost = index.is_some() && watermark != Watermark::Beginning;
            Reader::from_start(home.journal())?.as_ref().map(Mark::of)
        }
    };
    let pages = mark.as_ref().and_then(|mark| mark.pages);
    let is_behind = |rows: &Mark| committed.is_some_and(|committed| rows.is_before(&committed)) || pages.is_some();
    reached.rows_lag = rows.filter(is_behind).map(|rows| pages.unwrap_or(rows.position));
    Ok(reached)
}

/// How many bytes of the journal of `home` are not in git yet: of those that were in it when `sizes` were taken, and that are
/// still there.
///
/// # Errors
/// As [`reached`].
pub fn bytes_pending(home: &Home, options: &HistoryOptions, sizes: &[(SegmentNumber, u64)]) -> Result<u64, Error> {
    let history = History::open(home.path(), options.clone())?;
    let all = sizes.iter().map(|(_, bytes)| bytes).sum();
    let Some(committed) = reached(home, &history, None)?.committed else { return Ok(all) };
    let ids = home.journal().ids()?;
    let segment = ids.iter().find(|(_, id)| *id == committed.segment).map(|(number, _)| SegmentNumber(*number));
    // A segment that is gone was committed.
    Ok(segment.map_or(0, |segment| bytes_after(segment, committed.offset, sizes)))
}

/// How many bytes of the segments `sizes` come after `offset` in the segment `number`.
pub(super) fn bytes_after(number: SegmentNumber, offset: u64, sizes: &[(SegmentNumber, u64)]) -> u64 {
    let left = |&(segment, bytes): &(SegmentNumber, u64)| match segment.cmp(&number) {
        Ordering::Less => 0,
        Ordering::Equal => bytes.saturating_sub(offset),
        Ordering::Greater => bytes,
    };
    sizes.iter().map(left).sum()
}

/// What the journal holds that is not applied yet.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Records and operations, also behind segments of newer programs. Entries that this program does not know count.
    pub operations: u64,
    /// When the oldest was made.
    pub oldest: Option<Timestamp>,
    /// The first segment of a newer program.
    pub newer: Option<journal::Error>,
}

/// What the journal holds from `begin`, or its beginning, to `end`, or its end. `counts` says which operations count.
///
/// # Errors
/// [`journal::Error`], except for segments of newer programs.
pub fn waiting(
    journal: &Journal,
    begin: Option<Position>,
    end: Option<Position>,
    mut counts: impl FnMut(&Op) -> bool,
) -> Result<Waiting, journal::Error> {
    let mut waiting = Waiting::default();
    let newer = Records::survey(journal, begin, end, &mut |found| {
        let at = match &found {
            Found::Op(logged) if counts(&logged.op) => logged.op.at(),
            Found::Unknown { .. } => None,
            _ => return,
        };
        waiting.operations += 1;
        waiting.oldest = waiting.oldest.or(at);
    })?;
    Ok(Waiting { newer, ..waiting })
}
