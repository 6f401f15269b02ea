//! The command line of `service`, as clap sees it.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Install the service for this home and start it (safe to repeat)
    ///
    /// It is a systemd user unit on Linux, or an autostart entry of the desktop without systemd; a launchd agent on macOS; a
    /// batch file in the Startup folder on Windows. A file that indelible did not write is never overwritten. To run the
    /// worker before you log in and after you log out, run `loginctl enable-linger` once.
    #[command(after_help = "Example:\n  indelible service install\n  indelible service install --home ~/notes --print")]
    Install {
        /// The service manager [default: this system's]
        #[arg(long, value_enum, value_name = "MANAGER")]
        manager: Option<ManagerName>,
        /// Show the file and change nothing
        #[arg(long)]
        print: bool,
    },
    /// Stop the service of this home and remove it (safe to repeat)
    #[command(after_help = "Example:\n  indelible service uninstall")]
    Uninstall {
        /// The service manager [default: this system's]
        #[arg(long, value_enum, value_name = "MANAGER")]
        manager: Option<ManagerName>,
    },
    /// Show whether the service is installed, enabled and running, and which process has the worker's lock
    #[command(after_help = "Example:\n  indelible service status --json | jq .running")]
    Status {
        /// The service manager [default: this system's]
        #[arg(long, value_enum, value_name = "MANAGER")]
        manager: Option<ManagerName>,
    },
}

/// A service manager, or what a system has in place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagerName {
    /// systemd's user manager
    Systemd,
    /// launchd of macOS
    Launchd,
    /// The desktop's autostart folder
    Xdg,
    /// The Startup folder of Windows
    Startup,
}

impl std::fmt::Display for ManagerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ManagerName::Systemd => "systemd",
            ManagerName::Launchd => "launchd",
            ManagerName::Xdg => "xdg",
            ManagerName::Startup => "startup",
        })
    }
}
