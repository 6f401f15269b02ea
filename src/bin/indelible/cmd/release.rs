//! `release`: undoes `adopt`, after saying what that means.

use std::time::{Duration, Instant};

use indelible::adopt::release::{self, Released};
use indelible::adopt::{self, Note};
use indelible::fs::lock::WorkerLock;
use indelible::fs::os;
use indelible::home::Home;
use serde_json::json;

use super::Context;
use crate::args::AdoptionArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars};

const WHAT: &str = "the home was not released";
/// How long a worker that was asked to stop may take, and whoever else has its lock.
const WAIT: Duration = Duration::from_secs(60);

pub fn run(context: &Context, asked: &AdoptionArgs, remove: bool) -> Result<Exit, Failure> {
    let path = asked.home(context)?;
    if !asked.yes {
        let note = release::look(&path).map_err(|error| Failure::of(WHAT, &error))?;
        if !context.json {
            say(&path, &note, remove);
        }
        if !asked.goes_on(context.json, "Release it?") {
            match context.json {
                true => output::json(&json!({ "adopted": note, "done": null })),
                false => output::line("\nNothing was changed. `--yes` does it."),
            }
            return Ok(Exit::Done);
        }
    }
    let (home, note) = release::open(&path).map_err(|error| Failure::of(WHAT, &error))?;
    let settings = context.settings(&home)?;
    let lock = take_lock(&home)?;
    home.check_current().map_err(|error| Failure::of(WHAT, &error))?;
    let mut bars = Bars::new(context.json);
    let released = release::release(&home, &note, &lock, &settings.batch(), remove, &mut bars)
        .map_err(|error: adopt::Error| Failure::of("the home is not released, or not to the end", &error))?;
    match context.json {
        true => output::json(&json!({ "adopted": note, "done": released })),
        false => say_done(&released),
    }
    Ok(Exit::Done)
}

/// Takes the worker's lock; a worker that has it is asked to stop.
fn take_lock(home: &Home) -> Result<WorkerLock, Failure> {
    let until = Instant::now() + WAIT;
    let (mut seen, mut asked) = (None, None);
    loop {
        let taken = WorkerLock::try_take(home.private(), "a release").map_err(|error| Failure::of(WHAT, &error))?;
        let holder = match taken {
            Ok(lock) => return Ok(lock),
            Err(holder) => holder,
        };
        // Whoever has just taken the lock has not said who it is yet: then this still names a worker that is gone, and
        // its number may be another process's. So it has to say the same twice.
        let worker = holder.worker().filter(|worker| seen.replace(*worker) == Some(*worker));
        if let Some(process) = worker.filter(|worker| asked != Some(*worker)) {
            let _ = os::ask_to_stop(process);
            asked = worker;
        }
        if Instant::now() >= until {
            let failure = Failure::new(Exit::TryAgain, WHAT);
            return Err(failure
                .because(&std::io::Error::other(format!("{} did not end in time", holder.0)))
                .hint("stop it and run the same command again"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn say(path: &std::path::Path, note: &Note, remove: bool) {
    let line = |text: &str| output::line(&format!("  {text}"));
    output::line(&format!("{} was adopted on {}", path.display(), note.at.strftime("%Y-%m-%d")));
    output::line("\nWhat releasing it does:");
    line(
        "a worker that runs is asked to stop; a service that starts one is yours to remove (`indelible service uninstall`)",
    );
    line("everything pending is committed, and files, rows and history are held against each other");
    line("scripts that were replaced are put back");
    match note.journal_mode.as_deref() {
        Some("wal") => line("the database stays in WAL mode, as it was"),
        _ => line("the database leaves WAL mode; the tables records and indelible stay in it"),
    }
    line("our lines go from .git/info/exclude");
    match remove {
        true => line("the private folder is removed, and the copy of the database in it"),
        false => line("the private folder is put aside, under a name that git does not show"),
    }
    line("records keep their files, their rows and their branch");
}

fn say_done(done: &Released) {
    let line = |text: &str| output::line(&format!("  {text}"));
    let home = done.home.display();
    output::line(&format!("{home} is released"));
    if done.scripts > 0 {
        line(&format!("{} put back", output::count(done.scripts, "script", "scripts")));
    }
    for name in &done.replaced {
        line(&format!("scripts/{name} is not ours any more and was left alone; the one before is kept"));
    }
    if let Some(aside) = &done.aside {
        line(&format!("the private folder is {aside}; remove it when you like"));
    }
    if done.made_repository {
        line("the git repository was made for the records, and stays");
        return;
    }
    let Some(branch) = &done.branch else {
        line("nothing was recorded while it was adopted");
        return;
    };
    output::line(&format!("\nThe records are on the branch {branch}. To have them on yours, and end it:"));
    // What they have staged beside is not for this commit.
    let paths = match done.branch_meets_head {
        true => format!("git -C '{home}' diff --name-only HEAD...{branch}"),
        false => format!("git -C '{home}' ls-tree -r --name-only {branch}"),
    };
    line(&format!("{paths} | git -C '{home}' add --pathspec-from-file=-"));
    line(&format!("{paths} | git -C '{home}' commit -m 'Records' --pathspec-from-file=-"));
    line(&format!("git -C '{home}' branch -D {branch}"));
}
