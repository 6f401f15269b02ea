//! The journal: what recorders have promised to keep, in order.
//!
//! 1. A record is acknowledged only after the sync of its entry has returned, in a segment that was still the newest
//!    after it.
//! 2. Written bytes never change, but for a recorder voiding its own entry; nothing is cut off.
//! 3. An entry shorter than its length is a dead writer's; one of full length that fails its checksum is damage: never
//!    replayed, never silent. Reading goes on after either.
//! 4. Readers never write.
//! 5. Nothing reaches git before its part of the journal is synced.
//! 6. A segment goes only when all of it is durable in file, row and git, and none newer goes before it.
//! 7. Appending takes no lock and waits for nobody.
//!
//! The types hold 1, 5 and 6: what is applied takes a [`Synced`] position, and only [`Synced`] segments can be removed.
//!
//! `docs/journal-format.md` gives the format byte by byte; `entry` and `segment` are its code.
//!
//! | killed | on disk | what a reader makes of it |
//! | --- | --- | --- |
//! | before the write | nothing | nothing |
//! | within the write | a torn entry | skipped and counted |
//! | between write and sync | a whole entry that nobody was promised | a record like any other |
//! | after the sync | the entry | the record |
//! | after the next segment's creation | a segment without a header | the next appender writes it |
//! | between a worker's failed sync and its copy | a mark beside the segment | the next worker copies the segment |

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
    /// There is no segment to write to.
    #[error("the journal in {} has no segment", .0.display())]
    Empty(PathBuf),
    /// A segment of a newer program. It is left alone, and read by a program that knows its format.
    #[error("journal segment {number} has format {found}, of a newer indelible; this one knows formats up to {FORMAT}")]
    Newer {
        /// The segment.
        number: u64,
        /// Its format.
        found: u32,
    },
    /// A segment that no program writes to or reads.
    #[error("journal segment {number} has format {found:?}; this program knows formats up to {FORMAT}")]
    Format {
        /// The segment.
        number: u64,
        /// Its header line, as far as it could be read.
        found: String,
    },
    /// An entry larger than any may be.
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
        /// How much the system took.
        written: usize,
        /// How much there was.
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
    /// A sync of a segment failed, now or before: nothing in it is trusted to be on the disk.
    #[error("a sync of journal segment {number} failed, so what it holds has to be copied")]
    Unsynced {
        /// The segment.
        number: u64,
        /// What failed; absent where it failed before.
        source: Option<fs::Error>,
    },
    /// An entry that nobody may rely on could not be voided either, so its record may appear all the same.
    #[error("the entry in journal segment {number} could not be voided, so its record may appear all the same")]
    NotVoided {
        /// The segment.
        number: u64,
        /// Why it should be void.
        source: Box<Error>,
    },
    /// The journal was rotated again and again while an entry was being appended.
    #[error("the journal went on to a new segment {0} times during one append")]
    Restless(u32),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}
