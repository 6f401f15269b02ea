//! The system calls that recording uses, and nothing else. They are rustix's; on Windows our own of the same names; in
//! unit tests those of `simulated`, which also know folders that exist only in a test. The types that they take come
//! with them.

#[cfg(all(unix, not(all(test, target_os = "linux"))))]
mod calls {
    pub use std::os::fd::OwnedFd as Handle;

    #[cfg(target_os = "macos")]
    pub use super::super::os::{fdatasync, fsync, syncfs};
    pub use rustix::fs::{
        Dir as Listing, fchmod, fstat, fstatfs, linkat, mkdirat, open, openat, renameat, renameat_with, statat, tell,
        unlinkat,
    };
    #[cfg(target_os = "linux")]
    pub use rustix::fs::{fdatasync, fsync, openat2, syncfs};
    pub use rustix::io::{pread, pwrite, write};

    /// Opens `path`, resolved as `resolve` says.
    #[cfg(target_os = "linux")]
    pub fn open_resolved(
        path: &std::path::Path,
        flags: rustix::fs::OFlags,
        mode: rustix::fs::Mode,
        resolve: rustix::fs::ResolveFlags,
    ) -> Result<Handle, rustix::io::Errno> {
        rustix::fs::openat2(rustix::fs::CWD, path, flags, mode, resolve)
    }

    pub use super::unix::unix_data_from as data_from;

    /// The current time.
    pub fn now() -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

#[cfg(windows)]
use super::os::calls;
#[cfg(all(test, target_os = "linux"))]
use super::simulated::calls;

pub use calls::*;

#[cfg(unix)]
pub use unix::*;

/// Calls that are the same on every Unix.
#[cfg(unix)]
mod unix {
    use rustix::fs::FileType;
    pub use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Stat};
    pub use rustix::io::Errno;

    use super::super::Metadata;
    use super::calls::{Handle, Listing};

    /// Whether `syncfs` also makes the contents of files durable.
    pub const SYNCFS_SYNCS_FILES: bool = true;

    pub fn found(stat: &Stat) -> Metadata {
        let kind = FileType::from_raw_mode(stat.st_mode as _);
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the fields differ between systems")]
        Metadata {
            is_folder: kind == FileType::Directory,
            is_file: kind == FileType::RegularFile,
            size: stat.st_size as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            owner: stat.st_uid as u32,
            changed: (stat.st_ctime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec as i64),
        }
    }

    /// The names in the folder, without those that are not UTF-8.
    pub fn names(folder: &Handle) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in Listing::read_from(folder)? {
            match entry?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// The offset of the next byte outside a hole, at or after `offset`; the file's end if there is no such byte. If
    /// holes cannot be queried, `offset`.
    pub fn unix_data_from(file: &impl std::os::fd::AsFd, offset: u64) -> u64 {
        match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(Errno::NXIO) => rustix::fs::fstat(file).map_or(offset, |stat| offset.max(stat.st_size.cast_unsigned())),
            Err(_) => offset,
        }
    }

    /// Whether the error means that the operation is not supported here: by an old kernel, by a file system, or by a
    /// sandbox, which reports it as not permitted.
    pub fn is_unknown(errno: Errno) -> bool {
        matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
    }

    /// The device number of the file system that an open file or folder is on.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the field differs between systems")]
    pub fn device(open: &Handle) -> Result<u64, Errno> {
        super::calls::fstat(open).map(|stat| stat.st_dev as u64)
    }

    /// Makes all file systems durable, and waits for it. It reports no failure.
    pub fn sync_all() {
        rustix::fs::sync();
    }

    /// Sets the permissions of the open file or folder.
    pub fn set_mode(open: &Handle, mode: u32) -> Result<(), Errno> {
        super::calls::fchmod(open, Mode::from_raw_mode(mode as _))
    }
}
