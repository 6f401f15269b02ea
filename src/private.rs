//! Where a home's private folder lies, and its move there.
//!
//! 1. A home in a user's repository (a guest) has it in the git folder of that work tree, as `indelible`. The git folder is
//!    `.git`, or the folder that a `.git` file names (a linked work tree, a submodule). Git checks nothing out into it, no
//!    `pull`, `stash` or `clean` takes it along, and nothing that a repository contains can be in it.
//! 2. A home with a repository of its own, or without one, has `.indelible`. There `.git/indelible` is a plain file, the
//!    marker: one look finds it. It also has the home's id, for a home that has lost its private folder. Git clones no marker.
//! 3. In a user's repository, `.indelible` counts only if the repository's own settings say that we put it there, or if git's
//!    index has nothing of it. One that was checked out is a folder like any other. Only in the first case does it move
//!    without being asked: in the second a repository may have replaced ours by mistake.
//! 4. [`settle`] moves the `.indelible` of an earlier version with one rename. A recorder that has it open continues in the
//!    same journal. A recorder that finds it in neither place looks at the new place once more.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | the folder in its old place, still in use | the next `init`, `adopt` or worker |
//! | after it | the folder in its new place, perhaps not durable there yet | nothing to do; after a power cut it may be back in the old place |

use std::path::Path;

use crate::fs::lock::WorkerLock;
use crate::fs::{self, Dir, Point, crash};
use crate::model::HomeId;
use crate::model::layout::{EXCLUDE, EXCLUDED_PRIVATE, GIT, PRIVATE, PRIVATE_FIRST, PRIVATE_IN_GIT, RELEASED_PRIVATE};

/// The first line of the marker.
const MARKER: &str = "The private folder of this home is .indelible, beside this folder.";
/// How its second line begins, before the home's id. In a home of an earlier version the next `init` or worker adds it.
const MARKER_ID: &str = "The id of this home is ";
/// Git's own small files are never longer.
const BYTES_MAX: u64 = 1 << 20;

/// Opens the private folder of the home in `home`, if it has one. Only this function decides where that folder lies.
///
/// # Errors
/// [`fs::Error`] if it cannot be opened.
pub fn private_of(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    let found = match home.folder(PRIVATE_FIRST) {
        Ok(private) => return Ok(Some(private)),
        // The marker, if `.git` is a folder.
        Err(fs::Error::Refused { .. }) if home.find(GIT)?.is_some_and(|git| git.is_folder) => local(home)?,
        Err(error) if is_no_folder(&error) => elsewhere(home)?,
        Err(error) => return Err(error),
    };
    match found {
        Some(private) => Ok(Some(private)),
        // It may have moved between the two looks.
        None => in_git(home),
    }
}

/// Opens the private folder of the home in `home`, or makes it.
///
/// # Errors
/// [`fs::Error`] if it can be neither opened nor made.
pub fn make_private(home: &Dir) -> Result<Dir, fs::Error> {
    if let Some(private) = private_of(home)? {
        return Ok(private);
    }
    match Git::of(home)? {
        Git::Theirs { folder, .. } => folder.make_folder(PRIVATE_IN_GIT),
        Git::Absent | Git::Ours => home.make_folder(PRIVATE),
    }
}

/// The path of the private folder `private`, relative to the home if it lies in it.
pub fn shown(home: &Dir, private: &Dir) -> String {
    let path = private.path();
    path.strip_prefix(home.path()).unwrap_or(path).display().to_string()
}

/// The text of the marker in the repository that was made for the home `id`.
pub(crate) fn marker(id: HomeId) -> String {
    format!("{MARKER}\n{MARKER_ID}{id}\n")
}

/// The id in the marker, if `home` has one.
///
/// # Errors
/// [`fs::Error`] if it cannot be read.
pub(crate) fn marked_id(home: &Dir) -> Result<Option<HomeId>, fs::Error> {
    match home.find(PRIVATE_FIRST) {
        Err(error) if is_no_folder(&error) => Ok(None),
        found => match found? {
            Some(found) if found.is_file => Ok(id_in(&text(home, PRIVATE_FIRST)?)),
            _ => Ok(None),
        },
    }
}

fn id_in(marker: &str) -> Option<HomeId> {
    let mut lines = marker.lines();
    lines.next().filter(|first| *first == MARKER)?;
    lines.next()?.strip_prefix(MARKER_ID)?.parse().ok()
}

/// The private folders that releases of the home in `home` have set aside.
///
/// # Errors
/// [`fs::Error`] if they cannot be listed or opened.
pub(crate) fn released(home: &Dir) -> Result<Vec<Dir>, fs::Error> {
    let (parent, name) = parent_of(home)?;
    let is_one = |it: &String| it.strip_prefix(name).is_some_and(|rest| rest.starts_with(RELEASED_PRIVATE));
    parent.names()?.iter().filter(|it| is_one(it)).map(|it| parent.folder(it)).collect()
}

/// Opens the folder that contains the private folder of `home`, and returns its name there.
///
/// # Errors
/// [`fs::Error`] if it cannot be opened.
pub(crate) fn parent_of(home: &Dir) -> Result<(Dir, &'static str), fs::Error> {
    match (in_git(home)?, Git::of(home)?) {
        (Some(_), Git::Theirs { folder, .. }) => Ok((folder, PRIVATE_IN_GIT)),
        _ => Ok((Dir::open(home.path())?, PRIVATE)),
    }
}

/// Moves an `.indelible` of an earlier version into the git folder of a user's repository. Returns whether it did: not while
/// another process has the worker's lock. If the repository's settings do not say that we put the folder there, `is_local`
/// says whether it was put there by hand and not checked out.
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
    match home.rename_over(PRIVATE, &folder, PRIVATE_IN_GIT) {
        // Another file system: it stays in use where it is.
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::CrossesDevices) => return Ok(false),
        moved => moved?,
    }
    step(Point::MoveAfterRename)?;
    // The new name first: a power cut may leave both, and must not leave neither.
    let _ = (folder.sync()?, home.sync()?);
    Ok(true)
}

/// Whether the folder at `path` has a private folder with a file `name`. For most folders, which are no home, two looks
/// suffice. The first is at the old place, so that a folder that is moving is not missed.
pub fn has(path: &Path, name: &str) -> bool {
    use std::io::ErrorKind::NotADirectory;
    let confirmed = || {
        let private = Dir::open(path).and_then(|home| private_of(&home)).ok().flatten();
        private.is_some_and(|private| private.find(name).is_ok_and(|found| found.is_some_and(|it| it.is_file)))
    };
    if path.join(PRIVATE).join(name).is_file() {
        return confirmed();
    }
    match std::fs::metadata(path.join(PRIVATE_FIRST).join(name)) {
        Ok(found) => found.is_file(),
        // `.git` is a file that names another folder, or `.git/indelible` is the marker.
        Err(error) if error.kind() == NotADirectory => confirmed(),
        Err(_) => false,
    }
}

/// Whether the first look found no folder.
fn is_no_folder(error: &fs::Error) -> bool {
    error.is_not_found() || matches!(error, fs::Error::Refused { .. })
}

/// The private folder of a home without a folder or a file `.git/indelible`.
fn elsewhere(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    if home.find(GIT)?.is_none() {
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

/// The private folder in the git folder, if it is there.
fn in_git(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    let looked = match git_folder(home)? {
        Some(git) => git.folder(PRIVATE_IN_GIT),
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

/// Who made the repository of a home.
enum Git {
    /// There is no repository.
    Absent,
    /// We did, or it is one that git checks nothing out from.
    Ours,
    /// The user did.
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
        // Without settings it is no repository, or a damaged one: nothing can have been checked out from it.
        // A linked work tree has a checkout even if the settings that it shares say `bare`.
        let is_bare = |line: &str| line == "bare=true" && named.is_empty();
        let ours = !lower.contains("[core]") || lines.any(|line| line == "[indelible]" || is_bare(&line));
        Ok(if ours { Git::Ours } else { Git::Theirs { folder, common } })
    }
}

/// Whether the list of ignored files has our line for `.indelible`, which earlier versions wrote. A clone does not copy that
/// list.
fn says_it_is_ours(common: &Dir) -> Result<bool, fs::Error> {
    Ok(text(common, EXCLUDE)?.lines().any(|line| line.trim() == EXCLUDED_PRIVATE))
}

/// Whether git's index of the work tree whose git folder is `folder` may have `.indelible`, or something in it. It is
/// searched as bytes, without a library, so the answer can be a false yes.
fn is_tracked(folder: &Dir, common: &Dir) -> Result<bool, fs::Error> {
    let shared = common.names()?.into_iter().filter(|name| name.starts_with("sharedindex."));
    let shared: Vec<Vec<u8>> = shared.filter_map(|name| common.content(&name, u64::MAX).ok().flatten()).collect();
    let own = folder.content("index", u64::MAX)?.unwrap_or_default();
    Ok(shared.iter().chain([&own]).any(|index| {
        // Version 4 leaves out the beginning that a path shares with the one before it.
        let short = index.get(7) == Some(&4);
        let wanted: &[&[u8]] = if short { &[b"indelible"] } else { &[b".indelible/", b".indelible\0"] };
        wanted.iter().any(|wanted| index.windows(wanted.len()).any(|it| it == *wanted))
    }))
}

/// The git folder of the work tree `home`, if it has one that can be found.
fn git_folder(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    match home.find(GIT)? {
        Some(found) if found.is_folder => home.folder(GIT).map(Some),
        Some(found) if found.is_file => {
            let named = text(home, GIT)?;
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

/// The text of the file at `path`; empty if it is missing.
fn text(dir: &Dir, path: &str) -> Result<String, fs::Error> {
    let content = match dir.content(path, BYTES_MAX) {
        Err(fs::Error::Refused { .. }) => None,
        content => content?,
    };
    Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
}
