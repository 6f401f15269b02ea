//! The user's own folders: where this user's settings and this machine's notes lie. Nothing in a home can change them.

use std::path::PathBuf;

use etcetera::BaseStrategy;

/// The name of our folder within each of them.
const OURS: &str = "indelible";

/// The folder of settings that hold for this user in every home (`~/.config/indelible`); `None` where nobody knows where
/// the user's own folder is.
#[allow(dead_code, reason = "settings of the user come next")]
pub fn config_folder() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join(OURS))
}

/// The folder of what this machine notes of this user (`~/.local/state/indelible`): which homes are trusted, and what no
/// home could take. `None` as for [`config_folder`].
pub fn state_folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()).join(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_folders_of_ours() {
        for folder in [config_folder(), state_folder()].into_iter().flatten() {
            assert!(folder.is_absolute() && folder.ends_with(OURS), "{}", folder.display());
        }
    }
}
