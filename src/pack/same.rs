//! Rules that are the same one make one line. Pure.
//!
//! Rules are the same by their text made equal, in one domain (`rules::alike`). A golden one stands for all, then one that a person
//! wrote, then the first. What became of one of them became of all: of one project, or of the project of the one that is told.

use std::collections::HashMap;

use crate::model::{Origin, Record, RecordId};
use crate::query::Brief;
use crate::rules::alike;

/// Rules that are the same one.
pub(super) struct Same<'b> {
    /// The one that stands for all.
    pub(super) told: &'b Brief,
    /// The others that may be told.
    pub(super) others: Vec<&'b Brief>,
    /// All that were read, by their text.
    alike: Vec<&'b Brief>,
}

impl Same<'_> {
    /// The ids of those whose verdicts count: all that are of one of `projects`.
    pub(super) fn ids(&self, projects: [Option<&str>; 2]) -> Vec<RecordId> {
        let counts = |it: &&&Brief| projects.contains(&it.provenance.project.as_deref());
        self.alike.iter().filter(counts).map(|it| it.id).collect()
    }
}

/// Those of `read` that may be told, the same ones together, in the order of the first. `may` says of each whether it may be
/// told, and `is_promoted` whether it is golden.
pub(super) fn together<'b>(
    read: impl Iterator<Item = &'b Brief>,
    mut may: impl FnMut(&'b Brief) -> bool,
    is_promoted: impl Fn(&Brief) -> bool,
) -> Vec<Same<'b>> {
    let mut by_form: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(Vec<&'b Brief>, Vec<&'b Brief>)> = Vec::new();
    for brief in read {
        let at = *by_form.entry(form(brief)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Default::default());
        }
        groups[at].0.push(brief);
        if may(brief) {
            groups[at].1.push(brief);
        }
    }
    let rank = |it: &&Brief| (!is_promoted(it), it.provenance.origin != Some(Origin::Person), it.id);
    let one = |(alike, mut may): (Vec<&'b Brief>, Vec<&'b Brief>)| {
        may.sort_by_key(rank);
        let mut may = may.into_iter();
        Some(Same { told: may.next()?, others: may.collect(), alike })
    };
    groups.into_iter().filter_map(one).collect()
}

/// What is equal for rules that are the same one. What is no rule is like nothing else.
fn form(brief: &Brief) -> String {
    match &brief.record {
        Record::Heuristic(it) => alike(&it.domain, &it.rule),
        _ => brief.id.to_string(),
    }
}
