//! What `hook` answers when a session or a sub-agent starts: the pack, and the notices for a person.
//!
//! Nothing is written but the session's log, a cache: it says what the session was told, so that a resumed one is told only
//! what is new. Killed before that, a resumed session is told again what it was told.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indelible::home::Home;
use indelible::hook::{Event, EventKind, Host, told_key};
use indelible::pack::{Ask, BUDGET, BUDGET_OF_SUBAGENT, Depth, Limits, Pack, pack};
use indelible::project;
use indelible::query::View;
use indelible::session::{Entry, SessionLog, Told, code_of, note_code};
use indelible::target::history::HistoryOptions;
use serde_json::{Value, json};

use crate::policy;
use crate::settings::{Settings, Telling};

/// How long a pack may take. It takes milliseconds, unless a disk or another program holds it up; then none is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for a lock on the index.
const INDEX_WAIT: Duration = Duration::from_millis(100);

/// The note in a session's log that the agent was told the session's code.
const CODE: &str = "code";
/// The note in a session's log that its place is new to its project.
const NEW_PLACE: &str = "place:new";

/// Whether the session of `event` was noted, at its start, to be in a place that is new to its project. Any clone can name the
/// project's origin as its own, so what is known of the project's failures is not told there.
pub(super) fn is_in_new_place(home: &Home, event: &Event) -> bool {
    SessionLog::of(home, &event.session, None).was_told(NEW_PLACE)
}

/// Forgets what the agent of `event` was told, since its context was cleared or compacted. That its place is new to its project stays
/// noted, unless a start of the session finds that out again.
///
/// If it is killed in between, that note is gone.
pub(super) fn forget(home: &Home, event: &Event) {
    let log = event.log(home);
    let stays = event.kind != EventKind::Start && log.was_told(NEW_PLACE);
    log.reset();
    if stays {
        note(&log, std::iter::once(NEW_PLACE.to_owned()));
    }
}

/// Whether `event` is the start of a sub-agent.
pub(super) fn is_of_subagent(event: &Event) -> bool {
    event.kind == EventKind::Other && event.name.eq_ignore_ascii_case("SubagentStart")
}

/// The pack for the agent of `event`, which starts a session or a sub-agent, as text; empty if it has no entry. `installed` is what the
/// installed hook says of when to tell. With `is_noted`, the session's log notes it.
pub(super) fn told(home: &Home, settings: &Settings, event: &Event, installed: Option<&str>, is_noted: bool) -> String {
    if !settings.hook.tells(Telling::Start, installed) {
        return String::new();
    }
    let log = event.log(home);
    let was_told = match event.source.as_deref() {
        Some("fork") if parent_was_told(home, event, is_noted) => return String::new(),
        Some("resume") => told_in(&log),
        _ => HashSet::new(),
    };
    let (depth, budget) = match is_of_subagent(event) {
        true => (Depth::Minimal, BUDGET_OF_SUBAGENT),
        false => (Depth::Standard, BUDGET),
    };
    let limits = Limits::of(Some(event.host), budget);
    let make = move |view: &View<'_>, ask: &Ask<'_>| pack(view, &Ask { depth, limits, ..*ask }).ok();
    let Some(pack) = made(home.path(), settings, event, make) else { return String::new() };
    let pack = if was_told.is_empty() { pack } else { pack.without(&was_told) };
    if is_noted && pack.is_of_new_place {
        note(&log, std::iter::once(NEW_PLACE.to_owned()));
    }
    if is_noted {
        note(&log, pack.entries.iter().map(indelible::pack::Entry::key));
        // What the agent repeats of it is not learned.
        let mut rules: Vec<String> =
            pack.entries.iter().flat_map(indelible::pack::Entry::rule).map(|rule| told_key(&rule)).collect();
        rules.dedup();
        note(&log, rules.into_iter());
    }
    pack.text() + &code(home, event, &pack, is_noted).unwrap_or_default()
}

/// A line with the code of the session of `event`, by which its agent can judge the rules of `pack`; `None` if it has no rule. With
/// `is_noted`, the code is known from now on.
pub(super) fn code(home: &Home, event: &Event, pack: &Pack, is_noted: bool) -> Option<String> {
    pack.entries.iter().find(|entry| !entry.rule().is_empty())?;
    let session = event.session.as_str();
    let code = match is_noted {
        true => note_code(home, session)?,
        false => Some(code_of(home, session)).filter(|_| !session.trim().is_empty())?,
    };
    if is_noted {
        note(&event.log(home), std::iter::once(CODE.to_owned()));
    }
    Some(format!("For indelible's tool `judge`, the code of this session is `{code}`.\n"))
}

/// Whether the session of `log` was told its code.
pub(super) fn knows_code(log: &SessionLog<'_>) -> bool {
    log.was_told(CODE)
}

/// The pack that `make` makes of the home and of where `event` happened, or none if that takes too long.
pub(super) fn made(
    home: &Path,
    settings: &Settings,
    event: &Event,
    make: impl FnOnce(&View<'_>, &Ask<'_>) -> Option<Pack> + Send + 'static,
) -> Option<Pack> {
    let (home, label) = (home.to_owned(), settings.label().map(str::to_owned));
    let folder = event.folder.as_ref().map(PathBuf::from);
    let limits = Limits::of(Some(event.host), BUDGET);
    let (sender, receiver) = mpsc::channel();
    let send = move || {
        let pack = || {
            let home = Home::open(&home).ok()?;
            let place = folder.and_then(|folder| project::place(&folder, policy::project_ids().as_deref()));
            let (place, host) = (place.as_ref(), label.as_deref());
            let depth = Depth::Standard;
            let ask = Ask { place, host, task: None, domains: &[], is_here_only: false, depth, limits };
            make(&View::open(&home, HistoryOptions::default(), INDEX_WAIT), &ask)
        };
        let _ = sender.send(pack());
    };
    // The process ends without it, if it does not end in time.
    thread::Builder::new().spawn(send).ok()?;
    receiver.recv_timeout(PATIENCE).ok().flatten()
}

/// All that the session of `log` was told.
pub(super) fn all_told_in(log: &SessionLog<'_>) -> impl Iterator<Item = String> {
    log.told().into_iter()
}

/// What the session of `log` was told of packs.
fn told_in(log: &SessionLog<'_>) -> HashSet<String> {
    all_told_in(log).filter(|key| key.starts_with("pack:")).collect()
}

/// Whether the session that `event` was forked from is known, and was told a pack: the fork has it in its context. With
/// `is_noted`, its log takes over what that session was told, rules among it: they are echoes in the fork, too.
fn parent_was_told(home: &Home, event: &Event, is_noted: bool) -> bool {
    let Some(parent) = event.parent.as_deref().filter(|parent| *parent != event.session) else { return false };
    let parent = SessionLog::of(home, parent, None);
    if told_in(&parent).is_empty() {
        return false;
    }
    if is_noted {
        note(&event.log(home), all_told_in(&parent));
    }
    true
}

/// Notes in `log` that `keys` were told. What cannot be noted is told again.
pub(super) fn note(log: &SessionLog<'_>, keys: impl Iterator<Item = String>) {
    for key in keys {
        let _ = log.append(&Entry::Told(Told { key }));
    }
}

/// The answer to `event` that tells `texts`, as its host understands it; `None` without any.
pub(super) fn answer(event: &Event, texts: &[String]) -> Option<Value> {
    let text: Vec<&str> = texts.iter().map(|text| text.trim_end()).filter(|text| !text.is_empty()).collect();
    if text.is_empty() {
        return None;
    }
    let text = text.join("\n");
    let name = if is_of_subagent(event) { "SubagentStart" } else { "SessionStart" };
    Some(match event.host {
        Host::Cursor => json!({ "additional_context": text }),
        _ => json!({ "hookSpecificOutput": { "hookEventName": name, "additionalContext": text } }),
    })
}
