//! Locks on references: waiting for a held lock, and removing a stale one.
//!
//! Git's own programs hold such a lock for moments. If a process dies with it, the lock stays forever. A lock is stale
//! if one of these holds:
//!
//! 1. The claim names it, and the claim's own lock is free: a process of this program made it and is dead.
//! 2. No process of this program has claimed anything since the machine was started, and no process has the lock open
//!    or is a git program at work in the repository: the lock is from before the boot. A power cut can leave a lock
//!    and lose the claim on it, which is never synced.
//! 3. It has not changed for a while, and no process has it open or is a git program at work in the repository.
//! 4. As 3, where processes cannot be inspected, if no claim was made since the boot and the lock is older than the
//!    boot by its file system's clock.
//!
//! Nothing here is durable, nor needs to be: libgit2 and git make locks by path, and a power cut may remove or keep
//! any of them. So this is the one part of the history that works by path and not through [`crate::fs::Dir`].
//!
//! Any other lock stays. A stale lock of another program is moved aside and not deleted, unless it holds only the name
//! of a commit.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::{DoingAt as _, Error, History, note};
use crate::fs::order::{self, Held, Lock};
use crate::fs::os::{self, Stamp};
use crate::model::layout::LOCK_CLAIM;

/// Retries `attempt` until it returns something, or its lock `file` was held for as long as the options allow.
///
/// # Errors
/// Those of `attempt`, and [`Error::Locked`].
pub(super) fn waiting<T>(
    history: &History,
    claim: &Claim,
    file: &Path,
    mut attempt: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    let mut watched = Watched { stamp: None, since: start };
    let mut told = false;
    for delay in pauses() {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        watched.look(file);
        if claim.is_left_behind(file) {
            tracing::info!(file = %file.display(), "removed the lock of a worker that died");
            fs::remove_file(file).doing_at("taking away a dead process's lock", file)?;
            continue;
        }
        let left = history.options.lock_wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        if !std::mem::replace(&mut told, true) {
            history.waits.fetch_add(1, Ordering::Relaxed);
            tracing::info!(file = %file.display(), "waiting for another program's lock");
        }
        std::thread::sleep(delay.min(left));
    }
    if watched.is_stale(history, claim, file) {
        set_aside(history, file, watched.stamp);
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    Err(Error::Locked { file: file.to_owned(), waited: start.elapsed() })
}

/// Records which lock on a reference is this program's: a per-user file that the claiming process keeps locked while
/// it lives.
///
/// The first line is the id of the boot in which it was written, the second the identity of the lock. It is never
/// synced: a process that dies loses nothing of it, and after a power cut its first line is not this boot's.
///
/// | killed | on disk | repaired by |
/// | --- | --- | --- |
/// | before [`Claim::mark`] | a lock that could be any program's | the next wait, once it is stale |
/// | after it | a lock, and a claim on it that no process has locked | the next claim removes the lock at once |
/// | after the lock is gone | a claim on no lock | the next claim replaces it |
/// | power cut, at any of these | a lock or none; an older claim, an empty one or none | the next boot's first claim |
/// | before that removed all stale locks | an older claim, or one without a boot | that boot's next claim |
pub(super) struct Claim {
    file: fs::File,
    /// The lock that a dead process claimed.
    left_behind: String,
    /// This boot, once no lock of an earlier one is left; empty until then.
    boot: String,
    _held: Held,
}

/// The claim in a new repository: its name and its content. It exists from the first commit on, so that a lock left by
/// a power cut can be told from one that was just made.
pub(super) fn first_claim() -> (&'static str, String) {
    (LOCK_CLAIM, format!("{}\n", os::boot_id()))
}

/// Opens this user's file for claims, and says whether it is new: if nothing was ever claimed, no lock is left from a
/// claim. If several users share a repository, each has a file that only they can open. A claim identifies this user's
/// locks only; another user's lock becomes stale like that of any program.
fn open(common: &Path) -> Result<(PathBuf, bool, fs::File), Error> {
    let open = |path: PathBuf| {
        let is_first = !path.exists();
        os::open_itself(&path).map(|file| (path, is_first, file))
    };
    let path = common.join(LOCK_CLAIM);
    match open(path.clone()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
            let path = common.join(format!("{LOCK_CLAIM}-{}", os::user()));
            open(path.clone()).doing_at("claiming a lock", &path)
        }
        opened => opened.doing_at("claiming a lock", &path),
    }
}

impl Claim {
    /// Claims the right to lock our references, before any lock is taken. The first claim after a boot removes the
    /// locks that an earlier boot left.
    pub(super) fn take(history: &History) -> Result<Claim, Error> {
        let held = order::take(Lock::Branch);
        let (path, is_first, mut file) = open(&history.common)?;
        if !os::is_plain_and_alone(&file).doing_at("claiming a lock", &path)? {
            return Err(Error::Unsupported {
                home: history.home.clone(),
                what: format!("its {LOCK_CLAIM} is not a plain file of its own"),
            });
        }
        let start = Instant::now();
        for delay in pauses() {
            match os::try_lock(&file) {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < history.options.lock_wait => {
                    std::thread::sleep(delay);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::Locked { file: path, waited: start.elapsed() });
                }
                Err(fs::TryLockError::Error(error)) => return Err(error).doing_at("claiming a lock", &path),
            }
        }
        let mut text = String::new();
        let _ = (&mut file).take(200).read_to_string(&mut text);
        let (boot, left_behind) = text.split_once('\n').unwrap_or_default();
        let this_boot = os::boot_id();
        let is_new_boot = !is_first && (boot.is_empty() || boot != this_boot);
        let mut claim = Claim { file, left_behind: left_behind.to_owned(), boot: this_boot, _held: held };
        if is_new_boot {
            claim.begin_boot(history);
        }
        Ok(claim)
    }

    /// Removes every lock of an earlier boot. If one stays, the next claim retries.
    fn begin_boot(&mut self, history: &History) {
        // The write gives the claim a timestamp, by the same clock that stamps the locks.
        let this_boot = std::mem::take(&mut self.boot);
        self.write(&self.left_behind);
        let mut all_gone = true;
        for lock in locks(history) {
            match Stamp::of_itself(&lock) {
                Ok(stamp) if !self.is_left_behind(&lock) => {
                    if no_process_at_work(history, stamp) {
                        set_aside(history, &lock, Some(stamp));
                    }
                    all_gone &= !lock.exists();
                }
                // Another process removes it by its claim.
                _ => {}
            }
        }
        if all_gone {
            self.boot = this_boot;
        }
    }

    /// Claims the lock `lock`, which this process has just taken. Without a claim it still is a lock.
    pub(super) fn mark(&self, lock: &Path) {
        if let Some(identity) = os::lasting_identity(lock) {
            self.write(&identity);
        }
    }

    fn write(&self, identity: &str) {
        let (mut file, text) = (&self.file, format!("{}\n{identity}", self.boot));
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    }

    /// Whether the lock `lock` belongs to a dead process of this program: the claim names it, and this process holds
    /// the claim.
    fn is_left_behind(&self, lock: &Path) -> bool {
        !self.left_behind.is_empty() && os::lasting_identity(lock).is_some_and(|identity| identity == self.left_behind)
    }

    /// Whether the lock `lock` is older than this boot, as far as clocks can tell.
    fn is_from_before_boot(&self, lock: &Path) -> bool {
        let now = self.file.metadata().and_then(|found| found.modified());
        self.boot.is_empty() && now.is_ok_and(|now| os::is_older_than_boot(lock, now))
    }
}

/// Removes the lock that a dead process of this program left, if any. Returns how many there were.
pub(super) fn sweep(history: &History) -> Result<usize, Error> {
    let claim = Claim::take(history)?;
    let mut swept = 0;
    for lock in our_locks(history).into_iter().filter(|lock| claim.is_left_behind(lock)) {
        fs::remove_file(&lock).doing_at("taking away a dead process's lock", &lock)?;
        swept += 1;
    }
    Ok(swept)
}

/// The paths of the locks on our references.
fn our_locks(history: &History) -> Vec<PathBuf> {
    let mut found = Vec::new();
    locks_beneath(&history.common.join("refs/indelible"), &mut found);
    let pointer = note::noted(&history.home);
    found.extend(pointer.iter().chain([&history.branch]).map(|name| history.common.join(format!("{name}.lock"))));
    found
}

/// The locks that end with a boot: ours and, in a repository that we made, those of git programs too.
fn locks(history: &History) -> Vec<PathBuf> {
    if !history.owned {
        return our_locks(history);
    }
    let mut found = Vec::new();
    for folder in ["refs", "objects/info"] {
        locks_beneath(&history.common.join(folder), &mut found);
    }
    for folder in ["", "objects/pack"] {
        locks_in(&history.common.join(folder), &mut found);
    }
    found
}

/// Adds the locks in `folder` to `found`; returns its subfolders.
fn locks_in(folder: &Path, found: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folders.push(entry.path()),
            Ok(kind) if kind.is_file() && entry.path().extension().is_some_and(|it| it == "lock") => {
                found.push(entry.path());
            }
            _ => {}
        }
    }
    folders
}

fn locks_beneath(folder: &Path, found: &mut Vec<PathBuf>) {
    for folder in locks_in(folder, found) {
        locks_beneath(&folder, found);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.write("");
        os::unlock(&self.file);
    }
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

/// A lock under observation across retries.
struct Watched {
    stamp: Option<Stamp>,
    since: Instant,
}

impl Watched {
    fn look(&mut self, file: &Path) {
        let stamp = Stamp::of_itself(file).ok();
        if stamp != self.stamp {
            *self = Watched { stamp, since: Instant::now() };
        }
    }

    fn is_stale(&self, history: &History, claim: &Claim, file: &Path) -> bool {
        let enough = history.options.lock_stale_after;
        let Some(stamp) = self.stamp.filter(|_| self.since.elapsed() >= enough) else { return false };
        Stamp::of_itself(file).is_ok_and(|now| now == stamp)
            && (no_process_at_work(history, stamp) || claim.is_from_before_boot(file))
    }
}

/// The longest content of a reference's lock: a commit's name in its longer form, and a newline.
const NAME_BYTES_MAX: u64 = 65;

/// Moves a stale lock to where git does not look, or removes it if it holds nothing worth keeping. If it turns out to
/// be a different lock by then, it is put back.
fn set_aside(history: &History, file: &Path, seen: Option<Stamp>) {
    let aside = history.common.join(format!("indelible-stale-lock-{}", crate::random::timed_id().simple()));
    if let Err(error) = fs::rename(file, &aside) {
        tracing::warn!(file = %file.display(), %error, "a stale lock could not be moved aside");
        return;
    }
    if Stamp::of_itself(&aside).ok() != seen {
        // A hard link, unlike a rename, never replaces a newer lock.
        let _ = fs::hard_link(&aside, file).and_then(|()| fs::remove_file(&aside));
    } else if names_a_commit(&aside) && fs::remove_file(&aside).is_ok() {
        tracing::warn!(file = %file.display(), "removed a stale lock");
    } else {
        tracing::warn!(file = %file.display(), aside = %aside.display(), "moved a stale lock aside");
    }
}

/// Whether the file holds only the name of a commit, or nothing.
fn names_a_commit(file: &Path) -> bool {
    let is_short = fs::symlink_metadata(file).is_ok_and(|found| found.is_file() && found.len() <= NAME_BYTES_MAX);
    let is_hex = |text: Vec<u8>| text.trim_ascii_end().iter().all(u8::is_ascii_hexdigit);
    is_short && fs::read(file).is_ok_and(is_hex)
}

/// Whether no process has the lock open, and no process that could release it is at work in the repository.
fn no_process_at_work(history: &History, lock: Stamp) -> bool {
    let folders = [&history.home, &history.common].into_iter().filter_map(|it| os::real_path(it).ok());
    !os::may_be_at_work(&folders.collect::<Vec<_>>(), |it| *it == lock)
}
