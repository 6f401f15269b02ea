//! What a caller is told about a record that is kept.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{Kind, RecordId};
use crate::page::Presence;

/// What a caller is told about a record that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receipt {
    /// The record's id.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// Its page, or its folder if it is an experiment; relative to the home. `None` if it was retracted or erased.
    pub path: Option<String>,
    /// Its row in the index; `None` if the worker will insert it.
    pub row_id: Option<i64>,
    /// When it was recorded, to the millisecond. If it was retracted or erased, and the index does not know that any
    /// more: when that happened.
    #[serde(serialize_with = "with_milliseconds")]
    pub created_at: Timestamp,
    /// Whether the key was recorded before, and this is that record.
    pub duplicate: bool,
    /// The fields in which a request with a known key differs from that record, which stays as it is. `kind` if that differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<&'static str>,
    /// The first record of the rule that was recorded again. Then this is the verdict that says so, and no rule was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_of: Option<RecordId>,
    /// Whether that record was retracted or erased since. Then nothing was recorded, and nothing is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Presence>,
    /// Why an adopted table refused its row, in one line. It will never have a row there. Not part of the JSON.
    #[serde(skip)]
    pub row_refused: Option<String>,
    /// Whether the text that names it has several lines. Not part of the JSON.
    #[serde(skip)]
    pub headline_has_lines: bool,
}

/// A time as the files and the index spell it.
fn with_milliseconds<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}
