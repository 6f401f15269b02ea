//! `erase`: takes records out of everything of this home, and says what it cannot reach.
//!
//! A running worker does it, since it has the lock and the index open; without one this process does. Whichever of them dies, the
//! other one goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indelible::erase::{self, Report};
use indelible::erasing::Erasing;
use indelible::exclusive::Exclusive;
use indelible::fs::lock::Holder;
use indelible::fs::os;
use indelible::home::Home;
use indelible::model::text::counted;
use indelible::model::{RecordId, Revision};
use indelible::page::Presence;
use indelible::query::{Seen, View};
use indelible::target::history::Traces;
use indelible::target::search::Bound;
use indelible::worker::{self, Answer, Fault, Request, State, Want};
use serde_json::json;

use super::Context;
use super::flush::Job;
use super::revising::{Target, targets};
use super::sync::Purged;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::presence_args::EraseArgs;
use crate::reading;
use crate::reading::screen::line_of;
use crate::settings::Settings;

const WHAT: &str = "nothing was erased";
/// What no program can reach.
const OUT_OF_REACH: &str = "out of reach: clones and forks, what a git server keeps of commits that nothing names any more, remotes of \
                            your own that were pushed to, branches of yours that ours were merged into, backups, snapshots of the \
                            file system, transcripts of agents' hosts, what a terminal or a log elsewhere shows";
const ROTATE: &str = "If a secret was recorded, rotate it: everyone who has read it still knows it.";

const BEGUN: &str = "not everything is erased yet";
/// How many of the places that say the same words are named on a terminal.
const OTHERS_MAX: usize = 50;
/// How long to wait for an answer before checking that the worker still runs.
const SLICE: Duration = Duration::from_millis(100);
/// How long a worker may do other things before it begins. The erasure itself takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record that is to be erased.
struct Subject {
    id: RecordId,
    revision: Revision,
    /// Its kind and title, if it is visible.
    name: Option<String>,
}

pub fn run(context: &Context, args: &EraseArgs) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let (subjects, already) = subjects(context, &home, &settings, args)?;
    let unfinished = Erasing::read(home.private()).map_err(|error| Failure::of(WHAT, &error))?;
    let unfinished = unfinished.map(|note| note.ids.into_keys().collect::<BTreeSet<_>>()).unwrap_or_default();
    let is_done = subjects.is_empty() && already.iter().all(|id| !unfinished.contains(id));
    if is_done {
        let remote = on_the_remote(&home, &settings)?;
        say_already(context, &already, remote.as_ref());
        return Ok(exit_of(remote.as_ref()));
    }
    let ids: BTreeSet<RecordId> = subjects.iter().map(|it| it.id).chain(already.iter().copied()).collect();
    let traces = erase::survey(&home, &settings.batch(), &ids).map_err(|error| Failure::of(WHAT, &error))?;
    if args.dry_run {
        say_plan(context, &subjects, &traces);
        return Ok(Exit::Done);
    }
    if !args.yes && !is_confirmed(context, &subjects, &traces)? {
        output::line("nothing was erased");
        return Ok(Exit::Done);
    }
    let report = erased(&home, &settings, &subjects)?;
    // What is made from the index is made again.
    let what = "it is erased, and search is not up to date yet";
    let job = Job { home: &home, settings: &settings, want: Want::Flush, what, search: Bound::Slice };
    if let Err(failure) = job.run(crate::settings::seconds(5), &mut ()) {
        output::warn(&failure.what);
    }
    let remote = on_the_remote(&home, &settings)?;
    say(context, &already, &report, remote.as_ref());
    Ok(exit_of(remote.as_ref()))
}

/// Takes what this home erased out of the remote, if it has one and that is not done yet.
fn on_the_remote(home: &Home, settings: &Settings) -> Result<Option<Purged>, Failure> {
    super::sync::purge(home, settings)
}

fn exit_of(remote: Option<&Purged>) -> Exit {
    if remote.is_none_or(|it| it.is_done) { Exit::Done } else { Exit::TryAgain }
}

fn say_remote(remote: &Purged) {
    match &remote.why {
        None => output::line(
            "  on the remote, no reference of indelible reaches it; other homes erase it at their next sync",
        ),
        Some(why) => {
            output::warn(&format!("not on the remote yet: {why}"));
            output::line(&format!(
                "  {}",
                output::hint("the next `indelible sync` takes it out of the lanes and the trunk")
            ));
        }
    }
}

/// The records to be erased, and those that are erased already.
///
/// # Errors
/// Exit 65 for an id that is unknown or the end of several.
fn subjects(
    context: &Context,
    home: &Home,
    settings: &Settings,
    args: &EraseArgs,
) -> Result<(Vec<Subject>, Vec<RecordId>), Failure> {
    let view = reading::view(context, home)?;
    let (mut subjects, mut hidden) = (Vec::new(), BTreeMap::new());
    for Target { id, path } in targets(&view, &args.ids, WHAT)? {
        let seen = view.get(id, path.as_deref()).map_err(reading::failed(WHAT))?;
        let recorded = match seen {
            Seen::Hidden(Some(mark)) if mark.state == Presence::Erased => {
                hidden.insert(id, mark.revision);
                continue;
            }
            Seen::Unknown if !is_known(home, settings, id)? => {
                let why = std::io::Error::other(format!("{id} is not known here"));
                return Err(Failure::new(Exit::Input, WHAT).because(&why));
            }
            seen => seen.visible(),
        };
        let revision = latest(&view, id, recorded.as_ref())?.next();
        let name = recorded.map(|it| format!("{}: {}", it.kind(), line_of(it.title())));
        subjects.push(Subject { id, revision, name });
    }
    // A backup that was put back can have brought some of it, and what kept old objects can be gone.
    let back = erase::back(home, &settings.batch(), &hidden.keys().copied().collect());
    let back = back.map_err(|error| Failure::of(WHAT, &error))?;
    let (again, already): (Vec<_>, Vec<_>) = hidden.into_iter().partition(|(id, _)| back.contains(id));
    subjects.extend(again.into_iter().map(|(id, revision)| Subject { id, revision, name: None }));
    Ok((subjects, already.into_iter().map(|(id, _)| id).collect()))
}

fn is_known(home: &Home, settings: &Settings, id: RecordId) -> Result<bool, Failure> {
    erase::is_known(home, &settings.batch(), id).map_err(|error| Failure::of(WHAT, &error))
}

fn latest(view: &View<'_>, id: RecordId, recorded: Option<&indelible::query::Recorded>) -> Result<Revision, Failure> {
    view.latest(id, recorded).map_err(reading::failed(WHAT))
}

/// Erases, under the worker's lock: by the worker that has it, or here.
fn erased(home: &Home, settings: &Settings, subjects: &[Subject]) -> Result<Report, Failure> {
    let ids: BTreeMap<RecordId, Revision> = subjects.iter().map(|it| (it.id, it.revision)).collect();
    let (mut asked, mut is_gone): (Option<Request>, bool) = (None, false);
    let mut until = Instant::now() + PATIENCE;
    loop {
        let taken = home.exclusive("an erasure").map_err(|error| Failure::of(WHAT, &error))?;
        let holder = match taken {
            Ok(exclusive) => return erased_here(home, &exclusive, settings, ids),
            Err(holder) => holder,
        };
        let request = match asked.take() {
            Some(request) if request.is_there() => request,
            // A worker that began again removes answers that were not read: it is asked once more.
            Some(_) if is_gone => return Err(is_refused(home, &holder)),
            gone => {
                is_gone |= gone.is_some();
                Request::ask_to_erase(home, ids.clone()).map_err(|error| Failure::of(WHAT, &error))?
            }
        };
        let answer = request.wait(SLICE).map_err(|error| Failure::of(BEGUN, &error))?;
        if let Some(answer) = answer {
            return report_of(answer);
        }
        if is_erasing(home) {
            until = Instant::now() + PATIENCE;
        } else if Instant::now() >= until {
            return Err(too_late(&holder));
        }
        asked = Some(request);
    }
}

fn erased_here(
    home: &Home,
    exclusive: &Exclusive<'_>,
    settings: &Settings,
    ids: BTreeMap<RecordId, Revision>,
) -> Result<Report, Failure> {
    home.check_current().map_err(|error| Failure::of(WHAT, &error))?;
    erase::erase(exclusive, &settings.batch(), ids, &mut ()).map_err(|error| failed(&error))
}

fn failed(error: &erase::Error) -> Failure {
    Failure::of(if error.has_begun() { BEGUN } else { WHAT }, error)
}

/// Whether the worker is erasing, or is about to go on with it.
fn is_erasing(home: &Home) -> bool {
    let published = worker::published(home).ok().flatten();
    published.is_some_and(|published| matches!(published.state, State::Erasing | State::Starting))
}

/// What the worker did.
fn report_of(answer: Answer) -> Result<Report, Failure> {
    let why = answer.error.unwrap_or_else(|| "the worker did not say what it erased".to_owned());
    match (answer.erased, answer.fault) {
        (Some(report), _) => Ok(report),
        (None, Some(Fault::Unsupported)) => Err(failed(&erase::Error::Unsupported(why))),
        (None, Some(Fault::InTheWay)) => Err(failed(&erase::Error::InTheWay(why))),
        (None, Some(Fault::Unfinished)) => Err(failed(&erase::Error::Unfinished(why))),
        (None, Some(Fault::Failed) | None) => {
            Err(Failure::new(Exit::Io, BEGUN).because(&std::io::Error::other(why)).hint("`indelible status` says more"))
        }
    }
}

/// The worker took the request away without an answer: it does not know this one, or has only just started.
fn is_refused(home: &Home, holder: &Holder) -> Failure {
    let version = worker::published(home).ok().flatten().map(|published| published.version).unwrap_or_default();
    let why = format!("{}, of indelible {version}, has the home's lock and does not erase", holder.0);
    Failure::new(Exit::TryAgain, WHAT)
        .because(&std::io::Error::other(why))
        .hint("`indelible worker --stop`, then the same command, then start the worker again")
}

fn too_late(holder: &Holder) -> Failure {
    let why = format!("{} has the home's lock, and did not begin in time; it may begin now", holder.0);
    Failure::new(Exit::TryAgain, BEGUN)
        .because(&std::io::Error::other(why))
        .hint("`indelible status` says what it does; run the same command again")
}

/// Asks a person.
///
/// # Errors
/// Exit 64 if there is none to ask.
fn is_confirmed(context: &Context, subjects: &[Subject], traces: &Traces) -> Result<bool, Failure> {
    if context.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let why = std::io::Error::other("there is no terminal to ask at");
        return Err(Failure::new(Exit::Usage, WHAT)
            .because(&why)
            .hint("`--dry-run` shows what would go; `--yes` does it"));
    }
    say_plan(context, subjects, traces);
    // Nothing brings it back: what was typed before the question could be read is no answer to it.
    os::drop_typed();
    output::question("Erase for good? Nothing brings it back. [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn say_plan(context: &Context, subjects: &[Subject], traces: &Traces) {
    if context.json {
        let ids: Vec<RecordId> = subjects.iter().map(|it| it.id).collect();
        output::json(&json!({ "would_erase": ids, "git": traces, "out_of_reach": OUT_OF_REACH }));
        return;
    }
    for it in subjects {
        output::line(&format!("would erase {} {}", it.id, it.name.as_deref().unwrap_or("(retracted)")));
    }
    output::line(&format!(
        "  {} made again, {} taken out of git, {} written again",
        counted(traces.commits as u64, "commit", "commits"),
        counted(traces.objects as u64, "object", "objects"),
        counted(traces.packs as u64, "pack", "packs"),
    ));
    output::line(
        "  its entries in the journal, its rows, its file and copies of it, search, quarantine, logs and sessions",
    );
    say_kept(&traces.kept_by);
    output::line(&format!("  {OUT_OF_REACH}"));
    output::line(&format!("  {ROTATE}"));
}

fn say_kept(kept_by: &BTreeSet<String>) {
    for name in kept_by {
        output::line(&format!("  stays in git, which is yours: {}", line_of(name)));
    }
}

/// Says what was erased. Of `already`, some can have been finished by this command, and others before it.
fn say(context: &Context, already: &[RecordId], report: &Report, remote: Option<&Purged>) {
    let already: Vec<&RecordId> = already.iter().filter(|id| !report.ids.contains(id)).collect();
    if context.json {
        output::json(&json!({ "erased": report.ids, "already": already, "commits": report.commits,
            "kept_by": report.kept_by, "others": report.others, "out_of_reach": OUT_OF_REACH, "remote": remote }));
        return;
    }
    already.iter().for_each(|id| output::line(&format!("already erased: {}", id.short())));
    let gone = if report.kept_by.is_empty() { "from everything of this home" } else { "from everything of ours" };
    report.ids.iter().for_each(|id| output::line(&format!("erased: {} {gone}", id.short())));
    say_kept(&report.kept_by);
    for name in report.others.iter().take(OTHERS_MAX) {
        output::line(&format!("  says the same words, and stays: {}", line_of(name)));
    }
    if let Some(more) = report.others.len().checked_sub(OTHERS_MAX).filter(|more| *more > 0) {
        output::line(&format!(
            "  {} like that; `--json` names them",
            counted(more as u64, "more place", "more places")
        ));
    }
    remote.iter().for_each(|remote| say_remote(remote));
    output::line(&format!("  {OUT_OF_REACH}"));
    output::line(&format!("  {ROTATE}"));
}

fn say_already(context: &Context, already: &[RecordId], remote: Option<&Purged>) {
    match context.json {
        true => output::json(&json!({ "erased": [], "already": already, "remote": remote })),
        false => {
            already.iter().for_each(|id| output::line(&format!("already erased: {}", id.short())));
            remote.iter().for_each(|remote| say_remote(remote));
        }
    }
}
