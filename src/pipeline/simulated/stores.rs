//! Simulated rows and a simulated history, behind the same traits as the real ones.
//!
//! After a power cut they keep what SQLite and git promise, and no more:
//!
//! 1. Rows: a transaction is whole or absent, including its watermark. An unsynced one is kept or lost, and none is
//!    kept behind a lost one.
//! 2. The history: a commit is durable when it is made. Its process may have died before it knew that.
//!
//! The rows are locked now and then, as by a process that is stopped.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use super::{Stage, World};
use crate::fs;
use crate::fs::simulated::Dice;
use crate::journal::Synced;
use crate::model::position::Position;
use crate::model::{Amended, Amendment, Intent, JournalId, Record, RecordId, RecordPath, Request, Revision};
use crate::page::{PageEntry, StateFile};
use crate::target::commits::{Commits, CommittedFile, ReadCommits, latest};
use crate::target::history::{self, CommitId, Committed};
use crate::target::index::{self, Known, RowImage};
use crate::target::rows::{ReadRows, Rows, RowsMark};
use crate::target::{Batch, Error, Log, Target, VoidReason, Watermark};

/// The content of the index.
#[derive(Default)]
pub(super) struct RowsStore {
    transactions: Vec<Transaction>,
    /// So many of them are durable.
    synced: usize,
    rows: BTreeMap<RecordId, Intent>,
    mark: Option<RowsMark>,
}

struct Transaction {
    rows: Vec<Intent>,
    mark: Option<RowsMark>,
}

impl RowsStore {
    fn commit(&mut self, transaction: Transaction) {
        for intent in &transaction.rows {
            self.rows.entry(intent.id).or_insert_with(|| intent.clone());
        }
        if transaction.mark.is_some() {
            self.mark.clone_from(&transaction.mark);
        }
        self.transactions.push(transaction);
    }

    /// What a power cut leaves. The machine is rebooted, so the watermark names an earlier boot.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        let unsynced = (self.transactions.len() - self.synced) as u64;
        let kept = self.synced + usize::try_from(dice.below(unsynced + 1)).unwrap_or_default();
        let mut transactions = std::mem::take(&mut self.transactions);
        transactions.truncate(kept);
        *self = RowsStore::default();
        for mut transaction in transactions {
            if let Some(mark) = &mut transaction.mark {
                mark.boot = "an earlier boot".to_owned();
            }
            self.commit(transaction);
        }
        self.synced = kept;
    }

    pub(super) fn has(&self, id: RecordId) -> bool {
        self.rows.contains_key(&id)
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&Intent> {
        self.rows.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Intent> {
        self.rows.values()
    }

    pub(super) fn mark(&self) -> Option<&RowsMark> {
        self.mark.as_ref()
    }
}

/// The rows, for one process.
pub(super) struct FakeRows<'s> {
    stage: Stage<'s>,
    dice: Dice,
    /// They are locked once in so many times; never if that is 0.
    locked: u64,
}

impl<'s> FakeRows<'s> {
    pub(super) fn new(stage: Stage<'s>, dice: Dice, locked: u64) -> FakeRows<'s> {
        FakeRows { stage, dice, locked }
    }

    fn try_lock(&mut self) -> Result<(), Error> {
        match self.locked > 0 && self.dice.once_in(self.locked) {
            true => Err(index::Error::Busy { waited: Duration::ZERO }.into()),
            false => Ok(()),
        }
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        self.stage.step("row")?;
        self.stage.world().rows.commit(transaction);
        self.stage.step("row")
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
        let rows: Vec<_> = batch.intents.clone();
        let new = rows.iter().filter(|intent| !self.stage.world().rows.has(intent.id)).count();
        self.commit(Transaction { rows, mark: batch.rows_to.clone() })?;
        batch.done.rows_inserted += new as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<bool, Error> {
        if self.try_lock().is_err() {
            return Ok(false);
        }
        self.stage.step("row")?;
        let mut world = self.stage.world();
        world.rows.synced = world.rows.transactions.len();
        Ok(true)
    }
}

impl ReadRows for FakeRows<'_> {
    fn each(&self, take: &mut dyn FnMut(Known)) -> Result<(), index::Error> {
        let rows: Vec<_> = self.stage.world().rows.rows.values().map(known).collect();
        rows.into_iter().for_each(take);
        Ok(())
    }

    fn each_amended(&self, _: &mut dyn FnMut(RecordId, Revision)) -> Result<(), index::Error> {
        Ok(())
    }

    fn each_mark(&self, _: &mut dyn FnMut(StateFile)) -> Result<(), index::Error> {
        Ok(())
    }
}

fn known(intent: &Intent) -> Known {
    Known {
        id: intent.id,
        kind: intent.record.kind(),
        path: intent.path().to_owned(),
        row_id: Some(1),
        created_at: intent.created_at,
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
        Ok(self.stage.world().rows.mark.clone())
    }

    fn set_mark(&mut self, mark: &RowsMark) -> Result<(), Error> {
        self.try_lock()?;
        self.commit(Transaction { rows: Vec::new(), mark: Some(mark.clone()) })
    }

    fn find(&self, id: RecordId) -> Result<Option<Known>, Error> {
        Ok(self.stage.world().rows.rows.get(&id).map(known))
    }

    fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, index::Error> {
        Ok(page_entries(self.stage.world().rows.rows.values(), folder))
    }

    fn record_of(&self, known: &Known) -> Result<Option<Request>, Error> {
        let world = self.stage.world();
        Ok(world.rows.rows.get(&known.id).map(|intent| {
            let (record, key) = (intent.record.clone(), intent.key.clone());
            Request { record, key, provenance: intent.provenance.clone() }
        }))
    }

    fn amended(&self, id: RecordId) -> Result<Option<Amended>, Error> {
        Ok(self.stage.world().rows.get(id).and_then(|intent| intent.amended.clone()))
    }

    fn insert(&mut self, _: &RowImage<'_>) -> Result<(), Error> {
        unreachable!("no operations are simulated")
    }

    fn amend(&mut self, _: &Amendment) -> Result<(), Error> {
        unreachable!("no operations are simulated")
    }

    fn hide(&mut self, _: &StateFile) -> Result<(), Error> {
        unreachable!("no operations are simulated")
    }

    fn unhide(&mut self, _: &StateFile, _: &RowImage<'_>) -> Result<(), Error> {
        unreachable!("no operations are simulated")
    }

    fn forget(&mut self, _: RecordId) -> Result<(), Error> {
        Ok(())
    }

    fn revive(&mut self, _: &RowImage<'_>) -> Result<Option<Option<PathBuf>>, Error> {
        Ok(None)
    }

    fn unblock(&mut self) -> Result<Option<index::Error>, Error> {
        Ok(None)
    }

    fn update(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn is_lost(&mut self, _: bool) -> Result<bool, Error> {
        Ok(false)
    }
}

/// The entries of `intents` on the page in `folder`, in the index's order.
pub(super) fn page_entries<'i>(intents: impl Iterator<Item = &'i Intent>, folder: &str) -> Vec<(String, PageEntry)> {
    let mut entries: Vec<_> = intents
        .filter(|intent| RecordPath(intent.path()).domain_folder() == Some(folder))
        .filter_map(|intent| {
            let Record::Heuristic(it) = &intent.record else { return None };
            let entry = PageEntry {
                id: intent.id,
                rule: it.rule.clone(),
                explanation: it.explanation.clone(),
                source: it.source.clone(),
                confidence: it.confidence.get(),
                created_at: intent.created_at,
                path: intent.path().to_owned(),
            };
            Some((it.domain.clone(), entry))
        })
        .collect();
    entries.sort_by_key(|(_, entry)| (entry.created_at, entry.id));
    entries
}

/// The content of the history.
#[derive(Default)]
pub(super) struct History {
    /// How many commits there are.
    commits: u128,
    /// The position in the newest trailer.
    pub(super) position: Option<Position>,
    pub(super) tree: BTreeMap<String, Vec<u8>>,
}

/// The history, for one process.
pub(super) struct FakeCommits<'s> {
    pub(super) stage: Stage<'s>,
    pub(super) journal: JournalId,
}

impl fmt::Debug for FakeCommits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeCommits")
    }
}

fn name_of(commit: u128) -> String {
    CommitId::numbered(commit).to_string()
}

impl Target for FakeCommits<'_> {
    fn name(&self) -> &'static str {
        "history"
    }

    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error> {
        assert_eq!(log.id, self.journal, "a watermark is asked of another journal");
        let world = self.stage.world();
        let Some(position) = world.history.position else { return Ok(Watermark::Beginning) };
        let reached: HashSet<String> = (1..=world.history.commits).map(name_of).collect();
        let reached_tip = (world.history.commits > 0).then(|| name_of(world.history.commits));
        drop(world);
        let Some(state) = log.state else { return Ok(Watermark::Lost(VoidReason::JournalUnknown)) };
        if log.was_voided(position, reached_tip.as_deref())? {
            return Ok(Watermark::Lost(VoidReason::PositionVoid));
        }
        let noted = state.noted.as_ref().filter(|noted| reached.contains(&noted.commit));
        let found = latest(log, [Some(position), noted.map(|noted| noted.position)].into_iter().flatten())?;
        Ok(found.map_or(Watermark::Lost(VoidReason::PositionVoid), Watermark::At))
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _: &Synced<Position>) -> Result<(), Error> {
        self.stage.step("commit")?;
        let committed = self.stage.world().commit(batch);
        self.stage.step("commit")?;
        batch.done.committed = Some(committed);
        Ok(())
    }

    fn sync(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}

impl World {
    /// Commits `batch`, which makes it durable.
    fn commit(&mut self, batch: &Batch<'_>) -> Committed {
        let mut records = 0;
        let mut has_changed = false;
        for intent in &batch.intents {
            let page = &intent.files[0].path;
            if !self.history.tree.contains_key(page) {
                let before = self.committed.iter().find(|it| it.id == intent.id);
                assert!(before.is_none(), "{} is committed twice: {before:?}", intent.id);
                self.committed.push(intent.clone());
                records += 1;
            }
            for file in &intent.files {
                let tree = &mut self.history.tree;
                has_changed |= !tree.contains_key(&file.path);
                tree.entry(file.path.clone()).or_insert_with(|| file.text.clone().into_bytes());
            }
        }
        let mut pages = 0;
        for page in &batch.pages {
            let bytes = page.text.clone().into_bytes();
            pages += usize::from(self.history.tree.insert(page.path.clone(), bytes.clone()) != Some(bytes));
        }
        if !has_changed && pages == 0 {
            return Committed::Nothing;
        }
        self.history.commits += 1;
        self.history.position = Some(batch.end);
        Committed::New { commit: CommitId::numbered(self.history.commits), records, pages }
    }
}

struct File<'f> {
    path: &'f str,
    bytes: &'f [u8],
}

impl CommittedFile for File<'_> {
    fn path(&self) -> &str {
        self.path
    }

    fn read(&self) -> Result<Vec<u8>, history::Error> {
        Ok(self.bytes.to_vec())
    }
}

impl ReadCommits for FakeCommits<'_> {
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error> {
        let tree = self.stage.world().history.tree.clone();
        for (path, bytes) in &tree {
            if visit(&File { path, bytes }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn introduced(&self, candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error> {
        let world = self.stage.world();
        Ok(candidates.into_iter().filter(|path| world.history.tree.contains_key(path)).collect())
    }

    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let world = self.stage.world();
        let present = paths.iter().filter(|path| world.history.tree.contains_key(**path));
        Ok(present.map(|path| (*path).to_owned()).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        Ok(self.stage.world().history.tree.get(path).cloned())
    }

    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        self.read(path)
    }

    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        Ok(self.read(path)?.is_some_and(|found| found == bytes))
    }
}

impl Commits for FakeCommits<'_> {
    fn as_read(&self) -> &dyn ReadCommits {
        self
    }

    fn tip(&self) -> Result<Option<String>, Error> {
        let commits = self.stage.world().history.commits;
        Ok((commits > 0).then(|| name_of(commits)))
    }
}

impl Stage<'_> {
    /// A step of a simulated store, at which the power may go.
    fn step(&self, name: &'static str) -> Result<(), Error> {
        let failed = |errno: rustix::io::Errno| fs::Error::io("write", name)(errno.into());
        Ok(self.machine.step(name).map_err(failed)?)
    }
}

/// The first intent of each id, in the journal's order.
pub(super) type Firsts = HashMap<RecordId, Intent>;
