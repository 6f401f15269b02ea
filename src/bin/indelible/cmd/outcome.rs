//! `record outcome`: ends an experiment. It is an amendment of the experiment, so it goes the way of `amend`: planned from what
//! readers see, appended and synced, applied by the holder of the worker's lock.

use indelible::model::{ExperimentResult, Field, Invalid, Kind};
use indelible::query::{Selection, Sort, State, States, View, list};
use indelible::revise::{Asked, Planned};
use indelible::rules;
use indelible::search::Filter;
use serde_json::json;

use super::amend::NOT_SEEN;
use super::unapplied::{self, note_left, unapplied};
use super::{Context, record, revising};
use crate::amend_args::OutcomeArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading;
use crate::reading::screen::line_of;

const WHAT: &str = "the experiment was not ended";
/// How many experiments are named that could be meant.
const CANDIDATES_MAX: usize = 5;

pub fn run(context: &Context, args: OutcomeArgs, redact: bool) -> Result<Exit, Failure> {
    let OutcomeArgs { experiment, result, summary } = args;
    let invalid = |error: Invalid| Failure::new(Exit::Input, WHAT).because(&error);
    let result: ExperimentResult = result.parse().map_err(invalid)?;
    let mut fields = vec![(Field::Result, result.name().to_owned())];
    if let Some(summary) = summary {
        let text = match summary == "-" {
            true => {
                record::stdin("summary").map_err(|record::Refused(failure)| Failure { what: WHAT.into(), ..failure })?
            }
            false => {
                summary.into_string().map_err(|_| invalid(Invalid::new("summary", "must be UTF-8, and is not")))?
            }
        };
        fields.push((Field::Outcome, text));
    }
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = revising::reviser(&home, &settings, redact)?;
    let planned = {
        let view = reading::view(context, &home)?;
        let named = [experiment];
        let targets = revising::targets(&view, &named, WHAT).map_err(|failure| with_open(&view, failure))?;
        if let Some(target) = targets.first()
            && let Some(other) = view.get(target.id, target.path.as_deref()).map_err(reading::failed(WHAT))?.visible()
            && other.kind() != Kind::Experiment
        {
            let why = format!("{} is no experiment: {}: {}", other.id, other.kind(), line_of(other.title()));
            let failure = Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(why));
            return Err(with_open(&view, failure));
        }
        revising::plan(&reviser, &view, &targets, &Asked::Fields(fields), None, WHAT)?
    };
    let applied = revising::keep(context, &home, &settings, &reviser, &planned, WHAT)?;
    let unapplied = if applied { unapplied(&home, &planned, NOT_SEEN)? } else { Vec::new() };
    planned.iter().filter(|it| !unapplied.iter().any(|other| other.is_parked && other.id == it.id)).for_each(|it| {
        say(context, it, result, applied && unapplied.is_empty());
    });
    if !context.json {
        note_left(&unapplied);
    }
    unapplied::check(&unapplied, "the experiment has not ended")
}

/// `failure` with the experiments that are under way, one of which may be meant.
fn with_open(view: &View<'_>, mut failure: Failure) -> Failure {
    let open = || {
        let states = States::of(view, &[State::Rule(rules::State::Active)]).ok()?;
        let filter = Filter { kinds: vec![Kind::Experiment], ..Filter::default() };
        let (states, limit, count_max) = (Some(&states), CANDIDATES_MAX, Some(0));
        let wanted = Selection { filter: &filter, states, sort: Sort::Newest, limit, count_max };
        list(view, wanted).ok()?.records(view).ok()
    };
    let open = open().unwrap_or_default();
    let named = open.iter().map(|it| format!("under way: {}  {}", it.id, line_of(it.title())));
    failure.causes.extend(named);
    failure.is_list = true;
    failure.hint("nothing was changed; `indelible list experiment --state active` shows what is under way")
}

/// Says what became of the experiment.
fn say(context: &Context, planned: &Planned, result: ExperimentResult, applied: bool) {
    let Planned { id, before, changes, op, .. } = planned;
    let Some(before) = before else { return };
    let changed = op.is_some();
    if context.json {
        output::json(&json!({
            "id": id, "kind": before.kind(), "path": before.path, "row_id": before.row_id,
            "created_at": format!("{:.3}", before.created_at), "duplicate": !changed, "result": result,
            "revision": op.as_ref().map_or(before.revision(), |op| op.revision()), "applied": applied,
        }));
        return;
    }
    let was = before.field(Field::Result).unwrap_or_default();
    let line = match (changed, was.as_ref()) {
        (false, _) => format!("unchanged: experiment {id} has ended already: {result}"),
        (true, "") => format!("ended: experiment {id}: {result}, in {}", before.path),
        (true, was) if was == result.name() => format!("amended: the outcome of experiment {id}, in {}", before.path),
        (true, was) => format!("amended: experiment {id} was {was}, and is {result} now, in {}", before.path),
    };
    output::line(&line);
    let kept = changed && !changes.iter().any(|change| change.field == "outcome");
    let says = before.field(Field::Outcome).is_some_and(|text| !text.is_empty());
    if kept && says && !was.is_empty() {
        output::line("  what was said of it before stays; --summary says something else");
    }
}
