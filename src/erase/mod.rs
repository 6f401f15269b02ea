//! Erasing records: afterwards no file of the home has their bytes.
//!
//! ```text
//! note ─▶ state files, journal ─▶ index ─▶ derived, private, copies ─▶ commits, references ─▶ objects ─▶ proof ─▶ no note
//! ```
//!
//! 1. Everything pending is committed first, so the history has every version of the records, and their words can be looked for.
//! 2. Then the records are kept away: an operation `erase` for each goes through the journal, into a new segment, and leaves a
//!    state file and a mark that stay for ever. The segments before it go.
//! 3. The words are read from journal, quarantine, files and history before these lose them, and the note keeps their traces
//!    (`noted`): a second run finds them where they are left, whatever the first one took out.
//! 4. Each step is idempotent and finds what is left from the stores themselves. The note names the records, and the next
//!    holder of the worker's lock finishes what it names ([`finish`]).
//! 5. A running worker does it, between two sessions: while an index or a repository is open, their old bytes cannot go.
//! 6. It is done once a search of the whole home found nothing. Until then the note stays, and the caller is told what is in the
//!    way.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | everything | nothing was begun |
//! | before the note has the traces | all words where they were | [`finish`], by the next holder of the lock, which reads them there |
//! | anywhere after it | less and less of the records, and the traces of their words | the same, which looks for these |

mod noted;
mod proof;
mod strays;
mod sweep;
mod waiting;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::erasing::Erasing;
use crate::exclusive::Exclusive;
use crate::fs::{self, Point, crash, os};
use crate::home::{self, Home};
use crate::journal;
use crate::model::path::state_file;
use crate::model::text::chain;
use crate::model::{Op, RecordId, Revision};
use crate::page::{Presence, StateFile};
use crate::pipeline::{self, Options, Pipeline, Progress};
use crate::quarantine::{Contents, ParkedOp};
use crate::recover::{self, Scope};
use crate::state::{Noted, State};
use crate::sync;
use crate::target::history::{self, History, Traces};
use crate::target::index::{self, Index};

use words::Words;

/// How long a git program that is at work in the repository is waited for.
const GIT_WAIT: Duration = Duration::from_secs(5);
/// How long another process may go on syncing.
const SYNC_WAIT: Duration = Duration::from_secs(5);

const AT_WORK: &str = "a git program is at work in the home's repository";

/// Why records were not erased, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database of an adopted home does not let go of the records. Nothing has changed.
    #[error("{0}")]
    Unsupported(String),
    /// Another process is in the way. Nothing has changed.
    #[error("{0}")]
    InTheWay(String),
    /// The erasure has begun and is not finished: this store still has some of it.
    #[error("begun; still: {0}")]
    Unfinished(String),
    /// A file could not be read, so nothing is proved.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        #[source]
        source: std::io::Error,
    },
    /// The stores could not be brought up to date.
    #[error(transparent)]
    Recover(#[from] recover::Error),
    /// The history could not be changed.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The index could not be changed.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

impl Error {
    /// Whether some of it may be erased already.
    pub fn has_begun(&self) -> bool {
        !matches!(self, Error::Unsupported(_) | Error::InTheWay(_))
    }
}

impl From<pipeline::Error> for Error {
    fn from(error: pipeline::Error) -> Error {
        Error::Recover(error.into())
    }
}

/// What an erasure did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The records.
    pub ids: BTreeSet<RecordId>,
    /// How many commits were rewritten.
    pub commits: usize,
    /// What of the user's in the repository keeps it: branches, tags, reflogs, stashes, commits.
    pub kept_by: BTreeSet<String>,
    /// Other records, files of the user's and objects of git that say the same words; paths relative to the home.
    pub others: BTreeSet<String>,
}

/// Whether the home has anything of the record `id`: also of one that waits in quarantine, since nothing could apply it.
///
/// # Errors
/// Errors of reading it.
pub fn is_known(home: &Home, options: &Options, id: RecordId) -> Result<bool, Error> {
    let ids = BTreeSet::from([id]);
    let history = History::open(home.path(), options.history.clone())?;
    Ok(!waiting::pages(home, &ids)?.is_empty() || !history.pages_of(&ids)?.is_empty())
}

/// Those of the erased records `ids` that something of the home has again, or still: journal, quarantine or files, since a backup
/// was put back, or objects of git that nothing keeps any more.
///
/// # Errors
/// [`Error::Fs`] if one of them cannot be read, [`Error::History`].
pub fn back(home: &Home, options: &Options, ids: &BTreeSet<RecordId>) -> Result<BTreeSet<RecordId>, Error> {
    let mut back = BTreeSet::new();
    for id in ids {
        if !waiting::pages(home, &BTreeSet::from([*id]))?.is_empty() {
            back.insert(*id);
        }
    }
    let others: BTreeSet<RecordId> = ids.difference(&back).copied().collect();
    if !others.is_empty() && survey(home, options, &others)?.objects > 0 {
        for id in others {
            if survey(home, options, &BTreeSet::from([id]))?.objects > 0 {
                back.insert(id);
            }
        }
    }
    Ok(back)
}

/// Begins to erase again what was erased and is back ([`back`]). Returns whether there is something: [`finish`] does it.
///
/// # Errors
/// Every [`Error`]. Nothing has begun then.
pub fn begin_again(exclusive: &Exclusive<'_>, options: &Options) -> Result<bool, Error> {
    let home = exclusive.home();
    let mut erased = BTreeMap::new();
    Index::open(&home.index_path(), options.index_wait)?.for_each_mark(|mark| {
        if mark.state == Presence::Erased {
            erased.insert(mark.of, mark.revision);
        }
    })?;
    let back = back(home, options, &erased.keys().copied().collect())?;
    erased.retain(|id, _| back.contains(id));
    if erased.is_empty() {
        return Ok(false);
    }
    Erasing::add(exclusive, erased)?;
    Ok(true)
}

/// What erasing `ids` would do to the repository of `home`. Changes nothing.
///
/// # Errors
/// [`Error::Unsupported`] if they could not be erased, [`Error::History`].
pub fn survey(home: &Home, options: &Options, ids: &BTreeSet<RecordId>) -> Result<Traces, Error> {
    let history = History::open(home.path(), options.history.clone())?;
    Ok(history.traces_of(ids)?)
}

/// Erases the records `ids`; the operation of each has its revision.
///
/// # Errors
/// [`Error::Unsupported`] and [`Error::InTheWay`]: nothing has changed. Any other [`Error`]: it may have begun, and the next
/// holder of the worker's lock goes on with it.
pub fn erase(
    exclusive: &Exclusive<'_>,
    options: &Options,
    ids: BTreeMap<RecordId, Revision>,
    progress: &mut dyn Progress,
) -> Result<Report, Error> {
    let home = exclusive.home();
    let history = History::open(home.path(), options.history.clone())?;
    let index = Index::open(&home.index_path(), options.index_wait)?;
    if !index.is_free(options.index_wait)? {
        return Err(Error::InTheWay("another process holds the lock of the index".to_owned()));
    }
    if home::is_adopted(home.private())? {
        let list: Vec<RecordId> = ids.keys().copied().collect();
        index.try_to_erase(&list).map_err(|error| Error::Unsupported(refused(&error)))?;
    }
    drop(index);
    if !is_git_at_rest(home, &history) {
        return Err(Error::InTheWay(AT_WORK.to_owned()));
    }
    Erasing::add(exclusive, ids)?;
    match finish(exclusive, options, progress)? {
        Some(report) => Ok(report),
        None => Err(Error::Unfinished("the note is gone".to_owned())),
    }
}

/// Finishes an erasure that has begun, if there is one.
///
/// # Errors
/// [`Error::Unfinished`] if another process is in the way; every other [`Error`]. The next holder of the lock goes on.
pub fn finish(
    exclusive: &Exclusive<'_>,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Option<Report>, Error> {
    let home = exclusive.home();
    let Some(mut note) = Erasing::read(home.private())? else { return Ok(None) };
    let ids: BTreeSet<RecordId> = note.ids.keys().copied().collect();
    tracing::info!(records = ids.len(), "erasing");
    let history = History::open(home.path(), options.history.clone())?;
    let mut pages = waiting::pages(home, &ids)?;
    let traces = Words::of(&pages, &ids).traces(&note);
    note.keep(exclusive, traces)?;
    let at = keep_away(exclusive, options, &note, progress)?;
    // The journal came from a backup: everything that was erased is erased again.
    if Erasing::read(home.private())?.is_some_and(|now| now.ids != note.ids) {
        return finish(exclusive, options, progress);
    }
    pages.extend(history.pages_of(&ids)?);
    let words = Words::of(&pages, &ids);
    note.keep(exclusive, words.traces(&note))?;
    let words = words.and_noted(&note);
    let list: Vec<RecordId> = ids.iter().copied().collect();
    in_the_way("the index", Index::erase_in(&home.index_path(), &list, options.index_wait))?;
    sweep::remove_derived(home)?;
    sync::forget(home, &ids, Instant::now() + SYNC_WAIT)
        .map_err(|error| Error::Unfinished(format!("sync.git: {error}")))?;
    sweep::sweep_private(home, &words, &ids, options.index_wait)?;
    sweep::remove_copies(home, &ids)?;
    sweep::remove_folders(home, &words);
    note.tips.extend(history.own_tips()?);
    note.write(exclusive)?;
    let commits = history.rewrite_without(&ids)?;
    note_tip(exclusive, &history, at)?;
    let old: Vec<String> = note.tips.iter().cloned().collect();
    if !is_git_at_rest(home, &history) {
        return Err(Error::Unfinished(AT_WORK.to_owned()));
    }
    // While the objects are there that some are stored as differences from.
    let strays = strays::clear(home, &history, &words, &ids)?;
    let kept_by = history.remove_objects_of(&ids, &old)?;
    let index = Index::open(&home.index_path(), options.index_wait)?;
    let found = proof::search(home, &history, &index, &words)?.and(strays);
    if let Some(path) = found.left.first() {
        return Err(Error::Unfinished(path.clone()));
    }
    Erasing::remove(exclusive)?;
    Ok(Some(Report { ids, commits, kept_by, others: found.others }))
}

/// Why the database of an adopted home does not let go of records.
fn refused(error: &index::Error) -> String {
    format!("the home's database, which is another program's, too, does not let go of it: {}", chain(error))
}

/// Waits until no git program is at work in the repository, as far as this process can see them; false if one still is.
fn is_git_at_rest(home: &Home, history: &History) -> bool {
    let folders: Vec<PathBuf> =
        [home.path(), history.common()].into_iter().filter_map(|path| os::real_path(path).ok()).collect();
    let start = Instant::now();
    while os::shows_every_process() && os::may_be_at_work(&folders, |_| false) {
        if start.elapsed() > GIT_WAIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Commits everything pending, keeps the records away for ever, and removes the segments that have them. Returns where the
/// journal is committed up to.
fn keep_away(
    exclusive: &Exclusive<'_>,
    options: &Options,
    note: &Erasing,
    progress: &mut dyn Progress,
) -> Result<crate::model::position::Position, Error> {
    let home = exclusive.home();
    let mut pipeline = Pipeline::open(exclusive, options.clone())?;
    recover::recover(&mut pipeline, Scope::Start, progress)?;
    pipeline.begin_segment()?;
    let op = |(of, revision): (&RecordId, &Revision)| Op::Erase { of: *of, revision: *revision };
    let named = fs::Error::io("append to", home.journal().dir().path());
    crash::at(Point::EraseBeforeAppend).map_err(named)?;
    pipeline.append(&note.ids.iter().map(op).collect::<Vec<_>>())?;
    pipeline.commit_everything(progress)?;
    pipeline.maintain()?;
    if pipeline.is_lagging() {
        return Err(Error::Unfinished("the index, which another process holds".to_owned()));
    }
    if pipeline.has_finished_segments()? {
        return Err(Error::Unfinished("segments of the journal".to_owned()));
    }
    for (id, revision) in &note.ids {
        let state = pipeline.committed_file(&state_file(*id))?;
        let state = state.and_then(|bytes| StateFile::parse(*id, &bytes));
        if state.is_none_or(|state| state.state != Presence::Erased) {
            return Err(Error::Unfinished(match refused_because(home, &Op::Erase { of: *id, revision: *revision })? {
                Some(why) => format!("the state file of {id}: {why}"),
                None => format!("the state file of {id}"),
            }));
        }
    }
    Ok(pipeline.committed())
}

/// Why the operation `op` waits in quarantine, if it does.
fn refused_because(home: &Home, op: &Op) -> Result<Option<String>, Error> {
    let of = op.of().to_string();
    let mut waiting = Contents::of(home)?.operations.into_iter();
    let is_it = |it: &ParkedOp| it.op.as_deref() == Some(op.name()) && it.of.as_deref() == Some(of.as_str());
    Ok(waiting.find(is_it).map(|it| it.why))
}

/// Notes that the history has the journal up to `at`: the trailers of rewritten commits do not say it.
fn note_tip(exclusive: &Exclusive<'_>, history: &History, at: crate::model::position::Position) -> Result<(), Error> {
    let Some(mut state) = State::read(exclusive.home().private())? else { return Ok(()) };
    state.noted = history.tip_name()?.map(|commit| Noted { position: at, commit: commit.to_string() });
    state.left = None;
    // It may name the pages of the records.
    state.edits = None;
    Ok(state.write(exclusive)?)
}

/// A lock that another process holds keeps `what` from being finished.
fn in_the_way(what: &str, done: Result<(), index::Error>) -> Result<(), Error> {
    match done {
        Err(error) if error.is_busy() => Err(Error::Unfinished(format!("{what}, which another process holds"))),
        done => Ok(done?),
    }
}
