//! The resources: a record by its id, and the golden rules.

use indelible::pack::Depth;
use serde_json::{Value, json};

use super::tools::{self, Refusal, Session};
use crate::reading;

/// The beginning of a record's address.
const RECORD: &str = "indelible://record/";
/// The address of the golden rules.
const GOLDEN: &str = "indelible://golden";
/// How both are written.
const TYPE: &str = "text/markdown";
/// The most tokens of golden rules.
const GOLDEN_TOKENS_MAX: usize = 8_000;

/// Why a resource was not read.
pub enum Unread {
    /// It does not exist.
    Missing,
    /// The home could not be read.
    Failed(String),
}

impl From<Refusal> for Unread {
    fn from(Refusal(why): Refusal) -> Unread {
        Unread::Failed(why)
    }
}

/// The resources as `resources/list` shows them.
pub fn list() -> Vec<Value> {
    vec![json!({
        "uri": GOLDEN,
        "name": "golden",
        "title": "Golden rules",
        "description": "The rules that a person promoted, as far as they hold here",
        "mimeType": TYPE,
    })]
}

/// The templates as `resources/templates/list` shows them.
pub fn templates() -> Vec<Value> {
    vec![json!({
        "uriTemplate": format!("{RECORD}{{id}}"),
        "name": "record",
        "title": "A record",
        "description": "All of a record, by its id or the end of it",
        "mimeType": TYPE,
    })]
}

/// The content of the resource at `uri`.
///
/// # Errors
/// [`Unread`].
pub fn read(session: &Session, uri: &str) -> Result<Value, Unread> {
    let text = match uri.strip_prefix(RECORD) {
        Some(id) => record(session, id)?,
        None if uri == GOLDEN => golden(session)?,
        None => return Err(Unread::Missing),
    };
    Ok(json!({ "uri": uri, "mimeType": TYPE, "text": text }))
}

fn record(session: &Session, id: &str) -> Result<String, Unread> {
    let (context, home) = session.open()?;
    let view = reading::view(&context, &home).map_err(Refusal::from)?;
    let text = tools::record_text(&view, id, reading::here().as_deref())?;
    text.map_err(|_| Unread::Missing)
}

/// The golden rules that may be told here.
fn golden(session: &Session) -> Result<String, Unread> {
    let told = tools::told(session, None, Depth::Minimal, GOLDEN_TOKENS_MAX)?;
    Ok(if told.is_empty() { "There are no golden rules here.\n".into() } else { told })
}
