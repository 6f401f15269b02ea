//! Parsing a page back into its record, whatever its owner and their tools did to it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::write::{FAILURE, SUCCESS, criteria, tag_items};
use super::{AMENDED, FIRST, LOG_KIND, NotARecord, OUTCOME_KIND, PAGE_BYTES_MAX, PageKind, Parsed, REVISION};
use crate::model::text;
use crate::model::{
    Amended, Field, FieldSpec, Invalid, Kind, PROVENANCE, Provenance, Record, RecordId, Request, Revision, Shape,
    body_of,
};

/// The front matter's values by name, each as its text. They are interpreted only after YAML is done with, so `4`,
/// `"4"` and `high` are all the same to it. Unknown names are skipped. `T` is the shape of the tags.
struct Front<T> {
    values: HashMap<&'static str, String>,
    tags: Option<T>,
}

/// The names in the front matter that are not fields of a record.
const BESIDE: [&str; 8] = ["id", "kind", "created_at", "key", REVISION, AMENDED, TAGS_EXACT, BODY];
/// The exact text of tags that the list does not show.
const TAGS_EXACT: &str = "tags_exact";
/// The exact text of a body that the page shows in its visible form.
const BODY: &str = "body";

impl<T> Front<T> {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Front<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FrontVisitor(PhantomData))
    }
}

struct FrontVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FrontVisitor<T> {
    type Value = Front<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut front = Front { values: HashMap::new(), tags: None };
        while let Some(name) = map.next_key::<String>()? {
            let field = FieldSpec::named(&name);
            let known = BESIDE.into_iter().find(|beside| *beside == name).or(field.map(|spec| spec.name));
            match (known, field.map(|spec| spec.shape)) {
                (_, Some(Shape::List { .. })) => front.tags = map.next_value()?,
                (Some(known), _) => {
                    if let Some(value) = map.next_value::<Option<String>>()? {
                        front.values.insert(known, value);
                    }
                }
                (None, _) => {
                    let _: IgnoredAny = map.next_value()?;
                }
            }
        }
        Ok(front)
    }
}

/// Reads a record's page, or an experiment's log or outcome.
///
/// For a page as [`files`](super::files) made it, the result is exactly what it was made of. For an edited one it is
/// what the page now says. It accepts keys in any order and any YAML style, CRLF line ends, a byte order mark,
/// severities and confidences as words, and dates in the usual forms (UTC if they name no zone); unknown keys are
/// skipped. A missing or invalid time is the id's own; a missing domain is empty, a missing severity 3, a missing
/// source `observation`, a missing confidence 0.5.
///
/// # Errors
/// [`NotARecord`] says what is wrong. It never panics, and needs memory in proportion to the page alone, which may not
/// be longer than [`PAGE_BYTES_MAX`].
pub fn parse(bytes: &[u8]) -> Result<Parsed, NotARecord> {
    if bytes.len() > PAGE_BYTES_MAX {
        return Err(NotARecord::TooLong { bytes: bytes.len() });
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(NotARecord::Nul { at });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| NotARecord::NotUtf8 { at: error.valid_up_to() })?;
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let (front, page) = split(text.as_bytes()).ok_or(NotARecord::NoFrontMatter)?;
    let utf8 = |part| std::str::from_utf8(part).expect("a line of UTF-8 ends where a character does");
    let front = front_matter(utf8(front))?;
    let required = |field| front.get(field).ok_or(NotARecord::Missing { field });
    let id = required("id")?;
    let id: RecordId = id.trim().parse().map_err(|_| bad("id", id))?;
    let created_at = front.get("created_at").and_then(time).or_else(|| id.time());
    let created_at = created_at.ok_or(NotARecord::Missing { field: "created_at" })?;
    let kind = required("kind")?.trim().to_ascii_lowercase();
    let (kind, request) = match kind.as_str() {
        LOG_KIND => (PageKind::Log, None),
        OUTCOME_KIND => (PageKind::Outcome, None),
        kind => {
            let kind = kind.parse().map_err(|_| bad("kind", kind))?;
            let record = record(kind, &front, shown_body(utf8(page)))?;
            let key = front.get("key").map(str::to_owned);
            (PageKind::Record, Some(Request { record, key, provenance: provenance(&front) }))
        }
    };
    let revision = front.get(REVISION).and_then(|text| revision(text, id));
    let fields = front.get(AMENDED).map(Amended::fields_of_line).unwrap_or_default();
    Ok(Parsed { id, kind, created_at, revision, fields, request })
}

/// The revision in the page of `id`.
fn revision(text: &str, id: RecordId) -> Option<Revision> {
    let text = text.trim();
    if text == FIRST { Some(Revision::first(id)) } else { text.parse().ok() }
}

/// The front matter of a file that is not a record's page: the values of `names`, each as its text, as far as present.
/// `None` if it is torn.
pub(super) fn front_texts(bytes: &[u8], names: &[&'static str]) -> Option<HashMap<&'static str, String>> {
    (!bytes.contains(&0)).then_some(())?;
    let (front, _) = split(bytes).filter(|_| bytes.ends_with(b"\n"))?;
    let all: HashMap<String, Option<String>> = from_yaml(std::str::from_utf8(front).ok()?).ok()?;
    Some(names.iter().filter_map(|name| Some((*name, all.get(*name)?.clone()?))).collect())
}

/// The id in the front matter of a file, if it has one. It reads only that, cheaply, even if the rest is damaged YAML
/// or not UTF-8, since a person's slip is still that person's edit.
///
/// `None` for a file with a NUL byte anywhere, for front matter that does not end, and for an id only in the body.
pub fn id_of(bytes: &[u8]) -> Option<RecordId> {
    if bytes.contains(&0) {
        return None;
    }
    let (front, _) = split(bytes)?;
    let value = front.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        (!name.starts_with([' ', '\t']) && unquoted(name) == "id").then_some(value)
    })?;
    let value = value.split_once(" #").map_or(value, |(value, _)| value);
    unquoted(value).parse().ok()
}

/// The revision in the page of `id`, cheaply; `None` if that is the first, or missing.
pub fn later_revision_of(id: RecordId, bytes: &[u8]) -> Option<Revision> {
    let (front, _) = split(bytes)?;
    let value = front.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        (!name.starts_with([' ', '\t']) && unquoted(name) == REVISION).then_some(value)
    })?;
    revision(unquoted(value), id).filter(|revision| *revision > Revision::first(id))
}

/// The front matter of a page that is not a record's, in the shape of `F`, and the text after it.
///
/// `None` for a page without front matter, and for one whose front matter is not YAML, or not in that shape.
pub(crate) fn front_and_rest<F: DeserializeOwned>(page: &str) -> Option<(F, &str)> {
    let (front, rest) = split(page.as_bytes())?;
    let front = from_yaml(std::str::from_utf8(front).ok()?).ok()?;
    Some((front, std::str::from_utf8(rest).ok()?))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Whether `name` is one that we write into a record's front matter.
pub(super) fn is_known(name: &str) -> bool {
    BESIDE.contains(&name) || FieldSpec::named(name).is_some()
}

/// The bytes between the first line `---` and the next one, and the bytes after that.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let opening = lines.next().filter(|line| line.trim_ascii_end() == b"---")?;
    let rest = &bytes[opening.len()..];
    let mut end = 0;
    for line in lines {
        if line.trim_ascii_end() == b"---" {
            return Some((&rest[..end], &rest[end + line.len()..]));
        }
        end += line.len();
    }
    None
}

fn front_matter(yaml: &str) -> Result<Front<String>, NotARecord> {
    // Serde asks for one shape at a time, and interpreting a plain value by YAML's rules would lose its spelling.
    if let Ok(front) = from_yaml::<Front<Vec<Option<String>>>>(yaml) {
        return Ok(front.with_tags(|list| list.into_iter().flatten().collect::<Vec<_>>().join(",")));
    }
    if let Ok(front) = from_yaml::<Front<String>>(yaml) {
        return Ok(front);
    }
    // Invalid tags do not lose the record.
    let front = from_yaml::<Front<IgnoredAny>>(yaml).map_err(|reason| NotARecord::Yaml { reason })?;
    Ok(front.with_tags(|_| String::new()))
}

fn from_yaml<F: DeserializeOwned>(yaml: &str) -> Result<F, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_events: 100_000,
            max_nodes: 50_000,
            max_documents: 1,
            max_anchors: 100,
            max_aliases: 100,
            max_recorded_anchor_events: 10_000,
            max_recorded_anchor_bytes: 1 << 20,
            max_total_scalar_bytes: PAGE_BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::FirstWins,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| short(&error.to_string()))
}

impl<T> Front<T> {
    fn with_tags<U>(self, tags: impl FnOnce(T) -> U) -> Front<U> {
        Front { values: self.values, tags: self.tags.map(tags) }
    }
}

/// The body on the page: what follows the heading, which is the first non-empty line, if that is a heading.
fn shown_body(page: &str) -> &str {
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('\n').filter(|(line, _)| line.trim().is_empty()) {
        rest = after;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    if line.starts_with("# ") || line.trim_end() == "#" {
        rest = after.strip_prefix('\n').unwrap_or(after);
    }
    rest.strip_suffix('\n').unwrap_or(rest)
}

fn record(kind: Kind, front: &Front<String>, shown: &str) -> Result<Record, NotARecord> {
    let experiment = (kind == Kind::Experiment).then(|| Texts::of(front, shown));
    let value = |spec: &FieldSpec| {
        Ok(match (spec.field, &experiment) {
            (Field::Hypothesis, Some(texts)) => Some(texts.hypothesis.clone()),
            (Field::SuccessCriteria, Some(texts)) => Some(texts.success_criteria.clone()),
            (Field::FailureCriteria, Some(texts)) => Some(texts.failure_criteria.clone()),
            (field, _) if body_of(kind) == Some(field) => Some(agreed(front.get(BODY), shown)),
            (Field::Tags, _) => Some(tags(front)),
            // A record is not lost because its domain was removed.
            (Field::Domain, _) => Some(front.get(spec.name).unwrap_or_default().to_owned()),
            _ => front.get(spec.name).map(str::to_owned),
        })
    };
    let wrong = |error: Invalid| match front.get(error.field) {
        Some(value) => bad(error.field, value),
        None => NotARecord::Missing { field: error.field },
    };
    Record::build(kind, value).map_err(wrong)
}

/// The record's provenance, as far as its page says. An invalid origin does not lose the record.
fn provenance(front: &Front<String>) -> Provenance {
    let mut provenance = Provenance::default();
    for spec in &PROVENANCE {
        if let Some(text) = front.get(spec.name).filter(|text| spec.check(text).is_ok()) {
            let _ = provenance.set(spec.field, text.to_owned());
        }
    }
    provenance
}

/// The texts of an experiment, which share its page's body.
struct Texts {
    hypothesis: String,
    success_criteria: String,
    failure_criteria: String,
}

impl Texts {
    fn of(front: &Front<String>, shown: &str) -> Texts {
        let exact = |name| front.get(name).unwrap_or_default();
        let (success, failure) = (exact("success_criteria"), exact("failure_criteria"));
        let (hypothesis, tail) = match success.is_empty() && failure.is_empty() {
            true => (shown, ""),
            false => split_hypothesis(shown, front.get(BODY), &criteria(success, failure)),
        };
        let (shown_success, shown_failure) = split_criteria(tail, success, failure);
        Texts {
            hypothesis: agreed(front.get(BODY), hypothesis),
            success_criteria: agreed(Some(success), shown_success),
            failure_criteria: agreed(Some(failure), shown_failure),
        }
    }
}

/// The exact text if what is shown is its visible form, otherwise what is shown.
fn agreed(exact: Option<&str>, shown: &str) -> String {
    exact.filter(|exact| text::visible(exact) == shown).unwrap_or(shown).to_owned()
}

/// The hypothesis on the page, and the criteria after it. A hypothesis may itself contain such headings, so it is
/// recognised by its exact text, or otherwise the criteria are by theirs. Only if both were edited do the last such
/// headings decide.
fn split_hypothesis<'a>(shown: &'a str, exact: Option<&str>, criteria: &str) -> (&'a str, &'a str) {
    let after = exact.and_then(|exact| shown.strip_prefix(&*text::visible(exact)));
    if let Some(tail) = after.filter(|tail| tail.is_empty() || tail.starts_with(SUCCESS) || tail.starts_with(FAILURE)) {
        return (&shown[..shown.len() - tail.len()], tail);
    }
    if let Some(hypothesis) = shown.strip_suffix(criteria) {
        return (hypothesis, &shown[hypothesis.len()..]);
    }
    let at = last_line(shown, SUCCESS).or_else(|| last_line(shown, FAILURE)).unwrap_or(shown.len());
    (shown[..at].trim_end_matches('\n'), &shown[at..])
}

/// The success criteria and the failure criteria after a hypothesis, by the same rule.
fn split_criteria<'a>(tail: &'a str, success: &str, failure: &str) -> (&'a str, &'a str) {
    if let Some(rest) = tail.strip_prefix(FAILURE) {
        return ("", rest);
    }
    let Some(tail) = tail.strip_prefix(SUCCESS) else { return by_headings(tail) };
    let after = tail.strip_prefix(&*text::visible(success));
    if let Some((rest, failure)) = after.and_then(|rest| Some((rest, rest.strip_prefix(FAILURE)?))) {
        return (&tail[..tail.len() - rest.len()], failure);
    }
    if after == Some("") {
        return (tail, "");
    }
    match tail.strip_suffix(&*text::visible(failure)).and_then(|rest| rest.strip_suffix(FAILURE)) {
        Some(success) => (success, &tail[success.len() + FAILURE.len()..]),
        None => by_headings(tail),
    }
}

fn by_headings(tail: &str) -> (&str, &str) {
    let (success, failure) = tail.split_at(last_line(tail, FAILURE).unwrap_or(tail.len()));
    (beneath(success, SUCCESS), beneath(failure, FAILURE))
}

/// The text beneath the heading `head`, without the blank lines around it.
fn beneath<'a>(section: &'a str, head: &str) -> &'a str {
    let section = section.trim_matches('\n');
    section.strip_prefix(head.trim()).unwrap_or(section).trim_matches('\n')
}

/// The start of the last line that equals `head`.
fn last_line(text: &str, head: &str) -> Option<usize> {
    let mut at = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == head.trim() {
            found = Some(at);
        }
        at += line.len();
    }
    found
}

fn tags(front: &Front<String>) -> String {
    let listed = front.tags.as_deref().unwrap_or_default();
    let exact = front.get(TAGS_EXACT).filter(|exact| tag_items(exact).eq(tag_items(listed)));
    exact.unwrap_or(listed).to_owned()
}

/// Parses a time as people and tools write it: RFC 3339, a date alone, with slashes, with a space, without a zone.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let bare = text.strip_suffix("UTC").map_or(text, str::trim_end).replace('/', "-");
    let civil: DateTime = bare.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn bad(field: &'static str, value: &str) -> NotARecord {
    NotARecord::Bad { field, value: short(value) }
}

fn short(text: &str) -> String {
    text::shortened(text, 200).into_owned()
}
