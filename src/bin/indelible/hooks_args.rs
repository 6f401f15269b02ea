//! The command line of `hooks`, as clap sees it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::args::path;

#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// Add our hooks to a host's settings; shows the change and asks (safe to repeat)
    ///
    /// Every other byte of the settings stays as it is, and a copy of them is kept beside them.
    #[command(
        after_help = "Example:\n  indelible hooks install claude\n  indelible hooks install codex --scope project --yes"
    )]
    Install(HooksArgs),
    /// Remove our hooks from a host's settings; shows the change and asks
    #[command(after_help = "Example:\n  indelible hooks uninstall claude")]
    Uninstall(HooksArgs),
    /// Show which hosts call indelible, and count what became of their events
    #[command(after_help = "Example:\n  indelible hooks status")]
    Status {
        /// The project, for hooks in its own settings
        #[arg(long, value_name = "DIR", value_parser = path())]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub struct HooksArgs {
    /// The host
    pub host: HostName,
    /// Whether for all your sessions, or for those in one project
    #[arg(long, value_enum, default_value_t = Scope::User)]
    pub scope: Scope,
    /// The project [default: this folder]
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub dir: Option<PathBuf>,
    /// When agents are told what was recorded [default: start,failure for a new installation, else as before]
    #[arg(long, value_enum, value_name = "WHEN", value_delimiter = ',')]
    pub context: Vec<ContextName>,
    /// Make the change without asking
    #[arg(long)]
    pub yes: bool,
    /// Only show the change
    #[arg(long)]
    pub dry_run: bool,
}

/// When agents are told what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContextName {
    /// When a session starts
    Start,
    /// When something fails that failed before
    Failure,
    /// When you ask for something that shares rare words with what was recorded
    Prompt,
    /// Never
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// All your sessions
    User,
    /// Sessions in one project
    Project,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostName {
    /// Claude Code
    Claude,
    /// Codex CLI
    Codex,
    /// Gemini CLI
    Gemini,
    /// Cursor
    Cursor,
    /// OpenCode
    Opencode,
}
