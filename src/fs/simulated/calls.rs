//! The calls of `sys`, on real folders and files and on those of a [`Machine`].

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatFs};
use rustix::io::Errno;

use super::disk::Inode;
use super::machine::Machine;

/// The time, which stands still on a machine: what is written must have the same length in every run.
pub fn now() -> Timestamp {
    let real = super::machine::process().is_none();
    if real { Timestamp::now() } else { Timestamp::from_second(1_800_000_000).expect("it is a time") }
}

/// An open folder or file.
#[derive(Debug)]
pub enum Handle {
    Real(OwnedFd),
    Simulated(Open),
}

/// An open file or folder of a machine.
#[derive(Debug)]
pub struct Open {
    machine: Arc<Machine>,
    inode: Inode,
    /// The end of the last write.
    end: AtomicU64,
    /// The number of failed syncs that the descriptor's owner knows of.
    failures: AtomicU64,
    /// Whether a write accepted only some of its bytes.
    full: AtomicBool,
}

impl Open {
    pub fn new(machine: &Arc<Machine>, inode: Inode) -> Open {
        let (end, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Open { machine: Arc::clone(machine), inode, end, failures, full: AtomicBool::new(false) }
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<Handle, Errno> {
        let name = if flags.contains(OFlags::CREATE) { "create" } else { "open" };
        let mut state = self.machine.call(name, self.inode, 0)?;
        let inode = match state.disk.find(self.inode, path) {
            Ok(_) if flags.contains(OFlags::EXCL) => return Err(Errno::EXIST),
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => state.disk.make_file(self.inode, path)?,
            found => found?,
        };
        if flags.contains(OFlags::DIRECTORY) && !state.disk.stat(inode)?.is_folder {
            return Err(Errno::NOTDIR);
        }
        let open = Open::new(&self.machine, inode);
        open.failures.store(state.disk.failures(inode), Ordering::Relaxed);
        Ok(Handle::Simulated(open))
    }

    /// Writes at `offset`, or at the end.
    fn write(&self, bytes: &[u8], offset: Option<u64>) -> Result<usize, Errno> {
        let mut state = self.machine.call("write", self.inode, bytes.len())?;
        if self.full.load(Ordering::Relaxed) {
            return Err(Errno::NOSPC);
        }
        let taken = state.taken(bytes.len());
        self.full.store(taken < bytes.len(), Ordering::Relaxed);
        let offset = offset.map_or_else(|| state.disk.stat(self.inode).map(|it| it.size), Ok)?;
        state.disk.write(self.inode, usize::try_from(offset).expect("it is in memory"), &bytes[..taken])?;
        self.end.store(offset + taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn sync(&self) -> Result<(), Errno> {
        let mut state = self.machine.call("fdatasync", self.inode, 0)?;
        if state.sync_fails() {
            state.disk.fail_sync(self.inode)?;
        } else {
            state.disk.sync_file(self.inode)?;
        }
        let failures = state.disk.failures(self.inode);
        let known = self.failures.swap(failures, Ordering::Relaxed);
        (known == failures).then_some(()).ok_or(Errno::IO)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Handle::Real(fd) => fd.as_fd(),
            Handle::Simulated(_) => unreachable!("what is asked of a descriptor is not simulated"),
        }
    }
}

impl From<Handle> for std::fs::File {
    fn from(handle: Handle) -> std::fs::File {
        match handle {
            Handle::Real(fd) => fd.into(),
            Handle::Simulated(_) => unreachable!("locks are not simulated"),
        }
    }
}

pub fn open(path: &Path, flags: OFlags, mode: Mode) -> Result<Handle, Errno> {
    rustix::fs::open(path, flags, mode).map(Handle::Real)
}

pub fn open_resolved(path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> Result<Handle, Errno> {
    rustix::fs::openat2(rustix::fs::CWD, path, flags, mode, resolve).map(Handle::Real)
}

pub fn openat(at: &Handle, path: &str, flags: OFlags, mode: Mode) -> Result<Handle, Errno> {
    match at {
        Handle::Real(fd) => rustix::fs::openat(fd, path, flags, mode).map(Handle::Real),
        Handle::Simulated(at) => at.open(path, flags),
    }
}

pub fn openat2(at: &Handle, path: &str, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> Result<Handle, Errno> {
    match at {
        Handle::Real(fd) => rustix::fs::openat2(fd, path, flags, mode, resolve).map(Handle::Real),
        Handle::Simulated(at) => at.open(path, flags),
    }
}

pub fn mkdirat(at: &Handle, name: &str, mode: Mode) -> Result<(), Errno> {
    match at {
        Handle::Real(fd) => rustix::fs::mkdirat(fd, name, mode),
        Handle::Simulated(at) => at.machine.call("mkdir", at.inode, 0)?.disk.make_folder(at.inode, name).map(drop),
    }
}

pub fn statat(at: &Handle, name: &str, flags: AtFlags) -> Result<Stat, Errno> {
    match at {
        Handle::Real(fd) => rustix::fs::statat(fd, name, flags),
        Handle::Simulated(at) => {
            let state = at.machine.call("stat", at.inode, 0)?;
            state.disk.find(at.inode, name).and_then(|inode| state.disk.stat(inode)).map(stat)
        }
    }
}

pub fn fstat(handle: &Handle) -> Result<Stat, Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::fstat(fd),
        Handle::Simulated(it) => it.machine.call("fstat", it.inode, 0)?.disk.stat(it.inode).map(stat),
    }
}

/// A simulated disk has no modes.
pub fn fchmod(handle: &Handle, mode: Mode) -> Result<(), Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::fchmod(fd, mode),
        Handle::Simulated(_) => Ok(()),
    }
}

/// Converts a simulated stat to the system's.
fn stat(found: super::disk::Stat) -> Stat {
    static REAL: OnceLock<Stat> = OnceLock::new();
    let mut stat = *REAL.get_or_init(|| rustix::fs::stat("/").expect("there is a root folder"));
    let kind = if found.is_folder { FileType::Directory } else { FileType::RegularFile };
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, reason = "the fields differ between systems")]
    {
        stat.st_mode = kind.as_raw_mode() as _;
        stat.st_size = found.size as _;
        stat.st_ino = found.inode as _;
        stat.st_nlink = found.names as _;
        stat.st_uid = crate::fs::os::user() as _;
    }
    stat
}

pub fn fstatfs(handle: &Handle) -> Result<StatFs, Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::fstatfs(fd),
        // A file system that is not on another machine.
        Handle::Simulated(_) => rustix::fs::statfs("/proc"),
    }
}

/// The names in a folder.
pub enum Listing {
    Real(rustix::fs::Dir),
    Simulated(std::vec::IntoIter<String>),
}

/// One of the names.
pub struct Entry(CString);

impl Listing {
    pub fn read_from(handle: &Handle) -> Result<Listing, Errno> {
        match handle {
            Handle::Real(fd) => rustix::fs::Dir::read_from(fd).map(Listing::Real),
            Handle::Simulated(it) => {
                let names = it.machine.call("list", it.inode, 0)?.disk.names(it.inode)?;
                Ok(Listing::Simulated(names.into_iter()))
            }
        }
    }
}

impl Iterator for Listing {
    type Item = Result<Entry, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Listing::Real(dir) => dir.next().map(|entry| entry.map(|entry| Entry(entry.file_name().to_owned()))),
            Listing::Simulated(names) => names.next().map(|name| Ok(Entry(CString::new(name).expect("a plain name")))),
        }
    }
}

impl Entry {
    pub fn file_name(&self) -> &CStr {
        &self.0
    }
}

fn rename(from: &Open, name: &str, there: &Open, to: &str, over: bool) -> Result<(), Errno> {
    let mut state = from.machine.call("rename", from.inode, 0)?;
    state.disk.rename((from.inode, name), (there.inode, to), over)
}

pub fn renameat_with(from: &Handle, name: &str, there: &Handle, to: &str, flags: RenameFlags) -> Result<(), Errno> {
    match (from, there) {
        (Handle::Simulated(from), Handle::Simulated(there)) => rename(from, name, there, to, false),
        (from, there) => rustix::fs::renameat_with(from, name, there, to, flags),
    }
}

pub fn renameat(from: &Handle, name: &str, there: &Handle, to: &str) -> Result<(), Errno> {
    match (from, there) {
        (Handle::Simulated(from), Handle::Simulated(there)) => rename(from, name, there, to, true),
        (from, there) => rustix::fs::renameat(from, name, there, to),
    }
}

pub fn linkat(from: &Handle, name: &str, there: &Handle, to: &str, flags: AtFlags) -> Result<(), Errno> {
    rustix::fs::linkat(from, name, there, to, flags)
}

pub fn unlinkat(at: &Handle, name: &str, flags: AtFlags) -> Result<(), Errno> {
    match at {
        Handle::Real(fd) => rustix::fs::unlinkat(fd, name, flags),
        Handle::Simulated(at) => at.machine.call("unlink", at.inode, 0)?.disk.remove(at.inode, name),
    }
}

pub fn fsync(handle: &Handle) -> Result<(), Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::fsync(fd),
        Handle::Simulated(it) => it.machine.call("fsync", it.inode, 0)?.disk.sync_folder(it.inode),
    }
}

pub fn syncfs(handle: &Handle) -> Result<(), Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::syncfs(fd),
        Handle::Simulated(it) => {
            it.machine.call("syncfs", it.inode, 0)?.disk.sync_all();
            Ok(())
        }
    }
}

pub fn fdatasync(handle: &Handle) -> Result<(), Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::fdatasync(fd),
        Handle::Simulated(it) => it.sync(),
    }
}

pub fn tell(handle: &Handle) -> Result<u64, Errno> {
    match handle {
        Handle::Real(fd) => rustix::fs::tell(fd),
        Handle::Simulated(it) => Ok(it.end.load(Ordering::Relaxed)),
    }
}

pub fn pread(handle: &Handle, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    match handle {
        Handle::Real(fd) => rustix::io::pread(fd, buffer, offset),
        Handle::Simulated(it) => {
            let state = it.machine.call("read", it.inode, buffer.len())?;
            state.disk.read(it.inode, buffer, usize::try_from(offset).expect("it is in memory"))
        }
    }
}

pub fn data_from(handle: &Handle, offset: u64) -> u64 {
    match handle {
        Handle::Real(fd) => super::super::sys::unix_data_from(fd, offset),
        Handle::Simulated(_) => offset,
    }
}

pub fn write(handle: &Handle, bytes: &[u8]) -> Result<usize, Errno> {
    match handle {
        Handle::Real(fd) => rustix::io::write(fd, bytes),
        Handle::Simulated(it) => it.write(bytes, None),
    }
}

pub fn pwrite(handle: &Handle, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    match handle {
        Handle::Real(fd) => rustix::io::pwrite(fd, bytes, offset),
        Handle::Simulated(it) => it.write(bytes, Some(offset)),
    }
}
