//! What became of rules: their verdicts, how sure they are by now, and their state.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::model::{Field, Kind, Record, RecordId};
use crate::rules::{Given, Rule, Standing, standing, tally};
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
    for (given, of) in pending(view)? {
        judged.given.retain(|it| it.id != given.id());
        if let Pending::Given(given) = given
            && of == Some(id)
        {
            judged.given.push(*given);
        }
    }
    judged.given.sort_by_key(|it| (it.at, it.id));
    Ok(judged)
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

/// Whether a person promoted the rule `id` here. Another program's mark in its row says nothing about that.
///
/// # Errors
/// [`Error::Index`].
pub fn is_promoted(view: &View<'_>, id: RecordId) -> Result<bool, Error> {
    Ok(tally(&judged(view, id)?.given).promoted == Some(true))
}

/// Every rule that has a row, with what became of it, oldest first. Rules that are hidden by a pending operation are left out,
/// and so are those that have no row yet.
///
/// # Errors
/// [`Error::Index`].
pub fn rules(view: &View<'_>) -> Result<Vec<RuleRow>, Error> {
    let Some(index) = &view.index else { return Ok(Vec::new()) };
    let mut rules = Vec::new();
    index.for_each_rule(None, |row| {
        rules.push(row);
        ControlFlow::Continue(())
    })?;
    let pending = pending(view)?;
    for rule in &mut rules {
        for (given, of) in &pending {
            rule.judged.given.retain(|it| it.id != given.id());
            if let Pending::Given(given) = given
                && *of == Some(rule.id)
            {
                rule.judged.given.push((**given).clone());
            }
        }
        rule.judged.given.sort_by_key(|it| (it.at, it.id));
    }
    let mut visible = Vec::with_capacity(rules.len());
    for rule in rules {
        if !view.pending.changes(rule.id) || view.get(rule.id, None)?.visible().is_some() {
            visible.push(rule);
        }
    }
    Ok(visible)
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

/// A verdict of which something is pending.
enum Pending {
    /// It is there.
    Given(Box<Given>),
    /// It was retracted or erased, or is not known.
    Gone(RecordId),
}

impl Pending {
    fn id(&self) -> RecordId {
        match self {
            Pending::Given(given) => given.id,
            Pending::Gone(id) => *id,
        }
    }
}

/// The verdicts of which something is pending, each with the record that it is about.
fn pending(view: &View<'_>) -> Result<Vec<(Pending, Option<RecordId>)>, Error> {
    let mut found = Vec::new();
    for id in view.pending.ids() {
        // Of an operation without its record, the kind is not known here; most records are no verdicts.
        if view.pending.kind_of(id).is_some_and(|kind| kind != Kind::Verdict) {
            continue;
        }
        match view.get(id, view.pending.path_of(id))? {
            Seen::Visible(recorded) => {
                if let Record::Verdict(verdict) = recorded.record() {
                    let of = verdict.of;
                    found.push((Pending::Given(Box::new(given_of(&recorded))), Some(of)));
                }
            }
            Seen::Hidden(_) | Seen::Unknown => found.push((Pending::Gone(id), None)),
        }
    }
    Ok(found)
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
