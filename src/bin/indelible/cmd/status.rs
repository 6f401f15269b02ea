//! `status`: what was recorded, what is pending, and what needs attention.
//!
//! `lines` words what is counted, `metrics` writes it for a collector. `docs/status.md` describes the JSON.

mod lines;
mod metrics;

pub(super) use lines::{beginning_of_today, bytes};

use std::collections::BTreeMap;
use std::path::Path;

use indelible::fs::os::Stream;
use indelible::home::Home;
use indelible::hook::count::{self, Counts};
use indelible::model::layout::QUARANTINE;
use indelible::model::text::{self, number, visible_line};
use indelible::quarantine::Contents;
use indelible::status::{IndexState, Publisher, Status, status};
use indelible::sync::{self, Standing};
use indelible::trust::Passed;
use indelible::worker::Published;
use serde::Serialize;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::lost;
use crate::output::{self, count as counted};
use crate::reading::screen::Screen;
use crate::settings::Settings;
use crate::user;
use crate::which;

const WHAT: &str = "the home's status could not be read";

pub fn run(context: &Context, check: bool, as_metrics: bool) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let mut status =
        status(&home, &settings.history(), lines::beginning_of_today()).map_err(|error| Failure::of(WHAT, &error))?;
    status.needs_attention.extend(super::adopt::replaced_scripts(&home, WHAT)?);
    status.hooks_without_home = lost::counts();
    status.needs_attention.extend(settings.hook_trouble());
    status.needs_attention.extend(super::hooks::troubles());
    status.needs_attention.extend(status.hooks_without_home.as_ref().and_then(Counts::trouble));
    let standing = standing(&home, &settings, &mut status.needs_attention);
    let notices = Settings::explained(&home, &context.overrides)?.notices;
    let passed = user::state_folder().as_deref().map(Passed::read).unwrap_or_default();
    if as_metrics {
        let costs = count::costs(home.private()).map_err(|error| Failure::of(WHAT, &error))?;
        output::write(Stream::Output, &metrics::of(&status, &costs, standing.as_ref()));
    } else if context.json {
        output::json(&Told {
            status: &status,
            sync: standing.as_ref(),
            settings_notices: &notices,
            passed: passed.all().map(PassedHome::of).collect(),
        });
    } else {
        say(&status, standing.as_ref(), &home.private().path().join(QUARANTINE));
        let show = |name: &str, text: &str| output::line(&format!("{name:<11} {text}"));
        notices.iter().for_each(|notice| show("settings", notice));
        passed.all().for_each(|(path, records)| show("passed by", &which::told_of_passed(path, records)));
    }
    Ok(if check && !status.needs_attention.is_empty() { Exit::Disagreement } else { Exit::Done })
}

/// The home's status, and what only this user's own files know.
#[derive(Serialize)]
struct Told<'s> {
    #[serde(flatten)]
    status: &'s Status,
    /// How the home stands with its remote; null if it has none.
    sync: Option<&'s Standing>,
    /// Settings of the home's file that are ignored or limited.
    settings_notices: &'s [String],
    /// Untrusted homes that were skipped although records were made within them.
    passed: Vec<PassedHome<'s>>,
}

#[derive(Serialize)]
struct PassedHome<'s> {
    path: &'s Path,
    records: u64,
}

impl<'s> PassedHome<'s> {
    fn of((path, records): (&'s Path, u64)) -> PassedHome<'s> {
        PassedHome { path, records }
    }
}

/// The columns of the names of what is shown.
const NAMES_COLUMNS: usize = 12;
/// How many names of files in quarantine are shown.
const NAMES_SHOWN: usize = 5;

fn quarantined(quarantine: &Contents, folder: &Path, show: &impl Fn(&str, String)) {
    let many = |names: &[String]| number(names.len() as u64);
    let Contents { damaged, parked, operations: _, set_aside, events } = quarantine;
    let mut line = format!("{} damaged, {} parked, {} set aside", many(damaged), many(parked), many(set_aside));
    if !events.is_empty() {
        line.push_str(&format!(", {}", counted(events.len() as u64, "unreadable event", "unreadable events")));
    }
    let all: Vec<_> = damaged.iter().chain(parked).chain(set_aside).chain(events).collect();
    if all.is_empty() {
        return show("quarantine", line);
    }
    show("quarantine", format!("{line}, in {}", text::path(folder)));
    all.iter().take(NAMES_SHOWN).for_each(|name| show("", (*name).clone()));
    if all.len() > NAMES_SHOWN {
        show("", format!("and {} more", number(all.len() as u64 - NAMES_SHOWN as u64)));
    }
    if !set_aside.is_empty() {
        let what = "what is set aside was in the place of a record or a page: take what you need, then \
                    `indelible repair --dismiss`";
        show("", output::hint(what));
    }
    if !events.is_empty() {
        let what = "an unreadable event is what a host sent that was no event: look whether something of it matters, then \
                    `indelible repair --dismiss`";
        show("", output::hint(what));
    }
}

/// How the home stands with its remote, if it has one. What a person has to see to goes to `needs`.
fn standing(home: &Home, settings: &Settings, needs: &mut Vec<String>) -> Option<Standing> {
    let options = settings.sync().map_err(|failure| needs.push(failure.what.clone())).ok()?;
    let standing = sync::standing(home, &options).map_err(|error| needs.push(error.to_string())).ok()??;
    needs.extend(standing.troubles(&options));
    Some(standing)
}

fn say(status: &Status, standing: Option<&Standing>, folder: &Path) {
    let screen = Screen::of_stdout();
    let show = |name: &str, text: String| {
        let mut name = name;
        for line in screen.wrapped(&visible_line(&text), NAMES_COLUMNS) {
            output::line(&format!("{name:<0$}{line}", NAMES_COLUMNS));
            name = "";
        }
    };
    show("home", status.home.clone());
    if let Some(records) = &status.records {
        show("records", lines::by_kind(records, false));
        show("today", lines::by_kind(records, true));
    }
    show("size", lines::size(&status.size));
    show("pending", lines::waits(&screen, &status.pending));
    if status.rows_lag.records > 0 {
        let why = match status.index {
            IndexState::Readable => "a worker or `indelible flush` inserts them",
            IndexState::Busy => "the index is locked",
            IndexState::Lost => "the index cannot be read",
        };
        show("rows behind", format!("{}: {}", lines::waits(&screen, &status.rows_lag), output::hint(why)));
    }
    show("worker", worker(status));
    if let Some(published) = &status.published {
        published_lines(published, &lines::publisher(status), &show);
    }
    let journal = &status.journal;
    show(
        "journal",
        format!("{}, {}", counted(journal.segments as u64, "segment", "segments"), lines::bytes(journal.bytes)),
    );
    show("index", format!("{} of write-ahead log", lines::bytes(status.index_wal_bytes)));
    show("search", status.search.line());
    if let Some(history) = &status.history {
        show("history", lines::history(&screen, history));
        if let Some(advice) = &history.advice {
            show(if history.branch == history.reference { "git" } else { "branch" }, advice.clone());
        }
    }
    for line in standing.map(super::sync::lines).unwrap_or_default() {
        output::line(&line);
    }
    quarantined(&status.quarantine, folder, &show);
    if let Some(hooks) = &status.hooks {
        show("hooks", hooks_line(hooks));
        if let Some(last) = &hooks.last_error {
            show("hook error", format!("{:.0}: {}", last.at, last.error));
        }
    }
    if let Some(hooks) = &status.hooks_without_home {
        show("elsewhere", format!("{} (hooks that no home could take)", hooks_line(hooks)));
    }
    for need in &status.needs_attention {
        show("ATTENTION", output::hint(need));
    }
}

/// How large the stores are, in a few words.
pub(super) fn size_of(status: &Status) -> String {
    lines::bytes(status.size.all_bytes)
}

/// What the worker does, in a few words.
pub(super) fn state_of_worker(status: &Status) -> String {
    match (&status.worker, &status.published, status.publisher) {
        (Some(_), Some(published), Some(Publisher::Running)) => {
            format!("worker {}: {:?}", published.process, published.state).to_lowercase()
        }
        (Some(holder), ..) => holder.clone(),
        (None, ..) => "no worker runs".to_owned(),
    }
}

/// The worker that runs, or the last one. The status of the last one is old.
fn worker(status: &Status) -> String {
    let state = |published: &Published| format!("{:?}", published.state).to_lowercase();
    match (&status.worker, &status.published, status.publisher) {
        (Some(holder), Some(published), Some(Publisher::Running)) => format!("{holder}, {}", state(published)),
        // Another process can hold the lock briefly, or a worker that has not written its status yet.
        (Some(holder), ..) => holder.clone(),
        (None, Some(published), Some(Publisher::Ended)) => {
            format!("not running; the last was process {}, ended {:.0}", published.process, published.at)
        }
        (None, Some(published), _) => format!(
            "not running; the last was process {}, {} at {:.0}, and did not say that it ended",
            published.process,
            state(published),
            published.at
        ),
        (None, None, _) => "not running".into(),
    }
}

/// What a worker has published; `by` says who, if that worker is gone.
fn published_lines(published: &Published, by: &str, show: &impl Fn(&str, String)) {
    if let Some(last) = &published.last_commit {
        show("committed", format!("{} at {:.0}{by}", counted(last.records as u64, "record", "records"), last.at));
    }
    let counts = &published.counts;
    show(
        "counted",
        format!(
            "{}, {}, {}, {}, {} and {} left to the worker, {} torn, {} voided, {} damaged, {} parked, \
             {} applied after all, {} void",
            counted(counts.commits, "commit", "commits"),
            counted(counts.records, "record", "records"),
            counted(counts.retries, "retry", "retries"),
            counted(counts.waits, "wait", "waits"),
            counted(counts.rows_inserted, "row", "rows"),
            counted(counts.files_written, "file", "files"),
            number(counts.torn),
            number(counts.voided),
            number(counts.damaged),
            number(counts.parked),
            number(counts.released),
            number(counts.raced)
        ),
    );
    if let Some((at, error)) = &published.last_error {
        show("last error", format!("{at:.0}: {error}{by}"));
    }
}

/// The outcomes of hooks' events, in one line.
pub fn hooks_line(hooks: &Counts) -> String {
    let by = |reasons: &BTreeMap<String, u64>| match reasons.is_empty() {
        true => String::new(),
        false => {
            let reasons: Vec<_> =
                reasons.iter().map(|(reason, count)| format!("{reason} {}", number(*count))).collect();
            format!(" ({})", reasons.join(", "))
        }
    };
    let beside = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!(", {} {what}", number(count)),
    };
    format!(
        "{} seen, {} recorded, {} skipped{}, {} unreadable{}, {} failed{}{}",
        number(hooks.seen),
        number(hooks.recorded),
        number(hooks.skipped),
        by(&hooks.skipped_by),
        number(hooks.unreadable),
        by(&hooks.unreadable_by),
        number(hooks.failed),
        beside(hooks.told, "told of a known failure"),
        beside(hooks.odd_known, "found the file of known failures odd")
    )
}
