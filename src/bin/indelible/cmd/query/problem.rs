//! Why a query has no answer, in `query.py`'s words and with its exit codes.

use indelible::framework::is_interrupted;
use indelible::model::text;
use indelible::target::index;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Debug)]
pub enum Problem {
    /// A value that no query can have.
    Invalid(String),
    /// It took longer than `--timeout`, or was stopped since that time was over.
    Timeout,
    /// The database could not be read.
    Database(index::Error),
    /// There is no home to read.
    NoHome(Failure),
}

impl From<index::Error> for Problem {
    fn from(error: index::Error) -> Problem {
        if is_interrupted(&error) { Problem::Timeout } else { Problem::Database(error) }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem::NoHome(failure)
    }
}

impl Problem {
    /// Writes it to stderr. Returns the exit code, or the failure that every command has.
    pub fn say(self, timeout: i64, as_json: bool) -> Result<Exit, Failure> {
        let mut hint = None;
        let (exit, line) = match self {
            Problem::NoHome(failure) => return Err(failure),
            Problem::Invalid(why) => (Exit::Disagreement, format!("VALIDATION ERROR: {why} [QS001]")),
            Problem::Timeout => {
                let what = format!("Query timed out after {timeout} seconds");
                let advice = "Try reducing --limit or increasing --timeout.";
                (Exit::Timeout, format!("TIMEOUT ERROR: {what}. {advice} [QS003]"))
            }
            Problem::Database(error) => {
                hint = error.is_lost().then_some("`indelible recover` brings it back");
                (Exit::Database, format!("DATABASE ERROR: {} [QS002]", text::chain(&error)))
            }
        };
        if as_json {
            let hint = hint.map(str::to_owned);
            output::failure(&Failure { hint, ..Failure::new(exit, line) }, true);
            return Ok(exit);
        }
        output::say(&line);
        if let Some(hint) = hint {
            output::say(&format!("hint: {}", output::hint(hint)));
        }
        Ok(exit)
    }
}

/// A text that is an answer as it is, such as a context, as JSON.
pub fn json_of(text: &str) -> serde_json::Value {
    json!({ "text": text })
}
