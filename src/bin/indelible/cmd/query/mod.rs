//! `query`: answers the questions of the framework's `query.py`, in its words and formats, from the framework's tables in
//! an adopted home.
//!
//! It only reads, and sees what has a row: a worker that runs is asked to insert those that are left to it. `docs/adopting.md` has what is alike and what differs: a context keeps to its
//! budget and fits its task, and an answer has no colours.

pub mod args;
mod budget;
mod checks;
mod context;
mod data;
mod golden;
mod health;
mod lists;
mod problem;
mod relevance;
mod stats;

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use clap::Parser as _;
use indelible::framework::{Row, Select, Tables};
use indelible::fs::lock::WorkerLock;
use indelible::fs::os::Stream;
use indelible::home::{self, Home};
use indelible::model::layout;
use indelible::pipeline::bytes_pending;
use indelible::worker::{Request, Want};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use self::args::{Format, QueryArgs};
use self::data::Data;
use self::problem::Problem;
use super::Context;
use crate::args::Args;
use crate::exit::{Exit, Failure};
use crate::{output, usage};

/// How long to look if `--timeout` is 0.
const TIMEOUT_S: i64 = 30;
/// How long to wait for another program's lock, within the timeout.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long to wait for a worker that has rows to insert.
const ROWS_WAIT_MAX: Duration = Duration::from_secs(1);
/// How far back a question can reach.
const DAYS_MAX: i64 = 1_000_000;

pub fn run(context: &Context, args: &QueryArgs) -> Result<Exit, Failure> {
    if Question::of(args).is_none() {
        return match Args::try_parse_from(["indelible", "query", "--help"]) {
            Err(help) => Ok(usage::say(help, false)),
            Ok(_) => Ok(Exit::Done),
        };
    }
    match answer(context, args) {
        Ok(exit) => Ok(exit),
        Err(problem) => problem.say(args.timeout, context.json),
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Question {
    Validate,
    Health,
    Context,
    Golden,
    Decisions,
    Spikes,
    Assumptions,
    Invariants,
    Domain,
    Tags,
    Recent(i64),
    Experiments,
    Reviews,
    Stats,
    Violations,
    Banner,
}

impl Question {
    /// The first question of those that are asked.
    fn of(args: &QueryArgs) -> Option<Question> {
        let is_given = |text: &Option<String>| text.as_deref().is_some_and(|it| !it.is_empty());
        [
            (args.validate, Question::Validate),
            (args.health_check, Question::Health),
            (args.context, Question::Context),
            (args.golden_rules, Question::Golden),
            (args.decisions, Question::Decisions),
            (args.spikes, Question::Spikes),
            (args.assumptions, Question::Assumptions),
            (args.invariants, Question::Invariants),
            (is_given(&args.domain), Question::Domain),
            (is_given(&args.tags), Question::Tags),
            (args.recent.is_some(), Question::Recent(args.recent.unwrap_or_default())),
            (args.experiments, Question::Experiments),
            (args.ceo_reviews, Question::Reviews),
            (args.stats, Question::Stats),
            (args.violations, Question::Violations),
            (args.accountability_banner, Question::Banner),
        ]
        .into_iter()
        .find_map(|(is_asked, question)| is_asked.then_some(question))
    }
}

/// An answer.
enum Answer {
    /// In the format that is asked for.
    Data(Data),
    /// The same, below a line of text.
    Titled(String, Data),
    /// As it is, in every format.
    Text(String),
}

/// What questions are answered from.
struct Reader<'a> {
    home: &'a Home,
    tables: &'a Tables,
    args: &'a QueryArgs,
    now: Timestamp,
    /// The folder that the question is asked in.
    folder: String,
}

fn answer(context: &Context, args: &QueryArgs) -> Result<Exit, Problem> {
    let home = open(context, args)?;
    catch_up(context, &home);
    let mut answered = answer_once(&home, args);
    // A database that another program opened just then can look damaged.
    if matches!(&answered, Err(Problem::Database(error)) if error.is_lost()) {
        answered = answer_once(&home, args);
    }
    let (answer, exit) = answered?;
    say(answer, args.format, context.json);
    Ok(exit)
}

/// The home that is asked about.
fn open(context: &Context, args: &QueryArgs) -> Result<Home, Failure> {
    let what = "the query has no answer";
    if let Some(path) = &args.base_path {
        output::hints_name(path);
    }
    let path = args.base_path.clone().map_or_else(|| context.home_path(), Ok)?;
    Home::open(&path).map_err(|error| {
        let failure = Failure::of(what, &error);
        match error {
            home::Error::Missing(path) if path.join(layout::INDEX).is_file() => {
                let path = indelible::model::text::shell_path(&path);
                failure.hint(format!("a home of the framework: take it over with `indelible adopt {path}` first"))
            }
            _ => failure,
        }
    })
}

/// Has a worker that runs insert the rows that recorders have left to it. Answers are read from the rows alone.
fn catch_up(context: &Context, home: &Home) {
    if !WorkerLock::is_held_by_worker(home.private()) {
        return;
    }
    let is_behind = || {
        let sizes = home.journal().sizes().ok()?;
        Some(bytes_pending(home, &context.settings(home).ok()?.history(), &sizes).ok()? > 0)
    };
    if is_behind() != Some(true) {
        return;
    }
    let asked = Request::ask(home, Want::Flush).ok();
    let answer = asked.and_then(|request| request.wait(ROWS_WAIT_MAX).ok().flatten());
    if answer.is_none_or(|answer| answer.error.is_some()) {
        output::note(
            "what was recorded last may be missing from the answer: the worker has not said that its rows are there",
        );
    }
}

fn answer_once(home: &Home, args: &QueryArgs) -> Result<(Answer, Exit), Problem> {
    let timeout = if args.timeout == 0 { TIMEOUT_S } else { args.timeout };
    let timeout = u64::try_from(timeout).map(Duration::from_secs).map_err(|_| Problem::Timeout)?;
    let tables = Tables::open(&home.index_path(), timeout.min(WAIT_MAX))?;
    let _stopped_later = stop_after(&tables, timeout);
    let folder = std::env::current_dir().unwrap_or_default().to_string_lossy().into_owned();
    let reader = Reader { home, tables: &tables, args, now: Timestamp::now(), folder };
    let question = Question::of(args).unwrap_or(Question::Stats);
    reader.debug(|| format!("{question:?} in {}", home.path().display()));
    reader.answer(question)
}

/// Stops queries on `tables` after `timeout`, unless what is returned is dropped before.
fn stop_after(tables: &Tables, timeout: Duration) -> Sender<()> {
    let (sender, receiver) = mpsc::channel();
    let handle = tables.interrupt_handle();
    std::thread::spawn(move || {
        let mut wait = timeout;
        // Again and again: between two statements there is nothing to interrupt.
        while receiver.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
            handle.interrupt();
            wait = Duration::from_millis(10);
        }
    });
    sender
}

impl Reader<'_> {
    fn answer(&self, question: Question) -> Result<(Answer, Exit), Problem> {
        let args = self.args;
        let answer = match question {
            Question::Validate => {
                let (is_sound, report) = self.validate()?;
                let (verdict, exit) = if is_sound { ("PASSED", Exit::Done) } else { ("FAILED", Exit::Disagreement) };
                return Ok((Answer::Titled(format!("Database validation: {verdict}"), report), exit));
            }
            Question::Health => Answer::Text(self.health()?),
            Question::Context => Answer::Text(self.context()?),
            Question::Golden => Answer::Text(golden::rules(self.home)),
            Question::Recent(limit) => Answer::rows(&self.recent(args.kind.as_deref(), checks::limit(limit)?)?),
            Question::Experiments => Answer::rows(&self.experiments()?),
            Question::Reviews => Answer::rows(&self.reviews()?),
            Question::Stats => Answer::Data(self.statistics()?),
            Question::Violations => Answer::Data(self.violations(args.violation_days)?.data()),
            Question::Banner => Answer::Text(self.violations(stats::WEEK_DAYS)?.banner()),
            _ => self.answer_of_domain(question)?,
        };
        Ok((answer, Exit::Done))
    }

    /// Answers a question that a domain, tags and a limit narrow down.
    fn answer_of_domain(&self, question: Question) -> Result<Answer, Problem> {
        let limit = checks::limit(self.args.limit)?;
        let domain = checks::domain(self.args.domain.as_deref())?;
        Ok(match (question, domain) {
            (Question::Decisions, _) => Answer::rows(&self.decisions(domain, &self.args.decision_status, limit)?),
            (Question::Spikes, _) => {
                let tags = checks::tags(self.args.tags.as_deref())?;
                Answer::rows(&self.spikes(domain, tags.as_deref(), limit)?)
            }
            (Question::Assumptions, _) => match self.assumptions(domain, limit)? {
                (Some(title), data) => Answer::Titled(title.into(), data),
                (None, data) => Answer::Data(data),
            },
            (Question::Invariants, _) => Answer::Data(self.invariants(domain, limit)?),
            (Question::Domain, Some(domain)) => Answer::Data(self.of_domain(domain)?),
            _ => {
                let tags = checks::tags(self.args.tags.as_deref())?.unwrap_or_default();
                Answer::rows(&self.of_tags(&tags, limit)?)
            }
        })
    }

    fn rows(&self, select: &Select<'_>) -> Result<Vec<Row>, Problem> {
        let rows = self.tables.select(select)?;
        self.debug(|| format!("{} rows of {}", rows.len(), select.table_name()));
        Ok(rows)
    }

    fn debug(&self, line: impl FnOnce() -> String) {
        if self.args.debug {
            output::say(&format!("[DEBUG] {}", line()));
        }
    }

    /// The time `days` days ago, as the framework stores times.
    fn days_ago(&self, days: i64) -> String {
        let now = self.now.to_zoned(TimeZone::UTC).datetime();
        let then = now.checked_sub(days.clamp(-DAYS_MAX, DAYS_MAX).days()).unwrap_or(now);
        then.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
    }
}

impl Answer {
    fn rows(rows: &[Row]) -> Answer {
        Answer::Data(Data::rows(rows))
    }
}

/// Writes an answer: as it is for a program, without control characters for the terminal of a person.
fn say(answer: Answer, format: Format, as_json: bool) {
    let text = match answer {
        Answer::Text(text) if as_json => return output::json(&problem::json_of(&text)),
        Answer::Titled(_, data) | Answer::Data(data) if as_json => {
            // On one line, as all of our JSON: a text has no line feeds of its own there.
            data.shown(Format::Json).lines().map(str::trim_start).collect()
        }
        Answer::Text(text) => text,
        Answer::Data(data) => data.shown(format),
        Answer::Titled(title, data) => format!("{title}\n{}", data.shown(format)),
    };
    match std::io::stdout().is_terminal() || format == Format::Text {
        true => output::line(&text.replace("\r\n", "\n")),
        false => output::write(Stream::Output, &format!("{text}\n")),
    }
}
