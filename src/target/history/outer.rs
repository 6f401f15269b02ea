//! A home with a repository of its own, in a folder of a user's repository.
//!
//! The home's `.git` is bare, and git treats a folder with a bare `.git` as a broken submodule: `status`, `diff`,
//! `commit -a` and `stash` of the outer repository would fail. One line in the outer repository's `info/exclude`, for
//! exactly the home's folder, makes git skip it. The line is written before the home's `.git` exists.
//!
//! The line cannot be used if the outer repository tracks something in that folder, since git would refuse to add to
//! that; nor if the outer repository's `.gitignore` overrides it, or another user owns the repository. In these cases
//! no home is made, and its owner is told what to do.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the list is replaced | the old list, a new one beside it | a retry of `init` |
//! | after it | a line for a folder that does not exist yet | a retry of `init` |

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Index, Pathspec, PathspecFlags, Repository};

use super::modes::Modes;
use super::setup;
use super::{Error, plain};
use crate::fs::os;
use crate::model::layout::{EXCLUDED, EXCLUDED_PRIVATE, GIT, GITIGNORE};
use crate::model::text;

/// The repository that a home lies in.
#[derive(Debug)]
struct Outer {
    /// Its work tree.
    root: PathBuf,
    /// The folder that its work trees share.
    common: PathBuf,
    /// The home, relative to the work tree, as git spells paths.
    home: String,
}

/// Makes sure that the git commands of a repository around `home` keep working once there is a home. Does nothing if
/// there is no such repository, or if the home is in a repository itself.
///
/// # Errors
/// [`Error::Inside`] if that is impossible, and nothing was changed; [`Error::Io`] if the list cannot be replaced.
pub fn make_room(home: &Path) -> Result<(), Error> {
    let home = &real(home);
    if !is_ours_or_absent(home) {
        return Ok(());
    }
    if is_git_folder(home) {
        let why =
            "it is that folder, and git would take the home's repository for it; choose another folder".to_owned();
        return Err(Error::Inside { home: home.clone(), repository: home.clone(), why });
    }
    let Some(outer) = Outer::around(home)? else { return Ok(()) };
    let refusal = |why: &str| Error::Inside { home: home.clone(), repository: outer.root.clone(), why: why.to_owned() };
    if outer.ignores() || outer.has_line()? {
        return Ok(());
    }
    if outer.tracks() {
        let other =
            "make the home of the whole repository instead (`indelible init` there), or in a folder without such files";
        return Err(refusal(&format!("it tracks files in that folder; {other}")));
    }
    if outer.home.contains(['\n', '\r']) {
        return Err(refusal("no list of ignored files can name that folder; choose another name"));
    }
    let theirs = fs::metadata(&outer.common).ok().and_then(|it| os::mode_and_owner(&it));
    if theirs.is_some_and(|(_, owner)| owner != os::user()) {
        let line = outer.line();
        return Err(refusal(&format!(
            "it belongs to another user; have its owner add the line {line} to its .git/info/exclude"
        )));
    }
    let before = setup::excluded(&outer.common)?;
    outer.add(&[outer.line()])?;
    if outer.ignores() || outer.open().is_none() {
        return Ok(());
    }
    setup::put_back_excluded(&outer.common, outer.modes(), before.as_deref())?;
    Err(refusal("its .gitignore says that nothing in that folder is ignored; take that out, or choose another folder"))
}

/// As [`make_room`], for an existing home: does what is possible. If the home's folder cannot be ignored, the files
/// that the home writes are ignored by name.
///
/// # Errors
/// [`Error::Io`] if the list cannot be replaced.
pub(super) fn keep_room(home: &Path) -> Result<(), Error> {
    match make_room(home) {
        Err(Error::Inside { .. }) => {
            let Some(outer) = Outer::around(&real(home))?.filter(Outer::tracks) else { return Ok(()) };
            if outer.tracks_it_as_one() {
                // Once removed from the outer index, it is not added again.
                return outer.add(&[outer.line()]);
            }
            let folder = outer.line();
            let folder = folder.trim_end_matches('/');
            let lines = EXCLUDED.iter().chain([&EXCLUDED_PRIVATE]).map(|line| format!("{folder}{line}"));
            outer.add(&lines.collect::<Vec<_>>())
        }
        done => done,
    }
}

/// Advice for the owner of a repository around the home who added the home before there was a line for it: git treats
/// it as a submodule then, and fails. `None` if it was not added.
pub(super) fn advice(home: &Path) -> Option<String> {
    let outer = Outer::around(&real(home)).ok()??;
    let git = format!("git -C {}", text::shell_path(&outer.root));
    outer.tracks_it_as_one().then(|| {
        format!(
            "the git repository around it took this home in, and its own commands fail; to mend that: {git} rm -q --cached -f {}",
            text::shell_path(Path::new(&outer.home))
        )
    })
}

impl Outer {
    /// The nearest repository above `home` that has a work tree; our own are skipped.
    fn around(home: &Path) -> Result<Option<Outer>, Error> {
        for root in home.ancestors().skip(1) {
            let git = root.join(GIT);
            let Ok(found) = fs::metadata(&git) else { continue };
            let folder = match found.is_dir() {
                true => git,
                false => match plain::text(&git).strip_prefix("gitdir:") {
                    Some(named) => root.join(named.trim()),
                    None => continue,
                },
            };
            if !folder.join("HEAD").exists() {
                continue;
            }
            let named = plain::text(&folder.join("commondir"));
            let common = folder.join(named.trim());
            let config = plain::text(&common.join("config")).to_ascii_lowercase();
            let mut lines = config.lines().map(|line| line.split_whitespace().collect::<String>());
            if lines.any(|line| line == "[indelible]" || line == "bare=true" && named.is_empty()) {
                continue;
            }
            let relative = home.strip_prefix(root).unwrap_or(home);
            let parts: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
            let Some(parts) = parts else {
                let why = "the list of ignored files cannot name that folder; choose another name".to_owned();
                return Err(Error::Inside { home: home.to_owned(), repository: root.to_owned(), why });
            };
            return Ok(Some(Outer { root: root.to_owned(), common, home: parts.join("/") }));
        }
        Ok(None)
    }

    /// The repository; `None` if libgit2 cannot open it, or would block forever on something in it.
    fn open(&self) -> Option<Repository> {
        setup::prepare();
        let (git, home) = (self.root.join(GIT), self.root.join(&self.home));
        let mut folders = home.ancestors().take_while(|it| it.starts_with(&self.root));
        let is_plain = [&git, &self.common].iter().all(|folder| plain::check(&self.root, folder).is_ok())
            && !folders.any(|folder| plain::is_odd(&folder.join(GITIGNORE)));
        let repository = if is_plain { Repository::open(&self.root).ok()? } else { return None };
        let listed = repository.config().and_then(|config| config.get_path("core.excludesfile")).ok();
        listed.is_none_or(|listed| !plain::is_odd(&self.root.join(listed))).then_some(repository)
    }

    /// The line that matches the home's folder and nothing else.
    fn line(&self) -> String {
        let escaped = |c: char| if matches!(c, '\\' | '*' | '?' | '[') { format!("\\{c}") } else { c.to_string() };
        format!("/{}/", self.home.chars().map(escaped).collect::<String>())
    }

    fn has_line(&self) -> Result<bool, Error> {
        let list = setup::excluded(&self.common)?.unwrap_or_default();
        let line = self.line();
        // If libgit2 cannot open the repository, its .gitignore cannot be checked.
        let is_there = list.split(|&byte| byte == b'\n').any(|it| it.trim_ascii_end() == line.as_bytes());
        Ok(is_there && self.open().is_none())
    }

    /// Whether git ignores the home's folder.
    fn ignores(&self) -> bool {
        let ignored = self.open().and_then(|it| it.is_path_ignored(format!("{}/", self.home)).ok()).unwrap_or(false);
        ignored && !self.is_unignored() && !self.tracks()
    }

    /// Whether a `.gitignore` un-ignores the home's folder; git prefers it to `info/exclude`. libgit2 skips such a
    /// line if no earlier line in the same file ignores the folder.
    fn is_unignored(&self) -> bool {
        let home = self.root.join(&self.home);
        for folder in home.ancestors().skip(1).take_while(|it| it.starts_with(&self.root)) {
            let rules = plain::content(&folder.join(GITIGNORE)).ok().flatten().unwrap_or_default();
            let rules = String::from_utf8_lossy(&rules);
            let path = home.strip_prefix(folder).unwrap_or(&home);
            if let Some(last) = rules.lines().rev().find(|line| names(line.trim_start_matches('!').trim_end(), path)) {
                return last.starts_with('!');
            }
        }
        false
    }

    /// Whether any work tree tracks something in the home's folder, or at its path.
    fn tracks(&self) -> bool {
        let folder = format!("{}/", self.home);
        let is_in = |path: &[u8]| path == self.home.as_bytes() || path.starts_with(folder.as_bytes());
        let linked = fs::read_dir(self.common.join("worktrees")).into_iter().flatten().flatten();
        let indexes = linked.map(|it| it.path()).chain([self.common.clone()]).map(|it| it.join("index"));
        indexes.filter(|path| path.is_file()).any(|path| match Index::open(&path) {
            Ok(index) => index.iter().any(|entry| is_in(&entry.path)),
            // A kind of index that libgit2 cannot read; the paths in it are plain bytes.
            Err(_) => plain::content(&path)
                .is_ok_and(|bytes| bytes.unwrap_or_default().windows(folder.len()).any(|it| it == folder.as_bytes())),
        })
    }

    /// Whether its own work tree tracks the home as a nested repository.
    fn tracks_it_as_one(&self) -> bool {
        let index = self.open().and_then(|it| it.index().ok());
        let entry = index.and_then(|index| index.get_path(Path::new(&self.home), 0));
        entry.is_some_and(|entry| entry.mode == u32::from(git2::FileMode::Commit))
    }

    fn modes(&self) -> Modes {
        let modes = self.open().and_then(|it| Modes::of(&it, false).ok());
        modes.unwrap_or(Modes::THEIRS)
    }

    /// Adds those of `lines` that the list lacks.
    fn add(&self, lines: &[String]) -> Result<(), Error> {
        setup::sweep_excluded(&self.common)?;
        setup::add_excluded(&self.common, self.modes(), lines)
    }
}

/// Whether the rule `rule` of a `.gitignore` names the folder `path`, as far as can be told; errs on the side of yes.
fn names(rule: &str, path: &Path) -> bool {
    let rule = rule.trim_end_matches('/');
    if rule.is_empty() || rule.starts_with('#') {
        return false;
    }
    let named = if rule.contains('/') { path } else { path.file_name().map_or(path, Path::new) };
    let pattern = rule.trim_start_matches('/').trim_start_matches("**/");
    Pathspec::new([pattern]).is_ok_and(|it| it.matches_path(named, PathspecFlags::DEFAULT))
}

/// Whether git takes the folder `path` itself for a repository, a bare one or a `.git`. A `.git` in it would take
/// precedence: pushes there would go into ours.
fn is_git_folder(path: &Path) -> bool {
    path.join("HEAD").is_file() && ["objects", "refs"].iter().all(|name| path.join(name).is_dir())
}

/// Whether the home at `path` has no repository, or one that we made.
fn is_ours_or_absent(path: &Path) -> bool {
    match setup::is_absent(path) {
        Ok(true) => true,
        _ => setup::open(path, &plain::Passed::default()).and_then(|it| setup::is_owned(&it)).unwrap_or(false),
    }
}

/// `path` with symbolic links resolved, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let Ok(real) = os::real_path(above) {
            let rest = path.strip_prefix(above).ok().filter(|rest| !rest.as_os_str().is_empty());
            return rest.map_or_else(|| real.clone(), |rest| real.join(rest));
        }
    }
    path
}
