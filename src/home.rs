//! A home: one folder that is markdown files, an index and a history, and a private folder beside them.
//!
//! A folder is a home once `home.json` is in its private folder ([`crate::private`]). `init` writes that file last.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::{self, Dir, os};
use crate::journal::Journal;
use crate::model::HomeId;
use crate::model::layout::{ADOPTED, ADOPTION, DAILY, DATABASE, IDENTITY, INDEX, INDEX_COPY, JOURNAL};
use crate::private;
pub use crate::private::{make_private, private_of};

/// The longest path of a home, in bytes. SQLite takes 512 for an index, and needs some of them for the names of the files
/// beside it. Everything else in a home is opened beneath its open folder, or by paths far shorter than a system allows.
pub const PATH_BYTES_MAX: usize = 500 - 1 - INDEX.len();
/// The version of the home's layout.
pub const VERSION: u32 = 1;

/// The content of `home.json`: which home this is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version of the layout.
    pub version: u32,
    /// Random; the ids of keyed records are made from it.
    pub id: HomeId,
}

/// An open home.
///
/// ```
/// use indelible::home::{Error, Home};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("home");
/// assert!(matches!(Home::open(&path), Err(Error::Missing(_))));
///
/// indelible::init::init(&path, Default::default(), "")?;
/// let home = Home::open(&path)?;
/// assert!(home.index_path().is_file());
///
/// // A home has one id for its whole life, wherever it is moved.
/// let moved = folder.path().join("moved");
/// let id = home.id();
/// drop(home);
/// std::fs::rename(&path, &moved)?;
/// assert_eq!(Home::open(&moved)?.id(), id);
/// # Ok(())
/// # }
/// ```
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
    /// The folder is not a home.
    #[error("there is no home at {}", .0.display())]
    Missing(PathBuf),
    /// The folder is a home, and something in it is missing or unreadable.
    #[error("the home at {} is broken: {what}", path.display())]
    Broken {
        /// The home.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer version of the program made the home.
    #[error("the home at {} has layout version {found}; this program knows versions up to {VERSION}", path.display())]
    Newer {
        /// The home.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
    /// The file system cannot keep the promises.
    #[error("{} is on {file_system}, which cannot promise that what was written is kept", path.display())]
    Unsuitable {
        /// The home.
        path: PathBuf,
        /// What the file system is called.
        file_system: &'static str,
    },
    /// The path is too long for the files in the home.
    #[error(
        "the path {} has {} bytes; SQLite opens no index in a folder whose path has more than {PATH_BYTES_MAX}",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The folder.
        path: PathBuf,
    },
    /// Another user owns the folder.
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

/// The error for a folder at `path` that belongs to another user, if it does.
fn not_yours(path: &Path) -> Option<Error> {
    let owner = os::owner_of(path)?;
    (owner != os::user()).then(|| Error::NotYours { path: path.into(), owner })
}

fn check_owner(dir: &Dir) -> Result<(), Error> {
    let owner = dir.stat()?.owner;
    let ours = owner == os::user();
    ours.then_some(()).ok_or_else(|| Error::NotYours { path: dir.path().into(), owner })
}

/// The identity of the home whose private folder is `private`, if it has one.
///
/// # Errors
/// [`Error::Broken`] if it cannot be parsed, [`Error::Newer`] if a newer program wrote it.
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

/// Whether the home with the private folder `private` was adopted, and so has the framework's tables.
///
/// # Errors
/// [`fs::Error`] if the folder cannot be read.
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
        // It has the journal, and it can be a mount of its own.
        check_file_system(&private)?;
        let Some(identity) = identity(&dir, &private)? else { return Err(Error::Missing(path.into())) };
        let journal = Journal::new(folder_of(&dir, &private, JOURNAL)?);
        Ok(Home { dir, private, journal, id: identity.id })
    }

    /// Checks that the folder still is a home: the previous owner of the worker's lock may have released it.
    ///
    /// # Errors
    /// [`Error::Missing`] if it no longer is one.
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

    /// One of the [`PRIVATE_FOLDERS`](crate::model::layout::PRIVATE_FOLDERS). A missing one is made again: some tools do not
    /// copy empty folders.
    ///
    /// # Errors
    /// [`Error::Broken`] if the journal is missing, [`Error::Fs`] if another folder cannot be made.
    pub fn private_folder(&self, name: &str) -> Result<Dir, Error> {
        folder_of(&self.dir, &self.private, name)
    }

    /// Its journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The copies of an adopted home's database, newest first: the worker's daily one, then the last one from an adoption.
    /// Empty if the home was not adopted or had no database.
    ///
    /// # Errors
    /// [`Error::Fs`] if the folder cannot be listed.
    pub fn index_copies(&self) -> Result<Vec<PathBuf>, Error> {
        let folder = match self.private.folder(ADOPTED) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            folder => folder?,
        };
        let names = folder.names()?;
        let daily = names.iter().filter(|name| *name == DAILY);
        let adopted = names.iter().filter(|name| name.starts_with(INDEX_COPY) && name.ends_with(DATABASE)).max();
        Ok(daily.chain(adopted).map(|name| folder.path().join(name)).collect())
    }

    /// The path of the index, for SQLite, which opens by path.
    pub fn index_path(&self) -> PathBuf {
        self.path().join(INDEX)
    }
}

/// A private folder. A journal is never empty, so a missing one is lost, or on a disk that is not mounted. Records in a new
/// one would be hidden once the old one is back, so only `recover` makes a new one.
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
