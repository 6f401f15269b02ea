//! The git checkout that a folder is in. Only `.git` and `HEAD` are read, and no program is run.

use std::path::{Path, PathBuf};

use crate::fs::os;
use crate::model::layout::GIT;

/// How much is read of a file that names a folder or a branch, in bytes.
const BYTES_MAX: u64 = 16 << 10;

/// Where a command ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkout {
    /// The root of the checkout; the folder itself outside of any.
    pub(super) root: String,
    /// What is checked out: a branch by its full name, `detached` for a commit. Empty outside of any.
    pub(super) branch: String,
}

impl Checkout {
    /// The checkout that `folder` is in.
    pub(super) fn of(folder: &str) -> Checkout {
        let found = Path::new(folder).ancestors().find_map(|root| Some((root, branch_at(&root.join(GIT))?)));
        match found {
            Some((root, branch)) => Checkout { root: root.to_string_lossy().into_owned(), branch },
            None => Checkout { root: folder.to_owned(), branch: String::new() },
        }
    }
}

/// What is checked out where `git` is: a folder, or a file that names one.
fn branch_at(git: &Path) -> Option<String> {
    let folder = match std::fs::metadata(git).ok()?.is_dir() {
        true => git.to_owned(),
        false => named_in(git)?,
    };
    let head = content(&folder.join("HEAD"))?;
    let branch = head.trim().strip_prefix("ref:").map(|name| name.trim().to_owned());
    Some(branch.filter(|name| name.len() <= 500).unwrap_or_else(|| "detached".to_owned()))
}

fn named_in(file: &Path) -> Option<PathBuf> {
    let text = content(file)?;
    Some(file.parent()?.join(text.lines().next()?.strip_prefix("gitdir:")?.trim()))
}

fn content(path: &Path) -> Option<String> {
    let bytes = os::read_own_file(path, BYTES_MAX).ok()??.bytes;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_read_from_a_repository_and_from_a_work_tree() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (root, tree) = (folder.path().join("r"), folder.path().join("w"));
        let of = |path: &Path| Checkout::of(path.to_str().expect("it is UTF-8"));
        std::fs::create_dir_all(root.join("a/b")).expect("folders");
        assert_eq!(of(&root.join("a/b")).branch, "");
        std::fs::create_dir_all(root.join(".git/worktrees/w")).expect("folders");
        std::fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").expect("written");
        let found = of(&root.join("a/b"));
        assert_eq!((found.root.as_str(), found.branch.as_str()), (root.to_str().expect("UTF-8"), "refs/heads/main"));
        std::fs::create_dir(&tree).expect("a folder");
        std::fs::write(tree.join(GIT), format!("gitdir: {}\n", root.join(".git/worktrees/w").display()))
            .expect("written");
        std::fs::write(root.join(".git/worktrees/w/HEAD"), "0123456789abcdef0123456789abcdef01234567\n")
            .expect("written");
        assert_eq!(of(&tree).branch, "detached");
        std::fs::write(root.join(".git/HEAD"), [0xff; 100_000]).expect("written");
        assert_eq!(of(&root), Checkout { root: root.to_str().expect("UTF-8").into(), branch: String::new() });
    }
}
