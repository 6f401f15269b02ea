//! The change feed: which records' rows changed, in order, for those that follow the index.
//!
//! 1. Each insertion, amendment, hiding, restoration and removal of a record's row adds a line to the table `changes`, in
//!    its own transaction. Triggers on `records` do that, so the rows of older programs are in it too; [`note`] adds the
//!    lines for changes that leave `records` as it is.
//! 2. A follower keeps a [`FeedMark`]: the index's own id, a line's number, and what that line says. The mark is valid
//!    only if the index still has that very line. A restored copy of the index, which gives out the numbers after its
//!    last line again, has another one there or none. Then, and if there is no feed, everything has to be walked.
//! 3. A line says which record changed, not how: the follower reads the record's row as it is now.
//! 4. Lines before the follower's mark are trimmed. The newest line stays, so that no number is given out twice.
//!
//! The feed is empty where it begins: when the index is created, migrated or rebuilt. Each of these draws a new id.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit of a row | neither row nor line (SQLite rolls back) | what repairs the row |
//! | before the commit of a trim | lines that no follower needs | the next trim |
//! | after a power cut | the index as it was earlier; marks after its last line are void | the follower walks everything |

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::schema::{has_table, migrate, value_of};
use super::{Error, Index};
use crate::fs::order::{self, Lock};
use crate::model::RecordId;

/// The key of the index's own id in the table `indelible`.
const ID: &str = "index";

/// A line of the feed, and the index that it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedMark {
    /// The id of the index.
    pub index: String,
    /// The line's number.
    pub seq: u64,
    /// What the line says: its record, and when the line was added.
    pub line: String,
}

/// A change of a record's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The record; `None` if the line names no record.
    pub id: Option<RecordId>,
    /// The change's line.
    pub mark: FeedMark,
}

impl Index {
    /// The newest line of the feed; `None` if this index has no feed.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn feed_end(&self) -> Result<Option<FeedMark>, Error> {
        let read = || {
            let Some(index) = feed(&self.connection)? else { return Ok(None) };
            let sql = "SELECT seq, id, at FROM changes ORDER BY seq DESC LIMIT 1";
            let found = self.connection.query_row(sql, [], line).optional()?;
            Ok(found.map(|(seq, line)| FeedMark { index, seq, line }))
        };
        read().map_err(self.error("read the changes in the index"))
    }

    /// As [`Index::feed_end`], for a follower: an index of an older program gets its feed now. `None` if the index is being
    /// rebuilt.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub(crate) fn newest_change(&mut self) -> Result<Option<FeedMark>, Error> {
        if !self.is_finished()? {
            return Ok(None);
        }
        if let Some(newest) = self.feed_end()? {
            return Ok(Some(newest));
        }
        self.ensure_feed()?;
        self.feed_end()
    }

    /// Whether the feed still has the line of `mark`: what comes after it is then all that has changed since.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn has_line(&self, mark: &FeedMark) -> Result<bool, Error> {
        let read = || {
            if feed(&self.connection)?.as_ref() != Some(&mark.index) {
                return Ok(false);
            }
            let sql = "SELECT seq, id, at FROM changes WHERE seq = ?1";
            let found = self.connection.query_row(sql, [number(mark.seq)], line).optional()?;
            Ok(found.is_some_and(|(_, line)| line == mark.line))
        };
        read().map_err(self.error("read the changes in the index"))
    }

    /// The changed records after the line `seq`, each with the number of its line, `limit` lines at most, in the feed's
    /// order. A record can be in it more than once, and can have no row by now. Empty if this index has no feed.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn changes_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, RecordId)>, Error> {
        let changes = self.changes(seq, limit)?;
        Ok(changes.into_iter().filter_map(|change| Some((change.mark.seq, change.id?))).collect())
    }

    /// As [`Index::changes_after`], with all that the lines say.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn changes(&self, seq: u64, limit: usize) -> Result<Vec<Change>, Error> {
        let read = || {
            let mut changes = Vec::new();
            let Some(index) = feed(&self.connection)? else { return Ok(changes) };
            let sql = "SELECT seq, id, at FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query(params![number(seq), i64::try_from(limit).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let (seq, line) = line(row)?;
                let id = line.split(' ').next().and_then(|id| id.parse().ok());
                changes.push(Change { id, mark: FeedMark { index: index.clone(), seq, line } });
            }
            Ok(changes)
        };
        read().map_err(self.error("read the changes in the index"))
    }

    /// How many lines there are after the line `seq`.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn count_changes_after(&self, seq: u64) -> Result<u64, Error> {
        let read = || match feed(&self.connection)? {
            None => Ok(0),
            Some(_) => {
                let sql = "SELECT count(*) FROM changes WHERE seq > ?1";
                self.connection.query_row(sql, [number(seq)], |row| row.get::<_, i64>(0))
            }
        };
        let count = read().map_err(self.error("read the changes in the index"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Gives an index of an older program its feed, which begins now.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub(crate) fn ensure_feed(&mut self) -> Result<(), Error> {
        let error = self.error("bring the index up to date");
        let _held = order::take(Lock::Index);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        migrate(&transaction).and_then(|()| transaction.commit()).map_err(error)
    }

    /// Removes the lines before the line `seq`, which stays. Returns how many were removed.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn trim_changes(&mut self, seq: u64) -> Result<usize, Error> {
        let error = self.error("trim the changes in the index");
        let _held = order::take(Lock::Index);
        let sql = "DELETE FROM changes WHERE seq < ?1 AND seq < (SELECT max(seq) FROM changes)";
        self.connection.execute(sql, [number(seq)]).map_err(error)
    }
}

/// Adds a line for the record `id`, in the transaction that `connection` has open: its row changed, and its entry in
/// `records` did not.
pub(super) fn note(connection: &Connection, id: &str) -> Result<(), rusqlite::Error> {
    match feed(connection)? {
        None => Ok(()),
        Some(_) => connection.execute("INSERT INTO changes (id) VALUES (?1)", [id]).map(|_| ()),
    }
}

/// Draws a new id for the index: marks of earlier feeds are void.
pub(super) fn draw_id(connection: &Connection) -> Result<(), rusqlite::Error> {
    let draw = "UPDATE indelible SET value = lower(hex(randomblob(16))) WHERE name = ?1";
    connection.execute(draw, [ID]).map(|_| ())
}

/// Removes all lines but the newest.
pub(super) fn forget_all(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute("DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)", []).map(|_| ())
}

/// The id of the index; `None` if it has no feed: an older program made it, and nothing was inserted since.
fn feed(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    match has_table(connection, "changes")? {
        true => value_of(connection, ID),
        false => Ok(None),
    }
}

/// A line's number, as SQLite takes it.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A line: its number, and what it says.
fn line(row: &Row<'_>) -> Result<(u64, String), rusqlite::Error> {
    let id = match row.get_ref(1)? {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    let at = row.get_ref(2)?.as_f64().map_or(0, f64::to_bits);
    Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), format!("{id} {at:016x}")))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Heuristic, HomeId, Intent, Provenance, Record, Revision};
    use crate::page::{Presence, StateFile};
    use crate::target::index::{Others, RowImage};

    fn made() -> (tempfile::TempDir, PathBuf, Index) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("index.db");
        Index::create(&path, HomeId::default()).expect("it can be made");
        let index = opened(&path);
        (folder, path, index)
    }

    fn opened(path: &Path) -> Index {
        Index::open(path, Duration::from_secs(5)).expect("it opens")
    }

    fn intent(n: u128) -> Intent {
        let record = Heuristic { rule: "r".into(), domain: "d".into(), source: "auto".into(), ..Heuristic::default() };
        Intent {
            id: RecordId(Uuid::from_u128(n)),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            record: Record::Heuristic(record),
            provenance: Provenance::default(),
            amended: None,
            files: Vec::new(),
            from: None,
        }
    }

    fn insert(index: &mut Index, numbers: impl IntoIterator<Item = u128>) {
        let intents: Vec<_> = numbers.into_iter().map(intent).collect();
        let rows: Vec<_> = intents.iter().map(|intent| RowImage::of(intent, "p")).collect();
        index.insert(&rows).expect("they are taken");
    }

    fn end(index: &Index) -> FeedMark {
        index.feed_end().expect("readable").expect("it has a feed")
    }

    /// The records of all lines after `mark`.
    fn after(index: &Index, mark: &FeedMark) -> Vec<u128> {
        assert!(index.has_line(mark).expect("readable"), "{mark:?}");
        index.changes_after(mark.seq, 100).expect("readable").into_iter().map(|(_, id)| id.0.as_u128()).collect()
    }

    #[test]
    fn each_change_of_a_row_is_a_line() {
        let (_folder, _path, mut index) = made();
        let begin = end(&index);
        assert_eq!((after(&index, &begin), begin.seq), (vec![], 1));
        insert(&mut index, [7, 8]);
        assert_eq!(after(&index, &begin), [7, 8]);
        let mark = end(&index);
        insert(&mut index, [7]);
        assert_eq!(after(&index, &mark), [], "it has its row");
        let state = |n: u64, state| {
            let revision = Revision { n, op: Uuid::from_u128(n.into()) };
            StateFile { of: intent(7).id, state, revision, at: Timestamp::UNIX_EPOCH, because: None }
        };
        type Change = Box<dyn Fn(&mut Index)>;
        let kinds: [(&str, Change); 5] = [
            ("hidden", Box::new(move |it| assert!(it.hide(&state(2, Presence::Retracted)).expect("taken")))),
            ("back", Box::new(move |it| assert!(it.unhide(&state(3, Presence::Restored), None).expect("taken")))),
            (
                "a row deleted by another program and revived",
                Box::new(|it| {
                    it.connection.execute_batch("DELETE FROM heuristics").expect("deleted");
                    assert!(it.revive(&RowImage::of(&intent(7), "p"), None).expect("taken").is_some());
                }),
            ),
            ("forgotten", Box::new(|it| it.forget(intent(7).id).expect("taken"))),
            ("inserted again", Box::new(|it| insert(it, [7]))),
        ];
        for (name, change) in kinds {
            let mark = end(&index);
            change(&mut index);
            assert_eq!(after(&index, &mark), [7], "{name}");
        }
    }

    #[test]
    fn what_is_trimmed_voids_older_marks_and_gives_out_no_number_twice() {
        let (_folder, path, mut index) = made();
        let begin = end(&index);
        insert(&mut index, 1..=10);
        let part = index.changes(begin.seq, 4).expect("readable");
        let mark = part[3].mark.clone();
        assert_eq!((part.len(), mark.seq), (4, 5));
        assert_eq!(index.trim_changes(mark.seq).expect("it is free"), 4);
        assert!(!index.has_line(&begin).expect("readable"));
        assert_eq!(after(&index, &mark), [5, 6, 7, 8, 9, 10]);
        assert_eq!(index.count_changes_after(mark.seq).expect("readable"), 6);
        let last = end(&index);
        assert_eq!(index.trim_changes(1_000).expect("it is free"), 6, "the newest stays");
        drop(index);
        let mut index = opened(&path);
        insert(&mut index, [11]);
        assert_eq!((after(&index, &last), end(&index).seq), (vec![11], last.seq + 1));
    }

    #[test]
    fn a_restored_copy_and_a_rebuilt_index_void_the_marks_that_they_do_not_bear_out() {
        let (_folder, path, mut index) = made();
        insert(&mut index, [1]);
        let shared = end(&index);
        assert!(index.fold().expect("nothing is in the way"));
        let copy = std::fs::read(&path).expect("it can be read");
        insert(&mut index, [2, 3]);
        let mark = end(&index);
        drop(index);
        for end in ["-wal", "-shm"] {
            std::fs::remove_file(path.with_extension(format!("db{end}"))).expect("it is there");
        }
        std::fs::write(&path, copy).expect("it can be written");
        let mut index = opened(&path);
        assert!(!index.has_line(&mark).expect("readable"), "the line is not there yet");
        // The same records again, whose lines have the same numbers.
        let now =
            || index.connection.query_row("SELECT julianday('now')", [], |row| row.get::<_, f64>(0)).expect("a time");
        let before = now();
        while now() <= before {}
        insert(&mut index, [2, 3]);
        assert_eq!(end(&index).seq, mark.seq);
        assert!(!index.has_line(&mark).expect("readable"), "another line has its number");
        assert_eq!(after(&index, &shared), [2, 3], "what both have is borne out");
        let last = end(&index);
        drop(index);
        let mut index = Index::reset(&path, HomeId::default()).expect("it is emptied");
        insert(&mut index, [1, 2, 3]);
        index.finish().expect("it is full");
        assert!(!index.has_line(&last).expect("readable") && !index.has_line(&shared).expect("readable"));
        assert_eq!(index.count_changes_after(0).expect("readable"), 1, "all but the newest line are gone");
    }

    #[test]
    fn an_index_from_before_has_no_feed_until_a_row_is_inserted() {
        let (_folder, path, mut index) = made();
        insert(&mut index, [1]);
        index
            .connection
            .execute_batch(
                "DROP TRIGGER changes_insert; DROP TRIGGER changes_update; DROP TRIGGER changes_delete;
                 DROP TABLE changes; DELETE FROM indelible WHERE name = 'index';
                 DROP INDEX records_resolves; ALTER TABLE records DROP COLUMN resolves;
                 DROP INDEX records_of_others; ALTER TABLE records DROP COLUMN home;
                 UPDATE indelible SET value = 2 WHERE name = 'migration';",
            )
            .expect("it becomes older");
        let look = Index::open_to_read(&path, Duration::ZERO, Others::MayWrite).expect("it opens");
        look.check_schema().expect("it is whole");
        assert_eq!(look.feed_end().expect("readable"), None);
        assert_eq!(look.changes(0, 10).expect("readable"), []);
        assert_eq!(look.count_changes_after(0).expect("readable"), 0);
        insert(&mut index, [2]);
        let lines = index.changes_after(0, 10).expect("readable");
        assert_eq!(lines.iter().map(|(seq, id)| (*seq, id.0.as_u128())).collect::<Vec<_>>(), [(2, 2)]);
        // An older program inserts as it did before.
        let older = "INSERT INTO records (id, kind, path, row_id, created_at) VALUES (?1, 'heuristic', 'p', 9, '')";
        index.connection.execute(older, [intent(3).id.to_string()]).expect("it is taken");
        assert_eq!(index.changes_after(2, 10).expect("readable").len(), 1, "its row is in the feed too");
        // What is no record's id passes.
        index.connection.execute_batch("INSERT INTO changes (id, at) VALUES (x'00', 'x')").expect("it is taken");
        let part = index.changes(3, 10).expect("readable");
        assert_eq!((part[0].id, part[0].mark.seq), (None, 4));
    }
}
