//! When the next batch is due. Pure, given the time.

use std::time::{Duration, Instant};

/// The backlog: what waits to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many records, as far as they have been read.
    pub records: usize,
    /// Whether there are enough of them for a batch.
    pub full: bool,
    /// The highest severity among them; 0 if the backlog is empty.
    pub severity_max: u8,
}

/// Decides when a batch is due: when its oldest record has waited long enough since it was first seen, when it is full,
/// or when one of its records is urgent.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long the oldest record may wait.
    pub age_max: Duration,
    /// The lowest severity that makes a batch due at once.
    pub urgent: u8,
    oldest: Option<Instant>,
}

impl Schedule {
    /// A schedule with nothing pending yet.
    pub fn new(age_max: Duration, urgent: u8) -> Schedule {
        Schedule { age_max, urgent, oldest: None }
    }

    /// Takes note of the backlog at `now`, and returns when it is due: `None` if it is empty.
    pub fn due(&mut self, backlog: Backlog, now: Instant) -> Option<Instant> {
        if backlog.records == 0 {
            self.oldest = None;
            return None;
        }
        let oldest = *self.oldest.get_or_insert(now);
        let at_once = backlog.full || backlog.severity_max >= self.urgent;
        Some(if at_once { now } else { oldest + self.age_max })
    }

    /// Everything pending was committed: the next record seen is the oldest.
    pub fn done(&mut self) {
        self.oldest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backlog(records: usize, severity_max: u8) -> Backlog {
        Backlog { records, full: false, severity_max }
    }

    #[test]
    fn the_oldest_record_decides() {
        let (mut schedule, start) = (Schedule::new(SECOND, 5), Instant::now());
        assert_eq!(schedule.due(backlog(0, 0), start), None);
        assert_eq!(schedule.due(backlog(1, 3), start), Some(start + SECOND));
        assert_eq!(schedule.due(backlog(7, 3), start + SECOND / 2), Some(start + SECOND));
        schedule.done();
        assert_eq!(schedule.due(backlog(1, 3), start + SECOND), Some(start + SECOND * 2));
    }

    #[test]
    fn what_is_urgent_or_full_is_due_at_once() {
        let (mut schedule, now) = (Schedule::new(SECOND, 5), Instant::now());
        assert_eq!(schedule.due(backlog(1, 5), now), Some(now));
        assert_eq!(schedule.due(Backlog { full: true, ..backlog(1000, 1) }, now), Some(now));
    }
}
