//! What recovery asks of the pipeline: access to the stores, and the repairs that only recovery makes.
//!
//! The stores themselves are not handed out. What is brought back goes through the journal (`append`), like everything
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Error, Pipeline, VoidReason};
use crate::audit::{self, Audit, Stores, audit};
use crate::erasing::Erasing;
use crate::fs::{self, Point, crash, place};
use crate::journal::Appender;
use crate::model::layout::{QUARANTINE, TEMPORARY};
use crate::model::{Amended, FileImage, Intent, Op, RecordId, Request, Source};
use crate::page::Presence;
use crate::progress::Progress;
use crate::target::index::{self, Known, RowImage};
use crate::target::pages::Pages;

impl Pipeline<'_> {
    /// Removes what a crash can leave behind and no process will use. At worst a recorder at work loses a temporary
    /// file, and leaves its file to the worker then. Returns the number of leftovers.
    ///
    /// # Errors
    /// [`Error::Fs`], [`Error::History`], [`Error::Home`].
    pub fn sweep(&self) -> Result<u64, Error> {
        let home = self.home;
        let temporary = home.private_folder(TEMPORARY)?;
        crash::at(Point::RecoverBeforeSweep).map_err(fs::Error::io("sweep", temporary.path()))?;
        let swept = place::sweep(&temporary, &home.private_folder(QUARANTINE)?, [home.dir(), home.private()])?;
        Ok(swept + self.commits.sweep()?)
    }

    /// Removes what keeps the index from being opened, if that is safe. Returns what still prevents it.
    ///
    /// # Errors
    /// [`Error::Home`].
    pub fn unblock_index(&mut self) -> Result<Option<index::Error>, Error> {
        self.rows.unblock()
    }

    /// Whether the index has to be rebuilt. Only a `thorough` check reads all of it.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn is_index_lost(&mut self, thorough: bool) -> Result<bool, Error> {
        self.rows.is_lost(thorough)
    }

    /// Migrates an index of an older version; with `everything`, also what takes long in a large home. If the index is
    /// locked, the next recovery does it.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    pub fn update_index(&mut self, everything: bool) -> Result<(), Error> {
        self.rows.update(everything)
    }

    /// Audits all stores, up to what is settled.
    ///
    /// # Errors
    /// Every [`audit::Error`].
    pub fn audit(&mut self, progress: &mut dyn Progress) -> Result<Audit, audit::Error> {
        self.lag.begin_audit();
        let committed = Some(self.settled_position());
        let (index, history) = (Some(self.rows.as_read()), Some(self.commits.as_read()));
        let is_journal_doubted = self.void.is_some();
        let wants_edits = false;
        audit(&Stores { home: self.home, index, history, committed, is_journal_doubted, wants_edits }, progress)
    }

    /// Opens the index, unless it is open.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn reach_index(&mut self) -> Result<(), Error> {
        self.see_rows()?;
        self.rows.reach()
    }

    /// The files and the history alone, for when the index is lost.
    pub fn without_index(&self) -> Stores<'_> {
        let history = Some(self.commits.as_read());
        let is_journal_doubted = self.void.is_some();
        Stores { home: self.home, index: None, history, committed: None, is_journal_doubted, wants_edits: false }
    }

    /// The row of the record `id`, if it has one.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn row_of(&mut self, id: RecordId) -> Result<Option<Known>, Error> {
        self.rows.reach()?;
        self.rows.find(id)
    }

    /// The record of a row, as far as a row holds it.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn record_in(&mut self, row: &Known) -> Result<Option<Request>, Error> {
        self.rows.reach()?;
        self.rows.record_of(row)
    }

    /// The last change of the record `id`, if the index knows one.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn amended(&mut self, id: RecordId) -> Result<Option<Amended>, Error> {
        self.rows.reach()?;
        self.rows.amended(id)
    }

    /// Forgets an entry of the index whose table lacks the row, so that the record can be inserted again.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn forget_row(&mut self, id: RecordId) -> Result<(), Error> {
        self.search_is_behind();
        self.rows.forget(id)
    }

    /// Puts back a row that another program has deleted, under its old number, and returns what it was made from: the
    /// copy of the index that has it, if any. `None` if it cannot be put back.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    pub fn revive_row(&mut self, row: &RowImage<'_>) -> Result<Option<Option<PathBuf>>, Error> {
        self.search_is_behind();
        self.rows.revive(row)
    }

    /// The bytes at `path` in the history.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn committed_file(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.commits.read(path)?)
    }

    /// The newest commit that removed each of `paths` from the history, as far as there is one.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
        Ok(self.commits.removed_by(paths)?)
    }

    /// Where the record `id`, whose page is at `path`, came from, if that is another home: then it is not committed here.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::History`].
    pub fn source_of(&self, id: RecordId, path: &str) -> Result<Option<Box<Source>>, Error> {
        let is_elsewhere = self.rows.is_of_others(id)? || !self.commits.of_others(&[path])?.is_empty();
        Ok(is_elsewhere.then(|| Box::new(Source { home: None, lane: None, commit: String::new() })))
    }

    /// Those of `paths` that are not of this home alone (`ReadCommits::changed_elsewhere`).
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn changed_elsewhere(&self, paths: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        Ok(self.commits.changed_elsewhere(paths, self.home.id())?)
    }

    /// Begins to erase again what was erased, if the journal can be another one, or from a backup: it can have entries
    /// of that. The next holder of the lock finishes it. Returns `false` if what was erased is unknown, since rows lag:
    /// then the audit stays due.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Home`].
    pub fn erase_again(&mut self) -> Result<bool, Error> {
        let is_another =
            |void| matches!(void, VoidReason::JournalUnknown | VoidReason::PositionVoid | VoidReason::Unfinished);
        if !self.void.is_some_and(is_another) {
            return Ok(true);
        }
        if self.is_lagging() {
            return Ok(false);
        }
        self.rows.reach()?;
        let mut erased = BTreeMap::new();
        self.rows.as_read().each_mark(&mut |mark| {
            if mark.state == Presence::Erased {
                erased.insert(mark.of, mark.revision);
            }
        })?;
        if !erased.is_empty() {
            Erasing::add(self.exclusive, erased)?;
        }
        Ok(true)
    }

    /// Appends `ops` to the journal, from where they go the usual way.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Fs`].
    pub fn append(&mut self, ops: &[Op]) -> Result<(), Error> {
        let journal = self.home.journal();
        crash::at(Point::RecoverBeforeReappend).map_err(fs::Error::io("append to", journal.dir().path()))?;
        let has_changes = ops.iter().any(|op| op.intent().is_none());
        let jsons: Vec<_> = ops.iter().map(Op::to_json).collect();
        let open = if has_changes { Appender::open_for_operations } else { Appender::open };
        let _ = open(journal)?.append(&jsons)?.sync()?;
        Ok(())
    }

    /// Appends the entry `json`, which is parked under `name`, to the journal again, and removes it from quarantine.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Fs`]; it may be in both then, which is harmless.
    pub fn append_again(&mut self, name: &str, json: &[u8]) -> Result<(), Error> {
        let mut appender = Appender::open_for_operations(self.home.journal())?;
        let _ = appender.append(&[json])?.sync()?;
        self.quarantine.release(name)?;
        self.counts.released += 1;
        tracing::info!(name, "an entry from quarantine is of an operation that this version knows: it is applied now");
        Ok(())
    }

    /// Renders the pages of the domains in `folders`.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Page`].
    pub fn render_pages<'f>(&mut self, folders: impl Iterator<Item = &'f str>) -> Result<Vec<FileImage>, Error> {
        self.rows.reach()?;
        Pages { files: &self.files, rows: &*self.rows }.render(folders)
    }

    /// Releases the record of `intent`, which is parked under `name`, from quarantine if all stores have it by now.
    /// Returns whether they do.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Fs`].
    pub fn release(&mut self, name: &str, intent: &Intent) -> Result<bool, Error> {
        let in_history = intent.files.first().is_some_and(|file| {
            let present = self.commits.present(&[&file.path]);
            present.is_ok_and(|present| !present.is_empty())
        });
        if !in_history || self.row_of(intent.id)?.is_none() {
            return Ok(false);
        }
        self.quarantine.release(name)?;
        self.counts.released += 1;
        tracing::info!(id = %intent.id, "a record from quarantine could be applied now");
        Ok(true)
    }
}
