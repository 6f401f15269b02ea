//! What the bytes of a record's file say.

use std::collections::HashSet;

use super::classify::{Action, Evidence, File, State, classify};
use super::{Audit, Collecting, Copied, Error, READ_BYTES_MAX};
use crate::home::Home;
use crate::model::RecordId;
use crate::page::{self, StateFile};
use crate::target::commits::{CommittedFile, ReadCommits};

impl Collecting {
    /// `evidence` of the record `id` at `path`, with what the revisions and the file's bytes say; the record's state file;
    /// and the action that follows.
    pub(super) fn classified(
        &self,
        home: &Home,
        history: Option<&dyn ReadCommits>,
        path: &str,
        id: Option<RecordId>,
        evidence: Evidence,
    ) -> Result<(Evidence, Option<StateFile>, Action), Error> {
        let (mut evidence, state) = self.known.with_revisions(evidence, path, id);
        if evidence.file == File::Stale && is_edited(home, history, path)? {
            evidence.file = File::Edited;
        }
        // Its log is left.
        if (evidence.file, evidence.state) == (File::Missing, State::Retracted) && self.left_logs.contains(path) {
            evidence.file = File::Stale;
        }
        // A file is read whole only if something is to be made of it.
        if classify(evidence).takes_the_file() && !is_readable(home, path)? {
            evidence.file = File::Unreadable;
        }
        Ok((evidence, state, classify(evidence)))
    }

    /// Adds to `audit` what the file at `path` is, whose record another store has at `own`: a copy; or the record's file, which its
    /// owner moved, if it was edited there.
    pub(super) fn put_stray(
        &self,
        audit: &mut Audit,
        (home, history): (&Home, Option<&dyn ReadCommits>),
        path: &str,
        own: &str,
        pending: &HashSet<String>,
    ) -> Result<(), Error> {
        let id_at = |path: &str| self.paths.get(path).and_then(|it| it.file?.id);
        if id_at(own).is_some() && id_at(own) == id_at(path) {
            audit.copies.push(Copied { path: path.to_owned(), of: own.to_owned() });
            return Ok(());
        }
        let Some(history) = history.filter(|_| self.wants_edits && !pending.contains(own)) else { return Ok(()) };
        let bytes = home.dir().content(path, READ_BYTES_MAX)?;
        let (Some(bytes), Some(committed)) = (bytes, history.read(own)?) else { return Ok(()) };
        if bytes != committed && says_else(&bytes, &committed) && !history.wrote(own, &bytes)? {
            audit.edited.push((path.to_owned(), page::id_of(&bytes)));
        }
        Ok(())
    }
}

/// Whether the file at `path` says what it records.
pub(super) fn is_readable(home: &Home, path: &str) -> Result<bool, Error> {
    let bytes = home.dir().content(path, READ_BYTES_MAX)?;
    let parsed = bytes.map(|bytes| page::parse(&bytes));
    Ok(parsed.is_none_or(|parsed| parsed.is_ok_and(|parsed| parsed.request.is_some())))
}

/// Whether the file on disk says something else of its record than the `committed` one. A byte order mark, the ends of lines and the
/// owner's own comments say nothing.
pub(super) fn has_edit(home: &Home, committed: &dyn CommittedFile) -> Result<bool, Error> {
    let Some(bytes) = home.dir().content(committed.path(), READ_BYTES_MAX)? else { return Ok(false) };
    Ok(says_else(&bytes, &committed.read()?))
}

/// Whether the file `bytes` says something else of its record than the `committed` page.
fn says_else(bytes: &[u8], committed: &[u8]) -> bool {
    let said = page::parse(committed).ok().and_then(|parsed| parsed.request);
    let text = String::from_utf8_lossy(committed);
    said.is_some_and(|said| !page::is_contained(bytes, &text, |_| Some(said.record)))
}

/// Whether the file at `path` has bytes that the history never had there, and that no power cut left of them: then its
/// owner edited it.
pub(super) fn is_edited(home: &Home, history: Option<&dyn ReadCommits>, path: &str) -> Result<bool, Error> {
    let Some(history) = history else { return Ok(false) };
    let bytes = home.dir().content(path, READ_BYTES_MAX)?;
    Ok(bytes.map(|bytes| history.wrote(path, &bytes)).transpose()?.is_some_and(|wrote| !wrote))
}
