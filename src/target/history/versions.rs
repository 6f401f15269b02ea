//! The versions of a file: every content that it has had in the branch.

use git2::{ObjectType, Odb, Oid};

use super::query::{find_file, read_blob};
use super::{Doing as _, Error, History};

impl History {
    /// The last bytes that the file `path` had in the branch, whether or not the tree still has it: from the newest
    /// commit that has it.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        self.each_version(path, |objects, id| {
            found = Some(read_blob(objects, id, path)?);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Whether the branch has, or had, exactly `bytes` at `path`: then they are a revision that we wrote, not an edit.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, Error> {
        let wanted = Oid::hash_object(ObjectType::Blob, bytes).doing("hashing a file")?;
        let mut found = false;
        self.each_version(path, |_, id| {
            found = id == wanted;
            Ok(!found)
        })?;
        Ok(found)
    }

    /// Calls `visit` for every version of the file `path`, newest first, until it returns that it has seen enough.
    fn each_version(
        &self,
        path: &str,
        mut visit: impl FnMut(&Odb<'_>, Oid) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut last = None;
        for commit in self.commits(&repository)? {
            let version = find_file(&objects, commit?.tree_id(), path)?;
            if let Some(id) = version.filter(|_| version != last)
                && !visit(&objects, id)?
            {
                break;
            }
            last = version;
        }
        Ok(())
    }
}
