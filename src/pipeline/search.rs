//! Search and known failures follow the rows, after the batches and for as long as the caller has time.
//!
//! They are not required: no failure of them is an error here. What they do and leave is in `target::search` and
//! `target::known`. Known failures come first: there is less to do, and search trims the feed that both follow.

use std::time::Instant;

use super::Pipeline;
use crate::model::RecordId;
use crate::model::path::state_file;
use crate::model::text::chain;
use crate::page::StateFile;
use crate::progress::Progress;
use crate::search::CommitNote;
use crate::target::history::{CommitId, Standing};
use crate::target::known::Known;
use crate::target::search::{Bound, Following, Search};

impl Pipeline<'_> {
    /// When search or known failures have to be brought up to date, or tried again; `None` if they are up to date until a new
    /// event.
    pub fn search_due(&self) -> Option<Instant> {
        let (search, known) = (self.search.as_ref().and_then(Search::due), self.known.as_ref().and_then(Known::due));
        search.into_iter().chain(known).min()
    }

    /// Brings known failures and search up to date, as far as `bound` lets it.
    pub fn follow_search(&mut self, bound: Bound, progress: &mut dyn Progress) -> Following {
        let needs = self.known.as_mut().and_then(|known| {
            let _ = known.follow(bound);
            known.needs()
        });
        if let Some(search) = &mut self.search {
            search.keep_feed_from(needs);
        }
        let Some(search) = &mut self.search else { return Following::UpToDate };
        let before = search.failures();
        let following = search.follow(bound, progress);
        self.counts.search_failures += search.failures() - before;
        following
    }

    /// Reads all of the search database, and throws it away if something is wrong with it. Returns what was. The file of known
    /// failures is thrown away in any case: it is small.
    pub fn check_search(&mut self) -> Option<String> {
        if let Some(known) = &mut self.known {
            known.forget_all();
        }
        self.search.as_mut().and_then(Search::check)
    }

    /// Why search cannot be brought up to date, if it cannot.
    pub fn search_error(&self) -> Option<&str> {
        self.search.as_ref().and_then(Search::error)
    }

    /// The last step with search of a process that ends.
    pub fn end_search(&mut self) {
        if let Some(known) = &mut self.known {
            known.end();
            let needs = known.needs();
            if let Some(search) = &mut self.search {
                search.keep_feed_from(needs);
            }
        }
        if let Some(search) = &mut self.search {
            search.end();
        }
        // What was trimmed from the feed is in the index's log, which a reader beside no other process reads whole.
        if let Err(error) = self.rows.maintain() {
            tracing::warn!(error = chain(&error), "the index's log stays as it is");
        }
    }

    /// Rows may have changed.
    pub(super) fn search_is_behind(&mut self) {
        if let Some(search) = &mut self.search {
            search.changed();
        }
        if let Some(known) = &mut self.known {
            known.changed();
        }
    }

    /// A commit was made: search notes it, so that readers find it.
    pub(super) fn note_for_search(&mut self, commit: CommitId, stands: Standing) {
        let Standing { parent, tree, at } = stands;
        if let Some(search) = &mut self.search {
            search.committed(CommitNote { id: commit.bytes(), parent, tree, at: at.as_second() });
        }
    }

    /// Takes the record `id` out of search and of known failures if it is hidden, before its batch is reported as done.
    pub(super) fn take_out_of_search(&mut self, id: RecordId) {
        // A retraction that came too late hides nothing. If the index cannot be used, the feed tells later.
        let is_hidden =
            self.rows.is_open() && self.rows.find(id).is_ok_and(|it| it.is_none_or(|it| it.row_id.is_none()));
        // A hook that reads the known failures looks neither at the journal nor at the index.
        let in_history = self.commits.read(&state_file(id)).ok().flatten();
        let is_retracted =
            in_history.and_then(|bytes| StateFile::parse(id, &bytes)).is_some_and(|it| it.state.is_hidden());
        if let Some(known) = self.known.as_mut().filter(|_| is_hidden || is_retracted) {
            known.take_out(&[id]);
        }
        if let Some(search) = self.search.as_mut().filter(|_| is_hidden) {
            let before = search.failures();
            search.take_out(&[id]);
            self.counts.search_failures += search.failures() - before;
        }
    }
}
