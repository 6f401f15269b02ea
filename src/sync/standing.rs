//! Where a home's records are on the remote, as of the last contact. It takes no lock and asks nothing of the network.

use git2::{Oid, Repository};
use jiff::Timestamp;
use serde::Serialize;

use crate::home::Home;
use crate::model::layout::SYNC_GIT;
use crate::model::{RecordId, path};
use crate::page;
use crate::target::history::{self, History};

use super::project::may_be_page;
use super::schedule::backoff;
use super::store::{ACKED, At, IMPORTED, SyncState, TRUNK, file_at, target};
use super::{Class, Error, Options, url};

/// So many pages are read to see whether they are records, and how old; the rest is counted by their names.
const READ_MAX: u64 = 2_000;
/// The most commits that are looked at for the one that brought a page.
const COMMITS_MAX: usize = 10_000;

/// How a home stands with its remote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The remote, without credentials.
    pub remote: String,
    /// The full name of the own lane on it; `None` before the first push.
    pub lane: Option<String>,
    /// The last push that the remote took.
    pub pushed: Option<At>,
    /// How many committed records, amendments and retractions the remote has not acknowledged. Held ones are not counted.
    pub unpushed: u64,
    /// How many seconds ago the oldest of them was made.
    pub oldest_unpushed_s: Option<i64>,
    /// The records that are left out.
    pub held: Vec<HeldRecord>,
    /// Where the trunk is, as of the last look.
    pub trunk: Option<At>,
    /// What of it is here.
    pub imported: ImportedSo,
    /// How many lanes it had not merged then.
    pub lanes_unmerged: u64,
    /// The lanes that are left out of the merge, by the names of their references.
    pub lanes_left_out: Vec<LeftOut>,
    /// Why the remote does not take the trunk, if it does not.
    pub trunk_closed: Option<String>,
    /// How many records that this home has erased the remote may still have.
    pub to_purge: u64,
    /// Why the remote does not take its references without erased records, if it does not: their history still has them.
    pub erased_kept: Option<String>,
    /// Why the last sync did not do all of it.
    pub error: Option<SyncError>,
}

/// How far the trunk is imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedSo {
    /// The trunk's commit up to which it is.
    pub commit: Option<String>,
    /// How many records of other homes came with it.
    pub records: u64,
}

/// A lane that is left out of the merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The full name of its reference.
    pub lane: String,
    /// Why.
    pub why: String,
}

/// A record that is left out of the lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldRecord {
    /// The record.
    pub id: RecordId,
    /// Why.
    pub why: String,
}

/// Why the last sync did not do all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncError {
    /// Its class.
    pub class: Class,
    /// What was wrong.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How many failed in a row.
    pub attempts: u32,
    /// In how many seconds the worker tries again, about; `None` if it does not.
    pub next_try_s: Option<i64>,
}

impl Standing {
    /// What a person has to see to.
    pub fn troubles(&self, options: &Options) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Some(first) = self.held.first() {
            let count =
                crate::model::text::counted(self.held.len() as u64, "record is held and", "records are held and");
            troubles.push(format!(
                "{count} not pushed, the first {}: {}; `indelible sync` tries what the remote refused again",
                first.id.short(),
                first.why
            ));
        }
        if let Some(error) =
            self.error.as_ref().filter(|error| error.class.needs_a_person() || error.class == Class::Refused)
        {
            troubles.push(format!("the remote {}: {}", self.remote, error.message));
        }
        if self.to_purge > 0 {
            let count = crate::model::text::counted(self.to_purge, "erased record", "erased records");
            troubles.push(format!("the remote may still have {count}: run `indelible sync`"));
        }
        troubles.extend(self.of_others());
        let alert = i64::try_from(options.alert.as_secs()).unwrap_or(i64::MAX);
        if let Some(age) = self.oldest_unpushed_s.filter(|age| *age > alert) {
            let records = crate::model::text::counted(self.unpushed, "record is", "records are");
            troubles.push(format!("{records} not on the remote, the oldest for {age} s: run `indelible sync`"));
        }
        troubles
    }
}

impl Standing {
    /// What of other homes' records does not get through: lanes that are left out, and what the remote does not take.
    pub fn of_others(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(first) = self.lanes_left_out.first() {
            let count = crate::model::text::counted(self.lanes_left_out.len() as u64, "lane is", "lanes are");
            lines.push(format!("{count} left out of the merge, the first {}: {}", first.lane, first.why));
        }
        if let Some(why) = &self.trunk_closed {
            lines.push(format!("the remote does not take the trunk, and lanes are pushed all the same: {why}"));
        }
        if let Some(why) = &self.erased_kept {
            let what =
                "the remote does not take its references without erased records, so their history still has these";
            lines.push(format!("{what}; what is new is merged all the same: {why}"));
        }
        lines
    }
}

/// How `home` stands with its remote; `None` if it has none.
///
/// # Errors
/// [`Error`] if what is kept cannot be read.
pub fn standing(home: &Home, options: &Options) -> Result<Option<Standing>, Error> {
    if options.remote.is_empty() {
        return Ok(None);
    }
    let state = SyncState::read(home.private())?.filter(|state| state.remote == options.remote).unwrap_or_default();
    let history = History::open(home.path(), options.history.clone())?;
    let tip = history.tip_name()?.map(|tip| tip.to_string());
    let acked = Acked::open(home, &state)?;
    let mut counted = Counted::default();
    let is_current = tip.is_none() || state.projected == tip && acked.is_whole(&state);
    if !is_current {
        counted = acked.count(&history, &state)?;
    }
    let now = Timestamp::now();
    let error = state.error.as_ref().map(|failed| {
        let wait = i64::try_from(backoff(failed.class, failed.attempts).as_secs()).unwrap_or(i64::MAX);
        let left = (failed.at.as_second() + wait - now.as_second()).max(0);
        SyncError {
            class: failed.class,
            message: failed.message.clone(),
            at: failed.at,
            attempts: failed.attempts,
            next_try_s: options.auto.then_some(left),
        }
    });
    Ok(Some(Standing {
        remote: url::without_credentials(&options.remote),
        lane: state.lane_name(),
        pushed: state.pushed.clone(),
        unpushed: counted.unpushed,
        oldest_unpushed_s: counted.oldest.map(|oldest| (now.as_second() - oldest).max(0)),
        trunk: state.trunk_at.clone(),
        imported: ImportedSo { commit: acked.imported.map(|commit| commit.to_string()), records: state.imported },
        lanes_unmerged: state.unmerged,
        lanes_left_out: left_out(&state),
        trunk_closed: state.closed.clone(),
        to_purge: state.erased.len() as u64,
        erased_kept: state.kept_by_remote.as_ref().map(|kept| format!("{}: {}", kept.trunk, kept.why)),
        held: state.held.iter().map(|held| HeldRecord { id: held.id, why: held.why.clone() }).collect(),
        error,
    }))
}

fn left_out(state: &SyncState) -> Vec<LeftOut> {
    let bad = state.bad_lanes.values();
    bad.map(|bad| LeftOut { lane: bad.name.clone(), why: bad.why.clone() }).collect()
}

/// How many records that `home` has erased the remote may still have.
///
/// # Errors
/// [`Error`] if what is kept cannot be read.
pub fn to_purge(home: &Home, options: &Options) -> Result<u64, Error> {
    let state = SyncState::read(home.private())?.filter(|state| state.remote == options.remote).unwrap_or_default();
    Ok(state.erased.len() as u64)
}

/// Which of the pages `paths` of `home` the remote has acknowledged, in whatever form: what of them was amended since, [`standing`]
/// counts. `None` without a remote.
///
/// # Errors
/// [`Error`] if what is kept cannot be read.
pub fn acknowledged(home: &Home, options: &Options, paths: &[String]) -> Result<Option<Vec<bool>>, Error> {
    if options.remote.is_empty() {
        return Ok(None);
    }
    let state = SyncState::read(home.private())?.filter(|state| state.remote == options.remote).unwrap_or_default();
    let acked = Acked::open(home, &state)?;
    Ok(Some(paths.iter().map(|path| acked.has_some(path)).collect()))
}

#[derive(Default)]
struct Counted {
    unpushed: u64,
    /// The time of the oldest, in seconds since 1970.
    oldest: Option<i64>,
}

/// What the remote has acknowledged, if anything.
struct Acked {
    repository: Option<Repository>,
    acked: Option<Oid>,
    imported: Option<Oid>,
    /// The trees of the acknowledged lane and of the trunk.
    trees: Vec<Oid>,
}

impl Acked {
    fn open(home: &Home, state: &SyncState) -> Result<Acked, Error> {
        history::prepare();
        let path = home.private().path().join(SYNC_GIT);
        // Nothing was synced yet, or the cache is gone: then nothing is known.
        let repository = if state.lane.is_nil() { None } else { Repository::open_bare(path).ok() };
        let Some(repository) = repository else {
            return Ok(Acked { repository: None, acked: None, imported: None, trees: Vec::new() });
        };
        let acked = target(&repository, ACKED)?;
        let (trunk, imported) = (target(&repository, TRUNK)?, target(&repository, IMPORTED)?);
        let tree = |commit: Oid| Ok::<_, Error>(repository.find_commit(commit)?.tree_id());
        let trees = acked.into_iter().chain(trunk).map(tree).collect::<Result<Vec<_>, _>>()?;
        Ok(Acked { repository: Some(repository), acked, imported, trees })
    }

    /// Whether the remote has acknowledged all that was projected.
    fn is_whole(&self, state: &SyncState) -> bool {
        self.acked.map(|acked| acked.to_string()) == state.pushed.as_ref().map(|pushed| pushed.commit.clone())
    }

    fn has_some(&self, path: &str) -> bool {
        let Some(repository) = &self.repository else { return false };
        self.trees.iter().any(|root| file_at(repository, *root, path).ok().flatten().is_some())
    }

    fn has(&self, path: &str, blob: [u8; 20]) -> bool {
        let Some(repository) = &self.repository else { return false };
        let at = |root: &Oid| file_at(repository, *root, path).ok().flatten();
        self.trees.iter().filter_map(at).any(|found| found.as_bytes() == blob)
    }

    fn count(&self, history: &History, state: &SyncState) -> Result<Counted, Error> {
        let mut counted = Counted::default();
        let mut read = 0;
        let is_held = |path: &str| state.held.iter().any(|held| held.path == path);
        let has_folder = |path: &str, id: [u8; 20]| {
            let Some(repository) = &self.repository else { return false };
            let entry = |root: &Oid| repository.find_tree(*root).ok()?.get_path(std::path::Path::new(path)).ok();
            self.trees.iter().filter_map(entry).any(|entry| entry.id().as_bytes() == id)
        };
        history.for_each_file_beyond(&has_folder, |file| {
            if !may_be_page(file.path()) || is_held(file.path()) || self.has(file.path(), file.id()) {
                return Ok(());
            }
            read += 1;
            let made = if read > READ_MAX { Some(None) } else { made_at(file.path(), &file.read()?) };
            if let Some(at) = made {
                counted.unpushed += 1;
                counted.oldest = [counted.oldest, at].into_iter().flatten().min();
            }
            Ok::<_, history::Error>(())
        })?;
        Ok(counted)
    }
}

/// When the page at `path` was made or changed, in seconds, if that is known; `None` if it is no page of a record.
fn made_at(at: &str, bytes: &[u8]) -> Option<Option<i64>> {
    if let Some(id) = path::of_state_file(at) {
        return page::StateFile::parse(id, bytes).map(|state| Some(state.at.as_second()));
    }
    let parsed = page::parse(bytes).ok().filter(|parsed| parsed.kind == page::PageKind::Record)?;
    let amended = parsed.amended().as_ref().and_then(page::amended_at);
    Some(Some(amended.unwrap_or(parsed.created_at).as_second()))
}

/// Where a record is on the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The remote has acknowledged its page as it is now.
    Acknowledged,
    /// It has not yet.
    Unpushed,
    /// It is left out.
    Held,
    /// There is no remote.
    Never,
}

/// Where a record is on the remote, and as of when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Where {
    /// Where it is.
    pub state: Place,
    /// The commit of the own lane that brought its page as it is now.
    pub lane_commit: Option<String>,
    /// The trunk's commit that has it.
    pub trunk_commit: Option<String>,
    /// When the remote last said where the lane is.
    pub as_of: Option<Timestamp>,
    /// Why it is held.
    pub why: Option<String>,
}

/// Where a page is that this home's history lacks: another home's is on the trunk.
fn of_another_home(repository: &git2::Repository, path: &str) -> Result<Option<Where>, Error> {
    let Some(trunk) = target(repository, TRUNK)? else { return Ok(None) };
    let is_there = file_at(repository, repository.find_commit(trunk)?.tree_id(), path)?.is_some();
    let state = Place::Acknowledged;
    let trunk_commit = Some(trunk.to_string());
    Ok(is_there.then_some(Where { state, lane_commit: None, trunk_commit, as_of: None, why: None }))
}

/// Where the record with the page `path` is on the remote of `home`.
///
/// # Errors
/// [`Error`] if what is kept cannot be read.
pub fn where_is(home: &Home, options: &Options, path: &str) -> Result<Where, Error> {
    let never = Where { state: Place::Never, lane_commit: None, trunk_commit: None, as_of: None, why: None };
    if options.remote.is_empty() {
        return Ok(never);
    }
    let state = SyncState::read(home.private())?.filter(|state| state.remote == options.remote).unwrap_or_default();
    let as_of = state.seen_at;
    let unpushed = Where { state: Place::Unpushed, as_of, ..never };
    if let Some(held) = state.held.iter().find(|held| held.path == path) {
        return Ok(Where { state: Place::Held, why: Some(held.why.clone()), ..unpushed });
    }
    let history = History::open(home.path(), options.history.clone())?;
    let (acked, bytes) = (Acked::open(home, &state)?, history.read(path)?);
    let Some(repository) = &acked.repository else { return Ok(unpushed) };
    let Some(bytes) = bytes else { return Ok(of_another_home(repository, path)?.unwrap_or(unpushed)) };
    let blob = Oid::hash_object(git2::ObjectType::Blob, &bytes)?;
    let trunk = target(repository, TRUNK)?;
    let has = |commit: Oid| {
        Ok::<_, Error>(file_at(repository, repository.find_commit(commit)?.tree_id(), path)? == Some(blob))
    };
    let trunk_commit = match trunk {
        Some(trunk) if has(trunk)? => Some(trunk.to_string()),
        _ => None,
    };
    let lane_commit = match acked.acked {
        Some(acked) if has(acked)? => Some(brought(repository, acked, &has)?.to_string()),
        _ => None,
    };
    let is_there = lane_commit.is_some() || trunk_commit.is_some();
    let state = if is_there { Place::Acknowledged } else { Place::Unpushed };
    Ok(Where { state, lane_commit, trunk_commit, ..unpushed })
}

/// The oldest commit of the lane from which on it has what `has` asks for.
fn brought(repository: &Repository, tip: Oid, has: &impl Fn(Oid) -> Result<bool, Error>) -> Result<Oid, Error> {
    let mut at = tip;
    for _ in 0..COMMITS_MAX {
        match repository.find_commit(at)?.parent_id(0) {
            Ok(parent) if has(parent)? => at = parent,
            _ => break,
        }
    }
    Ok(at)
}
