//! Simulated rows, behind the same trait as the real ones.
//!
//! After a power cut they keep what SQLite promises, and no more: a transaction is whole or absent, including its
//! watermark. An unsynced one is kept or lost, and none is kept behind a lost one.
//!
//! They are locked now and then, as by a process that is stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::Stage;
use crate::fs::simulated::Dice;
use crate::journal::Synced;
use crate::model::position::Position;
use crate::model::{Amended, Amendment, FieldSpec, Record, RecordId, RecordPath, Request, Revision};
use crate::page::{PageEntry, StateFile};
use crate::target::index::{self, Known, RowImage};
use crate::target::rows::{ReadRows, Rows, RowsMark};
use crate::target::{Batch, Error, Log, Target, Watermark};

/// The content of the index.
#[derive(Clone, Default)]
pub(super) struct RowsStore {
    durable: Content,
    seen: Content,
    /// The transactions that only `seen` has.
    unsynced: Vec<Transaction>,
}

#[derive(Clone, Default, PartialEq)]
struct Content {
    rows: BTreeMap<RecordId, Row>,
    /// The state of every record that was ever retracted or restored.
    marks: BTreeMap<RecordId, StateFile>,
    mark: Option<RowsMark>,
}

/// A record's row.
#[derive(Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: RecordId,
    pub(super) created_at: Timestamp,
    pub(super) path: String,
    pub(super) request: Request,
    pub(super) amended: Option<Amended>,
    /// Whether its record is retracted: then it is kept for a restoration, and shown nowhere.
    pub(super) is_hidden: bool,
}

#[derive(Clone)]
struct Transaction {
    change: Change,
    mark: Option<RowsMark>,
}

/// What a transaction changes beside the watermark.
#[derive(Clone)]
enum Change {
    Insert(Vec<Row>),
    Amend(Box<Amendment>),
    Hide(StateFile),
    Unhide(StateFile, Box<Row>),
    Forget(RecordId),
}

impl Row {
    fn of(row: &RowImage<'_>) -> Row {
        let RowImage { id, created_at, key, record, provenance, amended, path, .. } = *row;
        let (record, key, provenance) = (record.clone(), key.map(str::to_owned), provenance.clone());
        let request = Request { record, key, provenance };
        Row { id, created_at, path: path.to_owned(), request, amended: amended.cloned(), is_hidden: false }
    }

    fn revision(&self) -> Revision {
        self.amended.as_ref().map_or(Revision::first(self.id), |amended| amended.revision)
    }

    /// Sets the fields that come from another amendment than the row's.
    fn amend(&mut self, Amendment { change, record }: &Amendment) {
        if self.is_hidden || self.revision() >= change.revision {
            return;
        }
        let had = self.amended.take().map(|amended| amended.fields).unwrap_or_default();
        for (name, revision) in record.amended.iter().flat_map(|amended| &amended.fields) {
            if had.get(name) != Some(revision)
                && let Some(spec) = FieldSpec::named(name)
                && let Some(text) = record.record.text(spec.field)
            {
                self.request.record.set(spec.field, text.into_owned()).expect("a record has valid fields");
            }
        }
        self.amended.clone_from(&record.amended);
    }
}

impl Content {
    fn apply(&mut self, Transaction { change, mark }: &Transaction) {
        match change {
            Change::Insert(rows) => {
                for row in rows {
                    self.rows.entry(row.id).or_insert_with(|| row.clone());
                }
            }
            Change::Amend(amendment) => {
                let row = self.rows.get_mut(&amendment.change.of);
                row.into_iter().for_each(|row| row.amend(amendment));
            }
            Change::Hide(state) => self.hide(state),
            Change::Unhide(state, row) if self.marks.get(&state.of).is_none_or(|it| it.revision < state.revision) => {
                self.marks.insert(state.of, state.clone());
                self.rows.entry(state.of).or_insert((**row).clone()).is_hidden = false;
            }
            Change::Unhide(..) => {}
            Change::Forget(id) => drop(self.rows.remove(id)),
        }
        if mark.is_some() {
            self.mark.clone_from(mark);
        }
    }

    fn hide(&mut self, state: &StateFile) {
        if self.marks.get(&state.of).is_some_and(|known| known.revision > state.revision) {
            return;
        }
        self.marks.insert(state.of, state.clone());
        self.rows.entry(state.of).and_modify(|row| row.is_hidden = true);
    }
}

impl RowsStore {
    fn commit(&mut self, transaction: Transaction) {
        self.seen.apply(&transaction);
        self.unsynced.push(transaction);
    }

    fn sync(&mut self) {
        for transaction in std::mem::take(&mut self.unsynced) {
            self.durable.apply(&transaction);
        }
    }

    /// What a power cut leaves. The machine is rebooted, so the watermark names an earlier boot.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        let kept = usize::try_from(dice.below(self.unsynced.len() as u64 + 1)).unwrap_or_default();
        self.unsynced.truncate(kept);
        self.is_restored();
    }

    /// The row of the record `id`, unless it is hidden.
    pub(super) fn get(&self, id: RecordId) -> Option<&Row> {
        self.seen.rows.get(&id).filter(|row| !row.is_hidden)
    }

    /// Every row that is not hidden.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.seen.rows.values().filter(|row| !row.is_hidden)
    }

    pub(super) fn marks(&self) -> &BTreeMap<RecordId, StateFile> {
        &self.seen.marks
    }

    pub(super) fn mark(&self) -> Option<&RowsMark> {
        self.seen.mark.as_ref()
    }

    /// What a backup of it is when it comes back: in an earlier boot, the files were in place.
    pub(super) fn is_restored(&mut self) {
        self.sync();
        if let Some(mark) = &mut self.durable.mark {
            mark.boot = "an earlier boot".to_owned();
        }
        self.seen = self.durable.clone();
    }

    /// The folder of files that the rows were made for is another one from now on.
    pub(super) fn lose_sight_of_files(&mut self) {
        for content in [&mut self.durable, &mut self.seen] {
            if let Some(mark) = &mut content.mark {
                mark.memory = Some("the folder of before".to_owned());
            }
        }
    }
}

impl PartialEq for RowsStore {
    fn eq(&self, other: &RowsStore) -> bool {
        self.seen.rows == other.seen.rows && self.seen.marks == other.seen.marks
    }
}

/// The rows, for one process.
pub(super) struct FakeRows<'s> {
    stage: Stage<'s>,
    dice: Dice,
    /// They are locked once in so many times; never if that is 0.
    locked: u64,
    /// How many more times they are locked.
    left: u64,
}

impl<'s> FakeRows<'s> {
    pub(super) fn new(stage: Stage<'s>, dice: Dice, locked: u64) -> FakeRows<'s> {
        FakeRows { stage, dice, locked, left: 0 }
    }

    fn try_lock(&mut self) -> Result<(), Error> {
        if self.left > 0 {
            self.left -= 1;
        } else if !self.dice.once_in(self.locked) {
            return Ok(());
        } else if self.stage.options.stays_locked > 0 {
            self.left = self.dice.below(self.stage.options.stays_locked);
        }
        Err(index::Error::Busy { waited: Duration::ZERO }.into())
    }

    fn commit(&mut self, change: Change, mark: Option<RowsMark>) -> Result<(), Error> {
        self.stage.step("row")?;
        self.stage.world().rows.commit(Transaction { change, mark });
        self.stage.step("row")
    }

    fn change(&mut self, change: Change) -> Result<(), Error> {
        self.try_lock()?;
        self.commit(change, None)
    }
}

impl fmt::Debug for FakeRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeRows")
    }
}

impl Target for FakeRows<'_> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error> {
        let mark = Rows::mark(self)?;
        RowsMark::watermark(mark.as_ref(), log)
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _: &Synced<Position>) -> Result<(), Error> {
        self.try_lock()?;
        let rows: Vec<_> = batch.intents.iter().map(|intent| Row::of(&RowImage::of(intent, intent.path()))).collect();
        let is_new = |row: &&Row| !self.stage.world().rows.seen.rows.contains_key(&row.id);
        let new = rows.iter().filter(is_new).count();
        self.commit(Change::Insert(rows), batch.rows_to.clone())?;
        batch.done.rows_inserted += new as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<bool, Error> {
        if self.try_lock().is_err() {
            return Ok(false);
        }
        self.stage.step("row")?;
        self.stage.world().rows.sync();
        Ok(true)
    }
}

impl ReadRows for FakeRows<'_> {
    fn count(&self) -> Result<u64, index::Error> {
        Ok(self.stage.world().rows.seen.rows.values().filter(|row| !row.is_hidden).count() as u64)
    }

    fn each(&self, take: &mut dyn FnMut(Known)) -> Result<(), index::Error> {
        let rows: Vec<_> = self.stage.world().rows.seen.rows.values().map(known).collect();
        rows.into_iter().for_each(take);
        Ok(())
    }

    fn each_amended(&self, take: &mut dyn FnMut(RecordId, Revision)) -> Result<(), index::Error> {
        let world = self.stage.world();
        let amended = world.rows.seen.rows.values().filter(|row| row.amended.is_some());
        amended.for_each(|row| take(row.id, row.revision()));
        Ok(())
    }

    fn each_mark(&self, take: &mut dyn FnMut(StateFile)) -> Result<(), index::Error> {
        self.stage.world().rows.seen.marks.values().cloned().for_each(take);
        Ok(())
    }
}

fn known(row: &Row) -> Known {
    Known {
        id: row.id,
        kind: row.request.record.kind(),
        path: row.path.clone(),
        row_id: (!row.is_hidden).then_some(1),
        created_at: row.created_at,
    }
}

impl Rows for FakeRows<'_> {
    fn as_read(&self) -> &dyn ReadRows {
        self
    }

    fn reach(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn close(&mut self) {}

    fn is_free(&mut self) -> Result<bool, Error> {
        Ok(self.try_lock().is_ok())
    }

    fn mark(&self) -> Result<Option<RowsMark>, Error> {
        Ok(self.stage.world().rows.mark().cloned())
    }

    fn set_mark(&mut self, mark: &RowsMark) -> Result<(), Error> {
        self.try_lock()?;
        self.commit(Change::Insert(Vec::new()), Some(mark.clone()))
    }

    fn find(&self, id: RecordId) -> Result<Option<Known>, Error> {
        Ok(self.stage.world().rows.seen.rows.get(&id).map(known))
    }

    fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, index::Error> {
        Ok(page_entries(self.stage.world().rows.iter(), folder))
    }

    fn record_of(&self, known: &Known) -> Result<Option<Request>, Error> {
        Ok(self.stage.world().rows.get(known.id).map(|row| row.request.clone()))
    }

    fn amended(&self, id: RecordId) -> Result<Option<Amended>, Error> {
        Ok(self.stage.world().rows.seen.rows.get(&id).and_then(|row| row.amended.clone()))
    }

    fn insert(&mut self, row: &RowImage<'_>) -> Result<(), Error> {
        self.change(Change::Insert(vec![Row::of(row)]))
    }

    fn amend(&mut self, amendment: &Amendment) -> Result<(), Error> {
        self.change(Change::Amend(Box::new(amendment.clone())))
    }

    fn hide(&mut self, state: &StateFile) -> Result<(), Error> {
        let text = state.text().into_bytes();
        if self.stage.world().history.tree.get(&state.path()) != Some(&text) {
            let on_disk = self.stage.machine.disk().files("memory/retracted").remove(&state.path());
            assert_eq!(on_disk, Some(text), "the row of {} is marked before its state file is written", state.of);
        }
        self.change(Change::Hide(state.clone()))
    }

    fn unhide(&mut self, state: &StateFile, row: &RowImage<'_>) -> Result<(), Error> {
        self.change(Change::Unhide(state.clone(), Box::new(Row::of(row))))
    }

    fn forget(&mut self, id: RecordId) -> Result<(), Error> {
        self.change(Change::Forget(id))
    }

    fn revive(&mut self, _: &RowImage<'_>) -> Result<Option<Option<PathBuf>>, Error> {
        Ok(None)
    }

    fn unblock(&mut self) -> Result<Option<index::Error>, Error> {
        Ok(None)
    }

    fn update(&mut self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn is_lost(&mut self, _: bool) -> Result<bool, Error> {
        Ok(false)
    }
}

/// The entries of `rows` on the page in `folder`, in the index's order.
pub(super) fn page_entries<'r>(rows: impl Iterator<Item = &'r Row>, folder: &str) -> Vec<(String, PageEntry)> {
    let mut entries: Vec<_> = rows
        .filter(|row| RecordPath(&row.path).domain_folder() == Some(folder))
        .filter_map(|row| {
            let Record::Heuristic(it) = &row.request.record else { return None };
            let entry = PageEntry {
                id: row.id,
                rule: it.rule.clone(),
                explanation: it.explanation.clone(),
                source: it.source.clone(),
                confidence: it.confidence.get(),
                created_at: row.created_at,
                path: row.path.clone(),
                given: Vec::new(),
                validated_elsewhere: 0,
                violated_elsewhere: 0,
            };
            Some((it.domain.clone(), entry))
        })
        .collect();
    entries.sort_by_key(|(_, entry)| (entry.created_at, entry.id));
    entries
}
