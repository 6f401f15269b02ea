//! Moving a pack into the repository, protected by a `.keep`, and cleaning up after a crash on the way.
//!
//! The pack is written into a folder of its own beside its final place, so it is always on the same file system. Git
//! never touches a folder there; only one called `tmp_*` would be deleted at the next `gc --prune=now`. The process
//! that makes the folder and the `.keep` keeps both locked while it lives: **a `.keep` or folder of this program
//! that no process has locked was left by a crash**, whatever other programs are at work in the repository.
//!
//! A git program that is killed leaves a file called `tmp_*`; so does the git program of our own repack. The next `git
//! gc` deletes it. A repository that we made may never see a `gc`: there the sweep deletes it when it has not changed
//! for a day. (`.tmp-*` is another matter: a whole pack, which git reads like any other, and which can be the only one
//! that has an object.)
//!
//! Every durable step goes through [`Dir`], where a simulated machine sees it. By path are: what the git program and
//! libgit2 write themselves (a rolled-up pack, which they sync before it is moved), locks on folders, and read-only
//! access.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use git2::{Config, Oid, PackBuilder};

use super::pack_file::{is_pack, is_there, remove, remove_replaced};
use super::{Doing as _, DoingAt as _, Error, History, lock, setup, sync};
use crate::fs::crash::Point;
use crate::fs::{self, Dir, os};
use crate::model::layout::{STAGING_END, STAGING_START};
use crate::objects::{self, Object};

/// The prefix of our `.keep` files. The rest of the line names the owner; further lines name the packs that this pack
/// replaces.
const KEEP_MARK: &str = "indelible ";
/// The size limit of our `.keep` files.
const KEEP_BYTES_MAX: u64 = 1 << 20;
/// The name prefix of files that a git program is writing.
const GITS_START: &str = "tmp_";
/// A git program at work writes more often than this.
const GITS_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Retries when a sweep removes a new folder before it is locked.
const SWEPT_MAX: usize = 1000;

/// A folder for one pack, beside the packs.
pub(super) struct Staging {
    packs: Arc<Dir>,
    folder: Dir,
    /// Held while this lives, since the `.keep` leaves the folder before the rest does.
    lock: Option<File>,
    keep: File,
}

/// A pack that is written and synced, still in its folder.
pub(super) struct Staged {
    staging: Staging,
    /// `pack-<hash>`.
    name: String,
}

/// A pack in the repository, protected by its `.keep`.
#[must_use = "a placed pack is held until it is released"]
pub(super) struct Placed {
    packs: Arc<Dir>,
    name: String,
    /// Locked while this lives.
    _keep: File,
    released: bool,
}

impl Staging {
    /// Makes the folder. `whose` and `replaced` are written to the `.keep`.
    pub(super) fn create(history: &History, whose: &str, replaced: &[String]) -> Result<Staging, Error> {
        let packs = Arc::new(super::folder(&history.packs())?);
        for attempt in 1.. {
            let name = format!("{STAGING_START}{}{STAGING_END}", crate::random::timed_id().simple());
            let path = packs.path().join(&name);
            let made = packs.make_folder(&name);
            // Another process's sweep can remove the folder just before it is locked.
            if attempt < SWEPT_MAX && made.as_ref().is_err_and(fs::Error::is_not_found) {
                continue;
            }
            let folder = made.doing_at("making a folder for a pack", &path)?;
            match fill(&folder, whose, replaced) {
                Ok((lock, keep)) => return Ok(Staging { packs, folder, lock: Some(lock), keep }),
                Err(error)
                    if attempt < SWEPT_MAX
                        && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => {}
                Err(error) => {
                    let _ = packs.remove_tree(&name);
                    return Err(error).doing_at("writing a pack's .keep", &path);
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// A configuration with exactly the settings in `text`. libgit2 reads settings only from files.
    pub(super) fn settings(&self, text: &str) -> Result<Config, Error> {
        const NAME: &str = "config";
        let path = self.path().join(NAME);
        write_file(&self.folder, NAME, text).doing_at("writing a configuration", &path)?;
        let read = Config::open(&path).and_then(|mut it| it.snapshot()).doing("reading a configuration");
        remove(&self.folder, NAME)?;
        read
    }

    /// A minimal repository in the folder.
    pub(super) fn empty_repository(&self) -> io::Result<PathBuf> {
        let folder = self.folder.make_folder("git")?;
        for name in ["objects", "refs"] {
            folder.make_folder(name)?;
        }
        for (name, text) in [("HEAD", "ref: refs/heads/none\n"), ("config", "[core]\n\tbare = true\n")] {
            write_file(&folder, name, text)?;
        }
        Ok(folder.path().to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new file in the folder, deleted along with it.
    pub(super) fn create_file(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let file = self.folder.create_empty(name)?;
        Ok((file.path().to_owned(), file.into()))
    }

    /// The pack that another program has written and synced here, if there is a whole one.
    pub(super) fn written(self) -> Result<Option<Staged>, Error> {
        for name in self.folder.names().doing_at("looking for a pack", self.path())? {
            let Some(name) = name.strip_suffix(".idx").filter(|it| is_pack(it)) else { continue };
            if is_there(&self.folder, &format!("{name}.pack"))? {
                return Ok(Some(Staged { name: name.to_owned(), staging: self }));
            }
        }
        Ok(None)
    }

    /// Writes `objects`, which are distinct.
    pub(super) fn write_objects(self, objects: &[Object<'_>]) -> Result<Staged, Error> {
        let name = objects::write(&self.folder, objects)?;
        Ok(Staged { staging: self, name })
    }

    /// Writes the objects given to the builder. libgit2 syncs both files.
    pub(super) fn write(self, builder: &mut PackBuilder<'_>) -> Result<Staged, Error> {
        builder.write(self.path(), os::UNCHANGING).doing("writing a pack")?;
        let hash = builder.name().doing("naming a pack")?.ok_or_else(|| git2::Error::from_str("the pack has no name"));
        let name = format!("pack-{}", hash.doing("naming a pack")?);
        Ok(Staged { staging: self, name })
    }
}

/// Locks the folder `folder` and writes its `.keep`, which is locked too.
fn fill(folder: &Dir, whose: &str, replaced: &[String]) -> io::Result<(File, File)> {
    let lock = os::try_lock_folder(folder.path())?;
    // The folder's lock covers the `.keep` until it leaves the folder.
    let keep = folder.create_empty("keep")?;
    let lines = replaced.iter().map(|name| format!("{name}\n")).collect::<String>();
    keep.write_all(format!("{KEEP_MARK}{whose}\n{lines}").as_bytes())?;
    keep.sync_now()?;
    let keep = File::from(keep);
    os::try_lock(&keep)?;
    Ok((lock, keep))
}

/// Writes a file that only another program reads, and that is deleted with its folder. Not synced.
fn write_file(folder: &Dir, name: &str, text: &str) -> io::Result<()> {
    Ok(folder.create_empty(name)?.write_all(text.as_bytes())?)
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = self.lock.take().map(|lock| os::remove_locked_folder(self.folder.path(), lock));
    }
}

impl Staged {
    /// Moves `.keep`, pack and index into place, in this order, and makes that durable. `steps` are the crash points
    /// before each of the three moves.
    pub(super) fn place(self, history: &History, steps: Option<[Point; 3]>) -> Result<Placed, Error> {
        let from = &self.staging.folder;
        let keep = self.staging.keep.try_clone().doing_at("holding a pack's .keep", from.path())?;
        let packs = Arc::clone(&self.staging.packs);
        let placed = Placed { packs, name: self.name.clone(), _keep: keep, released: false };
        let mode = (!history.owned).then(|| history.modes.file(0o444));
        move_files(from, &placed.packs, &self.name, mode, |number| {
            steps.map_or(Ok(()), |steps| history.step(steps[number]))
        })?;
        Ok(placed)
    }
}

/// Moves the files of the pack `name` from `from` to `packs`, and syncs that folder. After a power cut, whatever
/// exists of the pack and its index is whole, and the `.keep` exists for as long as it is needed. The files were
/// synced before. `before` is called before each move.
fn move_files(
    from: &Dir,
    packs: &Dir,
    name: &str,
    mode: Option<u32>,
    mut before: impl FnMut(usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let (keep, pack, index) = (format!("{name}.keep"), format!("{name}.pack"), format!("{name}.idx"));
    before(0)?;
    from.rename_over("keep", packs, &keep).doing_at("placing a pack", &packs.path().join(&keep))?;
    for (number, file) in [(1, &pack), (2, &index)] {
        before(number)?;
        if let Some(mode) = mode {
            let readable = from.read(file).and_then(|file| file.set_mode(mode));
            readable.doing_at("making a pack readable", &from.path().join(file))?;
        }
        from.place_unchanging(file, packs, file).doing_at("placing a pack", &packs.path().join(file))?;
    }
    sync(packs)
}

impl Placed {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file(&self, extension: &str) -> PathBuf {
        self.packs.path().join(format!("{}.{extension}", self.name))
    }

    /// The folder that holds the pack.
    pub(super) fn packs(&self) -> &Dir {
        &self.packs
    }

    /// Removes the `.keep`: the pack is reachable, or free for any gc to collect.
    pub(super) fn release(mut self) -> Result<(), Error> {
        let was_there = remove(&self.packs, &format!("{}.keep", self.name))?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        was_there.then_some(()).ok_or_else(gone).doing_at("removing a pack's .keep", &self.file("keep"))?;
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

/// Checks that a freshly opened repository sees every one of `ids`.
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

/// What [`History::sweep`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// `.keep` files; their packs are no longer protected from gc.
    pub keeps: usize,
    /// Packs that had no index yet.
    pub packs: usize,
    /// Packs that were rolled into another and still existed.
    pub rolled: usize,
    /// Folders of unfinished packs.
    pub folders: usize,
    /// Locks on references.
    pub locks: usize,
    /// Files that git programs were writing a day ago.
    pub unfinished: usize,
}

impl Swept {
    /// The number of things removed.
    pub fn total(&self) -> usize {
        let Swept { keeps, packs, rolled, folders, locks, unfinished } = self;
        keeps + packs + rolled + folders + locks + unfinished
    }
}

impl History {
    /// Removes what crashes of this program left: `.keep` files, packs without an index, folders of unfinished packs.
    /// In a repository that we made, also removes files that git programs were writing a day ago. Skips what a living
    /// process holds, and everything that is not ours. Idempotent: a second call finds nothing.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that could not be removed.
    pub fn sweep(&self) -> Result<Swept, Error> {
        let packs = super::folder(&self.packs())?;
        let mut swept = Swept { locks: lock::sweep(self)?, ..Swept::default() };
        for name in packs.names().doing_at("listing the packs", packs.path())? {
            if name.starts_with(STAGING_START) && name.ends_with(STAGING_END) {
                swept.folders += usize::from(sweep_folder(&packs.path().join(&name))?);
            } else if let Some(stem) = name.strip_suffix(".keep") {
                sweep_keep(&packs, &name, stem, &mut swept)?;
            } else if self.owned && name.starts_with(GITS_START) && is_idle(&packs.path().join(&name)) {
                swept.unfinished += usize::from(remove(&packs, &name)?);
            }
        }
        setup::sweep_excluded(&self.common)?;
        if swept != Swept::default() {
            sync(&packs)?;
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

fn sweep_keep(packs: &Dir, name: &str, stem: &str, swept: &mut Swept) -> Result<(), Error> {
    let Ok(file) = packs.read(name).map(File::from) else { return Ok(()) };
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

/// Whether the file has not changed for so long that no process can be writing it. A modification time in the future
/// counts as active.
fn is_idle(path: &Path) -> bool {
    let changed = path.symlink_metadata().and_then(|it| it.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|idle| idle > GITS_IDLE_MAX))
}

fn is_free(file: &File) -> bool {
    match os::try_lock(file) {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Finishes what a `.keep` was for: removes a pack that lacks its index; for a whole pack, keeps it and removes the
/// packs that it replaces, as planned. The `.keep` is removed last.
fn settle(packs: &Dir, name: &str, replaced: &[String]) -> Result<Swept, Error> {
    let file = |extension: &str| format!("{name}.{extension}");
    let mut settled = Swept::default();
    if is_there(packs, &file("pack"))? && is_there(packs, &file("idx"))? {
        settled.rolled = remove_replaced(packs, name, replaced)?;
    } else {
        let removed = [remove(packs, &file("pack"))?, remove(packs, &file("idx"))?];
        settled.packs = usize::from(removed.contains(&true));
    }
    settled.keeps = usize::from(remove(packs, &file("keep"))?);
    Ok(settled)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use git2::ObjectType;

    use super::*;
    use crate::fs::simulated::{Dice, Disk, Machine, root};

    const BYTES_MAX: u64 = 1 << 20;

    /// A machine on which a pack was moved to its place, with the pack's name and the contents of its files.
    fn placed(seed: u64) -> (std::sync::Arc<Machine>, String, [Vec<u8>; 3]) {
        let machine = Machine::new(Disk::new(512), Dice::of(seed));
        let packs = root(&machine);
        let staging = packs.make_folder("staging").expect("it can be made");
        let blob = Object::new(ObjectType::Blob, vec![b'x'; 4000]).expect("it has a name");
        let name = objects::write(&staging, &[blob]).expect("it can be written");
        let keep = staging.create_empty("keep").expect("it can be made");
        keep.write_all(b"indelible commit\n").expect("it can be written");
        keep.sync_now().expect("it can be synced");
        let content = |name: &str| staging.content(name, BYTES_MAX).expect("readable").expect("it is there");
        let contents = [content("keep"), content(&format!("{name}.pack")), content(&format!("{name}.idx"))];
        move_files(&staging, &packs, &name, None, |_| Ok(())).expect("it can be placed");
        (machine, name, contents)
    }

    #[test]
    fn a_pack_that_was_placed_is_whole_after_every_power_cut() {
        let (machine, name, contents) = placed(1);
        for seed in 0..200 {
            let packs = root(&machine.after_power_cut(&mut Dice::of(seed)));
            for (extension, content) in ["keep", "pack", "idx"].into_iter().zip(&contents) {
                let kept = packs.content(&format!("{name}.{extension}"), BYTES_MAX).expect("readable");
                assert_eq!(kept.as_ref(), Some(content), "seed {seed}, {extension}");
            }
        }
    }

    #[test]
    fn what_settles_an_unfinished_pack_leaves_a_whole_one_or_none() {
        let (machine, name, _) = placed(2);
        let packs = root(&machine);
        packs.remove(&format!("{name}.idx")).expect("it can be removed");
        let swept = settle(&packs, &name, &[]).expect("it can be settled");
        assert_eq!((swept.packs, swept.keeps), (1, 1));
        assert_eq!(packs.names().expect("listed"), ["staging"]);
        assert_eq!(settle(&packs, &name, &[]).expect("nothing to do"), Swept::default());
    }
}
