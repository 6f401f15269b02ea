//! Operations that change a record: amendments, retractions, restorations, erasures. Each is a batch of its own, so that the
//! history has each revision. A batch of records ends before it.
//!
//! 1. The record's state in the history decides what an operation results in (`page::resolve`). The history is the last
//!    store that an operation reaches, so what it has, the others had, or get again.
//! 2. The order is: files, row, domain's page, commit. Each store applies it by revision, so applying it again changes
//!    nothing.
//! 3. An amendment that merges two goes into the journal, and is applied in the place of the one that it came from: what lies
//!    behind that can be a retraction whose writer saw it, and would make the merge void. Its own entry is a repeat.
//! 4. A locked index delays rows, never commits. An operation goes without its row then: the rows' watermark stays before
//!    it, and catching up applies it to the row, and to the domain's page, after it has inserted the rows before it. It
//!    waits only if nothing but the index knows where the record's page is.
//! 5. The file beside an experiment that says how it ended is not in the entry: it is a function of the amended record.
//! 6. A state file on disk that has more than the operation is never set back: files are newer than a journal from a backup.
//!    The operation changes nothing then, and an audit of everything is due.
//! 7. An erasure begins here: its state file keeps the record away, and a note names it. `erase` does the rest.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | the operation in part of files and row | the next batch does the same again |
//! | before the commit, of an experiment that ended | its page without `outcome.md` | the next batch writes both |
//! | after it | all of it | nothing to do: its position is in git |
//! | after one without its row | files and history, a watermark of the rows before it | catching up (see `lag`) |
//! | after an amendment that merges two was appended | what it merges, and the merge | the next batch makes the same merge again; the revision makes the duplicate harmless |
//! | after one that has to wait was appended | see `order` | |

use std::collections::BTreeMap;

use super::edits::has_all;
use super::{Error, Outcome, Pipeline, VoidReason};
use crate::erasing::Erasing;
use crate::fs::{self, Point, crash};
use crate::journal::{Appender, Logged, Synced};
use crate::model::path::{RecordPath, is_domain_page, outcome_beside};
use crate::model::position::Position;
use crate::model::{Amendment, Change, FileImage, Intent, Op, Record, RecordId, Request};
use crate::page::{self, Current, Presence, Resolution, StateFile};
use crate::quarantine::{REFUSED, TOO_EARLY};
use crate::target::changed_files::{ChangedFiles, Written};
use crate::target::history::Changes;
use crate::target::index::{self, RowImage};
use crate::target::pages::folder_of;
use crate::target::rows::Rows;
use crate::target::{Batch, Mark};

/// Whether an operation changes the rows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsNow {
    /// It does: they have applied everything before it.
    Follow,
    /// They lag, or are locked: catching up applies it to them.
    Lag,
}

impl Pipeline<'_> {
    /// Applies and commits the operation `logged`. Everything before it is already committed.
    pub(super) fn commit_change(&mut self, logged: &Logged, proof: &Synced<Position>) -> Result<Outcome, Error> {
        let mut rows = self.rows_now()?;
        let end = Mark { segment: logged.segment, position: logged.position };
        let mut op = &logged.op;
        let path = self.page_path(op, rows)?;
        let current = self.current(op, path.as_deref())?;
        if rows == RowsNow::Lag && !is_found(op.of(), &current) {
            return Err(self.busy());
        }
        if self.must_wait(logged, &current)? {
            self.append_behind(op)?;
            return self.commit_op(None, end, rows, proof);
        }
        let mut resolution = page::resolve(op, &current);
        tracing::debug!(of = %op.of(), op = op.name(), "an operation on a record");
        let joined;
        if let Resolution::Append(join) = resolution {
            self.append_behind(&join)?;
            joined = join;
            op = &joined;
            resolution = page::resolve(op, &current);
        }
        if self.is_overtaken(op, &resolution) {
            // The audit brings what the state file says into the other stores.
            self.distrust(VoidReason::FilesAhead)?;
            resolution = Resolution::Late;
        }
        // That the trunk has its state file says nothing of the home's own stores.
        if let (Op::Erase { of, revision }, Resolution::Apply | Resolution::Done) = (op, &resolution) {
            Erasing::add(self.exclusive, BTreeMap::from([(*of, *revision)]))?;
        }
        match resolution {
            Resolution::Apply => match self.apply_change(op, path, &current, &mut rows, proof) {
                // An attempt before this one moved the rows' watermark: nothing would render the domain's page later.
                Ok(_) if rows == RowsNow::Lag && self.lag.has(end) => return Err(self.busy()),
                Ok(changes) => {
                    let outcome = self.commit_op(Some(changes), end, rows, proof)?;
                    self.counts.operations += 1;
                    return Ok(outcome);
                }
                Err(error) if error.is_for_good() => self.park_op(op, REFUSED, &crate::model::text::chain(&error))?,
                Err(error) => return Err(error),
            },
            Resolution::Done => match self.apply_change(op, path, &current, &mut rows, proof) {
                Err(error) if !error.is_for_good() => return Err(error),
                _ => {}
            },
            Resolution::Late | Resolution::Append(_) => {}
            Resolution::Void if self.had(op, path.as_deref())? => {}
            Resolution::Void => {
                self.counts.raced += 1;
                tracing::warn!(of = %op.of(), op = op.name(), "the record was retracted before: the operation is void");
            }
            Resolution::Park(why) => self.park_op(op, TOO_EARLY, why)?,
        }
        self.commit_op(None, end, rows, proof)
    }

    /// Whether the hidden record had all that the amendment `op` changed: then `op` comes again.
    fn had(&self, op: &Op, path: Option<&str>) -> Result<bool, Error> {
        let (Op::Amend(amendment), Some(path)) = (op, path) else { return Ok(false) };
        let Some(last) = self.commits.last_of(path)?.and_then(|bytes| page::parse(&bytes).ok()) else {
            return Ok(false);
        };
        let mut fields = amendment.record.amended.iter().flat_map(|amended| &amended.fields);
        Ok(last.id == op.of() && fields.all(|(name, revision)| !page::is_later(&last.fields, name, revision)))
    }

    /// Whether the rows have applied everything so far, and can be changed.
    fn rows_now(&mut self) -> Result<RowsNow, Error> {
        if self.is_lagging() {
            return Ok(RowsNow::Lag);
        }
        match self.reach_index() {
            Err(error) if error.is_index_out_of_reach() => Ok(RowsNow::Lag),
            reached => reached.map(|()| RowsNow::Follow),
        }
    }

    fn busy(&self) -> Error {
        index::Error::Busy { waited: self.options.index_wait }.into()
    }

    /// Ensures files and rows of the operation `op`, if it is the record's latest in the history, and the page of its
    /// domain in the history. For after a power cut, and where its row lagged.
    pub(super) fn ensure_change(&mut self, op: &Op, proof: &Synced<Position>) -> Result<(), Error> {
        let mut rows = RowsNow::Follow;
        let path = self.page_path(op, rows)?;
        let current = self.current(op, path.as_deref())?;
        if page::resolve(op, &current) != Resolution::Done {
            return Ok(());
        }
        if self.is_overtaken(op, &Resolution::Done) {
            return self.distrust(VoidReason::FilesAhead);
        }
        match self.apply_change(op, path, &current, &mut rows, proof) {
            Err(error) if error.is_for_good() => {
                let why = crate::model::text::chain(&error);
                tracing::error!(of = %op.of(), op = op.name(), why, "an operation is in the history alone");
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) if rows == RowsNow::Lag => Err(self.busy()),
            Ok(changes) => self.commit_domain(changes, proof),
        }
    }

    /// Commits the domain's page among `changes`, of an operation that the history has, if the history has another one.
    fn commit_domain(&mut self, mut changes: Changes<'_>, proof: &Synced<Position>) -> Result<(), Error> {
        changes.removed.retain(|path| is_domain_page(path));
        let (mut pages, mut is_stale) = (Vec::new(), false);
        for page in changes.files.drain(..).filter(|file| is_domain_page(&file.path)) {
            if self.commits.read(&page.path)?.as_deref() != Some(page.text.as_bytes()) {
                pages.push(page);
            }
        }
        for path in &changes.removed {
            is_stale |= self.commits.read(path)?.is_some();
        }
        if is_stale {
            let mut batch = Batch::new(self.at.position, &self.quarantine);
            batch.change = Some(changes);
            self.commits.apply(&mut batch, proof)?;
            let done = batch.done;
            self.committed_batch(&done, self.at)?;
        }
        self.commit_pages(pages, proof).map(|_| ())
    }

    /// Makes `change` in the rows, unless they lag. If they are locked, they lag from now on.
    fn change_rows(
        &mut self,
        rows: &mut RowsNow,
        change: impl FnOnce(&mut dyn Rows) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if *rows == RowsNow::Lag {
            return Ok(());
        }
        match change(&mut *self.rows) {
            Err(error) if error.is_index_out_of_reach() => {
                tracing::warn!(
                    "the index is locked or cannot be opened: an operation goes without its row, which follows later"
                );
                *rows = RowsNow::Lag;
                Ok(())
            }
            changed => changed,
        }
    }

    fn park_op(&mut self, op: &Op, part: &str, why: &str) -> Result<(), Error> {
        if self.quarantine.park_op(op, part, why)? {
            self.counts.parked += 1;
            tracing::error!(of = %op.of(), op = op.name(), why, "an operation cannot be applied: parked");
        }
        Ok(())
    }

    /// Appends `op`, which joins two operations or has to wait, to the journal.
    fn append_behind(&mut self, op: &Op) -> Result<(), Error> {
        let journal = self.home.journal();
        crash::at(Point::ChangeBeforeAppend).map_err(fs::Error::io("append to", journal.dir().path()))?;
        let _ = Appender::open_for_operations(journal)?.append(&[op.to_json()])?.sync()?;
        self.has_joined = true;
        Ok(())
    }

    /// Whether the parked operation `op` can be applied now.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::History`].
    pub fn can_apply(&mut self, op: &Op) -> Result<bool, Error> {
        let path = self.page_path(op, RowsNow::Follow)?;
        let current = self.current(op, path.as_deref())?;
        Ok(match (page::resolve(op, &current), op) {
            (Resolution::Park(_), _) => false,
            (Resolution::Apply | Resolution::Append(_), Op::Restore(_)) => {
                let bytes = path.map(|path| self.commits.last_of(&path)).transpose()?.flatten();
                bytes.is_some_and(|bytes| page::parse(&bytes).is_ok_and(|parsed| parsed.request.is_some()))
            }
            _ => true,
        })
    }

    /// Releases the parked operation `op`, which is parked under `name`, if it was applied, or has no effect any more.
    /// Returns whether it was.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::History`], [`Error::Fs`].
    pub fn release_op(&mut self, name: &str, op: &Op) -> Result<bool, Error> {
        let path = self.page_path(op, RowsNow::Follow)?;
        let current = self.current(op, path.as_deref())?;
        if !matches!(page::resolve(op, &current), Resolution::Done | Resolution::Late | Resolution::Void) {
            return Ok(false);
        }
        self.quarantine.release(name)?;
        self.counts.released += 1;
        tracing::info!(name, "an operation from quarantine could be applied now");
        Ok(true)
    }

    /// Applies `op` to files, row and page, and returns what it changes in the tree. If the rows lag, row and page follow
    /// later.
    fn apply_change<'o>(
        &mut self,
        op: &'o Op,
        path: Option<String>,
        current: &Current,
        rows: &mut RowsNow,
        proof: &Synced<Position>,
    ) -> Result<Changes<'o>, Error> {
        let mut changes = Changes { op, files: Vec::new(), removed: Vec::new() };
        let moved = self.moved(op, current)?;
        match op {
            Op::Amend(amendment) => {
                let text = amendment.record.files.first().map_or("", |file| file.text.as_str()).to_owned();
                let path = path.clone().unwrap_or_default();
                let file = FileImage { path, text };
                self.write_file(op.of(), &file, moved.as_deref(), proof)?;
                self.change_rows(rows, |rows| {
                    if current.page.is_none() {
                        // The history does not have it yet: the amendment carries all of it.
                        rows.insert(&RowImage::of(&amendment.record, RecordPath(&file.path).shown()))?;
                    }
                    rows.amend(amendment)
                })?;
                if current.page.is_none() && *rows == RowsNow::Lag {
                    // No entry of the journal says what catching up would insert.
                    return Err(self.busy());
                }
                self.say_outcome(amendment, &file.path, proof, &mut changes)?;
                changes.files.insert(0, file);
            }
            Op::Retract(change) => {
                let state = StateFile::of_change(change, Presence::Retracted);
                self.take_away(&state, (path.as_deref(), moved.as_deref()), rows, proof, &mut changes)?;
            }
            Op::Restore(change) => self.restore(change, path.as_deref(), rows, proof, &mut changes)?,
            Op::Erase { of, revision } => {
                let state = StateFile::of_erasure(*of, *revision);
                self.take_away(&state, (path.as_deref(), moved.as_deref()), rows, proof, &mut changes)?;
            }
            Op::Record(_) => {}
        }
        if *rows == RowsNow::Follow {
            let own = path.as_deref().and_then(|path| RecordPath(path).domain_folder().map(str::to_owned));
            // The tree no longer has the page of a verdict whose row lagged when it was retracted.
            let former = match (&current.page, op, path.as_deref()) {
                (None, Op::Retract(_) | Op::Erase { .. }, Some(path)) => self.commits.last_of(path)?,
                _ => None,
            };
            let pages = [current.page.as_ref().map(|(_, bytes)| bytes.as_slice()), former.as_deref()];
            let pages = pages.into_iter().flatten().chain(changes.files.iter().map(|file| file.text.as_bytes()));
            let mut folders: Vec<String> = own.into_iter().collect();
            for rule in pages.filter_map(rule_in).collect::<Vec<_>>() {
                folders.extend(folder_of(rule, &*self.rows)?);
            }
            for folder in folders {
                self.show(&folder, rows, proof, &mut changes)?;
            }
        }
        Ok(changes)
    }

    /// Renders the domain's page in `folder`, or removes it if it has no records left.
    fn show(
        &mut self,
        folder: &str,
        rows: &mut RowsNow,
        proof: &Synced<Position>,
        changes: &mut Changes<'_>,
    ) -> Result<(), Error> {
        let pages = match self.render_pages(std::iter::once(folder)) {
            Err(error) if error.is_index_out_of_reach() => {
                *rows = RowsNow::Lag;
                return Ok(());
            }
            pages => pages?,
        };
        if pages.is_empty() {
            let files = ChangedFiles::new(self.home)?;
            changes.removed.extend(files.remove_page(folder, proof)?);
        }
        changes.files.extend(pages);
        Ok(())
    }

    /// Gives `file` to the record `of`, where its owner `moved` it if they did.
    pub(super) fn write_file(
        &mut self,
        of: RecordId,
        file: &FileImage,
        moved: Option<&str>,
        proof: &Synced<Position>,
    ) -> Result<(), Error> {
        crate::model::check_path(&file.path).map_err(|error| Error::Apply { id: of, source: error.into() })?;
        let history = self.commits.as_read();
        let has_all = |bytes: &[u8]| has_all(history, of, file, bytes);
        let is_ours = |_: &str, bytes: &[u8]| self.ours(of)(&file.path, bytes);
        let place = FileImage { path: moved.unwrap_or(&file.path).to_owned(), text: file.text.clone() };
        let written = ChangedFiles::new(self.home)?.write(of, &place, is_ours, has_all, proof)?;
        self.counts.files_written += u64::from(written == Written::New);
        Ok(())
    }

    /// Takes the record of `state` out of files and rows, and writes its state file. The history has or had its page at `path`; its
    /// owner may have `moved` the file.
    fn take_away(
        &mut self,
        state: &StateFile,
        (path, moved): (Option<&str>, Option<&str>),
        rows: &mut RowsNow,
        proof: &Synced<Position>,
        changes: &mut Changes<'_>,
    ) -> Result<(), Error> {
        let files = ChangedFiles::new(self.home)?;
        files.mark(state, proof)?;
        let log = path.and_then(|path| RecordPath(path).log());
        // Its owner may have an own file of this name.
        let mut outcome = path.and_then(outcome_beside);
        if let Some(path) = &outcome
            && self.commits.last_of(path)?.is_none_or(|bytes| page::id_of(&bytes) != Some(state.of))
        {
            outcome = None;
        }
        for path in path.map(str::to_owned).into_iter().chain(log).chain(outcome) {
            files.remove(state.of, &path, self.ours(state.of), proof)?;
            changes.removed.push(path);
        }
        if let (Some(path), Some(moved)) = (path, moved) {
            let logs = RecordPath(path).log().zip(RecordPath(moved).log());
            for (path, moved) in logs.into_iter().chain([(path.to_owned(), moved.to_owned())]) {
                let ours = self.ours(state.of);
                files.remove(state.of, &moved, |_: &str, bytes: &[u8]| ours(&path, bytes), proof)?;
            }
        }
        self.change_rows(rows, |rows| rows.hide(state))?;
        changes.files.push(FileImage { path: state.path(), text: state.text() });
        Ok(())
    }

    fn restore(
        &mut self,
        change: &Change,
        path: Option<&str>,
        rows: &mut RowsNow,
        proof: &Synced<Position>,
        changes: &mut Changes<'_>,
    ) -> Result<(), Error> {
        let state = StateFile::of_change(change, Presence::Restored);
        let log = path.and_then(|path| RecordPath(path).log());
        for path in path.map(str::to_owned).into_iter().chain(log) {
            let text = self.commits.last_of(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
            changes.files.extend(text.map(|text| FileImage { path, text }));
        }
        let nowhere = || Error::Nowhere { id: change.of };
        let page = changes.files.first().ok_or_else(nowhere)?;
        let parsed = page::parse(page.text.as_bytes()).map_err(|_| nowhere())?;
        let (amended, created_at) = (parsed.amended(), parsed.created_at);
        let request = parsed.request.filter(|_| parsed.id == change.of).ok_or_else(nowhere)?;
        let page = path.unwrap_or_default();
        changes.files.extend(page::outcome_file(change.of, created_at, &request.record, amended.as_ref(), page));
        for file in &changes.files {
            self.write_file(change.of, file, None, proof)?;
        }
        ChangedFiles::new(self.home)?.mark(&state, proof)?;
        let path = path.map_or("", |path| RecordPath(path).shown());
        let row = RowImage {
            id: change.of,
            created_at,
            key: request.key.as_deref(),
            record: &request.record,
            provenance: &request.provenance,
            amended: amended.as_ref(),
            path,
            from: None,
        };
        self.change_rows(rows, |rows| rows.unhide(&state, &row))?;
        if let Some(amended) = amended {
            // The row that comes back can be of an earlier revision: after a power cut, while it was hidden.
            let change = Change { revision: amended.revision, ..change.clone() };
            let (Request { record, key, provenance }, files) = (request, changes.files.clone());
            let (id, amended) = (change.of, Some(amended));
            let record = Intent { id, created_at, key, record, provenance, amended, files, from: None };
            let amendment = Amendment { change, record };
            self.change_rows(rows, |rows| rows.amend(&amendment))?;
        }
        changes.files.push(FileImage { path: state.path(), text: state.text() });
        Ok(())
    }
}

/// The rule that the verdict on a page is about.
fn rule_in(page: &[u8]) -> Option<RecordId> {
    match page::parse(page).ok()?.request?.record {
        Record::Verdict(verdict) => Some(verdict.of),
        _ => None,
    }
}

/// Whether the history alone says where the page of the record `of` is: it has the page, or the record is retracted. Its owner
/// may have moved any other.
fn is_found(of: RecordId, current: &Current) -> bool {
    let state = current.state.as_ref().and_then(|bytes| StateFile::parse(of, bytes));
    current.page.is_some() || state.is_some_and(|state| state.state.is_hidden())
}
