//! Judging the bytes of a record's file that its owner edited: which fields changed, or why the edit cannot be taken. Pure.
//!
//! 1. The front matter's `revision` is what the edit was made from. A field that is as in that revision is no part of the edit, so an
//!    editor that was opened before an amendment does not undo it.
//! 2. Byte order marks, CR before LF and line breaks at the end of a body are no edit.
//! 3. A heading that was changed alone is a new headline: people correct what they see.
//! 4. Where a record comes from, its key, kind, id and time are not edited. A file that says other ones is not taken.
//! 5. Unless a person asks for it, a body that became empty, or the beginning of what it was, is not taken: it may be half of a save.
//! 6. The page of a taken edit is its owner's own text, with the new revision in it: comments and names that are not ours stay. Only if
//!    other fields changed meanwhile it is rendered.

use std::borrow::Cow;

use jiff::Timestamp;

use super::read::{is_known, split};
use super::revise::Amendable;
use super::write::heading;
use super::yaml::Front;
use super::{AMENDED, NotARecord, PageKind, Parsed, REVISION, parse};
use crate::model::{
    Amended, Field, FieldSpec, Invalid, Kind, Op, Record, Request, Revision, Shape, body_of, fields_of,
};

/// Why a file in a record's place is not taken as an edit of the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is no page.
    #[error(transparent)]
    Unreadable(#[from] NotARecord),
    /// It says another value of something that is not edited.
    #[error("its {0} is not the record's")]
    Other(&'static str),
    /// It is a verdict.
    #[error("a verdict is not edited: retract it, and give another one")]
    Verdict,
    /// It does not say from which revision the edit was made.
    #[error("it has no `revision`, so what was edited cannot be said")]
    NoRevision,
    /// It says a revision that the record never had.
    #[error("the record never had its revision {0}")]
    NoBase(Revision),
    /// It may be half of a save.
    #[error("its text is the beginning of what it was, or empty: it may be half of a save")]
    Cut,
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Who asks for an edit to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A person, now.
    Asked,
    /// The worker, which found it.
    Found,
}

/// The record that `current` becomes by the edit `bytes` of its page; `None` if no field was edited. `base` is the record as it was at
/// an earlier revision, if it is known.
///
/// # Errors
/// [`NotTaken`] says why the edit cannot be taken.
pub fn edited(
    current: &Amendable,
    bytes: &[u8],
    by: By,
    base: impl FnOnce(Revision) -> Option<Record>,
) -> Result<Option<Record>, NotTaken> {
    let parsed = parse(bytes)?;
    let theirs = same_record(current, &parsed)?;
    let ours = &current.request.record;
    let first = Revision::first(current.id);
    let revision = match parsed.revision {
        Some(revision) => revision,
        // A page from before there were revisions.
        None if current.revision == first => first,
        None => return Err(NotTaken::NoRevision),
    };
    let base = match revision == current.revision {
        true => Cow::Borrowed(ours),
        false => Cow::Owned(base(revision).ok_or(NotTaken::NoBase(revision))?),
    };
    let mut record = ours.clone();
    let headline = new_headline(bytes, &base, theirs);
    for spec in fields_of(base.kind()) {
        let (was, mut is) = (text(&base, spec.field), text(theirs, spec.field));
        if let Some((_, headline)) = headline.as_ref().filter(|(field, _)| *field == spec.field) {
            is = Cow::Borrowed(headline);
        }
        if is_same(spec, &was, &is) {
            continue;
        }
        if by == By::Found && Some(spec.field) == body_of(base.kind()) && is_cut(&was, &is) {
            return Err(NotTaken::Cut);
        }
        record.set(spec.field, is.into_owned())?;
    }
    record.check()?;
    Ok((record != *ours).then_some(record))
}

/// The record on the page `parsed`, if it is a page of the record `current`.
fn same_record<'p>(current: &Amendable, parsed: &'p Parsed) -> Result<&'p Record, NotTaken> {
    let request = parsed.request.as_ref().filter(|_| parsed.kind == PageKind::Record);
    let request = request.ok_or(NotTaken::Other("kind"))?;
    let Request { record, key, provenance } = request;
    let is_same_time = parsed.created_at.as_millisecond() == current.created_at.as_millisecond();
    let other = match () {
        () if parsed.id != current.id => "id",
        () if record.kind() != current.request.record.kind() => "kind",
        () if !is_same_time => "created_at",
        () if *key != current.request.key => "key",
        () if *provenance != current.request.provenance => "provenance",
        () if record.kind() == Kind::Verdict && *record != current.request.record => return Err(NotTaken::Verdict),
        () => return Ok(record),
    };
    Err(NotTaken::Other(other))
}

fn text(record: &Record, field: Field) -> Cow<'_, str> {
    record.text(field).unwrap_or_default()
}

fn is_same(spec: &FieldSpec, was: &str, is: &str) -> bool {
    let lines = |text: &str| text.replace("\r\n", "\n").trim_end_matches(['\r', '\n']).to_owned();
    was == is || spec.shape == Shape::Body && lines(was) == lines(is)
}

/// Whether `is` is empty, or the beginning of `was`.
fn is_cut(was: &str, is: &str) -> bool {
    let (was, is) = (was.trim_end(), is.trim_end());
    was != is && was.starts_with(is)
}

/// The field that names a record, and what the heading of its page says, if the heading alone was changed.
fn new_headline(bytes: &[u8], base: &Record, theirs: &Record) -> Option<(Field, String)> {
    let field = [Field::Title, Field::Rule, Field::Name].into_iter().find(|field| base.text(*field).is_some())?;
    if text(base, field) != text(theirs, field) {
        return None;
    }
    let shown = heading_of(bytes)?;
    (shown != heading(&text(base, field))).then(|| (field, unescaped(&shown))).filter(|(_, text)| !text.is_empty())
}

/// The first line after the front matter that is not empty, if it is a heading.
fn heading_of(bytes: &[u8]) -> Option<String> {
    let (_, rest) = split(bytes)?;
    let line = std::str::from_utf8(rest).ok()?.lines().find(|line| !line.trim().is_empty())?;
    Some(line.strip_prefix("# ")?.trim().to_owned())
}

/// A heading without the backslashes that keep markdown out of it.
fn unescaped(heading: &str) -> String {
    let mut out = String::with_capacity(heading.len());
    let mut chars = heading.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().filter(|next| c == '\\' && next.is_ascii_punctuation());
        match next.is_some() {
            true => out.extend(chars.next()),
            false => out.push(c),
        }
    }
    out
}

impl Amendable {
    /// As [`Amendable::amended`], for an edit of its page: `bytes` are what was edited. The new page is that text with the new revision,
    /// if it says what the record says.
    pub fn amended_by_edit(
        &self,
        record: Record,
        bytes: &[u8],
        because: Option<String>,
        made_at: impl FnOnce(Revision) -> Timestamp,
    ) -> Option<Op> {
        let mut op = self.amended(record, because, made_at)?;
        if let Op::Amend(amendment) = &mut op
            && let Some(amended) = &amendment.record.amended
            && let Some(text) = restamped(bytes, amended, amendment.record.record.headline())
            && parse(text.as_bytes()).is_ok_and(|parsed| {
                parsed.amended().as_ref() == Some(amended)
                    && parsed.request.is_some_and(|request| request.record == amendment.record.record)
            })
            && let Some(file) = amendment.record.files.first_mut()
        {
            file.text = text;
        }
        Some(op)
    }
}

/// The page `bytes` with the revision and the fields of `amended`, and with `headline` as its heading, if it has one: a heading that
/// says something else would pass for the next edit. `None` if it has no front matter.
fn restamped(bytes: &[u8], amended: &Amended, headline: &str) -> Option<String> {
    let mut stamp = Front::default();
    stamp.string(REVISION, &amended.revision.to_string());
    stamp.string(AMENDED, &amended.fields_line());
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (front, rest) = without_stamp(&text)?;
    let (first, after) =
        front.split_at(front.find("created_at:").and_then(|at| front[at..].find('\n').map(|end| at + end + 1))?);
    let rest = with_heading(rest, headline);
    Some(format!("---\n{first}{}{after}---\n{rest}", stamp.lines()))
}

/// What follows a front matter, with `headline` in place of its heading.
fn with_heading<'t>(rest: &'t str, headline: &str) -> Cow<'t, str> {
    let begin = rest.len() - rest.trim_start_matches('\n').len();
    let line = rest[begin..].lines().next().unwrap_or_default();
    match line.starts_with("# ") {
        true => format!("{}# {}{}", &rest[..begin], heading(headline), &rest[begin + line.len()..]).into(),
        false => rest.into(),
    }
}

/// The front matter of a page without its revision, and what follows.
fn without_stamp(text: &str) -> Option<(String, &str)> {
    let (front, rest) = split(text.as_bytes())?;
    let front = std::str::from_utf8(front).ok()?;
    let is_stamp = |line: &str| {
        [REVISION, AMENDED].iter().any(|name| line.strip_prefix(name).is_some_and(|it| it.starts_with(':')))
    };
    let kept: String = front.split_inclusive('\n').filter(|line| !is_stamp(line)).collect();
    Some((kept, std::str::from_utf8(rest).ok()?))
}

/// Whether the edit `bytes` and the page `page` differ in nothing but the revision: then the page is what became of the edit.
pub fn is_same_but_revision(bytes: &[u8], page: &str) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    match (without_stamp(&text), without_stamp(page)) {
        (Some((one, rest)), Some((other, page))) => one == other && rest.trim_end() == page.trim_end(),
        _ => false,
    }
}

/// As [`is_same_but_revision`], but the headings may differ, too.
pub fn is_same_but_heading(bytes: &[u8], page: &str) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let beneath = |rest: &str| {
        let rest = rest.trim_start_matches('\n');
        let beneath = rest.strip_prefix("# ").map_or(rest, |it| it.split_once('\n').map_or("", |(_, beneath)| beneath));
        beneath.trim_end().to_owned()
    };
    match (without_stamp(&text), without_stamp(page)) {
        (Some((one, rest)), Some((other, page))) => one == other && beneath(rest) == beneath(page),
        _ => false,
    }
}

/// Whether the page `page` has every field that the edit `bytes` changed from `base`.
pub fn is_contained(bytes: &[u8], page: &str, base: impl FnOnce(Revision) -> Option<Record>) -> bool {
    let (Ok(edit), Ok(page)) = (parse(bytes), parse(page.as_bytes())) else { return false };
    let revision = edit.revision.unwrap_or(Revision::first(edit.id));
    let (Some(theirs), Some(ours)) = (edit.request, page.request) else { return false };
    let is_other = edit.id != page.id || theirs.key != ours.key || theirs.provenance != ours.provenance;
    if is_other || theirs.record.kind() != ours.record.kind() {
        return false;
    }
    let Some(base) = base(revision).filter(|base| base.kind() == ours.record.kind()) else { return false };
    let headline = new_headline(bytes, &base, &theirs.record);
    fields_of(base.kind()).all(|spec| {
        let is = match &headline {
            Some((field, headline)) if *field == spec.field => Cow::Borrowed(headline.as_str()),
            _ => text(&theirs.record, spec.field),
        };
        is_same(spec, &text(&base, spec.field), &is) || is_same(spec, &text(&ours.record, spec.field), &is)
    })
}

/// Whether the front matter of `bytes` has nothing but lines that we write: rendering the page again loses no comment and no name of
/// its owner's.
pub fn is_plain(bytes: &[u8]) -> bool {
    let Some((front, _)) = split(bytes) else { return false };
    let Ok(front) = std::str::from_utf8(front) else { return false };
    front.lines().all(|line| line.split_once(':').is_some_and(|(name, _)| is_known(name)))
}
