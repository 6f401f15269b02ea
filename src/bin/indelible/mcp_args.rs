//! The command line of `mcp`, as clap sees it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::args::{HostName, Scope, path};

/// The server for agents, and its installation.
#[derive(Debug, Subcommand)]
pub enum McpCommands {
    /// Serve search, whole records and recording to an agent's host, by the Model Context Protocol on stdin and stdout
    ///
    /// A host starts it, once `mcp install` has put it into the host's settings. It speaks the protocol's revision 2026-07-28 and
    /// those from 2024-11-05 to 2025-11-25. It ends with its input, with the process that started it, or after `mcp.idle_s`.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  indelible mcp install claude\n  indelible mcp status"
    )]
    Mcp {
        #[command(subcommand)]
        what: Option<McpCommand>,
        /// Put there by `mcp install`, which finds it by this flag; it changes nothing
        #[arg(long, hide = true)]
        installed: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Add the server to a host's settings; shows the change and asks (safe to repeat)
    ///
    /// Every other byte of the settings stays as it is, and a copy of them is kept beside them. No program of the host is run.
    #[command(
        after_help = "Example:\n  indelible mcp install claude\n  indelible mcp install codex --scope project --yes"
    )]
    Install(McpArgs),
    /// Remove the server from a host's settings; shows the change and asks
    #[command(after_help = "Example:\n  indelible mcp remove claude")]
    Remove(McpArgs),
    /// Show which hosts have the server in their settings
    #[command(after_help = "Example:\n  indelible mcp status")]
    Status {
        /// The project, for servers in its own settings
        #[arg(long, value_name = "DIR", value_parser = path())]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub struct McpArgs {
    /// The host
    pub host: HostName,
    /// Whether for all your sessions, or for those in one project
    #[arg(long, value_enum, default_value_t = Scope::User)]
    pub scope: Scope,
    /// The project [default: this folder]
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub dir: Option<PathBuf>,
    /// Make the change without asking
    #[arg(long)]
    pub yes: bool,
    /// Only show the change
    #[arg(long)]
    pub dry_run: bool,
}
