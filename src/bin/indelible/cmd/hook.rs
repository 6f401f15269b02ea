//! `hook`: one event of an agent's host on stdin, and what is worth it into the journal.
//!
//! It runs within every call of a tool, so whatever happens it ends soon, with 0, and with `{}` on stdout: to a host any
//! other exit code is an error, and 2 stops the agent. What goes wrong is counted, in the home or, where that cannot be,
//! in the user's state folder; `status` says so, and so does the next session's start.
//!
//! The write-ahead rules are those of `record`, which does the writing. Killed before the append, the event is neither
//! recorded nor counted; after it, it is recorded, and perhaps not counted.

use std::io::{IsTerminal, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use indelible::fs::Dir;
use indelible::fs::os::{self, Stream};
use indelible::home::Home;
use indelible::hook::count::{self, Outcome, Unreadable};
use indelible::hook::{Event, EventKind, Host, Rules, Skipped, judge, kept, lenient, transcript};
use indelible::model::{Provenance, Request};
use indelible::record::Recorder;
use indelible::redact::Redactor;
use indelible::status;
use serde_json::{Value, json};

use super::Context;
use crate::args::HookArgs;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::{lost, output, provenance};

/// The largest event that is read, in bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// How much of it is read with one call, in bytes. Most are smaller; each page that is set aside for more costs time.
const CHUNK_BYTES: usize = 8 << 10;
/// How long the event may take to come. Hosts send it at once; on a machine that is busy enough, that is not at once.
const EVENT_WAIT: Duration = Duration::from_secs(5);
/// How long more of an event is waited for that is not strict JSON and seems to have ended.
const LENIENT_WAIT: Duration = Duration::from_millis(200);
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

    /// `event`, which a failure kept from being recorded, if there is something in it to record.
    fn lost(event: &Event, failure: &Failure) -> Done {
        let outcome = judge(event, &Rules::default(), None).err().map_or(Outcome::Failed, Outcome::Skipped);
        Done::new(Some(event.host), outcome, reason(failure))
    }
}

fn hook(context: &Context, args: &HookArgs) -> Option<Value> {
    let host = args.host.as_deref().and_then(Host::of_name);
    let done = match read_events(host) {
        Err(unread) => vec![unreadable(context, host, &unread, args.explain)],
        Ok(events) if args.explain => events.iter().map(|event| explained(context, event)).collect(),
        Ok(events) => events.iter().map(|event| one(context, event)).collect(),
    };
    if args.explain {
        for done in &done {
            let host = done.host.map_or("unknown host", Host::name);
            let explained = format!("{host}: {}: {}\n", done.outcome.word(), done.explanation);
            output::write(Stream::Errors, &indelible::model::text::visible(&explained));
        }
    }
    done.into_iter().find_map(|done| done.answer)
}

/// Counts what is no event, and keeps it for a person. With `explain`, it does neither.
fn unreadable(context: &Context, host: Option<Host>, unread: &Unread, explain: bool) -> Done {
    let done = Done::new(host, Outcome::Unreadable(unread.why), "no event could be read");
    if !explain {
        count_one(context, host, done.outcome, None);
        if unread.why != Unreadable::Empty {
            keep(context, &unread.bytes);
        }
    }
    done
}

/// Records what `event` has in it, and counts it.
fn one(context: &Context, event: &Event) -> Done {
    let home = context.open("the event was not recorded");
    let done = match &home {
        Err(failure) => Done::lost(event, failure),
        Ok(home) => take(context, home, event),
    };
    let error = (done.outcome == Outcome::Failed).then_some(done.explanation.as_str());
    let counted = count_in(home.as_ref().ok(), done.host, done.outcome, error);
    if event.moment != EventKind::Start {
        return done;
    }
    let answer = match (&home, counted) {
        (Err(failure), _) => told(&[reason(failure)], event.host),
        (Ok(home), counted) => warning(context, home, event.host, counted.err()),
    };
    Done { answer, ..done }
}

/// What would become of `event`. Nothing is recorded, counted or told.
fn explained(context: &Context, event: &Event) -> Done {
    let judged = context.open("the event would not be recorded").and_then(|home| {
        let settings = context.settings(&home)?;
        requests(&settings, event)
    });
    let host = Some(event.host);
    match judged {
        Err(failure) => Done::lost(event, &failure),
        Ok(Err(done)) => done,
        Ok(Ok(requests)) => {
            let said = requests.iter().map(|it| {
                let record = &it.record;
                format!("{} {:?}", record.kind(), record.headline())
            });
            Done::new(
                host,
                Outcome::Recorded,
                format!("nothing was recorded; this would be: {}", said.collect::<Vec<_>>().join("; ")),
            )
        }
    }
}

/// The records that `event` is worth; `Ok(Err(_))` says why there are none.
fn requests(settings: &Settings, event: &Event) -> Result<Result<Vec<Request>, Done>, Failure> {
    let host = Some(event.host);
    if event.moment == EventKind::Start {
        return Ok(Err(Done::new(host, Outcome::Skipped(Skipped::Nothing), "a session starts")));
    }
    if !settings.hook.record {
        return Ok(Err(Done::new(host, Outcome::Off, "hook.record is false")));
    }
    let redactor = settings.redact.hooks.then(|| settings.redactor()).transpose()?;
    let judged = judge(event, &settings.rules(), redactor.as_ref());
    let kept = |mut request: Request| {
        request.provenance = settings.kept(provenance::complete(request.provenance, &Provenance::default()));
        request
    };
    Ok(judged
        .map(|requests| requests.into_iter().map(kept).collect())
        .map_err(|skipped| Done::new(host, Outcome::Skipped(skipped), format!("the event {:?}", event.name))))
}

/// Records what `event` has in it.
fn take(context: &Context, home: &Home, event: &Event) -> Done {
    // A person watches a recorder, and no hook: the settings may hold patterns of secrets, or say that nothing is wanted.
    let requests = match context.settings(home).and_then(|settings| requests(&settings, event)) {
        Err(failure) => return Done::lost(event, &failure),
        Ok(Err(done)) => return done,
        Ok(Ok(requests)) => requests,
    };
    let host = Some(event.host);
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

/// What a session that starts is told where a person has to look after the home, or after its hooks. `uncounted` is why
/// the start of the session could not be counted in it.
fn warning(context: &Context, home: &Home, host: Host, uncounted: Option<indelible::fs::Error>) -> Option<Value> {
    let needs = match context.settings(home) {
        Ok(settings) if !settings.hook.warn => return None,
        Ok(settings) => {
            let needs = status::attention(home, &settings.history());
            let mut needs = needs.unwrap_or_else(|error| vec![indelible::model::text::chain(&error)]);
            needs.extend(settings.hook_trouble());
            needs.extend(context.told_of_passed());
            needs
        }
        Err(failure) => vec![reason(&failure)],
    };
    let uncounted = uncounted.filter(|_| needs.is_empty()).map(|error| indelible::model::text::chain(&error));
    let elsewhere = lost::counts().and_then(|counts| counts.trouble());
    told(&needs.into_iter().chain(uncounted).chain(elsewhere).collect::<Vec<_>>(), host)
}

/// `needs` in the words of `host`; nothing, if there are none.
fn told(needs: &[String], host: Host) -> Option<Value> {
    if needs.is_empty() {
        return None;
    }
    let text = format!("indelible, which records what is learned here, needs a person: {}", needs.join("; "));
    let text = indelible::model::text::visible_line(&text);
    let text = indelible::model::text::shortened(&text, WARNING_CHARS_MAX);
    Some(match host {
        Host::Cursor => json!({ "additional_context": text }),
        _ => json!({ "hookSpecificOutput": { "hookEventName": "SessionStart", "additionalContext": text } }),
    })
}

fn reason(failure: &Failure) -> String {
    [failure.what.as_str()].into_iter().chain(failure.causes.iter().map(String::as_str)).collect::<Vec<_>>().join(": ")
}

fn count_one(context: &Context, host: Option<Host>, outcome: Outcome, error: Option<&str>) {
    let home = context.open("the event was not counted");
    let _ = count_in(home.as_ref().ok(), host, outcome, error);
}

/// Counts in `home`; where there is none, or it cannot take a count, in the user's state folder. Counting is for people:
/// what was recorded does not depend on it.
///
/// # Errors
/// Why the home cannot take a count.
fn count_in(
    home: Option<&Home>,
    host: Option<Host>,
    outcome: Outcome,
    error: Option<&str>,
) -> Result<(), indelible::fs::Error> {
    let remembered = |folder: &Dir| error.map_or(Ok(()), |error| count::remember(folder, error));
    let Some(home) = home else {
        if let Some(folder) = lost::make() {
            let _ = count::count(&folder, host, outcome);
            let _ = remembered(&folder);
        }
        return Ok(());
    };
    let counted = count::count(home.private(), host, outcome);
    if counted.is_err()
        && let Some(folder) = lost::make()
    {
        let _ = count::count(&folder, host, outcome);
        let _ = remembered(&folder);
    } else if remembered(home.private()).is_err()
        && let Some(folder) = lost::make()
    {
        let _ = remembered(&folder);
    }
    counted
}

/// Keeps what is no event: in the home, or where it cannot take it, in the user's state folder. Without all patterns of
/// secrets nothing is kept.
fn keep(context: &Context, bytes: &[u8]) {
    let home = context.open("the event was not kept").ok();
    let redactor = match &home {
        Some(home) => context.settings(home).and_then(|settings| settings.redactor()).ok(),
        None => Redactor::new::<&str, &str>([]).ok(),
    };
    let Some(redactor) = redactor else { return };
    let kept = home.is_some_and(|home| kept::keep(home.private(), bytes, &redactor).is_ok());
    if !kept && let Some(folder) = lost::make() {
        let _ = kept::keep(&folder, bytes, &redactor);
    }
}

/// What could not be read, and why.
struct Unread {
    why: Unreadable,
    bytes: Vec<u8>,
}

/// The events on stdin: one, but for a host that sends several at once. Reading ends where stdin does, or, for a host that
/// leaves it open, where the event does.
fn read_events(host: Option<Host>) -> Result<Vec<Event>, Unread> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output::warn("`indelible hook` reads an event from stdin; `indelible hooks install` sets up who calls it");
        return Err(Unread { why: Unreadable::Empty, bytes: Vec::new() });
    }
    let until = Instant::now() + EVENT_WAIT;
    let mut bytes = Vec::new();
    let mut chunk = [0; CHUNK_BYTES];
    let mut cut = None;
    loop {
        if cut.is_none() && !os::is_readable(&stdin, Duration::ZERO) {
            if let Some(payload) = strict(&bytes) {
                return Ok(vec![event(&payload, &bytes, host)]);
            }
            let left = until.saturating_duration_since(Instant::now());
            let wait = if is_whole(&bytes) { left.min(LENIENT_WAIT) } else { left };
            if wait.is_zero() || !os::is_readable(&stdin, wait) {
                cut = Some(Unreadable::Unfinished);
                break;
            }
        }
        match stdin.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            // Read to its end all the same: a host whose pipe breaks may take that for an error.
            Ok(_) if cut.is_some() && Instant::now() > until => break,
            Ok(read) => {
                let taken = read.min(EVENT_BYTES_MAX - bytes.len());
                bytes.extend_from_slice(&chunk[..taken]);
                cut = cut.or((taken < read).then_some(Unreadable::TooLarge));
            }
        }
    }
    events(&bytes, cut, host).map_err(|why| Unread { why, bytes })
}

/// The events in `bytes`: strictly read, or as far as they can be.
fn events(bytes: &[u8], cut: Option<Unreadable>, host: Option<Host>) -> Result<Vec<Event>, Unreadable> {
    if let Some(payload) = strict(bytes) {
        return Ok(vec![event(&payload, bytes, host)]);
    }
    // An event without a name could be any program's text.
    let objects = lenient::read(bytes).objects;
    let events = objects.iter().map(|payload| event(payload, payload.to_string().as_bytes(), host));
    let events: Vec<Event> = events.filter(|event| !event.name.is_empty()).collect();
    match events.is_empty() {
        false => Ok(events),
        true if bytes.trim_ascii().is_empty() => Err(Unreadable::Empty),
        true => Err(cut.unwrap_or(Unreadable::NotJson)),
    }
}

fn event(payload: &Value, bytes: &[u8], host: Option<Host>) -> Event {
    let mut event = Event::of(payload, bytes, host);
    transcript::complete(&mut event, payload);
    event
}

/// The event, if `bytes` are all of one.
fn strict(bytes: &[u8]) -> Option<Value> {
    may_be_whole(bytes).then(|| serde_json::from_slice(bytes).ok()).flatten().filter(Value::is_object)
}

/// Whether `bytes` go on to the end of an event, whatever is wrong with it.
fn is_whole(bytes: &[u8]) -> bool {
    may_be_whole(bytes) && lenient::read(bytes).is_whole
}

fn may_be_whole(bytes: &[u8]) -> bool {
    bytes.trim_ascii_end().ends_with(b"}")
}
