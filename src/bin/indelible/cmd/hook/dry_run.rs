//! `hook --dry-run`: what an event would record, and what its agent would be told. Nothing is recorded, counted or noted, and
//! the host is told nothing.

use indelible::fs::os::Stream;
use indelible::hook::count::Outcome;
use indelible::hook::trail::Trail;
use indelible::hook::{Event, Host, answer};
use indelible::model::Kind;
use indelible::model::text::visible;
use serde_json::Value;

use super::{Context, Done, Judged, at_prompt, at_start, judged, skipped, start, turn_of};
use crate::output;
use crate::recalled::{Again, Recalled, Seen};

/// What `hook` would do with `event`, with the answer that its host would get.
#[inline(never)]
pub(super) fn tried(context: &Context, mut event: Event, installed: Option<&str>) -> Done {
    let home = context.open("the event would not be recorded");
    let at_start = at_start(context, &home, &event, None, installed, false)
        .or_else(|| at_prompt(context, home.as_ref().ok()?, &event, installed, false));
    let judged = home.as_ref().map(|home| {
        let settings = context.settings(home)?;
        let _ = turn_of(home, &settings, &mut event);
        let trail = Trail::of(home, &event, settings.trail());
        let judged = judged(home, &settings, &event, &trail)?;
        Ok((judged, settings, home, trail))
    });
    let done = match judged {
        Err(failure) => Done::lost(&event, failure),
        Ok(Err(failure)) => Done::lost(&event, &failure),
        Ok(Ok((Err(done), ..))) => done,
        Ok(Ok((Ok(Judged { requests: Err(why), .. }), ..))) => skipped(&event, why),
        Ok(Ok((Ok(Judged { requests: Ok(requests), course, .. }), settings, home, trail))) => {
            let seen = Seen::of(home, &settings, &event, (&requests, &course), installed);
            let again = seen.as_ref().and_then(|seen| seen.again(home, &trail, &course));
            let said = requests.iter().map(|it| {
                let record = &it.request().record;
                let came = again.filter(|_| record.kind() == Kind::Failure).map(|again| match again {
                    Again::Verdict(first) => format!(", as a verdict that {} came again", first.short()),
                    Again::Counted(first) => format!(", as a count that {} came again", first.short()),
                });
                format!("{} {:?}{}", record.kind(), record.headline(), came.unwrap_or_default())
            });
            let said = said.collect::<Vec<_>>().join("; ");
            let (silence, answer) = match seen.and_then(|seen| seen.recalled()) {
                None => (String::new(), None),
                Some(Recalled::Nothing) => ("; nothing is known of it to tell".to_owned(), None),
                Some(Recalled::Odd(why)) => (format!("; {why}, so nothing is told"), None),
                Some(Recalled::Text { .. }) if start::is_in_new_place(home, &event) => {
                    ("; this place is new to its project, so nothing is told".to_owned(), None)
                }
                Some(Recalled::Text { key, .. }) if event.log(home).was_told(&key) => {
                    ("; the agent was told of it before".to_owned(), None)
                }
                Some(Recalled::Text { text, .. }) => (String::new(), answer::beside_result(&event, &text)),
            };
            Done { answer, ..Done::new(Some(event.host), Outcome::Recorded, format!("{said}{silence}")) }
        }
    };
    Done { answer: at_start.or(done.answer), ..done }
}

/// Shows on stderr what would become of an event, and what its agent would be told.
pub(super) fn show(done: &Done) {
    let what = match done.outcome {
        Outcome::Recorded => format!("would record {}", done.explanation),
        Outcome::Failed => format!("would fail: {}", done.explanation),
        other => format!("would record nothing ({}): {}", other.word(), done.explanation),
    };
    let host = done.host.map_or("unknown host", Host::name);
    let told = match &done.answer {
        None => format!("{host}: would tell nothing\n"),
        Some(answer) => format!("{host}: the agent would be told:\n{}\n", text_of(answer).trim_end()),
    };
    output::write(Stream::Errors, &visible(&format!("{host}: {what}\n{told}")));
}

/// The text in `answer`, for people.
fn text_of(answer: &Value) -> String {
    let places = ["/hookSpecificOutput/additionalContext", "/additional_context"];
    let text = places.iter().find_map(|place| answer.pointer(place)?.as_str());
    text.map_or_else(|| answer.to_string(), str::to_owned)
}
