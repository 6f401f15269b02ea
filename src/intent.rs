//! What is recorded: the nouns that every layer shares. No I/O.
//!
//! A [`Record`] is what somebody wants kept; an [`Intent`] is the record with everything decided: its id, its time, its
//! paths and the final bytes of its files. Applying an intent again can only produce the same thing.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::random;

/// A record's name for ever: a UUIDv7, or a UUIDv5 of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub Uuid);

impl RecordId {
    /// A new id: the clock and 74 random bits.
    pub fn new() -> Self {
        RecordId(random::timed_id())
    }

    /// The id that every repeat of `key` has in the home `home`.
    pub fn of_key(home: Uuid, key: &str) -> Self {
        RecordId(Uuid::new_v5(&home, key.as_bytes()))
    }

    /// The last 8 hex digits, which name the record in its path (the first 8 of a UUIDv7 stand still for 65 s).
    pub fn short(self) -> String {
        format!("{:08x}", self.0.as_u128() as u32)
    }
}

impl Default for RecordId {
    fn default() -> Self {
        RecordId::new()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RecordId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(RecordId)
    }
}

/// The five kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something that went wrong.
    Failure,
    /// Something that worked.
    Success,
    /// Something noticed.
    Observation,
    /// A rule of thumb.
    Heuristic,
    /// An experiment under way.
    Experiment,
}

impl Kind {
    /// All kinds, in the order of their pages.
    pub const ALL: [Kind; 5] = [Kind::Failure, Kind::Success, Kind::Observation, Kind::Heuristic, Kind::Experiment];

    /// The kind's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Failure => "failure",
            Kind::Success => "success",
            Kind::Observation => "observation",
            Kind::Heuristic => "heuristic",
            Kind::Experiment => "experiment",
        }
    }

    /// The folder, relative to the home, that all files of this kind lie beneath.
    pub const fn folder(self) -> &'static str {
        match self {
            Kind::Failure => "memory/failures",
            Kind::Success => "memory/successes",
            Kind::Observation => "memory/observations",
            Kind::Heuristic => "memory/heuristics",
            Kind::Experiment => "experiments/active",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("not a kind of record: {text:?}"))
    }
}

/// What somebody wants kept: the fields, exactly as given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A failure.
    Failure(Learning),
    /// A success.
    Success(Learning),
    /// An observation.
    Observation(Learning),
    /// A heuristic.
    Heuristic(Heuristic),
    /// An experiment.
    Experiment(Experiment),
}

/// A failure, a success or an observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// One line, up to 500 characters.
    pub title: String,
    /// What it is about, up to 100 characters.
    pub domain: String,
    /// 1 (minor) to 5 (critical).
    pub severity: u8,
    /// Comma-separated, up to 500 characters in all; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// The whole story in markdown, up to 1 MiB; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// A rule of thumb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heuristic {
    /// What it is about, up to 100 characters.
    pub domain: String,
    /// One line, up to 500 characters.
    pub rule: String,
    /// Why, in markdown, up to 1 MiB; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// Where it comes from: `failure`, `success`, `observation` or `auto`.
    pub source: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// An experiment under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// One line, up to 500 characters.
    pub name: String,
    /// What is believed, in markdown, up to 1 MiB.
    pub hypothesis: String,
    /// When it counts as confirmed, up to 1 MiB; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub success_criteria: String,
    /// When it counts as refuted, up to 1 MiB; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure_criteria: String,
}

impl Record {
    /// Which of the five it is.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Failure(_) => Kind::Failure,
            Record::Success(_) => Kind::Success,
            Record::Observation(_) => Kind::Observation,
            Record::Heuristic(_) => Kind::Heuristic,
            Record::Experiment(_) => Kind::Experiment,
        }
    }

    /// The one line that names it: title, rule or name.
    pub fn headline(&self) -> &str {
        match self {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => &it.title,
            Record::Heuristic(it) => &it.rule,
            Record::Experiment(it) => &it.name,
        }
    }

    /// How urgent its commit is, 1 to 5.
    pub fn severity(&self) -> u8 {
        match self {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => it.severity,
            Record::Heuristic(_) | Record::Experiment(_) => 1,
        }
    }
}

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
    /// Its files; the first is the record's own page.
    pub files: Vec<FileImage>,
}

impl Intent {
    /// The path that answers "where is it": the page, or an experiment's folder.
    pub fn path(&self) -> &str {
        let page = self.files.first().map_or("", |file| file.path.as_str());
        match self.record.kind() {
            Kind::Experiment => page.rsplit_once('/').map_or(page, |(folder, _)| folder),
            _ => page,
        }
    }
}

/// Why a path cannot be a record's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path that a record can have beneath the home")]
pub struct BadPath {
    /// The path as it was given.
    pub path: String,
}

/// Checks that `path` stays beneath the home and in a record's place: relative, plain parts only, under `memory/` or
/// `experiments/`, and no more than 1024 bytes.
///
/// # Errors
/// [`BadPath`] for anything else; a journal line from elsewhere is judged by this before it is applied.
pub fn check_path(path: &str) -> Result<(), BadPath> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', ':']) && part.len() <= 255;
    let rooted = path.starts_with("memory/") || path.starts_with("experiments/");
    let fine = rooted && path.len() <= 1024 && path.ends_with(".md") && path.split('/').all(plain);
    fine.then_some(()).ok_or_else(|| BadPath { path: path.chars().take(200).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_id_is_the_end_of_the_long_one() {
        let id = RecordId::new();
        assert!(id.to_string().ends_with(&id.short()));
    }

    /// The number is one that a fast reading of JSON gets wrong in its last bit: the row would be another after a replay.
    #[test]
    fn an_intent_survives_its_line_to_the_last_bit() {
        let confidence = 0.368_243_420_026_025_17;
        let text = String::new;
        let it = Heuristic { domain: text(), rule: text(), explanation: text(), source: text(), confidence };
        let record = Record::Heuristic(it);
        let intent =
            Intent { id: RecordId::new(), created_at: Timestamp::UNIX_EPOCH, key: None, record, files: Vec::new() };
        let line = serde_json::to_vec(&intent).expect("an intent is made of strings and numbers");
        assert_eq!(serde_json::from_slice::<Intent>(&line).expect("it was just written"), intent);
    }

    #[test]
    fn one_key_is_one_id_in_one_home() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(RecordId::of_key(here, "k"), RecordId::of_key(here, "k"));
        assert_ne!(RecordId::of_key(here, "k"), RecordId::of_key(there, "k"));
        assert_ne!(RecordId::of_key(here, "k"), RecordId::of_key(here, "l"));
    }

    #[test]
    fn paths_that_leave_the_home_are_refused() {
        assert_eq!(check_path("memory/failures/2026/01/02/x-00000000.md"), Ok(()));
        let bad = [
            "",
            "/etc/x.md",
            "memory/../x.md",
            "memory//x.md",
            "memory/./x.md",
            ".indelible/x.md",
            "memory\\x.md",
            "memory/x",
            "memory/a\0.md",
            "memory",
            "memory/c:x.md",
        ];
        for path in bad {
            assert!(check_path(path).is_err(), "{path:?} was let through");
        }
    }
}
