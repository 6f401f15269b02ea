//! Which rules are the same one: the table `alike` has for each rule the hash of its domain and text, made equal.
//!
//! A rule's row and its hash appear in one transaction. Rules of an older program's index have no hash until
//! [`Index::fill_alike`] has given them one; until then they are not found by it.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while hashes are filled in | some of them | the next worker's start, or `recover` |

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::query::parsed;
use super::schema::{columns_or_null, has_table, migrate};
use super::{Error, Index, framework};
use crate::fs::order::{self, Lock};
use crate::model::{Record, RecordId};
use crate::rules;

/// How many rules get their hash in one transaction.
const GROUP: i64 = 1000;

/// The content of the record `id` is `record`, from now on.
pub(super) fn changed(connection: &Connection, id: RecordId, record: &Record) -> Result<(), rusqlite::Error> {
    match record {
        Record::Heuristic(it) => put(connection, &id.to_string(), &rules::alike(&it.domain, &it.rule)),
        _ => Ok(()),
    }
}

fn put(connection: &Connection, rule: &str, form: &str) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO alike (rule, form) VALUES (?1, ?2)")?;
    statement.execute(params![rule, form]).map(|_| ())
}

impl Index {
    /// The first of the rules of `project` that are the same as `rule` in `domain`: the one with the smallest id that is not
    /// hidden. With `is_by_person`, only rules that a person recorded.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn same_rule(
        &self,
        domain: &str,
        rule: &str,
        project: Option<&str>,
        is_by_person: bool,
    ) -> Result<Option<RecordId>, Error> {
        let read = || {
            // An older program's index lacks the table until the next insertion.
            if !has_table(&self.connection, "alike")? {
                return Ok(None);
            }
            let sql = "SELECT alike.rule FROM alike JOIN records ON records.id = alike.rule
                       WHERE alike.form = ?1 AND records.row_id > 0
                       AND records.project IS ?2 AND (?3 = 0 OR records.origin = 'person')
                       ORDER BY alike.rule LIMIT 1";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement
                .query_row(params![rules::alike(domain, rule), project, is_by_person], |row| parsed(row, 0))
                .optional()
        };
        read().map_err(self.error("look up a rule in the index"))
    }

    /// The rules that are the same as `rule` in `domain`, those of `projects` that are not hidden, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn same_rules(
        &self,
        domain: &str,
        rule: &str,
        projects: [Option<&str>; 2],
        limit: u32,
    ) -> Result<Vec<RecordId>, Error> {
        let read = || {
            // An older program's index lacks the table until the next insertion.
            if !has_table(&self.connection, "alike")? {
                return Ok(Vec::new());
            }
            let sql = "SELECT alike.rule FROM alike JOIN records ON records.id = alike.rule
                       WHERE alike.form = ?1 AND records.row_id > 0
                       AND (records.project IS ?2 OR records.project IS ?3)
                       ORDER BY alike.rule LIMIT ?4";
            let mut statement = self.connection.prepare_cached(sql)?;
            let [one, other] = projects;
            let rows =
                statement.query_map(params![rules::alike(domain, rule), one, other, limit], |row| parsed(row, 0))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(self.error("look up a rule in the index"))
    }

    /// Gives the rules of an older program's index their hash. If none lacks it, that costs one look.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`]; some may have it then.
    pub(super) fn fill_alike(&mut self) -> Result<(), Error> {
        let error = self.error("bring the index up to date");
        loop {
            if !self.lacks_alike().map_err(&error)? {
                return Ok(());
            }
            let _held = order::take(Lock::Index);
            let mut fill = || {
                let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                migrate(&transaction)?;
                let filled = fill(&transaction)?;
                transaction.commit()?;
                Ok(filled)
            };
            if fill().map_err(&error)? == 0 {
                return Ok(());
            }
        }
    }

    fn lacks_alike(&self) -> Result<bool, rusqlite::Error> {
        let known = match has_table(&self.connection, "alike")? {
            true => "AND NOT EXISTS (SELECT 1 FROM alike WHERE rule = records.id)",
            false => "",
        };
        let sql = format!("SELECT 1 FROM records WHERE kind = 'heuristic' {known} LIMIT 1");
        Ok(self.connection.query_row(&sql, [], |_| Ok(())).optional()?.is_some())
    }
}

/// Gives some of the rules that have no hash one. Returns how many.
fn fill(connection: &Connection) -> Result<usize, rusqlite::Error> {
    let row = columns_or_null(connection, "heuristics", &["domain", "rule"])?;
    let exact = columns_or_null(connection, "records", &framework::EXACT)?;
    let sql = format!(
        "SELECT records.id, {row}, {exact} FROM records LEFT JOIN heuristics ON heuristics.id = abs(records.row_id)
         WHERE records.kind = 'heuristic' AND NOT EXISTS (SELECT 1 FROM alike WHERE rule = records.id) LIMIT {GROUP}"
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map([], |row| {
        let text = |at| row.get::<_, Option<String>>(at);
        let (domain, rule) = (text(4)?.or(text(1)?), text(3)?.or(text(2)?));
        Ok((row.get::<_, String>(0)?, domain.zip(rule)))
    })?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    for (id, rule) in &found {
        // A rule without a row is the same as none, until it is restored and amended.
        let form = rule.as_ref().map_or_else(String::new, |(domain, rule)| rules::alike(domain, rule));
        put(connection, id, &form)?;
    }
    Ok(found.len())
}
