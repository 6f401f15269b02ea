//! One [`Event`] for what any host sends. Pure, and lenient: a field that is missing or has another type counts as absent,
//! and is never an error.

use serde_json::Value;
use uuid::Uuid;

use super::payload::{
    clean, command_of, error_in, exit_code_in, exit_code_said, failed_status, field, shown, text_of, unpacked,
};
use super::{Host, Learned, learned_in_message};
use crate::home::Home;
use crate::session::SessionLog;

/// The most markers that are taken from the messages that a plugin hands over.
const HANDED_OVER_MAX: usize = 100;

/// One event of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The host that sent it.
    pub host: Host,
    /// Its name, as the host spells it; empty if it has no name.
    pub name: String,
    /// What happened.
    pub kind: EventKind,
    /// The session.
    pub session: String,
    /// The kind of the sub-agent, if it happened in one.
    pub agent: Option<String>,
    /// The id of the sub-agent, if it happened in one and the host names it.
    pub agent_id: Option<String>,
    /// The id of the prompt or the turn that it belongs to, if the host names it.
    pub prompt: Option<String>,
    /// Why a session starts: `startup`, `resume`, `clear`, `compact`, `fork`.
    pub source: Option<String>,
    /// The session that this one was forked from, if the host names it.
    pub parent: Option<String>,
    /// The working folder.
    pub folder: Option<String>,
    /// The transcript to read at this event, as the host names it: that of the agent whose turn, or whose session, ends.
    pub transcript: Option<String>,
    /// The session whose turns its transcript repeats first, if it was forked: what was learned is known by that one.
    pub root: Option<String>,
    /// What was marked as learned in messages before the last one, as a transcript or a plugin tells.
    pub learned: Vec<Learned>,
    /// A digest of everything that the host sent. It identifies the event if the host gives it no id.
    pub digest: Uuid,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A session begins.
    Start,
    /// A tool has ended.
    Tool(Box<Tool>),
    /// An agent, or a sub-agent, has ended its turn.
    AgentStop {
        /// What it said last.
        said: String,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// A session has ended, or a turn was interrupted. What the agent wrote is in the transcript.
    Over,
    /// A person has asked for something.
    Prompt(String),
    /// A known event with nothing to record.
    Other,
    /// An event that this program does not know.
    Unknown,
}

/// A tool that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name, as the host spells it.
    pub name: String,
    /// The host's id of this call.
    pub call: Option<String>,
    /// Its input.
    pub input: Value,
    /// The command, if it is a shell.
    pub command: Option<String>,
    /// Its output.
    pub output: String,
    /// How it ended.
    pub end: End,
    /// Whether the host says that a command ended, and with exit code 0, where [`End::Well`] may only mean that nothing is
    /// known: it still runs, or the host does not say how it ended.
    pub exited_well: bool,
}

/// How a tool has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Successfully.
    Well,
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// The exit code of a command.
        exit_code: Option<i64>,
    },
    /// The user, or a rule of theirs, stopped it.
    Stopped,
}

impl Event {
    /// The log of the session and the agent in which it happened. Touches no file.
    pub fn log<'h>(&self, home: &'h Home) -> SessionLog<'h> {
        SessionLog::of(home, &self.session, self.agent_id.as_deref().or(self.agent.as_deref()))
    }

    /// Whether an agent may have marked something as learned in what it said last.
    pub(super) fn may_have_markers(&self) -> bool {
        matches!(&self.kind, EventKind::AgentStop { said, .. } if super::learned::may_have_markers(said.as_bytes()))
    }

    /// The event in `payload`, which was sent as `bytes`. Without `host`, the payload tells which host sent it.
    pub fn of(payload: &Value, bytes: &[u8], host: Option<Host>) -> Event {
        let name = text_of(payload, &["hook_event_name", "hookEventName", "event"]).unwrap_or_default();
        let host = host.unwrap_or_else(|| Host::of(payload, &name));
        let roots = || payload.get("workspace_roots")?.get(0)?.as_str().map(clean);
        Event {
            host,
            kind: kind_of(payload, &name, host),
            session: text_of(payload, &["session_id", "sessionId", "conversation_id", "sessionID"]).unwrap_or_default(),
            agent: text_of(payload, &["agent_type", "subagent_type", "agent_id"]),
            agent_id: text_of(payload, &["agent_id", "subagent_id"]),
            prompt: text_of(payload, &["prompt_id", "turn_id", "generation_id"]),
            source: text_of(payload, &["source"]),
            parent: text_of(payload, &["parent_session_id", "parentSessionId", "forked_from", "parent_session"]),
            folder: text_of(payload, &["cwd", "directory"]).or_else(roots),
            transcript: transcript_of(payload, host, &name),
            root: None,
            learned: handed_over(payload, host),
            digest: Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes),
            name,
        }
    }
}

fn kind_of(payload: &Value, event: &str, host: Host) -> EventKind {
    let said = || {
        text_of(payload, &["last_assistant_message", "prompt_response", "text", "summary", "result"])
            .unwrap_or_default()
    };
    match event {
        "SessionStart" | "sessionStart" | "session.created" => EventKind::Start,
        "PostToolUse" | "AfterTool" | "postToolUse" | "tool.execute.after" => tool(payload, false, host),
        "PostToolUseFailure" | "postToolUseFailure" | "tool.error" => tool(payload, true, host),
        "Stop" | "AfterAgent" | "afterAgentResponse" | "session.idle" => {
            EventKind::AgentStop { said: said(), error: None }
        }
        "SessionEnd" | "Interrupt" => EventKind::Over,
        "UserPromptSubmit" | "BeforeAgent" | "beforeSubmitPrompt" | "chat.message" => {
            EventKind::Prompt(text_of(payload, &["prompt"]).unwrap_or_default())
        }
        "SubagentStop" | "subagentStop" => {
            let failed = || text_of(payload, &["error", "error_message"]).or_else(|| failed_status(payload));
            EventKind::AgentStop { said: said(), error: failed() }
        }
        "StopFailure" | "session.error" => {
            let error = error_in(payload).or_else(|| text_of(payload, &["error_details", "message"]));
            EventKind::AgentStop { said: said(), error: Some(error.unwrap_or_else(|| "the turn failed".into())) }
        }
        _ if OTHERS.contains(&event) => EventKind::Other,
        _ => EventKind::Unknown,
    }
}

/// The transcript to read at `event`: at the end of a sub-agent its own, else the session's.
fn transcript_of(payload: &Value, host: Host, event: &str) -> Option<String> {
    let is_read = matches!(host, Host::Claude | Host::Codex | Host::Gemini);
    match event {
        "Stop" | "AfterAgent" | "StopFailure" | "SessionEnd" | "Interrupt" if is_read => {
            text_of(payload, &["transcript_path"])
        }
        "SubagentStop" if is_read => text_of(payload, &["agent_transcript_path"]),
        _ => None,
    }
}

/// What OpenCode's plugin hands over: the messages of a session that have markers.
fn handed_over(payload: &Value, host: Host) -> Vec<Learned> {
    let messages = (host == Host::OpenCode).then(|| payload.get("messages").and_then(Value::as_array)).flatten();
    let texts = messages.into_iter().flatten().filter_map(Value::as_str);
    texts.flat_map(|text| learned_in_message(&clean(text))).take(HANDED_OVER_MAX).collect()
}

/// The other events of hosts. Nothing of them is recorded.
const OTHERS: [&str; 62] = [
    "Setup",
    "UserPromptExpansion",
    "PreToolUse",
    "PermissionRequest",
    "PermissionDenied",
    "PostToolBatch",
    "Notification",
    "MessageDisplay",
    "SubagentStart",
    "TaskCreated",
    "TaskCompleted",
    "TeammateIdle",
    "InstructionsLoaded",
    "ConfigChange",
    "CwdChanged",
    "DirectoryAdded",
    "FileChanged",
    "WorktreeCreate",
    "WorktreeRemove",
    "PreCompact",
    "PostCompact",
    "Elicitation",
    "ElicitationResult",
    "BeforeTool",
    "BeforeModel",
    "AfterModel",
    "BeforeToolSelection",
    "PreCompress",
    "sessionEnd",
    "preToolUse",
    "beforeShellExecution",
    "afterShellExecution",
    "beforeMCPExecution",
    "afterMCPExecution",
    "beforeReadFile",
    "beforeTabFileRead",
    "afterFileEdit",
    "afterTabFileEdit",
    "afterAgentThought",
    "subagentStart",
    "preCompact",
    "stop",
    "tool.execute.before",
    "session.compacted",
    "session.deleted",
    "session.updated",
    "session.status",
    "session.diff",
    "file.edited",
    "file.watcher.updated",
    "message.updated",
    "message.removed",
    "message.part.updated",
    "message.part.removed",
    "permission.updated",
    "permission.replied",
    "todo.updated",
    "command.executed",
    "lsp.updated",
    "lsp.client.diagnostics",
    "server.connected",
    "installation.updated",
];

fn tool(payload: &Value, failed: bool, host: Host) -> EventKind {
    let name = text_of(payload, &["tool_name", "toolName", "tool"]).unwrap_or_else(|| "a tool".into());
    let response = field(payload, &["tool_response", "tool_output", "tool_result", "output", "result_json"]);
    let response = unpacked(response);
    let input = unpacked(field(payload, &["tool_input", "args", "input"]));
    let command = command_of(&input);
    let output = shown(&response);
    let end = if stopped(payload) {
        End::Stopped
    } else if failed {
        let error = error_in(payload).or_else(|| error_in(&response)).unwrap_or_else(|| output.clone());
        let exit_code = exit_code_in(payload).or_else(|| exit_code_in(&response)).or_else(|| exit_code_said(&error));
        End::Failed { error, exit_code }
    } else {
        failure_in(&response, &output, command.is_some())
    };
    let call = text_of(payload, &["tool_use_id", "toolUseId", "tool_call_id", "callID", "call_id"]);
    let exit_code = exit_code_in(&response).or_else(|| exit_code_said(&output));
    let says_so = exit_code == Some(0) || exit_code.is_none() && FAILURES_ARE_TOLD.contains(&host);
    let exited_well = says_so && end == End::Well && !is_unfinished(&input, &response, &output);
    EventKind::Tool(Box::new(Tool { name, call, input, command, output, end, exited_well }))
}

/// The hosts that send another event, or an exit code, for each command that failed.
const FAILURES_ARE_TOLD: [Host; 3] = [Host::Claude, Host::Gemini, Host::Cursor];

/// Whether a command still runs, was interrupted, or ended with a code that the host takes for an answer.
fn is_unfinished(input: &Value, response: &Value, output: &str) -> bool {
    let is_true = |value: &Value, name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let has = |name: &str| response.get(name).is_some_and(|it| !it.is_null());
    ["run_in_background", "is_background"].iter().any(|name| is_true(input, name))
        || is_true(response, "interrupted")
        || ["backgroundTaskId", "shellId", "returnCodeInterpretation"].iter().any(|name| has(name))
        || output.lines().take(6).any(|line| line.starts_with("Process running with session ID"))
}

fn stopped(payload: &Value) -> bool {
    let refused = |text: String| matches!(text.as_str(), "permission_denied" | "aborted" | "cancelled" | "interrupted");
    payload.get("is_interrupt").and_then(Value::as_bool).unwrap_or(false)
        || text_of(payload, &["failure_type"]).is_some_and(refused)
        || text_of(payload, &["error", "error_message"]).is_some_and(|error| {
            error.starts_with("The user doesn't want to") || error.contains("The user rejected permission")
        })
}

/// How a tool ended, for hosts with one event for success and failure.
fn failure_in(response: &Value, output: &str, is_shell: bool) -> End {
    let said = || if is_shell { exit_code_said(output) } else { None };
    let exit_code = exit_code_in(response).or_else(said);
    let flag = |name: &str| response.get(name).and_then(Value::as_bool);
    let failed = exit_code.is_some_and(|code| code != 0)
        || flag("is_error") == Some(true)
        || flag("isError") == Some(true)
        || flag("success") == Some(false)
        || failed_status(response).is_some();
    match (error_in(response), failed) {
        (None, false) => End::Well,
        (error, _) => End::Failed { error: error.unwrap_or_else(|| output.to_owned()), exit_code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(payload: &Value) -> Event {
        Event::of(payload, b"bytes", None)
    }

    fn end(payload: &Value) -> End {
        match event(payload).kind {
            EventKind::Tool(tool) => tool.end,
            other => panic!("no tool: {other:?}"),
        }
    }

    #[test]
    fn failures_are_found_however_they_are_spelled() {
        let after = |response: Value| json!({"hook_event_name": "AfterTool", "tool_name": "sh", "tool_input": {"command": "x"}, "tool_response": response});
        for response in [
            json!({"exit_code": 2, "stdout": "no"}),
            json!({"metadata": {"exit_code": 2}, "output": "no"}),
            json!("{\"output\":\"no\",\"metadata\":{\"exit_code\":2}}"),
            json!("Exit code: 2\nWall time: 1 s\nOutput:\nno"),
            json!({"llmContent": "Output: no\nExit Code: 2\nProcess Group PGID: 7"}),
        ] {
            assert!(matches!(end(&after(response.clone())), End::Failed { exit_code: Some(2), .. }), "{response}");
        }
        for response in [
            json!({"is_error": true}),
            json!({"isError": true}),
            json!({"success": false}),
            json!({"error": {"message": "m"}}),
            json!({"status": "failed"}),
        ] {
            assert!(matches!(end(&after(response.clone())), End::Failed { exit_code: None, .. }), "{response}");
        }
        for response in [
            json!({"stdout": "fine", "error": null, "exit_code": 0}),
            json!({"error": ""}),
            json!("error: in the middle"),
            json!(null),
            json!([]),
        ] {
            assert_eq!(end(&after(response.clone())), End::Well, "{response}");
        }
    }

    #[test]
    fn a_command_exited_well_only_if_the_host_says_so() {
        let exited = |host: &str, input: Value, response: Value| {
            let payload = json!({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": input, "tool_response": response});
            match Event::of(&payload, b"bytes", Host::of_name(host)).kind {
                EventKind::Tool(tool) => tool.exited_well,
                other => panic!("no tool: {other:?}"),
            }
        };
        let make = || json!({"command": "make"});
        for (host, response) in [
            ("claude", json!({"stdout": "fine", "stderr": "", "interrupted": false})),
            ("gemini", json!({"llmContent": "Output: fine\nProcess Group PGID: 7"})),
            ("cursor", json!("{\"exitCode\": 0, \"stdout\": \"\"}")),
            ("opencode", json!({"output": "fine", "metadata": {"exit": 0}})),
            ("codex", json!("Chunk ID: 1\nWall time: 1 s\nProcess exited with code 0\nOutput:\nfine")),
        ] {
            assert!(exited(host, make(), response.clone()), "{host} {response}");
        }
        for (host, response) in [
            ("claude", json!({"stdout": "", "backgroundTaskId": "b1"})),
            ("claude", json!({"stdout": "", "interrupted": true})),
            ("claude", json!({"stdout": "", "returnCodeInterpretation": "No matches found"})),
            ("claude", json!({"exit_code": 2})),
            ("opencode", json!({"output": "fine", "metadata": {}})),
            ("codex", json!("fine")),
            ("codex", json!("Chunk ID: 1\nProcess running with session ID 4\nOutput:\n")),
        ] {
            assert!(!exited(host, make(), response.clone()), "{host} {response}");
        }
        assert!(!exited("claude", json!({"command": "make", "run_in_background": true}), json!({"stdout": ""})));
        assert!(!exited("gemini", json!({"command": "make", "is_background": true}), json!({"llmContent": ""})));
    }

    #[test]
    fn who_was_stopped_has_not_failed() {
        let failure = |field: &str, value: Value| json!({"hook_event_name": "PostToolUseFailure", "tool_name": "Bash", field: value});
        for payload in [
            failure("is_interrupt", json!(true)),
            failure("failure_type", json!("permission_denied")),
            failure("error", json!("The user doesn't want to proceed with this tool use.")),
        ] {
            assert_eq!(end(&payload), End::Stopped, "{payload}");
        }
    }

    #[test]
    fn fields_of_any_type_are_no_error() {
        let odd = json!({"hook_event_name": "PostToolUse", "tool_name": 7, "tool_input": [1], "tool_response": 3.5, "cwd": {}, "session_id": null, "workspace_roots": "x"});
        assert_eq!(end(&odd), End::Well);
        assert_eq!(event(&json!({"hook_event_name": ["x"]})).kind, EventKind::Unknown);
    }
}
