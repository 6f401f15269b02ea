//! Before libgit2 opens a repository: what it would wait for for ever. It opens files by their paths, and the opening of a
//! pipe that nobody writes to never ends.
//!
//! What this program opens itself goes through [`content`] for the same reason.
//!
//! Only what it opens without being asked for an object is looked at. A pipe in the place of a loose object, or one that is
//! put there later, is not found; our own objects are in packs.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::Error;
use crate::fs::os;

/// A larger file is not one that this program reads of a repository.
const BYTES_MAX: u64 = 64 << 20;

/// The content of the file at `path`; `None` where there is none. A pipe, a socket or a device is an error, and is not
/// waited for.
pub(super) fn content(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    Ok(os::read_own_file(path, BYTES_MAX)?.map(|file| file.bytes))
}

/// As [`content`], as text; nothing where it cannot be had.
pub(super) fn text(path: &Path) -> String {
    let bytes = content(path).ok().flatten().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The folders of a repository whose files are opened by name, and whether those beneath them are, too.
const FOLDERS: [(&str, bool); 5] =
    [("", false), ("refs", true), ("objects/info", false), ("objects/pack", false), ("info", false)];

/// Checks that the repository `repository` of the home `home` has plain files alone where libgit2 opens what is there.
///
/// # Errors
/// [`Error::Unsupported`] for what is something else.
pub(super) fn check(home: &Path, repository: &Path) -> Result<(), Error> {
    for (name, beneath) in FOLDERS {
        if let Some(path) = odd(&repository.join(name), beneath) {
            let shown = path.strip_prefix(home).unwrap_or(&path).display().to_string();
            let what = format!("{shown} is a pipe, a socket or a device, and no file");
            return Err(Error::Unsupported { home: home.to_owned(), what });
        }
    }
    Ok(())
}

/// What in `folder`, and `beneath` it, is neither file nor folder. What cannot be looked at is for libgit2 to complain about.
fn odd(folder: &Path, beneath: bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().find_map(|entry| odd_entry(&entry, beneath))
}

fn odd_entry(entry: &DirEntry, beneath: bool) -> Option<PathBuf> {
    let mut kind = entry.file_type().ok()?;
    if kind.is_symlink() {
        kind = fs::metadata(entry.path()).ok()?.file_type();
    } else if kind.is_dir() && beneath {
        return odd(&entry.path(), beneath);
    }
    (!kind.is_file() && !kind.is_dir()).then(|| entry.path())
}
