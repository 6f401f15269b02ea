//! The calls into the system that recording is made of, and nothing else: rustix's, or in unit tests those of `simulated`,
//! which also know folders that only a test has.

#[cfg(not(all(test, target_os = "linux")))]
mod calls {
    pub use std::os::fd::OwnedFd as Handle;

    #[cfg(target_os = "macos")]
    pub use super::super::os::{fdatasync, fsync, syncfs};
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub use rustix::fs::renameat_with;
    pub use rustix::fs::{
        Dir as Listing, fstat, fstatfs, linkat, mkdirat, open, openat, renameat, statat, tell, unlinkat,
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

    /// The time.
    pub fn now() -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

#[cfg(all(test, target_os = "linux"))]
use super::simulated::calls;

pub use calls::*;
