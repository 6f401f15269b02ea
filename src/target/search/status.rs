//! How far search is, for people.

use serde::{Deserialize, Serialize};

use super::{Error, SearchDb};
use crate::home::Home;
use crate::model::layout::{SEARCH, WAL};
use crate::model::text::{chain, number};
use crate::target::index::Index;

/// The state of search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchState {
    /// There is no search database, or none that can be used: the next worker, or `repair`, builds it.
    #[default]
    None,
    /// It is being built.
    Building,
    /// It lacks what changed last.
    Behind,
    /// It has everything that the index has.
    Current,
    /// It cannot be read at the moment.
    Unknown,
}

/// How far search is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SearchStatus {
    /// Its state.
    pub state: SearchState,
    /// How many records it has.
    pub records: u64,
    /// How many changes of records it lacks; while it is being built, how many records it lacks.
    pub behind: u64,
    /// The size of its files in bytes.
    pub bytes: u64,
    /// What is wrong with it, or why it could not be brought up to date the last time.
    pub error: Option<String>,
}

/// How far search is in `home`, whose index is `index`. Never an error: search is not required.
pub fn status(home: &Home, index: Option<&Index>) -> SearchStatus {
    look(home, index, false)
}

impl SearchStatus {
    /// As [`status`], and reads the whole database to see whether it is sound.
    pub fn checked(home: &Home, index: Option<&Index>) -> SearchStatus {
        look(home, index, true)
    }

    /// The status in a line.
    pub fn line(&self) -> String {
        let behind = number(self.behind);
        let state = match self.state {
            SearchState::None => "not built yet".to_owned(),
            SearchState::Building => format!("being built, {behind} records to go"),
            SearchState::Behind => format!("behind by {behind}"),
            SearchState::Current => "up to date".to_owned(),
            SearchState::Unknown => "not known".to_owned(),
        };
        match &self.error {
            Some(error) => format!("{state}; {error}"),
            None => state,
        }
    }
}

fn look(home: &Home, index: Option<&Index>, check: bool) -> SearchStatus {
    let size = |end: &str| home.dir().find(&format!("{SEARCH}{end}")).ok().flatten().map_or(0, |found| found.size);
    let bytes = ["", WAL].into_iter().map(size).sum();
    let of = |state, error: Option<String>| SearchStatus { state, bytes, error, ..SearchStatus::default() };
    let found = match SearchDb::open(home) {
        Ok(None) => return of(SearchState::None, None),
        Err(error) if error.is_unusable() => return of(SearchState::None, Some(chain(&error))),
        Err(error) => return of(SearchState::Unknown, Some(chain(&error))),
        Ok(Some(found)) => found,
    };
    if check {
        match found.damage(home) {
            Ok(None) => {}
            Ok(Some(damage)) => return of(SearchState::None, Some(Error::Unusable(damage).to_string())),
            Err(error) if error.is_unusable() => return of(SearchState::None, Some(chain(&error))),
            Err(error) => return of(SearchState::Unknown, Some(chain(&error))),
        }
    }
    let Some(index) = index else { return of(SearchState::Unknown, None) };
    let records = found.records();
    let followed = || match found.is_of(index)? {
        false => Ok(SearchStatus { records, ..of(SearchState::None, None) }),
        true if !found.is_complete() => {
            let behind = index.count_records()?.saturating_sub(records);
            Ok(SearchStatus { records, behind, ..of(SearchState::Building, None) })
        }
        true => {
            let behind = index.count_changes_after(found.watermark().seq)?;
            let state = if behind == 0 { SearchState::Current } else { SearchState::Behind };
            Ok(SearchStatus { records, behind, ..of(state, None) })
        }
    };
    followed().unwrap_or_else(|error: crate::target::index::Error| of(SearchState::Unknown, Some(chain(&error))))
}
