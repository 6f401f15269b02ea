//! Linux.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::super::{Dir, Error, sys};
use super::{AnyCall, SqliteCall, Stamp};

/// An id of this machine that survives a reboot, or an empty string where there is none.
pub fn machine_id() -> String {
    let read = |path| std::fs::read_to_string(path).ok().and_then(|text| lasting_machine_id(&text));
    match is_transient() {
        true => String::new(),
        false => read(MACHINE_ID).or_else(|| read("/var/lib/dbus/machine-id")).unwrap_or_default(),
    }
}

const MACHINE_ID: &str = "/etc/machine-id";

/// The id in `text`, the content of a machine-id file; `None` for the words of an image that was never started.
fn lasting_machine_id(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "uninitialized").then(|| text.to_owned())
}

/// Whether the machine's id is another one at each boot: where `/etc` cannot be written, systemd mounts one that lies in
/// memory over the file.
fn is_transient() -> bool {
    const TMPFS: u64 = 0x0102_1994;
    let in_memory = |path| rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 & 0xffff_ffff == TMPFS);
    in_memory(MACHINE_ID) && !in_memory("/etc")
}

/// An id that differs after every boot, or an empty string where the system has none: then every start counts as one
/// after a boot.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The name of the folder's file system if it is one that cannot keep the promises: one that is shared over a network
/// or with a host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
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

/// The numbers are those of the kernel's include/uapi/linux/magic.h and of its file systems' own headers.
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

/// What is mounted by way of FUSE, and lies on another machine or on a host.
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

/// To the kernel all of these look like any other FUSE file system but for what they are mounted as.
fn shared_through_fuse(dir: &Dir) -> Option<&'static str> {
    let stat = rustix::fs::fstat(dir.fd()).ok()?;
    let device = format!("{}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    unsuitable_fuse(&mounts, &device)
}

/// What the file system of `device` is called in `mounts`, the content of `/proc/self/mountinfo`, if it is one to refuse.
/// It is told by its type, by its source where it gives itself no type of its own, and by a source that is a URL.
fn unsuitable_fuse(mounts: &str, device: &str) -> Option<&'static str> {
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    let mut mounted = mount.split(" - ").nth(1)?.split(' ');
    let (kind, source) = (mounted.next()?, mounted.next()?);
    let kind = kind.strip_prefix("fuse.").unwrap_or(kind);
    let known = SHARED.into_iter().find(|name| [kind, source].contains(name));
    known.or_else(|| source.contains("://").then_some("a file system of another machine"))
}

/// Whether some process may have a file open that `is_it` knows, or be a git program at work in one of `folders`. Where
/// that cannot be found out, it may: `/proc` can be missing, hide other users' processes, or show those of one PID
/// namespace only while a bind mount lets others in.
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

/// The first PID namespace, which has every process of the machine in it, by its number in the kernel's
/// include/linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether this process can look at every process of the machine, in `/proc`. Then that is of the first PID namespace, since this process is in that
/// and finds itself there, and it hides nothing.
pub fn shows_every_process() -> bool {
    let read = |path| std::fs::read_link(path).unwrap_or_default();
    let is_here = read("/proc/self") == Path::new(&std::process::id().to_string());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_here && read("/proc/self/ns/pid") == Path::new(FIRST_PID_NAMESPACE) && !hides_processes(&mounts)
}

/// Whether the `/proc` in `mounts`, the content of `/proc/self/mountinfo`, hides processes of other users, or there is none.
fn hides_processes(mounts: &str) -> bool {
    // Of several mounted there, the last one is seen.
    let Some(mount) = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc")) else { return true };
    let Some((_, mounted)) = mount.split_once(" - ") else { return true };
    let options = mounted.split(' ').nth(2).unwrap_or_default();
    let hides = |option: &str| option.strip_prefix("hidepid=").is_some_and(|value| !matches!(value, "0" | "off"));
    !mounted.starts_with("proc ") || options.split(',').any(hides)
}

/// The PID namespace that this process is in, or an empty string where the system does not say.
pub fn pid_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What cannot be looked into counts as not open: it is then judged by its name alone.
fn has_open(process: &Path, is_it: &impl Fn(&Stamp) -> bool) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().filter_map(|it| Stamp::of(&it.path()).ok()).any(|it| is_it(&it))
}

/// A process whose name cannot be read may be git, unless it is gone.
fn may_be_git(process: &Path) -> bool {
    let name = match std::fs::read_to_string(process.join("comm")) {
        Ok(name) => name,
        Err(error) => return !is_gone(&error),
    };
    let name = name.trim();
    matches!(name, "git" | "jj" | "tig" | "gitk" | "lazygit" | "gitui") || name.starts_with("git-")
}

/// Whether a process is in one of the folders or was told of one. One that cannot be looked into may be. The git program
/// that writes a pack for a repack of ours takes no lock.
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

/// Whether `error` says that there is no such process, or one that is ending: it has closed its files by the time that it
/// has no folder any more.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
}

/// A process that is gone, or a zombie, gives nothing back.
fn has_ended(process: &Path) -> bool {
    match std::fs::read_to_string(process.join("stat")) {
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) => !process.exists(),
    }
}

/// The calls that SQLite is to make in the place of its own: one that refuses symbolic links anywhere in a path, and those
/// that leave no hole in what it maps.
pub fn sqlite_calls() -> impl IntoIterator<Item = SqliteCall> {
    // SAFETY: pointers to functions are all of one size, and whoever calls these casts them back (`target::index`).
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

/// How SQLite extends a file that it maps: by the last byte of each page of so many bytes.
const SQLITE_PAGE: usize = 4096;
const PROT_WRITE: c_int = 2;
const MAP_SHARED: c_int = 1;

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    // With offsets of 64 bits, under the name that they have in each C library.
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

/// `pwrite(2)` as SQLite calls it. To extend the file that its processes share in memory it writes the last byte of each
/// page alone. Where the file system's blocks are smaller than a page, the rest of the page is a hole then; and on a full
/// disk, what touches a hole in memory is ended by a signal. So all of the page is written. Nobody has mapped it yet.
///
/// # Safety
/// `bytes` points to `count` bytes.
unsafe extern "C" fn write_whole_page(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    let end = usize::try_from(offset).map_or(0, |offset| offset.wrapping_add(1));
    if count != 1 || end == 0 || !end.is_multiple_of(SQLITE_PAGE) {
        // SAFETY: these are the arguments that SQLite would have called it with.
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

/// `mmap(2)` as SQLite calls it. A hole that another program left in the file is filled first, and that the disk has no
/// room for it is an error, not the end of this process. A file with as many blocks as bytes has none.
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
    // SAFETY: these are the arguments that SQLite would have called it with.
    unsafe { mmap(at, bytes, protection, flags, fd, offset) }
}

/// `open(2)` as SQLite calls it. It does not panic: nothing may unwind into C.
///
/// # Safety
/// `path` ends with a NUL.
unsafe extern "C" fn open_without_links(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // A pipe in a file's place must not keep anybody waiting for its other end. To a file this is nothing.
    let wanted = OFlags::from_bits_retain(flags.cast_unsigned()) | OFlags::NONBLOCK;
    // What must not exist yet is a temporary file, in a folder that is the system's.
    if !wanted.contains(OFlags::EXCL) {
        let create = if wanted.contains(OFlags::CREATE) { mode.cast_unsigned() } else { 0 };
        // SAFETY: the caller gives a path that ends with a NUL, and does not change it during the call.
        let name = unsafe { CStr::from_ptr(path) };
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(CWD, name, wanted, Mode::from_raw_mode(create), resolve) {
            Ok(fd) => return fd.into_raw_fd(),
            // An old kernel, or a sandbox that knows no openat2: without it the last part alone is not followed.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => {
                set_errno(errno);
                return -1;
            }
        }
    }
    // SAFETY: these are the arguments that SQLite would have called it with, and no more flags than are harmless; a mode
    // that is not wanted is not read.
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
    fn a_proc_that_hides_processes_is_told_by_its_mount() {
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
