//! Commits of lanes and of the trunk without erased records: a pure function of a commit and of the records' ids, so every home
//! arrives at the same names, and an old tip is recognised by what becomes of it.
//!
//! 1. A file goes if it is a record's page, a copy of one, or what was made from it (its front matter has the id); if it is a domain's
//!    page that shows the record; and if it is a state file that says why the record was retracted.
//! 2. A commit keeps its author, dates and message. Its tree, its parents and the tips that its trailers name are changed, and a
//!    signature goes, since it is of other bytes. What has nothing of the records keeps its name.
//! 3. It only adds objects. Killed anywhere, it leaves objects that nothing reaches, and the next run makes the same ones.

use std::collections::{BTreeSet, HashMap};

use git2::{ObjectType, Oid, Sort};

use crate::model::RecordId;
use crate::sync::merge::FILE_BYTES_MAX;
use crate::sync::message::with_tips;
use crate::sync::objects::Objects;
use crate::sync::tree::{Doing as _, Error};
use crate::target::history::tree::{Entry, Shape, entries, with_changes};
use crate::target::history::{commit_without, shows};

/// A deeper folder has nothing of a record.
const DEPTH_MAX: usize = 64;

/// Where records are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// In every file: a person can have copied a page on the trunk.
    Everywhere,
    /// In files whose name, or whose folder's, has the record's id: so it is on the lane of a home.
    ByName,
}

#[derive(Clone, Copy)]
enum After {
    Same,
    Tree(Oid),
    /// Nothing is left in it: git has no empty folders.
    Empty,
}

/// What commits become without some records.
pub struct Rewriter<'r> {
    objects: &'r Objects<'r>,
    ids: BTreeSet<RecordId>,
    short: BTreeSet<String>,
    looks: Looks,
    /// By the tree, and whether its folder's name has a record's id.
    trees: HashMap<(Oid, bool), After>,
    files: HashMap<Oid, bool>,
    commits: HashMap<Oid, Oid>,
}

impl<'r> Rewriter<'r> {
    /// Rewrites commits among `objects` without the records `ids`.
    pub fn of(objects: &'r Objects<'r>, ids: &BTreeSet<RecordId>, looks: Looks) -> Rewriter<'r> {
        Rewriter {
            objects,
            ids: ids.clone(),
            short: ids.iter().map(|id| id.short()).collect(),
            looks,
            trees: HashMap::new(),
            files: HashMap::new(),
            commits: HashMap::new(),
        }
    }

    /// What the commit `tip` becomes: itself, if neither it nor a commit before it has anything of the records. What `since` reaches
    /// has nothing of them.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn commit(&mut self, tip: Oid, since: Option<Oid>) -> Result<Oid, Error> {
        if self.ids.is_empty() {
            return Ok(tip);
        }
        if let Some(known) = self.commits.get(&tip) {
            return Ok(*known);
        }
        let mut walk = self.objects.repository.revwalk().doing("walking a lane or the trunk")?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).doing("walking a lane or the trunk")?;
        walk.push(tip).doing("walking a lane or the trunk")?;
        if let Some(since) = since {
            walk.hide(since).doing("walking a lane or the trunk")?;
        }
        for id in walk {
            let id = id.doing("walking a lane or the trunk")?;
            if !self.commits.contains_key(&id) {
                let new = self.one(id)?;
                self.commits.insert(id, new);
            }
        }
        Ok(self.commits.get(&tip).copied().unwrap_or(tip))
    }

    /// What a commit becomes whose parents were rewritten.
    fn one(&mut self, id: Oid) -> Result<Oid, Error> {
        let tree = self.objects.repository.find_commit(id).doing("reading a commit")?.tree_id();
        let tree = match self.tree(tree, false, 0)? {
            After::Same => None,
            After::Tree(tree) => Some(tree),
            After::Empty => Some(self.objects.write(ObjectType::Tree, &[])?),
        };
        let raw = self
            .objects
            .read(id)?
            .ok_or_else(|| Error::Malformed { id: id.to_string(), what: "a commit".to_owned() })?;
        match commit_without(raw.data(), tree, &self.commits, &self.short) {
            None => Ok(id),
            Some(bytes) => {
                let bytes = with_tips(&bytes, &self.commits);
                self.objects.write(ObjectType::Commit, &bytes)
            }
        }
    }

    fn tree(&mut self, id: Oid, is_named: bool, depth: usize) -> Result<After, Error> {
        if let Some(known) = self.trees.get(&(id, is_named)) {
            return Ok(*known);
        }
        let Some(object) = self.objects.read(id)?.filter(|it| it.kind() == ObjectType::Tree && depth <= DEPTH_MAX)
        else {
            return Ok(After::Same);
        };
        let data = object.into_data();
        let malformed = |_| Error::Malformed { id: id.to_string(), what: "a folder".to_owned() };
        let mut changes = Vec::new();
        for entry in entries(&data) {
            let entry = entry.map_err(malformed)?;
            let is_named = is_named || self.is_named(entry.name);
            match entry.shape() {
                Shape::Folder => match self.tree(entry.id, is_named, depth + 1)? {
                    After::Same => {}
                    After::Tree(id) => changes.push(Entry { id, ..entry }),
                    After::Empty => changes.push(Entry::removed(&entry)),
                },
                Shape::File if self.is_looked_at(is_named) && self.goes(entry.id)? => {
                    changes.push(Entry::removed(&entry));
                }
                Shape::File | Shape::Link | Shape::Submodule => {}
            }
        }
        let after = match changes.is_empty() {
            true => After::Same,
            false => match with_changes(&data, changes).map_err(malformed)? {
                bytes if bytes.is_empty() => After::Empty,
                bytes => After::Tree(self.objects.write(ObjectType::Tree, &bytes)?),
            },
        };
        self.trees.insert((id, is_named), after);
        Ok(after)
    }

    fn is_looked_at(&self, is_named: bool) -> bool {
        is_named || self.looks == Looks::Everywhere
    }

    fn is_named(&self, name: &[u8]) -> bool {
        self.short.iter().any(|id| memchr::memmem::find(name, id.as_bytes()).is_some())
    }

    /// Whether the file `id` has something of the records.
    fn goes(&mut self, id: Oid) -> Result<bool, Error> {
        if let Some(known) = self.files.get(&id) {
            return Ok(*known);
        }
        let goes = match self.objects.read(id)? {
            Some(file) if file.data().len() <= FILE_BYTES_MAX => shows(file.data(), &self.ids, &self.short),
            _ => false,
        };
        self.files.insert(id, goes);
        Ok(goes)
    }
}
