//! The framework's scripts, as thin wrappers around this program, in the places where people's hooks look for them.
//!
//! A script that was there is kept under a second name, the very file, in `adopted/scripts` in the private folder, before ours takes
//! its place by a rename; putting it back is a rename again. Hooks find one script or the other at every moment. That it is
//! kept is durable before ours takes its place.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before it is kept | their script | adopting or releasing again |
//! | after it | their script, under two names | adopting again replaces it; releasing again puts it back |
//! | after the rename | ours, and theirs kept | nothing to do |

use std::path::Path;

use serde::Serialize;

use crate::fs::{self, Dir, Point, point};

/// Where the scripts lie, relative to the home.
const FOLDER: &str = "scripts";
/// Where those are kept that were there before, relative to the folder of the adoption.
const KEPT: &str = "scripts";
/// A larger script is nobody's.
const READ_BYTES_MAX: u64 = 4 << 20;
/// What every script of ours says.
const MARK: &[u8] = b"# Written by indelible (adopt --scripts)";

const COMMON: &str = include_str!("scripts/common.sh");
const LEARNING: &str = include_str!("scripts/learning.sh");
const HEURISTIC: &str = include_str!("scripts/heuristic.sh");
const EXPERIMENT: &str = include_str!("scripts/experiment.sh");
const SYNC: &str = include_str!("scripts/sync.sh");

/// The scripts there are.
const NAMES: [&str; 5] =
    ["record-failure.sh", "record-success.sh", "record-heuristic.sh", "start-experiment.sh", "sync-db-markdown.sh"];

/// A script, and what lies in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// What lies there.
    pub found: Found,
}

/// What lies in a script's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A script that is not ours.
    Theirs,
    /// Ours.
    Ours,
    /// A link, or something else that is no plain file: it is left alone.
    NoFile,
}

/// The text of the script `name`, for the program at `binary`.
fn text(name: &str, binary: &Path) -> String {
    let learning = |kind: &str, prefix: &str, shown: &str| {
        LEARNING.replace("@KIND@", kind).replace("@PREFIX@", prefix).replace("@NAME@", shown)
    };
    let text = match name {
        "record-failure.sh" => learning("failure", "FAILURE", "Failure"),
        "record-success.sh" => learning("success", "SUCCESS", "Success"),
        "record-heuristic.sh" => HEURISTIC.to_owned(),
        "start-experiment.sh" => EXPERIMENT.to_owned(),
        _ => SYNC.to_owned(),
    };
    // Within single quotes of a shell nothing has a meaning but the quote itself.
    let binary = binary.to_string_lossy().replace('\'', r"'\''");
    text.replace("@COMMON@", COMMON).replace("@BINARY@", &binary)
}

/// What lies in the places of the scripts.
///
/// # Errors
/// [`fs::Error`] if it cannot be told.
pub(super) fn find(home: &Dir) -> Result<Vec<Script>, fs::Error> {
    let folder = folder(home)?;
    NAMES
        .into_iter()
        .map(|name| {
            let found = folder.as_ref().map_or(Ok(Found::Nothing), |folder| found_at(folder, name))?;
            Ok(Script { name, found })
        })
        .collect()
}

fn folder(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    match home.folder(FOLDER) {
        Err(error) if error.is_not_found() => Ok(None),
        folder => folder.map(Some),
    }
}

fn found_at(folder: &Dir, name: &str) -> Result<Found, fs::Error> {
    Ok(match folder.find(name)? {
        None => Found::Nothing,
        Some(found) if !found.is_file => Found::NoFile,
        Some(_) => match folder.content(name, READ_BYTES_MAX)? {
            Some(bytes) if is_ours(&bytes) => Found::Ours,
            _ => Found::Theirs,
        },
    })
}

fn is_ours(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// Puts ours in their places, for the program at `binary`; what is there is kept in `adopted`. Returns how many were
/// written.
///
/// # Errors
/// [`fs::Error`]; installing again goes on from there.
pub(super) fn install(home: &Dir, adopted: &Dir, temporary: &Dir, binary: &Path) -> Result<u64, fs::Error> {
    let (folder, kept) = (home.make_folder(FOLDER)?, adopted.make_folder(KEPT)?);
    let mut written = 0;
    for Script { name, found } in find(home)? {
        let text = text(name, binary);
        match found {
            Found::NoFile => continue,
            Found::Ours if folder.content(name, READ_BYTES_MAX)?.as_deref() == Some(text.as_bytes()) => continue,
            Found::Nothing | Found::Ours => {}
            Found::Theirs => {
                step(Point::AdoptBeforeScript, name)?;
                keep(&folder, &kept, name)?;
            }
        }
        step(Point::AdoptScriptKept, name)?;
        let _ = folder.replace_program(name, text.as_bytes(), temporary)?;
        written += 1;
    }
    Ok(written)
}

/// Gives their script a second name in `kept`. One that is kept there already, from an adoption that was interrupted or
/// from a script that they put there later, stays.
fn keep(folder: &Dir, kept: &Dir, name: &str) -> Result<(), fs::Error> {
    let inode = |dir: &Dir| Ok::<_, fs::Error>(dir.find(name)?.map(|found| found.inode));
    match inode(kept)? {
        Some(inode_kept) if Some(inode_kept) == inode(folder)? => {}
        earlier => {
            if earlier.is_some() {
                kept.set_aside(name, kept, &format!("earlier-{name}"))?;
            }
            folder.link(name, kept)?;
        }
    }
    // The folders that lead to it may be new, and whoever kept it before may not have come to this.
    let _ = kept.sync_file_system()?;
    Ok(())
}

fn step(point: Point, name: &str) -> Result<(), fs::Error> {
    point::at(point).map_err(fs::Error::io("replace the script", name))
}

/// Puts back what was there before ours. Returns how many scripts were put back or removed, and the names of those that
/// their owner has replaced since, which stay.
///
/// # Errors
/// [`fs::Error`]; removing again goes on from there.
pub(super) fn remove(home: &Dir, adopted: &Dir) -> Result<(u64, Vec<&'static str>), fs::Error> {
    let Some(folder) = folder(home)? else { return Ok((0, Vec::new())) };
    let kept = adopted.make_folder(KEPT)?;
    let (mut removed, mut replaced) = (0, Vec::new());
    for Script { name, found } in find(home)? {
        let was_kept = kept.find(name)?.is_some();
        step(Point::ReleaseBeforeScript, name)?;
        match (found, was_kept) {
            (Found::Ours, true) => {
                kept.put_back(name, &folder)?;
                removed += 1;
            }
            (Found::Ours, false) => {
                folder.remove(name)?;
                removed += 1;
            }
            // It was kept and not yet replaced: two names of one file, of which one goes.
            (Found::Theirs, true) if kept.find(name)?.map(|it| it.inode) == folder.find(name)?.map(|it| it.inode) => {
                kept.remove(name)?;
            }
            (Found::Theirs | Found::NoFile | Found::Nothing, true) => replaced.push(name),
            (Found::Theirs | Found::NoFile | Found::Nothing, false) => {}
        }
    }
    let _ = (folder.sync()?, kept.sync()?);
    Ok((removed, replaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_filled_in_and_says_that_it_is_ours() {
        for name in NAMES {
            let text = text(name, Path::new("/o'brien/indelible"));
            assert!(is_ours(text.as_bytes()), "{name} would be taken for theirs");
            assert!(text.contains(r"indelible='/o'\''brien/indelible'"), "{name} does not name the program");
            assert!(!text.contains("@COMMON@") && !text.contains("@KIND@") && !text.contains("@PREFIX@"), "{name}");
            assert!(text.starts_with("#!/bin/sh\n"), "{name}");
        }
    }
}
