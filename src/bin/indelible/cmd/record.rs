//! `record`: fields from flags, the environment and stdin become a record.

use std::ffi::OsString;
use std::io::{BufRead, Read};

use indelible::home::Home;
use indelible::model::{FieldSpec, Invalid, Kind, PROVENANCE, Provenance, Record, Request, body_of, limits};
use indelible::record::{self, Receipt, Recorder};
use indelible::redact::Redactor;
use serde_json::json;

use super::{Context, autostart};
use crate::exit::{Exit, Failure, Promise};
use crate::field_args::{FieldArgs, RecordCommand};
use crate::output;
use crate::prompt;
use crate::provenance;
use crate::settings::{Settings, may_redact};

const WHAT: &str = "the record was not kept";
/// The most lines of a batch that are recorded with one sync.
const GROUP_LINES: usize = 1024;
/// The most bytes of lines that are recorded with one sync.
const GROUP_BYTES: usize = 1 << 20;
/// The longest line of a batch: room for three bodies in which every character is escaped.
const LINE_BYTES_MAX: usize = 24 << 20;

pub fn run(context: &Context, what: RecordCommand, redact: bool) -> Result<Exit, Failure> {
    let mut request = match what {
        RecordCommand::One(args) => request(context, args)?,
        RecordCommand::Batch => return batch(context, redact),
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
fn settings(context: &Context, home: &Home, redact: bool) -> Result<Settings, Failure> {
    match context.settings(home) {
        Err(failure) if failure.exit != Exit::Usage && !redact && !may_redact(home.dir()) => {
            output::warn(&format!("{}: {}; using the defaults", failure.what, failure.causes.join(": ")));
            Ok(Settings::default())
        }
        settings => settings,
    }
}

fn recorder<'h>(home: &'h Home, settings: &Settings) -> Result<Recorder<'h>, Failure> {
    let wait = crate::settings::milliseconds(settings.record.index_wait_ms);
    Recorder::new(home, Some(wait)).map_err(|error| Failure::of(WHAT, &error))
}

/// What takes secrets out before, if `redact` or the settings ask for that.
fn redactor(settings: &Settings, redact: bool) -> Result<Option<Redactor>, Failure> {
    (redact || settings.redact.records).then(|| settings.redactor()).transpose()
}

fn said(receipt: &Receipt) -> String {
    match receipt.duplicate {
        true => format!("already recorded: {} {} in {}", receipt.kind, receipt.id, receipt.path),
        false => format!("recorded: {} {} in {}", receipt.kind, receipt.id, receipt.path),
    }
}

/// The record that the flags make. A field that has none is taken from the environment; one that is needed and has
/// neither is asked for, if a person is there to answer.
fn request(context: &Context, mut args: FieldArgs) -> Result<Request, Failure> {
    let kind = args.kind;
    let asks = prompt::is_possible(context.json);
    let record = Record::build(kind, |spec| {
        let value = match args.given.remove(&spec.field) {
            Some(value) => Some(value),
            None => variable(spec, kind),
        };
        match value.map(|value| text(spec.name, value)).transpose()? {
            Some(text) if text == "-" && body_of(kind) == Some(spec.field) => stdin(spec.name).map(Some),
            Some(text) => Ok(Some(text)),
            None if spec.required => required(spec, kind, asks).map(Some),
            None => Ok(None),
        }
    })
    .map_err(|Refused(failure)| failure)?;
    let mut provenance = Provenance::default();
    for spec in &PROVENANCE {
        if let Some(value) = args.given.remove(&spec.field).or_else(|| variable(spec, kind)) {
            provenance.set(spec.field, text(spec.name, value)?).map_err(invalid)?;
        }
    }
    let key = args.key.map(|key| text("key", key)).transpose()?;
    Ok(Request { record, key, provenance: provenance::complete(provenance, &provenance::of_process()) })
}

/// What the environment says for the field `spec`.
fn variable(spec: &FieldSpec, kind: Kind) -> Option<OsString> {
    std::env::var_os(spec.variable(kind)).filter(|value| !value.is_empty())
}

/// A required field that was not given: asked for, or an error that says how to give it.
fn required(spec: &'static FieldSpec, kind: Kind, asks: bool) -> Result<String, Refused> {
    let missing = || Failure::new(Exit::Usage, WHAT).because(&Invalid::new(spec.name, "is required and was not given"));
    match asks {
        true => prompt::ask(spec).map_err(|error| Refused(missing().because(&error))),
        false => Err(Refused(missing().hint(format!("give --{} or {}", spec.flag(), spec.variable(kind))))),
    }
}

fn text(field: &'static str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| invalid(Invalid::new(field, "must be UTF-8, and is not")))
}

/// Why a record could not be made of what was given.
struct Refused(Failure);

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

fn invalid(error: Invalid) -> Failure {
    Failure::of(WHAT, &record::Error::Invalid(error))
}

fn stdin(field: &'static str) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(limits::BODY_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    if bytes.len() > limits::BODY_BYTES_MAX {
        let problem = format!("at most {} bytes; more were given on stdin", limits::BODY_BYTES_MAX);
        return Err(Invalid::new(field, problem).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Invalid::new(field, format!("must be UTF-8, and is not from byte {at} on")).into()
    })
}

/// Records JSON lines from stdin. A group ends when it is large enough, or when no further line has arrived yet, so that
/// whoever sends a line and waits for its answer gets it.
fn batch(context: &Context, redact: bool) -> Result<Exit, Failure> {
    let home = context.open("nothing was recorded")?;
    let settings = settings(context, &home, redact)?;
    let recorder = recorder(&home, &settings)?;
    let redactor = redactor(&settings, redact)?;
    let mut input = std::io::BufReader::with_capacity(GROUP_BYTES, std::io::stdin().lock());
    let provenance = provenance::of_process();
    let mut batch = Batch { recorder, redactor, provenance, group: Vec::new(), bytes: 0, line: 0, worst: Exit::Done };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        let read =
            read.map_err(|error| Failure::new(Exit::Io, "stdin could not be read to its end").because(&error))?;
        if read == 0 {
            break;
        }
        if line.len() > LINE_BYTES_MAX {
            skip_line(&mut input)?;
        }
        batch.take(&line);
        let waiting = !input.buffer().contains(&b'\n');
        if waiting || batch.is_full() {
            batch.record();
            autostart::run(&home, &settings);
        }
    }
    batch.record();
    Ok(batch.worst)
}

fn skip_line(input: &mut impl BufRead) -> Result<(), Failure> {
    loop {
        let buffer = input
            .fill_buf()
            .map_err(|error| Failure::new(Exit::Io, "stdin could not be read to its end").because(&error))?;
        let feed = buffer.iter().position(|byte| *byte == b'\n');
        let consumed = feed.map_or(buffer.len(), |feed| feed + 1);
        let done = buffer.is_empty() || feed.is_some();
        input.consume(consumed);
        if done {
            return Ok(());
        }
    }
}

struct Batch<'h> {
    recorder: Recorder<'h>,
    redactor: Option<Redactor>,
    /// Where the lines come from that do not say so.
    provenance: Provenance,
    group: Vec<(u64, Result<Request, Invalid>)>,
    bytes: usize,
    line: u64,
    worst: Exit,
}

impl Batch<'_> {
    fn take(&mut self, line: &[u8]) {
        self.line += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.trim_ascii().is_empty() {
            return;
        }
        let parsed = match text.len() > LINE_BYTES_MAX {
            true => Err(Invalid::new("line", format!("at most {LINE_BYTES_MAX} bytes; more were given"))),
            false => Request::of_line(text),
        };
        let redacted = parsed.map(|mut request| {
            request.provenance = provenance::complete(request.provenance, &self.provenance);
            if let Some(redactor) = &self.redactor {
                redactor.request(&mut request);
            }
            request
        });
        self.bytes += text.len();
        self.group.push((self.line, redacted));
    }

    fn is_full(&self) -> bool {
        self.group.len() >= GROUP_LINES || self.bytes >= GROUP_BYTES
    }

    fn record(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.bytes = 0;
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for (line, parsed) in group {
            match parsed {
                Ok(request) => {
                    requests.push(request);
                    answers.push((line, None));
                }
                Err(error) => answers.push((line, Some(record::Error::Invalid(error)))),
            }
        }
        let mut outcomes = self.recorder.record_all(requests).into_iter();
        let mut text = String::new();
        for (line, error) in answers {
            let outcome = match error {
                Some(error) => Err(error),
                None => outcomes.next().unwrap_or_else(|| Err(Invalid::new("line", "has no outcome").into())),
            };
            text.push_str(&self.answer(line, outcome));
            text.push('\n');
        }
        if !text.is_empty() {
            output::line(text.trim_end_matches('\n'));
        }
    }

    fn answer(&mut self, line: u64, outcome: Result<Receipt, record::Error>) -> String {
        match outcome {
            Ok(receipt) => serde_json::to_string(&receipt).unwrap_or_default(),
            Err(error) => {
                self.worst = worse(self.worst, error.exit());
                let failure = Failure::of(WHAT, &error);
                json!({ "line": line, "error": failure.causes.join(": "), "hint": failure.hint, "exit": failure.exit as u8 })
                    .to_string()
            }
        }
    }
}

/// Of two exit codes, the one that says more: a disk that refuses before a line that is wrong.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Done, exit) | (exit, Exit::Done) => exit,
        (Exit::Input, exit) | (exit, Exit::Input) => exit,
        (exit, _) => exit,
    }
}
