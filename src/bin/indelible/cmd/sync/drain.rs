//! `drain`: commits what is pending, and pushes until the remote has acknowledged all of it.

use indelible::sync::Asked;

use super::{NOT_SYNCED, Outcome};
use crate::cmd::Context;
use crate::exit::{Exit, Failure};
use crate::settings::seconds;
use crate::sync_args::DrainArgs;

pub fn run(context: &Context, args: &DrainArgs) -> Result<Exit, Failure> {
    let home = context.open(NOT_SYNCED)?;
    let settings = context.settings(&home)?;
    // What was acknowledged once can be gone: the promise is about what the remote has now.
    let asked = Asked { close: args.close, compare: true, ..Asked::default() };
    let outcome = Outcome::of(&home, &settings, asked, seconds(args.timeout), u32::MAX, NOT_SYNCED)?;
    outcome.say(context)
}
