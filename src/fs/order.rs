//! The order in which locks are taken, asserted in debug builds.
//!
//! Two processes that take the same locks in different orders can deadlock, once in a thousand times. So code that
//! takes a lock first declares it here, and a lock taken out of order stops the first test that reaches it. In release
//! builds this does nothing.

use std::cell::RefCell;
use std::marker::PhantomData;

/// Every lock, in the order in which they are taken. The journal has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// The worker's lock ([`super::lock`]).
    Worker,
    /// The lock of `sync.git` ([`super::lock`]). The worker's thread that syncs has it alone.
    Sync,
    /// SQLite's write lock (`target::index`).
    Index,
    /// The same, of the search database (`target::search`).
    Search,
    /// The branch's lock (`target::history`).
    Branch,
}

thread_local! {
    static HELD: RefCell<Vec<Lock>> = const { RefCell::new(Vec::new()) };
}

/// A lock that this thread is taking or holds, until this is dropped. It stays in the thread.
#[derive(Debug)]
#[must_use]
pub struct Held {
    lock: Lock,
    stays: PhantomData<*const ()>,
}

/// Declares that this thread is about to take `lock`, whether or not it waits for it.
///
/// # Panics
/// In debug builds, if the thread holds a lock that comes later, or this one.
pub fn take(lock: Lock) -> Held {
    if cfg!(debug_assertions) {
        HELD.with_borrow_mut(|held| {
            if let Some(later) = held.iter().find(|it| **it >= lock) {
                panic!("the lock {lock:?} is taken by a thread that has {later:?}");
            }
            held.push(lock);
        });
    }
    Held { lock, stays: PhantomData }
}

impl Drop for Held {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            HELD.with_borrow_mut(|held| held.retain(|it| *it != self.lock));
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn in_order_every_lock_can_be_taken_again_and_again() {
        for _ in 0..2 {
            let _worker = take(Lock::Worker);
            for _ in 0..2 {
                let _index = take(Lock::Index);
                let _branch = take(Lock::Branch);
            }
        }
        let _late = take(Lock::Branch);
        let elsewhere = std::thread::spawn(|| drop(take(Lock::Worker)));
        elsewhere.join().expect("what another thread has is its own affair");
    }

    #[test]
    fn out_of_order_and_twice_it_panics() {
        for (first, second) in [(Lock::Index, Lock::Worker), (Lock::Branch, Lock::Index), (Lock::Branch, Lock::Branch)]
        {
            let panicked = std::panic::catch_unwind(|| {
                let _first = take(first);
                let _second = take(second);
            });
            assert!(panicked.is_err(), "{second:?} was taken after {first:?}");
        }
        let _none_is_left = take(Lock::Worker);
    }
}
