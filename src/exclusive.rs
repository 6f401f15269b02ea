//! What only the owner of the worker's lock may do to a home: commit, rotate, remove, remember.
//!
//! 1. The home takes its own lock and hands out [`Exclusive`]. No call takes a home and a lock side by side, so a lock of
//!    another home fits nowhere.
//! 2. What is exclusive asks for an [`Exclusive`], or hangs on it, and has no other entrance.

use std::time::Duration;

use crate::fs;
use crate::fs::lock::{Holder, WorkerLock};
use crate::home::Home;
use crate::journal::ExclusiveJournal;

/// A home, and the worker's lock of it for as long as this lives.
///
/// ```
/// use indelible::home::Home;
/// use indelible::pipeline::{Pipeline, Options};
///
/// fn commit(home: &Home) -> Result<(), Box<dyn std::error::Error>> {
///     match home.exclusive("an example")? {
///         Ok(exclusive) => drop(Pipeline::open(&exclusive, Options::default())?.commit_everything(|_| ())?),
///         Err(holder) => println!("{} does it", holder.0),
///     }
///     Ok(())
/// }
/// ```
///
/// # What does not compile
///
/// To rotate without the lock:
///
/// ```compile_fail,E0599
/// # use indelible::home::Home;
/// fn rotate(home: &Home) {
///     let _ = home.journal().rotate();
/// }
/// ```
///
/// To remove segments without the lock:
///
/// ```compile_fail,E0599
/// # use indelible::{home::Home, journal::SegmentNumber};
/// fn prune(home: &Home) {
///     let _ = home.journal().finished(SegmentNumber(2));
/// }
/// ```
///
/// To commit without the lock:
///
/// ```compile_fail,E0308
/// # use indelible::{home::Home, pipeline::{Pipeline, Options}};
/// fn commit(home: &Home) {
///     let _ = Pipeline::open(home, Options::default());
/// }
/// ```
///
/// To remember something of a home without the lock:
///
/// ```compile_fail,E0308
/// # use indelible::{home::Home, state::State};
/// fn remember(home: &Home, state: &State) {
///     let _ = state.write(home);
/// }
/// ```
///
/// To go on once the lock is gone:
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
/// To commit in one home with the lock of another:
///
/// ```compile_fail,E0061
/// # use indelible::{exclusive::Exclusive, home::Home, pipeline::{Pipeline, Options}};
/// fn commit(home: &Home, other: &Exclusive) {
///     let _ = Pipeline::open(home, other, Options::default());
/// }
/// ```
///
/// To pair a home with the lock of another:
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
    /// Takes the home's worker's lock without waiting. `purpose` and the process id tell others who has it.
    ///
    /// # Errors
    /// [`fs::Error`] if the lock's file cannot be opened or locked. A lock held by another process is `Ok(Err(holder))`.
    pub fn exclusive(&self, purpose: &str) -> Result<Result<Exclusive<'_>, Holder>, fs::Error> {
        let taken = WorkerLock::try_take(self.private(), purpose)?;
        Ok(taken.map(|lock| Exclusive::of(self, lock)))
    }

    /// Takes the home's worker's lock for a worker. Waits for whoever has it for a while only: a flush, a recovery, a
    /// recorder that checkpoints the index. Another worker is given up on after `patience`, in which one that is ending
    /// can end.
    ///
    /// # Errors
    /// As [`Home::exclusive`].
    pub fn exclusive_for_worker(&self, patience: Duration) -> Result<Result<Exclusive<'_>, Holder>, fs::Error> {
        let taken = WorkerLock::take_for_worker(self.private(), patience)?;
        Ok(taken.map(|lock| Exclusive::of(self, lock)))
    }
}

impl<'h> Exclusive<'h> {
    /// Of `home` and its own lock.
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

    /// Whether the lock is still on the file that others would lock: nobody removed or replaced it.
    ///
    /// # Errors
    /// [`fs::Error`] if the system does not say.
    pub fn is_current(&self) -> Result<bool, fs::Error> {
        self.lock.is_current()
    }

    /// The lock, for what is done to a private folder that is no home's at the moment.
    pub(crate) fn lock(&self) -> &WorkerLock {
        &self.lock
    }

    /// A simulated home, whose lock lies on a real file system.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn simulated(home: &'h Home, lock: WorkerLock) -> Exclusive<'h> {
        Exclusive::of(home, lock)
    }
}
