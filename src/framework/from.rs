//! Which rows are records of other homes.

use rusqlite::{OptionalExtension as _, params};

use super::{EXPERIMENTS, HEURISTICS, LEARNINGS, Row, Table, Tables, Value};
use crate::target::index::Error;

/// The last column of a row of another home: which home that is, or `unknown`. Rows of this home's own records do not have it.
pub const FROM: &str = "from";

impl Tables {
    /// Adds [`FROM`] to those of `rows`, which are of `table`, that another home recorded.
    pub(super) fn add_homes(&self, table: &Table, rows: &mut [Row]) -> Result<(), Error> {
        let is_of_records = [LEARNINGS.name, HEURISTICS.name, EXPERIMENTS.name].contains(&table.name);
        let has_homes = self.columns.get("records").is_some_and(|columns| columns.iter().any(|it| it == "home"));
        if !is_of_records || !has_homes {
            return Ok(());
        }
        let kind_of = |row: &Row| match table.name {
            name if name == HEURISTICS.name => Some("heuristic".to_owned()),
            name if name == EXPERIMENTS.name => Some("experiment".to_owned()),
            _ => row.text("type").map(str::to_owned),
        };
        let read = || {
            let sql = "SELECT home FROM records WHERE home IS NOT NULL AND kind = ?1 AND row_id = ?2";
            let mut statement = self.index.connection().prepare(sql)?;
            for row in rows {
                let (Some(kind), Value::Integer(id)) = (kind_of(row), row.get("id")) else { continue };
                let home: Option<String> = statement.query_row(params![kind, id], |row| row.get(0)).optional()?;
                row.0.extend(home.map(|home| (FROM, Value::Text(home))));
            }
            Ok(())
        };
        read().map_err(self.index.error("look up where records came from"))
    }
}
