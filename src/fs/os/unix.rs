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
use rustix::io::Errno;
use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use super::super::Dir;
use super::{Identity, Others, Signal, Stamp, Stream};

/// The priority of work that must not slow down anything else.
const LOW_PRIORITY: i32 = 10;
/// The priority of work that runs only when the machine is idle.
const LOWEST_PRIORITY: i32 = 19;

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

// Processes.

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

/// Sets `asked` when this process is asked to stop, or loses its terminal, instead of ending it.
///
/// # Errors
/// [`io::Error`] if the signals cannot be registered.
pub fn note_stop(asked: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(asked))?;
    }
    Ok(())
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

// Files and folders by their paths.

impl Stamp {
    /// The stamp of the plain file at `path`, wherever links lead.
    ///
    /// # Errors
    /// [`io::Error`] if it is not a plain file, or cannot be read.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let found = std::fs::metadata(path)?;
        if found.is_file() { Ok(Stamp::from(&found)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The stamp of what is at `path` itself, even a link.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be read.
    pub fn of_itself(path: &Path) -> io::Result<Stamp> {
        std::fs::symlink_metadata(path).map(|it| Stamp::from(&it))
    }

    /// The stamp of an open file.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be read.
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

/// An identity that no other file of this file system has had before or will have: an inode can be reused, but then
/// with another creation time. It does not include the device, since a boot can number devices differently.
pub fn lasting_identity(path: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let made = found.created().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{}:{}", found.ino(), made.as_nanos()))
}

/// Whether the file at `path` was created and last changed before the boot, where `now` is the time by the clock of its
/// file system. False if that is unknown, or if a wrong clock says otherwise.
pub fn is_older_than_boot(path: &Path, now: SystemTime) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    let changed = u64::try_from(found.ctime()).map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let times = [found.modified().ok(), changed.ok(), found.created().ok()];
    super::is_before_boot(times.into_iter().flatten(), now, uptime())
}

/// The time since the boot, including sleep.
fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// Whether the plain file at `path` has more than one hard link.
pub fn has_other_names(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.nlink() > 1)
}

/// Why what is at `path` is not a plain file with one hard link; `None` if it is one, or nothing is there.
pub fn oddity(path: &Path) -> Option<&'static str> {
    found_at(path)?.1
}

/// The identity of what is at `path`, and its [`oddity`]; `None` if nothing is there. One call of the system.
pub fn found_at(path: &Path) -> Option<(Identity, Option<&'static str>)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let kind = found.file_type();
    let oddity = match () {
        () if kind.is_dir() => Some("is a folder"),
        () if kind.is_symlink() => Some("is a symbolic link"),
        () if !kind.is_file() => Some("is not a plain file"),
        () if found.nlink() > 1 => Some("has another name elsewhere"),
        () => None,
    };
    Some((Stamp::from(&found).identity, oddity))
}

/// Whether the open file is plain and has one hard link.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn is_plain_and_alone(file: &File) -> io::Result<bool> {
    file.metadata().map(|found| found.is_file() && found.nlink() <= 1)
}

/// The numeric id of the owner of what is at `path`, if the system says.
pub fn owner_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|found| found.uid())
}

/// With less room than this, in bytes, a disk counts as full: a record and its files need more.
const ROOM_BYTES_MIN: u64 = 64 << 10;

/// Why nothing can be written in `folder`, as far as the system says so without an attempt.
pub fn why_unwritable(folder: &Dir) -> Option<io::Error> {
    use rustix::fs::{Access, AtFlags};
    let refused = rustix::fs::accessat(folder.fd(), ".", Access::WRITE_OK, AtFlags::EACCESS).err();
    if let Some(errno) = refused.filter(|errno| matches!(*errno, Errno::ROFS | Errno::ACCESS | Errno::PERM)) {
        return Some(errno.into());
    }
    let found = rustix::fs::fstatvfs(folder.fd()).ok()?;
    // Some file systems do not report their size.
    let is_full = found.f_blocks > 0 && found.f_bavail.saturating_mul(found.f_frsize) < ROOM_BYTES_MIN;
    is_full.then(|| io::Error::new(io::ErrorKind::StorageFull, "no space is left on its disk"))
}

/// Why this user may not open the file at `path` for reading or, if `to_write`, for reading and writing; `None` if they
/// may, or if the system does not say. The file is not opened.
pub fn refusal_to_open(path: &Path, to_write: bool) -> Option<String> {
    use rustix::fs::{Access, AtFlags, CWD};
    use rustix::io::Errno;
    let wanted = if to_write { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
    match rustix::fs::accessat(CWD, path, wanted, AtFlags::EACCESS) {
        Err(Errno::ROFS) => Some("is on a file system that is read-only".to_owned()),
        Err(Errno::ACCESS | Errno::PERM) => Some(match owner_of(path) {
            Some(owner) if owner != user() => format!("belongs to user {owner}, and this is user {}", user()),
            _ => "has a mode that keeps its owner out".to_owned(),
        }),
        _ => None,
    }
}

/// The real path of `path`: absolute and without symbolic links.
///
/// # Errors
/// [`io::Error`] if nothing is there, or it cannot be resolved.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// Creates the symbolic link `link` to the file `target`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn link_to(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Creates folders that only their owner can use.
pub fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Opens files; those that it creates can be used only by their owner.
pub fn private_files() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Opens the file at `path`, which must not be a symbolic link, for reading and writing, and creates it if it is
/// missing.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn open_itself(path: &Path) -> io::Result<File> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("the flag is a small number");
    private_files().read(true).write(true).create(true).truncate(false).custom_flags(nofollow).open(path)
}

/// Whether `error` means that a resource is short or busy at the moment: descriptors, memory, a lock.
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::INTR, Errno::BUSY];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// Whether `error` says only that a file is unavailable at the moment: a shortage, or a fault of the disk.
pub fn is_passing(error: &io::Error) -> bool {
    is_shortage(error) || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO)
}

/// Opens the file at `path` for reading, without blocking, even a pipe without a writer.
pub(super) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let at_once = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("the flag is a small number");
    OpenOptions::new().read(true).custom_flags(at_once).open(path)
}

/// The permissions of the open file.
///
/// # Errors
/// [`io::Error`] if they cannot be read.
pub fn mode_of(file: &File) -> io::Result<u32> {
    file.metadata().map(|found| found.permissions().mode() & 0o777)
}

/// The permissions of what was found, and the numeric id of its owner.
pub fn mode_and_owner(found: &Metadata) -> Option<(u32, u32)> {
    Some((found.permissions().mode() & 0o7777, found.uid()))
}

/// Sets the permissions of what is at `path`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn set_mode_at(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes the names in the folder at `path` durable.
///
/// # Errors
/// [`io::Error`] if the sync fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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

// Who can change what.

/// Whether this user can run a program at `path`.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Others, besides this user and root, who can change what is at `path`; `None` if there are no others. On the way to
/// something (`on_the_way`), a folder in which every user may create names but only owners change them counts as the
/// user's own.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn others_who_can_change(path: &Path, on_the_way: bool) -> io::Result<Option<Others>> {
    const STICKY: u32 = 0o1000;
    let found = std::fs::symlink_metadata(path)?;
    let others = others_of(&found, || rustix::fs::lgetxattr(path, ACCESS_LIST, &mut [0_u8; 0][..]).is_ok());
    Ok(others.filter(|_| !(on_the_way && is_ours_or_roots(&found) && found.mode() & STICKY != 0)))
}

/// As [`others_who_can_change`], for an open file.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn others_who_can_change_open(file: &File) -> io::Result<Option<Others>> {
    Ok(others_of(&file.metadata()?, || rustix::fs::fgetxattr(file, ACCESS_LIST, &mut [0_u8; 0][..]).is_ok()))
}

/// The name of an access control list: if a file has one, its group bits may stand for other users.
const ACCESS_LIST: &str = "system.posix_acl_access";

fn is_ours_or_roots(found: &Metadata) -> bool {
    found.uid() == user() || found.uid() == 0 || is_nobody_here(found.uid())
}

/// Whether `owner` stands for every user without a number here, including root: in the user namespace of a sandbox that
/// has only this user, `/` and `/home` appear as owned by it. Which of those users it is cannot be known, and none of
/// them can be in that namespace.
fn is_nobody_here(owner: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).ok();
    let stands_in = |owner: u32| read("/proc/sys/kernel/overflowuid").is_some_and(|it| it.trim() == owner.to_string());
    stands_in(owner) && read("/proc/self/uid_map").is_some_and(|map| has_neither(&map, 0, owner))
}

/// Whether the table of a user namespace, `map`, has neither of the users `one` and `other`.
fn has_neither(map: &str, one: u32, other: u32) -> bool {
    let ranges = map.lines().map(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        Some(*numbers.first()?..numbers.first()? + numbers.get(2)?)
    });
    let ranges: Option<Vec<_>> = ranges.collect();
    ranges
        .is_some_and(|it| !it.is_empty() && !it.iter().any(|it| it.contains(&one.into()) || it.contains(&other.into())))
}

fn others_of(found: &Metadata, has_access_list: impl FnOnce() -> bool) -> Option<Others> {
    let (mode, group) = (found.mode(), found.gid());
    if !is_ours_or_roots(found) {
        Some(Others::Owner(found.uid()))
    } else if mode & 0o002 != 0 {
        Some(Others::Everybody)
    } else if mode & 0o020 != 0 && (has_access_list() || !is_group_of_one(group, found.uid())) {
        Some(Others::Group(group))
    } else {
        None
    }
}

/// Whether the user `owner` alone is in the group: many systems give each user a group with the same number, and make
/// files writable by it. A group that cannot be looked up counts as one with several members.
fn is_group_of_one(group: u32, owner: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    group == owner && owner != 0 && is_alone(&read("/etc/passwd"), &read("/etc/group"), owner)
}

/// Whether `passwd` and `group`, the texts of the system's lists, show the user `owner` as the only member of the group
/// with the same number.
fn is_alone(passwd: &str, group: &str, owner: u32) -> bool {
    let number = owner.to_string();
    let lines =
        |text: &str| text.lines().map(|it| it.split(':').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>();
    let is = |line: &Vec<String>, at: usize| line.get(at) == Some(&number);
    let (users, groups) = (lines(passwd), lines(group));
    let Some(own) = users.iter().find(|user| is(user, 2)).map(|user| &user[0]) else { return false };
    let Some(members) = groups.iter().find(|group| is(group, 2)).and_then(|group| group.get(3)) else { return false };
    members.split(',').all(|name| name.is_empty() || name == own)
        && users.iter().all(|user| !is(user, 3) || user[0] == *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_nobody_only_in_a_namespace_without_either() {
        for (map, is_so) in [
            ("         0          0 4294967295\n", false),
            ("      1000       1000          1\n", true),
            ("0 1000 1\n", false),
            ("1000 0 1\n65534 65534 1\n", false),
            ("1000 0 1\n2000 5000 65536\n", false),
            ("", false),
            ("1000 x\n", false),
        ] {
            assert_eq!(has_neither(map, 0, 65534), is_so, "{map}");
        }
    }

    #[test]
    fn a_group_of_one_has_no_other_user() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nyou:x:1001:1001::/home/you:/bin/sh\n";
        let group = "root:x:0:\nme:x:1000:\nyou:x:1001:me\n";
        assert!(is_alone(passwd, group, 1000));
        assert!(!is_alone(passwd, group, 1001), "another user is a member");
        assert!(!is_alone(passwd, group, 1002), "it is not listed");
        assert!(
            !is_alone(&passwd.replace("you:x:1001:1001", "you:x:1001:1000"), group, 1000),
            "it is another's first group"
        );
        assert!(!is_alone("", "", 1000));
    }
}
