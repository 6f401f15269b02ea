//! What two files of one record come to, by their revisions. Pure.
//!
//! | the trunk has | a lane brings | the trunk then has |
//! | --- | --- | --- |
//! | a page | one of the same or an earlier revision | what it had |
//! | a page | one of a later revision | of each field the later value |
//! | a page that a person changed there by hand | any | what it had |
//! | a page of one key, recorded on a copy of the home at another time | one of a later revision | its fields, and the time and source of the trunk's |
//! | what is no page | a page | what it had |
//! | a state file | one of a later revision | that; but `erased` stays |
//! | a torn state file | a whole one | the whole one |

use crate::model::{Amendment, Change, FileImage, Intent, Op, RecordId, Request, Revision};
use crate::page::{self, Current, PageKind, Parsed, Presence, Resolution, StateFile};

/// What becomes of the trunk's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It stays.
    Ours,
    /// The lane's file takes its place.
    Theirs,
    /// These bytes take its place.
    Both(String),
}

/// A record's own page in `bytes`, if that is one.
pub fn page_of(bytes: &[u8]) -> Option<Parsed> {
    let parsed = page::parse(bytes).ok()?;
    let latest = parsed.revision.map_or(1, |revision| revision.n);
    // What is joined counts on from the later revision.
    (parsed.kind == PageKind::Record && latest < Revision::N_MAX).then_some(parsed)
}

/// Joins two pages of one record. `base` is what the lane had when it was merged last, if it had the page then.
pub fn pages(path: &str, ours: &[u8], theirs: &[u8], base: Option<&[u8]>) -> Joined {
    let (Some(our_page), Some(their_page)) = (page_of(ours), page_of(theirs)) else { return Joined::Ours };
    let is_changed_by_hand = base.is_some_and(|base| {
        let known = page_of(base);
        let is_same = |known: Parsed| known.revision == our_page.revision && known.created_at == our_page.created_at;
        ours != base && known.is_some_and(is_same)
    });
    if is_changed_by_hand || our_page.id != their_page.id {
        return Joined::Ours;
    }
    let is_twin = our_page.created_at != their_page.created_at;
    let Some(op) = amendment(path, their_page, theirs) else { return Joined::Ours };
    let current = Current { page: Some((path.to_owned(), ours.to_owned())), ..Current::default() };
    match page::resolve(&op, &current) {
        Resolution::Apply if is_twin => with_fields_of(our_page, &op).map_or(Joined::Ours, Joined::Both),
        Resolution::Apply => Joined::Theirs,
        Resolution::Append(joined) => match *joined {
            Op::Amend(amendment) => {
                amendment.record.files.into_iter().next().map_or(Joined::Ours, |it| Joined::Both(it.text))
            }
            _ => Joined::Ours,
        },
        Resolution::Done | Resolution::Late | Resolution::Void | Resolution::Park(_) => Joined::Ours,
    }
}

/// The page `ours` with the fields of the amendment `op` of its record, which was recorded at another time.
fn with_fields_of(ours: Parsed, op: &Op) -> Option<String> {
    let Op::Amend(amendment) = op else { return None };
    let amended = amendment.record.amended.as_ref()?;
    let request = Request { record: amendment.record.record.clone(), ..ours.request? };
    Some(page::amended_page(ours.id, ours.created_at, &request, amended))
}

/// The operation that brings the page `parsed`, which is at `path` and has these `bytes`; `None` if the record is as first recorded.
pub fn amendment(path: &str, parsed: Parsed, bytes: &[u8]) -> Option<Op> {
    let amended = parsed.amended()?;
    let (of, created_at) = (parsed.id, parsed.created_at);
    let request = parsed.request?;
    let text = String::from_utf8(bytes.to_owned()).ok()?;
    let at = page::amended_at(&amended).unwrap_or(created_at);
    let (revision, path) = (amended.revision, path.to_owned());
    let change = Change { of, revision, base: Revision::first(of), at, path: Some(path.clone()), because: None };
    let record = Intent {
        id: of,
        created_at,
        key: request.key,
        record: request.record,
        provenance: request.provenance,
        amended: Some(amended),
        files: vec![FileImage { path, text }],
        from: None,
    };
    Some(Op::Amend(Box::new(Amendment { change, record })))
}

/// Joins two state files of the record `of`.
pub fn states(of: RecordId, ours: Option<&[u8]>, theirs: &[u8]) -> Joined {
    let Some(theirs) = StateFile::parse(of, theirs) else { return Joined::Ours };
    let Some(ours) = ours.and_then(|bytes| StateFile::parse(of, bytes)) else { return Joined::Theirs };
    let rank = |state: &StateFile| (state.state == Presence::Erased, state.revision);
    if rank(&theirs) > rank(&ours) { Joined::Theirs } else { Joined::Ours }
}
