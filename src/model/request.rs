//! What is to be recorded.

use super::{Invalid, KEY, PROVENANCE, Provenance, Record, fields_of};

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The record.
    pub record: Record,
    /// The key: a repeat of it is the same record.
    pub key: Option<String>,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl Request {
    /// A request for `record` without key and provenance.
    pub fn new(record: Record) -> Request {
        Request { record, key: None, provenance: Provenance::default() }
    }

    /// Calls `change` with every text except the key.
    pub fn for_each_text(&mut self, mut change: impl FnMut(&mut String)) {
        for spec in fields_of(self.record.kind()) {
            self.record.text_mut(spec.field).into_iter().for_each(&mut change);
        }
        for spec in &PROVENANCE {
            self.provenance.text_mut(spec.field).and_then(Option::as_mut).into_iter().for_each(&mut change);
        }
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn check(&self) -> Result<(), Invalid> {
        self.record.check()?;
        self.provenance.check()?;
        self.key.as_deref().map_or(Ok(()), |key| KEY.check("key", key))
    }
}
