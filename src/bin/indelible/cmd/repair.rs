//! `repair`: mends what `verify` lists.

use indelible::store::quarantine::Quarantine;
use indelible::verify::verify;
use indelible::worker::Want;
use serde_json::json;

use super::flush::Job;
use super::recover::open_or_mend;
use super::{Context, recover};
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars, count};

const WHAT: &str = "the home is not repaired";

pub fn run(context: &Context, dismiss: bool, timeout_s: u64) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = open_or_mend(context, WHAT)?;
    let settings = context.settings(&home)?;
    let mut bars = Bars::new(context.json);
    let job = Job { home: &home, settings: &settings, want: Want::Recover, what: WHAT };
    let done = job.run(crate::settings::seconds(timeout_s), &mut bars)?;
    let mended = done.report.unwrap_or_default();
    let dismissed = match dismiss {
        true => {
            let quarantine = Quarantine::new(&home).map_err(|error| Failure::of(WHAT, &error))?;
            quarantine.dismiss().map_err(|error| Failure::of(WHAT, &error))?
        }
        false => 0,
    };
    let left = verify(&home, &settings.history(), &mut bars).map_err(|error| Failure::of(WHAT, &error))?;
    let clean = left.is_clean() && mended.lost.is_empty();
    if context.json {
        output::json(&json!({ "mended": mended, "dismissed": dismissed, "left": left }));
    } else {
        recover::say(context, &mended);
        if dismissed > 0 {
            output::line(&count(
                dismissed as u64,
                "thing in quarantine was dismissed",
                "things in quarantine were dismissed",
            ));
        }
        super::verify::say(context, &left);
    }
    Ok(if clean { Exit::Done } else { Exit::Disagreement })
}
