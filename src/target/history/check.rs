//! Whether the objects of our folders in the branch's tree can be read. Nothing is changed.

use git2::{ObjectType, Odb, Oid};

use super::query::{PATH_BYTES_MAX, find, read_blob};
use super::tree::{self, Shape};
use super::{Doing as _, Error, History};
use crate::model::layout::{ROOTS, join};
use crate::progress::{Counter, Progress};

/// What is wrong with an object whose bytes have another name.
const OTHER: &str = "it has other bytes";

/// A part of the branch's tree that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file or folder.
    pub path: String,
    /// The object's name.
    pub object: String,
    /// What is wrong with it.
    pub why: String,
}

impl History {
    /// Checks that the branch's commit and its root tree can be read: every commit needs both.
    ///
    /// # Errors
    /// As [`History::tip`]; [`Error::Damaged`] is the finding.
    pub fn check_tip(&self) -> Result<(), Error> {
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        match self.tip_tree(&repository)? {
            None => Ok(()),
            Some(tree) => tree::entries(tree::read(&objects, tree, "")?.data())
                .try_for_each(|it| it.map(|_| ()))
                .map_err(|_| tree::malformed(tree, "")),
        }
    }

    /// Lists what cannot be read of our folders in the branch's tree. Every object must exist. With `contents`, each
    /// object is also read and its hash checked.
    ///
    /// # Errors
    /// As [`History::check_tip`].
    pub fn check_files(&self, contents: bool) -> Result<Vec<Damage>, Error> {
        self.check_each_file(contents, 0, &mut ())
    }

    /// As [`check_files`](History::check_files); it has about `files` files, 0 if their number is unknown.
    ///
    /// # Errors
    /// As [`History::check_tip`].
    pub fn check_each_file(
        &self,
        contents: bool,
        files: u64,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Damage>, Error> {
        let counter = Counter::begin(progress, "checking the history", files);
        self.check_tip()?;
        let repository = self.repository()?;
        let objects = repository.odb().doing("opening the objects")?;
        let mut checking = Checking { objects: &objects, contents, counter, damages: Vec::new() };
        if let Some(root) = self.tip_tree(&repository)? {
            for folder in ROOTS {
                if let Some((id, Shape::Folder)) = find(&objects, root, folder)? {
                    checking.folder(folder, id);
                }
            }
        }
        let Checking { damages, counter, .. } = checking;
        counter.end();
        Ok(damages)
    }
}

struct Checking<'c> {
    objects: &'c Odb<'c>,
    /// Whether each object is also read.
    contents: bool,
    counter: Counter<'c>,
    damages: Vec<Damage>,
}

impl Checking<'_> {
    fn folder(&mut self, folder: &str, id: Oid) {
        let object = match tree::read(self.objects, id, folder) {
            Ok(object) => object,
            Err(error) => return self.damaged(folder, id, &why(&error)),
        };
        if !is_named(id, ObjectType::Tree, object.data()) {
            return self.damaged(folder, id, OTHER);
        }
        for entry in tree::entries(object.data()) {
            let Ok(entry) = entry else { return self.damaged(folder, id, "it is malformed") };
            let path = join(folder, &String::from_utf8_lossy(entry.name));
            match entry.shape() {
                Shape::Folder if path.len() >= PATH_BYTES_MAX => {}
                Shape::Folder => self.folder(&path, entry.id),
                Shape::Submodule => {}
                _ => self.file(&path, entry.id),
            }
        }
    }

    fn file(&mut self, path: &str, id: Oid) {
        self.counter.one();
        if self.contents {
            match read_blob(self.objects, id, path) {
                Ok(bytes) if is_named(id, ObjectType::Blob, &bytes) => {}
                Ok(_) => self.damaged(path, id, OTHER),
                Err(error) => self.damaged(path, id, &why(&error)),
            }
        } else if !self.objects.exists(id) {
            self.damaged(path, id, "it does not exist");
        }
    }

    fn damaged(&mut self, path: &str, id: Oid, why: &str) {
        self.damages.push(Damage { path: path.to_owned(), object: id.to_string(), why: why.to_owned() });
    }
}

/// Whether `id` is the name of these bytes. Reading does not check that (`setup`).
fn is_named(id: Oid, kind: ObjectType, bytes: &[u8]) -> bool {
    Oid::hash_object(kind, bytes).is_ok_and(|hash| hash == id)
}

fn why(error: &Error) -> String {
    match error {
        Error::Damaged { source: Some(source), .. } => source.message().to_owned(),
        other => other.to_string(),
    }
}
