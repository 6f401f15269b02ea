//! `flush`: commits everything pending now. Also, how a command runs a job that needs the worker's lock.

use std::time::{Duration, Instant};

use indelible::erase;
use indelible::exclusive::Exclusive;
use indelible::fs::lock::Holder;
use indelible::home::Home;
use indelible::journal::SegmentNumber;
use indelible::model::text;
use indelible::pipeline::{Pipeline, Progress, bytes_pending};
use indelible::recover::{self, Report, Scope};
use indelible::target::search::{Bound, SEARCH_MAX};
use indelible::worker::{self, Request, Want};
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars};
use crate::settings::Settings;

const WHAT: &str = "not everything pending was committed";
/// A process that has committed more records than this leaves search to a worker, or to the next run: building it takes
/// as long as the commits.
const COMMITTED_MUCH: u64 = 2_000;
/// What is said then.
pub const SEARCH_IS_LEFT: &str = "search is not up to date yet, and slower until then: a worker, or the next `indelible flush`, brings it up to date";
/// How long to wait for a worker's answer before checking that it still runs.
const SLICE: Duration = Duration::from_millis(250);

pub fn run(context: &Context, timeout_s: u64) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let mut bars = Bars::new(context.json);
    let job = Job { home: &home, settings: &settings, want: Want::Flush, what: WHAT, search: Bound::Time(SEARCH_MAX) };
    let done = job.run(crate::settings::seconds(timeout_s), &mut bars)?;
    if context.json {
        output::json(&json!({
            "flushed": true,
            "by": done.by,
            "committed": done.report.as_ref().map(|it| it.committed),
            "operations": done.report.as_ref().map(|it| it.operations),
        }));
        return Ok(Exit::Done);
    }
    output::line(&match done.report {
        Some(report) if report.committed == 0 && report.operations == 0 => "nothing was pending".into(),
        Some(report) if report.operations > 0 => format!(
            "{} committed, {} applied",
            output::count(report.committed, "record was", "records were"),
            output::count(report.operations, "operation was", "operations were")
        ),
        Some(report) => format!("{} committed", output::count(report.committed, "record was", "records were")),
        None => format!("everything pending is committed, by {}", done.by),
    });
    if done.search_is_left {
        output::line(&output::hint(SEARCH_IS_LEFT));
    }
    Ok(Exit::Done)
}

/// A job that needs the worker's lock. The worker does it if one runs, otherwise this process.
pub struct Job<'j> {
    pub home: &'j Home,
    pub settings: &'j Settings,
    pub want: Want,
    /// What was not done if it fails.
    pub what: &'static str,
    /// How far this process brings search up to date afterwards, if it does the job itself.
    pub search: Bound,
}

/// The result of a job.
pub struct Done {
    /// Who did it.
    pub by: String,
    /// What was done, if the worker reported it.
    pub report: Option<Report>,
    /// Whether search was left as it is, since much was committed.
    pub search_is_left: bool,
}

/// The progress of a job that a worker does.
struct Waiting<'w> {
    job: &'w Job<'w>,
    /// The sizes of the journal's segments when the wait began, and how many of their bytes were pending.
    begun: Option<(Vec<(SegmentNumber, u64)>, u64)>,
}

impl<'w> Waiting<'w> {
    fn new(job: &'w Job<'w>) -> Waiting<'w> {
        Waiting { job, begun: None }
    }

    /// Shows how much of what was pending is committed. What a worker does after that, and for a recovery, it does not say.
    fn look(&mut self, progress: &mut dyn Progress) {
        let Job { home, settings, want, .. } = self.job;
        if *want == Want::Recover {
            if self.begun.is_none() {
                self.begun = Some(Default::default());
                progress.begin("the worker recovers", 0);
            }
            return;
        }
        let left = |sizes: &[_]| bytes_pending(home, &settings.history(), sizes).unwrap_or(0);
        match &self.begun {
            Some((sizes, total)) => progress.at(total.saturating_sub(left(sizes))),
            None => {
                let sizes = home.journal().sizes().unwrap_or_default();
                let total = left(&sizes);
                progress.begin_bytes("the worker commits", total);
                self.begun = Some((sizes, total));
            }
        }
    }
}

impl Job<'_> {
    /// Does the job, or has the worker do it, within `wait_max`.
    pub fn run(&self, wait_max: Duration, progress: &mut dyn Progress) -> Result<Done, Failure> {
        let until = Instant::now() + wait_max;
        let mut asked: Option<Request> = None;
        let mut waiting = Waiting::new(self);
        loop {
            let taken = self.home.exclusive("a flush or a recovery");
            let holder = match taken.map_err(|error| Failure::of(self.what, &error))? {
                Ok(exclusive) => {
                    progress.end();
                    return self.do_it(&exclusive, progress);
                }
                Err(holder) => holder,
            };
            if progress.is_watched() {
                waiting.look(progress);
            }
            let request = match asked.take() {
                Some(request) => request,
                None => Request::ask(self.home, self.want).map_err(|error| Failure::of(self.what, &error))?,
            };
            let slice = SLICE.min(until.saturating_duration_since(Instant::now()));
            let answer = request.wait(slice).map_err(|error| Failure::of(self.what, &error))?;
            if answer.is_some() {
                progress.end();
            }
            match answer {
                Some(answer) => match answer.error {
                    None => return Ok(Done { by: holder.0, report: answer.report, search_is_left: false }),
                    Some(error) => {
                        return Err(Failure::new(Exit::NoHome, self.what).because(&std::io::Error::other(error)));
                    }
                },
                None if Instant::now() >= until => return Err(self.too_late(&holder)),
                None => asked = Some(request),
            }
        }
    }

    fn do_it(&self, exclusive: &Exclusive<'_>, progress: &mut dyn Progress) -> Result<Done, Failure> {
        self.home.check_current().map_err(|error| Failure::of(self.what, &error))?;
        let scope = match self.want {
            Want::Flush | Want::Reload | Want::Stop | Want::Erase => Scope::Start,
            Want::Recover => Scope::Everything,
        };
        let finish = |progress: &mut dyn Progress| {
            if let Err(error) = erase::finish(exclusive, &self.settings.batch(), progress) {
                output::warn(&format!("an erasure is not finished: {}", text::chain(&error)));
            }
        };
        finish(progress);
        let mut run = || {
            let mut pipeline = Pipeline::open(exclusive, self.settings.batch())?;
            let before = worker::published(self.home).ok().flatten().map(|published| published.counts);
            pipeline.count_from(before.unwrap_or_default());
            let report = recover::recover(&mut pipeline, scope, progress)?;
            // A backup's segments beside newer ones can have what was erased since.
            pipeline.prune()?;
            let search_is_left = self.leaves_search(&report);
            if !search_is_left {
                self.search(&mut pipeline, progress);
            }
            pipeline.end_search();
            if let Err(error) = worker::note(self.home, pipeline.counts(), pipeline.search_error(), &report) {
                tracing::debug!(%error, "what was done is not counted");
            }
            // A repack takes longer than a commit. A flush does one only if no worker will.
            let packs_max = self.settings.history.packs_max * if self.want == Want::Flush { 8 } else { 1 };
            pipeline.repack_from(packs_max)?;
            pipeline.end_upkeep();
            Ok((report, search_is_left))
        };
        let report = run();
        if self.want == Want::Recover
            && let Err(error) = erase::begin_again(exclusive, &self.settings.batch())
        {
            output::warn(&format!(
                "whether something is left of what was erased is not known: {}",
                text::chain(&error)
            ));
        }
        // The journal can have had an erasure.
        finish(progress);
        let (report, search_is_left) = report.map_err(|error: recover::Error| Failure::of(self.what, &error))?;
        Ok(Done { by: "this process".into(), report: Some(report), search_is_left })
    }

    /// Whether search is left as it is after `report`.
    fn leaves_search(&self, report: &Report) -> bool {
        matches!(self.search, Bound::Time(_)) && report.committed > COMMITTED_MUCH
    }

    /// Brings search up to date, which is never a failure of the job.
    fn search(&self, pipeline: &mut Pipeline<'_>, progress: &mut dyn Progress) {
        if matches!(self.search, Bound::Everything)
            && let Some(wrong) = pipeline.check_search()
        {
            tracing::warn!(wrong, "search is rebuilt");
        }
        pipeline.follow_search(self.search, progress);
    }

    fn too_late(&self, holder: &Holder) -> Failure {
        let published = worker::published(self.home).ok().flatten();
        let last = published.and_then(|published| published.last_error);
        let failure = Failure::new(Exit::TryAgain, self.what)
            .because(&std::io::Error::other(format!("{} did not do it in time", holder.0)))
            .hint("nothing is lost: the journal has it; see `indelible status`");
        match last {
            Some((at, error)) => failure.because(&std::io::Error::other(format!("it said at {at:.0}: {error}"))),
            None => failure,
        }
    }
}
