//! The trunk's half of a sync: fetch what others have, merge it, push the trunk by a lease, import it, fold what it has.
//!
//! | killed | is where | and then |
//! | --- | --- | --- |
//! | lanes fetched, the trunk not taken | `refs/r/lanes/*`, [`NEXT`] | fetched again |
//! | a trunk that was set back is kept, the new one not taken | [`KEEP`] | the same again; it is merged once |
//! | the merge made, not pushed | objects that nothing names | made again, to the same commit |
//! | the trunk pushed, its answer lost | the remote | it is fetched, and has everything |
//! | the trunk taken, not imported | [`TRUNK`] | the difference since [`IMPORTED`] |
//! | appended to the journal, [`IMPORTED`] not moved | the journal | appended again, without effect |
//! | half of the lanes folded | the trunk, and the other lanes | these are folded next time, each by its lease |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use git2::Oid;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::answer::{Answer, answer_of};
use super::fetch::Remote;
use super::fold::{self, Lanes};
use super::import::{self, Imported, What};
use super::merge::{self, Merged, Side, Trunk};
use super::purge::{self, Purge, Seen};
use super::session::REMOTE;
use super::store::{At, IMPORTED, Kept, LANES, TRUNK};
use super::tree::{self, Trees};
use super::trunk::group_of;
use super::update::Update;
use super::{Asked, Class, Error, Pushed, Session};
use crate::fs::{Point, crash};
use crate::model::RecordId;
use crate::random;

/// How often a sync merges again because another home was faster.
const RACES_MAX: u32 = 4;
/// How many lanes go with one push.
const FOLDED_AT_ONCE: usize = 200;
/// How long an import waits for SQLite's lock.
const INDEX_WAIT: Duration = Duration::from_secs(5);

/// How long a remote that took no rewritten trunk is not asked again, unless a person syncs.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

fn is_recent(at: Timestamp) -> bool {
    at.duration_until(Timestamp::now()).abs() < KEPT_FOR
}

/// What the trunk's half of a sync has done, also if it ended with an error.
#[derive(Clone, Debug, Default)]
pub struct Combined {
    /// How many records this home brought together on the trunk.
    pub merged: u64,
    /// How many files of other lanes were left out of it.
    pub left_out: u64,
    /// How many lanes are not merged.
    pub unmerged: u64,
    /// How many lanes were folded.
    pub folded: u64,
    /// What was imported.
    pub imported: Imported,
    /// Why the remote does not take the trunk, if it does not: lanes are pushed all the same.
    pub closed: Option<String>,
    /// Why the remote does not take the trunk without erased records, if it does not: what is new is merged all the same.
    pub kept: Option<String>,
}

/// What the trunk and the lanes are to become.
#[derive(Default)]
struct Plan {
    /// What the trunk has merged of each lane.
    merged: Lanes,
    /// The trunk's next commit, if it lacks something.
    made: Option<Merged>,
    /// What the lanes on the remote become: what is erased goes, unless the remote has just refused that.
    lanes: Lanes,
    /// The lanes without what is erased, as they are merged.
    clean: Lanes,
    /// Trunks of before that are merged again, each with what it is without what is erased.
    kept: Vec<(Oid, Oid)>,
    /// Whether commits of the trunk are others than before: erased records go from its history.
    rewrites: bool,
}

/// What becomes of erased records that the trunk has in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Erased {
    /// The trunk is rewritten without them.
    Go,
    /// They leave the trunk's tree alone: the remote takes no rewritten trunk.
    Stay,
    /// As before, and lanes stay as they are, too: the remote has refused that not long ago.
    Wait,
}

impl Plan {
    /// What is to be pushed.
    fn updates(&self, remote: &Remote) -> Vec<Update> {
        let trunk =
            self.made.iter().map(|made| Update { name: remote.trunk.clone(), from: remote.trunk_at, to: made.commit });
        let lanes = self.lanes.iter().filter_map(|(lane, to)| Some((lane, remote.lanes.get(lane)?, to)));
        let lanes = lanes.filter(|(_, from, to)| from != to).flat_map(|(lane, from, to)| {
            let names = remote.names.get(lane).into_iter().flatten();
            names.map(|name| Update { name: name.clone(), from: Some(*from), to: *to })
        });
        trunk.chain(lanes).collect()
    }
}

/// What a merge of what is `seen` makes.
struct Planned {
    purge: Purge,
    made: Option<Merged>,
    rewrites: bool,
}

/// Takes what is erased out of what is `seen`, and merges it.
fn plan_of(trees: &Trees<'_>, seen: &Seen<'_>, erased: Erased, options: &merge::Options) -> Result<Planned, Error> {
    let mut purge = purge::purge(trees, seen)?;
    let is_rewritten = |(lane, tip): (&Uuid, &Oid)| purge.lanes.get(lane).is_some_and(|now| now != tip);
    let rewrites = erased == Erased::Go && (purge.trunk != seen.trunk || seen.lanes.iter().any(is_rewritten));
    if erased != Erased::Go {
        // It says of none of them that its history has it no more.
        purge.trunk = seen.trunk;
        purge.new.clear();
    }
    let repository = trees.objects().repository;
    // Trailers of a trunk that was rewritten name other tips.
    let merged = match purge.trunk == seen.trunk {
        true => seen.merged.clone(),
        false => fold::merged(repository, purge.trunk, (None, &Lanes::new()))?,
    };
    let mut sides = fold::sides(repository, purge.trunk, &purge.lanes, &merged)?;
    for kept in &purge.kept {
        let Some(trunk) = purge.trunk else {
            sides.push(Side { lane: None, base: None, tip: *kept });
            continue;
        };
        if trunk != *kept && !repository.graph_descendant_of(trunk, *kept)? {
            sides.push(Side { lane: None, base: fold::common(repository, trunk, *kept)?, tip: *kept });
        }
    }
    let trunk = Trunk { at: purge.trunk, was: seen.trunk, purged: purge.new.clone() };
    let made = merge::merge_into(trees, &trunk, &sides, options)?;
    Ok(Planned { purge, made, rewrites })
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Error {
        Error::new(Class::Later, crate::model::text::chain(&error))
    }
}

impl From<import::Error> for Error {
    fn from(error: import::Error) -> Error {
        Error::new(Class::Later, crate::model::text::chain(&error))
    }
}

impl Session<'_> {
    /// Pushes what the lane lacks, and then, if it is asked for, merges and imports. What was done so far is in `pushed` and
    /// `combined`, whatever the result.
    ///
    /// # Errors
    /// As [`Session::push`].
    pub fn sync(&mut self, asked: Asked, pushed: &mut Pushed, combined: &mut Combined) -> Result<(), Error> {
        self.know_trunk(asked)?;
        if !asked.fetch_only {
            self.push(asked, pushed)?;
        }
        if !asked.combine || !self.options.merge && self.options.import.what == What::None {
            return Ok(());
        }
        let result = self.combine(asked, combined);
        self.note_trunk(asked, combined, result.as_ref().ok().copied())?;
        let noted = self.note(result.as_ref().err());
        result.map(drop).and(noted)
    }

    /// Notes where the trunk is, and what of it is here. What is unmerged is known only once the lanes were `looked` at, and whether the
    /// trunk is closed, once the remote has said so or has taken it.
    fn note_trunk(&mut self, asked: Asked, done: &Combined, looked: Option<bool>) -> Result<(), Error> {
        let merges = self.options.merge && !asked.fetch_only;
        let trunk = self.store.target(TRUNK)?.map(|trunk| trunk.to_string());
        self.store.change(|state| {
            if state.trunk_at.as_ref().map(|at| &at.commit) != trunk.as_ref() {
                state.trunk_at = trunk.map(|commit| At { commit, at: Timestamp::now() });
            }
            state.imported += done.imported.records;
            if looked.is_some() {
                state.unmerged = done.unmerged + state.bad_lanes.len() as u64;
            }
            if merges && looked == Some(true) {
                state.closed.clone_from(&done.closed);
            }
        })
    }

    /// Fetches the trunk, if this home knew it and its repository is new: the lane may have been folded into it, and nothing that the
    /// trunk has is pushed again.
    fn know_trunk(&mut self, asked: Asked) -> Result<(), Error> {
        let knew = self.store.state().trunk.is_some() && self.store.target(TRUNK)?.is_none();
        if !knew || !self.store.is_fresh()? {
            return Ok(());
        }
        let result = self.fetch_all(asked).map(drop);
        match &result {
            Ok(()) => result,
            Err(error) => self.note(Some(error)).and(result),
        }
    }

    /// Fetches the trunk and the lanes, merges what the trunk lacks, and imports it. Returns whether that is all, or the remote does not
    /// take the trunk; false, if other homes were faster each time.
    fn combine(&mut self, asked: Asked, done: &mut Combined) -> Result<bool, Error> {
        for _ in 0..RACES_MAX {
            let remote = self.fetch_all(asked)?;
            if !self.options.merge || asked.fetch_only {
                let has = self.store.state().merged.as_ref().map(|merged| merged.1.clone()).unwrap_or_default();
                let lacks = |(lane, tip): &(&Uuid, &Oid)| has.get(*lane) != Some(&tip.to_string());
                done.unmerged = remote.lanes.iter().filter(lacks).count() as u64;
                self.import(done)?;
                return self.settle().map(|()| true);
            }
            match self.merge_on(&remote, asked, done)? {
                Answer::Failed(error) => return Err(error),
                Answer::Raced => {}
                Answer::Taken => return self.settle().map(|()| true),
                Answer::Refused(why) => {
                    done.closed = Some(why);
                    return self.import(done).map(|()| true);
                }
            }
            if self.is_over() {
                break;
            }
        }
        // Others merge all the time: what is on this home's lane, they merge.
        self.import(done).map(|()| false)
    }

    /// Merges what the trunk lacks, without what is erased, imports it, and folds. If the remote takes no rewritten trunk or lane,
    /// what is new is merged all the same, and the trunk does not say that what is erased is gone.
    fn merge_on(&mut self, remote: &Remote, asked: Asked, done: &mut Combined) -> Result<Answer, Error> {
        let known = self.store.state().kept_by_remote.clone();
        let known = known.filter(|it| it.trunk == remote.trunk && !asked.retry_held && is_recent(it.at));
        done.kept = known.as_ref().map(|known| known.why.clone());
        let mut plan = self.plan(remote, if known.is_some() { Erased::Wait } else { Erased::Go })?;
        let mut answer = self.push_plan(remote, &plan, done)?;
        if let (Answer::Refused(why), true) = (&answer, plan.rewrites) {
            done.kept = Some(why.clone());
            plan = self.plan(remote, Erased::Stay)?;
            answer = self.push_plan(remote, &plan, done)?;
        }
        let has_updates = !plan.updates(remote).is_empty();
        if let Answer::Refused(why) = answer {
            answer = self.push_apart(remote, &plan, why, done)?;
        }
        if known.is_none() && matches!(answer, Answer::Taken | Answer::Refused(_)) {
            let (trunk, at) = (remote.trunk.clone(), Timestamp::now());
            let kept = done.kept.clone().map(|why| Kept { trunk, why, at });
            self.store.change(|state| state.kept_by_remote = kept)?;
        }
        if answer == Answer::Taken {
            done.unmerged = 0;
            self.forget_kept(&plan.kept)?;
            self.import(done)?;
            // What was merged just now is merged as it is without what is erased.
            let merged = if has_updates { &plan.clean } else { &plan.merged };
            self.fold(remote, &plan.clean, merged, done)?;
        }
        Ok(answer)
    }

    /// Pushes what `plan` says, all of it or nothing.
    fn push_plan(&mut self, remote: &Remote, plan: &Plan, done: &mut Combined) -> Result<Answer, Error> {
        let lacks = |(lane, tip): &(&Uuid, &Oid)| plan.merged.get(*lane) != Some(*tip);
        done.unmerged = remote.lanes.iter().filter(lacks).count() as u64;
        let updates = plan.updates(remote);
        if updates.is_empty() { Ok(Answer::Taken) } else { self.push_merged(remote, plan, &updates, done) }
    }

    /// Pushes what the remote refused as a whole, because of `why`: the lanes, and then the trunk. Returns what became of the trunk.
    fn push_apart(&mut self, remote: &Remote, plan: &Plan, why: String, done: &mut Combined) -> Result<Answer, Error> {
        let (trunk, lanes): (Vec<Update>, Vec<Update>) =
            plan.updates(remote).into_iter().partition(|it| it.name == remote.trunk);
        if trunk.is_empty() {
            // Lanes that have an erased record stay as they are, and are merged without it.
            done.kept = Some(why);
            return Ok(Answer::Taken);
        }
        if lanes.is_empty() {
            return Ok(Answer::Refused(why));
        }
        let of_lanes = Plan { lanes: plan.lanes.clone(), ..Plan::default() };
        if let Answer::Refused(why) = self.push_merged(remote, &of_lanes, &lanes, done)? {
            done.kept = Some(why);
        }
        let of_trunk = Plan { made: plan.made.clone(), ..Plan::default() };
        self.push_merged(remote, &of_trunk, &trunk, done)
    }

    /// Decides what the trunk and the lanes become: without what is erased, and with what the trunk lacks.
    fn plan(&mut self, remote: &Remote, erased: Erased) -> Result<Plan, Error> {
        let trunk = self.store.target(TRUNK)?;
        let repository = self.store.repository()?;
        let name = |text: &String| Oid::from_str(text).ok();
        let known = self.store.state().merged.clone();
        let at = known.as_ref().and_then(|known| name(&known.0));
        let lanes: Lanes =
            known.iter().flat_map(|it| &it.1).filter_map(|(lane, tip)| Some((*lane, name(tip)?))).collect();
        let merged = fold::merged(&repository, trunk, (at, &lanes))?;
        let purged = fold::purged(&repository, trunk, (at, &self.store.state().purged))?;
        self.note_merged(trunk, &merged, &purged, &remote.lanes)?;
        let state = self.store.state();
        let clean = state.clean.as_ref().and_then(name).filter(|clean| repository.find_commit(*clean).is_ok());
        let kept = self.kept()?;
        let seen = Seen {
            trunk,
            lanes: &remote.lanes,
            kept: &kept,
            merged: &merged,
            clean,
            purged: &purged,
            erased: &state.erased,
        };
        // It is this home's only once its trunk is on the remote.
        let group = state.group.unwrap_or_else(random::id);
        let options = merge::Options { group, skips_checks: remote.trunk.starts_with("refs/heads/") };
        let planned = self.store.write_objects(|trees| plan_of(trees, &seen, erased, &options))?;
        if planned.purge.new.is_empty() && erased == Erased::Go {
            self.store.change(|state| state.clean = trunk.map(|trunk| trunk.to_string()))?;
        }
        let Planned { purge, made, rewrites } = planned;
        let lanes = if erased == Erased::Wait { remote.lanes.clone() } else { purge.lanes.clone() };
        let kept = kept.into_iter().zip(purge.kept).collect();
        Ok(Plan { merged, made, lanes, clean: purge.lanes, kept, rewrites })
    }

    /// Notes what the trunk has merged, so that it is not walked again, and what it says is gone since the last look: `sync.git` can
    /// have it from a lane, also where the home never had the record. So it is made again without it ([`Session::settle`]).
    fn note_merged(
        &mut self,
        trunk: Option<Oid>,
        merged: &Lanes,
        purged: &BTreeSet<RecordId>,
        lanes: &Lanes,
    ) -> Result<(), Error> {
        let Some(trunk) = trunk else { return Ok(()) };
        let merged = merged.iter().filter(|(lane, _)| lanes.contains_key(*lane));
        let merged: BTreeMap<Uuid, String> = merged.map(|(lane, tip)| (*lane, tip.to_string())).collect();
        let purged = purged.clone();
        self.store.change(|state| {
            if state.merged.is_some() {
                state.erased.extend(purged.difference(&state.purged));
            }
            (state.merged, state.purged) = (Some((trunk.to_string(), merged)), purged);
        })
    }

    /// Pushes the trunk, and the lanes without what is erased: all of it or nothing, each by the lease of what it was.
    fn push_merged(
        &mut self,
        remote: &Remote,
        plan: &Plan,
        updates: &[Update],
        done: &mut Combined,
    ) -> Result<Answer, Error> {
        crash::at(Point::TrunkBeforePush)?;
        let answer = self.push_all_of(updates)?;
        crash::at(Point::TrunkAfterPush)?;
        if answer != Answer::Taken {
            return Ok(answer);
        }
        if let Some(made) = &plan.made {
            let group = group_of(&self.store.repository()?, made.commit)?;
            let name = remote.trunk.clone();
            self.store.change(|state| {
                state.group = group;
                state.trunk = Some(name);
            })?;
            self.store.set(TRUNK, made.commit)?;
            (done.merged, done.left_out) = (made.records as u64, made.left_out);
        }
        for (lane, tip) in &plan.lanes {
            self.store.set(&format!("{LANES}{lane}"), *tip)?;
        }
        let own = self.store.state().lane;
        match (remote.lanes.get(&own), plan.lanes.get(&own)) {
            (Some(before), Some(now)) if before != now => self.lane_was_rewritten(*before, *now),
            _ => Ok(()),
        }
        .map(|()| answer)
    }

    /// Once the trunk says that its history has nothing of what this home erased, `sync.git` is made again without it.
    fn settle(&mut self) -> Result<(), Error> {
        let (erased, trunk) = (self.store.state().erased.clone(), self.store.target(TRUNK)?);
        if erased.is_empty() {
            return Ok(());
        }
        let purged = fold::purged(&self.store.repository()?, trunk, (None, &BTreeSet::new()))?;
        if !erased.is_subset(&purged) {
            return Ok(());
        }
        self.store.rebuild(&erased)?;
        self.store.change(|state| state.erased.clear())
    }

    /// Brings what the trunk has into the journal.
    fn import(&mut self, done: &mut Combined) -> Result<(), Error> {
        let Some(trunk) = self.store.target(TRUNK)? else { return Ok(()) };
        let from = self.store.target(IMPORTED)?;
        // What was left away by narrower options comes with wider ones.
        let by = self.options.import.key();
        let from = from.filter(|_| self.store.state().imported_by.as_deref() == Some(&by));
        if from == Some(trunk) {
            return Ok(());
        }
        let repository = self.store.repository()?;
        done.imported = import::import(self.home, &repository, (from, trunk), &self.options.import, INDEX_WAIT)?;
        crash::at(Point::ImportBeforeMark)?;
        self.store.change(|state| state.imported_by = Some(by))?;
        self.store.set(IMPORTED, trunk)
    }

    /// Deletes those of `lanes`, which are without what is erased, that the trunk has and that nothing more comes on. One that the
    /// remote has with an erased record goes, too: what it is without that is on the trunk.
    fn fold(&mut self, remote: &Remote, lanes: &Lanes, merged: &Lanes, done: &mut Combined) -> Result<(), Error> {
        let now = Timestamp::now();
        let seen = self.store.state().lanes.iter();
        let seen = seen.filter_map(|(lane, (tip, since))| Some((*lane, (Oid::from_str(tip).ok()?, *since)))).collect();
        let seen = fold::look(&seen, lanes, now);
        let noted = seen.iter().map(|(lane, (tip, since))| (*lane, (tip.to_string(), *since))).collect();
        self.store.change(|state| state.lanes = noted)?;
        let own = Some(self.store.state().lane);
        let foldable = fold::foldable(&self.store.repository()?, (lanes, merged), &seen, own, now)?;
        let (mut left, mut at_once) = (foldable.as_slice(), FOLDED_AT_ONCE);
        if crash::wanted(Point::FoldHalfDone) {
            at_once = foldable.len().div_ceil(2).clamp(1, FOLDED_AT_ONCE);
        }
        while !left.is_empty() {
            let lanes;
            (lanes, left) = left.split_at(at_once.min(left.len()));
            crash::at(Point::FoldBeforePush)?;
            self.fold_some(remote, lanes, done)?;
        }
        Ok(())
    }

    fn fold_some(&mut self, remote: &Remote, lanes: &[(Uuid, Oid)], done: &mut Combined) -> Result<(), Error> {
        let names = |lane: &Uuid| remote.names.get(lane).into_iter().flatten();
        let mut args = Vec::new();
        for (lane, clean) in lanes {
            let tip = self.store.target(&format!("{LANES}{lane}"))?.unwrap_or(*clean);
            args.extend(names(lane).map(|name| format!("--force-with-lease={name}:{tip}")));
        }
        args.push(REMOTE.to_owned());
        for (lane, _) in lanes {
            args.extend(names(lane).map(|name| format!(":{name}")));
        }
        let output = self.run_push(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        crash::at(Point::FoldHalfDone)?;
        let text = output.text();
        for (lane, _) in lanes {
            let is_gone = |name: &String| answer_of(&text, name, &output.stderr, output.success) == Answer::Taken;
            if names(lane).all(is_gone) {
                self.store.delete(&format!("{LANES}{lane}"))?;
                done.folded += 1;
            }
        }
        Ok(())
    }
}
