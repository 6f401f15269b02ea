//! Rows by conditions, newest or best first.

use rusqlite::types::ToSqlOutput;
use rusqlite::{ToSql, params_from_iter};

use super::{Row, Table, Tables, Value};
use crate::target::index::Error;

/// A condition on one column.
#[derive(Clone, Debug)]
pub enum Is<'a> {
    /// The column has this value.
    Equal(&'static str, &'a str),
    /// The column has this value, or none.
    EqualOrNull(&'static str, &'a str),
    /// The column has one of these values.
    OneOf(&'static str, &'static [&'static str]),
    /// The text in the column is this one or later in order, as times are.
    Since(&'static str, String),
    /// The number in the column is this one or larger.
    AtLeast(&'static str, f64),
    /// The column has one of these texts in it, in any case of ASCII.
    HasAny(&'static str, &'a [String]),
    /// The column is 0 or NULL.
    False(&'static str),
    /// The column is 1.
    True(&'static str),
}

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    table: &'static Table,
    conditions: Vec<Is<'a>>,
    order: &'static [&'static str],
    rows_max: Option<u32>,
}

impl<'a> Select<'a> {
    /// All rows of `table`.
    pub fn from(table: &'static Table) -> Select<'a> {
        Select { table, conditions: Vec::new(), order: &[], rows_max: None }
    }

    /// The name of the table.
    pub fn table_name(&self) -> &'static str {
        self.table.name
    }

    /// Those of them for which `condition` holds.
    #[must_use]
    pub fn where_(mut self, condition: Is<'a>) -> Select<'a> {
        self.conditions.push(condition);
        self
    }

    /// The same, if there is a condition.
    #[must_use]
    pub fn where_some(self, condition: Option<Is<'a>>) -> Select<'a> {
        match condition {
            Some(condition) => self.where_(condition),
            None => self,
        }
    }

    /// Largest first in these columns, and the newest of equals.
    #[must_use]
    pub fn largest(mut self, order: &'static [&'static str]) -> Select<'a> {
        self.order = order;
        self
    }

    /// No more than `rows_max` of them.
    #[must_use]
    pub fn first(mut self, rows_max: u32) -> Select<'a> {
        self.rows_max = Some(rows_max);
        self
    }
}

impl Is<'_> {
    /// The condition in SQL. What it compares with is added to `values`.
    fn sql(&self, tables: &Tables, table: &Table, values: &mut Vec<Bound>) -> String {
        let column = |name: &str| tables.column(table, name);
        let mut bind = |value: Bound| {
            values.push(value);
            "?"
        };
        match self {
            Is::Equal(name, text) => format!("{} = {}", column(name), bind(Bound::Text((*text).to_owned()))),
            Is::EqualOrNull(name, text) => {
                let name = column(name);
                format!("({name} = {} OR {name} IS NULL)", bind(Bound::Text((*text).to_owned())))
            }
            Is::OneOf(name, texts) => {
                let marks: Vec<_> = texts.iter().map(|text| bind(Bound::Text((*text).to_owned()))).collect();
                format!("{} IN ({})", column(name), marks.join(", "))
            }
            Is::Since(name, text) => format!("{} >= {}", column(name), bind(Bound::Text(text.clone()))),
            Is::AtLeast(name, number) => format!("{} >= {}", column(name), bind(Bound::Number(*number))),
            Is::HasAny(name, texts) => {
                let name = column(name);
                // `instr` has no wildcards.
                let one = |text: &String| {
                    format!("instr(lower({name}), {}) > 0", bind(Bound::Text(text.to_ascii_lowercase())))
                };
                let each: Vec<_> = texts.iter().map(one).collect();
                format!("({})", each.join(" OR "))
            }
            Is::False(name) => format!("coalesce({}, 0) = 0", column(name)),
            Is::True(name) => format!("{} = 1", column(name)),
        }
    }
}

/// A value in a condition.
enum Bound {
    Text(String),
    Number(f64),
}

impl ToSql for Bound {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        match self {
            Bound::Text(text) => text.to_sql(),
            Bound::Number(number) => number.to_sql(),
        }
    }
}

impl Tables {
    /// The rows that `select` describes; none if the table does not exist.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn select(&self, select: &Select<'_>) -> Result<Vec<Row>, Error> {
        let table = select.table;
        if !self.has(table) {
            return Ok(Vec::new());
        }
        let columns: Vec<_> = table.columns.iter().map(|(name, _)| self.column(table, name)).collect();
        let (rest, values) = self.rest_of(select);
        let sql = format!("SELECT {} FROM {}{rest}", columns.join(", "), table.name);
        let one = |row: &rusqlite::Row<'_>| {
            let value = |(at, (name, shape)): (usize, &(&'static str, _))| {
                Ok::<_, rusqlite::Error>((*name, Value::of(row.get_ref(at)?, *shape)))
            };
            table.columns.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>().map(Row)
        };
        let connection = self.index.connection();
        let read =
            || connection.prepare(&sql)?.query_map(params_from_iter(values), one)?.collect::<Result<Vec<_>, _>>();
        let mut rows = read().map_err(self.index.error("read the framework's tables"))?;
        self.add_homes(table, &mut rows)?;
        Ok(rows)
    }

    /// How many rows `select` describes.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count(&self, select: &Select<'_>) -> Result<i64, Error> {
        if !self.has(select.table) {
            return Ok(0);
        }
        let (rest, values) = self.rest_of(&Select { order: &[], rows_max: None, ..select.clone() });
        let sql = format!("SELECT count(*) FROM {}{rest}", select.table.name);
        let count = self.index.connection().query_row(&sql, params_from_iter(values), |row| row.get(0));
        count.map_err(self.index.error("count the rows of a table"))
    }

    /// Conditions, order and limit, with what the conditions compare with.
    fn rest_of(&self, select: &Select<'_>) -> (String, Vec<Bound>) {
        let table = select.table;
        let mut values = Vec::new();
        let conditions: Vec<_> = select.conditions.iter().map(|it| it.sql(self, table, &mut values)).collect();
        let mut rest = String::new();
        if !conditions.is_empty() {
            rest.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if !select.order.is_empty() {
            let mut order: Vec<_> = select.order.iter().map(|name| self.column(table, name)).collect();
            order.push(self.column(table, "id"));
            rest.push_str(&format!(" ORDER BY {} DESC", order.join(" DESC, ")));
        }
        if let Some(rows_max) = select.rows_max {
            rest.push_str(&format!(" LIMIT {rows_max}"));
        }
        (rest, values)
    }
}
