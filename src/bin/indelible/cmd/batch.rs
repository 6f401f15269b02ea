//! `record batch`: JSON lines from stdin become records, and each line gets an answer.
//!
//! 1. Answers are in the order of lines. Each is written after the sync that makes its record durable.
//! 2. On a signal it records and answers the lines that it has taken, and says which line is next. A caller that starts over
//!    would record lines without a key twice.
//! 3. If answers cannot be written, the exit code stays, because their records are durable. A warning names the first line
//!    without an answer.
//!
//! The tally is locked from the first line of a group until the last line of the group is answered. So the signal thread,
//! if it gets the lock, knows that every line taken has its answer. It may then end the process while the main thread waits
//! for a line.

use std::io::{BufRead, IsTerminal as _, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indelible::fs::os::{self, Stream};
use indelible::model::text::{counted, number, without_mark};
use indelible::model::{Invalid, Request};
use indelible::record::{self, Receipt, Recorder};
use serde_json::json;

use super::record::{NO_PERSON, WHAT, claims_person, recorder, settings};
use super::{Context, autostart};
use crate::exit::{Exit, Failure, Promise};
use crate::output;

/// The most lines of a batch that are recorded with one sync.
const GROUP_LINES: usize = 1024;
/// The most bytes of lines that are recorded with one sync.
const GROUP_BYTES: usize = 1 << 20;
/// The longest line of a batch: room for three bodies in which every character is escaped.
const LINE_BYTES_MAX: usize = 24 << 20;

/// The outcome of the lines so far.
#[derive(Default)]
struct Tally {
    /// The last line that was answered, or was blank.
    line: u64,
    recorded: u64,
    repeated: u64,
    refused: u64,
    /// The first line whose answer could not be written.
    unsaid: Option<u64>,
}

/// What the signal thread shares with the batch.
#[derive(Default)]
struct Shared {
    tally: Mutex<Tally>,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records JSON lines from stdin. A group ends when it is large enough, or when no further line has arrived yet, so that a
/// caller can send a line and wait for its answer.
pub fn run(context: &Context, redact: bool, quiet: bool) -> Result<Exit, Failure> {
    let home = context.open("nothing was recorded")?;
    let settings = settings(context, &home, redact)?;
    let recorder = recorder(&home, &settings, redact)?;
    let mut input = std::io::BufReader::with_capacity(GROUP_BYTES, crate::input::stdin());
    let mut batch = Batch { recorder, quiet, group: Vec::new(), bytes: 0, line: 0, worst: Exit::Done, claimed: None };
    let shared = Arc::new(Shared::default());
    let listening = listen(&shared, context.json);
    if let Err(error) = listening {
        tracing::debug!(%error, "a signal will end the batch at once");
    }
    let mut line = Vec::new();
    let mut tally = None;
    while read_line(&mut input, &mut line, LINE_BYTES_MAX).map_err(|failure| so_far(failure, &shared.lock()))? {
        let held = tally.get_or_insert_with(|| shared.lock());
        batch.take(&line);
        let waiting = !input.buffer().contains(&b'\n');
        if waiting || batch.is_full() {
            batch.record(held);
            tally = None;
            autostart::run(&home, &settings);
            if shared.stop.load(Ordering::SeqCst) {
                return Err(stopped(&shared.lock()));
            }
        }
    }
    let tally = tally.get_or_insert_with(|| shared.lock());
    batch.record(tally);
    batch.finish(tally, context.json);
    context.count_passed(usize::try_from(tally.recorded).unwrap_or(usize::MAX));
    Ok(batch.worst)
}

/// Listens for signals. The first stops the batch after the lines that it has taken; the second ends it at once.
fn listen(shared: &Arc<Shared>, as_json: bool) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    os::on_signals(move |_| {
        let failure = match shared.stop.swap(true, Ordering::SeqCst) {
            true => Failure::new(Exit::TryAgain, "stopped at once by a second signal")
                .hint("of the lines that were not answered, the first may be recorded"),
            // If the batch has the tally, it will see the flag. Otherwise it waits for a line, which may never come.
            false => match shared.tally.try_lock() {
                Ok(tally) => return end(&stopped(&tally), as_json),
                Err(_) => return,
            },
        };
        end(&failure, as_json);
    })
}

fn end(failure: &Failure, as_json: bool) {
    output::failure(failure, as_json);
    std::process::exit(failure.exit as i32);
}

/// The end of a batch that was stopped by a signal.
fn stopped(tally: &Tally) -> Failure {
    so_far(Failure::new(Exit::TryAgain, "stopped by a signal before the end of stdin"), tally)
}

/// `failure`, with what was recorded before it and which line is next.
fn so_far(failure: Failure, tally: &Tally) -> Failure {
    let next = tally.line + 1;
    failure.because(&std::io::Error::other(tally.said())).hint(format!(
        "the lines before line {} are answered; for the rest: `tail -n +{next} FILE | indelible record batch`",
        number(next)
    ))
}

/// Reads a line into `line`, and of a line that is too long not much more than the limit. Returns whether there was one.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Failure> {
    line.clear();
    let read = input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', line).map_err(unreadable)?;
    if line.len() > bytes_max {
        skip_line(input)?;
    }
    Ok(read > 0)
}

fn skip_line(input: &mut impl BufRead) -> Result<(), Failure> {
    loop {
        let buffer = input.fill_buf().map_err(unreadable)?;
        let feed = buffer.iter().position(|byte| *byte == b'\n');
        let consumed = feed.map_or(buffer.len(), |feed| feed + 1);
        let done = buffer.is_empty() || feed.is_some();
        input.consume(consumed);
        if done {
            return Ok(());
        }
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(Exit::Io, "the lines could not be read to their end").because(&error)
}

impl Tally {
    /// The outcome of the lines, for people.
    fn said(&self) -> String {
        let repeated = match self.repeated {
            0 => String::new(),
            repeated => format!(", {} recorded already", number(repeated)),
        };
        let recorded = counted(self.recorded, "record", "records");
        format!("{recorded} recorded{repeated}, {} refused", counted(self.refused, "line", "lines"))
    }
}

struct Batch<'h> {
    recorder: Recorder<'h>,
    /// Whether only refused lines are answered.
    quiet: bool,
    group: Vec<(u64, Result<Request, Invalid>)>,
    bytes: usize,
    line: u64,
    worst: Exit,
    /// The first line that claims to be a person's, and is not.
    claimed: Option<u64>,
}

impl Batch<'_> {
    fn take(&mut self, line: &[u8]) {
        self.line += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if without_mark(text).trim_ascii().is_empty() {
            return;
        }
        let parsed = match text.len() > LINE_BYTES_MAX {
            true => Err(Invalid::new("line", format!("at most {LINE_BYTES_MAX} bytes; more were given"))),
            false => Request::of_line(text),
        };
        if self.claimed.is_none() && parsed.as_ref().is_ok_and(claims_person) {
            self.claimed = Some(self.line);
        }
        self.bytes += text.len();
        self.group.push((self.line, parsed));
    }

    fn is_full(&self) -> bool {
        self.group.len() >= GROUP_LINES || self.bytes >= GROUP_BYTES
    }

    /// Records the lines that were taken, and answers them.
    fn record(&mut self, tally: &mut Tally) {
        let group = std::mem::take(&mut self.group);
        let first = group.first().map(|(line, _)| *line);
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
            text.push_str(&self.answer(line, outcome, tally));
        }
        output::write(Stream::Output, &text);
        if output::lost().is_some() {
            tally.unsaid = tally.unsaid.or(first);
        }
        tally.line = self.line;
    }

    fn answer(&mut self, line: u64, outcome: Result<Receipt, record::Error>, tally: &mut Tally) -> String {
        match outcome {
            Ok(receipt) => {
                *(if receipt.duplicate { &mut tally.repeated } else { &mut tally.recorded }) += 1;
                if self.quiet { String::new() } else { output::json_line(&receipt) }
            }
            Err(error) => {
                tally.refused += 1;
                self.worst = worse(self.worst, error.exit());
                let failure = Failure::of(WHAT, &error);
                let (error, exit) = (failure.causes.join(": "), failure.exit as u8);
                output::json_line(&json!({ "line": line, "error": error, "hint": failure.hint, "exit": exit }))
            }
        }
    }

    /// Warns about answers that could not be written; on a terminal, says how many records there were.
    fn finish(&self, tally: &Tally, as_json: bool) {
        if let Some(line) = self.claimed {
            output::warn(&format!("line {}: {NO_PERSON}", number(line)));
        }
        if let (Some(line), Some(error)) = (tally.unsaid, output::lost()) {
            let line = number(line);
            output::warn(&format!(
                "the answers to line {line} and those after it could not be written: {error}; every line that is not \
                 refused is recorded ({})",
                tally.said()
            ));
        } else if !self.quiet && !as_json && std::io::stderr().is_terminal() {
            output::write(Stream::Errors, &format!("{}\n", tally.said()));
        }
    }
}

/// The worse of two exit codes: an error of the disk is worse than an invalid line.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Done, exit) | (exit, Exit::Done) => exit,
        (Exit::Input, exit) | (exit, Exit::Input) => exit,
        (exit, _) => exit,
    }
}
