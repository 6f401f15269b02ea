//! Lists by state: which records are in a state that verdicts decide, and which experiments have ended.
//!
//! A rule's state is judged when reading, and no store has it. So the rules that are doubtful, dormant or retired are found
//! first, and the experiments that have ended; every other record is golden if its row says so, and else active. A golden rule
//! that is doubtful is in both states, as `review` has it.

use std::collections::HashMap;

use super::judged::for_each_standing;
use super::{Error, Recorded, Seen, View, newest, rule};
use crate::model::{ExperimentResult, Field, RecordId};
use crate::rules::{self, Standing};
use crate::search;

/// A state that records are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A rule's. `active` is also every record's that is no rule, unless it is an experiment that has ended.
    Rule(rules::State),
    /// That of an experiment that has ended: its result.
    Ended(ExperimentResult),
}

impl State {
    /// The names of all of them.
    pub fn names() -> Vec<&'static str> {
        let ended = ExperimentResult::ALL.map(ExperimentResult::name);
        rules::State::ALL.map(rules::State::name).into_iter().chain(ended).collect()
    }

    /// The state that is called `name`, in any case.
    pub fn named(name: &str) -> Option<State> {
        let is_named = |known: &str| known.eq_ignore_ascii_case(name.trim());
        let rule = rules::State::ALL.into_iter().find(|state| is_named(state.name())).map(State::Rule);
        let ended = ExperimentResult::ALL.into_iter().find(|result| is_named(result.name())).map(State::Ended);
        rule.or(ended)
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            State::Rule(state) => state.name(),
            State::Ended(result) => result.name(),
        }
    }
}

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
        for id in view.pending.ids() {
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

/// How `recorded` ended, if it is an experiment that has.
pub(super) fn result_of(recorded: &Recorded) -> Option<ExperimentResult> {
    recorded.field(Field::Result)?.parse().ok()
}
