//! Temp, write, rename: how a file gets to its place, whole.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | a file in the folder of temporary files | recovery empties that folder |
//! | after it | the file in its place, whole | nothing to do |
//! | power cut after it | no file, or an empty or torn one, unless it was synced | journal replay (`target::files`) |
//!
//! A file cannot be renamed from one file system to another, nor between mounts, btrfs subvolumes or project quotas. If
//! a file's place is on another one than the folder of temporary files, a hidden folder ([`TEMPORARY_BESIDE`]) on the right one
//! is used instead, in the outermost folder of the home that is on it. A note in the folder of temporary files names
//! it. A rename that fails shows which folders need one. If no rename fails, nothing is checked and there is no extra
//! cost.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | perhaps an empty hidden folder | nothing: private, git ignores it |
//! | after it | a file in the hidden folder | recovery empties that folder ([`sweep`]) |
//! | power cut | perhaps that file without the note, or an empty note | the next use of the folder rewrites the note |
//! | while a file is set aside by copying | part of a copy, hidden, in quarantine | recovery removes it |
//! | before the copied file is removed | the file and its copy | it is set aside again, to no effect |

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Dir, Durable, Error, File, Point, crash};
use crate::model::layout::{COPYING, ELSEWHERE, GITIGNORE, TEMPORARY_BESIDE};

/// The folder of temporary files on a file system other than the home's own.
/// The prefix of the notes that name such folders.
/// The prefix of the names of incomplete copies.
const NOTE_BYTES_MAX: u64 = 8192;
const COPIED_BYTES: usize = 64 << 10;

/// What a power cut leaves of a file that was just put in its place. A crash of the process alone always leaves the
/// whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Anything: the new file, part of it, an empty one, the old one or no file. For files that are informational or
    /// can be made again.
    None,
    /// As `None`, until [`Dir::sync_file_system`] has returned: then the new file. For files that the journal can
    /// replay until then.
    Later,
    /// The new file, whole, or what was there before. For files that must be whole but may be missing.
    Whole,
    /// The new file.
    Full,
}

impl Durability {
    /// Syncs what has to be durable before the file gets its name.
    fn before_rename(self, file: &File) -> Result<(), Error> {
        match self {
            Durability::None => Ok(()),
            Durability::Later => file.sync_if_no_later(),
            Durability::Whole | Durability::Full => file.sync(Point::ReplaceBeforeRename, ()).map(Durable::into_inner),
        }
    }

    /// Syncs what has to be durable once it has its name, in `folder`.
    fn after_rename(self, folder: &Dir) -> Result<(), Error> {
        match self {
            Durability::None | Durability::Later | Durability::Whole => Ok(()),
            Durability::Full => folder.sync().map(Durable::into_inner),
        }
    }
}

/// Puts files in their places by way of a folder of temporary files. Readers see all of a file or nothing of it.
impl Dir {
    /// Creates the file `name` with `content` in this folder, by way of `temporary`.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` if something already exists there. It is left alone, and no temporary file is
    /// left behind.
    pub fn create(&self, name: &str, content: &[u8], temporary: &Dir, durability: Durability) -> Result<(), Error> {
        let error = |source| Error::io("write", self.path().join(name))(source);
        crash::at(Point::PlaceBeforeWrite).map_err(error)?;
        let last = |file: &File| durability.before_rename(file);
        self.by_way_of(temporary, content, last, |temporary, temp| {
            crash::at(Point::PlaceBeforeRename).map_err(|source| Error::io("put in place", name)(source))?;
            temporary.rename_new(temp, self, name)
        })?;
        crash::at(Point::PlaceAfterRename).map_err(|source| Error::io("put in place", name)(source))?;
        durability.after_rename(self)
    }

    /// Replaces the file `name` in this folder, if there is one, with one that has `content`, by way of `temporary`.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses. The old file is still there then or, if only the last sync failed, the new
    /// one.
    pub fn replace(&self, name: &str, content: &[u8], temporary: &Dir, durability: Durability) -> Result<(), Error> {
        self.replace_after(name, content, temporary, durability, |_| Ok(()))
    }

    /// As [`Dir::replace`], for a file that its owner can execute.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn replace_program(
        &self,
        name: &str,
        content: &[u8],
        temporary: &Dir,
        durability: Durability,
    ) -> Result<(), Error> {
        self.replace_after(name, content, temporary, durability, |file| file.set_mode(0o700))
    }

    fn replace_after(
        &self,
        name: &str,
        content: &[u8],
        temporary: &Dir,
        durability: Durability,
        written: impl Fn(&File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let last = |file: &File| written(file).and_then(|()| durability.before_rename(file));
        self.by_way_of(temporary, content, last, |temporary, temp| temporary.rename_over(temp, self, name))?;
        crash::at(Point::ReplaceAfterRename).map_err(|source| Error::io("replace", name)(source))?;
        durability.after_rename(self)
    }

    /// Writes `content` to a new temporary file, calls `last` with it, and has `rename` move it into this folder: out
    /// of `temporary` or, if that is on another file system, out of a folder on this one's.
    fn by_way_of(
        &self,
        temporary: &Dir,
        content: &[u8],
        last: impl Fn(&File) -> Result<(), Error>,
        rename: impl Fn(&Dir, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let place = |temporary: &Dir| {
            let temp = write_temporary(temporary, content, &last)?;
            rename(temporary, &temp).inspect_err(|_| drop(temporary.remove(&temp)))
        };
        let crosses = |error: &Error| error.io_kind() == Some(std::io::ErrorKind::CrossesDevices);
        match place(temporary) {
            Err(error) if crosses(&error) => {}
            placed => return placed,
        }
        match place(&self.temporary_beside(temporary)?) {
            // A project quota: names move only within a folder.
            Err(error) if crosses(&error) => place(&make_beside(self, temporary)?),
            placed => placed,
        }
    }

    /// A folder of temporary files on this folder's file system, in the outermost folder of its path that is on it.
    fn temporary_beside(&self, temporary: &Dir) -> Result<Dir, Error> {
        let (root, mut path) = (self.root()?, String::new());
        for name in self.names_from_root() {
            path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let above = root.folder(&path)?;
            if above.shares_names_with(self) {
                return make_beside(&above, temporary);
            }
        }
        make_beside(self, temporary)
    }

    /// Moves the file `name` out of this folder to `to` in the folder `aside`, or to `to` with a number appended if
    /// that is taken. Returns its new name. Not synced.
    ///
    /// If `aside` is on another file system, a plain file is copied there, durably, and then removed here. Anything
    /// else cannot be copied as it is, and gets a hidden name in this folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; the file is still in its old place then.
    pub fn set_aside(&self, name: &str, aside: &Dir, to: &str) -> Result<String, Error> {
        crash::at(Point::SetAsideBefore).map_err(|source| Error::io("set aside", name)(source))?;
        match self.rename_aside(name, aside, to) {
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::CrossesDevices) => {}
            moved => return moved,
        }
        if self.find(name)?.is_some_and(|found| !found.is_file) {
            return self.rename_aside(name, self, &format!(".set-aside-{to}"));
        }
        let copy = self.copy_to(name, aside)?;
        let named = aside.rename_aside(&copy, aside, to)?;
        let _ = aside.sync()?;
        self.remove(name)?;
        Ok(named)
    }

    fn rename_aside(&self, name: &str, aside: &Dir, to: &str) -> Result<String, Error> {
        let mut named = to.to_owned();
        for number in 1_u32.. {
            match self.rename_new(name, aside, &named) {
                Err(error) if error.is_already_there() => named = format!("{to}.{number}"),
                result => return result.map(|()| named),
            }
        }
        unreachable!("a folder cannot hold four thousand million files of one name")
    }

    /// Moves the file `from`, in this folder, to `to` in the folder `there`, replacing a file with the same content:
    /// both are named for their content. On Windows a file in use cannot be replaced, and stays. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn place_unchanging(&self, from: &str, there: &Dir, to: &str) -> Result<(), Error> {
        match self.rename_over(from, there, to) {
            Err(error) if cfg!(windows) && error.io_kind() == Some(std::io::ErrorKind::PermissionDenied) => {
                let stays = there.find(to)?.is_some_and(|found| found.is_file);
                stays.then_some(()).ok_or(error)
            }
            placed => placed,
        }
    }

    /// Copies the file at `path` to the new file `to` in the folder `there`, and syncs the copy. Holes stay holes,
    /// since a file's apparent size can exceed the disk. The copy's name is not synced.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` if something already exists there, and as [`Dir::read`]; part of the copy may
    /// be there.
    pub fn copy_with_holes(&self, path: &str, there: &Dir, to: &str) -> Result<Durable<()>, Error> {
        let from = self.read(path)?;
        let size = from.stat()?.size;
        let copy = there.create_to_overwrite(to)?;
        let (mut buffer, mut offset) = (vec![0; COPIED_BYTES], from.data_from(0));
        while offset < size {
            // Up to the next hole at most: this much is read and written as a whole, and is no more than 64 KiB.
            match from.read_at(&mut buffer, offset)? {
                0 => break,
                read => copy.write_at(&buffer[..read], offset)?,
            }
            offset = from.data_from(offset + COPIED_BYTES as u64);
        }
        if size > 0 && copy.stat()?.size < size {
            copy.write_at(&[0], size - 1)?;
        }
        copy.sync_now()
    }

    /// Copies the file `name` into the folder `there` under a hidden name, and syncs it. Returns that name.
    fn copy_to(&self, name: &str, there: &Dir) -> Result<String, Error> {
        let from = self.read(name)?;
        let copy = format!("{COPYING}{}", new_name());
        let to = there.create_empty(&copy)?;
        let copied = || {
            let (mut buffer, mut offset) = (vec![0; COPIED_BYTES], 0);
            loop {
                match from.read_at(&mut buffer, offset)? {
                    0 => return to.sync(Point::ReplaceBeforeRename, ()).map(Durable::into_inner),
                    read => {
                        to.write_all(&buffer[..read])?;
                        offset += read as u64;
                    }
                }
            }
        };
        copied().inspect_err(|_| drop(there.remove(&copy)))?;
        Ok(copy)
    }
}

/// Creates the hidden folder of temporary files in the folder `above`, and its note in `temporary`.
fn make_beside(above: &Dir, temporary: &Dir) -> Result<Dir, Error> {
    let path = above.path().as_os_str().as_encoded_bytes();
    ensure_small_file(temporary, &format!("{ELSEWHERE}{:08x}", crc32c::crc32c(path)), path)?;
    let beside = above.make_folder(TEMPORARY_BESIDE)?;
    ensure_small_file(&beside, GITIGNORE, b"*\n")?;
    Ok(beside)
}

/// Ensures that the file `name` has `content`, also after a power cut has emptied it. Anything but a file is left to
/// [`sweep`].
fn ensure_small_file(folder: &Dir, name: &str, content: &[u8]) -> Result<(), Error> {
    match folder.content(name, NOTE_BYTES_MAX) {
        Err(Error::Refused { .. }) => return Ok(()),
        Ok(Some(found)) if found == content => return Ok(()),
        _ => {}
    }
    let temp = write_temporary(folder, content, |_| Ok(()))?;
    folder.rename_over(&temp, folder, name).inspect_err(|_| drop(folder.remove(&temp)))
}

/// Whether `name` is one that this module uses internally, beside the files that it is asked for.
pub fn is_hidden(name: &str) -> bool {
    name == TEMPORARY_BESIDE || name.starts_with(COPYING)
}

/// The folders of a home that have a hidden folder of temporary files, since they are on another file system than
/// `temporary`. `homes` are the home's folder and its private one.
///
/// # Errors
/// [`Error::Io`] if the notes cannot be read.
pub fn elsewhere(temporary: &Dir, homes: [&Dir; 2]) -> Result<Vec<Dir>, Error> {
    let mut paths = BTreeSet::new();
    for name in temporary.names()?.into_iter().filter(|name| name.starts_with(ELSEWHERE)) {
        let noted = temporary.content(&name, NOTE_BYTES_MAX)?.unwrap_or_default();
        paths.insert(path_of(noted));
    }
    let open = |path: PathBuf| homes.iter().find_map(|home| folder_within(home, &path));
    Ok(paths.into_iter().filter_map(open).collect())
}

fn path_of(noted: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(noted));
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(&noted).into_owned())
}

/// The folder at `path`, if it is `home` or in it. The notes of a home that was moved are stale.
fn folder_within(home: &Dir, path: &Path) -> Option<Dir> {
    let within = path.strip_prefix(home.path()).ok()?.to_str()?;
    home.folder(if within.is_empty() { "." } else { within }).ok()
}

/// Removes what crashes have left among the temporary files, in `temporary` and in every hidden folder that a note
/// there names, and incomplete copies in `aside`. Returns how many things were removed.
///
/// # Errors
/// [`Error::Io`] if the system refuses.
pub fn sweep(temporary: &Dir, aside: &Dir, homes: [&Dir; 2]) -> Result<u64, Error> {
    let is_file = |name: &str| matches!(temporary.find(name), Ok(Some(found)) if found.is_file);
    let mut swept = remove_all(temporary, |name| !name.starts_with(ELSEWHERE) || !is_file(name))?;
    swept += remove_all(aside, |name| name.starts_with(COPYING))?;
    for above in elsewhere(temporary, homes)? {
        match above.folder(TEMPORARY_BESIDE) {
            Err(error) if error.is_not_found() => {}
            beside => swept += remove_all(&beside?, |name| name != GITIGNORE)?,
        }
    }
    Ok(swept)
}

fn remove_all(folder: &Dir, is_leftover: impl Fn(&str) -> bool) -> Result<u64, Error> {
    let mut removed = 0;
    for name in folder.names()?.into_iter().filter(|name| is_leftover(name)) {
        match folder.find(&name)? {
            Some(found) if found.is_folder => folder.remove_tree(&name)?,
            _ => drop(folder.remove(&name)?),
        }
        removed += 1;
    }
    Ok(removed)
}

/// A name that no other process draws.
fn new_name() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let salt = crate::random::timed_id().as_u128() as u64;
    format!("{salt:016x}-{}-{}", std::process::id(), DRAWN.fetch_add(1, Ordering::Relaxed))
}

/// Writes `content` to a new file in `temporary`, then calls `last` with it. Returns its name, which no other process
/// draws. Nothing is left behind on failure.
fn write_temporary(
    temporary: &Dir,
    content: &[u8],
    last: impl Fn(&File) -> Result<(), Error>,
) -> Result<String, Error> {
    let name = new_name();
    let file = temporary.create_empty(&name)?;
    let write = || {
        if crash::wanted(Point::PlaceHalfWritten) {
            file.write_all(&content[..content.len() / 2])?;
            crash::at(Point::PlaceHalfWritten).map_err(|source| Error::io("write", file.path())(source))?;
            file.write_all(&content[content.len() / 2..])?;
        } else {
            file.write_all(content)?;
        }
        last(&file)
    };
    match write() {
        Ok(()) => Ok(name),
        Err(error) => {
            let _ = temporary.remove(&name);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::fs::simulated::{Dice, Disk, Machine, root};

    fn dirs() -> (tempfile::TempDir, Dir, Dir) {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        let temporary = dir.make_folder("tmp").expect("it can be made");
        (root, dir, temporary)
    }

    #[test]
    fn placing_never_overwrites_and_leaves_nothing_behind() {
        let (_root, dir, temporary) = dirs();
        dir.create("a.md", b"one", &temporary, Durability::Later).expect("the place is free");
        let error = dir.create("a.md", b"two", &temporary, Durability::Later).expect_err("the place is taken");
        assert!(error.is_already_there(), "{error:?}");
        assert_eq!(dir.content("a.md", 10).expect("readable").as_deref(), Some(&b"one"[..]));
        assert!(temporary.names().expect("readable").is_empty(), "a temporary file was left behind");
    }

    #[test]
    fn replacing_swaps_the_content() {
        let (_root, dir, temporary) = dirs();
        for content in [&b"one"[..], b"two"] {
            dir.replace("a.md", content, &temporary, Durability::Full).expect("it can be replaced");
            assert_eq!(dir.content("a.md", 10).expect("readable").as_deref(), Some(content));
        }
        assert!(temporary.names().expect("readable").is_empty(), "a temporary file was left behind");
    }

    #[cfg(target_os = "linux")]
    fn simulated() -> (std::sync::Arc<Machine>, Dir, Dir) {
        let machine = Machine::new(Disk::new(512), Dice::of(1));
        let dir = root(&machine);
        let temporary = dir.make_folder("tmp").expect("it can be made");
        (machine, dir, temporary)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_durability_leaves_what_it_says_after_a_power_cut() {
        let (old, new) = ([b'1'; 2000], [b'2'; 2000]);
        // What 200 cuts leave: the new file, the old one, another one, no file.
        let left = |durability, is_there: bool, synced: bool| {
            let (machine, dir, temporary) = simulated();
            if is_there {
                dir.create("a.md", &old, &temporary, Durability::Full).expect("the place is free");
                dir.replace("a.md", &new, &temporary, durability).expect("it can be replaced");
            } else {
                dir.create("a.md", &new, &temporary, durability).expect("the place is free");
            }
            if synced {
                let _ = dir.sync_file_system().expect("it can be synced");
            }
            let mut left = [0; 4];
            for seed in 0..200 {
                let kept = root(&machine.after_power_cut(&mut Dice::of(seed))).content("a.md", 4000).expect("readable");
                let which = kept.map_or(3, |kept| if kept == new { 0 } else { 1 + usize::from(kept != old) });
                left[which] += 1;
            }
            left
        };
        for is_there in [false, true] {
            assert_eq!(left(Durability::Full, is_there, false), [200, 0, 0, 0]);
            assert_eq!(left(Durability::Later, is_there, true), [200, 0, 0, 0]);
            let [new, old, torn, none] = left(Durability::Whole, is_there, false);
            assert!(new > 0 && torn == 0, "the content is durable before the name: {torn}");
            assert_eq!((old > 0, none > 0), (is_there, !is_there), "its name is not synced");
            for durability in [Durability::None, Durability::Later] {
                assert!(left(durability, is_there, false)[2] > 0, "{durability:?}: nothing is durable yet");
            }
        }
    }

    #[test]
    fn what_is_set_aside_keeps_what_was_there_before() {
        let (_root, dir, temporary) = dirs();
        for expected in ["x", "x.1", "x.2"] {
            dir.create("a.md", expected.as_bytes(), &temporary, Durability::Later).expect("the place is free");
            assert_eq!(dir.set_aside("a.md", &temporary, "x").expect("it moves"), expected);
            assert_eq!(temporary.content(expected, 10).expect("readable").as_deref(), Some(expected.as_bytes()));
        }
    }

    #[test]
    fn links_are_refused_wherever_they_are() {
        let (root, dir, _temporary) = dirs();
        std::os::unix::fs::symlink("/etc", root.path().join("out")).expect("a link");
        std::os::unix::fs::symlink("tmp", root.path().join("in")).expect("a link");
        for path in ["out/passwd", "in/x", "out", "../x"] {
            let error = dir.read(path).expect_err("it leads through a link, or out");
            assert!(matches!(error, Error::Refused { .. }), "{path}: {error:?}");
            let error = dir
                .open_by_parts(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                .expect_err("it leads through a link");
            let error = dir.open_error("open", path, error);
            assert!(matches!(error, Error::Refused { .. }), "by parts, {path}: {error:?}");
        }
        assert!(matches!(dir.make_folder("out/x"), Err(Error::Refused { .. })));
    }
}
