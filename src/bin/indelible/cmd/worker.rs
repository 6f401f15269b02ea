//! `worker`: commits what is recorded until it is asked to stop; with `--detach`, in another process.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backon::{BlockingRetryable as _, ExponentialBuilder};
use indelible::fs::lock::{Holder, WorkerLock};
use indelible::fs::os;
use indelible::home::{self, Home};
use indelible::model::text;
use indelible::private;
use indelible::worker::{self, Ended, EventSource, Program, Request, Want};
use serde_json::json;

use super::{Context, autostart};
use crate::args::LogTo;
use crate::exit::{Exit, Failure};
use crate::settings::{Settings, is_passing};
use crate::{logging, output};

const WHAT: &str = "the worker stopped";
const NOT_STARTED: &str = "the worker was not started";
const NOT_STOPPED: &str = "the worker was not stopped";
/// How long to wait for an answer before checking that the worker still runs.
const SLICE: Duration = Duration::from_millis(250);
/// How often to check whether a worker that has answered has ended: there is no wait for its lock with a limit.
const LOOK: Duration = Duration::from_millis(20);
/// The pause before settings that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// How long to wait for another worker to end.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn run(context: &Context, log: LogTo) -> Result<Exit, Failure> {
    settle(context)?;
    let home = context.open(NOT_STARTED)?;
    let settings = patiently(context, &home)?;
    let lock = home.exclusive_for_worker(PATIENCE);
    let lock = lock.map_err(|error| Failure::of(WHAT, &error))?;
    let lock = lock.map_err(held)?;
    home.check_current().map_err(|error| Failure::of(NOT_STARTED, &error))?;
    logging::start(&home, log, &settings.log)?;
    os::lower_priority();
    let events = EventSource::of(&home).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let mut options = settings.worker();
    let mut program = Program::at(own_path());
    tracing::info!(home = text::path(home.path()), process = std::process::id(), "worker started");
    loop {
        match worker::run(&lock, &events, &mut program, &options) {
            Ok(Ended::Stopped) => {
                tracing::info!("worker stopped: everything recorded before the request is committed");
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
                    tracing::error!(causes = failure.causes.join(": "), "{}; the old ones stay", failure.what);
                    if is_passing(&failure) {
                        os::ask_to_read_again(READ_AGAIN);
                    }
                }
            },
            Ok(Ended::Replaced) => {
                let error = become_replacement(&program);
                tracing::error!(
                    program = text::path(program.path()),
                    error,
                    "the program was replaced by one that cannot be run; going on as the old one"
                );
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

/// The settings of `home`. If they cannot be read right now, retries for a while.
fn patiently(context: &Context, home: &Home) -> Result<Settings, Failure> {
    let read = || context.settings(home);
    read.retry(ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(7))
        .sleep(std::thread::sleep)
        .when(is_passing)
        .call()
}

/// Moves an older private folder to its current place. If it cannot be moved, it is used where it is.
fn settle(context: &Context) -> Result<(), Failure> {
    let path = context.home_path()?;
    if let Ok(home) = home::open_folder(&path)
        && let Err(error) = private::settle(&home, || false)
    {
        tracing::warn!(error = text::chain(&error), "the private folder stays where it was");
    }
    Ok(())
}

/// Starts a worker that outlives this process and its terminal.
pub fn detach(context: &Context) -> Result<Exit, Failure> {
    let home = context.open(NOT_STARTED)?;
    let _ = context.settings(&home)?;
    if let Some(holder) = WorkerLock::holder(home.private()).map_err(|error| Failure::of(NOT_STARTED, &error))? {
        return Err(held(holder));
    }
    autostart::start(&home).map_err(|error| Failure::new(Exit::Io, NOT_STARTED).because(&error))?;
    match context.json {
        true => output::json(&json!({ "home": home.path().display().to_string(), "started": true })),
        false => output::line(&format!("started a worker for {}", text::path(home.path()))),
    }
    Ok(Exit::Done)
}

/// Asks the running worker to commit what is pending and to end. Waits until its lock is free.
pub fn stop(context: &Context, timeout_s: u64) -> Result<Exit, Failure> {
    let home = context.open(NOT_STOPPED)?;
    let until = Instant::now() + crate::settings::seconds(timeout_s);
    let mut asked: Option<(Request, Holder)> = None;
    let mut answered = false;
    loop {
        let holder = WorkerLock::holder(home.private()).map_err(|error| Failure::of(NOT_STOPPED, &error))?;
        let Some(holder) = holder else { break };
        if Instant::now() >= until {
            return Err(Failure::new(Exit::TryAgain, NOT_STOPPED)
                .because(&std::io::Error::other(format!("{} did not end in time", holder.0)))
                .hint("nothing is lost: the journal has what is pending; see `indelible status`"));
        }
        let (request, _) = match &asked {
            Some(asked) if asked.1 == holder && asked.0.is_there() => asked,
            // Another worker has started meanwhile, or took the request for one from before its start.
            _ => {
                answered = false;
                let request = Request::ask(&home, Want::Stop).map_err(|error| Failure::of(NOT_STOPPED, &error))?;
                asked.insert((request, holder))
            }
        };
        if answered {
            std::thread::sleep(LOOK);
        } else if let Some(answer) = request.wait(SLICE).map_err(|error| Failure::of(NOT_STOPPED, &error))? {
            answered = true;
            if let Some(error) = answer.error {
                output::warn(&format!("the worker ends, and could not commit everything first: {error}"));
            }
        }
    }
    let (path, stopped) = (text::path(home.path()), asked.is_some());
    match (context.json, stopped) {
        (true, _) => output::json(&json!({ "home": home.path().display().to_string(), "stopped": stopped })),
        (false, true) => output::line(&format!("the worker of {path} has ended")),
        (false, false) => output::line(&format!("no worker runs for {path}: nothing to stop")),
    }
    if context.settings(&home).is_ok_and(|settings| settings.worker.autostart) {
        output::warn(
            "worker.autostart is set: recorders and hooks start a worker again, a minute after the last one was started",
        );
    }
    Ok(Exit::Done)
}

fn held(holder: Holder) -> Failure {
    Failure::new(Exit::TryAgain, NOT_STARTED)
        .because(&std::io::Error::other(format!("another has the lock of this home: {}", holder.0)))
        .hint("one worker serves all recorders of a home")
}

/// The path that this program was started from: as named, if the name is a path, so that a changed link is noticed.
fn own_path() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from).filter(|name| name.is_absolute());
    name.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// Replaces this process by the program at the path that this one was started from, with the same arguments. The lock is
/// released with the old program, and the new one takes it again. Returns only if that fails, and why.
fn become_replacement(program: &Program) -> String {
    let path = program.path();
    // Tried first: once this process is replaced, an error could not be reported.
    let try_it = Command::new(path).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).output();
    match try_it {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return format!("{}: {}", tried.status, String::from_utf8_lossy(&tried.stderr).trim()),
        Err(error) => return error.to_string(),
    }
    tracing::info!(program = text::path(path), "the program was replaced: going on as the new one");
    os::become_program(Command::new(path).args(std::env::args_os().skip(1))).to_string()
}
