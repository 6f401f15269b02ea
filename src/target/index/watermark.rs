//! The watermark: how far the rows follow the journal. The index stores it as text and does not interpret it.

use rusqlite::{Connection, params};

use super::schema::value_of;
use super::{Error, Index};
use crate::fs::order::{self, Lock};

/// Its key in the table `indelible`.
const NAME: &str = "watermark";

impl Index {
    /// The watermark; `None` if it was never set.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn watermark(&self) -> Result<Option<String>, Error> {
        value_of(&self.connection, NAME).map_err(self.error("read the watermark of the index"))
    }

    /// Sets the watermark, in a transaction of its own.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn set_watermark(&mut self, watermark: &str) -> Result<(), Error> {
        let _held = order::take(Lock::Index);
        put(&self.connection, watermark).map_err(self.error("move the watermark of the index"))
    }
}

/// Sets the watermark, within the transaction that `connection` has open, if it has one.
pub(super) fn put(connection: &Connection, watermark: &str) -> Result<(), rusqlite::Error> {
    let put = "INSERT INTO indelible VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    connection.execute(put, params![NAME, watermark]).map(|_| ())
}
