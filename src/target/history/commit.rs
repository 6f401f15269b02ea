//! One batch, one commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};
use jiff::Timestamp;

use super::message::{self, Trailer};
use super::pack::{self, Placed, Staging};
use super::refs::{self, Expected};
use super::tree::{self, Entry, Shape};
use super::{CommitId, Doing as _, Error, History, Obstacle, bytes};
use crate::fs::crash::Point;
use crate::model::layout::{self, join};
use crate::model::position::Position;
use crate::model::{BadPath, FileImage, HomeId, Intent, JournalId, Op, check_path};
use crate::objects::Object;

/// Attempts to make a commit while others keep moving the branch.
const ATTEMPTS_MAX: usize = 10;

/// The input of a commit.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// Records, in the journal's order. A file whose path is already in the tree keeps its content.
    pub records: &'a [&'a Intent],
    /// Derived pages. They replace what the tree has at their path.
    pub pages: &'a [FileImage],
    /// The changes of an operation other than `record`. It has a batch of its own.
    pub change: Option<&'a Changes<'a>>,
    /// Whether a history that has no commit yet begins with this batch, though nothing of it belongs in the tree: what other homes
    /// recorded is in the batch, and only a commit says how far the history is.
    pub begins: bool,
    /// The home's id.
    pub home: HomeId,
    /// The journal the batch is from.
    pub journal: JournalId,
    /// The end of the batch in the journal.
    pub position: Position,
}

/// The changes that an operation makes to the tree.
#[derive(Clone, Debug)]
pub struct Changes<'a> {
    /// The operation.
    pub op: &'a Op,
    /// New files, or replacements for what the tree has at their path.
    pub files: Vec<FileImage>,
    /// Paths to remove from the tree. A path that it lacks is skipped.
    pub removed: Vec<String>,
}

/// The result of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The branch already had all of it: no commit was made.
    Nothing,
    /// The branch is, or was at some moment, at this commit.
    New {
        /// The commit.
        commit: CommitId,
        /// How many of the batch's records it introduces.
        records: usize,
        /// How many pages it changes.
        pages: usize,
        /// Where it stands.
        stands: Standing,
    },
}

/// Where a commit stands in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The name of the commit before it; `None` for the first.
    pub parent: Option<[u8; 20]>,
    /// The name of its tree.
    pub tree: [u8; 20],
    /// When it was made.
    pub at: Timestamp,
}

/// What a commit starts from.
struct Base {
    /// The branch's value; absent before its first commit.
    branch: Option<Oid>,
    parent: Option<Oid>,
    tree: Option<Oid>,
}

impl History {
    /// Commits what the branch lacks of `batch`, and moves the journal's anchor to the branch's tip. On success, all
    /// of the batch is durable in the branch.
    ///
    /// Idempotent: a retry after an error or a crash duplicates nothing. If others move the branch concurrently, the
    /// commit is rebuilt on top of theirs.
    ///
    /// # Errors
    /// [`Error::Obstructed`] and [`Error::BadPath`] when files cannot be in the tree; nothing was committed then.
    /// [`Error::Locked`] and [`Error::Contended`] when others were in the way for the whole time.
    /// [`Error::Reference`], [`Error::Damaged`], [`Error::Io`] and [`Error::Git`] as they say. If the last step fails,
    /// which moves the anchor, the batch is already committed; the next call finds it so.
    pub fn commit(&self, batch: &NewCommit<'_>) -> Result<Committed, Error> {
        let wanted = Wanted::of(batch)?;
        self.take_in();
        let committed = self.commit_wanted(batch, &wanted)?;
        self.move_pointer();
        Ok(committed)
    }

    fn commit_wanted(&self, batch: &NewCommit<'_>, wanted: &Wanted<'_>) -> Result<Committed, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let repository = self.repository()?;
            let base = self.base(&repository)?;
            if base.branch.is_none() && self.regain(batch.journal)?.is_some() {
                continue;
            }
            self.step(Point::CommitBeforePack)?;
            let old = repository.odb().doing("opening the objects")?;
            let mut draft = Draft::new(&old, batch);
            let tree = match draft.tree(wanted, base.tree)? {
                None if batch.begins && base.branch.is_none() => Some(draft.first_tree(base.tree)?),
                tree => tree,
            };
            let Some(tree) = tree else {
                if self.settle_for(&repository, &base, batch)? {
                    return Ok(Committed::Nothing);
                }
                continue;
            };
            let commit = draft.commit(self, tree, base.parent)?;
            let placed = self.place(batch.journal, &draft.objects)?;
            self.step(Point::CommitBeforeBranch)?;
            if refs::move_to(self, &repository, &self.reference, Expected::Exactly(base.branch), commit)? {
                self.step(Point::CommitAfterBranch)?;
                placed.release()?;
                self.step(Point::CommitBeforeAnchor)?;
                self.move_anchor(&repository, batch.journal, Some(commit))?;
                self.step(Point::CommitAfterAnchor)?;
                let (records, pages) = (draft.records().len(), draft.pages);
                let stands = Standing { parent: base.parent.map(bytes), tree: bytes(tree), at: Timestamp::now() };
                return Ok(Committed::New { commit: CommitId(commit), records, pages, stands });
            }
            tracing::info!(branch = self.reference, "the branch was moved by others; starting over from where it is");
        }
        Err(Error::Contended { branch: self.reference.clone(), attempts: ATTEMPTS_MAX })
    }

    /// Finishes a batch when the tree that was read already has all of it. False if the branch has appeared in the
    /// meantime.
    fn settle_for(&self, repository: &Repository, base: &Base, batch: &NewCommit<'_>) -> Result<bool, Error> {
        let is_empty = batch.records.is_empty() && batch.pages.is_empty() && batch.change.is_none();
        if let (None, Some(parent), false) = (base.branch, base.parent, is_empty) {
            // Their HEAD has it, as after a merge of a branch that they then removed: ours restarts there.
            if !refs::move_to(self, repository, &self.reference, Expected::Exactly(None), parent)? {
                return Ok(false);
            }
        }
        self.move_anchor(repository, batch.journal, if is_empty { base.branch } else { base.parent })?;
        Ok(true)
    }

    /// The branch. Before its first commit in a user's repository: the commit at HEAD.
    fn base(&self, repository: &Repository) -> Result<Base, Error> {
        let branch = refs::target(repository, &self.reference)?;
        let parent = match branch {
            None if !self.owned => head(repository)?,
            branch => branch,
        };
        let tree = match parent {
            None => None,
            Some(id) => Some(refs::commit(repository, &self.reference, id)?.tree_id()),
        };
        Ok(Base { branch, parent, tree })
    }

    /// Writes `objects` as one pack and checks that they are visible.
    pub(super) fn place(&self, journal: JournalId, objects: &[Object<'_>]) -> Result<Placed, Error> {
        let staging = Staging::create(self, &journal.to_string(), &[])?;
        let steps = [Point::CommitStaged, Point::CommitKept, Point::CommitBeforeIndex];
        let placed = staging.write_objects(objects)?.place(self, Some(steps))?;
        pack::check_seen(self, objects.iter().map(|object| object.id))?;
        Ok(placed)
    }

    fn move_anchor(&self, repository: &Repository, journal: JournalId, to: Option<Oid>) -> Result<(), Error> {
        let Some(to) = to else { return Ok(()) };
        let name = refs::anchor(journal);
        if refs::target(repository, &name)? == Some(to) {
            return Ok(());
        }
        refs::move_to(self, repository, &name, Expected::Anything, to).map(|_| ())
    }
}

/// The commit at HEAD; `None` before the first.
pub(super) fn head(repository: &Repository) -> Result<Option<Oid>, Error> {
    let commit = repository.head().and_then(|it| it.peel_to_commit());
    match commit {
        Ok(commit) => Ok(Some(commit.id())),
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error).doing("reading the HEAD that our branch starts at"),
    }
}

/// The batch as a tree of folders.
#[derive(Default)]
struct Wanted<'a> {
    files: BTreeMap<&'a str, Leaf<'a>>,
    /// Files to remove.
    removed: BTreeSet<&'a str>,
    folders: BTreeMap<&'a str, Wanted<'a>>,
}

/// What becomes of a folder.
enum After {
    Same,
    Tree(Oid),
    /// Nothing is left in it: git has no empty folders.
    Empty,
}

#[derive(Clone, Copy)]
struct Leaf<'a> {
    file: &'a FileImage,
    /// The record's index in the batch; `None` for a page and for an operation's change.
    record: Option<usize>,
}

impl Leaf<'_> {
    /// A file that replaces whatever the tree has.
    fn over(file: &FileImage) -> Leaf<'_> {
        Leaf { file, record: None }
    }
}

impl<'a> Wanted<'a> {
    fn of(batch: &NewCommit<'a>) -> Result<Wanted<'a>, Error> {
        let mut root = Wanted::default();
        for (number, record) in batch.records.iter().enumerate() {
            for file in &record.files {
                root.add(Leaf { file, record: Some(number) })?;
            }
        }
        batch.pages.iter().try_for_each(|file| root.add(Leaf::over(file)))?;
        if let Some(changes) = batch.change {
            changes.files.iter().try_for_each(|file| root.add(Leaf::over(file)))?;
            changes.removed.iter().try_for_each(|path| root.remove(path))?;
        }
        Ok(root)
    }

    /// The first record of a path wins, as in the journal; a page replaces whatever is there.
    fn add(&mut self, leaf: Leaf<'a>) -> Result<(), Error> {
        let path = leaf.file.path.as_str();
        check_path(path)?;
        if layout::parts(path).any(is_gits_own) {
            return Err(BadPath { path: path.to_owned() }.into());
        }
        let (mut folder, mut rest) = (self, path);
        while let Some((part, beneath)) = layout::split_first(rest) {
            if let Some(file) = folder.files.get(part) {
                return Err(in_the_way(path, &file.file.path, Shape::File));
            }
            folder = folder.folders.entry(part).or_default();
            rest = beneath;
        }
        if folder.folders.contains_key(rest) {
            return Err(in_the_way(path, path, Shape::Folder));
        }
        if leaf.record.is_none() {
            folder.files.insert(rest, leaf);
        } else {
            folder.files.entry(rest).or_insert(leaf);
        }
        Ok(())
    }

    /// Removes what is at `path`, if it is a file.
    fn remove(&mut self, path: &'a str) -> Result<(), Error> {
        check_path(path)?;
        let (mut folder, mut rest) = (self, path);
        while let Some((part, beneath)) = layout::split_first(rest) {
            folder = folder.folders.entry(part).or_default();
            rest = beneath;
        }
        folder.removed.insert(rest);
        Ok(())
    }

    /// Visits every file beneath.
    fn leaves(&self, visit: &mut impl FnMut(Leaf<'a>)) {
        self.files.values().for_each(|leaf| visit(*leaf));
        self.folders.values().for_each(|folder| folder.leaves(visit));
    }
}

fn in_the_way(path: &str, at: &str, shape: Shape) -> Error {
    Error::Obstructed { obstacles: vec![Obstacle { path: path.to_owned(), at: at.to_owned(), found: shape.name() }] }
}

/// Whether some file system would treat `part` as `.git`; `git fsck` and every clone reject a tree with such a name.
fn is_gits_own(part: &str) -> bool {
    // A shortcut: most names are plain and begin differently, and a large batch has many.
    if part.is_ascii() && !part.starts_with(['.', 'g', 'G']) {
        return false;
    }
    let ignored =
        |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = part.chars().filter(|&c| !ignored(c)).collect::<String>().to_lowercase();
    matches!(plain.trim_end_matches([' ', '.']), ".git" | "git~1")
}

/// A commit under construction.
struct Draft<'r, 'a> {
    batch: &'r NewCommit<'a>,
    source: &'r Odb<'r>,
    /// The objects for the pack. They are not checked for existence: looking up a new object in every pack costs more
    /// than all the rest.
    objects: Vec<Object<'a>>,
    ids: HashSet<Oid>,
    /// Whether each of the batch's records is new to the tree.
    is_new: Vec<bool>,
    pages: usize,
    obstacles: Vec<Obstacle>,
}

impl<'r, 'a> Draft<'r, 'a> {
    fn new(source: &'r Odb<'r>, batch: &'r NewCommit<'a>) -> Draft<'r, 'a> {
        let is_new = vec![false; batch.records.len()];
        let (objects, ids) = (Vec::new(), HashSet::new());
        Draft { batch, source, objects, ids, is_new, pages: 0, obstacles: Vec::new() }
    }

    /// The root tree with `wanted` applied; `None` if it already had all of it.
    fn tree(&mut self, wanted: &Wanted<'a>, base: Option<Oid>) -> Result<Option<Oid>, Error> {
        let tree = match self.folder("", wanted, base)? {
            After::Same => None,
            After::Tree(id) => Some(id),
            After::Empty => Some(self.add(ObjectType::Tree, Vec::new())?),
        };
        match self.obstacles.is_empty() {
            true => Ok(tree),
            false => Err(Error::Obstructed { obstacles: std::mem::take(&mut self.obstacles) }),
        }
    }

    /// The tree of a first commit that changes nothing: the tree it starts from, or an empty one.
    fn first_tree(&mut self, base: Option<Oid>) -> Result<Oid, Error> {
        base.map_or_else(|| self.add(ObjectType::Tree, Vec::new()), Ok)
    }

    /// One folder with `wanted` applied, and the folders beneath it.
    fn folder(&mut self, path: &str, wanted: &Wanted<'a>, base: Option<Oid>) -> Result<After, Error> {
        let object = match base {
            Some(id) => Some(tree::read(self.source, id, path)?),
            None => None,
        };
        let id = object.as_ref().map_or(Oid::ZERO_SHA1, |it| it.id());
        let base = object.as_ref().map_or(&[][..], |it| it.data());
        let there = survey(wanted, base).map_err(|_| tree::malformed(id, path))?;
        let mut changes = Vec::new();
        for (&name, folder) in &wanted.folders {
            match there.get(name) {
                Some(it) if it.shape() != Shape::Folder => self.obstruct(&join(path, name), it.shape(), folder),
                it => match self.folder(&join(path, name), folder, it.map(|it| it.id))? {
                    After::Same => {}
                    After::Tree(id) => changes.push(Entry::folder(name, id)),
                    After::Empty => changes.extend(it.map(Entry::removed)),
                },
            }
        }
        for (&name, leaf) in &wanted.files {
            let id = self.file(leaf, there.get(name))?;
            changes.extend(id.map(|id| Entry::file(name, id)));
        }
        let goes = |name: &&str| there.get(name).filter(|it| it.shape() == Shape::File).map(Entry::removed);
        changes.extend(wanted.removed.iter().filter_map(goes));
        if changes.is_empty() {
            return Ok(After::Same);
        }
        let bytes = tree::with_changes(base, changes).map_err(|_| tree::malformed(id, path))?;
        match bytes.is_empty() {
            true => Ok(After::Empty),
            false => self.add(ObjectType::Tree, bytes).map(After::Tree),
        }
    }

    /// The blob to put into the tree; `None` if the existing entry stays.
    fn file(&mut self, leaf: &Leaf<'a>, there: Option<&Entry<'_>>) -> Result<Option<Oid>, Error> {
        let (path, bytes) = (&leaf.file.path, leaf.file.text.as_bytes());
        match (leaf.record, there) {
            // Whatever is at a record's path is its owner's own later change.
            (Some(_), Some(_)) => return Ok(None),
            (Some(number), None) => self.is_new[number] = true,
            (None, Some(it)) if it.shape() != Shape::File => {
                self.obstacles.push(Obstacle { path: path.clone(), at: path.clone(), found: it.shape().name() });
                return Ok(None);
            }
            (None, Some(it)) => {
                let id = Oid::hash_object(ObjectType::Blob, bytes).doing("hashing a page")?;
                if id == it.id {
                    return Ok(None);
                }
                self.pages += 1;
            }
            (None, None) => self.pages += 1,
        }
        self.add(ObjectType::Blob, bytes).map(Some)
    }

    fn obstruct(&mut self, at: &str, shape: Shape, folder: &Wanted<'a>) {
        let obstacles = &mut self.obstacles;
        folder.leaves(&mut |leaf| {
            obstacles.push(Obstacle { path: leaf.file.path.clone(), at: at.to_owned(), found: shape.name() });
        });
    }

    fn add(&mut self, kind: ObjectType, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Oid, Error> {
        let object = Object::new(kind, bytes)?;
        let id = object.id;
        if self.ids.insert(id) {
            self.objects.push(object);
        }
        Ok(id)
    }

    fn records(&self) -> Vec<&'a Intent> {
        let records = self.batch.records.iter().zip(&self.is_new);
        records.filter(|(_, is_new)| **is_new).map(|(record, _)| *record).collect()
    }

    fn commit(&mut self, history: &History, tree: Oid, parent: Option<Oid>) -> Result<Oid, Error> {
        let who = super::signature(&history.options)?;
        let (name, email, when) = (&history.options.author_name, &history.options.author_email, who.when().seconds());
        let who = format!("{name} <{email}> {when} +0000");
        let trailer =
            Trailer { home: Some(self.batch.home), journal: self.batch.journal, position: self.batch.position };
        let message = match self.batch.change {
            Some(changes) => message::of_change(changes.op, &trailer),
            None => message::compose(&self.records(), self.pages, &trailer),
        };
        let parent = parent.map_or_else(String::new, |id| format!("parent {id}\n"));
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}");
        self.add(ObjectType::Commit, text.into_bytes())
    }
}

/// The entries of the tree `base` whose names are wanted.
fn survey<'b>(wanted: &Wanted<'_>, base: &'b [u8]) -> Result<BTreeMap<&'b str, Entry<'b>>, tree::Malformed> {
    let mut there = BTreeMap::new();
    for entry in tree::entries(base) {
        let entry = entry?;
        let Ok(name) = std::str::from_utf8(entry.name) else { continue };
        if wanted.files.contains_key(name) || wanted.folders.contains_key(name) || wanted.removed.contains(name) {
            there.insert(name, entry);
        }
    }
    Ok(there)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The objects of a commit of `records`.
    pub(in crate::target::history) fn objects_of<'a>(history: &History, records: &'a [&'a Intent]) -> Vec<Object<'a>> {
        let repository = history.repository().expect("opened");
        let position =
            Position { segment: crate::model::position::SegmentId(uuid::Uuid::nil()), offset: 0, checksum: 0 };
        let batch = NewCommit {
            records,
            pages: &[],
            change: None,
            begins: false,
            home: HomeId::default(),
            journal: JournalId::default(),
            position,
        };
        let old = repository.odb().expect("objects");
        let mut draft = Draft::new(&old, &batch);
        let base = history.base(&repository).expect("a base");
        let wanted = Wanted::of(&batch).expect("a fine batch");
        let tree = draft.tree(&wanted, base.tree).expect("a tree").expect("a change");
        draft.commit(history, tree, base.parent).expect("a commit");
        draft.objects
    }
}
