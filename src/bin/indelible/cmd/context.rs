//! `context`: what a session that starts in this folder is told.

use indelible::hook::Host;
use indelible::model::text::{counted, quoted, visible_line};
use indelible::pack::{Ask, Depth, Entry, LeftOut, Limits, Pack, pack, tokens};
use indelible::project::{self, Place};
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::reading::args::{self, ContextArgs};
use crate::{output, policy, reading};

const WHAT: &str = "nothing could be told";

pub fn run(context: &Context, args: &ContextArgs) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let view = reading::view(context, &home)?;
    let here = std::env::current_dir().ok();
    let place = here.and_then(|here| project::place(&here, policy::project_ids().as_deref()));
    let ask = Ask {
        place: place.as_ref(),
        host: settings.label(),
        task: args.task.as_deref(),
        domains: &args.domain,
        is_here_only: args.here,
        depth: args.depth.into(),
        limits: Limits::of(args.host.map(Host::from), args.budget),
    };
    let told = pack(&view, &ask).map_err(reading::failed(WHAT))?;
    reading::say_notes(context.json, &told.notes);
    let text = told.text();
    match (context.json, args.explain) {
        (true, _) => output::json(&data(&told, &text, place.as_ref())),
        (false, true) => explain(&told, &text, place.as_ref()),
        (false, false) if text.is_empty() => output::note("there is nothing to tell; --explain says why"),
        (false, false) => output::line(text.trim_end()),
    }
    Ok(if text.is_empty() { Exit::NOTHING_FOUND } else { Exit::Done })
}

impl From<args::Depth> for Depth {
    fn from(depth: args::Depth) -> Depth {
        match depth {
            args::Depth::Minimal => Depth::Minimal,
            args::Depth::Standard => Depth::Standard,
            args::Depth::Deep => Depth::Deep,
        }
    }
}

fn data(told: &Pack, text: &str, place: Option<&Place>) -> Value {
    let entry = |it: &Entry| {
        json!({ "id": it.id, "section": it.section, "line": it.line, "weight": it.weight,
            "tokens": rounded(it.tokens()), "why": it.why })
    };
    let left_out = |it: &LeftOut| json!({ "id": it.id, "title": it.title, "why": it.why });
    json!({
        "text": text,
        "project": place.map(|place| &place.project),
        "tokens": rounded(tokens(text)),
        "characters": text.chars().count(),
        "entries": told.entries.iter().map(entry).collect::<Vec<_>>(),
        "left_out": told.left_out.iter().map(left_out).collect::<Vec<_>>(),
        "notes": told.notes,
    })
}

fn explain(told: &Pack, text: &str, place: Option<&Place>) {
    match place {
        Some(place) => output::line(&format!("project: {}", visible_line(&place.project))),
        None => output::line("project: none, so only golden rules are told"),
    }
    let lines = counted(told.entries.len() as u64, "record", "records");
    let characters = counted(text.chars().count() as u64, "character", "characters");
    output::line(&format!("told: {lines}, about {} tokens, {characters}", rounded(tokens(text))));
    for it in &told.entries {
        output::line(&format!(
            "\n{}\n    {}; weight {:.3}, {} tokens",
            it.line,
            it.why,
            it.weight,
            rounded(it.tokens())
        ));
    }
    output::line(&format!("\nleft out: {}", counted(told.left_out.len() as u64, "record", "records")));
    for it in &told.left_out {
        output::line(&format!("{}  {}\n    {}", it.id.short(), quoted(&it.title), it.why));
    }
}

fn rounded(tokens: f64) -> u64 {
    tokens.ceil() as u64
}
