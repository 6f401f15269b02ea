//! The programs that run agents, and which of them sent an event. Pure.
//!
//! | host | told by |
//! | --- | --- |
//! | OpenCode | `host`, which its plugin sets |
//! | Cursor | `conversation_id`, or an event in camel case |
//! | Gemini CLI | `timestamp`, or an event that only it has |
//! | Codex CLI | `turn_id`, or a transcript beneath `.codex` |
//! | Claude Code | none of these |

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::payload::text_of;

/// The program that runs the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// Cursor.
    Cursor,
    /// OpenCode.
    OpenCode,
}

impl Host {
    /// All of them.
    pub const ALL: [Host; 5] = [Host::Claude, Host::Codex, Host::Gemini, Host::Cursor, Host::OpenCode];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Host::Claude => "claude",
            Host::Codex => "codex",
            Host::Gemini => "gemini",
            Host::Cursor => "cursor",
            Host::OpenCode => "opencode",
        }
    }

    /// Its product name.
    pub const fn title(self) -> &'static str {
        match self {
            Host::Claude => "Claude Code",
            Host::Codex => "Codex CLI",
            Host::Gemini => "Gemini CLI",
            Host::Cursor => "Cursor",
            Host::OpenCode => "OpenCode",
        }
    }

    /// The host whose name on the command line is `name`.
    pub fn of_name(name: &str) -> Option<Host> {
        Host::ALL.into_iter().find(|host| host.name().eq_ignore_ascii_case(name))
    }

    /// Which host sent `payload`.
    pub(super) fn of(payload: &Value, event: &str) -> Host {
        let has = |name: &str| payload.get(name).is_some();
        let gemini_only =
            ["BeforeTool", "AfterTool", "BeforeAgent", "AfterAgent", "BeforeModel", "AfterModel", "PreCompress"];
        if let Some(host) = text_of(payload, &["host"]).and_then(|name| Host::of_name(&name)) {
            host
        } else if has("conversation_id") || event.starts_with(|c: char| c.is_ascii_lowercase()) {
            Host::Cursor
        } else if has("timestamp") || gemini_only.contains(&event) {
            Host::Gemini
        } else if has("turn_id") || text_of(payload, &["transcript_path"]).is_some_and(|path| path.contains("/.codex/"))
        {
            Host::Codex
        } else {
            Host::Claude
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Event;
    use serde_json::json;

    #[test]
    fn hosts_are_distinguished() {
        let cases = [
            (json!({"hook_event_name": "Stop", "session_id": "s"}), Host::Claude),
            (json!({"hook_event_name": "Stop", "turn_id": "t"}), Host::Codex),
            (json!({"hook_event_name": "Stop", "transcript_path": "/h/.codex/sessions/x.jsonl"}), Host::Codex),
            (json!({"hook_event_name": "SessionStart", "timestamp": "2026-11-21T00:00:00Z"}), Host::Gemini),
            (json!({"hook_event_name": "AfterTool"}), Host::Gemini),
            (json!({"hook_event_name": "stop", "conversation_id": "c"}), Host::Cursor),
            (json!({"hook_event_name": "session.idle", "host": "opencode"}), Host::OpenCode),
            (json!(7), Host::Claude),
        ];
        for (payload, host) in cases {
            assert_eq!(Event::of(&payload, b"", None).host, host, "{payload}");
        }
        let said = json!({"hook_event_name": "Stop", "turn_id": "t"});
        assert_eq!(Event::of(&said, b"", Some(Host::Gemini)).host, Host::Gemini);
    }
}
