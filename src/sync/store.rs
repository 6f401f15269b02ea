//! What is kept of a sync: the repository `sync.git`, and `sync.json` beside it. Both under `sync.lock`.
//!
//! `sync.git` is a cache of what the remote has, and of what it shall have. Its references:
//!
//! | reference | is |
//! | --- | --- |
//! | [`LANE`] | what the own lane shall be; moved durably before it is pushed |
//! | [`ACKED`] | what the remote last had of it: the remote's watermark, validated by the lease of every push |
//! | [`TRUNK`] | the remote's trunk, as it was fetched |
//! | [`LANES`]`<lane id>` | lanes of the remote, as they were fetched |
//! | [`IMPORTED`] | up to here the trunk is in the journal |
//!
//! `sync.json` says which lane is this home's, and what worked. If it is lost, another lane is begun.
//!
//! A process or child that was killed leaves locks on references and unfinished packs. Only who holds `sync.lock` writes here, so what the
//! next one finds of these is stale, and removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::fs::lock::SyncLock;
use crate::fs::{Dir, Durability};
use crate::home::Home;
use crate::journal;
use crate::model::RecordId;
use crate::model::layout::{SYNC, SYNC_GIT, TEMPORARY};
use crate::random;
use crate::target::history;
use git2::{ErrorCode, ObjectType, Oid, Repository, RepositoryInitOptions};

use super::objects::{PACKS, UNFINISHED};
use super::state::VERSION;
pub use super::state::{At, BadLane, Failed, Held, Kept, SyncState};
use super::tree::Trees;
use super::{Class, Error};

/// What the own lane shall be.
pub const LANE: &str = "refs/indelible/lane";
/// What the remote last had of the own lane.
pub const ACKED: &str = "refs/indelible/acked";
/// The remote's trunk, as it was fetched.
pub use crate::target::commits::TRUNK;
/// The prefix of the remote's lanes, as they were fetched; a lane's id follows.
pub const LANES: &str = "refs/r/lanes/";
/// Up to this commit the trunk is in the journal.
pub const IMPORTED: &str = "refs/indelible/imported";

/// Folders of references are never deeper.
const DEPTH_MAX: usize = 8;
/// What `HEAD` of `sync.git` names, and what is never there.
const NO_BRANCH: &str = "refs/heads/none";
/// The settings of `sync.git`.
const CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogallrefupdates = false
[gc]
\tauto = 0
";

/// `sync.git` and `sync.json`, with the lock on both.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    private: Dir,
    temporary: Dir,
    state: SyncState,
    _lock: SyncLock,
}

impl Store {
    /// Opens both, or makes them, for the remote `remote`. It waits for another process until `until`.
    ///
    /// # Errors
    /// [`Class::Later`] if another process syncs, or the disk refuses.
    pub fn open(home: &Home, remote: &str, until: Instant, stop: &AtomicBool) -> Result<Store, Error> {
        let private = home.private().folder(".")?;
        let Some(lock) = SyncLock::take(&private, until, stop)? else {
            return Err(Error::new(Class::Later, "another process syncs this home"));
        };
        let temporary = home.private_folder(TEMPORARY)?;
        let path = home.private().path().join(SYNC_GIT);
        let state = SyncState::read(&private)?.unwrap_or_default();
        let mut store = Store { path, private, temporary, state, _lock: lock };
        store.open_repository()?;
        store.settle(remote)?;
        Ok(store)
    }

    fn open_repository(&self) -> Result<(), Error> {
        history::prepare();
        if let Some(found) = self.private.find(SYNC_GIT)? {
            if found.is_folder && self.is_plain()? {
                remove_left(&self.path, 0)?;
                if self.is_whole() {
                    return Ok(());
                }
            }
            tracing::warn!("sync.git is broken, and made again");
            self.remove_repository()?;
        }
        let (name, folder) = self.begin_repository()?;
        self.place_repository(&name, &folder)
    }

    /// Makes an empty repository among the temporary files. Returns its name and its folder.
    pub(super) fn begin_repository(&self) -> Result<(String, Dir), Error> {
        let name = format!("sync-{}", random::id());
        let folder = self.temporary.make_folder(&name)?;
        folder.make_private()?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).no_reinit(true).external_template(false).initial_head(NO_BRANCH);
        Repository::init_opts(folder.path(), &options)?;
        folder.replace("config", CONFIG.as_bytes(), &folder, Durability::Full)?;
        Ok((name, folder))
    }

    /// Puts the repository `name`, which is in `folder`, in its place.
    pub(super) fn place_repository(&self, name: &str, folder: &Dir) -> Result<(), Error> {
        folder.sync()?;
        self.temporary.rename_over(name, &self.private, SYNC_GIT)?;
        self.private.sync()?;
        Ok(())
    }

    /// Removes the repository, or what lies in its place.
    pub(super) fn remove_repository(&self) -> Result<(), Error> {
        match self.private.find(SYNC_GIT)? {
            None => Ok(()),
            Some(found) if found.is_folder => Ok(self.private.remove_tree(SYNC_GIT)?),
            Some(_) => Ok(self.private.remove(SYNC_GIT).map(drop)?),
        }
    }

    /// Whether the repository is set up as it was made: its settings name no program, and nothing in it leads elsewhere.
    fn is_plain(&self) -> Result<bool, Error> {
        let folder = self.private.folder(SYNC_GIT)?;
        let has = |name: &str| {
            folder.find(name).map(|found| found.is_some()).or_else(|error| match error.is_not_found() {
                true => Ok(false),
                false => Err(error),
            })
        };
        for name in
            ["commondir", "gitdir", "config.worktree", "objects/info/alternates", "objects/info/http-alternates"]
        {
            if has(name)? {
                return Ok(false);
            }
        }
        let is = |name: &str, text: &str| {
            let content = folder.content(name, text.len() as u64).ok().flatten();
            content.as_deref() == Some(text.as_bytes())
        };
        Ok(is("config", CONFIG) && is("HEAD", &format!("ref: {NO_BRANCH}\n")))
    }

    /// Whether the repository can be opened, and has what its references name.
    fn is_whole(&self) -> bool {
        let look = || {
            let repository = self.repository()?;
            for name in [LANE, ACKED] {
                if let Some(commit) = target(&repository, name)? {
                    drop(repository.find_commit(commit)?.tree()?);
                }
            }
            Ok::<_, Error>(())
        };
        look().map_err(|error| tracing::warn!(%error, "the cache of the remote")).is_ok()
    }

    /// Draws a lane if there is none, or if the home is a copy; forgets what is known of another remote.
    fn settle(&mut self, remote: &str) -> Result<(), Error> {
        let journal = journal::id(&self.private)?;
        let is_copy = self.state.journal.is_some() && self.state.journal != journal;
        let has_other = self.state.remote != remote;
        if self.state.version == VERSION && !is_copy && !has_other {
            return Ok(());
        }
        if has_other || is_copy {
            // Before it is noted whose they are: a kill in between leaves a lane that the remote has still to confirm.
            self.delete(ACKED)?;
        }
        if has_other {
            self.forget_remote()?;
        }
        let lane = if is_copy || self.state.lane.is_nil() { random::id() } else { self.state.lane };
        self.change(|state| {
            if has_other {
                *state = state.of_another_remote();
            }
            *state =
                SyncState { version: VERSION, remote: remote.to_owned(), journal, lane, pushed: None, ..state.clone() };
        })
    }

    /// Forgets what was fetched from the remote, and what it has acknowledged.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be written.
    pub(super) fn forget_remote(&self) -> Result<(), Error> {
        [ACKED, TRUNK, IMPORTED].iter().try_for_each(|name| self.delete(name))
    }

    /// Whether nothing was projected since the repository was made: what the remote has of this home has to be fetched first.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be read.
    pub fn is_fresh(&self) -> Result<bool, Error> {
        Ok(self.target(LANE)?.is_none())
    }

    /// The path of `sync.git`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The repository, opened again: it sees what git has written.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be opened.
    pub fn repository(&self) -> Result<Repository, Error> {
        Ok(Repository::open_bare(&self.path)?)
    }

    /// The commit that the reference `name` is at.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be read.
    pub fn target(&self, name: &str) -> Result<Option<Oid>, Error> {
        target(&self.repository()?, name)
    }

    /// Moves the reference `name`, durably.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be written.
    pub fn set(&self, name: &str, to: Oid) -> Result<(), Error> {
        self.repository()?.reference(name, to, true, "sync")?;
        Ok(())
    }

    /// Deletes the reference `name`, if it is there.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be deleted.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        match self.repository()?.find_reference(name) {
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            found => Ok(found?.delete()?),
        }
    }

    /// Calls `make` with what writes new objects into a pack, and puts that in its place, synced.
    ///
    /// # Errors
    /// Those of `make`, and [`Class::Later`] if the pack cannot be written.
    pub fn write_objects<T>(&self, make: impl FnOnce(&Trees<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let repository = self.repository()?;
        let trees = Trees::of(&repository)?;
        let made = make(&trees)?;
        trees.objects().place()?;
        Ok(made)
    }

    /// What is known.
    pub fn state(&self) -> &SyncState {
        &self.state
    }

    /// Changes what is known, durably.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be written; the old state is there then.
    pub fn change(&mut self, change: impl FnOnce(&mut SyncState)) -> Result<(), Error> {
        let mut state = self.state.clone();
        change(&mut state);
        if state != self.state {
            let text = serde_json::to_vec(&state).expect("it is made of strings and numbers");
            self.private.replace(SYNC, &text, &self.temporary, Durability::Full)?;
            self.state = state;
        }
        Ok(())
    }
}

/// Takes the records `ids`, which are being erased, out of what is kept, and notes them: the next sync takes them out of what was pushed.
/// Safe to repeat.
///
/// # Errors
/// [`Class::Later`] if another process syncs until `until`, or the disk refuses.
pub fn forget(home: &Home, ids: &BTreeSet<RecordId>, until: Instant) -> Result<(), Error> {
    let private = home.private().folder(".")?;
    if private.find(SYNC_GIT)?.is_none() && private.find(SYNC)?.is_none() {
        return Ok(());
    }
    let Some(lock) = SyncLock::take(&private, until, &AtomicBool::new(false))? else {
        return Err(Error::new(Class::Later, "another process syncs this home"));
    };
    let temporary = home.private_folder(TEMPORARY)?;
    let state = SyncState::read(&private)?.unwrap_or_default();
    let mut store = Store { path: home.private().path().join(SYNC_GIT), private, temporary, state, _lock: lock };
    if store.state.version == VERSION {
        store.change(|state| {
            state.held.retain(|held| !ids.contains(&held.id));
            state.error = None;
            state.projected = None;
            state.erased.extend(ids);
        })?;
    }
    let is_usable = store.private.find(SYNC_GIT)?.is_some_and(|found| found.is_folder) && store.is_plain()?;
    let without = if is_usable { store.rebuild(ids) } else { store.remove_repository() };
    without.or_else(|error| {
        tracing::warn!(%error, "sync.git could not be made without what is erased, and goes as a whole");
        store.remove_repository()
    })?;
    Ok(store.private.sync()?)
}

/// The commit that the reference `name` of `repository` is at.
pub(super) fn target(repository: &Repository, name: &str) -> Result<Option<Oid>, Error> {
    match repository.refname_to_id(name) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of the file at `path` in the tree `root`; `None` if no file is there.
pub(super) fn file_at(repository: &Repository, root: Oid, path: &str) -> Result<Option<Oid>, Error> {
    match repository.find_tree(root)?.get_path(Path::new(path)) {
        Ok(entry) if entry.kind() == Some(ObjectType::Blob) => Ok(Some(entry.id())),
        Ok(_) => Ok(None),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what a kill left in the repository at `folder`: locks, half-written packs and objects, and of a pack the one file that had its
/// name already.
fn remove_left(folder: &Path, depth: usize) -> Result<(), Error> {
    let has_packs = folder.ends_with(PACKS);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?);
        let is_alone = |one: &str, other: &str| {
            name.strip_suffix(one).is_some_and(|stem| !folder.join(format!("{stem}{other}")).exists())
        };
        let is_left = name.ends_with(".lock")
            || name.starts_with(UNFINISHED)
            || has_packs && (is_alone(".pack", ".idx") || is_alone(".idx", ".pack"));
        // Loose objects are in folders of two digits, which have no locks.
        if kind.is_dir() && depth < DEPTH_MAX && name.len() != 2 {
            remove_left(&entry.path(), depth + 1)?;
        } else if kind.is_file() && is_left {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
