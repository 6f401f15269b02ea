//! Event sources. Each event becomes "look", without data, or a signal.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, bounded, never, select};

pub use crate::fs::os::Signal;
use crate::fs::os::{self, Stamp};
use crate::home::Home;
use crate::journal::SegmentNumber;
use crate::model::layout::{JOURNAL, REQUESTS};

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A signal from the system.
    Signal(Signal),
    /// An event in the journal or the requests.
    Event,
    /// The wait timed out.
    Time,
}

/// The state of the journal and the requests seen from outside. Two equal fingerprints mean that nothing was recorded
/// or requested in between, as far as the resolution of the file system's clock allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<Stamp>>);

/// How often remembered signals are polled.
const SIGNALS_EVERY: Duration = Duration::from_millis(200);

/// The event sources, active for as long as it lives.
pub struct EventSource {
    looks: Receiver<()>,
    signals: Receiver<Signal>,
    /// The signals that came, if no thread reports them.
    remembered: Option<Box<dyn Fn() -> Option<Signal>>>,
    watcher: Option<os::Watcher>,
    watched: [PathBuf; 2],
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").field("watched", &self.watched).field("watching", &self.is_watching()).finish()
    }
}

impl EventSource {
    /// Watches the journal and the requests of `home`, and the signals of this process.
    ///
    /// If the system has no watch or no thread left, the worker looks on a fast timer instead.
    ///
    /// # Errors
    /// [`std::io::Error`] if the signals cannot be registered.
    pub fn of(home: &Home) -> std::io::Result<EventSource> {
        let (send, signals) = bounded(4);
        let heard = os::on_signals(move |signal| {
            let _ = send.try_send(signal);
        });
        // Without a thread for them, its end of the channel is closed, and would always be ready.
        let (signals, remembered) = match heard {
            Ok(()) => (signals, None),
            Err(error) => {
                tracing::warn!(%error, "there is no thread for signals: looking for them five times a second");
                (never(), Some(Box::new(os::remember_signals()?) as Box<dyn Fn() -> Option<Signal>>))
            }
        };
        let (look, looks) = bounded(1);
        let watched = [JOURNAL, REQUESTS].map(|name| home.private().path().join(name));
        let watcher = os::watch(&watched, move || {
            // A full channel says "look" already.
            let _ = look.try_send(());
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the journal cannot be watched: looking at it five times a second");
        }
        Ok(EventSource { looks, signals, remembered, watcher: watcher.ok(), watched })
    }

    /// Whether the system reports events.
    pub fn is_watching(&self) -> bool {
        self.watcher.is_some()
    }

    /// Looks at the watched folders and at segment `newest` without opening them: opening is an event as well, for
    /// which the system would wake the watcher.
    pub fn fingerprint(&self, newest: SegmentNumber) -> Fingerprint {
        let [journal, requests] = &self.watched;
        let stamp = |path: &Path| Stamp::of_itself(path).ok();
        Fingerprint(vec![stamp(journal), stamp(&journal.join(newest.file_name())), stamp(requests)])
    }

    /// Waits for an event, or until `until`.
    pub fn wait(&self, until: Instant) -> Wake {
        // A watcher that is gone has closed its channel, which would always be ready.
        let nothing = never();
        let looks = if self.is_watching() { &self.looks } else { &nothing };
        loop {
            if let Some(signal) = self.remembered() {
                return Wake::Signal(signal);
            }
            let next = self.next_look_for_signals(until);
            let timeout = after(next.saturating_duration_since(Instant::now()));
            select! {
                recv(self.signals) -> signal => return signal.map_or(Wake::Event, Wake::Signal),
                recv(looks) -> _ => return Wake::Event,
                recv(timeout) -> _ => {
                    if next >= until {
                        return Wake::Time;
                    }
                }
            }
        }
    }

    /// Waits for a signal alone, until `until`.
    pub fn wait_for_signal(&self, until: Instant) -> Option<Signal> {
        loop {
            let next = self.next_look_for_signals(until);
            let signal = self.remembered().or_else(|| self.signals.recv_deadline(next).ok());
            if signal.is_some() || next == until {
                return signal;
            }
        }
    }

    fn remembered(&self) -> Option<Signal> {
        self.remembered.as_ref().and_then(|came| came())
    }

    /// When to poll remembered signals again, `until` at the latest.
    fn next_look_for_signals(&self, until: Instant) -> Instant {
        match self.remembered {
            Some(_) => until.min(Instant::now() + SIGNALS_EVERY),
            None => until,
        }
    }
}
