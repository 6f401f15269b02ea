//! Fields of a payload, under each of the names that hosts use for them. Pure.

use serde_json::Value;

use super::lenient;

pub(super) fn failed_status(value: &Value) -> Option<String> {
    let status = text_of(value, &["status"])?;
    matches!(status.as_str(), "error" | "failed" | "failure").then(|| format!("it ended with the status {status:?}"))
}

/// An error as text, or as an object with a message.
pub(super) fn error_in(value: &Value) -> Option<String> {
    match field(value, &["error", "error_message"]) {
        Value::Object(error) => {
            let data = error.get("data").and_then(|data| text_of(data, &["message"]));
            data.or_else(|| text_of(&Value::Object(error.clone()), &["message", "type", "name"]))
        }
        _ => text_of(value, &["error", "error_message"]),
    }
}

pub(super) fn exit_code_in(value: &Value) -> Option<i64> {
    let names = ["exit_code", "exitCode", "exit_status", "returncode", "exit"];
    let here = |value: &Value| names.iter().find_map(|name| value.get(name)?.as_i64());
    here(value).or_else(|| value.get("metadata").and_then(here))
}

/// The exit code that a host has written into the first or the last lines of a shell's output.
pub(super) fn exit_code_said(output: &str) -> Option<i64> {
    let said = |line: &str| {
        let lower = line.trim().to_ascii_lowercase();
        let after =
            ["exit code:", "exit code", "process exited with code"].iter().find_map(|it| lower.strip_prefix(it))?;
        after.trim().trim_end_matches('.').parse().ok()
    };
    output.lines().take(4).find_map(said).or_else(|| output.lines().rev().take(6).find_map(said))
}

/// The command of a shell: a line, or a list of words, of which the last may be the line behind `sh -c`.
pub(super) fn command_of(input: &Value) -> Option<String> {
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

/// The part of an answer that the agent saw. Gemini CLI puts a frame around it, and sends other texts for the person.
pub(super) fn shown(response: &Value) -> String {
    let framed = response.get("llmContent");
    let text = output_of(framed.unwrap_or(response));
    let inner = text.strip_prefix("<untrusted_context>\n").and_then(|text| text.strip_suffix("\n</untrusted_context>"));
    let inner = inner.unwrap_or(&text);
    // The first line of the output stands behind it.
    inner.strip_prefix("Output: ").filter(|_| framed.is_some()).unwrap_or(inner).to_owned()
}

/// Every text in an answer, each on its own lines.
pub(super) fn output_of(response: &Value) -> String {
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

/// The first of the fields `names` that is present and not null.
pub(super) fn field(value: &Value, names: &[&str]) -> Value {
    names.iter().find_map(|name| value.get(name).filter(|field| !field.is_null())).cloned().unwrap_or_default()
}

/// Parses a text that contains JSON, even if it is damaged.
pub(super) fn unpacked(value: Value) -> Value {
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
pub(super) fn text_of(value: &Value, names: &[&str]) -> Option<String> {
    let found = names.iter().find_map(|name| value.get(name)?.as_str().filter(|text| !text.trim().is_empty()));
    found.map(clean)
}

/// `text` without NUL, which cannot be recorded.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "␀")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gemini_shows_the_first_line_behind_a_word_of_its_own() {
        let framed = "<untrusted_context>\nOutput: a.c:3: error: x\nb\nExit Code: 1\n</untrusted_context>";
        let shown_of = |response: Value| shown(&response);
        assert_eq!(shown_of(json!({"llmContent": framed})), "a.c:3: error: x\nb\nExit Code: 1");
        assert_eq!(shown_of(json!({"stdout": "Output: a"})), "Output: a");
    }

    #[test]
    fn what_only_looks_like_an_exit_code_is_none() {
        let output = format!("a\nb\nc\nd\nExit code: 1\n{}", "line\n".repeat(10));
        assert_eq!(exit_code_said(&output), None);
        assert_eq!(exit_code_said("Exit codes: 1"), None);
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
}
