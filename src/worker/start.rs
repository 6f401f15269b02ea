//! Who may start a worker if no service manager does: one recorder or hook a minute.
//!
//! A file's time is the time of the last attempt. A recorder that finds it old and gets its lock without waiting makes
//! the next attempt; every other recorder continues without. If a recorder is killed in between, that minute has no
//! attempt.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use crate::fs::lock::WorkerLock;
use crate::fs::{Error, os};
use crate::home::Home;
use crate::model::layout::AUTOSTART;

/// The shortest time between two attempts.
const PAUSE: Duration = Duration::from_secs(60);

/// Whether the caller may try to start a worker: no worker runs, and the last attempt was at least a minute ago. If so,
/// this counts as an attempt. Never waits.
///
/// # Errors
/// [`Error`] if the home's private folder refuses.
pub fn may_start(home: &Home) -> Result<bool, Error> {
    let private = home.private();
    let mut file = private.open_or_create(AUTOSTART)?;
    let error = |source| Error::io("note the attempt in", private.path().join(AUTOSTART))(source);
    if os::try_lock(&file).is_err() {
        return Ok(false);
    }
    let found = file.metadata().map_err(error)?;
    // An empty file was only just created. A time in the future is not an attempt.
    let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    if found.len() > 0 && age.is_some_and(|age| age < PAUSE) {
        return Ok(false);
    }
    file.set_len(0).and_then(|()| write!(file, "by process {}", std::process::id())).map_err(error)?;
    drop(file);
    // Asked last: the check takes the worker's lock for an instant, and many at once would keep a worker from it.
    Ok(WorkerLock::holder(private)?.is_none())
}
