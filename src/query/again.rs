//! Which failures came again, those verdicts included that have no row yet.

use std::collections::{HashMap, HashSet};

use crate::model::{Kind, Record, RecordId, Ruling};
use crate::rules;
use crate::target::index::Again;

use super::{Error, Recorded, Seen, View};

/// The verdicts that failures came again, by the failure, oldest first.
pub type CameAgain = HashMap<RecordId, Vec<Again>>;

/// The verdicts that the failures `ids` came again.
///
/// # Errors
/// [`Error::Index`].
pub fn came_again(view: &View<'_>, ids: &[RecordId]) -> Result<CameAgain, Error> {
    let rows = view.index.as_ref().map_or_else(|| Ok(Vec::new()), |index| index.again_on(ids))?;
    let wanted: HashSet<RecordId> = ids.iter().copied().collect();
    put_together(view, rows, |again| wanted.contains(&again.of))
}

/// The verdicts that failures of `project` came again, among the newest `limit` verdicts.
///
/// # Errors
/// [`Error::Index`].
pub fn newest_again(view: &View<'_>, project: &str, limit: u32) -> Result<CameAgain, Error> {
    let rows = view.index.as_ref().map_or_else(|| Ok(Vec::new()), |index| index.newest_again(project, limit))?;
    put_together(view, rows, |again| again.provenance.project.as_deref() == Some(project))
}

/// What the `rows` say, and what is pending, as far as it `is_wanted`.
fn put_together(view: &View<'_>, rows: Vec<Again>, is_wanted: impl Fn(&Again) -> bool) -> Result<CameAgain, Error> {
    let mut all: Vec<Again> = rows.into_iter().filter(|it| !view.pending.changes(it.id)).collect();
    for id in view.pending.ids() {
        // Of an operation without its record, the kind is not known here; most records are no verdicts.
        if view.pending.kind_of(id).is_none_or(|kind| kind == Kind::Verdict)
            && let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))?
        {
            all.extend(again_of(&recorded).filter(|it| is_wanted(it)));
        }
    }
    all.sort_by_key(|it| (it.at, it.id));
    let mut by_failure = CameAgain::new();
    for again in all {
        by_failure.entry(again.of).or_default().push(again);
    }
    Ok(by_failure)
}

/// `recorded`, if it is a verdict that something came again.
fn again_of(recorded: &Recorded) -> Option<Again> {
    let Record::Verdict(verdict) = recorded.record() else { return None };
    (verdict.verdict == Ruling::Again).then(|| Again {
        id: recorded.id,
        of: verdict.of,
        at: recorded.created_at,
        times: rules::times(&verdict.because),
        provenance: recorded.provenance().clone(),
    })
}
