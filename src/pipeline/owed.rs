//! Rows that are owed: their records are committed, and the index has not got them yet.
//!
//! SQLite lets one process write at a time, and that one may be stopped with the lock in its hands. Nobody waits for a
//! stopped process: once its lock has been waited for in vain, the batch is committed without its rows. The same where a
//! file of the index cannot be opened; which keyed records there are is then asked of the history.
//!
//! 1. From where on rows are owed is durable before the commit that goes without them.
//! 2. While rows are owed no segment goes: the journal has them.
//! 3. Once they are inserted, the pages that show them are rendered and committed, and only then the mark goes.
//! 4. Until then the index does not know their keys: the committer does.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit without rows | a mark at the batch's beginning | whoever comes next finds nothing owed, and unmarks it |
//! | after it | the mark, and a commit without rows | whoever comes next inserts the rows |
//! | before the pages' commit | the mark, rows, perhaps pages | rows are found; pages are rendered again and committed |
//! | before the mark goes | a mark too many | rows are found, and no page has changed |

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Applied, Committer, Error, LOCK_WAIT, Outcome, Pending, Place};
use jiff::Timestamp;

use crate::fs::{self, Point, crash};
use crate::journal::{Found, Records};
use crate::model::position::Position;
use crate::model::{Intent, Op, RecordPath};
use crate::page;
use crate::state::State;

/// How many records of the journal are looked up at a time.
const GROUP_RECORDS: usize = 1000;

/// What was found of records that are committed.
#[derive(Default)]
struct Restored {
    /// Whether a file or a row was gone.
    gone: bool,
    /// The folders of the pages that show them.
    folders: BTreeSet<String>,
}

impl Committer<'_> {
    /// From where on rows are owed, if any are.
    pub fn rows_owed(&self) -> Option<Position> {
        self.state.rows_owed
    }

    /// Up to where the journal is in git and in the index.
    pub fn settled_position(&self) -> Position {
        self.rows_owed().unwrap_or(self.committed)
    }

    /// Notes, durably, that the rows of `batch`, which begins where all before it is committed, are owed.
    pub(super) fn owe_rows(&mut self, batch: &[Intent]) -> Result<(), Error> {
        if self.rows_owed().is_none() {
            tracing::warn!("the index is locked or cannot be opened: committing without rows, which follow later");
            self.step(Point::OweBeforeMark)?;
            self.mark_owed(Some(self.committed))?;
        }
        self.remember_keys(batch);
        Ok(())
    }

    fn step(&self, point: Point) -> Result<(), Error> {
        Ok(crash::at(point).map_err(fs::Error::io("insert rows into", self.home.index_path()))?)
    }

    fn mark_owed(&mut self, rows_owed: Option<Position>) -> Result<(), Error> {
        let state = State { rows_owed, ..self.state.clone() };
        state.write(self.exclusive)?;
        self.state = state;
        Ok(())
    }

    fn remember_keys(&mut self, intents: &[Intent]) {
        for intent in intents.iter().filter(|intent| intent.key.is_some()) {
            let place = || Place { path: intent.path().to_owned(), created_at: intent.created_at };
            self.owed_keys.entry(intent.id).or_insert_with(place);
        }
    }

    /// Notes, durably, that the rows of everything in the journal may be missing: after a power cut, where the index cannot
    /// be asked.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Fs`].
    pub fn owe_all_rows(&mut self) -> Result<(), Error> {
        let Some(records) = Records::from_start(self.home.journal())? else { return Ok(()) };
        self.step(Point::OweBeforeMark)?;
        self.mark_owed(Some(records.position()))?;
        self.find_owed_keys()
    }

    /// Learns from the history, where the index cannot be asked, which of the keyed records in `pending` are committed.
    pub(super) fn find_keys_in_history(&mut self, pending: &[Pending]) -> Result<(), Error> {
        let wanted = pending.iter().map(|it| &it.intent).filter(|it| it.key.is_some());
        let wanted: HashMap<String, &Intent> =
            wanted.filter(|it| !self.owed_keys.contains_key(&it.id)).map(|it| (it.id.short(), it)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        self.history.for_each_file(|file| {
            // The name of its page, or of an experiment's folder, ends in the short id, which the full one ends in, too.
            let stem = file.path().strip_suffix("/hypothesis.md").or_else(|| file.path().strip_suffix(".md"));
            let short = stem.and_then(|stem| stem.get(stem.len().checked_sub(8)?..));
            if let Some(intent) = short.and_then(|short| wanted.get(short))
                && let bytes = file.read()?
                && page::id_of(&bytes) == Some(intent.id)
            {
                // A page that no longer says when it was recorded is the record all the same.
                let created_at = page::parse(&bytes).map_or(Timestamp::UNIX_EPOCH, |parsed| parsed.created_at);
                let path = RecordPath(file.path()).shown().to_owned();
                found.push((intent.id, Place { path, created_at }));
            }
            Ok::<_, Error>(())
        })?;
        self.owed_keys.extend(found);
        Ok(())
    }

    /// Learns which keyed records are committed without a row.
    pub(super) fn find_owed_keys(&mut self) -> Result<(), Error> {
        let Some(owed) = self.rows_owed() else { return Ok(()) };
        self.each_committed(Some(owed), |committer, mut intents| {
            intents.retain(|intent| intent.key.is_some());
            for intent in &mut intents {
                *intent = committer.applied(intent)?.unwrap_or_else(|| intent.clone());
            }
            committer.remember_keys(&intents);
            Ok(())
        })
        .map(|_| ())
    }

    /// Inserts the rows that are owed, and renders and commits the pages that show them. Where somebody still holds
    /// SQLite's lock it does nothing, without waiting; [`Committer::rows_owed`] tells. Returns the pages' commit.
    ///
    /// # Errors
    /// Every [`Error`]; the rows are owed still, and trying again goes on from there.
    pub fn insert_owed(&mut self) -> Result<Outcome, Error> {
        let nothing = Outcome { commit: None, records: 0 };
        let Some(owed) = self.rows_owed() else { return Ok(nothing) };
        match self.index() {
            Err(error) if error.is_index_unopenable() => return Ok(nothing),
            index => {
                if !index?.is_free(LOCK_WAIT)? {
                    return Ok(nothing);
                }
            }
        }
        let folders = match self.restore_rows_since(Some(owed)) {
            Err(error) if error.is_index_out_of_reach() => return Ok(nothing),
            restored => restored?.folders,
        };
        self.step(Point::OwedBeforePages)?;
        let pages = self.render_folders(folders.into_iter().collect())?;
        let outcome = match pages.is_empty() {
            true => nothing,
            false => self.commit_applied(Applied { pages, ..Applied::default() }, self.committed)?,
        };
        self.step(Point::OwedBeforeUnmark)?;
        self.mark_owed(None)?;
        self.owed_keys.clear();
        tracing::info!("the rows that were owed are in the index");
        self.maintain()?;
        Ok(outcome)
    }

    /// Looks whether every record that the journal holds and the branch's tree has is still in its files and its row, and
    /// puts back the rows that are gone. After a power cut, files can be empty and rows missing that were there before;
    /// and as long as a committed record has no row, a repeat of its key that is pending would be taken for the record.
    /// Returns whether anything was gone; its files are for the audit to bring back, which knows what was only moved.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn restore_rows(&mut self) -> Result<bool, Error> {
        Ok(self.restore_rows_since(None)?.gone)
    }

    fn restore_rows_since(&mut self, begin: Option<Position>) -> Result<Restored, Error> {
        let mut restored = Restored::default();
        let changes = self.each_committed(begin, |committer, intents| {
            let mut rows = Vec::new();
            for intent in intents {
                let applied = committer.applied(&intent)?;
                restored.gone |= applied.is_none();
                let intent = applied.unwrap_or(intent);
                restored.folders.extend(RecordPath(intent.path()).domain_folder().map(str::to_owned));
                if committer.index()?.find(intent.id)?.is_none() {
                    rows.push(intent);
                }
            }
            restored.gone |= !rows.is_empty();
            if rows.is_empty() { Ok(()) } else { committer.insert_rows(&rows) }
        })?;
        // What they change is in the tree, which the records above were looked up in: they come last.
        if !changes.is_empty()
            && let Some(proof) = self.sync_journal()?
        {
            changes.iter().try_for_each(|op| self.ensure_change(op, &proof))?;
        }
        Ok(restored)
    }

    fn applied(&self, intent: &Intent) -> Result<Option<Intent>, Error> {
        self.applier.applied(intent).map_err(|source| Error::Apply { id: intent.id, source })
    }

    /// Hands to `visit`, in groups, the records from `begin`, or the journal's beginning, to what is committed. What is
    /// committed and no longer in the tree was removed by its owner, and stays so. Returns the other operations there.
    fn each_committed(
        &mut self,
        begin: Option<Position>,
        mut visit: impl FnMut(&mut Self, Vec<Intent>) -> Result<(), Error>,
    ) -> Result<Vec<Op>, Error> {
        let (journal, end) = (self.home.journal(), self.committed);
        let Some(mut records) = Records::from_position_or_start(journal, begin)? else { return Ok(Vec::new()) };
        let (mut group, mut changes) = (Vec::new(), Vec::new());
        let mut more = records.position() != end;
        while more {
            let found = records.next()?;
            more = found.is_some() && records.position() != end;
            if let Some(Found::Op(logged)) = found {
                match logged.op {
                    Op::Record(intent) => group.push(*intent),
                    op => changes.push(op),
                }
            }
            if group.len() == GROUP_RECORDS || !more {
                let in_tree = self.in_tree(std::mem::take(&mut group))?;
                visit(self, in_tree)?;
            }
        }
        Ok(changes)
    }

    fn in_tree(&self, mut intents: Vec<Intent>) -> Result<Vec<Intent>, Error> {
        let path = |intent: &Intent| intent.files.first().map(|file| file.path.clone());
        let paths: Vec<String> = intents.iter().filter_map(path).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let missing: HashSet<&str> = self.history.missing(&paths)?.into_iter().collect();
        intents.retain(|intent| path(intent).is_some_and(|path| !missing.contains(path.as_str())));
        Ok(intents)
    }
}
