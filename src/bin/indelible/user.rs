//! The user's own folders, with this user's settings and this machine's notes. Nothing in a home can change them.
//!
//! A relative path is ignored: it would lead to another folder in each working folder, and a repository could contain it.

use std::path::{Component, Path, PathBuf};

use etcetera::BaseStrategy;
use indelible::fs::os;
use indelible::model::text::shell_path;
use indelible::trust::{self, Standing};

/// `path` with a `~` at its beginning expanded. A folder with that name is `./~`.
///
/// # Errors
/// `~name`, another user's folder, and `~` if the user's own folder is not known.
pub fn expanded(path: PathBuf) -> Result<PathBuf, String> {
    let mut parts = path.components();
    let tilde = match parts.next() {
        Some(Component::Normal(first)) if first.as_encoded_bytes().starts_with(b"~") => first,
        _ => return Ok(path),
    };
    if tilde != "~" {
        let (folder, own) = (tilde.to_string_lossy(), shell_path(&path));
        return Err(format!(
            "{folder} is not expanded: write that user's folder out, or {own} for a folder of that name"
        ));
    }
    let home = etcetera::home_dir().map_err(|error| format!("~ is not known: {error}"))?;
    Ok(if parts.as_path().as_os_str().is_empty() { home } else { home.join(parts.as_path()) })
}
/// The name of indelible's folder in each of them.
const OURS: &str = "indelible";

/// The folder of this user's settings for every home (`~/.config/indelible`); `None` if the user's own folder is not known.
pub fn config_folder() -> Option<PathBuf> {
    absolute(etcetera::choose_base_strategy().ok()?.config_dir())
}

/// The folder of this machine's notes for this user (`~/.local/state/indelible`): trusted homes, and events that no home
/// could take. `None` as for [`config_folder`].
pub fn state_folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    absolute(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()))
}

/// The folder of the default home (`~/.local/share/indelible`), used if no other is named or found. `None` as for
/// [`config_folder`].
pub fn data_folder() -> Option<PathBuf> {
    absolute(etcetera::choose_base_strategy().ok()?.data_dir())
}

/// The variable that names trusted homes, for containers and CI without a state folder.
pub const TRUST: &str = "INDELIBLE_TRUST";

/// The absolute paths that [`TRUST`] names.
pub fn of_variable() -> Vec<PathBuf> {
    let variable = std::env::var_os(TRUST).unwrap_or_default();
    std::env::split_paths(&variable).filter(|path| path.is_absolute()).collect()
}

/// Whether [`TRUST`] names `path`, which has no symbolic link.
pub fn is_in_variable(path: &Path) -> bool {
    of_variable().iter().any(|named| is_at(named, path))
}

/// Whether `path`, which has no symbolic link, is the default home. It is trusted by its place.
pub fn is_default(path: &Path) -> bool {
    data_folder().is_some_and(|default| is_at(&default, path))
}

fn is_at(named: &Path, path: &Path) -> bool {
    named == path || os::real_path(named).is_ok_and(|named| named == path)
}

/// Whether this user trusts the home at `path`, which has no symbolic link.
///
/// # Errors
/// If the notes cannot be read right now.
pub fn standing(path: &Path) -> Result<Standing, trust::Error> {
    match is_default(path) || is_in_variable(path) {
        true => Ok(Standing::Trusted),
        false => trust::standing(state_folder().as_deref(), path),
    }
}

fn absolute(folder: PathBuf) -> Option<PathBuf> {
    folder.is_absolute().then(|| folder.join(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_our_folders() {
        for folder in [config_folder(), state_folder(), data_folder()].into_iter().flatten() {
            assert!(folder.is_absolute() && folder.ends_with(OURS), "{}", folder.display());
        }
    }
}
