//! Drop-ins for the framework's scripts: thin wrappers around this program, where users' hooks look for the scripts.
//!
//! The old script gets a second name (a hard link) in `adopted/scripts` in the private folder. Once that is durable, ours
//! replaces it by a rename. Putting it back is a rename too. So hooks find one script or the other at every moment.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before it is kept | the old script | adopting or releasing again |
//! | after it | the old script, under two names | adopting again replaces it; releasing again puts it back |
//! | after the rename | ours, and the old one kept | nothing to do |
//!
//! A note lists the scripts before the first of them is placed. With it, a script that an update replaces is reported until
//! its owner dismisses that ([`replaced`]). If the note is lost, so is that report, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fs::{self, Dir, Durability, Point, crash};
use crate::model::layout::{SCRIPTS, SCRIPTS_NOTE};

/// A script is never larger.
const READ_BYTES_MAX: u64 = 4 << 20;
/// A line that every drop-in has.
const MARK: &[u8] = b"# Written by indelible (adopt --scripts)";

const COMMON: &str = include_str!("scripts/common.sh");
const LEARNING: &str = include_str!("scripts/learning.sh");
const HEURISTIC: &str = include_str!("scripts/heuristic.sh");
const EXPERIMENT: &str = include_str!("scripts/experiment.sh");
const SYNC: &str = include_str!("scripts/sync.sh");
const HEURISTIC_PYTHON: &str = include_str!("scripts/heuristic.py");

/// The names of all drop-ins.
const NAMES: [&str; 6] = [
    "record-failure.sh",
    "record-success.sh",
    "record-heuristic.sh",
    "start-experiment.sh",
    "sync-db-markdown.sh",
    PYTHON,
];
/// It is placed only where the framework has one: not every user has Python, and older versions lack this script.
const PYTHON: &str = "record-heuristic.py";
const NOTE_BYTES_MAX: u64 = 1 << 16;

/// One script, and what lies in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// What lies in its place.
    pub found: Occupant,
}

/// What occupies a script's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Occupant {
    /// Nothing does.
    Nothing,
    /// A script that is not a drop-in, or a drop-in that a merge left in conflict.
    Theirs,
    /// Our drop-in.
    Ours,
    /// A link, or something else that is not a plain file. It is left alone.
    NoFile,
}

/// The note of the placed scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Installed {
    names: Vec<String>,
    /// Checksums of other files in their places that the owner has dismissed; 0 for a missing file.
    seen: BTreeMap<String, u32>,
}

impl Installed {
    /// Reads the note. If it is missing, the old scripts that were kept stand for it.
    fn read(adopted: &Dir) -> Result<Installed, fs::Error> {
        let noted = adopted.content(SCRIPTS_NOTE, NOTE_BYTES_MAX)?.and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(noted) = noted {
            return Ok(noted);
        }
        let kept = match adopted.folder(SCRIPTS) {
            Err(error) if error.is_not_found() => Vec::new(),
            kept => kept?.names()?,
        };
        let names = NAMES.iter().filter(|name| kept.iter().any(|it| it == *name)).map(|name| (*name).to_owned());
        Ok(Installed { names: names.collect(), ..Installed::default() })
    }

    fn write(&self, adopted: &Dir, temporary: &Dir) -> Result<(), fs::Error> {
        let text = serde_json::to_vec(self).expect("it is made of strings and numbers");
        adopted.replace(SCRIPTS_NOTE, &text, temporary, Durability::Full)
    }
}

/// A drop-in that was replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// Its name.
    pub name: &'static str,
    /// What lies in its place, as the end of a sentence about it.
    pub what: &'static str,
}

/// The text of the drop-in `name`, for the program at `binary`. `kept` is the folder of the old scripts.
fn text(name: &str, binary: &Path, kept: &Path) -> String {
    if name == PYTHON {
        // JSON's strings are Python's.
        let python = |path: &Path| serde_json::to_string(&path.to_string_lossy()).expect("a string can be written");
        return HEURISTIC_PYTHON.replace("@BINARY@", &python(binary)).replace("@KEPT@", &python(&kept.join(name)));
    }
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

/// All scripts, each with what lies in its place.
///
/// # Errors
/// [`fs::Error`] if a file cannot be read.
pub(super) fn find(home: &Dir) -> Result<Vec<Script>, fs::Error> {
    let folder = folder(home)?;
    NAMES
        .into_iter()
        .map(|name| {
            let found = folder.as_ref().map_or(Ok(Occupant::Nothing), |folder| found_at(folder, name))?;
            Ok(Script { name, found })
        })
        .collect()
}

fn folder(home: &Dir) -> Result<Option<Dir>, fs::Error> {
    match home.folder(SCRIPTS) {
        Err(error) if error.is_not_found() => Ok(None),
        folder => folder.map(Some),
    }
}

fn found_at(folder: &Dir, name: &str) -> Result<Occupant, fs::Error> {
    Ok(match folder.find(name)? {
        None => Occupant::Nothing,
        Some(found) if !found.is_file => Occupant::NoFile,
        Some(_) => match folder.content(name, READ_BYTES_MAX)? {
            Some(bytes) if is_ours(&bytes) && !is_in_conflict(&bytes) => Occupant::Ours,
            _ => Occupant::Theirs,
        },
    })
}

fn is_ours(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// Whether a file has the conflict markers of a merge.
fn is_in_conflict(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"<<<<<<< ") || line.starts_with(b">>>>>>> "))
}

/// The home's scripts that record something and have no drop-in. They stay as they are.
///
/// # Errors
/// [`fs::Error`] if a file cannot be read.
pub(super) fn uncovered(home: &Dir) -> Result<Vec<String>, fs::Error> {
    let names = folder(home)?.map_or(Ok(Vec::new()), |folder| folder.names())?;
    let records = |name: &String| {
        (name.starts_with("record-") || name.starts_with("start-experiment"))
            && [".sh", ".py"].iter().any(|end| name.ends_with(end))
    };
    let mut names: Vec<_> = names.into_iter().filter(records).filter(|name| !NAMES.contains(&name.as_str())).collect();
    names.sort_unstable();
    Ok(names)
}

/// The drop-ins that were replaced or removed, unless their owner has dismissed that.
///
/// # Errors
/// [`fs::Error`] if a file cannot be read.
pub(super) fn replaced(home: &Dir, adopted: &Dir) -> Result<Vec<Replaced>, fs::Error> {
    let installed = Installed::read(adopted)?;
    let folder = folder(home)?;
    let mut replaced = Vec::new();
    for Script { name, found } in find(home)? {
        if found == Occupant::Ours || !installed.names.iter().any(|it| it == name) {
            continue;
        }
        let bytes = content(folder.as_ref(), name)?;
        if installed.seen.get(name) == Some(&checksum(bytes.as_deref())) {
            continue;
        }
        let what = match (found, bytes) {
            (Occupant::Nothing, _) => "is gone",
            (Occupant::NoFile, _) => "is a link, or not a plain file",
            (_, Some(bytes)) if is_in_conflict(&bytes) => "has conflicts of a merge in it, and cannot run",
            _ => "is not ours any more: something replaced it, an update perhaps, and it records on its own again",
        };
        replaced.push(Replaced { name, what });
    }
    Ok(replaced)
}

/// Dismisses the replaced scripts, since their owner has seen them. Returns how many.
///
/// # Errors
/// [`fs::Error`]; nothing is noted then.
pub(super) fn dismiss(home: &Dir, adopted: &Dir, temporary: &Dir) -> Result<usize, fs::Error> {
    let replaced = replaced(home, adopted)?;
    if replaced.is_empty() {
        return Ok(0);
    }
    let (mut installed, folder) = (Installed::read(adopted)?, folder(home)?);
    for Replaced { name, .. } in &replaced {
        installed.seen.insert((*name).to_owned(), checksum(content(folder.as_ref(), name)?.as_deref()));
    }
    installed.write(adopted, temporary)?;
    Ok(replaced.len())
}

fn content(folder: Option<&Dir>, name: &str) -> Result<Option<Vec<u8>>, fs::Error> {
    match folder.map(|folder| folder.content(name, READ_BYTES_MAX)).transpose() {
        Err(fs::Error::Refused { .. }) => Ok(None),
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => Ok(None),
        content => Ok(content?.flatten()),
    }
}

fn checksum(content: Option<&[u8]>) -> u32 {
    content.map_or(0, crc32c::crc32c)
}

/// Places the drop-ins, for the program at `binary`, and keeps the old scripts in `adopted`. Returns how many were written.
///
/// # Errors
/// [`fs::Error`]; installing again continues from there.
pub(super) fn install(home: &Dir, adopted: &Dir, temporary: &Dir, binary: &Path) -> Result<u64, fs::Error> {
    let (folder, kept) = (home.make_folder(SCRIPTS)?, adopted.make_folder(SCRIPTS)?);
    let mut written = 0;
    let scripts: Vec<_> =
        find(home)?.into_iter().filter(|it| !(it.name == PYTHON && it.found == Occupant::Nothing)).collect();
    let names = scripts.iter().filter(|it| it.found != Occupant::NoFile).map(|it| it.name.to_owned());
    Installed { names: names.collect(), ..Installed::default() }.write(adopted, temporary)?;
    for Script { name, found } in scripts {
        let text = text(name, binary, kept.path());
        match found {
            Occupant::NoFile => continue,
            Occupant::Ours if folder.content(name, READ_BYTES_MAX)?.as_deref() == Some(text.as_bytes()) => continue,
            Occupant::Nothing | Occupant::Ours => {}
            Occupant::Theirs => {
                step(Point::AdoptBeforeScript, name)?;
                keep(&folder, &kept, name)?;
            }
        }
        step(Point::AdoptScriptKept, name)?;
        folder.replace_program(name, text.as_bytes(), temporary, Durability::Full)?;
        written += 1;
    }
    Ok(written)
}

/// Gives the old script a second name in `kept`. Another script of that name, from an earlier adoption, is kept as
/// `earlier-NAME`.
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
    // The folders that lead to it may be new, and an interrupted adoption may not have synced them.
    let _ = kept.sync_file_system()?;
    Ok(())
}

fn step(point: Point, name: &str) -> Result<(), fs::Error> {
    crash::at(point).map_err(fs::Error::io("replace the script", name))
}

/// Puts the old scripts back. Returns how many drop-ins were replaced by them or removed, and the names of the scripts that
/// their owner has replaced since, which stay.
///
/// # Errors
/// [`fs::Error`]; removing again continues from there.
pub(super) fn remove(home: &Dir, adopted: &Dir) -> Result<(u64, Vec<&'static str>), fs::Error> {
    let Some(folder) = folder(home)? else { return Ok((0, Vec::new())) };
    let kept = adopted.make_folder(SCRIPTS)?;
    let (mut removed, mut replaced) = (0, Vec::new());
    for Script { name, found } in find(home)? {
        let was_kept = kept.find(name)?.is_some();
        step(Point::ReleaseBeforeScript, name)?;
        match (found, was_kept) {
            (Occupant::Ours, true) => {
                kept.put_back(name, &folder)?;
                removed += 1;
            }
            (Occupant::Ours, false) => {
                folder.remove(name)?;
                removed += 1;
            }
            // It was kept and not yet replaced: two names of one file, of which one goes.
            (Occupant::Theirs, true)
                if kept.find(name)?.map(|it| it.inode) == folder.find(name)?.map(|it| it.inode) =>
            {
                kept.remove(name)?;
            }
            (Occupant::Theirs | Occupant::NoFile | Occupant::Nothing, true) => replaced.push(name),
            (Occupant::Theirs | Occupant::NoFile | Occupant::Nothing, false) => {}
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
            let text = text(name, Path::new("/o'brien/indelible"), Path::new("/kept"));
            assert!(is_ours(text.as_bytes()), "{name} would be taken for theirs");
            let (named, program) = match name {
                PYTHON => ("INDELIBLE = \"/o'brien/indelible\"", "#!/usr/bin/env python3\n"),
                _ => (r"indelible='/o'\''brien/indelible'", "#!/bin/sh\n"),
            };
            assert!(text.contains(named), "{name} does not name the program");
            for mark in ["@COMMON@", "@KIND@", "@PREFIX@", "@BINARY@", "@KEPT@"] {
                assert!(!text.contains(mark), "{name} has {mark}");
            }
            assert!(text.starts_with(program), "{name}");
        }
    }
}
