//! The texts of all rows, as they lie in the tables: for readers that look for words in them, and read few of the records.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::query::parsed;
use super::read::{FACTS, Facts, facts};
use super::{Error, Index, framework, resolves};
use crate::model::{Kind, RecordId};

/// The columns of a query for texts: after those that facts are made of, these and `exact_headline`, these and `resolves`.
const HEADLINES: [(&str, &str); 3] = [("learnings", "title"), ("heuristics", "rule"), ("experiments", "name")];
const BODIES: [(&str, &str); 3] =
    [("learnings", "summary"), ("heuristics", "explanation"), ("experiments", "hypothesis")];
/// Domains and tags, which facts have as well.
const NAMES: [usize; 4] = [3, 4, 6, 8];

/// A record's row, while it is read.
#[derive(Debug)]
pub struct RowText<'r> {
    row: &'r Row<'r>,
    is_framework: bool,
}

/// What a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'r> {
    /// The line that names the record.
    Headline(&'r str),
    /// Another of its texts.
    Body(&'r str),
}

impl RowText<'_> {
    /// The record.
    ///
    /// # Errors
    /// SQLite's, also if there is no id.
    pub fn id(&self) -> Result<RecordId, rusqlite::Error> {
        parsed(self.row, 0)
    }

    /// When it was recorded; the beginning of 1970 if that makes no sense.
    pub fn created_at(&self) -> Timestamp {
        parsed(self.row, 2).unwrap_or_default()
    }

    /// What filters look at.
    ///
    /// # Errors
    /// SQLite's, also if a value makes no sense.
    pub fn facts(&self) -> Result<Facts, rusqlite::Error> {
        facts(self.row)
    }

    /// Whether it is a verdict: these are not looked for.
    pub fn is_verdict(&self) -> bool {
        self.is_a(Kind::Verdict)
    }

    fn is_a(&self, kind: Kind) -> bool {
        self.row.get_ref(1).is_ok_and(|is| is.as_str().is_ok_and(|is| is == kind.name()))
    }

    /// Calls `each` with every text of the record. False if the row does not hold all of them, or not as text: then the record
    /// has to be read.
    pub fn for_each(&self, mut each: impl FnMut(Text<'_>)) -> bool {
        let has_row = self.row.get::<_, bool>(FACTS - 1).unwrap_or(false);
        if self.is_framework || self.is_a(Kind::Experiment) || !has_row {
            return false;
        }
        let headlines = FACTS..FACTS + HEADLINES.len() + 1;
        let bodies = headlines.end..headlines.end + BODIES.len() + 1;
        for at in headlines.clone().chain(NAMES).chain(bodies) {
            let text = match self.row.get_ref(at) {
                Ok(ValueRef::Text(text)) => std::str::from_utf8(text),
                Ok(ValueRef::Null) => continue,
                _ => return false,
            };
            match text {
                Ok(text) if headlines.contains(&at) => each(Text::Headline(text)),
                Ok(text) => each(Text::Body(text)),
                Err(_) => return false,
            }
        }
        true
    }
}

impl Index {
    /// Calls `take` for each record with a row, about the newest first, until it breaks; with `after`, a time and an id, for
    /// those that were recorded later, or at that time and have a greater id. Returns whether it saw all of them.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_text(
        &self,
        after: Option<(&str, &str)>,
        mut take: impl FnMut(RowText<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        let mut read = || {
            let of = |columns: &[(&str, &str)]| -> Result<Vec<String>, rusqlite::Error> {
                columns.iter().map(|(table, column)| self.columns_or_null(table, &[column])).collect()
            };
            let mut columns = of(&HEADLINES)?;
            columns.push(self.columns_or_null("records", &framework::EXACT[..1])?);
            columns.extend(of(&BODIES)?);
            columns.push(self.columns_or_null("records", &[resolves::COLUMN])?);
            let facts = self.facts_of_rows(&columns.join(", "))?;
            let is_framework = framework::layout(&self.connection)?.1;
            let (time, id) = after.unwrap_or_default();
            // An id of version 7 begins with the time; others would come first.
            for is_by_time in ["=", "<>"] {
                let sql = format!(
                    "{facts} AND (records.created_at, records.id) > (?1, ?2) AND substr(records.id, 15, 1) {is_by_time} '7' ORDER BY records.id DESC"
                );
                let mut statement = self.connection.prepare(&sql)?;
                let mut rows = statement.query([time, id])?;
                while let Some(row) = rows.next()? {
                    if take(RowText { row, is_framework }).is_break() {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        read().map_err(self.error("read the index"))
    }
}
