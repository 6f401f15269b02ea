//! Mending: the rows in one transaction, then the files.

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::{Mend, Mended, Orphan, Orphans};
use crate::adopt;
use crate::fs::order::{self, Lock};
use crate::fs::{self, Dir, Durability, Point, crash};
use crate::model::layout::{TEMPORARY, split};
use crate::model::text::visible_line;
use crate::target::index::{self, Index, columns_of};

/// Mends `orphans`: rows in one transaction, then files.
///
/// # Errors
/// Every error of writing the database or files. What was done stays, and mending again does the rest.
pub(in crate::adopt) fn mend(home: &Dir, path: &std::path::Path, orphans: &Orphans) -> Result<Mended, adopt::Error> {
    let mut mended = Mended::default();
    let all = || orphans.files.iter().chain(&orphans.rows).chain(&orphans.shared);
    for orphan in all() {
        if let Some(why) = &orphan.left {
            mended.left.push(format!("{}: {why}", orphan.row.as_deref().unwrap_or(&orphan.path)));
        }
    }
    let index = Index::open(path, index::PATIENCE)?;
    insert_rows(index.connection(), all(), &mut mended).map_err(|source| index.error("insert rows")(source))?;
    let temporary = crate::home::make_private(home)?.folder(TEMPORARY)?;
    for orphan in all() {
        if let Some(Mend::File(text)) = &orphan.mend {
            crash::at(Point::AdoptBeforeMend).map_err(fs::Error::io("mend", home.path()))?;
            let (folder, name) = split(&orphan.path);
            match home.make_folder(folder)?.create(name, text.as_bytes(), &temporary, Durability::Whole) {
                Err(error) if error.is_already_there() => {}
                placed => {
                    placed?;
                    mended.files += 1;
                }
            }
        }
    }
    let _ = home.sync_file_system()?;
    Ok(mended)
}

fn insert_rows<'o>(
    connection: &Connection,
    orphans: impl Iterator<Item = &'o Orphan>,
    mended: &mut Mended,
) -> Result<(), rusqlite::Error> {
    let _held = order::take(Lock::Index);
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for orphan in orphans {
        if let Some(Mend::Row { table, values }) = &orphan.mend {
            match insert_row(&transaction, table, values) {
                Ok(()) => mended.rows += 1,
                // One row that a table does not take is no reason against the others.
                Err(error) => mended.left.push(format!("{}: {}", orphan.path, visible_line(&error.to_string()))),
            }
        }
    }
    transaction.commit()
}

fn insert_row(connection: &Connection, table: &str, values: &[(&str, Value)]) -> Result<(), rusqlite::Error> {
    let there = columns_of(connection, table)?;
    let kept: Vec<_> = values.iter().filter(|(column, _)| there.iter().any(|it| it == column)).collect();
    let columns = kept.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ");
    let places = vec!["?"; kept.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
    let cells = kept.iter().map(|(_, cell)| cell);
    connection.execute(&sql, params_from_iter(cells)).map(|_| ())
}
