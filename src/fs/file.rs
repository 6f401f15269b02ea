//! Open plain files: reading, writing at the end or in place, and syncing.
//!
//! 1. Only [`super::Dir`] opens a file, and it refuses anything but a plain file.
//! 2. After a failed sync nothing on the descriptor is trusted again. The caller is told, and nothing is retried here.

use std::io;
use std::path::{Path, PathBuf};

use super::sys::{self, Errno, Handle};
use super::{Error, Metadata, Point, crash};

/// An open plain file.
#[derive(Debug)]
pub struct File {
    pub(super) fd: Handle,
    pub(super) path: PathBuf,
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.fd.into()
    }
}

impl File {
    /// The file's path when it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, doing: &'static str, source: impl Into<io::Error>) -> Error {
        Error::Io { doing, path: self.path.clone(), source: source.into() }
    }

    /// Sets the file's permissions. On Windows the folder decides them.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<(), Error> {
        sys::set_mode(&self.fd, mode).map_err(|errno| self.error("change the mode of", errno))
    }

    /// Makes what was written to the file durable if [`Dir::sync_file_system`](crate::fs::Dir::sync_file_system) would not.
    ///
    /// # Errors
    /// [`Error::Io`] if the sync fails.
    pub(super) fn sync_if_no_later(&self) -> Result<(), Error> {
        if sys::SYNCFS_SYNCS_FILES {
            return Ok(());
        }
        sys::fdatasync(&self.fd).map_err(|errno| self.error("sync", errno))
    }

    /// The file's current metadata.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn stat(&self) -> Result<Metadata, Error> {
        let stat = sys::fstat(&self.fd).map_err(|errno| self.error("look at", errno))?;
        Ok(sys::found(&stat))
    }

    /// Reads from `offset` until `buffer` is full or the file ends. Returns how many bytes were read.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match sys::pread(&self.fd, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("read", errno)),
            }
        }
        Ok(filled)
    }

    /// The offset of the next byte outside a hole, at or after `offset`; the file's end if there is no such byte.
    /// Everything before it is zeros, and reading those would take time in proportion to the file's apparent size.
    pub fn data_from(&self, offset: u64) -> u64 {
        sys::data_from(&self.fd, offset)
    }

    /// Writes `bytes` with a single call, and returns how many the system accepted. On a file opened for appending they
    /// are contiguous, wherever the end was.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; nothing is written then.
    pub fn write_once(&self, bytes: &[u8]) -> Result<usize, Error> {
        loop {
            match sys::write(&self.fd, bytes) {
                Err(Errno::INTR) => {}
                result => return result.map_err(|errno| self.error("write to", errno)),
            }
        }
    }

    /// Writes all of `bytes` at the file's end, in as many calls as it takes.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; some of it may be written then.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.write_once(bytes)? {
                0 => return Err(self.error("write to", io::ErrorKind::WriteZero)),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, in as many calls as it takes. The file must not be open for appending.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; some of it may be written then.
    pub fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<(), Error> {
        while !bytes.is_empty() {
            match sys::pwrite(&self.fd, bytes, offset) {
                Ok(0) => return Err(self.error("overwrite", io::ErrorKind::WriteZero)),
                Ok(written) => (bytes, offset) = (&bytes[written..], offset + written as u64),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("overwrite", errno)),
            }
        }
        Ok(())
    }

    /// The end of the last write through this descriptor.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn end_of_write(&self) -> Result<u64, Error> {
        sys::tell(&self.fd).map_err(|errno| self.error("find the place in", errno))
    }

    /// Makes everything that was written to the file durable, including by other processes. `point` names the
    /// step.
    ///
    /// # Errors
    /// [`Error::Io`] if the sync fails. After that, nothing on this descriptor may be trusted, nor any later sync of
    /// it.
    pub fn sync(&self, point: Point) -> Result<(), Error> {
        crash::at(point).map_err(|source| self.error("sync", source))?;
        self.sync_now()
    }

    /// As [`File::sync`], for a step whose crash points are around it.
    ///
    /// # Errors
    /// As [`File::sync`].
    pub fn sync_now(&self) -> Result<(), Error> {
        // A call that the system or a sandbox does not know has done nothing, so the other call is the first attempt.
        let synced = match sys::fdatasync(&self.fd) {
            Err(errno) if sys::is_unknown(errno) => sys::fsync(&self.fd),
            synced => synced,
        };
        synced.map_err(|errno| self.error("sync", errno))
    }
}
