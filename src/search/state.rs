//! The states that records are listed and searched by.

use std::collections::HashSet;
use std::fmt;

use super::filter::UnknownValue;
use crate::model::{ExperimentResult, RecordId};
use crate::rules;

/// A state that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AskedState {
    /// A rule's. `active` is also every record's that is no rule, unless it is an experiment that has ended.
    Rule(rules::State),
    /// That of an experiment that has ended: its result.
    Ended(ExperimentResult),
}

impl AskedState {
    /// The names of all of them.
    pub fn names() -> Vec<&'static str> {
        let ended = ExperimentResult::ALL.map(ExperimentResult::name);
        rules::State::ALL.map(rules::State::name).into_iter().chain(ended).collect()
    }

    /// The state that is called `name`, in any case.
    ///
    /// # Errors
    /// [`UnknownValue`].
    pub fn named(name: &str) -> Result<AskedState, UnknownValue> {
        let is_named = |known: &str| known.eq_ignore_ascii_case(name.trim());
        let rule = rules::State::ALL.into_iter().find(|state| is_named(state.name())).map(AskedState::Rule);
        let ended = || ExperimentResult::ALL.into_iter().find(|result| is_named(result.name())).map(AskedState::Ended);
        rule.or_else(ended).ok_or_else(|| UnknownValue::new("state", name, AskedState::names()))
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            AskedState::Rule(state) => state.name(),
            AskedState::Ended(result) => result.name(),
        }
    }
}

/// Which records are looked for at all, beside what filters say.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    /// Whether a record is; with it, whether its row says that it is golden.
    pub accepts: &'a dyn Fn(RecordId, bool) -> bool,
    /// All of them, if they are known: then these are the candidates, whatever words they have.
    pub ids: Option<&'a HashSet<RecordId>>,
}

impl fmt::Debug for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen").field("ids", &self.ids).finish_non_exhaustive()
    }
}
