//! What waits in the journal.

use std::collections::HashSet;

use super::Error;
use crate::journal::{Found, Journal, Records};
use crate::model::Op;
use crate::model::path::state_file;
use crate::model::position::Position;

/// The pages of the records that the journal holds after `committed`.
pub(super) fn pending_paths(journal: &Journal, committed: Option<Position>) -> Result<HashSet<String>, Error> {
    let mut paths = HashSet::new();
    let _newer = Records::survey(journal, committed, None, &mut |found| {
        let Found::Op(logged) = found else { return };
        paths.insert(state_file(logged.op.of()));
        paths.extend(match logged.op {
            Op::Record(intent) => intent.files.into_iter().next().map(|file| file.path),
            Op::Amend(amendment) => amendment.record.files.into_iter().next().map(|file| file.path),
            Op::Retract(change) | Op::Restore(change) => change.path,
            Op::Erase { .. } => None,
        });
    })?;
    Ok(paths)
}
