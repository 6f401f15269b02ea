//! Companions: an experiment's log, and a domain's page.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Included, Unbounded};

use super::{Collecting, Error, READ_BYTES_MAX};
use crate::home::Home;
use crate::model::RecordId;
use crate::model::layout::DOMAIN_PAGE;
use crate::model::path::{is_domain_page, page_beside};
use crate::page;
use crate::target::commits::{CommittedFile, ReadCommits};
use crate::target::files::is_torn;

impl Collecting {
    /// Whether the log at `path` belongs to an experiment that its owner moved: the log moved along, or is theirs to
    /// keep.
    pub(super) fn has_moved(&self, path: &str, log: &[u8]) -> bool {
        let Some(page) = page_beside(path) else { return false };
        let Some(id) = page::id_of(log) else { return false };
        let is_here = self.paths.get(&*page).and_then(|it| it.file).is_some_and(|file| file.id == Some(id));
        !is_here && self.places.contains_key(&id)
    }

    /// Finds the logs that are all that is left of retracted experiments: a power cut can lose the removal of the log alone,
    /// and the journal may no longer have the retraction. Each is noted at the path of its page, which no store need have.
    pub(super) fn find_left_logs(&mut self, home: &Home, history: Option<&dyn ReadCommits>) -> Result<(), Error> {
        let Some(history) = history else { return Ok(()) };
        let mut left: BTreeMap<String, RecordId> = BTreeMap::new();
        for log in &self.companions {
            let Some(page) = page_beside(log) else { continue };
            let collected = self.paths.get(&*page);
            if collected.is_some_and(|it| it.file.is_some() || it.in_tree) {
                continue;
            }
            let Ok(Some(bytes)) = home.dir().content(log, READ_BYTES_MAX) else { continue };
            let of_row = collected.and_then(|it| it.row).map(|row| row.id);
            let own = match of_row {
                Some(id) => Some(id),
                None => id_in(history, &page)?,
            };
            let is_its = |id: &RecordId| match page::id_of(&bytes) {
                Some(of) => of == *id,
                None => bytes.iter().all(|byte| *byte == 0),
            };
            left.extend(own.filter(|id| self.known.is_retracted(*id) && is_its(id)).map(|id| (page, id)));
        }
        // The row says where the experiment was when it was retracted.
        let rows = self.paths.iter().filter_map(|(path, it)| Some((it.row?.id, path)));
        let ids: HashSet<RecordId> = left.values().copied().collect();
        let places: BTreeMap<RecordId, _> = rows.filter(|(id, _)| ids.contains(id)).collect();
        left.retain(|page, id| places.get(id).is_none_or(|place| ***place == **page));
        for (page, id) in left {
            self.paths.entry(page.as_str().into()).or_default().named.get_or_insert(id);
            self.left_logs.insert(page);
        }
        Ok(())
    }

    /// Whether the owner moved all heuristics that the domain's page at `path` shows.
    pub(super) fn have_moved(&self, path: &str) -> bool {
        let Some(folder) = path.strip_suffix(DOMAIN_PAGE).filter(|_| is_domain_page(path)) else { return false };
        let beneath =
            self.paths.range::<str, _>((Included(folder), Unbounded)).take_while(|(path, _)| path.starts_with(folder));
        let mut beneath = beneath.map(|(_, it)| it).filter(|it| it.in_tree || it.file.is_some()).peekable();
        beneath.peek().is_some() && beneath.all(|it| it.file.is_none() && it.moved)
    }
}

/// The record whose page the history has or had at `path`.
fn id_in(history: &dyn ReadCommits, path: &str) -> Result<Option<RecordId>, Error> {
    Ok(history.last_of(path)?.as_deref().and_then(page::id_of))
}

/// Whether indelible wrote a companion in the history: an adopted home has logs and pages of its owner's own.
pub(super) fn is_ours(path: &str, blob: &[u8]) -> bool {
    if is_domain_page(path) { page::is_rendered(blob) } else { page::id_of(blob).is_some() }
}

/// Whether a companion is what a power cut leaves: nothing, its first sectors, or zeros.
pub(super) fn is_torn_companion(home: &Home, file: &dyn CommittedFile) -> Result<bool, Error> {
    let bytes = home.dir().content(file.path(), READ_BYTES_MAX)?.unwrap_or_default();
    Ok(bytes.contains(&0) || bytes.len().is_multiple_of(512) && is_torn(&bytes, &file.read()?))
}
