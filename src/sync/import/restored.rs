//! Restorations: what the trunk says of a record that comes back.
//!
//! While a record is hidden here, a page of it on the trunk is passed over; and a home that retracts and restores between two syncs
//! passes over what was on the trunk meanwhile. So each record whose restoration is new on the trunk is looked up there, and its page
//! taken as an amendment that is made from the restoration: it is on the trunk now, so nothing hides it.

use std::collections::BTreeSet;

use git2::Oid;

use super::{Error, FILE_BYTES_MAX, Importing, checked};
use crate::model::Change;
use crate::page::{self, Presence};
use crate::sync::merge::pages_of;

impl Importing<'_> {
    /// Takes the pages that the trunk, whose tree is `tree`, has of restored records, as far as they are later than what is here.
    pub(super) fn restored(&mut self, tree: Oid) -> Result<(), Error> {
        let ids: BTreeSet<_> = self.restored.keys().copied().collect();
        for (id, path, file) in pages_of(self.trees, Some(tree), &ids)? {
            let known = self.known(id)?;
            let Some(bytes) = self.trees.file(file, FILE_BYTES_MAX)? else { continue };
            let is_later =
                page::later_revision_of(id, &bytes).is_some_and(|it| known.content.is_none_or(|known| known < it));
            let is_here = known.content.is_some() || known.mark.is_some() || self.is_pending(id)?;
            if is_later
                && is_here
                && let Ok((parsed, _)) = checked(&path, &bytes)
            {
                self.amend(&path, parsed, &bytes, file)?;
            }
        }
        Ok(())
    }

    /// Says of an amendment of a restored record that it is made from the restoration: by its own revision it could be one that a
    /// retraction raced, and no home takes those (`page::resolve`).
    pub(super) fn base_on_restoration(&self, change: &mut Change) -> Result<(), Error> {
        let mark = self.index.mark(change.of)?.filter(|mark| mark.state == Presence::Restored);
        let restored = mark.map(|mark| mark.revision).max(self.restored.get(&change.of).copied());
        change.base = change.base.max(restored.unwrap_or(change.base));
        Ok(())
    }
}
