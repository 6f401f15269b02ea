//! What an operation on a record has to know before it is made: the greatest revision that was seen, and where its page is.

use std::ops::ControlFlow;

use crate::model::path::RecordPath;
use crate::model::{RecordId, Request, Revision, limits};
use crate::page::{self, Parsed, StateFile};

use super::files::{self, Mark};
use super::{Error, Recorded, View};

impl View<'_> {
    /// The greatest revision that anything here has of the record `id`, of its content or of its presence. A new operation is
    /// based on it, and comes after it. `recorded` is the record, if it is visible.
    ///
    /// # Errors
    /// [`Error::Index`], and [`Error::Fs`] if the record's state file cannot be read.
    pub fn latest(&self, id: RecordId, recorded: Option<&Recorded>) -> Result<Revision, Error> {
        let revision = |mark: StateFile| mark.revision;
        let of_index = match &self.index {
            Some(index) => index.mark(id)?.map(revision),
            None => None,
        };
        let of_file = match files::mark(self.home, id)? {
            Mark::Hidden(mark) | Mark::Visible(mark) => mark.map(revision),
        };
        let of_record = recorded.map(Recorded::revision);
        let known = [of_index, of_file, of_record, self.pending.latest_of(id)];
        Ok(known.into_iter().flatten().max().unwrap_or(Revision::first(id)))
    }

    /// What the record `id`, whose page is `page`, said at `revision`: as the journal still has it, or the history.
    pub fn request_at(&self, id: RecordId, page: &str, revision: Revision) -> Option<Request> {
        if let Some(request) = self.pending.request_at(id, revision) {
            return Some(request);
        }
        let mut found = None;
        let visit = &mut |bytes: &[u8]| {
            let parsed = page::parse(bytes).ok().filter(|parsed| parsed.id == id);
            let is_it = |parsed: &Parsed| parsed.amended().map_or(Revision::first(id), |it| it.revision) == revision;
            found = parsed.filter(is_it).and_then(|parsed| parsed.request);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.history()?.each_version_of(page, visit).ok()?;
        found
    }

    /// `recorded` as journal and history have it. Where a row holds less than its record, [`View::get`] asks the record's file for the
    /// rest, and that can have been edited since: what it says then is in no amendment yet.
    pub fn as_kept(&self, recorded: Recorded) -> Recorded {
        // The history of another home's record is the trunk, where this home does not look.
        if !self.is_completed(recorded.kind()) || recorded.from.is_some() {
            return recorded;
        }
        let page = RecordPath(&recorded.path).page().into_owned();
        let bytes = self.home.dir().content(&page, limits::FILE_BYTES_MAX as u64).ok().flatten();
        let is_committed = |bytes: Vec<u8>| self.tip().is_some_and(|tip| tip.has(&page, &bytes).unwrap_or(false));
        if !self.pending.has(recorded.id) && bytes.is_none_or(is_committed) {
            return recorded;
        }
        match self.request_at(recorded.id, &page, recorded.revision()) {
            Some(request) => Recorded { request, ..recorded },
            None => recorded,
        }
    }

    /// Calls `visit` with the path and the bytes of each file that may be a record's page, newest day first. A file that cannot be read
    /// has no bytes.
    pub fn for_each_file(&self, mut visit: impl FnMut(&str, Option<&[u8]>)) {
        files::for_each(self.home, |path| {
            let bytes = self.home.dir().content(path, limits::FILE_BYTES_MAX as u64).ok().flatten();
            visit(path, bytes.as_deref());
            ControlFlow::Continue(())
        });
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
