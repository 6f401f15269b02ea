//! Git's objects, and packs of them: every object whole, compressed fast, without deltas.
//!
//! The formats are those of gitformat-pack(5): a pack of version 2 and an index of version 2. A pack from here is soon rolled into
//! another, by programs that find deltas and compress better.
//!
//! 1. A pack grows object by object ([`Pack`]): none of them is held in memory. What was added can be read back.
//! 2. Both files are synced before they have their names. The pack gets its name first: an index alone would promise what is not there.
//! 3. What git does not read, such as an unfinished pack, is read as far as it goes ([`search()`]).
//! 4. The folder is its caller's, and so is what a kill leaves in it: files with the caller's prefix, or a pack without an index.

mod index;
mod pack;
mod search;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use crate::fs;

pub use pack::{Pack, write};
pub use search::search;

/// Why objects could not be written, or new ones not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{doing} failed at {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// libgit2 could not name an object.
    #[error("naming an object failed")]
    Name(#[from] git2::Error),
}

/// An object to be written.
#[derive(Debug)]
pub struct Object<'a> {
    /// Its name.
    pub id: Oid,
    kind: ObjectType,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Object<'a> {
    /// The object of these bytes.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn new(kind: ObjectType, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Object<'a>, Error> {
        let bytes = bytes.into();
        Ok(Object { id: Oid::hash_object(kind, &bytes)?, kind, bytes })
    }
}

/// Adds to an error what was being done, and to which file.
trait DoingAt<T> {
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
