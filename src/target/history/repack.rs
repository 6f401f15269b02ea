//! Keeping packs few: small ones are rolled into one when there are many.
//!
//! Every commit of ours adds a pack. The git program writes the objects of the small ones into one best; where it is not
//! to be had, libgit2 does it. Either way packs that somebody keeps, or that mean more than their objects (`.promisor`,
//! `.mtimes`, `.bitmap`), are not touched. Packs stay where each is at least twice as large as all smaller ones
//! together, so an object is written anew as often as the number of records has doubled, and no more.
//!
//! Whoever rolls packs holds all their objects in memory, some hundred bytes of each. So no more than
//! `roll_objects_max` go into one, or a sixteenth of the history where that is more; a pack of more than half of it has
//! grown enough and stays. That leaves some thirty of those in the largest history, beside the small ones.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the new pack is written | a folder of ours, and git's `tmp_*` | [`History::sweep`]; the latter by `gc`, where the repository is theirs |
//! | before the old packs go | their objects twice; the new pack's `.keep` says which they are | [`History::sweep`] removes them |
//! | while the old packs go | some of them, and no index over many packs | as above; without that index git looks into each pack |
//! | after that | the new pack, with a `.keep` too many | [`History::sweep`] |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use git2::ObjectType;

use super::pack::{self, Staged, Staging};
use super::pack_file::{HELD, Ids, is_pack, objects, remove_replaced};
use super::{Doing as _, DoingAt as _, Error, History, tree};
use crate::fs::crash::Point;
use crate::fs::os;

/// What rolled packs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repacker {
    /// The git program.
    Git,
    /// The library, without one.
    Library,
}

/// What a repack did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repacked {
    /// Who did it.
    pub by: Repacker,
    /// How many packs there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
}

/// At most so many full packs are a history that is too large for packs of `roll_objects_max`.
const FULL_PACKS: u64 = 16;
/// A larger pack is nothing that should be written anew in the background.
const PACK_BYTES_MAX: u64 = 256 << 20;
/// Bounds for the memory that finding like objects takes. (libgit2 also takes the first for the size from which on a
/// file is not compared with others.)
const LIBRARY_CONFIG: &str = "[pack]\n\tdeltaCacheSize = 8388608\n\twindowMemory = 16777216\n";

/// One pack, synced, with little memory beside the objects themselves, whatever the repository's settings say.
const GIT_SETTINGS: [&str; 10] = [
    "core.fsync=all",
    "core.fsyncMethod=fsync",
    "pack.packSizeLimit=0",
    "pack.writeReverseIndex=false",
    "pack.threads=1",
    "pack.windowMemory=8m",
    "pack.deltaCacheSize=1m",
    "core.packedGitWindowSize=1m",
    "core.packedGitLimit=8m",
    "core.deltaBaseCacheLimit=4m",
];

/// No configuration but ours, nobody to ask, and nothing fetched.
const GIT_ENVIRONMENT: [(&str, &str); 6] = [
    ("GIT_CONFIG_GLOBAL", NULL_DEVICE),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
];
const NULL_DEVICE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

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
        let Some(by) = self.repack_into_one(&rollable.small())? else { return Ok(None) };
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
        let sized = |name: String| {
            let bytes = fs::metadata(packs.join(format!("{name}.pack"))).ok()?.len();
            let objects = objects(&packs.join(format!("{name}.idx"))).ok()?;
            Some(Pack { objects: if bytes > PACK_BYTES_MAX { u64::MAX } else { objects }, name })
        };
        Ok(Rollable::of(files.into_keys().filter_map(sized).collect(), self.options.roll_objects_max))
    }

    /// Rolls the packs `replaced` into one; `None` where there is nothing to do, or no time.
    fn repack_into_one(&self, replaced: &[String]) -> Result<Option<Repacker>, Error> {
        let packs = self.packs();
        // A chain of indexes over many packs is git's alone to change.
        if replaced.len() < 2 || packs.join("multi-pack-index.d").exists() {
            return Ok(None);
        }
        let by_git = self.write_by_git(replaced)?;
        if self.hurry.load(Ordering::Relaxed) {
            tracing::debug!("ended before its time: packs are rolled together another time");
            return Ok(None);
        }
        let (staged, by) = match by_git {
            Some(staged) => (staged, Repacker::Git),
            None => (self.write_by_library(replaced)?, Repacker::Library),
        };
        let placed = staged.place(self, None)?;
        let new = Ids::open(&placed.file("idx")).doing_at("reading a pack's index", &packs)?;
        pack::check_seen(self, new.map_while(Result::ok))?;
        self.step(Point::RepackBeforeRemoval)?;
        remove_replaced(placed.packs(), placed.name(), replaced)?;
        self.step(Point::RepackAfterRemoval)?;
        placed.release()?;
        Ok(Some(by))
    }

    /// Has the git program write one pack of all objects of the packs `replaced`; `None` where it did not.
    fn write_by_git(&self, replaced: &[String]) -> Result<Option<Staged>, Error> {
        let Some(program) = &self.options.git_program else { return Ok(None) };
        let staging = Staging::create(self, "repack", replaced)?;
        let Some(list) = self.list_objects(&staging, replaced)? else { return Ok(None) };
        let child = self.spawn_git(program, &staging, list);
        match child.and_then(|child| wait(child, self.options.repack_wait, &self.hurry)) {
            Ok(true) => return staging.written(),
            Ok(false) if self.hurry.load(Ordering::Relaxed) => {}
            Ok(false) => {
                tracing::warn!(program = %program.display(), "git failed to write a pack; the library does it")
            }
            Err(error) => {
                tracing::debug!(program = %program.display(), %error, "no git program; the library does it");
            }
        }
        Ok(None)
    }

    /// A file that names every object of the packs `replaced`, one in a line; `None` if there is no time. A folder's line
    /// ends with the first name in it: git compares those first whose lines end alike, and what most commits change
    /// is a folder to which they add names.
    fn list_objects(&self, staging: &Staging, replaced: &[String]) -> Result<Option<File>, Error> {
        let doing = "listing the objects of small packs";
        let packs = self.packs();
        let repository = self.repository()?;
        let objects = repository.odb().doing(doing)?;
        let (path, file) = staging.create_file("objects").doing_at(doing, &packs)?;
        let mut list = BufWriter::new(file);
        for name in replaced {
            for id in Ids::open(&packs.join(format!("{name}.idx"))).doing_at(doing, &packs)? {
                if self.hurry.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let id = id.doing_at(doing, &packs)?;
                let hint = match objects.read_header(id).doing(doing)? {
                    (_, ObjectType::Tree) => first_name(objects.read(id).doing(doing)?.data()),
                    _ => String::new(),
                };
                writeln!(list, "{id} {hint}").doing_at(doing, &path)?;
            }
        }
        list.into_inner().map_err(io::IntoInnerError::into_error).doing_at(doing, &path)?;
        File::open(&path).map(Some).doing_at(doing, &path)
    }

    /// Starts the git program. It sees none of the repository but its objects: a configuration, hooks, helpers, filters or a
    /// remote that fetches what is missing could each name a program, and the repository may be somebody else's work. So it
    /// works in a repository of ours, made for this, that has the other's folder of objects; and its environment is built
    /// here.
    fn spawn_git(&self, program: &Path, staging: &Staging, objects: File) -> io::Result<Child> {
        let repository = staging.empty_repository()?;
        let mut command = Command::new(program);
        let kept = os::VARIABLES.iter().filter(|name| **name != "PATH");
        let kept = kept.filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(kept);
        if let Ok(path) = std::env::join_paths(os::absolute_paths()) {
            command.env("PATH", path);
        }
        command.envs(GIT_ENVIRONMENT).env("GIT_OBJECT_DIRECTORY", self.common.join("objects"));
        command.arg("--git-dir").arg(&repository).current_dir(&repository);
        for setting in GIT_SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(["pack-objects", "-q", "--delta-base-offset"]);
        if self.owned {
            // Our packs compare nothing when they are made, and git would take that for the best that can be done.
            command.arg("--no-reuse-delta");
        }
        command.arg(staging.path().join("pack"));
        os::start_in_background(command.stdin(objects).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn write_by_library(&self, replaced: &[String]) -> Result<Staged, Error> {
        let packs = self.packs();
        let staging = Staging::create(self, "repack", replaced)?;
        let repository = self.repository()?;
        repository.set_config(&staging.settings(LIBRARY_CONFIG)?).doing("configuring a repack")?;
        let mut builder = repository.packbuilder().doing("starting a pack")?;
        builder.set_threads(1);
        for name in replaced {
            for id in Ids::open(&packs.join(format!("{name}.idx"))).doing_at("reading a pack's index", &packs)? {
                let id = id.doing_at("reading a pack's index", &packs)?;
                builder.insert_object(id, None).doing("filling a pack")?;
            }
        }
        staging.write(&mut builder)
    }
}

/// The first name in the tree whose bytes are `tree`, if it is one that a line can end with.
fn first_name(tree: &[u8]) -> String {
    let first = tree::entries(tree).next().and_then(Result::ok);
    let name = first.and_then(|entry| std::str::from_utf8(entry.name).ok()).unwrap_or_default();
    if name.contains(['\n', '\r']) { String::new() } else { name.to_owned() }
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
        let all = packs.iter().map(|it| it.objects).filter(|it| *it != u64::MAX).sum::<u64>();
        let max = objects_max.max(all / FULL_PACKS);
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

    /// The names of those to roll.
    fn small(&self) -> Vec<String> {
        let together = self.together();
        let small = small_ones(&together.iter().map(|it| it.objects).collect::<Vec<_>>());
        together[..small].iter().map(|it| it.name.clone()).collect()
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
            (sizes(rollable.together()), sizes(&rollable.packs[rollable.together..]), rollable.growing)
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
