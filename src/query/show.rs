//! `show`: all that the stores have of one record.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::text::chain;
use crate::model::{Kind, OtherHome, RecordId, RecordPath, limits};
use crate::page::{self, StateFile};
use crate::rules::Standing;
use crate::target::history::{self, FileCommit, History};
use crate::target::index::Judged;

use super::judged::{judged, newest};
use super::{Error, Recorded, Ruled, Seen, View};

/// How long the commit that introduced a record is searched for.
const COMMIT_WITHIN: Duration = Duration::from_millis(500);

/// What is at the place of a record's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The record's page.
    There,
    /// Nothing yet, or no more.
    Missing,
    /// Something else: another record's page, or a file that cannot be read.
    Other,
}

/// All that the stores have of a record.
#[derive(Clone, Debug)]
pub struct Details {
    /// The record.
    pub recorded: Recorded,
    /// What is at its place.
    pub file: Place,
    /// The commit that introduced it; `None` if there is none yet, or it was not found in time.
    pub commit: Option<FileCommit>,
    /// Every commit that changed its page, newest first, if they were asked for.
    pub history: Option<Vec<FileCommit>>,
    /// The verdicts on it.
    pub judged: Judged,
    /// Those of the verdicts that other homes gave, with the home.
    pub elsewhere: BTreeMap<RecordId, OtherHome>,
    /// Why the history could not be read, if it could not: then its commits are not known.
    pub history_error: Option<String>,
    /// How sure it is by now, against the newest record of the home; `None` if it is no rule.
    pub standing: Option<Standing>,
}

/// One record, or why it is not shown.
#[derive(Clone, Debug)]
pub enum Shown {
    /// It is there.
    Visible(Box<Details>),
    /// It was retracted or erased.
    Hidden(Option<StateFile>),
    /// Nothing is known of it.
    Unknown,
}

/// All that the stores have of the record `id`, whose page is at `path` if that is known. `with_history`: with every commit
/// that changed its page.
///
/// # Errors
/// [`Error::Index`].
pub fn show(view: &View<'_>, id: RecordId, path: Option<&str>, with_history: bool) -> Result<Shown, Error> {
    let recorded = match view.get(id, path)? {
        Seen::Visible(recorded) => *recorded,
        Seen::Hidden(mark) => return Ok(Shown::Hidden(mark)),
        Seen::Unknown => return Ok(Shown::Unknown),
    };
    let page = RecordPath(&recorded.path).page().into_owned();
    let file = match view.home.dir().content(&page, limits::FILE_BYTES_MAX as u64) {
        Ok(Some(bytes)) if page::id_of(&bytes) == Some(id) => Place::There,
        Ok(None) => Place::Missing,
        Err(error) if error.is_not_found() => Place::Missing,
        Ok(Some(_)) | Err(_) => Place::Other,
    };
    let commits = Commits::of(view, &page, recorded.created_at, with_history);
    let history_error = commits.as_ref().err().map(|error| chain(error));
    let Commits { commit, history } = commits.unwrap_or_default();
    let judged = judged(view, id)?;
    let standing = match recorded.kind() {
        Kind::Heuristic => {
            let ruled = Ruled { recorded: recorded.clone(), judged: judged.clone() };
            Some(ruled.standing(newest(view)?.unwrap_or(recorded.created_at)))
        }
        _ => None,
    };
    let mut elsewhere = BTreeMap::new();
    if let Some(index) = &view.index {
        for given in &judged.given {
            elsewhere.extend(index.other_home(given.id)?.map(|home| (given.id, home)));
        }
    }
    Ok(Shown::Visible(Box::new(Details {
        recorded,
        file,
        commit,
        history,
        judged,
        elsewhere,
        history_error,
        standing,
    })))
}

/// The commits of a page.
#[derive(Default)]
struct Commits {
    commit: Option<FileCommit>,
    history: Option<Vec<FileCommit>>,
}

impl Commits {
    /// Those of `page`; all of them only `with_history`.
    fn of(view: &View<'_>, page: &str, created_at: Timestamp, with_history: bool) -> Result<Commits, history::Error> {
        let Some(commits) = view.history() else { return Ok(Commits::default()) };
        if with_history {
            let all = commits.commits_of(page)?;
            return Ok(Commits { commit: all.last().cloned(), history: Some(all) });
        }
        let noted = as_noted(view, commits, page, created_at);
        let commit = match noted {
            Some(commit) => Some(commit),
            None => commits.introduced_by(page, created_at, COMMIT_WITHIN)?,
        };
        Ok(Commits { commit, history: None })
    }
}

/// The commit that introduced `page`, as search.db has noted it. `None` if it has not, or has noted what the history does not
/// have: then a walk tells.
fn as_noted(view: &View<'_>, history: &History, page: &str, created_at: Timestamp) -> Option<FileCommit> {
    let tip = history.tip_name().ok()??;
    let commits = view.search()?.commits(tip).ok()??;
    let from = commits.first_since(created_at).ok()??;
    let at = |place| commits.at(place).ok().flatten().map(|noted| (noted.id, noted.tree));
    history.introduced_among(page, (from, commits.last()), at).ok()?
}

/// Every byte of the page of `recorded`: of its file, or as the history has it, or as it will be placed.
///
/// # Errors
/// [`Error::Fs`], [`Error::History`].
pub fn raw(view: &View<'_>, recorded: &Recorded) -> Result<Vec<u8>, Error> {
    let page = RecordPath(&recorded.path).page();
    let bytes = view.home.dir().content(&page, limits::FILE_BYTES_MAX as u64);
    match bytes {
        Ok(Some(bytes)) if page::id_of(&bytes) == Some(recorded.id) => Ok(bytes),
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => {
            let committed = view.history().map(|history| history.read(&page)).transpose()?.flatten();
            let committed = committed.filter(|bytes| page::id_of(bytes) == Some(recorded.id));
            Ok(committed.unwrap_or_else(|| recorded.page()))
        }
    }
}
