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
pub use linux::{boot_id, machine_id, somebody_at_work, sqlite_calls, unsuitable_file_system};
#[cfg(target_os = "macos")]
pub use macos::{
    boot_id, fdatasync, fsync, machine_id, somebody_at_work, sqlite_calls, syncfs, unsuitable_file_system,
};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("indelible runs on Linux, and is written for macOS and Windows; no other system is supported yet");

/// A function of C, of whatever arguments.
pub type AnyCall = unsafe extern "C" fn();

/// A system call that SQLite is to make in the place of its own, with the name that it has in SQLite's table.
pub type SqliteCall = (&'static std::ffi::CStr, AnyCall);

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

/// What a process is asked from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To come to its end: SIGTERM or SIGINT.
    Stop,
    /// To read its settings again: SIGHUP.
    Reload,
}
