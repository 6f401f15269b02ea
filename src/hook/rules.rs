//! What a user wants recorded, and what is recorded by default. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Learned, Tool};
use crate::model::Severity;

/// What is recorded of an event, or of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<What>", into = "Vec<What>")]
pub struct Filter {
    /// Whether failures are recorded.
    pub failures: bool,
    /// Whether text marked as learned is recorded.
    pub learned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Failure,
    Learned,
}

impl From<Vec<What>> for Filter {
    fn from(what: Vec<What>) -> Filter {
        Filter { failures: what.contains(&What::Failure), learned: what.contains(&What::Learned) }
    }
}

impl From<Filter> for Vec<What> {
    fn from(filter: Filter) -> Vec<What> {
        let failures = filter.failures.then_some(What::Failure);
        failures.into_iter().chain(filter.learned.then_some(What::Learned)).collect()
    }
}

impl Filter {
    /// Everything.
    pub const ALL: Filter = Filter { failures: true, learned: true };
    /// Failures alone.
    pub const FAILURES: Filter = Filter { failures: true, learned: false };
    /// Nothing.
    pub const NOTHING: Filter = Filter { failures: false, learned: false };

    /// What both record.
    pub(super) fn and(self, other: Filter) -> Filter {
        Filter { failures: self.failures && other.failures, learned: self.learned && other.learned }
    }
}

/// What a user wants recorded.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The severity of a failure.
    pub severity: Severity,
    /// Programs whose exit code 1 is an answer, not a failure.
    pub answers: Vec<String>,
    /// By event, where it differs from the default.
    pub events: BTreeMap<String, Filter>,
    /// By tool, or by a prefix of its name and `*`, where it differs from the default.
    pub tools: BTreeMap<String, Filter>,
}

impl Default for Rules {
    fn default() -> Self {
        let answers = ["grep", "egrep", "fgrep", "rg", "diff", "cmp", "test", "[", "which", "type", "command", "pgrep"];
        let answers = answers.map(str::to_owned).to_vec();
        Rules { severity: Severity::LOW, answers, events: BTreeMap::new(), tools: BTreeMap::new() }
    }
}

impl Rules {
    /// Whether what an agent marked as learned is recorded at the event `name`.
    pub fn wants_learned(&self, name: &str) -> bool {
        self.of_event(name).learned
    }

    /// The filter of the event `name`.
    pub(super) fn of_event(&self, name: &str) -> Filter {
        let default = match name {
            // They only catch up with what the end of a turn would have recorded.
            "SessionEnd" | "Interrupt" => self.of_event("Stop").and(self.of_event("AfterAgent")),
            // The service was busy or the budget spent: nothing to learn from.
            "StopFailure" | "session.error" => Filter::NOTHING,
            _ => Filter::ALL,
        };
        self.events.get(name).copied().unwrap_or(default)
    }

    /// The filter of `tool`: the user's, or the default.
    pub(super) fn of_tool(&self, tool: &Tool) -> Filter {
        self.named(tool).map_or_else(|| default_of(tool), |(_, filter)| filter)
    }

    /// The user's filter for `tool`: the longest pattern that matches, and what it says.
    fn named(&self, tool: &Tool) -> Option<(&str, Filter)> {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => tool.name.starts_with(prefix),
            None => tool.name == pattern,
        };
        let named = self.tools.iter().filter(|(pattern, _)| matches(pattern)).max_by_key(|(pattern, _)| pattern.len());
        named.map(|(pattern, filter)| (pattern.as_str(), *filter))
    }

    /// Whether an agent wrote `learned`, which `tool` printed: the tool is a sub-agent, or a shell that was told to print it.
    /// Whatever a tool prints counts if the user's rules name that tool; `*` names no tool.
    pub(super) fn is_own(&self, tool: &Tool, learned: &Learned, spoken: &[Learned]) -> bool {
        let same = |it: &Learned| it.is_same(learned);
        self.named(tool).is_some_and(|(pattern, _)| pattern != "*") || is_agent(tool) || spoken.iter().any(same)
    }
}

/// Tools that only look. That they found nothing is not worth a record.
const LOOKING: [&str; 25] = [
    "Read",
    "Glob",
    "Grep",
    "LS",
    "NotebookRead",
    "WebFetch",
    "WebSearch",
    "ToolSearch",
    "BashOutput",
    "TaskOutput",
    "read_file",
    "read_many_files",
    "glob",
    "search_file_content",
    "grep_search",
    "list_directory",
    "web_fetch",
    "google_web_search",
    "read",
    "grep",
    "list",
    "webfetch",
    "websearch",
    "codebase_search",
    "file_search",
];
/// Tools that keep an agent's own list of what to do.
const KEEPING_LISTS: [&str; 6] = ["TodoWrite", "TodoRead", "todowrite", "todoread", "write_todos", "update_plan"];
/// Tools that are agents.
const AGENTS: [&str; 6] = ["Task", "Agent", "task", "agent", "spawn_agent", "delegate_to_agent"];

/// Whether `tool` only looks.
pub(super) fn only_looks(tool: &Tool) -> bool {
    LOOKING.contains(&tool.name.as_str()) || KEEPING_LISTS.contains(&tool.name.as_str())
}

/// Whether `tool` is an agent.
pub(super) fn is_agent(tool: &Tool) -> bool {
    AGENTS.contains(&tool.name.as_str())
}

/// Whether `tool` is of indelible's own server, as hosts spell its tools: `mcp__indelible__get`, `mcp_indelible_get`,
/// `indelible_get`.
fn is_of_our_server(tool: &Tool) -> bool {
    let name = tool.name.strip_prefix("mcp_").unwrap_or(&tool.name);
    name.trim_start_matches('_').starts_with("indelible_")
}

fn default_of(tool: &Tool) -> Filter {
    // A refusal by indelible says what to do, and is nothing to remember.
    if LOOKING.contains(&tool.name.as_str()) || is_of_our_server(tool) {
        Filter::NOTHING
    } else if tool.command.is_some() || is_agent(tool) {
        Filter::ALL
    } else {
        // The output of other tools is not written by an agent.
        Filter::FAILURES
    }
}
