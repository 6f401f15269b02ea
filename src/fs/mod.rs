//! All durable file work, other than what SQLite and libgit2 do themselves.
//!
//! 1. Every path is relative to an open [`Dir`] and resolved beneath it. A symbolic link anywhere in it is refused.
//! 2. Files made by this module are readable by their owner alone, whatever the umask. On Windows the folder decides.
//! 3. A sync returns only an error or nothing: that it returned proves no more. What was synced, `journal` says with its
//!    `Synced`.
//! 4. After a failed sync nothing on that descriptor is trusted again. The caller is told, and nothing is retried here.
//! 5. A file appears in its place whole or not at all for every process that looks ([`Dir::create`], [`Dir::replace`]).
//!    Each function says whether it survives a power cut; `target::files` says who repairs it.

mod content;
pub mod crash;
mod dir;
mod file;
pub mod lock;
pub mod order;
pub mod os;
pub mod place;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod simulated;
mod sys;

use std::io;
use std::path::PathBuf;

pub use crash::Point;
pub use dir::{Dir, Metadata, check_name};
pub use file::File;
pub use place::Durability;
pub(crate) use sys::now;

/// Why a file operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// The path that it was for.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The path leads through a symbolic link, out of the home, or to a file or folder that is not indelible's.
    #[error("refused {}: {why}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The system's error without the operation and the path, for a caller that names its own.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::Io { source, .. } => source,
            Error::Refused { .. } => io::Error::other(error),
        }
    }
}

impl Error {
    /// An error of the operation `doing` on `path`.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { doing, path, source }
    }

    /// The kind of the system's error, if it was one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            Error::Refused { .. } => None,
        }
    }

    /// Whether the path, or a folder on the way to it, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Whether the error says only that the path is unavailable at the moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::Io { source, .. } if os::is_passing(source))
    }

    /// Whether something already exists at the path.
    pub fn is_already_there(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::AlreadyExists)
    }

    /// Whether a retry can help: true for everything but a refusal and an invalid name.
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::{InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
        match self {
            Error::Refused { .. } => false,
            Error::Io { source, .. } => {
                !matches!(source.kind(), InvalidFilename | InvalidInput | IsADirectory | NotADirectory)
            }
        }
    }
}
