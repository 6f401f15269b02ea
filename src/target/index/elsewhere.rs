//! Records of other homes: which home each came from. It stands in `records`, where own records have nothing.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Error, Index};
use crate::model::{OtherHome, RecordId, Source};

/// The column of `records`.
pub(super) const COLUMN: &str = "home";
/// What stands there where the home is not known.
const UNKNOWN: &str = "unknown";

impl Index {
    /// The home that recorded `id`, if that is another one.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn other_home(&self, id: RecordId) -> Result<Option<OtherHome>, Error> {
        let read = || {
            let column = self.columns_or_null("records", &[COLUMN])?;
            let sql = format!("SELECT {column} FROM records WHERE id = ?1");
            let found =
                self.connection.prepare_cached(&sql)?.query_row([id.to_string()], |row| row.get(0)).optional()?;
            Ok(found.flatten().map(|text: String| of_text(&text)))
        };
        read().map_err(self.error("look up where a record came from"))
    }
}

/// The home in the column's `text`.
pub(super) fn of_text(text: &str) -> OtherHome {
    OtherHome(text.parse().ok())
}

/// Stores that the record `id` is another home's. What is known of it stays.
pub(super) fn remember(transaction: &Transaction<'_>, id: RecordId, from: &Source) -> Result<(), rusqlite::Error> {
    let home = from.home.map_or_else(|| UNKNOWN.to_owned(), |home| home.to_string());
    let sql = "UPDATE records SET home = ?2 WHERE id = ?1 AND home IS NULL";
    transaction.prepare_cached(sql)?.execute(params![id.to_string(), home]).map(|_| ())
}
