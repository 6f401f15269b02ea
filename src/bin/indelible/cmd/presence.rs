//! `retract` and `restore`: take records out of files, rows, pages and search, and bring them back.
//!
//! What can refuse one of the records is found before the journal is written, so all of them change or none does. From then on
//! the command exits 0: a running worker applies the operations, or this process does.

use std::time::Duration;

use indelible::home::Home;
use indelible::model::RecordId;
use indelible::query::{Named, Seen, View, lookup};
use indelible::revise::{Asked, Planned, Reviser};
use indelible::target::search::Bound;
use indelible::worker::Want;
use serde_json::{Value, json};

use super::Context;
use super::flush::Job;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::policy;
use crate::presence_args::PresenceCommand;
use crate::reading;
use crate::reading::screen::line_of;
use crate::settings::Settings;

const WHAT: &str = "nothing was changed";
/// How long the command waits for a running worker. What is kept happens even if that takes longer.
const APPLY_WAIT: Duration = Duration::from_secs(5);

/// What is asked for.
struct Change<'c> {
    ids: &'c [String],
    because: Option<&'c str>,
    asked: Asked,
    /// What a record is then.
    done: &'static str,
    /// What a record is that does not change.
    already: &'static str,
}

impl PresenceCommand {
    fn change(&self) -> Change<'_> {
        match self {
            PresenceCommand::Retract(args) => Change {
                ids: &args.ids,
                because: args.because.as_deref(),
                asked: Asked::Retract,
                done: "retracted",
                already: "already retracted",
            },
            PresenceCommand::Restore(args) => Change {
                ids: &args.ids,
                because: None,
                asked: Asked::Restore,
                done: "restored",
                already: "already there",
            },
        }
    }
}

pub fn run(context: &Context, command: &PresenceCommand) -> Result<Exit, Failure> {
    let change = command.change();
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = Reviser::new(&home, policy::of_command(&settings, false)?.redaction);
    let view = reading::view(context, &home)?;
    let ids = found(&view, change.ids)?;
    let plan = |(id, path): &(RecordId, Option<String>)| {
        let planned = reviser.plan(&view, *id, path.as_deref(), &change.asked, change.because);
        planned.map_err(|error| Failure::of(WHAT, &error))
    };
    let planned = ids.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    // What is applied must not wait for a reader of this process.
    drop(view);
    let is_kept = reviser.keep(&planned).map_err(|error| Failure::of(WHAT, &error))?;
    let late = is_kept.then(|| apply(&home, &settings).err()).flatten();
    let after = reading::view(context, &home)?;
    say(context, &change, &planned, &after);
    if let Some(failure) = late {
        let cause = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
        output::say(&format!("it is kept, and not in every store yet{cause}"));
        return Ok(Exit::Done);
    }
    match change.asked {
        Asked::Restore => check_back(&planned, &after),
        _ => Ok(Exit::Done),
    }
}

/// The records that `texts` name, each once.
///
/// # Errors
/// Exit 65 if a text names no record, or several.
fn found(view: &View<'_>, texts: &[String]) -> Result<Vec<(RecordId, Option<String>)>, Failure> {
    let folder = std::env::current_dir().ok();
    let refused = |why: String| Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(why));
    let mut found: Vec<(RecordId, Option<String>)> = Vec::new();
    for text in texts {
        match lookup(view, text, folder.as_deref()).map_err(reading::failed(WHAT))? {
            Named::One { id, path } if found.iter().all(|(known, _)| *known != id) => found.push((id, path)),
            Named::One { .. } => {}
            Named::Several(ids) => {
                let mut failure = refused(format!("{} is the end of several ids; name more of one", line_of(text)));
                failure.causes.extend(ids.iter().map(|id| candidate(view, *id)));
                return Err(failure);
            }
            Named::Nothing => {
                let why = format!("{} is the id, the end of an id, or the path of no record here", line_of(text));
                return Err(refused(why).hint(
                    "`indelible list` shows the newest records, and `indelible list --state \
                                              retracted` what was retracted",
                ));
            }
        }
    }
    Ok(found)
}

/// A record that a text could mean.
fn candidate(view: &View<'_>, id: RecordId) -> String {
    let title = view.get(id, None).ok().and_then(Seen::visible);
    let title = title.map(|it| format!("  {}: {}", it.kind(), line_of(it.title()))).unwrap_or_default();
    format!("{id}{title}")
}

/// Applies what was kept, by a running worker or by this process.
fn apply(home: &Home, settings: &Settings) -> Result<(), Failure> {
    let what = "it is not applied yet";
    Job { home, settings, want: Want::Flush, what, search: Bound::Slice }.run(APPLY_WAIT, &mut ()).map(drop)
}

fn say(context: &Context, change: &Change<'_>, planned: &[Planned], after: &View<'_>) {
    if context.json {
        let records: Vec<Value> = planned.iter().map(|it| data(it, after)).collect();
        output::json(&json!({ change.done: records.len(), "records": records }));
        return;
    }
    for it in planned {
        let recorded = it.before.clone().or_else(|| after.get(it.id, None).ok().and_then(Seen::visible));
        let title = recorded.map(|it| format!(" {}", line_of(it.title()))).unwrap_or_default();
        let word = if it.op.is_some() { change.done } else { change.already };
        output::line(&format!("{word}: {}{title}", it.id.short()));
    }
    if change.asked == Asked::Retract && planned.iter().any(|it| it.op.is_some()) {
        let ids: Vec<String> = planned.iter().map(|it| it.id.short()).collect();
        output::say(&output::hint(&format!("`indelible restore {}` brings it back", ids.join(" "))));
    }
}

fn data(planned: &Planned, after: &View<'_>) -> Value {
    let recorded = after.get(planned.id, None).ok().and_then(Seen::visible);
    let path = recorded.as_ref().map(|it| it.path.clone());
    let (kind, row_id) = (recorded.as_ref().map(|it| it.kind()), recorded.as_ref().and_then(|it| it.row_id));
    let kind = kind.or(planned.before.as_ref().map(|it| it.kind()));
    json!({
        "id": planned.id,
        "kind": kind,
        "changed": planned.op.is_some(),
        "revision": planned.op.as_ref().map(|op| op.revision()),
        "path": path,
        "row_id": row_id,
    })
}

/// Checks that every record is back: the bytes of one can be gone from git, too.
fn check_back(planned: &[Planned], after: &View<'_>) -> Result<Exit, Failure> {
    for it in planned {
        let seen = after.get(it.id, None).map_err(reading::failed("the result could not be looked at"))?;
        if seen.visible().is_none() {
            let why = format!("git has no page of {}: the operation waits in quarantine", it.id);
            let failure = Failure::new(Exit::Disagreement, "not every record is back");
            return Err(failure.because(&std::io::Error::other(why)).hint("`indelible status` names it"));
        }
    }
    Ok(Exit::Done)
}
