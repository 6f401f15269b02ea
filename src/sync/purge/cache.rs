//! `sync.git` without erased records: made again beside it, from what its references are without them, and put in its place.
//!
//! The git program is not needed for it: a home erases offline, too. What the own lane is on the remote is not kept if it has one of
//! the records: the next sync asks.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the new one is made | a folder among the temporary files | made again; recovery sweeps |
//! | the old one is removed, the new one not in its place | no `sync.git` | the next sync makes it from the remote |

use std::collections::{BTreeSet, HashSet};

use git2::{ObjectType, Oid, Repository};

use super::{Looks, Rewriter};
use crate::fs::{self, Point, crash};
use crate::model::RecordId;
use crate::sync::Error;
use crate::sync::objects::Objects;
use crate::sync::store::{ACKED, Store};
use crate::sync::tree;
use crate::sync::trunk::NEXT;
use crate::target::history::tree::{Shape, entries};

impl Store {
    /// Takes the records `ids` out of the repository, and everything that nothing names.
    ///
    /// # Errors
    /// [`Class::Later`](crate::sync::Class::Later) if it cannot be read or written: it is as it was, or gone.
    pub fn rebuild(&self, ids: &BTreeSet<RecordId>) -> Result<(), Error> {
        let (name, folder) = self.begin_repository()?;
        let old = self.repository()?;
        let objects = Objects::of(&old)?;
        let mut rewriter = Rewriter::of(&objects, ids, Looks::Everywhere);
        let mut references = Vec::new();
        for reference in old.references()? {
            let reference = reference?;
            let (Ok(name), Some(at)) = (reference.name(), reference.target()) else { continue };
            let now = rewriter.commit(at, None)?;
            if name != NEXT && (name != ACKED || now == at) {
                references.push((name.to_owned(), now));
            }
        }
        objects.place()?;
        let new = Repository::open_bare(folder.path())?;
        copy(&objects, &Objects::of(&new)?, references.iter().map(|(_, at)| *at))?;
        for (name, at) in &references {
            new.reference(name, *at, true, "sync")?;
        }
        drop(new);
        crash::at(Point::SyncBeforePack).map_err(fs::Error::io("put a repository in place of", self.path()))?;
        self.remove_repository()?;
        self.place_repository(&name, &folder)
    }
}

/// Copies all that `tips` reach, as new packs.
pub(crate) fn copy(from: &Objects<'_>, to: &Objects<'_>, tips: impl Iterator<Item = Oid>) -> Result<(), Error> {
    let mut walk = from.repository.revwalk()?;
    for tip in tips {
        walk.push(tip)?;
    }
    let mut seen = HashSet::new();
    for id in walk {
        let id = id?;
        let tree = from.repository.find_commit(id)?.tree_id();
        let mut left = vec![id, tree];
        while let Some(id) = left.pop() {
            if !seen.insert(id) {
                continue;
            }
            let missing =
                || tree::Error::Malformed { id: id.to_string(), what: "which is named and missing".to_owned() };
            let object = from.read(id)?.ok_or_else(missing)?;
            if object.kind() == ObjectType::Tree {
                let named = entries(object.data()).flatten().filter(|entry| entry.shape() != Shape::Submodule);
                left.extend(named.map(|entry| entry.id));
            }
            to.write(object.kind(), object.data())?;
        }
    }
    Ok(to.place()?)
}
