//! What `hook` knows of the failure that it is about to record: whether it came before, so that it becomes no second record, and what
//! its agent is told of it, once, where its host puts that next to the tool's result.
//!
//! Nothing here fails, and nothing is opened unless an event has a failure. The file of known failures is looked at once. Where it lacks
//! a failure, that becomes a record of its own, which readers take for the same one.

use indelible::home::Home;
use indelible::hook::trail::{Course, Trail};
use indelible::hook::{Event, answer};
use indelible::known::{self, Case, Failure, Session};
use indelible::model::{Kind, Provenance, RecordId};
use indelible::record::{Redacted, verdict_of_today};

use jiff::Timestamp;

use crate::policy;
use crate::settings::{Settings, Telling};

/// A failure that is about to be recorded, and what is known of it.
pub struct Seen {
    /// The id that its record would have.
    pub own: RecordId,
    session: Option<Session>,
    found: Result<Option<(Case, Option<String>)>, known::Odd>,
    /// Whether its agent can be told what is known.
    is_told: bool,
    /// Whether it is no loss if it makes no record of its own.
    may_join: bool,
}

/// What is to be told of it.
pub enum Recalled {
    /// Nothing that could be told.
    Nothing,
    /// The file of known failures is odd.
    Odd(String),
    /// A text, and the name that the session's log knows it by.
    Text {
        /// The text.
        text: String,
        /// The name.
        key: String,
    },
}

/// How a failure that came before is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// As a verdict that this record came again: the first one of the day, in another session.
    Verdict(RecordId),
    /// It is counted only: its session has it already, or the day has its verdict.
    Counted(RecordId),
}

impl Again {
    /// The record that came again.
    pub fn first(self) -> RecordId {
        match self {
            Again::Verdict(first) | Again::Counted(first) => first,
        }
    }
}

impl Seen {
    /// The failure among `requests`, which were made of `event`, as the file of known failures of `home` has it. `None` if there is no
    /// failure. `course` is the event's, and `installed` says when the installed hook tells something.
    pub fn of(
        home: &Home,
        settings: &Settings,
        event: &Event,
        (requests, course): (&[Redacted], &Course),
        installed: Option<&str>,
    ) -> Option<Seen> {
        let failure = requests.iter().find(|it| it.request().record.kind() == Kind::Failure)?.request();
        let is_wanted = settings.hook.tells(Telling::Failure, installed);
        let session = failure.provenance.session.as_deref().map(Session::of);
        let mut provenance = failure.provenance.clone();
        provenance.keep_only(&settings.record.provenance);
        let known = Failure::with(&failure.record, &provenance, course.signed());
        Some(Seen {
            may_join: known.as_ref().is_some_and(|known| known.is_all_of(&failure.record)),
            own: RecordId::of_key(home.id(), failure.key.as_deref()?),
            is_told: is_wanted && session.is_some() && answer::is_shown(event),
            session,
            found: known.map_or(Ok(None), |known| case(home, settings, &known, provenance)),
        })
    }

    /// What its agent is told; `None` if it is not to be told, or cannot be.
    pub fn recalled(&self) -> Option<Recalled> {
        if !self.is_told {
            return None;
        }
        let found = match &self.found {
            Ok(found) => found.as_ref(),
            Err(odd) => return Some(Recalled::Odd(indelible::model::text::chain(odd))),
        };
        let told = found.zip(self.session.as_ref()).and_then(|((case, host), session)| {
            let text = known::told(case, session, host.as_deref(), Timestamp::now().as_second())?;
            Some(Recalled::Text { text, key: format!("failure {:?}", case.key) })
        });
        Some(told.unwrap_or(Recalled::Nothing))
    }

    /// How it is kept, if it came before: in its session, as `trail` and `course` say, or as far as the file knows. `None` if it is new,
    /// if it has no signature and an output that no other record has, or if this is another copy of the hook that records it.
    pub fn again(&self, home: &Home, trail: &Trail<'_>, course: &Course) -> Option<Again> {
        if !self.may_join {
            return None;
        }
        if let Some(first) = trail.repeated(course, self.own) {
            return Some(Again::Counted(first));
        }
        let (case, _) = self.found.as_ref().ok()?.as_ref().filter(|(case, _)| !case.has(self.own))?;
        let first = case.first_record()?;
        let is_counted = self.session.as_ref().is_some_and(|session| case.was_in(session))
            || case.has(verdict_of_today(home, first));
        Some(if is_counted { Again::Counted(first) } else { Again::Verdict(first) })
    }
}

/// What the file of known failures has of `failure` here, and this machine's label.
fn case(
    home: &Home,
    settings: &Settings,
    failure: &Failure,
    provenance: Provenance,
) -> Result<Option<(Case, Option<String>)>, known::Odd> {
    let cases = known::look_up(home.private(), &failure.signature)?;
    if cases.is_empty() {
        return Ok(None);
    }
    // Which project it is takes a look at the folder's repository: only if something is known.
    let sources = settings.sources(Provenance::default(), policy::project_ids());
    let provenance = sources.completed(provenance);
    let place = failure.place(&provenance);
    let case = cases.into_iter().find(|case| Some(&case.place) == place.as_ref());
    Ok(case.map(|case| (case, provenance.host)))
}
