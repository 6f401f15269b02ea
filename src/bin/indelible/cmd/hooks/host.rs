//! The file that each host reads its hooks from, and indelible's entries in it.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use indelible::hook::Host;

use super::edit::{self, CONTEXT, Entry, MARK};
use super::layout::Json;
use crate::settings::Telling;

/// The host's timeout for indelible's hook, in seconds. The hook needs some milliseconds.
const TIMEOUT_S: u32 = 10;
/// The plugin of OpenCode, which reads no settings for hooks.
const PLUGIN: &str = include_str!("../../../../../integrations/opencode/indelible.js");
/// The placeholder in the plugin's text for the command that it calls.
const PLUGIN_COMMAND: &str = "const COMMAND = [\"indelible\"];";
/// The placeholder for when agents are told what was recorded.
const PLUGIN_CONTEXT: &str = "const CONTEXT = \"\";";

/// The program that a hook calls, and the home, if one was named.
#[derive(Default)]
pub struct Call {
    pub program: String,
    pub home: Option<String>,
    /// When agents are told what was recorded: names of [`Telling`].
    pub context: Vec<String>,
}

impl Call {
    fn tells(&self, telling: Telling) -> bool {
        self.context.iter().any(|name| name == telling.name())
    }
}

/// The file that `host` reads hooks from, in all of a user's sessions, or only in the project at `project`.
pub fn settings(host: Host, project: Option<&Path>, user: &impl BaseStrategy) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = |name: &str| project.unwrap_or(user.home_dir()).join(name);
    let configured = |name: &str, otherwise: &str| match project {
        None => variable(name).unwrap_or_else(|| folder(otherwise)),
        Some(_) => folder(otherwise),
    };
    match host {
        Host::Claude => configured("CLAUDE_CONFIG_DIR", ".claude").join("settings.json"),
        Host::Codex => configured("CODEX_HOME", ".codex").join("hooks.json"),
        Host::Gemini => folder(".gemini").join("settings.json"),
        Host::Cursor => folder(".cursor").join("hooks.json"),
        Host::OpenCode => {
            let config = project.map_or_else(|| user.config_dir().join("opencode"), |it| it.join(".opencode"));
            config.join("plugins/indelible.js")
        }
    }
}

/// Indelible's entries in the settings of `host`.
pub fn entries(host: Host, call: &Call) -> Vec<Entry> {
    let every = None;
    let events: &[(&'static str, Option<&'static str>)] = match host {
        Host::Claude => &[
            ("PostToolUseFailure", every),
            ("PostToolUse", Some("Bash|PowerShell|Task|Agent|Edit|Write|MultiEdit|NotebookEdit")),
            ("Stop", every),
            ("SubagentStop", every),
            ("SessionStart", every),
            ("SessionEnd", every),
        ],
        Host::Codex => &[
            ("PostToolUse", every),
            ("Stop", every),
            ("SubagentStop", every),
            ("SessionStart", every),
            ("SessionEnd", every),
        ],
        Host::Gemini => &[("AfterTool", every), ("AfterAgent", every), ("SessionStart", every), ("SessionEnd", every)],
        Host::Cursor => &[
            ("postToolUseFailure", every),
            ("postToolUse", every),
            ("afterAgentResponse", every),
            ("subagentStop", every),
            ("sessionStart", every),
        ],
        Host::OpenCode => &[],
    };
    let entry = |(event, matcher): &(&'static str, Option<&'static str>)| {
        let handler = handler(host, call);
        let value = match (host, matcher) {
            (Host::Cursor, _) => handler,
            (_, None) => Json::Object(vec![("hooks", Json::List(vec![handler]))]),
            (_, Some(matcher)) => Json::Object(vec![("matcher", text(*matcher)), ("hooks", Json::List(vec![handler]))]),
        };
        Entry { event, value }
    };
    // A sub-agent's start and a prompt have nothing to record.
    let subagents: &[(&'static str, Option<&'static str>)] = match host {
        Host::Claude | Host::Codex if call.tells(Telling::Start) => &[("SubagentStart", every)],
        _ => &[],
    };
    let prompts: &[(&'static str, Option<&'static str>)] = match host {
        Host::Claude | Host::Codex if call.tells(Telling::Prompt) => &[("UserPromptSubmit", every)],
        Host::Gemini if call.tells(Telling::Prompt) => &[("BeforeAgent", every)],
        _ => &[],
    };
    events.iter().chain(subagents).chain(prompts).map(entry).collect()
}

fn handler(host: Host, call: &Call) -> Json {
    let words = words(host, call);
    let line = text(line(&words));
    Json::Object(match host {
        // Without a shell.
        Host::Claude => {
            let args = words[1..].iter().map(text).collect();
            let command = ("command", text(&words[0]));
            vec![("type", text("command")), command, ("args", Json::List(args)), ("timeout", Json::Number(TIMEOUT_S))]
        }
        Host::Gemini => {
            let timeout = ("timeout", Json::Number(TIMEOUT_S * 1000));
            vec![("name", text("indelible")), ("type", text("command")), ("command", line), timeout]
        }
        Host::Cursor => vec![("command", line)],
        Host::Codex | Host::OpenCode => {
            vec![("type", text("command")), ("command", line), ("timeout", Json::Number(TIMEOUT_S))]
        }
    })
}

fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

fn words(host: Host, call: &Call) -> Vec<String> {
    let home = call.home.iter().flat_map(|home| ["--home".to_owned(), home.clone()]);
    let hook = ["hook", "--host", host.name()].map(str::to_owned);
    let context = (!call.context.is_empty()).then(|| [CONTEXT.to_owned(), call.context.join(",")]);
    let rest = context.into_iter().flatten().chain([MARK.to_owned()]);
    [call.program.clone()].into_iter().chain(home).chain(hook).chain(rest).collect()
}

/// `words` for a shell.
fn line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c));
        if plain && !word.is_empty() { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The plugin of OpenCode that calls `call`.
pub fn plugin(call: &Call) -> String {
    let home = call.home.iter().flat_map(|home| ["--home", home.as_str()]);
    let words: Vec<&str> = [call.program.as_str()].into_iter().chain(home).collect();
    let words = serde_json::to_string(&words).unwrap_or_default();
    let context = serde_json::to_string(&call.context.join(",")).unwrap_or_default();
    let plugin = PLUGIN.replace(PLUGIN_COMMAND, &format!("const COMMAND = {words};"));
    plugin.replace(PLUGIN_CONTEXT, &format!("const CONTEXT = {context};"))
}

/// When agents are told what was recorded, as the plugin `text` says.
pub fn context_of_plugin(text: &str) -> Vec<String> {
    let names = text.lines().find_map(|line| line.strip_prefix("const CONTEXT = ")?.strip_suffix(';'));
    let names: String = names.and_then(|names| serde_json::from_str(names).ok()).unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether `text` is indelible's plugin.
pub fn is_plugin(text: &str) -> bool {
    text.lines().next() == PLUGIN.lines().next()
}

/// The program that the plugin `text` calls.
pub fn called_by(text: &str) -> String {
    let words = text.lines().find_map(|line| line.strip_prefix("const COMMAND = ")?.strip_suffix(';'));
    let words: Vec<String> = words.and_then(|words| serde_json::from_str(words).ok()).unwrap_or_default();
    words.into_iter().next().unwrap_or_default()
}

/// Codex's own settings, `config.toml` beside the user's `hooks.json`.
fn config_of_codex() -> toml::Table {
    let home = std::env::var_os("CODEX_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = home.or_else(|| Some(etcetera::choose_base_strategy().ok()?.home_dir().join(".codex")));
    let text = home.and_then(|home| std::fs::read_to_string(home.join("config.toml")).ok()).unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// The indelible plugin that Codex has enabled, as `NAME@MARKETPLACE`. It takes plugins in the form of Claude Code's.
pub fn plugin_of_codex() -> Option<String> {
    let config = config_of_codex();
    let plugins = config.get("plugins")?.as_table()?;
    let is_enabled = |plugin: &toml::Value| plugin.get("enabled").and_then(toml::Value::as_bool) != Some(false);
    let found = plugins.iter().find(|(name, plugin)| edit::is_our_plugin(name) && is_enabled(plugin))?;
    Some(found.0.clone())
}

/// Whether Codex trusts a hook in the file `settings` or of `plugin`. Its `config.toml` lists trusted hooks under `hooks.state`,
/// by the path of their file or the name of their plugin, with a digest.
pub fn is_trusted_by_codex(settings: &Path, plugin: Option<&str>) -> bool {
    let config = config_of_codex();
    let states = config.get("hooks").and_then(|hooks| hooks.get("state")).and_then(toml::Value::as_table);
    let Some(states) = states else { return false };
    let paths = [Some(settings.to_owned()), std::fs::canonicalize(settings).ok()];
    let is_of_file = |name: &str| paths.iter().flatten().any(|path| name.starts_with(&*path.to_string_lossy()));
    let is_of_plugin = |name: &str| plugin.is_some_and(|plugin| name.starts_with(&format!("{plugin}:")));
    let is_ours = |name: &str| is_of_file(name) || is_of_plugin(name);
    states.iter().any(|(name, state)| is_ours(name) && state.get("trusted_hash").is_some())
}

/// What has to be done before `host` runs the hooks. Without a terminal, it is nothing that takes one.
pub fn by_hand(host: Host, has_terminal: bool) -> String {
    match host {
        Host::Claude if has_terminal => "they run in sessions started from now on; `/hooks` shows them".into(),
        Host::Codex => format!("Codex runs a hook only once it is trusted: {}", to_trust(has_terminal)),
        Host::Gemini if has_terminal => {
            "they run in sessions started from now on; hooks of a project have to be trusted when Gemini asks".into()
        }
        Host::Gemini => {
            "they run in sessions started from now on; those of a project only in a trusted folder, or with \
                         `GEMINI_CLI_TRUST_WORKSPACE=true`"
                .into()
        }
        Host::Cursor => "Cursor reads them at once; its settings show them under Hooks".into(),
        Host::Claude => "they run in sessions started from now on".into(),
        Host::OpenCode => "the plugin is loaded by sessions started from now on".into(),
    }
}

/// How hooks of Codex come to run, where it does not trust them yet.
pub fn to_trust(has_terminal: bool) -> &'static str {
    match has_terminal {
        true => "start `codex`, which asks (or type /hooks there), and trust ours",
        false => {
            "where no person can be asked, `codex exec --dangerously-bypass-hook-trust` runs all hooks, trusted or not"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_and_quotes_stays_one_word() {
        let words = ["/a b/it's".to_owned(), "hook".to_owned()];
        assert_eq!(line(&words), "'/a b/it'\\''s' hook");
    }

    #[test]
    fn the_plugin_calls_the_configured_command() {
        let context = vec!["start".to_owned(), "failure".to_owned()];
        let call = Call { program: "/a \"b\"/indelible".into(), home: Some("/h".into()), context };
        assert_eq!(context_of_plugin(&plugin(&call)), call.context);
        assert!(context_of_plugin(&plugin(&Call::default())).is_empty());
        assert!(plugin(&call).contains("const COMMAND = [\"/a \\\"b\\\"/indelible\",\"--home\",\"/h\"];"));
        assert_eq!(called_by(&plugin(&call)), call.program);
        assert!(is_plugin(&plugin(&call)) && !is_plugin("export {}"));
    }
}
