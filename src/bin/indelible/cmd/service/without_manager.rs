//! A machine without a service manager, as a container: nothing there starts a worker at login.
//!
//! `service install` then sets `worker.autostart` for the home, unless the user has set it, so that recorders and hooks start a
//! worker where none runs; and starts one now. Killed in between, the setting is there, and the next recorder starts one.

use std::path::Path;

use indelible::model::text::{self, shell_path};
use serde_json::json;

use super::{NOT_INSTALLED, Service, worker_of};
use crate::args::ManagerName;
use crate::cmd::{Context, autostart, config};
use crate::exit::{Exit, Failure};
use crate::output;

const AUTOSTART: &str = "worker.autostart";

/// What a person can do for a worker.
pub fn todo(service: &Service) -> String {
    let home = shell_path(Path::new(&service.home));
    format!(
        "`indelible --home {home} worker --detach` starts a worker now; with `indelible --home {home} config set {AUTOSTART} \
         true`, recorders and hooks start one where none runs"
    )
}

/// Whether recorders and hooks start a worker for the home that the command uses.
pub fn starts_one(context: &Context) -> bool {
    let home = context.open("").ok();
    home.and_then(|home| context.settings(&home).ok()).is_some_and(|settings| settings.worker.autostart)
}

/// What starts a worker besides a manager, for people. `unread` is why no manager does.
pub fn starters(context: &Context, unread: Option<&str>) -> Vec<String> {
    let by_recorders = starts_one(context);
    let recorders = by_recorders.then(|| format!("recorders and hooks, where none runs ({AUTOSTART})"));
    let nothing = if by_recorders { "nothing else" } else { "nothing" };
    recorders.into_iter().chain(unread.map(|why| format!("{nothing} on this machine: {why}"))).collect()
}

/// Has recorders and hooks start the worker of `service`, and starts it now. `why` is why nothing else would, and `name` the
/// manager whose file could be written all the same.
///
/// # Errors
/// If the user has set `worker.autostart` to false, or a step fails.
pub fn install(context: &Context, service: &Service, name: ManagerName, why: &str) -> Result<Exit, Failure> {
    let home = context.open(NOT_INSTALLED)?;
    let nothing = format!("nothing on this machine would start it: {why}");
    let changed = config::set_unless_set(&home, AUTOSTART)?;
    if changed.is_none() && !context.settings(&home)?.worker.autostart {
        return Err(Failure::new(Exit::Usage, NOT_INSTALLED)
            .because(&std::io::Error::other(format!("{nothing}, and {AUTOSTART} is set to false")))
            .hint(format!(
                "`indelible worker --detach` starts a worker now; `indelible service install --manager {name}` writes the \
                 file all the same"
            )));
    }
    let other = worker_of(service);
    if other.is_none() {
        autostart::start(&home).map_err(|error| Failure::new(Exit::Io, NOT_INSTALLED).because(&error))?;
    }
    if context.json {
        output::json(&json!({
            "manager": null,
            "file": null,
            "home": service.home,
            "changed": changed.is_some(),
            "read": false,
            "started": other.is_none(),
            "autostart": true,
            "why_no_service": nothing,
        }));
        return Ok(Exit::Done);
    }
    output::line(&format!("{nothing}. So no service was installed."));
    let file = changed.map_or_else(String::new, |file| format!(", in {}", text::path(&file)));
    output::line(&format!(
        "Recorders and hooks start a worker of {} where none runs: {AUTOSTART} is true{file}.",
        service.home
    ));
    output::line(&output::hint(&match other {
        None => {
            "One was started now, as `indelible worker --detach` does; `indelible worker --stop` ends it.".to_owned()
        }
        Some(holder) => format!("One runs already: {holder}. `indelible worker --stop` ends it."),
    }));
    Ok(Exit::Done)
}
