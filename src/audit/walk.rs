//! The markdown files of a home.

use crate::fs::{self, Dir};
use crate::model::path::{is_companion, of_state_file};

/// Whether there is one such file for each record, as far as its path says.
pub(super) fn is_one_for_each_record(path: &str) -> bool {
    !is_companion(path) && of_state_file(path).is_none()
}

/// Calls `visit` with every markdown file beneath `folder`. Links are skipped.
pub(crate) fn walk<E: From<fs::Error>>(
    home: &Dir,
    folder: &str,
    visit: &mut dyn FnMut(&Dir, &str, &str) -> Result<(), E>,
) -> Result<(), E> {
    let dir = match home.folder(folder) {
        Err(fs::Error::Refused { .. }) => return Ok(()),
        Err(error) if error.is_not_found() => return Ok(()),
        dir => dir?,
    };
    for name in dir.names()? {
        let path = format!("{folder}/{name}");
        match dir.find(&name)? {
            Some(found) if found.is_folder => walk(home, &path, visit)?,
            Some(found) if found.is_file && name.ends_with(".md") => visit(&dir, &name, &path)?,
            _ => {}
        }
    }
    Ok(())
}
