//! The kinds of record.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layout;

/// The six kinds of record.
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
    /// An experiment, under way or ended.
    Experiment,
    /// What became of another record: a rule held, was broken, came again.
    Verdict,
}

impl Kind {
    /// All kinds, in the order of their pages.
    pub const ALL: [Kind; 6] =
        [Kind::Failure, Kind::Success, Kind::Observation, Kind::Heuristic, Kind::Experiment, Kind::Verdict];
    /// The kinds of what was learned: all but the verdicts, which are about one of these.
    pub const LEARNED: [Kind; 5] = [Kind::Failure, Kind::Success, Kind::Observation, Kind::Heuristic, Kind::Experiment];
    /// The kinds that are told as a title and a summary, and share a table.
    pub const LEARNINGS: [Kind; 3] = [Kind::Failure, Kind::Success, Kind::Observation];

    /// The kind's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Failure => "failure",
            Kind::Success => "success",
            Kind::Observation => "observation",
            Kind::Heuristic => "heuristic",
            Kind::Experiment => "experiment",
            Kind::Verdict => "verdict",
        }
    }

    /// The name of several of it.
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::Failure => "failures",
            Kind::Success => "successes",
            Kind::Observation => "observations",
            Kind::Heuristic => "heuristics",
            Kind::Experiment => "experiments",
            Kind::Verdict => "verdicts",
        }
    }

    /// The folder, relative to the home, that all files of this kind lie beneath.
    pub const fn folder(self) -> &'static str {
        match self {
            Kind::Failure => layout::FAILURES,
            Kind::Success => layout::SUCCESSES,
            Kind::Observation => layout::OBSERVATIONS,
            Kind::Heuristic => layout::HEURISTICS,
            Kind::Experiment => layout::EXPERIMENTS_ACTIVE,
            Kind::Verdict => layout::VERDICTS,
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
