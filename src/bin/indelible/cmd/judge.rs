//! `validate`, `violate`, `promote`, `demote`, `retire`, `revive`: a verdict on a rule.

use indelible::home::Home;
use indelible::hook::told_key;
use indelible::model::{Kind, PROVENANCE, Provenance, Record, RecordId, Request, Ruling, Verdict};
use indelible::query::{Named, Ruled, View, lookup, newest, rule};
use indelible::record::Receipt;
use indelible::rules::{Given, Standing, State};
use indelible::session::{SessionLog, session_of};
use serde_json::json;

use super::{Context, autostart, record};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::policy;
use crate::reading;
use crate::reading::screen::line_of;
use crate::verdict_args::VerdictArgs;

const WHAT: &str = "the verdict was not kept";

pub fn run(context: &Context, ruling: Ruling, args: &VerdictArgs) -> Result<Exit, Failure> {
    if ruling.is_promotion() && !policy::is_person() {
        return Err(no_person());
    }
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let of = found(&view, &args.id)?;
    let scope = newest(&view).map_err(reading::failed(WHAT))?.unwrap_or_default();
    let before = of.standing(scope);
    if let Some(state) = is_so(ruling, &before) {
        say_unchanged(context, &of, &before, state);
        return Ok(Exit::Done);
    }
    let session = session(&home, args);
    if ruling == Ruling::Validated && !policy::is_person() {
        check_told(&home, &of, session.as_deref())?;
    }
    let because = args.because.clone().unwrap_or_default();
    let id = of.recorded.id;
    let request = Request {
        record: Record::Verdict(Verdict { verdict: ruling, of: id, because }),
        key: None,
        provenance: Provenance { session: session.clone(), ..Provenance::default() },
    };
    // It reads in a transaction; the row goes in beside none.
    drop(view);
    let receipt = kept(context, &home, request, ruling)?;
    let after = after(of.clone(), &receipt, ruling, session, scope);
    say(context, &of, &receipt, ruling, (&before, &after));
    Ok(Exit::Done)
}

/// Records the verdict `ruling` on the rule `id`, in this process's name. It prints nothing.
///
/// # Errors
/// Why it was not kept.
pub(super) fn give(context: &Context, home: &Home, id: RecordId, ruling: Ruling) -> Result<(), Failure> {
    let request = Request {
        record: Record::Verdict(Verdict { verdict: ruling, of: id, because: String::new() }),
        key: None,
        provenance: Provenance::default(),
    };
    kept(context, home, request, ruling).map(drop)
}

/// Records the verdict.
fn kept(context: &Context, home: &Home, request: Request, ruling: Ruling) -> Result<Receipt, Failure> {
    let settings = record::settings(context, home, false)?;
    let mut recorder = record::recorder(home, &settings, false)?;
    let receipt = match ruling.is_promotion() {
        true => recorder.judge_for_person(request),
        false => recorder.judge(request),
    };
    let receipt = receipt.map_err(|error| Failure::of(WHAT, &error))?;
    context.count_passed(1);
    autostart::run(home, &settings);
    Ok(receipt)
}

/// The rule that `text` names.
fn found(view: &View<'_>, text: &str) -> Result<Ruled, Failure> {
    let folder = std::env::current_dir().ok();
    let refused = |why: String| Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(why));
    let id: RecordId = match lookup(view, text, folder.as_deref()).map_err(reading::failed(WHAT))? {
        Named::One { id, .. } => id,
        Named::Several { ids, is_more } => {
            let what = format!("{} is the end of several ids; name more of one", line_of(text));
            return Err(Failure::ambiguous(what, reading::candidates(ids.iter().map(RecordId::to_string), is_more)));
        }
        Named::Nothing => {
            let failure =
                refused(format!("no rule here has the id, the end of an id, or the path {:?}", line_of(text)));
            return Err(failure.hint("`indelible list heuristic` shows the newest rules"));
        }
    };
    if let Some(ruled) = rule(view, id).map_err(reading::failed(WHAT))? {
        return Ok(ruled);
    }
    let kind = view.get(id, None).map_err(reading::failed(WHAT))?.visible().map(|it| it.kind());
    Err(refused(match kind {
        Some(kind) => format!("{id} is of kind {kind}; a verdict is about a rule ({})", Kind::Heuristic),
        None => format!("{id} was retracted or erased, or is not known here"),
    }))
}

/// The failure of a promotion that no person asks for at a terminal.
fn no_person() -> Failure {
    let why = "a golden rule is told to agents unasked, so only a person can promote it, at a terminal; there is no \
               terminal here, or an agent opened it";
    let failure = Failure::new(Exit::Refused, WHAT).because(&std::io::Error::other(why));
    failure.hint("run `indelible promote ID` yourself; `indelible review` shows what could be promoted")
}

/// Checks that `session` was told of the rule `of`, if a session is named: one that was not cannot say that the rule held.
fn check_told(home: &Home, of: &Ruled, session: Option<&str>) -> Result<(), Failure> {
    let Some(session) = session else { return Ok(()) };
    if SessionLog::of(home, session, None).was_told(&told_key(of.recorded.title())) {
        return Ok(());
    }
    let why = format!("the session {} was not told of this rule: it can violate it, not validate it", line_of(session));
    let failure = Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(why));
    Err(failure.hint("without a session, a validation counts once a project and day"))
}

/// The session that the verdict is given in. What is said may be its code.
fn session(home: &Home, args: &VerdictArgs) -> Option<String> {
    let spec = PROVENANCE.iter().find(|spec| spec.name == "session");
    let variable = || spec.and_then(|spec| std::env::var(spec.variable(Kind::Verdict)).ok());
    let said = args.session.clone().or_else(variable).filter(|session| !session.trim().is_empty())?;
    Some(session_of(home, said.trim()).unwrap_or(said))
}

/// The state that a rule has already, if the verdict would say only that.
fn is_so(ruling: Ruling, standing: &Standing) -> Option<&'static str> {
    let is_golden = standing.tally.promoted == Some(true);
    match ruling {
        Ruling::Promoted if is_golden && !standing.tally.is_everywhere => Some("golden"),
        Ruling::PromotedEverywhere if is_golden && standing.tally.is_everywhere => Some("golden everywhere"),
        Ruling::Retired if standing.state == State::Retired => Some("retired"),
        Ruling::Revived if standing.state != State::Retired => Some("not retired"),
        _ => None,
    }
}

/// The standing of `of` with the verdict that was kept.
fn after(
    mut of: Ruled,
    receipt: &Receipt,
    ruling: Ruling,
    session: Option<String>,
    scope: jiff::Timestamp,
) -> Standing {
    let mine = policy::of_this_process();
    let given = Given {
        id: receipt.id,
        at: receipt.created_at,
        ruling,
        origin: mine.origin,
        session,
        agent: mine.agent,
        project: mine.project,
        because: String::new(),
    };
    of.judged.given.push(given);
    of.standing(scope.max(receipt.created_at))
}

fn say_unchanged(context: &Context, of: &Ruled, standing: &Standing, state: &str) {
    if context.json {
        output::json(&json!({
            "id": null, "of": of.recorded.id, "changed": false,
            "state": standing.state, "confidence": standing.confidence,
        }));
    } else {
        output::line(&format!("already {state}: {} {}", of.recorded.id.short(), line_of(of.recorded.title())));
    }
}

fn say(context: &Context, of: &Ruled, receipt: &Receipt, ruling: Ruling, (before, after): (&Standing, &Standing)) {
    let counts = match ruling {
        Ruling::Validated => after.tally.validated > before.tally.validated,
        Ruling::Violated => after.tally.violated > before.tally.violated,
        _ => true,
    };
    if context.json {
        let mut data = json!(receipt);
        data["verdict"] = json!(ruling);
        data["of"] = json!(of.recorded.id);
        data["changed"] = true.into();
        data["counts"] = counts.into();
        data["state"] = json!(after.state);
        data["confidence"] = json!(after.confidence);
        data["validated"] = after.tally.validated.into();
        data["violated"] = after.tally.violated.into();
        output::json(&data);
        return;
    }
    output::line(&format!("{ruling}: {} {}", of.recorded.id.short(), line_of(of.recorded.title())));
    let Standing { state, confidence, tally, .. } = after;
    output::line(&format!(
        "  {state}, confidence {confidence:.2}, validated {}, violated {}",
        tally.validated, tally.violated
    ));
    if !counts {
        output::line("  kept, but not counted: this session, or this day, has said so already");
    }
}
