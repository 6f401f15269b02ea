//! Entries are decoded to operations here and nowhere else. Like its reader, it never writes.

use super::Error;
use super::read::{Item, Reader};
use super::segment::{Journal, SegmentNumber};
use crate::model::position::{Position, SegmentId};
use crate::model::{Intent, Op, UnknownOp};

/// One operation of the journal, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Where its entry ends.
    pub position: Position,
    /// The segment that holds it.
    pub segment: SegmentNumber,
    /// Its size as JSON, in bytes.
    pub bytes: usize,
    /// The operation.
    pub op: Op,
}

/// One item of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// An operation.
    Op(Box<Logged>),
    /// A whole entry whose operation this program does not know. It has to be parked, never skipped.
    Unknown {
        /// The end of its entry.
        position: Position,
        /// Its JSON.
        json: Vec<u8>,
        /// Why it is unknown.
        why: UnknownOp,
    },
    /// An entry that its own writer voided.
    Voided,
    /// The start of an entry whose writer died.
    Torn,
    /// Damage: bytes that no writer leaves.
    Damaged {
        /// The segment that holds them.
        segment: SegmentId,
        /// Their offset in it.
        offset: u64,
        /// The bytes; for a line longer than any entry, its start.
        bytes: Vec<u8>,
        /// What is wrong with them.
        why: &'static str,
    },
}

/// Yields the journal's operations, in order, from a position on. Like its [`Reader`] it can continue after an end:
/// more may come.
#[derive(Debug)]
pub struct Records<'j> {
    reader: Reader<'j>,
}

impl<'j> Records<'j> {
    /// From the oldest segment's beginning; `None` if no segment has a header.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn from_start(journal: &'j Journal) -> Result<Option<Records<'j>>, Error> {
        Ok(Reader::from_start(journal)?.map(Records::of))
    }

    /// From `position`; `None` if the journal's bytes do not match it.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn from_position(journal: &'j Journal, position: Position) -> Result<Option<Records<'j>>, Error> {
        Ok(Reader::from_position(journal, position)?.map(Records::of))
    }

    /// From `position` if there is one and the journal's bytes match it, otherwise from the oldest segment's beginning.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn from_position_or_start(
        journal: &'j Journal,
        position: Option<Position>,
    ) -> Result<Option<Records<'j>>, Error> {
        match position.map(|position| Records::from_position(journal, position)).transpose()?.flatten() {
            Some(records) => Ok(Some(records)),
            None => Records::from_start(journal),
        }
    }

    /// What `reader` has not read yet.
    pub fn of(reader: Reader<'j>) -> Records<'j> {
        Records { reader }
    }

    /// Calls `visit` with what lies between `begin`, or the journal's beginning, and `end`, or its end. Segments of newer
    /// programs are passed; the first of them is returned. For readers that change nothing.
    ///
    /// # Errors
    /// [`Error::Format`] and [`Error::Fs`].
    pub fn survey(
        journal: &'j Journal,
        begin: Option<Position>,
        end: Option<Position>,
        visit: &mut dyn FnMut(Found),
    ) -> Result<Option<Error>, Error> {
        let mut newer = None;
        let mut behind = |error: Error| match error {
            Error::Newer { number, .. } => {
                newer.get_or_insert(error);
                Records::behind(journal, number)
            }
            error => Err(error),
        };
        let mut records = Records::from_position_or_start(journal, begin).or_else(&mut behind)?;
        while let Some(it) = records.as_mut().filter(|it| end != Some(it.position())) {
            match it.next() {
                Ok(Some(found)) => visit(found),
                Ok(None) => break,
                Err(error) => records = behind(error)?,
            }
        }
        Ok(newer)
    }

    /// From the first segment behind segment `number` that this program knows.
    fn behind(journal: &'j Journal, number: u64) -> Result<Option<Records<'j>>, Error> {
        for segment in journal.segments()?.into_iter().filter(|segment| segment.0 > number) {
            match journal.beginning(segment) {
                Ok(Some(beginning)) => return Records::from_position(journal, beginning),
                Ok(None) | Err(Error::Newer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next item of the journal, or `None` at its end.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`]; the next call continues from the same place.
    #[allow(clippy::should_implement_trait, reason = "an end is not the end: more may come")]
    pub fn next(&mut self) -> Result<Option<Found>, Error> {
        let Some(item) = self.reader.next()? else { return Ok(None) };
        Ok(Some(match item {
            Item::Entry { json } => {
                let (position, segment) = (self.position(), self.segment());
                match Op::of_json(&json) {
                    Ok(op) => Found::Op(Box::new(Logged { position, segment, bytes: json.len(), op })),
                    Err(why) => Found::Unknown { position, json, why },
                }
            }
            Item::Voided => Found::Voided,
            Item::Torn => Found::Torn,
            Item::Damaged { segment, offset, bytes, why } => Found::Damaged { segment, offset, bytes, why },
        }))
    }

    /// The next operation, or `None` at the end. Skips everything else, so it is for readers that change nothing; a
    /// target has to see the rest as well.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn next_op(&mut self) -> Result<Option<Logged>, Error> {
        while let Some(found) = self.next()? {
            if let Found::Op(logged) = found {
                return Ok(Some(*logged));
            }
        }
        Ok(None)
    }

    /// The next record's intent, or `None` at the end. Skips everything else.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Format`] and [`Error::Fs`].
    pub fn next_intent(&mut self) -> Result<Option<Intent>, Error> {
        while let Some(logged) = self.next_op()? {
            if let Some(intent) = logged.op.into_intent() {
                return Ok(Some(intent));
            }
        }
        Ok(None)
    }

    /// The reader of the entries. It shows how far to sync.
    pub fn reader(&self) -> &Reader<'j> {
        &self.reader
    }

    /// The end of the last entry that was read, which is the end of a batch that holds everything so far.
    pub fn position(&self) -> Position {
        self.reader.position()
    }

    /// The segment being read.
    pub fn segment(&self) -> SegmentNumber {
        self.reader.segment()
    }

    /// The bytes of the segment read so far.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }
}
