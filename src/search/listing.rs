//! Lists of a search database: the first of the records that a filter accepts, how many these are, and the names that
//! records have. Nothing is read but `docs` and `names`, and for records with a session or tag the full-text index.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};
use uuid::Uuid;

use super::filter::{Filter, Name, State};
use super::schema::{fact, kind_number, kind_of, meta, origin_number};
use jiff::Timestamp;

use crate::model::{Kind, RecordId, Revision};

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

/// Where a record's page lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its path, relative to the home; `None` if kind, time and id lead to it.
    pub path: Option<String>,
    /// Its kind; `None` if the number is none of a kind.
    pub kind: Option<Kind>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

impl Located {
    /// As the columns `path`, `kind` and `created` say, the first of which is the `first` of the row.
    pub(super) fn of(row: &Row<'_>, first: usize) -> rusqlite::Result<Located> {
        let created_at = Timestamp::from_millisecond(row.get(first + 2)?).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Located { path: row.get(first)?, kind: kind_of(row.get(first + 1)?), created_at })
    }
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
    /// Where its page lies.
    pub located: Located,
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
        "SELECT id, revision, coalesce(severity, 0), path, kind, created FROM docs {} ORDER BY {order} LIMIT {}",
        condition.sql,
        i64::try_from(limit).unwrap_or(i64::MAX)
    );
    let mut statement = c.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(condition.values), |row| {
        let revision = row.get::<_, Option<String>>(1)?.and_then(|text| text.parse().ok());
        let located = Located::of(row, 3)?;
        Ok(Listed { id: id_in(row)?, revision, created_ms: row.get(5)?, severity: row.get(2)?, located })
    })?;
    rows.collect()
}

/// How many records `filter` accepts, and whether there are more: no more than `max` are counted.
///
/// # Errors
/// SQLite's.
pub fn count(c: &Connection, filter: &Filter, max: Option<u64>) -> rusqlite::Result<(u64, bool)> {
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    if filter.is_empty() {
        return Ok((unsigned(meta::<Option<i64>>(c, "docs")?.flatten().unwrap_or(0)), false));
    }
    let Some(condition) = Condition::of(c, filter)? else { return Ok((0, false)) };
    if let Some(docs) = condition.known {
        return Ok((unsigned(docs), false));
    }
    let most = max.map_or(i64::MAX, |max| i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1));
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM docs {} LIMIT {most})", condition.sql);
    let count = unsigned(c.query_row(&sql, params_from_iter(condition.values), |row| row.get(0))?);
    Ok(match max {
        Some(max) if count > max => (max, true),
        _ => (count, false),
    })
}

/// How many records there are of each kind, and how many of them were recorded at `since` or later. It reads an index of `docs`
/// alone.
///
/// # Errors
/// SQLite's.
pub fn count_by_kind(c: &Connection, since: Timestamp) -> rusqlite::Result<Vec<(Kind, u64, u64)>> {
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    let mut statement = c.prepare("SELECT kind, count(*), sum(created >= ?1) FROM docs GROUP BY kind")?;
    let mut rows = statement.query([since.as_millisecond()])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(kind) = kind_of(row.get(0)?) {
            counts.push((kind, unsigned(row.get(1)?), unsigned(row.get(2)?)));
        }
    }
    Ok(counts)
}

/// The kind of the record `id` and when it was recorded, if the database has it.
///
/// # Errors
/// SQLite's.
pub fn kind_and_time(c: &Connection, id: RecordId) -> rusqlite::Result<Option<(Kind, Timestamp)>> {
    let sql = "SELECT kind, created FROM docs WHERE substr(id, 13) = substr(?1, 13) AND id = ?1";
    let found = c.query_row(sql, [id.0.as_bytes().to_vec()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.and_then(|(kind, created)| Some((kind_of(kind)?, Timestamp::from_millisecond(created).ok()?))))
}

/// Whether the database has the record `id`, and `filter` accepts it as it is there.
///
/// # Errors
/// SQLite's.
pub fn is_listed(c: &Connection, filter: &Filter, id: RecordId) -> rusqlite::Result<bool> {
    let Some(mut condition) = Condition::of(c, filter)? else { return Ok(false) };
    let bytes = || Value::Blob(id.0.as_bytes().to_vec());
    condition.and("substr(id, 13) = substr(?, 13) AND id = ?", [bytes(), bytes()]);
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

/// The records whose id ends with the hex digits `end`, and where their pages lie. Eight digits and more are found by an index.
///
/// # Errors
/// SQLite's.
pub fn ids_ending(c: &Connection, end: &str, limit: usize) -> rusqlite::Result<Vec<(RecordId, Located)>> {
    let end = end.to_ascii_lowercase();
    // Whole bytes of the end, at most the four that have an index.
    let bytes = (end.len() / 2).min(4);
    let digits = &end[end.len() - 2 * bytes..];
    let bytes: Vec<u8> =
        (0..bytes).filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    let condition = match bytes.len() {
        0 => String::new(),
        4 => "WHERE substr(id, 13) = ?1".to_owned(),
        bytes => format!("WHERE substr(substr(id, 13), {}) = ?1", 5 - bytes),
    };
    let mut statement = c.prepare(&format!("SELECT id, path, kind, created FROM docs {condition}"))?;
    let mut rows = if bytes.is_empty() { statement.query([])? } else { statement.query([bytes])? };
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
        let id = id_in(row)?;
        if id.0.simple().to_string().ends_with(&end) {
            found.push((id, Located::of(row, 1)?));
        }
    }
    Ok(found)
}

/// The records that were golden rules when they were last looked at. The full-text index has them together: no other record
/// is read.
///
/// # Errors
/// SQLite's.
pub fn golden(c: &Connection) -> rusqlite::Result<Vec<RecordId>> {
    let sql = "SELECT docs.id FROM text CROSS JOIN docs ON docs.doc = text.rowid WHERE text MATCH ?1";
    c.prepare(sql)?.query_map([format!("\"{}\"", fact::GOLDEN)], id_in)?.collect()
}

fn id_in(row: &Row<'_>) -> rusqlite::Result<RecordId> {
    let bytes: [u8; 16] = row.get(0)?;
    Ok(RecordId(Uuid::from_bytes(bytes)))
}

/// A filter as SQL.
///
/// Of a column with an index, one value or few records are looked up there, and sorted. Several values that many records
/// have are met soon in the order of the list, so their index is not used: a `+` before the column says so. A kind is
/// looked up only where nothing else is: the indexes of domains and projects have it as well.
#[derive(Default)]
struct Condition {
    sql: String,
    values: Vec<Value>,
    /// How many records it accepts, if the names say it.
    known: Option<i64>,
    parts: usize,
    /// Whether few records are looked at for a name.
    is_narrow: bool,
}

/// So many records are sorted rather than met in the order of the list.
const SORTED_MAX: i64 = 5_000;

impl Condition {
    /// `None` if a name is asked for that no record has.
    fn of(c: &Connection, filter: &Filter) -> rusqlite::Result<Option<Condition>> {
        let mut condition = Condition::default();
        let numbers = |numbers: Vec<i64>| numbers.into_iter().map(Value::Integer).collect::<Vec<_>>();
        condition.one_of("severity", numbers(filter.severities.iter().map(|it| i64::from(it.get())).collect()));
        condition.one_of("origin", numbers(filter.origins.iter().map(|it| origin_number(*it)).collect()));
        let golden = filter.states.iter().map(|it| i64::from(*it == State::Golden)).collect();
        condition.one_of("golden", numbers(golden));
        if filter.is_of_no_project {
            condition.and("project IS NULL", []);
        }
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
            let docs = found.iter().map(|(_, docs)| docs).sum();
            let (is_one, is_few) = (found.len() == 1, docs <= SORTED_MAX);
            condition.named(name, found.into_iter().map(|(n, _)| n).collect(), is_one, is_few);
            condition.known = Some(docs).filter(|_| is_one && condition.parts == 1);
        }
        let kinds: Vec<i64> = filter.kinds.iter().map(|it| kind_number(*it)).collect();
        let is_by_kind = kinds.len() == 1 && !condition.is_narrow;
        condition.one_of(if is_by_kind { "kind" } else { "+kind" }, numbers(kinds));
        Ok(Some(condition))
    }

    /// The records that have one of the names `numbers`.
    fn named(&mut self, name: Name, numbers: Vec<i64>, is_one: bool, is_few: bool) {
        let column = match name {
            Name::Domain => "domain",
            Name::Project => "project",
            Name::Session | Name::Tag if is_few => {
                self.is_narrow = true;
                let facts: Vec<_> = numbers.into_iter().map(|n| format!("\"{}\"", fact::name(n))).collect();
                return self
                    .and("doc IN (SELECT rowid FROM text WHERE text MATCH ?)", [Value::Text(facts.join(" OR "))]);
            }
            Name::Session => "session",
            Name::Agent => "agent",
            Name::Tag => {
                let sql: Vec<_> = numbers.iter().map(|_| "instr(tags, ?) > 0").collect();
                let tags = numbers.into_iter().map(|n| Value::Text(format!(" {n} ")));
                return self.and(&format!("({})", sql.join(" OR ")), tags);
            }
        };
        let numbers = numbers.into_iter().map(Value::Integer).collect();
        match is_one || is_few {
            true => {
                self.is_narrow |= matches!(name, Name::Domain | Name::Project);
                self.one_of(column, numbers);
            }
            false => self.one_of(&format!("+{column}"), numbers),
        }
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
        self.known = None;
        self.parts += 1;
    }
}

fn places(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// The names of the sort `name` that are asked for: their numbers, and how many records have each.
fn matching(c: &Connection, name: Name, wanted: &[String]) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = c.prepare("SELECT n, name, docs FROM names WHERE what = ?1 AND docs > 0")?;
    let mut rows = statement.query([name as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let is: String = row.get(1)?;
        if wanted.iter().any(|wanted| name.matches(&is, wanted)) {
            found.push((row.get(0)?, row.get(2)?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Doc, Writer, create};
    use super::*;
    use crate::model::{Kind, Learning, Origin, Provenance, Record, Severity};

    /// Records 1 to 40: every second a failure, every third in `ci`, with the tags `a` and sometimes `b`.
    fn database() -> Connection {
        let mut c = Connection::open_in_memory().expect("there is memory");
        create(&c).expect("it is empty");
        let transaction = c.transaction().expect("it is free");
        let mut writer = Writer::open(&transaction).expect("it has its tables");
        for n in 1..=40_u8 {
            let learning = Learning {
                title: format!("number {n}"),
                domain: if n % 3 == 0 { "ci".into() } else { "ops".into() },
                severity: Severity::new(n % 5 + 1).expect("1 to 5"),
                tags: if n % 4 == 0 { "a,b".into() } else { "a".into() },
                ..Learning::default()
            };
            let record = if n % 2 == 0 { Record::Failure(learning) } else { Record::Success(learning) };
            let provenance = Provenance { origin: Some(Origin::Hook), ..Provenance::default() };
            writer.put(&doc(n, &record, &provenance)).expect("it is taken");
        }
        writer.finish().expect("it is taken");
        transaction.commit().expect("it is taken");
        c
    }

    fn doc<'a>(n: u8, record: &'a Record, provenance: &'a Provenance) -> Doc<'a> {
        Doc {
            id: RecordId(Uuid::from_u128(u128::from(n) << 64 | u128::from(n))),
            revision: None,
            created_at: jiff::Timestamp::from_second(i64::from(n)).expect("a time"),
            path: "p.md",
            record,
            provenance,
            golden: false,
        }
    }

    fn numbers(c: &Connection, filter: &Filter, order: Order, limit: usize) -> Vec<u8> {
        let listed = listed(c, filter, order, limit).expect("readable");
        listed.into_iter().map(|it| it.id.0.as_u128() as u8).collect()
    }

    #[test]
    fn each_condition_takes_what_its_filter_accepts() {
        let c = database();
        let wanted = |is: fn(u8) -> bool| (1..=40).rev().filter(|n| is(*n)).collect::<Vec<u8>>();
        let none = Filter::default();
        type Case = (Filter, fn(u8) -> bool);
        let cases: [Case; 9] = [
            (none.clone(), |_| true),
            (Filter { kinds: vec![Kind::Failure], ..none.clone() }, |n| n % 2 == 0),
            (Filter { kinds: vec![Kind::Failure, Kind::Success], ..none.clone() }, |_| true),
            (Filter { domains: vec!["CI".into()], ..none.clone() }, |n| n % 3 == 0),
            (Filter { domains: vec!["ci".into(), "ops".into()], ..none.clone() }, |_| true),
            (Filter { tags: vec!["b".into()], kinds: vec![Kind::Failure], ..none.clone() }, |n| n % 4 == 0),
            (Filter { severities: vec![Severity::LEAST], ..none.clone() }, |n| n % 5 == 0),
            (Filter { origins: vec![Origin::Person], ..none.clone() }, |_| false),
            (Filter { sessions: vec!["s".into()], ..none.clone() }, |_| false),
        ];
        for (filter, is) in cases {
            let wanted = wanted(is);
            assert_eq!(numbers(&c, &filter, Order::Newest, 100), wanted, "{filter:?}");
            assert_eq!(count(&c, &filter, None).expect("readable"), (wanted.len() as u64, false), "{filter:?}");
            let oldest: Vec<u8> = wanted.iter().rev().take(3).copied().collect();
            assert_eq!(numbers(&c, &filter, Order::Oldest, 3), oldest, "{filter:?}");
        }
        let some = Filter { kinds: vec![Kind::Failure], ..none };
        assert_eq!(count(&c, &some, Some(5)).expect("readable"), (5, true));
        assert_eq!(numbers(&c, &some, Order::Severity, 3), [34, 24, 14]);
    }

    #[test]
    fn names_and_ends_of_ids_are_found() {
        let c = database();
        assert_eq!(names(&c, Name::Tag, 10).expect("readable"), ["a", "b"]);
        assert_eq!(names(&c, Name::Domain, 1).expect("readable"), ["ops"]);
        for (end, wanted) in
            [("0000000a", 1), ("a", 2), ("0a", 1), ("00a", 1), ("000000000000000a000000000000000a", 1), ("ff", 0)]
        {
            assert_eq!(ids_ending(&c, end, 10).expect("readable").len(), wanted, "{end}");
        }
        assert_eq!(ids_ending(&c, "0", 1).expect("readable").len(), 1);
    }
}
