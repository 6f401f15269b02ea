//! Lists of a search database: the first of the records that a filter accepts, how many these are, and the names that
//! records have. Nothing is read but `docs`, `names` and `tags`.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use uuid::Uuid;

use super::filter::{Filter, Name, State};
use super::schema::{kind_number, origin_number};
use crate::model::{RecordId, Revision};

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
    /// The most serious first, the newest of equals first.
    Severity,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: RecordId,
    /// The revision that is in the database; `None` for a record's first.
    pub revision: Option<Revision>,
    /// When it was recorded, in milliseconds since 1970.
    pub created_ms: i64,
    /// Its severity; 0 if it has none.
    pub severity: i64,
    /// Its page, relative to the home.
    pub path: String,
}

/// The first `limit` of the records that `filter` accepts.
///
/// # Errors
/// SQLite's.
pub fn listed(c: &Connection, filter: &Filter, order: Order, limit: usize) -> rusqlite::Result<Vec<Listed>> {
    let Some(condition) = Condition::of(c, filter)? else { return Ok(Vec::new()) };
    let order = match order {
        Order::Newest => "created DESC, id DESC",
        Order::Oldest => "created, id",
        Order::Severity => "coalesce(severity, 0) DESC, created DESC, id DESC",
    };
    let sql = format!(
        "SELECT id, revision, created, coalesce(severity, 0), path FROM docs {} ORDER BY {order} LIMIT {}",
        condition.sql,
        i64::try_from(limit).unwrap_or(i64::MAX)
    );
    let mut statement = c.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(condition.values), |row| {
        let revision = row.get::<_, Option<String>>(1)?.and_then(|text| text.parse().ok());
        Ok(Listed { id: id_in(row)?, revision, created_ms: row.get(2)?, severity: row.get(3)?, path: row.get(4)? })
    })?;
    rows.collect()
}

/// How many records `filter` accepts.
///
/// # Errors
/// SQLite's.
pub fn count(c: &Connection, filter: &Filter) -> rusqlite::Result<u64> {
    let Some(condition) = Condition::of(c, filter)? else { return Ok(0) };
    let sql = format!("SELECT count(*) FROM docs {}", condition.sql);
    let count: i64 = c.query_row(&sql, params_from_iter(condition.values), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Whether the database has the record `id`, and `filter` accepts it as it is there.
///
/// # Errors
/// SQLite's.
pub fn is_listed(c: &Connection, filter: &Filter, id: RecordId) -> rusqlite::Result<bool> {
    let Some(mut condition) = Condition::of(c, filter)? else { return Ok(false) };
    condition.and("id = ?", [Value::Blob(id.0.as_bytes().to_vec())]);
    let sql = format!("SELECT count(*) FROM docs {}", condition.sql);
    let count: i64 = c.query_row(&sql, params_from_iter(condition.values), |row| row.get(0))?;
    Ok(count > 0)
}

/// The names of the sort `name` that records have, the most used first.
///
/// # Errors
/// SQLite's.
pub fn names(c: &Connection, name: Name, limit: usize) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM names WHERE what = ?1 AND docs > 0 ORDER BY docs DESC, name LIMIT ?2";
    let mut statement = c.prepare(sql)?;
    let values = (name as i64, i64::try_from(limit).unwrap_or(i64::MAX));
    statement.query_map(values, |row| row.get(0))?.collect()
}

/// The records whose id ends with the hex digits `end`, with their paths.
///
/// # Errors
/// SQLite's.
pub fn ids_ending(c: &Connection, end: &str, limit: usize) -> rusqlite::Result<Vec<(RecordId, String)>> {
    // The first query reads the index of ids alone.
    let sql =
        "SELECT id, path FROM docs WHERE id IN (SELECT id FROM docs WHERE substr(hex(id), -?2) = upper(?1)) LIMIT ?3";
    let mut statement = c.prepare(sql)?;
    let (digits, limit) = (i64::try_from(end.len()).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    statement.query_map((end, digits, limit), |row| Ok((id_in(row)?, row.get(1)?)))?.collect()
}

fn id_in(row: &Row<'_>) -> rusqlite::Result<RecordId> {
    let bytes: [u8; 16] = row.get(0)?;
    Ok(RecordId(Uuid::from_bytes(bytes)))
}

/// A filter as SQL.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// `None` if a name is asked for that no record has.
    fn of(c: &Connection, filter: &Filter) -> rusqlite::Result<Option<Condition>> {
        let mut condition = Condition { sql: String::new(), values: Vec::new() };
        let numbers = |numbers: Vec<i64>| numbers.into_iter().map(Value::Integer).collect::<Vec<_>>();
        condition.one_of("kind", numbers(filter.kinds.iter().map(|it| kind_number(*it)).collect()));
        condition.one_of("severity", numbers(filter.severities.iter().map(|it| i64::from(it.get())).collect()));
        condition.one_of("origin", numbers(filter.origins.iter().map(|it| origin_number(*it)).collect()));
        let golden = filter.states.iter().map(|it| i64::from(*it == State::Golden)).collect();
        condition.one_of("golden", numbers(golden));
        if let Some(since) = filter.since {
            condition.and("created >= ?", [Value::Integer(since.as_millisecond())]);
        }
        if let Some(until) = filter.until {
            condition.and("created < ?", [Value::Integer(until.as_millisecond())]);
        }
        for (name, wanted) in [
            (Name::Domain, &filter.domains),
            (Name::Project, &filter.projects),
            (Name::Session, &filter.sessions),
            (Name::Agent, &filter.agents),
            (Name::Tag, &filter.tags),
        ] {
            if wanted.is_empty() {
                continue;
            }
            let found = matching(c, name, wanted)?;
            if found.is_empty() {
                return Ok(None);
            }
            match name {
                Name::Domain => condition.one_of("domain", numbers(found)),
                Name::Project => condition.one_of("project", numbers(found)),
                Name::Session => condition.one_of("session", numbers(found)),
                Name::Agent => condition.one_of("agent", numbers(found)),
                Name::Tag => {
                    let sql = format!("doc IN (SELECT doc FROM tags WHERE tag IN ({}))", places(found.len()));
                    condition.and(&sql, numbers(found));
                }
            }
        }
        Ok(Some(condition))
    }

    fn one_of(&mut self, column: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.and(&format!("{column} IN ({})", places(values.len())), values);
        }
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

fn places(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// The numbers of the names of the sort `name` that are asked for.
fn matching(c: &Connection, name: Name, wanted: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut statement = c.prepare("SELECT n, name FROM names WHERE what = ?1 AND docs > 0")?;
    let mut rows = statement.query([name as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let is: String = row.get(1)?;
        if wanted.iter().any(|wanted| name.matches(&is, wanted)) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}
