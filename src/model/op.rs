//! Operations: what an entry of the journal can be, and the revision that decides among several of one record.
//!
//! - [`Op::Record`] makes a record. Its JSON is that of its [`Intent`], without `op`, as it has always been.
//! - Every other operation names its record by `of` and says by `op` what it is. It has no top-level `kind`, `files` or
//!   `created_at`, so a program that does not know it can never take it for a record.
//! - [`Revision`]s decide, not the journal's order: a store applies an operation only if its revision is greater than the
//!   one that the store has of the record. A duplicate, an entry that was appended twice and a replay change nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Intent, RecordId};

/// Which of a record's operations is the later one: the greater number, and of equal numbers the greater operation's id.
///
/// Displayed, parsed and serialised as `<number>:<operation's id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// One more than the greatest that the writer had seen of the record; 1 in the operation that made it.
    pub n: u64,
    /// The operation's id; in the operation that made the record, the record's.
    pub op: Uuid,
}

impl Revision {
    /// The greatest number that is taken for a revision's: no record is changed so often, and counting on never overflows.
    pub const N_MAX: u64 = 1 << 48;

    /// The revision of the operation that made the record `id`. A record from before there were revisions has it as well.
    pub fn first(id: RecordId) -> Revision {
        Revision { n: 1, op: id.0 }
    }

    /// The revision of a new operation on a record that is at `self`.
    pub fn next(self) -> Revision {
        Revision { n: self.n + 1, op: crate::random::timed_id() }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.op)
    }
}

/// A text that is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revision (number:operation): {0:?}")]
pub struct ParseRevisionError(String);

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (n, op) = text.split_once(':')?;
            let n = n.bytes().all(|byte| byte.is_ascii_digit()).then(|| n.parse().ok()).flatten()?;
            ((1..=Revision::N_MAX).contains(&n) && op.len() == 36).then_some(())?;
            Some(Revision { n, op: Uuid::try_parse(op).ok()? })
        };
        parse().ok_or_else(|| ParseRevisionError(text.chars().take(80).collect()))
    }
}

impl Serialize for Revision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How a record that is not as it was first recorded came to its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amended {
    /// The revision of the last amendment.
    pub revision: Revision,
    /// Every field that was ever amended, by its name, with the revision of the amendment that its value is from. Two
    /// amendments that did not know of each other are merged by it: of each field, the value with the greater revision stands.
    pub fields: BTreeMap<String, Revision>,
}

impl Amended {
    /// The fields as one line of text: `name=revision`, in the order of their names, with spaces between.
    pub fn fields_line(&self) -> String {
        let fields = self.fields.iter().map(|(name, revision)| format!("{name}={revision}"));
        fields.collect::<Vec<_>>().join(" ")
    }

    /// The fields in a line of [`Amended::fields_line`]. What is not one is left out.
    pub fn fields_of_line(line: &str) -> BTreeMap<String, Revision> {
        let field = |text: &str| {
            let (name, revision) = text.split_once('=')?;
            Some((name.to_owned(), revision.parse().ok()?))
        };
        line.split_ascii_whitespace().filter_map(field).collect()
    }
}

/// What an operation that is not a record's own says besides what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The record that it changes.
    pub of: RecordId,
    /// Its revision.
    pub revision: Revision,
    /// The revision that it was made from.
    pub base: Revision,
    /// When it was made, to the millisecond.
    pub at: Timestamp,
    /// The record's page when it was made, relative to the home; absent where its writer did not know the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// New content under a record's id and path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    /// Which record, and by which right.
    #[serde(flatten)]
    pub change: Change,
    /// The record as it is from then on: all its fields, which of them were ever amended, and its page alone as its file.
    pub record: Intent,
}

impl Amendment {
    /// Whether its parts are of one record and one revision, and it has a page.
    fn is_sound(&self) -> bool {
        let Amendment { change, record } = self;
        let revision = record.amended.as_ref().map(|amended| amended.revision);
        record.id == change.of && revision == Some(change.revision) && record.files.len() == 1
    }
}

/// What one entry of the journal does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Makes a record.
    Record(Box<Intent>),
    /// Gives a record new content.
    Amend(Box<Amendment>),
    /// Takes a record out of files, rows and pages. The history keeps it.
    Retract(Change),
    /// Brings a retracted record back.
    Restore(Change),
    /// Takes a record out of everything.
    Erase {
        /// The record.
        of: RecordId,
        /// The operation's revision.
        revision: Revision,
    },
}

/// The operations' names in the journal, in the order of [`Op`]'s variants; a record's own has none.
const AMEND: &str = "amend";
const RETRACT: &str = "retract";
const RESTORE: &str = "restore";
const ERASE: &str = "erase";

/// Why an entry's JSON is no operation that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownOp {
    /// It names an operation that a newer program knows.
    #[error("this version does not know the operation `{0}`: a newer one wrote it")]
    Name(String),
    /// It is neither a record nor an operation as they have to be.
    #[error("it is not an intent that this version knows: {0}")]
    Shape(String),
}

/// What an operation's JSON says first.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    op: Option<String>,
}

/// An operation's JSON, for all that have no content.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    op: String,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize, Deserialize)]
struct Erasure {
    of: RecordId,
    revision: Revision,
}

impl Op {
    /// The operation's name: `record`, `amend`, `retract`, `restore`, `erase`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Record(_) => "record",
            Op::Amend(_) => AMEND,
            Op::Retract(_) => RETRACT,
            Op::Restore(_) => RESTORE,
            Op::Erase { .. } => ERASE,
        }
    }

    /// The record that it is about.
    pub fn of(&self) -> RecordId {
        match self {
            Op::Record(intent) => intent.id,
            Op::Amend(amendment) => amendment.change.of,
            Op::Retract(change) | Op::Restore(change) => change.of,
            Op::Erase { of, .. } => *of,
        }
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        match self {
            Op::Record(intent) => intent.revision(),
            Op::Amend(amendment) => amendment.change.revision,
            Op::Retract(change) | Op::Restore(change) => change.revision,
            Op::Erase { revision, .. } => *revision,
        }
    }

    /// When it was made; `None` if it does not say.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Op::Record(intent) => Some(intent.created_at),
            Op::Amend(amendment) => Some(amendment.change.at),
            Op::Retract(change) | Op::Restore(change) => Some(change.at),
            Op::Erase { .. } => None,
        }
    }

    /// The intent of a record's own operation.
    pub fn intent(&self) -> Option<&Intent> {
        match self {
            Op::Record(intent) => Some(intent),
            Op::Amend(_) | Op::Retract(_) | Op::Restore(_) | Op::Erase { .. } => None,
        }
    }

    /// The intent of a record's own operation.
    pub fn into_intent(self) -> Option<Intent> {
        match self {
            Op::Record(intent) => Some(*intent),
            Op::Amend(_) | Op::Retract(_) | Op::Restore(_) | Op::Erase { .. } => None,
        }
    }

    /// The operation that an entry carries.
    ///
    /// # Errors
    /// [`UnknownOp`] for anything else.
    pub fn of_json(json: &[u8]) -> Result<Op, UnknownOp> {
        let shape = |error: serde_json::Error| UnknownOp::Shape(error.to_string());
        // Nearly every entry is a record's, so that is tried first: no other operation can be read as one.
        let not_a_record = match serde_json::from_slice::<Intent>(json) {
            Ok(intent) => return Ok(Op::Record(Box::new(intent))),
            Err(error) => shape(error),
        };
        match serde_json::from_slice::<Head>(json).ok().and_then(|head| head.op).as_deref() {
            None => Err(not_a_record),
            Some(AMEND) => {
                let Line::<Amendment> { body, .. } = serde_json::from_slice(json).map_err(shape)?;
                match body.is_sound() {
                    true => Ok(Op::Amend(Box::new(body))),
                    false => {
                        Err(UnknownOp::Shape("an amendment carries another record than the one that it is of".into()))
                    }
                }
            }
            Some(RETRACT) => serde_json::from_slice(json).map_err(shape).map(|it: Line<Change>| Op::Retract(it.body)),
            Some(RESTORE) => serde_json::from_slice(json).map_err(shape).map(|it: Line<Change>| Op::Restore(it.body)),
            Some(ERASE) => {
                let erase = |it: Line<Erasure>| Op::Erase { of: it.body.of, revision: it.body.revision };
                serde_json::from_slice(json).map_err(shape).map(erase)
            }
            Some(other) => Err(UnknownOp::Name(other.chars().take(40).collect())),
        }
    }

    /// The operation as an entry carries it.
    pub fn to_json(&self) -> Vec<u8> {
        fn line<T: Serialize>(op: &str, body: &T) -> serde_json::Result<Vec<u8>> {
            serde_json::to_vec(&Line { op: op.to_owned(), body })
        }
        let json = match self {
            Op::Record(intent) => serde_json::to_vec(intent),
            Op::Amend(amendment) => line(AMEND, amendment),
            Op::Retract(change) => line(RETRACT, change),
            Op::Restore(change) => line(RESTORE, change),
            Op::Erase { of, revision } => line(ERASE, &Erasure { of: *of, revision: *revision }),
        };
        json.expect("an operation is made of strings and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileImage, Learning, Provenance, Record};

    fn id(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    fn intent() -> Intent {
        let learning = Learning { title: "t".into(), domain: "d".into(), ..Learning::default() };
        Intent {
            id: id(7),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            record: Record::Failure(learning),
            provenance: Provenance::default(),
            amended: None,
            files: vec![FileImage { path: "memory/failures/x.md".into(), text: "x".into() }],
            from: None,
        }
    }

    fn amended(revision: Revision) -> Intent {
        let fields = BTreeMap::from([("title".to_owned(), revision)]);
        Intent { amended: Some(Amended { revision, fields }), ..intent() }
    }

    fn change(n: u64) -> Change {
        Change {
            of: id(7),
            revision: Revision { n, op: Uuid::from_u128(9) },
            base: Revision::first(id(7)),
            at: Timestamp::UNIX_EPOCH,
            path: Some("memory/failures/x.md".into()),
            because: Some("wrong".into()),
        }
    }

    fn all() -> [Op; 5] {
        let change = change(2);
        let amendment = Amendment { change: change.clone(), record: amended(change.revision) };
        [
            Op::Record(Box::new(intent())),
            Op::Amend(Box::new(amendment)),
            Op::Retract(change.clone()),
            Op::Restore(Change { path: None, because: None, ..change.clone() }),
            Op::Erase { of: id(7), revision: change.revision },
        ]
    }

    #[test]
    fn a_number_that_counting_on_could_overflow_is_no_revision() {
        let id = Uuid::nil();
        assert!(format!("{}:{id}", Revision::N_MAX).parse::<Revision>().is_ok());
        for n in [0, Revision::N_MAX + 1, u64::MAX] {
            assert!(format!("{n}:{id}").parse::<Revision>().is_err(), "{n}");
        }
    }

    #[test]
    fn every_operation_survives_its_json() {
        for op in all() {
            let json = op.to_json();
            assert_eq!(Op::of_json(&json), Ok(op), "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let [record, amend, retract, restore, erase] = all().map(|op| String::from_utf8(op.to_json()).expect("UTF-8"));
        assert_eq!(record.as_bytes(), serde_json::to_vec(&intent()).expect("an intent"), "a record's line has no `op`");
        let id = "00000000-0000-0000-0000-000000000007";
        let revision = r#""revision":"2:00000000-0000-0000-0000-000000000009""#;
        let change = format!(r#""of":"{id}",{revision},"base":"1:{id}","at":"1970-01-01T00:00:00Z""#);
        let (path, why) = (r#""path":"memory/failures/x.md""#, r#""because":"wrong""#);
        assert_eq!(retract, format!(r#"{{"op":"retract",{change},{path},{why}}}"#));
        assert_eq!(restore, format!(r#"{{"op":"restore",{change}}}"#));
        assert_eq!(erase, format!(r#"{{"op":"erase","of":"{id}",{revision}}}"#));
        let by = r#""amended":{"revision":"2:00000000-0000-0000-0000-000000000009","fields":{"title":"2:00000000-0000-0000-0000-000000000009"}},"files""#;
        let record = record.replace(r#""files""#, by);
        assert_eq!(amend, format!(r#"{{"op":"amend",{change},{path},{why},"record":{record}}}"#));
    }

    #[test]
    fn no_other_operation_can_be_read_as_a_record() {
        for op in &all()[1..] {
            let json: serde_json::Value = serde_json::from_slice(&op.to_json()).expect("JSON");
            for field in ["kind", "files", "created_at", "id"] {
                assert!(json.get(field).is_none(), "{} has a top-level {field}", op.name());
            }
            assert!(serde_json::from_value::<Intent>(json).is_err(), "{}", op.name());
        }
    }

    #[test]
    fn an_operation_that_is_not_known_is_named() {
        let unknown = br#"{"op":"frobnicate","of":"x"}"#;
        assert_eq!(Op::of_json(unknown), Err(UnknownOp::Name("frobnicate".into())));
        for json in [&b"{}"[..], b"{\"op\":\"retract\"}", b"[1]", b"{\"op\":7}"] {
            assert!(matches!(Op::of_json(json), Err(UnknownOp::Shape(_))), "{}", String::from_utf8_lossy(json));
        }
        let Op::Amend(mut other) = all()[1].clone() else { panic!("an amendment") };
        let mut old = other.clone();
        (other.record.id, old.record.amended) = (id(8), None);
        assert!(matches!(Op::of_json(&Op::Amend(old).to_json()), Err(UnknownOp::Shape(_))));
        assert!(matches!(Op::of_json(&Op::Amend(other).to_json()), Err(UnknownOp::Shape(_))));
    }

    #[test]
    fn amended_fields_survive_their_line() {
        let revision = |n| Revision { n, op: Uuid::from_u128(n.into()) };
        let fields = BTreeMap::from([("title".to_owned(), revision(2)), ("domain".to_owned(), revision(3))]);
        let amended = Amended { revision: revision(3), fields };
        assert_eq!(Amended::fields_of_line(&amended.fields_line()), amended.fields);
        assert_eq!(Amended::fields_of_line("x title=2 =  domain"), BTreeMap::new());
    }

    #[test]
    fn revisions_are_ordered_by_number_then_by_operation() {
        let revision = |n, op| Revision { n, op: Uuid::from_u128(op) };
        assert!(revision(1, 9) < revision(2, 1) && revision(2, 1) < revision(2, 2));
        assert!(Revision::first(id(7)).next() > Revision::first(id(7)));
        assert_eq!(revision(12, 3).to_string().parse(), Ok(revision(12, 3)));
        for text in
            ["", "1", "0:00000000-0000-0000-0000-000000000007", "+1:00000000-0000-0000-0000-000000000007", "1:x"]
        {
            assert!(text.parse::<Revision>().is_err(), "{text:?}");
        }
    }
}
