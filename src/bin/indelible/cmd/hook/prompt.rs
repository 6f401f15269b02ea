//! What `hook` answers when a person has asked for something: the project's records that are about it, each once a session.
//! For most prompts there are none, and nothing is answered.
//!
//! Nothing is written but the session's log, and only if something is told: never the prompt. Killed between the note and
//! the answer, a session is told less.

use std::collections::HashSet;

use indelible::home::Home;
use indelible::hook::{Event, EventKind, answer, told_key};
use indelible::model::RecordId;
use indelible::pack::{Ask, BUDGET, Entry, Limits, Prompt, at_prompt};
use serde_json::Value;

use super::start;
use crate::settings::{Settings, Telling};

/// The longest text, in characters, as at a failure.
const CHARS_MAX: usize = 600;
/// How much of it is kept for the line with the session's code, in characters.
const CODE_CHARS: usize = 70;

/// The answer to `event`, a prompt, if something is told at it. `installed` is what the installed hook says of when to tell.
/// With `is_noted`, the session's log notes the records that the text names.
pub(super) fn answer(
    home: &Home,
    settings: &Settings,
    event: &Event,
    installed: Option<&str>,
    is_noted: bool,
) -> Option<Value> {
    let EventKind::Prompt(text) = &event.kind else { return None };
    let is_wanted = settings.hook.tells(Telling::Prompt, installed) && answer::is_shown_beside_prompt(event);
    if !is_wanted || event.session.trim().is_empty() {
        return None;
    }
    let log = event.log(home);
    let told: HashSet<RecordId> = start::all_told_in(&log).filter_map(|key| Entry::told_by(&key)).collect();
    let (prompt, session) = (text.clone(), event.session.clone());
    let mut pack = start::made(home.path(), settings, event, move |view, ask| {
        let limits = Limits { tokens: BUDGET, chars: CHARS_MAX - CODE_CHARS };
        at_prompt(view, &Ask { limits, ..*ask }, &Prompt { text: &prompt, session: &session, told: &told }).ok()
    })?;
    // Of copies of this hook that run at once, one tells.
    pack.entries.retain(|entry| !is_noted || log.tell_once(&entry.key()));
    if is_noted {
        let rules = pack.entries.iter().flat_map(Entry::rule);
        start::note(&log, rules.map(|rule| told_key(&rule)));
    }
    if pack.entries.is_empty() {
        return None;
    }
    let code = (!start::knows_code(&log)).then(|| start::code(home, event, &pack, is_noted)).flatten();
    let text = pack.text() + &code.unwrap_or_default();
    answer::beside_prompt(event, text.trim_end())
}
