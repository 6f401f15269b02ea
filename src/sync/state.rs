//! What is known of a sync: the content of `sync.json`. It is replaced as a whole, synced, under `sync.lock` (`store.rs`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Class, Error};
use crate::fs::Dir;
use crate::model::layout::SYNC;
use crate::model::{JournalId, RecordId};

/// The largest `sync.json`, in bytes.
const STATE_BYTES_MAX: u64 = 16 << 20;
/// The version of `sync.json`.
pub(super) const VERSION: u32 = 1;

/// The content of `sync.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncState {
    pub(super) version: u32,
    /// The remote that all of this is about.
    pub remote: String,
    /// The journal that the lane belongs to: a copy of a home has another journal, and so another lane.
    pub journal: Option<JournalId>,
    /// The id of the own lane: the last part of its reference's name.
    pub lane: Uuid,
    /// The prefix of the lane that the remote takes, once one worked.
    pub prefix: Option<String>,
    /// Whether a stranger was refused by the remote, or the user said that it may be public.
    pub checked: bool,
    /// The home's commit whose records are all pushed or held.
    pub projected: Option<String>,
    /// The last push that the remote took.
    pub pushed: Option<At>,
    /// The records that this home erased and that the remote, or `sync.git`, may still have.
    pub erased: BTreeSet<RecordId>,
    /// When the remote last said where the lane is.
    pub seen_at: Option<Timestamp>,
    /// How many records' files the lane has in all.
    pub records: u64,
    /// The records that are left out, each with the reason.
    pub held: Vec<Held>,
    /// The full name of the trunk's reference on the remote, once this home has pushed it.
    pub trunk: Option<String>,
    /// The group of homes that the trunk is of.
    pub group: Option<Uuid>,
    /// What the trunk has merged of each lane, by the commit of the trunk that says it.
    pub merged: Option<(String, BTreeMap<Uuid, String>)>,
    /// The erased records that the same commit says its history has no more.
    pub purged: BTreeSet<RecordId>,
    /// A commit of the trunk whose erased records its history has no more.
    pub clean: Option<String>,
    /// By which options the trunk was imported last.
    pub imported_by: Option<String>,
    /// Since when each lane was seen where it is.
    pub lanes: BTreeMap<Uuid, (String, Timestamp)>,
    /// The lanes that are left out of the merge.
    pub bad_lanes: BTreeMap<Uuid, BadLane>,
    /// Why the remote does not take the trunk without erased records, if it does not.
    pub kept_by_remote: Option<Kept>,
    /// Why the remote does not take the trunk, if it does not.
    pub closed: Option<String>,
    /// Where the trunk is, and when it was taken.
    pub trunk_at: Option<At>,
    /// How many records of other homes were imported.
    pub imported: u64,
    /// How many lanes the trunk had not merged when it was looked at last.
    pub unmerged: u64,
    /// Why the last sync did not do all of it.
    pub error: Option<Failed>,
}

/// A commit, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its name.
    pub commit: String,
    /// When.
    pub at: Timestamp,
}

/// A lane that is left out of the merge, and of what is looked at: it cannot be fetched, or is no line of commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLane {
    /// The full name of its reference.
    pub name: String,
    /// Where it is.
    pub commit: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
    /// When it was asked for last.
    #[serde(default)]
    pub tried: Timestamp,
    /// Whether what was fetched has been looked at here: else it can have been a failure that passes.
    #[serde(default)]
    pub is_certain: bool,
}

/// A rewriting that the remote refused: the trunk still has erased records in its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The full name of the trunk's reference.
    pub trunk: String,
    /// Why.
    pub why: String,
    /// When it was tried last.
    pub at: Timestamp,
}

/// A record that is left out of the lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The record.
    pub id: RecordId,
    /// The path of its page, or of its state file.
    pub path: String,
    /// The name of the bytes that are held: others are tried again.
    pub blob: String,
    /// Whether it is held for a secret that it has, and not by the remote.
    pub secret: bool,
    /// Why.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// A sync that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its class.
    pub class: Class,
    /// What was wrong.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub attempts: u32,
}

impl SyncState {
    /// What is known of a home's sync; `None` if nothing is. It takes no lock.
    ///
    /// # Errors
    /// [`Error`] if it cannot be read.
    pub fn read(private: &Dir) -> Result<Option<SyncState>, Error> {
        let text = private.content(SYNC, STATE_BYTES_MAX)?;
        let state = text.and_then(|text| serde_json::from_slice::<SyncState>(&text).ok());
        Ok(state.filter(|state| state.version == VERSION && !state.lane.is_nil()))
    }

    /// What stays known when another remote takes the place of this one: whose records these are does not depend on where they go.
    pub(super) fn of_another_remote(&self) -> SyncState {
        let SyncState { version, remote, journal, lane, records, group, .. } = self.clone();
        SyncState { version, remote, journal, lane, records, group, ..SyncState::default() }
    }

    /// The full name of the own lane on the remote; `None` if no prefix has worked yet.
    pub fn lane_name(&self) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}{}", self.lane))
    }
}
