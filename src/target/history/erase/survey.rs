//! Finds which of a repository's objects have erased records: by what the objects say, not by where they are.
//!
//! A blob has one if it is its page, a copy of the page, or its experiment's log (front matter with its id), if it is a
//! domain's page that shows it, or if it is a state file of before, which can say why it was retracted. A tree has one if something beneath it has. A commit has one if its tree or its message
//! has, or a commit before it.

use std::collections::{BTreeSet, HashMap, HashSet};

use git2::{ErrorCode, ObjectType, Odb, Oid};

use super::super::message;
use super::super::tree::{self, Shape};
use super::super::{Doing as _, Error, History};
use super::words::{message_without, parts};
use crate::model::{HomeId, RecordId};
use crate::page::{self, Presence, StateFile};

/// A repository with a deeper folder is refused before anything is erased.
const DEPTH_MAX: usize = 200;

/// What becomes of a tree without the blobs that go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Same,
    Tree(Oid),
    /// Nothing is left in it: git has no empty folders.
    Empty,
}

/// One commit of the repository.
pub(super) struct Known {
    pub(super) tree: Oid,
    pub(super) parents: Vec<Oid>,
    /// Whether its message names an erased record.
    is_named: bool,
    /// Whether this program made it for this home. In a repository that we made, that is all that this program made.
    pub(super) is_ours: bool,
}

/// What was found.
pub(super) struct Survey<'r> {
    pub(super) objects: &'r Odb<'r>,
    /// The short ids of the records, as messages and pages spell them.
    pub(super) short: BTreeSet<String>,
    /// The blobs that have them.
    pub(super) blobs: HashSet<Oid>,
    pub(super) trees: Vec<Oid>,
    pub(super) commits: HashMap<Oid, Known>,
    after: HashMap<Oid, After>,
    /// The home whose commits are ours; `None` if those of every home are.
    guest: Option<HomeId>,
}

impl<'r> Survey<'r> {
    /// Reads every blob and commit of `objects`, the objects of the repository of `history`.
    pub(super) fn of(history: &History, objects: &'r Odb<'r>, ids: &BTreeSet<RecordId>) -> Result<Survey<'r>, Error> {
        let short = ids.iter().map(|id| id.short()).collect();
        let (blobs, trees, commits, after) = (HashSet::new(), Vec::new(), HashMap::new(), HashMap::new());
        let guest = (!history.owned).then(|| history.id.unwrap_or_default());
        let mut survey = Survey { objects, short, blobs, trees, commits, after, guest };
        for id in listed(survey.objects)? {
            survey.look(id, ids)?;
        }
        Ok(survey)
    }

    fn look(&mut self, id: Oid, ids: &BTreeSet<RecordId>) -> Result<(), Error> {
        let Some((_, kind)) = found(self.objects.read_header(id))? else { return Ok(()) };
        if kind == ObjectType::Tree {
            self.trees.push(id);
        }
        if !matches!(kind, ObjectType::Blob | ObjectType::Commit) {
            return Ok(());
        }
        let Some(object) = found(self.objects.read(id))? else { return Ok(()) };
        if kind == ObjectType::Commit {
            self.commits.extend(known(object.data(), &self.short, self.guest).map(|known| (id, known)));
        } else if has(object.data(), ids, &self.short) {
            self.blobs.insert(id);
        }
        Ok(())
    }

    /// What becomes of the tree `id`. `make` is given the bytes of each new tree, and names it.
    pub(super) fn after(
        &mut self,
        id: Oid,
        make: &mut dyn FnMut(Vec<u8>) -> Result<Oid, Error>,
    ) -> Result<After, Error> {
        self.after_at(id, 0, make)
    }

    fn after_at(
        &mut self,
        id: Oid,
        depth: usize,
        make: &mut dyn FnMut(Vec<u8>) -> Result<Oid, Error>,
    ) -> Result<After, Error> {
        if let Some(known) = self.after.get(&id) {
            return Ok(*known);
        }
        if depth > DEPTH_MAX {
            return Err(tree::malformed(id, "a folder that is nested too deeply to be searched"));
        }
        // The end of a shallow or partial clone has nothing to erase.
        let Some(object) = found(self.objects.read(id))? else { return Ok(After::Same) };
        let malformed = |_| tree::malformed(id, "");
        let mut changes = Vec::new();
        for entry in tree::entries(object.data()) {
            let entry = entry.map_err(malformed)?;
            match entry.shape() {
                Shape::Folder => match self.after_at(entry.id, depth + 1, make)? {
                    After::Same => {}
                    After::Tree(id) => changes.push(tree::Entry { id, ..entry }),
                    After::Empty => changes.push(tree::Entry::removed(&entry)),
                },
                Shape::File | Shape::Link if self.blobs.contains(&entry.id) => {
                    changes.push(tree::Entry::removed(&entry));
                }
                Shape::File | Shape::Link | Shape::Submodule => {}
            }
        }
        let after = match changes.is_empty() {
            true => After::Same,
            false => match tree::with_changes(object.data(), changes).map_err(malformed)? {
                bytes if bytes.is_empty() => After::Empty,
                bytes => After::Tree(make(bytes)?),
            },
        };
        self.after.insert(id, after);
        Ok(after)
    }

    /// Whether the tree `id` has something that goes.
    pub(super) fn is_tree_affected(&mut self, id: Oid) -> Result<bool, Error> {
        let name = |bytes: Vec<u8>| Oid::hash_object(ObjectType::Tree, &bytes).doing("naming a folder");
        Ok(self.after(id, &mut { name })? != After::Same)
    }

    /// The commits that have something that goes, or come after one.
    pub(super) fn affected_commits(&mut self) -> Result<HashSet<Oid>, Error> {
        let own: Vec<(Oid, Oid, bool)> = self.commits.iter().map(|(id, it)| (*id, it.tree, it.is_named)).collect();
        let mut affected = HashSet::new();
        for (id, tree, is_named) in own {
            if is_named || self.is_tree_affected(tree)? {
                affected.insert(id);
            }
        }
        let mut children: HashMap<Oid, Vec<Oid>> = HashMap::new();
        for (id, known) in &self.commits {
            known.parents.iter().for_each(|parent| children.entry(*parent).or_default().push(*id));
        }
        let mut open: Vec<Oid> = affected.iter().copied().collect();
        while let Some(id) = open.pop() {
            for child in children.get(&id).into_iter().flatten() {
                if affected.insert(*child) {
                    open.push(*child);
                }
            }
        }
        Ok(affected)
    }
}

/// The ids of all objects.
pub(super) fn listed(objects: &git2::Odb<'_>) -> Result<Vec<Oid>, Error> {
    let mut all = Vec::new();
    let list = |id: &Oid| {
        all.push(*id);
        true
    };
    objects.foreach(list).doing("listing the objects")?;
    Ok(all)
}

/// `read`, or `None` if the object is not there, or no longer.
pub(super) fn found<T>(read: Result<T, git2::Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        read => read.map(Some).doing("reading an object"),
    }
}

fn known(raw: &[u8], short: &BTreeSet<String>, guest: Option<HomeId>) -> Option<Known> {
    let (headers, message) = parts(raw);
    let ids = |name: &'static str| {
        let id = move |line: &[u8]| Oid::from_str(std::str::from_utf8(line.strip_prefix(name.as_bytes())?).ok()?).ok();
        headers.split(|byte| *byte == b'\n').filter_map(id)
    };
    let is_named = std::str::from_utf8(message).is_ok_and(|text| message_without(text, short).is_some());
    let is_ours = message::parse(message).is_some_and(|trailer| guest.is_none() || trailer.home == guest);
    Some(Known { tree: ids("tree ").next()?, parents: ids("parent ").collect(), is_named, is_ours })
}

/// Whether a file with these bytes is that of one of the records, or shows one.
pub(crate) fn has(bytes: &[u8], ids: &BTreeSet<RecordId>, short: &BTreeSet<String>) -> bool {
    let is_page = page::id_of(bytes).is_some_and(|id| ids.contains(&id));
    is_page
        || (page::is_rendered(bytes) && short.iter().any(|id| contains(bytes, id.as_bytes())))
        || is_state_before(bytes, ids)
}

/// Whether the bytes are a state file of one of the records that does not say that it was erased: it can say why it was retracted.
fn is_state_before(bytes: &[u8], ids: &BTreeSet<RecordId>) -> bool {
    StateFile::read(bytes).is_some_and(|state| state.state != Presence::Erased && ids.contains(&state.of))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
