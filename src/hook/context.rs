//! The event that records are made of, with the redaction that every text of it passes. Pure.

use uuid::Uuid;

use super::{Event, Filter, Learned, Skipped, compose};
use crate::model::{Origin, Provenance, Record, Request, limits};
use crate::record::{Redacted, Redaction};

/// An event that records are made of.
pub(super) struct Context<'e> {
    pub(super) event: &'e Event,
    pub(super) redaction: &'e Redaction,
}

impl Context<'_> {
    /// `text` without secrets.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.redaction.text(text).into_owned()
    }

    /// A key made of the session and `parts`. It is a digest, so it shows nothing of what a host sends.
    pub(super) fn key(&self, parts: &[&str]) -> String {
        keyed(&self.event.session, parts)
    }

    /// As [`Context::key`], for what was learned: what a fork repeats of the session that it comes from has that one's key.
    pub(super) fn key_of_learned(&self, parts: &[&str]) -> String {
        keyed(self.event.root.as_deref().unwrap_or(&self.event.session), parts)
    }

    /// A request for `record`, whose texts were all redacted, with the provenance that the host sends.
    pub(super) fn request(&self, record: Record, key: String) -> Redacted {
        let event = self.event;
        let known = |text: &str, chars_max: usize| {
            let text = compose::shortened(text.trim(), chars_max - 1);
            Some(self.redacted(&text)).filter(|text| !text.is_empty())
        };
        let provenance = Provenance {
            origin: Some(Origin::Hook),
            session: known(&event.session, limits::PROVENANCE_CHARS_MAX),
            agent: Some(event.host.title().to_owned()),
            cwd: event.folder.as_deref().and_then(|folder| known(folder, limits::CWD_CHARS_MAX)),
            ..Provenance::default()
        };
        Redacted::composed(Request { record, key: Some(key), provenance })
    }

    /// What no field of a record says about the event, as a markdown list.
    pub(super) fn place(&self) -> String {
        let event = self.event;
        let mut lines = format!("- event: {}\n", self.redacted(&event.name));
        if let Some(agent) = event.agent.as_deref().filter(|agent| !agent.is_empty()) {
            lines.push_str(&format!("- agent: {}\n", self.redacted(&compose::shortened(agent, 1000))));
        }
        lines
    }

    /// The records of what was learned.
    pub(super) fn learned(&self, found: Vec<Learned>, filter: Filter) -> Result<Vec<Redacted>, Skipped> {
        match found.is_empty() {
            true => Err(Skipped::Nothing),
            false if !filter.learned => Err(Skipped::Unwanted),
            false => Ok(found.into_iter().map(|found| compose::of_learned(self, found)).collect()),
        }
    }
}

fn keyed(session: &str, parts: &[&str]) -> String {
    let mut name = session.to_owned();
    for part in parts {
        name.push('\0');
        name.push_str(part);
    }
    format!("hook:{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}
