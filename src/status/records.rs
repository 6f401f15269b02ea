//! How many records a home has, by kind: today's and all.
//!
//! search.db counts them from an index of its own; what it lacks is read beside it. Without it, the rows are counted. Records
//! that have no row yet are counted from the journal. An amendment or a retraction that waits for a worker changes no count
//! until it is applied.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::home::Home;
use crate::journal;
use crate::model::position::Position;
use crate::model::{Kind, Op, RecordId};
use crate::pipeline::waiting;
use crate::search;
use crate::target::index::{self, Index};
use crate::target::search::open_to_read;

/// The most changed rows that are read beside search.db.
const BESIDE_MAX: usize = 10_000;

/// How many records there are of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// In all.
    pub all: u64,
    /// Recorded today.
    pub today: u64,
}

/// How many records a home has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// In all. Verdicts count: they are records.
    pub all: u64,
    /// Recorded today.
    pub today: u64,
    /// When today began.
    pub today_since: Timestamp,
    /// By kind; every kind is there.
    pub by_kind: BTreeMap<Kind, KindCount>,
}

impl RecordCounts {
    fn new(today_since: Timestamp) -> RecordCounts {
        let by_kind = Kind::ALL.into_iter().map(|kind| (kind, KindCount::default())).collect();
        RecordCounts { today_since, by_kind, ..RecordCounts::default() }
    }

    fn add(&mut self, kind: Kind, created_at: Timestamp) {
        let count = self.by_kind.entry(kind).or_default();
        count.all += 1;
        count.today += u64::from(created_at >= self.today_since);
    }

    fn take_off(&mut self, kind: Kind, created_at: Timestamp) {
        let count = self.by_kind.entry(kind).or_default();
        count.all = count.all.saturating_sub(1);
        count.today = count.today.saturating_sub(u64::from(created_at >= self.today_since));
    }

    fn put(&mut self, counts: impl IntoIterator<Item = (Kind, u64, u64)>) {
        for (kind, all, today) in counts {
            self.by_kind.insert(kind, KindCount { all, today });
        }
    }

    fn summed(mut self) -> RecordCounts {
        self.all = self.by_kind.values().map(|count| count.all).sum();
        self.today = self.by_kind.values().map(|count| count.today).sum();
        self
    }
}

/// Counts the records of `home`, whose index is `index`. The journal has those without a row from `from` on. `today_since` is when
/// today began.
///
/// # Errors
/// [`index::Error`], [`journal::Error`].
pub(super) fn count(
    home: &Home,
    index: &Index,
    from: Option<Position>,
    today_since: Timestamp,
) -> Result<RecordCounts, Error> {
    let mut counts = RecordCounts::new(today_since);
    if !by_search(home, index, &mut counts)? {
        counts.put(index.count_by_kind(today_since)?);
    }
    let mut seen = HashSet::new();
    let mut failed = None;
    waiting(home.journal(), from, None, |op| {
        if let Op::Record(intent) = op
            && failed.is_none()
            && seen.insert(intent.id)
        {
            match index.find(intent.id) {
                // It is in the index, with a row or hidden.
                Ok(Some(_)) => {}
                Ok(None) => counts.add(intent.record.kind(), intent.created_at),
                Err(error) => failed = Some(error),
            }
        }
        true
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(counts.summed()),
    }
}

/// Counts what has a row, by search.db. Returns false if that cannot be used, or lacks too much.
fn by_search(home: &Home, index: &Index, counts: &mut RecordCounts) -> Result<bool, index::Error> {
    let Ok(Some(database)) = open_to_read(home) else { return Ok(false) };
    if !database.is_complete() || !database.is_of(index)? {
        return Ok(false);
    }
    let changed = index.changes_after(database.watermark().seq, BESIDE_MAX + 1)?;
    if changed.len() > BESIDE_MAX {
        return Ok(false);
    }
    let mut found = counts.clone();
    let of_search = |counts: &mut RecordCounts, changed: &BTreeSet<RecordId>| {
        counts.put(search::count_by_kind(database.connection(), counts.today_since)?);
        for id in changed {
            if let Some((kind, created_at)) = search::kind_and_time(database.connection(), *id)? {
                counts.take_off(kind, created_at);
            }
        }
        Ok::<_, rusqlite::Error>(())
    };
    let changed: BTreeSet<RecordId> = changed.into_iter().map(|(_, id)| id).collect();
    if of_search(&mut found, &changed).is_err() {
        return Ok(false);
    }
    for id in changed {
        let known = index.find(id)?.filter(|known| known.row_id.is_some() && known.kind != Kind::Verdict);
        if let Some(known) = known {
            found.add(known.kind, known.created_at);
        }
    }
    // search.db has no verdicts.
    let (all, today) = index.count_verdicts(found.today_since)?;
    found.put([(Kind::Verdict, all, today)]);
    *counts = found;
    Ok(true)
}

/// Why the records could not be counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}
