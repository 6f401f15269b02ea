//! Where a record comes from, as far as the process can tell: its environment, its terminal, its folder.

use std::io::IsTerminal as _;
use std::path::Path;

use indelible::model::{Origin, Provenance};
use indelible::project;

use crate::user;

/// The agents that say so in the environment of what they run, and by which variable.
const AGENTS: [(&str, &str); 5] = [
    ("CLAUDECODE", "Claude Code"),
    ("CODEX_SANDBOX", "Codex CLI"),
    ("GEMINI_CLI", "Gemini CLI"),
    ("CURSOR_AGENT", "Cursor"),
    ("OPENCODE", "OpenCode"),
];

/// Where a record of this process comes from. A person is somebody at a terminal that no agent has opened.
pub fn of_process() -> Provenance {
    let agent = AGENTS.iter().find(|(variable, _)| std::env::var_os(variable).is_some());
    let is_person = agent.is_none() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let cwd = std::env::current_dir().ok();
    Provenance {
        origin: Some(if is_person { Origin::Person } else { Origin::Agent }),
        agent: agent.map(|(_, name)| (*name).to_owned()),
        ..cwd.as_deref().map(of_folder).unwrap_or_default()
    }
}

/// What was said of where a record comes from, and for the rest what `process` says. Another folder is another project.
pub fn complete(given: Provenance, process: &Provenance) -> Provenance {
    let folder = given.cwd.as_deref().filter(|cwd| process.cwd.as_deref() != Some(*cwd)).map(Path::new);
    match folder {
        None => given.or(process.clone()),
        Some(_) if given.project.is_some() => given.or(process.clone()),
        Some(folder) => {
            let project = of_folder(folder).project;
            Provenance { project, ..given.or(process.clone()) }
        }
    }
}

/// What the folder `cwd` says of where a record comes from.
fn of_folder(cwd: &Path) -> Provenance {
    let ids = user::state_folder().map(|state| state.join("projects"));
    let project = project::of(cwd, ids.as_deref());
    Provenance { project, cwd: cwd.to_str().map(str::to_owned), ..Provenance::default() }.fitting()
}
