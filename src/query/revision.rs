//! What an operation on a record has to know before it is made: the greatest revision that was seen, and where its page is.

use crate::model::path::RecordPath;
use crate::model::{RecordId, Revision};
use crate::page::StateFile;

use super::files::{self, Mark};
use super::{Error, Recorded, View};

impl View<'_> {
    /// The greatest revision that anything here has of the record `id`, of its content or of its presence. A new operation is
    /// based on it, and comes after it. `recorded` is the record, if it is visible.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn latest(&self, id: RecordId, recorded: Option<&Recorded>) -> Result<Revision, Error> {
        let revision = |mark: StateFile| mark.revision;
        let of_index = match &self.index {
            Some(index) => index.mark(id)?.map(revision),
            None => None,
        };
        let of_file = match files::mark(self.home, id) {
            Mark::Hidden(mark) | Mark::Visible(mark) => mark.map(revision),
        };
        let of_record = recorded.map(Recorded::revision);
        let known = [of_index, of_file, of_record, self.pending.latest_of(id)];
        Ok(known.into_iter().flatten().max().unwrap_or(Revision::first(id)))
    }

    /// The page of the record `id`, whether it is visible or not, as far as index and journal know it; relative to the home.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn page_of(&self, id: RecordId) -> Result<Option<String>, Error> {
        let of_index = match &self.index {
            Some(index) => index.find(id)?.map(|known| known.path),
            None => None,
        };
        let path = of_index.or_else(|| self.pending.path_of(id).map(str::to_owned));
        Ok(path.map(|path| RecordPath(&path).page().into_owned()))
    }
}
