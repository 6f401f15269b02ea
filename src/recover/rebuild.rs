//! Rebuilding the index from the files, in place.
//!
//! The old index may hold data that no other store has; in an adopted home, above all, rows of other programs. So a
//! copy of it is in quarantine, durably, before it is emptied.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before it is emptied | the old index, perhaps a copy of it or part of one; or an empty folder | the next run makes another copy |
//! | before it is filled | an index that is empty, or marked as unfinished | the next run starts over |
//! | while it is filled | some of the rows, and the index marked as unfinished | the same |

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::origin::{origin_of, says_person};
use super::{Base, Error, Report};
use crate::audit::{Stores, audit_files, walk};
use crate::fs::{self, Point, crash};
use crate::home;
use crate::model::layout::{DATABASE, INDEX, INDEX_COPY, QUARANTINE, RETRACTED, WAL, split};
use crate::model::path::of_state_file;
use crate::model::{HomeId, Origin, RecordId, RecordPath, Request, Source};
use crate::page::{self, Parsed, StateFile};
use crate::pipeline::{Pipeline, Progress};
use crate::sync::import::homes_of_pages;
use crate::target::index::{Index, RowImage};

/// How many rows are inserted in one transaction.
const GROUP: usize = 1000;
const READ_BYTES_MAX: u64 = page::PAGE_BYTES_MAX as u64;

/// Rebuilds the index if it is lost, and notes so in `report`. Only a `thorough` check reads all of it.
pub(super) fn if_lost(
    pipeline: &mut Pipeline<'_>,
    thorough: bool,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    if pipeline.is_index_lost(thorough)? {
        rebuild(pipeline, report, progress)?;
        report.index_rebuilt = true;
    }
    Ok(())
}

/// The new index has no watermark: until everything is audited, its rows count as being at the beginning of what is
/// left of the journal.
fn rebuild(pipeline: &Pipeline<'_>, report: &mut Report, progress: &mut dyn Progress) -> Result<(), Error> {
    let home = pipeline.home();
    tracing::warn!("the index is lost: rebuilding it from the files");
    // Its folder is gone where `memory/` was moved away.
    let (folder, _) = split(INDEX);
    home.dir().make_folder(folder)?;
    home.dir().sync()?;
    report.index_kept = keep_a_copy(home)?;
    crash::at(Point::RebuildBeforeReset).map_err(fs::Error::io("rebuild", home.index_path()))?;
    let (mut index, base) = empty_index(home)?;
    report.index_base = base;
    index.update_layout(home::is_adopted(home.private())?)?;
    crash::at(Point::RebuildBeforeFill).map_err(fs::Error::io("rebuild", home.index_path()))?;
    let stores = pipeline.without_index();
    // Rows are numbered in the order of recording, as they were before.
    let (mut found, mut by_person) = (Vec::new(), BTreeSet::new());
    for (path, in_tree) in audit_files(&stores, progress)? {
        if let Some(parsed) = parse(&stores, &path)? {
            // That a person wrote what was not committed, the journal has to say; without it, recovery takes the file for an import.
            if says_person(&parsed) && !in_tree {
                continue;
            }
            if says_person(&parsed) {
                by_person.insert(path.clone());
            }
            found.push((parsed.created_at, parsed.id, !in_tree, path));
        }
    }
    let elsewhere = match stores.history {
        Some(history) if !by_person.is_empty() => history.changed_elsewhere(&by_person, home.id())?,
        _ => BTreeSet::new(),
    };
    // If a record has several files, its own is the one that the history has.
    found.sort_unstable();
    found.dedup_by_key(|(_, id, ..)| *id);
    progress.begin("building the index", found.len() as u64);
    let homes = homes_of_pages(home);
    for (done, group) in found.chunks(GROUP).enumerate() {
        insert(&mut index, &stores, group, &elsewhere, &homes)?;
        progress.at((done * GROUP + group.len()) as u64);
    }
    mark(&mut index, &stores)?;
    index.finish()?;
    progress.end();
    Ok(())
}

/// Marks the records that were ever retracted, restored or erased, as their state files say: those in the history or,
/// for records without one there, those on disk. The marks in a copy that the index began with are older.
fn mark(index: &mut Index, stores: &Stores<'_>) -> Result<(), Error> {
    let mut states = BTreeMap::new();
    walk(stores.home.dir(), RETRACTED, &mut |dir, name, path| {
        let bytes = dir.content(name, READ_BYTES_MAX)?.unwrap_or_default();
        if let Some(state) = of_state_file(path).and_then(|id| StateFile::parse(id, &bytes)) {
            states.insert(state.of, state);
        }
        Ok::<_, Error>(())
    })?;
    if let Some(history) = stores.history {
        let mut failed = None;
        history.each_file(&mut |file| {
            let state = of_state_file(file.path()).map(|id| file.read().map(|bytes| StateFile::parse(id, &bytes)));
            match state.transpose() {
                Ok(state) => states.extend(state.flatten().map(|state| (state.of, state))),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(()), Err)?;
    }
    for state in states.values() {
        match state.state.is_hidden() {
            true => index.hide(state)?,
            false => index.unhide(state, None)?,
        };
    }
    Ok(())
}

/// An index to be filled, and the copy that it begins with. In an adopted home it begins with the newest sound copy:
/// rows of other programs are in none of indelible's files.
fn empty_index(home: &home::Home) -> Result<(Index, Option<Base>), Error> {
    for copy in home.index_copies()? {
        match Index::reset_to(&home.index_path(), home.id(), &copy) {
            Err(error) if error.is_lost() => {
                let error = crate::model::text::chain(&error);
                tracing::error!(copy = %copy.display(), error, "a copy of the index cannot be used");
            }
            index => return Ok((index?, Some(Base::of(&copy)))),
        }
    }
    Ok((Index::reset(&home.index_path(), home.id())?, None))
}

fn insert(
    index: &mut Index,
    stores: &Stores<'_>,
    group: &[(Timestamp, RecordId, bool, String)],
    elsewhere: &BTreeSet<String>,
    homes: &HashMap<String, HomeId>,
) -> Result<(), Error> {
    let mut records = Vec::with_capacity(group.len());
    for (created_at, id, _, path) in group {
        let parsed = parse(stores, path)?;
        let amended = parsed.as_ref().and_then(Parsed::amended);
        if let Some(Parsed { request: Some(mut request), .. }) = parsed {
            let committed = match (request.provenance.origin, stores.history) {
                (Some(Origin::Person), Some(history)) => history.read(path)?,
                _ => None,
            };
            let is_elsewhere = || Ok::<_, Error>(elsewhere.contains(path));
            request.provenance.origin = origin_of(&request, committed.as_deref(), is_elsewhere)?;
            records.push((*created_at, *id, request, amended, RecordPath(path).shown()));
        }
    }
    let paths: Vec<Cow<'_, str>> = records.iter().map(|(.., path)| RecordPath(path).page()).collect();
    let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
    let of_others = stores.history.map(|history| history.of_others(&paths)).transpose()?.unwrap_or_default();
    let source = |path: &str| {
        let page = RecordPath(path).page();
        let of_other = || Source { home: homes.get(&*page).copied(), lane: None, commit: String::new() };
        of_others.contains(&*page).then(of_other)
    };
    let sources: Vec<Option<Source>> = records.iter().map(|(.., path)| source(path)).collect();
    let mut rows = Vec::with_capacity(records.len());
    for ((created_at, id, Request { record, key, provenance }, amended, path), from) in records.iter().zip(&sources) {
        let key = key.as_deref();
        rows.push(RowImage {
            id: *id,
            created_at: *created_at,
            key,
            record,
            provenance,
            amended: amended.as_ref(),
            path,
            from: from.as_ref(),
        });
    }
    // What an adopted table refuses is parked during the audit.
    index.insert_what_is_taken(&rows)?;
    Ok(())
}

/// Parses the file at `path` or, if it is missing, the history's version of it.
fn parse(stores: &Stores<'_>, path: &str) -> Result<Option<Parsed>, Error> {
    let bytes = match stores.home.dir().content(path, READ_BYTES_MAX)? {
        Some(bytes) if page::id_of(&bytes).is_some() => Some(bytes),
        _ => match stores.history {
            Some(history) => history.read(path)?,
            None => None,
        },
    };
    let parsed = bytes.and_then(|bytes| page::parse(&bytes).ok());
    Ok(parsed.filter(|parsed| parsed.request.is_some()))
}

/// Keeps what is left of a damaged index. Returns its new path.
fn keep_a_copy(home: &home::Home) -> Result<Option<String>, Error> {
    let quarantine = home.private_folder(QUARANTINE)?;
    let mut kept = None;
    for suffix in ["", WAL] {
        let from = format!("{INDEX}{suffix}");
        if home.dir().find(&from)?.is_some_and(|found| found.is_file) {
            let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3f");
            let to = format!("{INDEX_COPY}{stamp}{DATABASE}{suffix}");
            home.dir().copy_with_holes(&from, &quarantine, &to)?;
            kept.get_or_insert_with(|| quarantine.path().join(to).display().to_string());
        }
    }
    quarantine.sync()?;
    Ok(kept)
}
