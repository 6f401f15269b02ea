//! The same failure at several times makes one line of a pack. Pure.
//!
//! Failures are the same by their signature or, without one, by their command, as at a failure (`known`); what a hook did not record,
//! by its title.

use std::collections::HashSet;

use jiff::Timestamp;

use super::place;
use super::write::{plain_name, span};
use crate::followed::{Followed, summary};
use crate::known::{Failure, Stored};
use crate::model::{Field, Origin, Record, RecordId, Severity};
use crate::query::{Brief, CameAgain};
use crate::target::index::Again;

/// The longest text about what followed a failure, in characters.
const FOLLOWED_CHARS_MAX: usize = 200;
/// A failure that a person or an agent recorded is told from this severity on, even if it came once.
const TOLD_FROM: Severity = Severity::DEFAULT;

/// What is equal for failures that are the same one: their order is that of groups of one weight.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Same {
    /// Class, program and text of a signature, and where it counts.
    Signature(&'static str, String, String, Option<String>),
    /// A title.
    Title(String),
}

impl Same {
    pub(super) fn of(brief: &Brief) -> Same {
        match Failure::of(&brief.record, &brief.provenance) {
            Some(failure) => {
                let place = failure.place(&brief.provenance);
                let signature = failure.signature;
                Same::Signature(signature.class, signature.program, signature.text, place)
            }
            None => Same::Title(brief.record.headline().trim().to_owned()),
        }
    }
}

/// The same failure, at several times.
pub(super) struct Group<'b> {
    /// The newest first.
    pub(super) times: Vec<&'b Brief>,
    /// How often it failed.
    count: u64,
    /// When it failed last.
    pub(super) last_at: Timestamp,
    /// In how many sessions it failed; where no session is known, on how many days.
    pub(super) sessions: usize,
    /// The successes that resolve one of them, one of each session, the newest first.
    pub(super) followed: Vec<&'b Brief>,
}

impl<'b> Group<'b> {
    /// The failures `times`, of which there is one at least, the newest first, with what says that they came `again` and the `successes`.
    pub(super) fn of(times: Vec<&'b Brief>, again: &CameAgain, successes: &'b [Brief]) -> Group<'b> {
        let again: Vec<&Again> = times.iter().filter_map(|it| again.get(&it.id)).flatten().collect();
        let all = times.iter().map(|it| (&it.provenance, it.created_at));
        let all = all.chain(again.iter().map(|it| (&it.provenance, it.at)));
        let sessions: HashSet<String> = all.map(|(provenance, at)| place::session(provenance, at)).collect();
        let count = times.len() as u64 + again.iter().map(|it| it.times).sum::<u64>();
        let last_at = again.iter().map(|it| it.at).fold(times[0].created_at, Timestamp::max);
        let resolves = |success: &&Brief| resolved_by(success).is_some_and(|id| times.iter().any(|it| it.id == id));
        let mut seen = HashSet::new();
        let is_first = |success: &&Brief| seen.insert(place::session(&success.provenance, success.created_at));
        let followed = successes.iter().filter(resolves).filter(is_first).collect();
        Group { sessions: sessions.len(), followed, count, last_at, times }
    }

    /// The record of the newest of them that has one.
    pub(super) fn last(&self) -> &'b Brief {
        self.times[0]
    }

    pub(super) fn severity(&self) -> Severity {
        let severity = |brief: &&Brief| brief.record.severity();
        self.times.iter().map(severity).max().unwrap_or(Severity::LEAST)
    }

    /// What it weighs, whatever its age.
    pub(super) fn weight(&self) -> f64 {
        let severity = f64::from(self.severity().get()) / 3.0;
        let followed = if self.followed.is_empty() { 1.0 } else { 2.0 };
        self.sessions.min(10) as f64 * severity * followed
    }

    /// Whether it is worth telling: something followed, it came back, or it was worth a line to the one who recorded it.
    pub(super) fn is_telling(&self) -> bool {
        let is_noted = |it: &&Brief| it.provenance.origin != Some(Origin::Hook) && it.record.severity() >= TOLD_FROM;
        !self.followed.is_empty() || self.sessions > 1 || self.times.iter().any(is_noted)
    }

    pub(super) fn line(&self, host: Option<&str>) -> String {
        let last = self.last();
        let title = span(last.record.headline());
        let tool = plain_name(domain(&last.record));
        let tool = if tool.is_empty() { "a tool" } else { tool };
        let mut line = match last.provenance.origin {
            Some(Origin::Hook) if is_command(last.record.headline()) => {
                let error = error_line(last).map(|line| format!("; output of {tool}: {}", span(&line)));
                format!("- {title}{}", error.unwrap_or_default())
            }
            Some(Origin::Hook) => format!("- output of {tool}: {title}"),
            Some(Origin::Person) => format!("- a person noted: {title}"),
            Some(Origin::Agent) => format!("- an agent noted: {title}"),
            Some(Origin::Import) | None => format!("- noted: {title}"),
        };
        let (first, newest) = (date(self.times[self.times.len() - 1].created_at), date(self.last_at));
        let between = if first == newest { newest } else { format!("{first} to {newest}") };
        let times = match (self.count, self.sessions) {
            (1, _) => String::new(),
            (times, 1) => format!("{times} times, "),
            (times, sessions) => format!("{times} times in {sessions} sessions, "),
        };
        let from = from_home(last);
        line.push_str(&format!(" ({times}{between}{}{from}, {})", on_host(last, host), last.id.short()));
        if let Some(newest) = self.followed.first() {
            let (at, id) = (date(newest.created_at), newest.id.short());
            // The steps of several are told together.
            let from = self.followed.iter().map(|it| from_home(it)).find(|from| !from.is_empty()).unwrap_or_default();
            line.push_str(&format!("; {} ({at}{from}, {id})", self.what_followed(newest)));
        }
        line
    }

    /// What followed: steps, as hooks spell them; of a success that a hook did not record, its title.
    fn what_followed(&self, newest: &Brief) -> String {
        let is_ours = |brief: &&&Brief| brief.provenance.origin == Some(Origin::Hook);
        let body = |brief: &&Brief| brief.record.text(Field::Summary).map(|text| text.into_owned());
        let steps = self.followed.iter().filter(is_ours).filter_map(body).filter_map(|body| Followed::of_text(&body));
        let steps: Vec<Followed> = steps.collect();
        summary(&steps, FOLLOWED_CHARS_MAX).unwrap_or_else(|| format!("later: {}", span(newest.record.headline())))
    }
}

/// The line of a failure's output that says what went wrong, if its signature knows one.
fn error_line(brief: &Brief) -> Option<String> {
    let Record::Failure(it) = &brief.record else { return None };
    Stored::of(&it.summary, &it.tags).error_line(brief.provenance.cwd.as_deref().unwrap_or_default())
}

/// On which machine it was, if that is not this one.
fn on_host(brief: &Brief, own: Option<&str>) -> String {
    match brief.provenance.host.as_deref() {
        None => String::new(),
        Some(host) if Some(host) == own => String::new(),
        Some(host) if plain_name(host).is_empty() => ", on another machine".to_owned(),
        Some(host) => format!(", on {host}"),
    }
}

/// Which home recorded it, if that is another one.
fn from_home(brief: &Brief) -> String {
    brief.from.map(|from| format!(", {}", from.says())).unwrap_or_default()
}

/// Whether a hook's title is a command and how it ended, and not what a tool put out.
fn is_command(title: &str) -> bool {
    let ending = title.trim().rsplit_once(": ").map(|(_, ending)| ending);
    ending.is_some_and(|ending| {
        let code = ending.strip_prefix("exit code ");
        ending == "failed" || code.is_some_and(|code| code.parse::<i64>().is_ok())
    })
}

/// The failure that a success resolves.
fn resolved_by(success: &Brief) -> Option<RecordId> {
    match &success.record {
        Record::Success(it) => it.resolves,
        _ => None,
    }
}

/// The domain of a record; empty if it has none.
pub(super) fn domain(record: &Record) -> &str {
    match record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => &it.domain,
        Record::Heuristic(it) => &it.domain,
        _ => "",
    }
}

/// The day of a time, as it is told.
pub(super) fn date(at: Timestamp) -> String {
    super::may_tell::day(at).to_string()
}
