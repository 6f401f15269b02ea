//! `judge`: a verdict on a rule, by an agent that followed it or did not. It promotes nothing.

use indelible::home::Home;
use indelible::model::{Kind, Origin, Provenance, Record, RecordId, Request, Ruling, Verdict};
use indelible::query::{Named, Ruled, View, lookup, newest, rule};
use indelible::record::Recorder;
use indelible::rules::{Given, Standing};
use indelible::session::session_of;
use serde_json::{Value, json};

use super::super::protocol::shown;
use super::super::{limit, quoting};
use super::arguments::{Arguments, wrong};
use super::{Refusal, Session, Tool, is_id};
use crate::cmd::autostart;
use crate::exit::Failure;
use crate::{policy, reading};

/// What an agent can say of a rule.
const VERDICTS: [Ruling; 2] = [Ruling::Validated, Ruling::Violated];
const WHAT: &str = "the verdict was not kept";

pub const TOOL: Tool = Tool {
    name: "judge",
    title: "Judge a rule",
    description: "Say whether a rule of `search` held: validated if you followed it and it was right, violated if it was wrong \
                  or was not followed. A violation counts once a session; a validation once a project and day as well.",
    parameters,
    required: &["id", "verdict", "because"],
    is_read_only: false,
    call,
};

fn parameters() -> Value {
    json!({
        "id": { "type": "string", "description": "The rule's id" },
        "verdict": { "type": "string", "enum": VERDICTS.map(Ruling::name) },
        "because": { "type": "string", "description": "What happened, in one line" },
        "session": { "type": "string", "description": "This session's code of six letters, if you were told one" }
    })
}

fn call(session: &mut Session, arguments: &Arguments<'_>) -> Result<String, Refusal> {
    let name = arguments.required("verdict")?;
    let unknown = || wrong("verdict", &format!("has to be validated or violated; {} given", shown(name)));
    let ruling = VERDICTS.into_iter().find(|ruling| ruling.name() == name).ok_or_else(unknown)?;
    let because = arguments.required("because")?.trim().to_owned();
    let id = arguments.required("id")?;
    let (context, home) = session.open()?;
    let named = named_session(&home, arguments)?;
    let view = reading::view(&context, &home)?;
    let ruled = found(&view, id)?;
    let scope = newest(&view).map_err(reading::failed(WHAT))?.unwrap_or_default();
    // It reads in a transaction; the row goes in beside none.
    drop(view);
    let settings = context.settings(&home)?;
    let policy = policy::of_mcp(&settings, session.client.as_deref())?;
    let process = policy.sources.process.clone();
    let provenance = Provenance { session: named.clone(), ..Provenance::default() };
    let verdict = Verdict { verdict: ruling, of: ruled.recorded.id, because };
    let request = Request { record: Record::Verdict(verdict), key: None, provenance };
    request.check()?;
    let mut recorder = Recorder::new(&home, policy).map_err(|error| Failure::of(WHAT, &error))?;
    session.recorded = limit::count(home.private(), session.recorded)?;
    let receipt = recorder.judge(request).map_err(|error| Failure::of(WHAT, &error))?;
    context.count_passed(1);
    autostart::run(&home, &settings);
    let before = ruled.standing(scope);
    let mut after = ruled.clone();
    after.judged.given.push(Given {
        id: receipt.id,
        at: receipt.created_at,
        ruling,
        origin: Some(Origin::Agent),
        session: named,
        agent: process.agent,
        project: process.project,
        because: String::new(),
    });
    Ok(said(&ruled, ruling, &before, &after.standing(scope.max(receipt.created_at))))
}

fn said(ruled: &Ruled, ruling: Ruling, before: &Standing, after: &Standing) -> String {
    let Standing { state, confidence, tally, .. } = after;
    let counts = (tally.validated, tally.violated) != (before.tally.validated, before.tally.violated);
    let not_counted =
        if counts { "" } else { " Kept, but not counted: this session, or this project today, has said so already." };
    format!(
        "Kept, and on the disk: {ruling} {} {}. It is {state}, confidence {confidence:.2}, validated {}, violated {}.{not_counted}",
        ruled.recorded.id.short(),
        quoting::line(ruled.recorded.title()),
        tally.validated,
        tally.violated,
    )
}

/// The session that the argument `session` names by its code.
fn named_session(home: &Home, arguments: &Arguments<'_>) -> Result<Option<String>, Refusal> {
    let code = arguments.text("session")?.map(str::trim).filter(|code| !code.is_empty());
    let unknown = |code| wrong("session", &format!("{} is the code of no session here; leave it out", shown(code)));
    code.map(|code| session_of(home, code).ok_or_else(|| unknown(code))).transpose()
}

/// The rule that `id` names.
fn found(view: &View<'_>, id: &str) -> Result<Ruled, Refusal> {
    let refused = |why: &str| wrong("id", &format!("{} {why}", shown(id)));
    if !is_id(id) {
        return Err(refused("is no id"));
    }
    let id: RecordId = match lookup(view, id, None).map_err(reading::failed(WHAT))? {
        Named::One { id, .. } => id,
        Named::Several { .. } => return Err(refused("is the end of several ids")),
        Named::Nothing => return Err(refused("is not known")),
    };
    if let Some(ruled) = rule(view, id).map_err(reading::failed(WHAT))? {
        return Ok(ruled);
    }
    let kind = view.get(id, None).map_err(reading::failed(WHAT))?.visible().map(|it| it.kind());
    Err(match kind {
        Some(kind) => refused(&format!("is a record of kind {kind}; a verdict is about a rule ({})", Kind::Heuristic)),
        None => refused("was retracted"),
    })
}
