//! Records as JSON lines that leave a home and come back: `export` and `import`.
//!
//! 1. A line has all of one record: id, key, fields, provenance, amendments, path, and the bytes of its page if they are not
//!    the ones that its fields make. [`line`](self) is the format; `docs/backup.md` describes it.
//! 2. An export shows one moment ([`crate::query::every`]).
//! 3. A line is data, wherever it comes from: [`Importer`] checks it as the recorder checks a request, and more; what is wrong
//!    is refused with its line, and the other lines are kept.
//! 4. An import goes the way of every record: into the journal, synced, and then into files, rows and git. So it can be killed
//!    anywhere and run again, and a line that is known changes nothing.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before a group's sync returned | some of the group's entries, perhaps cut | they are records like any other; the next run brings the rest |
//! | after it | the group's entries in the journal | the worker, or the next run, applies them |

mod export;
mod import;
mod line;

pub use export::{Exported, export};
pub use import::{Counts, Importer, Refused};
pub use line::{BadLine, LINE_BYTES_MAX, Line, RecordLine, VERSION};

use crate::{journal, query};

/// Why an export or an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home could not be read.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] crate::target::index::Error),
    /// There is no index to read.
    #[error("the index cannot be read, and an export of files alone could lack records")]
    NoIndex,
    /// The lines could not be written.
    #[error("the lines could not be written")]
    Write(#[source] std::io::Error),
    /// The journal did not take a group of lines: none of it is imported.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}
