//! Files of records that are amended, retracted and restored, for the holder of the worker's lock.
//!
//! 1. Only what is durable in the journal is applied: every call takes the proof.
//! 2. Applying is idempotent, in any order and any number of times.
//! 3. Bytes of an earlier revision that we wrote are stale: the history has or had them at this path. They are
//!    replaced or removed, and so are bytes that a power cut tore. Any other bytes with the record's id are an edit by
//!    hand: an amendment leaves them, a retraction moves them to quarantine. Nothing that is not ours is overwritten
//!    or deleted. An edit that an amendment has taken is replaced by the page that became of it: all of it is in there.
//!    If it also has lines of its owner's that the page lacks, it is set aside.
//! 4. A state file is written before the record's file is removed, and after it is restored. So whatever a crash
//!    leaves, the state file never says that a record exists while it should not.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the state file of a retraction | the record's files | replay of the journal |
//! | between that and the removal | a record's file beside a state file `retracted` | the same; the audit removes it |
//! | before the state file of a restoration | its files beside a state file `retracted` | replay of the journal |
//! | after a power cut | stale or empty files, since nothing here is synced | the same; the audit replaces them |

use crate::fs::{self, Dir, Durability, Point, crash};
use crate::home::{self, Home};
use crate::journal::Synced;
use crate::model::layout::{DOMAIN_PAGE, EDITED, QUARANTINE, TEMPORARY, split};
use crate::model::position::Position;
use crate::model::{FileImage, RecordId, limits};
use crate::page::{self, StateFile};
use crate::target::files::is_torn;

/// We never write a file larger than this; a larger one counts as edited.
const READ_BYTES_MAX: u64 = limits::FILE_BYTES_MAX as u64;

/// The result of giving a file new bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The file has the new bytes now.
    New,
    /// The file already had them.
    Before,
    /// The file was edited by hand, and is unchanged.
    Edited,
}

enum Found {
    Missing,
    Itself,
    Stale,
    Torn,
    Edited,
    /// Another record's file.
    Other,
    /// No record's file: it has no id, or a power cut tore it so that its id is gone.
    Unknown,
}

/// Changes the files of records in one home.
#[derive(Debug)]
pub struct ChangedFiles<'h> {
    home: &'h Dir,
    temporary: Dir,
    quarantine: Dir,
}

impl<'h> ChangedFiles<'h> {
    /// Makes one for `home`.
    ///
    /// # Errors
    /// [`home::Error::Broken`] if a private folder is missing.
    pub fn new(home: &'h Home) -> Result<ChangedFiles<'h>, home::Error> {
        let (temporary, quarantine) = (home.private_folder(TEMPORARY)?, home.private_folder(QUARANTINE)?);
        Ok(ChangedFiles { home: home.dir(), temporary, quarantine })
    }

    /// Replaces the file of the record `of` with `file`, unless it was edited by hand, and `file` has not all of the edit. `is_ours` says
    /// whether bytes at a path are those of an earlier revision, `has_all` whether `file` says all that was edited.
    ///
    /// # Errors
    /// Errors of the disk and of `is_ours`; the file is then the old one or the new one, whole.
    pub fn write<E: From<fs::Error>>(
        &self,
        of: RecordId,
        file: &FileImage,
        is_ours: impl Fn(&str, &[u8]) -> Result<bool, E>,
        has_all: impl Fn(&[u8]) -> Result<bool, E>,
        proof: &Synced<Position>,
    ) -> Result<Written, E> {
        let Synced { .. } = proof;
        let (folder, name) = split(&file.path);
        let dir = self.home.make_folder(folder)?;
        match self.look(&dir, name, of, file.text.as_bytes(), &file.path, is_ours)? {
            Found::Itself => return Ok(Written::Before),
            Found::Edited => {
                let bytes = dir.content(name, READ_BYTES_MAX).ok().flatten().unwrap_or_default();
                let loses_no_lines = page::is_plain(&bytes) || page::is_same_but_heading(&bytes, &file.text);
                if page::is_same_but_revision(&bytes, &file.text) || loses_no_lines && has_all(&bytes)? {
                    dir.replace(name, file.text.as_bytes(), &self.temporary, Durability::Later)?;
                    return Ok(Written::New);
                }
                if !has_all(&bytes)? {
                    tracing::warn!(path = file.path, "a record's file was edited by hand: it is left as it is");
                    return Ok(Written::Edited);
                }
                let aside = dir.set_aside(name, &self.quarantine, &format!("{EDITED}{name}"))?;
                tracing::info!(path = file.path, aside, "an edit by hand was taken: its own lines are set aside");
            }
            Found::Missing => {}
            Found::Stale | Found::Torn => {
                dir.replace(name, file.text.as_bytes(), &self.temporary, Durability::Later)?;
                return Ok(Written::New);
            }
            Found::Other | Found::Unknown => {
                let aside = dir.set_aside(name, &self.quarantine, &format!("unknown-{name}"))?;
                tracing::warn!(path = file.path, aside, "a file in a record's place is not its own: set aside");
            }
        }
        dir.create(name, file.text.as_bytes(), &self.temporary, Durability::Later)?;
        Ok(Written::New)
    }

    /// Puts the state file in its place, replacing whatever is there.
    ///
    /// # Errors
    /// Errors of the disk; the state file is then the old one or the new one, whole.
    pub fn mark(&self, state: &StateFile, proof: &Synced<Position>) -> Result<(), fs::Error> {
        let Synced { .. } = proof;
        let (path, text) = (state.path(), state.text());
        let (folder, name) = split(&path);
        let dir = self.home.make_folder(folder)?;
        if dir.content(name, READ_BYTES_MAX)?.as_deref() != Some(text.as_bytes()) {
            dir.replace(name, text.as_bytes(), &self.temporary, Durability::Later)?;
        }
        Ok(())
    }

    /// Removes the file of the record `of` at `path`. If it was edited by hand, or is no record's, moves it to
    /// quarantine. Returns whether it existed.
    ///
    /// # Errors
    /// Errors of the disk and of `is_ours`; the file is then where it was.
    pub fn remove<E: From<fs::Error>>(
        &self,
        of: RecordId,
        path: &str,
        is_ours: impl Fn(&str, &[u8]) -> Result<bool, E>,
        proof: &Synced<Position>,
    ) -> Result<bool, E> {
        let Synced { .. } = proof;
        let (folder, name) = split(path);
        let dir = match self.home.folder(folder) {
            Err(error) if error.is_not_found() => return Ok(false),
            dir => dir?,
        };
        match self.look(&dir, name, of, &[], path, is_ours)? {
            Found::Missing | Found::Other => return Ok(false),
            Found::Unknown => {
                let aside = dir.set_aside(name, &self.quarantine, &format!("unknown-{name}"))?;
                tracing::warn!(path, aside, "a file in a retracted record's place is not its own: set aside");
            }
            Found::Edited => {
                let aside = dir.set_aside(name, &self.quarantine, &format!("{EDITED}{name}"))?;
                tracing::warn!(path, aside, "the file of a retracted record was edited by hand: it is set aside");
            }
            Found::Itself | Found::Stale | Found::Torn => {
                crash::at(Point::HideBeforeRemove).map_err(fs::Error::io("remove", dir.path().join(name)))?;
                dir.remove(name)?;
            }
        }
        Ok(true)
    }

    /// Removes the page of the domain in `folder`, which has no records left, if the page is as it was rendered.
    /// Returns its path if no page exists now.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn remove_page(&self, folder: &str, proof: &Synced<Position>) -> Result<Option<String>, fs::Error> {
        let Synced { .. } = proof;
        let dir = match self.home.folder(folder) {
            Err(error) if error.is_not_found() => return Ok(Some(format!("{folder}/{DOMAIN_PAGE}"))),
            dir => dir?,
        };
        let text = dir.content(DOMAIN_PAGE, READ_BYTES_MAX)?;
        let is_edited = text.is_some_and(|text| std::str::from_utf8(&text).map_or(true, |it| !page::is_unedited(it)));
        if is_edited {
            return Ok(None);
        }
        dir.remove(DOMAIN_PAGE)?;
        Ok(Some(format!("{folder}/{DOMAIN_PAGE}")))
    }

    fn look<E: From<fs::Error>>(
        &self,
        dir: &Dir,
        name: &str,
        of: RecordId,
        wanted: &[u8],
        path: &str,
        is_ours: impl Fn(&str, &[u8]) -> Result<bool, E>,
    ) -> Result<Found, E> {
        let bytes = match dir.content(name, READ_BYTES_MAX) {
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => return Ok(Found::Edited),
            content => content?,
        };
        let Some(bytes) = bytes else { return Ok(Found::Missing) };
        // A log whose owner removed the id is still ours if the history has the same bytes.
        Ok(match page::id_of(&bytes) {
            _ if bytes == wanted && !wanted.is_empty() => Found::Itself,
            _ if bytes.iter().all(|byte| *byte == 0) || is_torn(&bytes, wanted) => Found::Torn,
            _ if is_ours(path, &bytes)? => Found::Stale,
            Some(id) if id == of => Found::Edited,
            Some(_) => Found::Other,
            None => Found::Unknown,
        })
    }
}
