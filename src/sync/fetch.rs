//! Fetching the trunk and the lanes. A lane that git does not take, or that is no line of commits, is left out by its name, and
//! all others are fetched: lanes are from outside, and one of them must not stop the others.
//!
//! 1. All of them are fetched at once. Only if that fails is it done by halves, until the lanes are alone that cannot be fetched.
//! 2. A lane is left out if the remote still answers, and says that the lane is there: otherwise it is the network.
//! 3. What is left out is kept in `sync.json`, and asked for again after an hour, when its lane moves, and by each `sync` by hand.
//!
//! | killed | is where | and then |
//! | --- | --- | --- |
//! | some lanes fetched | `refs/r/lanes/*` | the rest is fetched |
//! | a lane is found bad, not noted | its reference, or nothing | found again |

use std::collections::BTreeMap;

use git2::{ErrorCode, ObjectType, Oid};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::fold::Lanes;
use super::session::REMOTE;
use super::store::{BadLane, LANES, TRUNK};
use super::trunk::NEXT;
use super::{Asked, Class, Error, Session};

/// How long a lane that was left out is not asked for.
const LEFT_OUT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// More lanes than so many are not left out by one sync: something else is wrong.
const BAD_MAX: usize = 64;

/// What the remote has.
pub(super) struct Remote {
    /// The full name of the trunk's reference, and where it is.
    pub(super) trunk: String,
    pub(super) trunk_at: Option<Oid>,
    /// The full names of the lanes' references, by lane; a lane can have one beneath each prefix.
    pub(super) names: BTreeMap<Uuid, Vec<String>>,
    pub(super) lanes: Lanes,
}

/// A lane that is to be fetched.
#[derive(Clone, Debug)]
struct Wanted {
    lane: Uuid,
    name: String,
    tip: Oid,
}

impl Wanted {
    fn spec(&self) -> String {
        format!("+{}:{LANES}{}", self.name, self.lane)
    }
}

impl Session<'_> {
    /// Fetches what the remote has and this home lacks.
    pub(super) fn fetch_all(&mut self, asked: Asked) -> Result<Remote, Error> {
        let refs = match self.listed.take() {
            Some(refs) => refs,
            None => self.list()?,
        };
        let (mut names, mut lanes): (BTreeMap<Uuid, Vec<String>>, Lanes) = (BTreeMap::new(), Lanes::new());
        let mut wanted = Vec::new();
        let merged = self.store.state().merged.as_ref().map(|merged| merged.1.clone()).unwrap_or_default();
        for (name, lane, tip) in refs.lanes(&self.options.lanes) {
            names.entry(lane).or_default().push(name.to_owned());
            let is_here = self.store.target(&format!("{LANES}{lane}"))? == Some(tip);
            // A sync that was killed, or failed, between git's fetch and the look at what came has noted nothing of it.
            let is_merged = || merged.get(&lane) == Some(&tip.to_string());
            if !is_here || !is_merged() && self.trouble_of(lane)?.is_some() {
                wanted.push(Wanted { lane, name: name.to_owned(), tip });
            }
            lanes.insert(lane, tip);
        }
        let trunk = self.trunk_name(&refs)?;
        let next = refs.all.get(&trunk).copied();
        let of_trunk = next.is_some() && next != self.store.target(TRUNK)?;
        let of_trunk = of_trunk.then(|| format!("+{trunk}:{NEXT}"));
        let bad = self.fetch_lanes(of_trunk, &wanted, asked)?;
        lanes.retain(|lane, _| !bad.contains_key(lane));
        self.store.change(|state| state.bad_lanes = bad)?;
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
        Ok(Remote { trunk, trunk_at: self.store.target(TRUNK)?, names, lanes: fetched })
    }

    /// Fetches the trunk alone, if the remote has one.
    pub(super) fn fetch_trunk(&mut self, asked: Asked) -> Result<(), Error> {
        let refs = self.list()?;
        let trunk = self.trunk_name(&refs)?;
        let next = refs.all.get(&trunk).copied();
        if next.is_none() || next == self.store.target(TRUNK)? {
            return Ok(());
        }
        match self.try_fetch(&[format!("+{trunk}:{NEXT}")])? {
            Some(error) => Err(error),
            None => self.take_trunk(next, asked),
        }
    }

    /// Fetches the trunk and the lanes `wanted`. Returns those that are left out.
    fn fetch_lanes(
        &self,
        trunk: Option<String>,
        wanted: &[Wanted],
        asked: Asked,
    ) -> Result<BTreeMap<Uuid, BadLane>, Error> {
        let known = |it: &Wanted| {
            self.store
                .state()
                .bad_lanes
                .get(&it.lane)
                .filter(|bad| bad.commit == it.tip.to_string() && bad.name == it.name)
        };
        let (suspects, fine): (Vec<Wanted>, Vec<Wanted>) = wanted.iter().cloned().partition(|it| known(it).is_some());
        let mut bad = BTreeMap::new();
        let specs: Vec<String> = trunk.iter().cloned().chain(fine.iter().map(Wanted::spec)).collect();
        if let Some(error) = self.try_fetch(&specs)? {
            if fine.is_empty() || error.class() == Class::Person {
                return Err(error);
            }
            if let Some(error) = self.try_fetch(trunk.as_slice())? {
                return Err(error);
            }
            self.fetch_by_halves(&fine, &mut bad)?;
        }
        let now = Timestamp::now();
        for suspect in suspects {
            match known(&suspect) {
                Some(known) if !asked.retry_held && known.at.duration_until(now).abs() < LEFT_OUT_FOR => {
                    bad.insert(suspect.lane, known.clone());
                }
                _ => self.fetch_by_halves(&[suspect], &mut bad)?,
            }
        }
        for it in wanted.iter().filter(|it| !bad.contains_key(&it.lane)).cloned().collect::<Vec<_>>() {
            if let Some(why) = self.trouble_of(it.lane)? {
                bad.insert(it.lane, bad_lane(&it, why));
            }
        }
        Ok(bad)
    }

    fn fetch_by_halves(&self, lanes: &[Wanted], bad: &mut BTreeMap<Uuid, BadLane>) -> Result<(), Error> {
        let specs: Vec<String> = lanes.iter().map(Wanted::spec).collect();
        let Some(error) = self.try_fetch(&specs)? else { return Ok(()) };
        if is_of_this_machine(&error) {
            return Err(error);
        }
        if let [it] = lanes {
            // A remote that still answers, and says the same, has the lane as it is.
            if self.look(&it.name)? == Some(it.tip) {
                bad.insert(it.lane, bad_lane(it, error.to_string()));
            }
        } else {
            let (first, second) = lanes.split_at(lanes.len() / 2);
            self.fetch_by_halves(first, bad)?;
            self.fetch_by_halves(second, bad)?;
        }
        if bad.len() > BAD_MAX { Err(error) } else { Ok(()) }
    }

    /// Fetches by `specs`. Returns what git said if it failed.
    ///
    /// # Errors
    /// As [`Git::run`](super::git::Git::run).
    fn try_fetch(&self, specs: &[String]) -> Result<Option<Error>, Error> {
        if specs.is_empty() {
            return Ok(None);
        }
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        args.extend(["--no-recurse-submodules", "--stdin", REMOTE]);
        let input = specs.join("\n") + "\n";
        let output = self.git.run_with_input(&args, Some(input.as_bytes()), &self.limits())?;
        Ok(output.ok("the remote could not be fetched").err())
    }

    /// Why what was fetched as the lane `lane` is no lane; `None` if it is one.
    fn trouble_of(&self, lane: Uuid) -> Result<Option<String>, Error> {
        let Some(tip) = self.store.target(&format!("{LANES}{lane}"))? else { return Ok(None) };
        let repository = self.store.repository()?;
        let kind = match repository.find_object(tip, None) {
            Ok(object) => object.kind(),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(match kind {
            Some(ObjectType::Commit) => None,
            Some(kind) => Some(format!("it is at a {}, and no commit", kind.str())),
            None => Some("it is at something that the remote did not send".to_owned()),
        })
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
}

/// Whether a fetch failed for want of room or rights here: then it says nothing of what was fetched.
fn is_of_this_machine(error: &Error) -> bool {
    let said = error.to_string();
    [
        "No space left",
        "quota exceeded",
        "Read-only file system",
        "Permission denied",
        "out of memory",
        "Too many open files",
    ]
    .iter()
    .any(|why| said.contains(why))
}

fn bad_lane(it: &Wanted, why: String) -> BadLane {
    BadLane { name: it.name.clone(), commit: it.tip.to_string(), why, at: Timestamp::now() }
}
