//! Recording: validate, append, sync, apply, in that order and only here.
//!
//! 1. Whatever can refuse a record is found before the journal is written.
//! 2. From the moment the intent is durable the outcome is a [`Receipt`], whatever happens next.
//! 3. A recorder waits for no lock in the journal and for no git, and for SQLite no longer than it was told to, or not at
//!    all.
//!
//! | killed | on disk | what becomes of the record |
//! | --- | --- | --- |
//! | before the append | perhaps an empty folder | it is not recorded; the caller saw no success |
//! | before the sync returned | a torn entry, or a whole one | torn: nothing; whole: replayed |
//! | after it | the intent, and what else was reached | the worker, or recovery, does the rest |

mod line;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::fs;
use crate::fs::lock::WorkerLock;
use crate::home::{self, Home};
use crate::journal::{self, Appender, Synced};
use crate::model::path;
use crate::model::position::Position;
use crate::model::text;
use crate::model::{FileImage, Intent, Invalid, Kind, Level, RecordId, RecordPath, Request};
use crate::page;
use crate::target::files::{Applier, Expect};
use crate::target::index::{self, Index, RowImage};
use crate::target::spread;

/// From so many records in one call on, a recorder looks itself whether folders have grown; the worker does otherwise.
const SPREAD_RECORDS: usize = 100;
/// How far the index's write-ahead log may grow before a recorder that finds no worker checkpoints it, in bytes.
const WAL_BYTES_MAX: u64 = 1 << 20;

/// What the caller is told of a record that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receipt {
    /// The record's name for ever.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: String,
    /// The row it has now; `None` where that is left to the worker.
    pub row_id: Option<i64>,
    /// When it was recorded, to the millisecond.
    #[serde(serialize_with = "with_milliseconds")]
    pub created_at: Timestamp,
    /// Whether the key was known already, and this is the record that it names.
    pub duplicate: bool,
    /// Why its row is in no table and never will be, in one line, if an adopted table refuses it. Not part of its JSON.
    #[serde(skip)]
    pub row_refused: Option<String>,
}

/// Why a record was not kept. Nothing of it appears later, unless the journal's
/// error says that its entry could not be voided, or a worker had read it in the instant before that.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is not as it must be.
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
#[derive(Debug)]
pub struct Recorder<'h> {
    home: &'h Home,
    applier: Applier<'h>,
    index_wait: Option<Duration>,
    /// Open since the last call that inserted rows.
    index: Option<Index>,
}

impl<'h> Recorder<'h> {
    /// A recorder for `home` that waits for SQLite no longer than `index_wait` a record; with `None` it leaves the index
    /// alone: rows are the worker's then, and so is finding out whether a key was recorded before.
    ///
    /// # Errors
    /// [`home::Error::Broken`] if a private folder is missing.
    pub fn new(home: &'h Home, index_wait: Option<Duration>) -> Result<Recorder<'h>, home::Error> {
        Ok(Recorder { home, applier: Applier::new(home)?, index_wait, index: None })
    }

    /// Records one thing.
    ///
    /// # Errors
    /// Every [`Error`]; nothing was recorded then.
    pub fn record(&mut self, request: Request) -> Result<Receipt, Error> {
        let mut outcomes = self.record_all(vec![request]);
        outcomes.pop().expect("there is one outcome for each request")
    }

    /// Records many things with one sync, and returns the outcome of each, in order.
    pub fn record_all(&mut self, requests: Vec<Request>) -> Vec<Result<Receipt, Error>> {
        // One that was moved away since is not the home's any more.
        let mut index = self.index.take().filter(|index| !index.has_moved());
        let mut decided: Vec<_> = requests.into_iter().map(|request| self.decide(request, &mut index)).collect();
        repeats_within(&mut decided);
        let jsons: Vec<&[u8]> = decided.iter().filter_map(Decided::json).collect();
        if !jsons.is_empty() {
            match self.append(&jsons) {
                Ok(synced) => {
                    // From here on the records are kept. Whatever goes wrong, a panic included, the worker mends.
                    let apply = AssertUnwindSafe(|| self.apply(&mut decided, index, &synced));
                    self.index = catch_unwind(apply).unwrap_or_default();
                }
                Err(error) => {
                    let error = Arc::new(error);
                    return decided.into_iter().map(|decided| decided.outcome_without_journal(&error)).collect();
                }
            }
        }
        decided.into_iter().map(Decided::outcome).collect()
    }

    /// Decides everything about a record, and finds whatever can refuse it.
    fn decide(&self, request: Request, index: &mut Option<Index>) -> Decided {
        match self.try_decide(request, index) {
            Ok(decided) => decided,
            Err(error) => Decided::Refused(error),
        }
    }

    fn try_decide(&self, request: Request, index: &mut Option<Index>) -> Result<Decided, Error> {
        request.check()?;
        let created_at = now();
        if let Some(key) = &request.key {
            let id = RecordId::of_key(self.home.id(), key);
            if let Some(receipt) = self.repeated(id, index) {
                return Ok(Decided::Done(receipt));
            }
        }
        let keyed = request.key.as_deref().map(|key| RecordId::of_key(self.home.id(), key));
        let (id, files) = self.name(keyed, created_at, &request)?;
        let Request { record, key, provenance } = request;
        let intent = Intent { id, created_at, key, record, provenance, files };
        let json = serde_json::to_vec(&intent).expect("an intent is made of strings and numbers");
        if json.len() + 64 > journal::ENTRY_BYTES_MAX {
            return Err(Error::Journal(Arc::new(journal::Error::TooLarge { bytes: json.len() })));
        }
        let receipt = Receipt {
            id,
            kind: intent.record.kind(),
            path: intent.path().to_owned(),
            row_id: None,
            created_at,
            duplicate: false,
            row_refused: None,
        };
        Ok(Decided::Wanted(Box::new(Wanted { intent, json, receipt })))
    }

    /// The record that a key names already, as far as the index knows.
    fn repeated(&self, id: RecordId, index: &mut Option<Index>) -> Option<Receipt> {
        let known = self.index(index)?.find(id).ok()??;
        Some(Receipt {
            id,
            kind: known.kind,
            path: known.path,
            row_id: known.row_id,
            created_at: known.created_at,
            duplicate: true,
            row_refused: None,
        })
    }

    /// Draws an id whose path is free, unless `keyed` is the id already, and makes the folder. A symbolic link in the
    /// way, or a folder that cannot be made, is found here.
    fn name(
        &self,
        keyed: Option<RecordId>,
        created_at: Timestamp,
        request: &Request,
    ) -> Result<(RecordId, Vec<FileImage>), Error> {
        let day = path::day_of(&request.record, created_at);
        let above = day.as_deref().unwrap_or(request.record.kind().folder());
        let folder = self.home.dir().make_folder(above)?;
        loop {
            let id = keyed.unwrap_or_default();
            let level = day.as_ref().map_or(Ok(Level::Day), |_| spread::level_in(&folder, created_at, id))?;
            let files = page::files(id, created_at, request, level);
            let path = files.first().map_or("", |file| RecordPath(&file.path).shown());
            let name = path.strip_prefix(above).map_or(path, |name| name.trim_start_matches('/'));
            if keyed.is_some() || folder.find(name)?.is_none() {
                return Ok((id, files));
            }
        }
    }

    fn append(&self, jsons: &[&[u8]]) -> Result<Synced<Position>, journal::Error> {
        let mut appender = Appender::open(self.home.journal())?;
        appender.append(jsons)?.sync()
    }

    /// Does what the worker would do otherwise: files, then rows. A keyed record is left to the worker, which knows
    /// which intent of its key came first. Returns the index if it can be used again.
    fn apply(&self, decided: &mut [Decided], mut index: Option<Index>, synced: &Synced<Position>) -> Option<Index> {
        let mut placed = Vec::new();
        for wanted in decided.iter_mut().filter_map(Decided::wanted).filter(|wanted| wanted.intent.key.is_none()) {
            match self.applier.files(&wanted.intent, Expect::Nothing, synced) {
                Ok(place) => {
                    wanted.receipt.path.clone_from(&place.path);
                    placed.push(wanted);
                }
                Err(error) => tracing::debug!(id = %wanted.intent.id, %error, "the file is left to the worker"),
            }
        }
        if placed.len() >= SPREAD_RECORDS {
            spread::spread_full(self.home.dir(), placed.iter().map(|wanted| wanted.intent.path()));
        }
        let rows: Vec<_> = placed.iter().map(|wanted| RowImage::of(&wanted.intent, &wanted.receipt.path)).collect();
        if rows.is_empty() {
            return index;
        }
        match self.index(&mut index)?.insert(&rows) {
            Ok(inserted) => {
                for (wanted, inserted) in placed.iter_mut().zip(inserted) {
                    wanted.receipt.row_id = Some(inserted.row_id);
                }
                self.checkpoint_without_worker(index.as_ref()?);
                index
            }
            Err(error) => {
                if let index::Error::RowRefused { id, source, .. } = &error
                    && let Some(wanted) = placed.iter_mut().find(|wanted| wanted.intent.id == *id)
                {
                    wanted.receipt.row_refused = Some(text::visible_line(&source.to_string()).into_owned());
                }
                tracing::debug!(%error, "rows are left to the worker");
                None
            }
        }
    }

    fn index<'i>(&self, index: &'i mut Option<Index>) -> Option<&'i mut Index> {
        if index.is_none() {
            *index = Index::open(&self.home.index_path(), self.index_wait?).ok();
        }
        index.as_mut()
    }

    /// Where no worker runs, the write-ahead log must not grow for ever.
    fn checkpoint_without_worker(&self, index: &Index) {
        let large = || {
            let wal = self.home.dir().find(&format!("{}-wal", home::INDEX)).ok()??;
            (wal.size > WAL_BYTES_MAX).then_some(())
        };
        if large().is_some()
            && let Ok(Ok(_lock)) = WorkerLock::try_take(self.home.private(), "a recorder's checkpoint")
        {
            // This also cuts the log, so that the next recorder does not find it as large.
            let _ = index.sync();
        }
    }
}

/// A time as the files and the index spell it.
fn with_milliseconds<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// The time as records keep it.
fn now() -> Timestamp {
    let now = fs::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Of several requests with one key, the first is the record.
fn repeats_within(decided: &mut [Decided]) {
    let mut first: HashMap<RecordId, Receipt> = HashMap::new();
    for decided in decided {
        if let Decided::Wanted(wanted) = decided
            && wanted.intent.key.is_some()
            && let Some(receipt) = first.insert(wanted.receipt.id, wanted.receipt.clone())
        {
            let receipt = Receipt { duplicate: true, ..receipt };
            first.insert(receipt.id, receipt.clone());
            *decided = Decided::Repeat(receipt);
        }
    }
}

/// A request on its way.
enum Decided {
    Refused(Error),
    /// Recorded before, under the same key.
    Done(Receipt),
    /// The same record as one before it in the same call.
    Repeat(Receipt),
    Wanted(Box<Wanted>),
}

struct Wanted {
    intent: Intent,
    receipt: Receipt,
    json: Vec<u8>,
}

impl Decided {
    fn json(&self) -> Option<&[u8]> {
        match self {
            Decided::Wanted(wanted) => Some(&wanted.json),
            _ => None,
        }
    }

    fn wanted(&mut self) -> Option<&mut Wanted> {
        match self {
            Decided::Wanted(wanted) => Some(wanted),
            _ => None,
        }
    }

    fn outcome(self) -> Result<Receipt, Error> {
        match self {
            Decided::Refused(error) => Err(error),
            Decided::Done(receipt) | Decided::Repeat(receipt) => Ok(receipt),
            Decided::Wanted(wanted) => Ok(wanted.receipt),
        }
    }

    /// The outcome when the journal took nothing, because of `error`.
    fn outcome_without_journal(self, error: &Arc<journal::Error>) -> Result<Receipt, Error> {
        match self {
            Decided::Refused(_) | Decided::Done(_) => self.outcome(),
            Decided::Repeat(_) | Decided::Wanted(_) => Err(Error::Journal(error.clone())),
        }
    }
}
