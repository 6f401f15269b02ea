//! What a worker does wrong: it is not there, it hangs, or it fails.

use std::time::Duration;

use jiff::Timestamp;

use super::{OF_ANOTHER, Publisher, WAITS_MAX};
use crate::model::text::number;
use crate::worker::{Published, State};

/// So many failures in a row need attention.
const FAILURES_MAX: u64 = 5;
/// What a worker that is at work may take for one step: it says nothing meanwhile.
const STEP_MAX: Duration = Duration::from_secs(30 * 60);

/// Adds to `needs` what is wrong with the worker. `records` are those that wait, the oldest for `oldest_age_s` seconds; `holder` is
/// the process that has the worker's lock.
pub fn trouble(
    records: &str,
    oldest_age_s: Option<i64>,
    holder: Option<&str>,
    published: Option<(&Published, Publisher)>,
    needs: &mut Vec<String>,
) {
    let waits = Duration::from_secs(u64::try_from(oldest_age_s.unwrap_or(0)).unwrap_or(0));
    let shown = number(waits.as_secs());
    if holder.is_none() && waits > WAITS_MAX {
        needs.push(format!(
            "no worker runs, and {records} waited for up to {shown} s: start one with `indelible worker \
             --detach`, or run `indelible flush`"
        ));
    }
    let Some((published, publisher)) = published else { return };
    // Another process than the worker can have the lock, and says nothing of itself: `flush` or `recover`.
    if publisher == Publisher::Running && may_hang(published) && waits > commits_after(published) + WAITS_MAX {
        needs.push(format!(
            "the worker, process {}, does nothing, and {records} waited for up to {shown} s: it was stopped, or it hangs. {}, and \
             start another: nothing is lost",
            published.process,
            how_to_end(published.process, holder)
        ));
    }
    if published.failures_in_a_row >= FAILURES_MAX {
        let why = published.last_error.as_ref().map_or("", |(_, error)| error);
        let times = number(published.failures_in_a_row);
        let who = match publisher {
            Publisher::Running => "the worker has",
            Publisher::Ended | Publisher::Gone => "the last worker, which no longer runs, had",
        };
        needs.push(format!("{who} failed {times} times in a row: {why}"));
    }
}

/// What a person can do about the worker that hangs. The number of a process in another container is another process's here.
fn how_to_end(process: u32, holder: Option<&str>) -> String {
    match () {
        () if holder.is_some_and(|holder| holder.contains(OF_ANOTHER)) => "End it in its container".to_owned(),
        () if cfg!(windows) => format!("End it (`taskkill /F /PID {process}`)"),
        () => format!("Let it go on (`kill -CONT {process}`), or end it (`kill -KILL {process}`)"),
    }
}

/// Whether the worker that published this has said nothing for so long that it can hang, if anything waits for it.
pub fn may_hang(published: &Published) -> bool {
    let silent = Timestamp::now().duration_since(published.at).unsigned_abs();
    let is_past = published.at < Timestamp::now();
    let may_take = match published.state {
        State::Idle => WAITS_MAX + commits_after(published),
        // It has failed, which is said.
        State::Retrying | State::Stopped => return false,
        State::Starting | State::Committing | State::Recovering | State::Erasing => STEP_MAX,
    };
    is_past && silent > may_take
}

/// How old a record gets before that worker commits it.
fn commits_after(published: &Published) -> Duration {
    Duration::from_millis(published.age_ms)
}
