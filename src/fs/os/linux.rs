//! Linux.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::super::{Dir, Error, sys};
use super::{AnyCall, SqliteCall, Stamp};

/// An id of this machine that survives a reboot, or an empty string if it has none.
pub fn machine_id() -> String {
    let read = |path| std::fs::read_to_string(path).ok().and_then(|text| lasting_machine_id(&text));
    match is_transient() {
        true => String::new(),
        false => read(MACHINE_ID).or_else(|| read("/var/lib/dbus/machine-id")).unwrap_or_default(),
    }
}

const MACHINE_ID: &str = "/etc/machine-id";

/// The id in `text`, the content of a machine-id file; `None` for the placeholder of an image that was never booted.
fn lasting_machine_id(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "uninitialized").then(|| text.to_owned())
}

/// Whether the machine's id changes at each boot: if `/etc` is read-only, systemd mounts one from memory over the file.
fn is_transient() -> bool {
    const TMPFS: u64 = 0x0102_1994;
    let in_memory = |path| rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 & 0xffff_ffff == TMPFS);
    in_memory(MACHINE_ID) && !in_memory("/etc")
}

/// An id that differs after every boot, or an empty string if the system has none: then every start counts as one after
/// a boot.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The name of the folder's file system if it cannot keep the promises: one that is shared over a network or with a
/// host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
///
/// # Errors
/// [`Error::Io`] if the system does not say.
pub fn unsuitable_file_system(dir: &Dir) -> Result<Option<&'static str>, Error> {
    let stat = sys::fstatfs(dir.fd()).map_err(|errno| dir.error("ask for the file system of", ".", errno))?;
    Ok(match stat.f_type as u64 & 0xffff_ffff {
        FUSE => shared_through_fuse(dir),
        magic => unsuitable(magic),
    })
}

const FUSE: u64 = 0x6573_5546;

/// The numbers are from the kernel's include/uapi/linux/magic.h and its file systems' own headers.
fn unsuitable(magic: u64) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB 2"),
        0x0102_1997 => Some("9p"),
        0x5346_414f => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        0x786f_4256 => Some("vboxsf"),
        _ => None,
    }
}

/// FUSE mounts whose files are on another machine or on a host.
const SHARED: [&str; 18] = [
    "virtiofs",
    "blobfuse",
    "blobfuse2",
    "ceph-fuse",
    "curlftpfs",
    "davfs",
    "gcsfuse",
    "glusterfs",
    "goofys",
    "grpcfuse",
    "gvfsd-fuse",
    "juicefs",
    "mountpoint-s3",
    "rclone",
    "s3fs",
    "seaweedfs",
    "sshfs",
    "vmhgfs-fuse",
];

/// To the kernel they look like any other FUSE file system, except for the mount's type and source.
fn shared_through_fuse(dir: &Dir) -> Option<&'static str> {
    let stat = rustix::fs::fstat(dir.fd()).ok()?;
    let device = format!("{}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    unsuitable_fuse(&mounts, &device)
}

/// The name of the file system of `device` in `mounts`, the content of `/proc/self/mountinfo`, if it must be refused.
/// It is recognised by its type, by its source if it sets no type of its own, and by a source that is a URL.
fn unsuitable_fuse(mounts: &str, device: &str) -> Option<&'static str> {
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    let mut mounted = mount.split(" - ").nth(1)?.split(' ');
    let (kind, source) = (mounted.next()?, mounted.next()?);
    let kind = kind.strip_prefix("fuse.").unwrap_or(kind);
    let known = SHARED.into_iter().find(|name| [kind, source].contains(name));
    known.or_else(|| source.contains("://").then_some("a file system of another machine"))
}

/// Whether some process may have a file open that `is_it` recognises, or be a git program at work in one of `folders`.
/// If that is unknown, the answer is yes: `/proc` can be missing, hide other users' processes, or show only those of
/// one PID namespace while a bind mount lets others in.
pub fn may_be_at_work(folders: &[PathBuf], is_it: impl Fn(&Stamp) -> bool) -> bool {
    if !shows_every_process() {
        return true;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .map(|it| it.path())
        .filter(|it| is_process(it))
        .any(|process| has_open(&process, &is_it) || (may_be_git(&process) && may_work_in(&process, folders)))
}

/// The first PID namespace, which contains every process of the machine, by its number in the kernel's
/// include/linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether this process can see every process of the machine in `/proc`. That is so if this process is in the first PID
/// namespace and finds itself in `/proc`, which then belongs to that namespace, and if `/proc` hides nothing.
pub fn shows_every_process() -> bool {
    let read = |path| std::fs::read_link(path).unwrap_or_default();
    let is_here = read("/proc/self") == Path::new(&std::process::id().to_string());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_here && read("/proc/self/ns/pid") == Path::new(FIRST_PID_NAMESPACE) && !hides_processes(&mounts)
}

/// Whether the `/proc` in `mounts`, the content of `/proc/self/mountinfo`, hides processes of other users, or is
/// missing.
fn hides_processes(mounts: &str) -> bool {
    // If several are mounted there, the last one is visible.
    let Some(mount) = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc")) else { return true };
    let Some((_, mounted)) = mount.split_once(" - ") else { return true };
    let options = mounted.split(' ').nth(2).unwrap_or_default();
    let hides = |option: &str| option.strip_prefix("hidepid=").is_some_and(|value| !matches!(value, "0" | "off"));
    !mounted.starts_with("proc ") || options.split(',').any(hides)
}

/// The PID namespace of this process, or an empty string if the system does not say.
pub fn pid_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A process that cannot be inspected counts as not having it open: it is then judged by its name alone.
fn has_open(process: &Path, is_it: &impl Fn(&Stamp) -> bool) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().filter_map(|it| Stamp::of(&it.path()).ok()).any(|it| is_it(&it))
}

/// A process whose name cannot be read may be git, unless it has ended.
fn may_be_git(process: &Path) -> bool {
    let name = match std::fs::read_to_string(process.join("comm")) {
        Ok(name) => name,
        Err(error) => return !is_gone(&error),
    };
    let name = name.trim();
    matches!(name, "git" | "jj" | "tig" | "gitk" | "lazygit" | "gitui") || name.starts_with("git-")
}

/// Whether a process works in one of the folders or was given one as an argument. One that cannot be inspected may. The
/// git program that writes a pack for indelible's repack takes no lock.
fn may_work_in(process: &Path, folders: &[PathBuf]) -> bool {
    let cwd = match std::fs::read_link(process.join("cwd")) {
        Ok(cwd) => cwd,
        Err(error) => return !is_gone(&error) && !has_ended(process),
    };
    let told = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    if told.contains("\0pack-objects\0") && told.contains(".staging/pack\0") {
        return false;
    }
    folders.iter().any(|folder| cwd.starts_with(folder) || told.contains(&*folder.to_string_lossy()))
}

/// Whether `error` means that the process does not exist or is ending: it has closed its files by the time its folder
/// is gone.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
}

/// A process that has ended, or a zombie, returns nothing.
fn has_ended(process: &Path) -> bool {
    match std::fs::read_to_string(process.join("stat")) {
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) => !process.exists(),
    }
}

/// The calls that SQLite makes in place of its own: one that refuses symbolic links anywhere in a path, and those that
/// leave no hole in mapped files.
pub fn sqlite_calls() -> impl IntoIterator<Item = SqliteCall> {
    // SAFETY: all function pointers have one size, and their caller casts them back (`target::index`).
    unsafe {
        [
            (c"open", transmute::<Open, AnyCall>(open_without_links)),
            (c"pwrite", transmute::<PositionedWrite, AnyCall>(write_whole_page)),
            (c"pwrite64", transmute::<PositionedWrite, AnyCall>(write_whole_page)),
            (c"mmap", transmute::<Map, AnyCall>(map_without_holes)),
        ]
    }
}

type Open = unsafe extern "C" fn(*const c_char, c_int, c_int) -> c_int;
type PositionedWrite = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
type Map = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;

/// How SQLite extends a mapped file: by the last byte of each page of this many bytes.
const SQLITE_PAGE: usize = 4096;
const PROT_WRITE: c_int = 2;
const MAP_SHARED: c_int = 1;

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    // With 64-bit offsets, under the name that each C library uses.
    #[cfg_attr(target_env = "gnu", link_name = "pwrite64")]
    fn pwrite(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize;
    #[cfg_attr(target_env = "gnu", link_name = "mmap64")]
    fn mmap(at: *mut c_void, bytes: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
}

fn set_errno(errno: Errno) {
    // SAFETY: this points to `errno` of this thread, for as long as the thread lives.
    unsafe { *__errno_location() = errno.raw_os_error() };
}

/// `pwrite(2)` as SQLite calls it. To extend the file that its processes share in memory, it writes only the last byte
/// of each page. If the file system's blocks are smaller than a page, the rest of the page is a hole. On a full disk, a
/// process that touches a hole in mapped memory is killed by a signal. So the whole page is written. No process has
/// mapped it yet.
///
/// # Safety
/// `bytes` points to `count` bytes.
unsafe extern "C" fn write_whole_page(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    let end = usize::try_from(offset).map_or(0, |offset| offset.wrapping_add(1));
    if count != 1 || end == 0 || !end.is_multiple_of(SQLITE_PAGE) {
        // SAFETY: these are the arguments that SQLite would have passed to it.
        return unsafe { pwrite(fd, bytes, count, offset) };
    }
    // SAFETY: SQLite keeps the file open during the call.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let (page, mut written) = ([0_u8; SQLITE_PAGE], 0);
    while written < SQLITE_PAGE {
        match rustix::io::pwrite(file, &page[written..], (end - SQLITE_PAGE + written) as u64) {
            Ok(0) => {
                set_errno(Errno::NOSPC);
                return -1;
            }
            Ok(more) => written += more,
            Err(errno) => {
                set_errno(errno);
                return -1;
            }
        }
    }
    1
}

/// `mmap(2)` as SQLite calls it. A hole that another program left in the file is filled first. If the disk has no room
/// for that, it is an error and not the end of this process. A file with as many blocks as bytes has no hole.
///
/// # Safety
/// As for `mmap`.
unsafe extern "C" fn map_without_holes(
    at: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    if protection & PROT_WRITE != 0 && flags & MAP_SHARED != 0 {
        // SAFETY: SQLite keeps the file open during the call.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        let whole = rustix::fs::fstat(file).is_ok_and(|stat| stat.st_blocks.saturating_mul(512) >= stat.st_size);
        let (offset, bytes) = (offset.cast_unsigned(), bytes as u64);
        match (!whole).then(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, bytes)) {
            Some(Err(errno)) if !sys::is_unknown(errno) => {
                set_errno(errno);
                return usize::MAX as *mut c_void;
            }
            _ => {}
        }
    }
    // SAFETY: these are the arguments that SQLite would have passed to it.
    unsafe { mmap(at, bytes, protection, flags, fd, offset) }
}

/// `open(2)` as SQLite calls it. It does not panic, since nothing may unwind into C.
///
/// # Safety
/// `path` ends with a NUL.
unsafe extern "C" fn open_without_links(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // A pipe in a file's place must not block until its other end is opened. For a file this flag has no effect.
    let wanted = OFlags::from_bits_retain(flags.cast_unsigned()) | OFlags::NONBLOCK;
    // A file that must not exist yet is a temporary file, in a folder of the system's.
    if !wanted.contains(OFlags::EXCL) {
        let create = if wanted.contains(OFlags::CREATE) { mode.cast_unsigned() } else { 0 };
        // SAFETY: the caller passes a path that ends with a NUL, and does not change it during the call.
        let name = unsafe { CStr::from_ptr(path) };
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(CWD, name, wanted, Mode::from_raw_mode(create), resolve) {
            Ok(fd) => return fd.into_raw_fd(),
            // An old kernel, or a sandbox without openat2: then only the last part is not followed.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => {
                set_errno(errno);
                return -1;
            }
        }
    }
    // SAFETY: these are the arguments that SQLite would have passed to it, plus harmless flags; an unneeded mode is not
    // read.
    unsafe { open(path, wanted.bits().cast_signed(), mode) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_refused_by_name() {
        for (magic, name) in [(0x6969, Some("NFS")), (0xfe53_4d42, Some("SMB 2")), (0x0102_1997, Some("9p"))] {
            assert_eq!(unsuitable(magic), name);
        }
        for (local, name) in [(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs"), (0x0102_1994, "tmpfs")] {
            assert_eq!(unsuitable(local), None, "{name}");
        }
    }

    #[test]
    fn an_image_that_was_never_started_has_no_machine_id() {
        for text in ["", "\n", "uninitialized\n"] {
            assert_eq!(lasting_machine_id(text), None, "{text:?}");
        }
        assert_eq!(lasting_machine_id("0123\n").as_deref(), Some("0123"));
    }

    #[test]
    fn a_proc_that_hides_processes_is_detected_by_its_mount() {
        let shown = "22 27 0:21 / /proc rw,relatime - proc proc rw\n";
        assert!(!hides_processes(shown));
        for (options, hides) in
            [("rw,hidepid=off", false), ("rw,gid=4,hidepid=0", false), ("rw,hidepid=invisible", true)]
        {
            let mounts = format!("{shown}30 22 0:40 / /proc rw shared:5 - proc proc {options}\n");
            assert_eq!(hides_processes(&mounts), hides, "{options}");
        }
        for hidden in ["", "30 22 0:40 / /mnt rw - proc proc rw\n", "31 22 0:41 / /proc rw - tmpfs none rw\n"] {
            assert!(hides_processes(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn of_fuse_only_what_is_shared_is_refused() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                      30 22 0:40 / /shared rw,nosuid shared:5 - virtiofs tag rw\n\
                      31 22 0:41 / /mnt rw - fuse.sshfs me@there:/ rw\n\
                      32 22 0:42 / /own rw - fuse.gocryptfs /x rw\n\
                      33 22 0:43 / /s3 rw - fuse mountpoint-s3 rw\n\
                      34 22 0:44 / /dav rw - fuse https://there/a rw\n\
                      35 22 0:45 / /both rw - fuse.mergerfs /sshfs:/b rw\n";
        for (device, name) in [
            ("0:40", Some("virtiofs")),
            ("0:41", Some("sshfs")),
            ("0:42", None),
            ("0:43", Some("mountpoint-s3")),
            ("0:44", Some("a file system of another machine")),
            ("0:45", None),
            ("0:46", None),
        ] {
            assert_eq!(unsuitable_fuse(mounts, device), name, "{device}");
        }
    }
}
