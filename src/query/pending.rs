//! What the journal has and the stores may lack: records without a row, and operations that are not applied yet.
//!
//! An operation is resolved as the worker will resolve it, by `page::resolve`, from the page and the state file that the
//! stores have. So readers see what the stores will have, merges included, and an operation that the stores have changes
//! nothing. What else the worker asks the history for, [`Former`] reads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use crate::journal::{self, Found, Journal, Reader, Records};
use crate::model::position::Position;
use crate::model::text::{chain, counted};
use crate::model::{Amendment, Change, Intent, Kind, Op, Record, RecordId, RecordPath, Request, Revision};
use crate::page::{self, Current, Presence, Resolution, StateFile};
use crate::search::Age;

use super::recorded::Recorded;

/// The most steps that the operations of one record take. Each is resolved once, and few pairs of them are joined.
const STEPS_MAX: usize = 10_000;

/// What the history had of a record.
pub(super) trait Former {
    /// The last bytes of the page at `path`.
    fn page(&self, path: &str) -> Option<Vec<u8>>;

    /// The revision of the record's last retraction.
    fn retraction(&self, of: RecordId) -> Option<Revision>;
}

/// The pending records and operations, by record.
#[derive(Debug, Default)]
pub struct Pending {
    by_record: BTreeMap<RecordId, OfRecord>,
    /// What could not be read, for people.
    pub(super) notes: Vec<String>,
}

/// What is pending of one record.
#[derive(Debug, Default)]
pub(super) struct OfRecord {
    intent: Option<Intent>,
    /// Its operations in the journal's order.
    ops: Vec<Op>,
    is_erased: bool,
}

/// A record, after its pending operations.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It is there.
    Visible(Box<Recorded>),
    /// It was retracted or erased. The mark says when and why; it is `None` where only an erasure is pending.
    Hidden(Option<StateFile>),
    /// Nothing is known of it.
    Unknown,
}

impl Seen {
    /// The record, if it is there.
    pub fn visible(self) -> Option<Recorded> {
        match self {
            Seen::Visible(recorded) => Some(*recorded),
            Seen::Hidden(_) | Seen::Unknown => None,
        }
    }
}

/// Whether the journal was read from the position that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// It was, or none was asked for.
    Asked,
    /// The journal no longer has the position: it was read from its start.
    Start,
}

impl Pending {
    /// Reads what `journal` has after `position`, or from its start.
    pub(super) fn read(journal: &Journal, position: Option<Position>) -> (Pending, From) {
        let mut pending = Pending::default();
        let mut from = From::Asked;
        let opened = position.map(|position| Reader::from_position(journal, position)).transpose();
        let reader = match opened.map(Option::flatten) {
            Ok(Some(reader)) => Ok(Some(reader)),
            Ok(None) => {
                from = if position.is_some() { From::Start } else { From::Asked };
                Reader::from_start(journal)
            }
            Err(error) => Err(error),
        };
        match reader {
            Ok(Some(reader)) => pending.take(Records::of(reader)),
            Ok(None) => {}
            Err(error) => pending.unreadable(&error),
        }
        (pending, from)
    }

    fn take(&mut self, mut records: Records<'_>) {
        let (mut unknown, mut damaged) = (0, 0);
        loop {
            match records.next() {
                Ok(Some(Found::Op(logged))) => self.add(logged.op),
                Ok(Some(Found::Unknown { .. })) => unknown += 1,
                Ok(Some(Found::Damaged { .. })) => damaged += 1,
                Ok(Some(Found::Voided | Found::Torn)) => {}
                Ok(None) => break,
                Err(error) => {
                    self.unreadable(&error);
                    break;
                }
            }
        }
        if unknown > 0 {
            let unknown = counted(unknown, "entry of the journal is", "entries of the journal are");
            self.notes.push(format!("{unknown} of a newer indelible, and not shown"));
        }
        if damaged > 0 {
            let damaged = counted(damaged, "stretch of the journal is", "stretches of the journal are");
            self.notes.push(format!("{damaged} damaged: `indelible status` says more"));
        }
    }

    fn unreadable(&mut self, error: &journal::Error) {
        self.notes.push(format!("the newest records may be missing: {}", chain(error)));
    }

    fn add(&mut self, op: Op) {
        let of = self.by_record.entry(op.of()).or_default();
        match op {
            // A record that was appended twice is the same record.
            Op::Record(intent) => {
                let mut intent = *intent;
                // Its page can be rendered from its fields.
                intent.files.truncate(1);
                intent.files.iter_mut().for_each(|file| file.text = String::new());
                of.intent.get_or_insert(intent);
            }
            Op::Erase { .. } => of.is_erased = true,
            op => of.ops.push(op),
        }
    }

    /// The records of which something is pending.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = RecordId> {
        self.by_record.keys().copied()
    }

    /// The same, the newest first. Records of which the journal has operations alone come last: they are older than it.
    pub(super) fn newest_first(&self) -> Vec<RecordId> {
        let age = |id: RecordId| self.created_at(id).map(|created_at| Age::new(created_at, id));
        let mut ids: Vec<RecordId> = self.ids().collect();
        ids.sort_by_cached_key(|id| Reverse(age(*id)));
        ids
    }

    /// Whether something is pending of `id`.
    pub fn has(&self, id: RecordId) -> bool {
        self.by_record.contains_key(&id)
    }

    /// The page of `id`, as far as the journal says where it is.
    pub(super) fn path_of(&self, id: RecordId) -> Option<&str> {
        let of = self.by_record.get(&id)?;
        of.intent.as_ref().and_then(path_of_intent).or_else(|| of.ops.iter().find_map(path_of_op))
    }

    /// What `id` said when it was recorded, as far as the journal says it.
    pub(super) fn record_of(&self, id: RecordId) -> Option<&Record> {
        self.by_record.get(&id)?.intent.as_ref().map(|intent| &intent.record)
    }

    /// The kind of `id`, as far as the journal says it.
    pub(super) fn kind_of(&self, id: RecordId) -> Option<Kind> {
        self.by_record.get(&id)?.intent.as_ref().map(|intent| intent.record.kind())
    }

    /// When `id` was recorded, as far as the journal says it.
    pub(super) fn created_at(&self, id: RecordId) -> Option<jiff::Timestamp> {
        self.by_record.get(&id)?.intent.as_ref().map(|intent| intent.created_at)
    }

    /// The greatest revision of the pending operations of `id`.
    pub(super) fn latest_of(&self, id: RecordId) -> Option<Revision> {
        self.by_record.get(&id)?.ops.iter().map(Op::revision).max()
    }

    /// What `id` said at `revision`, as far as the journal says it.
    pub(super) fn request_at(&self, id: RecordId, revision: Revision) -> Option<Request> {
        let of = self.by_record.get(&id)?;
        let amended = of.ops.iter().filter_map(|op| match op {
            Op::Amend(amendment) => Some(&amendment.record),
            _ => None,
        });
        of.intent.iter().chain(amended).find(|intent| intent.revision() == revision).map(Intent::request)
    }

    /// Whether something is pending of `id` beside the record itself.
    pub(super) fn changes(&self, id: RecordId) -> bool {
        self.by_record.get(&id).is_some_and(|it| it.is_erased || !it.ops.is_empty())
    }

    /// The record `id` after its pending operations. `stored` and `mark` are what the stores have of it.
    pub(super) fn seen(
        &self,
        id: RecordId,
        stored: Option<Recorded>,
        mark: Option<StateFile>,
        former: &impl Former,
    ) -> Seen {
        let Some(of) = self.by_record.get(&id) else { return of_stores(stored, mark) };
        if of.is_erased {
            return Seen::Hidden(mark.filter(|mark| mark.state == Presence::Erased));
        }
        let is_hidden = mark.as_ref().is_some_and(|mark| mark.state.is_hidden());
        let recorded = match (stored, &of.intent) {
            _ if is_hidden => None,
            // A row may have less than the record.
            (Some(stored), Some(intent)) if stored.revision() == intent.revision() => {
                Some(Recorded { request: intent.request(), ..stored })
            }
            (Some(stored), _) => Some(stored),
            (None, Some(intent)) => Some(Recorded::of_intent(intent)),
            (None, None) => None,
        };
        if of.ops.is_empty() { of_stores(recorded, mark) } else { of.resolved(recorded, mark, former) }
    }
}

/// A record of which nothing is pending.
fn of_stores(stored: Option<Recorded>, mark: Option<StateFile>) -> Seen {
    match (stored, mark) {
        (_, Some(mark)) if mark.state.is_hidden() => Seen::Hidden(Some(mark)),
        (Some(stored), _) => Seen::Visible(Box::new(stored)),
        (None, _) => Seen::Unknown,
    }
}

impl OfRecord {
    /// The record after its operations, which are resolved as the worker resolves them.
    fn resolved(&self, stored: Option<Recorded>, mark: Option<StateFile>, former: &impl Former) -> Seen {
        let page = stored.as_ref().map(|it| (RecordPath(&it.path).page().into_owned(), it.page()));
        let state = mark.as_ref().map(|mark| mark.text().into_bytes());
        let mut current = Current { page, state, ..Current::default() };
        let mut hidden = None;
        let mut at = None;
        let mut queue: VecDeque<Op> = self.ops.iter().cloned().collect();
        let mut steps = 0;
        while let Some(op) = queue.pop_front().filter(|_| steps < STEPS_MAX) {
            steps += 1;
            if current.retraction.is_none() && is_before_restoration(&op, &current) {
                current.retraction = former.retraction(op.of());
            }
            match page::resolve(&op, &current) {
                Resolution::Apply => {
                    if let Op::Amend(amendment) = &op {
                        at = Some(amendment.change.at);
                    }
                    apply(&op, &mut current, &mut hidden, former);
                }
                Resolution::Append(joined) => queue.push_front(*joined),
                Resolution::Done | Resolution::Late | Resolution::Void | Resolution::Park(_) => {}
            }
        }
        let of = self.ops[0].of();
        let mark = current.state.as_deref().map_or(mark, |bytes| StateFile::parse(of, bytes));
        let recorded = current.page.and_then(|(path, bytes)| {
            let parsed = page::parse(&bytes).ok().filter(|parsed| parsed.id == of)?;
            let mut recorded = Recorded::of_page(parsed, &path)?;
            if let Some(stored) = stored {
                (recorded.row_id, recorded.state, recorded.updated_at) =
                    (stored.row_id, stored.state, stored.updated_at);
                recorded.from = stored.from;
            }
            recorded.updated_at = at.unwrap_or(recorded.updated_at);
            Some(recorded)
        });
        of_stores(recorded, mark)
    }
}

/// Whether `op` amends a record that was restored later: then it counts only if it knew of the last retraction.
fn is_before_restoration(op: &Op, current: &Current) -> bool {
    let state = current.state.as_deref().and_then(|bytes| StateFile::parse(op.of(), bytes));
    matches!(op, Op::Amend(_)) && state.is_some_and(|it| it.state == Presence::Restored && op.revision() < it.revision)
}

/// Applies `op` to what the stores have. `hidden` is the page that a retraction took away.
fn apply(op: &Op, current: &mut Current, hidden: &mut Option<(String, Vec<u8>)>, former: &impl Former) {
    let state = |change: &Change, state| Some(StateFile::of_change(change, state).text().into_bytes());
    match op {
        Op::Amend(amendment) => current.page = page_of_amendment(amendment),
        Op::Retract(change) => {
            *hidden = current.page.take();
            current.state = state(change, Presence::Retracted);
            current.retraction = Some(change.revision);
        }
        Op::Restore(change) => {
            let bytes = |path: &String| former.page(path).map(|bytes| (path.clone(), bytes));
            current.page = hidden.take().or_else(|| change.path.as_ref().and_then(bytes));
            current.state = state(change, Presence::Restored);
        }
        Op::Record(_) | Op::Erase { .. } => {}
    }
}

fn path_of_intent(intent: &Intent) -> Option<&str> {
    intent.files.first().map(|file| file.path.as_str())
}

fn path_of_op(op: &Op) -> Option<&str> {
    match op {
        Op::Amend(amendment) => path_of_intent(&amendment.record),
        Op::Retract(change) | Op::Restore(change) => change.path.as_deref(),
        Op::Record(_) | Op::Erase { .. } => None,
    }
}

fn page_of_amendment(amendment: &Amendment) -> Option<(String, Vec<u8>)> {
    let file = amendment.record.files.first()?;
    Some((file.path.clone(), file.text.clone().into_bytes()))
}
