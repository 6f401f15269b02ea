//! The texts of all rows, as they lie in the tables: for readers that look for words in them, and read few of the records.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Row};

use super::query::parsed;
use super::read::{FACTS, Facts, facts};
use super::{Error, Index, framework, resolves};
use crate::model::{Kind, RecordId};

/// The columns of a query for texts: after those that facts are made of, these and `exact_headline`, these and `resolves`.
const HEADLINES: [(&str, &str); 3] = [("learnings", "title"), ("heuristics", "rule"), ("experiments", "name")];
const BODIES: [(&str, &str); 3] =
    [("learnings", "summary"), ("heuristics", "explanation"), ("experiments", "hypothesis")];
/// After so many rows, a reader is asked whether its time is over.
const ROWS_A_PART: i64 = 1_000;
/// Greater than any id.
const BEHIND_ALL_IDS: &str = "~";
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
    /// those that were recorded later, or at that time and have a greater id. There is no index of times, so every row is
    /// compared: `is_over` is asked after each `ROWS_A_PART` of them, also if none is taken. Returns whether it saw all.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_text(
        &self,
        after: Option<(&str, &str)>,
        mut is_over: impl FnMut() -> bool,
        mut take: impl FnMut(RowText<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        let mut read = || {
            let texts = self.texts_of_rows()?;
            let is_framework = framework::layout(&self.connection)?.1;
            let (time, id) = after.unwrap_or_default();
            let begin = "SELECT id FROM records WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";
            let mut begin = self.connection.prepare(begin)?;
            // An id of version 7 begins with the time; others would come first.
            for is_by_time in ["=", "<>"] {
                let mut part = self.connection.prepare(&format!(
                    "{texts} AND (records.created_at, records.id) > (?1, ?2) AND substr(records.id, 15, 1) {is_by_time} '7'
                     AND records.id >= ?3 AND records.id < ?4 ORDER BY records.id DESC"
                ))?;
                let mut end = BEHIND_ALL_IDS.to_owned();
                loop {
                    let begin: Option<String> =
                        begin.query_row((&end, ROWS_A_PART - 1), |row| row.get(0)).optional()?;
                    let mut rows = part.query([time, id, begin.as_deref().unwrap_or_default(), &end])?;
                    while let Some(row) = rows.next()? {
                        if take(RowText { row, is_framework }).is_break() {
                            return Ok(false);
                        }
                    }
                    let Some(begin) = begin else { break };
                    end = begin;
                    if is_over() {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        read().map_err(self.error("read the index"))
    }

    /// The query for the texts of all rows, with the columns that [`RowText`] reads.
    fn texts_of_rows(&self) -> Result<String, rusqlite::Error> {
        let of = |columns: &[(&str, &str)]| -> Result<Vec<String>, rusqlite::Error> {
            columns.iter().map(|(table, column)| self.columns_or_null(table, &[column])).collect()
        };
        let mut columns = of(&HEADLINES)?;
        columns.push(self.columns_or_null("records", &framework::EXACT[..1])?);
        columns.extend(of(&BODIES)?);
        columns.push(self.columns_or_null("records", &[resolves::COLUMN])?);
        self.facts_of_rows(&columns.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::model::{Heuristic, HomeId, Intent, Provenance, Record};
    use crate::target::index::RowImage;

    /// An index with rows of all `numbers`, half of whose ids begin with a time.
    fn index_of(numbers: std::ops::Range<u128>) -> (tempfile::TempDir, Index) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("index.db");
        Index::create(&path, HomeId::default()).expect("it can be made");
        let mut index = Index::open(&path, Duration::from_secs(5)).expect("it opens");
        let record = Heuristic { rule: "r".into(), domain: "d".into(), source: "auto".into(), ..Heuristic::default() };
        let intent = |n: u128| Intent {
            id: RecordId(Uuid::from_u128(n << 80 | if n.is_multiple_of(2) { 7 << 76 } else { 5 << 76 } | n)),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            record: Record::Heuristic(record.clone()),
            provenance: Provenance::default(),
            amended: None,
            files: Vec::new(),
            from: None,
        };
        let intents: Vec<_> = numbers.map(intent).collect();
        let rows: Vec<_> = intents.iter().map(|intent| RowImage::of(intent, "p")).collect();
        index.insert(&rows).expect("they are taken");
        (folder, index)
    }

    #[test]
    fn every_row_is_read_once_whatever_parts_it_is_read_in() {
        let (_folder, index) = index_of(0..2_500);
        let mut ids = Vec::new();
        let take = |row: RowText<'_>| {
            ids.push(row.id().expect("it has one"));
            ControlFlow::Continue(())
        };
        assert!(index.for_each_text(None, || false, take).expect("readable"));
        let of_time = |id: &RecordId| id.to_string().as_bytes()[14] == b'7';
        assert!(ids[..1_250].iter().all(of_time) && ids.is_sorted_by_key(|id| (!of_time(id), std::cmp::Reverse(*id))));
        ids.dedup();
        assert_eq!(ids.len(), 2_500);
    }

    /// A reader whose time is over is told so where no row is one that it looks for, too.
    #[test]
    fn rows_that_are_only_compared_are_bounded_as_well() {
        let (_folder, index) = index_of(0..2_500);
        let take = |_: RowText<'_>| panic!("it is not behind the end of time");
        let after = Some(("9", ""));
        let mut asked = 0;
        let is_over = || {
            asked += 1;
            asked == 2
        };
        assert!(!index.for_each_text(after, is_over, take).expect("readable"), "it was not all");
        assert_eq!(asked, 2);
        assert!(index.for_each_text(after, || false, take).expect("readable"));
    }
}
