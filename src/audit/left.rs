//! What a power cut leaves of retracted records: it can lose the removal of a file, and the journal may no longer have the
//! retraction.

use std::collections::{BTreeMap, HashSet};

use super::{Collecting, Error, READ_BYTES_MAX};
use crate::home::Home;
use crate::model::RecordId;
use crate::model::path::{is_companion, of_state_file, page_beside};
use crate::page;
use crate::target::commits::{CommittedFile, ReadCommits};
use crate::target::files::may_be_torn;

impl Collecting {
    /// Finds what is left of retracted records, and gives it their names.
    pub(super) fn find_left(&mut self, home: &Home, history: Option<&dyn ReadCommits>) -> Result<(), Error> {
        let Some(history) = history else { return Ok(()) };
        self.find_left_pages(home, history)?;
        self.find_left_logs(home, history)
    }

    /// Takes a file of a history, unless it is another home's and no store of this one has something of it: that was not imported.
    pub(super) fn known_file(&mut self, home: &Home, file: &dyn CommittedFile) -> Result<(), Error> {
        let path = file.path();
        let is_known = file.is_own()
            || match of_state_file(path) {
                Some(id) => self.known.states.contains_key(&id) || self.known.marks.contains_key(&id),
                // What is hidden here, the trunk may not know of yet.
                None if is_companion(path) => false,
                None => self.paths.get(path).is_some_and(|it| !it.ids().any(|id| self.known.is_hidden(id))),
            };
        if is_known { self.tree_file(home, file) } else { Ok(()) }
    }

    /// Finds pages that a power cut has torn so that their id is gone, and that no store names: the history says whose they were.
    fn find_left_pages(&mut self, home: &Home, history: &dyn ReadCommits) -> Result<(), Error> {
        if !self.known.has_state_files() {
            return Ok(());
        }
        for (path, collected) in &mut self.paths {
            let is_nameless = collected.file.is_some_and(|file| file.id.is_none()) && collected.ids().next().is_none();
            if !is_nameless || collected.in_tree || !is_torn_page(home, path) {
                continue;
            }
            collected.named = id_in(history, path)?.filter(|id| self.known.is_retracted(*id));
        }
        Ok(())
    }

    /// Finds the logs that are all that is left of retracted experiments. Each is noted at the path of its page, which no store need have.
    fn find_left_logs(&mut self, home: &Home, history: &dyn ReadCommits) -> Result<(), Error> {
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
}

/// Whether the file at `path` can be what a power cut left of a page without its id: none of ours has a NUL byte.
fn is_torn_page(home: &Home, path: &str) -> bool {
    let bytes = home.dir().content(path, READ_BYTES_MAX).ok().flatten();
    bytes.is_some_and(|bytes| bytes.contains(&0) || may_be_torn(&bytes))
}

/// The record whose page the history has or had at `path`.
fn id_in(history: &dyn ReadCommits, path: &str) -> Result<Option<RecordId>, Error> {
    Ok(history.last_of(path)?.as_deref().and_then(page::id_of))
}
