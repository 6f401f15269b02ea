//! Fetching the trunk and the lanes. A lane that git does not take, or that is no line of commits, is left out by its name, and
//! all others are fetched: lanes are from outside, and one of them must not stop the others.
//!
//! 1. All of them are fetched at once. Only if that fails is it done by halves, until the lanes are alone that cannot be fetched.
//! 2. A lane is left out if the remote still answers, and says that the lane is there: otherwise it is the network. What this machine has
//!    no room or rights for is an error, and says nothing of a lane.
//! 3. What is left out is kept in `sync.json`, and asked for again when its lane moves, and by each `sync` by hand. A worker asks again
//!    after an hour if git has checked the lane here and found what is wrong with it. Anything else can have been this machine's or the
//!    server's trouble for a moment: that is asked again at the next look, and then as long after the last try as it has been failing.
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

/// The longest that a lane that was left out is not asked for.
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

    /// Fetches the reference `name`, which the remote has at `tip`, as the lane `lane`. Returns why it is no lane, if it is none:
    /// nothing of it stays then.
    ///
    /// # Errors
    /// The class of what git says; [`Class::Later`] too if the lane cannot be fetched, and not for long.
    pub(super) fn fetch_lane(&self, name: &str, lane: Uuid, tip: Oid) -> Result<Option<String>, Error> {
        let it = Wanted { lane, name: name.to_owned(), tip };
        let mut bad = BTreeMap::new();
        self.fetch_by_halves(std::slice::from_ref(&it), &mut bad)?;
        let Some(found) = bad.remove(&lane) else {
            let trouble = self.trouble_of(lane)?;
            trouble.as_ref().map_or(Ok(()), |_| self.store.delete(&format!("{LANES}{lane}")))?;
            return Ok(trouble);
        };
        let known = self.known(&it).is_some_and(|known| known.has_lasted(Timestamp::now()));
        match found.is_certain || known {
            true => Ok(Some(found.why)),
            false => Err(Error::new(Class::Later, format!("{name}: {}", found.why))),
        }
    }

    /// What is known of a lane that was left out, if it is where it was then.
    fn known(&self, it: &Wanted) -> Option<&BadLane> {
        let known = self.store.state().bad_lanes.get(&it.lane);
        known.filter(|bad| bad.commit == it.tip.to_string() && bad.name == it.name)
    }

    /// Fetches the trunk and the lanes `wanted`. Returns those that are left out.
    fn fetch_lanes(
        &self,
        trunk: Option<String>,
        wanted: &[Wanted],
        asked: Asked,
    ) -> Result<BTreeMap<Uuid, BadLane>, Error> {
        let (suspects, fine): (Vec<Wanted>, Vec<Wanted>) =
            wanted.iter().cloned().partition(|it| self.known(it).is_some());
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
            match self.known(&suspect) {
                Some(known) if !asked.retry_held && !known.is_due(now) => {
                    bad.insert(suspect.lane, known.clone());
                }
                known => {
                    let since = known.map_or(now, |known| known.at);
                    self.fetch_by_halves(std::slice::from_ref(&suspect), &mut bad)?;
                    bad.entry(suspect.lane).and_modify(|bad| bad.at = since);
                }
            }
        }
        for it in wanted.iter().filter(|it| !bad.contains_key(&it.lane)).cloned().collect::<Vec<_>>() {
            if let Some(why) = self.trouble_of(it.lane)? {
                bad.insert(it.lane, bad_lane(&it, why, true));
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
                let is_certain = error.to_string().contains(CHECKED);
                bad.insert(it.lane, bad_lane(it, error.to_string(), is_certain));
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

impl BadLane {
    /// Whether a worker asks for it again at the time `now`.
    fn is_due(&self, now: Timestamp) -> bool {
        let wait = match self.is_certain {
            true => LEFT_OUT_FOR,
            false => self.at.duration_until(self.tried).abs().min(LEFT_OUT_FOR),
        };
        self.tried.duration_until(now).abs() >= wait
    }

    /// Whether it has failed for so long that it does not pass by itself.
    fn has_lasted(&self, now: Timestamp) -> bool {
        self.is_certain || self.at.duration_until(now) >= LEFT_OUT_FOR
    }
}

/// What git says when it has read what was sent, and found that it is not what it has to be.
const CHECKED: &str = "fsck error";

/// Whether a fetch failed for want of room or rights here: then it says nothing of what was fetched. What the server says of itself
/// does not count.
fn is_of_this_machine(error: &Error) -> bool {
    let said = error.to_string().to_ascii_lowercase();
    let is_here = |why: &str| said.split("; ").any(|line| !line.contains("remote: ") && line.contains(why));
    [
        "no space left",
        "quota exceeded",
        "read-only file system",
        "permission denied",
        "insufficient permission",
        "out of memory",
        "cannot allocate memory",
        "too many open files",
        "file too large",
        "input/output error",
        "resource temporarily unavailable",
        "unable to create temporary file",
        "cannot fork",
    ]
    .iter()
    .any(|why| is_here(why))
}

fn bad_lane(it: &Wanted, why: String, is_certain: bool) -> BadLane {
    let now = Timestamp::now();
    BadLane { name: it.name.clone(), commit: it.tip.to_string(), why, at: now, tried: now, is_certain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_asked_for_again_the_sooner_the_shorter_it_has_failed() {
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).expect("a time");
        let bad = |at, tried, is_certain| BadLane {
            name: String::new(),
            commit: String::new(),
            why: String::new(),
            at,
            tried,
            is_certain,
        };
        for (since, tried, is_certain, now, is_due, has_lasted) in [
            (0, 0, false, 0, true, false),
            (0, 5, false, 9, false, false),
            (0, 5, false, 10, true, false),
            (0, 300, false, 359, false, true),
            (0, 300, false, 360, true, true),
            (0, 0, true, 59, false, true),
            (0, 0, true, 60, true, true),
        ] {
            let bad = bad(at(since), at(tried), is_certain);
            assert_eq!((bad.is_due(at(now)), bad.has_lasted(at(now))), (is_due, has_lasted), "{bad:?} {now}");
        }
    }

    #[test]
    fn what_fails_on_this_machine_is_told_from_what_the_server_says() {
        for (said, is_here) in [
            ("fatal: write error: No space left on device; fatal: index-pack failed", true),
            ("error: insufficient permission for adding an object to repository database ./objects", true),
            ("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)", true),
            ("remote: fatal: Out of memory, malloc failed; fatal: protocol error: bad pack header", false),
            ("error: object 12: hasDotgit: contains '.git'; fatal: fsck error in packed object", false),
        ] {
            // The words before what git said are ours.
            assert_eq!(is_of_this_machine(&Error::new(Class::Later, format!("x; {said}"))), is_here, "{said}");
        }
    }
}
