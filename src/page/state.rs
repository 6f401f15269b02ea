//! A record's state file: a tombstone that says whether the record was retracted, restored or erased.
//!
//! ```text
//! memory/retracted/<last 2 hex digits of the id>/<id>.md
//! ```
//!
//! It is front matter alone: `of`, `state`, `revision`, `created_at`, and for a retraction `because`; nothing of the
//! record itself. It says `of` where a record's page says `id`, so that no program mistakes it for the record's page.
//!
//! 1. It is never removed: a tombstone that was removed looks like one that never existed.
//! 2. Its name alone says that the record was retracted or more. A torn one, for example empty after a power cut,
//!    counts as that until it is written again.

use jiff::Timestamp;

use super::read::front_texts;
use super::yaml::Front;
use crate::model::{Change, RecordId, Revision, path};

/// The presence of a record, in its state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is there again.
    Restored,
    /// It was removed from files, rows and pages. The history has it.
    Retracted,
    /// It was removed from everything.
    Erased,
}

impl Presence {
    /// All of them.
    pub const ALL: [Presence; 3] = [Presence::Restored, Presence::Retracted, Presence::Erased];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Presence::Restored => "restored",
            Presence::Retracted => "retracted",
            Presence::Erased => "erased",
        }
    }

    /// Whether the record is absent from files, rows and pages.
    pub fn is_hidden(self) -> bool {
        self != Presence::Restored
    }
}

/// The content of a state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// The record.
    pub of: RecordId,
    /// Its presence.
    pub state: Presence,
    /// The revision of the operation that caused it.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// Why it was retracted.
    pub because: Option<String>,
}

impl StateFile {
    /// The state file of a record that `change` has brought to `state`.
    pub fn of_change(change: &Change, state: Presence) -> StateFile {
        let because = change.because.clone().filter(|_| state == Presence::Retracted);
        StateFile { of: change.of, state, revision: change.revision, at: change.at, because }
    }

    /// The state file of a record that the operation with `revision` erased: it says nothing else. Its time is that of the
    /// operation's id, so that every host writes the same bytes.
    pub fn of_erasure(of: RecordId, revision: Revision) -> StateFile {
        let at = RecordId(revision.op).time().unwrap_or_default();
        StateFile { of, state: Presence::Erased, revision, at, because: None }
    }

    /// Which of several state files of a record counts: the one with the greatest rank. An erasure is above every revision.
    pub fn rank(&self) -> (bool, Revision) {
        (self.state == Presence::Erased, self.revision)
    }

    /// Its path, relative to the home.
    pub fn path(&self) -> String {
        path::state_file(self.of)
    }

    /// Its text. The same state always gives the same bytes.
    pub fn text(&self) -> String {
        let mut front = Front::default();
        front.plain("of", self.of);
        front.plain("state", self.state.name());
        front.string("revision", &self.revision.to_string());
        front.plain("created_at", format_args!("{:.3}", self.at));
        if let Some(because) = &self.because {
            front.string("because", because);
        }
        front.alone()
    }

    /// Parses a state file whose record is not known. `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<StateFile> {
        // Nearly every file is a record's page.
        memchr::memmem::find(bytes, b"\nof:").filter(|_| bytes.starts_with(b"---"))?;
        let of = front_texts(bytes, &["of"])?.get("of")?.parse().ok()?;
        StateFile::parse(of, bytes)
    }

    /// Parses the state file of `of`. `None` if it is torn, or a required value is missing: then its name counts.
    pub fn parse(of: RecordId, bytes: &[u8]) -> Option<StateFile> {
        let front = front_texts(bytes, &["of", "state", "revision", "created_at", "because"])?;
        let get = |name: &str| front.get(name).map(String::as_str);
        (get("of")?.parse() == Ok(of)).then_some(())?;
        let state = Presence::ALL.into_iter().find(|state| Some(state.name()) == get("state"))?;
        let (revision, at) = (get("revision")?.parse().ok()?, get("created_at")?.parse().ok()?);
        Some(StateFile { of, state, revision, at, because: get("because").map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::id_of;
    use uuid::Uuid;

    fn state(state: Presence, because: Option<&str>) -> StateFile {
        let of: RecordId = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".parse().expect("an id");
        let revision = Revision { n: 2, op: Uuid::from_u128(9) };
        let at = "2026-03-04T05:06:07.089Z".parse().expect("a time");
        StateFile { of, state, revision, at, because: because.map(str::to_owned) }
    }

    #[test]
    fn golden_state_file() {
        let state = state(Presence::Retracted, Some("wrong: \"x\"\n---"));
        assert_eq!(state.path(), "memory/retracted/aa/0198f3a2-7c1e-7b3d-9a4f-5566778899aa.md");
        let wanted = r#"---
of: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
state: retracted
revision: "2:00000000-0000-0000-0000-000000000009"
created_at: 2026-03-04T05:06:07.089Z
because: "wrong: \"x\"\n---"
---
"#;
        assert_eq!(state.text(), wanted);
        assert_eq!(id_of(state.text().as_bytes()), None, "no program may take it for the record's page");
        assert_eq!(path::of_state_file(&state.path()), Some(state.of));
    }

    #[test]
    fn every_state_survives_its_bytes_and_a_torn_one_is_none() {
        for presence in Presence::ALL {
            let state = state(presence, (presence == Presence::Retracted).then_some("why"));
            let text = state.text();
            assert_eq!(StateFile::parse(state.of, text.as_bytes()), Some(state.clone()));
            let other = RecordId(Uuid::from_u128(1));
            assert_eq!(StateFile::parse(other, text.as_bytes()), None, "it is another record's");
            for end in 0..text.len() - 1 {
                assert_eq!(StateFile::parse(state.of, &text.as_bytes()[..end]), None, "cut after {end} bytes");
            }
            let zeros = vec![0; text.len()];
            assert_eq!(StateFile::parse(state.of, &zeros), None);
        }
    }
}
