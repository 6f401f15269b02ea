//! Where events come from. Each becomes "look", without data, or a signal.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

pub use crate::fs::os::Signal;
use crate::fs::os::{self, Stamp};
use crate::home::Home;
use crate::journal::SegmentNumber;

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The system asked for something.
    Signal(Signal),
    /// Something happened in the journal or to the requests.
    Event,
    /// Nothing did, for so long as was to be waited.
    Time,
}

/// What the journal and the requests look like from outside. Two that are the same say that nothing was recorded or asked
/// for in between, as far as a file system's clock tells one moment from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance(Vec<Option<Stamp>>);

/// The sources of events, for as long as it lives.
#[derive(Debug)]
pub struct Wakes {
    looks: Receiver<()>,
    signals: Receiver<Signal>,
    watcher: Option<RecommendedWatcher>,
    watched: [PathBuf; 2],
}

impl Wakes {
    /// Watches the journal and the requests of `home`, and the signals of this process.
    ///
    /// Where the system has no watch left to give, the worker looks on a fast timer instead.
    ///
    /// # Errors
    /// [`std::io::Error`] if the signals cannot be had.
    pub fn of(home: &Home) -> std::io::Result<Wakes> {
        let (look, looks) = bounded(1);
        let watched = ["journal", "requests"].map(|name| home.private().path().join(name));
        let watcher = watch(look, &watched);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the journal cannot be watched: looking at it five times a second");
        }
        Ok(Wakes { looks, signals: signals()?, watcher: watcher.ok(), watched })
    }

    /// Whether the system says when there is something to see.
    pub fn is_watching(&self) -> bool {
        self.watcher.is_some()
    }

    /// Looks at the watched folders and at segment `newest` without opening them: that is an event as well, for which the
    /// system wakes the watcher.
    pub fn glance(&self, newest: SegmentNumber) -> Glance {
        let [journal, requests] = &self.watched;
        let stamp = |path: &Path| Stamp::of_itself(path).ok();
        Glance(vec![stamp(journal), stamp(&journal.join(newest.file_name())), stamp(requests)])
    }

    /// Waits until something happens, or until `until`.
    pub fn wait(&self, until: Instant) -> Wake {
        let timeout = after(until.saturating_duration_since(Instant::now()));
        // A watcher that is gone has closed its channel, which would be ready for ever.
        let nothing = never();
        let looks = if self.is_watching() { &self.looks } else { &nothing };
        select! {
            recv(self.signals) -> signal => signal.map_or(Wake::Event, Wake::Signal),
            recv(looks) -> _ => Wake::Event,
            recv(timeout) -> _ => Wake::Time,
        }
    }

    /// Waits for a signal alone, until `until`.
    pub fn wait_for_signal(&self, until: Instant) -> Option<Signal> {
        self.signals.recv_deadline(until).ok()
    }
}

fn watch(look: Sender<()>, folders: &[impl AsRef<Path>]) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the journal is an event as well; answering it by reading would never end.
        if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
            // A full channel says "look" already.
            let _ = look.try_send(());
        }
    })?;
    for folder in folders {
        watcher.watch(folder.as_ref(), RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn signals() -> std::io::Result<Receiver<Signal>> {
    let (send, received) = bounded(4);
    os::on_signals(move |signal| {
        let _ = send.try_send(signal);
    })?;
    Ok(received)
}
