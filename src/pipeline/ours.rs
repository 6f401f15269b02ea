//! Whether bytes in the place of a record's file are ours. Bytes of a record that are not are its owner's edit.
//!
//! Ours is what the history has or had there, and what an amendment that is not committed yet writes there. An attempt before this
//! one can have written its page, and failed before the commit. The next attempt can come to other operations on the record
//! first: after a failed sync the journal is read in another order (see `order`).
//!
//! An amendment's page is written before its commit, and only from the journal. So a page of it that the history lacks is one
//! of an entry at the history's watermark or behind it, until another operation on the record has replaced it.

use super::{Error, Pipeline};
use crate::journal::{Found, Records};
use crate::model::{Op, RecordId};
use crate::page;
use crate::target::files::is_torn;

impl Pipeline<'_> {
    /// Says whether bytes at a path are those of a revision of the record `of`, or what a power cut left of one: the history
    /// has or had it, or it waits in the journal.
    pub(super) fn ours(&self, of: RecordId) -> impl Fn(&str, &[u8]) -> Result<bool, Error> + use<'_> {
        move |path, bytes| Ok(self.commits.wrote(path, bytes)? || self.is_pending(of, bytes)?)
    }

    /// Whether an amendment of the record `of` that is not committed yet writes `bytes`, or a power cut left them of what it
    /// writes.
    fn is_pending(&self, of: RecordId, bytes: &[u8]) -> Result<bool, Error> {
        let mut is_pending = false;
        Records::survey(self.home.journal(), Some(self.at.position), None, &mut |found| {
            if let Found::Op(logged) = found
                && let Op::Amend(amendment) = &logged.op
                && amendment.change.of == of
            {
                let record = &amendment.record;
                let path = record.files.first().map_or("", |file| &file.path);
                let outcome = page::outcome_file(of, record.created_at, &record.record, record.amended.as_ref(), path);
                let mut files = record.files.iter().chain(&outcome).map(|file| file.text.as_bytes());
                is_pending |= files.any(|text| bytes == text || is_torn(bytes, text));
            }
        })?;
        Ok(is_pending)
    }
}
