//! Domains' pages that show something else than the rows of their rules say, as a page from a backup does.
//!
//! 1. Only a page exactly as it was rendered is judged: one with its owner's own words stays as it is.
//! 2. One that git has like this is right: rows that changed since are shown by the next batch.
//! 3. Where pages are not committed, since there is a remote, only a rule on the page that has no row counts.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before a page is rendered, or removed | the stale page | the next recovery finds it again |
//! | after it | the page that the rows say | nothing to do |

use std::collections::HashSet;

use super::{Error, Pipeline};
use crate::home::Home;
use crate::model::layout::DOMAIN_PAGE;
use crate::model::{Kind, limits};
use crate::page::{self, PageEntry};
use crate::target::changed_files::ChangedFiles;
use crate::target::commits::{ReadCommits, Trunk};
use crate::target::index;

/// The beginning of a rule's heading, up to the end of its id.
const RULE: &str = "## H-";

/// The rules of a domain, each with the domain's name.
type Entries = Result<Vec<(String, PageEntry)>, index::Error>;

/// The domains' pages of `home` that do not show what the rows say, as `entries` reads them for a domain's folder. Paths are
/// relative to the home.
///
/// # Errors
/// [`Error::Index`], [`Error::History`].
pub fn stale_pages(
    home: &Home,
    history: Option<&dyn ReadCommits>,
    entries: &dyn Fn(&str) -> Entries,
) -> Result<Vec<String>, Error> {
    let within = Kind::Heuristic.folder();
    // The audit names what keeps it from being read.
    let mut names = home.dir().folder(within).and_then(|dir| dir.names()).unwrap_or_default();
    names.sort_unstable();
    let are_committed = !Trunk::of(home).has_remote();
    let mut stale = Vec::new();
    for name in names {
        let folder = format!("{within}/{name}");
        let path = format!("{folder}/{DOMAIN_PAGE}");
        let bytes = home.dir().content(&path, limits::FILE_BYTES_MAX as u64).ok().flatten();
        let Some(text) = bytes.and_then(|it| String::from_utf8(it).ok()).filter(|it| page::is_unedited(it)) else {
            continue;
        };
        let committed = history.map(|history| history.read(&path)).transpose()?.flatten();
        if committed.as_deref() == Some(text.as_bytes()) {
            continue;
        }
        let entries = entries(&folder)?;
        let shown: HashSet<String> = entries.iter().map(|(_, entry)| entry.id.short()).collect();
        let domain = entries.first().map(|(domain, _)| domain.clone());
        let rendered = domain.map(|domain| page::domain_page(&domain, entries.into_iter().map(|(_, entry)| entry)));
        let counts = are_committed || rules_on(&text).any(|rule| !shown.contains(rule));
        if counts && rendered.as_ref() != Some(&text) {
            stale.push(path);
        }
    }
    Ok(stale)
}

/// The ends of the ids of the rules on a rendered page.
fn rules_on(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix(RULE)?.split_once(':').map(|(id, _)| id))
}

impl Pipeline<'_> {
    /// Renders the [stale pages](stale_pages) again, and removes those of domains without rules. Returns how many there were.
    /// Rows must not lag.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::History`], [`Error::Page`], [`Error::Fs`].
    pub fn mend_pages(&mut self) -> Result<u64, Error> {
        self.rows.reach()?;
        let stale = stale_pages(self.home, Some(self.commits.as_read()), &|folder| self.rows.page_entries(folder))?;
        for path in &stale {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            tracing::info!(path, "a domain's page shows something else than the rows say: it is rendered again");
            if self.render_pages(std::iter::once(folder))?.is_empty() {
                let synced = self.ensure_synced()?;
                ChangedFiles::new(self.home)?.remove_page(folder, &synced)?;
            }
        }
        Ok(stale.len() as u64)
    }
}
