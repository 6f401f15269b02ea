//! Whether bytes in the place of a record's file are ours. Bytes of a record that are not are its owner's edit.
//!
//! Ours is what the history has or had there, and what an amendment that is not committed yet writes there. An attempt before this
//! one can have written its page, and failed before the commit. The next attempt can come to other operations on the record
//! first: after a failed sync the journal is read in another order (see `order`).
//!
//! An amendment's page is written before its commit, and only from the journal. So a page of it that the history lacks is one
//! of an entry at the history's watermark or behind it, until another operation on the record has replaced it.
//!
//! The history of what other homes recorded is a cache, `sync.git`. It can be gone when an operation of theirs, which is in the
//! journal, is applied. Then a page is ours as well that the row says, or an earlier entry of the journal. (A row does not say
//! all of an experiment.)

use super::{Error, Pipeline};
use crate::journal::{Found, Records};
use crate::model::position::Position;
use crate::model::{Op, RecordId};
use crate::page;
use crate::target::files::is_torn;

impl Pipeline<'_> {
    /// Says whether bytes at a path are those of a revision of the record `of`, or what a power cut left of one: the history
    /// has or had it, or it waits in the journal.
    pub(super) fn ours(&self, of: RecordId) -> impl Fn(&str, &[u8]) -> Result<bool, Error> + use<'_> {
        move |path, bytes| {
            let is_own = self.commits.wrote(path, bytes)? || self.is_in_journal(of, bytes, Some(self.at.position))?;
            Ok(is_own || self.is_of_others(of, bytes)?)
        }
    }

    /// Whether another home recorded `of`, and `bytes` are its page as the row or an earlier entry says, or a power cut left them
    /// of it.
    fn is_of_others(&self, of: RecordId, bytes: &[u8]) -> Result<bool, Error> {
        if !self.rows.is_open() || !self.rows.is_of_others(of)? {
            return Ok(false);
        }
        let Some(known) = self.rows.find(of)? else { return Ok(false) };
        let Some(request) = self.rows.record_of(&known)? else { return Ok(false) };
        let page = page::page(of, known.created_at, &request, self.rows.amended(of)?.as_ref());
        Ok(bytes == page.as_bytes() || is_torn(bytes, page.as_bytes()) || self.is_in_journal(of, bytes, None)?)
    }

    /// Whether an entry of the journal, from the position `from` or the beginning on, records or amends `of` and writes `bytes`, or
    /// a power cut left them of what it writes.
    fn is_in_journal(&self, of: RecordId, bytes: &[u8], from: Option<Position>) -> Result<bool, Error> {
        let mut is_there = false;
        Records::survey(self.home.journal(), from, None, &mut |found| {
            let Found::Op(logged) = found else { return };
            let record = match &logged.op {
                Op::Amend(amendment) => &amendment.record,
                // A record that waits was not placed by an attempt at an operation on it.
                Op::Record(record) if from.is_none() => record,
                _ => return,
            };
            if record.id == of {
                let path = record.files.first().map_or("", |file| &file.path);
                let outcome = page::outcome_file(of, record.created_at, &record.record, record.amended.as_ref(), path);
                let mut files = record.files.iter().chain(&outcome).map(|file| file.text.as_bytes());
                is_there |= files.any(|text| bytes == text || is_torn(bytes, text));
            }
        })?;
        Ok(is_there)
    }
}
