//! What Linux and macOS share. Here: the user, the umask, streams and locks. `process`, `files` and `access` have a file
//! each.

mod access;
mod files;
mod process;
mod session;

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGXFSZ;

use super::Stream;

pub use access::*;
pub use files::*;
pub use process::*;
pub use session::*;

/// The priority of work that must not slow down anything else.
const LOW_PRIORITY: i32 = 10;

/// The environment variables that a program needs to work as its user expects.
pub const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// The mode of a file that is never changed: its owner can read it.
pub const UNCHANGING: u32 = 0o400;

/// The numeric id of the user that this process acts for.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The bits of `mode`, which are fewer on some systems.
#[allow(clippy::useless_conversion)]
fn raw(mode: rustix::fs::Mode) -> u32 {
    mode.as_raw_mode().into()
}

#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
fn mode(raw: u32) -> rustix::fs::Mode {
    rustix::fs::Mode::from_raw_mode((raw & 0o777).try_into().unwrap_or(0o077))
}

/// The umask of this process before [`keep_private`]; before that call, a value larger than any umask.
static UMASK_OF_USER: AtomicU32 = AtomicU32::new(u32::MAX);
/// Held while the umask is changed briefly.
static UMASK: Mutex<()> = Mutex::new(());

/// Makes everything that this process creates readable by its user alone.
pub fn keep_private() {
    let before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let _ = UMASK_OF_USER.compare_exchange(u32::MAX, raw(before), Ordering::Relaxed, Ordering::Relaxed);
}

/// The umask that this process was started with.
pub fn umask_of_user() -> u32 {
    match UMASK_OF_USER.load(Ordering::Relaxed) {
        u32::MAX => {
            // The umask can only be read by setting it.
            let _held = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
            let now = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
            rustix::process::umask(now);
            raw(now)
        }
        umask => umask,
    }
}

/// Calls `write` with another umask. Files that other threads create meanwhile are not affected if they are created
/// with their mode, as all private files are.
pub fn with_umask<T>(umask: u32, write: impl FnOnce() -> T) -> T {
    struct Restored(rustix::fs::Mode);
    impl Drop for Restored {
        fn drop(&mut self) {
            rustix::process::umask(self.0);
        }
    }
    let _held = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let _restored = Restored(rustix::process::umask(mode(umask)));
    write()
}

/// Restores the user's umask, for a program that replaces this process or that it starts.
fn give_back_umask() {
    let umask = UMASK_OF_USER.load(Ordering::Relaxed);
    if umask != u32::MAX {
        rustix::process::umask(mode(umask));
    }
}

/// Makes everything that this process creates from now on readable by every user: files that are installed for all
/// users.
pub fn keep_readable() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

/// Turns a write beyond the file size limit into an ordinary error instead of the end of this process.
pub fn survive_file_size_limit() {
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Yields to everything else on the machine. Repeating it changes nothing.
pub fn lower_priority() {
    if rustix::process::getpriority_process(None).is_ok_and(|priority| priority < LOW_PRIORITY) {
        let _ = rustix::process::setpriority_process(None, LOW_PRIORITY);
    }
}

/// Writes all of `bytes` to `stream`. Waits if it is a full pipe, even a non-blocking one.
///
/// # Errors
/// [`io::Error`] if it cannot be written. Part of it may have been written.
pub fn write_to(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Output => write_all(io::stdout(), bytes),
        Stream::Errors => write_all(io::stderr(), bytes),
    }
}

/// Does not use the standard library's buffers: those lose what a write that would block has left.
fn write_all(stream: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::io::Errno;
    while !bytes.is_empty() {
        match rustix::io::write(&stream, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether `input` has data, or its end, within `wait`.
pub fn is_readable(input: &impl AsFd, wait: Duration) -> bool {
    let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
    poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0)
}

/// Drops what was typed at the terminal of stdin and not yet read.
pub fn drop_typed() {
    let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
}

// Locks, which end with the process that holds them.

/// Takes the lock of an open file without waiting. Others can still read and write the file.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if another process holds it.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// As [`try_lock`], for a shared lock.
///
/// # Errors
/// As [`try_lock`].
pub fn try_lock_shared(file: &File) -> Result<(), TryLockError> {
    file.try_lock_shared()
}

/// Releases the lock of an open file. Closing it does so as well, but not before a child that another thread is starting at this
/// moment has closed its copy, too.
pub fn unlock(file: &File) {
    let _ = file.unlock();
}

/// Takes the lock of the folder at `path` without waiting. Dropping the returned file releases it.
///
/// # Errors
/// As [`try_lock`], and [`TryLockError::Error`] if the folder does not exist.
pub fn try_lock_folder(path: &Path) -> Result<File, TryLockError> {
    let folder = File::open(path).map_err(TryLockError::Error)?;
    folder.try_lock().map(|()| folder)
}

/// Removes the folder at `path` and everything beneath it, and releases its lock.
///
/// # Errors
/// [`io::Error`] if the system refuses; some of it may be gone then.
pub fn remove_locked_folder(path: &Path, lock: File) -> io::Result<()> {
    let removed = std::fs::remove_dir_all(path);
    drop(lock);
    removed
}
