//! What a merge makes of the trunk's tree: collected from all sides first, then settled in one order.

mod back;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::Oid;

use super::hidden::{self, Hidden};
use super::join::{self, Joined};
use super::shape::{self, Shape, Tail};
use super::twins::Twins;
use super::{Error, FILE_BYTES_MAX};
use crate::model::path::{beside, state_file};
use crate::model::{RecordId, RecordPath};
use crate::page::{self, Presence, StateFile};
use crate::sync::tree::{Changes, Difference, Found, Trees};

/// A file that a side has and its base lacks, or has with other bytes.
pub(super) struct Arrival {
    path: String,
    old: Option<Oid>,
    new: Oid,
}

/// The trunk's tree as it becomes.
pub(super) struct Draft<'t> {
    trees: &'t Trees<'t>,
    /// The trunk's commit and tree.
    trunk: Option<Oid>,
    tree: Option<Oid>,
    /// The tips' trees, in the order of the sides.
    tips: Vec<Oid>,
    pages: Vec<(Arrival, Tail)>,
    states: BTreeMap<RecordId, Vec<Arrival>>,
    /// What a trunk of before removed, with what it removed.
    removed: Vec<(String, Oid)>,
    staged: Changes,
    /// What the trunk has at the paths of arrivals.
    there: HashMap<String, Found>,
    twins: Twins,
    /// How many files were left out.
    pub(super) left_out: u64,
    /// How many files stayed as a person changed them on the trunk.
    pub(super) kept: u64,
}

impl<'t> Draft<'t> {
    pub(super) fn of(trees: &'t Trees<'t>, trunk: Option<Oid>, tree: Option<Oid>) -> Draft<'t> {
        Draft {
            trees,
            trunk,
            tree,
            tips: Vec::new(),
            pages: Vec::new(),
            states: BTreeMap::new(),
            removed: Vec::new(),
            staged: Changes::new(),
            there: HashMap::new(),
            twins: Twins::default(),
            left_out: 0,
            kept: 0,
        }
    }

    /// What is to be changed in the trunk's tree.
    pub(super) fn staged(&self) -> &Changes {
        &self.staged
    }

    /// How many pages of records are new or changed.
    pub(super) fn records(&self) -> usize {
        let is_page = |path: &str| matches!(shape::of(path), Shape::Page(_));
        self.staged.iter().filter(|(path, id)| id.is_some() && is_page(path)).count()
    }

    /// Adds what a side has that its base lacks. `is_trunk`: it was a trunk, whose removals count.
    pub(super) fn add(&mut self, is_trunk: bool, base: Option<Oid>, tip: Oid) -> Result<(), Error> {
        self.tips.push(tip);
        for Difference { path, old, new } in self.trees.differences(base, Some(tip))? {
            let shape = shape::of(&path);
            let Some(new) = new else {
                if let Some(old) = old.filter(|_| is_trunk && shape != Shape::Other) {
                    self.removed.push((path, old.id));
                }
                continue;
            };
            if shape == Shape::Derived {
                continue;
            }
            if !new.is_plain || shape == Shape::Other || self.trees.size(new.id)? > FILE_BYTES_MAX {
                self.left_out += 1;
                continue;
            }
            let old = old.filter(|old| old.is_plain).map(|old| old.id);
            let arrival = Arrival { path, old, new: new.id };
            match shape {
                Shape::Page(tail) => self.pages.push((arrival, tail)),
                Shape::State(id) => self.states.entry(id).or_default().push(arrival),
                Shape::Derived | Shape::Other => {}
            }
        }
        Ok(())
    }

    /// Decides what becomes of everything that was added.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let states = self.states.keys().map(|id| state_file(*id)).collect::<Vec<_>>();
        let pages = self.pages.iter().map(|(arrival, _)| arrival.path.as_str());
        let removed = self.removed.iter().map(|(path, _)| path.as_str());
        let paths = pages.chain(states.iter().map(String::as_str)).chain(removed);
        self.there = self.trees.find(self.tree, paths)?;
        self.settle_removals();
        let changed = self.settle_states()?;
        let mut hidden = Hidden::of(self.trees, self.tree, changed.keys().copied())?;
        let is_elsewhere = |arrival: &Arrival| self.there.get(&arrival.path).is_none_or(|it| it.id != arrival.new);
        let tails = self.pages.iter().filter(|(arrival, _)| is_elsewhere(arrival)).map(|(_, tail)| *tail);
        self.twins = Twins::of(self.trees, self.tree, tails)?;
        for (arrival, tail) in std::mem::take(&mut self.pages) {
            self.settle_page(&arrival, tail, &mut hidden)?;
        }
        self.settle_presence(&changed)
    }

    /// What the trunk has at `path` now.
    fn at(&mut self, path: &str) -> Option<Found> {
        match self.staged.get(path) {
            Some(staged) => staged.map(|id| Found { id, is_plain: true }),
            None => self.there.get(path).copied(),
        }
    }

    /// As [`Draft::at`], for a path that no arrival has.
    fn look(&mut self, path: &str) -> Result<Option<Found>, Error> {
        if !self.there.contains_key(path) {
            self.there.extend(self.trees.find(self.tree, [path])?);
        }
        Ok(self.at(path))
    }

    fn bytes(&self, id: Oid) -> Result<Vec<u8>, Error> {
        Ok(self.trees.file(id, FILE_BYTES_MAX)?.unwrap_or_default())
    }

    /// The bytes of what the trunk has; none of what is no plain file.
    fn bytes_of(&self, found: Found) -> Result<Vec<u8>, Error> {
        if found.is_plain { self.bytes(found.id) } else { Ok(Vec::new()) }
    }

    fn stage(&mut self, path: &str, joined: Joined, theirs: Oid) -> Result<(), Error> {
        let id = match joined {
            Joined::Ours => return Ok(()),
            Joined::Theirs => theirs,
            Joined::Both(text) => self.trees.write(text.as_bytes())?,
        };
        self.staged.insert(path.to_owned(), Some(id));
        Ok(())
    }

    fn settle_removals(&mut self) {
        for (path, old) in std::mem::take(&mut self.removed) {
            if self.at(&path).is_some_and(|found| found.id == old) {
                self.staged.insert(path, None);
            }
        }
    }

    /// Settles the state files. Returns those that changed, with what they say.
    fn settle_states(&mut self) -> Result<BTreeMap<RecordId, Presence>, Error> {
        let mut changed = BTreeMap::new();
        for (id, arrivals) in std::mem::take(&mut self.states) {
            for arrival in arrivals {
                let path = state_file(id);
                let ours = self.at(&path).map(|found| self.bytes_of(found)).transpose()?;
                let theirs = self.bytes(arrival.new)?;
                let Some(state) = StateFile::parse(id, &theirs) else {
                    self.left_out += 1;
                    continue;
                };
                let joined = join::states(id, ours.as_deref(), &theirs);
                if joined == Joined::Theirs {
                    changed.insert(id, state.state);
                }
                self.stage(&path, joined, arrival.new)?;
            }
        }
        Ok(changed)
    }

    /// The state file of `id` in the trunk as it becomes.
    fn is_hidden(&mut self, id: RecordId) -> Result<bool, Error> {
        let Some(found) = self.look(&state_file(id))? else { return Ok(false) };
        // A torn state file counts by its name.
        Ok(StateFile::parse(id, &self.bytes_of(found)?).is_none_or(|state| state.state.is_hidden()))
    }

    fn settle_page(&mut self, arrival: &Arrival, tail: Tail, hidden: &mut Hidden) -> Result<(), Error> {
        for id in hidden.named(tail) {
            if self.is_hidden(id)? && page::id_of(&self.bytes(arrival.new)?) == Some(id) {
                return Ok(());
            }
        }
        if let Some((path, ours)) = self.twin(arrival, tail)? {
            let (ours, theirs) = (self.bytes_of(ours)?, self.bytes(arrival.new)?);
            return self.settle_same(&path, arrival, &ours, &theirs);
        }
        match self.at(&arrival.path) {
            Some(ours) if ours.id == arrival.new => Ok(()),
            Some(ours) => self.settle_against(arrival, ours),
            None if arrival.old.is_some() => self.settle_changed(arrival),
            None => {
                self.twins.add(tail, &arrival.path);
                self.stage(&arrival.path, Joined::Theirs, arrival.new)
            }
        }
    }

    /// Where the trunk has the record of an arrival, if it has it at another path than the arrival's alone.
    fn twin(&mut self, arrival: &Arrival, tail: Tail) -> Result<Option<(String, Found)>, Error> {
        let beside = self.twins.beside(tail, &arrival.path);
        if beside.is_empty() || self.at(&arrival.path).is_some_and(|ours| ours.id == arrival.new) {
            return Ok(None);
        }
        let Some(id) = page::id_of(&self.bytes(arrival.new)?) else { return Ok(None) };
        let own = self.at(&arrival.path).map(|ours| self.bytes_of(ours)).transpose()?;
        if own.is_some_and(|bytes| page::id_of(&bytes) == Some(id)) {
            return Ok(None);
        }
        for path in beside {
            let Some(ours) = self.look(&path)?.filter(|ours| ours.is_plain) else { continue };
            // A page that lies where no record of this kind could is not counted.
            let parsed = join::page_of(&self.bytes(ours.id)?).filter(|parsed| parsed.id == id);
            let request = parsed.and_then(|parsed| parsed.request);
            if request.is_some_and(|request| page::is_path_of(id, &request.record, &path)) {
                return Ok(Some((path, ours)));
            }
        }
        Ok(None)
    }

    /// Settles a page whose path the trunk has.
    fn settle_against(&mut self, arrival: &Arrival, ours: Found) -> Result<(), Error> {
        let (our_bytes, bytes) = (self.bytes_of(ours)?, self.bytes(arrival.new)?);
        let Some(theirs) = join::page_of(&bytes) else {
            self.left_out += 1;
            return Ok(());
        };
        if page::id_of(&our_bytes) == Some(theirs.id) {
            return self.settle_same(&arrival.path, arrival, &our_bytes, &bytes);
        }
        let full = RecordPath(&arrival.path).with_full_id(theirs.id);
        if full == arrival.path || shape::of(&full) == Shape::Other {
            self.left_out += 1;
            return Ok(());
        }
        match self.look(&full)? {
            None if arrival.old.is_none() => {
                self.twins.add(Tail::Full(theirs.id), &full);
                self.stage(&full, Joined::Theirs, arrival.new)
            }
            None => Ok(()),
            Some(ours) => {
                let our_bytes = self.bytes_of(ours)?;
                self.settle_same(&full, arrival, &our_bytes, &bytes)
            }
        }
    }

    /// Settles two files of one record.
    fn settle_same(&mut self, path: &str, arrival: &Arrival, ours: &[u8], theirs: &[u8]) -> Result<(), Error> {
        let base = arrival.old.map(|old| self.bytes(old)).transpose()?;
        let joined = join::pages(path, ours, theirs, base.as_deref());
        if joined == Joined::Ours
            && base.as_deref().is_some_and(|base| base != ours && page::id_of(base) == page::id_of(ours))
        {
            self.kept += 1;
        }
        self.stage(path, joined, arrival.new)
    }

    /// Settles a page that its lane changed, and that the trunk lacks: it has it under the full id, or a person removed it.
    fn settle_changed(&mut self, arrival: &Arrival) -> Result<(), Error> {
        let bytes = self.bytes(arrival.new)?;
        let Some(id) = page::id_of(&bytes) else { return Ok(()) };
        let full = RecordPath(&arrival.path).with_full_id(id);
        let Some(ours) = self.look(&full)? else { return Ok(()) };
        let ours = self.bytes_of(ours)?;
        self.settle_same(&full, arrival, &ours, &bytes)
    }

    /// Takes the files of records that are hidden now out of the tree, and brings those back that were restored.
    fn settle_presence(&mut self, changed: &BTreeMap<RecordId, Presence>) -> Result<(), Error> {
        let mut gone = BTreeSet::new();
        let mut back = BTreeSet::new();
        for id in changed.keys() {
            if self.is_hidden(*id)? {
                gone.insert(*id)
            } else {
                back.insert(*id)
            };
        }
        if changed.is_empty() {
            return Ok(());
        }
        for (id, path, _) in hidden::pages_of(self.trees, self.tree, &gone)? {
            tracing::debug!(%id, "a record that is hidden leaves the trunk");
            for path in beside(&path).into_iter().chain([path]) {
                if self.look(&path)?.is_some() {
                    self.staged.insert(path, None);
                }
            }
        }
        for (id, _, _) in hidden::pages_of(self.trees, self.tree, &back)? {
            back.remove(&id);
        }
        self.bring_back(&back)
    }
}
