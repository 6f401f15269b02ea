//! Stores that come back from a backup: index, files and private folder, each at an earlier state than the others.

use super::{Life, lock};
use crate::fs::simulated::Disk;
use crate::model::layout::PRIVATE;

use super::rows::RowsStore;

/// What a home was at the end of a round.
pub(super) struct Backup {
    disk: Disk,
    rows: RowsStore,
    /// When it was taken.
    at: u64,
}

impl Life<'_> {
    /// Keeps the home as it is.
    pub(super) fn back_up(&mut self) {
        let mut world = lock(&self.world);
        let (rows, at) = (world.rows.clone(), world.tick());
        self.backups.push(Backup { disk: self.machine.disk(), rows, at });
    }

    /// Brings back some of the stores as an earlier round left them.
    pub(super) fn restore(&mut self) {
        if self.backups.is_empty() {
            return;
        }
        let (which, in_place) = (1 + self.dice.below(7), self.dice.below(2) == 0);
        let backup = self.dice.one_of(&self.backups);
        let mut world = lock(&self.world);
        if which & 1 > 0 {
            world.rows = backup.rows.clone();
            world.rows.is_restored();
        }
        if which & 2 > 0 {
            for folder in ["memory", "experiments"] {
                self.machine.restore(&backup.disk, folder, in_place);
            }
            world.rows.lose_sight_of_files();
            // What was edited since is lost with the files.
            world.edits.values_mut().for_each(|edit| edit.durable = false);
        }
        if which & 4 > 0 {
            self.machine.restore(&backup.disk, PRIVATE, in_place);
            // What was not applied yet is lost with the journal.
            world.is_journal_restored = true;
            let (committed, at) = (world.committed.clone(), backup.at);
            world.promised.retain(|promise| committed.iter().any(|intent| intent.id == promise.id));
            let later = world.made.iter_mut().filter(|made| made.acknowledged.is_some_and(|then| then > at));
            later.for_each(|made| made.acknowledged = None);
            world.strange.retain(|strange| strange.at <= at);
        }
        self.is_restored = true;
        self.tally.restored += 1;
    }
}
