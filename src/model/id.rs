//! The ids of records, homes and journals. A type for each, so that none passes for another.
//!
//! | id | drawn by | names | a copy of the home has |
//! | --- | --- | --- | --- |
//! | [`RecordId`] | the recorder, or made from home and key | one record | the same records |
//! | [`HomeId`] | `init`, once ([`crate::init`]) | the home: the ids of keyed records, and its reference in a user's repository | the same |
//! | [`JournalId`] | the owner of the worker's lock ([`crate::journal`]) | one journal at one place: its anchor in git, `state.json` | another |
//!
//! No host has an id: nothing needs one.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a record for ever: a UUIDv7, or a UUIDv5 of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub Uuid);

impl RecordId {
    /// A new id: the clock and 74 random bits.
    pub fn new() -> Self {
        RecordId(crate::random::timed_id())
    }

    /// The id that every repeat of `key` has in the home `home`.
    pub fn of_key(home: HomeId, key: &str) -> Self {
        RecordId(Uuid::new_v5(&home.0, key.as_bytes()))
    }

    /// The last 8 hex digits, which name the record in its path (the first 8 of a UUIDv7 stand still for 65 s).
    pub fn short(self) -> String {
        format!("{:08x}", self.0.as_u128() as u32)
    }

    /// The time in a UUIDv7. The id of a keyed record has none.
    pub fn time(self) -> Option<Timestamp> {
        let milliseconds = (self.0.get_version() == Some(uuid::Version::SortRand)).then(|| self.0.as_u128() >> 80)?;
        Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()
    }
}

impl Default for RecordId {
    fn default() -> Self {
        RecordId::new()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RecordId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(RecordId)
    }
}

/// Another home that recorded something; `None` if it is not known which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherHome(pub Option<HomeId>);

impl OtherHome {
    /// Where a record came from, in words for people and agents: no home has a name that is known to be its own.
    pub fn says(self) -> String {
        match self.0 {
            Some(home) => format!("from home {:08x}", home.0.as_u128() as u32),
            None => "from another home".to_owned(),
        }
    }
}

impl Serialize for OtherHome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(home) => serializer.collect_str(&home),
            None => serializer.serialize_str("unknown"),
        }
    }
}

/// Names a home for ever. A copy of the home's files has the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HomeId(pub Uuid);

impl fmt::Display for HomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HomeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(HomeId)
    }
}

/// Names a journal in one place. A copy of the journal draws another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalId(pub Uuid);

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JournalId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(JournalId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_id_is_the_end_of_the_long_one() {
        let id = RecordId::new();
        assert!(id.to_string().ends_with(&id.short()));
    }

    #[test]
    fn one_key_is_one_id_in_one_home() {
        let (here, there) = (HomeId(Uuid::from_u128(1)), HomeId(Uuid::from_u128(2)));
        assert_eq!(RecordId::of_key(here, "k"), RecordId::of_key(here, "k"));
        assert_ne!(RecordId::of_key(here, "k"), RecordId::of_key(there, "k"));
        assert_ne!(RecordId::of_key(here, "k"), RecordId::of_key(here, "l"));
        assert_eq!(RecordId::of_key(here, "k").time(), None);
    }
}
