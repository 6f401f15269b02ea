//! Counts: of everything, and of violations.

use indelible::framework::{CEO_REVIEWS, EXPERIMENTS, HEURISTICS, Is, LEARNINGS, Select, Table, VIOLATIONS, Value};

use super::Reader;
use super::data::{Data, plain};
use super::problem::Problem;

/// How far back the violations of `--stats` and of the banner go.
pub const WEEK_DAYS: i64 = 7;
/// How many of the newest violations a summary has.
const NEWEST_VIOLATIONS: usize = 5;

/// A summary of violations.
pub struct Violations {
    days: i64,
    total: usize,
    acknowledged: usize,
    /// The rule's number and name, and how often it was violated, in the order of the first violations.
    by_rule: Vec<(Value, Value, usize)>,
    /// The newest ones: number, name, description and date.
    newest: Vec<[Value; 4]>,
}

impl Reader<'_> {
    /// `--stats`.
    pub fn statistics(&self) -> Result<Data, Problem> {
        let by = |table, column| Ok::<_, Problem>(Data::counts(self.tables.count_by(table, column)?));
        let count = |table: &'static Table| Ok::<_, Problem>(Data::number(self.tables.count(&Select::from(table))?));
        let golden = self.tables.count(&Select::from(&HEURISTICS).where_(Is::True("is_golden")))?;
        let violations = self.violations(WEEK_DAYS)?;
        let by_rule = violations
            .by_rule
            .iter()
            .map(|(id, name, count)| (Some(format!("Rule {}: {}", plain(id), plain(name))), Data::count(*count)));
        Ok(Data::map([
            ("learnings_by_type", by(&LEARNINGS, "type")?),
            ("learnings_by_domain", by(&LEARNINGS, "domain")?),
            ("heuristics_by_domain", by(&HEURISTICS, "domain")?),
            ("golden_heuristics", Data::number(golden)),
            ("experiments_by_status", by(&EXPERIMENTS, "status")?),
            ("ceo_reviews_by_status", by(&CEO_REVIEWS, "status")?),
            ("total_learnings", count(&LEARNINGS)?),
            ("total_heuristics", count(&HEURISTICS)?),
            ("total_experiments", count(&EXPERIMENTS)?),
            ("total_ceo_reviews", count(&CEO_REVIEWS)?),
            ("violations_7d", Data::count(violations.total)),
            ("violations_by_rule_7d", Data::Map(by_rule.collect())),
        ]))
    }

    /// `--violations`.
    pub fn violations(&self, days: i64) -> Result<Violations, Problem> {
        let since = Is::Since("violation_date", self.days_ago(days));
        let rows = self.rows(&Select::from(&VIOLATIONS).where_(since).largest(&["violation_date"]))?;
        let mut by_rule: Vec<(Value, Value, usize)> = Vec::new();
        for row in rows.iter().rev() {
            let (id, name) = (row.get("rule_id"), row.get("rule_name"));
            match by_rule.iter_mut().find(|(its_id, its_name, _)| its_id == id && its_name == name) {
                Some((_, _, count)) => *count += 1,
                None => by_rule.push((id.clone(), name.clone(), 1)),
            }
        }
        let columns = ["rule_id", "rule_name", "description", "violation_date"];
        Ok(Violations {
            days,
            total: rows.len(),
            acknowledged: rows.iter().filter(|row| *row.get("acknowledged") == Value::Truth(true)).count(),
            by_rule,
            newest: rows.iter().take(NEWEST_VIOLATIONS).map(|row| columns.map(|it| row.get(it).clone())).collect(),
        })
    }
}

impl Violations {
    /// The rules, the most violated first.
    fn ranked(&self) -> Vec<&(Value, Value, usize)> {
        let mut ranked: Vec<_> = self.by_rule.iter().collect();
        ranked.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        ranked
    }

    pub fn data(&self) -> Data {
        let value = |value: &Value| Data::Value(value.clone());
        let rule = |(id, name, count): &(Value, Value, usize)| {
            Data::map([("rule_id", value(id)), ("rule_name", value(name)), ("count", Data::count(*count))])
        };
        let newest = |[id, name, description, date]: &[Value; 4]| {
            let date = if *date == Value::Null { Data::Value(Value::Null) } else { Data::text(plain(date)) };
            let (id, name, description) = (value(id), value(name), value(description));
            Data::map([("rule_id", id), ("rule_name", name), ("description", description), ("date", date)])
        };
        Data::map([
            ("total", Data::count(self.total)),
            ("acknowledged", Data::count(self.acknowledged)),
            ("unacknowledged", Data::count(self.total - self.acknowledged)),
            ("by_rule", Data::List(self.ranked().into_iter().map(rule).collect())),
            ("recent", Data::List(self.newest.iter().map(newest).collect())),
            ("days", Data::number(self.days)),
        ])
    }

    /// `--accountability-banner`: the same in a frame.
    pub fn banner(&self) -> String {
        let bar = |left, right| format!("{left}{}{right}", "═".repeat(71));
        let between = bar('╠', '╣');
        let (status, message, consequences) = self.level();
        let mut lines = vec![
            bar('╔', '╗'),
            "║                    ACCOUNTABILITY TRACKING SYSTEM                     ║".into(),
            "║                     Golden Rule Violation Report                      ║".into(),
            between.clone(),
            format!("║  Period: Last {} days                                                     ║", self.days),
            format!("║  Total Violations: {:<54} ║", self.total),
            format!("║  Status: {status:<60} ║"),
            format!("║  {message:<68} ║"),
            between.clone(),
        ];
        if !self.by_rule.is_empty() {
            lines.push("║  Violations by Rule:                                                  ║".into());
            for (id, name, count) in self.ranked().into_iter().take(5) {
                let (id, name) = (plain(id), cut(&plain(name), 35));
                lines.push(format!("║    Rule #{id}: {name:<35} ({count:>2}x) ║"));
            }
            if let Some(more) = self.by_rule.len().checked_sub(5).filter(|more| *more > 0) {
                lines.push(format!("║    ... and {more} more                                                  ║"));
            }
            lines.push(between.clone());
        }
        if !self.newest.is_empty() {
            lines.push("║  Recent Violations:                                                   ║".into());
            for [id, _, description, date] in self.newest.iter().take(3) {
                let date = if *date == Value::Null { "Unknown".into() } else { cut(&plain(date), 16) };
                let description = description.text().map_or_else(|| "No description".into(), |it| cut(it, 45));
                let id = plain(id);
                lines.push(format!("║    [{date}] Rule #{id:<2}                                   ║"));
                lines.push(format!("║      {description:<66} ║"));
            }
            lines.push(between);
        }
        lines.push(format!("║  {consequences}║"));
        lines.push(bar('╚', '╝'));
        lines.join("\n")
    }

    /// Status, message and consequences.
    fn level(&self) -> (&'static str, &'static str, &'static str) {
        match self.total {
            10.. => (
                "CRITICAL",
                "CEO ESCALATION REQUIRED",
                "⚠️  CONSEQUENCES: CEO escalation auto-created in ceo-inbox/          ",
            ),
            5..=9 => (
                "PROBATION",
                "INCREASED SCRUTINY MODE",
                "⚠️  CONSEQUENCES: Under probation - violations logged prominently    ",
            ),
            3..=4 => (
                "WARNING",
                "Review adherence to rules",
                "⚠️  CONSEQUENCES: Warning threshold - 2 more violations = probation  ",
            ),
            0..=2 => (
                "NORMAL",
                "Acceptable compliance level",
                "✓  STATUS: Acceptable compliance. Keep up good practices.            ",
            ),
        }
    }
}

/// The first `chars_max` characters of `text`, on one line.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
