//! Reading a home: what was recorded, found by what is known of it.
//!
//! 1. Nothing here changes a file of the home.
//! 2. A record is found from the moment `record` returns: what the index has, and what the journal has and the index
//!    does not, is one answer. An operation that waits for the worker is applied to what is read.
//! 3. No store is needed but the home's folder. A store that is missing, damaged, newer or locked by another program is
//!    named in [`View::notes`], and the others answer.
//! 4. A reader waits for another program's lock once, for the time that its caller gives.
//! 5. A record that was retracted or erased is never shown. A hit whose revision the index does not have is not shown.
//!
//! [`View`] is a home at one moment. `pending` reads the journal, `files` the records' files where there is no index,
//! `lookup` resolves what a person calls a record by, `names` says which names records have, `judged` what became of
//! rules. `list`, `retracted`, `show`, `search` and `recall` are what the commands of these names answer. `beside` is what `search`
//! has besides search.db. `brief` reads what a pack needs, within bounds.

mod again;
mod beside;
mod brief;
mod every;
mod files;
mod judged;
mod list;
mod lookup;
mod names;
mod pending;
mod recall;
mod recorded;
mod resolving;
mod retracted;
mod revision;
mod search;
mod show;
mod stages;
mod states;
mod view;

pub use again::{CameAgain, came_again, newest_again};
pub use brief::{Brief, Briefs};
pub use every::{Wanted, each_facts, each_retracted, every};
pub use judged::{Ruled, is_promoted, judged, judged_together, newest, rule, rules, tallied};
pub use list::{Listing, Selection, Sort, list};
pub use lookup::{Named, lookup};
pub use names::known;
pub use pending::{Pending, Seen};
pub use recall::{Recall, Recalled, Same, Time, recall};
pub use recorded::Recorded;
pub use resolving::resolving;
pub use retracted::{Retracted, retracted};
pub use search::{Ask, Found, Hit, Looked, Standing, search};
pub use show::{Details, Place, Shown, raw, show};
pub use stages::{Stage, Stages};
pub use states::States;
pub use view::View;

pub use crate::search::AskedState as State;

use crate::fs;
use crate::target::{history, index};

/// Why a home could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index failed while it was being read.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The history failed while it was being read.
    #[error(transparent)]
    History(#[from] history::Error),
    /// search.db, or its like in memory, failed.
    #[error("the words could not be looked for")]
    Search(#[from] rusqlite::Error),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}
