//! `record`: fields from flags, the environment and stdin become a record.

use std::ffi::OsString;
use std::io::{BufRead, Read};

use indelible::home::Home;
use indelible::intent::{Experiment, Heuristic, Kind, Learning, Record};
use indelible::record::{self, Invalid, Receipt, Recorder, Request, limits, parse_confidence, parse_severity};
use indelible::redact::Redactor;
use serde_json::json;

use super::{Context, autostart};
use crate::args::{ExperimentArgs, HeuristicArgs, LearningArgs, RecordCommand};
use crate::exit::{Exit, Failure, Promise};
use crate::output;
use crate::prompt;
use crate::settings::{Settings, is_passing, may_redact};

const WHAT: &str = "the record was not kept";
/// The most lines of a batch that are recorded with one sync.
const GROUP_LINES: usize = 1024;
/// The most bytes of lines that are recorded with one sync.
const GROUP_BYTES: usize = 1 << 20;
/// The longest line of a batch: room for three bodies in which every character is escaped.
const LINE_BYTES_MAX: usize = 24 << 20;

pub fn run(context: &Context, what: RecordCommand, redact: bool) -> Result<Exit, Failure> {
    let mut request = match what {
        RecordCommand::Failure(args) => learning(context, Kind::Failure, args)?,
        RecordCommand::Success(args) => learning(context, Kind::Success, args)?,
        RecordCommand::Observation(args) => learning(context, Kind::Observation, args)?,
        RecordCommand::Heuristic(args) => heuristic(context, args)?,
        RecordCommand::Experiment(args) => experiment(context, args)?,
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
    context.count_passed(usize::from(!receipt.duplicate));
    autostart::run(&home, &settings);
    // The process ends here. Its end closes the index as a crash would, which SQLite is made for, in half the time.
    std::mem::forget(recorder);
    Ok(Exit::Done)
}

/// A setting that makes no sense is the worker's to complain about; it is no reason to lose a record, unlike one that only
/// cannot be read at the moment, which may be about secrets. It is one to refuse
/// when secrets have to go: nobody knows which patterns the file has.
fn settings(context: &Context, home: &Home, redact: bool) -> Result<Settings, Failure> {
    match context.settings(home) {
        Err(failure) if is_passing(&failure) => Err(Failure { what: format!("{WHAT}: {}", failure.what), ..failure }),
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
    let mut limited = std::io::stdin().lock().take(limits::BODY_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    if bytes.len() > limits::BODY_BYTES_MAX {
        let problem = format!("at most {} bytes; more were given on stdin", limits::BODY_BYTES_MAX);
        return Err(invalid(Invalid::new(field, problem)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        invalid(Invalid::new(field, format!("must be UTF-8, and is not from byte {at} on")))
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

/// Records JSON lines from stdin. A group ends when it is large enough, or when no further line has arrived yet, so that
/// whoever sends a line and waits for its answer gets it.
fn batch(context: &Context, redact: bool) -> Result<Exit, Failure> {
    let home = context.open("nothing was recorded")?;
    let settings = settings(context, &home, redact)?;
    let recorder = recorder(&home, &settings)?;
    let redactor = redactor(&settings, redact)?;
    let mut input = std::io::BufReader::with_capacity(GROUP_BYTES, std::io::stdin().lock());
    let mut batch = Batch { recorder, redactor, group: Vec::new(), bytes: 0, line: 0, recorded: 0, worst: Exit::Done };
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
    context.count_passed(batch.recorded);
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
    group: Vec<(u64, Result<Request, Invalid>)>,
    bytes: usize,
    line: u64,
    /// How many records were made, repeats apart.
    recorded: usize,
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
            Ok(receipt) => {
                self.recorded += usize::from(!receipt.duplicate);
                serde_json::to_string(&receipt).unwrap_or_default()
            }
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
