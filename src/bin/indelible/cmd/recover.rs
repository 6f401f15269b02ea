//! `recover`: after a crash, restores everything and says what was done.

use std::path::Path;

use indelible::home::{self, Home};
use indelible::init::init;
use indelible::model::layout::{INDEX, MEMORY, PRIVATE, PRIVATE_FOLDERS};
use indelible::model::text;
use indelible::recover::{Base, Report};
use indelible::status::removed_trouble;
use indelible::target::search::{Bound, SEARCH_MAX};
use indelible::worker::Want;

use super::Context;
use super::flush::{Job, SEARCH_IS_LEFT};
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars, count};
use crate::settings::{Settings, TEMPLATE};

const WHAT: &str = "recovery is not finished";

pub fn run(context: &Context, timeout_s: u64) -> Result<Exit, Failure> {
    let Recovered { report, search_is_left, .. } = recovered(context, timeout_s, WHAT, Bound::Time(SEARCH_MAX))?;
    say(context, &report);
    if search_is_left && !context.json {
        output::line(&output::hint(SEARCH_IS_LEFT));
    }
    Ok(if report.lost.is_empty() { Exit::Done } else { Exit::Disagreement })
}

/// A home after its recovery.
pub struct Recovered {
    pub home: Home,
    pub settings: Settings,
    pub bars: Bars,
    pub report: Report,
    /// Whether search was left as it is, since much was committed.
    pub search_is_left: bool,
}

/// Opens the home and recovers it, or has its worker do so. `what` says what is not done if that fails,
/// `search` how long the search database is brought up to date.
pub fn recovered(context: &Context, timeout_s: u64, what: &'static str, search: Bound) -> Result<Recovered, Failure> {
    context.name_home()?;
    let home = open_or_mend(context, what)?;
    let settings = context.settings(&home)?;
    let mut bars = Bars::new(context.json);
    let job = Job { home: &home, settings: &settings, want: Want::Recover, what, search };
    let done = job.run(crate::settings::seconds(timeout_s), &mut bars)?;
    let report = done.report.unwrap_or_default();
    Ok(Recovered { home, settings, bars, report, search_is_left: done.search_is_left })
}

/// Opens the home. If its private folder is missing or incomplete and the rest is there, makes that folder first.
fn open_or_mend(context: &Context, what: &'static str) -> Result<Home, Failure> {
    let path = context.home_path()?;
    match open_whole(&path) {
        Err(home::Error::Missing(_) | home::Error::Broken { .. }) if looks_like_a_home(&path) => {
            let settings = Settings::at(&path, &context.overrides)?;
            init(&path, settings.history(), TEMPLATE).map_err(|error| Failure::of(what, &error))?;
            output::warn(&format!("{}: recreated the missing parts of the home", text::path(&path)));
            Home::open(&path).map_err(|error| Failure::of(what, &error))
        }
        opened => opened.map_err(|error| Failure::of(what, &error)),
    }
}

/// Opens the home only if all of its private folders are there.
fn open_whole(path: &Path) -> Result<Home, home::Error> {
    let home = Home::open(path)?;
    for folder in PRIVATE_FOLDERS {
        home.private_folder(folder)?;
    }
    Ok(home)
}

fn looks_like_a_home(path: &Path) -> bool {
    path.join(INDEX).is_file() || path.join(PRIVATE).is_dir() || path.join(MEMORY).is_dir()
}

pub fn say(context: &Context, report: &Report) {
    if context.json {
        output::json(report);
        return;
    }
    if let Some(reason) = &report.distrusted {
        output::line(&format!("everything was looked at, since {reason}"));
    }
    let lines = [
        (report.swept, "leftover was swept", "leftovers were swept"),
        (u64::from(report.index_rebuilt), "index was rebuilt from the files", "indexes were rebuilt"),
        (report.committed, "pending record was committed", "pending records were committed"),
        (report.files_restored, "file was restored", "files were restored"),
        (report.rows_added, "row was added", "rows were added"),
        (report.operations, "operation took effect", "operations took effect"),
        (
            report.reconciled,
            "record was brought to its latest revision in all stores",
            "records were brought to their latest revision in all stores",
        ),
        (
            report.recommitted,
            "record was committed again from its file or row",
            "records were committed again from their files or rows",
        ),
        (
            report.torn,
            "torn entry was skipped (it was never acknowledged)",
            "torn entries were skipped (they were never acknowledged)",
        ),
        (
            report.damaged,
            "damaged stretch of the journal went to quarantine",
            "damaged stretches of the journal went to quarantine",
        ),
        (
            report.released,
            "record from quarantine could be applied now",
            "records from quarantine could be applied now",
        ),
        (
            report.parked,
            "record could not be applied and went to quarantine",
            "records could not be applied and went to quarantine",
        ),
    ];
    for (number, one, many) in lines.into_iter().filter(|(number, ..)| *number > 0) {
        output::line(&count(number, one, many));
    }
    say_copies(report);
    for lost in &report.lost {
        output::line(&format!("lost: {}: {}", text::visible_line(&lost.path), lost.why));
    }
    say_left(report);
    if report.is_nothing() {
        output::line("nothing to do");
    }
}

/// Says what is left to a person.
fn say_left(report: &Report) {
    for path in &report.named {
        output::line(&format!("left as it is: {}: see `indelible verify`", text::visible_line(path)));
    }
    if report.removed > 0 {
        output::line(&output::hint(&removed_trouble(report.removed)));
    }
}

/// Says which copies rows came from, and the times of the copies.
fn say_copies(report: &Report) {
    let named = |base: &Base| {
        let at =
            base.at.map_or_else(|| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
        format!("the copy of {at} ({})", text::visible_line(&base.path))
    };
    if let Some(base) = &report.index_base {
        output::line(&format!("the index began with {}: what other programs changed since is not in it", named(base)));
    }
    if let Some(kept) = &report.index_kept {
        output::line(&format!("what was left of the old index is in {}", text::visible_line(kept)));
    }
    if let Some(base) = &report.rows_base {
        let rows = count(report.rows_revived, "row that was deleted is back", "rows that were deleted are back");
        output::line(&format!("{rows}, with the counts of {}", named(base)));
    }
    if report.rows_anew > 0 {
        let rows = count(report.rows_anew, "row that was deleted is back", "rows that were deleted are back");
        output::line(&format!("{rows}, and no copy knows what other programs counted: that begins at 0"));
    }
}
