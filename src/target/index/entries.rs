//! The table `records`, an entry for each record: its layout, and how that of an older version is changed.
//!
//! An entry has 250 bytes or so. With pages of 1 kB that is more than SQLite keeps of a row in a tree that is ordered by
//! a key: the rest is in a page of its own, which is written with each entry, and is read whenever a search for a key
//! meets that entry. So there the rows are in a tree by number, beside an index of ids. With pages of 4 kB and more,
//! which adopted indexes have, the tree ordered by id is the better one: an insertion writes one page.
//!
//! [`Index::renew_entries`] changes the layout, in one transaction. Readers read what was before; a recorder waits as
//! long as it may for a row, and leaves it to the worker then. A hundred thousand entries take two seconds or three.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | the old layout (SQLite rolls back) | the next worker, or `repair` |
//! | after it | the new layout; after a power cut perhaps the old one | the same |

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::revive::quoted;
use super::schema::columns_of;
use super::{Error, Index};
use crate::fs::order::{self, Lock};

/// Below this size of a page, in bytes, entries are in a tree by number.
const PAGE_BYTES: i64 = 4096;
/// The most entries of a home whose layout a worker changes before it begins with its work.
const FEW: u64 = 20_000;

/// Makes the table in a database that lacks it.
pub(super) fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    let by_id = if are_pages_small(connection)? { "" } else { " WITHOUT ROWID" };
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS records (
             id TEXT PRIMARY KEY NOT NULL,
             kind TEXT NOT NULL,
             path TEXT NOT NULL,
             row_id INTEGER NOT NULL,
             created_at TEXT NOT NULL,
             key TEXT
         ){by_id};
         CREATE INDEX IF NOT EXISTS records_of_pages ON records (path) WHERE kind = 'heuristic';"
    ))
}

fn are_pages_small(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(bytes < PAGE_BYTES)
}

/// Whether the entries are in a tree by id, and should not be.
fn are_old(connection: &Connection) -> Result<bool, rusqlite::Error> {
    if !are_pages_small(connection)? {
        return Ok(false);
    }
    let sql = "SELECT wr FROM pragma_table_list('records') WHERE schema = 'main' AND type = 'table'";
    Ok(connection.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(false))
}

impl Index {
    /// Brings the table `records` into the layout that a new index has; one of more than a few entries only with
    /// `everything`. Its columns, indexes and triggers stay as they are, also those of other programs.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`]; nothing has changed then.
    pub(crate) fn renew_entries(&mut self, everything: bool) -> Result<(), Error> {
        self.renew_up_to(if everything { u64::MAX } else { FEW })
    }

    fn renew_up_to(&mut self, most: u64) -> Result<(), Error> {
        let error = self.error("bring the index up to date");
        if !are_old(&self.connection).map_err(&error)? || self.count_about()? > most {
            return Ok(());
        }
        let _held = order::take(Lock::Index);
        let mut renew = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if are_old(&transaction)? {
                renew(&transaction)?;
            }
            transaction.commit()
        };
        renew().map_err(error)
    }
}

/// Makes the table again, by number, with all that is on it.
fn renew(connection: &Connection) -> Result<(), rusqlite::Error> {
    let texts = |sql: &str| {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
    };
    let on_it = texts(
        "SELECT sql FROM sqlite_schema WHERE tbl_name = 'records' AND type IN ('index', 'trigger') AND sql IS NOT NULL
         ORDER BY rootpage",
    )?;
    let definitions = texts(
        "SELECT '\"' || replace(name, '\"', '\"\"') || '\" ' || type || iif(name = 'id', ' PRIMARY KEY', '')
             || iif(\"notnull\" OR name = 'id', ' NOT NULL', '') || coalesce(' DEFAULT (' || dflt_value || ')', '')
         FROM pragma_table_info('records') ORDER BY cid",
    )?;
    let columns = quoted(&columns_of(connection, "records")?);
    // With `legacy_alter_table`, a new name changes nothing that others say of the table, and no view that is broken for
    // a moment, or for long, is in the way.
    let renewed = connection.execute_batch(&format!(
        "PRAGMA legacy_alter_table = ON;
         CREATE TABLE records_by_number ({});
         INSERT INTO records_by_number ({columns}) SELECT {columns} FROM records ORDER BY id;
         DROP TABLE records;
         ALTER TABLE records_by_number RENAME TO records;",
        definitions.join(", ")
    ));
    connection.execute_batch("PRAGMA legacy_alter_table = OFF")?;
    renewed?;
    on_it.iter().try_for_each(|sql| connection.execute_batch(sql))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::model::{Heuristic, HomeId, Provenance, Record, RecordId};
    use crate::target::index::RowImage;

    /// An index as an older version made it, with rules and what another program has put on the table.
    fn old(rules: u128) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("index.db");
        Index::create(&path, HomeId::default()).expect("it can be made");
        let mut index = opened(&path);
        let add_by_id = "
            DROP TABLE records;
            CREATE TABLE records (
                id TEXT PRIMARY KEY, kind TEXT NOT NULL, path TEXT NOT NULL, row_id INTEGER NOT NULL,
                created_at TEXT NOT NULL, key TEXT, project TEXT, origin TEXT, session TEXT, agent TEXT, host TEXT,
                cwd TEXT, revision TEXT, amended TEXT, resolves TEXT, home TEXT, \"of \"\"others\" TEXT DEFAULT 'x'
            ) WITHOUT ROWID;
            CREATE INDEX records_of_pages ON records (path) WHERE kind = 'heuristic';
            CREATE TRIGGER changes_insert AFTER INSERT ON records BEGIN INSERT INTO changes (id) VALUES (new.id); END;
            CREATE VIEW of_others AS SELECT id FROM records;
            CREATE VIEW broken AS SELECT gone FROM nowhere;";
        index.connection.execute_batch(add_by_id).expect("changed");
        let record = Record::Heuristic(Heuristic { rule: "r".into(), domain: "d".into(), ..Heuristic::default() });
        let provenance = Provenance { project: Some("p".repeat(200)), ..Provenance::default() };
        for n in 1..=rules {
            index.insert(&[row(n, &record, &provenance)]).expect("taken");
        }
        (folder, path)
    }

    fn row<'r>(n: u128, record: &'r Record, provenance: &'r Provenance) -> RowImage<'r> {
        let id = RecordId(uuid::Uuid::from_u128(n));
        let created_at = Timestamp::UNIX_EPOCH;
        RowImage { id, created_at, key: None, record, provenance, amended: None, path: "p", from: None }
    }

    fn opened(path: &Path) -> Index {
        Index::open(path, Duration::ZERO).expect("it opens")
    }

    /// Everything that is in the table, and what is on it.
    fn content(index: &Index) -> Vec<String> {
        let sql = "SELECT id || kind || path || row_id || created_at || project || \"of \"\"others\" FROM records
                   UNION ALL SELECT name FROM sqlite_schema WHERE tbl_name = 'records' AND sql IS NOT NULL
                   UNION ALL SELECT 'view' || id FROM of_others ORDER BY 1";
        let mut statement = index.connection.prepare(sql).expect("readable");
        let rows = statement.query_map([], |row| row.get(0)).expect("readable");
        rows.collect::<Result<_, _>>().expect("texts")
    }

    #[test]
    fn small_pages_have_entries_by_number_and_large_ones_by_id() {
        for (bytes, by_id) in [(1024, false), (4096, true)] {
            let connection = Connection::open_in_memory().expect("memory");
            connection.execute_batch(&format!("PRAGMA page_size = {bytes}")).expect("set");
            create(&connection).expect("made");
            let sql = "SELECT wr FROM pragma_table_list('records')";
            let is_by_id: bool = connection.query_row(sql, [], |row| row.get(0)).expect("readable");
            assert_eq!((is_by_id, are_old(&connection)), (by_id, Ok(false)), "{bytes}");
        }
    }

    #[test]
    fn an_old_table_is_renewed_with_all_that_is_in_it_and_on_it() {
        let (_folder, path) = old(50);
        let mut index = opened(&path);
        let before = content(&index);
        let feed = index.feed_end().expect("readable");
        index.renew_up_to(49).expect("readable");
        assert_eq!(are_old(&index.connection), Ok(true), "these are more than few");
        index.renew_entries(false).expect("it is free");
        assert_eq!(are_old(&index.connection), Ok(false));
        assert_eq!(content(&index), before);
        assert_eq!(index.feed_end().expect("readable"), feed, "for those that follow it, nothing has changed");
        index.check_integrity().expect("sound");
        let record = Record::Heuristic(Heuristic::default());
        let provenance = Provenance::default();
        let inserted = index.insert(&[row(7, &record, &provenance), row(51, &record, &provenance)]).expect("taken");
        assert_eq!(inserted.iter().map(|it| it.is_new).collect::<Vec<_>>(), [false, true], "ids are unique");
        assert_ne!(index.feed_end().expect("readable"), feed, "the feed goes on");
    }

    #[test]
    fn killed_before_the_commit_the_old_table_is_there() {
        let (folder, path) = old(50);
        let mut index = opened(&path);
        let before = content(&index);
        index.connection.execute_batch("PRAGMA cache_size = 4").expect("what is changed goes to the log at once");
        let transaction = index.connection.transaction().expect("it is free");
        renew(&transaction).expect("renewed");
        let left = folder.path().join("left.db");
        for end in ["", "-wal"] {
            let file = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
            let _ = std::fs::copy(file(&path), file(&left)).expect("copied");
        }
        drop(transaction);
        for index in [index, opened(&left)] {
            assert_eq!((are_old(&index.connection), content(&index)), (Ok(true), before.clone()));
            index.check_integrity().expect("sound");
        }
    }
}
