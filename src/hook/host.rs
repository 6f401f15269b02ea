//! What each host sends, spelled into one [`Event`]. Pure, and lenient: a field that is missing or of another type than
//! it was is a field less, never an error.
//!
//! | host | told by |
//! | --- | --- |
//! | OpenCode | `host`, which its plugin sets |
//! | Cursor | `conversation_id`, or an event in camel case |
//! | Gemini CLI | `timestamp`, or an event that it alone has |
//! | Codex CLI | `turn_id`, or a transcript beneath `.codex` |
//! | Claude Code | nothing of these |

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::lenient;

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

    /// Its own name for itself.
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
    fn of(payload: &Value, event: &str) -> Host {
        let has = |name: &str| payload.get(name).is_some();
        let ours_alone =
            ["BeforeTool", "AfterTool", "BeforeAgent", "AfterAgent", "BeforeModel", "AfterModel", "PreCompress"];
        if let Some(host) = text_of(payload, &["host"]).and_then(|name| Host::of_name(&name)) {
            host
        } else if has("conversation_id") || event.starts_with(|c: char| c.is_ascii_lowercase()) {
            Host::Cursor
        } else if has("timestamp") || ours_alone.contains(&event) {
            Host::Gemini
        } else if has("turn_id") || text_of(payload, &["transcript_path"]).is_some_and(|path| path.contains("/.codex/"))
        {
            Host::Codex
        } else {
            Host::Claude
        }
    }
}

/// What a host says has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who says it.
    pub host: Host,
    /// The event's name, as the host spells it; empty if it has none.
    pub name: String,
    /// What it is.
    pub moment: EventKind,
    /// In which session.
    pub session: String,
    /// The kind of sub-agent that it happened to, if it was one.
    pub agent: Option<String>,
    /// In which folder.
    pub folder: Option<String>,
    /// What tells the event from every other, where the host has no name for it: a digest of all that it sent.
    pub digest: Uuid,
}

/// What kind of thing has happened.
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
    /// Something that nothing is recorded of.
    Other,
    /// Nothing that this program knows.
    Unknown,
}

/// A tool that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name, as the host spells it.
    pub name: String,
    /// The host's name for this call of it.
    pub call: Option<String>,
    /// What it was given.
    pub input: Value,
    /// The command, if it is a shell.
    pub command: Option<String>,
    /// What it answered.
    pub output: String,
    /// How it ended.
    pub end: End,
}

/// How a tool has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Well,
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// What a command exited with.
        exit_code: Option<i64>,
    },
    /// The user, or a rule of theirs, stopped it.
    Stopped,
}

impl Event {
    /// The event that `payload` tells of, which came as `bytes`. `host` overrides what the payload looks like.
    pub fn of(payload: &Value, bytes: &[u8], host: Option<Host>) -> Event {
        let name = text_of(payload, &["hook_event_name", "hookEventName", "event"]).unwrap_or_default();
        let host = host.unwrap_or_else(|| Host::of(payload, &name));
        let roots = || payload.get("workspace_roots")?.get(0)?.as_str().map(clean);
        Event {
            host,
            moment: moment(payload, &name),
            session: text_of(payload, &["session_id", "sessionId", "conversation_id", "sessionID"]).unwrap_or_default(),
            agent: text_of(payload, &["agent_type", "subagent_type", "agent_id"]),
            folder: text_of(payload, &["cwd", "directory"]).or_else(roots),
            digest: Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes),
            name,
        }
    }
}

fn moment(payload: &Value, event: &str) -> EventKind {
    let said = || {
        text_of(payload, &["last_assistant_message", "prompt_response", "text", "summary", "result"])
            .unwrap_or_default()
    };
    match event {
        "SessionStart" | "sessionStart" | "session.created" => EventKind::Start,
        "PostToolUse" | "AfterTool" | "postToolUse" | "tool.execute.after" => tool(payload, false),
        "PostToolUseFailure" | "postToolUseFailure" | "tool.error" => tool(payload, true),
        "Stop" | "AfterAgent" | "afterAgentResponse" | "session.idle" => {
            EventKind::AgentStop { said: said(), error: None }
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

/// The events that hosts have beside those above. Nothing is recorded of them.
const OTHERS: [&str; 67] = [
    "Setup",
    "UserPromptSubmit",
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
    "SessionEnd",
    "Elicitation",
    "ElicitationResult",
    "Interrupt",
    "BeforeTool",
    "BeforeAgent",
    "BeforeModel",
    "AfterModel",
    "BeforeToolSelection",
    "PreCompress",
    "sessionEnd",
    "beforeSubmitPrompt",
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

fn tool(payload: &Value, failed: bool) -> EventKind {
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
    EventKind::Tool(Box::new(Tool { name, call, input, command, output, end }))
}

fn stopped(payload: &Value) -> bool {
    let refused = |text: String| matches!(text.as_str(), "permission_denied" | "aborted" | "cancelled" | "interrupted");
    payload.get("is_interrupt").and_then(Value::as_bool).unwrap_or(false)
        || text_of(payload, &["failure_type"]).is_some_and(refused)
        || text_of(payload, &["error", "error_message"]).is_some_and(|error| {
            error.starts_with("The user doesn't want to") || error.contains("The user rejected permission")
        })
}

/// How a tool ended whose host has one event for good ends and bad ones.
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

fn failed_status(value: &Value) -> Option<String> {
    let status = text_of(value, &["status"])?;
    matches!(status.as_str(), "error" | "failed" | "failure").then(|| format!("it ended with the status {status:?}"))
}

/// An error as text, or as an object with a message.
fn error_in(value: &Value) -> Option<String> {
    match field(value, &["error", "error_message"]) {
        Value::Object(error) => {
            let data = error.get("data").and_then(|data| text_of(data, &["message"]));
            data.or_else(|| text_of(&Value::Object(error.clone()), &["message", "type", "name"]))
        }
        _ => text_of(value, &["error", "error_message"]),
    }
}

fn exit_code_in(value: &Value) -> Option<i64> {
    let names = ["exit_code", "exitCode", "exit_status", "returncode", "exit"];
    let here = |value: &Value| names.iter().find_map(|name| value.get(name)?.as_i64());
    here(value).or_else(|| value.get("metadata").and_then(here))
}

/// The exit code that a host has put into the first or the last lines of a shell's output.
fn exit_code_said(output: &str) -> Option<i64> {
    let said = |line: &str| {
        let lower = line.trim().to_ascii_lowercase();
        let after =
            ["exit code:", "exit code", "process exited with code"].iter().find_map(|it| lower.strip_prefix(it))?;
        after.trim().trim_end_matches('.').parse().ok()
    };
    output.lines().take(4).find_map(said).or_else(|| output.lines().rev().take(6).find_map(said))
}

/// The command that a shell was given: a line, or a list of words, of which the last is the line behind `sh -c`.
fn command_of(input: &Value) -> Option<String> {
    match field(input, &["command", "cmd"]) {
        Value::String(command) => Some(clean(&command)),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            match words.as_slice() {
                [_, flag, line] if flag.starts_with('-') && flag.ends_with('c') => Some(clean(line)),
                words => Some(clean(&words.join(" "))),
            }
        }
        _ => None,
    }
    .filter(|command| !command.trim().is_empty())
}

/// The texts of an answer that its agent was shown. Gemini CLI puts a frame around them, and has others beside them, for
/// the person.
fn shown(response: &Value) -> String {
    let text = output_of(response.get("llmContent").unwrap_or(response));
    let inner = text.strip_prefix("<untrusted_context>\n").and_then(|text| text.strip_suffix("\n</untrusted_context>"));
    inner.unwrap_or(&text).to_owned()
}

/// Every text of an answer, each on lines of its own.
fn output_of(response: &Value) -> String {
    fn collect(value: &Value, out: &mut String) {
        match value {
            Value::String(text) if !text.is_empty() => {
                if !out.is_empty() && !out.ends_with('\n') {
                    out.push('\n');
                }
                out.push_str(text);
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, out)),
            _ => {}
        }
    }
    let mut out = String::new();
    collect(response, &mut out);
    clean(&out)
}

/// The first of the fields `names` that is there and not null.
fn field(value: &Value, names: &[&str]) -> Value {
    names.iter().find_map(|name| value.get(name).filter(|field| !field.is_null())).cloned().unwrap_or_default()
}

/// JSON within a text is taken for what it says, also where a byte of it is damaged.
fn unpacked(value: Value) -> Value {
    match &value {
        Value::String(text) if text.trim_start().starts_with('{') => {
            let damaged = || {
                let mut found = lenient::read(text.as_bytes());
                let alone = found.is_whole && found.objects.len() == 1 && text.trim_start().starts_with("{\"");
                if alone { found.objects.pop() } else { None }
            };
            serde_json::from_str(text).ok().or_else(damaged).unwrap_or(value)
        }
        _ => value,
    }
}

/// The first of the fields `names` that is text and not blank.
fn text_of(value: &Value, names: &[&str]) -> Option<String> {
    let found = names.iter().find_map(|name| value.get(name)?.as_str().filter(|text| !text.trim().is_empty()));
    found.map(clean)
}

/// NUL cannot be recorded.
fn clean(text: &str) -> String {
    text.replace('\0', "␀")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(payload: &Value) -> Event {
        Event::of(payload, b"bytes", None)
    }

    fn end(payload: &Value) -> End {
        match event(payload).moment {
            EventKind::Tool(tool) => tool.end,
            other => panic!("no tool: {other:?}"),
        }
    }

    #[test]
    fn hosts_are_told_apart() {
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
            assert_eq!(event(&payload).host, host, "{payload}");
        }
        let said = json!({"hook_event_name": "Stop", "turn_id": "t"});
        assert_eq!(Event::of(&said, b"", Some(Host::Gemini)).host, Host::Gemini);
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
    fn what_only_looks_like_an_exit_code_is_none() {
        let output = format!("a\nb\nc\nd\nExit code: 1\n{}", "line\n".repeat(10));
        assert_eq!(exit_code_said(&output), None);
        assert_eq!(exit_code_said("Exit codes: 1"), None);
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
    fn commands_are_lines_or_lists() {
        for (input, command) in [
            (json!({"command": "ls -l"}), Some("ls -l")),
            (json!({"command": ["bash", "-lc", "ls -l"]}), Some("ls -l")),
            (json!({"command": ["ls", "-l"]}), Some("ls -l")),
            (json!({"file_path": "/x"}), None),
            (json!({"command": 7}), None),
        ] {
            assert_eq!(command_of(&input).as_deref(), command, "{input}");
        }
    }

    #[test]
    fn fields_of_any_type_are_no_error() {
        let odd = json!({"hook_event_name": "PostToolUse", "tool_name": 7, "tool_input": [1], "tool_response": 3.5, "cwd": {}, "session_id": null, "workspace_roots": "x"});
        assert_eq!(end(&odd), End::Well);
        assert_eq!(event(&json!({"hook_event_name": ["x"]})).moment, EventKind::Unknown);
    }
}
