//! Apply: what the worker would do otherwise. Readers see the record at once, and nothing depends on it.
//!
//! A recorder can be stopped between its sync and this, and its record be retracted or erased meanwhile. So it looks for the record's
//! state file once it has placed and inserted everything, and takes all of that away again if there is one. An erasure writes that
//! file before it looks for rows and files: one of the two sees the other. Killed before it has looked, file and row stay beside the
//! state file, and an audit takes them away (`audit`: what is hidden).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the file is in its place | the intent | the worker's next batch, `flush` or `recover`, which place it |
//! | between file and row, or once the row is left to a worker, which may end meanwhile | the intent and the file | the same |

use crate::fs::crash::{self, Point};
use crate::fs::lock::WorkerLock;
use crate::journal::Synced;
use crate::model::layout::{INDEX_WAL, split};
use crate::model::limits::FILE_BYTES_MAX;
use crate::model::path::state_file;
use crate::model::position::Position;
use crate::model::{Kind, text};
use crate::page::{self, Presence, StateFile};
use crate::target::files::Expect;
use crate::target::index::{self, Index, RowImage};
use crate::target::spread;

use super::intent::{Ready, Validated};
use super::{Recorder, Rows};

/// From this many records in one call on, a recorder splits folders that have grown; otherwise the worker does.
const SPREAD_RECORDS: usize = 100;
/// How large the index's write-ahead log may grow before a recorder that finds no worker checkpoints it, in bytes.
const WAL_BYTES_MAX: u64 = 1 << 20;

/// A record whose files are in their places.
struct Placed<'v> {
    ready: &'v mut Ready,
    /// Their paths, relative to the home.
    files: Vec<String>,
}

impl Recorder<'_> {
    /// Places files, then inserts rows. The worker does this for a record with a key, because it knows which intent of the
    /// key came first. Returns the index if it can be used again.
    pub(super) fn apply(
        &mut self,
        validated: &mut [Validated],
        mut index: Option<Index>,
        synced: &Synced<Position>,
    ) -> Option<Index> {
        let many = if validated.len() >= SPREAD_RECORDS { self.plan(validated) } else { Vec::new() };
        let mut placed = self.place(validated, synced);
        spread::spread_full(self.home.dir(), many.iter().map(String::as_str), &self.planned);
        if placed.is_empty() {
            return index;
        }
        if index.is_none() && self.leaves_rows() {
            // Nothing depends on this step.
            let _ = crash::at(Point::RowLeft);
            self.take_hidden_away(&mut placed);
            return None;
        }
        let rows: Vec<_> = placed.iter().map(|it| RowImage::of(&it.ready.intent, it.ready.path())).collect();
        let inserted = self.index(&mut index).map(|index| index.insert(&rows));
        match inserted {
            Some(Ok(inserted)) => {
                for (it, inserted) in placed.iter_mut().zip(inserted) {
                    it.ready.receipt.row_id = Some(inserted.row_id);
                }
                self.checkpoint_without_worker(index.as_ref()?);
                self.take_hidden_away(&mut placed);
                index
            }
            Some(Err(error)) => {
                if let index::Error::RowRefused { id, source, .. } = &error
                    && let Some(it) = placed.iter_mut().find(|it| it.ready.intent.id == *id)
                {
                    it.ready.receipt.row_refused = Some(text::visible_line(&source.to_string()).into_owned());
                }
                tracing::debug!(%error, "rows are left to the worker");
                self.take_hidden_away(&mut placed);
                None
            }
            None => {
                self.take_hidden_away(&mut placed);
                None
            }
        }
    }

    /// Whether rows are left to a worker that runs. To open the index takes two thirds of what a recorder runs, and its lock is all
    /// that recorders wait for; the worker has the index open.
    fn leaves_rows(&self) -> bool {
        self.policy.rows == Rows::Auto && WorkerLock::is_held_by_worker(self.home.private())
    }

    /// Takes the files and rows away of those records that a state file says are hidden.
    fn take_hidden_away(&self, placed: &mut [Placed<'_>]) {
        for it in placed {
            let id = it.ready.intent.id;
            let state = self.home.dir().content(&state_file(id), FILE_BYTES_MAX as u64).ok().flatten();
            let state = state.map(|bytes| StateFile::parse(id, &bytes).map_or(Presence::Retracted, |it| it.state));
            if let Some(state) = state.filter(|state| state.is_hidden()) {
                self.take_away(it, state);
            }
        }
    }

    /// Takes away what was placed and inserted of a record that was hidden since it was synced.
    fn take_away(&self, placed: &mut Placed<'_>, state: Presence) {
        let id = placed.ready.intent.id;
        if state == Presence::Erased && placed.ready.receipt.row_id.is_some() {
            let wait = self.policy.index_wait.unwrap_or_default();
            let erased = Index::erase_in(&self.home.index_path(), &[id], wait);
            tracing::debug!(?erased, "the record was erased meanwhile, and so is its row");
        }
        for path in &placed.files {
            let (folder, name) = split(path);
            let bytes = self.home.dir().content(path, FILE_BYTES_MAX as u64).ok().flatten();
            if bytes.is_some_and(|bytes| page::id_of(&bytes) == Some(id))
                && let Ok(folder) = self.home.dir().folder(folder)
            {
                let removed = folder.remove(name).and_then(|_| folder.sync());
                tracing::debug!(?removed, "the record was hidden meanwhile, and its file is taken away");
            }
        }
        if placed.ready.intent.record.kind() == Kind::Experiment {
            // It is the record's own, and goes if nothing else is in it.
            let _ = std::fs::remove_dir(self.home.path().join(placed.ready.path()));
        }
        (placed.ready.receipt.path, placed.ready.receipt.row_id) = (None, None);
    }

    /// The paths of all records, once those that the worker places are counted.
    fn plan(&mut self, validated: &mut [Validated]) -> Vec<String> {
        let mut paths = Vec::with_capacity(validated.len());
        for ready in validated.iter_mut().filter_map(Validated::ready) {
            if ready.intent.key.is_some() {
                self.planned.add(ready.intent.path());
            }
            paths.push(ready.intent.path().to_owned());
        }
        paths
    }

    /// Places the files of every record without a key, and returns those whose files are there.
    fn place<'v>(&self, validated: &'v mut [Validated], synced: &Synced<Position>) -> Vec<Placed<'v>> {
        let mut placed = Vec::new();
        for ready in validated.iter_mut().filter_map(Validated::ready).filter(|ready| ready.intent.key.is_none()) {
            match self.applier.files(&ready.intent, Expect::Nothing, synced) {
                Ok(place) => {
                    ready.receipt.path = Some(place.path);
                    placed.push(Placed { ready, files: place.files });
                }
                Err(error) => tracing::debug!(id = %ready.intent.id, %error, "the file is left to the worker"),
            }
        }
        placed
    }

    /// The index, opened unless it is open. `None` if it cannot be opened, or the policy leaves it alone.
    pub(super) fn index<'i>(&self, index: &'i mut Option<Index>) -> Option<&'i mut Index> {
        if index.is_none() {
            *index = Index::open(&self.home.index_path(), self.policy.index_wait?).ok();
        }
        index.as_mut()
    }

    /// Keeps the write-ahead log small while no worker runs.
    fn checkpoint_without_worker(&self, index: &Index) {
        let large = || {
            let wal = self.home.dir().find(INDEX_WAL).ok()??;
            (wal.size > WAL_BYTES_MAX).then_some(())
        };
        if large().is_some()
            && let Ok(Ok(_lock)) = WorkerLock::try_take(self.home.private(), "a recorder's checkpoint")
        {
            // This also truncates the log, so that the next recorder finds it small.
            let _ = index.sync();
        }
    }
}
