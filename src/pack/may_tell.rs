//! What may be told to an agent that did not ask, and as what. The one place that decides it. Pure.
//!
//! Recorded text comes from tools, web pages, repositories and other agents, and some of it is hostile. So what is told
//! depends on who a record is by, where it was made, and what a person has said of it:
//!
//! | record | told |
//! | --- | --- |
//! | a golden rule of this project | always |
//! | a golden rule of another project, or of none | if it is general (its domain is `general`, or it has no project), or promoted for all projects |
//! | a rule that a person wrote | in its project |
//! | a rule by an agent or a hook | in its project, not on its first day, not of another host or home; at most [`NOTED_MAX`] |
//! | a rule of an import, or of unknown origin | never, unless it is golden |
//! | a rule that is doubtful or dormant | never, unless it is golden |
//! | a rule that is retired | never |
//! | a failure, a success, an experiment | in its project, as what happened |
//! | an observation | never |
//!
//! A line about a record of another home names that home.
//!
//! In a [new place](Scope::is_known_place) of a known project only golden rules are told. Nothing here depends on the clock:
//! a rule's first day is over when the project has a record of a later day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{Kind, Origin, Provenance, Record};
use crate::query::Brief;
use crate::rules::State;

/// The most rules by agents that are told at once.
pub const NOTED_MAX: usize = 3;
/// The hours of a week.
const HOURS_A_WEEK: i64 = 7 * 24;
/// The domain of rules that hold everywhere.
const GENERAL: &str = "general";

/// Where a session is, as far as it decides what may be told there.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// Its project; `None` outside of one.
    pub project: Option<&'s str>,
    /// Whether the project was recorded in at this place before. Any repository can name the origin of another as its own.
    pub is_known_place: bool,
    /// The label of this machine; `None` if it has none.
    pub host: Option<&'s str>,
    /// When the newest record of the project was made.
    pub newest: Option<Timestamp>,
}

/// As what a record is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum As {
    /// A rule that a person promoted.
    Golden,
    /// A rule that a person wrote.
    Rule,
    /// A rule that an agent noted, which no person confirmed.
    Noted,
    /// Something that happened, or is under way.
    Fact,
}

/// Why a record is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// It is of another project, or of none.
    OtherProject,
    /// The place is new to its project.
    NewPlace,
    /// It is a rule by an agent of another host.
    OtherHost,
    /// It is a rule by an agent, on its first day.
    FirstDay,
    /// It is a rule of an import or of unknown origin, and no person promoted it.
    Unconfirmed,
    /// It was violated too often.
    Doubtful,
    /// Nothing was heard of it for long.
    Dormant,
    /// It was retired.
    Retired,
    /// Records of its kind are not told unasked.
    Kind,
}

impl Withheld {
    /// The reason, for people.
    pub const fn says(self) -> &'static str {
        match self {
            Withheld::OtherProject => "it is of another project",
            Withheld::NewPlace => {
                "its project was recorded elsewhere, and not yet by two sessions in this folder: only golden rules are told"
            }
            Withheld::OtherHost => "an agent on another machine noted it",
            Withheld::FirstDay => "an agent noted it, and the project has no record of a later day yet",
            Withheld::Unconfirmed => {
                "neither a person nor an agent of this project wrote it, and no person promoted it"
            }
            Withheld::Doubtful => "it is doubtful: it was violated too often",
            Withheld::Dormant => "it is dormant: nothing was heard of it for 26 weeks",
            Withheld::Retired => "it was retired",
            Withheld::Kind => "records of this kind are told when they are asked for",
        }
    }
}

/// As what the record `brief` may be told in `scope`. `state` is its state, if it is a rule, of others it is active;
/// `is_everywhere` says whether a person promoted it for all projects.
///
/// # Errors
/// Why it may not.
pub fn may_tell(brief: &Brief, state: State, is_everywhere: bool, scope: &Scope<'_>) -> Result<As, Withheld> {
    let Brief { created_at, record, provenance, from, .. } = brief;
    let is_here = provenance.project.is_some() && provenance.project.as_deref() == scope.project;
    match state {
        State::Golden if is_here || is_everywhere || is_general(record, provenance) => return Ok(As::Golden),
        _ if !is_here => return Err(Withheld::OtherProject),
        State::Golden | State::Active => {}
        State::Doubtful => return Err(Withheld::Doubtful),
        State::Dormant => return Err(Withheld::Dormant),
        State::Retired => return Err(Withheld::Retired),
    }
    if !scope.is_known_place {
        return Err(Withheld::NewPlace);
    }
    match brief.kind() {
        Kind::Failure | Kind::Success | Kind::Experiment => Ok(As::Fact),
        Kind::Heuristic => match provenance.origin {
            Some(Origin::Person) => Ok(As::Rule),
            Some(Origin::Agent | Origin::Hook) if from.is_some() => Err(Withheld::OtherHost),
            Some(Origin::Agent | Origin::Hook) => noted(*created_at, provenance, scope),
            Some(Origin::Import) | None => Err(Withheld::Unconfirmed),
        },
        _ => Err(Withheld::Kind),
    }
}

/// Whether a golden rule holds in every project.
fn is_general(record: &Record, provenance: &Provenance) -> bool {
    let Record::Heuristic(rule) = record else { return false };
    provenance.project.is_none() || rule.domain.trim().eq_ignore_ascii_case(GENERAL)
}

/// A rule of this project by an agent.
fn noted(created_at: Timestamp, provenance: &Provenance, scope: &Scope<'_>) -> Result<As, Withheld> {
    if !is_of_host(provenance, scope.host) {
        return Err(Withheld::OtherHost);
    }
    let is_older = scope.newest.is_some_and(|newest| day(newest) > day(created_at));
    if is_older { Ok(As::Noted) } else { Err(Withheld::FirstDay) }
}

/// Whether a record was made on the machine with the label `host`. Without a label it was.
pub fn is_of_host(provenance: &Provenance, host: Option<&str>) -> bool {
    provenance.host.is_none() || provenance.host.as_deref() == host
}

/// The day of `at`, in UTC.
pub fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The whole weeks between `at` and `newest`; 0 if `at` is later.
pub fn weeks(at: Timestamp, newest: Timestamp) -> i64 {
    newest.duration_since(at).as_hours().max(0) / HOURS_A_WEEK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Experiment, Heuristic, Learning, RecordId};
    use crate::search;

    const SCOPE: Scope<'_> = Scope { project: Some("h/p"), is_known_place: true, host: None, newest: None };

    fn tell(brief: &Brief, scope: &Scope<'_>) -> Result<As, Withheld> {
        let state = if brief.state == search::State::Golden { State::Golden } else { State::Active };
        super::may_tell(brief, state, false, scope)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn brief(record: Record, origin: Option<Origin>) -> Brief {
        let provenance = Provenance { project: Some("h/p".into()), origin, ..Provenance::default() };
        let id = RecordId(uuid::Uuid::from_u128(1));
        Brief {
            id,
            created_at: at("2026-03-04T23:00:00Z"),
            state: search::State::Active,
            record,
            provenance,
            from: None,
        }
    }

    fn rule(origin: Option<Origin>) -> Brief {
        brief(Record::Heuristic(Heuristic { domain: "ci".into(), ..Heuristic::default() }), origin)
    }

    #[test]
    fn rules_are_told_by_their_origin() {
        let later = Scope { newest: Some(at("2026-03-05T00:00:00Z")), ..SCOPE };
        let same_day = Scope { newest: Some(at("2026-03-04T23:59:59Z")), ..SCOPE };
        for (origin, first_day, next_day) in [
            (Some(Origin::Person), Ok(As::Rule), Ok(As::Rule)),
            (Some(Origin::Agent), Err(Withheld::FirstDay), Ok(As::Noted)),
            (Some(Origin::Hook), Err(Withheld::FirstDay), Ok(As::Noted)),
            (Some(Origin::Import), Err(Withheld::Unconfirmed), Err(Withheld::Unconfirmed)),
            (None, Err(Withheld::Unconfirmed), Err(Withheld::Unconfirmed)),
        ] {
            assert_eq!(tell(&rule(origin), &same_day), first_day, "{origin:?}");
            assert_eq!(tell(&rule(origin), &later), next_day, "{origin:?}");
            let golden = Brief { state: search::State::Golden, ..rule(origin) };
            assert_eq!(tell(&golden, &same_day), Ok(As::Golden), "{origin:?}");
        }
    }

    #[test]
    fn a_project_is_told_its_own_records_and_general_golden_rules() {
        let elsewhere = |mut brief: Brief, project: Option<&str>| {
            brief.provenance.project = project.map(str::to_owned);
            brief
        };
        let general = || brief(Record::Heuristic(Heuristic { domain: "General".into(), ..Heuristic::default() }), None);
        let golden = |brief: Brief| Brief { state: search::State::Golden, ..brief };
        for (brief, wanted) in [
            (elsewhere(rule(Some(Origin::Person)), Some("h/q")), Err(Withheld::OtherProject)),
            (elsewhere(rule(Some(Origin::Person)), None), Err(Withheld::OtherProject)),
            (elsewhere(golden(rule(Some(Origin::Person))), Some("h/q")), Err(Withheld::OtherProject)),
            (elsewhere(golden(rule(Some(Origin::Person))), None), Ok(As::Golden)),
            (elsewhere(golden(general()), Some("h/q")), Ok(As::Golden)),
            (elsewhere(general(), Some("h/q")), Err(Withheld::OtherProject)),
        ] {
            assert_eq!(tell(&brief, &SCOPE), wanted, "{brief:?}");
            let nowhere = Scope { project: None, ..SCOPE };
            assert_eq!(tell(&brief, &nowhere), wanted, "outside of a project: {brief:?}");
        }
        assert_eq!(tell(&rule(Some(Origin::Person)), &Scope { project: None, ..SCOPE }), Err(Withheld::OtherProject));
        let promoted_everywhere = elsewhere(golden(rule(Some(Origin::Person))), Some("h/q"));
        assert_eq!(super::may_tell(&promoted_everywhere, State::Golden, true, &SCOPE), Ok(As::Golden));
        assert_eq!(super::may_tell(&promoted_everywhere, State::Retired, true, &SCOPE), Err(Withheld::OtherProject));
    }

    #[test]
    fn a_rule_that_does_not_hold_any_more_is_not_told() {
        for (state, why) in [
            (State::Doubtful, Withheld::Doubtful),
            (State::Dormant, Withheld::Dormant),
            (State::Retired, Withheld::Retired),
        ] {
            assert_eq!(super::may_tell(&rule(Some(Origin::Person)), state, true, &SCOPE), Err(why));
        }
    }

    #[test]
    fn a_new_place_is_told_golden_rules_alone() {
        let new = Scope { is_known_place: false, ..SCOPE };
        assert_eq!(tell(&rule(Some(Origin::Person)), &new), Err(Withheld::NewPlace));
        let golden = Brief { state: search::State::Golden, ..rule(Some(Origin::Agent)) };
        assert_eq!(tell(&golden, &new), Ok(As::Golden));
        let failure = brief(Record::Failure(Learning::default()), Some(Origin::Hook));
        assert_eq!(tell(&failure, &new), Err(Withheld::NewPlace));
    }

    #[test]
    fn what_happened_is_told_and_observations_are_not() {
        for (record, wanted) in [
            (Record::Failure(Learning::default()), Ok(As::Fact)),
            (Record::Success(Learning::default()), Ok(As::Fact)),
            (Record::Experiment(Experiment::default()), Ok(As::Fact)),
            (Record::Observation(Learning::default()), Err(Withheld::Kind)),
        ] {
            for origin in [None, Some(Origin::Hook), Some(Origin::Import)] {
                assert_eq!(tell(&brief(record.clone(), origin), &SCOPE), wanted, "{record:?}");
            }
        }
    }

    #[test]
    fn another_machines_agents_are_not_heard_and_its_failures_are() {
        let of_other = |mut brief: Brief| {
            brief.provenance.host = Some("build-7".into());
            brief
        };
        let scope = Scope { newest: Some(at("2026-04-01T00:00:00Z")), host: Some("laptop"), ..SCOPE };
        assert_eq!(tell(&of_other(rule(Some(Origin::Agent))), &scope), Err(Withheld::OtherHost));
        assert_eq!(tell(&of_other(rule(Some(Origin::Person))), &scope), Ok(As::Rule));
        let failure = brief(Record::Failure(Learning::default()), Some(Origin::Hook));
        assert_eq!(tell(&of_other(failure), &scope), Ok(As::Fact));
        let own = Scope { host: Some("build-7"), ..scope };
        assert_eq!(tell(&of_other(rule(Some(Origin::Agent))), &own), Ok(As::Noted));
    }
}
