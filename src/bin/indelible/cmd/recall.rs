//! `recall`: what happened the last times that a command failed, or an error came, and what followed.

use std::ffi::OsStr;
use std::io::Read as _;

use indelible::model::RecordId;
use indelible::model::text::{counted, visible_line_on_screen as visible_line};
use indelible::query::{Recall, Recalled, Recorded, Same, Time, recall};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::input;
use crate::output;
use crate::reading::args::RecallArgs;
use crate::reading::screen::{Screen, line_of, width_of};
use crate::reading::{self, pager};

const WHAT: &str = "nothing was recalled";
/// How much is read from stdin, in bytes.
const INPUT_BYTES_MAX: u64 = 4 << 20;

pub fn run(context: &Context, args: &RecallArgs) -> Result<Exit, Failure> {
    let asked = match (&args.error, &args.command) {
        (Some(error), _) => Recall::Error { text: given(error)?, cwd: cwd() },
        (None, command) => Recall::Command(given(command.as_deref().unwrap_or_default())?),
    };
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let recalled = recall(&view, &asked, args.limit, Timestamp::now()).map_err(reading::failed(WHAT))?;
    let notes: Vec<String> = view.notes().iter().chain(&recalled.notes).cloned().collect();
    reading::say_notes(context.json, &notes);
    match context.json {
        true => output::json(&data(&asked, &recalled, &notes)),
        false => say(&recalled),
    }
    Ok(if recalled.count == 0 { Exit::NOTHING_FOUND } else { Exit::Done })
}

/// The folder that what failed ran in, as far as is known: this one.
fn cwd() -> String {
    std::env::current_dir().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text, or all of stdin for `-`. What a program has said may be no UTF-8.
fn given(text: &OsStr) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_string_lossy().into_owned());
    }
    let mut bytes = Vec::new();
    let read = input::stdin().take(INPUT_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn data(asked: &Recall, recalled: &Recalled, notes: &[String]) -> Value {
    let asked = match asked {
        Recall::Command(text) => json!({ "command": text }),
        Recall::Error { text, .. } => json!({ "error": text }),
    };
    let time = |time: &Time| {
        let mut data = json!(time.recorded);
        data["same"] = json!(time.same);
        if let Some(again) = &time.again {
            data["again"] = json!({
                "id": again.id, "at": format!("{:.3}", again.at), "session": again.provenance.session, "times": again.times,
            });
        }
        data["followed"] = json!(time.followed);
        data
    };
    let at = |at: Option<Timestamp>| at.map(|at| format!("{at:.3}"));
    json!({
        "asked": asked,
        "count": recalled.count,
        "at_least": recalled.at_least,
        "sessions": recalled.sessions,
        "first": at(recalled.between.map(|it| it.0)),
        "last": at(recalled.between.map(|it| it.1)),
        "times": recalled.times.iter().map(time).collect::<Vec<_>>(),
        "notes": notes,
    })
}

fn say(recalled: &Recalled) {
    let Some((first, last)) = recalled.between else {
        output::line("nothing is known of it");
        return;
    };
    let screen = Screen::of_stdout();
    let times = counted(recalled.count, "time", "times");
    let at_least = if recalled.at_least { "at least " } else { "" };
    let sessions = match recalled.sessions {
        0 => String::new(),
        sessions => format!(" in {}", counted(sessions as u64, "session", "sessions")),
    };
    let between = match recalled.count {
        1 => format!("on {}", screen.time(last)),
        _ => format!("between {} and {}", screen.time(first), screen.time(last)),
    };
    let what = match recalled.same.as_slice() {
        [Same::Command] => "command failed",
        [Same::Failure] => "failure came",
        [Same::ErrorLine] => "error line came",
        _ => "failure, or at least the same error line, came",
    };
    let mut text = format!("the same {what} {at_least}{times}{sessions}, {between}\n");
    for time in &recalled.times {
        let named = (time.at(), time.id(), time.session());
        text.push_str(&format!("\n{}\n", line(&screen, &time.recorded, named, 0)));
        for later in &time.followed {
            let named = (later.created_at, later.id, later.provenance().session.as_deref());
            text.push_str(&format!("    then {}\n", line(&screen, later, named, 9)));
        }
        if time.followed.is_empty() {
            text.push_str("    nothing of its session was recorded after it\n");
        }
    }
    pager::show(&screen, &text);
}

/// A line for `recorded`, which is shown behind `indent` columns, with this time, id and session.
fn line(
    screen: &Screen,
    recorded: &Recorded,
    (at, id, session): (Timestamp, RecordId, Option<&str>),
    indent: usize,
) -> String {
    let session = session.map(|it| format!("  {}", visible_line(it)));
    let from = recorded.from.map(|from| format!("  {}", from.says())).unwrap_or_default();
    let session = session.unwrap_or_default() + &from;
    let before =
        format!("{}  {}  {}  ", screen.dim(&screen.time(at)), screen.dim(&id.short()), screen.kind(recorded.kind()),);
    let title = screen.fitted(&line_of(recorded.title()), indent + width_of(&before) + width_of(&session));
    format!("{before}{title}{}", screen.dim(&session))
}
