//! Filters: what `list` and `search` leave out. Values of one filter are joined by "or", filters by "and".
//!
//! A value that was typed is parsed here and nowhere else ([`Filter::add`]). Filters with closed values refuse an unknown one
//! and name those that they know; the others take any text, and find nothing if no record has it.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use crate::model::{Kind, Origin, Severity};

/// What is known of a record besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It counts as it was recorded.
    Active,
    /// A rule that a person promoted.
    Golden,
}

impl State {
    /// All of them.
    pub const ALL: [State; 2] = [State::Active, State::Golden];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Golden => "golden",
        }
    }
}

/// The values of a filter. More of them are refused: every name of the home is held against each.
const VALUES_MAX: usize = 500;

/// The filters by name, in the order of the manual.
pub const FILTERS: [&str; 11] =
    ["kind", "domain", "tag", "project", "severity", "state", "agent", "session", "origin", "since", "until"];

/// A value that its filter does not know, or that is one too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownValue {
    /// The filter's name.
    pub filter: &'static str,
    /// What was given.
    pub value: String,
    /// The values that it knows, or examples of them; empty if the filter has as many values as it takes.
    pub known: Vec<&'static str>,
}

impl std::error::Error for UnknownValue {}

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownValue { filter, value, known } = self;
        match known.is_empty() {
            true => write!(f, "{filter}: {value:?} is one too many: a filter takes {VALUES_MAX} values"),
            false => write!(f, "{filter}: {value:?} is unknown; known are {}", known.join(", ")),
        }
    }
}

/// What has to be true of a record. An empty list takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its kind is one of these.
    pub kinds: Vec<Kind>,
    /// Its domain is one of these, in any case.
    pub domains: Vec<String>,
    /// It has one of these tags, in any case.
    pub tags: Vec<String>,
    /// Its project is one of these, or ends in one of them after a `/`.
    pub projects: Vec<String>,
    /// It is of no project.
    pub is_of_no_project: bool,
    /// Its severity is one of these.
    pub severities: Vec<Severity>,
    /// Its state is one of these, as its row says.
    pub states: Vec<State>,
    /// It was recorded by one of these programs; case, spaces and signs do not count.
    pub agents: Vec<String>,
    /// Its session begins with one of these.
    pub sessions: Vec<String>,
    /// It is by one of these.
    pub origins: Vec<Origin>,
    /// It was recorded then or later.
    pub since: Option<Timestamp>,
    /// It was recorded before.
    pub until: Option<Timestamp>,
}

/// What filters look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The record's kind.
    pub kind: Kind,
    /// Its severity, if its kind has one.
    pub severity: Option<Severity>,
    /// Who it is by.
    pub origin: Option<Origin>,
    /// Whether it is a golden rule.
    pub golden: bool,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// What it is about.
    pub domain: Option<&'a str>,
    /// Its tags.
    pub tags: &'a [String],
    /// Its project.
    pub project: Option<&'a str>,
    /// Its session.
    pub session: Option<&'a str>,
    /// Its agent.
    pub agent: Option<&'a str>,
}

impl Filter {
    /// Whether everything is taken.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Adds `value` to the filter `name` (one of [`FILTERS`], but `state`, which verdicts decide): `kind` and `failure`, `since`
    /// and `7d`. Dates are of `now`'s zone.
    ///
    /// # Errors
    /// [`UnknownValue`]. A name that is no filter's is the caller's mistake, and ignored.
    pub fn add(&mut self, name: &str, value: &str, now: &Zoned) -> Result<(), UnknownValue> {
        match name {
            "kind" => {
                let plural = Kind::ALL.into_iter().find(|kind| kind.plural().eq_ignore_ascii_case(value.trim()));
                add(&mut self.kinds, plural.map_or_else(|| known("kind", value, &Kind::ALL, Kind::name), Ok)?);
            }
            "origin" => add(&mut self.origins, known("origin", value, &Origin::ALL, Origin::name)?),
            "severity" => severities(value)?.into_iter().for_each(|it| add(&mut self.severities, it)),
            "domain" => add_text("domain", &mut self.domains, value)?,
            "tag" => add_text("tag", &mut self.tags, value)?,
            "project" => add_text("project", &mut self.projects, value)?,
            "agent" => add_text("agent", &mut self.agents, value)?,
            "session" => add_text("session", &mut self.sessions, value)?,
            "since" => self.since = self.since.max(Some(period("since", value, now)?.0)),
            "until" => {
                let until = period("until", value, now)?.1;
                self.until = Some(self.until.map_or(until, |it| it.min(until)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a record is taken.
    pub fn accepts(&self, facts: &Facts<'_>) -> bool {
        fn any<T>(wanted: &[T], is: impl FnMut(&T) -> bool) -> bool {
            wanted.is_empty() || wanted.iter().any(is)
        }
        any(&self.kinds, |it| *it == facts.kind)
            && any(&self.severities, |it| Some(*it) == facts.severity)
            && any(&self.origins, |it| Some(*it) == facts.origin)
            && any(&self.states, |it| (*it == State::Golden) == facts.golden)
            && self.since.is_none_or(|since| facts.created_at >= since)
            && self.until.is_none_or(|until| facts.created_at < until)
            && any(&self.domains, |it| facts.domain.is_some_and(|is| Name::Domain.matches(is, it)))
            && any(&self.tags, |it| facts.tags.iter().any(|is| Name::Tag.matches(is, it)))
            && any(&self.projects, |it| facts.project.is_some_and(|is| Name::Project.matches(is, it)))
            && (!self.is_of_no_project || facts.project.is_none())
            && any(&self.sessions, |it| facts.session.is_some_and(|is| Name::Session.matches(is, it)))
            && any(&self.agents, |it| facts.agent.is_some_and(|is| Name::Agent.matches(is, it)))
    }
}

/// What a name in `names` names. The numbers are in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// What a record is about.
    Domain = 1,
    /// The project that it comes from.
    Project = 2,
    /// The session.
    Session = 3,
    /// The program that runs the agent.
    Agent = 4,
    /// A tag.
    Tag = 5,
}

impl Name {
    /// Whether the name `is` is asked for by `wanted`.
    pub(super) fn matches(self, is: &str, wanted: &str) -> bool {
        let equal = |is: &str, wanted: &str| is.to_lowercase() == wanted.to_lowercase();
        let letters = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        match self {
            Name::Domain | Name::Tag => equal(is, wanted),
            Name::Agent => letters(is) == letters(wanted),
            Name::Session => !wanted.is_empty() && is.starts_with(wanted),
            Name::Project => {
                let ends = is.len().checked_sub(wanted.len()).filter(|at| is.is_char_boundary(*at));
                ends.is_some_and(|at| equal(&is[at..], wanted) && (at == 0 || is[..at].ends_with('/')))
            }
        }
    }
}

impl UnknownValue {
    /// That `filter` knows no `value`, but `known`.
    pub(super) fn new(filter: &'static str, value: &str, known: Vec<&'static str>) -> UnknownValue {
        UnknownValue { filter, value: value.chars().take(80).collect(), known }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Adds a text that the filter `name` does not have, up to [`VALUES_MAX`].
fn add_text(name: &'static str, values: &mut Vec<String>, value: &str) -> Result<(), UnknownValue> {
    let value = value.trim();
    if values.iter().any(|it| it == value) {
        return Ok(());
    }
    if values.len() >= VALUES_MAX {
        return Err(UnknownValue::new(name, value, Vec::new()));
    }
    values.push(value.to_owned());
    Ok(())
}

/// Adds one of a few values, unless the filter has it.
fn add<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}

fn known<T: Copy>(
    filter: &'static str,
    value: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, UnknownValue> {
    let found = all.iter().copied().find(|it| name(*it).eq_ignore_ascii_case(value.trim()));
    found.ok_or_else(|| UnknownValue::new(filter, value, all.iter().map(|it| name(*it)).collect()))
}

/// `4`, `high`, `4+`: that and everything above.
fn severities(value: &str) -> Result<Vec<Severity>, UnknownValue> {
    let known = || vec!["1", "2", "3", "4", "5", "low", "medium", "high", "critical", "3+"];
    let (text, and_above) = match value.trim().strip_suffix('+') {
        Some(text) => (text, true),
        None => (value, false),
    };
    let least: Severity = text.parse().map_err(|_| UnknownValue::new("severity", value, known()))?;
    let last = if and_above { 5 } else { least.get() };
    Ok((least.get()..=last).filter_map(|number| Severity::new(number).ok()).collect())
}

/// Forms of a time, for messages.
const TIMES: [&str; 8] = ["12h", "7d", "2w", "today", "yesterday", "2026-11", "2026-11-29", "2026-11-29T18:00:00Z"];

/// The period that `text` names, from its beginning to where it is over. A span of time is the moment so long ago.
fn period(filter: &'static str, text: &str, now: &Zoned) -> Result<(Timestamp, Timestamp), UnknownValue> {
    let text = text.trim();
    let parsed = || {
        let zone = now.time_zone();
        let days = |from: Date, span: Span| -> Option<(Timestamp, Timestamp)> {
            Some((start(from, zone), from.checked_add(span).map_or(Timestamp::MAX, |end| start(end, zone))))
        };
        if let Some(span) = ago(text) {
            let moment = now.checked_sub(span).ok()?.timestamp();
            return Some((moment, moment));
        }
        match text.to_ascii_lowercase().as_str() {
            "today" => return days(now.date(), 1.day()),
            "yesterday" => return days(now.date().yesterday().ok()?, 1.day()),
            _ => {}
        }
        let has_form = |form: &str| {
            let fits = |(c, form): (char, char)| if form == '0' { c.is_ascii_digit() } else { c == form };
            text.len() == form.len() && text.chars().zip(form.chars()).all(fits)
        };
        match () {
            () if has_form("0000") => days(format!("{text}-01-01").parse().ok()?, 1.year()),
            () if has_form("0000-00") => days(format!("{text}-01").parse().ok()?, 1.month()),
            () if has_form("0000-00-00") || has_form("00000000") => days(text.parse().ok()?, 1.day()),
            () => {
                let moment = text.parse::<Timestamp>().ok().or_else(|| {
                    let local: jiff::civil::DateTime = text.parse().ok()?;
                    Some(local.to_zoned(zone.clone()).ok()?.timestamp())
                })?;
                Some((moment, moment))
            }
        }
    };
    parsed().ok_or_else(|| UnknownValue::new(filter, text, TIMES.to_vec()))
}

/// When `date` begins; the last moment that can be written, if it is behind that.
fn start(date: Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone()).map_or(Timestamp::MAX, |begin| begin.timestamp())
}

/// `12h`, `7d`, `2w`, `3mo`, `1y`.
fn ago(text: &str) -> Option<Span> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..digits].parse().ok()?;
    let span = Span::new();
    match text[digits..].to_ascii_lowercase().as_str() {
        "min" => span.try_minutes(number),
        "h" => span.try_hours(number),
        "d" => span.try_days(number),
        "w" => span.try_weeks(number),
        "mo" => span.try_months(number),
        "y" => span.try_years(number),
        _ => return None,
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_dashes_and_the_last_of_all_are_days() {
        let now: Zoned = "2026-11-30T12:00:00[UTC]".parse().expect("a time");
        let period = |text| period("until", text, &now).expect("a time");
        let day = ("2026-11-30T00:00:00Z".parse().expect("a time"), "2026-12-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(period("2026-11-30"), day);
        assert_eq!(period("20261130"), day);
        for text in ["9999-12-31", "9999-12", "9999"] {
            assert_eq!(period(text).1, Timestamp::MAX, "{text}");
        }
    }
}
