//! Release: an adopted home is theirs alone again, as it was, with the records that came to it.
//!
//! 1. Nothing is let go before everything recorded is in its file, its row and a commit, and the stores agree.
//! 2. Scripts and the list of ignored files become what they were, byte for byte, where nobody changed them since.
//! 3. Files, rows and the branch of the records stay, and so do our two tables: adopted again, the home goes on from there.
//! 4. The private folder is put aside whole, journal and copy of the database included, unless it is to be removed.
//!
//! Whoever releases has the worker's lock. The home stops being one when its identity is renamed: from then on no recorder
//! begins. One that had begun may still append, so what is in the journal is committed again, then the journal is ended,
//! which keeps anything from being acknowledged, and looked at once more. What a recorder had appended by then and was
//! stopped before it could say so may be taken for a record, and its caller be told that it is none.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the identity is renamed | a home, with some scripts put back | releasing again, or adopting again |
//! | after it | no home: its identity has another name, its journal may be ended | `init`, adopting and releasing take it back |
//! | after the private folder was put aside | a home of theirs; the folder, or part of it, also if it was to go | its owner |

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{EXCLUDE, Error, NOTE_BYTES_MAX, Note, PAGE, database, note, scripts};
use crate::exclusive::Exclusive;
use crate::fs::{self, Dir, Point, crash};
use crate::home::{self, ADOPTED, Home, IDENTITY};
use crate::init::{self, RELEASED};
use crate::journal::{self, Item, Reader};
use crate::model::position::Position;
use crate::pipeline::{self, Committer, Progress};
use crate::private::{self, ASIDE};
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
    /// Whether that branch and HEAD have a commit in common; if not, it has nothing but records.
    pub branch_meets_head: bool,
    /// Whether HEAD has all that is on the branch, by a merge for one.
    pub head_has_branch: bool,
    /// Whether the owner's rules keep the records out of their own branches.
    pub ignores_records: bool,
    /// Whether the repository was made for the records; it stays too.
    pub made_repository: bool,
    /// Scripts put back or removed.
    pub scripts: u64,
    /// Scripts that their owner has replaced since, which stay.
    pub replaced: Vec<&'static str>,
    /// The journal mode that the database is in again.
    pub journal_mode: String,
    /// Where the private folder is now, relative to the home; `None` if it was removed.
    pub aside: Option<String>,
}

/// What was noted of the adopted home at `path`. Changes nothing.
///
/// # Errors
/// [`Error::NotAdopted`], and whatever keeps it from being looked at.
pub fn look(path: &Path) -> Result<Note, Error> {
    let folder = home::open_folder(path)?;
    note(&folder)?.ok_or_else(|| Error::NotAdopted(folder.path().to_owned()))
}

/// Opens the adopted home at `path`, and takes back what an interrupted release has left.
///
/// # Errors
/// [`Error::NotAdopted`], [`init::Error::Busy`] if somebody releases it at the moment, and whatever keeps it from being
/// opened.
pub fn open(path: &Path) -> Result<(Home, Note), Error> {
    let note = look(path)?;
    init::take_back(&home::make_private(&home::open_folder(path)?)?)?;
    Ok((Home::open(path)?, note))
}

/// Releases the home of `exclusive`; with `remove` its private folder is removed instead of put aside.
///
/// # Errors
/// [`Error::Unsettled`] if not everything is where it belongs: nothing has been changed then. [`Error::Index`] if
/// somebody uses the database all the time: it is still a home then. Every other [`Error`]; releasing again goes on from
/// there.
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
        // Another process has the database open, and the journal was not ended.
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

/// Puts the private folder aside, once the journal holds nothing that is not committed. Returns where it is, and its new
/// name there.
fn put_aside(
    exclusive: &Exclusive<'_>,
    options: &pipeline::Options,
    history: &History,
    mode: &str,
    progress: &mut dyn Progress,
) -> Result<(Dir, String), Error> {
    let home = exclusive.home();
    let dir = home.dir();
    let excluded_before = home.private().folder(ADOPTED)?.content(EXCLUDE, NOTE_BYTES_MAX)?;
    let step = |point| crash::at(point).map_err(fs::Error::io("release", home.path()));
    let temporary = home.private_folder("tmp")?;
    loop {
        // Who commits adds our lines to the list of ignored files, so they go after that.
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
        // A recorder that had begun before the home stopped being one: its record goes the usual way.
        exclusive.journal().reopen()?;
    }
    step(Point::ReleaseBeforeAside)?;
    let (parent, private) = private::parent_of(dir)?;
    let name = format!("{private}{ASIDE}{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
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
            // That is the segment that ends it.
            Ok(_) | Err(journal::Error::Format { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Applies and commits everything pending. Returns up to where the journal is committed.
fn commit_everything(
    exclusive: &Exclusive<'_>,
    options: &pipeline::Options,
    progress: &mut dyn Progress,
) -> Result<Position, Error> {
    let mut committer = Committer::open(exclusive, options.clone()).map_err(recover::Error::from)?;
    recover::recover(&mut committer, Scope::Start, progress)?;
    match committer.rows_owed() {
        None => Ok(committer.committed()),
        Some(_) => Err(index::Error::Busy { waited: options.index_wait }.into()),
    }
}

/// Refuses while something of the records disagrees or waits for a person.
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
