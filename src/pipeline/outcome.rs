//! The file that says how an experiment ended. No entry carries it: it is a function of the amended record.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before it is written | the page without it, neither of them in git | the next batch applies the amendment again |
//! | after it | both, neither in git | the same |

use super::{Error, Pipeline};
use crate::journal::Synced;
use crate::model::Amendment;
use crate::model::path::outcome_beside;
use crate::model::position::Position;
use crate::page;
use crate::target::changed_files::ChangedFiles;
use crate::target::history::Changes;

impl Pipeline<'_> {
    /// Writes the file that says how an experiment ended, which the amended record decides; removes it if it is under way again.
    pub(super) fn say_outcome(
        &mut self,
        Amendment { change, record }: &Amendment,
        page: &str,
        proof: &Synced<Position>,
        changes: &mut Changes<'_>,
    ) -> Result<(), Error> {
        let Some(path) = outcome_beside(page) else { return Ok(()) };
        match page::outcome_file(change.of, record.created_at, &record.record, record.amended.as_ref(), page) {
            Some(file) => {
                self.write_file(change.of, &file, None, proof)?;
                changes.files.push(file);
            }
            None if self.commits.read(&path)?.is_some_and(|bytes| page::id_of(&bytes) == Some(change.of)) => {
                ChangedFiles::new(self.home)?.remove(change.of, &path, self.ours(change.of), proof)?;
                changes.removed.push(path);
            }
            None => {}
        }
        Ok(())
    }
}
