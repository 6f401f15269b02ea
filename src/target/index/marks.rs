//! Marks: the state of every record that was ever retracted, restored or erased. They are kept forever.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::json;

use super::revive::quoted;
use super::schema::{Table, columns_of};
use super::{Error, Index};
use crate::model::{RecordId, Revision};
use crate::page::{Presence, StateFile};

impl Index {
    /// The mark of the record `id`; `None` if it was never retracted, restored or erased, as far as the index knows.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn mark(&self, id: RecordId) -> Result<Option<StateFile>, Error> {
        let mut found = None;
        self.each_mark("WHERE id = ?1", &[&id.to_string()], |mark| found = Some(mark))?;
        Ok(found)
    }

    /// Calls `take` for every mark.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_mark(&self, take: impl FnMut(StateFile)) -> Result<(), Error> {
        self.each_mark("ORDER BY id", &[], take)
    }

    fn each_mark(
        &self,
        which: &str,
        with: &[&dyn rusqlite::ToSql],
        mut take: impl FnMut(StateFile),
    ) -> Result<(), Error> {
        let mut read = || {
            // An older program's index lacks the table `marks` until the next write.
            if !self.columns.has(&self.connection, "marks")? {
                return Ok(());
            }
            let sql = format!("SELECT id, state, revision, at, because FROM marks {which}");
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(with)?;
            while let Some(row) = rows.next()? {
                let text = |at| row.get::<_, String>(at);
                let state = Presence::ALL.into_iter().find(|it| text(1).is_ok_and(|state| state == it.name()));
                let mark = || Some((text(0).ok()?.parse().ok()?, state?, text(2).ok()?.parse().ok()?, text(3).ok()?));
                if let Some((of, state, revision, at)) = mark()
                    && let Ok(at) = at.parse()
                {
                    take(StateFile { of, state, revision, at, because: row.get(4)? });
                }
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// Calls `take` with the cells of each retracted record's row, as they are kept for a restoration.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_kept(&self, mut take: impl FnMut(&str)) -> Result<(), Error> {
        let mut read = || {
            if !self.columns.has(&self.connection, "marks")? {
                return Ok(());
            }
            let sql = "SELECT kept FROM marks WHERE state = ?1 AND kept IS NOT NULL";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([Presence::Retracted.name()])?;
            while let Some(row) = rows.next()? {
                row.get_ref(0)?.as_str().ok().into_iter().for_each(&mut take);
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }
}

/// Whether the record `id` was erased, which is above every revision.
pub(super) fn is_erased(transaction: &Transaction<'_>, id: RecordId) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT 1 FROM marks WHERE id = ?1 AND state = ?2";
    Ok(transaction.query_row(sql, [id.to_string().as_str(), Presence::Erased.name()], |_| Ok(())).optional()?.is_some())
}

pub(super) fn marked(transaction: &Transaction<'_>, id: RecordId) -> Result<Option<Revision>, rusqlite::Error> {
    let sql = "SELECT revision FROM marks WHERE id = ?1";
    let text: Option<String> = transaction.query_row(sql, [id.to_string()], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()))
}

pub(super) fn put_mark(transaction: &Transaction<'_>, mark: &StateFile) -> Result<(), rusqlite::Error> {
    let StateFile { of, state, revision, at, because } = mark;
    let values = params![of.to_string(), state.name(), revision.to_string(), format!("{at:.3}"), because];
    let sql = "INSERT INTO marks (id, state, revision, at, because) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET state = ?2, revision = ?3, at = ?4, because = ?5";
    transaction.execute(sql, values).map(|_| ())
}

/// All cells of a row, as a mark keeps them; `None` if there is no such row.
pub(super) fn cells(
    transaction: &Transaction<'_>,
    table: &Table,
    number: i64,
) -> Result<Option<String>, rusqlite::Error> {
    let columns = columns_of(transaction, table.name)?;
    let sql = format!("SELECT {} FROM {} WHERE id = ?1", quoted(&columns), table.name);
    let cells = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect();
    let cells: Option<Vec<Value>> = transaction.query_row(&sql, [number], cells).optional()?;
    let Some(cells) = cells else { return Ok(None) };
    let cell = |value: Value| match value {
        Value::Null => json!(null),
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!({ "real": number.to_bits() }),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "blob": bytes }),
    };
    let cells: serde_json::Map<_, _> = columns.into_iter().zip(cells.into_iter().map(cell)).collect();
    Ok(Some(serde_json::Value::Object(cells).to_string()))
}

/// Parses the cells that [`cells`] wrote.
pub(super) fn cells_of(kept: &str) -> Vec<(String, Value)> {
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::Number(number) => number.as_i64().map(Value::Integer),
        serde_json::Value::String(text) => Some(Value::Text(text.clone())),
        serde_json::Value::Object(it) => match (it.get("real"), it.get("blob")) {
            (Some(bits), _) => bits.as_u64().map(|bits| Value::Real(f64::from_bits(bits))),
            (_, Some(bytes)) => serde_json::from_value(bytes.clone()).ok().map(Value::Blob),
            _ => None,
        },
        _ => None,
    };
    let kept: serde_json::Map<_, _> = serde_json::from_str(kept).unwrap_or_default();
    kept.iter().map(|(column, value)| (column.clone(), cell(value).unwrap_or(Value::Null))).collect()
}
