//! Release: an adopted home becomes the framework's alone again, as it was, and keeps the records that were made since.
//!
//! 1. Nothing changes before every record is in its file, its row and a commit, and the stores agree.
//! 2. Scripts and the list of ignored files become what they were, byte for byte, unless they were changed since.
//! 3. Files, rows and the branch of the records stay, and so do our two tables: adopting again continues from there, under the
//!    same id.
//! 4. The private folder is set aside whole, with journal and copy of the database, unless it is to be removed.
//!
//! A release has the worker's lock. The folder stops being a home when its identity is renamed: from then on no recorder
//! starts. A recorder that had started can still append. So the journal is committed again, then closed, which stops every
//! acknowledgement, then read once more. An entry that was appended just before the close can become a record although its
//! recorder reports a failure.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the identity is renamed | a home, with some scripts put back | releasing again, or adopting again |
//! | after it | no home: its identity has another name, its journal may be closed | `init`, adopting and releasing take it back |
//! | after the private folder was set aside | a home of the framework; the private folder, or part of it, even if it was to be removed | its owner |

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{Error, NOTE_BYTES_MAX, Note, PAGE, database, note, scripts};
use crate::exclusive::Exclusive;
use crate::fs::{self, Dir, Point, crash};
use crate::home::{self, Home};
use crate::init;
use crate::journal::{self, Item, Reader};
use crate::model::layout::{ADOPTED, ADOPTED_EXCLUDE, IDENTITY, RELEASED, RELEASED_PRIVATE, TEMPORARY};
use crate::model::position::Position;
use crate::pipeline::{self, Pipeline, Progress};
use crate::private;
use crate::recover::{self, Scope};
use crate::target::history::History;
use crate::target::index;
use crate::verify::verify;

/// What a release would do, or has done.
#[derive(Clone, Debug, Serialize)]
pub struct Released {
    /// The home.
    pub home: PathBuf,
    /// The branch that has the records; it stays. `None` if nothing was ever recorded.
    pub branch: Option<String>,
    /// Whether that branch and HEAD have a commit in common. If not, the branch has nothing but records.
    pub branch_meets_head: bool,
    /// Whether HEAD has everything on the branch, for instance by a merge.
    pub head_has_branch: bool,
    /// Whether the owner's rules keep the records out of their own branches.
    pub ignores_records: bool,
    /// Whether the repository was made for the records; it stays too.
    pub made_repository: bool,
    /// Scripts put back or removed.
    pub scripts: u64,
    /// Scripts that their owner has replaced since. They stay.
    pub replaced: Vec<&'static str>,
    /// The journal mode that the database has again.
    pub journal_mode: String,
    /// Where the private folder is now, relative to the home; `None` if it was removed.
    pub aside: Option<String>,
}

/// The note of the adopted home at `path`. Changes nothing.
///
/// # Errors
/// [`Error::NotAdopted`], and every error of reading it.
pub fn look(path: &Path) -> Result<Note, Error> {
    let folder = home::open_folder(path)?;
    note(&folder)?.ok_or_else(|| Error::NotAdopted(folder.path().to_owned()))
}

/// Opens the adopted home at `path`, and takes back an interrupted release.
///
/// # Errors
/// [`Error::NotAdopted`], [`init::Error::Busy`] if another process is releasing it, and every error of opening it.
pub fn open(path: &Path) -> Result<(Home, Note), Error> {
    let note = look(path)?;
    init::take_back(&home::make_private(&home::open_folder(path)?)?)?;
    Ok((Home::open(path)?, note))
}

/// Releases the home of `exclusive`. With `remove`, its private folder is removed instead of set aside.
///
/// # Errors
/// [`Error::Unsettled`] if the stores disagree: nothing has changed then. [`Error::Index`] if another process uses the
/// database the whole time: the folder is still a home then. Every other [`Error`]; releasing again continues from there.
pub fn release(
    exclusive: &Exclusive<'_>,
    note: &Note,
    options: &pipeline::Options,
    remove: bool,
    progress: &mut dyn Progress,
) -> Result<Released, Error> {
    let home = exclusive.home();
    commit_everything(exclusive, options, progress)?;
    check_settled(home, options, progress)?;
    let step = |point| crash::at(point).map_err(fs::Error::io("release", home.path()));
    let (dir, private) = (home.dir(), home.private());
    let adopted = private.make_folder(ADOPTED)?;
    let history = History::open(home.path(), options.history.clone())?;
    let (removed, replaced) = scripts::remove(dir, &adopted)?;

    step(Point::ReleaseBeforeIdentity)?;
    init::rename_identity(private, IDENTITY, RELEASED)?;
    step(Point::ReleaseBeforeDatabase)?;
    let mode = note.journal_mode.as_deref().unwrap_or("delete");
    let last =
        commit_everything(exclusive, options, progress).and_then(|_| Ok(database::settle(&home.index_path(), mode)?));
    if let Err(error) = last {
        init::become_home_again(private, exclusive.lock())?;
        return Err(error);
    }
    let (parent, aside) = match put_aside(exclusive, options, &history, mode, progress) {
        // Another process has the database open, and the journal was not closed.
        Err(error @ Error::Index(_)) => {
            init::become_home_again(private, exclusive.lock())?;
            return Err(error);
        }
        aside => aside?,
    };
    if remove {
        parent.remove_tree(&aside)?;
        let _ = parent.sync()?;
    }
    let aside = parent.path().join(aside);
    let aside = aside.strip_prefix(dir.path()).unwrap_or(&aside).display().to_string();
    Ok(Released {
        home: home.path().to_owned(),
        branch: history.tip()?.map(|_| history.shown().trim_start_matches("refs/heads/").to_owned()),
        branch_meets_head: history.meets_head()?,
        head_has_branch: history.is_in_head()?,
        ignores_records: !history.is_owned() && history.ignores(PAGE)?,
        made_repository: !note.had_repository,
        scripts: removed,
        replaced,
        journal_mode: mode.to_owned(),
        aside: (!remove).then_some(aside),
    })
}

/// Sets the private folder aside, once everything in the journal is committed. Returns the folder that it is in, and its new
/// name.
fn put_aside(
    exclusive: &Exclusive<'_>,
    options: &pipeline::Options,
    history: &History,
    mode: &str,
    progress: &mut dyn Progress,
) -> Result<(Dir, String), Error> {
    let home = exclusive.home();
    let dir = home.dir();
    let excluded_before = home.private().folder(ADOPTED)?.content(ADOPTED_EXCLUDE, NOTE_BYTES_MAX)?;
    let step = |point| crash::at(point).map_err(fs::Error::io("release", home.path()));
    let temporary = home.private_folder(TEMPORARY)?;
    loop {
        // A commit adds our lines to the list of ignored files, so they are removed after it.
        let committed = commit_everything(exclusive, options, progress)?;
        // The commit opened the database, which in WAL mode leaves a log beside it.
        database::settle(&home.index_path(), mode)?;
        step(Point::ReleaseBeforeExclude)?;
        if !history.is_owned() {
            history.exclude_ours_no_more(excluded_before.as_deref())?;
        }
        step(Point::ReleaseBeforeEnd)?;
        exclusive.journal().close(&temporary)?;
        if !has_more(home, committed)? {
            break;
        }
        // From a recorder that had started before the identity was renamed. Its record is committed like any other.
        exclusive.journal().reopen()?;
    }
    step(Point::ReleaseBeforeAside)?;
    let (parent, private) = private::parent_of(dir)?;
    let name = format!("{private}{RELEASED_PRIVATE}{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let aside = parent.set_aside(private, &parent, &name)?;
    step(Point::ReleaseAfterAside)?;
    let _ = parent.sync()?;
    Ok((parent, aside))
}

/// Whether the journal has entries behind `committed`.
fn has_more(home: &Home, committed: Position) -> Result<bool, Error> {
    let mut reader = Reader::from_position(home.journal(), committed)?;
    loop {
        match reader.as_mut().map(Reader::next).transpose() {
            Ok(Some(Some(Item::Entry { .. }))) => return Ok(true),
            Ok(Some(Some(_))) => {}
            // The segment that closes it.
            Ok(_) | Err(journal::Error::Format { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Applies and commits everything pending. Returns the committed position.
fn commit_everything(
    exclusive: &Exclusive<'_>,
    options: &pipeline::Options,
    progress: &mut dyn Progress,
) -> Result<Position, Error> {
    let mut pipeline = Pipeline::open(exclusive, options.clone()).map_err(recover::Error::from)?;
    recover::recover(&mut pipeline, Scope::Start, progress)?;
    match pipeline.is_lagging() {
        false => Ok(pipeline.committed()),
        true => Err(index::Error::Busy { waited: options.index_wait }.into()),
    }
}

/// Refuses while the stores disagree or something needs attention.
fn check_settled(home: &Home, options: &pipeline::Options, progress: &mut dyn Progress) -> Result<(), Error> {
    let report = verify(home, &options.history, progress)?;
    if report.is_clean() {
        return Ok(());
    }
    let disagreements = report.disagreements.iter().map(|it| format!("{}: {}", it.path, it.what));
    let quarantine = &report.quarantine;
    let quarantine = quarantine.damaged.iter().chain(&quarantine.parked).map(|name| format!("quarantine: {name}"));
    let all: Vec<_> =
        disagreements.chain(quarantine).chain(report.index.iter().chain(&report.history).cloned()).collect();
    Err(Error::Unsettled { count: all.len(), first: all.first().cloned().unwrap_or_default() })
}
