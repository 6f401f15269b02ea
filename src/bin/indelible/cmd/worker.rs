//! `worker`: commits what is recorded until it is asked to stop.

use std::time::Duration;

use indelible::fs::lock::WorkerLock;
use indelible::worker::{self, Ended, Wakes};

use super::Context;
use crate::args::LogTo;
use crate::exit::{Exit, Failure};
use crate::logging;

const WHAT: &str = "the worker stopped";
/// How long another worker may take to end.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn run(context: &Context, log: LogTo) -> Result<Exit, Failure> {
    let home = context.open("the worker was not started")?;
    let settings = context.settings(&home)?;
    let lock = WorkerLock::take_for_worker(home.private(), PATIENCE);
    let lock = lock.map_err(|error| Failure::of(WHAT, &error))?;
    let lock = lock.map_err(|holder| {
        Failure::new(Exit::TryAgain, "the worker was not started")
            .because(&std::io::Error::other(format!("another has the lock of this home: {}", holder.0)))
            .hint("one worker serves all recorders of a home")
    })?;
    logging::start(&home, log, &settings.log)?;
    indelible::fs::os::lower_priority();
    let wakes = Wakes::of(&home).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let mut options = settings.worker();
    tracing::info!(home = %home.path().display(), process = std::process::id(), "worker started");
    loop {
        match worker::run(&home, &lock, &wakes, &options) {
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
