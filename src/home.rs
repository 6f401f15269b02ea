//! A home: one folder that is markdown files, an index and a history, and a private folder beside them.
//!
//! A folder is a home once `home.json` is in its private folder ([`crate::private`]), which `init` writes last.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::{self, Dir, os};
use crate::journal::Journal;
use crate::model::HomeId;
use crate::private;
pub use crate::private::{PRIVATE, make_private, private_of};

/// What makes a folder a home, in its private folder.
pub const IDENTITY: &str = "home.json";
/// The folder of the journal, in the private one.
pub const JOURNAL: &str = "journal";
/// The folders inside the private one.
pub const PRIVATE_FOLDERS: [&str; 5] = [JOURNAL, "tmp", "quarantine", "logs", "requests"];
/// The folder of an adoption, in the private one, where the home had an owner before us.
pub const ADOPTED: &str = "adopted";
/// What the home was like before it was adopted, in that folder. A home is adopted once this is there.
pub const ADOPTION: &str = "adoption.json";
/// The copy of the database that the worker renews, in that folder.
pub const DAILY: &str = "daily.db";
/// The index, relative to the home.
pub const INDEX: &str = "memory/index.db";
/// The longest path of a home, in bytes: SQLite takes 512 for an index, of which it needs some for itself and for the names
/// of the files beside it. Whatever else lies in a home is opened beneath its open folder, or by paths far shorter than a
/// system allows.
pub const PATH_BYTES_MAX: usize = 500 - 1 - INDEX.len();
/// The version of the home's layout.
pub const VERSION: u32 = 1;

/// Which home this is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version of the layout.
    pub version: u32,
    /// Random; the ids of keyed records are made from it.
    pub id: HomeId,
}

/// An open home.
#[derive(Debug)]
pub struct Home {
    dir: Dir,
    private: Dir,
    journal: Journal,
    id: HomeId,
}

/// Why a folder cannot be used as a home.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no home at all.
    #[error("there is no home at {}", .0.display())]
    Missing(PathBuf),
    /// It was a home, and something of it is gone or unreadable.
    #[error("the home at {} is broken: {what}", path.display())]
    Broken {
        /// The home.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer version of the program made it.
    #[error("the home at {} has layout version {found}; this program knows versions up to {VERSION}", path.display())]
    Newer {
        /// The home.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
    /// Its file system cannot keep the promises.
    #[error("{} is on {file_system}, which cannot promise that what was written is kept", path.display())]
    Unsuitable {
        /// The home.
        path: PathBuf,
        /// What the file system is called.
        file_system: &'static str,
    },
    /// Its path leaves no room for the files in it.
    #[error(
        "the path {} has {} bytes; SQLite opens no index in a folder whose path has more than {PATH_BYTES_MAX}",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else owns it.
    #[error("{} belongs to user {owner}, and this is user {}", path.display(), os::user())]
    NotYours {
        /// The folder.
        path: PathBuf,
        /// The numeric id of the user who owns it.
        owner: u32,
    },
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// Opens `path` as a folder that could be a home.
///
/// # Errors
/// [`Error::Missing`] if there is no folder, [`Error::NotYours`] and [`Error::Unsuitable`] if it must not be used.
pub fn open_folder(path: &Path) -> Result<Dir, Error> {
    let dir = match Dir::open(path) {
        Err(error) if error.is_not_found() => return Err(Error::Missing(path.into())),
        Err(error) if error.io_kind() == Some(ErrorKind::PermissionDenied) => {
            return Err(not_yours(path).unwrap_or(error.into()));
        }
        Err(error) => return Err(error.into()),
        Ok(dir) => dir,
    };
    check_owner(&dir)?;
    check_file_system(&dir)?;
    check_length(dir.path())?;
    Ok(dir)
}

/// Checks that a home at `path` can have an index.
///
/// # Errors
/// [`Error::TooLong`].
pub fn check_length(path: &Path) -> Result<(), Error> {
    match path.as_os_str().len() > PATH_BYTES_MAX {
        true => Err(Error::TooLong { path: path.into() }),
        false => Ok(()),
    }
}

/// Checks that the folder's file system can keep the promises.
///
/// # Errors
/// [`Error::Unsuitable`].
pub fn check_file_system(dir: &Dir) -> Result<(), Error> {
    match os::unsuitable_file_system(dir)? {
        Some(file_system) => Err(Error::Unsuitable { path: dir.path().into(), file_system }),
        None => Ok(()),
    }
}

/// Why the folder at `path` may not be opened, if that is because it is somebody else's.
fn not_yours(path: &Path) -> Option<Error> {
    let owner = os::owner_of(path)?;
    (owner != os::user()).then(|| Error::NotYours { path: path.into(), owner })
}

fn check_owner(dir: &Dir) -> Result<(), Error> {
    let owner = dir.stat()?.owner;
    let ours = owner == os::user();
    ours.then_some(()).ok_or_else(|| Error::NotYours { path: dir.path().into(), owner })
}

/// The identity of the home whose private folder is `private`, or `None` where there is none.
///
/// # Errors
/// [`Error::Broken`] if it cannot be understood, [`Error::Newer`] if a newer program wrote it.
pub fn identity(home: &Dir, private: &Dir) -> Result<Option<Identity>, Error> {
    identity_in(home, private, IDENTITY)
}

/// The identity in the file `name` of the private folder `private`.
pub(crate) fn identity_in(home: &Dir, private: &Dir, name: &str) -> Result<Option<Identity>, Error> {
    let Some(text) = private.content(name, 4096)? else { return Ok(None) };
    let path = || home.path().to_owned();
    match serde_json::from_slice::<Identity>(&text) {
        Ok(identity) if identity.version > VERSION => Err(Error::Newer { path: path(), found: identity.version }),
        Ok(identity) => Ok(Some(identity)),
        Err(error) => {
            Err(Error::Broken { path: path(), what: format!("{}/{name}: {error}", private::shown(home, private)) })
        }
    }
}

/// Whether the home with the private folder `private` was adopted, and so has tables of the framework's.
///
/// # Errors
/// [`fs::Error`] if it cannot be told.
pub fn is_adopted(private: &Dir) -> Result<bool, fs::Error> {
    match private.folder(ADOPTED) {
        Err(error) if error.is_not_found() => Ok(false),
        adopted => Ok(adopted?.find(ADOPTION)?.is_some()),
    }
}

/// Whether the folder at `path` is a home, broken ones included.
pub fn is_home(path: &Path) -> bool {
    private::has(path, IDENTITY)
}

impl Home {
    /// Opens the home at `path`.
    ///
    /// # Errors
    /// Every [`Error`]; nothing has been changed then.
    pub fn open(path: &Path) -> Result<Home, Error> {
        Home::within(open_folder(path)?, path)
    }

    /// The home in the folder `dir`, which the user calls `path`.
    pub(crate) fn within(dir: Dir, path: &Path) -> Result<Home, Error> {
        let Some(private) = private_of(&dir)? else { return Err(Error::Missing(path.into())) };
        check_owner(&private)?;
        // The journal is in it, and it may be a mount of its own.
        check_file_system(&private)?;
        let Some(identity) = identity(&dir, &private)? else { return Err(Error::Missing(path.into())) };
        let journal = Journal::new(folder_of(&dir, &private, JOURNAL)?);
        Ok(Home { dir, private, journal, id: identity.id })
    }

    /// Checks that it still is a home: whoever had the worker's lock before may have released it.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is none any more.
    pub fn check_current(&self) -> Result<(), Error> {
        if is_home(self.path()) { Ok(()) } else { Err(Error::Missing(self.path().into())) }
    }

    /// The home's folder.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its private folder.
    pub fn private(&self) -> &Dir {
        &self.private
    }

    /// Its path, without symbolic links.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its id.
    pub fn id(&self) -> HomeId {
        self.id
    }

    /// One of the [`PRIVATE_FOLDERS`], made again if it is missing: what copies a home need not carry empty folders.
    ///
    /// # Errors
    /// [`Error::Broken`] if it is the journal that is missing, [`Error::Fs`] if another cannot be made.
    pub fn private_folder(&self, name: &str) -> Result<Dir, Error> {
        folder_of(&self.dir, &self.private, name)
    }

    /// Its journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The copies of an adopted home's database, the newest first: the one that the worker renews, and that from the
    /// adoption; of several of these the last one. None if it was not adopted, or had no database.
    ///
    /// # Errors
    /// [`Error::Fs`] if it cannot be told.
    pub fn index_copies(&self) -> Result<Vec<PathBuf>, Error> {
        let folder = match self.private.folder(ADOPTED) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            folder => folder?,
        };
        let names = folder.names()?;
        let daily = names.iter().filter(|name| *name == DAILY);
        let adopted = names.iter().filter(|name| name.starts_with("index-") && name.ends_with(".db")).max();
        Ok(daily.chain(adopted).map(|name| folder.path().join(name)).collect())
    }

    /// The path of the index, for SQLite, which opens by path.
    pub fn index_path(&self) -> PathBuf {
        self.path().join(INDEX)
    }
}

/// A journal is never empty, so one that is missing is lost, or a disk that is not mounted: where recorders went on in a
/// new one, what they acknowledge would be hidden once the old one is back. `recover` makes a new one, on demand.
fn folder_of(home: &Dir, private: &Dir, name: &str) -> Result<Dir, Error> {
    match private.folder(name) {
        Err(error) if error.is_not_found() && name == JOURNAL => Err(Error::Broken {
            path: home.path().into(),
            what: format!("{}/{name} is missing", private::shown(home, private)),
        }),
        Err(error) if error.is_not_found() => Ok(private.make_folder(name)?),
        folder => Ok(folder?),
    }
}
