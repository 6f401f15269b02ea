//! Settings files of other programs: read, kept, replaced whole.
//!
//! | killed | on disk |
//! | --- | --- |
//! | before the copy is in place | the settings as they were; perhaps a temporary file beside them |
//! | after it | the settings as they were, and a copy of them too many; the next install writes it again |
//! | after the replacement | the new settings, whole and synced, and the copy |
//!
//! A symbolic link stays one: what it leads to is replaced, made or removed. The new file gets the owner, the group, the
//! mode, the access list and the attributes of the old one. Where it cannot have them, or where the old file has a second
//! name or is a mount of its own, the old file is written over. That is not one step, so the whole new text lies beside it
//! before and until after it, as `NAME.indelible-new`:
//!
//! | killed while written over | on disk | repaired by |
//! | --- | --- | --- |
//! | before `NAME.indelible-new` is in place | the settings as they were | nothing to do |
//! | after it | the settings old, in part, or new, and the whole new text | [`finish`], by the next install or uninstall |

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indelible::fs::os;

/// The largest settings file, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// The content of the file at `path`; `None` if there is no file.
///
/// # Errors
/// The system's, and `InvalidData` for a file that is not text or too large.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) if !found.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
        Ok(found) if found.len() > BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read_to_string(path).map(Some),
    }
}

/// The path of the copy of the settings from before indelible's first entry.
pub fn copy_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-indelible");
    name.into()
}

/// The path of the copy of the settings from before indelible's server, for agents that ask.
pub fn copy_before_server(path: &Path) -> PathBuf {
    let mut name = copy_of(path).into_os_string();
    name.push("-mcp");
    name.into()
}

/// Removes both copies. The settings are as they were before indelible.
///
/// # Errors
/// The system's.
pub fn remove_copies(path: &Path) -> io::Result<()> {
    remove(&copy_of(path))?;
    remove(&copy_before_server(path))
}

/// Replaces the file at `path`, or makes it, with `text`, durably.
///
/// # Errors
/// The system's. The file is then unchanged, unless it is one that has to be overwritten in place ([`finish`]).
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let target = real(path)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let owner = make_folders(folder)?;
    let Ok(found) = fs::metadata(&target) else {
        // Only the owner of the folder may read a new file.
        return replace(&target, text, |temporary| {
            like::owner(temporary, &owner);
            Ok(())
        });
    };
    if !os::has_other_names(&target) {
        let old = fs::File::open(&target)?;
        let replaced = replace(&target, text, |temporary| {
            like::all(temporary, &old, &found)?;
            temporary.set_permissions(found.permissions())
        });
        if replaced.is_ok() {
            return Ok(());
        }
    }
    write_over(&target, text)
}

/// Puts a file with `text` at `target` in one step, after `prepare` has set its attributes.
fn replace(target: &Path, text: &str, prepare: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::Builder::new().prefix(".indelible-").tempfile_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    prepare(temporary.as_file())?;
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|error| error.error)?;
    os::sync_folder(folder)
}

/// Writes `text` over the file at `target`, which stays the same file.
fn write_over(target: &Path, text: &str) -> io::Result<()> {
    let new = new_of(target);
    let found = fs::metadata(target)?;
    replace(&new, text, |temporary| {
        like::owner(temporary, &found);
        Ok(())
    })?;
    let mut file = fs::OpenOptions::new().write(true).open(target)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()?;
    fs::remove_file(&new)?;
    os::sync_folder(target.parent().unwrap_or(Path::new("/")))
}

/// Completes an overwrite of the file at `path` that was killed: if the content is not `is_whole`, writes the new text again.
///
/// # Errors
/// The system's; the whole new text is then still beside the file.
pub fn finish(path: &Path, is_whole: impl Fn(&str) -> bool) -> io::Result<()> {
    let target = real(path)?;
    let new = new_of(&target);
    let Some(text) = read(&new)? else { return Ok(()) };
    match read(&target) {
        Ok(Some(found)) if is_whole(&found) => fs::remove_file(&new),
        _ => write_over(&target, &text),
    }
}

fn new_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".indelible-new");
    name.into()
}

/// Makes `folder` and missing folders above it, with the owner of the first folder that exists. Returns that owner.
fn make_folders(folder: &Path) -> io::Result<fs::Metadata> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    let there = missing.last().map_or(Some(folder), |last| last.parent());
    let found = fs::metadata(there.filter(|there| !there.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    fs::create_dir_all(folder)?;
    for made in missing {
        like::owner(&fs::File::open(made)?, &found);
    }
    Ok(found)
}

/// Removes the file that `path` leads to, if it exists. A link to it stays: it was there before.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> io::Result<()> {
    let target = real(path)?;
    match fs::remove_file(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => os::sync_folder(target.parent().unwrap_or(Path::new("/"))),
    }
}

/// The longest chain of links.
const LINKS_MAX: usize = 40;

/// The path that `path` leads to, which may not exist yet.
fn real(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        match os::real_path(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(&at) {
                Ok(link) => at = at.parent().unwrap_or(Path::new("/")).join(link),
                Err(_) => return Ok(at),
            },
            found => return found,
        }
    }
    Err(io::Error::other("too many links lead to each other"))
}

/// Makes one file like another.
#[cfg(unix)]
mod like {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Gid, Uid, XattrFlags, fgetxattr, flistxattr, fsetxattr};

    /// The largest attribute, or list of attributes, in bytes.
    const BYTES_MAX: usize = 64 << 10;

    /// Gives `file` the owner and the group of `found`, as far as permitted: only `root` may give files away.
    pub fn owner(file: &File, found: &Metadata) {
        let _ = try_owner(file, found);
    }

    fn try_owner(file: &File, found: &Metadata) -> io::Result<()> {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) == (found.uid(), found.gid()) {
            return Ok(());
        }
        let (owner, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
        rustix::fs::fchown(file, Some(owner), Some(group)).map_err(io::Error::from)
    }

    /// Gives `file` the owner, group, access list and attributes of `old`, whose metadata is `found`.
    ///
    /// # Errors
    /// The system's, if that is not permitted.
    pub fn all(file: &File, old: &File, found: &Metadata) -> io::Result<()> {
        try_owner(file, found)?;
        let mut value = vec![0_u8; BYTES_MAX];
        for name in names(old)? {
            let length = fgetxattr(old, &name, &mut value[..])?;
            let set = fsetxattr(file, &name, &value[..length], XattrFlags::empty());
            // The system sets its own labels.
            if !name.starts_with("security.") && !name.starts_with("com.apple.") {
                set?;
            }
        }
        Ok(())
    }

    fn names(file: &File) -> io::Result<Vec<String>> {
        let mut list = vec![0_u8; BYTES_MAX];
        let length = match flistxattr(file, &mut list[..]) {
            Err(rustix::io::Errno::NOTSUP) => 0,
            length => length?,
        };
        let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }
}

/// On Windows access lists come from the folder, and owners are not set.
#[cfg(not(unix))]
mod like {
    use std::fs::{File, Metadata};
    use std::io;

    pub fn owner(_: &File, _: &Metadata) {}

    pub fn all(_: &File, _: &File, _: &Metadata) -> io::Result<()> {
        Ok(())
    }
}
