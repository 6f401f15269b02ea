//! Records from their files, for when there is no index to ask.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;

use crate::fs::{self, Dir};
use crate::home::Home;
use crate::model::lead::{folders_of, is_name_of};
use crate::model::path::{RecordPath, is_companion, state_file};
use crate::model::{Kind, RecordId, check_path, limits};
use crate::page::{self, StateFile};

use super::recorded::Recorded;

/// How long files are read where there is no index, and how long the journal's records. Both, and the wait for another
/// program's lock, stay below a second.
pub(super) const FILES_FOR: Duration = Duration::from_millis(300);
pub(super) const PENDING_FOR: Duration = Duration::from_millis(200);

/// The record whose page or folder is at `path`, as its file says; `None` if there is no such page, or the record was
/// retracted or erased.
pub(super) fn at(home: &Home, path: &str) -> Option<Recorded> {
    let parsed = parsed(home, path)?;
    match mark(home, parsed.id) {
        Ok(Mark::Visible(_)) => Recorded::of_page(parsed, path),
        Ok(Mark::Hidden(_)) | Err(_) => None,
    }
}

/// The text of the page at `path`, whatever it is.
pub(super) fn text(home: &Home, path: &str) -> Option<String> {
    let bytes = home.dir().content(RecordPath(path).page().as_ref(), limits::FILE_BYTES_MAX as u64).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The page at `path`.
pub(super) fn parsed(home: &Home, path: &str) -> Option<page::Parsed> {
    let page = RecordPath(path).page();
    check_path(&page).ok()?;
    let bytes = home.dir().content(&page, limits::FILE_BYTES_MAX as u64).ok()??;
    page::parse(&bytes).ok().filter(|parsed| parsed.request.is_some())
}

/// What the state file of a record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// There is none, or it says that the record was restored.
    Visible(Option<StateFile>),
    /// The record was retracted or erased. A torn file counts by its name, and says nothing more.
    Hidden(Option<StateFile>),
}

/// The state file of `id`.
///
/// # Errors
/// It cannot be read: then it may say that the record is hidden, or not. (A folder that is not there says that none is.)
pub(super) fn mark(home: &Home, id: RecordId) -> Result<Mark, fs::Error> {
    let bytes = match home.dir().content(&state_file(id), 1 << 20) {
        Err(error) if error.is_not_found() => None,
        bytes => bytes?,
    };
    let Some(bytes) = bytes else { return Ok(Mark::Visible(None)) };
    Ok(match StateFile::parse(id, &bytes) {
        Some(mark) if !mark.state.is_hidden() => Mark::Visible(Some(mark)),
        mark => Mark::Hidden(mark),
    })
}

/// Calls `visit` with the path of each file that may be a record's page, newest day first, until it breaks. Returns
/// whether it saw all of them.
pub(super) fn for_each(home: &Home, mut visit: impl FnMut(&str) -> ControlFlow<()>) -> bool {
    let mut days: Vec<(String, String)> = Vec::new();
    let mut visit_kind = || -> ControlFlow<()> {
        for kind in Kind::ALL {
            if kind == Kind::Experiment {
                for name in names(home.dir(), kind.folder()) {
                    days.push((name.clone(), format!("{}/{name}", kind.folder())));
                }
            } else {
                folders_of_days(home.dir(), kind.folder(), &mut days);
            }
        }
        // By date: an experiment's folder begins with it, without slashes.
        days.sort_by_key(|(date, _)| Reverse(date.replace('/', "")));
        for (_, folder) in &days {
            walk(home.dir(), folder, 0, &mut visit)?;
        }
        ControlFlow::Continue(())
    };
    visit_kind().is_continue()
}

/// Adds the folders of days beneath `folder`, each with its date. A heuristic's has its domain's folder above it.
fn folders_of_days(home: &Dir, folder: &str, days: &mut Vec<(String, String)>) {
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    for year in names(home, folder) {
        if !(is_number(&year) && year.len() == 4) {
            if folder == Kind::Heuristic.folder() {
                folders_of_days(home, &format!("{folder}/{year}"), days);
            }
            continue;
        }
        for month in names(home, &format!("{folder}/{year}")) {
            for day in names(home, &format!("{folder}/{year}/{month}")) {
                days.push((format!("{year}/{month}/{day}"), format!("{folder}/{year}/{month}/{day}")));
            }
        }
    }
}

/// The path of a record, by its kind, its time and its id.
pub(super) fn find(home: &Home, kind: Kind, created_at: Timestamp, id: RecordId) -> Option<String> {
    let within = match kind {
        Kind::Heuristic => {
            names(home.dir(), kind.folder()).iter().map(|domain| format!("{}/{domain}", kind.folder())).collect()
        }
        _ => vec![kind.folder().to_owned()],
    };
    let is_it = |path: &String| parsed(home, path).is_some_and(|it| it.id == id);
    let in_folder = |folder: String| {
        let names = names(home.dir(), &folder).into_iter();
        let named = names.filter(|name| is_name_of(name.strip_suffix(".md").unwrap_or(name), id));
        named.map(|name| format!("{folder}/{name}")).find(is_it)
    };
    within.iter().flat_map(|within| folders_of(within, kind, created_at, id)).find_map(in_folder)
}

fn names(home: &Dir, folder: &str) -> Vec<String> {
    home.folder(folder).and_then(|folder| folder.names()).unwrap_or_default()
}

/// The deepest that a record's file lies below the folder of its day.
const DEPTH_MAX: usize = 4;

fn walk(home: &Dir, folder: &str, depth: usize, visit: &mut impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut names = names(home, folder);
    names.sort_unstable_by(|one, other| other.cmp(one));
    for name in names {
        let path = format!("{folder}/{name}");
        if name.ends_with(".md") {
            if !is_companion(&path) {
                visit(&path)?;
            }
        } else if depth < DEPTH_MAX {
            walk(home, &path, depth + 1, visit)?;
        }
    }
    ControlFlow::Continue(())
}
