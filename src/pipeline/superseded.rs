//! Which intents of a batch are their records. Several can share an id, which a key gives them: then the first is the record.
//!
//! The index says which one came first, or the places that the pipeline remembers while rows lag. That one need not be
//! committed: a recorder whose sync fails voids its entry, and a worker may have placed and inserted that record by then. A power
//! cut can lose both. So before a later intent is passed for such a record, the record is durable, and an audit of everything
//! is due, which commits it.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the later intent is passed | it is pending, beside the first one's file and row | the next batch does the same again |
//! | after it | the first one's file and row, and an audit that is due | the audit commits the record |
//! | after a power cut before it | it is pending; file and row of the first one may be gone | it becomes the record, if they are |

use std::collections::{BTreeSet, HashSet};

use super::edits::is_the_files;
use super::lag::Place;
use super::log::Pending;
use super::{Error, Pipeline, VoidReason};
use crate::journal::{Found, Records};
use crate::model::path::state_file;
use crate::model::{Intent, Op, RecordId, RecordPath, limits};
use crate::page;
use crate::target::{Target as _, index};

impl Pipeline<'_> {
    /// The intents of everything pending that are their records. If several share an id, the first is the record,
    /// unless the row of a later one is already in the index: that one was applied by a worker that began to read later
    /// in the journal.
    ///
    /// # Errors
    /// [`Error::Index`] if the index is locked and the record of a later intent is in no commit.
    pub(super) fn records(&mut self) -> Result<Vec<Intent>, Error> {
        let mut seen = HashSet::new();
        let mut intents = Vec::with_capacity(self.reading.pending().len());
        let mut superseded = Vec::new();
        for Pending { intent, .. } in self.reading.pending() {
            let removed = intent.files.first().is_some_and(|file| self.removed.contains(&file.path));
            if removed || seen.contains(&intent.id) {
                continue;
            }
            match self.superseded_by(intent)? {
                Some(place) => superseded.push((intent.clone(), place)),
                None => {
                    seen.insert(intent.id);
                    intents.push(intent.clone());
                }
            }
        }
        superseded.retain(|(intent, _)| !seen.contains(&intent.id));
        if !superseded.is_empty() {
            intents.extend(self.without_record(superseded)?);
        }
        Ok(intents)
    }

    /// The place of the record of `intent`, if that is another intent of the same id. Then this one must not be applied, even if
    /// the record's file is gone: a power cut can lose the file, and the history has the bytes that belong there.
    fn superseded_by(&self, intent: &Intent) -> Result<Option<Place>, Error> {
        if intent.key.is_none() {
            return Ok(None);
        }
        Ok(self.place_of(intent.id)?.filter(|place| !is_at(intent, place)))
    }

    /// Those of `superseded` whose record exists nowhere: they are their records. The record of each other one is committed,
    /// pending, or durable on disk until an audit commits it.
    fn without_record(&mut self, mut superseded: Vec<(Intent, Place)>) -> Result<Vec<Intent>, Error> {
        self.retain_uncommitted(&mut superseded)?;
        let (mut records, mut files, mut rows) = (Vec::new(), false, false);
        for (intent, place) in superseded {
            if self.is_in_place(intent.id, &place)? {
                files = true;
            } else if self.rows.is_open() && self.rows.find(intent.id)?.is_some() {
                rows = true;
            } else if self.lag.keys.remove(&intent.id).is_some() {
                records.push(intent);
            }
        }
        if files || rows {
            self.distrust(VoidReason::Voided)?;
        }
        if files {
            self.files.sync()?;
        }
        if rows && !self.rows.sync()? {
            return Err(index::Error::Busy { waited: self.options.index_wait }.into());
        }
        Ok(records)
    }

    /// Keeps of `superseded` what is in no commit, and not pending in the journal.
    fn retain_uncommitted(&self, superseded: &mut Vec<(Intent, Place)>) -> Result<(), Error> {
        let page = |place: &Place| RecordPath(&place.path).page().into_owned();
        let paths: Vec<String> =
            superseded.iter().flat_map(|(intent, place)| [page(place), state_file(intent.id)]).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let present = self.commits.present(&paths)?;
        superseded
            .retain(|(intent, place)| !present.contains(&page(place)) && !present.contains(&state_file(intent.id)));
        if superseded.is_empty() {
            return Ok(());
        }
        Records::survey(self.home.journal(), Some(self.at.position), None, &mut |found| {
            if let Found::Op(logged) = found
                && let Op::Record(pending) = &logged.op
            {
                superseded.retain(|(intent, place)| pending.id != intent.id || !is_at(pending, place));
            }
        })?;
        let candidates: BTreeSet<String> = superseded.iter().map(|(_, place)| page(place)).collect();
        let introduced = self.commits.introduced(candidates)?;
        superseded.retain(|(_, place)| !introduced.contains(&page(place)));
        Ok(())
    }

    /// Whether the page of the record `id` is in its place.
    fn is_in_place(&self, id: RecordId, place: &Place) -> Result<bool, Error> {
        match self.home.dir().content(&RecordPath(&place.path).page(), limits::FILE_BYTES_MAX as u64) {
            Err(error) if is_the_files(&error) => Ok(false),
            bytes => Ok(bytes?.is_some_and(|bytes| page::id_of(&bytes) == Some(id))),
        }
    }
}

/// Whether `intent` is that of the record at `place`.
fn is_at(intent: &Intent, place: &Place) -> bool {
    let full = RecordPath(&RecordPath(intent.path()).page()).with_full_id(intent.id);
    place.created_at == intent.created_at && [intent.path(), RecordPath(&full).shown()].contains(&place.path.as_str())
}
