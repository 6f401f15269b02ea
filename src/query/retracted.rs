//! `list --state retracted`: which records were retracted, when and why. Nothing of the records themselves is read.

use jiff::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;

use crate::model::layout::RETRACTED;
use crate::model::path::of_state_file;
use crate::model::{Kind, RecordId};
use crate::page::{Presence, StateFile};
use crate::search::Filter;

use super::files::{self, Mark};
use super::{Error, Seen, View};

/// A record that was retracted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retracted {
    /// The record.
    pub id: RecordId,
    /// Its kind, if the index knows it.
    pub kind: Option<Kind>,
    /// When it was retracted; `None` if its state file is torn.
    #[serde(serialize_with = "to_the_millisecond")]
    pub at: Option<Timestamp>,
    /// Why.
    pub because: Option<String>,
}

fn to_the_millisecond<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| format!("{at:.3}")).serialize(serializer)
}

/// The records that were retracted, the last one first: of the filter's kinds, since and until its times.
///
/// # Errors
/// [`Error::Index`].
pub fn retracted(view: &View<'_>, filter: &Filter) -> Result<Vec<Retracted>, Error> {
    let mut marks: Vec<(RecordId, Option<StateFile>)> = Vec::new();
    match &view.index {
        Some(index) => index.for_each_mark(|mark| marks.push((mark.of, Some(mark))))?,
        None => marks.extend(of_files(view)),
    }
    marks.retain(|(id, _)| !view.pending.changes(*id));
    for id in view.pending.ids().filter(|id| view.pending.changes(*id)) {
        if let Seen::Hidden(Some(mark)) = view.get(id, view.pending.path_of(id))? {
            marks.push((id, Some(mark)));
        }
    }
    let mut found = Vec::new();
    for (id, mark) in marks {
        if mark.as_ref().is_some_and(|mark| mark.state != Presence::Retracted) {
            continue;
        }
        let kind = match &view.index {
            Some(index) => index.find(id)?.map(|known| known.kind),
            None => None,
        };
        let kind = kind.or_else(|| view.pending.kind_of(id));
        let (at, because) = mark.map_or((None, None), |mark| (Some(mark.at), mark.because));
        let fits = (filter.kinds.is_empty() || kind.is_some_and(|kind| filter.kinds.contains(&kind)))
            && filter.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && filter.until.is_none_or(|until| at.is_some_and(|at| at < until));
        if fits {
            found.push(Retracted { id, kind, at, because });
        }
    }
    found.sort_by_key(|it| Reverse((it.at, it.id)));
    Ok(found)
}

/// The state files of hidden records.
fn of_files(view: &View<'_>) -> Vec<(RecordId, Option<StateFile>)> {
    let names = |folder: &str| view.home.dir().folder(folder).and_then(|it| it.names()).unwrap_or_default();
    let mut found = Vec::new();
    for folder in names(RETRACTED) {
        for name in names(&format!("{}/{folder}", RETRACTED)) {
            if let Some(id) = of_state_file(&format!("{}/{folder}/{name}", RETRACTED))
                && let Mark::Hidden(mark) = files::mark(view.home, id).unwrap_or(Mark::Hidden(None))
            {
                found.push((id, mark));
            }
        }
    }
    found
}
