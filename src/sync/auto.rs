//! The thread beside the worker's loop that syncs when it is due.
//!
//! The loop tells it of commits and never waits for it. It opens the home for itself, and holds nothing between two syncs. At the
//! end, a running git is ended with everything that it started.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::home::Home;
use crate::random;
use crate::target::history::History;

use super::push::{Asked, Pushed};
use super::schedule::{Due, Schedule};
use super::store::SyncState;
use super::{Class, Combined, Error, Options, Session};

/// So many commits can be told of while git runs; more of them say nothing new.
const TOLD_MAX: usize = 4;

/// After so many failures in a row, the wait is longer than a minute.
const THROTTLED: u32 = 3;

/// The thread that syncs. It ends when this is dropped.
#[derive(Debug)]
pub struct Auto {
    told: Option<Sender<Commit>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Something was committed.
#[derive(Clone, Copy, Debug)]
struct Commit {
    urgent: bool,
}

impl Auto {
    /// Starts it for the home at `home`.
    ///
    /// # Errors
    /// [`std::io::Error`] if the system has no thread for it.
    pub fn start(home: PathBuf, options: Options) -> std::io::Result<Auto> {
        let (told, commits) = bounded(TOLD_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let run = move || Running { home, options, stop: is_over }.run(&commits);
        let thread = std::thread::Builder::new().name("sync".to_owned()).spawn(run)?;
        Ok(Auto { told: Some(told), stop, thread: Some(thread) })
    }

    /// Tells it that something was committed. It never waits.
    pub fn committed(&self, urgent: bool) {
        if let Some(told) = &self.told {
            let _ = told.try_send(Commit { urgent });
        }
    }
}

impl Drop for Auto {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.told = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Running {
    home: PathBuf,
    options: Options,
    stop: Arc<AtomicBool>,
}

impl Running {
    fn run(&self, commits: &Receiver<Commit>) {
        let mut schedule = Schedule::new(&self.options, Instant::now());
        // Why the last sync failed, and how many did in a row.
        let mut failed: Option<(Class, u32)> = None;
        loop {
            match commits.recv_deadline(schedule.next()) {
                Ok(commit) => schedule.news(commit.urgent, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(due) = schedule.due(Instant::now()) else { continue };
            schedule.begins();
            let synced = self.sync(due);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            failed = self.judged(synced, failed);
            let jitter = f64::from(random::id().as_u128() as u8) / 255.0;
            schedule.done(failed, self.lanes(), jitter, Instant::now());
        }
    }

    /// How many lanes the remote had when it was looked at last.
    fn lanes(&self) -> u32 {
        let state = Home::open(&self.home).ok().and_then(|home| SyncState::read(home.private()).ok().flatten());
        state.map_or(0, |state| u32::try_from(state.lanes.len()).unwrap_or(u32::MAX))
    }

    /// Logs what became of a sync: a failure once, until another kind of failure or a success comes.
    fn judged(&self, synced: Result<Pushed, Error>, before: Option<(Class, u32)>) -> Option<(Class, u32)> {
        match synced {
            Ok(pushed) => {
                if pushed.records > 0 {
                    tracing::info!(records = pushed.records, attempts = pushed.attempts, "pushed");
                } else if before.is_some() {
                    tracing::info!("the remote is in reach again");
                }
                None
            }
            Err(error) => {
                let (class, in_a_row) = (error.class(), before.map_or(0, |(_, in_a_row)| in_a_row));
                if before.map(|(class, _)| class) != Some(class) {
                    tracing::warn!(class = class.name(), %error, "not everything is on the remote; it is tried again");
                }
                // Who was called too often is left alone for more than a minute.
                let least = if error.is_throttled() { THROTTLED } else { 1 };
                Some((class, in_a_row.saturating_add(1).max(least)))
            }
        }
    }

    fn sync(&self, due: Due) -> Result<Pushed, Error> {
        let home = Home::open(&self.home)?;
        let before = SyncState::read(home.private())?.unwrap_or_default();
        let mut done = Pushed::default();
        let tip = History::open(home.path(), self.options.history.clone())?.tip_name()?.map(|tip| tip.to_string());
        let is_new = before.remote != self.options.remote || before.error.is_some() || before.projected != tip;
        if due == Due::Push && !is_new {
            return Ok(done);
        }
        // A first push of a large home takes many calls, each with a limit of its own.
        let until = Instant::now() + self.options.timeout.saturating_mul(60);
        let mut session = Session::open(&home, &self.options, until, &self.stop)?;
        // What was erased does not wait.
        let is_look = due == Due::Look || !before.erased.is_empty();
        let asked = Asked { compare: is_look, combine: is_look, ..Asked::default() };
        let mut combined = Combined::default();
        let synced = session.sync(asked, &mut done, &mut combined);
        let imported = &combined.imported;
        if combined.merged + combined.folded + imported.records + imported.changes + imported.left_out > 0 {
            let (merged, folded, left_out) = (combined.merged, combined.folded, imported.left_out);
            tracing::info!(merged, folded, records = imported.records, changes = imported.changes, left_out, "synced");
        }
        synced.map(|()| done)
    }
}
