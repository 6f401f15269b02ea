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
//! 1. Events are hints. They say "look", and the worker reads from the journal what to do. The worker also looks on a
//!    slow timer, because watchers drop events. As long as nothing has changed from outside it opens nothing, since
//!    that would trigger the watcher, which wakes the processor.
//! 2. One loop decides. The event sources push into bounded channels and never block. The decision is a pure function
//!    of the worker's view and the time (`next`); `serve` gathers the view and takes the step.
//! 3. A failure ends the session: after a growing wait everything is opened and judged again, so a failure cannot leave
//!    wrong state behind. Waiting loses nothing: the journal has it.
//! 4. The worker gives up only on errors that need a person's attention.

mod edits;
mod next;
mod program;
mod request;
mod serve;
mod session;
mod start;
mod status;
mod wake;

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

pub use program::Program;
pub use request::{Answer, Asked, Fault, Request, Want};
pub use start::may_start;
pub use status::{LastCommit, Published, State, note};
pub use wake::{EventSource, Fingerprint, Signal, Wake};

use crate::erase;
use crate::erasing::Erasing;
use crate::exclusive::Exclusive;
use crate::fs;
use crate::home::{self, Home};
use crate::journal::SegmentNumber;
use crate::model::text::chain;
use crate::pipeline::{self, Outcome};
use crate::recover::{self, Report};
use crate::sync::{self, Auto};

use next::{AfterFailure, Failed, after_failure};
use request::Requests;
use session::Session;
use status::StatusFile;

/// How long an unchanged fingerprint of the home is trusted before the worker reads all of it again.
const FINGERPRINT_AGE_MAX: Duration = Duration::from_secs(600);

/// The worker's options.
#[derive(Clone, Debug)]
pub struct Options {
    /// How batches are made.
    pub batch: pipeline::Options,
    /// How long a record may wait for its commit.
    pub age_max: Duration,
    /// The lowest severity that makes a batch due at once.
    pub urgent: u8,
    /// How often the worker looks without an event.
    pub poll: Duration,
    /// The least time between two passes over files, for edits by hand; `None` to take none.
    pub edits: Option<Duration>,
    /// The first wait after a failure. It doubles with each further failure.
    pub retry_min: Duration,
    /// The longest wait after a failure.
    pub retry_max: Duration,
    /// How long the worker tries to commit the backlog when it is asked to stop.
    pub stop: Duration,
    /// How the home is synced beside all that; `None` if the worker does not sync.
    pub sync: Option<sync::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            batch: pipeline::Options::default(),
            age_max: Duration::from_secs(1),
            urgent: 5,
            poll: Duration::from_secs(30),
            edits: Some(Duration::from_secs(60)),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            stop: Duration::from_secs(20),
            sync: None,
        }
    }
}

/// Why a worker gave up, or one of its sessions ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A batch could not be made.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// Recovery of the home failed.
    #[error(transparent)]
    Recover(#[from] recover::Error),
    /// An erasure that has begun has to be finished, before anything else is opened.
    #[error(transparent)]
    Erase(#[from] erase::Error),
}

impl Error {
    /// Whether a person has to change something before a retry can help.
    pub fn needs_attention(&self) -> bool {
        match self {
            Error::Home(home::Error::Fs(error)) | Error::Fs(error) => matches!(error, fs::Error::Refused { .. }),
            Error::Home(_) => true,
            Error::Erase(_) => false,
            Error::Pipeline(error) => error.needs_attention(),
            Error::Recover(error) => error.needs_attention(),
        }
    }
}

/// Why a worker ended normally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop, and everything recorded until then is committed.
    Stopped,
    /// It was asked to stop, and the time ran out before all of that was committed. The journal keeps the rest.
    OutOfTime,
    /// It was asked to reload its configuration.
    Reload,
    /// The running program was replaced: it is time to become the new one.
    Replaced,
}

/// Works until it is asked to stop, `program` is replaced, or it needs a person's attention.
///
/// # Errors
/// What a person has to change; or, if it was asked to stop, why the backlog could not be committed. The journal still
/// has it.
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
    let (stopping, erasures, sync) = (None, Vec::new(), start_sync(home, options));
    let mut worker = Worker { exclusive, events, program, options, status, requests, delays, stopping, erasures, sync };
    loop {
        let error = match worker.session() {
            Ok(None) => {
                worker.erase();
                continue;
            }
            Ok(Some(ended)) => {
                if ended == Ended::Stopped {
                    worker.status.publish(State::Stopped);
                }
                return Ok(ended);
            }
            Err(error) => error,
        };
        worker.status.failed(&chain(&error));
        let failed = Failed {
            needs_attention: error.needs_attention(),
            out_of_time: worker.is_out_of_time(),
            upgraded: worker.is_replaced(),
            index_lost: is_index_lost(&error),
        };
        match after_failure(failed) {
            AfterFailure::GiveUp => {
                worker.requests.refuse_all(&chain(&error));
                return Err(error);
            }
            AfterFailure::Become => return Ok(Ended::Replaced),
            AfterFailure::TryAtOnce => {}
            AfterFailure::TryLater if worker.wait_after_failure(&error) => return Ok(Ended::Reload),
            AfterFailure::TryLater => {}
        }
    }
}

/// Opens the worker's status file and requests. If the disk refuses, it retries until it is asked to stop.
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

/// Starts the thread that syncs, if that is wanted. Commits do without it.
fn start_sync(home: &Home, options: &Options) -> Option<Auto> {
    let started = Auto::start(home.path().to_owned(), options.sync.clone()?);
    started.map_err(|error| tracing::warn!(%error, "nothing is synced")).ok()
}

fn is_index_lost(error: &Error) -> bool {
    match error {
        Error::Pipeline(error) | Error::Recover(recover::Error::Pipeline(error)) => error.is_index_lost(),
        _ => false,
    }
}

fn delays(options: &Options) -> ExponentialBackoff {
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    builder.with_min_delay(options.retry_min).with_max_delay(options.retry_max).build()
}

/// A worker that was asked to stop.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// When it stops trying.
    until: Instant,
    /// The journal's end at that time; `None` if unknown. What comes later is for the next worker: while records keep
    /// arriving there would always be more.
    goal: Option<(SegmentNumber, u64)>,
    /// Whether it has tried to commit anything since.
    tried: bool,
}

struct Worker<'w> {
    exclusive: &'w Exclusive<'w>,
    events: &'w EventSource,
    program: &'w mut Program,
    options: &'w Options,
    status: StatusFile,
    requests: Requests,
    delays: ExponentialBackoff,
    stopping: Option<Stopping>,
    /// The requests to erase that ended the session.
    erasures: Vec<Asked>,
    /// What syncs. It ends with the worker.
    sync: Option<Auto>,
}

impl Worker<'_> {
    /// Opens everything, recovers the home, and works until a failure, the end, or a request to erase: `None`.
    fn session(&mut self) -> Result<Option<Ended>, Error> {
        if Erasing::read(self.exclusive.home().private())?.is_some() {
            self.status.forget_errors();
        }
        self.status.publish(State::Starting);
        let mut session = Session::open(self.exclusive, self.options, self.status.counts)?;
        let result = self.serve(&mut session);
        self.status.counts = session.counts();
        result
    }

    /// Erases what was requested, and answers. Nothing of the home is open meanwhile.
    fn erase(&mut self) {
        self.status.forget_errors();
        self.status.publish(State::Erasing);
        // A git that runs meanwhile could have what is to go.
        self.sync = None;
        for asked in std::mem::take(&mut self.erasures) {
            let done = erase::erase(self.exclusive, &self.options.batch, asked.ids.clone(), &mut ());
            match &done {
                Ok(report) => tracing::info!(records = report.ids.len(), commits = report.commits, "erased"),
                Err(error) => tracing::error!(error = chain(error), "nothing is erased, or not everything"),
            }
            if let Err(error) = self.requests.answer(&asked, &Answer::of_erasure(done)) {
                tracing::warn!(error = chain(&error), "a request to erase could not be answered");
            }
        }
        self.sync = start_sync(self.exclusive.home(), self.options);
    }

    /// Waits, longer each time. Returns whether to reload the settings, which may be what has to change.
    fn wait_after_failure(&mut self, error: &Error) -> bool {
        let delay = self.delays.next().unwrap_or(self.options.retry_max);
        self.status.counts.retries += 1;
        tracing::warn!(error = chain(error), delay_ms = delay.as_millis(), "trying again");
        self.status.publish(State::Retrying);
        // A failing worker does not answer requests, but it can stop.
        if self.requests.list().unwrap_or_default().iter().any(|asked| asked.want == Want::Stop) {
            self.prepare_to_stop();
        }
        let until = Instant::now() + delay;
        let until = self.stopping.map_or(until, |stopping| stopping.until.min(until));
        while Instant::now() < until {
            match self.events.wait_for_signal(until) {
                _ if self.stopping.is_some() => {}
                Some(Signal::Stop) => {
                    // When asked now, it retries at once.
                    self.prepare_to_stop();
                    return false;
                }
                Some(Signal::Reload) => return true,
                None => {}
            }
        }
        false
    }

    fn prepare_to_stop(&mut self) {
        if self.stopping.is_none() {
            tracing::info!("asked to stop: committing what is pending");
            let goal = self.exclusive.home().journal().sizes().ok().and_then(|sizes| sizes.last().copied());
            self.stopping = Some(Stopping { until: Instant::now() + self.options.stop, goal, tried: false });
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.stopping.is_some_and(|stopping| stopping.until <= Instant::now())
    }

    /// Whether the program was upgraded, and the worker can switch to it now.
    fn is_replaced(&mut self) -> bool {
        self.stopping.is_none() && self.program.is_replaced(Instant::now())
    }
}

/// What a recovery did, as one commit.
fn outcome(report: &Report) -> Outcome {
    let records = usize::try_from(report.committed + report.recommitted).unwrap_or(usize::MAX);
    Outcome { commit: report.last_commit.clone(), records }
}

/// The counters that the last worker published.
///
/// # Errors
/// [`fs::Error`] if they cannot be read.
pub fn published(home: &Home) -> Result<Option<Published>, fs::Error> {
    status::read(home)
}
