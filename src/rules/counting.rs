//! Which verdicts count.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::times;
use crate::model::{Origin, RecordId, Ruling};

/// A verdict on a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The verdict's own id.
    pub id: RecordId,
    /// When it was given.
    pub at: Timestamp,
    /// What it says.
    pub ruling: Ruling,
    /// Who it is by; what is not known to be a person's counts like an agent's.
    pub origin: Option<Origin>,
    /// The agent's session.
    pub session: Option<String>,
    /// The program that runs the agent.
    pub agent: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// Why.
    pub because: String,
}

impl Given {
    /// Whether a person gave it.
    pub fn is_by_person(&self) -> bool {
        self.origin == Some(Origin::Person)
    }

    /// The day it was given, in UTC.
    pub(super) fn day(&self) -> Date {
        self.at.to_zoned(TimeZone::UTC).date()
    }

    /// What no later verdict of the same sort may share with one that counts.
    fn claims(&self) -> Vec<Claim<'_>> {
        let project = self.project.as_deref();
        let mut claims = vec![match self.session.as_deref() {
            Some(session) => Claim::Session(session),
            None => Claim::Day(self.agent.as_deref(), project, self.day()),
        }];
        if self.ruling == Ruling::Validated && !self.is_by_person() {
            claims.push(Claim::AgentsDay(project, self.day()));
        }
        claims
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    Session(&'a str),
    /// Program, project, day.
    Day(Option<&'a str>, Option<&'a str>, Date),
    /// Project, day.
    AgentsDay(Option<&'a str>, Date),
}

/// What the verdicts on a rule come to. It follows from the set of them: their order does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many validations count.
    pub validated: u64,
    /// How many violations count.
    pub violated: u64,
    /// How often the same was recorded again: on days that are not counted yet, once.
    pub again: u64,
    /// On how many days (UTC) it was validated.
    pub days: u64,
    /// In how many projects it was validated.
    pub projects: u64,
    /// Whether a person validated it.
    pub by_person: bool,
    /// Whether a person promoted it, if it was promoted or demoted at all: the latest of these decides.
    pub promoted: Option<bool>,
    /// Whether that promotion is for all projects.
    pub is_everywhere: bool,
    /// Whether it was retired, and not revived since.
    pub retired: bool,
}

/// The validations and violations among `given` that count, in the order of their times.
pub(super) fn counting(given: &[Given]) -> Vec<&Given> {
    let mut ordered: Vec<&Given> =
        given.iter().filter(|it| matches!(it.ruling, Ruling::Validated | Ruling::Violated)).collect();
    ordered.sort_by_key(|it| (it.at, it.id));
    let mut taken = BTreeSet::new();
    ordered.retain(|it| {
        let claims: Vec<_> = it.claims().into_iter().map(|claim| (it.ruling, claim)).collect();
        let is_free = !claims.iter().any(|claim| taken.contains(claim));
        if is_free {
            taken.extend(claims);
        }
        is_free
    });
    ordered
}

/// What the verdicts `given` on a rule come to.
pub fn tally(given: &[Given]) -> Tally {
    let counting = counting(given);
    let is = |ruling: Ruling| move |it: &&&Given| it.ruling == ruling;
    let validations = || counting.iter().filter(is(Ruling::Validated));
    let latest = |is: fn(&Given) -> bool| given.iter().filter(|it| is(it)).max_by_key(|it| (it.at, it.id));
    // Only a person makes a rule golden.
    let promotion = latest(|it| it.ruling == Ruling::Demoted || it.ruling.is_promotion() && it.is_by_person());
    let retirement = latest(|it| matches!(it.ruling, Ruling::Retired | Ruling::Revived));
    Tally {
        validated: validations().count() as u64,
        violated: counting.iter().filter(is(Ruling::Violated)).count() as u64,
        again: given.iter().filter(|it| it.ruling == Ruling::Again).map(|it| times(&it.because)).sum(),
        days: validations().map(|it| it.day()).collect::<BTreeSet<_>>().len() as u64,
        projects: validations().filter_map(|it| it.project.as_deref()).collect::<BTreeSet<_>>().len() as u64,
        by_person: validations().any(|it| it.is_by_person()),
        promoted: promotion.map(|it| it.ruling.is_promotion()),
        is_everywhere: promotion.is_some_and(|it| it.ruling == Ruling::PromotedEverywhere),
        retired: retirement.is_some_and(|it| it.ruling == Ruling::Retired),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use uuid::Uuid;

    pub fn given(n: u128, at: &str, ruling: Ruling) -> Given {
        Given {
            id: RecordId(Uuid::from_u128(n)),
            at: at.parse().expect("a time"),
            ruling,
            origin: Some(Origin::Agent),
            session: None,
            agent: None,
            project: None,
            because: String::new(),
        }
    }

    fn in_session(session: &str, it: Given) -> Given {
        Given { session: Some(session.into()), ..it }
    }

    const ONE: &str = "2026-03-04T05:06:07Z";
    const LATER: &str = "2026-03-04T23:06:07Z";
    const NEXT_DAY: &str = "2026-03-05T00:06:07Z";

    fn count(given: &[Given]) -> (u64, u64) {
        let forward = tally(given);
        let mut turned = given.to_vec();
        turned.reverse();
        assert_eq!(tally(&turned), forward, "their order must not matter");
        (forward.validated, forward.violated)
    }

    #[test]
    fn a_verdict_counts_once_a_session_or_else_once_a_day() {
        use Ruling::{Validated, Violated};
        let v = |n, at, ruling| given(n, at, ruling);
        let person = |it: Given| Given { origin: Some(Origin::Person), ..it };
        let of = |project: &str, it: Given| Given { project: Some(project.into()), ..it };
        assert_eq!(count(&[v(1, ONE, Violated), v(2, LATER, Violated)]), (0, 1), "one a day");
        assert_eq!(count(&[v(1, ONE, Violated), v(2, NEXT_DAY, Violated)]), (0, 2));
        let two = [in_session("s", v(1, ONE, Violated)), in_session("s", v(2, NEXT_DAY, Violated))];
        assert_eq!(count(&two), (0, 1), "one a session, whatever the day");
        let two = [in_session("s", v(1, ONE, Violated)), in_session("t", v(2, ONE, Violated))];
        assert_eq!(count(&two), (0, 2));
        let two = [in_session("s", v(1, ONE, Validated)), in_session("t", v(2, LATER, Validated))];
        assert_eq!(count(&two), (1, 0), "agents' validations: one a project and day");
        assert_eq!(count(&[of("a", two[0].clone()), of("b", two[1].clone())]), (2, 0));
        assert_eq!(count(&two.map(person)), (2, 0), "of a person, each session's");
        let unknown = [in_session("s", v(1, ONE, Validated)), in_session("t", v(2, LATER, Validated))];
        assert_eq!(count(&unknown.map(|it| Given { origin: None, ..it })), (1, 0), "not known to be a person's");
        assert_eq!(count(&[v(1, ONE, Validated), v(2, ONE, Violated)]), (1, 1), "of each sort");
        let agents = ["x", "y"].map(|agent| Given { agent: Some(agent.into()), ..v(1, ONE, Violated) });
        assert_eq!(count(&agents), (0, 2), "of each program");
        assert_eq!(count(&[v(1, ONE, Ruling::Again), v(2, NEXT_DAY, Ruling::Again)]), (0, 0), "never a validation");
        assert_eq!(tally(&[v(1, ONE, Ruling::Again), v(2, NEXT_DAY, Ruling::Again)]).again, 2);
    }

    #[test]
    fn only_a_person_makes_a_rule_golden_and_the_latest_decides() {
        let promoted = given(1, ONE, Ruling::Promoted);
        let by_person = Given { origin: Some(Origin::Person), ..promoted.clone() };
        let demoted = given(2, LATER, Ruling::Demoted);
        assert_eq!(tally(std::slice::from_ref(&promoted)).promoted, None);
        assert_eq!(tally(std::slice::from_ref(&by_person)).promoted, Some(true));
        assert_eq!(tally(&[by_person.clone(), demoted.clone()]).promoted, Some(false));
        let again = Given { at: NEXT_DAY.parse().expect("a time"), ..promoted };
        assert_eq!(
            tally(&[by_person.clone(), demoted, again]).promoted,
            Some(false),
            "an agent's promotion does not count"
        );
        let everywhere = |at: &str| Given {
            ruling: Ruling::PromotedEverywhere,
            at: at.parse().expect("a time"),
            ..by_person.clone()
        };
        let of = |given: &[Given]| (tally(given).promoted, tally(given).is_everywhere);
        assert_eq!(of(&[by_person.clone(), everywhere(LATER)]), (Some(true), true));
        assert_eq!(
            of(&[everywhere(ONE), Given { at: LATER.parse().expect("a time"), ..by_person.clone() }]),
            (Some(true), false)
        );
        assert_eq!(of(&[everywhere(ONE), given(2, LATER, Ruling::Demoted)]), (Some(false), false));
        assert_eq!(
            of(&[Given { origin: Some(Origin::Agent), ..everywhere(ONE) }]),
            (None, false),
            "only a person's counts"
        );
        let (retired, revived) = (given(1, ONE, Ruling::Retired), given(2, LATER, Ruling::Revived));
        assert!(tally(std::slice::from_ref(&retired)).retired && !tally(&[revived, retired]).retired);
    }
}
