//! `record`: fields from flags, the environment and stdin become a record.

use std::ffi::OsString;
use std::io::Read;

use indelible::home::Home;
use indelible::intent::{Experiment, Heuristic, Kind, Learning, Record};
use indelible::record::{self, Invalid, Receipt, Recorder, Request, limits, parse_confidence, parse_severity};
use indelible::redact::Redactor;
use indelible::text::{looks_like_utf16, without_mark};

use super::{Context, autostart, batch};
use crate::args::{ExperimentArgs, HeuristicArgs, LearningArgs, RecordCommand};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::prompt;
use crate::settings::{Settings, may_redact};

pub const WHAT: &str = "the record was not kept";

pub fn run(context: &Context, what: RecordCommand, redact: bool) -> Result<Exit, Failure> {
    let mut request = match what {
        RecordCommand::Failure(args) => learning(context, Kind::Failure, args)?,
        RecordCommand::Success(args) => learning(context, Kind::Success, args)?,
        RecordCommand::Observation(args) => learning(context, Kind::Observation, args)?,
        RecordCommand::Heuristic(args) => heuristic(context, args)?,
        RecordCommand::Experiment(args) => experiment(context, args)?,
        RecordCommand::Batch { quiet } => return batch::run(context, redact, quiet),
    };
    let home = context.open(WHAT)?;
    let settings = settings(context, &home, redact)?;
    let mut recorder = recorder(&home, &settings)?;
    if let Some(redactor) = redactor(&settings, redact)? {
        redactor.request(&mut request);
    }
    let receipt = recorder.record(request).map_err(|error| Failure::of(WHAT, &error))?;
    if context.json {
        output::json(&receipt);
    } else {
        output::line(&said(&receipt));
    }
    if let Some(error) = output::failed() {
        output::warn(&format!("the answer could not be written: {error}; the record is kept"));
    }
    if let Some(why) = &receipt.row_refused {
        // The scripts of an adopted home look for these words.
        output::warn(&format!("the row was refused: {why}; the file and the journal have the record"));
    }
    autostart::run(&home, &settings);
    // The process ends here. Its end closes the index as a crash would, which SQLite is made for, in half the time.
    std::mem::forget(recorder);
    Ok(Exit::Done)
}

/// A setting that makes no sense is the worker's to complain about; it is no reason to lose a record. It is one to refuse
/// when secrets have to go: nobody knows which patterns the file has.
pub fn settings(context: &Context, home: &Home, redact: bool) -> Result<Settings, Failure> {
    match context.settings(home) {
        Err(failure) if failure.exit != Exit::Usage && !redact && !may_redact(home.dir()) => {
            output::warn(&format!("{}: {}; using the defaults", failure.what, failure.causes.join(": ")));
            Ok(Settings::default())
        }
        settings => settings,
    }
}

pub fn recorder<'h>(home: &'h Home, settings: &Settings) -> Result<Recorder<'h>, Failure> {
    let wait = crate::settings::milliseconds(settings.record.index_wait_ms);
    Recorder::new(home, Some(wait)).map_err(|error| Failure::of(WHAT, &error))
}

/// What takes secrets out before, if `redact` or the settings ask for that.
pub fn redactor(settings: &Settings, redact: bool) -> Result<Option<Redactor>, Failure> {
    (redact || settings.redact.records).then(|| settings.redactor()).transpose()
}

fn said(receipt: &Receipt) -> String {
    match receipt.duplicate {
        true => format!("already recorded: {} {} in {}", receipt.kind, receipt.id, receipt.path),
        false => format!("recorded: {} {} in {}", receipt.kind, receipt.id, receipt.path),
    }
}

/// A field from its flag, or from the variable that the framework's scripts had for it; or, if it is needed and somebody is
/// there to be asked, from them.
struct Fields {
    prefix: &'static str,
    asks: bool,
}

impl Fields {
    fn get(&self, field: &'static str, flag: Option<OsString>) -> Result<Option<String>, Failure> {
        let value = flag.or_else(|| {
            let variable = format!("{}_{}", self.prefix, field.to_uppercase());
            std::env::var_os(variable).filter(|value| !value.is_empty())
        });
        let Some(value) = value else { return Ok(None) };
        value.into_string().map(Some).map_err(|_| invalid(Invalid::new(field, "must be UTF-8, and is not")))
    }

    fn required(&self, field: &'static str, flag: Option<OsString>) -> Result<String, Failure> {
        let variable = format!("{}_{}", self.prefix, field.to_uppercase());
        let missing = || Failure::new(Exit::Usage, WHAT).because(&Invalid::new(field, "is required and was not given"));
        match self.get(field, flag)? {
            Some(text) => Ok(text),
            None if self.asks => prompt::ask(field).map_err(|error| missing().because(&error)),
            None => Err(missing().hint(format!("give --{field} or {variable}"))),
        }
    }

    /// A field of many lines, which `-` reads from stdin.
    fn body(&self, field: &'static str, flag: Option<OsString>) -> Result<String, Failure> {
        match self.get(field, flag)? {
            Some(text) if text == "-" => stdin(field),
            text => Ok(text.unwrap_or_default()),
        }
    }
}

fn invalid(error: Invalid) -> Failure {
    Failure::of(WHAT, &record::Error::Invalid(error))
}

fn stdin(field: &'static str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut limited = crate::input::stdin().take(limits::BODY_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    if bytes.len() > limits::BODY_BYTES_MAX {
        let problem = format!("at most {} bytes; more were given on stdin", limits::BODY_BYTES_MAX);
        return Err(invalid(Invalid::new(field, problem)));
    }
    let text = std::str::from_utf8(without_mark(&bytes)).map(str::to_owned);
    text.map_err(|error| {
        let problem = match looks_like_utf16(&bytes) {
            true => "must be UTF-8, and looks like UTF-16: convert it first, as with `iconv -f UTF-16 -t UTF-8`".into(),
            false => format!("must be UTF-8, and is not from byte {} on", error.valid_up_to()),
        };
        invalid(Invalid::new(field, problem))
    })
}

fn learning(context: &Context, kind: Kind, args: LearningArgs) -> Result<Request, Failure> {
    let fields = Fields {
        prefix: match kind {
            Kind::Success => "SUCCESS",
            Kind::Observation => "OBSERVATION",
            _ => "FAILURE",
        },
        asks: prompt::is_possible(context.json),
    };
    let title = fields.required("title", args.title)?;
    let domain = fields.required("domain", args.domain)?;
    let severity = match fields.get("severity", args.severity)? {
        Some(text) => parse_severity(&text).map_err(invalid)?,
        None => 3,
    };
    let tags = fields.get("tags", args.tags)?.unwrap_or_default();
    let summary = fields.body("summary", args.summary)?;
    let it = Learning { title, domain, severity, tags, summary };
    Ok(Request { record: of_kind(kind, it), key: key(args.key)? })
}

fn of_kind(kind: Kind, it: Learning) -> Record {
    match kind {
        Kind::Success => Record::Success(it),
        Kind::Observation => Record::Observation(it),
        _ => Record::Failure(it),
    }
}

fn heuristic(context: &Context, args: HeuristicArgs) -> Result<Request, Failure> {
    let fields = Fields { prefix: "HEURISTIC", asks: prompt::is_possible(context.json) };
    let domain = fields.required("domain", args.domain)?;
    let rule = fields.required("rule", args.rule)?;
    let source = fields.get("source", args.source)?.unwrap_or_else(|| "observation".into());
    let confidence = match fields.get("confidence", args.confidence)? {
        Some(text) => parse_confidence(&text).map_err(invalid)?,
        None => 0.5,
    };
    let explanation = fields.body("explanation", args.explanation)?;
    let record = Record::Heuristic(Heuristic { domain, rule, explanation, source, confidence });
    Ok(Request { record, key: key(args.key)? })
}

fn experiment(context: &Context, args: ExperimentArgs) -> Result<Request, Failure> {
    let fields = Fields { prefix: "EXPERIMENT", asks: prompt::is_possible(context.json) };
    let name = fields.required("name", args.name)?;
    let success_criteria = fields.get("success_criteria", args.success_criteria)?.unwrap_or_default();
    let failure_criteria = fields.get("failure_criteria", args.failure_criteria)?.unwrap_or_default();
    let hypothesis = fields.required("hypothesis", args.hypothesis)?;
    let hypothesis = if hypothesis == "-" { stdin("hypothesis")? } else { hypothesis };
    let record = Record::Experiment(Experiment { name, hypothesis, success_criteria, failure_criteria });
    Ok(Request { record, key: key(args.key)? })
}

fn key(flag: Option<OsString>) -> Result<Option<String>, Failure> {
    flag.map(OsString::into_string).transpose().map_err(|_| invalid(Invalid::new("key", "must be UTF-8, and is not")))
}
