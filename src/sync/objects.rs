//! The objects of a repository, and new ones. They go into packs as they are made, and are not held in memory.
//!
//! 1. A new object can be read here at once. The repository itself sees it once the packs are placed ([`Objects::place`]): packs, indexes
//!    and folder are synced then, before a reference names anything in them.
//! 2. What the repository has, or a new pack, is not written again.
//! 3. Every second file goes into a second pack. Git's `pack-objects` takes two whole objects of one pack as they are, since who made the
//!    pack will have looked for deltas. Of objects in two packs it looks for deltas itself, and a push is a third as large.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the packs are written | files `tmp_*` among the packs | removed by the next holder of `sync.lock` |
//! | the pack has its name, its index not | a pack that no program reads | removed by the same |
//! | both have their names | objects that nothing names | made again, to the same names; a repack drops what nothing needs |

use std::cell::RefCell;
use std::collections::HashSet;

use git2::{ErrorCode, ObjectType, Odb, OdbLookupFlags, OdbObject, Oid, Repository};

use super::tree::{Doing as _, Error};
use crate::fs::Dir;
use crate::objects::{Object, Pack};
use crate::random;

/// Where a repository's packs are, in its folder.
pub(super) const PACKS: &str = "objects/pack";
/// What the names of files begin with that are not finished.
pub(super) const UNFINISHED: &str = "tmp_";

/// The author of every commit that is made here, on every host.
pub(super) const AUTHOR: (&str, &str) = ("indelible", "indelible@localhost");

/// The objects of a repository, and new ones.
pub struct Objects<'r> {
    /// The repository.
    pub repository: &'r Repository,
    found: Odb<'r>,
    new: RefCell<New>,
    /// Whether new objects go where the repository puts them.
    #[cfg(test)]
    is_direct: bool,
}

/// The new objects.
#[derive(Default)]
struct New {
    packs: [Option<Pack<Dir>>; 2],
    files: usize,
}

impl New {
    fn has(&self, id: Oid) -> bool {
        self.packs.iter().flatten().any(|pack| pack.has(id))
    }

    fn read(&mut self, id: Oid) -> Result<Option<(ObjectType, Vec<u8>)>, Error> {
        match self.packs.iter_mut().flatten().find(|pack| pack.has(id)) {
            Some(pack) => Ok(pack.read(id)?),
            None => Ok(None),
        }
    }
}

/// An object's bytes.
pub enum Bytes<'o> {
    /// Of the repository.
    Found(OdbObject<'o>),
    /// New.
    New(ObjectType, Vec<u8>),
}

impl Bytes<'_> {
    /// What the object is.
    pub fn kind(&self) -> ObjectType {
        match self {
            Bytes::Found(object) => object.kind(),
            Bytes::New(kind, _) => *kind,
        }
    }

    /// The bytes, owned.
    pub fn into_data(self) -> Vec<u8> {
        match self {
            Bytes::Found(object) => object.data().to_owned(),
            Bytes::New(_, bytes) => bytes,
        }
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        match self {
            Bytes::Found(object) => object.data(),
            Bytes::New(_, bytes) => bytes,
        }
    }
}

impl<'r> Objects<'r> {
    /// The objects of `repository`.
    ///
    /// # Errors
    /// [`Error::Git`].
    pub fn of(repository: &'r Repository) -> Result<Objects<'r>, Error> {
        Ok(Objects {
            repository,
            found: repository.odb().doing("opening the objects")?,
            new: RefCell::default(),
            #[cfg(test)]
            is_direct: false,
        })
    }

    /// As [`Objects::of`], without packs: for repositories that have thousands of commits in memory.
    #[cfg(test)]
    pub fn direct(repository: &'r Repository) -> Result<Objects<'r>, Error> {
        Ok(Objects { is_direct: true, ..Objects::of(repository)? })
    }

    /// The object `id`; `None` if it is not there.
    ///
    /// # Errors
    /// [`Error::Git`], or [`Error::New`] if it is new.
    pub fn read(&self, id: Oid) -> Result<Option<Bytes<'_>>, Error> {
        if let Some((kind, bytes)) = self.new.borrow_mut().read(id)? {
            return Ok(Some(Bytes::New(kind, bytes)));
        }
        match self.found.read(id) {
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            read => read.map(|object| Some(Bytes::Found(object))).doing("reading an object"),
        }
    }

    /// The kind and the size of the object `id`, in bytes.
    ///
    /// # Errors
    /// As [`Objects::read`], and [`Error::Git`] if it is not there.
    pub fn size(&self, id: Oid) -> Result<(ObjectType, usize), Error> {
        if let Some((kind, bytes)) = self.new.borrow_mut().read(id)? {
            return Ok((kind, bytes.len()));
        }
        self.found.read_header(id).map(|(size, kind)| (kind, size)).doing("reading an object's header")
    }

    /// Adds an object. Returns its name.
    ///
    /// # Errors
    /// [`Error::New`].
    pub fn write(&self, kind: ObjectType, bytes: &[u8]) -> Result<Oid, Error> {
        #[cfg(test)]
        if self.is_direct {
            return self.found.write(kind, bytes).doing("writing an object");
        }
        let object = Object::new(kind, bytes)?;
        let mut new = self.new.borrow_mut();
        // Without a look at the folders again: what another process may add meanwhile, it adds for itself.
        if new.has(object.id) || self.found.exists_ext(object.id, OdbLookupFlags::NO_REFRESH) {
            return Ok(object.id);
        }
        new.files += usize::from(kind == ObjectType::Blob);
        let which = if kind == ObjectType::Blob { new.files % 2 } else { 0 };
        match &mut new.packs[which] {
            Some(pack) => pack.add(&object)?,
            none => none.insert(self.begin()?).add(&object)?,
        }
        Ok(object.id)
    }

    fn begin(&self) -> Result<Pack<Dir>, Error> {
        let folder = Dir::open(&self.repository.path().join(PACKS))?;
        Ok(Pack::begin(folder, &format!("{UNFINISHED}{}_", random::id().simple()), None)?)
    }

    /// Adds a commit of the tree `tree` after `parents`, made at `seconds` since 1970. Returns its name.
    ///
    /// # Errors
    /// [`Error::New`].
    pub fn commit(&self, tree: Oid, parents: &[Oid], seconds: i64, message: &str) -> Result<Oid, Error> {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let who = format!("{} <{}> {seconds} +0000", AUTHOR.0, AUTHOR.1);
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}");
        self.write(ObjectType::Commit, text.as_bytes())
    }

    /// Puts the packs of the new objects in their place, durably: the repository has them then.
    ///
    /// # Errors
    /// [`Error::New`]; they are lost then.
    pub fn place(&self) -> Result<(), Error> {
        let packs: Vec<Pack<Dir>> = self.new.take().packs.into_iter().flatten().collect();
        if packs.is_empty() {
            return Ok(());
        }
        for pack in packs {
            pack.finish_in_place()?;
        }
        self.found.refresh().doing("looking for packs just written")
    }
}

/// Every file's content that a commit which `tip` reaches has.
pub(super) fn blobs_of(repository: &Repository, tip: Oid) -> Result<HashSet<Oid>, git2::Error> {
    let (mut seen, mut blobs) = (HashSet::new(), HashSet::new());
    let mut walk = repository.revwalk()?;
    walk.push(tip)?;
    for commit in walk {
        let mut folders = vec![repository.find_commit(commit?)?.tree_id()];
        while let Some(folder) = folders.pop() {
            if !seen.insert(folder) {
                continue;
            }
            for entry in &repository.find_tree(folder)? {
                match entry.kind() {
                    Some(ObjectType::Tree) => folders.push(entry.id()),
                    Some(ObjectType::Blob) => drop(blobs.insert(entry.id())),
                    _ => {}
                }
            }
        }
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sync::tree::{Changes, Trees};

    /// What a day of many records is in a home whose folders are flat, and how many of them differ.
    const NAMES: usize = 50_000;
    const DISTINCT: usize = 2_000;

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = Repository::init_bare(folder.path()).expect("a repository");
        (folder, repository)
    }

    fn names_of_packs(repository: &Repository) -> Vec<String> {
        let folder = Dir::open(&repository.path().join(PACKS)).expect("it opens");
        folder.names().expect("it can be listed")
    }

    fn git(repository: &Repository, args: &[&str]) -> String {
        let output = Command::new("git").arg("--git-dir").arg(repository.path()).args(args).output().expect("git");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A commit whose tree has one folder of so many files.
    fn flat(repository: &Repository) -> Oid {
        let trees = Trees::of(repository).expect("its objects");
        let files: Vec<Oid> =
            (0..DISTINCT).map(|it| trees.write(it.to_string().as_bytes()).expect("written")).collect();
        let path = |number: usize| format!("memory/failures/2026/03/04/the-cache-grew-without-bound-{number:08x}.md");
        let changes: Changes = (0..NAMES).map(|number| (path(number), Some(files[number % DISTINCT]))).collect();
        let tree = trees.with(None, &changes).expect("a tree");
        let tip = trees.objects().commit(tree, &[], 7, "Record 50,000 failures\n").expect("a commit");
        trees.objects().place().expect("it can be placed");
        tip
    }

    /// How many files git finds, once it has checked every object.
    fn count(repository: &Repository, tip: Oid) -> usize {
        let _ = git(repository, &["fsck", "--full", "--strict"]);
        git(repository, &["ls-tree", "-r", "--name-only", &tip.to_string()]).lines().count()
    }

    #[test]
    fn a_flat_folder_of_many_names_is_written_and_copied() {
        let ((_one, from), (_other, to)) = (repository(), repository());
        let tip = flat(&from);
        assert_eq!(count(&from, tip), NAMES);
        let (objects, copied) = (Objects::of(&from).expect("its objects"), Objects::of(&to).expect("its objects"));
        crate::sync::purge::copy(&objects, &copied, [tip].into_iter()).expect("it can be copied");
        assert_eq!(count(&to, tip), NAMES);
    }

    #[test]
    fn a_new_object_is_read_before_it_is_placed_and_seen_by_all_afterwards() {
        let (_folder, repository) = repository();
        let other = Repository::open_bare(repository.path()).expect("it opens");
        let objects = Objects::of(&repository).expect("its objects");
        let ids: Vec<Oid> =
            (0..5_u8).map(|it| objects.write(ObjectType::Blob, &[it; 100]).expect("it is written")).collect();
        for (number, id) in (0_u8..).zip(&ids) {
            let read = objects.read(*id).expect("it can be read").expect("it is there");
            assert_eq!((read.kind(), read.data()), (ObjectType::Blob, &[number; 100][..]));
            assert_eq!(objects.size(*id).expect("it has one"), (ObjectType::Blob, 100));
            assert!(other.find_blob(*id).is_err(), "nothing is promised yet");
        }
        objects.place().expect("it can be placed");
        assert!(ids.iter().all(|id| other.find_blob(*id).is_ok() && repository.find_blob(*id).is_ok()));
        let packs = names_of_packs(&repository);
        assert_eq!(packs.len(), 4, "two packs, so that git looks for deltas between them: {packs:?}");
        assert_eq!(objects.write(ObjectType::Blob, &[0; 100]).expect("it is there"), ids[0]);
        objects.place().expect("nothing is to be placed");
        assert_eq!(names_of_packs(&repository).len(), 4, "what is there is not written again");
    }

    #[test]
    fn what_is_not_placed_leaves_nothing() {
        let (_folder, repository) = repository();
        let objects = Objects::of(&repository).expect("its objects");
        let id = objects.write(ObjectType::Blob, b"x").expect("it is written");
        drop(objects);
        assert!(repository.find_blob(id).is_err() && names_of_packs(&repository).is_empty());
    }
}
