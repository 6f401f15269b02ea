//! What "newest" means: recorded last; of records of one moment, the greater id. Candidates, ties and lists beside the search
//! database go by this, and by nothing else.

use jiff::Timestamp;
use rusqlite::Row;
use uuid::Uuid;

use crate::model::RecordId;

/// How new a record is: the newer, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    created_ms: i64,
    id: RecordId,
}

impl Age {
    /// That of the record `id`, which was recorded at `created_at`.
    pub fn new(created_at: Timestamp, id: RecordId) -> Age {
        Age { created_ms: created_at.as_millisecond(), id }
    }

    /// That of the record with the columns `created` and `id` of `docs`.
    pub(super) fn of_row(row: &Row<'_>) -> rusqlite::Result<Age> {
        let id = Uuid::from_slice(row.get_ref(1)?.as_blob().unwrap_or_default());
        Ok(Age { created_ms: row.get(0)?, id: RecordId(id.unwrap_or_default()) })
    }
}
