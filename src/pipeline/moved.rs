//! Where the file of a record is that its owner moved within the home.
//!
//! The file stays where its owner put it, and index and git keep the path that the record was made with. An amendment goes into the
//! file where it is, and a retraction takes it away from there. All files are looked through for that, so it is done only if the
//! history has the record's page and the file is not in its place; what was found counts for [`FOUND_FOR`].
//!
//! Nothing here writes. A file that is moved while an operation is applied is found by the next audit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::edits::is_the_files;
use super::{Error, Pipeline};
use crate::audit::walk;
use crate::fs;
use crate::model::layout::ROOTS;
use crate::model::path::{RecordPath, is_companion, of_state_file};
use crate::model::{Op, RecordId, limits};
use crate::page::{self, Current};

/// How long the moved files that were found are used: many operations in a row look through all files once.
const FOUND_FOR: Duration = Duration::from_secs(10);

/// The moved files that were found, and when.
pub(super) type Moved = (Instant, HashMap<RecordId, String>);

impl Pipeline<'_> {
    /// Where the file of the record of `op` is, of which the history has `current`, if its owner moved it.
    pub(super) fn moved(&mut self, op: &Op, current: &Current) -> Result<Option<String>, Error> {
        let (of, Some((path, _))) = (op.of(), &current.page) else { return Ok(None) };
        if let Op::Record(_) | Op::Restore(_) = op {
            return Ok(None);
        }
        let is_in_place = match self.home.dir().find(path) {
            Err(error) => !error.is_not_found(),
            Ok(found) => found.is_some(),
        };
        if is_in_place || !self.rows.is_open() {
            return Ok(None);
        }
        if self.moved.as_ref().is_none_or(|(at, _)| at.elapsed() > FOUND_FOR) {
            self.moved = Some((Instant::now(), self.find_moved()?));
        }
        let found = self.moved.as_ref().and_then(|(_, found)| found.get(&of)).filter(|place| *place != path);
        // It may have gone since.
        let is_there = |place: &&String| matches!(self.home.dir().find(place), Ok(Some(_)));
        Ok(found.filter(is_there).cloned())
    }

    /// The files of records that are elsewhere than the index says.
    fn find_moved(&self) -> Result<HashMap<RecordId, String>, Error> {
        let mut found = HashMap::new();
        for root in ROOTS {
            walk(self.home.dir(), root, &mut |dir: &fs::Dir, name: &str, path: &str| {
                if is_companion(path) || of_state_file(path).is_some() {
                    return Ok(());
                }
                let bytes = match dir.content(name, limits::FILE_BYTES_MAX as u64) {
                    Err(error) if is_the_files(&error) => None,
                    bytes => bytes?,
                };
                let Some(id) = bytes.as_deref().and_then(page::id_of) else { return Ok(()) };
                if self.rows.find(id)?.is_some_and(|known| RecordPath(&known.path).page() != path) {
                    found.entry(id).or_insert_with(|| path.to_owned());
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok(found)
    }
}
