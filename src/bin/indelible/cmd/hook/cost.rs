//! What a call of the hook costs: the time until it is counted, and about how many tokens its agent is told.

use std::time::Instant;

use indelible::home::Home;
use indelible::hook::Event;
use indelible::hook::cost::Call;
use indelible::pack::tokens;
use indelible::session::code_of;
use jiff::Timestamp;
use serde_json::Value;

/// What the call for `event` has cost since `began`, and what its `answer` tells.
pub(super) fn of(home: &Home, event: &Event, began: Instant, answer: Option<&Value>) -> Call {
    let session = (!event.session.trim().is_empty()).then(|| code_of(home, &event.session));
    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let tokens = answer.map_or(0.0, told_tokens);
    Call { at: Timestamp::now(), session, us, tokens: tokens.round() as u64, is_rest: false }
}

/// About how many tokens `answer` tells an agent.
fn told_tokens(answer: &Value) -> f64 {
    match answer {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name.ends_with("ontext") => tokens(text),
                value => told_tokens(value),
            })
            .sum(),
        _ => 0.0,
    }
}
