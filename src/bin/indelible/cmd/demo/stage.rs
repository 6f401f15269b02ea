//! The demo's stage: a temporary home, and processes of this program.
//!
//! 1. A child sees none of the caller's settings: no variable of indelible's, of git's or of a record's field.
//! 2. The worker does not outlive its guard.
//! 3. Every wait has a limit, and ends when the demo is asked to stop.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indelible::fs::os;
use indelible::home::Home;
use indelible::worker::{Published, State, published};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::exit::{Exit, Failure};

/// Variables that `indelible` or git read.
const FOREIGN: [&str; 7] = ["INDELIBLE_", "GIT_", "FAILURE_", "SUCCESS_", "OBSERVATION_", "HEURISTIC_", "EXPERIMENT_"];
/// How long to wait for a worker to be ready, or to stop.
const WORKER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a file or a process is polled.
const LOOK: Duration = Duration::from_millis(1);

const WHAT: &str = "the demo did not get to its end";

/// A failure of the demo itself, for the reason `why`.
pub fn failure(why: impl Into<String>) -> Failure {
    Failure::new(Exit::Io, WHAT).because(&std::io::Error::other(why.into()))
}

/// A failure because of a system error while the demo was `doing` something.
pub fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| failure(format!("{doing}: {error}"))
}

/// The temporary home, and the processes in it.
pub struct Stage {
    program: PathBuf,
    folder: TempDir,
    /// For a user's files outside of homes.
    user: TempDir,
    home: PathBuf,
    overrides: Vec<String>,
    asked_to_stop: Arc<AtomicBool>,
}

impl Stage {
    /// Makes a home in the folder of temporary files. `overrides` are settings for all its processes.
    pub fn set_up(overrides: &[String]) -> Result<Stage, Failure> {
        let program = std::env::current_exe().map_err(io("finding this program"))?;
        let folder = tempfile::Builder::new().prefix("indelible-demo-").tempdir();
        let folder = folder.map_err(io("making a temporary folder"))?;
        let user = tempfile::Builder::new().prefix("indelible-demo-user-").tempdir();
        let user = user.map_err(io("making a temporary folder"))?;
        let home = os::real_path(folder.path()).map_err(io("making a temporary folder"))?;
        let asked_to_stop = Arc::new(AtomicBool::new(false));
        os::note_stop(&asked_to_stop).map_err(io("listening for signals"))?;
        let stage = Stage { program, folder, user, home, overrides: overrides.to_vec(), asked_to_stop };
        stage.finish(stage.command(&["init"]), &[0])?;
        Ok(stage)
    }

    /// The path of the home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Keeps the home.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Removes the home.
    pub fn remove(self) -> std::io::Result<()> {
        self.folder.close()
    }

    /// Whether a signal asked the demo to stop.
    pub fn check_stop(&self) -> Result<(), Failure> {
        match self.asked_to_stop.load(Ordering::Relaxed) {
            true => Err(Failure::new(Exit::TryAgain, WHAT).because(&std::io::Error::other("it was asked to stop"))),
            false => Ok(()),
        }
    }

    /// A command that runs this program on the home with `args`.
    pub fn command(&self, args: &[impl AsRef<std::ffi::OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            let spelt = name.to_string_lossy();
            if FOREIGN.iter().any(|prefix| spelt.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        // The user's settings do not apply to the home, and it must not become one of the user's trusted homes.
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env(name, self.user.path());
        }
        command.stdin(Stdio::null()).arg("--home").arg(&self.home);
        for text in &self.overrides {
            command.arg("--set").arg(text);
        }
        command.args(args);
        command
    }

    /// Runs `command`, whose exit code must be one of `allowed`, and returns its stdout.
    pub fn finish(&self, mut command: Command, allowed: &[i32]) -> Result<Vec<u8>, Failure> {
        let output = command.arg("--json").output().map_err(io("starting a process"))?;
        // A signal from the terminal also ends the child. That is not the child's error.
        self.check_stop()?;
        match output.status.code() {
            Some(code) if allowed.contains(&code) => Ok(output.stdout),
            _ => Err(of_child(output.status, &output.stderr)),
        }
    }

    /// Runs `recover` and returns what it did.
    pub fn recover(&self) -> Result<indelible::recover::Report, Failure> {
        // Exit 1 says that something is lost. The report has it, and the check must find it too.
        let text = self.finish(self.command(&["recover", "--timeout", "40"]), &[0, 1])?;
        parse(&text)
    }

    /// Waits until `seen` sees something.
    fn wait_for<T>(
        &self,
        what: &str,
        wait_max: Duration,
        mut seen: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let until = Instant::now() + wait_max;
        loop {
            if let Some(value) = seen()? {
                return Ok(value);
            }
            self.check_stop()?;
            if Instant::now() >= until {
                return Err(failure(format!("{what} within {} s", wait_max.as_secs())));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A child's one line of JSON.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| failure(format!("a process printed what it should not: {error}")))
}

/// The failure of the demo when a child fails: the same exit code, and the child's message.
fn of_child(status: ExitStatus, stderr: &[u8]) -> Failure {
    let promises = [Exit::Usage, Exit::Input, Exit::TryAgain, Exit::Refused, Exit::NoHome];
    let exit = promises.into_iter().find(|exit| status.code() == Some(*exit as i32)).unwrap_or(Exit::Io);
    let said = String::from_utf8_lossy(stderr);
    let said = said.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut failure = Failure::new(exit, WHAT);
    let Some(said) = said else { return failure.because(&std::io::Error::other(format!("a process ended: {status}"))) };
    failure.causes.extend(said["error"].as_str().map(str::to_owned));
    let causes = said["causes"].as_array().into_iter().flatten();
    failure.causes.extend(causes.filter_map(|cause| cause.as_str().map(str::to_owned)));
    match exit {
        Exit::NoHome => failure.hint("name a folder on a local disk in TMPDIR"),
        _ => failure,
    }
}

/// A running worker. Killed when dropped.
pub struct Worker {
    child: Child,
}

impl Worker {
    /// Starts a worker, without waiting until it is ready.
    pub fn start(stage: &Stage) -> Result<Worker, Failure> {
        let mut command = stage.command(&["worker", "--log", "file", "--json"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Worker { child: command.spawn().map_err(io("starting the worker"))? })
    }

    /// Waits until it has recovered the home and waits for records.
    pub fn wait_until_ready(&mut self, stage: &Stage, home: &Home) -> Result<(), Failure> {
        stage.wait_for("the worker was not ready", WORKER_WAIT_MAX, || {
            if let Some(status) = self.child.try_wait().map_err(io("waiting for the worker"))? {
                if status.code() != Some(Exit::TryAgain as i32) {
                    return Err(self.last_words(status));
                }
                // Another process held its lock briefly. A service manager would restart the worker then.
                *self = Worker::start(stage)?;
            }
            Ok(self.state(home).filter(|state| *state != State::Starting))
        })?;
        Ok(())
    }

    /// Its status, once it has written one.
    fn published(&self, home: &Home) -> Option<Published> {
        published(home).ok().flatten().filter(|published| published.process == self.child.id())
    }

    fn state(&self, home: &Home) -> Option<State> {
        self.published(home).map(|published| published.state)
    }

    /// Waits until it has made a commit.
    pub fn wait_for_commit(&mut self, stage: &Stage, home: &Home) -> Result<(), Failure> {
        stage.wait_for("the worker committed nothing", WORKER_WAIT_MAX, || {
            if let Some(status) = self.child.try_wait().map_err(io("waiting for the worker"))? {
                return Err(self.last_words(status));
            }
            Ok(self.published(home).and_then(|published| published.last_commit))
        })?;
        Ok(())
    }

    /// Kills it with SIGKILL: while it makes a commit, if it makes one within `wait_max`.
    pub fn kill(mut self, home: &Home, wait_max: Duration) -> Result<(), Failure> {
        let until = Instant::now() + wait_max;
        while self.state(home) != Some(State::Committing) && Instant::now() < until {
            std::thread::sleep(LOOK / 4);
        }
        self.child.kill().and_then(|()| self.child.wait()).map_err(io("killing the worker"))?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self, stage: &Stage) -> Result<(), Failure> {
        // The process is a child that was not waited for yet, so its id is still its own.
        os::ask_to_stop(self.child.id()).map_err(io("stopping the worker"))?;
        let status = stage.wait_for("the worker did not stop", WORKER_WAIT_MAX, || {
            self.child.try_wait().map_err(io("waiting for the worker"))
        })?;
        if status.success() { Ok(()) } else { Err(self.last_words(status)) }
    }

    /// Its message when it ended.
    fn last_words(&mut self, status: ExitStatus) -> Failure {
        let mut said = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_end(&mut stderr, &mut said);
        }
        of_child(status, &said)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
