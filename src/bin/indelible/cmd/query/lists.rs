//! Questions that are answered by a list of rows.

use indelible::framework::{
    ASSUMPTIONS, CEO_REVIEWS, DECISIONS, EXPERIMENTS, HEURISTICS, INVARIANTS, Is, LEARNINGS, Row, SPIKE_REPORTS, Select,
};

use super::data::Data;
use super::problem::Problem;
use super::{Reader, checks};

/// How far back `--recent` looks.
const RECENT_DAYS: i64 = 2;

/// Newest first.
pub const NEWEST: &[&str] = &["created_at"];
const CHALLENGED: &[&str] = &["challenged", "invalidated"];

/// The columns that a list of invariants shows. The others are for contexts.
const OF_INVARIANTS: [&str; 8] =
    ["id", "statement", "rationale", "domain", "scope", "severity", "status", "created_at"];
/// The columns that a list of challenged assumptions shows.
const OF_CHALLENGED: [&str; 10] = [
    "id",
    "assumption",
    "context",
    "source",
    "confidence",
    "status",
    "domain",
    "verified_count",
    "challenged_count",
    "created_at",
];

/// Of this domain, or of none.
fn within(domain: Option<&str>) -> Option<Is<'_>> {
    domain.map(|it| Is::EqualOrNull("domain", it))
}

/// With this value, unless it is empty.
fn equal<'a>(column: &'static str, value: Option<&'a str>) -> Option<Is<'a>> {
    value.filter(|it| !it.is_empty()).map(|it| Is::Equal(column, it))
}

impl Reader<'_> {
    /// `--domain`.
    pub fn of_domain(&self, domain: &str) -> Result<Data, Problem> {
        let limit = checks::limit(self.args.limit)?;
        let (heuristics, learnings) = (self.heuristics_of(domain, limit)?, self.learnings_of(domain, limit)?);
        let count =
            Data::map([("heuristics", Data::count(heuristics.len())), ("learnings", Data::count(learnings.len()))]);
        Ok(Data::map([
            ("domain", Data::text(domain)),
            ("heuristics", Data::rows(&heuristics)),
            ("learnings", Data::rows(&learnings)),
            ("count", count),
        ]))
    }

    pub fn heuristics_of(&self, domain: &str, limit: u32) -> Result<Vec<Row>, Problem> {
        let order = &["confidence", "times_validated"];
        let select = Select::from(&HEURISTICS).where_(Is::Equal("domain", domain)).largest(order).first(limit);
        self.rows(&select.where_some(self.here()))
    }

    /// The newest heuristics that are not golden, of any domain.
    pub fn newest_heuristics(&self, limit: u32) -> Result<Vec<Row>, Problem> {
        let order = &["created_at", "confidence"];
        let select = Select::from(&HEURISTICS).where_(Is::False("is_golden")).largest(order).first(limit);
        self.rows(&select.where_some(self.here()))
    }

    /// A later version of the framework keeps some heuristics to the folder in which they were made.
    fn here(&self) -> Option<Is<'_>> {
        let is_kept = self.tables.has_column(&HEURISTICS, "project_path");
        is_kept.then(|| Is::EqualOrNull("project_path", &self.folder))
    }

    pub fn learnings_of(&self, domain: &str, limit: u32) -> Result<Vec<Row>, Problem> {
        self.rows(&Select::from(&LEARNINGS).where_(Is::Equal("domain", domain)).largest(NEWEST).first(limit))
    }

    /// The newest learnings of any domain.
    pub fn newest_learnings(&self, limit: u32) -> Result<Vec<Row>, Problem> {
        self.rows(&Select::from(&LEARNINGS).largest(NEWEST).first(limit))
    }

    /// `--tags`.
    pub fn of_tags(&self, tags: &[String], limit: u32) -> Result<Vec<Row>, Problem> {
        self.rows(&Select::from(&LEARNINGS).where_(Is::HasAny("tags", tags)).largest(NEWEST).first(limit))
    }

    /// `--recent`.
    pub fn recent(&self, kind: Option<&str>, limit: u32) -> Result<Vec<Row>, Problem> {
        self.learnings_since(RECENT_DAYS, kind, limit)
    }

    pub fn learnings_since(&self, days: i64, kind: Option<&str>, limit: u32) -> Result<Vec<Row>, Problem> {
        let kind = kind.map(str::trim).filter(|it| !it.is_empty()).map(|it| Is::Equal("type", it));
        let select = Select::from(&LEARNINGS).where_some(kind).where_(Is::Since("created_at", self.days_ago(days)));
        self.rows(&select.largest(NEWEST).first(limit))
    }

    /// `--experiments`.
    pub fn experiments(&self) -> Result<Vec<Row>, Problem> {
        self.rows(&Select::from(&EXPERIMENTS).where_(Is::Equal("status", "active")).largest(NEWEST))
    }

    /// `--ceo-reviews`.
    pub fn reviews(&self) -> Result<Vec<Row>, Problem> {
        self.rows(&Select::from(&CEO_REVIEWS).where_(Is::Equal("status", "pending")).largest(NEWEST))
    }

    /// `--decisions`.
    pub fn decisions(&self, domain: Option<&str>, status: &str, limit: u32) -> Result<Vec<Row>, Problem> {
        let select = Select::from(&DECISIONS).where_(Is::Equal("status", status)).where_some(within(domain));
        self.rows(&select.largest(NEWEST).first(limit))
    }

    /// `--spikes`.
    pub fn spikes(&self, domain: Option<&str>, tags: Option<&[String]>, limit: u32) -> Result<Vec<Row>, Problem> {
        let tags = tags.map(|tags| Is::HasAny("tags", tags));
        let select = Select::from(&SPIKE_REPORTS).where_some(within(domain)).where_some(tags);
        self.rows(&select.largest(&["usefulness_score", "created_at"]).first(limit))
    }

    /// `--assumptions`: those of the status, or else, with a line that says so, those that turned out wrong.
    pub fn assumptions(&self, domain: Option<&str>, limit: u32) -> Result<(Option<&'static str>, Data), Problem> {
        let status = self.args.assumption_status.as_str();
        let found = self.assumptions_of(domain, status, self.args.min_confidence, limit)?;
        if found.is_empty() && !CHALLENGED.contains(&status) {
            let challenged = self.challenged(domain, limit)?;
            if !challenged.is_empty() {
                let rows: Vec<Row> = challenged.iter().map(|row| row.only(&OF_CHALLENGED)).collect();
                return Ok((Some("\n--- Challenged/Invalidated Assumptions ---\n"), Data::rows(&rows)));
            }
        }
        Ok((None, Data::rows(&found)))
    }

    pub fn assumptions_of(
        &self,
        domain: Option<&str>,
        status: &str,
        confidence_min: f64,
        limit: u32,
    ) -> Result<Vec<Row>, Problem> {
        let least = Is::AtLeast("confidence", confidence_min);
        let select = Select::from(&ASSUMPTIONS).where_(Is::Equal("status", status)).where_(least);
        self.rows(&select.where_some(within(domain)).largest(&["confidence", "created_at"]).first(limit))
    }

    pub fn challenged(&self, domain: Option<&str>, limit: u32) -> Result<Vec<Row>, Problem> {
        let select = Select::from(&ASSUMPTIONS).where_(Is::OneOf("status", CHALLENGED)).where_some(within(domain));
        self.rows(&select.largest(&["challenged_count", "created_at"]).first(limit))
    }

    /// `--invariants`.
    pub fn invariants(&self, domain: Option<&str>, limit: u32) -> Result<Data, Problem> {
        let args = self.args;
        let select = Select::from(&INVARIANTS)
            .where_some(equal("status", Some(&args.invariant_status)))
            .where_some(equal("scope", args.invariant_scope.as_deref()))
            .where_some(equal("severity", args.invariant_severity.as_deref()));
        let rows = self.rows(&select.where_some(within(domain)).largest(NEWEST).first(limit))?;
        Ok(Data::rows(&rows.iter().map(|row| row.only(&OF_INVARIANTS)).collect::<Vec<_>>()))
    }

    pub fn invariants_of(&self, domain: Option<&str>, status: &str, limit: u32) -> Result<Vec<Row>, Problem> {
        let select = Select::from(&INVARIANTS).where_(Is::Equal("status", status)).where_some(within(domain));
        self.rows(&select.largest(NEWEST).first(limit))
    }
}
