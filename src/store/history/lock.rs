//! Waiting for somebody else's lock on a reference, and telling when nobody is left to give it back.
//!
//! Git's own programs hold such a lock for moments. A process that died with it leaves it for ever, so one that has not
//! changed for a while is moved aside; but only if it is open in no process, and no git program is at work in the
//! repository. Where that cannot be found out, it stays.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use uuid::Uuid;

use super::{Error, History};

/// Calls `attempt` until it gives something, or its lock `file` was held for as long as the options allow.
///
/// # Errors
/// Those of `attempt`, and [`Error::Locked`].
pub(super) fn waiting<T>(
    history: &History,
    file: &Path,
    mut attempt: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    let mut watched = Watched { stamp: None, since: start };
    for delay in pauses() {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        watched.look(file);
        let left = history.options.lock_wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        tracing::debug!(file = %file.display(), ?delay, "waiting for a lock");
        std::thread::sleep(delay.min(left));
    }
    if watched.is_stale(history, file) {
        set_aside(history, file, &watched);
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    Err(Error::Locked { file: file.to_owned(), waited: start.elapsed() })
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(500))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// What makes a lock file the same one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(it: &Metadata) -> Stamp {
        Stamp { device: it.dev(), inode: it.ino(), modified: (it.mtime(), it.mtime_nsec()) }
    }
}

/// A lock as it was seen over and over again.
struct Watched {
    stamp: Option<Stamp>,
    since: Instant,
}

impl Watched {
    fn look(&mut self, file: &Path) {
        let stamp = fs::symlink_metadata(file).ok().map(|it| Stamp::of(&it));
        if stamp != self.stamp {
            *self = Watched { stamp, since: Instant::now() };
        }
    }

    fn is_stale(&self, history: &History, file: &Path) -> bool {
        let enough = history.options.lock_stale_after;
        let Some(stamp) = self.stamp.filter(|_| self.since.elapsed() >= enough) else { return false };
        let Ok(now) = fs::symlink_metadata(file) else { return false };
        let age = now.modified().ok().and_then(|it| SystemTime::now().duration_since(it).ok());
        Stamp::of(&now) == stamp && age.is_some_and(|age| age >= enough) && nobody_at_work(history, stamp)
    }
}

/// Moves a stale lock to where git does not look. What turns out to be another lock by then is put back.
fn set_aside(history: &History, file: &Path, watched: &Watched) {
    let aside = history.common.join(format!("indelible-stale-lock-{}", Uuid::now_v7().simple()));
    if let Err(error) = fs::rename(file, &aside) {
        tracing::warn!(file = %file.display(), %error, "a stale lock could not be moved aside");
        return;
    }
    let moved = fs::symlink_metadata(&aside).ok().map(|it| Stamp::of(&it));
    if moved == watched.stamp {
        tracing::warn!(file = %file.display(), aside = %aside.display(), "moved a stale lock aside");
    } else {
        // A link, unlike a rename, never takes the place of a newer lock.
        let _ = fs::hard_link(&aside, file).and_then(|()| fs::remove_file(&aside));
    }
}

/// Whether no process has the lock open, and none that could give it back is at work in the repository.
#[cfg(target_os = "linux")]
fn nobody_at_work(history: &History, lock: Stamp) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let folders: Vec<PathBuf> =
        [&history.home, &history.common].into_iter().filter_map(|it| fs::canonicalize(it).ok()).collect();
    !processes
        .flatten()
        .map(|it| it.path())
        .filter(|it| is_process(it))
        .any(|process| has_open(&process, lock) || (is_git(&process) && may_work_in(&process, &folders)))
}

#[cfg(not(target_os = "linux"))]
fn nobody_at_work(_: &History, _: Stamp) -> bool {
    false
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What cannot be looked into counts as not open: it is then judged by its name alone.
fn has_open(process: &Path, lock: Stamp) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().filter_map(|it| fs::metadata(it.path()).ok()).any(|it| Stamp::of(&it) == lock)
}

fn is_git(process: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let name = name.trim();
    matches!(name, "git" | "jj" | "tig" | "gitk" | "lazygit" | "gitui") || name.starts_with("git-")
}

/// Whether a process is in one of the folders or was told of one. One that cannot be looked into may be.
fn may_work_in(process: &Path, folders: &[PathBuf]) -> bool {
    let Ok(cwd) = fs::read_link(process.join("cwd")) else { return !has_ended(process) };
    let told = fs::read(process.join("cmdline")).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    folders.iter().any(|folder| cwd.starts_with(folder) || told.contains(&*folder.to_string_lossy()))
}

/// A process that is gone, or a zombie, gives nothing back.
fn has_ended(process: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return true };
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
