//! What an agent wrote, in a line of its host's transcript. Pure.
//!
//! | host | what an agent wrote | what it did not write |
//! | --- | --- | --- |
//! | Claude Code | `type` `assistant`, the blocks of type `text` | errors of the service (`isApiErrorMessage`, model `<synthetic>`), another session's lines (`sessionId`, `forkedFrom`), `isMeta` |
//! | Codex CLI | `response_item` of role `assistant`, `event_msg` of type `agent_message`, or of an item `AgentMessage` | messages among agents, which are JSON; what `compacted` repeats |
//! | Gemini CLI | `type` `gemini`, the parts with text | thoughts, what `$set` repeats |
//!
//! All else was written by a person, a tool or a host. A line without a field that says who wrote it counts as not written by
//! an agent.

use serde_json::Value;

use crate::hook::Host;

/// The texts that an agent of `session` wrote in `line`.
pub(super) fn written<'l>(host: Host, session: &str, line: &'l Value) -> Vec<&'l str> {
    match host {
        Host::Claude => claude(session, line),
        Host::Codex => codex(line),
        Host::Gemini => gemini(line),
        // Their plugin, or their events, hand over each message.
        Host::Cursor | Host::OpenCode => Vec::new(),
    }
}

/// The texts that an agent wrote in `content`, a transcript that is one JSON object, oldest first. Gemini CLI wrote such ones
/// before it appended lines.
pub(super) fn whole(host: Host, content: &[u8]) -> Vec<String> {
    let Ok(Value::Object(conversation)) = serde_json::from_slice(content) else { return Vec::new() };
    match (host, conversation.get("messages").and_then(Value::as_array)) {
        (Host::Gemini, Some(messages)) => messages.iter().flat_map(gemini).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The session that a transcript of Codex repeats first, if the session was forked. `lines` are its first lines. A fork's are what it
/// is (`session_meta`), then those of the session that it comes from, which begin with what that one is.
pub(super) fn root(lines: impl Iterator<Item = Value>) -> Option<String> {
    let mut root: Option<String> = None;
    for line in lines.take_while(|line| line["type"] == "session_meta") {
        let meta = &line["payload"];
        let is_next = root.as_deref().is_none_or(|root| meta["id"] == root);
        let parent = meta["forked_from_id"].as_str().filter(|parent| is_next && !parent.is_empty());
        match parent {
            Some(parent) => root = Some(parent.to_owned()),
            None => break,
        }
    }
    root
}

fn claude<'l>(session: &str, line: &'l Value) -> Vec<&'l str> {
    let message = &line["message"];
    let is = |name: &str| line[name] == Value::Bool(true);
    let is_of_session = line["sessionId"].as_str().is_none_or(|id| id == session) && line["forkedFrom"].is_null();
    let is_hosts = is("isMeta") || is("isApiErrorMessage") || message["model"] == "<synthetic>";
    if line["type"] != "assistant" || message["role"] != "assistant" || !is_of_session || is_hosts {
        return Vec::new();
    }
    texts(&message["content"], &["text"])
}

fn codex(line: &Value) -> Vec<&str> {
    let payload = &line["payload"];
    let texts = match (line["type"].as_str(), payload["type"].as_str()) {
        (Some("response_item"), Some("message")) if payload["role"] == "assistant" => {
            texts(&payload["content"], &["output_text", "text"])
        }
        (Some("event_msg"), Some("agent_message")) => payload["message"].as_str().into_iter().collect(),
        (Some("event_msg"), Some("item_completed")) if payload["item"]["type"] == "AgentMessage" => {
            texts(&payload["item"]["content"], &["Text"])
        }
        _ => Vec::new(),
    };
    texts.into_iter().filter(|text| !is_mail(text)).collect()
}

/// Whether `text` is a message from one agent to another.
fn is_mail(text: &str) -> bool {
    let is_object = text.trim_start().starts_with('{');
    let mail = if is_object { serde_json::from_str::<Value>(text).ok() } else { None };
    mail.is_some_and(|mail| ["author", "recipient"].iter().all(|field| mail[*field].is_string()))
}

fn gemini(line: &Value) -> Vec<&str> {
    if line["type"] != "gemini" {
        return Vec::new();
    }
    let of_part = |part: &Value| part["thought"] != Value::Bool(true);
    match &line["content"] {
        Value::String(text) => vec![text.as_str()],
        Value::Array(parts) => {
            let parts = parts.iter().filter(|part| part.is_string() || of_part(part));
            parts.filter_map(|part| part.as_str().or_else(|| part["text"].as_str())).collect()
        }
        part if of_part(part) => part["text"].as_str().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The texts in `content`: it is one, or a list of blocks, of which those of the types `types` are texts.
fn texts<'l>(content: &'l Value, types: &[&str]) -> Vec<&'l str> {
    match content {
        Value::String(text) => vec![text.as_str()],
        Value::Array(blocks) => {
            let is_text = |block: &&Value| block["type"].as_str().is_some_and(|kind| types.contains(&kind));
            blocks.iter().filter(is_text).filter_map(|block| block["text"].as_str()).collect()
        }
        _ => Vec::new(),
    }
}
