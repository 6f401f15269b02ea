//! The history: every record in a commit of a branch that is ours alone, made without an index.
//!
//! 1. No index, no work tree, no HEAD and no other branch is ever read for or changed by a commit of ours. The one
//!    exception is the very first commit in a repository that was there before us: it starts at that repository's HEAD.
//!    There the history is a reference of the home's own, and a branch only shows it (`pointer.rs`).
//! 2. A record is in the history when its path is in the tree of our reference, or was introduced by a commit that it
//!    reaches. A trailer only says where to start looking. Of two homes in one repository each asks its own reference.
//! 3. The reference moves only by comparing its old value under its lock, and only to a commit whose every object a freshly
//!    opened repository has seen.
//! 4. From before a pack can be seen until its commit is reachable, a `.keep` holds it against everybody's gc.
//! 5. A commit's cost depends on the batch and on the folders that it changes, on nothing else.
//! 6. What a crash leaves behind is recognised by a `.keep` of ours that nobody has locked, and [`History::sweep`] takes
//!    it away. No file that is not ours is ever removed, other than packs that were rolled into a larger one, stale locks on
//!    our references (`lock.rs`) and, in a repository that we made, what killed git programs left.
//! 7. `refs/indelible/<journal id>` is at the last finished batch; where the branch does not reach it, the branch was
//!    rewound. Those of ids that a journal had before go when its own is there.
//!
//! A commit goes through these steps, and a crash in between leaves what the third column says:
//!
//! | step | done by | a crash after it leaves |
//! | --- | --- | --- |
//! | objects in memory | `commit.rs` | nothing |
//! | pack and index, synced, in a folder of their own | `pack.rs` | the folder: swept |
//! | `.keep`, `.pack`, `.idx` put in place, folder synced | `pack.rs` | a `.keep` and objects nobody refers to: swept, gc'd |
//! | the branch moves | `refs.rs` | a `.keep` too many: swept |
//! | the `.keep` goes | `pack.rs` | an anchor that is one batch behind: harmless |
//! | the anchor moves | `refs.rs` | nothing |

mod check;
mod commit;
mod lock;
mod message;
mod modes;
mod outer;
mod pack;
mod pack_file;
mod pack_writer;
mod plain;
mod pointer;
mod query;
mod refs;
mod repack;
mod setup;
mod tree;
mod versions;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use git2::{Oid, Repository, Signature, Time};
use jiff::Timestamp;

use crate::fs::crash::{self, Point};
use crate::fs::{self, Dir};
use crate::home::{self, IDENTITY, Identity, RELEASED};
use crate::model::{BadPath, HomeId};
use crate::private;

use modes::Modes;

pub use check::Damage;
pub use commit::{Batch, Changes, Committed};
pub use message::{Trailer, parse as trailer_of};
pub use outer::make_room;
pub use pack::Swept;
pub use query::{Anchor, TreeFile};
pub use repack::{Repacked, Repacker};
pub use setup::tracks;

/// A commit's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(Oid);

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

/// Where the branch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit the branch points at.
    pub commit: CommitId,
    /// What its message says of the journal; absent where somebody else made the commit.
    pub trailer: Option<Trailer>,
}

/// How a history is kept.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// The name in our commits.
    pub author_name: String,
    /// The address in our commits.
    pub author_email: String,
    /// How many packs there may be, large ones not counted: from half as many on, [`History::repack_if_needed`] rolls
    /// small ones together.
    pub packs_max: usize,
    /// How many objects one roll takes at the most: its memory grows with them.
    pub roll_objects_max: u64,
    /// The git program that rolls packs together, by path or by name; without one the library does.
    pub git_program: Option<PathBuf>,
    /// How long the git program may take before it is ended and the library does its work.
    pub repack_wait: Duration,
    /// Whether a branch shows people the history in their own repository.
    pub pointer: bool,
    /// How long a lock of somebody else's on a branch is waited for.
    pub lock_wait: Duration,
    /// A lock that has not changed for this long, within one wait, may be a dead process's.
    pub lock_stale_after: Duration,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        HistoryOptions {
            author_name: "indelible".to_owned(),
            author_email: "indelible@localhost".to_owned(),
            packs_max: 32,
            roll_objects_max: 100_000,
            git_program: Some(PathBuf::from("git")),
            repack_wait: Duration::from_secs(600),
            pointer: true,
            lock_wait: Duration::from_secs(10),
            lock_stale_after: Duration::from_secs(5),
        }
    }
}

/// A path that cannot be in the tree, since something of its owner's is in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The file that has no room.
    pub path: String,
    /// What is in its way: this path, or a folder above it.
    pub at: String,
    /// What is there: `a file`, `a symbolic link`, `a submodule`, `a folder`.
    pub found: &'static str,
}

/// Why the history could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no repository in the home.
    #[error("{} has no git repository", home.display())]
    Missing {
        /// The home.
        home: PathBuf,
    },
    /// The repository is of a kind that we do not write to.
    #[error("the git repository of {} cannot be used: {what}", home.display())]
    Unsupported {
        /// The home.
        home: PathBuf,
        /// What about it is not supported.
        what: String,
    },
    /// The home is in a folder of somebody's repository, whose git commands would fail.
    #[error("{} lies in the git repository {}, whose own commands would fail then: {why}", home.display(), repository.display())]
    Inside {
        /// The home.
        home: PathBuf,
        /// The repository's work tree.
        repository: PathBuf,
        /// Why that cannot be kept from happening, and what can be done.
        why: String,
    },
    /// The repository belongs to another user.
    #[error("the git repository of {} belongs to another user", home.display())]
    ForeignOwner {
        /// The home.
        home: PathBuf,
        /// What was found.
        #[source]
        source: git2::Error,
    },
    /// A reference of ours is something that we cannot move.
    #[error("{reference} cannot be used: {what}")]
    Reference {
        /// Its full name.
        reference: String,
        /// What is wrong with it.
        what: String,
    },
    /// Files of the batch have no room in the branch's tree. Nothing was committed; without them the rest can be.
    #[error("{} of the batch cannot be in the branch's tree: {}", count(obstacles.len(), "file", "files"), first(obstacles))]
    Obstructed {
        /// Every one of them.
        obstacles: Vec<Obstacle>,
    },
    /// A path in the batch is not one that a record can have. Nothing was committed.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// Somebody held a lock all the time.
    #[error("another program has had the lock {} for {:.1} s; if no git process is at work there, remove that file", file.display(), waited.as_secs_f32())]
    Locked {
        /// The lock file.
        file: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The branch moved each time that we were about to move it.
    #[error("{branch} was moved by others {attempts} times while a commit for it was being made")]
    Contended {
        /// The branch.
        branch: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// An object that must be there is not, or cannot be read.
    #[error("git object {object} ({what}) cannot be read")]
    Damaged {
        /// The object's name.
        object: String,
        /// What it is to us.
        what: String,
        /// What libgit2 said; absent where it is the content that makes no sense.
        #[source]
        source: Option<git2::Error>,
    },
    /// A file of the repository could not be read or written.
    #[error("{doing} failed at {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// libgit2 refused.
    #[error("{doing} failed in the git repository")]
    Git {
        /// What was being done.
        doing: &'static str,
        /// What libgit2 said.
        #[source]
        source: git2::Error,
    },
}

fn count(n: usize, one: &str, many: &str) -> String {
    crate::model::text::counted(n as u64, one, many)
}

/// `text` as git can keep it in a name or an address, whatever a configuration says.
fn plain(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    // Git drops these at either end, and refuses a name that has nothing else.
    let kept = kept.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | ',' | ':' | ';' | '"' | '\\' | '\''));
    if kept.is_empty() { "indelible".to_owned() } else { kept.to_owned() }
}

/// Who makes a commit, at the time it is now. No time zone: where a machine stands is nobody's business.
fn signature(options: &HistoryOptions) -> Result<Signature<'static>, Error> {
    let now = Time::new(Timestamp::now().as_second(), 0);
    Signature::new(&options.author_name, &options.author_email, &now).doing("signing")
}

fn first(obstacles: &[Obstacle]) -> String {
    obstacles.first().map_or_else(String::new, |it| format!("{} is in the way of {} as {}", it.at, it.path, it.found))
}

impl Error {
    /// Whether trying the same again later can help without a person doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Locked { .. } | Error::Contended { .. } | Error::Io { .. } | Error::Git { .. })
    }

    /// The object `id` could not be read. That a file could not be opened is no damage: a gc may just have replaced it.
    fn unreadable(id: Oid, what: String, source: git2::Error) -> Error {
        match source.class() {
            git2::ErrorClass::Os => Error::Git { doing: "reading an object", source },
            _ => Error::Damaged { object: id.to_string(), what, source: Some(source) },
        }
    }

    /// Whether the repository, as it is, is one that we never write to: a person has to change it.
    pub fn is_unsupported(&self) -> bool {
        let wrong = matches!(self, Error::Unsupported { .. } | Error::ForeignOwner { .. } | Error::Inside { .. });
        wrong || matches!(self, Error::Reference { .. })
    }
}

/// Says what was being done when a call failed.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, git2::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Git { doing, source })
    }
}

/// Says what was being done to which path when a call failed.
trait DoingAt<T> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> DoingAt<T> for io::Result<T> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing, path: path.to_owned(), source })
    }
}

impl<T> DoingAt<T> for Result<T, fs::Error> {
    fn doing_at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(io::Error::from).doing_at(doing, path)
    }
}

/// Opens a folder of the repository. Links on the way to it are followed, as git follows them; beneath it none is.
fn folder(path: &Path) -> Result<Dir, Error> {
    Dir::open(path).doing_at("opening a folder", path)
}

/// Makes the names in the folder durable.
fn sync(folder: &Dir) -> Result<(), Error> {
    folder.sync().map(fs::Durable::into_inner).doing_at("syncing a folder", folder.path())
}

/// The id of the home at `path`, as its private folder says.
fn home_id(path: &Path) -> Option<HomeId> {
    let home = Dir::open(path).ok()?;
    let private = private::private_of(&home).ok()??;
    let read = |name: &str| {
        let text = private.content(name, 4096).ok()??;
        serde_json::from_slice::<Identity>(&text).ok().map(|it| it.id)
    };
    read(IDENTITY).or_else(|| read(RELEASED))
}

/// Whether the home at `home` was its owner's before it was ours. One that cannot be asked counts as ours.
fn is_adopted(home: &Path) -> bool {
    let adopted = || home::is_adopted(&private::private_of(&Dir::open(home).ok()?).ok()??).ok();
    adopted().unwrap_or(false)
}

/// The history of one home. Holds paths only: every operation opens the repository anew, so that nothing it knows can be
/// older than the operation.
#[derive(Clone, Debug)]
pub struct History {
    home: PathBuf,
    /// What all worktrees of the repository share: objects, references and configuration.
    common: PathBuf,
    /// The home's id, as far as it is known.
    id: Option<HomeId>,
    /// The full name of the reference that has the history.
    reference: String,
    /// The full name of the branch that shows it.
    branch: String,
    owned: bool,
    /// Who may read what is written.
    modes: Modes,
    options: HistoryOptions,
    /// How often somebody else's lock was waited for; one count for all clones.
    waits: Arc<AtomicU64>,
    /// Whether a repack has to end where it is; one word for all clones.
    hurry: Arc<AtomicBool>,
}

impl History {
    /// Makes a repository in `home`, whose id is `id`, or prepares the one that is there; answers whether it was made. Safe to repeat, and
    /// after a crash at any point.
    ///
    /// A new repository is built in `staging`, a folder on the home's file system that may be emptied when nobody is at
    /// work, and appears whole. In one that was there, only lines are added to `info/exclude`.
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
                let has_moved = !home.join(private::PRIVATE).exists();
                setup::exclude_ours(&history.common, history.modes, has_moved, is_adopted(home))?;
            }
        }
        history.mend_modes();
        history.settle_pointer()?;
        Ok((history, made))
    }

    /// Whether there can be a home in `home`, as far as its repository says. Makes nothing but folders that an empty one
    /// lacks.
    ///
    /// # Errors
    /// What [`Error::is_unsupported`] or [`Error::is_transient`] is true of.
    pub fn check(home: &Path, options: &HistoryOptions) -> Result<(), Error> {
        setup::remake_folders(home)?;
        match History::open(home, options.clone()) {
            Err(error) if error.is_unsupported() || error.is_transient() => Err(error),
            _ => Ok(()),
        }
    }

    /// The history in `home`.
    ///
    /// # Errors
    /// [`Error::Missing`] where the home has no repository; [`Error::Unsupported`] and [`Error::ForeignOwner`] for one
    /// that we do not write to.
    pub fn open(home: &Path, options: HistoryOptions) -> Result<History, Error> {
        let id = home_id(home);
        History::of(home, id, id, options)
    }

    /// The history of the home `id`. `noted` is the id that its private folder has: none while the home is being made.
    fn of(home: &Path, id: Option<HomeId>, noted: Option<HomeId>, options: HistoryOptions) -> Result<History, Error> {
        if setup::is_absent(home)? {
            return Err(Error::Missing { home: home.to_owned() });
        }
        let repository = setup::open(home)?;
        let owned = setup::is_owned(&repository)? || pointer::is_mirror(&repository, noted)?;
        let (author_name, author_email) = (plain(&options.author_name), plain(&options.author_email));
        let options = HistoryOptions { author_name, author_email, ..options };
        let (reference, branch) = match owned {
            true => (setup::OWNED_BRANCH.to_owned(), setup::OWNED_BRANCH.to_owned()),
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
            modes: Modes::of(&repository, owned)?,
            options,
            waits: Arc::default(),
            hurry: Arc::default(),
        })
    }

    /// The full name of the branch that shows the history: `refs/heads/main` in a repository of ours, `refs/heads/indelible`
    /// or the like in somebody else's, or [`History::reference`] where no branch is wanted.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The full name of what shows all of the history: the branch where it does, the reference otherwise.
    pub fn shown(&self) -> &str {
        let at = |name: &str| self.repository().and_then(|it| refs::target(&it, name)).ok().flatten();
        if at(&self.branch) == at(&self.reference) { &self.branch } else { &self.reference }
    }

    /// The full name of the reference that has the history. In somebody else's repository it is ours alone.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Whether the repository was made by us, and for nothing else.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Where HEAD of a repository that was there before us is, for a person, and whether its index tracks `path`.
    ///
    /// # Errors
    /// [`Error::Git`] if it cannot be told.
    pub fn theirs(&self, path: &str) -> Result<(String, bool), Error> {
        setup::theirs(&self.repository()?, path)
    }

    /// Whether the ignore rules of a guest repository keep `path` out of it.
    ///
    /// # Errors
    /// [`Error::Git`] if it cannot be told.
    pub fn ignores(&self, path: &str) -> Result<bool, Error> {
        self.repository()?.is_path_ignored(path).doing("reading what is ignored")
    }

    /// Whether our branch and HEAD have a commit in common: not, where HEAD had none when ours began.
    ///
    /// # Errors
    /// [`Error::Git`] if it cannot be told.
    pub fn meets_head(&self) -> Result<bool, Error> {
        let repository = self.repository()?;
        let (Some(head), Some(tip)) = (commit::head(&repository)?, self.tip()?) else { return Ok(false) };
        match repository.merge_base(head, tip.commit.0) {
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(false),
            found => found.map(|_| true).doing("looking for where our branch begins"),
        }
    }

    /// Whether HEAD has all of our history.
    ///
    /// # Errors
    /// [`Error::Git`] if it cannot be told.
    pub fn is_in_head(&self) -> Result<bool, Error> {
        let repository = self.repository()?;
        let (Some(head), Some(tip)) = (commit::head(&repository)?, self.tip()?) else { return Ok(false) };
        let reaches = repository.graph_descendant_of(head, tip.commit.0).doing("looking for our history in yours")?;
        Ok(reaches || head == tip.commit.0)
    }

    /// The repository's own list of ignored files, as it was before there was a home in any of its work trees; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn excluded(&self) -> Result<Option<Vec<u8>>, Error> {
        let list = setup::excluded(&self.common)?;
        Ok(match pointer::has_other_homes(&self.repository()?) {
            true => list.map(|list| setup::without_ours(&list, None)),
            false => list,
        })
    }

    /// Takes the lines that [`History::init`] added out of the repository's own list of ignored files, which was
    /// `before` then. Where nobody has changed it since, it is as it was, byte for byte. A home in another work tree needs them
    /// still, and the last one takes them out.
    ///
    /// # Errors
    /// [`Error::Io`]; the list is then the old one or the new one, whole.
    pub fn exclude_ours_no_more(&self, before: Option<&[u8]>) -> Result<(), Error> {
        if pointer::has_other_homes(&self.repository()?) {
            return Ok(());
        }
        setup::exclude_ours_no_more(&self.common, self.modes, before)
    }

    /// How often somebody else's lock was waited for since this was last asked.
    pub fn take_waits(&self) -> u64 {
        self.waits.swap(0, Ordering::Relaxed)
    }

    /// Where the branch is; nothing before the first commit.
    ///
    /// # Errors
    /// [`Error::Reference`] for a branch that is no plain reference to a commit, [`Error::Damaged`] for a commit that
    /// cannot be read.
    pub fn tip(&self) -> Result<Option<Tip>, Error> {
        let repository = self.repository()?;
        let Some(id) = self.tip_id(&repository)? else { return Ok(None) };
        let commit = refs::commit(&repository, &self.reference, id)?;
        Ok(Some(Tip { commit: CommitId(id), trailer: message::parse(commit.message_bytes()) }))
    }

    /// The newest commit of the history. A home of before has it on the branch until a worker or `init` comes.
    fn tip_id(&self, repository: &Repository) -> Result<Option<Oid>, Error> {
        match (refs::target(repository, &self.reference)?, self.id) {
            (None, Some(id)) if !self.owned => pointer::legacy(repository, id),
            (tip, _) => Ok(tip),
        }
    }

    fn repository(&self) -> Result<Repository, Error> {
        setup::open(&self.home)
    }

    fn packs(&self) -> PathBuf {
        self.common.join("objects").join("pack")
    }

    /// Takes `point`'s step, or the error that a test has put there.
    fn step(&self, point: Point) -> Result<(), Error> {
        crash::at(point).doing_at(point.name(), &self.common)
    }
}
