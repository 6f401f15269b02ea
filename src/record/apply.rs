//! Apply: what the worker would do otherwise. Readers see the record at once, and nothing depends on it.

use crate::fs::lock::WorkerLock;
use crate::journal::Synced;
use crate::model::layout::INDEX_WAL;
use crate::model::position::Position;
use crate::model::text;
use crate::target::files::Expect;
use crate::target::index::{self, Index, RowImage};
use crate::target::spread;

use super::Recorder;
use super::intent::{Ready, Validated};

/// From this many records in one call on, a recorder splits folders that have grown; otherwise the worker does.
const SPREAD_RECORDS: usize = 100;
/// How large the index's write-ahead log may grow before a recorder that finds no worker checkpoints it, in bytes.
const WAL_BYTES_MAX: u64 = 1 << 20;

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
        let rows: Vec<_> = placed.iter().map(|ready| RowImage::of(&ready.intent, ready.path())).collect();
        if rows.is_empty() {
            return index;
        }
        match self.index(&mut index)?.insert(&rows) {
            Ok(inserted) => {
                for (ready, inserted) in placed.iter_mut().zip(inserted) {
                    ready.receipt.row_id = Some(inserted.row_id);
                }
                self.checkpoint_without_worker(index.as_ref()?);
                index
            }
            Err(error) => {
                if let index::Error::RowRefused { id, source, .. } = &error
                    && let Some(ready) = placed.iter_mut().find(|ready| ready.intent.id == *id)
                {
                    ready.receipt.row_refused = Some(text::visible_line(&source.to_string()).into_owned());
                }
                tracing::debug!(%error, "rows are left to the worker");
                None
            }
        }
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
    fn place<'v>(&self, validated: &'v mut [Validated], synced: &Synced<Position>) -> Vec<&'v mut Ready> {
        let mut placed = Vec::new();
        for ready in validated.iter_mut().filter_map(Validated::ready).filter(|ready| ready.intent.key.is_none()) {
            match self.applier.files(&ready.intent, Expect::Nothing, synced) {
                Ok(place) => {
                    ready.receipt.path = Some(place.path);
                    placed.push(ready);
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
