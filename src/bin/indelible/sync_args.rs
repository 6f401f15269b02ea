//! The commands that sync with a git remote, as clap sees them.

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::cmd::complete;

#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Say to which git remote this home's records go, and try it
    #[command(after_help = "Example:\n  indelible remote add git@host:memory.git")]
    Remote {
        #[command(subcommand)]
        what: RemoteCommand,
    },
    /// Push what the remote lacks, merge what other homes pushed, and import it, once
    ///
    /// What the remote has refused is tried again. Exit codes: 0 all of it is on the remote; 75 try again later; 77 a person has to
    /// see to it: no access, or records that are held; 78 no remote, or not one that can be used.
    #[command(after_help = "Example:\n  indelible sync\n  indelible status --json | jq .sync")]
    Sync(SyncArgs),
    /// Commit what is pending, and push until the remote has acknowledged all of it (for the end of a container or a job)
    ///
    /// If it exits 0, every record from before the call is on the remote. Otherwise they are on this disk: 75 not all in time, 77
    /// some are held or there is no access, 78 no remote.
    #[command(after_help = "Example:\n  trap 'indelible drain --close --timeout 20' EXIT")]
    Drain(DrainArgs),
    /// Say where a record is: journal, file, row, commit, remote
    #[command(after_help = "Example:\n  indelible where 7e18e7c3 --check")]
    Where(WhereArgs),
}

#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Look at a git remote, say what would be published there, and use it from now on
    ///
    /// Any git remote does: a folder, ssh, https; how to log in, your own git decides. This home writes one reference there,
    /// `refs/indelible/hosts/<id>`, and no branch. It has to be one that strangers cannot read.
    #[command(
        after_help = "Examples:\n  indelible remote add git@host:memory.git\n  indelible remote add /srv/memory.git --yes"
    )]
    Add(RemoteAddArgs),
    /// Show the remote, and what it has of this home
    #[command(after_help = "Example:\n  indelible remote show")]
    Show,
    /// Ask the remote what it has, and whether it would take a push; nothing is changed
    #[command(after_help = "Example:\n  indelible remote test")]
    Test,
    /// Use no remote any more; the remote keeps what it has
    #[command(after_help = "Example:\n  indelible remote remove")]
    Remove,
}

#[derive(Debug, ClapArgs)]
pub struct RemoteAddArgs {
    /// The address, as git takes it
    #[arg(value_name = "URL")]
    pub url: String,
    /// Accept a remote that everybody can read
    #[arg(long)]
    pub public: bool,
    /// The full name of the reference that all lanes are merged into [default: what fits the remote]
    #[arg(long, value_name = "REF")]
    pub trunk: Option<String>,
    /// Merge and import nothing: the remote is a backup
    #[arg(long)]
    pub push_only: bool,
    /// Let this home join the group of homes whose trunk the remote has, if it belongs to another one: what it recorded goes there, too
    #[arg(long)]
    pub join: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, ClapArgs)]
pub struct SyncArgs {
    /// Push alone: merge and import nothing
    #[arg(long, conflicts_with = "fetch_only")]
    pub push_only: bool,
    /// Push nothing and merge nothing: import what others recorded, as far as the trunk has it
    #[arg(long, conflicts_with = "refill")]
    pub fetch_only: bool,
    /// Push all of it again to a remote that was emptied or recreated
    #[arg(long)]
    pub refill: bool,
    /// Seconds that it may take
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub struct DrainArgs {
    /// Seconds that it may take
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub timeout: u64,
    /// Say on the remote that no more is to come from here
    #[arg(long)]
    pub close: bool,
}

#[derive(Debug, ClapArgs)]
pub struct WhereArgs {
    /// The record: its id, the end of its id, or its path
    #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::ids))]
    pub id: String,
    /// Ask the remote now
    #[arg(long)]
    pub check: bool,
}
