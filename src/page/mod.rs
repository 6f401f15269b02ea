//! Pages: the markdown that people read, made from records and read back into them. Text in, text out; no I/O.
//!
//! A record's page is
//!
//! ```text
//! ---
//! <front matter: every field, the id first>
//! ---
//!
//! # <heading>
//!
//! <body>
//! ```
//!
//! and an experiment has a second one, its log, whose front matter says `kind: experiment-log`.
//!
//! 1. [`parse`] of a page that nobody edited gives exactly the id, time and request that [`files`] was given.
//! 2. A string in the front matter is one line in double quotes in which nothing is unescaped that could end it, hide or
//!    reorder it, so the front matter ends at its first line `---`, whatever the strings hold.
//! 3. The body is its own exact copy. One with hidden characters is shown in its visible form, and the exact text is the
//!    front matter's `body`; that counts for as long as the visible form is unedited. After an edit, what people see
//!    counts. An experiment's criteria follow its hypothesis on the page, so whenever it has any, all three are in the
//!    front matter too, and each counts by the same rule.
//! 4. `tags` is a list, since that is what Obsidian and site generators expect: the items between the commas, trimmed,
//!    without the empty ones. Reading joins it with `,`. Where that is not the exact string (`a, b`), the exact string is
//!    `tags_exact` beside it, which counts for as long as it has the list's items.
//! 5. No raw carriage return, no byte order mark and no NUL is ever written, so reading may take CRLF for a line end,
//!    drop the mark, and refuse NUL.
//! 6. `revision` says which of the record's revisions the page is: `1` as it was first recorded, else the amendment's, and then
//!    `amended` says which fields are from which amendment. A page from before there were revisions has none, and is the first.
//! 7. A domain's page is derived. It shows each of its heuristics once, and nothing in one of them reaches into the next.

mod domain;
mod read;
mod resolve;
mod state;
mod write;
mod yaml;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{Amended, RecordId, Request, Revision};

pub use domain::{PageEntry, domain_page, is_rendered, is_unedited};
pub(crate) use read::front_and_rest;
pub use read::{id_of, later_revision_of, parse};
pub use resolve::{Current, Resolution, resolve};
pub use state::{Presence, StateFile};
pub use write::{amended_page, files};

/// The longest page that [`parse`] looks at. Three texts of 1 MiB, each shown in its visible form and escaped in the front
/// matter, need less than half of this.
pub const PAGE_BYTES_MAX: usize = 64 << 20;

/// What `kind` says in an experiment's log.
const LOG_KIND: &str = "experiment-log";
/// The name of a page's revision.
const REVISION: &str = "revision";
/// What it says in the page of a record as it was first recorded.
const FIRST: &str = "1";
/// The name of the fields that were amended.
const AMENDED: &str = "amended";

/// What a page turned out to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The record that the page belongs to.
    pub id: RecordId,
    /// Whether it is the record's own page or its log.
    pub kind: PageKind,
    /// When the record was made: from the front matter, or else from the id's own clock.
    pub created_at: Timestamp,
    /// The revision that the page says it is; `None` where it says none, or nothing that is one. See
    /// [`Parsed::amended`].
    pub revision: Option<Revision>,
    /// The fields that were amended, each with the amendment's revision.
    pub fields: BTreeMap<String, Revision>,
    /// The record, its key and where it comes from; `None` for a log.
    pub request: Option<Request>,
}

impl Parsed {
    /// How the record came to its content; `None` if it is as it was first recorded, or the page does not say.
    pub fn amended(&self) -> Option<Amended> {
        let revision = self.revision.filter(|revision| *revision > Revision::first(self.id))?;
        Some(Amended { revision, fields: self.fields.clone() })
    }
}

/// The two sorts of page that carry a record's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The page that the record can be rebuilt from.
    Record,
    /// An experiment's log, which belongs to its owner.
    Log,
}

/// Why a file is not a record's page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// It is longer than [`PAGE_BYTES_MAX`].
    #[error("it is {bytes} bytes long, more than any record's page")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a NUL byte, which no page does: a torn write, or no text.
    #[error("there is a NUL byte at byte {at}")]
    Nul {
        /// Where the first one is.
        at: usize,
    },
    /// It is not UTF-8.
    #[error("it is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Where it stops being so.
        at: usize,
    },
    /// It does not begin with a line `---` that another one answers.
    #[error("there is no front matter")]
    NoFrontMatter,
    /// Its front matter is not a YAML mapping, or one of our fields in it has the wrong shape.
    #[error("the front matter cannot be read: {reason}")]
    Yaml {
        /// What the YAML reader said, shortened.
        reason: String,
    },
    /// A field is not there that nothing can stand in for.
    #[error("the front matter has no {field}")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field says something that it cannot mean.
    #[error("the front matter's {field} cannot be {value:?}")]
    Bad {
        /// The field's name.
        field: &'static str,
        /// What it says, shortened.
        value: String,
    },
}

#[cfg(test)]
mod tests;
