//! An intent: a record with everything decided. Applying one again can only produce the same thing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Amended, HomeId, Provenance, Record, RecordId, RecordPath, Request, Revision};

/// One file of a record, as it will be on disk and in git.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileImage {
    /// Relative to the home, `/` between its parts, none of which is `.`, `..` or empty.
    pub path: String,
    /// Every byte of it.
    pub text: String,
}

/// A record with everything decided. One line of the journal holds one of these as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The record's id.
    pub id: RecordId,
    /// When it was recorded, to the millisecond.
    pub created_at: Timestamp,
    /// The key it was recorded under, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its fields, which the row is made of.
    #[serde(flatten)]
    pub record: Record,
    /// Where it comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// How it came to its content, if that is not as it was first recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amended: Option<Amended>,
    /// Its files; the first is the record's own page.
    pub files: Vec<FileImage>,
    /// Where it came from, if another home recorded it. Its history is not this home's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<Source>>,
}

/// Where a record of another home came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The other home; `None` if its commits do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeId>,
    /// The lane on which it brought the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Uuid>,
    /// The commit of the trunk in which it was found.
    pub commit: String,
}

impl Intent {
    /// The revision of its content.
    pub fn revision(&self) -> Revision {
        self.amended.as_ref().map_or(Revision::first(self.id), |amended| amended.revision)
    }

    /// What was asked to be recorded.
    pub fn request(&self) -> Request {
        Request { record: self.record.clone(), key: self.key.clone(), provenance: self.provenance.clone() }
    }

    /// The path that answers "where is it": the page, or an experiment's folder.
    pub fn path(&self) -> &str {
        let page = self.files.first().map_or("", |file| file.path.as_str());
        RecordPath(page).shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Confidence, Heuristic};

    /// The number is one that a fast reading of JSON gets wrong in its last bit: the row would be another after a replay.
    #[test]
    fn an_intent_survives_its_line_to_the_last_bit() {
        let confidence = Confidence::new(0.368_243_420_026_025_17).expect("it is 0 to 1");
        let record = Record::Heuristic(Heuristic { confidence, ..Heuristic::default() });
        let intent = Intent {
            id: RecordId::new(),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            record,
            provenance: Provenance { project: Some("x/y".into()), ..Provenance::default() },
            amended: None,
            files: Vec::new(),
            from: Some(Box::new(Source { home: Some(HomeId::default()), lane: None, commit: "c".into() })),
        };
        let line = serde_json::to_vec(&intent).expect("an intent is made of strings and numbers");
        assert_eq!(serde_json::from_slice::<Intent>(&line).expect("it was just written"), intent);
    }
}
