//! Pages: the markdown that people read, made from records and parsed back into them. Text in, text out; no I/O.
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
//! and an experiment has a second one, its log, whose front matter says `kind: experiment-log`. One that has ended has a third,
//! its outcome, with `kind: experiment-outcome`: it repeats for people what the record's own page says.
//!
//! 1. [`parse`] of an unedited page gives exactly the id, time and request that [`files`] was given.
//! 2. A string in the front matter is one line in double quotes. Everything that could end, hide or reorder it is
//!    escaped, so the front matter ends at its first line `---`, whatever the strings hold.
//! 3. The body is shown as it is. A body with hidden characters is shown in its visible form, and the exact text is the
//!    front matter's `body`, which counts as long as the visible form is unedited. After an edit, the visible text
//!    counts. An experiment's criteria follow its hypothesis on the page. So if it has criteria, all three are in the
//!    front matter too, and each counts by the same rule.
//! 4. `tags` is a list, since Obsidian and site generators expect one: the items between the commas, trimmed, without
//!    empty ones. Reading joins it with `,`. If that is not the exact string (`a, b`), the exact string is in
//!    `tags_exact` beside it, which counts as long as it has the list's items.
//! 5. No raw carriage return, no byte order mark and no NUL is ever written, so reading may treat CRLF as a line end,
//!    drop the mark, and refuse NUL.
//! 6. `revision` says which of the record's revisions the page is: `1` as it was first recorded, otherwise the
//!    amendment's, and then `amended` says which fields are from which amendment. A page from before revisions existed
//!    has no `revision`, and is the first.
//! 7. A domain's page is derived. It shows each of its heuristics once, and nothing in one of them reaches into the
//!    next.

mod domain;
mod edit;
mod outside;
mod read;
mod resolve;
mod revise;
mod state;
mod write;
mod yaml;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{Amended, RecordId, Request, Revision};

pub use domain::{PageEntry, domain_page, is_rendered, is_unedited};
pub use edit::{By, NotTaken, edited, is_contained, is_plain, is_same_but_heading, is_same_but_revision};
pub(crate) use outside::{check_amended, check_time, is_path_of};
pub(crate) use read::front_and_rest;
pub use read::{id_of, later_revision_of, parse};
pub use resolve::{Current, Resolution, resolve};
pub(crate) use resolve::{is_later, joined, take};
pub use revise::{Amendable, FieldChange, differences};
pub use state::{Presence, StateFile};
pub use write::{amended_at, amended_page, ended_at, files, outcome_file, page};

/// The longest page that [`parse`] accepts. Three texts of 1 MiB, each shown in its visible form and escaped in the
/// front matter, need less than half of this.
pub const PAGE_BYTES_MAX: usize = 64 << 20;

/// The value of `kind` in an experiment's log.
const LOG_KIND: &str = "experiment-log";
/// The value of `kind` in an experiment's outcome.
const OUTCOME_KIND: &str = "experiment-outcome";
/// The name of a page's revision.
const REVISION: &str = "revision";
/// Its value in the page of a record as it was first recorded.
const FIRST: &str = "1";
/// The name of the fields that were amended.
const AMENDED: &str = "amended";

/// The content of a parsed page.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The record that the page belongs to.
    pub id: RecordId,
    /// Whether it is the record's own page, its log or its outcome.
    pub kind: PageKind,
    /// When the record was made: from the front matter, or otherwise from the id's own clock.
    pub created_at: Timestamp,
    /// The page's revision; `None` if it is missing or invalid. See [`Parsed::amended`].
    pub revision: Option<Revision>,
    /// The fields that were amended, each with the amendment's revision.
    pub fields: BTreeMap<String, Revision>,
    /// The record, its key and its provenance; `None` for a log and an outcome.
    pub request: Option<Request>,
}

impl Parsed {
    /// The record's amendments; `None` if it is as it was first recorded, or the page does not say.
    pub fn amended(&self) -> Option<Amended> {
        let revision = self.revision.filter(|revision| *revision > Revision::first(self.id))?;
        Some(Amended { revision, fields: self.fields.clone() })
    }
}

/// The kinds of page that carry a record's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The page that the record can be rebuilt from.
    Record,
    /// An experiment's log, which belongs to its owner.
    Log,
    /// How an experiment ended, made from the record.
    Outcome,
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
    /// It holds a NUL byte, which no page does: a torn write, or not text.
    #[error("there is a NUL byte at byte {at}")]
    Nul {
        /// The position of the first one.
        at: usize,
    },
    /// It is not UTF-8.
    #[error("it is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The position of the first invalid byte.
        at: usize,
    },
    /// It does not begin with a line `---` that a second one closes.
    #[error("there is no front matter")]
    NoFrontMatter,
    /// Its front matter is not a YAML mapping, or one of indelible's fields in it has the wrong shape.
    #[error("the front matter cannot be read: {reason}")]
    Yaml {
        /// The YAML reader's message, shortened.
        reason: String,
    },
    /// A required field is missing.
    #[error("the front matter has no {field}")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field has an invalid value.
    #[error("the front matter's {field} cannot be {value:?}")]
    Bad {
        /// The field's name.
        field: &'static str,
        /// The value, shortened.
        value: String,
    },
}

#[cfg(test)]
mod tests;
