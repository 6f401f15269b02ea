//! How much of the disk a home's stores take.

use serde::Serialize;

use crate::fs::Error;
use crate::home::Home;
use crate::model::layout::{DATABASE_SUFFIXES, INDEX, SEARCH};
use crate::target::history::History;

/// The size of a home's stores, in bytes. The records' own files are not counted: to look at each takes too long in a large
/// home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// All of the following.
    pub all_bytes: u64,
    /// The index, with its write-ahead log.
    pub index_bytes: u64,
    /// The search database, with its write-ahead log.
    pub search_bytes: u64,
    /// The journal.
    pub journal_bytes: u64,
    /// The packs of the history; `None` in a user's repository, where they are among the user's own.
    pub history_bytes: Option<u64>,
}

impl Size {
    /// The size of the stores of `home`.
    pub(super) fn of(home: &Home, history: Option<&History>, journal_bytes: u64) -> Result<Size, Error> {
        let database = |name: &str| -> Result<u64, Error> {
            let size = |end: &&str| Ok(home.dir().find(&format!("{name}{end}"))?.map_or(0, |found| found.size));
            DATABASE_SUFFIXES.iter().map(size).sum()
        };
        let (index_bytes, search_bytes) = (database(INDEX)?, database(SEARCH)?);
        let history_bytes = history.filter(|history| history.is_owned()).map(History::pack_bytes);
        let all_bytes = index_bytes + search_bytes + journal_bytes + history_bytes.unwrap_or(0);
        Ok(Size { all_bytes, index_bytes, search_bytes, journal_bytes, history_bytes })
    }
}
