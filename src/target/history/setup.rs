//! Making, finding and opening the repository, and its list of ignored files (`info/exclude`).
//!
//! A home's own repository is built and synced among the temporary files, a new list beside the old one. Both go
//! through [`Dir`]. By path are: read-only access, folders that get the modes that git would set, and what libgit2
//! writes itself (the configuration of a clone that is taken over).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before it is renamed into place | the old one; the new one, or part of it | [`super::History::sweep`], recovery |
//! | after it | the repository, the new list | nothing to do |
//! | while `.git/indelible` is replaced | the old or the new file; a temporary one | the next worker; recovery |
//! | before a list with only our lines is removed | that list | a retry of the release |

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Once;

use git2::{ConfigLevel, ErrorClass, ErrorCode, Index, Pathspec, PathspecFlags, Repository};

use super::modes::Modes;
use super::{Doing as _, DoingAt as _, Error, folder, lock, pack_file, plain, sync};
use crate::fs::crash::{self, Point};
use crate::fs::{self, Dir, Durability, os};
use crate::model::HomeId;
use crate::model::layout::{
    EXCLUDE, EXCLUDE_DRAFT, EXCLUDED, EXCLUDED_BEFORE, EXCLUDED_INDEX, GIT, OWNED_BRANCH, PRIVATE_IN_GIT,
    TEMPORARY_BESIDE, split,
};
use crate::private;

/// libgit2's limit on cached objects; its default is 256 MB.
const CACHE_BYTES_MAX: isize = 16 << 20;
/// libgit2's limit on mapped pack data; its default is the address space.
const MAPPED_BYTES_MAX: usize = 16 << 20;
/// The size of one mapped piece of a pack.
const MAPPED_PIECE_BYTES: usize = 1 << 20;

/// Process-wide settings of libgit2, made before the first repository is opened. A program that uses libgit2 beside
/// this library shares them, and must not use it in another thread while the first history is being opened.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    // SAFETY:
    // - All of these write variables inside libgit2 without a lock. `Once` lets one thread do it while all others that
    //   come here wait. All our code comes here before it reaches libgit2: it needs a `History` or a repository, and
    //   `open` makes the first of either.
    // - `git_libgit2_opts` is variadic: the option determines the further arguments, and this one takes one `int`. It
    //   writes a variable, and needs no prior initialisation.
    ONCE.call_once(|| unsafe {
        // Without this libgit2 syncs neither packs nor references; git2 has no binding for it.
        let enabled: c_int = 1;
        let syncs = libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_ENABLE_FSYNC_GITDIR as c_int, enabled);
        assert_eq!(syncs, 0, "libgit2 is built in, and knows this option");
        // A commit and each of its folders would be hashed again whenever it is read: half of what the start of a worker runs. Each
        // object is stored compressed with a checksum of its bytes, which is checked; `check` looks at the names as well.
        git2::opts::strict_hash_verification(false);
        // Extensions that do not affect how objects and references are read and written.
        let extensions = ["partialclone", "worktreeconfig", "preciousobjects"];
        let mut settled = git2::opts::set_extensions(&extensions);
        // The user's own configuration does not apply to this history, and a broken one must not stop it.
        for level in [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData] {
            settled = settled.and(git2::opts::set_search_path(level, ""));
        }
        settled = settled
            .and(git2::opts::set_cache_max_size(CACHE_BYTES_MAX))
            .and(git2::opts::set_mwindow_size(MAPPED_PIECE_BYTES))
            .and(git2::opts::set_mwindow_mapped_limit(MAPPED_BYTES_MAX));
        if let Err(error) = settled {
            tracing::warn!(%error, "libgit2 refused a setting");
        }
    });
}

/// Whether `home` has no repository: no `.git`, or an empty folder of that name.
pub(super) fn is_absent(home: &Path) -> Result<bool, Error> {
    let path = home.join(GIT);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(Error::Io { doing: "looking for a repository", path, source }),
        Ok(it) if it.is_dir() => {
            Ok(std::fs::read_dir(&path).doing_at("looking for a repository", &path)?.next().is_none())
        }
        Ok(_) => Ok(false),
    }
}

/// Opens the repository in `home`; nothing above or beneath it is searched. It is checked first, unless that has `passed` a
/// moment ago.
pub(super) fn open(home: &Path, passed: &plain::Passed) -> Result<Repository, Error> {
    prepare();
    if home.join(GIT).is_symlink() {
        let what = "its .git is a symbolic link, and may lead anywhere".to_owned();
        return Err(Error::Unsupported { home: home.to_owned(), what });
    }
    let is_due = passed.is_due();
    if is_due {
        plain::check(home, &home.join(GIT))?;
    }
    let repository = Repository::open(home).map_err(|error| refusal(home, error))?;
    if is_due && repository.commondir() != home.join(GIT) {
        plain::check(home, repository.commondir())?;
    }
    passed.note();
    // libgit2 rechecks the file whenever a value is requested, and if the system denies access, it dereferences null
    // in some places. A snapshot is read once: it is not rechecked, and must not change meanwhile.
    let settings = repository.config().and_then(|mut config| config.snapshot()).doing("reading the configuration")?;
    repository.set_config(&settings).doing("reading the configuration")?;
    let object_format = config_text(&repository, "extensions.objectformat")?;
    if let Some(format) = object_format.filter(|it| !it.eq_ignore_ascii_case("sha1")) {
        return Err(Error::Unsupported { home: home.to_owned(), what: format!("its object format is {format}") });
    }
    let ref_storage = config_text(&repository, "extensions.refstorage")?;
    if let Some(storage) = ref_storage.filter(|it| !it.eq_ignore_ascii_case("files")) {
        return Err(Error::Unsupported {
            home: home.to_owned(),
            what: format!("its references are kept in {storage}"),
        });
    }
    Ok(repository)
}

/// Opens the bare repository `folder`, which only this program uses.
pub(super) fn open_bare(folder: &Path) -> Result<Repository, Error> {
    prepare();
    Repository::open_bare(folder).doing("opening the repository of what others recorded")
}

/// Recreates folders that are empty in a new repository, and that a copy may lack: without `refs` git sees no
/// repository. In a user's repository only `objects/pack` is made, which git recreates as well.
pub(super) fn remake_folders(home: &Path) -> Result<(), Error> {
    let git = home.join(GIT);
    let owned = has_our_section(&plain::text(&git.join("config")));
    let is_one = !git.is_symlink() && git.join("HEAD").is_file() && (owned || git.join("objects").is_dir());
    if !is_one {
        return Ok(());
    }
    let ours: &[&str] = if owned { &["objects", "refs", "refs/heads"] } else { &[] };
    for path in ours.iter().chain(&["objects/pack"]).map(|name| git.join(name)) {
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                // As readable as its parent folder.
                let above = path.parent().unwrap_or(&git);
                let made = made.and_then(|()| std::fs::set_permissions(&path, std::fs::metadata(above)?.permissions()));
                made.doing_at("making a folder again", &path)?;
            }
        }
    }
    Ok(())
}

fn has_our_section(config: &str) -> bool {
    config.lines().any(|line| line.trim() == "[indelible]")
}

/// Translates libgit2's refusal to open the repository. Without a code of its own, an error of the class `Repository`
/// is about the format: an extension, an object format or a version that libgit2 does not know. A read failure has the
/// class of the file system or of the configuration.
fn refusal(home: &Path, error: git2::Error) -> Error {
    let home = home.to_owned();
    let text = error.message();
    match error.code() {
        ErrorCode::Owner => Error::ForeignOwner { home, source: error },
        // Removed since the check. The history of such a home can be rebuilt.
        ErrorCode::NotFound if is_absent(&home).unwrap_or(false) => Error::Missing { home },
        ErrorCode::NotFound if is_all_there(&home) => Error::Git { doing: "opening the repository", source: error },
        ErrorCode::NotFound => Error::Unsupported { home, what: format!("its .git is not a repository ({text})") },
        _ if error.class() == ErrorClass::Repository => Error::Unsupported { home, what: text.to_owned() },
        _ => Error::Git { doing: "opening the repository", source: error },
    }
}

/// Whether the home has everything that a repository needs: then libgit2 found none because it could not read it.
fn is_all_there(home: &Path) -> bool {
    let is_there = |name: &&str| match std::fs::metadata(home.join(GIT).join(name)) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    };
    ["HEAD", "objects", "refs"].iter().all(is_there)
}

fn config_text(repository: &Repository, key: &str) -> Result<Option<String>, Error> {
    let config = repository.config().doing("reading the configuration")?;
    match config.get_string(key) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error).doing("reading the configuration"),
    }
}

/// Whether the repository is marked as made by us.
pub(super) fn is_owned(repository: &Repository) -> Result<bool, Error> {
    let config = repository.config().doing("reading the configuration")?;
    match config.get_bool("indelible.owned") {
        Ok(owned) => Ok(owned),
        Err(error) if error.code() == ErrorCode::NotFound && !names_us(repository)? => Ok(false),
        Err(error) => Err(error).doing("reading the configuration"),
    }
}

/// Whether the configuration has our section. libgit2 treats an unreadable configuration as empty, and a home's own
/// repository must never pass for a user's.
fn names_us(repository: &Repository) -> Result<bool, Error> {
    let path = repository.commondir().join("config");
    let text = plain::content(&path).doing_at("reading the configuration", &path)?.unwrap_or_default();
    Ok(has_our_section(&String::from_utf8(text).unwrap_or_default()))
}

/// A bare repository in `.git`: git's reading commands work, those that need an index refuse. With `sharedRepository`,
/// only its owner can read what a git program adds, whatever the umask.
const CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tsharedRepository = 0600
[indelible]
\towned = true
";

/// Writes our settings into a clone of a home's own repository, which git makes without them.
pub(super) fn take_on(repository: &Repository) -> Result<(), Error> {
    if is_owned(repository)? {
        return Ok(());
    }
    let doing = "taking on a clone of a home's repository";
    let path = repository.commondir().join("config");
    let mut config = git2::Config::open(&path).doing(doing)?;
    let common = folder(repository.commondir())?;
    common.make_private().doing_at("making a folder private", repository.commondir())?;
    // libgit2 writes the file by its path, beside its place, and does not sync it.
    config
        .set_str("core.sharedRepository", "0600")
        .and_then(|()| config.set_bool("indelible.owned", true))
        .doing(doing)?;
    let synced = common.read("config").and_then(|file| file.sync_now());
    synced.doing_at("syncing the configuration", &path)?;
    sync(&common)
}

/// Writes the marker of the home `id` (see [`private`]), by way of `staging`. In a repository of an earlier version
/// the marker lacks the id; a clone lacks the marker. A home in another work tree of the repository leaves the marker
/// alone.
pub(super) fn mark_owned(home: &Path, common: &Path, id: HomeId, staging: &Path) {
    let marker = private::marker(id);
    if common != home.join(GIT) || plain::text(&common.join(PRIVATE_IN_GIT)) == marker {
        return;
    }
    let replace =
        || Dir::open(common)?.replace(PRIVATE_IN_GIT, marker.as_bytes(), &Dir::open(staging)?, Durability::Full);
    if let Err(error) = replace() {
        tracing::warn!(%error, "the repository of the home could not be marked with its id");
    }
}

/// Builds a repository in `staging` and moves it into `home`, whole. If `staging` is on another file system, builds it
/// in a hidden folder of the home. Returns false if another repository got there first.
pub(super) fn create(home: &Path, staging: &Path, id: HomeId) -> Result<bool, Error> {
    let (home, staging) = (folder(home)?, folder(staging)?);
    match create_in(&home, &staging, id) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {}
        created => return created,
    }
    // Leftovers of a crash. A home without a repository needs nothing else in that folder.
    let _ = home.remove_tree(TEMPORARY_BESIDE);
    let beside = home.make_folder(TEMPORARY_BESIDE).doing_at("making a folder", &home.path().join(TEMPORARY_BESIDE))?;
    let created = create_in(&home, &beside, id);
    let _ = home.remove_tree(TEMPORARY_BESIDE);
    created
}

fn create_in(home: &Dir, staging: &Dir, id: HomeId) -> Result<bool, Error> {
    let name = format!("git-{}", crate::random::timed_id().simple());
    crash::at(Point::InitHistory).doing_at("making the repository", &staging.path().join(&name))?;
    let placed = build(staging, &name, id).and_then(|()| match staging.rename_over(&name, home, GIT) {
        Ok(()) => sync(home).map(|()| true),
        Err(error) if is_taken(&error) => Ok(false),
        Err(error) => Err(error).doing_at("putting the repository in its place", &home.path().join(GIT)),
    });
    if !matches!(placed, Ok(true)) {
        // The rest lies in a folder that is emptied anyway.
        let _ = staging.remove_tree(&name);
    }
    placed
}

/// Whether a folder could not be renamed because the destination is something other than an empty folder.
fn is_taken(error: &fs::Error) -> bool {
    let taken = [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists];
    matches!(error, fs::Error::Refused { .. }) || error.io_kind().is_some_and(|kind| taken.contains(&kind))
}

/// Builds a repository at `name` in `staging`, and syncs all of it.
fn build(staging: &Dir, name: &str, id: HomeId) -> Result<(), Error> {
    const FOLDERS: [&str; 8] =
        ["objects", "objects/info", "objects/pack", "info", "refs", "refs/heads", "refs/tags", "refs/indelible"];
    let make = |above: &Dir, name: &str| {
        let made = above.make_folder(name).and_then(|made| made.make_private().map(|()| made));
        made.doing_at("making a folder", &above.path().join(name))
    };
    let root = make(staging, name)?;
    let folders = FOLDERS.map(|name| make(&root, name));
    let (claim, first_claim) = lock::first_claim();
    let files = [
        ("HEAD", format!("ref: {OWNED_BRANCH}\n").into_bytes()),
        ("config", CONFIG.as_bytes().to_vec()),
        (claim, first_claim.into_bytes()),
        (PRIVATE_IN_GIT, private::marker(id).into_bytes()),
    ];
    for (name, text) in files {
        write_synced(&root, name, &text, 0o600)?;
    }
    sync(&root)?;
    folders.into_iter().try_for_each(|made| sync(&made?))
}

fn write_synced(folder: &Dir, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let write = || {
        let file = folder.create_empty(name)?;
        file.set_mode(mode)?;
        file.write_all(bytes)?;
        file.sync_now()
    };
    write().doing_at("writing a file", &folder.path().join(name))
}

/// Adds our missing lines to the repository's `info/exclude`, and removes those of earlier versions. Other lines stay.
/// A line that matches something tracked, in any work tree, is left out: git would refuse to add to it. So is the
/// index of an adopted home (`is_adopted`).
pub(super) fn exclude_ours(common: &Path, modes: Modes, has_moved: bool, is_adopted: bool) -> Result<(), Error> {
    let text = excluded(common)?.unwrap_or_default();
    let kept = if has_moved { without_those_of_before(&text) } else { text.clone() };
    let has = |line: &str| kept.split(|&byte| byte == b'\n').any(|it| it.trim_ascii() == line.as_bytes());
    let mut lacking = EXCLUDED.into_iter().filter(|line| !has(line)).collect::<Vec<_>>();
    lacking.retain(|line| !is_adopted || *line != EXCLUDED_INDEX);
    if !lacking.is_empty() {
        let indexes = indexes(common);
        lacking.retain(|line| !indexes.iter().any(|index| has_beneath(index, line)));
    }
    let wanted = with_lines(&kept, &lacking);
    if wanted == text { Ok(()) } else { write_excluded(common, modes, &wanted) }
}

/// Adds those of `lines` that the list of ignored files lacks.
pub(super) fn add_excluded(common: &Path, modes: Modes, lines: &[String]) -> Result<(), Error> {
    let text = excluded(common)?.unwrap_or_default();
    let has = |line: &str| text.split(|&byte| byte == b'\n').any(|it| it.trim_ascii_end() == line.as_bytes());
    let lacking: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !has(line)).collect();
    match lacking.as_slice() {
        [] => Ok(()),
        lines => write_excluded(common, modes, &with_lines(&text, lines)),
    }
}

/// Restores the list of ignored files to `before`.
pub(super) fn put_back_excluded(common: &Path, modes: Modes, before: Option<&[u8]>) -> Result<(), Error> {
    write_excluded(common, modes, before.unwrap_or_default())
}

/// `text`, a list of ignored files, with `lines` appended.
fn with_lines(text: &[u8], lines: &[&str]) -> Vec<u8> {
    let mut text = text.to_owned();
    if !lines.is_empty() && !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend(lines.iter().flat_map(|line| format!("{line}\n").into_bytes()));
    text
}

/// `text` without the lines of earlier versions, which are adjacent and in order, ending with the last of them.
fn without_those_of_before(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let [others @ .., last] = EXCLUDED_BEFORE;
    let Some(mut at) = lines.iter().position(|line| line.trim_ascii() == last.as_bytes()) else {
        return text.to_owned();
    };
    lines.remove(at);
    for ours in others.iter().rev() {
        if at > 0 && lines[at - 1].trim_ascii_end() == ours.as_bytes() {
            at -= 1;
            lines.remove(at);
        }
    }
    lines.concat()
}

/// The git index of every work tree, if readable.
fn indexes(common: &Path) -> Vec<Index> {
    let linked = std::fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten().map(|it| it.path());
    let folders = linked.chain([common.to_owned()]);
    folders.filter_map(|folder| Index::open(&folder.join("index")).ok()).collect()
}

/// Whether `index` has an entry that matches `line`, a line of a list of ignored files.
fn has_beneath(index: &Index, line: &str) -> bool {
    let wanted = line.trim_start_matches('/');
    let wanted = if wanted.ends_with('/') { format!("{wanted}*") } else { wanted.to_owned() };
    let found = Pathspec::new([wanted]).and_then(|it| it.match_index(index, PathspecFlags::NO_MATCH_ERROR).map(|_| ()));
    found.is_ok()
}

/// The repository's `info/exclude`, if it exists.
pub(super) fn excluded(common: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = common.join(EXCLUDE);
    plain::content(&path).doing_at("reading the list of ignored files", &path)
}

/// Removes our lines from the repository's `info/exclude`, which was `before` when they were added. If it has not
/// changed since, it is restored byte for byte.
pub(super) fn exclude_ours_no_more(common: &Path, modes: Modes, before: Option<&[u8]>) -> Result<(), Error> {
    let Some(now) = excluded(common)? else { return Ok(()) };
    let kept = without_ours(&now, before);
    let is_as_before = |before: &[u8]| kept == before || kept.strip_suffix(b"\n") == Some(before);
    match before {
        None if kept.is_empty() => {
            let info = folder(&common.join("info"))?;
            pack_file::remove(&info, split(EXCLUDE).1)?;
            sync(&info)
        }
        Some(before) if before != now && is_as_before(before) => write_excluded(common, modes, before),
        _ if kept != now => write_excluded(common, modes, &kept),
        _ => Ok(()),
    }
}

/// The list `now` without our lines, unless `before` had them.
pub(super) fn without_ours(now: &[u8], before: Option<&[u8]>) -> Vec<u8> {
    let had = |line: &[u8]| before.is_some_and(|text| text.split(|&byte| byte == b'\n').any(|it| it == line));
    let ours = || EXCLUDED.iter().chain(&EXCLUDED_BEFORE);
    let is_ours = |line: &[u8]| ours().any(|ours| ours.as_bytes() == line.trim_ascii()) && !had(line);
    let lines = now.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| !is_ours(line.trim_ascii_end())).flatten().copied().collect()
}

/// Removes the temporary lists that a crash left beside `info/exclude`.
pub(super) fn sweep_excluded(common: &Path) -> Result<(), Error> {
    let Ok(info) = folder(&common.join("info")) else { return Ok(()) };
    let names = info.names().unwrap_or_default();
    let left = names.iter().filter(|name| name.starts_with(EXCLUDE_DRAFT));
    left.into_iter().try_for_each(|name| pack_file::remove(&info, name).map(drop))
}

fn write_excluded(common: &Path, modes: Modes, text: &[u8]) -> Result<(), Error> {
    let info = common.join("info");
    if !info.exists() {
        // By path, with git's mode.
        modes.apply(|| std::fs::create_dir_all(&info)).doing_at("making a folder", &info)?;
        modes.mend(&info);
    }
    // A link is followed, so that it stays a link.
    let named = common.join(EXCLUDE);
    let path = std::fs::canonicalize(&named).unwrap_or(named);
    let mode = File::open(&path).and_then(|it| os::mode_of(&it)).unwrap_or_else(|_| modes.file(0o666));
    let info = folder(path.parent().unwrap_or(&info))?;
    let beside = format!("{EXCLUDE_DRAFT}{}", crate::random::timed_id().simple());
    let unnameable = || io::Error::from(io::ErrorKind::InvalidFilename);
    let name = path.file_name().and_then(|it| it.to_str()).ok_or_else(unnameable);
    let name = name.doing_at("replacing the list of ignored files", &path)?;
    let placed = write_synced(&info, &beside, text, mode)
        .and_then(|()| crash::at(Point::InitIgnored).doing_at("replacing the list of ignored files", &path))
        .and_then(|()| info.rename_over(&beside, &info, name).doing_at("replacing the list of ignored files", &path));
    if placed.is_err() {
        let _ = info.remove(&beside);
    }
    placed.and_then(|()| sync(&info))
}

/// Whether the repository in `home` tracks the file `path`, or anything in the folder `path`. True if its index is
/// unreadable.
pub fn tracks(home: &Path, path: &str) -> bool {
    if is_absent(home).unwrap_or(false) {
        return false;
    }
    let is_in = |entry: &[u8]| entry.strip_prefix(path.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    let index =
        open(home, &plain::Passed::default()).and_then(|repository| repository.index().doing("reading the index"));
    index.map_or(true, |index| index.iter().any(|entry| is_in(&entry.path)))
}

/// The HEAD of a user's repository, as text for a person, and whether its index tracks the file `path`.
pub(super) fn theirs(repository: &Repository, path: &str) -> Result<(String, bool), Error> {
    let head = repository.find_reference("HEAD").doing("reading HEAD")?;
    let head = match head.symbolic_target().ok().flatten() {
        Some(branch) => {
            let name = branch.trim_start_matches("refs/heads/").to_owned();
            let unborn = repository.refname_to_id(branch).is_err();
            if unborn { format!("{name}, without a commit") } else { name }
        }
        None => head.target().map_or_else(String::new, |id| format!("detached at {:.10}", id.to_string())),
    };
    // Read only to inform the owner. A repository without an index tracks nothing.
    let index = repository.index().doing("reading the index")?;
    Ok((head, index.get_path(Path::new(path), 0).is_some()))
}
