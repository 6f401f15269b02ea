//! The history of a home in git, as a target: what it commits, and what it leaves to other homes' history.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use super::repacking::Repacking;
use super::{Both, Commits, CommittedFile, ReadCommits, Trunk, reached};
use crate::fs::{self, Point, crash};
use crate::home::Home;
use crate::journal::{self, Synced};
use crate::model::layout::TEMPORARY;
use crate::model::path::is_domain_page;
use crate::model::position::Position;
use crate::model::{HomeId, Intent, JournalId, Op, RecordId};
use crate::target::history::{self, Anchor, Changes, History, HistoryOptions};
use crate::target::{Batch, Error, Log, Target, VoidReason, Watermark};

/// The history of a home, in git.
#[derive(Debug)]
pub struct GitCommits<'h> {
    home: &'h Home,
    history: History,
    /// What others recorded.
    trunk: Trunk,
    /// Whether the repository was just made.
    made: bool,
    /// The journal that commits name.
    journal: JournalId,
    repacking: Option<Repacking>,
}

impl<'h> GitCommits<'h> {
    /// Opens the history of `home`, whose commits name the journal `journal`. Makes the repository if it does not
    /// exist.
    ///
    /// # Errors
    /// [`Error::History`], [`Error::Home`].
    pub fn open(home: &'h Home, journal: JournalId, options: HistoryOptions) -> Result<GitCommits<'h>, Error> {
        let temporary = home.private_folder(TEMPORARY)?;
        let (history, made) = History::init(home.path(), temporary.path(), home.id(), options)?;
        history.regain(journal)?;
        Ok(GitCommits { home, history, trunk: Trunk::of(home), made, journal, repacking: None })
    }

    fn both(&self) -> Both<'_> {
        Both { own: &self.history, trunk: &self.trunk }
    }

    /// Which of the batch's records are other homes': their history is the trunk.
    fn of_others_in(&self, batch: &Batch<'_>) -> Result<HashSet<RecordId>, Error> {
        let pages = batch.intents.iter().filter_map(|it| Some((it.id, it.files.first()?.path.as_str())));
        let pages: Vec<(RecordId, &str)> = pages.collect();
        let elsewhere = self.both().of_others(&pages.iter().map(|(_, path)| *path).collect::<Vec<_>>())?;
        let from = batch.intents.iter().filter(|it| it.from.is_some()).map(|it| it.id);
        Ok(from.chain(pages.into_iter().filter(|(_, path)| elsewhere.contains(*path)).map(|(id, _)| id)).collect())
    }

    /// What of an operation is committed: no domains' pages where there is a remote, and nothing of a record that is another home's
    /// and that another home amended.
    fn own_part<'c>(&self, change: &Changes<'c>) -> Result<Option<Changes<'c>>, Error> {
        if let Op::Amend(amendment) = change.op
            && amendment.record.from.is_some()
            && let Some(page) = change.files.first()
            && self.history.read(&page.path)?.is_none()
        {
            return Ok(None);
        }
        let mut own = change.clone();
        own.files.retain(|file| !is_domain_page(&file.path));
        Ok(Some(own))
    }

    fn commit(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let (elsewhere, has_remote) = (self.of_others_in(batch)?, self.trunk.has_remote());
        let own_part = match &batch.change {
            Some(change) if has_remote => Some(self.own_part(change)?),
            _ => None,
        };
        let begins = has_remote && (!elsewhere.is_empty() || matches!(own_part, Some(None)));
        loop {
            let records: Vec<&Intent> = batch.intents.iter().filter(|it| !elsewhere.contains(&it.id)).collect();
            let wanted = history::NewCommit {
                records: &records,
                // They show what others recorded.
                pages: if has_remote { &[] } else { &batch.pages },
                change: own_part.as_ref().map_or(batch.change.as_ref(), Option::as_ref),
                begins,
                home: self.home.id(),
                journal: self.journal,
                position: batch.end,
            };
            let result = self.history.commit(&wanted);
            batch.done.waits += self.history.take_waits();
            match result {
                Err(history::Error::Obstructed { obstacles }) if batch.change.is_none() => {
                    park_blocked(batch, obstacles)?
                }
                committed => {
                    batch.done.committed = Some(committed?);
                    return Ok(());
                }
            }
        }
    }
}

/// Parks the records that cannot be in the branch's tree.
fn park_blocked(batch: &mut Batch<'_>, obstacles: Vec<history::Obstacle>) -> Result<(), Error> {
    let blocked: HashSet<String> = obstacles.iter().map(|obstacle| obstacle.path.clone()).collect();
    let is_blocked = |intent: &Intent| intent.files.iter().any(|it| blocked.contains(&it.path));
    let error = history::Error::Obstructed { obstacles };
    let (parked, left) = std::mem::take(&mut batch.intents).into_iter().partition::<Vec<_>, _>(is_blocked);
    batch.intents = left;
    for intent in &parked {
        batch.park(intent, "commit", &error)?;
    }
    batch.pages.retain(|page| !blocked.contains(&page.path));
    Ok(())
}

impl Target for GitCommits<'_> {
    fn name(&self) -> &'static str {
        "history"
    }

    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error> {
        let lost = |reason| Ok(Watermark::Lost(reason));
        if self.history.tip()?.is_none() {
            // A home without a commit is new, unless its state says that it had some, or it has no state.
            let is_new = log.state.is_some_and(|state| !state.committed) && !self.made;
            return if is_new { Ok(Watermark::Beginning) } else { lost(VoidReason::HistoryLost) };
        }
        let Some(state) = log.state else { return lost(VoidReason::JournalUnknown) };
        match self.history.anchor(log.id)? {
            Anchor::Current { .. } => {}
            // The first batch died after the branch moved and before its anchor did.
            Anchor::Absent if !state.committed => {}
            Anchor::Absent => return lost(VoidReason::AnchorLost),
            Anchor::Rewound { .. } => return lost(VoidReason::BranchRewound),
        }
        Ok(reached(&self.history, log)?.map_or(Watermark::Lost(VoidReason::PositionVoid), Watermark::At))
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _synced: &Synced<Position>) -> Result<(), Error> {
        self.repacking.iter().for_each(Repacking::before_commit);
        self.commit(batch)?;
        if let Some(history::Committed::New { .. }) = batch.done.committed {
            self.repacking.iter_mut().for_each(Repacking::after_commit);
        }
        Ok(())
    }

    /// A commit is durable when it is made.
    fn sync(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}

impl ReadCommits for GitCommits<'_> {
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error> {
        self.both().each_file(visit)
    }

    fn introduced(&self, candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error> {
        self.both().introduced(candidates)
    }

    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        self.both().present(paths)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        self.both().read(path)
    }

    fn read_state(&self, of: RecordId, page: Option<&str>) -> Result<Option<Vec<u8>>, history::Error> {
        self.both().read_state(of, page)
    }

    fn of_others(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        self.both().of_others(paths)
    }

    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        self.both().last_of(path)
    }

    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        self.both().had(path, bytes)
    }

    fn each_version(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), history::Error> {
        self.both().each_version(path, visit)
    }

    fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, history::Error> {
        self.both().page_before_retraction(of)
    }

    fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, history::Error> {
        self.both().removed_by(paths)
    }

    fn changed_elsewhere(&self, paths: &BTreeSet<String>, home: HomeId) -> Result<BTreeSet<String>, history::Error> {
        self.both().changed_elsewhere(paths, home)
    }
}

impl Commits for GitCommits<'_> {
    fn as_read(&self) -> &dyn ReadCommits {
        self
    }

    fn tip(&self) -> Result<Option<String>, Error> {
        Ok(self.history.tip()?.map(|tip| tip.commit.to_string()))
    }

    fn has_operations(&self) -> Result<bool, Error> {
        Ok(self.history.has_operations()?)
    }

    fn sweep(&self) -> Result<u64, Error> {
        Ok(self.history.sweep()?.total() as u64)
    }

    fn forget_replaced(&self, journal: JournalId) -> Result<(), Error> {
        let private = self.home.private();
        let replaced = journal::replaced(private)?;
        if replaced.is_empty() {
            return Ok(());
        }
        let left = self.history.forget_anchors(journal, &replaced)?;
        crash::at(Point::AnchorsRemoved).map_err(fs::Error::io("forget earlier ids in", private.path()))?;
        if left != replaced {
            journal::keep_replaced(private, &self.home.private_folder(TEMPORARY)?, left)?;
        }
        Ok(())
    }

    fn keep_packs_few(&mut self) {
        self.repacking = Some(Repacking::of(&self.history));
    }

    fn repack_from(&self, packs_max: usize) -> Result<(), Error> {
        self.history.repack_from(packs_max)?;
        Ok(())
    }
}
