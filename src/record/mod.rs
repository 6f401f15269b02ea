//! The front door: every record is kept by [`Recorder`], whether a command, a batch or a hook asks for it.
//!
//! `Recorder::keep` is the one place that knows the order. No other code appends a new record: pipeline and recovery only
//! append intents again that a store has.
//!
//! ```text
//! Request ─ redact ─▶ Redacted ─ validate ─▶ Intent ─ append, sync ─▶ promise ─ apply ─▶ Receipt
//! ```
//!
//! 1. Nothing is validated, named or written before it has passed the caller's [`Redaction`]: validation takes
//!    [`Redacted`], and only a redaction makes one.
//! 2. Everything that can refuse a record is checked before the journal is written.
//! 3. Once the intent is durable the outcome is a [`Receipt`], whatever happens next. If apply fails or panics, the worker
//!    applies the intent.
//! 4. A rule that the home has already, in the same domain, becomes a verdict that it came again (`again`), one a day at most. Where
//!    the index cannot be asked, it becomes a second record, and readers take both for one. So does a failure that a hook finds known.
//! 5. A key that is known names its record: nothing is recorded then, and the receipt says in which fields the request differs (`keyed`).
//! 6. A recorder waits for no lock of the journal and not for git. It waits for SQLite no longer than
//!    [`Policy::index_wait`]. While a worker runs, it does not open the index for a row alone ([`Rows`]).
//!
//! | killed | on disk | what becomes of the record |
//! | --- | --- | --- |
//! | before the append | perhaps an empty folder | it is not recorded; the caller saw no success |
//! | before the sync returned | a torn entry, or a whole one | torn: nothing; whole: replayed |
//! | after the sync | the intent, and perhaps file and row | the worker, or recovery, does the rest |

mod again;
mod apply;
mod intent;
mod keyed;
mod line;
mod policy;
mod receipt;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::fs;
use crate::home::{self, Home};
use crate::journal::{self, Appender, Synced};
use crate::model::position::Position;
use crate::model::{Invalid, Record, Request};
use crate::target::files::Applier;
use crate::target::index::Index;
use crate::target::spread::Planned;

use again::NewRules;
pub use again::verdict_of_today;
pub(crate) use again::verdict_said;
use intent::{Validated, mark_repeats};
pub use policy::{Keys, Policy, Redacted, Redaction, Rows, Sources, of_folder};
pub use receipt::Receipt;

/// Why a record was not kept. Nothing of it appears later, with two exceptions: the journal's error says that the entry
/// could not be voided, or a worker read the entry before it was voided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// A folder or a file cannot be used.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not take it.
    #[error(transparent)]
    Journal(Arc<journal::Error>),
}

/// Records into one home.
///
/// ```
/// use indelible::home::Home;
/// use indelible::model::{Learning, Record, Request};
/// use indelible::record::{Error, Policy, Recorder, Redaction};
/// use indelible::redact::Redactor;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("home");
/// # indelible::init::init(&path, Default::default(), "")?;
/// let home = Home::open(&path)?;
/// // Beside the built-in rules, a pattern of our own.
/// let redactor = Redactor::new([("ticket", "TICKET-[0-9]+")])?;
/// let mut recorder = Recorder::new(&home, Policy::new(Redaction::with(redactor)))?;
///
/// let learning = |title: &str| Learning { title: title.into(), domain: "ci".into(), ..Learning::default() };
/// let keyed = Request {
///     key: Some("run-7".into()),
///     ..Request::new(Record::Success(learning("green since TICKET-42")))
/// };
/// let unnamed = Request::new(Record::Failure(learning("")));
///
/// // Three requests, one sync.
/// let outcomes = recorder.record_all(vec![keyed.clone(), unnamed, keyed]);
/// let [Ok(first), Err(Error::Invalid(_)), Ok(repeat)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
/// assert!(first.path.as_ref().is_some_and(|it| it.contains("green-since-redacted-ticket")), "the secret is not even in the path");
/// assert!(repeat.duplicate && repeat.id == first.id, "a key names one record");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder<'h> {
    home: &'h Home,
    policy: Policy,
    applier: Applier<'h>,
    /// Open since the last call that inserted rows.
    index: Option<Index>,
    /// Whether a rule that is there already becomes a verdict.
    joins: bool,
    /// The names that folders will get from keyed records of earlier calls, which the worker places.
    planned: Planned,
}

/// What is asked to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// What was learned.
    Records,
    /// Verdicts, but no promotion.
    Verdicts,
    /// Verdicts that a person gives at a terminal.
    Person,
}

impl Door {
    fn takes(self, record: &Record) -> Result<(), Invalid> {
        match (self, record) {
            (Door::Records, Record::Verdict(_)) => Err(Invalid::new("kind", line::NO_VERDICT)),
            (Door::Records, _) | (Door::Person, Record::Verdict(_)) => Ok(()),
            (Door::Verdicts, Record::Verdict(it)) if !it.verdict.is_promotion() => Ok(()),
            (Door::Verdicts, Record::Verdict(_)) => {
                Err(Invalid::new("verdict", "only a person promotes a rule, at a terminal"))
            }
            (Door::Verdicts | Door::Person, _) => Err(Invalid::new("kind", "must be verdict")),
        }
    }
}

impl<'h> Recorder<'h> {
    /// A recorder for `home` that treats every request as `policy` says.
    ///
    /// # Errors
    /// [`home::Error::Broken`] if a private folder is missing.
    pub fn new(home: &'h Home, policy: Policy) -> Result<Recorder<'h>, home::Error> {
        Ok(Recorder {
            home,
            policy,
            applier: Applier::new(home)?,
            index: None,
            joins: true,
            planned: Planned::default(),
        })
    }

    /// The same recorder, but a rule that is there already becomes a second record, and not a verdict that it came again.
    #[must_use]
    pub fn as_new(self) -> Recorder<'h> {
        Recorder { joins: false, ..self }
    }

    /// Records one request.
    ///
    /// # Errors
    /// Every [`Error`]; nothing was recorded then.
    pub fn record(&mut self, request: Request) -> Result<Receipt, Error> {
        let mut outcomes = self.record_all(vec![request]);
        outcomes.pop().expect("there is one outcome for each request")
    }

    /// Records many requests with one sync, and returns the outcome of each, in order.
    pub fn record_all(&mut self, requests: Vec<Request>) -> Vec<Result<Receipt, Error>> {
        self.keep(requests, Policy::redact, Door::Records)
    }

    /// Gives a verdict on a record. It is kept as a record is. Who gives it stays in it, whatever the policy keeps: counting
    /// depends on that.
    ///
    /// # Errors
    /// Every [`Error`], and [`Error::Invalid`] for a promotion; nothing was recorded then.
    pub fn judge(&mut self, verdict: Request) -> Result<Receipt, Error> {
        let mut outcomes = self.keep(vec![verdict], Policy::redact_verdict, Door::Verdicts);
        outcomes.pop().expect("there is one outcome for each request")
    }

    /// Gives a verdict, which may be a promotion. The caller answers for it that a person asks for it at a terminal: no
    /// hook, no tool and no agent may.
    ///
    /// # Errors
    /// Every [`Error`]; nothing was recorded then.
    pub fn judge_for_person(&mut self, verdict: Request) -> Result<Receipt, Error> {
        let mut outcomes = self.keep(vec![verdict], Policy::redact_verdict, Door::Person);
        outcomes.pop().expect("there is one outcome for each request")
    }

    /// Records what a hook composed from redacted texts, with one sync, and returns the outcome of each, in order. Only
    /// the provenance that the policy adds is redacted here.
    pub fn record_redacted(&mut self, requests: Vec<Redacted>) -> Vec<Result<Receipt, Error>> {
        self.keep(requests, Policy::complete, Door::Records)
    }

    /// Redact, validate, append, sync, apply.
    fn keep<R>(
        &mut self,
        requests: Vec<R>,
        redact: fn(&Policy, R) -> Redacted,
        door: Door,
    ) -> Vec<Result<Receipt, Error>> {
        // An index that was moved away is no longer the home's.
        let mut index = self.index.take().filter(|index| !index.has_moved());
        let redacted = requests.into_iter().map(|request| redact(&self.policy, request));
        let mut rules = NewRules::default();
        let validate = |request: Redacted| match door.takes(&request.request().record) {
            Ok(()) => self.validate(request, &mut index, &mut rules),
            Err(invalid) => Validated::Refused(invalid.into()),
        };
        let mut validated: Vec<_> = redacted.map(validate).collect();
        mark_repeats(&mut validated);
        let searched = self.mark_pending(&mut validated, &mut index);
        let jsons: Vec<&[u8]> = validated.iter().filter_map(Validated::json).collect();
        if !jsons.is_empty() {
            match self.append_and_sync(&jsons) {
                Ok(synced) => {
                    // The records are kept from here on.
                    let apply = AssertUnwindSafe(|| {
                        self.mark_overtaken(&mut validated, searched);
                        self.apply(&mut validated, index, &synced)
                    });
                    self.index = catch_unwind(apply).unwrap_or_default();
                }
                Err(error) => {
                    let error = Arc::new(error);
                    return validated.into_iter().map(|it| it.outcome_without_journal(&error)).collect();
                }
            }
        }
        validated.into_iter().map(Validated::outcome).collect()
    }

    fn append_and_sync(&self, jsons: &[&[u8]]) -> Result<Synced<Position>, journal::Error> {
        let mut appender = Appender::open(self.home.journal())?;
        appender.append(jsons)?.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ruling, Verdict};

    #[test]
    fn a_promotion_comes_in_through_the_door_of_persons_alone() {
        for verdict in Ruling::ALL {
            let record = Record::Verdict(Verdict { verdict, ..Verdict::default() });
            let promotes = matches!(verdict, Ruling::Promoted | Ruling::PromotedEverywhere);
            assert_eq!(Door::Verdicts.takes(&record).is_ok(), !promotes, "{verdict}");
            assert!(Door::Person.takes(&record).is_ok() && Door::Records.takes(&record).is_err(), "{verdict}");
        }
    }
}
