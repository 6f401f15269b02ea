//! The same again: it becomes a verdict, not a second record.
//!
//! 1. Of a rule, which rules are the same one, `rules::equal` says, and which record is the first is read from the index. Of a failure, a
//!    hook has looked both up in the file of known failures ([`Redacted::again_of`]): no index is opened for it.
//! 2. The verdict has a key made of the first record, this journal and the day (UTC): one file a day and place, however often it comes.
//!    What comes on the same day is the same record, and is answered as a duplicate.
//! 3. What comes on the same day is counted without a sync (`repeats`), and the worker amends the verdict when the day is over. A hook
//!    that knows that the day has its verdict, or that the session has the failure already, only counts
//!    ([`Recorder::count_again`]). It is never a validation.
//! 4. A rule joins one of its own project alone, and what a person says joins only what a person said: who a rule is by, and
//!    where, decides to whom it is told. A failure joins one in the same place.
//! 5. Of several in one call that say the same, the first is the rule.
//! 6. The index is asked without waiting. If it does not answer, or does not have the first record yet, the rule is recorded: readers
//!    take rules that are the same for one. So are failures that are the same.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::home::Home;
use crate::journal;
use crate::model::{Intent, Origin, Record, RecordId, Request, Ruling, Verdict, limits};
use crate::repeats::{self, Said};
use crate::rules;
use crate::target::index::{Index, Others};

use super::intent::{intent_of, now};
use super::{Error, Recorder, Redacted};

/// The new rules of one call. They have no row yet.
#[derive(Default)]
pub(super) struct NewRules {
    /// By their form and project, in their order.
    by_form: HashMap<(String, Option<String>), Vec<NewRule>>,
}

struct NewRule {
    id: RecordId,
    is_by_person: bool,
}

impl NewRules {
    /// Adds `intent`, if it is a rule.
    pub(super) fn add(&mut self, intent: &Intent) {
        if let Record::Heuristic(it) = &intent.record {
            let form = (rules::alike(&it.domain, &it.rule), intent.provenance.project.clone());
            let is_by_person = intent.provenance.origin == Some(Origin::Person);
            self.by_form.entry(form).or_default().push(NewRule { id: intent.id, is_by_person });
        }
    }

    /// The first that says the same as `request`.
    fn same(&self, request: &Request) -> Option<RecordId> {
        let Record::Heuristic(it) = &request.record else { return None };
        let all = self.by_form.get(&(rules::alike(&it.domain, &it.rule), request.provenance.project.clone()))?;
        let is_by_person = request.provenance.origin == Some(Origin::Person);
        all.iter().find(|it| !is_by_person || it.is_by_person).map(|it| it.id)
    }
}

impl Recorder<'_> {
    /// The first record of the rule that `request` asks to record again; `None` for anything else.
    /// One of the same call, among `rules`, has no row yet.
    pub(super) fn same_rule(&self, request: &Request, index: &mut Option<Index>, rules: &NewRules) -> Option<RecordId> {
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
        let known = match self.index(index) {
            Some(index) => same(index),
            // The policy leaves the index alone; a rule is rare, and worth a look.
            None => {
                let path = self.home.index_path();
                Index::open_to_read(&path, Duration::ZERO, Others::MayWrite).ok().and_then(|index| same(&index))
            }
        };
        known.or_else(|| rules.same(request).filter(|first| Some(*first) != keyed))
    }

    /// The verdict that the record `first` came again, as `request` has it.
    pub(super) fn again(&self, first: RecordId, request: Request, at: Timestamp) -> Request {
        let asked = request.key.clone();
        let (verdict, said) = said(self.home, first, request, at);
        let of_failure = Some(&said.1).filter(|_| said.0);
        repeats::note(self.home.private(), verdict, at, asked.as_deref(), of_failure);
        request_of(said.1)
    }

    /// Counts that the failure `first` came again, as `failure` has it: nothing is recorded, and nothing synced. The worker puts the
    /// count into the day's verdict, and makes one if there is none.
    pub fn count_again(&self, first: RecordId, failure: Redacted) {
        let request = self.policy.complete(failure).into_request();
        let (at, asked) = (now(), request.key.clone());
        let (verdict, (_, said)) = said(self.home, first, request, at);
        repeats::note(self.home.private(), verdict, at, asked.as_deref(), Some(&said));
    }
}

/// The id of today's verdict that the record `first` came again in `home`; there need not be one.
pub fn verdict_of_today(home: &Home, first: RecordId) -> RecordId {
    RecordId::of_key(home.id(), &key_of(home, first, now()))
}

/// The verdict that a failure came again, as `said` of a day that has none yet, as an intent; `because` is its reason. `None` if `said`
/// is not about the verdict `id`, or is invalid.
///
/// # Errors
/// [`Error::Fs`].
pub(crate) fn verdict_said(home: &Home, id: RecordId, said: Said, because: String) -> Result<Option<Intent>, Error> {
    let at = said.at;
    let request = request_of(Said { because, ..said });
    let is_it = request.key.as_deref().is_some_and(|key| RecordId::of_key(home.id(), key) == id);
    if !is_it || request.check().is_err() {
        return Ok(None);
    }
    intent_of(home, Some(id), at, request).map(Some)
}

fn key_of(home: &Home, first: RecordId, at: Timestamp) -> String {
    let place = journal::id(home.private()).ok().flatten();
    let place = place.map(|id| id.to_string()).unwrap_or_default();
    format!("again {first} {place} {}", at.strftime("%Y-%m-%d"))
}

/// The day's verdict that `request`, the same as the record `first`, came again, and what it says; and whether it is a failure.
fn said(home: &Home, first: RecordId, request: Request, at: Timestamp) -> (RecordId, (bool, Said)) {
    let key = key_of(home, first, at);
    let is_failure = matches!(request.record, Record::Failure(_));
    let (headline, rest) = match request.record {
        Record::Heuristic(it) => (it.rule, it.explanation),
        Record::Failure(it) => (it.title, it.summary),
        _ => Default::default(),
    };
    let because = if rest.trim().is_empty() { headline } else { format!("{headline}\n\n{rest}") };
    // Both together can be a little longer than one text may be.
    let end = because.floor_char_boundary(limits::BODY_BYTES_MAX);
    let because = because[..end].to_owned();
    let verdict = RecordId::of_key(home.id(), &key);
    (verdict, (is_failure, Said { key, of: first, at, because, provenance: request.provenance }))
}

fn request_of(said: Said) -> Request {
    let Said { key, of, because, provenance, .. } = said;
    Request { record: Record::Verdict(Verdict { verdict: Ruling::Again, of, because }), key: Some(key), provenance }
}
