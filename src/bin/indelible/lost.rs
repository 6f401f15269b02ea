//! What no home could take: counts and unreadable events of hooks, in `hooks` in the user's state folder.
//!
//! It is laid out as a home's private folder is, as far as `hook::count` and `hook::kept` need it, and nothing in it is
//! synced. Killed while it is made, the next hook makes the rest.

use indelible::fs::Dir;
use indelible::hook::count::{self, Counts, Outcome};
use indelible::own;
use indelible::quarantine::EVENT;

use crate::user;

const FOLDER: &str = "hooks";

/// The folder, if something was ever lost.
pub fn open() -> Option<Dir> {
    Dir::open(&user::state_folder()?.join(FOLDER)).ok()
}

/// The folder, made where it is missing. `None` beneath another user's folder: what `root` makes there, its owner could
/// not use.
pub fn make() -> Option<Dir> {
    let state = user::state_folder()?;
    let hooks = own::notes_folder(&state).ok()?.make_folder(FOLDER).ok()?;
    hooks.make_folder("tmp").and_then(|_| hooks.make_folder("quarantine")).ok()?;
    Some(hooks)
}

/// Counts a hook whose command line makes no sense: which home it meant is not known.
pub fn misspelt(error: &clap::Error) {
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
    if let Some(folder) = make() {
        let _ = count::count(&folder, None, Outcome::Failed);
        let _ = count::remember(&folder, &format!("the hook's command line makes no sense: {said}"));
    }
}

/// What was counted there.
pub fn counts() -> Option<Counts> {
    count::counts(&open()?).ok().flatten()
}

/// Where the events lie that could be read nowhere.
pub fn kept() -> Vec<String> {
    let names = || open()?.folder("quarantine").ok()?.names().ok();
    names().unwrap_or_default().into_iter().filter(|name| name.starts_with(EVENT)).collect()
}

/// Takes all of it for seen: events that were kept move to `dismissed`. Returns how many events were lost.
pub fn dismiss() -> u64 {
    let Some(folder) = open() else { return 0 };
    let moved = || -> Result<(), indelible::fs::Error> {
        let quarantine = folder.folder("quarantine")?;
        let dismissed = quarantine.make_folder("dismissed")?;
        kept().iter().try_for_each(|name| quarantine.set_aside(name, &dismissed, name).map(|_| ()))
    };
    let _ = moved();
    count::dismiss(&folder).unwrap_or(0)
}
