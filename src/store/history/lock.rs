//! Waiting for somebody else's lock on a reference, and telling when nobody is left to give it back.
//!
//! Git's own programs hold such a lock for moments. A process that died with it leaves it for ever, so one that has not
//! changed for a while is moved aside; but only if it is open in no process, and no git program is at work in the
//! repository. Where that cannot be found out, it stays.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use uuid::Uuid;

use super::{DoingAt as _, Error, History};
use crate::fs::order::{self, Held, Lock};
use crate::fs::os::{self, Stamp, somebody_at_work};

/// Calls `attempt` until it gives something, or its lock `file` was held for as long as the options allow.
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
        if claim.is_orphan(file) {
            tracing::info!(file = %file.display(), "took away the lock of a process of ours that died");
            fs::remove_file(file).doing_at("taking away a dead process's lock", file)?;
            continue;
        }
        let left = history.options.lock_wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        if !std::mem::replace(&mut told, true) {
            history.waits.fetch_add(1, Ordering::Relaxed);
            tracing::info!(file = %file.display(), "waiting for somebody else's lock");
        }
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

/// Says which lock on a reference is ours, in a file that its maker has locked for as long as it lives.
///
/// | killed | on disk | repaired by |
/// | --- | --- | --- |
/// | before [`Claim::mark`] | a lock that could be anybody's | it is waited for until it is stale |
/// | after it | a lock, and a claim on it that nobody has locked | the next to claim takes the lock away at once |
/// | after the lock went | a claim on no lock | the next one takes its place |
pub(super) struct Claim {
    file: fs::File,
    /// The lock that a dead process claimed.
    left_behind: String,
    _held: Held,
}

const CLAIM: &str = "indelible-lock";

impl Claim {
    /// Claims the right to lock references of ours, before anything is locked.
    pub(super) fn take(history: &History) -> Result<Claim, Error> {
        let held = order::take(Lock::Branch);
        let path = history.common.join(CLAIM);
        let mut file = os::open_itself(&path).doing_at("claiming a lock", &path)?;
        if !os::is_plain_and_alone(&file).doing_at("claiming a lock", &path)? {
            return Err(Error::Unsupported {
                home: history.home.clone(),
                what: format!("its {CLAIM} is not a plain file of its own"),
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
        let mut left_behind = String::new();
        let _ = (&mut file).take(200).read_to_string(&mut left_behind);
        Ok(Claim { file, left_behind, _held: held })
    }

    /// Claims the lock `lock`, which this process has just taken. Without a claim it is a lock all the same.
    pub(super) fn mark(&self, lock: &Path) {
        if let Some(text) = os::lasting_identity(lock) {
            let mut file = &self.file;
            let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        }
    }

    /// Whether the lock `lock` belongs to a process of ours that is dead: the claim says so, and is in our hands.
    fn is_orphan(&self, lock: &Path) -> bool {
        !self.left_behind.is_empty() && os::lasting_identity(lock).is_some_and(|identity| identity == self.left_behind)
    }
}

/// Takes away the lock that a process of ours died with, if there is one. Returns how many there were.
pub(super) fn sweep(history: &History) -> Result<usize, Error> {
    let claim = Claim::take(history)?;
    let anchors = fs::read_dir(history.common.join("refs/indelible")).into_iter().flatten().flatten();
    let anchors = anchors.map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "lock"));
    let branch = history.common.join(format!("{}.lock", history.branch));
    let mut swept = 0;
    for lock in anchors.chain([branch]).filter(|lock| claim.is_orphan(lock)) {
        fs::remove_file(&lock).doing_at("taking away a dead process's lock", &lock)?;
        swept += 1;
    }
    Ok(swept)
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
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

/// A lock as it was seen over and over again.
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

    fn is_stale(&self, history: &History, file: &Path) -> bool {
        let enough = history.options.lock_stale_after;
        let Some(stamp) = self.stamp.filter(|_| self.since.elapsed() >= enough) else { return false };
        Stamp::of_itself(file).is_ok_and(|now| now == stamp) && nobody_at_work(history, stamp)
    }
}

/// Moves a stale lock to where git does not look. What turns out to be another lock by then is put back.
fn set_aside(history: &History, file: &Path, watched: &Watched) {
    let aside = history.common.join(format!("indelible-stale-lock-{}", Uuid::now_v7().simple()));
    if let Err(error) = fs::rename(file, &aside) {
        tracing::warn!(file = %file.display(), %error, "a stale lock could not be moved aside");
        return;
    }
    let moved = Stamp::of_itself(&aside).ok();
    if moved == watched.stamp {
        tracing::warn!(file = %file.display(), aside = %aside.display(), "moved a stale lock aside");
    } else {
        // A link, unlike a rename, never takes the place of a newer lock.
        let _ = fs::hard_link(&aside, file).and_then(|()| fs::remove_file(&aside));
    }
}

/// Whether no process has the lock open, and none that could give it back is at work in the repository.
fn nobody_at_work(history: &History, lock: Stamp) -> bool {
    let folders = [&history.home, &history.common].into_iter().filter_map(|it| os::real_path(it).ok());
    !somebody_at_work(&folders.collect::<Vec<_>>(), |it| *it == lock)
}
