//! `retract` and `restore`: take records out of files, rows, pages and search, and bring them back.
//!
//! What can refuse one of the records is found before the journal is written, so all of them change or none does. From then on
//! the command exits 0, and a running worker applies the operations, or this process does. One that could not be applied is named: exit 1.

use indelible::page::Presence;
use indelible::query::{Seen, View};
use indelible::revise::{Asked, Planned};
use serde_json::{Value, json};

use super::unapplied::{self, Unapplied, unapplied};
use super::{Context, erase, revising};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::presence_args::PresenceCommand;
use crate::reading;
use crate::reading::screen::line_of;

const WHAT: &str = "nothing was changed";
const NOT_SEEN: &str = "it is kept, and what became of it could not be looked at";

/// What is asked for.
struct Change<'c> {
    ids: &'c [String],
    because: Option<&'c str>,
    asked: Asked,
    /// What a record is then.
    done: &'static str,
    /// What a record is that does not change.
    already: &'static str,
    /// The failure of one that should change, and waits in quarantine.
    not_all: &'static str,
}

impl PresenceCommand {
    /// `None` for `erase`.
    fn change(&self) -> Option<Change<'_>> {
        Some(match self {
            PresenceCommand::Retract(args) => Change {
                ids: &args.ids,
                because: args.because.as_deref(),
                asked: Asked::Retract,
                done: "retracted",
                already: "already retracted",
                not_all: "not every record is retracted",
            },
            PresenceCommand::Restore(args) => Change {
                ids: &args.ids,
                because: None,
                asked: Asked::Restore,
                done: "restored",
                already: "already there",
                not_all: "not every record is back",
            },
            PresenceCommand::Erase(_) => return None,
        })
    }
}

pub fn run(context: &Context, command: &PresenceCommand) -> Result<Exit, Failure> {
    let change = match (command.change(), command) {
        (Some(change), _) => change,
        (None, PresenceCommand::Erase(args)) => return erase::run(context, args),
        (None, _) => return Ok(Exit::Done),
    };
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = revising::reviser(&home, &settings, false)?;
    let view = reading::view(context, &home)?;
    let targets = revising::targets(&view, change.ids, WHAT)?;
    let planned = revising::plan(&reviser, &view, &targets, &change.asked, change.because, WHAT)?;
    // What is applied must not wait for a reader of this process.
    drop(view);
    let is_applied = revising::keep(context, &home, &settings, &reviser, &planned, WHAT)?;
    let unapplied = if is_applied { unapplied(&home, &planned, NOT_SEEN)? } else { Vec::new() };
    let after = reading::view(context, &home)?;
    say(context, &change, &planned, &after, &unapplied);
    unapplied::check(&unapplied, change.not_all)
}

fn say(context: &Context, change: &Change<'_>, planned: &[Planned], after: &View<'_>, unapplied: &[Unapplied]) {
    let is_parked = |it: &Planned| unapplied.iter().any(|other| other.id == it.id);
    let is_changed = |it: &&Planned| it.op.is_some() && !is_parked(it);
    if context.json {
        let records: Vec<Value> = planned.iter().map(|it| data(it, after, is_changed(&it))).collect();
        let parked = planned.iter().filter(|it| is_parked(it)).count();
        output::json(&json!({ change.done: records.len() - parked, "records": records }));
        return;
    }
    for it in planned {
        let recorded = it.before.clone().or_else(|| after.get(it.id, None).ok().and_then(Seen::visible));
        let title = recorded.map(|it| format!(" {}", line_of(it.title()))).unwrap_or_default();
        let word = match it.op.is_some() {
            true if is_parked(it) => continue,
            true => change.done,
            false if it.mark.as_ref().is_some_and(|mark| mark.state == Presence::Erased) => "already erased",
            false => change.already,
        };
        output::line(&format!("{word}: {}{title}", it.id.short()));
    }
    if change.asked == Asked::Retract && planned.iter().any(|it| is_changed(&it)) {
        let ids: Vec<String> = planned.iter().filter(is_changed).map(|it| it.id.short()).collect();
        let what = if ids.len() == 1 { "it" } else { "them" };
        output::note(&output::hint(&format!("`indelible restore {}` brings {what} back", ids.join(" "))));
    }
}

fn data(planned: &Planned, after: &View<'_>, is_changed: bool) -> Value {
    let recorded = after.get(planned.id, None).ok().and_then(Seen::visible);
    let path = recorded.as_ref().map(|it| it.path.clone());
    let (kind, row_id) = (recorded.as_ref().map(|it| it.kind()), recorded.as_ref().and_then(|it| it.row_id));
    let kind = kind.or(planned.before.as_ref().map(|it| it.kind()));
    json!({
        "id": planned.id,
        "kind": kind,
        "changed": is_changed,
        "revision": planned.op.as_ref().filter(|_| is_changed).map(|op| op.revision()),
        "path": path,
        "row_id": row_id,
    })
}
