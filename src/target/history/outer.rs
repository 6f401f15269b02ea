//! A home with a repository of its own, in a folder of somebody's.
//!
//! The home's `.git` is bare, and git takes a folder with such a one for a broken submodule: `status`, `diff`, `commit -a`
//! and `stash` of the repository around it would fail. A line for exactly the home's folder in that repository's own list of
//! ignored files keeps git out of it. It is there before the home's `.git` is.
//!
//! It cannot be where the repository tracks something in that folder, since git would refuse to add to that; nor where its
//! `.gitignore` says otherwise, or somebody else owns it. Then no home is made, and its owner is told what can be done.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the list is replaced | the old list, a new one beside it | `init` again |
//! | after it | a line that names a folder that is not there yet | `init` again |

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Index, Pathspec, PathspecFlags, Repository};

use super::modes::Modes;
use super::setup::{self, EXCLUDED};
use super::{Error, plain};
use crate::fs::os;
use crate::model::text;

/// The repository that a home lies in.
#[derive(Debug)]
struct Outer {
    /// Its work tree.
    root: PathBuf,
    /// What its work trees share.
    common: PathBuf,
    /// The home, relative to the work tree, as git spells paths.
    home: String,
}

/// Sees to it that the git commands of a repository around `home` work as before once there is a home. Where there is none,
/// or the home is in a repository itself, nothing is done.
///
/// # Errors
/// [`Error::Inside`] where that cannot be, and nothing was changed; [`Error::Io`] if the list cannot be replaced.
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

/// As [`make_room`], for a home that is there: what can be done is done, and what it writes is ignored by name where its
/// folder cannot be.
///
/// # Errors
/// [`Error::Io`] if the list cannot be replaced.
pub(super) fn keep_room(home: &Path) -> Result<(), Error> {
    match make_room(home) {
        Err(Error::Inside { .. }) => {
            let Some(outer) = Outer::around(&real(home))?.filter(Outer::tracks) else { return Ok(()) };
            if outer.tracks_it_as_one() {
                // Taken out of its index, it is not added again.
                return outer.add(&[outer.line()]);
            }
            let folder = outer.line();
            let folder = folder.trim_end_matches('/');
            let lines = EXCLUDED.iter().chain(&["/.indelible/"]).map(|line| format!("{folder}{line}"));
            outer.add(&lines.collect::<Vec<_>>())
        }
        done => done,
    }
}

/// What the owner of a repository around the home can do that added it as it is, before there was a line for it: git takes
/// it for a submodule then, and fails. `None` where nobody did.
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
    /// The nearest repository above `home` that has a work tree; ours are looked behind.
    fn around(home: &Path) -> Result<Option<Outer>, Error> {
        for root in home.ancestors().skip(1) {
            let git = root.join(".git");
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
                let why = "no list of ignored files of ours can name that folder; choose another name".to_owned();
                return Err(Error::Inside { home: home.to_owned(), repository: root.to_owned(), why });
            };
            return Ok(Some(Outer { root: root.to_owned(), common, home: parts.join("/") }));
        }
        Ok(None)
    }

    /// The repository; `None` where libgit2 cannot open it, or would wait for ever for what is in it.
    fn open(&self) -> Option<Repository> {
        setup::prepare();
        let (git, home) = (self.root.join(".git"), self.root.join(&self.home));
        let mut folders = home.ancestors().take_while(|it| it.starts_with(&self.root));
        let is_plain = [&git, &self.common].iter().all(|folder| plain::check(&self.root, folder).is_ok())
            && !folders.any(|folder| plain::is_odd(&folder.join(".gitignore")));
        let repository = if is_plain { Repository::open(&self.root).ok()? } else { return None };
        let listed = repository.config().and_then(|config| config.get_path("core.excludesfile")).ok();
        listed.is_none_or(|listed| !plain::is_odd(&self.root.join(listed))).then_some(repository)
    }

    /// The line that names the home's folder and nothing else.
    fn line(&self) -> String {
        let escaped = |c: char| if matches!(c, '\\' | '*' | '?' | '[') { format!("\\{c}") } else { c.to_string() };
        format!("/{}/", self.home.chars().map(escaped).collect::<String>())
    }

    fn has_line(&self) -> Result<bool, Error> {
        let list = setup::excluded(&self.common)?.unwrap_or_default();
        let line = self.line();
        // What libgit2 cannot open cannot be asked whether its .gitignore says otherwise.
        let is_there = list.split(|&byte| byte == b'\n').any(|it| it.trim_ascii_end() == line.as_bytes());
        Ok(is_there && self.open().is_none())
    }

    /// Whether git leaves the home's folder alone.
    fn ignores(&self) -> bool {
        let ignored = self.open().and_then(|it| it.is_path_ignored(format!("{}/", self.home)).ok()).unwrap_or(false);
        ignored && !self.is_unignored() && !self.tracks()
    }

    /// Whether a `.gitignore` says that the home's folder is not ignored, which git prefers to the list of ours. libgit2
    /// passes over such a line where nothing before it in the same file ignores the folder.
    fn is_unignored(&self) -> bool {
        let home = self.root.join(&self.home);
        for folder in home.ancestors().skip(1).take_while(|it| it.starts_with(&self.root)) {
            let rules = plain::content(&folder.join(".gitignore")).ok().flatten().unwrap_or_default();
            let rules = String::from_utf8_lossy(&rules);
            let path = home.strip_prefix(folder).unwrap_or(&home);
            if let Some(last) = rules.lines().rev().find(|line| names(line.trim_start_matches('!').trim_end(), path)) {
                return last.starts_with('!');
            }
        }
        false
    }

    /// Whether any work tree tracks something in the home's folder, or where it is.
    fn tracks(&self) -> bool {
        let folder = format!("{}/", self.home);
        let is_in = |path: &[u8]| path == self.home.as_bytes() || path.starts_with(folder.as_bytes());
        let linked = fs::read_dir(self.common.join("worktrees")).into_iter().flatten().flatten();
        let indexes = linked.map(|it| it.path()).chain([self.common.clone()]).map(|it| it.join("index"));
        indexes.filter(|path| path.is_file()).any(|path| match Index::open(&path) {
            Ok(index) => index.iter().any(|entry| is_in(&entry.path)),
            // Of a kind that libgit2 cannot read; its paths are in it as they are.
            Err(_) => plain::content(&path)
                .is_ok_and(|bytes| bytes.unwrap_or_default().windows(folder.len()).any(|it| it == folder.as_bytes())),
        })
    }

    /// Whether its own work tree tracks the home as a repository in a repository.
    fn tracks_it_as_one(&self) -> bool {
        let index = self.open().and_then(|it| it.index().ok());
        let entry = index.and_then(|index| index.get_path(Path::new(&self.home), 0));
        entry.is_some_and(|entry| entry.mode == u32::from(git2::FileMode::Commit))
    }

    fn modes(&self) -> Modes {
        let modes = self.open().and_then(|it| Modes::of(&it, false).ok());
        modes.unwrap_or(Modes::THEIRS)
    }

    /// Adds those of `lines` that the list does not have.
    fn add(&self, lines: &[String]) -> Result<(), Error> {
        setup::sweep_excluded(&self.common)?;
        setup::add_excluded(&self.common, self.modes(), lines)
    }
}

/// Whether the rule `rule` of a `.gitignore` names the folder `path`, as far as can be told; rather too often.
fn names(rule: &str, path: &Path) -> bool {
    let rule = rule.trim_end_matches('/');
    if rule.is_empty() || rule.starts_with('#') {
        return false;
    }
    let named = if rule.contains('/') { path } else { path.file_name().map_or(path, Path::new) };
    let pattern = rule.trim_start_matches('/').trim_start_matches("**/");
    Pathspec::new([pattern]).is_ok_and(|it| it.matches_path(named, PathspecFlags::DEFAULT))
}

/// Whether git takes the folder `path` itself for a repository, a bare one or a `.git`. A `.git` in it would come first: what
/// is pushed there would go into ours.
fn is_git_folder(path: &Path) -> bool {
    path.join("HEAD").is_file() && ["objects", "refs"].iter().all(|name| path.join(name).is_dir())
}

/// Whether the home at `path` has no repository, or one of ours.
fn is_ours_or_absent(path: &Path) -> bool {
    match setup::is_absent(path) {
        Ok(true) => true,
        _ => setup::open(path).and_then(|it| setup::is_owned(&it)).unwrap_or(false),
    }
}

/// `path` without symbolic links, as far as it is there.
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
