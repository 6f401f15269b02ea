//! `cost`: what hooks cost, by host and session: calls, times, tokens, and how often a failure that an agent was told of did not come
//! again in its session.
//!
//! The numbers come from what hooks count (`hook::cost`) and from the logs of sessions. Nothing is written.

use std::collections::BTreeMap;

use indelible::hook::cost::{Cost, Place};
use indelible::hook::count;
use indelible::model::text::{counted, number};
use indelible::search::Filter;
use indelible::session::{ToldFailures, told_failures};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::screen::Screen;
use crate::reading::{self, pager, zone};

const WHAT: &str = "the cost could not be read";
/// How many sessions are shown to people, the newest first.
const SESSIONS_SHOWN: usize = 20;

/// What calls cost, and since when.
struct Costs {
    /// The greatest first.
    hosts: Vec<(String, Cost)>,
    /// By session; the newest day first.
    sessions: Vec<((Date, String, String), Cost)>,
    told: ToldFailures,
}

pub fn run(context: &Context, since: Option<&str>) -> Result<Exit, Failure> {
    let mut filter = Filter::default();
    if let Some(since) = since {
        filter.add("since", since, &zone::now()).map_err(|error| reading::unknown(WHAT, &error))?;
    }
    let home = context.open(WHAT)?;
    let all = count::costs(home.private()).map_err(|error| Failure::of(WHAT, &error))?;
    // Days are UTC's: the one in which the time lies counts whole.
    let from = filter.since.map(|at| at.to_zoned(TimeZone::UTC).date());
    let is_in = |place: &Place| from.is_none_or(|from| place.day.is_some_and(|day| day >= from));
    let told = told_failures(&home, filter.since.unwrap_or(Timestamp::UNIX_EPOCH));
    let told = told.map_err(|error| Failure::of(WHAT, &error))?;
    let costs = Costs::of(all.0.into_iter().filter(|(place, _)| is_in(place)), told);
    if context.json {
        output::json(&costs.data(from));
    } else {
        let screen = Screen::of_stdout();
        pager::show(&screen, &costs.text(&screen));
    }
    Ok(Exit::Done)
}

impl Costs {
    fn of(all: impl Iterator<Item = (Place, Cost)>, told: ToldFailures) -> Costs {
        let (mut hosts, mut sessions) = (BTreeMap::<String, Cost>::new(), BTreeMap::<_, Cost>::new());
        for (place, cost) in all {
            hosts.entry(place.host.clone()).or_default().add(&cost);
            if let (Some(day), Some(session)) = (place.day, place.session) {
                sessions.entry((day, place.host, session)).or_default().add(&cost);
            }
        }
        let mut hosts: Vec<_> = hosts.into_iter().collect();
        hosts.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.us));
        let mut sessions: Vec<_> = sessions.into_iter().collect();
        sessions.sort_by(|((one, ..), a), ((other, ..), b)| other.cmp(one).then(b.us.cmp(&a.us)));
        Costs { hosts, sessions, told }
    }

    fn data(&self, since: Option<Date>) -> Value {
        let cost = |cost: &Cost| {
            json!({
                "calls": cost.calls,
                "p50_ms": cost.quantile_us(0.5).map(milliseconds),
                "p99_ms": cost.quantile_us(0.99).map(milliseconds),
                "total_ms": milliseconds(cost.us),
                "tokens": cost.tokens,
            })
        };
        let with = |mut data: Value, names: &[(&str, &str)]| {
            names.iter().for_each(|(name, value)| data[*name] = (*value).into());
            data
        };
        let hosts: Vec<Value> = self.hosts.iter().map(|(host, it)| with(cost(it), &[("host", host)])).collect();
        let session = |((day, host, session), it): &((Date, String, String), Cost)| {
            with(cost(it), &[("day", &day.to_string()), ("host", host), ("session", session)])
        };
        let ToldFailures { told, again } = self.told;
        json!({
            "since": since.map(|day| day.to_string()),
            "hosts": hosts,
            "sessions": self.sessions.iter().map(session).collect::<Vec<_>>(),
            "told_failures": { "told": told, "came_again": again, "did_not_come_again": told - again },
        })
    }

    fn text(&self, screen: &Screen) -> String {
        if self.hosts.is_empty() {
            return "no hook has run\n".to_owned();
        }
        let mut text = table(screen, &["host"], self.hosts.iter().map(|(host, cost)| (vec![host.clone()], cost)));
        let shown = self.sessions.iter().take(SESSIONS_SHOWN);
        let rows =
            shown.map(|((day, host, session), cost)| (vec![day.to_string(), host.clone(), session.clone()], cost));
        text.push_str(&format!("\n{}", table(screen, &["day", "host", "session"], rows)));
        if let Some(more) = self.sessions.len().checked_sub(SESSIONS_SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("and {}\n", counted(more as u64, "more session", "more sessions")));
        }
        let ToldFailures { told, again } = self.told;
        if told > 0 {
            text.push_str(&format!(
                "\nagents were told of {}; {} did not come again in the same session\n",
                counted(told, "failure", "failures"),
                number(told - again)
            ));
        }
        text
    }
}

/// A table of costs behind the cells `names`.
fn table<'c>(screen: &Screen, names: &[&str], rows: impl Iterator<Item = (Vec<String>, &'c Cost)>) -> String {
    let heading = names.iter().chain(&["calls", "p50", "p99", "total", "tokens told"]);
    let mut lines = vec![heading.map(|name| (*name).to_owned()).collect::<Vec<_>>()];
    for (mut cells, cost) in rows {
        let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), time);
        cells.extend([
            number(cost.calls),
            time(cost.quantile_us(0.5)),
            time(cost.quantile_us(0.99)),
            time(Some(cost.us)),
            number(cost.tokens),
        ]);
        lines.push(cells);
    }
    screen.table(&lines, &[(0, 8)])
}

fn milliseconds(us: u64) -> f64 {
    (us as f64 / 10.0).round() / 100.0
}

/// A time for people.
fn time(us: u64) -> String {
    match us {
        0..100_000 => format!("{:.1} ms", us as f64 / 1_000.0),
        100_000..10_000_000 => format!("{} ms", number(us / 1_000)),
        _ => format!("{} s", number(us / 1_000_000)),
    }
}
