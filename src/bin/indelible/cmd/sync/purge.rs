//! What `erase` does on the remote: a sync, which takes what was erased out of all that was pushed.

use indelible::home::Home;
use indelible::sync::{self, Asked};
use serde::Serialize;

use super::Outcome;
use crate::exit::Failure;
use crate::settings::{Settings, seconds};

const WHAT: &str = "it is erased here, and not on the remote yet";
/// How long it may take, in seconds.
const TIMEOUT_S: u64 = 60;

/// What became of an erasure on the remote.
#[derive(Debug, Serialize)]
pub struct Purged {
    /// Whether no reference of ours on the remote reaches what was erased.
    #[serde(rename = "done")]
    pub is_done: bool,
    /// Why not.
    #[serde(rename = "error")]
    pub why: Option<String>,
}

/// Takes what this home erased out of what was pushed; `None` if there is nothing to do.
///
/// # Errors
/// [`Failure`] if what is kept of syncs cannot be read.
pub fn purge(home: &Home, settings: &Settings) -> Result<Option<Purged>, Failure> {
    let options = settings.sync()?;
    let left = || sync::to_purge(home, &options).map_err(|error| super::failure(WHAT, &error));
    if left()? == 0 {
        return Ok(None);
    }
    // By hand: what the remote refused before is tried again.
    let asked = Asked { compare: true, combine: true, retry_held: true, ..Asked::default() };
    let outcome = Outcome::of(home, settings, asked, seconds(TIMEOUT_S), 1, WHAT)?;
    let is_done = left()? == 0;
    let why = match (&outcome.error, &outcome.combined.closed) {
        _ if is_done => None,
        (Some(error), _) => Some(error.to_string()),
        (None, Some(closed)) => Some(format!("the remote does not take the trunk: {closed}")),
        (None, None) if outcome.combined.kept.is_some() => {
            let kept = outcome.standing.as_ref().and_then(|it| it.erased_kept.clone()).unwrap_or_default();
            Some(format!("the remote does not take its references without it: {kept}"))
        }
        (None, None) if !options.merge => Some("this home merges nothing (sync.merge): another home has to".to_owned()),
        (None, None) => Some("other homes were faster".to_owned()),
    };
    Ok(Some(Purged { is_done, why }))
}
