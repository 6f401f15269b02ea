//! The user's own folders: where this user's settings and this machine's notes lie. Nothing in a home can change them.
//!
//! A folder that is not absolute is none: it would be another one in each working folder, and a repository could bring it.

use std::path::PathBuf;

use etcetera::BaseStrategy;

/// The name of our folder within each of them.
const OURS: &str = "indelible";

/// The folder of settings that hold for this user in every home (`~/.config/indelible`); `None` where nobody knows where
/// the user's own folder is.
pub fn config_folder() -> Option<PathBuf> {
    absolute(etcetera::choose_base_strategy().ok()?.config_dir())
}

/// The folder of what this machine notes of this user (`~/.local/state/indelible`): which homes are trusted, and what no
/// home could take. `None` as for [`config_folder`].
pub fn state_folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    absolute(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()))
}

/// The folder of the home that is used where no other is named or found (`~/.local/share/indelible`); `None` as for
/// [`config_folder`].
pub fn data_folder() -> Option<PathBuf> {
    absolute(etcetera::choose_base_strategy().ok()?.data_dir())
}

fn absolute(folder: PathBuf) -> Option<PathBuf> {
    folder.is_absolute().then(|| folder.join(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_folders_of_ours() {
        for folder in [config_folder(), state_folder(), data_folder()].into_iter().flatten() {
            assert!(folder.is_absolute() && folder.ends_with(OURS), "{}", folder.display());
        }
    }
}
