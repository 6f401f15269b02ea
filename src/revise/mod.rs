//! The front door of operations that change a record: amend, retract, restore.
//!
//! ```text
//! Asked ─ look at the record ─▶ Planned ─ (all of them) append, sync ─▶ promise ─ the pipeline applies ─▶ stores
//! ```
//!
//! 1. An operation is planned from what a [`View`] shows: the stores with the journal's pending operations laid over them. Its
//!    base is the greatest revision seen of the record, so it knows of all of them.
//! 2. Whatever can refuse an operation does so in [`Reviser::plan`], before the journal is written. A caller that plans several
//!    and keeps none if one is refused has all or none.
//! 3. [`Reviser::keep`] appends all planned operations with one write and one sync. Once it returns, they happen: readers see
//!    them at once, and the holder of the worker's lock applies them.
//! 4. Nothing is applied here. Only the holder of the worker's lock does that (`pipeline::change`): a command asks the worker, or
//!    takes the lock if none runs.
//! 5. What changes nothing is no operation: it is planned without one, and nothing is appended.
//! 6. A new text passes the caller's [`Redaction`]. Texts that an amendment does not change stay as they are.
//!
//! | killed | on disk | what becomes of the operation |
//! | --- | --- | --- |
//! | before the append | nothing | it did not happen; the caller saw no success |
//! | before the sync returned | a torn entry, or a whole one | torn: nothing; whole: it happens |
//! | the same, with several operations | some of them whole | those happen: only a return says all or none |
//! | after the sync | the operation | the worker, or recovery, applies it |

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::Timestamp;

use crate::fs::{self, Durability};
use crate::home::Home;
use crate::journal::{self, Appender};
use crate::model::layout::TEMPORARY;
use crate::model::{
    Change, Field, FieldSpec, Invalid, Kind, Op, Record, RecordId, RecordPath, Revision, fields_of, limits,
};
use crate::page::{self, Amendable, By, FieldChange, NotTaken, Presence, StateFile, differences};
use crate::query::{self, Recorded, Seen, View};
use crate::record::Redaction;

/// What is to become of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// These fields get these texts; the others stay.
    Fields(Vec<(Field, String)>),
    /// It says what these bytes say, which are its page after somebody edited it.
    Edited(Vec<u8>),
    /// It leaves files, rows and pages. The history keeps it.
    Retract,
    /// It comes back.
    Restore,
}

/// An operation that can be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The record.
    pub id: RecordId,
    /// The record as it is now; `None` if it is hidden.
    pub before: Option<Recorded>,
    /// What the state file of a hidden record says.
    pub mark: Option<StateFile>,
    /// The fields that an amendment changes; empty for anything else.
    pub changes: Vec<FieldChange>,
    /// The operation; `None` if nothing would change.
    pub op: Option<Op>,
}

/// Why an operation cannot be kept. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No record has this id.
    #[error("{id} is not known here")]
    Unknown {
        /// The id.
        id: RecordId,
    },
    /// The record is hidden, and stays as it is.
    #[error("{id} was {}{}", .state.name(), because_of(.because.as_deref()))]
    Hidden {
        /// The record.
        id: RecordId,
        /// Whether it was retracted or erased.
        state: Presence,
        /// Why.
        because: Option<String>,
    },
    /// Two operations are asked for on one record.
    #[error("{id} is named twice")]
    Twice {
        /// The record.
        id: RecordId,
    },
    /// A verdict says what it says.
    #[error("{id} is a verdict, which is not amended: retract it, and give another one")]
    Verdict {
        /// The verdict.
        id: RecordId,
    },
    /// An edited page cannot be taken.
    #[error("the edited page of {id} cannot be taken")]
    NotTaken {
        /// The record.
        id: RecordId,
        /// Why.
        #[source]
        why: NotTaken,
    },
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The record could not be read.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// The journal could not take it.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

fn because_of(because: Option<&str>) -> String {
    because.map(|because| format!(": {because}")).unwrap_or_default()
}

/// Changes records of one home.
///
/// ```
/// use std::time::Duration;
///
/// use indelible::home::Home;
/// use indelible::model::{Field, Learning, Record, Request};
/// use indelible::query::View;
/// use indelible::record::{Policy, Recorder, Redaction};
/// use indelible::revise::{Asked, Reviser};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("home");
/// # indelible::init::init(&path, Default::default(), "")?;
/// let home = Home::open(&path)?;
/// let learning = Learning { title: "the cahce grew".into(), domain: "ci".into(), ..Learning::default() };
/// let id = Recorder::new(&home, Policy::new(Redaction::off()))?.record(Request::new(Record::Failure(learning)))?.id;
///
/// let view = || View::open(&home, Default::default(), Duration::from_secs(1));
/// let reviser = Reviser::new(&home, Redaction::off());
/// let asked = Asked::Fields(vec![(Field::Title, "the cache grew".into())]);
/// let planned = reviser.plan(&view(), id, None, &asked, Some("a typo"))?;
/// assert_eq!((planned.changes.len(), planned.changes[0].field), (1, "title"));
/// assert!(reviser.keep(&[planned])?);
/// assert_eq!(view().get(id, None)?.visible().map(|it| it.title().to_owned()), Some("the cache grew".into()));
///
/// // Asked again, nothing would change.
/// assert_eq!(reviser.plan(&view(), id, None, &asked, None)?.op, None);
///
/// // What is retracted is restored, and meanwhile not amended.
/// assert!(reviser.keep(&[reviser.plan(&view(), id, None, &Asked::Retract, Some("it was another build"))?])?);
/// assert!(reviser.plan(&view(), id, None, &asked, None).is_err());
/// assert!(reviser.keep(&[reviser.plan(&view(), id, None, &Asked::Restore, None)?])?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reviser<'h> {
    home: &'h Home,
    redaction: Redaction,
}

impl<'h> Reviser<'h> {
    /// One for `home`, in which new texts pass `redaction`.
    pub fn new(home: &'h Home, redaction: Redaction) -> Reviser<'h> {
        Reviser { home, redaction }
    }

    /// Plans what `asked` says for the record `id`, for the reason `because`. `path` is its page, if the caller knows it: without
    /// an index, a record is found by it alone.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Journal`].
    pub fn plan(
        &self,
        view: &View<'_>,
        id: RecordId,
        path: Option<&str>,
        asked: &Asked,
        because: Option<&str>,
    ) -> Result<Planned, Error> {
        let because = because.map(|because| self.redaction.text(because).into_owned());
        if let (Some(because), Some(spec)) = (&because, FieldSpec::named("because")) {
            spec.check(because)?;
        }
        let because = because.filter(|because| !because.trim().is_empty());
        let (before, mark) = match view.get(id, path)? {
            Seen::Visible(recorded) => (Some(*recorded), None),
            Seen::Hidden(mark) => (None, mark),
            Seen::Unknown => return Err(Error::Unknown { id }),
        };
        let latest = view.latest(id, before.as_ref())?;
        let hidden = || Error::Hidden {
            id,
            state: mark.as_ref().map_or(Presence::Erased, |mark| mark.state),
            because: mark.as_ref().and_then(|mark| mark.because.clone()),
        };
        let page_of = |recorded: &Recorded| RecordPath(&recorded.path).page().into_owned();
        let change = |path: Option<String>, because| {
            let revision = latest.next();
            Change { of: id, revision, base: latest, at: made_at(revision), path, because }
        };
        let (mut changes, mut op) = (Vec::new(), None);
        match (asked, &before) {
            (Asked::Fields(_) | Asked::Edited(_), None) => return Err(hidden()),
            (Asked::Edited(bytes), Some(before)) => {
                (changes, op) = self.edited(view, before, latest, bytes, because)?;
            }
            (Asked::Fields(fields), Some(before)) => {
                // An edit by hand that no amendment has taken is no part of this one.
                let before = view.as_kept(before.clone());
                let record = self.amended(&before, fields)?;
                changes = differences(before.record(), &record);
                let (created_at, revision, path) = (before.created_at, before.revision(), page_of(&before));
                let (fields, request) = (before.amended_fields(), before.request);
                let amendable = Amendable { id, created_at, path, request, fields, revision, latest };
                op = amendable.amended(record, because, made_at);
            }
            (Asked::Retract, None) | (Asked::Restore, Some(_)) => {}
            (Asked::Retract, Some(before)) => op = Some(Op::Retract(change(Some(page_of(before)), because))),
            (Asked::Restore, None) if mark.as_ref().is_some_and(|mark| mark.state == Presence::Retracted) => {
                op = Some(Op::Restore(change(view.page_of(id)?, because)));
            }
            (Asked::Restore, None) => return Err(hidden()),
        }
        Ok(Planned { id, before, mark, changes, op })
    }

    /// What the record `before` says with new texts for `fields`. Every field is checked against its limits.
    fn amended(&self, before: &Recorded, fields: &[(Field, String)]) -> Result<Record, Error> {
        let (id, kind) = (before.id, before.kind());
        let mut record = before.record().clone();
        if kind == Kind::Verdict {
            return Err(Error::Verdict { id });
        }
        for (field, text) in fields {
            let known: Vec<&str> = fields_of(kind).map(|spec| spec.name).collect();
            let spec = fields_of(kind).find(|spec| spec.field == *field);
            let name = FieldSpec::of(*field).name;
            let problem = || format!("{kind} {} has no such field; it has {}", id.short(), known.join(", "));
            let spec = spec.ok_or_else(|| Invalid::new(name, problem()))?;
            if record.text(*field).is_none_or(|known| known != text.as_str()) {
                let text = self.redaction.text(text);
                spec.check(&text)?;
                record.set(*field, text.into_owned())?;
            }
        }
        record.check()?;
        Ok(record)
    }

    /// The fields that the edit `bytes` changes in the record `before`, and the amendment.
    fn edited(
        &self,
        view: &View<'_>,
        before: &Recorded,
        latest: Revision,
        bytes: &[u8],
        because: Option<String>,
    ) -> Result<(Vec<FieldChange>, Option<Op>), Error> {
        let (id, path) = (before.id, RecordPath(&before.path).page().into_owned());
        let revision = before.revision();
        // A row may have less than the record, and a file is what was edited.
        let request = view.request_at(id, &path, revision).unwrap_or_else(|| before.request.clone());
        let (fields, created_at) = (before.amended_fields(), before.created_at);
        let current = Amendable { id, created_at, path: path.clone(), request, fields, revision, latest };
        let base = |revision| view.request_at(id, &path, revision).map(|request| request.record);
        let edited = page::edited(&current, bytes, By::Asked, base).map_err(|why| Error::NotTaken { id, why })?;
        let Some(mut record) = edited else { return Ok((Vec::new(), None)) };
        for change in differences(&current.request.record, &record) {
            if let Some(spec) = FieldSpec::named(change.field)
                && let Cow::Owned(text) = self.redaction.text(&change.after)
            {
                record.set(spec.field, text)?;
            }
        }
        record.check()?;
        let changes = differences(&current.request.record, &record);
        Ok((changes, current.amended_by_edit(record, bytes, because, made_at)))
    }

    /// The edited page `bytes` without its secrets; `None` if it has none that this knows.
    pub fn cleaned(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.redaction.text(std::str::from_utf8(bytes).ok()?) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into_bytes()),
        }
    }

    /// Replaces the edited file at `path`, which had the bytes `seen`, with `cleaned`. Killed before an amendment is kept, this leaves
    /// the same edit without its secrets, for the next amendment. Returns whether the file still was as it was seen; if it was not, it is
    /// as it is.
    ///
    /// # Errors
    /// The disk's; the file is then the old one or the new one, whole.
    pub fn clean(&self, path: &str, seen: &[u8], cleaned: &[u8]) -> Result<bool, fs::Error> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.home.dir().make_folder(folder)?;
        if folder.content(name, limits::FILE_BYTES_MAX as u64)?.as_deref() != Some(seen) {
            return Ok(false);
        }
        folder.replace(name, cleaned, &self.home.private().folder(TEMPORARY)?, Durability::Full)?;
        Ok(true)
    }

    /// Appends the operations of all of `planned` to the journal, and syncs it. Returns whether there was one. From then on they
    /// happen, whatever happens next.
    ///
    /// # Errors
    /// [`Error::Twice`] and [`Error::Journal`]: none of them happens.
    pub fn keep(&self, planned: &[Planned]) -> Result<bool, Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = planned.iter().find(|it| !seen.insert(it.id)) {
            return Err(Error::Twice { id: twice.id });
        }
        let jsons: Vec<Vec<u8>> = planned.iter().filter_map(|it| it.op.as_ref()).map(Op::to_json).collect();
        if jsons.is_empty() {
            return Ok(false);
        }
        let _ = Appender::open_for_operations(self.home.journal())?.append(&jsons)?.sync()?;
        Ok(true)
    }
}

/// When the operation with this revision was made: its id has the time, to the millisecond.
fn made_at(revision: Revision) -> Timestamp {
    RecordId(revision.op).time().unwrap_or_else(fs::now)
}
