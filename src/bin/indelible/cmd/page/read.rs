//! What a page shows: counts of everything, and so many of the rules, failures and experiments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use indelible::model::{Kind, Origin, RecordId};
use indelible::query::{
    self, Recorded, Selection, Sort, States, View, Wanted, came_again, each_facts, list, newest, resolving, rules,
};
use indelible::rules::{Standing, State};
use indelible::search::Filter;
use indelible::target::index::{Facts, RuleRow};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How many of each are shown.
pub const RULES_SHOWN: usize = 500;
pub const FAILURES_SHOWN: usize = 300;
pub const EXPERIMENTS_SHOWN: usize = 200;
/// How many projects and agents have a line.
pub const GROUPS_SHOWN: usize = 30;
/// How many of the successes that followed a failure are shown.
const FOLLOWED_SHOWN: usize = 3;

/// How much was recorded on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDay {
    pub records: u64,
    pub failures: u64,
}

/// How much comes from a project or an agent.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub records: u64,
    pub failures: u64,
    pub rules: u64,
    pub newest: Timestamp,
}

impl Group {
    fn add(&mut self, facts: &Facts) {
        self.records += 1;
        self.failures += u64::from(facts.kind == Kind::Failure);
        self.rules += u64::from(facts.kind == Kind::Heuristic);
        self.newest = self.newest.max(facts.created_at);
    }
}

/// A rule, and how sure it is by now.
pub struct ShownRule {
    pub id: RecordId,
    pub created_at: Timestamp,
    pub rule: String,
    pub domain: String,
    pub explanation: String,
    pub project: Option<String>,
    pub origin: Option<Origin>,
    pub standing: Standing,
}

impl ShownRule {
    fn of(row: RuleRow, newest: Timestamp) -> ShownRule {
        let standing = row.standing(newest);
        let RuleRow { id, created_at, rule, domain, explanation, project, origin, .. } = row;
        ShownRule { id, created_at, rule, domain, explanation, project, origin, standing }
    }
}

/// A failure, how often it came again, and what followed.
pub struct ShownFailure {
    pub recorded: Recorded,
    pub times: u64,
    pub last: Timestamp,
    pub followed: Vec<Recorded>,
}

/// What a page shows.
pub struct Report {
    pub records: u64,
    pub by_kind: BTreeMap<Kind, u64>,
    pub between: Option<(Timestamp, Timestamp)>,
    pub days: BTreeMap<Date, OnDay>,
    /// The largest first, and how many there are.
    pub projects: (Vec<(String, Group)>, usize),
    pub agents: (Vec<(String, Group)>, usize),
    /// The surest first.
    pub rules: Vec<ShownRule>,
    /// The newest first.
    pub failures: Vec<ShownFailure>,
    /// The newest first.
    pub experiments: Vec<Recorded>,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

/// Reads what a page of `view` shows, as far as `wanted` accepts it; `None` without an index. Days are of `zone`.
pub fn report(view: &View<'_>, wanted: Wanted<'_>, zone: &TimeZone) -> Result<Option<Report>, query::Error> {
    let mut report = Report {
        records: 0,
        by_kind: BTreeMap::new(),
        between: None,
        days: BTreeMap::new(),
        projects: (Vec::new(), 0),
        agents: (Vec::new(), 0),
        rules: Vec::new(),
        failures: Vec::new(),
        experiments: Vec::new(),
        notes: view.notes().to_vec(),
    };
    let (mut projects, mut agents) = (HashMap::new(), HashMap::new());
    let mut accepted = HashSet::new();
    let has_index = each_facts(view, wanted, |facts| {
        report.add(facts, zone);
        group(&mut projects, facts.project.as_deref(), facts);
        group(&mut agents, facts.agent.as_deref(), facts);
        if facts.kind == Kind::Heuristic {
            accepted.insert(facts.id);
        }
    })?;
    if !has_index {
        return Ok(None);
    }
    report.projects = largest(projects);
    report.agents = largest(agents);
    report.read_rules(view, &accepted)?;
    report.read_failures(view, wanted)?;
    let (experiments, notes) = newest_of(view, wanted, Kind::Experiment, EXPERIMENTS_SHOWN)?;
    report.experiments = experiments;
    report.notes.extend(notes);
    report.notes.sort();
    report.notes.dedup();
    Ok(Some(report))
}

fn group(groups: &mut HashMap<String, Group>, name: Option<&str>, facts: &Facts) {
    let name = name.unwrap_or_default();
    match groups.get_mut(name) {
        Some(group) => group.add(facts),
        None => groups.entry(name.to_owned()).or_default().add(facts),
    }
}

/// The largest of `groups`, and how many there are.
fn largest(groups: HashMap<String, Group>) -> (Vec<(String, Group)>, usize) {
    let count = groups.len();
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(one, a), (other, b)| b.records.cmp(&a.records).then_with(|| one.cmp(other)));
    groups.truncate(GROUPS_SHOWN);
    (groups, count)
}

impl Report {
    fn add(&mut self, facts: &Facts, zone: &TimeZone) {
        let is_failure = u64::from(facts.kind == Kind::Failure);
        self.records += 1;
        *self.by_kind.entry(facts.kind).or_default() += 1;
        let (from, to) = self.between.unwrap_or((facts.created_at, facts.created_at));
        self.between = Some((from.min(facts.created_at), to.max(facts.created_at)));
        let day = self.days.entry(facts.created_at.to_zoned(zone.clone()).date()).or_default();
        day.records += 1;
        day.failures += is_failure;
    }

    /// Reads the surest of the rules `accepted`.
    fn read_rules(&mut self, view: &View<'_>, accepted: &HashSet<RecordId>) -> Result<(), query::Error> {
        let newest = newest(view)?.unwrap_or_default();
        let mut unread = accepted.clone();
        let mut shown: Vec<ShownRule> = Vec::new();
        for row in rules(view)? {
            if unread.remove(&row.id) {
                shown.push(ShownRule::of(row, newest));
            }
        }
        // Those that have no row yet.
        for id in unread {
            if let Some(ruled) = query::rule(view, id)? {
                let standing = ruled.standing(newest);
                let text = |field| ruled.recorded.field(field).unwrap_or_default().into_owned();
                shown.push(ShownRule {
                    id,
                    created_at: ruled.recorded.created_at,
                    rule: text(indelible::model::Field::Rule),
                    domain: text(indelible::model::Field::Domain),
                    explanation: text(indelible::model::Field::Explanation),
                    project: ruled.recorded.provenance().project.clone(),
                    origin: ruled.recorded.provenance().origin,
                    standing,
                });
            }
        }
        let rank = |state: State| match state {
            State::Golden => 0,
            State::Active => 1,
            State::Doubtful => 2,
            State::Dormant => 3,
            State::Retired => 4,
        };
        shown.sort_by(|one, other| {
            let key = |it: &ShownRule| (rank(it.standing.state), Reverse(it.created_at), it.id);
            let (a, b) = (key(one), key(other));
            a.0.cmp(&b.0)
                .then(other.standing.confidence.total_cmp(&one.standing.confidence))
                .then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
        });
        shown.truncate(RULES_SHOWN);
        self.rules = shown;
        Ok(())
    }

    /// Reads the newest failures, and what followed them.
    fn read_failures(&mut self, view: &View<'_>, wanted: Wanted<'_>) -> Result<(), query::Error> {
        let (failures, notes) = newest_of(view, wanted, Kind::Failure, FAILURES_SHOWN)?;
        self.notes.extend(notes);
        let ids: Vec<RecordId> = failures.iter().map(|it| it.id).collect();
        let again = came_again(view, &ids)?;
        for recorded in failures {
            let came = again.get(&recorded.id).map(Vec::as_slice).unwrap_or_default();
            let mut followed = resolving(view, recorded.id)?;
            followed.reverse();
            followed.truncate(FOLLOWED_SHOWN);
            self.failures.push(ShownFailure {
                times: 1 + came.iter().map(|it| it.times).sum::<u64>(),
                last: came.iter().map(|it| it.at).fold(recorded.created_at, Timestamp::max),
                followed,
                recorded,
            });
        }
        Ok(())
    }
}

/// The newest records of `kind` that `wanted` accepts, and what could not be looked at.
fn newest_of(
    view: &View<'_>,
    wanted: Wanted<'_>,
    kind: Kind,
    limit: usize,
) -> Result<(Vec<Recorded>, Vec<String>), query::Error> {
    if !wanted.filter.kinds.is_empty() && !wanted.filter.kinds.contains(&kind) {
        return Ok((Vec::new(), Vec::new()));
    }
    let filter = Filter { kinds: vec![kind], ..wanted.filter.clone() };
    let states: Option<&States> = wanted.states;
    let listing = list(view, Selection { filter: &filter, states, sort: Sort::Newest, limit, count_max: Some(0) })?;
    let notes = listing.notes.clone();
    Ok((listing.records(view)?, notes))
}
