//! What other homes recorded, as far as this one has it: the trunk, which syncing fetches into a private repository.
//!
//! 1. A record of another home has its history there, and is not committed here. So whether a history has a path is asked of
//!    two: the home's own first, then the trunk.
//! 2. What the trunk says of a record whose page the home's own history has does not count: it comes by the journal.
//! 3. The trunk is a cache. One that is missing or cannot be read has nothing, and delays no commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{CommittedFile, ReadCommits};
use crate::home::Home;
use crate::model::layout::{SYNC, SYNC_GIT};
use crate::model::path::{state_file, up_to_id};
use crate::model::{HomeId, RecordId};
use crate::page;
use crate::target::history::{self, History};

/// The trunk, in the private repository.
pub const TRUNK: &str = "refs/r/trunk";

/// The trunk of a home.
#[derive(Clone, Debug)]
pub struct Trunk {
    folder: PathBuf,
    /// What says that the home has a remote, even if the repository is gone.
    note: PathBuf,
}

impl Trunk {
    /// The trunk of `home`, which may have none.
    pub fn of(home: &Home) -> Trunk {
        let private = home.private().path();
        Trunk { folder: private.join(SYNC_GIT), note: private.join(SYNC) }
    }

    /// Whether the home has a remote: then what it shows can be other homes'.
    pub(crate) fn has_remote(&self) -> bool {
        self.note.is_file() || self.is_there()
    }

    /// Whether there is one, as far as a look at its repository tells.
    pub fn is_there(&self) -> bool {
        self.history().is_some_and(|history| history.tip_name().is_ok_and(|tip| tip.is_some()))
    }

    fn history(&self) -> Option<History> {
        self.folder.join("HEAD").is_file().then(|| History::beside(&self.folder, TRUNK))
    }

    /// What `ask` finds in it; `None` if there is none, or it cannot be read.
    fn ask<T>(&self, ask: impl FnOnce(&History) -> Result<T, history::Error>) -> Option<T> {
        let history = self.history()?;
        match ask(&history) {
            Ok(found) => Some(found),
            Err(error) => {
                let error = crate::model::text::chain(&error);
                tracing::debug!(error, "what others recorded cannot be read");
                None
            }
        }
    }

    /// Those of `paths` that it has.
    pub(super) fn present(&self, paths: &[&str]) -> HashSet<String> {
        if paths.is_empty() {
            return HashSet::new();
        }
        let found = self.ask(|trunk| {
            let mut found = trunk.present(paths)?;
            for path in paths.iter().filter(|path| !found.contains(**path)).copied().collect::<Vec<_>>() {
                if read_short(trunk, path)?.is_some() {
                    found.insert(path.to_owned());
                }
            }
            Ok(found)
        });
        found.unwrap_or_default()
    }

    /// The bytes that it has at `path`.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.ask(|trunk| match trunk.read(path)? {
            None => read_short(trunk, path),
            found => Ok(found),
        })
        .flatten()
    }
}

/// The page of the record whose full id is in the name of `path`, where the trunk has the end of its id in it: here another record's page
/// was in its place.
fn read_short(trunk: &History, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
    let short = || {
        let stem = up_to_id(path)?;
        let at = stem.len().checked_sub(36)?;
        let id: RecordId = stem.get(at..)?.parse().ok()?;
        Some((format!("{}{}{}", stem.get(..at)?, id.short(), path.get(stem.len()..)?), id))
    };
    let Some((short, id)) = short() else { return Ok(None) };
    Ok(trunk.read(&short)?.filter(|bytes| page::id_of(bytes) == Some(id)))
}

/// The history of a home and the trunk, as one.
#[derive(Clone, Copy, Debug)]
pub struct Both<'b> {
    /// The home's own history.
    pub own: &'b History,
    /// What others recorded.
    pub trunk: &'b Trunk,
}

/// A file that only the trunk has.
struct Elsewhere<'f>(&'f dyn CommittedFile);

impl CommittedFile for Elsewhere<'_> {
    fn path(&self) -> &str {
        self.0.path()
    }

    fn read(&self) -> Result<Vec<u8>, history::Error> {
        self.0.read()
    }

    fn sum(&self) -> Result<u64, history::Error> {
        self.0.sum()
    }

    fn is_own(&self) -> bool {
        false
    }
}

impl ReadCommits for Both<'_> {
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error> {
        let (mut own, mut is_over) = (HashSet::new(), false);
        let has_trunk = self.trunk.is_there();
        self.own.each_file(&mut |file| {
            if has_trunk {
                own.insert(file.path().to_owned());
            }
            let flow = visit(file);
            is_over = flow.is_break();
            flow
        })?;
        if !is_over && has_trunk {
            self.trunk.ask(|trunk| {
                trunk.each_file(&mut |file| match own.contains(file.path()) {
                    true => ControlFlow::Continue(()),
                    false => visit(&Elsewhere(file)),
                })
            });
        }
        Ok(())
    }

    fn introduced(&self, candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error> {
        let mut found = ReadCommits::introduced(self.own, candidates.clone())?;
        let left: BTreeSet<String> = candidates.difference(&found).cloned().collect();
        if !left.is_empty() {
            let paths: Vec<&str> = left.iter().map(String::as_str).collect();
            found.extend(self.trunk.present(&paths));
            let left = left.difference(&found).cloned().collect();
            found.extend(self.trunk.ask(|trunk| ReadCommits::introduced(trunk, left)).unwrap_or_default());
        }
        Ok(found)
    }

    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let mut found = self.own.present(paths)?;
        let left: Vec<&str> = paths.iter().copied().filter(|path| !found.contains(*path)).collect();
        found.extend(self.trunk.present(&left));
        Ok(found)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        match self.own.read(path)? {
            None => Ok(self.trunk.read(path)),
            own => Ok(own),
        }
    }

    fn read_state(&self, of: RecordId, page: Option<&str>) -> Result<Option<Vec<u8>>, history::Error> {
        let state = state_file(of);
        match (self.own.read(&state)?, page) {
            (None, Some(page)) if self.own.read(page)?.is_some() => Ok(None),
            (None, _) => Ok(self.trunk.read(&state)),
            (own, _) => Ok(own),
        }
    }

    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        match self.own.last_of(path)? {
            None => Ok(self.trunk.ask(|trunk| trunk.last_of(path)).flatten()),
            own => Ok(own),
        }
    }

    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        Ok(self.own.had(path, bytes)? || self.trunk.ask(|trunk| trunk.had(path, bytes)).unwrap_or(false))
    }

    fn each_version(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), history::Error> {
        let mut is_over = false;
        self.own.each_version_of(path, &mut |bytes| {
            let flow = visit(bytes);
            is_over = flow.is_break();
            flow
        })?;
        if !is_over {
            self.trunk.ask(|trunk| trunk.each_version_of(path, visit));
        }
        Ok(())
    }

    fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, history::Error> {
        match History::page_before_retraction(self.own, of)? {
            None => Ok(self.trunk.ask(|trunk| History::page_before_retraction(trunk, of)).flatten()),
            own => Ok(own),
        }
    }

    fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, history::Error> {
        History::removed_by(self.own, paths)
    }

    fn changed_elsewhere(&self, paths: &BTreeSet<String>, home: HomeId) -> Result<BTreeSet<String>, history::Error> {
        History::changed_elsewhere(self.own, paths, home)
    }

    fn of_others(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let elsewhere = self.trunk.present(paths);
        if elsewhere.is_empty() {
            return Ok(elsewhere);
        }
        let paths: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
        let own = self.own.present(&paths)?;
        Ok(elsewhere.into_iter().filter(|path| !own.contains(path)).collect())
    }
}
