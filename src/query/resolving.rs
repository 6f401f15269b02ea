//! What followed a failure: the successes that name it.

use crate::model::{Record, RecordId};

use super::{Error, Recorded, View};

/// The successes that followed the failure `failure`, the oldest first, those included that have no row yet. Without an index, only
/// these.
///
/// # Errors
/// [`Error::Index`].
pub fn resolving(view: &View<'_>, failure: RecordId) -> Result<Vec<Recorded>, Error> {
    let mut ids = view.index.as_ref().map_or_else(|| Ok(Vec::new()), |index| index.resolving(failure))?;
    let names_it = |record: &Record| matches!(record, Record::Success(it) if it.resolves == Some(failure));
    ids.extend(view.pending.ids().filter(|id| view.pending.record_of(*id).is_some_and(names_it)));
    ids.sort_unstable();
    ids.dedup();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        // An amendment that is pending can name another failure.
        found.extend(view.get(id, view.pending.path_of(id))?.visible().filter(|it| names_it(it.record())));
    }
    Ok(found)
}
