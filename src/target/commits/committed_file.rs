//! A file of the history, as an audit reads it.

use sha1_smol::Sha1;

use crate::target::history::{self, TreeFile};

/// A file of the history.
pub trait CommittedFile {
    /// Its path beneath the home.
    fn path(&self) -> &str;

    /// Its bytes.
    ///
    /// # Errors
    /// [`history::Error`].
    fn read(&self) -> Result<Vec<u8>, history::Error>;

    /// The [sum](sum_of) of its bytes.
    ///
    /// # Errors
    /// [`history::Error`].
    fn sum(&self) -> Result<u64, history::Error> {
        Ok(sum_of(&self.read()?))
    }

    /// Whether the home's own history has it: another home's record is in no commit of this one.
    fn is_own(&self) -> bool {
        true
    }
}

/// The beginning of the id that git gives to a file of these bytes: the SHA-1 of `blob`, the size, a NUL and the bytes
/// (gitformat-pack(5)). It tells two versions of a file apart, and is no protection against forgery.
pub fn sum_of(bytes: &[u8]) -> u64 {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()).as_bytes());
    hash.update(bytes);
    first_eight(&hash.digest().bytes())
}

fn first_eight(id: &[u8; 20]) -> u64 {
    id.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

impl CommittedFile for TreeFile<'_> {
    fn path(&self) -> &str {
        TreeFile::path(self)
    }

    fn sum(&self) -> Result<u64, history::Error> {
        Ok(first_eight(&self.id()))
    }

    fn read(&self) -> Result<Vec<u8>, history::Error> {
        TreeFile::read(self)
    }
}
