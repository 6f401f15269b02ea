//! `verify`: where journal, files, rows and history disagree.

use indelible::target::search::{SearchState, SearchStatus};
use indelible::verify::{Report, verify};

use indelible::model::text::number;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars, count};

const WHAT: &str = "the home could not be verified";

pub fn run(context: &Context, remote: bool) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let mut bars = Bars::new(context.json);
    let mut report = verify(&home, &settings.history(), &mut bars).map_err(|error| Failure::of(WHAT, &error))?;
    report.notices.extend(super::adopt::replaced_scripts(&home, WHAT)?);
    if remote {
        report.remote = super::sync::check_lane(context, &home)?;
    }
    say(context, &report);
    if let Some(newer) = &report.newer {
        output::warn(&format!("{newer}: what lies there was counted, not verified; run the newer indelible"));
        return Ok(Exit::NoHome);
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Disagreement })
}

pub fn say(context: &Context, report: &Report) {
    if context.json {
        output::json(report);
        return;
    }
    for found in &report.disagreements {
        output::line(&format!("{}: {}", indelible::model::text::visible_line(&found.path), found.what));
    }
    for copy in &report.copies {
        let (path, of) =
            (indelible::model::text::visible_line(&copy.path), indelible::model::text::visible_line(&copy.of));
        output::line(&format!("notice: {path} is a copy of {of}: it is left alone"));
    }
    for notice in &report.notices {
        output::line(&format!("notice: {notice}"));
    }
    for line in &report.index {
        output::line(&format!("index: {line}"));
    }
    for line in &report.remote {
        output::line(&format!("remote: {line}"));
    }
    for line in &report.history {
        output::line(&format!("history: {line}"));
    }
    if let Some(newer) = &report.newer {
        output::line(&format!("journal: {newer}"));
    }
    for name in report.quarantine.damaged.iter().chain(&report.quarantine.parked) {
        output::line(&format!("quarantine: {}", indelible::model::text::visible_line(name)));
    }
    for operation in &report.quarantine.operations {
        output::line(&format!("quarantine: {}", indelible::model::text::visible_line(&operation.to_string())));
    }
    output::line(&output::hint(&verdict(report)));
    if is_search_odd(report) {
        output::line(&format!("notice: search: {}", indelible::model::text::visible_line(&report.search.line())));
    }
}

/// The last word: whether everything agrees, and if not, what to do.
fn verdict(report: &Report) -> String {
    let records = count(report.records, "record", "records");
    let pending = number(report.pending);
    match report.is_clean() {
        true => format!("{records}: journal, files, rows and history agree ({pending} pending)"),
        // Nothing but the newer program can repair what it wrote.
        false if report.newer.is_some() => format!("{records}; see above ({pending} pending)"),
        // `repair` leaves edits alone.
        false if report.is_only_edited() => format!("{records}; all else agrees ({pending} pending)"),
        // What can be applied now, `repair` has applied.
        false if report.is_only_quarantined() => format!(
            "{records}; the stores agree, and what is in quarantine waits: `indelible repair` tries it again, `indelible repair \
             --dismiss` says that you have seen it"
        ),
        false => format!("{records}; the stores disagree as listed above: run `indelible repair`"),
    }
}

/// Whether something is wrong with search. It lags while records are pending, and nothing is missing from an answer then.
fn is_search_odd(report: &Report) -> bool {
    let SearchStatus { state, error, .. } = &report.search;
    let lags = *state != SearchState::Current && report.search != SearchStatus::default();
    error.is_some() || lags && report.pending == 0
}
