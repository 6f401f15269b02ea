//! Rendering a record to its files.

use std::borrow::Cow;

use jiff::Timestamp;

use super::yaml::Front;
use super::{AMENDED, FIRST, LOG_KIND, OUTCOME_KIND, REVISION};
use crate::model::text;
use crate::model::{
    Amended, Experiment, Field, FieldSpec, FileImage, Level, PROVENANCE, Record, RecordId, Request, Shape, body_of,
    fields_of, path,
};

/// The heading between a hypothesis and its success criteria.
pub(super) const SUCCESS: &str = "\n\n## Success criteria\n\n";
/// The heading before the failure criteria.
pub(super) const FAILURE: &str = "\n\n## Failure criteria\n\n";

/// Renders a record's files: their paths, in the folders of `level`, and every byte of them. The first is the record's
/// own page.
///
/// The same arguments always give the same files. All paths pass [`check_path`](crate::model::check_path), and differ
/// for ids whose last 8 digits differ. Times are kept to the millisecond.
pub fn files(id: RecordId, created_at: Timestamp, request: &Request, level: Level) -> Vec<FileImage> {
    let mut texts = vec![page(id, created_at, request, None)];
    if let Record::Experiment(it) = &request.record {
        texts.push(log(id, created_at, it));
    }
    let paths = path::files_of(id, &request.record, created_at, level);
    let mut files: Vec<_> = paths.into_iter().zip(texts).map(|(path, text)| FileImage { path, text }).collect();
    let outcome = files.first().and_then(|page| outcome_file(id, created_at, &request.record, None, &page.path));
    files.extend(outcome);
    files
}

/// The file beside the `page` of an experiment that has ended: how, when, and what came of it. `None` for any other record.
/// The same arguments always give the same file.
pub fn outcome_file(
    id: RecordId,
    created_at: Timestamp,
    record: &Record,
    amended: Option<&Amended>,
    page: &str,
) -> Option<FileImage> {
    let Record::Experiment(it) = record else { return None };
    let (path, result) = (path::outcome_beside(page)?, it.result?);
    let mut front = opening(id, OUTCOME_KIND, ended_at(created_at, amended));
    front.string("name", &it.name);
    front.plain("result", result);
    let body = text::visible(&it.outcome);
    let body = if it.outcome.trim().is_empty() { "It ended; nothing more was said.".into() } else { body };
    let text = front.page(&format!("Outcome: {result}"), &body);
    Some(FileImage { path, text })
}

/// When an experiment of that time, with these amendments, ended, if it has: when its result was last changed.
pub fn ended_at(created_at: Timestamp, amended: Option<&Amended>) -> Timestamp {
    let revision = amended.and_then(|amended| amended.fields.get(FieldSpec::of(Field::Result).name));
    revision.and_then(|revision| RecordId(revision.op).time()).unwrap_or(created_at)
}

/// When a record's content was last amended, as its page knows it; `None` if no revision has a time. What joins two amendments has no
/// time of its own: then it is that of the later one.
pub fn amended_at(amended: &Amended) -> Option<Timestamp> {
    let revisions = amended.fields.values().chain([&amended.revision]);
    revisions.filter_map(|revision| RecordId(revision.op).time()).max()
}

/// Every byte of the page of a record that was amended.
pub fn amended_page(id: RecordId, created_at: Timestamp, request: &Request, amended: &Amended) -> String {
    page(id, created_at, request, Some(amended))
}

/// Every byte of a record's page; `amended` says how it was amended, if it was.
pub fn page(id: RecordId, created_at: Timestamp, request: &Request, amended: Option<&Amended>) -> String {
    let Request { record, key, provenance } = request;
    let mut front = opening(id, record.kind().name(), created_at);
    match amended {
        None => front.plain(REVISION, FIRST),
        Some(amended) => {
            front.string(REVISION, &amended.revision.to_string());
            front.string(AMENDED, &amended.fields_line());
        }
    }
    if let Some(key) = key {
        front.string("key", key);
    }
    fields(&mut front, record);
    for spec in &PROVENANCE {
        if let Some(text) = provenance.text(spec.field) {
            front.string(spec.name, &text);
        }
    }
    let body = match record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => body(&mut front, &it.summary),
        Record::Heuristic(it) => body(&mut front, &it.explanation),
        Record::Experiment(it) => experiment_body(&mut front, it),
        Record::Verdict(it) => body(&mut front, &it.because),
    };
    let headline = match record {
        Record::Verdict(it) => format!("{}: {}", it.verdict, it.of.short()).into(),
        record => Cow::Borrowed(record.headline()),
    };
    front.page(&heading(&headline), &body)
}

/// Every field but the one that is the page's body, in the table's order.
fn fields(front: &mut Front, record: &Record) {
    for spec in fields_of(record.kind()).filter(|spec| Some(spec.field) != body_of(record.kind())) {
        let text = record.text(spec.field).unwrap_or_default();
        match spec.shape {
            Shape::Line { .. } => front.string(spec.name, &text),
            Shape::Severity | Shape::Confidence | Shape::Origin | Shape::Ruling => front.plain(spec.name, text),
            Shape::List { .. } | Shape::Body | Shape::Id | Shape::Result if text.is_empty() => {}
            Shape::Id | Shape::Result => front.plain(spec.name, text),
            Shape::Body => front.string(spec.name, &text),
            Shape::List { .. } => {
                let items: Vec<_> = tag_items(&text).collect();
                front.list(spec.name, items.iter().copied());
                if items.join(",") != text {
                    front.string("tags_exact", &text);
                }
            }
        }
    }
}

fn opening(id: RecordId, kind: &str, created_at: Timestamp) -> Front {
    let mut front = Front::default();
    front.plain("id", id);
    front.plain("kind", kind);
    front.plain("created_at", format_args!("{created_at:.3}"));
    front
}

/// An experiment's body: its hypothesis, then its criteria.
fn experiment_body<'a>(front: &mut Front, it: &'a Experiment) -> Cow<'a, str> {
    let criteria = criteria(&it.success_criteria, &it.failure_criteria);
    if criteria.is_empty() {
        return body(front, &it.hypothesis);
    }
    front.string("body", &it.hypothesis);
    Cow::Owned(text::visible(&it.hypothesis).into_owned() + &criteria)
}

/// The body as shown. If that is not the exact text, the front matter gets the exact text.
fn body<'a>(front: &mut Front, exact: &'a str) -> Cow<'a, str> {
    let shown = text::visible(exact);
    if shown != exact {
        front.string("body", exact);
    }
    shown
}

/// An experiment's criteria as shown after its hypothesis.
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

/// `text` as a one-line heading, with all other markdown escaped.
pub(super) fn heading(text: &str) -> String {
    let plain = plain(text);
    if plain.is_empty() { "(untitled)".to_owned() } else { plain }
}

/// `text` with all markdown escaped. Obsidian adds one rule: `%%` opens a comment that may hide the rest of the page.
pub(super) fn plain(text: &str) -> String {
    let plain = text::plain_markdown(text);
    if plain.contains("%%") { plain.replace("%%", "\\%\\%") } else { plain }
}
