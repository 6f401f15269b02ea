//! What the remote's lane has, compared with what this home wants it to have.
//!
//! | the remote's lane | then |
//! | --- | --- |
//! | is what is to be pushed | it is acknowledged: an answer was lost |
//! | is not there | it is pushed again, unless nothing of what was pushed is there: then the remote was emptied, and a person has to say so |
//! | is an ancestor of what is to be pushed | it fell back, or this home's memory did; the push expects it |
//! | is what becomes of that once records are taken out which another home erased | the own lane becomes that, too |
//! | is something else, and all of it is of this home | `sync.git` was lost: the lane is taken over |
//! | is no line of commits | another program put it there: another lane is begun, and this one is left out by its name |
//! | is something else | it is a copy's lane, or this home is the copy: another lane is begun |

use std::collections::BTreeSet;

use git2::Oid;
use jiff::Timestamp;

use crate::journal::Records;
use crate::model::path::state_file;
use crate::model::{Op, RecordId};
use crate::page;
use crate::random;

use super::merge::FILE_BYTES_MAX;
use super::purge::{Looks, Rewriter, erased_in};
use super::push::Asked;
use super::remote::{TRUNKS, lane_of};
use super::store::{ACKED, LANE, LANES, TRUNK};
use super::tree::{self, Trees};
use super::{Class, Error, Session};

/// What to do about the remote's lane.
pub(super) enum Compared {
    /// Nothing: the lane is as it is to be.
    Same,
    /// Push, and expect this value.
    Expect(Option<Oid>),
    /// Decide again what is to be pushed: the lane was taken over.
    TakenOver,
}

impl Session<'_> {
    /// Asks the remote where the lane is, and notes it. Nothing is pushed.
    ///
    /// # Errors
    /// The class of what git says.
    pub fn recheck(&mut self) -> Result<(), Error> {
        let Some(name) = self.store.state().lane_name() else { return Ok(()) };
        let value = self.look(&name)?;
        if let (None, Some(tip)) = (value, self.store.target(LANE)?) {
            // If it was folded, the trunk has what it had.
            let _ = self.is_folded(tip, Asked::default())?;
        }
        let repository = self.store.repository()?;
        // A value that is not known here says nothing about what the remote has of ours.
        match value.filter(|value| repository.find_commit(*value).is_ok()) {
            Some(value) => self.store.set(ACKED, value)?,
            None => self.store.delete(ACKED)?,
        }
        self.store.change(|state| state.seen_at = Some(Timestamp::now()))
    }

    /// What the remote's lane has that this home did not record, or has otherwise, and whether it is there. Nothing is pushed.
    ///
    /// # Errors
    /// The class of what git says.
    pub fn differs(&mut self) -> Result<Vec<String>, Error> {
        self.recheck()?;
        let Some(name) = self.store.state().lane_name() else {
            return Ok(if self.has_own()? { vec!["nothing was pushed yet".to_owned()] } else { Vec::new() });
        };
        let Some(value) = self.look(&name)? else {
            let is_folded = self.store.target(LANE)?.map_or(Ok(false), |tip| self.is_in_trunk(tip))?;
            return Ok(if is_folded { Vec::new() } else { vec![format!("{name} is not there")] });
        };
        if let Some(why) = self.fetch_lane(&name, self.store.state().lane, value)? {
            return Ok(vec![format!("{name} is no lane of this home any more: {why}")]);
        }
        let repository = self.store.repository()?;
        let trees = Trees::of(&repository)?;
        let tree_at = |name: &str| {
            let commit = self.store.target(name)?.map(|tip| repository.find_commit(tip)).transpose()?;
            Ok::<_, Error>(commit.map(|commit| commit.tree_id()))
        };
        let (lane, trunk) = (tree_at(LANE)?, tree_at(TRUNK)?);
        let has = |tree, path: &str, id: Oid| {
            Ok::<_, tree::Error>(trees.find(tree, [path])?.get(path).is_some_and(|found| found.id == id))
        };
        let mut lines = Vec::new();
        trees.each(Some(repository.find_commit(value)?.tree_id()), "", &mut |path, file| {
            let bytes = self.history.read(path).ok().flatten();
            let ours = bytes.map(|bytes| Oid::hash_object(git2::ObjectType::Blob, &bytes));
            // A page that was retracted since stays in the lane.
            let hidden = trees.file(file.id, FILE_BYTES_MAX)?.and_then(|bytes| page::id_of(&bytes)).map(state_file);
            let is_hidden = || hidden.is_some_and(|state| self.history.read(&state).ok().flatten().is_some());
            match ours {
                Some(Ok(ours)) if ours == file.id => {}
                // What this home pushed was amended by another one since: that is on its lane, and here by the trunk.
                Some(Ok(ours)) if has(lane, path, file.id)? && has(trunk, path, ours)? => {}
                Some(_) => lines.push(format!("{path} is another on the remote")),
                None if is_hidden() => {}
                None => lines.push(format!("{path} is on the remote and not here")),
            }
            Ok(())
        })?;
        Ok(lines)
    }

    /// Whether this home has something of its own to push, committed or not.
    fn has_own(&self) -> Result<bool, Error> {
        let batch = self.candidates()?;
        let mut has_own = !batch.pages.is_empty() || !batch.secrets.is_empty();
        let mut journal = Records::from_start(self.home.journal())?;
        while let Some(logged) = journal.as_mut().filter(|_| !has_own).map(Records::next_op).transpose()?.flatten() {
            has_own = !matches!(&logged.op, Op::Record(intent) if intent.from.is_some());
        }
        Ok(has_own)
    }

    /// What the remote's lane has, and what to expect of it.
    pub(super) fn compared(&mut self, tip: Oid, asked: Asked) -> Result<Compared, Error> {
        let Some(name) = self.store.state().lane_name() else { return Ok(Compared::Expect(None)) };
        let value = self.look(&name)?;
        self.compared_with(&name, value, tip, asked)
    }

    /// As [`Session::compared`], from a list of all that the remote has, which is kept for what asks next.
    pub(super) fn compared_in_list(&mut self, tip: Oid, asked: Asked) -> Result<Compared, Error> {
        let Some(name) = self.store.state().lane_name() else { return Ok(Compared::Expect(None)) };
        // A lane can have a prefix that is not among the options any more.
        if lane_of(&name, &self.options.lanes).is_none() {
            return self.compared(tip, asked);
        }
        let refs = self.list()?;
        let value = refs.all.get(&name).copied();
        self.listed = Some(refs);
        self.compared_with(&name, value, tip, asked)
    }

    fn compared_with(&mut self, name: &str, value: Option<Oid>, tip: Oid, asked: Asked) -> Result<Compared, Error> {
        let Some(value) = value else {
            self.check_not_emptied(asked)?;
            return Ok(Compared::Expect(None));
        };
        if value == tip {
            return Ok(Compared::Same);
        }
        if self.is_ancestor(value, tip)? {
            return Ok(Compared::Expect(Some(value)));
        }
        if self.learn_erasures(asked, value)? || self.take_over_at(name, value)? {
            return Ok(Compared::TakenOver);
        }
        self.begin_another()?;
        Ok(Compared::Expect(None))
    }

    fn is_ancestor(&self, value: Oid, tip: Oid) -> Result<bool, Error> {
        let repository = self.store.repository()?;
        Ok(repository.find_commit(value).is_ok() && repository.graph_descendant_of(tip, value)?)
    }

    /// Whether the trunk has the commit `tip` of the lane: then the lane was folded.
    pub(super) fn is_in_trunk(&self, tip: Oid) -> Result<bool, Error> {
        let trunk = self.store.target(TRUNK)?;
        trunk.map_or(Ok(false), |trunk| Ok(self.store.repository()?.graph_descendant_of(trunk, tip)?))
    }

    /// Whether the lane, which was at `tip` and is gone, was folded into the trunk. If the trunk that this home knows does not say so,
    /// the remote's is fetched: another home may have folded it since.
    pub(super) fn is_folded(&mut self, tip: Oid, asked: Asked) -> Result<bool, Error> {
        if self.is_in_trunk(tip)? {
            return Ok(true);
        }
        if self.store.target(ACKED)?.is_none() {
            return Ok(false);
        }
        self.fetch_trunk(asked)?;
        self.is_in_trunk(tip)
    }

    /// Checks that a remote that had our lane and has it no more was not emptied on purpose.
    pub(super) fn check_not_emptied(&self, asked: Asked) -> Result<(), Error> {
        if self.store.state().pushed.is_none() || asked.refill {
            return Ok(());
        }
        let refs = self.list()?;
        let [branch, hidden] = TRUNKS;
        let known = [Some(hidden), self.options.trunk.as_deref()];
        if refs.lanes > 0 || known.into_iter().flatten().any(|name| refs.all.contains_key(name)) {
            return Ok(());
        }
        // A home that only pushes has not seen the trunk that its lane was folded into; a branch can be a project's.
        match refs.all.get(branch) {
            Some(_) if self.store.target(TRUNK)?.is_some() => return Ok(()),
            Some(tip) if self.is_trunk(branch, *tip)? => return Ok(()),
            _ => {}
        }
        let what = "nothing of what was pushed is on the remote any more: it was emptied or recreated";
        Err(Error::new(Class::Config, format!("{what}; `indelible sync --refill` pushes all of it again")))
    }

    /// Takes the remote's lane over, if it has one and all of it is ours: what was known of it is lost.
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        let Some(name) = self.store.state().lane_name() else { return Ok(()) };
        let Some(value) = self.look(&name)? else { return Ok(()) };
        if !self.take_over_at(&name, value)? {
            self.begin_another()?;
        }
        Ok(())
    }

    /// Fetches the lane `name`, which is at `value`, and goes on from there if all of it is ours. Returns whether it is.
    fn take_over_at(&mut self, name: &str, value: Oid) -> Result<bool, Error> {
        let lane = self.store.state().lane;
        if let Some(why) = self.fetch_lane(name, lane, value)? {
            tracing::warn!(lane = name, why, "another program has put something else where this home's lane is");
            return Ok(false);
        }
        let here = format!("{LANES}{lane}");
        if self.store.target(&here)? != Some(value) || !self.is_all_ours(value)? {
            return Ok(false);
        }
        self.store.set(ACKED, value)?;
        let erased = self.store.state().erased.clone();
        let lane = self.without(value, &erased)?;
        self.store.set(LANE, lane)?;
        Ok(true)
    }

    /// What the commit `tip` of the own lane is without the records `ids`.
    fn without(&self, tip: Oid, ids: &BTreeSet<RecordId>) -> Result<Oid, Error> {
        self.store.write_objects(|trees| Ok(Rewriter::of(trees.objects(), ids, Looks::Everywhere).commit(tip, None)?))
    }

    /// Fetches what others erased, and takes that out of the own lane. Returns whether it is then what the remote's lane, which is at
    /// `value`, goes on as.
    fn learn_erasures(&mut self, asked: Asked, value: Oid) -> Result<bool, Error> {
        match self.fetch_all(asked) {
            // A trunk that cannot be used is said when it is merged.
            Err(error) if error.class() == Class::Config => return Ok(false),
            fetched => drop(fetched?),
        }
        let Some(tip) = self.store.target(LANE)? else { return Ok(false) };
        let repository = self.store.repository()?;
        let trees = Trees::of(&repository)?;
        let mut erased = self.store.state().erased.clone();
        let lanes = repository.references_glob(&format!("{LANES}*"))?.flatten().filter_map(|it| it.target());
        for tip in lanes.chain(self.store.target(TRUNK)?) {
            erased.extend(erased_in(&trees, None, repository.find_commit(tip)?.tree_id())?);
        }
        let now = self.without(tip, &erased)?;
        if now == tip || value != now && !self.is_ancestor(value, now)? {
            return Ok(false);
        }
        tracing::info!("another home erased records: they are taken out of the lane");
        self.store.set(LANE, now)?;
        self.store.set(ACKED, value)?;
        Ok(true)
    }

    /// Notes that the own lane is `now` on the remote, and not `before`: a record was taken out of it.
    pub(super) fn lane_was_rewritten(&mut self, before: Oid, now: Oid) -> Result<(), Error> {
        self.store.set(ACKED, now)?;
        if self.store.target(LANE)? == Some(before) {
            self.store.set(LANE, now)?;
        }
        let (before, now) = (before.to_string(), now.to_string());
        self.store.change(|state| {
            if let Some(pushed) = state.pushed.as_mut().filter(|pushed| pushed.commit == before) {
                pushed.commit = now;
            }
        })
    }

    /// Begins another lane if the prefix of the own one is not among the options any more: other homes may not look there. What the old one
    /// has stays on the remote, and is merged by the homes that do.
    pub(super) fn follow_prefixes(&mut self) -> Result<(), Error> {
        let prefix = self.store.state().prefix.clone();
        match prefix.filter(|prefix| !self.options.lanes.contains(prefix)) {
            None => Ok(()),
            Some(_) => {
                self.begin_another()?;
                self.store.change(|state| state.prefix = None)
            }
        }
    }

    /// Begins another lane with the same commits: the remote's is another home's, one that was copied from this one or to it.
    fn begin_another(&mut self) -> Result<(), Error> {
        self.store.delete(ACKED)?;
        let lane = random::id();
        tracing::warn!(%lane, "the lane on the remote is not this home's, or where none is to be: another one is begun");
        self.store.change(|state| {
            state.lane = lane;
            state.pushed = None;
        })
    }
}
