//! What `hook` tells an agent of the failure that it has just recorded: what is known of it, once, where its host puts that next
//! to the tool's result.
//!
//! Nothing here fails, and nothing is opened unless a failure was recorded and its host has a place for the answer.

use indelible::home::Home;
use indelible::hook::{Event, answer};
use indelible::known::{self, Case, Failure, Session};
use indelible::model::{Kind, Record};
use indelible::record::Redacted;

use crate::policy;
use crate::settings::{Settings, Telling};

/// A failure whose agent can be told what is known of it.
pub struct Asked {
    failure: Redacted,
}

/// What is known of it.
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

impl Asked {
    /// The failure among `requests`, which were made of `event`. `None` if the agent is not to be told, or cannot be.
    /// `installed` says when the installed hook tells something.
    pub fn of(settings: &Settings, event: &Event, requests: &[Redacted], installed: Option<&str>) -> Option<Asked> {
        let is_wanted = settings.hook.tells(Telling::Failure, installed);
        let is_told = is_wanted && !event.session.is_empty() && answer::is_shown(event);
        let failure = || requests.iter().find(|it| it.request().record.kind() == Kind::Failure);
        Some(Asked { failure: is_told.then(failure).flatten()?.clone() })
    }

    /// What is known of it in `home`.
    pub fn look(&self, home: &Home, settings: &Settings) -> Recalled {
        let request = self.failure.request();
        let found = match self.case(home, settings, &request.record) {
            Ok(found) => found,
            Err(odd) => return Recalled::Odd(indelible::model::text::chain(&odd)),
        };
        let session = request.provenance.session.as_deref().map(Session::of);
        let told = found.zip(session).and_then(|((case, host), session)| {
            let text = known::told(&case, &session, host.as_deref())?;
            Some(Recalled::Text { text, key: format!("failure {:?}", case.key) })
        });
        told.unwrap_or(Recalled::Nothing)
    }

    /// What the file of known failures has of it here, and this machine's label.
    fn case(
        &self,
        home: &Home,
        settings: &Settings,
        record: &Record,
    ) -> Result<Option<(Case, Option<String>)>, known::Odd> {
        let mut provenance = self.failure.request().provenance.clone();
        provenance.keep_only(&settings.record.provenance);
        let Some(failure) = Failure::of(record, &provenance) else { return Ok(None) };
        let cases = known::look_up(home.private(), &failure.signature)?;
        if cases.is_empty() {
            return Ok(None);
        }
        // Which project it is takes a look at the folder's repository: only if there is something to tell.
        let sources = settings.sources(indelible::model::Provenance::default(), policy::project_ids());
        let provenance = sources.completed(provenance);
        let place = failure.place(&provenance);
        let case = cases.into_iter().find(|case| Some(&case.place) == place.as_ref());
        Ok(case.map(|case| (case, provenance.host)))
    }
}
