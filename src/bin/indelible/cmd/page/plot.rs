//! Bars over time, as SVG that needs no script and no style of its own.

use std::collections::BTreeMap;

use indelible::model::text::{counted, number};
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::read::OnDay;

/// A plot shows days, if these are at most so many; else weeks.
const DAYS_MAX: i32 = 70;
/// The most weeks of a plot: the last ones.
const WEEKS_MAX: usize = 104;
const WIDTH: usize = 720;
const HEIGHT: usize = 140;

/// A bar: from which day on, and how much.
pub struct Bar {
    pub from: Date,
    pub value: u64,
}

/// Whether the bars of `days` are days, or weeks.
pub fn is_daily(days: &BTreeMap<Date, OnDay>) -> bool {
    match (days.keys().next(), days.keys().next_back()) {
        (Some(first), Some(last)) => (*last - *first).get_days() < DAYS_MAX,
        _ => true,
    }
}

/// The bars of `days`, without a gap: one for each day or, if that would be too many, for each week from Monday on.
pub fn bars(days: &BTreeMap<Date, OnDay>, value: impl Fn(&OnDay) -> u64) -> Vec<Bar> {
    let (Some(first), Some(last)) = (days.keys().next(), days.keys().next_back()) else { return Vec::new() };
    let is_daily = is_daily(days);
    let step = if is_daily { 1 } else { 7 };
    let monday = |day: Date| day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).unwrap_or(day);
    let begin = |day: Date| if is_daily { day } else { monday(day) };
    let mut from = begin(*first);
    if !is_daily {
        let weeks = i64::try_from(WEEKS_MAX - 1).unwrap_or(0);
        from = from.max(begin(*last).checked_sub(weeks.weeks()).unwrap_or(from));
    }
    let mut bars = Vec::new();
    while from <= *last {
        let Ok(next) = from.checked_add(i64::from(step).days()) else { break };
        let value = days.range(from..next).map(|(_, day)| value(day)).sum();
        bars.push(Bar { from, value });
        from = next;
    }
    bars
}

/// The plot of `bars` as SVG, with the id `id`, and a line about it. `what` says in the singular and the plural what is counted, and
/// `each` what a bar is. There is no text in the picture: on a phone it would be too small to read.
pub fn figure(id: &str, title: &str, bars: &[Bar], (one, many): (&str, &str), each: &str) -> String {
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return String::new() };
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0);
    let sum: u64 = bars.iter().map(|bar| bar.value).sum();
    let between = match first.from == last.from {
        true => format!("in the {each} of {}", first.from),
        false => format!("from {} to {}", first.from, last.from),
    };
    let what = format!("{} {between}, at most {} a {each}", counted(sum, one, many), number(most));
    let bottom = HEIGHT - 1;
    let mut svg = format!(
        "<svg class=\"plot {id}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{what}</desc>\n\
         <line x1=\"0\" y1=\"{bottom}\" x2=\"{WIDTH}\" y2=\"{bottom}\"/>\n"
    );
    let slot = WIDTH as f64 / bars.len() as f64;
    let wide = (slot * 0.8).clamp(0.5, 40.0);
    for (at, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.value > 0) {
        let tall = (bar.value as f64 / most as f64 * bottom as f64).max(1.0);
        let (x, y) = (at as f64 * slot + (slot - wide) / 2.0, bottom as f64 - tall);
        svg.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"><title>{}: {}</title></rect>\n",
            bar.from,
            counted(bar.value, one, many)
        ));
    }
    svg.push_str(&format!("</svg>\n<p class=\"facts\">{what}</p>\n"));
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: &[(&str, u64)]) -> BTreeMap<Date, OnDay> {
        let day =
            |(day, records): &(&str, u64)| (day.parse().expect("a day"), OnDay { records: *records, failures: 0 });
        days.iter().map(day).collect()
    }

    fn seen(bars: &[Bar]) -> Vec<(String, u64)> {
        bars.iter().map(|bar| (bar.from.to_string(), bar.value)).collect()
    }

    #[test]
    fn days_without_records_are_there_and_many_days_are_weeks() {
        let few = bars(&days(&[("2026-11-28", 2), ("2026-11-30", 1)]), |it| it.records);
        let wanted = [("2026-11-28", 2), ("2026-11-29", 0), ("2026-11-30", 1)];
        assert_eq!(seen(&few), wanted.map(|(day, value)| (day.to_owned(), value)));
        // A Sunday, and a Monday.
        let many = bars(&days(&[("2026-01-04", 2), ("2026-11-30", 1)]), |it| it.records);
        assert_eq!(seen(&many)[0], ("2025-12-29".to_owned(), 2));
        assert_eq!(seen(&many).last(), Some(&("2026-11-30".to_owned(), 1)));
        assert_eq!(many.len(), 49);
        let years = bars(&days(&[("1990-01-01", 2), ("2026-11-30", 1)]), |it| it.records);
        assert_eq!((years.len(), years.iter().map(|bar| bar.value).sum::<u64>()), (WEEKS_MAX, 1));
        assert!(bars(&days(&[]), |it| it.records).is_empty());
    }

    #[test]
    fn one_bar_is_a_plot_too() {
        let bar = bars(&days(&[("2026-11-30", 1_000)]), |it| it.records);
        let svg = figure("all", "Records", &bar, ("record", "records"), "day");
        assert!(
            svg.contains("<p class=\"facts\">1,000 records in the day of 2026-11-30, at most 1,000 a day</p>"),
            "{svg}"
        );
        assert!(svg.contains("2026-11-30: 1,000 records") && svg.matches("<rect").count() == 1, "{svg}");
    }
}
