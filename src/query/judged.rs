//! What became of rules: their verdicts, how sure they are by now, and their state.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::model::{Field, Kind, Record, RecordId};
use crate::rules::{Given, Rule, Standing, Tally, standing, tally};
use crate::target::index::{Judged, RuleRow};

use super::{Error, Recorded, Seen, View};

/// The most rules that are the same one whose verdicts are read, beside those that the caller has.
const SAME_MAX: u32 = 32;

/// A rule and what became of it.
#[derive(Clone, Debug)]
pub struct Ruled {
    /// The rule.
    pub recorded: Recorded,
    /// Its verdicts, and what other programs count.
    pub judged: Judged,
}

impl Ruled {
    /// How sure it is by now, where `newest` is the time of the newest record of its scope.
    pub fn standing(&self, newest: Timestamp) -> Standing {
        let stated = self.recorded.field(Field::Confidence).and_then(|text| text.parse().ok());
        standing(&Rule {
            stated: stated.unwrap_or_default(),
            created_at: self.recorded.created_at,
            given: &self.judged.given,
            validated_elsewhere: self.judged.validated_elsewhere,
            violated_elsewhere: self.judged.violated_elsewhere,
            newest,
        })
    }
}

/// The rule `id` and what became of it; `None` if there is no such rule.
///
/// # Errors
/// [`Error::Index`].
pub fn rule(view: &View<'_>, id: RecordId) -> Result<Option<Ruled>, Error> {
    let recorded = view.get(id, view.pending.path_of(id))?.visible();
    let Some(recorded) = recorded.filter(|it| it.kind() == Kind::Heuristic) else { return Ok(None) };
    Ok(Some(Ruled { recorded, judged: judged(view, id)? }))
}

/// The verdicts on the record `id`, those included that have no row yet. Without an index, only these.
///
/// # Errors
/// [`Error::Index`].
pub fn judged(view: &View<'_>, id: RecordId) -> Result<Judged, Error> {
    let mut judged = view.index.as_ref().map_or_else(|| Ok(Judged::default()), |index| index.judged(id))?;
    Waiting::of(view)?.put(id, &mut judged);
    Ok(judged)
}

/// Those of the rules `ids` that are retired, for few of them.
///
/// # Errors
/// [`Error::Index`].
pub(super) fn retired_among(view: &View<'_>, ids: &[RecordId]) -> Result<HashSet<RecordId>, Error> {
    let mut retired = HashSet::new();
    if ids.is_empty() {
        return Ok(retired);
    }
    let waiting = Waiting::of(view)?;
    let once = view.index.as_ref().map_or_else(|| Ok(Vec::new()), |index| index.once_retired(ids))?;
    let pending = ids.iter().copied().filter(|id| waiting.given.contains_key(id));
    for id in once.into_iter().chain(pending) {
        let mut judged = view.index.as_ref().map_or_else(|| Ok(Judged::default()), |index| index.judged(id))?;
        waiting.put(id, &mut judged);
        if tally(&judged.given).retired {
            retired.insert(id);
        }
    }
    Ok(retired)
}

/// The verdicts on all of the rules `ids`, which are the same one, and on those of `projects` that are the same as `rule` in
/// `domain`: what became of one of them became of all. What was retracted has no part in it.
///
/// # Errors
/// [`Error::Index`].
pub fn judged_together(
    view: &View<'_>,
    ids: &[RecordId],
    (domain, rule): (&str, &str),
    projects: [Option<&str>; 2],
) -> Result<Judged, Error> {
    let others = view.index.as_ref().map(|index| index.same_rules(domain, rule, projects, SAME_MAX)).transpose()?;
    let mut all: BTreeSet<RecordId> = ids.iter().copied().collect();
    for id in others.unwrap_or_default() {
        // What is pending is in `ids`, as it is after the journal's operations.
        if !view.pending.changes(id) {
            all.insert(id);
        }
    }
    let mut together = Judged::default();
    for id in all {
        let Judged { mut given, validated_elsewhere, violated_elsewhere, .. } = judged(view, id)?;
        together.given.append(&mut given);
        together.validated_elsewhere += validated_elsewhere;
        together.violated_elsewhere += violated_elsewhere;
    }
    Ok(together)
}

/// What the verdicts on the rule `id` come to here. Another program's mark in its row says nothing about that.
///
/// # Errors
/// [`Error::Index`].
pub fn tallied(view: &View<'_>, id: RecordId) -> Result<Tally, Error> {
    Ok(tally(&judged(view, id)?.given))
}

/// Whether a person promoted the rule `id` here.
///
/// # Errors
/// [`Error::Index`].
pub fn is_promoted(view: &View<'_>, id: RecordId) -> Result<bool, Error> {
    Ok(tallied(view, id)?.promoted == Some(true))
}

/// Every rule that has a row, with what became of it, oldest first. Rules that are hidden by a pending operation are left out,
/// and so are those that have no row yet.
///
/// # Errors
/// [`Error::Index`].
pub fn rules(view: &View<'_>) -> Result<Vec<RuleRow>, Error> {
    let mut rules = Vec::new();
    for_each_rule(view, &Waiting::of(view)?, |row| rules.push(row))?;
    let mut visible = Vec::with_capacity(rules.len());
    for rule in rules {
        if !view.pending.changes(rule.id) || view.get(rule.id, None)?.visible().is_some() {
            visible.push(rule);
        }
    }
    Ok(visible)
}

/// Calls `take` for every rule that has a row, with its verdicts, oldest first.
fn for_each_rule(view: &View<'_>, waiting: &Waiting, mut take: impl FnMut(RuleRow)) -> Result<(), Error> {
    let Some(index) = &view.index else { return Ok(()) };
    index.for_each_rule(None, |mut row| {
        waiting.put(row.id, &mut row.judged);
        take(row);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Calls `take` for every rule, also those that have no row yet, with how sure it is by now. One that is hidden by a pending
/// operation may be among them.
///
/// # Errors
/// [`Error::Index`].
pub(super) fn for_each_standing(view: &View<'_>, mut take: impl FnMut(RecordId, &Standing)) -> Result<(), Error> {
    let newest = newest(view)?.unwrap_or_default();
    let waiting = Waiting::of(view)?;
    for_each_rule(view, &waiting, |row| take(row.id, &row.standing(newest)))?;
    for id in view.pending.ids().filter(|id| view.pending.kind_of(*id) == Some(Kind::Heuristic)) {
        if let Some(recorded) = view.get(id, view.pending.path_of(id))?.visible() {
            let mut judged = view.index.as_ref().map_or_else(|| Ok(Judged::default()), |index| index.judged(id))?;
            waiting.put(id, &mut judged);
            take(id, &Ruled { recorded, judged }.standing(newest));
        }
    }
    Ok(())
}

/// When the newest record was recorded; `None` if there is none.
///
/// # Errors
/// [`Error::Index`].
pub fn newest(view: &View<'_>) -> Result<Option<Timestamp>, Error> {
    let mut newest = None;
    if let Some(index) = &view.index {
        index.for_each_newest(|_, at| {
            newest = Some(at);
            ControlFlow::Break(())
        })?;
    }
    let pending = view.pending.ids().filter_map(|id| view.pending.created_at(id)).max();
    Ok(newest.max(pending))
}

/// The verdicts of which something is pending.
#[derive(Default)]
struct Waiting {
    /// All of them: what the index says of these is out of date.
    changed: HashSet<RecordId>,
    /// Those that are there, by the record that they are about.
    given: HashMap<RecordId, Vec<Given>>,
}

impl Waiting {
    fn of(view: &View<'_>) -> Result<Waiting, Error> {
        let mut waiting = Waiting::default();
        for id in view.pending.ids() {
            // Of an operation without its record, the kind is not known here; most records are no verdicts.
            if view.pending.kind_of(id).is_some_and(|kind| kind != Kind::Verdict) {
                continue;
            }
            waiting.changed.insert(id);
            if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))?
                && let Record::Verdict(verdict) = recorded.record()
            {
                waiting.given.entry(verdict.of).or_default().push(given_of(&recorded));
            }
        }
        Ok(waiting)
    }

    /// Puts what is pending of the verdicts on `id` into `judged`.
    fn put(&self, id: RecordId, judged: &mut Judged) {
        if !self.changed.is_empty() {
            judged.given.retain(|it| !self.changed.contains(&it.id));
            judged.given.extend(self.given.get(&id).into_iter().flatten().cloned());
        }
        judged.given.sort_by_key(|it| (it.at, it.id));
    }
}

/// `recorded`, which is a verdict, as it is counted.
fn given_of(recorded: &Recorded) -> Given {
    let verdict = match recorded.record() {
        Record::Verdict(verdict) => verdict.clone(),
        _ => Default::default(),
    };
    let provenance = recorded.provenance();
    Given {
        id: recorded.id,
        at: recorded.created_at,
        ruling: verdict.verdict,
        origin: provenance.origin,
        session: provenance.session.clone(),
        agent: provenance.agent.clone(),
        project: provenance.project.clone(),
        because: verdict.because,
    }
}
