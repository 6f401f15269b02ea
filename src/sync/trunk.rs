//! The trunk's reference: which one it is, whether what was fetched can be taken as the trunk, and what is kept of one that was set
//! back.

use std::collections::BTreeSet;

use git2::{Oid, Repository};
use uuid::Uuid;

use super::git::Limits;
use super::objects::Objects;
use super::purge::{Looks, Rewriter};
use super::remote::{Refs, TRUNKS};
use super::session::REMOTE;
use super::store::{SyncState, TRUNK};
use super::{Asked, Class, Error, Session, fold, message};
use crate::model::RecordId;

/// A trunk that was fetched and is not taken yet.
pub(super) const NEXT: &str = "refs/r/next";
/// The prefix of trunks that a person set back: what they had is merged again.
pub(super) const KEEP: &str = "refs/indelible/keep/";
/// The folder in `sync.git` of a repository in which a branch is looked at, and how many commits of it.
const PROBE: &str = "probe";
const PROBE_COMMITS: [usize; 2] = [100, GROUP_COMMITS_MAX];
/// How many bytes may come with them: a server that takes no filter sends all files, too.
const PROBE_BYTES_MAX: u64 = 256 << 20;
/// How many commits of a trunk are looked through for the group that it is of.
const GROUP_COMMITS_MAX: usize = 10_000;

impl Session<'_> {
    /// The name of the trunk's reference: the one that was agreed on, one that is there, or what fits the remote.
    pub(super) fn trunk_name(&mut self, refs: &Refs) -> Result<String, Error> {
        if let Some(name) = &self.options.trunk {
            return Ok(name.clone());
        }
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
    pub(super) fn has_branches(&self) -> Result<bool, Error> {
        let output = self.run(&["ls-remote", "--quiet", "--refs", REMOTE, "refs/heads/*"])?;
        let text = output.ok("the remote could not be asked what it has")?.text();
        let names = text.lines().filter_map(|line| Some(line.split_once('\t')?.1));
        let is_lane = |name: &str| self.options.lanes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        Ok(names.into_iter().any(|name| !is_lane(name)))
    }

    /// Whether the reference `name`, which is at `tip`, holds a trunk.
    ///
    /// # Errors
    /// As [`Session::group_at`].
    pub(super) fn is_trunk(&self, name: &str, tip: Oid) -> Result<bool, Error> {
        Ok(self.group_at(name, tip)?.is_some())
    }

    /// The group whose trunk the reference `name` holds, which is at `tip`; `None` if it is no trunk. A project's branch is not fetched for
    /// that: commits of it are looked at, without their trees, in a repository that is thrown away. Few are looked at first.
    ///
    /// # Errors
    /// [`Class::Config`] if its history is cut off before it says so, or the server sends too much with it; else the class of what git says.
    pub(super) fn group_at(&self, name: &str, tip: Oid) -> Result<Option<Uuid>, Error> {
        let repository = self.store.repository()?;
        if repository.find_commit(tip).is_ok() {
            return group_of(&repository, tip);
        }
        let folder = self.store.path().join(PROBE);
        let _ = std::fs::remove_dir_all(&folder);
        let probe = Repository::init_bare(&folder)?;
        let found = self.probed(&probe, name, tip);
        let _ = std::fs::remove_dir_all(&folder);
        found
    }

    fn probed(&self, probe: &Repository, name: &str, tip: Oid) -> Result<Option<Uuid>, Error> {
        for commits in PROBE_COMMITS {
            let (depth, spec) = (format!("--depth={commits}"), format!("+{name}:{NEXT}"));
            let args =
                ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", &depth, "--filter=tree:0", REMOTE, &spec];
            let packs = probe.path().join("objects/pack");
            let limits = Limits { folder: Some((&packs, PROBE_BYTES_MAX)), ..self.limits() };
            let fetched =
                self.git.clone().at(probe.path()).run(&args, &limits).map_err(|error| match error.class() {
                    Class::Config => {
                        let what = format!("whether the remote's {name} is the trunk cannot be looked at");
                        let then = "`indelible remote add --trunk REF` says which reference is";
                        Error::new(Class::Config, format!("{what}: {error}; {then}"))
                    }
                    _ => error,
                })?;
            let _ = fetched.ok("the remote's branch could not be looked at")?;
            let (group, end) = looked_through(probe, tip)?;
            match end {
                _ if group.is_some() => return Ok(group),
                End::First => return Ok(None),
                End::CutOff(looked) if looked + 1 < commits => {
                    let what = format!(
                        "the remote's {name} is cut off (a shallow clone), so whether it is the trunk cannot be read"
                    );
                    return Err(Error::new(
                        Class::Config,
                        format!("{what}; sync with the repository that it is a clone of"),
                    ));
                }
                End::CutOff(_) | End::Limit => {}
            }
        }
        Ok(None)
    }

    /// Checks, before anything is pushed to a remote whose trunk this home does not know, that it is not another group's.
    ///
    /// # Errors
    /// [`Class::Config`] if it is; else the class of what git says.
    pub(super) fn check_remote_group(&mut self) -> Result<(), Error> {
        let state = self.store.state();
        if state.group.is_none() || state.trunk.is_some() {
            return Ok(());
        }
        let refs = self.list()?;
        let name = self.trunk_name(&refs)?;
        if let Some(tip) = refs.all.get(&name).copied()
            && let Some(group) = self.group_at(&name, tip)?
        {
            self.check_group(Some(group))?;
            self.store.change(|state| state.trunk = Some(name))?;
        }
        self.listed = Some(refs);
        Ok(())
    }

    /// Whether the remote's trunk is that of another group than this home's, which is accepted if it `joins`. It is asked also where this
    /// home knew another trunk.
    ///
    /// # Errors
    /// [`Class::Config`] if it is, and the home does not join; as `Session::group_at`.
    pub fn is_of_other_group(&mut self, joins: bool) -> Result<bool, Error> {
        let Some(own) = self.store.state().group else { return Ok(false) };
        let refs = self.list()?;
        let name = self.trunk_name(&refs)?;
        let group = refs.all.get(&name).map_or(Ok(None), |tip| self.group_at(&name, *tip))?;
        match group.filter(|group| *group != own) {
            Some(group) if !joins => self.check_group(Some(group)).map(|()| false),
            other => Ok(other.is_some()),
        }
    }

    /// Leaves the group of homes that this one belongs to, and forgets what is known of the remote: it becomes a home of the remote's
    /// group. Killed half way, it is done again by the next call, or `sync` says that the group is another.
    ///
    /// # Errors
    /// [`Class::Later`] if it cannot be noted.
    pub fn leave_group(&mut self) -> Result<(), Error> {
        for trunk in self.kept()? {
            self.store.delete(&format!("{KEEP}{trunk}"))?;
        }
        self.store.forget_remote()?;
        self.store.change(|state| {
            *state = SyncState { group: None, ..state.of_another_remote() };
        })
    }

    /// Takes what was fetched as the trunk.
    pub(super) fn take_trunk(&mut self, next: Option<Oid>, asked: Asked) -> Result<(), Error> {
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
        let is_before = before.is_some_and(|before| repository.graph_descendant_of(before, next).unwrap_or(false));
        // What was the trunk's once is so without a word of its own: the first merge can be what was taken back.
        if !is_before {
            let group = group_of(&repository, next)?;
            self.check_group(group)?;
        }
        let erased = &self.store.state().erased;
        if let Some(before) = before
            && !is_after(&repository, next, before, erased)?
        {
            if !is_after(&repository, before, next, erased)? && !asked.refill {
                let what = "the remote's trunk was rewritten by another program";
                let then =
                    "nothing is merged until `indelible sync --refill` says that what it had is to be there again";
                return Err(Error::new(Class::Config, format!("{what}: {then}")));
            }
            self.keep(before)?;
        }
        self.store.set(TRUNK, next)
    }

    pub(super) fn check_group(&mut self, group: Option<Uuid>) -> Result<(), Error> {
        let Some(group) = group else {
            return Err(Error::new(
                Class::Config,
                "the reference that is to be the trunk holds another program's commits",
            ));
        };
        match self.store.state().group {
            Some(known) if known != group => {
                let what = "the remote's trunk is that of another group of homes";
                let then = "if they are to be one, `indelible remote add --join` with this remote";
                Err(Error::new(Class::Config, format!("{what}: {group}, and this home belongs to {known}; {then}")))
            }
            Some(_) => Ok(()),
            None => self.store.change(|state| state.group = Some(group)),
        }
    }

    pub(super) fn keep(&self, trunk: Oid) -> Result<(), Error> {
        self.store.set(&format!("{KEEP}{trunk}"), trunk)
    }

    pub(super) fn kept(&self) -> Result<Vec<Oid>, Error> {
        let repository = self.store.repository()?;
        let mut kept = Vec::new();
        for reference in repository.references_glob(&format!("{KEEP}*"))? {
            kept.extend(reference?.target());
        }
        Ok(kept)
    }

    /// Forgets the trunks of before that the trunk has by now: each of `kept`, and what it is without erased records.
    pub(super) fn forget_kept(&self, kept: &[(Oid, Oid)]) -> Result<(), Error> {
        let Some(trunk) = self.store.target(TRUNK)? else { return Ok(()) };
        let repository = self.store.repository()?;
        for (kept, now) in kept {
            if *now == trunk || repository.graph_descendant_of(trunk, *now)? {
                self.store.delete(&format!("{KEEP}{kept}"))?;
            }
        }
        Ok(())
    }
}

/// Where a look through a trunk's commits ended.
enum End {
    /// At its first commit.
    First,
    /// After so many, since the next one is not here.
    CutOff(usize),
    /// At the most that are looked at.
    Limit,
}

/// The group of homes that the trunk `tip` is of; `None` if it is no trunk.
pub(super) fn group_of(repository: &Repository, tip: Oid) -> Result<Option<Uuid>, Error> {
    Ok(looked_through(repository, tip)?.0)
}

/// The group of homes that the trunk `tip` is of, and where the look for it ended.
fn looked_through(repository: &Repository, tip: Oid) -> Result<(Option<Uuid>, End), Error> {
    let mut next = Some(tip);
    for looked in 0..GROUP_COMMITS_MAX {
        let Some(id) = next else { return Ok((None, End::First)) };
        // The end of what was fetched.
        let Ok(commit) = repository.find_commit(id) else { return Ok((None, End::CutOff(looked))) };
        let trailers = message::parse(commit.message_bytes());
        if trailers.format.is_some_and(|format| format > message::FORMAT) {
            return Err(Error::new(Class::Config, "the trunk is of a newer indelible: upgrade this one"));
        }
        if trailers.group.is_some() {
            return Ok((trailers.group, End::First));
        }
        if looked == 0 && trailers.format.is_some() && trailers.lane.is_some() {
            let what = "what is to be the trunk is at a lane's commit: a person set it back to before its first merge";
            return Err(Error::new(Class::Later, format!("{what}; a home that knew it merges it again")));
        }
        next = commit.parent_ids().next();
    }
    Ok((None, End::Limit))
}

/// Whether `trunk` goes on from `other`, or what it is without erased records from what that is without them: those that one of them
/// lost meanwhile, and `erased`.
fn is_after(repository: &Repository, trunk: Oid, other: Oid, erased: &BTreeSet<RecordId>) -> Result<bool, Error> {
    if trunk == other || repository.graph_descendant_of(trunk, other)? {
        return Ok(true);
    }
    let purged = |tip: Oid| fold::purged(repository, Some(tip), (None, &BTreeSet::new()));
    let lost: BTreeSet<RecordId> = purged(trunk)?.difference(&purged(other)?).copied().collect();
    let objects = Objects::of(repository)?;
    let mut rewriter = Rewriter::of(&objects, &lost.union(erased).copied().collect(), Looks::Everywhere);
    let (trunk, other) = (rewriter.commit(trunk, None)?, rewriter.commit(other, None)?);
    objects.place()?;
    Ok(trunk == other || repository.graph_descendant_of(trunk, other)?)
}
