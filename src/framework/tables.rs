//! The framework's tables, and the columns that its readers show, in the order in which they show them.

use super::Shape::{self, Integer, Real, Text, Time, Truth};

/// A table of the framework's.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, Shape)],
}

impl Table {
    pub(super) fn shape_of(&self, column: &str) -> Shape {
        self.columns.iter().find(|(name, _)| *name == column).map_or(Text, |(_, shape)| *shape)
    }
}

/// Failures, successes and observations.
pub const LEARNINGS: Table = Table {
    name: "learnings",
    columns: &[
        ("id", Integer),
        ("type", Text),
        ("filepath", Text),
        ("title", Text),
        ("summary", Text),
        ("tags", Text),
        ("domain", Text),
        ("severity", Integer),
        ("created_at", Time),
        ("updated_at", Time),
    ],
};

/// Heuristics.
pub const HEURISTICS: Table = Table {
    name: "heuristics",
    columns: &[
        ("id", Integer),
        ("domain", Text),
        ("rule", Text),
        ("explanation", Text),
        ("source_type", Text),
        ("source_id", Integer),
        ("confidence", Real),
        ("times_validated", Integer),
        ("times_violated", Integer),
        ("is_golden", Truth),
        ("created_at", Time),
        ("updated_at", Time),
    ],
};

/// Experiments.
pub const EXPERIMENTS: Table = Table {
    name: "experiments",
    columns: &[
        ("id", Integer),
        ("name", Text),
        ("hypothesis", Text),
        ("status", Text),
        ("cycles_run", Integer),
        ("folder_path", Text),
        ("created_at", Time),
        ("updated_at", Time),
    ],
};

/// Questions for the person in charge.
pub const CEO_REVIEWS: Table = Table {
    name: "ceo_reviews",
    columns: &[
        ("id", Integer),
        ("title", Text),
        ("context", Text),
        ("recommendation", Text),
        ("status", Text),
        ("created_at", Time),
        ("reviewed_at", Time),
    ],
};

/// Decisions on architecture.
pub const DECISIONS: Table = Table {
    name: "decisions",
    columns: &[
        ("id", Integer),
        ("title", Text),
        ("context", Text),
        ("options_considered", Text),
        ("decision", Text),
        ("rationale", Text),
        ("files_touched", Text),
        ("tests_added", Text),
        ("status", Text),
        ("domain", Text),
        ("superseded_by", Integer),
        ("created_at", Time),
        ("updated_at", Time),
    ],
};

/// What must always be true.
pub const INVARIANTS: Table = Table {
    name: "invariants",
    columns: &[
        ("id", Integer),
        ("statement", Text),
        ("rationale", Text),
        ("domain", Text),
        ("scope", Text),
        ("severity", Text),
        ("status", Text),
        ("created_at", Time),
        ("validation_type", Text),
        ("violation_count", Integer),
    ],
};

/// Violations of golden rules.
pub const VIOLATIONS: Table = Table {
    name: "violations",
    columns: &[
        ("rule_id", Integer),
        ("rule_name", Text),
        ("description", Text),
        ("violation_date", Time),
        ("acknowledged", Truth),
    ],
};

/// What was found out in a limited time.
pub const SPIKE_REPORTS: Table = Table {
    name: "spike_reports",
    columns: &[
        ("id", Integer),
        ("title", Text),
        ("topic", Text),
        ("question", Text),
        ("findings", Text),
        ("gotchas", Text),
        ("resources", Text),
        ("time_invested_minutes", Integer),
        ("domain", Text),
        ("tags", Text),
        ("usefulness_score", Real),
        ("access_count", Integer),
        ("created_at", Time),
        ("updated_at", Time),
    ],
};

/// Assumptions.
pub const ASSUMPTIONS: Table = Table {
    name: "assumptions",
    columns: &[
        ("id", Integer),
        ("assumption", Text),
        ("context", Text),
        ("source", Text),
        ("confidence", Real),
        ("status", Text),
        ("domain", Text),
        ("verified_count", Integer),
        ("challenged_count", Integer),
        ("last_verified_at", Time),
        ("created_at", Time),
    ],
};

/// Plans.
pub const PLANS: Table = Table {
    name: "plans",
    columns: &[
        ("id", Integer),
        ("task_id", Text),
        ("title", Text),
        ("approach", Text),
        ("risks", Text),
        ("status", Text),
        ("domain", Text),
        ("created_at", Time),
    ],
};

/// How plans went.
pub const POSTMORTEMS: Table = Table {
    name: "postmortems",
    columns: &[
        ("id", Integer),
        ("plan_id", Integer),
        ("title", Text),
        ("actual_outcome", Text),
        ("divergences", Text),
        ("lessons", Text),
        ("domain", Text),
        ("created_at", Time),
    ],
};

/// Measurements that the framework makes of itself.
pub const METRICS: Table =
    Table { name: "metric_observations", columns: &[("metric_name", Text), ("value", Real), ("observed_at", Time)] };

/// Alerts that the framework raised about itself.
pub const ALERTS: Table = Table {
    name: "meta_alerts",
    columns: &[("alert_type", Text), ("severity", Text), ("message", Text), ("state", Text), ("first_seen", Time)],
};
