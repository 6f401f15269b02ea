//! `status`: what is pending, and whether a person is needed.

use std::collections::BTreeMap;

use indelible::hook::count::Counts;
use indelible::status::{Status, status};
use indelible::worker::Published;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{self, count};

const WHAT: &str = "the home's status could not be told";

pub fn run(context: &Context, check: bool) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let status = status(&home, &settings.history()).map_err(|error| Failure::of(WHAT, &error))?;
    if context.json {
        output::json(&status);
    } else {
        say(&status);
    }
    Ok(if check && !status.needs_a_person.is_empty() { Exit::Disagreement } else { Exit::Done })
}

fn say(status: &Status) {
    let show = |name: &str, text: String| output::line(&format!("{name:<11} {text}"));
    show("home", status.home.clone());
    show(
        "pending",
        match status.pending.oldest_age_s {
            Some(age) => format!("{}, the oldest {age} s old", count(status.pending.records, "record", "records")),
            None => "nothing".into(),
        },
    );
    if status.rows_owed.records > 0 {
        let (owed, age) = (status.rows_owed.records, status.rows_owed.oldest_age_s.unwrap_or(0));
        show("rows owed", format!("{}, the oldest {age} s old: the index is locked", count(owed, "record", "records")));
    }
    show("worker", status.worker.as_ref().map_or_else(|| "not running".into(), |holder| worker(holder, status)));
    if let Some(published) = &status.published {
        published_lines(published, &show);
    }
    let journal = &status.journal;
    show("journal", format!("{}, {}", count(journal.segments as u64, "segment", "segments"), bytes(journal.bytes)));
    show("index", format!("{} of write-ahead log", bytes(status.index_wal_bytes)));
    if let Some(history) = &status.history {
        let commit = history.commit.as_deref().map_or("no commit yet", |commit| &commit[..commit.len().min(12)]);
        show("history", format!("{} at {commit}", history.branch.trim_start_matches("refs/heads/")));
        if let Some(advice) = &history.advice {
            show("branch", advice.clone());
        }
    }
    let quarantine = &status.quarantine;
    let set_aside = quarantine.set_aside.len();
    show(
        "quarantine",
        format!("{} damaged, {} parked, {set_aside} set aside", quarantine.damaged.len(), quarantine.parked.len()),
    );
    if let Some(hooks) = &status.hooks {
        show("hooks", hooks_line(hooks));
        if let Some(last) = &hooks.last_error {
            show("hook error", format!("{:.0}: {}", last.at, last.error));
        }
    }
    for need in &status.needs_a_person {
        show("ATTENTION", need.clone());
    }
}

fn worker(holder: &str, status: &Status) -> String {
    match &status.published {
        Some(published) => format!("{holder}, {}", format!("{:?}", published.state).to_lowercase()),
        None => holder.to_owned(),
    }
}

fn published_lines(published: &Published, show: &impl Fn(&str, String)) {
    if let Some(last) = &published.last_commit {
        show("committed", format!("{} at {:.0}", count(last.records as u64, "record", "records"), last.at));
    }
    let counts = &published.counts;
    show(
        "counted",
        format!(
            "{} commits, {} records, {} retries, {} waits, {} rows and {} files left to the worker, {} torn, {} voided, {} damaged, {} parked",
            counts.commits,
            counts.records,
            counts.retries,
            counts.waits,
            counts.rows_inserted,
            counts.files_written,
            counts.torn,
            counts.voided,
            counts.damaged,
            counts.parked
        ),
    );
    if let Some((at, error)) = &published.last_error {
        show("last error", format!("{at:.0}: {error}"));
    }
}

/// What became of hooks' events, in one line.
pub fn hooks_line(hooks: &Counts) -> String {
    let by = |reasons: &BTreeMap<String, u64>| match reasons.is_empty() {
        true => String::new(),
        false => {
            let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            format!(" ({})", reasons.join(", "))
        }
    };
    format!(
        "{} seen, {} recorded, {} skipped{}, {} unreadable{}, {} failed",
        hooks.seen,
        hooks.recorded,
        hooks.skipped,
        by(&hooks.skipped_by),
        hooks.unreadable,
        by(&hooks.unreadable_by),
        hooks.failed
    )
}

/// A number of bytes, rounded for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
