//! Who may start a worker where no service manager does: one recorder a minute.
//!
//! The time of the last attempt is that of a file. Whoever finds it old and gets its lock without waiting makes the next
//! one; everybody else goes on. Killed in between, a recorder leaves a minute without an attempt.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use crate::fs::lock::WorkerLock;
use crate::fs::{Error, os};
use crate::home::Home;

const NAME: &str = "autostart";
/// How long nobody tries again.
const PAUSE: Duration = Duration::from_secs(60);

/// Whether the caller may try to start a worker: none runs, and nobody has tried within the last minute. Where that is so
/// it counts as tried. Waits for nobody.
///
/// # Errors
/// [`Error`] if the home's private folder refuses.
pub fn may_start(home: &Home) -> Result<bool, Error> {
    let private = home.private();
    let mut file = private.open_or_create(NAME)?;
    let error = |source| Error::io("note the attempt in", private.path().join(NAME))(source);
    if os::try_lock(&file).is_err() {
        return Ok(false);
    }
    let found = file.metadata().map_err(error)?;
    // An empty one has only just been made; a time to come is none.
    let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    if found.len() > 0 && age.is_some_and(|age| age < PAUSE) {
        return Ok(false);
    }
    file.set_len(0).and_then(|()| write!(file, "by process {}", std::process::id())).map_err(error)?;
    drop(file);
    // Asked last: to ask takes the worker's lock for an instant, and many at once would keep a worker from it.
    Ok(WorkerLock::holder(private)?.is_none())
}
