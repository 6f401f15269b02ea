//! Counts and unreadable events of hooks that no home could take, in the folder `hooks` in the user's state folder.
//!
//! It has those parts of a home's private folder that `hook::count` and `hook::kept` need. Nothing in it is synced. If a hook
//! is killed while it makes the folder, the next hook makes the rest.

use indelible::fs::Dir;
use indelible::hook::count::{self, Counts, Outcome};
use indelible::model::layout::{DISMISSED, EVENT, QUARANTINE, TEMPORARY};
use indelible::own;

use crate::user;

const FOLDER: &str = "hooks";

/// The folder, if an event was ever lost.
pub fn open() -> Option<Dir> {
    Dir::open(&user::state_folder()?.join(FOLDER)).ok()
}

/// The folder, made if it is missing. `None` in another user's folder: its owner could not use what `root` makes there.
pub fn make() -> Option<Dir> {
    let state = user::state_folder()?;
    let hooks = own::notes_folder(&state).ok()?.make_folder(FOLDER).ok()?;
    hooks.make_folder(TEMPORARY).and_then(|_| hooks.make_folder(QUARANTINE)).ok()?;
    Some(hooks)
}

/// Counts a hook with an invalid command line: its home is not known.
pub fn misspelt(error: &clap::Error) {
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
    if let Some(folder) = make() {
        let _ = count::count(&folder, None, Outcome::Failed);
        let _ = count::remember(&folder, &format!("the hook's command line is invalid: {said}"));
    }
}

/// The counts in the folder.
pub fn counts() -> Option<Counts> {
    count::counts(&open()?).ok().flatten()
}

/// The folder of unreadable events.
pub fn kept() -> Vec<String> {
    let names = || open()?.folder(QUARANTINE).ok()?.names().ok();
    names().unwrap_or_default().into_iter().filter(|name| name.starts_with(EVENT)).collect()
}

/// Dismisses everything: kept events move to `dismissed`. Returns how many events were lost.
pub fn dismiss() -> u64 {
    let Some(folder) = open() else { return 0 };
    let moved = || -> Result<(), indelible::fs::Error> {
        let quarantine = folder.folder(QUARANTINE)?;
        let dismissed = quarantine.make_folder(DISMISSED)?;
        kept().iter().try_for_each(|name| quarantine.set_aside(name, &dismissed, name).map(|_| ()))
    };
    let _ = moved();
    count::dismiss(&folder).unwrap_or(0)
}
