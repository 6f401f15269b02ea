//! Keeps the number of packs small: rolls small ones into one when there are many.
//!
//! Every commit adds a pack. The git program is best at rolling small packs into one; without it, libgit2 does.
//! Neither touches packs that are kept (`.keep`), or that are more than their objects (`.promisor`, `.mtimes`,
//! `.bitmap`). A pack stays if it is at least twice as large as all smaller ones together. So an object is rewritten
//! only as often as the number of records has doubled.
//!
//! Rolling packs takes memory for all their objects, some hundred bytes each. So one roll takes at most
//! `roll_objects_max` objects, or a sixteenth of the history if that is more. A pack of more than half of that has
//! grown enough and stays. The largest history then has some thirty such packs, beside the small ones.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while the new pack is written | our folder; git's `tmp_*` | [`History::sweep`]; a user's `gc` for `tmp_*` |
//! | before the old packs go | objects twice; the new `.keep` lists the old packs | [`History::sweep`] removes them |
//! | while the old packs go | some of them, no multi-pack index | as above; git searches each pack meanwhile |
//! | after that | the new pack, with a leftover `.keep` | [`History::sweep`] |

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

/// Which program rolled packs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repacker {
    /// The git program.
    Git,
    /// libgit2, without a git program.
    Library,
}

/// The result of a repack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repacked {
    /// The program that did it.
    pub by: Repacker,
    /// The number of packs before.
    pub before: usize,
    /// The number of packs now.
    pub after: usize,
}

/// A history that would fill more packs than this with `roll_objects_max` objects each gets larger packs instead.
const FULL_PACKS: u64 = 16;
/// A larger pack is not rewritten in the background.
const PACK_BYTES_MAX: u64 = 256 << 20;
/// Limits on the memory for finding deltas. (libgit2 also uses the first as the size above which it does not compare a
/// file with others.)
pub(super) const LIBRARY_CONFIG: &str = "[pack]\n\tdeltaCacheSize = 8388608\n\twindowMemory = 16777216\n";

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

/// No configuration but ours, no prompts, and no fetching.
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
    /// Rolls small packs into one if there are half as many as the options allow.
    ///
    /// # Errors
    /// Errors of the disk or of libgit2. An error or a crash loses nothing: [`History::sweep`] and the next call
    /// repair what it left.
    pub fn repack_if_needed(&self) -> Result<Option<Repacked>, Error> {
        self.repack_from(self.options.packs_max / 2)
    }

    /// Whether there are as many packs to roll as the options allow. False if they cannot be counted.
    pub(crate) fn has_packs_max(&self) -> bool {
        self.rollable().is_ok_and(|packs| packs.growing >= self.options.packs_max)
    }

    /// As [`History::repack_if_needed`], from `packs` of them on: for callers that would rather not wait for it.
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

    /// Kills the git program of a running repack: it would outlive its parent, and change the packs under the next
    /// process. A later repack does the rest.
    pub fn end_repack(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// The packs that may be rolled. Called after every commit, so it reads one folder and no file.
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
        // A concurrent repack may have removed one meanwhile.
        let sized = |name: String| {
            let bytes = fs::metadata(packs.join(format!("{name}.pack"))).ok()?.len();
            let objects = objects(&packs.join(format!("{name}.idx"))).ok()?;
            Some(Pack { objects: if bytes > PACK_BYTES_MAX { u64::MAX } else { objects }, name })
        };
        Ok(Rollable::of(files.into_keys().filter_map(sized).collect(), self.options.roll_objects_max))
    }

    /// Rolls the packs `replaced` into one; `None` if there is nothing to do, or no time.
    fn repack_into_one(&self, replaced: &[String]) -> Result<Option<Repacker>, Error> {
        let packs = self.packs();
        // Only git may change a chain of multi-pack indexes.
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

    /// Runs the git program to write all objects of the packs `replaced` as one pack; `None` if it did not.
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

    /// A file that lists every object of the packs `replaced`, one per line; `None` if there is no time. A folder's
    /// line ends with the first name in it: git first compares objects whose lines end alike, and most commits change
    /// a folder by adding names to it.
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

    /// Starts the git program. It sees nothing of the repository but its objects: a configuration, hooks, helpers,
    /// filters or a remote that fetches missing objects could each name a program to run, and the repository may be
    /// untrusted. So git works in a temporary repository of our own that borrows the other's object folder, and its
    /// environment is built here.
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
            // Our packs are written without deltas; git would reuse that as the best result.
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

/// The first name in the tree whose bytes are `tree`, if a line can end with it.
fn first_name(tree: &[u8]) -> String {
    let first = tree::entries(tree).next().and_then(Result::ok);
    let name = first.and_then(|entry| std::str::from_utf8(entry.name).ok()).unwrap_or_default();
    if name.contains(['\n', '\r']) { String::new() } else { name.to_owned() }
}

/// A pack, ordered by its number of objects.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pack {
    objects: u64,
    /// `pack-<hash>`.
    name: String,
}

/// The packs that may be rolled, and how many of them to roll.
#[derive(Debug, PartialEq, Eq)]
struct Rollable {
    /// All of them, ordered by size.
    packs: Vec<Pack>,
    /// The number of packs that have not grown enough yet.
    growing: usize,
    /// The number of these that one roll can take.
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

    /// The names of the packs to roll.
    fn small(&self) -> Vec<String> {
        let together = self.together();
        let small = small_ones(&together.iter().map(|it| it.objects).collect::<Vec<_>>());
        together[..small].iter().map(|it| it.name.clone()).collect()
    }
}

/// The number of packs, ordered by size, to roll into one, so that each remaining pack is at least twice as large as
/// all smaller ones together.
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

/// Waits for `child`. Kills it and its children if it takes too long or `hurry` is set. Returns whether it succeeded.
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
