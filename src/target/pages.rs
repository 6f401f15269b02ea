//! The domains' pages, as a target: rendered from the rows, committed with the batch.
//!
//! A page is durable when it is rendered; rendering is idempotent.

use crate::journal::Synced;
use crate::model::position::Position;
use crate::model::{FileImage, Intent, Record, RecordId, RecordPath};
use crate::page;
use crate::target::files::{self, Applier};
use crate::target::rows::Rows;
use crate::target::{Batch, Error, Log, Target, Watermark};

/// The pages of a home, which are rendered from its rows.
pub struct Pages<'p, 'h> {
    /// The writer.
    pub files: &'p Applier<'h>,
    /// The source.
    pub rows: &'p dyn Rows,
}

impl Target for Pages<'_, '_> {
    fn name(&self) -> &'static str {
        "pages"
    }

    /// Pages go with the rows, whose watermark says where pages lag.
    fn watermark(&mut self, _: &Log<'_>) -> Result<Watermark, Error> {
        Ok(Watermark::With("rows"))
    }

    fn apply(&mut self, batch: &mut Batch<'_>, _synced: &Synced<Position>) -> Result<(), Error> {
        let folders = folders_showing(&batch.intents, self.rows)?;
        batch.pages = self.render(folders.iter().map(String::as_str))?;
        Ok(())
    }

    /// Each page is durable when it is rendered.
    fn sync(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}

impl Pages<'_, '_> {
    /// Renders the pages in `folders`, each once. A page that can never be rendered is logged and skipped.
    ///
    /// # Errors
    /// [`Error::Page`] for a page that cannot be rendered now.
    pub fn render<'f>(&self, folders: impl Iterator<Item = &'f str>) -> Result<Vec<FileImage>, Error> {
        let mut folders: Vec<_> = folders.collect();
        folders.sort_unstable();
        folders.dedup();
        let mut pages = Vec::new();
        for folder in folders {
            match self.page(folder) {
                Ok(page) => pages.extend(page),
                Err(source) if source.is_transient() => return Err(Error::Page { folder: folder.to_owned(), source }),
                Err(error) => {
                    tracing::error!(folder, error = crate::model::text::chain(&error), "a page cannot be rendered")
                }
            }
        }
        Ok(pages)
    }

    /// Renders the page in `folder`; `None` if it has no heuristics. Durable on return.
    fn page(&self, folder: &str) -> Result<Option<FileImage>, files::Error> {
        let entries = self.rows.page_entries(folder)?;
        let Some((domain, _)) = entries.first() else { return Ok(None) };
        let text = page::domain_page(&domain.clone(), entries.into_iter().map(|(_, entry)| entry));
        self.files.page(folder, text).map(Some)
    }
}

/// The folders of the domains whose pages show any of `intents`: those of the rules, and of the rules that the verdicts are
/// about, as far as `rows` knows them. The index must be open if there is a verdict.
///
/// # Errors
/// [`Error::Index`].
pub fn folders_showing(intents: &[Intent], rows: &dyn Rows) -> Result<Vec<String>, Error> {
    let mut folders: Vec<String> = domain_folders(intents).map(str::to_owned).collect();
    for intent in intents {
        if let Record::Verdict(verdict) = &intent.record {
            folders.extend(folder_of(verdict.of, rows)?);
        }
    }
    Ok(folders)
}

/// The folder of the domain of the rule `id`, as far as `rows` knows it.
///
/// # Errors
/// [`Error::Index`].
pub fn folder_of(id: RecordId, rows: &dyn Rows) -> Result<Option<String>, Error> {
    let known = rows.find(id)?;
    Ok(known.and_then(|known| RecordPath(&known.path).domain_folder().map(str::to_owned)))
}

/// The folders of the domains of the rules among `intents`.
pub fn domain_folders(intents: &[Intent]) -> impl Iterator<Item = &str> {
    intents.iter().filter_map(|intent| RecordPath(intent.path()).domain_folder())
}
