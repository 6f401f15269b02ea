//! How many rows there are, by kind.

use jiff::Timestamp;

use super::change::TIME;
use super::query::parsed;
use super::{Error, Index};
use crate::model::Kind;

impl Index {
    /// How many records of each kind have a row, and how many of them were recorded at `since` or later. It reads an entry for
    /// each record.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_by_kind(&self, since: Timestamp) -> Result<Vec<(Kind, u64, u64)>, Error> {
        let read = || {
            let sql = "SELECT kind, count(*), sum(created_at >= ?1) FROM records WHERE row_id > 0 GROUP BY kind";
            let mut statement = self.connection.prepare(sql)?;
            let counts = statement.query_map([format!("{since:.3}")], |row| {
                Ok((parsed(row, 0)?, unsigned(row.get(1)?), unsigned(row.get(2)?)))
            })?;
            counts.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(self.error("count the records of the index"))
    }

    /// How many verdicts there are, and how many of them were given at `since` or later.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_verdicts(&self, since: Timestamp) -> Result<(u64, u64), Error> {
        let read = || {
            if !self.columns.has(&self.connection, "verdicts")? {
                return Ok((0, 0));
            }
            let sql = "SELECT count(*), coalesce(sum(created_at >= ?1), 0) FROM verdicts";
            let since = since.strftime(TIME).to_string();
            self.connection.query_row(sql, [since], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
        };
        read().map_err(self.error("count the verdicts of the index"))
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
