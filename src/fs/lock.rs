//! The worker's lock and that of syncing, each on a file that is never deleted.
//!
//! Locks are taken in this order, and none while waiting for another: the worker's lock, that of syncing, SQLite's, the branch's
//! ([`super::order`] asserts it). Recorders wait for SQLite's alone. Writing to the journal takes no lock.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::order::{self, Held, Lock};
use super::os::{self, Stamp};
use super::{Dir, Error};
use crate::model::layout::{SYNC_LOCK, WORKER_LOCK};

/// How a worker is named in the lock's file.
const WORKER: &str = "a worker";

/// The right to commit, rotate and remove. One process per home has it, until the process ends.
#[derive(Debug)]
pub struct WorkerLock {
    file: File,
    path: PathBuf,
    _held: Held,
}

/// The lock's holder, according to the lock's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub String);

impl WorkerLock {
    /// Takes the lock of the home whose private folder is `private`, without waiting, and writes `purpose` and the
    /// process id into it for others to read.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or locked. A lock held by another process is `Ok(Err(holder))`.
    pub(crate) fn try_take(private: &Dir, purpose: &str) -> Result<Result<WorkerLock, Holder>, Error> {
        let held = order::take(Lock::Worker);
        let mut file = private.open_or_create(WORKER_LOCK)?;
        let error = |source| Error::io("lock", private.path().join(WORKER_LOCK))(source);
        match os::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(read_holder(&mut file))),
            Err(TryLockError::Error(source)) => return Err(error(source)),
        }
        // The text written here is informational: a lock without it is still a lock.
        let _ = file.set_len(0).and_then(|()| write!(file, "{purpose}, process {}{}", std::process::id(), namespace()));
        Ok(Ok(WorkerLock { file, path: private.path().join(WORKER_LOCK), _held: held }))
    }

    /// Takes the lock for a worker. It waits for holders that need the lock only briefly: a flush, a recovery, a
    /// recorder that checkpoints the index. It gives up on another worker after `patience`, which leaves time for one
    /// that is ending.
    ///
    /// # Errors
    /// As [`WorkerLock::try_take`].
    pub(crate) fn take_for_worker(private: &Dir, patience: Duration) -> Result<Result<WorkerLock, Holder>, Error> {
        let until = Instant::now() + patience;
        loop {
            match WorkerLock::try_take(private, WORKER)? {
                Err(holder) if holder.0.starts_with(WORKER) && Instant::now() >= until => return Ok(Err(holder)),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
                taken => return Ok(taken),
            }
        }
    }

    /// Whether the lock is still on the file that others would lock, so the file was not removed or replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system does not say.
    pub fn is_current(&self) -> Result<bool, Error> {
        let look = || {
            let ours = Stamp::of_open(&self.file)?;
            match Stamp::of_itself(&self.path) {
                Ok(theirs) => Ok(ours.identity == theirs.identity),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        look().map_err(Error::io("look at", &self.path))
    }

    /// The current holder, or `None` if the lock is free. It changes nothing, so it works on a read-only file system.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or queried.
    pub fn holder(private: &Dir) -> Result<Option<Holder>, Error> {
        let mut file: File = match private.read(WORKER_LOCK) {
            // A file that does not exist is not locked.
            Err(error) if error.is_not_found() => return Ok(None),
            file => file?.into(),
        };
        match os::try_lock_shared(&file) {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", private.path().join(WORKER_LOCK))(source)),
        }
    }

    /// Whether a worker holds the lock, as far as can be told. Every recorder asks: where no worker ran, or the last one ended as it
    /// should, this only reads the file, and gets into the way of no process that takes the lock.
    pub fn is_held_by_worker(private: &Dir) -> bool {
        let Ok(file) = private.read(WORKER_LOCK) else { return false };
        let mut begin = [0; WORKER.len()];
        let says_so = file.read_at(&mut begin, 0).is_ok_and(|read| &begin[..read] == WORKER.as_bytes());
        says_so && matches!(os::try_lock_shared(&file.into()), Err(TryLockError::WouldBlock))
    }
}

impl Drop for WorkerLock {
    fn drop(&mut self) {
        // While the lock is held: the next holder's text must stay.
        let _ = self.file.set_len(0);
        os::unlock(&self.file);
    }
}

/// The right to use `sync.git`. One process per home has it, and takes it for one sync.
#[derive(Debug)]
pub struct SyncLock {
    file: File,
    _held: Held,
}

impl SyncLock {
    /// Takes the lock of the home whose private folder is `private`. Waits for it until `until`, or until `stop` is set; `None` if
    /// another process has it still.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or locked.
    pub(crate) fn take(private: &Dir, until: Instant, stop: &AtomicBool) -> Result<Option<SyncLock>, Error> {
        let held = order::take(Lock::Sync);
        let file = private.open_or_create(SYNC_LOCK)?;
        loop {
            match os::try_lock(&file) {
                Ok(()) => return Ok(Some(SyncLock { file, _held: held })),
                Err(TryLockError::WouldBlock) if Instant::now() >= until || stop.load(Ordering::Relaxed) => {
                    return Ok(None);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::Error(source)) => {
                    return Err(Error::io("lock", private.path().join(SYNC_LOCK))(source));
                }
            }
        }
    }
}

impl Drop for SyncLock {
    fn drop(&mut self) {
        os::unlock(&self.file);
    }
}

impl Holder {
    /// The process id of the worker that holds the lock. `None` if another command holds it, or if the worker is in
    /// another PID namespace, where the number means another process.
    pub fn worker(&self) -> Option<u32> {
        self.0.strip_prefix(WORKER)?.strip_prefix(", process ")?.parse().ok()
    }

    /// Parses the lock's file, for a process whose own line would end with `namespace`.
    fn of(text: &str, namespace: &str) -> Holder {
        let (who, theirs) = match text.find(NAMESPACE) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        Holder(match who {
            "" => "a process that did not say who it is".to_owned(),
            who if theirs.is_empty() || theirs == namespace => who.to_owned(),
            who => format!("{who} of another container or PID namespace"),
        })
    }
}

const NAMESPACE: &str = ", PID namespace ";

/// Identifies the PID namespace of a process id; empty if the system has none.
fn namespace() -> String {
    let namespace = os::pid_namespace();
    if namespace.is_empty() { namespace } else { format!("{NAMESPACE}{namespace}") }
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(200).read_to_string(&mut text));
    Holder::of(&text, &namespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that another thread starts has copies of this process's files until it runs its own program.
    #[test]
    fn a_released_lock_is_free_though_a_child_has_a_copy_of_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Dir::open(folder.path()).expect("it opens");
        let lock = WorkerLock::try_take(&dir, WORKER).expect("no error").expect("it is free");
        let copy = lock.file.try_clone().expect("a copy");
        drop(lock);
        assert!(WorkerLock::try_take(&dir, WORKER).expect("no error").is_ok(), "a copy of its file holds it");
        drop(copy);
    }

    #[test]
    fn a_process_id_counts_only_in_its_own_namespace() {
        for (text, said, worker) in [
            ("a worker, process 7, PID namespace 1", "a worker, process 7", Some(7)),
            ("a worker, process 7", "a worker, process 7", Some(7)),
            ("a worker, process 7, PID namespace 2", "a worker, process 7 of another container or PID namespace", None),
            ("a recovery, process 7, PID namespace 1", "a recovery, process 7", None),
            ("", "a process that did not say who it is", None),
        ] {
            let holder = Holder::of(text, ", PID namespace 1");
            assert_eq!((holder.0.as_str(), holder.worker()), (said, worker), "{text}");
        }
    }
}
