//! `demo`: records, crashes and recovers in a temporary home, and checks the result independently.
//!
//! 1. The worker, each recorder and each recovery is a process, started as a user would start it.
//! 2. The check reads files, tables and git objects itself. It asks neither `verify` nor the library.
//! 3. The home is removed if everything is right. Otherwise it stays, and the output names it.

mod check;
mod evidence;
mod fire;
mod plan;
mod show;
mod stage;

use std::time::{Duration, Instant};

use indelible::home::Home;
use indelible::model::text;
use indelible::pipeline::Progress;

use self::check::Checked;
use self::evidence::CommitSeen;
use self::fire::Shot;
use self::stage::{Stage, Worker, failure};
use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars};

/// The report.
struct Told {
    shots: Vec<Shot>,
    checked: Checked,
    /// The newest first.
    commits: Vec<CommitSeen>,
    took: Duration,
}

pub fn run(context: &Context, keep: bool) -> Result<Exit, Failure> {
    if context.home.is_some() {
        output::warn("the demo makes a home of its own; the one that --home names is not touched");
    }
    let mut stage = Stage::set_up(&context.overrides)?;
    let mut bars = Bars::new(context.json);
    let outcome = perform(&stage, &mut bars);
    bars.end();
    let good = outcome.as_ref().is_ok_and(|told| told.checked.problems.is_empty());
    // An interrupted demo has found nothing wrong, so its home is removed.
    let interrupted = stage.check_stop().is_err();
    let stays = keep || !(good || interrupted);
    let home = stage.home().to_owned();
    if stays {
        stage.keep();
    } else if let Err(error) = stage.remove() {
        output::warn(&format!("{} could not be removed: {error}", text::path(&home)));
    }
    let told = outcome.map_err(|failure| match (stays, &failure.hint) {
        (true, None) => failure.hint(format!("the home is left at {}", text::path(&home))),
        _ => failure,
    })?;
    tell(context, &told, stays.then_some(home.as_path()));
    Ok(if good { Exit::Done } else { Exit::Disagreement })
}

fn tell(context: &Context, told: &Told, home: Option<&std::path::Path>) {
    if context.json {
        return show::as_json(told, home);
    }
    show::as_table(told);
    match home {
        Some(home) => show::where_to_look(home),
        None => output::line("the home is removed; `indelible demo --keep` keeps it"),
    }
}

/// Runs the demo, from the first recorder to the check.
fn perform(stage: &Stage, bars: &mut Bars) -> Result<Told, Failure> {
    let start = Instant::now();
    let home = Home::open(stage.home()).map_err(|error| Failure::of("the demo could not begin", &error))?;
    let planned = plan::all();
    let mut worker = Worker::start(stage)?;
    worker.wait_until_ready(stage, &home)?;
    let (shots, mut worker) = fire::all(stage, &home, worker, &planned, bars)?;
    worker.wait_until_ready(stage, &home)?;
    bars.begin("recovering", 0);
    let first = stage.recover()?;
    worker.stop(stage)?;
    bars.begin("checking", 0);
    let evidence = evidence::gather(stage.home());
    let mut checked = check::check(&planned, &shots, &evidence);
    checked.problems.extend(first.lost.iter().map(|lost| format!("recovery gave up {}: {}", lost.path, lost.why)));
    recover_again(stage, &evidence.commits, &mut checked)?;
    Ok(Told { shots, checked, commits: evidence.commits, took: start.elapsed() })
}

/// A second recovery, this one without a worker, has to find nothing to do and to change nothing.
fn recover_again(stage: &Stage, commits: &[CommitSeen], checked: &mut Checked) -> Result<(), Failure> {
    let second = stage.recover()?;
    if !second.is_nothing() {
        let report = serde_json::to_string(&second).unwrap_or_default();
        checked.problems.push(format!("a second recovery found something to do: {report}"));
    }
    let tip = evidence::tip(stage.home()).map_err(|error| failure(format!("reading the branch: {error}")))?;
    if commits.first().is_none_or(|commit| commit.id != tip) {
        checked.problems.push("a second recovery moved the branch".to_owned());
    }
    Ok(())
}
