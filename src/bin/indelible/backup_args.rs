//! `export`, `import` and `page` as clap sees them.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::path;
use crate::cmd::complete;
use crate::reading::args::FilterArgs;

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write records as JSON lines, with ids, amendments, verdicts and provenance, for `import`
    ///
    /// It has every record that was acknowledged before it began, as it was then, beside any worker and recorders. Without
    /// filters it also says which records were retracted; with them it has the verdicts on the records that it has. What was
    /// erased is in no export. The last line says that it is whole: `import` notices a file that was cut off.
    #[command(
        after_help = "Examples:\n  indelible export --out backup.jsonl\n  indelible export --domain ci --since 30d > ci.jsonl\n  \
                            indelible export | zstd > backup.jsonl.zst"
    )]
    Export(Box<ExportArgs>),
    /// Take back the lines of an `export`: the same ids, rows and pages; safe to repeat
    ///
    /// Each line is checked; bad ones are named and exit 65, the others are imported. A record that this home has stays as it
    /// is, and one that was retracted or erased here stays away. It can be stopped and run again.
    ///
    /// A file can come from anywhere: what it says is a person's becomes an import, which agents are not told unasked. A person
    /// who brings their own backup back says so at a terminal with --restore.
    #[command(
        after_help = "Examples:\n  indelible import backup.jsonl --dry-run\n  indelible import backup.jsonl --restore\n  \
                            zstd -dc backup.jsonl.zst | indelible import -"
    )]
    Import(ImportArgs),
    /// Write what was learned as one HTML file: rules, failures and what followed, experiments, activity
    ///
    /// No script, nothing loaded from elsewhere, secrets of known shapes replaced. It is readable on a phone, in the dark, on paper and
    /// by a screen reader; the browser finds words in it. Everything is counted; of large homes the surest rules and the newest
    /// failures and experiments are shown.
    #[command(
        after_help = "Examples:\n  indelible page --out page.html\n  indelible page --here --since 30d --out month.html"
    )]
    Page(Box<PageArgs>),
}

// What a page shows, and where it goes.
#[derive(Debug, ClapArgs)]
pub struct PageArgs {
    /// The kinds: failure, success, observation, heuristic, experiment
    #[arg(value_name = "KIND", value_delimiter = ',', add = ArgValueCandidates::new(complete::kinds))]
    pub kind: Vec<String>,
    /// The file to write, which appears when it is whole; - is stdout [default: stdout, unless that is a terminal]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath, value_parser = path())]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

impl PageArgs {
    /// The kinds and filters that were asked for, as they are typed.
    pub fn typed(&self) -> Vec<String> {
        let filter = &self.filter;
        let mut typed: Vec<String> = self.kind.clone();
        for (flag, values) in [
            ("--domain", &filter.domain),
            ("--tag", &filter.tag),
            ("--project", &filter.project),
            ("--severity", &filter.severity),
            ("--state", &filter.state),
            ("--agent", &filter.agent),
            ("--session", &filter.session),
            ("--origin", &filter.origin),
        ] {
            typed.extend(values.iter().map(|value| format!("{flag} {value}")));
        }
        if filter.here {
            typed.push("--here".to_owned());
        }
        typed.extend(filter.since.iter().map(|since| format!("--since {since}")));
        typed.extend(filter.until.iter().map(|until| format!("--until {until}")));
        typed
    }
}

// Which records are exported, and to where.
#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    /// The kinds: failure, success, observation, heuristic, experiment
    #[arg(value_name = "KIND", value_delimiter = ',', add = ArgValueCandidates::new(complete::kinds))]
    pub kind: Vec<String>,
    /// The file to write, which appears when it is whole; - is stdout [default: stdout]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath, value_parser = path())]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

// Which lines are imported, and how.
#[derive(Debug, ClapArgs)]
pub struct ImportArgs {
    /// The file; - is stdin
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath, value_parser = path())]
    pub file: PathBuf,
    /// Only check the lines, and say what would be imported
    #[arg(long)]
    pub dry_run: bool,
    /// It is your own backup: what a person wrote stays a person's (at a terminal)
    #[arg(long)]
    pub restore: bool,
    /// Replace secrets of known shapes, in every field, by a placeholder
    #[arg(long)]
    pub redact: bool,
    /// Seconds to wait for a running worker to apply a part of it
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout: u64,
}

/// The file that `--out` names; `None` for stdout.
pub fn file(out: Option<&Path>) -> Option<&Path> {
    out.filter(|path| *path != Path::new("-"))
}
