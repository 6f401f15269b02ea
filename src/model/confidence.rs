//! How sure a rule is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;
use super::field::quoted;

/// From 0 (a guess) to 1 (certain).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence(f64);

impl Confidence {
    /// The default: 0.5.
    pub const DEFAULT: Confidence = Confidence(0.5);
    /// The words for confidences.
    pub const WORDS: [(&'static str, Confidence); 3] =
        [("low", Confidence(0.3)), ("medium", Confidence(0.6)), ("high", Confidence(0.85))];

    /// The confidence `number`.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 0 to 1.
    pub fn new(number: f64) -> Result<Confidence, Invalid> {
        let within = (0.0..=1.0).contains(&number);
        within.then_some(Confidence(number)).ok_or_else(|| invalid(&number.to_string()))
    }

    /// 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Confidence {
    fn default() -> Self {
        Confidence::DEFAULT
    }
}

/// The shortest form that reads back as the same number. YAML 1.1 wants a point even where there is an exponent.
impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = format!("{:?}", self.0);
        match shown.split_once('e') {
            Some((digits, exponent)) if !digits.contains('.') => write!(f, "{digits}.0e{exponent}"),
            _ => f.write_str(&shown),
        }
    }
}

/// A number from 0 to 1, or one of [`Confidence::WORDS`] in any case.
impl FromStr for Confidence {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = text.trim();
        let known = Confidence::WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let number = || word.parse().ok().filter(|number| (0.0..=1.0).contains(number)).map(Confidence);
        known.map(|(_, confidence)| *confidence).or_else(number).ok_or_else(|| invalid(&quoted(text)))
    }
}

impl TryFrom<f64> for Confidence {
    type Error = Invalid;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        Confidence::new(number)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> f64 {
        confidence.0
    }
}

fn invalid(given: &str) -> Invalid {
    Invalid::new("confidence", format!("0 to 1, or low, medium, high; {given} given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_reads_the_same_wherever_it_is_written() {
        for (text, number) in [("low", 0.3), ("Medium", 0.6), (" high ", 0.85), ("1", 1.0), ("0", 0.0), (".5", 0.5)] {
            assert_eq!(text.parse::<Confidence>().map(Confidence::get), Ok(number), "{text:?}");
        }
        for text in ["1.2", "-0.1", "nan", "inf", "", "sure", "85%"] {
            assert!(text.parse::<Confidence>().is_err(), "{text:?}");
        }
        for number in [1.2, -0.1, f64::NAN, f64::INFINITY] {
            assert!(Confidence::new(number).is_err(), "{number}");
        }
    }

    #[test]
    fn its_text_is_yaml_and_reads_back_to_the_last_bit() {
        for number in [0.0, 1.0, 0.85, 1e-7, 0.368_243_420_026_025_17] {
            let confidence = Confidence(number);
            let text = confidence.to_string();
            assert!(text.contains('.'), "{text}");
            assert_eq!(text.parse(), Ok(confidence));
        }
    }
}
