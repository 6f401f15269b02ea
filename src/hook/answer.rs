//! Where a host takes a text for its agent: next to a tool's result, and next to a prompt. Pure.
//!
//! | host | event | where |
//! | --- | --- | --- |
//! | Claude Code | `PostToolUseFailure`, `PostToolUse` | `hookSpecificOutput.additionalContext` |
//! | Codex CLI | `PostToolUse` | the same; any other member of the answer would fail the hook |
//! | Gemini CLI | `AfterTool` | the same |
//! | OpenCode | `tool.execute.after` | the same; our plugin appends it to the output |
//! | Cursor | `postToolUse` | `additional_context` |
//! | Claude Code, Codex CLI | `UserPromptSubmit` | `hookSpecificOutput.additionalContext` |
//! | Gemini CLI | `BeforeAgent` | the same |
//! | OpenCode | `chat.message`, as our plugin names it | the same; the plugin appends it to the prompt |
//!
//! Cursor documents no place for a tool that failed (`postToolUseFailure`), OpenCode has none for one that threw (`tool.error`).
//! What Cursor's `beforeSubmitPrompt` is told reaches no model.

use serde_json::{Value, json};

use super::{Event, EventKind, Host};

/// Whether the host of `event` puts an answer next to the result of the tool that has ended.
pub fn is_shown(event: &Event) -> bool {
    let places: &[&str] = match event.host {
        Host::Claude => &["PostToolUseFailure", "PostToolUse"],
        Host::Codex => &["PostToolUse"],
        Host::Gemini => &["AfterTool"],
        Host::OpenCode => &["tool.execute.after"],
        Host::Cursor => &["postToolUse"],
    };
    matches!(event.kind, EventKind::Tool(_)) && places.contains(&event.name.as_str())
}

/// The answer by which the host of `event` puts `text` next to the tool's result; `None` if it has no place for it.
pub fn beside_result(event: &Event, text: &str) -> Option<Value> {
    is_shown(event).then(|| match event.host {
        Host::Cursor => json!({ "additional_context": text }),
        _ => json!({ "hookSpecificOutput": { "hookEventName": event.name, "additionalContext": text } }),
    })
}

/// Whether the host of `event` puts an answer next to the prompt that a person has sent.
pub fn is_shown_beside_prompt(event: &Event) -> bool {
    matches!(event.kind, EventKind::Prompt(_)) && event.host != Host::Cursor
}

/// The answer by which the host of `event` puts `text` next to the prompt; `None` if it has no place for it.
pub fn beside_prompt(event: &Event, text: &str) -> Option<Value> {
    let answer = || json!({ "hookSpecificOutput": { "hookEventName": event.name, "additionalContext": text } });
    is_shown_beside_prompt(event).then(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_place() {
        let answer = |host, name: &str| {
            let payload = json!({"hook_event_name": name, "tool_name": "Bash", "error": "no"});
            beside_result(&Event::of(&payload, b"", Some(host)), "text")
        };
        let specific =
            |name: &str| Some(json!({"hookSpecificOutput": {"hookEventName": name, "additionalContext": "text"}}));
        for (host, name) in [
            (Host::Claude, "PostToolUseFailure"),
            (Host::Claude, "PostToolUse"),
            (Host::Codex, "PostToolUse"),
            (Host::Gemini, "AfterTool"),
            (Host::OpenCode, "tool.execute.after"),
        ] {
            assert_eq!(answer(host, name), specific(name), "{host:?}");
        }
        assert_eq!(answer(Host::Cursor, "postToolUse"), Some(json!({"additional_context": "text"})));
        for (host, name) in
            [(Host::Cursor, "postToolUseFailure"), (Host::OpenCode, "tool.error"), (Host::Claude, "Stop")]
        {
            assert_eq!(answer(host, name), None, "{host:?} {name}");
        }
    }
}
