//! The home's id in the index.

use rusqlite::params;

use super::{Error, Index};
use crate::fs::order::{self, Lock};
use crate::model::HomeId;

impl Index {
    /// Sets the index's home id to `id`, replacing any other: an index from a clone has another home's.
    ///
    /// # Errors
    /// [`Error::Busy`], and other errors of SQLite.
    pub(crate) fn set_home(&mut self, id: HomeId) -> Result<(), Error> {
        let error = self.error("note the home's id in the index");
        let _held = order::take(Lock::Index);
        let set = "INSERT INTO indelible VALUES ('home', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.connection().execute(set, params![id.to_string()]).map(|_| ()).map_err(error)
    }
}
