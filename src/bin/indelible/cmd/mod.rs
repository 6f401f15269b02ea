//! One file for each command.

mod adopt;
mod autostart;
mod batch;
mod config;
mod demo;
mod flush;
mod hook;
mod hooks;
mod init;
mod manual;
mod record;
mod recover;
mod release;
mod repair;
mod service;
mod status;
mod sync_report;
mod verify;
mod worker;

use indelible::home::Home;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};
use crate::settings::{self, Settings};

/// What every command gets.
pub struct Context {
    pub home: Option<std::path::PathBuf>,
    pub json: bool,
    pub overrides: Vec<String>,
}

impl Context {
    /// The path of the home that is meant.
    pub fn home_path(&self) -> Result<std::path::PathBuf, Failure> {
        settings::home(self.home.as_deref())
    }

    /// The home that is meant, open, for a command that was to do `what`.
    pub fn open(&self, what: &str) -> Result<Home, Failure> {
        let path = self.home_path()?;
        Home::open(&path).map_err(|error| Failure::of(what, &error))
    }

    /// The settings of `home`.
    pub fn settings(&self, home: &Home) -> Result<Settings, Failure> {
        Settings::of(home.dir(), &self.overrides)
    }
}

/// A failure to adopt a home, or to give one back.
fn not_on_windows() -> Failure {
    let why = "a folder cannot be put aside there while files in it are open, so a home could not be given back";
    Failure::new(Exit::Usage, "homes are neither adopted nor released on Windows").because(&std::io::Error::other(why))
}

/// Runs the command that `args` name.
///
/// # Errors
/// Whatever kept it from doing what it was asked.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let context = Context { home: args.home, json: args.json, overrides: args.set };
    if !matches!(args.command, Command::Worker { .. }) {
        crate::logging::start_if_asked();
    }
    match args.command {
        Command::Adopt { .. } | Command::Release { .. } if cfg!(windows) => Err(not_on_windows()),
        Command::Init { dir } => init::run(&context, dir),
        Command::Adopt { asked, scripts, repair } => adopt::run(&context, &asked, scripts, repair),
        Command::Release { asked, remove } => release::run(&context, &asked, remove),
        Command::Record { what, redact } => record::run(&context, what, redact),
        Command::Worker { detach: true, .. } => worker::detach(&context),
        Command::Worker { stop: true, timeout, .. } => worker::stop(&context, timeout),
        Command::Worker { log, .. } => worker::run(&context, log),
        Command::Service { what } => service::run(&context, &what),
        Command::Config { what } => config::run(&context, &what),
        Command::Flush { timeout } => flush::run(&context, timeout),
        Command::Recover { timeout } => recover::run(&context, timeout),
        Command::Verify => verify::run(&context),
        Command::Repair { dismiss, timeout } => repair::run(&context, dismiss, timeout),
        Command::Status { check } => status::run(&context, check),
        Command::SyncReport { fix, verbose } => sync_report::run(&context, fix, verbose),
        Command::Hook(args) => Ok(hook::run(&context, &args)),
        Command::Hooks { what } => hooks::run(&context, what),
        Command::Demo { keep } => demo::run(&context, keep),
        Command::Completions { shell, to } => manual::completions(&context, shell, &to),
        Command::Man { dir, to } => manual::man(&context, dir.as_deref(), &to),
    }
}
