//! All rules with what became of them, for domains' pages and for readers. Nothing here changes the index.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::query::parsed;
use super::schema::{columns_or_null, has_table};
use super::verdicts::{Judged, given};
use super::{Error, Index, framework};
use crate::model::{Origin, RecordId};
use crate::page::PageEntry;
use crate::rules::{Rule, Standing, standing};

/// A rule, as far as its row has it, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRow {
    /// The record.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its page, relative to the home.
    pub path: String,
    /// What it is about.
    pub domain: String,
    /// The rule.
    pub rule: String,
    /// Why it holds; may be empty.
    pub explanation: String,
    /// Where it comes from.
    pub source: String,
    /// How sure it was when it was recorded.
    pub stated: f64,
    /// Its project.
    pub project: Option<String>,
    /// Who it is by.
    pub origin: Option<Origin>,
    /// Its session.
    pub session: Option<String>,
    /// What became of it.
    pub judged: Judged,
}

impl RuleRow {
    /// The time of the newest of the rule and its verdicts.
    pub fn newest(&self) -> Timestamp {
        self.judged.given.iter().map(|it| it.at).fold(self.created_at, Timestamp::max)
    }

    /// How sure it is by now, where `newest` is the time of the newest record of its scope.
    pub fn standing(&self, newest: Timestamp) -> Standing {
        standing(&Rule {
            stated: self.stated,
            created_at: self.created_at,
            given: &self.judged.given,
            validated_elsewhere: self.judged.validated_elsewhere,
            violated_elsewhere: self.judged.violated_elsewhere,
            newest,
        })
    }
}

impl Index {
    /// Calls `take` with each rule that has a row, oldest first, until it breaks. With `folder`, a domain's, with those of
    /// that domain alone.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn for_each_rule(
        &self,
        folder: Option<&str>,
        mut take: impl FnMut(RuleRow) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut read = || {
            let has_verdicts = has_table(&self.connection, "verdicts")?;
            let mut statement = self.connection.prepare(&self.sql_of_rules(folder.is_some(), has_verdicts)?)?;
            let mut rows = match folder {
                Some(folder) => statement.query(params![folder])?,
                None => statement.query([])?,
            };
            while let Some(row) = rows.next()? {
                let mut rule = rule_in(row)?;
                if row.get::<_, bool>(18)? {
                    rule.judged.given = given(&self.connection, &rule.id.to_string())?;
                }
                if take(rule).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(self.error("read the rules from the index"))
    }

    /// The rules of the domain page whose folder is `folder`, oldest first, each with its domain.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn page_entries(&self, folder: &str) -> Result<Vec<(String, PageEntry)>, Error> {
        let mut entries = Vec::new();
        self.for_each_rule(Some(folder), |row| {
            let Judged { given, validated_elsewhere, violated_elsewhere, .. } = row.judged;
            let entry = PageEntry {
                id: row.id,
                rule: row.rule,
                explanation: row.explanation,
                source: row.source,
                confidence: row.stated,
                created_at: row.created_at,
                path: row.path,
                given,
                validated_elsewhere,
                violated_elsewhere,
            };
            entries.push((row.domain, entry));
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    fn sql_of_rules(&self, is_of_folder: bool, has_verdicts: bool) -> Result<String, rusqlite::Error> {
        let columns = |table, columns: &[&str]| columns_or_null(&self.connection, table, columns);
        let entry = columns("records", &["id", "created_at", "path"])?;
        let row = ["domain", "rule", "explanation", "source_type", "confidence"];
        let row = columns("heuristics", &row)?;
        let counts = columns("heuristics", &["times_validated", "times_violated", "is_golden"])?;
        let beside = columns("records", &["project", "origin", "session", framework::EXACT[0], framework::EXACT[1]])?;
        let (counted, join) = match has_verdicts {
            true => (
                "counted.validated, counted.violated, EXISTS (SELECT 1 FROM verdicts WHERE about = records.id)",
                "LEFT JOIN counted ON counted.rule = records.id",
            ),
            false => ("NULL, NULL, 0", ""),
        };
        let of_folder = match is_of_folder {
            true => "AND records.path >= ?1 || '/' AND records.path < ?1 || '0'",
            false => "",
        };
        Ok(format!(
            "SELECT {entry}, {row}, {counts}, {beside}, {counted}
             FROM records JOIN heuristics ON heuristics.id = records.row_id {join}
             WHERE records.kind = 'heuristic' {of_folder} ORDER BY records.created_at, records.id"
        ))
    }
}

fn rule_in(row: &Row<'_>) -> Result<RuleRow, rusqlite::Error> {
    let text = |at| row.get::<_, Option<String>>(at);
    let number = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_i64().unwrap_or(0));
    let beyond = |all: i64, ours: i64| u64::try_from(all.saturating_sub(ours)).unwrap_or(0);
    let (domain, rule) = (text(3)?.unwrap_or_default(), text(4)?.unwrap_or_default());
    Ok(RuleRow {
        id: parsed(row, 0)?,
        created_at: parsed(row, 1)?,
        path: row.get(2)?,
        domain: text(15)?.unwrap_or(domain),
        rule: text(14)?.unwrap_or(rule),
        explanation: text(5)?.unwrap_or_default(),
        source: text(6)?.unwrap_or_default(),
        stated: row.get::<_, Option<f64>>(7)?.unwrap_or_default(),
        project: text(11)?,
        origin: text(12)?.and_then(|text| text.parse().ok()),
        session: text(13)?,
        judged: Judged {
            given: Vec::new(),
            validated_elsewhere: beyond(number(8)?, number(16)?),
            violated_elsewhere: beyond(number(9)?, number(17)?),
            is_marked_golden: number(10)? != 0,
        },
    })
}
