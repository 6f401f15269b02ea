//! `service`: makes the system start the worker at login, and restart it after a failure.
//!
//! A service is one file in the service manager's folder, which names its home; for systemd also the link that enables it.
//! Indelible's files have a mark at their beginning. A file without the mark is never touched.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the file is renamed | a file with a name, or in a folder, that no manager reads | nothing: it does nothing |
//! | after it | a service that is not enabled, or not started | `service install` again |
//! | while it is removed | a file without the link, which does nothing | `service uninstall` again |

mod launchd;
mod startup;
mod systemd;
mod without_manager;
mod xdg;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use indelible::fs::lock::WorkerLock;
use indelible::fs::{Dir, Durability, os};
use indelible::model::text;
use serde_json::json;

use super::Context;
use crate::args::{ManagerName, ServiceCommand};
use crate::exit::{Exit, Failure};
use crate::{output, program};

/// The mark at the beginning of indelible's files.
const MARK: &str = "Written by `indelible service install`";
const NOT_INSTALLED: &str = "the service was not installed";
/// The longest file name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A worker for one home, as a service.
struct Service {
    home: String,
    /// The program to run.
    program: String,
}

/// A service manager. The defaults are for managers that take no commands: they start every file in their folder at login, and
/// never again.
trait Manager {
    /// The path of the service's file.
    fn file(&self, service: &Service) -> Result<PathBuf, Failure>;
    /// Where the file is written before it is moved to its place in `folder`: where the manager does not look.
    fn written_in<'f>(&self, folder: &'f Path) -> &'f Path {
        folder
    }
    /// The content of the file.
    fn definition(&self, service: &Service) -> String;
    /// Starts the service now and at every login; restarts it if `changed`. Says so if the manager cannot be reached.
    fn start(&self, service: &Service, _changed: bool) -> Result<Started, Failure> {
        let why = "what lies there is started at login, and not again where it has failed".into();
        Ok(Started::AtLogin { why, todo: without_manager::todo(service) })
    }
    /// Stops and disables the service. Its file is removed after that.
    fn stop(&self, _service: &Service) -> Result<(), Failure> {
        Ok(())
    }
    /// Makes the manager forget the removed service.
    fn forget(&self) {}
    /// Whether it starts at login.
    fn is_enabled(&self, service: &Service) -> Result<bool, Failure> {
        Ok(self.file(service)?.is_file())
    }
    /// Whether it runs, according to the manager.
    fn state(&self, _service: &Service) -> State {
        State::default()
    }
    /// Why nothing on this machine reads its file; `None` if something seems to.
    fn unread(&self) -> Option<&'static str> {
        None
    }
}

/// Whether a service was started.
enum Started {
    Now,
    /// It starts at the next login, or now with the command in `todo`.
    AtLogin {
        why: String,
        todo: String,
    },
}

/// The state of a service according to its manager.
#[derive(Default)]
struct State {
    /// `None` if it does not say.
    running: Option<bool>,
    process: Option<u32>,
    /// In its own words.
    said: Option<String>,
}

/// What is at the path of a service's file.
#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    Ours(String),
    Foreign,
}

pub fn run(context: &Context, what: &ServiceCommand) -> Result<Exit, Failure> {
    if matches!(what, ServiceCommand::Install { print: false, .. } | ServiceCommand::Uninstall { .. }) {
        context.name_home()?;
    }
    match what {
        ServiceCommand::Install { manager, print: true } => print(context, name_of(*manager)?),
        ServiceCommand::Install { manager, print: false } => install(context, *manager),
        ServiceCommand::Uninstall { manager } => uninstall(context, name_of(*manager)?),
        ServiceCommand::Status { manager } => status(context, name_of(*manager)?),
    }
}

/// The manager that was named, or the default of this system.
fn name_of(asked: Option<ManagerName>) -> Result<ManagerName, Failure> {
    Ok(match asked {
        Some(name) => name,
        None if cfg!(target_os = "macos") => ManagerName::Launchd,
        None if cfg!(windows) => ManagerName::Startup,
        None if systemd::is_here() => ManagerName::Systemd,
        None => ManagerName::Xdg,
    })
}

fn manager(name: ManagerName) -> &'static dyn Manager {
    match name {
        ManagerName::Systemd => &systemd::Systemd,
        ManagerName::Launchd => &launchd::Launchd,
        ManagerName::Xdg => &xdg::Xdg,
        ManagerName::Startup => &startup::Startup,
    }
}

/// The manager, if this system has it.
fn manager_here(name: ManagerName, what: &str) -> Result<&'static dyn Manager, Failure> {
    let is_here = match name {
        ManagerName::Launchd => cfg!(target_os = "macos"),
        ManagerName::Startup => cfg!(windows),
        ManagerName::Systemd | ManagerName::Xdg => !cfg!(any(target_os = "macos", windows)),
    };
    if is_here {
        return Ok(manager(name));
    }
    let why = std::io::Error::other(format!("{name} is another system's"));
    Err(Failure::new(Exit::Usage, what).because(&why).hint("`service install --print` shows its file all the same"))
}

fn print(context: &Context, name: ManagerName) -> Result<Exit, Failure> {
    let service = Service::of_home(context, "the service cannot be shown")?;
    let manager = manager(name);
    let definition = manager.definition(&service);
    match context.json {
        true => {
            let file = manager.file(&service)?.display().to_string();
            output::json(&json!({ "manager": name, "file": file, "definition": definition }));
        }
        false => output::line(definition.trim_end()),
    }
    Ok(Exit::Done)
}

fn install(context: &Context, asked: Option<ManagerName>) -> Result<Exit, Failure> {
    let service = Service::of_home(context, NOT_INSTALLED)?;
    let name = name_of(asked)?;
    let manager = manager_here(name, NOT_INSTALLED)?;
    let unread = manager.unread();
    if let Some(why) = unread.filter(|_| asked.is_none()) {
        return without_manager::install(context, &service, name, why);
    }
    let file = manager.file(&service)?;
    let changed = put(manager, &file, &manager.definition(&service), NOT_INSTALLED)?;
    let other = worker_of(&service).filter(|_| manager.state(&service).running != Some(true));
    let started = manager.start(&service, changed)?;
    let unread = unread.filter(|_| !matches!(started, Started::Now));
    let (running, why, todo) = match (started, unread) {
        (Started::Now, _) => (true, None, None),
        (Started::AtLogin { why, todo }, None) => (false, Some(why), Some(todo)),
        (Started::AtLogin { todo: with_manager, .. }, Some(why)) => {
            let mut todo = without_manager::todo(&service);
            if with_manager != todo {
                todo.push_str(&format!("; where something reads it: {with_manager}"));
            }
            (false, Some(format!("nothing on this machine reads the file: {why}")), Some(todo))
        }
    };
    if context.json {
        output::json(&json!({
            "manager": name,
            "file": file.display().to_string(),
            "home": service.home,
            "changed": changed,
            "read": unread.is_none(),
            "started": running,
            "why_not_started": why,
            "to_start_it": todo,
        }));
        return Ok(Exit::Done);
    }
    let how = if changed { "installed" } else { "installed already, and unchanged" };
    let shown = text::path(&file);
    match unread {
        None => output::line(&format!("the worker of {} is a service now ({how}): {shown}", service.home)),
        Some(_) => output::line(&format!("the file is {how}, and starts no worker: {shown}")),
    }
    match (why, todo) {
        (Some(why), Some(todo)) if unread.is_some() => output::warn(&format!("{why}\nhint: {todo}")),
        (Some(why), Some(todo)) => {
            output::warn(&format!("it starts at the next login, and not now: {why}\nhint: {todo}"))
        }
        _ => output::line("it starts at every login, and runs now"),
    }
    if let Some(holder) = other {
        output::warn(&format!("another has the lock of this home: {holder}; the service takes over when it ends"));
    }
    Ok(Exit::Done)
}

fn uninstall(context: &Context, name: ManagerName) -> Result<Exit, Failure> {
    const WHAT: &str = "the service was not removed";
    // The service is removed even if its home is gone.
    let service = Service::of_path(&context.home_path()?, WHAT)?;
    let manager = manager_here(name, WHAT)?;
    let file = manager.file(&service)?;
    let found = look(&file, WHAT)?;
    if found == Found::Foreign {
        return Err(foreign(&file, WHAT));
    }
    let installed = found != Found::Nothing;
    if installed {
        manager.stop(&service)?;
        std::fs::remove_file(&file).map_err(|error| unwritable(&file, WHAT).because(&error))?;
        manager.forget();
    }
    match (context.json, installed) {
        (true, _) => {
            output::json(&json!({ "manager": name, "file": file.display().to_string(), "removed": installed }))
        }
        (false, true) => output::line(&format!("removed: {}", text::path(&file))),
        (false, false) => output::line(&format!("there is no service to remove: {}", text::path(&file))),
    }
    if let Some(holder) = worker_of(&service) {
        output::warn(&format!("the lock of this home is still held: {holder}"));
    }
    if without_manager::starts_one(context) {
        output::warn(
            "worker.autostart is set: recorders and hooks still start a worker\n\
             hint: `indelible config set worker.autostart false` stops that, `indelible worker --stop` the worker",
        );
    }
    Ok(Exit::Done)
}

fn status(context: &Context, name: ManagerName) -> Result<Exit, Failure> {
    const WHAT: &str = "the service's status could not be read";
    let service = Service::of_path(&context.home_path()?, WHAT)?;
    let manager = manager_here(name, WHAT)?;
    let file = manager.file(&service)?;
    let found = look(&file, WHAT)?;
    let installed = matches!(found, Found::Ours(_));
    let current = found == Found::Ours(manager.definition(&service));
    let enabled = installed && manager.is_enabled(&service)?;
    let state = if installed { manager.state(&service) } else { State { running: Some(false), ..State::default() } };
    let worker = worker_of(&service);
    // If the manager does not say, the lock does.
    let running = state.running.unwrap_or(worker.is_some());
    let unread = manager.unread().filter(|_| state.running.is_none());
    if context.json {
        output::json(&json!({
            "manager": name,
            "file": file.display().to_string(),
            "home": service.home,
            "installed": installed,
            "foreign": found == Found::Foreign,
            "current": current,
            "enabled": enabled,
            "running": running,
            "read": unread.is_none(),
            "autostart": without_manager::starts_one(context),
            "process": state.process,
            "said": state.said,
            "worker": worker,
        }));
        return Ok(Exit::Done);
    }
    let show = |name: &str, text: &str| output::line(&format!("{name:<11} {text}"));
    show("home", &service.home);
    show("manager", &name.to_string());
    let outdated = output::hint("yes, but not as this version would: run `indelible service install` again");
    show(
        "installed",
        match found {
            Found::Ours(_) if current => "yes",
            Found::Ours(_) => &outdated,
            Found::Foreign => "no: another program's file is there",
            Found::Nothing => "no",
        },
    );
    show("file", &text::path(&file));
    show("enabled", if enabled { "yes" } else { "no" });
    let process = state.process.map_or_else(String::new, |process| format!(", process {process}"));
    let running = if running { "yes" } else { "no" };
    let said = state.said.map_or_else(String::new, |said| format!(" ({said})"));
    show("running", &format!("{running}{process}{said}"));
    without_manager::starters(context, unread).iter().for_each(|it| show("started by", it));
    show("worker", worker.as_deref().unwrap_or("none: its lock is free"));
    Ok(Exit::Done)
}

/// The holder of the worker's lock of the service's home; `None` if it is free, or there is no home.
fn worker_of(service: &Service) -> Option<String> {
    let home = indelible::home::Home::open(Path::new(&service.home)).ok()?;
    WorkerLock::holder(home.private()).ok()?.map(|holder| holder.0)
}

impl Service {
    /// The service for the home that the command uses, which must exist.
    fn of_home(context: &Context, what: &str) -> Result<Service, Failure> {
        let home = context.open(what)?;
        Service::of_path(home.path(), what)
    }

    fn of_path(home: &Path, what: &str) -> Result<Service, Failure> {
        let home = os::real_path(home).or_else(|_| std::path::absolute(home));
        let home = home.map_err(|error| Failure::new(Exit::Io, what).because(&error))?;
        let program = program::lasting().map_err(|error| Failure::new(Exit::Io, what).because(&error))?;
        Ok(Service { home: plain(&home, what)?, program: plain(&program, what)? })
    }

    /// The home's path as part of a file name, as `systemd-escape --path` spells it; a digest of the path if the name of a
    /// file with `around` more bytes would be too long.
    fn instance(&self, around: usize) -> String {
        let escaped = systemd::escape_path(&self.home);
        match escaped.len() + around <= NAME_BYTES_MAX {
            true => escaped,
            false => self.number(),
        }
    }

    /// A digest of the home's path.
    fn number(&self) -> String {
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, self.home.as_bytes()).to_string()
    }
}

/// A path that fits into every kind of service file.
fn plain(path: &Path, what: &str) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(|it: char| it.is_control()));
    let why = || std::io::Error::other(format!("{} cannot be named in a service's file", path.display()));
    let hint = "only a path in UTF-8 without control characters can be";
    text.map(str::to_owned).ok_or_else(|| Failure::new(Exit::Usage, what).because(&why()).hint(hint))
}

/// The folder for the user's configuration.
fn config_folder() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| no_user_folder(&error))?;
    Ok(etcetera::BaseStrategy::config_dir(&strategy))
}

fn no_user_folder(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Usage, "there is no folder to write the service's file to").because(error).hint("set HOME")
}

fn look(file: &Path, what: &str) -> Result<Found, Failure> {
    let found = match std::fs::symlink_metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        found => found.map_err(|error| unwritable(file, what).because(&error))?,
    };
    if !found.is_file() {
        return Ok(Found::Foreign);
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let ours = text.lines().take(3).any(|line| line.contains(MARK));
    Ok(if ours { Found::Ours(text) } else { Found::Foreign })
}

/// Writes `text` to `file`, unless that is its content. Returns whether it was written.
fn put(manager: &dyn Manager, file: &Path, text: &str, what: &str) -> Result<bool, Failure> {
    match look(file, what)? {
        Found::Foreign => return Err(foreign(file, what)),
        Found::Ours(before) if before == text => return Ok(false),
        Found::Ours(_) | Found::Nothing => {}
    }
    let (folder, name) =
        (file.parent().unwrap_or(file), file.file_name().and_then(|it| it.to_str()).unwrap_or_default());
    std::fs::create_dir_all(folder).map_err(|error| unwritable(file, what).because(&error))?;
    let write = || {
        let temporary = Dir::open(manager.written_in(folder))?;
        Dir::open(folder)?.replace(name, text.as_bytes(), &temporary, Durability::Full)
    };
    write().map(|_| true).map_err(|error| Failure::of(what, &error))
}

fn foreign(file: &Path, what: &str) -> Failure {
    let why = std::io::Error::other(format!("{} is there already, and indelible did not write it", file.display()));
    Failure::new(Exit::Refused, what).because(&why).hint("look at it, and move it away if it is not needed")
}

fn unwritable(file: &Path, what: &str) -> Failure {
    Failure::new(Exit::Io, what).because(&std::io::Error::other(format!("{} cannot be used", file.display())))
}

/// The output of a manager's program, or the first line of its error.
fn ask(program: &str, args: &[&str]) -> Result<String, String> {
    let told = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        indelible::model::text::visible_line(said.lines().next().unwrap_or_default()).into_owned()
    };
    let Some(path) = os::program(Path::new(program)) else {
        return Err(format!("{program}: there is no such program on PATH"));
    };
    match Command::new(path).args(args).stdin(std::process::Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{program} {}: {}", args.join(" "), told(&output))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// A failure of a service that is installed and does not start.
fn not_started(why: String, hint: String) -> Failure {
    Failure::new(Exit::TryAgain, "the service is installed and was not started")
        .because(&std::io::Error::other(why))
        .hint(hint)
}
