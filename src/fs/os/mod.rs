//! What differs between operating systems, each in a file of its own: which machine this is, since when it runs, what a
//! file system is, what makes a write durable, who has a file open, how processes are started and asked to stop. What
//! Linux and macOS share is in `unix`.
//!
//! Linux is where everything is run. The Windows side has been run under Wine, and never on Windows. The macOS side is
//! checked by the compiler and has never been run.

use std::time::{Duration, SystemTime};

#[cfg(target_os = "linux")]
mod inotify;
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

#[cfg(target_os = "linux")]
pub use inotify::{Watcher, watch};
#[cfg(target_os = "linux")]
pub use linux::{
    OPEN_WITHOUT_LINKS, boot_id, machine_id, may_be_at_work, pid_namespace, shows_every_process, unsuitable_file_system,
};
#[cfg(target_os = "macos")]
pub use macos::{
    OPEN_WITHOUT_LINKS, boot_id, fdatasync, fsync, machine_id, may_be_at_work, pid_namespace, shows_every_process,
    syncfs, unsuitable_file_system,
};
#[cfg(not(target_os = "linux"))]
pub use notify::{Watcher, watch};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("indelible runs on Linux, and is written for macOS and Windows; no other system is supported yet");

/// A call of `open`, as SQLite makes it: path, flags and mode. See [`OPEN_WITHOUT_LINKS`].
pub type Open = unsafe extern "C" fn(*const std::ffi::c_char, std::ffi::c_int, std::ffi::c_int) -> std::ffi::c_int;

/// A file counts as older than the boot only if it is by this much more: clocks are set a little now and then.
const BOOT_MARGIN: Duration = Duration::from_secs(60);

/// Whether all of `times` lie before the boot, where it is `now`, `uptime` after the boot. A file without a time has none.
fn is_before_boot(times: impl Iterator<Item = SystemTime>, now: SystemTime, uptime: Duration) -> bool {
    let Some(boot) = now.checked_sub(uptime + BOOT_MARGIN) else { return false };
    times.max().is_some_and(|latest| latest < boot)
}

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
