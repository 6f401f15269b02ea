//! The same rule again: it becomes a verdict, not a second rule.
//!
//! 1. Which rules are the same one, `rules::equal` says; which record is the first is read from the index.
//! 2. The verdict has a key made of the rule, this journal and the day (UTC): one file a day and place, however often the rule
//!    comes. What comes on the same day is the same record, and is answered as a duplicate.
//! 3. What comes on the same day is counted without a sync (`repeats`), and the worker amends the verdict when the day is over.
//!    It is never a validation.
//! 4. It joins a rule of its own project alone, and what a person says joins only what a person said: who a rule is by, and
//!    where, decides to whom it is told.
//! 5. The index is asked without waiting. If it does not answer, or does not have the first record yet, the rule is recorded: readers
//!    take rules that are the same for one.

use std::time::Duration;

use jiff::Timestamp;

use crate::journal;
use crate::model::{Origin, Record, RecordId, Request, Ruling, Verdict, limits};
use crate::repeats;
use crate::target::index::{Index, Others};

use super::Recorder;

impl Recorder<'_> {
    /// The first record of the rule that `request` asks to record again; `None` for anything else.
    pub(super) fn same_rule(&self, request: &Request, index: &mut Option<Index>) -> Option<RecordId> {
        let Record::Heuristic(it) = &request.record else { return None };
        if !self.joins {
            return None;
        }
        let keyed = request.key.as_deref().map(|key| RecordId::of_key(self.home.id(), key));
        let same = |index: &Index| {
            // What is asked for may be that very record: a repeat of its key changes nothing.
            let is_known = keyed.is_some_and(|id| index.find(id).ok().flatten().is_some());
            if is_known {
                return None;
            }
            let is_by_person = request.provenance.origin == Some(Origin::Person);
            index.same_rule(&it.domain, &it.rule, request.provenance.project.as_deref(), is_by_person).ok()?
        };
        match self.index(index) {
            Some(index) => same(index),
            // The policy leaves the index alone; a rule is rare, and worth a look.
            None => {
                let path = self.home.index_path();
                let index = Index::open_to_read(&path, Duration::ZERO, Others::MayWrite).ok()?;
                same(&index)
            }
        }
    }

    /// The verdict that the rule `first` came again, as `request` has it.
    pub(super) fn again(&self, first: RecordId, request: Request, at: Timestamp) -> Request {
        let place = journal::id(self.home.private()).ok().flatten();
        let place = place.map(|id| id.to_string()).unwrap_or_default();
        let asked = request.key;
        let key = format!("again {first} {place} {}", at.strftime("%Y-%m-%d"));
        let because = match request.record {
            Record::Heuristic(it) if it.explanation.trim().is_empty() => it.rule,
            Record::Heuristic(it) => format!("{}\n\n{}", it.rule, it.explanation),
            _ => String::new(),
        };
        // A rule and an explanation can be a little longer than one text may be.
        let end = because.floor_char_boundary(limits::BODY_BYTES_MAX);
        let because = because[..end].to_owned();
        let verdict = RecordId::of_key(self.home.id(), &key);
        repeats::note(self.home.private(), verdict, at, asked.as_deref());
        let record = Record::Verdict(Verdict { verdict: Ruling::Again, of: first, because });
        Request { record, key: Some(key), provenance: request.provenance }
    }
}
