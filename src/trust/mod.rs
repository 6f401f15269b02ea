//! Trust: which homes this user uses on this machine without naming them.
//!
//! A home that is only *found* above the working folder may have come with another user's repository. It is used if this
//! user made, adopted or trusted it on this machine. Each of these writes a random token into the home's private folder, and
//! the token's hash, the home's id and its path into one file of the user's state folder, the notes. A home is trusted if
//!
//! 1. it and every folder above it belong to this user or root, and no other user can change them or its private folder,
//! 2. its private folder belongs to this user, and the hash of its token is in the notes,
//! 3. and its path, which has no symbolic link, is one of the token's places in the notes.
//!
//! A noted token at another path means that the home was moved. If one of its places still has the token, it is a copy
//! instead, and not trusted. A home that is not trusted is passed by: a second file counts the records that were made within
//! it ([`Passed`]).
//!
//! Any number of processes can change the notes at once ([`crate::own`]).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the token is placed | a home that is not noted | `init`, `adopt` or `trust` again |
//! | before the notes are replaced | a token that is not in the notes | the same |
//! | after that | a trusted home | nothing to do |

mod passed;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use passed::Passed;
use serde::{Deserialize, Serialize};

use crate::fs::os::Others;
use crate::fs::{self, Dir, Durability, Point, crash, os};
use crate::home::{self, private_of};
use crate::model::HomeId;
use crate::model::layout::{TEMPORARY, TRUST_TOKEN};
use crate::own;

/// The notes, in the state folder.
const NOTES: &str = "homes.json";
/// With more homes than this, those that no longer exist are forgotten.
const NOTES_MAX: usize = 1000;
/// The most places that are remembered of a home, the newest.
const PLACES_MAX: usize = 32;
/// The version of the notes.
const VERSION: u32 = 1;
/// How long to wait for the lock on the notes. Each change takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Why a home could not be trusted, or the notes could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not a home, or cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// Another user could change it.
    #[error("{} could be changed by another user: {others}", path.display())]
    Changeable {
        /// The home, or a folder above it.
        path: PathBuf,
        /// Who could.
        others: Others,
    },
    /// The notes could not say its path.
    #[error("the path {} is not UTF-8, so it cannot be noted", .0.display())]
    NotText(PathBuf),
    /// There is no folder for the notes.
    #[error("there is no state folder: the user's own folder is not known")]
    NoFolder,
    /// The notes cannot be parsed, or another version wrote them.
    #[error("the notes of trusted homes in {} cannot be understood: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The notes could not be read or changed.
    #[error(transparent)]
    Notes(#[from] own::Error),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// The note of one home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its id.
    pub id: HomeId,
    /// The hash of its token.
    pub token: String,
    /// Its paths, without symbolic links; the newest last.
    pub places: Vec<PathBuf>,
}

/// All notes, in the order in which the homes were first trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(Vec<Note>);

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    homes: Vec<Note>,
}

/// Whether a found home is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is used.
    Trusted,
    /// It is used: a trusted home that was at this path before.
    Moved(PathBuf),
    /// It is passed by.
    Passed(Reason),
}

/// Why a home is passed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This user has not trusted it here.
    NotTrusted,
    /// It is a copy of the trusted home at this path.
    CopyOf(PathBuf),
    /// Another user could change it, or a folder above it.
    Changeable {
        /// The folder.
        path: PathBuf,
        /// Who could.
        others: Others,
    },
}

/// A home that has just been trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trusted {
    /// Its path, without symbolic links.
    pub path: PathBuf,
    /// Its id.
    pub id: HomeId,
    /// Whether it was trusted before.
    pub before: bool,
    /// The place of another home in the notes with the same id, if there is one: this one is a copy of it, or claims to be.
    pub same_id: Option<PathBuf>,
}

/// The notes have hashes, so that they reveal no token. A token is 128 random bits, so all that the hash must do is to hide
/// it.
fn hash(token: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::from("indelible home token\n");
    hash.update(token);
    hash.digest().to_string()
}

/// 128 random bits.
fn draw() -> String {
    // A random UUID has 122 of them.
    let mut hash = sha1_smol::Sha1::from(crate::random::id().as_bytes());
    hash.update(crate::random::id().as_bytes());
    hash.digest().to_string()[..32].to_owned()
}

/// The hash of the token of the home at `path`. `None` if it has no token, or if its private folder is not this user's.
///
/// # Errors
/// [`fs::Error`] for a passing failure. With any other failure the home has no token.
fn token_of(path: &Path) -> Result<Option<String>, fs::Error> {
    let read = || {
        let Some(private) = private_of(&Dir::open(path)?)? else { return Ok(None) };
        let is_ours = private.stat()?.owner == os::user();
        let token = private.content(TRUST_TOKEN, 64)?.filter(|token| is_ours && !token.is_empty());
        Ok(token.map(|token| hash(&token)))
    };
    read().or_else(|error: fs::Error| if error.is_passing() { Err(error) } else { Ok(None) })
}

/// The first folder that another user could change: the home at `path`, one above it, or its private folder. A folder that
/// cannot be looked at counts as one that every user can change.
fn changeable(path: &Path) -> Option<(PathBuf, Others)> {
    let others_of = |folder: &Path, on_the_way| {
        let others = os::others_who_can_change(folder, on_the_way).unwrap_or(Some(Others::Everybody))?;
        Some((folder.to_owned(), others))
    };
    path.ancestors().find_map(|folder| others_of(folder, folder != path)).or_else(|| {
        let private = Dir::open(path).and_then(|home| private_of(&home)).ok().flatten()?;
        others_of(private.path(), false)
    })
}

/// Whether the home at `path`, a path without symbolic links, is used by the user whose state folder is `state`.
///
/// # Errors
/// [`Error`] for a passing failure, since a record must not go elsewhere because of one. With any other failure the home is
/// not trusted.
pub fn standing(state: Option<&Path>, path: &Path) -> Result<Standing, Error> {
    if let Some((path, others)) = changeable(path) {
        return Ok(Standing::Passed(Reason::Changeable { path, others }));
    }
    let notes = match state.map(Notes::read).transpose() {
        Err(Error::Notes(own::Error::Fs(error))) if error.is_passing() => return Err(error.into()),
        notes => notes.ok().flatten().unwrap_or_default(),
    };
    let token = if notes.0.is_empty() { None } else { token_of(path)? };
    let Some(note) = notes.0.iter().find(|note| Some(&note.token) == token.as_ref()) else {
        return Ok(Standing::Passed(Reason::NotTrusted));
    };
    if note.places.iter().any(|place| place == path) {
        return Ok(Standing::Trusted);
    }
    for place in &note.places {
        if token_of(place)? == token && !is_same_folder(place, path) {
            return Ok(Standing::Passed(Reason::CopyOf(place.clone())));
        }
    }
    let last = note.places.last().cloned();
    Ok(last.map_or(Standing::Passed(Reason::NotTrusted), Standing::Moved))
}

/// Whether both paths lead to one folder, for instance through a bind mount.
fn is_same_folder(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| os::Stamp::of_itself(path).ok().map(|stamp| stamp.identity);
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// Notes that a trusted home is at `path` now. Does not wait for the lock: the next process that finds the home notes it.
///
/// # Errors
/// Every [`Error`]; the home is trusted nevertheless.
pub fn note_move(state: &Path, path: &Path) -> Result<(), Error> {
    let Some(token) = token_of(path)? else { return Ok(()) };
    text_of(path)?;
    change(state, Duration::ZERO, |notes| {
        if let Some(note) = notes.0.iter_mut().find(|note| note.token == token)
            && !note.places.iter().any(|place| place == path)
        {
            note.places.push(path.to_owned());
            let old = note.places.len().saturating_sub(PLACES_MAX);
            note.places.drain(..old);
        }
    })
}

/// Trusts the home at `path`, for the user whose state folder is `state`. Writes a new token unless the home is trusted there
/// already: others may know a token that came with the home.
///
/// # Errors
/// Every [`Error`]; nothing has changed then.
pub fn trust(state: Option<&Path>, path: &Path) -> Result<Trusted, Error> {
    let state = state.ok_or(Error::NoFolder)?;
    let path = &os::real_path(path).map_err(fs::Error::io("find", path))?;
    text_of(path)?;
    let dir = home::open_folder(path)?;
    let missing = || home::Error::Missing(path.clone());
    let private = private_of(&dir)?.ok_or_else(missing)?;
    let owner = private.stat()?.owner;
    if owner != os::user() {
        return Err(home::Error::NotYours { path: private.path().into(), owner }.into());
    }
    let id = home::identity(&dir, &private)?.ok_or_else(missing)?.id;
    if let Some((path, others)) = changeable(path) {
        return Err(Error::Changeable { path, others });
    }
    let before = standing(Some(state), path)? == Standing::Trusted;
    let token = match token_of(path)?.filter(|_| before) {
        Some(token) => token,
        None => {
            let token = draw();
            crash::at(Point::TrustBeforeToken).map_err(fs::Error::io("write the token of", path))?;
            private.replace(TRUST_TOKEN, token.as_bytes(), &private.folder(TEMPORARY)?, Durability::Full)?;
            hash(token.as_bytes())
        }
    };
    crash::at(Point::TrustBeforeNote).map_err(fs::Error::io("note", path))?;
    let same_id = change(state, LOCK_WAIT, |notes| {
        notes.forget(path, Some(&token));
        let known = notes.0.iter_mut().find(|note| note.token == token);
        match known {
            Some(note) if note.places.iter().any(|place| place == path) => note.id = id,
            Some(note) => note.places.push(path.clone()),
            None => notes.0.push(Note { id, token, places: vec![path.clone()] }),
        }
        notes.prune();
        notes.other_with(id, path)
    })?;
    Ok(Trusted { path: path.clone(), id, before, same_id })
}

/// Revokes trust in the home at `path`, which need not exist, and forgets all of its places. Returns them; none if it was not
/// trusted.
///
/// # Errors
/// [`Error`] if the notes could not be changed.
pub fn revoke(state: Option<&Path>, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let state = state.ok_or(Error::NoFolder)?;
    if Notes::read(state)?.of_place(path).is_none() {
        return Ok(Vec::new());
    }
    change(state, LOCK_WAIT, |notes| notes.forget(path, None))
}

fn text_of(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::NotText(path.into()))
}

impl Notes {
    /// The notes in the folder `state`; empty if the folder or the file is missing. Notes that another user could have written
    /// are an error.
    ///
    /// # Errors
    /// [`Error::Damaged`], and [`Error::Notes`] if they cannot be read.
    pub fn read(state: &Path) -> Result<Notes, Error> {
        let path = state.join(NOTES);
        Notes::of_text(own::read(&path)?, &path)
    }

    /// Parses `text`, the content of the file at `path`.
    fn of_text(text: Option<Vec<u8>>, path: &Path) -> Result<Notes, Error> {
        let Some(text) = text else { return Ok(Notes::default()) };
        let damaged = |why: String| Error::Damaged { path: path.into(), why };
        let stored: Stored = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match stored.version {
            VERSION => Ok(Notes(stored.homes)),
            version => Err(damaged(format!("its version is {version}; this program knows {VERSION}"))),
        }
    }

    /// All notes.
    pub fn all(&self) -> &[Note] {
        &self.0
    }

    /// The note of the home at `path`.
    pub fn of_place(&self, path: &Path) -> Option<&Note> {
        self.0.iter().find(|note| note.places.iter().any(|place| place == path))
    }

    /// The id by which the user's settings know the home at `path`: the one in its note, else `says`, which its private folder
    /// says. `None` if another home has that id in the notes, so that no home gets the settings of another.
    pub fn id_of(&self, path: &Path, says: HomeId) -> Option<HomeId> {
        let noted = self.of_place(path);
        let id = noted.map_or(says, |note| note.id);
        let first = self.0.iter().find(|note| note.id == id);
        let is_its_own = first.is_none_or(|first| noted.is_some_and(|note| note.token == first.token));
        is_its_own.then_some(id)
    }

    /// The newest place of a home with the id `id` that was trusted before and is not the one at `path`.
    fn other_with(&self, id: HomeId, path: &Path) -> Option<PathBuf> {
        let first = self.0.iter().find(|note| note.id == id)?;
        let is_other = !first.places.iter().any(|place| place == path);
        is_other.then(|| first.places.last().cloned()).flatten()
    }

    /// Forgets homes that no longer exist, once there are very many: mostly those of tests and demos.
    fn prune(&mut self) {
        if self.0.len() > NOTES_MAX {
            self.0.retain(|note| note.places.iter().any(|place| place.exists()));
        }
    }

    /// Forgets every home that was at `path`, except the one with the token `kept`. Returns their places.
    fn forget(&mut self, path: &Path, kept: Option<&str>) -> Vec<PathBuf> {
        let is_there = |note: &Note| note.places.iter().any(|place| place == path) && Some(note.token.as_str()) != kept;
        let (gone, left) = std::mem::take(&mut self.0).into_iter().partition(is_there);
        self.0 = left;
        gone.into_iter().flat_map(|note: Note| note.places).collect()
    }
}

/// The path of the notes in the folder `state`.
pub fn notes_path(state: &Path) -> PathBuf {
    state.join(NOTES)
}

/// Applies `with` to the notes, and writes them if they changed. Waits up to `wait` for their lock.
fn change<T>(state: &Path, wait: Duration, with: impl FnOnce(&mut Notes) -> T) -> Result<T, Error> {
    let _ = own::notes_folder(state)?;
    own::change(state, NOTES, wait, |text| {
        let before = Notes::of_text(text, &notes_path(state))?;
        let mut notes = before.clone();
        let done = with(&mut notes);
        let stored = || serde_json::to_vec_pretty(&Stored { version: VERSION, homes: notes.0.clone() });
        let text = (notes != before).then(|| stored().expect("it is made of numbers and text"));
        Ok((text, done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u128, place: PathBuf) -> Note {
        Note { id: HomeId(uuid::Uuid::from_u128(number)), token: number.to_string(), places: vec![place] }
    }

    #[test]
    fn very_many_homes_that_are_gone_are_forgotten() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let gone = |number| note(number, here.path().join(number.to_string()));
        let mut notes = Notes((0..NOTES_MAX as u128).map(gone).collect());
        notes.prune();
        assert_eq!(notes.0.len(), NOTES_MAX, "a few may be on a disk that is not there");
        notes.0.push(note(7, here.path().to_owned()));
        notes.prune();
        assert_eq!(notes.0, [note(7, here.path().to_owned())]);
    }

    #[test]
    fn an_id_belongs_to_the_home_that_was_first_trusted_with_it() {
        let (one, two, other) = (Path::new("/one"), Path::new("/two"), Path::new("/other"));
        let id = HomeId(uuid::Uuid::from_u128(1));
        let notes = Notes(vec![note(1, one.into()), Note { id, ..note(2, two.into()) }]);
        assert_eq!(notes.id_of(one, id), Some(id));
        assert_eq!(notes.id_of(one, HomeId(uuid::Uuid::from_u128(9))), Some(id), "whatever it says now");
        assert_eq!(notes.id_of(two, id), None, "a copy");
        assert_eq!(notes.id_of(other, id), None, "it is not noted, and says the same");
        assert_eq!(
            notes.id_of(other, HomeId(uuid::Uuid::from_u128(9))),
            Some(HomeId(uuid::Uuid::from_u128(9))),
            "no other home has that one"
        );
    }
}
