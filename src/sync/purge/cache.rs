//! `sync.git` without erased records: made again beside it, from what its references are without them, and put in its place.
//!
//! The git program is not needed for it: a home erases offline, too. What the own lane is on the remote is not kept if it has one of
//! the records: the next sync asks.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the new one is made | a folder among the temporary files | made again; recovery sweeps |
//! | the old one is removed, the new one not in its place | no `sync.git` | the next sync makes it from the remote |

use std::collections::BTreeSet;
use std::io::Write as _;

use git2::{Oid, Repository};

use super::{Looks, Rewriter};
use crate::fs::{self, Point, crash};
use crate::model::RecordId;
use crate::sync::Error;
use crate::sync::store::{ACKED, Store};
use crate::sync::trunk::NEXT;

impl Store {
    /// Takes the records `ids` out of the repository, and everything that nothing names.
    ///
    /// # Errors
    /// [`Class::Later`](crate::sync::Class::Later) if it cannot be read or written: it is as it was, or gone.
    pub fn rebuild(&self, ids: &BTreeSet<RecordId>) -> Result<(), Error> {
        let (name, folder) = self.begin_repository()?;
        let old = self.repository()?;
        let mut rewriter = Rewriter::of(&old, ids, Looks::Everywhere)?;
        let mut references = Vec::new();
        for reference in old.references()? {
            let reference = reference?;
            let (Ok(name), Some(at)) = (reference.name(), reference.target()) else { continue };
            let now = rewriter.commit(at, None)?;
            if name != NEXT && (name != ACKED || now == at) {
                references.push((name.to_owned(), now));
            }
        }
        let new = Repository::open_bare(folder.path())?;
        copy(&old, &new, &references)?;
        for (name, at) in &references {
            new.reference(name, *at, true, "sync")?;
        }
        drop(new);
        crash::at(Point::SyncBeforePack).map_err(fs::Error::io("put a repository in place of", self.path()))?;
        self.remove_repository()?;
        self.place_repository(&name, &folder)
    }
}

/// Copies all that `references` reach, as one pack.
fn copy(from: &Repository, to: &Repository, references: &[(String, Oid)]) -> Result<(), Error> {
    let mut walk = from.revwalk()?;
    references.iter().try_for_each(|(_, at)| walk.push(*at))?;
    let mut pack = from.packbuilder()?;
    pack.insert_walk(&mut walk)?;
    if pack.object_count() == 0 {
        return Ok(());
    }
    let objects = to.odb()?;
    let mut writer = objects.packwriter()?;
    let mut failed = None;
    pack.foreach(|part| {
        failed = writer.write_all(part).err();
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(writer.commit().map(drop)?),
    }
}
