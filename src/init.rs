//! Making a home, or what is missing of one.
//!
//! Every step can be repeated, and `home.json`, which makes the folder a home, is written last. Before it come, each whole
//! or not there, the folders, `.gitignore`, the index, the repository, the journal and `config.toml`.
//!
//! A home whose release was interrupted ([`crate::adopt::release`]) has its identity under another name, and a journal
//! that may have been ended. It is not made anew but taken back: first the journal goes on, then the name.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before `home.json` | a folder that is not a home yet | `init` again, which goes on where it was |
//! | after it | a home | nothing to do |
//! | while a file is replaced | the old one or the new one, or none; a temporary file | recovery empties that folder |
//! | while a release is taken back | no home, its journal ended or not | whoever takes it back next |

use std::path::Path;

use serde::Serialize;
use uuid::Uuid;

use crate::fs::lock::{Holder, WorkerLock};
use crate::fs::{self, Dir, Durability, Point, crash, os};
use crate::home::{self, Identity, PRIVATE_FOLDERS, VERSION};
use crate::journal::{self, ExclusiveJournal, Journal};
use crate::private;
use crate::state::State;
use crate::target::history::{self, History, HistoryOptions};
use crate::target::index::{self, Index};

/// The name of the configuration file in the private folder.
pub const CONFIG: &str = "config.toml";
/// The name of the list of files that git leaves alone, here all of the private folder.
const IGNORED: &str = ".gitignore";
/// The identity of a home that is being released.
pub(crate) const RELEASED: &str = "released.json";

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// What was missing and is there now.
    pub added: Vec<&'static str>,
    /// The branch that shows the history.
    pub branch: String,
    /// The reference that has it.
    pub reference: String,
    /// What its owner can do where the branch does not show the newest commit, or a repository around it took the home in.
    pub advice: Option<String>,
    /// Whether the repository was there before, and is somebody's own.
    pub guest: bool,
    /// Whether the index is there but damaged, and was left alone.
    pub index_damaged: bool,
}

/// Why a home could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else is at it.
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
/// Every [`Error`]; what was made so far stays, and making it again goes on from there.
pub fn init(path: &Path, history: HistoryOptions, config: &str) -> Result<Made, Error> {
    let mut made = Made::default();
    let path = &std::path::absolute(path).map_err(fs::Error::io("find", path))?;
    if !home::is_home(path) {
        history::make_room(path)?;
        // A repository that cannot be used gets nothing that its own commands would show.
        History::check(path, &history)?;
    }
    if make_home_folder(path)? {
        made.added.push("folder");
    }
    let home = home::open_folder(path)?;
    private::settle(&home, || !history::tracks(home.path(), home::PRIVATE))?;
    let private = make_folders(&home, &mut made)?;
    if take_back(&private)? {
        made.added.push("identity");
    }
    let temporary = private.folder("tmp")?;
    if private.find(IGNORED)?.is_none() {
        // A repository further up, which has the home among its files, does not take the journal along; and wherever a
        // release puts the folder, git does not show it.
        private.replace(IGNORED, b"*\n", &temporary, Durability::Full)?;
    }
    let identity = home::identity(&home, &private)?;
    let id = match identity {
        Some(identity) => identity.id,
        None => id_in_history(path, &history)?.unwrap_or_else(crate::random::id),
    };
    let id = make_index(&home, &private, id, &mut made)?;
    make_history(&home, &temporary, id, history, &mut made)?;
    make_journal(&private, &temporary, &mut made)?;
    if private.find(CONFIG)?.is_none() {
        // Unlike a record's file, nothing could write it again: half of one would stop every command.
        private.replace(CONFIG, config.as_bytes(), &temporary, Durability::Full)?;
        made.added.push("config");
    }
    if identity.is_none() {
        crash::at(Point::InitIdentity).map_err(fs::Error::io("make", path))?;
        let identity = Identity { version: VERSION, id };
        let text = serde_json::to_string(&identity).expect("it is made of numbers and an id");
        private.replace(home::IDENTITY, text.as_bytes(), &temporary, Durability::Full)?;
        let _ = home.sync()?;
        made.added.push("identity");
    }
    Ok(made)
}

/// Makes the home one again whose release was interrupted. Returns whether it was. Whoever releases a home has the worker's
/// lock: without that it cannot be told whether they are gone, and a journal that goes on beside them would acknowledge
/// what nobody commits.
///
/// # Errors
/// [`Error::Busy`] if it is being released at the moment, and what the disk refuses.
pub(crate) fn take_back(private: &Dir) -> Result<bool, Error> {
    let is_released = || Ok::<_, Error>(private.find(home::IDENTITY)?.is_none() && private.find(RELEASED)?.is_some());
    if !is_released()? {
        return Ok(false);
    }
    let lock = lock(private, "whoever takes a release back")?;
    let taken_back = is_released()?;
    if taken_back {
        become_home_again(private, &lock)?;
    }
    Ok(taken_back)
}

/// The worker's lock, if nobody has it, of a private folder that was not put aside meanwhile.
///
/// # Errors
/// [`Error::Busy`], and what the disk refuses.
pub(crate) fn lock(private: &Dir, purpose: &str) -> Result<WorkerLock, Error> {
    let lock = WorkerLock::try_take(private, purpose)?.map_err(Error::Busy)?;
    match lock.is_current()? {
        true => Ok(lock),
        false => Err(Error::Busy(Holder("a release that has just ended".to_owned()))),
    }
}

/// Takes back a release, for whoever has the worker's lock.
///
/// # Errors
/// What the disk refuses; it can be taken back again then.
pub(crate) fn become_home_again(private: &Dir, lock: &WorkerLock) -> Result<(), Error> {
    let journal = Journal::new(private.folder("journal")?);
    ExclusiveJournal::of(&journal, lock).reopen()?;
    rename_identity(private, RELEASED, home::IDENTITY)
}

/// Gives a home's identity its other name. Durable when it returns.
///
/// # Errors
/// What the disk refuses.
pub(crate) fn rename_identity(private: &Dir, from: &str, to: &str) -> Result<(), Error> {
    private.set_aside(from, private, to)?;
    let _ = private.sync()?;
    Ok(())
}

fn make_home_folder(path: &Path) -> Result<bool, Error> {
    if path.is_dir() {
        return Ok(false);
    }
    home::check_length(path)?;
    // A folder that could not be used would be left behind empty.
    let above = path.ancestors().skip(1).find(|above| above.is_dir());
    if let Some(above) = above {
        home::check_file_system(&Dir::open(above)?)?;
    }
    let make = os::private_folders().recursive(true).create(path);
    make.map_err(fs::Error::io("make the folder", path))?;
    // What is durable within the home is so only if the names that lead to it are.
    for folder in path.ancestors().skip(1).take_while(|folder| above.is_some_and(|above| folder.starts_with(above))) {
        let _ = Dir::open(folder)?.sync()?;
    }
    Ok(true)
}

/// The id of a home that has lost its private folder, and perhaps its index, as its commits have it: keys name the same
/// records as before. A history that cannot be used says so when it is made sure of.
fn id_in_history(home: &Path, options: &HistoryOptions) -> Result<Option<Uuid>, Error> {
    match History::open(home, options.clone()).and_then(|history| history.home_id()) {
        Err(error) if !error.is_transient() => Ok(None),
        id => Ok(id?),
    }
}

fn make_folders(home: &Dir, made: &mut Made) -> Result<Dir, Error> {
    crash::at(Point::InitFolders).map_err(fs::Error::io("make folders in", home.path()))?;
    let missing = |path: &str| home.find(path).map(|found| found.is_none());
    if missing("memory")? {
        made.added.push("memory");
    }
    for folder in ["memory", "experiments/active"] {
        // It may be a mount of its own.
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

/// Makes the index, or what it lacks. A damaged one is left alone: `repair` builds it anew.
fn make_index(home: &Dir, private: &Dir, id: Uuid, made: &mut Made) -> Result<Uuid, Error> {
    crash::at(Point::InitIndex).map_err(fs::Error::io("make the index in", home.path()))?;
    let missing = home.find(home::INDEX)?.is_none();
    let path = home.path().join(home::INDEX);
    let is_adopted = home::is_adopted(private)?;
    let make = || -> Result<Uuid, index::Error> {
        let id = Index::create(&path, id)?;
        Index::open(&path, index::PATIENCE)?.update_layout(is_adopted)?;
        Ok(id)
    };
    match make() {
        Ok(id) => {
            if missing {
                made.added.push("index");
            }
            Ok(id)
        }
        Err(error) if error.is_lost() => {
            made.index_damaged = true;
            Ok(id)
        }
        Err(error) => Err(error.into()),
    }
}

fn make_history(home: &Dir, temporary: &Dir, id: Uuid, options: HistoryOptions, made: &mut Made) -> Result<(), Error> {
    crash::at(Point::InitHistory).map_err(fs::Error::io("make the repository in", home.path()))?;
    let (history, new) = History::init(home.path(), temporary.path(), id, options)?;
    if new {
        made.added.push("history");
    }
    made.branch = history.branch().to_owned();
    made.reference = history.reference().to_owned();
    made.advice = history.advice().unwrap_or_default();
    made.guest = !history.is_owned();
    Ok(())
}

fn make_journal(private: &Dir, temporary: &Dir, made: &mut Made) -> Result<(), Error> {
    crash::at(Point::InitJournal).map_err(fs::Error::io("make the journal in", private.path()))?;
    let journal = Journal::new(private.folder("journal")?);
    let id = journal.ensure_id(private, temporary)?;
    if journal.ensure_first()? {
        made.added.push("journal");
        // A journal that begins together with its home has every record there is: nothing has to be looked for.
        if made.added.contains(&"index") {
            State::of_new(id).create(private, temporary)?;
        }
    }
    Ok(())
}
