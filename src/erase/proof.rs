//! The proof: every file of the home is searched for the words of what was erased.
//!
//! Objects of git are searched as they are decoded, since a search of packs proves nothing. A word that another record has too
//! proves nothing about the erased one: the files that have it are named. So are files of the user's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Error;
use super::words::Words;
use crate::home::Home;
use crate::model::layout::{CONFIG, GIT, INDEX, PRIVATE, PRIVATE_FIRST, ROOTS, SEARCH};
use crate::model::limits;
use crate::page;
use crate::target::history::History;
use crate::target::index::Index;

/// How much of a file is read at once.
const PART_BYTES: usize = 1 << 20;

/// What the search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files of ours that have what was erased, relative to the home.
    pub(super) left: BTreeSet<String>,
    /// Other records, files of the user's, and objects of git that say the same words.
    pub(super) others: BTreeSet<String>,
}

/// Searches the whole home.
///
/// # Errors
/// Errors of reading it: what could not be read is not proved.
pub(super) fn search(home: &Home, history: &History, index: &Index, words: &Words) -> Result<Found, Error> {
    let mut found = Found::default();
    let (mut shared, mut ours) = (BTreeSet::new(), Vec::new());
    // A record that was retracted is another record, too: no file of its own says so, and the index keeps its row.
    index.for_each_kept(|kept| shared.extend(words.hits(kept.as_bytes())))?;
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in list(&home.path().join(&folder))? {
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let name = path.to_string_lossy().into_owned();
            if kind.is_dir() {
                let is_named = !words.distinct(&words.hits(entry.file_name().as_encoded_bytes())).is_empty();
                found.others.extend(is_named.then_some(name));
                open.extend((!is_objects(&path)).then_some(path));
                continue;
            }
            let mut hits = words.hits(name.as_bytes());
            if kind.is_file() {
                hits.extend(hits_of(home.path(), &path, words)?);
            }
            if hits.is_empty() {
                continue;
            }
            if is_ours(&name) {
                ours.push((name, hits));
            } else {
                if is_other_record(home, &path) {
                    shared.extend(hits);
                }
                found.others.insert(name);
            }
        }
    }
    for (name, hits) in ours {
        match words.distinct(&hits).is_subset(&shared) {
            true => drop(found.others.insert(name)),
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

fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| Error::Unreadable { path: folder.to_owned(), source }),
    }
}

/// Whether `path` is where git's objects are.
fn is_objects(path: &Path) -> bool {
    path == Path::new(GIT).join("objects")
}

/// Whether the file is in a store that only indelible writes.
fn is_ours(name: &str) -> bool {
    let is_database = [INDEX, SEARCH].iter().any(|database| name.starts_with(database));
    let is_private =
        [PRIVATE, PRIVATE_FIRST].iter().any(|folder| name.strip_prefix(folder).is_some_and(|it| it.starts_with('/')));
    (is_database || is_private || name.starts_with(GIT)) && !name.ends_with(CONFIG)
}

/// Whether the file is the page of a record that was not erased, or a domain's page.
fn is_other_record(home: &Home, path: &Path) -> bool {
    let Some(name) = path.to_str().filter(|name| ROOTS.iter().any(|root| name.starts_with(root))) else { return false };
    let bytes = home.dir().content(name, limits::FILE_BYTES_MAX as u64).ok().flatten();
    bytes.is_some_and(|bytes| page::id_of(&bytes).is_some() || page::is_rendered(&bytes))
}

/// The words that the file has.
fn hits_of(home: &Path, path: &Path, words: &Words) -> Result<BTreeSet<usize>, Error> {
    let whole = home.join(path);
    let unreadable = |source| Error::Unreadable { path: whole.clone(), source };
    let mut file = match File::open(&whole) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        file => file.map_err(unreadable)?,
    };
    let (mut hits, mut buffer, mut kept) = (BTreeSet::new(), vec![0; PART_BYTES], Vec::new());
    loop {
        let read = file.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            return Ok(hits);
        }
        // A word can begin in one part and end in the next.
        let mut part: Vec<u8> = std::mem::take(&mut kept);
        part.extend_from_slice(&buffer[..read]);
        hits.extend(words.hits(&part));
        kept = part[part.len().saturating_sub(words.longest())..].to_vec();
    }
}
