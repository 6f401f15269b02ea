//! Which failures came again, as the verdicts on them say. Nothing here changes the index.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::query::{parsed, provenance_in};
use super::schema::{columns_or_null, has_table};
use super::{Error, Index};
use crate::model::{PROVENANCE, Provenance, RecordId};
use crate::rules;

/// A verdict that a failure came again.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// The verdict.
    pub id: RecordId,
    /// The failure.
    pub of: RecordId,
    /// When it was given.
    pub at: Timestamp,
    /// For how many times it stands.
    pub times: u64,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl Index {
    /// What the verdict `id` says came again; `None` if it is no such verdict on a failure that is there.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn again(&self, id: RecordId) -> Result<Option<Again>, Error> {
        Ok(self.read_again("WHERE records.id = ?1", &id.to_string(), 1)?.pop())
    }

    /// The verdicts that the failures `of` came again.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn again_on(&self, of: &[RecordId]) -> Result<Vec<Again>, Error> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        // Ids have no sign that would have to be escaped.
        let ids: Vec<String> = of.iter().map(|id| format!("\"{id}\"")).collect();
        let which = "WHERE verdicts.about IN (SELECT value FROM json_each(?1))";
        self.read_again(which, &format!("[{}]", ids.join(",")), u32::MAX)
    }

    /// The verdicts that a failure of `project` came again, the newest first, among the newest `limit` verdicts of the home.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn newest_again(&self, project: &str, limit: u32) -> Result<Vec<Again>, Error> {
        let newest = "WHERE verdicts.id > (SELECT coalesce(max(id), 0) FROM verdicts) - ?2 AND records.project = ?1
                      ORDER BY verdicts.id DESC";
        self.read_again(newest, project, limit)
    }

    fn read_again(&self, which: &str, text: &str, limit: u32) -> Result<Vec<Again>, Error> {
        let names: Vec<&str> = PROVENANCE.iter().map(|spec| spec.name).collect();
        let read = || {
            if !has_table(&self.connection, "verdicts")? {
                return Ok(Vec::new());
            }
            let columns = columns_or_null(&self.connection, "records", &names)?;
            let sql = format!(
                "SELECT records.id, {columns}, verdicts.about, records.created_at, verdicts.because
                 FROM verdicts
                 JOIN records ON records.id = verdicts.given AND records.row_id = verdicts.id
                 JOIN records AS failure ON failure.id = verdicts.about AND failure.kind = 'failure' AND failure.row_id > 0
                 {which} LIMIT ?2"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let found = statement.query_map(params![text, limit], again)?.collect::<Result<Vec<_>, _>>()?;
            Ok(found.into_iter().flatten().collect())
        };
        read().map_err(self.error("read which failures came again"))
    }
}

/// A verdict in a row; `None` if it makes no sense.
fn again(row: &Row<'_>) -> Result<Option<Again>, rusqlite::Error> {
    let beside = PROVENANCE.len() + 1;
    let because = row.get::<_, Option<String>>(beside + 2)?.unwrap_or_default();
    let read = || {
        let (id, of, at) = (parsed(row, 0)?, parsed(row, beside)?, parsed(row, beside + 1)?);
        Ok::<_, rusqlite::Error>(Again { id, of, at, times: rules::times(&because), provenance: provenance_in(row)? })
    };
    Ok(read().ok())
}
