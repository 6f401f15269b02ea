//! What must survive, and the stores that are not on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::changes::Made;
use super::commits::History;
use super::rows::{Row, RowsStore, page_entries};
use crate::model::{FileImage, Intent, Record, RecordId};
use crate::page;
use crate::target::pages::domain_folders;

/// What must survive, and the stores that are not on the disk.
#[derive(Default)]
pub(super) struct World {
    /// The index.
    pub(super) rows: RowsStore,
    /// The history.
    pub(super) history: History,
    /// Every requested record, by its headline.
    pub(super) asked: BTreeMap<String, Record>,
    /// Intents that matched exactly what their recorders wrote.
    pub(super) checked: HashMap<RecordId, Intent>,
    /// The acknowledged records.
    pub(super) promised: Vec<Promise>,
    /// The committed intents, in this order.
    pub(super) committed: Vec<Intent>,
    /// The headlines of refused records: a worker can have read one before its recorder voided it.
    pub(super) refused: BTreeSet<String>,
    /// Files that their owner edited, by path.
    pub(super) edits: BTreeMap<String, Edit>,
    /// Every operation on a record that was ever appended, acknowledged or not.
    pub(super) made: Vec<Made>,
    /// Acknowledged entries that cannot be applied, and have to be in quarantine.
    pub(super) strange: Vec<Strange>,
    /// Whether the journal ever came back from a backup.
    pub(super) is_journal_restored: bool,
    /// Counts the views and the acknowledgements of operations.
    pub(super) clock: u64,
}

/// What rows and history were at some moment.
#[derive(PartialEq)]
pub(super) struct Stores {
    rows: RowsStore,
    commits: u128,
    tree: BTreeMap<String, Vec<u8>>,
}

pub(super) struct Promise {
    pub(super) id: RecordId,
    /// Whether it has a key: then an earlier intent may be the record.
    pub(super) keyed: bool,
    pub(super) files: Vec<FileImage>,
}

/// An acknowledged entry that cannot be applied.
pub(super) struct Strange {
    pub(super) json: Vec<u8>,
    /// When it was acknowledged.
    pub(super) at: u64,
}

pub(super) struct Edit {
    pub(super) text: Vec<u8>,
    /// Whether it was durable when the power went.
    pub(super) durable: bool,
}

impl World {
    pub(super) fn is_committed(&self, id: RecordId) -> bool {
        self.committed.iter().any(|intent| intent.id == id)
    }

    /// Rows and history, to be compared.
    pub(super) fn stores(&self) -> Stores {
        let History { commits, tree, .. } = &self.history;
        Stores { rows: self.rows.clone(), commits: *commits, tree: tree.clone() }
    }

    /// Whether nothing is promised of the record `id`, since what was had of it may have been lost with a journal.
    pub(super) fn is_forgotten(&self, id: RecordId) -> bool {
        self.is_journal_restored && !self.promised.iter().any(|promise| promise.id == id)
    }

    /// Whether an operation on the record `id` was ever appended.
    pub(super) fn is_changed(&self, id: RecordId) -> bool {
        self.made.iter().any(|made| made.op.of() == id)
    }

    /// The next moment.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether `found` is allowed in the place of `file`, which belongs to the record `id`.
    pub(super) fn is_intact(&self, id: RecordId, file: &FileImage, found: Option<&Vec<u8>>) -> bool {
        if self.is_changed(id) {
            return found == self.history.tree.get(&file.path);
        }
        let original = found.is_some_and(|found| found == file.text.as_bytes());
        match self.edits.get(&file.path) {
            Some(edit) => found == Some(&edit.text) || !edit.durable && original,
            None => original,
        }
    }

    pub(super) fn is_refused(&self, intent: &Intent) -> bool {
        self.refused.contains(intent.record.headline())
    }

    /// Whether `files` has one that its owner edited, and its text.
    pub(super) fn is_edited(&self, intent: &Intent) -> bool {
        intent.files.iter().any(|file| self.edits.get(&file.path).is_some_and(|it| it.text == file.text.as_bytes()))
    }

    /// The page of the heuristics in `folder`, as the rows have them; without `refused` ones that are not committed.
    /// `None` if the folder has none.
    pub(super) fn page(&self, folder: &str, refused: bool) -> Option<String> {
        let is_refused = |row: &Row| self.refused.contains(row.request.record.headline());
        let is_there = |row: &&Row| refused || self.is_committed(row.id) || !is_refused(row);
        let entries = page_entries(self.rows.iter().filter(is_there), folder);
        let title = entries.first().map(|(domain, _)| domain.clone())?;
        Some(page::domain_page(&title, entries.into_iter().map(|(_, entry)| entry)))
    }

    /// The folders of all domains that have, or had, a heuristic.
    pub(super) fn domains(&self) -> BTreeSet<String> {
        domain_folders(&self.committed).map(str::to_owned).collect()
    }
}
