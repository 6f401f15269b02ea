//! The tables of the Emergent Learning Framework, read as its own readers read them.
//!
//! 1. Nothing is written: the database is opened to be read (`target::index`), and all is read in one transaction, so
//!    that the parts of an answer fit together.
//! 2. Homes differ in age. A table that is missing is empty, and a column that is missing is NULL, also in a condition.
//! 3. Values are data: no type is trusted ([`Value`]).
//! 4. A row of a record that another home recorded says so, in a column that the framework does not have ([`FROM`]).
//!
//! Records without a row are not here: those that only the journal has yet, and those that were retracted.

mod from;
mod select;
mod tables;
mod value;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::InterruptHandle;

pub use from::FROM;
pub use select::{Is, Select};
pub use tables::{
    ALERTS, ASSUMPTIONS, CEO_REVIEWS, DECISIONS, EXPERIMENTS, HEURISTICS, INVARIANTS, LEARNINGS, METRICS, PLANS,
    POSTMORTEMS, SPIKE_REPORTS, Table, VIOLATIONS,
};
pub use value::{Row, Shape, Value};

use crate::target::index::{Error, Index, Others, columns_of};

/// The tables of one home, as they were when they were opened.
#[derive(Debug)]
pub struct Tables {
    index: Index,
    /// The columns of each table that exists.
    columns: HashMap<String, Vec<String>>,
}

impl Tables {
    /// Opens the tables in the database at `path`. The caller waits no longer than `wait` for another process's lock.
    ///
    /// # Errors
    /// As [`Index::open`], and [`Error::Newer`].
    pub fn open(path: &Path, wait: Duration) -> Result<Tables, Error> {
        let index = Index::open_to_read(path, wait, Others::MayWrite)?;
        index.check_schema()?;
        let read = || {
            let connection = index.connection();
            connection.execute_batch("BEGIN")?;
            let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')";
            let mut statement = connection.prepare(sql)?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            let of = |name: String| Ok((name.clone(), columns_of(connection, &name)?));
            names.into_iter().map(of).collect::<Result<HashMap<_, _>, rusqlite::Error>>()
        };
        let columns = read().map_err(index.error("read the framework's tables"))?;
        Ok(Tables { index, columns })
    }

    /// What stops a query from another thread; it fails with [`is_interrupted`] then.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.index.connection().get_interrupt_handle()
    }

    /// Whether `table` exists.
    pub fn has(&self, table: &Table) -> bool {
        self.columns.contains_key(table.name)
    }

    /// Whether `table` has `column`.
    pub fn has_column(&self, table: &Table, column: &str) -> bool {
        self.columns.get(table.name).is_some_and(|there| there.iter().any(|it| it.eq_ignore_ascii_case(column)))
    }

    /// What SQLite finds damaged in the database; empty if it is sound.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn integrity(&self) -> Result<Vec<String>, Error> {
        self.index.integrity()
    }

    /// How often each value of `column` occurs, in the order in which the values first occur.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_by(&self, table: &Table, column: &'static str) -> Result<Vec<(Value, i64)>, Error> {
        if !self.has(table) {
            return Ok(Vec::new());
        }
        let (name, column, shape) = (table.name, self.column(table, column), table.shape_of(column));
        let sql = format!("SELECT {column}, count(*) FROM {name} GROUP BY 1 ORDER BY min(rowid)");
        let one = |row: &rusqlite::Row<'_>| Ok((Value::of(row.get_ref(0)?, shape), row.get(1)?));
        let read = || self.index.connection().prepare(&sql)?.query_map([], one)?.collect::<Result<Vec<_>, _>>();
        read().map_err(self.index.error("count the rows of a table"))
    }

    /// `column` of `table` for a statement; NULL if the table lacks it.
    fn column(&self, table: &Table, column: &str) -> String {
        match self.has_column(table, column) {
            true => format!("{}.{column}", table.name),
            false => "NULL".to_owned(),
        }
    }
}

/// Whether `error` is that of a query stopped by [`Tables::interrupt_handle`].
pub fn is_interrupted(error: &Error) -> bool {
    let interrupted = Some(rusqlite::ErrorCode::OperationInterrupted);
    matches!(error, Error::Sqlite { source, .. } if source.sqlite_error_code() == interrupted)
}
