//! What a host does in the model.

use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Cut, GROUP, World, content_of, path_of, request};
use crate::model::path::{of_state_file, state_file};
use crate::model::{Amended, Level, RecordId, Revision};
use crate::page::{self, Presence, StateFile};
use crate::sync::fold::{self, Lanes};
use crate::sync::merge::{Joined, Options, Side, Trunk, join_pages, join_states, merge_into};
use crate::sync::purge::{Looks, Rewriter, Seen, purge};

impl World {
    pub(super) fn record(&mut self, host: usize) {
        let id = RecordId(self.fresh());
        let text = page::files(id, Timestamp::UNIX_EPOCH, &request("t", "d"), Level::Day).remove(0).text;
        self.hosts[host].own.insert(path_of(id), text.clone());
        self.hosts[host].files.insert(path_of(id), text);
        self.promised.insert(id);
    }

    pub(super) fn change(&mut self, host: usize) {
        if self.dice.chance(20) {
            return self.restore(host);
        }
        let pages: Vec<String> = self.hosts[host].files.keys().filter(|it| it.contains("failures")).cloned().collect();
        let Some(path) = pages.get(self.dice.roll(pages.len().max(1) as u64) as usize) else { return };
        let text = self.hosts[host].files[path].clone();
        let Some((id, content)) = content_of(&text) else { return };
        let latest = page::later_revision_of(id, text.as_bytes()).unwrap_or(Revision::first(id));
        let revision = Revision { n: latest.n + 1, op: self.fresh() };
        if self.dice.chance(25) {
            return self.hide(host, id);
        }
        let (mut title, mut domain) = (content.title, content.domain);
        let field = if self.dice.chance(50) { &mut title } else { &mut domain };
        *field = (revision, format!("of {}", revision.op.simple()));
        let all = [("title", title.0), ("domain", domain.0)].into_iter().filter(|(_, at)| *at > Revision::first(id));
        let fields = all.map(|(name, at)| (name.to_owned(), at)).collect();
        let text =
            page::amended_page(id, Timestamp::UNIX_EPOCH, &request(&title.1, &domain.1), &Amended { revision, fields });
        self.hosts[host].own.insert(path.clone(), text.clone());
        self.hosts[host].files.insert(path.clone(), text);
    }

    /// Retracts a record, or restores one.
    pub(super) fn hide(&mut self, host: usize, id: RecordId) {
        let at = state_file(id);
        let known = self.hosts[host].files.get(&at).and_then(|text| StateFile::parse(id, text.as_bytes()));
        let revision = Revision { n: known.map_or(1, |it| it.revision.n) + 1, op: self.fresh() };
        let state = if self.dice.chance(20) { Presence::Erased } else { Presence::Retracted };
        let state = StateFile { of: id, state, revision, at: Timestamp::UNIX_EPOCH, because: None };
        let host = &mut self.hosts[host];
        host.own.insert(at.clone(), state.text());
        host.files.insert(at, state.text());
        host.put_away(id);
    }

    /// Restores a record that was retracted, here or elsewhere.
    fn restore(&mut self, host: usize) {
        let states = self.hosts[host].files.iter();
        let states = states.filter_map(|(path, text)| StateFile::parse(of_state_file(path)?, text.as_bytes()));
        let states: Vec<_> = states.filter(|state| state.state == Presence::Retracted).collect();
        let Some(state) = states.get(self.dice.roll(states.len().max(1) as u64) as usize) else { return };
        let content = self.hosts[host].away.get(&path_of(state.of));
        let content = content.and_then(|(text, _)| page::later_revision_of(state.of, text.as_bytes()));
        let n = state.revision.n.max(content.map_or(1, |it| it.n)) + 1;
        let revision = Revision { n, op: self.fresh() };
        let state = StateFile { state: Presence::Restored, revision, because: None, ..state.clone() };
        let host = &mut self.hosts[host];
        host.own.insert(state_file(state.of), state.text());
        host.files.insert(state_file(state.of), state.text());
        host.take_back(state.of, true);
    }

    pub(super) fn fetch(&mut self, host: usize) -> Result<(Option<Oid>, Lanes), Cut> {
        self.moment(6)?;
        let (trunk, lanes) = (self.trunk, self.lanes.clone());
        self.moment(5)?;
        let before = self.hosts[host].trunk;
        if let Some(before) = before
            && !self.is_in(before, trunk)
            && !self.plan.forgets_its_trunk
        {
            self.hosts[host].keep.push(before);
        }
        if trunk.is_some() {
            self.hosts[host].trunk = trunk;
            self.import(host)?;
        }
        Ok((trunk, lanes))
    }

    /// Takes what the trunk has and the host lacks, by revisions, as the worker applies it.
    pub(super) fn import(&mut self, host: usize) -> Result<(), Cut> {
        let (from, to) = (self.hosts[host].imported, self.hosts[host].trunk);
        let differences = self.trees().differences(self.tree(from), self.tree(to)).expect("they can be compared");
        let theirs = self.files(to);
        self.moment(5)?;
        let it = &mut self.hosts[host];
        for path in differences.iter().filter(|it| it.new.is_some()).map(|it| &it.path) {
            let text = &theirs[path];
            let is_state = path.contains("retracted");
            let joined = match it.files.get(path).cloned() {
                None => text.clone(),
                Some(ours) => join(path, &ours, text),
            };
            let id = of_state_file(path).or_else(|| page::id_of(text.as_bytes()));
            let Some(id) = id else { continue };
            if !is_state && it.is_hidden(id) {
                continue;
            }
            it.files.insert(path.clone(), joined.clone());
            if it.own.contains_key(path) || is_state {
                it.own.insert(path.clone(), joined);
            }
            match (is_state, it.is_hidden(id)) {
                (true, true) => it.put_away(id),
                (true, false) => {
                    it.take_back(id, false);
                    if !self.plan.forgets_what_was_hidden {
                        it.take_page(id, theirs.get(&path_of(id)));
                    }
                }
                (false, _) => {}
            }
        }
        it.imported = to;
        Ok(())
    }

    pub(super) fn push(&mut self, host: usize) -> Result<bool, Cut> {
        if self.hosts[host].is_fresh {
            self.take_on(host)?;
        }
        let it = self.hosts[host].clone();
        let (lane_has, trunk_has) = (self.files(it.tip), self.files(it.trunk));
        let is_new =
            |path: &String, text: &String| lane_has.get(path) != Some(text) && trunk_has.get(path) != Some(text);
        let new = it.own.iter().filter(|(path, text)| is_new(path, text));
        let new: BTreeMap<String, Option<String>> = new
            .map(|(path, text)| (path.clone(), Some(text.clone())))
            .filter(|(path, _)| !self.was_in(it.trunk, path, &it.own[path]))
            .collect();
        if !new.is_empty() {
            let tip = self.commit(it.tip, &new, Some(it.lane));
            self.hosts[host].tip = Some(tip);
        }
        let own = erased_of(&self.hosts[host].own);
        self.take_out(host, &own);
        let Some(tip) = self.hosts[host].tip else { return Ok(true) };
        if self.hosts[host].acked == Some(tip)
            && (self.plan.believes_its_ack || self.is_in(tip, self.hosts[host].trunk))
        {
            return Ok(true);
        }
        self.moment(5)?;
        let mut expected = self.hosts[host].acked;
        for _ in 0..4 {
            let lane = self.hosts[host].lane;
            let expects = if self.plan.pushes_by_force { None } else { Some(expected) };
            let Some(tip) = self.hosts[host].tip else { return Ok(true) };
            if self.set(Some(lane), expects, Some(tip))? {
                self.hosts[host].acked = Some(tip);
                return Ok(true);
            }
            let (trunk, lanes) = self.fetch(host)?;
            let tip = self.learn(host, trunk, &lanes);
            match lanes.get(&lane).copied() {
                Some(now) if now == tip => {
                    self.hosts[host].acked = Some(tip);
                    return Ok(true);
                }
                None => expected = None,
                Some(now) if self.is_in(now, Some(tip)) => expected = Some(now),
                // It is another host's: this one is a copy.
                Some(_) => {
                    self.hosts[host].lane = self.fresh();
                    expected = None;
                }
            }
        }
        Ok(false)
    }

    /// Whether a commit of the trunk had these bytes at `path`.
    pub(super) fn was_in(&self, trunk: Option<Oid>, path: &str, text: &str) -> bool {
        let mut walk = self.repository.revwalk().expect("a walk");
        if let Some(trunk) = trunk {
            walk.push(trunk).expect("the trunk");
        }
        let wanted = Oid::hash_object(git2::ObjectType::Blob, text.as_bytes()).expect("a hash");
        walk.any(|id| {
            let found = self.trees().find(self.tree(id.ok()), [path]).expect("it can be read");
            found.get(path).is_some_and(|it| it.id == wanted)
        })
    }

    /// After its cache was deleted: the trunk and its lane are asked for before anything is pushed.
    pub(super) fn take_on(&mut self, host: usize) -> Result<(), Cut> {
        let (_, lanes) = self.fetch(host)?;
        let it = &self.hosts[host];
        if let Some(tip) = lanes.get(&it.lane).copied() {
            let theirs = self.files(Some(tip));
            let is_ours = theirs
                .keys()
                .all(|path| it.own.contains_key(path) || it.files.contains_key(path) || self.is_hidden_at(host, path));
            match is_ours {
                true => (self.hosts[host].tip, self.hosts[host].acked) = (Some(tip), Some(tip)),
                false => self.hosts[host].lane = self.fresh(),
            }
        }
        self.hosts[host].is_fresh = false;
        Ok(())
    }

    pub(super) fn is_hidden_at(&self, host: usize, path: &str) -> bool {
        let states = self.hosts[host].files.keys().filter_map(|path| of_state_file(path));
        states.into_iter().any(|id| path_of(id) == path)
    }

    pub(super) fn combine(&mut self, host: usize) -> Result<(), Cut> {
        let (trunk, lanes) = self.fetch(host)?;
        let nothing = BTreeSet::new();
        let merged = match self.plan.merges_from_nothing {
            true => Lanes::new(),
            false => fold::merged(&self.repository, trunk, (None, &Lanes::new())).expect("it can be walked"),
        };
        let purged = fold::purged(&self.repository, trunk, (None, &nothing)).expect("it can be walked");
        let kept = self.hosts[host].keep.clone();
        let seen =
            Seen { trunk, lanes: &lanes, kept: &kept, merged: &merged, clean: None, purged: &purged, erased: &nothing };
        let mut purge = purge(&self.trees(), &seen).expect("it can be rewritten");
        if self.plan.merges_lanes_raw {
            purge.lanes = lanes.clone();
        }
        let after = match self.plan.merges_from_nothing {
            true => Lanes::new(),
            false => fold::merged(&self.repository, purge.trunk, (None, &Lanes::new())).expect("it can be walked"),
        };
        let mut sides = fold::sides(&self.repository, purge.trunk, &purge.lanes, &after).expect("they can be compared");
        if self.plan.merges_from_nothing {
            sides.iter_mut().for_each(|side| side.base = None);
        }
        for tip in purge.kept.iter().filter(|id| !self.is_in(**id, purge.trunk)) {
            let base = purge
                .trunk
                .and_then(|trunk| fold::common(&self.repository, trunk, *tip).expect("they can be compared"));
            sides.push(Side { lane: None, base, tip: *tip });
        }
        let options = Options { group: GROUP, skips_checks: false };
        let into = Trunk { at: purge.trunk, was: trunk, purged: purge.new.clone() };
        let trees = self.trees();
        let made = merge_into(&trees, &into, &sides, &options).expect("it merges");
        drop(trees);
        self.moment(5)?;
        let rewritten: Vec<(Uuid, Oid, Oid)> =
            lanes.iter().map(|(lane, tip)| (*lane, *tip, purge.lanes[lane])).filter(|it| it.1 != it.2).collect();
        match made {
            Some(made) => drop(self.set_all((trunk, Some(made.commit)), &rewritten)?),
            None if !rewritten.is_empty() => drop(self.set_all((trunk, trunk), &rewritten)?),
            None => {
                self.hosts[host].keep.clear();
                self.fold(&lanes, &merged)?;
            }
        }
        self.moment(5)
    }

    /// Takes what others erased out of the host's lane. Returns what the lane is to be then.
    fn learn(&mut self, host: usize, trunk: Option<Oid>, lanes: &Lanes) -> Oid {
        let mut erased = erased_of(&self.hosts[host].own);
        for tip in lanes.values().copied().chain(trunk) {
            erased.extend(erased_of(&self.files(Some(tip))));
        }
        self.take_out(host, &erased);
        self.hosts[host].tip.expect("it has a lane")
    }

    fn take_out(&mut self, host: usize, erased: &BTreeSet<RecordId>) {
        let tip = self.hosts[host].tip.map(|tip| {
            let trees = self.trees();
            let now = Rewriter::of(trees.objects(), erased, Looks::ByName).commit(tip, None);
            now.expect("it can be rewritten")
        });
        self.hosts[host].tip = tip;
    }

    /// Deletes the lanes that the trunk has.
    pub(super) fn fold(&mut self, lanes: &Lanes, merged: &Lanes) -> Result<(), Cut> {
        for (lane, tip) in lanes {
            if merged.get(lane) == Some(tip) && (self.closed.contains(lane) || self.dice.chance(30)) {
                let expected = if self.plan.folds_without_lease { None } else { Some(Some(*tip)) };
                self.set(Some(*lane), expected, None)?;
            }
        }
        Ok(())
    }

    /// A container is drained and dies: all that it recorded is on the remote then.
    pub(super) fn drain(&mut self, host: usize) -> Result<(), Cut> {
        if self.push(host)? {
            self.hosts[host].is_alive = false;
            self.closed.insert(self.hosts[host].lane);
        }
        Ok(())
    }
}

impl super::Host {
    fn is_hidden(&self, id: RecordId) -> bool {
        let state = self.files.get(&state_file(id)).and_then(|text| StateFile::parse(id, text.as_bytes()));
        state.is_some_and(|state| state.state.is_hidden())
    }

    fn put_away(&mut self, id: RecordId) {
        let (path, is_own) = (path_of(id), self.own.remove(&path_of(id)).is_some());
        if let Some(text) = self.files.remove(&path) {
            self.away.insert(path, (text, is_own));
        }
    }

    /// Who restores a record has it in its own branch then.
    fn take_back(&mut self, id: RecordId, is_restorer: bool) {
        let path = path_of(id);
        if let Some((text, is_own)) = self.away.remove(&path) {
            self.files.insert(path.clone(), text.clone());
            if is_own || is_restorer {
                self.own.insert(path, text);
            }
        }
    }

    /// Takes the page of a restored record that the trunk has.
    fn take_page(&mut self, id: RecordId, theirs: Option<&String>) {
        let path = path_of(id);
        if let (Some(ours), Some(theirs)) = (self.files.get(&path), theirs) {
            let joined = join(&path, ours, theirs);
            if let Some(own) = self.own.get_mut(&path) {
                own.clone_from(&joined);
            }
            self.files.insert(path, joined);
        }
    }
}

/// The records that state files among `files` say are erased.
fn erased_of(files: &BTreeMap<String, String>) -> BTreeSet<RecordId> {
    let state = |(path, text): (&String, &String)| StateFile::parse(of_state_file(path)?, text.as_bytes());
    files.iter().filter_map(state).filter(|state| state.state == Presence::Erased).map(|state| state.of).collect()
}

/// Joins two files of one record, as the worker does.
pub(super) fn join(path: &str, ours: &str, theirs: &str) -> String {
    let joined = match of_state_file(path) {
        Some(id) => join_states(id, Some(ours.as_bytes()), theirs.as_bytes()),
        None => join_pages(path, ours.as_bytes(), theirs.as_bytes(), None),
    };
    match joined {
        Joined::Ours => ours.to_owned(),
        Joined::Theirs => theirs.to_owned(),
        Joined::Both(text) => text,
    }
}
