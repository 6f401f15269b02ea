//! Edits by hand that the worker finds: judged against the history, and appended to the journal as amendments.
//!
//! 1. A file is judged only if nothing has changed it for [`QUIET`], and nothing did while it was read: an editor may be half way
//!    through a save.
//! 2. What the history has or had at the path is no edit, nor what waits in the journal, whatever the file's times say. Only
//!    `recover` mends stale bytes.
//! 3. What cannot be taken is left as it is, and named in the state, for `status`. Where secrets are replaced in records, so is an
//!    edit that says one: git would have it for good.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the append | the edited file | the next pass finds it again |
//! | after it | the amendment, and the edited file | the next batch applies it, and the file gets its revision |
//! | before the state is written | a note that is older | the next pass judges the same files again |

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::{Error, Pipeline, Secrets};
use crate::fs::{self, Metadata};
use crate::journal::Appender;
use crate::model::path::state_file;
use crate::model::text::chain;
use crate::model::{FileImage, Op, RecordId, Request, Revision, limits};
use crate::page::{self, Amendable, By, NotTaken, Parsed, StateFile};
use crate::state::Edits;
use crate::target::commits::ReadCommits;

/// How long a file has to be unchanged before it is judged.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

/// What a file in a record's place is.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// Nothing to be taken.
    Same,
    /// It was changed a moment ago: it is judged later.
    Young,
    /// An edit, as an amendment.
    Edit(Box<Op>),
    /// An edit that cannot be taken, and why.
    Left(String),
}

impl Pipeline<'_> {
    /// Judges the file at `path`, at `now` by the clock of the file system.
    ///
    /// # Errors
    /// [`Error::History`], and [`Error::Fs`] for an error of the disk.
    pub fn judge_edit(&self, path: &str, now: jiff::Timestamp) -> Result<Judged, Error> {
        let dir = self.home.dir();
        let Some(before) = dir.find(path)? else { return Ok(Judged::Same) };
        if before.changed.saturating_add(QUIET.as_nanos() as i64) > nanoseconds(now) {
            return Ok(Judged::Young);
        }
        // A file that is no record's costs no more than this.
        let Some(tip) = self.commits.read(path)? else { return Ok(Judged::Same) };
        let Some(current) = self.amendable(path, &tip)? else { return Ok(Judged::Same) };
        let bytes = match dir.content(path, limits::FILE_BYTES_MAX as u64) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Judged::Same),
            Err(error) if is_the_files(&error) => return Ok(Judged::Left(chain(&error))),
            Err(error) => return Err(error.into()),
        };
        let is_same_file =
            |after: Metadata| (after.changed, after.size, after.inode) == (before.changed, before.size, before.inode);
        if !dir.find(path)?.is_some_and(is_same_file) {
            return Ok(Judged::Young);
        }
        if bytes == tip || bytes.iter().all(|byte| *byte == 0) || self.ours(current.id)(path, &bytes)? {
            return Ok(Judged::Same);
        }
        let mut failed = None;
        let base = |revision| match request_at(self.commits.as_read(), current.id, path, revision) {
            Ok(request) => request.map(|request| request.record),
            Err(error) => {
                failed = Some(error);
                None
            }
        };
        let edited = page::edited(&current, &bytes, By::Found, base);
        failed.map_or(Ok(()), Err)?;
        Ok(match edited {
            Ok(None) => Judged::Same,
            Ok(Some(record)) => match self.secret_in(&tip, &bytes) {
                Some(why) => Judged::Left(why.to_owned()),
                None => {
                    let op = current.amended_by_edit(record, &bytes, Some("edited by hand".to_owned()), made_at);
                    op.map_or(Judged::Same, |op| Judged::Edit(Box::new(op)))
                }
            },
            Err(why) => Judged::Left(said(&why)),
        })
    }

    /// Why git must not get the edit that made `bytes` of the page `tip`, if it says a secret that has to be replaced.
    fn secret_in(&self, tip: &[u8], bytes: &[u8]) -> Option<&'static str> {
        let redactor = match &self.options.secrets {
            Secrets::Taken => return None,
            Secrets::Unknown => {
                return Some("secrets are replaced here, and a pattern in [redact.patterns] is invalid");
            }
            Secrets::Left(redactor) => redactor,
        };
        let (tip, text) = (String::from_utf8_lossy(tip), String::from_utf8_lossy(bytes));
        let known: HashSet<&str> = tip.lines().collect();
        let new: Vec<&str> = text.lines().filter(|line| !known.contains(line)).collect();
        let is_secret = matches!(redactor.text(&new.join("\n")), Cow::Owned(_));
        is_secret.then_some(
            "it says a secret, which git would have for good: take it out of the file, and the edit is taken",
        )
    }

    /// The record whose page the history has at `path`; `None` if it is no record's, or the record is hidden.
    pub(super) fn amendable(&self, path: &str, tip: &[u8]) -> Result<Option<Amendable>, Error> {
        let Some(parsed) = page::parse(tip).ok() else { return Ok(None) };
        let (id, created_at) = (parsed.id, parsed.created_at);
        let revision = parsed.amended().map_or(Revision::first(id), |amended| amended.revision);
        let Some(request) = parsed.request else { return Ok(None) };
        let state = self.commits.read(&state_file(id))?;
        let known = state.as_ref().and_then(|bytes| StateFile::parse(id, bytes));
        if state.is_some() && known.as_ref().is_none_or(|state| state.state.is_hidden()) {
            return Ok(None);
        }
        let latest = known.map_or(revision, |state| state.revision.max(revision));
        let (path, fields) = (path.to_owned(), parsed.fields);
        Ok(Some(Amendable { id, created_at, path, request, fields, revision, latest }))
    }

    /// Appends `edits`, which are amendments, to the journal. The next batches apply them.
    ///
    /// # Errors
    /// [`Error::Journal`]: none of them happens.
    pub fn append_edits(&mut self, edits: &[Op]) -> Result<(), Error> {
        if !edits.is_empty() {
            let jsons: Vec<Vec<u8>> = edits.iter().map(Op::to_json).collect();
            let _ = Appender::open_for_operations(self.home.journal())?.append(&jsons)?.sync()?;
            tracing::info!(edits = edits.len(), "edits by hand become amendments");
        }
        Ok(())
    }

    /// What the last passes left to a person, and since when files have to be looked at.
    pub fn edits(&self) -> Edits {
        self.state.edits.clone().unwrap_or_default()
    }

    /// Notes `edits`.
    ///
    /// # Errors
    /// [`Error::Home`] if the state cannot be written.
    pub fn note_edits(&mut self, edits: Edits) -> Result<(), Error> {
        if self.edits() == edits {
            return Ok(());
        }
        self.state.edits = Some(edits);
        self.write_state()
    }
}

/// Whether the error is about the file itself, and not about the disk.
pub(super) fn is_the_files(error: &fs::Error) -> bool {
    matches!(error, fs::Error::Refused { .. }) || error.io_kind() == Some(std::io::ErrorKind::FileTooLarge)
}

fn said(why: &NotTaken) -> String {
    crate::model::text::visible_line(&chain(why)).into_owned()
}

pub(super) fn made_at(revision: Revision) -> jiff::Timestamp {
    RecordId(revision.op).time().unwrap_or_else(fs::now)
}

/// `time` in nanoseconds, as files' times are.
pub(crate) fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Whether `file`, the new page of the record `of`, says all that was edited in `bytes`, which its owner made of the page.
pub(super) fn has_all(history: &dyn ReadCommits, of: RecordId, file: &FileImage, bytes: &[u8]) -> Result<bool, Error> {
    let mut failed = None;
    let base = |revision| match request_at(history, of, &file.path, revision) {
        Ok(request) => request.map(|request| request.record),
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    let is_contained = page::is_contained(bytes, &file.text, base);
    failed.map_or(Ok(is_contained), Err)
}

/// What the record `of`, whose page is at `path`, said at `revision`, if the history has or had that.
fn request_at(
    history: &dyn ReadCommits,
    of: RecordId,
    path: &str,
    revision: Revision,
) -> Result<Option<Request>, Error> {
    let mut found = None;
    history.each_version(path, &mut |bytes| {
        let parsed = page::parse(bytes).ok().filter(|parsed| parsed.id == of);
        let of_page = |parsed: &Parsed| parsed.amended().map_or(Revision::first(of), |it| it.revision);
        found = parsed.filter(|parsed| of_page(parsed) == revision).and_then(|parsed| parsed.request);
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}
