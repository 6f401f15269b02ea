//! Status: what a home has, what is pending, and what needs attention. It changes nothing and takes no lock.
//!
//! `records` counts what was recorded, `size` the bytes of the stores, `history` has the newest commit, `worker` says what its
//! worker does wrong. `docs/status.md` describes every field for programs.

mod history;
mod records;
mod size;
mod worker;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::erasing::Erasing;
use crate::fs::lock::WorkerLock;
use crate::fs::os;
use crate::home::Home;
use crate::hook::count::{self, Counts};
use crate::journal::{Found, Records};
use crate::model::layout::{INDEX, INDEX_WAL, QUARANTINE};
use crate::model::position::Position;
use crate::model::text::{self, chain, counted, number};
use crate::model::{Intent, Kind, Op};
use crate::pipeline::{Reached, reached, waiting};
use crate::quarantine::Contents;
use crate::state::{Edits, Left, State};
use crate::target::history::{self as git, History, HistoryOptions};
use crate::target::index::{self, Index, Others};
use crate::target::search::{self, SearchState, SearchStatus};
use crate::verify;
use crate::worker::{Published, State as Doing, published};

pub use history::HistoryStatus;
pub use records::{KindCount, RecordCounts};
pub use size::Size;

/// What stands before the container that a holder of the worker's lock is in.
const OF_ANOTHER: &str = " of another ";
/// So many pending records are looked up in the index.
const LOOKED_UP_MAX: u64 = 10_000;
/// Without a worker, a pending record older than this needs attention.
const WAITS_MAX: Duration = Duration::from_secs(60);

/// The state of a home.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its folder.
    pub home: String,
    /// How many records there are; `None` if the index cannot be read.
    pub records: Option<RecordCounts>,
    /// How much of the disk its stores take.
    pub size: Size,
    /// The records that wait to be committed.
    pub pending: Pending,
    /// The records that are committed and wait for their row: the index was locked, or could not be opened.
    #[serde(rename = "rows_owed")]
    pub rows_lag: Pending,
    /// The records that wait for their row, committed or not.
    #[serde(skip)]
    pub rows_missing: Pending,
    /// Whether the index can be read.
    #[serde(skip)]
    pub index: IndexState,
    /// The owner of the worker's lock; `None` if no worker runs.
    pub worker: Option<String>,
    /// The status that a worker last published: the one that runs, or one that is gone ([`Status::publisher`]).
    pub published: Option<Published>,
    /// What became of the process that published it.
    #[serde(rename = "published_by")]
    pub publisher: Option<Publisher>,
    /// The journal's size.
    pub journal: JournalSize,
    /// How far search is.
    pub search: SearchStatus,
    /// The size in bytes of the index's write-ahead log.
    pub index_wal_bytes: u64,
    /// The branch that records are committed to, and its newest commit.
    pub history: Option<HistoryStatus>,
    /// What waits in quarantine.
    pub quarantine: Contents,
    /// What became of hook events; `None` if no hook ever ran.
    pub hooks: Option<Counts>,
    /// What became of hook events that no home could take; `None` if there were no such events.
    pub hooks_without_home: Option<Counts>,
    /// Everything that needs a person's attention.
    pub needs_attention: Vec<String>,
}

/// Whether the index can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// It can.
    Readable,
    /// It is locked, or cannot be read at the moment.
    Busy,
    /// It is damaged or missing: that does not pass by itself.
    Lost,
}

/// What waits to be committed, or for its row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// How many records, and operations on records.
    pub records: u64,
    /// How many seconds ago the oldest was made.
    pub oldest_age_s: Option<i64>,
    /// When the oldest was made.
    pub oldest_at: Option<Timestamp>,
}

/// How large the journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalSize {
    /// Its segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What became of the process that published a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// It runs, and has the worker's lock.
    Running,
    /// It has ended, and said so.
    Ended,
    /// It is gone, and did not say that it ended: it was killed, or the machine was.
    Gone,
}

impl Publisher {
    /// Who published `published`, where `holder` has the worker's lock.
    fn of(published: &Published, holder: Option<&str>) -> Publisher {
        let process = format!("process {}", published.process);
        // A holder in another container is named with its process as well.
        let is_it = |holder: &str| holder.split(OF_ANOTHER).next().is_some_and(|it| it.ends_with(&process));
        match holder {
            Some(holder) if is_it(holder) => Publisher::Running,
            _ if published.state == Doing::Stopped => Publisher::Ended,
            _ => Publisher::Gone,
        }
    }
}

/// The status of `home`, on a day that began at `today_since`.
///
/// # Errors
/// [`verify::Error`] if a store cannot be read.
pub fn status(home: &Home, options: &HistoryOptions, today_since: Timestamp) -> Result<Status, verify::Error> {
    let mut needs = Vec::new();
    let history = History::open(home.path(), options.clone()).map_err(|error| needs.push(chain(&error))).ok();
    let tip = history.as_ref().map(History::tip_commit).transpose().unwrap_or_else(|error: git::Error| {
        needs.push(chain(&error));
        None
    });
    let (index, index_state) = open_index(home, &mut needs);
    let reached = history.as_ref().and_then(|history| reached(home, history, index.as_ref()).ok()).unwrap_or_default();
    let Lags { pending: waits, rows: rows_lag, rows_missing } = lags(home, reached, index.as_ref(), &mut needs)?;
    let count = |index: &Index| records::count(home, index, reached.settled(), today_since);
    let records = index.as_ref().map(count).transpose().unwrap_or_else(|error| {
        tracing::debug!(error = chain(&error), "the records could not be counted");
        None
    });
    let worker = WorkerLock::holder(home.private())?.map(|holder| holder.0);
    let published = published(home)?;
    let publisher = published.as_ref().map(|published| Publisher::of(published, worker.as_deref()));
    let search = search_status(home, index.as_ref(), published.as_ref());
    let quarantine = Contents::of(home)?;
    let behind = counted(waits.records, "record has", "records have");
    worker::trouble(&behind, waits.oldest_age_s, worker.as_deref(), published.as_ref().zip(publisher), &mut needs);
    rows_trouble(&rows_lag, reached.rows_lost, index_state, &mut needs);
    quarantine_trouble(home, &quarantine, &mut needs);
    left_trouble(home, &mut needs)?;
    erasing_trouble(home, &mut needs)?;
    room_trouble(home, &mut needs);
    let hooks = count::counts(home.private())?;
    needs.extend(hooks.as_ref().and_then(Counts::trouble));
    let sizes = home.journal().sizes()?;
    let journal = JournalSize { segments: sizes.len(), bytes: sizes.iter().map(|(_, bytes)| bytes).sum() };
    let wal = home.dir().find(INDEX_WAL)?;
    Ok(Status {
        home: home.path().display().to_string(),
        records,
        size: Size::of(home, history.as_ref(), journal.bytes)?,
        pending: waits,
        rows_lag,
        rows_missing,
        index: index_state,
        worker,
        published,
        publisher,
        journal,
        search,
        index_wal_bytes: wal.map_or(0, |wal| wal.size),
        history: history.as_ref().map(|history| HistoryStatus::of(history, tip.flatten())),
        quarantine,
        hooks,
        hooks_without_home: None,
        needs_attention: needs,
    })
}

/// What each target lacks.
struct Lags {
    /// What waits to be committed.
    pending: Pending,
    /// What is committed and waits for its row.
    rows: Pending,
    /// What waits for its row, committed or not.
    rows_missing: Pending,
}

fn lags(home: &Home, reached: Reached, index: Option<&Index>, needs: &mut Vec<String>) -> Result<Lags, verify::Error> {
    let Reached { committed, rows_lag, .. } = reached;
    let has_row = |intent: &Intent| index.is_some_and(|index| index.find(intent.id).is_ok_and(|found| found.is_some()));
    // A recorder inserts most rows before the watermark passes them. Of many records the first ones are looked up, and each other
    // one counts as having its row.
    let (mut rowless, mut oldest, mut looked_up) = (0, None, 0);
    let waits = |op: &Op| {
        looked_up += 1;
        if !op.intent().is_some_and(|intent| looked_up > LOOKED_UP_MAX || has_row(intent)) {
            rowless += 1;
            oldest = oldest.or(op.at());
        }
        true
    };
    let waits = pending(home, committed, None, waits, needs)?;
    // A heuristic lags until its page shows it, too, and so does a verdict. What an operation changes in a row lags until the
    // watermark passes it.
    let is_whole =
        |intent: &Intent| !matches!(intent.record.kind(), Kind::Heuristic | Kind::Verdict) && has_row(intent);
    let lags = |op: &Op| op.intent().is_none_or(|intent| !is_whole(intent));
    let rows = rows_lag.map(|from| pending(home, Some(from), committed, lags, needs)).transpose()?.unwrap_or_default();
    let oldest_at = rows.oldest_at.or(oldest);
    let records = rows.records + rowless;
    let rows_missing = Pending { records, oldest_age_s: oldest_at.map(age_s), oldest_at };
    Ok(Lags { pending: waits, rows, rows_missing })
}

/// What needs attention in `home`, as far as that is known quickly: without opening the index, and with only the oldest
/// pending record read.
///
/// # Errors
/// [`verify::Error`] if a store cannot be read.
pub fn attention(home: &Home, options: &HistoryOptions) -> Result<Vec<String>, verify::Error> {
    let mut needs = Vec::new();
    let holder = WorkerLock::holder(home.private())?.map(|holder| holder.0);
    let published = published(home)?;
    let mut oldest_age_s = None;
    // A worker with nothing to do says nothing either: then nothing was recorded since.
    let may_hang = |it: &Published| worker::may_hang(it) && home.journal().written_at().is_none_or(|at| at > it.at);
    if holder.is_none() || published.as_ref().is_some_and(may_hang) {
        let history = History::open(home.path(), options.clone())?;
        let committed = reached(home, &history, None).unwrap_or_default().committed;
        let mut records = Records::from_position_or_start(home.journal(), committed)?;
        while oldest_age_s.is_none()
            && let Some(found) = records.as_mut().map(Records::next).transpose()?.flatten()
        {
            oldest_age_s = match &found {
                Found::Op(logged) => logged.op.at().map(age_s),
                _ => None,
            };
        }
    }
    let published = published.as_ref().map(|published| (published, Publisher::of(published, holder.as_deref())));
    worker::trouble("records have", oldest_age_s, holder.as_deref(), published, &mut needs);
    quarantine_trouble(home, &Contents::of(home)?, &mut needs);
    room_trouble(home, &mut needs);
    needs.extend(count::counts(home.private())?.as_ref().and_then(Counts::trouble));
    Ok(needs)
}

/// How long ago `at` was, in seconds.
fn age_s(at: Timestamp) -> i64 {
    (Timestamp::now().as_second() - at.as_second()).max(0)
}

/// What the journal holds from `begin`, or its beginning, to `end`, or its end. A segment of a newer program goes to
/// `needs`.
fn pending(
    home: &Home,
    begin: Option<Position>,
    end: Option<Position>,
    counts: impl FnMut(&Op) -> bool,
    needs: &mut Vec<String>,
) -> Result<Pending, verify::Error> {
    let waiting = waiting(home.journal(), begin, end, counts)?;
    if let Some(error) = waiting.newer {
        let need = format!("{error}: what is recorded is kept; run the newer indelible to have it committed");
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    Ok(Pending { records: waiting.operations, oldest_age_s: waiting.oldest.map(age_s), oldest_at: waiting.oldest })
}

/// How far search is, and why the last process that tried could not bring it up to date.
fn search_status(home: &Home, index: Option<&Index>, published: Option<&Published>) -> SearchStatus {
    let mut search = search::status(home, index);
    let failed = published.and_then(|published| published.search_error.as_ref());
    if search.state != SearchState::Current && search.error.is_none() {
        search.error = failed.map(|(at, error)| format!("{error} ({at:.0})"));
    }
    search
}

/// If nothing can be written, records are refused.
fn erasing_trouble(home: &Home, needs: &mut Vec<String>) -> Result<(), verify::Error> {
    if let Some(note) = Erasing::read(home.private())? {
        let records = counted(note.ids.len() as u64, "record is", "records are");
        needs.push(format!("{records} being erased, and not all bytes are gone: run `indelible flush`"));
    }
    Ok(())
}

fn room_trouble(home: &Home, needs: &mut Vec<String>) {
    if let Some(why) = os::why_unwritable(home.private()) {
        needs.push(format!(
            "records will be refused, as {} cannot be written to: {why}",
            home.private().path().display()
        ));
    }
}

/// Edits by hand that the worker did not take.
fn edits_trouble(Edits { left, more, too_many, .. }: &Edits, needs: &mut Vec<String>) {
    for (path, why) in left {
        let (path, why) = (text::visible_line(path), text::visible_line(why));
        needs.push(format!(
            "{path} was edited by hand, and the edit cannot be taken: {why}. Correct it; or remove the file, and `indelible recover` \
             brings back what git has"
        ));
    }
    if *more > 0 {
        needs.push(format!("{} like that", counted(*more, "more file is", "more files are")));
    }
    if *too_many > 0 {
        let files = counted(*too_many, "file was", "files were");
        needs.push(format!("{files} edited by hand at once: `indelible amend --from-files` takes the edits"));
    }
}

/// What the last audit left to a person, and the worker's search for edits.
fn left_trouble(home: &Home, needs: &mut Vec<String>) -> Result<(), verify::Error> {
    let Some(state) = State::read(home.private())? else { return Ok(()) };
    edits_trouble(&state.edits.unwrap_or_default(), needs);
    let Some(Left { named, first, removed }) = state.left else { return Ok(()) };
    if named > 0 {
        let files = counted(named, "file is not the record's", "files are not the records'");
        let first = text::visible_line(first.as_deref().unwrap_or_default()).into_owned();
        needs.push(format!("{files} that belongs there, or cannot be read, the first {first}: see `indelible verify`"));
    }
    if removed > 0 {
        needs.push(removed_trouble(removed));
    }
    Ok(())
}

/// What to do about `removed` records that commits removed from git.
pub fn removed_trouble(removed: u64) -> String {
    let records = counted(removed, "record was", "records were");
    format!(
        "{records} removed from git by commits, and the files are gone, too: revert the commits to keep the records, or retract \
         them by `indelible config set history.removals_max {removed}` and `indelible recover`"
    )
}

/// The index, to be read; `None` if it cannot be used, with the reason in `needs` if that will not pass by itself.
fn open_index(home: &Home, needs: &mut Vec<String>) -> (Option<Index>, IndexState) {
    let opened = Index::open_to_read(&home.index_path(), Duration::from_millis(500), Others::MayWrite);
    match opened.and_then(|index| index.check_schema().map(|()| index)) {
        Ok(index) => (Some(index), IndexState::Readable),
        Err(error) if !error.is_transient() || matches!(error, index::Error::Unopenable { .. }) => {
            needs.push(format!("{}: run `indelible repair`", chain(&error)));
            (None, IndexState::Lost)
        }
        Err(_) => (None, IndexState::Busy),
    }
}

fn rows_trouble(lag: &Pending, lost: bool, index: IndexState, needs: &mut Vec<String>) {
    if lost {
        needs.push("the journal no longer has all records that the index may lack: run `indelible recover`".to_owned());
    }
    if index == IndexState::Lost {
        // What to do about that is said, and no lock is in the way.
        return;
    }
    let waits = lag.oldest_age_s.unwrap_or(0);
    let (records, waited) = (
        counted(
            lag.records,
            "record is committed and waits for its row",
            "records are committed and wait for their rows",
        ),
        number(waits.unsigned_abs()),
    );
    if i64::try_from(WAITS_MAX.as_secs()).is_ok_and(|max| waits > max) {
        needs.push(format!(
            "{records}, for up to {waited} s: end the process that holds the lock of {}, or mend its file that is named \
             here, and run `indelible worker --detach` or `indelible flush`",
            INDEX
        ));
    }
}

fn quarantine_trouble(home: &Home, quarantine: &Contents, needs: &mut Vec<String>) {
    let folder = text::path(&home.private().path().join(QUARANTINE));
    if !quarantine.damaged.is_empty() {
        let found = counted(
            quarantine.damaged.len() as u64,
            "damaged stretch of the journal is",
            "damaged stretches of the journal are",
        );
        needs.push(format!("{found} in {folder}: `indelible repair --dismiss` once seen"));
    }
    let records = quarantine.parked.len().saturating_sub(quarantine.operations.len());
    if let Some(first) = quarantine.operations.first() {
        let found = counted(
            quarantine.operations.len() as u64,
            "operation could not be applied and is",
            "operations could not be applied and are",
        );
        needs.push(format!(
            "{found} in {folder}, the first: {first}: it is tried again once a program or a record is here that it needs; \
             `indelible repair --dismiss` says that you have seen it"
        ));
    }
    if records > 0 {
        let found =
            counted(records as u64, "record could not be applied and is", "records could not be applied and are");
        needs.push(format!(
            "{found} in {folder}, each with the reason: a worker and `indelible repair` try them again, `indelible repair --dismiss` \
             says that you have seen them"
        ));
    }
}
