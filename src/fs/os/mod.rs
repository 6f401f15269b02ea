//! What differs between operating systems, each in a file of its own: the machine's identity, its boot and uptime, the
//! kind of a file system, how a write is made durable, which process has a file open, how processes are started and
//! asked to stop. What Linux and macOS share is in `unix`.
//!
//! Linux is where everything is run. The Windows code has been run under Wine, and never on Windows. The macOS code is
//! checked by the compiler and has never been run.

use std::time::{Duration, SystemTime};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod begin;
#[cfg(target_os = "linux")]
mod inotify;
use std::env::consts::EXE_EXTENSION;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "linux"))]
mod notify;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use begin::{begin, has_variable};
#[cfg(target_os = "linux")]
pub use inotify::{Watcher, watch};
#[cfg(target_os = "linux")]
pub use linux::{
    boot_id, machine_id, may_be_at_work, pid_namespace, shows_every_process, sqlite_calls, unsuitable_file_system,
};
#[cfg(target_os = "macos")]
pub use macos::{
    boot_id, fdatasync, fsync, machine_id, may_be_at_work, pid_namespace, shows_every_process, sqlite_calls, syncfs,
    unsuitable_file_system,
};
#[cfg(not(target_os = "linux"))]
pub use notify::{Watcher, watch};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("indelible runs on Linux, and is written for macOS and Windows; no other system is supported yet");

/// Whether the name of a variable of the environment begins with `begin`.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn has_variable(begin: &str) -> bool {
    std::env::vars_os().any(|(name, _)| name.as_encoded_bytes().starts_with(begin.as_bytes()))
}

/// Others, besides this user and root, who can change a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The user with this number, who owns it.
    Owner(u32),
    /// The members of the group with this number.
    Group(u32),
    /// Every user.
    Everybody,
}

impl std::fmt::Display for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Others::Owner(user) => write!(f, "it belongs to user {user}"),
            Others::Group(group) => write!(f, "group {group} can write to it"),
            Others::Everybody => f.write_str("every user can write to it"),
        }
    }
}

/// One of the user's own files, as read.
#[derive(Clone, Debug)]
pub struct OwnFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Others who could have written it.
    pub others: Option<Others>,
}

/// Reads the plain file at `path`, wherever links lead; `None` if it does not exist. It never blocks: a pipe is not
/// read.
///
/// # Errors
/// [`io::Error`] if it cannot be read, is larger than `bytes_max`, or is not a plain file.
pub fn read_own_file(path: &Path, bytes_max: u64) -> io::Result<Option<OwnFile>> {
    let mut file = match open_without_waiting(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    if found.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let others = others_who_can_change_open(&file)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    let _ = io::Read::by_ref(&mut file).take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Some(OwnFile { bytes, others }))
}

/// The path of the program `name`: `name` itself if it is an absolute path, the first of that name on `PATH` if it is a
/// plain name. Empty and relative entries of `PATH` are skipped: they depend on the working folder, and so on anyone
/// who can write there. `None` if no such program is found.
pub fn program(name: &Path) -> Option<PathBuf> {
    if name.is_absolute() {
        return Some(name.to_owned());
    }
    let file = name.file_name().filter(|file| *file == name.as_os_str())?;
    let file = Path::new(file);
    let file = if file.extension().is_some() { file.to_owned() } else { file.with_extension(EXE_EXTENSION) };
    absolute_paths().map(|folder| folder.join(&file)).find(|path| is_program(path))
}

/// The folders of `PATH` that do not depend on the working folder.
pub fn absolute_paths() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect::<Vec<_>>().into_iter()
}

/// A C function with any arguments.
pub type AnyCall = unsafe extern "C" fn();

/// A system call that SQLite makes in place of its own, and its name in SQLite's table.
pub type SqliteCall = (&'static std::ffi::CStr, AnyCall);

/// A file counts as older than the boot only by at least this margin: clocks are adjusted now and then.
const BOOT_MARGIN: Duration = Duration::from_secs(60);

/// Whether all of `times` are before the boot, where `now` is `uptime` after the boot. A file without a time counts as
/// newer.
fn is_before_boot(times: impl Iterator<Item = SystemTime>, now: SystemTime, uptime: Duration) -> bool {
    let Some(boot) = now.checked_sub(uptime + BOOT_MARGIN) else { return false };
    times.max().is_some_and(|latest| latest < boot)
}

/// A file's identity, whatever its name: no other file has the same numbers while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The file's number, which no other file of its file system has while it exists.
    pub const fn number(self) -> u64 {
        self.inode
    }
}

/// Distinguishes one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The file's identity.
    pub identity: Identity,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last change, in the system's own two numbers.
    pub modified: (i64, i64),
}

/// An output stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Stdout.
    Output,
    /// Stderr.
    Errors,
}

/// A request to a process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end: SIGTERM or SIGINT.
    Stop,
    /// To reload its settings: SIGHUP.
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clocks_agree_on_is_from_before_the_boot() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (now, hour) = (at(1_000_000), Duration::from_secs(3600));
        let is_before = |times: &[u64], now, uptime| is_before_boot(times.iter().copied().map(at), now, uptime);
        assert!(is_before(&[900_000, 900_005], now, hour), "it is a day old, and the machine runs for an hour");
        assert!(!is_before(&[900_000, 999_000], now, hour), "one of its times is after the boot");
        assert!(!is_before(&[996_390], now, hour), "clocks are not that exact");
        assert!(!is_before(&[2_000_000], now, hour), "its time is still to come");
        assert!(!is_before(&[900_000], at(100), hour), "the clock began at zero with the boot, and was not set yet");
        assert!(!is_before(&[], now, hour), "its times cannot be told");
    }
}
