//! `amend` as clap sees it: a flag for each field that a record can have, made from the table of fields.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgMatches, Args as ClapArgs, Command, FromArgMatches, value_parser};
use clap_complete::ArgValueCandidates;
use indelible::model::{FIELDS, Field, FieldSpec, Kind};

use crate::cmd::complete;
use crate::field_args::candidates_of;

// Which records are amended, and how.
#[derive(Debug, ClapArgs)]
pub struct AmendArgs {
    /// The records: each by its id, the end of its id, or its path
    #[arg(value_name = "ID", required_unless_present = "from_files", add = ArgValueCandidates::new(complete::ids))]
    pub ids: Vec<String>,
    /// Why; the commit says it
    #[arg(long, visible_alias = "reason", value_name = "TEXT", allow_hyphen_values = true)]
    pub because: Option<String>,
    /// Take what was edited by hand in the files of these records [default: of all records]
    #[arg(long)]
    pub from_files: bool,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Replace secrets of known shapes, in the new texts, by a placeholder
    #[arg(long)]
    pub redact: bool,
    #[command(flatten)]
    pub fields: NewTexts,
}

// Which record is edited, and how.
#[derive(Debug, ClapArgs)]
pub struct EditArgs {
    /// The record: its id, the end of its id, or its path
    #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::ids))]
    pub id: String,
    /// Why; the commit says it
    #[arg(long, visible_alias = "reason", value_name = "TEXT", allow_hyphen_values = true)]
    pub because: Option<String>,
    /// Begin from the record, even if there is an edit of it that was not finished; that is lost
    #[arg(long)]
    pub discard: bool,
    /// Amend without asking
    #[arg(long)]
    pub yes: bool,
    /// Replace secrets of known shapes, in the new texts, by a placeholder
    #[arg(long)]
    pub redact: bool,
}

// Which experiment ended, and how.
#[derive(Debug, ClapArgs)]
pub struct OutcomeArgs {
    /// The experiment: its id, the end of its id, or its path
    #[arg(value_name = "EXPERIMENT", add = ArgValueCandidates::new(complete::experiments))]
    pub experiment: String,
    /// How it came out: success, failed or inconclusive
    #[arg(long, value_name = "RESULT", add = ArgValueCandidates::new(complete::results))]
    pub result: String,
    /// What came of it, in markdown; - reads it from stdin [default: what was said before, if anything]
    #[arg(long, visible_alias = "outcome", value_name = "TEXT", allow_hyphen_values = true)]
    pub summary: Option<OsString>,
}

/// The fields that were given as flags.
#[derive(Debug, Default)]
pub struct NewTexts(pub BTreeMap<Field, OsString>);

/// The fields that an amendment can change.
fn amendable() -> impl Iterator<Item = &'static FieldSpec> {
    FIELDS.iter().filter(|spec| spec.kinds.iter().any(|kind| *kind != Kind::Verdict))
}

impl FromArgMatches for NewTexts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |spec: &FieldSpec| matches.get_one::<OsString>(spec.name).cloned();
        Ok(NewTexts(amendable().filter_map(|spec| Some((spec.field, given(spec)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = NewTexts::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ClapArgs for NewTexts {
    fn augment_args(command: Command) -> Command {
        let flag = |spec: &FieldSpec| {
            let mut about = spec.about.to_owned();
            about[..1].make_ascii_uppercase();
            let arg = Arg::new(spec.name).long(spec.flag()).value_name(spec.name.to_uppercase()).help(about);
            let arg = arg.allow_hyphen_values(true).value_parser(value_parser!(OsString)).help_heading("New texts");
            match candidates_of(spec.field) {
                Some(candidates) => arg.add(ArgValueCandidates::new(candidates)),
                None => arg,
            }
        };
        command.args(amendable().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        NewTexts::augment_args(command)
    }
}
