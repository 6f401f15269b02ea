//! `repair`: repairs what `verify` lists.

use indelible::hook::count;
use indelible::quarantine::Quarantine;
use indelible::target::search::Bound;
use indelible::verify::verify;
use serde_json::json;

use super::recover::{Recovered, recovered};
use super::{Context, recover};
use crate::exit::{Exit, Failure};
use crate::lost;
use crate::output;

const WHAT: &str = "the home is not repaired";

pub fn run(context: &Context, dismiss: bool, timeout_s: u64) -> Result<Exit, Failure> {
    let Recovered { home, settings, mut bars, report: mended, .. } =
        recovered(context, timeout_s, WHAT, Bound::Everything)?;
    let (dismissed, lost) = match dismiss {
        true => {
            let quarantine = Quarantine::new(&home).map_err(|error| Failure::of(WHAT, &error))?;
            let scripts = indelible::adopt::dismiss_replaced_scripts(&home);
            let scripts = scripts.map_err(|error| Failure::of(WHAT, &error))?;
            let lost = count::dismiss(home.private()).map_err(|error| Failure::of(WHAT, &error))? + lost::dismiss();
            (quarantine.dismiss().map_err(|error| Failure::of(WHAT, &error))? + scripts, lost)
        }
        false => (0, 0),
    };
    let left = verify(&home, &settings.history(), &mut bars).map_err(|error| Failure::of(WHAT, &error))?;
    let clean = left.is_clean() && mended.lost.is_empty();
    if context.json {
        output::json(&json!({ "mended": mended, "dismissed": dismissed, "lost_events_dismissed": lost, "left": left }));
    } else {
        recover::say(context, &mended);
        if dismissed > 0 {
            output::line(&output::count(
                dismissed as u64,
                "thing that waited for a person was dismissed",
                "things that waited for a person were dismissed",
            ));
        }
        if lost > 0 {
            output::line(&format!("{} of hooks dismissed", output::count(lost, "lost event", "lost events")));
        }
        super::verify::say(context, &left);
    }
    Ok(if clean { Exit::Done } else { Exit::Disagreement })
}
