//! Temp, write, rename: how a file gets to its place, whole.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rename | a file in the folder of temporary files | recovery empties that folder |
//! | after it | the file in its place, whole | nothing to do |
//! | power cut after it | no file, or an empty or torn one, unless it was synced | replay of the journal (`store::apply`) |

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Dir, Durable, Error, File, Point, point};

/// Puts new files in their places by way of a folder of temporary files.
impl Dir {
    /// Puts a file with `content` at `name` in this folder, by way of `temporary`, a folder on the same file system.
    /// Whoever looks sees all of it or nothing. Not synced, or not to the end: the journal can do it again.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` if something lies there, which is left alone; nothing is left behind.
    pub fn place(&self, name: &str, content: &[u8], temporary: &Dir) -> Result<(), Error> {
        self.move_in(name, content, temporary, File::sync_if_no_later)
    }

    /// As [`Dir::place`], for what no journal can do again: after a power cut it is all of it or nothing. That it is there
    /// is not synced.
    ///
    /// # Errors
    /// As [`Dir::place`].
    pub fn place_whole(&self, name: &str, content: &[u8], temporary: &Dir) -> Result<(), Error> {
        self.move_in(name, content, temporary, sync_before_rename)
    }

    fn move_in(
        &self,
        name: &str,
        content: &[u8],
        temporary: &Dir,
        last: impl FnOnce(&File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let error = |source| Error::io("write", self.path().join(name))(source);
        point::at(Point::PlaceBeforeWrite).map_err(error)?;
        let temp = write_temporary(temporary, content, last)?;
        let rename = || {
            point::at(Point::PlaceBeforeRename).map_err(|source| Error::io("put in place", name)(source))?;
            temporary.rename_new(&temp, self, name)
        };
        if let Err(error) = rename() {
            let _ = temporary.remove(&temp);
            return Err(error);
        }
        point::at(Point::PlaceAfterRename).map_err(|source| Error::io("put in place", name)(source))
    }

    /// Puts a file with `content` at `name` in this folder in the place of whatever file lies there, and makes it
    /// durable: after a crash it is the old one or the new one, whole.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; the old file is then still there, or, where only the last sync failed, the
    /// new one.
    pub fn replace(&self, name: &str, content: &[u8], temporary: &Dir) -> Result<Durable<()>, Error> {
        self.swap_in(name, content, temporary, sync_before_rename)?;
        self.sync()
    }

    /// As [`Dir::replace`], for a file that its owner can run.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn replace_program(&self, name: &str, content: &[u8], temporary: &Dir) -> Result<Durable<()>, Error> {
        self.swap_in(name, content, temporary, |file| {
            file.make_program()?;
            sync_before_rename(file)
        })?;
        self.sync()
    }

    /// As [`Dir::replace`], without the syncs: for what may be lost with the power, since it is only told.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn replace_lightly(&self, name: &str, content: &[u8], temporary: &Dir) -> Result<(), Error> {
        self.swap_in(name, content, temporary, |_| Ok(()))
    }

    fn swap_in(
        &self,
        name: &str,
        content: &[u8],
        temporary: &Dir,
        last: impl FnOnce(&File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let temp = write_temporary(temporary, content, last)?;
        if let Err(error) = temporary.rename_over(&temp, self, name) {
            let _ = temporary.remove(&temp);
            return Err(error);
        }
        point::at(Point::ReplaceAfterRename).map_err(|source| Error::io("replace", name)(source))
    }

    /// Moves the file `name` out of this folder to `to` in the folder `aside`, or to `to` with a number behind it where
    /// that is taken. Returns the name it has there. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; the file is then where it was.
    pub fn set_aside(&self, name: &str, aside: &Dir, to: &str) -> Result<String, Error> {
        point::at(Point::SetAsideBefore).map_err(|source| Error::io("set aside", name)(source))?;
        let mut named = to.to_owned();
        for number in 1_u32.. {
            match self.rename_new(name, aside, &named) {
                Err(error) if error.is_already_there() => named = format!("{to}.{number}"),
                result => return result.map(|()| named),
            }
        }
        unreachable!("a folder cannot hold four thousand million files of one name")
    }
}

fn sync_before_rename(file: &File) -> Result<(), Error> {
    file.sync(Point::ReplaceBeforeRename, ()).map(Durable::into_inner)
}

/// Writes `content` to a new file in `temporary`, then does `last` with it. Returns its name, which no other process
/// draws. Nothing is left behind on failure.
fn write_temporary(
    temporary: &Dir,
    content: &[u8],
    last: impl FnOnce(&File) -> Result<(), Error>,
) -> Result<String, Error> {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let salt = crate::random::timed_id().as_u128() as u64;
    let name = format!("{salt:016x}-{}-{}", std::process::id(), DRAWN.fetch_add(1, Ordering::Relaxed));
    let file = temporary.create(&name)?;
    let write = || {
        if point::wanted(Point::PlaceHalfWritten) {
            file.write_all(&content[..content.len() / 2])?;
            point::at(Point::PlaceHalfWritten).map_err(|source| Error::io("write", file.path())(source))?;
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
        dir.place("a.md", b"one", &temporary).expect("the place is free");
        let error = dir.place("a.md", b"two", &temporary).expect_err("the place is taken");
        assert!(error.is_already_there(), "{error:?}");
        assert_eq!(dir.content("a.md", 10).expect("readable").as_deref(), Some(&b"one"[..]));
        assert!(temporary.names().expect("readable").is_empty(), "a temporary file was left behind");
    }

    #[test]
    fn replacing_swaps_the_content() {
        let (_root, dir, temporary) = dirs();
        for content in [&b"one"[..], b"two"] {
            let _ = dir.replace("a.md", content, &temporary).expect("it can be replaced");
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
    fn what_was_replaced_durably_survives_a_power_cut() {
        let (machine, dir, temporary) = simulated();
        for content in [[b'1'; 2000], [b'2'; 2000]] {
            let _ = dir.replace("a.md", &content, &temporary).expect("it can be replaced");
            for seed in 0..200 {
                let kept = root(&machine.after_power_cut(&mut Dice::of(seed))).content("a.md", 4000);
                assert_eq!(kept.expect("readable").as_deref(), Some(&content[..]), "seed {seed}");
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_placed_whole_is_never_torn() {
        let (machine, dir, temporary) = simulated();
        dir.place_whole("a.md", &[b'1'; 2000], &temporary).expect("the place is free");
        let kept = (0..200).map(|seed| {
            let kept = root(&machine.after_power_cut(&mut Dice::of(seed))).content("a.md", 4000).expect("readable");
            assert!(kept.as_ref().is_none_or(|kept| *kept == [b'1'; 2000]), "seed {seed}: {kept:?}");
            usize::from(kept.is_some())
        });
        assert!((1..200).contains(&kept.sum::<usize>()), "a name that is not synced is there, or not");
    }

    #[test]
    fn what_is_set_aside_keeps_what_was_there_before() {
        let (_root, dir, temporary) = dirs();
        for expected in ["x", "x.1", "x.2"] {
            dir.place("a.md", expected.as_bytes(), &temporary).expect("the place is free");
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
            let error = dir.open_by_parts(path, rustix::fs::OFlags::RDONLY).expect_err("it leads through a link");
            let error = dir.error("open", path, error);
            assert!(matches!(error, Error::Refused { .. }), "by parts, {path}: {error:?}");
        }
        assert!(matches!(dir.make_folder("out/x"), Err(Error::Refused { .. })));
    }
}
