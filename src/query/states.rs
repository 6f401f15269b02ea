//! Lists and searches by state: which records are in a state that verdicts decide, and which experiments have ended.
//!
//! A rule's state is judged when reading, and no store has it. So the rules that are doubtful, dormant or retired are found
//! first, and the experiments that have ended; every other record is golden if its row says so, and else active. A golden rule
//! that is doubtful is in both states, as `review` has it.

use std::collections::{HashMap, HashSet};

use super::judged::for_each_standing;
use super::search::Ask;
use super::{Error, Recorded, Seen, View, newest, rule};
use crate::model::{ExperimentResult, Field, Kind, RecordId};
use crate::rules::{self, Standing};
use crate::search::{self, AskedState as State};

/// The states that are asked for, and which records are in another state than their row says.
#[derive(Clone, Debug, Default)]
pub struct States {
    wanted: Vec<State>,
    rules: HashMap<RecordId, Judged>,
    has_index: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged {
    state: State,
    is_doubtful: bool,
}

impl States {
    /// Judges the rules of `view`, for a list of records in one of the states `wanted`.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn of(view: &View<'_>, wanted: &[State]) -> Result<States, Error> {
        let mut states = States { wanted: wanted.to_vec(), rules: HashMap::new(), has_index: view.index.is_some() };
        match (wanted, &view.index) {
            ([], _) => {}
            // Few rules are golden.
            ([State::Rule(rules::State::Golden)], Some(index)) => {
                let newest = newest(view)?.unwrap_or_default();
                let pending = view.pending.ids();
                for id in index.golden()?.into_iter().chain(pending) {
                    if let Some(ruled) = rule(view, id)? {
                        states.put(id, &ruled.standing(newest));
                    }
                }
            }
            (wanted, _) if wanted.iter().all(|state| matches!(state, State::Ended(_))) => states.put_ended(view)?,
            _ => {
                for_each_standing(view, |id, standing| states.put(id, standing))?;
                states.put_ended(view)?;
            }
        }
        Ok(states)
    }

    /// Adds the experiments that have ended.
    fn put_ended(&mut self, view: &View<'_>) -> Result<(), Error> {
        let ended = |result| Judged { state: State::Ended(result), is_doubtful: false };
        if let Some(index) = &view.index {
            self.rules.extend(index.ended()?.into_iter().map(|(id, result)| (id, ended(result))));
        }
        // Of an operation without its record, the kind is not known here.
        let may_end = |id: &RecordId| view.pending.kind_of(*id).is_none_or(|kind| kind == Kind::Experiment);
        for id in view.pending.ids().filter(may_end) {
            if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
                match result_of(&recorded) {
                    Some(result) => drop(self.rules.insert(id, ended(result))),
                    // It is under way again.
                    None if matches!(self.judged(id), Some(State::Ended(_))) => drop(self.rules.remove(&id)),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, id: RecordId, standing: &Standing) {
        let Standing { state, is_doubtful, .. } = *standing;
        // A rule of which something is pending comes twice.
        match is_doubtful || !matches!(state, rules::State::Active | rules::State::Golden) {
            true => drop(self.rules.insert(id, Judged { state: State::Rule(state), is_doubtful })),
            false => drop(self.rules.remove(&id)),
        }
    }

    /// What could not be judged, for people.
    pub fn note(&self) -> Option<String> {
        let note = "without the index, hardly a rule is known to be doubtful, dormant or retired, and hardly an experiment to have ended";
        (!self.has_index).then(|| note.to_owned())
    }

    /// The state of the record `id`, if it is in another one than its row says.
    pub fn judged(&self, id: RecordId) -> Option<State> {
        self.rules.get(&id).map(|it| it.state)
    }

    /// The records that are in another state than `active` or `golden`, as their row would have it.
    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.rules.keys().copied()
    }

    /// The records in one of the states, if they can be told one by one; `None` if `active` is asked for, which nearly all are.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub(super) fn all_ids(&self, view: &View<'_>) -> Result<Option<Vec<RecordId>>, Error> {
        if self.wanted.contains(&State::Rule(rules::State::Active)) {
            return Ok(None);
        }
        let mut ids: Vec<RecordId> = self.ids().filter(|id| self.accepts(*id, false)).collect();
        if self.wanted.contains(&State::Rule(rules::State::Golden)) {
            let golden = match (&view.index, view.search()) {
                (Some(index), _) => index.golden()?,
                (None, Some(search)) => search::golden(search.connection())?,
                (None, None) => Vec::new(),
            };
            ids.extend(golden.into_iter().filter(|id| self.judged(*id).is_none()));
        }
        Ok(Some(ids))
    }

    /// Which of the states that a row says are asked for.
    pub(super) fn of_rows(&self) -> Vec<search::State> {
        let of_row = |state: &State| match state {
            State::Rule(rules::State::Active) => Some(search::State::Active),
            State::Rule(rules::State::Golden) => Some(search::State::Golden),
            State::Rule(rules::State::Doubtful | rules::State::Dormant | rules::State::Retired) | State::Ended(_) => {
                None
            }
        };
        self.wanted.iter().filter_map(of_row).collect()
    }

    /// Whether the record `id` is in a state that is asked for; `is_golden` is what its row says.
    pub fn accepts(&self, id: RecordId, is_golden: bool) -> bool {
        match self.rules.get(&id) {
            None => {
                let state = if is_golden { rules::State::Golden } else { rules::State::Active };
                self.wanted.contains(&State::Rule(state))
            }
            Some(it) => {
                let is_doubtful = it.is_doubtful && it.state != State::Rule(rules::State::Retired);
                let doubtful = State::Rule(rules::State::Doubtful);
                self.wanted.contains(&it.state) || is_doubtful && self.wanted.contains(&doubtful)
            }
        }
    }
}

/// The states that a search asks for, and leaves out: each of them has to accept a record, or must not.
#[derive(Debug, Default)]
pub(super) struct InStates {
    all: Vec<(States, bool)>,
    /// The records that are accepted, if they can be told one by one.
    ids: Option<HashSet<RecordId>>,
}

impl InStates {
    /// Judges what `ask` asks for.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub fn of(view: &View<'_>, ask: &Ask<'_>) -> Result<InStates, Error> {
        let asked = [(ask.states, true)].into_iter().filter(|it| !it.0.is_empty()).chain(ask.query.states());
        let mut in_states = InStates::default();
        for (wanted, takes) in asked {
            let states = States::of(view, wanted)?;
            if let Some(ids) = if takes { states.all_ids(view)? } else { None } {
                let ids = ids.into_iter().filter(|id| in_states.ids.as_ref().is_none_or(|known| known.contains(id)));
                in_states.ids = Some(ids.collect());
            }
            in_states.all.push((states, takes));
        }
        Ok(in_states)
    }

    /// Whether no state is asked for or left out.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the record `id` is accepted; `is_golden` is what its row says.
    pub fn accepts(&self, id: RecordId, is_golden: bool) -> bool {
        self.all.iter().all(|(states, takes)| states.accepts(id, is_golden) == *takes)
    }

    /// The records that are accepted, if they can be told one by one.
    pub fn ids(&self) -> Option<&HashSet<RecordId>> {
        self.ids.as_ref()
    }

    /// What could not be judged, for people.
    pub fn note(&self) -> Option<String> {
        self.all.iter().find_map(|(states, _)| states.note())
    }
}

/// How `recorded` ended, if it is an experiment that has.
pub(super) fn result_of(recorded: &Recorded) -> Option<ExperimentResult> {
    recorded.field(Field::Result)?.parse().ok()
}
