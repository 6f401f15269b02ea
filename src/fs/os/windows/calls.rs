//! The system calls that recording uses, named like those of Unix: a name is opened, created, renamed and removed
//! beneath the handle of a folder, whatever happens to the folder's path meanwhile. Win32 has no such calls; they are
//! NT's own.
//!
//! 1. A name is one part of a path. A reparse point (a symbolic link, a junction, a mount) is opened itself, and
//!    refused.
//! 2. Every file is opened with shared deletion, so that names come and go while files are open, as they do on Unix.
//! 3. An append is written under a lock that is beyond any byte of the file and ends with its process: no documentation
//!    promises that the system keeps appends of several processes apart.

#![allow(missing_docs, reason = "each stands under the name of the Unix call or constant that it does the work of")]

use std::fs::{File, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::mem::offset_of;
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _};
use std::path::Path;
use std::time::{Duration, Instant};

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem as nt;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::{IO_STATUS_BLOCK, IO_STATUS_BLOCK_0};

use super::super::super::Metadata;
use super::{APPEND_LOCK, information, lock_range, unlock_range};

/// How long an append waits for others, each of which is one call.
const APPEND_WAIT: Duration = Duration::from_secs(10);
/// How long a rename or a removal waits for processes that read the file.
const READER_WAIT: Duration = Duration::from_millis(200);
/// How much of a folder is listed at a time, in units of eight bytes.
const LISTING: usize = 4096;
const SHARE_ALL: u32 = fs::FILE_SHARE_READ | fs::FILE_SHARE_WRITE | fs::FILE_SHARE_DELETE;

/// An open folder or file.
#[derive(Debug)]
pub struct Handle {
    file: File,
    /// Whether each write goes to the end.
    appends: bool,
}

impl From<Handle> for File {
    fn from(handle: Handle) -> File {
        handle.file
    }
}

/// The system's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

impl Errno {
    pub const AGAIN: Errno = Errno(win::ERROR_RETRY);
    pub const EXIST: Errno = Errno(win::ERROR_ALREADY_EXISTS);
    pub const INTR: Errno = Errno(win::ERROR_OPERATION_ABORTED);
    pub const INVAL: Errno = Errno(win::ERROR_INVALID_PARAMETER);
    pub const LOOP: Errno = Errno(win::ERROR_STOPPED_ON_SYMLINK);
    pub const MLINK: Errno = Errno(win::ERROR_INVALID_REPARSE_DATA);
    pub const NOENT: Errno = Errno(win::ERROR_FILE_NOT_FOUND);
    pub const NOSYS: Errno = Errno(win::ERROR_CALL_NOT_IMPLEMENTED);
    pub const NOTDIR: Errno = Errno(win::ERROR_DIRECTORY);
    pub const OPNOTSUPP: Errno = Errno(win::ERROR_NOT_SUPPORTED);
    pub const XDEV: Errno = Errno(win::ERROR_NOT_SAME_DEVICE);

    /// Maps numbers with the same meaning to one of them.
    fn of(number: u32) -> Errno {
        Errno(match number {
            win::ERROR_PATH_NOT_FOUND | win::ERROR_DELETE_PENDING => win::ERROR_FILE_NOT_FOUND,
            win::ERROR_FILE_EXISTS => win::ERROR_ALREADY_EXISTS,
            number => number,
        })
    }

    fn of_status(status: win::NTSTATUS) -> Errno {
        match status {
            // A file that is about to be removed; the system would report it as access denied.
            win::STATUS_DELETE_PENDING => Errno::NOENT,
            // SAFETY: it takes a number and returns one.
            status => Errno::of(unsafe { win::RtlNtStatusToDosError(status) }),
        }
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        Errno::of(error.raw_os_error().map_or(win::ERROR_GEN_FAILURE, i32::cast_unsigned))
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0.cast_signed())
    }
}

/// How to open a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OFlags(u32);

impl OFlags {
    pub const RDONLY: OFlags = OFlags(0);
    pub const RDWR: OFlags = OFlags(1);
    pub const APPEND: OFlags = OFlags(2);
    pub const CREATE: OFlags = OFlags(4);
    pub const EXCL: OFlags = OFlags(8);
    pub const DIRECTORY: OFlags = OFlags(16);
    // Every handle is like that here.
    pub const CLOEXEC: OFlags = OFlags(0);
    pub const NOFOLLOW: OFlags = OFlags(0);
    pub const NONBLOCK: OFlags = OFlags(0);

    pub const fn union(self, other: OFlags) -> OFlags {
        OFlags(self.0 | other.0)
    }

    pub const fn contains(self, other: OFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for OFlags {
    type Output = OFlags;

    fn bitor(self, other: OFlags) -> OFlags {
        self.union(other)
    }
}

/// Permissions are not set for each file here: the folder hands them down.
#[derive(Clone, Copy, Debug)]
pub struct Mode;

impl Mode {
    pub const RWXU: Mode = Mode;
    pub const RUSR: Mode = Mode;
    pub const WUSR: Mode = Mode;

    pub const fn empty() -> Mode {
        Mode
    }

    pub const fn union(self, _: Mode) -> Mode {
        Mode
    }
}

/// How a name is looked up or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtFlags(bool);

impl AtFlags {
    pub const SYMLINK_NOFOLLOW: AtFlags = AtFlags(false);
    pub const REMOVEDIR: AtFlags = AtFlags(true);

    pub const fn empty() -> AtFlags {
        AtFlags(false)
    }
}

/// What a rename does if the name is taken.
#[derive(Clone, Copy, Debug)]
pub struct RenameFlags;

impl RenameFlags {
    pub const NOREPLACE: RenameFlags = RenameFlags;
}

pub type Stat = Metadata;

pub fn found(stat: &Stat) -> Metadata {
    *stat
}

/// The current time.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Opens the folder at `path`, which must not be a link itself.
pub fn open(path: &Path, _: OFlags, _: Mode) -> Result<Handle, Errno> {
    let flags = fs::FILE_FLAG_BACKUP_SEMANTICS | fs::FILE_FLAG_OPEN_REPARSE_POINT;
    let open = |access| File::options().access_mode(access).share_mode(SHARE_ALL).custom_flags(flags).open(path);
    let file = with_folder_access(|access| open(access).map_err(Errno::from))?;
    let handle = Handle { file, appends: false };
    if fstat(&handle)?.is_folder { Ok(handle) } else { Err(Errno::NOTDIR) }
}

pub fn openat(at: &Handle, name: &str, flags: OFlags, _: Mode) -> Result<Handle, Errno> {
    let disposition = match (flags.contains(OFlags::CREATE), flags.contains(OFlags::EXCL)) {
        (false, _) => nt::FILE_OPEN,
        (true, false) => nt::FILE_OPEN_IF,
        (true, true) => nt::FILE_CREATE,
    };
    let appends = flags.contains(OFlags::APPEND);
    let file = if flags.contains(OFlags::DIRECTORY) {
        with_folder_access(|access| open_name(at, name, access, disposition, nt::FILE_DIRECTORY_FILE))?
    } else {
        let write = match (flags.contains(OFlags::RDWR), appends) {
            (false, _) => 0,
            (true, false) => fs::FILE_GENERIC_WRITE,
            // Without this right the system itself writes at the end, wherever that is.
            (true, true) => fs::FILE_GENERIC_WRITE & !fs::FILE_WRITE_DATA,
        };
        open_name(at, name, fs::FILE_GENERIC_READ | write, disposition, 0)?
    };
    let is_link = information(&file)?.dwFileAttributes & fs::FILE_ATTRIBUTE_REPARSE_POINT != 0;
    if is_link { Err(Errno::LOOP) } else { Ok(Handle { file, appends }) }
}

/// Opens a folder so that its names can be made durable or, if that is not permitted, so that they can be read.
fn with_folder_access(open: impl Fn(u32) -> Result<File, Errno>) -> Result<File, Errno> {
    let read = fs::FILE_GENERIC_READ | fs::FILE_TRAVERSE;
    match open(read | fs::FILE_ADD_FILE) {
        Err(Errno(win::ERROR_ACCESS_DENIED)) => open(read),
        opened => opened,
    }
}

/// Whether `name` is one part of a path, and means itself: not another folder, a stream of a file, or a device.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0'])
}

fn wide(name: &str) -> Result<Vec<u16>, Errno> {
    match name {
        ".." => Err(Errno::XDEV),
        name if is_plain(name) => Ok(name.encode_utf16().collect()),
        _ => Err(Errno(win::ERROR_INVALID_NAME)),
    }
}

/// Opens `name` in the folder `at`, or creates it.
fn open_name(at: &Handle, name: &str, access: u32, disposition: u32, options: u32) -> Result<File, Errno> {
    let mut name = wide(name)?;
    let bytes = u16::try_from(name.len() * 2).map_err(|_| Errno(win::ERROR_FILENAME_EXCED_RANGE))?;
    let name = win::UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: name.as_mut_ptr() };
    let object = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: at.file.as_raw_handle(),
        ObjectName: &raw const name,
        Attributes: win::OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: std::ptr::null(),
        SecurityQualityOfService: std::ptr::null(),
    };
    let options = options | nt::FILE_OPEN_REPARSE_POINT | nt::FILE_SYNCHRONOUS_IO_NONALERT;
    let (mut handle, mut status) = (std::ptr::null_mut(), no_status());
    // SAFETY: everything it reads lives until it returns, and it writes the handle and the status. The handle of the
    // folder is open, and that of the file is owned here alone.
    unsafe {
        let done = nt::NtCreateFile(
            &raw mut handle,
            access | fs::SYNCHRONIZE,
            &raw const object,
            &raw mut status,
            std::ptr::null(),
            fs::FILE_ATTRIBUTE_NORMAL,
            SHARE_ALL,
            disposition,
            options,
            std::ptr::null(),
            0,
        );
        if done >= 0 { Ok(File::from_raw_handle(handle)) } else { Err(Errno::of_status(done)) }
    }
}

fn no_status() -> IO_STATUS_BLOCK {
    IO_STATUS_BLOCK { Anonymous: IO_STATUS_BLOCK_0 { Status: 0 }, Information: 0 }
}

pub fn mkdirat(at: &Handle, name: &str, _: Mode) -> Result<(), Errno> {
    let access = fs::FILE_READ_ATTRIBUTES;
    open_name(at, name, access, nt::FILE_CREATE, nt::FILE_DIRECTORY_FILE).map(drop)
}

pub fn statat(at: &Handle, name: &str, _: AtFlags) -> Result<Stat, Errno> {
    stat(&open_name(at, name, fs::FILE_READ_ATTRIBUTES, nt::FILE_OPEN, 0)?)
}

pub fn fstat(handle: &Handle) -> Result<Stat, Errno> {
    stat(&handle.file)
}

fn stat(file: &File) -> Result<Metadata, Errno> {
    let found = information(file)?;
    let has = |attribute| found.dwFileAttributes & attribute != 0;
    let (is_link, is_folder) = (has(fs::FILE_ATTRIBUTE_REPARSE_POINT), has(fs::FILE_ATTRIBUTE_DIRECTORY));
    // An open file that is being removed keeps its name for the system until it is closed, but has none for other
    // processes.
    let links = if is_being_removed(file)? { 0 } else { found.nNumberOfLinks.into() };
    Ok(Metadata {
        is_folder: is_folder && !is_link,
        is_file: !is_folder && !is_link,
        size: u64::from(found.nFileSizeHigh) << 32 | u64::from(found.nFileSizeLow),
        inode: u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow),
        links,
        owner: super::user(),
        changed: since_1970(found.ftLastWriteTime),
    })
}

/// A time of the system, which counts tenths of microseconds since 1601, in nanoseconds since 1970.
fn since_1970(time: windows_sys::Win32::Foundation::FILETIME) -> i64 {
    let ticks = u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    i64::try_from(ticks).unwrap_or(i64::MAX).saturating_sub(116_444_736_000_000_000).saturating_mul(100)
}

fn is_being_removed(file: &File) -> Result<bool, Errno> {
    let mut found = fs::FILE_STANDARD_INFO::default();
    let bytes = size_of::<fs::FILE_STANDARD_INFO>() as u32;
    // SAFETY: it writes a structure of this kind, which is as long as it says.
    let told = unsafe {
        let (handle, found) = (file.as_raw_handle(), (&raw mut found).cast());
        fs::GetFileInformationByHandleEx(handle, fs::FileStandardInfo, found, bytes)
    };
    if told != 0 { Ok(found.DeletePending) } else { Err(io::Error::last_os_error().into()) }
}

pub fn renameat(from: &Handle, name: &str, there: &Handle, to: &str) -> Result<(), Errno> {
    patiently(|| rename(from, name, there, to, true))
}

pub fn renameat_with(from: &Handle, name: &str, there: &Handle, to: &str, _: RenameFlags) -> Result<(), Errno> {
    patiently(|| rename(from, name, there, to, false))
}

/// Retries for a while if a process that reads the file just then is in the way: a virus scanner, which opens new
/// files, or, if the file system cannot replace an open file, any process.
fn patiently(mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let until = Instant::now() + READER_WAIT;
    loop {
        match attempt() {
            Err(Errno(win::ERROR_SHARING_VIOLATION | win::ERROR_ACCESS_DENIED)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

fn rename(from: &Handle, name: &str, there: &Handle, to: &str, replaces: bool) -> Result<(), Errno> {
    let file = open_name(from, name, fs::DELETE, nt::FILE_OPEN, 0)?;
    // A file that is open can be replaced, as on Unix.
    let mut flags = nt::FILE_RENAME_POSIX_SEMANTICS;
    if replaces {
        flags |= nt::FILE_RENAME_REPLACE_IF_EXISTS | nt::FILE_RENAME_IGNORE_READONLY_ATTRIBUTE;
    }
    match give_name(&file, nt::FileRenameInformationEx, flags, there, to)? {
        Some(done) => done,
        None => give_name(&file, nt::FileRenameInformation, replaces.into(), there, to)?.unwrap_or(Err(Errno::NOSYS)),
    }
}

pub fn linkat(from: &Handle, name: &str, there: &Handle, to: &str, _: AtFlags) -> Result<(), Errno> {
    let file = open_name(from, name, fs::FILE_WRITE_ATTRIBUTES, nt::FILE_OPEN, 0)?;
    give_name(&file, nt::FileLinkInformation, 0, there, to)?.unwrap_or(Err(Errno::NOSYS))
}

/// Gives the open file the name `to` in the folder `there`, by the method `class`; `None` if the system does not know
/// that method. `FILE_LINK_INFORMATION` has the same layout as this structure.
fn give_name(
    file: &File,
    class: nt::FILE_INFORMATION_CLASS,
    flags: u32,
    there: &Handle,
    to: &str,
) -> Result<Option<Result<(), Errno>>, Errno> {
    let name = wide(to)?;
    let start = offset_of!(nt::FILE_RENAME_INFORMATION, FileName);
    let bytes = (start + name.len() * 2).max(size_of::<nt::FILE_RENAME_INFORMATION>());
    // Units of eight bytes, for the structure's alignment.
    let mut room = vec![0_u64; bytes.div_ceil(8)];
    let wanted = room.as_mut_ptr().cast::<nt::FILE_RENAME_INFORMATION>();
    // SAFETY: there is room for the structure, and for all of the name after its beginning.
    unsafe {
        (*wanted).Anonymous.Flags = flags;
        (*wanted).RootDirectory = there.file.as_raw_handle();
        (*wanted).FileNameLength = (name.len() * 2) as u32;
        let place = wanted.byte_add(start).cast::<u16>();
        place.copy_from_nonoverlapping(name.as_ptr(), name.len());
    }
    Ok(set(file, class, wanted.cast(), bytes))
}

fn set(
    file: &File,
    class: nt::FILE_INFORMATION_CLASS,
    wanted: *const std::ffi::c_void,
    bytes: usize,
) -> Option<Result<(), Errno>> {
    let mut status = no_status();
    // SAFETY: the callers' structures are of the class that they name, and as long as they say.
    let done = unsafe { nt::NtSetInformationFile(file.as_raw_handle(), &raw mut status, wanted, bytes as u32, class) };
    match done {
        0.. => Some(Ok(())),
        win::STATUS_INVALID_INFO_CLASS
        | win::STATUS_INVALID_PARAMETER
        | win::STATUS_NOT_IMPLEMENTED
        | win::STATUS_NOT_SUPPORTED
        | win::STATUS_INVALID_DEVICE_REQUEST => None,
        done => Some(Err(Errno::of_status(done))),
    }
}

pub fn unlinkat(at: &Handle, name: &str, flags: AtFlags) -> Result<(), Errno> {
    patiently(|| remove(at, name, flags))
}

fn remove(at: &Handle, name: &str, flags: AtFlags) -> Result<(), Errno> {
    let access = fs::DELETE | fs::FILE_READ_ATTRIBUTES;
    let file = open_name(at, name, access, nt::FILE_OPEN, 0)?;
    if stat(&file)?.is_folder != (flags == AtFlags::REMOVEDIR) {
        return Err(if flags == AtFlags::REMOVEDIR {
            Errno::NOTDIR
        } else {
            Errno(win::ERROR_DIRECTORY_NOT_SUPPORTED)
        });
    }
    // The name is free at once, even while the file is open.
    let wanted = nt::FILE_DISPOSITION_INFORMATION_EX {
        Flags: nt::FILE_DISPOSITION_DELETE
            | nt::FILE_DISPOSITION_POSIX_SEMANTICS
            | nt::FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE,
    };
    let class = nt::FileDispositionInformationEx;
    set(&file, class, (&raw const wanted).cast(), size_of_val(&wanted)).unwrap_or_else(|| {
        let wanted = nt::FILE_DISPOSITION_INFORMATION { DeleteFile: true };
        let class = nt::FileDispositionInformation;
        set(&file, class, (&raw const wanted).cast(), size_of_val(&wanted)).unwrap_or(Err(Errno::NOSYS))
    })
}

/// The names in the folder, without those that are not Unicode.
pub fn names(folder: &Handle) -> Result<Vec<String>, Errno> {
    // The handle keeps the listing's position; a handle of its own starts at the beginning.
    let folder = reopened(folder, fs::FILE_LIST_DIRECTORY)?;
    let mut names = Vec::new();
    let mut room = vec![0_u64; LISTING];
    loop {
        // SAFETY: it writes no more than fits.
        let told = unsafe {
            let (class, bytes) = (fs::FileFullDirectoryInfo, (LISTING * 8) as u32);
            fs::GetFileInformationByHandleEx(folder.as_raw_handle(), class, room.as_mut_ptr().cast(), bytes)
        };
        if told == 0 {
            return match Errno::from(io::Error::last_os_error()) {
                Errno(win::ERROR_NO_MORE_FILES) => Ok(names),
                errno => Err(errno),
            };
        }
        let mut at = 0;
        loop {
            // SAFETY: the system has written entries here, each of which says where the next one is, and the names in
            // them, whose lengths it says; all of them are aligned.
            let (name, next) = unsafe {
                let entry = room.as_ptr().byte_add(at).cast::<fs::FILE_FULL_DIR_INFO>();
                let name = (&raw const (*entry).FileName).cast::<u16>();
                let name = std::slice::from_raw_parts(name, (*entry).FileNameLength as usize / 2);
                (String::from_utf16(name), (*entry).NextEntryOffset as usize)
            };
            names.extend(name.ok().filter(|name| !matches!(name.as_str(), "." | "..")));
            if next == 0 {
                break;
            }
            at += next;
        }
    }
}

/// Another handle of the open file or folder, with other rights.
fn reopened(handle: &Handle, access: u32) -> Result<File, Errno> {
    // SAFETY: the handle is open, and the new one is owned here alone.
    unsafe {
        let new = fs::ReOpenFile(handle.file.as_raw_handle(), access, SHARE_ALL, fs::FILE_FLAG_BACKUP_SEMANTICS);
        if new == win::INVALID_HANDLE_VALUE {
            Err(io::Error::last_os_error().into())
        } else {
            Ok(File::from_raw_handle(new))
        }
    }
}

pub fn pread(handle: &Handle, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    Ok(handle.file.seek_read(buffer, offset)?)
}

/// Holes cannot be queried.
pub fn data_from(_: &Handle, offset: u64) -> u64 {
    offset
}

pub fn pwrite(handle: &Handle, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    Ok(handle.file.seek_write(bytes, offset)?)
}

pub fn write(handle: &Handle, bytes: &[u8]) -> Result<usize, Errno> {
    let mut file = &handle.file;
    if !handle.appends {
        return Ok(file.write(bytes)?);
    }
    let until = Instant::now() + APPEND_WAIT;
    loop {
        match lock_range(file, APPEND_LOCK, true) {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_micros(100)),
            Err(TryLockError::WouldBlock) => return Err(Errno(win::ERROR_LOCK_VIOLATION)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    let written = file.write(bytes);
    unlock_range(file, APPEND_LOCK);
    Ok(written?)
}

pub fn tell(handle: &Handle) -> Result<u64, Errno> {
    Ok((&handle.file).stream_position()?)
}

/// Makes what was written to a file durable.
pub fn fdatasync(handle: &Handle) -> Result<(), Errno> {
    match handle.file.sync_all().map_err(Errno::from) {
        // Only a handle with write access may request it.
        Err(Errno(win::ERROR_ACCESS_DENIED)) => Ok(reopened(handle, fs::FILE_GENERIC_WRITE)?.sync_all()?),
        synced => synced,
    }
}

/// Makes the names in a folder durable: the file system's log is written up to now.
pub fn fsync(folder: &Handle) -> Result<(), Errno> {
    super::sync_open_folder(&folder.file).map_err(Errno::from)
}

/// Whether the error means that the operation is not supported here.
pub fn is_unknown(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// The device number of the file system that an open file or folder is on: all count as one, and a rename shows the
/// difference.
pub fn device(_: &Handle) -> Result<u64, Errno> {
    Ok(0)
}

/// Windows has no such call; [`syncfs`] never asks for it.
pub fn sync_all() {}

/// Whether [`syncfs`] also makes the contents of files durable: only an administrator can have that here.
pub const SYNCFS_SYNCS_FILES: bool = false;

/// Makes the names on the folder's file system durable; they are all in one log.
pub fn syncfs(folder: &Handle) -> Result<(), Errno> {
    fsync(folder)
}

/// Windows has no modes.
pub fn set_mode(_: &Handle, _: u32) -> Result<(), Errno> {
    Ok(())
}
