//! Does what [`next`] decides: gathers the worker's view, takes the step, and notes the outcome.

use std::time::{Duration, Instant};

use super::edits::Search;
use super::next::{Round, Seen, Step, Stopping, View, next, round_after};
use super::request::{Answer, Asked, Want};
use super::session::Session;
use super::status::State;
use super::wake::{Fingerprint, Signal, Wake};
use super::{Ended, Error, FINGERPRINT_AGE_MAX, Options, Worker, delays, outcome};
use crate::home;
use crate::model::layout::PRIVATE;
use crate::model::text::chain;
use crate::pipeline::{Outcome, Schedule};
use crate::recover::{Report, Scope};

/// Records of this severity or higher are pushed sooner.
const URGENT: u8 = 5;
/// How often inserting lagging rows is retried. Only SQLite's lock is tried, which costs almost nothing.
const ROWS_PAUSE: Duration = Duration::from_millis(200);
/// The pause before an erasure that something was in the way of goes on.
const ERASING_PAUSE: Duration = Duration::from_secs(10);
/// How often old session logs are removed, beside each start.
const SWEEP_PAUSE: Duration = Duration::from_secs(12 * 3600);

/// What the worker remembers from one step to the next.
struct Memory {
    /// A signal, or a request with the same meaning.
    heard: Option<Signal>,
    /// When the home was last read, and its fingerprint just before; `None` if it has to be read again.
    seen: Option<(Instant, Fingerprint)>,
    round: Option<Round>,
    /// The requests that wait for an answer, as of the last look.
    asked: Vec<Asked>,
    /// Whether the last look found something that needs recovery.
    needs_recovery: bool,
    schedule: Schedule,
    rows_due: Option<Instant>,
    parked_due: Instant,
    sweep_due: Instant,
    edits: Search,
}

impl Memory {
    fn new(options: &Options, session: &Session<'_>) -> Memory {
        let wait = if session.is_erasing() { ERASING_PAUSE } else { FINGERPRINT_AGE_MAX };
        let parked_due = Instant::now() + wait;
        let schedule = Schedule::new(options.age_max, options.urgent);
        Memory {
            heard: None,
            seen: None,
            round: None,
            asked: Vec::new(),
            needs_recovery: false,
            schedule,
            rows_due: None,
            parked_due,
            sweep_due: Instant::now(),
            edits: Search::new(options.edits, session.edits()),
        }
    }
}

impl Worker<'_> {
    /// Recovers the home, and takes one step after the other.
    ///
    /// Returns how it ended; `None` if it has to end for a request to erase.
    pub(super) fn serve(&mut self, session: &mut Session<'_>) -> Result<Option<Ended>, Error> {
        let report = self.recover(session, Scope::Start)?;
        if !report.is_nothing() {
            tracing::info!(?report, "brought the home in order");
        }
        session.hold_index()?;
        self.status.commits_after(self.options.age_max);
        self.publish(session, State::Idle);
        let mut memory = Memory::new(self.options, session);
        self.sweep_sessions(&mut memory);
        loop {
            let view = self.view(session, &mut memory)?;
            let step = next(&view, Instant::now());
            self.take(step, session, &mut memory)?;
            match step {
                Step::End(ended) => return Ok(Some(ended)),
                Step::Finish => return Ok(Some(Ended::Stopped)),
                _ if !self.erasures.is_empty() => return Ok(None),
                _ => {}
            }
        }
    }

    /// The worker's current view. A signal appears in one view only.
    fn view(&mut self, session: &Session<'_>, memory: &mut Memory) -> Result<View, Error> {
        let now = Instant::now();
        let (at_rest, begins) = (session.is_at_rest(), memory.round.is_none());
        if begins {
            self.check_lock()?;
        }
        let looks_same = |fingerprint: &Fingerprint| *fingerprint == self.events.fingerprint(session.segment());
        let seen = memory.seen.as_ref().filter(|_| begins && at_rest);
        let stopping = self.stopping.map(|stopping| Stopping {
            until: stopping.until,
            goal_reached: stopping.goal.is_some_and(|goal| session.has_committed(goal)),
            tried: stopping.tried,
        });
        Ok(View {
            // While there is always something to commit, the worker never waits.
            heard: memory.heard.take().or_else(|| self.events.wait_for_signal(now)),
            stopping,
            seen: seen.map(|(at, fingerprint)| Seen { at: *at, same: looks_same(fingerprint) }),
            upgraded: self.is_replaced(),
            settling: self.program.is_settling(),
            watching: self.events.is_watching(),
            round: memory.round,
            asked: !memory.asked.is_empty(),
            needs_recovery: memory.needs_recovery,
            backlog: session.backlog(),
            schedule: memory.schedule,
            at_rest,
            rows_due: session.rows_lag().then(|| memory.rows_due.unwrap_or(now)),
            parked_due: memory.parked_due,
            search_due: session.search_due(),
            edits_due: memory.edits.due(),
            upkeep_due: session.upkeep_due(),
            poll: self.options.poll,
            keep: self.options.batch.keep,
        })
    }

    fn take(&mut self, step: Step, session: &mut Session<'_>, memory: &mut Memory) -> Result<(), Error> {
        match step {
            Step::Wait { until } => self.wait(until, memory),
            Step::PrepareToStop => self.prepare_to_stop(),
            Step::Upkeep => session.upkeep(),
            Step::Look => self.look(session, memory)?,
            Step::Recover => drop(self.recover(session, Scope::Start)?),
            Step::Commit => self.commit(session, memory)?,
            Step::Answer => self.answer(session, memory)?,
            Step::InsertRows => self.insert_rows(session, memory)?,
            Step::Maintain => session.maintain()?,
            Step::RetryParked => {
                memory.parked_due = Instant::now() + FINGERPRINT_AGE_MAX;
                session.retry_parked()?;
                session.count_repeats()?;
                self.sweep_sessions(memory);
            }
            Step::Search => self.search(session),
            Step::Edits => memory.edits.slice(self.exclusive.home(), session),
            Step::Finish => {
                memory.edits.note(session);
                session.finish()?;
            }
            Step::End(_) => {}
        }
        memory.round = round_after(step, memory.round);
        Ok(())
    }

    fn wait(&self, until: Instant, memory: &mut Memory) {
        match self.events.wait(until) {
            Wake::Signal(signal) => memory.heard = Some(signal),
            Wake::Event => memory.seen = None,
            Wake::Time => {}
        }
    }

    fn look(&mut self, session: &mut Session<'_>, memory: &mut Memory) -> Result<(), Error> {
        // Taken before anything is read: what arrives meanwhile changes it.
        memory.seen = Some((Instant::now(), self.events.fingerprint(session.segment())));
        memory.asked = self.requests.list()?;
        if self.stopping.is_some() {
            memory.asked.retain(|asked| asked.want != Want::Erase);
        }
        memory.needs_recovery = session.look()?;
        memory.schedule.due(session.backlog(), Instant::now());
        Ok(())
    }

    fn commit(&mut self, session: &mut Session<'_>, memory: &mut Memory) -> Result<(), Error> {
        self.tries();
        self.status.publish(State::Committing);
        let urgent = session.backlog().severity_max >= URGENT;
        if let Some(outcome) = session.commit()? {
            self.has_committed(&outcome, urgent);
        }
        session.maintain()?;
        self.committed(memory);
        self.publish(session, State::Idle);
        Ok(())
    }

    /// Does what was requested, and answers.
    fn answer(&mut self, session: &mut Session<'_>, memory: &mut Memory) -> Result<(), Error> {
        self.tries();
        let (mut erasures, asked): (Vec<_>, Vec<_>) =
            std::mem::take(&mut memory.asked).into_iter().partition(|asked| asked.want == Want::Erase);
        if session.backlog().records > 0 {
            self.status.publish(State::Committing);
        }
        let urgent = session.backlog().severity_max >= URGENT;
        let outcome = session.commit_everything()?;
        self.has_committed(&outcome, urgent);
        self.committed(memory);
        let wants = |want: Want| asked.iter().any(|asked| asked.want == want);
        let mut report = None;
        if wants(Want::Recover) {
            self.status.publish(State::Recovering);
            report = Some(self.recover(session, Scope::Everything)?);
            if session.erase_again(self.options) {
                memory.parked_due = Instant::now();
            }
        }
        for asked in &asked {
            let report = report.clone().filter(|_| asked.want == Want::Recover);
            self.requests.answer(asked, &Answer { report, ..Answer::default() })?;
        }
        // A worker that ends, or begins again, leaves erasures to the next session, or to those who asked for them.
        if wants(Want::Stop) {
            memory.heard = Some(Signal::Stop);
        } else if wants(Want::Reload) {
            memory.heard = Some(Signal::Reload);
        } else if self.stopping.is_none() {
            self.erasures.append(&mut erasures);
        }
        self.publish(session, State::Idle);
        Ok(())
    }

    fn insert_rows(&mut self, session: &mut Session<'_>, memory: &mut Memory) -> Result<(), Error> {
        let inserted = session.insert_rows()?;
        memory.rows_due = Some(Instant::now() + ROWS_PAUSE);
        if let Some(outcome) = inserted {
            self.status.committed(&outcome);
            self.publish(session, State::Idle);
        }
        Ok(())
    }

    /// Brings search a slice further. It is not required, so a failure ends nothing.
    fn search(&mut self, session: &mut Session<'_>) {
        session.follow_search();
        let (state, error) = (self.status.state(), session.search_error());
        if self.status.search(error) {
            self.publish(session, state);
        }
    }

    /// Removes old session logs, if that is due. They are a cache, so a failure ends nothing.
    fn sweep_sessions(&self, memory: &mut Memory) {
        let now = Instant::now();
        if memory.sweep_due > now {
            return;
        }
        memory.sweep_due = now + SWEEP_PAUSE;
        match crate::session::sweep(self.exclusive.home()) {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "removed old session logs"),
            Err(error) => tracing::warn!(error = chain(&error), "old session logs stay"),
        }
    }

    fn recover(&mut self, session: &mut Session<'_>, scope: Scope) -> Result<Report, Error> {
        let report = session.recover(scope)?;
        // It has committed the whole backlog.
        self.has_committed(&outcome(&report), false);
        Ok(report)
    }

    /// Notes what was committed, and tells what syncs.
    fn has_committed(&mut self, outcome: &Outcome, urgent: bool) {
        self.status.committed(outcome);
        if let Some(sync) = self.sync.as_ref().filter(|_| outcome.commit.is_some()) {
            sync.committed(urgent);
        }
    }

    /// Notes that a worker that was asked to stop tries to.
    fn tries(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.tried = true;
        }
    }

    /// Notes a commit. It may have been too small for everything, and no further event will say so.
    fn committed(&mut self, memory: &mut Memory) {
        memory.seen = None;
        memory.schedule.done();
        self.delays = delays(self.options);
    }

    fn publish(&mut self, session: &Session<'_>, state: State) {
        self.status.counts = session.counts();
        self.status.publish(state);
    }

    /// A lock on a file that was removed excludes no other process, and what is written beside it is lost as well.
    fn check_lock(&self) -> Result<(), Error> {
        let what = || format!("{} was removed or replaced under the worker", PRIVATE);
        let broken = || home::Error::Broken { path: self.exclusive.home().path().into(), what: what() };
        self.exclusive.is_current()?.then_some(()).ok_or_else(|| broken().into())
    }
}
