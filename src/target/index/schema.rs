//! The tables: their definition, the migration of an older index, and the check that all are there.
//!
//! 1. [`SCHEMA`] changes only when an older program must stop. Additions are numbered migrations: the number is the
//!    place in [`MIGRATIONS`], and the database counts those that it has. A released migration never changes.
//! 2. Migrations run within the transaction that makes the tables or inserts rows, under SQLite's write lock.
//! 3. `learnings`, `heuristics` and `experiments` may be another program's (`framework`), older than some of our
//!    columns. Check that a column exists before using it ([`columns_of`]).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the transaction is committed | the old tables (SQLite rolls back) | the next insertion, or `init` |
//! | after it | the new tables; after a power cut perhaps the old ones | the same |

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Error, Index, changes, entries};
use crate::fs::order::{self, Lock};
use crate::model::{Field, HomeId, Kind};

/// The newest version of the schema that this program knows. Version 2 has verdicts among the records, which a program
/// that knows version 1 alone takes for damage.
pub const SCHEMA: u32 = 2;
/// The version of an index without verdicts. The first verdict makes it 2, in its own transaction ([`verdicts`]).
///
/// [`verdicts`]: super::verdicts
const SCHEMA_FIRST: u32 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS learnings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    filepath TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT,
    tags TEXT,
    domain TEXT,
    severity INTEGER DEFAULT 3,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS heuristics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    rule TEXT NOT NULL,
    explanation TEXT,
    source_type TEXT,
    source_id INTEGER,
    confidence REAL DEFAULT 0.5,
    times_validated INTEGER DEFAULT 0,
    times_violated INTEGER DEFAULT 0,
    is_golden BOOLEAN DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hypothesis TEXT,
    status TEXT DEFAULT 'active',
    outcome TEXT,
    cycles_run INTEGER DEFAULT 0,
    folder_path TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    completed_at DATETIME,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS indelible (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
";

/// Additions to the tables since the first version of the schema, in order; the database counts those that it has. A
/// program that does not know one still works beside it: no migration removes anything.
const MIGRATIONS: [&str; 8] = [
    // A record's provenance.
    "ALTER TABLE records ADD COLUMN project TEXT;
     ALTER TABLE records ADD COLUMN origin TEXT;
     ALTER TABLE records ADD COLUMN session TEXT;
     ALTER TABLE records ADD COLUMN agent TEXT;
     ALTER TABLE records ADD COLUMN host TEXT;
     ALTER TABLE records ADD COLUMN cwd TEXT;",
    // The revision of a record's row, the amended fields, and the marks of records.
    "ALTER TABLE records ADD COLUMN revision TEXT;
     ALTER TABLE records ADD COLUMN amended TEXT;
     CREATE TABLE marks (
         id TEXT PRIMARY KEY,
         state TEXT NOT NULL,
         revision TEXT NOT NULL,
         at TEXT NOT NULL,
         because TEXT,
         kept TEXT
     ) WITHOUT ROWID;",
    // The change feed (`changes`), and the index's own id.
    "CREATE TABLE changes (
         seq INTEGER PRIMARY KEY,
         id TEXT NOT NULL,
         at REAL NOT NULL DEFAULT (julianday('now'))
     );
     INSERT INTO changes (id) VALUES ('begin');
     CREATE TRIGGER changes_insert AFTER INSERT ON records BEGIN INSERT INTO changes (id) VALUES (new.id); END;
     CREATE TRIGGER changes_update AFTER UPDATE ON records BEGIN INSERT INTO changes (id) VALUES (new.id); END;
     CREATE TRIGGER changes_delete AFTER DELETE ON records BEGIN INSERT INTO changes (id) VALUES (old.id); END;
     INSERT INTO indelible VALUES ('index', lower(hex(randomblob(16))))
         ON CONFLICT (name) DO UPDATE SET value = excluded.value;",
    // The failure that a success followed.
    "ALTER TABLE records ADD COLUMN resolves TEXT;",
    // Verdicts, what of them is in the columns of rules (`verdicts`), and which rules are the same one (`alike`).
    "CREATE TABLE IF NOT EXISTS alike (rule TEXT PRIMARY KEY, form TEXT NOT NULL) WITHOUT ROWID;
     CREATE INDEX IF NOT EXISTS alike_form ON alike (form);
     CREATE TABLE IF NOT EXISTS verdicts (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         given TEXT NOT NULL,
         verdict TEXT NOT NULL,
         about TEXT NOT NULL,
         because TEXT,
         created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
         updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
     );
     CREATE INDEX IF NOT EXISTS verdicts_about ON verdicts (about);
     CREATE TABLE IF NOT EXISTS counted (
         rule TEXT PRIMARY KEY,
         validated INTEGER NOT NULL,
         violated INTEGER NOT NULL,
         golden INTEGER
     ) WITHOUT ROWID;",
    // What followed a failure, by the failure.
    "CREATE INDEX IF NOT EXISTS records_resolves ON records (resolves) WHERE resolves IS NOT NULL;",
    // The other home that recorded it.
    "ALTER TABLE records ADD COLUMN home TEXT;",
    // By the row, for readers of the framework's tables. This home's own records are not in it.
    "CREATE INDEX IF NOT EXISTS records_of_others ON records (kind, row_id) WHERE home IS NOT NULL;",
];

/// Migrates the tables to this program's version, within a transaction that holds the write lock.
pub(super) fn migrate(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let had = value_of::<u32>(transaction, "migration")?.unwrap_or(0) as usize;
    let Some(lacking) = MIGRATIONS.get(had..).filter(|lacking| !lacking.is_empty()) else { return Ok(()) };
    for migration in lacking {
        transaction.execute_batch(migration)?;
    }
    let put = "INSERT INTO indelible VALUES ('migration', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
    transaction.execute(put, [MIGRATIONS.len() as u32])?;
    Ok(())
}

impl Index {
    pub(crate) fn prepare_tables(&mut self, home: HomeId, rebuilding: bool) -> Result<HomeId, Error> {
        let error = self.error("make the index");
        let _held = order::take(Lock::Index);
        // A record's transaction writes three or four pages, however little of each it changes: so pages are small.
        let make = |index: &mut Index| {
            index
                .connection
                .execute_batch("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
            let transaction = index.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(TABLES)?;
            entries::create(&transaction)?;
            let put = "INSERT INTO indelible VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
            transaction.execute(put, params!["home", home.to_string()])?;
            transaction.execute(put, params!["schema", SCHEMA_FIRST])?;
            transaction.execute(put, params!["syncs", 0])?;
            if rebuilding {
                transaction.execute(put, params!["rebuilding", 1])?;
            }
            migrate(&transaction)?;
            if rebuilding {
                changes::draw_id(&transaction)?;
            }
            let found = value_of::<String>(&transaction, "home")?;
            let schema = value_of::<u32>(&transaction, "schema")?;
            transaction.commit()?;
            index.connection.execute_batch("PRAGMA synchronous = NORMAL;")?;
            Ok((found.and_then(|text| text.parse().ok()), schema.unwrap_or(SCHEMA)))
        };
        match make(self).map_err(error)? {
            (_, found) if found > SCHEMA => Err(Error::Newer { found }),
            (found, _) => Ok(found.unwrap_or(home)),
        }
    }

    /// Checks that this program can use the index: its tables exist, and have a known version.
    ///
    /// # Errors
    /// [`Error::Newer`], and [`Error::Corrupt`] if a table is missing.
    pub fn check_schema(&self) -> Result<(), Error> {
        let error = self.error("read the index");
        if !has_table(&self.connection, "indelible").map_err(&error)? {
            return Err(self.lacking("its table `indelible`"));
        }
        match value_of::<u32>(&self.connection, "schema") {
            Ok(Some(found)) if found > SCHEMA => Err(Error::Newer { found }),
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.lacking("its schema version")),
            Err(source) if is_of_the_sql(&source) => Err(Error::Corrupt { path: self.path.clone(), source }),
            Err(source) => Err(error(source)),
        }
    }

    fn lacking(&self, what: &str) -> Error {
        let source = rusqlite::Error::InvalidColumnName(what.into());
        Error::Corrupt { path: self.path.clone(), source }
    }

    /// Everything that SQLite finds wrong with the database, one line each; empty if it is sound. SQLite reports a
    /// page that it could not read like a damaged one, so a finding has to be rechecked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is too damaged to be checked.
    pub fn integrity(&self) -> Result<Vec<String>, Error> {
        let error = self.error("check the index");
        let check = || {
            let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<Result<Vec<_>, _>>()
        };
        let lines = check().map_err(error)?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Checks that SQLite finds nothing wrong with the database.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the first finding.
    pub(crate) fn check_integrity(&self) -> Result<(), Error> {
        match self.integrity()?.into_iter().next() {
            None => Ok(()),
            Some(line) => {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                let source = rusqlite::Error::SqliteFailure(code, Some(line));
                Err(Error::Corrupt { path: self.path.clone(), source })
            }
        }
    }
}

/// Whether SQLite refused the statement itself (SQLITE_ERROR): it names a table or a column that does not exist.
pub(super) fn is_of_the_sql(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{SqlInputError, SqliteFailure};
    let (SqlInputError { error, .. } | SqliteFailure(error, _)) = error else { return false };
    error.extended_code & 0xff == rusqlite::ffi::SQLITE_ERROR
}

/// Whether there is a table of that name.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

pub(super) fn value_of<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<Option<T>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT value FROM indelible WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

/// The table for a kind's rows: the columns that we fill, and their values.
pub(crate) struct Table {
    pub(super) slot: usize,
    pub(crate) name: &'static str,
    pub(super) columns: &'static str,
    pub(super) values: &'static str,
}

/// The tables that records go to, and that the framework has too.
pub(crate) const RECORD_TABLES: [Table; 3] = [LEARNINGS, HEURISTICS, EXPERIMENTS];

pub(super) const LEARNINGS: Table = Table {
    slot: 0,
    name: "learnings",
    columns: "type, filepath, title, summary, tags, domain, severity, created_at, updated_at",
    values: "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9",
};
pub(super) const HEURISTICS: Table = Table {
    slot: 1,
    name: "heuristics",
    columns: "domain, rule, explanation, source_type, confidence, created_at, updated_at",
    values: "?1, ?2, ?3, ?4, ?5, ?6, ?7",
};
pub(super) const EXPERIMENTS: Table = Table {
    slot: 2,
    name: "experiments",
    columns: "name, hypothesis, status, folder_path, created_at, updated_at, outcome, completed_at",
    values: "?1, ?2, ?5, ?3, ?4, ?8, ?6, ?7",
};

/// The status of an experiment that is under way.
pub(super) const ACTIVE: &str = "active";

pub(super) const VERDICTS: Table = Table {
    slot: 3,
    name: "verdicts",
    columns: "given, verdict, about, because, created_at, updated_at",
    values: "?1, ?2, ?3, ?4, ?5, ?6",
};

impl Table {
    /// Those of our columns that are in `there` or, with `are_there` false, that are not.
    pub(crate) fn columns<'a>(
        &self,
        are_there: bool,
        there: &'a [String],
    ) -> impl Iterator<Item = &'static str> + use<'a> {
        self.columns.split(", ").filter(move |column| there.iter().any(|it| it == column) == are_there)
    }
}

/// The table for rows of `kind`.
pub(super) fn table_of(kind: Kind) -> Table {
    match kind {
        Kind::Failure | Kind::Success | Kind::Observation => LEARNINGS,
        Kind::Heuristic => HEURISTICS,
        Kind::Experiment => EXPERIMENTS,
        Kind::Verdict => VERDICTS,
    }
}

/// The column of a field; `None` if only the record's file has the field.
pub(crate) fn column_of(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::Title => "title",
        Field::Domain => "domain",
        Field::Severity => "severity",
        Field::Tags => "tags",
        Field::Summary => "summary",
        Field::Rule => "rule",
        Field::Explanation => "explanation",
        Field::Source => "source_type",
        Field::Confidence => "confidence",
        Field::Name => "name",
        Field::Hypothesis => "hypothesis",
        Field::Result => "status",
        Field::Outcome => "outcome",
        Field::Verdict => "verdict",
        Field::Of => "about",
        Field::Because => "because",
        _ => return None,
    })
}

/// The names of the columns of `table`; empty if there is no such table.
pub(crate) fn columns_of(connection: &Connection, table: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// `columns` of `table` for a SELECT, in this order; NULL for each that an adopted table lacks.
pub(crate) fn columns_or_null(
    connection: &Connection,
    table: &str,
    columns: &[&str],
) -> Result<String, rusqlite::Error> {
    Ok(selected(&columns_of(connection, table)?, table, columns))
}

/// As [`columns_or_null`], of a table that has the columns `there`.
fn selected(there: &[String], table: &str, columns: &[&str]) -> String {
    let one = |column: &&str| match there.iter().any(|it| it == column) {
        true => format!("{table}.{column}"),
        false => "NULL".to_owned(),
    };
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The columns of tables, remembered while one transaction reads: to ask for them costs more than to read a row.
#[derive(Debug, Default)]
pub(super) struct Columns {
    of: RefCell<BTreeMap<String, Vec<String>>>,
    is_framework: Cell<Option<bool>>,
    remembers: Cell<bool>,
}

impl Columns {
    /// From now on the tables stay as they are, for as long as the connection is open.
    pub(super) fn remember(&self) {
        self.remembers.set(true);
    }

    /// Whether there is a table of this name.
    pub(super) fn has(&self, connection: &Connection, table: &str) -> Result<bool, rusqlite::Error> {
        if let Some(there) = self.of.borrow().get(table) {
            return Ok(!there.is_empty());
        }
        let there = columns_of(connection, table)?;
        let has = !there.is_empty();
        if self.remembers.get() {
            self.of.borrow_mut().insert(table.to_owned(), there);
        }
        Ok(has)
    }

    /// Whether the tables are the framework's.
    pub(super) fn is_framework(&self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        if let Some(known) = self.is_framework.get() {
            return Ok(known);
        }
        let is_framework = super::framework::layout(connection)?.1;
        if self.remembers.get() {
            self.is_framework.set(Some(is_framework));
        }
        Ok(is_framework)
    }

    /// As [`columns_or_null`].
    pub(super) fn or_null(
        &self,
        connection: &Connection,
        table: &str,
        columns: &[&str],
    ) -> Result<String, rusqlite::Error> {
        if let Some(there) = self.of.borrow().get(table) {
            return Ok(selected(there, table, columns));
        }
        let there = columns_of(connection, table)?;
        let selected = selected(&there, table, columns);
        if self.remembers.get() {
            self.of.borrow_mut().insert(table.to_owned(), there);
        }
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::target::index::Others;

    fn made() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("index.db");
        Index::create(&path, HomeId::default()).expect("it can be made");
        (folder, path)
    }

    #[test]
    fn an_index_without_its_own_tables_is_damaged_and_one_that_cannot_be_read_is_not() {
        let (_folder, path) = made();
        let index = Index::open(&path, Duration::ZERO).expect("it opens");
        index.check_schema().expect("it is whole");
        for change in
            ["DELETE FROM indelible", "ALTER TABLE indelible RENAME COLUMN value TO other", "DROP TABLE indelible"]
        {
            index.connection.execute_batch(change).expect("it is changed");
            let error = index.check_schema().expect_err("it is not whole");
            assert!(matches!(error, Error::Corrupt { .. }), "{change}: {error:?}");
        }
        index.connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE t (x)").expect("it is locked");
        let error = Index::open_to_read(&path, Duration::ZERO, Others::MayWrite)
            .and_then(|index| index.check_schema())
            .expect_err("it is locked");
        assert!(error.is_busy(), "{error:?}");
    }

    #[test]
    fn reading_leaves_the_files_of_an_index_as_they_are() {
        let (folder, path) = made();
        let files = || {
            let entries = std::fs::read_dir(folder.path()).expect("it can be listed");
            let mut files: Vec<_> = entries
                .map(|it| it.expect("an entry").path())
                .filter(|it| it.is_file())
                .map(|it| (it.clone(), std::fs::read(it).expect("it can be read")))
                .collect();
            files.sort();
            files
        };
        let look = |others| {
            let before = files();
            let index = Index::open_to_read(&path, Duration::ZERO, others).expect("it can be read");
            index.check_schema().expect("it is whole");
            assert!(index.is_finished().expect("it can be read"), "what is committed is read");
            drop(index);
            assert_eq!(files(), before, "{others:?}");
        };
        let (log, shared) = (path.with_extension("db-wal"), path.with_extension("db-shm"));
        assert!(log.exists() && shared.exists(), "no connection folds the log when it is closed");
        for others in [Others::MayWrite, Others::KeptOut] {
            look(others);
        }
        std::fs::remove_file(&shared).expect("it is there");
        look(Others::KeptOut);
        let index = Index::open(&path, Duration::ZERO).expect("it opens");
        assert!(index.fold().expect("nothing is in the way"), "the log is empty");
        drop(index);
        std::fs::remove_file(&shared).expect("it is there");
        for others in [Others::MayWrite, Others::KeptOut] {
            look(others);
            let _ = std::fs::remove_file(&log);
        }
    }
}
