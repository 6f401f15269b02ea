//! Starts a worker if none runs and `worker.autostart` is set.
//!
//! This happens after the record is acknowledged and the answer is written, and its errors change nothing. The worker shares
//! nothing with the recorder: no terminal, session, open file, or variable of a hook.

use std::process::Command;

use indelible::fs::os;
use indelible::home::Home;
use indelible::worker::may_start;

use crate::settings::Settings;

/// Starts a worker for `home` if the settings say so, none runs, and no recorder or hook has tried within the last minute.
pub fn run(home: &Home, settings: &Settings) {
    if settings.worker.autostart {
        unless_one_runs(home);
    }
}

/// Starts a worker for `home` if none runs, and no recorder or hook has tried within the last minute.
pub fn unless_one_runs(home: &Home) {
    let started = match may_start(home) {
        Ok(true) => start(home).map_err(|error| error.to_string()),
        Ok(false) => return,
        Err(error) => Err(error.to_string()),
    };
    match started {
        Ok(()) => tracing::debug!("started a worker"),
        Err(error) => tracing::debug!(error, "no worker could be started"),
    }
}

/// Starts a detached worker for `home`.
pub fn start(home: &Home) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--home").arg(home.path()).args(["worker", "--log", "file"]);
    // The variables that the worker and its git program need.
    let kept = os::VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept);
    os::start_detached(&mut command)
}
