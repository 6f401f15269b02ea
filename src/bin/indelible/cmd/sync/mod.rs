//! The commands that sync: `remote`, `sync`, `drain`, `where`.

mod drain;
mod lane;
mod purge;
mod remote;
mod whereabouts;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use indelible::fs::os;
use indelible::home::Home;
use indelible::sync::{self, Asked, Class, Combined, Options, Pushed, Session, Standing, standing};
use indelible::target::search::Bound;
use indelible::worker::Want;

use super::Context;
use super::flush::Job;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{Settings, seconds};
use crate::sync_args::{RemoteCommand, SyncArgs, SyncCommand};
pub use lane::check_lane;
pub use purge::{Purged, purge};
pub use remote::{import_from, import_into_new, lines};

/// How often a sync that waits for another try looks whether it has to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Whether this process was asked to stop, or has lost its terminal: git, which runs in a session of its own, is ended then with
/// everything that it started. From the first call on that does not end this process by itself; asked a second time, it ends at once, and
/// git with it.
fn stop() -> &'static AtomicBool {
    static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
        let asked = Arc::default();
        if let Err(error) = os::note_stop_or_end(&asked) {
            tracing::warn!(%error, "a signal will end this process, and not git");
        }
        asked
    });
    &STOP
}

/// Calls `ask`, which waits for a person: a signal ends this process at once meanwhile. `None` if it was asked to stop before.
fn asking<T>(ask: impl FnOnce() -> T) -> Option<T> {
    if stop().swap(true, Ordering::SeqCst) {
        return None;
    }
    let answer = ask();
    stop().store(false, Ordering::SeqCst);
    Some(answer)
}

pub fn run(context: &Context, command: &SyncCommand) -> Result<Exit, Failure> {
    match command {
        SyncCommand::Remote { what: RemoteCommand::Add(args) } => remote::add(context, args),
        SyncCommand::Remote { what: RemoteCommand::Show } => remote::show(context),
        SyncCommand::Remote { what: RemoteCommand::Test } => remote::test(context),
        SyncCommand::Remote { what: RemoteCommand::Remove } => remote::remove(context),
        SyncCommand::Sync(args) => sync_once(context, args),
        SyncCommand::Drain(args) => drain::run(context, args),
        SyncCommand::Where(args) => whereabouts::run(context, args),
    }
}

const NOT_SYNCED: &str = "not everything is on the remote";

fn sync_once(context: &Context, args: &SyncArgs) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(NOT_SYNCED)?;
    let settings = context.settings(&home)?;
    let asked = Asked {
        refill: args.refill,
        retry_held: true,
        compare: true,
        combine: !args.push_only,
        fetch_only: args.fetch_only,
        ..Asked::default()
    };
    let outcome = Outcome::of(&home, &settings, asked, seconds(args.timeout), 1, NOT_SYNCED)?;
    outcome.say(context)
}

/// What became of a sync.
struct Outcome {
    pushed: Pushed,
    combined: Combined,
    standing: Option<Standing>,
    error: Option<sync::Error>,
    /// Whether nothing was to be pushed.
    is_fetch_only: bool,
    ms: u128,
}

impl Outcome {
    /// Commits what is pending, and pushes, within `wait_max`: `tries` times at the most, as long as time can help.
    fn of(
        home: &Home,
        settings: &Settings,
        asked: Asked,
        wait_max: Duration,
        tries: u32,
        what: &'static str,
    ) -> Result<Outcome, Failure> {
        let (begin, until) = (Instant::now(), Instant::now() + wait_max);
        let options = settings.sync()?;
        let (mut pushed, mut combined) = (Pushed::default(), Combined::default());
        let (mut error, mut not_committed) = (None, None);
        let job = Job { home, settings, want: Want::Flush, what, search: Bound::Slice };
        if !options.remote.is_empty() {
            not_committed = match job.run(wait_max, &mut ()) {
                // What is committed already gets there all the same.
                Err(failure) if failure.exit == Exit::TryAgain => Some(failure.causes.join(": ")),
                done => done.map(|_| None)?,
            };
        }
        let tries = if not_committed.is_some() { 1 } else { tries };
        if let Err(failed) = push_until(home, &options, asked, (until, tries), (&mut pushed, &mut combined)) {
            error = Some(failed);
        }
        let is_stopped = stop().load(Ordering::Relaxed);
        if !is_stopped && combined.imported.records + combined.imported.changes > 0 {
            // It is in the journal: what cannot be applied now, a worker applies.
            let _ = job.run(until.saturating_duration_since(Instant::now()), &mut ());
        }
        let error =
            error.or(not_committed.map(|why| sync::Error::new(Class::Later, format!("not committed yet: {why}"))));
        let standing = standing(home, &options).map_err(|error| failure(what, &error))?;
        let is_fetch_only = asked.fetch_only;
        Ok(Outcome { pushed, combined, standing, error, is_fetch_only, ms: begin.elapsed().as_millis() })
    }

    /// Whether the remote has acknowledged everything from before the call. What was committed meanwhile does not count.
    fn reached(&self) -> bool {
        self.error.is_none() && self.standing.as_ref().is_some_and(|it| it.held.is_empty())
    }

    /// Why not, as the exit code says it.
    fn class(&self) -> Class {
        match &self.error {
            Some(error) => error.class(),
            None => Class::Refused,
        }
    }

    fn why(&self) -> String {
        match (&self.error, &self.standing) {
            (Some(error), _) => error.to_string(),
            (None, standing) => {
                let held = standing.as_ref().map(|it| it.held.as_slice()).unwrap_or_default();
                let first = held.first().map(|first| format!(", the first {}: {}", first.id.short(), first.why));
                let count = output::count(held.len() as u64, "record is held", "records are held");
                format!("{count}{}", first.unwrap_or_default())
            }
        }
    }

    fn say(&self, context: &Context) -> Result<Exit, Failure> {
        let exit = if self.reached() { Exit::Done } else { exit_of(self.class()) };
        if context.json {
            output::json(&self.data());
            return Ok(exit);
        }
        if exit != Exit::Done {
            let why = std::io::Error::other(self.why());
            return Err(Failure::new(exit, NOT_SYNCED).because(&why).hint(hint_of(self.class())));
        }
        if self.is_fetch_only {
            output::line(&match self.combined.imported.records {
                0 => "nothing is new on the trunk".to_owned(),
                records => format!("{} imported", output::count(records, "record was", "records were")),
            });
            return Ok(exit);
        }
        let lane = self.standing.as_ref().and_then(|it| it.lane.clone()).unwrap_or_default();
        output::line(&match self.pushed.records {
            0 => format!("the remote has all of it: {lane}"),
            records => format!("{} pushed to {lane}", output::count(records, "record was", "records were")),
        });
        let Combined { merged, folded, imported, .. } = &self.combined;
        let lines = [
            (*merged > 0).then(|| format!("{} merged", output::count(*merged, "record was", "records were"))),
            (imported.records > 0)
                .then(|| format!("{} imported", output::count(imported.records, "record was", "records were"))),
            (imported.changes > 0).then(|| {
                format!(
                    "{} by other homes",
                    output::count(imported.changes, "record was changed", "records were changed")
                )
            }),
            (*folded > 0).then(|| format!("{} folded", output::count(*folded, "lane was", "lanes were"))),
            (imported.left_out > 0).then(|| {
                format!("{} left out: no records", output::count(imported.left_out, "file was", "files were"))
            }),
        ];
        let others = self.standing.as_ref().map(Standing::of_others).unwrap_or_default();
        let others = others.iter().map(|line| indelible::model::text::visible_line(line).into_owned());
        lines.into_iter().flatten().chain(others).for_each(|line| output::line(&line));
        Ok(exit)
    }

    fn data(&self) -> serde_json::Value {
        let standing = self.standing.as_ref();
        let mut data = serde_json::json!({
            "reached": self.reached(),
            "records": self.pushed.records,
            "unreached": standing.map_or(0, |it| it.unpushed),
            "held": standing.map(|it| it.held.clone()).unwrap_or_default(),
            "lane": standing.and_then(|it| it.lane.clone()),
            "commit": standing.and_then(|it| it.pushed.as_ref()).map(|pushed| pushed.commit.clone()),
            "attempts": self.pushed.attempts,
            "merged": self.combined.merged,
            "folded": self.combined.folded,
            "lanes_left_out": standing.map(|it| it.lanes_left_out.clone()).unwrap_or_default(),
            "trunk_closed": standing.and_then(|it| it.trunk_closed.clone()),
            "erased_kept": standing.and_then(|it| it.erased_kept.clone()),
            "imported": {
                "records": self.combined.imported.records,
                "changes": self.combined.imported.changes,
                "unwanted": self.combined.imported.unwanted,
                "left_out": self.combined.imported.left_out,
                "named": self.combined.imported.named.iter().map(|(path, why)| serde_json::json!({"path": path, "why": why})).collect::<Vec<_>>(),
            },
            "ms": self.ms,
        });
        if !self.reached() {
            data["class"] = serde_json::json!(self.class());
            data["error"] = serde_json::json!(self.why());
        }
        data
    }
}

/// Pushes, and again while time can help, until `until`.
fn push_until(
    home: &Home,
    options: &Options,
    asked: Asked,
    (until, tries): (Instant, u32),
    (pushed, combined): (&mut Pushed, &mut Combined),
) -> Result<(), sync::Error> {
    let mut pause = Duration::from_millis(500);
    for _ in 1..tries {
        match push(home, options, asked, until, (pushed, combined)) {
            Err(error) if matches!(error.class(), Class::Later | Class::Raced) && Instant::now() + pause < until => {
                if !is_slept(pause) {
                    return Err(error);
                }
                pause = (pause * 2).min(Duration::from_secs(8));
            }
            done => return done,
        }
    }
    push(home, options, asked, until, (pushed, combined))
}

/// Sleeps for `pause`. Returns false as soon as this process has to stop.
fn is_slept(pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if stop().load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(LOOK.min(pause));
    }
    true
}

fn push(
    home: &Home,
    options: &Options,
    asked: Asked,
    until: Instant,
    (pushed, combined): (&mut Pushed, &mut Combined),
) -> Result<(), sync::Error> {
    Session::open(home, options, until, stop())?.sync(asked, pushed, combined)
}

fn exit_of(class: Class) -> Exit {
    match class {
        Class::Later | Class::Raced => Exit::TryAgain,
        Class::Person | Class::Refused => Exit::Refused,
        Class::Config => Exit::NoHome,
    }
}

fn hint_of(class: Class) -> &'static str {
    match class {
        Class::Later | Class::Raced => {
            "nothing is lost: it is all here; run `indelible sync` when the remote is in reach"
        }
        Class::Person => {
            "nothing is lost: it is all here; log in as for any other git remote, and run `indelible sync`"
        }
        Class::Refused => {
            "the rest is pushed; `indelible status` names what is held, and `indelible sync` tries it again"
        }
        Class::Config => {
            "nothing is lost: it is all here; `indelible remote show` and `indelible remote test` say more"
        }
    }
}

fn failure(what: &str, error: &sync::Error) -> Failure {
    Failure::new(exit_of(error.class()), what).because(error).hint(hint_of(error.class()))
}
