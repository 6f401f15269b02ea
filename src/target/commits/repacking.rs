//! Rolling packs together in parallel with commits: one thread at a time, started early, and waited for when there are
//! many packs.
//!
//! Each commit adds a pack, and a commit takes milliseconds where a repack takes tenths of a second. So a repack
//! starts at half the limit on packs. If commits come faster than that, the next commit waits for it to end. Meanwhile
//! recorders continue to append to the journal, and the next batch is larger.
//!
//! Nothing is written here. `target::history` says what a killed repack leaves; a commit that waits has not begun.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::model::text::chain;
use crate::target::history::History;

/// The number of commits between checks whether packs pile up.
const COMMITS_PER_CHECK: u64 = 8;

/// The limit on how long a commit waits for a repack, even if packs exceed their limit then: callers of `flush` wait
/// along.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Keeps packs few while it lives. Dropping it ends the running repack.
#[derive(Debug)]
pub(super) struct Repacking {
    history: History,
    running: Option<Running>,
    commits: u64,
    wait_max: Duration,
}

#[derive(Debug)]
struct Running {
    thread: thread::JoinHandle<()>,
    /// Closed when the thread has finished.
    done: Receiver<()>,
}

impl Repacking {
    pub(super) fn of(history: &History) -> Repacking {
        Repacking { history: history.clone(), running: None, commits: 0, wait_max: WAIT_MAX }
    }

    /// Waits for the running repack if packs are at their limit.
    pub(super) fn before_commit(&self) {
        if let Some(running) = &self.running
            && self.history.has_packs_max()
            && running.done.recv_timeout(self.wait_max) == Err(RecvTimeoutError::Timeout)
        {
            tracing::debug!("packs are rolled together for long; not waiting for it");
        }
    }

    /// Starts a repack if packs pile up and none is running.
    pub(super) fn after_commit(&mut self) {
        self.commits += 1;
        let busy = self.running.as_ref().is_some_and(|running| !running.thread.is_finished());
        if busy || self.commits < COMMITS_PER_CHECK {
            return;
        }
        self.commits = 0;
        self.running = start(self.history.clone());
    }
}

/// Starts a repack, if a thread can be started.
fn start(history: History) -> Option<Running> {
    let (open, done) = bounded(0);
    let work = move || {
        let _open = open;
        match history.repack_if_needed() {
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "packs could not be rolled together"),
        }
    };
    let thread = thread::Builder::new().name("repack".into()).spawn(work).ok()?;
    Some(Running { thread, done })
}

impl Drop for Repacking {
    fn drop(&mut self) {
        self.history.end_repack();
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::target::history::HistoryOptions;

    #[test]
    fn a_commit_waits_where_there_are_as_many_packs_as_may_be() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = HistoryOptions { packs_max: 4, ..HistoryOptions::default() };
        let staging = folder.path().join("tmp");
        std::fs::create_dir(&staging).expect("a folder for what is not done");
        let (history, _) =
            History::init(folder.path(), &staging, crate::model::HomeId::default(), options).expect("a new home");
        let mut repacking = Repacking::of(&history);
        repacking.wait_max = Duration::from_secs(600);
        for number in 0..4 {
            let pack = format!("echo {number} | git hash-object -w --stdin | git pack-objects -q objects/pack/pack");
            let made = Command::new("sh").args(["-c", &pack]).current_dir(folder.path().join(".git")).output();
            assert!(made.is_ok_and(|it| it.status.success()), "git makes a pack");
        }
        repacking.before_commit();
        assert!(history.has_packs_max(), "nothing is under way, and nothing is waited for");
        repacking.commits = COMMITS_PER_CHECK - 1;
        repacking.after_commit();
        repacking.before_commit();
        assert!(!history.has_packs_max(), "it has waited");
    }
}
