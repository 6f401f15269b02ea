//! A home at one moment.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::home::Home;
use crate::journal;
use crate::model::path::state_file;
use crate::model::position::Position;
use crate::model::text::chain;
use crate::model::{Kind, RecordId, Revision};
use crate::page::{Presence, StateFile};
use crate::search::{Located, golden};
use crate::target::history::{History, HistoryOptions, TipFiles};
use crate::target::index::{self, Index, Others};
use crate::target::rows::{self, RowsMark};
use crate::target::search::{self, SearchDb};

use super::files::{self, Mark};
use super::pending::{Former, From, Pending, Seen};
use super::search::ROWS_QUICK;
use super::{Error, Recorded};

/// How often a view is opened again because the journal was pruned in between.
const OPENED_MAX: usize = 4;

/// Why search.db cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutSearch {
    /// There is none, or it is not finished.
    Unfinished,
    /// Another program has locked it.
    Locked,
    /// It cannot be opened.
    Unreadable,
    /// It failed while it was being read.
    Damaged,
}

impl WithoutSearch {
    /// That it is so, for people.
    pub fn says(self) -> &'static str {
        match self {
            WithoutSearch::Unfinished => "search.db is not finished",
            WithoutSearch::Locked => "another program has locked search.db",
            WithoutSearch::Unreadable => "search.db cannot be opened",
            WithoutSearch::Damaged => "search.db is damaged",
        }
    }

    /// The note of an answer that is whole, but for which `rows` were read. A file that is merely not finished is worth a
    /// note only if that was many.
    pub fn note(self, rows: usize) -> Option<String> {
        (self != WithoutSearch::Unfinished || rows > ROWS_QUICK).then(|| self.was_slower())
    }

    fn was_slower(self) -> String {
        let end = match self {
            WithoutSearch::Unfinished => ": a worker makes it, and `indelible worker --detach` starts one",
            WithoutSearch::Locked | WithoutSearch::Unreadable => "",
            WithoutSearch::Damaged => ": `indelible repair` makes it again",
        };
        format!("{}, so this was slower{end}", self.says())
    }
}

/// The note about an index that is not used because it is older than the journal.
const OLDER: &str = "the index is older than what the journal still has: until a worker has brought it up to date \
                     (`indelible worker --detach` starts one), answers come from files and journal";

/// A home at one moment, to be read.
#[derive(Debug)]
pub struct View<'h> {
    pub(super) home: &'h Home,
    pub(super) index: Option<Index>,
    /// search.db, if it follows this index.
    search: Option<SearchDb>,
    without_search: Cell<WithoutSearch>,
    pub(super) pending: Pending,
    pub(super) notes: Vec<String>,
    options: HistoryOptions,
    history: OnceCell<Option<History>>,
    tip: OnceCell<Option<TipFiles>>,
}

impl<'h> View<'h> {
    /// Opens `home` to read it. The caller waits no longer than `wait` for another program's lock. A store that cannot be
    /// read is named in [`View::notes`].
    pub fn open(home: &'h Home, options: HistoryOptions, wait: Duration) -> View<'h> {
        let (mut index, mut search, mut notes, mut pending) = (None, None, Vec::new(), Pending::default());
        let mut without_search = WithoutSearch::Unfinished;
        let (mut before, mut is_older) = (None, false);
        for _ in 0..OPENED_MAX {
            // First, so that the index is never older than what follows it.
            (search, without_search) = match search::open_to_read(home) {
                Ok(search) => (search, WithoutSearch::Unfinished),
                Err(search::Error::Busy) => (None, WithoutSearch::Locked),
                Err(_) => (None, WithoutSearch::Unreadable),
            };
            (index, notes) = match open_index(home, wait) {
                Ok(index) => (Some(index), Vec::new()),
                Err(error) => (None, vec![note_of(&error)]),
            };
            if let (Some(index), Some(database)) = (&index, &search)
                && !database.is_of(index).unwrap_or(false)
            {
                // A worker has trimmed the feed in between; or it is about another index.
                search = None;
            }
            let mark = match (&index, &search) {
                (Some(index), _) => rows::mark_in(index).ok().flatten(),
                // search.db has those rows, too.
                (None, search) => search.as_ref().and_then(SearchDb::rows_mark),
            };
            let position = mark.and_then(|mark| begin_of(home, &mark));
            let (read, from) = Pending::read(home.journal(), position);
            pending = read;
            is_older = from == From::Start && index.is_some();
            // The index is older than the journal: a worker has pruned what this view of the index lacks. A newer view
            // names a later position.
            if !is_older || before == Some(position) {
                break;
            }
            before = Some(position);
        }
        if is_older {
            // It was restored, or was locked for days: it lacks records, and has some that were retracted since.
            (index, search) = (None, None);
            notes.push(OLDER.to_owned());
        }
        notes.append(&mut pending.notes);
        let without_search = Cell::new(without_search);
        View {
            home,
            index,
            search,
            without_search,
            pending,
            notes,
            options,
            history: OnceCell::new(),
            tip: OnceCell::new(),
        }
    }

    /// What could not be looked at, a line each, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the index can be read.
    pub fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// search.db, if it can be used.
    pub(super) fn search(&self) -> Option<&SearchDb> {
        self.search.as_ref().filter(|_| self.without_search.get() != WithoutSearch::Damaged)
    }

    /// Why search.db cannot be used, for a view that does without it.
    pub(super) fn without_search(&self) -> WithoutSearch {
        self.without_search.get()
    }

    /// What `read` answers; if search.db fails in it, what it answers without search.db. Damage within the file shows only
    /// when the damaged part is read.
    pub(super) fn even_without_search<T>(&self, read: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        match read() {
            Err(Error::Search(error)) if self.search().is_some() => {
                tracing::debug!(error = chain(&error), "search.db is not used any more");
                self.without_search.set(WithoutSearch::Damaged);
                read()
            }
            answer => answer,
        }
    }

    /// What the journal has and the stores may lack.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The home's history; `None` if it cannot be opened.
    pub fn history(&self) -> Option<&History> {
        let open = || History::open(self.home.path(), self.options.clone()).ok();
        self.history.get_or_init(open).as_ref()
    }

    /// The records that search.db has in an older form, or not; at most one more than `max`. Empty without an index or
    /// search.db.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub(super) fn rows_beside(&self, max: usize) -> Result<Vec<RecordId>, Error> {
        let (Some(index), Some(search)) = (&self.index, self.search()) else { return Ok(Vec::new()) };
        let changes = index.changes_after(search.watermark().seq, max + 1)?;
        Ok(changes.into_iter().map(|(_, id)| id).collect())
    }

    /// The records whose state is not the one that search.db has: it follows no change that another program makes to a row.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub(super) fn states_beside(&self) -> Result<Vec<RecordId>, Error> {
        let (Some(index), Some(search)) = (&self.index, self.search()) else { return Ok(Vec::new()) };
        let is: HashSet<RecordId> = index.golden()?.into_iter().collect();
        let was: HashSet<RecordId> = golden(search.connection())?.into_iter().collect();
        Ok(is.symmetric_difference(&was).copied().collect())
    }

    /// The record `id`. Without an index it is read from its file at `path`, if that is known.
    ///
    /// # Errors
    /// [`Error::Index`]; without an index, [`Error::Fs`] if the record's state file cannot be read: whether the record is there
    /// is not known then.
    pub fn get(&self, id: RecordId, path: Option<&str>) -> Result<Seen, Error> {
        let (stored, mark) = match &self.index {
            Some(index) => {
                let mark = index.mark(id)?;
                let stored = index.stored(id)?.map(|stored| {
                    let is_cut = stored.is_cut;
                    let recorded = Recorded::of_row(stored);
                    if is_cut { self.with_file(recorded) } else { recorded }
                });
                (stored.or_else(|| self.of_file(index, id)), mark)
            }
            None => match files::mark(self.home, id)? {
                Mark::Hidden(mark) => return Ok(Seen::Hidden(mark)),
                Mark::Visible(_) => {
                    let recorded = path.and_then(|path| files::at(self.home, path)).filter(|it| it.id == id);
                    (recorded, None)
                }
            },
        };
        Ok(self.overlaid(id, stored, mark))
    }

    /// As [`get`](View::get), of a record that search.db has.
    pub(super) fn get_located(&self, id: RecordId, located: &Located) -> Result<Seen, Error> {
        // The index knows where it is.
        let path = if self.index.is_some() { None } else { self.path_of(id, located) };
        self.get(id, path.as_deref())
    }

    /// The path of the page of the record `id`, which search.db has.
    pub(super) fn path_of(&self, id: RecordId, located: &Located) -> Option<String> {
        match (&located.path, located.kind) {
            (Some(path), _) => Some(path.clone()),
            (None, kind) => files::find(self.home, kind?, located.created_at, id),
        }
    }

    /// The record `id`, of which something is pending, where there is no index: its file is where the journal says.
    pub(super) fn get_from_files(&self, id: RecordId) -> Result<Seen, Error> {
        let path = self.pending.path_of(id);
        self.get(id, path)
    }

    /// The record `id` after its pending operations.
    fn overlaid(&self, id: RecordId, stored: Option<Recorded>, mark: Option<StateFile>) -> Seen {
        self.pending.seen(id, stored, mark, self)
    }

    /// The record `id`, which has no row, from its file: the index knows where that is if another program has deleted the
    /// row.
    fn of_file(&self, index: &Index, id: RecordId) -> Option<Recorded> {
        let known = index.find(id).ok()??;
        files::at(self.home, &known.path).filter(|recorded| recorded.id == id)
    }

    /// Whether records of `kind` are completed from their files: a row holds less, or there is none.
    pub(super) fn is_completed(&self, kind: Kind) -> bool {
        self.index.as_ref().is_none_or(|index| index.holds_less(kind).unwrap_or(true))
    }

    /// The files of the history's newest commit; `None` if it cannot be read.
    pub(super) fn tip(&self) -> Option<&TipFiles> {
        self.tip.get_or_init(|| self.history()?.tip_files().ok()).as_ref()
    }

    /// `recorded`, whose row may lack some of it, with all that its file says, if that is of the same revision.
    fn with_file(&self, recorded: Recorded) -> Recorded {
        let page = files::parsed(self.home, &recorded.path).filter(|page| page.id == recorded.id);
        let page = page.filter(|page| {
            page.amended().as_ref().map(|it| it.revision) == recorded.amended.as_ref().map(|it| it.revision)
        });
        match page.and_then(|page| page.request) {
            Some(request) => Recorded { request, ..recorded },
            None => recorded,
        }
    }
}

impl Former for View<'_> {
    fn page(&self, path: &str) -> Option<Vec<u8>> {
        self.history()?.last_of(path).ok().flatten()
    }

    fn retraction(&self, of: RecordId) -> Option<Revision> {
        let mut found = None;
        let visit = &mut |bytes: &[u8]| {
            let retracted = StateFile::parse(of, bytes).filter(|it| it.state == Presence::Retracted);
            found = retracted.map(|it| it.revision);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.history()?.each_version_of(&state_file(of), visit).ok()?;
        found
    }
}

/// The index of `home`, in a transaction that reads. A lock is waited for once.
fn open_index(home: &Home, wait: Duration) -> Result<Index, index::Error> {
    let index = Index::open_to_read(&home.index_path(), wait, Others::MayWrite)?;
    index.begin_to_read()?;
    index.check_schema()?;
    Ok(index)
}

/// Where in the journal records begin that a store with the watermark `mark` may lack; `None` if that is its start.
fn begin_of(home: &Home, mark: &RowsMark) -> Option<Position> {
    (journal::id(home.private()).ok().flatten() == Some(mark.journal)).then_some(mark.position)
}

fn note_of(error: &index::Error) -> String {
    match error {
        index::Error::Missing(_) => "there is no index: `indelible repair` rebuilds it".into(),
        error if error.is_busy() => {
            "another program has locked the index: answers come from files and journal, and may lack the newest changes"
                .into()
        }
        error if error.is_lost() => format!("{}: `indelible repair` rebuilds it", chain(error)),
        error => chain(error),
    }
}
