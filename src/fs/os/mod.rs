//! What differs between operating systems, each in a file of its own: which machine this is, since when it runs, what a
//! file system is, what makes a write durable, who has a file open. What all of them share is here.
//!
//! Linux is where everything is run. The macOS side is checked by the compiler and has never been run. There is no other
//! side yet: Windows has neither descriptors of folders to open files beneath, nor the appends that the journal rests on.

use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::{boot_id, machine_id, somebody_at_work, unsuitable_file_system};
#[cfg(target_os = "macos")]
pub use macos::{boot_id, fdatasync, fsync, machine_id, somebody_at_work, syncfs, unsuitable_file_system};

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("indelible runs on Linux, and is written for macOS; no other system is supported yet");

/// The priority of what must not be in anybody's way.
const LOW_PRIORITY: i32 = 10;

/// The numeric id of the user whom this process acts for.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Lets nothing that this process makes be read by anybody but its user.
pub fn keep_private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Lets what this process makes from now on be read by everybody: what is installed for all users.
pub fn keep_readable() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

/// Gives way to whatever else runs on the machine. A second time changes nothing.
pub fn lower_priority() {
    if rustix::process::getpriority_process(None).is_ok_and(|priority| priority < LOW_PRIORITY) {
        let _ = rustix::process::setpriority_process(None, LOW_PRIORITY);
    }
}

/// Starts `command` on its own: in a session without a terminal, in the root folder, with nothing to read from or write
/// to, and without any file that this process has open, so that nobody who waits for one waits for it.
///
/// # Errors
/// [`std::io::Error`] if it cannot be started.
pub fn start_detached(command: &mut Command) -> std::io::Result<()> {
    keep_open_files_to_ourselves();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // SAFETY: between fork and exec it makes one system call, which takes no memory and no lock.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
    command.spawn().map(drop)
}

/// What we open ourselves is never inherited; what we were given by whoever started us would be.
fn keep_open_files_to_ourselves() {
    let open = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers = open.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: it was open a moment ago, and setting a flag on what is not is an error and no more.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC);
    }
}
