//! A model of the protocol: hosts that record, amend, retract, push, merge, fold and die in random schedules, with lost answers,
//! crashes, copies and people in between. Merge and fold are the real ones, on real objects; the remote is a map of references.
//!
//! At the end every host has the same, and nothing that was recorded is missing. Each mistake in [`Plan`] is one that the protocol
//! must not make; the tests show that the model notices each.

mod host;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository, Signature, Time};
use jiff::Timestamp;
use uuid::Uuid;

use super::fold::Lanes;
use super::tree::{Changes, Found, Trees};
use crate::model::path::of_state_file;
use crate::model::{Learning, Level, Record, RecordId, Request, Revision};
use crate::page::{self, Presence, StateFile};

const GROUP: Uuid = Uuid::from_u128(0xabc);

/// What happens in a schedule, and which mistakes are made on purpose.
#[derive(Clone, Copy)]
struct Plan {
    /// Homes are copied, and caches deleted: what was unpushed then can be introduced twice.
    copies: bool,
    /// A person deletes and rewinds references.
    person: bool,
    /// A lane is deleted whatever it has become since it was looked at.
    folds_without_lease: bool,
    /// A lane is pushed whatever the remote has there.
    pushes_by_force: bool,
    /// What was acknowledged once is believed to be there for ever.
    believes_its_ack: bool,
    /// A trunk that was set back is taken as it is.
    forgets_its_trunk: bool,
    /// A lane that has an erased record is merged as it is.
    merges_lanes_raw: bool,
    /// A lane's last merged commit is not looked up: all of it is merged again.
    merges_from_nothing: bool,
    /// What came while a record was hidden is not looked up when it is restored.
    forgets_what_was_hidden: bool,
}

/// A small generator: the same seed is the same schedule.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// What a record says: its title and its domain, each with its revision.
#[derive(Clone, Debug, PartialEq)]
struct Content {
    title: (Revision, String),
    domain: (Revision, String),
}

/// The cut that ends what a host does: it crashed, or the network was gone.
struct Cut;

#[derive(Clone)]
struct Host {
    /// The files of its own branch: what it recorded, and what it changed.
    own: BTreeMap<String, String>,
    /// What it shows: its own files and those that it imported.
    files: BTreeMap<String, String>,
    /// The pages of records that are hidden here, each with whether it was in its own branch.
    away: BTreeMap<String, (String, bool)>,
    lane: Uuid,
    tip: Option<Oid>,
    acked: Option<Oid>,
    trunk: Option<Oid>,
    imported: Option<Oid>,
    keep: Vec<Oid>,
    is_alive: bool,
    /// Whether its cache was deleted, and the remote was not asked since.
    is_fresh: bool,
}

struct World {
    repository: Repository,
    _folder: tempfile::TempDir,
    plan: Plan,
    dice: Dice,
    has_faults: bool,
    /// Whether a person set the trunk back.
    is_rewound: bool,
    /// The hosts that are in the middle of something.
    busy: Vec<usize>,
    clock: i64,
    next: u128,
    trunk: Option<Oid>,
    lanes: Lanes,
    hosts: Vec<Host>,
    /// What has to be there at the end, unless it is hidden: for each record, the operations that a living host or a drained lane has.
    promised: BTreeSet<RecordId>,
    /// What is known of each record, from all operations that were pushed or are a living host's.
    removed: BTreeSet<String>,
    /// The only copies that a person destroyed.
    destroyed: BTreeSet<String>,
    closed: BTreeSet<Uuid>,
}

fn path_of(id: RecordId) -> String {
    page::files(id, Timestamp::UNIX_EPOCH, &request("t", "d"), Level::Day).remove(0).path
}

fn request(title: &str, domain: &str) -> Request {
    Request::new(Record::Failure(Learning { title: title.into(), domain: domain.into(), ..Learning::default() }))
}

fn content_of(text: &str) -> Option<(RecordId, Content)> {
    let parsed = page::parse(text.as_bytes()).ok()?;
    let Record::Failure(it) = parsed.request?.record else { return None };
    let of = |name: &str| parsed.fields.get(name).copied().unwrap_or(Revision::first(parsed.id));
    Some((parsed.id, Content { title: (of("title"), it.title), domain: (of("domain"), it.domain) }))
}

fn greatest(one: &(Revision, String), other: &(Revision, String)) -> (Revision, String) {
    if one.0 >= other.0 { one.clone() } else { other.clone() }
}

impl World {
    fn new(seed: u64, plan: Plan) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = Repository::init_bare(folder.path()).expect("a repository");
        repository.odb().expect("its objects").add_new_mempack_backend(1000).expect("objects in memory");
        let mut world = World {
            repository,
            _folder: folder,
            plan,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1)),
            has_faults: true,
            is_rewound: false,
            busy: Vec::new(),
            clock: 1000,
            next: 1,
            trunk: None,
            lanes: Lanes::new(),
            hosts: Vec::new(),
            promised: BTreeSet::new(),
            removed: BTreeSet::new(),
            destroyed: BTreeSet::new(),
            closed: BTreeSet::new(),
        };
        (0..3).for_each(|_| world.start());
        world
    }

    fn fresh(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next << 40 | self.next.wrapping_mul(0x9e37_79b9) & 0xffff_ffff)
    }

    fn start(&mut self) {
        let lane = self.fresh();
        self.hosts.push(Host {
            own: BTreeMap::new(),
            files: BTreeMap::new(),
            away: BTreeMap::new(),
            lane,
            tip: None,
            acked: None,
            trunk: None,
            imported: None,
            keep: Vec::new(),
            is_alive: true,
            is_fresh: false,
        });
    }

    fn trees(&self) -> Trees<'_> {
        Trees::direct(&self.repository).expect("its objects")
    }

    fn tree(&self, commit: Option<Oid>) -> Option<Oid> {
        commit.map(|id| self.repository.find_commit(id).expect("the commit").tree_id())
    }

    fn files(&self, commit: Option<Oid>) -> BTreeMap<String, String> {
        let (trees, mut files) = (self.trees(), BTreeMap::new());
        let tree = self.tree(commit);
        let mut add = |path: &str, file: Found| {
            let bytes = trees.file(file.id, usize::MAX)?.unwrap_or_default();
            files.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
            Ok(())
        };
        trees.each(tree, "", &mut add).expect("it can be read");
        files
    }

    fn commit(&mut self, parent: Option<Oid>, files: &BTreeMap<String, Option<String>>, lane: Option<Uuid>) -> Oid {
        self.clock += 1;
        let trees = self.trees();
        let write = |text: &String| trees.write(text.as_bytes()).expect("it is written");
        let changes: Changes = files.iter().map(|(path, text)| (path.clone(), text.as_ref().map(write))).collect();
        let tree = trees.with(self.tree(parent), &changes).expect("a tree");
        let who = Signature::new("a", "a@b", &Time::new(self.clock, 0)).expect("a signature");
        let tree = self.repository.find_tree(tree).expect("the tree");
        let parents: Vec<_> = parent.iter().map(|id| self.repository.find_commit(*id).expect("the parent")).collect();
        let parents: Vec<_> = parents.iter().collect();
        let lane = lane.map(|lane| format!("\nIndelible-Lane: {lane}")).unwrap_or_default();
        let message = format!("Record\n\nIndelible-Format: 1{lane}\n");
        self.repository.commit(None, &who, &who, &message, &tree, &parents).expect("a commit")
    }

    fn is_in(&self, commit: Oid, of: Option<Oid>) -> bool {
        of.is_some_and(|of| {
            of == commit || self.repository.graph_descendant_of(of, commit).expect("they can be compared")
        })
    }

    /// A moment at which others come in between, and at which the host may be cut off.
    fn moment(&mut self, percent: u64) -> Result<(), Cut> {
        if !self.has_faults {
            return Ok(());
        }
        if self.busy.len() < 3 && self.dice.chance(20) {
            self.step();
        }
        if self.dice.chance(percent) { Err(Cut) } else { Ok(()) }
    }

    /// Sets a reference of the remote, if it is as expected or has the value already. The answer can be lost.
    fn set(&mut self, lane: Option<Uuid>, expected: Option<Option<Oid>>, new: Option<Oid>) -> Result<bool, Cut> {
        self.moment(6)?;
        let now = lane.map_or(self.trunk, |lane| self.lanes.get(&lane).copied());
        let is_fine = now == new || expected.is_none_or(|expected| expected == now);
        if is_fine {
            match (lane, new) {
                (None, new) => self.trunk = new,
                (Some(lane), Some(new)) => drop(self.lanes.insert(lane, new)),
                (Some(lane), None) => drop(self.lanes.remove(&lane)),
            }
        }
        self.moment(6)?;
        Ok(is_fine)
    }

    /// Sets the trunk and lanes of the remote, all or none, each if it is as expected. The answer can be lost.
    fn set_all(&mut self, trunk: (Option<Oid>, Option<Oid>), lanes: &[(Uuid, Oid, Oid)]) -> Result<bool, Cut> {
        self.moment(6)?;
        let are_fine = lanes.iter().all(|(lane, from, _)| self.lanes.get(lane) == Some(from));
        let is_fine = self.trunk == trunk.0 && are_fine;
        if is_fine {
            self.trunk = trunk.1;
            self.lanes.extend(lanes.iter().map(|(lane, _, to)| (*lane, *to)));
        }
        self.moment(6)?;
        Ok(is_fine)
    }

    /// What a person does on the remote.
    fn meddle(&mut self) {
        let before = self.reach();
        if let Some(trunk) = self.trunk
            && self.dice.chance(60)
        {
            let parent = self.repository.find_commit(trunk).expect("the trunk").parent_ids().next();
            let pages: Vec<String> = self.files(self.trunk).into_keys().filter(|it| it.contains("failures")).collect();
            if let (Some(parent), true) = (parent, self.dice.chance(40)) {
                self.trunk = Some(parent);
                self.is_rewound = true;
            } else if let Some(path) = pages.get(self.dice.roll(pages.len().max(1) as u64) as usize) {
                self.removed.insert(path.clone());
                self.trunk = Some(self.commit(Some(trunk), &BTreeMap::from([(path.clone(), None)]), None));
            }
        } else if let Some((lane, tip)) =
            self.lanes.iter().nth(self.dice.roll(4) as usize).map(|(lane, tip)| (*lane, *tip))
        {
            let is_living = self.hosts.iter().any(|host| host.is_alive && host.lane == lane);
            let parent = self.repository.find_commit(tip).expect("the tip").parent_ids().next();
            match parent.filter(|_| self.dice.chance(50)) {
                Some(parent) if is_living => drop(self.lanes.insert(lane, parent)),
                _ if is_living => drop(self.lanes.remove(&lane)),
                _ => {}
            }
        }
        let after = self.reach();
        self.destroyed.extend(before.difference(&after).cloned());
    }

    /// Every file that any commit on the remote has, by path and bytes.
    fn reach(&self) -> BTreeSet<String> {
        let mut walk = self.repository.revwalk().expect("a walk");
        for id in self.trunk.iter().chain(self.lanes.values()) {
            walk.push(*id).expect("it is there");
        }
        let mut found = BTreeSet::new();
        for id in walk {
            found.extend(self.files(id.ok()).into_keys());
        }
        found
    }

    fn step(&mut self) {
        let living: Vec<usize> = (0..self.hosts.len()).filter(|at| self.hosts[*at].is_alive).collect();
        let free: Vec<usize> = living.iter().copied().filter(|at| !self.busy.contains(at)).collect();
        let Some(host) = free.get(self.dice.roll(free.len().max(1) as u64) as usize).copied() else { return };
        self.busy.push(host);
        let (may_start, may_end) = (living.len() < 6, living.len() > 2);
        let mut cut = Ok(());
        match self.dice.roll(100) {
            0..25 => self.record(host),
            25..36 => self.change(host),
            36..56 => cut = self.push(host).map(|_| ()),
            56..72 => cut = self.combine(host),
            72..84 => cut = self.fetch(host).map(|_| ()),
            84..88 if may_start => self.start(),
            88..91 if may_start && self.plan.copies => self.hosts.push(self.hosts[host].clone()),
            91..94 if may_end => cut = self.drain(host),
            94..96 if self.plan.copies => {
                let it = &mut self.hosts[host];
                (it.tip, it.acked, it.trunk, it.imported, it.is_fresh) = (None, None, None, None, true);
            }
            96..99 if self.plan.person => self.meddle(),
            _ => {}
        }
        // Whatever is cut off is done again by a later step.
        drop(cut);
        self.busy.pop();
    }

    fn settle(&mut self) {
        self.has_faults = false;
        if self.plan.person {
            // Last of all a person deletes a lane: its home has to notice.
            let is_living = |lane: &Uuid| self.hosts.iter().any(|host| host.is_alive && host.lane == *lane);
            let lane = self.lanes.keys().copied().find(is_living);
            lane.and_then(|lane| self.lanes.remove(&lane));
        }
        for _ in 0..8 {
            for host in (0..self.hosts.len()).filter(|at| self.hosts[*at].is_alive).collect::<Vec<_>>() {
                let _ = self.push(host);
                let _ = self.combine(host);
                let _ = self.fetch(host);
            }
        }
    }

    /// What is wrong at the end.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let trunk = self.files(self.trunk);
        let states: BTreeMap<RecordId, StateFile> = trunk
            .iter()
            .filter_map(|(path, text)| of_state_file(path).and_then(|id| StateFile::parse(id, text.as_bytes())))
            .map(|state| (state.of, state))
            .collect();
        let mut best: BTreeMap<RecordId, Content> = BTreeMap::new();
        for (id, content) in self.hosts.iter().flat_map(|host| host.own.values()).filter_map(|text| content_of(text)) {
            let known = best.entry(id).or_insert_with(|| content.clone());
            known.title = greatest(&known.title, &content.title);
            known.domain = greatest(&known.domain, &content.domain);
        }
        for id in &self.promised {
            let path = path_of(*id);
            let is_living = self.hosts.iter().any(|host| host.is_alive && host.own.contains_key(&path));
            let is_gone = self.removed.contains(&path) || self.destroyed.contains(&path) && !is_living;
            let is_hidden = states.get(id).is_some_and(|state| state.state.is_hidden());
            let is_expected = !is_hidden && !is_gone;
            let may_be_back = self.is_rewound || states.contains_key(id);
            let is_first = |text: &String| page::later_revision_of(*id, text.as_bytes()).is_none();
            match trunk.get(&path) {
                // An amendment by another home brings it back, and so do a restoration, and a trunk that was set back.
                Some(text) if self.removed.contains(&path) && !may_be_back && is_first(text) => {
                    wrong.push(format!("removed, and there again: {id}"));
                }
                None if is_expected => wrong.push(format!("lost: {id}")),
                Some(_) if is_hidden => wrong.push(format!("hidden, and there: {id}")),
                Some(text) if is_expected && self.destroyed.is_empty() => {
                    let found = content_of(text).map(|(_, content)| content);
                    if best.get(id).is_some_and(|best| found.as_ref() != Some(best)) {
                        wrong.push(format!("an amendment is lost: {id}"));
                    }
                }
                _ => {}
            }
        }
        for host in self.hosts.iter().filter(|host| host.is_alive) {
            // What a person destroyed on the trunk, homes still have.
            let has_all = |path: &String, ours: &String, text: &String| match self.destroyed.is_empty() {
                true => ours == text,
                false => host::join(path, ours, text) == *ours,
            };
            let differs = |(path, text): &(&String, &String)| {
                !host.files.get(*path).is_some_and(|ours| has_all(path, ours, text))
            };
            if let Some((path, _)) = trunk.iter().filter(|(path, _)| !path.contains("README")).find(differs) {
                wrong.push(format!("not imported: {path}"));
            }
        }
        wrong.extend(self.erased_and_reached(&states));
        if !self.plan.copies && !self.plan.person {
            wrong.extend(self.introduced_twice().into_iter().map(|path| format!("introduced twice: {path}")));
        }
        wrong
    }

    /// The erased records that a commit on the remote still has.
    fn erased_and_reached(&self, states: &BTreeMap<RecordId, StateFile>) -> Vec<String> {
        let reach = self.reach();
        let erased = states.values().filter(|state| state.state == Presence::Erased).map(|state| state.of);
        erased.filter(|id| reach.contains(&path_of(*id))).map(|id| format!("erased, and reached: {id}")).collect()
    }

    /// The pages that more than one commit introduces.
    fn introduced_twice(&self) -> Vec<String> {
        let mut walk = self.repository.revwalk().expect("a walk");
        for id in self.trunk.iter().chain(self.lanes.values()) {
            walk.push(*id).expect("it is there");
        }
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        for id in walk.map(|id| id.expect("a commit")) {
            let commit = self.repository.find_commit(id).expect("a commit");
            let before: Vec<_> = commit.parent_ids().map(|id| self.files(Some(id))).collect();
            for (path, text) in self.files(Some(id)).into_iter().filter(|(path, _)| path.contains("failures")) {
                let is_first =
                    page::later_revision_of(page::id_of(text.as_bytes()).unwrap_or_default(), text.as_bytes())
                        .is_none();
                if is_first && before.iter().all(|files| !files.contains_key(&path)) {
                    *count.entry(path).or_default() += 1;
                }
            }
        }
        count.into_iter().filter(|(_, count)| *count > 1).map(|(path, _)| path).collect()
    }
}
