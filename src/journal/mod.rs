//! The journal: what recorders have promised to keep, in order.
//!
//! 1. A record is acknowledged only after the sync of its entry has returned, in a segment that was still the newest
//!    after it.
//! 2. Written bytes never change, except when a recorder voids its own entry; nothing is truncated.
//! 3. An entry shorter than its length is a dead writer's. One of full length that fails its checksum is damage: never
//!    replayed, never silent. Reading continues after either.
//! 4. Readers never write.
//! 5. Nothing reaches git before its part of the journal is synced.
//! 6. A segment is removed only when all of it is durable in file, row and git, and never before an older one.
//! 7. Appending takes no lock and never waits for another process.
//!
//! The types enforce 1, 5 and 6: applying takes a [`Synced`] position, and only [`Synced`] segments can be removed.
//!
//! `docs/journal-format.md` gives the format byte by byte; `entry` and `segment` implement it.
//!
//! | killed | on disk | how a reader treats it |
//! | --- | --- | --- |
//! | before the write | nothing | nothing |
//! | within the write | a torn entry | skipped and counted |
//! | between write and sync | a whole entry that was never acknowledged | a record like any other |
//! | after the sync | the entry | the record |
//! | after the next segment's creation | a segment without a header | the next appender writes it |
//! | between a worker's failed sync and its copy | a marker beside the segment | the next worker copies the segment |

mod append;
mod entry;
mod owner;
mod read;
mod records;
mod rotate;
mod segment;
mod synced;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use append::{Appender, Written};
pub use entry::{ENTRY_BYTES_MAX, Line, encode};
pub(crate) use owner::keep_replaced;
pub use owner::{Replaced, id, replaced};
pub use read::{Item, Reader};
pub use records::{Found, Logged, Records};
pub use rotate::{ExclusiveJournal, Finished};
pub use segment::{FORMAT, FORMAT_OF_OPERATIONS, FORMAT_OF_RECORDS, Journal, SegmentNumber};
pub use synced::Synced;

use crate::fs;
use crate::model::text;

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal has no segment to write to.
    #[error("the journal in {} has no segment", .0.display())]
    Empty(PathBuf),
    /// The segment was written by a newer program. It is left alone; a program that knows its format can read it.
    #[error("journal segment {number} has format {found}, of a newer indelible; this one knows formats up to {FORMAT}")]
    Newer {
        /// The segment.
        number: u64,
        /// Its format.
        found: u32,
    },
    /// The segment has a format that no program reads or writes.
    #[error("journal segment {number} has format {found:?}; this program knows formats up to {FORMAT}")]
    Format {
        /// The segment.
        number: u64,
        /// Its header line, as far as it could be read.
        found: String,
    },
    /// The entry exceeds the size limit.
    #[error("an entry of {} bytes is larger than the {} that the journal takes", text::number(*bytes as u64), text::number(ENTRY_BYTES_MAX as u64))]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The system wrote only part of an entry.
    #[error(
        "only {} of {} bytes could be written to journal segment {number}: the disk is full, or a limit is reached",
        text::number(*written as u64),
        text::number(*bytes as u64)
    )]
    Short {
        /// The segment.
        number: u64,
        /// The bytes that the system accepted.
        written: usize,
        /// The bytes that were to be written.
        bytes: usize,
    },
    /// The sync of an entry failed, and it has been voided in place.
    #[error("journal segment {number} could not be synced")]
    Sync {
        /// The segment.
        number: u64,
        /// What failed.
        source: fs::Error,
    },
    /// A sync of the segment failed, now or before. Nothing in it is trusted to be on disk.
    #[error("a sync of journal segment {number} failed, so what it holds has to be copied")]
    Unsynced {
        /// The segment.
        number: u64,
        /// The failure; absent if it happened before.
        source: Option<fs::Error>,
    },
    /// An unacknowledged entry could not be voided either, so its record may still appear.
    #[error("the entry in journal segment {number} could not be voided, so its record may appear all the same")]
    NotVoided {
        /// The segment.
        number: u64,
        /// Why it should be void.
        source: Box<Error>,
    },
    /// The journal was rotated repeatedly while an entry was being appended.
    #[error("the journal went on to a new segment {0} times during one append")]
    Restless(u32),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}
