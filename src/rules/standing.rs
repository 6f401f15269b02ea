//! How sure a rule is by now, and its state.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::counting::{Given, Tally, counting, tally};
use crate::model::Ruling;

/// The half-life of a verdict's weight, in days.
const HALF_LIFE_DAYS: f64 = 90.0;
/// How long a rule stays active without a verdict, in days: 26 weeks.
const DORMANT_DAYS: f64 = 26.0 * 7.0;
/// The weight of a count that another program added.
const ELSEWHERE: f64 = 0.25;
/// Fewer verdicts say nothing about doubt.
const DOUBT_COUNT_MIN: f64 = 3.0;
/// A greater share of violations makes a rule doubtful.
const DOUBT_SHARE: f64 = 0.3;
/// What makes a rule eligible for promotion: so many validations, on so many days, in so many projects or by a person.
const ELIGIBLE: (u64, u64, u64) = (10, 5, 2);

/// The state of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A person promoted it.
    Golden,
    /// It counts as it was recorded, and what became of it.
    Active,
    /// It was violated in more than 30 % of 3 verdicts or more.
    Doubtful,
    /// Nothing was heard of it for 26 weeks.
    Dormant,
    /// It was retired.
    Retired,
}

impl State {
    /// All of them.
    pub const ALL: [State; 5] = [State::Active, State::Golden, State::Doubtful, State::Dormant, State::Retired];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            State::Golden => "golden",
            State::Active => "active",
            State::Doubtful => "doubtful",
            State::Dormant => "dormant",
            State::Retired => "retired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule's standing follows from.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// How sure it was when it was recorded: 0 to 1.
    pub stated: f64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// All verdicts on it.
    pub given: &'a [Given],
    /// How often other programs say that it was validated, beyond these.
    pub validated_elsewhere: u64,
    /// How often other programs say that it was violated, beyond these.
    pub violated_elsewhere: u64,
    /// The time of the newest record of its scope, from which ages are counted.
    pub newest: Timestamp,
}

/// How sure a rule is by now, and its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// 0 to 1.
    pub confidence: f64,
    /// Its state.
    pub state: State,
    /// Whether it is doubtful, golden or not.
    pub is_doubtful: bool,
    /// Whether a person may want to promote it.
    pub is_eligible: bool,
    /// What its verdicts come to.
    pub tally: Tally,
}

/// The standing of `rule`: its confidence is `(2c + v) / (2 + v + 3x)`, where `c` is as recorded, and `v` and `x` are what
/// its validations and violations weigh by now.
pub fn standing(rule: &Rule<'_>) -> Standing {
    let tally = tally(rule.given);
    let weight = |ruling: Ruling, elsewhere: u64| {
        let ours = counting(rule.given).into_iter().filter(|it| it.ruling == ruling);
        ours.map(|it| weight_at(it.at, rule.newest)).sum::<f64>() + ELSEWHERE * elsewhere as f64
    };
    let v = weight(Ruling::Validated, rule.validated_elsewhere);
    let x = weight(Ruling::Violated, rule.violated_elsewhere);
    let confidence = 2.0f64.mul_add(rule.stated, v) / 3.0f64.mul_add(x, 2.0 + v);
    let is_doubtful = is_doubtful(&tally, rule);
    let state = match () {
        () if tally.retired => State::Retired,
        () if tally.promoted == Some(true) => State::Golden,
        () if is_doubtful => State::Doubtful,
        () if days(last_heard(rule), rule.newest) > DORMANT_DAYS => State::Dormant,
        () => State::Active,
    };
    let is_eligible = matches!(state, State::Active | State::Dormant) && is_eligible(&tally);
    Standing { confidence: confidence.clamp(0.0, 1.0), state, is_doubtful, is_eligible, tally }
}

/// What a verdict of that time weighs.
fn weight_at(at: Timestamp, newest: Timestamp) -> f64 {
    (-days(at, newest) / HALF_LIFE_DAYS).exp2()
}

/// How many days `at` is before `newest`; 0 if it is not.
fn days(at: Timestamp, newest: Timestamp) -> f64 {
    let seconds = newest.as_second().saturating_sub(at.as_second()).max(0);
    seconds as f64 / 86_400.0
}

fn last_heard(rule: &Rule<'_>) -> Timestamp {
    rule.given.iter().map(|it| it.at).fold(rule.created_at, Timestamp::max)
}

fn is_doubtful(tally: &Tally, rule: &Rule<'_>) -> bool {
    let violated = ELSEWHERE.mul_add(rule.violated_elsewhere as f64, tally.violated as f64);
    let all = violated + ELSEWHERE.mul_add(rule.validated_elsewhere as f64, tally.validated as f64);
    all >= DOUBT_COUNT_MIN && violated > DOUBT_SHARE * all
}

fn is_eligible(tally: &Tally) -> bool {
    let (validated, days, projects) = ELIGIBLE;
    tally.validated >= validated
        && tally.days >= days
        && (tally.projects >= projects || tally.by_person)
        && tally.violated * 10 <= tally.validated + tally.violated
}

#[cfg(test)]
mod tests {
    use super::super::counting::tests::given;
    use super::*;
    use crate::model::Origin;

    const NOW: &str = "2026-11-29T12:00:00Z";

    fn rule<'a>(stated: f64, given: &'a [Given], newest: &str) -> Rule<'a> {
        let created_at = NOW.parse().expect("a time");
        let newest = newest.parse().expect("a time");
        Rule { stated, created_at, given, validated_elsewhere: 0, violated_elsewhere: 0, newest }
    }

    fn on_days(ruling: Ruling, count: u8) -> Vec<Given> {
        let at = |day: u8| format!("2026-11-{:02}T12:00:00Z", 29 - day);
        (0..count).map(|day| given(u128::from(day) + 1, &at(day), ruling)).collect()
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn confidence_follows_the_formula_and_fades_with_age() {
        assert!(near(standing(&rule(0.6, &[], NOW)).confidence, 0.6), "as recorded");
        let one = [given(1, NOW, Ruling::Validated)];
        assert!(near(standing(&rule(0.5, &one, NOW)).confidence, 2.0 / 3.0));
        let one = [given(1, NOW, Ruling::Violated)];
        assert!(near(standing(&rule(0.5, &one, NOW)).confidence, 1.0 / 5.0));
        // 90 days after it, a verdict weighs half.
        let later = "2027-02-27T12:00:00Z";
        assert!(near(standing(&rule(0.5, &one, later)).confidence, 1.0 / 3.5));
        let elsewhere = Rule { validated_elsewhere: 4, ..rule(0.5, &[], NOW) };
        assert!(near(standing(&elsewhere).confidence, 2.0 / 3.0), "four of another program weigh as one");
    }

    #[test]
    fn each_state_has_its_condition() {
        let state = |given: &[Given], newest: &str| standing(&rule(0.5, given, newest)).state;
        assert_eq!(state(&[], NOW), State::Active);
        assert_eq!(state(&[], "2027-05-30T12:00:00Z"), State::Active, "26 weeks and no more");
        assert_eq!(state(&[], "2027-05-31T12:00:00Z"), State::Dormant);
        let mut verdicts = on_days(Ruling::Violated, 2);
        assert_eq!(state(&verdicts, NOW), State::Active, "two say nothing");
        verdicts.push(given(9, NOW, Ruling::Validated));
        assert_eq!(state(&verdicts, NOW), State::Doubtful);
        let promoted = Given { origin: Some(Origin::Person), ..given(10, NOW, Ruling::Promoted) };
        verdicts.push(promoted);
        let it = standing(&rule(0.5, &verdicts, NOW));
        assert_eq!((it.state, it.is_doubtful), (State::Golden, true), "a person decided, and may look again");
        verdicts.push(given(11, NOW, Ruling::Retired));
        assert_eq!(state(&verdicts, NOW), State::Retired);
        let many = Rule { validated_elsewhere: 1000, ..rule(1.0, &[], NOW) };
        let it = standing(&many);
        assert_eq!((it.state, it.is_eligible), (State::Active, false), "another program never makes a rule golden");
    }

    #[test]
    fn counts_make_a_rule_eligible_only_with_days_and_projects() {
        let eligible = |given: &[Given]| standing(&rule(0.5, given, NOW)).is_eligible;
        let mut verdicts = on_days(Ruling::Validated, 10);
        assert!(!eligible(&verdicts), "in no two projects, and by no person");
        verdicts[0].origin = Some(Origin::Person);
        assert!(eligible(&verdicts));
        verdicts[0].origin = Some(Origin::Agent);
        (verdicts[0].project, verdicts[1].project) = (Some("a".into()), Some("b".into()));
        assert!(eligible(&verdicts) && !eligible(&verdicts[1..]));
        verdicts.push(given(20, NOW, Ruling::Violated));
        assert!(eligible(&verdicts), "one of eleven");
        verdicts.push(given(21, "2026-11-20T12:00:00Z", Ruling::Violated));
        assert!(!eligible(&verdicts), "two of twelve");
        let one_day: Vec<Given> = (0..10)
            .map(|n| Given {
                session: Some(n.to_string()),
                origin: Some(Origin::Person),
                ..given(n + 1, NOW, Ruling::Validated)
            })
            .collect();
        assert!(!eligible(&one_day), "ten on one day are stuffed");
    }
}
