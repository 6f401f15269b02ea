//! How serious a record is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;
use super::field::quoted;

/// From 1 (minor) to 5 (critical).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Severity(u8);

impl Severity {
    /// The default: 3, medium.
    pub const DEFAULT: Severity = Severity(3);
    /// Worth noting, and no more: 2, low.
    pub const LOW: Severity = Severity(2);
    /// Stands for the severity of records without one: 1.
    pub const LEAST: Severity = Severity(1);
    /// The words for severities.
    pub const WORDS: [(&'static str, Severity); 4] =
        [("low", Severity(2)), ("medium", Severity(3)), ("high", Severity(4)), ("critical", Severity(5))];

    /// The severity `number`.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 1 to 5.
    pub fn new(number: u8) -> Result<Severity, Invalid> {
        Some(Severity(number)).filter(|_| (1..=5).contains(&number)).ok_or_else(|| invalid(&number.to_string()))
    }

    /// 1 to 5.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Severity {
    fn default() -> Self {
        Severity::DEFAULT
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole number from 1 to 5 (`4`, `4.0`), or one of [`Severity::WORDS`] in any case.
impl FromStr for Severity {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = text.trim();
        let known = Severity::WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let number = || word.parse::<f64>().ok().filter(|it| it.fract() == 0.0 && (1.0..=5.0).contains(it));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 5, and whole")]
        let parsed = known.map(|(_, severity)| *severity).or_else(|| number().map(|number| Severity(number as u8)));
        parsed.ok_or_else(|| invalid(&quoted(text)))
    }
}

impl TryFrom<u8> for Severity {
    type Error = Invalid;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Severity::new(number)
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> u8 {
        severity.0
    }
}

fn invalid(given: &str) -> Invalid {
    Invalid::new("severity", format!("1 to 5, or low, medium, high, critical; {given} given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_reads_the_same_wherever_it_is_written() {
        for (text, number) in
            [("low", 2), ("medium", 3), (" HIGH ", 4), ("critical", 5), ("1", 1), ("4.0", 4), ("5e0", 5)]
        {
            assert_eq!(text.parse::<Severity>().map(Severity::get), Ok(number), "{text:?}");
        }
        for text in ["9", "0", "", "fatal", "3.5", "-1", "nan", "inf", "1e300"] {
            assert!(text.parse::<Severity>().is_err(), "{text:?}");
        }
        assert!(Severity::new(0).is_err() && Severity::new(6).is_err());
    }
}
