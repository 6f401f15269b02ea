//! Files of the user's own, outside of every home: notes and settings. Read by everything, changed by any number of
//! processes at once: each reads, changes and replaces the whole file under a lock that only goes with its process.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the file is replaced | the old file, perhaps a temporary one | the next change sweeps |
//! | after it | the new file | nothing to do |

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::os::{self, Others};
use crate::fs::{self, Dir, Durability};

/// The name of the list of files that git leaves alone.
const IGNORED: &str = ".gitignore";
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
    /// Another process has been changing it all the time.
    #[error("{} was locked by another process all the time", .0.display())]
    Busy(PathBuf),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// The content of the file at `path`; `None` where there is none.
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

/// Who else can put another file in the place of the one at `path`, a link to one of this user's own included: whoever can
/// change its folder, or owns one of those above, on the way that `path` says or on the one that links make of it.
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

/// Opens the folder at `path`, and makes it if it is missing and would be this user's own: in the folders of another user,
/// whom root can act for, nothing is made.
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

/// As [`folder`], for notes: where the user's own folder is a git repository, git does not show them.
///
/// # Errors
/// As [`folder`].
pub fn notes_folder(path: &Path) -> Result<Dir, Error> {
    let folder = folder(path)?;
    match folder.create_empty(IGNORED) {
        Err(error) if error.is_already_there() => {}
        file => file?.write_all(b"*\n")?,
    }
    Ok(folder)
}

/// Changes the file `name` in the folder at `path` as `change` says, which is given its content and returns the new one, or
/// `None` to leave it. Waits up to `wait` for others who change it. Durable when it returns.
///
/// # Errors
/// Every [`Error`], and what `change` refuses; the file is as it was then.
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

/// Replaces the file `name`, under its lock: what lies in the folder of temporary files is a dead process's.
fn replace(folder: &Dir, name: &str, content: &[u8]) -> Result<(), fs::Error> {
    let temporary = folder.make_folder(&format!("{name}.tmp"))?;
    for left in temporary.names()? {
        let _ = temporary.remove(&left);
    }
    folder.replace(name, content, &temporary, Durability::Full)
}
