//! Children in sessions of their own, and the signals that end them together with this process.
//!
//! A signal that a terminal sends does not reach another session. So the first one that asks this process to stop is noted, and its work
//! ends its child in its own time. The second one ends all of it at once, in the signal's handler: nothing that hangs is in its way, and no
//! child is left. A handler may only do what is safe wherever the process is, so sessions are kept in plain numbers.

use std::ffi::c_int;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::give_back_umask;
use super::process::pid;

/// The sessions that run, by their first process; 0 is a free place.
static SESSIONS: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];
/// How many sessions are being started, and are not among the others yet.
static STARTING: AtomicU32 = AtomicU32::new(0);
/// The signal that ends this process as soon as these are.
static LAST: AtomicI32 = AtomicI32::new(0);

/// When this process was asked to stop first, in milliseconds.
static FIRST: AtomicU64 = AtomicU64::new(0);
/// What comes so soon after the first signal is the same request: `timeout` sends it to the process and to its group.
const TOGETHER_MS: u64 = 100;

const STOPS: [c_int; 3] = [SIGINT, SIGTERM, SIGHUP];
/// The handler of a signal that is ignored, as `signal` knows it.
const IGNORED: usize = 1;

unsafe extern "C" {
    fn signal(signal: c_int, handler: usize) -> usize;
}

/// Starts `command` in a session of its own, without a terminal, with the user's umask, to be waited for by [`ended`], or ended by
/// [`end_session`] together with everything that it starts.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_in_session(command: &mut Command) -> io::Result<Child> {
    // SAFETY: between fork and exec it makes two system calls, which take no memory and no lock.
    unsafe {
        command.pre_exec(|| {
            give_back_umask();
            rustix::process::setsid().map(drop).map_err(Into::into)
        })
    };
    STARTING.fetch_add(1, Ordering::SeqCst);
    let child = command.spawn();
    if let Ok(child) = &child {
        let _ = change(0, child.id().cast_signed());
    }
    STARTING.fetch_sub(1, Ordering::SeqCst);
    match LAST.load(Ordering::SeqCst) {
        0 => {}
        last => end_now(last),
    }
    child
}

/// How what [`start_in_session`] started has ended; `None` if it runs.
///
/// # Errors
/// [`io::Error`] if it cannot be asked.
pub fn ended(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let id = child.id();
    // Until it is waited for, its number cannot become another process's.
    if let Some(process) = pid(id).filter(|process| !matches!(waitid(WaitId::Pid(*process), options), Ok(None))) {
        let _ = change(process.as_raw_nonzero().get(), 0);
    }
    child.try_wait()
}

/// Asks what [`start_in_session`] started to end, with everything that it started, kills what is left after `patience`, and
/// waits for it.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_session(child: &mut Child, patience: Duration) -> io::Result<()> {
    if let Some(group) = pid(child.id()) {
        let _ = kill_process_group(group, Signal::TERM);
        // Until it is waited for, its number cannot become another process's.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let until = Instant::now() + patience;
        while matches!(waitid(WaitId::Pid(group), options), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = change(group.as_raw_nonzero().get(), 0);
    }
    child.wait().map(drop)
}

/// Puts the session `to` in the place of `from`. What finds no place is not ended by a signal.
fn change(from: i32, to: i32) -> bool {
    let exchange = |it: &AtomicI32| it.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    SESSIONS.iter().any(exchange)
}

/// Sets `asked` when this process is asked to stop, or loses its terminal, instead of ending it. A signal that was ignored when the process
/// was started, as with `nohup`, still is.
///
/// # Errors
/// [`io::Error`] if the signals cannot be registered.
pub fn note_stop(asked: &Arc<AtomicBool>) -> io::Result<()> {
    for number in STOPS.into_iter().filter(|number| !is_ignored(*number)) {
        let _ = signal_hook::flag::register(number, Arc::clone(asked))?;
    }
    Ok(())
}

/// As [`note_stop`]. Asked once more, or while `asked` is set by its own work, this process ends at once, with everything that runs in
/// sessions of its own.
///
/// # Errors
/// [`io::Error`] if the signals cannot be registered.
pub fn note_stop_or_end(asked: &Arc<AtomicBool>) -> io::Result<()> {
    for number in STOPS.into_iter().filter(|number| !is_ignored(*number)) {
        let asked = Arc::clone(asked);
        let heard = move || {
            let now = monotonic_ms();
            if !asked.swap(true, Ordering::SeqCst) {
                return FIRST.store(now, Ordering::SeqCst);
            }
            if now.saturating_sub(FIRST.load(Ordering::SeqCst)) < TOGETHER_MS {
                return;
            }
            LAST.store(number, Ordering::SeqCst);
            if STARTING.load(Ordering::SeqCst) == 0 {
                end_now(number);
            }
        };
        // SAFETY: it changes plain numbers, and makes system calls that a handler may make.
        let _ = unsafe { signal_hook::low_level::register(number, heard) }?;
    }
    Ok(())
}

fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // It counts from the start of the system on.
    (now.tv_sec * 1000 + now.tv_nsec / 1_000_000).unsigned_abs()
}

fn is_ignored(number: c_int) -> bool {
    // SAFETY: both handlers are the system's, or the one that was there; nothing else changes signals while the process begins.
    unsafe {
        let before = signal(number, IGNORED);
        if before != IGNORED {
            signal(number, before);
        }
        before == IGNORED
    }
}

/// Kills all sessions, and ends this process as `number` does by itself.
fn end_now(number: c_int) {
    for session in &SESSIONS {
        if let Some(group) = Pid::from_raw(session.load(Ordering::SeqCst)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let _ = signal_hook::low_level::emulate_default_handler(number);
}
