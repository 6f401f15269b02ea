//! Inserting rows.
//!
//! 1. A record's row in its table and its entry in `records` appear in one transaction, or neither does.
//! 2. A record has one row, however often it is inserted: the transaction holds the write lock while it looks.
//! 3. A transaction does not sync.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | no row (SQLite rolls back) | replay of the journal inserts it |
//! | after it | the row; after a power cut perhaps no row | replay of the journal inserts it |

use jiff::Timestamp;
use rusqlite::{ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::change::TIME;
use super::schema::{
    ACTIVE, EXPERIMENTS, HEURISTICS, LEARNINGS, SCHEMA, Table, VERDICTS, columns_of, is_of_the_sql, migrate,
};
use super::{Error, Index, alike, change, elsewhere, framework, resolves, verdicts, watermark};
use crate::fs::order::{self, Lock};
use crate::fs::{Point, crash};
use crate::model::{Amended, ExperimentResult, Intent, Origin, Provenance, Record, RecordId, Source};
use crate::page;

/// The content of a new row.
#[derive(Clone, Copy, Debug)]
pub struct RowImage<'a> {
    /// The record.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The key it was recorded under.
    pub key: Option<&'a str>,
    /// Its fields.
    pub record: &'a Record,
    /// Where it comes from.
    pub provenance: &'a Provenance,
    /// How its content came about, if it is not as first recorded.
    pub amended: Option<&'a Amended>,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: &'a str,
    /// Where it came from, if another home recorded it.
    pub from: Option<&'a Source>,
}

impl<'a> RowImage<'a> {
    /// The row of `intent`, whose files are at `path`.
    pub fn of(intent: &'a Intent, path: &'a str) -> RowImage<'a> {
        let key = intent.key.as_deref();
        RowImage {
            id: intent.id,
            created_at: intent.created_at,
            key,
            record: &intent.record,
            provenance: &intent.provenance,
            amended: intent.amended.as_ref(),
            path,
            from: intent.from.as_deref(),
        }
    }
}

/// The row that a record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The row in its table.
    pub row_id: i64,
    /// The path of the record's page or folder, from the earlier insertion if there was one.
    pub path: String,
    /// Whether this insertion made it.
    pub is_new: bool,
}

/// The results of inserting rows.
#[derive(Debug, Default)]
pub struct Taken {
    /// The rows that exist now.
    pub inserted: Vec<Inserted>,
    /// The records whose rows were rejected by their tables, and why.
    pub refused: Vec<(RecordId, Error)>,
}

impl Index {
    /// Inserts rows in one transaction. Returns for each the row that its record has now, and whether it is new.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if a table rejects a row, [`Error::Newer`] if this program does not know the index's
    /// version; nothing is inserted then. Every other [`Error`].
    pub fn insert(&mut self, rows: &[RowImage<'_>]) -> Result<Vec<Inserted>, Error> {
        self.insert_to(rows, None)
    }

    /// As [`Index::insert`]; also sets the watermark in the same transaction, if one is given.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn insert_to(&mut self, rows: &[RowImage<'_>], watermark: Option<&str>) -> Result<Vec<Inserted>, Error> {
        let error = self.error("insert into the index");
        let _held = order::take(Lock::Index);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        let (schema, is_framework) = framework::layout(&transaction).unwrap_or_default();
        match schema {
            Some(found) if found > SCHEMA => return Err(Error::Newer { found }),
            _ => migrate(&transaction).map_err(&error)?,
        }
        let inserted = {
            let mut statements = Statements::prepare(&transaction, is_framework).map_err(&error)?;
            rows.iter().map(|row| statements.insert(row, &error)).collect::<Result<Vec<_>, _>>()?
        };
        if let Some(watermark) = watermark {
            watermark::put(&transaction, watermark).map_err(&error)?;
        }
        let named = |source: std::io::Error| error(rusqlite::Error::ToSqlConversionFailure(source.into()));
        crash::at(Point::RowBeforeCommit).map_err(named)?;
        transaction.commit().map_err(&error)?;
        crash::at(Point::RowAfterCommit).map_err(named)?;
        Ok(inserted)
    }

    /// As [`Index::insert`], but rows that their tables reject are returned, each with its error. If there are any,
    /// each of the others is inserted in a transaction of its own.
    ///
    /// # Errors
    /// As [`Index::insert`], without [`Error::RowRefused`]; some rows may be inserted then.
    pub fn insert_what_is_taken(&mut self, rows: &[RowImage<'_>]) -> Result<Taken, Error> {
        match self.insert(rows) {
            Ok(inserted) => return Ok(Taken { inserted, refused: Vec::new() }),
            Err(Error::RowRefused { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut taken = Taken::default();
        for row in rows {
            match self.insert(std::slice::from_ref(row)) {
                Ok(inserted) => taken.inserted.extend(inserted),
                Err(error @ Error::RowRefused { .. }) => taken.refused.push((row.id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Removes the entry of `id` from `records`, so that the record can be inserted again; for an entry whose table
    /// lacks the row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn forget(&mut self, id: RecordId) -> Result<(), Error> {
        let _held = order::take(Lock::Index);
        let forget = self.connection.execute("DELETE FROM records WHERE id = ?1", [id.to_string()]);
        forget.map(|_| ()).map_err(self.error("remove a record without a row from the index"))
    }
}

/// The statements that insert a record, prepared on first use.
pub(super) struct Statements<'t> {
    transaction: &'t Transaction<'t>,
    /// Whether the tables are the framework's.
    is_framework: bool,
    find: rusqlite::Statement<'t>,
    remember: rusqlite::Statement<'t>,
    tables: [Option<rusqlite::Statement<'t>>; 4],
}

impl Table {
    /// Prepares the insertion of a row. An adopted table may be older than some of our columns: only the others are
    /// set.
    pub(super) fn prepare<'t>(
        &self,
        transaction: &'t Transaction<'t>,
    ) -> Result<rusqlite::Statement<'t>, rusqlite::Error> {
        let Table { name, columns, values, .. } = self;
        let error = match transaction.prepare(&format!("INSERT INTO {name} ({columns}) VALUES ({values})")) {
            Err(error) if is_of_the_sql(&error) => error,
            prepared => return prepared,
        };
        let there = columns_of(transaction, name)?;
        if there.is_empty() || self.columns(false, &there).next().is_none() {
            return Err(error);
        }
        let kept = self.columns(true, &there).collect::<Vec<_>>().join(", ");
        // Named parameters, so that it takes the same arguments however many of them it uses.
        transaction.prepare(&format!(
            "WITH given ({columns}) AS (VALUES ({values})) INSERT INTO {name} ({kept}) SELECT {kept} FROM given"
        ))
    }
}

impl<'t> Statements<'t> {
    pub(super) fn prepare(
        transaction: &'t Transaction<'t>,
        is_framework: bool,
    ) -> Result<Statements<'t>, rusqlite::Error> {
        let (exact, places) = if is_framework { (framework::COLUMNS, ", ?13, ?14") } else { ("", "") };
        Ok(Statements {
            transaction,
            is_framework,
            find: transaction.prepare("SELECT row_id, path FROM records WHERE id = ?1")?,
            remember: transaction.prepare(&format!(
                "INSERT INTO records
                 (id, kind, path, row_id, created_at, key, project, origin, session, agent, host, cwd{exact})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12{places})"
            ))?,
            tables: [None, None, None, None],
        })
    }

    /// Inserts `row` unless its record has one. The transaction holds the write lock, so a prior check is enough. An
    /// `INSERT OR IGNORE` would hide rejections by an adopted table.
    fn insert(&mut self, row: &RowImage<'_>, error: &impl Fn(rusqlite::Error) -> Error) -> Result<Inserted, Error> {
        let id = row.id.to_string();
        let found = self.find.query_row([&id], |found| Ok((found.get(0)?, found.get(1)?))).optional();
        if let Some((row_id, path)) = found.map_err(error)? {
            return Ok(Inserted { row_id, path, is_new: false });
        }
        match self.insert_new_row(row) {
            Ok(row_id) => Ok(Inserted { row_id, path: row.path.into(), is_new: true }),
            Err(Refused { source, by_table: true }) if is_refusal(&source) => {
                Err(Error::RowRefused { id: row.id, kind: row.record.kind(), source })
            }
            Err(Refused { source, .. }) => Err(error(source)),
        }
    }

    /// Inserts `row`, whose record has no row yet.
    pub(super) fn insert_new(&mut self, row: &RowImage<'_>) -> Result<(), rusqlite::Error> {
        self.insert_new_row(row).map(|_| ()).map_err(|refused| refused.source)
    }

    /// Inserts `row`, whose record has no row yet. Returns its number.
    fn insert_new_row(&mut self, row: &RowImage<'_>) -> Result<i64, Refused> {
        let in_table = |source| Refused { source, by_table: true };
        let (id, created_at) = (row.id.to_string(), format!("{:.3}", row.created_at));
        let Provenance { project, origin, session, agent, host, cwd } = row.provenance;
        let (kind, origin) = (row.record.kind().name(), origin.map(Origin::name));
        let row_id = if self.is_framework {
            let (record, exact) = framework::fitted(row.record);
            let row_id = self.insert_into_table(&RowImage { record: &record, ..*row }).map_err(in_table)?;
            let (headline, domain) = (exact.headline, exact.domain);
            let values = params![
                id, kind, row.path, row_id, created_at, row.key, project, origin, session, agent, host, cwd, headline,
                domain
            ];
            self.remember.execute(values)?;
            row_id
        } else {
            let row_id = self.insert_into_table(row).map_err(in_table)?;
            let values =
                params![id, kind, row.path, row_id, created_at, row.key, project, origin, session, agent, host, cwd];
            self.remember.execute(values)?;
            row_id
        };
        if let Some(amended) = row.amended {
            change::remember(self.transaction, row.id, amended)?;
        }
        if let Some(from) = row.from {
            elsewhere::remember(self.transaction, row.id, from)?;
        }
        if matches!(row.record, Record::Success(it) if it.resolves.is_some()) {
            resolves::remember(self.transaction, row.id, row.record)?;
        }
        alike::changed(self.transaction, row.id, row.record)?;
        verdicts::inserted(self.transaction, row)?;
        Ok(row_id)
    }

    pub(super) fn insert_into_table(&mut self, row: &RowImage<'_>) -> Result<i64, rusqlite::Error> {
        let at = row.created_at.strftime(TIME).to_string();
        let changed = row.amended.and_then(page::amended_at).map(|at| at.strftime(TIME).to_string());
        let changed = changed.as_deref().unwrap_or(&at);
        let kind = row.record.kind().name();
        match row.record {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => {
                self.table(LEARNINGS)?.insert(params![
                    kind,
                    row.path,
                    it.title,
                    it.summary,
                    it.tags,
                    it.domain,
                    it.severity.get(),
                    at,
                    changed
                ])
            }
            Record::Heuristic(it) => self.table(HEURISTICS)?.insert(params![
                it.domain,
                it.rule,
                it.explanation,
                it.source,
                it.confidence.get(),
                at,
                changed
            ]),
            Record::Experiment(it) => {
                let ended = it.result.map(|_| page::ended_at(row.created_at, row.amended).strftime(TIME).to_string());
                let status = it.result.map_or(ACTIVE, ExperimentResult::name);
                let outcome = Some(&it.outcome).filter(|outcome| !outcome.is_empty());
                let values = params![it.name, it.hypothesis, row.path, at, status, outcome, ended, changed];
                self.table(EXPERIMENTS)?.insert(values)
            }
            Record::Verdict(it) => self.table(VERDICTS)?.insert(params![
                row.id.to_string(),
                it.verdict.name(),
                it.of.to_string(),
                it.because,
                at,
                changed
            ]),
        }
    }

    fn table(&mut self, table: Table) -> Result<&mut rusqlite::Statement<'t>, rusqlite::Error> {
        match &mut self.tables[table.slot] {
            Some(statement) => Ok(statement),
            empty => Ok(empty.insert(table.prepare(self.transaction)?)),
        }
    }
}

/// Why a row could not be inserted.
struct Refused {
    source: rusqlite::Error,
    /// Whether the table rejected it. The table can be another program's.
    by_table: bool,
}

impl From<rusqlite::Error> for Refused {
    fn from(source: rusqlite::Error) -> Self {
        Refused { source, by_table: false }
    }
}

/// Whether the table rejects the row by its constraints or triggers: a retry cannot succeed.
pub(super) fn is_refusal(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    let code = error.sqlite_error_code();
    matches!(error, rusqlite::Error::SqlInputError { .. })
        || matches!(code, Some(ConstraintViolation | TypeMismatch | TooBig | Unknown))
}
