//! Files among a repository's objects that git does not read: what a killed git left behind, a pack without an index, copies.
//!
//! They can have what is erased, and no listing of objects shows them. Git's own leftovers have names of their own, and `git prune`
//! removes them by their age.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before one is removed | the file as it was | the next run |

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::pack_file::{is_pack, remove};
use super::super::{Doing as _, DoingAt as _, Error, History, folder, sync};
use super::survey::{found, has};
use crate::fs::Point;
use crate::model::RecordId;
use crate::objects;

/// What the names of git's temporary files and folders begin with.
const TEMPORARY: [&str; 2] = ["tmp_", ".tmp-"];
/// The files beside a pack that have no object.
const BESIDE: [&str; 6] = ["idx", "rev", "bitmap", "mtimes", "keep", "promisor"];
/// The folder of what is made from objects for speed.
const INFO: &str = "info";
/// The folder of packs, and git's index of several of them, or the folder of such.
const PACK: &str = "pack";
const MULTI_PACK_INDEX: &str = "multi-pack-index";
/// How deep folders are looked at.
const DEPTH_MAX: usize = 5;

/// Such a file.
#[derive(Debug)]
pub struct Stray {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its name is that of a temporary file of git's.
    pub is_temporary: bool,
}

/// What such a file has of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing, and all of it was read.
    Nothing,
    /// Something of them.
    Them,
    /// It is not known: a part of it could not be read.
    Unknown,
}

impl Stray {
    /// For how long it has not changed; no time, if it changed later than now.
    pub fn idle(&self) -> Duration {
        let changed = self.path.symlink_metadata().and_then(|it| it.modified()).unwrap_or_else(|_| SystemTime::now());
        changed.elapsed().unwrap_or_default()
    }
}

impl History {
    /// The files among the objects that git does not read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn strays(&self) -> Result<Vec<Stray>, Error> {
        let mut strays = Vec::new();
        let objects = self.common.join("objects");
        for (path, name, is_folder) in entries(&objects)? {
            if !is_folder {
                strays.push(Stray { path, is_temporary: is_temporary(&name) });
            } else if name == PACK {
                add_packs(&path, &mut strays)?;
            } else if name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                add_all(&path, false, 1, &|name| name.len() == 38 && is_hex(name), &mut strays)?;
            } else if name != INFO {
                add_all(&path, is_temporary(&name), 1, &|_| false, &mut strays)?;
            }
        }
        Ok(strays)
    }

    /// What `stray` has of the records `ids`, or of what `is_in` looks for.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Git`].
    pub fn look_into(
        &self,
        stray: &Stray,
        ids: &BTreeSet<RecordId>,
        is_in: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Holds, Error> {
        let repository = self.repository()?;
        let all = repository.odb().doing("opening the objects")?;
        let base = |id| {
            let object = found(all.read(id)).ok().flatten()?;
            Some((object.kind(), object.data().to_vec()))
        };
        let short = ids.iter().map(|id| id.short()).collect();
        let mut has_any = false;
        let mut visit = |bytes: &[u8]| has_any = has_any || has(bytes, ids, &short) || is_in(bytes);
        let searched = objects::search(&stray.path, &base, &mut visit);
        let is_whole = searched.doing_at("searching a file that git does not read", &stray.path)?;
        Ok(match (has_any, is_whole) {
            (true, _) => Holds::Them,
            (false, true) => Holds::Nothing,
            (false, false) => Holds::Unknown,
        })
    }

    /// Removes `stray`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_stray(&self, stray: &Stray) -> Result<(), Error> {
        let (Some(above), Some(name)) = (stray.path.parent(), stray.path.file_name().and_then(|it| it.to_str())) else {
            return Ok(());
        };
        let above = folder(above)?;
        self.step(Point::EraseBeforeLoose)?;
        remove(&above, name)?;
        sync(&above)
    }
}

/// Path and name of everything in `folder`, and whether it is a folder.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String, bool)>, Error> {
    let mut all = Vec::new();
    let doing = "listing the objects";
    for entry in fs::read_dir(folder).doing_at(doing, folder)? {
        let entry = entry.doing_at(doing, folder)?;
        let kind = entry.file_type().doing_at(doing, folder)?;
        if kind.is_file() || kind.is_dir() {
            all.push((entry.path(), entry.file_name().to_string_lossy().into_owned(), kind.is_dir()));
        }
    }
    Ok(all)
}

/// Adds every file beneath `from`, unless it `is_known` by its name.
fn add_all(
    from: &Path,
    is_in_temporary: bool,
    depth: usize,
    is_known: &dyn Fn(&str) -> bool,
    strays: &mut Vec<Stray>,
) -> Result<(), Error> {
    for (path, name, is_folder) in entries(from)? {
        let is_temporary = is_in_temporary || is_temporary(&name);
        if is_folder && depth < DEPTH_MAX {
            add_all(&path, is_temporary, depth + 1, is_known, strays)?;
        } else if !is_folder && !is_known(&name) {
            strays.push(Stray { path, is_temporary });
        }
    }
    Ok(())
}

/// Adds what is beside the packs of the folder `from` and beneath it.
fn add_packs(from: &Path, strays: &mut Vec<Stray>) -> Result<(), Error> {
    let is_known = |name: &str| match name.split_once('.') {
        Some((stem, "pack")) => is_pack(stem) && from.join(format!("{stem}.idx")).exists(),
        Some((stem, extension)) => is_pack(stem) && BESIDE.contains(&extension) || name.starts_with(MULTI_PACK_INDEX),
        None => name == MULTI_PACK_INDEX,
    };
    for (path, name, is_folder) in entries(from)? {
        if is_folder && !name.starts_with(MULTI_PACK_INDEX) {
            add_all(&path, is_temporary(&name), 1, &|_| false, strays)?;
        } else if !is_folder && !is_known(&name) {
            strays.push(Stray { path, is_temporary: is_temporary(&name) });
        }
    }
    Ok(())
}

fn is_temporary(name: &str) -> bool {
    TEMPORARY.iter().any(|start| name.starts_with(start))
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
