//! Finds the project of a folder: the git repository that it is in, named by its origin.
//!
//! The name is the origin's host and path, in lower case, without user, port and `.git`, so that all clones on all machines
//! share it. A repository without an origin gets a random id, kept in a folder on this machine under a hash of its real path.
//! Only the repository's git configuration is read, and no program is run.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | while an id is written | a temporary file, or the id's file, whole | the next recorder, which draws an id if the file is missing |
//!
//! A power cut can leave an id's file empty: it then counts as missing, and another id is drawn.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::fs::os;
use crate::model::layout::GIT;
use crate::own;

/// How much of a git configuration is read, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// How long a file that only names a folder can be, in bytes.
const POINTER_BYTES_MAX: u64 = 16 << 10;

/// The project of `folder`. `None` outside of a git repository, and in one that this program made. `ids` is the folder for the
/// ids of repositories without an origin; without that folder they have no id.
pub fn of(folder: &Path, ids: Option<&Path>) -> Option<String> {
    named(folder, |root| id_of(root, ids?))
}

/// As [`of`], but a repository that has no id yet gets none: nothing is written.
pub fn known(folder: &Path, ids: Option<&Path>) -> Option<String> {
    named(folder, |root| Some(kept_id(&place_of(root, ids?)?)?.to_string()))
}

/// Where a project's work tree is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The project's name.
    pub project: String,
    /// Whether its origin names it. Any repository can name the origin of another. Otherwise this machine knows it by its path.
    pub is_by_origin: bool,
    /// The work tree, as it was named and without symbolic links; and for a work tree that the repository itself knows, the
    /// repository's main one.
    pub roots: Vec<PathBuf>,
}

/// The place of `folder`, as [`known`] names it: nothing is written. `None` outside of a git repository.
pub fn place(folder: &Path, ids: Option<&Path>) -> Option<Place> {
    let (root, common) = repository(folder)?;
    let project = known(folder, ids)?;
    let config = Config::parse(&content(&common.join("config"), CONFIG_BYTES_MAX)?);
    let is_by_origin = config.origin.as_deref().and_then(name_of).is_some();
    let mut roots = vec![root.to_owned()];
    roots.extend(main_tree(root, &common));
    roots.extend(roots.clone().iter().filter_map(|root| fs::canonicalize(root).ok()));
    roots.dedup();
    Some(Place { project, is_by_origin, roots })
}

/// The main work tree of the repository whose linked work tree is `root`. The repository has to name that work tree itself:
/// what a file in the work tree says could be copied.
fn main_tree(root: &Path, common: &Path) -> Option<PathBuf> {
    let text = content(&root.join(GIT), POINTER_BYTES_MAX)?;
    let folder = root.join(text.lines().next()?.strip_prefix("gitdir:")?.trim());
    let back = PathBuf::from(content(&folder.join("gitdir"), POINTER_BYTES_MAX)?.trim());
    let is_same = fs::canonicalize(back).ok()? == fs::canonicalize(root.join(GIT)).ok()?;
    let is_within = fs::canonicalize(folder).ok()?.starts_with(fs::canonicalize(common).ok()?);
    let common = fs::canonicalize(common).ok()?;
    (is_same && is_within && common.file_name()? == GIT).then(|| common.parent().map(Path::to_owned))?
}

fn named(folder: &Path, id: impl FnOnce(&Path) -> Option<String>) -> Option<String> {
    let (root, common) = repository(folder)?;
    let config = content(&common.join("config"), CONFIG_BYTES_MAX)?;
    let config = Config::parse(&config);
    if config.is_ours {
        return None;
    }
    let named = config.origin.as_deref().and_then(name_of);
    named.or_else(|| id(root))
}

/// The work tree that `folder` is in, and the folder that all work trees of its repository share.
fn repository(folder: &Path) -> Option<(&Path, PathBuf)> {
    folder.ancestors().find_map(|root| Some((root, common_folder(&root.join(GIT))?)))
}

/// The folder that all work trees of a repository share. `git` is a work tree's `.git`: that folder, or a file that names it.
fn common_folder(git: &Path) -> Option<PathBuf> {
    let metadata = fs::metadata(git).ok()?;
    let folder = match metadata.is_dir() {
        true => git.to_owned(),
        false => {
            let text = content(git, POINTER_BYTES_MAX)?;
            git.parent()?.join(text.lines().next()?.strip_prefix("gitdir:")?.trim())
        }
    };
    let shared = content(&folder.join("commondir"), POINTER_BYTES_MAX);
    let common = shared.map_or_else(|| folder.clone(), |shared| folder.join(shared.trim()));
    common.join("HEAD").exists().then_some(common)
}

fn content(path: &Path, bytes_max: u64) -> Option<String> {
    let bytes = os::read_own_file(path, bytes_max).ok()??.bytes;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The parts of a git configuration that name the project.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    /// The address of the remote `origin`.
    origin: Option<String>,
    /// Whether the repository is a home's own history.
    is_ours: bool,
}

impl Config {
    /// Reads sections and values line by line (git-config(1), "Syntax"). Included files are not followed.
    fn parse(text: &str) -> Config {
        let mut config = Config::default();
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                section = name.0.split_whitespace().collect::<Vec<_>>().join(" ");
                continue;
            }
            let (name, value) = line.split_once('=').unwrap_or((line, "true"));
            match (section.as_str(), name.trim().to_ascii_lowercase().as_str()) {
                (r#"remote "origin""#, "url") if config.origin.is_none() => config.origin = Some(plain(value)),
                ("indelible", "owned") => config.is_ours = value.trim() == "true",
                _ => {}
            }
        }
        config
    }
}

/// A configuration's value without quotes and comments.
fn plain(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((quoted, _)) => quoted.to_owned(),
        None => value.split([';', '#']).next().unwrap_or_default().trim().to_owned(),
    }
}

/// The name of the project with the origin `address`: host and path. `None` if the address has no path.
fn name_of(address: &str) -> Option<String> {
    let (authority, path) = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        // `host:path`, as in scp, but not `./a:b` and not `C:\a`.
        None => match address.split_once(':').filter(|(host, _)| host.len() > 1 && !host.contains(['/', '\\'])) {
            Some(parts) => parts,
            None => ("", address),
        },
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let path = path.trim_matches(['/', '\\']);
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let name = if host.is_empty() { path.to_owned() } else { format!("{host}/{path}") };
    (!path.is_empty()).then(|| name.to_lowercase())
}

/// The id of the repository at `root`, kept in `ids` by its real path. Draws one if the repository has no id yet.
fn id_of(root: &Path, ids: &Path) -> Option<String> {
    let place = place_of(root, ids)?;
    let kept = || kept_id(&place);
    let id = kept().or_else(|| {
        let _ = own::notes_folder(ids).ok()?;
        let mut file = tempfile::NamedTempFile::new_in(ids).ok()?;
        writeln!(file, "{}", crate::random::id()).ok()?;
        // If several recorders draw an id, the first one stays. An empty file, which a power cut left, is replaced.
        if file.persist_noclobber(&place).is_err() && kept().is_none() {
            let mut file = tempfile::NamedTempFile::new_in(ids).ok()?;
            writeln!(file, "{}", crate::random::id()).ok()?;
            file.persist(&place).ok()?;
        }
        kept()
    });
    id.map(|id| id.to_string())
}

/// The file with the id of the repository at `root`.
fn place_of(root: &Path, ids: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(root).ok()?;
    let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, real.as_os_str().as_encoded_bytes()).simple().to_string();
    Some(ids.join(name))
}

/// The id in the file `place`.
fn kept_id(place: &Path) -> Option<Uuid> {
    content(place, 100).and_then(|text| Uuid::try_parse(text.trim()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_one_repository_is_one_name() {
        for address in [
            "git@github.com:Owner/Repo.git",
            "https://github.com/owner/repo",
            "https://user:token@github.com/owner/repo.git/",
            "ssh://git@github.com:22/owner/repo.git",
            "git://GitHub.com/owner/repo.git",
        ] {
            assert_eq!(name_of(address).as_deref(), Some("github.com/owner/repo"), "{address}");
        }
        for (address, name) in [
            ("/srv/git/x.git", Some("srv/git/x")),
            ("../x", Some("../x")),
            ("file:///srv/x.git", Some("srv/x")),
            ("ssh://[::1]:22/x", Some("::1/x")),
            (r"C:\repos\x", Some(r"c:\repos\x")),
            ("https://host", None),
            ("", None),
        ] {
            assert_eq!(name_of(address).as_deref(), name, "{address}");
        }
    }

    #[test]
    fn a_configuration_is_read_as_git_reads_it() {
        let text = "[core]\n\turl = no\n[remote \"up\"]\n url = a/b\n[remote   \"origin\"]\n\tURL = \"c/d\" ; why\n\turl = e\n";
        assert_eq!(Config::parse(text), Config { origin: Some("c/d".into()), is_ours: false });
        assert!(Config::parse("[indelible]\n\towned = true\n").is_ours);
        assert_eq!(Config::parse("\u{0}[[[]\n=\n[remote \"origin\"]"), Config::default());
    }

    #[test]
    fn a_repository_without_an_origin_has_an_id_and_a_folder_outside_of_any_has_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (root, ids) = (folder.path().join("r"), folder.path().join("ids"));
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).expect("folders");
        assert_eq!(of(&deep, Some(&ids)), None);
        fs::create_dir(root.join(GIT)).expect("a folder");
        fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").expect("written");
        fs::write(root.join(".git/config"), "[core]\n").expect("written");
        let id = of(&deep, Some(&ids)).expect("it has an id");
        assert_eq!(of(&root, Some(&ids)), Some(id.clone()));
        assert_eq!(of(&root, None), None);
        // Beside the id lies a `.gitignore`, so the id's file is looked for by what it holds.
        let files = fs::read_dir(&ids).expect("it is there").map(|it| it.expect("readable").path());
        let kept = files.filter(|it| fs::read_to_string(it).is_ok_and(|text| text.trim() == id)).collect::<Vec<_>>();
        let [kept] = &kept[..] else { panic!("one file holds the id, not {kept:?}") };
        fs::write(kept, "").expect("as a power cut leaves it");
        let another = of(&root, Some(&ids)).expect("it has an id");
        assert_ne!(another, id);
        // A work tree names its repository in a file.
        let tree = folder.path().join("w");
        fs::create_dir_all(root.join(".git/worktrees/w")).expect("folders");
        fs::create_dir(&tree).expect("a folder");
        fs::write(root.join(".git/worktrees/w/commondir"), "../..\n").expect("written");
        fs::write(tree.join(GIT), format!("gitdir: {}\n", root.join(".git/worktrees/w").display())).expect("written");
        fs::write(root.join(".git/config"), "[remote \"origin\"]\n\turl = git@h:o/p.git\n").expect("written");
        assert_eq!(of(&tree, Some(&ids)).as_deref(), Some("h/o/p"));
        // The main work tree counts as the same place only if the repository names the linked one.
        let has_main = || place(&tree, None).expect("a place").roots.contains(&root);
        assert!(!has_main(), "the repository does not know the work tree");
        fs::write(root.join(".git/worktrees/w/gitdir"), format!("{}\n", tree.join(GIT).display())).expect("written");
        assert!(has_main());
        assert!(place(&tree, None).expect("a place").is_by_origin);
    }
}
