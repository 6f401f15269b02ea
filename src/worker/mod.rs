//! The worker: one process per home that turns what recorders journal into commits.
//!
//! ```text
//!            open, recover            due, full, urgent, asked
//!  start ───────────────────▶ idle ─────────────────────────▶ committing
//!    ▲                        ▲  │                                │  │
//!    │                        │  └── an event: look ──▶ pending   │  │
//!    │                        └───────────────────────────────────┘  │
//!    └───────────── waiting, longer each time ◀───────────────────────┘ a failure
//! ```
//!
//! 1. Events are hints. They say "look"; what there is to do is read from the journal. The worker also looks on a slow
//!    timer, because watchers drop events: as long as nothing looks different from outside, without opening anything,
//!    since that would wake the watcher, which events the processor.
//! 2. One loop decides; the sources of events push into bounded channels and never wait.
//! 3. A failure ends the session: everything is opened and judged anew after a wait that grows, so there is no state
//!    that a failure could leave wrong. Nothing is lost by waiting: the journal has it.
//! 4. Only what a person has to change makes the worker give up.

mod program;
mod request;
mod start;
mod status;
mod wake;

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

pub use program::Program;
pub use request::{Answer, Asked, Request, Want};
pub use start::may_start;
pub use status::{LastCommit, Published, State, note};
pub use wake::{EventSource, Fingerprint, Signal, Wake};

use crate::exclusive::Exclusive;
use crate::fs;
use crate::home::{self, Home};
use crate::journal::SegmentNumber;
use crate::model::text::chain;
use crate::pipeline::{self, Committer, Outcome, Schedule};
use crate::recover::{self, Report, Scope};

use request::Requests;
use status::StatusFile;

/// How often it is tried to insert rows that are owed: only the lock is tried, which costs next to nothing.
const ROWS_PAUSE: Duration = Duration::from_millis(200);

/// How long the worker goes by what its home looks like from outside, before it reads all of it again.
const FINGERPRINT_AGE_MAX: Duration = Duration::from_secs(600);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct Options {
    /// How batches are made.
    pub batch: pipeline::Options,
    /// How long a record may wait for its commit.
    pub age_max: Duration,
    /// The severity from which on a record waits for nothing.
    pub urgent: u8,
    /// How often the worker looks without having been told to.
    pub poll: Duration,
    /// The first wait after a failure; it doubles with every further one.
    pub retry_min: Duration,
    /// The longest wait after a failure.
    pub retry_max: Duration,
    /// How long the worker tries to commit what is pending when it is asked to stop.
    pub stop: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            batch: pipeline::Options::default(),
            age_max: Duration::from_secs(1),
            urgent: 5,
            poll: Duration::from_secs(30),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            stop: Duration::from_secs(20),
        }
    }
}

/// When the home was read, and what it looked like just before.
struct Look {
    fingerprint: Fingerprint,
    at: Instant,
}

/// Why a worker gave up, or a session of it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A batch could not be made.
    #[error(transparent)]
    Batch(#[from] pipeline::Error),
    /// The home could not be brought in order.
    #[error(transparent)]
    Recover(#[from] recover::Error),
}

impl Error {
    /// Whether a person has to change something before trying again can help.
    pub fn needs_attention(&self) -> bool {
        match self {
            Error::Home(home::Error::Fs(error)) | Error::Fs(error) => matches!(error, fs::Error::Refused { .. }),
            Error::Home(_) => true,
            Error::Batch(error) => error.needs_attention(),
            Error::Recover(error) => error.needs_attention(),
        }
    }
}

/// Why a worker ended in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop, and everything that was recorded until then is committed.
    Stopped,
    /// It was asked to stop, and the time for that was over before all of that was committed. The journal keeps the rest.
    OutOfTime,
    /// It was asked to read its configuration anew.
    Reload,
    /// Another program lies where the one that runs was started from: it is time to become that one.
    Replaced,
}

/// Works until it is asked to stop, or `program` is replaced, or it cannot go on without a person.
///
/// # Errors
/// What a person has to change; or, when it was asked to stop, why what is pending could not be committed. It is in the
/// journal all the same.
pub fn run(
    exclusive: &Exclusive<'_>,
    events: &EventSource,
    program: &mut Program,
    options: &Options,
) -> Result<Ended, Error> {
    let home = exclusive.home();
    let (status, requests) = open(home, events, options)?;
    if !status.goes_on {
        requests.sweep();
    }
    let delays = delays(options);
    let (stopping, rows_due, seen) = (None, None, None);
    let mut worker =
        Worker { home, exclusive, events, program, options, status, requests, delays, stopping, rows_due, seen };
    loop {
        let error = match worker.session() {
            Ok(ended) => {
                if ended == Ended::Stopped {
                    worker.status.publish(State::Stopped);
                }
                return Ok(ended);
            }
            Err(error) => error,
        };
        worker.status.failed(&chain(&error));
        let too_late = worker.is_out_of_time();
        if error.needs_attention() || too_late {
            worker.requests.refuse_all(&chain(&error));
            return Err(error);
        }
        if worker.is_replaced() {
            return Ok(Ended::Replaced);
        }
        if !is_index_lost(&error) {
            worker.wait_after_failure(&error);
        }
    }
}

/// Opens what the worker speaks through. A disk that refuses that is waited for as well, until somebody asks to stop.
fn open(home: &Home, events: &EventSource, options: &Options) -> Result<(StatusFile, Requests), Error> {
    let mut delays = delays(options);
    loop {
        let error = match StatusFile::open(home).and_then(|status| Ok((status, Requests::open(home)?))) {
            Ok(opened) => return Ok(opened),
            Err(error) => Error::from(error),
        };
        let delay = delays.next().unwrap_or(options.retry_max);
        tracing::warn!(error = chain(&error), delay_ms = delay.as_millis(), "trying again");
        let stop = || events.wait_for_signal(Instant::now() + delay) == Some(Signal::Stop);
        if error.needs_attention() || stop() {
            return Err(error);
        }
    }
}

fn is_index_lost(error: &Error) -> bool {
    match error {
        Error::Batch(error) | Error::Recover(recover::Error::Batch(error)) => error.is_index_lost(),
        _ => false,
    }
}

fn delays(options: &Options) -> ExponentialBackoff {
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    builder.with_min_delay(options.retry_min).with_max_delay(options.retry_max).build()
}

/// What is left to do since the worker was asked to stop.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// Until when it goes on trying.
    until: Instant,
    /// Where the journal ended then; `None` if that could not be told. What comes later is for the next worker: where
    /// records keep coming there would always be more.
    goal: Option<(SegmentNumber, u64)>,
}

struct Worker<'w> {
    home: &'w Home,
    exclusive: &'w Exclusive<'w>,
    events: &'w EventSource,
    program: &'w mut Program,
    options: &'w Options,
    status: StatusFile,
    requests: Requests,
    delays: ExponentialBackoff,
    stopping: Option<Stopping>,
    /// When to try again to insert rows that are owed.
    rows_due: Option<Instant>,
    /// What the home looked like when it was last read; `None` if it has to be read again.
    seen: Option<Look>,
}

impl Worker<'_> {
    fn wait_after_failure(&mut self, error: &Error) {
        let delay = self.delays.next().unwrap_or(self.options.retry_max);
        self.status.counts.retries += 1;
        tracing::warn!(error = chain(error), delay_ms = delay.as_millis(), "trying again");
        self.status.publish(State::Retrying);
        // A worker that fails does not answer, but it can stop.
        if self.requests.list().unwrap_or_default().iter().any(|asked| asked.want == Want::Stop) {
            self.stop();
        }
        let until = Instant::now() + delay;
        let until = self.stopping.map_or(until, |stopping| stopping.until.min(until));
        while Instant::now() < until {
            if let Some(Signal::Stop) = self.events.wait_for_signal(until)
                && self.stopping.is_none()
            {
                // Asked now, it tries at once.
                return self.stop();
            }
        }
    }

    fn stop(&mut self) {
        if self.stopping.is_none() {
            tracing::info!("asked to stop: committing what is pending");
            let goal = self.home.journal().sizes().ok().and_then(|sizes| sizes.last().copied());
            self.stopping = Some(Stopping { until: Instant::now() + self.options.stop, goal });
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.stopping.is_some_and(|stopping| stopping.until <= Instant::now())
    }

    /// Whether everything is committed that was recorded before the worker was asked to stop.
    fn is_finished(&self, committer: &Committer<'_>) -> bool {
        let goal = self.stopping.and_then(|stopping| stopping.goal);
        // A batch may have been too small for everything: only when nothing more is found is it all committed.
        committer.backlog().records == 0 || goal.is_some_and(|goal| committer.has_committed(goal))
    }

    /// Opens everything, brings the home in order, and works until something fails or somebody asks to end it.
    fn session(&mut self) -> Result<Ended, Error> {
        self.status.publish(State::Starting);
        let mut committer = Committer::open(self.exclusive, self.options.batch.clone())?;
        committer.keep_packs_few();
        self.seen = None;
        *committer.counts_mut() = self.status.counts;
        let result = self.serve(&mut committer);
        self.status.counts = *committer.counts();
        result
    }

    fn serve(&mut self, committer: &mut Committer<'_>) -> Result<Ended, Error> {
        let report = recover::recover(committer, Scope::Start, &mut ())?;
        if !report.is_nothing() {
            tracing::info!(?report, "brought the home in order");
        }
        self.recovered(&report);
        // Held open from now on: where nobody has the index open, the next to open it has to recover its log, and
        // refuses everybody else meanwhile.
        match committer.index() {
            Err(error) if error.is_index_unopenable() => {}
            index => drop(index?),
        }
        let mut schedule = Schedule::new(self.options.age_max, self.options.urgent);
        self.publish(committer, State::Idle);
        let mut heard = None;
        let mut tried = Instant::now();
        loop {
            // Where there is always something to commit, nothing is waited for.
            match heard.take().or_else(|| self.events.wait_for_signal(Instant::now())) {
                Some(Signal::Stop) => self.stop(),
                Some(Signal::Reload) => return Ok(Ended::Reload),
                None => {}
            }
            self.check_lock()?;
            committer.keep();
            if self.is_quiet(committer) {
                let idle = Instant::now() + self.idle_for(committer);
                heard = self.wait(committer.keep_due().map_or(idle, |due| due.min(idle)));
                continue;
            }
            self.seen = Some(Look { fingerprint: self.events.fingerprint(committer.segment()), at: Instant::now() });
            let asked = self.requests.list()?;
            // No batch is under way here, and nobody waits for an answer.
            if asked.is_empty() && self.is_replaced() {
                return Ok(Ended::Replaced);
            }
            committer.look()?;
            if committer.void().is_some() {
                let report = recover::recover(committer, Scope::Start, &mut ())?;
                self.recovered(&report);
            }
            let now = Instant::now();
            if self.stopping.is_some() && asked.is_empty() && self.is_finished(committer) {
                committer.insert_owed()?;
                committer.fold_everything();
                return Ok(Ended::Stopped);
            }
            let due = schedule.due(committer.backlog(), now);
            if self.stopping.is_some() || !asked.is_empty() || due.is_some_and(|due| due <= now) {
                self.commit(committer, &mut schedule)?;
                self.answer(committer, &asked)?;
                if asked.iter().any(|asked| asked.want == Want::Stop) {
                    self.stop();
                }
                if self.stopping.is_none() && asked.iter().any(|asked| asked.want == Want::Reload) {
                    return Ok(Ended::Reload);
                }
                if self.is_out_of_time() {
                    committer.look()?;
                    return Ok(if self.is_finished(committer) { Ended::Stopped } else { Ended::OutOfTime });
                }
                continue;
            }
            let idle = now + self.idle_for(committer);
            let wake_at = due.map_or(idle, |due| due.min(idle));
            let wake_at = self.insert_owed(committer, now)?.map_or(wake_at, |next| next.min(wake_at));
            let wake_at = committer.keep_due().map_or(wake_at, |next| next.min(wake_at));
            if due.is_none() {
                committer.maintain()?;
                if tried.elapsed() >= FINGERPRINT_AGE_MAX {
                    tried = now;
                    recover::retry_parked(committer, &mut Report::default(), &mut ())?;
                }
            }
            heard = self.wait(wake_at);
        }
    }

    /// Inserts rows that are owed, when it is time to try. Returns when it will be again, if they still are.
    fn insert_owed(&mut self, committer: &mut Committer<'_>, now: Instant) -> Result<Option<Instant>, Error> {
        if committer.rows_owed().is_none() {
            return Ok(None);
        }
        if self.rows_due.is_none_or(|due| due <= now) {
            let outcome = committer.insert_owed()?;
            self.rows_due = Some(now + ROWS_PAUSE);
            if committer.rows_owed().is_none() {
                self.status.committed(&outcome);
                self.publish(committer, State::Idle);
                return Ok(None);
            }
        }
        Ok(self.rows_due)
    }

    /// Whether there is nothing to do, as far as can be told without opening anything: nothing is pending or due, and the
    /// home looks as it did before it was last read. A worker that has not been told of an event comes to see it by that.
    fn is_quiet(&mut self, committer: &Committer<'_>) -> bool {
        let same = |seen: &Look| {
            seen.at.elapsed() < FINGERPRINT_AGE_MAX && seen.fingerprint == self.events.fingerprint(committer.segment())
        };
        self.stopping.is_none() && committer.is_at_rest() && self.seen.as_ref().is_some_and(same) && !self.is_replaced()
    }

    /// Waits until something happens, or until `until`. Returns the signal, if it was one.
    fn wait(&mut self, until: Instant) -> Option<Signal> {
        match self.events.wait(until) {
            Wake::Signal(signal) => return Some(signal),
            Wake::Event => self.seen = None,
            Wake::Time => {}
        }
        None
    }

    /// Whether an upgrade has taken place, and there is time for it.
    fn is_replaced(&mut self) -> bool {
        self.stopping.is_none() && self.program.is_replaced(Instant::now())
    }

    /// A lock on a file that is gone keeps nobody out, and what is written beside it is gone as well.
    fn check_lock(&self) -> Result<(), Error> {
        let what = || format!("{} was removed or replaced under the worker", home::PRIVATE);
        let broken = || home::Error::Broken { path: self.home.path().into(), what: what() };
        self.exclusive.is_current()?.then_some(()).ok_or_else(|| broken().into())
    }

    /// How long there is nothing to do, unless something happens.
    fn idle_for(&self, committer: &Committer<'_>) -> Duration {
        let poll = if self.events.is_watching() { self.options.poll } else { Duration::from_millis(200) };
        let poll = if self.program.is_settling() { poll.min(program::SETTLED) } else { poll };
        let keep = committer.options().keep;
        if keep < poll { keep.max(Duration::from_millis(10)) } else { poll }
    }

    fn commit(&mut self, committer: &mut Committer<'_>, schedule: &mut Schedule) -> Result<(), Error> {
        if committer.backlog().records == 0 {
            return Ok(());
        }
        self.status.publish(State::Committing);
        if let Some(outcome) = committer.commit()? {
            self.status.committed(&outcome);
        }
        // A batch may have been too small for everything, and nobody says so again.
        self.seen = None;
        committer.maintain()?;
        schedule.done();
        self.delays = delays(self.options);
        self.publish(committer, State::Idle);
        Ok(())
    }

    /// Does what was asked for, and says so.
    fn answer(&mut self, committer: &mut Committer<'_>, asked: &[Asked]) -> Result<(), Error> {
        if asked.is_empty() {
            return Ok(());
        }
        let outcome = committer.commit_everything(|_| ())?;
        self.status.committed(&outcome);
        let report = match asked.iter().any(|asked| asked.want == Want::Recover) {
            true => {
                self.status.publish(State::Recovering);
                let report = recover::recover(committer, Scope::Everything, &mut ())?;
                self.recovered(&report);
                Some(report)
            }
            false => None,
        };
        for asked in asked {
            let report = report.clone().filter(|_| asked.want == Want::Recover);
            self.requests.answer(asked, &Answer { error: None, report })?;
        }
        self.publish(committer, State::Idle);
        Ok(())
    }

    /// Recovery that came to its end has committed everything there was.
    fn recovered(&mut self, report: &Report) {
        self.status.committed(&outcome(report));
    }

    fn publish(&mut self, committer: &Committer<'_>, state: State) {
        self.status.counts = *committer.counts();
        self.status.publish(state);
    }
}

/// What a recovery did, as one commit.
fn outcome(report: &Report) -> Outcome {
    let records = usize::try_from(report.committed + report.recommitted).unwrap_or(usize::MAX);
    Outcome { commit: report.last_commit.clone(), records }
}

/// The counts that the last worker published.
///
/// # Errors
/// [`fs::Error`] if they cannot be read.
pub fn published(home: &Home) -> Result<Option<Published>, fs::Error> {
    status::read(home)
}
