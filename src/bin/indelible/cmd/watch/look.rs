//! What is watched: a home, read again when one of its stores has changed.
//!
//! To see that nothing has changed, a few files' sizes and times are looked at, and whether the worker's lock is held. A home that
//! changes all the time is read as often as [`SHARE`] of the time allows.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use indelible::fs::lock::WorkerLock;
use indelible::home::Home;
use indelible::model::RecordPath;
use indelible::model::layout::{INDEX, INDEX_WAL, JOURNAL, QUARANTINE, SEARCH, STATUS, SYNC, WAL};
use indelible::model::text::chain;
use indelible::query::{self, Ask, Recorded, Selection, Sort, Stage, Stages, View, list};
use indelible::search::{Filter, Query};
use indelible::status::{Status, status};
use indelible::sync::{self, Standing};
use indelible::target::history::HistoryOptions;
use jiff::Timestamp;

use crate::reading::zone;

/// How many records are shown, the newest first.
const RECORDS_MAX: usize = 200;
/// How many hits of a search are shown.
const HITS_MAX: usize = 100;
/// How long to wait for a lock on the index that another program holds.
const INDEX_WAIT: Duration = Duration::from_millis(100);
/// The least time between two readings.
const PAUSE: Duration = Duration::from_millis(400);
/// A reading that took so long is followed by a pause of so many times that.
const SHARE: u32 = 20;
/// A home in which nothing changes is read again after this: the day may have ended.
const AT_LEAST: Duration = Duration::from_secs(60);
/// How often it is looked whether a worker runs: no file changes when one is killed.
const LOCK_LOOK: Duration = Duration::from_secs(2);

/// A record, and where it is by now.
#[derive(Clone, Debug)]
pub struct Row {
    pub recorded: Recorded,
    pub stages: Vec<Stage>,
    /// Whether the remote has it; `None` if there is no remote.
    pub is_pushed: Option<bool>,
}

/// The home at one moment.
pub struct Seen {
    /// `Err`: why it could not be read.
    pub status: Result<Status, String>,
    pub rows: Result<Vec<Row>, String>,
    pub notes: Vec<String>,
    /// How the home stands with its remote; `None` if there is none.
    pub remote: Option<Standing>,
}

/// The sizes and times of the files that change when something happens.
type Fingerprint = Vec<Option<(u64, Option<SystemTime>)>>;

/// Looks at a home.
pub struct Looker<'h> {
    home: &'h Home,
    options: HistoryOptions,
    sync: sync::Options,
    files: Vec<PathBuf>,
    seen: Fingerprint,
    read_at: Option<Instant>,
    pause: Duration,
    lock_at: Instant,
    holder: Option<String>,
}

impl<'h> Looker<'h> {
    pub fn new(home: &'h Home, options: HistoryOptions, sync: sync::Options) -> Looker<'h> {
        let private = |name: &str| home.private().path().join(name);
        let of_home = |name: &str| home.path().join(name);
        let search_wal = format!("{SEARCH}{WAL}");
        let files = [INDEX, INDEX_WAL, SEARCH, &search_wal].map(of_home);
        let files = files.into_iter().chain([STATUS, JOURNAL, QUARANTINE, SYNC].map(private)).collect();
        let now = Instant::now();
        Looker { home, options, sync, files, seen: Vec::new(), read_at: None, pause: PAUSE, lock_at: now, holder: None }
    }

    fn fingerprint(&self) -> Fingerprint {
        let look = |path: &PathBuf| {
            let found = std::fs::symlink_metadata(path).ok()?;
            Some((found.len(), found.modified().ok()))
        };
        let mut fingerprint: Fingerprint = self.files.iter().map(look).collect();
        // The segments grow, and their folder does not change.
        let sizes = self.home.journal().sizes().unwrap_or_default();
        fingerprint.push(Some((sizes.iter().map(|(_, bytes)| bytes).sum(), None)));
        fingerprint
    }

    /// Whether the home is to be read: something has changed, or a long time has passed.
    pub fn is_due(&mut self) -> bool {
        let Some(read_at) = self.read_at else { return true };
        let since = read_at.elapsed();
        if since < self.pause {
            return false;
        }
        if since >= AT_LEAST || self.fingerprint() != self.seen {
            return true;
        }
        if self.lock_at.elapsed() >= LOCK_LOOK {
            self.lock_at = Instant::now();
            return self.holder() != self.holder;
        }
        false
    }

    fn holder(&self) -> Option<String> {
        WorkerLock::holder(self.home.private()).ok().flatten().map(|holder| holder.0)
    }

    /// Reads the home.
    pub fn read(&mut self) -> Seen {
        let began = Instant::now();
        // Before the reading: what changes meanwhile is seen the next time.
        self.seen = self.fingerprint();
        let today = crate::cmd::status::beginning_of_today();
        let status = status(self.home, &self.options, today).map_err(|error| chain(&error));
        self.holder = status.as_ref().map_or_else(|_| self.holder(), |status| status.worker.clone());
        let view = View::open(self.home, self.options.clone(), INDEX_WAIT);
        let rows = self.newest(&view).map_err(|error| chain(&error));
        let mut notes = view.notes().to_vec();
        let remote = sync::standing(self.home, &self.sync).unwrap_or_else(|error| {
            notes.push(chain(&error));
            None
        });
        notes.extend(remote.iter().flat_map(|remote| remote.troubles(&self.sync)));
        self.read_at = Some(Instant::now());
        self.pause = PAUSE.max(began.elapsed() * SHARE);
        Seen { status, rows, notes, remote }
    }

    /// Reads the home soon, whether or not something has changed.
    pub fn hurry(&mut self) {
        self.read_at = None;
    }

    /// The records that `words` find, the best first.
    ///
    /// # Errors
    /// What is wrong with the words, or why the home could not be read.
    pub fn search(&self, words: &str) -> Result<Vec<Row>, String> {
        let query = Query::parse(words, &zone::now()).map_err(|error| error.to_string())?;
        let view = View::open(self.home, self.options.clone(), INDEX_WAIT);
        let filter = Filter::default();
        let ask =
            Ask { query: &query, filter: &filter, states: &[], limit: HITS_MAX, project: None, now: Timestamp::now() };
        let found = query::search(&view, &ask).map_err(|error| chain(&error))?;
        let records = found.hits.into_iter().map(|hit| hit.recorded).collect();
        self.with_stages(&view, records).map_err(|error| chain(&error))
    }

    /// The newest records of `view`.
    fn newest(&self, view: &View<'_>) -> Result<Vec<Row>, query::Error> {
        let filter = Filter::default();
        let wanted =
            Selection { filter: &filter, states: None, sort: Sort::Newest, limit: RECORDS_MAX, count_max: Some(0) };
        self.with_stages(view, list(view, wanted)?.records(view)?)
    }

    fn with_stages(&self, view: &View<'_>, records: Vec<Recorded>) -> Result<Vec<Row>, query::Error> {
        let stages = Stages::of(view)?;
        let pages: Vec<String> = records.iter().map(|it| RecordPath(&it.path).page().into_owned()).collect();
        let pushed = sync::acknowledged(self.home, &self.sync, &pages).ok().flatten();
        let row = |(at, recorded): (usize, Recorded)| {
            let reached = Stage::ALL.into_iter().filter(|stage| stages.has(view, &recorded, *stage)).collect();
            Row { recorded, stages: reached, is_pushed: pushed.as_ref().map(|pushed| pushed[at]) }
        };
        Ok(records.into_iter().enumerate().map(row).collect())
    }
}
