//! Files among git's objects that git does not read, and that can have what is erased.
//!
//! 1. Git's own leftovers of programs that died go, if they have it, or if it is not known what they have. In a repository that we
//!    made, that is so at once where every process can be seen and no git program is at work there, and else after a day, as recovery
//!    does it; in a user's, after the two weeks that `git prune` gives them.
//! 2. Anything else that has it stays. In a repository that we made, it holds up success; in a user's, it is named.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | anywhere | fewer of them | the next run |

use std::collections::BTreeSet;
use std::time::Duration;

use super::Error;
use super::proof::Found;
use super::words::Words;
use crate::fs::os;
use crate::home::Home;
use crate::model::RecordId;
use crate::target::history::{History, Holds, Stray};

/// After how long without a change a leftover of git's is removed from a repository that we made, where processes cannot be seen.
const IDLE_OWN: Duration = Duration::from_secs(24 * 3600);
/// The same in a user's repository, with or without that: what git's `gc.pruneExpire` is unless it is set.
const IDLE_THEIRS: Duration = Duration::from_secs(14 * 24 * 3600);

/// Removes what may go of files that have `words` or the records `ids`, and returns the others. No git program was at work just
/// before.
pub(super) fn clear(home: &Home, history: &History, words: &Words, ids: &BTreeSet<RecordId>) -> Result<Found, Error> {
    let mut found = Found::default();
    for stray in history.strays()? {
        let holds = history.look_into(&stray, ids, &|bytes| words.has_word(bytes))?;
        if holds == Holds::Nothing {
            continue;
        }
        if stray.is_temporary && is_stale(home, history, &stray) {
            history.remove_stray(&stray)?;
            continue;
        }
        let name = stray.path.strip_prefix(home.path()).unwrap_or(&stray.path).to_string_lossy().into_owned();
        let name = if holds == Holds::Them { name } else { format!("{name}, which cannot be searched") };
        let place = if history.is_owned() { &mut found.left } else { &mut found.others };
        place.insert(name);
    }
    Ok(found)
}

/// Whether no git program is writing `stray`, a temporary file of git's.
fn is_stale(home: &Home, history: &History, stray: &Stray) -> bool {
    match history.is_owned() {
        true => (os::shows_every_process() && super::is_git_at_rest(home, history)) || stray.idle() > IDLE_OWN,
        false => stray.idle() > IDLE_THEIRS,
    }
}
