//! One file for each command.

mod adopt;
mod amend;
mod autostart;
mod batch;
pub mod complete;
mod config;
mod context;
mod cost;
mod demo;
mod dialogue;
mod edit;
mod erase;
mod export;
mod flush;
mod hook;
mod hooks;
mod import;
mod init;
mod judge;
mod list;
mod logs;
mod manual;
mod mcp;
mod outcome;
mod page;
mod presence;
pub mod query;
mod recall;
mod record;
mod recover;
mod release;
mod repair;
mod review;
mod revising;
mod search;
mod service;
mod show;
mod status;
mod sync;
mod sync_report;
mod trust;
mod unapplied;
mod verify;
mod watch;
mod worker;

use std::cell::OnceCell;
use std::path::PathBuf;

use indelible::home::Home;
use indelible::model::text;
use indelible::trust::Passed;

use crate::args::{Args, Command};
use crate::backup_args::BackupCommand;
use crate::exit::{Exit, Failure};
use crate::mcp_args::McpCommands;
use crate::output;
use crate::settings::Settings;
use crate::user;
use crate::verdict_args::VerdictCommand;
use crate::which::{self, By, Meant};

/// The context of every command.
pub struct Context {
    pub home: Option<PathBuf>,
    pub json: bool,
    pub overrides: Vec<String>,
    /// Whether nothing is written to stderr, because hosts show it to people.
    pub quiet: bool,
    /// The home that the command uses, once it was looked up.
    meant: OnceCell<Meant>,
}

impl Context {
    /// A context that looks its home up again, and says nothing about it: for a process that serves many calls.
    pub fn for_another_call(&self) -> Context {
        let (home, overrides) = (self.home.clone(), self.overrides.clone());
        Context { home, json: false, overrides, quiet: true, meant: OnceCell::new() }
    }

    /// The home that the command uses. The first call reports skipped homes.
    pub fn meant(&self) -> Result<&Meant, Failure> {
        if let Some(meant) = self.meant.get() {
            return Ok(meant);
        }
        let meant = which::meant(self.home.as_deref())?;
        if !self.quiet {
            if let Some((path, reason)) = meant.passed.first() {
                output::note(&which::passed_by(path, reason));
            }
            if let Some(from) = &meant.moved_from {
                let (from, to) = (text::path(from), text::path(&meant.path));
                output::note(&format!(
                    "the home at {to} was at {from} before; you trusted it there, so it is used here"
                ));
            }
        }
        Ok(self.meant.get_or_init(|| meant))
    }

    /// The path of the home that the command uses.
    pub fn home_path(&self) -> Result<PathBuf, Failure> {
        self.meant().map(|meant| meant.path.clone())
    }

    /// Names the home on stderr before it is changed, unless the command line names it, or a program reads what is said.
    pub fn name_home(&self) -> Result<(), Failure> {
        let meant = self.meant()?;
        if meant.by != By::Flag && !self.json {
            output::note(&format!("home: {} ({})", text::path(&meant.path), meant.by.words()));
        }
        Ok(())
    }

    /// Counts `records` for the skipped home, if there is one: they were made within it.
    pub fn count_passed(&self, records: usize) {
        let passed = self.meant.get().and_then(|meant| meant.passed.first());
        if let (Some((path, _)), Some(state)) = (passed, user::state_folder()) {
            let _ = Passed::add(&state, path, records as u64);
        }
    }

    /// A report about the skipped home, if there is one and records were made within it.
    pub fn told_of_passed(&self) -> Option<String> {
        let (path, _) = self.meant.get()?.passed.first()?;
        let records = Passed::read(&user::state_folder()?).of(path);
        (records > 0).then(|| which::told_of_passed(path, records))
    }

    /// Opens the home that the command uses. `what` says what is not done if that fails.
    pub fn open(&self, what: &str) -> Result<Home, Failure> {
        let path = self.home_path()?;
        Home::open(&path).map_err(|error| Failure::of(what, &error))
    }

    /// The settings of `home`.
    pub fn settings(&self, home: &Home) -> Result<Settings, Failure> {
        Settings::of(home, &self.overrides)
    }
}

/// The failure of `adopt` and `release` on Windows.
fn not_on_windows() -> Failure {
    let why = "a folder cannot be put aside there while files in it are open, so a home could not be given back";
    Failure::new(Exit::Usage, "homes are neither adopted nor released on Windows").because(&std::io::Error::other(why))
}

/// Runs the command that `args` name.
///
/// # Errors
/// Why the command did not do what it was asked.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let quiet = matches!(args.command, Command::Hook(_) | Command::Complete(_));
    let context = Context { home: args.home, json: args.json, overrides: args.set, quiet, meant: OnceCell::new() };
    if !matches!(args.command, Command::Worker { .. }) {
        crate::logging::start_if_asked();
    }
    match args.command {
        Command::Hook(args) => Ok(hook::run(&context, &args)),
        Command::Record { what, redact } => record::run(&context, what, redact),
        command => dispatch(&context, command),
    }
}

/// Runs what is neither `hook` nor `record`. It is a function of its own, not inlined: with all commands within, each recorder would
/// touch the pages of a stack that only the largest of them needs.
#[inline(never)]
fn dispatch(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Adopt { .. } | Command::Release { .. } if cfg!(windows) => Err(not_on_windows()),
        Command::Init { dir, from } => init::run(context, dir, from.as_deref()),
        Command::Adopt { asked, scripts, repair } => adopt::run(context, &asked, scripts, repair),
        Command::Release { asked, remove } => release::run(context, &asked, remove),
        Command::Amend(args) => amend::run(context, args),
        Command::Edit(args) => edit::run(context, &args),
        Command::Worker { detach: true, .. } => worker::detach(context),
        Command::Worker { stop: true, timeout, .. } => worker::stop(context, timeout),
        Command::Worker { log, .. } => worker::run(context, log),
        Command::Service { what } => service::run(context, &what),
        Command::Config { what } => config::run(context, &what),
        Command::Flush { timeout } => flush::run(context, timeout),
        Command::Recover { timeout } => recover::run(context, timeout),
        Command::Verify { remote } => verify::run(context, remote),
        Command::Repair { dismiss, timeout } => repair::run(context, dismiss, timeout),
        Command::Status { check, metrics } => status::run(context, check, metrics),
        Command::Cost { since } => cost::run(context, since.as_deref()),
        Command::Watch => watch::run(context),
        Command::Logs { follow, lines } => logs::run(context, follow, lines),
        Command::List(args) => list::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Search(args) => search::run(context, &args),
        Command::Recall(args) => recall::run(context, &args),
        Command::Context(args) => context::run(context, &args),
        Command::Verdict(VerdictCommand::Review { limit }) => review::run(context, limit),
        Command::Verdict(verdict) => match verdict.ruling() {
            Some((ruling, args)) => judge::run(context, ruling, args),
            None => Ok(Exit::Done),
        },
        Command::Backup(BackupCommand::Export(args)) => export::run(context, &args),
        Command::Backup(BackupCommand::Import(args)) => import::run(context, &args),
        Command::Backup(BackupCommand::Page(args)) => page::run(context, &args),
        Command::Presence(command) => presence::run(context, &command),
        Command::Sync(command) => sync::run(context, &command),
        Command::SyncReport { fix, verbose } => sync_report::run(context, fix, verbose),
        Command::Hook(_) | Command::Record { .. } => unreachable!("`run` has run them"),
        Command::Query(args) => query::run(context, &args),
        Command::Hooks { what } => hooks::run(context, what),
        Command::Mcp(McpCommands::Mcp { what, .. }) => mcp::run(context, what),
        Command::Trust(args) => trust::run(context, &args),
        Command::Demo { keep } => demo::run(context, keep),
        Command::Completions { shell, to } => manual::completions(context, shell, &to),
        Command::Complete(args) => {
            complete::run(args);
            Ok(Exit::Done)
        }
        Command::Man { dir, to } => manual::man(context, dir.as_deref(), &to),
    }
}
