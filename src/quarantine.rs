//! Quarantine: keeps damaged bytes, and records that cannot be applied, until a person has looked at them.
//!
//! 1. A file here is synced before its writer goes on.
//! 2. Its name follows from its content, so the same thing is here once, however often it is found.
//! 3. Nothing is deleted. Dismissed files move to `dismissed/`. So does a record that could be applied after all, under a name
//!    that begins with `applied-`, since a person did not dismiss it: what a person dismissed is not tried again
//!    ([`Quarantine::rows_given_up`]).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | the thing is where it was, not passed yet | it is found again |
//! | after it | the thing, here, under a name that is not synced | it is found again, and the name is synced |
//! | before it moves to `dismissed/` | the thing, here | a person dismisses it again; recovery moves it if it is applied |
//! | power cut after that | the thing, here or there (a dismissal syncs both folders) | the same |

use std::collections::HashSet;

use serde_json::json;

use crate::fs::place::is_hidden;
use crate::fs::{Dir, Durability, Error, Point, crash};
use crate::home::{self, Home};
use crate::model::layout::{
    APPLIED, DAMAGED, DISMISSED, EVENT, PARKED, PARKED_COMMIT, PARKED_FILE, PARKED_ROW, QUARANTINE, TEMPORARY,
};
use crate::model::position::SegmentId;
use crate::model::{Intent, Op, RecordId};

const PARKED_BYTES_MAX: u64 = 64 << 20;
/// The part of an operation's name here: it was refused, and is retried by `recover`.
pub(crate) const REFUSED: &str = "refused";
/// The part of an operation's name here: what it needs was not there, and it is retried once that is.
pub(crate) const TOO_EARLY: &str = "early";
/// The length of an id as it is written.
const ID_CHARS: usize = 36;
/// How many parked operations are read to be named.
const NAMED_MAX: usize = 100;

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
    /// Records and operations that could not be applied.
    pub parked: Vec<String>,
    /// The first of those operations.
    pub operations: Vec<ParkedOp>,
    /// Files of the user's that lay in the place of a record or a page.
    pub set_aside: Vec<String>,
    /// Hook events that could not be parsed.
    pub events: Vec<String>,
}

/// An operation that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ParkedOp {
    /// Its name; `None` if it could not be read.
    pub op: Option<String>,
    /// The id of its record, if known.
    pub of: Option<String>,
    /// Why it could not be applied.
    pub why: String,
}

impl std::fmt::Display for ParkedOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ParkedOp { op, of, why } = self;
        match (op, of) {
            (Some(op), Some(of)) => write!(f, "`{op}` of {of}: {why}"),
            _ => f.write_str(why),
        }
    }
}

#[derive(serde::Deserialize)]
struct ParkedOpFile {
    why: String,
    #[serde(default)]
    operation: Option<String>,
}

#[derive(serde::Deserialize)]
struct OpHead {
    op: Option<String>,
    of: Option<String>,
}

impl Contents {
    /// What lies in the quarantine of `home`. Changes nothing; a missing folder counts as empty.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be listed.
    pub fn of(home: &Home) -> Result<Contents, Error> {
        match home.private().folder(QUARANTINE) {
            Err(error) if error.is_not_found() => Ok(Contents::default()),
            dir => Contents::within(&dir?),
        }
    }

    fn within(dir: &Dir) -> Result<Contents, Error> {
        let mut names = dir.names()?;
        names.retain(|name| name != DISMISSED && !name.ends_with(".bin") && !is_hidden(name));
        names.sort_unstable();
        let (damaged, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with(DAMAGED));
        let (parked, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| name.starts_with(PARKED));
        let (events, set_aside) = rest.into_iter().partition(|name| name.starts_with(EVENT));
        let operations = parked.iter().filter(|name| is_op(name)).take(NAMED_MAX);
        let operations = operations.filter_map(|name| parked_op(dir, name).transpose()).collect::<Result<_, _>>()?;
        Ok(Contents { damaged, parked, operations, set_aside, events })
    }

    /// The records that are parked, and those of parked operations, by the names of their files. (An entry that could not be decoded
    /// is named by its segment and a number.)
    pub fn parked_ids(&self) -> impl Iterator<Item = RecordId> {
        let id_in = |name: &String| {
            let (id, rest) = name.strip_prefix(PARKED)?.split_at_checked(ID_CHARS)?;
            let is_named = rest.starts_with('-') && !rest[1..].starts_with(|c: char| c.is_ascii_digit());
            is_named.then(|| id.parse().ok()).flatten()
        };
        self.parked.iter().filter_map(id_in)
    }

    /// Whether a person must look.
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
        Ok(Quarantine { dir: home.private_folder(QUARANTINE)?, temporary: home.private_folder(TEMPORARY)? })
    }

    /// Keeps damaged `bytes`, found at `offset` in a segment. Returns whether they are new here.
    ///
    /// # Errors
    /// [`Error::Io`]; the bytes are then only where they were found.
    pub fn damage(&self, segment: SegmentId, offset: u64, bytes: &[u8], why: &str) -> Result<bool, Error> {
        let name = format!("{DAMAGED}{segment}-{offset}");
        let reason = json!({ "segment": segment, "offset": offset, "bytes": bytes.len(), "why": why });
        self.keep(&format!("{name}.bin"), bytes)?;
        self.keep(&format!("{name}.json"), reason.to_string().as_bytes())
    }

    /// Keeps an intent of which `part` cannot be applied. Returns whether it is new here.
    ///
    /// # Errors
    /// [`Error::Io`]; the committed position must not pass the intent then.
    pub fn park(&self, intent: &Intent, part: &str, why: &str) -> Result<bool, Error> {
        let name = format!("{PARKED}{}-{part}.json", intent.id);
        self.keep(&name, json!({ "why": why, "part": part, "intent": intent }).to_string().as_bytes())
    }

    /// Keeps an operation on a record that cannot be applied; `part` says when it is retried. Returns whether it was not
    /// here yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the position may not pass then.
    pub fn park_op(&self, op: &Op, part: &str, why: &str) -> Result<bool, Error> {
        let name = name_of_op(op, part);
        let operation = String::from_utf8_lossy(&op.to_json()).into_owned();
        self.keep(&name, json!({ "why": why, "operation": operation }).to_string().as_bytes())
    }

    /// Why the operation `op` is parked here; `None` if it is not.
    ///
    /// # Errors
    /// [`Error::Io`] if what is parked cannot be read.
    pub fn why_parked(&self, op: &Op) -> Result<Option<String>, Error> {
        for part in [REFUSED, TOO_EARLY] {
            if let Some(parked) = parked_op(&self.dir, &name_of_op(op, part))? {
                return Ok(Some(parked.why));
            }
        }
        Ok(None)
    }

    /// Keeps the bytes of a whole entry, at `offset` in a segment, that is not an intent.
    ///
    /// # Errors
    /// [`Error::Io`]; the committed position must not pass the entry then.
    pub fn park_entry(&self, segment: SegmentId, offset: u64, json: &[u8], why: &str) -> Result<bool, Error> {
        let name = format!("{PARKED}{segment}-{offset}");
        self.keep(&format!("{name}.bin"), json)?;
        self.keep(&format!("{name}.json"), json!({ "why": why }).to_string().as_bytes())
    }

    fn keep(&self, name: &str, content: &[u8]) -> Result<bool, Error> {
        if self.dir.find(name)?.is_some() {
            // A process that was killed before it had synced the name may have put it here.
            self.dir.sync()?;
            return Ok(false);
        }
        if self.dismissed()?.is_some_and(|dir| matches!(dir.find(name), Ok(Some(_)))) {
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

    /// The parked records, each with the name of its file.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read. One that is not an intent is skipped.
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

    /// The entries that are parked here because an older program could not decode them, with the names of the files that
    /// hold them.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read.
    pub fn parked_entries(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut parked = Vec::new();
        for name in Contents::within(&self.dir)?.parked {
            let Some(bytes) = name.strip_suffix(".json").map(|name| format!("{name}.bin")) else { continue };
            if let Some(json) = self.dir.content(&bytes, PARKED_BYTES_MAX)? {
                parked.push((name, json));
            }
        }
        Ok(parked)
    }

    /// The operations that are parked here, each with the name of its file: with `everything`, those that were refused, too.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn parked_ops(&self, everything: bool) -> Result<Vec<(String, Op)>, Error> {
        let mut parked = Vec::new();
        for name in Contents::within(&self.dir)?.parked {
            let is_retried = name.ends_with(&format!("-{TOO_EARLY}.json"))
                || everything && name.ends_with(&format!("-{REFUSED}.json"));
            if !is_retried {
                continue;
            }
            let text = self.dir.content(&name, PARKED_BYTES_MAX)?.unwrap_or_default();
            let operation = serde_json::from_slice::<ParkedOpFile>(&text).ok().and_then(|file| file.operation);
            if let Some(op) = operation.and_then(|json| Op::of_json(json.as_bytes()).ok()) {
                parked.push((name, op));
            }
        }
        Ok(parked)
    }

    /// The records whose rows their table refuses, and which a person has dismissed.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be listed.
    pub fn rows_given_up(&self) -> Result<HashSet<RecordId>, Error> {
        let names = self.dismissed()?.map_or(Ok(Vec::new()), |dir| dir.names())?;
        let id = |name: &String| name.strip_prefix(PARKED)?.strip_suffix(PARKED_ROW)?.parse().ok();
        Ok(names.iter().filter_map(id).collect())
    }

    /// Moves the file `name` of an applied record to `dismissed/`, as `applied-…`.
    ///
    /// # Errors
    /// [`Error::Io`]; it is then still here.
    pub fn release(&self, name: &str) -> Result<(), Error> {
        let dismissed = self.dir.make_folder(DISMISSED)?;
        // The reason goes last: until then it is parked.
        let bytes = name.strip_suffix(".json").map(|name| format!("{name}.bin"));
        for name in bytes.iter().map(String::as_str).chain([name]) {
            if self.dir.find(name)?.is_some() {
                self.dir.set_aside(name, &dismissed, &format!("{APPLIED}{name}"))?;
            }
        }
        Ok(())
    }

    /// Moves everything to `dismissed/`, since a person has looked at it. Returns how many things moved.
    ///
    /// # Errors
    /// [`Error::Io`]; some of it may have moved.
    pub fn dismiss(&self) -> Result<usize, Error> {
        let dismissed = self.dir.make_folder(DISMISSED)?;
        let names: Vec<_> =
            self.dir.names()?.into_iter().filter(|name| name != DISMISSED && !is_hidden(name)).collect();
        for name in &names {
            self.dir.set_aside(name, &dismissed, name)?;
        }
        self.dir.sync()?;
        dismissed.sync()?;
        Ok(names.iter().filter(|name| !name.ends_with(".bin")).count())
    }
}

/// Whether the parked thing `name` is an operation, or an entry that could not be decoded, rather than a record.
fn is_op(name: &str) -> bool {
    ![PARKED_FILE, PARKED_ROW, PARKED_COMMIT].iter().any(|end| name.ends_with(end))
}

/// The name under which `op` is parked; `part` says when it is retried.
fn name_of_op(op: &Op, part: &str) -> String {
    format!("{PARKED}{}-{}-{}-{part}.json", op.of(), op.name(), op.revision().op)
}

/// The operation that is parked under `name`; `None` if it is gone, or cannot be read.
fn parked_op(dir: &Dir, name: &str) -> Result<Option<ParkedOp>, Error> {
    let text = dir.content(name, PARKED_BYTES_MAX)?.unwrap_or_default();
    let Ok(ParkedOpFile { why, operation }) = serde_json::from_slice(&text) else { return Ok(None) };
    let json = match operation {
        Some(operation) => operation.into_bytes(),
        None => dir.content(&name.replace(".json", ".bin"), PARKED_BYTES_MAX)?.unwrap_or_default(),
    };
    let head = serde_json::from_slice::<OpHead>(&json).ok();
    let (op, of) = head.map_or((None, None), |head| (head.op, head.of));
    Ok(Some(ParkedOp { op, of, why }))
}
