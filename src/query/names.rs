//! The names that records have: domains, tags, projects, agents, sessions.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::search::{self, Name};
use crate::target::index::Facts;

use super::list::facts_of;
use super::{Error, Seen, View};

/// How many rows are looked at.
const ROWS_MAX: usize = 50_000;
/// How many rows, and how many records of the journal, are read that search.db does not have yet: the newest.
const BESIDE_MAX: usize = 1_000;

/// The names of the sort `name` that records have, the most used first, at most `max`.
///
/// # Errors
/// [`Error::Index`].
pub fn known(view: &View<'_>, name: Name, max: usize) -> Result<Vec<String>, Error> {
    view.even_without_search(|| known_in(view, name, max))
}

fn known_in(view: &View<'_>, name: Name, max: usize) -> Result<Vec<String>, Error> {
    if let Some(search) = view.search() {
        let mut names = search::names(search.connection(), name, max)?;
        let beside = view.rows_beside(super::search::ROWS_MAX)?;
        let newest = beside.into_iter().rev().take(BESIDE_MAX);
        for id in newest.chain(view.pending.newest_first().into_iter().take(BESIDE_MAX)) {
            if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
                let facts = facts_of(&recorded);
                let is_new = |text: &&str| !names.iter().any(|is| is == text);
                let new: Vec<String> = names_of(&facts, name).into_iter().filter(is_new).map(str::to_owned).collect();
                names.extend(new);
            }
        }
        names.truncate(max);
        return Ok(names);
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut add = |facts: &Facts| {
        for text in names_of(facts, name) {
            *counts.entry(text.to_owned()).or_default() += 1;
        }
    };
    let mut left = ROWS_MAX;
    if let Some(index) = &view.index {
        index.for_each_facts(|facts| {
            left -= 1;
            if !view.pending.has(facts.id) {
                add(&facts);
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    for id in view.pending.ids() {
        if let Seen::Visible(recorded) = view.get(id, view.pending.path_of(id))? {
            add(&facts_of(&recorded));
        }
    }
    let mut names: Vec<(u64, String)> = counts.into_iter().map(|(name, count)| (count, name)).collect();
    names.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
    Ok(names.into_iter().map(|(_, name)| name).take(max).collect())
}

fn names_of(facts: &Facts, name: Name) -> Vec<&str> {
    let text = match name {
        Name::Tag => return facts.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect(),
        Name::Domain => &facts.domain,
        Name::Project => &facts.project,
        Name::Session => &facts.session,
        Name::Agent => &facts.agent,
    };
    text.as_deref().filter(|text| !text.trim().is_empty()).into_iter().collect()
}
