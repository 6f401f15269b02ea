//! Catching up with rows that lag, and checking files after a boot.
//!
//! What a crash in between leaves is listed in `lag`.

use std::collections::BTreeSet;

use super::lag::RowsAt;
use super::{Error, Outcome, Pipeline, VoidReason};
use crate::fs::{self, Point, crash, os};
use crate::journal::{Found, Records, Synced};
use crate::model::position::Position;
use crate::model::{Intent, Op, RecordPath};
use crate::target::pages::{Pages, folders_showing};
use crate::target::{Batch, Mark};

/// How many records of the journal are looked up at a time.
const GROUP_RECORDS: usize = 1000;

/// What was walked over beside the records.
pub(super) struct Walked {
    /// The other operations.
    pub(super) changes: Vec<Op>,
    /// Whether an entry was voided. Its record may be committed: a recorder whose sync failed voids an entry that a worker
    /// may have applied.
    pub(super) has_voided: bool,
}

/// What was found about committed records.
#[derive(Default)]
struct Followed {
    /// Whether a file was gone, or a row that the watermark says is there.
    gone: bool,
    /// The folders of the pages that show records whose rows lagged.
    folders: BTreeSet<String>,
    /// The pages' commit.
    outcome: Option<Outcome>,
}

impl Pipeline<'_> {
    /// Inserts the rows that lag, then renders and commits the pages that show them. If the index cannot be used it
    /// does nothing, without waiting; see [`Pipeline::is_lagging`]. Returns the pages' commit.
    ///
    /// # Errors
    /// Every [`Error`]; a retry continues from there.
    pub fn catch_up(&mut self) -> Result<Outcome, Error> {
        if !self.is_lagging() {
            return Ok(Outcome::NOTHING);
        }
        Ok(self.follow(false)?.outcome.unwrap_or(Outcome::NOTHING))
    }

    /// As [`Pipeline::catch_up`]. After a boot it also checks that every record that is in both the journal and the
    /// branch's tree still has its file and its row, since a power cut can lose both. Returns whether anything was
    /// missing. The audit brings it back: it knows what was only moved.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn catch_up_and_check(&mut self) -> Result<bool, Error> {
        let is_after_boot = self.lag.boot.is_empty() || self.lag.boot != os::boot_id();
        Ok(self.follow(is_after_boot)?.gone)
    }

    fn follow(&mut self, check: bool) -> Result<Followed, Error> {
        let mut followed = Followed::default();
        if !self.see_rows()? || !(check || self.is_lagging()) {
            return Ok(followed);
        }
        let RowsAt::At { .. } = self.lag.rows else { return Ok(followed) };
        if let Some(position) = self.lag.position()
            && self.log().find(position)?.is_none()
        {
            self.lag.rows = RowsAt::Lost { missed: true };
            self.distrust(VoidReason::RowsLost)?;
            return Ok(followed);
        }
        let insert = self.rows.is_free()?;
        if !(check || insert) {
            return Ok(followed);
        }
        let synced = self.ensure_synced()?;
        let begin = self.lag.position().filter(|_| !check);
        let walked = self.walk(begin, check, insert.then_some(&synced), &mut followed);
        if followed.gone {
            // Before any segment is removed; and if this process is killed, for the next one.
            self.distrust(VoidReason::FilesLost)?;
        }
        let changes = match walked {
            Err(error) if error.is_index_out_of_reach() => return Ok(followed),
            walked => walked?,
        };
        if insert {
            match changes.iter().try_for_each(|op| self.ensure_change(op, &synced)) {
                Err(error) if error.is_index_out_of_reach() => return Ok(followed),
                ensured => ensured?,
            }
        }
        // The files and rows that an operation changed have been checked only if its row could be.
        if check && !followed.gone && (insert || changes.is_empty()) {
            self.lag.boot = os::boot_id();
        }
        if insert {
            self.finish_catching_up(&mut followed, &synced)?;
        }
        Ok(followed)
    }

    /// Walks what is committed from `begin` on: checks its files if `check` says so, and inserts rows. A record whose
    /// entry was voided after its commit counts as gone: its file and its row cannot be checked from here.
    fn walk(
        &mut self,
        begin: Option<Position>,
        check: bool,
        insert: Option<&Synced<Position>>,
        followed: &mut Followed,
    ) -> Result<Vec<Op>, Error> {
        let walked = self.each_committed(begin, |pipeline, intents, end, changes| {
            let mut missing = Vec::new();
            let RowsAt::At { mark, pages, .. } = pipeline.lag.rows else { return Ok(()) };
            let is_ahead = mark.is_before(&end);
            for intent in intents {
                let applied = pipeline.applied(&intent)?;
                followed.gone |= check && applied.is_none();
                let intent = applied.unwrap_or(intent);
                if is_ahead || pages.is_some() {
                    followed.folders.extend(folders_showing(std::slice::from_ref(&intent), &*pipeline.rows)?);
                }
                if insert.is_some() && pipeline.rows.find(intent.id)?.is_none() {
                    missing.push(intent);
                }
            }
            followed.gone |= !is_ahead && !missing.is_empty();
            followed.folders.extend(folders_showing(&missing, &*pipeline.rows)?);
            match insert.filter(|_| is_ahead || !missing.is_empty()) {
                // What an operation changes is ensured last: the watermark does not pass it before that.
                Some(synced) => {
                    let to = Some(end).filter(|_| is_ahead && changes.is_empty());
                    pipeline.insert_lagging(missing, to, synced)
                }
                None => Ok(()),
            }
        })?;
        followed.gone |= walked.has_voided;
        self.lag.has_voided |= walked.has_voided;
        Ok(walked.changes)
    }

    /// Inserts the rows of `intents` and moves the watermark to `end`. From then on, pages lag from where rows did.
    fn insert_lagging(
        &mut self,
        intents: Vec<Intent>,
        end: Option<Mark>,
        synced: &Synced<Position>,
    ) -> Result<(), Error> {
        if let (RowsAt::At { mark, pages, .. }, Some(_)) = (&mut self.lag.rows, end) {
            *pages = pages.or(Some(*mark));
        }
        let mut batch = Batch::new(self.at.position, &self.quarantine);
        batch.intents = intents;
        batch.rows_to = end.and_then(|end| self.lag.mark(self.journal_id, end.position));
        let inserted = self.rows.apply(&mut batch, synced);
        self.counts.rows_inserted += batch.done.rows_inserted;
        self.counts.parked += batch.done.parked;
        self.search_is_behind();
        inserted?;
        if let Some(end) = end {
            self.lag.moved(end);
        }
        Ok(())
    }

    /// Rows have caught up: renders and commits the pages, which lag until that is done.
    fn finish_catching_up(&mut self, followed: &mut Followed, synced: &Synced<Position>) -> Result<(), Error> {
        if !followed.folders.is_empty() {
            self.step(Point::CatchUpBeforePages)?;
            let folders = followed.folders.iter().map(String::as_str);
            let pages = Pages { files: &self.files, rows: &*self.rows }.render(folders)?;
            followed.outcome = Some(self.commit_pages(pages, synced)?);
        }
        self.step(Point::CatchUpBeforeMark)?;
        let was_behind = self.is_lagging();
        if let RowsAt::At { pages, .. } = &mut self.lag.rows {
            *pages = None;
        }
        if let Some(mark) = self.lag.mark(self.journal_id, self.at.position)
            && was_behind
        {
            self.rows.set_mark(&mark)?;
            self.lag.moved(self.at);
            self.lag.keys.clear();
            tracing::info!("the rows that lagged are in the index");
            self.maintain()?;
        }
        Ok(())
    }

    /// Rows and files have reached the history: everything missing was looked for, or nothing could be missing.
    /// `audited` says that everything was audited.
    pub(super) fn settle_rows(&mut self, audited: bool) -> Result<(), Error> {
        let memory = self.memory_identity();
        let boot = os::boot_id();
        match self.lag.rows {
            RowsAt::Unknown => return Ok(()),
            RowsAt::Lost { .. } if !audited => return Ok(()),
            RowsAt::Lost { .. } => {
                self.commit_all_pages()?;
                self.lag.rows = RowsAt::At { mark: self.at, stored: self.at, pages: None };
            }
            RowsAt::At { .. } => {}
        }
        if audited {
            (self.lag.boot, self.lag.memory) = (boot, memory);
            self.lag.has_voided = false;
        }
        // The stored one can lie before a segment that was copied: then a second recovery would find something to do.
        let RowsAt::At { mark, .. } = self.lag.rows else { return Ok(()) };
        let wanted = self.lag.mark(self.journal_id, mark.position);
        if !self.see_rows()? || self.rows.mark()? == wanted {
            return Ok(());
        }
        match wanted.map(|mark| self.rows.set_mark(&mark)).transpose() {
            // Then the next start checks again.
            Err(error) if error.is_index_out_of_reach() => Ok(()),
            noted => noted.map(|_| self.lag.moved(mark)),
        }
    }

    /// After an audit of everything: commits all pages. What made the audit due can have come between the rows of a batch
    /// and the pages that show them.
    pub(super) fn commit_audited_pages(&mut self) -> Result<(), Error> {
        match self.lag.rows {
            RowsAt::At { .. } => self.commit_all_pages(),
            RowsAt::Unknown | RowsAt::Lost { .. } => Ok(()),
        }
    }

    /// If the watermark was lost, the point from which pages lag was lost, too: renders and commits all pages.
    fn commit_all_pages(&mut self) -> Result<(), Error> {
        self.rows.reach()?;
        let synced = self.ensure_synced()?;
        let mut folders = BTreeSet::new();
        self.rows.each(&mut |known| folders.extend(RecordPath(&known.path).domain_folder().map(str::to_owned)))?;
        let folders = folders.iter().map(String::as_str);
        let pages = Pages { files: &self.files, rows: &*self.rows }.render(folders)?;
        self.commit_pages(pages, &synced).map(|_| ())
    }

    /// The proof that what is committed is synced.
    pub(super) fn ensure_synced(&mut self) -> Result<Synced<Position>, Error> {
        loop {
            if let Some(synced) = self.sync_journal()? {
                return Ok(synced);
            }
        }
    }

    fn step(&self, point: Point) -> Result<(), Error> {
        Ok(crash::at(point).map_err(fs::Error::io("insert rows into", self.home.index_path()))?)
    }

    pub(super) fn applied(&self, intent: &Intent) -> Result<Option<Intent>, Error> {
        self.files.applied(intent).map_err(|source| Error::Apply { id: intent.id, source })
    }

    /// Calls `visit`, in groups, with the records from `begin`, or the journal's beginning, up to what is committed,
    /// and with the end of each group. A committed record that is no longer in the tree was removed by its owner, and
    /// stays removed. Returns what else is in that range.
    pub(super) fn each_committed(
        &mut self,
        begin: Option<Position>,
        mut visit: impl FnMut(&mut Self, Vec<Intent>, Mark, &[Op]) -> Result<(), Error>,
    ) -> Result<Walked, Error> {
        let (journal, at) = (self.home.journal(), self.at);
        let mut walked = Walked { changes: Vec::new(), has_voided: false };
        let Some(mut records) = Records::from_position_or_start(journal, begin)? else { return Ok(walked) };
        let mut group = Vec::new();
        let mut more = true;
        while more {
            let found = records.next()?;
            let here = Mark::of(records.reader());
            // At a segment's beginning no entry ends: the next one is read, and is not committed.
            let is_behind = at.is_before(&here);
            more = found.is_some() && here.is_before(&at);
            match found.filter(|_| !is_behind) {
                Some(Found::Op(logged)) => match logged.op {
                    Op::Record(intent) => group.push(*intent),
                    op => walked.changes.push(op),
                },
                Some(Found::Voided) => walked.has_voided = true,
                _ => {}
            }
            if group.len() == GROUP_RECORDS || !more {
                let in_tree = self.in_tree(std::mem::take(&mut group))?;
                visit(self, in_tree, if is_behind { at } else { here }, &walked.changes)?;
            }
        }
        Ok(walked)
    }

    fn in_tree(&self, mut intents: Vec<Intent>) -> Result<Vec<Intent>, Error> {
        let path = |intent: &Intent| intent.files.first().map(|file| file.path.clone());
        let paths: Vec<String> = intents.iter().filter_map(path).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let present = self.commits.present(&paths)?;
        intents.retain(|intent| path(intent).is_some_and(|path| present.contains(&path)));
        Ok(intents)
    }
}
