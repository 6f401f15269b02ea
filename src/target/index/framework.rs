//! Rows in tables of the Emergent Learning Framework: what its readers accept, and what it lacks.
//!
//! 1. In an adopted home, a row has what the framework's own programs would write. Its tools turn a heuristic's domain
//!    into file names, split rows at line ends, and show every summary whole.
//! 2. If that is not the exact text, `records` stores the exact text beside it (`exact_headline`, `exact_domain`).
//!    Only the record's file has the whole summary.
//! 3. `framework` in the table `indelible` of the index says whether a home's tables are the framework's, so that a
//!    recorder reads it in the transaction in which it inserts.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the layout's commit | the old layout (SQLite rolls back) | `init`, `adopt`, the next worker |
//! | after it | the new layout; after a power cut perhaps the old one | the same |

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::schema::{columns_of, value_of};
use super::{Error, Index};
use crate::fs::order::{self, Lock};
use crate::model::Record;

/// The key in `indelible` for a home whose tables are the framework's.
const FRAMEWORK: &str = "framework";
/// The framework's limits on a domain and on the first line of a summary, in characters.
const DOMAIN_CHARS_MAX: usize = 100;
const SUMMARY_CHARS_MAX: usize = 500;
/// The columns of `records` that only these homes have.
pub(super) const EXACT: [&str; 2] = ["exact_headline", "exact_domain"];
/// The same, to append to other columns.
pub(super) const COLUMNS: &str = ", exact_headline, exact_domain";

/// A record's exact texts, where a row of the framework's differs from them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fitted {
    pub headline: Option<String>,
    pub domain: Option<String>,
}

/// `record` fitted to a row of the framework's, and the exact texts that differ.
pub(super) fn fitted(record: &Record) -> (Record, Fitted) {
    let mut row = record.clone();
    let exact = match &mut row {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => {
            it.summary = summary(&it.summary).to_owned();
            let headline = replace(&mut it.title, |text| one_line(text).into_owned());
            Fitted { headline, domain: replace(&mut it.domain, |text| one_line(text).into_owned()) }
        }
        Record::Heuristic(it) => {
            let headline = replace(&mut it.rule, |text| one_line(text).into_owned());
            Fitted { headline, domain: replace(&mut it.domain, domain) }
        }
        Record::Experiment(it) => {
            Fitted { headline: replace(&mut it.name, |text| one_line(text).into_owned()), domain: None }
        }
        // Its table is ours.
        Record::Verdict(_) => Fitted::default(),
    };
    (row, exact)
}

/// `record`, read from a row, with these exact texts where they differ from the row's.
pub(super) fn restored(mut record: Record, headline: Option<String>, domain: Option<String>) -> Record {
    let (its_headline, its_domain) = match &mut record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => (&mut it.title, Some(&mut it.domain)),
        Record::Heuristic(it) => (&mut it.rule, Some(&mut it.domain)),
        Record::Experiment(it) => (&mut it.name, None),
        Record::Verdict(_) => return record,
    };
    *its_headline = headline.unwrap_or_else(|| std::mem::take(its_headline));
    if let (Some(domain), Some(its_domain)) = (domain, its_domain) {
        *its_domain = domain;
    }
    record
}

/// Replaces `text` by `fit` of it. Returns the exact text if it differs.
fn replace(text: &mut String, fit: impl Fn(&str) -> String) -> Option<String> {
    let fitted = fit(text);
    (fitted != *text).then(|| std::mem::replace(text, fitted))
}

/// A domain as the framework spells it: lower case, dashes for spaces, only `a` to `z`, digits and dashes. If nothing
/// is left, the name is made from a checksum of the domain.
pub(super) fn domain(text: &str) -> String {
    let spelt = text.to_lowercase().replace(' ', "-");
    let mut plain: String =
        spelt.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
    plain = plain.trim_matches('-').chars().take(DOMAIN_CHARS_MAX).collect();
    match plain.is_empty() {
        true => format!("domain-{:06x}", crc32c::crc32c(text.as_bytes()) & 0xff_ffff),
        false => plain,
    }
}

/// The line of a summary that the framework keeps in the row: the first non-empty one, cut to its limit.
fn summary(text: &str) -> &str {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let end = line.char_indices().nth(SUMMARY_CHARS_MAX).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

/// `text` without line ends and other control characters: the framework's tools read rows line by line.
fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    match text.contains(breaks) {
        true => Cow::Owned(text.replace(breaks, " ")),
        false => Cow::Borrowed(text),
    }
}

/// The version of the schema, and whether the tables are the framework's, so that rows have to fit its readers.
pub(super) fn layout(connection: &Connection) -> Result<(Option<u32>, bool), rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT name, value FROM indelible WHERE name IN ('schema', 'framework')")?;
    let mut rows = statement.query([])?;
    let (mut schema, mut is_framework) = (None, false);
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str()? {
            FRAMEWORK => is_framework = true,
            _ => schema = row.get(1).ok(),
        }
    }
    Ok((schema, is_framework))
}

fn is_framework(connection: &Connection) -> Result<bool, rusqlite::Error> {
    Ok(value_of::<i64>(connection, FRAMEWORK)?.is_some())
}

impl Index {
    /// Brings the tables up to date: an older version's `experiments` gets the column that the framework's readers
    /// need, and in an adopted home (`is_adopted`) rows are fitted to these readers. If nothing is to do, it costs one
    /// check.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`]; nothing has changed then.
    pub fn update_layout(&mut self, is_adopted: bool) -> Result<(), Error> {
        let error = self.error("bring the index up to date");
        self.fill_alike()?;
        let lacks_time = lacks_updated_at(&self.connection).map_err(&error)?;
        let is_new = is_adopted && !is_framework(&self.connection).map_err(&error)?;
        if !lacks_time && !is_new {
            return Ok(());
        }
        let _held = order::take(Lock::Index);
        let mut update = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if lacks_updated_at(&transaction)? {
                // SQLite allows no non-constant default in an added column.
                transaction.execute_batch(
                    "ALTER TABLE experiments ADD COLUMN updated_at DATETIME;
                     UPDATE experiments SET updated_at = created_at;",
                )?;
            }
            if is_adopted && !is_framework(&transaction)? {
                let there = columns_of(&transaction, "records")?;
                for column in EXACT.iter().filter(|column| !there.iter().any(|it| it == *column)) {
                    transaction.execute_batch(&format!("ALTER TABLE records ADD COLUMN {column} TEXT"))?;
                }
                fit_rows(&transaction)?;
                transaction.execute("INSERT INTO indelible VALUES (?1, 1)", [FRAMEWORK])?;
            }
            transaction.commit()
        };
        update().map_err(error)
    }
}

/// Whether `experiments` is an older version's table, without the time of the last change.
fn lacks_updated_at(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let columns = columns_of(connection, "experiments")?;
    const OURS: [&str; 9] =
        ["id", "name", "hypothesis", "status", "outcome", "cycles_run", "folder_path", "created_at", "completed_at"];
    if columns != OURS {
        return Ok(false);
    }
    // The framework, too, had tables with these columns, and its programs of that age read them.
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'experiments'";
    let made = connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional()?;
    Ok(made.is_some_and(|made| made.starts_with("CREATE TABLE experiments (\n    id INTEGER PRIMARY KEY AUTOINCREMENT,\n    name TEXT NOT NULL,\n    hypothesis TEXT,\n    status TEXT DEFAULT 'active',\n    outcome TEXT,\n    cycles_run INTEGER DEFAULT 0,\n    folder_path TEXT,\n    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,\n    completed_at DATETIME")))
}

/// Fits rows that an older version inserted to the framework's readers. A row stays as it is if a trigger prevents the
/// change.
fn fit_rows(connection: &Connection) -> Result<(), rusqlite::Error> {
    let rows = [
        ("heuristics", "'heuristic'", "domain", domain as fn(&str) -> String, "exact_domain"),
        ("heuristics", "'heuristic'", "rule", |text| one_line(text).into_owned(), "exact_headline"),
        ("learnings", LEARNINGS, "title", |text| one_line(text).into_owned(), "exact_headline"),
        ("learnings", LEARNINGS, "domain", |text| one_line(text).into_owned(), "exact_domain"),
        ("experiments", "'experiment'", "name", |text| one_line(text).into_owned(), "exact_headline"),
        ("learnings", LEARNINGS, "summary", |text| summary(text).to_owned(), ""),
    ];
    for (table, kinds, column, fit, exact) in rows {
        if !columns_of(connection, table)?.iter().any(|it| it == column) {
            continue;
        }
        let sql = format!(
            "SELECT r.id, t.id, t.{column} FROM records r JOIN {table} t ON t.id = r.row_id
             WHERE r.kind IN ({kinds}) AND t.{column} IS NOT NULL"
        );
        let mut statement = connection.prepare(&sql)?;
        let found = statement.query_map([], |row| {
            let (id, row, text): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((id, row, fit(&text), text))
        })?;
        let changed = found.filter(|row| row.as_ref().is_ok_and(|(_, _, fitted, text)| fitted != text));
        for row in changed.collect::<Result<Vec<_>, _>>()? {
            let (id, row, fitted, text) = row;
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE id = ?2");
            if connection.execute(&update, params![fitted, row]).is_ok() && !exact.is_empty() {
                connection.execute(&format!("UPDATE records SET {exact} = ?1 WHERE id = ?2"), [text, id])?;
            }
        }
    }
    Ok(())
}

const LEARNINGS: &str = "'failure', 'success', 'observation'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_spelt_as_the_framework_spells_them() {
        let spelt = [
            ("Code Review", "code-review"),
            ("../../../../escaped", "escaped"),
            ("C++", "c"),
            ("a/b\\c", "abc"),
            ("-x-", "x"),
            ("a\nb\0c", "abc"),
            ("Größe", "gre"),
        ];
        for (text, domain) in spelt {
            assert_eq!(super::domain(text), domain, "{text:?}");
        }
        assert_eq!(domain(&"ab".repeat(100)).len(), 100);
        let without = ["日本", "日本語", "..", ".", "/", " "].map(domain);
        for name in &without {
            assert!(name.starts_with("domain-") && name.len() == 13, "{name}");
        }
        let different: std::collections::HashSet<_> = without.iter().collect();
        assert_eq!(different.len(), without.len(), "{without:?}");
    }

    #[test]
    fn a_summary_is_one_line_of_a_length() {
        assert_eq!(summary("\n \n  The cache. \nMore."), "  The cache. ");
        assert_eq!(summary(""), "");
        assert_eq!(summary(&"ä".repeat(501)).chars().count(), 500);
        assert_eq!(summary("a\r\nb"), "a");
        assert_eq!(one_line("a\nb\r\u{2028}c\u{1b}[0m"), "a b  c [0m");
    }
}
