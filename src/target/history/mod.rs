//! The history: every record, in commits on a branch of our own, made without an index.
//!
//! 1. Our commits never read or change an index, a work tree, HEAD or any other branch. The one exception is the very
//!    first commit in a repository that was there before us: it starts at that repository's HEAD. In such a repository
//!    the history is a reference of the home's own, and a branch only shows it (`pointer.rs`).
//! 2. A record is in the history if its path is in the tree of our reference, or was introduced by a commit that the
//!    reference reaches. A trailer only says where to start looking. Two homes in one repository each query their own
//!    reference.
//! 3. The reference moves only by compare-and-swap under its lock, and only to a commit whose every object was visible
//!    to a freshly opened repository.
//! 4. From before a pack is visible until its commit is reachable, a `.keep` protects it from every gc.
//! 5. A commit's cost depends on the batch and on the folders that it changes, on nothing else.
//! 6. A crash's leftovers are recognised by a `.keep` of this program that no process has locked; [`History::sweep`]
//!    removes them. No file that is not ours is ever removed, except packs that were rolled into a larger one, stale
//!    locks on our references (`lock.rs`) and, in a repository that we made, what killed git programs left.
//! 7. `refs/indelible/<journal id>` is at the last finished batch. If the branch does not reach it, the branch was
//!    rewound. The anchors of a journal's earlier ids are removed once its own exists. If the
//!    branch of a home of its own is gone, it is made again there (`regain.rs`).
//!
//! A commit goes through these steps, and a crash in between leaves what the third column says:
//!
//! | step | done by | a crash after it leaves |
//! | --- | --- | --- |
//! | objects in memory | `commit.rs` | nothing |
//! | pack and index, synced, in a folder of their own | `pack.rs` | the folder: swept |
//! | `.keep`, `.pack`, `.idx` put in place, folder synced | `pack.rs` | a `.keep`, unreachable objects: swept, gc'd |
//! | the branch moves | `refs.rs` | a leftover `.keep`: swept |
//! | the `.keep` is removed | `pack.rs` | an anchor that is one batch behind: harmless |
//! | the anchor moves | `refs.rs` | nothing |

mod attribution;
mod check;
mod commit;
mod erase;
mod error;
mod lock;
mod log;
mod message;
mod modes;
mod note;
mod options;
mod outer;
mod pack;
mod pack_file;
mod plain;
mod pointer;
mod query;
mod refs;
mod regain;
mod repack;
mod setup;
mod tip;
pub(crate) mod tree;
mod versions;
mod work_trees;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use git2::{Oid, Repository};

use crate::fs::Dir;
use crate::fs::crash::{self, Point};
use crate::home::{self, Identity};
use crate::model::HomeId;
use crate::model::layout::{IDENTITY, OWNED_BRANCH, PRIVATE, RELEASED};
use crate::private;

use error::{Doing, DoingAt};
use modes::Modes;
use options::{name_for_git, signature};

pub use check::Damage;
pub use commit::{Changes, Committed, NewCommit, Standing};
pub use erase::{Holds, Stray, Traces};
pub(crate) use erase::{commit_without, shows};
pub use error::{Error, Obstacle};
pub use log::{FileChange, FileCommit};
pub use message::{Trailer, parse as trailer_of};
pub use options::HistoryOptions;
pub use outer::make_room;
pub use pack::Swept;
pub use query::{Anchor, TreeFile};
pub use repack::{Repacked, Repacker};
pub(crate) use setup::prepare;
pub use setup::tracks;
pub use tip::{TipCommit, TipFiles};

/// The name (hash) of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(Oid);

impl CommitId {
    /// Its bytes.
    pub fn bytes(self) -> [u8; 20] {
        bytes(self.0)
    }
}

/// The bytes of an object's name. Repositories with longer names are refused.
fn bytes(id: Oid) -> [u8; 20] {
    id.as_bytes().try_into().unwrap_or_default()
}

#[cfg(test)]
impl CommitId {
    /// A name for a simulated commit.
    pub(crate) fn numbered(number: u128) -> CommitId {
        let mut bytes = [0; 20];
        bytes[4..].copy_from_slice(&number.to_be_bytes());
        CommitId(Oid::from_bytes(&bytes).expect("it has as many bytes as a name"))
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The tip of the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit the branch points at.
    pub commit: CommitId,
    /// The trailer of its message; `None` if this program did not make the commit.
    pub trailer: Option<Trailer>,
}

/// Opens a folder of the repository. Links on the way to it are followed, as by git; links beneath it are not.
fn folder(path: &Path) -> Result<Dir, Error> {
    Dir::open(path).doing_at("opening a folder", path)
}

/// Makes the names in the folder durable.
fn sync(folder: &Dir) -> Result<(), Error> {
    folder.sync().doing_at("syncing a folder", folder.path())
}

/// The id of the home at `path`, from its private folder.
fn home_id(path: &Path) -> Option<HomeId> {
    let home = Dir::open(path).ok()?;
    let private = private::private_of(&home).ok()??;
    let read = |name: &str| {
        let text = private.content(name, 4096).ok()??;
        serde_json::from_slice::<Identity>(&text).ok().map(|it| it.id)
    };
    read(IDENTITY).or_else(|| read(RELEASED))
}

/// Whether the home at `home` was adopted: its owner had it before. If that cannot be read, it counts as ours.
fn is_adopted(home: &Path) -> bool {
    let adopted = || home::is_adopted(&private::private_of(&Dir::open(home).ok()?).ok()??).ok();
    adopted().unwrap_or(false)
}

/// The history of one home. It holds paths only: every operation reopens the repository, so no state can be stale.
#[derive(Clone, Debug)]
pub struct History {
    home: PathBuf,
    /// What all worktrees of the repository share: objects, references and configuration.
    common: PathBuf,
    /// The home's id, if known.
    id: Option<HomeId>,
    /// The full name of the reference that holds the history.
    reference: String,
    /// The full name of the branch that shows the history.
    branch: String,
    owned: bool,
    /// Whether it is not the home's own, but in a bare repository beside it.
    is_beside: bool,
    /// The modes of what is written.
    modes: Modes,
    options: HistoryOptions,
    /// How often another program's lock was waited for; one counter, shared by all clones.
    waits: Arc<AtomicU64>,
    /// Whether a running repack has to stop; one flag, shared by all clones.
    hurry: Arc<AtomicBool>,
    /// When the repository was last checked; shared by all clones.
    passed: Arc<plain::Passed>,
}

impl History {
    /// Makes a repository in `home`, whose id is `id`, or prepares the existing one. Returns whether it was made. Safe
    /// to repeat, also after a crash at any point.
    ///
    /// A new repository is built in `staging` and appears whole. `staging` is a folder on the home's file system that
    /// may be emptied whenever no process uses it. An existing repository only gets lines in `info/exclude`.
    ///
    /// # Errors
    /// As [`History::open`], and whatever the disk refuses.
    pub fn init(home: &Path, staging: &Path, id: HomeId, options: HistoryOptions) -> Result<(History, bool), Error> {
        let made = match setup::is_absent(home)? {
            true => setup::create(home, staging, id)?,
            false => setup::remake_folders(home).map(|()| false)?,
        };
        let history = History::of(home, Some(id), home_id(home), options)?;
        match history.owned {
            true => {
                setup::take_on(&history.repository()?)?;
                setup::mark_owned(home, &history.common, id, staging);
                if let Err(error) = outer::keep_room(home) {
                    tracing::warn!(
                        error = crate::model::text::chain(&error),
                        "git commands of the repository around it may fail"
                    );
                }
            }
            false => {
                let has_moved = !home.join(PRIVATE).exists();
                setup::exclude_ours(&history.common, history.modes, has_moved, is_adopted(home))?;
            }
        }
        history.mend_modes();
        history.settle_pointer()?;
        Ok((history, made))
    }

    /// Checks whether `home` can hold a home, as far as its repository tells. Makes only folders that an empty
    /// repository lacks.
    ///
    /// # Errors
    /// An error for which [`Error::is_unsupported`] or [`Error::is_transient`] is true.
    pub fn check(home: &Path, options: &HistoryOptions) -> Result<(), Error> {
        setup::remake_folders(home)?;
        match History::open(home, options.clone()) {
            Err(error) if error.is_unsupported() || error.is_transient() => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the history in `home`.
    ///
    /// # Errors
    /// [`Error::Missing`] if the home has no repository; [`Error::Unsupported`] and [`Error::ForeignOwner`] for one
    /// that this program does not write to.
    pub fn open(home: &Path, options: HistoryOptions) -> Result<History, Error> {
        let id = home_id(home);
        History::of(home, id, id, options)
    }

    /// The history of the home `id`. `noted` is the id in its private folder; `None` while the home is being made.
    fn of(home: &Path, id: Option<HomeId>, noted: Option<HomeId>, options: HistoryOptions) -> Result<History, Error> {
        if setup::is_absent(home)? {
            return Err(Error::Missing { home: home.to_owned() });
        }
        let passed = Arc::default();
        let repository = setup::open(home, &passed)?;
        let owned = setup::is_owned(&repository)? || attribution::is_mirror(&repository, noted)?;
        let (author_name, author_email) = (name_for_git(&options.author_name), name_for_git(&options.author_email));
        let options = HistoryOptions { author_name, author_email, ..options };
        let (reference, branch) = match owned {
            true => (OWNED_BRANCH.to_owned(), OWNED_BRANCH.to_owned()),
            // Without an id there is no history yet.
            false => {
                let reference = refs::own(id.unwrap_or_default());
                let branch = if options.pointer { pointer::name(&repository, home, id)? } else { reference.clone() };
                (reference, branch)
            }
        };
        Ok(History {
            home: home.to_owned(),
            common: repository.commondir().to_owned(),
            id,
            reference,
            branch,
            owned,
            is_beside: false,
            modes: Modes::of(&repository, owned)?,
            options,
            waits: Arc::default(),
            hurry: Arc::default(),
            passed,
        })
    }

    /// The history that the reference `reference` holds in the bare repository at `folder`, to be read only. It may not exist.
    pub(crate) fn beside(folder: &Path, reference: &str) -> History {
        History {
            home: folder.to_owned(),
            common: folder.to_owned(),
            id: None,
            reference: reference.to_owned(),
            branch: reference.to_owned(),
            owned: true,
            is_beside: true,
            modes: Modes::Private,
            options: HistoryOptions::default(),
            waits: Arc::default(),
            hurry: Arc::default(),
            passed: Arc::default(),
        }
    }

    /// The full name of the branch that shows the history: `refs/heads/main` in a repository that we made;
    /// `refs/heads/indelible` or the like in a user's; [`History::reference`] if no branch is wanted.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The full name of what shows all of the history: the branch if it is current, otherwise the reference.
    pub fn shown(&self) -> &str {
        let at = |name: &str| self.repository().and_then(|it| refs::target(&it, name)).ok().flatten();
        if at(&self.branch) == at(&self.reference) { &self.branch } else { &self.reference }
    }

    /// The git folder that all work trees share.
    pub fn common(&self) -> &Path {
        &self.common
    }

    /// The full name of the reference that holds the history. In a user's repository only this program uses it.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Whether we made the repository, for this history only.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// The histories of other homes in a user's repository, each a line for a person that says how its records are brought here.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn others(&self) -> Result<Vec<String>, Error> {
        if self.owned {
            return Ok(Vec::new());
        }
        let others = attribution::others(&self.repository()?, self.id)?;
        let line = |(reference, home): (String, HomeId)| {
            format!(
                "{reference} is the history of another home, {home}, whose records are not here; in this folder, `git archive \
                 {reference} $(git ls-tree --name-only {reference} memory experiments) | tar -x --exclude '*.db*'` and \
                 `indelible recover` bring them"
            )
        };
        Ok(others.into_iter().map(line).collect())
    }

    /// Where HEAD of a user's repository is, as text for a person, and whether the index tracks `path`.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn theirs(&self, path: &str) -> Result<(String, bool), Error> {
        setup::theirs(&self.repository()?, path)
    }

    /// Whether the ignore rules of a guest home's repository exclude `path`.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn ignores(&self, path: &str) -> Result<bool, Error> {
        self.repository()?.is_path_ignored(path).doing("reading what is ignored")
    }

    /// Whether our branch and HEAD have a common commit. False if HEAD had no commit when our branch began.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn meets_head(&self) -> Result<bool, Error> {
        let repository = self.repository()?;
        let (Some(head), Some(tip)) = (commit::head(&repository)?, self.tip()?) else { return Ok(false) };
        match repository.merge_base(head, tip.commit.0) {
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(false),
            found => found.map(|_| true).doing("looking for where our branch begins"),
        }
    }

    /// Whether HEAD reaches all of our history.
    ///
    /// # Errors
    /// [`Error::Git`] if that cannot be read.
    pub fn is_in_head(&self) -> Result<bool, Error> {
        let repository = self.repository()?;
        let (Some(head), Some(tip)) = (commit::head(&repository)?, self.tip()?) else { return Ok(false) };
        let reaches = repository.graph_descendant_of(head, tip.commit.0).doing("looking for our history in yours")?;
        Ok(reaches || head == tip.commit.0)
    }

    /// The repository's `info/exclude` as it was before any of its work trees had a home; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn excluded(&self) -> Result<Option<Vec<u8>>, Error> {
        let list = setup::excluded(&self.common)?;
        Ok(match work_trees::has_other_homes(&self.repository()?) {
            true => list.map(|list| setup::without_ours(&list, None)),
            false => list,
        })
    }

    /// Removes the lines that [`History::init`] added from the repository's `info/exclude`, which was `before` at that
    /// time. If no other program has changed the file since, it is restored byte for byte. While a home in another
    /// work tree needs the lines, they stay; the last home to go removes them.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is then the old one or the new one, whole.
    pub fn exclude_ours_no_more(&self, before: Option<&[u8]>) -> Result<(), Error> {
        if work_trees::has_other_homes(&self.repository()?) {
            return Ok(());
        }
        setup::exclude_ours_no_more(&self.common, self.modes, before)
    }

    /// How often another program's lock was waited for since the last call.
    pub fn take_waits(&self) -> u64 {
        self.waits.swap(0, Ordering::Relaxed)
    }

    /// The tip of the branch; `None` before the first commit.
    ///
    /// # Errors
    /// [`Error::Reference`] if the branch is not a plain reference to a commit, [`Error::Damaged`] if the commit
    /// cannot be read.
    pub fn tip(&self) -> Result<Option<Tip>, Error> {
        let repository = self.repository()?;
        let Some(id) = self.tip_id(&repository)? else { return Ok(None) };
        let commit = refs::commit(&repository, &self.reference, id)?;
        Ok(Some(Tip { commit: CommitId(id), trailer: message::parse(commit.message_bytes()) }))
    }

    /// The name of the branch's tip; the commit is not read.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn tip_name(&self) -> Result<Option<CommitId>, Error> {
        Ok(self.tip_id(&self.repository()?)?.map(CommitId))
    }

    /// The newest commit of the history. In a home of an older version it is on the branch until a worker or `init`
    /// runs.
    fn tip_id(&self, repository: &Repository) -> Result<Option<Oid>, Error> {
        match (refs::target(repository, &self.reference)?, self.id) {
            (None, Some(id)) if !self.owned => attribution::legacy(repository, id),
            (tip, _) => Ok(tip),
        }
    }

    fn repository(&self) -> Result<Repository, Error> {
        if self.is_beside { setup::open_bare(&self.home) } else { setup::open(&self.home, &self.passed) }
    }

    fn packs(&self) -> PathBuf {
        self.common.join("objects").join("pack")
    }

    /// Runs the step `point`; returns the error that a test injected there, if any.
    fn step(&self, point: Point) -> Result<(), Error> {
        crash::at(point).doing_at(point.name(), &self.common)
    }
}
