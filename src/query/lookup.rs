//! What a person calls a record by: its id, the end of its id, or a path.

use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use crate::fs::os;
use crate::model::path::RecordPath;
use crate::model::{RecordId, check_path, limits};
use crate::page;
use crate::quarantine::Contents;
use crate::search;

use super::search::ROWS_MAX;
use super::{Error, View};

/// The most candidates that are named.
const CANDIDATES_MAX: usize = 10;
/// The digits of an id.
const DIGITS: usize = 32;

/// The record that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// One record, and its path if the text was one.
    One {
        /// Its id.
        id: RecordId,
        /// Its page, relative to the home.
        path: Option<String>,
    },
    /// Several records: the text is the end of each one's id.
    Several {
        /// The first of them: at most ten.
        ids: Vec<RecordId>,
        /// Whether there are more.
        is_more: bool,
    },
    /// None.
    Nothing,
}

/// Finds the record that `text` names, for a caller whose working folder is `folder`.
///
/// # Errors
/// [`Error::Index`].
pub fn lookup(view: &View<'_>, text: &str, folder: Option<&Path>) -> Result<Named, Error> {
    let text = text.trim();
    if let Ok(id) = text.parse::<RecordId>() {
        return Ok(Named::One { id, path: path_of(view, id) });
    }
    match end_of(text) {
        Some(end) => view.even_without_search(|| by_end(view, &end)),
        None => by_path(view, text, folder),
    }
}

/// `text` as the end of an id as ids are written; `None` if it is not one.
fn end_of(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && digits.len() < DIGITS).then(|| {
        let mut end = String::new();
        for (at, digit) in digits.chars().enumerate() {
            let left = digits.len() - at;
            if at > 0 && [12, 16, 20, 24].contains(&left) {
                end.push('-');
            }
            end.push(digit);
        }
        end
    })
}

fn by_end(view: &View<'_>, end: &str) -> Result<Named, Error> {
    let digits = end.replace('-', "");
    let of_search = match view.search() {
        Some(search) if search.is_complete() => {
            Some(search::ids_ending(search.connection(), &digits, CANDIDATES_MAX + 1)?)
        }
        _ => None,
    };
    let beside = view.rows_beside(ROWS_MAX)?;
    let mut found: Vec<RecordId> = match (&view.index, of_search) {
        (_, Some(found)) if beside.len() <= ROWS_MAX => {
            let beside = beside.into_iter().filter(|id| id.to_string().ends_with(end));
            found.into_iter().map(|(id, _)| id).chain(beside).collect()
        }
        (Some(index), _) => index.ids_ending(end, CANDIDATES_MAX + 1)?,
        (None, _) => ids_of_files(view, end),
    };
    // What is parked was recorded, too: it is named to be erased.
    let parked = Contents::of(view.home).unwrap_or_default();
    found.extend(view.pending.ids().chain(parked.parked_ids()).filter(|id| id.to_string().ends_with(end)));
    if let (Some(index), true) = (&view.index, found.is_empty()) {
        // Nothing searches for verdicts.
        found = index.ids_ending(end, CANDIDATES_MAX + 1)?;
    }
    if let (Some(index), true) = (&view.index, found.is_empty()) {
        index.for_each_mark(|mark| {
            if mark.of.to_string().ends_with(end) {
                found.push(mark.of);
            }
        })?;
    }
    found.sort_unstable();
    found.dedup();
    let is_more = found.len() > CANDIDATES_MAX;
    found.truncate(CANDIDATES_MAX);
    Ok(match found[..] {
        [] => Named::Nothing,
        [id] => Named::One { id, path: path_of(view, id) },
        _ => Named::Several { ids: found, is_more },
    })
}

/// Without an index, a record's path: only its file's name can be searched for.
fn path_of(view: &View<'_>, id: RecordId) -> Option<String> {
    if view.index.is_some() {
        return None;
    }
    if let Some(search) = view.search()
        && let Ok(found) = search::ids_ending(search.connection(), &id.0.simple().to_string(), 1)
        && let Some((_, located)) = found.into_iter().next()
        && let Some(path) = view.path_of(id, &located)
    {
        return Some(path);
    }
    let (mut path, end) = (None, id.short());
    super::files::for_each(view.home, |found| {
        let is_it = name_of(found).contains(&end)
            && super::files::parsed(view.home, found).is_some_and(|parsed| parsed.id == id);
        path = is_it.then(|| found.to_owned());
        if is_it { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    path
}

/// The part of a path that has the end of the id: the file's name, or an experiment's folder's.
fn name_of(path: &str) -> &str {
    RecordPath(path).shown().rsplit('/').next().unwrap_or(path)
}

fn ids_of_files(view: &View<'_>, end: &str) -> Vec<RecordId> {
    let mut found = Vec::new();
    // A file's name has the last 8 digits of the id.
    let short = &end[end.len().saturating_sub(8)..];
    super::files::for_each(view.home, |path| {
        let name = name_of(path);
        if name.trim_end_matches(".md").ends_with(short)
            && let Some(parsed) = super::files::parsed(view.home, path).filter(|it| it.id.to_string().ends_with(end))
        {
            found.push(parsed.id);
        }
        if found.len() > CANDIDATES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

fn by_path(view: &View<'_>, text: &str, folder: Option<&Path>) -> Result<Named, Error> {
    let mut paths = Vec::new();
    if !Path::new(text).is_absolute() {
        paths.push(text.trim_start_matches("./").trim_end_matches('/').to_owned());
    }
    let absolute = folder.map(|folder| folder.join(text)).unwrap_or_else(|| PathBuf::from(text));
    paths.extend(beneath(view.home.path(), &absolute));
    for path in &paths {
        let page = RecordPath(path).page();
        if check_path(&page).is_err() {
            continue;
        }
        let bytes = view.home.dir().content(&page, limits::FILE_BYTES_MAX as u64).ok().flatten();
        if let Some(id) = bytes.as_deref().and_then(page::id_of) {
            return Ok(Named::One { id, path: Some(page.into_owned()) });
        }
    }
    // The file is not there: the record was retracted, or is not placed yet. Its name has the end of the id.
    let is_path = |path: &&String| path.contains('/') && check_path(&RecordPath(path).page()).is_ok();
    let Some(path) = paths.iter().find(is_path) else { return Ok(Named::Nothing) };
    let name = name_of(path).trim_end_matches(".md");
    let end = name.rsplit('-').next().and_then(|end| end_of(end).filter(|end| end.len() >= 8));
    end.map_or(Ok(Named::Nothing), |end| by_end(view, &end))
}

/// `path` relative to the home, if it is beneath it.
fn beneath(home: &Path, path: &Path) -> Option<String> {
    let real = os::real_path(path).unwrap_or_else(|_| plain(path));
    let rest = real.strip_prefix(home).ok()?;
    let parts: Option<Vec<&str>> = rest.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// `path` without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_id_is_written_as_ids_are() {
        let id = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa";
        let digits = id.replace('-', "");
        for length in 1..DIGITS {
            let end = end_of(&digits[DIGITS - length..].to_uppercase()).expect("it is the end of an id");
            assert!(id.ends_with(&end), "{length}: {end}");
        }
        for text in ["", "xyz", "memory/failures/a.md", "a/b", &digits, "-"] {
            assert_eq!(end_of(text), None, "{text}");
        }
    }
}
