//! What differs between operating systems, each in a file of its own: which machine this is, since when it runs, what a
//! file system is, what makes a write durable, who has a file open, how processes are started and asked to stop. What
//! Linux and macOS share is in `unix`.
//!
//! Linux is where everything is run. The Windows side has been run under Wine, and never on Windows. The macOS side is
//! checked by the compiler and has never been run.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub use linux::{OPEN_WITHOUT_LINKS, boot_id, machine_id, somebody_at_work, unsuitable_file_system};
#[cfg(target_os = "macos")]
pub use macos::{
    OPEN_WITHOUT_LINKS, boot_id, fdatasync, fsync, machine_id, somebody_at_work, syncfs, unsuitable_file_system,
};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("indelible runs on Linux, and is written for macOS and Windows; no other system is supported yet");

/// A call of `open`, as SQLite makes it: path, flags and mode. See [`OPEN_WITHOUT_LINKS`].
pub type Open = unsafe extern "C" fn(*const std::ffi::c_char, std::ffi::c_int, std::ffi::c_int) -> std::ffi::c_int;

/// Which file it is, whatever its name: no other has the same numbers while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which file it is.
    pub identity: Identity,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, in the system's own two numbers.
    pub modified: (i64, i64),
}

/// Where a process says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Stdout.
    Output,
    /// Stderr.
    Errors,
}

/// What a process is asked from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To come to its end: SIGTERM or SIGINT.
    Stop,
    /// To read its settings again: SIGHUP.
    Reload,
}
