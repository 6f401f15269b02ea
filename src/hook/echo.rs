//! Echoes: an agent that was told a rule and marks it as learned has learned nothing new. Reads the session log.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::learned::essence;
use super::{Event, Skipped};
use crate::home::Home;
use crate::model::Record;
use crate::record::Redacted;
use crate::session::{Entry, SessionLog};

/// The key in a session log by which the rule `text` counts as told: tellers note it there. It is a digest of what the rule
/// says, whatever its case, spaces and domain.
pub fn told_key(text: &str) -> String {
    format!("rule:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, essence(text).as_bytes()).simple())
}

/// `requests` without what only repeats a rule that the session of `event` was told. Failures stay. The session log in `home`
/// is opened only if there is something to compare.
///
/// # Errors
/// [`Skipped::Echo`] if nothing is left.
pub fn without_echoes(home: &Home, event: &Event, requests: Vec<Redacted>) -> Result<Vec<Redacted>, Skipped> {
    if !requests.iter().any(|request| text_of(request).is_some()) {
        return Ok(requests);
    }
    // A sub-agent also knows what the agent that started it passed on.
    let logs = [event.log(home), SessionLog::of(home, &event.session, None)];
    let told: BTreeSet<String> = logs.iter().flat_map(SessionLog::entries).filter_map(|it| key_of(it.entry)).collect();
    let is_new = |request: &Redacted| text_of(request).is_none_or(|text| !told.contains(&told_key(text)));
    let new: Vec<Redacted> = requests.into_iter().filter(is_new).collect();
    if new.is_empty() { Err(Skipped::Echo) } else { Ok(new) }
}

fn key_of(entry: Entry) -> Option<String> {
    match entry {
        Entry::Told(told) => Some(told.key),
        _ => None,
    }
}

/// What was learned.
fn text_of(request: &Redacted) -> Option<&str> {
    match &request.request().record {
        record @ (Record::Heuristic(_) | Record::Observation(_)) => Some(record.headline()),
        _ => None,
    }
}
