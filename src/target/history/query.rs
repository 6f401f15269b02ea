//! Queries of the history: which paths it has or had, their content, and whether it is whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use git2::{Commit, ErrorCode, ObjectType, Odb, Oid, Repository};

use crate::journal::Replaced;
use crate::model::layout::{self, ROOTS, join};
use crate::model::position::Position;
use crate::model::{HomeId, JournalId};

use super::tree::{self, Shape};
use super::{CommitId, Doing as _, Error, History, plain, refs};

/// The branch, compared with the last batch that was finished for a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// No batch of that journal was ever finished here.
    Absent,
    /// The branch has the batch.
    Current {
        /// The batch's commit.
        commit: CommitId,
    },
    /// The branch no longer has the batch: its owner or another program rewound, replaced or removed it.
    Rewound {
        /// The batch's commit.
        commit: CommitId,
        /// Where the branch is now.
        tip: Option<CommitId>,
    },
}

/// A file in the branch's tree.
pub struct TreeFile<'t> {
    path: &'t str,
    id: Oid,
    objects: &'t Odb<'t>,
}

impl TreeFile<'_> {
    /// Its path beneath the home.
    pub fn path(&self) -> &str {
        self.path
    }

    /// The id of its bytes.
    pub fn id(&self) -> [u8; 20] {
        super::bytes(self.id)
    }

    /// Its bytes.
    ///
    /// [`Error::Damaged`] if they cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        read_blob(self.objects, self.id, self.path)
    }
}

/// The limit on commits to search for one that names a journal.
const FOREIGN_COMMITS_MAX: usize = 10_000;

impl History {
    /// Compares the branch with the batch that was last finished for `journal`.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn anchor(&self, journal: JournalId) -> Result<Anchor, Error> {
        let repository = self.repository()?;
        let Some(anchor) = refs::target(&repository, &refs::anchor(journal))? else { return Ok(Anchor::Absent) };
        let (commit, tip) = (CommitId(anchor), self.tip_id(&repository)?);
        let reached = match tip {
            None => false,
            Some(tip) if tip == anchor => true,
            Some(tip) => repository.graph_descendant_of(tip, anchor).doing("comparing the branch with its anchor")?,
        };
        Ok(if reached { Anchor::Current { commit } } else { Anchor::Rewound { commit, tip: tip.map(CommitId) } })
    }

    /// Removes the anchors of journals that the journal `journal` has replaced, once its own anchor exists
    /// and reaches them. Returns those of `replaced` whose anchors have to stay for now.
    ///
    /// If several homes share the repository, a journal that lay elsewhere may still be another home's: its anchor
    /// stays for good. In a user's repository, so does an anchor among the packed references, since we do not lock
    /// that list.
    ///
    /// # Errors
    /// As [`History::tip`], and [`Error::Locked`].
    pub fn forget_anchors(&self, journal: JournalId, replaced: &[Replaced]) -> Result<Vec<Replaced>, Error> {
        let Anchor::Current { commit } = self.anchor(journal)? else { return Ok(replaced.to_vec()) };
        let repository = self.repository()?;
        let mut left = Vec::new();
        for it in replaced.iter().filter(|it| it.id != journal && self.is_ours_alone(it)) {
            let name = refs::anchor(it.id);
            let Some(anchor) = refs::target(&repository, &name)? else { continue };
            let is_reached = anchor == commit.0 || repository.graph_descendant_of(commit.0, anchor).unwrap_or(false);
            if !is_reached || !refs::remove(self, &repository, &name, anchor)? {
                left.push(*it);
            }
        }
        Ok(left)
    }

    /// Whether no other home can have an anchor of this journal here, and removing it affects no other program.
    fn is_ours_alone(&self, journal: &Replaced) -> bool {
        let name = refs::anchor(journal.id);
        let is_shared = || std::fs::read_dir(self.common.join("worktrees")).is_ok_and(|mut it| it.next().is_some());
        let packed = || plain::text(&self.common.join("packed-refs"));
        if self.owned { !journal.elsewhere || !is_shared() } else { !journal.elsewhere && !packed().contains(&name) }
    }

    /// Whether the branch reaches the commit `commit`, given by its name.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn reaches(&self, commit: &str) -> Result<bool, Error> {
        let repository = self.repository()?;
        let Ok(wanted) = git2::Oid::from_str(commit) else { return Ok(false) };
        match self.tip_id(&repository)? {
            None => Ok(false),
            Some(tip) if tip == wanted => Ok(true),
            // A missing commit is not reachable.
            Some(tip) => Ok(repository.graph_descendant_of(tip, wanted).unwrap_or(false)),
        }
    }

    /// The position that the journal `journal` was committed up to, from the newest commit that names it, and that
    /// commit. Commits on the branch by its owner are skipped, up to ten thousand of them.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn newest_position(&self, journal: JournalId) -> Result<Option<(Position, CommitId)>, Error> {
        let repository = self.repository()?;
        for commit in self.commits(&repository)?.take(FOREIGN_COMMITS_MAX) {
            let commit = commit?;
            let trailer = super::message::parse(commit.message_bytes());
            if let Some(trailer) = trailer.filter(|trailer| trailer.journal == journal) {
                return Ok(Some((trailer.position, CommitId(commit.id()))));
            }
        }
        Ok(None)
    }

    /// Whether the commit `later`, given by its name, is `commit` or came after it.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn is_after(&self, later: &str, commit: CommitId) -> Result<bool, Error> {
        let repository = self.repository()?;
        let Ok(later) = Oid::from_str(later) else { return Ok(false) };
        Ok(later == commit.0 || repository.graph_descendant_of(later, commit.0).unwrap_or(false))
    }

    /// Those of `paths` that the branch's tree lacks, in their order. Each folder's tree is read once.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn missing<'p>(&self, paths: &[&'p str]) -> Result<Vec<&'p str>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut names = Names::default();
        paths.iter().for_each(|path| names.add(path));
        let mut found = HashSet::new();
        if let Some(tree) = self.tip_tree(&repository)? {
            names.find(&objects, tree, "", &mut found)?;
        }
        Ok(paths.iter().copied().filter(|path| !found.contains(path)).collect())
    }

    /// Moves every path that any commit of the branch has, however old, out of `candidates`, and returns these paths.
    /// `progress` is called after each commit with the number of commits read. Stops as soon as no candidate is left.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn introduced(
        &self,
        candidates: &mut BTreeSet<String>,
        mut progress: impl FnMut(usize),
    ) -> Result<BTreeSet<String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut search = Search { objects, candidates, found: BTreeSet::new() };
        for (number, commit) in self.commits(&repository)?.enumerate() {
            if search.candidates.is_empty() {
                break;
            }
            let commit = commit?;
            // What another parent added is found at that parent: one comparison finds all.
            let before = match commit.parent_ids().next() {
                None => None,
                Some(parent) => repository.find_commit(parent).map(|it| Some(it.tree_id())).or_else(|error| {
                    // The end of a shallow clone.
                    if error.code() == ErrorCode::NotFound { Ok(None) } else { Err(error).doing("reading a commit") }
                })?,
            };
            search.folder("", commit.tree_id(), before)?;
            progress(number + 1);
        }
        Ok(search.found)
    }

    /// Those of `paths` that are not of the home `home` alone: no commit of its workers introduced them, or another commit changed
    /// them. Merges only bring together what other commits did. Reads every commit of the branch.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn changed_elsewhere(&self, paths: &BTreeSet<String>, home: HomeId) -> Result<BTreeSet<String>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let (mut candidates, mut ours, mut others) = (paths.clone(), BTreeSet::new(), BTreeSet::new());
        let mut search = Search { objects, candidates: &mut candidates, found: BTreeSet::new() };
        for commit in self.commits(&repository)? {
            let commit = commit?;
            if commit.parent_count() > 1 {
                continue;
            }
            let before = commit.parent_ids().next().and_then(|parent| repository.find_commit(parent).ok());
            search.folder("", commit.tree_id(), before.map(|it| it.tree_id()))?;
            if search.found.is_empty() {
                continue;
            }
            // An older program's commit names no home.
            let trailer = super::message::parse(commit.message_bytes());
            let is_ours = trailer.is_some_and(|trailer| trailer.home.is_none_or(|it| it == home));
            for path in std::mem::take(&mut search.found) {
                if is_ours { &mut ours } else { &mut others }.insert(path.clone());
                search.candidates.insert(path);
            }
        }
        Ok(paths.iter().filter(|path| !ours.contains(*path) || others.contains(*path)).cloned().collect())
    }

    /// The bytes of the file `path` in the branch's tree.
    ///
    /// # Errors
    /// As [`History::tip`].
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let Some(tree) = self.tip_tree(&repository)? else { return Ok(None) };
        find_file(&objects, tree, path)?.map(|id| read_blob(&objects, id, path)).transpose()
    }

    /// Calls `visit` for every file in our folders of the branch's tree, in the tree's order. Files whose path is not
    /// UTF-8 cannot be records and are skipped, as are links and submodules.
    ///
    /// # Errors
    /// As [`History::tip`], and the errors of `visit`, which end the walk.
    pub fn for_each_file<E: From<Error>>(
        &self,
        mut visit: impl FnMut(&TreeFile<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        self.tip_tree(&repository)?.map_or(Ok(()), |root| files_of(&objects, root, &mut visit))
    }

    /// As [`History::for_each_file`], without what is in the folders that `skip` is true for, by their path and their tree's id.
    /// Returns the commit whose tree it is.
    ///
    /// # Errors
    /// As [`History::for_each_file`].
    pub fn for_each_file_beyond<E: From<Error>>(
        &self,
        skip: &dyn Fn(&str, [u8; 20]) -> bool,
        mut visit: impl FnMut(&TreeFile<'_>) -> Result<(), E>,
    ) -> Result<Option<CommitId>, E> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let Some(tip) = self.tip_id(&repository)? else { return Ok(None) };
        let root = refs::commit(&repository, &self.reference, tip)?.tree_id();
        files_beyond(&objects, root, &|path, id| skip(path, super::bytes(id)), &mut visit)?;
        Ok(Some(CommitId(tip)))
    }

    pub(super) fn tip_tree(&self, repository: &Repository) -> Result<Option<Oid>, Error> {
        match self.tip_id(repository)? {
            None => Ok(None),
            Some(id) => Ok(Some(refs::commit(repository, &self.reference, id)?.tree_id())),
        }
    }

    /// Every commit that the branch reaches, each before its parents unless a clock was set back between two merged
    /// lines. If told to sort, libgit2 would read all of them before it returns the first, and then go by their dates
    /// alone.
    pub(super) fn commits<'r>(
        &self,
        repository: &'r Repository,
    ) -> Result<impl Iterator<Item = Result<Commit<'r>, Error>>, Error> {
        let mut walk = repository.revwalk().doing("walking the history")?;
        if let Some(tip) = self.tip_id(repository)? {
            refs::commit(repository, &self.reference, tip)?;
            walk.push(tip).doing("walking the history")?;
        }
        Ok(walk.map(move |id| id.and_then(|id| repository.find_commit(id)).doing("walking the history")))
    }
}

/// Paths as a tree of folders.
#[derive(Default)]
struct Names<'p> {
    /// Keyed by the last part of the path; the values are whole paths.
    files: BTreeMap<&'p str, &'p str>,
    folders: BTreeMap<&'p str, Names<'p>>,
}

impl<'p> Names<'p> {
    fn add(&mut self, path: &'p str) {
        let (mut folder, mut rest) = (self, path);
        while let Some((part, beneath)) = layout::split_first(rest) {
            folder = folder.folders.entry(part).or_default();
            rest = beneath;
        }
        folder.files.insert(rest, path);
    }

    fn find(&self, objects: &Odb<'_>, tree: Oid, path: &str, found: &mut HashSet<&'p str>) -> Result<(), Error> {
        let object = tree::read(objects, tree, path)?;
        for entry in tree::entries(object.data()) {
            let entry = entry.map_err(|_| tree::malformed(tree, path))?;
            let Ok(name) = std::str::from_utf8(entry.name) else { continue };
            found.extend(self.files.get(name));
            if let Some(beneath) = self.folders.get(name).filter(|_| entry.shape() == Shape::Folder) {
                beneath.find(objects, entry.id, &join(path, name), found)?;
            }
        }
        Ok(())
    }
}

/// A search for paths through many trees that are mostly equal.
struct Search<'r, 'c> {
    objects: Odb<'r>,
    candidates: &'c mut BTreeSet<String>,
    found: BTreeSet<String>,
}

impl Search<'_, '_> {
    /// Visits what the folder `path` has now that it lacked in `before`.
    fn folder(&mut self, path: &str, now: Oid, before: Option<Oid>) -> Result<(), Error> {
        if before == Some(now) {
            return Ok(());
        }
        for news in self.news(path, now, before)? {
            if news.is_folder {
                self.folder(&news.path, news.id, news.before)?;
            } else {
                self.found.extend(self.candidates.take(&news.path));
            }
        }
        Ok(())
    }

    fn has_beneath(&self, folder: &str) -> bool {
        let start = format!("{folder}/");
        self.candidates.range(start.clone()..).next().is_some_and(|it| it.starts_with(&start))
    }

    /// The entries that are new or changed and lead to a candidate.
    fn news(&self, path: &str, now: Oid, before: Option<Oid>) -> Result<Vec<News>, Error> {
        let object = tree::read(&self.objects, now, path)?;
        let older = before.map(|id| tree::read(&self.objects, id, path)).transpose()?;
        let mut older = tree::entries(older.as_ref().map_or(&[][..], |it| it.data())).map_while(Result::ok).peekable();
        let mut news = Vec::new();
        for entry in tree::entries(object.data()) {
            let entry = entry.map_err(|_| tree::malformed(now, path))?;
            while older.next_if(|it| it.order(&entry).is_lt()).is_some() {}
            let old = older.next_if(|it| it.order(&entry).is_eq());
            if old.is_some_and(|it| it.id == entry.id) {
                continue;
            }
            let Ok(name) = std::str::from_utf8(entry.name) else { continue };
            let (path, is_folder) = (join(path, name), entry.shape() == Shape::Folder);
            if if is_folder { self.has_beneath(&path) } else { self.candidates.contains(&path) } {
                let before = old.filter(|it| it.shape() == Shape::Folder).map(|it| it.id);
                news.push(News { path, id: entry.id, is_folder, before });
            }
        }
        Ok(news)
    }
}

/// An entry that is new in a folder, or changed.
struct News {
    path: String,
    id: Oid,
    is_folder: bool,
    /// The folder that it replaced.
    before: Option<Oid>,
}

/// The entry at `path` in the tree `root`.
pub(super) fn find(objects: &Odb<'_>, root: Oid, path: &str) -> Result<Option<(Oid, Shape)>, Error> {
    let mut at = (root, Shape::Folder);
    for part in layout::parts(path) {
        if at.1 != Shape::Folder {
            return Ok(None);
        }
        let object = tree::read(objects, at.0, path)?;
        let mut entries = tree::entries(object.data());
        let found = entries.find(|it| it.as_ref().map_or(true, |it| it.name == part.as_bytes()));
        match found.transpose().map_err(|_| tree::malformed(at.0, path))? {
            None => return Ok(None),
            Some(entry) => at = (entry.id, entry.shape()),
        }
    }
    Ok(Some(at))
}

pub(super) fn find_file(objects: &Odb<'_>, root: Oid, path: &str) -> Result<Option<Oid>, Error> {
    Ok(find(objects, root, path)?.filter(|it| it.1 == Shape::File).map(|it| it.0))
}

pub(super) fn read_blob(objects: &Odb<'_>, id: Oid, path: &str) -> Result<Vec<u8>, Error> {
    let what = || format!("the file {path:?}");
    let object = objects.read(id).map_err(|source| Error::unreadable(id, what(), source))?;
    match object.kind() {
        ObjectType::Blob => Ok(object.data().to_vec()),
        _ => Err(Error::Damaged { object: id.to_string(), what: what(), source: None }),
    }
}

/// Our files never have a longer path. Deeper folders are not entered, so a user's tree cannot nest too deeply for us.
pub(super) const PATH_BYTES_MAX: usize = 1024;

/// Calls `visit` for every file in our folders of the tree `root`.
pub(super) fn files_of<E: From<Error>>(
    objects: &Odb<'_>,
    root: Oid,
    mut visit: impl FnMut(&TreeFile<'_>) -> Result<(), E>,
) -> Result<(), E> {
    files_beyond(objects, root, &|_, _| false, &mut visit)
}

/// As [`files_of`], without the folders that `skip` is true for.
fn files_beyond<E: From<Error>>(
    objects: &Odb<'_>,
    root: Oid,
    skip: &dyn Fn(&str, Oid) -> bool,
    visit: &mut impl FnMut(&TreeFile<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for folder in ROOTS {
        let found = find(objects, root, folder)?.filter(|it| it.1 == Shape::Folder).map(|it| it.0);
        if let Some(id) = found.filter(|id| !skip(folder, *id)) {
            walk(objects, folder, id, skip, visit)?;
        }
    }
    Ok(())
}

fn walk<E: From<Error>>(
    objects: &Odb<'_>,
    folder: &str,
    id: Oid,
    skip: &dyn Fn(&str, Oid) -> bool,
    visit: &mut impl FnMut(&TreeFile<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let object = tree::read(objects, id, folder)?;
    for entry in tree::entries(object.data()) {
        let entry = entry.map_err(|_| tree::malformed(id, folder))?;
        let Ok(name) = std::str::from_utf8(entry.name) else { continue };
        let path = join(folder, name);
        match entry.shape() {
            Shape::Folder if path.len() >= PATH_BYTES_MAX || skip(&path, entry.id) => {}
            Shape::Folder => walk(objects, &path, entry.id, skip, visit)?,
            Shape::File => visit(&TreeFile { path: &path, id: entry.id, objects })?,
            Shape::Link | Shape::Submodule => {}
        }
    }
    Ok(())
}
