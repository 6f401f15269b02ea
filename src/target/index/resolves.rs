//! The failure that a success followed. No table of rows has a column for it, so it stands in `records`.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::query::parsed;
use super::{Error, Index};
use crate::model::{Record, RecordId};

/// The column of `records`.
pub(super) const COLUMN: &str = "resolves";
/// The index of that column: few records have a value in it.
const LOOKUP: &str = "records_resolves";

impl Index {
    /// The successes that followed the failure `failure`. Empty for an older program's index until its next insertion: without a
    /// lookup of the column, all records would be read.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn resolving(&self, failure: RecordId) -> Result<Vec<RecordId>, Error> {
        let read = || {
            let has = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1";
            if self.connection.prepare_cached(has)?.query_row([LOOKUP], |_| Ok(())).optional()?.is_none() {
                return Ok(Vec::new());
            }
            let sql = "SELECT id FROM records WHERE resolves = ?1 AND row_id > 0 ORDER BY id";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map([failure.to_string()], |row| parsed(row, 0))?.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(self.error("look up what followed a failure"))
    }
}

/// Stores which failure the success `id` followed; any other record has none.
pub(super) fn remember(transaction: &Transaction<'_>, id: RecordId, record: &Record) -> Result<(), rusqlite::Error> {
    let Record::Success(it) = record else { return Ok(()) };
    let resolves = it.resolves.map(|failure| failure.to_string());
    let sql = "UPDATE records SET resolves = ?2 WHERE id = ?1 AND resolves IS NOT ?2";
    transaction.prepare_cached(sql)?.execute(params![id.to_string(), resolves]).map(|_| ())
}

/// `record`, read from a row, with this text in its column. What is no id stands for none.
pub(super) fn restored(mut record: Record, text: Option<String>) -> Record {
    if let Record::Success(it) = &mut record {
        it.resolves = text.and_then(|text| text.parse().ok());
    }
    record
}
