//! What `verify --remote` looks at: this home's lane on its remote.

use std::time::Instant;

use indelible::home::Home;
use indelible::sync::{Session, standing};

use super::{failure, stop};
use crate::cmd::Context;
use crate::exit::Failure;
use crate::output::count;

const WHAT: &str = "the remote could not be compared";

/// What is wrong with this home's lane on its remote.
///
/// # Errors
/// The exit code of a sync that cannot reach the remote.
pub fn check_lane(context: &Context, home: &Home) -> Result<Vec<String>, Failure> {
    let options = context.settings(home)?.sync()?;
    let look = || {
        let mut session = Session::open(home, &options, Instant::now() + options.timeout, stop())?;
        session.differs()
    };
    let mut lines = look().map_err(|error| failure(WHAT, &error))?;
    let standing = standing(home, &options).map_err(|error| failure(WHAT, &error))?;
    let (unpushed, held) = standing.map_or((0, 0), |it| (it.unpushed, it.held.len() as u64));
    if unpushed > 0 {
        lines.push(format!("{} not on the remote", count(unpushed, "record is", "records are")));
    }
    if held > 0 {
        lines.push(format!("{} held", count(held, "record is", "records are")));
    }
    Ok(lines)
}
