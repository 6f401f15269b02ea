//! Lists by state: which records are in a state that verdicts decide.
//!
//! A state is judged when reading, and no store has it. So the rules that are doubtful, dormant or retired are found first; every
//! other record is golden if its row says so, and else active. A golden rule that is doubtful is in both states, as `review`
//! has it.

use std::collections::HashMap;

use super::judged::for_each_standing;
use super::{Error, View, newest, rule};
use crate::model::RecordId;
use crate::rules::{Standing, State};
use crate::search;

/// The states that are asked for, and which rules are in another state than their row says.
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
            ([State::Golden], Some(index)) => {
                let newest = newest(view)?.unwrap_or_default();
                let pending = view.pending.ids();
                for id in index.golden()?.into_iter().chain(pending) {
                    if let Some(ruled) = rule(view, id)? {
                        states.put(id, &ruled.standing(newest));
                    }
                }
            }
            _ => for_each_standing(view, |id, standing| states.put(id, standing))?,
        }
        Ok(states)
    }

    fn put(&mut self, id: RecordId, standing: &Standing) {
        let Standing { state, is_doubtful, .. } = *standing;
        // A rule of which something is pending comes twice.
        match is_doubtful || !matches!(state, State::Active | State::Golden) {
            true => drop(self.rules.insert(id, Judged { state, is_doubtful })),
            false => drop(self.rules.remove(&id)),
        }
    }

    /// What could not be judged, for people.
    pub fn note(&self) -> Option<String> {
        let note = "without the index, hardly a rule is known to be doubtful, dormant or retired";
        (!self.has_index).then(|| note.to_owned())
    }

    /// The state of the record `id`, if it is in another one than its row says.
    pub fn judged(&self, id: RecordId) -> Option<State> {
        self.rules.get(&id).map(|it| it.state)
    }

    /// The rules that are in another state than their row says.
    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.rules.keys().copied()
    }

    /// Which of the states that a row says are asked for.
    pub(super) fn of_rows(&self) -> Vec<search::State> {
        let of_row = |state: &State| match state {
            State::Active => Some(search::State::Active),
            State::Golden => Some(search::State::Golden),
            State::Doubtful | State::Dormant | State::Retired => None,
        };
        self.wanted.iter().filter_map(of_row).collect()
    }

    /// Whether the record `id` is in a state that is asked for; `is_golden` is what its row says.
    pub fn accepts(&self, id: RecordId, is_golden: bool) -> bool {
        match self.rules.get(&id) {
            None => self.wanted.contains(if is_golden { &State::Golden } else { &State::Active }),
            Some(it) => {
                let is_doubtful = it.is_doubtful && it.state != State::Retired;
                self.wanted.contains(&it.state) || is_doubtful && self.wanted.contains(&State::Doubtful)
            }
        }
    }
}
