//! Erasing records from a database: their entries go, and so do the bytes that SQLite leaves in free pages and in its log.
//!
//! 1. The mark of an erased record stays for ever: its id, the state, a revision and a time.
//! 2. In an adopted home, the tables are another program's, too. A second row that its tools made of a record's page goes as well, and
//!    what the database's statistics quote. Rows that are not a record's stay, whatever they say.
//! 3. `VACUUM` writes the whole database again, without free pages; `wal_checkpoint(TRUNCATE)` then overwrites the old file and
//!    empties the log. A reader that holds an older state keeps SQLite from that: [`Error::Busy`].
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the transaction is committed | the entries (SQLite rolls back) | the next run |
//! | before the log is empty | their bytes, in free pages or in the log | the next run |

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::schema::{columns_of, has_table, table_of};
use super::{Error, Index, temporary_copy};
use crate::fs::order::{self, Lock};
use crate::fs::{Point, crash};
use crate::model::{Kind, RecordId, RecordPath};

/// Tables that have a line for a rule.
const OF_RULES: [&str; 2] = ["alike", "counted"];
/// Tables that are this program's alone.
const OWN: [&str; 7] = ["alike", "changes", "counted", "indelible", "marks", "records", "verdicts"];
/// Tables whose values the statistics can quote.
const QUOTED: &str = "'alike', 'counted', 'experiments', 'heuristics', 'learnings', 'records', 'verdicts'";

impl Index {
    /// Erases the records `ids` from the database at `path`, which can be a copy of an index, of any age. Waits no longer than
    /// `wait` for other processes.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process is in the way: some of the bytes may be left then. Every other [`Error`].
    pub fn erase_in(path: &Path, ids: &[RecordId], wait: Duration) -> Result<(), Error> {
        let mut index = Index::open(path, wait)?;
        let error = index.error("erase records from the index");
        let _held = order::take(Lock::Index);
        index.forget_all(ids, &|point| crash::at(point))?;
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_blocked: i64 = index.connection.query_row(sql, [], |row| row.get(0)).map_err(&error)?;
        if is_blocked != 0 {
            return Err(Error::Busy { waited: wait });
        }
        Ok(())
    }

    /// Whether the database lets go of the records `ids`: a trigger of an adopted one can refuse that, and an index of it can need
    /// what only another program has. Tried on a temporary copy.
    ///
    /// # Errors
    /// [`Error::Sqlite`] with what refuses; every other [`Error`].
    pub fn try_to_erase(&self, ids: &[RecordId]) -> Result<(), Error> {
        temporary_copy(self)?.forget_all(ids, &|_| Ok(()))
    }

    fn forget_all(&mut self, ids: &[RecordId], step: &dyn Fn(Point) -> io::Result<()>) -> Result<(), Error> {
        let error = self.error("erase records from the index");
        let named = |source: io::Error| error(rusqlite::Error::ToSqlConversionFailure(source.into()));
        self.connection.execute_batch("PRAGMA secure_delete = ON;").map_err(&error)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        for id in ids {
            forget(&transaction, *id).map_err(&error)?;
        }
        forget_statistics(&transaction).map_err(&error)?;
        step(Point::EraseBeforeRows).map_err(named)?;
        transaction.commit().map_err(&error)?;
        step(Point::EraseBeforeVacuum).map_err(named)?;
        self.connection.execute_batch("VACUUM;").map_err(&error)
    }

    /// Calls `visit` with the table's name and the bytes of every value of every row that is not this program's own bookkeeping:
    /// in the tables of an adopted home, that are other records and other programs' rows.
    ///
    /// # Errors
    /// [`Error::Sqlite`] if the database cannot be read. A table that cannot be read by this program is left out.
    pub fn for_each_value(&self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), Error> {
        let names = || {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
        };
        for table in names().map_err(self.error("list the tables"))? {
            if !OWN.contains(&table.as_str()) {
                let _ = self.for_each_value_in(&table, visit);
            }
        }
        Ok(())
    }

    fn for_each_value_in(&self, table: &str, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(column)? {
                    visit(table, bytes);
                }
            }
        }
        Ok(())
    }
}

/// Deletes the statistics of the tables that have records: they quote values. `ANALYZE` makes them again.
fn forget_statistics(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    for table in ["sqlite_stat3", "sqlite_stat4"] {
        if has_table(transaction, table)? {
            transaction.execute(&format!("DELETE FROM {table} WHERE tbl IN ({QUOTED})"), [])?;
        }
    }
    Ok(())
}

/// Deletes the rows that another program made of the page at `path`.
fn forget_page(transaction: &Transaction<'_>, path: &str) -> Result<(), rusqlite::Error> {
    let folder = RecordPath(path).shown().to_owned();
    for (table, column, path) in [("learnings", "filepath", path), ("experiments", "folder_path", &folder)] {
        if columns_of(transaction, table)?.iter().any(|it| it == column) {
            let ends = format!("substr({column}, -length(?1) - 1) = '/' || ?1");
            transaction.execute(&format!("DELETE FROM {table} WHERE {column} = ?1 OR {ends}"), params![path])?;
        }
    }
    Ok(())
}

/// Deletes what the database has of a record, but for its mark.
fn forget(transaction: &Transaction<'_>, id: RecordId) -> Result<(), rusqlite::Error> {
    let text = id.to_string();
    if has_table(transaction, "records")? {
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?));
        let sql = "SELECT kind, row_id, path FROM records WHERE id = ?1";
        let found = transaction.query_row(sql, [&text], row).optional()?;
        let kind = found.as_ref().and_then(|(kind, ..)| kind.parse::<Kind>().ok());
        if let (Some(kind), Some((_, number, path))) = (kind, found) {
            if number > 0 {
                transaction.execute(&format!("DELETE FROM {} WHERE id = ?1", table_of(kind).name), params![number])?;
            }
            forget_page(transaction, &path)?;
        }
        transaction.execute("DELETE FROM records WHERE id = ?1", [&text])?;
    }
    for table in OF_RULES {
        if has_table(transaction, table)? {
            transaction.execute(&format!("DELETE FROM {table} WHERE rule = ?1"), [&text])?;
        }
    }
    if !columns_of(transaction, "marks")?.is_empty() {
        transaction.execute("UPDATE marks SET kept = NULL, because = NULL WHERE id = ?1", [&text])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::model::{HomeId, Intent, Learning, Provenance, Record};
    use crate::target::index::RowImage;

    fn intent(n: u128, title: &str) -> Intent {
        let record = Record::Failure(Learning { title: title.into(), domain: "d".into(), ..Learning::default() });
        let (id, created_at) = (RecordId(Uuid::from_u128(n)), Timestamp::UNIX_EPOCH);
        Intent {
            id,
            created_at,
            key: None,
            record,
            provenance: Provenance::default(),
            amended: None,
            files: Vec::new(),
            from: None,
        }
    }

    fn has(path: &Path, text: &str) -> bool {
        ["", "-wal"].iter().any(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            fs::read(name).is_ok_and(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some())
        })
    }

    #[test]
    fn no_page_and_no_log_has_an_erased_record_and_a_reader_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        Index::create(&path, HomeId::default()).expect("made");
        let mut index = Index::open(&path, Duration::from_secs(1)).expect("opened");
        let secrets: Vec<Intent> = (1..200).map(|n| intent(n, &format!("hunter2 {n}"))).collect();
        let (beside, once) = (intent(900, "beside"), intent(901, "zebra once"));
        for intent in secrets.iter().chain([&beside, &once]) {
            let path = if intent.id == beside.id { "memory/failures/x.md" } else { "memory/failures/hunter2.md" };
            index.insert(&[RowImage::of(intent, path)]).expect("inserted");
        }
        // Bytes that a deletion of before left in a free page.
        index.connection.execute_batch("DELETE FROM learnings WHERE title = 'zebra once'").expect("deleted");
        let reader = Index::open(&path, Duration::ZERO).expect("opened");
        reader.connection.execute_batch("BEGIN; SELECT count(*) FROM learnings;").expect("read");
        let ids: Vec<RecordId> = secrets.iter().map(|it| it.id).chain([once.id]).collect();
        assert!(has(&path, "hunter2"));
        let busy = Index::erase_in(&path, &ids, Duration::from_millis(20));
        assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
        reader.connection.execute_batch("COMMIT").expect("ended");
        Index::erase_in(&path, &ids, Duration::from_millis(20)).expect("erased");
        assert!(!has(&path, "hunter2") && !has(&path, "zebra once"));
        let left: Vec<String> = {
            let mut rows = index.connection.prepare("SELECT title FROM learnings").expect("sound");
            rows.query_map([], |row| row.get(0)).expect("sound").map(|it| it.expect("sound")).collect()
        };
        assert_eq!(left, ["beside"]);
        assert!(index.find(beside.id).expect("readable").is_some() && index.find(once.id).expect("readable").is_none());
    }
}
