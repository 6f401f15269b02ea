//! The resources: a record by its id, and the golden rules.

use indelible::model::Kind;
use indelible::query::{Recorded, Selection, Sort, list as listed};
use indelible::search::{Filter, State};
use serde_json::{Value, json};

use super::quoting;
use super::tools::{self, Refusal, Session};
use crate::reading;

/// The beginning of a record's address.
const RECORD: &str = "indelible://record/";
/// The address of the golden rules.
const GOLDEN: &str = "indelible://golden";
/// How both are written.
const TYPE: &str = "text/markdown";
/// The most golden rules.
const GOLDEN_MAX: usize = 100;
const WHAT: &str = "the golden rules could not be read";

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
        "description": "The rules that a person promoted: of this project, and of no project",
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

/// The golden rules of this project and of none, the newest first, a line each.
fn golden(session: &Session) -> Result<String, Unread> {
    let (context, home) = session.open()?;
    let view = reading::view(&context, &home).map_err(Refusal::from)?;
    let filter = Filter { kinds: vec![Kind::Heuristic], states: vec![State::Golden], ..Filter::default() };
    let wanted = Selection { filter: &filter, sort: Sort::Newest, limit: 0, count_max: None };
    let refused = |error| Refusal::from(reading::failed(WHAT)(error));
    let rules = listed(&view, wanted).and_then(|listing| listing.records(&view)).map_err(refused)?;
    let here = reading::here();
    let is_told = |project: Option<&str>| project.is_none() || project == here.as_deref();
    let rules = rules.iter().filter(|rule| is_told(rule.provenance().project.as_deref())).take(GOLDEN_MAX);
    let line =
        |rule: &Recorded| format!("- {} ({})\n", quoting::line(rule.title()), quoting::about(rule, here.as_deref()));
    let text: String = rules.map(line).collect();
    Ok(if text.is_empty() { "There are no golden rules here.\n".into() } else { text })
}
