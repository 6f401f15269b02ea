//! A simulated history, behind the same trait as the real one. A commit is durable when it is made. Its process may
//! have died before it knew that.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::ops::ControlFlow;

use super::{Stage, World};
use crate::fs;
use crate::journal::Synced;
use crate::model::path::{is_companion, of_state_file, state_file};
use crate::model::position::Position;
use crate::model::{JournalId, RecordId, Revision};
use crate::page::{self, StateFile};
use crate::target::commits::{Commits, CommittedFile, ReadCommits, latest};
use crate::target::history::{self, Changes, CommitId, Committed};
use crate::target::{Batch, Error, Log, Target, VoidReason, Watermark};

/// The content of the history.
#[derive(Default)]
pub(super) struct History {
    /// How many commits there are.
    pub(super) commits: u128,
    /// The position in the newest trailer, and its journal.
    pub(super) position: Option<(JournalId, Position)>,
    pub(super) tree: BTreeMap<String, Vec<u8>>,
    /// All that a file ever was, the newest last.
    pub(super) versions: BTreeMap<String, Vec<Vec<u8>>>,
    /// The newest commit that removed each path.
    removed: BTreeMap<String, u128>,
    /// Where the page of each record was before the record got a state file.
    before_retraction: BTreeMap<RecordId, Option<String>>,
    /// Whether a commit has an operation.
    has_operations: bool,
}

impl History {
    /// Puts `bytes` at `path`. Returns whether something changed.
    fn put(&mut self, path: &str, bytes: &[u8]) -> bool {
        if self.tree.get(path).is_some_and(|found| found == bytes) {
            return false;
        }
        self.tree.insert(path.to_owned(), bytes.to_vec());
        self.versions.entry(path.to_owned()).or_default().push(bytes.to_vec());
        true
    }

    /// Puts and removes what an operation changes, in the next commit. Returns whether something changed.
    fn change(&mut self, changes: &Changes<'_>) -> bool {
        let of = changes.op.of();
        if !self.tree.contains_key(&state_file(of)) {
            let is_its_page = |(path, bytes): &(&String, &Vec<u8>)| {
                !is_companion(path) && of_state_file(path).is_none() && page::id_of(bytes) == Some(of)
            };
            let path = self.tree.iter().find(is_its_page).map(|(path, _)| path.clone());
            self.before_retraction.insert(of, path);
        }
        let mut has_changed = false;
        for file in &changes.files {
            self.check_revision(&file.path, file.text.as_bytes());
            has_changed |= self.put(&file.path, file.text.as_bytes());
        }
        for path in &changes.removed {
            if self.tree.remove(path).is_some() {
                self.removed.insert(path.clone(), self.commits + 1);
                has_changed = true;
            }
        }
        self.has_operations |= has_changed;
        has_changed
    }

    /// How many of the versions are joins of two operations: those have an id that is derived from the two.
    pub(super) fn joins(&self) -> usize {
        let revisions =
            self.versions.iter().flat_map(|(path, versions)| versions.iter().filter_map(|it| revision_in(path, it)));
        revisions.filter(|revision| revision.op.get_version_num() == 5).count()
    }

    /// Asserts that what an operation puts at `path` is not older than what was ever there.
    fn check_revision(&self, path: &str, bytes: &[u8]) {
        let revision = revision_in(path, bytes);
        let before = self.versions.get(path).into_iter().flatten().filter_map(|before| revision_in(path, before)).max();
        assert!(revision >= before, "{path} goes back from {before:?} to {revision:?}");
    }
}

/// The revision that a page or a state file says.
fn revision_in(path: &str, bytes: &[u8]) -> Option<Revision> {
    match of_state_file(path) {
        Some(of) => StateFile::parse(of, bytes).map(|state| state.revision),
        None => page::later_revision_of(page::id_of(bytes)?, bytes),
    }
}

/// The history, for one process.
pub(super) struct FakeCommits<'s> {
    pub(super) stage: Stage<'s>,
    pub(super) journal: JournalId,
}

impl fmt::Debug for FakeCommits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeCommits")
    }
}

fn name_of(commit: u128) -> String {
    CommitId::numbered(commit).to_string()
}

impl Target for FakeCommits<'_> {
    fn name(&self) -> &'static str {
        "history"
    }

    fn watermark(&mut self, log: &Log<'_>) -> Result<Watermark, Error> {
        assert_eq!(log.id, self.journal, "a watermark is asked of another journal");
        let world = self.stage.world();
        let Some((journal, position)) = world.history.position else { return Ok(Watermark::Beginning) };
        let reached_tip = (world.history.commits > 0).then(|| name_of(world.history.commits));
        drop(world);
        let Some(state) = log.state else { return Ok(Watermark::Lost(VoidReason::JournalUnknown)) };
        if journal != log.id {
            return Ok(Watermark::Lost(VoidReason::PositionVoid));
        }
        if log.was_voided(position, reached_tip.as_deref())? {
            return Ok(Watermark::Lost(VoidReason::PositionVoid));
        }
        // Every commit names the journal, so a note counts with the newest alone.
        let noted = state.noted.as_ref().filter(|noted| reached_tip.as_ref() == Some(&noted.commit));
        let noted = noted.map_or(Ok(None), |noted| log.find(noted.position))?;
        let found = latest(log.find(position)?, noted, || Ok(true))?;
        Ok(found.map_or(Watermark::Lost(VoidReason::PositionVoid), Watermark::At))
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _: &Synced<Position>) -> Result<(), Error> {
        self.stage.step("commit")?;
        let committed = self.stage.world().commit(batch, self.journal);
        self.stage.step("commit")?;
        batch.done.committed = Some(committed);
        Ok(())
    }

    fn sync(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}

impl World {
    /// Commits `batch`, which makes it durable.
    fn commit(&mut self, batch: &Batch<'_>, journal: JournalId) -> Committed {
        let mut records = 0;
        let mut has_changed = false;
        for intent in &batch.intents {
            let page = &intent.files[0].path;
            if !self.history.tree.contains_key(page) {
                let before = self.committed.iter().find(|it| it.id == intent.id);
                assert!(before.is_none(), "{} is committed twice: {before:?}", intent.id);
                self.committed.push(intent.clone());
                records += 1;
            }
            for file in intent.files.iter() {
                let is_there = self.history.tree.contains_key(&file.path);
                has_changed |= !is_there && self.history.put(&file.path, file.text.as_bytes());
            }
        }
        let mut pages = 0;
        for page in &batch.pages {
            pages += usize::from(self.history.put(&page.path, page.text.as_bytes()));
        }
        if let Some(changes) = &batch.change {
            assert!(batch.intents.is_empty(), "a commit has an operation and records before it");
            has_changed |= self.history.change(changes);
        }
        if !has_changed && pages == 0 {
            return Committed::Nothing;
        }
        let parent = (self.history.commits > 0).then(|| CommitId::numbered(self.history.commits).bytes());
        self.history.commits += 1;
        self.history.position = Some((journal, batch.end));
        let commit = CommitId::numbered(self.history.commits);
        let stands = history::Standing { parent, tree: commit.bytes(), at: jiff::Timestamp::UNIX_EPOCH };
        Committed::New { commit, records, pages, stands }
    }
}

struct File<'f> {
    path: &'f str,
    bytes: &'f [u8],
}

impl CommittedFile for File<'_> {
    fn path(&self) -> &str {
        self.path
    }

    fn read(&self) -> Result<Vec<u8>, history::Error> {
        Ok(self.bytes.to_vec())
    }
}

impl ReadCommits for FakeCommits<'_> {
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error> {
        let tree = self.stage.world().history.tree.clone();
        for (path, bytes) in &tree {
            if visit(&File { path, bytes }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn introduced(&self, candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error> {
        let world = self.stage.world();
        Ok(candidates.into_iter().filter(|path| world.history.versions.contains_key(path)).collect())
    }

    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let world = self.stage.world();
        let present = paths.iter().filter(|path| world.history.tree.contains_key(**path));
        Ok(present.map(|path| (*path).to_owned()).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        Ok(self.stage.world().history.tree.get(path).cloned())
    }

    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        let world = self.stage.world();
        Ok(world.history.versions.get(path).and_then(|versions| versions.last()).cloned())
    }

    fn each_version(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), history::Error> {
        let versions = self.stage.world().history.versions.get(path).cloned().unwrap_or_default();
        let _ = versions.iter().rev().try_for_each(|version| visit(version));
        Ok(())
    }

    fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, history::Error> {
        let world = self.stage.world();
        let removed = paths.into_iter().filter_map(|path| Some((name_of(*world.history.removed.get(&path)?), path)));
        Ok(removed.map(|(commit, path)| (path, commit)).collect())
    }

    fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, history::Error> {
        let world = self.stage.world();
        let History { tree, before_retraction, .. } = &world.history;
        let is_there = tree.contains_key(&state_file(of));
        Ok(before_retraction.get(&of).filter(|_| is_there).cloned().flatten())
    }

    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        let world = self.stage.world();
        Ok(world.history.versions.get(path).into_iter().flatten().any(|version| version == bytes))
    }
}

impl Commits for FakeCommits<'_> {
    fn as_read(&self) -> &dyn ReadCommits {
        self
    }

    fn tip(&self) -> Result<Option<String>, Error> {
        let commits = self.stage.world().history.commits;
        Ok((commits > 0).then(|| name_of(commits)))
    }

    fn has_operations(&self) -> Result<bool, Error> {
        Ok(self.stage.world().history.has_operations)
    }
}

impl Stage<'_> {
    /// A step of a simulated store, at which the power may go.
    pub(super) fn step(&self, name: &'static str) -> Result<(), Error> {
        let failed = |errno: rustix::io::Errno| fs::Error::io("write", name)(errno.into());
        Ok(self.machine.step(name).map_err(failed)?)
    }
}
