//! `record KIND` as clap sees it: a flag for each field of the kind, made from the table of fields.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches, Subcommand, value_parser};
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use indelible::model::{Field, FieldSpec, Kind, PROVENANCE, body_of, fields_of};

use crate::amend_args::OutcomeArgs;
use crate::cmd::complete;

/// What `record` records.
#[derive(Debug)]
pub enum RecordCommand {
    /// One record.
    One(FieldArgs),
    /// How an experiment ended.
    Outcome(OutcomeArgs),
    /// JSON lines on stdin.
    Batch {
        /// Whether only refused lines are answered.
        quiet: bool,
    },
}

/// The fields of a record that were given as flags.
#[derive(Debug)]
pub struct FieldArgs {
    /// The kind.
    pub kind: Kind,
    /// The values, by field.
    pub given: BTreeMap<Field, OsString>,
    /// The key, if one was given.
    pub key: Option<OsString>,
    /// Whether a rule that is there already is recorded once more.
    pub new: bool,
}

const BATCH: &str = "batch";
const OUTCOME: &str = "outcome";
const QUIET: &str = "quiet";
const KEY: &str = "key";
const NEW: &str = "new";

/// What a kind is, in a line, and an example.
fn described(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Failure => {
            ("Something that went wrong", "--title 'Cache grew' --domain ops --severity high --tags cache")
        }
        Kind::Success => ("Something that worked", "--title 'Retry with backoff' --domain network"),
        Kind::Observation => ("Something noticed", "--title 'Tests are slower on Mondays' --domain ci"),
        Kind::Heuristic => ("A rule of thumb", "--domain git --rule 'Never rebase a shared branch' --confidence high"),
        Kind::Experiment => ("An experiment under way", "--name 'Smaller batches' --hypothesis 'Latency halves'"),
        // Commands of their own give verdicts.
        Kind::Verdict => ("What became of a record", ""),
    }
}

fn command_of(kind: Kind) -> Command {
    let (about, example) = described(kind);
    let flag = |spec: &FieldSpec| {
        let arg = Arg::new(spec.name).long(spec.flag()).value_name(spec.name.to_uppercase()).help(help_of(spec, kind));
        let arg = arg.allow_hyphen_values(true).value_parser(value_parser!(OsString));
        let arg = if spec.is_provenance() { arg.help_heading("Provenance") } else { arg };
        match candidates_of(spec.field) {
            Some(candidates) => arg.add(ArgValueCandidates::new(candidates)),
            None => arg,
        }
    };
    let key = Arg::new(KEY).long(KEY).allow_hyphen_values(true).value_parser(value_parser!(OsString));
    let new = Arg::new(NEW).long(NEW).action(ArgAction::SetTrue);
    let new =
        new.help("Record it even if the same rule is there already, which otherwise is a verdict that it came again");
    let new = (kind == Kind::Heuristic).then_some(new);
    Command::new(kind.name())
        .about(about)
        .after_help(format!("Example:\n  indelible record {kind} {example}"))
        .args(fields_of(kind).map(flag))
        .args(PROVENANCE.iter().map(flag))
        .arg(key.help("A name that you choose: a repeat with the same key is the same record"))
        .args(new)
}

/// What a shell offers for a field.
pub fn candidates_of(field: Field) -> Option<fn() -> Vec<CompletionCandidate>> {
    Some(match field {
        Field::Domain => complete::domains,
        Field::Tags => complete::tags,
        Field::Severity => complete::severities,
        Field::Origin => complete::origins,
        Field::Project => complete::projects,
        Field::Result => complete::results,
        _ => return None,
    })
}

/// The help of a flag: its value, its default, and the environment variable that stands in for it.
fn help_of(spec: &FieldSpec, kind: Kind) -> String {
    let mut about = spec.about.to_owned();
    about[..1].make_ascii_uppercase();
    let stdin = if body_of(kind) == Some(spec.field) { "; - reads it from stdin" } else { "" };
    let default = match spec.default {
        "" => String::new(),
        default => format!("; {default} if not given"),
    };
    format!("{about}{stdin}{default} [or {}]", spec.variable(kind))
}

impl FromArgMatches for RecordCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing =
            || clap::Error::raw(ErrorKind::MissingSubcommand, "`record` needs a kind of record, or `batch`\n");
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        if name == OUTCOME {
            return Ok(RecordCommand::Outcome(OutcomeArgs::from_arg_matches(matches)?));
        }
        let Ok(kind) = name.parse::<Kind>() else {
            return Ok(RecordCommand::Batch { quiet: matches.get_flag(QUIET) });
        };
        let given = |name: &str| matches.get_one::<OsString>(name).cloned();
        let fields =
            fields_of(kind).chain(&PROVENANCE).filter_map(|spec| Some((spec.field, given(spec.name)?))).collect();
        let new = kind == Kind::Heuristic && matches.get_flag(NEW);
        Ok(RecordCommand::One(FieldArgs { kind, given: fields, key: given(KEY), new }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = RecordCommand::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for RecordCommand {
    fn augment_subcommands(command: Command) -> Command {
        let batch = Command::new(BATCH)
            .about("Record many things: JSON lines on stdin, one result line each, in order")
            .long_about(
                "Record many things: JSON lines on stdin, one result line each, in order\n\n\
                 Each line is an object with `kind` and the fields of that kind's command, including `key`; `tags` may be an \
                 array. A bad line is answered with an error, the others are recorded, and the exit code is 65. When \
                 stopped, as by Ctrl-C, it answers the lines that it has read, names the line to go on with, and exits 75.",
            )
            .arg(
                Arg::new(QUIET)
                    .long(QUIET)
                    .short('q')
                    .action(ArgAction::SetTrue)
                    .help("Answer only refused lines, and print no total"),
            )
            .after_help(
                "Example:\n  echo '{\"kind\":\"failure\",\"title\":\"x\",\"domain\":\"ci\"}' | indelible record batch",
            );
        let outcome = OutcomeArgs::augment_args(Command::new(OUTCOME))
            .about("End an experiment: how it came out, and what came of it")
            .long_about(
                "End an experiment: how it came out, and what came of it\n\n\
                 The experiment's page says the result; `outcome.md` beside it says it for people; its row gets `status`, \
                 `outcome` and `completed_at`, so `list experiment --state failed` finds it, and agents are not told of it as \
                 under way any more. It is an amendment of the experiment: repeated, it changes nothing and exits 0; another \
                 result corrects the first; `amend ID --result ''` opens it again. What was retracted or erased, and what is \
                 no experiment, is refused (exit 65).",
            )
            .after_help(
                "Examples:\n  indelible list experiment --state active\n  indelible record outcome 7e18e7c3 --result failed --summary 'Latency stayed the same'",
            );
        command.subcommands(Kind::LEARNED.map(command_of)).subcommand(outcome).subcommand(batch)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        RecordCommand::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == BATCH || name == OUTCOME || name.parse().is_ok_and(|kind| Kind::LEARNED.contains(&kind))
    }
}
