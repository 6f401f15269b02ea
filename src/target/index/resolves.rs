//! The failure that a success followed. No table of rows has a column for it, so it stands in `records`.

use rusqlite::{Transaction, params};

use crate::model::{Record, RecordId};

/// The column of `records`.
pub(super) const COLUMN: &str = "resolves";

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
