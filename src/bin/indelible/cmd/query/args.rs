//! The flags of `query`: those of the framework's `query.py`, and `--task`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

// What is asked, and how it is answered. The first of these that is given is answered: validate, health-check, context,
// golden-rules, decisions, spikes, assumptions, invariants, domain, tags, recent, experiments, ceo-reviews, stats,
// violations, accountability-banner.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of query.py")]
pub struct QueryArgs {
    /// The home [default: --home, INDELIBLE_HOME, the nearest trusted home above this folder, or the data folder]
    #[arg(long, value_name = "DIR", value_parser = crate::args::path())]
    pub base_path: Option<PathBuf>,
    /// Build the context for an agent: golden rules, then what is relevant, then what is recent
    #[arg(long)]
    pub context: bool,
    /// How much of it: minimal (golden rules), standard, or deep (more of everything)
    #[arg(long, value_enum, default_value_t = Depth::Standard)]
    pub depth: Depth,
    /// The task that the context is for: what fits it comes first (query.py has no such flag)
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// Heuristics and learnings of a domain; with another question, only that domain
    #[arg(long)]
    pub domain: Option<String>,
    /// Learnings with one of these tags, separated by commas
    #[arg(long)]
    pub tags: Option<String>,
    /// The N newest learnings of the last two days
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub recent: Option<i64>,
    /// With --recent: only this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Active experiments
    #[arg(long)]
    pub experiments: bool,
    /// Pending CEO reviews
    #[arg(long)]
    pub ceo_reviews: bool,
    /// The golden rules
    #[arg(long)]
    pub golden_rules: bool,
    /// How many of everything there are
    #[arg(long)]
    pub stats: bool,
    /// A summary of the violations of golden rules
    #[arg(long)]
    pub violations: bool,
    /// With --violations: how many days back
    #[arg(long, value_name = "DAYS", default_value_t = 7, allow_negative_numbers = true)]
    pub violation_days: i64,
    /// The violations of the last 7 days in a frame
    #[arg(long)]
    pub accountability_banner: bool,
    /// Decisions on architecture
    #[arg(long)]
    pub decisions: bool,
    /// Spike reports
    #[arg(long)]
    pub spikes: bool,
    /// With --decisions: only this status
    #[arg(long, value_name = "STATUS", default_value = "accepted")]
    pub decision_status: String,
    /// Assumptions
    #[arg(long)]
    pub assumptions: bool,
    /// With --assumptions: only this status (active, verified, challenged, invalidated)
    #[arg(long, value_name = "STATUS", default_value = "active")]
    pub assumption_status: String,
    /// With --assumptions: only this confidence and higher
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, allow_negative_numbers = true)]
    pub min_confidence: f64,
    /// Invariants: what must always be true
    #[arg(long)]
    pub invariants: bool,
    /// With --invariants: only this status (active, deprecated, violated)
    #[arg(long, value_name = "STATUS", default_value = "active")]
    pub invariant_status: String,
    /// With --invariants: only this scope (codebase, module, function, runtime)
    #[arg(long, value_name = "SCOPE")]
    pub invariant_scope: Option<String>,
    /// With --invariants: only this severity (error, warning, info)
    #[arg(long, value_name = "SEVERITY")]
    pub invariant_severity: Option<String>,
    /// How many of each, at most 1000
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    pub limit: i64,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// With --context: its size, in tokens of 4 characters; at most 50000
    #[arg(long, value_name = "N", default_value_t = 5000, allow_negative_numbers = true)]
    pub max_tokens: i64,
    /// Say on stderr what is read
    #[arg(long)]
    pub debug: bool,
    /// How long to look, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true)]
    pub timeout: i64,
    /// Check the database
    #[arg(long)]
    pub validate: bool,
    /// Alerts and trends that the framework noted about itself
    #[arg(long)]
    pub health_check: bool,
}

/// How much a context has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Depth {
    /// Golden rules of the categories that are always loaded
    Minimal,
    /// Heuristics, learnings, decisions and more, up to 10 and 5 of each
    Standard,
    /// The same, up to 25 and 10 of each
    Deep,
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// JSON
    Json,
    /// CSV, for lists
    Csv,
}
