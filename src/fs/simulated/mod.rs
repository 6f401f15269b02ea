//! A file system in memory, for tests, on a machine whose power can be cut.
//!
//! The code under test is the real one: [`Dir`] and `File` make the same calls, and `sys` hands those on what a test made
//! to [`calls`]. There each call waits for its turn ([`machine`]), so that one seed decides which process takes which
//! step, and then is taken on a [`disk`] that remembers what no sync has followed yet.
//!
//! What a power cut leaves is the worst that POSIX lets a file system do, and so more than ext4, xfs and btrfs do:
//!
//! 1. Of a file, each sector has what the last sync found there, or what it had after any write since; a sector that
//!    nothing was kept of is zeros where the file is long enough. Its length is the last synced one, or that after any
//!    write since, or a sector's end in between. Sectors and length are drawn one by one: writes are kept, dropped, torn
//!    and swapped with each other.
//! 2. Of the names in folders, each change since the last sync is kept or not, whatever became of those before it, of the
//!    file that it names and of the folder that it is in; but changes of one name stay in order, and a rename is one
//!    change, whole or not at all.
//! 3. `fdatasync` makes a file's bytes and length durable, and no name of it. `fsync` of a folder makes the names in it
//!    durable, and neither its own name nor a byte of a file. `syncfs` makes everything durable.
//! 4. A sync that failed has dropped what it was to write: readers see it all the same, later syncs succeed, and after a
//!    cut it is there or not. Whoever had the file open is told once (as Linux does since 4.13).
//! 5. Nothing else changes: no stale bytes, no file that is not named. A name that is not durable is lost with all of its
//!    file.

pub mod calls;
mod disk;
mod machine;

use std::path::PathBuf;
use std::sync::Arc;

pub use disk::Disk;
pub use machine::{Call, Dice, Faults, Machine, interrupted};

use super::Dir;
use calls::{Handle, Open};

/// The root folder of `machine`. Its path leads nowhere.
pub fn root(machine: &Arc<Machine>) -> Dir {
    Dir::of(Handle::Simulated(Open::new(machine, disk::ROOT)), PathBuf::from("/simulated"))
}
