//! `hook`: reads one event of an agent's host from stdin, and records what is worth keeping.
//!
//! It runs within every call of a tool. So it always ends soon, with exit code 0 and `{}` on stdout: to a host any other
//! exit code is an error, and 2 stops the agent. Failures are counted in the home or, if that is not possible, in the
//! user's state folder. `status` and the start of the next session report them.
//!
//! The library judges the event and records it (`indelible::hook`, `indelible::record`). Killed before the append, the event
//! is neither recorded nor counted; killed after it, the event is recorded, and perhaps not counted.
//!
//! Where `worker.autostart` is set, a hook that has recorded something starts a worker if none runs, once the host has its
//! answer (`autostart`). The worker shares nothing with the hook, so a host that waits for the hook does not wait for it.

mod cost;
mod dry_run;
mod prompt;
mod start;

use std::io::{IsTerminal, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use indelible::fs::Dir;
use indelible::fs::os;
use indelible::home::Home;
use indelible::hook::cost::Call;
use indelible::hook::count::{self, Note, Outcome, Unreadable};
use indelible::hook::trail::{self, Course, Trail};
use indelible::hook::turn::Turn;
use indelible::hook::{
    Event, EventKind, Host, Rules, Skipped, answer, judge, kept, lenient, transcript, without_echoes,
};
use indelible::model::{Kind, RecordId};
use indelible::record::{Recorder, Redacted, Redaction};
use indelible::redact::Redactor;
use indelible::status;
use serde_json::{Value, json};

use super::{Context, autostart};
use crate::args::HookArgs;
use crate::exit::{Exit, Failure};
use crate::recalled::{Again, Recalled, Seen};
use crate::settings::Settings;
use crate::{lost, output, policy};

/// The largest event, in bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// How much of an event is read with one call, in bytes. Most are smaller, and each page of a larger buffer costs time.
const CHUNK_BYTES: usize = 8 << 10;
/// How long to wait for an event. Hosts send it at once, but a busy machine can delay it.
const EVENT_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for the rest of an event that is not strict JSON and seems complete.
const LENIENT_WAIT: Duration = Duration::from_millis(200);
/// The longest warning at the start of a session, in characters.
const WARNING_CHARS_MAX: usize = 500;

pub fn run(context: &Context, args: &HookArgs) -> Exit {
    // A panic would be printed on stderr, which hosts show to people.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let said = catch_unwind(AssertUnwindSafe(|| hook(context, args, began)));
    let done = said.unwrap_or_else(|_| {
        let panicked = || {
            count_one(context, &Done::new(None, Outcome::Failed, ""), Some("a bug in indelible stopped the hook"));
        };
        let _ = catch_unwind(AssertUnwindSafe(panicked));
        Vec::new()
    });
    let answer = done.iter().find_map(|done| done.answer.as_ref()).filter(|_| !args.dry_run);
    output::json(answer.unwrap_or(&json!({})));
    let to_commit = done.iter().filter(|done| done.starts).find_map(|done| done.home.as_ref());
    if let Some(home) = to_commit {
        let _ = catch_unwind(AssertUnwindSafe(|| autostart::unless_one_runs(home)));
    }
    Exit::Done
}

/// What is counted, the explanation, and the answer to the host.
struct Done {
    host: Option<Host>,
    outcome: Outcome,
    explanation: String,
    answer: Option<Value>,
    note: Option<Note>,
    /// Whether something was recorded, and hooks may start a worker to commit it.
    starts: bool,
    /// The home that it was recorded in.
    home: Option<Home>,
}

impl Done {
    fn new(host: Option<Host>, outcome: Outcome, explanation: impl Into<String>) -> Done {
        Done { host, outcome, explanation: explanation.into(), answer: None, note: None, starts: false, home: None }
    }

    /// As it is done, with what the agent of `event` is told of its failure, unless it was told before.
    fn told(self, recalled: Recalled, home: &Home, event: &Event) -> Done {
        match recalled {
            Recalled::Text { .. } if start::is_in_new_place(home, event) => self,
            Recalled::Text { text, key } if event.log(home).tell_once(&key) => {
                Done { answer: answer::beside_result(event, &text), note: Some(Note::Told), ..self }
            }
            Recalled::Odd(_) => Done { note: Some(Note::OddKnown), ..self },
            Recalled::Nothing | Recalled::Text { .. } => self,
        }
    }

    /// An `event` that was lost to `failure`, unless there was nothing in it to record.
    fn lost(event: &Event, failure: &Failure) -> Done {
        let outcome =
            judge(event, &Rules::default(), &Redaction::off()).err().map_or(Outcome::Failed, Outcome::Skipped);
        Done::new(Some(event.host), outcome, reason(failure))
    }
}

fn hook(context: &Context, args: &HookArgs, mut began: Instant) -> Vec<Done> {
    let host = args.host.as_deref().and_then(Host::of_name);
    let installed = args.context.as_deref();
    let done: Vec<Done> = match read_events(host) {
        Err(unread) => vec![unreadable(context, host, &unread, args.dry_run)],
        Ok(events) if args.dry_run => {
            events.into_iter().map(|event| dry_run::tried(context, event, installed)).collect()
        }
        Ok(events) => {
            let one = |event| one(context, event, installed, std::mem::replace(&mut began, Instant::now()));
            events.into_iter().map(one).collect()
        }
    };
    if args.dry_run {
        done.iter().for_each(dry_run::show);
    }
    done
}

/// Counts input that is not an event, and keeps it for a person. In a dry run, it does neither.
fn unreadable(context: &Context, host: Option<Host>, unread: &Unread, dry_run: bool) -> Done {
    let done = Done::new(host, Outcome::Unreadable(unread.why), "no event could be read");
    if !dry_run {
        count_one(context, &done, None);
        if unread.why != Unreadable::Empty {
            keep(context, &unread.bytes);
        }
    }
    done
}

/// Records and counts `event`, which was begun with at `began`, and tells what is to be told at it. `installed` says when the installed
/// hook tells something.
fn one(context: &Context, mut event: Event, installed: Option<&str>, began: Instant) -> Done {
    let home = context.open("the event was not recorded");
    let done = match &home {
        Err(failure) => Done::lost(&event, failure),
        Ok(home) => take(context, home, &mut event, installed),
    };
    let error = (done.outcome == Outcome::Failed).then_some(done.explanation.as_str());
    let call = home.as_ref().ok().map(|home| cost::of(home, &event, began, done.answer.as_ref()));
    let counted = count_in(home.as_ref().ok(), &done, error, call.as_ref());
    let counted_at = Instant::now();
    if let Ok(home) = &home
        && trail::forgets(&event)
    {
        start::forget(home, &event);
    }
    let told_later = at_start(context, &home, &event, counted.err(), installed, true);
    let told_later = told_later.or_else(|| at_prompt(context, home.as_ref().ok()?, &event, installed, true));
    if let (Ok(home), Some(_)) = (&home, &told_later) {
        let rest = Call { is_rest: true, ..cost::of(home, &event, counted_at, told_later.as_ref()) };
        let _ = count::add_cost(home.private(), event.host, &rest);
    }
    let answer = told_later.or(done.answer);
    Done { answer, home: home.ok(), ..done }
}

/// The text for the agent of `event`, if it starts a session or a sub-agent. `uncounted` is why it could not be counted in the home. With
/// `is_noted`, the session's log notes what was told.
#[inline(never)]
fn at_start(
    context: &Context,
    home: &Result<Home, Failure>,
    event: &Event,
    uncounted: Option<indelible::fs::Error>,
    installed: Option<&str>,
    is_noted: bool,
) -> Option<Value> {
    let notice = match home {
        _ if event.kind != EventKind::Start => String::new(),
        Err(failure) => notice(&[reason(failure)]),
        Ok(home) => warning(context, home, uncounted),
    };
    let is_start = event.kind == EventKind::Start || start::is_of_subagent(event);
    let pack = home.as_ref().ok().filter(|_| is_start).and_then(|home| {
        // Damaged settings may switch it off.
        let settings = context.settings(home).ok()?;
        Some(start::told(home, &settings, event, installed, is_noted))
    });
    start::answer(event, &[pack.unwrap_or_default(), notice])
}

/// The answer to `event`, if it is a prompt and something is told at it. With `is_noted`, the session's log notes it.
fn at_prompt(context: &Context, home: &Home, event: &Event, installed: Option<&str>, is_noted: bool) -> Option<Value> {
    if !matches!(event.kind, EventKind::Prompt(_)) {
        return None;
    }
    prompt::answer(home, &context.settings(home).ok()?, event, installed, is_noted)
}

/// What is to be done with an event.
struct Judged {
    /// The records to make of it, or why there are none.
    requests: Result<Vec<Redacted>, Skipped>,
    /// The redaction that they have passed.
    redaction: Redaction,
    /// What it means for the failures that are open in its session.
    course: Course,
}

/// Judges `event`, in a session of `home` with this `trail`. Fails if the settings are invalid.
fn judged(home: &Home, settings: &Settings, event: &Event, trail: &Trail<'_>) -> Result<Result<Judged, Done>, Failure> {
    let host = Some(event.host);
    if event.kind == EventKind::Start {
        return Ok(Err(Done::new(host, Outcome::Skipped(Skipped::Nothing), "a session starts")));
    }
    if !settings.hook.record {
        return Ok(Err(Done::new(host, Outcome::Off, "hook.record is false")));
    }
    let redaction = policy::redaction_of_hook(settings)?;
    let rules = settings.rules();
    let requests = judge(event, &rules, &redaction);
    let requests = requests.and_then(|requests| without_echoes(home, event, requests));
    let mut course = trail.follow(event, requests.as_deref().unwrap_or_default(), &rules, &redaction);
    let successes = std::mem::take(&mut course.successes);
    let requests = match requests {
        Err(why) if successes.is_empty() => Err(why),
        requests => Ok(requests.unwrap_or_default().into_iter().chain(successes).collect()),
    };
    Ok(Ok(Judged { requests, redaction, course }))
}

fn skipped(event: &Event, why: Skipped) -> Done {
    Done::new(Some(event.host), Outcome::Skipped(why), format!("the event {:?}", event.name))
}

/// Reads the transcript that `event` names, and adds to `event` what the agent marked as learned there.
fn turn_of(home: &Home, settings: &Settings, event: &mut Event) -> Turn {
    // While nothing is recorded, it is read all the same: what an agent wrote then is not recorded later.
    let is_read = |event: &Event| !settings.hook.record || settings.rules().wants_learned(&event.name);
    if event.transcript.is_none() || !is_read(event) {
        return Turn::default();
    }
    let mut turn = Turn::read(home.private(), event);
    event.learned.append(&mut turn.learned);
    event.root = turn.root.take();
    turn
}

/// Records what is worth keeping of `event`. Not inlined, as [`at_start`]: most hooks would touch the pages of a stack that only some
/// need.
#[inline(never)]
fn take(context: &Context, home: &Home, event: &mut Event, installed: Option<&str>) -> Done {
    // Unlike `record`, a hook does not fall back on the defaults: no person watches it, and the settings may have patterns
    // of secrets, or switch recording off.
    let settings = match context.settings(home) {
        Err(failure) => return Done::lost(event, &failure),
        Ok(settings) => settings,
    };
    let turn = turn_of(home, &settings, event);
    let trail = Trail::of(home, event, settings.trail());
    let Judged { requests, redaction, course } = match judged(home, &settings, event, &trail) {
        Err(failure) => return Done::lost(event, &failure),
        Ok(Err(done)) => {
            turn.keep(home.private());
            return done;
        }
        Ok(Ok(judged)) => judged,
    };
    let requests = match requests {
        Err(why) => {
            turn.keep(home.private());
            trail.note(course, None, None);
            return skipped(event, why);
        }
        Ok(requests) => requests,
    };
    let host = Some(event.host);
    let seen = Seen::of(home, &settings, event, (&requests, &course), installed);
    let again = seen.as_ref().and_then(|seen| seen.again(home, &trail, &course));
    let mut recorder = match Recorder::new(home, policy::of_hook(&settings, redaction)) {
        Ok(recorder) => recorder,
        Err(error) => return Done::new(host, Outcome::Failed, reason(&Failure::of("nothing was recorded", &error))),
    };
    let (requests, counted) = parted(requests, again);
    let is_counted_only = requests.is_empty();
    let mut said = Vec::new();
    for outcome in recorder.record_redacted(requests) {
        match outcome {
            Ok(receipt) => said.extend(receipt.path),
            Err(error) => {
                return Done::new(host, Outcome::Failed, reason(&Failure::of("nothing was recorded", &error)));
            }
        }
    }
    if let Some((first, failure)) = counted {
        recorder.count_again(first, failure);
    }
    turn.keep(home.private());
    trail.note(course, seen.as_ref().map(|seen| seen.own), again.map(Again::first));
    context.count_passed(said.len());
    let done = match is_counted_only {
        true => skipped(event, Skipped::Again),
        false => Done { starts: settings.worker.autostart, ..Done::new(host, Outcome::Recorded, said.join(", ")) },
    };
    match seen.and_then(|seen| seen.recalled()) {
        Some(recalled) => done.told(recalled, home, event),
        None => done,
    }
}

/// What of `requests` is to be recorded, and the failure among them that is only counted, with the record that it came `again` of.
fn parted(requests: Vec<Redacted>, again: Option<Again>) -> (Vec<Redacted>, Option<(RecordId, Redacted)>) {
    let (mut kept, mut counted) = (Vec::with_capacity(requests.len()), None);
    for request in requests {
        let is_failure = request.request().record.kind() == Kind::Failure;
        match again.filter(|_| is_failure) {
            Some(Again::Counted(first)) => counted = Some((first, request)),
            Some(Again::Verdict(first)) => kept.push(request.again_of(first)),
            None => kept.push(request),
        }
    }
    (kept, counted)
}

/// The notice at the start of a session; empty unless the home or its hooks need attention. `uncounted` is why the start of the
/// session could not be counted in the home.
fn warning(context: &Context, home: &Home, uncounted: Option<indelible::fs::Error>) -> String {
    let needs = match context.settings(home) {
        Ok(settings) if !settings.hook.warn => return String::new(),
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
    notice(&needs.into_iter().chain(uncounted).chain(elsewhere).collect::<Vec<_>>())
}

/// The notice about `needs`; empty without needs.
fn notice(needs: &[String]) -> String {
    if needs.is_empty() {
        return String::new();
    }
    let text = format!("indelible, which records what is learned here, needs attention: {}", needs.join("; "));
    let text = indelible::model::text::visible_line(&text);
    indelible::model::text::shortened(&text, WARNING_CHARS_MAX).into_owned()
}

fn reason(failure: &Failure) -> String {
    [failure.what.as_str()].into_iter().chain(failure.causes.iter().map(String::as_str)).collect::<Vec<_>>().join(": ")
}

fn count_one(context: &Context, done: &Done, error: Option<&str>) {
    let home = context.open("the event was not counted");
    let _ = count_in(home.as_ref().ok(), done, error, None);
}

/// Counts in `home`, or in the user's state folder if there is no home or it cannot be written. Counts are for people:
/// no record depends on them.
///
/// # Errors
/// Why the home could not be written.
fn count_in(
    home: Option<&Home>,
    done: &Done,
    error: Option<&str>,
    call: Option<&Call>,
) -> Result<(), indelible::fs::Error> {
    let count = |folder: &Dir| count::count_with(folder, done.host, done.outcome, done.note, call);
    let remembered = |folder: &Dir| error.map_or(Ok(()), |error| count::remember(folder, error));
    let Some(home) = home else {
        if let Some(folder) = lost::make() {
            let _ = count(&folder);
            let _ = remembered(&folder);
        }
        return Ok(());
    };
    let counted = count(home.private());
    if counted.is_err()
        && let Some(folder) = lost::make()
    {
        let _ = count(&folder);
        let _ = remembered(&folder);
    } else if remembered(home.private()).is_err()
        && let Some(folder) = lost::make()
    {
        let _ = remembered(&folder);
    }
    counted
}

/// Keeps input that is not an event, in the home or, if that is not possible, in the user's state folder. If the patterns
/// of secrets are not known, nothing is kept.
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

/// Input that could not be read as an event, and why.
struct Unread {
    why: Unreadable,
    bytes: Vec<u8>,
}

/// The events on stdin: one, or several if a host sends them at once. Reads to the end of stdin or, if a host leaves stdin
/// open, to the end of the event.
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
            // Reads on to the end: a host may take a broken pipe for an error.
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

/// The events in `bytes`, read strictly or, if that fails, leniently.
fn events(bytes: &[u8], cut: Option<Unreadable>, host: Option<Host>) -> Result<Vec<Event>, Unreadable> {
    if let Some(payload) = strict(bytes) {
        return Ok(vec![event(&payload, bytes, host)]);
    }
    // Without a name, it could be the text of any program.
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

/// The event, if `bytes` are one JSON object.
fn strict(bytes: &[u8]) -> Option<Value> {
    may_be_whole(bytes).then(|| serde_json::from_slice(bytes).ok()).flatten().filter(Value::is_object)
}

/// Whether `bytes` have the end of an event, even an invalid one.
fn is_whole(bytes: &[u8]) -> bool {
    may_be_whole(bytes) && lenient::read(bytes).is_whole
}

fn may_be_whole(bytes: &[u8]) -> bool {
    bytes.trim_ascii_end().ends_with(b"}")
}
