//! Search and known failures follow the rows, after the batches and for as long as the caller has time.
//!
//! They are not required: no failure of them is an error here. What they do and leave is in `target::search` and
//! `target::known`. Known failures come first: there is less to do, and search trims the feed that both follow.

use std::time::Instant;

use super::Pipeline;
use crate::exclusive::Exclusive;
use crate::model::RecordId;
use crate::model::path::state_file;
use crate::model::text::chain;
use crate::page::StateFile;
use crate::progress::Progress;
use crate::search::CommitNote;
use crate::target::history::{CommitId, Standing};
use crate::target::known::Known;
use crate::target::search::{Bound, Following, Search};

/// What follows the rows.
#[derive(Debug)]
pub(super) struct Followers<'h> {
    search: Search<'h>,
    known: Known<'h>,
}

impl<'h> Followers<'h> {
    pub(super) fn new(exclusive: &'h Exclusive<'h>) -> Followers<'h> {
        Followers { search: Search::new(exclusive), known: Known::new(exclusive) }
    }

    /// Brings both up to date, as far as `bound` lets it.
    fn follow(&mut self, bound: Bound, progress: &mut dyn Progress) -> Following {
        let _ = self.known.follow(bound);
        self.search.keep_feed_from(self.known.needs());
        self.search.follow(bound, progress)
    }

    /// Rows may have changed.
    fn changed(&mut self) {
        self.search.changed();
        self.known.changed();
    }

    /// Takes a hidden record out.
    fn take_out(&mut self, id: RecordId, by_row: bool) {
        self.known.take_out(&[id]);
        if by_row {
            self.search.take_out(&[id]);
        }
    }
}

impl Pipeline<'_> {
    /// When search or known failures have to be brought up to date, or tried again; `None` if they are up to date until a new
    /// event.
    pub fn search_due(&self) -> Option<Instant> {
        let followers = self.followers.as_ref()?;
        followers.search.due().into_iter().chain(followers.known.due()).min()
    }

    /// Brings known failures and search up to date, as far as `bound` lets it.
    pub fn follow_search(&mut self, bound: Bound, progress: &mut dyn Progress) -> Following {
        let Some(followers) = &mut self.followers else { return Following::UpToDate };
        let before = followers.search.failures();
        let following = followers.follow(bound, progress);
        self.counts.search_failures += followers.search.failures() - before;
        following
    }

    /// Reads all of the search database, and throws it away if something is wrong with it. Returns what was. The file of known
    /// failures is thrown away in any case: it is small.
    pub fn check_search(&mut self) -> Option<String> {
        let followers = self.followers.as_mut()?;
        followers.known.forget_all();
        followers.search.check()
    }

    /// Why search cannot be brought up to date, if it cannot.
    pub fn search_error(&self) -> Option<&str> {
        self.followers.as_ref().and_then(|it| it.search.error())
    }

    /// The last step with search of a process that ends.
    pub fn end_search(&mut self) {
        if let Some(Followers { search, known }) = &mut self.followers {
            known.end();
            search.keep_feed_from(known.needs());
            search.end();
        }
        // What was trimmed from the feed is in the index's log, which a reader beside no other process reads whole.
        if let Err(error) = self.rows.maintain() {
            tracing::warn!(error = chain(&error), "the index's log stays as it is");
        }
    }

    /// Rows may have changed.
    pub(super) fn search_is_behind(&mut self) {
        if let Some(followers) = &mut self.followers {
            followers.changed();
        }
    }

    /// A commit was made: search notes it, so that readers find it.
    pub(super) fn note_for_search(&mut self, commit: CommitId, stands: Standing) {
        let Standing { parent, tree, at } = stands;
        if let Some(followers) = &mut self.followers {
            followers.search.committed(CommitNote { id: commit.bytes(), parent, tree, at: at.as_second() });
        }
    }

    /// Takes the record `id` out of search and of known failures if it is hidden, before its batch is reported as done.
    pub(super) fn take_out_of_search(&mut self, id: RecordId) {
        // A retraction that came too late hides nothing. If the index cannot be used, the feed tells later.
        let by_row = self.rows.is_open() && self.rows.find(id).is_ok_and(|it| it.is_none_or(|it| it.row_id.is_none()));
        // A hook that reads the known failures looks neither at the journal nor at the index.
        let in_history = self.commits.read(&state_file(id)).ok().flatten();
        let is_retracted =
            in_history.and_then(|bytes| StateFile::parse(id, &bytes)).is_some_and(|it| it.state.is_hidden());
        if !by_row && !is_retracted {
            return;
        }
        if let Some(followers) = &mut self.followers {
            let before = followers.search.failures();
            followers.take_out(id, by_row);
            self.counts.search_failures += followers.search.failures() - before;
        }
    }
}
