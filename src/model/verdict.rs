//! What became of a record: whether a rule held, was broken, came again; who promoted or retired it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::field::quoted;
use super::{Invalid, RecordId};

/// What a verdict says of the record that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// The rule was followed, and held.
    Validated,
    /// The rule was followed and did not hold, or was not followed.
    Violated,
    /// The same was recorded again. Never a validation.
    Again,
    /// A person made it a golden rule, at a terminal.
    Promoted,
    /// A person made it a golden rule of all projects, at a terminal.
    #[serde(rename = "promoted-everywhere")]
    PromotedEverywhere,
    /// It is no golden rule any more.
    Demoted,
    /// It does not count any more.
    Retired,
    /// It counts again.
    Revived,
}

impl Ruling {
    /// All of them.
    pub const ALL: [Ruling; 8] = [
        Ruling::Validated,
        Ruling::Violated,
        Ruling::Again,
        Ruling::Promoted,
        Ruling::PromotedEverywhere,
        Ruling::Demoted,
        Ruling::Retired,
        Ruling::Revived,
    ];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Ruling::Validated => "validated",
            Ruling::Violated => "violated",
            Ruling::Again => "again",
            Ruling::Promoted => "promoted",
            Ruling::PromotedEverywhere => "promoted-everywhere",
            Ruling::Demoted => "demoted",
            Ruling::Retired => "retired",
            Ruling::Revived => "revived",
        }
    }

    /// Whether it makes a rule golden, which only a person can do.
    pub const fn is_promotion(self) -> bool {
        matches!(self, Ruling::Promoted | Ruling::PromotedEverywhere)
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Ruling {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Ruling::ALL.into_iter().find(|ruling| ruling.name().eq_ignore_ascii_case(text.trim()));
        let names = || Ruling::ALL.map(Ruling::name).join(", ");
        known.ok_or_else(|| Invalid::new("verdict", format!("one of {}; {} given", names(), quoted(text))))
    }
}

/// What was found of another record. [`FIELDS`](super::FIELDS) has the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it says.
    pub verdict: Ruling,
    /// The record that it is about.
    pub of: RecordId,
    /// Why, in markdown; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

/// A verdict about no record.
impl Default for Verdict {
    fn default() -> Self {
        Verdict { verdict: Ruling::Validated, of: RecordId(Uuid::nil()), because: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruling_reads_the_same_wherever_it_is_written() {
        for ruling in Ruling::ALL {
            assert_eq!(ruling.name().to_uppercase().parse(), Ok(ruling));
            assert_eq!(serde_json::to_value(ruling).expect("it is text"), ruling.name());
        }
        let error = "approved".parse::<Ruling>().expect_err("there is none");
        assert!(error.to_string().contains("promoted, promoted-everywhere, demoted"), "{error}");
    }
}
