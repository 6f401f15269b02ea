//! Reading references, and moving our own.

use git2::{Commit, ErrorClass, ErrorCode, Oid, Repository};

use super::{Doing as _, Error, History, lock};
use crate::fs::Point;
use crate::model::{HomeId, JournalId};

/// What the full names of all our references begin with.
pub(super) const OURS: &str = "refs/indelible/";

/// The full name of the reference that holds the history of the home `id` in a user's repository.
pub(super) fn own(id: HomeId) -> String {
    format!("{OURS}{id}")
}

/// The full name of the anchor of the journal `id`.
pub(super) fn anchor(id: JournalId) -> String {
    format!("refs/indelible/{id}")
}

/// The target of `name`; `None` if it does not exist.
pub(super) fn target(repository: &Repository, name: &str) -> Result<Option<Oid>, Error> {
    let unusable = |what: String| Error::Reference { reference: name.to_owned(), what };
    match repository.find_reference(name) {
        Ok(found) => found.target().map(Some).ok_or_else(|| unusable("it is symbolic".to_owned())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) if error.class() == ErrorClass::Reference => Err(unusable(error.message().to_owned())),
        Err(error) => Err(error).doing("reading a reference"),
    }
}

/// The commit `id` that `name` points at.
pub(super) fn commit<'r>(repository: &'r Repository, name: &str, id: Oid) -> Result<Commit<'r>, Error> {
    repository.find_commit(id).map_err(|source| {
        let other = repository.find_object(id, None).ok().and_then(|it| it.kind());
        match other.filter(|&kind| kind != git2::ObjectType::Commit) {
            Some(kind) => Error::Reference { reference: name.to_owned(), what: format!("it points at a {kind}") },
            None => Error::unreadable(id, format!("the commit of {name}"), source),
        }
    })
}

/// The precondition for moving a reference.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// Any value.
    Anything,
    /// Exactly this value; `None` is an absent reference.
    Exactly(Option<Oid>),
}

/// Moves `name` to `new`, under its lock, if it is as expected. Returns false if it is not.
///
/// The comparison is made under the lock and not by libgit2's `reference_matching`: for a reference that does not
/// exist yet, that one checks before it locks.
pub(super) fn move_to(
    history: &History,
    repository: &Repository,
    name: &str,
    expected: Expected,
    new: Oid,
) -> Result<bool, Error> {
    if target(repository, name)?.is_none() {
        has_room(repository, name)?;
    }
    let file = history.common.join(format!("{name}.lock"));
    let claim = lock::Claim::take(history)?;
    lock::waiting(history, &claim, &file, || {
        let mut transaction = repository.transaction().doing("moving a reference")?;
        match history.modes.apply(|| transaction.lock_ref(name)) {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::Locked => return Ok(None),
            Err(error) => return Err(error).doing("locking a reference"),
        }
        claim.mark(&file);
        history.step(Point::CommitLocked)?;
        let old = target(repository, name)?;
        match expected {
            Expected::Exactly(value) if value != old => return Ok(Some(false)),
            _ if old == Some(new) => return Ok(Some(true)),
            _ => {}
        }
        // Given a signature, libgit2 need not look up the author of the reflog entry.
        let who = super::signature(&history.options)?;
        transaction.set_target(name, new, Some(&who), "indelible: record").doing("moving a reference")?;
        history.modes.apply(|| transaction.commit()).doing("moving a reference")?;
        history.mend_reference(name);
        Ok(Some(true))
    })
}

/// Removes `name` if it is still at `old`, under its lock. Returns false if it is not, or if the list of packed
/// references is locked: the caller retries another time.
pub(super) fn remove(history: &History, repository: &Repository, name: &str, old: Oid) -> Result<bool, Error> {
    let file = history.common.join(format!("{name}.lock"));
    let claim = lock::Claim::take(history)?;
    lock::waiting(history, &claim, &file, || {
        let mut transaction = repository.transaction().doing("removing a reference")?;
        match transaction.lock_ref(name) {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::Locked => return Ok(None),
            Err(error) => return Err(error).doing("locking a reference"),
        }
        claim.mark(&file);
        if target(repository, name)? != Some(old) {
            return Ok(Some(false));
        }
        transaction.remove(name).doing("removing a reference")?;
        match transaction.commit() {
            Err(error) if error.code() == ErrorCode::Locked => Ok(Some(false)),
            removed => removed.doing("removing a reference").map(|()| Some(true)),
        }
    })
}

/// Moves `name` from `from` to `to`, under its lock, without waiting for the lock; `None` is a reference that does not
/// exist. Returns false if it is not at `from`, or if the lock is held.
pub(super) fn try_move(
    history: &History,
    repository: &Repository,
    name: &str,
    from: Option<Oid>,
    to: Option<Oid>,
) -> Result<bool, Error> {
    let file = history.common.join(format!("{name}.lock"));
    let claim = lock::Claim::take(history)?;
    let mut transaction = repository.transaction().doing("moving a reference")?;
    match history.modes.apply(|| transaction.lock_ref(name)) {
        Ok(()) => {}
        Err(error) if error.code() == ErrorCode::Locked => return Ok(false),
        Err(error) => return Err(error).doing("locking a reference"),
    }
    claim.mark(&file);
    if target(repository, name)? != from {
        return Ok(false);
    }
    let who = super::signature(&history.options)?;
    match to {
        Some(to) => transaction.set_target(name, to, Some(&who), "indelible: record"),
        None => transaction.remove(name),
    }
    .and_then(|()| history.modes.apply(|| transaction.commit()))
    .doing("moving a reference")?;
    history.mend_reference(name);
    Ok(true)
}

/// A name beneath ours, packed or not, makes ours impossible. libgit2 checks only the unpacked ones.
pub(super) fn has_room(repository: &Repository, name: &str) -> Result<(), Error> {
    let mut beneath = repository.references_glob(&format!("{name}/*")).doing("listing references")?;
    match beneath.next() {
        None => Ok(()),
        Some(_) => Err(Error::Reference {
            reference: name.to_owned(),
            what: "there are branches beneath that name".to_owned(),
        }),
    }
}
