//! The worker's status, for the command `status` to read. It is informational and never relied on, so it is not synced.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::{Dir, Durability, Error};
use crate::home::{self, Home};
use crate::model::layout::{STATUS, TEMPORARY};
use crate::pipeline::{Counts, Outcome};
use crate::recover::Report;

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Opening everything and recovering the home.
    Starting,
    /// Waiting for records.
    Idle,
    /// Making a commit.
    Committing,
    /// Doing what `recover` does, on request.
    Recovering,
    /// Erasing records, on request.
    Erasing,
    /// Waiting before it retries what failed.
    Retrying,
    /// Ended on request.
    Stopped,
}

/// The last commit that the worker made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCommit {
    /// Its name.
    pub commit: String,
    /// When it was made.
    pub at: Timestamp,
    /// How many records it introduced.
    pub records: usize,
}

/// The last published status of the worker, or of a process that held its lock briefly and made commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its process.
    pub process: u32,
    /// The version of its program.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Its state.
    pub state: State,
    /// Since when it is in that state.
    pub at: Timestamp,
    /// How old a record gets before it commits it, in milliseconds.
    #[serde(default)]
    pub age_ms: u64,
    /// The last error, and its time.
    pub last_error: Option<(Timestamp, String)>,
    /// The number of failures since the last commit.
    pub failures_in_a_row: u64,
    /// Why search cannot be brought up to date, and since when, if it cannot.
    #[serde(default)]
    pub search_error: Option<(Timestamp, String)>,
    /// The last commit.
    pub last_commit: Option<LastCommit>,
    /// The counters, of this worker and those before it.
    pub counts: Counts,
}

pub(super) fn read(home: &Home) -> Result<Option<Published>, Error> {
    let text = home.private().content(STATUS, 1 << 20)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Publishes what a process that held the worker's lock briefly has done, if it has made commits: a flush or a
/// recovery, in the same form as the worker's own status. `counts` are those of `read` plus what was added to them;
/// `search` is why search cannot be brought up to date, if it cannot.
///
/// # Errors
/// [`home::Error`] if it cannot be written. The status is informational, so that may be ignored.
pub fn note(home: &Home, counts: Counts, search: Option<&str>, report: &Report) -> Result<(), home::Error> {
    let mut status = StatusFile::open(home)?;
    if !status.search(search) && status.counts == counts {
        return Ok(());
    }
    status.counts = counts;
    status.committed(&super::outcome(report));
    status.publish(State::Stopped);
    Ok(())
}

/// Where the worker publishes its status.
#[derive(Debug)]
pub(super) struct StatusFile {
    private: Dir,
    temporary: Dir,
    published: Published,
    pub(super) counts: Counts,
    /// Whether the last to publish was this process, before it reloaded its settings.
    pub(super) goes_on: bool,
}

impl StatusFile {
    pub(super) fn open(home: &Home) -> Result<StatusFile, home::Error> {
        let before = read(home)?;
        let now = Timestamp::now();
        let goes_on = before.as_ref().is_some_and(|published| published.process == std::process::id());
        let counts = before.as_ref().map(|published| published.counts).unwrap_or_default();
        let published = Published {
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            state: State::Starting,
            at: now,
            age_ms: 0,
            last_error: None,
            failures_in_a_row: 0,
            search_error: before.as_ref().and_then(|published| published.search_error.clone()),
            last_commit: before.and_then(|published| published.last_commit),
            counts,
        };
        let private = home.private().folder(".")?;
        Ok(StatusFile { private, temporary: home.private_folder(TEMPORARY)?, published, counts, goes_on })
    }

    /// Notes how old a record gets before it is committed.
    pub(super) fn commits_after(&mut self, age: Duration) {
        self.published.age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    }

    pub(super) fn failed(&mut self, error: &str) {
        self.published.last_error = Some((Timestamp::now(), error.to_owned()));
        self.published.failures_in_a_row += 1;
        if self.published.failures_in_a_row == 5 {
            tracing::error!(error, failures = 5, "nothing could be committed for some time; the journal keeps filling");
        }
    }

    /// Forgets what errors said: they can name what is about to be erased.
    pub(super) fn forget_errors(&mut self) {
        self.published.last_error = None;
        self.published.search_error = None;
    }

    pub(super) fn committed(&mut self, outcome: &Outcome) {
        self.published.failures_in_a_row = 0;
        if let Some(commit) = &outcome.commit {
            let (commit, at, records) = (commit.clone(), Timestamp::now(), outcome.records);
            self.published.last_commit = Some(LastCommit { commit, at, records });
        }
    }

    /// The state that was published last.
    pub(super) fn state(&self) -> State {
        self.published.state
    }

    /// Notes why search cannot be brought up to date, if it cannot. Returns whether that is news.
    pub(super) fn search(&mut self, error: Option<&str>) -> bool {
        let known = self.published.search_error.as_ref().map(|(_, error)| error.as_str());
        let is_news = known != error;
        if is_news {
            self.published.search_error = error.map(|error| (Timestamp::now(), error.to_owned()));
        }
        is_news
    }

    pub(super) fn publish(&mut self, state: State) {
        let (at, counts) = (Timestamp::now(), self.counts);
        self.published = Published { state, at, counts, ..self.published.clone() };
        let text = serde_json::to_vec(&self.published).expect("a status is made of strings and numbers");
        if let Err(error) = self.private.replace(STATUS, &text, &self.temporary, Durability::None) {
            tracing::debug!(%error, "the worker's status could not be published");
        }
    }
}
