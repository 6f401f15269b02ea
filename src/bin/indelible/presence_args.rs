//! The commands that take records away and bring them back, as clap sees them.

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::cmd::complete;

#[derive(Debug, Subcommand)]
pub enum PresenceCommand {
    /// Take records out of files, rows, pages and search; git keeps them, and `restore` brings them back
    ///
    /// All of the records are retracted, or none. A record that is retracted already stays so.
    #[command(after_help = "Examples:\n  indelible retract 7e18e7c3 --because 'it was another build'\n  \
                            indelible list --state retracted")]
    Retract(RetractArgs),
    /// Bring retracted records back, with their rows, counts and verdicts
    ///
    /// All of the records are restored, or none. A record that is there already stays as it is.
    #[command(after_help = "Example:\n  indelible restore 7e18e7c3")]
    Restore(RestoreArgs),
}

#[derive(Debug, ClapArgs)]
pub struct RetractArgs {
    /// The records: their ids, the ends of their ids, or their paths
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(complete::ids))]
    pub ids: Vec<String>,
    /// Why; `list --state retracted` and git show it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub because: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct RestoreArgs {
    /// The records: their ids, the ends of their ids, or their former paths
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(complete::retracted))]
    pub ids: Vec<String>,
}
