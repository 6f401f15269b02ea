//! When the worker syncs. Pure.

use std::time::{Duration, Instant};

use super::{Class, Options};

/// How long an urgent record waits for its push.
const URGENT_AGE: Duration = Duration::from_secs(3);
/// Two pushes to one remote are never closer, by all of its homes together: forges allow six a minute in a repository.
const GAP: Duration = Duration::from_secs(10);
/// The first wait after a failure that passes by itself, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// The wait after a failure that a person has to see to.
const PERSON_WAIT: Duration = Duration::from_secs(3600);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Something new is to be pushed.
    Push,
    /// The remote is to be looked at.
    Look,
}

/// When what is due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    push_age: Duration,
    look_every: Duration,
    /// When the oldest news has to be pushed.
    push_at: Option<Instant>,
    look_at: Instant,
    /// Nothing is done before.
    not_before: Instant,
}

impl Schedule {
    /// A schedule that begins now: what there is may be from before.
    pub(super) fn new(options: &Options, now: Instant) -> Schedule {
        let (push_age, look_every) = (options.push_age, options.look_every);
        Schedule { push_age, look_every, push_at: Some(now), look_at: now + look_every, not_before: now }
    }

    /// Something was committed.
    pub(super) fn news(&mut self, urgent: bool, now: Instant) {
        let age = if urgent { self.push_age.min(URGENT_AGE) } else { self.push_age };
        let at = now + age;
        self.push_at = Some(self.push_at.map_or(at, |before| before.min(at)));
    }

    /// When to look again whether something is due.
    pub(super) fn next(&self) -> Instant {
        self.push_at.unwrap_or(self.look_at).min(self.look_at).max(self.not_before)
    }

    /// What is due.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        if now < self.not_before {
            return None;
        }
        if self.look_at <= now {
            return Some(Due::Look);
        }
        self.push_at.filter(|at| *at <= now).map(|_| Due::Push)
    }

    /// Something is about to be done: what is committed from now on is news again.
    pub(super) fn begins(&mut self) {
        self.push_at = None;
    }

    /// It was done, or failed for the `attempts`-th time in a row; the remote has so many `lanes`. `jitter` is from 0 to 1: hosts that
    /// failed together do not try together.
    pub(super) fn done(&mut self, failed: Option<(Class, u32)>, lanes: u32, jitter: f64, now: Instant) {
        let spread = |wait: Duration| wait.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
        self.look_at = now + spread(self.look_every);
        let gap = GAP.saturating_mul(lanes.max(1));
        self.not_before = now + gap;
        if let Some((class, attempts)) = failed {
            self.not_before = now + spread(backoff(class, attempts)).max(gap);
            self.push_at = Some(self.not_before);
        }
    }
}

/// How long to wait after the `attempts`-th failure in a row.
pub(super) fn backoff(class: Class, attempts: u32) -> Duration {
    match class {
        Class::Later | Class::Raced => {
            let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
            BACKOFF.0.saturating_mul(doubled).min(BACKOFF.1)
        }
        Class::Person | Class::Refused | Class::Config => PERSON_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// A schedule that has just synced at `now`.
    fn at_rest(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(&Options::default(), now);
        assert_eq!(schedule.due(now), Some(Due::Push), "what there is may be from before");
        schedule.begins();
        schedule.done(None, 1, 0.5, now);
        schedule
    }

    #[test]
    fn news_are_pushed_once_the_oldest_is_old_enough() {
        let now = Instant::now();
        let mut schedule = at_rest(now);
        assert_eq!((schedule.due(now + seconds(299)), schedule.next()), (None, now + seconds(300)));
        schedule.news(false, now + seconds(20));
        schedule.news(false, now + seconds(40));
        assert_eq!((schedule.due(now + seconds(49)), schedule.next()), (None, now + seconds(50)));
        assert_eq!(schedule.due(now + seconds(50)), Some(Due::Push));
        schedule.news(true, now + seconds(41));
        assert_eq!(schedule.due(now + seconds(44)), Some(Due::Push), "an urgent one brings the others");
    }

    #[test]
    fn pushes_have_a_gap_and_news_meanwhile_are_not_lost() {
        let now = Instant::now();
        let mut schedule = at_rest(now);
        schedule.news(true, now);
        assert_eq!((schedule.due(now + seconds(9)), schedule.next()), (None, now + seconds(10)));
        assert_eq!(schedule.due(now + seconds(10)), Some(Due::Push));
        schedule.begins();
        schedule.news(true, now + seconds(11));
        schedule.done(None, 1, 0.5, now + seconds(12));
        assert_eq!(schedule.due(now + seconds(22)), Some(Due::Push), "it came while git ran");
    }

    #[test]
    fn the_gap_grows_with_the_lanes_of_the_remote() {
        let now = Instant::now();
        for (lanes, gap) in [(0, 10), (1, 10), (7, 70), (1000, 10_000)] {
            let mut schedule = at_rest(now);
            schedule.begins();
            schedule.done(None, lanes, 0.5, now);
            schedule.news(true, now);
            assert_eq!(schedule.next(), now + seconds(gap), "{lanes}");
        }
    }

    #[test]
    fn failures_wait_longer_and_longer_and_are_spread() {
        let now = Instant::now();
        for (class, attempts, least, most) in [
            (Class::Later, 1, 24, 36),
            (Class::Later, 3, 96, 144),
            (Class::Later, 4_000_000, 2880, 4320),
            (Class::Person, 1, 2880, 4320),
            (Class::Config, 9, 2880, 4320),
        ] {
            for (jitter, wanted) in [(0.0, least), (1.0, most)] {
                let mut schedule = at_rest(now);
                schedule.begins();
                schedule.done(Some((class, attempts)), 1, jitter, now);
                assert_eq!(schedule.next(), now + seconds(wanted), "{class:?} {attempts} {jitter}");
                schedule.news(true, now);
                assert_eq!(schedule.due(now + seconds(wanted - 1)), None, "news do not shorten it");
            }
        }
    }

    #[test]
    fn who_was_called_too_often_is_left_alone_for_a_minute() {
        let error = super::super::Error::said("push", "The requested URL returned error: 429");
        assert!(error.is_throttled() && backoff(error.class(), 3).mul_f64(0.8) > seconds(60));
    }

    #[test]
    fn the_remote_is_looked_at_though_nothing_is_new() {
        let now = Instant::now();
        assert_eq!(at_rest(now).due(now + seconds(300)), Some(Due::Look));
    }
}
