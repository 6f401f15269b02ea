//! A record becomes its files.

use std::borrow::Cow;

use jiff::Timestamp;

use super::yaml::Front;
use super::{LOG_KIND, path};
use crate::intent::{Experiment, FileImage, Heuristic, Learning, Record, RecordId};
use crate::text;

/// What stands between a hypothesis and its success criteria.
pub(super) const SUCCESS: &str = "\n\n## Success criteria\n\n";
/// What stands before the failure criteria.
pub(super) const FAILURE: &str = "\n\n## Failure criteria\n\n";

/// Decides a record's files: their paths, and every byte of them. The first is the record's own page.
///
/// The same arguments always give the same files. All paths pass [`check_path`](crate::intent::check_path), and differ
/// for ids whose last 8 digits differ; with `taken`, which says that another record's file is already there, for any two
/// ids. Times are kept to the millisecond.
pub fn files(id: RecordId, created_at: Timestamp, key: Option<&str>, record: &Record, taken: bool) -> Vec<FileImage> {
    let tail = if taken { id.to_string() } else { id.short() };
    let path = path::of(record, created_at, &tail);
    let text = page(id, created_at, key, record);
    let Record::Experiment(it) = record else { return vec![FileImage { path, text }] };
    vec![
        FileImage { path: format!("{path}/hypothesis.md"), text },
        FileImage { path: format!("{path}/log.md"), text: log(id, created_at, it) },
    ]
}

fn page(id: RecordId, created_at: Timestamp, key: Option<&str>, record: &Record) -> String {
    let mut front = opening(id, record.kind().name(), created_at);
    if let Some(key) = key {
        front.string("key", key);
    }
    let body = match record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => learning(&mut front, it),
        Record::Heuristic(it) => heuristic(&mut front, it),
        Record::Experiment(it) => experiment(&mut front, it),
    };
    front.page(&heading(record.headline()), &body)
}

fn opening(id: RecordId, kind: &str, created_at: Timestamp) -> Front {
    let mut front = Front::default();
    front.plain("id", id);
    front.plain("kind", kind);
    front.plain("created_at", format_args!("{created_at:.3}"));
    front
}

fn learning<'a>(front: &mut Front, it: &'a Learning) -> Cow<'a, str> {
    front.string("title", &it.title);
    front.string("domain", &it.domain);
    front.plain("severity", it.severity);
    if !it.tags.is_empty() {
        let items: Vec<_> = tag_items(&it.tags).collect();
        front.list("tags", items.iter().copied());
        if items.join(",") != it.tags {
            front.string("tags_exact", &it.tags);
        }
    }
    body(front, &it.summary)
}

fn heuristic<'a>(front: &mut Front, it: &'a Heuristic) -> Cow<'a, str> {
    front.string("rule", &it.rule);
    front.string("domain", &it.domain);
    front.string("source", &it.source);
    front.plain("confidence", number(it.confidence));
    body(front, &it.explanation)
}

fn experiment<'a>(front: &mut Front, it: &'a Experiment) -> Cow<'a, str> {
    front.string("name", &it.name);
    let parts = [("success_criteria", &it.success_criteria), ("failure_criteria", &it.failure_criteria)];
    for (name, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
        front.string(name, text);
    }
    let criteria = criteria(&it.success_criteria, &it.failure_criteria);
    if criteria.is_empty() {
        return body(front, &it.hypothesis);
    }
    front.string("body", &it.hypothesis);
    Cow::Owned(text::visible(&it.hypothesis).into_owned() + &criteria)
}

/// The shortest form that reads back as the same number. YAML 1.1 wants a point even where there is an exponent.
fn number(value: f64) -> String {
    let shown = format!("{value:?}");
    match shown.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => shown,
    }
}

/// The body as it is shown; where that is not the exact text, the front matter gets that.
fn body<'a>(front: &mut Front, exact: &'a str) -> Cow<'a, str> {
    let shown = text::visible(exact);
    if shown != exact {
        front.string("body", exact);
    }
    shown
}

/// An experiment's criteria as they are shown after its hypothesis.
pub(super) fn criteria(success: &str, failure: &str) -> String {
    let mut out = String::new();
    for (head, text) in [(SUCCESS, success), (FAILURE, failure)].into_iter().filter(|(_, text)| !text.is_empty()) {
        out.push_str(head);
        out.push_str(&text::visible(text));
    }
    out
}

/// The tags in a comma-separated string.
pub(super) fn tag_items(tags: &str) -> impl Iterator<Item = &str> {
    tags.split(',').map(str::trim).filter(|tag| !tag.is_empty())
}

fn log(id: RecordId, created_at: Timestamp, it: &Experiment) -> String {
    let mut front = opening(id, LOG_KIND, created_at);
    front.string("name", &it.name);
    let started = format!("- {}: started", created_at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    front.page(&format!("Log: {}", heading(&it.name)), &started)
}

/// `text` as a heading of one line that shows it and means nothing else.
pub(super) fn heading(text: &str) -> String {
    let plain = plain(text);
    if plain.is_empty() { "(untitled)".to_owned() } else { plain }
}

/// `text` without any meaning in markdown. Obsidian has one more than others: `%%` opens a comment that may hide the rest
/// of the page.
pub(super) fn plain(text: &str) -> String {
    let plain = text::plain_markdown(text);
    if plain.contains("%%") { plain.replace("%%", "\\%\\%") } else { plain }
}
