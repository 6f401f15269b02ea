//! The modes of what we write into a repository.
//!
//! In our own repository, only its owner can read it. In a user's repository, the modes are those that git would set,
//! from the umask that this process was started with and from `core.sharedRepository`: other users clone, fetch and
//! collect garbage there.
//!
//! The home's private folder is not part of the repository: only its owner can read it, wherever it lies.

use std::fs;
use std::path::Path;

use git2::{ErrorCode, Repository};

use super::{Doing as _, Error, History};
use crate::fs::os;

/// Git's `group`.
const GROUP: u32 = 0o660;
/// Git's `everybody`.
const EVERYBODY: u32 = 0o664;

/// Which modes to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modes {
    /// Only its owner can read it.
    Private,
    /// The modes that git would set.
    Theirs {
        /// The umask that this process was started with.
        umask: u32,
        /// The value of `core.sharedRepository`.
        shared: Shared,
    },
}

/// The value of `core.sharedRepository`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// The umask alone decides.
    Umask,
    /// These bits in addition to what the umask leaves.
    AtLeast(u32),
    /// Exactly these bits.
    Exactly(u32),
}

impl Modes {
    /// The modes in a repository whose settings cannot be read.
    pub(super) const THEIRS: Modes = Modes::Theirs { umask: 0o022, shared: Shared::Umask };

    pub(super) fn of(repository: &Repository, owned: bool) -> Result<Modes, Error> {
        if owned {
            return Ok(Modes::Private);
        }
        let config = repository.config().doing("reading the configuration")?;
        let shared = match config.get_string("core.sharedrepository") {
            Ok(text) => Shared::parse(&text),
            Err(error) if error.code() == ErrorCode::NotFound => Shared::Umask,
            Err(error) => return Err(error).doing("reading the configuration"),
        };
        Ok(Modes::Theirs { umask: os::umask_of_user(), shared })
    }

    /// The mode of a file for which git would request `mode`.
    pub(super) fn file(self, mode: u32) -> u32 {
        match self {
            Modes::Private => mode & 0o700,
            Modes::Theirs { umask, shared } => shared.adjust(mode & !umask),
        }
    }

    fn folder(self) -> u32 {
        let mode = self.file(0o777);
        match self {
            Modes::Theirs { shared: Shared::AtLeast(_) | Shared::Exactly(_), .. } => {
                let mode = mode | (mode & 0o444) >> 2;
                mode | if mode & 0o060 == 0 { 0 } else { 0o2000 }
            }
            _ => mode,
        }
    }

    /// Runs `write`, in which libgit2 makes files and folders, so that these get the right modes.
    pub(super) fn apply<T>(self, write: impl FnOnce() -> T) -> T {
        match self {
            Modes::Private => write(),
            Modes::Theirs { umask, .. } => os::with_umask(umask, write),
        }
    }

    /// Sets the mode that git would have set on what lies at `path`, if it is this user's.
    pub(super) fn mend(self, path: &Path) {
        let Modes::Theirs { .. } = self else { return };
        let Ok(found) = fs::symlink_metadata(path) else { return };
        let Some((mode, owner)) = os::mode_and_owner(&found) else { return };
        let wanted = match found.is_dir() {
            true => self.folder(),
            false => self.file(if mode & 0o200 == 0 { 0o444 } else { 0o666 }),
        };
        if owner == os::user() && !found.is_symlink() && mode != wanted {
            // If the system refuses, it stays as it was: readable by its owner.
            let _ = os::set_mode_at(path, wanted);
        }
    }
}

impl Shared {
    fn parse(text: &str) -> Shared {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "umask" | "false" | "no" | "off" | "0" => Shared::Umask,
            "group" | "true" | "yes" | "on" | "1" | "" => Shared::AtLeast(GROUP),
            "all" | "world" | "everybody" | "2" => Shared::AtLeast(EVERYBODY),
            octal => match u32::from_str_radix(octal, 8) {
                Ok(0) | Err(_) => Shared::Umask,
                Ok(1) => Shared::AtLeast(GROUP),
                Ok(2) => Shared::AtLeast(EVERYBODY),
                Ok(mode) => Shared::Exactly(mode & 0o666),
            },
        }
    }

    fn adjust(self, mode: u32) -> u32 {
        let bits = |bits: u32| {
            let bits = if mode & 0o200 == 0 { bits & !0o222 } else { bits };
            if mode & 0o100 == 0 { bits } else { bits | (bits & 0o444) >> 2 }
        };
        match self {
            Shared::Umask => mode,
            Shared::AtLeast(shared) => mode | bits(shared),
            Shared::Exactly(shared) => bits(shared),
        }
    }
}

impl History {
    /// Sets git's modes on the reference `name`, its log and the folders above them.
    pub(super) fn mend_reference(&self, name: &str) {
        for root in [self.common.clone(), self.common.join("logs")] {
            let path = root.join(name);
            self.modes.mend(&path);
            for folder in path.ancestors().skip(1).take_while(|it| it.starts_with(&root) && **it != root) {
                // `refs` and `refs/heads` belong to the repository.
                if folder.ends_with("refs/indelible") || root.ends_with("logs") {
                    self.modes.mend(folder);
                }
            }
        }
    }

    /// Sets git's modes on what an older version wrote into a user's repository.
    pub(super) fn mend_modes(&self) {
        if self.modes == Modes::Private {
            return;
        }
        let names = |folder: &Path| {
            let listed = fs::read_dir(folder).into_iter().flatten().flatten();
            listed.filter_map(|it| it.file_name().into_string().ok()).collect::<Vec<_>>()
        };
        for name in names(&self.packs()).into_iter().filter(|it| it.starts_with("pack-")) {
            let path = self.packs().join(name);
            // Git makes them readable by others; older versions did not.
            let is_ours = fs::symlink_metadata(&path).ok().and_then(|it| os::mode_and_owner(&it));
            if is_ours.is_some_and(|(mode, _)| mode == os::UNCHANGING) {
                self.modes.mend(&path);
            }
        }
        for name in names(&self.common.join("refs/indelible")) {
            self.mend_reference(&format!("refs/indelible/{name}"));
        }
        self.mend_reference(&self.branch);
    }

    /// Sets the modes of loose objects that libgit2 has just made in a shared repository.
    pub(super) fn mend_loose_objects(&self) {
        let Modes::Theirs { shared: Shared::AtLeast(_) | Shared::Exactly(_), .. } = self.modes else { return };
        let folders = fs::read_dir(self.common.join("objects")).into_iter().flatten().flatten();
        for folder in folders.map(|it| it.path()).filter(|it| it.file_name().is_some_and(|name| name.len() == 2)) {
            self.modes.mend(&folder);
            let objects = fs::read_dir(&folder).into_iter().flatten().flatten();
            objects.for_each(|object| self.modes.mend(&object.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_that_git_gives() {
        let modes = |umask, text: &str| Modes::Theirs { umask, shared: Shared::parse(text) };
        let of = |modes: Modes| (modes.file(0o444), modes.file(0o666), modes.folder());
        assert_eq!(of(modes(0o022, "umask")), (0o444, 0o644, 0o755));
        assert_eq!(of(modes(0o077, "false")), (0o400, 0o600, 0o700));
        assert_eq!(of(modes(0o077, "group")), (0o440, 0o660, 0o2770));
        assert_eq!(of(modes(0o022, "1")), (0o444, 0o664, 0o2775));
        assert_eq!(of(modes(0o077, "world")), (0o444, 0o664, 0o2775));
        assert_eq!(of(modes(0o022, "0640")), (0o440, 0o640, 0o2750));
        assert_eq!(of(modes(0o022, "0600")), (0o400, 0o600, 0o700));
        assert_eq!(of(Modes::Private), (0o400, 0o600, 0o700));
    }
}
