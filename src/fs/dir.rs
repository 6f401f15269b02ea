//! Folders and files, opened beneath a folder that is already open.
//!
//! On Linux one `openat2` resolves a whole path with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`. If the kernel lacks that
//! call, and on other systems, each part is opened on its own with `O_NOFOLLOW`, which gives the same guarantee.
//! Windows has calls of the same names (`os::windows::calls`).

use std::path::{Path, PathBuf};

use super::sys::{self, AtFlags, Errno, Handle, Mode, OFlags};
use super::{Error, File};
use crate::model::layout::{parts, split};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The mode of a file that is written once and never changed. On Windows, a read-only file could not be removed.
const UNCHANGING_MODE: Mode = if cfg!(windows) { FILE_MODE } else { Mode::RUSR };

/// An open folder.
#[derive(Debug)]
pub struct Dir {
    fd: Handle,
    path: PathBuf,
    /// How many parts of its path lead to the folder that it was opened beneath.
    root: usize,
}

/// The metadata of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a plain file.
    pub is_file: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its inode, which a copy does not share.
    pub inode: u64,
    /// The number of its hard links.
    pub links: u64,
    /// The numeric id of its owner.
    pub owner: u32,
    /// When it last changed, in nanoseconds since 1970: its bytes, its name or its rights. On Windows its bytes alone.
    pub changed: i64,
}

/// Checks that `name` is one plain part of a path.
///
/// # Errors
/// [`Error::Refused`] for an empty name, `.`, `..` and anything with a slash or a NUL.
pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    let refused = || Error::Refused { path: name.into(), why: "it is not a plain name" };
    plain.then_some(()).ok_or_else(refused)
}

impl Dir {
    /// Opens the folder at `path`, wherever that is, following symbolic links on the way to it.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such folder, or it may not be read.
    pub fn open(path: &Path) -> Result<Dir, Error> {
        if let Some(dir) = Dir::open_without_links(path) {
            return Ok(dir);
        }
        let real = super::os::real_path(path).map_err(Error::io("open the folder", path))?;
        let fd = sys::open(&real, FOLDER, Mode::empty())
            .map_err(|errno| Error::io("open the folder", &real)(errno.into()))?;
        Ok(Dir::at(fd, real))
    }

    /// The folder of `fd`, at `path`, for a folder that is not opened by path.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn of(fd: Handle, path: PathBuf) -> Dir {
        Dir::at(fd, path)
    }

    fn at(fd: Handle, path: PathBuf) -> Dir {
        let root = path.components().count();
        Dir { fd, path, root }
    }

    /// The folder of `fd`, at `path` beneath this one.
    fn beneath(&self, fd: Handle, path: &str) -> Dir {
        Dir { fd, path: self.path.join(path), root: self.root }
    }

    /// Opens the folder at `path` if that is its real path already, as it almost always is: absolute, and without a
    /// symbolic link. One call then replaces a call for each part.
    fn open_without_links(path: &Path) -> Option<Dir> {
        #[cfg(target_os = "linux")]
        {
            let mut parts = path.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/');
            let is_plain = parts.next() == Some(b"") && !parts.any(|part| matches!(part, b"" | b"." | b".."));
            let resolve = rustix::fs::ResolveFlags::NO_SYMLINKS | rustix::fs::ResolveFlags::NO_MAGICLINKS;
            if is_plain && let Ok(fd) = sys::open_resolved(path, FOLDER, Mode::empty(), resolve) {
                return Some(Dir::at(fd, path.to_owned()));
            }
        }
        let _ = path;
        None
    }

    /// The folder's path when it was opened, for messages and for libraries that open files by path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names that lead to it from the folder that it was opened beneath; empty for that folder itself.
    pub(super) fn names_from_root(&self) -> Vec<String> {
        self.path.components().skip(self.root).map(|it| it.as_os_str().to_string_lossy().into_owned()).collect()
    }

    /// The folder that it was opened beneath, opened again.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub(super) fn root(&self) -> Result<Dir, Error> {
        Dir::open(&self.path.components().take(self.root).collect::<PathBuf>())
    }

    /// Whether a file of this folder can be renamed into the folder `there`, as far as can be told without a file: both
    /// are on one file system and one mount.
    pub(super) fn shares_names_with(&self, there: &Dir) -> bool {
        let same = |a: &Handle, b: &Handle| Ok::<_, Errno>(sys::device(a)? == sys::device(b)?);
        let name = format!("no-such-file-{}", std::process::id());
        let moved = || sys::renameat(&self.fd, &name, &there.fd, &name);
        same(&self.fd, &there.fd).unwrap_or(false) && moved() != Err(Errno::XDEV)
    }

    /// The descriptor, for calls that exist only on this system.
    #[cfg(unix)]
    pub(super) fn fd(&self) -> &Handle {
        &self.fd
    }

    /// The error of a call that resolved `path`.
    pub(super) fn error(&self, doing: &'static str, path: &str, errno: Errno) -> Error {
        let path = if path == "." { self.path.clone() } else { self.path.join(path) };
        match errno {
            Errno::LOOP => Error::Refused { path, why: "a symbolic link is in the way" },
            // On other systems it means that a folder has too many subfolders.
            Errno::MLINK if cfg!(windows) => Error::Refused { path, why: "a symbolic link is in the way" },
            Errno::NOTDIR => Error::Refused { path, why: "something that is not a folder is in the way" },
            _ => Error::Io { doing, path, source: errno.into() },
        }
    }

    /// The error of a call that opened `path` beneath this folder. Only from such a call does `XDEV` mean an escape;
    /// from a rename or a link it means another file system.
    pub(super) fn open_error(&self, doing: &'static str, path: &str, errno: Errno) -> Error {
        match errno {
            Errno::XDEV => Error::Refused { path: self.path.join(path), why: "it leads out of the home" },
            _ => self.error(doing, path, errno),
        }
    }

    fn open_at(&self, path: &str, flags: OFlags, mode: Mode) -> Result<Handle, Errno> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
            loop {
                match sys::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(Errno::NOSYS | Errno::PERM) => break,
                    result => return result,
                }
            }
        }
        self.open_by_parts(path, flags, mode)
    }

    /// Opens each part of `path` on its own, which no symbolic link gets past.
    pub(super) fn open_by_parts(&self, path: &str, flags: OFlags, mode: Mode) -> Result<Handle, Errno> {
        let (folder, name) = split(path);
        let mut at = None::<Handle>;
        for part in parts(folder).filter(|part| *part != ".") {
            if matches!(part, "" | "..") {
                return Err(Errno::XDEV);
            }
            let here = at.as_ref().unwrap_or(&self.fd);
            at = Some(sys::openat(here, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())?);
        }
        let here = at.as_ref().unwrap_or(&self.fd);
        sys::openat(here, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
    }

    fn folder_fd(&self, path: &str) -> Result<Handle, Errno> {
        self.open_at(path, FOLDER, Mode::empty())
    }

    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// [`Error::Refused`] if a symbolic link or a plain file is in the way, [`Error::Io`] otherwise.
    pub fn folder(&self, path: &str) -> Result<Dir, Error> {
        let fd = self.folder_fd(path).map_err(|errno| self.open_error("open the folder", path, errno))?;
        Ok(self.beneath(fd, path))
    }

    /// Opens the folder at `path`, creating missing folders on the way. Not synced.
    ///
    /// # Errors
    /// As [`Dir::folder`].
    pub fn make_folder(&self, path: &str) -> Result<Dir, Error> {
        match self.folder_fd(path) {
            Ok(fd) => return Ok(self.beneath(fd, path)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.open_error("open the folder", path, errno)),
        }
        let mut at = None::<Handle>;
        for part in parts(path) {
            check_name(part)?;
            let here = at.as_ref().unwrap_or(&self.fd);
            match sys::mkdirat(here, part, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.error("make the folder", path, errno)),
            }
            let next = sys::openat(here, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|errno| self.error("open the folder", path, errno))?;
            at = Some(next);
        }
        let fd = at.ok_or_else(|| self.error("make the folder", path, Errno::INVAL))?;
        Ok(self.beneath(fd, path))
    }

    /// The metadata of `path`, or `None` if nothing is there. The last part may be a symbolic link, which is then
    /// neither file nor folder.
    ///
    /// # Errors
    /// [`Error::Refused`] if a symbolic link is on the way, [`Error::Io`] if it cannot be read.
    pub fn find(&self, path: &str) -> Result<Option<Metadata>, Error> {
        let (folder, name) = split(path);
        let look = || {
            let parent;
            let here = if folder == "." {
                &self.fd
            } else {
                parent = self.folder_fd(folder)?;
                &parent
            };
            sys::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)
        };
        match look() {
            Ok(stat) => Ok(Some(sys::found(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.open_error("look at", path, errno)),
        }
    }

    /// The folder's own metadata.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn stat(&self) -> Result<Metadata, Error> {
        let stat = sys::fstat(&self.fd).map_err(|errno| self.error("look at", ".", errno))?;
        Ok(sys::found(&stat))
    }

    fn file(&self, path: &str, flags: OFlags, doing: &'static str) -> Result<File, Error> {
        self.file_found(path, flags, FILE_MODE, doing).map(|(file, _)| file)
    }

    pub(super) fn file_found(
        &self,
        path: &str,
        flags: OFlags,
        mode: Mode,
        doing: &'static str,
    ) -> Result<(File, Metadata), Error> {
        let fd =
            self.open_at(path, flags | OFlags::NONBLOCK, mode).map_err(|errno| self.open_error(doing, path, errno))?;
        let file = File { fd, path: self.path.join(path) };
        let found = file.stat()?;
        let why = match found.is_file {
            false => Some("it is not a plain file"),
            // Writes to it would go to a file that may be outside the home.
            true if flags.contains(OFlags::RDWR) && found.links > 1 => Some("it has another name elsewhere"),
            true => None,
        };
        why.map_or(Ok((file, found)), |why| Err(Error::Refused { path: self.path.join(path), why }))
    }

    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// [`Error::Refused`] if a symbolic link is in the way or it is not a plain file, [`Error::Io`] otherwise.
    pub fn read(&self, path: &str) -> Result<File, Error> {
        self.file(path, OFlags::RDONLY, "open")
    }

    /// Opens the file at `path` for reading and appending.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn append(&self, path: &str) -> Result<File, Error> {
        self.file(path, OFlags::RDWR | OFlags::APPEND, "open for writing")
    }

    /// Opens the file at `path` for writing in place.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn overwrite(&self, path: &str) -> Result<File, Error> {
        self.file(path, OFlags::RDWR, "open for writing")
    }

    /// Creates an empty file at `path`, which must not exist, for reading and appending.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists`, and as [`Dir::read`].
    pub fn create_empty(&self, path: &str) -> Result<File, Error> {
        self.file(path, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL, "create")
    }

    /// Creates an empty file at `path`, which must not exist, for writing it once: it is read-only afterwards.
    ///
    /// # Errors
    /// As [`Dir::create_empty`].
    pub fn create_unchanging(&self, path: &str) -> Result<File, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.file_found(path, flags, UNCHANGING_MODE, "create").map(|(file, _)| file)
    }

    /// Creates an empty file at `path`, which must not exist, for writing in place.
    ///
    /// # Errors
    /// As [`Dir::create_empty`].
    pub(super) fn create_to_overwrite(&self, path: &str) -> Result<File, Error> {
        self.file(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, "create")
    }

    /// Opens the file at `path` for reading and writing, and creates it if it is missing. For lock files.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub(crate) fn open_or_create(&self, path: &str) -> Result<std::fs::File, Error> {
        self.file(path, OFlags::RDWR | OFlags::CREATE, "open").map(|file| file.fd.into())
    }

    /// The names in the folder, in no order, without `.` and `..`. Names that are not UTF-8 are skipped: indelible uses
    /// no such names.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        sys::names(&self.fd).map_err(|errno| self.error("list", ".", errno))
    }

    /// Renames `from`, in this folder, to `to` in the folder `there`, which must be on the same file system, unless
    /// something already exists there. Not synced.
    ///
    /// If the system or a sandbox does not know the call, the file is linked to its new name. If it has no links
    /// either, as on FAT, the name is checked before the rename, and two processes must not want the same name.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` if something already exists there, with `CrossesDevices` if `there` is on
    /// another file system.
    pub(super) fn rename_new(&self, from: &str, there: &Dir, to: &str) -> Result<(), Error> {
        check_name(from)?;
        check_name(to)?;
        let error = |errno| Err(there.error("put in place", to, errno));
        match sys::renameat_with(&self.fd, from, &there.fd, to, sys::RenameFlags::NOREPLACE) {
            Err(errno) if sys::is_unknown(errno) => {}
            Err(errno) => return error(errno),
            Ok(()) => return Ok(()),
        }
        match sys::linkat(&self.fd, from, &there.fd, to, AtFlags::empty()) {
            // EMLINK: a file system without hard links. EPERM is also returned for a folder, which cannot have a second
            // name.
            Err(errno) if sys::is_unknown(errno) || errno == Errno::MLINK => {}
            Err(errno) => return error(errno),
            Ok(()) => return self.remove(from).map(|_| ()),
        }
        match there.find(to)? {
            Some(_) => error(Errno::EXIST),
            None => sys::renameat(&self.fd, from, &there.fd, to).or_else(error),
        }
    }

    /// Renames `from`, in this folder, to `to` in the folder `there`, replacing what is there. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; with `CrossesDevices` if `there` is on another file system.
    pub(crate) fn rename_over(&self, from: &str, there: &Dir, to: &str) -> Result<(), Error> {
        check_name(from)?;
        check_name(to)?;
        sys::renameat(&self.fd, from, &there.fd, to).map_err(|errno| there.error("replace", to, errno))
    }

    /// Links the file `name` in this folder to the same name in the folder `there`, which must be on the same file
    /// system and not have it. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` if something already exists there.
    pub fn link(&self, name: &str, there: &Dir) -> Result<(), Error> {
        check_name(name)?;
        sys::linkat(&self.fd, name, &there.fd, name, AtFlags::empty())
            .map_err(|errno| there.error("give a second name", name, errno))
    }

    /// Moves the file `name` out of this folder to the same name in the folder `there`, replacing what is there. Not
    /// synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; both are still in their old places then.
    pub fn put_back(&self, name: &str, there: &Dir) -> Result<(), Error> {
        self.rename_over(name, there, name)
    }

    /// Restricts the folder to its owner, whatever it would inherit from the folder above it.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn make_private(&self) -> Result<(), Error> {
        sys::set_mode(&self.fd, 0o700).map_err(|errno| self.error("make private", ".", errno))
    }

    /// Removes the file `name` from this folder. Returns whether it was there. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        check_name(name)?;
        match sys::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("remove", name, errno)),
        }
    }

    /// Removes everything beneath the folder `name` in this folder, and the folder itself. Links are removed, never
    /// followed. Not synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn remove_tree(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let folder = self.folder(name)?;
        for inner in folder.names()? {
            match folder.find(&inner)? {
                Some(found) if found.is_folder => folder.remove_tree(&inner)?,
                _ => drop(folder.remove(&inner)?),
            }
        }
        match sys::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error("remove", name, errno)),
        }
    }

    /// Makes the names in this folder durable. If a file system cannot sync a folder, the whole file system is synced.
    ///
    /// # Errors
    /// [`Error::Io`] if the sync fails.
    pub fn sync(&self) -> Result<(), Error> {
        match sys::fsync(&self.fd) {
            Err(errno) if sys::is_unknown(errno) => self.sync_file_system(),
            synced => synced.map_err(|errno| self.error("sync", ".", errno)),
        }
    }

    /// Makes everything on the folder's file system durable that was placed before the call: files, folders, names. If
    /// a sandbox refuses the call, all file systems are synced instead, which every process may do; that call reports
    /// no failure.
    ///
    /// # Errors
    /// [`Error::Io`] if the sync fails.
    pub fn sync_file_system(&self) -> Result<(), Error> {
        match sys::syncfs(&self.fd) {
            Err(errno) if sys::is_unknown(errno) => {
                sys::sync_all();
                Ok(())
            }
            synced => synced.map_err(|errno| self.error("sync the file system of", ".", errno)),
        }
    }
}
