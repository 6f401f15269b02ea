//! Starting a worker where nobody else does, if `worker.autostart` says so.
//!
//! It comes after the record is acknowledged and the answer is written, and whatever goes wrong with it stays its own
//! affair. The worker shares nothing with the recorder: no terminal, no session, no open file, no variable that only a
//! hook has.

use std::process::Command;

use indelible::fs::os;
use indelible::home::Home;
use indelible::worker::may_start;

use crate::settings::Settings;

/// Starts a worker for `home` if the settings want it, none runs, and nobody has tried within the last minute.
pub fn run(home: &Home, settings: &Settings) {
    if !settings.worker.autostart {
        return;
    }
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

/// Starts a worker for `home` on its own.
pub fn start(home: &Home) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--home").arg(home.path()).args(["worker", "--log", "file"]);
    // What it, and the git program that it runs, need of the environment.
    let kept = os::VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept);
    os::start_detached(&mut command)
}
