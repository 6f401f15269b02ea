//! `record`: keeps something, and answers once it is on the disk.

use indelible::model::{Kind, Provenance, Record, Request};
use indelible::record::{Receipt, Recorder};
use serde_json::{Value, json};

use super::super::limit;
use super::super::protocol::shown;
use super::arguments::{Arguments, wrong};
use super::{Refusal, Session, Tool};
use crate::cmd::autostart;
use crate::exit::Failure;
use crate::policy;

/// The kinds that the tool takes, by name: an experiment needs more than a call has.
const KINDS: [&str; 4] = ["failure", "success", "observation", "heuristic"];
const WHAT: &str = "the record was not kept";

pub const TOOL: Tool = Tool {
    name: "record",
    title: "Record what was learned",
    description: "Keep what a later session should know: a failure and its cause, what worked, a rule. Answers once it is \
                  on the disk. Search first; no secrets, and nothing that search returned.",
    parameters,
    required: &["kind", "domain"],
    is_read_only: false,
    call,
};

fn parameters() -> Value {
    json!({
        "kind": { "type": "string", "enum": KINDS },
        "title": { "type": "string", "description": "One line; for all kinds but heuristic" },
        "rule": { "type": "string", "description": "The rule in one line; for heuristic" },
        "domain": { "type": "string", "description": "What it is about, as in ci" },
        "summary": { "type": "string", "description": "The whole story, or why; markdown" },
        "severity": { "type": "integer", "minimum": 1, "maximum": 5 },
        "tags": { "type": "array", "items": { "type": "string" } },
        "confidence": { "type": "number", "minimum": 0, "maximum": 1, "description": "For heuristic" },
        "key": { "type": "string", "description": "The same key again makes no second record" }
    })
}

fn call(session: &mut Session, arguments: &Arguments<'_>) -> Result<String, Refusal> {
    let request = request(arguments)?;
    let (context, home) = session.open()?;
    // As a hook does, and unlike the command: without the user's patterns of secrets nothing is recorded.
    let settings = context.settings(&home)?;
    let policy = policy::of_mcp(&settings, session.client.as_deref())?;
    let mut recorder = Recorder::new(&home, policy).map_err(|error| Failure::of(WHAT, &error))?;
    session.recorded = limit::count(home.private(), session.recorded)?;
    let receipt = recorder.record(request).map_err(|error| Failure::of(WHAT, &error))?;
    context.count_passed(usize::from(!receipt.duplicate));
    autostart::run(&home, &settings);
    Ok(said(&receipt))
}

fn said(receipt: &Receipt) -> String {
    let id = format!("{} {} ({})", receipt.kind, receipt.id.short(), receipt.id);
    match (receipt.state, receipt.duplicate) {
        (Some(state), _) => format!("The key was used before, and that record {} since: {id}", state.name()),
        (None, true) => format!("Already recorded with this key: {id}{}", differs(receipt)),
        (None, false) => format!("Recorded, and on the disk: {id}"),
    }
}

/// A line that names the parameters in which the record with the key differs; empty if none does.
fn differs(receipt: &Receipt) -> String {
    let names: Vec<&str> = receipt.differs.iter().map(|field| parameter_of(field)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("\nIt says something else in {}, and stays as it is.", names.join(", ")),
    }
}

/// The parameter that a field is called by.
fn parameter_of(field: &str) -> &str {
    if field == "explanation" { "summary" } else { field }
}

fn request(arguments: &Arguments<'_>) -> Result<Request, Refusal> {
    let name = arguments.required("kind")?;
    let unknown = || wrong("kind", &format!("has to be one of {}; {} given", KINDS.join(", "), shown(name)));
    let kind: Kind = name.parse().ok().filter(|_| KINDS.contains(&name)).ok_or_else(unknown)?;
    let is_rule = kind == Kind::Heuristic;
    let other: &[&str] = if is_rule { &["title", "severity", "tags"] } else { &["rule", "confidence"] };
    for other in other {
        if arguments.is_given(other) {
            return Err(wrong(
                other,
                &format!("a {kind} has none; its line is in `{}`", if is_rule { "rule" } else { "title" }),
            ));
        }
    }
    let record = Record::build(kind, |spec| match spec.name {
        "title" | "rule" | "domain" => arguments.required(spec.name).map(|text| Some(text.trim().to_owned())),
        "summary" | "explanation" => Ok(arguments.text("summary")?.map(str::to_owned)),
        "severity" | "confidence" => arguments.text_or_number(spec.name),
        "tags" => Ok(Some(arguments.texts("tags")?.join(","))),
        "source" => Ok(Some("observation".to_owned())),
        _ => Ok(None),
    })?;
    let key = arguments.text("key")?.map(str::to_owned);
    let request = Request { record, key, provenance: Provenance::default() };
    request.check()?;
    Ok(request)
}

impl From<indelible::model::Invalid> for Refusal {
    fn from(invalid: indelible::model::Invalid) -> Refusal {
        wrong(parameter_of(invalid.field), &invalid.problem)
    }
}
