//! A machine to pull the plug of: a real file system on our own disk, and the processes that use it.
//!
//! All of it lives in a mount namespace of its own. So every process that was started on it can be found, whatever
//! process started it, and whatever is mounted goes with the last of them, even where the tests themselves are killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fuser::BackgroundSession;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use super::disk::{self, Disk, Medium};
use crate::support::wait_for;

/// How a file system is made and mounted.
#[derive(Clone, Copy, Debug)]
pub struct Flavour {
    pub kind: &'static str,
    /// The arguments of its `mkfs`.
    pub make: &'static [&'static str],
    pub options: &'static str,
    pub megabytes: u64,
    /// What its disk writes as a whole or not at all, in bytes.
    pub sector: usize,
}

impl Flavour {
    /// What this machine lacks to have such a file system; nothing where it has everything.
    pub fn missing(&self) -> Option<String> {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !known.lines().any(|line| line.trim_start_matches("nodev").trim() == self.kind) {
            return Some(format!("the kernel does not know {}", self.kind));
        }
        let program = format!("mkfs.{}", self.kind);
        lacks(&program).then(|| format!("there is no {program}"))
    }
}

/// Runs `program`, which has to succeed with one of the exit codes `fine`.
#[track_caller]
fn run(program: &str, args: &[&str], fine: &[i32]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let fine = output.status.code().is_some_and(|code| fine.contains(&code));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(fine, "{program} {args:?}: {}\n{}{}", output.status, said[0], said[1]);
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// What this machine lacks to have its power cut; nothing where it has everything.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can mount a file system".to_owned());
    }
    if !indelible::fs::os::shows_every_process() {
        return Some("not every process is seen here, and no lock is found stale".to_owned());
    }
    let file = ["/dev/fuse", "/dev/loop-control"].into_iter().find(|file| !Path::new(file).exists());
    if let Some(file) = file {
        return Some(format!("there is no {file}"));
    }
    let program = ["e2fsck", "mount", "umount"].into_iter().find(|program| lacks(program));
    program.map(|program| format!("there is no {program}"))
}

fn lacks(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_err()
}

/// Runs `work` in a thread with mounts of its own.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: it takes nothing from this thread but the mounts that it shares with the others.
            let done = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
            done.expect("root may have mounts of its own");
            run("mount", &["--make-rprivate", "/"], &[0]);
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A file system newly made.
pub fn make(flavour: &Flavour) -> Medium {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("new");
    std::fs::File::create(&file).and_then(|file| file.set_len(flavour.megabytes << 20)).expect("it can be made");
    let args = [flavour.make, &["-q", utf8(&file)]].concat();
    run(&format!("mkfs.{}", flavour.kind), &args, &[0]);
    Medium::of(&std::fs::read(&file).expect("it was just made"))
}

/// Holds that nothing is wrong with the ext4 on `medium`.
fn check(medium: &Medium) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("checked");
    std::fs::write(&file, medium.bytes()).expect("it fits");
    run("e2fsck", &["-f", "-n", utf8(&file)], &[0]);
}

/// A machine that runs.
pub struct Machine {
    root: TempDir,
    pub disk: Disk,
    session: Option<BackgroundSession>,
    mounted: bool,
}

impl Machine {
    /// Starts a machine with `medium` in its disk.
    pub fn start(medium: Medium, flavour: &Flavour) -> Machine {
        let root = tempfile::Builder::new().prefix("indelible-it-power-").tempdir().expect("a temporary folder");
        let folder = |name| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).expect("the folder is new");
            path
        };
        let (below, top) = (folder("below"), folder("top"));
        let disk = Disk::new(medium);
        let session = disk.attach(&below).expect("FUSE takes the disk");
        let mut machine = Machine { root, disk, session: Some(session), mounted: false };
        let (file, options) = (below.join(disk::NAME), format!("loop,{}", flavour.options));
        run("mount", &["-t", flavour.kind, "-o", &options, utf8(&file), utf8(&top)], &[0]);
        machine.mounted = true;
        machine
    }

    /// Where its user's home is to be.
    pub fn home(&self) -> PathBuf {
        self.top().join("user/home")
    }

    /// The folder that the file system is mounted at.
    fn top(&self) -> PathBuf {
        self.root.path().join("top")
    }

    /// Kills every process that uses the machine, and waits until the last of them is gone.
    pub fn kill_everybody(&self) {
        loop {
            let killed: Vec<OwnedFd> = processes().filter_map(|process| kill(&process)).collect();
            if killed.is_empty() {
                return;
            }
            for process in &killed {
                let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], None);
            }
        }
    }

    /// Shuts the machine down in peace, and holds that its file system is as it has to be.
    pub fn shut_down(mut self, flavour: &Flavour) {
        self.unmount();
        if flavour.kind == "ext4" {
            check(&self.disk.seen());
        }
    }

    /// Takes everything apart that was put together.
    pub fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            run("umount", &[utf8(&self.top())], &[0]);
        }
        if let Some(session) = self.session.take() {
            let below = self.root.path().join("below");
            // The loop device lets go of its file a moment after it was let go of.
            wait_for("the disk to be detached", || {
                let output = Command::new("umount").arg(&below).output().expect("it was found before");
                output.status.success().then_some(())
            });
            session.join().expect("the disk's thread ends");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.mounted || self.session.is_some() {
            self.kill_everybody();
            self.unmount();
        }
    }
}

const OURS: &str = "/proc/thread-self/ns/mnt";

/// The processes in this thread's mount namespace, other than this one.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").expect("there is a /proc");
    let id = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let this = std::process::id().cast_signed();
    entries.filter_map(id).filter(move |id| *id != this).filter_map(Pid::from_raw).filter(|process| is_ours(*process))
}

fn is_ours(process: Pid) -> bool {
    let theirs = std::fs::read_link(format!("/proc/{}/ns/mnt", process.as_raw_nonzero()));
    let ours = std::fs::read_link(OURS).expect("every thread is in some namespace");
    theirs.is_ok_and(|theirs| theirs == ours)
}

/// Kills `process` if it is still one of our processes.
fn kill(process: &Pid) -> Option<OwnedFd> {
    let held = pidfd_open(*process, PidfdFlags::empty()).ok()?;
    // Held, its number cannot become another's; so it is asked again.
    let killed = is_ours(*process) && pidfd_send_signal(&held, Signal::KILL).is_ok();
    killed.then_some(held)
}
