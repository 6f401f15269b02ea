//! `sync-report`: what the framework's `sync-db-markdown.sh` prints, for the drop-in script of that name.
//!
//! It checks more than the framework's script does: also successes, observations, experiments, and indelible's own records. The
//! lines are the framework's. Everything is in sync only if nothing reported is left.

use std::collections::HashSet;

use indelible::adopt::{self, Orphan, Orphans, Wishes};
use indelible::audit::Action;
use indelible::model::layout::{EXPERIMENTS, FAILURES, HEURISTICS, OBSERVATIONS, SUCCESSES};
use indelible::model::text::visible_line;
use indelible::verify::{Report, verify};
use indelible::worker::Want;

use super::Context;
use super::flush::Job;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{Settings, TEMPLATE};

const WHAT: &str = "the report could not be made";
const RULE: &str = "==============================================";
/// How long to wait for a worker to repair records.
const WAIT_S: u64 = 60;

pub fn run(context: &Context, fix: bool, verbose: bool) -> Result<Exit, Failure> {
    let found = look(context)?;
    line(RULE);
    line("  Database/Markdown Synchronization Report");
    line(RULE);
    line(format!("\nMode: {}\n", if fix { "FIX" } else { "REPORT ONLY" }));
    let left = if fix {
        mend(context)?;
        Some(look(context)?)
    } else {
        None
    };
    let mut said = Said { left: left.as_ref(), totals: Totals::default() };
    said.sections(&found, verbose);
    Ok(said.summary(left.as_ref()))
}

fn line(text: impl AsRef<str>) {
    output::line(text.as_ref());
}

/// What was found: the framework's orphans, and records about which the stores disagree.
struct Look {
    orphans: Orphans,
    records: Report,
}

impl Look {
    /// How many things are not in sync.
    fn issues(&self) -> usize {
        self.orphans.files.len() + self.orphans.rows.len() + self.records.disagreements.len()
    }
}

fn look(context: &Context) -> Result<Look, Failure> {
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let plan = adopt::plan(home.path(), &settings.history()).map_err(|error| Failure::of(WHAT, &error))?;
    let records = verify(&home, &settings.history(), &mut ()).map_err(|error| Failure::of(WHAT, &error))?;
    Ok(Look { orphans: plan.orphans, records })
}

fn mend(context: &Context) -> Result<(), Failure> {
    let home = context.open(WHAT)?;
    let settings = Settings::at(home.path(), &context.overrides)?;
    let wishes = Wishes { mend: true, ..Wishes::default() };
    adopt::adopt(home.path(), &wishes, settings.history(), TEMPLATE).map_err(|error| Failure::of(WHAT, &error))?;
    let job = Job { home: &home, settings: &settings, want: Want::Recover, what: WHAT };
    job.run(crate::settings::seconds(WAIT_S), &mut ()).map(|_| ())
}

#[derive(Default)]
struct Totals {
    files: usize,
    rows: usize,
    fixed_files: usize,
    fixed_rows: usize,
    failed: usize,
}

struct Said<'l> {
    /// What is left after the repair; `None` if nothing was to be repaired.
    left: Option<&'l Look>,
    totals: Totals,
}

impl Said<'_> {
    fn sections(&mut self, found: &Look, verbose: bool) {
        let sections = [
            ("Failures", FAILURES),
            ("Successes", SUCCESSES),
            ("Observations", OBSERVATIONS),
            ("Heuristics", HEURISTICS),
            ("Experiments", EXPERIMENTS),
            ("Others", ""),
        ];
        let mut seen = HashSet::new();
        for (name, folder) in sections {
            let mut of = |orphans: &'_ [Orphan]| -> Vec<Orphan> {
                let within =
                    |it: &&Orphan| it.path.starts_with(folder) && seen.insert((it.path.clone(), it.row.clone()));
                orphans.iter().filter(within).cloned().collect()
            };
            let (files, rows) = (of(&found.orphans.files), of(&found.orphans.rows));
            if folder.is_empty() && files.is_empty() && rows.is_empty() {
                continue;
            }
            line(format!("--- {name}: Checking for orphaned markdown files ---"));
            files.iter().for_each(|orphan| self.file(orphan));
            line(format!("\n--- {name}: Checking for orphaned database records ---"));
            rows.iter().for_each(|orphan| self.row(orphan));
            line("");
        }
        line("--- Records of indelible: journal, files, rows and history ---");
        self.records(&found.records);
        if verbose {
            line(format!(
                "  looked at {} pages and folders, and {} records",
                found.orphans.looked_at, found.records.records
            ));
        }
    }

    fn file(&mut self, orphan: &Orphan) {
        self.totals.files += 1;
        line(format!("ORPHANED FILE: {} ({})", visible_line(&orphan.path), visible_line(&orphan.headline)));
        let is_left = self.left.map(|left| left.orphans.files.iter().any(|it| is_same(it, orphan)));
        self.totals.fixed_files += self.mended(is_left, orphan.left.as_deref(), "Added to database");
    }

    fn row(&mut self, orphan: &Orphan) {
        self.totals.rows += 1;
        let id = orphan.row.as_deref().and_then(|row| row.rsplit(' ').next()).unwrap_or("none");
        line(format!("ORPHANED DB RECORD: {} (ID: {id})", visible_line(&orphan.path)));
        let is_left = self.left.map(|left| left.orphans.rows.iter().any(|it| is_same(it, orphan)));
        self.totals.fixed_rows += self.mended(is_left, orphan.left.as_deref(), "Recreated markdown file");
    }

    fn records(&mut self, report: &Report) {
        let of_files = [Action::AddRow, Action::CommitFile].map(Action::what);
        for found in &report.disagreements {
            let is_file = of_files.contains(&found.what.as_str());
            let what = if is_file { "ORPHANED FILE" } else { "ORPHANED DB RECORD" };
            line(format!("{what}: {} ({})", visible_line(&found.path), found.what));
            let is_left = self.left.map(|left| left.records.disagreements.contains(found));
            let mended = self.mended(is_left, None, "Journal, file, row and history agree");
            let totals = &mut self.totals;
            let (counted, fixed) = match is_file {
                true => (&mut totals.files, &mut totals.fixed_files),
                false => (&mut totals.rows, &mut totals.fixed_rows),
            };
            *counted += 1;
            *fixed += mended;
        }
    }

    /// Says whether something was repaired. Returns 1 if it was.
    fn mended(&mut self, is_left: Option<bool>, why: Option<&str>, done: &str) -> usize {
        match (is_left, why) {
            (None, _) => {}
            (Some(false), _) => {
                line(format!("  -> FIXED: {done}"));
                return 1;
            }
            (Some(true), Some(why)) => line(format!("  -> SKIPPED: {why}")),
            (Some(true), None) => {
                line("  -> FAILED: it is still so");
                self.totals.failed += 1;
            }
        }
        0
    }

    fn summary(&self, left: Option<&Look>) -> Exit {
        let Totals { files, rows, fixed_files, fixed_rows, failed } = self.totals;
        line(format!("\n{RULE}\n  Summary\n{RULE}"));
        line(format!("  Orphaned markdown files (not in DB): {files}"));
        line(format!("  Orphaned database records (no file): {rows}\n"));
        let issues = match left {
            None => files + rows,
            Some(left) => {
                line(format!("  Fixed markdown files:    {fixed_files}"));
                line(format!("  Fixed database records:  {fixed_rows}"));
                line(format!("  Errors encountered:      {failed}\n"));
                left.issues()
            }
        };
        match (issues, left) {
            (0, Some(_)) if fixed_files + fixed_rows == 0 => line("Status: NO CHANGES NEEDED"),
            (0, _) => line("Status: SYNCHRONIZED"),
            (issues, _) => line(format!("Status: OUT OF SYNC ({issues} issues)")),
        }
        if issues > 0 && left.is_none() {
            line("\n  Run with --fix to synchronize");
        }
        if failed > 0 {
            line(format!("Completed with {failed} errors"));
            return Exit::Disagreement;
        }
        Exit::Done
    }
}

fn is_same(one: &Orphan, other: &Orphan) -> bool {
    (&one.path, &one.row, &one.headline) == (&other.path, &other.row, &other.headline)
}
