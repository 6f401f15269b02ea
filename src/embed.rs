//! The library for programs that embed it: a few names with a stable meaning.
//!
//! | name | does |
//! | --- | --- |
//! | [`make`], [`Home`] | make a home, open one |
//! | [`Recorder`], [`Request`] | record, with the promises of [the crate](crate#promises) |
//! | [`Query`] | find and read what was recorded |
//! | [`Verdicts`] | say that a rule held, or that it did not |
//! | [`commit`] | commit what is pending, where no worker runs |
//!
//! These names, and what their signatures name, follow semantic versioning. All other modules are public for indelible's own
//! program and tests, and may change with any version. `docs/library.md` has the way in; `examples/` has three programs that run.
//!
//! Nothing here writes but by the modules behind it, and each of these says what is on disk when it is killed.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::exclusive::Exclusive;
use crate::pipeline::{Options, Pipeline};
use crate::query::{self, Ask, Named, Ruled, Selection, Sort, View, lookup};
use crate::search::{self, Filter};
use crate::target::history::HistoryOptions;
use crate::{init, pipeline};

pub use crate::home::Home;
pub use crate::model::{
    Confidence, Experiment, Heuristic, Learning, Provenance, Record, RecordId, Request, Ruling, Verdict,
};
pub use crate::query::{Hit, Recorded};
pub use crate::record::{Error as RecordError, Policy, Receipt, Recorder, Redaction};
pub use crate::redact::Redactor;
pub use crate::rules::Standing;

/// How long a reader waits for another program that holds the index to itself.
const WAIT: Duration = Duration::from_secs(1);

/// Makes a home at `path`, or adds what is missing to one, and opens it. Safe to repeat.
///
/// # Errors
/// [`init::Error`] if it cannot be made there: the error says what is in the way, and what was added until then stays.
pub fn make(path: &Path) -> Result<Home, init::Error> {
    init::init(path, HistoryOptions::default(), "")?;
    Ok(Home::open(path)?)
}

/// Commits everything pending, and returns how many records that brought into git. Where a worker runs, it does so by itself
/// within a second: nothing is done then, and `None` is returned.
///
/// # Errors
/// [`pipeline::Error`]; what is left is still in the journal, and a retry does it.
pub fn commit(home: &Home) -> Result<Option<usize>, pipeline::Error> {
    let commit = |exclusive: Exclusive<'_>| {
        let mut pipeline = Pipeline::open(&exclusive, Options::default())?;
        Ok(Some(pipeline.commit_everything(&mut ())?.records))
    };
    home.exclusive("a program that embeds indelible")?.map_or(Ok(None), commit)
}

/// What was recorded, as it is at one moment.
///
/// A record is found from the moment that [`Recorder::record`] returns. What was retracted or erased is not. Nothing is
/// written, and no store but the home's folder is needed.
#[derive(Debug)]
pub struct Query<'h> {
    view: View<'h>,
}

impl<'h> Query<'h> {
    /// Reads `home` as it is now. Open another one to see what was recorded later.
    pub fn open(home: &'h Home) -> Query<'h> {
        Query { view: View::open(home, HistoryOptions::default(), WAIT) }
    }

    /// The newest records, no more than `limit`; 0 is all of them.
    ///
    /// # Errors
    /// [`query::Error`] if a store fails while it is read.
    pub fn newest(&self, limit: usize) -> Result<Vec<Recorded>, query::Error> {
        let filter = Filter::default();
        let wanted = Selection { filter: &filter, states: None, sort: Sort::default(), limit, count_max: Some(0) };
        query::list(&self.view, wanted)?.records(&self.view)
    }

    /// The records that have `words`, the best first, no more than `limit`. All of a record's texts are searched, in their
    /// basic forms: `ship` finds `shipping`.
    ///
    /// # Errors
    /// [`query::Error`] if a store fails while it is read.
    pub fn find(&self, words: &str, limit: usize) -> Result<Vec<Hit>, query::Error> {
        let (words, filter) = (search::Query::of_words(words), Filter::default());
        let ask = Ask { query: &words, filter: &filter, states: &[], limit, project: None, now: Timestamp::now() };
        Ok(query::search(&self.view, &ask)?.hits)
    }

    /// The record that `name` names: its id, the end of one with at least four digits, or the path of its page. `None` if there is none,
    /// or if it is the end of several.
    ///
    /// # Errors
    /// [`query::Error`] if a store fails while it is read.
    pub fn get(&self, name: &str) -> Result<Option<Recorded>, query::Error> {
        match lookup(&self.view, name, None)? {
            Named::One { id, path } => Ok(self.view.get(id, path.as_deref())?.visible()),
            Named::Several { .. } | Named::Nothing => Ok(None),
        }
    }

    /// How sure the rule `id` is by now, and its state; `None` if there is no such rule.
    ///
    /// # Errors
    /// [`query::Error`] if a store fails while it is read.
    pub fn standing(&self, id: RecordId) -> Result<Option<Standing>, query::Error> {
        let newest = query::newest(&self.view)?.unwrap_or_default();
        Ok(query::rule(&self.view, id)?.map(|ruled: Ruled| ruled.standing(newest)))
    }

    /// What could not be read, for a person: a store that is missing, damaged or held by another program. The others answer.
    pub fn notes(&self) -> &[String] {
        self.view.notes()
    }
}

/// Verdicts on rules. Each is a record of its own, with the promises of one.
///
/// A verdict counts once for each session, and without one once a day. Promotion, which has agents told of a rule unasked, is left to
/// a person at a terminal.
#[derive(Debug)]
pub struct Verdicts<'h> {
    recorder: Recorder<'h>,
    session: Option<String>,
}

impl<'h> Verdicts<'h> {
    /// Verdicts on rules of `home`, given in `session` if there is one; `policy` redacts their reasons.
    ///
    /// # Errors
    /// [`crate::home::Error`] if the home's private folder is not whole.
    pub fn new(home: &'h Home, policy: Policy, session: Option<String>) -> Result<Verdicts<'h>, crate::home::Error> {
        Ok(Verdicts { recorder: Recorder::new(home, policy)?, session })
    }

    /// The rule `id` held.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was recorded then.
    pub fn validate(&mut self, id: RecordId, because: &str) -> Result<Receipt, RecordError> {
        self.give(Ruling::Validated, id, because)
    }

    /// The rule `id` did not hold.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was recorded then.
    pub fn violate(&mut self, id: RecordId, because: &str) -> Result<Receipt, RecordError> {
        self.give(Ruling::Violated, id, because)
    }

    /// Agents are told of the rule `id` no longer; [`Verdicts::revive`] undoes it.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was recorded then.
    pub fn retire(&mut self, id: RecordId, because: &str) -> Result<Receipt, RecordError> {
        self.give(Ruling::Retired, id, because)
    }

    /// The rule `id` is in use again.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was recorded then.
    pub fn revive(&mut self, id: RecordId, because: &str) -> Result<Receipt, RecordError> {
        self.give(Ruling::Revived, id, because)
    }

    fn give(&mut self, verdict: Ruling, of: RecordId, because: &str) -> Result<Receipt, RecordError> {
        let provenance = Provenance { session: self.session.clone(), ..Provenance::default() };
        let record = Record::Verdict(Verdict { verdict, of, because: because.to_owned() });
        self.recorder.judge(Request { record, key: None, provenance })
    }
}
