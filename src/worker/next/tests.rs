use super::*;
use Step::{
    Answer, Commit, Edits, End, Finish, InsertRows, Look, Maintain, PrepareToStop, Recover, RetryParked, Search,
    Upkeep, Wait,
};

const SECOND: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(30);
const AGE_MAX: Duration = SECOND;
const KEEP: Duration = Duration::from_secs(500);
const URGENT: u8 = 5;
const LATER: Duration = Duration::from_secs(300);

/// A worker that read its home a moment ago, and found nothing.
fn quiet(now: Instant) -> View {
    View {
        heard: None,
        stopping: None,
        upgraded: false,
        settling: false,
        watching: true,
        seen: Some(Seen { at: now, same: true }),
        round: None,
        asked: false,
        needs_recovery: false,
        backlog: Backlog::default(),
        schedule: Schedule::new(AGE_MAX, URGENT),
        at_rest: true,
        rows_due: None,
        parked_due: now + LATER,
        search_due: None,
        edits_due: None,
        upkeep_due: None,
        poll: POLL,
        keep: KEEP,
    }
}

/// A worker that has just read its home, which had changed.
fn looked(now: Instant) -> View {
    View { seen: None, round: Some(Round::default()), ..quiet(now) }
}

/// A worker that has just read `records` records of middling severity for the first time.
fn pending(records: usize, now: Instant) -> View {
    View { backlog: Backlog { records, full: false, severity_max: 3 }, at_rest: false, ..looked(now) }
}

/// A worker that has just read a batch.
fn full(now: Instant) -> View {
    View { backlog: Backlog { records: 9, full: true, severity_max: 1 }, ..pending(9, now) }
}

/// A worker that has just read an urgent record.
fn urgent(now: Instant) -> View {
    View { backlog: Backlog { records: 1, full: false, severity_max: URGENT }, ..pending(1, now) }
}

fn stopping(until: Instant) -> Option<Stopping> {
    Some(Stopping { until, goal_reached: false, tried: false })
}

fn tried(until: Instant) -> Option<Stopping> {
    Some(Stopping { until, goal_reached: false, tried: true })
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn each_situation_has_its_step() {
    let now = Instant::now() + Duration::from_secs(10_000);
    let (soon, past) = (now + SECOND, now - SECOND);
    let wait = |wait: Duration| Wait { until: now + wait };
    let (stop, reload) = (Some(Signal::Stop), Some(Signal::Reload));
    let maintained = Some(Round { maintained: true, ..Round::default() });
    let recovered = Some(Round { recovered: true, ..Round::default() });
    let seen_before = {
        let mut schedule = Schedule::new(AGE_MAX, URGENT);
        schedule.due(pending(1, now).backlog, now - AGE_MAX * 3 / 4);
        schedule
    };
    let table = [
        // Edits by hand are looked for when nothing else is to be done.
        ("edits are to be looked for", View { edits_due: Some(past), ..quiet(now) }, Edits),
        ("edits are to be looked for soon", View { edits_due: Some(soon), ..quiet(now) }, wait(SECOND)),
        ("an erasure is retried though nothing changed", View { parked_due: past, ..quiet(now) }, Look),
        ("an erasure is retried soon", View { parked_due: soon, ..quiet(now) }, wait(SECOND)),
        (
            "an erasure is retried soon after a look",
            View { round: maintained, parked_due: soon, ..looked(now) },
            wait(SECOND),
        ),
        ("edits wait for what is pending", View { edits_due: Some(past), ..pending(1, now) }, wait(AGE_MAX)),
        (
            "edits are not looked for when it stops",
            View { edits_due: Some(past), stopping: stopping(soon), ..quiet(now) },
            Look,
        ),
        // Nothing to do.
        ("nothing changed and quiet", quiet(now), wait(POLL)),
        ("no watcher", View { watching: false, ..quiet(now) }, wait(SECOND / 5)),
        ("a program that may still change", View { settling: true, ..quiet(now) }, wait(SETTLED)),
        ("segments go soon", View { keep: SECOND, ..quiet(now) }, wait(SECOND)),
        ("segments go at once", View { keep: Duration::ZERO, ..quiet(now) }, wait(KEEP_MIN)),
        ("no watcher, segments go at once", View { watching: false, keep: SECOND / 100, ..quiet(now) }, wait(KEEP_MIN)),
        // Reasons to look.
        ("an event", View { seen: None, ..quiet(now) }, Look),
        ("the home looks different", View { seen: Some(Seen { at: now, same: false }), ..quiet(now) }, Look),
        (
            "the same for too long",
            View { seen: Some(Seen { at: now - FINGERPRINT_AGE_MAX, same: true }), ..quiet(now) },
            Look,
        ),
        (
            "the same for nearly too long",
            View { seen: Some(Seen { at: now - FINGERPRINT_AGE_MAX + SECOND, same: true }), ..quiet(now) },
            wait(POLL),
        ),
        ("something pending, or a segment to rotate", View { at_rest: false, ..quiet(now) }, Look),
        ("an upgrade", View { upgraded: true, ..quiet(now) }, Look),
        ("stopping", View { stopping: stopping(soon), ..quiet(now) }, Look),
        // Batches.
        ("a record", View { round: maintained, ..pending(1, now) }, wait(AGE_MAX)),
        ("a record that waits already", View { schedule: seen_before, ..pending(1, now) }, wait(AGE_MAX / 4)),
        ("an urgent record", urgent(now), Commit),
        ("a full backlog", full(now), Commit),
        // What is asked for.
        ("a request", View { asked: true, ..looked(now) }, Answer),
        ("a request while records wait", View { asked: true, ..pending(3, now) }, Answer),
        ("an upgrade while requests wait", View { upgraded: true, asked: true, ..looked(now) }, Answer),
        ("an upgrade", View { upgraded: true, ..looked(now) }, End(Ended::Replaced)),
        ("an upgrade while records wait", View { upgraded: true, ..pending(3, now) }, End(Ended::Replaced)),
        ("reload", View { heard: reload, ..quiet(now) }, End(Ended::Reload)),
        ("reload while records are due", View { heard: reload, ..full(now) }, End(Ended::Reload)),
        // Stopping.
        ("asked to stop with nothing pending", View { heard: stop, ..quiet(now) }, PrepareToStop),
        ("asked to stop while busy", View { heard: stop, ..pending(3, now) }, PrepareToStop),
        ("asked to stop again", View { heard: stop, stopping: stopping(soon), ..pending(3, now) }, Commit),
        ("reload while stopping", View { heard: reload, stopping: stopping(soon), ..pending(3, now) }, Commit),
        (
            "reload while stopping, nothing left",
            View { heard: reload, stopping: stopping(soon), ..looked(now) },
            Finish,
        ),
        ("stopping, not due", View { stopping: stopping(soon), ..pending(3, now) }, Commit),
        ("stopping, nothing pending", View { stopping: stopping(soon), ..looked(now) }, Finish),
        (
            "stopping, only what came later is pending",
            View { stopping: Some(Stopping { until: soon, goal_reached: true, tried: true }), ..pending(3, now) },
            Finish,
        ),
        ("stopping while requests wait", View { stopping: stopping(soon), asked: true, ..looked(now) }, Answer),
        ("stopping and upgraded", View { stopping: stopping(soon), upgraded: true, ..pending(3, now) }, Commit),
        ("out of time, nothing tried", View { stopping: stopping(past), ..pending(3, now) }, Commit),
        ("out of time, nothing tried, nothing pending", View { stopping: stopping(past), ..looked(now) }, Finish),
        ("out of time", View { stopping: tried(past), ..pending(3, now) }, End(Ended::OutOfTime)),
        ("out of time at this instant", View { stopping: tried(now), ..pending(3, now) }, End(Ended::OutOfTime)),
        (
            "out of time, requests wait",
            View { stopping: tried(past), asked: true, ..pending(3, now) },
            End(Ended::OutOfTime),
        ),
        ("out of time, all committed", View { stopping: tried(past), ..looked(now) }, End(Ended::Stopped)),
        ("out of time, not looked since", View { stopping: tried(past), ..quiet(now) }, Look),
        // Rows that lag.
        ("rows lag", View { rows_due: Some(now), at_rest: false, ..looked(now) }, InsertRows),
        (
            "rows lag and the lock is still held",
            View { rows_due: Some(now + SECOND / 5), round: maintained, at_rest: false, ..looked(now) },
            wait(SECOND / 5),
        ),
        ("rows lag, a record waits", View { rows_due: Some(now), ..pending(1, now) }, InsertRows),
        ("rows lag, a record is urgent", View { rows_due: Some(now), ..urgent(now) }, Commit),
        ("rows lag, stopping", View { rows_due: Some(now), stopping: stopping(soon), ..looked(now) }, Finish),
        // Steps that can wait.
        ("the journal is damaged", View { needs_recovery: true, ..looked(now) }, Recover),
        (
            "the journal is damaged, records are due",
            View { needs_recovery: true, asked: true, ..pending(9, now) },
            Recover,
        ),
        ("damage that is still there", View { needs_recovery: true, round: recovered, ..looked(now) }, Maintain),
        ("nothing found", looked(now), Maintain),
        ("nothing left to maintain", View { round: maintained, ..looked(now) }, wait(POLL)),
        ("parked records", View { round: maintained, parked_due: now, ..looked(now) }, RetryParked),
        (
            "parked records, another waits",
            View { round: maintained, parked_due: now, ..pending(1, now) },
            wait(AGE_MAX),
        ),
        // Search, which is never required.
        ("search is behind, quiet", View { search_due: Some(now), ..quiet(now) }, Look),
        ("search is behind", View { search_due: Some(now), round: maintained, ..looked(now) }, Search),
        ("search is behind, not maintained", View { search_due: Some(now), ..looked(now) }, Maintain),
        ("search is behind, a record waits", View { search_due: Some(now), ..pending(1, now) }, Search),
        ("search is behind, a record is urgent", View { search_due: Some(now), ..urgent(now) }, Commit),
        ("search is behind, a request", View { search_due: Some(now), asked: true, ..looked(now) }, Answer),
        ("search is behind, rows lag", View { search_due: Some(now), rows_due: Some(now), ..looked(now) }, InsertRows),
        ("search is behind, stopping", View { search_due: Some(now), stopping: stopping(soon), ..looked(now) }, Finish),
        ("search failed, quiet", View { search_due: Some(soon), ..quiet(now) }, wait(SECOND)),
        ("search failed, looked", View { search_due: Some(soon), round: maintained, ..looked(now) }, wait(SECOND)),
        ("the adopted database's upkeep", View { upkeep_due: Some(now), ..quiet(now) }, Upkeep),
        ("upkeep while busy", View { upkeep_due: Some(past), asked: true, ..pending(9, now) }, Upkeep),
        ("upkeep soon, quiet", View { upkeep_due: Some(soon), ..quiet(now) }, wait(SECOND)),
        ("upkeep soon, looked", View { upkeep_due: Some(soon), round: maintained, ..looked(now) }, wait(SECOND)),
    ];
    let wrong: Vec<_> = table
        .iter()
        .map(|(what, view, step)| (what, next(view, now), step))
        .filter(|(_, found, expected)| found != *expected)
        .collect();
    assert!(wrong.is_empty(), "situation, found, expected: {wrong:#?}");
}

#[test]
fn a_record_is_due_once_it_has_waited() {
    let now = Instant::now();
    let mut view = pending(1, now);
    view.schedule.due(view.backlog, now);
    assert_eq!(next(&view, now), Wait { until: now + AGE_MAX });
    assert_eq!(next(&view, now + AGE_MAX), Commit);
}

#[test]
fn a_wish_to_stop_and_a_commit_begin_a_new_round() {
    let round = Some(Round { recovered: true, maintained: true });
    for step in [PrepareToStop, Commit, Answer, Search, Wait { until: Instant::now() }] {
        assert!(round_after(step, round).is_none(), "{step:?}: what was read before is not all there is");
    }
}

#[test]
fn after_a_failure() {
    let failed = Failed::default();
    for (what, failed, then) in [
        ("a failure", failed, AfterFailure::TryLater),
        ("a lost index", Failed { index_lost: true, ..failed }, AfterFailure::TryAtOnce),
        ("an upgrade", Failed { upgraded: true, index_lost: true, ..failed }, AfterFailure::Become),
        ("out of time", Failed { out_of_time: true, index_lost: true, ..failed }, AfterFailure::GiveUp),
        ("for a person", Failed { needs_attention: true, upgraded: true, ..failed }, AfterFailure::GiveUp),
    ] {
        assert_eq!(after_failure(failed), then, "{what}");
    }
}

/// The least that a step changes in the worker's view: recovery leaves work, and rows still lag.
fn after(view: &View, step: Step, now: Instant) -> View {
    let later = now + LATER;
    let mut after = View { heard: None, round: round_after(step, view.round), ..view.clone() };
    match step {
        PrepareToStop => after.stopping = stopping(later),
        Upkeep => after.upkeep_due = Some(later),
        Look => after.seen = Some(Seen { at: now, same: true }),
        Commit | Answer => {
            (after.backlog, after.at_rest, after.seen) = (Backlog::default(), true, None);
            after.asked &= step != Answer;
            if let Some(stopping) = &mut after.stopping {
                stopping.tried = true;
            }
        }
        InsertRows => after.rows_due = Some(later),
        RetryParked => after.parked_due = later,
        Search => after.search_due = Some(later),
        Edits => after.edits_due = Some(later),
        Recover | Maintain | Wait { .. } | Finish | End(_) => {}
    }
    after
}

/// From any view, the worker waits or ends a few steps later, and does nothing before it has looked.
#[test]
fn every_situation_comes_to_rest() {
    let now = Instant::now() + Duration::from_secs(10_000);
    let mut situations = vec![quiet(now)];
    let mut vary = |change: fn(&mut View, Instant)| {
        let changed = situations.clone().into_iter().map(|mut view| {
            change(&mut view, now);
            view
        });
        situations = changed.chain(situations.clone()).collect();
    };
    vary(|view, _| view.heard = Some(Signal::Stop));
    vary(|view, _| view.heard = Some(Signal::Reload));
    vary(|view, now| view.stopping = stopping(now + SECOND));
    vary(|view, now| view.stopping = tried(now - SECOND));
    vary(|view, _| view.upgraded = true);
    vary(|view, _| view.asked = true);
    vary(|view, _| view.needs_recovery = true);
    vary(|view, _| (view.backlog, view.at_rest) = (Backlog { records: 9, full: true, severity_max: 3 }, false));
    vary(|view, now| (view.rows_due, view.at_rest) = (Some(now), false));
    vary(|view, now| view.parked_due = now);
    vary(|view, now| view.search_due = Some(now));
    vary(|view, now| view.upkeep_due = Some(now));
    vary(|view, _| view.seen = None);
    vary(|view, _| view.round = Some(Round::default()));
    for situation in situations {
        let (mut view, mut steps) = (situation.clone(), Vec::new());
        loop {
            let step = next(&view, now);
            steps.push(step);
            assert!(steps.len() < 16, "it never rests: {situation:#?} {steps:?}");
            let looks_first = matches!(step, Wait { .. } | PrepareToStop | Upkeep | Look | End(Ended::Reload));
            assert!(view.round.is_some() || looks_first, "it did not look: {situation:#?} {steps:?}");
            match step {
                Wait { until } => {
                    assert!(until > now && view.stopping.is_none() && !view.asked, "{situation:#?} {steps:?}");
                    break;
                }
                End(Ended::Replaced) => {
                    assert!(!view.asked && view.stopping.is_none(), "{situation:#?} {steps:?}");
                    break;
                }
                Finish | End(_) => break,
                _ => view = after(&view, step, now),
            }
        }
    }
}
