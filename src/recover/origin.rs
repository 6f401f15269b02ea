//! Who a record is by that only a page tells of.
//!
//! A page can come from anywhere: with a commit of another host that was pulled, or by hand. What it says is data. That a person
//! wrote it, or promoted a rule, is believed if this home says so: its index, or a page that its own worker committed and no other
//! commit changed. Otherwise it is an import: kept, and told to no agent unasked.

use std::collections::BTreeSet;

use crate::model::{Origin, Request};
use crate::page::{self, Parsed};

/// Who `request`, which a page at `path` holds, is by. `committed` is what the history has at that path, and `is_changed_elsewhere`
/// says whether it is not of this home alone.
pub(super) fn origin_of<E>(
    request: &Request,
    committed: Option<&[u8]>,
    is_changed_elsewhere: impl FnOnce() -> Result<bool, E>,
) -> Result<Option<Origin>, E> {
    let said = request.provenance.origin;
    if said != Some(Origin::Person) {
        return Ok(said);
    }
    let committed = committed.and_then(|bytes| page::parse(bytes).ok());
    match committed.and_then(|page| page.request).map(|request| request.provenance.origin) {
        // The page was edited.
        Some(origin) if origin != said => Ok(origin),
        Some(_) if !is_changed_elsewhere()? => Ok(said),
        Some(_) | None => Ok(Some(Origin::Import)),
    }
}

/// Whether `parsed` says that it is a person's.
pub(super) fn says_person(parsed: &Parsed) -> bool {
    parsed.request.as_ref().is_some_and(|request| request.provenance.origin == Some(Origin::Person))
}

/// The paths that are not of a home alone, looked up once, when the first is asked for.
#[derive(Default)]
pub(super) struct Elsewhere(Option<BTreeSet<String>>);

impl Elsewhere {
    /// Whether `path` is one of them. `look_up` says which are.
    pub(super) fn has<E>(
        &mut self,
        path: &str,
        look_up: impl FnOnce() -> Result<BTreeSet<String>, E>,
    ) -> Result<bool, E> {
        let paths = match self.0.take() {
            Some(paths) => paths,
            None => look_up()?,
        };
        Ok(self.0.insert(paths).contains(path))
    }
}
