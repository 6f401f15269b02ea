//! `adopt`: takes over a home of the framework, after saying what that means.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use indelible::adopt::{self, Adopted, Found, Inspection, Orphan, Orphans, Plan, Repository, Wishes};
use indelible::text::visible_line;
use serde_json::json;

use super::Context;
use crate::args::AdoptionArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, count};
use crate::settings::{Settings, TEMPLATE};

const WHAT: &str = "the home was not adopted";
/// So many orphans of a sort are listed; `--json` lists all.
const LISTED_MAX: usize = 10;

impl AdoptionArgs {
    /// The home that is meant.
    pub fn home(&self, context: &Context) -> Result<PathBuf, Failure> {
        if let Some(path) = self.dir.as_ref().or(context.home.as_ref()) {
            return Ok(path.clone());
        }
        match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Ok(Path::new(&home).join(".claude/emergent-learning")),
            None => Err(Failure::new(Exit::Usage, "no home was named, and HOME is not set").hint("name the folder")),
        }
    }

    /// Whether to go on, once what would be done has been said: somebody at a terminal is asked.
    pub fn goes_on(&self, as_json: bool, question: &str) -> bool {
        if self.dry_run || self.yes || as_json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return self.yes;
        }
        print!("\n{question} [y/N] ");
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

pub fn run(context: &Context, asked: &AdoptionArgs, scripts: bool, repair: bool) -> Result<Exit, Failure> {
    let path = asked.home(context)?;
    let settings = Settings::at(&path, &context.overrides)?;
    let plan = adopt::plan(&path, &settings.history()).map_err(|error| Failure::of(WHAT, &error))?;
    if !context.json {
        say(&plan, scripts, repair);
    }
    let question = if plan.is_home { "Do it?" } else { "Adopt it?" };
    if !asked.goes_on(context.json, question) {
        match context.json {
            true => output::json(&json!({ "plan": plan, "done": null })),
            false => output::line("\nNothing was changed. `--yes` does it."),
        }
        return Ok(Exit::Done);
    }
    let binary = std::env::current_exe().map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let wishes = Wishes { scripts: scripts.then_some(binary), mend: repair };
    let done = adopt::adopt(&path, &wishes, settings.history(), TEMPLATE)
        .map_err(|error| Failure::of("the home is not adopted, or not to the end", &error))?;
    match context.json {
        true => output::json(&json!({ "plan": plan, "done": done })),
        false => say_done(&plan, &done),
    }
    Ok(Exit::Done)
}

fn line(text: impl AsRef<str>) {
    output::line(&format!("  {}", visible_line(text.as_ref())));
}

fn say(plan: &Plan, scripts: bool, repair: bool) {
    let home = plan.home.display();
    match (&plan.adopted, plan.is_home) {
        (Some(note), _) => output::line(&format!("{home} was adopted on {}", note.at.strftime("%Y-%m-%d"))),
        (None, true) => output::line(&format!("{home} is a home of indelible already")),
        (None, false) => output::line(&format!("{home} can be adopted")),
    }
    output::line("\nWhat is there:");
    say_repository(plan.repository.as_ref());
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
                Found::Nothing => format!("{}: made", script.name),
                Found::Ours => format!("{}: ours already, brought up to date", script.name),
                Found::Theirs => {
                    format!("{}: replaced; yours is kept in the private folder, in adopted/scripts", script.name)
                }
                Found::NoFile => format!("{}: a link, or no plain file: left alone", script.name),
            });
        }
    }
    if repair {
        output::line("\nOrphans are mended: files get rows, rows get files. No file or row that is there changes.");
    }
    if plan.repository.as_ref().is_some_and(|repository| repository.tracks_database) {
        output::line(
            "\nGit tracks the database, which changes with every record. To untrack it (this is not done for you):",
        );
        line(format!("git -C '{home}' rm --cached memory/index.db"));
        line(format!("git -C '{home}' commit -m 'Untrack the database'"));
    }
}

fn say_repository(repository: Option<&Repository>) {
    match repository {
        None => line("no git repository: one is made, for records alone"),
        Some(Repository { is_ours: true, .. }) => line("a git repository for records alone"),
        Some(Repository { head, branch, .. }) => {
            line(format!("a git repository of yours (HEAD: {head}); records go to its branch {branch}"));
        }
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
        line("the database is copied to the private folder, and the copy checked");
        line("it is put into WAL mode, and two tables are added: records, indelible");
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
    line("every file, page and row that is there stays as it is");
    line("`indelible release` undoes it");
}

fn say_done(plan: &Plan, done: &Adopted) {
    let home = plan.home.display();
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
    output::line(&format!("\nNext: indelible --home '{home}' worker, or indelible --home '{home}' service install"));
}
