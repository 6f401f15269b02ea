//! `recover`: after a crash, bring everything back and say what was done.

use std::path::Path;

use indelible::home::{self, Home};
use indelible::init::init;
use indelible::recover::Report;
use indelible::worker::Want;

use super::Context;
use super::flush::Job;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars, count};
use crate::settings::{Settings, TEMPLATE};

const WHAT: &str = "recovery is not finished";

pub fn run(context: &Context, timeout_s: u64) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = open_or_mend(context, WHAT)?;
    let settings = context.settings(&home)?;
    let mut bars = Bars::new(context.json);
    let job = Job { home: &home, settings: &settings, want: Want::Recover, what: WHAT };
    let done = job.run(crate::settings::seconds(timeout_s), &mut bars)?;
    let report = done.report.unwrap_or_default();
    say(context, &report);
    Ok(if report.lost.is_empty() { Exit::Done } else { Exit::Disagreement })
}

/// Opens the home; where its private folder is gone or incomplete and the rest is there, makes that again first.
pub fn open_or_mend(context: &Context, what: &'static str) -> Result<Home, Failure> {
    let path = context.home_path()?;
    match open_whole(&path) {
        Err(home::Error::Missing(_) | home::Error::Broken { .. }) if looks_like_a_home(&path) => {
            let settings = Settings::at(&path, &context.overrides)?;
            init(&path, settings.history(), TEMPLATE).map_err(|error| Failure::of(what, &error))?;
            output::warn(&format!("{}: what was missing of the home was made again", path.display()));
            Home::open(&path).map_err(|error| Failure::of(what, &error))
        }
        opened => opened.map_err(|error| Failure::of(what, &error)),
    }
}

/// Opens the home only if all of its private folders are there.
fn open_whole(path: &Path) -> Result<Home, home::Error> {
    let home = Home::open(path)?;
    for folder in home::PRIVATE_FOLDERS {
        home.private_folder(folder)?;
    }
    Ok(home)
}

fn looks_like_a_home(path: &Path) -> bool {
    path.join(home::INDEX).is_file() || path.join(home::PRIVATE).is_dir() || path.join("memory").is_dir()
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
        (u64::from(report.index_rebuilt), "index was built anew from the files", "indexes were built anew"),
        (report.committed, "pending record was committed", "pending records were committed"),
        (report.files_restored, "file was restored", "files were restored"),
        (report.rows_added, "row was added", "rows were added"),
        (
            report.recommitted,
            "record was committed again from its file or row",
            "records were committed again from their files or rows",
        ),
        (
            report.torn,
            "torn entry was skipped (nobody was promised it)",
            "torn entries were skipped (nobody was promised them)",
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
    for lost in &report.lost {
        output::line(&format!("lost: {}: {}", lost.path, lost.why));
    }
    if report.is_nothing() {
        output::line("nothing to do");
    }
}
