//! Trees of a repository, read and written as raw objects: compared, searched, and changed in one walk.
//!
//! 1. What is read comes from other homes: a tree that is malformed, or deeper than a home's, is an error or is left out.
//! 2. A folder is read once and written once, however many of its entries change.
//! 3. A name that is not UTF-8 is shown with replacement characters, so it is no name that a record has.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use git2::{ObjectType, Oid, Repository};

use super::objects::{Bytes, Objects};
use crate::fs;
use crate::model::layout::{join, split_first};
use crate::target::history::tree::{Entry, Shape, entries, with_changes};

/// The deepest folder that is looked into: a record's page is at most ten folders below the root.
const DEPTH_MAX: usize = 16;

/// Why a repository's objects could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libgit2 refused.
    #[error("git failed {doing}")]
    Git {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: git2::Error,
    },
    /// An object is not what it has to be.
    #[error("the object {id}, {what}, is malformed")]
    Malformed {
        /// Its name.
        id: String,
        /// What it is.
        what: String,
    },
    /// New objects could not be written or read.
    #[error(transparent)]
    New(#[from] crate::objects::Error),
    /// The folder for new objects could not be opened.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// Names what was being done when libgit2 failed.
pub(crate) trait Doing<T> {
    /// The same result, with an [`Error::Git`].
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, git2::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Git { doing, source })
    }
}

/// A file in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name of its bytes.
    pub id: Oid,
    /// Whether it is a regular file that is not executable: nothing else is a record's.
    pub is_plain: bool,
}

/// A path at which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: String,
    /// What the first tree has there.
    pub old: Option<Found>,
    /// What the second tree has there.
    pub new: Option<Found>,
}

/// What becomes of paths: the name of a file's bytes, or nothing.
pub type Changes = BTreeMap<String, Option<Oid>>;

/// The trees of a repository, and new ones (`objects`).
pub struct Trees<'r> {
    objects: Objects<'r>,
}

/// A folder's entry, without the bytes of its tree.
#[derive(Clone)]
struct Item {
    name: String,
    id: Oid,
    shape: Shape,
    is_plain: bool,
}

impl Item {
    fn of(entry: &Entry<'_>) -> Item {
        let is_plain = entry.mode == b"100644";
        let name = String::from_utf8_lossy(entry.name).into_owned();
        Item { name, id: entry.id, shape: entry.shape(), is_plain }
    }

    fn found(&self) -> Found {
        Found { id: self.id, is_plain: self.is_plain }
    }

    fn is_folder(&self) -> bool {
        self.shape == Shape::Folder
    }
}

impl<'r> Trees<'r> {
    /// The trees of `repository`.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn of(repository: &'r Repository) -> Result<Trees<'r>, Error> {
        Ok(Trees { objects: Objects::of(repository)? })
    }

    /// As [`Trees::of`], without packs.
    ///
    /// # Errors
    /// [`Error::Git`].
    #[cfg(test)]
    pub fn direct(repository: &'r Repository) -> Result<Trees<'r>, Error> {
        Ok(Trees { objects: Objects::direct(repository)? })
    }

    /// The objects that they are made of.
    pub fn objects(&self) -> &Objects<'r> {
        &self.objects
    }

    /// The bytes of the file `id`; `None` if it has more than `bytes_max`.
    ///
    /// # Errors
    /// [`Error::Git`] if it cannot be read, [`Error::Malformed`] if it is no file.
    pub fn file(&self, id: Oid, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.objects.size(id)? {
            (ObjectType::Blob, size) if size > bytes_max => Ok(None),
            (ObjectType::Blob, _) => Ok(self.objects.read(id)?.map(Bytes::into_data)),
            _ => Err(Error::Malformed { id: id.to_string(), what: "a file".to_owned() }),
        }
    }

    /// The size of the file `id` in bytes.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn size(&self, id: Oid) -> Result<usize, Error> {
        Ok(self.objects.size(id)?.1)
    }

    /// Writes a file's bytes, and returns their name.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn write(&self, bytes: &[u8]) -> Result<Oid, Error> {
        self.objects.write(ObjectType::Blob, bytes)
    }

    fn folder(&self, id: Oid, path: &str) -> Result<Bytes<'_>, Error> {
        let object = self.objects.read(id)?.filter(|object| object.kind() == ObjectType::Tree);
        object.ok_or_else(|| malformed(id, path))
    }

    fn items(&self, id: Option<Oid>, path: &str) -> Result<Vec<Item>, Error> {
        let Some(id) = id else { return Ok(Vec::new()) };
        let object = self.folder(id, path)?;
        let items: Result<Vec<Item>, _> = entries(object.data()).map(|entry| entry.map(|it| Item::of(&it))).collect();
        items.map_err(|_| malformed(id, path))
    }

    /// The paths at which the trees `old` and `new` differ, in git's order. Equal folders are not looked into.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn differences(&self, old: Option<Oid>, new: Option<Oid>) -> Result<Vec<Difference>, Error> {
        let mut found = Vec::new();
        self.compare("", 0, old, new, &mut found)?;
        Ok(found)
    }

    fn compare(
        &self,
        path: &str,
        depth: usize,
        old: Option<Oid>,
        new: Option<Oid>,
        found: &mut Vec<Difference>,
    ) -> Result<(), Error> {
        if old == new || depth > DEPTH_MAX {
            return Ok(());
        }
        let (old, new) = (self.items(old, path)?, self.items(new, path)?);
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => in_order(old, new),
            };
            let before = if order == Ordering::Greater { None } else { old.next() };
            let after = if order == Ordering::Less { None } else { new.next() };
            self.compare_entry(path, depth, before.as_ref(), after.as_ref(), found)?;
        }
    }

    /// Compares two entries of one name, both folders or neither; either can be absent.
    fn compare_entry(
        &self,
        folder: &str,
        depth: usize,
        old: Option<&Item>,
        new: Option<&Item>,
        found: &mut Vec<Difference>,
    ) -> Result<(), Error> {
        let Some(any) = old.or(new) else { return Ok(()) };
        let path = join(folder, &any.name);
        if any.is_folder() {
            return self.compare(&path, depth + 1, old.map(|it| it.id), new.map(|it| it.id), found);
        }
        let (old, new) = (old.map(Item::found), new.map(Item::found));
        if old != new {
            found.push(Difference { path, old, new });
        }
        Ok(())
    }

    /// Calls `visit` with every plain file beneath the folder `beneath` of `tree`; of all of it if that is empty.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn each(
        &self,
        tree: Option<Oid>,
        beneath: &str,
        visit: &mut dyn FnMut(&str, Found) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.folder_at(tree, beneath)? {
            Some(id) => self.walk(id, beneath, 0, visit),
            None => Ok(()),
        }
    }

    fn walk(
        &self,
        id: Oid,
        path: &str,
        depth: usize,
        visit: &mut dyn FnMut(&str, Found) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        for item in self.items(Some(id), path)? {
            let beneath = join(path, &item.name);
            match item.is_folder() {
                true => self.walk(item.id, &beneath, depth + 1, visit)?,
                false if item.is_plain => visit(&beneath, item.found())?,
                false => {}
            }
        }
        Ok(())
    }

    /// The folder at `path` in `tree`; the tree itself if that is empty.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn folder_at(&self, tree: Option<Oid>, path: &str) -> Result<Option<Oid>, Error> {
        let mut at = tree;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let items = self.items(at, path)?;
            at = items.into_iter().find(|it| it.is_folder() && it.name == part).map(|it| it.id);
        }
        Ok(at)
    }

    /// What `tree` has at each of `paths`, as far as it has a file there. Each folder is read once.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn find<'p>(
        &self,
        tree: Option<Oid>,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> Result<HashMap<String, Found>, Error> {
        let mut wanted: Vec<(&str, &str)> = paths.into_iter().map(|path| (path, path)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = HashMap::new();
        if let Some(tree) = tree {
            self.find_in(tree, "", &wanted, &mut found)?;
        }
        Ok(found)
    }

    /// `wanted` has whole paths, and what is left of them in this folder.
    fn find_in(
        &self,
        id: Oid,
        folder: &str,
        wanted: &[(&str, &str)],
        found: &mut HashMap<String, Found>,
    ) -> Result<(), Error> {
        let mut files: HashMap<&str, &str> = HashMap::new();
        let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (whole, rest) in wanted {
            match split_first(rest) {
                Some((part, rest)) => folders.entry(part).or_default().push((whole, rest)),
                None => drop(files.insert(rest, whole)),
            }
        }
        for item in self.items(Some(id), folder)? {
            if let Some(whole) = files.get(item.name.as_str()).filter(|_| !item.is_folder()) {
                found.insert((*whole).to_owned(), item.found());
            }
            if let Some(wanted) = folders.get(item.name.as_str()).filter(|_| item.is_folder()) {
                self.find_in(item.id, &join(folder, &item.name), wanted, found)?;
            }
        }
        Ok(())
    }

    /// The tree `base` with `changes` made. A change in whose way another shape is, a link or a folder where a file goes, is left
    /// out. The tree of nothing is the empty one.
    ///
    /// # Errors
    /// Every [`Error`].
    pub fn with(&self, base: Option<Oid>, changes: &Changes) -> Result<Oid, Error> {
        let changes: Vec<(&str, Option<Oid>)> = changes.iter().map(|(path, id)| (path.as_str(), *id)).collect();
        match self.changed(base, "", &changes)? {
            Some(tree) => Ok(tree),
            None => self.objects.write(ObjectType::Tree, &[]),
        }
    }

    /// The folder `base` with `changes`; `None` if nothing is left in it.
    fn changed(&self, base: Option<Oid>, folder: &str, changes: &[(&str, Option<Oid>)]) -> Result<Option<Oid>, Error> {
        let object = base.map(|id| self.folder(id, folder)).transpose()?;
        let bytes = object.as_ref().map_or(&[][..], |object| object.data());
        let mut there: HashMap<&[u8], (Shape, Oid)> = HashMap::new();
        for entry in entries(bytes) {
            let entry = entry.map_err(|_| malformed(base.unwrap_or(Oid::ZERO_SHA1), folder))?;
            there.insert(entry.name, (entry.shape(), entry.id));
        }
        let mut folders: BTreeMap<&str, Vec<(&str, Option<Oid>)>> = BTreeMap::new();
        let mut made: Vec<Entry<'_>> = Vec::new();
        for (path, id) in changes {
            if let Some((part, rest)) = split_first(path) {
                folders.entry(part).or_default().push((rest, *id));
                continue;
            }
            let file = Entry::file(path, id.unwrap_or(Oid::ZERO_SHA1));
            match there.get(path.as_bytes()) {
                Some((Shape::File, _)) => made.push(file),
                None if id.is_some() => made.push(file),
                _ => {}
            }
        }
        for (part, changes) in &folders {
            let old = match there.get(part.as_bytes()) {
                Some((Shape::Folder, id)) => Some(*id),
                Some(_) => continue,
                None => None,
            };
            let new = self.changed(old, &join(folder, part), changes)?;
            if new != old {
                made.push(Entry::folder(part, new.unwrap_or(Oid::ZERO_SHA1)));
            }
        }
        if made.is_empty() {
            return Ok(base);
        }
        let bytes = with_changes(bytes, made).map_err(|_| malformed(base.unwrap_or(Oid::ZERO_SHA1), folder))?;
        match bytes.is_empty() {
            true => Ok(None),
            false => self.objects.write(ObjectType::Tree, &bytes).map(Some),
        }
    }
}

/// Git's order of two entries: a folder's name is as if it ended in `/`.
fn in_order(one: &Item, other: &Item) -> Ordering {
    fn entry(item: &Item) -> Entry<'_> {
        let entry = Entry::file(&item.name, item.id);
        if item.is_folder() { Entry::folder(&item.name, item.id) } else { entry }
    }
    entry(one).order(&entry(other))
}

fn malformed(id: Oid, path: &str) -> Error {
    Error::Malformed { id: id.to_string(), what: format!("the folder {path:?}") }
}
