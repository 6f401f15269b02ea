//! `--validate` and `--health-check`.
//!
//! Both only read. The framework measures itself with each of its queries, and notes alerts; a query here adds no
//! measurement, and shows the alerts that are there.

use indelible::framework::{
    ALERTS, CEO_REVIEWS, DECISIONS, EXPERIMENTS, HEURISTICS, INVARIANTS, Is, LEARNINGS, METRICS, Select, VIOLATIONS,
    Value,
};

use super::Reader;
use super::data::Data;
use super::problem::Problem;

/// The window of a trend.
const WINDOW_DAYS: i64 = 7;
/// How many measurements a trend needs, and how many hours must lie between the first and the last.
const SAMPLES_MIN: usize = 10;
const SPREAD_HOURS_MIN: f64 = 16.8;
/// How many measurements the framework collects before it looks for alerts.
const BASELINE: i64 = 30;
/// How many measurements it adds with each query.
const PER_QUERY: i64 = 4;

const OPEN_ALERTS: &[&str] = &["new", "active"];

impl Reader<'_> {
    /// `--validate`: whether the database is sound, with details.
    pub fn validate(&self) -> Result<(bool, Data), Problem> {
        let damage = self.tables.integrity()?;
        let counted = [&LEARNINGS, &HEURISTICS, &EXPERIMENTS, &CEO_REVIEWS];
        let all = counted.into_iter().chain([&DECISIONS, &VIOLATIONS, &INVARIANTS]);
        let there = all.filter(|table| self.tables.has(table)).map(|table| Data::text(table.name));
        let missing = counted.into_iter().filter(|table| !self.tables.has(table));
        let warning = |name: &str| Data::text(format!("Table '{name}' is missing and counts as empty"));
        let integrity = if damage.is_empty() { "ok" } else { "damaged" };
        let mut checks =
            vec![("integrity".into(), Data::text(integrity)), ("tables".into(), Data::List(there.collect()))];
        for table in counted {
            let rows = self.tables.count(&Select::from(table))?;
            checks.push((format!("{}_count", table.name), Data::number(rows)));
        }
        let checks = Data::Map(checks.into_iter().map(|(name, value)| (Some(name), value)).collect());
        let is_sound = damage.is_empty();
        let error = |line: String| Data::text(format!("Database integrity check failed: {line}"));
        let report = Data::map([
            ("valid", Data::Value(Value::Truth(is_sound))),
            ("errors", Data::List(damage.into_iter().map(error).collect())),
            ("warnings", Data::List(missing.map(|table| warning(table.name)).collect())),
            ("checks", checks),
        ]);
        Ok((is_sound, report))
    }

    /// `--health-check`.
    pub fn health(&self) -> Result<String, Problem> {
        let rule = "━".repeat(40);
        let mut lines = vec!["🏥 System Health Check".to_owned(), rule.clone()];
        let select = Select::from(&ALERTS).where_(Is::OneOf("state", OPEN_ALERTS));
        let alerts = self.rows(&select.largest(&["severity", "first_seen"]))?;
        let samples = self.tables.count(&Select::from(&METRICS))?;
        for alert in &alerts {
            let severity = alert.text("severity").unwrap_or("info");
            let icon = match severity {
                "critical" => "🔴",
                "warning" => "🟡",
                "info" => "🔵",
                _ => "⚪",
            };
            let kind = alert.text("alert_type").unwrap_or("unknown");
            lines.push(format!("{icon} [{}] {kind}", severity.to_uppercase()));
            lines.extend(alert.text("message").map(|message| format!("   {message}")));
        }
        match samples {
            1..BASELINE => {
                let queries = (BASELINE - samples) / PER_QUERY;
                lines.push(format!("⏳ Bootstrap mode: Collecting baseline data ({samples}/{BASELINE} samples)"));
                lines.push(format!("   Progress: {samples}/{BASELINE} samples (~{queries} more queries needed)"));
            }
            _ if alerts.is_empty() => lines.push("✓ No active alerts".into()),
            _ => {}
        }
        lines.extend(["\n📊 Recent Metrics".to_owned(), rule]);
        if self.tables.has(&METRICS) {
            for metric in ["avg_confidence", "validation_velocity", "contradiction_rate"] {
                lines.push(format!("  {metric}: {}", self.trend(metric)?));
            }
        } else {
            lines.push(format!("  (Could not retrieve metrics: no such table: {})", METRICS.name));
        }
        if !alerts.is_empty() {
            lines.push(format!("\n⚠️  {} active alert(s) in database", alerts.len()));
        }
        Ok(lines.join("\n"))
    }

    /// The trend of a metric, in words.
    fn trend(&self, metric: &str) -> Result<String, Problem> {
        let since = Is::Since("observed_at", self.days_ago(WINDOW_DAYS));
        let select = Select::from(&METRICS).where_(Is::Equal("metric_name", metric)).where_(since);
        let rows = self.rows(&select.largest(&["observed_at"]))?;
        let samples: Vec<f64> = rows.iter().rev().map(|row| row.number("value")).collect();
        let few = format!("(insufficient data - {}/{SAMPLES_MIN} samples)", samples.len());
        let ends = (rows.last().map(|row| row.get("observed_at")), rows.first().map(|row| row.get("observed_at")));
        let (Some(Value::Time(first)), Some(Value::Time(last))) = ends else { return Ok(few) };
        if samples.len() < SAMPLES_MIN {
            return Ok(few);
        }
        let spread = last.duration_since(*first).as_secs_f64() / 3600.0;
        if spread < SPREAD_HOURS_MIN {
            return Ok(format!("(need more time spread - {spread:.1}h/{SPREAD_HOURS_MIN:.1}h)"));
        }
        Ok(line_through(&samples).map_or(few, |(confidence, direction)| {
            let arrow = match direction {
                "increasing" => "↑",
                "decreasing" => "↓",
                _ => "→",
            };
            format!("{arrow} {direction} (confidence: {confidence}, {spread:.1}h spread)")
        }))
    }
}

/// The straight line through `samples`, at equal distances: how sure it is and where it goes; `None` if it is not sure.
fn line_through(samples: &[f64]) -> Option<(&'static str, &'static str)> {
    #[expect(clippy::cast_precision_loss, reason = "a week has few measurements")]
    let (count, place) = (samples.len() as f64, |at: usize| at as f64);
    let (mean_x, mean_y) = ((count - 1.0) / 2.0, samples.iter().sum::<f64>() / count);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (at, y) in samples.iter().enumerate() {
        let (x, y) = (place(at) - mean_x, y - mean_y);
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    let (slope, free) = (xy / xx, count - 2.0);
    let error = ((yy - slope * xy).max(0.0) / xx / free).sqrt();
    let distance = slope.abs() / error;
    let confidence = match distance {
        _ if distance.is_nan() => return None,
        _ if distance > student(1.959_964, free) => "high",
        _ if distance > student(1.644_854, free) => "medium",
        _ => return None,
    };
    let direction = match slope {
        _ if slope.abs() < 2.0 * error => "stable",
        _ if slope > 0.0 => "increasing",
        _ => "decreasing",
    };
    Some((confidence, direction))
}

/// The quantile of Student's distribution with `free` degrees of freedom that belongs to the quantile `z` of the normal
/// distribution (the expansion of Cornish and Fisher; exact to 0.001 from 8 degrees on).
fn student(z: f64, free: f64) -> f64 {
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / free + second / free.powi(2) + third / free.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_sure_or_is_none() {
        // Tables of the distribution: 2.306 and 1.860 with 8 degrees of freedom, 2.048 with 28.
        for (z, free, quantile) in [(1.959_964, 8.0, 2.306), (1.644_854, 8.0, 1.860), (1.959_964, 28.0, 2.048)] {
            assert!((student(z, free) - quantile).abs() < 0.001, "{} is not {quantile}", student(z, free));
        }
        let noise = [0.1, -0.2, 0.05, 0.15, -0.1, 0.0, 0.2, -0.15, -0.05, 0.1];
        let with =
            |slope: f64| noise.iter().zip(0u8..).map(|(noise, at)| noise + slope * f64::from(at)).collect::<Vec<_>>();
        assert_eq!(line_through(&with(0.1)), Some(("high", "increasing")));
        assert_eq!(line_through(&with(-0.1)), Some(("high", "decreasing")));
        assert_eq!(line_through(&with(0.0)), None);
        assert_eq!(line_through(&[0.5; 10]), None, "no change is no trend");
    }
}
