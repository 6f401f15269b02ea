//! What only the operating system knows: which machine this is, since when it runs, what a file system is.

use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::{Dir, Error};

/// The priority of what must not be in anybody's way.
const LOW_PRIORITY: i32 = 10;

/// An id of this machine that survives a reboot, or an empty string where there is none.
pub fn machine_id() -> String {
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id")).unwrap_or_default()
}

/// An id that differs after every boot, or an empty string where the system has none: then every start counts as one
/// after a boot.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The numeric id of the user whom this process acts for.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Lets nothing that this process makes be read by anybody but its user.
pub fn keep_private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Lets what this process makes from now on be read by everybody: what is installed for all users.
pub fn keep_readable() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

/// Gives way to whatever else runs on the machine. A second time changes nothing.
pub fn lower_priority() {
    if rustix::process::getpriority_process(None).is_ok_and(|priority| priority < LOW_PRIORITY) {
        let _ = rustix::process::setpriority_process(None, LOW_PRIORITY);
    }
}

/// Starts `command` on its own: in a session without a terminal, in the root folder, with nothing to read from or write
/// to, and without any file that this process has open, so that nobody who waits for one waits for it.
///
/// # Errors
/// [`std::io::Error`] if it cannot be started.
pub fn start_detached(command: &mut Command) -> std::io::Result<()> {
    keep_open_files_to_ourselves();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // SAFETY: between fork and exec it makes one system call, which takes no memory and no lock.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
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

/// The name of the folder's file system if it is one that cannot keep the promises: one that is shared over a network
/// or with a host, where appends are not serialised, locks do not hold or a sync does not reach the disk.
///
/// # Errors
/// [`Error::Io`] if the system does not say.
pub fn unsuitable_file_system(dir: &Dir) -> Result<Option<&'static str>, Error> {
    #[cfg(target_os = "linux")]
    {
        let stat =
            super::sys::fstatfs(dir.fd()).map_err(|errno| dir.error("ask for the file system of", ".", errno))?;
        Ok(match stat.f_type as u64 & 0xffff_ffff {
            FUSE => shared_through_fuse(dir),
            magic => unsuitable(magic),
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        Ok(None)
    }
}

#[cfg(target_os = "linux")]
const FUSE: u64 = 0x6573_5546;

/// The numbers are those of the kernel's include/uapi/linux/magic.h and of its file systems' own headers.
#[cfg(target_os = "linux")]
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
#[cfg(target_os = "linux")]
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
#[cfg(target_os = "linux")]
fn shared_through_fuse(dir: &Dir) -> Option<&'static str> {
    let stat = rustix::fs::fstat(dir.fd()).ok()?;
    let device = format!("{}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    unsuitable_fuse(&mounts, &device)
}

/// What the file system of `device` is called in `mounts`, the content of `/proc/self/mountinfo`, if it is one to refuse.
/// It is told by its type, by its source where it gives itself no type of its own, and by a source that is a URL.
#[cfg(target_os = "linux")]
fn unsuitable_fuse(mounts: &str, device: &str) -> Option<&'static str> {
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    let mut mounted = mount.split(" - ").nth(1)?.split(' ');
    let (kind, source) = (mounted.next()?, mounted.next()?);
    let kind = kind.strip_prefix("fuse.").unwrap_or(kind);
    let known = SHARED.into_iter().find(|name| [kind, source].contains(name));
    known.or_else(|| source.contains("://").then_some("a file system of another machine"))
}

#[cfg(all(test, target_os = "linux"))]
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
