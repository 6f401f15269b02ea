//! Keys that were recorded before: by whom, and in which fields the new request differs.
//!
//! 1. A record whose key the index knows is read from its file: a repeat costs no SQLite beyond the look for the key.
//! 2. The first record of a key may be in the journal alone, since the worker places it. So what the journal has beyond the rows'
//!    watermark is searched for the id, once for a call: before the append, and again for what came until the sync. The first
//!    intent in the journal's order is the record, so a repeat is told that one's path, and not its own, which would never exist.
//!    It is appended nevertheless: nothing says that the first one's entry is synced, and its recorder may still void it.
//! 3. A recorder that leaves the index alone does not look: a hook prints no path.
//! 4. A field that was amended differs from what was recorded first because of that: it is no difference.

use std::collections::HashMap;

use crate::journal::{self, Item, Reader};
use crate::model::path::RecordPath;
use crate::model::position::Position;
use crate::model::{Intent, Op, RecordId, Request, limits};
use crate::page;
use crate::target::index::Index;
use crate::target::rows;

use super::intent::{Ready, Validated};
use super::{Receipt, Recorder};

/// How much of the journal is searched, in bytes: as much as a worker lets pend before it commits at once.
const SEARCHED_BYTES_MAX: u64 = 8 << 20;

impl Recorder<'_> {
    /// Names the record in the receipts of those of `all` whose key the journal has already. Returns where the search ended.
    pub(super) fn mark_pending(&self, all: &mut [Validated], index: &mut Option<Index>) -> Option<Position> {
        let mut first: HashMap<RecordId, Option<Intent>> = keyed(all).map(|ready| (ready.intent.id, None)).collect();
        if first.is_empty() {
            return None;
        }
        let mark = rows::mark_in(self.index(index)?).ok().flatten();
        let own = journal::id(self.home.private()).ok().flatten();
        let begin = mark.filter(|mark| Some(mark.journal) == own).map(|mark| mark.position);
        let end = self.search_journal(begin, &mut first)?;
        for ready in all.iter_mut().filter_map(Validated::ready) {
            if let Some(Some(intent)) = first.get(&ready.intent.id) {
                ready.receipt = repeat_of(ready, intent);
            }
        }
        Some(end)
    }

    /// Names the first record of a key in the receipts of those of `all` that another recorder has overtaken, between `begin` and
    /// their own entries.
    pub(super) fn mark_overtaken(&self, all: &mut [Validated], begin: Option<Position>) {
        // Of a key that the journal had before, the first one is named already: from `begin` on there are only repeats of it.
        let unknown = keyed(all).filter(|ready| !ready.receipt.duplicate);
        let mut first: HashMap<RecordId, Option<Intent>> = unknown.map(|ready| (ready.intent.id, None)).collect();
        if begin.is_none() || self.search_journal(begin, &mut first).is_none() {
            return;
        }
        for ready in all.iter_mut().filter_map(Validated::ready) {
            if let Some(Some(intent)) = first.get(&ready.intent.id)
                && *intent != ready.intent
            {
                ready.receipt = repeat_of(ready, intent);
            }
        }
    }

    /// Finds the first intents of the keys of `first` from `begin` on, or from the journal's start. Returns where it ended.
    fn search_journal(
        &self,
        begin: Option<Position>,
        first: &mut HashMap<RecordId, Option<Intent>>,
    ) -> Option<Position> {
        let journal = self.home.journal();
        let from = begin.and_then(|begin| Reader::from_position(journal, begin).ok().flatten());
        let mut reader = from.or_else(|| Reader::from_start(journal).ok().flatten())?;
        let mut left = SEARCHED_BYTES_MAX;
        while let Some(item) = reader.next().ok()? {
            let Item::Entry { json, .. } = item else { continue };
            left = left.saturating_sub(json.len() as u64);
            // An intent begins with its id.
            if let Some(id) = id_in(&json).filter(|id| first.get(id).is_some_and(Option::is_none))
                && let Some(intent) = Op::of_json(&json).ok().and_then(Op::into_intent)
            {
                first.insert(id, Some(intent));
            }
            if left == 0 {
                break;
            }
        }
        Some(reader.position())
    }

    /// The fields in which `request` differs from the record at `path` that has its key, as that was recorded.
    pub(super) fn differing(&self, request: &Request, id: RecordId, path: &str) -> Vec<&'static str> {
        let bytes = self.home.dir().content(&RecordPath(path).page(), limits::FILE_BYTES_MAX as u64).ok().flatten();
        let parsed = bytes.and_then(|bytes| page::parse(&bytes).ok()).filter(|parsed| parsed.id == id);
        let Some((first, amended)) = parsed.and_then(|it| Some((it.request?, it.fields))) else { return Vec::new() };
        let mut fields = differences(request, &first);
        fields.retain(|field| !amended.contains_key(*field));
        fields
    }
}

fn keyed(all: &[Validated]) -> impl Iterator<Item = &Ready> {
    all.iter().filter_map(|validated| match validated {
        Validated::Ready(ready) if ready.intent.key.is_some() => Some(&**ready),
        _ => None,
    })
}

/// The id at the beginning of an intent's JSON.
fn id_in(json: &[u8]) -> Option<RecordId> {
    let text = json.strip_prefix(br#"{"id":""#)?.get(..36)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The receipt of `ready`, whose key `first` has.
fn repeat_of(ready: &Ready, first: &Intent) -> Receipt {
    Receipt {
        kind: first.record.kind(),
        path: Some(first.path().to_owned()),
        row_id: None,
        created_at: first.created_at,
        duplicate: true,
        differs: match ready.receipt.again_of {
            None => differences(&ready.intent.request(), &first.request()),
            Some(_) => Vec::new(),
        },
        ..ready.receipt.clone()
    }
}

/// The fields in which two requests of one key differ.
pub(super) fn differences(request: &Request, first: &Request) -> Vec<&'static str> {
    if request.record.kind() != first.record.kind() {
        return vec!["kind"];
    }
    page::differences(&first.record, &request.record).into_iter().map(|change| change.field).collect()
}
