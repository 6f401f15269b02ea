//! Quarantine: what is damaged or cannot be applied, kept until a person has looked at it.
//!
//! Everything here is synced before whoever put it here goes on, and named after what it is, so that the same thing is
//! here once however often it is found. Dismissed things move to `dismissed/`; nothing is ever deleted. So does what could
//! be applied after all, under a name that begins with `applied-`: what a person dismissed is left alone from then on
//! ([`Quarantine::rows_given_up`]), and nobody has dismissed that.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | the thing is where it was; its position has not passed | it is found again |
//! | after it | the thing, here | it is found again, to no effect |
//! | before it moves to `dismissed/` | the thing, here | a person dismisses it again; recovery moves what is applied |
//! | power cut after that | the same, unless both folders were synced, as after a dismissal | the same |

use std::collections::HashSet;

use serde_json::json;

use crate::fs::place::is_hidden;
use crate::fs::{Dir, Durability, Error, Point, crash};
use crate::home::{self, Home};
use crate::model::position::SegmentId;
use crate::model::{Intent, RecordId};

const DISMISSED: &str = "dismissed";
/// How the names of hooks' events that could not be read begin; `hook::kept` puts them here.
pub const EVENT: &str = "event-";
const PARKED_BYTES_MAX: u64 = 64 << 20;

#[derive(serde::Deserialize)]
struct Parked {
    intent: Intent,
}

/// The quarantine of one home.
#[derive(Debug)]
pub struct Quarantine {
    dir: Dir,
    temporary: Dir,
}

/// What lies in quarantine and has not been dismissed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Contents {
    /// Damaged stretches of the journal.
    pub damaged: Vec<String>,
    /// Records that could not be applied.
    pub parked: Vec<String>,
    /// Files that were in a record's or a page's place: set aside for their owner.
    pub set_aside: Vec<String>,
    /// Events of hooks that could not be read.
    pub events: Vec<String>,
}

impl Contents {
    /// What lies in the quarantine of `home`. It changes nothing, and a quarantine that is missing has nothing in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be listed.
    pub fn of(home: &Home) -> Result<Contents, Error> {
        match home.private().folder("quarantine") {
            Err(error) if error.is_not_found() => Ok(Contents::default()),
            dir => Contents::within(&dir?),
        }
    }

    fn within(dir: &Dir) -> Result<Contents, Error> {
        let mut names = dir.names()?;
        names.retain(|name| name != DISMISSED && !name.ends_with(".bin") && !is_hidden(name));
        names.sort_unstable();
        let (damaged, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with("damaged-"));
        let (parked, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| name.starts_with("parked-"));
        let (events, set_aside) = rest.into_iter().partition(|name| name.starts_with(EVENT));
        Ok(Contents { damaged, parked, set_aside, events })
    }

    /// Whether a person has to look.
    pub fn is_alarming(&self) -> bool {
        !self.damaged.is_empty() || !self.parked.is_empty()
    }
}

impl Quarantine {
    /// The quarantine of `home`.
    ///
    /// # Errors
    /// [`home::Error::Broken`] if it is missing.
    pub fn new(home: &Home) -> Result<Quarantine, home::Error> {
        Ok(Quarantine { dir: home.private_folder("quarantine")?, temporary: home.private_folder("tmp")? })
    }

    /// Keeps `bytes`, found at `offset` in a segment, which no writer left so. Returns whether they were not here yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the bytes are then only where they were found.
    pub fn damage(&self, segment: SegmentId, offset: u64, bytes: &[u8], why: &str) -> Result<bool, Error> {
        let name = format!("damaged-{segment}-{offset}");
        let reason = json!({ "segment": segment, "offset": offset, "bytes": bytes.len(), "why": why });
        self.keep(&format!("{name}.bin"), bytes)?;
        self.keep(&format!("{name}.json"), reason.to_string().as_bytes())
    }

    /// Keeps an intent that cannot be applied, under the name `name` of its part that cannot. Returns whether it was not
    /// here yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the position may not pass then.
    pub fn park(&self, intent: &Intent, part: &str, why: &str) -> Result<bool, Error> {
        let name = format!("parked-{}-{part}.json", intent.id);
        self.keep(&name, json!({ "why": why, "part": part, "intent": intent }).to_string().as_bytes())
    }

    /// Keeps the bytes of a whole entry, at `offset` in a segment, that is not an intent.
    ///
    /// # Errors
    /// [`Error::Io`]; the position may not pass then.
    pub fn park_entry(&self, segment: SegmentId, offset: u64, json: &[u8], why: &str) -> Result<bool, Error> {
        let name = format!("parked-{segment}-{offset}");
        self.keep(&format!("{name}.bin"), json)?;
        self.keep(&format!("{name}.json"), json!({ "why": why }).to_string().as_bytes())
    }

    fn keep(&self, name: &str, content: &[u8]) -> Result<bool, Error> {
        if self.dir.find(name)?.is_some() || self.dismissed()?.is_some_and(|dir| matches!(dir.find(name), Ok(Some(_))))
        {
            return Ok(false);
        }
        crash::at(Point::ParkBefore).map_err(|source| Error::io("park", self.dir.path().join(name))(source))?;
        self.dir.replace(name, content, &self.temporary, Durability::Full)?;
        Ok(true)
    }

    fn dismissed(&self) -> Result<Option<Dir>, Error> {
        match self.dir.folder(DISMISSED) {
            Err(error) if error.is_not_found() => Ok(None),
            dir => dir.map(Some),
        }
    }

    /// The records that are parked here, with the names of what holds them.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read. What is not an intent is passed over.
    pub fn parked(&self) -> Result<Vec<(String, Intent)>, Error> {
        let mut parked = Vec::new();
        for name in Contents::within(&self.dir)?.parked {
            let text = self.dir.content(&name, PARKED_BYTES_MAX)?.unwrap_or_default();
            if let Ok(Parked { intent }) = serde_json::from_slice(&text) {
                parked.push((name, intent));
            }
        }
        Ok(parked)
    }

    /// The records whose rows their table refuses, and of which a person has said that they have seen it.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be listed.
    pub fn rows_given_up(&self) -> Result<HashSet<RecordId>, Error> {
        let names = self.dismissed()?.map_or(Ok(Vec::new()), |dir| dir.names())?;
        let id = |name: &String| name.strip_prefix("parked-")?.strip_suffix("-row.json")?.parse().ok();
        Ok(names.iter().filter_map(id).collect())
    }

    /// Moves what is called `name` to `dismissed/`, under a name that says so: it is where it belongs by now.
    ///
    /// # Errors
    /// [`Error::Io`]; it is then still here.
    pub fn release(&self, name: &str) -> Result<(), Error> {
        let dismissed = self.dir.make_folder(DISMISSED)?;
        self.dir.set_aside(name, &dismissed, &format!("applied-{name}")).map(|_| ())
    }

    /// Moves everything to `dismissed/`: a person has looked at it. Returns how many things were moved.
    ///
    /// # Errors
    /// [`Error::Io`]; some of it may have been moved.
    pub fn dismiss(&self) -> Result<usize, Error> {
        let dismissed = self.dir.make_folder(DISMISSED)?;
        let names: Vec<_> =
            self.dir.names()?.into_iter().filter(|name| name != DISMISSED && !is_hidden(name)).collect();
        for name in &names {
            self.dir.set_aside(name, &dismissed, name)?;
        }
        let _ = (self.dir.sync()?, dismissed.sync()?);
        Ok(names.iter().filter(|name| !name.ends_with(".bin")).count())
    }
}
