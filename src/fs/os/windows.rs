//! Windows. It has been compiled, and run under Wine; never on Windows itself.
//!
//! What a user may do with a file is said by its folder there, so nothing here says it: what is made in a home can be used
//! by whoever can use the home's folder.

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

/// What a program needs of the environment to work as its user expects.
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

/// Who may do what with a file that is never changed: what may not be written may not be removed here, so all of it.
pub const UNCHANGING: u32 = 0o600;

/// A number for the user whom this process acts for: users have none here, so it is everybody's.
pub fn user() -> u32 {
    0
}

/// An id of this machine that survives a reboot, or an empty string where there is none.
pub fn machine_id() -> String {
    let mut text = [0_u16; 64];
    let length = registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid", RRF_RT_REG_SZ, &mut text);
    let text = String::from_utf16_lossy(&text[..length.unwrap_or_default() / 2]);
    text.trim_end_matches('\0').to_owned()
}

/// An id that differs after every boot, or an empty string where the system has none: then every start counts as one
/// after a boot.
pub fn boot_id() -> String {
    let key = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
    let mut number = [0_u16; 2];
    let length = registry(key, "BootId", RRF_RT_REG_DWORD, &mut number);
    length.map(|_| format!("{}-{}", number[1], number[0])).unwrap_or_default()
}

/// Reads a value of the whole machine. Returns how many bytes it has; `None` if there is none, or no room for it.
fn registry(key: &str, name: &str, kind: u32, value: &mut [u16]) -> Option<usize> {
    let (key, name, mut bytes) = (wide(key.as_ref()), wide(name.as_ref()), size_of_val(value) as u32);
    // SAFETY: the names end with a NUL, and no more is written than there is room for.
    let told = unsafe {
        let (kind_found, value) = (std::ptr::null_mut::<REG_VALUE_TYPE>(), value.as_mut_ptr().cast());
        RegGetValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), kind, kind_found, value, &raw mut bytes)
    };
    (told == win::ERROR_SUCCESS).then_some(bytes as usize)
}

fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The name of the folder's file system if it is one that cannot keep the promises: one that is shared over a network
/// or with a host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
///
/// # Errors
/// None here.
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

/// Whether this process can look at every process of the machine: not here.
pub fn shows_every_process() -> bool {
    false
}

/// Whether some process may have a file open that `is_it` knows, or be a git program at work in one of `folders`. That
/// cannot be found out here, so it may: a lock goes only if its claim or the boot shows that it is stale.
pub fn may_be_at_work(_: &[PathBuf], _: impl Fn(&Stamp) -> bool) -> bool {
    true
}

/// What is made can be used by whom its folder says.
pub fn keep_private() {}

/// What is made can be used by whom its folder says.
pub fn keep_readable() {}

/// There is none.
pub fn umask_of_user() -> u32 {
    0
}

/// There is none.
pub fn with_umask<T>(_: u32, write: impl FnOnce() -> T) -> T {
    write()
}

/// There are none.
pub fn mode_and_owner(_: &std::fs::Metadata) -> Option<(u32, u32)> {
    None
}

/// There are none.
///
/// # Errors
/// None.
pub fn set_mode_at(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// There is no such limit.
pub fn survive_file_size_limit() {}

/// Gives way to whatever else runs on the machine. A second time changes nothing.
pub fn lower_priority() {
    // SAFETY: this process is there.
    unsafe { threading::SetPriorityClass(threading::GetCurrentProcess(), threading::BELOW_NORMAL_PRIORITY_CLASS) };
}

// Processes.

/// Starts `command` on its own: without a console, in the system's folder, with nothing to read from or write to, and
/// without the pipes that this process was given, so that nobody who waits for one waits for it.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_detached(command: &mut Command) -> io::Result<()> {
    for handle in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: where there is no such handle, this is an error and no more.
        unsafe { win::SetHandleInformation(GetStdHandle(handle), win::HANDLE_FLAG_INHERIT, 0) };
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(folder) = std::env::var_os("SYSTEMROOT") {
        command.current_dir(folder);
    }
    command.creation_flags(threading::DETACHED_PROCESS | threading::CREATE_NEW_PROCESS_GROUP).spawn().map(drop)
}

/// Starts `command`, to be ended by [`end_background`], at the lowest priority there is.
///
/// # Errors
/// [`io::Error`] if it cannot be started.
pub fn start_in_background(command: &mut Command) -> io::Result<Child> {
    command.creation_flags(threading::CREATE_NO_WINDOW | threading::IDLE_PRIORITY_CLASS).spawn()
}

/// Ends what [`start_in_background`] has started, and waits for it. What that has started goes on to its end.
///
/// # Errors
/// [`io::Error`] if it cannot be waited for.
pub fn end_background(child: &mut Child) -> io::Result<()> {
    let _ = child.kill();
    child.wait().map(drop)
}

/// A process cannot become another here: says so.
pub fn become_program(_: &mut Command) -> io::Error {
    io::Error::other("on Windows a process cannot become another; the new program is taken up at the next start")
}

/// Asks `process` to come to its end, if it listens ([`on_signals`]).
///
/// # Errors
/// [`io::Error`] if there is no such process, or it does not listen.
pub fn ask_to_stop(process: u32) -> io::Result<()> {
    // SAFETY: the name ends with a NUL, and the handle is open until it is dropped, and nobody else's.
    unsafe {
        let event = threading::OpenEventW(threading::EVENT_MODIFY_STATE, 0, stop_event(process).as_ptr());
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        let event = OwnedHandle::from_raw_handle(event);
        if threading::SetEvent(event.as_raw_handle()) == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The name of the event with which a process is asked to stop: there are no signals from one process to another.
fn stop_event(process: u32) -> Vec<u16> {
    wide(format!(r"Local\indelible-stop-{process}").as_ref())
}

/// The event of this process, once it listens.
static STOP: OnceLock<OwnedHandle> = OnceLock::new();

/// Whether a process that ended with `status` was ended from outside, as [`Child::kill`] does it. For processes of ours,
/// those that record: they never end in this way themselves.
pub fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}

/// Calls `hear` whenever this process is asked to stop from now on, by [`ask_to_stop`] or by its console, in a thread of
/// its own.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn on_signals(hear: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    // SAFETY: the name ends with a NUL, and the handle is nobody else's.
    let event = unsafe {
        let event = threading::CreateEventW(std::ptr::null(), 0, 0, stop_event(std::process::id()).as_ptr());
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        OwnedHandle::from_raw_handle(event)
    };
    let event = STOP.get_or_init(|| event);
    let listen = move || {
        // SAFETY: the handle is open for as long as the process.
        while unsafe { threading::WaitForSingleObject(event.as_raw_handle(), threading::INFINITE) }
            == win::WAIT_OBJECT_0
        {
            hear(Signal::Stop);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen)?;
    // SAFETY: it is a function, which is there for as long as the process.
    match unsafe { SetConsoleCtrlHandler(Some(console_says), 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What the system calls, in a thread of its own, when the console is interrupted or goes away.
unsafe extern "system" fn console_says(what: u32) -> i32 {
    if let Some(event) = STOP.get() {
        // SAFETY: the handle is open for as long as the process.
        unsafe { threading::SetEvent(event.as_raw_handle()) };
    }
    // Where the console goes away, the process ends with this function, and after some seconds in any case.
    if matches!(what, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        return 1;
    }
    loop {
        std::thread::park();
    }
}

/// There is nothing that remembers signals without a thread: always an error.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn remember_signals() -> io::Result<impl Fn() -> Option<Signal>> {
    Err::<fn() -> Option<Signal>, _>(io::ErrorKind::Unsupported.into())
}

/// Has `asked` say when this process was asked to stop, or has lost its console, instead of ending it.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn note_stop(asked: &Arc<AtomicBool>) -> io::Result<()> {
    let asked = Arc::clone(asked);
    on_signals(move |_| asked.store(true, Ordering::Relaxed))
}

/// Writes all of `bytes` to `stream`.
///
/// # Errors
/// [`io::Error`] if it cannot be written. Part of it may have been.
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

/// Whether something can be read from `input`, or its end, within `wait`. Of what is no pipe it always can.
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
            // One that cannot be asked is closed at its other end.
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
    /// That of the plain file at `path`, whatever links lead there.
    ///
    /// # Errors
    /// [`io::Error`] if it is none, or it cannot be told.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let found = information(&open_to_look(path, 0)?)?;
        let is_file = found.dwFileAttributes & fs::FILE_ATTRIBUTE_DIRECTORY == 0;
        if is_file { Ok(Stamp::from(&found)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// That of what lies at `path` itself, be it a link.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be told.
    pub fn of_itself(path: &Path) -> io::Result<Stamp> {
        Stamp::of_open(&open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT)?)
    }

    /// That of an open file.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be told.
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

/// Opens a file or a folder for nothing but to ask what it is.
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

/// What no file has had before the one at `path`, and none will: a number counts how often each is given out. When it was
/// made says nothing here: a new file of the same name can have it from the one before.
pub fn lasting_identity(path: &Path) -> Option<String> {
    let Identity { device, inode } = Stamp::of_itself(path).ok()?.identity;
    Some(format!("{device}:{inode}"))
}

/// Whether the file at `path` was made and last changed before the machine was started, where `now` is the time by the
/// clock of its file system. Where that cannot be told, or a clock was wrong and says otherwise, no.
pub fn is_older_than_boot(path: &Path, now: SystemTime) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    // SAFETY: it only returns a number, of milliseconds.
    let uptime = Duration::from_millis(unsafe { GetTickCount64() });
    super::is_before_boot([found.modified().ok(), found.created().ok()].into_iter().flatten(), now, uptime)
}

/// Whether the plain file at `path` has more than one name.
pub fn has_other_names(path: &Path) -> bool {
    let found = open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT).and_then(|file| information(&file));
    found.is_ok_and(|found| is_plain(&found) && found.nNumberOfLinks > 1)
}

/// Why what lies at `path` is not a plain file with one name; `None` if it is, or nothing is there.
pub fn oddity(path: &Path) -> Option<&'static str> {
    let found = open_to_look(path, fs::FILE_FLAG_OPEN_REPARSE_POINT).and_then(|file| information(&file)).ok()?;
    match () {
        () if !is_plain(&found) => Some("is not a plain file"),
        () if found.nNumberOfLinks > 1 => Some("has another name elsewhere"),
        () => None,
    }
}

/// Whether the open file is a plain one, and has one name.
///
/// # Errors
/// [`io::Error`] if it cannot be told.
pub fn is_plain_and_alone(file: &File) -> io::Result<bool> {
    information(file).map(|found| is_plain(&found) && found.nNumberOfLinks <= 1)
}

fn is_plain(found: &fs::BY_HANDLE_FILE_INFORMATION) -> bool {
    found.dwFileAttributes & (fs::FILE_ATTRIBUTE_DIRECTORY | fs::FILE_ATTRIBUTE_REPARSE_POINT) == 0
}

/// Whether `error` says nothing of a file but that it cannot be had at the moment.
pub fn is_passing(error: &io::Error) -> bool {
    is_shortage(error)
}

/// Settings are read again when somebody asks.
pub fn ask_to_read_again(_: std::time::Duration) {}

/// Whether `error` says that something is short or busy at the moment.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted)
}

/// Opens the file at `path` for reading.
pub(super) fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whether a program lies at `path`.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Who can use a file is up to the folder that it is in.
///
/// # Errors
/// None.
pub fn others_who_can_change(_: &Path, _: bool) -> io::Result<Option<Others>> {
    Ok(None)
}

/// As [`others_who_can_change`].
///
/// # Errors
/// None.
pub fn others_who_can_change_open(_: &File) -> io::Result<Option<Others>> {
    Ok(None)
}

/// Why this user may not open the file at `path`: whoever opens it finds out.
pub fn refusal_to_open(_: &Path, _: bool) -> Option<String> {
    None
}

/// Owners have no numbers here.
pub fn owner_of(_: &Path) -> Option<u32> {
    None
}

/// The system does not say it without a try.
pub fn why_unwritable(_: &Dir) -> Option<io::Error> {
    None
}

/// The path of what is at `path`, absolute and without symbolic links. Without the beginning `\\?\`, which SQLite and
/// libgit2 do not expect, where the path begins with a drive.
///
/// # Errors
/// [`io::Error`] if nothing is there, or it cannot be told.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let real = std::fs::canonicalize(path)?;
    let short = real.to_str().and_then(|real| real.strip_prefix(r"\\?\")).filter(|rest| rest.get(1..3) == Some(r":\"));
    Ok(short.map(PathBuf::from).unwrap_or(real))
}

/// Makes the symbolic link `link` to the file `target`.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn link_to(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// Makes folders that can be used by whom the folder above says.
pub fn private_folders() -> DirBuilder {
    DirBuilder::new()
}

/// Opens files; those that it makes can be used by whom the folder says.
pub fn private_files() -> OpenOptions {
    OpenOptions::new()
}

/// Opens the file at `path`, be it a link itself, for reading and writing, and makes it where there is none.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub fn open_itself(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(fs::FILE_FLAG_OPEN_REPARSE_POINT);
    options.read(true).write(true).create(true).truncate(false).open(path)
}

/// Who may do what with the open file is not said in this way here.
///
/// # Errors
/// None here.
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

/// Where the file system cannot flush a folder, its log has the names, and is written every few seconds.
fn sync_open_folder(folder: &File) -> io::Result<()> {
    let cannot = [win::ERROR_ACCESS_DENIED, win::ERROR_INVALID_FUNCTION, win::ERROR_INVALID_HANDLE];
    match folder.sync_all() {
        Err(error) if cannot.iter().any(|it| error.raw_os_error() == Some(it.cast_signed())) => Ok(()),
        synced => synced,
    }
}

// Locks, which go with whoever has them. A lock keeps others from the bytes that it is on, so these are on bytes that no
// file has.

const LOCK: u64 = 1 << 62;
const APPEND_LOCK: u64 = LOCK + 1;

/// Takes the lock of an open file without waiting. Others can read and write the file all the same.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if somebody else has it.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    lock_range(file, LOCK, true)
}

/// As [`try_lock`], a lock that others can have as well.
///
/// # Errors
/// As [`try_lock`].
pub fn try_lock_shared(file: &File) -> Result<(), TryLockError> {
    lock_range(file, LOCK, false)
}

/// Takes the lock of the folder at `path` without waiting. It is given back with what is returned. A folder has no bytes,
/// so it is that of a file in it.
///
/// # Errors
/// As [`try_lock`], and [`TryLockError::Error`] if there is no such folder.
pub fn try_lock_folder(path: &Path) -> Result<File, TryLockError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path.join("lock"));
    let file = file.map_err(TryLockError::Error)?;
    try_lock(&file).map(|()| file)
}

/// Gives back the lock of the folder at `path`, and removes it and everything beneath it: not every file system here can
/// remove a file that is open.
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
    // SAFETY: as where it is locked. What cannot be unlocked is when the file is closed.
    unsafe { fs::UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut range) };
}

fn overlapped(offset: u64) -> OVERLAPPED {
    let place = OVERLAPPED_0_0 { Offset: offset as u32, OffsetHigh: (offset >> 32) as u32 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: place }, ..OVERLAPPED::default() }
}
