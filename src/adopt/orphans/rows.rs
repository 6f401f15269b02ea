//! The framework's rows that this program did not insert.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::adopt::legacy::RowFields;
use crate::target::index::{columns_of, columns_or_null};

/// The rows of the framework's tables that are not ours.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) learnings: Vec<LearningRow>,
    pub(super) heuristics: Vec<HeuristicRow>,
    pub(super) experiments: Vec<ExperimentRow>,
}

pub(super) struct LearningRow {
    pub(super) id: i64,
    pub(super) path: String,
    pub(super) fields: RowFields,
}

pub(super) struct HeuristicRow {
    pub(super) id: i64,
    pub(super) domain: String,
    pub(super) rule: String,
    pub(super) explanation: String,
    pub(super) source: String,
    pub(super) confidence: String,
    pub(super) created_at: String,
}

pub(super) struct ExperimentRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) hypothesis: String,
    pub(super) path: String,
}

impl Rows {
    pub(super) fn read(database: &Connection) -> Result<Rows, rusqlite::Error> {
        let learning = |row: &Row<'_>| {
            let (path, title, domain) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
            let (severity, tags, created_at) = (text(row, 4)?, text(row, 5)?, text(row, 6)?);
            let fields = RowFields { title, domain, severity, tags, created_at, text: text(row, 7)? };
            Ok(LearningRow { id: row.get(0)?, path, fields })
        };
        let heuristic = |row: &Row<'_>| {
            let (domain, rule, explanation) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
            let (source, confidence, created_at) = (text(row, 4)?, text(row, 5)?, text(row, 6)?);
            Ok(HeuristicRow { id: row.get(0)?, domain, rule, explanation, source, confidence, created_at })
        };
        let experiment = |row: &Row<'_>| {
            let (name, hypothesis, path) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
            Ok(ExperimentRow { id: row.get(0)?, name, hypothesis, path })
        };
        let learnings = ["id", "filepath", "title", "domain", "severity", "tags", "created_at", "summary"];
        let heuristics = ["id", "domain", "rule", "explanation", "source_type", "confidence", "created_at"];
        Ok(Rows {
            learnings: read_table(database, "learnings", "'failure', 'success', 'observation'", &learnings, learning)?,
            heuristics: read_table(database, "heuristics", "'heuristic'", &heuristics, heuristic)?,
            experiments: read_table(
                database,
                "experiments",
                "'experiment'",
                &["id", "name", "hypothesis", "folder_path"],
                experiment,
            )?,
        })
    }
}

/// The rows of `table` that `records` does not know as one of `kinds`.
fn read_table<T>(
    database: &Connection,
    table: &str,
    kinds: &str,
    columns: &[&str],
    row: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, rusqlite::Error> {
    if columns_of(database, table)?.is_empty() {
        return Ok(Vec::new());
    }
    let ours = match columns_of(database, "records")?.is_empty() {
        true => "SELECT NULL WHERE 0".to_owned(),
        false => format!("SELECT row_id FROM records WHERE kind IN ({kinds})"),
    };
    let columns = columns_or_null(database, table, columns)?;
    let sql = format!("SELECT {columns} FROM {table} WHERE id NOT IN ({ours}) ORDER BY id");
    database.prepare(&sql)?.query_map([], row)?.collect()
}

/// A value of any type as text.
fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    })
}
