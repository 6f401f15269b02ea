//! What a record must be, judged before anything is written. Pure.

use super::Request;
use crate::intent::Record;
use crate::text::{shortened, visible_line};

/// The limits, in characters unless they say bytes.
pub mod limits {
    /// A title, a rule or an experiment's name.
    pub const HEADLINE_CHARS_MAX: usize = 500;
    /// A domain.
    pub const DOMAIN_CHARS_MAX: usize = 100;
    /// All tags of a record together.
    pub const TAGS_CHARS_MAX: usize = 500;
    /// Where a heuristic comes from.
    pub const SOURCE_CHARS_MAX: usize = 100;
    /// A key.
    pub const KEY_CHARS_MAX: usize = 500;
    /// A summary, an explanation, a hypothesis or a criterion, in bytes.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
}

/// A field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's name, as the command line and JSON spell it.
    pub field: &'static str,
    /// The limit, and what was given; one line.
    pub problem: String,
}

impl Invalid {
    /// The field `field` has `problem`.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Invalid {
        Invalid { field, problem: problem.into() }
    }
}

/// Checks every field of `request`.
///
/// # Errors
/// The first field that is not as it must be.
pub fn validate(request: &Request) -> Result<(), Invalid> {
    match &request.record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => {
            check("title", &it.title)?;
            check("domain", &it.domain)?;
            check("tags", &it.tags)?;
            check("summary", &it.summary)?;
            severity(it.severity)?;
        }
        Record::Heuristic(it) => {
            check("domain", &it.domain)?;
            check("rule", &it.rule)?;
            check("explanation", &it.explanation)?;
            check("source", &it.source)?;
            confidence(it.confidence)?;
        }
        Record::Experiment(it) => {
            check("name", &it.name)?;
            check("hypothesis", &it.hypothesis)?;
            check("success_criteria", &it.success_criteria)?;
            check("failure_criteria", &it.failure_criteria)?;
        }
    }
    request.key.as_deref().map_or(Ok(()), |key| check("key", key))
}

/// Checks one field that is text.
///
/// # Errors
/// What is not as it must be.
pub fn check(field: &'static str, text: &str) -> Result<(), Invalid> {
    use limits::{
        BODY_BYTES_MAX, DOMAIN_CHARS_MAX, HEADLINE_CHARS_MAX, KEY_CHARS_MAX, SOURCE_CHARS_MAX, TAGS_CHARS_MAX,
    };
    match field {
        "title" | "rule" | "name" => line(field, text, HEADLINE_CHARS_MAX),
        "domain" => line(field, text, DOMAIN_CHARS_MAX),
        "source" => line(field, text, SOURCE_CHARS_MAX),
        "key" => line(field, text, KEY_CHARS_MAX),
        "tags" => chars(field, text, TAGS_CHARS_MAX),
        "hypothesis" => body(field, text, BODY_BYTES_MAX).and_then(|()| not_blank(field, text)),
        _ => body(field, text, BODY_BYTES_MAX),
    }
}

fn line(field: &'static str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    not_blank(field, text)?;
    chars(field, text, chars_max)
}

fn not_blank(field: &'static str, text: &str) -> Result<(), Invalid> {
    match text.trim().is_empty() {
        false => Ok(()),
        true if text.is_empty() => Err(Invalid::new(field, "must not be empty")),
        true => Err(Invalid::new(field, format!("must not be blank; {} blank characters given", text.chars().count()))),
    }
}

fn chars(field: &'static str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    no_nul(field, text)?;
    let given = text.chars().count();
    let problem = || format!("at most {chars_max} characters; {given} given, beginning {}", quoted(text));
    (given <= chars_max).then_some(()).ok_or_else(|| Invalid::new(field, problem()))
}

fn body(field: &'static str, text: &str, bytes_max: usize) -> Result<(), Invalid> {
    no_nul(field, text)?;
    let problem = || format!("at most {bytes_max} bytes; {} given", text.len());
    (text.len() <= bytes_max).then_some(()).ok_or_else(|| Invalid::new(field, problem()))
}

fn no_nul(field: &'static str, text: &str) -> Result<(), Invalid> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(Invalid::new(field, format!("must not contain NUL; there is one at byte {at}"))),
    }
}

fn severity(given: u8) -> Result<(), Invalid> {
    let problem = || format!("1 to 5, or low, medium, high, critical; {given} given");
    (1..=5).contains(&given).then_some(()).ok_or_else(|| Invalid::new("severity", problem()))
}

fn confidence(given: f64) -> Result<(), Invalid> {
    let problem = || format!("0 to 1, or low, medium, high; {given} given");
    (0.0..=1.0).contains(&given).then_some(()).ok_or_else(|| Invalid::new("confidence", problem()))
}

/// The beginning of `text`, safe to show on one line.
fn quoted(text: &str) -> String {
    format!("\"{}\"", visible_line(&shortened(text, 40)))
}

/// A severity in digits or words: `low` is 2, `medium` 3, `high` 4, `critical` 5.
///
/// # Errors
/// Anything else.
pub fn parse_severity(text: &str) -> Result<u8, Invalid> {
    match text.trim().to_ascii_lowercase().as_str() {
        "low" => Ok(2),
        "medium" => Ok(3),
        "high" => Ok(4),
        "critical" => Ok(5),
        digits => {
            let number = digits.parse().ok().filter(|number| (1..=5).contains(number));
            let problem = || format!("1 to 5, or low, medium, high, critical; {} given", quoted(text));
            number.ok_or_else(|| Invalid::new("severity", problem()))
        }
    }
}

/// A confidence in digits or words: `low` is 0.3, `medium` 0.6, `high` 0.85.
///
/// # Errors
/// Anything else, infinities and what is not a number among it.
pub fn parse_confidence(text: &str) -> Result<f64, Invalid> {
    match text.trim().to_ascii_lowercase().as_str() {
        "low" => Ok(0.3),
        "medium" => Ok(0.6),
        "high" => Ok(0.85),
        digits => {
            let number = digits.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            let problem = || format!("0 to 1, or low, medium, high; {} given", quoted(text));
            number.ok_or_else(|| Invalid::new("confidence", problem()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::{Heuristic, Learning};

    fn failure() -> Learning {
        Learning { title: "t".into(), domain: "d".into(), severity: 3, tags: String::new(), summary: String::new() }
    }

    fn judge(it: Learning) -> Result<(), Invalid> {
        validate(&Request { record: Record::Failure(it), key: None })
    }

    #[test]
    fn limits_count_characters_and_are_inclusive() {
        assert_eq!(judge(Learning { title: "ä".repeat(500), ..failure() }), Ok(()));
        let error = judge(Learning { title: "ä".repeat(501), ..failure() }).expect_err("one too many");
        assert!(error.to_string().starts_with("title: at most 500 characters; 501 given"), "{error}");
        assert_eq!(judge(Learning { summary: "x".repeat(1 << 20), ..failure() }), Ok(()));
        assert!(judge(Learning { summary: "x".repeat((1 << 20) + 1), ..failure() }).is_err());
    }

    #[test]
    fn what_is_refused_names_its_field() {
        let cases = [
            ("title", Learning { title: " \t\n".into(), ..failure() }),
            ("title", Learning { title: "a\0b".into(), ..failure() }),
            ("domain", Learning { domain: String::new(), ..failure() }),
            ("tags", Learning { tags: "x".repeat(501), ..failure() }),
            ("severity", Learning { severity: 9, ..failure() }),
            ("summary", Learning { summary: "\0".into(), ..failure() }),
        ];
        for (field, it) in cases {
            assert_eq!(judge(it.clone()).map_err(|error| error.field), Err(field), "{it:?}");
        }
        let heuristic = |confidence| {
            let (domain, rule, source) = ("d".into(), "r".into(), "auto".into());
            Record::Heuristic(Heuristic { domain, rule, explanation: String::new(), source, confidence })
        };
        for confidence in [1.2, -0.1, f64::NAN, f64::INFINITY] {
            let judged = validate(&Request { record: heuristic(confidence), key: None });
            assert_eq!(judged.map_err(|error| error.field), Err("confidence"), "{confidence}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_was_given() {
        let error = judge(Learning { title: "\x1b[31m\n".repeat(200), ..failure() }).expect_err("too long");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }

    #[test]
    fn words_are_numbers() {
        assert_eq!(
            ["low", "medium", "HIGH", "critical", "1"].map(|text| parse_severity(text).ok()),
            [2, 3, 4, 5, 1].map(Some)
        );
        assert_eq!(
            ["low", "medium", "high", "1"].map(|text| parse_confidence(text).ok()),
            [0.3, 0.6, 0.85, 1.0].map(Some)
        );
        for text in ["9", "0", "", "fatal", "3.5", "-1"] {
            assert!(parse_severity(text).is_err(), "{text:?}");
        }
        for text in ["1.2", "nan", "inf", "", "sure"] {
            assert!(parse_confidence(text).is_err(), "{text:?}");
        }
    }
}
