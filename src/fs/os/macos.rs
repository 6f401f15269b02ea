//! macOS. Checked by the compiler; it has never been run.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::PathBuf;

use rustix::io::Errno;

use super::super::{Dir, Error, sys};
use super::Stamp;

/// From `<unistd.h>`: flush to the platter, and wait for it.
const SYNC_VOLUME_FULLSYNC: c_int = 0x01;
const SYNC_VOLUME_WAIT: c_int = 0x02;

unsafe extern "C" {
    fn sysctlbyname(name: *const c_char, old: *mut c_void, old_len: *mut usize, new: *mut c_void, len: usize) -> c_int;
    fn fsync_volume_np(fd: c_int, flags: c_int) -> c_int;
    fn gethostuuid(id: *mut u8, wait: *const Timespec) -> c_int;
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// An id of this machine that survives a reboot, or an empty string if it has none.
pub fn machine_id() -> String {
    let (mut id, wait) = ([0_u8; 16], Timespec { seconds: 1, nanoseconds: 0 });
    // SAFETY: it writes the sixteen bytes of an id, and reads a time.
    match unsafe { gethostuuid(id.as_mut_ptr(), &raw const wait) } {
        0 => uuid::Uuid::from_bytes(id).to_string(),
        _ => String::new(),
    }
}

/// An id that differs after every boot, or an empty string if the system has none: then every start counts as one after
/// a boot.
pub fn boot_id() -> String {
    let (mut text, mut length) = ([0_u8; 64], 64);
    // SAFETY: it writes no more than `length` bytes, and sets nothing.
    let told = unsafe {
        let name = c"kern.bootsessionuuid".as_ptr();
        sysctlbyname(name, text.as_mut_ptr().cast(), &raw mut length, std::ptr::null_mut(), 0)
    };
    let text = CStr::from_bytes_until_nul(&text).ok().filter(|_| told == 0);
    text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Makes what was written to a file durable. Here, `fsync` only guarantees that it reaches the drive's own memory.
pub fn fdatasync(file: &impl AsFd) -> Result<(), Errno> {
    rustix::fs::fcntl_fullfsync(file)
}

/// Makes the names in a folder durable. A file system that cannot flush its drive for a folder can for its files.
pub fn fsync(folder: &impl AsFd) -> Result<(), Errno> {
    match rustix::fs::fcntl_fullfsync(folder) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOTTY) => rustix::fs::fsync(folder),
        result => result,
    }
}

/// Makes everything on the folder's file system durable.
pub fn syncfs(folder: &impl AsFd) -> Result<(), Errno> {
    let fd = folder.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as it is borrowed.
    match unsafe { fsync_volume_np(fd, SYNC_VOLUME_FULLSYNC | SYNC_VOLUME_WAIT) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// The name of the folder's file system if it cannot keep the promises: one that is shared over a network or with a
/// host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
///
/// # Errors
/// [`Error::Io`] if the system does not say.
pub fn unsuitable_file_system(dir: &Dir) -> Result<Option<&'static str>, Error> {
    let stat = sys::fstatfs(dir.fd()).map_err(|errno| dir.error("ask for the file system of", ".", errno))?;
    let name: Vec<u8> = stat.f_fstypename.iter().map(|byte| byte.cast_unsigned()).take_while(|it| *it != 0).collect();
    Ok(match name.as_slice() {
        b"nfs" => Some("NFS"),
        b"smbfs" => Some("SMB"),
        b"afpfs" => Some("AFP"),
        b"webdav" => Some("WebDAV"),
        b"ftp" => Some("FTP"),
        b"virtiofs" => Some("virtiofs"),
        b"9p" => Some("9p"),
        _ => None,
    })
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

/// SQLite makes its own system calls here.
pub fn sqlite_calls() -> impl IntoIterator<Item = super::SqliteCall> {
    []
}
