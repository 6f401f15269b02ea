//! What the worker does next. Pure: [`next`] decides from the worker's view and the time, and does nothing.
//!
//! A round begins with a look at the home, unless the home is unchanged from outside and nothing is due. Then the
//! findings are dealt with, one [`Step`] at a time: first what ends the worker, then what others wait for, then what
//! can wait. A commit, an answer, a request to stop, a slice of search and a wait end the round ([`round_after`]). Every other step is
//! taken at most once in a round, so every round ends.

use std::time::{Duration, Instant};

use super::program::SETTLED;
use super::wake::Signal;
use super::{Ended, FINGERPRINT_AGE_MAX};
use crate::pipeline::{Backlog, Schedule};

/// How often the worker looks if no watcher reports events.
pub(super) const POLL_WITHOUT_WATCHER: Duration = Duration::from_millis(200);
/// The shortest wait for a segment that is kept only briefly.
const KEEP_MIN: Duration = Duration::from_millis(10);

/// What the worker knows when it decides.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// A signal that was not acted on yet.
    pub(super) heard: Option<Signal>,
    /// What is left to do since the worker was asked to stop.
    pub(super) stopping: Option<Stopping>,
    /// Whether the program was replaced by another.
    pub(super) upgraded: bool,
    /// Whether a program in its place may still change.
    pub(super) settling: bool,
    /// Whether the system reports events.
    pub(super) watching: bool,
    /// When the home was last read, and whether it is unchanged from outside since. `None` if it has to be read again.
    pub(super) seen: Option<Seen>,
    /// What was done since the home was read; `None` if this round has not read it.
    pub(super) round: Option<Round>,
    /// Whether requests wait for an answer.
    pub(super) asked: bool,
    /// Whether something was found that needs recovery.
    pub(super) needs_recovery: bool,
    /// The backlog.
    pub(super) backlog: Backlog,
    /// When it is due.
    pub(super) schedule: Schedule,
    /// Whether nothing has to be committed, inserted or maintained until a new event.
    pub(super) at_rest: bool,
    /// When to retry inserting the rows that lag; `None` if no row lags.
    pub(super) rows_due: Option<Instant>,
    /// When to retry what is parked, or an erasure that something was in the way of.
    pub(super) parked_due: Instant,
    /// When to bring search up to date, or to try again; `None` if it is up to date.
    pub(super) search_due: Option<Instant>,
    /// When to look for edits by hand, or to go on with it; `None` if that is not done.
    pub(super) edits_due: Option<Instant>,
    /// When the database of an adopted home needs upkeep; `None` if it needs none until a new event.
    pub(super) upkeep_due: Option<Instant>,
    /// How often the worker looks without an event.
    pub(super) poll: Duration,
    /// How long a segment stays after its last record was committed.
    pub(super) keep: Duration,
}

/// The progress of a worker that was asked to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    /// When it stops trying.
    pub(super) until: Instant,
    /// Whether everything is committed that was in the journal when it was asked.
    pub(super) goal_reached: bool,
    /// Whether it has tried to commit anything since.
    pub(super) tried: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) same: bool,
}

/// What was done since the home was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Recovery ran. If the index cannot be opened, it leaves work for later.
    pub(super) recovered: bool,
    /// The journal and the index were maintained.
    pub(super) maintained: bool,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for an event, or until then.
    Wait {
        until: Instant,
    },
    /// Note the journal's end, and the deadline.
    PrepareToStop,
    /// Do the due upkeep of an adopted home's database.
    Upkeep,
    /// Read the requests, and what was appended to the journal.
    Look,
    Recover,
    /// Commit one batch.
    Commit,
    /// Commit everything, do what was requested, and answer.
    Answer,
    /// Try to insert the rows that lag.
    InsertRows,
    Maintain,
    RetryParked,
    /// Bring search up to date, or a slice of that.
    Search,
    /// Look for edits by hand, a slice of that.
    Edits,
    /// Leave the home as other processes expect it, and end as [`Ended::Stopped`].
    Finish,
    End(Ended),
}

/// What to do at `now`.
pub(super) fn next(view: &View, now: Instant) -> Step {
    match view.heard {
        // A worker that reloads its settings starts over, and would forget to stop.
        Some(Signal::Reload) if view.stopping.is_none() => return Step::End(Ended::Reload),
        Some(Signal::Stop) if view.stopping.is_none() => return Step::PrepareToStop,
        _ => {}
    }
    if view.upkeep_due.is_some_and(|due| due <= now) {
        return Step::Upkeep;
    }
    match view.round {
        // While anything else is to be done, no edit is looked for: what is pending may be one that was taken.
        None if is_quiet(view, now) && view.edits_due.is_some_and(|due| due <= now) => Step::Edits,
        None if is_quiet(view, now) => {
            let dues = [Some(view.parked_due), view.search_due, view.edits_due, view.upkeep_due];
            Step::Wait { until: earliest(now + idle(view), dues) }
        }
        None => Step::Look,
        Some(round) => within(view, round, now),
    }
}

/// What to do once the home has been read.
fn within(view: &View, round: Round, now: Instant) -> Step {
    if view.upgraded && view.stopping.is_none() && !view.asked {
        return Step::End(Ended::Replaced);
    }
    if view.needs_recovery && !round.recovered {
        return Step::Recover;
    }
    if let Some(stopping) = view.stopping {
        // A batch may have been too small for everything: all is committed only if nothing more is found.
        let finished = stopping.goal_reached || view.backlog.records == 0;
        match finished {
            _ if stopping.until <= now && stopping.tried => {
                return Step::End(if finished { Ended::Stopped } else { Ended::OutOfTime });
            }
            true if !view.asked => return Step::Finish,
            _ => {}
        }
    }
    let due = view.schedule.clone().due(view.backlog, now);
    if view.asked {
        return Step::Answer;
    }
    if due.is_some_and(|due| due <= now || view.stopping.is_some()) {
        return Step::Commit;
    }
    if view.rows_due.is_some_and(|due| due <= now) {
        return Step::InsertRows;
    }
    if due.is_none() && !round.maintained {
        return Step::Maintain;
    }
    if due.is_none() && view.parked_due <= now {
        return Step::RetryParked;
    }
    if view.search_due.is_some_and(|due| due <= now) {
        return Step::Search;
    }
    let parked_due = due.is_none().then_some(view.parked_due);
    let dues = [due, view.rows_due, parked_due, view.search_due, view.upkeep_due];
    Step::Wait { until: earliest(now + idle(view), dues) }
}

/// The round after `step` was taken in `round`; `None` if the home has to be read again, or has to be unchanged from
/// outside.
pub(super) fn round_after(step: Step, round: Option<Round>) -> Option<Round> {
    match step {
        Step::Look => Some(Round::default()),
        // The commit may have been too small, and what was read may be less than the journal held when the worker was
        // asked to stop.
        Step::Wait { .. } | Step::PrepareToStop | Step::Commit | Step::Answer => None,
        // Commits and requests do not wait for more than one slice.
        Step::Search | Step::Edits => None,
        Step::Recover => round.map(|round| Round { recovered: true, ..round }),
        Step::Maintain => round.map(|round| Round { maintained: true, ..round }),
        Step::Upkeep | Step::InsertRows | Step::RetryParked | Step::Finish | Step::End(_) => round,
    }
}

/// Whether there is nothing to do, as far as can be told without opening anything: nothing is pending or due, and the
/// home is unchanged since just before it was last read. This also catches events that the worker missed.
fn is_quiet(view: &View, now: Instant) -> bool {
    let same = |seen: Seen| seen.same && now.saturating_duration_since(seen.at) < FINGERPRINT_AGE_MAX;
    let undisturbed = view.stopping.is_none() && !view.asked && !view.upgraded;
    let is_found = view.search_due.is_none_or(|due| due > now);
    undisturbed && view.at_rest && is_found && view.parked_due > now && view.seen.is_some_and(same)
}

/// How long there is nothing to do without an event.
fn idle(view: &View) -> Duration {
    let poll = if view.watching { view.poll } else { POLL_WITHOUT_WATCHER };
    let poll = if view.settling { poll.min(SETTLED) } else { poll };
    if view.keep < poll { view.keep.max(KEEP_MIN) } else { poll }
}

fn earliest<const N: usize>(first: Instant, others: [Option<Instant>; N]) -> Instant {
    others.into_iter().flatten().fold(first, Instant::min)
}

/// A session that has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    /// It needs a person's attention.
    pub(super) needs_attention: bool,
    /// The worker was asked to stop, and the time for that has run out.
    pub(super) out_of_time: bool,
    /// The program was replaced by another, and the worker was not asked to stop.
    pub(super) upgraded: bool,
    /// The index has to be rebuilt, which the next session does.
    pub(super) index_lost: bool,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// Refuse all requests, and end with the error.
    GiveUp,
    /// Become the new program, which may handle it better.
    Become,
    /// Open everything again at once.
    TryAtOnce,
    /// Open everything again, after a growing wait.
    TryLater,
}

/// What to do after a failure.
pub(super) fn after_failure(failed: Failed) -> AfterFailure {
    match failed {
        Failed { needs_attention: true, .. } | Failed { out_of_time: true, .. } => AfterFailure::GiveUp,
        Failed { upgraded: true, .. } => AfterFailure::Become,
        Failed { index_lost: true, .. } => AfterFailure::TryAtOnce,
        _ => AfterFailure::TryLater,
    }
}

#[cfg(test)]
mod tests;
