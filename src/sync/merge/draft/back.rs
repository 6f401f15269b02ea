//! Records that were restored: their pages come back to the trunk, with every amendment that was merged while they were hidden.
//!
//! A page of a hidden record does not get into the trunk's tree. It is not lost: the tip of its lane is a parent of the commit that
//! merged it. So the amendments of a record and its being hidden are two things, and each of them is the same on every home, in
//! whatever order they came.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::Error;
use super::super::hidden;
use super::super::join;
use super::super::shape::{self, Shape};
use super::Draft;
use crate::model::RecordId;
use crate::page;

impl Draft<'_> {
    /// Brings back the pages of `ids`, which the trunk lacks: as the sides have them, as the trunk had them last, and as lanes had
    /// them that were merged since.
    pub(super) fn bring_back(&mut self, ids: &BTreeSet<RecordId>) -> Result<(), Error> {
        let mut brought = self.staged_of(ids)?;
        let left: BTreeSet<RecordId> = ids.iter().copied().filter(|id| !brought.contains_key(id)).collect();
        for tip in self.tips.clone() {
            for (id, path, page) in hidden::pages_of(self.trees, Some(tip), &left)? {
                let path = brought.entry(id).or_insert(path).clone();
                match self.look(&path)? {
                    None => drop(self.staged.insert(path, Some(page))),
                    Some(ours) => {
                        let joined = join::pages(&path, &self.bytes_of(ours)?, &self.bytes(page)?, None);
                        self.stage(&path, joined, page)?;
                    }
                }
            }
        }
        // No side has it, where a home restored the record of another one.
        let left: BTreeSet<RecordId> = left.into_iter().filter(|id| !brought.contains_key(id)).collect();
        brought.extend(hidden::removed_last(self.trees, self.trunk, left)?);
        for (id, path) in brought {
            self.join_former(&path, id)?;
        }
        Ok(())
    }

    /// Where those of `ids` lie that a side brings.
    fn staged_of(&self, ids: &BTreeSet<RecordId>) -> Result<BTreeMap<RecordId, String>, Error> {
        let mut staged = BTreeMap::new();
        for (path, id) in &self.staged {
            if let (Shape::Page(tail), Some(page)) = (shape::of(path), id)
                && ids.iter().any(|it| tail.is_of(*it))
                && let Some(id) = page::id_of(&self.bytes(*page)?).filter(|id| ids.contains(id))
            {
                staged.insert(id, path.clone());
            }
        }
        Ok(staged)
    }

    /// Joins the page at `path` with what the trunk had there last, and with what was merged since.
    fn join_former(&mut self, path: &str, id: RecordId) -> Result<(), Error> {
        let mut known: HashMap<_, ()> = HashMap::new();
        for former in hidden::merged_since(self.trees, self.trunk, path)? {
            let bytes = self.bytes(former)?;
            if known.insert(former, ()).is_some() || page::id_of(&bytes) != Some(id) {
                continue;
            }
            match self.at(path) {
                None => drop(self.staged.insert(path.to_owned(), Some(former))),
                Some(ours) => {
                    let joined = join::pages(path, &self.bytes_of(ours)?, &bytes, None);
                    self.stage(path, joined, former)?;
                }
            }
        }
        Ok(())
    }
}
