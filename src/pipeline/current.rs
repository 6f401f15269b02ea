//! What the history has of the record that an operation is about: where its page is, that page, and its state file. From
//! that `page::resolve` decides what the operation results in. Nothing here writes.

use std::ops::ControlFlow;

use super::change::RowsNow;
use super::{Error, Pipeline};
use crate::model::path::{RecordPath, state_file};
use crate::model::{Op, RecordId, Revision};
use crate::page::{self, Current, Presence, Resolution, StateFile};

/// No state file is larger.
const STATE_BYTES_MAX: u64 = 1 << 20;

impl Pipeline<'_> {
    /// The path of the record's page in the history, now or formerly: from the operation if it names it, otherwise from
    /// the index, and for a restoration from the history. If another record's file was in its place, the path has the
    /// full id.
    pub(super) fn page_path(&mut self, op: &Op, rows: RowsNow) -> Result<Option<String>, Error> {
        let (of, said) = match op {
            Op::Record(intent) => (intent.id, intent.files.first().map(|file| file.path.clone())),
            Op::Amend(it) => (it.change.of, it.record.files.first().map(|file| file.path.clone())),
            Op::Retract(change) | Op::Restore(change) => (change.of, change.path.clone()),
            Op::Erase { of, .. } => (*of, None),
        };
        let known = match rows {
            RowsNow::Follow => self.row_of(of)?.map(|known| RecordPath(&known.path).page().into_owned()),
            RowsNow::Lag => None,
        };
        let full = said.as_deref().map(|path| RecordPath(path).with_full_id(of));
        let candidates = known.into_iter().chain(said).chain(full);
        let mut first = None;
        for path in candidates.filter(|path| crate::model::check_path(path).is_ok()) {
            if self.commits.last_of(&path)?.is_some_and(|bytes| page::id_of(&bytes) == Some(of)) {
                return Ok(Some(path));
            }
            first = first.or(Some(path));
        }
        match op {
            // A rebuilt index does not know where a retracted record was.
            Op::Restore(_) => Ok(self.commits.page_before_retraction(of)?.or(first)),
            _ => Ok(first),
        }
    }

    /// What the history has of the record that `op` is about, whose page is or was at `path`.
    pub(super) fn current(&self, op: &Op, path: Option<&str>) -> Result<Current, Error> {
        let of = op.of();
        let page = match path {
            Some(path) => self.commits.read(path)?.map(|bytes| (path.to_owned(), bytes)),
            None => None,
        };
        let page = page.filter(|(_, bytes)| page::id_of(bytes) == Some(of));
        let state = self.commits.read_state(of, page.as_ref().map(|(path, _)| path.as_str()))?;
        let known = state.as_ref().and_then(|bytes| StateFile::parse(of, bytes));
        let is_earlier = known.is_some_and(|it| it.state == Presence::Restored && op.revision() < it.revision);
        let mut retraction = None;
        if is_earlier && let Op::Amend(_) = op {
            self.commits.each_version(&state_file(of), &mut |bytes| {
                let known = StateFile::parse(of, bytes).filter(|known| known.state == Presence::Retracted);
                retraction = known.map(|known| known.revision);
                if retraction.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        let had_base = match (op, path) {
            (Op::Amend(amendment), Some(path)) if page.is_none() => {
                self.had_revision(of, path, amendment.change.base)?
            }
            _ => false,
        };
        Ok(Current { page, state, retraction, had_base })
    }

    /// Whether the state file on disk has more than `op`, which results in `resolution`: memory/ is newer than the journal, as if
    /// that is from a backup. An amendment that the history lacks has to get there all the same.
    pub(super) fn is_overtaken(&self, op: &Op, resolution: &Resolution) -> bool {
        let of = op.of();
        let known = self.home.dir().content(&state_file(of), STATE_BYTES_MAX).ok().flatten();
        let Some(known) = known.and_then(|bytes| StateFile::parse(of, &bytes)) else { return false };
        match (op, resolution) {
            (Op::Retract(change) | Op::Restore(change), Resolution::Apply | Resolution::Done) => {
                known.rank() > (false, change.revision)
            }
            (Op::Amend(_), Resolution::Done) => known.state.is_hidden() && known.rank() > (false, op.revision()),
            _ => false,
        }
    }

    /// Whether the page of the record `of` at `path` had the content of `revision`.
    fn had_revision(&self, of: RecordId, path: &str, revision: Revision) -> Result<bool, Error> {
        let mut had = false;
        self.commits.each_version(path, &mut |bytes| {
            had |= page::later_revision_of(of, bytes) == Some(revision);
            if had { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(had)
    }
}
