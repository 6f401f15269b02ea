//! The lines of an export. Pure.
//!
//! ```text
//! {"export":{"version":1,"home":"<id>","at":"<time>"}}                                the first line
//! {"id":..,"created_at":..,"key":..,"kind":..,<fields>,<provenance>,"amended":..,"path":..,"page":..,"log":..}
//! {"retracted":{"id":..,"revision":..,"at":..,"because":..}}                         a record that stays away
//! {"end":{"lines":N}}                                                                the last line: how many came before it
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::text::visible_line;
use crate::model::{Amended, HomeId, Provenance, Record, RecordId, Revision};

/// The version of the format.
pub const VERSION: u32 = 1;
/// The longest line: an entry of the journal cannot have more.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// A line of an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The first one.
    Begin(Begin),
    /// A record.
    Record(Box<RecordLine>),
    /// A record that was retracted.
    Retracted(RetractedLine),
    /// The last one.
    End(End),
}

/// What an export is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The version of the format.
    pub version: u32,
    /// The home.
    pub home: HomeId,
    /// When it was made.
    pub at: Timestamp,
}

/// That an export is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The number of lines of records and retractions.
    pub lines: u64,
}

/// A record with all that its home has of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordLine {
    /// Its id.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The key it was recorded under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its fields.
    #[serde(flatten)]
    pub record: Record,
    /// Where it comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Its amendments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amended: Option<Amended>,
    /// Its page, relative to the home; empty where the line has none.
    #[serde(default)]
    pub path: String,
    /// The bytes of its page, if the fields make other ones: its owner wrote more in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// An experiment's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// A record that was retracted: an import keeps it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetractedLine {
    /// The record.
    pub id: RecordId,
    /// The revision of its retraction.
    pub revision: Revision,
    /// When it was retracted.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Why bytes are no line of an export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(pub String);

/// What a line says first.
#[derive(Serialize, Deserialize)]
struct Named {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    export: Option<Begin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retracted: Option<RetractedLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// [`BadLine`] says what is wrong.
    pub fn of_json(bytes: &[u8]) -> Result<Line, BadLine> {
        let bad = |error: serde_json::Error| BadLine(visible_line(&error.to_string()).into_owned());
        let not_a_record = match serde_json::from_slice::<RecordLine>(bytes) {
            Ok(line) => return Ok(Line::Record(Box::new(line))),
            Err(error) => bad(error),
        };
        match serde_json::from_slice::<Named>(bytes) {
            Ok(Named { export: Some(begin), retracted: None, end: None }) => Ok(Line::Begin(begin)),
            Ok(Named { export: None, retracted: Some(line), end: None }) => Ok(Line::Retracted(line)),
            Ok(Named { export: None, retracted: None, end: Some(end) }) => Ok(Line::End(end)),
            Ok(_) => Err(not_a_record),
            Err(error) => Err(bad(error)),
        }
    }

    /// The line as JSON, without a line feed.
    pub fn to_json(&self) -> Vec<u8> {
        let none = Named { export: None, retracted: None, end: None };
        let json = match self {
            Line::Begin(begin) => serde_json::to_vec(&Named { export: Some(*begin), ..none }),
            Line::Record(line) => serde_json::to_vec(line),
            Line::Retracted(line) => serde_json::to_vec(&Named { retracted: Some(line.clone()), ..none }),
            Line::End(end) => serde_json::to_vec(&Named { end: Some(*end), ..none }),
        };
        json.expect("a line is made of strings and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Learning, Origin};

    #[test]
    fn every_line_survives_its_json() {
        let id: RecordId = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".parse().expect("an id");
        let record = RecordLine {
            id,
            created_at: Timestamp::UNIX_EPOCH,
            key: Some("k".into()),
            record: Record::Failure(Learning { title: "t\u{1b}\n".into(), domain: "d".into(), ..Learning::default() }),
            provenance: Provenance { origin: Some(Origin::Person), ..Provenance::default() },
            amended: None,
            path: "memory/failures/x.md".into(),
            page: None,
            log: None,
        };
        let at = Timestamp::UNIX_EPOCH;
        for line in [
            Line::Begin(Begin { version: VERSION, home: HomeId::default(), at }),
            Line::Record(Box::new(record)),
            Line::Retracted(RetractedLine { id, revision: Revision::first(id), at, because: None }),
            Line::End(End { lines: 3 }),
        ] {
            let json = line.to_json();
            assert_eq!(Line::of_json(&json), Ok(line), "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn what_is_no_line_is_an_error_in_one_line() {
        for (json, says) in [
            (&b"{}"[..], "missing field"),
            (b"[1]", ""),
            (b"\xff", ""),
            (b"{\"export\":{}}", "missing field `version`"),
            (b"{\"id\":\"x\",\"kind\":\"failure\"}", ""),
        ] {
            let BadLine(text) = Line::of_json(json).expect_err("it is none");
            assert!(text.contains(says) && !text.contains('\n'), "{text}");
        }
    }
}
