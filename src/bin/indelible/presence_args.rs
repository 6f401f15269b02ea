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
    /// Take records out of everything of this home, git's history included, for good
    ///
    /// For a secret that was recorded. Nothing brings an erased record back. It says what it cannot reach: clones, remotes,
    /// backups, branches of yours. It exits 0 once a search of the whole home found nothing left.
    #[command(after_help = "Examples:\n  indelible erase 7e18e7c3 --dry-run\n  indelible erase 7e18e7c3 --yes")]
    Erase(EraseArgs),
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

#[derive(Debug, ClapArgs)]
pub struct EraseArgs {
    /// The records: their ids, the ends of their ids, or their paths
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(complete::ids))]
    pub ids: Vec<String>,
    /// Only say what would go, and what is out of reach
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}
