//! Echoes: an agent that was told a rule and marks it as learned has learned nothing new. Reads the session log.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::learned::essence;
use super::{Event, Skipped};
use crate::home::Home;
use crate::model::Record;
use crate::record::Redacted;
use crate::session::SessionLog;

/// The key in a session log by which the rule `text` counts as told: tellers note it there. It is a digest of what the rule
/// says, whatever its case, spaces and domain, and with `'` for a backtick, as it is told.
pub fn told_key(text: &str) -> String {
    let text = essence(&text.replace('`', "'"));
    format!("rule:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple())
}

/// The rule in a line that repeats how it was told: ``- `the rule` (ci, 2026-11-21, 9e011c51)``. `None` for any other text.
fn repeated(text: &str) -> Option<&str> {
    let text = text.trim().trim_start_matches(['-', '*']).trim_start();
    let (rule, rest) = text.strip_prefix('`')?.split_once('`')?;
    let rest = rest.trim_matches([' ', '.']);
    (rest.is_empty() || rest.starts_with('(') && rest.ends_with(')')).then_some(rule)
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
    let told: BTreeSet<String> = logs.iter().flat_map(SessionLog::told).collect();
    let was_told =
        |text: &str| told.contains(&told_key(text)) || repeated(text).is_some_and(|it| told.contains(&told_key(it)));
    let is_new = |request: &Redacted| text_of(request).is_none_or(|text| !was_told(text));
    let new: Vec<Redacted> = requests.into_iter().filter(is_new).collect();
    if new.is_empty() { Err(Skipped::Echo) } else { Ok(new) }
}

/// What was learned.
fn text_of(request: &Redacted) -> Option<&str> {
    match &request.request().record {
        record @ (Record::Heuristic(_) | Record::Observation(_)) => Some(record.headline()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_however_it_is_quoted() {
        let key = told_key("Set `NO_PROXY` in CI.");
        for text in [
            "set 'NO_PROXY' in CI",
            "`Set 'NO_PROXY' in CI`",
            "- `Set 'NO_PROXY' in CI` (ci, 2026-11-21, 9e011c51)",
            " * `Set 'NO_PROXY' in CI.` ",
        ] {
            assert!(told_key(text) == key || repeated(text).is_some_and(|it| told_key(it) == key), "{text}");
        }
        for text in ["`a` and more", "a `b`", "`a` (b) c", "`a", "", "`"] {
            assert_eq!(repeated(text), None, "{text}");
        }
    }
}
