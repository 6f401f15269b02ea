//! Reads what a host says only in its transcript. Codex CLI sends a hook the output of a command, but not its exit code. That
//! is in the transcript before the hook is called, in a line of its own:
//!
//! ```json
//! {"type": "event_msg", "payload": {"type": "item_completed", "item": {"type": "CommandExecution", "id": "call_7Yd", "exit_code": 1}}}
//! ```
//!
//! Nothing is written. If the transcript is missing, cut or has another format, the command counts as successful.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use super::{End, Event, EventKind, Host, lenient};

/// How much of a transcript is read, from its end, in bytes. The line is among the last few, and contains the output of the
/// command.
const BYTES_READ: u64 = 1 << 20;

/// Turns `event` into a failure if it is the end of a command of Codex, and the transcript named in `payload` says that the
/// command failed.
pub fn complete(event: &mut Event, payload: &Value) {
    let (Host::Codex, EventKind::Tool(tool)) = (event.host, &mut event.kind) else { return };
    let (End::Well, Some(_), Some(call)) = (&tool.end, &tool.command, &tool.call) else { return };
    let Some(transcript) = payload.get("transcript_path").and_then(Value::as_str) else { return };
    match last_of(transcript).and_then(|text| exit_code_in(&text, call)) {
        None => {}
        Some(0) => tool.exited_well = true,
        Some(exit_code) => {
            tool.exited_well = false;
            tool.end = End::Failed { error: tool.output.clone(), exit_code: Some(exit_code) };
        }
    }
}

/// The last lines of the file at `path`. Only a regular file is read: another one could block for ever.
fn last_of(path: &str) -> Option<String> {
    let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(size.saturating_sub(BYTES_READ))).ok()?;
    let mut bytes = Vec::new();
    file.take(BYTES_READ).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The exit code of `call`, from the lines of `transcript`.
fn exit_code_in(transcript: &str, call: &str) -> Option<i64> {
    transcript.lines().rev().filter(|line| line.contains(call)).find_map(|line| {
        let strict = serde_json::from_str(line).ok();
        let line: Value = strict.or_else(|| lenient::read(line.as_bytes()).objects.into_iter().next())?;
        let item = line.get("payload")?.get("item")?;
        (item.get("id")?.as_str()? == call).then(|| item.get("exit_code")?.as_i64()).flatten()
    })
}
