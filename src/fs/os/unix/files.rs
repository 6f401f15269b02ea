//! Files and folders by their paths, on Linux and macOS.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::super::super::Dir;
use super::super::{Identity, Stamp};
use super::user;

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
    super::super::is_before_boot(times.into_iter().flatten(), now, uptime())
}

/// The processor's time that this thread has taken so far.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
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
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::INTR, Errno::BUSY];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// Whether `error` says only that a file is unavailable at the moment: a shortage, or a fault of the disk.
pub fn is_passing(error: &io::Error) -> bool {
    is_shortage(error) || Errno::from_io_error(error) == Some(Errno::IO)
}

/// Opens the file at `path` for reading, without blocking, even a pipe without a writer.
pub(in crate::fs::os) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let at_once = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("the flag is a small number");
    OpenOptions::new().read(true).custom_flags(at_once).open(path)
}

/// Opens what is at `path` itself for reading, without blocking, even a pipe without a writer. A link is not followed.
///
/// # Errors
/// [`io::Error`] if it cannot be opened, or is a symbolic link.
pub fn open_itself_without_waiting(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("the flags are a small number");
    OpenOptions::new().read(true).custom_flags(flags).open(path)
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

/// Gives the file at `path` the permissions, the owner and, if `with_age`, the modification time of the one at `like`. As far as the
/// system lets this user: only the first error is returned, and the rest is done.
///
/// # Errors
/// [`io::Error`] for what the system refused.
pub fn look_like(like: &Path, path: &Path, with_age: bool) -> io::Result<()> {
    let (wanted, found) = (std::fs::symlink_metadata(like)?, std::fs::symlink_metadata(path)?);
    let is_owned = (wanted.uid(), wanted.gid()) == (found.uid(), found.gid());
    let owned = match is_owned {
        true => Ok(()),
        false => std::os::unix::fs::lchown(path, Some(wanted.uid()), Some(wanted.gid())),
    };
    let aged = match with_age {
        true => wanted.modified().and_then(|at| File::open(path)?.set_modified(at)),
        false => Ok(()),
    };
    // After the owner: a change of that one can take permissions away.
    let permitted = set_mode_at(path, wanted.permissions().mode() & 0o7777);
    owned.and(aged).and(permitted)
}

/// Makes the names in the folder at `path` durable.
///
/// # Errors
/// [`io::Error`] if the sync fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
