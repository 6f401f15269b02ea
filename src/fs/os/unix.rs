//! What Linux and macOS share.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use super::{Identity, Signal, Stamp};

/// The priority of what must not be in anybody's way.
const LOW_PRIORITY: i32 = 10;
/// The priority of what runs when nothing else does.
const LOWEST_PRIORITY: i32 = 19;

/// What a program needs of the environment to work as its user expects.
pub const VARIABLES: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL"];

/// Who may do what with a file that is never changed: its owner, read.
pub const UNCHANGING: u32 = 0o400;

/// The numeric id of the user whom this process acts for.
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

/// The umask of this process before [`keep_private`]; more than any is, before that.
static UMASK_OF_USER: AtomicU32 = AtomicU32::new(u32::MAX);
/// Held while the umask is another for a moment.
static UMASK: Mutex<()> = Mutex::new(());

/// Lets nothing that this process makes be read by anybody but its user.
pub fn keep_private() {
    let before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let _ = UMASK_OF_USER.compare_exchange(u32::MAX, raw(before), Ordering::Relaxed, Ordering::Relaxed);
}

/// The umask that this process was started with.
pub fn umask_of_user() -> u32 {
    match UMASK_OF_USER.load(Ordering::Relaxed) {
        u32::MAX => {
            // It can only be told by setting it.
            let _held = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
            let now = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
            rustix::process::umask(now);
            raw(now)
        }
        umask => umask,
    }
}

/// Does `write` with another umask. What other threads make meanwhile is not touched by that if it is made with its mode,
/// as all that is private is.
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

/// The umask that the user gave this process, for one that takes its place or goes on without it.
fn give_back_umask() {
    let umask = UMASK_OF_USER.load(Ordering::Relaxed);
    if umask != u32::MAX {
        rustix::process::umask(mode(umask));
    }
}

/// Lets what this process makes from now on be read by everybody: what is installed for all users.
pub fn keep_readable() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

/// Makes of a write beyond the largest size that a file may have an error like any other, instead of the end of this
/// process.
pub fn survive_file_size_limit() {
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Gives way to whatever else runs on the machine. A second time changes nothing.
pub fn lower_priority() {
    if rustix::process::getpriority_process(None).is_ok_and(|priority| priority < LOW_PRIORITY) {
        let _ = rustix::process::setpriority_process(None, LOW_PRIORITY);
    }
}

// Processes.

/// Starts `command` on its own: in a session without a terminal, in the root folder, with nothing to read from or write
/// to, and without any file that this process has open, so that nobody who waits for one waits for it.
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

/// Starts `command`, to be ended by [`end_background`] together with all that it starts, at the lowest priority there is.
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

/// Ends what [`start_in_background`] has started, and waits for it.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_background(child: &mut Child) -> io::Result<()> {
    if let Some(group) = pid(child.id()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().map(drop)
}

/// Goes on as `command`, in this process. Returns only where that cannot be, and why.
pub fn become_program(command: &mut Command) -> io::Error {
    give_back_umask();
    let error = command.exec();
    keep_private();
    error
}

/// Asks `process` to come to its end.
///
/// # Errors
/// [`io::Error`] if there is no such process, or it is somebody else's.
pub fn ask_to_stop(process: u32) -> io::Result<()> {
    let process = pid(process).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(process, rustix::process::Signal::TERM)?)
}

fn pid(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Whether a process that ended with `status` was ended from outside.
pub fn was_killed(status: ExitStatus) -> bool {
    status.code().is_none()
}

/// Calls `hear` for each signal that this process gets from now on, in a thread of its own.
///
/// # Errors
/// [`io::Error`] if the signals cannot be had.
pub fn on_signals(hear: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let listen = move || {
        for signal in signals.forever() {
            hear(if signal == SIGHUP { Signal::Reload } else { Signal::Stop });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

/// Has `asked` say when this process was asked to stop, or has lost its terminal, instead of ending it.
///
/// # Errors
/// [`io::Error`] if the signals cannot be had.
pub fn note_stop(asked: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(asked))?;
    }
    Ok(())
}

/// Stops this process until somebody lets it go on.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn pause() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?)
}

/// Whether something can be read from `input`, or its end, within `wait`.
pub fn is_readable(input: &impl AsFd, wait: Duration) -> bool {
    let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
    poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0)
}

// Files and folders by their paths.

impl Stamp {
    /// That of the plain file at `path`, whatever links lead there.
    ///
    /// # Errors
    /// [`io::Error`] if it is none, or it cannot be told.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let found = std::fs::metadata(path)?;
        if found.is_file() { Ok(Stamp::from(&found)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// That of what lies at `path` itself, be it a link.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be told.
    pub fn of_itself(path: &Path) -> io::Result<Stamp> {
        std::fs::symlink_metadata(path).map(|it| Stamp::from(&it))
    }

    /// That of an open file.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be told.
    pub fn of_open(file: &File) -> io::Result<Stamp> {
        file.metadata().map(|it| Stamp::from(&it))
    }
}

impl From<&Metadata> for Stamp {
    fn from(it: &Metadata) -> Stamp {
        let identity = Identity { device: it.dev(), inode: it.ino() };
        Stamp { identity, size: it.size(), modified: (it.mtime(), it.mtime_nsec()) }
    }
}

/// What no file has had before the one at `path`, and none will: an inode can be given out again, but was then made at
/// another time.
pub fn lasting_identity(path: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let made = found.created().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{}:{}:{}", found.dev(), found.ino(), made.as_nanos()))
}

/// Whether the plain file at `path` has more than one name.
pub fn has_other_names(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.nlink() > 1)
}

/// Whether the open file is a plain one, and has one name.
///
/// # Errors
/// [`io::Error`] if it cannot be told.
pub fn is_plain_and_alone(file: &File) -> io::Result<bool> {
    file.metadata().map(|found| found.is_file() && found.nlink() <= 1)
}

/// The numeric id of the owner of what lies at `path`, where the system tells.
pub fn owner_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|found| found.uid())
}

/// The path of what is at `path`, absolute and without symbolic links.
///
/// # Errors
/// [`io::Error`] if nothing is there, or it cannot be told.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// Makes the symbolic link `link` to the file `target`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn link_to(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Makes folders that their owner alone can use.
pub fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Opens files; those that it makes can be used by their owner alone.
pub fn private_files() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Opens files that are written once; those that it makes can then be read by their owner alone, and changed by nobody.
pub fn unchanging_files() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(UNCHANGING);
    options
}

/// Opens the file at `path`, which is no symbolic link, for reading and writing, and makes it where there is none.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn open_itself(path: &Path) -> io::Result<File> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("the flag is a small number");
    private_files().read(true).write(true).create(true).truncate(false).custom_flags(nofollow).open(path)
}

/// Who may do what with the open file.
///
/// # Errors
/// [`io::Error`] if it cannot be told.
pub fn mode_of(file: &File) -> io::Result<u32> {
    file.metadata().map(|found| found.permissions().mode() & 0o777)
}

/// Says who may do what with the open file.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// Who may do what with what was found, and the numeric id of its owner.
pub fn mode_and_owner(found: &Metadata) -> Option<(u32, u32)> {
    Some((found.permissions().mode() & 0o7777, found.uid()))
}

/// Says who may do what with what lies at `path`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn set_mode_at(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Lets the folder at `path` be used by its owner alone, whatever the folder above it hands down.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn make_private(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Moves the file `from` to `to`, in the place of whatever file lies there. Both are never changed, and named for what
/// they hold.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn place_unchanging(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Makes the names in the folder at `path` durable.
///
/// # Errors
/// [`io::Error`] if the sync fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// Locks, which go with whoever has them.

/// Takes the lock of an open file without waiting. Others can read and write the file all the same.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if somebody else has it.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// As [`try_lock`], a lock that others can have as well.
///
/// # Errors
/// As [`try_lock`].
pub fn try_lock_shared(file: &File) -> Result<(), TryLockError> {
    file.try_lock_shared()
}

/// Takes the lock of the folder at `path` without waiting. It is given back with what is returned.
///
/// # Errors
/// As [`try_lock`], and [`TryLockError::Error`] if there is no such folder.
pub fn try_lock_folder(path: &Path) -> Result<File, TryLockError> {
    let folder = File::open(path).map_err(TryLockError::Error)?;
    folder.try_lock().map(|()| folder)
}

/// Removes the folder at `path` and everything beneath it, and gives back its lock.
///
/// # Errors
/// [`io::Error`] if the system refuses; some of it may be gone then.
pub fn remove_locked_folder(path: &Path, lock: File) -> io::Result<()> {
    let removed = std::fs::remove_dir_all(path);
    drop(lock);
    removed
}
