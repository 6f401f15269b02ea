//! An operation waits for what it was made from.
//!
//! After a failed sync, what is not committed is copied to a new segment, behind what other processes have appended
//! there meanwhile. So an operation can come before its record, or before an operation that its writer had seen. If it
//! were applied first, the history would lack the record's first revision, and an amendment would be void.
//!
//! It is appended again, behind what it waits for. It never waits for a later revision than its own, so this ends.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | after it was appended again, before its first position is passed | it, twice | the next batch; the revision makes the duplicate harmless |

use super::{Error, Pipeline};
use crate::journal::{Logged, Records};
use crate::model::{Op, RecordId, Revision};
use crate::page::{self, Current, StateFile};

impl Pipeline<'_> {
    /// Whether the operation `logged` was made from something that the history, which has `current`, lacks and that the
    /// journal has behind it.
    pub(super) fn must_wait(&self, logged: &Logged, current: &Current) -> Result<bool, Error> {
        let (of, revision) = (logged.op.of(), logged.op.revision());
        let Some(base) = base(&logged.op).filter(|base| latest(of, current).is_none_or(|latest| latest < *base)) else {
            return Ok(false);
        };
        let Some(mut records) = Records::from_position(self.home.journal(), logged.position)? else {
            return Ok(false);
        };
        while let Some(behind) = records.next_op()? {
            if behind.op.of() == of && behind.op.revision() < revision {
                tracing::info!(%of, %base, "an operation comes before what it was made from: it waits");
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn base(op: &Op) -> Option<Revision> {
    match op {
        Op::Amend(amendment) => Some(amendment.change.base),
        Op::Retract(change) | Op::Restore(change) => Some(change.base),
        Op::Record(_) | Op::Erase { .. } => None,
    }
}

/// The greatest revision that the history has of a record; `None` if it has nothing of it.
fn latest(of: RecordId, current: &Current) -> Option<Revision> {
    let page = current.page.as_ref();
    let page = page.map(|(_, bytes)| page::later_revision_of(of, bytes).unwrap_or(Revision::first(of)));
    let state = current.state.as_ref().and_then(|bytes| StateFile::parse(of, bytes));
    page.max(state.map(|state| state.revision))
}
