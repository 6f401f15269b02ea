//! `worker`: commits what is recorded until it is asked to stop; with `--detach`, has another process do so.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use indelible::fs::lock::{Holder, WorkerLock};
use indelible::fs::os;
use indelible::worker::{self, Ended, Program, Wakes};
use indelible::{home, private, text};
use serde_json::json;

use super::{Context, autostart};
use crate::args::LogTo;
use crate::exit::{Exit, Failure};
use crate::{logging, output};

const WHAT: &str = "the worker stopped";
const NOT_STARTED: &str = "the worker was not started";
/// How long another worker may take to end.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn run(context: &Context, log: LogTo) -> Result<Exit, Failure> {
    settle(context)?;
    let home = context.open(NOT_STARTED)?;
    let settings = context.settings(&home)?;
    let lock = WorkerLock::take_for_worker(home.private(), PATIENCE);
    let lock = lock.map_err(|error| Failure::of(WHAT, &error))?;
    let lock = lock.map_err(held)?;
    home.check_current().map_err(|error| Failure::of(NOT_STARTED, &error))?;
    logging::start(&home, log, &settings.log)?;
    os::lower_priority();
    let wakes = Wakes::of(&home).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let mut options = settings.worker();
    let mut program = Program::at(own_path());
    tracing::info!(home = %home.path().display(), process = std::process::id(), "worker started");
    loop {
        match worker::run(&home, &lock, &wakes, &mut program, &options) {
            Ok(Ended::Stopped) => {
                tracing::info!("worker stopped: what was recorded before it was asked to is committed");
                return Ok(Exit::Done);
            }
            Ok(Ended::OutOfTime) => {
                let failure = Failure::new(Exit::TryAgain, "the worker stopped before everything was committed")
                    .hint("nothing is lost: the journal has it for the next worker; worker.stop_s gives it longer");
                tracing::warn!("{}", failure.what);
                return Err(failure);
            }
            Ok(Ended::Reload) => match context.settings(&home) {
                Ok(settings) => {
                    tracing::info!("the settings were read again");
                    options = settings.worker();
                }
                Err(failure) => {
                    tracing::error!(causes = failure.causes.join(": "), "{}; the old ones stay", failure.what)
                }
            },
            Ok(Ended::Replaced) => {
                let error = become_replacement(&program);
                tracing::error!(program = %program.path().display(), error, "the program was replaced by one that cannot be run; going on as the old one");
                program.refuse();
            }
            Err(error) => {
                let failure = Failure::of(WHAT, &error);
                tracing::error!(
                    causes = failure.causes.join(": "),
                    "worker stopped; the journal keeps what is recorded"
                );
                return Err(failure);
            }
        }
    }
}

/// Moves a private folder of before to where it lies now. One that cannot be moved goes on being used.
fn settle(context: &Context) -> Result<(), Failure> {
    let path = context.home_path()?;
    if let Ok(home) = home::open_folder(&path)
        && let Err(error) = private::settle(&home, || false)
    {
        tracing::warn!(error = text::chain(&error), "the private folder stays where it was");
    }
    Ok(())
}

/// Starts a worker that goes on when this process and its terminal have ended.
pub fn detach(context: &Context) -> Result<Exit, Failure> {
    let home = context.open(NOT_STARTED)?;
    let _ = context.settings(&home)?;
    if let Some(holder) = WorkerLock::holder(home.private()).map_err(|error| Failure::of(NOT_STARTED, &error))? {
        return Err(held(holder));
    }
    autostart::start(&home).map_err(|error| Failure::new(Exit::Io, NOT_STARTED).because(&error))?;
    match context.json {
        true => output::json(&json!({ "home": home.path().display().to_string(), "started": true })),
        false => output::line(&format!("started a worker for {}", home.path().display())),
    }
    Ok(Exit::Done)
}

fn held(holder: Holder) -> Failure {
    Failure::new(Exit::TryAgain, NOT_STARTED)
        .because(&std::io::Error::other(format!("another has the lock of this home: {}", holder.0)))
        .hint("one worker serves all recorders of a home")
}

/// Where this program was started from: by name, if the name is a path, so that a link that is led elsewhere is noticed.
fn own_path() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from).filter(|name| name.is_absolute());
    name.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// Goes on as the program that lies where this one was started from, in the same process and with the same arguments.
/// The lock goes with the old one and is taken anew. Returns only where that is not possible, and why.
fn become_replacement(program: &Program) -> String {
    let path = program.path();
    // Once it is this process, it is too late to find out that it cannot be loaded.
    let try_it = Command::new(path).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).output();
    match try_it {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return format!("{}: {}", tried.status, String::from_utf8_lossy(&tried.stderr).trim()),
        Err(error) => return error.to_string(),
    }
    tracing::info!(program = %path.display(), "the program was replaced: going on as the new one");
    os::become_program(Command::new(path).args(std::env::args_os().skip(1))).to_string()
}
