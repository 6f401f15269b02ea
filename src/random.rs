//! Random bytes from the system, and the ids that are made of them.
//!
//! On Linux they come from the system call, else from `/dev/urandom`. A statically linked program finds no `getrandom` by
//! name, and many a chroot or mount namespace has no `/dev/urandom`, so neither suffices alone. A program calls [`prepare`]
//! first: if the system has no random bytes, that returns an error. Later it would be a panic.
//!
//! Bytes are fetched in pools. They make ids unique and are not secret.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// How many bytes are fetched at a time: enough for all ids of one record.
const POOL_BYTES: usize = 128;

struct Source {
    pool: [u8; POOL_BYTES],
    /// How many bytes at the end of the pool are still unused.
    left: usize,
    /// The newest id with a time in it.
    last: Timed,
}

static SOURCE: Mutex<Source> =
    Mutex::new(Source { pool: [0; POOL_BYTES], left: 0, last: Timed { milliseconds: 0, tail: 0 } });

impl Source {
    fn prepare(&mut self) -> io::Result<()> {
        if self.left == 0 {
            fill(&mut self.pool)?;
            self.left = POOL_BYTES;
        }
        Ok(())
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| {
            self.prepare().expect("the system has had random bytes before: `prepare` was called first");
            self.left -= 1;
            self.pool[self.left]
        })
    }
}

/// What makes ids of one process unique and ordered: a time and 74 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timed {
    milliseconds: u64,
    tail: u128,
}

const TAIL_BITS: u32 = 74;
const TAIL_MAX: u128 = (1 << TAIL_BITS) - 1;

impl Timed {
    /// The id for the time `milliseconds`, greater than `last`, with the bits of `random`.
    fn after(last: Timed, milliseconds: u64, random: u128) -> Timed {
        let new = Timed { milliseconds, tail: random & TAIL_MAX };
        if new > last {
            return new;
        }
        // The clock stands still or went back: add a random step to the last id.
        let tail = last.tail + 1 + (random & 0xffff_ffff);
        match tail > TAIL_MAX {
            true => Timed { milliseconds: last.milliseconds + 1, tail: tail & TAIL_MAX },
            false => Timed { tail, ..last },
        }
    }

    fn id(self) -> Uuid {
        const VERSION_AND_VARIANT: u128 = 7 << 76 | 2 << 62;
        let (high, low) = (self.tail >> 62, self.tail & ((1 << 62) - 1));
        Uuid::from_u128(u128::from(self.milliseconds) << 80 | high << 64 | low | VERSION_AND_VARIANT)
    }
}

/// Fetches the first random bytes, before anything needs them.
///
/// # Errors
/// [`io::Error`] if the system has none.
pub fn prepare() -> io::Result<()> {
    source().prepare()
}

/// A random id, a UUIDv4.
///
/// # Panics
/// If the system has no random bytes; [`prepare`] would have returned an error.
pub fn id() -> Uuid {
    #[cfg(test)]
    if let Some(random) = seeded::next() {
        return uuid::Builder::from_random_bytes(random.to_ne_bytes()).into_uuid();
    }
    uuid::Builder::from_random_bytes(source().draw()).into_uuid()
}

/// An id that begins with the time, a UUIDv7. Within a process, each is greater than the one before.
///
/// # Panics
/// As [`id`].
pub fn timed_id() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) & 0xffff_ffff_ffff;
    #[cfg(test)]
    if let Some(random) = seeded::next() {
        return Timed { milliseconds: now, tail: random & TAIL_MAX }.id();
    }
    let mut source = source();
    let random = u128::from_ne_bytes(source.draw());
    source.last = Timed::after(source.last, now, random);
    source.last.id()
}

/// Ids of a test that has to be the same again: they follow from a seed, all but their time.
#[cfg(test)]
pub mod seeded {
    use std::cell::RefCell;

    type Bits = Box<dyn FnMut() -> u128>;

    thread_local! {
        static BITS: RefCell<Option<Bits>> = const { RefCell::new(None) };
    }

    /// From now on, this thread's ids have `bits`.
    pub fn from(bits: impl FnMut() -> u128 + 'static) {
        BITS.set(Some(Box::new(bits)));
    }

    pub(super) fn next() -> Option<u128> {
        BITS.with_borrow_mut(|bits| bits.as_mut().map(|next| next()))
    }
}

fn source() -> std::sync::MutexGuard<'static, Source> {
    // After a panic with the lock held, the pool still holds random bytes.
    SOURCE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(target_os = "linux")]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read as _;

    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // An old kernel, or a sandbox that refuses the call.
            Err(errno) => {
                let from_file = |mut file: std::fs::File| file.read_exact(bytes);
                return std::fs::File::open("/dev/urandom").and_then(from_file).map_err(|error| {
                    io::Error::new(error.kind(), format!("getrandom: {errno}; /dev/urandom: {error}"))
                });
            }
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_of_their_version_in_order_and_unique() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| timed_id()).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == ids.len());
        for id in ids {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122), "{id}");
        }
        assert_eq!((id().get_version_num(), id().get_variant()), (4, uuid::Variant::RFC4122));
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_smaller_id() {
        let last = Timed { milliseconds: 1000, tail: TAIL_MAX - 1 };
        let next = |milliseconds, random| Timed::after(last, milliseconds, random);
        assert!(next(1001, 0) == Timed { milliseconds: 1001, tail: 0 }, "a later time");
        assert!(next(999, 0) == Timed { milliseconds: 1000, tail: TAIL_MAX }, "an earlier one");
        assert!(next(1000, 5) == Timed { milliseconds: 1001, tail: 4 }, "the last of its millisecond");
        assert_eq!(last.id().to_string(), "00000000-03e8-7fff-bfff-fffffffffffe");
    }
}
