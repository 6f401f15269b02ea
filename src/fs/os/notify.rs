//! Watching folders with the library that wraps the calls of macOS and Windows for it.

use std::io;
use std::path::PathBuf;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Watches for as long as it lives.
pub type Watcher = RecommendedWatcher;

/// Calls `changed` whenever something changes in one of `folders`, in a thread of its own.
///
/// # Errors
/// [`io::Error`] if the system has no watch left.
pub fn watch(folders: &[PathBuf], changed: impl Fn() + Send + 'static) -> io::Result<Watcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the journal is an event as well; if the answer were to read, it would never end.
        if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
            changed();
        }
    })
    .map_err(io::Error::other)?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
    }
    Ok(watcher)
}
