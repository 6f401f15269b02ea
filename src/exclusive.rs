//! What only the owner of the worker's lock may do to a home: commit, rotate, remove, remember.
//!
//! 1. The home takes its own lock and hands out [`Exclusive`]. No call takes a home and a lock separately, so a lock of
//!    another home cannot be used.
//! 2. Every exclusive operation takes an [`Exclusive`], or is a method of it. There is no other way in.

use std::time::Duration;

use crate::fs;
use crate::fs::lock::{Holder, WorkerLock};
use crate::home::Home;
use crate::journal::ExclusiveJournal;

/// A home together with its worker's lock, which is held for as long as this lives.
///
/// ```
/// use indelible::home::Home;
/// use indelible::pipeline::{Pipeline, Options};
///
/// fn commit(home: &Home) -> Result<(), Box<dyn std::error::Error>> {
///     match home.exclusive("an example")? {
///         Ok(exclusive) => drop(Pipeline::open(&exclusive, Options::default())?.commit_everything(&mut ())?),
///         Err(holder) => println!("{} does it", holder.0),
///     }
///     Ok(())
/// }
/// ```
///
/// # What does not compile
///
/// Rotating without the lock:
///
/// ```compile_fail,E0599
/// # use indelible::home::Home;
/// fn rotate(home: &Home) {
///     let _ = home.journal().rotate();
/// }
/// ```
///
/// Removing segments without the lock:
///
/// ```compile_fail,E0599
/// # use indelible::{home::Home, journal::SegmentNumber};
/// fn prune(home: &Home) {
///     let _ = home.journal().finished(SegmentNumber(2));
/// }
/// ```
///
/// Committing without the lock:
///
/// ```compile_fail,E0308
/// # use indelible::{home::Home, pipeline::{Pipeline, Options}};
/// fn commit(home: &Home) {
///     let _ = Pipeline::open(home, Options::default());
/// }
/// ```
///
/// Writing a home's state without the lock:
///
/// ```compile_fail,E0308
/// # use indelible::{home::Home, state::State};
/// fn remember(home: &Home, state: &State) {
///     let _ = state.write(home);
/// }
/// ```
///
/// Continuing once the lock is released:
///
/// ```compile_fail,E0505
/// # use indelible::exclusive::Exclusive;
/// fn rotate(exclusive: Exclusive) {
///     let journal = exclusive.journal();
///     drop(exclusive);
///     let _ = journal.rotate();
/// }
/// ```
///
/// Committing in one home with the lock of another:
///
/// ```compile_fail,E0061
/// # use indelible::{exclusive::Exclusive, home::Home, pipeline::{Pipeline, Options}};
/// fn commit(home: &Home, other: &Exclusive) {
///     let _ = Pipeline::open(home, other, Options::default());
/// }
/// ```
///
/// Pairing a home with the lock of another:
///
/// ```compile_fail,E0624
/// # use indelible::{exclusive::Exclusive, fs::lock::WorkerLock, home::Home};
/// fn pair<'h>(home: &'h Home, other: &Home) -> Exclusive<'h> {
///     let lock = WorkerLock::try_take(other.private(), "a foreign lock").unwrap().unwrap();
///     Exclusive::of(home, lock)
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use indelible::{exclusive::Exclusive, home::Home};
/// fn pair<'h>(home: &'h Home, other: Exclusive<'h>) -> Exclusive<'h> {
///     Exclusive { home, ..other }
/// }
/// ```
#[derive(Debug)]
pub struct Exclusive<'h> {
    home: &'h Home,
    lock: WorkerLock,
}

impl Home {
    /// Takes the lock of the home's worker without waiting. `purpose` and the process id tell others who holds it.
    ///
    /// # Errors
    /// [`fs::Error`] if the lock's file cannot be opened or locked. A lock held by another process is
    /// `Ok(Err(holder))`.
    pub fn exclusive(&self, purpose: &str) -> Result<Result<Exclusive<'_>, Holder>, fs::Error> {
        let taken = WorkerLock::try_take(self.private(), purpose)?;
        Ok(taken.map(|lock| Exclusive::of(self, lock)))
    }

    /// Takes the lock of the home's worker for a worker. It waits for holders that need the lock only briefly: a flush,
    /// a recovery, a recorder that checkpoints the index. It gives up on another worker after `patience`, which leaves
    /// time for one that is ending.
    ///
    /// # Errors
    /// As [`Home::exclusive`].
    pub fn exclusive_for_worker(&self, patience: Duration) -> Result<Result<Exclusive<'_>, Holder>, fs::Error> {
        let taken = WorkerLock::take_for_worker(self.private(), patience)?;
        Ok(taken.map(|lock| Exclusive::of(self, lock)))
    }
}

impl<'h> Exclusive<'h> {
    /// From `home` and its own lock.
    fn of(home: &'h Home, lock: WorkerLock) -> Exclusive<'h> {
        Exclusive { home, lock }
    }

    /// The home.
    pub fn home(&self) -> &'h Home {
        self.home
    }

    /// Its journal, to rotate, sync, close and prune.
    pub fn journal(&self) -> ExclusiveJournal<'_> {
        ExclusiveJournal::of(self.home.journal(), &self.lock)
    }

    /// Whether the lock is still on the file that others would lock, so the file was not removed or replaced.
    ///
    /// # Errors
    /// [`fs::Error`] if the system does not say.
    pub fn is_current(&self) -> Result<bool, fs::Error> {
        self.lock.is_current()
    }

    /// The lock, for operations on a private folder that is not a home's at the moment.
    pub(crate) fn lock(&self) -> &WorkerLock {
        &self.lock
    }

    /// A simulated home, whose lock is on a real file system.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn simulated(home: &'h Home, lock: WorkerLock) -> Exclusive<'h> {
        Exclusive::of(home, lock)
    }
}
