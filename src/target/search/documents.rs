//! A record as it is searched: from its row and, where the row does not hold all of it, from its file.

use crate::home::Home;
use crate::model::{RecordPath, Revision};
use crate::page::{self, Parsed};
use crate::search::Doc;
use crate::target::index::Document;

/// The record of `row` with what only its file has. A file that is missing, edited into something else or of another
/// revision than the row adds nothing: the row is what counts.
pub(in crate::target) fn whole(home: &Home, mut row: Document) -> Document {
    if row.is_whole {
        return row;
    }
    let page = RecordPath(&row.path).page();
    let bytes = home.dir().content(&page, page::PAGE_BYTES_MAX as u64).ok().flatten();
    let parsed = bytes.and_then(|bytes| page::parse(&bytes).ok()).filter(|parsed| is_of(parsed, &row));
    if let Some(request) = parsed.and_then(|parsed| parsed.request)
        && request.record.kind() == row.record.kind()
    {
        row.record = request.record;
    }
    row
}

/// Whether the page is the row's, in the row's revision.
fn is_of(parsed: &Parsed, row: &Document) -> bool {
    let first = Revision::first(row.id);
    parsed.id == row.id && parsed.revision.unwrap_or(first) == row.revision.unwrap_or(first)
}

/// `document`, for the search engine.
pub(super) fn doc(document: &Document) -> Doc<'_> {
    let Document { id, revision, created_at, path, record, provenance, golden, .. } = document;
    Doc { id: *id, revision: *revision, created_at: *created_at, path, record, provenance, golden: *golden }
}

/// About how many bytes of text it has.
pub(super) fn bytes(document: &Document) -> usize {
    let fields = crate::model::fields_of(document.record.kind());
    fields.filter_map(|spec| document.record.text(spec.field)).map(|text| text.len()).sum()
}
