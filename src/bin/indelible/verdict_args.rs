//! The commands that say what became of a rule, as clap sees them.

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::ArgValueCandidates;
use indelible::model::Ruling;

use crate::cmd::complete;

#[derive(Debug, Subcommand)]
pub enum VerdictCommand {
    /// Say that a rule was followed and held
    ///
    /// It counts once in a session; without a session, once a day for each program and project. An agent's counts once a day in
    /// a project.
    #[command(after_help = "Example:\n  indelible validate 7e18e7c3 --because 'the build passed with it'")]
    Validate(VerdictArgs),
    /// Say that a rule did not hold, or was not followed
    #[command(after_help = "Example:\n  indelible violate 7e18e7c3 --because 'it broke the release'")]
    Violate(VerdictArgs),
    /// Make a rule golden; only a person can, at a terminal
    ///
    /// A golden rule comes first on its domain's page, and is told to agents unasked. No hook, script or agent can promote a
    /// rule: there, it exits 77 and nothing is recorded.
    ///
    /// In other projects than its own it is told only if its domain is `general`, or with --everywhere.
    #[command(after_help = "Examples:\n  indelible promote 7e18e7c3\n  indelible promote 7e18e7c3 --everywhere")]
    Promote {
        #[command(flatten)]
        verdict: VerdictArgs,
        /// Make it golden in all projects; without this, `promote` makes it golden in its own project alone again
        #[arg(long)]
        everywhere: bool,
    },
    /// Make a golden rule an ordinary one again
    #[command(after_help = "Example:\n  indelible demote 7e18e7c3 --because 'it is about version 1'")]
    Demote(VerdictArgs),
    /// Say that a rule does not count any more; it stays recorded
    #[command(after_help = "Example:\n  indelible retire 7e18e7c3 --because 'the tool is gone'")]
    Retire(VerdictArgs),
    /// Say that a retired rule counts again
    #[command(after_help = "Example:\n  indelible revive 7e18e7c3")]
    Revive(VerdictArgs),
    /// Show which rules need a person: what could be promoted, what is doubtful, what is there twice
    #[command(after_help = "Example:\n  indelible review\n  indelible review --json | jq '.eligible[].id'")]
    Review {
        /// The most rules of each sort; 0 is all of them
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
}

#[derive(Debug, ClapArgs)]
pub struct VerdictArgs {
    /// The rule: its id, the end of its id, or its path
    #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::rules))]
    pub id: String,
    /// Why, in markdown
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub because: Option<String>,
    /// The agent's session, or the code that it was told [or INDELIBLE_SESSION]
    #[arg(long, value_name = "SESSION", allow_hyphen_values = true)]
    pub session: Option<String>,
}

impl VerdictCommand {
    /// What it says of a rule, and of which; `None` for `review`.
    pub fn ruling(&self) -> Option<(Ruling, &VerdictArgs)> {
        Some(match self {
            VerdictCommand::Validate(args) => (Ruling::Validated, args),
            VerdictCommand::Violate(args) => (Ruling::Violated, args),
            VerdictCommand::Promote { verdict, everywhere: false } => (Ruling::Promoted, verdict),
            VerdictCommand::Promote { verdict, everywhere: true } => (Ruling::PromotedEverywhere, verdict),
            VerdictCommand::Demote(args) => (Ruling::Demoted, args),
            VerdictCommand::Retire(args) => (Ruling::Retired, args),
            VerdictCommand::Revive(args) => (Ruling::Revived, args),
            VerdictCommand::Review { .. } => return None,
        })
    }
}
