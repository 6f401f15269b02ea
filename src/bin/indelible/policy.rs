//! The policy of a recorder: what the settings say, and what this process knows about the source of its records.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use indelible::model::{Origin, Provenance};
use indelible::record::{Policy, Redaction, Rows, of_folder};

use crate::exit::Failure;
use crate::settings::{Settings, milliseconds};
use crate::user;

/// Agents that set a variable for what they run, and which variable.
const AGENTS: [(&str, &str); 5] = [
    ("CLAUDECODE", "Claude Code"),
    ("CODEX_SANDBOX", "Codex CLI"),
    ("GEMINI_CLI", "Gemini CLI"),
    ("CURSOR_AGENT", "Cursor"),
    ("OPENCODE", "OpenCode"),
];

/// The policy of `record`. `redact` is its flag, beyond what the settings say.
///
/// # Errors
/// Exit 78 for an invalid pattern of secrets.
pub fn of_command(settings: &Settings, redact: bool) -> Result<Policy, Failure> {
    let redaction = match redact || settings.redact.records {
        true => Redaction::with(settings.redactor()?),
        false => Redaction::off(),
    };
    let ids = project_ids();
    let sources = settings.sources(of_process(ids.as_deref()), ids);
    Ok(Policy {
        redaction,
        sources,
        index_wait: Some(milliseconds(settings.record.index_wait_ms)),
        rows: settings.record.row,
        keys: settings.sync.keys,
    })
}

/// The redaction of `hook`.
///
/// # Errors
/// Exit 78 for an invalid pattern of secrets.
pub fn redaction_of_hook(settings: &Settings) -> Result<Redaction, Failure> {
    Ok(match settings.redact.hooks {
        true => Redaction::with(settings.redactor()?),
        false => Redaction::off(),
    })
}

/// The policy of `hook`, with its `redaction`. The host's event says where it happened, so the process adds nothing.
///
/// Each record of a hook has a key, so the worker places its file and its row. To ask the index whether the key is new
/// costs more than the sync, and cannot catch two copies of one hook that run at once.
pub fn of_hook(settings: &Settings, redaction: Redaction) -> Policy {
    let sources = settings.sources(Provenance::default(), project_ids());
    Policy { redaction, sources, index_wait: None, rows: Rows::default(), keys: settings.sync.keys }
}

/// The policy of the tool `record` of `mcp`: redacted as hooks are, by an agent. `client` is what its host calls itself.
///
/// # Errors
/// Exit 78 for an invalid pattern of secrets.
pub fn of_mcp(settings: &Settings, client: Option<&str>) -> Result<Policy, Failure> {
    let ids = project_ids();
    let cwd = std::env::current_dir().ok();
    let process = Provenance {
        origin: Some(Origin::Agent),
        agent: client.map(str::to_owned),
        ..cwd.as_deref().map(|cwd| of_folder(cwd, ids.as_deref())).unwrap_or_default()
    };
    let sources = settings.sources(process.fitting(), ids);
    let index_wait = Some(milliseconds(settings.record.index_wait_ms));
    let (rows, keys) = (settings.record.row, settings.sync.keys);
    Ok(Policy { redaction: redaction_of_hook(settings)?, sources, index_wait, rows, keys })
}

/// The provenance of what this process records.
pub fn of_this_process() -> Provenance {
    of_process(project_ids().as_deref())
}

/// Whether a person runs this process: at a terminal, which no agent opened.
pub fn is_person() -> bool {
    agent().is_none() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The agent that runs this process, by the variable that it sets.
fn agent() -> Option<&'static str> {
    AGENTS.iter().find(|(variable, _)| std::env::var_os(variable).is_some()).map(|(_, name)| *name)
}

/// The provenance of what this process records. A process at a terminal that no agent opened is a person's.
fn of_process(project_ids: Option<&Path>) -> Provenance {
    let cwd = std::env::current_dir().ok();
    Provenance {
        origin: Some(if is_person() { Origin::Person } else { Origin::Agent }),
        agent: agent().map(str::to_owned),
        ..cwd.as_deref().map(|cwd| of_folder(cwd, project_ids)).unwrap_or_default()
    }
}

/// Where this machine keeps the ids of repositories without an origin.
pub fn project_ids() -> Option<PathBuf> {
    user::state_folder().map(|state| state.join("projects"))
}
