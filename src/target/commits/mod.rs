//! The commits, as a target: the history follows the journal.
//!
//! The trailer of the newest commit that names the journal says how far the history has it. That watermark is trusted
//! if the journal's bytes validate it, the branch still reaches the anchor, and the journal is the same one as before.
//! A batch that needed no commit is noted in the state file, together with the commit that has all of it: the note
//! counts while the branch reaches that commit and no later one names the journal. Where the journal lacks the position in
//! that one, it came back from a backup, and the note with it. Only the history's tree and its commits say which records it has.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the branch moves | see `target::history`; an older watermark | the next batch, which repeats it |
//! | after it | commit and watermark, in one | nothing to do |
//! | between a batch without a commit and its note | an older watermark | the next batch, with the same result |
//! | after a commit whose last entry its recorder voids | a trailer that the journal does not validate | an audit |

mod committed_file;
mod git;
mod repacking;
mod trunk;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;
use std::ops::ControlFlow;

use crate::model::path::state_file;
use crate::model::position::{Position, SegmentId};
use crate::model::{HomeId, JournalId, RecordId};
use crate::state::State;
use crate::target::files::{is_torn, may_be_torn};
use crate::target::history::{self, History};
use crate::target::{Error, Log, Mark, Target};

pub use committed_file::{CommittedFile, sum_of};
pub use git::GitCommits;
pub use trunk::{Both, TRUNK, Trunk};

/// The history, as an audit reads it.
pub trait ReadCommits {
    /// Calls `visit` for every record's file in the history, until it breaks off.
    ///
    /// # Errors
    /// [`history::Error`].
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error>;

    /// Of `candidates`, the paths that any commit has, however old.
    ///
    /// # Errors
    /// [`history::Error`].
    fn introduced(&self, candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error>;

    /// Those of `paths` that the history has now.
    ///
    /// # Errors
    /// [`history::Error`].
    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error>;

    /// The bytes of the file `path`.
    ///
    /// # Errors
    /// [`history::Error`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error>;

    /// The bytes of the state file of the record `of`, whose page is at `page` if that is known.
    ///
    /// # Errors
    /// [`history::Error`].
    fn read_state(&self, of: RecordId, page: Option<&str>) -> Result<Option<Vec<u8>>, history::Error> {
        let _ = page;
        self.read(&state_file(of))
    }

    /// Those of `paths` that only other homes' history has: their records are not committed here.
    ///
    /// # Errors
    /// [`history::Error`].
    fn of_others(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let _ = paths;
        Ok(HashSet::new())
    }

    /// The last bytes that the history has or had at `path`.
    ///
    /// # Errors
    /// [`history::Error`].
    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error>;

    /// Whether the history has or had exactly `bytes` at `path`.
    ///
    /// # Errors
    /// [`history::Error`].
    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error>;

    /// Calls `visit` with the bytes of every version of the file `path`, newest first, until it breaks off.
    ///
    /// # Errors
    /// [`history::Error`].
    fn each_version(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), history::Error> {
        if let Some(bytes) = self.last_of(path)? {
            let _ = visit(&bytes);
        }
        Ok(())
    }

    /// Whether `bytes` at `path` are those of a version that the history has or had, or what a power cut left of one:
    /// then they are no edit.
    ///
    /// # Errors
    /// [`history::Error`].
    fn wrote(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        let mut wrote = self.had(path, bytes)?;
        if !wrote && may_be_torn(bytes) {
            self.each_version(path, &mut |version| {
                wrote = is_torn(bytes, version);
                if wrote { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(wrote)
    }

    /// The newest commit that removed each of `paths`, as far as there is one.
    ///
    /// # Errors
    /// [`history::Error`].
    fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, history::Error> {
        let _ = paths;
        Ok(BTreeMap::new())
    }

    /// Those of `paths` that are not of the home `home` alone: no commit of its workers introduced them, or another commit changed
    /// them.
    ///
    /// # Errors
    /// [`history::Error`].
    fn changed_elsewhere(&self, paths: &BTreeSet<String>, home: HomeId) -> Result<BTreeSet<String>, history::Error> {
        let _ = (paths, home);
        Ok(BTreeSet::new())
    }

    /// The path of the page of the record `of` before it was retracted, if the history had it.
    ///
    /// # Errors
    /// [`history::Error`].
    fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, history::Error> {
        let _ = of;
        Ok(None)
    }
}

/// Why a walk through the history stopped.
enum End {
    Broken,
    Failed(history::Error),
}

impl From<history::Error> for End {
    fn from(error: history::Error) -> End {
        End::Failed(error)
    }
}

impl ReadCommits for History {
    fn each_file(&self, visit: &mut dyn FnMut(&dyn CommittedFile) -> ControlFlow<()>) -> Result<(), history::Error> {
        let walked = self.for_each_file(|file| match visit(file) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(End::Broken),
        });
        match walked {
            Ok(()) | Err(End::Broken) => Ok(()),
            Err(End::Failed(error)) => Err(error),
        }
    }

    fn introduced(&self, mut candidates: BTreeSet<String>) -> Result<BTreeSet<String>, history::Error> {
        History::introduced(self, &mut candidates, |_| ())
    }

    fn present(&self, paths: &[&str]) -> Result<HashSet<String>, history::Error> {
        let missing: HashSet<&str> = self.missing(paths)?.into_iter().collect();
        Ok(paths.iter().filter(|path| !missing.contains(*path)).map(|path| (*path).to_owned()).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        History::read(self, path)
    }

    fn last_of(&self, path: &str) -> Result<Option<Vec<u8>>, history::Error> {
        History::last_of(self, path)
    }

    fn had(&self, path: &str, bytes: &[u8]) -> Result<bool, history::Error> {
        History::had(self, path, bytes)
    }

    fn each_version(&self, path: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), history::Error> {
        self.each_version_of(path, visit)
    }

    fn page_before_retraction(&self, of: RecordId) -> Result<Option<String>, history::Error> {
        History::page_before_retraction(self, of)
    }

    fn removed_by(&self, paths: BTreeSet<String>) -> Result<BTreeMap<String, String>, history::Error> {
        History::removed_by(self, paths)
    }

    fn changed_elsewhere(&self, paths: &BTreeSet<String>, home: HomeId) -> Result<BTreeSet<String>, history::Error> {
        History::changed_elsewhere(self, paths, home)
    }
}

/// The history, for the pipeline and for recovery.
pub trait Commits: Target + ReadCommits + Debug {
    /// This history, as an audit reads it.
    fn as_read(&self) -> &dyn ReadCommits;

    /// The newest commit; `None` before the first.
    ///
    /// # Errors
    /// [`Error::History`].
    fn tip(&self) -> Result<Option<String>, Error>;

    /// Whether a record was ever amended, retracted, restored or erased.
    ///
    /// # Errors
    /// [`Error::History`].
    fn has_operations(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Removes what a crash left in the repository. Returns the number of things removed.
    ///
    /// # Errors
    /// [`Error::History`].
    fn sweep(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Removes what earlier ids of the journal `journal` have left in the repository.
    ///
    /// # Errors
    /// [`Error::History`], [`Error::Fs`]; the next call retries.
    fn forget_replaced(&self, journal: JournalId) -> Result<(), Error> {
        let _ = journal;
        Ok(())
    }

    /// Turns on repacking in parallel with commits.
    fn keep_packs_few(&mut self) {}

    /// Repacks now if there are more than `packs_max` packs.
    ///
    /// # Errors
    /// [`Error::History`].
    fn repack_from(&self, packs_max: usize) -> Result<(), Error> {
        let _ = packs_max;
        Ok(())
    }
}

/// How far `history` has the journal of `log`: the position in the newest commit that names the journal, or in the
/// note of a batch that needed no commit, whichever is later. `None` if the journal validates neither.
///
/// # Errors
/// [`Error::History`], [`Error::Journal`].
pub fn reached(history: &History, log: &Log<'_>) -> Result<Option<Mark>, Error> {
    if let Some(state) = log.state
        && are_reordered(&state.segments, &log.journal.ids()?)
    {
        return Ok(None);
    }
    let newest = history.newest_position(log.id)?;
    let tip = history.tip()?.map(|tip| tip.commit.to_string());
    if let Some((newest, _)) = newest
        && log.was_voided(newest, tip.as_deref())?
    {
        return Ok(None);
    }
    let find = |position: Option<Position>| position.map_or(Ok(None), |position| log.find(position));
    let noted = log.state.and_then(|state: &State| state.noted.as_ref());
    let noted_mark = find(noted.map(|noted| noted.position))?;
    latest(find(newest.map(|(newest, _)| newest))?, noted_mark, || {
        let Some(noted) = noted else { return Ok(false) };
        let is_current = newest.map_or(Ok(true), |(_, commit)| history.is_after(&noted.commit, commit))?;
        Ok(is_current && history.reaches(&noted.commit)?)
    })
}

/// The later of two marks: that of the newest commit, and that of a note, if the note `holds`. Only a note that is later is
/// asked about: that walks the history, which takes a while in a long one.
pub(crate) fn latest(
    newest: Option<Mark>,
    noted: Option<Mark>,
    holds: impl FnOnce() -> Result<bool, Error>,
) -> Result<Option<Mark>, Error> {
    let is_later = match (&newest, &noted) {
        (Some(newest), Some(noted)) => newest.is_before(noted),
        (_, noted) => noted.is_some(),
    };
    Ok(if is_later && holds()? { noted } else { newest })
}

/// Whether a known segment's place holds another segment: they were moved by hand.
fn are_reordered(known: &[(u64, SegmentId)], found: &[(u64, SegmentId)]) -> bool {
    known.iter().any(|(number, id)| found.iter().any(|(other, it)| number == other && id != it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::SegmentNumber;
    use crate::model::position::SegmentId;

    #[test]
    fn a_note_counts_if_it_is_later_and_holds_and_only_then_the_history_is_asked() {
        let segment = SegmentId(uuid::Uuid::nil());
        let mark =
            |offset| Some(Mark { segment: SegmentNumber(1), position: Position { segment, offset, checksum: 0 } });
        let never = || panic!("the history is walked for nothing");
        assert_eq!(latest(mark(2), mark(1), never).expect("asked"), mark(2));
        assert_eq!(latest(mark(2), mark(2), never).expect("asked"), mark(2));
        assert_eq!(latest(mark(2), None, never).expect("asked"), mark(2));
        assert_eq!(latest(mark(2), mark(3), || Ok(true)).expect("asked"), mark(3));
        assert_eq!(latest(mark(2), mark(3), || Ok(false)).expect("asked"), mark(2));
        assert_eq!(latest(None, mark(3), || Ok(false)).expect("asked"), None);
    }
}
