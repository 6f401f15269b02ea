//! Processes: starting, ending and signalling them, on Linux and macOS.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::super::Signal;
use super::{give_back_umask, keep_private};

/// The priority of work that runs only when the machine is idle.
const LOWEST_PRIORITY: i32 = 19;

/// Starts `command` on its own: in a session without a terminal, in the root folder, without input or output, and
/// without any open file of this process, so that no process waits for one of these to be closed.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_detached(command: &mut Command) -> io::Result<()> {
    keep_open_files_to_ourselves();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // SAFETY: between fork and exec it makes two system calls, which take no memory and no lock.
    unsafe {
        command.pre_exec(|| {
            give_back_umask();
            rustix::process::setsid().map(drop).map_err(Into::into)
        })
    };
    command.spawn().map(drop).map_err(|error| match std::fs::metadata(NOTHING) {
        Err(missing) => io::Error::new(missing.kind(), format!("{NOTHING}: {missing}")),
        Ok(_) => error,
    })
}

/// The file that [`Stdio::null`] opens.
const NOTHING: &str = "/dev/null";

/// Files that this process opens are never inherited; those that it inherited from its parent would be.
fn keep_open_files_to_ourselves() {
    let open = ["/dev/fd", "/proc/self/fd"].into_iter().find_map(|folder| std::fs::read_dir(folder).ok());
    let open = open.into_iter().flatten().flatten();
    let numbers = open.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: it was open a moment ago. Setting a flag on a closed descriptor is only an error.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC);
    }
}

/// Starts `command` at the lowest priority, to be ended by [`end_background`] together with everything that it starts.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_in_background(command: &mut Command) -> io::Result<Child> {
    let child = command.process_group(0).spawn()?;
    if let Some(group) = pid(child.id()) {
        let _ = rustix::process::setpriority_process(Some(group), LOWEST_PRIORITY);
    }
    Ok(child)
}

/// Ends what [`start_in_background`] started, and waits for it.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_background(child: &mut Child) -> io::Result<()> {
    if let Some(group) = pid(child.id()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().map(drop)
}

/// Replaces this process by `command`. Returns only if that fails, with the reason.
pub fn become_program(command: &mut Command) -> io::Error {
    give_back_umask();
    let error = command.exec();
    keep_private();
    error
}

/// Asks `process` to end.
///
/// # Errors
/// [`io::Error`] if the process does not exist, or belongs to another user.
pub fn ask_to_stop(process: u32) -> io::Result<()> {
    let process = pid(process).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(process, rustix::process::Signal::TERM)?)
}

/// The process that started this one; another, once that has ended.
pub fn parent() -> Option<u32> {
    rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().cast_unsigned())
}

pub(super) fn pid(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Whether a process that ended with `status` was ended from outside.
pub fn was_killed(status: ExitStatus) -> bool {
    status.code().is_none()
}

/// Ends this process as Ctrl-C does, so that its parent sees that. Returns only if the signal cannot be sent.
pub fn end_as_interrupted() {
    let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
}

/// Calls `hear` for each signal that this process gets from now on, in a thread of its own.
///
/// # Errors
/// [`io::Error`] if the signals cannot be registered.
pub fn on_signals(hear: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let listen = move || {
        for signal in signals.forever() {
            hear(if signal == SIGHUP { Signal::Reload } else { Signal::Stop });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

/// Remembers signals instead of reporting them, if no thread can be started for [`on_signals`]. The returned function
/// says which signal came since its last call.
///
/// # Errors
/// [`io::Error`] if the signals cannot be registered.
pub fn remember_signals() -> io::Result<impl Fn() -> Option<Signal>> {
    let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for (signal, flag) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &reload)] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(move || match (stop.swap(false, Ordering::Relaxed), reload.swap(false, Ordering::Relaxed)) {
        (true, _) => Some(Signal::Stop),
        (false, true) => Some(Signal::Reload),
        (false, false) => None,
    })
}

/// Asks this process to reload its settings, after `wait`.
pub fn ask_to_read_again(wait: Duration) {
    let ask = move || {
        std::thread::sleep(wait);
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP);
    };
    // Without a thread, settings are reloaded on request.
    let _ = std::thread::Builder::new().name("settings".into()).spawn(ask);
}
