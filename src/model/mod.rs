//! The model: what a record is. Every layer uses these nouns and none is above them. No I/O.
//!
//! - [`Record`] is what was learned, field by field. [`FIELDS`] is the one table of those fields: their names, kinds,
//!   limits and defaults. Validation, redaction, JSON lines, front matter, flags, the environment, prompts and completions
//!   walk it, so a new field is one row here, one field of its struct, and its place on the page.
//! - [`Provenance`] is where a record comes from, and [`PROVENANCE`] the table of its fields: every kind has them.
//! - [`Request`] is what a caller asks to be recorded: record, key, provenance.
//! - [`Severity`] and [`Confidence`] are parsed here and nowhere else.
//! - [`Intent`] is a record with everything decided: id, time, paths and the final bytes of its files.
//! - [`Op`] is what an entry of the journal does: it makes a record, or changes one. [`Revision`]s decide which counts.
//! - [`layout`] has every name in a home and in its private folder; [`split`](layout::split) and the like take paths apart.
//! - [`path`] says where a record's files lie, and what a path says of the file that lies there.

mod confidence;
mod field;
mod id;
mod intent;
mod kind;
pub mod layout;
pub mod lead;
mod op;
mod outcome;
pub mod path;
pub mod position;
mod provenance;
mod record;
mod request;
mod severity;
pub mod text;
mod verdict;

pub use confidence::Confidence;
pub use field::{FIELDS, Field, FieldSpec, Invalid, KEY, PROVENANCE, Shape, body_of, fields_of, limits};
pub use id::{HomeId, JournalId, OtherHome, RecordId};
pub use intent::{FileImage, Intent, Source};
pub use kind::Kind;
pub use op::{Amended, Amendment, Change, Op, ParseRevisionError, Revision, UnknownOp};
pub use outcome::ExperimentResult;
pub use path::{BadPath, Level, RecordPath, check_path};
pub use provenance::{Origin, Provenance};
pub use record::{Experiment, Heuristic, Learning, Record};
pub use request::Request;
pub use severity::Severity;
pub use verdict::{Ruling, Verdict};
