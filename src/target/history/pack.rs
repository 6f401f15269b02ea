//! Putting a pack into the repository, held by a `.keep`, and clearing away what a crash left of that.
//!
//! The pack is written into a folder of its own beside its place, which is on the same file system whatever the
//! repository looks like. Nothing of git's touches a folder there, whereas one called `tmp_*` would be gone at the next
//! `gc --prune=now`. Folder and `.keep` are locked by their maker for as long as it lives: **a `.keep` or a folder of ours
//! that nobody has locked is a crash's**, whoever else is at work in the repository.
//!
//! What a git program was writing when it was killed, that of a repack of ours among them, is called `tmp_*`, and goes at
//! the next `git gc`. Nobody need run that in a repository that we made: there it goes when it has not changed for a day.
//! (`.tmp-*` is another matter: a whole pack, which git reads like any, and which can be the only one that has an object.)

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Config, Oid, PackBuilder};

use super::pack_file::{is_pack, remove, remove_replaced};
use super::pack_writer::{self, Object};
use super::{Doing as _, DoingAt as _, Error, History, lock, setup, sync_folder};
use crate::fs::crash::Point;
use crate::fs::os;

/// How a `.keep` of ours starts. The rest of the line says whose it is; further lines name the packs that this one is
/// to replace.
const KEEP_MARK: &str = "indelible ";
/// A `.keep` of ours is never longer.
const KEEP_BYTES_MAX: u64 = 1 << 20;
const STAGING_START: &str = "indelible-";
const STAGING_END: &str = ".staging";
/// How the name starts of what a git program is writing.
const GITS_START: &str = "tmp_";
/// A git program that is at work writes more often than this.
const GITS_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A folder beside the packs, for one pack.
pub(super) struct Staging {
    packs: PathBuf,
    path: PathBuf,
    /// Held for as long as this lives, since the `.keep` leaves the folder before the rest does.
    lock: Option<File>,
    keep: File,
}

/// A pack written and synced, in its folder.
pub(super) struct Staged {
    staging: Staging,
    /// `pack-<hash>`.
    name: String,
}

/// A pack in the repository, held by its `.keep`.
#[must_use = "a placed pack is held until it is released"]
pub(super) struct Placed {
    packs: PathBuf,
    name: String,
    /// Locked for as long as this lives.
    _keep: File,
    released: bool,
}

impl Staging {
    /// Makes the folder. `whose` and `replaced` go into the `.keep`.
    pub(super) fn create(history: &History, whose: &str, replaced: &[String]) -> Result<Staging, Error> {
        let packs = history.packs();
        loop {
            let path = packs.join(format!("{STAGING_START}{}{STAGING_END}", crate::random::timed_id().simple()));
            os::private_folders().create(&path).doing_at("making a folder for a pack", &path)?;
            match fill(&path, whose, replaced) {
                Ok((lock, keep)) => return Ok(Staging { packs, path, lock: Some(lock), keep }),
                // Somebody's sweep came upon the folder in the moment before it was locked.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => {}
                Err(error) => {
                    let _ = fs::remove_dir_all(&path);
                    return Err(error).doing_at("writing a pack's .keep", &path);
                }
            }
        }
    }

    /// The settings in `text`, and no others. libgit2 reads them from files alone.
    pub(super) fn settings(&self, text: &str) -> Result<Config, Error> {
        let path = self.path.join("config");
        fs::write(&path, text).doing_at("writing a configuration", &path)?;
        let read = Config::open(&path).and_then(|mut it| it.snapshot()).doing("reading a configuration");
        remove(&path)?;
        read
    }

    /// A repository in the folder that has nothing but what makes it one.
    pub(super) fn empty_repository(&self) -> io::Result<PathBuf> {
        let path = self.path.join("git");
        for name in ["", "objects", "refs"] {
            os::private_folders().create(path.join(name))?;
        }
        for (name, text) in [("HEAD", "ref: refs/heads/none\n"), ("config", "[core]\n\tbare = true\n")] {
            fs::write(path.join(name), text)?;
        }
        Ok(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new file in the folder.
    pub(super) fn create_file(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let path = self.path.join(name);
        let file = os::private_files().write(true).create_new(true).open(&path)?;
        Ok((path, file))
    }

    /// The pack that somebody else has written and synced here, if there is one, whole.
    pub(super) fn written(self) -> Result<Option<Staged>, Error> {
        for entry in fs::read_dir(&self.path).doing_at("looking for a pack", &self.path)? {
            let name = entry.doing_at("looking for a pack", &self.path)?.file_name();
            let name = name.to_str().and_then(|it| it.strip_suffix(".idx")).filter(|it| is_pack(it));
            if let Some(name) = name.filter(|it| self.path.join(format!("{it}.pack")).exists()) {
                return Ok(Some(Staged { name: name.to_owned(), staging: self }));
            }
        }
        Ok(None)
    }

    /// Writes `objects`, each of which is another.
    pub(super) fn write_objects(self, objects: &[Object<'_>]) -> Result<Staged, Error> {
        let name = pack_writer::write(&self.path, objects)?;
        Ok(Staged { staging: self, name })
    }

    /// Writes what the builder was given. libgit2 syncs both files.
    pub(super) fn write(self, builder: &mut PackBuilder<'_>) -> Result<Staged, Error> {
        builder.write(&self.path, os::UNCHANGING).doing("writing a pack")?;
        let hash = builder.name().doing("naming a pack")?.ok_or_else(|| git2::Error::from_str("the pack has no name"));
        let name = format!("pack-{}", hash.doing("naming a pack")?);
        Ok(Staged { staging: self, name })
    }
}

/// Locks the folder `path` and writes its `.keep`, which is locked too.
fn fill(path: &Path, whose: &str, replaced: &[String]) -> io::Result<(File, File)> {
    let lock = os::try_lock_folder(path)?;
    let mut keep = os::private_files().write(true).create_new(true).open(path.join("keep"))?;
    os::try_lock(&keep)?;
    let lines = replaced.iter().map(|name| format!("{name}\n")).collect::<String>();
    keep.write_all(format!("{KEEP_MARK}{whose}\n{lines}").as_bytes())?;
    keep.sync_all()?;
    Ok((lock, keep))
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = self.lock.take().map(|lock| os::remove_locked_folder(&self.path, lock));
    }
}

impl Staged {
    /// Moves `.keep`, pack and index into their places, in this order, and makes that durable. `steps` are the points
    /// before the first, before the second and before the third.
    pub(super) fn place(self, history: &History, steps: Option<[Point; 3]>) -> Result<Placed, Error> {
        let keep = self.staging.keep.try_clone().doing_at("holding a pack's .keep", &self.staging.path)?;
        let packs = self.staging.packs.clone();
        let placed = Placed { packs, name: self.name.clone(), _keep: keep, released: false };
        let moves = [
            ("keep".to_owned(), "keep"),
            (format!("{}.pack", self.name), "pack"),
            (format!("{}.idx", self.name), "idx"),
        ];
        for (number, (from, extension)) in moves.into_iter().enumerate() {
            if let Some(steps) = steps {
                history.step(steps[number])?;
            }
            let place = placed.file(extension);
            let from = self.staging.path.join(from);
            if extension != "keep" && !history.owned {
                os::set_mode_at(&from, history.modes.file(0o444)).doing_at("making a pack readable", &from)?;
            }
            let placed =
                if extension == "keep" { fs::rename(from, &place) } else { os::place_unchanging(&from, &place) };
            placed.doing_at("placing a pack", &place)?;
        }
        sync_folder(&placed.packs)?;
        Ok(placed)
    }
}

impl Placed {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file(&self, extension: &str) -> PathBuf {
        self.packs.join(format!("{}.{extension}", self.name))
    }

    /// Removes the `.keep`: the pack is reachable, or everybody's to collect.
    pub(super) fn release(mut self) -> Result<(), Error> {
        let keep = self.file("keep");
        fs::remove_file(&keep).doing_at("removing a pack's .keep", &keep)?;
        self.released = true;
        Ok(())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.released {
            let _ = settle(&self.packs, &self.name, &[]);
        }
    }
}

/// Whether a freshly opened repository sees every one of `ids`.
pub(super) fn check_seen(history: &History, ids: impl Iterator<Item = Oid>) -> Result<(), Error> {
    let repository = history.repository()?;
    let objects = repository.odb().doing("opening the objects")?;
    for id in ids {
        if !objects.exists(id) {
            let what = "an object of a pack just written".to_owned();
            return Err(Error::Damaged { object: id.to_string(), what, source: None });
        }
    }
    Ok(())
}

/// What [`History::sweep`] took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// `.keep` files whose pack is now everybody's.
    pub keeps: usize,
    /// Packs that had not got their index yet.
    pub packs: usize,
    /// Packs that had been rolled into another and were still there.
    pub rolled: usize,
    /// Folders in which packs were being written.
    pub folders: usize,
    /// Locks on references.
    pub locks: usize,
    /// Files that git programs were writing a day ago.
    pub unfinished: usize,
}

impl Swept {
    /// How many things were taken away.
    pub fn total(&self) -> usize {
        let Swept { keeps, packs, rolled, folders, locks, unfinished } = self;
        keeps + packs + rolled + folders + locks + unfinished
    }
}

impl History {
    /// Takes away what crashes of ours left: `.keep` files, packs without their index, folders of unfinished packs; and, in
    /// a repository that we made, what git programs were writing a day ago. Leaves alone what a living process holds, and
    /// everything that is not ours. A second call finds nothing.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that could not be removed.
    pub fn sweep(&self) -> Result<Swept, Error> {
        let packs = self.packs();
        let mut swept = Swept { locks: lock::sweep(self)?, ..Swept::default() };
        for entry in fs::read_dir(&packs).doing_at("listing the packs", &packs)? {
            let path = entry.doing_at("listing the packs", &packs)?.path();
            let Some(name) = path.file_name().and_then(|it| it.to_str()) else { continue };
            if name.starts_with(STAGING_START) && name.ends_with(STAGING_END) {
                swept.folders += usize::from(sweep_folder(&path)?);
            } else if let Some(stem) = name.strip_suffix(".keep") {
                sweep_keep(&packs, &path, stem, &mut swept)?;
            } else if self.owned && name.starts_with(GITS_START) && is_idle(&path) {
                swept.unfinished += usize::from(remove(&path)?);
            }
        }
        setup::sweep_excluded(&self.common)?;
        if swept != Swept::default() {
            sync_folder(&packs)?;
            tracing::info!(?swept, "cleared what a crash had left in the repository");
        }
        Ok(swept)
    }
}

fn sweep_folder(path: &Path) -> Result<bool, Error> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let lock = match os::try_lock_folder(path) {
        Ok(lock) => lock,
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) if gone(&error) => return Ok(false),
        Err(TryLockError::Error(error)) => {
            return Err(error).doing_at("opening the folder of an unfinished pack", path);
        }
    };
    match os::remove_locked_folder(path, lock) {
        Err(error) if gone(&error) => Ok(false),
        removed => removed.doing_at("removing an unfinished pack", path).map(|()| true),
    }
}

fn sweep_keep(packs: &Path, path: &Path, stem: &str, swept: &mut Swept) -> Result<(), Error> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    let mut text = String::new();
    let readable = (&file).take(KEEP_BYTES_MAX).read_to_string(&mut text).is_ok();
    if !readable || !text.starts_with(KEEP_MARK) || !is_free(&file) {
        return Ok(());
    }
    let replaced: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    let settled = settle(packs, stem, &replaced)?;
    swept.keeps += settled.keeps;
    swept.packs += settled.packs;
    swept.rolled += settled.rolled;
    Ok(())
}

/// Whether the file has not changed for so long that nobody is writing it. One from the future may be.
fn is_idle(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|it| it.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|idle| idle > GITS_IDLE_MAX))
}

fn is_free(file: &File) -> bool {
    match os::try_lock(file) {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Finishes what a `.keep` was for: a pack that lacks its index goes; a whole one, and what it replaces, stays or goes
/// as it was meant to; the `.keep` goes last.
fn settle(packs: &Path, name: &str, replaced: &[String]) -> Result<Swept, Error> {
    let file = |extension: &str| packs.join(format!("{name}.{extension}"));
    let mut settled = Swept::default();
    if file("pack").exists() && file("idx").exists() {
        settled.rolled = remove_replaced(packs, name, replaced)?;
    } else {
        let removed = [remove(&file("pack"))?, remove(&file("idx"))?];
        settled.packs = usize::from(removed.contains(&true));
    }
    settled.keeps = usize::from(remove(&file("keep"))?);
    Ok(settled)
}
