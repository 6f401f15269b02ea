//! Why an operation of the history failed, and what was being done then.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Oid;

use crate::fs;
use crate::model::BadPath;
use crate::objects;

/// A path that cannot be in the tree, since something of the owner's is in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The file that cannot be in the tree.
    pub path: String,
    /// The path in its way: this one, or a folder above it.
    pub at: String,
    /// What is there: `a file`, `a symbolic link`, `a submodule`, `a folder`.
    pub found: &'static str,
}

/// Why an operation of the history failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home has no repository.
    #[error("{} has no git repository", home.display())]
    Missing {
        /// The home.
        home: PathBuf,
    },
    /// This program does not write to a repository of this kind.
    #[error("the git repository of {} cannot be used: {what}", home.display())]
    Unsupported {
        /// The home.
        home: PathBuf,
        /// What about it is not supported.
        what: String,
    },
    /// The home is in a folder of a user's repository, whose git commands would fail.
    #[error("{} lies in the git repository {}, whose own commands would fail then: {why}", home.display(), repository.display())]
    Inside {
        /// The home.
        home: PathBuf,
        /// The repository's work tree.
        repository: PathBuf,
        /// Why that cannot be prevented, and what to do about it.
        why: String,
    },
    /// The repository belongs to another user.
    #[error("the git repository of {} belongs to another user", home.display())]
    ForeignOwner {
        /// The home.
        home: PathBuf,
        /// What was found.
        #[source]
        source: git2::Error,
    },
    /// Our reference is not one that we can move.
    #[error("{reference} cannot be used: {what}")]
    Reference {
        /// Its full name.
        reference: String,
        /// What is wrong with it.
        what: String,
    },
    /// Files of the batch cannot be in the branch's tree. Nothing was committed. The rest can be committed without
    /// them.
    #[error("{} of the batch cannot be in the branch's tree: {}", count(obstacles.len(), "file", "files"), first(obstacles))]
    Obstructed {
        /// Every one of them.
        obstacles: Vec<Obstacle>,
    },
    /// The batch has a path that no record can have. Nothing was committed.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// Another program held a lock for the whole wait.
    #[error("another program has had the lock {} for {:.1} s; if no git process is at work there, remove that file", file.display(), waited.as_secs_f32())]
    Locked {
        /// The lock file.
        file: PathBuf,
        /// How long the wait was.
        waited: Duration,
    },
    /// The branch moved before each of our attempts to move it.
    #[error("{branch} was moved by others {attempts} times while a commit for it was being made")]
    Contended {
        /// The branch.
        branch: String,
        /// The number of attempts.
        attempts: usize,
    },
    /// A required object is missing or cannot be read.
    #[error("git object {object} ({what}) cannot be read")]
    Damaged {
        /// The object's name.
        object: String,
        /// What this program uses it for.
        what: String,
        /// The error from libgit2; `None` if the content is invalid.
        #[source]
        source: Option<git2::Error>,
    },
    /// A file of the repository could not be read or written.
    #[error("{doing} failed at {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error from the system.
        #[source]
        source: io::Error,
    },
    /// libgit2 refused.
    #[error("{doing} failed in the git repository")]
    Git {
        /// What was being done.
        doing: &'static str,
        /// The error from libgit2.
        #[source]
        source: git2::Error,
    },
}

fn count(n: usize, one: &str, many: &str) -> String {
    crate::model::text::counted(n as u64, one, many)
}

fn first(obstacles: &[Obstacle]) -> String {
    obstacles.first().map_or_else(String::new, |it| format!("{} is in the way of {} as {}", it.at, it.path, it.found))
}

impl Error {
    /// Whether a retry can succeed later without a person's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Locked { .. } | Error::Contended { .. } | Error::Io { .. } | Error::Git { .. })
    }

    /// The error for the unreadable object `id`. A failure to open a file is not damage: a gc may just have replaced
    /// the file.
    pub(super) fn unreadable(id: Oid, what: String, source: git2::Error) -> Error {
        match source.class() {
            git2::ErrorClass::Os => Error::Git { doing: "reading an object", source },
            _ => Error::Damaged { object: id.to_string(), what, source: Some(source) },
        }
    }

    /// Whether this program never writes to the repository in its present state: a person has to change it.
    pub fn is_unsupported(&self) -> bool {
        let wrong = matches!(self, Error::Unsupported { .. } | Error::ForeignOwner { .. } | Error::Inside { .. });
        wrong || matches!(self, Error::Reference { .. })
    }
}

impl From<objects::Error> for Error {
    fn from(error: objects::Error) -> Error {
        match error {
            objects::Error::Io { doing, path, source } => Error::Io { doing, path, source },
            objects::Error::Name(source) => Error::Git { doing: "naming an object", source },
        }
    }
}

/// Adds to an error what was being done.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, git2::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Git { doing, source })
    }
}

/// Adds to an error what was being done, and to which path.
pub(super) trait DoingAt<T> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> DoingAt<T> for io::Result<T> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing, path: path.to_owned(), source })
    }
}

impl<T> DoingAt<T> for Result<T, fs::Error> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(io::Error::from).doing_at(doing, path)
    }
}
