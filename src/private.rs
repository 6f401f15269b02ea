//! Where a home's private folder lies, and its move there.
//!
//! 1. In a repository of somebody's own it is `indelible` in the git folder of that work tree: `.git`, or the folder that a
//!    `.git` file names (a linked work tree, a submodule). Git never checks anything out into it, no `pull`, `stash` or
//!    `clean` takes it along, and nothing that a repository contains can be in it.
//! 2. A home with a repository of its own, or none, has `.indelible` instead. There `.git/indelible` is a plain file, which
//!    says so with one look. Its second line is the home's id, for a home that loses this folder.
//! 3. `.indelible` in somebody's repository counts only where that repository's own settings say that we put it there, or
//!    its index has nothing of it. One that was checked out is a folder like any other. It moves by itself in the first case
//!    alone: where a repository took the place of ours, it may be a mistake.
//! 4. [`settle`] moves the `.indelible` of before with one rename. A recorder that has it open goes on in the same
//!    journal. Whoever looks meanwhile looks at the new place again before saying that there is none.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | the folder in its old place, which goes on being used | the next `init`, `adopt` or worker |
//! | after it | the folder in its new place, perhaps not yet durable there | nothing to do; the old place after a power cut |

use std::path::Path;

use crate::fs::lock::WorkerLock;
use crate::fs::{self, Dir, Point, crash};
use crate::model::HomeId;

/// The private folder of a home with a repository of its own, relative to the home.
pub const PRIVATE: &str = ".indelible";
/// The private folder in somebody's git folder; in a repository of ours, the file that says that it is not there.
pub const IN_GIT: &str = "indelible";
/// The first line of that file.
const MARKER: &str = "The private folder of this home is .indelible, beside this folder.";
/// Its second line, before the home's id. Homes made by earlier versions get that line from the next `init` or worker.
const MARKER_ID: &str = "The id of this home is ";
/// A released private folder has this in its name, then a time.
pub const ASIDE: &str = "-released-";
/// Where the first look goes.
const FIRST: &str = ".git/indelible";
/// A longer file of git's is none.
const BYTES_MAX: u64 = 1 << 20;

/// Opens the private folder of the home in `home`; `None` if it has none. This alone decides where that folder lies.
///
/// # Errors
/// [`fs::Error`] if it cannot be opened.
pub fn private_of(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    let found = match home.folder(FIRST) {
        Ok(private) => return Ok(Some(private)),
        // Something that is no folder: in a folder `.git`, the file that says where to look.
        Err(fs::Error::Refused { .. }) if home.find(".git")?.is_some_and(|git| git.is_folder) => local(home)?,
        Err(error) if is_no_folder(&error) => elsewhere(home)?,
        Err(error) => return Err(error),
    };
    match found {
        Some(private) => Ok(Some(private)),
        // It may have been moved between the two looks.
        None => in_git(home),
    }
}

/// Opens the private folder of the home in `home`, and makes it if it has none.
///
/// # Errors
/// [`fs::Error`] if it can be neither opened nor made.
pub fn make_private(home: &Dir) -> Result<Dir, fs::Error> {
    if let Some(private) = private_of(home)? {
        return Ok(private);
    }
    match Git::of(home)? {
        Git::Theirs { folder, .. } => folder.make_folder(IN_GIT),
        Git::Absent | Git::Ours => home.make_folder(PRIVATE),
    }
}

/// Where the private folder `private` lies, relative to the home where it lies beneath it.
pub fn shown(home: &Dir, private: &Dir) -> String {
    let path = private.path();
    path.strip_prefix(home.path()).unwrap_or(path).display().to_string()
}

/// The text of the file `.git/indelible` in the repository that was made for the home `id`.
pub(crate) fn marker(id: HomeId) -> String {
    format!("{MARKER}\n{MARKER_ID}{id}\n")
}

/// The id in that file, if `home` has the file and its repository with it. Git copies the file to no other repository.
///
/// # Errors
/// [`fs::Error`] if it cannot be read.
pub(crate) fn marked_id(home: &Dir) -> Result<Option<HomeId>, fs::Error> {
    match home.find(FIRST) {
        Err(error) if is_no_folder(&error) => Ok(None),
        found => match found? {
            Some(found) if found.is_file => Ok(id_in(&text(home, FIRST)?)),
            _ => Ok(None),
        },
    }
}

fn id_in(marker: &str) -> Option<HomeId> {
    let mut lines = marker.lines();
    lines.next().filter(|first| *first == MARKER)?;
    lines.next()?.strip_prefix(MARKER_ID)?.parse().ok()
}

/// The private folders that releases of the home in `home` have put aside.
///
/// # Errors
/// [`fs::Error`] if they cannot be listed or opened.
pub(crate) fn released(home: &Dir) -> Result<Vec<Dir>, fs::Error> {
    let (parent, name) = parent_of(home)?;
    let is_one = |it: &String| it.strip_prefix(name).is_some_and(|rest| rest.starts_with(ASIDE));
    parent.names()?.iter().filter(|it| is_one(it)).map(|it| parent.folder(it)).collect()
}

/// Opens the folder that the private folder of `home` lies in, and returns its name there.
///
/// # Errors
/// [`fs::Error`] if it cannot be opened.
pub(crate) fn parent_of(home: &Dir) -> Result<(Dir, &'static str), fs::Error> {
    match (in_git(home)?, Git::of(home)?) {
        (Some(_), Git::Theirs { folder, .. }) => Ok((folder, IN_GIT)),
        _ => Ok((Dir::open(home.path())?, PRIVATE)),
    }
}

/// Moves an `.indelible` of before into somebody's git folder. Returns whether it did: not if a worker, or whoever else
/// has its lock, is at work in it. `is_local` says, where the repository's settings do not, whether the folder was put
/// there by hand and not checked out.
///
/// # Errors
/// [`fs::Error`] if it cannot be moved; it is then where it was.
pub fn settle(home: &Dir, is_local: impl FnOnce() -> bool) -> Result<bool, fs::Error> {
    let Git::Theirs { folder, common } = Git::of(home)? else { return Ok(false) };
    if in_git(home)?.is_some() {
        return Ok(false);
    }
    let old = match home.folder(PRIVATE) {
        Err(error) if error.is_not_found() => return Ok(false),
        Err(fs::Error::Refused { .. }) => return Ok(false),
        old => old?,
    };
    if !(says_it_is_ours(&common)? || is_local()) {
        return Ok(false);
    }
    let Ok(lock) = WorkerLock::try_take(&old, "the move of the private folder")? else { return Ok(false) };
    if !lock.is_current()? {
        return Ok(false);
    }
    let step = |point| crash::at(point).map_err(fs::Error::io("move the private folder of", home.path()));
    step(Point::MoveBeforeRename)?;
    match home.rename_over(PRIVATE, &folder, IN_GIT) {
        // Another file system: it stays, and goes on being used.
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::CrossesDevices) => return Ok(false),
        moved => moved?,
    }
    step(Point::MoveAfterRename)?;
    // The new name first: a power cut may leave both, and must not leave neither.
    let _ = (folder.sync()?, home.sync()?);
    Ok(true)
}

/// Whether the folder at `path` has a private folder with a file `name`. Most folders are no home, and are told by two
/// looks; the first goes where the private folder may be moved from, so that none is missed meanwhile.
pub fn has(path: &Path, name: &str) -> bool {
    use std::io::ErrorKind::NotADirectory;
    let confirmed = || {
        let private = Dir::open(path).and_then(|home| private_of(&home)).ok().flatten();
        private.is_some_and(|private| private.find(name).is_ok_and(|found| found.is_some_and(|it| it.is_file)))
    };
    if path.join(PRIVATE).join(name).is_file() {
        return confirmed();
    }
    match std::fs::metadata(path.join(FIRST).join(name)) {
        Ok(found) => found.is_file(),
        // `.git` is a file that names another folder, or `.git/indelible` is the one that names `.indelible`.
        Err(error) if error.kind() == NotADirectory => confirmed(),
        Err(_) => false,
    }
}

/// Whether the first look found no folder.
fn is_no_folder(error: &fs::Error) -> bool {
    error.is_not_found() || matches!(error, fs::Error::Refused { .. })
}

/// The private folder where the first look has found none.
fn elsewhere(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    if home.find(".git")?.is_none() {
        return local(home);
    }
    if let Some(private) = in_git(home)? {
        return Ok(Some(private));
    }
    let Some(private) = local(home)? else { return Ok(None) };
    let counts = match Git::of(home)? {
        Git::Absent | Git::Ours => true,
        Git::Theirs { folder, common } => says_it_is_ours(&common)? || !is_tracked(&folder, &common)?,
    };
    Ok(counts.then_some(private))
}

/// The private folder in somebody's git folder, if it is there.
fn in_git(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    let looked = match git_folder(home)? {
        Some(git) => git.folder(IN_GIT),
        None => return Ok(None),
    };
    match looked {
        Err(error) if is_no_folder(&error) => Ok(None),
        private => private.map(Some),
    }
}

fn local(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    match home.folder(PRIVATE) {
        Err(error) if error.is_not_found() => Ok(None),
        private => private.map(Some),
    }
}

/// Whose the repository of a home is.
enum Git {
    /// There is none.
    Absent,
    /// Ours, or one that git checks nothing out from.
    Ours,
    /// Somebody's.
    Theirs {
        /// The git folder of this work tree.
        folder: Dir,
        /// What all work trees share.
        common: Dir,
    },
}

impl Git {
    fn of(home: &Dir) -> Result<Git, fs::Error> {
        let Some(folder) = git_folder(home)? else { return Ok(Git::Absent) };
        let named = text(&folder, "commondir")?;
        let common = Dir::open(&folder.path().join(named.trim()))?;
        let lower = text(&common, "config")?.to_ascii_lowercase();
        let mut lines = lower.lines().map(|line| line.split_whitespace().collect::<String>());
        // Without settings it is no repository, or a damaged one, which nothing can have been checked out from either.
        // A linked work tree is one, whatever the settings say that it shares.
        let is_bare = |line: &str| line == "bare=true" && named.is_empty();
        let ours = !lower.contains("[core]") || lines.any(|line| line == "[indelible]" || is_bare(&line));
        Ok(if ours { Git::Ours } else { Git::Theirs { folder, common } })
    }
}

/// Whether the list of ignored files says that `.indelible` is ours, as it did before the folder lay in the git folder. No
/// repository contains that list.
fn says_it_is_ours(common: &Dir) -> Result<bool, fs::Error> {
    Ok(text(common, "info/exclude")?.lines().any(|line| line.trim() == "/.indelible/"))
}

/// Whether the index of the work tree whose git folder is `folder` may have `.indelible`, or something in it. Read as bytes,
/// so that it costs no library: rather too often than not.
fn is_tracked(folder: &Dir, common: &Dir) -> Result<bool, fs::Error> {
    let shared = common.names()?.into_iter().filter(|name| name.starts_with("sharedindex."));
    let shared: Vec<Vec<u8>> = shared.filter_map(|name| common.content(&name, u64::MAX).ok().flatten()).collect();
    let own = folder.content("index", u64::MAX)?.unwrap_or_default();
    Ok(shared.iter().chain([&own]).any(|index| {
        // Version 4 leaves out what a path has in common with the one before it.
        let short = index.get(7) == Some(&4);
        let wanted: &[&[u8]] = if short { &[b"indelible"] } else { &[b".indelible/", b".indelible\0"] };
        wanted.iter().any(|wanted| index.windows(wanted.len()).any(|it| it == *wanted))
    }))
}

/// The git folder of the work tree `home`; `None` if there is none, or none that can be found.
fn git_folder(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    match home.find(".git")? {
        Some(found) if found.is_folder => home.folder(".git").map(Some),
        Some(found) if found.is_file => {
            let named = text(home, ".git")?;
            let Some(named) = named.lines().next().and_then(|line| line.strip_prefix("gitdir:")) else {
                return Ok(None);
            };
            match Dir::open(&home.path().join(named.trim())) {
                Err(error) if error.is_not_found() => Ok(None),
                folder => folder.map(Some),
            }
        }
        _ => Ok(None),
    }
}

/// The text of the file at `path`; empty if there is none.
fn text(dir: &Dir, path: &str) -> Result<String, fs::Error> {
    let content = match dir.content(path, BYTES_MAX) {
        Err(fs::Error::Refused { .. }) => None,
        content => content?,
    };
    Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
}
