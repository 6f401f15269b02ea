//! Noting the commits of the history beside the documents: those that were just made, and those that the file lacks, because
//! it was made after them, or a process was killed between a commit and its note.
//!
//! 1. Once in a process the chain is compared with the history's tip. What was committed since its last commit is added
//!    behind it. If that is more than [`SINCE_MAX`], or does not lead to it, a new chain begins at the tip.
//! 2. Then the chain grows backwards, slice by slice, to the history's first commit. Its first commit is the cursor.
//! 3. `verify` and `repair` compare the chain with the history: a damaged one is thrown away with the file.
//! 4. A history that cannot be read ends this for the process, and is no failure of search: readers walk then.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | after a commit, before its note is written | a chain without it | the next process compares it with the tip |
//! | after the rows' watermark has moved, before it is noted here | an earlier one | a reader without the index reads more of the journal; the next note replaces it |
//! | between two slices | a chain that does not reach the first commit | the next process goes on from its first commit |

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::file::{ROWS, error, rows_mark};
use super::{Error, Search};
use crate::home::Home;
use crate::model::text::chain;
use crate::search::{self, CommitNote, ObjectId};
use crate::target::history::{self, CommitId, History, HistoryOptions, Standing};

/// The most commits that are kept until they can be written.
const MADE_MAX: usize = 10_000;
/// The most commits behind the chain's last one that are added to it.
const SINCE_MAX: usize = 200;
/// The most commits of a slice, and about how long it may take to read them.
const COMMITS_MAX: usize = 5_000;
const TIME_MAX: Duration = Duration::from_millis(50);

/// How far the commits are noted.
#[derive(Debug, Default)]
pub(super) struct Noting {
    /// Commits that were made and are not in the file yet.
    made: Vec<CommitNote>,
    /// Whether this process has compared the chain with the history's tip.
    is_compared: bool,
    /// The first commit of the chain, once nothing can be added before it.
    begins: Option<ObjectId>,
    /// Whether the history cannot be read.
    is_over: bool,
}

impl Noting {
    /// The file is another one: what is in it has to be looked at again.
    pub(super) fn forget(&mut self) {
        self.is_compared = false;
    }
}

impl Search<'_> {
    /// A commit was made.
    pub fn committed(&mut self, commit: CommitNote) {
        // While the file cannot be written, the chain has to begin with the newest.
        if self.noting.made.len() >= MADE_MAX {
            self.noting.made.clear();
        }
        self.noting.made.push(commit);
        self.is_behind = true;
    }

    /// Writes the commits that were made since the last time, and the rows' watermark `rows`, if the file has all of those
    /// rows.
    pub(super) fn note_made(&mut self, rows: Option<&str>) -> Result<(), Error> {
        let made = &mut self.noting.made;
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        let lacks_rows = rows.is_some() && rows_mark(&file.connection).map_err(error("read"))?.is_none();
        if made.is_empty() && !lacks_rows {
            return Ok(());
        }
        file.write(|transaction| {
            if let Some(rows) = rows {
                search::set_meta(transaction, ROWS, rows)?;
            }
            search::note_commits(transaction, made)
        })?;
        made.clear();
        Ok(())
    }

    /// Notes the commits that the file lacks, until `until`, but one slice in any case. Returns whether it lacks none now.
    pub(super) fn note_others(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let Some(file) = self.file.as_mut().filter(|_| !self.noting.is_over) else { return Ok(true) };
        let first = search::first_commit(&file.connection).map_err(error("read"))?;
        if self.noting.is_compared && first.is_some_and(|first| self.noting.begins == Some(first.id)) {
            return Ok(true);
        }
        let history = match History::open(self.exclusive.home().path(), HistoryOptions::default()) {
            Ok(history) => history,
            Err(error) => return Ok(self.stop_noting(&error)),
        };
        loop {
            match self.note_slice(&history)? {
                Ok(true) => return Ok(true),
                Ok(false) if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
                Ok(false) => {}
                Err(error) => return Ok(self.stop_noting(&error)),
            }
        }
    }

    /// The history cannot be read. Returns that there is nothing more to do.
    fn stop_noting(&mut self, error: &history::Error) -> bool {
        tracing::debug!(error = chain(error), "older commits are not noted");
        self.noting.is_over = true;
        true
    }

    /// Notes a slice of the commits that the file lacks. Returns whether it lacks none now; within, what the history says if
    /// it cannot be read.
    fn note_slice(&mut self, history: &History) -> Result<Result<bool, history::Error>, Error> {
        let home = self.exclusive.home();
        let Some(file) = self.file.as_mut() else { return Ok(Ok(true)) };
        if !self.noting.is_compared {
            let last = search::last_commit(&file.connection).map_err(error("read"))?;
            let since = match since(history, last.map(|last| last.id)) {
                Ok(since) => since,
                Err(error) => return Ok(Err(error)),
            };
            if !since.is_empty() {
                file.write(|transaction| search::note_commits(transaction, &since))?;
            }
            self.noting.is_compared = true;
        }
        let Some(first) = search::first_commit(&file.connection).map_err(error("read"))? else { return Ok(Ok(true)) };
        let (earlier, is_end) = match earlier(history, first.id) {
            Ok(earlier) => earlier,
            Err(error) => return Ok(Err(error)),
        };
        if !earlier.is_empty() {
            file.write(|transaction| search::note_earlier_commits(transaction, &earlier))?;
            file.checkpoint(home, false)?;
        }
        if is_end {
            self.noting.begins = Some(earlier.last().map_or(first.id, |first| first.id));
        }
        Ok(Ok(is_end))
    }
}

/// What is wrong with the chain of `connection`: a commit in it is not the one that the history has there. `None` if it is right, as
/// far as the history can be read.
pub(super) fn wrong(home: &Home, connection: &Connection) -> Result<Option<String>, Error> {
    let Some(last) = search::last_commit(connection).map_err(error("read"))? else { return Ok(None) };
    let Ok(history) = History::open(home.path(), HistoryOptions::default()) else { return Ok(None) };
    let (mut place, mut wrong, mut failed) = (last.place, None, None);
    let walked = history.each_back_from(last.id, |commit, stands| {
        match search::commit_at(connection, place) {
            Ok(Some(noted)) if (noted.id, noted.tree) == (commit.bytes(), stands.tree) => {
                place -= 1;
                return ControlFlow::Continue(());
            }
            Ok(Some(_)) => wrong = Some(format!("what it says of commit {commit} is not what the history has")),
            // It begins here.
            Ok(None) => {}
            Err(error) => failed = Some(error),
        }
        ControlFlow::Break(())
    });
    match (failed, walked) {
        (Some(source), _) => Err(error("read")(source)),
        (None, Err(_)) => Ok(None),
        (None, Ok(())) => Ok(wrong),
    }
}

fn note_of(commit: CommitId, stands: Standing) -> CommitNote {
    let Standing { parent, tree, at } = stands;
    CommitNote { id: commit.bytes(), parent, tree, at: at.as_second() }
}

/// The commits behind `last`, in the order they were made; if they do not lead to it, only the newest.
fn since(history: &History, last: Option<ObjectId>) -> Result<Vec<CommitNote>, history::Error> {
    let Some(tip) = history.tip_name()? else { return Ok(Vec::new()) };
    let (mut since, mut leads_to_it) = (Vec::new(), false);
    history.each_back_from(tip.bytes(), |commit, stands| {
        leads_to_it = last == Some(commit.bytes());
        if leads_to_it || since.len() >= SINCE_MAX {
            return ControlFlow::Break(());
        }
        since.push(note_of(commit, stands));
        if last.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if leads_to_it {
        since.reverse();
    } else {
        since.truncate(1);
    }
    Ok(since)
}

/// Commits before `first`, the newest of them first, and whether these are all.
fn earlier(history: &History, first: ObjectId) -> Result<(Vec<CommitNote>, bool), history::Error> {
    let (mut earlier, mut is_end) = (Vec::new(), true);
    let begun = Instant::now();
    history.each_back_from(first, |commit, stands| {
        if commit.bytes() != first {
            earlier.push(note_of(commit, stands));
        }
        let is_full = earlier.len() >= COMMITS_MAX || !earlier.is_empty() && begun.elapsed() >= TIME_MAX;
        is_end = !is_full;
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((earlier, is_end))
}
