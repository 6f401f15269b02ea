//! Rewrites the commits of indelible's references without what is erased, and moves the references to them.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before a reference moves | new objects that nothing reaches | the next run makes the same ones |
//! | between two references | some at the new commits | the next run: the same commits have the same names |
//! | after them | old objects | the next step, which drops them |

use std::collections::HashMap;

use git2::{ObjectType, Odb, Oid, Repository, Sort};

use super::super::pack::{self, Placed, Staging};
use super::super::{Doing as _, Error, History};
use super::survey::{After, Survey};
use super::words::commit_without;
use crate::fs::Point;
use crate::objects::Object;

/// How many bytes of new objects are kept in memory before they become a pack.
const PACK_BYTES: usize = 16 << 20;

/// New objects, on their way into packs that no gc removes.
struct Made<'h> {
    history: &'h History,
    objects: HashMap<Oid, Object<'static>>,
    bytes: usize,
    placed: Vec<Placed>,
}

impl Made<'_> {
    fn add(&mut self, kind: ObjectType, bytes: Vec<u8>) -> Result<Oid, Error> {
        let size = bytes.len();
        let object = Object::new(kind, bytes)?;
        let id = object.id;
        if self.objects.insert(id, object).is_none() {
            self.bytes += size;
        }
        if self.bytes >= PACK_BYTES {
            self.place()?;
        }
        Ok(id)
    }

    fn place(&mut self) -> Result<(), Error> {
        if self.objects.is_empty() {
            return Ok(());
        }
        let mut objects: Vec<Object<'static>> = self.objects.drain().map(|(_, object)| object).collect();
        objects.sort_unstable_by_key(|object| object.id);
        self.bytes = 0;
        let placed = Staging::create(self.history, "erase", &[])?.write_objects(&objects)?.place(self.history, None)?;
        pack::check_seen(self.history, objects.iter().map(|object| object.id))?;
        self.placed.push(placed);
        Ok(())
    }
}

/// Each commit that the references `from` reach and that has something to erase, with what it becomes.
pub(super) fn rewritten(
    history: &History,
    repository: &Repository,
    objects: &Odb<'_>,
    survey: &mut Survey<'_>,
    from: &[Oid],
) -> Result<(HashMap<Oid, Oid>, Vec<Placed>), Error> {
    let mut made = Made { history, objects: HashMap::new(), bytes: 0, placed: Vec::new() };
    let mut renamed = HashMap::new();
    let mut walk = repository.revwalk().doing("walking the history")?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).doing("walking the history")?;
    for tip in from {
        walk.push(*tip).doing("walking the history")?;
    }
    let short = survey.short.clone();
    for id in walk {
        let id = id.doing("walking the history")?;
        let object = objects.read(id).doing("reading a commit")?;
        let Some(known) = survey.commits.get(&id) else { continue };
        let tree = known.tree;
        let tree = match survey.after(tree, &mut |bytes| made.add(ObjectType::Tree, bytes))? {
            After::Same => None,
            After::Tree(id) => Some(id),
            After::Empty => Some(made.add(ObjectType::Tree, Vec::new())?),
        };
        if let Some(bytes) = commit_without(object.data(), tree, &renamed, &short) {
            renamed.insert(id, made.add(ObjectType::Commit, bytes)?);
        }
    }
    made.place()?;
    Ok((renamed, made.placed))
}

/// Moves the references `of` to what their commits became. False if one was moved meanwhile.
pub(super) fn move_references(
    history: &History,
    repository: &Repository,
    of: &[(String, Oid)],
    renamed: &HashMap<Oid, Oid>,
) -> Result<bool, Error> {
    for (name, at) in of {
        let Some(new) = renamed.get(at) else { continue };
        history.step(Point::EraseBeforeReference)?;
        if !history.move_own(repository, name, *at, *new)? {
            return Ok(false);
        }
    }
    history.step(Point::EraseAfterReferences)?;
    Ok(true)
}
