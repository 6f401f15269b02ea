//! `hook`: one event of an agent's host on stdin, and what is worth it into the journal.
//!
//! It runs within every call of a tool, so whatever happens it ends soon, with 0, and with `{}` on stdout: to a host any
//! other exit code is an error, and 2 stops the agent. What goes wrong is counted, and `status` says so.
//!
//! The write-ahead rules are those of `record`, which does the writing. Killed before the append, the event is neither
//! recorded nor counted; after it, it is recorded, and perhaps not counted.

use std::io::{IsTerminal, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use indelible::fs::os;
use indelible::home::Home;
use indelible::hook::count::{self, Outcome, Unreadable};
use indelible::hook::{Event, Host, Moment, judge, transcript};
use indelible::record::Recorder;
use indelible::status;
use serde_json::{Value, json};

use super::Context;
use crate::args::HookArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::Settings;

/// The largest event that is read, in bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// How much of it is read with one call, in bytes. Most are smaller; each page that is set aside for more costs time.
const CHUNK_BYTES: usize = 8 << 10;
/// How long the event may take to come. Hosts send it at once; on a machine that is busy enough, that is not at once.
const EVENT_WAIT: Duration = Duration::from_secs(5);
/// How much a session is told when it starts, in characters.
const WARNING_CHARS_MAX: usize = 500;

pub fn run(context: &Context, args: &HookArgs) -> Exit {
    // A panic would be printed on stderr, which hosts show to people.
    std::panic::set_hook(Box::new(|_| {}));
    let said = catch_unwind(AssertUnwindSafe(|| hook(context, args)));
    let answer = said.unwrap_or_else(|_| {
        let panicked = || count_one(context, None, Outcome::Failed, Some("the hook met a bug of its own and stopped"));
        let _ = catch_unwind(AssertUnwindSafe(panicked));
        None
    });
    output::json(&answer.unwrap_or_else(|| json!({})));
    Exit::Done
}

/// What is counted, what is explained, and what the host is told.
struct Done {
    host: Option<Host>,
    outcome: Outcome,
    explanation: String,
    answer: Option<Value>,
}

impl Done {
    fn new(host: Option<Host>, outcome: Outcome, explanation: impl Into<String>) -> Done {
        Done { host, outcome, explanation: explanation.into(), answer: None }
    }
}

fn hook(context: &Context, args: &HookArgs) -> Option<Value> {
    let host = args.host.as_deref().and_then(Host::of_name);
    let done = match read_event() {
        Err(unreadable) => {
            let done = Done::new(host, Outcome::Unreadable(unreadable), format!("no event came: {unreadable:?}"));
            count_one(context, host, done.outcome, None);
            done
        }
        Ok((payload, bytes)) => {
            let mut event = Event::of(&payload, &bytes, host);
            transcript::complete(&mut event, &payload);
            match context.open("the event was not recorded") {
                // Without a home nothing is made, and there is nowhere to count.
                Err(failure) => Done::new(Some(event.host), Outcome::Failed, reason(&failure)),
                Ok(home) => {
                    let done = take(context, &home, &event);
                    let error = (done.outcome == Outcome::Failed).then_some(done.explanation.as_str());
                    count_in(&home, done.host, done.outcome, error);
                    done
                }
            }
        }
    };
    if args.explain {
        let host = done.host.map_or("unknown host", Host::name);
        let _ = writeln!(std::io::stderr().lock(), "{host}: {:?}: {}", done.outcome, done.explanation);
    }
    done.answer
}

/// Records what `event` has in it.
fn take(context: &Context, home: &Home, event: &Event) -> Done {
    let host = Some(event.host);
    let settings = match context.settings(home) {
        Ok(settings) => settings,
        // Unlike a recorder, which somebody watches: the file may hold patterns of secrets, or say that nothing is wanted.
        Err(failure) => return Done::new(host, Outcome::Failed, reason(&failure)),
    };
    if event.moment == Moment::Start {
        let answer = settings.hook.warn.then(|| warning(context, home, &settings, event.host)).flatten();
        let done = Done::new(host, Outcome::Skipped(indelible::hook::Skipped::Nothing), "a session starts");
        return Done { answer, ..done };
    }
    if !settings.hook.record {
        return Done::new(host, Outcome::Off, "hook.record is false");
    }
    let redactor = match settings.redact.hooks.then(|| settings.redactor()).transpose() {
        Ok(redactor) => redactor,
        Err(failure) => return Done::new(host, Outcome::Failed, reason(&failure)),
    };
    let requests = match judge(event, &settings.rules(), redactor.as_ref()) {
        Ok(requests) => requests,
        Err(skipped) => {
            return Done::new(host, Outcome::Skipped(skipped), format!("{} of {:?}", skipped.word(), event.name));
        }
    };
    // Every record of a hook has a key, so file and row are the worker's in any case. To ask the index as well whether the
    // key is new costs more than the sync, and two copies of one hook are too close together for it to know.
    let mut recorder = match Recorder::new(home, None) {
        Ok(recorder) => recorder,
        Err(error) => return Done::new(host, Outcome::Failed, reason(&Failure::of("nothing was recorded", &error))),
    };
    let mut said = Vec::new();
    for outcome in recorder.record_all(requests) {
        match outcome {
            Ok(receipt) => said.push(receipt.path),
            Err(error) => {
                return Done::new(host, Outcome::Failed, reason(&Failure::of("nothing was recorded", &error)));
            }
        }
    }
    context.count_passed(said.len());
    Done::new(host, Outcome::Recorded, said.join(", "))
}

/// What the session is told when a person has to look after the home.
fn warning(context: &Context, home: &Home, settings: &Settings, host: Host) -> Option<Value> {
    let mut needs = status::attention(home, &settings.history()).ok()?;
    needs.extend(context.told_of_passed());
    if needs.is_empty() {
        return None;
    }
    let text = format!("indelible, which records what is learned here, needs a person: {}", needs.join("; "));
    let text = indelible::text::visible_line(&text);
    let text = indelible::text::shortened(&text, WARNING_CHARS_MAX);
    Some(match host {
        Host::Cursor => json!({ "additional_context": text }),
        _ => json!({ "hookSpecificOutput": { "hookEventName": "SessionStart", "additionalContext": text } }),
    })
}

fn reason(failure: &Failure) -> String {
    [failure.what.as_str()].into_iter().chain(failure.causes.iter().map(String::as_str)).collect::<Vec<_>>().join(": ")
}

fn count_one(context: &Context, host: Option<Host>, outcome: Outcome, error: Option<&str>) {
    if let Ok(home) = context.open("the event was not counted") {
        count_in(&home, host, outcome, error);
    }
}

/// Counting is for people; what was recorded does not depend on it.
fn count_in(home: &Home, host: Option<Host>, outcome: Outcome, error: Option<&str>) {
    let _ = count::count(home.private(), host, outcome);
    if let Some(error) = error {
        let _ = count::remember(home.private(), error);
    }
}

/// The event on stdin, and its bytes. It ends where stdin does, or, for a host that leaves it open, where its JSON does.
fn read_event() -> Result<(Value, Vec<u8>), Unreadable> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output::warn("`indelible hook` reads an event from stdin; `indelible hooks install` sets up who calls it");
        return Err(Unreadable::Empty);
    }
    let until = Instant::now() + EVENT_WAIT;
    let mut bytes = Vec::new();
    let mut too_large = false;
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        if !os::is_readable(&stdin, Duration::ZERO) {
            if let Some(payload) = whole(&bytes) {
                return Ok((payload, bytes));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !os::is_readable(&stdin, left) {
                return Err(if too_large { Unreadable::TooLarge } else { Unreadable::Unfinished });
            }
        }
        match stdin.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            // Read to its end all the same: a host whose pipe breaks may take that for an error.
            Ok(_) if too_large && Instant::now() > until => break,
            Ok(read) if bytes.len() + read > EVENT_BYTES_MAX => (too_large, bytes) = (true, Vec::new()),
            Ok(_) if too_large => {}
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    match serde_json::from_slice(&bytes) {
        _ if too_large => Err(Unreadable::TooLarge),
        Ok(payload @ Value::Object(_)) => Ok((payload, bytes)),
        _ if bytes.trim_ascii().is_empty() => Err(Unreadable::Empty),
        _ => Err(Unreadable::NotJson),
    }
}

/// The event, if `bytes` are all of one.
fn whole(bytes: &[u8]) -> Option<Value> {
    let may_be = bytes.trim_ascii_end().ends_with(b"}");
    may_be.then(|| serde_json::from_slice(bytes).ok()).flatten().filter(Value::is_object)
}
