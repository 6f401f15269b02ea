//! `context`: what a session that starts here is told, when it is asked for.

use indelible::pack::{Ask, BUDGET, Depth, Limits, pack};
use indelible::project;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Refusal, Session, Tool};
use crate::{policy, reading};

/// The largest budget, in tokens.
const BUDGET_MAX: usize = 8_000;
/// The smallest one: a pack's own lines take about as much.
const BUDGET_MIN: usize = 100;
const WHAT: &str = "nothing could be told";

pub const TOOL: Tool = Tool {
    name: "context",
    title: "What is known here",
    description: "What is known of this project: rules, failures and what followed, experiments. Use it before a task, unless \
                  the session began with it.",
    parameters,
    required: &[],
    is_read_only: true,
    call,
};

fn parameters() -> Value {
    json!({
        "task": { "type": "string", "description": "What is to be done" },
        "paths": { "type": "array", "items": { "type": "string" }, "description": "Files that it is about" },
        "budget": { "type": "integer", "minimum": BUDGET_MIN, "maximum": BUDGET_MAX, "default": BUDGET, "description": "Tokens" }
    })
}

fn call(session: &mut Session, arguments: &Arguments<'_>) -> Result<String, Refusal> {
    let task = arguments.text("task")?.map(str::to_owned);
    let words: Vec<String> = task.into_iter().chain(arguments.texts("paths")?).collect();
    let task = Some(words.join(" ")).filter(|task| !task.trim().is_empty());
    let budget = arguments.number("budget", BUDGET_MIN, BUDGET_MAX)?.unwrap_or(BUDGET);
    let told = told(session, task.as_deref(), Depth::Standard, budget)?;
    Ok(if told.is_empty() { "Nothing is known that may be told here; `search` finds the rest.\n".into() } else { told })
}

/// The pack of this folder; empty if there is nothing in it.
pub fn told(session: &Session, task: Option<&str>, depth: Depth, budget: usize) -> Result<String, Refusal> {
    let (context, home) = session.open()?;
    let settings = context.settings(&home)?;
    let view = reading::view(&context, &home)?;
    let here = std::env::current_dir().ok();
    let place = here.and_then(|here| project::place(&here, policy::project_ids().as_deref()));
    let ask = Ask {
        place: place.as_ref(),
        host: settings.label(),
        task,
        domains: &[],
        is_here_only: false,
        depth,
        limits: Limits::of(None, budget),
    };
    Ok(pack(&view, &ask).map_err(reading::failed(WHAT))?.text())
}
