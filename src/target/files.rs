//! Apply: ensures a record's files, for the recorder, the worker and recovery alike.
//!
//! 1. Only what is durable in the journal is applied: every call takes the proof.
//! 2. Applying is idempotent, in any order and any number of times.
//! 3. No file is overwritten unless it holds nothing: bytes that are not ours are moved to quarantine, never
//!    deleted.
//!
//! The action depends on what is at a record's path:
//!
//! | found | it is | done |
//! | --- | --- | --- |
//! | nothing | missing | placed |
//! | exactly the intent's bytes | applied | nothing |
//! | the first sectors of the intent's bytes, or none | torn by a power cut | replaced |
//! | this record's id in its front matter, no NUL byte | edited by its owner | nothing |
//! | another record's id | a collision of short ids | our path gets the full id |
//! | anything else | torn, or not ours | set aside in quarantine, then placed |

use crate::fs::{self, Dir, Durability};
use crate::home::{self, Home};
use crate::journal::Synced;
use crate::model::layout::{DOMAIN_PAGE, EDITED, QUARANTINE, TEMPORARY, split};
use crate::model::position::Position;
use crate::model::{FileImage, Intent, RecordPath, check_path, limits};
use crate::page;
use crate::target::index;
use crate::target::{self, Batch, Log, Target, Watermark};

/// We never write a file larger than this; a larger one counts as edited.
const READ_BYTES_MAX: u64 = limits::FILE_BYTES_MAX as u64;

/// Why a record's files or a page could not be ensured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The intent names a path that no record can have.
    #[error("the record cannot be applied")]
    Path(#[from] crate::model::BadPath),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The home is broken.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] index::Error),
}

impl Error {
    /// Whether a retry can succeed later. If not, the record has to be parked.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Path(_) => false,
            Error::Fs(error) => error.is_transient(),
            Error::Home(_) => true,
            Error::Index(error) => error.is_transient(),
        }
    }
}

/// Where a record's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page, or the folder of an experiment; relative to the home.
    pub path: String,
    /// The path of each file, in the order of the intent's.
    pub files: Vec<String>,
    /// How many of them were missing or torn.
    pub written: usize,
}

/// What is expected at a record's path. It decides what is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the record is new.
    Nothing,
    /// The record's own file: this is a replay.
    Itself,
}

enum Found {
    Itself,
    Edited,
    AnotherRecord,
    Beginning,
    Unknown,
}

/// The folder of the last record, kept open: the records of one batch mostly share theirs.
#[derive(Debug, Default)]
struct LastFolder(Option<(String, Dir)>);

impl LastFolder {
    /// The folder `path` of `home`, which is made if it is missing.
    fn get(&mut self, home: &Dir, path: &str) -> Result<&Dir, fs::Error> {
        let last = self.0.take().filter(|(of, _)| of == path);
        let (_, folder) = match last {
            Some(last) => self.0.insert(last),
            None => self.0.insert((path.to_owned(), home.make_folder(path)?)),
        };
        Ok(folder)
    }
}

/// Ensures files in one home.
#[derive(Debug)]
pub struct Applier<'h> {
    home: &'h Dir,
    private: &'h Dir,
    temporary: Dir,
    quarantine: Dir,
}

impl<'h> Applier<'h> {
    /// Makes an applier for `home`.
    ///
    /// # Errors
    /// [`home::Error::Broken`] if a private folder is missing.
    pub fn new(home: &'h Home) -> Result<Applier<'h>, home::Error> {
        let (temporary, quarantine) = (home.private_folder(TEMPORARY)?, home.private_folder(QUARANTINE)?);
        Ok(Applier { home: home.dir(), private: home.private(), temporary, quarantine })
    }

    /// Ensures the files of `intent`, which `proof` shows to be durable in the journal.
    ///
    /// # Errors
    /// [`Error::Path`] and [`Error::Fs`]; some files may be in place then, and a retry continues from there.
    pub fn files(&self, intent: &Intent, expect: Expect, proof: &Synced<Position>) -> Result<Place, Error> {
        self.files_in(&mut LastFolder::default(), intent, expect, proof)
    }

    fn files_in(
        &self,
        last: &mut LastFolder,
        intent: &Intent,
        expect: Expect,
        proof: &Synced<Position>,
    ) -> Result<Place, Error> {
        let Synced { .. } = proof;
        for file in &intent.files {
            check_path(&file.path)?;
        }
        match self.try_files(last, intent, expect, &intent.files)? {
            Some(place) => Ok(place),
            None => {
                let renamed: Vec<_> = intent.files.iter().map(|file| with_full_id(file, intent)).collect();
                let place = self.try_files(last, intent, expect, &renamed)?;
                let why = "two other records' files are in its two places";
                place.ok_or_else(|| fs::Error::Refused { path: intent.path().into(), why }.into())
            }
        }
    }

    /// Ensures `files`; `None` if another record's file is at one of the paths.
    fn try_files(
        &self,
        last: &mut LastFolder,
        intent: &Intent,
        expect: Expect,
        files: &[FileImage],
    ) -> Result<Option<Place>, Error> {
        let mut written = 0;
        for file in files {
            match self.file(last, intent, expect, file)? {
                Some(wrote) => written += usize::from(wrote),
                None => return Ok(None),
            }
        }
        let path = files.first().map_or("", |file| RecordPath(&file.path).shown()).to_owned();
        Ok(Some(Place { path, files: files.iter().map(|file| file.path.clone()).collect(), written }))
    }

    /// Ensures one file. Returns whether it had to be written; `None` if another record's file is there.
    fn file(
        &self,
        last: &mut LastFolder,
        intent: &Intent,
        mut expect: Expect,
        file: &FileImage,
    ) -> Result<Option<bool>, Error> {
        let (folder, name) = split(&file.path);
        let folder = last.get(self.home, folder)?;
        loop {
            if expect == Expect::Itself {
                match self.look(folder, name, intent, file)? {
                    None => {}
                    Some(Found::Itself | Found::Edited) => return Ok(Some(false)),
                    Some(Found::AnotherRecord) => return Ok(None),
                    Some(Found::Beginning) => {
                        folder.replace(name, file.text.as_bytes(), &self.temporary, Durability::None)?;
                        return Ok(Some(true));
                    }
                    Some(Found::Unknown) => {
                        let aside = folder.set_aside(name, &self.quarantine, &format!("unknown-{name}"))?;
                        tracing::warn!(path = file.path, aside, "a file in a record's place is not its own: set aside");
                    }
                }
            }
            match folder.create(name, file.text.as_bytes(), &self.temporary, Durability::Later) {
                Err(error) if error.is_already_there() => expect = Expect::Itself,
                result => return result.map(|()| Some(true)).map_err(Error::Fs),
            }
        }
    }

    /// `intent` with the paths at which its files are in place, edited by their owner or not; `None` if one of them is
    /// missing. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Path`] and [`Error::Fs`].
    pub fn applied(&self, intent: &Intent) -> Result<Option<Intent>, Error> {
        let renamed: Vec<_> = intent.files.iter().map(|file| with_full_id(file, intent)).collect();
        for files in [&intent.files, &renamed] {
            if self.are_in_place(intent, files)? {
                return Ok(Some(Intent { files: files.clone(), ..intent.clone() }));
            }
        }
        Ok(None)
    }

    fn are_in_place(&self, intent: &Intent, files: &[FileImage]) -> Result<bool, Error> {
        for file in files {
            check_path(&file.path)?;
            let (folder, name) = split(&file.path);
            let folder = match self.home.folder(folder) {
                Err(error) if error.is_not_found() => return Ok(false),
                folder => folder?,
            };
            if !matches!(self.look(&folder, name, intent, file)?, Some(Found::Itself | Found::Edited)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn look(&self, folder: &Dir, name: &str, intent: &Intent, file: &FileImage) -> Result<Option<Found>, fs::Error> {
        let bytes = match folder.content(name, READ_BYTES_MAX) {
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => return Ok(Some(Found::Edited)),
            content => content?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        if bytes == file.text.as_bytes() {
            return Ok(Some(Found::Itself));
        }
        Ok(Some(match page::id_of(&bytes) {
            _ if is_torn(&bytes, file.text.as_bytes()) => Found::Beginning,
            Some(id) if id == intent.id => Found::Edited,
            Some(_) => Found::AnotherRecord,
            None => Found::Unknown,
        }))
    }

    /// Ensures that the page in the domain's `folder` is `text`, durably.
    ///
    /// # Errors
    /// [`Error::Fs`]; the page is then the old one or the new one, whole.
    pub(crate) fn page(&self, folder: &str, text: String) -> Result<FileImage, Error> {
        let path = format!("{folder}/{DOMAIN_PAGE}");
        let dir = self.home.make_folder(folder)?;
        let old = match dir.content(DOMAIN_PAGE, READ_BYTES_MAX) {
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => Some(Vec::new()),
            // A link, a pipe or a folder is moved away as it is, and never followed.
            Err(fs::Error::Refused { .. }) => {
                let aside = dir.set_aside(DOMAIN_PAGE, &self.quarantine, &format!("not-a-{DOMAIN_PAGE}"))?;
                tracing::warn!(path, aside, "something that is no file was in a page's place: it is set aside");
                None
            }
            old => old?,
        };
        if old.as_deref() != Some(text.as_bytes()) {
            let kept = old.is_none_or(|old| is_replaceable(&old));
            if !kept {
                let name = format!("{EDITED}{}-{DOMAIN_PAGE}", split(folder).1);
                let aside = dir.set_aside(DOMAIN_PAGE, &self.quarantine, &name)?;
                tracing::warn!(path, aside, "a rendered page was edited by hand: the edited page is set aside");
            }
            dir.replace(DOMAIN_PAGE, text.as_bytes(), &self.temporary, Durability::Full)?;
        }
        Ok(FileImage { path, text })
    }
}

impl Target for Applier<'_> {
    fn name(&self) -> &'static str {
        "files"
    }

    /// Files have no watermark of their own.
    fn watermark(&mut self, _: &Log<'_>) -> Result<Watermark, target::Error> {
        Ok(Watermark::With("rows"))
    }

    /// Afterwards each intent of the batch has the final paths of its files.
    fn apply(&mut self, batch: &mut Batch<'_>, synced: &Synced<Position>) -> Result<(), target::Error> {
        let mut applied = Vec::with_capacity(batch.intents.len());
        let mut last = LastFolder::default();
        for intent in std::mem::take(&mut batch.intents) {
            match self.files_in(&mut last, &intent, Expect::Itself, synced) {
                Ok(place) => {
                    batch.done.files_written += place.written as u64;
                    let images = intent.files.into_iter().zip(place.files);
                    let files = images.map(|(file, path)| FileImage { path, ..file }).collect();
                    applied.push(Intent { files, ..intent });
                }
                Err(source) if source.is_transient() => return Err(target::Error::Apply { id: intent.id, source }),
                Err(error) => batch.park(&intent, "file", &error)?,
            }
        }
        batch.intents = applied;
        Ok(())
    }

    fn sync(&mut self) -> Result<bool, target::Error> {
        for folder in self.elsewhere()?.iter().chain([self.home]) {
            folder.sync_file_system()?;
        }
        Ok(true)
    }
}

impl Applier<'_> {
    /// The folders for records' files that are on another file system than the home.
    ///
    /// # Errors
    /// [`fs::Error::Io`].
    pub(crate) fn elsewhere(&self) -> Result<Vec<Dir>, fs::Error> {
        fs::place::elsewhere(&self.temporary, [self.home, self.private])
    }
}

/// Whether nothing is in the way of `intent`'s files, as far as can be checked without writing.
pub fn has_room(home: &Dir, intent: &Intent) -> bool {
    intent.files.iter().all(|file| {
        let (folder, name) = split(&file.path);
        let found = match home.folder(folder) {
            Err(error) if error.is_not_found() => return true,
            folder => folder.and_then(|folder| folder.find(name)),
        };
        check_path(&file.path).is_ok() && found.is_ok_and(|found| found.is_none_or(|found| found.is_file))
    })
}

/// Whether `found` is what a power cut leaves of `written`: a prefix of whole 512-byte sectors, possibly empty. A
/// prefix of any other length is its owner's edit.
pub fn is_torn(found: &[u8], written: &[u8]) -> bool {
    may_be_torn(found) && found.len() < written.len() && written.starts_with(found)
}

/// Whether `found` has a length that a power cut can leave.
pub fn may_be_torn(found: &[u8]) -> bool {
    found.len().is_multiple_of(512)
}

/// Whether a page holds only what we wrote: it is unedited, or torn by a power cut.
fn is_replaceable(page: &[u8]) -> bool {
    page.iter().all(|byte| *byte == 0) || std::str::from_utf8(page).is_ok_and(page::is_unedited)
}

fn with_full_id(file: &FileImage, intent: &Intent) -> FileImage {
    FileImage { path: RecordPath(&file.path).with_full_id(intent.id), text: file.text.clone() }
}
