//! What comes first in a context. Pure.
//!
//! The framework scores a row by its age, its domain and how often it was validated. With `--task`, the share of the task's
//! words that the row has is added, so rows that fit the task come first.

use std::collections::BTreeSet;

use indelible::framework::{Row, Value};
use jiff::civil::DateTime;

/// Shorter words are not compared.
const WORD_CHARS_MIN: usize = 4;
/// In so many days a row loses half of what age can take from it.
const HALF_LIFE_DAYS: f64 = 7.0;

/// The words of a task.
#[derive(Debug, Default)]
pub struct Task(BTreeSet<String>);

impl Task {
    pub fn new(text: &str) -> Task {
        Task(words(text))
    }

    /// The task's words that `row` has in one of `columns`.
    pub fn shared(&self, row: &Row, columns: &[&str]) -> Vec<String> {
        let mut its = BTreeSet::new();
        for column in columns {
            its.extend(words(row.text(column).unwrap_or_default()));
        }
        self.0.intersection(&its).cloned().collect()
    }

    /// The share of the task's words that `row` has: from 0 to 1.
    pub fn share(&self, row: &Row, columns: &[&str]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a task has few words")]
        let share = self.shared(row, columns).len() as f64 / self.0.len().max(1) as f64;
        share
    }
}

/// The best `rows_max` of `rows`, best first; rows of the same score keep their order.
pub fn best(mut rows: Vec<Row>, rows_max: usize, score: impl Fn(&Row) -> f64) -> Vec<Row> {
    rows.sort_by(|one, other| score(other).total_cmp(&score(one)));
    rows.truncate(rows_max);
    rows
}

/// The framework's score, from 0.25 to 1.
pub fn score(row: &Row, domain: Option<&str>, now: DateTime) -> f64 {
    let mut score = 0.5;
    if let Value::Time(created) = row.get("created_at") {
        let days = (now.duration_since(*created).as_secs_f64() / 86_400.0).floor().max(0.0);
        score *= 0.5 + 0.5 * 0.5_f64.powf(days / HALF_LIFE_DAYS);
    }
    if domain.is_some() && row.text("domain") == domain {
        score *= 1.5;
    }
    score *= match row.number("times_validated") {
        times if times > 10.0 => 1.4,
        times if times > 5.0 => 1.2,
        _ => 1.0,
    };
    score.min(1.0)
}

fn words(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.chars().count() >= WORD_CHARS_MIN).map(str::to_owned).collect()
}
