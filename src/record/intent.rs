//! Validate: a redacted request becomes an intent, with its id, its time, its paths and the bytes of its files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;

use super::again::NewRules;
use super::keyed::differences;
use super::{Error, Keys, Receipt, Recorder, Redacted};
use crate::fs;
use crate::home::Home;
use crate::journal;
use crate::model::path;
use crate::model::{Intent, Level, RecordId, RecordPath, Request};
use crate::page;
use crate::target::index::Index;
use crate::target::spread;

/// A request that was validated.
pub(super) enum Validated {
    Refused(Error),
    /// Its key was recorded before, in an earlier call.
    Known(Receipt),
    /// Its key is that of a request before it in the same call.
    Repeat(Receipt),
    /// It goes into the journal.
    Ready(Box<Ready>),
}

pub(super) struct Ready {
    pub(super) intent: Intent,
    pub(super) receipt: Receipt,
    json: Vec<u8>,
}

impl Ready {
    /// Where the record is.
    pub(super) fn path(&self) -> &str {
        self.receipt.path.as_deref().unwrap_or_else(|| self.intent.path())
    }
}

impl Validated {
    pub(super) fn json(&self) -> Option<&[u8]> {
        match self {
            Validated::Ready(ready) => Some(&ready.json),
            _ => None,
        }
    }

    pub(super) fn ready(&mut self) -> Option<&mut Ready> {
        match self {
            Validated::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    pub(super) fn outcome(self) -> Result<Receipt, Error> {
        match self {
            Validated::Refused(error) => Err(error),
            Validated::Known(receipt) | Validated::Repeat(receipt) => Ok(receipt),
            Validated::Ready(ready) => Ok(ready.receipt),
        }
    }

    /// The outcome if the journal took nothing, because of `error`.
    pub(super) fn outcome_without_journal(self, error: &Arc<journal::Error>) -> Result<Receipt, Error> {
        match self {
            Validated::Refused(_) | Validated::Known(_) => self.outcome(),
            Validated::Repeat(_) | Validated::Ready(_) => Err(Error::Journal(error.clone())),
        }
    }
}

/// Of several requests with one key, the first is the record.
pub(super) fn mark_repeats(all: &mut [Validated]) {
    let mut first: HashMap<RecordId, (Receipt, Request)> = HashMap::new();
    for validated in all {
        let Validated::Ready(ready) = validated else { continue };
        if ready.intent.key.is_none() {
            continue;
        }
        let request = ready.intent.request();
        match first.entry(ready.receipt.id) {
            Entry::Vacant(entry) => drop(entry.insert((ready.receipt.clone(), request))),
            Entry::Occupied(entry) => {
                let (receipt, first) = entry.get();
                // What came again is counted, whatever its words.
                let differs = if receipt.again_of.is_some() { Vec::new() } else { differences(&request, first) };
                *validated = Validated::Repeat(Receipt { duplicate: true, differs, ..receipt.clone() });
            }
        }
    }
}

impl Recorder<'_> {
    /// Checks everything that can refuse `request`, and makes an intent of it. Without `index` open, it is opened if a key
    /// has to be looked up.
    /// `rules` are the new ones among the requests before it.
    pub(super) fn validate(&self, request: Redacted, index: &mut Option<Index>, rules: &mut NewRules) -> Validated {
        self.try_validate(request, index, rules).unwrap_or_else(Validated::Refused)
    }

    fn try_validate(
        &self,
        request: Redacted,
        index: &mut Option<Index>,
        rules: &mut NewRules,
    ) -> Result<Validated, Error> {
        let first = request.first();
        let mut request = request.into_request();
        request.check()?;
        let created_at = now();
        let headline_has_lines = request.record.headline().trim_end().contains('\n');
        if let Some(receipt) = self.known_key(&request, index) {
            return Ok(Validated::Known(Receipt { headline_has_lines, ..receipt }));
        }
        let again_of = first.or_else(|| self.same_rule(&request, index, rules));
        if let Some(first) = again_of {
            request = self.again(first, request, created_at);
            if let Some(receipt) = self.known_key(&request, index) {
                return Ok(Validated::Known(Receipt { again_of, differs: Vec::new(), ..receipt }));
            }
        }
        let keyed = request.key.as_deref().map(|key| RecordId::of_key(self.home.id(), key));
        let intent = intent_of(self.home, keyed, created_at, request)?;
        let json = serde_json::to_vec(&intent).expect("an intent is made of strings and numbers");
        if json.len() + 64 > journal::ENTRY_BYTES_MAX {
            return Err(Error::Journal(Arc::new(journal::Error::TooLarge { bytes: json.len() })));
        }
        rules.add(&intent);
        let receipt = Receipt {
            id: intent.id,
            kind: intent.record.kind(),
            path: Some(intent.path().to_owned()),
            row_id: None,
            created_at,
            duplicate: false,
            differs: Vec::new(),
            again_of,
            state: None,
            row_refused: None,
            headline_has_lines,
        };
        Ok(Validated::Ready(Box::new(Ready { intent, receipt, json })))
    }

    /// The record that has the key of `request`, if it has one and the index knows it. If a key is the group's, that can be another
    /// home's: this home's own one may have been retracted as its repeat.
    fn known_key(&self, request: &Request, index: &mut Option<Index>) -> Option<Receipt> {
        let key = request.key.as_deref()?;
        let known = self.known(RecordId::of_key(self.home.id(), key), request, index);
        if self.policy.keys == Keys::Home || known.as_ref().is_some_and(|known| known.state.is_none()) {
            return known;
        }
        let of_group = self.index(index).and_then(|index| index.of_key(key).ok().flatten());
        of_group.and_then(|id| self.known(id, request, index)).or(known)
    }

    /// The record that has the id of a key, if the index has it, or knows that it was retracted or erased. An index that
    /// was rebuilt since knows only the latter: then its kind is that of the request.
    fn known(&self, id: RecordId, request: &Request, index: &mut Option<Index>) -> Option<Receipt> {
        let index = self.index(index)?;
        let known = index.find(id).ok()?;
        let row_id = known.as_ref().and_then(|known| known.row_id);
        let mark = match row_id {
            Some(_) => None,
            None => index.mark(id).ok()?.filter(|mark| mark.state.is_hidden()),
        };
        let (kind, created_at) = match (&known, &mark) {
            (Some(known), _) => (known.kind, known.created_at),
            (None, Some(mark)) => (request.record.kind(), mark.at),
            (None, None) => return None,
        };
        let (state, path) = (mark.map(|mark| mark.state), known.map(|known| known.path));
        let path = path.filter(|_| state.is_none());
        let differs = path.as_deref().map(|path| self.differing(request, id, path)).unwrap_or_default();
        Some(Receipt {
            id,
            kind,
            path,
            row_id,
            created_at,
            duplicate: true,
            differs,
            again_of: None,
            state,
            row_refused: None,
            headline_has_lines: false,
        })
    }
}

/// Decides everything of the record that `request` asks for in `home`: it has the id `keyed`, or one whose path is free. Makes the
/// folder. Fails if a symbolic link is in the way, or the folder cannot be made.
pub(super) fn intent_of(
    home: &Home,
    keyed: Option<RecordId>,
    created_at: Timestamp,
    request: Request,
) -> Result<Intent, Error> {
    let day = path::day_of(&request.record, created_at);
    let above = day.as_deref().unwrap_or(request.record.kind().folder());
    let folder = home.dir().make_folder(above)?;
    loop {
        let id = keyed.unwrap_or_default();
        let level = day.as_ref().map_or(Ok(Level::Day), |_| spread::level_in(&folder, created_at, id))?;
        let files = page::files(id, created_at, &request, level);
        let path = files.first().map_or("", |file| RecordPath(&file.path).shown());
        let name = path.strip_prefix(above).map_or(path, |name| name.trim_start_matches('/'));
        if keyed.is_some() || folder.find(name)?.is_none() {
            let Request { record, key, provenance } = request;
            return Ok(Intent { id, created_at, key, record, provenance, amended: None, files, from: None });
        }
    }
}

/// The time, to the millisecond.
pub(super) fn now() -> Timestamp {
    let now = fs::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
