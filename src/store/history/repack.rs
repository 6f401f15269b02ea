//! Keeping packs few: small ones are rolled into one when there are many.
//!
//! Every commit of ours adds a pack. The git program rolls them best; where it is not to be had, libgit2 writes the
//! objects of the small packs anew. Either way packs that somebody keeps, or that mean more than their objects
//! (`.promisor`, `.mtimes`), are not touched. Packs stay where each is at least twice as large as all smaller ones
//! together, so an object is written anew as often as the number of records has doubled, and no more.
//!
//! Whoever rolls packs holds all their objects in memory, some hundred bytes of each. So no more than
//! `roll_objects_max` go into one, or a sixteenth of the history where that is more; a pack of more than half of it has
//! grown enough and stays. That leaves some thirty of those in the largest history, beside the small ones.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the new pack is written | a part of it: git's `tmp_*`, or a folder of ours | [`History::sweep`]; `gc`, where the repository is theirs |
//! | before the old packs go | their objects twice | the next repack; the library's `.keep` says which, for the sweep |
//! | after that | the new pack; the library's has a `.keep` too many | [`History::sweep`] |

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::pack::{self, Staging};
use super::pack_file::{HELD, Ids, is_pack, objects, remove_replaced};
use super::{Doing as _, DoingAt as _, Error, History};
use crate::fs::os;
use crate::fs::point::Point;

/// What rolled packs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roller {
    /// The git program.
    Git,
    /// The library, without one.
    Library,
}

/// What a repack did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repacked {
    /// Who did it.
    pub by: Roller,
    /// How many packs there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
}

/// At most so many full packs are a history that is too large for packs of `roll_objects_max`.
const FULL_PACKS: u64 = 16;
/// A larger pack is nothing that the library should write anew in the background.
const LIBRARY_PACK_BYTES_MAX: u64 = 256 << 20;
/// Bounds for the memory that finding like objects takes. (libgit2 also takes the first for the size from which on a
/// file is not compared with others.)
const LIBRARY_CONFIG: &str = "[pack]\n\tdeltaCacheSize = 8388608\n\twindowMemory = 16777216\n";

impl History {
    /// Rolls small packs into one when there are half as many as the options allow.
    ///
    /// # Errors
    /// What the disk or libgit2 refuses. Nothing is lost by an error or a crash: [`History::sweep`] and the next call
    /// mend what it left.
    pub fn repack_if_needed(&self) -> Result<Option<Repacked>, Error> {
        self.repack_from(self.options.packs_max / 2)
    }

    /// Whether there are as many packs that can be rolled as the options allow. Where they cannot be counted, no.
    pub(crate) fn has_packs_max(&self) -> bool {
        self.rollable().is_ok_and(|packs| packs.growing >= self.options.packs_max)
    }

    /// As [`History::repack_if_needed`], when there are `packs` of them: for those who would rather not wait for it.
    ///
    /// # Errors
    /// As there.
    pub fn repack_from(&self, packs: usize) -> Result<Option<Repacked>, Error> {
        let rollable = self.rollable()?;
        if rollable.growing < packs.max(2) {
            return Ok(None);
        }
        self.step(Point::RepackBefore)?;
        let by = match self.roll_by_git(&rollable) {
            true => Roller::Git,
            false => {
                self.roll_by_library(&rollable)?;
                Roller::Library
            }
        };
        if self.hurry.load(Ordering::Relaxed) {
            tracing::debug!("ended before its time: packs are rolled together another time");
            return Ok(None);
        }
        let done = Repacked { by, before: rollable.packs.len(), after: self.rollable()?.packs.len() };
        tracing::info!(?done, "rolled packs together");
        Ok(Some(done))
    }

    /// Ends the git program of a repack that is under way: it would outlive whoever started it, and change the packs
    /// beside whoever comes next. What it has not done is done another time.
    pub fn end_repack(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// The packs that may be rolled. Asked after every commit, so it reads one folder and no file.
    fn rollable(&self) -> Result<Rollable, Error> {
        let packs = self.packs();
        let mut files = BTreeMap::<String, Vec<String>>::new();
        for entry in fs::read_dir(&packs).doing_at("listing the packs", &packs)? {
            let name = entry.doing_at("listing the packs", &packs)?.file_name();
            if let Some((stem, extension)) = name.to_str().and_then(|it| it.split_once('.')).filter(|it| is_pack(it.0))
            {
                files.entry(stem.to_owned()).or_default().push(extension.to_owned());
            }
        }
        let has = |files: &[String], extension: &str| files.iter().any(|it| it == extension);
        files.retain(|_, it| has(it, "pack") && has(it, "idx") && !HELD.iter().any(|held| has(it, held)));
        // Whoever rolls packs beside us may have removed one meanwhile.
        let sized = |name: String| Some(Pack { objects: objects(&packs.join(format!("{name}.idx"))).ok()?, name });
        Ok(Rollable::of(files.into_keys().filter_map(sized).collect(), self.options.roll_objects_max))
    }

    /// The packs that the library may roll, by their number of objects.
    fn small_packs(&self, rollable: &Rollable) -> Vec<String> {
        let packs = self.packs();
        let may_roll = |pack: &&Pack| {
            let bytes = fs::metadata(packs.join(format!("{}.pack", pack.name))).map_or(u64::MAX, |it| it.len());
            let has_bitmap = packs.join(format!("{}.bitmap", pack.name)).exists();
            // An index of an older kind is left to git.
            let is_known = Ids::open(&packs.join(format!("{}.idx", pack.name))).is_ok();
            is_known && bytes <= LIBRARY_PACK_BYTES_MAX && !has_bitmap
        };
        let found: Vec<&Pack> = rollable.together().iter().filter(may_roll).collect();
        let small = small_ones(&found.iter().map(|it| it.objects).collect::<Vec<_>>());
        found[..small].iter().map(|it| it.name.clone()).collect()
    }

    fn roll_by_git(&self, rollable: &Rollable) -> bool {
        let Some(program) = &self.options.git_program else { return false };
        match self.spawn_git(program, rollable).and_then(|child| wait(child, self.options.repack_wait, &self.hurry)) {
            Ok(true) => true,
            Ok(false) if self.hurry.load(Ordering::Relaxed) => true,
            Ok(false) => {
                tracing::warn!(program = %program.display(), "git repack failed; the library does it");
                false
            }
            Err(error) => {
                tracing::debug!(program = %program.display(), %error, "no git program; the library does it");
                false
            }
        }
    }

    fn spawn_git(&self, program: &Path, rollable: &Rollable) -> io::Result<Child> {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.arg("--git-dir").arg(&self.common);
        for setting in [
            "core.hooksPath=/dev/null",
            "gc.auto=0",
            "maintenance.auto=false",
            "core.fsmonitor=false",
            "repack.writeBitmaps=false",
            "pack.threads=1",
            // What it takes beside the objects themselves.
            "pack.windowMemory=8m",
            "pack.deltaCacheSize=1m",
            "core.packedGitWindowSize=1m",
            "core.packedGitLimit=8m",
            "core.deltaBaseCacheLimit=4m",
        ] {
            command.args(["-c", setting]);
        }
        command.args(["repack", "--geometric=2", "-d", "-q"]).current_dir(&self.common);
        command.args(rollable.others().iter().map(|pack| format!("--keep-pack={}.pack", pack.name)));
        if self.owned {
            // Our packs compare nothing when they are made, and git would take that for the best that can be done.
            command.arg("-f");
        }
        os::start_in_background(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn roll_by_library(&self, rollable: &Rollable) -> Result<(), Error> {
        let packs = self.packs();
        // Its readers would look for packs that have gone; only git knows how to change one.
        if packs.join("multi-pack-index").exists() {
            return Ok(());
        }
        let replaced = self.small_packs(rollable);
        if replaced.len() < 2 {
            return Ok(());
        }
        let staging = Staging::create(self, "repack", &replaced)?;
        let repository = self.repository()?;
        repository.set_config(&staging.settings(LIBRARY_CONFIG)?).doing("configuring a repack")?;
        let mut builder = repository.packbuilder().doing("starting a pack")?;
        builder.set_threads(1);
        for name in &replaced {
            for id in Ids::open(&packs.join(format!("{name}.idx"))).doing_at("reading a pack's index", &packs)? {
                let id = id.doing_at("reading a pack's index", &packs)?;
                builder.insert_object(id, None).doing("filling a pack")?;
            }
        }
        let placed = staging.write(&mut builder)?.place(self, None)?;
        // They have the old packs open, which on Windows keeps them from being removed.
        drop(builder);
        drop(repository);
        let new = Ids::open(&placed.file("idx")).doing_at("reading a pack's index", &packs)?;
        pack::check_seen(self, new.map_while(Result::ok))?;
        self.step(Point::RepackBeforeRemoval)?;
        remove_replaced(&packs, placed.name(), &replaced)?;
        self.step(Point::RepackAfterRemoval)?;
        placed.release()
    }
}

/// A pack, by how much it has.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pack {
    objects: u64,
    /// `pack-<hash>`.
    name: String,
}

/// The packs that may be rolled, and how many of them are to be.
#[derive(Debug, PartialEq, Eq)]
struct Rollable {
    /// All of them, ordered by size.
    packs: Vec<Pack>,
    /// How many have not grown enough yet.
    growing: usize,
    /// How many of these one roll can take.
    together: usize,
}

impl Rollable {
    fn of(mut packs: Vec<Pack>, objects_max: u64) -> Rollable {
        packs.sort();
        let max = objects_max.max(packs.iter().map(|it| it.objects).sum::<u64>() / FULL_PACKS);
        let growing = packs.partition_point(|it| it.objects <= max / 2);
        let sums = packs[..growing].iter().scan(0, |sum, it| {
            *sum += it.objects;
            Some(*sum)
        });
        let together = sums.take_while(|sum| *sum <= max).count();
        Rollable { packs, growing, together }
    }

    fn together(&self) -> &[Pack] {
        &self.packs[..self.together]
    }

    fn others(&self) -> &[Pack] {
        &self.packs[self.together..]
    }
}

/// How many of the packs, which are ordered by size, to roll into one, so that each that stays is at least twice as
/// large as all smaller ones together.
fn small_ones(sizes: &[u64]) -> usize {
    let mut smaller = 0;
    let mut rolled = 0;
    for (number, &size) in sizes.iter().enumerate() {
        if size < 2 * smaller {
            rolled = number + 1;
        }
        smaller += size;
    }
    rolled
}

/// Waits for `child`, and ends it and what it started when it takes too long or `hurry` says so. Whether it succeeded.
fn wait(mut child: Child, wait_max: Duration, hurry: &AtomicBool) -> io::Result<bool> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() >= wait_max || hurry.load(Ordering::Relaxed) {
            os::end_background(&mut child)?;
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_roll_takes_no_more_than_fits_in_memory() {
        let chosen = |sizes: &[u64], objects_max| {
            let pack = |(number, &objects)| Pack { objects, name: format!("pack-{number}") };
            let rollable = Rollable::of(sizes.iter().enumerate().map(pack).collect(), objects_max);
            let sizes = |packs: &[Pack]| packs.iter().map(|it| it.objects).collect::<Vec<_>>();
            (sizes(rollable.together()), sizes(rollable.others()), rollable.growing)
        };
        assert_eq!(chosen(&[], 100), (vec![], vec![], 0));
        assert_eq!(chosen(&[5, 50, 1], 100), (vec![1, 5, 50], vec![], 3), "all of them fit");
        assert_eq!(chosen(&[30, 51, 1], 100), (vec![1, 30], vec![51], 2), "one has grown enough");
        assert_eq!(chosen(&[40, 40, 40], 100), (vec![40, 40], vec![40], 3), "the third is for the next roll");
        let many = [vec![200; 16], vec![60; 2]].concat();
        assert_eq!(chosen(&many, 100), (vec![60, 60], vec![200; 16], 2), "a large history has larger packs");
    }

    #[test]
    fn what_stays_is_twice_as_large_as_all_that_is_smaller() {
        assert_eq!(small_ones(&[]), 0);
        assert_eq!(small_ones(&[1, 2, 6, 18]), 0);
        assert_eq!(small_ones(&[3, 3, 3, 100]), 3);
        assert_eq!(small_ones(&[3, 3, 3, 17]), 4);
        assert_eq!(small_ones(&[1, 2, 6, 6, 100]), 4);
    }
}
