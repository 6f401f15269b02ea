//! File systems of other machines, really mounted: they are refused by name, and nothing is written to them.
//!
//! What the kernel calls them is all that a program sees, so our own FUSE file system is mounted under their names.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, ReplyAttr,
    ReplyCreate, ReplyEntry, Request, Session, SessionACL,
};

use crate::power::machine;
use crate::support::{TestHome, record_args, skipped};

/// The type and source that `/proc/self/mountinfo` shows, and the name that a refusal gives it.
const REMOTE: [(&str, &str, &str); 6] = [
    ("fuse.sshfs", "me@there:/home/me", "sshfs"),
    ("fuse.rclone", "drive:", "rclone"),
    ("fuse.s3fs", "s3fs", "s3fs"),
    ("fuse.gcsfuse", "bucket", "gcsfuse"),
    ("fuse", "mountpoint-s3", "mountpoint-s3"),
    ("fuse", "https://there.example/dav", "a file system of another machine"),
];

/// An empty folder that takes folders and files, and counts them.
#[derive(Clone, Default)]
struct Empty {
    made: Arc<AtomicUsize>,
}

fn attributes(number: INodeNo, kind: FileType) -> FileAttr {
    FileAttr {
        ino: number,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Empty {
    fn lookup(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::ZERO, &attributes(number, FileType::Directory));
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let number = INodeNo(2 + self.made.fetch_add(1, Ordering::Relaxed) as u64);
        reply.entry(&Duration::ZERO, &attributes(number, FileType::Directory), Generation(0));
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        self.made.fetch_add(1, Ordering::Relaxed);
        reply.error(Errno::ENOSPC);
    }
}

/// A folder with such a file system in it, until it is dropped.
struct Mounted {
    folder: PathBuf,
    files: Empty,
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// By the system's own program, since a FUSE file system cannot say that it is another's.
    fn at(folder: &Path, kind: &str, source: &str) -> Mounted {
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("root may open it");
        let connection = device.try_clone().expect("a descriptor can be doubled");
        let options = "fd=0,rootmode=40700,user_id=0,group_id=0";
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", kind, "-o", options, source]).arg(folder).stdin(Stdio::from(connection));
        let output = mount.output().expect("there is a mount program");
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let files = Empty::default();
        let session = Session::from_fd(files.clone(), device.into(), SessionACL::Owner, Config::default());
        let session = session.and_then(Session::spawn).expect("the kernel speaks to the file system");
        Mounted { folder: folder.to_owned(), files, session: Some(session) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.folder).status();
        if let Some(session) = self.session.take() {
            let _ = session.join();
        }
    }
}

/// Holds that every command on `home` says that it is on `name`, and that nothing reaches `mounted`.
#[track_caller]
fn is_refused(home: &TestHome, mounted: &Mounted, name: &str) {
    let recorder = record_args("failure", "never there");
    for args in [vec!["init".to_owned()], recorder, vec!["flush".to_owned()], vec!["worker".to_owned()]] {
        let outcome = home.cmd(&args).run().exits(78);
        assert!(outcome.stderr.contains(name), "it does not say that this is {name}: {outcome}");
        let made = mounted.files.made.load(Ordering::Relaxed);
        assert_eq!(made, 0, "something was written to {name}: {outcome}");
    }
}

#[test]
fn homes_on_other_machines_are_refused_by_name() {
    if let Some(why) = machine::missing() {
        skipped(format!("NO FILE SYSTEM OF ANOTHER MACHINE WAS SEEN, since {why}"));
        return;
    }
    machine::apart(|| {
        for (kind, source, name) in REMOTE {
            // Where a home could be made, or was made before; and the folder in it that the journal is in.
            let (home, lived) = (TestHome::absent(), TestHome::new());
            let receipts = lived.record_each("before");
            let journal = lived.journal();
            std::fs::create_dir(home.path()).expect("it can be made");
            for (home, folder) in [(&home, "."), (&lived, "."), (&lived, ".indelible")] {
                let mounted = Mounted::at(&home.join(folder), kind, source);
                is_refused(home, &mounted, name);
            }
            assert_eq!(lived.journal(), journal, "{kind}");
            lived.recover_fully();
            crate::support::assert_exactly_once(&lived, &receipts);
        }
    });
}

/// Beneath the folder of a home that is yet to be made.
#[test]
fn no_folder_is_made_on_another_machine() {
    if let Some(why) = machine::missing() {
        skipped(format!("NO FILE SYSTEM OF ANOTHER MACHINE WAS SEEN, since {why}"));
        return;
    }
    machine::apart(|| {
        let root = tempfile::tempdir().expect("a temporary folder");
        let mounted = Mounted::at(root.path(), "fuse.sshfs", "me@there:/");
        let home = TestHome::at(root.path().join("a/home"));
        let outcome = home.cmd(["init"]).run().exits(78);
        assert!(outcome.stderr.contains("sshfs"), "it does not say where this is: {outcome}");
        assert_eq!(mounted.files.made.load(Ordering::Relaxed), 0, "something was written: {outcome}");
    });
}

/// A FUSE file system of this machine is as good as any: it is not refused for being one.
#[test]
fn a_fuse_file_system_of_this_machine_is_not_refused() {
    if let Some(why) = machine::missing() {
        skipped(format!("NO FUSE FILE SYSTEM WAS SEEN, since {why}"));
        return;
    }
    machine::apart(|| {
        let root = tempfile::tempdir().expect("a temporary folder");
        let mounted = Mounted::at(root.path(), "fuse.gocryptfs", "/cipher");
        let home = TestHome::at(root.path().to_owned());
        let outcome = home.cmd(["init"]).run();
        assert!(!outcome.stderr.contains("cannot promise"), "it was refused: {outcome}");
        assert!(mounted.files.made.load(Ordering::Relaxed) > 0, "it was refused: {outcome}");
    });
}
