//! `get`: whole records, in at most 24 KB.

use indelible::model::RecordId;
use indelible::page::Presence;
use indelible::query::{Named, Seen, View, lookup};
use serde_json::{Value, json};

use super::super::protocol::shown;
use super::super::quoting;
use super::arguments::{Arguments, wrong};
use super::{Refusal, Session, Tool, is_id};
use crate::reading;

/// The longest answer, in bytes.
pub const BYTES_MAX: usize = 24 << 10;
/// What is kept of it for what is said of each record that is not shown, in bytes.
const AROUND_BYTES_MAX: usize = 200;
/// The most records of a call.
const IDS_MAX: usize = 10;
const WHAT: &str = "the record could not be read";

pub const TOOL: Tool = Tool {
    name: "get",
    title: "Read records",
    description: "Read whole records, by the ids that `search` gave.",
    parameters,
    required: &["ids"],
    is_read_only: true,
    call,
};

fn parameters() -> Value {
    json!({ "ids": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": IDS_MAX } })
}

fn call(session: &mut Session, arguments: &Arguments<'_>) -> Result<String, Refusal> {
    let ids = arguments.texts("ids")?;
    if ids.is_empty() || ids.len() > IDS_MAX {
        return Err(wrong("ids", &format!("has to have 1 to {IDS_MAX} ids")));
    }
    let (context, home) = session.open()?;
    let view = reading::view(&context, &home)?;
    let here = reading::here();
    let (mut text, mut unknown) = (String::new(), Vec::new());
    for (at, id) in ids.iter().enumerate() {
        let left = BYTES_MAX.saturating_sub(text.len() + AROUND_BYTES_MAX * (ids.len() - at));
        match record(&view, id, here.as_deref())? {
            Ok(record) => text.push_str(&fitted(&record, id, left)),
            Err(problem) => unknown.push(problem),
        }
    }
    match unknown.is_empty() {
        true => Ok(text),
        false => Err(Refusal(format!("{text}{}", wrong("ids", &unknown.join("; ")).0))),
    }
}

/// `record`, the text of the record `id`, cut where it does not fit.
fn fitted(record: &str, id: &str, bytes_max: usize) -> String {
    if record.len() <= bytes_max {
        return format!("{record}\n");
    }
    let kept = quoting::cut(record, bytes_max);
    format!("{kept}\n({} bytes more: `indelible show {}`)\n\n", record.len() - kept.len(), shown(id))
}

/// The text of the record that `id` names, or why there is none.
pub fn record(view: &View<'_>, id: &str, here: Option<&str>) -> Result<Result<String, String>, Refusal> {
    if !is_id(id) {
        return Ok(Err(format!("{} is no id", shown(id))));
    }
    Ok(match lookup(view, id, None).map_err(reading::failed(WHAT))? {
        Named::Nothing => Err(format!("{id} is not known")),
        Named::Several { ids, is_more } => {
            let ids: Vec<String> = reading::candidates(ids.iter().map(RecordId::to_string), is_more);
            Err(format!("{id} is the end of several: {}", ids.join(", ")))
        }
        Named::One { id, path } => match view.get(id, path.as_deref()).map_err(reading::failed(WHAT))? {
            Seen::Visible(recorded) => {
                let recorded = quoting::confirmed(view, *recorded).map_err(reading::failed(WHAT))?;
                Ok(quoting::whole(&recorded, here))
            }
            Seen::Hidden(mark) => {
                Err(format!("{id} was {}", mark.map_or(Presence::Retracted, |mark| mark.state).name()))
            }
            Seen::Unknown => Err(format!("{id} is not known")),
        },
    })
}
