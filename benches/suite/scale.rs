//! How large the homes are, and how often everything is run.

use std::time::Duration;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScaleName {
    /// Seconds a topic; shows that the benchmarks work
    Tiny,
    /// Up to 100,000 records
    Default,
    /// Up to 1,000,000 records
    Full,
}

/// What the topics are run with.
#[derive(Debug)]
pub struct Scale {
    pub name: &'static str,
    /// Whether it is the benchmarks that are tried, and nothing is said of the program.
    pub is_trial: bool,
    /// The sizes of homes, the smallest first.
    pub homes: &'static [usize],
    /// How many records are recorded by one process, recovered, and verified.
    pub bulk: &'static [usize],
    /// How many pending records are committed.
    pub drain: &'static [usize],
    /// How often what takes milliseconds is run.
    pub rounds: usize,
    /// How often what takes a tenth of a second is.
    pub slow_rounds: usize,
    /// How often what takes seconds is; see [`Scale::long_rounds_of`].
    pub long_rounds: usize,
    /// How long each rate of records is kept up.
    pub steady: Duration,
    /// How long an idle worker is watched.
    pub idle: Duration,
    /// How many records are committed in batches of 10.
    pub repository: usize,
}

impl Scale {
    /// How often what takes seconds for 100,000 records is run for so many: once, where it takes a minute.
    pub fn long_rounds_of(&self, records: usize) -> usize {
        if records > 100_000 { 1 } else { self.long_rounds }
    }
}

impl ScaleName {
    pub fn scale(self) -> Scale {
        match self {
            ScaleName::Tiny => Scale {
                name: "tiny",
                is_trial: true,
                homes: &[100, 1_000],
                bulk: &[100, 1_000],
                drain: &[10, 1_000],
                rounds: 20,
                slow_rounds: 3,
                long_rounds: 2,
                steady: Duration::from_secs(2),
                idle: Duration::from_secs(5),
                repository: 500,
            },
            ScaleName::Default => Scale {
                name: "default",
                is_trial: false,
                homes: &[1_000, 10_000, 100_000],
                bulk: &[1_000, 10_000, 100_000],
                drain: &[10, 1_000, 10_000, 100_000],
                rounds: 400,
                slow_rounds: 20,
                long_rounds: 3,
                steady: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                repository: 10_000,
            },
            ScaleName::Full => Scale {
                name: "full",
                is_trial: false,
                homes: &[1_000, 10_000, 100_000, 1_000_000],
                bulk: &[1_000, 10_000, 100_000, 1_000_000],
                drain: &[10, 1_000, 10_000, 100_000, 1_000_000],
                rounds: 400,
                slow_rounds: 20,
                long_rounds: 3,
                steady: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                repository: 100_000,
            },
        }
    }
}
