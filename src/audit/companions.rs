//! Companions: an experiment's log, and a domain's page.

use std::ops::Bound::{Included, Unbounded};

use super::{Collecting, Error, READ_BYTES_MAX};
use crate::home::Home;
use crate::model::layout::DOMAIN_PAGE;
use crate::model::path::{is_domain_page, page_beside};
use crate::page;
use crate::target::commits::CommittedFile;
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

    /// Whether the owner moved all heuristics that the domain's page at `path` shows.
    pub(super) fn have_moved(&self, path: &str) -> bool {
        let Some(folder) = path.strip_suffix(DOMAIN_PAGE).filter(|_| is_domain_page(path)) else { return false };
        let beneath =
            self.paths.range::<str, _>((Included(folder), Unbounded)).take_while(|(path, _)| path.starts_with(folder));
        let mut beneath = beneath.map(|(_, it)| it).filter(|it| it.in_tree || it.file.is_some()).peekable();
        beneath.peek().is_some() && beneath.all(|it| it.file.is_none() && it.moved)
    }
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
