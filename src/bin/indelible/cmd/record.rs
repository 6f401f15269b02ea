//! `record`: fields from flags, the environment and stdin become a request. The recorder does the rest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Read};

use indelible::home::Home;
use indelible::model::text::{looks_like_utf16, without_mark};
use indelible::model::{FieldSpec, Invalid, Kind, Origin, PROVENANCE, Provenance, Request, body_of, fields_of, limits};
use indelible::record::{self, Receipt, Recorder};

use super::dialogue::{self, Draft};
use super::{Context, autostart, batch, outcome};
use crate::exit::{Exit, Failure};
use crate::field_args::{FieldArgs, RecordCommand};
use crate::output;
use crate::policy;
use crate::prompt;
use crate::settings::{Settings, is_passing, may_redact};

pub const WHAT: &str = "the record was not kept";
/// Why a record that claims to be a person's is an agent's.
pub const NO_PERSON: &str = "only a person at a terminal records as a person: the origin is agent";

pub fn run(context: &Context, what: RecordCommand, redact: bool) -> Result<Exit, Failure> {
    let args = match what {
        RecordCommand::One(args) => args,
        RecordCommand::Outcome(args) => return outcome::run(context, args, redact),
        RecordCommand::Batch { quiet } => return batch::run(context, redact, quiet),
    };
    let is_new = args.new;
    let asked = asked(context, args)?;
    let home = context.open(WHAT)?;
    let settings = settings(context, &home, redact)?;
    let policy = policy::of_command(&settings, redact)?;
    let request = match asked {
        Asked::All(request) => *request,
        Asked::Part(draft) => {
            context.name_home()?;
            match draft.completed(&policy.redaction)? {
                Ok(request) => request,
                Err(end) => return Ok(dialogue::ended(end)),
            }
        }
    };
    let mut recorder = Recorder::new(&home, policy).map_err(|error| Failure::of(WHAT, &error))?;
    if is_new {
        recorder = recorder.as_new();
    }
    let is_claimed = claims_person(&request);
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
    if is_claimed {
        output::warn(NO_PERSON);
    }
    if let Some(warning) = differs(&receipt) {
        output::warn(&warning);
    }
    if receipt.headline_has_lines {
        output::warn("the headline has several lines: it is stored as given, and shown as one line");
    }
    if !context.json {
        say_way_back(&receipt);
    }
    context.count_passed(usize::from(!receipt.duplicate));
    autostart::run(&home, &settings);
    // The process ends here, and closes the index as a crash would. SQLite can take that, and it takes half the time.
    std::mem::forget(recorder);
    Ok(Exit::Done)
}

/// The settings of `home`. If they are invalid, the defaults: a record is worth more, and the worker complains too. But no
/// record is made if the file cannot be read right now, or if secrets have to be replaced: the file may have patterns.
pub fn settings(context: &Context, home: &Home, redact: bool) -> Result<Settings, Failure> {
    match context.settings(home) {
        Err(failure) if is_passing(&failure) => Err(Failure { what: format!("{WHAT}: {}", failure.what), ..failure }),
        Err(failure) if failure.exit != Exit::Usage && !redact && !may_redact(home) => {
            output::warn(&format!("{}: {}; using the defaults", failure.what, failure.causes.join(": ")));
            Ok(Settings::default())
        }
        settings => settings,
    }
}

pub fn recorder<'h>(home: &'h Home, settings: &Settings, redact: bool) -> Result<Recorder<'h>, Failure> {
    let policy = policy::of_command(settings, redact)?;
    Recorder::new(home, policy).map_err(|error| Failure::of(WHAT, &error))
}

/// Whether `request` says that it is a person's, and this process is no person's.
pub fn claims_person(request: &Request) -> bool {
    request.provenance.origin == Some(Origin::Person) && !policy::is_person()
}

/// That the request has a known key and other content, if so.
pub fn differs(receipt: &Receipt) -> Option<String> {
    let Receipt { id, path, differs, .. } = receipt;
    let path = path.as_deref().filter(|_| !differs.is_empty())?;
    let fields = differs.join(", ");
    let what = format!("the key names the record in {path}, which says something else in {fields}: it stays as it is");
    Some(match differs[..] {
        ["kind"] => what,
        _ => output::hint(&format!("{what}; `indelible amend {id}` changes it")),
    })
}

fn said(receipt: &Receipt) -> String {
    let Receipt { kind, id, path, .. } = receipt;
    let path = path.as_deref().unwrap_or_default();
    if let Some(first) = receipt.again_of {
        return match receipt.duplicate {
            true => format!("recorded again: heuristic {first}; today that was said before, in {path}"),
            false => format!("recorded again: heuristic {first}, as {kind} {id} in {path}"),
        };
    }
    match (receipt.state, receipt.duplicate) {
        (Some(state), _) => format!("already recorded, and {} since: {kind} {id}", state.name()),
        (None, true) => format!("already recorded: {kind} {id} in {path}"),
        (None, false) => format!("recorded: {kind} {id} in {path}"),
    }
}

/// Says how to take the new record back, if a person sees it.
fn say_way_back(receipt: &Receipt) {
    if !receipt.duplicate && std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
        let id = receipt.id.short();
        output::note(&output::hint(&format!("`indelible retract {id}` takes it back")));
    }
}

/// What flags and environment say.
enum Asked {
    /// A request.
    All(Box<Request>),
    /// Only a part of one, and a person can be asked for the rest.
    Part(Draft),
}

/// The request that the flags make. A field without a flag is taken from the environment. A required field with neither is
/// asked for, if a person can answer.
fn asked(context: &Context, mut args: FieldArgs) -> Result<Asked, Failure> {
    let kind = args.kind;
    let mut given = Vec::new();
    let mut missing = None;
    for spec in fields_of(kind) {
        match args.given.remove(&spec.field).or_else(|| variable(spec, kind)) {
            Some(value) => given.push((spec, value)),
            None if spec.required => missing = missing.or(Some(spec)),
            None => {}
        }
    }
    if let Some(spec) = missing.filter(|_| !prompt::is_possible(context.json)) {
        let problem = Invalid::new(spec.name, "is required and was not given");
        let hint = format!("give --{} or {}", spec.flag(), spec.variable(kind));
        return Err(Failure::new(Exit::Usage, WHAT).because(&problem).hint(hint));
    }
    let mut texts = BTreeMap::new();
    for (spec, value) in given {
        let text = match text(spec.name, value)? {
            text if text == "-" && body_of(kind) == Some(spec.field) => {
                stdin(spec.name).map_err(|Refused(failure)| failure)?
            }
            text => text,
        };
        let _ = texts.insert(spec.field, text);
    }
    let mut provenance = Provenance::default();
    for spec in &PROVENANCE {
        if let Some(value) = args.given.remove(&spec.field).or_else(|| variable(spec, kind)) {
            provenance.set(spec.field, text(spec.name, value)?).map_err(invalid)?;
        }
    }
    let key = args.key.map(|key| text("key", key)).transpose()?;
    let draft = Draft { kind, texts, key, provenance };
    Ok(match missing {
        None => Asked::All(Box::new(draft.request().map_err(invalid)?)),
        Some(_) => Asked::Part(draft),
    })
}

/// The value of the field `spec` in the environment.
fn variable(spec: &FieldSpec, kind: Kind) -> Option<OsString> {
    std::env::var_os(spec.variable(kind)).filter(|value| !value.is_empty())
}

fn text(field: &'static str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| invalid(Invalid::new(field, "must be UTF-8, and is not")))
}

/// Why no request could be made of the flags.
pub struct Refused(pub Failure);

impl From<Invalid> for Refused {
    fn from(error: Invalid) -> Self {
        Refused(invalid(error))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused(failure)
    }
}

pub fn invalid(error: Invalid) -> Failure {
    Failure::of(WHAT, &record::Error::Invalid(error))
}

pub fn stdin(field: &'static str) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    let mut limited = crate::input::stdin().take(limits::BODY_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    if bytes.len() > limits::BODY_BYTES_MAX {
        let problem = format!("at most {} bytes; more were given on stdin", limits::BODY_BYTES_MAX);
        return Err(Invalid::new(field, problem).into());
    }
    let text = std::str::from_utf8(without_mark(&bytes)).map(str::to_owned);
    text.map_err(|error| {
        let problem = match looks_like_utf16(&bytes) {
            true => "must be UTF-8, and looks like UTF-16: convert it first, as with `iconv -f UTF-16 -t UTF-8`".into(),
            false => format!("must be UTF-8, and is not from byte {} on", error.valid_up_to()),
        };
        Invalid::new(field, problem).into()
    })
}
