//! Rows of records that are amended, retracted and restored.
//!
//! 1. An operation changes a record's row only if its revision is greater than the index's: repeated or late, it
//!    changes nothing. Row, revision and mark change in one transaction.
//! 2. `marks` has the state of each record that was ever retracted, restored or erased, and is kept forever. Only a
//!    restoration inserts a record that has a hidden mark.
//! 3. A retracted record keeps its entry in `records`, with its row's number negative: the number is free in an
//!    adopted table, and another row may take it. The mark keeps all cells of the row, other programs' columns
//!    included; a restoration brings them back, under the old number if that is free.
//! 4. An amendment sets the columns of the fields that it changed, and `updated_at`; one that ends an experiment also
//!    `completed_at`. Counters that other programs keep in a row stay.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | the row as it was (SQLite rolls back) | replay of the journal applies the operation |
//! | after it | the new row; after a power cut perhaps the old one | replay of the journal applies it |

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::insert::{RowImage, Statements, is_refusal};
use super::marks::{cells, cells_of, is_erased, marked, put_mark};
use super::revive::insert;
use super::schema::{ACTIVE, Table, column_of, columns_of, migrate, table_of};
use super::{Error, Index, alike, framework, resolves, verdicts};
use crate::fs::order::{self, Lock};
use crate::fs::{Point, crash};
use crate::model::{Amended, Amendment, Field, FieldSpec, Kind, Record, RecordId, Revision};
use crate::page::{self, Presence, StateFile};

/// The format of times in rows.
pub(super) const TIME: &str = "%Y-%m-%d %H:%M:%S";

impl Index {
    /// Applies `amendment` to the row of a record. Returns whether something changed: false if the row has that
    /// revision or a greater one, or if the record is hidden or unknown.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the table rejects it, and every other [`Error`]; nothing has changed then.
    pub fn amend(&mut self, amendment: &Amendment) -> Result<bool, Error> {
        let Amendment { change, record: intent } = amendment;
        self.change("amend a row of the index", |transaction, error| {
            let row = found(transaction, change.of).map_err(error)?;
            let Some(row) = row.filter(|row| row.number > 0 && row.revision < change.revision) else {
                return Ok(false);
            };
            let table = table_of(row.kind);
            let about = verdicts::about(transaction, row.kind, row.number).map_err(error)?;
            let amended =
                intent.amended.clone().unwrap_or(Amended { revision: change.revision, fields: BTreeMap::new() });
            let set = || {
                let (_, is_framework) = framework::layout(transaction)?;
                let (record, exact) = match is_framework {
                    true => framework::fitted(&intent.record),
                    false => (intent.record.clone(), framework::Fitted::default()),
                };
                let fields = changed(&amended, &row.fields);
                set_columns(transaction, &table, row.number, &record, fields, &amended, change.at)?;
                if is_framework {
                    let sql = "UPDATE records SET exact_headline = ?2, exact_domain = ?3 WHERE id = ?1";
                    transaction.execute(sql, params![change.of.to_string(), exact.headline, exact.domain])?;
                }
                resolves::remember(transaction, change.of, &intent.record)?;
                alike::changed(transaction, change.of, &intent.record)?;
                remember(transaction, change.of, &amended)?;
                verdicts::changed(transaction, row.kind, change.of, about)
            };

            match set() {
                Err(source) if is_refusal(&source) => Err(Error::RowRefused { id: change.of, kind: row.kind, source }),
                set => set.map(|()| true).map_err(error),
            }
        })
    }

    /// Removes the row of a record from its table and marks the record, as `mark` says. Returns whether something
    /// changed: false if the record has a mark of that revision or a greater one. An unknown record is marked as well.
    ///
    /// # Errors
    /// Every [`Error`]; nothing has changed then.
    pub fn hide(&mut self, mark: &StateFile) -> Result<bool, Error> {
        self.change("take a row out of the index", |transaction, error| {
            let hide = || {
                let row = found(transaction, mark.of)?.filter(|row| row.number > 0);
                // Erased is above every revision.
                let (is_last, was_last) = (mark.state == Presence::Erased, is_erased(transaction, mark.of)?);
                if was_last && !is_last {
                    return Ok(false);
                }
                // The row may have come after the mark, from a recorder that was stopped before it inserted the row.
                match marked(transaction, mark.of)? {
                    Some(known) if known > mark.revision && is_last == was_last => return Ok(false),
                    Some(known) if known == mark.revision && row.is_none() => return Ok(false),
                    _ => {}
                }
                let mut kept = None;
                let mut about = None;
                if let Some(row) = &row {
                    let table = table_of(row.kind);
                    about = verdicts::about(transaction, row.kind, row.number)?;
                    kept = cells(transaction, &table, row.number)?;
                    transaction.execute(&format!("DELETE FROM {} WHERE id = ?1", table.name), [row.number])?;
                    let sql = "UPDATE records SET row_id = -row_id WHERE id = ?1";
                    transaction.execute(sql, [mark.of.to_string()])?;
                }
                put_mark(transaction, mark)?;
                if let Some(kept) = kept {
                    let sql = "UPDATE marks SET kept = ?2 WHERE id = ?1";
                    transaction.execute(sql, params![mark.of.to_string(), kept])?;
                }
                // A verdict that is hidden does not count.
                about.map_or(Ok(()), |rule| verdicts::settle(transaction, &rule))?;
                Ok(true)
            };
            hide().map_err(error)
        })
    }

    /// Restores the row of a record, and marks the record as `mark` says: with its old cells and number or, if the
    /// index does not know them, from `row`. Returns whether something changed: false if the record has a mark of that
    /// revision or a greater one.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the table rejects it, and every other [`Error`]; nothing has changed then.
    pub fn unhide(&mut self, mark: &StateFile, row: Option<&RowImage<'_>>) -> Result<bool, Error> {
        self.change("bring a row of the index back", |transaction, error| {
            let is_known = marked(transaction, mark.of).map_err(error)?.is_some_and(|known| known >= mark.revision);
            if is_known || is_erased(transaction, mark.of).map_err(error)? {
                return Ok(false);
            }
            let known = found(transaction, mark.of).map_err(error)?;
            let kind = known.as_ref().map(|known| known.kind).or(row.map(|row| row.record.kind()));
            match bring_back(transaction, mark, known, row) {
                Err(source) if is_refusal(&source) => {
                    Err(Error::RowRefused { id: mark.of, kind: kind.unwrap_or(Kind::Failure), source })
                }
                brought => brought.map(|()| true).map_err(error),
            }
        })
    }

    /// Runs a change in one transaction.
    fn change(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>, &dyn Fn(rusqlite::Error) -> Error) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let error = self.error(doing);
        let _held = order::take(Lock::Index);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        migrate(&transaction).map_err(&error)?;
        if !change(&transaction, &error)? {
            return Ok(false);
        }
        let named = |source: std::io::Error| error(rusqlite::Error::ToSqlConversionFailure(source.into()));
        crash::at(Point::RowBeforeCommit).map_err(named)?;
        transaction.commit().map_err(&error)?;
        crash::at(Point::RowAfterCommit).map_err(named)?;
        Ok(true)
    }

    /// Calls `take` for each amended record, with its row's revision.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_amended(&self, mut take: impl FnMut(RecordId, Revision)) -> Result<(), Error> {
        let mut read = || {
            if !columns_of(&self.connection, "records")?.iter().any(|column| column == "revision") {
                return Ok(());
            }
            let sql = "SELECT id, revision FROM records WHERE revision IS NOT NULL";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let (Ok(id), Ok(revision)) = (row.get::<_, String>(0)?.parse(), row.get::<_, String>(1)?.parse()) {
                    take(id, revision);
                }
            }
            Ok(())
        };
        read().map_err(self.error("read the index"))
    }

    /// How the content of the record `id` came about; `None` if it is as first recorded, or if the record is unknown.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn amended(&self, id: RecordId) -> Result<Option<Amended>, Error> {
        let read = || {
            let columns = self.columns_or_null("records", &["revision", "amended"])?;
            let sql = format!("SELECT {columns} FROM records WHERE id = ?1");
            let texts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let found: Option<(Option<String>, Option<String>)> =
                self.connection.prepare_cached(&sql)?.query_row([id.to_string()], texts).optional()?;
            let Some((Some(revision), fields)) = found else { return Ok(None) };
            let fields = Amended::fields_of_line(&fields.unwrap_or_default());
            Ok(revision.parse().ok().map(|revision| Amended { revision, fields }))
        };
        read().map_err(self.error("read a record from the index"))
    }
}

/// A record's entry in `records`.
struct Found {
    kind: Kind,
    /// Its row's number; negative if the record is hidden.
    number: i64,
    revision: Revision,
    /// The fields that were amended.
    fields: BTreeMap<String, Revision>,
}

fn found(transaction: &Transaction<'_>, id: RecordId) -> Result<Option<Found>, rusqlite::Error> {
    let sql = "SELECT kind, row_id, revision, amended FROM records WHERE id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        let revision = row.get::<_, Option<String>>(2)?.and_then(|text| text.parse().ok());
        let revision = revision.unwrap_or(Revision::first(id));
        let fields = Amended::fields_of_line(&row.get::<_, Option<String>>(3)?.unwrap_or_default());
        let (kind, number) = (row.get::<_, String>(0)?.parse().ok(), row.get(1)?);
        Ok(kind.map(|kind| Found { kind, number, revision, fields }))
    };
    Ok(transaction.query_row(sql, [id.to_string()], read).optional()?.flatten())
}

/// Stores how the content of `id` came about.
pub(super) fn remember(transaction: &Transaction<'_>, id: RecordId, amended: &Amended) -> Result<(), rusqlite::Error> {
    let sql = "UPDATE records SET revision = ?2, amended = ?3 WHERE id = ?1";
    let values = params![id.to_string(), amended.revision.to_string(), amended.fields_line()];
    transaction.execute(sql, values).map(|_| ())
}

/// The fields whose value comes from another amendment than the row's; `had` has the row's.
fn changed<'a>(
    amended: &'a Amended,
    had: &'a BTreeMap<String, Revision>,
) -> impl Iterator<Item = &'static FieldSpec> + use<'a> {
    // The row's own revision does not decide: a join of two amendments has fields of an earlier one.
    let other = amended.fields.iter().filter(|(name, revision)| had.get(*name) != Some(revision));
    other.filter_map(|(name, _)| FieldSpec::named(name))
}

fn set_columns(
    transaction: &Transaction<'_>,
    table: &Table,
    number: i64,
    record: &Record,
    fields: impl Iterator<Item = &'static FieldSpec>,
    amended: &Amended,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let there = columns_of(transaction, table.name)?;
    // What a rebuilt index says too: the page knows no more.
    let changed_at = page::amended_at(amended).unwrap_or(at);
    let mut cells = vec![("updated_at", Some(changed_at.strftime(TIME).to_string()))];
    for spec in fields {
        let (Some(column), Some(text)) = (column_of(spec.field), record.text(spec.field)) else { continue };
        match spec.field {
            Field::Result => {
                let has_ended = !text.is_empty();
                let ended_at = has_ended.then(|| page::ended_at(at, Some(amended)).strftime(TIME).to_string());
                cells.push((column, Some(if has_ended { text.into_owned() } else { ACTIVE.to_owned() })));
                cells.push(("completed_at", ended_at));
            }
            Field::Outcome => cells.push((column, Some(text.into_owned()).filter(|text| !text.is_empty()))),
            _ => cells.push((column, Some(text.into_owned()))),
        }
    }
    for (column, text) in cells.into_iter().filter(|(column, _)| there.iter().any(|it| it == column)) {
        // A numeric column converts the text to a number, by its affinity.
        let sql = format!("UPDATE {} SET {column} = ?2 WHERE id = ?1", table.name);
        transaction.execute(&sql, params![number, text])?;
    }
    Ok(())
}

fn bring_back(
    transaction: &Transaction<'_>,
    mark: &StateFile,
    known: Option<Found>,
    row: Option<&RowImage<'_>>,
) -> Result<(), rusqlite::Error> {
    let id = mark.of.to_string();
    let kept = transaction.query_row("SELECT kept FROM marks WHERE id = ?1", [&id], |row| row.get(0)).optional()?;
    put_mark(transaction, mark)?;
    transaction.execute("UPDATE marks SET kept = NULL WHERE id = ?1", [&id])?;
    match (known, kept.flatten()) {
        // The row exists: only the mark changes.
        (Some(known), _) if known.number > 0 => Ok(()),
        (Some(known), Some(kept)) => {
            let kept: String = kept;
            let table = table_of(known.kind);
            let taken = format!("SELECT 1 FROM {} WHERE id = ?1", table.name);
            let is_taken = transaction.query_row(&taken, [-known.number], |_| Ok(())).optional()?.is_some();
            let cells = cells_of(&kept).into_iter().filter(|(column, _)| !is_taken || column != "id").collect();
            insert(transaction, table.name, cells)?;
            let number = if is_taken { transaction.last_insert_rowid() } else { -known.number };
            transaction.execute("UPDATE records SET row_id = ?2 WHERE id = ?1", params![id, number])?;
            verdicts::changed(transaction, known.kind, mark.of, None)
        }
        // A lost index took the row's other cells with it: only the record's own content is left.
        (known, _) => {
            let Some(row) = row else { return Ok(()) };
            if known.is_some() {
                transaction.execute("DELETE FROM records WHERE id = ?1", [&id])?;
            }
            let (_, is_framework) = framework::layout(transaction)?;
            Statements::prepare(transaction, is_framework)?.insert_new(row)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::model::{Change, Heuristic, HomeId, Intent, Provenance};
    use crate::page::Presence;

    struct Bench {
        _folder: tempfile::TempDir,
        index: Index,
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("index.db");
        Index::create(&path, HomeId::default()).expect("it can be made");
        let index = Index::open(&path, Duration::from_secs(5)).expect("it opens");
        Bench { _folder: folder, index }
    }

    fn intent(n: u128, rule: &str) -> Intent {
        let record = Heuristic { rule: rule.into(), domain: "d".into(), source: "auto".into(), ..Heuristic::default() };
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

    fn amendment(intent: &Intent, n: u64, rule: &str) -> Amendment {
        let revision = Revision { n, op: Uuid::from_u128(n.into()) };
        let base = Revision::first(intent.id);
        let at = Timestamp::from_second(86_400 * i64::try_from(n).expect("small")).expect("a time");
        let change = Change { of: intent.id, revision, base, at, path: None, because: None };
        let fields = BTreeMap::from([("rule".to_owned(), revision)]);
        let mut record = self::intent(intent.id.0.as_u128(), rule);
        record.amended = Some(Amended { revision, fields });
        Amendment { change, record }
    }

    fn mark(of: RecordId, n: u64, state: Presence) -> StateFile {
        let revision = Revision { n, op: Uuid::from_u128(n.into()) };
        StateFile { of, state, revision, at: Timestamp::UNIX_EPOCH, because: None }
    }

    impl Bench {
        fn put(&mut self, intent: &Intent) -> i64 {
            self.index.insert(&[RowImage::of(intent, "p")]).expect("it is taken")[0].row_id
        }

        /// Rule, confidence, validations and time of each row, by its number.
        fn rows(&self) -> Vec<(i64, String, f64, i64, String)> {
            let sql = "SELECT id, rule, confidence, times_validated, updated_at FROM heuristics ORDER BY id";
            let mut statement = self.index.connection.prepare(sql).expect("it is there");
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
            statement.query_map([], row).expect("readable").collect::<Result<_, _>>().expect("readable")
        }
    }

    #[test]
    fn an_amendment_sets_what_it_changed_once_and_never_goes_back() {
        let mut bench = bench();
        let intent = intent(7, "a");
        let number = bench.put(&intent);
        let others = "UPDATE heuristics SET confidence = 0.875, times_validated = 3";
        bench.index.connection.execute_batch(others).expect("it can be changed");
        let third = amendment(&intent, 3, "third");
        assert!(bench.index.amend(&third).expect("it is taken"));
        let after = vec![(number, "third".to_owned(), 0.875, 3, "1970-01-04 00:00:00".to_owned())];
        assert_eq!(bench.rows(), after);
        for late in [&third, &amendment(&intent, 2, "second")] {
            assert!(!bench.index.amend(late).expect("it is looked at"), "equal or older changes nothing");
        }
        // A join of two amendments has a field of an earlier one.
        let mut joined = amendment(&intent, 4, "second");
        joined.record.amended.as_mut().expect("it is amended").fields =
            BTreeMap::from([("rule".to_owned(), Revision { n: 2, op: Uuid::from_u128(2) })]);
        assert!(bench.index.amend(&joined).expect("it is taken"));
        assert_eq!(bench.rows()[0].1, "second");
        let after = bench.rows();
        bench.put(&intent);
        assert_eq!(bench.rows(), after, "nor does the record again");
        assert_eq!(bench.index.amended(intent.id).expect("readable"), joined.record.amended);
        assert!(!bench.index.amend(&amendment(&self::intent(8, "x"), 2, "y")).expect("it is looked at"), "not known");
    }

    #[test]
    fn a_retracted_row_comes_back_with_its_number_and_its_counts() {
        let mut bench = bench();
        let intent = intent(7, "a");
        let number = bench.put(&intent);
        bench
            .index
            .connection
            .execute_batch("UPDATE heuristics SET confidence = 0.1, times_validated = 9")
            .expect("set");
        let before = bench.rows();
        let (retracted, restored) = (mark(intent.id, 2, Presence::Retracted), mark(intent.id, 3, Presence::Restored));
        assert!(bench.index.hide(&retracted).expect("it is taken"));
        assert!(!bench.index.hide(&retracted).expect("it is looked at"));
        assert_eq!((bench.rows(), bench.index.mark(intent.id).expect("readable")), (vec![], Some(retracted.clone())));
        bench.put(&intent);
        assert!(bench.rows().is_empty(), "a replay of the record brings nothing back");
        assert!(!bench.index.amend(&amendment(&intent, 9, "x")).expect("it is looked at"), "nor does an amendment");
        assert_eq!(bench.index.find(intent.id).expect("readable").expect("it is known").row_id, None);
        assert!(bench.index.unhide(&restored, None).expect("it is taken"));
        assert!(!bench.index.hide(&retracted).expect("it is looked at"), "the retraction is older");
        assert!(!bench.index.unhide(&restored, None).expect("it is looked at"));
        assert_eq!(bench.rows(), before);
        assert_eq!(bench.index.find(intent.id).expect("readable").expect("it is known").row_id, Some(number));
        // Once more, and this time another row has taken its number.
        assert!(bench.index.hide(&mark(intent.id, 4, Presence::Retracted)).expect("it is taken"));
        let taken = format!("INSERT INTO heuristics (id, domain, rule) VALUES ({number}, 'd', 'theirs')");
        bench.index.connection.execute_batch(&taken).expect("it is free");
        assert!(bench.index.unhide(&mark(intent.id, 5, Presence::Restored), None).expect("it is taken"));
        let rules: Vec<_> = bench.rows().into_iter().map(|row| (row.1, row.3)).collect();
        assert_eq!(rules, [("theirs".to_owned(), 0), ("a".to_owned(), 9)]);
    }

    #[test]
    fn a_retraction_of_an_unknown_record_is_remembered_and_a_lost_row_is_made_from_the_record() {
        let mut bench = bench();
        let intent = intent(7, "a");
        assert!(bench.index.hide(&mark(intent.id, 2, Presence::Retracted)).expect("it is taken"));
        assert!(bench.index.mark(intent.id).expect("readable").is_some());
        let row = RowImage::of(&intent, "p");
        assert!(bench.index.unhide(&mark(intent.id, 3, Presence::Restored), Some(&row)).expect("it is taken"));
        assert_eq!(bench.rows().len(), 1);
        assert!(bench.index.unhide(&mark(intent.id, 4, Presence::Restored), Some(&row)).expect("it is taken"));
        assert_eq!(bench.rows().len(), 1, "a row that is there stays as it is");
        let mut states = Vec::new();
        bench.index.for_each_mark(|mark| states.push(mark.state)).expect("readable");
        assert_eq!(states, [Presence::Restored]);
    }
}
