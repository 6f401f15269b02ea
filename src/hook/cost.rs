//! What hooks cost: for each day, host and session the number of calls, how long they took, and how many tokens were told.
//!
//! A call is a note in the line that counts it (`count`), in the same write: `HOST note:cost:DAY:SESSION:CALLS:US:TOKENS:BUCKETxN..`.
//! Folding adds up equal days, hosts and sessions, and keeps the newest 100 sessions; what older ones cost becomes a line without a
//! day. A program of an earlier version skips such notes, and keeps them when it folds.
//!
//! Times are kept in buckets of a quarter of an octave, so that a median is right to a tenth. The session is its code
//! ([`code_of`](crate::session::code_of)): no id of a host is in the file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The prefix of such a note.
pub(super) const COST: &str = "cost:";
/// How many lines folding keeps, besides one for each host.
const SESSIONS_MAX: usize = 100;
/// The most lines that are read.
const LINES_MAX: usize = 20_000;
/// Buckets of an octave.
const A_OCTAVE: f64 = 4.0;
/// The greatest bucket: an hour is in it.
const BUCKET_MAX: u32 = 130;
/// A session that is not known, and a day that is folded away.
const NONE: &str = "-";

/// What calls of hooks cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many calls there were.
    pub calls: u64,
    /// How long they took, in microseconds.
    pub us: u64,
    /// About how many tokens agents were told.
    pub tokens: u64,
    /// How many calls took so long, by bucket.
    buckets: BTreeMap<u32, u64>,
}

/// Where it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The day (UTC); `None` for what was folded away.
    pub day: Option<Date>,
    /// The host.
    pub host: String,
    /// The session's code; `None` if the event named no session, or it was folded away.
    pub session: Option<String>,
}

/// What one call cost, of the session with this code, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was.
    pub at: Timestamp,
    /// The session's code.
    pub session: Option<String>,
    /// How long it took, in microseconds.
    pub us: u64,
    /// About how many tokens its agent was told.
    pub tokens: u64,
    /// Whether this is no call of its own, but what was told after the call was counted.
    pub is_rest: bool,
}

impl Call {
    /// The note for it, without its prefix.
    pub(super) fn note(&self) -> String {
        let mut cost = Cost { calls: u64::from(!self.is_rest), us: self.us, tokens: self.tokens, ..Cost::default() };
        if !self.is_rest {
            cost.buckets.insert(bucket(self.us), 1);
        }
        cost.note(Some(self.at.to_zoned(TimeZone::UTC).date()), self.session.as_deref())
    }
}

/// The bucket of a time.
fn bucket(us: u64) -> u32 {
    let place = (us.max(1) as f64).log2() * A_OCTAVE;
    (place as u32).min(BUCKET_MAX)
}

impl Cost {
    fn note(&self, day: Option<Date>, session: Option<&str>) -> String {
        let day = day.map_or(NONE.to_owned(), |day| day.strftime("%Y%m%d").to_string());
        let session = session.filter(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let mut note = format!("{COST}{day}:{}:{}:{}:{}", session.unwrap_or(NONE), self.calls, self.us, self.tokens);
        for (bucket, calls) in &self.buckets {
            note.push_str(&format!(":{bucket}x{calls}"));
        }
        note
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Cost) {
        self.calls = self.calls.saturating_add(other.calls);
        self.us = self.us.saturating_add(other.us);
        self.tokens = self.tokens.saturating_add(other.tokens);
        for (bucket, calls) in &other.buckets {
            let sum = self.buckets.entry(*bucket).or_default();
            *sum = sum.saturating_add(*calls);
        }
    }

    /// The time that `share` of the calls (0 to 1) did not exceed, in microseconds; `None` without calls.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let all: u64 = self.buckets.values().sum();
        let wanted = (share * all as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        let (bucket, _) = self.buckets.iter().find(|(_, calls)| {
            sum += **calls;
            sum >= wanted
        })?;
        // The middle of the bucket.
        Some(2f64.powf((f64::from(*bucket) + 0.5) / A_OCTAVE).round() as u64)
    }
}

/// What the note `note` says, without its prefix; `None` if it makes no sense.
pub(super) fn parse(host: &str, note: &str) -> Option<(Place, Cost)> {
    let mut parts = note.strip_prefix(COST)?.split(':');
    let (day, session) = (parts.next()?, parts.next()?);
    let day = match day {
        NONE => None,
        day => Some(Date::strptime("%Y%m%d", day).ok()?),
    };
    let mut number = || parts.next()?.parse::<u64>().ok();
    let mut cost = Cost { calls: number()?, us: number()?, tokens: number()?, ..Cost::default() };
    for part in parts {
        let (bucket, calls) = part.split_once('x')?;
        let bucket = bucket.parse().ok().filter(|bucket| *bucket <= BUCKET_MAX)?;
        cost.buckets.insert(bucket, calls.parse().ok()?);
    }
    let session = Some(session).filter(|session| *session != NONE).map(str::to_owned);
    Some((Place { day, host: host.to_owned(), session }, cost))
}

/// All costs by where they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs(pub BTreeMap<Place, Cost>);

impl Costs {
    /// Adds what the note `note` says, `times` times. Returns whether it is one of a cost.
    pub(super) fn take(&mut self, host: &str, note: &str, times: u64) -> bool {
        if !note.starts_with(COST) {
            return false;
        }
        if let Some((place, mut cost)) = parse(host, note) {
            if times > 1 {
                cost.calls = cost.calls.saturating_mul(times);
                cost.us = cost.us.saturating_mul(times);
                cost.tokens = cost.tokens.saturating_mul(times);
                cost.buckets.values_mut().for_each(|calls| *calls = calls.saturating_mul(times));
            }
            if self.0.contains_key(&place) || self.0.len() < LINES_MAX {
                self.0.entry(place).or_default().add(&cost);
            }
        }
        true
    }

    /// The sums by host.
    pub fn by_host(&self) -> BTreeMap<String, Cost> {
        let mut hosts = BTreeMap::<String, Cost>::new();
        self.0.iter().for_each(|(place, cost)| hosts.entry(place.host.clone()).or_default().add(cost));
        hosts
    }

    /// The newest, and one for each host for the rest.
    pub(super) fn folded(&self) -> Costs {
        let mut folded = Costs::default();
        for (at, (place, cost)) in self.0.iter().rev().enumerate() {
            let place = match at < SESSIONS_MAX && place.day.is_some() {
                true => place.clone(),
                false => Place { day: None, host: place.host.clone(), session: None },
            };
            folded.0.entry(place).or_default().add(cost);
        }
        folded
    }

    /// The notes of all of them, each with its host.
    pub(super) fn notes(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(place, cost)| (place.host.as_str(), cost.note(place.day, place.session.as_deref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(day: i64, session: &str, us: u64) -> Call {
        let at = Timestamp::from_second(day * 86_400).expect("a time");
        Call { at, session: Some(session.to_owned()), us, tokens: 7, is_rest: false }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let (place, cost) = parse("claude", &call(20_000, "bcdfgh", 5_321).note()).expect("it makes sense");
        assert_eq!((place.host.as_str(), place.session.as_deref()), ("claude", Some("bcdfgh")));
        assert_eq!(place.day.map(|day| day.to_string()).as_deref(), Some("2024-10-04"));
        assert_eq!((cost.calls, cost.us, cost.tokens), (1, 5_321, 7));
        for odd in
            ["cost:", "cost:x:y:1:1:1", "cost:20261130:b:1:1", "cost:20261130:b:1:1:1:9", "cost:20261130:b:1:1:1:999x1"]
        {
            assert_eq!(parse("claude", odd), None, "{odd}");
        }
        let without = Call { session: Some("not a code".into()), ..call(1, "", 1) };
        assert_eq!(parse("claude", &without.note()).expect("it makes sense").0.session, None);
    }

    #[test]
    fn quantiles_are_right_to_a_tenth() {
        let mut costs = Costs::default();
        for us in 1..=1_000 {
            assert!(costs.take("claude", &call(1, "b", us * 10).note(), 1));
        }
        let cost = costs.0.values().next().expect("one place");
        for (share, right) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0), (0.0, 10.0)] {
            let found = cost.quantile_us(share).expect("there were calls") as f64;
            assert!((found / right - 1.0).abs() < 0.1, "{share}: {found}");
        }
        assert_eq!(Cost::default().quantile_us(0.5), None);
    }

    #[test]
    fn folding_keeps_the_newest_and_every_sum() {
        let mut costs = Costs::default();
        for number in 0..500 {
            costs.take("claude", &call(20_000 + number / 10, &format!("s{number}"), 1_000).note(), 2);
        }
        let folded = costs.folded();
        assert_eq!(folded.0.len(), SESSIONS_MAX + 1);
        assert_eq!(
            folded.0.values().map(|cost| (cost.calls, cost.tokens)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (1_000, 7_000)
        );
        let newest = folded.0.keys().filter_map(|place| place.day).min().expect("days are there").to_string();
        assert_eq!(newest, "2024-11-13");
        let mut again = Costs::default();
        for (host, note) in folded.notes() {
            assert!(again.take(host, &note, 1));
        }
        assert_eq!(again, folded);
    }
}
