//! The proof: every file of the home is searched for the words of what was erased.
//!
//! Objects of git are searched as they are decoded, since a search of packs proves nothing. A word that another record has too
//! proves nothing about the erased one: the files that have it are named. So are files of the user's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::words::Words;
use crate::home::{self, Home};
use crate::model::layout::{ADOPTED, CONFIG, DATABASE, GIT, INDEX, ROOTS, SEARCH, join};
use crate::model::limits;
use crate::page;
use crate::target::history::History;
use crate::target::index::Index;

/// Where git has its files of linked work trees.
const WORK_TREES: &str = "worktrees";

/// What the search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files of ours that have what was erased, relative to the home.
    pub(super) left: BTreeSet<String>,
    /// Other records, files of the user's, and objects of git that say the same words.
    pub(super) others: BTreeSet<String>,
}

impl Found {
    /// What both have found.
    pub(super) fn and(mut self, mut other: Found) -> Found {
        self.left.append(&mut other.left);
        self.others.append(&mut other.others);
        self
    }
}

/// Searches the whole home, and its private folder wherever that is.
///
/// # Errors
/// Errors of reading it: what could not be read is not proved. Files of the user's that cannot be read are named.
pub(super) fn search(home: &Home, history: &History, index: &Index, words: &Words) -> Result<Found, Error> {
    let mut found = Found::default();
    let is_adopted = home::is_adopted(home.private())?;
    let (owned, shared, ours) = (history.is_owned(), BTreeSet::new(), Vec::new());
    let mut search = Search { home, words, owned, is_adopted, shared, ours };
    // A record that was retracted is another record, too: no file of its own says so, and the index keeps its row.
    index.for_each_kept(|kept| search.shared.extend(words.hits(kept.as_bytes())))?;
    search.folder(home.path().to_owned(), &mut found)?;
    if !home.private().path().starts_with(home.path()) {
        search.folder(home.private().path().to_owned(), &mut found)?;
    }
    for (path, hits) in std::mem::take(&mut search.ours) {
        let name = search.shown(&path);
        let hits: BTreeSet<usize> = words.distinct(&hits).difference(&search.shared).copied().collect();
        let said = search.said_by_rows(&path, &hits)?;
        match hits.is_subset(&said.values().flatten().copied().collect()) {
            true if said.is_empty() => drop(found.others.insert(name)),
            true => found.others.extend(said.into_keys().map(|table| format!("{name}, table {table}"))),
            false => drop(found.left.insert(name)),
        }
    }
    history.each_object(&mut |id, kind, bytes| {
        if !words.distinct(&words.hits(bytes)).is_empty() {
            found.others.insert(format!("{kind} {id} in git"));
        }
    })?;
    Ok(found)
}

/// A search under way.
struct Search<'s> {
    home: &'s Home,
    words: &'s Words,
    /// Whether we made the repository.
    owned: bool,
    /// Whether the database is another program's, too.
    is_adopted: bool,
    /// The words that other records have, too.
    shared: BTreeSet<usize>,
    /// Files of ours that have words, with these.
    ours: Vec<(PathBuf, BTreeSet<usize>)>,
}

impl Search<'_> {
    /// Searches the folder `from` and all beneath it.
    fn folder(&mut self, from: PathBuf, found: &mut Found) -> Result<(), Error> {
        let mut open = vec![from];
        while let Some(folder) = open.pop() {
            let listed = match list(&folder) {
                Err(_) if !self.is_ours(&folder) => {
                    found.others.insert(format!("{}, which cannot be read", self.shown(&folder)));
                    continue;
                }
                listed => listed?,
            };
            for entry in listed {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if !kind.is_dir() {
                    self.file(&path, kind.is_file(), found)?;
                    continue;
                }
                let is_named = !self.words.distinct(&self.words.hits(entry.file_name().as_encoded_bytes())).is_empty();
                found.others.extend(is_named.then(|| self.shown(&path)));
                open.extend((!is_objects(self.home, &path)).then_some(path));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, is_plain: bool, found: &mut Found) -> Result<(), Error> {
        let name = self.shown(path);
        let mut hits = self.words.hits(name.as_bytes());
        if is_plain {
            match self.words.hits_of(path) {
                Err(_) if !self.is_ours(path) => drop(found.others.insert(format!("{name}, which cannot be read"))),
                Err(source) => return Err(Error::Unreadable { path: path.to_owned(), source }),
                Ok(of_content) => hits.extend(of_content),
            }
        }
        if hits.is_empty() {
            return Ok(());
        }
        if self.is_ours(path) {
            self.ours.push((path.to_owned(), hits));
            return Ok(());
        }
        if is_other_record(self.home, &name) {
            self.shared.extend(hits);
        }
        found.others.insert(name);
        Ok(())
    }

    /// `path` as a person is told of it: relative to the home, if it is beneath it.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.home.path()).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Which of `hits` rows of the database at `path` say that are no erased record's, by table: those of other programs, or of
    /// other records. Nothing, if it is no database that another program writes, too, or a copy of one.
    fn said_by_rows(&self, path: &Path, hits: &BTreeSet<usize>) -> Result<BTreeMap<String, BTreeSet<usize>>, Error> {
        let mut said: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let is_theirs = path != self.home.index_path() || self.is_adopted;
        let is_index = path.extension().is_some_and(|it| DATABASE.ends_with(&*it.to_string_lossy()));
        if hits.is_empty() || !is_theirs || !is_index || path == self.home.path().join(SEARCH) {
            return Ok(said);
        }
        let index = Index::open(path, Duration::ZERO)?;
        index.for_each_value(&mut |table, bytes| {
            let found = self.words.hits(bytes);
            if !found.is_disjoint(hits) {
                said.entry(table.to_owned()).or_default().extend(found);
            }
        })?;
        Ok(said)
    }

    /// Whether the file or folder is in a store that only indelible writes. In a user's repository, git's own files are theirs; so
    /// is what an adopted home had before, other than its database.
    fn is_ours(&self, path: &Path) -> bool {
        let name = self.shown(path);
        let is_database = [INDEX, SEARCH].iter().any(|database| name.starts_with(database));
        let private = self.home.private().path();
        let is_before = path.starts_with(private.join(ADOPTED)) && !name.contains(DATABASE);
        let is_private = path.starts_with(private) && !is_before;
        // A linked work tree is its user's, and git's files of it are as well.
        let is_gits = self.owned && name.starts_with(GIT) && !name.starts_with(&join(GIT, WORK_TREES));
        (is_database || is_private || is_gits) && !name.ends_with(CONFIG)
    }
}

fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| Error::Unreadable { path: folder.to_owned(), source }),
    }
}

/// Whether `path` is where git's objects are.
fn is_objects(home: &Home, path: &Path) -> bool {
    path == home.path().join(GIT).join("objects")
}

/// Whether the file `name` is the page of a record that was not erased, or a domain's page.
fn is_other_record(home: &Home, name: &str) -> bool {
    let is_beneath = ROOTS.iter().any(|root| name.starts_with(root));
    let bytes = is_beneath.then(|| home.dir().content(name, limits::FILE_BYTES_MAX as u64).ok().flatten()).flatten();
    bytes.is_some_and(|bytes| page::id_of(&bytes).is_some() || page::is_rendered(&bytes))
}
