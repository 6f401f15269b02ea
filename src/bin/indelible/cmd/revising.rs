//! What the commands share that change records: find the records that are named, plan, keep, and have it applied.
//!
//! Nothing is kept before every record is found and every operation is planned: several are all or none. Once they are kept, the
//! exit code is 0, whatever becomes of applying them: the worker does that, now or later.

use indelible::home::Home;
use indelible::model::RecordId;
use indelible::query::{Named, View, lookup};
use indelible::revise::{Asked, Planned, Reviser};
use indelible::target::search::{Bound, SEARCH_MAX};
use indelible::worker::Want;

use super::flush::Job;
use super::{Context, autostart};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::policy;
use crate::reading;
use crate::reading::screen::line_of;
use crate::settings::{Settings, milliseconds};

/// A record that a command names.
pub struct Target {
    /// Its id.
    pub id: RecordId,
    /// Its page, if it was named by that.
    pub path: Option<String>,
}

/// The reviser of a command.
pub fn reviser<'h>(home: &'h Home, settings: &Settings, redact: bool) -> Result<Reviser<'h>, Failure> {
    Ok(Reviser::new(home, policy::of_command(settings, redact)?.redaction))
}

/// The records that `texts` name, each once. Fails if one of them names none, or several: then every such text is in the failure.
pub fn targets(view: &View<'_>, texts: &[String], what: &'static str) -> Result<Vec<Target>, Failure> {
    let folder = std::env::current_dir().ok();
    let (mut found, mut causes): (Vec<Target>, Vec<String>) = (Vec::new(), Vec::new());
    for text in texts {
        match lookup(view, text, folder.as_deref()).map_err(reading::failed(what))? {
            Named::One { id, path } if found.iter().all(|target| target.id != id) => found.push(Target { id, path }),
            Named::One { .. } => {}
            Named::Several { ids, is_more } => {
                causes.push(format!("{} is the end of several ids; name more of one", line_of(text)));
                causes.extend(reading::candidates(ids.into_iter().map(|id| candidate(view, id)), is_more));
            }
            Named::Nothing if text.trim().is_empty() => {
                causes.push("an empty text is the id of no record; is a variable of the script not set?".to_owned());
            }
            Named::Nothing => {
                causes.push(format!("{} is the id, the end of an id, or the path of no record here", line_of(text)));
            }
        }
    }
    if causes.is_empty() {
        return Ok(found);
    }
    let mut failure = Failure::new(Exit::Input, what);
    failure.causes = causes;
    Err(failure.hint("nothing was changed; `indelible list` shows the newest records"))
}

/// A record that a text may mean.
fn candidate(view: &View<'_>, id: RecordId) -> String {
    let title = view.get(id, None).ok().and_then(|seen| seen.visible());
    let title = title.map(|it| format!("  {}: {}", it.kind(), line_of(it.title()))).unwrap_or_default();
    format!("{id}{title}")
}

/// Plans what `asked` says for all of `targets`. Fails if one of them is refused: then every refusal is in the failure.
pub fn plan(
    reviser: &Reviser<'_>,
    view: &View<'_>,
    targets: &[Target],
    asked: &Asked,
    because: Option<&str>,
    what: &'static str,
) -> Result<Vec<Planned>, Failure> {
    let mut planned = Vec::with_capacity(targets.len());
    let mut refused: Option<Failure> = None;
    for Target { id, path } in targets {
        match (reviser.plan(view, *id, path.as_deref(), asked, because), &mut refused) {
            (Ok(it), _) => planned.push(it),
            (Err(error), None) => refused = Some(Failure::of(what, &error)),
            (Err(error), Some(refused)) => refused.causes.extend(Failure::of(what, &error).causes),
        }
    }
    refused.map_or(Ok(planned), Err)
}

/// Keeps the operations of `planned`, and has them applied. Returns whether that is done; `false` if the worker does it later, and
/// if there was nothing to do.
pub fn keep(
    context: &Context,
    home: &Home,
    settings: &Settings,
    reviser: &Reviser<'_>,
    planned: &[Planned],
    what: &'static str,
) -> Result<bool, Failure> {
    if !reviser.keep(planned).map_err(|error| Failure::of(what, &error))? {
        return Ok(false);
    }
    let wait = milliseconds(settings.record.apply_wait_ms);
    let job = Job { home, settings, want: Want::Flush, what, search: Bound::Time(SEARCH_MAX) };
    let applied = job.run(wait, &mut ());
    if let Err(failure) = &applied {
        tracing::debug!(causes = ?failure.causes, "an operation is left to the worker");
        if !context.json && !context.quiet {
            output::note("note: it is kept, and readers see it; files, rows and git follow when a worker has done it");
        }
        autostart::run(home, settings);
    }
    Ok(applied.is_ok())
}
