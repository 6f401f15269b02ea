//! Files of the user's own, outside of every home: notes and settings. Any number of processes read and change them at once.
//! A process that changes one reads, changes and replaces the whole file under a lock, which ends with the process.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the file is replaced | the old file, perhaps a temporary one | the next change removes it |
//! | after it | the new file | nothing to do |

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::os::{self, Others};
use crate::fs::{self, Dir, Durability};
use crate::model::layout::GITIGNORE;

/// Larger files are not ours.
const BYTES_MAX: u64 = 4 << 20;

/// Why a file of the user's own could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another user could have written it, or could change what is in it.
    #[error("{} could be changed by another user: {others}", path.display())]
    Changeable {
        /// The file or folder.
        path: PathBuf,
        /// Who could.
        others: Others,
    },
    /// Another process had the lock the whole time.
    #[error("{} was locked by another process all the time", .0.display())]
    Busy(PathBuf),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// The content of the file at `path`, if there is one.
///
/// # Errors
/// [`Error::Changeable`] if another user could have written it or put it there, and [`Error::Fs`] if it cannot be read, is too large, or is not a plain file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = os::read_own_file(path, BYTES_MAX).map_err(fs::Error::io("read", path))? else { return Ok(None) };
    let others = match file.others {
        Some(others) => Some((path.to_owned(), others)),
        None => others_who_can_replace(path).map_err(fs::Error::io("look at the folders of", path))?,
    };
    match others {
        Some((path, others)) => Err(Error::Changeable { path, others }),
        None => Ok(Some(file.bytes)),
    }
}

/// The other users who can put another file, or a link, in the place of the one at `path`: those who can change its folder,
/// and those who own a folder above it, on the path as given or with its links resolved.
fn others_who_can_replace(path: &Path) -> std::io::Result<Option<(PathBuf, Others)>> {
    let real = os::real_path(path)?;
    let folder = real.parent().unwrap_or(&real);
    if let Some(others) = os::others_who_can_change(folder, false)? {
        return Ok(Some((folder.to_owned(), others)));
    }
    let said = if real == path { None } else { path.parent() };
    for above in folder.ancestors().chain(said.into_iter().flat_map(Path::ancestors)) {
        if let Some(others @ Others::Owner(_)) = os::others_who_can_change(above, true)? {
            return Ok(Some((above.to_owned(), others)));
        }
    }
    Ok(None)
}

/// Opens the folder at `path`, or makes it if it would belong to this user. Nothing is made in another user's folder, as root
/// could.
///
/// # Errors
/// [`Error::Changeable`], and [`Error::Fs`] if it can be neither opened nor made.
pub fn folder(path: &Path) -> Result<Dir, Error> {
    if !path.exists() {
        let above = path.ancestors().find(|above| above.exists()).unwrap_or(path);
        if let Some(owner) = os::owner_of(above).filter(|owner| *owner != os::user()) {
            return Err(Error::Changeable { path: above.into(), others: Others::Owner(owner) });
        }
        os::private_folders().recursive(true).create(path).map_err(fs::Error::io("make the folder", path))?;
    }
    let folder = Dir::open(path)?;
    match os::others_who_can_change(folder.path(), false).map_err(fs::Error::io("look at", path))? {
        Some(others) => Err(Error::Changeable { path: path.into(), others }),
        None => Ok(folder),
    }
}

/// As [`folder`], for notes: a `.gitignore` hides them from a repository that the user keeps there.
///
/// # Errors
/// As [`folder`].
pub fn notes_folder(path: &Path) -> Result<Dir, Error> {
    let folder = folder(path)?;
    match folder.create_empty(GITIGNORE) {
        Err(error) if error.is_already_there() => {}
        file => file?.write_all(b"*\n")?,
    }
    Ok(folder)
}

/// Changes the file `name` in the folder at `path`. `change` gets its content and returns the new one, or `None` to leave it.
/// Waits up to `wait` for the lock. The change is durable when this returns.
///
/// # Errors
/// Every [`Error`], and every error of `change`; the file is then as it was.
pub fn change<T, E: From<Error>>(
    path: &Path,
    name: &str,
    wait: Duration,
    change: impl FnOnce(Option<Vec<u8>>) -> Result<(Option<Vec<u8>>, T), E>,
) -> Result<T, E> {
    let folder = folder(path)?;
    let lock = folder.open_or_create(&format!("{name}.lock")).map_err(Error::from)?;
    take(&lock, &folder.path().join(format!("{name}.lock")), wait)?;
    let (new, done) = change(read(&folder.path().join(name))?)?;
    if let Some(new) = new {
        replace(&folder, name, &new).map_err(Error::from)?;
    }
    Ok(done)
}

fn take(lock: &std::fs::File, path: &Path, wait: Duration) -> Result<(), Error> {
    let until = Instant::now() + wait;
    loop {
        match os::try_lock(lock) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.into())),
            Err(TryLockError::Error(source)) => return Err(fs::Error::io("lock", path)(source).into()),
        }
    }
}

/// Replaces the file `name`, under its lock. Files in the folder of temporary files are leftovers of killed processes.
fn replace(folder: &Dir, name: &str, content: &[u8]) -> Result<(), fs::Error> {
    let temporary = folder.make_folder(&format!("{name}.tmp"))?;
    for left in temporary.names()? {
        let _ = temporary.remove(&left);
    }
    folder.replace(name, content, &temporary, Durability::Full)
}
