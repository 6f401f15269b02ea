//! Reading the journal, and making durable what was read.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::{Backlog, Error, Options, Pipeline, VoidReason};
use crate::journal::{self, Appender, Found, Item, Logged, Reader, Records, SegmentNumber, Synced};
use crate::model::position::{Position, SegmentId};
use crate::model::{Intent, Op};
use crate::target::Mark;

/// How many entries are copied with one sync.
const COPY_GROUP: usize = 256;

/// What has been read of the journal and is not committed.
#[derive(Debug)]
pub(super) struct Reading<'h> {
    records: Records<'h>,
    pending: Vec<Pending>,
    /// An operation that changes a record. It is applied once everything before it is committed, and nothing more is
    /// read before that.
    change: Option<Box<Logged>>,
    bytes: usize,
    skipped: Skipped,
}

/// A record that waits to be committed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) intent: Intent,
    /// The end of its entry.
    end: Mark,
    /// The entries skipped before it.
    before: Skipped,
}

/// Entries that are not records. They are counted when the record after them is committed, and so exactly once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skipped {
    pub(super) torn: u64,
    pub(super) voided: u64,
}

impl<'h> Reading<'h> {
    pub(super) fn from(records: Records<'h>) -> Reading<'h> {
        Reading { records, pending: Vec::new(), change: None, bytes: 0, skipped: Skipped::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.change.is_none()
    }

    pub(super) fn segment(&self) -> SegmentNumber {
        self.records.segment()
    }

    /// The end of the last pending record; `None` if nothing is pending.
    pub(super) fn end(&self) -> Option<Mark> {
        self.pending.last().map(|pending| pending.end)
    }

    pub(super) fn pending(&self) -> &[Pending] {
        &self.pending
    }

    pub(super) fn backlog(&self, options: &Options) -> Backlog {
        Backlog {
            records: self.pending.len() + usize::from(self.change.is_some()),
            full: self.change.is_some() || self.is_full(options) || self.pending.len() >= options.records_due,
            severity_max: self.pending.iter().map(|pending| pending.intent.record.severity().get()).max().unwrap_or(0),
        }
    }

    fn is_full(&self, options: &Options) -> bool {
        self.pending.len() >= options.records_max || self.bytes >= options.bytes_max
    }

    /// The operation that waits for everything before it to be committed.
    pub(super) fn change(&self) -> Option<&Logged> {
        self.change.as_deref()
    }

    /// Whether an entry that was voided lies before the end of what is pending.
    pub(super) fn has_voided(&self) -> bool {
        self.skipped.voided > 0 || self.pending.iter().any(|pending| pending.before.voided > 0)
    }

    /// That operation is committed. Returns the entries skipped before it.
    pub(super) fn change_passed(&mut self) -> Skipped {
        self.change = None;
        std::mem::take(&mut self.skipped)
    }

    /// Everything pending is committed. Returns the entries skipped in between.
    pub(super) fn passed(&mut self) -> Skipped {
        let mut skipped = Skipped::default();
        for before in self.pending.drain(..).map(|pending| pending.before) {
            skipped.torn += before.torn;
            skipped.voided += before.voided;
        }
        self.bytes = 0;
        skipped
    }
}

/// Entries that were seen already, by two hashes of each. Their keys are random, so no text is made to collide.
#[derive(Default)]
struct Seen {
    hashes: HashSet<(u64, u64)>,
    keys: (RandomState, RandomState),
}

impl Seen {
    fn is_new(&mut self, json: &[u8]) -> bool {
        self.hashes.insert((self.keys.0.hash_one(json), self.keys.1.hash_one(json)))
    }
}

impl Pipeline<'_> {
    /// Reads what was appended since, until a batch is full. Damage goes to quarantine. What lies before a newer
    /// program's segment is committed first; that segment is not passed.
    ///
    /// # Errors
    /// [`Error::Journal`], and [`Error::Fs`] if quarantine cannot take it.
    pub fn look(&mut self) -> Result<(), Error> {
        while !self.reading.is_full(&self.options) && self.reading.change.is_none() {
            let found = match self.reading.records.next() {
                Err(journal::Error::Newer { .. }) if !self.reading.is_empty() => break,
                found => found?,
            };
            let Some(found) = found else { break };
            self.take(found)?;
        }
        Ok(())
    }

    fn take(&mut self, found: Found) -> Result<(), Error> {
        match found {
            Found::Voided => self.reading.skipped.voided += 1,
            Found::Torn => self.reading.skipped.torn += 1,
            Found::Damaged { segment, offset, bytes, why } => self.take_damage(segment, offset, &bytes, why)?,
            Found::Op(logged) => self.take_op(*logged)?,
            Found::Unknown { position, json, why } => self.park_entry(position, &json, &why.to_string())?,
        }
        Ok(())
    }

    fn take_damage(&mut self, segment: SegmentId, offset: u64, bytes: &[u8], why: &'static str) -> Result<(), Error> {
        if self.quarantine.damage(segment, offset, bytes, why)? {
            self.counts.damaged += 1;
            tracing::error!(%segment, offset, bytes = bytes.len(), why, "a damaged entry is in quarantine");
            // A record that the journal has lost may be in its file or its row.
            self.distrust(VoidReason::JournalDamaged)?;
        }
        Ok(())
    }

    fn take_op(&mut self, logged: Logged) -> Result<(), Error> {
        match logged {
            Logged { op: Op::Record(intent), position, segment, bytes } => {
                self.reading.bytes += bytes;
                let before = std::mem::take(&mut self.reading.skipped);
                let end = Mark { segment, position };
                self.reading.pending.push(Pending { intent: *intent, end, before });
                Ok(())
            }
            logged => {
                self.reading.change = Some(Box::new(logged));
                Ok(())
            }
        }
    }

    fn park_entry(&mut self, end: Position, json: &[u8], why: &str) -> Result<(), Error> {
        if self.quarantine.park_entry(end.segment, end.offset, json, why)? {
            self.counts.parked += 1;
            tracing::error!(position = %end, why, "an entry cannot be understood: parked");
        }
        Ok(())
    }

    /// Makes durable all that has been read and is not committed. `None` if a sync failed: then everything was copied
    /// to a new segment, and is read from there.
    pub(super) fn sync_journal(&mut self) -> Result<Option<Synced<Position>>, Error> {
        match self.exclusive.journal().sync(self.at.segment, self.reading.records.reader()) {
            Ok(synced) => Ok(Some(synced)),
            Err(error @ journal::Error::Unsynced { number, .. }) => {
                let why = crate::model::text::chain(&error);
                tracing::error!(segment = number, why, "a segment cannot be synced: copying it to a new one");
                self.copy_to_new_segment()?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// After a failed sync nothing on that file is trusted again: what is not committed is copied to a new segment, and
    /// the old ones are no longer read.
    fn copy_to_new_segment(&mut self) -> Result<(), Error> {
        let journal = self.home.journal();
        let fresh = self.exclusive.journal().rotate()?;
        let mut appender = Appender::open(journal)?;
        let mut copied = 0_usize;
        let from = Reader::from_position(journal, self.at.position)?;
        let mut reader = from.map_or_else(|| Reader::from_start(journal), |reader| Ok(Some(reader)))?;
        let (mut group, mut seen) = (Vec::new(), Seen::default());
        while let Some(reader) = reader.as_mut()
            && reader.segment() < fresh
        {
            match reader.next()? {
                Some(Item::Entry { json }) if reader.segment() < fresh => {
                    // An earlier copy can lie beside what it was made of: without this, each one would double the next.
                    if seen.is_new(&json) {
                        group.push(json);
                    }
                }
                // The segment will be removed, and with it what may not have been read before.
                Some(Item::Damaged { segment, offset, bytes, why }) => {
                    self.take_damage(segment, offset, &bytes, why)?;
                }
                Some(_) => {}
                None => break,
            }
            if group.len() == COPY_GROUP || group.iter().map(Vec::len).sum::<usize>() > self.options.bytes_max {
                copied += copy(&mut appender, &mut group)?;
            }
        }
        copied += copy(&mut appender, &mut group)?;
        self.has_joined = true;
        let start = journal.beginning(fresh)?.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?;
        let records = Records::from_position(journal, start)?;
        self.reading = Reading::from(records.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?);
        let before = std::mem::replace(&mut self.at, Mark { segment: fresh, position: start });
        // Nothing in between is committed, so rows that did not lag do not lag now.
        self.lag.skip(before, self.at);
        tracing::warn!(entries = copied, segment = %fresh, "copied what was not committed to a new segment");
        self.look()
    }
}

fn copy(appender: &mut Appender<'_>, group: &mut Vec<Vec<u8>>) -> Result<usize, Error> {
    if group.is_empty() {
        return Ok(0);
    }
    let _ = appender.append(group)?.sync()?;
    Ok(std::mem::take(group).len())
}
