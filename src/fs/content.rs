//! Files that are read whole, or from their end.

use std::io;

use super::sys::{Mode, OFlags};
use super::{Dir, Error};

impl Dir {
    /// The whole content of the file at `path`, or `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::Io`] with `FileTooLarge` if it is larger than `bytes_max`, and as [`Dir::read`].
    pub fn content(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        self.content_end(path, u64::MAX, bytes_max)
    }

    /// The last `wanted` bytes of the file at `path`, or all of it; `None` if it does not exist.
    ///
    /// # Errors
    /// As [`Dir::content`].
    pub fn content_end(&self, path: &str, wanted: u64, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let (file, found) = match self.file_found(path, OFlags::RDONLY, Mode::empty(), "open") {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        if found.size > bytes_max {
            return Err(Error::io("read", &file.path)(io::ErrorKind::FileTooLarge.into()));
        }
        let wanted = found.size.min(wanted);
        let mut content = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
        let read = file.read_at(&mut content, found.size - wanted)?;
        content.truncate(read);
        Ok(Some(content))
    }
}
