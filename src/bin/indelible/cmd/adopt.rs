//! `adopt`: takes over a home of the framework, after saying what that means.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use indelible::adopt::{self, Adopted, Inspection, Occupant, Orphan, Orphans, Plan, Repository, Wishes};
use indelible::home::Home;
use indelible::model::text::{self, shell_path_alone, visible_line};
use serde_json::json;

use super::{Context, trust};
use crate::args::AdoptionArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, count};
use crate::program;
use crate::settings::{Settings, TEMPLATE};
use crate::which::By;

const WHAT: &str = "the home was not adopted";
/// How many orphans of a kind are listed; `--json` lists all.
const LISTED_MAX: usize = 10;

impl AdoptionArgs {
    /// The home to adopt, by the same rule as for all commands, and what named it. If no home is named or found, it is the
    /// framework's usual folder instead of the default home.
    pub fn home(&self, context: &Context) -> Result<(PathBuf, &'static str), Failure> {
        if let Some(path) = &self.dir {
            return Ok((path.clone(), "named"));
        }
        let meant = context.meant();
        if let Some(meant) = meant.ok().filter(|meant| meant.by != By::Default) {
            return Ok((meant.path.clone(), meant.by.words()));
        }
        match std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) {
            Some(home) => Ok((home.join(".claude/emergent-learning"), "the framework's usual place")),
            None => Err(Failure::new(Exit::Usage, "no home was named, and HOME is not set").hint("name the folder")),
        }
    }

    /// Whether to go on, after the plan was shown: a person at a terminal is asked.
    pub fn goes_on(&self, as_json: bool, question: &str) -> bool {
        if self.dry_run || self.yes || as_json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return self.yes;
        }
        output::question(&format!("\n{question} [y/N] "));
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

pub fn run(context: &Context, asked: &AdoptionArgs, scripts: bool, repair: bool) -> Result<Exit, Failure> {
    let (path, by) = asked.home(context)?;
    if !context.json {
        output::line(&format!("home: {} ({by})", text::path(&path)));
    }
    let settings = Settings::at(&path, &context.overrides)?;
    let plan = adopt::plan(&path, &settings.history()).map_err(|error| Failure::of(WHAT, &error))?;
    if !context.json {
        say(&plan, scripts, repair);
    }
    let question = match &plan.repository {
        _ if plan.is_home => "Do it?",
        Some(repository) if repository.ignores_records => "Adopt it, with a branch that `git push --all` publishes?",
        _ => "Adopt it?",
    };
    if !asked.goes_on(context.json, question) {
        match context.json {
            true => output::json(&json!({ "plan": plan, "done": null })),
            false => output::line("\nNothing was changed. `--yes` does it."),
        }
        return Ok(Exit::Done);
    }
    let binary = program::lasting().map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let wishes = Wishes { scripts: scripts.then_some(binary), mend: repair };
    let done = adopt::adopt(&path, &wishes, settings.history(), TEMPLATE)
        .map_err(|error| Failure::of("the home is not adopted, or not to the end", &error))?;
    trust::note(&path);
    match context.json {
        true => output::json(&json!({ "plan": plan, "done": done })),
        false => say_done(&plan, &done),
    }
    Ok(Exit::Done)
}

/// A report about drop-in scripts that were replaced, for `status` and `verify`.
pub fn replaced_scripts(home: &Home, what: &str) -> Result<Vec<String>, Failure> {
    let replaced = adopt::replaced_scripts(home).map_err(|error| Failure::of(what, &error))?;
    let home = shell_path_alone(home.path());
    let told = replaced.into_iter().map(|it| {
        format!(
            "scripts/{} {}: `indelible adopt {home} --scripts --yes` puts ours there, and keeps what is there now; \
             `indelible repair --dismiss` says that it may stay",
            it.name, it.what
        )
    });
    Ok(told.collect())
}

fn line(text: impl AsRef<str>) {
    output::line(&format!("  {}", visible_line(text.as_ref())));
}

fn say(plan: &Plan, scripts: bool, repair: bool) {
    let home = text::path(&plan.home);
    match (&plan.adopted, plan.is_home) {
        (Some(note), _) => output::line(&format!("{home} was adopted on {}", note.at.strftime("%Y-%m-%d"))),
        (None, true) => output::line(&format!("{home} is a home of indelible already")),
        (None, false) => output::line(&format!("{home} can be adopted")),
    }
    output::line("\nWhat is there:");
    say_repository(plan);
    match &plan.database {
        Some(database) => say_database(database),
        None => line("no database: one is made"),
    }
    say_orphans(&plan.orphans);
    if !plan.is_home {
        output::line("\nWhat adopting it does:");
        say_steps(plan);
    }
    if scripts {
        output::line("\nScripts:");
        for script in &plan.scripts {
            line(match script.found {
                Occupant::Nothing => format!("{}: made", script.name),
                Occupant::Ours => format!("{}: ours already, brought up to date", script.name),
                Occupant::Theirs => {
                    format!("{}: replaced; yours is kept in the private folder, in adopted/scripts", script.name)
                }
                Occupant::NoFile => format!("{}: a link, or no plain file: left alone", script.name),
            });
        }
    }
    say_uncovered(plan, scripts);
    say_hooks(plan);
    if repair {
        output::line("\nOrphans are mended: files get rows, rows get files. No file or row that is there changes.");
    }
    if plan.repository.as_ref().is_some_and(|repository| repository.tracks_database) {
        output::line(
            "\nGit tracks the database, which changes with every record. To untrack it (this is not done for you):",
        );
        let home = shell_path_alone(&plan.home);
        line(format!("git -C {home} rm --cached memory/index.db &&"));
        line(format!("git -C {home} commit -m 'Untrack the database'"));
    }
}

/// Says which scripts stay unchanged.
fn say_uncovered(plan: &Plan, scripts: bool) {
    let theirs = plan.scripts.iter().filter(|script| !scripts && script.found == Occupant::Theirs);
    let names: Vec<_> = theirs.map(|script| script.name).chain(plan.uncovered.iter().map(String::as_str)).collect();
    if names.is_empty() {
        return;
    }
    output::line(
        "\nScripts that go on as they are: what they record is in your files, rows and branch, and not in the journal:",
    );
    line(names.join(", "));
    if !scripts {
        line("--scripts puts drop-ins into the places of those that have one");
    }
}

/// Warns if a host also runs the framework's own hook: it records the same as indelible's.
fn say_hooks(plan: &Plan) {
    const SETTINGS_BYTES_MAX: u64 = 4 << 20;
    let Some(path) = plan.home.parent().map(|above| above.join("settings.json")) else { return };
    let is_read = std::fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= SETTINGS_BYTES_MAX);
    let text = if is_read { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
    if !["learning-loop", "post_tool_learning"].iter().any(|name| text.contains(name)) {
        return;
    }
    output::line(&format!("\nHooks: {} runs the framework's learning hook:", text::path(&path)));
    line("beside ours (`indelible hooks install`) each [LEARNED: ...] of an agent would be recorded twice");
    line("switch one of them off: theirs is the entry with post_tool_learning.py in that file");
}

fn say_repository(plan: &Plan) {
    let repository = plan.repository.as_ref();
    match repository {
        None => line("no git repository: one is made, for records alone"),
        Some(Repository { is_ours: true, .. }) => line("a git repository for records alone"),
        Some(Repository { head, branch, .. }) => {
            line(format!("a git repository of yours (HEAD: {head}); records go to its branch {branch}"));
        }
    }
    if !plan.is_home && repository.is_some_and(|repository| repository.ignores_records) {
        line("its .gitignore keeps memory/ out of git, and the records' branch has files of memory/ all the same:");
        line("  `git push --all` and `git push --mirror` would publish them");
        line("  `history.pointer = false` in the settings keeps records off every branch");
    }
}

fn say_database(database: &Inspection) {
    let tables: Vec<_> = database
        .tables
        .iter()
        .map(|table| match table.rows {
            Some(rows) => format!("{} {rows}", table.name),
            None => format!("{} missing", table.name),
        })
        .collect();
    line(format!("a database, journal mode {}; rows: {}", database.journal_mode, tables.join(", ")));
    for table in database.tables.iter().filter(|table| !table.lacking.is_empty()) {
        line(format!("{} has no {}: left out of new rows", table.name, table.lacking.join(", ")));
    }
    for damage in &database.damage {
        line(format!("DAMAGED, so it cannot be adopted: {damage}"));
    }
    if let Some(conflict) = &database.conflict {
        line(format!("our tables cannot be added, so it cannot be adopted: {conflict}"));
    }
    for refusal in &database.refusals {
        line(format!("it refuses the row of a {}: {}", refusal.kind, refusal.why));
        line("  (such a record is kept in its file and in git, and named by `indelible status`)");
    }
}

fn say_orphans(orphans: &Orphans) {
    line(count(orphans.looked_at, "page or folder of the framework's", "pages and folders of the framework's"));
    list(&orphans.files, "without a row", |orphan| orphan.path.clone());
    list(&orphans.rows, "whose file is missing", |orphan| format!("{}, {}", named(orphan), orphan.path));
    list(&orphans.shared, "whose file a later row of the same name has", |orphan| {
        format!("{}, {}", named(orphan), orphan.path)
    });
}

fn named(orphan: &Orphan) -> String {
    format!("{} ({})", orphan.row.as_deref().unwrap_or("no row"), orphan.headline)
}

fn list(orphans: &[Orphan], what: &str, show: impl Fn(&Orphan) -> String) {
    if orphans.is_empty() {
        return;
    }
    line(format!("{} {what}:", orphans.len()));
    for orphan in orphans.iter().take(LISTED_MAX) {
        let left = orphan.left.as_ref().map_or_else(String::new, |why| format!(" [left: {why}]"));
        line(format!("  {}{left}", show(orphan)));
    }
    if orphans.len() > LISTED_MAX {
        line(format!("  and {} more (--json lists all)", orphans.len() - LISTED_MAX));
    }
}

fn say_steps(plan: &Plan) {
    if plan.database.is_some() {
        line("the database is copied to the private folder, and the copy checked; the worker renews a copy every day");
        line("it is put into WAL mode, and two tables are added: records, indelible");
        line(
            "  until a checkpoint new rows are in index.db-wal: a program that copies index.db alone may lack the last ones",
        );
    }
    line(match &plan.repository {
        Some(Repository { is_ours: false, .. }) => "a private folder in your git folder holds the journal",
        _ => "a private folder, .indelible, holds the journal",
    });
    if let Some(Repository { is_ours: false, head, branch, .. }) = &plan.repository {
        line(format!("the branch {branch} is begun where HEAD is ({head}); yours, index and staged work stay"));
        if branch != "indelible" && !branch.starts_with("refs/") {
            line("  (the name indelible, or one beneath it, is taken)");
        }
        line("  (git push --all publishes it; `indelible --set history.pointer=false adopt`, and later");
        line(
            "  `indelible config set history.pointer false`, leave it out: the history is in refs/indelible all the same)",
        );
        line(
            "what is written for records is added to .git/info/exclude; your files in memory/ are added to git as before",
        );
    }
    line("new rows are as the framework's readers take them: one line of a summary, a domain of [a-z0-9-]");
    line("  the exact text is in the record's file");
    line("every file, page and row that is there stays as it is");
    line("`indelible release` undoes it");
}

fn say_done(plan: &Plan, done: &Adopted) {
    let home = shell_path_alone(&plan.home);
    output::line("\nDone:");
    if let Some(backup) = &done.backup {
        line(format!("the database was copied to {backup}"));
    }
    if !done.made.added.is_empty() {
        line(format!("added: {}", done.made.added.join(", ")));
    }
    if done.scripts > 0 {
        line(format!("{} put in their places", count(done.scripts, "script", "scripts")));
    }
    if let Some(mended) = &done.mended {
        line(format!("{} and {} added", count(mended.rows, "row", "rows"), count(mended.files, "file", "files")));
        for left in &mended.left {
            line(format!("left: {left}"));
        }
    }
    output::line(&format!(
        "\nNext: indelible --home {home} service install, or indelible --home {home} worker --detach"
    ));
}
