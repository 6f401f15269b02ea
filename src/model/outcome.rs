//! How an experiment ended.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;
use super::field::quoted;

/// How an experiment ended. The names are those that the framework's readers know as the row's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExperimentResult {
    /// The hypothesis held.
    Success,
    /// It did not.
    Failed,
    /// It cannot be said.
    Inconclusive,
}

impl ExperimentResult {
    /// All of them.
    pub const ALL: [ExperimentResult; 3] =
        [ExperimentResult::Success, ExperimentResult::Failed, ExperimentResult::Inconclusive];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            ExperimentResult::Success => "success",
            ExperimentResult::Failed => "failed",
            ExperimentResult::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for ExperimentResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ExperimentResult {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ExperimentResult::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(text.trim()));
        let names = || ExperimentResult::ALL.map(ExperimentResult::name).join(", ");
        known.ok_or_else(|| Invalid::new("result", format!("one of {}; {} given", names(), quoted(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_the_same_wherever_it_is_written() {
        for result in ExperimentResult::ALL {
            assert_eq!(result.name().to_uppercase().parse(), Ok(result));
            assert_eq!(serde_json::to_value(result).expect("it is text"), result.name());
        }
        let error = "ended".parse::<ExperimentResult>().expect_err("there is none");
        assert!(error.to_string().contains("success, failed, inconclusive"), "{error}");
    }
}
