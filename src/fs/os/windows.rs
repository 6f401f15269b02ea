//! Windows. It has been compiled, and run under Wine; never on Windows itself.
//!
//! On Windows, permissions come from the folder, so nothing here sets them: everyone who can use the home's folder can
//! use what is created in it.

pub mod calls;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsHandle, AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleCtrlHandler,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_VALUE_TYPE, RRF_RT_REG_DWORD, RRF_RT_REG_SZ, RegGetValueW,
};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::Threading as threading;

use super::super::{Dir, Error};
use super::{Identity, Others, Signal, Stamp, Stream};

/// The environment variables that a program needs to work as its user expects.
pub const VARIABLES: &[&str] = &[
    "PATH",
    "PATHEXT",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "COMSPEC",
    "USERNAME",
    "USERPROFILE",
    "HOME",
    "APPDATA",
    "LOCALAPPDATA",
    "TEMP",
    "TMP",
];

/// SQLite makes its own system calls here.
pub fn sqlite_calls() -> impl IntoIterator<Item = super::SqliteCall> {
    []
}

/// The mode of a file that is never changed: a read-only file could not be removed here, so its owner may do
/// everything.
pub const UNCHANGING: u32 = 0o600;

/// A number for the user that this process acts for: users have no numbers here, so all share one.
pub fn user() -> u32 {
    0
}

/// An id of this machine that survives a reboot, or an empty string if it has none.
pub fn machine_id() -> String {
    let mut text = [0_u16; 64];
    let length = registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid", RRF_RT_REG_SZ, &mut text);
    let text = String::from_utf16_lossy(&text[..length.unwrap_or_default() / 2]);
    text.trim_end_matches('\0').to_owned()
}

/// An id that differs after every boot, or an empty string if the system has none: then every start counts as one after
/// a boot.
pub fn boot_id() -> String {
    let key = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
    let mut number = [0_u16; 2];
    let length = registry(key, "BootId", RRF_RT_REG_DWORD, &mut number);
    length.map(|_| format!("{}-{}", number[1], number[0])).unwrap_or_default()
}

/// Reads a machine-wide value. Returns its size in bytes; `None` if it is missing, or too large for `value`.
fn registry(key: &str, name: &str, kind: u32, value: &mut [u16]) -> Option<usize> {
    let (key, name, mut bytes) = (wide(key.as_ref()), wide(name.as_ref()), size_of_val(value) as u32);
    // SAFETY: the names end with a NUL, and no more is written than fits.
    let told = unsafe {
        let (kind_found, value) = (std::ptr::null_mut::<REG_VALUE_TYPE>(), value.as_mut_ptr().cast());
        RegGetValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), kind, kind_found, value, &raw mut bytes)
    };
    (told == win::ERROR_SUCCESS).then_some(bytes as usize)
}

fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The name of the folder's file system if it cannot keep the promises: one that is shared over a network or with a
/// host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
///
/// # Errors
/// Never fails here.
pub fn unsuitable_file_system(dir: &Dir) -> Result<Option<&'static str>, Error> {
    use std::path::Prefix::{UNC, VerbatimUNC};
    const REMOTE: u32 = 4;
    let Some(Component::Prefix(drive)) = dir.path().components().next() else { return Ok(None) };
    let mut root = drive.as_os_str().to_owned();
    root.push(r"\");
    // SAFETY: the path ends with a NUL.
    let is_remote = unsafe { fs::GetDriveTypeW(wide(&root).as_ptr()) == REMOTE };
    let is_remote = is_remote || matches!(drive.kind(), UNC(..) | VerbatimUNC(..));
    Ok(is_remote.then_some("a share of another machine"))
}

/// Process ids mean the same to every process here: an empty string.
pub fn pid_namespace() -> String {
    String::new()
}

/// Whether this process can see every process of the machine: not here.
pub fn shows_every_process() -> bool {
    false
}

/// Whether some process may have a file open that `is_it` recognises, or be a git program at work in one of `folders`.
/// That is unknown here, so the answer is yes: a lock is removed only if its claim or the boot shows that it is stale.
pub fn may_be_at_work(_: &[PathBuf], _: impl Fn(&Stamp) -> bool) -> bool {
    true
}

/// The folder decides who can use what is created.
pub fn keep_private() {}

/// The folder decides who can use what is created.
pub fn keep_readable() {}

/// Windows has no umask.
pub fn umask_of_user() -> u32 {
    0
}

/// Windows has no umask.
pub fn with_umask<T>(_: u32, write: impl FnOnce() -> T) -> T {
    write()
}

/// Windows has no modes or owner numbers.
pub fn mode_and_owner(_: &std::fs::Metadata) -> Option<(u32, u32)> {
    None
}

/// Windows has no modes.
///
/// # Errors
/// Never fails.
pub fn set_mode_at(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Gives the file at `path` the modification time of the one at `like`, if `with_age`. The folder decides who can use it.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn look_like(like: &Path, path: &Path, with_age: bool) -> io::Result<()> {
    match with_age {
        true => std::fs::OpenOptions::new().write(true).open(path)?.set_modified(std::fs::metadata(like)?.modified()?),
        false => Ok(()),
    }
}

/// Windows has no such limit.
pub fn survive_file_size_limit() {}

/// Yields to everything else on the machine. Repeating it changes nothing.
pub fn lower_priority() {
    // SAFETY: this process exists.
    unsafe { threading::SetPriorityClass(threading::GetCurrentProcess(), threading::BELOW_NORMAL_PRIORITY_CLASS) };
}

// Processes.

/// Starts `command` on its own: without a console, in the system's folder, without input or output, and without the
/// pipes that this process was given, so that no process waits for one of these to be closed.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_detached(command: &mut Command) -> io::Result<()> {
    for handle in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: if the handle does not exist, this is only an error.
        unsafe { win::SetHandleInformation(GetStdHandle(handle), win::HANDLE_FLAG_INHERIT, 0) };
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(folder) = std::env::var_os("SYSTEMROOT") {
        command.current_dir(folder);
    }
    command.creation_flags(threading::DETACHED_PROCESS | threading::CREATE_NEW_PROCESS_GROUP).spawn().map(drop)
}

/// Starts `command` at the lowest priority, to be ended by [`end_background`].
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_in_background(command: &mut Command) -> io::Result<Child> {
    command.creation_flags(threading::CREATE_NO_WINDOW | threading::IDLE_PRIORITY_CLASS).spawn()
}

/// Ends what [`start_in_background`] started, and waits for it. Processes that it started run to their end.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_background(child: &mut Child) -> io::Result<()> {
    let _ = child.kill();
    child.wait().map(drop)
}

/// Starts `command`, to be ended by [`end_session`].
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_in_session(command: &mut Command) -> io::Result<Child> {
    command.creation_flags(threading::CREATE_NO_WINDOW).spawn()
}

/// How what [`start_in_session`] started has ended; `None` if it runs.
///
/// # Errors
/// [`io::Error`] if it cannot be asked.
pub fn ended(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    child.try_wait()
}

/// Ends what [`start_in_session`] started, and waits for it. Processes that it started run to their end.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_session(child: &mut Child, _patience: Duration) -> io::Result<()> {
    end_background(child)
}

/// A process cannot be replaced by another program here: returns an error.
pub fn become_program(_: &mut Command) -> io::Error {
    io::Error::other("on Windows a process cannot become another; the new program is taken up at the next start")
}

/// Asks `process` to end, if it listens ([`on_signals`]).
///
/// # Errors
/// [`io::Error`] if the process does not exist, or does not listen.
pub fn ask_to_stop(process: u32) -> io::Result<()> {
    // SAFETY: the name ends with a NUL, and the handle is open until it is dropped, and owned here alone.
    unsafe {
        let event = threading::OpenEventW(threading::EVENT_MODIFY_STATE, 0, stop_event(process).as_ptr());
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        let event = OwnedHandle::from_raw_handle(event);
        if threading::SetEvent(event.as_raw_handle()) == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The name of the event that asks a process to stop: processes cannot send each other signals here.
fn stop_event(process: u32) -> Vec<u16> {
    wide(format!(r"Local\indelible-stop-{process}").as_ref())
}

/// The event of this process, once it listens.
static STOP: OnceLock<OwnedHandle> = OnceLock::new();

/// Nothing: a process keeps the number of the one that started it, and another may get that number.
pub fn parent() -> Option<u32> {
    None
}

/// Whether a process that ended with `status` was ended from outside, as [`Child::kill`] does it. For indelible's own
/// processes, those that record: they never end in this way themselves.
pub fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}

/// Returns: no process ends by a signal here.
pub fn end_as_interrupted() {}

/// Calls `hear` whenever this process is asked to stop from now on, by [`ask_to_stop`] or by its console, in a thread
/// of its own.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn on_signals(hear: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    // SAFETY: the name ends with a NUL, and the handle is owned here alone.
    let event = unsafe {
        let event = threading::CreateEventW(std::ptr::null(), 0, 0, stop_event(std::process::id()).as_ptr());
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        OwnedHandle::from_raw_handle(event)
    };
    let event = STOP.get_or_init(|| event);
    let listen = move || {
        // SAFETY: the handle is open for as long as the process runs.
        while unsafe { threading::WaitForSingleObject(event.as_raw_handle(), threading::INFINITE) }
            == win::WAIT_OBJECT_0
        {
            hear(Signal::Stop);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen)?;
    // SAFETY: it is a function, which exists for as long as the process runs.
    match unsafe { SetConsoleCtrlHandler(Some(console_says), 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The system calls this, in a thread of its own, when the console is interrupted or closed.
unsafe extern "system" fn console_says(what: u32) -> i32 {
    if let Some(event) = STOP.get() {
        // SAFETY: the handle is open for as long as the process runs.
        unsafe { threading::SetEvent(event.as_raw_handle()) };
    }
    // If the console is closed, the process ends when this function returns, and after some seconds in any case.
    if matches!(what, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        return 1;
    }
    loop {
        std::thread::park();
    }
}

/// Signals cannot be remembered without a thread here: always an error.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn remember_signals() -> io::Result<impl Fn() -> Option<Signal>> {
    Err::<fn() -> Option<Signal>, _>(io::ErrorKind::Unsupported.into())
}

/// Sets `asked` when this process is asked to stop, or loses its console, instead of ending it.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn note_stop(asked: &Arc<AtomicBool>) -> io::Result<()> {
    let asked = Arc::clone(asked);
    on_signals(move |_| asked.store(true, Ordering::Relaxed))
}

/// As [`note_stop`]. Asked once more, or while `asked` is set by its own work, this process ends at once. What it started runs to its
/// end.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn note_stop_or_end(asked: &Arc<AtomicBool>) -> io::Result<()> {
    let asked = Arc::clone(asked);
    on_signals(move |_| {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    })
}

/// Writes all of `bytes` to `stream`.
///
/// # Errors
/// [`io::Error`] if it cannot be written. Part of it may have been written.
pub fn write_to(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    match stream {
        Stream::Output => {
            let mut output = io::stdout().lock();
            output.write_all(bytes).and_then(|()| output.flush())
        }
        Stream::Errors => io::stderr().lock().write_all(bytes),
    }
}

/// Drops what was typed at the console of stdin and not yet read.
pub fn drop_typed() {
    use windows_sys::Win32::System::Console::FlushConsoleInputBuffer;
    // SAFETY: the handle is open for as long as it is borrowed; of what is no console, nothing is dropped.
    unsafe { FlushConsoleInputBuffer(io::stdin().as_handle().as_raw_handle()) };
}

/// Whether `input` has data, or its end, within `wait`. True at once for anything but a pipe.
pub fn is_readable(input: &impl AsHandle, wait: Duration) -> bool {
    const LOOK: Duration = Duration::from_millis(2);
    let handle = input.as_handle().as_raw_handle();
    let until = Instant::now() + wait;
    // SAFETY: the handle is open for as long as it is borrowed, and only a number is written.
    unsafe {
        if fs::GetFileType(handle) != fs::FILE_TYPE_PIPE {
            return true;
        }
        loop {
            let (mut bytes, none) = (0, std::ptr::null_mut());
            let told = PeekNamedPipe(handle, none, 0, none.cast(), &raw mut bytes, none.cast());
            // A pipe that cannot be queried is closed at its other end.
            if told == 0 || bytes > 0 {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }
}

// Files and folders by their paths.

impl Stamp {
    /// The stamp of the plain file at `path`, wherever links lead.
    ///
    /// # Errors
    /// [`io::Error`] if it is not a plain file, or cannot be read.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let found = information(&open_to_look(path, 0)?)?;
        let is_file = found.dwFileAttributes & fs::FILE_ATTRIBUTE_DIRECTORY == 0;
        if is_file { Ok(Stamp::from(&found)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The stamp of what is at `path` itself, even a link.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be read.
    pub fn of_itself(path: &Path) -> io::Result<Stamp> {
        Stamp::of_open(&open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT)?)
    }

    /// The stamp of an open file.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be read.
    pub fn of_open(file: &File) -> io::Result<Stamp> {
        information(file).map(|it| Stamp::from(&it))
    }
}

impl From<&fs::BY_HANDLE_FILE_INFORMATION> for Stamp {
    fn from(it: &fs::BY_HANDLE_FILE_INFORMATION) -> Stamp {
        let both = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let device = it.dwVolumeSerialNumber.into();
        let modified = it.ftLastWriteTime;
        Stamp {
            identity: Identity { device, inode: both(it.nFileIndexHigh, it.nFileIndexLow) },
            size: both(it.nFileSizeHigh, it.nFileSizeLow),
            modified: (modified.dwHighDateTime.into(), modified.dwLowDateTime.into()),
        }
    }
}

/// Opens a file or a folder only to query its metadata.
fn open_to_look(path: &Path, flags: u32) -> io::Result<File> {
    File::options().access_mode(0).custom_flags(fs::FILE_FLAG_BACKUP_SEMANTICS | flags).open(path)
}

fn information(file: &File) -> io::Result<fs::BY_HANDLE_FILE_INFORMATION> {
    let mut found = fs::BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and a structure of this kind is written.
    match unsafe { fs::GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(found),
    }
}

/// An identity that no other file has had before or will have: the file number includes how often it was reused. The
/// creation time proves nothing here: a new file of the same name can inherit it from the old one.
pub fn lasting_identity(path: &Path) -> Option<String> {
    let Identity { device, inode } = Stamp::of_itself(path).ok()?.identity;
    Some(format!("{device}:{inode}"))
}

/// Whether the file at `path` was created and last changed before the boot, where `now` is the time by the clock of its
/// file system. False if that is unknown, or if a wrong clock says otherwise.
pub fn is_older_than_boot(path: &Path, now: SystemTime) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    // SAFETY: it only returns a number, of milliseconds.
    let uptime = Duration::from_millis(unsafe { GetTickCount64() });
    super::is_before_boot([found.modified().ok(), found.created().ok()].into_iter().flatten(), now, uptime)
}

/// Whether the plain file at `path` has more than one hard link.
pub fn has_other_names(path: &Path) -> bool {
    let found = open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT).and_then(|file| information(&file));
    found.is_ok_and(|found| is_plain(&found) && found.nNumberOfLinks > 1)
}

/// Why what is at `path` is not a plain file with one hard link; `None` if it is one, or nothing is there.
pub fn oddity(path: &Path) -> Option<&'static str> {
    found_at(path)?.1
}

/// The identity of what is at `path`, and its [`oddity`]; `None` if nothing is there.
pub fn found_at(path: &Path) -> Option<(Identity, Option<&'static str>)> {
    let found = open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT).and_then(|file| information(&file)).ok()?;
    let oddity = match () {
        () if !is_plain(&found) => Some("is not a plain file"),
        () if found.nNumberOfLinks > 1 => Some("has another name elsewhere"),
        () => None,
    };
    Some((Stamp::from(&found).identity, oddity))
}

/// Whether the open file is plain and has one hard link.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn is_plain_and_alone(file: &File) -> io::Result<bool> {
    information(file).map(|found| is_plain(&found) && found.nNumberOfLinks <= 1)
}

fn is_plain(found: &fs::BY_HANDLE_FILE_INFORMATION) -> bool {
    found.dwFileAttributes & (fs::FILE_ATTRIBUTE_DIRECTORY | fs::FILE_ATTRIBUTE_REPARSE_POINT) == 0
}

/// Whether `error` says only that a file is unavailable at the moment.
pub fn is_passing(error: &io::Error) -> bool {
    is_shortage(error)
}

/// Settings are reloaded on request.
pub fn ask_to_read_again(_: std::time::Duration) {}

/// Whether `error` means that a resource is short or busy at the moment.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted)
}

/// Opens the file at `path` for reading.
pub(super) fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens what is at `path` itself for reading. A link is not followed.
///
/// # Errors
/// [`io::Error`] if it cannot be opened, or is not a plain file.
pub fn open_itself_without_waiting(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(fs::FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
    if is_plain(&information(&file)?) { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Whether a program lies at `path`.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// The folder of a file decides who can use it.
///
/// # Errors
/// Never fails.
pub fn others_who_can_change(_: &Path, _: bool) -> io::Result<Option<Others>> {
    Ok(None)
}

/// As [`others_who_can_change`].
///
/// # Errors
/// Never fails.
pub fn others_who_can_change_open(_: &File) -> io::Result<Option<Others>> {
    Ok(None)
}

/// Why this user may not open the file at `path`: unknown until it is opened.
pub fn refusal_to_open(_: &Path, _: bool) -> Option<String> {
    None
}

/// Owners have no numbers here.
pub fn owner_of(_: &Path) -> Option<u32> {
    None
}

/// The system does not say without an attempt.
pub fn why_unwritable(_: &Dir) -> Option<io::Error> {
    None
}

/// The real path of `path`: absolute and without symbolic links. If the path begins with a drive, the prefix `\\?\` is
/// removed, since SQLite and libgit2 do not expect it.
///
/// # Errors
/// [`io::Error`] if nothing is there, or it cannot be resolved.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let real = std::fs::canonicalize(path)?;
    let short = real.to_str().and_then(|real| real.strip_prefix(r"\\?\")).filter(|rest| rest.get(1..3) == Some(r":\"));
    Ok(short.map(PathBuf::from).unwrap_or(real))
}

/// Creates the symbolic link `link` to the file `target`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn link_to(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// Creates folders, with the permissions of the folder above.
pub fn private_folders() -> DirBuilder {
    DirBuilder::new()
}

/// Opens files; those that it creates have the permissions of the folder.
pub fn private_files() -> OpenOptions {
    OpenOptions::new()
}

/// Opens the file at `path`, even a link itself, for reading and writing, and creates it if it is missing.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn open_itself(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(fs::FILE_FLAG_OPEN_REPARSE_POINT);
    options.read(true).write(true).create(true).truncate(false).open(path)
}

/// Windows has no modes.
///
/// # Errors
/// Never fails here.
pub fn mode_of(_: &File) -> io::Result<u32> {
    Ok(0o600)
}

/// Makes the names in the folder at `path` durable.
///
/// # Errors
/// [`io::Error`] if the sync fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let access = fs::FILE_GENERIC_READ | fs::FILE_ADD_FILE;
    let folder = File::options().access_mode(access).custom_flags(fs::FILE_FLAG_BACKUP_SEMANTICS).open(path)?;
    sync_open_folder(&folder)
}

/// If the file system cannot flush a folder, its log has the names, and is written every few seconds.
fn sync_open_folder(folder: &File) -> io::Result<()> {
    let cannot = [win::ERROR_ACCESS_DENIED, win::ERROR_INVALID_FUNCTION, win::ERROR_INVALID_HANDLE];
    match folder.sync_all() {
        Err(error) if cannot.iter().any(|it| error.raw_os_error() == Some(it.cast_signed())) => Ok(()),
        synced => synced,
    }
}

// Locks, which end with the process that holds them. A lock keeps others from the bytes that it covers, so these cover
// bytes beyond any file.

const LOCK: u64 = 1 << 62;
const APPEND_LOCK: u64 = LOCK + 1;

/// Takes the lock of an open file without waiting. Others can still read and write the file.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if another process holds it.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    lock_range(file, LOCK, true)
}

/// As [`try_lock`], for a shared lock.
///
/// # Errors
/// As [`try_lock`].
pub fn try_lock_shared(file: &File) -> Result<(), TryLockError> {
    lock_range(file, LOCK, false)
}

/// Releases the lock of an open file. Closing it does so as well.
pub fn unlock(file: &File) {
    unlock_range(file, LOCK);
}

/// Takes the lock of the folder at `path` without waiting. Dropping the returned file releases it. A folder has no
/// bytes, so a file in it is locked.
///
/// # Errors
/// As [`try_lock`], and [`TryLockError::Error`] if the folder does not exist.
pub fn try_lock_folder(path: &Path) -> Result<File, TryLockError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path.join("lock"));
    let file = file.map_err(TryLockError::Error)?;
    try_lock(&file).map(|()| file)
}

/// Releases the lock of the folder at `path`, and removes it and everything beneath it: not every file system here can
/// remove an open file.
///
/// # Errors
/// [`io::Error`] if the system refuses; some of it may be gone then.
pub fn remove_locked_folder(path: &Path, lock: File) -> io::Result<()> {
    drop(lock);
    std::fs::remove_dir_all(path)
}

fn lock_range(file: &File, offset: u64, exclusive: bool) -> Result<(), TryLockError> {
    let exclusive = if exclusive { fs::LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
    let mut range = overlapped(offset);
    // SAFETY: the handle is open, and the range lives until the call returns, which it does at once.
    let locked = unsafe {
        let how = fs::LOCKFILE_FAIL_IMMEDIATELY | exclusive;
        fs::LockFileEx(file.as_raw_handle(), how, 0, 1, 0, &raw mut range)
    };
    if locked != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(win::ERROR_LOCK_VIOLATION | win::ERROR_IO_PENDING) => Err(TryLockError::WouldBlock),
        _ => Err(TryLockError::Error(error)),
    }
}

fn unlock_range(file: &File, offset: u64) {
    let mut range = overlapped(offset);
    // SAFETY: as for taking the lock. If unlocking fails, closing the file unlocks it.
    unsafe { fs::UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut range) };
}

fn overlapped(offset: u64) -> OVERLAPPED {
    let place = OVERLAPPED_0_0 { Offset: offset as u32, OffsetHigh: (offset >> 32) as u32 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: place }, ..OVERLAPPED::default() }
}

/// The time since this was first asked: what this thread has taken of the processor is less.
pub fn thread_time() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
