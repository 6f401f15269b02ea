//! Hooks: an agent's host sends an event, and what is worth keeping of it becomes records. Pure, except for `count`,
//! `checkout`, `kept`, `transcript`, `turn`, `echo` and `trail`.
//!
//! ```text
//! bytes ─ Event::of, transcript::complete, Turn::read ─▶ event ─ judge ─▶ redacted requests ─ Recorder ─▶ count
//!                                                                  └─▶ why nothing is recorded ─────────▶ count
//!                                      Trail::follow: what followed an earlier failure ─▶ more requests
//! ```
//!
//! 1. [`Rules`] and the content of an event decide what is recorded, never when or how often a host sends it: each request
//!    has a key made of the session and the call, or of the session and what was learned. Two copies of one hook, or a
//!    marker that both a tool and the agent repeat, make one record.
//! 2. What a tool prints is never a rule. Markers count in what an agent wrote: all its messages in a turn (`turn`) and a
//!    sub-agent's answer, except what they quote and what indelible told it, and what it has a shell print (`spoken`).
//! 3. Every text is redacted before a title, a path, a key or an excerpt is made of it. So [`judge`] returns [`Redacted`]
//!    requests, and [`Recorder::record_redacted`](crate::record::Recorder::record_redacted) takes them.

pub mod answer;
mod checkout;
mod compose;
mod context;
pub mod cost;
pub mod count;
mod echo;
mod event;
mod host;
pub mod kept;
mod learned;
pub mod lenient;
mod payload;
mod rules;
mod spoken;
pub mod trail;
pub mod transcript;
pub mod turn;

use crate::record::{Redacted, Redaction};

use context::Context;
pub use echo::{told_key, without_echoes};
pub use event::{End, Event, EventKind, Tool};
pub use host::Host;
pub use learned::{Learned, learned, learned_in_message};
pub use rules::{Filter, Rules};

/// Why nothing of an event is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It has nothing to record.
    Nothing,
    /// The settings, or the defaults, filter it out.
    Unwanted,
    /// The user stopped the tool.
    Stopped,
    /// The program's exit code is an answer.
    Answer,
    /// It only repeats what the agent was told.
    Echo,
    /// The failure came before, in this session or on this day, and is counted only.
    Again,
    /// The program does not know the event.
    Unknown,
}

impl Skipped {
    /// The word for it in counts.
    pub const fn word(self) -> &'static str {
        match self {
            Skipped::Nothing => "nothing-in-it",
            Skipped::Unwanted => "unwanted",
            Skipped::Stopped => "stopped-by-user",
            Skipped::Answer => "exit-1-is-an-answer",
            Skipped::Echo => "echo",
            Skipped::Again => "came-again",
            Skipped::Unknown => "unknown-event",
        }
    }
}

/// The records to make of `event`.
///
/// # Errors
/// Why there are none.
pub fn judge(event: &Event, rules: &Rules, redaction: &Redaction) -> Result<Vec<Redacted>, Skipped> {
    let of_event = rules.of_event(&event.name);
    let context = Context { event, redaction };
    match &event.kind {
        EventKind::Start | EventKind::Prompt(_) | EventKind::Other => Err(Skipped::Nothing),
        EventKind::Unknown => Err(Skipped::Unknown),
        EventKind::Tool(tool) => {
            let filter = of_event.and(rules.of_tool(tool));
            together(failed(&context, tool, rules, filter), learned_from(&context, tool, rules, filter))
        }
        EventKind::AgentStop { said, error } => {
            let failed = match error {
                None => Err(Skipped::Nothing),
                Some(_) if !of_event.failures => Err(Skipped::Unwanted),
                Some(error) => Ok(compose::of_agent_stop(&context, error, rules.severity)),
            };
            let learned = learned_in_message(said).into_iter().chain(event.learned.iter().cloned());
            together(failed, context.learned(learned.collect(), of_event))
        }
        EventKind::Over => context.learned(event.learned.clone(), of_event),
    }
}

/// The failure of `tool`, if it failed.
fn failed(context: &Context<'_>, tool: &Tool, rules: &Rules, filter: Filter) -> Result<Redacted, Skipped> {
    match &tool.end {
        End::Well => Err(Skipped::Nothing),
        End::Stopped => Err(Skipped::Stopped),
        End::Failed { .. } if !filter.failures => Err(Skipped::Unwanted),
        End::Failed { exit_code: Some(1), .. } if compose::is_answer(tool, rules) => Err(Skipped::Answer),
        End::Failed { error, exit_code } => Ok(compose::of_tool(context, tool, error, *exit_code, rules.severity)),
    }
}

/// What `tool` printed as learned, if an agent wrote it.
fn learned_from(context: &Context<'_>, tool: &Tool, rules: &Rules, filter: Filter) -> Result<Vec<Redacted>, Skipped> {
    let error = if let End::Failed { error, .. } = &tool.end { error } else { "" };
    let markers = if rules::is_agent(tool) { learned_in_message } else { learned };
    let printed: Vec<Learned> = [tool.output.as_str(), error].into_iter().flat_map(markers).collect();
    let spoken = match (&tool.command, &tool.end) {
        _ if printed.is_empty() => Vec::new(),
        (Some(command), End::Well | End::Failed { .. }) => spoken::markers(command),
        _ => Vec::new(),
    };
    let (own, others): (Vec<_>, Vec<_>) = printed.into_iter().partition(|it| rules.is_own(tool, it, &spoken));
    match own.is_empty() && !others.is_empty() {
        true => Err(Skipped::Unwanted),
        false => context.learned(own, filter),
    }
}

/// A failure and what was learned; if neither, why not.
fn together(
    failed: Result<Redacted, Skipped>,
    learned: Result<Vec<Redacted>, Skipped>,
) -> Result<Vec<Redacted>, Skipped> {
    match (failed, learned) {
        (Ok(failed), Ok(learned)) => Ok([failed].into_iter().chain(learned).collect()),
        (Ok(failed), Err(_)) => Ok(vec![failed]),
        (Err(_), Ok(learned)) => Ok(learned),
        (Err(Skipped::Nothing), Err(skipped)) | (Err(skipped), Err(_)) => Err(skipped),
    }
}

#[cfg(test)]
mod tests;
