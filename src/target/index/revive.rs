//! Rows that another program has deleted, restored under their old numbers.
//!
//! A row of the framework's has more than the record does: how often a rule was validated, what came of it. A copy of
//! the index has these values as of its own time.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | no row (SQLite rolls back) | the next `recover` or `repair` |
//! | after it | the row | nothing to do |

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params, params_from_iter};

use super::insert::{RowImage, Statements, is_refusal};
use super::schema::{columns_of, table_of};
use super::{Error, Index, changes, framework, verdicts};
use crate::fs::order::{self, Lock};

/// How a row came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revived {
    /// With the copy's cells.
    AsCopied,
    /// With the record's content: what other programs stored in it is lost.
    Reinserted,
}

impl Index {
    /// Restores the row of `row`'s record, which `records` knows and its table lacks, from `copy` if that has it.
    /// `None` if it cannot be restored: `records` does not know it, or its table rejects the row or the number.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub(crate) fn revive(&mut self, row: &RowImage<'_>, copy: Option<&Index>) -> Result<Option<Revived>, Error> {
        let error = self.error("put a row back into the index");
        let _held = order::take(Lock::Index);
        let id = row.id.to_string();
        let table = table_of(row.record.kind()).name;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        let Some(number) = number_of(&transaction, &id).map_err(&error)? else { return Ok(None) };
        // An unreadable copy does not prevent the restoration.
        let copied = copy.and_then(|copy| row_of(&copy.connection, table, &id, number).ok().flatten());
        let revived = match copied.map(|cells| insert(&transaction, table, cells)) {
            Some(Ok(())) => Ok(Revived::AsCopied),
            _ => reinsert(&transaction, table, row, number).map(|()| Revived::Reinserted),
        };
        let counted = copy.filter(|_| matches!(revived, Ok(Revived::AsCopied)));
        match revived {
            Ok(revived) => {
                verdicts::revived(&transaction, row, counted.map(Index::connection)).map_err(&error)?;
                changes::note(&transaction, &id).map_err(&error)?;
                transaction.commit().map_err(&error)?;
                Ok(Some(revived))
            }
            Err(source) if is_refusal(&source) => Ok(None),
            Err(source) => Err(error(source)),
        }
    }
}

fn number_of(connection: &Connection, id: &str) -> Result<Option<i64>, rusqlite::Error> {
    connection.query_row("SELECT row_id FROM records WHERE id = ?1 AND row_id > 0", [id], |row| row.get(0)).optional()
}

/// The cells of the row `number` of `table`, by column, if it is the row of the record `id`.
fn row_of(
    copy: &Connection,
    table: &str,
    id: &str,
    number: i64,
) -> Result<Option<Vec<(String, Value)>>, rusqlite::Error> {
    if number_of(copy, id)? != Some(number) {
        return Ok(None);
    }
    let columns = columns_of(copy, table)?;
    let sql = format!("SELECT {} FROM {table} WHERE id = ?1", quoted(&columns));
    let cells = copy.query_row(&sql, [number], |row| (0..columns.len()).map(|at| row.get(at)).collect());
    let cells: Option<Vec<Value>> = cells.optional()?;
    Ok(cells.map(|cells| columns.into_iter().zip(cells).collect()))
}

/// Names of columns, quoted for SQL.
pub(super) fn quoted<'a>(columns: impl IntoIterator<Item = &'a String>) -> String {
    let quoted = columns.into_iter().map(|column| format!("\"{}\"", column.replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Inserts those of `cells` whose column `table` has now.
pub(super) fn insert(connection: &Connection, table: &str, cells: Vec<(String, Value)>) -> Result<(), rusqlite::Error> {
    let there = columns_of(connection, table)?;
    let (columns, cells): (Vec<_>, Vec<_>) = cells.into_iter().filter(|(column, _)| there.contains(column)).unzip();
    let places = vec!["?"; cells.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", quoted(&columns));
    connection.execute(&sql, params_from_iter(cells)).map(|_| ())
}

/// Inserts a row from the record, under the old number.
fn reinsert(
    transaction: &rusqlite::Transaction<'_>,
    table: &str,
    row: &RowImage<'_>,
    number: i64,
) -> Result<(), rusqlite::Error> {
    let (_, is_framework) = framework::layout(transaction)?;
    let mut statements = Statements::prepare(transaction, is_framework)?;
    let fitted = is_framework.then(|| framework::fitted(row.record).0);
    let made = statements.insert_into_table(&RowImage { record: fitted.as_ref().unwrap_or(row.record), ..*row })?;
    transaction.execute(&format!("UPDATE {table} SET id = ?1 WHERE id = ?2"), params![number, made]).map(|_| ())
}
