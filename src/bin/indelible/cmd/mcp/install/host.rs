//! The file that each host reads its servers from, and which format that is.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use indelible::hook::Host;

use super::{Entry, Problem, json, toml};

/// The file that `host` reads servers from, in all of a user's sessions, or only in the project at `project`.
pub fn settings(host: Host, project: Option<&Path>, user: &impl BaseStrategy) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    match (host, project) {
        (Host::Claude, None) => {
            variable("CLAUDE_CONFIG_DIR").unwrap_or_else(|| user.home_dir().to_owned()).join(".claude.json")
        }
        (Host::Claude, Some(project)) => project.join(".mcp.json"),
        (Host::Codex, None) => {
            variable("CODEX_HOME").unwrap_or_else(|| user.home_dir().join(".codex")).join("config.toml")
        }
        (Host::Codex, Some(project)) => project.join(".codex/config.toml"),
        (Host::Gemini, _) => project.unwrap_or(user.home_dir()).join(".gemini/settings.json"),
        (Host::Cursor, _) => project.unwrap_or(user.home_dir()).join(".cursor/mcp.json"),
        (Host::OpenCode, _) => {
            let folder = project.map_or_else(|| user.config_dir().join("opencode"), Path::to_owned);
            let with_comments = folder.join("opencode.jsonc");
            if with_comments.exists() { with_comments } else { folder.join("opencode.json") }
        }
    }
}

/// New settings of `host`.
pub fn empty(host: Host) -> &'static str {
    if host == Host::Codex { "" } else { "{}\n" }
}

/// The entry in the settings `text` that the host sees.
///
/// # Errors
/// [`Problem`].
pub fn found(host: Host, text: &str) -> Result<Option<Entry>, Problem> {
    match host {
        Host::Codex => toml::found(text),
        Host::OpenCode => json::found(text, &json::OPEN_CODE),
        Host::Claude | Host::Gemini | Host::Cursor => json::found(text, &json::COMMON),
    }
}

/// `text` with an entry of indelible's that runs `words`. If it has it already, `text` is unchanged.
///
/// # Errors
/// [`Problem`].
pub fn added(host: Host, text: &str, words: &[String]) -> Result<String, Problem> {
    match found(host, text)? {
        Some(entry) if !entry.is_ours() => return Err(Problem::Foreign),
        Some(entry) if entry.words == words && !entry.is_off => return Ok(text.to_owned()),
        _ => {}
    }
    let text = cut(host, text)?;
    match host {
        Host::Codex => toml::added(&text, words),
        Host::OpenCode => json::added(&text, &json::OPEN_CODE, words),
        Host::Claude => json::added(&text, &json::CLAUDE, words),
        Host::Gemini | Host::Cursor => json::added(&text, &json::COMMON, words),
    }
}

/// `text` without indelible's entry.
///
/// # Errors
/// [`Problem`].
pub fn cut(host: Host, text: &str) -> Result<String, Problem> {
    match host {
        Host::Codex => toml::cut(text),
        Host::OpenCode => json::cut(text, &json::OPEN_CODE),
        Host::Claude | Host::Gemini | Host::Cursor => json::cut(text, &json::COMMON),
    }
}

/// What a person has to know, or do, before `host` starts the server.
pub fn by_hand(host: Host) -> &'static str {
    match host {
        Host::Claude => "sessions started from now on have it; `/mcp` shows it; in a project Claude Code asks first",
        Host::Codex => "sessions started from now on have it; `codex mcp list` shows it; a project has to be trusted",
        Host::Gemini => "sessions started from now on have it; `/mcp` shows it",
        Host::Cursor => "its settings show it under MCP; it may have to be switched on there",
        Host::OpenCode => "sessions started from now on have it",
    }
}
