//! A file system in memory, for tests, on a machine whose power can be cut.
//!
//! The code under test is the real one: [`Dir`] and `File` make the same calls, and `sys` passes those on a test's
//! files to [`calls`]. There each call waits for its turn ([`machine`]), so that one seed decides which process takes
//! which step. Then it is applied to a [`disk`] that remembers what has not been synced yet.
//!
//! What a power cut leaves is the worst that POSIX allows, and so worse than what ext4, xfs and btrfs do:
//!
//! 1. In a file, each sector has its content at the last sync, or after any later write. A sector of which nothing was
//!    kept is zeros, if the file is long enough. The file's length is the last synced one, or that after any later
//!    write, or a sector's end in between. Sectors and length are drawn one by one: writes are kept, dropped, torn and
//!    swapped with each other.
//! 2. Of the names in folders, each change since the last sync is kept or lost, independently of the changes before it,
//!    of the file that it names and of the folder that it is in. But changes of one name stay in order, and a rename is
//!    one change, whole or absent.
//! 3. `fdatasync` makes a file's bytes and length durable, and no name of it. `fsync` of a folder makes the names in it
//!    durable, and neither its own name nor any byte of a file. `syncfs` makes everything durable.
//! 4. A failed sync drops what it should have written: readers still see it, later syncs succeed, and after a cut it is
//!    there or not. Each open descriptor is told once (as Linux does since 4.13).
//! 5. Nothing else changes: no stale bytes, no file without a name. If a name is not durable, it is lost with its whole
//!    file.

pub mod calls;
mod disk;
mod machine;

use std::path::PathBuf;
use std::sync::Arc;

pub use disk::Disk;
pub use machine::{Call, Dice, Faults, Machine, interrupted, outside};

use super::Dir;
use calls::{Handle, Open};

/// The root folder of `machine`. Its path leads nowhere.
pub fn root(machine: &Arc<Machine>) -> Dir {
    Dir::of(Handle::Simulated(Open::new(machine, disk::ROOT)), PathBuf::from("/simulated"))
}
