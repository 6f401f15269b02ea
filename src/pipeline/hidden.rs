//! Records that were retracted or erased, and come again: late from a recorder, or from a copied journal.

use super::{Error, Pipeline};
use crate::journal::Synced;
use crate::model::Intent;
use crate::model::path::state_file;
use crate::model::position::Position;
use crate::page::StateFile;
use crate::target::changed_files::ChangedFiles;

impl Pipeline<'_> {
    /// Those of `intents` whose record is not hidden: a late or repeated intent does not bring a record back. What its
    /// recorder placed and inserted is removed.
    pub(super) fn without_hidden(
        &mut self,
        intents: Vec<Intent>,
        proof: &Synced<Position>,
    ) -> Result<Vec<Intent>, Error> {
        let paths: Vec<String> = intents.iter().map(|intent| state_file(intent.id)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let present = self.commits.present(&paths)?;
        let mut shown = Vec::with_capacity(intents.len());
        for (intent, path) in intents.into_iter().zip(&paths) {
            if !present.contains(*path) {
                shown.push(intent);
                continue;
            }
            let bytes = self.commits.read(path)?.unwrap_or_default();
            let state = StateFile::parse(intent.id, &bytes);
            if state.as_ref().is_some_and(|state| !state.state.is_hidden()) {
                shown.push(intent);
                continue;
            }
            tracing::info!(id = %intent.id, "a record that was retracted comes late: it stays away");
            let files = ChangedFiles::new(self.home)?;
            for file in &intent.files {
                let is_ours = |_: &str, bytes: &[u8]| Ok::<_, Error>(bytes == file.text.as_bytes());
                files.remove(intent.id, &file.path, is_ours, proof)?;
            }
            if let Some(state) = state.filter(|_| self.rows.is_open()) {
                self.rows.hide(&state)?;
            }
        }
        Ok(shown)
    }
}
