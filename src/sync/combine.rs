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

use std::collections::BTreeMap;
use std::time::Duration;

use git2::{Oid, Repository};
use jiff::Timestamp;
use uuid::Uuid;

use super::answer::{Answer, answer_of};
use super::fold::{self, Lanes};
use super::import::{self, Imported, What};
use super::merge::{self, Merged, Side};
use super::remote::{Refs, TRUNKS};
use super::session::REMOTE;
use super::store::{IMPORTED, LANES, TRUNK};
use super::{Asked, Class, Error, Pushed, Session, message, tree};
use crate::fs::{Point, crash};
use crate::random;

/// A trunk that was fetched and is not taken yet.
const NEXT: &str = "refs/r/next";
/// The prefix of trunks that a person set back: what they had is merged again.
const KEEP: &str = "refs/indelible/keep/";
/// The folder in `sync.git` of a repository in which a branch is looked at, and how many commits of it.
const PROBE: &str = "probe";
const PROBE_COMMITS: usize = 100;
/// How often a sync merges again because another home was faster.
const RACES_MAX: u32 = 4;
/// How many lanes go with one push.
const FOLDED_AT_ONCE: usize = 200;
/// How many commits of a trunk are looked through for the group that it is of.
const GROUP_COMMITS_MAX: usize = 10_000;
/// How long an import waits for SQLite's lock.
const INDEX_WAIT: Duration = Duration::from_secs(5);

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
}

/// What the remote has.
struct Remote {
    /// The full name of the trunk's reference.
    trunk: String,
    /// The full names of the lanes' references, by lane; a lane can have one beneath each prefix.
    names: BTreeMap<Uuid, Vec<String>>,
    lanes: Lanes,
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
        self.push(asked, pushed)?;
        if !asked.combine || !self.options.merge && self.options.import.what == What::None {
            return Ok(());
        }
        let result = self.combine(asked, combined);
        let noted = self.note(result.as_ref().err());
        result.and(noted)
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

    /// Fetches the trunk and the lanes, merges what the trunk lacks, and imports it.
    fn combine(&mut self, asked: Asked, done: &mut Combined) -> Result<(), Error> {
        for _ in 0..RACES_MAX {
            let remote = self.fetch_all(asked)?;
            if !self.options.merge {
                return self.import(done);
            }
            let (merged, made) = self.merge(&remote)?;
            let Some(made) = made else {
                done.unmerged = 0;
                self.import(done)?;
                return self.fold(&remote, &merged, done);
            };
            done.unmerged = remote.lanes.iter().filter(|(lane, tip)| merged.get(*lane) != Some(*tip)).count() as u64;
            match self.push_trunk(&remote.trunk, made.commit)? {
                Answer::Taken => {
                    self.store.set(TRUNK, made.commit)?;
                    (done.merged, done.left_out, done.unmerged) = (made.records as u64, made.left_out, 0);
                    self.forget_kept()?;
                    return self.import(done);
                }
                Answer::Raced => {}
                Answer::Refused(why) => {
                    done.closed = Some(why);
                    return self.import(done);
                }
                Answer::Failed(error) => return Err(error),
            }
            if self.is_over() {
                break;
            }
        }
        // Others merge all the time: what is on this home's lane, they merge.
        self.import(done)
    }

    /// Fetches what the remote has and this home lacks.
    fn fetch_all(&mut self, asked: Asked) -> Result<Remote, Error> {
        let refs = self.list()?;
        let (mut names, mut lanes): (BTreeMap<Uuid, Vec<String>>, Lanes) = (BTreeMap::new(), Lanes::new());
        let mut specs = Vec::new();
        for (name, lane, tip) in refs.lanes(&self.options.lanes) {
            names.entry(lane).or_default().push(name.to_owned());
            if self.store.target(&format!("{LANES}{lane}"))? != Some(tip) {
                specs.push(format!("+{name}:{LANES}{lane}"));
            }
            lanes.insert(lane, tip);
        }
        let trunk = self.trunk_name(&refs)?;
        let next = refs.all.get(&trunk).copied();
        if next.is_some() && next != self.store.target(TRUNK)? {
            specs.push(format!("+{trunk}:{NEXT}"));
        }
        self.fetch_specs(&specs)?;
        self.forget_gone(&lanes)?;
        self.take_trunk(next, asked)?;
        if self.store.state().trunk.is_none() && self.store.target(TRUNK)?.is_some() {
            let trunk = Some(trunk.clone());
            self.store.change(|state| state.trunk = trunk)?;
        }
        // A lane can have moved since it was listed.
        let mut fetched = Lanes::new();
        for lane in lanes.keys() {
            fetched.extend(self.store.target(&format!("{LANES}{lane}"))?.map(|tip| (*lane, tip)));
        }
        Ok(Remote { trunk, names, lanes: fetched })
    }

    fn fetch_specs(&self, specs: &[String]) -> Result<(), Error> {
        if specs.is_empty() {
            return Ok(());
        }
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        args.extend(["--no-recurse-submodules", "--stdin", REMOTE]);
        let input = specs.join("\n") + "\n";
        let output = self.git.run_with_input(&args, Some(input.as_bytes()), &self.limits())?;
        output.ok("the remote could not be fetched").map(drop)
    }

    /// Forgets the lanes that the remote has no more.
    fn forget_gone(&self, lanes: &Lanes) -> Result<(), Error> {
        let repository = self.store.repository()?;
        for reference in repository.references_glob(&format!("{LANES}*"))? {
            let mut reference = reference?;
            let lane = reference.name().ok().and_then(|name| name.strip_prefix(LANES)?.parse::<Uuid>().ok());
            if !lane.is_some_and(|lane| lanes.contains_key(&lane)) {
                reference.delete()?;
            }
        }
        Ok(())
    }

    /// The name of the trunk's reference: the one that was agreed on, one that is there, or what fits the remote.
    fn trunk_name(&mut self, refs: &Refs) -> Result<String, Error> {
        if let Some(name) = &self.store.state().trunk {
            return Ok(name.clone());
        }
        let [branch, hidden] = TRUNKS;
        let name = match (refs.all.get(hidden), refs.all.get(branch)) {
            (Some(_), _) => hidden,
            (None, Some(tip)) if self.is_trunk(branch, *tip)? => branch,
            // It is a project's own.
            (None, Some(_)) => hidden,
            (None, None) if self.has_branches()? => hidden,
            (None, None) => branch,
        };
        Ok(name.to_owned())
    }

    /// Whether the remote has branches that are no lanes.
    fn has_branches(&self) -> Result<bool, Error> {
        let output = self.run(&["ls-remote", "--quiet", "--refs", REMOTE, "refs/heads/*"])?;
        let text = output.ok("the remote could not be asked what it has")?.text();
        let names = text.lines().filter_map(|line| Some(line.split_once('\t')?.1));
        let is_lane = |name: &str| self.options.lanes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        Ok(names.into_iter().any(|name| !is_lane(name)))
    }

    /// Whether the reference `name`, which is at `tip`, holds a trunk. A project's branch is not fetched for that: some commits of
    /// it are looked at, in a repository that is thrown away.
    fn is_trunk(&self, name: &str, tip: Oid) -> Result<bool, Error> {
        let repository = self.store.repository()?;
        if repository.find_commit(tip).is_ok() {
            return Ok(group_of(&repository, tip)?.is_some());
        }
        let folder = self.store.path().join(PROBE);
        let _ = std::fs::remove_dir_all(&folder);
        let probe = Repository::init_bare(&folder)?;
        let (depth, spec) = (format!("--depth={PROBE_COMMITS}"), format!("+{name}:{NEXT}"));
        let args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", &depth, "--filter=tree:0", REMOTE, &spec];
        let fetched = self.git.clone().at(&folder).run(&args, &self.limits())?;
        let found = fetched.ok("the remote's branch could not be looked at").and_then(|_| group_of(&probe, tip));
        let _ = std::fs::remove_dir_all(&folder);
        Ok(found?.is_some())
    }

    /// Takes what was fetched as the trunk.
    fn take_trunk(&mut self, next: Option<Oid>, asked: Asked) -> Result<(), Error> {
        let before = self.store.target(TRUNK)?;
        let Some(listed) = next else {
            return match before {
                Some(_) if !asked.refill => Err(Error::new(
                    Class::Config,
                    "the remote's trunk is gone: the remote was emptied or recreated; `indelible sync --refill` fills it again",
                )),
                Some(before) => {
                    self.keep(before)?;
                    self.store.delete(TRUNK)
                }
                None => Ok(()),
            };
        };
        if before == Some(listed) {
            return Ok(());
        }
        let Some(next) = self.store.target(NEXT)? else { return Ok(()) };
        let repository = self.store.repository()?;
        let group = group_of(&repository, next)?;
        self.check_group(group)?;
        if let Some(before) = before
            && before != next
            && !repository.graph_descendant_of(next, before)?
        {
            if !repository.graph_descendant_of(before, next)? && !asked.refill {
                let what = "the remote's trunk was rewritten by another program";
                let then =
                    "nothing is merged until `indelible sync --refill` says that what it had is to be there again";
                return Err(Error::new(Class::Config, format!("{what}: {then}")));
            }
            self.keep(before)?;
        }
        self.store.set(TRUNK, next)
    }

    fn check_group(&mut self, group: Option<Uuid>) -> Result<(), Error> {
        let Some(group) = group else {
            return Err(Error::new(
                Class::Config,
                "the reference that is to be the trunk holds another program's commits",
            ));
        };
        match self.store.state().group {
            Some(known) if known != group => {
                let what = "the remote's trunk is that of another group of homes";
                Err(Error::new(Class::Config, format!("{what}: {group}, and this home belongs to {known}")))
            }
            Some(_) => Ok(()),
            None => self.store.change(|state| state.group = Some(group)),
        }
    }

    fn keep(&self, trunk: Oid) -> Result<(), Error> {
        self.store.set(&format!("{KEEP}{trunk}"), trunk)
    }

    fn kept(&self) -> Result<Vec<Oid>, Error> {
        let repository = self.store.repository()?;
        let mut kept = Vec::new();
        for reference in repository.references_glob(&format!("{KEEP}*"))? {
            kept.extend(reference?.target());
        }
        Ok(kept)
    }

    /// Forgets the trunks of before that the trunk has by now.
    fn forget_kept(&self) -> Result<(), Error> {
        let Some(trunk) = self.store.target(TRUNK)? else { return Ok(()) };
        let repository = self.store.repository()?;
        for kept in self.kept()? {
            if kept == trunk || repository.graph_descendant_of(trunk, kept)? {
                self.store.delete(&format!("{KEEP}{kept}"))?;
            }
        }
        Ok(())
    }

    /// Merges what the trunk lacks. Returns what it has merged of each lane, and what was made, if it lacked something.
    fn merge(&mut self, remote: &Remote) -> Result<(Lanes, Option<Merged>), Error> {
        let trunk = self.store.target(TRUNK)?;
        let repository = self.store.repository()?;
        let known = self.store.state().merged.clone();
        let at = known.as_ref().and_then(|known| Oid::from_str(&known.0).ok());
        let known = known.map(|known| known.1).unwrap_or_default();
        let known: Lanes = known.iter().filter_map(|(lane, tip)| Some((*lane, Oid::from_str(tip).ok()?))).collect();
        let merged = fold::merged(&repository, trunk, (at, &known))?;
        self.note_merged(trunk, &merged, &remote.lanes)?;
        let mut sides = fold::sides(&repository, trunk, &remote.lanes, &merged)?;
        for kept in self.kept()? {
            let is_merged = trunk.map_or(Ok(false), |trunk| {
                Ok::<_, Error>(trunk == kept || repository.graph_descendant_of(trunk, kept)?)
            })?;
            let base = trunk.map(|trunk| fold::common(&repository, trunk, kept)).transpose()?.flatten();
            sides.extend((!is_merged).then_some(Side { lane: None, base, tip: kept }));
        }
        if sides.is_empty() {
            return Ok((merged, None));
        }
        // It is this home's only once its trunk is on the remote.
        let group = self.store.state().group.unwrap_or_else(random::id);
        let options = merge::Options { group, skips_checks: remote.trunk.starts_with("refs/heads/") };
        let made = self.store.write_objects(|repository| Ok(merge::merge(repository, trunk, &sides, &options)?))?;
        Ok((merged, made))
    }

    /// Notes what the trunk has merged, so that it is not walked again.
    fn note_merged(&mut self, trunk: Option<Oid>, merged: &Lanes, lanes: &Lanes) -> Result<(), Error> {
        let Some(trunk) = trunk else { return Ok(()) };
        let merged = merged.iter().filter(|(lane, _)| lanes.contains_key(*lane));
        let merged: BTreeMap<Uuid, String> = merged.map(|(lane, tip)| (*lane, tip.to_string())).collect();
        self.store.change(|state| state.merged = Some((trunk.to_string(), merged)))
    }

    fn push_trunk(&mut self, name: &str, commit: Oid) -> Result<Answer, Error> {
        let expected = self.store.target(TRUNK)?.map(|id| id.to_string()).unwrap_or_default();
        let lease = format!("--force-with-lease={name}:{expected}");
        let spec = format!("{commit}:{name}");
        crash::at(Point::TrunkBeforePush)?;
        let args = ["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", &lease, REMOTE, &spec];
        let output = self.run(&args)?;
        crash::at(Point::TrunkAfterPush)?;
        let answer = answer_of(&output.text(), name, &output.stderr, output.success);
        if answer == Answer::Taken {
            let group = group_of(&self.store.repository()?, commit)?;
            let name = name.to_owned();
            self.store.change(|state| {
                state.group = group;
                state.trunk = Some(name);
            })?;
        }
        Ok(answer)
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

    /// Deletes the lanes that the trunk has and that nothing more comes on.
    fn fold(&mut self, remote: &Remote, merged: &Lanes, done: &mut Combined) -> Result<(), Error> {
        let now = Timestamp::now();
        let seen = self.store.state().lanes.iter();
        let seen = seen.filter_map(|(lane, (tip, since))| Some((*lane, (Oid::from_str(tip).ok()?, *since)))).collect();
        let seen = fold::look(&seen, &remote.lanes, now);
        let noted = seen.iter().map(|(lane, (tip, since))| (*lane, (tip.to_string(), *since))).collect();
        self.store.change(|state| state.lanes = noted)?;
        let own = Some(self.store.state().lane);
        let foldable = fold::foldable(&self.store.repository()?, (&remote.lanes, merged), &seen, own, now)?;
        for lanes in foldable.chunks(FOLDED_AT_ONCE) {
            self.fold_some(remote, lanes, done)?;
        }
        Ok(())
    }

    fn fold_some(&mut self, remote: &Remote, lanes: &[(Uuid, Oid)], done: &mut Combined) -> Result<(), Error> {
        let names = |lane: &Uuid| remote.names.get(lane).into_iter().flatten();
        let mut args: Vec<String> =
            ["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags"].map(str::to_owned).to_vec();
        for (lane, tip) in lanes {
            args.extend(names(lane).map(|name| format!("--force-with-lease={name}:{tip}")));
        }
        args.push(REMOTE.to_owned());
        for (lane, _) in lanes {
            args.extend(names(lane).map(|name| format!(":{name}")));
        }
        let output = self.run(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
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

/// The group of homes that the trunk `tip` is of; `None` if it is no trunk.
fn group_of(repository: &Repository, tip: Oid) -> Result<Option<Uuid>, Error> {
    let mut walk = repository.revwalk()?;
    walk.simplify_first_parent()?;
    walk.push(tip)?;
    for id in walk.take(GROUP_COMMITS_MAX) {
        // The end of what was fetched.
        let Some(commit) = id.ok().and_then(|id| repository.find_commit(id).ok()) else { break };
        let trailers = message::parse(commit.message_bytes());
        if trailers.format.is_some_and(|format| format > message::FORMAT) {
            return Err(Error::new(Class::Config, "the trunk is of a newer indelible: upgrade this one"));
        }
        if trailers.group.is_some() {
            return Ok(trailers.group);
        }
    }
    Ok(None)
}
