//! Runs the recorders: one process for each record, many at once, some of them killed.
//!
//! 1. A record counts as acknowledged exactly when its process exited 0, killed or not.
//! 2. The worker is killed when half of the recorders are done and it has committed some of their records. It is started
//!    again while others still run.
//! 3. No recorder outlives the call. If it ends early, it kills those that still run.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use indelible::home::Home;
use indelible::pipeline::Progress;
use serde::Deserialize;

use super::plan::Planned;
use super::stage::{Stage, Worker, failure, io};
use crate::exit::Failure;

/// How many recorders run at a time.
pub const AT_ONCE: usize = 50;
/// How many of all recorders are killed.
pub const KILLED: usize = 5;
/// When the worker must have committed something, when it is killed, and when another is started. Counted in recorders that
/// are done.
const WORKER_COMMITS_BY: usize = 50;
const WORKER_DIES_AT: usize = 100;
const WORKER_RETURNS_AT: usize = 125;
/// How long to wait for the worker to begin a commit, to kill it there.
const COMMIT_WAIT_MAX: Duration = Duration::from_millis(500);
/// The longest delay before a recorder is killed: this, or the time that a recorder takes if that is longer.
const KILL_DELAY_MAX: Duration = Duration::from_millis(3);
const ALL_WAIT_MAX: Duration = Duration::from_secs(50);

/// The output of a recorder, as far as the check needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Receipt {
    pub id: String,
    pub kind: String,
    pub path: String,
    pub row_id: Option<i64>,
}

/// The outcome of one recorder.
#[derive(Debug)]
pub struct Shot {
    /// How its process ended.
    pub status: ExitStatus,
    /// Its output, stdout and stderr together.
    pub said: String,
    /// Whether it was to be killed.
    pub target: bool,
    /// From spawn to exit, as its caller sees it.
    pub took: Duration,
}

impl Shot {
    /// Whether it acknowledged its record.
    pub fn acknowledged(&self) -> bool {
        self.status.success()
    }

    /// Its receipt.
    pub fn receipt(&self) -> Option<Receipt> {
        self.said.lines().find_map(|line| serde_json::from_str(line).ok())
    }
}

/// Runs every recorder. Returns the outcomes, in the order of `planned`, and the worker that runs by then.
pub fn all(
    stage: &Stage,
    home: &Home,
    worker: Worker,
    planned: &[Planned],
    progress: &mut dyn Progress,
) -> Result<(Vec<Shot>, Worker), Failure> {
    let abandoned = AtomicBool::new(false);
    let slots: Vec<Slot> = (0..AT_ONCE).map(|_| Slot::default()).collect();
    let (orders, ordered) = bounded::<Order<'_>>(AT_ONCE);
    let (done, results) = bounded(planned.len());
    std::thread::scope(|scope| {
        let run = || {
            for slot in &slots {
                let (ordered, done, abandoned) = (ordered.clone(), done.clone(), &abandoned);
                let work = move || {
                    for order in ordered {
                        let _ = done.send((order.number, slot.fire(stage, &order, abandoned)));
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, work).map_err(io("starting a thread"))?;
            }
            let mut volley = Volley { stage, home, worker: Some(worker), shots: Vec::new() };
            volley.shots.resize_with(planned.len(), || None);
            volley.conduct(planned, |order| drop(orders.try_send(order)), &results, progress)?;
            volley.finish()
        };
        let outcome = run();
        // The threads end with the channel, or when their recorder ends.
        drop(orders);
        if outcome.is_err() {
            abandoned.store(true, Ordering::SeqCst);
            slots.iter().for_each(Slot::kill);
        }
        outcome
    })
}

/// The state while recorders run.
struct Volley<'v> {
    stage: &'v Stage,
    home: &'v Home,
    worker: Option<Worker>,
    shots: Vec<Option<Shot>>,
}

impl Volley<'_> {
    /// Keeps [`AT_ONCE`] recorders running until all are done, and kills and restarts the worker meanwhile.
    fn conduct<'p>(
        &mut self,
        planned: &'p [Planned],
        mut send: impl FnMut(Order<'p>),
        results: &Receiver<(usize, Result<Shot, Failure>)>,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let (targets, until) = (targets(planned.len()), Instant::now() + ALL_WAIT_MAX);
        let (mut sent, mut finished) = (0, 0);
        progress.begin("recording", planned.len() as u64);
        while finished < planned.len() {
            while sent < planned.len() && sent - finished < AT_ONCE {
                let kill_after = targets.contains(&sent).then(|| self.kill_delay());
                send(Order { number: sent, planned: &planned[sent], kill_after });
                sent += 1;
            }
            match results.recv_timeout(Duration::from_millis(50)) {
                Ok((number, shot)) => {
                    self.shots[number] = Some(shot?);
                    finished += 1;
                    progress.at(finished as u64);
                    self.change_worker(finished)?;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => return Err(failure("the recorders did not come to an end")),
            }
            self.stage.check_stop()?;
        }
        progress.end();
        Ok(())
    }

    fn change_worker(&mut self, finished: usize) -> Result<(), Failure> {
        match (finished, self.worker.take()) {
            (WORKER_COMMITS_BY, Some(mut worker)) => {
                worker.wait_for_commit(self.stage, self.home)?;
                self.worker = Some(worker);
            }
            (WORKER_DIES_AT, Some(worker)) => worker.kill(self.home, COMMIT_WAIT_MAX)?,
            (WORKER_RETURNS_AT, None) => self.worker = Some(Worker::start(self.stage)?),
            (_, worker) => self.worker = worker,
        }
        Ok(())
    }

    /// The delay before the next recorder is killed: random, up to the time that a recorder takes, so that any step may be its
    /// last.
    fn kill_delay(&self) -> Duration {
        let took = percentile(self.shots.iter().flatten(), 50).unwrap_or_default().max(KILL_DELAY_MAX);
        took.mul_f64(random(1 << 20) as f64 / f64::from(1 << 20))
    }

    fn finish(self) -> Result<(Vec<Shot>, Worker), Failure> {
        let (shots, worker): (Option<Vec<_>>, _) = (self.shots.into_iter().collect(), self.worker);
        shots.zip(worker).ok_or_else(|| failure("a recorder or the worker is missing"))
    }
}

/// One recorder to run.
struct Order<'p> {
    number: usize,
    planned: &'p Planned,
    /// How long after its start it is killed, if at all.
    kill_after: Option<Duration>,
}

/// The recorder that a thread waits for, where other threads can kill it.
#[derive(Default)]
struct Slot(Mutex<Option<Child>>);

impl Slot {
    fn fire(&self, stage: &Stage, order: &Order<'_>, abandoned: &AtomicBool) -> Result<Shot, Failure> {
        let (mut output, writer) = std::io::pipe().map_err(io("making a pipe"))?;
        let mut command = stage.command(&["record"]);
        command.args(&order.planned.args).arg("--json").stdout(writer.try_clone().map_err(io("making a pipe"))?);
        command.stderr(writer);
        let start = Instant::now();
        self.spawn(&mut command, abandoned)?;
        // The command holds the other end of the pipe: without this, reading would never end.
        drop(command);
        if let Some(delay) = order.kill_after {
            std::thread::sleep(delay);
            self.kill();
        }
        let mut said = Vec::new();
        output.read_to_end(&mut said).map_err(io("reading what a recorder says"))?;
        let child = self.lock().take();
        let mut child = child.ok_or_else(|| failure("a recorder is missing"))?;
        let status = child.wait().map_err(io("waiting for a recorder"))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(Shot { status, said, target: order.kill_after.is_some(), took: start.elapsed() })
    }

    /// Spawns under the lock, so that the code that stops and kills all recorders misses none.
    fn spawn(&self, command: &mut std::process::Command, abandoned: &AtomicBool) -> Result<(), Failure> {
        let mut slot = self.lock();
        if abandoned.load(Ordering::SeqCst) {
            return Err(failure("the recorders were stopped"));
        }
        *slot = Some(command.spawn().map_err(io("starting a recorder"))?);
        Ok(())
    }

    /// Kills the recorder with SIGKILL, if one runs.
    fn kill(&self) {
        if let Some(child) = self.lock().as_mut() {
            // It was not waited for, so its id is still its own even if it has ended.
            let _ = child.kill();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random number below `end`.
fn random(end: usize) -> usize {
    let bits = (indelible::random::id().as_u128() as u64) & 0xffff_ffff;
    (bits as usize) % end
}

/// Which recorders are killed.
fn targets(recorders: usize) -> BTreeSet<usize> {
    let mut targets = BTreeSet::new();
    while targets.len() < KILLED.min(recorders) {
        targets.insert(random(recorders));
    }
    targets
}

/// A percentile of the times of recorders that were not to be killed.
pub fn percentile<'s>(shots: impl Iterator<Item = &'s Shot>, percent: usize) -> Option<Duration> {
    let mut times: Vec<Duration> = shots.filter(|shot| !shot.target).map(|shot| shot.took).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied()
}
