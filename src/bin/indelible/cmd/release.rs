//! `release`: undoes `adopt`, after saying what that means.

use std::time::{Duration, Instant};

use indelible::adopt::release::{self, Released};
use indelible::adopt::{self, Note};
use indelible::exclusive::Exclusive;
use indelible::fs::os;
use indelible::home::Home;
use indelible::model::text::{self, shell_path_alone};
use indelible::trust;
use serde_json::json;

use super::Context;
use crate::args::AdoptionArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars};
use crate::user;

const WHAT: &str = "the home was not released";
/// How long to wait for a worker that was asked to stop, or for another holder of its lock.
const WAIT: Duration = Duration::from_secs(60);

pub fn run(context: &Context, asked: &AdoptionArgs, remove: bool) -> Result<Exit, Failure> {
    let (path, by) = asked.home(context)?;
    if !context.json {
        output::line(&format!("home: {} ({by})", text::path(&path)));
    }
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
    let released = release::release(&lock, &note, &settings.batch(), remove, &mut bars)
        .map_err(|error: adopt::Error| Failure::of("the home is not released, or not to the end", &error))?;
    if let Some(state) = user::state_folder() {
        // Its token is gone already, so this only cleans up.
        let _ = trust::revoke(Some(&state), &released.home);
    }
    match context.json {
        true => output::json(&json!({ "adopted": note, "done": released })),
        false => say_done(&released),
    }
    Ok(Exit::Done)
}

/// Takes the worker's lock, and asks a worker that holds it to stop.
fn take_lock(home: &Home) -> Result<Exclusive<'_>, Failure> {
    let until = Instant::now() + WAIT;
    let (mut seen, mut asked) = (None, None);
    loop {
        let taken = home.exclusive("a release").map_err(|error| Failure::of(WHAT, &error))?;
        let holder = match taken {
            Ok(lock) => return Ok(lock),
            Err(holder) => holder,
        };
        // A new holder of the lock has not written its id yet: then this names a worker that is gone, and its id may belong to
        // another process by now. So it must be the same twice.
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
    output::line(&format!("{} was adopted on {}", text::path(path), note.at.strftime("%Y-%m-%d")));
    output::line("\nWhat releasing it does:");
    line(
        "a worker that runs is asked to stop; a service that starts one is yours to remove (`indelible service uninstall`)",
    );
    line("everything pending is committed, and files, rows and history are held against each other");
    line("scripts that were replaced are put back");
    match note.journal_mode.as_deref() {
        Some("wal") => line("the database stays in WAL mode, as it was, with all rows in index.db itself"),
        _ => line("the database leaves WAL mode; the tables records and indelible stay in it"),
    }
    line("our lines go from .git/info/exclude");
    match remove {
        true => line("the private folder is removed, and the copies of the database in it"),
        false => line("the private folder is put aside, under a name that git does not show"),
    }
    line("records keep their files, their rows and their branch");
}

fn say_done(done: &Released) {
    let line = |text: &str| output::line(&format!("  {text}"));
    output::line(&format!("{} is released", text::path(&done.home)));
    if done.scripts > 0 {
        line(&format!("{} put back", output::count(done.scripts, "script", "scripts")));
    }
    for name in &done.replaced {
        line(&format!("scripts/{name} is no longer ours and was left alone; the original is kept"));
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
    say_branch(done, branch);
}

/// The commands that bring the records to the owner's branch and delete indelible's. Each step needs the one before it, and
/// the branch is deleted only if everything on it is in HEAD by then. If no branch of indelible's shows the newest commit,
/// none is deleted.
fn say_branch(done: &Released, branch: &str) {
    let line = |text: &str| output::line(&format!("  {text}"));
    let git = format!("git -C {}", shell_path_alone(&done.home));
    let is_branch = !branch.starts_with("refs/");
    let (place, end) = match is_branch {
        true => (format!("on the branch {branch}"), format!("{git} branch -D {branch}")),
        false => (format!("in {branch}, which no branch shows"), format!("{git} update-ref -d {branch}")),
    };
    if done.ignores_records {
        output::line(&format!("\nThe records are {place}. Your .gitignore keeps them out of yours."));
        output::line(match is_branch {
            true => "Their files and rows stay. To end the branch:",
            false => "Their files and rows stay. To end the history of the records:",
        });
        line(&end);
        return;
    }
    if done.head_has_branch {
        output::line(&format!("\nThe records are {place}, and your branch has all of them."));
        return;
    }
    let and_end = if is_branch { ", and end it" } else { "" };
    output::line(&format!("\nThe records are {place}. To have them on yours{and_end}:"));
    let paths = match done.branch_meets_head {
        true => format!("{git} diff --name-only HEAD...{branch}"),
        false => format!("{git} ls-tree -r --name-only {branch}"),
    };
    // A file that was moved or removed since cannot be added. Other staged files must not get into this commit, even if there
    // is nothing to add.
    let there = format!("{paths} | (cd {} && xargs -r ls -d 2>/dev/null)", shell_path_alone(&done.home));
    let commit = format!("{there} | {git} commit --only -m 'Records' --pathspec-from-file=-");
    line(&format!("{there} | {git} add --pathspec-from-file=- &&"));
    if !is_branch {
        line(&commit);
        return;
    }
    line(&format!("{commit} &&"));
    line(&format!("! {paths} | sed 's/^/HEAD:/' | {git} cat-file --batch-check | grep ' missing$' &&"));
    line(&end);
    output::line(
        "The third lists what is not in your branch, moved files for one; where there is any, the branch stays.",
    );
}
