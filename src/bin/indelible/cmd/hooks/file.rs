//! Settings files of other programs: read, kept, replaced whole.
//!
//! | killed | on disk |
//! | --- | --- |
//! | before the copy is in place | the settings as they were; perhaps a temporary file beside them |
//! | after it | the settings as they were, and a copy of them too many; the next install writes it again |
//! | after the replacement | the new settings, whole and synced, and the copy |
//!
//! A symbolic link stays one: what it leads to is replaced. Permissions stay.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indelible::fs::os;

/// Larger settings are none.
const BYTES_MAX: u64 = 16 << 20;

/// The content of the file at `path`; `None` where there is none.
///
/// # Errors
/// The system's, and `InvalidData` for what is no text or too large to be settings.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) if !found.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
        Ok(found) if found.len() > BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read_to_string(path).map(Some),
    }
}

/// Where the settings are kept as they were before the first entry of ours.
pub fn copy_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-indelible");
    name.into()
}

/// Replaces the file at `path`, or makes it, with `text`, durably.
///
/// # Errors
/// The system's; the file is as it was then.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let target = real(path)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().prefix(".indelible-").tempfile_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    // A new file is its owner's alone, as the temporary one is.
    if let Ok(found) = fs::metadata(&target) {
        temporary.as_file().set_permissions(found.permissions())?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    os::sync_folder(folder)
}

/// Removes the file at `path`, if it is there.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What `path` leads to, which need not be there yet.
fn real(path: &Path) -> io::Result<PathBuf> {
    match os::real_path(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(link) => Ok(path.parent().unwrap_or(Path::new("/")).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        found => found,
    }
}
