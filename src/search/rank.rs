//! The order of hits.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::age::Age;
use super::score::{Places, Score};
use crate::model::RecordId;

/// A record that was scored.
pub(super) struct Candidate {
    pub id: RecordId,
    pub place: (usize, i64),
    pub words: f64,
    pub age: Age,
    pub score: Score,
}

/// The hits so far. A record that was found twice is there once.
#[derive(Default)]
pub(super) struct Ranked {
    pub hits: HashMap<RecordId, Candidate>,
    /// Used again for each.
    pub places: Places,
}

impl Ranked {
    /// The hits, the best first: those with most of the phrases, of these (if identifiers are all that was asked for) those
    /// with most of them, then by score.
    pub fn in_order(self, identifiers_first: bool) -> Vec<Candidate> {
        let mut hits: Vec<_> = self.hits.into_values().collect();
        let identifiers = |it: &Candidate| if identifiers_first { it.score.identifiers } else { 0 };
        let tier = |it: &Candidate| Reverse((it.score.phrases, identifiers(it)));
        hits.sort_by(|a, b| {
            let by_score = b.score.sum().total_cmp(&a.score.sum());
            let by_age = || b.age.cmp(&a.age);
            tier(a).cmp(&tier(b)).then(by_score).then_with(by_age)
        });
        hits
    }
}
