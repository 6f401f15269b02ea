//! Makes a home, or adds what one lacks.
//!
//! 1. Every step can be repeated. `home.json`, which makes the folder a home, is written last.
//! 2. Before it come the folders, `.gitignore`, the index, the repository, the journal and `config.toml`, each whole or absent.
//! 3. The home's id comes from what lies in this folder and is carried nowhere by git: `home.json`, else `.git/indelible` in
//!    a repository that we made, else an index that the repository does not track. Otherwise a new id is drawn. No commit,
//!    branch or reference is asked: each can be another home's.
//! 4. A home whose release was interrupted ([`crate::adopt::release`]) has its identity under another name, and perhaps a
//!    closed journal. `init` takes the release back: first it reopens the journal, then it renames the identity.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before `home.json` | a folder that is not a home yet, perhaps with an index and a repository that have its id | `init` again, which continues with that id |
//! | after it | a home | nothing to do |
//! | while a file is replaced | the old file, the new one, or none; a temporary file | recovery empties that folder |
//! | while a release is taken back | no home, its journal closed or open | the next `init`, `adopt`, `release` or `recover` |

use std::path::Path;

use serde::Serialize;

use crate::fs::lock::{Holder, WorkerLock};
use crate::fs::{self, Dir, Durability, Point, crash, os};
use crate::home::{self, Identity, VERSION};
use crate::journal::{self, ExclusiveJournal, Journal};
use crate::model::HomeId;
use crate::model::layout::{
    CONFIG, EXPERIMENTS_ACTIVE, GITIGNORE, IDENTITY, INDEX, JOURNAL, MEMORY, PRIVATE, PRIVATE_FOLDERS, RELEASED,
    TEMPORARY,
};
use crate::private;
use crate::state::State;
use crate::target::history::{self, History, HistoryOptions};
use crate::target::index::{self, Index};

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// What was missing and has been made.
    pub added: Vec<&'static str>,
    /// The branch that shows the history.
    pub branch: String,
    /// The reference that has the history.
    pub reference: String,
    /// What the user can do if the branch does not show the newest commit, or if a repository around the home has taken it in.
    pub advice: Option<String>,
    /// The histories of other homes in the repository, and what the user can do to have their records here.
    pub others: Vec<String>,
    /// Whether the repository is the user's own and was there before.
    pub guest: bool,
    /// Whether the index is damaged; it was left alone.
    pub index_damaged: bool,
}

/// Why a home could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process works in the home.
    #[error("{} is at work in it", .0.0)]
    Busy(Holder),
    /// The folder cannot be a home.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not be made.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The index could not be made.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The repository could not be made or used.
    #[error(transparent)]
    History(#[from] history::Error),
}

/// Makes a home at `path`, or adds what is missing to the one that is there. `config` is the text of a new
/// configuration file.
///
/// # Errors
/// Every [`Error`]. What was made so far stays, and calling this again continues from there.
pub fn init(path: &Path, history: HistoryOptions, config: &str) -> Result<Made, Error> {
    let mut made = Made::default();
    let path = &std::path::absolute(path).map_err(fs::Error::io("find", path))?;
    if !home::is_home(path) {
        history::make_room(path)?;
        // In a repository that cannot be used nothing is made, since its own commands would show it.
        History::check(path, &history)?;
    }
    if make_home_folder(path)? {
        made.added.push("folder");
    }
    let home = home::open_folder(path)?;
    private::settle(&home, || !history::tracks(home.path(), PRIVATE))?;
    let private = make_folders(&home, &mut made)?;
    if take_back(&private)? {
        made.added.push("identity");
    }
    let temporary = private.folder(TEMPORARY)?;
    if private.find(GITIGNORE)?.is_none() {
        // A repository further up does not add the journal, and git does not show the folder after a release either.
        private.replace(GITIGNORE, b"*\n", &temporary, Durability::Full)?;
    }
    let identity = home::identity(&home, &private)?;
    let known = match identity {
        Some(identity) => Some(identity.id),
        None => private::marked_id(&home)?,
    };
    let id = make_index(&home, &private, known, &mut made)?;
    make_history(&home, &temporary, id, history, &mut made)?;
    make_journal(&private, &temporary, &mut made)?;
    if private.find(CONFIG)?.is_none() {
        // No journal can write it again, unlike a record's file, and a torn one would stop every command.
        private.replace(CONFIG, config.as_bytes(), &temporary, Durability::Full)?;
        made.added.push("config");
    }
    if identity.is_none() {
        crash::at(Point::InitIdentity).map_err(fs::Error::io("make", path))?;
        let identity = Identity { version: VERSION, id };
        let text = serde_json::to_string(&identity).expect("it is made of numbers and an id");
        private.replace(IDENTITY, text.as_bytes(), &temporary, Durability::Full)?;
        home.sync()?;
        made.added.push("identity");
    }
    Ok(made)
}

/// Takes back an interrupted release: the folder is a home again. Returns whether there was one. A running release has the
/// worker's lock, so only its next owner knows that the release is dead. A journal that is reopened beside a running release
/// would acknowledge records that are never committed.
///
/// # Errors
/// [`Error::Busy`] if a release is running, and [`Error::Fs`].
pub(crate) fn take_back(private: &Dir) -> Result<bool, Error> {
    let is_released = || Ok::<_, Error>(private.find(IDENTITY)?.is_none() && private.find(RELEASED)?.is_some());
    if !is_released()? {
        return Ok(false);
    }
    let lock = lock(private, "the end of an interrupted release")?;
    let taken_back = is_released()?;
    if taken_back {
        become_home_again(private, &lock)?;
    }
    Ok(taken_back)
}

/// Takes the worker's lock of `private`, unless a release has just set that folder aside.
///
/// # Errors
/// [`Error::Busy`] if another process has the lock, and [`Error::Fs`].
pub(crate) fn lock(private: &Dir, purpose: &str) -> Result<WorkerLock, Error> {
    let lock = WorkerLock::try_take(private, purpose)?.map_err(Error::Busy)?;
    match lock.is_current()? {
        true => Ok(lock),
        false => Err(Error::Busy(Holder("a release that has just ended".to_owned()))),
    }
}

/// Takes back a release, for the owner of the worker's lock.
///
/// # Errors
/// [`Error::Fs`] and [`Error::Journal`]; it can be taken back again then.
pub(crate) fn become_home_again(private: &Dir, lock: &WorkerLock) -> Result<(), Error> {
    let journal = Journal::new(private.folder(JOURNAL)?);
    ExclusiveJournal::of(&journal, lock).reopen()?;
    rename_identity(private, RELEASED, IDENTITY)
}

/// Renames a home's identity. The rename is durable when this returns.
///
/// # Errors
/// [`Error::Fs`].
pub(crate) fn rename_identity(private: &Dir, from: &str, to: &str) -> Result<(), Error> {
    private.set_aside(from, private, to)?;
    private.sync()?;
    Ok(())
}

fn make_home_folder(path: &Path) -> Result<bool, Error> {
    if path.is_dir() {
        return Ok(false);
    }
    home::check_length(path)?;
    // Checked first, so that no empty folder is left where no home can be.
    let above = path.ancestors().skip(1).find(|above| above.is_dir());
    if let Some(above) = above {
        home::check_file_system(&Dir::open(above)?)?;
    }
    let make = os::private_folders().recursive(true).create(path);
    make.map_err(fs::Error::io("make the folder", path))?;
    // Nothing in the home is durable before the names that lead to it are.
    for folder in path.ancestors().skip(1).take_while(|folder| above.is_some_and(|above| folder.starts_with(above))) {
        Dir::open(folder)?.sync()?;
    }
    Ok(true)
}

fn make_folders(home: &Dir, made: &mut Made) -> Result<Dir, Error> {
    crash::at(Point::InitFolders).map_err(fs::Error::io("make folders in", home.path()))?;
    let missing = |path: &str| home.find(path).map(|found| found.is_none());
    if missing(MEMORY)? {
        made.added.push("memory");
    }
    for folder in [MEMORY, EXPERIMENTS_ACTIVE] {
        // Each can be a mount of its own.
        home::check_file_system(&home.make_folder(folder)?)?;
    }
    if home::private_of(home)?.is_none() {
        made.added.push("private");
    }
    let private = home::make_private(home)?;
    home::check_file_system(&private)?;
    for folder in PRIVATE_FOLDERS {
        let _ = private.make_folder(folder)?;
    }
    Ok(private)
}

/// Makes the index, or what it lacks. Returns the home's id: `known`, else the one in the index if that is this home's, else a
/// new one. The index has that id then. A damaged index is left alone: `repair` rebuilds it.
fn make_index(home: &Dir, private: &Dir, known: Option<HomeId>, made: &mut Made) -> Result<HomeId, Error> {
    crash::at(Point::InitIndex).map_err(fs::Error::io("make the index in", home.path()))?;
    let missing = home.find(INDEX)?.is_none();
    let path = home.path().join(INDEX);
    let is_adopted = home::is_adopted(private)?;
    let id = known.unwrap_or_else(|| HomeId(crate::random::id()));
    let make = || -> Result<(Index, HomeId), index::Error> {
        let found = Index::create(&path, id)?;
        let mut index = Index::open(&path, index::PATIENCE)?;
        index.update_layout(is_adopted)?;
        Ok((index, found))
    };
    let (mut index, found) = match make() {
        Ok(made) => made,
        Err(error) if error.is_lost() => {
            made.index_damaged = true;
            return Ok(id);
        }
        Err(error) => return Err(error.into()),
    };
    if missing {
        made.added.push("index");
    }
    if found == id || (known.is_none() && is_index_ours(home, found)?) {
        return Ok(found);
    }
    index.set_home(id)?;
    Ok(id)
}

/// Whether the index, which has the id `found`, belongs to the home in this folder. An index that the repository tracks may
/// have come with a clone or a pull, so it counts only if a home with that id was released here.
fn is_index_ours(home: &Dir, found: HomeId) -> Result<bool, Error> {
    if !history::tracks(home.path(), INDEX) {
        return Ok(true);
    }
    for released in private::released(home)? {
        if home::identity_in(home, &released, RELEASED)?.is_some_and(|it| it.id == found) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn make_history(
    home: &Dir,
    temporary: &Dir,
    id: HomeId,
    options: HistoryOptions,
    made: &mut Made,
) -> Result<(), Error> {
    crash::at(Point::InitHistory).map_err(fs::Error::io("make the repository in", home.path()))?;
    let (history, new) = History::init(home.path(), temporary.path(), id, options)?;
    if new {
        made.added.push("history");
    }
    made.branch = history.branch().to_owned();
    made.reference = history.reference().to_owned();
    made.advice = history.advice().unwrap_or_default();
    made.others = history.others().unwrap_or_default();
    made.guest = !history.is_owned();
    Ok(())
}

fn make_journal(private: &Dir, temporary: &Dir, made: &mut Made) -> Result<(), Error> {
    crash::at(Point::InitJournal).map_err(fs::Error::io("make the journal in", private.path()))?;
    let journal = Journal::new(private.folder(JOURNAL)?);
    let id = journal.ensure_id(private, temporary)?;
    if journal.ensure_first()? {
        made.added.push("journal");
        // A journal that begins with its home has every record, so nothing has to be looked up elsewhere.
        if made.added.contains(&"index") {
            State::of_new(id).create(private, temporary)?;
        }
    }
    Ok(())
}
