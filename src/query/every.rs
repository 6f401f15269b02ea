//! Every record of a home at one moment, one by one: for an export, or what filters look at of each, for a report.
//!
//! The view's index is read in one transaction, and the journal's pending operations are applied to each record. So all
//! records are as they were when the view was opened, whatever is recorded and applied meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use crate::model::{Kind, Record, RecordId};
use crate::page::{Presence, StateFile};
use crate::progress::{Counter, Progress};
use crate::search::Filter;
use crate::target::index::Facts;

use super::list::{accepts, facts_of};
use super::{Error, Recorded, Seen, States, View};

/// Which records are read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// What is left out.
    pub filter: &'w Filter,
    /// The states that are asked for; `None` for any.
    pub states: Option<&'w States>,
}

impl Wanted<'_> {
    /// Whether every record is.
    pub fn is_all(&self) -> bool {
        *self.filter == Filter::default() && self.states.is_none()
    }

    fn accepts(&self, recorded: &Recorded) -> bool {
        self.accepts_facts(&facts_of(recorded))
    }

    fn accepts_facts(&self, facts: &Facts) -> bool {
        accepts(self.filter, facts) && self.states.is_none_or(|states| states.accepts(facts.id, facts.is_golden))
    }
}

/// Calls `take` with the facts of every record of `view` that `wanted` accepts, in no order. No record is read whole, unless something
/// is pending of it. Returns whether there is an index: without one, nothing is read.
///
/// # Errors
/// [`Error::Index`].
pub fn each_facts(view: &View<'_>, wanted: Wanted<'_>, mut take: impl FnMut(&Facts)) -> Result<bool, Error> {
    let Some(index) = &view.index else { return Ok(false) };
    let (mut with_row, mut others) = (HashSet::new(), Vec::new());
    index.for_each_facts(|facts| {
        match () {
            () if !facts.has_row => others.push(facts.id),
            () if view.pending.changes(facts.id) => {}
            () => {
                if view.pending.has(facts.id) {
                    with_row.insert(facts.id);
                }
                if wanted.accepts_facts(&facts) {
                    take(&facts);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    others.retain(|id| !view.pending.has(*id));
    others.extend(view.pending.ids().filter(|id| !with_row.contains(id)));
    for id in others {
        if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
            let facts = facts_of(&recorded);
            if wanted.accepts_facts(&facts) {
                take(&facts);
            }
        }
    }
    Ok(true)
}

/// Calls `take` for every record of `view` that `wanted` accepts, and every verdict on one of these, in the order of their ids; those
/// without a row come last. Returns whether there is an index: without one, nothing is read.
///
/// # Errors
/// [`Error::Index`], and those of `take`, which end it.
pub fn every<E: From<Error>>(
    view: &View<'_>,
    wanted: Wanted<'_>,
    progress: &mut dyn Progress,
    mut take: impl FnMut(Recorded) -> Result<(), E>,
) -> Result<bool, E> {
    let Some(index) = &view.index else { return Ok(false) };
    let mut counter = Counter::begin(progress, "exporting", index.count_records().map_err(Error::from)?);
    let is_all = wanted.is_all();
    let mut rest: BTreeMap<RecordId, ()> = view.pending.ids().map(|id| (id, ())).collect();
    let mut one = |id: RecordId, path: Option<&str>| -> Result<(), E> {
        let Seen::Visible(recorded) = view.get(id, path)? else { return Ok(()) };
        if is_all || is_wanted(view, wanted, &recorded)? { take(*recorded) } else { Ok(()) }
    };
    let mut failed = None;
    index
        .for_each(|known| {
            if failed.is_some() {
                return;
            }
            rest.remove(&known.id);
            failed = one(known.id, Some(&known.path)).err();
            counter.one();
        })
        .map_err(Error::from)?;
    failed.map_or(Ok(()), Err)?;
    for id in rest.into_keys() {
        one(id, view.pending.path_of(id))?;
    }
    counter.end();
    Ok(true)
}

/// Whether `wanted` accepts `recorded`, or the record that it is a verdict on.
fn is_wanted(view: &View<'_>, wanted: Wanted<'_>, recorded: &Recorded) -> Result<bool, Error> {
    let Record::Verdict(verdict) = recorded.record() else { return Ok(wanted.accepts(recorded)) };
    let of = view.get(verdict.of, None)?.visible();
    Ok(of.is_some_and(|of| of.kind() != Kind::Verdict && wanted.accepts(&of)))
}

/// Calls `take` for the state file of every record of `view` that is retracted: in the order of their ids, those whose retraction is
/// pending last.
///
/// # Errors
/// [`Error::Index`], and those of `take`, which end it.
pub fn each_retracted<E: From<Error>>(
    view: &View<'_>,
    mut take: impl FnMut(StateFile) -> Result<(), E>,
) -> Result<(), E> {
    let mut pending = BTreeMap::new();
    for id in view.pending.ids() {
        match view.get(id, view.pending.path_of(id))? {
            Seen::Hidden(Some(mark)) => drop(pending.insert(id, Some(mark))),
            // An erasure that is pending has no state file yet.
            Seen::Hidden(None) | Seen::Visible(_) => drop(pending.insert(id, None)),
            Seen::Unknown => {}
        }
    }
    let mut take = |mark: StateFile| if mark.state == Presence::Retracted { take(mark) } else { Ok(()) };
    let mut done = Ok(());
    if let Some(index) = &view.index {
        let each = |mark: StateFile| {
            if done.is_ok() && !pending.contains_key(&mark.of) {
                done = take(mark);
            }
        };
        index.for_each_mark(each).map_err(Error::from)?;
    }
    done?;
    pending.into_values().flatten().try_for_each(take)
}
